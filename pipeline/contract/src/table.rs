//! A table contract: columns, types, keys, nullability, PII classes, quality rules and service levels, read from Open Data
//! Contract Standard YAML.
//!
//! How a file is read is in `odcs`. Knows nothing of Arrow, DuckDB or Iceberg types: each stage maps [`ColumnType`] itself.

use std::fmt;

use crate::odcs;
use crate::quality::QualityRule;
use crate::sla::ServiceLevels;

/// The physical types a column may have, by their Postgres names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// `boolean`
    Boolean,
    /// `integer`, 32 bits
    Integer,
    /// `bigint`, 64 bits
    Bigint,
    /// `double precision`
    Double,
    /// `numeric(precision, scale)`, precision at most 38; exact everywhere
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: u8,
    },
    /// `text`
    Text,
    /// `date`
    Date,
    /// `timestamptz`, an instant with microseconds
    Timestamptz,
}

impl ColumnType {
    /// Reads a Postgres type name as it stands in `physicalType`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_lowercase();
        Some(match text.as_str() {
            "boolean" | "bool" => Self::Boolean,
            "integer" | "int" | "int4" => Self::Integer,
            "bigint" | "int8" => Self::Bigint,
            "double precision" | "float8" => Self::Double,
            "text" | "varchar" | "character varying" => Self::Text,
            "date" => Self::Date,
            "timestamptz" | "timestamp with time zone" => Self::Timestamptz,
            _ => {
                let arguments = text.strip_prefix("numeric(").or_else(|| text.strip_prefix("decimal("))?;
                let (precision, scale) = arguments.strip_suffix(')')?.split_once(',')?;
                let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
                if !(1..=38).contains(&precision) || scale > precision {
                    return None;
                }
                Self::Decimal { precision, scale }
            }
        })
    }
}

impl fmt::Display for ColumnType {
    /// The Postgres name, usable in DDL.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean => f.write_str("boolean"),
            Self::Integer => f.write_str("integer"),
            Self::Bigint => f.write_str("bigint"),
            Self::Double => f.write_str("double precision"),
            Self::Decimal { precision, scale } => write!(f, "numeric({precision},{scale})"),
            Self::Text => f.write_str("text"),
            Self::Date => f.write_str("date"),
            Self::Timestamptz => f.write_str("timestamptz"),
        }
    }
}

/// One column of a source table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Name, the same from Postgres to gold.
    pub name: String,
    /// Physical type at the source.
    pub column_type: ColumnType,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Whether the column belongs to the primary key.
    pub is_key: bool,
    /// PII class by name (`email`, `cpf`, `free_text`, …); `None` means public. What happens to a class is the policy's word.
    pub class: Option<String>,
    /// Names the column had before, in any order: what still comes under one of them fills the column.
    pub former_names: Vec<String>,
}

impl Column {
    /// Whether this is the column's name, or was.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.former_names.iter().any(|former| former == name)
    }
}

/// Columns by which silver is partitioned: `<prefix>_year` and `<prefix>_month` of a timestamp column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MonthPartition {
    /// The timestamptz column.
    pub column: String,
    /// Name of the derived integer year column, e.g. `review_year`.
    pub year: String,
    /// Name of the derived integer month column (1–12), e.g. `review_month`.
    pub month: String,
}

/// How the initial load of a table reaches the lake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LoadRoute {
    /// DMS full load through Kinesis and Firehose.
    #[default]
    Stream,
    /// A `.csv.gz` export put straight under `raw/`.
    Batch,
}

/// One table: the contract every stage holds its rows to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableContract {
    /// Source schema, e.g. `dm_core`.
    pub schema: String,
    /// Table name, e.g. `review`.
    pub name: String,
    /// Contract version; its major number is the `vN` of the bronze layout.
    pub version: String,
    /// Columns in source order.
    pub columns: Vec<Column>,
    /// Silver partitioning; `None` means one partition.
    pub partition: Option<MonthPartition>,
    /// How the initial load travels.
    pub load: LoadRoute,
    /// Data quality rules: the table's own, then those of its columns in order.
    pub quality: Vec<QualityRule>,
    /// How old its data may be and how often it must come.
    pub service_levels: ServiceLevels,
    /// Rows that a generator of test data makes at scale 1; the pipeline does not read it.
    pub generated_rows: Option<u64>,
}

/// Most rows a contract may ask a generator for at scale 1.
pub const GENERATED_ROWS_MAX: u64 = 1_000_000_000;

/// What is wrong with a contract file.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// Not YAML, or not of the ODCS shape.
    #[error("failed to parse contract `{file}`")]
    Syntax {
        /// Path of the file inside the lake folder.
        file: String,
        /// Where and why.
        #[source]
        source: serde_norway::Error,
    },
    /// Well-formed, but not something the pipeline can enforce.
    #[error("failed to accept contract `{file}`: {reason}")]
    Invalid {
        /// Path of the file inside the lake folder.
        file: String,
        /// What is wrong, and what is allowed.
        reason: String,
    },
}

impl TableContract {
    /// Key columns in contract order.
    pub fn key_columns(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter().filter(|column| column.is_key)
    }

    /// A column by name.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// A column by its present name or a former one.
    pub fn column_called(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.is_called(name))
    }

    /// `v1` for version `1.4.0`.
    pub fn version_folder(&self) -> String {
        format!("v{}", self.version.split('.').next().unwrap_or("1"))
    }

    /// Reads one ODCS document that describes one table. `file` is used in errors only.
    pub fn from_odcs_yaml(file: &str, text: &str) -> Result<Self, ContractError> {
        odcs::read(file, text)
    }
}

//! A table contract: columns, types, keys, nullability and PII classes, read from Open Data Contract Standard YAML.
//!
//! Reads the subset of ODCS v3.1.0 that the pipeline enforces and refuses what it would silently ignore in a column
//! (an unknown type, a missing key). Knows nothing of Arrow, DuckDB or Iceberg types: each stage maps [`ColumnType`] itself.

use std::fmt;

use serde::Deserialize;

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

    /// `v1` for version `1.4.0`.
    pub fn version_folder(&self) -> String {
        format!("v{}", self.version.split('.').next().unwrap_or("1"))
    }

    /// Reads one ODCS document that describes one table. `file` is used in errors only.
    pub fn from_odcs_yaml(file: &str, text: &str) -> Result<Self, ContractError> {
        let document: OdcsDocument =
            serde_norway::from_str(text).map_err(|source| ContractError::Syntax { file: file.to_owned(), source })?;
        document.into_table().map_err(|reason| ContractError::Invalid { file: file.to_owned(), reason })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OdcsDocument {
    api_version: String,
    kind: String,
    version: String,
    schema: Vec<OdcsObject>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OdcsObject {
    name: String,
    physical_name: Option<String>,
    properties: Vec<OdcsProperty>,
    #[serde(default)]
    custom_properties: Vec<OdcsCustomProperty>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OdcsProperty {
    name: String,
    physical_type: String,
    #[serde(default)]
    primary_key: bool,
    #[serde(default)]
    required: bool,
    classification: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct OdcsCustomProperty {
    property: String,
    value: serde_norway::Value,
}

impl OdcsDocument {
    fn into_table(self) -> Result<TableContract, String> {
        if !self.api_version.starts_with("v3.") {
            return Err(format!("apiVersion `{}` is not an ODCS v3 version", self.api_version));
        }
        if self.kind != "DataContract" {
            return Err(format!("kind is `{}`, expected `DataContract`", self.kind));
        }
        let [object] = <[OdcsObject; 1]>::try_from(self.schema)
            .map_err(|found| format!("`schema` lists {} objects, expected exactly one table", found.len()))?;
        let schema = match object.physical_name.as_deref().and_then(|name| name.split_once('.')) {
            Some((schema, table)) if table == object.name => schema.to_owned(),
            _ => return Err(format!("physicalName must be `<schema>.{}`", object.name)),
        };
        let columns = object.properties.into_iter().map(into_column).collect::<Result<Vec<_>, _>>()?;
        if !columns.iter().any(|column| column.is_key) {
            return Err("no property has `primaryKey: true`; a table without a key cannot be merged".to_owned());
        }
        for (at, column) in columns.iter().enumerate() {
            if columns[..at].iter().any(|earlier| earlier.name == column.name) {
                return Err(format!("property `{}` is listed twice", column.name));
            }
        }
        let (mut partition, mut load, mut generated_rows) = (None, LoadRoute::Stream, None);
        for custom in object.custom_properties {
            match custom.property.as_str() {
                "silverPartition" => partition = Some(month_partition(&custom.value, &columns)?),
                "loadRoute" => {
                    load = match custom.value.as_str() {
                        Some("stream") => LoadRoute::Stream,
                        Some("batch") => LoadRoute::Batch,
                        _ => return Err("customProperty `loadRoute` must be `stream` or `batch`".to_owned()),
                    }
                }
                "generatedRows" => match custom.value.as_u64() {
                    Some(rows) if (1..=GENERATED_ROWS_MAX).contains(&rows) => generated_rows = Some(rows),
                    _ => return Err(format!("customProperty `generatedRows` must be from 1 to {GENERATED_ROWS_MAX}")),
                },
                other => {
                    return Err(format!(
                        "customProperty `{other}` is unknown; known: silverPartition, loadRoute, generatedRows"
                    ));
                }
            }
        }
        Ok(TableContract { schema, name: object.name, version: self.version, columns, partition, load, generated_rows })
    }
}

fn into_column(property: OdcsProperty) -> Result<Column, String> {
    let column_type = ColumnType::parse(&property.physical_type).ok_or_else(|| {
        format!(
            "property `{}` has physicalType `{}`; supported: boolean, integer, bigint, double precision, numeric(p,s), \
             text, date, timestamptz",
            property.name, property.physical_type
        )
    })?;
    let sound = property.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if property.name.is_empty() || !sound || property.name.starts_with('_') {
        return Err(format!(
            "property name `{}` must be lower-case snake_case without a leading underscore",
            property.name
        ));
    }
    let class = property.classification.filter(|class| class != "public");
    if property.primary_key && class.is_some() {
        return Err(format!("key column `{}` has a PII class; mask keys at the source instead", property.name));
    }
    Ok(Column {
        column_type,
        nullable: !(property.required || property.primary_key),
        is_key: property.primary_key,
        class,
        name: property.name,
    })
}

fn month_partition(value: &serde_norway::Value, columns: &[Column]) -> Result<MonthPartition, String> {
    let name = value.as_str().unwrap_or_default();
    let column = columns
        .iter()
        .find(|column| column.name == name && column.column_type == ColumnType::Timestamptz && !column.nullable)
        .ok_or_else(|| format!("silverPartition `{name}` must name a required timestamptz property"))?;
    let prefix = column.name.strip_suffix("_time").or_else(|| column.name.strip_suffix("_at")).unwrap_or(&column.name);
    Ok(MonthPartition { column: column.name.clone(), year: format!("{prefix}_year"), month: format!("{prefix}_month") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contract(properties: &str) -> Result<TableContract, ContractError> {
        let text = format!(
            "apiVersion: v3.1.0\nkind: DataContract\nid: t\nname: t\nversion: 1.0.0\nstatus: active\nschema:\n  - name: t\n    \
             physicalName: s.t\n    properties:\n{properties}"
        );
        TableContract::from_odcs_yaml("contracts/t.yaml", &text)
    }

    fn refusal(properties: &str) -> String {
        contract(properties).expect_err("must be refused").to_string()
    }

    #[test]
    fn types_keys_and_classes_are_read() {
        let table = contract(
            "      - {name: id, physicalType: bigint, primaryKey: true}\n      - {name: abv, physicalType: 'numeric(4,1)'}\n      \
             - {name: email, physicalType: text, required: true, classification: email}\n",
        )
        .expect("valid");
        assert_eq!(table.schema, "s");
        assert_eq!(table.columns[1].column_type, ColumnType::Decimal { precision: 4, scale: 1 });
        assert!(table.columns[1].nullable && !table.columns[0].nullable && !table.columns[2].nullable);
        assert_eq!(table.columns[2].class.as_deref(), Some("email"));
        assert_eq!(table.version_folder(), "v1");
    }

    #[test]
    fn what_cannot_be_enforced_is_refused() {
        assert!(refusal("      - {name: id, physicalType: bigint}\n").contains("primaryKey"));
        assert!(refusal("      - {name: id, physicalType: money, primaryKey: true}\n").contains("`money`"));
        assert!(refusal("      - {name: Id, physicalType: bigint, primaryKey: true}\n").contains("snake_case"));
        assert!(
            refusal("      - {name: id, physicalType: text, primaryKey: true, classification: email}\n")
                .contains("PII class")
        );
        assert!(contract("      - not a property\n").expect_err("syntax").to_string().contains("contracts/t.yaml"));
    }
}

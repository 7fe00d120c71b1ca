//! Iceberg schemas: of a silver table from its contract, of a model from the columns DuckDB reports.
//!
//! Promises: decimals stay exact; timestamps are instants (`timestamptz`); what has no exact counterpart is refused. Only key
//! columns are required, because a tombstone without history has nothing but its key. Says how a table begins; how it follows a
//! contract or model that changed is in [`super::evolve`].

use std::sync::Arc;

use iceberg::spec::{NestedField, PrimitiveType, Schema, Transform, Type, UnboundPartitionSpec};
use iceberg::{TableCreation, TableIdent};
use lakebed_contract::layout::SILVER_TIMES;
use lakebed_contract::{ColumnType, TableContract};

use crate::error::{Attempt, Result, WarehouseError};

/// When the current life of a row began.
pub(crate) const CREATED_AT: &str = SILVER_TIMES[0];
/// When a row last changed.
pub(crate) const UPDATED_AT: &str = SILVER_TIMES[1];
/// When a row was deleted; NULL while it lives.
pub(crate) const DELETED_AT: &str = SILVER_TIMES[2];
/// Position of the last applied change, first part.
pub(crate) const GENERATION: &str = "_generation";
/// Second part.
pub(crate) const COMMIT_LSN: &str = "_commit_lsn";
/// Third part.
pub(crate) const ORDINAL: &str = "_ordinal";
/// Table property with the field id of the column that the partition columns are made of.
pub(crate) const PARTITION_SOURCE: &str = "lakebed.partition-source-field-id";

/// One column as a table should have it.
pub(crate) struct ShapeColumn {
    /// Its name.
    pub(crate) name: String,
    /// Its type.
    pub(crate) primitive: PrimitiveType,
    /// Whether it is never NULL.
    pub(crate) required: bool,
    /// Names it had before.
    pub(crate) former_names: Vec<String>,
}

impl ShapeColumn {
    fn optional(name: &str, primitive: PrimitiveType) -> Self {
        Self { name: name.to_owned(), primitive, required: false, former_names: Vec::new() }
    }
}

/// Who says what a table should look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    /// A contract: columns that it drops stay, with what they hold.
    Contract,
    /// A model: its table can be made again from its inputs, so nothing is kept.
    Model,
}

/// What a table should look like.
pub(crate) struct TableShape {
    /// The columns.
    pub(crate) columns: Vec<ShapeColumn>,
    /// Identity partition columns.
    pub(crate) partition_by: Vec<String>,
    /// The column that they are made of, if they are made of one.
    pub(crate) partition_source: Option<String>,
    /// Who says so.
    pub(crate) author: Author,
    /// Key columns: identifier fields if required.
    key: Vec<String>,
}

impl TableShape {
    /// A silver table: the contract's columns, partition columns, life times and position.
    pub(crate) fn silver(contract: &TableContract) -> Self {
        let mut columns: Vec<_> = contract
            .columns
            .iter()
            .map(|column| ShapeColumn {
                name: column.name.clone(),
                primitive: primitive(column.column_type),
                required: column.is_key,
                former_names: column.former_names.clone(),
            })
            .collect();
        columns.extend(derived(contract).into_iter().map(|(name, primitive)| ShapeColumn::optional(name, primitive)));
        let months = contract.partition.iter().flat_map(|partition| [&partition.year, &partition.month]);
        let partition_by = months.cloned().collect();
        let partition_source = contract.partition.as_ref().map(|partition| partition.column.clone());
        let key = contract.key_columns().map(|column| column.name.clone()).collect();
        Self { columns, partition_by, partition_source, author: Author::Contract, key }
    }

    /// A model's table, from DuckDB's DESCRIBE.
    pub(crate) fn model(
        name: &str,
        described: &[(String, String)],
        partition_by: &[String],
        key: &[String],
    ) -> Result<Self> {
        let mut columns = Vec::new();
        for (column, sql_type) in described {
            let primitive = primitive_of_sql(sql_type).ok_or_else(|| WarehouseError::Request {
                reason: format!(
                    "column `{column}` of model `{name}` has type {sql_type}; cast it to BOOLEAN, INTEGER, BIGINT, DOUBLE, \
                     DECIMAL(p,s), VARCHAR, DATE or TIMESTAMP"
                ),
            })?;
            columns.push(ShapeColumn::optional(column, primitive));
        }
        for wanted in partition_by.iter().chain(key) {
            if !columns.iter().any(|column| column.name == *wanted) {
                return Err(WarehouseError::Request {
                    reason: format!("model `{name}` does not return `{wanted}`, which its partition or key names"),
                });
            }
        }
        let (partition_by, key) = (partition_by.to_vec(), key.to_vec());
        Ok(Self { columns, partition_by, partition_source: None, author: Author::Model, key })
    }

    /// The request that creates the table.
    pub(crate) fn creation(&self, ident: &TableIdent, location: String) -> Result<TableCreation> {
        let failed = || format!("describe table `{ident}`");
        let mut identifiers = Vec::new();
        let mut fields = Vec::new();
        for (id, ShapeColumn { name, primitive, required, .. }) in (1..).zip(&self.columns) {
            if *required
                && self.key.contains(name)
                && !matches!(primitive, PrimitiveType::Double | PrimitiveType::Float)
            {
                identifiers.push(id);
            }
            fields.push(Arc::new(NestedField::new(id, name, Type::Primitive(primitive.clone()), *required)));
        }
        let schema =
            Schema::builder().with_fields(fields).with_identifier_field_ids(identifiers).build().attempt(failed)?;
        let mut spec = UnboundPartitionSpec::builder().with_spec_id(0);
        for name in &self.partition_by {
            let id = schema.field_id_by_name(name).ok_or_else(|| WarehouseError::Request {
                reason: format!("table `{ident}` has no partition column `{name}`"),
            })?;
            spec = spec.add_partition_field(id, name, Transform::Identity).attempt(failed)?;
        }
        let properties = [
            ("write.delete.mode", "copy-on-write"),
            ("write.update.mode", "copy-on-write"),
            ("write.merge.mode", "copy-on-write"),
            ("write.parquet.compression-codec", "zstd"),
        ];
        let source = self.partition_source.as_ref().and_then(|name| schema.field_id_by_name(name));
        let source = source.map(|id| (PARTITION_SOURCE.to_owned(), id.to_string()));
        let creation = TableCreation::builder().name(ident.name().to_owned()).location(location).schema(schema);
        let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().chain(source);
        Ok(creation.partition_spec(spec.build()).properties(properties).build())
    }
}

/// The columns that silver adds to those of a contract.
pub(crate) fn derived(contract: &TableContract) -> Vec<(&str, PrimitiveType)> {
    let months = contract.partition.iter().flat_map(|partition| [partition.year.as_str(), partition.month.as_str()]);
    let months = months.map(|name| (name, PrimitiveType::Int));
    let times = [CREATED_AT, UPDATED_AT, DELETED_AT].map(|name| (name, PrimitiveType::Timestamptz));
    let position =
        [(GENERATION, PrimitiveType::Int), (COMMIT_LSN, PrimitiveType::Long), (ORDINAL, PrimitiveType::Long)];
    months.chain(times).chain(position).collect()
}

fn primitive(column: ColumnType) -> PrimitiveType {
    match column {
        ColumnType::Boolean => PrimitiveType::Boolean,
        ColumnType::Integer => PrimitiveType::Int,
        ColumnType::Bigint => PrimitiveType::Long,
        ColumnType::Double => PrimitiveType::Double,
        ColumnType::Decimal { precision, scale } => {
            PrimitiveType::Decimal { precision: u32::from(precision), scale: u32::from(scale) }
        }
        ColumnType::Text => PrimitiveType::String,
        ColumnType::Date => PrimitiveType::Date,
        ColumnType::Timestamptz => PrimitiveType::Timestamptz,
    }
}

fn primitive_of_sql(sql_type: &str) -> Option<PrimitiveType> {
    Some(match sql_type {
        "BOOLEAN" => PrimitiveType::Boolean,
        "INTEGER" => PrimitiveType::Int,
        "BIGINT" => PrimitiveType::Long,
        "DOUBLE" => PrimitiveType::Double,
        "VARCHAR" => PrimitiveType::String,
        "DATE" => PrimitiveType::Date,
        // Models compute on plain timestamps, which are UTC by convention.
        "TIMESTAMP" | "TIMESTAMP WITH TIME ZONE" => PrimitiveType::Timestamptz,
        _ => {
            let (precision, scale) = sql_type.strip_prefix("DECIMAL(")?.strip_suffix(')')?.split_once(',')?;
            PrimitiveType::Decimal { precision: precision.trim().parse().ok()?, scale: scale.trim().parse().ok()? }
        }
    })
}

/// The DuckDB type of an Iceberg column, as views present it.
pub(crate) fn sql_type(primitive: &PrimitiveType) -> Option<String> {
    Some(match primitive {
        PrimitiveType::Boolean => "BOOLEAN".to_owned(),
        PrimitiveType::Int => "INTEGER".to_owned(),
        PrimitiveType::Long => "BIGINT".to_owned(),
        PrimitiveType::Float => "FLOAT".to_owned(),
        PrimitiveType::Double => "DOUBLE".to_owned(),
        PrimitiveType::String => "VARCHAR".to_owned(),
        PrimitiveType::Date => "DATE".to_owned(),
        PrimitiveType::Timestamp | PrimitiveType::Timestamptz => "TIMESTAMP".to_owned(),
        PrimitiveType::Decimal { precision, scale } => format!("DECIMAL({precision},{scale})"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakebed_contract::Lake;

    #[test]
    fn silver_review_has_month_partitions_and_a_required_key() {
        let lake = Lake::beer();
        let shape = TableShape::silver(lake.table("review").expect("in the lake"));
        let ident = TableIdent::from_strs(["silver", "review"]).expect("ident");
        let creation = shape.creation(&ident, "s3://b/silver/review".to_owned()).expect("valid");
        let names: Vec<_> = creation.schema.as_struct().fields().iter().map(|field| field.name.clone()).collect();
        assert_eq!(names.len(), 11 + 2 + 3 + 3);
        assert_eq!(creation.schema.identifier_field_ids().collect::<Vec<_>>(), [1]);
        assert_eq!(creation.partition_spec.expect("partitioned").fields().len(), 2);
    }

    #[test]
    fn a_type_without_exact_counterpart_is_refused() {
        let described = [("n".to_owned(), "HUGEINT".to_owned())];
        let error = TableShape::model("m", &described, &[], &[]).err().expect("refused").to_string();
        assert!(error.contains("HUGEINT") && error.contains("BIGINT"), "{error}");
    }
}

//! Iceberg schemas: of a silver table from its contract, of a model from the columns DuckDB reports.
//!
//! Promises: decimals stay exact; timestamps are instants (`timestamptz`); what has no exact counterpart is refused. Only key
//! columns are required, because a tombstone without history has nothing but its key.

use std::sync::Arc;

use iceberg::spec::{NestedField, PrimitiveType, Schema, TableMetadata, Transform, Type, UnboundPartitionSpec};
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

/// What a table should look like.
pub(crate) struct TableShape {
    /// Columns by name and type, with whether they are required.
    columns: Vec<(String, PrimitiveType, bool)>,
    /// Identity partition columns.
    partition_by: Vec<String>,
    /// Key columns: identifier fields if required.
    key: Vec<String>,
}

impl TableShape {
    /// A silver table: the contract's columns, partition columns, life times and position.
    pub(crate) fn silver(contract: &TableContract) -> Self {
        let mut columns: Vec<_> = contract
            .columns
            .iter()
            .map(|column| (column.name.clone(), primitive(column.column_type), column.is_key))
            .collect();
        let mut partition_by = Vec::new();
        if let Some(partition) = &contract.partition {
            for name in [&partition.year, &partition.month] {
                columns.push((name.clone(), PrimitiveType::Int, false));
                partition_by.push(name.clone());
            }
        }
        for name in [CREATED_AT, UPDATED_AT, DELETED_AT] {
            columns.push((name.to_owned(), PrimitiveType::Timestamptz, false));
        }
        columns.push((GENERATION.to_owned(), PrimitiveType::Int, false));
        columns.push((COMMIT_LSN.to_owned(), PrimitiveType::Long, false));
        columns.push((ORDINAL.to_owned(), PrimitiveType::Long, false));
        let key = contract.key_columns().map(|column| column.name.clone()).collect();
        Self { columns, partition_by, key }
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
            columns.push((column.clone(), primitive, false));
        }
        for wanted in partition_by.iter().chain(key) {
            if !columns.iter().any(|(column, _, _)| column == wanted) {
                return Err(WarehouseError::Request {
                    reason: format!("model `{name}` does not return `{wanted}`, which its partition or key names"),
                });
            }
        }
        Ok(Self { columns, partition_by: partition_by.to_vec(), key: key.to_vec() })
    }

    /// The request that creates the table.
    pub(crate) fn creation(&self, ident: &TableIdent, location: String) -> Result<TableCreation> {
        let failed = || format!("describe table `{ident}`");
        let mut identifiers = Vec::new();
        let mut fields = Vec::new();
        for (id, (name, primitive, required)) in (1..).zip(&self.columns) {
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
        let creation = TableCreation::builder().name(ident.name().to_owned()).location(location).schema(schema);
        let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(creation.partition_spec(spec.build()).properties(properties).build())
    }

    /// Refuses a table that was made for other columns: there is no schema evolution yet.
    pub(crate) fn check(&self, ident: &TableIdent, metadata: &TableMetadata) -> Result<()> {
        let fields = metadata.current_schema().as_struct().fields();
        let same = fields.len() == self.columns.len()
            && fields.iter().zip(&self.columns).all(|(field, (name, primitive, _))| {
                field.name == *name && *field.field_type == Type::Primitive(primitive.clone())
            });
        if same {
            return Ok(());
        }
        Err(WarehouseError::Unsupported {
            table: ident.to_string(),
            reason: "its columns differ from what the contract or model now says, and schema changes are not implemented; drop \
                     the table to have it rebuilt"
                .to_owned(),
        })
    }
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

//! The shape of a source table as the catalog and the stream tell it: names, type OIDs, key.
//!
//! Wider than the contract on purpose: DMS sends every column the source has, and it is ingest that holds the row to its
//! contract. Knows how a type is called in a `table-def`; knows nothing of SQL.

use serde_json::{Value, json};
use tokio_postgres::types::Type;

/// A source column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnShape {
    /// Name.
    pub name: String,
    /// `pg_attribute.atttypid`.
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`, -1 for none.
    pub type_modifier: i32,
    /// Whether NULL is allowed.
    pub nullable: bool,
    /// Whether the column belongs to the primary key.
    pub is_key: bool,
}

/// A source table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableShape {
    /// Schema.
    pub schema: String,
    /// Table.
    pub name: String,
    /// Columns in source order.
    pub columns: Vec<ColumnShape>,
}

impl TableShape {
    /// `schema.table`: the partition key of its rows.
    pub fn partition_key(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// `"schema"."table"` for SQL.
    pub(super) fn quoted(&self) -> String {
        format!("{}.{}", quote_identifier(&self.schema), quote_identifier(&self.name))
    }

    /// The `table-def` of a control record.
    pub(super) fn definition(&self) -> Value {
        let columns: serde_json::Map<String, Value> =
            self.columns.iter().map(|column| (column.name.clone(), column.definition())).collect();
        let key: Vec<&str> =
            self.columns.iter().filter(|column| column.is_key).map(|column| column.name.as_str()).collect();
        json!({"table-def": {"columns": columns, "primary-key": key}})
    }
}

impl ColumnShape {
    /// Digits of a `numeric(p,s)`: `(p, s)`.
    pub(super) fn numeric_precision(&self) -> Option<(i32, i32)> {
        let packed = self.type_modifier - 4;
        (self.type_oid == Type::NUMERIC.oid() && packed >= 0).then_some(((packed >> 16) & 0xffff, packed & 0x7ff))
    }

    /// Whether DMS moves the column as a LOB.
    pub(super) fn is_lob(&self) -> bool {
        let lobs = [Type::TEXT, Type::JSON, Type::JSONB, Type::BYTEA, Type::XML];
        lobs.iter().any(|lob| lob.oid() == self.type_oid)
    }

    fn definition(&self) -> Value {
        let mut definition = match Type::from_oid(self.type_oid) {
            Some(Type::BOOL) => json!({"type": "BOOL"}),
            Some(Type::INT2) => json!({"type": "INT16"}),
            Some(Type::INT4) => json!({"type": "INT32"}),
            Some(Type::INT8) => json!({"type": "INT64"}),
            Some(Type::FLOAT4) => json!({"type": "FLOAT"}),
            Some(Type::FLOAT8) => json!({"type": "DOUBLE"}),
            Some(Type::NUMERIC) => match self.numeric_precision() {
                Some((precision, scale)) => json!({"type": "NUMERIC", "precision": precision, "scale": scale}),
                None => json!({"type": "NUMERIC"}),
            },
            Some(Type::DATE) => json!({"type": "DATE32"}),
            Some(Type::TIMESTAMP | Type::TIMESTAMPTZ) => json!({"type": "TIMESTAMP"}),
            Some(Type::BYTEA) => json!({"type": "BLOB"}),
            Some(Type::VARCHAR | Type::BPCHAR) if self.type_modifier > 4 => {
                json!({"type": "STRING", "length": self.type_modifier - 4})
            }
            Some(Type::VARCHAR) => json!({"type": "STRING", "length": 8000}),
            _ => json!({"type": "STRING"}),
        };
        definition["nullable"] = Value::Bool(self.nullable);
        definition
    }
}

/// A name inside double quotes.
pub(super) fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text inside single quotes, for statements that take no parameters.
pub(super) fn quote_literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
pub(super) mod samples {
    use super::*;

    pub(crate) fn column(name: &str, column_type: Type, is_key: bool) -> ColumnShape {
        ColumnShape { name: name.into(), type_oid: column_type.oid(), type_modifier: -1, nullable: !is_key, is_key }
    }

    /// `dm_core.beer(beer_id bigint key, beer_name text, beer_abv numeric(4,1), tasted timestamptz)`
    pub(crate) fn beer() -> TableShape {
        let mut abv = column("beer_abv", Type::NUMERIC, false);
        abv.type_modifier = (4 << 16 | 1) + 4;
        TableShape {
            schema: "dm_core".into(),
            name: "beer".into(),
            columns: vec![
                column("beer_id", Type::INT8, true),
                column("beer_name", Type::TEXT, false),
                abv,
                column("tasted", Type::TIMESTAMPTZ, false),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_lists_types_and_key() {
        let definition = samples::beer().definition();
        let columns = &definition["table-def"]["columns"];
        assert_eq!(columns["beer_id"], json!({"type": "INT64", "nullable": false}));
        assert_eq!(columns["beer_abv"], json!({"type": "NUMERIC", "precision": 4, "scale": 1, "nullable": true}));
        assert_eq!(columns["beer_name"], json!({"type": "STRING", "nullable": true}));
        assert_eq!(definition["table-def"]["primary-key"], json!(["beer_id"]));
    }

    #[test]
    fn names_are_quoted() {
        assert_eq!(quote_identifier("a\"b"), "\"a\"\"b\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
    }
}

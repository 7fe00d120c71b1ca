//! Tables from contracts: the DDL of the source.
//!
//! Schema, columns, NOT NULL and primary key come from the contract and nothing else, so any lake gets its tables. There
//! are no foreign keys, not even in the beer lake: logical replication does not carry them, checking them would be
//! most of the cost of a load, and the mutations keep references whole by themselves (a test looks for orphans).

use std::collections::BTreeSet;
use std::fmt::Write as _;

use lakebed_contract::{Lake, TableContract};
use tokio_postgres::Client;

use crate::error::SourceError;
use crate::ledger;

/// Creates the schemas and tables of `lake`, and the ledger beside them, where they do not exist yet.
pub async fn create_schema(client: &Client, lake: &Lake) -> Result<(), SourceError> {
    let schemas: BTreeSet<&str> = lake.tables.iter().map(|table| table.schema.as_str()).collect();
    let mut ddl = String::new();
    for schema in schemas {
        let _infallible = writeln!(ddl, "CREATE SCHEMA IF NOT EXISTS {};", quote(schema));
    }
    for table in &lake.tables {
        ddl.push_str(&create_table_sql(table));
    }
    client
        .batch_execute(&ddl)
        .await
        .map_err(SourceError::database(format!("create the source tables of lake `{}`", lake.name)))?;
    ledger::create(client, lake).await
}

/// `CREATE TABLE` of one contract.
pub fn create_table_sql(table: &TableContract) -> String {
    let mut lines: Vec<String> = table
        .columns
        .iter()
        .map(|column| {
            let not_null = if column.nullable { "" } else { " NOT NULL" };
            format!("    {} {}{not_null}", quote(&column.name), column.column_type)
        })
        .collect();
    let key: Vec<String> = table.key_columns().map(|column| quote(&column.name)).collect();
    lines.push(format!("    PRIMARY KEY ({})", key.join(", ")));
    format!("CREATE TABLE IF NOT EXISTS {} (\n{}\n);\n", qualified(table), lines.join(",\n"))
}

/// `"schema"."table"`.
pub(crate) fn qualified(table: &TableContract) -> String {
    format!("{}.{}", quote(&table.schema), quote(&table.name))
}

/// A quoted identifier, so that a column may be called `user` or `order`.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beer_table_has_its_types_and_key() {
        let lake = Lake::beer();
        let sql = create_table_sql(lake.table("beer").expect("the beer lake has beers"));
        insta::assert_snapshot!(sql, @r#"
        CREATE TABLE IF NOT EXISTS "dm_core"."beer" (
            "beer_id" bigint NOT NULL,
            "beer_name" text NOT NULL,
            "beer_style" text NOT NULL,
            "beer_abv" numeric(4,1),
            "brewery_id" bigint NOT NULL,
            PRIMARY KEY ("beer_id")
        );
        "#);
    }

    #[test]
    fn identifiers_cannot_break_out() {
        assert_eq!(quote("a\"b"), "\"a\"\"b\"");
    }
}

//! The source's own memory of its truth, in a schema beside the data: it outlives the process that generates and changes.
//!
//! ```text
//! lakebed.planted (class, value, in_text)   PII values ever written, noted before the transaction that writes them
//! lakebed.key_gone (table_name, key)        keys that were committed and are no more; filled by triggers, in the same transaction
//! lakebed.parts_gone (table_name, key)      the same for keys that are not one whole number, each part as text
//! ```
//!
//! Together with the live rows they give back a [`SourceTruth`] after a crash, whoever made the changes. Neither table is
//! published, so none of it reaches the lake. Does not see TRUNCATE.

use lakebed_contract::endpoints::PostgresEndpoint;
use lakebed_contract::{ColumnType, Lake, TableContract};
use tokio_postgres::Client;

use crate::connect::connect;
use crate::error::SourceError;
use crate::schema::{qualified, quote};
use crate::truth::{KeyPart, PlantedValue, SourceTruth};

/// Planted values of one statement.
pub(crate) const PLANTED_VALUES_MAX: usize = 10_000;
/// Schema of the ledger.
const LEDGER_SCHEMA: &str = "lakebed";

const TABLES: &str = "CREATE SCHEMA IF NOT EXISTS lakebed;
CREATE TABLE IF NOT EXISTS lakebed.planted (serial bigserial PRIMARY KEY, class text NOT NULL, value text NOT NULL, in_text bool NOT NULL);
CREATE TABLE IF NOT EXISTS lakebed.key_gone (table_name text, key bigint, PRIMARY KEY (table_name, key));
CREATE TABLE IF NOT EXISTS lakebed.parts_gone (table_name text, key text[], PRIMARY KEY (table_name, key));
CREATE OR REPLACE FUNCTION lakebed.note_parts_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO lakebed.parts_gone SELECT $1, ARRAY[%s] ON CONFLICT DO NOTHING', TG_ARGV[1]) USING TG_ARGV[0], OLD;
  RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION lakebed.note_key_gone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO lakebed.key_gone SELECT $1, ($2).%I ON CONFLICT DO NOTHING', TG_ARGV[1]) USING TG_ARGV[0], OLD;
  RETURN NULL;
END $$;
";

/// Creates the ledger for the tables of `lake`, which must exist. Harmless when it exists.
pub(crate) async fn create(client: &Client, lake: &Lake) -> Result<(), SourceError> {
    let mut ddl = TABLES.to_owned();
    for table in &lake.tables {
        let (function, argument) = match one_integer(table) {
            Some(key) => ("note_key_gone", key.to_owned()),
            None => ("note_parts_gone", key_texts(table, "($2)")),
        };
        let literal = |text: &str| text.replace('\'', "''");
        let call = format!("EXECUTE FUNCTION lakebed.{function}('{}', '{}')", literal(&table.name), literal(&argument));
        let key = |row: &str| {
            let columns = table.key_columns().map(|column| format!("{row}.{}", quote(&column.name)));
            columns.collect::<Vec<_>>().join(", ")
        };
        let (name, old, new) = (qualified(table), key("OLD"), key("NEW"));
        ddl.push_str(&format!(
            "CREATE OR REPLACE TRIGGER lakebed_key_deleted AFTER DELETE ON {name} FOR EACH ROW {call};\n\
             CREATE OR REPLACE TRIGGER lakebed_key_changed AFTER UPDATE ON {name} FOR EACH ROW \
             WHEN (ROW({old}) IS DISTINCT FROM ROW({new})) {call};\n"
        ));
    }
    client.batch_execute(&ddl).await.map_err(SourceError::database("create the source's ledger"))
}

/// Notes planted values. Called before the transaction that writes them: a value too many is looked for in vain, a value too few
/// would go unnoticed.
pub(crate) async fn note_planted(client: &Client, planted: &[PlantedValue]) -> Result<(), SourceError> {
    for planted in planted.chunks(PLANTED_VALUES_MAX) {
        note_some(client, planted).await?;
    }
    Ok(())
}

async fn note_some(client: &Client, planted: &[PlantedValue]) -> Result<(), SourceError> {
    let classes: Vec<&str> = planted.iter().map(|value| value.class.as_str()).collect();
    let values: Vec<&str> = planted.iter().map(|value| value.value.as_str()).collect();
    let in_text: Vec<bool> = planted.iter().map(|value| value.in_text).collect();
    let insert = "INSERT INTO lakebed.planted (class, value, in_text) \
         SELECT * FROM unnest($1::text[], $2::text[], $3::bool[])";
    let noted = client.execute(insert, &[&classes, &values, &in_text]).await;
    noted.map(drop).map_err(SourceError::database("note planted values in the source's ledger"))
}

/// Reads the truth back: planted values in order of writing, and every key that is or was.
pub async fn read_truth(endpoint: &PostgresEndpoint, lake: &Lake) -> Result<SourceTruth, SourceError> {
    let failed = || SourceError::database("read the source's ledger");
    let client = connect(endpoint).await?;
    let mut truth = SourceTruth::default();
    let planted = "SELECT class, value, in_text FROM lakebed.planted ORDER BY serial";
    for row in client.query(planted, &[]).await.map_err(failed())? {
        truth.planted.push(PlantedValue { class: row.get(0), value: row.get(1), in_text: row.get(2) });
    }
    for table in &lake.tables {
        match one_integer(table) {
            Some(key) => {
                let sql = format!(
                    "SELECT {}::bigint FROM {} UNION SELECT key FROM lakebed.key_gone WHERE table_name = $1",
                    quote(key),
                    qualified(table)
                );
                let rows = client.query(&sql, &[&table.name]).await.map_err(failed())?;
                truth.keys_ever.insert(table.name.clone(), rows.iter().map(|row| row.get::<_, i64>(0)).collect());
            }
            None => {
                let sql = format!(
                    "SELECT ARRAY[{}] FROM {} AS live UNION SELECT key FROM lakebed.parts_gone WHERE table_name = $1",
                    key_texts(table, "live"),
                    qualified(table)
                );
                let rows = client.query(&sql, &[&table.name]).await.map_err(failed())?;
                let keys = rows.iter().filter_map(|row| key_parts(table, &row.get::<_, Vec<String>>(0)));
                truth.other_keys_ever.insert(table.name.clone(), keys.collect());
            }
        }
    }
    Ok(truth)
}

/// Empties the source and its ledger, so that an interrupted load can begin again.
pub async fn clear(client: &Client, lake: &Lake) -> Result<(), SourceError> {
    let mut tables: Vec<String> = lake.tables.iter().map(qualified).collect();
    tables.extend(["planted", "key_gone", "parts_gone"].map(|table| format!("{LEDGER_SCHEMA}.{table}")));
    let sql = format!("TRUNCATE {}", tables.join(", "));
    client.batch_execute(&sql).await.map_err(SourceError::database("empty the source tables"))
}

/// The key column of a table whose key is one whole number.
fn one_integer(table: &TableContract) -> Option<&str> {
    let mut keys = table.key_columns();
    let key = keys.next()?;
    let integer = matches!(key.column_type, ColumnType::Integer | ColumnType::Bigint);
    (keys.next().is_none() && integer).then_some(key.name.as_str())
}

/// The parts of a row's key as SQL expressions of type text, whatever the session's formats.
fn key_texts(table: &TableContract, row: &str) -> String {
    let texts = table.key_columns().map(|column| {
        let value = format!("{row}.{}", quote(&column.name));
        match column.column_type {
            ColumnType::Date => format!("({value} - date '1970-01-01')::text"),
            ColumnType::Timestamptz => format!("(extract(epoch FROM {value}) * 1000000)::bigint::text"),
            _ => format!("{value}::text"),
        }
    });
    texts.collect::<Vec<_>>().join(", ")
}

/// A key from what [`key_texts`] made of it; `None` where a part is of a type that no key of ours has.
fn key_parts(table: &TableContract, texts: &[String]) -> Option<Vec<KeyPart>> {
    let parts = table.key_columns().zip(texts).map(|(column, text)| {
        Some(match column.column_type {
            ColumnType::Integer | ColumnType::Bigint => KeyPart::Integer(text.parse().ok()?),
            ColumnType::Text => KeyPart::Text(text.clone()),
            ColumnType::Date => KeyPart::Date(text.parse().ok()?),
            ColumnType::Timestamptz => KeyPart::Instant(text.parse().ok()?),
            ColumnType::Boolean | ColumnType::Double | ColumnType::Decimal { .. } => return None,
        })
    });
    parts.collect()
}

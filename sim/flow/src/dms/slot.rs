//! The source side of a task: what must hold before it begins, its publication, its replication slot.
//!
//! A slot alone does not tell whether the full load that began with it was finished. So [`mark_loaded`] leaves a comment
//! on the publication, and a slot without that mark is refused: resuming there would lose the rows that were never loaded.

use std::collections::BTreeSet;

use lakebed_contract::{Lake, Lsn, TableContract};
use tokio_postgres::Client;

use super::error::DmsError;
use super::shape::{ColumnShape, TableShape, quote_identifier, quote_literal};

/// Comment on the publication of a task whose full load is done, before the generation.
const LOADED_MARK: &str = "lakebed: loaded generation ";
/// Looks at a slot that another session still holds. Each waits [`RELEASE_PAUSE_SECONDS`] on the server.
const RELEASE_CHECKS_MAX: u32 = 200;
/// The server's own pause between two looks: what we wait for is a process of the server, not an event of our clock.
const RELEASE_PAUSE_SECONDS: f64 = 0.05;

/// Slot and publication names go into replication commands unquoted.
pub(super) fn check_name(kind: &str, name: &str) -> Result<(), DmsError> {
    let sound = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if sound && name.starts_with(|first: char| first.is_ascii_lowercase()) && name.len() < 64 {
        return Ok(());
    }
    let rule = "must be lower-case snake_case of at most 63 bytes";
    Err(DmsError::Preflight { reason: format!("{kind} name `{name}` {rule}") })
}

/// Checks the server and every table of the lake; returns the tables' shapes in lake order.
pub(super) async fn preflight(client: &Client, lake: &Lake) -> Result<Vec<TableShape>, DmsError> {
    let row = client
        .query_one("SELECT current_setting('wal_level')", &[])
        .await
        .map_err(DmsError::query("read wal_level"))?;
    let wal_level: String = row.get(0);
    if wal_level != "logical" {
        let reason = format!("wal_level is `{wal_level}`; set it to `logical` and restart the server");
        return Err(DmsError::Preflight { reason });
    }
    let mut shapes = Vec::with_capacity(lake.tables.len());
    for contract in &lake.tables {
        shapes.push(read_shape(client, contract).await?);
    }
    Ok(shapes)
}

async fn read_shape(client: &Client, contract: &TableContract) -> Result<TableShape, DmsError> {
    let label = format!("{}.{}", contract.schema, contract.name);
    let refuse = |reason: String| DmsError::Preflight { reason: format!("table `{label}` {reason}") };
    let read = || DmsError::query(format!("read the shape of table `{label}`"));
    let table = "SELECT c.oid, c.relkind::text, c.relreplident::text FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = $2";
    let found = client.query_opt(table, &[&contract.schema, &contract.name]).await.map_err(read())?;
    let found = found.ok_or_else(|| refuse("does not exist".to_owned()))?;
    let (oid, kind, identity): (u32, String, String) = (found.get(0), found.get(1), found.get(2));
    if kind != "r" {
        return Err(refuse(format!("has relkind `{kind}`; only ordinary tables can be captured")));
    }
    if identity != "d" && identity != "f" {
        return Err(refuse(format!("has replica identity `{identity}`; it must be DEFAULT or FULL")));
    }
    let columns = "SELECT a.attname::text, a.atttypid, a.atttypmod, a.attnotnull, \
         COALESCE(a.attnum = ANY (i.indkey), false) FROM pg_catalog.pg_attribute a \
         LEFT JOIN pg_catalog.pg_index i ON i.indrelid = a.attrelid AND i.indisprimary \
         WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum";
    let columns: Vec<ColumnShape> = client
        .query(columns, &[&oid])
        .await
        .map_err(read())?
        .iter()
        .map(|row| ColumnShape {
            name: row.get(0),
            type_oid: row.get(1),
            type_modifier: row.get(2),
            nullable: !row.get::<_, bool>(3),
            is_key: row.get(4),
        })
        .collect();
    let shape = TableShape { schema: contract.schema.clone(), name: contract.name.clone(), columns };
    check_contract(&shape, contract).map_err(refuse)?;
    Ok(shape)
}

/// Every contract column exists, and the primary key is the contract's key.
fn check_contract(shape: &TableShape, contract: &TableContract) -> Result<(), String> {
    let key: BTreeSet<&str> = shape.columns.iter().filter(|c| c.is_key).map(|c| c.name.as_str()).collect();
    if key.is_empty() {
        return Err("has no primary key; its updates and deletes cannot be captured".to_owned());
    }
    let expected: BTreeSet<&str> = contract.key_columns().map(|column| column.name.as_str()).collect();
    if key != expected {
        return Err(format!("has primary key {key:?}, its contract says {expected:?}"));
    }
    for column in &contract.columns {
        if !shape.columns.iter().any(|found| found.name == column.name) {
            return Err(format!("has no column `{}`, which its contract names", column.name));
        }
    }
    Ok(())
}

/// Makes the publication cover exactly these tables, and takes away a mark an earlier task left on it.
pub(super) async fn publish(client: &Client, publication: &str, tables: &[TableShape]) -> Result<(), DmsError> {
    let existing = published(client, publication).await?;
    let name = quote_identifier(publication);
    let list = tables.iter().map(TableShape::quoted).collect::<Vec<_>>().join(", ");
    let change = if existing.is_some() {
        format!(
            "ALTER PUBLICATION {name} SET TABLE {list}; \
             ALTER PUBLICATION {name} SET (publish = 'insert, update, delete, truncate');"
        )
    } else {
        format!("CREATE PUBLICATION {name} FOR TABLE {list};")
    };
    client
        .batch_execute(&format!("{change} COMMENT ON PUBLICATION {name} IS NULL;"))
        .await
        .map_err(DmsError::query(format!("create publication `{publication}`")))
}

/// `schema.table` of everything published; `None` when there is no such publication.
async fn published(client: &Client, publication: &str) -> Result<Option<BTreeSet<String>>, DmsError> {
    let read = || DmsError::query(format!("read publication `{publication}`"));
    let exists = "SELECT 1 FROM pg_catalog.pg_publication WHERE pubname = $1";
    if client.query_opt(exists, &[&publication]).await.map_err(read())?.is_none() {
        return Ok(None);
    }
    let tables = "SELECT schemaname::text || '.' || tablename::text FROM pg_catalog.pg_publication_tables \
         WHERE pubname = $1";
    let rows = client.query(tables, &[&publication]).await.map_err(read())?;
    Ok(Some(rows.iter().map(|row| row.get(0)).collect()))
}

/// Notes that everything before the slot's consistent point is loaded.
pub(super) async fn mark_loaded(client: &Client, publication: &str, generation: u32) -> Result<(), DmsError> {
    let mark = quote_literal(&format!("{LOADED_MARK}{generation}"));
    client
        .batch_execute(&format!("COMMENT ON PUBLICATION {} IS {mark}", quote_identifier(publication)))
        .await
        .map_err(DmsError::query(format!("mark publication `{publication}` as loaded")))
}

/// Where an existing slot would go on; `None` when there is no such slot.
///
/// # Errors
/// A slot that must not be resumed: of another kind, invalidated, with an unfinished load, with other tables.
pub(super) async fn resume_point(
    client: &Client,
    slot: &str,
    publication: &str,
    generation: u32,
    tables: &[TableShape],
) -> Result<Option<Lsn>, DmsError> {
    let query = "SELECT COALESCE(plugin::text, ''), COALESCE(database::text, '') = current_database(), \
         COALESCE(wal_status, ''), COALESCE(confirmed_flush_lsn::text, '') \
         FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";
    let read = DmsError::query(format!("read replication slot `{slot}`"));
    let Some(row) = client.query_opt(query, &[&slot]).await.map_err(read)? else { return Ok(None) };
    let (plugin, here, wal_status, flushed): (String, bool, String, String) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    if plugin != "pgoutput" || !here {
        return Err(DmsError::slot(slot, "it is not a pgoutput slot of this database"));
    }
    if wal_status == "lost" {
        return Err(DmsError::slot(slot, "the server removed WAL it needs; drop it and start a new load"));
    }
    let flushed: Lsn = flushed.parse().map_err(|_| DmsError::slot(slot, "it has no confirmed position"))?;
    check_loaded(client, slot, publication, generation).await?;
    let expected: BTreeSet<String> = tables.iter().map(TableShape::partition_key).collect();
    if published(client, publication).await?.as_ref() != Some(&expected) {
        let reason = format!("publication `{publication}` lists other tables than the lake; start a new load");
        return Err(DmsError::slot(slot, reason));
    }
    Ok(Some(flushed))
}

async fn check_loaded(client: &Client, slot: &str, publication: &str, generation: u32) -> Result<(), DmsError> {
    let query = "SELECT pg_catalog.obj_description(oid, 'pg_publication') FROM pg_catalog.pg_publication \
         WHERE pubname = $1";
    let read = DmsError::query(format!("read publication `{publication}`"));
    let mark: Option<String> = client.query_opt(query, &[&publication]).await.map_err(read)?.and_then(|row| row.get(0));
    match mark.as_deref().and_then(|mark| mark.strip_prefix(LOADED_MARK)) {
        Some(loaded) if loaded == generation.to_string() => Ok(()),
        Some(loaded) => Err(DmsError::slot(slot, format!("it belongs to generation {loaded}, not {generation}"))),
        None => {
            let reason = "the full load that began with it was never finished; drop it and start a new load";
            Err(DmsError::slot(slot, reason))
        }
    }
}

/// Waits until no session holds the slot.
pub(super) async fn wait_released(client: &Client, slot: &str) -> Result<(), DmsError> {
    let read = || DmsError::query(format!("wait for replication slot `{slot}`"));
    for _ in 0..RELEASE_CHECKS_MAX {
        let query = "SELECT active FROM pg_catalog.pg_replication_slots WHERE slot_name = $1";
        let row = client.query_opt(query, &[&slot]).await.map_err(read())?;
        if !row.is_some_and(|row| row.get(0)) {
            return Ok(());
        }
        client.query_one("SELECT pg_catalog.pg_sleep($1)", &[&RELEASE_PAUSE_SECONDS]).await.map_err(read())?;
    }
    Err(DmsError::slot(slot, "another session holds it"))
}

/// Drops slot and publication, if they exist.
pub(super) async fn discard(client: &Client, slot: &str, publication: &str) -> Result<(), DmsError> {
    wait_released(client, slot).await?;
    let query = "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots \
         WHERE slot_name = $1";
    client.query(query, &[&slot]).await.map_err(DmsError::query(format!("drop replication slot `{slot}`")))?;
    client
        .batch_execute(&format!("DROP PUBLICATION IF EXISTS {}", quote_identifier(publication)))
        .await
        .map_err(DmsError::query(format!("drop publication `{publication}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_need_quotes_are_refused() {
        assert!(check_name("slot", "lakebed_7").is_ok());
        let long = "a".repeat(64);
        for bad in ["", "Lakebed", "a-b", "a b", "a,b", "7a", "a'b", long.as_str()] {
            assert!(check_name("slot", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_table_must_have_the_contracts_key_and_columns() {
        let lake = Lake::beer();
        let contract = lake.table("beer").expect("in the beer lake");
        let mut shape = TableShape {
            schema: contract.schema.clone(),
            name: contract.name.clone(),
            columns: contract
                .columns
                .iter()
                .map(|column| ColumnShape {
                    name: column.name.clone(),
                    type_oid: 25,
                    type_modifier: -1,
                    nullable: column.nullable,
                    is_key: column.is_key,
                })
                .collect(),
        };
        assert_eq!(check_contract(&shape, contract), Ok(()));
        shape.columns[1].is_key = true;
        assert!(check_contract(&shape, contract).expect_err("wider key").contains("primary key"));
        shape.columns[1].is_key = false;
        shape.columns.remove(2);
        assert!(check_contract(&shape, contract).expect_err("missing column").contains("beer_style"));
        shape.columns[0].is_key = false;
        assert!(check_contract(&shape, contract).expect_err("no key").contains("no primary key"));
    }
}

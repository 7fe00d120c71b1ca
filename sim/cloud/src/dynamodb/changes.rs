//! The change log: which streams there have been, and which of dynoxide's change records belong to each.
//!
//! dynoxide inserts a row into `_stream_records` in the transaction that changes an item; its autoincrement `id` is the
//! order of commits, because dynoxide writes through one connection. Triggers in the same database note where a stream
//! begins and ends, also in the transaction that causes it. So a stream is `(table, after_id, last_id]`, and no change
//! can be seen twice, missed or reordered. Reads go through a connection of their own and see committed rows only. Does
//! not trim: records older than 24 hours stay readable.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Names of ours hold a colon, which no DynamoDB table name may, so no table of the user's can collide with them. The
/// two indexes serve our reads and dynoxide's own search for the next number, which would otherwise read all records
/// per write.
const SETUP: &str = r#"
CREATE TABLE IF NOT EXISTS "lakebed:streams" (
    table_name TEXT NOT NULL, label TEXT NOT NULL, view_type TEXT NOT NULL, key_schema TEXT NOT NULL,
    after_id INTEGER NOT NULL, last_id INTEGER, PRIMARY KEY (table_name, label));
CREATE INDEX IF NOT EXISTS "lakebed:records_by_table" ON _stream_records (table_name);
CREATE INDEX IF NOT EXISTS "lakebed:records_by_number"
    ON _stream_records (table_name, CAST(sequence_number AS INTEGER));
CREATE TRIGGER IF NOT EXISTS "lakebed:stream_ends" AFTER UPDATE OF stream_enabled, stream_label ON _tables
WHEN OLD.stream_enabled = 1 AND (NEW.stream_enabled IS NOT 1 OR NEW.stream_label IS NOT OLD.stream_label)
BEGIN
    UPDATE "lakebed:streams"
    SET last_id = COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '_stream_records'), 0)
    WHERE table_name = OLD.table_name AND last_id IS NULL AND label = OLD.stream_label;
END;
CREATE TRIGGER IF NOT EXISTS "lakebed:stream_ends_with_table" AFTER DELETE ON _tables WHEN OLD.stream_enabled = 1
BEGIN
    UPDATE "lakebed:streams"
    SET last_id = COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '_stream_records'), 0)
    WHERE table_name = OLD.table_name AND last_id IS NULL AND label = OLD.stream_label;
END;
CREATE TRIGGER IF NOT EXISTS "lakebed:stream_begins" AFTER UPDATE OF stream_enabled, stream_label ON _tables
WHEN NEW.stream_enabled = 1 AND (OLD.stream_enabled IS NOT 1 OR NEW.stream_label IS NOT OLD.stream_label)
BEGIN
    INSERT INTO "lakebed:streams" (table_name, label, view_type, key_schema, after_id)
    VALUES (NEW.table_name, NEW.stream_label, NEW.stream_view_type, NEW.key_schema,
            COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '_stream_records'), 0));
END;
"#;

/// A stream, open or closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    /// Table it belongs (or belonged) to.
    pub(super) table: String,
    /// dynoxide's label, `<seconds>.<nanoseconds>` of its creation.
    pub(super) label: String,
    /// `NEW_IMAGE`, …
    pub(super) view_type: String,
    /// The table's key schema as JSON.
    pub(super) key_schema: String,
    /// Its first record has a greater id than this.
    pub(super) after_id: i64,
    /// Its last record, once it is closed.
    pub(super) last_id: Option<i64>,
}

/// One change, as stored. No `Debug`: it holds item values.
pub(super) struct Change {
    /// Order of commit.
    pub(super) id: i64,
    /// `INSERT`, `MODIFY` or `REMOVE`.
    pub(super) event_name: String,
    /// Key attributes, DynamoDB JSON.
    pub(super) keys: String,
    /// The item after the change, where the view type has it.
    pub(super) new_image: Option<String>,
    /// The item before it, where the view type has it.
    pub(super) old_image: Option<String>,
    /// Seconds since the epoch, by dynoxide's clock.
    pub(super) created_at: i64,
    /// `{"type","principalId"}` when TTL removed the item.
    pub(super) user_identity: Option<String>,
}

impl Change {
    /// Bytes of keys and images as JSON: what `SizeBytes` reports and pages are measured by.
    pub(super) fn size(&self) -> usize {
        let image = |json: &Option<String>| json.as_ref().map_or(0, String::len);
        self.keys.len() + image(&self.new_image) + image(&self.old_image)
    }
}

/// Reads streams and their records.
#[derive(Debug)]
pub(super) struct ChangeLog {
    connection: Mutex<Connection>,
}

impl ChangeLog {
    /// Opens the database dynoxide has already set up at `path`, and adds what is ours.
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.execute_batch(SETUP)?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Streams ordered by table and label, from just after the given one.
    pub(super) fn streams(
        &self,
        table: Option<&str>,
        after: Option<(&str, &str)>,
        limit: usize,
    ) -> rusqlite::Result<Vec<Stream>> {
        let (after_table, after_label) = after.unwrap_or(("", ""));
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            r#"SELECT table_name, label, view_type, key_schema, after_id, last_id FROM "lakebed:streams"
               WHERE (?1 IS NULL OR table_name = ?1) AND (table_name, label) > (?2, ?3)
               ORDER BY table_name, label LIMIT ?4"#,
        )?;
        let rows = statement.query_map(params![table, after_table, after_label, bounded(limit)], stream_of_row)?;
        rows.collect()
    }

    /// One stream.
    pub(super) fn stream(&self, table: &str, label: &str) -> rusqlite::Result<Option<Stream>> {
        find(&self.lock(), table, label)
    }

    /// The id of the newest record of `stream`; the place it begins at when it has none.
    pub(super) fn newest(&self, stream: &Stream) -> rusqlite::Result<i64> {
        let newest: Option<i64> = self
            .lock()
            .prepare_cached(
                "SELECT id FROM _stream_records WHERE table_name = ?1 AND id > ?2 AND id <= ?3
                 ORDER BY id DESC LIMIT 1",
            )?
            .query_row(params![stream.table, stream.after_id, stream.last_id.unwrap_or(i64::MAX)], |row| row.get(0))
            .optional()?;
        Ok(newest.unwrap_or(stream.after_id))
    }

    /// A stream and its records after `position`, in order: up to `limit` of them, and no more than `bytes` unless the
    /// first alone is larger. One snapshot of the database answers both, so a record of a later stream of the same
    /// table cannot slip in.
    pub(super) fn read(
        &self,
        (table, label): (&str, &str),
        position: i64,
        limit: usize,
        bytes: usize,
    ) -> rusqlite::Result<Option<(Stream, Vec<Change>)>> {
        let mut connection = self.lock();
        let snapshot = connection.transaction()?;
        let Some(stream) = find(&snapshot, table, label)? else { return Ok(None) };
        let mut statement = snapshot.prepare_cached(
            "SELECT id, event_name, keys_json, new_image, old_image, created_at, user_identity FROM _stream_records
             WHERE table_name = ?1 AND id > ?2 AND id <= ?3 ORDER BY id LIMIT ?4",
        )?;
        let from = position.max(stream.after_id);
        let until = stream.last_id.unwrap_or(i64::MAX);
        let rows = statement.query_map(params![table, from, until, bounded(limit)], change_of_row)?;
        let (mut changes, mut total) = (Vec::new(), 0);
        for change in rows {
            let change = change?;
            total += change.size();
            if total > bytes && !changes.is_empty() {
                break;
            }
            changes.push(change);
        }
        Ok(Some((stream, changes)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Connection> {
        // A panic while reading leaves nothing half done, so the connection stays usable.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn find(connection: &Connection, table: &str, label: &str) -> rusqlite::Result<Option<Stream>> {
    connection
        .prepare_cached(
            r#"SELECT table_name, label, view_type, key_schema, after_id, last_id FROM "lakebed:streams"
               WHERE table_name = ?1 AND label = ?2"#,
        )?
        .query_row(params![table, label], stream_of_row)
        .optional()
}

fn bounded(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn stream_of_row(row: &Row<'_>) -> rusqlite::Result<Stream> {
    Ok(Stream {
        table: row.get(0)?,
        label: row.get(1)?,
        view_type: row.get(2)?,
        key_schema: row.get(3)?,
        after_id: row.get(4)?,
        last_id: row.get(5)?,
    })
}

fn change_of_row(row: &Row<'_>) -> rusqlite::Result<Change> {
    Ok(Change {
        id: row.get(0)?,
        event_name: row.get(1)?,
        keys: row.get(2)?,
        new_image: row.get(3)?,
        old_image: row.get(4)?,
        created_at: row.get(5)?,
        user_identity: row.get(6)?,
    })
}

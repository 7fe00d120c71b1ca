//! The change log: which streams there have been, and which of dynoxide's change records belong to each.
//!
//! dynoxide inserts a row into `_stream_records` in the transaction that changes an item; its autoincrement `id` is the
//! order of commits, because dynoxide writes through one connection. Triggers in the same database (see [`SETUP`]) note
//! where a stream begins and ends, also in the transaction that causes it. So a stream is `(table, after_id, last_id]`,
//! and no change can be seen twice, missed or reordered. Reads go through a connection of their own and see committed
//! rows only. The newest record of a table is kept even when it is trimmed, because dynoxide derives the next number
//! from it; it can no longer be read. Knows neither items nor when to trim.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use lakebed_contract::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use super::schema::SETUP;

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const SELECT_STREAMS: &str = r#"SELECT s.table_name, s.label, s.view_type, s.key_schema, s.after_id, s.last_id,
    COALESCE(t.through_id, 0) FROM "lakebed:streams" s LEFT JOIN "lakebed:trimmed" t ON t.table_name = s.table_name"#;

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
    /// Records of the table up to this one have been trimmed.
    pub(super) trimmed_id: i64,
}

impl Stream {
    /// The trim horizon: the oldest record that can be read has a greater id.
    pub(super) fn horizon(&self) -> i64 {
        self.trimmed_id.min(self.last_id.unwrap_or(i64::MAX)).max(self.after_id)
    }
}

/// A table whose items expire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expiry {
    /// The table.
    pub(super) table: String,
    /// Attribute that holds the second an item expires at.
    pub(super) attribute: String,
    /// The table's key schema as JSON.
    pub(super) key_schema: String,
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
    /// Seconds since the epoch.
    pub(super) created_at: i64,
    /// `Identity` of the service model as JSON, when TTL removed the item.
    pub(super) user_identity: Option<String>,
}

impl Change {
    /// Bytes of keys and images as JSON: what `SizeBytes` reports and pages are measured by.
    pub(super) fn size(&self) -> usize {
        let image = |json: &Option<String>| json.as_ref().map_or(0, String::len);
        self.keys.len() + image(&self.new_image) + image(&self.old_image)
    }
}

/// Reads streams and their records, stamps and trims them.
#[derive(Debug)]
pub(super) struct ChangeLog {
    connection: Mutex<Connection>,
    /// Shared: requests of tables, so dynoxide's connection may write. Exclusive: ours may. SQLite has one writer at a
    /// time; taking turns here keeps either side from running into the other's busy timeout.
    turn: RwLock<()>,
    /// The second in `lakebed:present`. Changes only in our turn; `i64::MIN` while it has to be written anew.
    stamped: AtomicI64,
}

impl ChangeLog {
    /// Opens the database dynoxide has already set up at `path`, and adds what is ours.
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // What this connection writes is bookkeeping that the next start or round can do again; dynoxide's own commits
        // reach the disk together with whatever of ours came before them.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(SETUP)?;
        Ok(Self { connection: Mutex::new(connection), turn: RwLock::new(()), stamped: AtomicI64::new(i64::MIN) })
    }

    /// The right of a table's request to write. Records it causes are stamped with the second of `now`.
    pub(super) fn turn_of_tables(&self, now: Timestamp) -> rusqlite::Result<RwLockReadGuard<'_, ()>> {
        let second = now.seconds();
        loop {
            let turn = self.turn.read().unwrap_or_else(PoisonError::into_inner);
            if self.stamped.load(Ordering::Acquire) >= second {
                return Ok(turn);
            }
            drop(turn);
            let _ours = self.turn.write().unwrap_or_else(PoisonError::into_inner);
            if self.stamped.load(Ordering::Acquire) < second {
                self.write_present(second, false)?;
                self.stamped.store(second, Ordering::Release);
            }
        }
    }

    /// Runs `deletions` while no request of a table does. The REMOVE records they cause carry the identity of TTL,
    /// written in the transaction of each delete.
    pub(super) fn expiring<Outcome>(
        &self,
        now: Timestamp,
        deletions: impl FnOnce() -> Outcome,
    ) -> rusqlite::Result<Outcome> {
        let _ours = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        // Whatever happens from here on, the next request takes the mark back before it may write.
        self.stamped.store(i64::MIN, Ordering::Release);
        self.write_present(now.seconds(), true)?;
        Ok(deletions())
    }

    fn write_present(&self, second: i64, expiring: bool) -> rusqlite::Result<()> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(r#"UPDATE "lakebed:present" SET second = ?1, expiring = ?2"#)?;
        statement.execute(params![second, expiring]).map(|_rows| ())
    }

    /// Tables with TTL switched on; of one table only, if one is named.
    pub(super) fn expiries(&self, table: Option<&str>) -> rusqlite::Result<Vec<Expiry>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT table_name, ttl_attribute, key_schema FROM _tables
             WHERE ttl_enabled = 1 AND ttl_attribute IS NOT NULL AND (?1 IS NULL OR table_name = ?1)
             ORDER BY table_name",
        )?;
        let rows = statement.query_map(params![table], |row| {
            Ok(Expiry { table: row.get(0)?, attribute: row.get(1)?, key_schema: row.get(2)? })
        })?;
        rows.collect()
    }

    /// Tables that have or had a stream.
    pub(super) fn streamed_tables(&self) -> rusqlite::Result<Vec<String>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(r#"SELECT DISTINCT table_name FROM "lakebed:streams""#)?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        rows.collect()
    }

    /// Drops the oldest records of `table` that are older than `before`, at most `most` of them. Returns how many.
    pub(super) fn trim(&self, table: &str, before: Timestamp, most: usize) -> rusqlite::Result<usize> {
        let old = self.older_than(table, before, most)?;
        let Some(through) = old.last() else { return Ok(0) };
        let _ours = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        let mut connection = self.lock();
        let trimming = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        trimming.execute(
            r#"INSERT INTO "lakebed:trimmed" (table_name, through_id) VALUES (?1, ?2)
               ON CONFLICT (table_name) DO UPDATE SET through_id = excluded.through_id"#,
            params![table, through],
        )?;
        // All but the newest, and with them the one that was the newest when the last round spared it.
        trimming.execute(
            "DELETE FROM _stream_records WHERE table_name = ?1 AND id <= ?2
             AND id < (SELECT MAX(id) FROM _stream_records WHERE table_name = ?1)",
            params![table, through],
        )?;
        trimming.commit()?;
        Ok(old.len())
    }

    /// Ids of the oldest records of `table`, as long as they are older than `before`.
    fn older_than(&self, table: &str, before: Timestamp, most: usize) -> rusqlite::Result<Vec<i64>> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            r#"SELECT id, created_at FROM _stream_records
               WHERE table_name = ?1
               AND id > COALESCE((SELECT through_id FROM "lakebed:trimmed" WHERE table_name = ?1), 0)
               ORDER BY id LIMIT ?2"#,
        )?;
        let mut rows = statement.query(params![table, bounded(most)])?;
        let mut old = Vec::new();
        while let Some(row) = rows.next()? {
            if row.get::<_, i64>(1)? >= before.seconds() {
                break;
            }
            old.push(row.get(0)?);
        }
        Ok(old)
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
        let mut statement = connection.prepare_cached(&format!(
            "{SELECT_STREAMS} WHERE (?1 IS NULL OR s.table_name = ?1) AND (s.table_name, s.label) > (?2, ?3)
             ORDER BY s.table_name, s.label LIMIT ?4"
        ))?;
        let rows = statement.query_map(params![table, after_table, after_label, bounded(limit)], stream_of_row)?;
        rows.collect()
    }

    /// One stream.
    pub(super) fn stream(&self, table: &str, label: &str) -> rusqlite::Result<Option<Stream>> {
        find(&self.lock(), table, label)
    }

    /// The id of the newest record of `stream`; the place it begins at when it has none to read.
    pub(super) fn newest(&self, stream: &Stream) -> rusqlite::Result<i64> {
        let newest: Option<i64> = self
            .lock()
            .prepare_cached(
                "SELECT id FROM _stream_records WHERE table_name = ?1 AND id > ?2 AND id <= ?3
                 ORDER BY id DESC LIMIT 1",
            )?
            .query_row(params![stream.table, stream.after_id, stream.last_id.unwrap_or(i64::MAX)], |row| row.get(0))
            .optional()?;
        Ok(newest.unwrap_or(stream.after_id).max(stream.horizon()))
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
        let from = position.max(stream.horizon());
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
        .prepare_cached(&format!("{SELECT_STREAMS} WHERE s.table_name = ?1 AND s.label = ?2"))?
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
        trimmed_id: row.get(6)?,
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

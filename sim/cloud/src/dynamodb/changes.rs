//! The change log: which streams there have been, and which of dynoxide's change records belong to each.
//!
//! dynoxide inserts a row into `_stream_records` in the transaction that changes an item; its autoincrement `id` is the
//! order of commits, because dynoxide writes through one connection. Triggers in the same database (see [`SETUP`]) note
//! where a stream begins and ends, also in the transaction that causes it. So a stream is `(table, after_id, last_id]`, its
//! shards (see [`super::rolling`]) follow one another within, and no change can be seen twice, missed or reordered. Reads
//! go through a connection of their own and see committed rows only; [`super::pages`] reads the records themselves. What is
//! too old is dropped by [`super::trimming`]. Knows neither items nor when to trim.

use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use lakebed_contract::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::rolling::{Shard, shards_of};
use super::schema::SETUP;
use crate::config::Fsync;

const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A closed stream is there as long as its records are.
const SELECT_STREAM: &str = r#"SELECT s.table_name, s.label, s.view_type, s.key_schema, s.after_id, s.last_id,
    COALESCE(t.through_id, 0), e.second FROM "lakebed:streams" s
    LEFT JOIN "lakebed:trimmed" t ON t.table_name = s.table_name
    LEFT JOIN "lakebed:ended" e ON e.table_name = s.table_name AND e.label = s.label
    WHERE s.table_name = ?1 AND s.label = ?2 AND (e.second IS NULL OR e.second > ?3)"#;

/// AWS keeps stream records this long, and a closed stream or shard with them.
pub(super) const STREAM_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// A stream, open or closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    /// Table it belongs (or belonged) to.
    pub(super) table: String,
    /// dynoxide's label, `<seconds>.<nanoseconds>` of its creation.
    pub(super) label: String,
    /// `NEW_IMAGE`, …: what it shows. dynoxide keeps both images whatever this says.
    pub(super) view_type: String,
    /// The table's key schema as JSON.
    pub(super) key_schema: String,
    /// Its first record has a greater id than this.
    pub(super) after_id: i64,
    /// Its last record, once it is closed.
    pub(super) last_id: Option<i64>,
    /// Records of the table up to this one have been trimmed.
    pub(super) trimmed_id: i64,
    /// The second it was closed at.
    pub(super) ended: Option<i64>,
    /// Its shards, the oldest first; the last is open as long as the stream is.
    pub(super) shards: Vec<Shard>,
}

impl Stream {
    /// The shard of a number, if it is still known.
    pub(super) fn shard(&self, number: i64) -> Option<&Shard> {
        self.shards.iter().find(|shard| shard.number == number)
    }

    /// The trim horizon of a shard: the oldest record that can be read has a greater id.
    pub(super) fn horizon(&self, shard: &Shard) -> i64 {
        self.trimmed_id.min(shard.last_id.unwrap_or(i64::MAX)).max(shard.after_id)
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

/// Reads streams and their records, stamps and trims them.
#[derive(Debug)]
pub(super) struct ChangeLog {
    pub(super) connection: Mutex<Connection>,
    /// Shared: requests of tables, so dynoxide's connection may write. Exclusive: ours may. SQLite has one writer at a
    /// time; taking turns here keeps either side from running into the other's busy timeout.
    pub(super) turn: RwLock<()>,
    /// The second in `lakebed:present`. Changes only in our turn; `i64::MIN` while it has to be written anew.
    stamped: AtomicI64,
    /// The second shards were last looked at.
    pub(super) rolled: AtomicI64,
}

impl ChangeLog {
    /// Opens the database dynoxide has already set up at `path`, and adds what is ours.
    pub(super) fn open(path: &Path, fsync: Fsync) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Answers rest on it too: the token of a transaction, a deletion that goes on, a shard that was shown.
        connection.pragma_update(None, "synchronous", fsync.synchronous())?;
        connection.execute_batch(SETUP)?;
        let never = || AtomicI64::new(i64::MIN);
        Ok(Self { connection: Mutex::new(connection), turn: RwLock::new(()), stamped: never(), rolled: never() })
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

    /// Tables and labels of streams, ordered, from just after the given one; without those closed before `since`.
    pub(super) fn streams(
        &self,
        table: Option<&str>,
        after: Option<(&str, &str)>,
        since: i64,
        limit: usize,
    ) -> rusqlite::Result<Vec<(String, String)>> {
        let (after_table, after_label) = after.unwrap_or(("", ""));
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            r#"SELECT s.table_name, s.label FROM "lakebed:streams" s
               LEFT JOIN "lakebed:ended" e ON e.table_name = s.table_name AND e.label = s.label
               WHERE (?1 IS NULL OR s.table_name = ?1) AND (s.table_name, s.label) > (?2, ?3)
               AND (e.second IS NULL OR e.second > ?4) ORDER BY s.table_name, s.label LIMIT ?5"#,
        )?;
        let rows = statement.query_map(params![table, after_table, after_label, since, bounded(limit)], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        rows.collect()
    }

    /// What a stream shows, also when it is closed; `None` for one that is not known.
    pub(super) fn view_type(&self, table: &str, label: &str) -> rusqlite::Result<Option<String>> {
        self.lock()
            .prepare_cached(r#"SELECT view_type FROM "lakebed:streams" WHERE table_name = ?1 AND label = ?2"#)?
            .query_row(params![table, label], |row| row.get(0))
            .optional()
    }

    /// One stream, unless it was closed before `since`.
    pub(super) fn stream(&self, name: (&str, &str), since: i64) -> rusqlite::Result<Option<Stream>> {
        find(&self.lock(), name, since)
    }

    /// The id of the newest record of a shard; the place it begins at when it has none to read.
    pub(super) fn newest(&self, stream: &Stream, shard: &Shard) -> rusqlite::Result<i64> {
        self.newest_before(stream, shard, i64::MAX)
    }

    /// The id of the newest record of a shard that was written before a second.
    pub(super) fn newest_before(&self, stream: &Stream, shard: &Shard, second: i64) -> rusqlite::Result<i64> {
        let newest: Option<i64> = self
            .lock()
            .prepare_cached(
                "SELECT id FROM _stream_records WHERE table_name = ?1 AND id > ?2 AND id <= ?3 AND created_at < ?4
                 ORDER BY id DESC LIMIT 1",
            )?
            .query_row(params![stream.table, shard.after_id, shard.last_id.unwrap_or(i64::MAX), second], |row| {
                row.get(0)
            })
            .optional()?;
        Ok(newest.unwrap_or(shard.after_id).max(stream.horizon(shard)))
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'_, Connection> {
        // A panic while reading leaves nothing half done, so the connection stays usable.
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn find(
    connection: &Connection,
    (table, label): (&str, &str),
    since: i64,
) -> rusqlite::Result<Option<Stream>> {
    let found =
        connection.prepare_cached(SELECT_STREAM)?.query_row(params![table, label, since], stream_of_row).optional()?;
    let Some(mut stream) = found else { return Ok(None) };
    stream.shards = shards_of(connection, &stream)?;
    Ok(Some(stream))
}

pub(super) fn bounded(limit: usize) -> i64 {
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
        ended: row.get(7)?,
        shards: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_answers_rest_on_is_flushed_as_the_items_are() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tables.sqlite");
        drop(dynoxide::Database::new(path.to_str().expect("text")).expect("made"));
        for (fsync, level) in [(Fsync::Always, 2), (Fsync::Interval, 1), (Fsync::Never, 1)] {
            let log = ChangeLog::open(&path, fsync).expect("opens");
            let found: i64 = log.lock().query_row("PRAGMA synchronous", [], |row| row.get(0)).expect("asked");
            assert_eq!(found, level, "{fsync:?}");
        }
    }
}

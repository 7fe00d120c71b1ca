//! The shards of a stream over time: each is open for four hours, then the next one goes on.
//!
//! A table has one partition here, so a stream has one open shard. On AWS shards roll about every four hours; here a shard
//! rolls when somebody asks for anything at least four hours after it was opened, looked at once a minute of the clock. A roll
//! happens while no request of a table does, so every record lies in exactly one shard, and a shard's records are older than
//! its child's. A closed shard is shown for a day, as long as its records; its row is kept a little longer for iterators that
//! still point there. Holds no records.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lakebed_contract::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};

use super::changes::{ChangeLog, STREAM_RETENTION, Stream};

/// How long a shard is open.
pub(super) const SHARD_LIFETIME: Duration = Duration::from_secs(4 * 60 * 60);

/// How often shards are looked at.
const ROLL_INTERVAL: Duration = Duration::from_secs(60);

/// Rows of what is no longer shown are kept this much longer; longer than an iterator lives.
const ROWS_KEPT: Duration = Duration::from_secs(60 * 60);

/// A part of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shard {
    /// From 0; the shard before it is its parent.
    pub(super) number: i64,
    /// Its first record has a greater id than this.
    pub(super) after_id: i64,
    /// Its last record has at most this id, once it is closed.
    pub(super) last_id: Option<i64>,
    /// The second it was opened at.
    pub(super) opened: i64,
    /// The second it was closed at.
    pub(super) closed: Option<i64>,
}

/// The second a retention ago: what was closed before then is gone.
pub(super) fn retained_since(now: Timestamp) -> i64 {
    seconds_before(now, STREAM_RETENTION)
}

fn seconds_before(now: Timestamp, age: Duration) -> i64 {
    now.seconds().saturating_sub_unsigned(age.as_secs())
}

/// The shards of a stream, the oldest first.
pub(super) fn shards_of(connection: &Connection, stream: &Stream) -> rusqlite::Result<Vec<Shard>> {
    let mut statement = connection.prepare_cached(
        r#"SELECT number, after_id, opened FROM "lakebed:shards" WHERE table_name = ?1 AND label = ?2 ORDER BY number"#,
    )?;
    let rows = statement.query_map(params![stream.table, stream.label], |row| {
        let (number, after_id, opened) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(Shard { number, after_id, last_id: stream.last_id, opened, closed: stream.ended })
    })?;
    let mut shards: Vec<Shard> = rows.collect::<rusqlite::Result<_>>()?;
    for at in 1..shards.len() {
        let (after_id, opened) = (shards[at].after_id, shards[at].opened);
        shards[at - 1].last_id = Some(after_id);
        shards[at - 1].closed = Some(opened);
    }
    Ok(shards)
}

impl ChangeLog {
    /// Rolls the shards whose time is up, if that was not looked at lately.
    pub(super) fn roll(&self, now: Timestamp) -> rusqlite::Result<()> {
        let second = now.seconds();
        let is_due = || second >= self.rolled.load(Ordering::Acquire).saturating_add_unsigned(ROLL_INTERVAL.as_secs());
        if !is_due() {
            return Ok(());
        }
        let _ours = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        if !is_due() {
            return Ok(());
        }
        self.lock()
            .prepare_cached(
                r#"INSERT INTO "lakebed:shards" (table_name, label, number, after_id, opened)
                   SELECT s.table_name, s.label, MAX(h.number) + 1,
                          COALESCE((SELECT seq FROM sqlite_sequence WHERE name = '_stream_records'), 0), ?1
                   FROM "lakebed:streams" s
                   JOIN "lakebed:shards" h ON h.table_name = s.table_name AND h.label = s.label
                   WHERE s.last_id IS NULL GROUP BY s.table_name, s.label HAVING MAX(h.opened) <= ?2"#,
            )?
            .execute(params![second, seconds_before(now, SHARD_LIFETIME)])?;
        self.rolled.store(second, Ordering::Release);
        Ok(())
    }

    /// Forgets shards and streams that are no longer shown.
    pub(super) fn forget(&self, now: Timestamp) -> rusqlite::Result<()> {
        let before = seconds_before(now, STREAM_RETENTION + ROWS_KEPT);
        let _ours = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        let mut connection = self.lock();
        let forgetting = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        forgetting.execute(
            r#"DELETE FROM "lakebed:shards" AS old WHERE EXISTS (SELECT 1 FROM "lakebed:shards" later
               WHERE later.table_name = old.table_name AND later.label = old.label
               AND later.number > old.number AND later.opened <= ?1)"#,
            params![before],
        )?;
        for table in ["lakebed:shards", "lakebed:streams"] {
            forgetting.execute(
                &format!(
                    r#"DELETE FROM "{table}" AS old WHERE EXISTS (SELECT 1 FROM "lakebed:ended" e
                       WHERE e.table_name = old.table_name AND e.label = old.label AND e.second <= ?1)"#
                ),
                params![before],
            )?;
        }
        forgetting.execute(r#"DELETE FROM "lakebed:ended" WHERE second <= ?1"#, params![before])?;
        forgetting.commit()
    }
}

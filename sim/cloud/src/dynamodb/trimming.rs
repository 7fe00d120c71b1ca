//! What makes room in the change log: old records go, a batch at a time.
//!
//! The newest record of a table is kept even when it is trimmed, because dynoxide derives the next number from it; it can no
//! longer be read. Does not know when to trim.

use std::sync::PoisonError;

use lakebed_contract::Timestamp;
use rusqlite::{TransactionBehavior, params};

use super::changes::{ChangeLog, bounded};

impl ChangeLog {
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
}

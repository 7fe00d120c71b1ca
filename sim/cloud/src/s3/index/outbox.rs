//! Events that wait in the index, and how far each of their receivers has got.
//!
//! Every receiver gets every event, in order; an event is forgotten when all have it. A position is the id of the last
//! event its receiver has taken. A receiver that is new gets what waits; one that is no longer named holds nothing back.

use rusqlite::{Transaction, params};
use serde_json::Value;

use super::{Index, SqlResult};

/// Not part of the first schema, and of no interest to an index whose events nobody receives.
const RECEIVERS: &str = "
CREATE TABLE IF NOT EXISTS outbox_receiver (name TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
";

impl Index {
    /// Makes `names` the receivers; gives the names of those that are receivers no more though events wait for them.
    pub(in crate::s3) fn set_receivers(&mut self, names: &[&str]) -> SqlResult<Vec<String>> {
        let transaction = self.connection.transaction()?;
        transaction.execute_batch(RECEIVERS)?;
        let known: Vec<(String, bool)> = {
            let mut query = transaction.prepare(
                "SELECT name, EXISTS (SELECT 1 FROM outbox WHERE id > position) FROM outbox_receiver ORDER BY name",
            )?;
            query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<SqlResult<_>>()?
        };
        let gone: Vec<(String, bool)> = known.into_iter().filter(|(name, _)| !names.contains(&name.as_str())).collect();
        for (name, _) in &gone {
            transaction.execute("DELETE FROM outbox_receiver WHERE name = ?", [name])?;
        }
        for name in names {
            transaction.execute("INSERT OR IGNORE INTO outbox_receiver VALUES (?, 0)", [name])?;
        }
        transaction.execute(FORGET, [])?;
        transaction.commit()?;
        Ok(gone.into_iter().filter(|(_, misses)| *misses).map(|(name, _)| name).collect())
    }

    /// Makes `change`, which must be no transaction of its own, and records `event` for delivery, at once.
    pub(in crate::s3) fn telling<T>(
        &self,
        event: Option<&Value>,
        change: impl FnOnce(&Self) -> SqlResult<T>,
    ) -> SqlResult<T> {
        let transaction = self.connection.unchecked_transaction()?;
        let changed = change(self)?;
        add(&transaction, event)?;
        transaction.commit()?;
        Ok(changed)
    }

    /// The oldest events `receiver` has not taken.
    pub(in crate::s3) fn outbox(&self, receiver: &str, limit: usize) -> SqlResult<Vec<(i64, String)>> {
        let mut query = self.connection.prepare_cached(
            "SELECT id, document FROM outbox WHERE id > (SELECT position FROM outbox_receiver WHERE name = ?)
             ORDER BY id LIMIT ?",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        query.query_map(params![receiver, limit], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    /// Events that not every receiver has taken.
    pub(in crate::s3) fn outbox_count(&self) -> SqlResult<u64> {
        let count: i64 = self.connection.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// `receiver` has taken everything up to `id`. Gives how many events are forgotten because all have taken them.
    pub(in crate::s3) fn taken(&mut self, receiver: &str, id: i64) -> SqlResult<u64> {
        let transaction = self.connection.transaction()?;
        transaction
            .prepare_cached("UPDATE outbox_receiver SET position = max(position, ?) WHERE name = ?")?
            .execute(params![id, receiver])?;
        let forgotten = transaction.prepare_cached(FORGET)?.execute([])?;
        transaction.commit()?;
        Ok(forgotten as u64)
    }
}

/// Records an event for delivery, if there is one, as part of a transaction.
pub(super) fn add(transaction: &Transaction<'_>, event: Option<&Value>) -> SqlResult<()> {
    let Some(event) = event else { return Ok(()) };
    let mut insert = transaction.prepare_cached("INSERT INTO outbox (document) VALUES (?)")?;
    insert.execute([event.to_string()]).map(drop)
}

const FORGET: &str = "DELETE FROM outbox WHERE id <= (SELECT min(position) FROM outbox_receiver)";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Fsync;

    fn index_with(events: usize) -> (tempfile::TempDir, Index) {
        let dir = tempfile::tempdir().expect("a directory");
        let index = Index::open(&dir.path().join("index"), Fsync::Never).expect("opens");
        for number in 0..events {
            index.set_rules("b", "[]", Some(&json!(number))).expect("recorded");
        }
        (dir, index)
    }

    fn waiting(index: &Index, receiver: &str) -> Vec<String> {
        index.outbox(receiver, 10).expect("read").into_iter().map(|(_, document)| document).collect()
    }

    #[test]
    fn an_event_is_forgotten_when_all_have_it() {
        let (_dir, mut index) = index_with(3);
        assert_eq!(index.set_receivers(&["one", "two"]).expect("set"), Vec::<String>::new());
        assert_eq!(waiting(&index, "one"), ["0", "1", "2"]);
        let second = index.outbox("one", 2).expect("read")[1].0;
        assert_eq!(index.taken("one", second).expect("taken"), 0);
        assert_eq!((waiting(&index, "one").len(), waiting(&index, "two").len()), (1, 3));
        assert_eq!(index.taken("two", second - 1).expect("taken"), 1);
        assert_eq!(index.outbox_count().expect("counted"), 2);
        // A start with the same receivers changes nothing.
        assert_eq!(index.set_receivers(&["one", "two"]).expect("set"), Vec::<String>::new());
        assert_eq!((waiting(&index, "one"), waiting(&index, "two")), (vec!["2".into()], vec!["1".into(), "2".into()]));
    }

    #[test]
    fn who_is_no_receiver_any_more_holds_nothing_back() {
        let (_dir, mut index) = index_with(2);
        index.set_receivers(&["one", "two"]).expect("set");
        let last = index.outbox("one", 2).expect("read")[1].0;
        index.taken("one", last).expect("taken");
        assert_eq!(index.set_receivers(&["one"]).expect("set"), ["two"]);
        assert_eq!(index.outbox_count().expect("counted"), 0);
        index.set_rules("b", "[]", Some(&json!("later"))).expect("recorded");
        assert_eq!(waiting(&index, "one"), ["\"later\""]);
        index.set_receivers(&["one", "two"]).expect("set");
        assert_eq!(waiting(&index, "two"), ["\"later\""], "a new receiver gets what waits");
    }
}

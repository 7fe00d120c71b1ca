//! Brings an index written by an earlier version up to date.
//!
//! `PRAGMA user_version` counts the steps already made; each step and its number are one transaction. What a step adds
//! is not in the first schema, so a new index takes the same steps as an old one.

use rusqlite::{Connection, params};

use super::SqlResult;

/// Statements of each step, oldest first. A step that was published is never changed.
const STEPS: [&str; 3] = [
    "
ALTER TABLE upload ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
CREATE INDEX upload_by_key ON upload (bucket, key, substr(id, 17));
CREATE TABLE bucket_setting (bucket TEXT NOT NULL, name TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (bucket, name))
    WITHOUT ROWID;
",
    "
CREATE TABLE version (bucket TEXT NOT NULL, key BLOB NOT NULL, newest INTEGER NOT NULL, is_null INTEGER NOT NULL,
    non_current_since INTEGER, record TEXT NOT NULL, PRIMARY KEY (bucket, key, newest)) WITHOUT ROWID;
CREATE UNIQUE INDEX version_null ON version (bucket, key) WHERE is_null = 1;
CREATE TABLE last_change (id INTEGER PRIMARY KEY CHECK (id = 1), number INTEGER NOT NULL);
INSERT INTO last_change SELECT 1, value FROM sequence;
",
    "
CREATE TABLE body (sequence INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
",
];

/// Takes the steps that are still to be taken.
pub(super) fn migrate(connection: &mut Connection) -> SqlResult<()> {
    let done: u32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    for (number, statements) in (1_u32..).zip(STEPS).filter(|(number, _)| *number > done) {
        let transaction = connection.transaction()?;
        transaction.execute_batch(statements)?;
        if number == 1 {
            date_old_uploads(&transaction)?;
        }
        transaction.pragma_update(None, "user_version", number)?;
        transaction.commit()?;
    }
    Ok(())
}

/// An upload's id ends with its sequence in hexadecimal, and a sequence is close to the clock's microseconds: the best
/// that is known of when an upload began that was recorded without its time.
fn date_old_uploads(connection: &Connection) -> SqlResult<()> {
    let mut query = connection.prepare("SELECT id FROM upload")?;
    let ids = query.query_map([], |row| row.get(0))?.collect::<SqlResult<Vec<String>>>()?;
    for id in ids {
        let sequence = id.get(16..).and_then(|digits| i64::from_str_radix(digits, 16).ok()).unwrap_or(0);
        connection.execute("UPDATE upload SET created_at = ? WHERE id = ?", params![sequence, id])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lakebed_contract::Timestamp;

    use super::*;
    use crate::config::Fsync;
    use crate::s3::index::{Index, Rows, SCHEMA};

    #[test]
    fn an_index_of_the_second_step_keeps_its_files_and_takes_small_bodies() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("index");
        {
            let old = Connection::open(&path).expect("opens");
            old.execute_batch(SCHEMA).expect("made");
            STEPS[..2].iter().for_each(|statements| old.execute_batch(statements).expect("taken"));
            old.pragma_update(None, "user_version", 2).expect("set");
            let record = r#"{"file":"k","size":1,"etag":"00","last_modified":5,"sequence":5,"checksums":{},
                "headers":{"metadata":{}}}"#;
            old.execute("INSERT INTO object VALUES ('b', CAST('k' AS BLOB), ?)", [record]).expect("put");
        }
        for number in 6..8 {
            let mut index = Index::open(&path, Fsync::Never).expect("opens");
            let old = index.object("b", "k").expect("looked up").expect("still there");
            assert_eq!((old.own_file(), index.body(5).expect("looked up")), (Some("k"), None));
            let body = Some(bytes::Bytes::from_static(b"small"));
            index.apply(&Rows { body, ..Rows::new("b", "other", number) }).expect("committed");
            assert_eq!(index.body(number).expect("looked up").as_deref(), Some(b"small".as_slice()));
        }
    }

    #[test]
    fn an_index_of_the_first_version_opens_and_its_uploads_get_a_time() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("index");
        let id = format!("{:016x}{:016x}", 7, 1_700_000_000_000_000_i64);
        {
            let old = Connection::open(&path).expect("opens");
            old.execute_batch(SCHEMA).expect("made");
            let headers = r#"{"metadata":{}}"#;
            old.execute("INSERT INTO upload VALUES (?, 'b', CAST('k' AS BLOB), ?)", params![id, headers]).expect("put");
        }
        for _ in 0..2 {
            let index = Index::open(&path, Fsync::Never).expect("opens");
            let upload = index.upload(&id).expect("looked up").expect("still there");
            assert_eq!((upload.key.as_str(), upload.created_at), ("k", Timestamp::from_seconds(1_700_000_000)));
            assert!(upload.headers.tags.is_empty());
            assert_eq!(index.setting("b", "tags").expect("looked up"), None);
            assert!(!index.has_versions("b").expect("looked up"));
        }
    }
}

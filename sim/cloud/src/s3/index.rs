//! The S3 index: one SQLite file that says which objects, buckets, uploads and undelivered events exist.
//!
//! Each method is one transaction. The caller holds the only handle behind a lock and keeps files and index in step (see
//! [`super::store`]); this file never touches an object's bytes. Write-ahead logging without fsync on commit: what was
//! committed survives the process, not necessarily the machine.

mod migration;
mod uploads;

use std::path::Path;

use lakebed_contract::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checksum::Checksums;
use super::tagging::Tags;

pub(super) use uploads::ListedUpload;

/// SQLite's result.
pub(super) type SqlResult<T> = rusqlite::Result<T>;

/// More than this file has statements.
const STATEMENTS_CACHED: usize = 64;

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS bucket (name TEXT PRIMARY KEY, region TEXT NOT NULL, created_at INTEGER NOT NULL,
    rules TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS object (bucket TEXT NOT NULL, key BLOB NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (bucket, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS intent (id INTEGER PRIMARY KEY, bucket TEXT NOT NULL, key BLOB NOT NULL, intent TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS upload (id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key BLOB NOT NULL, headers TEXT NOT NULL)
    WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS part (upload TEXT NOT NULL, number INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (upload, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (id INTEGER PRIMARY KEY AUTOINCREMENT, document TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS sequence (id INTEGER PRIMARY KEY CHECK (id = 1), value INTEGER NOT NULL);
INSERT OR IGNORE INTO sequence VALUES (1, 0);
";

/// What a client said about an object, given back with it.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(super) struct StoredHeaders {
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) expires: Option<s3s::dto::Timestamp>,
    pub(super) metadata: std::collections::BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub(super) tags: Tags,
}

/// One object as it is now.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct ObjectRecord {
    /// File, relative to the bucket's directory.
    pub(super) file: String,
    pub(super) size: u64,
    /// Without quotes.
    pub(super) etag: String,
    pub(super) last_modified: Timestamp,
    /// Grows with every write to the store.
    pub(super) sequence: i64,
    pub(super) checksums: Checksums,
    pub(super) headers: StoredHeaders,
    /// The parts it was joined from, in order; none if it was written at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) parts: Vec<JoinedPart>,
}

/// One part an object was joined from.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct JoinedPart {
    pub(super) number: i32,
    pub(super) size: u64,
    #[serde(default, skip_serializing_if = "Checksums::is_empty")]
    pub(super) checksums: Checksums,
}

/// One bucket.
pub(super) struct BucketRecord {
    pub(super) name: String,
    pub(super) region: String,
    pub(super) created_at: Timestamp,
    /// Notification rules as JSON.
    pub(super) rules: String,
}

/// A multipart upload that is neither completed nor aborted.
pub(super) struct UploadRecord {
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) headers: StoredHeaders,
    pub(super) created_at: Timestamp,
}

/// One part of an upload.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct PartRecord {
    /// File name in the directory of parts.
    pub(super) file: String,
    pub(super) size: u64,
    /// Without quotes.
    pub(super) etag: String,
    pub(super) checksums: Checksums,
    /// Not known of parts that an earlier version kept.
    #[serde(default)]
    pub(super) uploaded_at: Option<Timestamp>,
}

/// What was about to happen to a file. An intent that outlived the process is finished at the next start.
#[derive(Serialize, Deserialize)]
pub(super) enum Intent {
    /// The staging file is about to be renamed to `record.file`; then the object is `record` and `event` is due.
    Put { staged: String, record: Box<ObjectRecord>, event: Option<Value> },
    /// The object is gone; its file is about to be removed.
    Delete { file: String },
}

/// An [`Intent`] and the object it is about.
pub(super) struct OpenIntent {
    pub(super) id: i64,
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) intent: Intent,
}

/// The open SQLite file.
pub(super) struct Index {
    connection: Connection,
}

impl Index {
    /// Opens or makes the file.
    pub(super) fn open(path: &Path) -> SqlResult<Self> {
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(SCHEMA)?;
        migration::migrate(&mut connection)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        Ok(Self { connection })
    }

    pub(super) fn bucket(&self, name: &str) -> SqlResult<Option<BucketRecord>> {
        let mut query = self.connection.prepare_cached("SELECT * FROM bucket WHERE name = ?")?;
        query.query_row([name], bucket_record).optional()
    }

    pub(super) fn buckets(&self) -> SqlResult<Vec<BucketRecord>> {
        let mut query = self.connection.prepare_cached("SELECT * FROM bucket ORDER BY name")?;
        query.query_map([], bucket_record)?.collect()
    }

    pub(super) fn create_bucket(&self, bucket: &BucketRecord) -> SqlResult<()> {
        let mut insert = self.connection.prepare_cached("INSERT INTO bucket VALUES (?, ?, ?, ?)")?;
        insert.execute(params![bucket.name, bucket.region, bucket.created_at.0, bucket.rules]).map(drop)
    }

    /// Removes a bucket and forgets its uploads; gives the files of their parts.
    pub(super) fn delete_bucket(&mut self, name: &str) -> SqlResult<Vec<String>> {
        let uploads: Vec<String> = {
            let mut query = self.connection.prepare_cached("SELECT id FROM upload WHERE bucket = ?")?;
            query.query_map([name], |row| row.get(0))?.collect::<SqlResult<_>>()?
        };
        let mut files = Vec::new();
        for upload in &uploads {
            files.extend(self.parts(upload)?.into_iter().map(|(_, part)| part.file));
        }
        let transaction = self.connection.transaction()?;
        transaction.execute("DELETE FROM part WHERE upload IN (SELECT id FROM upload WHERE bucket = ?)", [name])?;
        transaction.execute("DELETE FROM upload WHERE bucket = ?", [name])?;
        transaction.execute("DELETE FROM bucket_setting WHERE bucket = ?", [name])?;
        transaction.execute("DELETE FROM bucket WHERE name = ?", [name])?;
        transaction.commit()?;
        Ok(files)
    }

    /// Replaces the notification rules, and records `event` for delivery.
    pub(super) fn set_rules(&mut self, bucket: &str, rules: &str, event: Option<&Value>) -> SqlResult<()> {
        let transaction = self.connection.transaction()?;
        transaction.execute("UPDATE bucket SET rules = ? WHERE name = ?", [rules, bucket])?;
        if let Some(event) = event {
            transaction.execute("INSERT INTO outbox (document) VALUES (?)", [event.to_string()])?;
        }
        transaction.commit()
    }

    /// A setting of a bucket; `None` when it was never made.
    pub(super) fn setting(&self, bucket: &str, name: &str) -> SqlResult<Option<String>> {
        let mut query =
            self.connection.prepare_cached("SELECT value FROM bucket_setting WHERE bucket = ? AND name = ?")?;
        query.query_row([bucket, name], |row| row.get(0)).optional()
    }

    /// Makes, replaces or (with `None`) removes a setting of a bucket.
    pub(super) fn set_setting(&self, bucket: &str, name: &str, value: Option<&str>) -> SqlResult<()> {
        let changed = match value {
            Some(value) => self
                .connection
                .prepare_cached("INSERT OR REPLACE INTO bucket_setting VALUES (?, ?, ?)")?
                .execute([bucket, name, value]),
            None => self
                .connection
                .prepare_cached("DELETE FROM bucket_setting WHERE bucket = ? AND name = ?")?
                .execute([bucket, name]),
        };
        changed.map(drop)
    }

    /// Replaces what is known about an object whose bytes stay as they are.
    pub(super) fn update_object(&self, bucket: &str, key: &str, record: &ObjectRecord) -> SqlResult<()> {
        let mut update = self.connection.prepare_cached("UPDATE object SET record = ? WHERE bucket = ? AND key = ?")?;
        update.execute(params![to_json(record)?, bucket, key.as_bytes()]).map(drop)
    }

    pub(super) fn object(&self, bucket: &str, key: &str) -> SqlResult<Option<ObjectRecord>> {
        let mut query = self.connection.prepare_cached("SELECT record FROM object WHERE bucket = ? AND key = ?")?;
        query.query_row(params![bucket, key.as_bytes()], |row| json_column(row, 0)).optional()
    }

    /// Objects of a bucket in the byte order of their keys, from `from` (inclusive) up to `end` (exclusive).
    pub(super) fn scan(
        &self,
        bucket: &str,
        from: &[u8],
        end: Option<&[u8]>,
        limit: usize,
    ) -> SqlResult<Vec<(String, ObjectRecord)>> {
        let mut query = self.connection.prepare_cached(
            "SELECT key, record FROM object WHERE bucket = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3) ORDER BY key LIMIT ?4",
        )?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query
            .query_map(params![bucket, from, end, limit], |row| Ok((key_column(row, 0)?, json_column(row, 1)?)))?;
        rows.collect()
    }

    /// A number greater than all before it, even over restarts; close to the clock's microseconds where that is possible.
    pub(super) fn next_sequence(&self, now: Timestamp) -> SqlResult<i64> {
        let mut update = self
            .connection
            .prepare_cached("UPDATE sequence SET value = max(value + 1, ?) WHERE id = 1 RETURNING value")?;
        update.query_row([now.0], |row| row.get(0))
    }

    /// Records that a staging file is about to become an object.
    pub(super) fn begin_put(&self, bucket: &str, key: &str, intent: &Intent) -> SqlResult<i64> {
        let mut insert = self.connection.prepare_cached("INSERT INTO intent (bucket, key, intent) VALUES (?, ?, ?)")?;
        insert.execute(params![bucket, key.as_bytes(), to_json(intent)?])?;
        Ok(self.connection.last_insert_rowid())
    }

    /// Makes the object visible, its event due, and its intent forgotten, at once.
    pub(super) fn finish_put(
        &mut self,
        intent: i64,
        bucket: &str,
        key: &str,
        record: &ObjectRecord,
        event: Option<&Value>,
    ) -> SqlResult<()> {
        let record = to_json(record)?;
        let transaction = self.connection.transaction()?;
        transaction.prepare_cached("INSERT OR REPLACE INTO object VALUES (?, ?, ?)")?.execute(params![
            bucket,
            key.as_bytes(),
            record
        ])?;
        transaction.prepare_cached("DELETE FROM intent WHERE id = ?")?.execute([intent])?;
        if let Some(event) = event {
            let mut insert = transaction.prepare_cached("INSERT INTO outbox (document) VALUES (?)")?;
            insert.execute([event.to_string()])?;
        }
        transaction.commit()
    }

    /// Makes the object invisible and records that its file is about to be removed.
    pub(super) fn begin_delete(&mut self, bucket: &str, key: &str, file: &str) -> SqlResult<i64> {
        let intent = to_json(&Intent::Delete { file: file.to_owned() })?;
        let transaction = self.connection.transaction()?;
        transaction
            .prepare_cached("DELETE FROM object WHERE bucket = ? AND key = ?")?
            .execute(params![bucket, key.as_bytes()])?;
        transaction.prepare_cached("INSERT INTO intent (bucket, key, intent) VALUES (?, ?, ?)")?.execute(params![
            bucket,
            key.as_bytes(),
            intent
        ])?;
        let id = transaction.last_insert_rowid();
        transaction.commit()?;
        Ok(id)
    }

    pub(super) fn forget_intent(&self, id: i64) -> SqlResult<()> {
        self.connection.prepare_cached("DELETE FROM intent WHERE id = ?")?.execute([id]).map(drop)
    }

    /// Intents that were left behind by a process that died.
    pub(super) fn intents(&self) -> SqlResult<Vec<OpenIntent>> {
        let mut query = self.connection.prepare("SELECT id, bucket, key, intent FROM intent ORDER BY id")?;
        let rows = query.query_map([], |row| {
            Ok(OpenIntent {
                id: row.get(0)?,
                bucket: row.get(1)?,
                key: key_column(row, 2)?,
                intent: json_column(row, 3)?,
            })
        })?;
        rows.collect()
    }

    /// The oldest undelivered events.
    pub(super) fn outbox(&self, limit: usize) -> SqlResult<Vec<(i64, String)>> {
        let mut query = self.connection.prepare_cached("SELECT id, document FROM outbox ORDER BY id LIMIT ?")?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        query.query_map([limit], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }

    pub(super) fn outbox_count(&self) -> SqlResult<u64> {
        let count: i64 = self.connection.query_row("SELECT count(*) FROM outbox", [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// Forgets the events up to `id`, which were delivered in order.
    pub(super) fn forget_events(&self, id: i64) -> SqlResult<()> {
        self.connection.prepare_cached("DELETE FROM outbox WHERE id <= ?")?.execute([id]).map(drop)
    }
}

fn bucket_record(row: &Row<'_>) -> SqlResult<BucketRecord> {
    Ok(BucketRecord { name: row.get(0)?, region: row.get(1)?, created_at: Timestamp(row.get(2)?), rules: row.get(3)? })
}

fn key_column(row: &Row<'_>, at: usize) -> SqlResult<String> {
    String::from_utf8(row.get(at)?).map_err(|error| conversion_failure(at, error))
}

fn json_column<T: for<'de> Deserialize<'de>>(row: &Row<'_>, at: usize) -> SqlResult<T> {
    let text: String = row.get(at)?;
    serde_json::from_str(&text).map_err(|error| conversion_failure(at, error))
}

fn conversion_failure(at: usize, error: impl std::error::Error + Send + Sync + 'static) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(at, rusqlite::types::Type::Text, Box::new(error))
}

fn to_json(value: &impl Serialize) -> SqlResult<String> {
    serde_json::to_string(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

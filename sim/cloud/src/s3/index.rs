//! The S3 index: one SQLite file that says which objects, versions, buckets, uploads and undelivered events exist.
//!
//! Each method is one transaction. The caller holds the only handle behind a lock and keeps files and index in step (see
//! [`super::in_place`]); of an object's bytes it knows only those of small ones ([`bodies`]). Write-ahead logging: with
//! `Fsync::Always` every commit is fsynced, otherwise what was committed survives the process, not necessarily the machine.

mod bodies;
mod migration;
mod old_intents;
mod outbox;
mod uploads;
mod versions;

use std::cell::Cell;
use std::path::Path;

use lakebed_contract::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checksum::Checksums;
use super::composed::UploadChecksum;
use super::encryption::StoredEncryption;
use super::tagging::Tags;
use crate::config::Fsync;

pub(super) use old_intents::{OldIntent, OpenOldIntent};
pub(super) use uploads::ListedUpload;
pub(super) use versions::{Current, Kept, Rows, VersionEntry};

/// SQLite's result.
pub(super) type SqlResult<T> = rusqlite::Result<T>;

/// More than this file has statements.
const STATEMENTS_CACHED: usize = 64;

/// Pages of the index kept in memory, in KiB; the default of SQLite does not hold the upper levels of a large index.
const CACHE_KIB: i64 = 8 * 1024;

/// Pages of the write-ahead log before they are copied into the index. That flushes, under the lock of the index.
const CHECKPOINT_PAGES: i64 = 4_000;

/// Sequences reserved with one commit; on a clock that goes, a second's worth.
const SEQUENCES_RESERVED: i64 = 1_000_000;

/// The version id of what was written while versioning was not on.
pub(super) const NULL_VERSION: &str = "null";

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
    /// `None` is AES256, which everything was before this was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) encryption: Option<StoredEncryption>,
}

/// One version of an object.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct ObjectRecord {
    /// File, relative to the bucket's directory; empty for a delete marker and when the bytes lie in the index.
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
    /// `None` of what was written before the bucket had versioning; that is a null version too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version_id: Option<String>,
    /// A delete marker has no bytes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_marker: bool,
}

impl ObjectRecord {
    /// The file its bytes lie in; `None` if they lie in the index, and of a delete marker.
    pub(super) fn own_file(&self) -> Option<&str> {
        Some(self.file.as_str()).filter(|file| !file.is_empty())
    }

    /// `x-amz-version-id` of an answer about it.
    pub(super) fn shown_version(&self) -> Option<String> {
        self.version_id.clone()
    }

    /// Whether the next write that is not versioned replaces it.
    pub(super) fn is_null(&self) -> bool {
        self.version_id.as_deref().is_none_or(|id| id == NULL_VERSION)
    }
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
    pub(super) checksum: UploadChecksum,
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

/// The open SQLite file.
pub(super) struct Index {
    connection: Connection,
    /// The last sequence that was given away.
    last_sequence: Cell<i64>,
    /// Up to which none will be given away again by a later process.
    reserved_sequence: Cell<i64>,
    #[cfg(test)]
    rows_read: Cell<usize>,
}

impl Index {
    /// Opens or makes the file.
    pub(super) fn open(path: &Path, fsync: Fsync) -> SqlResult<Self> {
        let mut connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", fsync.synchronous())?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
        connection.execute_batch(SCHEMA)?;
        migration::migrate(&mut connection)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        let reserved = connection.query_row("SELECT value FROM sequence", [], |row| row.get(0))?;
        let index = Self {
            connection,
            last_sequence: Cell::new(reserved),
            reserved_sequence: Cell::new(reserved),
            #[cfg(test)]
            rows_read: Cell::new(0),
        };
        index.last_sequence.set(reserved.max(index.last_change()?));
        Ok(index)
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
    pub(super) fn set_rules(&self, bucket: &str, rules: &str, event: Option<&Value>) -> SqlResult<()> {
        self.telling(event, |index| {
            index.connection.execute("UPDATE bucket SET rules = ? WHERE name = ?", [rules, bucket]).map(drop)
        })
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
        let mut objects = Vec::new();
        if limit > 0 {
            self.scan_while(bucket, from, end, |key, row| {
                objects.push((key, row.record()?));
                Ok(objects.len() < limit)
            })?;
        }
        Ok(objects)
    }

    /// Shows the keys of a bucket one after the other, as [`Index::scan`] orders them, until `visit` says that it has
    /// seen enough. Nothing is read behind that, and only records that are asked for are parsed.
    pub(super) fn scan_while(
        &self,
        bucket: &str,
        from: &[u8],
        end: Option<&[u8]>,
        mut visit: impl FnMut(String, &ScannedRow<'_>) -> SqlResult<bool>,
    ) -> SqlResult<()> {
        let mut query = match end {
            Some(_) => self.connection.prepare_cached(SCAN_TO_END)?,
            None => self.connection.prepare_cached(SCAN)?,
        };
        let mut rows = match end {
            Some(end) => query.query(params![bucket, from, end])?,
            None => query.query(params![bucket, from])?,
        };
        while let Some(row) = rows.next()? {
            #[cfg(test)]
            self.rows_read.set(self.rows_read.get() + 1);
            if !visit(key_column(row, 0)?, &ScannedRow(row))? {
                break;
            }
        }
        Ok(())
    }

    /// A number greater than all before it, even over restarts; close to the clock's microseconds where that is possible.
    pub(super) fn next_sequence(&self, now: Timestamp) -> SqlResult<i64> {
        let sequence = self.number_change(now);
        if sequence > self.reserved_sequence.get() {
            let reserved = sequence.saturating_add(SEQUENCES_RESERVED);
            self.connection.prepare_cached("UPDATE sequence SET value = ? WHERE id = 1")?.execute([reserved])?;
            self.reserved_sequence.set(reserved);
        }
        Ok(sequence)
    }

    /// The same for a change, which keeps its number itself when it is committed; if it is not, nobody has seen it.
    pub(super) fn number_change(&self, now: Timestamp) -> i64 {
        let sequence = now.0.max(self.last_sequence.get().saturating_add(1));
        self.last_sequence.set(sequence);
        sequence
    }
}

const SCAN: &str = "SELECT key, record FROM object WHERE bucket = ?1 AND key >= ?2 ORDER BY key";
const SCAN_TO_END: &str = "SELECT key, record FROM object WHERE bucket = ?1 AND key >= ?2 AND key < ?3 ORDER BY key";

/// A row of a scan whose record was not parsed yet.
pub(super) struct ScannedRow<'a>(&'a Row<'a>);

impl ScannedRow<'_> {
    /// The object without its parts: there may be 10,000 of each of a page's objects, and no listing names them.
    pub(super) fn record(&self) -> SqlResult<ObjectRecord> {
        Ok(ObjectRecord { parts: Vec::new(), ..json_column(self.0, 1)? })
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

#[cfg(test)]
mod scale_tests;

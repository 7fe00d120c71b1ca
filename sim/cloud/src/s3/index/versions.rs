//! Versions of objects in the index, and the one transaction that changes them.
//!
//! Table `object` has the versions that a plain GET or a listing finds: of each key the latest, unless it is a delete
//! marker. Table `version` has all others: versions that are not current, and delete markers, of each key the newest
//! first. So a bucket that never had versioning has rows in `object` only, and listings never walk over markers. A row
//! of `version` without `non_current_since` is a marker that is the latest.
//!
//! Every change has a number, kept with its rows; [`super::super::in_place`] tells by it whether a change was committed.

use bytes::Bytes;
use lakebed_contract::Timestamp;
use rusqlite::{OptionalExtension, Row, params};
use serde_json::Value;

use super::{Index, ObjectRecord, SqlResult, bodies, conversion_failure, json_column, outbox, to_json};

/// The two halves of the listing of all versions, in its order.
pub(super) const OBJECTS_FROM: &str = "SELECT key, record FROM object WHERE bucket = ?1 AND key >= ?2 ORDER BY key";
pub(super) const VERSIONS_BEHIND: &str = "
SELECT key, record, non_current_since FROM version WHERE bucket = ?1 AND (key, newest) > (?2, ?3) ORDER BY key, newest";

/// A version in the listing of all versions.
pub(in crate::s3) struct VersionEntry {
    pub(in crate::s3) key: String,
    pub(in crate::s3) record: ObjectRecord,
    /// When a newer version came, of those that are not the latest.
    pub(in crate::s3) non_current_since: Option<Timestamp>,
}

impl VersionEntry {
    pub(in crate::s3) fn is_latest(&self) -> bool {
        self.non_current_since.is_none()
    }
}

/// What becomes of the row in `object`.
pub(in crate::s3) enum Current {
    Stays,
    Is(Box<ObjectRecord>),
    IsGone,
}

/// What a change does to the rows of a key, in one transaction.
pub(in crate::s3) struct Rows<'a> {
    pub(in crate::s3) bucket: &'a str,
    pub(in crate::s3) key: &'a str,
    /// That of the change.
    pub(in crate::s3) number: i64,
    pub(in crate::s3) current: Current,
    /// Sequences of rows of `version` to remove.
    pub(in crate::s3) removed: Vec<i64>,
    /// Rows of `version` to add, and since when they are not current.
    pub(in crate::s3) added: Vec<(ObjectRecord, Option<Timestamp>)>,
    /// A delete marker that is the latest from now on, or is so no longer since.
    pub(in crate::s3) marker: Option<(i64, Option<Timestamp>)>,
    /// The bytes of the version that comes, if they lie in the index; the number of the change is its sequence.
    pub(in crate::s3) body: Option<Bytes>,
    /// Sequences of versions whose bytes in the index go.
    pub(in crate::s3) removed_bodies: Vec<i64>,
    /// The event that is due.
    pub(in crate::s3) event: Option<Value>,
    /// The upload that ends with this.
    pub(in crate::s3) ended_upload: Option<&'a str>,
}

impl<'a> Rows<'a> {
    /// Nothing but the number.
    pub(in crate::s3) fn new(bucket: &'a str, key: &'a str, number: i64) -> Self {
        Self {
            bucket,
            key,
            number,
            current: Current::Stays,
            removed: Vec::new(),
            added: Vec::new(),
            marker: None,
            body: None,
            removed_bodies: Vec::new(),
            event: None,
            ended_upload: None,
        }
    }
}

/// A row of either table before its record is parsed.
struct Listed {
    key: Vec<u8>,
    /// Of a version that is not the latest.
    non_current_since: Option<Timestamp>,
    record: String,
}

impl Listed {
    fn entry(self) -> SqlResult<VersionEntry> {
        let record: ObjectRecord = serde_json::from_str(&self.record).map_err(|error| conversion_failure(1, error))?;
        // There may be 10,000, and no listing names them.
        let record = ObjectRecord { parts: Vec::new(), ..record };
        let key = String::from_utf8(self.key).map_err(|error| conversion_failure(0, error))?;
        Ok(VersionEntry { key, record, non_current_since: self.non_current_since })
    }
}

impl Index {
    /// Changes the rows of a key.
    pub(in crate::s3) fn apply(&mut self, rows: &Rows<'_>) -> SqlResult<()> {
        let (bucket, key) = (rows.bucket, rows.key.as_bytes());
        let transaction = self.connection.transaction()?;
        for sequence in &rows.removed {
            let mut delete =
                transaction.prepare_cached("DELETE FROM version WHERE bucket = ? AND key = ? AND newest = ?")?;
            delete.execute(params![bucket, key, newest(*sequence)])?;
        }
        for (record, non_current_since) in &rows.added {
            let mut insert = transaction.prepare_cached("INSERT INTO version VALUES (?, ?, ?, ?, ?, ?)")?;
            let since = non_current_since.map(|since| since.0);
            let record_json = to_json(record)?;
            insert.execute(params![bucket, key, newest(record.sequence), record.is_null(), since, record_json])?;
        }
        if let Some((sequence, since)) = rows.marker {
            let mut update = transaction.prepare_cached(
                "UPDATE version SET non_current_since = ? WHERE bucket = ? AND key = ? AND newest = ?",
            )?;
            update.execute(params![since.map(|since| since.0), bucket, key, newest(sequence)])?;
        }
        match &rows.current {
            Current::Stays => (),
            Current::Is(record) => {
                let mut insert = transaction.prepare_cached("INSERT OR REPLACE INTO object VALUES (?, ?, ?)")?;
                insert.execute(params![bucket, key, to_json(record)?])?;
            }
            Current::IsGone => {
                let mut delete = transaction.prepare_cached("DELETE FROM object WHERE bucket = ? AND key = ?")?;
                delete.execute(params![bucket, key])?;
            }
        }
        for sequence in &rows.removed_bodies {
            bodies::remove(&transaction, *sequence)?;
        }
        if let Some(body) = &rows.body {
            bodies::add(&transaction, rows.number, body)?;
        }
        outbox::add(&transaction, rows.event.as_ref())?;
        if let Some(upload) = rows.ended_upload {
            transaction.execute("DELETE FROM part WHERE upload = ?", [upload])?;
            transaction.execute("DELETE FROM upload WHERE id = ?", [upload])?;
        }
        transaction.prepare_cached("UPDATE last_change SET number = ? WHERE id = 1")?.execute([rows.number])?;
        transaction.commit()
    }

    /// The number of the last change that was committed.
    pub(in crate::s3) fn last_change(&self) -> SqlResult<i64> {
        let mut query = self.connection.prepare_cached("SELECT number FROM last_change WHERE id = 1")?;
        query.query_row([], |row| row.get(0))
    }

    /// Whether a bucket has versions that are not current, or delete markers.
    pub(in crate::s3) fn has_versions(&self, bucket: &str) -> SqlResult<bool> {
        let mut query = self.connection.prepare_cached("SELECT 1 FROM version WHERE bucket = ? LIMIT 1")?;
        query.exists([bucket])
    }

    /// A row of `version`, and whether it is the latest, which only a marker can be.
    pub(in crate::s3) fn version(&self, bucket: &str, key: &str, sequence: i64) -> SqlResult<Option<Kept>> {
        let mut query = self.connection.prepare_cached(
            "SELECT record, non_current_since FROM version WHERE bucket = ? AND key = ? AND newest = ?",
        )?;
        query.query_row(params![bucket, key.as_bytes(), newest(sequence)], Kept::of).optional()
    }

    /// The null version, if it is a row of `version`.
    pub(in crate::s3) fn null_version(&self, bucket: &str, key: &str) -> SqlResult<Option<Kept>> {
        let mut query = self.connection.prepare_cached(
            "SELECT record, non_current_since FROM version WHERE bucket = ? AND key = ? AND is_null = 1",
        )?;
        query.query_row(params![bucket, key.as_bytes()], Kept::of).optional()
    }

    /// The newest row of `version`, leaving one out.
    pub(in crate::s3) fn newest_version(&self, bucket: &str, key: &str, but: Option<i64>) -> SqlResult<Option<Kept>> {
        let mut query = self.connection.prepare_cached(
            "SELECT record, non_current_since FROM version WHERE bucket = ?1 AND key = ?2 AND newest IS NOT ?3
             ORDER BY newest LIMIT 1",
        )?;
        query.query_row(params![bucket, key.as_bytes(), but.map(newest)], Kept::of).optional()
    }

    /// The delete marker that is the latest version of a key.
    pub(in crate::s3) fn latest_marker(&self, bucket: &str, key: &str) -> SqlResult<Option<ObjectRecord>> {
        let found = self.newest_version(bucket, key, None)?;
        Ok(found.filter(|found| found.is_latest).map(|found| found.record))
    }

    /// Replaces what is known about a version whose bytes stay as they are.
    pub(in crate::s3) fn update_object(&self, bucket: &str, key: &str, record: &ObjectRecord) -> SqlResult<()> {
        let (text, key) = (to_json(record)?, key.as_bytes());
        let mut update = self
            .connection
            .prepare_cached("UPDATE version SET record = ? WHERE bucket = ? AND key = ? AND newest = ?")?;
        if update.execute(params![text, bucket, key, newest(record.sequence)])? > 0 {
            return Ok(());
        }
        let mut update = self.connection.prepare_cached("UPDATE object SET record = ? WHERE bucket = ? AND key = ?")?;
        update.execute(params![text, bucket, key]).map(drop)
    }

    /// All versions of all keys of a bucket: by key, of one key the newest first, strictly behind `after` (a key and a
    /// sequence of it).
    pub(in crate::s3) fn versions(
        &self,
        bucket: &str,
        after: Option<(&[u8], i64)>,
        limit: usize,
    ) -> SqlResult<Vec<VersionEntry>> {
        let (after_key, after_sequence) = after.unwrap_or((&[], i64::MAX));
        let mut objects = self.connection.prepare_cached(OBJECTS_FROM)?;
        let mut versions = self.connection.prepare_cached(VERSIONS_BEHIND)?;
        // Rows are read one by one, as far as the page needs them.
        let mut objects = objects
            .query_map(params![bucket, after_key], |row| {
                Ok(Listed { key: row.get(0)?, non_current_since: None, record: row.get(1)? })
            })?
            .peekable();
        let mut versions = versions
            .query_map(params![bucket, after_key, newest(after_sequence)], |row| {
                let since: Option<i64> = row.get(2)?;
                Ok(Listed { key: row.get(0)?, non_current_since: since.map(Timestamp), record: row.get(1)? })
            })?
            .peekable();
        let mut entries = Vec::new();
        while entries.len() < limit {
            // The current version of a key is newer than all others.
            let object_is_next = match (objects.peek(), versions.peek()) {
                (Some(Ok(object)), Some(Ok(version))) => object.key <= version.key,
                (_, Some(Err(_)) | None) => true,
                (Some(Err(_)), _) => true,
                (None, Some(Ok(_))) => false,
            };
            let next = if object_is_next { objects.next().or_else(|| versions.next()) } else { versions.next() };
            let Some(next) = next else { break };
            let entry = next?.entry()?;
            if entry.key.as_bytes() > after_key || entry.record.sequence < after_sequence {
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}

/// A row of `version`.
pub(in crate::s3) struct Kept {
    pub(in crate::s3) record: ObjectRecord,
    /// Whether it is the latest version of its key; then it is a delete marker.
    pub(in crate::s3) is_latest: bool,
}

impl Kept {
    fn of(row: &Row<'_>) -> SqlResult<Self> {
        let since: Option<i64> = row.get(1)?;
        Ok(Self { record: json_column(row, 0)?, is_latest: since.is_none() })
    }
}

/// Sequences are kept negated, so that the order of the primary key is newest first.
fn newest(sequence: i64) -> i64 {
    sequence.checked_neg().unwrap_or(i64::MAX)
}

//! Multipart uploads and their parts in the index.
//!
//! Uploads are listed by key, then by beginning. An id ends with the sequence its upload was numbered with, in sixteen
//! hexadecimal digits. So from their 17th character on, ids sort by beginning, even if the store ran with another seed in
//! between.

use lakebed_contract::Timestamp;
use rusqlite::{OptionalExtension, Row, params};
use serde::{Deserialize, Serialize};

use super::{Index, PartRecord, SqlResult, StoredHeaders, UploadRecord, json_column, key_column, to_json};
use crate::s3::composed::UploadChecksum;

/// What the column `headers` holds: what an upload was begun with.
#[derive(Serialize, Deserialize)]
struct Begun {
    #[serde(flatten)]
    headers: StoredHeaders,
    #[serde(default)]
    checksum: UploadChecksum,
}

/// What a listing says about an upload.
pub(in crate::s3) struct ListedUpload {
    pub(in crate::s3) id: String,
    pub(in crate::s3) key: String,
    pub(in crate::s3) checksum: UploadChecksum,
    pub(in crate::s3) created_at: Timestamp,
}

impl Index {
    pub(in crate::s3) fn create_upload(&self, id: &str, upload: &UploadRecord) -> SqlResult<()> {
        let mut insert = self
            .connection
            .prepare_cached("INSERT INTO upload (id, bucket, key, headers, created_at) VALUES (?, ?, ?, ?, ?)")?;
        let headers = to_json(&Begun { headers: upload.headers.clone(), checksum: upload.checksum })?;
        insert.execute(params![id, upload.bucket, upload.key.as_bytes(), headers, upload.created_at.0]).map(drop)
    }

    pub(in crate::s3) fn upload(&self, id: &str) -> SqlResult<Option<UploadRecord>> {
        let mut query =
            self.connection.prepare_cached("SELECT bucket, key, headers, created_at FROM upload WHERE id = ?")?;
        let record = |row: &Row<'_>| {
            let Begun { headers, checksum } = json_column(row, 2)?;
            Ok(UploadRecord {
                bucket: row.get(0)?,
                key: key_column(row, 1)?,
                headers,
                checksum,
                created_at: Timestamp(row.get(3)?),
            })
        };
        query.query_row([id], record).optional()
    }

    /// Adds or replaces a part; gives the replaced one.
    pub(in crate::s3) fn put_part(
        &mut self,
        upload: &str,
        number: i32,
        part: &PartRecord,
    ) -> SqlResult<Option<PartRecord>> {
        let record = to_json(part)?;
        let transaction = self.connection.transaction()?;
        let replaced = transaction
            .prepare_cached("SELECT record FROM part WHERE upload = ? AND number = ?")?
            .query_row(params![upload, number], |row| json_column(row, 0))
            .optional()?;
        transaction
            .prepare_cached("INSERT OR REPLACE INTO part VALUES (?, ?, ?)")?
            .execute(params![upload, number, record])?;
        transaction.commit()?;
        Ok(replaced)
    }

    /// Parts by number.
    pub(in crate::s3) fn parts(&self, upload: &str) -> SqlResult<Vec<(i32, PartRecord)>> {
        let mut query =
            self.connection.prepare_cached("SELECT number, record FROM part WHERE upload = ? ORDER BY number")?;
        query.query_map([upload], |row| Ok((row.get(0)?, json_column(row, 1)?)))?.collect()
    }

    /// Forgets an upload; gives the files of its parts.
    pub(in crate::s3) fn remove_upload(&mut self, upload: &str) -> SqlResult<Vec<String>> {
        let files = self.parts(upload)?.into_iter().map(|(_, part)| part.file).collect();
        let transaction = self.connection.transaction()?;
        transaction.execute("DELETE FROM part WHERE upload = ?", [upload])?;
        transaction.execute("DELETE FROM upload WHERE id = ?", [upload])?;
        transaction.commit()?;
        Ok(files)
    }

    /// Files of all parts of all uploads.
    pub(in crate::s3) fn part_files(&self) -> SqlResult<std::collections::BTreeSet<String>> {
        let mut query = self.connection.prepare("SELECT record FROM part")?;
        query.query_map([], |row| json_column::<PartRecord>(row, 0).map(|part| part.file))?.collect()
    }

    /// Uploads of a bucket strictly behind `behind` (a key, and the end of an id) whose keys are before `end`.
    pub(in crate::s3) fn uploads_behind(
        &self,
        bucket: &str,
        behind: (&[u8], &str),
        end: Option<&[u8]>,
        limit: usize,
    ) -> SqlResult<Vec<ListedUpload>> {
        let mut query = self.connection.prepare_cached(
            "SELECT id, key, headers, created_at FROM upload WHERE bucket = ?1 AND (key, substr(id, 17)) > (?2, ?3)
             AND (?4 IS NULL OR key < ?4) ORDER BY key, substr(id, 17) LIMIT ?5",
        )?;
        let (key, id_end) = behind;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = query.query_map(params![bucket, key, id_end, end, limit], |row| {
            let Begun { checksum, .. } = json_column(row, 2)?;
            let created_at = Timestamp(row.get(3)?);
            Ok(ListedUpload { id: row.get(0)?, key: key_column(row, 1)?, checksum, created_at })
        })?;
        rows.collect()
    }
}

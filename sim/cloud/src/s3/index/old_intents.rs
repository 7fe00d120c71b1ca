//! Intents in the index: how earlier versions kept files and index in step. Read once, when the store is opened.

use rusqlite::params;
use serde::Deserialize;
use serde_json::Value;

use super::{Index, ObjectRecord, SqlResult, json_column, key_column};

/// What was about to happen to a file.
#[derive(Deserialize)]
pub(in crate::s3) enum OldIntent {
    /// The staging file was about to be renamed to `record.file`; then the object was `record` and `event` due.
    Put { staged: String, record: Box<ObjectRecord>, event: Option<Value> },
    /// The object was gone; its file was about to be removed.
    Delete { file: String },
}

/// An [`OldIntent`] and the object it is about.
pub(in crate::s3) struct OpenOldIntent {
    pub(in crate::s3) id: i64,
    pub(in crate::s3) bucket: String,
    pub(in crate::s3) key: String,
    pub(in crate::s3) intent: OldIntent,
}

impl Index {
    pub(in crate::s3) fn old_intents(&self) -> SqlResult<Vec<OpenOldIntent>> {
        let mut query = self.connection.prepare("SELECT id, bucket, key, intent FROM intent ORDER BY id")?;
        let rows = query.query_map([], |row| {
            let (key, intent) = (key_column(row, 2)?, json_column(row, 3)?);
            Ok(OpenOldIntent { id: row.get(0)?, bucket: row.get(1)?, key, intent })
        })?;
        rows.collect()
    }

    pub(in crate::s3) fn forget_old_intent(&self, id: i64) -> SqlResult<()> {
        self.connection.execute("DELETE FROM intent WHERE id = ?", params![id]).map(drop)
    }
}

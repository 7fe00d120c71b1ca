//! The bytes of small objects, in a table that no listing reads.
//!
//! A body is named by the sequence of its version, which no other version ever has: nothing is to be done when a version is
//! current no longer, or again. So bodies are added at the end of the table. What a removed one leaves free is taken by
//! later rows of any table; the file does not shrink.

use bytes::Bytes;
use rusqlite::{OptionalExtension, Transaction};

use super::{Index, SqlResult};

impl Index {
    /// The body of a version that has no file.
    pub(in crate::s3) fn body(&self, sequence: i64) -> SqlResult<Option<Bytes>> {
        let mut query = self.connection.prepare_cached("SELECT bytes FROM body WHERE sequence = ?")?;
        let bytes = query.query_row([sequence], |row| Ok(Bytes::copy_from_slice(row.get_ref(0)?.as_blob()?)));
        bytes.optional()
    }
}

pub(super) fn add(transaction: &Transaction<'_>, sequence: i64, bytes: &[u8]) -> SqlResult<()> {
    let mut insert = transaction.prepare_cached("INSERT INTO body (sequence, bytes) VALUES (?, ?)")?;
    insert.execute((sequence, bytes)).map(drop)
}

pub(super) fn remove(transaction: &Transaction<'_>, sequence: i64) -> SqlResult<()> {
    transaction.prepare_cached("DELETE FROM body WHERE sequence = ?")?.execute([sequence]).map(drop)
}

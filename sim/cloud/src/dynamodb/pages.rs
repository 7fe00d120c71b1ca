//! Pages of a shard: the records behind a place, as their stream shows them.
//!
//! A record of a write that changed nothing is passed over (see [`super::images`]), so a page may be empty while more
//! follows. Its iterator goes on behind what was passed over. Knows no iterator.

use rusqlite::{Row, params};

use super::changes::{ChangeLog, Stream, find};
use super::images::shown;

/// Bytes of records that are passed over in one read; a page that has come to them ends, so that a read ends soon.
const PASSED_BYTES_MAX: usize = 8 * 1024 * 1024;

/// One change, as stored or as shown. No `Debug`: it holds item values.
pub(super) struct Change {
    /// Order of commit.
    pub(super) id: i64,
    /// `INSERT`, `MODIFY` or `REMOVE`.
    pub(super) event_name: String,
    /// Key attributes, DynamoDB JSON.
    pub(super) keys: String,
    /// The item after the change.
    pub(super) new_image: Option<String>,
    /// The item before it.
    pub(super) old_image: Option<String>,
    /// Seconds since the epoch.
    pub(super) created_at: i64,
    /// `Identity` of the service model as JSON, when TTL removed the item.
    pub(super) user_identity: Option<String>,
    /// Bytes of keys and images by the rules of item sizes: what `SizeBytes` reports and pages are measured by. 0 until it is
    /// known what is shown.
    pub(super) size: usize,
}

impl Change {
    fn json_bytes(&self) -> usize {
        let images = [&self.new_image, &self.old_image].into_iter().flatten();
        images.chain([&self.keys]).map(String::len).sum()
    }
}

/// What a reader gets of a shard at once. No `Debug`: it holds item values.
pub(super) struct Page {
    /// The stream as it stood.
    pub(super) stream: Stream,
    /// Records that are shown.
    pub(super) changes: Vec<Change>,
    /// Every record up to this id has been read.
    pub(super) through: i64,
    /// Whether the shard held nothing behind them.
    pub(super) is_last: bool,
}

/// A shard of a stream that was not closed before `since`.
pub(super) struct Named<'a> {
    /// Table and label of the stream.
    pub(super) name: (&'a str, &'a str),
    /// Number of the shard.
    pub(super) shard: i64,
    /// The second before which a closed stream is gone.
    pub(super) since: i64,
}

impl ChangeLog {
    /// The records of a shard after `position` that its stream shows, in order: up to `limit` of them, and no more than
    /// `bytes` unless the first alone is larger. One snapshot of the database answers both, so a record of a later shard
    /// or stream of the same table cannot slip in.
    pub(super) fn read(
        &self,
        stream: &Named<'_>,
        position: i64,
        (limit, bytes): (usize, usize),
    ) -> rusqlite::Result<Option<Page>> {
        let mut connection = self.lock();
        let snapshot = connection.transaction()?;
        let Some(found) = find(&snapshot, stream.name, stream.since)? else { return Ok(None) };
        let mut page = Page { stream: found, changes: Vec::new(), through: position, is_last: true };
        let Some(shard) = page.stream.shard(stream.shard) else { return Ok(Some(page)) };
        let mut statement = snapshot.prepare_cached(
            "SELECT id, event_name, keys_json, new_image, old_image, created_at, user_identity FROM _stream_records
             WHERE table_name = ?1 AND id > ?2 AND id <= ?3 ORDER BY id",
        )?;
        let from = position.max(page.stream.horizon(shard));
        let until = shard.last_id.unwrap_or(i64::MAX);
        let mut rows = statement.query(params![page.stream.table, from, until])?;
        let (mut total, mut passed) = (0, 0);
        while let Some(row) = rows.next()? {
            if page.changes.len() >= limit || passed > PASSED_BYTES_MAX {
                page.is_last = false;
                break;
            }
            let stored = change_of_row(row)?;
            let (id, length) = (stored.id, stored.json_bytes());
            if let Some(change) = shown(stored, &page.stream.view_type) {
                total += change.size;
                if total > bytes && !page.changes.is_empty() {
                    page.is_last = false;
                    break;
                }
                page.changes.push(change);
            } else {
                passed += length;
            }
            page.through = id;
        }
        Ok(Some(page))
    }
}

fn change_of_row(row: &Row<'_>) -> rusqlite::Result<Change> {
    Ok(Change {
        id: row.get(0)?,
        event_name: row.get(1)?,
        keys: row.get(2)?,
        new_image: row.get(3)?,
        old_image: row.get(4)?,
        created_at: row.get(5)?,
        user_identity: row.get(6)?,
        size: 0,
    })
}

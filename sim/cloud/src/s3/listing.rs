//! Listing keys: prefix, delimiter, paging, for ListObjectsV2 and ListObjects.
//!
//! Keys come in the order of their UTF-8 bytes. With a delimiter a whole group costs one look into the index: the scan
//! jumps behind the group instead of walking through it.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use s3s::{S3Result, s3_error};

use super::index::{Index, ObjectRecord, SqlResult};
use super::internal;
use super::store::{S3Store, found_bucket};

/// Most entries of a page, and the default.
pub(super) const PAGE_ENTRIES_MAX: usize = 1000;
/// Rows read from the index at once where groups are expected.
pub(super) const GROUPED_SCAN_ROWS: usize = 32;

/// What to list.
pub(super) struct Query<'a> {
    pub(super) bucket: &'a str,
    pub(super) prefix: &'a str,
    pub(super) delimiter: Option<&'a str>,
    pub(super) from: Cursor,
    pub(super) limit: usize,
}

/// Where a page begins: the smallest key, in bytes, that may be on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Cursor(Vec<u8>);

impl Cursor {
    /// Right behind `key`.
    pub(super) fn after(key: &str) -> Self {
        Self([key.as_bytes(), &[0]].concat())
    }

    /// Right behind every key that starts with `group`; `None` when there can be none.
    fn after_group(group: &str) -> Option<Self> {
        successor(group.as_bytes()).map(Self)
    }

    /// Behind a marker of ListObjects, which may name a group of the page before.
    pub(super) fn after_marker(marker: &str, prefix: &str, delimiter: Option<&str>) -> Self {
        let is_group = group_of(marker, prefix, delimiter) == Some(marker);
        let behind = if is_group { Self::after_group(marker) } else { None };
        behind.unwrap_or_else(|| Self::after(marker))
    }

    /// As a continuation token.
    pub(super) fn to_token(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(&self.0)
    }

    /// Reads a continuation token.
    pub(super) fn from_token(token: &str) -> S3Result<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token);
        bytes
            .map(Self)
            .map_err(|error| s3_error!(error, InvalidArgument, "The continuation token provided is incorrect"))
    }
}

/// One line of a listing.
pub(super) enum Entry {
    Object(String, Box<ObjectRecord>),
    Group(String),
}

impl Entry {
    /// The key or the group.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Object(name, _) | Self::Group(name) => name,
        }
    }
}

/// One page; `next` is where the following one begins.
pub(super) struct Page {
    pub(super) entries: Vec<Entry>,
    pub(super) next: Option<Cursor>,
}

/// Lists one page.
pub(super) fn list(store: &S3Store, query: &Query<'_>) -> S3Result<Page> {
    let index = store.index();
    found_bucket(&index, query.bucket)?;
    page_of(&index, query).map_err(internal("list objects"))
}

/// A page as the index has it. Reads a row for each entry, one to see whether more follow, and no others.
pub(super) fn page_of(index: &Index, query: &Query<'_>) -> SqlResult<Page> {
    let mut page = Page { entries: Vec::new(), next: None };
    if query.limit == 0 {
        return Ok(page);
    }
    let end = successor(query.prefix.as_bytes());
    let mut from = query.from.0.clone().max(query.prefix.as_bytes().to_vec());
    loop {
        // Where the scan has to go on: behind a group, which costs a look-up of its own.
        let mut behind_group = None;
        index.scan_while(query.bucket, &from, end.as_deref(), |key, row| {
            if page.entries.len() == query.limit {
                page.next = Some(Cursor(key.into_bytes()));
                return Ok(false);
            }
            let Some(group) = group_of(&key, query.prefix, query.delimiter) else {
                page.entries.push(Entry::Object(key, Box::new(row.record()?)));
                return Ok(true);
            };
            behind_group = Cursor::after_group(group);
            page.entries.push(Entry::Group(group.to_owned()));
            Ok(false)
        })?;
        match behind_group {
            Some(Cursor(behind)) => from = behind,
            None => return Ok(page),
        }
    }
}

/// The group a key falls into: up to and including the first delimiter behind the prefix.
pub(super) fn group_of<'k>(key: &'k str, prefix: &str, delimiter: Option<&str>) -> Option<&'k str> {
    let delimiter = delimiter?;
    let at = key.strip_prefix(prefix)?.find(delimiter)?;
    Some(&key[..prefix.len() + at + delimiter.len()])
}

/// The smallest byte string greater than everything that starts with `prefix`; `None` when nothing is.
pub(super) fn successor(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte < u8::MAX)? + 1;
    let mut successor = prefix[..kept].to_vec();
    successor[kept - 1] += 1;
    Some(successor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_ends_with_the_first_delimiter_behind_the_prefix() {
        assert_eq!(group_of("a/b/c", "", Some("/")), Some("a/"));
        assert_eq!(group_of("a/b/c", "a/", Some("/")), Some("a/b/"));
        assert_eq!(group_of("a/b/c", "a/b/", Some("/")), None);
        assert_eq!(group_of("a/b/c", "a", Some("/")), Some("a/"));
        assert_eq!(group_of("a/b/c", "", None), None);
        assert_eq!(group_of("a--b", "", Some("--")), Some("a--"));
    }

    #[test]
    fn the_successor_is_behind_all_that_start_alike() {
        assert_eq!(successor(b"a/"), Some(b"a0".to_vec()));
        assert_eq!(successor(b"a\xff\xff"), Some(b"b".to_vec()));
        assert_eq!(successor(b""), None);
    }

    #[test]
    fn a_marker_that_is_a_group_is_left_behind_as_a_whole() {
        assert_eq!(Cursor::after_marker("a/", "", Some("/")).0, b"a0".to_vec());
        assert_eq!(Cursor::after_marker("a/x", "", Some("/")).0, b"a/x\0".to_vec());
        assert_eq!(Cursor::after_marker("a/", "", None).0, b"a/\0".to_vec());
    }
}

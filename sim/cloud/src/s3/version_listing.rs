//! ListObjectVersions: all versions and delete markers of a bucket, by key, of one key the newest first.
//!
//! A page goes on behind the key and the version its markers name, whether that version is still there or not, so a
//! client may remove versions while it pages. As in the other listings a group costs one look into the index, but for a
//! few rows that are read ahead.

use std::sync::Arc;

use s3s::dto::{
    CommonPrefix, DeleteMarkerEntry, ETag, ListObjectVersionsInput, ListObjectVersionsOutput, ObjectVersion,
    ObjectVersionStorageClass,
};
use s3s::{S3Result, s3_error};

use super::index::{Index, NULL_VERSION, SqlResult, VersionEntry};
use super::listing::{GROUPED_SCAN_ROWS, group_of, successor};
use super::names::{Names, owner};
use super::parts::page_limit;
use super::store::{S3Store, dto_timestamp, found_bucket};
use super::versioning::{self, Addressed};
use super::{blocking, checksum, internal};

/// What to list.
struct Query<'a> {
    bucket: &'a str,
    prefix: &'a str,
    delimiter: Option<&'a str>,
    behind: Place,
    limit: usize,
}

/// A place between two versions: behind this key, and of this key behind this sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    key: Vec<u8>,
    sequence: i64,
}

impl Place {
    /// In front of all versions of the keys that do not sort before `key`.
    fn before(key: Vec<u8>) -> Self {
        Self { key, sequence: i64::MAX }
    }

    /// Behind all versions of `key`.
    fn behind(key: &str) -> Self {
        Self { key: key.as_bytes().to_vec(), sequence: i64::MIN }
    }
}

enum Entry {
    Version(Box<VersionEntry>),
    Group(String),
}

struct Page {
    entries: Vec<Entry>,
    is_truncated: bool,
}

/// ListObjectVersions.
pub(super) async fn list(store: &Arc<S3Store>, input: ListObjectVersionsInput) -> S3Result<ListObjectVersionsOutput> {
    let limit = page_limit(input.max_keys, "max-keys")?;
    let names = Names::of(input.encoding_type.as_ref())?;
    let key_marker = input.key_marker.filter(|marker| !marker.is_empty());
    let version_marker = input.version_id_marker;
    if version_marker.is_some() && key_marker.is_none() {
        return Err(s3_error!(InvalidArgument, "A version-id marker cannot be specified without a key marker."));
    }
    let (bucket, prefix) = (input.bucket, input.prefix.unwrap_or_default());
    let delimiter = input.delimiter.filter(|delimiter| !delimiter.is_empty());
    let mut output = ListObjectVersionsOutput {
        name: Some(bucket.clone()),
        prefix: Some(names.name(&prefix)),
        delimiter: delimiter.as_deref().map(|delimiter| names.name(delimiter)),
        key_marker: Some(names.name(key_marker.as_deref().unwrap_or_default())),
        version_id_marker: Some(version_marker.clone().unwrap_or_default()),
        max_keys: i32::try_from(limit).ok(),
        encoding_type: input.encoding_type,
        ..ListObjectVersionsOutput::default()
    };
    let store = Arc::clone(store);
    let page = blocking(move || {
        let index = store.index();
        found_bucket(&index, &bucket)?;
        let delimiter = delimiter.as_deref();
        let behind = match &key_marker {
            None => Place::before(Vec::new()),
            Some(key) => behind_markers(&index, &bucket, key, version_marker.as_deref(), (&prefix, delimiter))?,
        };
        let query = Query { bucket: &bucket, prefix: &prefix, delimiter, behind, limit };
        page_of(&index, &query).map_err(internal("list versions"))
    })
    .await?;
    output.is_truncated = Some(page.is_truncated);
    if page.is_truncated {
        let (key, version) = match page.entries.last() {
            Some(Entry::Version(last)) => (Some(names.name(&last.key)), Some(shown_version(last))),
            Some(Entry::Group(group)) => (Some(names.name(group)), None),
            None => (None, None),
        };
        (output.next_key_marker, output.next_version_id_marker) = (key, version);
    }
    fill(&mut output, page.entries, names);
    Ok(output)
}

/// Where the page begins that the markers ask for.
fn behind_markers(
    index: &Index,
    bucket: &str,
    key: &str,
    version: Option<&str>,
    (prefix, delimiter): (&str, Option<&str>),
) -> S3Result<Place> {
    let Some(version) = version.filter(|version| !version.is_empty()) else {
        let is_group = group_of(key, prefix, delimiter) == Some(key);
        let behind_group = if is_group { successor(key.as_bytes()).map(Place::before) } else { None };
        return Ok(behind_group.unwrap_or_else(|| Place::behind(key)));
    };
    let sequence = match Addressed::parse(version)? {
        Addressed::Id { sequence, .. } => sequence,
        Addressed::Null => {
            let null = versioning::target(index, bucket, key, Addressed::Null)?;
            // Nobody knows where it was if it is gone: better a version twice than one not at all.
            null.map_or(i64::MAX, |null| null.record().sequence)
        }
    };
    Ok(Place { key: key.as_bytes().to_vec(), sequence })
}

fn page_of(index: &Index, query: &Query<'_>) -> SqlResult<Page> {
    let mut page = Page { entries: Vec::new(), is_truncated: false };
    if query.limit == 0 {
        return Ok(page);
    }
    let prefix = query.prefix.as_bytes();
    let mut behind = query.behind.clone();
    if behind.key.as_slice() < prefix {
        behind = Place::before(prefix.to_vec());
    }
    // Of a group one row is looked at; where there are no groups, many.
    let mut ahead = GROUPED_SCAN_ROWS;
    loop {
        let wanted = query.limit - page.entries.len() + 1;
        let rows = if query.delimiter.is_some() { wanted.min(ahead) } else { wanted };
        let found = index.versions(query.bucket, Some((&behind.key, behind.sequence)), rows)?;
        let is_last = found.len() < rows;
        let mut jumped = false;
        for version in found {
            if !version.key.as_bytes().starts_with(prefix) {
                return Ok(page);
            }
            if page.entries.len() == query.limit {
                page.is_truncated = true;
                return Ok(page);
            }
            let group = group_of(&version.key, query.prefix, query.delimiter).map(str::to_owned);
            let Some(group) = group else {
                behind = Place { key: version.key.as_bytes().to_vec(), sequence: version.record.sequence };
                page.entries.push(Entry::Version(Box::new(version)));
                continue;
            };
            let next = successor(group.as_bytes());
            page.entries.push(Entry::Group(group));
            let Some(next) = next else { return Ok(page) };
            behind = Place::before(next);
            jumped = true;
            break;
        }
        if is_last && !jumped {
            return Ok(page);
        }
        ahead = if jumped { 1 } else { (ahead * 2).min(GROUPED_SCAN_ROWS) };
    }
}

/// What was written before the bucket had versions is the null version.
fn shown_version(version: &VersionEntry) -> String {
    version.record.shown_version().unwrap_or_else(|| NULL_VERSION.to_owned())
}

fn fill(output: &mut ListObjectVersionsOutput, entries: Vec<Entry>, names: Names) {
    let (mut versions, mut markers, mut groups) = (Vec::new(), Vec::new(), Vec::new());
    for entry in entries {
        let version = match entry {
            Entry::Group(group) => {
                groups.push(CommonPrefix { prefix: Some(names.name(&group)) });
                continue;
            }
            Entry::Version(version) => version,
        };
        let (key, version_id) = (Some(names.name(&version.key)), Some(shown_version(&version)));
        let (is_latest, record) = (Some(version.is_latest()), version.record);
        let last_modified = Some(dto_timestamp(record.last_modified));
        if record.is_marker {
            markers.push(DeleteMarkerEntry { key, version_id, is_latest, last_modified, owner: Some(owner()) });
            continue;
        }
        versions.push(ObjectVersion {
            checksum_algorithm: checksum::algorithms_of(&record.checksums),
            checksum_type: checksum::type_of(&record.checksums),
            e_tag: Some(ETag::Strong(record.etag)),
            is_latest,
            key,
            last_modified,
            owner: Some(owner()),
            restore_status: None,
            size: i64::try_from(record.size).ok(),
            storage_class: Some(ObjectVersionStorageClass::from_static(ObjectVersionStorageClass::STANDARD)),
            version_id,
        });
    }
    output.versions = Some(versions);
    output.delete_markers = Some(markers);
    output.common_prefixes = Some(groups);
}

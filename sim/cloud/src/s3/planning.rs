//! What a write, a delete marker or a removal does to the versions of a key: planned as rows and files before either is
//! touched.
//!
//! The file of the current version lies under the name of its key. That of a version which is kept when another becomes
//! current gets the name `%/v/<sequence>` in the bucket's directory, and gets the key's name back when it becomes current
//! again. Bytes in the index stay where they are as long as their version is there; so a change of versions that have no
//! files touches none. A null version is replaced for good by the next write or marker that is a null version. Plans only
//! look; [`super::in_place`] carries them out.

use std::path::Path;

use bytes::Bytes;
use lakebed_contract::Timestamp;

use super::file_name;
use super::in_place::{Change, DISPLACED, object_path};
use super::index::{Current, Index, Kept, NULL_VERSION, ObjectRecord, Rows, SqlResult};
use super::versioning::Versioning;

/// Rows and files of one change.
pub(super) struct Plan<'a> {
    pub(super) change: Change,
    pub(super) rows: Rows<'a>,
}

/// The version that a removal is about.
pub(super) enum Target {
    Current(ObjectRecord),
    Version(Kept),
}

impl Target {
    pub(super) fn record(&self) -> &ObjectRecord {
        match self {
            Self::Current(record) | Self::Version(Kept { record, .. }) => record,
        }
    }

    /// Whether no version of the key is newer.
    pub(super) fn is_latest(&self) -> bool {
        match self {
            Self::Current(_) => true,
            Self::Version(kept) => kept.is_latest,
        }
    }
}

/// The bytes of a new version; its record has a file or has none accordingly.
pub(super) enum Arriving {
    /// For the index.
    Bytes(Bytes),
    /// In a staging file, a path relative to the state directory.
    Staged(String),
}

/// `record` becomes current.
pub(super) fn write<'a>(
    index: &Index,
    versioning: Versioning,
    (bucket, key): (&'a str, &'a str),
    current: Option<ObjectRecord>,
    record: ObjectRecord,
    arriving: Arriving,
) -> SqlResult<Plan<'a>> {
    let mut plan = Plan::new(bucket, key, record.sequence);
    match current {
        Some(current) => plan.displace(versioning, current, record.last_modified, record.own_file().is_some()),
        None => plan.displace_marker(index, versioning, record.last_modified)?,
    }
    plan.replace_null(index, versioning)?;
    match arriving {
        Arriving::Bytes(bytes) => plan.rows.body = Some(bytes),
        Arriving::Staged(staged) => plan.change.rename(staged, object_path(bucket, &record.file)),
    }
    plan.rows.current = Current::Is(Box::new(record));
    Ok(plan)
}

/// `marker` becomes the latest version.
pub(super) fn mark<'a>(
    index: &Index,
    versioning: Versioning,
    (bucket, key): (&'a str, &'a str),
    current: Option<ObjectRecord>,
    marker: ObjectRecord,
) -> SqlResult<Plan<'a>> {
    let mut plan = Plan::new(bucket, key, marker.sequence);
    match current {
        Some(current) => {
            plan.displace(versioning, current, marker.last_modified, false);
            plan.rows.current = Current::IsGone;
        }
        None => plan.displace_marker(index, versioning, marker.last_modified)?,
    }
    plan.replace_null(index, versioning)?;
    plan.rows.added.push((marker, None));
    Ok(plan)
}

/// A version goes for good; if it was the latest, the next one is current again.
pub(super) fn remove<'a>(
    index: &Index,
    (bucket, key): (&'a str, &'a str),
    target: &Target,
    number: i64,
    bucket_dir: &Path,
) -> SqlResult<Plan<'a>> {
    let mut plan = Plan::new(bucket, key, number);
    match target {
        Target::Current(current) => {
            plan.rows.current = Current::IsGone;
            let next = index.newest_version(bucket, key, None)?.map(|next| next.record);
            plan.drop_bytes(current, next.as_ref().is_some_and(|next| next.own_file().is_some()));
            let place = || current.own_file().map_or_else(|| file_name::choose(bucket_dir, key), str::to_owned);
            plan.promote(next, place);
        }
        Target::Version(Kept { record, is_latest }) => {
            plan.rows.removed.push(record.sequence);
            plan.drop_bytes(record, false);
            if *is_latest {
                let next = index.newest_version(bucket, key, Some(record.sequence))?;
                plan.promote(next.map(|next| next.record), || file_name::choose(bucket_dir, key));
            }
        }
    }
    Ok(plan)
}

impl<'a> Plan<'a> {
    fn new(bucket: &'a str, key: &'a str, number: i64) -> Self {
        Self { change: Change::new(bucket, key, number), rows: Rows::new(bucket, key, number) }
    }

    /// The current version is current no longer; the name of its file, if it has one, `is_taken` by another, or free.
    fn displace(&mut self, versioning: Versioning, current: ObjectRecord, since: Timestamp, is_taken: bool) {
        if !versioning.keeps(&current) {
            self.drop_bytes(&current, is_taken);
            return;
        }
        let mut file = String::new();
        if let Some(own) = current.own_file() {
            file = format!("{}/v/{:016x}", file_name::ESCAPED, current.sequence);
            let (place, kept) = (object_path(self.rows.bucket, own), object_path(self.rows.bucket, &file));
            if is_taken {
                self.change.set_aside(place, kept);
            } else {
                self.change.rename(place, kept);
            }
        }
        let version_id = current.version_id.or_else(|| Some(NULL_VERSION.to_owned()));
        self.rows.added.push((ObjectRecord { file, version_id, ..current }, Some(since)));
    }

    /// The bytes of a version that goes for good; the name of its file, if it has one, `is_taken` by another, or free.
    fn drop_bytes(&mut self, record: &ObjectRecord, is_taken: bool) {
        match record.own_file().map(|file| object_path(self.rows.bucket, file)) {
            Some(place) if is_taken => self.drop_after(place),
            Some(place) => self.change.superfluous.push(place),
            None if record.is_marker => (),
            None => self.rows.removed_bodies.push(record.sequence),
        }
    }

    /// A file whose name another takes; it is out of the way until the change is committed, and gone then.
    fn drop_after(&mut self, place: String) {
        let aside = format!("{DISPLACED}/{:016x}", self.change.number);
        self.change.set_aside(place, aside.clone());
        self.change.superfluous.push(aside);
    }

    /// A marker that is the latest version is so no longer.
    fn displace_marker(&mut self, index: &Index, versioning: Versioning, since: Timestamp) -> SqlResult<()> {
        if versioning != Versioning::Off {
            let marker = index.latest_marker(self.rows.bucket, self.rows.key)?;
            let marker = marker.filter(|marker| versioning.keeps(marker));
            self.rows.marker = marker.map(|marker| (marker.sequence, Some(since)));
        }
        Ok(())
    }

    /// What comes is the null version: the one there is, if it is not the current one, goes.
    fn replace_null(&mut self, index: &Index, versioning: Versioning) -> SqlResult<()> {
        if versioning != Versioning::Suspended {
            return Ok(());
        }
        if let Some(Kept { record, .. }) = index.null_version(self.rows.bucket, self.rows.key)? {
            self.rows.removed.push(record.sequence);
            self.drop_bytes(&record, false);
        }
        Ok(())
    }

    /// The next version is the latest again; its file, if it has one, gets the name `place`.
    fn promote(&mut self, next: Option<ObjectRecord>, place: impl FnOnce() -> String) {
        match next {
            Some(marker) if marker.is_marker => self.rows.marker = Some((marker.sequence, None)),
            Some(mut next) => {
                if let Some(kept) = next.own_file() {
                    let (kept, file) = (object_path(self.rows.bucket, kept), place());
                    self.change.rename(kept, object_path(self.rows.bucket, &file));
                    next.file = file;
                }
                self.rows.removed.push(next.sequence);
                self.rows.current = Current::Is(Box::new(next));
            }
            None => (),
        }
    }
}

//! What a write, a delete marker or a removal does to the versions of a key: planned as rows and files before either is
//! touched.
//!
//! The current version lies under the name of its key. A version that is kept when another becomes current gets the name
//! `%/v/<sequence>` in the bucket's directory, and gets the key's name back when it becomes current again. A null version
//! is replaced for good by the next write or marker that is a null version. Plans only look; [`super::in_place`] carries
//! them out.

use std::path::Path;

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

/// `record` becomes current; its bytes wait in `staged`, a path relative to the state directory.
pub(super) fn write<'a>(
    index: &Index,
    versioning: Versioning,
    (bucket, key): (&'a str, &'a str),
    current: Option<ObjectRecord>,
    record: ObjectRecord,
    staged: String,
) -> SqlResult<Plan<'a>> {
    let mut plan = Plan::new(bucket, key, record.sequence);
    match current {
        Some(current) => plan.displace(versioning, current, record.last_modified, true),
        None => plan.displace_marker(index, versioning, record.last_modified)?,
    }
    plan.replace_null(index, versioning)?;
    plan.change.rename(staged, object_path(bucket, &record.file));
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
            let place = object_path(bucket, &current.file);
            plan.rows.current = Current::IsGone;
            let next = index.newest_version(bucket, key, None)?.map(|next| next.record);
            if next.as_ref().is_some_and(|next| !next.is_marker) {
                plan.drop_after(place);
            } else {
                plan.change.superfluous.push(place);
            }
            plan.promote(next, || current.file.clone());
        }
        Target::Version(Kept { record, is_latest }) => {
            plan.rows.removed.push(record.sequence);
            if !record.is_marker {
                plan.change.superfluous.push(object_path(bucket, &record.file));
            }
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

    /// The current version is current no longer; its name `is_taken` by another file, or free.
    fn displace(&mut self, versioning: Versioning, current: ObjectRecord, since: Timestamp, is_taken: bool) {
        let place = object_path(self.rows.bucket, &current.file);
        if versioning.keeps(&current) {
            let file = format!("{}/v/{:016x}", file_name::ESCAPED, current.sequence);
            let kept = object_path(self.rows.bucket, &file);
            if is_taken {
                self.change.set_aside(place, kept);
            } else {
                self.change.rename(place, kept);
            }
            let version_id = current.version_id.or_else(|| Some(NULL_VERSION.to_owned()));
            self.rows.added.push((ObjectRecord { file, version_id, ..current }, Some(since)));
        } else if is_taken {
            self.drop_after(place);
        } else {
            self.change.superfluous.push(place);
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
            if !record.is_marker {
                self.change.superfluous.push(object_path(self.rows.bucket, &record.file));
            }
        }
        Ok(())
    }

    /// The next version is the latest again.
    fn promote(&mut self, next: Option<ObjectRecord>, file: impl FnOnce() -> String) {
        match next {
            Some(marker) if marker.is_marker => self.rows.marker = Some((marker.sequence, None)),
            Some(next) => {
                let file = file();
                self.change.rename(object_path(self.rows.bucket, &next.file), object_path(self.rows.bucket, &file));
                self.rows.removed.push(next.sequence);
                self.rows.current = Current::Is(Box::new(ObjectRecord { file, ..next }));
            }
            None => (),
        }
    }
}

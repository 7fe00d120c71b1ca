//! Removing objects, versions and delete markers from the store; and how any change is carried out and answered.

use lakebed_contract::Timestamp;
use s3s::{S3Error, S3Result, s3_error};

use super::conditional::WriteCondition;
use super::in_place::ChangeError;
use super::index::{Index, ObjectRecord};
use super::internal;
use super::notification::{self, EventKind, Rule};
use super::planning::{self, Plan, Target};
use super::store::{S3Store, found_bucket};
use super::versioning::{self, Addressed, Versioning};

/// Who removes; the events differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Removal {
    Request,
    /// A lifecycle rule, which looked at the version some time ago; if it is another by now, nothing is removed.
    Expiry(Seen),
}

/// A version as it was seen; another may have the same id (`null`) or ETag by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) sequence: i64,
    pub(super) is_latest: bool,
}

impl Seen {
    fn is(self, found: Option<&Target>) -> bool {
        found.is_some_and(|found| found.record().sequence == self.sequence && found.is_latest() == self.is_latest)
    }
}

/// What was removed, or what hides it from now on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Deletion {
    /// The version that was removed, or that of the new marker.
    pub(super) version_id: Option<String>,
    /// Whether that is a delete marker.
    pub(super) is_marker: bool,
}

impl S3Store {
    /// Removes an object, or puts a delete marker in front of its versions, or, with `version`, removes that version for
    /// good. What is not there counts as removed.
    pub(super) fn delete_object(
        &self,
        bucket: &str,
        key: &str,
        version: Option<&str>,
        condition: &WriteCondition,
        why: Removal,
    ) -> S3Result<Deletion> {
        let addressed = version.map(Addressed::parse).transpose()?;
        let mut index = self.index();
        let rules = Rule::parse_all(&found_bucket(&index, bucket)?.rules)?;
        self.check_finished(&index, bucket, key)?;
        let versioning = Versioning::of(&index, bucket)?;
        let now = self.clock.now();
        let found = match addressed {
            Some(addressed) => versioning::target(&index, bucket, key, addressed)?,
            None => index.object(bucket, key).map_err(internal("look up an object"))?.map(Target::Current),
        };
        if let Removal::Expiry(seen) = why
            && !seen.is(found.as_ref())
        {
            return Ok(Deletion::default());
        }
        condition.check(found.as_ref().map(Target::record).filter(|record| !record.is_marker))?;
        let number = index.number_change(now);
        let marks = addressed.is_none() && versioning != Versioning::Off;
        let is_of_current = marks || matches!(found, Some(Target::Current(_)));
        let (plan, kind, told, deletion) = if marks {
            let marker = self.marker(versioning, number, now);
            let deletion = Deletion { version_id: marker.shown_version(), is_marker: true };
            let current = match found {
                Some(Target::Current(current)) => Some(current),
                _ => None,
            };
            let plan = planning::mark(&index, versioning, (bucket, key), current, marker.clone());
            let kind = if why == Removal::Request { EventKind::MarkerCreated } else { EventKind::ExpiredMarkerCreated };
            (plan, kind, marker, deletion)
        } else {
            let asked = version.map(str::to_owned);
            let Some(target) = found else { return Ok(Deletion { version_id: asked, is_marker: false }) };
            let record = target.record();
            let deletion = Deletion { version_id: asked, is_marker: record.is_marker };
            // The event is numbered by the removal, not by the version.
            let told = ObjectRecord { sequence: number, ..record.clone() };
            let plan = planning::remove(&index, (bucket, key), &target, number, &self.bucket_dir(bucket));
            (plan, if why == Removal::Request { EventKind::Removed } else { EventKind::Expired }, told, deletion)
        };
        let mut plan = plan.map_err(internal("look up versions"))?;
        plan.rows.event = notification::event_for(&rules, kind, bucket, key, &told, now);
        if plan.rows.event.is_some() {
            self.outbox().admit()?;
        }
        self.make(&mut index, &plan, "delete an object")?;
        if is_of_current {
            self.watches.removed(bucket, key);
        }
        Ok(deletion)
    }

    fn marker(&self, versioning: Versioning, number: i64, now: Timestamp) -> ObjectRecord {
        ObjectRecord {
            file: String::new(),
            size: 0,
            etag: String::new(),
            last_modified: now,
            sequence: number,
            checksums: Default::default(),
            headers: Default::default(),
            parts: Vec::new(),
            version_id: versioning.new_id(self.seed, number),
            is_marker: true,
        }
    }

    /// Carries a plan out, and lets the delivery know of its event.
    pub(super) fn make(&self, index: &mut Index, plan: &Plan<'_>, action: &'static str) -> S3Result<()> {
        let mut files = self.files();
        let made = files.make(index, &plan.change, &plan.rows);
        self.set_unfinished(files.has_open());
        drop(files);
        // A commit may fail after all was written; then the change is made, though nobody is told so.
        let is_committed = made.is_ok() || index.last_change().is_ok_and(|last| last == plan.rows.number);
        if is_committed && plan.rows.event.is_some() {
            // Under the lock: the delivery cannot have taken the event before it is counted.
            self.outbox().added();
        }
        made.map_err(|error| refusal_of(error, action))
    }
}

/// What a change that was not made is answered with.
fn refusal_of(error: ChangeError, action: &'static str) -> S3Error {
    match error {
        ChangeError::Metadata(error) => internal(action)(error),
        ChangeError::File(error) => internal(action)(error),
        ChangeError::Unfinished => s3_error!(InternalError, "an earlier change is not finished"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use lakebed_contract::{Clock, Seed};

    use super::*;
    use crate::config::CloudConfig;
    use crate::s3::bodies::Body;
    use crate::s3::notification::Created;
    use crate::s3::store::Write;

    /// A store with the bucket `b`.
    pub(in crate::s3) fn store(dir: &tempfile::TempDir) -> S3Store {
        let clock = Clock::virtual_at(Timestamp::from_seconds(1));
        let store = S3Store::open(&CloudConfig::new(dir.path(), clock, Seed(1))).expect("opens");
        store.create_bucket("b", "us-east-1").expect("made");
        store
    }

    /// Writes the object `k`, always with the same bytes.
    pub(in crate::s3) fn put(store: &S3Store) -> ObjectRecord {
        let written = store.commit(Write {
            bucket: "b",
            key: "k",
            body: Body::Small(bytes::Bytes::from_static(b"same")),
            size: 4,
            etag: "00".to_owned(),
            checksums: Default::default(),
            headers: Default::default(),
            encryption: None,
            parts: Vec::new(),
            created: Created::Put,
            condition: WriteCondition::default(),
        });
        written.expect("committed")
    }

    #[test]
    fn what_expires_is_the_version_that_was_looked_at() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = store(&dir);
        let (first, second) = (put(&store), put(&store));
        let expire = |version: Option<&str>, sequence, is_latest| {
            let why = Removal::Expiry(Seen { sequence, is_latest });
            store.delete_object("b", "k", version, &WriteCondition::default(), why).expect("nothing fails");
            store.object_version("b", "k", None).is_err()
        };
        // The second has the id and the ETag of the first.
        assert!(!expire(None, first.sequence, true) && !expire(Some("null"), first.sequence, true));
        assert!(!expire(Some("null"), second.sequence, false), "it became the latest again");
        assert!(expire(None, second.sequence, true));
    }
}

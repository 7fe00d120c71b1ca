//! Files and index in step: the one place where an object's bytes and its metadata change together.
//!
//! A write records its intent, renames the staging file into place, then makes the object visible, all under one lock. A
//! reader looks the object up and opens its file under the same lock, so it sees one version, whole, and keeps seeing it
//! while it is replaced. A process that dies in between is repaired at the next start: a rename that happened is
//! finished, one that did not is forgotten. A change that fails in between (a full disk) is repaired in the same way by
//! the next request that gets through; until then its key is answered `InternalError`, never with bytes and metadata of
//! different versions. Knows nothing of HTTP.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lakebed_contract::{Clock, EventSink, Seed, Timestamp};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::dto::ETagCondition;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use serde_json::Value;
use tokio::sync::mpsc;

use super::checksum::Checksums;
use super::delivery::{Delivery, Outbox};
use super::file_name;
use super::in_place::{RepairError, put_in_place, remove_in_place, repair, sweep};
use super::index::{BucketRecord, Index, Intent, JoinedPart, ObjectRecord, OpenIntent, StoredHeaders};
use super::integrity::XML_BODY_BYTES_MAX;
use super::internal;
use super::notification::{self, Created, Rule};
use super::operations::Operations;
use super::part_files::{Held, PartFiles};
use super::staging::StagingFile;
use crate::error::CloudError;

/// The objects of all buckets.
pub struct S3Store {
    objects: PathBuf,
    staging: PathBuf,
    parts: PartFiles,
    index: Mutex<Index>,
    /// Whether a change failed between a file and its index entry, and its intent is still in the index.
    is_unfinished: AtomicBool,
    staged: AtomicU64,
    pub(super) clock: Clock,
    pub(super) seed: Seed,
    outbox: Arc<Outbox>,
    delivery: Option<Delivery>,
}

impl std::fmt::Debug for S3Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Store").field("objects", &self.objects).finish_non_exhaustive()
    }
}

/// A write that has all its bytes and waits to become visible.
pub(super) struct Write<'a> {
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) file: StagingFile,
    pub(super) size: u64,
    pub(super) etag: String,
    pub(super) checksums: Checksums,
    pub(super) headers: StoredHeaders,
    pub(super) parts: Vec<JoinedPart>,
    pub(super) created: Created,
    pub(super) condition: WriteCondition,
}

/// `If-Match` and `If-None-Match` of a write.
#[derive(Default)]
pub(super) struct WriteCondition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

impl WriteCondition {
    fn check(&self, current: Option<&ObjectRecord>) -> S3Result<()> {
        match (&self.if_none_match, current) {
            (Some(ETagCondition::ETag(_)), _) => {
                return Err(s3_error!(NotImplemented, "If-None-Match of a write must be `*`"));
            }
            (Some(ETagCondition::Any), Some(_)) => return Err(precondition_failed()),
            (Some(ETagCondition::Any) | None, _) => (),
        }
        match (&self.if_match, current) {
            (None, _) | (Some(ETagCondition::Any), Some(_)) => Ok(()),
            (Some(_), None) => Err(s3_error!(NoSuchKey)),
            (Some(ETagCondition::ETag(expected)), Some(current)) if expected.value() == current.etag => Ok(()),
            (Some(ETagCondition::ETag(_)), Some(_)) => Err(precondition_failed()),
        }
    }
}

pub(super) fn precondition_failed() -> s3s::S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

impl S3Store {
    /// Opens the objects kept in `state_dir`, repairs what a dead process left half done, starts event delivery.
    pub(crate) fn open(
        state_dir: &Path,
        clock: Clock,
        seed: Seed,
        events: EventSink,
        notifications: Option<mpsc::Sender<Value>>,
    ) -> Result<Self, CloudError> {
        let folder = |name: &str| {
            let path = state_dir.join(name);
            fs::create_dir_all(&path).map_err(CloudError::state("create", &path)).map(|()| path)
        };
        let (objects, staging, parts) = (folder("s3")?, folder("s3-staging")?, folder("s3-parts")?);
        let path = state_dir.join("s3.sqlite");
        let metadata = |source| CloudError::Metadata { path: path.clone(), source };
        let mut index = Index::open(&path).map_err(metadata)?;
        for open in index.intents().map_err(metadata)? {
            events.log(format!("cloud: repairing an interrupted change of bucket {}", open.bucket));
            repair(&mut index, &objects, &staging, open).map_err(|error| match error {
                RepairError::Metadata(source) => metadata(source),
                RepairError::File { path, source } => CloudError::State { action: "remove", path, source },
            })?; // Whether an event became due does not matter yet: all that wait are counted below.
        }
        sweep(&staging, |_| false)?;
        let part_files = index.part_files().map_err(metadata)?;
        sweep(&parts, |name| part_files.contains(name))?;
        let outbox = Arc::new(Outbox::new(index.outbox_count().map_err(metadata)?, events));
        Ok(Self {
            objects,
            staging,
            parts: PartFiles::new(parts),
            index: Mutex::new(index),
            is_unfinished: AtomicBool::new(false),
            staged: AtomicU64::new(0),
            clock,
            seed: seed.child("s3"),
            outbox,
            delivery: notifications.map(Delivery::new),
        })
    }

    /// The HTTP service over this store; starts the delivery of events.
    pub(crate) fn service(store: &Arc<Self>) -> S3Service {
        if let Some(delivery) = &store.delivery {
            delivery.start(Arc::clone(store), Arc::clone(&store.outbox));
        }
        let mut config = S3Config::default();
        config.xml_max_body_size = XML_BODY_BYTES_MAX;
        config.post_object_max_file_size = 0;
        let mut builder = S3ServiceBuilder::new(Operations(Arc::clone(store)));
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        builder.build()
    }

    /// Events recorded but not handed over.
    pub(crate) fn notifications_pending(&self) -> u64 {
        self.outbox.pending()
    }

    /// Hands over what is pending, for at most `grace`.
    pub(crate) async fn stop_delivery(&self, grace: Duration) {
        if let Some(delivery) = &self.delivery {
            delivery.stop(grace).await;
        }
    }

    /// Ends the delivery without waiting.
    pub(crate) fn abandon_delivery(&self) {
        if let Some(delivery) = &self.delivery {
            delivery.abandon();
        }
    }

    /// Whether somebody listens to events.
    pub(super) fn delivers(&self) -> bool {
        self.delivery.is_some()
    }

    pub(super) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The index; SQLite calls block, so only where blocking is allowed.
    pub(super) fn index(&self) -> MutexGuard<'_, Index> {
        // Each method of the index is a transaction, so a panic elsewhere leaves nothing half done in it.
        let mut index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_unfinished.load(Ordering::Acquire) {
            match self.finish_changes(&mut index) {
                Ok(()) => self.is_unfinished.store(false, Ordering::Release),
                Err(RepairError::Metadata(error)) => tracing::error!(%error, "failed to finish an interrupted change"),
                Err(RepairError::File { source, .. }) => {
                    tracing::error!(error = %source, "failed to finish an interrupted change");
                }
            }
        }
        index
    }

    /// Finishes or forgets what failed half way. All changes are made under the lock of the index, so every intent that
    /// is there when the lock was just taken is such a one.
    fn finish_changes(&self, index: &mut Index) -> Result<(), RepairError> {
        let mut outcome = Ok(());
        for open in index.intents()? {
            match repair(index, &self.objects, &self.staging, open) {
                Ok(true) => self.outbox.added(),
                Ok(false) => (),
                // The others may still be finished.
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
    }

    /// `InternalError` for a key whose file and record may be of different versions.
    pub(super) fn check_finished(&self, index: &Index, bucket: &str, key: &str) -> S3Result<()> {
        if !self.is_unfinished.load(Ordering::Acquire) {
            return Ok(());
        }
        let open = index.intents().map_err(internal("look up interrupted changes"))?;
        let is_put = |open: &OpenIntent| matches!(open.intent, Intent::Put { .. });
        if open.iter().any(|open| open.bucket == bucket && open.key == key && is_put(open)) {
            return Err(s3_error!(InternalError, "an earlier write of this object is not finished"));
        }
        Ok(())
    }

    /// A new staging file.
    pub(super) fn staging_file(&self) -> StagingFile {
        StagingFile::new(self.staging.join(format!("{:016x}", self.staged.fetch_add(1, Ordering::Relaxed))))
    }

    /// Where a part lies.
    pub(super) fn part_path(&self, file: &str) -> PathBuf {
        self.parts.path(file)
    }

    /// Keeps the files of parts while they are read; to be called under the lock of the index that named them.
    pub(super) fn hold_parts(&self, files: Vec<String>) -> Held<'_> {
        self.parts.hold(files)
    }

    /// The bucket, or `NoSuchBucket`.
    pub(super) fn bucket(&self, name: &str) -> S3Result<BucketRecord> {
        found_bucket(&self.index(), name)
    }

    /// Makes a bucket and its directory. Gives the bucket that was there already, if one was.
    pub(super) fn create_bucket(&self, name: &str, region: &str) -> S3Result<Option<BucketRecord>> {
        let index = self.index();
        let existing = index.bucket(name).map_err(internal("look up a bucket"))?;
        if existing.is_some() {
            return Ok(existing);
        }
        fs::create_dir_all(self.objects.join(name)).map_err(internal("create a bucket directory"))?;
        let bucket = BucketRecord {
            name: name.to_owned(),
            region: region.to_owned(),
            created_at: self.clock.now(),
            rules: "[]".to_owned(),
        };
        index.create_bucket(&bucket).map_err(internal("create a bucket"))?;
        Ok(None)
    }

    /// Removes an empty bucket.
    pub(super) fn delete_bucket(&self, name: &str) -> S3Result<()> {
        let mut index = self.index();
        found_bucket(&index, name)?;
        if !index.scan(name, &[], None, 1).map_err(internal("scan a bucket"))?.is_empty() {
            return Err(s3_error!(BucketNotEmpty));
        }
        let parts = index.delete_bucket(name).map_err(internal("delete a bucket"))?;
        // Under the lock: a bucket of the same name, made at once, would lose its first objects.
        fs::remove_dir_all(self.objects.join(name)).map_err(internal("remove a bucket directory"))?;
        drop(index);
        self.remove_parts(&parts);
        Ok(())
    }

    /// Makes a write visible; gives the new record.
    pub(super) fn commit(&self, write: Write<'_>) -> S3Result<ObjectRecord> {
        self.commit_locked(&mut self.index(), write)
    }

    /// Makes the joined parts of an upload visible and ends the upload, in one step for all other requests.
    pub(super) fn commit_upload(&self, upload: &str, write: Write<'_>) -> S3Result<ObjectRecord> {
        let mut index = self.index();
        found_bucket(&index, write.bucket)?;
        if index.upload(upload).map_err(internal("look up an upload"))?.is_none() {
            // Aborted, or completed by another request, while its parts were joined.
            return Err(s3_error!(NoSuchUpload));
        }
        let record = self.commit_locked(&mut index, write)?;
        let files = index.remove_upload(upload).map_err(internal("forget an upload"))?;
        drop(index);
        self.remove_parts(&files);
        Ok(record)
    }

    fn commit_locked(&self, index: &mut Index, write: Write<'_>) -> S3Result<ObjectRecord> {
        let Write { bucket, key, file, size, etag, checksums, headers, parts, created, condition } = write;
        let rules = Rule::parse_all(&found_bucket(index, bucket)?.rules)?;
        self.check_finished(index, bucket, key)?;
        let current = index.object(bucket, key).map_err(internal("look up an object"))?;
        condition.check(current.as_ref())?;

        let now = self.clock.now();
        let bucket_dir = self.objects.join(bucket);
        let record = ObjectRecord {
            file: current.map_or_else(|| file_name::choose(&bucket_dir, key), |current| current.file),
            size,
            etag,
            last_modified: now,
            sequence: index.next_sequence(now).map_err(internal("number a write"))?,
            checksums,
            headers,
            parts,
        };
        let event = notification::event_for(&rules, created, bucket, key, &record);
        let staged = file.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let intent = Intent::Put { staged, record: Box::new(record.clone()), event: event.clone() };
        let intent = index.begin_put(bucket, key, &intent).map_err(internal("record a write"))?;
        if let Err(error) = put_in_place(file.path(), &bucket_dir, &record.file) {
            if let Err(error) = index.forget_intent(intent) {
                tracing::error!(%error, "s3 failed to forget a write");
                // Only the staging file tells that this write did not happen.
                file.leave();
                self.is_unfinished.store(true, Ordering::Release);
            }
            return Err(internal("rename a staging file")(error));
        }
        if let Err(error) = index.finish_put(intent, bucket, key, &record, event.as_ref()) {
            // The bytes are in place already: from here on only forward.
            self.is_unfinished.store(true, Ordering::Release);
            return Err(internal("record an object")(error));
        }
        if event.is_some() {
            // Under the lock: the delivery cannot have taken the event before it is counted.
            self.outbox.added();
        }
        Ok(record)
    }

    /// The object as it is now.
    pub(super) fn object(&self, bucket: &str, key: &str) -> S3Result<ObjectRecord> {
        let index = self.index();
        self.check_finished(&index, bucket, key)?;
        found_object(&index, bucket, key)
    }

    /// The object as it is now, and its bytes; they stay the same whatever happens to the key afterwards.
    pub(super) fn open_object(&self, bucket: &str, key: &str) -> S3Result<(ObjectRecord, File)> {
        let index = self.index();
        self.check_finished(&index, bucket, key)?;
        let record = found_object(&index, bucket, key)?;
        let file = File::open(self.objects.join(bucket).join(&record.file)).map_err(internal("open an object"))?;
        drop(index);
        let size = file.metadata().map_err(internal("look at an object's file"))?.len();
        if size != record.size {
            // Somebody else wrote to the state directory, or the disk was full in the middle of a change.
            return Err(s3_error!(InternalError, "an object's file does not have the size of the object"));
        }
        Ok((record, file))
    }

    /// Removes an object if it is there and `condition` holds.
    pub(super) fn delete_object(&self, bucket: &str, key: &str, condition: &WriteCondition) -> S3Result<()> {
        let mut index = self.index();
        found_bucket(&index, bucket)?;
        self.check_finished(&index, bucket, key)?;
        let current = index.object(bucket, key).map_err(internal("look up an object"))?;
        condition.check(current.as_ref())?;
        let Some(current) = current else { return Ok(()) };
        let intent = index.begin_delete(bucket, key, &current.file).map_err(internal("delete an object"))?;
        let removed = remove_in_place(&self.objects.join(bucket), &current.file);
        let removed = removed.map_err(internal("remove an object's file"));
        let done = removed.and_then(|()| index.forget_intent(intent).map_err(internal("forget a delete")));
        if done.is_err() {
            self.is_unfinished.store(true, Ordering::Release);
        }
        done
    }

    /// Removes files of parts that the index no longer names, as soon as nobody reads them.
    pub(super) fn remove_parts(&self, files: &[String]) {
        self.parts.remove(files);
    }

    /// Replaces the notification rules of a bucket.
    pub(super) fn set_rules(&self, bucket: &str, rules: &[Rule], event: Option<&Value>) -> S3Result<()> {
        let rules = serde_json::to_string(rules).map_err(internal("write notification rules"))?;
        let mut index = self.index();
        found_bucket(&index, bucket)?;
        index.set_rules(bucket, &rules, event).map_err(internal("record notification rules"))?;
        if event.is_some() {
            // Under the lock: the delivery cannot have taken the event before it is counted.
            self.outbox.added();
        }
        drop(index);
        Ok(())
    }
}

pub(super) fn found_bucket(index: &Index, name: &str) -> S3Result<BucketRecord> {
    index.bucket(name).map_err(internal("look up a bucket"))?.ok_or_else(|| s3_error!(NoSuchBucket))
}

pub(super) fn found_object(index: &Index, bucket: &str, key: &str) -> S3Result<ObjectRecord> {
    let found = index.object(bucket, key).map_err(internal("look up an object"))?;
    if found.is_none() {
        found_bucket(index, bucket)?;
    }
    found.ok_or_else(|| s3_error!(NoSuchKey, "The specified key does not exist."))
}

/// S3's form of a moment.
pub(super) fn dto_timestamp(at: Timestamp) -> s3s::dto::Timestamp {
    let since_epoch = Duration::from_micros(u64::try_from(at.0).unwrap_or(0));
    (std::time::SystemTime::UNIX_EPOCH + since_epoch).into()
}

/// User metadata in the form of `s3s`.
pub(super) fn dto_metadata(metadata: &BTreeMap<String, String>) -> Option<s3s::dto::Metadata> {
    (!metadata.is_empty()).then(|| metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

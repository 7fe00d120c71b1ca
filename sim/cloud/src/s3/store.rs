//! The store: the one place where an object's bytes and its metadata change together.
//!
//! A change of an object is planned ([`super::planning`]) and made ([`super::in_place`]) under one lock, with one commit
//! of the index, which also holds the event that is due. A reader looks the object up and opens its bytes under the same
//! lock, so it sees one version, whole, and keeps seeing it while it is replaced. A change that fails is taken back before
//! the next request gets the lock; if that fails too its key is answered `InternalError` until it succeeds, never with
//! bytes and metadata of different versions. Knows nothing of HTTP.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lakebed_contract::{Clock, Seed, Timestamp};
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use serde_json::Value;

use super::bodies::Body;
use super::checksum::Checksums;
use super::conditional::Watches;
pub(super) use super::conditional::{WriteCondition, precondition_failed};
use super::delivery::{Delivery, Outbox};
use super::file_name;
use super::gate::S3Gate;
use super::host::PathStyle;
use super::in_place::{self, DISPLACED, Files, OBJECTS, STAGING, finish_old_intents, sweep};
use super::index::{BucketRecord, Index, JoinedPart, ObjectRecord, StoredHeaders};
use super::integrity::XML_BODY_BYTES_MAX;
use super::lifecycle::Lifecycles;
use super::notification::{self, Created, EventKind, Rule};
use super::operations::Operations;
use super::part_files::{Held, PartFiles};
use super::planning::{self, Arriving};
use super::staging::StagingFile;
use super::sweeper::Sweeper;
use super::versioning::Versioning;
use super::{encryption, internal};
use crate::config::{CloudConfig, Fsync};
use crate::durability::{Flush, WriteAheadLog, sync_folders};
use crate::error::CloudError;

/// The index, under the state directory.
const INDEX: &str = "s3.sqlite";

/// The objects of all buckets.
pub struct S3Store {
    state_dir: PathBuf,
    fsync: Fsync,
    parts: PartFiles,
    index: Mutex<Index>,
    /// Locked only while the index is.
    files: Mutex<Files>,
    /// Whether a change could be neither made nor taken back.
    is_unfinished: AtomicBool,
    pub(super) watches: Watches,
    staged: AtomicU64,
    pub(super) clock: Clock,
    pub(super) seed: Seed,
    outbox: Arc<Outbox>,
    delivery: Option<Delivery>,
    pub(super) lifecycles: Lifecycles,
    sweeper: Sweeper,
}

impl std::fmt::Debug for S3Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Store").field("state_dir", &self.state_dir).finish_non_exhaustive()
    }
}

/// A write that has all its bytes and waits to become visible.
pub(super) struct Write<'a> {
    pub(super) bucket: &'a str,
    pub(super) key: &'a str,
    pub(super) body: Body,
    pub(super) size: u64,
    /// As if nothing were encrypted, if [`Write::encryption`] is yet to decide; else final.
    pub(super) etag: String,
    pub(super) checksums: Checksums,
    pub(super) headers: StoredHeaders,
    /// What the request asks for; `None` if the headers have their encryption already.
    pub(super) encryption: Option<encryption::Asked>,
    pub(super) parts: Vec<JoinedPart>,
    pub(super) created: Created,
    pub(super) condition: WriteCondition,
}

impl S3Store {
    /// Opens the objects kept in `state_dir`, repairs what a dead process left half done, starts event delivery.
    pub(crate) fn open(config: &CloudConfig) -> Result<Self, CloudError> {
        let CloudConfig { state_dir, clock, seed, events, .. } = config;
        let folder = |name: &str| {
            let path = state_dir.join(name);
            fs::create_dir_all(&path).map_err(CloudError::state("create", &path)).map(|()| path)
        };
        folder(OBJECTS)?;
        let (staging, displaced, parts) = (folder(STAGING)?, folder(DISPLACED)?, folder("s3-parts")?);
        if config.fsync.flushes() {
            sync_folders(state_dir, &[OBJECTS, STAGING, DISPLACED, "s3-parts"])?;
        }
        let path = state_dir.join(INDEX);
        let metadata = |source| CloudError::Metadata { path: path.clone(), source };
        let mut index = Index::open(&path, config.fsync).map_err(metadata)?;
        // Events that become due by it are counted below, with all that wait.
        let interrupted = finish_old_intents(&mut index, state_dir).map_err(|error| error.at_start(&path))?;
        if interrupted > 0 {
            events.log(format!("cloud: {interrupted} interrupted changes of S3 objects were finished or forgotten"));
        }
        let files = Files::open(state_dir, config.fsync, &index).map_err(|error| error.at_start(&path))?;
        sweep(&staging, |_| false)?;
        sweep(&displaced, |_| false)?;
        let lifecycles = Lifecycles::load(&index).map_err(metadata)?;
        let part_files = index.part_files().map_err(metadata)?;
        sweep(&parts, |name| part_files.contains(name))?;
        let delivery = Delivery::of(config)?;
        if let Some(delivery) = &delivery {
            delivery.register(&mut index, events).map_err(metadata)?;
        }
        let outbox = Arc::new(Outbox::new(index.outbox_count().map_err(metadata)?, events.clone()));
        Ok(Self {
            state_dir: state_dir.clone(),
            fsync: config.fsync,
            parts: PartFiles::new(parts),
            index: Mutex::new(index),
            files: Mutex::new(files),
            is_unfinished: AtomicBool::new(false),
            watches: Watches::default(),
            staged: AtomicU64::new(0),
            clock: clock.clone(),
            seed: seed.child("s3"),
            outbox,
            delivery,
            lifecycles,
            sweeper: Sweeper::default(),
        })
    }

    /// The HTTP service over this store; starts the delivery of events.
    pub(crate) fn service(store: &Arc<Self>, gate: S3Gate) -> S3Service {
        if let Some(delivery) = &store.delivery {
            delivery.start(store, &store.outbox);
        }
        store.sweeper.start(store);
        let mut config = S3Config::default();
        config.xml_max_body_size = XML_BODY_BYTES_MAX;
        config.post_object_max_file_size = 0;
        let mut builder = S3ServiceBuilder::new(Operations(Arc::clone(store)));
        builder.set_host(PathStyle);
        builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
        gate.close(&mut builder);
        builder.build()
    }

    /// Events recorded but not handed over.
    pub(crate) fn notifications_pending(&self) -> u64 {
        self.outbox.pending()
    }

    /// Hands over what is pending, for at most `grace`.
    pub(crate) async fn stop_delivery(&self, grace: Duration) {
        // What it expires is to be delivered as well.
        self.sweeper.stop().await;
        if let Some(delivery) = &self.delivery {
            delivery.stop(grace).await;
        }
    }

    /// Ends the delivery without waiting.
    pub(crate) fn abandon_delivery(&self) {
        self.sweeper.abandon();
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
        let index = self.index.lock().unwrap_or_else(PoisonError::into_inner);
        if self.is_unfinished.load(Ordering::Acquire) {
            let mut files = self.files();
            if let Err(error) = files.settle(&index) {
                tracing::error!(?error, "failed to settle an interrupted change");
            }
            self.set_unfinished(files.has_open());
        }
        index
    }

    /// The files; only under the lock of the index.
    pub(super) fn files(&self) -> MutexGuard<'_, Files> {
        // A change that a panic cut off is still in it, open.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_unfinished(&self, is_unfinished: bool) {
        self.is_unfinished.store(is_unfinished, Ordering::Release);
    }

    /// `InternalError` for a key whose file and record may be of different versions.
    pub(super) fn check_finished(&self, _index: &Index, bucket: &str, key: &str) -> S3Result<()> {
        if self.is_unfinished.load(Ordering::Acquire) && self.files().is_open(bucket, key) {
            return Err(s3_error!(InternalError, "an earlier write of this object is not finished"));
        }
        Ok(())
    }

    /// A new staging file.
    pub(super) fn staging_file(&self) -> StagingFile {
        let name = format!("{:016x}", self.staged.fetch_add(1, Ordering::Relaxed));
        StagingFile::new(self.state_dir.join(STAGING).join(name))
    }

    pub(super) fn bucket_dir(&self, bucket: &str) -> PathBuf {
        self.state_dir.join(OBJECTS).join(bucket)
    }

    /// Makes a staged body the file of a part that the index is about to name; only under the lock of the index.
    pub(super) fn place_part(&self, staged: &StagingFile, file: &str) -> S3Result<()> {
        let placed = self.files().place_part(staged.path(), &self.part_path(file));
        placed.map_err(internal("make a staging file a part"))
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
        fs::create_dir_all(self.bucket_dir(name)).map_err(internal("create a bucket directory"))?;
        if self.fsync == Fsync::Always {
            in_place::sync(&self.state_dir.join(OBJECTS)).map_err(internal("create a bucket directory"))?;
        }
        let bucket = BucketRecord {
            name: name.to_owned(),
            region: region.to_owned(),
            created_at: self.clock.now(),
            rules: "[]".to_owned(),
        };
        index.create_bucket(&bucket).map_err(internal("create a bucket"))?;
        Ok(None)
    }

    /// Makes a write visible; gives the new record.
    pub(super) fn commit(&self, write: Write<'_>) -> S3Result<ObjectRecord> {
        self.sync_body(&write.body)?;
        self.commit_locked(&mut self.index(), write, None)
    }

    /// Makes the joined parts of an upload visible and ends the upload, in one step.
    pub(super) fn commit_upload(&self, upload: &str, write: Write<'_>) -> S3Result<ObjectRecord> {
        self.sync_body(&write.body)?;
        let mut index = self.index();
        found_bucket(&index, write.bucket)?;
        if index.upload(upload).map_err(internal("look up an upload"))?.is_none() {
            // Aborted, or completed by another request, while its parts were joined.
            return Err(s3_error!(NoSuchUpload));
        }
        let parts = index.parts(upload).map_err(internal("look up parts"))?;
        let record = self.commit_locked(&mut index, write, Some(upload))?;
        drop(index);
        self.remove_parts(&parts.into_iter().map(|(_, part)| part.file).collect::<Vec<_>>());
        Ok(record)
    }

    /// Outside the lock: a flush takes long, and what it flushes is not visible yet.
    pub(super) fn sync_staged(&self, file: &StagingFile) -> S3Result<()> {
        Files::sync_staged(self.fsync, file.path()).map_err(internal("flush a staging file"))
    }

    fn sync_body(&self, body: &Body) -> S3Result<()> {
        match body {
            Body::Small(_) => Ok(()),
            Body::File(file) => self.sync_staged(file),
        }
    }

    fn commit_locked(&self, index: &mut Index, write: Write<'_>, upload: Option<&str>) -> S3Result<ObjectRecord> {
        let Write { bucket, key, body, size, mut etag, checksums, mut headers, .. } = write;
        let rules = Rule::parse_all(&found_bucket(index, bucket)?.rules)?;
        self.check_finished(index, bucket, key)?;
        let versioning = Versioning::of(index, bucket)?;
        let current = index.object(bucket, key).map_err(internal("look up an object"))?;
        write.condition.check(current.as_ref())?;

        let now = self.clock.now();
        let number = index.number_change(now);
        if let Some(asked) = write.encryption {
            headers.encryption = encryption::resolved(index, self.seed, bucket, asked)?;
            etag = encryption::etag(self.seed, &headers, number, etag);
        }
        let (file, arriving, staged) = match body {
            Body::Small(bytes) => (String::new(), Arriving::Bytes(bytes), None),
            Body::File(staged) => {
                let place = current.as_ref().and_then(ObjectRecord::own_file).map(str::to_owned);
                let file = place.unwrap_or_else(|| file_name::choose(&self.bucket_dir(bucket), key));
                (file, Arriving::Staged(format!("{STAGING}/{}", staged.name())), Some(staged))
            }
        };
        let record = ObjectRecord {
            file,
            size,
            etag,
            last_modified: now,
            sequence: number,
            checksums,
            headers,
            parts: write.parts,
            version_id: versioning.new_id(self.seed, number),
            is_marker: false,
        };
        let plan = planning::write(index, versioning, (bucket, key), current, record.clone(), arriving);
        let mut plan = plan.map_err(internal("look up versions"))?;
        let kind = EventKind::Created(write.created);
        plan.rows.event = notification::event_for(&rules, kind, bucket, key, &record, now);
        plan.rows.ended_upload = upload;
        let made = self.make(index, &plan, "record an object");
        if made.is_ok() || self.is_unfinished.load(Ordering::Acquire) {
            // It is the object by now, or the change may still have to find it.
            if let Some(staged) = staged {
                staged.leave();
            }
        }
        made.map(|()| record)
    }

    /// Removes files of parts that the index no longer names, as soon as nobody reads them.
    pub(super) fn remove_parts(&self, files: &[String]) {
        self.parts.remove(files);
    }

    /// Replaces the notification rules of a bucket.
    pub(super) fn set_rules(&self, bucket: &str, rules: &[Rule], event: Option<&Value>) -> S3Result<()> {
        let rules = serde_json::to_string(rules).map_err(internal("write notification rules"))?;
        let index = self.index();
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

impl Flush for S3Store {
    fn flush(&self) -> io::Result<()> {
        let unsynced = {
            let _index = self.index();
            self.files().take_unsynced()
        };
        // Files before rows: a row that survives a power cut finds its file.
        let mut synced = unsynced.iter().try_for_each(|path| in_place::sync(path));
        synced = synced.and_then(|()| WriteAheadLog::of(&self.state_dir.join(INDEX)).flush());
        if synced.is_err() {
            let _index = self.index();
            self.files().put_back_unsynced(unsynced);
        }
        synced
    }
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

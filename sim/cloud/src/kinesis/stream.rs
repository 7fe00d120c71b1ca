//! An open stream: the logs of its shards, which of them take new records, and how its description changes.
//!
//! Promises: nothing is appended to a closed shard, or to a stream that was deleted. Whoever touches a log holds the layout for
//! reading meanwhile; whoever changes the description holds it for writing. A change is complete in `stream.json` (written
//! beside and renamed) before anybody sees it, and the logs of new shards are there before that. It is flushed with its
//! directory unless the policy is [`Fsync::Never`], which holds against a killed process, not against a power cut.
//!
//! Locks are taken in this order: the registry of streams, a stream's layout, a shard's log. Nobody takes an earlier one while
//! he holds a later one. The turn to flush a shard's log is taken while the layout is held, but never together with the log; a
//! shard's fsync holds the layout for reading and nothing else, so that appends and reads go on beside it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::{fs, io};

use lakebed_contract::{EventSink, Timestamp};
use md5::{Digest, Md5};

use super::description::StreamDescription;
use super::error::{ACCOUNT, KinesisError, REGION};
use super::sequence_number::SequenceNumber;
use super::shard::{SHARD_DIR_PREFIX, Shard, shard_dir};
use super::shard_log::Tip;
use crate::config::Fsync;
use crate::durability::sync_dir;
use crate::error::CloudError;
use crate::limits::kinesis::ShardPlace;

const DESCRIPTION_FILE: &str = "stream.json";
const NEW_DESCRIPTION_FILE: &str = "stream.json.new";

/// An open stream.
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) created: Timestamp,
    dir: PathBuf,
    fsync: Fsync,
    layout: RwLock<Layout>,
}

/// A stream's description, and the open logs that belong to it.
pub(super) struct Layout {
    pub(super) description: StreamDescription,
    shards: BTreeMap<u32, Arc<Shard>>,
    /// Open shards by the first hash key of their range.
    routes: Vec<(u128, Arc<Shard>)>,
    is_deleted: bool,
}

impl Layout {
    fn new(description: StreamDescription, shards: BTreeMap<u32, Arc<Shard>>) -> Self {
        let with_log = |number| shards.get(&number).map(Arc::clone);
        let open = description.open_shards();
        let mut routes: Vec<_> =
            open.filter_map(|shard| Some((shard.first_hash_key, with_log(shard.number)?))).collect();
        routes.sort_unstable_by_key(|(first, _)| *first);
        Self { description, shards, routes, is_deleted: false }
    }

    /// The shards that take records, by their hash keys.
    pub(super) fn open_shards(&self) -> impl ExactSizeIterator<Item = &Arc<Shard>> {
        self.routes.iter().map(|(_, shard)| shard)
    }

    /// Position among [`Layout::open_shards`] of the shard whose range holds `hash_key`.
    pub(super) fn route(&self, hash_key: u128) -> usize {
        self.routes.partition_point(|(first, _)| *first <= hash_key).saturating_sub(1)
    }

    /// A shard, open or closed.
    pub(super) fn shard(&self, number: u32) -> Option<&Arc<Shard>> {
        self.shards.get(&number)
    }

    /// How far a shard's log goes; `None` for a shard that has none yet.
    pub(super) fn tip(&self, number: u32) -> Option<Tip> {
        Some(self.shards.get(&number)?.log().tip())
    }

    /// The greatest sequence any shard has given.
    pub(super) fn greatest_sequence(&self) -> u64 {
        self.shards.values().map(|shard| shard.log().tip().sequence).max().unwrap_or(0)
    }
}

impl Stream {
    /// Makes the directory of a new stream in `making`; it appears as `dir` only when it is complete.
    pub(super) fn create(
        dir: &Path,
        making: &Path,
        description: StreamDescription,
        fsync: Fsync,
        events: &EventSink,
    ) -> Result<Self, CloudError> {
        if making.exists() {
            fs::remove_dir_all(making).map_err(CloudError::state("remove", making))?;
        }
        fs::create_dir_all(making).map_err(CloudError::state("create", making))?;
        save(making, &description, fsync)?;
        flush_name(making, fsync)?;
        fs::rename(making, dir).map_err(CloudError::state("rename", making))?;
        if fsync.flushes() {
            sync_parent(dir).map_err(CloudError::state("flush", dir))?;
        }
        Self::open_described(dir, description, fsync, events)
    }

    /// Opens the stream in `dir`; removes what a change that was cut off left behind.
    pub(super) fn open(dir: &Path, fsync: Fsync, events: &EventSink) -> Result<Self, CloudError> {
        let path = dir.join(DESCRIPTION_FILE);
        let json = fs::read(&path).map_err(CloudError::state("read", &path))?;
        let corrupt = |error: serde_json::Error| CloudError::Corrupt { path, reason: error.to_string() };
        let description: StreamDescription = serde_json::from_slice(&json).map_err(corrupt)?;
        remove_strangers(dir, &description)?;
        Self::open_described(dir, description, fsync, events)
    }

    fn open_described(
        dir: &Path,
        description: StreamDescription,
        fsync: Fsync,
        events: &EventSink,
    ) -> Result<Self, CloudError> {
        let mut shards = BTreeMap::new();
        for described in &description.shards {
            let number = described.number;
            let (shard, dropped) = Shard::open(dir, number, described.first_sequence, fsync)?;
            if dropped > 0 {
                let name = &description.name;
                tracing::warn!(stream = name, shard = number, bytes = dropped, "dropped a torn tail");
                events.log(format!("cloud: dropped a torn tail of {dropped} bytes from stream {name}, shard {number}"));
            }
            shards.insert(number, shard);
        }
        let (name, created) = (description.name.clone(), description.created);
        let layout = RwLock::new(Layout::new(description, shards));
        Ok(Self { name, created, dir: dir.to_owned(), fsync, layout })
    }

    /// The layout, for reading and appending.
    pub(super) fn layout(&self) -> Result<RwLockReadGuard<'_, Layout>, KinesisError> {
        // A layout is replaced by one assignment, so a panic elsewhere cannot leave it half changed.
        let layout = self.layout.read().unwrap_or_else(PoisonError::into_inner);
        if layout.is_deleted { Err(KinesisError::stream_not_found(&self.name)) } else { Ok(layout) }
    }

    fn layout_mut(&self) -> Result<RwLockWriteGuard<'_, Layout>, KinesisError> {
        let layout = self.layout.write().unwrap_or_else(PoisonError::into_inner);
        if layout.is_deleted { Err(KinesisError::stream_not_found(&self.name)) } else { Ok(layout) }
    }

    /// Changes the description while nobody appends. When `alter` or the disk refuses, nothing has changed; when only the last
    /// flush fails, the change is made and refused all the same, because a restart would find it.
    pub(super) fn change<T>(
        &self,
        alter: impl FnOnce(&mut StreamDescription, &Layout) -> Result<T, KinesisError>,
    ) -> Result<T, KinesisError> {
        let mut layout = self.layout_mut()?;
        let mut description = layout.description.clone();
        let answer = alter(&mut description, &layout)?;
        if description == layout.description {
            return Ok(answer);
        }
        let failed = |error: CloudError| KinesisError::internal("change a stream", &error);
        let shards = self.shards_of(&description, &layout).map_err(failed)?;
        save(&self.dir, &description, self.fsync).map_err(failed)?;
        let flushed = flush_name(&self.dir, self.fsync);
        let gone: Vec<u32> = layout.shards.keys().filter(|number| !shards.contains_key(*number)).copied().collect();
        *layout = Layout::new(description, shards);
        layout.shards.values().for_each(|shard| shard.announce());
        // Still held: a new stream of this name must not find its directories removed.
        for number in gone {
            let dir = shard_dir(&self.dir, number);
            // The description no longer knows the shard: what stays behind is removed when the stream is opened.
            if let Err(error) = fs::remove_dir_all(&dir) {
                tracing::error!(%error, stream = self.name, shard = number, "failed to remove an expired shard");
            }
        }
        flushed.map_err(failed)?;
        Ok(answer)
    }

    /// The logs that `description` wants: those that are open, and new ones.
    fn shards_of(
        &self,
        description: &StreamDescription,
        layout: &Layout,
    ) -> Result<BTreeMap<u32, Arc<Shard>>, CloudError> {
        let mut shards = BTreeMap::new();
        for described in &description.shards {
            let number = described.number;
            let shard = match layout.shards.get(&number) {
                Some(shard) => Arc::clone(shard),
                None => {
                    let dir = shard_dir(&self.dir, number);
                    // A change that failed half-way may have left one, with another first sequence.
                    if dir.exists() {
                        fs::remove_dir_all(&dir).map_err(CloudError::state("remove", &dir))?;
                    }
                    Shard::open(&self.dir, number, described.first_sequence, self.fsync)?.0
                }
            };
            shards.insert(number, shard);
        }
        Ok(shards)
    }

    /// Takes the stream's directory away, which the caller flushes; whoever still holds the stream finds it deleted. Registered consumers keep it unless
    /// they are to go with it.
    pub(super) fn delete(&self, to: &Path, with_consumers: bool) -> Result<(), KinesisError> {
        let mut layout = self.layout_mut()?;
        if !with_consumers && !layout.description.consumers.is_empty() {
            return Err(KinesisError::in_use(format!(
                "Stream {} under account {ACCOUNT} has registered consumers; they go with it only if EnforceConsumerDeletion \
                 is true.",
                self.name
            )));
        }
        fs::rename(&self.dir, to).map_err(|error| KinesisError::internal("delete a stream", &error))?;
        layout.is_deleted = true;
        layout.shards.values().for_each(|shard| shard.announce());
        Ok(())
    }

    /// Puts what was appended before the call on the disk. A shard that cannot be flushed keeps none of the others from it.
    pub(super) fn flush(&self) -> io::Result<()> {
        // A deleted stream has nothing to lose. The layout is not held meanwhile: others wait for it.
        let Ok(shards) = self.layout().map(|layout| layout.shards.values().map(Arc::clone).collect::<Vec<_>>()) else {
            return Ok(());
        };
        shards.iter().map(|shard| shard.flush()).fold(Ok(()), io::Result::and)
    }

    /// Removes records that are too old, and closed shards that have none left.
    pub(super) fn sweep(&self, now: Timestamp) -> Result<(), KinesisError> {
        let layout = self.layout()?;
        let horizon = layout.description.horizon(now);
        for shard in layout.shards.values() {
            let mut log = shard.log();
            let trimmed = log.trim(horizon).and_then(|()| log.release());
            trimmed.map_err(|error| KinesisError::internal("trim a shard", &error))?;
        }
        let has_expired = layout.description.shards.iter().any(|shard| shard.is_expired(horizon));
        drop(layout);
        if has_expired {
            self.change(|description, _| {
                let horizon = description.horizon(now);
                description.shards.retain(|shard| !shard.is_expired(horizon));
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Where a shard's throughput is counted.
    pub(super) fn place(&self, shard: u32) -> ShardPlace<'_> {
        ShardPlace { stream: &self.name, created: self.created, shard }
    }

    /// `arn:aws:kinesis:…`.
    pub(super) fn arn(&self) -> String {
        format!("arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{}", self.name)
    }

    /// A sequence of a shard's log as a sequence number.
    pub(super) fn sequence_number(&self, shard: u32, sequence: u64) -> String {
        SequenceNumber { created: self.created.0.unsigned_abs(), sequence, shard }.to_text()
    }

    /// Whether a sequence number was given out by this stream.
    pub(super) fn has_given(&self, number: SequenceNumber) -> bool {
        number.created == self.created.0.unsigned_abs()
    }
}

/// Where a partition key falls: its MD5 as a number.
pub(super) fn hash_key_of(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into())
}

fn sync_parent(dir: &Path) -> io::Result<()> {
    dir.parent().map_or(Ok(()), sync_dir)
}

/// Writes the description in place of the one before; [`flush_name`] makes that last.
fn save(dir: &Path, description: &StreamDescription, fsync: Fsync) -> Result<(), CloudError> {
    let new = dir.join(NEW_DESCRIPTION_FILE);
    let json = serde_json::to_vec(description).expect("a stream description is plain data");
    fs::write(&new, json).map_err(CloudError::state("write", &new))?;
    if fsync.flushes() {
        // Before the rename: a name that is on the disk must not stand for bytes that are not.
        fs::File::open(&new).and_then(|file| file.sync_all()).map_err(CloudError::state("flush", &new))?;
    }
    fs::rename(&new, dir.join(DESCRIPTION_FILE)).map_err(CloudError::state("rename", &new))
}

fn flush_name(dir: &Path, fsync: Fsync) -> Result<(), CloudError> {
    if fsync.flushes() { sync_dir(dir).map_err(CloudError::state("flush", dir)) } else { Ok(()) }
}

/// Removes the logs of shards that the description does not know: nothing in them was ever acknowledged, or all of it is too old.
fn remove_strangers(dir: &Path, description: &StreamDescription) -> Result<(), CloudError> {
    for entry in fs::read_dir(dir).map_err(CloudError::state("list", dir))? {
        let path = entry.map_err(CloudError::state("list", dir))?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.strip_prefix(SHARD_DIR_PREFIX)?.parse().ok());
        if number.is_some_and(|number: u32| description.shard(number).is_none()) {
            fs::remove_dir_all(&path).map_err(CloudError::state("remove", &path))?;
        }
    }
    let new = dir.join(NEW_DESCRIPTION_FILE);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(CloudError::state("remove", &new)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::description::PROVISIONED;

    fn created(dir: &Path) -> Stream {
        let description = StreamDescription::new("s", Timestamp::from_seconds(1_700_000_000), PROVISIONED, 2);
        Stream::create(&dir.join("s"), &dir.join("making"), description, Fsync::Never, &EventSink::default())
            .expect("created")
    }

    #[test]
    fn what_a_cut_off_change_left_behind_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(created(dir.path()));
        let stream_dir = dir.path().join("s");
        fs::create_dir(shard_dir(&stream_dir, 2)).expect("made");
        fs::write(stream_dir.join(NEW_DESCRIPTION_FILE), "{").expect("written");
        let stream = Stream::open(&stream_dir, Fsync::Never, &EventSink::default()).expect("opens");
        assert!(!shard_dir(&stream_dir, 2).exists() && !stream_dir.join(NEW_DESCRIPTION_FILE).exists());
        assert_eq!(stream.layout().expect("there").open_shards().len(), 2);
    }

    #[test]
    fn a_deleted_stream_can_no_longer_be_used_by_who_still_holds_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let stream = created(dir.path());
        stream.delete(&dir.path().join("gone"), false).expect("deleted");
        assert_eq!(stream.layout().err().expect("deleted").code(), "ResourceNotFoundException");
        let again = stream.delete(&dir.path().join("gone-too"), false).expect_err("deleted");
        assert_eq!(again.code(), "ResourceNotFoundException");
    }
}

//! An open stream: the logs of its shards, which of them take new records, and how its description changes.
//!
//! Promises: nothing is appended to a closed shard, or to a stream that was deleted. Whoever touches a log holds the layout for
//! reading meanwhile; whoever changes the description holds it for writing. A change is complete in `stream.json` (written
//! beside and renamed) before anybody sees it, and the logs of new shards are there before that. Not fsynced: that holds
//! against a killed process, not against a power cut.
//!
//! Locks are taken in this order: the registry of streams, a stream's layout, a shard's log. Nobody takes an earlier one while
//! he holds a later one.
//!
//! A sequence number has 56 decimal digits: `49`, the stream's creation in microseconds, the shard log's sequence, the
//! shard. It grows within a shard and from a shard to its children, and differs between shards and between streams of one name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::{fs, io};

use lakebed_contract::{EventSink, Timestamp};
use md5::{Digest, Md5};

use super::description::StreamDescription;
use super::error::{ACCOUNT, KinesisError};
use super::shard_log::{ShardLog, Tip};
use crate::error::CloudError;

const DESCRIPTION_FILE: &str = "stream.json";
const NEW_DESCRIPTION_FILE: &str = "stream.json.new";
const SHARD_DIR_PREFIX: &str = "shard-";
const SEQUENCE_NUMBER_DIGITS: usize = 56;

/// An open stream.
pub(super) struct Stream {
    pub(super) name: String,
    pub(super) created: Timestamp,
    dir: PathBuf,
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

/// The log of one shard.
pub(super) struct Shard {
    pub(super) number: u32,
    log: Mutex<ShardLog>,
}

/// A sequence number taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SequenceNumber {
    created: u64,
    pub(super) sequence: u64,
    pub(super) shard: u32,
}

impl Shard {
    fn open(stream_dir: &Path, number: u32, first_sequence: u64) -> Result<(Arc<Self>, u64), CloudError> {
        let (log, dropped) = ShardLog::open(&shard_dir(stream_dir, number), first_sequence)?;
        Ok((Arc::new(Self { number, log: Mutex::new(log) }), dropped))
    }

    /// The shard's log, for one caller at a time.
    pub(super) fn log(&self) -> MutexGuard<'_, ShardLog> {
        // The log changes its own state only after its file, so a panic leaves nothing half done in it.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
        events: &EventSink,
    ) -> Result<Self, CloudError> {
        if making.exists() {
            fs::remove_dir_all(making).map_err(CloudError::state("remove", making))?;
        }
        fs::create_dir_all(making).map_err(CloudError::state("create", making))?;
        save(making, &description)?;
        fs::rename(making, dir).map_err(CloudError::state("rename", making))?;
        Self::open_described(dir, description, events)
    }

    /// Opens the stream in `dir`; removes what a change that was cut off left behind.
    pub(super) fn open(dir: &Path, events: &EventSink) -> Result<Self, CloudError> {
        let path = dir.join(DESCRIPTION_FILE);
        let json = fs::read(&path).map_err(CloudError::state("read", &path))?;
        let corrupt = |error: serde_json::Error| CloudError::Corrupt { path, reason: error.to_string() };
        let description: StreamDescription = serde_json::from_slice(&json).map_err(corrupt)?;
        remove_strangers(dir, &description)?;
        Self::open_described(dir, description, events)
    }

    fn open_described(dir: &Path, description: StreamDescription, events: &EventSink) -> Result<Self, CloudError> {
        let mut shards = BTreeMap::new();
        for described in &description.shards {
            let number = described.number;
            let (shard, dropped) = Shard::open(dir, number, described.first_sequence)?;
            if dropped > 0 {
                let name = &description.name;
                tracing::warn!(stream = name, shard = number, bytes = dropped, "dropped a torn tail");
                events.log(format!("cloud: dropped a torn tail of {dropped} bytes from stream {name}, shard {number}"));
            }
            shards.insert(number, shard);
        }
        let (name, created) = (description.name.clone(), description.created);
        let layout = RwLock::new(Layout::new(description, shards));
        Ok(Self { name, created, dir: dir.to_owned(), layout })
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

    /// Changes the description while nobody appends. When `alter` or the disk refuses, nothing has changed.
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
        save(&self.dir, &description).map_err(failed)?;
        let gone: Vec<u32> = layout.shards.keys().filter(|number| !shards.contains_key(*number)).copied().collect();
        *layout = Layout::new(description, shards);
        // Still held: a new stream of this name must not find its directories removed.
        for number in gone {
            let dir = shard_dir(&self.dir, number);
            // The description no longer knows the shard: what stays behind is removed when the stream is opened.
            if let Err(error) = fs::remove_dir_all(&dir) {
                tracing::error!(%error, stream = self.name, shard = number, "failed to remove an expired shard");
            }
        }
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
                    Shard::open(&self.dir, number, described.first_sequence)?.0
                }
            };
            shards.insert(number, shard);
        }
        Ok(shards)
    }

    /// Takes the stream's directory away; whoever still holds the stream finds it deleted.
    pub(super) fn delete(&self, to: &Path) -> Result<(), KinesisError> {
        let mut layout = self.layout_mut()?;
        fs::rename(&self.dir, to).map_err(|error| KinesisError::internal("delete a stream", &error))?;
        layout.is_deleted = true;
        Ok(())
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

    /// `arn:aws:kinesis:…`.
    pub(super) fn arn(&self) -> String {
        format!("arn:aws:kinesis:us-east-1:{ACCOUNT}:stream/{}", self.name)
    }

    /// A sequence of a shard's log as a sequence number.
    pub(super) fn sequence_number(&self, shard: u32, sequence: u64) -> String {
        format!("49{:020}{sequence:020}{shard:014}", self.created.0.unsigned_abs())
    }

    /// Whether a sequence number was given out by this stream.
    pub(super) fn has_given(&self, number: SequenceNumber) -> bool {
        number.created == self.created.0.unsigned_abs()
    }
}

impl SequenceNumber {
    /// Reads a sequence number of any stream of ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() != SEQUENCE_NUMBER_DIGITS || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = text.strip_prefix("49")?;
        Some(Self {
            created: digits[..20].parse().ok()?,
            sequence: digits[20..40].parse().ok()?,
            shard: digits[40..].parse().ok()?,
        })
    }
}

/// Where a partition key falls: its MD5 as a number.
pub(super) fn hash_key_of(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into())
}

fn shard_dir(stream_dir: &Path, number: u32) -> PathBuf {
    stream_dir.join(format!("{SHARD_DIR_PREFIX}{number:012}"))
}

fn save(dir: &Path, description: &StreamDescription) -> Result<(), CloudError> {
    let new = dir.join(NEW_DESCRIPTION_FILE);
    let json = serde_json::to_vec(description).expect("a stream description is plain data");
    fs::write(&new, json).map_err(CloudError::state("write", &new))?;
    fs::rename(&new, dir.join(DESCRIPTION_FILE)).map_err(CloudError::state("rename", &new))
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
        Stream::create(&dir.join("s"), &dir.join("making"), description, &EventSink::default()).expect("created")
    }

    #[test]
    fn sequence_numbers_have_56_digits_grow_and_read_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let stream = created(dir.path());
        let (one, two) = (stream.sequence_number(1, 9), stream.sequence_number(1, 10));
        assert_eq!(one.len(), SEQUENCE_NUMBER_DIGITS);
        assert!(one < two);
        let read = SequenceNumber::parse(&two).expect("ours");
        assert_eq!((read.shard, read.sequence, stream.has_given(read)), (1, 10, true));
        assert_eq!(SequenceNumber::parse("49"), None);
        assert!(stream.sequence_number(7, 11) > two, "a later one of another shard is greater");
    }

    #[test]
    fn what_a_cut_off_change_left_behind_is_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        drop(created(dir.path()));
        let stream_dir = dir.path().join("s");
        fs::create_dir(shard_dir(&stream_dir, 2)).expect("made");
        fs::write(stream_dir.join(NEW_DESCRIPTION_FILE), "{").expect("written");
        let stream = Stream::open(&stream_dir, &EventSink::default()).expect("opens");
        assert!(!shard_dir(&stream_dir, 2).exists() && !stream_dir.join(NEW_DESCRIPTION_FILE).exists());
        assert_eq!(stream.layout().expect("there").open_shards().len(), 2);
    }

    #[test]
    fn a_deleted_stream_can_no_longer_be_used_by_who_still_holds_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let stream = created(dir.path());
        stream.delete(&dir.path().join("gone")).expect("deleted");
        assert_eq!(stream.layout().err().expect("deleted").code(), "ResourceNotFoundException");
        let again = stream.delete(&dir.path().join("gone-too")).expect_err("deleted");
        assert_eq!(again.code(), "ResourceNotFoundException");
    }
}

//! A stream: its shards, their hash ranges, and how sequence numbers and shard ids are written.
//!
//! A sequence number has 56 decimal digits: `49`, the stream's creation in microseconds, the shard log's sequence, the
//! shard. It grows within a shard and differs between shards and between streams of one name.

use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lakebed_contract::{EventSink, Timestamp};
use md5::{Digest, Md5};
use serde::{Deserialize, Serialize};

use super::shard_log::ShardLog;
use crate::error::CloudError;

/// How long a record can be read; AWS's default.
pub const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

const DESCRIPTION_FILE: &str = "stream.json";
const SEQUENCE_NUMBER_DIGITS: usize = 56;

/// What a stream is, as kept in its directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct StreamDescription {
    pub(super) name: String,
    pub(super) created: Timestamp,
    pub(super) shard_count: u32,
    pub(super) mode: String,
}

/// An open stream.
pub(super) struct Stream {
    pub(super) description: StreamDescription,
    pub(super) shards: Vec<Shard>,
}

/// One shard of a stream.
pub(super) struct Shard {
    pub(super) number: u32,
    pub(super) hash_keys: RangeInclusive<u128>,
    log: Mutex<ShardLog>,
}

impl Shard {
    /// `shardId-000000000000`.
    pub(super) fn id(&self) -> String {
        format!("shardId-{:012}", self.number)
    }

    /// The shard's log, for one caller at a time.
    pub(super) fn log(&self) -> MutexGuard<'_, ShardLog> {
        // The log changes its own state only after its file, so a panic leaves nothing half done in it.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
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
        let path = making.join(DESCRIPTION_FILE);
        let json = serde_json::to_vec(&description).expect("a stream description is plain data");
        fs::write(&path, json).map_err(CloudError::state("write", &path))?;
        fs::rename(making, dir).map_err(CloudError::state("rename", making))?;
        Self::open_described(dir, description, events)
    }

    /// Opens the stream in `dir`.
    pub(super) fn open(dir: &Path, events: &EventSink) -> Result<Self, CloudError> {
        let path = dir.join(DESCRIPTION_FILE);
        let json = fs::read(&path).map_err(CloudError::state("read", &path))?;
        let corrupt = |error: serde_json::Error| CloudError::Corrupt { path, reason: error.to_string() };
        Self::open_described(dir, serde_json::from_slice(&json).map_err(corrupt)?, events)
    }

    fn open_described(dir: &Path, description: StreamDescription, events: &EventSink) -> Result<Self, CloudError> {
        let mut shards = Vec::new();
        for (number, hash_keys) in (0..).zip(hash_ranges(description.shard_count)) {
            let (log, dropped) = ShardLog::open(&shard_dir(dir, number))?;
            if dropped > 0 {
                let name = &description.name;
                tracing::warn!(stream = name, shard = number, bytes = dropped, "dropped a torn tail");
                events.log(format!("cloud: dropped a torn tail of {dropped} bytes from stream {name}, shard {number}"));
            }
            shards.push(Shard { number, hash_keys, log: Mutex::new(log) });
        }
        Ok(Self { description, shards })
    }

    /// The shard whose range holds `hash_key`.
    pub(super) fn shard_of(&self, hash_key: u128) -> &Shard {
        let behind = self.shards.partition_point(|shard| *shard.hash_keys.start() <= hash_key);
        &self.shards[behind.saturating_sub(1)]
    }

    /// The shard called `id`.
    pub(super) fn shard(&self, id: &str) -> Option<&Shard> {
        self.shards.iter().find(|shard| shard.id() == id)
    }

    /// `arn:aws:kinesis:…`.
    pub(super) fn arn(&self) -> String {
        format!("arn:aws:kinesis:us-east-1:000000000000:stream/{}", self.description.name)
    }

    /// A sequence of a shard's log as a sequence number.
    pub(super) fn sequence_number(&self, shard: u32, sequence: u64) -> String {
        format!("49{:020}{sequence:020}{shard:014}", self.description.created.0.unsigned_abs())
    }

    /// Reads a sequence number of this stream and shard.
    pub(super) fn parse_sequence_number(&self, shard: u32, text: &str) -> Option<u64> {
        if text.len() != SEQUENCE_NUMBER_DIGITS || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let sequence: u64 = text[22..42].parse().ok()?;
        (self.sequence_number(shard, sequence) == text).then_some(sequence)
    }
}

fn shard_dir(stream_dir: &Path, number: u32) -> PathBuf {
    stream_dir.join(format!("shard-{number:012}"))
}

/// Where a partition key falls: its MD5 as a number.
pub(super) fn hash_key_of(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into())
}

/// The 128-bit space in `count` ranges of equal size, the last taking the rest.
fn hash_ranges(count: u32) -> impl Iterator<Item = RangeInclusive<u128>> {
    let count = u128::from(count.max(1));
    // 2^128 / count, which only fits for count > 1; with one shard it is never multiplied by more than zero.
    let exact = u128::MAX % count == count - 1;
    let width = (u128::MAX / count).saturating_add(u128::from(exact));
    (0..count).map(move |at| at * width..=if at + 1 == count { u128::MAX } else { (at + 1) * width - 1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_the_space_without_gap_or_overlap() {
        for count in [1, 2, 3, 4, 7, 200] {
            let ranges: Vec<_> = hash_ranges(count).collect();
            assert_eq!((*ranges[0].start(), *ranges[ranges.len() - 1].end()), (0, u128::MAX), "{count} shards");
            assert!(ranges.windows(2).all(|pair| *pair[0].end() + 1 == *pair[1].start()), "{count} shards");
        }
        assert_eq!(hash_ranges(2).next(), Some(0..=170_141_183_460_469_231_731_687_303_715_884_105_727));
    }

    #[test]
    fn sequence_numbers_have_56_digits_grow_and_read_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let description = StreamDescription {
            name: "s".to_owned(),
            created: Timestamp::from_seconds(1_700_000_000),
            shard_count: 2,
            mode: "PROVISIONED".to_owned(),
        };
        let (path, making) = (dir.path().join("s"), dir.path().join("making"));
        let stream = Stream::create(&path, &making, description, &EventSink::default()).expect("created");
        let (one, two) = (stream.sequence_number(1, 9), stream.sequence_number(1, 10));
        assert_eq!(one.len(), SEQUENCE_NUMBER_DIGITS);
        assert!(one < two);
        assert_eq!(stream.parse_sequence_number(1, &two), Some(10));
        assert_eq!(stream.parse_sequence_number(0, &two), None, "a number of another shard");
        assert_eq!(stream.parse_sequence_number(1, "49"), None);
    }
}

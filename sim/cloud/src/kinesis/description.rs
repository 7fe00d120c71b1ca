//! What a stream is, as kept in `stream.json`: its shards with their lineage, and its settings.
//!
//! Promises: the open shards together cover the hash keys without gap or overlap; a shard's number is never used twice; a file
//! without explicit shards, as older versions wrote it, is read as shards that never changed. Knows nothing of records.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use lakebed_contract::Timestamp;
use serde::{Deserialize, Serialize};

/// How long a record can be read unless the stream says otherwise; AWS's default.
pub const RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) const RETENTION_HOURS_MIN: u32 = 24;
pub(super) const RETENTION_HOURS_MAX: u32 = 8760;
/// What a record may have unless the stream says otherwise.
pub(super) const RECORD_KIB_MIN: u32 = 1024;
pub(super) const PROVISIONED: &str = "PROVISIONED";
pub(super) const ON_DEMAND: &str = "ON_DEMAND";

const MICROS_PER_HOUR: i64 = 3_600_000_000;

/// A stream's shards and settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Kept")]
pub(super) struct StreamDescription {
    pub(super) name: String,
    pub(super) created: Timestamp,
    /// `PROVISIONED` or `ON_DEMAND`.
    pub(super) mode: String,
    pub(super) retention_hours: u32,
    /// What was older than the retention when it grew stays gone.
    pub(super) readable_from: Timestamp,
    pub(super) tags: BTreeMap<String, String>,
    /// Of server-side encryption.
    pub(super) key_id: Option<String>,
    /// Enhanced metrics.
    pub(super) metrics: BTreeSet<String>,
    /// Most data of a record.
    pub(super) max_record_kib: u32,
    /// Throughput that an on-demand stream was told to be ready for.
    pub(super) warm_mibps: Option<u32>,
    /// Registered consumers by name.
    pub(super) consumers: BTreeMap<String, Consumer>,
    /// When the mode was changed, and when UpdateShardCount was called: both are limited per day.
    pub(super) mode_changes: Vec<Timestamp>,
    pub(super) scalings: Vec<Timestamp>,
    /// By number, which grows with age.
    pub(super) shards: Vec<ShardDescription>,
}

/// A registered consumer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Consumer {
    pub(super) created: Timestamp,
    #[serde(default)]
    pub(super) tags: BTreeMap<String, String>,
}

/// A shard's place among the hash keys and in the lineage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShardDescription {
    pub(super) number: u32,
    pub(super) first_hash_key: u128,
    pub(super) last_hash_key: u128,
    pub(super) parent: Option<u32>,
    pub(super) adjacent_parent: Option<u32>,
    pub(super) opened: Timestamp,
    /// All its records have this sequence or a greater one.
    pub(super) first_sequence: u64,
    pub(super) closed: Option<Closed>,
}

/// The end of a shard: nothing is appended any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Closed {
    /// No record arrived later.
    pub(super) at: Timestamp,
    /// No record has a greater sequence.
    pub(super) last_sequence: u64,
}

/// The file's form: what later versions added may be absent.
#[derive(Deserialize)]
struct Kept {
    name: String,
    created: Timestamp,
    mode: String,
    /// Instead of shards, in files of the first version.
    shard_count: Option<u32>,
    retention_hours: Option<u32>,
    readable_from: Option<Timestamp>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    key_id: Option<String>,
    #[serde(default)]
    metrics: BTreeSet<String>,
    max_record_kib: Option<u32>,
    warm_mibps: Option<u32>,
    #[serde(default)]
    consumers: BTreeMap<String, Consumer>,
    #[serde(default)]
    mode_changes: Vec<Timestamp>,
    #[serde(default)]
    scalings: Vec<Timestamp>,
    #[serde(default)]
    shards: Vec<ShardDescription>,
}

impl TryFrom<Kept> for StreamDescription {
    type Error = &'static str;

    fn try_from(kept: Kept) -> Result<Self, Self::Error> {
        let shards = match kept.shard_count {
            Some(count) if kept.shards.is_empty() => initial_shards(count, kept.created),
            _ => kept.shards,
        };
        let description = Self {
            name: kept.name,
            created: kept.created,
            mode: kept.mode,
            retention_hours: kept.retention_hours.unwrap_or(RETENTION_HOURS_MIN),
            readable_from: kept.readable_from.unwrap_or(Timestamp(i64::MIN)),
            tags: kept.tags,
            key_id: kept.key_id,
            metrics: kept.metrics,
            max_record_kib: kept.max_record_kib.unwrap_or(RECORD_KIB_MIN),
            warm_mibps: kept.warm_mibps,
            consumers: kept.consumers,
            mode_changes: kept.mode_changes,
            scalings: kept.scalings,
            shards,
        };
        if !description.covers_all_hash_keys() {
            return Err("the open shards do not cover the hash keys");
        }
        if !description.shards.is_sorted_by(|one, two| one.number < two.number) {
            return Err("the shards are not in the order of their numbers");
        }
        Ok(description)
    }
}

impl StreamDescription {
    /// A new stream of `shard_count` shards of equal size.
    pub(super) fn new(name: &str, created: Timestamp, mode: &str, shard_count: u32) -> Self {
        Self {
            name: name.to_owned(),
            created,
            mode: mode.to_owned(),
            retention_hours: RETENTION_HOURS_MIN,
            readable_from: Timestamp(i64::MIN),
            tags: BTreeMap::new(),
            key_id: None,
            metrics: BTreeSet::new(),
            max_record_kib: RECORD_KIB_MIN,
            warm_mibps: None,
            consumers: BTreeMap::new(),
            mode_changes: Vec::new(),
            scalings: Vec::new(),
            shards: initial_shards(shard_count, created),
        }
    }

    /// Before this moment records are gone.
    pub(super) fn horizon(&self, now: Timestamp) -> Timestamp {
        let retention = i64::from(self.retention_hours).saturating_mul(MICROS_PER_HOUR);
        Timestamp(now.0.saturating_sub(retention)).max(self.readable_from)
    }

    pub(super) fn open_shards(&self) -> impl Iterator<Item = &ShardDescription> {
        self.shards.iter().filter(|shard| shard.closed.is_none())
    }

    pub(super) fn shard(&self, number: u32) -> Option<&ShardDescription> {
        self.shards.iter().find(|shard| shard.number == number)
    }

    /// The shard called `id`.
    pub(super) fn shard_called(&self, id: &str) -> Option<&ShardDescription> {
        self.shards.iter().find(|shard| shard.id() == id)
    }

    /// Most data bytes of a record.
    pub(super) fn record_bytes_max(&self) -> usize {
        self.max_record_kib as usize * 1024
    }

    /// `KMS` or `NONE`.
    pub(super) fn encryption_type(&self) -> &'static str {
        if self.key_id.is_some() { "KMS" } else { "NONE" }
    }

    fn covers_all_hash_keys(&self) -> bool {
        let mut open: Vec<_> = self.open_shards().map(|shard| (shard.first_hash_key, shard.last_hash_key)).collect();
        open.sort_unstable();
        let reaches_both_ends =
            open.first().is_some_and(|first| first.0 == 0) && open.last().is_some_and(|last| last.1 == u128::MAX);
        let are_ranges = open.iter().all(|(first, last)| first <= last);
        reaches_both_ends && are_ranges && open.windows(2).all(|pair| pair[0].1.checked_add(1) == Some(pair[1].0))
    }
}

impl ShardDescription {
    /// `shardId-000000000000`.
    pub(super) fn id(&self) -> String {
        shard_id(self.number)
    }

    /// Whether it is closed and all its records are gone.
    pub(super) fn is_expired(&self, horizon: Timestamp) -> bool {
        self.closed.is_some_and(|closed| closed.at < horizon)
    }

    /// Whether it was open at some moment from `at` on.
    pub(super) fn is_open_from(&self, at: Timestamp) -> bool {
        self.closed.is_none_or(|closed| closed.at >= at)
    }
}

/// `shardId-000000000000`.
pub(super) fn shard_id(number: u32) -> String {
    format!("shardId-{number:012}")
}

fn initial_shards(count: u32, created: Timestamp) -> Vec<ShardDescription> {
    let shard = |(number, range): (u32, RangeInclusive<u128>)| ShardDescription {
        number,
        first_hash_key: *range.start(),
        last_hash_key: *range.end(),
        parent: None,
        adjacent_parent: None,
        opened: created,
        first_sequence: 0,
        closed: None,
    };
    (0..).zip(hash_ranges(count)).map(shard).collect()
}

/// The 128-bit space in `count` ranges of equal size, the last taking the rest.
pub(super) fn hash_ranges(count: u32) -> impl Iterator<Item = RangeInclusive<u128>> {
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
    fn a_file_of_the_first_version_still_opens_and_a_file_of_this_one_reads_back() {
        let old = br#"{"name":"s","created":1700000000000000,"shard_count":2,"mode":"PROVISIONED"}"#;
        let read: StreamDescription = serde_json::from_slice(old).expect("the old form");
        let created = Timestamp::from_seconds(1_700_000_000);
        assert_eq!(read, StreamDescription::new("s", created, PROVISIONED, 2));
        assert_eq!(read.shards[1].id(), "shardId-000000000001");
        let again = serde_json::to_vec(&read).expect("plain data");
        assert_eq!(serde_json::from_slice::<StreamDescription>(&again).expect("the new form"), read);
    }

    #[test]
    fn a_file_whose_shards_leave_a_gap_is_refused() {
        let mut description = StreamDescription::new("s", Timestamp(0), PROVISIONED, 2);
        description.shards[1].first_hash_key += 1;
        let json = serde_json::to_vec(&description).expect("plain data");
        assert!(serde_json::from_slice::<StreamDescription>(&json).is_err());
    }
}

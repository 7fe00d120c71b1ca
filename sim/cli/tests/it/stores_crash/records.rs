//! Records: every acknowledged one under its own sequence number, in order, once, while shards are split and merged.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, Shard, ShardFilter, ShardFilterType, ShardIteratorType};
use rand::Rng;

use super::life::Life;
use super::{answer, answered};

const STREAM: &str = "crash";
const SHARDS: i32 = 2;
/// With more open shards than these, two are merged.
const OPEN_SHARDS_MAX: usize = 4;
/// Of so many batches, one is followed by a change of the shards. Each leaves a closed one to be read in every later life.
const BATCHES_PER_RESHARD: u32 = 32;
const BATCH_MAX: u32 = 4;
const DATA_BYTES_MAX: usize = 3_000;

/// A record by its sequence number, which is of fixed width and so in order as text.
type BySequence = BTreeMap<String, Vec<u8>>;

/// The stream's records by shard.
#[derive(Default)]
pub(super) struct Records {
    /// Found by an earlier life.
    settled: BTreeMap<String, BySequence>,
    /// Acknowledged in the last life.
    acknowledged: BTreeMap<String, BySequence>,
    /// Sent and not answered.
    sent: BTreeSet<Vec<u8>>,
    batches: u64,
    pub(super) acknowledged_batches: u64,
}

pub(super) async fn create(kinesis: &Client) {
    answered(kinesis.create_stream().stream_name(STREAM).shard_count(SHARDS).send().await);
}

impl Records {
    /// Puts batches until the process is gone.
    pub(super) async fn write(&mut self, life: &Life, kinesis: &Client, mut chance: impl Rng) {
        while life.goes_on() {
            let batch = self.batch(&mut chance);
            self.sent = batch.iter().cloned().collect();
            let entries = batch.iter().map(|data| {
                let key = chance.random_range(0..1_000).to_string();
                PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data.as_slice())).build()
            });
            let entries: Result<Vec<_>, _> = entries.collect();
            let put = kinesis.put_records().stream_name(STREAM).set_records(Some(entries.expect("complete")));
            let Some(put) = answer(put.send().await) else { return };
            assert_eq!(put.failed_record_count(), Some(0), "a failed record is an error in an answer");
            assert_eq!(put.records().len(), batch.len());
            for (record, data) in put.records().iter().zip(batch) {
                let (shard, sequence) = (record.shard_id().expect("a shard"), record.sequence_number().expect("one"));
                let of_shard = self.acknowledged.entry(shard.to_owned()).or_default();
                assert!(of_shard.insert(sequence.to_owned(), data).is_none(), "{sequence} was given twice");
            }
            self.sent.clear();
            self.acknowledged_batches += 1;
            life.acknowledged();
            if chance.random_ratio(1, BATCHES_PER_RESHARD) && !reshard(kinesis, &mut chance).await {
                return;
            }
        }
    }

    /// Data that occurs once in the whole test.
    fn batch(&mut self, chance: &mut impl Rng) -> Vec<Vec<u8>> {
        self.batches += 1;
        let number = self.batches;
        let records = 0..chance.random_range(1..=BATCH_MAX);
        let data = records.map(|place| {
            let mut data = format!("{number}-{place}-").into_bytes();
            let padding = chance.random_range(0..DATA_BYTES_MAX);
            data.resize(data.len() + padding, b'.');
            data
        });
        data.collect()
    }

    /// Compares what a new life has behind what the one before it had.
    pub(super) async fn check(&mut self, kinesis: &Client) {
        for shard in shard_ids(kinesis).await {
            let settled = self.settled.entry(shard.clone()).or_default();
            let last = settled.keys().next_back().cloned();
            let found = read(kinesis, &shard, last.as_deref()).await;
            let acknowledged = self.acknowledged.remove(&shard).unwrap_or_default();
            for (sequence, data) in &acknowledged {
                assert!(found.get(sequence) == Some(data), "{shard} lost or changed {sequence}");
            }
            for (sequence, data) in &found {
                let is_known = acknowledged.contains_key(sequence) || self.sent.remove(data);
                assert!(is_known, "{shard} has {sequence}, which was never sent, or has it twice");
                assert!(last.as_ref().is_none_or(|last| last < sequence), "sequence numbers grow");
            }
            settled.extend(found);
        }
        assert!(self.acknowledged.is_empty(), "a shard is gone");
        self.sent.clear();
    }

    /// Compares all that was ever found.
    pub(super) async fn check_everything(&self, kinesis: &Client) {
        for (shard, settled) in &self.settled {
            assert!(&read(kinesis, shard, None).await == settled, "{shard} has changed");
        }
    }
}

/// Splits a shard in the middle, or merges two; whether that was answered.
async fn reshard(kinesis: &Client, chance: &mut impl Rng) -> bool {
    let filter = ShardFilter::builder().r#type(ShardFilterType::AtLatest).build().expect("complete");
    let listing = kinesis.list_shards().stream_name(STREAM).shard_filter(filter);
    let Some(listed) = answer(listing.send().await) else { return false };
    let number = |text: &str| text.parse::<u128>().expect("a hash key");
    let range = |shard: &Shard| {
        let range = shard.hash_key_range().expect("a range");
        (number(range.starting_hash_key()), number(range.ending_hash_key()), shard.shard_id().to_owned())
    };
    let mut open: Vec<_> = listed.shards().iter().map(range).collect();
    open.sort_unstable();
    if open.len() > OPEN_SHARDS_MAX {
        let at = chance.random_range(1..open.len());
        let merge = kinesis.merge_shards().stream_name(STREAM).shard_to_merge(&open[at - 1].2);
        return answer(merge.adjacent_shard_to_merge(&open[at].2).send().await).is_some();
    }
    let (first, last, id) = &open[chance.random_range(0..open.len())];
    let middle = first + (last - first) / 2 + 1;
    let split = kinesis.split_shard().stream_name(STREAM).shard_to_split(id);
    answer(split.new_starting_hash_key(middle.to_string()).send().await).is_some()
}

async fn shard_ids(kinesis: &Client) -> Vec<String> {
    let listed = answered(kinesis.list_shards().stream_name(STREAM).send().await);
    listed.shards().iter().map(|shard| shard.shard_id().to_owned()).collect()
}

/// Everything in a shard behind a sequence number.
async fn read(kinesis: &Client, shard: &str, behind: Option<&str>) -> BySequence {
    let iterator = kinesis.get_shard_iterator().stream_name(STREAM).shard_id(shard);
    let iterator = match behind {
        None => iterator.shard_iterator_type(ShardIteratorType::TrimHorizon),
        Some(behind) => {
            iterator.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).starting_sequence_number(behind)
        }
    };
    let mut next = answered(iterator.send().await).shard_iterator;
    let mut found = BySequence::new();
    while let Some(iterator) = next {
        let page = answered(kinesis.get_records().shard_iterator(iterator).send().await);
        let sequences: Vec<&str> = page.records().iter().map(|record| record.sequence_number()).collect();
        assert!(sequences.is_sorted_by(|one, two| one < two), "records come in order, once");
        for record in page.records() {
            let data = record.data().as_ref().to_vec();
            assert!(found.insert(record.sequence_number().to_owned(), data).is_none(), "read twice");
        }
        next = page.next_shard_iterator().filter(|_| page.millis_behind_latest() != Some(0)).map(str::to_owned);
    }
    found
}

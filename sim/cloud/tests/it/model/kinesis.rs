//! Kinesis against a model: each partition key's records in the order they were put, wherever shards were split or merged.

use std::collections::BTreeMap;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, Shard, ShardIteratorType};
use md5::Digest;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::{Restartable, over};

const CASES: u32 = 30;
const KEYS: u8 = 6;

#[derive(Clone, Debug)]
enum Step {
    Put(u8),
    PutMany(Vec<u8>),
    /// The nth open shard, in the middle.
    Split(usize),
    /// The nth open shard with its neighbour.
    Merge(usize),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..KEYS).prop_map(Step::Put),
        4 => prop::collection::vec(0..KEYS, 1..12).prop_map(Step::PutMany),
        2 => (0..4usize).prop_map(Step::Split),
        2 => (0..4usize).prop_map(Step::Merge),
        1 => Just(Step::Restart),
    ]
}

/// What was put, per partition key, in order.
type Model = BTreeMap<u8, Vec<u64>>;

struct World<'a> {
    store: &'a mut Restartable,
    stream: String,
    model: Model,
    count: u64,
}

fn hash_of(key: u8) -> u128 {
    u128::from_be_bytes(md5::Md5::digest(key.to_string().as_bytes()).into())
}

fn range(shard: &Shard) -> (u128, u128) {
    let range = shard.hash_key_range().expect("a range");
    (range.starting_hash_key().parse().expect("a number"), range.ending_hash_key().parse().expect("a number"))
}

fn is_open(shard: &Shard) -> bool {
    shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_none())
}

impl World<'_> {
    fn kinesis(&self) -> aws_sdk_kinesis::Client {
        self.store.running().kinesis.clone()
    }

    fn shards(&self) -> Vec<Shard> {
        let list = self.kinesis().list_shards().stream_name(&self.stream).send();
        self.store.block_on(list).expect("shards").shards().to_vec()
    }

    /// By hash range.
    fn open_shards(&self) -> Vec<Shard> {
        let mut open: Vec<Shard> = self.shards().into_iter().filter(is_open).collect();
        open.sort_by_key(range);
        open
    }

    fn next(&mut self, key: u8) -> Blob {
        self.count += 1;
        self.model.entry(key).or_default().push(self.count);
        Blob::new(self.count.to_be_bytes())
    }

    /// A change of the shards counts when there are records whose order it could spoil.
    fn met_between_records(&mut self, what: &'static str) {
        if self.count > 0 {
            self.store.met(what);
        }
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Put(key) => {
                let data = self.next(*key);
                let put =
                    self.kinesis().put_record().stream_name(&self.stream).partition_key(key.to_string()).data(data);
                let put = self.store.block_on(put.send()).expect("a record is put");
                let owner = self.open_shards().into_iter().find(|shard| shard.shard_id() == put.shard_id());
                let (first, last) = range(&owner.expect("an open shard took it"));
                prop_assert!((first..=last).contains(&hash_of(*key)), "the wrong shard took the record");
            }
            Step::PutMany(keys) => {
                let entries = keys.iter().map(|key| {
                    let data = self.next(*key);
                    PutRecordsRequestEntry::builder().partition_key(key.to_string()).data(data).build().expect("whole")
                });
                let entries: Vec<_> = entries.collect();
                let put = self.kinesis().put_records().stream_name(&self.stream).set_records(Some(entries)).send();
                let put = self.store.block_on(put).expect("records are put");
                prop_assert_eq!(put.failed_record_count(), Some(0));
                prop_assert_eq!(put.records().len(), keys.len());
            }
            Step::Split(nth) => {
                let open = self.open_shards();
                let shard = &open[nth % open.len()];
                let (first, last) = range(shard);
                let middle = first + (last - first) / 2 + 1;
                let split = self.kinesis().split_shard().stream_name(&self.stream).shard_to_split(shard.shard_id());
                self.store.block_on(split.new_starting_hash_key(middle.to_string()).send()).expect("a shard is split");
                self.met_between_records("split");
            }
            Step::Merge(nth) => {
                let open = self.open_shards();
                if open.len() > 1 {
                    let at = nth % (open.len() - 1);
                    let merge = self.kinesis().merge_shards().stream_name(&self.stream);
                    let merge =
                        merge.shard_to_merge(open[at].shard_id()).adjacent_shard_to_merge(open[at + 1].shard_id());
                    self.store.block_on(merge.send()).expect("shards are merged");
                    self.met_between_records("merged");
                }
            }
            Step::Restart => self.store.restart(),
        }
        Ok(())
    }

    /// One shard from its beginning to its end, or to the newest record: partition key and number of each record.
    fn read(&self, shard: &Shard) -> Result<Vec<(u8, u64)>, TestCaseError> {
        let kinesis = self.kinesis();
        let first = kinesis.get_shard_iterator().stream_name(&self.stream).shard_id(shard.shard_id());
        let first = first.shard_iterator_type(ShardIteratorType::TrimHorizon).send();
        let mut next = self.store.block_on(first).expect("an iterator").shard_iterator().map(str::to_owned);
        let mut records = Vec::new();
        let mut newest = None::<String>;
        while let Some(iterator) = next {
            let page = kinesis.get_records().shard_iterator(iterator).limit(3).send();
            let page = self.store.block_on(page).expect("a page");
            for record in page.records() {
                let sequence = record.sequence_number().to_owned();
                prop_assert!(
                    newest.as_ref().is_none_or(|newest| (newest.len(), newest) < (sequence.len(), &sequence)),
                    "sequence numbers go back"
                );
                newest = Some(sequence);
                let key = record.partition_key().unwrap_or_default().parse().expect("one of ours");
                records.push((key, u64::from_be_bytes(record.data().as_ref().try_into().expect("eight bytes"))));
                let (first, last) = range(shard);
                prop_assert!((first..=last).contains(&hash_of(key)), "a record lies in a foreign shard");
            }
            next = page.next_shard_iterator().map(str::to_owned);
            if page.records().is_empty() && page.millis_behind_latest() == Some(0) && is_open(shard) {
                break;
            }
        }
        Ok(records)
    }

    /// Reads parents before children; each key's records must come in the order they were put, all of them, once.
    fn compare(&self) -> Result<(), TestCaseError> {
        let mut left = self.shards();
        let mut read: Model = Model::new();
        while !left.is_empty() {
            let is_waiting = |shard: &Shard, left: &[Shard]| {
                let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
                parents.into_iter().flatten().any(|parent| left.iter().any(|other| other.shard_id() == parent))
            };
            let at = left.iter().position(|shard| !is_waiting(shard, &left)).expect("lineage has no circle");
            for (key, number) in self.read(&left.remove(at))? {
                read.entry(key).or_default().push(number);
            }
        }
        prop_assert_eq!(&read, &self.model);
        let open = self.open_shards();
        let mut expected = 0;
        for shard in &open {
            let (first, last) = range(shard);
            prop_assert_eq!(first, expected, "the open shards leave a gap or overlap");
            expected = last.wrapping_add(1);
        }
        prop_assert_eq!(expected, 0, "the open shards do not reach the end");
        Ok(())
    }
}

#[test]
fn streams_do_what_the_model_does() {
    let mut store = Restartable::start();
    let outcome = over(CASES, &prop::collection::vec(step(), 10..50), |case, steps| {
        let stream = format!("model-{case}");
        let create = store.running().kinesis.create_stream().stream_name(&stream).shard_count(2).send();
        store.block_on(create).expect("a stream");
        let mut world = World { store: &mut store, stream, model: Model::new(), count: 0 };
        for step in &steps {
            world.take(step)?;
        }
        world.compare()?;
        world.store.restart();
        world.compare()?;
        let delete = world.kinesis().delete_stream().stream_name(&world.stream).send();
        world.store.block_on(delete).expect("a stream is deleted");
        Ok(())
    });
    assert_eq!(outcome, Ok(()));
    store.assert_met(20, &["split", "merged"]);
    store.stop();
}

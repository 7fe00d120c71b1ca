//! Kinesis: what a shard takes and gives a second, and how often control operations may be called.
//!
//! An on-demand stream has the limits of its shards, four to begin with. A record larger than a second's worth is taken when
//! the shard has been idle for a second, and leaves a debt. An answer larger than a second's worth also costs what was saved
//! up, so that after one of 10 MiB the next five seconds throttle, as AWS documents. The rates of control operations are
//! those of the page "Quotas and limits", per operation and account; AWS counts some of them per stream.

use lakebed_contract::{Clock, Timestamp};

use super::{Bucket, Buckets, Rate};
use crate::config::{CloudConfig, Limits};

const MIB: u64 = 1024 * 1024;

const WRITE_BYTES: Rate = Rate::per_second(MIB);
const WRITE_RECORDS: Rate = Rate::per_second(1_000);
const READ_BYTES: Rate = Rate::per_second(2 * MIB);
const READ_CALLS: Rate = Rate::per_second(5);
const ITERATOR_CALLS: Rate = Rate::per_second(5);
const OF_SHARD: [Rate; 5] = [WRITE_BYTES, WRITE_RECORDS, READ_BYTES, READ_CALLS, ITERATOR_CALLS];

/// Calls a second of an operation, per account.
const CALLS: [(&str, u64); 26] = [
    ("AddTagsToStream", 5),
    ("CreateStream", 5),
    ("DecreaseStreamRetentionPeriod", 5),
    ("DeleteStream", 5),
    ("DeregisterStreamConsumer", 5),
    ("DescribeLimits", 1),
    ("DescribeStream", 10),
    ("DescribeStreamConsumer", 20),
    ("DescribeStreamSummary", 20),
    ("DisableEnhancedMonitoring", 5),
    ("EnableEnhancedMonitoring", 5),
    ("IncreaseStreamRetentionPeriod", 5),
    ("ListShards", 1_000),
    ("ListStreamConsumers", 5),
    ("ListStreams", 5),
    ("ListTagsForResource", 5),
    ("ListTagsForStream", 5),
    ("MergeShards", 5),
    ("RegisterStreamConsumer", 5),
    ("RemoveTagsFromStream", 5),
    ("SplitShard", 5),
    ("StartStreamEncryption", 5),
    ("StopStreamEncryption", 5),
    ("TagResource", 5),
    ("UntagResource", 5),
    ("UpdateShardCount", 5),
];

/// A shard, for its buckets. A stream made anew under an old name has shards of its own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShardPlace<'a> {
    /// Stream.
    pub(crate) stream: &'a str,
    /// When the stream was made.
    pub(crate) created: Timestamp,
    /// Number of the shard.
    pub(crate) shard: u32,
}

/// The limits of all streams; admits everything unless they are AWS's.
#[derive(Debug)]
pub(crate) struct KinesisLimits(Option<Counted>);

#[derive(Debug)]
struct Counted {
    clock: Clock,
    shards: Buckets<(String, i64, u32), 5>,
    calls: Buckets<&'static str, 1>,
}

impl KinesisLimits {
    /// As `config` says.
    pub(crate) fn new(config: &CloudConfig) -> Self {
        let counted = || Counted { clock: config.clock.clone(), shards: Buckets::default(), calls: Buckets::default() };
        Self((config.limits == Limits::Aws).then(counted))
    }

    /// Whether a record of so many bytes, its partition key included, may be put now; it counts if so.
    pub(crate) fn admit_put(&self, place: ShardPlace<'_>, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.of_shard(place, |[write_bytes, write_records, ..]| {
            let admitted = write_bytes.holds(bytes) && write_records.holds(1);
            if admitted {
                write_bytes.charge(bytes);
                write_records.charge(1);
            }
            admitted
        })
    }

    /// Whether a GetRecords may be answered now; the call counts if so.
    pub(crate) fn admit_get(&self, place: ShardPlace<'_>) -> bool {
        self.of_shard(place, |[_, _, read_bytes, read_calls, _]| read_bytes.is_open() && read_calls.take(1))
    }

    /// Counts what a GetRecords has given.
    pub(crate) fn charge_get(&self, place: ShardPlace<'_>, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.of_shard(place, |[_, _, read_bytes, ..]| {
            if bytes > READ_BYTES.burst {
                read_bytes.forfeit();
            }
            read_bytes.charge(bytes);
            true
        });
    }

    /// Whether a GetShardIterator may be answered now; it counts if so.
    pub(crate) fn admit_iterator(&self, place: ShardPlace<'_>) -> bool {
        self.of_shard(place, |[.., iterator_calls]| iterator_calls.take(1))
    }

    /// Whether a control operation may be called now; it counts if so. Operations on records are not limited here.
    pub(crate) fn admit_call(&self, operation: &str) -> bool {
        let Some(counted) = &self.0 else { return true };
        let Some((name, per_second)) = CALLS.iter().find(|(name, _)| *name == operation) else { return true };
        let rate = [Rate::per_second(*per_second)];
        counted.calls.with(name, rate, counted.clock.monotonic(), |[calls]| calls.take(1))
    }

    fn of_shard(&self, place: ShardPlace<'_>, work: impl FnOnce(&mut [Bucket; 5]) -> bool) -> bool {
        let Some(counted) = &self.0 else { return true };
        let key = (place.stream.to_owned(), place.created.0, place.shard);
        counted.shards.with(key, OF_SHARD, counted.clock.monotonic(), work)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lakebed_contract::Seed;

    use super::*;

    const PLACE: ShardPlace<'_> = ShardPlace { stream: "s", created: Timestamp(7), shard: 0 };

    fn limits(limits: Limits) -> (KinesisLimits, Clock) {
        let clock = Clock::virtual_at(Timestamp::from_seconds(1_700_000_000));
        let mut config = CloudConfig::new("nowhere", clock.clone(), Seed(7));
        config.limits = limits;
        (KinesisLimits::new(&config), clock)
    }

    #[test]
    fn an_answer_of_ten_mebibytes_costs_five_seconds() {
        let (limits, clock) = limits(Limits::Aws);
        assert!(limits.admit_get(PLACE));
        limits.charge_get(PLACE, 10 * 1024 * 1024);
        clock.advance(Duration::from_millis(5_000));
        assert!(!limits.admit_get(PLACE));
        clock.advance(Duration::from_millis(1));
        assert!(limits.admit_get(PLACE));
    }

    #[test]
    fn another_shard_has_buckets_of_its_own() {
        let (limits, _) = limits(Limits::Aws);
        assert!(limits.admit_put(PLACE, 1024 * 1024));
        assert!(!limits.admit_put(PLACE, 1));
        assert!(limits.admit_put(ShardPlace { shard: 1, ..PLACE }, 1));
    }

    #[test]
    fn every_call_that_is_limited_is_an_operation() {
        use crate::matrix::{OPERATIONS, Service};
        for (name, _) in CALLS {
            let mut operations = OPERATIONS.iter().filter(|operation| operation.service == Service::Kinesis);
            assert!(operations.any(|operation| operation.name == name), "{name}");
        }
    }

    #[test]
    fn without_limits_everything_is_admitted() {
        let (limits, _) = limits(Limits::None);
        assert!((0..10_000).all(|_| limits.admit_put(PLACE, 1024 * 1024) && limits.admit_call("DescribeLimits")));
    }
}

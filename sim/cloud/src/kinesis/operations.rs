//! The operations by name, and the registry of streams they work on.
//!
//! A stream is ACTIVE as soon as CreateStream has answered, and after each change. A request is checked as a whole before its
//! stream is looked for, as AWS does. Making, deleting and describing streams, consumers, sizes and subscriptions are in files of
//! their own.
//! Everything here blocks on files.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use lakebed_contract::{Clock, EventSink, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::cbor::{Wire, decode_request};
use super::consumers::{ConsumerArn, resource_in};
use super::description::ON_DEMAND;
use super::error::{ACCOUNT, KinesisError};
use super::iterator::{self, ShardIterator};
use super::listing::{self, ListToken};
use super::put_records::PutRecordsAnswer;
use super::settings::{self, Direction};
use super::stream::Stream;
use super::subscribe::Subscriptions;
use super::tags;
use super::wire::{
    AddTagsToStream, EnhancedMonitoring, GetRecords, GetRecordsAnswer, GetShardIterator, ListShards, ListTagsForStream,
    MergeShards, NamesStream, Naming, PutRecord, PutRecords, RemoveTagsFromStream, RetentionPeriod, SplitShard,
    StreamEncryption, TaggedResource, UpdateShardCount, UpdateStreamMode, refuse_unimplemented,
};
use super::{records, reshard};
use crate::config::{CloudConfig, Fsync, Limits};
use crate::error::CloudError;
use crate::limits::kinesis::KinesisLimits;

const STREAM_DIR_PREFIX: &str = "stream-";
/// How often, on the clock, room is made by removing what is too old in all streams.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);

pub(super) type Answer = Result<Value, KinesisError>;

/// The streams and what can be done with them.
pub(super) struct Operations {
    pub(super) dir: PathBuf,
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    rates: KinesisLimits,
    pub(super) subscriptions: Arc<Subscriptions>,
    pub(super) events: EventSink,
    pub(super) fsync: Fsync,
    pub(super) streams: RwLock<BTreeMap<String, Arc<Stream>>>,
    /// When the last sweep began, in microseconds.
    swept_at: AtomicI64,
    /// Streams deleted since the start: their directories must not meet.
    pub(super) deleted: AtomicU64,
}

pub(super) fn parsed<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, KinesisError> {
    serde_json::from_slice(body).map_err(|error| KinesisError::unreadable(&error))
}

impl Operations {
    /// Opens every stream kept in `dir`; removes what was half made or half deleted, and what is too old.
    pub(super) fn open(dir: &Path, config: &CloudConfig) -> Result<Self, CloudError> {
        let (clock, limits, events) = (config.clock.clone(), config.limits, &config.events);
        let fsync = config.fsync;
        let mut streams = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(CloudError::state("list", dir))? {
            let path = entry.map_err(CloudError::state("list", dir))?.path();
            let is_stream = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(STREAM_DIR_PREFIX));
            if !is_stream {
                fs::remove_dir_all(&path).map_err(CloudError::state("remove", &path))?;
                continue;
            }
            let stream = Stream::open(&path, fsync, events)?;
            streams.insert(stream.name.clone(), Arc::new(stream));
        }
        let operations = Self {
            dir: dir.to_owned(),
            clock,
            limits,
            rates: KinesisLimits::new(config),
            subscriptions: Arc::default(),
            events: events.clone(),
            fsync,
            streams: RwLock::new(streams),
            swept_at: AtomicI64::new(i64::MIN),
            deleted: AtomicU64::new(0),
        };
        operations.sweep_if_due(operations.clock.now());
        Ok(operations)
    }

    /// Answers one operation, in the form it was asked in.
    pub(super) fn answer(&self, operation: &str, wire: Wire, body: &[u8]) -> Result<Vec<u8>, KinesisError> {
        let now = self.clock.now();
        self.sweep_if_due(now);
        if !self.rates.admit_call(operation) {
            return Err(KinesisError::limit_exceeded(format!("Rate exceeded under account {ACCOUNT}.")));
        }
        let body = &*decode_request(wire, body)?;
        super::validation::check_request(operation, body)?;
        // The two that are large.
        match operation {
            "GetRecords" => return wire.encode(&self.get_records(&parsed(body)?, now)?),
            "PutRecords" => return wire.encode(&self.put_records(parsed(body)?, now)?),
            _ => {}
        }
        let answer = self.of_records(operation, body, now);
        let answer = answer.or_else(|| self.of_consumers(operation, body, now));
        let answer = answer.or_else(|| self.of_sizes(operation, body));
        let answer = answer.unwrap_or_else(|| self.of_streams(operation, body, now))?;
        // CreateStream and the like answer with an empty body, as AWS does.
        Ok(if answer.is_null() { Vec::new() } else { wire.write(&answer) })
    }

    /// Operations on records and shards; `None` for others.
    fn of_records(&self, operation: &str, body: &[u8], now: Timestamp) -> Option<Answer> {
        Some(match operation {
            "PutRecord" => parsed(body).and_then(|mut request: PutRecord<'_>| {
                let routed = request.check()?;
                let ordering = request.sequence_number_for_ordering.as_deref();
                let stream = self.named(request.naming())?;
                let answer = records::put_record(&stream, ordering, routed, &self.rates, now)?;
                self.scale(&stream, now);
                Ok(answer)
            }),
            "GetShardIterator" => parsed(body).and_then(|request: GetShardIterator| {
                iterator::get_shard_iterator(&*self.named(request.naming())?, &request, &self.rates, now)
            }),
            "ListShards" => parsed(body).and_then(|request: ListShards| self.list_shards(&request, now)),
            "SplitShard" => parsed(body).and_then(|request: SplitShard| {
                let stream = self.named(request.naming())?;
                reshard::split_shard(&stream, &request, self.open_shards_but(&stream), now)
            }),
            "MergeShards" => parsed(body)
                .and_then(|request: MergeShards| reshard::merge_shards(&*self.named(request.naming())?, &request, now)),
            "UpdateShardCount" => parsed(body).and_then(|request: UpdateShardCount| {
                let stream = self.named(request.naming())?;
                reshard::update_shard_count(&stream, &request, self.open_shards_but(&stream), now)
            }),
            _ => return None,
        })
    }

    /// Operations on streams and their settings.
    fn of_streams(&self, operation: &str, body: &[u8], now: Timestamp) -> Answer {
        match operation {
            "CreateStream" => self.create_stream(&parsed(body)?, now),
            "DeleteStream" => self.delete_stream(&parsed(body)?),
            "DescribeStream" => self.describe_stream(&parsed(body)?),
            "DescribeStreamSummary" => self.describe_stream_summary(&parsed(body)?),
            "DescribeLimits" => self.describe_limits(),
            "ListStreams" => self.list_streams(&parsed(body)?),
            "IncreaseStreamRetentionPeriod" => self.change_retention(&parsed(body)?, Direction::Longer, now),
            "DecreaseStreamRetentionPeriod" => self.change_retention(&parsed(body)?, Direction::Shorter, now),
            "UpdateStreamMode" => {
                let request: UpdateStreamMode = parsed(body)?;
                let stream = self.named(request.naming())?;
                settings::update_mode(&stream, &request, self.on_demand_streams(), now)
            }
            "StartStreamEncryption" => {
                let request: StreamEncryption = parsed(body)?;
                request.check()?;
                settings::start_encryption(&*self.named(request.naming())?, &request)
            }
            "StopStreamEncryption" => {
                let request: StreamEncryption = parsed(body)?;
                request.check()?;
                settings::stop_encryption(&*self.named(request.naming())?)
            }
            "EnableEnhancedMonitoring" => self.change_monitoring(&parsed(body)?, true),
            "DisableEnhancedMonitoring" => self.change_monitoring(&parsed(body)?, false),
            _ => self.of_tags(operation, body),
        }
    }

    fn of_tags(&self, operation: &str, body: &[u8]) -> Answer {
        match operation {
            "AddTagsToStream" => {
                let request: AddTagsToStream = parsed(body)?;
                tags::add(&*self.named(request.naming())?, None, request.tags.as_ref())
            }
            "RemoveTagsFromStream" => {
                let request: RemoveTagsFromStream = parsed(body)?;
                tags::remove(&*self.named(request.naming())?, None, request.tag_keys.as_deref())
            }
            "ListTagsForStream" => {
                let request: ListTagsForStream = parsed(body)?;
                tags::list(&*self.named(request.naming())?, &request)
            }
            "TagResource" => {
                let (stream, consumer, request) = self.tagged_resource(body)?;
                tags::add(&stream, consumer.as_ref(), request.tags.as_ref())
            }
            "UntagResource" => {
                let (stream, consumer, request) = self.tagged_resource(body)?;
                tags::remove(&stream, consumer.as_ref(), request.tag_keys.as_deref())
            }
            "ListTagsForResource" => {
                let (stream, consumer, _) = self.tagged_resource(body)?;
                tags::list_all(&stream, consumer.as_ref())
            }
            _ => Err(KinesisError::unknown_operation(operation)),
        }
    }

    pub(super) fn streams(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Stream>>> {
        // A stream is inserted or removed by one call, so a panic elsewhere cannot leave the map half changed.
        self.streams.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// All streams, without holding the registry.
    pub(super) fn all_streams(&self) -> Vec<Arc<Stream>> {
        self.streams().values().map(Arc::clone).collect()
    }

    pub(super) fn stream(&self, name: &str) -> Result<Arc<Stream>, KinesisError> {
        let found = self.streams().get(name).map(Arc::clone);
        found.ok_or_else(|| KinesisError::stream_not_found(name))
    }

    pub(super) fn named(&self, naming: Naming<'_>) -> Result<Arc<Stream>, KinesisError> {
        naming.refuse_unimplemented()?;
        match (naming.name, naming.arn) {
            (Some(name), None) => self.stream(name),
            (name, Some(arn)) => {
                let in_arn = resource_in(arn).unwrap_or_default();
                if name.is_some_and(|name| name != in_arn) {
                    return Err(KinesisError::invalid_argument("StreamName and StreamARN name two streams"));
                }
                self.stream(in_arn)
            }
            (None, None) => Err(KinesisError::validation("Either StreamName or StreamARN must be provided.")),
        }
    }

    /// A resource with tags: a stream, or a consumer of one.
    fn tagged_resource(&self, body: &[u8]) -> Result<(Arc<Stream>, Option<ConsumerArn>, TaggedResource), KinesisError> {
        let request: TaggedResource = parsed(body)?;
        refuse_unimplemented(request.stream_id.is_some(), false)?;
        let arn = request.resource_arn.as_deref().unwrap_or_default();
        let consumer = ConsumerArn::is_one(arn).then(|| ConsumerArn::parse(arn)).transpose()?;
        let named = consumer.as_ref().map(|consumer| consumer.stream.as_str()).or_else(|| resource_in(arn));
        let stream = self.stream(named.unwrap_or_default())?;
        Ok((stream, consumer, request))
    }

    pub(super) fn dir_of(&self, name: &str) -> PathBuf {
        // The prefix makes `.` and `..`, which are valid stream names, harmless.
        self.dir.join(format!("{STREAM_DIR_PREFIX}{name}"))
    }

    /// Puts what all streams were told before the call on the disk.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.all_streams().iter().map(|stream| stream.flush()).fold(Ok(()), io::Result::and)
    }

    /// Waits until something may be too old again.
    pub(super) async fn sweep_due(&self) {
        let due = Timestamp(self.swept_at.load(Ordering::Relaxed)).plus(SWEEP_INTERVAL);
        self.clock.sleep_until(due).await;
    }

    /// Removes what is too old, as a request does.
    pub(super) fn upkeep(&self) {
        self.sweep_if_due(self.clock.now());
    }

    /// Removes what is too old in all streams, if that was not done lately. What fails is logged and tried again.
    fn sweep_if_due(&self, now: Timestamp) {
        let last = self.swept_at.load(Ordering::Relaxed);
        if now.since(Timestamp(last)) < SWEEP_INTERVAL {
            return;
        }
        // Whoever sets the time sweeps; the others go on.
        if self.swept_at.compare_exchange(last, now.0, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        for stream in self.all_streams() {
            if let Err(error) = stream.sweep(now) {
                tracing::warn!(%error, stream = stream.name, "failed to remove what is too old");
            }
        }
    }

    pub(super) fn open_shards_but(&self, excepted: &Arc<Stream>) -> usize {
        let others = self.all_streams().into_iter().filter(|stream| !Arc::ptr_eq(stream, excepted));
        others.map(|stream| open_shards_of(&stream)).sum()
    }

    pub(super) fn on_demand_streams(&self) -> usize {
        // A stream that was just deleted counts no more.
        let is_on_demand =
            |stream: &&Arc<Stream>| stream.layout().is_ok_and(|layout| layout.description.mode == ON_DEMAND);
        self.all_streams().iter().filter(is_on_demand).count()
    }

    fn list_shards(&self, request: &ListShards, now: Timestamp) -> Answer {
        request.check()?;
        let token = request.next_token.as_deref().map(|token| ListToken::parse(token, now)).transpose()?;
        let stream = match &token {
            None => self.named(request.naming())?,
            // A token carries the stream, because AWS forbids naming it again.
            Some(token) => {
                let stream = self.stream(&token.stream)?;
                if stream.created != token.created {
                    return Err(KinesisError::invalid_argument("NextToken is of a stream that was deleted."));
                }
                stream
            }
        };
        listing::refuse_other_creation(&stream, request.stream_creation_timestamp)?;
        listing::list_shards(&stream, request, token, now)
    }

    fn change_retention(&self, request: &RetentionPeriod, direction: Direction, now: Timestamp) -> Answer {
        settings::change_retention(&*self.named(request.naming())?, request, direction, now)
    }

    fn change_monitoring(&self, request: &EnhancedMonitoring, enable: bool) -> Answer {
        settings::change_monitoring(&*self.named(request.naming())?, request, enable)
    }

    fn put_records(&self, mut request: PutRecords<'_>, now: Timestamp) -> Result<PutRecordsAnswer, KinesisError> {
        let routed = request.check()?;
        let stream = self.named(request.naming())?;
        let answer = records::put_records(&stream, routed, &self.rates, now)?;
        self.scale(&stream, now);
        Ok(answer)
    }

    fn get_records(&self, request: &GetRecords, now: Timestamp) -> Result<GetRecordsAnswer, KinesisError> {
        let iterator = ShardIterator::parse(request.iterator()?, now)?;
        let stream = self.stream(&iterator.stream)?;
        if stream.created != iterator.created {
            return Err(KinesisError::not_found("the stream of this iterator was deleted"));
        }
        records::get_records(&stream, iterator, request.limit, &self.rates, now)
    }
}

/// A stream that was just deleted has none.
pub(super) fn open_shards_of(stream: &Stream) -> usize {
    stream.layout().map_or(0, |layout| layout.open_shards().len())
}

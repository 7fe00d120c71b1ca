//! The operations by name, and the registry of streams they work on.
//!
//! A stream is ACTIVE as soon as CreateStream has answered, and after each change. A request is checked as a whole before its
//! stream is looked for, as AWS does. Everything here blocks on files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use lakebed_contract::{Clock, EventSink, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::describe::{description_of, seconds, shard_json, shards_after};
use super::description::{ON_DEMAND, PROVISIONED, StreamDescription};
use super::error::{ACCOUNT, KinesisError};
use super::iterator::{self, ShardIterator};
use super::listing::{self, LISTED_SHARDS_MAX, ListToken};
use super::settings::{self, Direction};
use super::stream::Stream;
use super::tags::{self, Wanted};
use super::validation::Violations;
use super::wire::{
    AddTagsToStream, CreateStream, DescribeStream, EnhancedMonitoring, GetRecords, GetShardIterator, ListShards,
    ListStreams, ListTagsForStream, MergeShards, NamedStream, NamesStream, Naming, PutRecord, PutRecords,
    RemoveTagsFromStream, RetentionPeriod, SplitShard, StreamEncryption, TaggedResource, UpdateShardCount,
    UpdateStreamMode,
};
use super::{records, reshard};
use crate::error::CloudError;

/// Most streams.
const STREAMS_MAX: usize = 200;
const ON_DEMAND_SHARDS: i64 = 4;
const LISTED_STREAMS_DEFAULT: usize = 100;
const LISTED_STREAMS_MAX: i64 = 10_000;
const DESCRIBED_SHARDS_DEFAULT: usize = 100;
const STREAM_DIR_PREFIX: &str = "stream-";
/// How often, on the clock, requests make room by removing what is too old in all streams.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60);
/// The only record size there is.
const RECORD_SIZE_KIB: i64 = 1024;

type Answer = Result<Value, KinesisError>;

/// The streams and what can be done with them.
pub(super) struct Operations {
    dir: PathBuf,
    clock: Clock,
    events: EventSink,
    streams: RwLock<BTreeMap<String, Arc<Stream>>>,
    /// When the last sweep began, in microseconds.
    swept_at: AtomicI64,
    /// Streams deleted since the start: their directories must not meet.
    deleted: AtomicU64,
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, KinesisError> {
    serde_json::from_slice(body).map_err(|error| KinesisError::unreadable(&error))
}

impl Operations {
    /// Opens every stream kept in `dir`; removes what was half made or half deleted, and what is too old.
    pub(super) fn open(dir: &Path, clock: Clock, events: &EventSink) -> Result<Self, CloudError> {
        let mut streams = BTreeMap::new();
        for entry in fs::read_dir(dir).map_err(CloudError::state("list", dir))? {
            let path = entry.map_err(CloudError::state("list", dir))?.path();
            let is_stream = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(STREAM_DIR_PREFIX));
            if !is_stream {
                fs::remove_dir_all(&path).map_err(CloudError::state("remove", &path))?;
                continue;
            }
            let stream = Stream::open(&path, events)?;
            streams.insert(stream.name.clone(), Arc::new(stream));
        }
        let operations = Self {
            dir: dir.to_owned(),
            clock,
            events: events.clone(),
            streams: RwLock::new(streams),
            swept_at: AtomicI64::new(i64::MIN),
            deleted: AtomicU64::new(0),
        };
        operations.sweep_if_due(operations.clock.now());
        Ok(operations)
    }

    /// Answers one operation with a JSON body.
    pub(super) fn answer(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, KinesisError> {
        let now = self.clock.now();
        self.sweep_if_due(now);
        if operation == "GetRecords" {
            return self.get_records(&parsed(body)?, now);
        }
        let answer = self.of_records(operation, body, now).unwrap_or_else(|| self.of_streams(operation, body, now))?;
        // CreateStream and the like answer with an empty body, as AWS does.
        Ok(if answer.is_null() { Vec::new() } else { answer.to_string().into_bytes() })
    }

    /// Operations on records and shards; `None` for others.
    fn of_records(&self, operation: &str, body: &[u8], now: Timestamp) -> Option<Answer> {
        Some(match operation {
            "PutRecord" => parsed(body).and_then(|mut request: PutRecord| {
                let routed = request.check()?;
                let ordering = request.sequence_number_for_ordering.as_deref();
                records::put_record(&*self.named(request.naming())?, ordering, routed, now)
            }),
            "PutRecords" => parsed(body).and_then(|mut request: PutRecords| {
                let routed = request.check()?;
                records::put_records(&*self.named(request.naming())?, routed, now)
            }),
            "GetShardIterator" => parsed(body).and_then(|request: GetShardIterator| {
                request.check()?;
                iterator::get_shard_iterator(&*self.named(request.naming())?, &request, now)
            }),
            "ListShards" => parsed(body).and_then(|request: ListShards| self.list_shards(&request, now)),
            "SplitShard" => parsed(body).and_then(|request: SplitShard| {
                request.check()?;
                let stream = self.named(request.naming())?;
                reshard::split_shard(&stream, &request, self.open_shards_but(&stream), now)
            }),
            "MergeShards" => parsed(body).and_then(|request: MergeShards| {
                request.check()?;
                reshard::merge_shards(&*self.named(request.naming())?, &request, now)
            }),
            "UpdateShardCount" => parsed(body).and_then(|request: UpdateShardCount| {
                request.check()?;
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
                request.check()?;
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
                request.check()?;
                tags::add(&*self.named(request.naming())?, request.tags.as_ref())
            }
            "RemoveTagsFromStream" => {
                let request: RemoveTagsFromStream = parsed(body)?;
                request.check()?;
                tags::remove(&*self.named(request.naming())?, request.tag_keys.as_deref())
            }
            "ListTagsForStream" => {
                let request: ListTagsForStream = parsed(body)?;
                request.check()?;
                tags::list(&*self.named(request.naming())?, &request)
            }
            "TagResource" => {
                let (stream, request) = self.tagged_resource(body, Wanted::Tags)?;
                tags::add(&stream, request.tags.as_ref())
            }
            "UntagResource" => {
                let (stream, request) = self.tagged_resource(body, Wanted::TagKeys)?;
                tags::remove(&stream, request.tag_keys.as_deref())
            }
            "ListTagsForResource" => tags::list_all(&self.tagged_resource(body, Wanted::Nothing)?.0),
            _ => Err(KinesisError::unknown_operation(operation)),
        }
    }

    fn streams(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Stream>>> {
        // A stream is inserted or removed by one call, so a panic elsewhere cannot leave the map half changed.
        self.streams.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// All streams, without holding the registry.
    fn all_streams(&self) -> Vec<Arc<Stream>> {
        self.streams().values().map(Arc::clone).collect()
    }

    fn stream(&self, name: &str) -> Result<Arc<Stream>, KinesisError> {
        let found = self.streams().get(name).map(Arc::clone);
        found.ok_or_else(|| KinesisError::stream_not_found(name))
    }

    fn named(&self, naming: Naming<'_>) -> Result<Arc<Stream>, KinesisError> {
        naming.refuse_unimplemented()?;
        match (naming.name, naming.arn) {
            (Some(name), None) => self.stream(name),
            (name, Some(arn)) => {
                let in_arn = name_in(arn);
                if name.is_some_and(|name| name != in_arn) {
                    return Err(KinesisError::invalid_argument("StreamName and StreamARN name two streams"));
                }
                self.stream(in_arn)
            }
            (None, None) => Err(KinesisError::validation("Either StreamName or StreamARN must be provided.")),
        }
    }

    /// A resource with tags; streams are the only ones there are.
    fn tagged_resource(&self, body: &[u8], wanted: Wanted) -> Result<(Arc<Stream>, TaggedResource), KinesisError> {
        let request: TaggedResource = parsed(body)?;
        request.check(wanted)?;
        let stream = self.stream(name_in(request.resource_arn.as_deref().unwrap_or_default()))?;
        Ok((stream, request))
    }

    fn dir_of(&self, name: &str) -> PathBuf {
        // The prefix makes `.` and `..`, which are valid stream names, harmless.
        self.dir.join(format!("{STREAM_DIR_PREFIX}{name}"))
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

    fn open_shards_but(&self, excepted: &Arc<Stream>) -> usize {
        let others = self.all_streams().into_iter().filter(|stream| !Arc::ptr_eq(stream, excepted));
        others.map(|stream| open_shards_of(&stream)).sum()
    }

    fn on_demand_streams(&self) -> usize {
        // A stream that was just deleted counts no more.
        let is_on_demand =
            |stream: &&Arc<Stream>| stream.layout().is_ok_and(|layout| layout.description.mode == ON_DEMAND);
        self.all_streams().iter().filter(is_on_demand).count()
    }

    fn create_stream(&self, request: &CreateStream, now: Timestamp) -> Answer {
        let (mode, shards) = check_create(request)?;
        let name = request.stream_name.as_deref().unwrap_or_default();
        let mut tagged = BTreeMap::new();
        if let Some(added) = &request.tags {
            tags::merge(name, &mut tagged, added)?;
        }
        // The registry stays locked until the stream is there, so that a name is given once.
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if streams.contains_key(name) {
            return Err(KinesisError::in_use(format!("Stream {name} under account {ACCOUNT} already exists.")));
        }
        if streams.len() >= STREAMS_MAX {
            return Err(KinesisError::limit_exceeded(format!("There are at most {STREAMS_MAX} streams.")));
        }
        let (mut open, mut on_demand) = (0, 0);
        for stream in streams.values() {
            let layout = stream.layout()?;
            open += layout.open_shards().len();
            on_demand += usize::from(layout.description.mode == ON_DEMAND);
        }
        reshard::refuse_too_many(open, usize::try_from(shards).unwrap_or(usize::MAX / 2))?;
        if mode == ON_DEMAND {
            settings::refuse_more_on_demand(on_demand)?;
        }
        let shard_count = u32::try_from(shards).expect("checked against the shard limit");
        let description = StreamDescription { tags: tagged, ..StreamDescription::new(name, now, mode, shard_count) };
        let making = self.dir.join(format!("making-{name}"));
        let stream = Stream::create(&self.dir_of(name), &making, description, &self.events);
        let stream = stream.map_err(|error| KinesisError::internal("create a stream", &error))?;
        streams.insert(name.to_owned(), Arc::new(stream));
        Ok(Value::Null)
    }

    fn delete_stream(&self, request: &NamedStream) -> Answer {
        request.check_naming().finish()?;
        let stream = self.named(request.naming())?;
        let number = self.deleted.fetch_add(1, Ordering::Relaxed);
        let gone = self.dir.join(format!("deleted-{number}"));
        {
            let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
            // A second deletion finds the stream deleted, even if another of its name is there by now.
            stream.delete(&gone)?;
            streams.remove(&stream.name);
        }
        fs::remove_dir_all(gone).map_err(|error| KinesisError::internal("delete a stream", &error))?;
        Ok(Value::Null)
    }

    fn describe_stream(&self, request: &DescribeStream) -> Answer {
        let mut check = request.check_naming();
        check.range(request.limit, "limit", 1, LISTED_SHARDS_MAX as i64);
        check.name(request.exclusive_start_shard_id.as_deref(), "exclusiveStartShardId");
        check.finish()?;
        let stream = self.named(request.naming())?;
        let layout = stream.layout()?;
        let limit = request.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(DESCRIBED_SHARDS_DEFAULT);
        let shards = shards_after(&layout, request.exclusive_start_shard_id.as_deref());
        let mut description = description_of(&stream, &layout.description);
        description["Shards"] = shards.iter().take(limit).map(|shard| shard_json(&stream, shard)).collect();
        description["HasMoreShards"] = json!(shards.len() > limit);
        Ok(json!({ "StreamDescription": description }))
    }

    fn describe_stream_summary(&self, request: &NamedStream) -> Answer {
        request.check_naming().finish()?;
        let stream = self.named(request.naming())?;
        let layout = stream.layout()?;
        let mut description = description_of(&stream, &layout.description);
        description["OpenShardCount"] = json!(layout.open_shards().len());
        description["ConsumerCount"] = json!(0);
        description["MaxRecordSizeInKiB"] = json!(RECORD_SIZE_KIB);
        Ok(json!({ "StreamDescriptionSummary": description }))
    }

    fn describe_limits(&self) -> Answer {
        let open: usize = self.all_streams().iter().map(|stream| open_shards_of(stream)).sum();
        Ok(json!({
            "ShardLimit": reshard::SHARDS_MAX,
            "OpenShardCount": open,
            "OnDemandStreamCount": self.on_demand_streams(),
            "OnDemandStreamCountLimit": settings::ON_DEMAND_STREAMS_MAX,
        }))
    }

    fn list_streams(&self, request: &ListStreams) -> Answer {
        let mut check = Violations::default();
        check.range(request.limit, "limit", 1, LISTED_STREAMS_MAX);
        check.name(request.exclusive_start_stream_name.as_deref(), "exclusiveStartStreamName");
        check.length(request.next_token.as_deref(), "nextToken", 1, 1_048_576);
        check.finish()?;
        let limit = request.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LISTED_STREAMS_DEFAULT);
        let after = request.next_token.as_ref().or(request.exclusive_start_stream_name.as_ref());
        let streams = self.streams();
        let mut listed = streams.values().filter(|stream| after.is_none_or(|after| stream.name > *after));
        let page: Vec<_> = listed.by_ref().take(limit).collect();
        let has_more = listed.next().is_some();
        let mut summaries = Vec::new();
        for stream in &page {
            summaries.push(json!({
                "StreamName": stream.name,
                "StreamARN": stream.arn(),
                "StreamStatus": "ACTIVE",
                "StreamModeDetails": { "StreamMode": stream.layout()?.description.mode },
                "StreamCreationTimestamp": seconds(stream.created),
            }));
        }
        let mut answer = json!({
            "StreamNames": page.iter().map(|stream| &stream.name).collect::<Vec<_>>(),
            "StreamSummaries": summaries,
            "HasMoreStreams": has_more,
        });
        if let Some(last) = page.last().filter(|_| has_more) {
            answer["NextToken"] = json!(last.name);
        }
        Ok(answer)
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
        let created = request.stream_creation_timestamp;
        if created.is_some_and(|created| created != seconds(stream.created)) {
            return Err(KinesisError::not_found("no stream of that name was created at that time"));
        }
        listing::list_shards(&stream, request, token, now)
    }

    fn change_retention(&self, request: &RetentionPeriod, direction: Direction, now: Timestamp) -> Answer {
        request.check()?;
        settings::change_retention(&*self.named(request.naming())?, request, direction, now)
    }

    fn change_monitoring(&self, request: &EnhancedMonitoring, enable: bool) -> Answer {
        request.check()?;
        settings::change_monitoring(&*self.named(request.naming())?, request, enable)
    }

    fn get_records(&self, request: &GetRecords, now: Timestamp) -> Result<Vec<u8>, KinesisError> {
        let iterator = ShardIterator::parse(request.check()?, now)?;
        let stream = self.stream(&iterator.stream)?;
        if stream.created != iterator.created {
            return Err(KinesisError::not_found("the stream of this iterator was deleted"));
        }
        let answer = records::get_records(&stream, iterator, request.limit, now)?;
        serde_json::to_vec(&answer).map_err(|error| KinesisError::internal("write an answer", &error))
    }
}

/// A stream that was just deleted has none.
fn open_shards_of(stream: &Stream) -> usize {
    stream.layout().map_or(0, |layout| layout.open_shards().len())
}

/// What is behind `stream/` in an ARN.
fn name_in(arn: &str) -> &str {
    arn.split_once(":stream/").map(|(_, name)| name).unwrap_or_default()
}

/// The mode and the number of shards of a new stream.
fn check_create(request: &CreateStream) -> Result<(&str, i64), KinesisError> {
    let mut check = Violations::default();
    check.required(request.stream_name.as_deref(), "streamName");
    check.name(request.stream_name.as_deref(), "streamName");
    check.range(request.shard_count, "shardCount", 1, i64::MAX);
    settings::check_mode(&mut check, request.stream_mode_details.as_ref());
    tags::check_tags(&mut check, request.tags.as_ref(), false);
    check.range(request.max_record_size_in_kib, "maxRecordSizeInKiB", 1024, 10_240);
    let strategy = request.record_distribution_strategy.as_deref();
    check.one_of(strategy, "recordDistributionStrategy", &["AUTO", "USER_PARTITION_KEY"]);
    check.finish()?;
    if request.max_record_size_in_kib.is_some_and(|size| size != RECORD_SIZE_KIB) {
        return Err(KinesisError::not_implemented("MaxRecordSizeInKiB"));
    }
    if request.warm_throughput_mibps.is_some() {
        return Err(KinesisError::not_implemented("WarmThroughputMiBps"));
    }
    if strategy == Some("AUTO") {
        return Err(KinesisError::not_implemented("RecordDistributionStrategy"));
    }
    let mode = request.stream_mode_details.as_ref().and_then(|details| details.stream_mode.as_deref());
    match (mode.unwrap_or(PROVISIONED), request.shard_count) {
        (ON_DEMAND, None) => Ok((ON_DEMAND, ON_DEMAND_SHARDS)),
        (ON_DEMAND, Some(_)) => Err(KinesisError::validation("ShardCount is not allowed for an on-demand stream.")),
        (_, Some(count)) => Ok((PROVISIONED, count)),
        (_, None) => Err(KinesisError::validation("ShardCount is required for a provisioned stream.")),
    }
}

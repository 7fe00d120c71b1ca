//! The operations by name, and the registry of streams they work on.
//!
//! A stream is ACTIVE as soon as CreateStream has answered. Everything here blocks on files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use lakebed_contract::{Clock, EventSink, Timestamp};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::describe::{description_of, shard_json, shards_after};
use super::iterator::ShardIterator;
use super::records::{self, horizon, seconds};
use super::stream::{Stream, StreamDescription};
use super::wire::{
    CreateStream, DeleteStream, DescribeStream, DescribeStreamSummary, GetRecords, GetShardIterator, KinesisError,
    ListShards, ListStreams, NamesStream, PutRecord, PutRecords,
};
use crate::error::CloudError;

/// Most streams.
const STREAMS_MAX: usize = 200;
/// Most shards of a stream.
const SHARDS_MAX: i64 = 500;
const ON_DEMAND_SHARDS: i64 = 4;
const LISTED_STREAMS_DEFAULT: usize = 100;
const LISTED_SHARDS_MAX: usize = 10_000;
const DESCRIBED_SHARDS_DEFAULT: usize = 100;
const STREAM_DIR_PREFIX: &str = "stream-";

type Answer = Result<Value, KinesisError>;

/// The streams and what can be done with them.
pub(super) struct Operations {
    dir: PathBuf,
    clock: Clock,
    events: EventSink,
    streams: RwLock<BTreeMap<String, Arc<Stream>>>,
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, KinesisError> {
    serde_json::from_slice(body).map_err(|error| KinesisError::serialization(&error))
}

impl Operations {
    /// Opens every stream kept in `dir`; removes what was half made or half deleted.
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
            streams.insert(stream.description.name.clone(), Arc::new(stream));
        }
        Ok(Self { dir: dir.to_owned(), clock, events: events.clone(), streams: RwLock::new(streams) })
    }

    /// Answers one operation with a JSON body.
    pub(super) fn answer(&self, operation: &str, body: &[u8]) -> Result<Vec<u8>, KinesisError> {
        let answer = match operation {
            "CreateStream" => self.create_stream(parsed(body)?)?,
            "DeleteStream" => self.delete_stream(&parsed(body)?)?,
            "DescribeStream" => self.describe_stream(&parsed(body)?)?,
            "DescribeStreamSummary" => self.describe_stream_summary(&parsed(body)?)?,
            "ListStreams" => self.list_streams(parsed(body)?)?,
            "ListShards" => self.list_shards(&parsed(body)?)?,
            "PutRecord" => {
                let request: PutRecord = parsed(body)?;
                records::put_record(&*self.named(&request)?, request, self.clock.now())?
            }
            "PutRecords" => {
                let request: PutRecords = parsed(body)?;
                records::put_records(&*self.named(&request)?, request, self.clock.now())?
            }
            "GetShardIterator" => self.get_shard_iterator(&parsed(body)?)?,
            "GetRecords" => return self.get_records(&parsed(body)?),
            _ => return Err(KinesisError::unknown_operation(operation)),
        };
        // CreateStream and DeleteStream answer with an empty body, as AWS does.
        Ok(if answer.is_null() { Vec::new() } else { answer.to_string().into_bytes() })
    }

    fn streams(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<Stream>>> {
        // A stream is inserted or removed by one call, so a panic elsewhere cannot leave the map half changed.
        self.streams.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn stream(&self, name: &str) -> Result<Arc<Stream>, KinesisError> {
        let found = self.streams().get(name).map(Arc::clone);
        found.ok_or_else(|| KinesisError::not_found(format!("Stream {name} under account 000000000000 not found.")))
    }

    fn named(&self, request: &impl NamesStream) -> Result<Arc<Stream>, KinesisError> {
        match request.name_and_arn() {
            (Some(name), None) => self.stream(name),
            (name, Some(arn)) => {
                let in_arn = arn.split_once(":stream/").map(|(_, name)| name).unwrap_or_default();
                if name.is_some_and(|name| name != in_arn) {
                    return Err(KinesisError::invalid_argument("StreamName and StreamARN name two streams"));
                }
                self.stream(in_arn)
            }
            (None, None) => Err(KinesisError::validation("Either StreamName or StreamARN must be provided.")),
        }
    }

    fn dir_of(&self, name: &str) -> PathBuf {
        // The prefix makes `.` and `..`, which are valid stream names, harmless.
        self.dir.join(format!("{STREAM_DIR_PREFIX}{name}"))
    }

    fn create_stream(&self, request: CreateStream) -> Answer {
        let name = request.stream_name;
        let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        if name.is_empty() || name.len() > 128 || !name.bytes().all(is_sound) {
            return Err(KinesisError::validation(
                "1 validation error detected: Value at 'streamName' failed to satisfy constraint: Member must satisfy \
                 regular expression pattern: [a-zA-Z0-9_.-]+ and have at most 128 characters",
            ));
        }
        let mode = request.stream_mode_details.map_or_else(|| "PROVISIONED".to_owned(), |details| details.stream_mode);
        let shards = match (mode.as_str(), request.shard_count) {
            ("PROVISIONED", Some(count)) => count,
            ("PROVISIONED", None) => {
                return Err(KinesisError::validation("ShardCount is required for a provisioned stream."));
            }
            ("ON_DEMAND", None) => ON_DEMAND_SHARDS,
            ("ON_DEMAND", Some(_)) => {
                return Err(KinesisError::validation("ShardCount is not allowed for an on-demand stream."));
            }
            _ => return Err(KinesisError::validation("StreamMode must be PROVISIONED or ON_DEMAND.")),
        };
        if shards < 1 {
            return Err(KinesisError::validation(
                "1 validation error detected: Value at 'shardCount' failed to satisfy constraint: Member must have value \
                 greater than or equal to 1",
            ));
        }
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if streams.contains_key(&name) {
            return Err(KinesisError::in_use(format!("Stream {name} under account 000000000000 already exists.")));
        }
        if shards > SHARDS_MAX || streams.len() >= STREAMS_MAX {
            return Err(KinesisError::limit_exceeded(format!(
                "There are at most {STREAMS_MAX} streams of at most {SHARDS_MAX} shards."
            )));
        }
        let shard_count = u32::try_from(shards).expect("checked against SHARDS_MAX");
        let description = StreamDescription { name: name.clone(), created: self.clock.now(), shard_count, mode };
        let making = self.dir.join(format!("making-{name}"));
        let stream = Stream::create(&self.dir_of(&name), &making, description, &self.events);
        let stream = stream.map_err(|error| KinesisError::internal("create a stream", &error))?;
        streams.insert(name, Arc::new(stream));
        Ok(Value::Null)
    }

    fn delete_stream(&self, request: &DeleteStream) -> Answer {
        let name = self.named(request)?.description.name.clone();
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let deleted = self.dir.join(format!("deleted-{name}"));
        let removed = fs::rename(self.dir_of(&name), &deleted);
        removed.map_err(|error| KinesisError::internal("delete a stream", &error))?;
        streams.remove(&name);
        drop(streams);
        fs::remove_dir_all(deleted).map_err(|error| KinesisError::internal("delete a stream", &error))?;
        Ok(Value::Null)
    }

    fn describe_stream(&self, request: &DescribeStream) -> Answer {
        let stream = self.named(request)?;
        let limit = positive(request.limit, DESCRIBED_SHARDS_DEFAULT, LISTED_SHARDS_MAX)?;
        let shards = shards_after(&stream, request.exclusive_start_shard_id.as_deref());
        let mut description = description_of(&stream);
        description["Shards"] = shards.iter().take(limit).map(|shard| shard_json(&stream, shard)).collect();
        description["HasMoreShards"] = json!(shards.len() > limit);
        Ok(json!({ "StreamDescription": description }))
    }

    fn describe_stream_summary(&self, request: &DescribeStreamSummary) -> Answer {
        let stream = self.named(request)?;
        let mut description = description_of(&stream);
        description["OpenShardCount"] = json!(stream.shards.len());
        description["ConsumerCount"] = json!(0);
        Ok(json!({ "StreamDescriptionSummary": description }))
    }

    fn list_streams(&self, request: ListStreams) -> Answer {
        let limit = positive(request.limit, LISTED_STREAMS_DEFAULT, LISTED_SHARDS_MAX)?;
        let after = request.next_token.or(request.exclusive_start_stream_name);
        let streams = self.streams();
        let mut listed =
            streams.values().filter(|stream| after.as_ref().is_none_or(|after| stream.description.name > *after));
        let page: Vec<_> = listed.by_ref().take(limit).collect();
        let has_more = listed.next().is_some();
        let summaries = page.iter().map(|stream| {
            json!({
                "StreamName": stream.description.name,
                "StreamARN": stream.arn(),
                "StreamStatus": "ACTIVE",
                "StreamModeDetails": { "StreamMode": stream.description.mode },
                "StreamCreationTimestamp": seconds(stream.description.created),
            })
        });
        let mut answer = json!({
            "StreamNames": page.iter().map(|stream| &stream.description.name).collect::<Vec<_>>(),
            "StreamSummaries": summaries.collect::<Vec<_>>(),
            "HasMoreStreams": has_more,
        });
        if let Some(last) = page.last().filter(|_| has_more) {
            answer["NextToken"] = json!(last.description.name);
        }
        Ok(answer)
    }

    fn list_shards(&self, request: &ListShards) -> Answer {
        // A token carries the stream and the last shard, because AWS forbids naming the stream again.
        let (stream, after) = match &request.next_token {
            None => (self.named(request)?, request.exclusive_start_shard_id.clone()),
            Some(token) => {
                if request.name_and_arn() != (None, None) || request.exclusive_start_shard_id.is_some() {
                    return Err(KinesisError::invalid_argument(
                        "NextToken and StreamName cannot be provided together.",
                    ));
                }
                let invalid = || KinesisError::invalid_argument("NextToken is invalid.");
                let (name, shard) = token.split_once('/').ok_or_else(invalid)?;
                (self.stream(name)?, Some(shard.to_owned()))
            }
        };
        let created = request.stream_creation_timestamp;
        if created.is_some_and(|created| created != seconds(stream.description.created)) {
            return Err(KinesisError::not_found("no stream of that name was created at that time"));
        }
        let filtered_after = match request.shard_filter.as_ref().map(|filter| (filter.kind.as_str(), &filter.shard_id))
        {
            // Shards never close, so all of them are there at every moment.
            None
            | Some(("AT_LATEST" | "AT_TRIM_HORIZON" | "FROM_TRIM_HORIZON" | "AT_TIMESTAMP" | "FROM_TIMESTAMP", _)) => {
                None
            }
            Some(("AFTER_SHARD_ID", Some(shard_id))) => Some(shard_id.clone()),
            Some(_) => return Err(KinesisError::invalid_argument("ShardFilter is invalid.")),
        };
        let limit = positive(request.max_results, LISTED_SHARDS_MAX, LISTED_SHARDS_MAX)?;
        let shards = shards_after(&stream, after.max(filtered_after).as_deref());
        let page = &shards[..limit.min(shards.len())];
        let mut answer = json!({ "Shards": page.iter().map(|shard| shard_json(&stream, shard)).collect::<Vec<_>>() });
        if let Some(last) = page.last().filter(|_| shards.len() > limit) {
            answer["NextToken"] = json!(format!("{}/{}", stream.description.name, last.id()));
        }
        Ok(answer)
    }

    fn get_shard_iterator(&self, request: &GetShardIterator) -> Answer {
        let stream = self.named(request)?;
        let shard = stream.shard(&request.shard_id).ok_or_else(|| {
            let (shard, stream) = (&request.shard_id, &stream.description.name);
            KinesisError::not_found(format!(
                "Shard {shard} in stream {stream} under account 000000000000 does not exist"
            ))
        })?;
        let now = self.clock.now();
        let mut log = shard.log();
        log.trim(horizon(now)).map_err(|error| KinesisError::internal("trim a shard", &error))?;
        let given = || {
            let text = request.starting_sequence_number.as_deref();
            let sequence = text.and_then(|text| stream.parse_sequence_number(shard.number, text));
            sequence.ok_or_else(|| {
                KinesisError::invalid_argument("StartingSequenceNumber is missing or not of this shard.")
            })
        };
        let from = match request.shard_iterator_type.as_str() {
            "TRIM_HORIZON" => 0,
            "LATEST" => log.last_sequence() + 1,
            "AT_SEQUENCE_NUMBER" => given()?,
            "AFTER_SEQUENCE_NUMBER" => given()?.saturating_add(1),
            "AT_TIMESTAMP" => {
                let at = request.timestamp.ok_or_else(|| {
                    KinesisError::invalid_argument(
                        "Must specify timestamp parameter for iterator of type AT_TIMESTAMP.",
                    )
                })?;
                log.sequence_at(Timestamp((at * 1_000_000.0).round() as i64))
            }
            _ => {
                return Err(KinesisError::validation(
                    "1 validation error detected: Value at 'shardIteratorType' is unknown",
                ));
            }
        };
        drop(log);
        let iterator = ShardIterator {
            stream: stream.description.name.clone(),
            created: stream.description.created,
            shard: shard.number,
            from,
            issued: now,
        };
        Ok(json!({ "ShardIterator": iterator.to_text() }))
    }

    fn get_records(&self, request: &GetRecords) -> Result<Vec<u8>, KinesisError> {
        let now = self.clock.now();
        let iterator = ShardIterator::parse(&request.shard_iterator, now)?;
        let stream = self.stream(&iterator.stream)?;
        if stream.description.created != iterator.created {
            return Err(KinesisError::not_found("the stream of this iterator was deleted"));
        }
        let answer = records::get_records(&stream, iterator, request.limit, now)?;
        serde_json::to_vec(&answer).map_err(|error| KinesisError::internal("write an answer", &error))
    }
}

fn positive(given: Option<i64>, default: usize, max: usize) -> Result<usize, KinesisError> {
    let Some(given) = given else { return Ok(default) };
    let sound = usize::try_from(given).ok().filter(|given| (1..=max).contains(given));
    sound.ok_or_else(|| {
        KinesisError::validation(format!("1 validation error detected: a limit must be between 1 and {max}"))
    })
}

//! DynamoDB Streams: ListStreams, DescribeStream, GetShardIterator, GetRecords.
//!
//! A stream is one shard from its beginning to its end (AWS would split and roll shards; order per item is the same). A
//! consumer that keeps the last sequence number and asks AFTER_SEQUENCE_NUMBER sees every later change once and in
//! order, also across restarts. A closed stream (disabled, or its table deleted) stays readable and ends its iterators
//! with `NextShardIterator` absent. Records older than 24 hours are gone: an iterator that still points before them is
//! told so, and TRIM_HORIZON starts behind them. Iterators by timestamp are refused.

use std::sync::Arc;

use lakebed_contract::Clock;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::answer::Failure;
use super::arns::{REGION, parse_stream_arn, stream_arn};
use super::changes::{Change, ChangeLog, Stream};
use super::constraints::{Constraints, page_size};
use super::iterator::{ShardIterator, event_id, parse_sequence_number, sequence_number, shard_id};
use super::operations::read;
use super::shards::{shard_page, shards_of};

/// AWS's page bounds.
const STREAMS_PER_PAGE: usize = 100;
const SHARDS_PER_PAGE: usize = 100;
const RECORDS_PER_PAGE: usize = 1_000;
const BYTES_PER_PAGE: usize = 1_024 * 1_024;

/// Lengths the service model allows.
const STREAM_ARN_LENGTHS: (usize, usize) = (37, 1_024);
const SHARD_ID_LENGTHS: (usize, usize) = (28, 65);
const SEQUENCE_NUMBER_LENGTHS: (usize, usize) = (21, 40);
const SHARD_ITERATOR_LENGTHS: (usize, usize) = (1, 2_048);
const TABLE_NAME_LENGTHS: (usize, usize) = (3, 255);

const AT_TIMESTAMP: &str = "AT_TIMESTAMP";
const ITERATOR_TYPES: [&str; 5] =
    ["AFTER_SEQUENCE_NUMBER", "LATEST", AT_TIMESTAMP, "AT_SEQUENCE_NUMBER", "TRIM_HORIZON"];
const CHILD_SHARDS: &str = "CHILD_SHARDS";

/// The Streams front over a change log.
#[derive(Debug)]
pub(super) struct Streams {
    changes: Arc<ChangeLog>,
    clock: Clock,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListStreams {
    table_name: Option<String>,
    exclusive_start_stream_arn: Option<String>,
    limit: Option<i64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeStream {
    stream_arn: Option<String>,
    exclusive_start_shard_id: Option<String>,
    limit: Option<i64>,
    shard_filter: Option<ShardFilter>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ShardFilter {
    r#type: Option<String>,
    shard_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetShardIterator {
    stream_arn: Option<String>,
    shard_id: Option<String>,
    shard_iterator_type: Option<String>,
    sequence_number: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetRecords {
    shard_iterator: Option<String>,
    limit: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Records {
    records: Vec<Record>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_shard_iterator: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(rename = "eventID")]
    event_id: String,
    event_name: String,
    event_version: &'static str,
    event_source: &'static str,
    aws_region: &'static str,
    dynamodb: StreamRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_identity: Option<Box<RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamRecord {
    approximate_creation_date_time: i64,
    keys: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_image: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_image: Option<Box<RawValue>>,
    sequence_number: String,
    size_bytes: usize,
    stream_view_type: String,
}

impl Streams {
    pub(super) fn new(changes: Arc<ChangeLog>, clock: Clock) -> Self {
        Self { changes, clock }
    }

    /// Runs one operation and returns its answer's JSON.
    pub(super) fn run(&self, operation: &str, body: &str) -> Result<String, Failure> {
        match operation {
            "ListStreams" => self.list(read(body)?),
            "DescribeStream" => self.describe(read(body)?),
            "GetShardIterator" => self.iterator(read(body)?),
            "GetRecords" => self.records(read(body)?),
            other => Err(Failure::unknown_operation(other)),
        }
    }

    fn list(&self, request: ListStreams) -> Result<String, Failure> {
        let arn = request.exclusive_start_stream_arn.as_deref();
        let mut constraints = Constraints::default();
        constraints.optional_text("tableName", request.table_name.as_deref(), TABLE_NAME_LENGTHS);
        constraints.page("limit", request.limit, STREAMS_PER_PAGE);
        constraints.optional_text("exclusiveStartStreamArn", arn, STREAM_ARN_LENGTHS);
        constraints.check()?;
        let limit = page_size(request.limit, STREAMS_PER_PAGE);
        let after = match arn {
            Some(arn) => Some(parse_stream_arn(arn).ok_or_else(|| no_stream(arn))?),
            None => None,
        };
        // One more than asked for tells whether there is a next page.
        let mut found = self.changes.streams(request.table_name.as_deref(), after, limit + 1)?;
        let more = found.len() > limit;
        found.truncate(limit);
        let last = if more { found.last().map(|stream| stream_arn(&stream.table, &stream.label)) } else { None };
        let streams: Vec<_> = found
            .iter()
            .map(|stream| {
                json!({
                    "StreamArn": stream_arn(&stream.table, &stream.label),
                    "TableName": stream.table,
                    "StreamLabel": stream.label,
                })
            })
            .collect();
        let mut answer = json!({ "Streams": streams });
        if let Some(last) = last {
            answer["LastEvaluatedStreamArn"] = json!(last);
        }
        Ok(answer.to_string())
    }

    fn describe(&self, request: DescribeStream) -> Result<String, Failure> {
        let start = request.exclusive_start_shard_id.as_deref();
        let mut constraints = Constraints::default();
        constraints.text("streamArn", request.stream_arn.as_deref(), STREAM_ARN_LENGTHS);
        constraints.page("limit", request.limit, SHARDS_PER_PAGE);
        constraints.optional_text("exclusiveStartShardId", start, SHARD_ID_LENGTHS);
        if let Some(filter) = &request.shard_filter {
            constraints.one_of("shardFilter.type", filter.r#type.as_deref(), &[CHILD_SHARDS]);
            constraints.text("shardFilter.shardId", filter.shard_id.as_deref(), SHARD_ID_LENGTHS);
        }
        constraints.check()?;
        let arn = request.stream_arn.unwrap_or_default();
        let stream = self.stream(&arn)?;
        // A shard never splits here, so none is the child of another.
        let shards = if request.shard_filter.is_some() { vec![] } else { shards_of(&stream) };
        let (shards, last) = shard_page(shards, start, page_size(request.limit, SHARDS_PER_PAGE));
        let shards: Vec<_> = shards
            .into_iter()
            .map(|shard| json!({ "ShardId": shard.id, "SequenceNumberRange": shard.range }))
            .collect();
        let key_schema: serde_json::Value = serde_json::from_str(&stream.key_schema)
            .map_err(|_| Failure::internal("the stored key schema is not JSON"))?;
        let created: f64 = stream.label.parse().unwrap_or(0.0);
        let mut description = json!({
            "StreamArn": arn,
            "StreamLabel": stream.label,
            "StreamStatus": if stream.last_id.is_some() { "DISABLED" } else { "ENABLED" },
            "StreamViewType": stream.view_type,
            "CreationRequestDateTime": created,
            "TableName": stream.table,
            "KeySchema": key_schema,
            "Shards": shards,
        });
        if let Some(last) = last {
            description["LastEvaluatedShardId"] = json!(last);
        }
        Ok(json!({ "StreamDescription": description }).to_string())
    }

    fn iterator(&self, request: GetShardIterator) -> Result<String, Failure> {
        let kind = request.shard_iterator_type.as_deref();
        let mut constraints = Constraints::default();
        constraints.text("streamArn", request.stream_arn.as_deref(), STREAM_ARN_LENGTHS);
        constraints.text("shardId", request.shard_id.as_deref(), SHARD_ID_LENGTHS);
        constraints.one_of("shardIteratorType", kind, &ITERATOR_TYPES);
        constraints.optional_text("sequenceNumber", request.sequence_number.as_deref(), SEQUENCE_NUMBER_LENGTHS);
        constraints.check()?;
        let kind = kind.unwrap_or_default();
        if kind == AT_TIMESTAMP {
            return Err(Failure::validation("ShardIteratorType AT_TIMESTAMP is not implemented by lakebed"));
        }
        let (arn, shard) = (request.stream_arn.unwrap_or_default(), request.shard_id.unwrap_or_default());
        let stream = self.stream(&arn)?;
        if shard != shard_id(&stream.table, &stream.label) {
            let message = format!("Requested resource not found: Shard does not exist: {shard}");
            return Err(Failure::service("ResourceNotFoundException", &message));
        }
        let position = self.position(&stream, kind, request.sequence_number.as_deref())?;
        let iterator = ShardIterator { stream_arn: arn, position, issued: self.clock.now() };
        Ok(json!({ "ShardIterator": iterator.encode() }).to_string())
    }

    /// Where an iterator of this kind begins: everything up to there counts as read.
    fn position(&self, stream: &Stream, kind: &str, number: Option<&str>) -> Result<i64, Failure> {
        let position = match (kind, number) {
            ("TRIM_HORIZON", None) => stream.horizon(),
            ("LATEST", None) => self.changes.newest(stream)?,
            // The shard's StartingSequenceNumber is a valid place to start at before anything has been written.
            ("AT_SEQUENCE_NUMBER", Some(number)) => self.id_in(stream, number, stream.after_id + 1)? - 1,
            // Right behind the newest trimmed record nothing is missing, so a reader that has seen it may go on.
            ("AFTER_SEQUENCE_NUMBER", Some(number)) => self.id_in(stream, number, stream.after_id)?,
            (_, Some(_)) => {
                let told = "SequenceNumber should not be passed for this iterator type";
                return Err(Failure::validation(&format!("One or more parameter values were invalid: {told}")));
            }
            (_, None) => {
                let told = "SequenceNumber cannot be null";
                return Err(Failure::validation(&format!("One or more parameter values were invalid: {told}")));
            }
        };
        if position < stream.horizon() { Err(trimmed()) } else { Ok(position) }
    }

    /// The record id of a sequence number, which this stream must have reached (or which is at most `allowed`).
    fn id_in(&self, stream: &Stream, number: &str, allowed: i64) -> Result<i64, Failure> {
        let id = parse_sequence_number(number)
            .ok_or_else(|| Failure::validation("Invalid SequenceNumber: not one of this service's"))?;
        if id <= stream.after_id {
            return Err(trimmed());
        }
        if id > self.changes.newest(stream)?.max(allowed) {
            return Err(Failure::validation("Invalid SequenceNumber: the shard has not reached it"));
        }
        Ok(id)
    }

    fn records(&self, request: GetRecords) -> Result<String, Failure> {
        let encoded = request.shard_iterator.as_deref();
        let mut constraints = Constraints::default();
        constraints.text("shardIterator", encoded, SHARD_ITERATOR_LENGTHS);
        constraints.page("limit", request.limit, RECORDS_PER_PAGE);
        constraints.check()?;
        let limit = page_size(request.limit, RECORDS_PER_PAGE);
        let iterator = ShardIterator::decode(encoded.unwrap_or_default())
            .ok_or_else(|| Failure::validation("Invalid ShardIterator"))?;
        let now = self.clock.now();
        if iterator.expired(now) {
            return Err(Failure::service("ExpiredIteratorException", "Iterator expired: it is older than 15 minutes"));
        }
        let name = parse_stream_arn(&iterator.stream_arn).ok_or_else(|| no_stream(&iterator.stream_arn))?;
        let (stream, changes) = self
            .changes
            .read(name, iterator.position, limit, BYTES_PER_PAGE)?
            .ok_or_else(|| no_stream(&iterator.stream_arn))?;
        if iterator.position < stream.horizon() {
            return Err(trimmed());
        }
        let position = changes.last().map_or(iterator.position, |change| change.id);
        let records = changes
            .into_iter()
            .map(|change| record(change, &stream, &iterator.stream_arn))
            .collect::<Result<Vec<_>, _>>()?;
        let finished = stream.last_id.is_some_and(|last| position >= last || records.is_empty());
        let next_shard_iterator =
            (!finished).then(|| ShardIterator { stream_arn: iterator.stream_arn, position, issued: now }.encode());
        serde_json::to_string(&Records { records, next_shard_iterator })
            .map_err(|_| Failure::internal("failed to write the answer"))
    }

    fn stream(&self, arn: &str) -> Result<Stream, Failure> {
        let (table, label) = parse_stream_arn(arn).ok_or_else(|| no_stream(arn))?;
        self.changes.stream(table, label)?.ok_or_else(|| no_stream(arn))
    }
}

fn no_stream(arn: &str) -> Failure {
    Failure::service("ResourceNotFoundException", &format!("Requested resource not found: Stream: {arn} not found"))
}

fn trimmed() -> Failure {
    let message = "The operation attempted to read past the oldest stream record in a shard.";
    Failure::service("TrimmedDataAccessException", message)
}

fn record(change: Change, stream: &Stream, arn: &str) -> Result<Record, Failure> {
    let raw = |json: String| RawValue::from_string(json).map_err(|_| Failure::internal("a stored image is not JSON"));
    let size_bytes = change.size();
    Ok(Record {
        event_id: event_id(arn, change.id),
        event_name: change.event_name,
        event_version: "1.1",
        event_source: "aws:dynamodb",
        aws_region: REGION,
        dynamodb: StreamRecord {
            approximate_creation_date_time: change.created_at,
            keys: raw(change.keys)?,
            new_image: change.new_image.map(raw).transpose()?,
            old_image: change.old_image.map(raw).transpose()?,
            sequence_number: sequence_number(change.id),
            size_bytes,
            stream_view_type: stream.view_type.clone(),
        },
        user_identity: change.user_identity.map(raw).transpose()?,
    })
}

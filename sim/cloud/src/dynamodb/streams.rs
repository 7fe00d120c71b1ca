//! DynamoDB Streams: ListStreams, DescribeStream, GetShardIterator, GetRecords.
//!
//! A stream is one shard from its beginning to its end (AWS would split and roll shards; order per item is the same). A
//! consumer that keeps the last sequence number and asks AFTER_SEQUENCE_NUMBER sees every later change once and in
//! order, also across restarts. A closed stream (disabled, or its table deleted) stays readable and ends its iterators
//! with `NextShardIterator` absent.

use lakebed_contract::Clock;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use super::answer::Failure;
use super::changes::{Change, ChangeLog, Stream};
use super::iterator::{
    ShardIterator, event_id, parse_sequence_number, parse_stream_arn, sequence_number, shard_id, stream_arn,
};
use super::operations::read;

/// AWS's page bounds.
const STREAMS_PER_PAGE: usize = 100;
const RECORDS_PER_PAGE: usize = 1_000;
const BYTES_PER_PAGE: usize = 1_024 * 1_024;
const REGION: &str = "us-east-1";

/// The Streams front over a change log.
#[derive(Debug)]
pub(super) struct Streams {
    changes: ChangeLog,
    clock: Clock,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListStreams {
    table_name: Option<String>,
    exclusive_start_stream_arn: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeStream {
    stream_arn: String,
    exclusive_start_shard_id: Option<String>,
    limit: Option<usize>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetShardIterator {
    stream_arn: String,
    shard_id: String,
    shard_iterator_type: String,
    sequence_number: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetRecords {
    shard_iterator: String,
    limit: Option<usize>,
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
    pub(super) fn new(changes: ChangeLog, clock: Clock) -> Self {
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
        let limit = page(request.limit, STREAMS_PER_PAGE)?;
        let after = match &request.exclusive_start_stream_arn {
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
        let stream = self.stream(&request.stream_arn)?;
        page(request.limit, STREAMS_PER_PAGE)?;
        let id = shard_id(&stream.table, &stream.label);
        let mut range = json!({ "StartingSequenceNumber": sequence_number(stream.after_id + 1) });
        if let Some(last) = stream.last_id {
            range["EndingSequenceNumber"] = json!(sequence_number(last.max(stream.after_id + 1)));
        }
        let shards = match request.exclusive_start_shard_id {
            // The one shard there is has been seen; an id we never gave out sorts nowhere and is treated the same.
            Some(_) => vec![],
            None => vec![json!({ "ShardId": id, "SequenceNumberRange": range })],
        };
        let key_schema: serde_json::Value = serde_json::from_str(&stream.key_schema)
            .map_err(|_| Failure::internal("the stored key schema is not JSON"))?;
        let created: f64 = stream.label.parse().unwrap_or(0.0);
        let description = json!({
            "StreamArn": request.stream_arn,
            "StreamLabel": stream.label,
            "StreamStatus": if stream.last_id.is_some() { "DISABLED" } else { "ENABLED" },
            "StreamViewType": stream.view_type,
            "CreationRequestDateTime": created,
            "TableName": stream.table,
            "KeySchema": key_schema,
            "Shards": shards,
        });
        Ok(json!({ "StreamDescription": description }).to_string())
    }

    fn iterator(&self, request: GetShardIterator) -> Result<String, Failure> {
        let stream = self.stream(&request.stream_arn)?;
        if request.shard_id != shard_id(&stream.table, &stream.label) {
            let message = format!("Requested resource not found: Shard does not exist: {}", request.shard_id);
            return Err(Failure::service("ResourceNotFoundException", &message));
        }
        let position = match (request.shard_iterator_type.as_str(), &request.sequence_number) {
            ("TRIM_HORIZON", None) => stream.after_id,
            ("LATEST", None) => self.changes.newest(&stream)?,
            // The shard's StartingSequenceNumber is a valid place to start at before anything has been written.
            ("AT_SEQUENCE_NUMBER", Some(number)) => self.id_in(&stream, number, stream.after_id + 1)? - 1,
            ("AFTER_SEQUENCE_NUMBER", Some(number)) => self.id_in(&stream, number, stream.after_id)?,
            ("TRIM_HORIZON" | "LATEST", Some(_)) => {
                return Err(Failure::validation("SequenceNumber does not go with this ShardIteratorType"));
            }
            ("AT_SEQUENCE_NUMBER" | "AFTER_SEQUENCE_NUMBER", None) => {
                return Err(Failure::validation("this ShardIteratorType needs a SequenceNumber"));
            }
            _ => return Err(Failure::validation("unknown ShardIteratorType")),
        };
        let iterator = ShardIterator { stream_arn: request.stream_arn, position, issued: self.clock.now() };
        Ok(json!({ "ShardIterator": iterator.encode() }).to_string())
    }

    /// The record id of a sequence number, which this stream must have reached (or which is at most `allowed`).
    fn id_in(&self, stream: &Stream, number: &str, allowed: i64) -> Result<i64, Failure> {
        let id = parse_sequence_number(number)
            .ok_or_else(|| Failure::validation("Invalid SequenceNumber: not one of this service's"))?;
        if id <= stream.after_id {
            let message = "the SequenceNumber lies before the beginning of the shard";
            return Err(Failure::service("TrimmedDataAccessException", message));
        }
        if id > self.changes.newest(stream)?.max(allowed) {
            return Err(Failure::validation("Invalid SequenceNumber: the shard has not reached it"));
        }
        Ok(id)
    }

    fn records(&self, request: GetRecords) -> Result<String, Failure> {
        let limit = page(request.limit, RECORDS_PER_PAGE)?;
        let iterator = ShardIterator::decode(&request.shard_iterator)
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

fn page(asked: Option<usize>, most: usize) -> Result<usize, Failure> {
    match asked {
        None => Ok(most),
        Some(limit) if (1..=most).contains(&limit) => Ok(limit),
        Some(_) => Err(Failure::validation(&format!("Limit must be between 1 and {most}"))),
    }
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

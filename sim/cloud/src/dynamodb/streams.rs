//! DynamoDB Streams: ListStreams, DescribeStream, GetShardIterator, GetRecords.
//!
//! A stream has one open shard, which rolls every four hours (see [`super::rolling`]). A consumer that reads every shard from
//! parent to child sees every change once and in order, also across restarts. A closed shard ends its iterators with
//! `NextShardIterator` absent; so does a closed stream (disabled, or its table deleted), which stays readable for 24 hours.
//! Records older than that are gone: an iterator that still points before them is told so, and TRIM_HORIZON starts behind
//! them.

use std::sync::Arc;

use lakebed_contract::Clock;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::answer::Failure;
use super::arns::{parse_stream_arn, stream_arn};
use super::changes::{ChangeLog, Stream};
use super::iterator::{ShardIterator, parse_sequence_number, shard_id};
use super::operations::checked;
use super::pages::{Named, Page};
use super::rolling::{Shard, retained_since};
use super::shards::{Described, is_shown, shard_page, shown_shards};
use super::stream_record::{Records, record};
use crate::config::{CloudConfig, Limits};
use crate::limits::dynamodb::DynamoDbLimits;
use crate::matrix::Service;
use crate::validation;

/// AWS's page bounds.
const STREAMS_PER_PAGE: usize = 100;
const SHARDS_PER_PAGE: usize = 100;
const RECORDS_PER_PAGE: usize = 1_000;
const BYTES_PER_PAGE: usize = 1_024 * 1_024;

/// With limits, how long a stream is ENABLING and DISABLING. AWS promises no time.
const TRANSITION_SECONDS: i64 = 5;

/// The Streams front over a change log.
#[derive(Debug)]
pub(super) struct Streams {
    changes: Arc<ChangeLog>,
    clock: Clock,
    limits: Limits,
    readers: Arc<DynamoDbLimits>,
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

/// `CHILD_SHARDS` is the only type there is.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ShardFilter {
    shard_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetShardIterator {
    stream_arn: Option<String>,
    shard_id: Option<String>,
    shard_iterator_type: Option<String>,
    sequence_number: Option<String>,
    timestamp: Option<f64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GetRecords {
    shard_iterator: Option<String>,
    limit: Option<i64>,
}

impl Streams {
    /// `readers` counts who reads a shard, where that is limited.
    pub(super) fn new(changes: Arc<ChangeLog>, config: &CloudConfig, readers: Arc<DynamoDbLimits>) -> Self {
        Self { changes, clock: config.clock.clone(), limits: config.limits, readers }
    }

    /// Runs one operation and returns its answer's JSON.
    pub(super) fn run(&self, operation: &str, body: &str) -> Result<String, Failure> {
        match operation {
            "ListStreams" => self.list(&request(operation, body)?),
            "DescribeStream" => self.describe(request(operation, body)?),
            "GetShardIterator" => self.iterator(request(operation, body)?),
            "GetRecords" => self.records(&request(operation, body)?),
            other => Err(Failure::unknown_operation(other)),
        }
    }

    fn since(&self) -> i64 {
        retained_since(self.clock.now())
    }

    fn list(&self, request: &ListStreams) -> Result<String, Failure> {
        let limit = page_size(request.limit, STREAMS_PER_PAGE)?;
        let after = match request.exclusive_start_stream_arn.as_deref() {
            Some(arn) => Some(parse_stream_arn(arn).ok_or_else(|| no_stream(arn))?),
            None => None,
        };
        // One more than asked for tells whether there is a next page.
        let mut found = self.changes.streams(request.table_name.as_deref(), after, self.since(), limit + 1)?;
        let more = found.len() > limit;
        found.truncate(limit);
        let last = if more { found.last().map(|(table, label)| stream_arn(table, label)) } else { None };
        let described = found.iter().map(
            |(table, label)| json!({ "StreamArn": stream_arn(table, label), "TableName": table, "StreamLabel": label }),
        );
        let mut answer = json!({ "Streams": described.collect::<Vec<_>>() });
        if let Some(last) = last {
            answer["LastEvaluatedStreamArn"] = json!(last);
        }
        Ok(answer.to_string())
    }

    fn describe(&self, request: DescribeStream) -> Result<String, Failure> {
        let limit = page_size(request.limit, SHARDS_PER_PAGE)?;
        let arn = request.stream_arn.unwrap_or_default();
        let stream = self.stream(&arn)?;
        let mut shards = shown_shards(&stream, self.since());
        if let Some(parent) = request.shard_filter.and_then(|filter| filter.shard_id) {
            shards.retain(|shard| shard.parent.as_ref() == Some(&parent));
        }
        let (shards, last) = shard_page(shards, request.exclusive_start_shard_id.as_deref(), limit);
        let key_schema: serde_json::Value = serde_json::from_str(&stream.key_schema)
            .map_err(|_| Failure::internal("the stored key schema is not JSON"))?;
        let created: f64 = stream.label.parse().unwrap_or(0.0);
        let mut description = json!({
            "StreamArn": arn,
            "StreamLabel": stream.label,
            "StreamStatus": self.status(&stream),
            "StreamViewType": stream.view_type,
            "CreationRequestDateTime": created,
            "TableName": stream.table,
            "KeySchema": key_schema,
            "Shards": shards.iter().map(Described::json).collect::<Vec<_>>(),
        });
        if let Some(last) = last {
            description["LastEvaluatedShardId"] = json!(last);
        }
        Ok(json!({ "StreamDescription": description }).to_string())
    }

    fn status(&self, stream: &Stream) -> &'static str {
        let now = self.clock.now().seconds();
        let is_recent = |moment: i64| self.limits == Limits::Aws && now < moment.saturating_add(TRANSITION_SECONDS);
        let made = stream.shard(0).map(|shard| shard.opened);
        match (stream.last_id, stream.ended) {
            (Some(_), Some(ended)) if is_recent(ended) => "DISABLING",
            (Some(_), _) => "DISABLED",
            (None, _) if made.is_some_and(is_recent) => "ENABLING",
            (None, _) => "ENABLED",
        }
    }

    fn iterator(&self, request: GetShardIterator) -> Result<String, Failure> {
        let (arn, wanted) = (request.stream_arn.unwrap_or_default(), request.shard_id.unwrap_or_default());
        let stream = self.stream(&arn)?;
        let since = self.since();
        let is_it =
            |shard: &&Shard| is_shown(shard, since) && shard_id(&stream.table, &stream.label, shard.number) == wanted;
        let Some(shard) = stream.shards.iter().find(is_it) else {
            let message = format!("Requested resource not found: Shard does not exist: {wanted}");
            return Err(Failure::service("ResourceNotFoundException", &message));
        };
        let kind = request.shard_iterator_type.unwrap_or_default();
        let number = request.sequence_number.as_deref();
        let position = match (kind.as_str(), request.timestamp) {
            ("AT_TIMESTAMP", Some(moment)) if number.is_none() => {
                if moment > self.clock.now().0 as f64 / 1e6 {
                    return Err(invalid_parameter("Timestamp must not be in the future"));
                }
                self.changes.newest_before(&stream, shard, moment.ceil() as i64)?
            }
            ("AT_TIMESTAMP", None) => return Err(invalid_parameter("Timestamp cannot be null")),
            _ => self.position(&stream, shard, &kind, number)?,
        };
        let iterator = ShardIterator { stream_arn: arn, shard: shard.number, position, issued: self.clock.now() };
        Ok(json!({ "ShardIterator": iterator.encode() }).to_string())
    }

    /// Where an iterator of this kind begins: everything up to there counts as read.
    fn position(&self, stream: &Stream, shard: &Shard, kind: &str, number: Option<&str>) -> Result<i64, Failure> {
        let position = match (kind, number) {
            ("TRIM_HORIZON", None) => stream.horizon(shard),
            ("LATEST", None) => self.changes.newest(stream, shard)?,
            // The shard's StartingSequenceNumber is a valid place to start at before anything has been written.
            ("AT_SEQUENCE_NUMBER", Some(number)) => self.id_in(stream, shard, number, shard.after_id + 1)? - 1,
            // Right behind the newest trimmed record nothing is missing, so a reader that has seen it may go on.
            ("AFTER_SEQUENCE_NUMBER", Some(number)) => self.id_in(stream, shard, number, shard.after_id)?,
            (_, Some(_)) => {
                return Err(invalid_parameter("SequenceNumber should not be passed for this iterator type"));
            }
            (_, None) => return Err(invalid_parameter("SequenceNumber cannot be null")),
        };
        if position < stream.horizon(shard) { Err(trimmed()) } else { Ok(position) }
    }

    /// The record id of a sequence number, which this shard must have reached (or which is at most `allowed`).
    fn id_in(&self, stream: &Stream, shard: &Shard, number: &str, allowed: i64) -> Result<i64, Failure> {
        let id = parse_sequence_number(number)
            .ok_or_else(|| Failure::validation("Invalid SequenceNumber: not one of this service's"))?;
        if id <= shard.after_id {
            return Err(trimmed());
        }
        // A closed shard has reached its end, whichever table's record that is.
        let allowed = shard.last_id.map_or(allowed, |last| allowed.max(last));
        if id > self.changes.newest(stream, shard)?.max(allowed) {
            return Err(Failure::validation("Invalid SequenceNumber: the shard has not reached it"));
        }
        Ok(id)
    }

    fn records(&self, request: &GetRecords) -> Result<String, Failure> {
        let limit = page_size(request.limit, RECORDS_PER_PAGE)?;
        let encoded = request.shard_iterator.as_deref().unwrap_or_default();
        let mut iterator =
            ShardIterator::decode(encoded).ok_or_else(|| Failure::validation("Invalid ShardIterator"))?;
        let now = self.clock.now();
        if iterator.expired(now) {
            return Err(Failure::service("ExpiredIteratorException", "Iterator expired: it is older than 15 minutes"));
        }
        let name = parse_stream_arn(&iterator.stream_arn).ok_or_else(|| no_stream(&iterator.stream_arn))?;
        let _reading = self.readers.reader(&format!("{} of {}", iterator.shard, iterator.stream_arn))?;
        let named = Named { name, shard: iterator.shard, since: retained_since(now) };
        let read = self.changes.read(&named, iterator.position, (limit, BYTES_PER_PAGE))?;
        let Page { stream, changes, through, is_last } = read.ok_or_else(|| no_stream(&iterator.stream_arn))?;
        let shard = stream.shard(iterator.shard).ok_or_else(trimmed)?;
        if iterator.position < stream.horizon(shard) {
            return Err(trimmed());
        }
        iterator.position = through;
        let records = changes
            .into_iter()
            .map(|change| record(change, &stream, &iterator.stream_arn))
            .collect::<Result<Vec<_>, _>>()?;
        let is_finished = is_last && shard.last_id.is_some();
        iterator.issued = now;
        let next_shard_iterator = (!is_finished).then(|| iterator.encode());
        serde_json::to_string(&Records { records, next_shard_iterator })
            .map_err(|_| Failure::internal("failed to write the answer"))
    }

    fn stream(&self, arn: &str) -> Result<Stream, Failure> {
        let name = parse_stream_arn(arn).ok_or_else(|| no_stream(arn))?;
        self.changes.stream(name, self.since())?.ok_or_else(|| no_stream(arn))
    }
}

fn request<Request: DeserializeOwned>(operation: &str, body: &str) -> Result<Request, Failure> {
    checked(Service::DynamoDbStreams, operation, body)
}

/// The page size asked for, or the largest one. The model says no upper bound; AWS's documentation does.
fn page_size(asked: Option<i64>, most: usize) -> Result<usize, Failure> {
    let Some(asked) = asked else { return Ok(most) };
    usize::try_from(asked).ok().filter(|asked| *asked <= most).ok_or_else(|| {
        let rule = format!("Member must have value less than or equal to {most}");
        let broken = validation::violation(&asked.to_string(), "limit", &rule);
        Failure::validation(&validation::violations(&[broken]))
    })
}

fn invalid_parameter(why: &str) -> Failure {
    Failure::validation(&format!("One or more parameter values were invalid: {why}"))
}

fn no_stream(arn: &str) -> Failure {
    Failure::service("ResourceNotFoundException", &format!("Requested resource not found: Stream: {arn} not found"))
}

fn trimmed() -> Failure {
    let message = "The operation attempted to read past the oldest stream record in a shard.";
    Failure::service("TrimmedDataAccessException", message)
}

#[cfg(test)]
mod tests {
    use lakebed_contract::{Seed, Timestamp};

    use super::*;
    use crate::config::Fsync;

    #[test]
    fn a_third_reader_of_a_shard_is_refused_until_one_is_done() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tables.sqlite");
        drop(dynoxide::Database::new(path.to_str().expect("text")).expect("made"));
        let clock = Clock::virtual_at(Timestamp::from_seconds(1_000));
        let mut config = CloudConfig::new(dir.path(), clock.clone(), Seed(7));
        config.limits = Limits::Aws;
        let readers = Arc::new(DynamoDbLimits::new(&config));
        let changes = Arc::new(ChangeLog::open(&path, Fsync::Never).expect("opens"));
        let streams = Streams::new(changes, &config, Arc::clone(&readers));
        let arn = stream_arn("orders", "17.5");
        let iterator = ShardIterator { stream_arn: arn.clone(), shard: 0, position: 0, issued: clock.now() };
        let body = json!({ "ShardIterator": iterator.encode() }).to_string();
        let told = || format!("{:?}", streams.run("GetRecords", &body).expect_err("there is no such stream"));
        let reader = || readers.reader(&format!("0 of {arn}")).expect("free");
        let _one = reader();
        assert!(told().contains("ResourceNotFoundException"), "the second may look");
        let two = reader();
        assert!(told().contains("LimitExceededException"));
        drop(two);
        assert!(told().contains("ResourceNotFoundException"));
    }
}

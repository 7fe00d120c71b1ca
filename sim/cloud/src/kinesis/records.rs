//! PutRecord, PutRecords and GetRecords: limits, routing to shards, and the answers.
//!
//! A PutRecords that breaks a limit is refused as a whole, before anything is appended; a shard that cannot be appended
//! to fails its own records only, as AWS does.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lakebed_contract::Timestamp;
use serde_json::{Value, json};

use super::frame::NewRecord;
use super::iterator::ShardIterator;
use super::stream::{RETENTION, Shard, Stream, hash_key_of};
use super::wire::{GetRecordsAnswer, KinesisError, PutRecord, PutRecords, RecordAnswer};

/// Most records of a PutRecords.
pub const REQUEST_RECORDS_MAX: usize = 500;
/// Most bytes of a PutRecords, data and partition keys together.
pub const REQUEST_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Most data bytes of one record.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// Most bytes of a GetRecords answer.
pub const ANSWER_BYTES_MAX: u64 = 10 * 1024 * 1024;

const PARTITION_KEY_CHARS_MAX: usize = 256;
const ANSWER_RECORDS_MAX: usize = 10_000;

/// A record that passed validation, and where it goes.
struct Routed {
    hash_key: u128,
    record: NewRecord,
}

fn routed(
    place: &str,
    data: &str,
    partition_key: String,
    explicit_hash_key: Option<&str>,
) -> Result<Routed, KinesisError> {
    let fails = |member: &str, rule: &str| {
        KinesisError::validation(format!(
            "1 validation error detected: Value at '{place}{member}' failed to satisfy constraint: {rule}"
        ))
    };
    let key_chars = partition_key.chars().count();
    if key_chars == 0 {
        return Err(fails("partitionKey", "Member must have length greater than or equal to 1"));
    }
    if key_chars > PARTITION_KEY_CHARS_MAX {
        return Err(fails("partitionKey", "Member must have length less than or equal to 256"));
    }
    let data = BASE64_STANDARD.decode(data).map_err(|_| fails("data", "Member must be base64"))?;
    if data.len() > RECORD_BYTES_MAX {
        return Err(fails("data", "Member must have length less than or equal to 1048576"));
    }
    let hash_key = match explicit_hash_key {
        None => hash_key_of(&partition_key),
        Some(text) => text.parse().map_err(|_| {
            KinesisError::invalid_argument(
                "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1].",
            )
        })?,
    };
    Ok(Routed { hash_key, record: NewRecord { partition_key, data } })
}

/// PutRecord.
pub(super) fn put_record(stream: &Stream, request: PutRecord, now: Timestamp) -> Result<Value, KinesisError> {
    let routed = routed("", &request.data, request.partition_key, request.explicit_hash_key.as_deref())?;
    let shard = stream.shard_of(routed.hash_key);
    let sequences = append(shard, vec![routed.record], now)?;
    let sequence = sequences.first().copied().unwrap_or_default();
    Ok(json!({
        "ShardId": shard.id(),
        "SequenceNumber": stream.sequence_number(shard.number, sequence),
        "EncryptionType": "NONE",
    }))
}

/// PutRecords.
pub(super) fn put_records(stream: &Stream, request: PutRecords, now: Timestamp) -> Result<Value, KinesisError> {
    let count = request.records.len();
    if count == 0 || count > REQUEST_RECORDS_MAX {
        let rule = if count == 0 { "greater than or equal to 1" } else { "less than or equal to 500" };
        return Err(KinesisError::validation(format!(
            "1 validation error detected: Value at 'records' failed to satisfy constraint: Member must have length {rule}"
        )));
    }
    let mut by_shard: Vec<(Vec<usize>, Vec<NewRecord>)> = stream.shards.iter().map(|_| Default::default()).collect();
    let mut bytes = 0;
    for (at, entry) in request.records.into_iter().enumerate() {
        let place = format!("records.{}.member.", at + 1);
        let routed = routed(&place, &entry.data, entry.partition_key, entry.explicit_hash_key.as_deref())?;
        bytes += routed.record.data.len() + routed.record.partition_key.len();
        let shard = stream.shard_of(routed.hash_key).number as usize;
        by_shard[shard].0.push(at);
        by_shard[shard].1.push(routed.record);
    }
    if bytes > REQUEST_BYTES_MAX {
        return Err(KinesisError::invalid_argument("Records size exceeds 10 MB limit"));
    }
    let mut answers = vec![Value::Null; count];
    let mut failed = 0;
    for (shard, (places, records)) in stream.shards.iter().zip(by_shard) {
        if records.is_empty() {
            continue;
        }
        match append(shard, records, now) {
            Ok(sequences) => {
                for (at, sequence) in places.into_iter().zip(sequences) {
                    let number = stream.sequence_number(shard.number, sequence);
                    answers[at] = json!({ "SequenceNumber": number, "ShardId": shard.id() });
                }
            }
            Err(error) => {
                failed += places.len();
                for at in places {
                    answers[at] = json!({ "ErrorCode": error.code(), "ErrorMessage": "Internal service failure." });
                }
            }
        }
    }
    Ok(json!({ "FailedRecordCount": failed, "Records": answers, "EncryptionType": "NONE" }))
}

fn append(shard: &Shard, records: Vec<NewRecord>, now: Timestamp) -> Result<Vec<u64>, KinesisError> {
    let mut log = shard.log();
    log.trim(horizon(now)).map_err(|error| KinesisError::internal("trim a shard", &error))?;
    log.append(records, now).map_err(|error| KinesisError::internal("append to a shard", &error))
}

/// Before this moment records are gone.
pub(super) fn horizon(now: Timestamp) -> Timestamp {
    let retention = i64::try_from(RETENTION.as_micros()).expect("a day fits");
    Timestamp(now.0.saturating_sub(retention))
}

/// GetRecords; `iterator` belongs to `stream`.
pub(super) fn get_records(
    stream: &Stream,
    iterator: ShardIterator,
    limit: Option<i64>,
    now: Timestamp,
) -> Result<GetRecordsAnswer, KinesisError> {
    let limit = match limit {
        None => ANSWER_RECORDS_MAX,
        Some(limit) => {
            usize::try_from(limit).ok().filter(|limit| (1..=ANSWER_RECORDS_MAX).contains(limit)).ok_or_else(|| {
                KinesisError::validation("1 validation error detected: Value at 'limit' must be between 1 and 10000")
            })?
        }
    };
    let shard = stream.shards.get(iterator.shard as usize);
    let shard = shard.ok_or_else(|| KinesisError::invalid_argument("Invalid ShardIterator."))?;
    let read = {
        let mut log = shard.log();
        log.trim(horizon(now)).map_err(|error| KinesisError::internal("trim a shard", &error))?;
        let read = log.read(iterator.from, limit, ANSWER_BYTES_MAX);
        read.map_err(|error| KinesisError::internal("read a shard", &error))?
    };
    let from = read.records.last().map_or(iterator.from, |last| last.sequence + 1);
    // While something is left the answer is behind, even if the clock stands still.
    let behind = read.next_arrival.map_or(0, |arrival| now.since(arrival).as_millis().max(1));
    let records = read.records.into_iter().map(|record| RecordAnswer {
        sequence_number: stream.sequence_number(shard.number, record.sequence),
        approximate_arrival_timestamp: seconds(record.arrival),
        data: BASE64_STANDARD.encode(&record.data),
        partition_key: record.partition_key,
        encryption_type: "NONE",
    });
    Ok(GetRecordsAnswer {
        records: records.collect(),
        next_shard_iterator: ShardIterator { from, issued: now, ..iterator }.to_text(),
        millis_behind_latest: u64::try_from(behind).unwrap_or(u64::MAX),
    })
}

/// A moment as AWS JSON writes it: seconds with milliseconds.
pub(super) fn seconds(at: Timestamp) -> f64 {
    at.millis() as f64 / 1000.0
}

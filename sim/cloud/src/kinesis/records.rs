//! PutRecord, PutRecords and GetRecords: limits, routing to open shards, and the answers.
//!
//! A PutRecords that breaks a limit is refused as a whole, before anything is appended; a shard that cannot be appended
//! to fails its own records only, as AWS does. A closed shard is read to its end, where its children are named. The
//! encryption type in an answer is the stream's of today, not the one a record was put under.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lakebed_contract::Timestamp;
use serde_json::{Value, json};

use super::describe::{child_shards, seconds};
use super::description::shard_id;
use super::error::{ACCOUNT, KinesisError};
use super::frame::NewRecord;
use super::iterator::{ShardIterator, shard_not_found};
use super::stream::{Layout, SequenceNumber, Shard, Stream, hash_key_of};
use super::validation::{Pattern, Violations};
use super::wire::{GetRecords, GetRecordsAnswer, NamesStream, PutRecord, PutRecords, PutRecordsEntry, RecordAnswer};

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
pub(super) struct Routed {
    hash_key: u128,
    record: NewRecord,
}

impl PutRecord {
    /// Takes the record out, if the request is sound.
    pub(super) fn check(&mut self) -> Result<Routed, KinesisError> {
        let mut check = self.check_naming();
        let ordering = self.sequence_number_for_ordering.as_deref();
        check.pattern(ordering, "sequenceNumberForOrdering", Pattern::SequenceNumber);
        let entry = PutRecordsEntry {
            data: self.data.take(),
            partition_key: self.partition_key.take(),
            explicit_hash_key: self.explicit_hash_key.take(),
        };
        let bytes = check_entry(&mut check, &entry, str::to_owned)?;
        check.finish()?;
        routed(entry, bytes)
    }
}

impl PutRecords {
    /// Takes the records out, if the request is sound.
    pub(super) fn check(&mut self) -> Result<Vec<Routed>, KinesisError> {
        let mut check = self.check_naming();
        let Some(records) = self.records.take() else {
            check.null("records");
            check.finish()?;
            return Ok(Vec::new());
        };
        // Records are not quoted, only counted.
        let shown = format!("[{} records]", records.len());
        check.size(records.len(), &shown, "records", 1, REQUEST_RECORDS_MAX);
        let mut sound = Vec::with_capacity(records.len().min(REQUEST_RECORDS_MAX));
        for (at, entry) in records.into_iter().take(REQUEST_RECORDS_MAX).enumerate() {
            let bytes = check_entry(&mut check, &entry, |member| format!("records.{}.member.{member}", at + 1))?;
            sound.push((entry, bytes));
        }
        check.finish()?;
        sound.into_iter().map(|(entry, bytes)| routed(entry, bytes)).collect()
    }
}

impl GetRecords {
    pub(super) fn check(&self) -> Result<&str, KinesisError> {
        let mut check = self.check_naming();
        let iterator = check.required(self.shard_iterator.as_deref(), "shardIterator");
        check.length(self.shard_iterator.as_deref(), "shardIterator", 1, 512);
        check.range(self.limit, "limit", 1, ANSWER_RECORDS_MAX as i64);
        check.finish()?;
        self.naming().refuse_unimplemented()?;
        Ok(iterator)
    }
}

/// Adds what is wrong with a record and gives its data; `path` names a member, and is asked only when something is wrong.
fn check_entry(
    check: &mut Violations,
    entry: &PutRecordsEntry,
    path: impl Fn(&str) -> String,
) -> Result<Vec<u8>, KinesisError> {
    match entry.partition_key.as_deref().map(|key| key.chars().count()) {
        None => check.null(&path("partitionKey")),
        Some(chars) if !(1..=PARTITION_KEY_CHARS_MAX).contains(&chars) => {
            let shown = if chars == 0 { String::new() } else { format!("({chars} characters)") };
            check.size(chars, shown, &path("partitionKey"), 1, PARTITION_KEY_CHARS_MAX);
        }
        Some(_) => {}
    }
    let explicit = entry.explicit_hash_key.as_deref();
    if explicit.is_some() {
        check.pattern(explicit, &path("explicitHashKey"), Pattern::HashKey);
    }
    let Some(data) = &entry.data else {
        check.null(&path("data"));
        return Ok(Vec::new());
    };
    let data = BASE64_STANDARD.decode(data).map_err(|_| {
        // AWS quotes the data here; we do not.
        let why = match data.len() % 4 {
            0 => "Invalid Base64 character or padding".to_owned(),
            _ => format!("Base64 encoded length is expected a multiple of 4 bytes but found: {}", data.len()),
        };
        KinesisError::serialization(format!("{} can not be converted to a Blob: {why}", path("data")))
    })?;
    if data.len() > RECORD_BYTES_MAX {
        let shown = format!("java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]", data.len());
        check.size(data.len(), shown, &path("data"), 0, RECORD_BYTES_MAX);
    }
    Ok(data)
}

/// A sound record, and the hash key it falls on.
fn routed(entry: PutRecordsEntry, data: Vec<u8>) -> Result<Routed, KinesisError> {
    let partition_key = entry.partition_key.unwrap_or_default();
    let hash_key = match entry.explicit_hash_key {
        None => hash_key_of(&partition_key),
        Some(text) => text.parse().map_err(|_| {
            KinesisError::invalid_argument(format!(
                "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {text}"
            ))
        })?,
    };
    Ok(Routed { hash_key, record: NewRecord { partition_key, data } })
}

/// PutRecord.
pub(super) fn put_record(
    stream: &Stream,
    ordering: Option<&str>,
    routed: Routed,
    now: Timestamp,
) -> Result<Value, KinesisError> {
    let layout = stream.layout()?;
    let above = ordering.map_or(Ok(0), |ordering| sequence_for_ordering(stream, &layout, ordering, now))?;
    let at = layout.route(routed.hash_key);
    let shard = layout.open_shards().nth(at).ok_or_else(|| no_open_shard(stream))?;
    let sequences = append(&layout, shard, vec![routed.record], now, above)?;
    let sequence = sequences.first().copied().unwrap_or_default();
    Ok(json!({
        "ShardId": shard_id(shard.number),
        "SequenceNumber": stream.sequence_number(shard.number, sequence),
        "EncryptionType": layout.description.encryption_type(),
    }))
}

/// The sequence that the new one must exceed. A number that nobody can have been given yet is refused.
fn sequence_for_ordering(stream: &Stream, layout: &Layout, given: &str, now: Timestamp) -> Result<u64, KinesisError> {
    let number = SequenceNumber::parse(given).filter(|number| stream.has_given(*number));
    let present = u64::try_from(now.0).unwrap_or(0);
    // A burst runs ahead of the clock, so only what is ahead of both is of the future.
    let is_past = |sequence: u64| sequence <= present || sequence <= layout.greatest_sequence();
    number.map(|number| number.sequence).filter(|sequence| is_past(*sequence)).ok_or_else(|| {
        KinesisError::invalid_argument(format!(
            "ExclusiveMinimumSequenceNumber {given} used in PutRecord on stream {} under account {ACCOUNT} is invalid.",
            stream.name
        ))
    })
}

/// PutRecords.
pub(super) fn put_records(stream: &Stream, records: Vec<Routed>, now: Timestamp) -> Result<Value, KinesisError> {
    let count = records.len();
    let bytes: usize = records.iter().map(|routed| routed.record.data.len() + routed.record.partition_key.len()).sum();
    if bytes > REQUEST_BYTES_MAX {
        return Err(KinesisError::invalid_argument("Records size exceeds 10 MB limit"));
    }
    // Held until all is appended: nobody closes a shard in between.
    let layout = stream.layout()?;
    let mut by_shard: Vec<(Vec<usize>, Vec<NewRecord>)> = layout.open_shards().map(|_| Default::default()).collect();
    for (at, routed) in records.into_iter().enumerate() {
        let (places, records) = by_shard.get_mut(layout.route(routed.hash_key)).ok_or_else(|| no_open_shard(stream))?;
        places.push(at);
        records.push(routed.record);
    }
    let mut answers = vec![Value::Null; count];
    let mut failed = 0;
    for (shard, (places, records)) in layout.open_shards().zip(by_shard) {
        if records.is_empty() {
            continue;
        }
        match append(&layout, shard, records, now, 0) {
            Ok(sequences) => {
                for (at, sequence) in places.into_iter().zip(sequences) {
                    let number = stream.sequence_number(shard.number, sequence);
                    answers[at] = json!({ "SequenceNumber": number, "ShardId": shard_id(shard.number) });
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
    let encryption = layout.description.encryption_type();
    Ok(json!({ "FailedRecordCount": failed, "Records": answers, "EncryptionType": encryption }))
}

/// Open shards cover all hash keys, so this is a fault of ours.
fn no_open_shard(stream: &Stream) -> KinesisError {
    let error = std::io::Error::other(format!("stream {} has no open shard for a hash key", stream.name));
    KinesisError::internal("route a record", &error)
}

/// `layout` is held, so the shard stays open.
fn append(
    layout: &Layout,
    shard: &Shard,
    records: Vec<NewRecord>,
    now: Timestamp,
    above: u64,
) -> Result<Vec<u64>, KinesisError> {
    let mut log = shard.log();
    log.trim(layout.description.horizon(now)).map_err(|error| KinesisError::internal("trim a shard", &error))?;
    log.append(records, now, above).map_err(|error| KinesisError::internal("append to a shard", &error))
}

/// GetRecords; `iterator` belongs to `stream`.
pub(super) fn get_records(
    stream: &Stream,
    iterator: ShardIterator,
    limit: Option<i64>,
    now: Timestamp,
) -> Result<GetRecordsAnswer, KinesisError> {
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(ANSWER_RECORDS_MAX);
    let number = iterator.shard;
    // Held until the records are read: nobody closes, removes or deletes the shard in between.
    let layout = stream.layout()?;
    let description = &layout.description;
    let found = description.shard(number).zip(layout.shard(number));
    let (described, shard) = found.ok_or_else(|| shard_not_found(stream, &shard_id(number)))?;
    let read = {
        let mut log = shard.log();
        log.trim(description.horizon(now)).map_err(|error| KinesisError::internal("trim a shard", &error))?;
        let read = log.read(iterator.from, limit, ANSWER_BYTES_MAX);
        read.map_err(|error| KinesisError::internal("read a shard", &error))?
    };
    let has_ended = described.closed.is_some() && read.next_arrival.is_none();
    let child_shards = has_ended.then(|| child_shards(description, number));
    let encryption_type = description.encryption_type();
    drop(layout);
    let from = read.records.last().map_or(iterator.from, |last| last.sequence + 1);
    // While something is left the answer is behind, even if the clock stands still.
    let behind = read.next_arrival.map_or(0, |arrival| now.since(arrival).as_millis().max(1));
    let records = read.records.into_iter().map(|record| RecordAnswer {
        sequence_number: stream.sequence_number(number, record.sequence),
        approximate_arrival_timestamp: seconds(record.arrival),
        data: BASE64_STANDARD.encode(&record.data),
        partition_key: record.partition_key,
        encryption_type,
    });
    let next = || ShardIterator { from, issued: now, ..iterator }.to_text();
    Ok(GetRecordsAnswer {
        records: records.collect(),
        next_shard_iterator: child_shards.is_none().then(next),
        millis_behind_latest: u64::try_from(behind).unwrap_or(u64::MAX),
        child_shards,
    })
}

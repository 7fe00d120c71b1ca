//! PutRecord, PutRecords and GetRecords: limits, routing to open shards, and the answers.
//!
//! A PutRecords that breaks a limit is refused as a whole, before anything is appended; a shard that cannot be appended
//! to fails its own records only, as AWS does. A closed shard is read to its end, where its children are named. The
//! encryption type in an answer is the stream's of today, not the one a record was put under.

use std::sync::RwLockReadGuard;

use base64_simd::STANDARD as BASE64;
use lakebed_contract::Timestamp;
use serde_json::{Value, json};

use super::describe::{child_shards, seconds};
use super::description::{ON_DEMAND, shard_id};
use super::error::{ACCOUNT, KinesisError};
use super::frame::NewRecord;
use super::iterator::{ShardIterator, shard_not_found};
use super::put_records::{PutAnswer, PutRecordsAnswer, PutRecordsEntry, Records};
use super::sequence_number::SequenceNumber;
use super::shard::Shard;
use super::stream::{Layout, Stream, hash_key_of};
use super::validation::{Pattern, Violations};
use super::wire::{GetRecords, GetRecordsAnswer, NamesStream, PutRecord, PutRecords, RecordAnswer};
use crate::limits::kinesis::KinesisLimits;

/// Most records of a PutRecords.
pub const REQUEST_RECORDS_MAX: usize = 500;
/// Most bytes of a PutRecords, data and partition keys together.
pub const REQUEST_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Most data bytes of one record, unless its stream allows more.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// Most data bytes of one record that a stream can allow.
pub const LARGE_RECORD_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Most bytes of a GetRecords answer.
pub const ANSWER_BYTES_MAX: u64 = 10 * 1024 * 1024;

const PARTITION_KEY_CHARS_MAX: usize = 256;
const ANSWER_RECORDS_MAX: usize = 10_000;
/// What AWS tells of a record that it failed to take.
const INTERNAL_FAILURE: &str = "Internal service failure.";

/// A record that passed validation, and where it goes.
pub(super) struct Routed {
    hash_key: u128,
    record: NewRecord,
}

impl Routed {
    /// Its data and its partition key.
    fn bytes(&self) -> usize {
        self.record.data.len() + self.record.partition_key.len()
    }
}

impl RecordAnswer {
    /// About its data and its partition key: base64 has four characters for three bytes.
    fn bytes(&self) -> usize {
        self.data.len() / 4 * 3 + self.partition_key.len()
    }
}

impl PutRecord<'_> {
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

impl PutRecords<'_> {
    /// Takes the records out, if the request is sound.
    pub(super) fn check(&mut self) -> Result<Vec<Routed>, KinesisError> {
        let mut check = self.check_naming();
        let Some(Records { kept, count }) = self.records.take() else {
            check.null("records");
            check.finish()?;
            return Ok(Vec::new());
        };
        // Records are not quoted, only counted.
        check.size(count, format!("[{count} records]"), "records", 1, REQUEST_RECORDS_MAX);
        let mut sound = Vec::with_capacity(kept.len());
        for (at, entry) in kept.into_iter().enumerate() {
            let bytes = check_entry(&mut check, &entry, |member| format!("records.{}.member.{member}", at + 1))?;
            sound.push((entry, bytes));
        }
        check.finish()?;
        sound.into_iter().map(|(entry, bytes)| routed(entry, bytes)).collect()
    }
}

impl GetRecords {
    /// The iterator, unless the request wants what is not here.
    pub(super) fn iterator(&self) -> Result<&str, KinesisError> {
        self.naming().refuse_unimplemented()?;
        Ok(self.shard_iterator.as_deref().unwrap_or_default())
    }
}

/// Adds what is wrong with a record and gives its data; `path` names a member, and is asked only when something is wrong.
fn check_entry(
    check: &mut Violations,
    entry: &PutRecordsEntry<'_>,
    path: impl Fn(&str) -> String,
) -> Result<Vec<u8>, KinesisError> {
    match entry.partition_key.as_ref().map(|key| key.0.chars().count()) {
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
    let Some(data) = entry.data.as_ref().map(|data| data.0.as_bytes()) else {
        check.null(&path("data"));
        return Ok(Vec::new());
    };
    let data = BASE64.decode_to_vec(data).map_err(|_| {
        // AWS quotes the data here; we do not.
        let why = match data.len() % 4 {
            0 => "Invalid Base64 character or padding".to_owned(),
            _ => format!("Base64 encoded length is expected a multiple of 4 bytes but found: {}", data.len()),
        };
        KinesisError::serialization(format!("{} can not be converted to a Blob: {why}", path("data")))
    })?;
    check_data_length(check, data.len(), || path("data"), LARGE_RECORD_BYTES_MAX);
    Ok(data)
}

/// Adds that the data of a record is too long; `path` is asked only then.
fn check_data_length(check: &mut Violations, length: usize, path: impl FnOnce() -> String, max: usize) {
    if length > max {
        check.size(length, format!("java.nio.HeapByteBuffer[pos=0 lim={length} cap={length}]"), &path(), 0, max);
    }
}

/// A sound record, and the hash key it falls on.
fn routed(entry: PutRecordsEntry<'_>, data: Vec<u8>) -> Result<Routed, KinesisError> {
    let partition_key = entry.partition_key.map(|key| key.0.into_owned()).unwrap_or_default();
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
    rates: &KinesisLimits,
    now: Timestamp,
) -> Result<Value, KinesisError> {
    let layout = stream.layout()?;
    let mut check = Violations::default();
    let length = routed.record.data.len();
    check_data_length(&mut check, length, || "data".to_owned(), layout.description.record_bytes_max());
    check.finish()?;
    let above = ordering.map_or(Ok(0), |ordering| sequence_for_ordering(stream, &layout, ordering, now))?;
    let at = layout.route(routed.hash_key);
    let shard = layout.open_shards().nth(at).ok_or_else(|| no_open_shard(stream))?;
    if !rates.admit_put(stream.place(shard.number), routed.bytes()) {
        return Err(KinesisError::throughput_exceeded(&shard_id(shard.number), &stream.name));
    }
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
pub(super) fn put_records(
    stream: &Stream,
    records: Vec<Routed>,
    rates: &KinesisLimits,
    now: Timestamp,
) -> Result<PutRecordsAnswer, KinesisError> {
    let bytes: usize = records.iter().map(Routed::bytes).sum();
    if bytes > REQUEST_BYTES_MAX {
        return Err(KinesisError::invalid_argument("Records size exceeds 10 MB limit"));
    }
    // Held until all is appended: nobody closes a shard in between.
    let layout = stream.layout()?;
    let mut check = Violations::default();
    for (at, routed) in records.iter().enumerate() {
        let path = || format!("records.{}.member.data", at + 1);
        check_data_length(&mut check, routed.record.data.len(), path, layout.description.record_bytes_max());
    }
    check.finish()?;
    let mut by_shard: Vec<(Vec<usize>, Vec<NewRecord>)> = layout.open_shards().map(|_| Default::default()).collect();
    let numbers: Vec<u32> = layout.open_shards().map(|shard| shard.number).collect();
    let mut answers: Vec<Option<PutAnswer>> = records.iter().map(|_| None).collect();
    for (at, routed) in records.into_iter().enumerate() {
        let route = layout.route(routed.hash_key);
        let found = by_shard.get_mut(route).zip(numbers.get(route));
        let ((places, records), number) = found.ok_or_else(|| no_open_shard(stream))?;
        if !rates.admit_put(stream.place(*number), routed.bytes()) {
            let error = KinesisError::throughput_exceeded(&shard_id(*number), &stream.name);
            answers[at] =
                Some(PutAnswer::Failed { error_code: error.code(), error_message: error.message().to_owned() });
            continue;
        }
        places.push(at);
        records.push(routed.record);
    }
    for (shard, (places, records)) in layout.open_shards().zip(by_shard) {
        if records.is_empty() {
            continue;
        }
        match append(&layout, shard, records, now, 0) {
            Ok(sequences) => {
                let shard_id = shard_id(shard.number);
                for (at, sequence) in places.into_iter().zip(sequences) {
                    let sequence_number = stream.sequence_number(shard.number, sequence);
                    answers[at] = Some(PutAnswer::Put { sequence_number, shard_id: shard_id.clone() });
                }
            }
            Err(error) => {
                for at in places {
                    let error_message = INTERNAL_FAILURE.to_owned();
                    answers[at] = Some(PutAnswer::Failed { error_code: error.code(), error_message });
                }
            }
        }
    }
    let records: Vec<PutAnswer> = answers.into_iter().flatten().collect();
    let failed_record_count = records.iter().filter(|answer| matches!(answer, PutAnswer::Failed { .. })).count();
    Ok(PutRecordsAnswer { failed_record_count, records, encryption_type: layout.description.encryption_type() })
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
    let count = records.len();
    let bytes = records.iter().map(|record| record.data.len() + record.partition_key.len()).sum();
    let sequences = shard.append(records, now, layout.description.horizon(now), above);
    let sequences = sequences.map_err(|error| KinesisError::internal("append to a shard", &error))?;
    shard.announce();
    if layout.description.mode == ON_DEMAND {
        shard.traffic().count(bytes, count, now);
    }
    Ok(sequences)
}

/// What a shard gives from a sequence on.
pub(super) struct ShardRead {
    pub(super) records: Vec<RecordAnswer>,
    /// Where to go on.
    pub(super) next: u64,
    pub(super) millis_behind: u64,
    /// At the end of a closed shard: its children.
    pub(super) child_shards: Option<Vec<Value>>,
}

/// Reads the shard called `number` from sequence `from` on: at most so many records and bytes, but at least one record if any.
pub(super) fn read_shard(
    stream: &Stream,
    layout: RwLockReadGuard<'_, Layout>,
    number: u32,
    from: u64,
    (records_max, bytes_max): (usize, u64),
    now: Timestamp,
) -> Result<ShardRead, KinesisError> {
    // The layout is held until the files are open: nobody closes, removes or deletes the shard in between.
    let description = &layout.description;
    let found = description.shard(number).zip(layout.shard(number));
    let (described, shard) = found.ok_or_else(|| shard_not_found(stream, &shard_id(number)))?;
    let failed = |error: std::io::Error| KinesisError::internal("read a shard", &error);
    let reading = {
        let mut log = shard.log();
        log.trim(description.horizon(now)).map_err(|error| KinesisError::internal("trim a shard", &error))?;
        log.plan(from, records_max, bytes_max).map_err(failed)?
    };
    let has_ended = described.closed.is_some() && reading.next_arrival.is_none();
    let child_shards = has_ended.then(|| child_shards(description, number));
    let encryption_type = description.encryption_type();
    drop(layout);
    // While something is left the answer is behind, even if the clock stands still.
    let behind = reading.next_arrival.map_or(0, |arrival| now.since(arrival).as_millis().max(1));
    let millis_behind = u64::try_from(behind).unwrap_or(u64::MAX);
    let mut next = from;
    let records = reading.read(|record| {
        next = record.sequence + 1;
        RecordAnswer {
            sequence_number: stream.sequence_number(number, record.sequence),
            approximate_arrival_timestamp: seconds(record.arrival),
            data: BASE64.encode_to_string(record.data),
            partition_key: record.partition_key.to_owned(),
            encryption_type,
        }
    });
    Ok(ShardRead { records: records.map_err(failed)?, next, millis_behind, child_shards })
}

/// GetRecords; `iterator` belongs to `stream`.
pub(super) fn get_records(
    stream: &Stream,
    iterator: ShardIterator,
    limit: Option<i64>,
    rates: &KinesisLimits,
    now: Timestamp,
) -> Result<GetRecordsAnswer, KinesisError> {
    let place = stream.place(iterator.shard);
    if !rates.admit_get(place) {
        return Err(KinesisError::throughput_exceeded(&shard_id(iterator.shard), &stream.name));
    }
    let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(ANSWER_RECORDS_MAX);
    let bounds = (limit, ANSWER_BYTES_MAX);
    let read = read_shard(stream, stream.layout()?, iterator.shard, iterator.from, bounds, now)?;
    rates.charge_get(place, read.records.iter().map(RecordAnswer::bytes).sum());
    let next = || ShardIterator { from: read.next, issued: now, ..iterator }.to_text();
    Ok(GetRecordsAnswer {
        next_shard_iterator: read.child_shards.is_none().then(next),
        records: read.records,
        millis_behind_latest: read.millis_behind,
        child_shards: read.child_shards,
    })
}

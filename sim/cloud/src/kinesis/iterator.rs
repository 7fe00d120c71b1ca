//! Shard iterators: opaque text that says where to read next, and when it was given out.

use std::time::Duration;

use lakebed_contract::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::describe::from_seconds;
use super::description::shard_id;
use super::error::{ACCOUNT, KinesisError};
use super::opaque;
use super::sequence_number::SequenceNumber;
use super::shard::Shard;
use super::shard_log::ShardLog;
use super::stream::{Layout, Stream};
use super::wire::GetShardIterator;
use crate::limits::kinesis::KinesisLimits;

/// An iterator older than this is refused.
pub(super) const ITERATOR_LIFETIME: Duration = Duration::from_secs(300);

/// A place in a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShardIterator {
    pub(super) stream: String,
    /// Creation of the stream: an iterator does not outlive it.
    pub(super) created: Timestamp,
    pub(super) shard: u32,
    /// Sequence of the next record, or less.
    pub(super) from: u64,
    pub(super) issued: Timestamp,
}

impl ShardIterator {
    pub(super) fn to_text(&self) -> String {
        opaque::to_text(self)
    }

    /// Reads an iterator and refuses an expired one.
    pub(super) fn parse(text: &str, now: Timestamp) -> Result<Self, KinesisError> {
        let iterator: Option<Self> = opaque::parse(text);
        let iterator = iterator.ok_or_else(|| KinesisError::invalid_argument("Invalid ShardIterator."))?;
        if now.since(iterator.issued) > ITERATOR_LIFETIME {
            return Err(KinesisError::expired_iterator(format!(
                "Iterator expired. The iterator was created at time {} while right now it is {} which is further in the \
                 future than the tolerated delay of {} milliseconds.",
                in_words(iterator.issued),
                in_words(now),
                ITERATOR_LIFETIME.as_millis()
            )));
        }
        Ok(iterator)
    }
}

/// `Thu Jan 22 01:22:02 UTC 2015`, as Java prints a date.
fn in_words(at: Timestamp) -> String {
    at.to_datetime().format("%a %b %d %H:%M:%S UTC %Y").to_string()
}

/// Where a reader asks to begin, and by which operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position<'a> {
    pub(super) operation: &'static str,
    pub(super) kind: &'a str,
    pub(super) sequence_number: Option<&'a str>,
    pub(super) timestamp: Option<f64>,
}

/// The sequence at which a position lies, or less; `layout` holds the shard.
pub(super) fn first_sequence(
    stream: &Stream,
    layout: &Layout,
    shard: &Shard,
    position: Position<'_>,
    now: Timestamp,
) -> Result<u64, KinesisError> {
    let start = Start::of(stream, position, shard.number, now)?;
    let mut log = shard.log();
    log.trim(layout.description.horizon(now)).map_err(|error| KinesisError::internal("trim a shard", &error))?;
    Ok(start.sequence(&log))
}

/// GetShardIterator.
pub(super) fn get_shard_iterator(
    stream: &Stream,
    request: &GetShardIterator,
    rates: &KinesisLimits,
    now: Timestamp,
) -> Result<Value, KinesisError> {
    let id = request.shard_id.as_deref().unwrap_or_default();
    let layout = stream.layout()?;
    let number = layout.description.shard_called(id).map(|shard| shard.number);
    let shard = number.and_then(|number| layout.shard(number)).ok_or_else(|| shard_not_found(stream, id))?;
    if !rates.admit_iterator(stream.place(shard.number)) {
        return Err(KinesisError::throughput_exceeded(id, &stream.name));
    }
    let position = Position {
        operation: "GetShardIterator",
        kind: request.shard_iterator_type.as_deref().unwrap_or_default(),
        sequence_number: request.starting_sequence_number.as_deref(),
        timestamp: request.timestamp,
    };
    let from = first_sequence(stream, &layout, shard, position, now)?;
    let iterator =
        ShardIterator { stream: stream.name.clone(), created: stream.created, shard: shard.number, from, issued: now };
    Ok(json!({ "ShardIterator": iterator.to_text() }))
}

/// The words for a shard that GetShardIterator or GetRecords does not find.
pub(super) fn shard_not_found(stream: &Stream, id: &str) -> KinesisError {
    let name = &stream.name;
    KinesisError::not_found(format!("Shard {id} in stream {name} under account {ACCOUNT} does not exist"))
}

/// Where an iterator begins.
#[derive(Clone, Copy, Debug)]
enum Start {
    Oldest,
    BehindNewest,
    Sequence(u64),
    Moment(Timestamp),
}

impl Start {
    fn of(stream: &Stream, position: Position<'_>, shard: u32, now: Timestamp) -> Result<Self, KinesisError> {
        let sequence_of = |given| sequence_of(stream, shard, position.operation, given);
        match (position.kind, position.sequence_number) {
            ("TRIM_HORIZON", None) => Ok(Self::Oldest),
            ("LATEST", None) => Ok(Self::BehindNewest),
            ("AT_TIMESTAMP", None) => Self::moment(position.timestamp, now),
            ("AT_SEQUENCE_NUMBER", Some(given)) => Ok(Self::Sequence(sequence_of(given)?)),
            ("AFTER_SEQUENCE_NUMBER", Some(given)) => Ok(Self::Sequence(sequence_of(given)?.saturating_add(1))),
            (kind, given) => {
                let given = if given.is_some() { "and also a" } else { "and no" };
                Err(KinesisError::invalid_argument(format!(
                    "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) \
                     TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified {kind} {given} \
                     StartingSequenceNumber."
                )))
            }
        }
    }

    fn moment(given: Option<f64>, now: Timestamp) -> Result<Self, KinesisError> {
        let at = from_seconds(given.ok_or_else(|| {
            KinesisError::invalid_argument(
                "Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request has no timestamp \
                 parameter.",
            )
        })?);
        if at.millis() > now.millis() {
            return Err(KinesisError::invalid_argument(format!(
                "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: {}, \
                 currentTimestampInMillis: {}",
                at.millis(),
                now.millis()
            )));
        }
        Ok(Self::Moment(at))
    }

    fn sequence(self, log: &ShardLog) -> u64 {
        match self {
            Self::Oldest => 0,
            Self::BehindNewest => log.tip().sequence + 1,
            Self::Sequence(sequence) => sequence,
            Self::Moment(at) => log.sequence_at(at),
        }
    }
}

fn sequence_of(stream: &Stream, shard: u32, operation: &str, given: &str) -> Result<u64, KinesisError> {
    let id = shard_id(shard);
    let used = format!(
        "StartingSequenceNumber {given} used in {operation} on shard {id} in stream {} under account {ACCOUNT} is invalid",
        stream.name
    );
    let number = SequenceNumber::parse(given).ok_or_else(|| KinesisError::invalid_argument(format!("{used}.")))?;
    if number.shard != shard {
        let encoded = shard_id(number.shard);
        return Err(KinesisError::invalid_argument(format!(
            "Invalid StartingSequenceNumber. It encodes {encoded}, while it was used in a call to a shard with {id}"
        )));
    }
    if !stream.has_given(number) {
        return Err(KinesisError::invalid_argument(format!("{used} because it did not come from this stream.")));
    }
    Ok(number.sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_iterator_reads_back_until_it_expires() {
        let issued = Timestamp::from_seconds(1000);
        let iterator = ShardIterator { stream: "s".to_owned(), created: issued, shard: 1, from: 7, issued };
        let text = iterator.to_text();
        assert_eq!(ShardIterator::parse(&text, Timestamp::from_seconds(1300)).expect("alive"), iterator);
        let expired = ShardIterator::parse(&text, Timestamp::from_seconds(1301)).expect_err("expired");
        assert_eq!(
            expired.to_string(),
            "ExpiredIteratorException: Iterator expired. The iterator was created at time Thu Jan 01 00:16:40 UTC 1970 while \
             right now it is Thu Jan 01 00:21:41 UTC 1970 which is further in the future than the tolerated delay of 300000 \
             milliseconds."
        );
        assert_eq!(ShardIterator::parse("x", issued).expect_err("nonsense").code(), "InvalidArgumentException");
    }
}

//! Shard iterators: opaque text that says where to read next, and when it was given out.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lakebed_contract::Timestamp;
use serde::{Deserialize, Serialize};

use super::wire::KinesisError;

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
        BASE64_STANDARD.encode(serde_json::to_vec(self).expect("an iterator is plain data"))
    }

    /// Reads an iterator and refuses an expired one.
    pub(super) fn parse(text: &str, now: Timestamp) -> Result<Self, KinesisError> {
        let bytes = BASE64_STANDARD.decode(text).ok();
        let iterator: Option<Self> = bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        let iterator = iterator.ok_or_else(|| KinesisError::invalid_argument("Invalid ShardIterator."))?;
        if now.since(iterator.issued) > ITERATOR_LIFETIME {
            return Err(KinesisError::expired_iterator(format!(
                "Iterator expired. The iterator was created at time {} while right now it is {now} which is further in \
                 the future than the tolerated delay of {} milliseconds.",
                iterator.issued,
                ITERATOR_LIFETIME.as_millis()
            )));
        }
        Ok(iterator)
    }
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
        assert_eq!(expired.code(), "ExpiredIteratorException");
        assert_eq!(ShardIterator::parse("x", issued).expect_err("nonsense").code(), "InvalidArgumentException");
    }
}

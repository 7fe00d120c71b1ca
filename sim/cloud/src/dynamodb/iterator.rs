//! Identifiers of the Streams API: shard ids, sequence numbers, shard iterators.
//!
//! Shapes follow the service model (shard ids 28–65 characters, sequence numbers 21–40 digits of fixed width, so that
//! text order is number order). A shard iterator is self-contained: stream, position, moment of issue. Nothing here
//! reads a database.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lakebed_contract::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::arns::stream_arn;

/// AWS lets a shard iterator live this long.
pub(super) const ITERATOR_LIFETIME: Duration = Duration::from_secs(15 * 60);

/// Added to a record id to give its sequence number 21 digits.
const SEQUENCE_NUMBER_OFFSET: i128 = 100_000_000_000_000_000_000;

/// The id of a stream's shard: the second the stream was made, plus the shard's number so that ids are in the order of shards,
/// and a digest of the ARN.
pub(super) fn shard_id(table: &str, label: &str, number: i64) -> String {
    let second: i64 = label.split('.').next().and_then(|second| second.parse().ok()).unwrap_or(0);
    let arn = stream_arn(table, label);
    let digest = if number == 0 { digest(&arn) } else { digest(&format!("{arn}/{number}")) };
    format!("shardId-{:020}-{}", second.saturating_add(number), &digest[..8])
}

/// An event id: unique per change, the same whenever the change is read.
pub(super) fn event_id(arn: &str, id: i64) -> String {
    digest(&format!("{arn}#{id}"))
}

fn digest(text: &str) -> String {
    Sha256::digest(text.as_bytes())[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The public form of a record id.
pub(super) fn sequence_number(id: i64) -> String {
    (SEQUENCE_NUMBER_OFFSET + i128::from(id)).to_string()
}

/// The record id a sequence number stands for.
pub(super) fn parse_sequence_number(text: &str) -> Option<i64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i128 = text.parse().ok()?;
    i64::try_from(number.checked_sub(SEQUENCE_NUMBER_OFFSET)?).ok().filter(|id| *id > 0)
}

/// Where a consumer stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ShardIterator {
    /// Stream it reads.
    pub(super) stream_arn: String,
    /// Number of the shard it reads.
    pub(super) shard: i64,
    /// Everything up to this record id has been read.
    pub(super) position: i64,
    /// When it was handed out.
    pub(super) issued: Timestamp,
}

impl ShardIterator {
    /// The opaque form.
    pub(super) fn encode(&self) -> String {
        let json = serde_json::to_vec(self).expect("a struct of text and numbers always serialises");
        URL_SAFE_NO_PAD.encode(json)
    }

    /// Reads the opaque form.
    pub(super) fn decode(text: &str) -> Option<Self> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()
    }

    /// Whether it is too old to use.
    pub(super) fn expired(&self, now: Timestamp) -> bool {
        now.since(self.issued) > ITERATOR_LIFETIME
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_have_the_lengths_of_the_service_model() {
        for table in ["abc", "a-table-name-that-is-rather-long-and_has.dots"] {
            let id = |number| shard_id(table, "1761000000.123456789", number);
            assert!((28..=65).contains(&id(0).len()), "{}", id(0));
            assert!(id(9) < id(10), "shards are in the order of their ids");
        }
        for id in [1, 10, i64::MAX] {
            let number = sequence_number(id);
            assert_eq!(number.len(), 21);
            assert_eq!(parse_sequence_number(&number), Some(id));
        }
        assert!(sequence_number(9) < sequence_number(10));
    }

    #[test]
    fn numbers_never_given_out_stand_for_nothing() {
        for text in ["", "5", "+100000000000000000005", "100000000000000000000", "x", &"9".repeat(40)] {
            assert_eq!(parse_sequence_number(text), None, "{text}");
        }
    }

    #[test]
    fn an_iterator_survives_its_opaque_form_and_expires() {
        let issued = Timestamp::from_seconds(1_000);
        let iterator = ShardIterator { stream_arn: "arn".to_owned(), shard: 2, position: 7, issued };
        assert_eq!(ShardIterator::decode(&iterator.encode()), Some(iterator.clone()));
        assert_eq!(ShardIterator::decode("garbage!"), None);
        assert!(!iterator.expired(issued.plus(ITERATOR_LIFETIME)));
        assert!(iterator.expired(issued.plus(ITERATOR_LIFETIME + Duration::from_secs(1))));
    }
}

//! The records of a PutRecords as they cross the wire, and what becomes of them.
//!
//! Keys and data are borrowed from the request's body. Judges nothing.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::records::REQUEST_RECORDS_MAX;

/// Text that is copied only if JSON has escapes in it.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// One record of a PutRecords.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutRecordsEntry<'a> {
    #[serde(borrow)]
    pub(super) data: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) partition_key: Option<Text<'a>>,
    pub(super) explicit_hash_key: Option<String>,
}

/// The records of a PutRecords. Only as many as one request may have are kept: a body of nothing but `{}` would otherwise take
/// many times its size.
pub(super) struct Records<'a> {
    pub(super) kept: Vec<PutRecordsEntry<'a>>,
    /// Of all there are.
    pub(super) count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Records<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RecordsVisitor)
    }
}

struct RecordsVisitor;

impl<'de> Visitor<'de> for RecordsVisitor {
    type Value = Records<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Records<'de>, A::Error> {
        let mut kept = Vec::new();
        while kept.len() < REQUEST_RECORDS_MAX {
            let Some(entry) = elements.next_element()? else { return Ok(Records { count: kept.len(), kept }) };
            kept.push(entry);
        }
        let mut count = kept.len();
        while elements.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Records { kept, count })
    }
}

/// Answer of PutRecords.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PutRecordsAnswer {
    pub(super) failed_record_count: usize,
    /// In the order of the request.
    pub(super) records: Vec<PutAnswer>,
    pub(super) encryption_type: &'static str,
}

/// What became of one record of a PutRecords.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum PutAnswer {
    #[serde(rename_all = "PascalCase")]
    Put { sequence_number: String, shard_id: String },
    #[serde(rename_all = "PascalCase")]
    Failed { error_code: &'static str, error_message: String },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::wire::PutRecords;

    #[test]
    fn more_records_than_a_request_may_have_are_counted_and_not_kept() {
        let of = |count: usize| {
            let body = format!(r#"{{"Records":[{}]}}"#, vec![r#"{"PartitionKey":"k"}"#; count].join(","));
            let request: PutRecords<'_> = serde_json::from_str(&body).expect("JSON");
            request.records.map(|records| (records.kept.len(), records.count))
        };
        for count in [0, 1, REQUEST_RECORDS_MAX] {
            assert_eq!(of(count), Some((count, count)));
        }
        assert_eq!(of(REQUEST_RECORDS_MAX + 7), Some((REQUEST_RECORDS_MAX, REQUEST_RECORDS_MAX + 7)));
    }
}

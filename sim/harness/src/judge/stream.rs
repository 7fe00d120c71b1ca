//! The Kinesis stream as the judge sees it: which changes it holds, and where each first stands.
//!
//! Reads every shard from its oldest record to its tip through the API. A change is known by (commit LSN, ordinal), read from
//! the record's own metadata; its row is skipped. Changes nothing: reading Kinesis consumes nothing.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use lakebed_contract::Lsn;
use lakebed_contract::endpoints::Endpoints;
use lakebed_contract::layout::KINESIS_STREAM;
use serde::{Deserialize, Serialize};

use super::error::JudgeError;
use super::raw_records::{Frame, frame};

/// A Kinesis sequence number: decimal digits, too many for any integer type; ordered as a number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequenceNumber(pub String);

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let digits = |number: &Self| number.0.trim_start_matches('0').len();
        let significant = |number: &Self| number.0.len() - digits(number);
        digits(self).cmp(&digits(other)).then_with(|| self.0[significant(self)..].cmp(&other.0[significant(other)..]))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Shard → a place in it.
pub type ShardPlaces = BTreeMap<String, SequenceNumber>;

/// The changes of one transaction that the stream holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    /// Distinct ordinals.
    ordinals: HashSet<u64>,
    /// Where the last of them appeared for the first time, by shard.
    pub(super) complete_at: ShardPlaces,
}

impl Held {
    /// How many distinct changes.
    pub(super) fn changes(&self) -> u64 {
        self.ordinals.len() as u64
    }

    /// Adds a change; a repetition counts where it was seen first.
    pub(super) fn add(&mut self, ordinal: u64, shard: &str, at: &SequenceNumber) {
        if self.ordinals.insert(ordinal) {
            self.complete_at.insert(shard.to_owned(), at.clone());
        }
    }
}

/// What the stream holds.
#[derive(Debug, Default)]
pub(super) struct StreamContent {
    /// By commit LSN.
    pub(super) transactions: HashMap<Lsn, Held>,
    /// All records.
    pub(super) records: u64,
    /// Records that are no envelope, or changes without a position.
    pub(super) unreadable: u64,
}

impl StreamContent {
    pub(super) fn add(&mut self, shard: &str, at: &SequenceNumber, data: &[u8]) {
        self.records += 1;
        match frame(data) {
            Frame::Change { commit_lsn, ordinal } => {
                self.transactions.entry(commit_lsn).or_default().add(ordinal, shard, at);
            }
            Frame::Other => {}
            Frame::Unreadable => self.unreadable += 1,
        }
    }
}

/// Reads the whole stream; an absent one is empty.
pub(super) async fn read(endpoints: &Endpoints) -> Result<StreamContent, JudgeError> {
    let client = Client::new(&endpoints.sdk_config(&endpoints.kinesis_url));
    let mut content = StreamContent::default();
    for shard in shards(&client).await? {
        let what = || format!("kinesis://{KINESIS_STREAM}/{shard}");
        let request = client.get_shard_iterator().stream_name(KINESIS_STREAM).shard_id(&shard);
        let answer = request.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
        let mut next = answer.map_err(|error| JudgeError::store(what(), error))?.shard_iterator;
        while let Some(iterator) = next {
            let page = client.get_records().shard_iterator(iterator).send().await;
            let page = page.map_err(|error| JudgeError::store(what(), error))?;
            for record in page.records() {
                let at = SequenceNumber(record.sequence_number().to_owned());
                content.add(&shard, &at, record.data().as_ref());
            }
            let at_tip = page.records().is_empty() && page.millis_behind_latest().unwrap_or(0) == 0;
            next = page.next_shard_iterator.filter(|_| !at_tip);
        }
    }
    Ok(content)
}

async fn shards(client: &Client) -> Result<Vec<String>, JudgeError> {
    let what = || format!("kinesis://{KINESIS_STREAM}");
    let mut shards = Vec::new();
    let mut token: Option<String> = None;
    loop {
        let request = client.list_shards();
        let request = match token.take() {
            // A continued listing names the token alone.
            Some(token) => request.next_token(token),
            None => request.stream_name(KINESIS_STREAM),
        };
        let answer = match request.send().await {
            Ok(answer) => answer,
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception()) => {
                return Ok(shards);
            }
            Err(error) => return Err(JudgeError::store(what(), error)),
        };
        shards.extend(answer.shards().iter().map(|shard| shard.shard_id().to_owned()));
        token = answer.next_token;
        if token.is_none() {
            return Ok(shards);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> SequenceNumber {
        SequenceNumber(text.to_owned())
    }

    #[test]
    fn sequence_numbers_are_ordered_as_numbers() {
        assert!(number("9") < number("10"));
        assert!(number("0010") > number("9"));
        assert!(number(&"9".repeat(56)) < number(&format!("1{}", "0".repeat(56))));
        assert_eq!(number("12").cmp(&number("012")), Ordering::Equal);
    }

    #[test]
    fn a_change_counts_once_and_where_it_came_first() {
        let record = |ordinal: u64| {
            format!(
                r#"{{"data":{{}},"metadata":{{"record-type":"data","operation":"insert","schema-name":"s","stream-position":"00000000/0000000A.{ordinal}.00000000/00000009"}}}}"#
            )
        };
        let mut content = StreamContent::default();
        for (at, data) in [("1", record(1)), ("2", record(2)), ("3", record(1)), ("4", "{}".to_owned())] {
            content.add("a", &number(at), data.as_bytes());
        }
        let held = &content.transactions[&Lsn(10)];
        assert_eq!((held.changes(), &held.complete_at["a"]), (2, &number("2")));
        assert_eq!((content.records, content.unreadable), (4, 1));
    }
}

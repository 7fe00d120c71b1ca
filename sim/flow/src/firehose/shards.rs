//! Reads a Kinesis stream from its beginning: which shards there are, and how far each has been read.
//!
//! Promises: parents before children; a page counts as read only after [`Shards::advance`], so a failed page is read again;
//! an iterator that expired or was lost is taken anew behind the last sequence number. Positions live in memory: after a
//! restart everything the stream still holds is read again (at least once).

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use lakebed_contract::{Clock, Timestamp};

use super::transform::SourceRecord;
use crate::error::FlowError;

/// Records of one GetRecords call: the API's maximum.
pub const PAGE_RECORDS_MAX: i32 = 10_000;
/// How often new shards are looked for while nothing ends.
pub const SHARD_LIST_INTERVAL: Duration = Duration::from_secs(30);
/// Shards of one stream; more is refused.
pub const SHARDS_MAX: usize = 1_000;

/// Positions in all shards of a stream.
#[derive(Debug)]
pub(crate) struct Shards {
    client: Client,
    stream: String,
    clock: Clock,
    shards: BTreeMap<String, Shard>,
    listed_at: Option<Duration>,
}

#[derive(Debug, Default)]
struct Shard {
    parents: Vec<String>,
    iterator: Option<String>,
    /// Sequence number of the last record that was read.
    read_to: Option<String>,
    has_ended: bool,
}

/// What one GetRecords call gave.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) records: Vec<SourceRecord>,
    /// Nothing lay behind this page when it was read.
    pub(crate) is_last: bool,
    next_iterator: Option<String>,
    /// How far behind the newest record of the shard this page is, as Kinesis tells it.
    pub(crate) behind_ms: u64,
}

impl Shards {
    pub(crate) fn new(client: Client, stream: &str, clock: Clock) -> Self {
        Self { client, stream: stream.to_owned(), clock, shards: BTreeMap::new(), listed_at: None }
    }

    /// Lists the shards, unless that was done lately and nothing ended since.
    pub(crate) async fn refresh_if_due(&mut self) -> Result<(), FlowError> {
        match self.listed_at {
            Some(at) if self.clock.monotonic().saturating_sub(at) < SHARD_LIST_INTERVAL => Ok(()),
            _ => self.refresh().await,
        }
    }

    /// Lists the shards.
    pub(crate) async fn refresh(&mut self) -> Result<(), FlowError> {
        let mut token: Option<String> = None;
        loop {
            let request = self.client.list_shards();
            let request = match token.take() {
                // A continued listing names the token alone.
                Some(token) => request.next_token(token),
                None => request.stream_name(&self.stream),
            };
            let answer =
                request.send().await.map_err(|error| FlowError::store("Kinesis", "ListShards", &self.stream, error))?;
            for shard in answer.shards() {
                let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
                let parents: Vec<String> = parents.into_iter().flatten().map(str::to_owned).collect();
                self.shards.entry(shard.shard_id().to_owned()).or_insert(Shard { parents, ..Shard::default() });
            }
            if self.shards.len() > SHARDS_MAX {
                let reason = format!("it has more than {SHARDS_MAX} shards");
                return Err(FlowError::Config { name: self.stream.clone(), reason });
            }
            token = answer.next_token().map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        self.listed_at = Some(self.clock.monotonic());
        Ok(())
    }

    /// Shards that may be read now: not ended, with all parents ended (or aged out of the stream).
    pub(crate) fn readable(&self) -> Vec<String> {
        let has_ended = |id: &String| self.shards.get(id).is_none_or(|shard| shard.has_ended);
        let is_readable = |shard: &Shard| !shard.has_ended && shard.parents.iter().all(has_ended);
        self.shards.iter().filter(|(_, shard)| is_readable(shard)).map(|(id, _)| id.clone()).collect()
    }

    /// Reads the next page of a shard without moving on.
    pub(crate) async fn read(&mut self, shard_id: &str) -> Result<Page, FlowError> {
        let iterator = self.iterator(shard_id).await?;
        let sent = self.client.get_records().shard_iterator(iterator).limit(PAGE_RECORDS_MAX).send().await;
        let answer = sent.map_err(|error| {
            // Whatever went wrong, the iterator may be the reason; the next attempt takes a new one.
            self.shards.entry(shard_id.to_owned()).or_default().iterator = None;
            FlowError::store("Kinesis", "GetRecords", &format!("{}/{shard_id}", self.stream), error)
        })?;
        let next_iterator = answer.next_shard_iterator().map(str::to_owned);
        let behind_ms = answer.millis_behind_latest().and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
        let is_last = answer.records().is_empty() && behind_ms == 0;
        let now = self.clock.now();
        let records = answer
            .records
            .into_iter()
            .map(|record| SourceRecord {
                shard_id: shard_id.to_owned(),
                arrival: record
                    .approximate_arrival_timestamp
                    .map_or(now, |at| Timestamp(i64::try_from(at.as_nanos() / 1_000).unwrap_or(now.0))),
                sequence_number: record.sequence_number,
                partition_key: record.partition_key.unwrap_or_default(),
                data: record.data.into_inner(),
            })
            .collect();
        Ok(Page { records, is_last, next_iterator, behind_ms })
    }

    /// The page's records are safe: the next read continues behind them. `last` is the sequence number of the last one.
    pub(crate) fn advance(&mut self, shard_id: &str, last: Option<String>, next_iterator: Option<String>) {
        let Some(shard) = self.shards.get_mut(shard_id) else { return };
        shard.has_ended = next_iterator.is_none();
        shard.iterator = next_iterator;
        shard.read_to = last.or(shard.read_to.take());
        if shard.has_ended {
            self.listed_at = None; // its children may be new
        }
    }

    async fn iterator(&self, shard_id: &str) -> Result<String, FlowError> {
        let shard = self.shards.get(shard_id);
        if let Some(iterator) = shard.and_then(|shard| shard.iterator.clone()) {
            return Ok(iterator);
        }
        let request = self.client.get_shard_iterator().stream_name(&self.stream).shard_id(shard_id);
        let request = match shard.and_then(|shard| shard.read_to.clone()) {
            Some(sequence) => {
                request.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).starting_sequence_number(sequence)
            }
            None => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
        };
        let target = format!("{}/{shard_id}", self.stream);
        let answer =
            request.send().await.map_err(|error| FlowError::store("Kinesis", "GetShardIterator", &target, error))?;
        answer.shard_iterator().map(str::to_owned).ok_or(FlowError::Incomplete {
            service: "Kinesis",
            operation: "GetShardIterator",
            target,
            missing: "ShardIterator",
        })
    }
}

impl Page {
    /// Takes the records out and leaves what [`Shards::advance`] needs: the last sequence number and the next iterator.
    pub(crate) fn into_parts(self) -> (Vec<SourceRecord>, Option<String>, Option<String>) {
        let last = self.records.last().map(|record| record.sequence_number.clone());
        (self.records, last, self.next_iterator)
    }
}

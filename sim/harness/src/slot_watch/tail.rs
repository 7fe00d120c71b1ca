//! How far the stream goes: the last sequence number of each shard, read through the API as any consumer would.

use std::collections::BTreeMap;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use lakebed_contract::endpoints::Endpoints;
use lakebed_contract::layout::KINESIS_STREAM;

use crate::judge::{SequenceNumber, ShardPlaces};

/// Why the tip could not be read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read the tip of `{KINESIS_STREAM}`")]
pub(super) struct TailError(#[source] Box<dyn std::error::Error + Send + Sync>);

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> TailError {
    TailError(Box::new(error))
}

/// Places in the shards, kept between reads.
pub(super) struct Tail {
    client: Client,
    shards: BTreeMap<String, Shard>,
}

#[derive(Default)]
struct Shard {
    iterator: Option<String>,
    last: Option<SequenceNumber>,
    closed: bool,
}

impl Tail {
    pub(super) fn new(endpoints: &Endpoints) -> Self {
        let client = Client::new(&endpoints.sdk_config(&endpoints.kinesis_url));
        Self { client, shards: BTreeMap::new() }
    }

    /// Reads what is new in every shard and throws it away; gives the last sequence number of each.
    pub(super) async fn read_to_tip(&mut self) -> Result<ShardPlaces, TailError> {
        let mut must_list = self.shards.is_empty();
        loop {
            if must_list {
                self.list().await?;
            }
            must_list = false;
            let names: Vec<String> = self.shards.keys().cloned().collect();
            for name in names {
                // A shard that ends has children, which may hold records already.
                must_list |= self.read_shard(&name).await?;
            }
            if !must_list {
                break;
            }
        }
        let places = self.shards.iter().filter_map(|(name, shard)| Some((name.clone(), shard.last.clone()?)));
        Ok(places.collect())
    }

    /// Whether the shard has just ended.
    async fn read_shard(&mut self, name: &str) -> Result<bool, TailError> {
        let shard = self.shards.entry(name.to_owned()).or_default();
        while !shard.closed {
            let iterator = match shard.iterator.take() {
                Some(iterator) => iterator,
                None => {
                    let request = self.client.get_shard_iterator().stream_name(KINESIS_STREAM).shard_id(name);
                    let request = match &shard.last {
                        Some(SequenceNumber(last)) => request
                            .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                            .starting_sequence_number(last),
                        None => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
                    };
                    request.send().await.map_err(failed)?.shard_iterator.unwrap_or_default()
                }
            };
            // An error leaves no iterator behind, so the next read takes a new one: it may have expired.
            let page = self.client.get_records().shard_iterator(iterator).send().await.map_err(failed)?;
            if let Some(record) = page.records().last() {
                shard.last = Some(SequenceNumber(record.sequence_number().to_owned()));
            }
            let at_tip = page.records().is_empty() && page.millis_behind_latest().unwrap_or(0) == 0;
            shard.iterator = page.next_shard_iterator;
            shard.closed = shard.iterator.is_none();
            if shard.closed {
                return Ok(true);
            }
            if at_tip {
                break;
            }
        }
        Ok(false)
    }

    async fn list(&mut self) -> Result<(), TailError> {
        let mut token: Option<String> = None;
        loop {
            let request = self.client.list_shards();
            let request = match token.take() {
                // A continued listing names the token alone.
                Some(token) => request.next_token(token),
                None => request.stream_name(KINESIS_STREAM),
            };
            let answer = request.send().await.map_err(failed)?;
            for shard in answer.shards() {
                self.shards.entry(shard.shard_id().to_owned()).or_default();
            }
            token = answer.next_token;
            if token.is_none() {
                return Ok(());
            }
        }
    }
}

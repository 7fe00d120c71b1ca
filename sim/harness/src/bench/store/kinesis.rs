//! Calls of Kinesis Data Streams. What is timed goes over the bare wire; everything around it through the SDK.

use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::types::{ShardIteratorType, StreamStatus};
use bytes::Bytes;
use data_encoding::BASE64;
use lakebed_contract::Clock;
use serde_json::{Value, json};

use super::connections::Plan;
use super::wire::{Ask, Service};
use super::{ACTIVE_LOOK_PAUSE, ACTIVE_LOOKS_MAX, Calls, content, never_active, reply};
use crate::bench::order::Reply;
use crate::error::HarnessError;

/// Records of one PutRecords: AWS's limit.
const REQUEST_RECORDS: u32 = 500;
/// Bytes of one record: about those of a DMS envelope.
const RECORD_BYTES: usize = 600;
/// Empty answers in a row after which a stream counts as read.
const EMPTY_READS_MAX: u32 = 3;
/// Bytes of the answer to a PutRecords: a sequence number of 56 digits and a shard a record.
pub(super) const PUT_ANSWER_BYTES: usize = 111 * REQUEST_RECORDS as usize;
/// Bytes of the answer to a GetRecords: data in base64, sequence number, partition key and time a record.
pub(super) const GET_ANSWER_BYTES: usize = (RECORD_BYTES / 3 * 4 + 165) * REQUEST_RECORDS as usize;
const READ: &str = "read the stream back";

impl Calls {
    async fn stream(&self) -> Result<aws_sdk_kinesis::Client, HarnessError> {
        let config = self.endpoints.sdk_config(&self.endpoints.kinesis_url).into_builder();
        let kinesis = aws_sdk_kinesis::Client::new(&config.retry_config(RetryConfig::disabled()).build());
        create_stream(&kinesis, &self.name, &self.timer.clock).await?;
        Ok(kinesis)
    }

    /// Requests are made before the first is sent: making one takes as long as some stores take to answer it.
    pub(super) fn put_records_calls(&self) -> Plan {
        let requests: Vec<Bytes> = (0..self.operations).map(|at| self.request(at)).collect();
        Plan::new(Service::Kinesis, self.operations, move |at| Ask::Json("PutRecords", requests[at as usize].clone()))
    }

    pub(super) fn get_records_calls(&self, iterator: &str) -> Plan {
        let get = Bytes::from(json!({"ShardIterator": iterator, "Limit": REQUEST_RECORDS}).to_string());
        Plan::new(Service::Kinesis, self.operations, move |_| Ask::Json("GetRecords", get.clone()))
    }

    /// PutRecords of 500 records.
    pub(super) async fn put_records(self) -> Result<Reply, HarnessError> {
        let kinesis = self.stream().await?;
        let (answers, figures) = self.make(self.put_records_calls(), |_, answer| answer.success()).await?;
        let mut refused = 0;
        for answer in answers {
            refused += answer.json()?["FailedRecordCount"].as_i64().unwrap_or(0);
        }
        let (records, bytes) = read_stream(&kinesis, &self.name).await?;
        Ok(reply([("refused", refused), ("records", records), ("bytes", bytes)], figures))
    }

    /// GetRecords of 500 records, each time from the beginning of the stream.
    pub(super) async fn get_records(self) -> Result<Reply, HarnessError> {
        let kinesis = self.stream().await?;
        self.wire(Service::Kinesis).json("PutRecords", self.request(0)).await?.success()?;
        let shards = kinesis.list_shards().stream_name(&self.name).send().await.map_err(HarnessError::stage(READ))?;
        let shard = shards.shards().first().ok_or("it has no shard").map_err(HarnessError::stage(READ))?;
        let first = kinesis.get_shard_iterator().stream_name(&self.name).shard_id(shard.shard_id());
        let first = first.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
        let first = first.map_err(HarnessError::stage(READ))?;
        let iterator = first.shard_iterator().ok_or("there is no iterator").map_err(HarnessError::stage(READ))?;
        let (pages, figures) = self.make(self.get_records_calls(iterator), |_, answer| answer.success()).await?;
        let (mut records, mut bytes) = (0, 0);
        for page in pages {
            for record in page.json()?["Records"].as_array().into_iter().flatten() {
                let data = BASE64.decode(record["Data"].as_str().unwrap_or_default().as_bytes());
                records += 1;
                bytes += data.map_err(HarnessError::stage(READ))?.len() as i64;
            }
        }
        Ok(reply([("records", records), ("bytes", bytes)], figures))
    }

    fn request(&self, at: u32) -> Bytes {
        let records = (0..REQUEST_RECORDS).map(|record| {
            let data = BASE64.encode(&content(at * REQUEST_RECORDS + record, RECORD_BYTES));
            json!({"PartitionKey": "dm_core.review", "Data": data})
        });
        let records: Vec<Value> = records.collect();
        Bytes::from(json!({"StreamName": self.name, "Records": records}).to_string())
    }
}

async fn create_stream(kinesis: &aws_sdk_kinesis::Client, name: &str, clock: &Clock) -> Result<(), HarnessError> {
    const CREATE: &str = "create a stream";
    let create = kinesis.create_stream().stream_name(name).shard_count(1).send().await;
    create.map_err(HarnessError::stage(CREATE))?;
    for _ in 0..ACTIVE_LOOKS_MAX {
        let stream = kinesis.describe_stream_summary().stream_name(name).send().await;
        let stream = stream.map_err(HarnessError::stage(CREATE))?;
        if stream.stream_description_summary().map(|summary| summary.stream_status()) == Some(&StreamStatus::Active) {
            return Ok(());
        }
        clock.sleep(ACTIVE_LOOK_PAUSE).await;
    }
    Err(never_active("the stream"))
}

/// Records and bytes of all shards, from the beginning.
async fn read_stream(kinesis: &aws_sdk_kinesis::Client, name: &str) -> Result<(i64, i64), HarnessError> {
    let shards = kinesis.list_shards().stream_name(name).send().await.map_err(HarnessError::stage(READ))?;
    let (mut records, mut bytes) = (0, 0);
    for shard in shards.shards() {
        let first = kinesis.get_shard_iterator().stream_name(name).shard_id(shard.shard_id());
        let first = first.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
        let mut next = first.map_err(HarnessError::stage(READ))?.shard_iterator().map(str::to_owned);
        let mut empty_reads = 0;
        while let Some(iterator) = next {
            let page =
                kinesis.get_records().shard_iterator(iterator).send().await.map_err(HarnessError::stage(READ))?;
            records += page.records().len() as i64;
            bytes += page.records().iter().map(|record| record.data().as_ref().len() as i64).sum::<i64>();
            empty_reads = if page.records().is_empty() { empty_reads + 1 } else { 0 };
            let at_end = page.millis_behind_latest() == Some(0) && !page.records().is_empty();
            next = (empty_reads < EMPTY_READS_MAX && !at_end)
                .then(|| page.next_shard_iterator().map(str::to_owned))
                .flatten();
        }
    }
    Ok((records, bytes))
}

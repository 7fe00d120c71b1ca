//! Calls of one store operation through the AWS SDK, one after another over one connection, as a client of any emulator.
//!
//! Only the calls are timed and only their CPU time is taken; making buckets and tables before, and reading everything back
//! after, is not. What is read back is the answer: a store that forgets is wrong, however fast.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_dynamodb::types as dynamo;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType, StreamStatus};
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::primitives::ByteStream;
use lakebed_contract::{Clock, Endpoints};

use super::definition::{Answers, Operation, Value};
use super::order::{Reply, StoreOrder};
use super::process;
use crate::error::HarnessError;

const SMALL_BYTES: usize = 4 * 1024;
const LARGE_BYTES: usize = 1024 * 1024;
/// Objects that a reading benchmark reads in turn.
const OBJECTS_READ: u32 = 64;
/// Records of one PutRecords: AWS's limit.
const REQUEST_RECORDS: u32 = 500;
/// Bytes of one record: about those of a DMS envelope.
const RECORD_BYTES: usize = 600;
/// Looks at a stream or table that is not yet active.
const ACTIVE_LOOKS_MAX: u32 = 200;
const ACTIVE_LOOK_PAUSE: Duration = Duration::from_millis(50);
/// Empty answers in a row after which a stream counts as read.
const EMPTY_READS_MAX: u32 = 3;

/// Runs one round.
pub(super) async fn run(order: &StoreOrder, clock: &Clock) -> Result<Reply, HarnessError> {
    let calls = Calls {
        endpoints: Endpoints::embedded(order.port),
        name: format!("bench-{}-{}", std::process::id(), order.round),
        operations: order.operations,
        timer: Timer { clock: clock.clone(), server_pid: order.server_pid, latencies: Vec::new() },
    };
    match order.operation {
        Operation::S3Put4k => calls.s3_put().await,
        Operation::S3Get4k => calls.s3_get().await,
        Operation::S3PutGet1m => calls.s3_put_get().await,
        Operation::DynamodbConditionalPut => calls.conditional_put().await,
        Operation::KinesisPutRecords => calls.put_records().await,
    }
}

struct Calls {
    endpoints: Endpoints,
    name: String,
    operations: u32,
    timer: Timer,
}

impl Calls {
    async fn bucket(&self) -> Result<aws_sdk_s3::Client, HarnessError> {
        let config = aws_sdk_s3::config::Builder::from(&self.endpoints.sdk_config(&self.endpoints.s3_url))
            .force_path_style(true)
            .retry_config(RetryConfig::disabled());
        let s3 = aws_sdk_s3::Client::from_conf(config.build());
        s3.create_bucket().bucket(&self.name).send().await.map_err(HarnessError::stage("create a bucket"))?;
        Ok(s3)
    }

    async fn s3_put(mut self) -> Result<Reply, HarnessError> {
        let s3 = self.bucket().await?;
        let window = self.timer.open();
        for at in 0..self.operations {
            let body = ByteStream::from(content(at, SMALL_BYTES));
            let put = s3.put_object().bucket(&self.name).key(key(at)).body(body).send();
            self.timer.call(put).await.map_err(HarnessError::stage("put an object"))?;
        }
        let figures = self.timer.close(window);
        let (mut objects, mut bytes) = (0, 0);
        let mut pages = s3.list_objects_v2().bucket(&self.name).into_paginator().send();
        while let Some(page) = pages.next().await {
            let page = page.map_err(HarnessError::stage("list the objects"))?;
            objects += page.contents().len();
            bytes += page.contents().iter().filter_map(aws_sdk_s3::types::Object::size).sum::<i64>();
        }
        Ok(reply([("objects", objects as i64), ("bytes", bytes)], figures))
    }

    async fn s3_get(mut self) -> Result<Reply, HarnessError> {
        let s3 = self.bucket().await?;
        for at in 0..OBJECTS_READ {
            let body = ByteStream::from(content(at, SMALL_BYTES));
            let put = s3.put_object().bucket(&self.name).key(key(at)).body(body).send().await;
            put.map_err(HarnessError::stage("put an object"))?;
        }
        let window = self.timer.open();
        let (mut bytes, mut equal) = (0, 0);
        for at in 0..self.operations {
            let at = at % OBJECTS_READ;
            let get = read_object(&s3, &self.name, at);
            let body = self.timer.call(get).await?;
            bytes += body.len() as i64;
            equal += i64::from(body == content(at, SMALL_BYTES));
        }
        let figures = self.timer.close(window);
        Ok(reply([("bytes", bytes), ("equal", equal)], figures))
    }

    async fn s3_put_get(mut self) -> Result<Reply, HarnessError> {
        let s3 = self.bucket().await?;
        let window = self.timer.open();
        let (mut bytes, mut equal) = (0, 0);
        for at in 0..self.operations {
            let body = ByteStream::from(content(at, LARGE_BYTES));
            let put = s3.put_object().bucket(&self.name).key(key(at)).body(body).send();
            self.timer.call(put).await.map_err(HarnessError::stage("put an object"))?;
            let get = read_object(&s3, &self.name, at);
            let body = self.timer.call(get).await?;
            bytes += body.len() as i64;
            equal += i64::from(body == content(at, LARGE_BYTES));
        }
        let figures = self.timer.close(window);
        Ok(reply([("bytes", bytes), ("equal", equal)], figures))
    }

    async fn conditional_put(mut self) -> Result<Reply, HarnessError> {
        let config = self.endpoints.sdk_config(&self.endpoints.dynamodb_url).into_builder();
        let db = aws_sdk_dynamodb::Client::new(&config.retry_config(RetryConfig::disabled()).build());
        create_table(&db, &self.name, &self.timer.clock).await?;
        let window = self.timer.open();
        let (mut accepted, mut refused) = (0, 0);
        for at in 0..self.operations * 2 {
            // The second half meets the first's keys.
            let put = db
                .put_item()
                .table_name(&self.name)
                .item("pk", dynamo::AttributeValue::S(key(at % self.operations)))
                .item("status", dynamo::AttributeValue::S("RECEIVED".to_owned()))
                .item("size_bytes", dynamo::AttributeValue::N(at.to_string()))
                .condition_expression("attribute_not_exists(pk)")
                .send();
            match self.timer.call(put).await {
                Ok(_) => accepted += 1,
                Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                    refused += 1;
                }
                Err(error) => return Err(HarnessError::stage("put an item")(error)),
            }
        }
        let figures = self.timer.close(window);
        let mut items = 0;
        let count = db.scan().table_name(&self.name).select(dynamo::Select::Count);
        let mut pages = count.into_paginator().send();
        while let Some(page) = pages.next().await {
            items += i64::from(page.map_err(HarnessError::stage("count the items"))?.count());
        }
        Ok(reply([("accepted", accepted), ("refused", refused), ("items", items)], figures))
    }

    async fn put_records(mut self) -> Result<Reply, HarnessError> {
        let config = self.endpoints.sdk_config(&self.endpoints.kinesis_url).into_builder();
        let kinesis = aws_sdk_kinesis::Client::new(&config.retry_config(RetryConfig::disabled()).build());
        create_stream(&kinesis, &self.name, &self.timer.clock).await?;
        let window = self.timer.open();
        let mut refused = 0;
        for at in 0..self.operations {
            let entries = (0..REQUEST_RECORDS).map(|record| {
                let data = Blob::new(content(at * REQUEST_RECORDS + record, RECORD_BYTES));
                PutRecordsRequestEntry::builder().partition_key("dm_core.review").data(data).build()
            });
            let entries: Vec<_> = entries.collect::<Result<_, _>>().map_err(HarnessError::stage("build records"))?;
            let put = kinesis.put_records().stream_name(&self.name).set_records(Some(entries)).send();
            let answer = self.timer.call(put).await.map_err(HarnessError::stage("put records"))?;
            refused += i64::from(answer.failed_record_count().unwrap_or(0));
        }
        let figures = self.timer.close(window);
        let (records, bytes) = read_stream(&kinesis, &self.name).await?;
        Ok(reply([("refused", refused), ("records", records), ("bytes", bytes)], figures))
    }
}

async fn read_object(s3: &aws_sdk_s3::Client, bucket: &str, at: u32) -> Result<Vec<u8>, HarnessError> {
    let got = s3.get_object().bucket(bucket).key(key(at)).send().await.map_err(HarnessError::stage("get an object"))?;
    let body = got.body.collect().await.map_err(HarnessError::stage("read an object"))?;
    Ok(body.to_vec())
}

async fn create_table(db: &aws_sdk_dynamodb::Client, name: &str, clock: &Clock) -> Result<(), HarnessError> {
    const CREATE: &str = "create a table";
    let attribute = dynamo::AttributeDefinition::builder()
        .attribute_name("pk")
        .attribute_type(dynamo::ScalarAttributeType::S)
        .build()
        .map_err(HarnessError::stage(CREATE))?;
    let key = dynamo::KeySchemaElement::builder()
        .attribute_name("pk")
        .key_type(dynamo::KeyType::Hash)
        .build()
        .map_err(HarnessError::stage(CREATE))?;
    let create = db.create_table().table_name(name).attribute_definitions(attribute).key_schema(key);
    create.billing_mode(dynamo::BillingMode::PayPerRequest).send().await.map_err(HarnessError::stage(CREATE))?;
    for _ in 0..ACTIVE_LOOKS_MAX {
        let table = db.describe_table().table_name(name).send().await.map_err(HarnessError::stage(CREATE))?;
        if table.table().and_then(|table| table.table_status()) == Some(&dynamo::TableStatus::Active) {
            return Ok(());
        }
        clock.sleep(ACTIVE_LOOK_PAUSE).await;
    }
    Err(never_active("the table"))
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

fn never_active(what: &'static str) -> HarnessError {
    let waited_s = u64::from(ACTIVE_LOOKS_MAX) * u64::try_from(ACTIVE_LOOK_PAUSE.as_millis()).unwrap_or(0) / 1000;
    HarnessError::Stuck { what, state: "not active".to_owned(), waited_s }
}

/// Records and bytes of all shards, from the beginning.
async fn read_stream(kinesis: &aws_sdk_kinesis::Client, name: &str) -> Result<(i64, i64), HarnessError> {
    const READ: &str = "read the stream back";
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

/// Times calls, and the server's CPU around all of them.
struct Timer {
    clock: Clock,
    server_pid: u32,
    latencies: Vec<Duration>,
}

struct Window {
    started: Duration,
    before: Option<process::Usage>,
}

impl Timer {
    fn open(&mut self) -> Window {
        Window { before: process::usage(self.server_pid), started: self.clock.monotonic() }
    }

    async fn call<T>(&mut self, call: impl Future<Output = T>) -> T {
        let started = self.clock.monotonic();
        let answer = call.await;
        self.latencies.push(self.clock.monotonic() - started);
        answer
    }

    fn close(&mut self, window: Window) -> BTreeMap<String, f64> {
        let wall = self.clock.monotonic() - window.started;
        let after = process::usage(self.server_pid);
        let calls = self.latencies.len();
        self.latencies.sort_unstable();
        let at = |share: usize| self.latencies.get((calls * share / 100).min(calls.saturating_sub(1)));
        let micros = |share| at(share).map_or(0.0, |latency| latency.as_secs_f64() * 1e6);
        let mut figures = BTreeMap::from([
            ("wall_ms".to_owned(), wall.as_secs_f64() * 1e3),
            ("calls_per_s".to_owned(), calls as f64 / wall.as_secs_f64()),
            ("p50_us".to_owned(), micros(50)),
            ("p99_us".to_owned(), micros(99)),
        ]);
        if let (Some(before), Some(after)) = (window.before, after) {
            figures.insert("server_cpu_ms".to_owned(), after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e3);
            figures.insert("server_peak_rss_bytes".to_owned(), after.peak_rss_bytes as f64);
        }
        figures
    }
}

fn reply<const N: usize>(answers: [(&str, i64); N], figures: BTreeMap<String, f64>) -> Reply {
    let answers: Answers = answers.map(|(name, number)| (name.to_owned(), Value::Number(number))).into();
    Reply { answers, figures }
}

fn key(at: u32) -> String {
    format!("raw/review/{at:08}")
}

/// Bytes that follow from their number, so that what comes back can be compared without keeping it.
fn content(at: u32, length: usize) -> Vec<u8> {
    let mut state = u64::from(at).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Stores;
    use lakebed_contract::{EventSink, Seed};

    #[tokio::test]
    async fn our_stores_answer_every_operation_rightly() {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::wall();
        let stores =
            Stores::start_alone(folder.path(), 0, &clock, Seed(7), &EventSink::default()).await.expect("started");
        let cases = [
            (Operation::S3Put4k, vec![("objects", 3), ("bytes", 3 * 4096)]),
            (Operation::S3Get4k, vec![("bytes", 3 * 4096), ("equal", 3)]),
            (Operation::S3PutGet1m, vec![("bytes", 3 << 20), ("equal", 3)]),
            (Operation::DynamodbConditionalPut, vec![("accepted", 3), ("refused", 3), ("items", 3)]),
            (Operation::KinesisPutRecords, vec![("refused", 0), ("records", 1_500), ("bytes", 900_000)]),
        ];
        for (round, (operation, expect)) in (0..).zip(cases) {
            let server_pid = std::process::id();
            let order = StoreOrder { operation, operations: 3, port: stores.port(), server_pid, round };
            let reply = run(&order, &clock).await.expect("every call is answered");
            let expect: Answers =
                expect.into_iter().map(|(name, number)| (name.to_owned(), Value::Number(number))).collect();
            assert_eq!(reply.answers, expect, "{operation:?}");
            assert!(reply.figures["p50_us"] <= reply.figures["p99_us"], "{:?}", reply.figures);
        }
        stores.shutdown().await.expect("stopped");
    }
}

//! The shard log behind Kinesis's operations: JSON in, frames on disk, and back. No HTTP.
//!
//! The clock is virtual: the writing bench moves it past the retention at every iteration, so that old segments are deleted and
//! the log does not grow with the number of iterations.

use std::time::Duration;

use bytes::Bytes;
use data_encoding::BASE64;
use http_body_util::BodyExt as _;
use lakebed_cloud::CloudConfig;
use lakebed_cloud::kinesis::{Kinesis, RETENTION, Wire};
use lakebed_contract::{Clock, Seed, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::envelope::insert_lines;
use super::{Micro, Work};
use crate::data::Beer;

const STREAM: &str = "dm-kinesis-stream";
/// Records of one request: AWS's limit.
const REQUEST_RECORDS: usize = 500;

/// One PutRecords of up to 500 records; the answer is the records accepted.
pub(super) fn put_records(beer: &Beer) -> Micro {
    let store = Store::open();
    let (request, records) = put_request(beer);
    Micro {
        name: "kinesis/put-records",
        question: "How fast does the stream take a PutRecords request, without HTTP?",
        work: Work::Elements(records),
        expect: records,
        run: Box::new(move || {
            assert!(store.clock.advance(RETENTION + Duration::from_secs(1)), "the clock is virtual");
            accepted(&store.call("PutRecords", request.clone()))
        }),
    }
}

/// Reads the same records back, one GetRecords; the answer is the records read.
pub(super) fn get_records(beer: &Beer) -> Micro {
    let store = Store::open();
    let (request, records) = put_request(beer);
    assert_eq!(accepted(&store.call("PutRecords", request)), records);
    let shard = &store.call("ListShards", to_bytes(&json!({"StreamName": STREAM})))["Shards"][0]["ShardId"];
    let ask = json!({"StreamName": STREAM, "ShardId": shard, "ShardIteratorType": "TRIM_HORIZON"});
    let iterator = store.call("GetShardIterator", to_bytes(&ask))["ShardIterator"].clone();
    let ask = to_bytes(&json!({"ShardIterator": iterator, "Limit": REQUEST_RECORDS}));
    Micro {
        name: "kinesis/get-records",
        question: "How fast does the stream give 500 records back, without HTTP?",
        work: Work::Elements(records),
        expect: records,
        run: Box::new(move || {
            store.call("GetRecords", ask.clone())["Records"].as_array().map_or(0, |records| records.len() as u64)
        }),
    }
}

fn put_request(beer: &Beer) -> (Bytes, u64) {
    let rows = &beer.reviews[..beer.reviews.len().min(REQUEST_RECORDS)];
    let records: Vec<Value> = insert_lines(rows)
        .iter()
        .map(|line| json!({"PartitionKey": "dm_core.review", "Data": BASE64.encode(line)}))
        .collect();
    (to_bytes(&json!({"StreamName": STREAM, "Records": records})), rows.len() as u64)
}

fn accepted(answer: &Value) -> u64 {
    assert_eq!(answer["FailedRecordCount"], 0, "every record is accepted");
    answer["Records"].as_array().map_or(0, |records| records.len() as u64)
}

fn to_bytes(value: &Value) -> Bytes {
    Bytes::from(value.to_string())
}

struct Store {
    kinesis: Kinesis,
    clock: Clock,
    runtime: Runtime,
    _dir: TempDir,
}

impl Store {
    fn open() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let clock = Clock::virtual_at(Timestamp::from_seconds(1_700_000_000));
        let kinesis = Kinesis::open(dir.path(), &CloudConfig::new(dir.path(), clock.clone(), Seed(7)))
            .expect("an empty folder opens");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let store = Self { kinesis, clock, runtime, _dir: dir };
        store.call("CreateStream", to_bytes(&json!({"StreamName": STREAM, "ShardCount": 1})));
        store
    }

    fn call(&self, operation: &str, body: Bytes) -> Value {
        let target = format!("Kinesis_20131202.{operation}");
        let (status, body) = self.runtime.block_on(async {
            let answer = self.kinesis.handle(&target, body, Wire::Json).await;
            let status = answer.status();
            (status, answer.into_body().collect().await.expect("a body in memory").to_bytes())
        });
        assert!(status.is_success(), "{operation}: {status}");
        if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("a JSON answer") }
    }
}

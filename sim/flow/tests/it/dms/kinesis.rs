//! The Kinesis side of the sink against a loopback server: what goes over the wire, and how its answers are read.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use lakebed_contract::Endpoints;
use lakebed_flow::dms::{KinesisSink, RecordSink, SinkRecord};
use serde_json::{Value, json};

type Seen = Arc<Mutex<Vec<Value>>>;

/// Refuses records of partition key `hot` and any stream but `here`.
async fn answer(State(seen): State<Seen>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    assert_eq!(headers["x-amz-target"], "Kinesis_20131202.PutRecords");
    let input: Value = serde_json::from_slice(&body).expect("JSON");
    if input["StreamName"] != "here" {
        let error = json!({"__type": "ResourceNotFoundException", "message": "no such stream"});
        return (StatusCode::BAD_REQUEST, error.to_string());
    }
    let mut failed = 0;
    let mut results = Vec::new();
    for record in input["Records"].as_array().expect("records") {
        results.push(if record["PartitionKey"] == "hot" {
            failed += 1;
            json!({"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": "slow down"})
        } else {
            json!({"SequenceNumber": "1", "ShardId": "shardId-000000000000"})
        });
    }
    seen.lock().expect("seen").push(input);
    (StatusCode::OK, json!({"FailedRecordCount": failed, "Records": results}).to_string())
}

async fn start() -> (Endpoints, Seen) {
    let seen = Seen::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let endpoints = Endpoints::embedded(listener.local_addr().expect("an address").port());
    let app = axum::Router::new().fallback(answer).with_state(Arc::clone(&seen));
    tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
    (endpoints, seen)
}

fn record(key: &str, data: &'static [u8]) -> SinkRecord {
    SinkRecord { partition_key: key.to_owned(), data: Bytes::from_static(data), row_of: None }
}

#[tokio::test]
async fn each_record_gets_its_own_answer() {
    let (endpoints, seen) = start().await;
    let batch = [record("a", b"{}\n"), record("hot", b"1"), record("b", b"2")];
    let results = KinesisSink::new(&endpoints, "here").put_records(&batch).await.expect("answered");
    let refused = Err("ProvisionedThroughputExceededException".to_owned());
    assert_eq!(results, [Ok(()), refused, Ok(())]);
    let seen = seen.lock().expect("seen");
    let keys: Vec<_> = seen[0]["Records"].as_array().expect("records").iter().map(|r| &r["PartitionKey"]).collect();
    assert_eq!(keys, ["a", "hot", "b"]);
    assert_eq!(seen[0]["Records"][0]["Data"], STANDARD.encode("{}\n"));
}

#[tokio::test]
async fn a_wrong_stream_is_not_worth_another_attempt() {
    let (endpoints, _) = start().await;
    let refused = KinesisSink::new(&endpoints, "elsewhere").put_records(&[record("a", b"1")]).await;
    assert!(!refused.expect_err("no such stream").retryable);
}

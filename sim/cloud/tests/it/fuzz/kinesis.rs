//! What Kinesis reads off the wire: damaged JSON and CBOR, and CBOR that is nested or counted beyond reason.

use bytes::Bytes;
use ciborium::value::Value as Cbor;
use http_body_util::BodyExt;
use lakebed_cloud::CloudConfig;
use lakebed_cloud::kinesis::{Kinesis, Wire, decode_request};
use lakebed_contract::{Clock, Seed, Timestamp};
use rand::Rng;
use serde_json::{Value, json};

use super::damaged;

/// Given to the store, in each form.
const CALLS: u32 = 4_000;
/// Decoded from CBOR. (JSON is not decoded before the store reads it.)
const DECODED: u32 = 20_000;

/// Each is carried out as it stands.
fn sound_requests(iterator: &str) -> Vec<(&'static str, Value)> {
    let records =
        json!([{"Data": "aGVsbG8=", "PartitionKey": "a"}, {"Data": "", "PartitionKey": "b", "ExplicitHashKey": "7"}]);
    vec![
        ("PutRecords", json!({"StreamName": "s", "Records": records})),
        ("PutRecord", json!({"StreamName": "s", "PartitionKey": "k", "Data": "aGVsbG8="})),
        ("DescribeStream", json!({"StreamName": "s", "Limit": 10, "ExclusiveStartShardId": "shardId-000000000000"})),
        (
            "ListShards",
            json!({"StreamName": "s", "ShardFilter": {"Type": "AT_TIMESTAMP", "Timestamp": 1_699_999_999.5}}),
        ),
        (
            "GetShardIterator",
            json!({"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": 1}),
        ),
        ("GetRecords", json!({"ShardIterator": iterator, "Limit": 5})),
        ("AddTagsToStream", json!({"StreamName": "s", "Tags": {"a": "b", "c": ""}})),
        ("IncreaseStreamRetentionPeriod", json!({"StreamName": "s", "RetentionPeriodHours": 48})),
        ("ListStreams", json!({"Limit": 3})),
    ]
}

/// As the Java SDK writes it: bytes are bytes.
fn to_cbor(value: &Value) -> Cbor {
    match value {
        Value::Object(members) => Cbor::Map(
            members
                .iter()
                .map(|(name, value)| match (name.as_str(), value) {
                    ("Data", Value::String(text)) => (Cbor::Text(name.clone()), Cbor::Bytes(text.clone().into_bytes())),
                    ("Timestamp", _) => (Cbor::Text(name.clone()), Cbor::Tag(1, Box::new(Cbor::Integer(1.into())))),
                    _ => (Cbor::Text(name.clone()), to_cbor(value)),
                })
                .collect(),
        ),
        Value::Array(items) => Cbor::Array(items.iter().map(to_cbor).collect()),
        Value::String(text) => Cbor::Text(text.clone()),
        Value::Number(number) => number
            .as_i64()
            .map_or_else(|| Cbor::Float(number.as_f64().unwrap_or(0.0)), |number| Cbor::Integer(number.into())),
        Value::Bool(yes) => Cbor::Bool(*yes),
        Value::Null => Cbor::Null,
    }
}

fn written(value: &Value, wire: Wire) -> Vec<u8> {
    match wire {
        Wire::Json => value.to_string().into_bytes(),
        Wire::Cbor => {
            let mut bytes = Vec::new();
            ciborium::into_writer(&to_cbor(value), &mut bytes).expect("written");
            bytes
        }
    }
}

#[test]
fn what_asks_for_more_than_a_request_may_is_refused() {
    let nested = |depth: usize| [vec![0x81; depth], vec![0x00]].concat();
    assert!(decode_request(Wire::Cbor, &nested(100_000)).is_err(), "a hundred thousand lists in each other");
    let endless = [vec![0x9f; 10_000]].concat();
    assert!(decode_request(Wire::Cbor, &endless).is_err(), "lists that never end");
    // A list that says it has 2^60 items, and has none.
    assert!(decode_request(Wire::Cbor, &[0x9b, 0x10, 0, 0, 0, 0, 0, 0, 0]).is_err());
    // A byte string that says it is 2^62 long.
    assert!(decode_request(Wire::Cbor, &[0x5b, 0x40, 0, 0, 0, 0, 0, 0, 0]).is_err());
    assert!(decode_request(Wire::Cbor, &[]).is_err());
}

#[tokio::test]
async fn damaged_requests_are_refused_whichever_way_they_are_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::virtual_at(Timestamp::from_seconds(1_700_000_000));
    let kinesis = Kinesis::open(dir.path(), &CloudConfig::new(dir.path(), clock, Seed(7))).expect("opened");
    let call = async |operation: &str, body: Vec<u8>, wire| {
        let answer = kinesis.handle(&format!("Kinesis_20131202.{operation}"), Bytes::from(body), wire).await;
        let status = answer.status().as_u16();
        (status, answer.into_body().collect().await.expect("a body").to_bytes())
    };
    let create = json!({"StreamName": "s", "ShardCount": 1});
    assert_eq!(call("CreateStream", written(&create, Wire::Cbor), Wire::Cbor).await.0, 200);
    let first = json!({"StreamName": "s", "ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"});
    let (_, first) = call("GetShardIterator", written(&first, Wire::Json), Wire::Json).await;
    let first: Value = serde_json::from_slice(&first).expect("JSON");
    let sound = sound_requests(first["ShardIterator"].as_str().expect("an iterator"));
    for wire in [Wire::Json, Wire::Cbor] {
        for (operation, body) in &sound {
            let (status, answer) = call(operation, written(body, wire), wire).await;
            assert_eq!(status, 200, "{wire:?} {operation}: {answer:?}");
        }
    }
    let mut rng = Seed(7).rng("fuzz-kinesis");
    for wire in [Wire::Json, Wire::Cbor] {
        let corpus: Vec<Vec<u8>> = sound.iter().map(|(_, body)| written(body, wire)).collect();
        let mut done = 0;
        for input in 0..CALLS {
            let at = rng.random_range(0..sound.len());
            let (operation, body) = (sound[at].0, damaged(&mut rng, &corpus[at], &corpus));
            let (status, answer) = call(operation, body.clone(), wire).await;
            let is_answer = status == 200 || status == 400;
            assert!(is_answer, "{wire:?} input {input}, {operation}: {status} {answer:?} to {body:?}");
            done += u32::from(status == 200);
        }
        assert!(done > CALLS / 200 && done < CALLS / 2, "{done} of {CALLS} were carried out");
    }
    let corpus: Vec<Vec<u8>> = sound.iter().map(|(_, body)| written(body, Wire::Cbor)).collect();
    let mut decoded = 0;
    for input in 0..DECODED {
        let at = rng.random_range(0..sound.len());
        if let Ok(json) = decode_request(Wire::Cbor, &damaged(&mut rng, &corpus[at], &corpus)) {
            assert!(serde_json::from_slice::<Value>(&json).is_ok(), "CBOR input {input} became what is not JSON");
            decoded += 1;
        }
    }
    assert!(decoded > DECODED / 200, "{decoded} of {DECODED} were CBOR at all");
    let put = json!({"StreamName": "s", "PartitionKey": "k", "Data": "aGVsbG8="});
    assert_eq!(call("PutRecord", written(&put, Wire::Json), Wire::Json).await.0, 200);
}

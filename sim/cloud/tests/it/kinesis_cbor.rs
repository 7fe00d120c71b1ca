//! Kinesis in the wire form of the Java clients: what is put in CBOR is read with the SDK, and the other way round.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::ShardIteratorType;
use bytes::Bytes;
use ciborium::value::{Integer, Value};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;

use crate::Running;
use crate::wire::connected;

const STREAM: &str = "binary";
const SHARD: &str = "shardId-000000000000";
const CBOR: &str = "application/x-amz-cbor-1.1";
/// CBOR's tag of a moment; under it these clients write milliseconds.
const MOMENT: u64 = 1;

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn map<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Map(members.into_iter().map(|(name, value)| (text(name), value)).collect())
}

fn member<'a>(of: &'a Value, name: &str) -> &'a Value {
    let members = of.as_map().unwrap_or_else(|| panic!("a map with {name}, not {of:?}"));
    &members.iter().find(|(key, _)| key.as_text() == Some(name)).unwrap_or_else(|| panic!("{name} in {of:?}")).1
}

/// One request of that target; the status, the content type and the body of the answer.
async fn post(running: &Running, target: &str, body: Vec<u8>) -> (StatusCode, String, Bytes) {
    let socket = connected(running.cloud.port()).await;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await.expect("a connection");
    let request = Request::post("/")
        .header("host", "127.0.0.1")
        .header("content-type", CBOR)
        .header("x-amz-target", target)
        .body(Full::new(Bytes::from(body)))
        .expect("a request");
    let answering = async {
        let answer = sender.send_request(request).await.expect("answered");
        let kind = answer.headers().get("content-type").map(|kind| kind.to_str().expect("text").to_owned());
        let status = answer.status();
        let body = answer.into_body().collect().await.expect("a whole body").to_bytes();
        drop(sender);
        (status, kind.unwrap_or_default(), body)
    };
    let (answer, ended) = tokio::join!(answering, connection);
    ended.expect("an orderly end");
    answer
}

async fn kinesis(running: &Running, operation: &str, body: Vec<u8>) -> (StatusCode, Value) {
    let (status, kind, body) = post(running, &format!("Kinesis_20131202.{operation}"), body).await;
    assert_eq!(kind, CBOR, "{operation}");
    let read = if body.is_empty() { Value::Null } else { ciborium::from_reader(&*body).expect("a CBOR answer") };
    (status, read)
}

/// The answer of a request that is served.
async fn call(running: &Running, operation: &str, request: &Value) -> Value {
    let mut body = Vec::new();
    ciborium::into_writer(request, &mut body).expect("memory");
    let (status, answer) = kinesis(running, operation, body).await;
    assert_eq!(status, StatusCode::OK, "{operation}: {answer:?}");
    answer
}

/// `__type` of a request that is refused.
async fn refused(running: &Running, operation: &str, body: &[u8]) -> String {
    let (status, answer) = kinesis(running, operation, body.to_vec()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{operation}: {answer:?}");
    assert!(member(&answer, "message").is_text());
    member(&answer, "__type").as_text().expect("text").to_owned()
}

async fn read_all(running: &Running, position: [(&str, Value); 2]) -> Vec<Value> {
    let [(one, kind), (other, at)] = position;
    let ask = map([("StreamName", text(STREAM)), ("ShardId", text(SHARD)), (one, kind), (other, at)]);
    let iterator = call(running, "GetShardIterator", &ask).await;
    let read = call(running, "GetRecords", &map([("ShardIterator", member(&iterator, "ShardIterator").clone())])).await;
    member(&read, "Records").as_array().expect("a list").clone()
}

#[tokio::test]
async fn what_is_put_in_cbor_is_read_with_the_sdk_and_the_other_way_round() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let one = Value::Integer(Integer::from(1));
    let created = call(&running, "CreateStream", &map([("StreamName", text(STREAM)), ("ShardCount", one)])).await;
    assert_eq!(created, Value::Null, "an empty body");
    let bytes: Vec<u8> = (0..=255).collect();
    let record = map([("Data", Value::Bytes(bytes.clone())), ("PartitionKey", text("k"))]);
    let records = Value::Array(vec![record.clone(), record]);
    let put = call(&running, "PutRecords", &map([("StreamName", text(STREAM)), ("Records", records)])).await;
    assert_eq!(member(&put, "FailedRecordCount"), &Value::Integer(Integer::from(0)));

    let sdk = &running.kinesis;
    let iterator = sdk.get_shard_iterator().stream_name(STREAM).shard_id(SHARD);
    let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
    let read = sdk.get_records().set_shard_iterator(iterator.shard_iterator).send().await.expect("records");
    let data: Vec<_> = read.records().iter().map(|record| record.data().as_ref().to_vec()).collect();
    assert_eq!(data, [bytes.clone(), bytes]);

    running.clock.advance(std::time::Duration::from_secs(60));
    let put = sdk.put_record().stream_name(STREAM).partition_key("k").data(Blob::new([0, 159, 146, 150]));
    put.send().await.expect("put");
    let millis = |seconds: i64| Value::Tag(MOMENT, Box::new(Value::Integer(Integer::from(seconds * 1_000))));
    let since = [("ShardIteratorType", text("AT_TIMESTAMP")), ("Timestamp", millis(1_700_000_030))];
    let read = read_all(&running, since).await;
    assert_eq!(read.len(), 1, "only what came after the moment");
    assert_eq!(member(&read[0], "Data"), &Value::Bytes(vec![0, 159, 146, 150]));
    assert_eq!(member(&read[0], "ApproximateArrivalTimestamp"), &millis(1_700_000_060));
    let described = call(&running, "DescribeStreamSummary", &map([("StreamName", text(STREAM))])).await;
    let summary = member(&described, "StreamDescriptionSummary");
    assert_eq!(member(summary, "StreamCreationTimestamp"), &millis(1_700_000_000));
    running.stop().await;
}

#[tokio::test]
async fn errors_are_told_in_cbor_and_garbage_is_a_serialization_exception() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let mut nobody = Vec::new();
    ciborium::into_writer(&map([("StreamName", text("nobody"))]), &mut nobody).expect("memory");
    assert_eq!(refused(&running, "DescribeStreamSummary", &nobody).await, "ResourceNotFoundException");
    assert_eq!(refused(&running, "CreateChannel", b"\xbf\xff").await, "UnknownOperationException");
    let deep = [[0xa1, 0x61, b'x'].repeat(50_000), vec![0xf6]].concat();
    let many = [vec![0x9f], vec![0; 1_000_000], vec![0xff]].concat();
    let endless = b"\x5b\x7f\xff\xff\xff\xff\xff\xff\xff";
    let bodies: [&[u8]; 7] = [b"", b"{}", b"\xff", b"\xa1\x61", endless, &deep, &many];
    for garbage in bodies {
        let told = refused(&running, "PutRecord", garbage).await;
        assert_eq!(told, "SerializationException", "{:?}", &garbage[..garbage.len().min(9)]);
    }
    running.stop().await;
}

#[tokio::test]
async fn dynamodb_speaks_no_cbor() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let (status, _, body) = post(&running, "DynamoDB_20120810.ListTables", b"\xa0".to_vec()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(String::from_utf8_lossy(&body).contains("SerializationException"), "{body:?}");
    running.stop().await;
}

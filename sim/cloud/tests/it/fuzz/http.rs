//! The HTTP front: damaged bytes on a connection.

use std::time::Duration;

use lakebed_contract::{Clock, Seed};
use rand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::damaged;
use crate::Running;
use crate::s3::{BUCKET, get, put, start};

const INPUTS: u32 = 6_000;
/// A guard against a hang, never waited for otherwise.
const ANSWER_MAX: Duration = Duration::from_secs(20);

fn request(line: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("{line} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {}\r\n{headers}\r\n{body}", body.len()).into_bytes()
}

fn json(target: &str, body: &str) -> Vec<u8> {
    request("POST /", &[("x-amz-target", target), ("content-type", "application/x-amz-json-1.1")], body)
}

const CHUNKED: &str = "5;chunk-signature=00\r\nhello\r\n0;chunk-signature=00\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";

fn sound_requests() -> Vec<Vec<u8>> {
    let chunked = [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ];
    let signed =
        "AWS4-HMAC-SHA256 Credential=lakebed/20231114/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00";
    let delete = "<Delete><Object><Key>a</Key></Object><Quiet>true</Quiet></Delete>";
    let rules = "<NotificationConfiguration><QueueConfiguration><Queue>arn:aws:sqs:us-east-1:000000000000:q</Queue>\
                 <Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>";
    vec![
        request(&format!("PUT /{BUCKET}/a/b?tagging"), &[], "<Tagging><TagSet></TagSet></Tagging>"),
        request(&format!("PUT /{BUCKET}/a%20b"), &[("x-amz-meta-a", "b"), ("if-none-match", "*")], "hello"),
        request(&format!("PUT /{BUCKET}/chunked"), &chunked, CHUNKED),
        request(&format!("GET /{BUCKET}/a%20b"), &[("range", "bytes=1-2"), ("authorization", signed)], ""),
        request(&format!("GET /{BUCKET}?list-type=2&prefix=a&max-keys=2&delimiter=%2F"), &[], ""),
        request(&format!("GET /{BUCKET}?versions&key-marker=a&version-id-marker=null"), &[], ""),
        request(&format!("POST /{BUCKET}?delete"), &[("content-md5", "hkLOYD6E1tNhpgJ4yn2r9w==")], delete),
        request(&format!("PUT /{BUCKET}?notification"), &[], rules),
        request(&format!("POST /{BUCKET}/m?uploads"), &[], ""),
        request(&format!("PUT /{BUCKET}/m?partNumber=1&uploadId=0"), &[], "part"),
        request(&format!("PUT /{BUCKET}/c"), &[("x-amz-copy-source", &format!("/{BUCKET}/a%20b"))], ""),
        request(
            &format!(
                "GET /{BUCKET}/a%20b?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=lakebed%2F20231114%2Fus-east-1\
                     %2Fs3%2Faws4_request&X-Amz-Date=20231114T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00"
            ),
            &[],
            "",
        ),
        request("GET /_lakebed/health", &[], ""),
        request("GET /iceberg/v1/config", &[], ""),
        request("POST /iceberg/v1/namespaces", &[("content-type", "application/json")], r#"{"namespace":["n"]}"#),
        json("DynamoDB_20120810.PutItem", r#"{"TableName":"t","Item":{"pk":{"S":"a"},"n":{"N":"1"}}}"#),
        json("DynamoDB_20120810.ListTables", r#"{"Limit":1}"#),
        json("DynamoDBStreams_20120810.ListStreams", r#"{"TableName":"t","Limit":3}"#),
        json("Kinesis_20131202.CreateStream", r#"{"StreamName":"s","ShardCount":1}"#),
        json("Kinesis_20131202.PutRecord", r#"{"StreamName":"s","PartitionKey":"k","Data":"aGVsbG8="}"#),
        json("Kinesis_20131202.ListShards", r#"{"StreamName":"s","MaxResults":2}"#),
    ]
}

/// Sends bytes and no more; gives what came back before the connection ended.
async fn answer_to(running: &Running, bytes: &[u8]) -> Vec<u8> {
    let mut socket = TcpStream::connect(("127.0.0.1", running.cloud.port())).await.expect("connected");
    // The server may hang up in the middle of garbage.
    let sent = socket.write_all(bytes).await.is_ok() && socket.shutdown().await.is_ok();
    let mut answer = Vec::new();
    let wall = Clock::wall();
    let read = tokio::select! {
        read = socket.read_to_end(&mut answer) => read,
        () = wall.sleep(ANSWER_MAX) => panic!("no answer, and no end"),
    };
    assert!(sent || read.is_err() || !answer.is_empty() || bytes.is_empty(), "hung up without a word");
    answer
}

#[tokio::test]
async fn damaged_requests_are_refused_and_harm_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    put(&running.s3, "kept", b"as it was").await;
    let sound = sound_requests();
    for request in &sound {
        let answer = answer_to(&running, request).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 "), "{}", String::from_utf8_lossy(&answer));
    }
    let mut rng = Seed(7).rng("fuzz-http");
    let mut answered = 0;
    for input in 0..INPUTS {
        let request = damaged(&mut rng, &sound[input as usize % sound.len()], &sound);
        let answer = answer_to(&running, &request).await;
        let shown = || {
            format!(
                "input {input}: {:?}\nanswer: {:?}",
                String::from_utf8_lossy(&request),
                String::from_utf8_lossy(&answer)
            )
        };
        if answer.is_empty() {
            continue;
        }
        answered += 1;
        assert!(answer.starts_with(b"HTTP/1."), "{}", shown());
        let status = std::str::from_utf8(&answer[9..12]).ok().and_then(|status| status.parse::<u16>().ok());
        assert!(status.is_some_and(|status| status < 500 || status == 501), "{}", shown());
        // Now and then, lest a harm is found six thousand inputs late.
        if rng.random_range(0..500) == 0 {
            assert_eq!(get(&running.s3, "kept").await, b"as it was", "{}", shown());
        }
    }
    assert!(
        answered > INPUTS / 4,
        "only {answered} of {INPUTS} inputs were answered: the damage is too coarse to test anything"
    );
    assert_eq!(get(&running.s3, "kept").await, b"as it was");
    running.stop().await;
}

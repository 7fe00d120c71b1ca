//! The HTTP front: damaged bytes on a connection.

use std::time::Duration;

use aws_sdk_dynamodb::types::StreamViewType;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use lakebed_contract::{Clock, Seed};
use md5::{Digest, Md5};
use rand::Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::damaged;
use crate::Running;
use crate::dynamodb::create_table;
use crate::s3::{BUCKET, get, put, start};
use crate::wire::{self, connected, json_headers};

const INPUTS: u32 = 6_000;
/// A guard against a hang, never waited for otherwise.
const ANSWER_MAX: Duration = Duration::from_secs(20);
const HEAD_END: &[u8] = b"\r\n\r\n";
/// Longest body that is worth sending.
const BODY_BYTES_MAX: usize = 64 * 1024;

fn request(line: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    wire::request(line, &[&[("connection", "close")], headers].concat(), body).into_bytes()
}

fn json(target: &str, body: &str) -> Vec<u8> {
    request("POST /", &json_headers(target), body)
}

const CHUNKED: &str = "5;chunk-signature=00\r\nhello\r\n0;chunk-signature=00\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n";

/// In this order each is carried out but two: the stores have nobody to notify, and there is no upload `0`.
fn sound_requests() -> Vec<Vec<u8>> {
    let chunked = [
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ];
    let signed =
        "AWS4-HMAC-SHA256 Credential=lakebed/20231114/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00";
    let listed = "<Delete><Object><Key>a</Key></Object><Quiet>true</Quiet></Delete>";
    let md5 = BASE64_STANDARD.encode(Md5::digest(listed));
    let rules = "<NotificationConfiguration><QueueConfiguration><Queue>arn:aws:sqs:us-east-1:000000000000:q</Queue>\
                 <Event>s3:ObjectCreated:*</Event></QueueConfiguration></NotificationConfiguration>";
    vec![
        request(&format!("PUT /{BUCKET}/a%20b"), &[("x-amz-meta-a", "b"), ("if-none-match", "*")], "hello"),
        request(&format!("PUT /{BUCKET}/a%20b?tagging"), &[], "<Tagging><TagSet></TagSet></Tagging>"),
        request(&format!("PUT /{BUCKET}/chunked"), &chunked, CHUNKED),
        request(&format!("GET /{BUCKET}/a%20b"), &[("range", "bytes=1-2"), ("authorization", signed)], ""),
        request(&format!("GET /{BUCKET}?list-type=2&prefix=a&max-keys=2&delimiter=%2F"), &[], ""),
        request(&format!("GET /{BUCKET}?versions&key-marker=a&version-id-marker=null"), &[], ""),
        request(&format!("POST /{BUCKET}?delete"), &[("content-md5", &md5)], listed),
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
        json("DynamoDB_20120810.PutItem", r#"{"TableName":"table-t","Item":{"pk":{"S":"a"},"n":{"N":"1"}}}"#),
        json("DynamoDB_20120810.ListTables", r#"{"Limit":1}"#),
        json("DynamoDBStreams_20120810.ListStreams", r#"{"TableName":"table-t","Limit":3}"#),
        json("Kinesis_20131202.CreateStream", r#"{"StreamName":"s","ShardCount":1}"#),
        json("Kinesis_20131202.PutRecord", r#"{"StreamName":"s","PartitionKey":"k","Data":"aGVsbG8="}"#),
        json("Kinesis_20131202.ListShards", r#"{"StreamName":"s","MaxResults":2}"#),
    ]
}

/// The request of a client that keeps its word: its head ends, and its body is as long as it announces. For less the server
/// would rightly wait. `None` for what is no request yet, or announces more than is worth sending.
fn completed(damaged: &[u8]) -> Option<Vec<u8>> {
    let begin = damaged.iter().position(|byte| !b"\r\n".contains(byte))?;
    let mut request = damaged[begin..].to_vec();
    if !request.windows(HEAD_END.len()).any(|piece| piece == HEAD_END) {
        request.extend_from_slice(HEAD_END);
    }
    let head = request.windows(HEAD_END.len()).position(|piece| piece == HEAD_END)? + HEAD_END.len();
    let lengths = request[..head].split(|byte| *byte == b'\n').filter_map(|line| {
        let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
        if name.eq_ignore_ascii_case("content-length") { value.trim().parse::<usize>().ok() } else { None }
    });
    let body = lengths.max().unwrap_or(0);
    if body > BODY_BYTES_MAX {
        return None;
    }
    request.resize(request.len().max(head + body), b'.');
    Some(request)
}

/// Whether nothing more of an answer is to come.
fn is_whole(answer: &[u8]) -> bool {
    let Some(head) = answer.windows(HEAD_END.len()).position(|piece| piece == HEAD_END) else { return false };
    let text = String::from_utf8_lossy(&answer[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    match length {
        Some(length) => answer.len() >= head + HEAD_END.len() + length,
        None => !text.contains("transfer-encoding: chunked") || answer.ends_with(b"0\r\n\r\n"),
    }
}

/// Sends a request and reads its answer, or what there is of it when the connection ends. The connection stays open as long
/// as that: the server drops what it is doing for a client that has hung up.
async fn answer_to(running: &Running, request: &[u8]) -> Vec<u8> {
    let mut socket = connected(running.cloud.port()).await;
    let mut answer = Vec::new();
    let asking = async {
        // The server may hang up in the middle of garbage: then what counts is what it has said.
        drop(socket.write_all(request).await);
        while !is_whole(&answer) {
            match socket.read_buf(&mut answer).await {
                Ok(read) if read > 0 => {}
                _ended => break,
            }
        }
    };
    let wall = Clock::wall();
    tokio::select! {
        () = asking => {}
        () = wall.sleep(ANSWER_MAX) => panic!("no answer, and no end: {:?}", String::from_utf8_lossy(request)),
    }
    answer
}

fn status_of(answer: &[u8]) -> Option<u16> {
    let line = answer.strip_prefix(b"HTTP/1.1 ").or_else(|| answer.strip_prefix(b"HTTP/1.0 "))?;
    std::str::from_utf8(line.get(..3)?).ok()?.parse().ok()
}

fn is_done(status: Option<u16>) -> bool {
    status.is_some_and(|status| (200..300).contains(&status))
}

#[tokio::test]
async fn damaged_requests_are_refused_and_harm_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    create_table(&running.dynamodb, "table-t", StreamViewType::KeysOnly).await;
    put(&running.s3, "kept", b"as it was").await;
    let sound = sound_requests();
    let mut refused = Vec::new();
    for request in &sound {
        let answer = answer_to(&running, request).await;
        assert!(is_whole(&answer), "{}", String::from_utf8_lossy(request));
        if !is_done(status_of(&answer)) {
            refused.push(String::from_utf8_lossy(&answer).into_owned());
        }
    }
    assert_eq!(refused.len(), 2, "what is refused undamaged tests nothing behind the refusal: {refused:?}");
    let mut rng = Seed(7).rng("fuzz-http");
    let (mut answered, mut done) = (0, 0);
    for input in 0..INPUTS {
        let damaged = damaged(&mut rng, &sound[input as usize % sound.len()], &sound);
        let Some(request) = completed(&damaged) else { continue };
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
        let status = status_of(&answer);
        assert!(status.is_some_and(|status| status < 500 || status == 501), "{}", shown());
        done += u32::from(is_done(status));
        // Now and then, lest a harm is found six thousand inputs late.
        if rng.random_range(0..500) == 0 {
            assert_eq!(get(&running.s3, "kept").await, b"as it was", "{}", shown());
        }
    }
    assert!(answered > INPUTS - INPUTS / 20, "only {answered} of {INPUTS} inputs were answered");
    assert!(
        done > INPUTS / 50,
        "only {done} of {INPUTS} inputs came through: the damage is too coarse to test anything"
    );
    assert_eq!(get(&running.s3, "kept").await, b"as it was");
    running.stop().await;
}

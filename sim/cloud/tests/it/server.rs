//! The port itself: health, taken ports, locked state, and what no store answers.

use lakebed_cloud::{Cloud, CloudError};
use lakebed_contract::{Clock, EventSink, Stage, Timestamp};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wire::{connected, raw, send, send_json};
use crate::{Running, code, config};

#[tokio::test]
async fn health_names_the_services() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let answer = send(running.cloud.port(), "GET /_lakebed/health", &[], "").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    for service in ["s3", "dynamodb", "kinesis", "kms", "iceberg"] {
        assert!(answer.contains(&format!("\"{service}\":\"running\"")), "{answer}");
    }
    assert!(answer.contains(&*dir.path().to_string_lossy()), "where its state lies: {answer}");
    let refused = send(running.cloud.port(), "POST /_lakebed/health", &[], "").await.to_lowercase();
    assert!(refused.starts_with("http/1.1 405") && refused.contains("\r\nallow: get, head\r\n"), "{refused}");
    running.stop().await;
}

#[tokio::test]
async fn a_taken_port_and_a_served_state_directory_are_told_apart() {
    let (one, two) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    let running = Running::start(one.path()).await;
    let port = running.cloud.port();
    match Cloud::start(config(two.path(), port, Clock::wall(), None)).await {
        Err(CloudError::PortTaken { port: taken }) => assert_eq!(taken, port),
        other => panic!("expected a taken port, got {other:?}"),
    }
    let again = Cloud::start(config(one.path(), 0, Clock::wall(), None)).await;
    assert!(matches!(again, Err(CloudError::StateInUse { .. })), "{again:?}");
    running.stop().await;
    Running::start(one.path()).await.stop().await;
}

#[tokio::test]
async fn unknown_services_and_operations_are_refused_in_their_protocol() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    for target in ["AWSGlue.GetTable", "Kinesis_20131202.CreateChannel", "Kinesis_20131202.Nonsense"] {
        let answer = send_json(running.cloud.port(), target, "{}").await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{target}: {answer}");
        assert!(answer.contains("UnknownOperationException"), "{target}: {answer}");
        assert!(answer.to_lowercase().contains("x-amzn-requestid: "), "{target}: {answer}");
    }
    let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
    let policy = running.kinesis.put_resource_policy().resource_arn(arn).policy("{}").send().await;
    assert_eq!(code(policy), "UnknownOperationException");
    running.s3.create_bucket().bucket("plain").send().await.expect("created");
    let policy = running.s3.put_bucket_policy().bucket("plain").policy("{}").send().await;
    assert_eq!(code(policy), "NotImplemented");
    let cold = aws_sdk_s3::types::StorageClass::Glacier;
    let cold = running.s3.put_object().bucket("plain").key("k").storage_class(cold).send().await;
    assert_eq!(code(cold), "NotImplemented");
    running.stop().await;
}

#[tokio::test]
async fn what_comes_to_no_operation_is_refused_as_its_service_refuses() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let port = running.cloud.port();
    let (tables, streams) = ("DynamoDB_20120810.ListTables", "Kinesis_20131202.ListStreams");
    let check = |answer: String, kind: &str, code: &str| {
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert!(answer.contains(&format!("content-type: {kind}\r\n")) && answer.contains(code), "{answer}");
        assert_eq!(answer.contains("x-amz-crc32: "), kind == "application/x-amz-json-1.0", "of DynamoDB: {answer}");
    };
    let cbor = [("x-amz-target", tables), ("content-type", "application/x-amz-cbor-1.1")];
    let answer = send(port, "POST /", &cbor, "").await;
    check(answer, "application/x-amz-json-1.0", "com.amazon.coral.service#SerializationException");
    let too_long = async |target: &str, kind: &str| {
        // Refused by what the head says: the body is never sent.
        let head = format!("host: x\r\nconnection: close\r\nx-amz-target: {target}\r\ncontent-type: {kind}");
        raw(port, &format!("POST / HTTP/1.1\r\n{head}\r\ncontent-length: 99999999\r\n\r\n")).await
    };
    let code = "RequestEntityTooLargeException";
    check(too_long(tables, "application/json").await, "application/x-amz-json-1.0", code);
    check(too_long(streams, "application/json").await, "application/x-amz-json-1.1", code);
    check(too_long(streams, "application/x-amz-cbor-1.1").await, "application/x-amz-cbor-1.1", code);
    running.stop().await;
}

#[tokio::test]
async fn shutdown_ends_idle_connections_and_frees_the_port() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    // Leaves a pooled connection behind in each client.
    running.s3.list_buckets().send().await.expect("listed");
    running.dynamodb.list_tables().send().await.expect("listed");
    let port = running.cloud.port();
    running.stop().await;
    let again = Cloud::start(config(dir.path(), port, Clock::wall(), None)).await.expect("the port is free again");
    assert_eq!(again.port(), port);
    again.shutdown().await.expect("stops");
}

#[tokio::test]
async fn shutdown_finishes_the_request_in_flight() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    running.s3.create_bucket().bucket("plain").send().await.expect("created");
    let mut socket = connected(running.cloud.port()).await;
    let head = "PUT /plain/k HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n";
    socket.write_all(head.as_bytes()).await.expect("sent");
    // The server asks for the body when the store begins to read it, so from here on the request is in flight.
    let mut asked = [0; 25];
    socket.read_exact(&mut asked).await.expect("asked for the body");
    assert!(asked.starts_with(b"HTTP/1.1 100 Continue"));
    let stopping = tokio::spawn(running.stop());
    tokio::task::yield_now().await;
    socket.write_all(b"hello").await.expect("sent");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    stopping.await.expect("stops");
    let running = Running::start(dir.path()).await;
    let got = running.s3.get_object().bucket("plain").key("k").send().await.expect("there");
    assert_eq!(got.body.collect().await.expect("a body").to_vec(), b"hello");
    running.stop().await;
}

/// Reads until `text` has come.
async fn read_until(socket: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let length = socket.read(&mut piece).await.expect("read");
        assert!(length > 0, "the answer ended before `{text}`: {}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&piece[..length]);
        let so_far = String::from_utf8_lossy(&read);
        if so_far.contains(text) {
            return so_far.into_owned();
        }
    }
}

#[tokio::test]
async fn events_are_told_as_they_happen_until_the_server_ends() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::virtual_at(Timestamp::from_seconds(1_700_000_000));
    let config = config(dir.path(), 0, clock.clone(), None);
    let sink = config.feed.sink(EventSink::default(), &clock);
    let running = Running::start_as(config).await;
    sink.log("before anybody reads");
    let mut socket = connected(running.cloud.port()).await;
    let request = "GET /_lakebed/events HTTP/1.1\r\nhost: x\r\n\r\n";
    socket.write_all(request.as_bytes()).await.expect("sent");
    let opening = read_until(&mut socket, ": lakebed events\n\n").await;
    assert!(opening.starts_with("HTTP/1.1 200"), "{opening}");
    assert!(opening.to_lowercase().contains("content-type: text/event-stream"), "{opening}");
    sink.log("hello");
    sink.progress(Stage::Bronze, "beer", 2, 0);
    let told = read_until(&mut socket, "progress").await;
    let line = "event: log\ndata: {\"at\":1700000000000000,\"event\":\"log\",\"message\":\"hello\"}\n\n";
    assert!(told.contains(line), "{told}");
    assert!(!told.contains("before anybody reads"), "{told}");
    // Would wait for its grace and fail if the answer did not end.
    running.stop().await;
    let mut rest = Vec::new();
    socket.read_to_end(&mut rest).await.expect("ended");

    let again = Running::start(dir.path()).await;
    assert!(send(again.cloud.port(), "POST /_lakebed/events", &[], "").await.starts_with("HTTP/1.1 405"));
    again.stop().await;
}

//! Buckets that are named by the host of a request, over raw requests: no name has to resolve for them.

use crate::Running;
use crate::s3::{BUCKET, get, put, start};
use crate::wire::send;

/// Sends one request to a host; gives the whole answer.
async fn ask(running: &Running, method: &str, target: &str, host: &str, body: &str) -> String {
    send(running.cloud.port(), &format!("{method} {target}"), &[("host", host)], body).await
}

fn is_ok(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200")
}

#[tokio::test]
async fn a_bucket_is_named_by_its_host() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let port = running.cloud.port();
    for (number, host) in [
        format!("{BUCKET}.localhost:{port}"),
        format!("{BUCKET}.s3.localhost"),
        format!("{BUCKET}.s3.localhost.localstack.cloud:{port}"),
        format!("{BUCKET}.s3.eu-west-1.amazonaws.com"),
    ]
    .iter()
    .enumerate()
    {
        let key = format!("a b/{number}");
        let answer = ask(&running, "PUT", &format!("/a%20b/{number}"), host, "hello").await;
        assert!(is_ok(&answer), "{host}: {answer}");
        assert_eq!(get(&running.s3, &key).await, b"hello", "{host}");
        let answer = ask(&running, "GET", "/?list-type=2&prefix=a%20b/", host, "").await;
        assert!(answer.contains("<ListBucketResult") && answer.contains(&key), "{host}: {answer}");
        let answer = ask(&running, "GET", &format!("/a%20b/{number}"), host, "").await;
        assert!(answer.ends_with("hello"), "{host}: {answer}");
    }
    // The hosts themselves, addresses and unknown names are path style.
    for host in ["localhost", "s3.localhost", "s3.us-east-1.amazonaws.com", "127.0.0.1", "stores"] {
        let answer = ask(&running, "GET", &format!("/{BUCKET}/a%20b/0"), host, "").await;
        assert!(answer.ends_with("hello"), "{host}: {answer}");
        let answer = ask(&running, "GET", "/", host, "").await;
        assert!(answer.contains("<ListAllMyBucketsResult"), "{host}: {answer}");
    }
    let answer = ask(&running, "PUT", "/", "by-host.localhost", "").await;
    assert!(is_ok(&answer), "{answer}");
    running.s3.head_bucket().bucket("by-host").send().await.expect("made");
    running.stop().await;
}

#[tokio::test]
async fn every_path_of_a_bucket_host_is_the_buckets() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let host = format!("{BUCKET}.localhost");
    for key in ["iceberg/v1/config", "_lakebed/health", "_lakebed/events"] {
        let answer = ask(&running, "PUT", &format!("/{key}"), &host, "mine").await;
        assert!(is_ok(&answer), "{key}: {answer}");
        let answer = ask(&running, "GET", &format!("/{key}"), &host, "").await;
        assert!(answer.ends_with("mine"), "{key}: {answer}");
        assert_eq!(get(&running.s3, key).await, b"mine");
    }
    running.stop().await;
}

#[tokio::test]
async fn refusals_know_bucket_and_key_of_a_host_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let host = format!("{BUCKET}.localhost");
    let answer = ask(&running, "GET", "/missing/key", &host, "").await;
    assert!(answer.contains("<Code>NoSuchKey</Code>") && answer.contains("<Key>missing/key</Key>"), "{answer}");
    let answer = ask(&running, "GET", "/", "no-such-bucket.localhost", "").await;
    assert!(answer.contains("<BucketName>no-such-bucket</BucketName>"), "{answer}");
    // Would overwrite the object if it were taken for a request on it.
    put(&running.s3, "k", b"kept").await;
    let answer = ask(&running, "PUT", "/k?renameObject", &host, "lost").await;
    assert!(answer.contains("<Code>NotImplemented</Code>"), "{answer}");
    let answer = ask(&running, "PUT", "/k?encryption", &host, "lost").await;
    assert!(answer.contains("<Code>NotImplemented</Code>"), "{answer}");
    assert_eq!(get(&running.s3, "k").await, b"kept");
    running.stop().await;
}

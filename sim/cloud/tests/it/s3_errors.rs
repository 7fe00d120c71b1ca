//! S3's refusals: the error document, the ids of every answer, and what is refused because bytes could be damaged.

use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::operation::{RequestId, RequestIdExt};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest, Md5};

use crate::code;
use crate::s3::{BUCKET, get, put, start};
use crate::wire::send;

fn element<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = answer.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

fn header<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (head, _) = answer.split_once("\r\n\r\n")?;
    head.lines().filter_map(|line| line.split_once(": ")).find(|(found, _)| *found == name).map(|(_, value)| value)
}

#[tokio::test]
async fn an_error_is_awss_whole_document() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let answer = send(running.cloud.port(), &format!("GET /{BUCKET}/a%20b"), &[], "").await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert_eq!(element(&answer, "Code"), Some("NoSuchKey"));
    assert_eq!(element(&answer, "Message"), Some("The specified key does not exist."));
    assert_eq!(element(&answer, "Key"), Some("a b"));
    assert_eq!(element(&answer, "Resource"), Some(format!("/{BUCKET}/a%20b").as_str()));
    assert_eq!(header(&answer, "content-type"), Some("application/xml"));
    let (request_id, host_id) = (header(&answer, "x-amz-request-id"), header(&answer, "x-amz-id-2"));
    assert!(request_id.is_some() && host_id.is_some(), "{answer}");
    assert_eq!((element(&answer, "RequestId"), element(&answer, "HostId")), (request_id, host_id));

    let other = send(running.cloud.port(), "GET /no-bucket/k", &[], "").await;
    assert_eq!((element(&other, "Code"), element(&other, "BucketName")), (Some("NoSuchBucket"), Some("no-bucket")));
    assert_eq!(element(&other, "Message"), Some("The specified bucket does not exist"));
    assert_ne!(header(&other, "x-amz-request-id"), request_id);
    assert_ne!(header(&other, "x-amz-id-2"), host_id);

    let refused =
        send(running.cloud.port(), &format!("PUT /{BUCKET}/k"), &[("x-amz-website-redirect-location", "/")], "x").await;
    assert_eq!(element(&refused, "Code"), Some("NotImplemented"), "refused before the body: {refused}");
    assert_eq!(element(&refused, "RequestId"), header(&refused, "x-amz-request-id"));
    running.stop().await;
}

#[tokio::test]
async fn head_and_not_modified_have_ids_and_no_body() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let etag = put(&running.s3, "k", b"x").await;
    let missing = send(running.cloud.port(), &format!("HEAD /{BUCKET}/nothing"), &[], "").await;
    assert!(missing.starts_with("HTTP/1.1 404") && missing.ends_with("\r\n\r\n"), "{missing}");
    let unchanged =
        send(running.cloud.port(), &format!("GET /{BUCKET}/k"), &[("if-none-match", etag.as_str())], "").await;
    assert!(unchanged.starts_with("HTTP/1.1 304") && unchanged.ends_with("\r\n\r\n"), "{unchanged}");
    assert_eq!(header(&unchanged, "etag"), Some(etag.as_str()));
    let found = send(running.cloud.port(), &format!("GET /{BUCKET}/k"), &[], "").await;
    for answer in [missing, unchanged, found] {
        assert!(header(&answer, "x-amz-request-id").is_some_and(|id| !id.is_empty()), "{answer}");
        assert_eq!(header(&answer, "x-amz-id-2").map(str::len), Some(64), "{answer}");
    }
    running.stop().await;
}

#[tokio::test]
async fn the_sdk_reads_messages_and_both_ids() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    put(s3, "k", b"x").await;
    let refused = s3.delete_bucket().bucket(BUCKET).send().await.expect_err("it is not empty").into_service_error();
    assert_eq!(refused.code(), Some("BucketNotEmpty"));
    assert_eq!(refused.message(), Some("The bucket you tried to delete is not empty"));
    assert!(refused.request_id().is_some() && refused.extended_request_id().is_some(), "{refused:?}");
    let done = s3.put_object().bucket(BUCKET).key("k").send().await.expect("put");
    assert!(done.request_id().is_some() && done.extended_request_id().is_some(), "{done:?}");
    running.stop().await;
}

#[tokio::test]
async fn a_checksum_that_nobody_here_can_verify_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let line = format!("PUT /{BUCKET}/k");
    for (name, value, expected) in [
        ("x-amz-checksum-sha512", "AAAA", "NotImplemented"),
        ("x-amz-checksum-xxhash3", "AAAA", "NotImplemented"),
        ("x-amz-trailer", "x-amz-checksum-md5", "NotImplemented"),
        ("x-amz-checksum-crc32", "no base64", "InvalidRequest"),
        ("content-md5", "no base64", "InvalidDigest"),
    ] {
        let answer = send(running.cloud.port(), &line, &[(name, value)], "x").await;
        assert_eq!(element(&answer, "Code"), Some(expected), "{name}: {answer}");
    }
    assert_eq!(code(running.s3.get_object().bucket(BUCKET).key("k").send().await), "NoSuchKey");
    running.stop().await;
}

#[tokio::test]
async fn a_batch_delete_is_verified_before_anything_is_deleted() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    put(&running.s3, "k", b"x").await;
    let line = format!("POST /{BUCKET}?delete");
    let body = "<Delete><Object><Key>k</Key></Object></Delete>";
    let unannounced = send(running.cloud.port(), &line, &[], body).await;
    assert_eq!(element(&unannounced, "Code"), Some("InvalidRequest"));
    let text = "Missing required header for this request: Content-MD5 OR x-amz-checksum-*";
    assert_eq!(element(&unannounced, "Message"), Some(text));
    for wrong in [("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="), ("x-amz-checksum-crc32", "AAAAAA==")] {
        let answer = send(running.cloud.port(), &line, &[wrong], body).await;
        assert_eq!(element(&answer, "Code"), Some("BadDigest"), "{answer}");
    }
    assert_eq!(get(&running.s3, "k").await, b"x");
    let md5 = BASE64_STANDARD.encode(Md5::digest(body));
    let done = send(running.cloud.port(), &line, &[("content-md5", md5.as_str())], body).await;
    assert!(done.starts_with("HTTP/1.1 200") && done.contains("<Deleted><Key>k</Key></Deleted>"), "{done}");
    running.stop().await;
}

#[tokio::test]
async fn configurations_are_verified() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let line = format!("PUT /{BUCKET}?notification");
    let body = "<NotificationConfiguration></NotificationConfiguration>";
    for wrong in [("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="), ("x-amz-checksum-crc32c", "AAAAAA==")] {
        let answer = send(running.cloud.port(), &line, &[wrong], body).await;
        assert_eq!(element(&answer, "Code"), Some("BadDigest"), "{answer}");
    }
    let md5 = BASE64_STANDARD.encode(Md5::digest(body));
    let done = send(running.cloud.port(), &line, &[("content-md5", md5.as_str())], body).await;
    assert!(done.starts_with("HTTP/1.1 200"), "{done}");
    running.stop().await;
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_said_before_what_is_wrong_with_the_body() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    for wrong in [("content-md5", "1B2M2Y8AsgTpgAmY7PhCfg=="), ("x-amz-checksum-crc32", "AAAAAA==")] {
        for (bucket, expected) in [("no-bucket", "NoSuchBucket"), (BUCKET, "BadDigest")] {
            let answer = send(running.cloud.port(), &format!("PUT /{bucket}/k"), &[wrong], "x").await;
            assert_eq!(element(&answer, "Code"), Some(expected), "{answer}");
        }
    }
    let s3 = &running.s3;
    put(s3, "k", b"x").await;
    assert_eq!(code(s3.create_multipart_upload().bucket("no-bucket").key("k").send().await), "NoSuchBucket");
    let copy = s3.copy_object().bucket("no-bucket").key("k").copy_source(format!("{BUCKET}/k"));
    assert_eq!(code(copy.send().await), "NoSuchBucket");
    running.stop().await;
}

#[tokio::test]
async fn a_bucket_of_somebody_else_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    put(s3, "k", b"x").await;
    let get_from = |owner: &str| s3.get_object().bucket(BUCKET).key("k").expected_bucket_owner(owner).send();
    assert_eq!(code(get_from("000000000000").await), "accepted");
    let refused = get_from("111122223333").await.expect_err("refused");
    let status = refused.raw_response().map(|response| response.status().as_u16());
    assert_eq!((refused.code(), refused.message(), status), (Some("AccessDenied"), Some("Access Denied"), Some(403)));
    let delete = s3.delete_object().bucket(BUCKET).key("k").expected_bucket_owner("111122223333").send().await;
    assert_eq!(code(delete), "AccessDenied");
    assert_eq!(get(s3, "k").await, b"x");
    running.stop().await;
}

#[tokio::test]
async fn a_range_that_cannot_be_read_is_ignored() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    put(s3, "k", b"0123456789").await;
    for range in ["bytes=5-2", "bytes=0-1,3-4", "items=0-1", "bytes=x-y"] {
        let got = s3.get_object().bucket(BUCKET).key("k").range(range).send().await.expect("got");
        assert_eq!((got.content_length(), got.content_range()), (Some(10), None), "{range}");
    }
    let got = s3.get_object().bucket(BUCKET).key("k").range("bytes=8-").send().await.expect("got");
    assert_eq!(got.content_range(), Some("bytes 8-9/10"));
    let beyond = send(running.cloud.port(), &format!("GET /{BUCKET}/k"), &[("range", "bytes=10-")], "").await;
    assert!(beyond.starts_with("HTTP/1.1 416"), "{beyond}");
    assert_eq!(element(&beyond, "Code"), Some("InvalidRange"));
    assert_eq!(element(&beyond, "RangeRequested"), Some("bytes=10-"));
    running.stop().await;
}

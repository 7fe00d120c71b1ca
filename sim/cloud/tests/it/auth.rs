//! Signatures: the real SDK with the right key against every service, and what happens to everybody else. Requests with a
//! signature known from elsewhere (AWS's documentation, or made by another implementation) are sent as they are, on a
//! clock that stands at their moment.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_s3::config::http::HttpRequest;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use iceberg::{Catalog, CatalogBuilder, NamespaceIdent};
use iceberg_catalog_rest::{REST_CATALOG_PROP_URI, RestCatalogBuilder};
use iceberg_storage_opendal::OpenDalStorageFactory;
use lakebed_cloud::{AccessKey, Auth, Cloud};
use lakebed_contract::endpoints::bearer_token;
use lakebed_contract::{Clock, Endpoints, Secret, Timestamp};

use crate::{code, config, refusal, wire};

/// The key of AWS's examples.
const ID: &str = "AKIAIOSFODNN7EXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
/// The moment of AWS's examples: 2013-05-24T00:00:00Z.
const THEN: Timestamp = Timestamp::from_seconds(1_369_353_600);
const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

async fn enforcing(dir: &Path, clock: Clock) -> Cloud {
    let mut config = config(dir, 0, clock, None);
    let key = AccessKey { id: ID.to_owned(), secret: Secret::new(SECRET.to_owned()) };
    config.auth = Auth::Enforce(vec![key]);
    Cloud::start(config).await.expect("the cloud starts")
}

/// A clock that shows the time the SDK signs with, and can be advanced.
fn present() -> Clock {
    Clock::virtual_at(Clock::wall().now())
}

struct Clients {
    s3: aws_sdk_s3::Client,
    dynamodb: aws_sdk_dynamodb::Client,
    kinesis: aws_sdk_kinesis::Client,
}

/// Clients that take the first answer.
fn clients(endpoints: &Endpoints) -> Clients {
    let s3 = aws_sdk_s3::config::Builder::from(&endpoints.sdk_config(&endpoints.s3_url))
        .force_path_style(true)
        .retry_config(RetryConfig::disabled());
    let dynamodb = aws_sdk_dynamodb::config::Builder::from(&endpoints.sdk_config(&endpoints.dynamodb_url))
        .retry_config(RetryConfig::disabled());
    let kinesis = aws_sdk_kinesis::config::Builder::from(&endpoints.sdk_config(&endpoints.kinesis_url))
        .retry_config(RetryConfig::disabled());
    Clients {
        s3: aws_sdk_s3::Client::from_conf(s3.build()),
        dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb.build()),
        kinesis: aws_sdk_kinesis::Client::from_conf(kinesis.build()),
    }
}

/// Sends a request as it is; status and whole answer.
async fn send(port: u16, method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
    let answer = wire::send(port, &format!("{method} {target}"), headers, body).await;
    (wire::status(&answer), answer)
}

fn assert_says(answer: &str, pieces: &[&str]) {
    for piece in pieces {
        assert!(answer.contains(piece), "`{piece}` is not in: {answer}");
    }
}

/// Changes a request after it was signed.
#[derive(Debug)]
struct Tamper(fn(&mut HttpRequest));

impl Intercept for Tamper {
    fn name(&self) -> &'static str {
        "Tamper"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        (self.0)(context.request_mut());
        Ok(())
    }
}

#[tokio::test]
async fn the_right_key_opens_every_service() {
    let dir = tempfile::tempdir().expect("a directory");
    let cloud = enforcing(dir.path(), present()).await;
    let endpoints = cloud.endpoints();
    let Clients { s3, dynamodb, kinesis } = clients(&endpoints);
    s3.create_bucket().bucket("plain").send().await.expect("created");
    for key in ["k", "a b/c+d~e!(f)*'g.txt", "ü/日本", "a//b/../c"] {
        let body = ByteStream::from_static(b"hello");
        s3.put_object().bucket("plain").key(key).body(body).send().await.expect(key);
        let got = s3.get_object().bucket("plain").key(key).send().await.expect(key);
        assert_eq!(&got.body.collect().await.expect("read").into_bytes()[..], b"hello", "{key}");
    }
    let listed = s3.list_objects_v2().bucket("plain").prefix("a b/c+").delimiter("/").send().await.expect("listed");
    assert_eq!(listed.key_count(), Some(1));

    // From a file: in chunks, each with a signature, and a signed trailer.
    let file = dir.path().join("upload");
    std::fs::write(&file, vec![7; 200 * 1024]).expect("written");
    let body = ByteStream::from_path(&file).await.expect("a file");
    s3.put_object().bucket("plain").key("streamed").body(body).send().await.expect("put");
    let head = s3.head_object().bucket("plain").key("streamed").send().await.expect("there");
    assert_eq!(head.content_length(), Some(200 * 1024));

    let upload = s3.create_multipart_upload().bucket("plain").key("parts").send().await.expect("begun");
    let id = upload.upload_id().expect("an id");
    let body = ByteStream::from_path(&file).await.expect("a file");
    let part = s3.upload_part().bucket("plain").key("parts").upload_id(id).part_number(1).body(body);
    let part = part.send().await.expect("a part");
    let part = CompletedPart::builder().part_number(1).set_e_tag(part.e_tag).build();
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let complete = s3.complete_multipart_upload().bucket("plain").key("parts").upload_id(id).multipart_upload(parts);
    complete.send().await.expect("complete");

    dynamodb.list_tables().send().await.expect("listed");
    kinesis.create_stream().stream_name("s").shard_count(1).send().await.expect("created");
    let streams = endpoints.sdk_config(&endpoints.dynamodb_streams_url);
    aws_sdk_dynamodbstreams::Client::new(&streams).list_streams().send().await.expect("listed");
    cloud.shutdown().await.expect("stops");
}

#[tokio::test]
async fn a_wrong_secret_and_an_unknown_key_are_refused_by_each_service() {
    let dir = tempfile::tempdir().expect("a directory");
    let cloud = enforcing(dir.path(), present()).await;
    let wrong = clients(&cloud.endpoints().signing_with(ID, &Secret::new("other".to_owned())));
    let unknown = clients(&cloud.endpoints().signing_with("AKIDUNKNOWN", &Secret::new(SECRET.to_owned())));

    let (kind, text) = refusal(wrong.s3.list_buckets().send().await);
    assert_eq!(kind, "SignatureDoesNotMatch");
    assert!(
        text.starts_with("The request signature we calculated does not match the signature you provided."),
        "{text}"
    );
    let (kind, text) = refusal(unknown.s3.list_buckets().send().await);
    let expected = "The AWS Access Key Id you provided does not exist in our records.";
    assert_eq!((&*kind, &*text), ("InvalidAccessKeyId", expected));

    let unrecognized = "The security token included in the request is invalid.";
    for (kind, text) in
        [refusal(wrong.dynamodb.list_tables().send().await), refusal(wrong.kinesis.list_streams().send().await)]
    {
        assert_eq!(kind, "InvalidSignatureException");
        assert_says(&text, &["Check your AWS Secret Access Key and signing method.", "The Canonical String"]);
    }
    for (kind, text) in
        [refusal(unknown.dynamodb.list_tables().send().await), refusal(unknown.kinesis.list_streams().send().await)]
    {
        assert_eq!((&*kind, &*text), ("UnrecognizedClientException", unrecognized));
    }
    cloud.shutdown().await.expect("stops");
}

#[tokio::test]
async fn a_clock_may_be_off_by_so_much() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = present();
    let cloud = enforcing(dir.path(), clock.clone()).await;
    let Clients { s3, dynamodb, kinesis } = clients(&cloud.endpoints());
    let minutes = |count: u64| assert!(clock.advance(Duration::from_secs(count * 60)));
    minutes(4);
    assert_eq!(code(dynamodb.list_tables().send().await), "accepted");
    assert_eq!(code(kinesis.list_streams().send().await), "accepted");
    minutes(2);
    let (kind, text) = refusal(dynamodb.list_tables().send().await);
    assert_eq!(kind, "InvalidSignatureException");
    assert_says(&text, &["Signature expired: ", " is now earlier than ", " - 5 min.)"]);
    assert_eq!(code(kinesis.list_streams().send().await), "InvalidSignatureException");
    minutes(8);
    assert_eq!(code(s3.list_buckets().send().await), "accepted");
    minutes(2);
    let (kind, text) = refusal(s3.list_buckets().send().await);
    let expected = "The difference between the request time and the current time is too large.";
    assert_eq!((&*kind, &*text), ("RequestTimeTooSkewed", expected));
    cloud.shutdown().await.expect("stops");
}

#[tokio::test]
async fn what_changes_after_signing_is_noticed() {
    let dir = tempfile::tempdir().expect("a directory");
    let cloud = enforcing(dir.path(), present()).await;
    let Clients { s3, dynamodb, .. } = clients(&cloud.endpoints());
    s3.create_bucket().bucket("plain").send().await.expect("created");
    let put = || s3.put_object().bucket("plain").key("k").metadata("a", "b").body(ByteStream::from_static(b"hello"));
    let body = Tamper(|request| *request.body_mut() = SdkBody::from("hellO"));
    let (kind, text) = refusal(put().customize().interceptor(body).send().await);
    let expected = "The provided 'x-amz-content-sha256' header does not match what was computed.";
    assert_eq!((&*kind, &*text), ("XAmzContentSHA256Mismatch", expected));
    let header = Tamper(|request| drop(request.headers_mut().insert("x-amz-meta-a", "c")));
    assert_eq!(code(put().customize().interceptor(header).send().await), "SignatureDoesNotMatch");
    let added = Tamper(|request| drop(request.headers_mut().insert("x-amz-meta-other", "c")));
    let (kind, text) = refusal(put().customize().interceptor(added).send().await);
    let expected = "There were headers present in the request which were not signed";
    assert_eq!((&*kind, &*text), ("AccessDenied", expected));
    assert_eq!(code(s3.get_object().bucket("plain").key("k").send().await), "NoSuchKey", "nothing was written");
    // What was signed is a plus; a `+` in a query is a space.
    let space = Tamper(|request| {
        let changed = request.uri().replace("%2B", "+");
        request.set_uri(changed).expect("a URI");
    });
    let list = s3.list_objects_v2().bucket("plain").prefix("a+b");
    assert_eq!(code(list.clone().send().await), "accepted");
    assert_eq!(code(list.customize().interceptor(space).send().await), "SignatureDoesNotMatch");

    let body = Tamper(|request| *request.body_mut() = SdkBody::from("[]"));
    let tampered = dynamodb.list_tables().customize().interceptor(body).send().await;
    assert_eq!(code(tampered), "InvalidSignatureException");
    assert_eq!(code(put().send().await), "accepted");
    cloud.shutdown().await.expect("stops");
}

/// Sends a presigned request, its target changed by `change`.
async fn send_presigned(cloud: &Cloud, signed: &PresignedRequest, change: (&str, &str), body: &str) -> (u16, String) {
    let host = format!("127.0.0.1:{}", cloud.port());
    let target = signed.uri().strip_prefix(&format!("http://{host}")).expect("ours");
    assert!(target.contains(change.0), "{target}");
    let mut headers = vec![("host", host.as_str())];
    headers.extend(signed.headers().filter(|(name, _)| !matches!(*name, "host" | "content-length")));
    send(cloud.port(), signed.method(), &target.replacen(change.0, change.1, 1), &headers, body).await
}

#[tokio::test]
async fn a_presigned_url_does_what_it_says_until_it_expires() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = present();
    let cloud = enforcing(dir.path(), clock.clone()).await;
    let s3 = clients(&cloud.endpoints()).s3;
    s3.create_bucket().bucket("plain").send().await.expect("created");
    let hour = || PresigningConfig::expires_in(Duration::from_secs(3_600)).expect("an hour");
    let put = s3.put_object().bucket("plain").key("a b").presigned(hour()).await.expect("presigned");
    let get = s3.get_object().bucket("plain").key("a b").presigned(hour()).await.expect("presigned");
    assert_eq!(send_presigned(&cloud, &put, ("", ""), "hello").await.0, 200);
    let (status, answer) = send_presigned(&cloud, &get, ("", ""), "").await;
    assert!(status == 200 && answer.ends_with("hello"), "{answer}");

    let (status, answer) = send_presigned(&cloud, &get, ("a%20b", "a%20c"), "").await;
    let elements =
        ["AWSAccessKeyId", "StringToSign", "SignatureProvided", "CanonicalRequest"].map(|it| format!("<{it}>"));
    assert_eq!(status, 403, "{answer}");
    assert_says(&answer, &["<Code>SignatureDoesNotMatch</Code>"]);
    assert_says(&answer, &elements.each_ref().map(String::as_str));
    assert!(!answer.contains(SECRET));
    let (status, answer) = send_presigned(&cloud, &get, ("X-Amz-Expires=3600", "X-Amz-Expires=604801"), "").await;
    assert_eq!(status, 400, "{answer}");
    assert_says(&answer, &["<Code>AuthorizationQueryParametersError</Code>", "X-Amz-Expires must be less than a week"]);

    clock.advance(Duration::from_secs(3_590));
    assert_eq!(send_presigned(&cloud, &get, ("", ""), "").await.0, 200);
    clock.advance(Duration::from_secs(20));
    let (status, answer) = send_presigned(&cloud, &get, ("", ""), "").await;
    assert_eq!(status, 403, "{answer}");
    assert_says(&answer, &["<Code>AccessDenied</Code><Message>Request has expired</Message>"]);
    assert_says(&answer, &["<X-Amz-Expires>3600</X-Amz-Expires>", "<Expires>", "<ServerTime>"]);
    cloud.shutdown().await.expect("stops");
}

#[tokio::test]
async fn whoever_does_not_sign_is_told_so_in_the_protocol_asked() {
    let dir = tempfile::tempdir().expect("a directory");
    let cloud = enforcing(dir.path(), present()).await;
    let (port, host) = (cloud.port(), ("host", "localhost"));
    let (status, answer) = send(port, "GET", "/", &[host], "").await;
    assert_eq!(status, 403, "{answer}");
    assert_says(&answer, &["<Code>AccessDenied</Code><Message>Access Denied</Message>", "x-amz-id-2: "]);

    let target = ("x-amz-target", "Kinesis_20131202.ListStreams");
    let (status, answer) = send(port, "POST", "/", &[host, target], "{}").await;
    assert_eq!(status, 400, "{answer}");
    assert_says(
        &answer,
        &["\"MissingAuthenticationTokenException\"", "\"Missing Authentication Token\"", "x-amz-id-2: "],
    );
    assert_says(&answer, &["content-type: application/x-amz-json-1.1"]);

    let (target, kind) =
        (("x-amz-target", "DynamoDB_20120810.ListTables"), ("content-type", "application/x-amz-json-1.0"));
    let (status, answer) = send(port, "POST", "/", &[host, target, kind], "{}").await;
    assert_eq!(status, 400, "{answer}");
    assert_says(&answer, &["\"com.amazon.coral.service#MissingAuthenticationTokenException\"", "X.509 certificate."]);
    let incomplete = ("authorization", "AWS4-HMAC-SHA256 Credential=a/b/c/d/e");
    let (_, answer) = send(port, "POST", "/", &[host, target, incomplete], "{}").await;
    assert_says(&answer, &["IncompleteSignatureException", "Authorization header requires 'Signature' parameter. "]);

    let (status, answer) = send(port, "GET", "/iceberg/v1/config", &[host], "").await;
    assert_eq!(status, 401, "{answer}");
    assert_says(&answer, &["\"NotAuthorizedException\"", "www-authenticate: Bearer", "x-amzn-requestid: "]);
    assert_eq!(send(port, "GET", "/_lakebed/events", &[host], "").await.0, 401);
    assert_eq!(send(port, "GET", "/_lakebed/health", &[host], "").await.0, 200);
    let old = ("authorization", "AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=");
    let (status, answer) = send(port, "GET", "/", &[host, old], "").await;
    assert_eq!(status, 400, "{answer}");
    assert_says(&answer, &["<Code>InvalidRequest</Code>", "Please use AWS4-HMAC-SHA256."]);
    cloud.shutdown().await.expect("stops");
}

/// `Authorization` of the examples' key.
fn authorization(service: &str, signed: &str, signature: &str) -> String {
    let scope = format!("{ID}/20130524/us-east-1/{service}/aws4_request");
    format!("AWS4-HMAC-SHA256 Credential={scope},SignedHeaders={signed},Signature={signature}")
}

#[tokio::test]
async fn the_examples_of_the_aws_documentation_hold() {
    let dir = tempfile::tempdir().expect("a directory");
    let cloud = enforcing(dir.path(), Clock::virtual_at(THEN)).await;
    let host = ("host", "examplebucket.s3.amazonaws.com");
    let [content, date] = [("x-amz-content-sha256", EMPTY_SHA256), ("x-amz-date", "20130524T000000Z")];
    let names = "host;x-amz-content-sha256;x-amz-date";
    for (target, signed, signature) in [
        (
            "/test.txt",
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        ("/?lifecycle", names, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543"),
        ("/?max-keys=2&prefix=J", names, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
    ] {
        let right = authorization("s3", signed, signature);
        let headers = [host, content, date, ("range", "bytes=0-9"), ("authorization", &*right)];
        let (_, answer) = send(cloud.port(), "GET", target, &headers, "").await;
        assert_says(&answer, &["<Code>NoSuchBucket</Code>"]);
        let wrong = right.replace("Signature=f", "Signature=0").replace("Signature=3", "Signature=0");
        let headers = [host, content, date, ("range", "bytes=0-9"), ("authorization", &*wrong)];
        let (status, answer) = send(cloud.port(), "GET", target, &headers, "").await;
        assert_eq!(status, 403);
        assert_says(&answer, &["<Code>SignatureDoesNotMatch</Code>"]);
    }
    let presigned = format!(
        "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={ID}%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=\
         20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=\
         aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    );
    let (_, answer) = send(cloud.port(), "GET", &presigned, &[host], "").await;
    assert_says(&answer, &["<Code>NoSuchBucket</Code>"]);
    cloud.shutdown().await.expect("stops");
}

#[tokio::test]
async fn signed_chunks_are_taken_and_a_changed_byte_in_one_is_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let cloud = enforcing(dir.path(), Clock::virtual_at(THEN)).await;
    let (host, date, empty) =
        (("host", "localhost"), ("x-amz-date", "20130524T000000Z"), ("x-amz-content-sha256", EMPTY_SHA256));
    let names = "host;x-amz-content-sha256;x-amz-date";
    let create = authorization("s3", names, "8ace258889e53d2728b89c67138d8e89d8319ea629f279fab826b1c17e19b04d");
    let created = send(cloud.port(), "PUT", "/plain", &[host, date, empty, ("authorization", &*create)], "").await;
    assert_eq!(created.0, 200, "{}", created.1);
    let put = authorization(
        "s3",
        "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length",
        "1a9b192e37a1b8063fd4663f33c2fd1ccbb083d31d3a30333a5d9a83485135fa",
    );
    let headers = [
        host,
        date,
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("x-amz-decoded-content-length", "8195"),
        ("content-encoding", "aws-chunked"),
        ("authorization", &*put),
    ];
    let body = format!(
        "2000;chunk-signature=884e58cd91143f8244f719ce39522025b4a5db81da4b225aacc9f0a292e2f1ac\r\n{}\r\n\
         3;chunk-signature=0910b00494f9b9dcca4b8927293defb2b25ed518f692c398130437fe32043409\r\nend\r\n\
         0;chunk-signature=c096caed75d1ab37fe0e4d4dd7bd797f9df39552aebff3de481067de86dd1404\r\n\r\n",
        "a".repeat(8192)
    );
    let get = authorization("s3", names, "c56867d11eb574e0a9e42b32eb593eabf2e6a27c50d4ce8ade8c382846ee5160");
    let get = [host, date, empty, ("authorization", &*get)];
    for (change, to) in [
        ("end", "eNd"),
        ("aaaa", "aaba"),
        (
            "c096caed75d1ab37fe0e4d4dd7bd797f9df39552aebff3de481067de86dd1404",
            "884e58cd91143f8244f719ce39522025b4a5db81da4b225aacc9f0a292e2f1ac",
        ),
    ] {
        let changed = body.replacen(change, to, 1);
        let (status, answer) = send(cloud.port(), "PUT", "/plain/chunked", &headers, &changed).await;
        assert_eq!(status, 403, "{answer}");
        assert_says(&answer, &["<Code>SignatureDoesNotMatch</Code>", "<StringToSign>AWS4-HMAC-SHA256-PAYLOAD\n"]);
        assert_eq!(send(cloud.port(), "GET", "/plain/chunked", &get, "").await.0, 404, "nothing was written");
    }
    let (status, answer) = send(cloud.port(), "PUT", "/plain/chunked", &headers, &body).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = send(cloud.port(), "GET", "/plain/chunked", &get, "").await;
    assert!(status == 200 && answer.ends_with("aend"), "{answer}");
    cloud.shutdown().await.expect("stops");
}

#[tokio::test]
async fn json_requests_are_known_by_their_scope_and_may_be_presigned() {
    let dir = tempfile::tempdir().expect("a directory");
    let cloud = enforcing(dir.path(), Clock::virtual_at(THEN)).await;
    let (host, date) = (("host", "localhost"), ("x-amz-date", "20130524T000000Z"));
    let no_target =
        authorization("kinesis", "host;x-amz-date", "f0aea7aff3c670e9395756b07f5658e82ddde76a271a6319ebe42580119346eb");
    let (status, answer) = send(cloud.port(), "POST", "/", &[host, date, ("authorization", &*no_target)], "{}").await;
    assert_eq!(status, 400, "{answer}");
    assert_says(&answer, &["UnknownOperationException", "content-type: application/x-amz-json-1.1", "x-amz-id-2: "]);

    let presigned = format!(
        "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={ID}%2F20130524%2Fus-east-1%2Fkinesis%2Faws4_request&X-Amz-Date=\
         20130524T000000Z&X-Amz-Expires=600&X-Amz-SignedHeaders=host%3Bx-amz-target&X-Amz-Signature=fc1052e73c3247daf8e0007194db32351b326b805f033f56e53ff9a0728b560f"
    );
    let target = ("x-amz-target", "Kinesis_20131202.ListStreams");
    let (status, answer) = send(cloud.port(), "POST", &presigned, &[host, target], "{}").await;
    assert_eq!(status, 200, "{answer}");
    assert_says(&answer, &["StreamNames"]);
    let other = ("x-amz-target", "Kinesis_20131202.DescribeLimits");
    let (_, answer) = send(cloud.port(), "POST", &presigned, &[host, other], "{}").await;
    assert_says(&answer, &["InvalidSignatureException"]);
    let both = authorization("kinesis", "host", "00");
    let (_, answer) = send(cloud.port(), "POST", &presigned, &[host, target, ("authorization", &*both)], "{}").await;
    assert_says(&answer, &["Found both 'X-Amz-Algorithm' as a query-string param and 'Authorization' as HTTP header."]);
    cloud.shutdown().await.expect("stops");
}

#[tokio::test]
async fn the_catalog_takes_a_token_or_exchanges_a_key_for_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let cloud = enforcing(dir.path(), present()).await;
    let catalog = async |property: &str, value: String| {
        let uri = (REST_CATALOG_PROP_URI.to_owned(), cloud.endpoints().catalog_url);
        let properties = [uri, (property.to_owned(), value)].into_iter().collect();
        let files = Arc::new(OpenDalStorageFactory::S3 { customized_credential_load: None });
        let builder = RestCatalogBuilder::default().with_storage_factory(files);
        builder.load("lakebed", properties).await.expect("a client")
    };
    let silver = NamespaceIdent::new("silver".to_owned());
    let with_token = catalog("token", bearer_token(ID, SECRET)).await;
    with_token.create_namespace(&silver, Default::default()).await.expect("created");
    let with_key = catalog("credential", format!("{ID}:{SECRET}")).await;
    assert_eq!(with_key.list_namespaces(None).await.expect("listed"), std::slice::from_ref(&silver));
    for (property, value) in
        [("token", bearer_token(ID, "other")), ("token", SECRET.to_owned()), ("credential", format!("{ID}:other"))]
    {
        let refused = catalog(property, value).await.list_namespaces(None).await;
        assert!(refused.is_err(), "{property}");
    }
    let tokens = "/iceberg/v1/oauth/tokens";
    let form = async |form: &str| {
        let kind = ("content-type", "application/x-www-form-urlencoded");
        send(cloud.port(), "POST", tokens, &[("host", "localhost"), kind], form).await
    };
    let (status, answer) = form(&format!("grant_type=client_credentials&client_id={ID}&client_secret=other")).await;
    assert_eq!(status, 401, "{answer}");
    assert_says(&answer, &["\"invalid_client\""]);
    let (status, answer) = form(&format!("grant_type=password&client_id={ID}&client_secret={SECRET}")).await;
    assert_eq!(status, 400, "{answer}");
    assert_says(&answer, &["\"unsupported_grant_type\""]);
    // Refused by what the head says: the body is never sent.
    let head =
        format!("POST {tokens} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 65537\r\n\r\n");
    let answer = wire::raw(cloud.port(), &head).await;
    assert_eq!(wire::status(&answer), 413, "{answer}");
    assert_says(&answer, &["the body is too long"]);
    assert_eq!(send(cloud.port(), "GET", tokens, &[("host", "localhost")], "").await.0, 405);
    let token = format!("Bearer {}", bearer_token(ID, SECRET));
    let (status, answer) =
        send(cloud.port(), "GET", "/", &[("host", "localhost"), ("authorization", &*token)], "").await;
    assert_eq!(status, 400, "a token opens no store: {answer}");
    cloud.shutdown().await.expect("stops");
}

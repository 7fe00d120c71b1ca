//! S3 through the real SDK, with its default checksums (aws-chunked bodies, CRC trailers).

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, CompletedMultipartUpload, CompletedPart, Delete, MetadataDirective,
    ObjectIdentifier,
};

use crate::wire::send;
use crate::{Running, code};

pub(crate) const BUCKET: &str = "dm-stage";
pub(crate) const PART: usize = 5 * 1024 * 1024;

pub(crate) async fn start(dir: &tempfile::TempDir) -> Running {
    let running = Running::start(dir.path()).await;
    running.s3.create_bucket().bucket(BUCKET).send().await.expect("created");
    running
}

pub(crate) async fn put(s3: &Client, key: &str, body: &[u8]) -> String {
    let put = s3.put_object().bucket(BUCKET).key(key).body(ByteStream::from(body.to_vec())).send().await;
    put.expect("put").e_tag().expect("an ETag").to_owned()
}

pub(crate) async fn get(s3: &Client, key: &str) -> Vec<u8> {
    let got = s3.get_object().bucket(BUCKET).key(key).send().await.expect("got");
    got.body.collect().await.expect("a body").into_bytes().to_vec()
}

/// Bytes that do not repeat soon.
pub(crate) fn noise(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8).collect()
}

#[tokio::test]
async fn what_is_put_is_got_with_its_headers() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let put = s3
        .put_object()
        .bucket(BUCKET)
        .key("raw/a.gz")
        .body(ByteStream::from_static(b"hello"))
        .content_type("text/csv")
        .content_encoding("gzip")
        .metadata("lakebed-mapping", "YWJj")
        .send()
        .await
        .expect("put");
    assert_eq!(put.e_tag(), Some("\"5d41402abc4b2a76b9719d911017c592\""));
    assert!(put.checksum_crc32().is_some() || put.checksum_crc64_nvme().is_some(), "the SDK sends a checksum: {put:?}");
    let got = s3.get_object().bucket(BUCKET).key("raw/a.gz").send().await.expect("got");
    assert_eq!((got.content_type(), got.content_encoding()), (Some("text/csv"), Some("gzip")));
    assert_eq!(got.metadata().and_then(|m| m.get("lakebed-mapping")).map(String::as_str), Some("YWJj"));
    assert_eq!(got.last_modified().map(|at| at.secs()), Some(1_700_000_000));
    assert_eq!(got.body.collect().await.expect("a body").to_vec(), b"hello");
    let head = s3.head_object().bucket(BUCKET).key("raw/a.gz").checksum_mode(ChecksumMode::Enabled).send().await;
    let head = head.expect("head");
    assert_eq!(head.content_length(), Some(5));
    assert_eq!(head.checksum_crc32(), put.checksum_crc32());
    let large = noise(20_000);
    self::put(s3, "raw/large.gz", &large).await;
    assert!(std::fs::read(dir.path().join("s3/dm-stage/raw/large.gz")).expect("a plain file") == large);
    assert_eq!(code(s3.get_object().bucket(BUCKET).key("nothing").send().await), "NoSuchKey");
    assert_eq!(code(s3.get_object().bucket("no-bucket").key("k").send().await), "NoSuchBucket");
    let missing = s3.head_object().bucket(BUCKET).key("nothing").send().await.expect_err("missing");
    assert!(missing.as_service_error().is_some_and(|error| error.is_not_found()));
    running.stop().await;
}

#[tokio::test]
async fn every_checksum_and_a_streamed_body_are_verified() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let path = dir.path().join("body");
    let body = noise(3 * 1024 * 1024 + 17);
    std::fs::write(&path, &body).expect("written");
    for algorithm in [
        ChecksumAlgorithm::Crc32,
        ChecksumAlgorithm::Crc32C,
        ChecksumAlgorithm::Crc64Nvme,
        ChecksumAlgorithm::Sha1,
        ChecksumAlgorithm::Sha256,
    ] {
        // A body from a file is sent aws-chunked with the checksum in a trailer.
        let streamed = ByteStream::from_path(&path).await.expect("a stream");
        let put = s3.put_object().bucket(BUCKET).key("k").checksum_algorithm(algorithm.clone()).body(streamed);
        put.send().await.unwrap_or_else(|error| panic!("{algorithm}: {error:?}"));
        let got =
            s3.get_object().bucket(BUCKET).key("k").checksum_mode(ChecksumMode::Enabled).send().await.expect("got");
        let sums = [
            got.checksum_crc32(),
            got.checksum_crc32_c(),
            got.checksum_crc64_nvme(),
            got.checksum_sha1(),
            got.checksum_sha256(),
        ];
        assert_eq!(sums.iter().flatten().count(), 1, "{algorithm}: {sums:?}");
        assert!(got.body.collect().await.expect("the SDK verifies it").to_vec() == body, "{algorithm}");
    }
    let lie = s3.put_object().bucket(BUCKET).key("lie").checksum_crc32("AAAAAA==").body(ByteStream::from_static(b"x"));
    assert_eq!(code(lie.send().await), "BadDigest");
    let lie = s3
        .put_object()
        .bucket(BUCKET)
        .key("lie")
        .content_md5("1B2M2Y8AsgTpgAmY7PhCfg==")
        .body(ByteStream::from_static(b"x"));
    assert_eq!(code(lie.send().await), "BadDigest");
    assert_eq!(code(s3.get_object().bucket(BUCKET).key("lie").send().await), "NoSuchKey");
    let left = std::fs::read_dir(dir.path().join("s3-staging")).expect("there").count();
    assert_eq!(left, 0, "refused bodies leave nothing behind");
    running.stop().await;
}

#[tokio::test]
async fn ranges_and_read_conditions() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let etag = put(s3, "k", b"0123456789").await;
    let request = || s3.get_object().bucket(BUCKET).key("k");
    for (range, expected, content_range) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=8-99", "89", "bytes 8-9/10"),
    ] {
        let got = request().range(range).send().await.expect("got");
        assert_eq!(got.content_range(), Some(content_range), "{range}");
        assert_eq!(got.body.collect().await.expect("a body").to_vec(), expected.as_bytes(), "{range}");
    }
    assert_eq!(code(request().range("bytes=10-").send().await), "InvalidRange");
    request().if_match(&etag).send().await.expect("matches");
    assert_eq!(code(request().if_match("\"other\"").send().await), "PreconditionFailed");
    let unchanged = request().if_none_match(&etag).send().await.expect_err("not modified");
    assert_eq!(unchanged.raw_response().map(|raw| raw.status().as_u16()), Some(304));
    let large = noise(700 * 1024);
    put(s3, "large", &large).await;
    let got = s3.get_object().bucket(BUCKET).key("large").range("bytes=1000-600999").send().await.expect("got");
    assert!(got.body.collect().await.expect("a body").to_vec() == large[1000..601_000]);
    running.stop().await;
}

#[tokio::test]
async fn conditional_writes_let_one_writer_win() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let create = |n: usize| {
        s3.put_object().bucket(BUCKET).key("once").if_none_match("*").body(ByteStream::from(vec![n as u8])).send()
    };
    let outcomes = futures::future::join_all((0..8).map(create)).await;
    let codes: Vec<String> = outcomes.into_iter().map(code).collect();
    assert_eq!(codes.iter().filter(|code| *code == "accepted").count(), 1, "{codes:?}");
    assert_eq!(codes.iter().filter(|code| *code == "PreconditionFailed").count(), 7, "{codes:?}");
    let first = put(s3, "k", b"1").await;
    let swap =
        |etag: &str| s3.put_object().bucket(BUCKET).key("k").if_match(etag).body(ByteStream::from_static(b"2")).send();
    swap(&first).await.expect("the ETag is current");
    assert_eq!(code(swap(&first).await), "PreconditionFailed");
    let absent = s3.put_object().bucket(BUCKET).key("absent").if_match(&first).body(ByteStream::from_static(b"2"));
    assert_eq!(code(absent.send().await), "NoSuchKey");
    running.stop().await;
}

#[tokio::test]
async fn listings_are_paged_grouped_and_sorted_by_bytes() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let mut keys: Vec<String> = (0..25).map(|n| format!("raw/review/{n:02}.gz")).collect();
    keys.extend(["raw/beer/1.gz", "raw/é", "raw/z", "raw.txt", "top"].map(str::to_owned));
    for key in &keys {
        put(s3, key, b"x").await;
    }
    keys.sort();
    let mut found = Vec::new();
    let mut token = None;
    loop {
        let page =
            s3.list_objects_v2().bucket(BUCKET).max_keys(4).set_continuation_token(token).send().await.expect("listed");
        assert!(page.contents().len() <= 4);
        found.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
        token = page.next_continuation_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(found, keys);

    let grouped = |token: Option<String>| {
        s3.list_objects_v2()
            .bucket(BUCKET)
            .prefix("raw/")
            .delimiter("/")
            .max_keys(2)
            .set_continuation_token(token)
            .send()
    };
    let first = grouped(None).await.expect("listed");
    let groups: Vec<_> = first.common_prefixes().iter().filter_map(|group| group.prefix()).collect();
    assert_eq!((groups, first.contents().len(), first.key_count()), (vec!["raw/beer/", "raw/review/"], 0, Some(2)));
    let second = grouped(first.next_continuation_token().map(str::to_owned)).await.expect("listed");
    let rest: Vec<_> = second.contents().iter().filter_map(|object| object.key()).collect();
    assert_eq!((rest, second.is_truncated()), (vec!["raw/z", "raw/é"], Some(false)));
    let after = s3.list_objects_v2().bucket(BUCKET).prefix("raw/review/").start_after("raw/review/22.gz").send().await;
    assert_eq!(after.expect("listed").contents().len(), 2);

    let old = s3.list_objects().bucket(BUCKET).delimiter("/").max_keys(1).send().await.expect("listed");
    assert_eq!(old.next_marker(), Some("raw.txt"));
    let old = s3.list_objects().bucket(BUCKET).delimiter("/").max_keys(1).marker("raw/").send().await.expect("listed");
    assert_eq!(old.contents()[0].key(), Some("top"));
    running.stop().await;
}

#[tokio::test]
async fn awkward_keys_round_trip_list_and_stay_inside_the_bucket() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let long = "x".repeat(1000);
    let keys = [
        "a",
        "a/b",
        "a/b/c",
        "dir/",
        "a//b",
        "//",
        "../escape",
        "x/../../y",
        "./z",
        "space and+plus",
        "ü/é=ß&?#%",
        "%/x",
        "q?w",
        "t=1/m=01/f.parquet",
        "back\\slash",
        &long,
    ];
    // Large enough for files, which have names.
    let body = |key: &str| [key.as_bytes(), &noise(20_000)].concat();
    for key in keys {
        put(s3, key, &body(key)).await;
    }
    for key in keys {
        assert!(get(s3, key).await == body(key), "{key:?}");
    }
    let listed = s3.list_objects_v2().bucket(BUCKET).send().await.expect("listed");
    let mut sorted = keys.to_vec();
    sorted.sort_unstable();
    assert_eq!(listed.contents().iter().filter_map(|object| object.key()).collect::<Vec<_>>(), sorted);
    let buckets: Vec<_> = std::fs::read_dir(dir.path().join("s3")).expect("there").collect();
    assert_eq!(buckets.len(), 1, "nothing beside the bucket: {buckets:?}");
    assert!(!dir.path().join("escape").exists() && !dir.path().join("y").exists());
    let delete = keys.map(|key| ObjectIdentifier::builder().key(key).build().expect("complete"));
    let delete = Delete::builder().set_objects(Some(delete.to_vec())).build().expect("complete");
    let deleted = s3.delete_objects().bucket(BUCKET).delete(delete).send().await.expect("deleted");
    assert_eq!((deleted.deleted().len(), deleted.errors().len()), (keys.len(), 0));
    s3.delete_bucket().bucket(BUCKET).send().await.expect("the bucket is empty");
    assert_eq!(code(s3.put_object().bucket(BUCKET).key("k").send().await), "NoSuchBucket");
    running.stop().await;
}

pub(crate) async fn upload_part(s3: &Client, key: &str, upload: &str, number: i32, body: Vec<u8>) -> CompletedPart {
    let part =
        s3.upload_part().bucket(BUCKET).key(key).upload_id(upload).part_number(number).body(ByteStream::from(body));
    let part = part.send().await.expect("uploaded");
    CompletedPart::builder().part_number(number).set_e_tag(part.e_tag).build()
}

pub(crate) async fn create_upload(s3: &Client, key: &str) -> String {
    let created =
        s3.create_multipart_upload().bucket(BUCKET).key(key).metadata("m", "v").send().await.expect("created");
    created.upload_id().expect("an id").to_owned()
}

#[tokio::test]
async fn multipart_uploads_are_joined_in_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let upload = create_upload(s3, "big").await;
    let body = noise(2 * PART + 100);
    let third = upload_part(s3, "big", &upload, 3, body[2 * PART..].to_vec()).await;
    upload_part(s3, "big", &upload, 1, b"replaced".to_vec()).await;
    let first = upload_part(s3, "big", &upload, 1, body[..PART].to_vec()).await;
    let second = upload_part(s3, "big", &upload, 2, body[PART..2 * PART].to_vec()).await;
    let complete = |parts: Vec<CompletedPart>| {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        s3.complete_multipart_upload().bucket(BUCKET).key("big").upload_id(&upload).multipart_upload(parts).send()
    };
    assert_eq!(code(complete(vec![second.clone(), first.clone()]).await), "InvalidPartOrder");
    complete(vec![first, second, third]).await.expect("completed");
    assert!(get(s3, "big").await == body);
    assert_eq!(code(complete(vec![]).await), "NoSuchUpload");
    running.stop().await;
}

#[tokio::test]
async fn the_five_mebibyte_rule_and_the_etag_of_parts() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let upload = create_upload(s3, "big").await;
    let body = noise(PART + 100);
    let small = upload_part(s3, "big", &upload, 1, b"small".to_vec()).await;
    let large = upload_part(s3, "big", &upload, 2, body[..PART].to_vec()).await;
    let last = upload_part(s3, "big", &upload, 3, body[PART..].to_vec()).await;
    let complete = |parts: Vec<CompletedPart>| {
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        s3.complete_multipart_upload().bucket(BUCKET).key("big").upload_id(&upload).multipart_upload(parts).send()
    };
    assert_eq!(code(complete(vec![small, large.clone()]).await), "EntityTooSmall");
    let wrong = CompletedPart::builder().part_number(3).e_tag("\"00\"").build();
    assert_eq!(code(complete(vec![large.clone(), wrong]).await), "InvalidPart");
    let done = complete(vec![large, last]).await.expect("completed");
    assert!(done.e_tag().is_some_and(|etag| etag.ends_with("-2\"")), "{done:?}");
    assert!(get(s3, "big").await == body);
    let head = s3.head_object().bucket(BUCKET).key("big").send().await.expect("head");
    assert_eq!(head.metadata().and_then(|m| m.get("m")).map(String::as_str), Some("v"));
    let aborted = create_upload(s3, "gone").await;
    upload_part(s3, "gone", &aborted, 1, b"x".to_vec()).await;
    s3.abort_multipart_upload().bucket(BUCKET).key("gone").upload_id(&aborted).send().await.expect("aborted");
    let again = s3.abort_multipart_upload().bucket(BUCKET).key("gone").upload_id(&aborted).send().await;
    assert_eq!(code(again), "NoSuchUpload");
    assert_eq!(std::fs::read_dir(dir.path().join("s3-parts")).expect("there").count(), 0);
    running.stop().await;
}

#[tokio::test]
async fn copies_keep_or_replace_metadata() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let source =
        s3.put_object().bucket(BUCKET).key("a b").metadata("m", "1").body(ByteStream::from_static(b"x")).send().await;
    let etag = source.expect("put").e_tag.expect("an ETag");
    let copy = || s3.copy_object().bucket(BUCKET).copy_source(format!("{BUCKET}/a%20b"));
    let copied = copy().key("c").send().await.expect("copied");
    assert_eq!(copied.copy_object_result().and_then(|result| result.e_tag()), Some(etag.as_str()));
    let metadata = async |key: &str| {
        let head = s3.head_object().bucket(BUCKET).key(key).send().await.expect("head");
        head.metadata().and_then(|metadata| metadata.get("m")).cloned()
    };
    assert_eq!(metadata("c").await.as_deref(), Some("1"));
    let replaced = copy().key("c").metadata_directive(MetadataDirective::Replace).metadata("m", "2");
    replaced.send().await.expect("copied");
    assert_eq!((metadata("c").await.as_deref(), metadata("a b").await.as_deref()), (Some("2"), Some("1")));
    assert_eq!(code(copy().key("a b").send().await), "InvalidRequest");
    assert_eq!(code(copy().key("d").copy_source_if_match("\"no\"").send().await), "PreconditionFailed");
    assert_eq!(get(s3, "c").await, b"x");
    running.stop().await;
}

#[tokio::test]
async fn buckets_are_made_listed_located_and_refused_when_full() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    s3.create_bucket().bucket(BUCKET).send().await.expect("us-east-1 lets an owner create a bucket twice");
    s3.create_bucket().bucket("dm-datalake").send().await.expect("created");
    let buckets = s3.list_buckets().send().await.expect("listed");
    assert_eq!(
        buckets.buckets().iter().filter_map(|bucket| bucket.name()).collect::<Vec<_>>(),
        ["dm-datalake", BUCKET]
    );
    s3.head_bucket().bucket(BUCKET).send().await.expect("there");
    assert!(s3.head_bucket().bucket("nowhere").send().await.is_err());
    s3.get_bucket_location().bucket(BUCKET).send().await.expect("located");
    put(s3, "k", b"x").await;
    assert_eq!(code(s3.delete_bucket().bucket(BUCKET).send().await), "BucketNotEmpty");
    s3.delete_object().bucket(BUCKET).key("k").send().await.expect("deleted");
    s3.delete_object().bucket(BUCKET).key("k").send().await.expect("deleting nothing succeeds");
    s3.delete_bucket().bucket(BUCKET).send().await.expect("deleted");
    running.stop().await;
}

#[tokio::test]
async fn a_reader_sees_one_version_while_the_key_is_overwritten() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = running.s3.clone();
    let version = |n: u8| vec![n; 600 * 1024];
    put(&s3, "k", &version(0)).await;
    let writer = tokio::spawn({
        let s3 = s3.clone();
        async move {
            for n in 1..20 {
                put(&s3, "k", &version(n)).await;
            }
        }
    });
    while !writer.is_finished() {
        let body = get(&s3, "k").await;
        assert!(body.len() == 600 * 1024 && body.iter().all(|byte| *byte == body[0]), "versions are mixed");
    }
    writer.await.expect("the writer ends");
    assert_eq!(get(&s3, "k").await[0], 19);
    running.stop().await;
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    put(&running.s3, "a", b"1").await;
    put(&running.s3, "a/b", b"2").await;
    let upload = create_upload(&running.s3, "parts").await;
    let part = upload_part(&running.s3, "parts", &upload, 1, b"3".to_vec()).await;
    running.stop().await;
    std::fs::write(dir.path().join("s3-staging/left"), b"half").expect("written");

    let running = Running::start(dir.path()).await;
    let s3 = &running.s3;
    assert_eq!((get(s3, "a").await, get(s3, "a/b").await), (b"1".to_vec(), b"2".to_vec()));
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("parts").upload_id(upload).multipart_upload(parts);
    complete.send().await.expect("completed");
    assert_eq!(get(s3, "parts").await, b"3");
    assert!(!dir.path().join("s3-staging/left").exists(), "a dead process's staging file is swept");
    running.stop().await;
}

#[tokio::test]
async fn presigned_urls_need_no_credentials_here() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    put(&running.s3, "k", b"presigned").await;
    let valid = PresigningConfig::expires_in(Duration::from_secs(60)).expect("valid");
    let presigned = running.s3.get_object().bucket(BUCKET).key("k").presigned(valid).await.expect("signed");
    let (_, path) = presigned.uri().split_once("//").and_then(|(_, rest)| rest.split_once('/')).expect("a URL");
    let answer = send(running.cloud.port(), &format!("GET /{path}"), &[], "").await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("presigned"), "{answer}");
    running.stop().await;
}

/// One raw PUT of an `aws-chunked` body with a CRC32 trailer, as the SDKs send streams; gives the answer.
async fn put_chunked(running: &Running, key: &str, crc32: &str) -> String {
    let body = format!("6\r\nhello \r\n5\r\nworld\r\n0\r\nx-amz-checksum-crc32:{crc32}\r\n\r\n");
    let signature =
        "AWS4-HMAC-SHA256 Credential=anybody/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00";
    let headers = [
        ("authorization", signature),
        ("x-amz-content-sha256", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", "11"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ];
    send(running.cloud.port(), &format!("PUT /{BUCKET}/{key}"), &headers, &body).await
}

#[tokio::test]
async fn chunked_bodies_of_any_credential_are_decoded_and_their_trailers_verified() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let answer = put_chunked(&running, "k", "DUoRhQ==").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(get(&running.s3, "k").await, b"hello world");
    let head = running.s3.head_object().bucket(BUCKET).key("k").send().await.expect("head");
    assert_eq!((head.content_length(), head.content_encoding()), (Some(11), None));
    let answer = put_chunked(&running, "k", "AAAAAA==").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("BadDigest"), "{answer}");
    running.stop().await;
}

#[tokio::test]
async fn the_sdk_does_send_trailers() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let path = dir.path().join("body");
    std::fs::write(&path, noise(200_000)).expect("written");
    let sent = std::sync::Arc::new(std::sync::Mutex::new(None));
    let seen = std::sync::Arc::clone(&sent);
    let put =
        running.s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from_path(&path).await.expect("a stream"));
    let put = put.customize().mutate_request(move |request| {
        *seen.lock().expect("not poisoned") = request.headers().get("x-amz-trailer").map(str::to_owned);
    });
    put.send().await.expect("put");
    // If this changes, `every_checksum_and_a_streamed_body_are_verified` no longer covers aws-chunked bodies.
    assert_eq!(sent.lock().expect("not poisoned").as_deref(), Some("x-amz-checksum-crc32"));
    running.stop().await;
}

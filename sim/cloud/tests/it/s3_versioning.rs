//! Versioned buckets through the real SDK: markers, null versions, listings, removals, copies, restarts.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumAlgorithm, CompletedMultipartUpload, Delete, MfaDelete, ObjectIdentifier,
    VersioningConfiguration,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::s3::{BUCKET, create_upload, get, put, start, upload_part};
use crate::wire::{connected, status};
use crate::{Running, code};

async fn set(s3: &Client, status: BucketVersioningStatus) {
    let configuration = VersioningConfiguration::builder().status(status).build();
    let put = s3.put_bucket_versioning().bucket(BUCKET).versioning_configuration(configuration);
    put.send().await.expect("set");
}

async fn enable(s3: &Client) {
    set(s3, BucketVersioningStatus::Enabled).await;
}

/// Writes a version; gives its id.
async fn write(s3: &Client, key: &str, body: &str) -> Option<String> {
    let put = s3.put_object().bucket(BUCKET).key(key).body(ByteStream::from(body.as_bytes().to_vec()));
    put.send().await.expect("put").version_id().map(str::to_owned)
}

async fn read(s3: &Client, key: &str, version: &str) -> String {
    let got = s3.get_object().bucket(BUCKET).key(key).version_id(version).send().await.expect("got");
    assert_eq!(got.version_id(), Some(version));
    String::from_utf8(got.body.collect().await.expect("a body").to_vec()).expect("text")
}

/// All versions of the bucket in pages of `limit`, as `key latest|old id`, markers with a star.
async fn versions(s3: &Client, limit: i32) -> Vec<String> {
    let (mut lines, mut markers) = (Vec::new(), (None, None));
    loop {
        let (key, version) = markers;
        let page = s3
            .list_object_versions()
            .bucket(BUCKET)
            .max_keys(limit)
            .set_key_marker(key)
            .set_version_id_marker(version)
            .send()
            .await
            .expect("listed");
        let line = |key: Option<&str>, is_latest: Option<bool>, id: Option<&str>, star: &str| {
            let state = if is_latest == Some(true) { "latest" } else { "old" };
            format!("{}{star} {state} {}", key.expect("a key"), id.expect("an id"))
        };
        let objects = page.versions().iter().map(|v| line(v.key(), v.is_latest(), v.version_id(), ""));
        let hidden = page.delete_markers().iter().map(|v| line(v.key(), v.is_latest(), v.version_id(), "*"));
        let found: Vec<String> = objects.chain(hidden).collect();
        assert!(found.len() <= usize::try_from(limit).expect("small"));
        lines.extend(found);
        if page.is_truncated() != Some(true) {
            return lines;
        }
        markers = (page.next_key_marker().map(str::to_owned), page.next_version_id_marker().map(str::to_owned));
    }
}

#[tokio::test]
async fn a_marker_hides_the_object_until_it_is_removed() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    enable(s3).await;
    // A file, which has a name.
    let large = "2".repeat(20_000);
    let one = write(s3, "k", "1").await.expect("a version");
    let two = write(s3, "k", &large).await.expect("a version");
    assert!(one != two && one.len() == 32 && one.bytes().all(|b| b.is_ascii_alphanumeric() || b"._".contains(&b)));
    let deleted = s3.delete_object().bucket(BUCKET).key("k").send().await.expect("deleted");
    let marker = deleted.version_id().expect("a version").to_owned();
    assert_eq!(deleted.delete_marker(), Some(true));

    let hidden = s3.get_object().bucket(BUCKET).key("k").send().await.expect_err("hidden");
    let answer = hidden.raw_response().expect("an answer");
    assert_eq!((answer.status().as_u16(), hidden.code()), (404, Some("NoSuchKey")));
    assert_eq!(answer.headers().get("x-amz-delete-marker"), Some("true"));
    assert_eq!(answer.headers().get("x-amz-version-id"), Some(marker.as_str()));
    let named = s3.get_object().bucket(BUCKET).key("k").version_id(&marker).send().await.expect_err("a marker");
    let answer = named.raw_response().expect("an answer");
    assert_eq!((answer.status().as_u16(), named.code()), (405, Some("MethodNotAllowed")));
    assert_eq!(
        (answer.headers().get("allow"), answer.headers().get("x-amz-delete-marker")),
        (Some("DELETE"), Some("true"))
    );
    assert_eq!((read(s3, "k", &one).await, read(s3, "k", &two).await), ("1".to_owned(), large.clone()));
    let listed = s3.list_objects_v2().bucket(BUCKET).send().await.expect("listed");
    assert_eq!(listed.key_count(), Some(0));
    assert!(!dir.path().join("s3/dm-stage/k").exists(), "no plain file under the key");
    let expected = [format!("k old {two}"), format!("k old {one}"), format!("k* latest {marker}")];
    assert_eq!(versions(s3, 1000).await, expected);

    let revived = s3.delete_object().bucket(BUCKET).key("k").version_id(&marker).send().await.expect("removed");
    assert_eq!((revived.delete_marker(), revived.version_id()), (Some(true), Some(marker.as_str())));
    assert_eq!(get(s3, "k").await, large.as_bytes());
    assert_eq!(std::fs::read(dir.path().join("s3/dm-stage/k")).expect("a plain file"), large.as_bytes());
    let removed = s3.delete_object().bucket(BUCKET).key("k").version_id(&two).send().await.expect("removed");
    assert_eq!((removed.delete_marker(), removed.version_id()), (None, Some(two.as_str())));
    assert_eq!(get(s3, "k").await, b"1", "the one before is current again");
    running.stop().await;
}

#[tokio::test]
async fn versions_outlive_the_process_and_stand_in_the_way_of_their_bucket() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    write(&running.s3, "k", "0").await;
    enable(&running.s3).await;
    let one = write(&running.s3, "k", "1").await.expect("a version");
    running.s3.delete_object().bucket(BUCKET).key("k").send().await.expect("deleted");
    let before = versions(&running.s3, 1000).await;
    running.stop().await;

    let running = Running::start(dir.path()).await;
    let s3 = &running.s3;
    assert_eq!(versions(s3, 1).await.len(), 3);
    assert_eq!(versions(s3, 1000).await, before);
    assert_eq!((read(s3, "k", "null").await.as_str(), read(s3, "k", &one).await.as_str()), ("0", "1"));
    let status = s3.get_bucket_versioning().bucket(BUCKET).send().await.expect("versioning");
    assert_eq!(status.status(), Some(&BucketVersioningStatus::Enabled));
    let two = write(s3, "k", "2").await.expect("a version");
    assert!(two != one, "no id is given twice");
    let refused = s3.delete_bucket().bucket(BUCKET).send().await.expect_err("not empty");
    assert_eq!(refused.code(), Some("BucketNotEmpty"));
    let text = "The bucket you tried to delete is not empty. You must delete all versions in the bucket.";
    assert_eq!(refused.message(), Some(text));
    s3.delete_object().bucket(BUCKET).key("k").send().await.expect("deleted");
    assert_eq!(code(s3.delete_bucket().bucket(BUCKET).send().await), "BucketNotEmpty", "nothing is visible, but there");

    let all = s3.list_object_versions().bucket(BUCKET).send().await.expect("listed");
    let named = |key: Option<&str>, id: Option<&str>| {
        let object = ObjectIdentifier::builder().key(key.expect("a key")).version_id(id.expect("an id"));
        object.build().expect("complete")
    };
    let objects = all.versions().iter().map(|v| named(v.key(), v.version_id()));
    let markers = all.delete_markers().iter().map(|v| named(v.key(), v.version_id()));
    let delete = Delete::builder().set_objects(Some(objects.chain(markers).collect())).build().expect("complete");
    let done = s3.delete_objects().bucket(BUCKET).delete(delete).send().await.expect("deleted");
    assert_eq!((done.deleted().len(), done.errors().len()), (5, 0));
    let markers = done.deleted().iter().filter(|deleted| deleted.delete_marker() == Some(true));
    assert!(markers.clone().all(|marker| marker.version_id() == marker.delete_marker_version_id()));
    assert_eq!(markers.count(), 2);
    s3.delete_bucket().bucket(BUCKET).send().await.expect("empty now");
    running.stop().await;
}

#[tokio::test]
async fn suspended_writes_replace_the_null_version_and_no_other() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    assert_eq!(write(s3, "k", "plain").await, None, "versioning was never on");
    enable(s3).await;
    let head = s3.head_object().bucket(BUCKET).key("k").send().await.expect("head");
    assert_eq!(head.version_id(), Some("null"));
    let kept = write(s3, "k", "kept").await.expect("a version");
    assert_eq!(read(s3, "k", "null").await, "plain");
    set(s3, BucketVersioningStatus::Suspended).await;
    for body in ["first", "second"] {
        assert_eq!(write(s3, "k", body).await.as_deref(), Some("null"));
        assert_eq!(read(s3, "k", "null").await, body);
    }
    assert_eq!(versions(s3, 1000).await, ["k latest null".to_owned(), format!("k old {kept}")]);
    let deleted = s3.delete_object().bucket(BUCKET).key("k").send().await.expect("deleted");
    assert_eq!((deleted.version_id(), deleted.delete_marker()), (Some("null"), Some(true)));
    assert_eq!(versions(s3, 1000).await, [format!("k old {kept}"), "k* latest null".to_owned()]);
    assert_eq!(read(s3, "k", &kept).await, "kept");
    assert_eq!(write(s3, "k", "third").await.as_deref(), Some("null"), "in place of the marker");
    assert_eq!(versions(s3, 1000).await.len(), 2);
    running.stop().await;
}

#[tokio::test]
async fn pages_of_versions_have_no_gap_and_no_repetition() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    enable(s3).await;
    let mut written = Vec::new();
    for number in 0..2_100 {
        let key = ["a/1", "a/2", "b", "c/1"][number % 4];
        written.push(write(s3, key, "x").await.expect("a version"));
    }
    let listed = versions(s3, 1000).await;
    assert_eq!(listed.len(), written.len());
    let mut expected: Vec<&str> = Vec::new();
    for key in 0..4 {
        expected.extend(written.iter().skip(key).step_by(4).rev().map(String::as_str));
    }
    let ids: Vec<&str> = listed.iter().filter_map(|line| line.split(' ').next_back()).collect();
    assert!(ids == expected, "by key, the newest first");
    assert_eq!(listed.iter().filter(|line| line.contains(" latest ")).count(), 4);
    assert!(versions(s3, 7).await == listed, "whatever the size of a page");

    let grouped = s3.list_object_versions().bucket(BUCKET).delimiter("/").max_keys(1).send().await.expect("listed");
    assert_eq!(grouped.common_prefixes()[0].prefix(), Some("a/"));
    assert_eq!((grouped.next_key_marker(), grouped.next_version_id_marker()), (Some("a/"), None));
    let next = s3.list_object_versions().bucket(BUCKET).delimiter("/").key_marker("a/").max_keys(1);
    assert_eq!(next.send().await.expect("listed").versions()[0].key(), Some("b"));
    let prefixed = s3.list_object_versions().bucket(BUCKET).prefix("c").send().await.expect("listed");
    assert_eq!((prefixed.versions().len(), prefixed.is_truncated()), (525, Some(false)));
    let lonely = s3.list_object_versions().bucket(BUCKET).version_id_marker(&written[0]).send().await;
    assert_eq!(code(lonely), "InvalidArgument");
    running.stop().await;
}

#[tokio::test]
async fn copies_uploads_and_attributes_name_their_versions() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    enable(s3).await;
    let old = write(s3, "k", "old").await.expect("a version");
    let new = write(s3, "k", "new").await.expect("a version");
    let source = |version: &str| format!("{BUCKET}/k?versionId={version}");
    let copy = s3.copy_object().bucket(BUCKET).key("k").copy_source(source(&old));
    let copied = copy.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.expect("an old version is back");
    assert_eq!(copied.copy_source_version_id(), Some(old.as_str()));
    let back = copied.version_id().expect("a version").to_owned();
    assert!(back != old && back != new);
    assert_eq!(get(s3, "k").await, b"old");
    let checksum = copied.copy_object_result().and_then(|result| result.checksum_sha256());
    assert_eq!(checksum, Some("y6BrVzb69n5UsHtWHq6UOV53TFF6fZEKVDaeEmPM+9Q="), "the SHA-256 of `old`");
    let marker = s3.delete_object().bucket(BUCKET).key("k").send().await.expect("deleted");
    let of_marker = source(marker.version_id().expect("a version"));
    assert_eq!(code(s3.copy_object().bucket(BUCKET).key("c").copy_source(of_marker).send().await), "InvalidRequest");
    let hidden = s3.copy_object().bucket(BUCKET).key("c").copy_source(format!("{BUCKET}/k")).send().await;
    assert_eq!(code(hidden), "NoSuchKey");
    let upload = create_upload(s3, "m").await;
    let part = upload_part(s3, "m", &upload, 1, b"part".to_vec()).await;
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("m").upload_id(&upload).multipart_upload(parts);
    let joined = complete.send().await.expect("completed");
    assert_eq!(read(s3, "m", joined.version_id().expect("a version")).await, "part");
    running.stop().await;
}

#[tokio::test]
async fn conditions_are_about_the_visible_object() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    enable(s3).await;
    let etag = put(s3, "k", b"1").await;
    let create = || s3.put_object().bucket(BUCKET).key("k").if_none_match("*").body(ByteStream::from_static(b"2"));
    assert_eq!(code(create().send().await), "PreconditionFailed");
    s3.delete_object().bucket(BUCKET).key("k").send().await.expect("deleted");
    let replace = s3.put_object().bucket(BUCKET).key("k").if_match(&etag).body(ByteStream::from_static(b"2"));
    assert_eq!(code(replace.send().await), "NoSuchKey");
    assert_eq!(code(create().send().await), "accepted", "a marker is no object");
    put(s3, "source", b"s").await;
    let copy = || s3.copy_object().bucket(BUCKET).key("k").copy_source(format!("{BUCKET}/source"));
    let refused = copy().customize().mutate_request(|request| {
        request.headers_mut().insert("if-none-match", "*");
    });
    assert_eq!(code(refused.send().await), "PreconditionFailed");
    let stale = copy().customize().mutate_request(move |request| {
        request.headers_mut().insert("if-match", etag.clone());
    });
    assert_eq!(code(stale.send().await), "PreconditionFailed");
    assert_eq!(get(s3, "k").await, b"2");
    running.stop().await;
}

/// A conditional PutObject whose body waits until `meanwhile` is done; gives the status of the answer.
async fn put_around(running: &Running, condition: &str, meanwhile: impl Future<Output = ()>) -> u16 {
    let body = vec![b'x'; 100_000];
    let mut socket = connected(running.cloud.port()).await;
    let head = format!(
        "PUT /{BUCKET}/k HTTP/1.1\r\nhost: localhost\r\n{condition}\r\nexpect: 100-continue\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).await.expect("written");
    let mut continued = [0; 25];
    socket.read_exact(&mut continued).await.expect("the server asks for the body, so it has seen the condition");
    assert_eq!(&continued, b"HTTP/1.1 100 Continue\r\n\r\n");
    meanwhile.await;
    socket.write_all(&body).await.expect("written");
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.expect("an answer");
    status(&answer)
}

#[tokio::test]
async fn a_removal_while_a_conditional_write_is_under_way_is_a_conflict() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let delete = || async {
        s3.delete_object().bucket(BUCKET).key("k").send().await.expect("deleted");
    };
    let etag = put(s3, "k", b"1").await;
    assert_eq!(put_around(&running, &format!("if-match: {etag}"), delete()).await, 409);
    put(s3, "k", b"1").await;
    assert_eq!(put_around(&running, "if-none-match: *", delete()).await, 409);
    let other = async {
        put(s3, "k", b"2").await;
    };
    assert_eq!(put_around(&running, "if-none-match: *", other).await, 412);
    let nothing = async {};
    let etag = put(s3, "k", b"3").await;
    assert_eq!(put_around(&running, &format!("if-match: {etag}"), nothing).await, 200);
    running.stop().await;
}

#[tokio::test]
async fn what_is_no_state_and_no_version_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let set = |configuration| s3.put_bucket_versioning().bucket(BUCKET).versioning_configuration(configuration).send();
    let illegal = "IllegalVersioningConfigurationException";
    assert_eq!(code(set(VersioningConfiguration::builder().build()).await), illegal);
    let other = VersioningConfiguration::builder().status(BucketVersioningStatus::from("On")).build();
    assert_eq!(code(set(other).await), illegal);
    let status = BucketVersioningStatus::Enabled;
    let mfa = VersioningConfiguration::builder().status(status).mfa_delete(MfaDelete::Enabled).build();
    assert_eq!(code(set(mfa).await), "NotImplemented");
    enable(s3).await;
    let id = write(s3, "k", "1").await.expect("a version");
    let version = |key: &str, id: &str| s3.get_object().bucket(BUCKET).key(key).version_id(id).send();
    assert_eq!(code(version("other", &id).await), "NoSuchVersion", "an id belongs to its key");
    assert_eq!(code(version("k", "null").await), "NoSuchVersion");
    let foreign = version("k", "v1").await.expect_err("no id");
    assert_eq!((foreign.code(), foreign.message()), (Some("InvalidArgument"), Some("Invalid version id specified")));
    let absent = s3.delete_object().bucket(BUCKET).key("other").version_id(&id).send().await.expect("nothing to do");
    assert_eq!((absent.version_id(), absent.delete_marker()), (Some(id.as_str()), None));
    assert_eq!(get(s3, "k").await, b"1");
    running.stop().await;
}

//! Tags of objects and buckets through the real SDK.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, CompletedMultipartUpload, MetadataDirective, Tag, Tagging, TaggingDirective,
    VersioningConfiguration,
};

use crate::s3::{BUCKET, put, start, upload_part};
use crate::{Running, code, refusal};

fn tagging(tags: &[(&str, &str)]) -> Tagging {
    let tag = |(key, value): &(&str, &str)| Tag::builder().key(*key).value(*value).build().expect("complete");
    Tagging::builder().set_tag_set(Some(tags.iter().map(tag).collect())).build().expect("complete")
}

fn pairs(tags: &[Tag]) -> Vec<(&str, &str)> {
    tags.iter().map(|tag| (tag.key(), tag.value())).collect()
}

/// The tags of an object, as `key=value` joined by `&`.
async fn tags_of(s3: &Client, key: &str) -> String {
    let got = s3.get_object_tagging().bucket(BUCKET).key(key).send().await.expect("tags");
    let pairs = pairs(got.tag_set()).into_iter().map(|(key, value)| format!("{key}={value}"));
    pairs.collect::<Vec<_>>().join("&")
}

#[tokio::test]
async fn tags_of_an_object_change_without_the_object() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let etag = put(s3, "k", b"body").await;
    assert_eq!(tags_of(s3, "k").await, "");
    let head = s3.head_object().bucket(BUCKET).key("k").send().await.expect("head");
    let (written_at, none) = (head.last_modified().copied(), head.tag_count());
    assert_eq!(none, None, "an object without tags has no count of them");
    running.clock.advance(Duration::from_secs(60));

    let set = |tags: &[(&str, &str)]| s3.put_object_tagging().bucket(BUCKET).key("k").tagging(tagging(tags)).send();
    set(&[("team", "lake"), ("stage", "raw")]).await.expect("tagged");
    set(&[("ação/1", "ü +-=._:@"), ("empty", "")]).await.expect("tagged");
    assert_eq!(tags_of(s3, "k").await, "ação/1=ü +-=._:@&empty=", "a set replaces the one before");
    let got = s3.get_object().bucket(BUCKET).key("k").send().await.expect("got");
    assert_eq!((got.tag_count(), got.e_tag()), (Some(2), Some(etag.as_str())));
    assert_eq!(got.last_modified().copied(), written_at);
    let head = s3.head_object().bucket(BUCKET).key("k").send().await.expect("head");
    assert_eq!((head.tag_count(), head.last_modified().copied()), (Some(2), written_at));

    s3.delete_object_tagging().bucket(BUCKET).key("k").send().await.expect("untagged");
    assert_eq!(tags_of(s3, "k").await, "");
    set(&[("a", "b")]).await.expect("tagged");
    put(s3, "k", b"again").await;
    assert_eq!(tags_of(s3, "k").await, "", "a new object has its own tags");
    running.stop().await;
}

#[tokio::test]
async fn objects_are_tagged_while_they_are_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let put = s3.put_object().bucket(BUCKET).key("put").body(ByteStream::from_static(b"x"));
    put.tagging("team=lake%20house&b=").send().await.expect("put");
    assert_eq!(tags_of(s3, "put").await, "b=&team=lake house");

    let copy = |key: &str| s3.copy_object().bucket(BUCKET).key(key).copy_source(format!("{BUCKET}/put"));
    copy("kept").send().await.expect("copied");
    assert_eq!(tags_of(s3, "kept").await, "b=&team=lake house");
    let other_metadata = copy("other").metadata_directive(MetadataDirective::Replace).metadata("m", "1");
    other_metadata.send().await.expect("copied");
    assert_eq!(tags_of(s3, "other").await, "b=&team=lake house", "metadata and tags are replaced separately");
    let replaced = copy("replaced").tagging_directive(TaggingDirective::Replace).tagging("c=d");
    replaced.send().await.expect("copied");
    assert_eq!(tags_of(s3, "replaced").await, "c=d");
    copy("none").tagging_directive(TaggingDirective::Replace).send().await.expect("copied");
    assert_eq!(tags_of(s3, "none").await, "");
    assert_eq!(code(copy("no").tagging("c=d").send().await), "InvalidRequest");
    assert_eq!(code(copy("no").tagging_directive("MERGE".into()).send().await), "InvalidArgument");

    let created =
        s3.create_multipart_upload().bucket(BUCKET).key("parts").tagging("p=1").send().await.expect("created");
    let upload = created.upload_id().expect("an id");
    let part = upload_part(s3, "parts", upload, 1, b"x".to_vec()).await;
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("parts").upload_id(upload).multipart_upload(parts);
    complete.send().await.expect("completed");
    assert_eq!(tags_of(s3, "parts").await, "p=1");
    running.stop().await;

    let running = Running::start(dir.path()).await;
    assert_eq!(tags_of(&running.s3, "parts").await, "p=1");
    assert_eq!(tags_of(&running.s3, "put").await, "b=&team=lake house");
    running.stop().await;
}

#[tokio::test]
async fn tags_that_aws_does_not_take_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    put(s3, "k", b"body").await;
    let set = async |tags: &[(&str, &str)]| {
        refusal(s3.put_object_tagging().bucket(BUCKET).key("k").tagging(tagging(tags)).send().await)
    };
    set(&[("kept", "1")]).await;
    let (long_key, long_value) = ("k".repeat(129), "v".repeat(257));
    let numbers: Vec<String> = (0..11).map(|n| n.to_string()).collect();
    let eleven: Vec<(&str, &str)> = numbers.iter().map(|n| (n.as_str(), "")).collect();
    type Case<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: [Case<'_>; 8] = [
        (eleven.as_slice(), "BadRequest", "Object tags cannot be greater than 10"),
        (&[("a", "1"), ("a", "2")], "InvalidTag", "Cannot provide multiple Tags with the same key"),
        (&[("aws:a", "1")], "InvalidTag", "Your TagKey cannot be prefixed with aws:"),
        (&[(long_key.as_str(), "")], "InvalidTag", "The TagKey you have provided is invalid"),
        (&[("a;b", "")], "InvalidTag", "The TagKey you have provided is invalid"),
        (&[("", "")], "InvalidTag", "The TagKey you have provided is invalid"),
        (&[("a", long_value.as_str())], "InvalidTag", "The TagValue you have provided is invalid"),
        (&[("a", "{}")], "InvalidTag", "The TagValue you have provided is invalid"),
    ];
    for (tags, expected, text) in cases {
        assert_eq!(set(tags).await, (expected.to_owned(), text.to_owned()), "{tags:?}");
    }
    assert_eq!(tags_of(s3, "k").await, "kept=1");
    let ten = &eleven[..10];
    assert_eq!(set(ten).await.0, "accepted");

    let put = |tags: &str| s3.put_object().bucket(BUCKET).key("new").tagging(tags).body(ByteStream::from_static(b"x"));
    for (tags, expected) in [("a=1&a=2", "InvalidArgument"), ("a=%7B", "InvalidArgument"), ("aws:a=1", "InvalidTag")] {
        assert_eq!(code(put(tags).send().await), expected, "{tags}");
    }
    assert_eq!(code(put(&numbers.join("&")).send().await), "BadRequest");
    let written = s3.get_object().bucket(BUCKET).key("new").send().await;
    assert_eq!(code(written), "NoSuchKey", "nothing was written");
    let missing = s3.put_object_tagging().bucket(BUCKET).key("no").tagging(tagging(&[("a", "b")]));
    assert_eq!(code(missing.send().await), "NoSuchKey");
    assert_eq!(code(s3.get_object_tagging().bucket(BUCKET).key("no").send().await), "NoSuchKey");
    let version = s3.get_object_tagging().bucket(BUCKET).key("k").version_id("v1");
    assert_eq!(code(version.send().await), "InvalidArgument");
    running.stop().await;
}

#[tokio::test]
async fn a_bucket_has_tags_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let get = || s3.get_bucket_tagging().bucket(BUCKET);
    let expected = ("NoSuchTagSet".to_owned(), "The TagSet does not exist".to_owned());
    assert_eq!(refusal(get().send().await), expected);
    let set = |tags: &[(&str, &str)]| s3.put_bucket_tagging().bucket(BUCKET).tagging(tagging(tags)).send();
    let numbers: Vec<String> = (0..51).map(|n| n.to_string()).collect();
    let many: Vec<(&str, &str)> = numbers.iter().map(|n| (n.as_str(), "")).collect();
    set(&many[..50]).await.expect("fifty tags");
    set(&[("team", "lake"), ("cost", "1")]).await.expect("tagged");
    assert_eq!(code(set(&many).await), "BadRequest");
    let system = ("InvalidTag".to_owned(), "System tags cannot be added/updated by requester".to_owned());
    assert_eq!(refusal(set(&[("aws:a", "1")]).await), system);
    assert_eq!(pairs(get().send().await.expect("tags").tag_set()), [("cost", "1"), ("team", "lake")]);
    assert_eq!(code(s3.get_bucket_tagging().bucket("no-bucket").send().await), "NoSuchBucket");
    assert_eq!(code(s3.put_bucket_tagging().bucket("no-bucket").tagging(tagging(&[])).send().await), "NoSuchBucket");
    running.stop().await;

    let running = Running::start(dir.path()).await;
    let s3 = &running.s3;
    let get = || s3.get_bucket_tagging().bucket(BUCKET);
    assert_eq!(get().send().await.expect("tags").tag_set().len(), 2, "they outlive the process");
    s3.delete_bucket_tagging().bucket(BUCKET).send().await.expect("untagged");
    assert_eq!(refusal(get().send().await), expected);
    s3.put_bucket_tagging().bucket(BUCKET).tagging(tagging(&[("a", "b")])).send().await.expect("tagged");
    s3.delete_bucket().bucket(BUCKET).send().await.expect("deleted");
    s3.create_bucket().bucket(BUCKET).send().await.expect("created");
    assert_eq!(refusal(get().send().await), expected, "a new bucket of the same name has no tags");
    running.stop().await;
}

#[tokio::test]
async fn each_version_has_tags_of_its_own() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
    s3.put_bucket_versioning().bucket(BUCKET).versioning_configuration(enabled).send().await.expect("enabled");
    let put = |body: &'static [u8]| s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from_static(body)).send();
    let (first, second) = (put(b"1").await.expect("put"), put(b"2").await.expect("put"));
    let (first, second) = (first.version_id().expect("a version"), second.version_id().expect("a version"));
    let set = s3.put_object_tagging().bucket(BUCKET).key("k").version_id(first).tagging(tagging(&[("a", "1")]));
    assert_eq!(set.send().await.expect("tagged").version_id(), Some(first));
    let set = s3.put_object_tagging().bucket(BUCKET).key("k").tagging(tagging(&[("a", "2")]));
    assert_eq!(set.send().await.expect("tagged").version_id(), Some(second), "the current version");
    for (version, value) in [(first, "1"), (second, "2")] {
        let got = s3.get_object_tagging().bucket(BUCKET).key("k").version_id(version).send().await.expect("tags");
        assert_eq!((pairs(got.tag_set()), got.version_id()), (vec![("a", value)], Some(version)));
    }
    let unset = s3.delete_object_tagging().bucket(BUCKET).key("k").version_id(first).send().await.expect("untagged");
    assert_eq!(unset.version_id(), Some(first));
    assert_eq!(tags_of(s3, "k").await, "a=2");

    let marker = s3.delete_object().bucket(BUCKET).key("k").send().await.expect("deleted");
    let of_marker = s3.get_object_tagging().bucket(BUCKET).key("k").version_id(marker.version_id().expect("a version"));
    assert_eq!(code(of_marker.send().await), "MethodNotAllowed");
    running.stop().await;
}

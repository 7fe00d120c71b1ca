//! Objects around the size up to which their bytes lie in the index: whatever is done to one, its bytes are in one place.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketVersioningStatus, ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, VersioningConfiguration,
};

use crate::s3::{BUCKET, create_upload, get, noise, put, start, upload_part};
use crate::{Running, code};

/// Most bytes of an object in the index.
pub(crate) const BOUND: usize = 16 * 1024;
/// The size of an object that is a file.
const LARGE: usize = BOUND + 1;

/// The files of the bucket, and how many bodies the index has; staging holds nothing.
fn places(dir: &Path) -> (BTreeSet<String>, i64) {
    fn collect(folder: &Path, root: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).expect("listed") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                collect(&path, root, found);
            } else {
                found.insert(path.strip_prefix(root).expect("below").to_string_lossy().into_owned());
            }
        }
    }
    for folder in ["s3-staging", "s3-displaced"] {
        assert_eq!(fs::read_dir(dir.join(folder)).expect("there").count(), 0, "{folder}");
    }
    let (bucket, mut files) = (dir.join("s3").join(BUCKET), BTreeSet::new());
    collect(&bucket, &bucket, &mut files);
    let index = rusqlite::Connection::open(dir.join("s3.sqlite")).expect("opens");
    let bodies = index.query_row("SELECT count(*) FROM body", [], |row| row.get(0)).expect("counted");
    (files, bodies)
}

/// Versions' files have names of their own, so only their number is looked at.
fn counts(dir: &Path) -> (usize, i64) {
    let (files, bodies) = places(dir);
    (files.len(), bodies)
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

async fn delete(s3: &Client, key: &str) {
    s3.delete_object().bucket(BUCKET).key(key).send().await.expect("deleted");
}

#[tokio::test]
async fn size_decides_and_no_reader_can_tell() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let sizes = [0, 1, BOUND - 1, BOUND, BOUND + 1, 64 * 1024, 64 * 1024 + 1];
    for size in sizes {
        put(&running.s3, &format!("d/{size}"), &noise(size)).await;
    }
    let expected = (names(&["d/16385", "d/65536", "d/65537"]), 4);
    assert_eq!(places(dir.path()), expected);
    running.stop().await;

    let running = Running::start(dir.path()).await;
    let s3 = &running.s3;
    assert_eq!(places(dir.path()), expected);
    for size in sizes {
        let (key, body) = (format!("d/{size}"), noise(size));
        assert!(get(s3, &key).await == body, "{key}");
        let ranged = |range: String| s3.get_object().bucket(BUCKET).key(&key).range(range).send();
        if size == 0 {
            assert_eq!(code(ranged("bytes=0-0".to_owned()).await), "InvalidRange");
            continue;
        }
        for (range, expected) in [
            ("bytes=0-0".to_owned(), &body[..1]),
            (format!("bytes={}-", size - 1), &body[size - 1..]),
            (format!("bytes={}-{size}", size / 2), &body[size / 2..]),
            (format!("bytes=-{size}"), &body[..]),
        ] {
            let got = ranged(range.clone()).await.expect("satisfiable");
            assert!(got.body.collect().await.expect("a body").to_vec() == expected, "{key} {range}");
        }
        assert_eq!(code(ranged(format!("bytes={size}-")).await), "InvalidRange");
    }
    running.stop().await;
}

#[tokio::test]
async fn an_object_moves_between_index_and_file_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut running = start(&dir).await;
    for size in [BOUND, LARGE, LARGE + 1, BOUND, BOUND - 1, LARGE, 0, 70_000, 5] {
        let etag = put(&running.s3, "d/k", &noise(size)).await;
        let expected = if size > BOUND { (names(&["d/k"]), 0) } else { (names(&[]), 1) };
        assert_eq!(places(dir.path()), expected, "{size}");
        running.stop().await;
        running = Running::start(dir.path()).await;
        assert_eq!(places(dir.path()), expected, "{size} after a restart");
        let got = running.s3.get_object().bucket(BUCKET).key("d/k").if_match(etag).send().await.expect("got");
        assert!(got.body.collect().await.expect("a body").to_vec() == noise(size), "{size}");
    }
    put(&running.s3, "d/l", &noise(LARGE)).await;
    delete(&running.s3, "d/k").await;
    delete(&running.s3, "d/l").await;
    assert_eq!(places(dir.path()), (names(&[]), 0));
    running.s3.delete_bucket().bucket(BUCKET).send().await.expect("empty");
    running.stop().await;
}

#[tokio::test]
async fn versions_keep_their_bytes_wherever_the_others_lie() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let set = async |s3: &Client, status: BucketVersioningStatus| {
        let configuration = VersioningConfiguration::builder().status(status).build();
        let put = s3.put_bucket_versioning().bucket(BUCKET).versioning_configuration(configuration);
        put.send().await.expect("set");
    };
    put(&running.s3, "k", &noise(3)).await;
    set(&running.s3, BucketVersioningStatus::Enabled).await;
    let sizes = [LARGE, 1, 2, LARGE + 1, LARGE + 2, BOUND];
    let mut versions = vec![("null".to_owned(), 3)];
    for size in sizes {
        let put = running.s3.put_object().bucket(BUCKET).key("k").body(ByteStream::from(noise(size)));
        versions.push((put.send().await.expect("put").version_id().expect("an id").to_owned(), size));
    }
    assert_eq!(counts(dir.path()), (3, 4));
    delete(&running.s3, "k").await;
    running.stop().await;

    let running = Running::start(dir.path()).await;
    let s3 = &running.s3;
    assert_eq!(counts(dir.path()), (3, 4));
    for (id, size) in &versions {
        let got = s3.get_object().bucket(BUCKET).key("k").version_id(id).send().await.expect("got");
        assert!(got.body.collect().await.expect("a body").to_vec() == noise(*size), "{size}");
    }
    // A marker that replaces the null version, in the index, takes its bytes along.
    set(s3, BucketVersioningStatus::Suspended).await;
    delete(s3, "k").await;
    assert_eq!(counts(dir.path()), (3, 3));
    versions.remove(0);
    let listed = s3.list_object_versions().bucket(BUCKET).send().await.expect("listed");
    for marker in listed.delete_markers() {
        let id = marker.version_id().expect("an id");
        s3.delete_object().bucket(BUCKET).key("k").version_id(id).send().await.expect("removed");
    }
    while let Some((id, size)) = versions.pop() {
        assert!(get(s3, "k").await == noise(size), "{size} is current again");
        assert_eq!(dir.path().join("s3").join(BUCKET).join("k").exists(), size > BOUND, "{size}");
        s3.delete_object().bucket(BUCKET).key("k").version_id(id).send().await.expect("removed");
    }
    assert_eq!(counts(dir.path()), (0, 0));
    running.stop().await;
}

#[tokio::test]
async fn copies_lie_where_their_size_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    let copy = async |from: &str, to: &str| {
        let copy = s3.copy_object().bucket(BUCKET).key(to).copy_source(format!("{BUCKET}/{from}"));
        let copied = copy.checksum_algorithm(ChecksumAlgorithm::Sha256).send().await.expect("copied");
        assert!(copied.copy_object_result().is_some_and(|result| result.checksum_sha256().is_some()), "{to}");
    };
    put(s3, "small", &noise(BOUND)).await;
    put(s3, "large", &noise(LARGE)).await;
    copy("small", "small-copy").await;
    copy("large", "large-copy").await;
    assert_eq!(places(dir.path()), (names(&["large", "large-copy"]), 2));
    copy("large", "small-copy").await;
    copy("small", "large-copy").await;
    assert!(get(s3, "small-copy").await == noise(LARGE) && get(s3, "large-copy").await == noise(BOUND));
    assert_eq!(places(dir.path()), (names(&["large", "small-copy"]), 2));

    // What is joined is a file; a copy of it is not.
    let upload = create_upload(s3, "joined").await;
    let part = upload_part(s3, "joined", &upload, 1, noise(9)).await;
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("joined").upload_id(upload);
    complete.multipart_upload(parts).send().await.expect("completed");
    copy("joined", "joined-copy").await;
    assert!(get(s3, "joined").await == noise(9) && get(s3, "joined-copy").await == noise(9));
    assert_eq!(places(dir.path()), (names(&["joined", "large", "small-copy"]), 3));
    running.stop().await;
}

#[tokio::test]
async fn a_part_is_copied_from_the_index() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await;
    let s3 = &running.s3;
    put(s3, "source", &noise(BOUND)).await;
    let upload = create_upload(s3, "k").await;
    let copy = s3.upload_part_copy().bucket(BUCKET).key("k").upload_id(&upload).part_number(1);
    let copy = copy.copy_source(format!("{BUCKET}/source"));
    let beyond = copy.clone().copy_source_range(format!("bytes=5-{BOUND}")).send().await;
    assert_eq!(code(beyond), "InvalidArgument");
    let copied = copy.copy_source_range(format!("bytes=5-{}", BOUND - 2)).send().await.expect("copied");
    let etag = copied.copy_part_result().and_then(|result| result.e_tag()).map(str::to_owned);
    let part = CompletedPart::builder().part_number(1).set_e_tag(etag).build();
    let parts = CompletedMultipartUpload::builder().parts(part).build();
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key("k").upload_id(upload);
    complete.multipart_upload(parts).send().await.expect("completed");
    assert!(get(s3, "k").await == noise(BOUND)[5..BOUND - 1]);
    running.stop().await;
}

#[tokio::test]
async fn bytes_that_are_gone_are_an_error_and_not_an_empty_object() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await.without_retries();
    let s3 = &running.s3;
    put(s3, "k", &noise(100)).await;
    let index = rusqlite::Connection::open(dir.path().join("s3.sqlite")).expect("opens");
    index.execute("UPDATE body SET bytes = CAST(substr(bytes, 2) AS BLOB)", []).expect("changed");
    assert_eq!(code(s3.get_object().bucket(BUCKET).key("k").send().await), "InternalError");
    index.execute("DELETE FROM body", []).expect("changed");
    assert_eq!(code(s3.get_object().bucket(BUCKET).key("k").send().await), "InternalError");
    put(s3, "k", b"again").await;
    assert_eq!(get(s3, "k").await, b"again");
    running.stop().await;
}

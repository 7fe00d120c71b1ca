//! S3 when things go wrong in the middle: a write whose index entry fails, and uploads that end while they are joined.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use aws_sdk_s3::Client;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use md5::Digest;

use crate::code;
use crate::s3::{BUCKET, PART, create_upload, get, noise, put, start, upload_part};

const KEY: &str = "k";

#[tokio::test]
async fn a_write_that_fails_half_way_never_gives_bytes_of_another_version() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await.without_retries();
    let s3 = running.s3.clone();
    // A file, and bytes in the index.
    let (large, small) = (noise(20_000), noise(20));
    put(&s3, KEY, &large).await;
    put(&s3, "small", &small).await;
    put(&s3, "other", b"other").await;
    let write = |key: &str, size| s3.put_object().bucket(BUCKET).key(key).body(ByteStream::from(vec![7; size]));
    // The file is in place by the time the index refuses its entry, as if the disk had just become full.
    let index = rusqlite::Connection::open(dir.path().join("s3.sqlite")).expect("opens");
    let refuse = "CREATE TRIGGER disk_full BEFORE INSERT ON object BEGIN SELECT RAISE(ABORT, 'disk full'); END";
    index.execute_batch(refuse).expect("made");
    for (key, body) in [(KEY, &large), ("small", &small)] {
        for size in [30_000, 30] {
            assert_eq!(code(write(key, size).send().await), "InternalError");
            let got = s3.get_object().bucket(BUCKET).key(key).send().await.expect("as it was");
            let md5 = data_encoding::HEXLOWER.encode(&md5::Md5::digest(body));
            assert_eq!(got.e_tag(), Some(format!("\"{md5}\"").as_str()));
            assert!(got.body.collect().await.expect("a body").to_vec() == **body);
        }
    }
    let bucket = dir.path().join("s3").join(BUCKET);
    assert!(fs::read(bucket.join(KEY)).expect("a plain file") == large);
    for size in [30_000, 30] {
        assert_eq!(code(write("new", size).send().await), "InternalError");
    }
    assert!(!bucket.join("new").exists() && !bucket.join("small").exists(), "what was refused is not there");
    assert_eq!(get(&s3, "other").await, b"other");

    index.execute_batch("DROP TRIGGER disk_full").expect("dropped");
    write(KEY, 3).send().await.expect("put");
    assert_eq!(get(&s3, KEY).await, [7; 3]);
    write("small", 30_000).send().await.expect("put");
    assert_eq!(get(&s3, "small").await, vec![7; 30_000]);
    assert!(!bucket.join(KEY).exists());
    let bodies: i64 = index.query_row("SELECT count(*) FROM body", [], |row| row.get(0)).expect("counted");
    assert_eq!(bodies, 2);
    assert_eq!(fs::read_dir(dir.path().join("s3-staging")).expect("there").count(), 0);
    assert_eq!(fs::read_dir(dir.path().join("s3-displaced")).expect("there").count(), 0);
    running.stop().await;
}

/// An upload of two parts whose completion waits at the first part.
struct Waiting {
    upload: String,
    body: Vec<u8>,
    second: CompletedPart,
    completion: tokio::task::JoinHandle<String>,
    pipe: File,
}

impl Waiting {
    /// Starts a completion and waits until it opens its first part, which is a pipe here.
    async fn start(s3: &Client, dir: &Path) -> Self {
        let upload = create_upload(s3, KEY).await;
        let body = noise(PART + 10);
        let first = upload_part(s3, KEY, &upload, 1, body[..PART].to_vec()).await;
        let second = upload_part(s3, KEY, &upload, 2, body[PART..].to_vec()).await;
        let part = part_file(dir, &upload, 1);
        fs::remove_file(&part).expect("removed");
        assert!(Command::new("mkfifo").arg(&part).status().expect("mkfifo runs").success());
        let parts = vec![first, second.clone()];
        let (client, id) = (s3.clone(), upload.clone());
        let completion = tokio::spawn(async move { complete(&client, &id, parts).await });
        let open = move || OpenOptions::new().write(true).open(part);
        let pipe = tokio::task::spawn_blocking(open).await.expect("no panic").expect("somebody reads the part");
        Self { upload, body, second, completion, pipe }
    }

    /// Lets the completion go on; gives what it was answered, and the body it joined.
    async fn finish(self) -> (String, Vec<u8>) {
        let Self { body, completion, mut pipe, .. } = self;
        let write = move || pipe.write_all(&body[..PART]).map(|()| body);
        let body = tokio::task::spawn_blocking(write).await.expect("no panic").expect("written");
        (completion.await.expect("no panic"), body)
    }
}

fn part_file(dir: &Path, upload: &str, number: i32) -> PathBuf {
    let prefix = format!("{upload}-{number}-");
    let mut files = fs::read_dir(dir.join("s3-parts")).expect("there").map(|entry| entry.expect("listed").path());
    let is_it = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
    files.find(is_it).expect("the part")
}

fn part_count(dir: &Path) -> usize {
    fs::read_dir(dir.join("s3-parts")).expect("there").count()
}

async fn complete(s3: &Client, upload: &str, parts: Vec<CompletedPart>) -> String {
    let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
    let complete = s3.complete_multipart_upload().bucket(BUCKET).key(KEY).upload_id(upload).multipart_upload(parts);
    code(complete.send().await)
}

#[tokio::test]
async fn a_part_that_is_replaced_while_it_is_joined_is_joined_as_it_was() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await.without_retries();
    let s3 = running.s3.clone();
    let waiting = Waiting::start(&s3, dir.path()).await;
    upload_part(&s3, KEY, &waiting.upload, 2, b"another".to_vec()).await;
    let (answered, body) = waiting.finish().await;
    assert_eq!(answered, "accepted");
    assert!(get(&s3, KEY).await == body);
    assert_eq!(part_count(dir.path()), 0);
    running.stop().await;
}

#[tokio::test]
async fn the_first_of_two_completions_wins() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await.without_retries();
    let s3 = running.s3.clone();
    let waiting = Waiting::start(&s3, dir.path()).await;
    assert_eq!(complete(&s3, &waiting.upload, vec![waiting.second.clone()]).await, "accepted");
    let (answered, body) = waiting.finish().await;
    assert_eq!(answered, "NoSuchUpload");
    assert!(get(&s3, KEY).await == body[PART..], "the object is that of the completion that was accepted");
    assert_eq!(part_count(dir.path()), 0);
    running.stop().await;
}

#[tokio::test]
async fn an_upload_that_is_aborted_while_it_is_joined_becomes_no_object() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await.without_retries();
    let s3 = running.s3.clone();
    let waiting = Waiting::start(&s3, dir.path()).await;
    let abort = s3.abort_multipart_upload().bucket(BUCKET).key(KEY).upload_id(&waiting.upload).send().await;
    assert_eq!(code(abort), "accepted");
    assert_eq!(waiting.finish().await.0, "NoSuchUpload");
    assert_eq!(code(s3.get_object().bucket(BUCKET).key(KEY).send().await), "NoSuchKey");
    assert_eq!(part_count(dir.path()), 0);
    running.stop().await;
}

#[tokio::test]
async fn an_abort_does_not_mind_a_part_that_is_gone() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(&dir).await.without_retries();
    let s3 = running.s3.clone();
    let upload = create_upload(&s3, KEY).await;
    upload_part(&s3, KEY, &upload, 1, b"x".to_vec()).await;
    upload_part(&s3, KEY, &upload, 2, b"x".to_vec()).await;
    fs::remove_file(part_file(dir.path(), &upload, 1)).expect("removed");
    let abort = s3.abort_multipart_upload().bucket(BUCKET).key(KEY).upload_id(&upload).send().await;
    assert_eq!(code(abort), "accepted");
    assert_eq!(part_count(dir.path()), 0);
    running.stop().await;
}

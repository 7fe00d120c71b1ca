//! Kinesis through the real SDK.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType, StreamStatus};

use crate::wire::send_json;
use crate::{Running, code};

const STREAM: &str = "dm-kinesis-stream";

fn entry(key: &str, data: &[u8]) -> PutRecordsRequestEntry {
    PutRecordsRequestEntry::builder().partition_key(key).data(Blob::new(data)).build().expect("complete")
}

async fn create(kinesis: &Client, shards: i32) {
    kinesis.create_stream().stream_name(STREAM).shard_count(shards).send().await.expect("created");
}

async fn shard_ids(kinesis: &Client) -> Vec<String> {
    let shards = kinesis.list_shards().stream_name(STREAM).send().await.expect("listed");
    shards.shards().iter().map(|shard| shard.shard_id().to_owned()).collect()
}

async fn iterator(kinesis: &Client, shard: &str, kind: ShardIteratorType) -> String {
    let request = kinesis.get_shard_iterator().stream_name(STREAM).shard_id(shard).shard_iterator_type(kind);
    request.send().await.expect("an iterator").shard_iterator().expect("an iterator").to_owned()
}

async fn read(kinesis: &Client, iterator: String) -> GetRecordsOutput {
    kinesis.get_records().shard_iterator(iterator).send().await.expect("records")
}

/// Everything in a shard, page by page, as text.
async fn drain(kinesis: &Client, shard: &str, page: i32) -> Vec<String> {
    let mut next = iterator(kinesis, shard, ShardIteratorType::TrimHorizon).await;
    let mut found = Vec::new();
    loop {
        let records = kinesis.get_records().shard_iterator(next).limit(page).send().await.expect("records");
        found.extend(records.records().iter().map(|r| String::from_utf8_lossy(r.data().as_ref()).into_owned()));
        if records.millis_behind_latest() == Some(0) {
            return found;
        }
        next = records.next_shard_iterator().expect("shards never close").to_owned();
    }
}

async fn everything(kinesis: &Client) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for shard in shard_ids(kinesis).await {
        found.push(drain(kinesis, &shard, 7).await);
    }
    found
}

#[tokio::test]
async fn records_keep_their_order_per_partition_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    create(&running.kinesis, 3).await;
    for batch in 0..4 {
        let entries =
            (0..50).map(|n| entry(&format!("key-{}", n % 10), format!("{}:{batch}:{n:02}", n % 10).as_bytes()));
        let put = running.kinesis.put_records().stream_name(STREAM).set_records(Some(entries.collect())).send().await;
        let put = put.expect("put");
        assert_eq!(put.failed_record_count(), Some(0));
        assert_eq!(put.records()[0].sequence_number().map(str::len), Some(56));
    }
    let shards = everything(&running.kinesis).await;
    assert_eq!(shards.iter().map(Vec::len).sum::<usize>(), 200);
    assert!(shards.iter().filter(|shard| !shard.is_empty()).count() > 1, "ten keys use more than one of three shards");
    for key in 0..10 {
        let prefix = format!("{key}:");
        let of_key =
            |shard: &Vec<String>| shard.iter().filter(|data| data.starts_with(&prefix)).cloned().collect::<Vec<_>>();
        let found: Vec<Vec<String>> = shards.iter().map(of_key).filter(|found| !found.is_empty()).collect();
        assert_eq!(found.len(), 1, "one key lies in one shard");
        assert!(found[0].is_sorted() && found[0].len() == 20, "{found:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn keys_and_data_that_json_escapes_come_back_as_they_were() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    create(&running.kinesis, 1).await;
    // JSON may write a slash with a backslash, and the last data is `+/+/`.
    let body = r#"{"StreamName":"dm-kinesis-stream","Records":[{"PartitionKey":"a\"\\\u00e9\n","Data":"AAEC"},
        {"PartitionKey":"plain","Data":"+\/+\/"}]}"#;
    let answer = send_json(running.cloud.port(), "Kinesis_20131202.PutRecords", body).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let shard = shard_ids(&running.kinesis).await.remove(0);
    let from = iterator(&running.kinesis, &shard, ShardIteratorType::TrimHorizon).await;
    let found = read(&running.kinesis, from).await;
    let found: Vec<_> = found.records().iter().map(|record| (record.partition_key(), record.data().as_ref())).collect();
    assert_eq!(found, [(Some("a\"\\é\n"), &[0, 1, 2][..]), (Some("plain"), &[0xfb, 0xff, 0xbf][..])]);
    running.stop().await;
}

#[tokio::test]
async fn every_kind_of_iterator_starts_where_it_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis, 1).await;
    let shard = shard_ids(kinesis).await.remove(0);
    let put = async |data: &str| {
        let put = kinesis.put_record().stream_name(STREAM).partition_key("k").data(Blob::new(data)).send().await;
        put.expect("put").sequence_number().to_owned()
    };
    put("one").await;
    running.clock.advance(Duration::from_secs(60));
    let two = put("two").await;
    let latest = iterator(kinesis, &shard, ShardIteratorType::Latest).await;
    put("three").await;

    let texts = |output: GetRecordsOutput| -> Vec<String> {
        output.records().iter().map(|r| String::from_utf8_lossy(r.data().as_ref()).into_owned()).collect()
    };
    let at = |kind: ShardIteratorType| {
        kinesis.get_shard_iterator().stream_name(STREAM).shard_id(&shard).shard_iterator_type(kind)
    };
    let horizon = iterator(kinesis, &shard, ShardIteratorType::TrimHorizon).await;
    assert_eq!(texts(read(kinesis, horizon).await), ["one", "two", "three"]);
    assert_eq!(texts(read(kinesis, latest).await), ["three"]);
    let from_two = at(ShardIteratorType::AtSequenceNumber).starting_sequence_number(&two).send().await.expect("given");
    assert_eq!(texts(read(kinesis, from_two.shard_iterator.expect("given")).await), ["two", "three"]);
    let after = at(ShardIteratorType::AfterSequenceNumber).starting_sequence_number(&two).send().await.expect("given");
    assert_eq!(texts(read(kinesis, after.shard_iterator.expect("given")).await), ["three"]);
    let minute =
        at(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_secs(1_700_000_030)).send().await.expect("given");
    let from_minute = read(kinesis, minute.shard_iterator.expect("given")).await;
    let arrival = from_minute.records()[0].approximate_arrival_timestamp().expect("a time").secs();
    assert_eq!((texts(from_minute), arrival), (vec!["two".to_owned(), "three".to_owned()], 1_700_000_060));
    let wrong = at(ShardIteratorType::AtSequenceNumber).starting_sequence_number("49").send().await;
    assert_eq!(code(wrong), "InvalidArgumentException");
    running.stop().await;
}

#[tokio::test]
async fn iterators_expire_and_records_age_on_the_clock() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis, 1).await;
    let shard = shard_ids(kinesis).await.remove(0);
    kinesis.put_record().stream_name(STREAM).partition_key("k").data(Blob::new("old")).send().await.expect("put");
    let stale = iterator(kinesis, &shard, ShardIteratorType::TrimHorizon).await;
    running.clock.advance(Duration::from_secs(301));
    assert_eq!(code(kinesis.get_records().shard_iterator(stale).send().await), "ExpiredIteratorException");
    assert_eq!(drain(kinesis, &shard, 10).await, ["old"]);
    running.clock.advance(Duration::from_secs(24 * 60 * 60));
    assert!(drain(kinesis, &shard, 10).await.is_empty(), "24 hours later the record is gone");
    running.stop().await;
}

#[tokio::test]
async fn limits_have_the_names_of_aws() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    let put = |entries: Vec<PutRecordsRequestEntry>| {
        kinesis.put_records().stream_name(STREAM).set_records(Some(entries)).send()
    };
    assert_eq!(code(put(vec![entry("k", b"x")]).await), "ResourceNotFoundException");
    create(kinesis, 1).await;
    let again = kinesis.create_stream().stream_name(STREAM).shard_count(1).send().await;
    assert_eq!(code(again), "ResourceInUseException");
    assert_eq!(code(put((0..501).map(|_| entry("k", b"x")).collect()).await), "ValidationException");
    assert_eq!(code(put(vec![entry("k", &vec![0; 1024 * 1024 + 1])]).await), "ValidationException");
    assert_eq!(code(put(vec![entry("", b"x")]).await), "ValidationException");
    let full = vec![0; 1024 * 1024];
    assert_eq!(code(put((0..11).map(|_| entry("k", &full)).collect()).await), "InvalidArgumentException");
    assert_eq!(put((0..9).map(|_| entry("k", &full)).collect()).await.expect("fits").failed_record_count(), Some(0));
    assert_eq!(put((0..2).map(|_| entry("k", &full)).collect()).await.expect("fits").failed_record_count(), Some(0));

    let shard = shard_ids(kinesis).await.remove(0);
    let first = read(kinesis, iterator(kinesis, &shard, ShardIteratorType::TrimHorizon).await).await;
    assert!(first.records().len() < 11, "an answer has at most 10 MiB, got {} records", first.records().len());
    assert!(first.millis_behind_latest().is_some_and(|behind| behind > 0));
    let rest = read(kinesis, first.next_shard_iterator().expect("more").to_owned()).await;
    assert_eq!(first.records().len() + rest.records().len(), 11);
    running.stop().await;
}

#[tokio::test]
async fn streams_are_described_listed_and_deleted() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis, 2).await;
    kinesis.create_stream().stream_name("..").shard_count(1).send().await.expect("a valid, odd name");
    let summary = kinesis.describe_stream_summary().stream_name(STREAM).send().await.expect("described");
    let summary = summary.stream_description_summary().expect("described");
    assert_eq!((summary.stream_status(), summary.open_shard_count()), (&StreamStatus::Active, 2));
    let described = kinesis.describe_stream().stream_arn(summary.stream_arn()).send().await.expect("described");
    let shards = described.stream_description().expect("described").shards().to_vec();
    let keys = shards[1].hash_key_range().expect("a range");
    assert_eq!(keys.starting_hash_key(), "170141183460469231731687303715884105728");
    assert_eq!(keys.ending_hash_key(), "340282366920938463463374607431768211455");
    let page = kinesis.list_shards().stream_name(STREAM).max_results(1).send().await.expect("listed");
    let rest = kinesis.list_shards().next_token(page.next_token().expect("more")).send().await.expect("listed");
    assert_eq!(rest.shards()[0].shard_id(), "shardId-000000000001");
    let list = kinesis.list_streams().send().await.expect("listed");
    assert_eq!(list.stream_names(), ["..", STREAM]);
    kinesis.delete_stream().stream_name(STREAM).send().await.expect("deleted");
    assert_eq!(code(kinesis.describe_stream().stream_name(STREAM).send().await), "ResourceNotFoundException");
    running.stop().await;
}

/// Puts ten records, stops, lets `damage` at the one log file, starts again, and puts one more.
async fn reopened_after(damage: impl FnOnce(&Path)) -> Vec<String> {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    create(&running.kinesis, 1).await;
    for n in 0..10 {
        let put =
            running.kinesis.put_record().stream_name(STREAM).partition_key("k").data(Blob::new(format!("record-{n}")));
        put.send().await.expect("put");
    }
    running.stop().await;
    damage(&dir.path().join(format!("kinesis/stream-{STREAM}/shard-000000000000/{:020}.log", 0)));
    let running = Running::start(dir.path()).await;
    let put = running.kinesis.put_record().stream_name(STREAM).partition_key("k").data(Blob::new("after"));
    put.send().await.expect("put");
    let found = everything(&running.kinesis).await.remove(0);
    running.stop().await;
    found
}

#[tokio::test]
async fn records_survive_a_restart_and_a_torn_tail_is_dropped() {
    let whole: Vec<String> = (0..10).map(|n| format!("record-{n}")).collect();
    let with_after = |records: &[String]| [records, &["after".to_owned()]].concat();
    assert_eq!(reopened_after(|_| ()).await, with_after(&whole));
    let half_a_frame = |log: &Path| {
        let mut file = OpenOptions::new().append(true).open(log).expect("the log is there");
        file.write_all(&[40, 0, 0, 0, 1, 2, 3, 4, 5, 6]).expect("written");
    };
    assert_eq!(reopened_after(half_a_frame).await, with_after(&whole));
    let cut_three_bytes = |log: &Path| {
        let file = OpenOptions::new().write(true).open(log).expect("the log is there");
        file.set_len(file.metadata().expect("there").len() - 3).expect("cut");
    };
    assert_eq!(reopened_after(cut_three_bytes).await, with_after(&whole[..9]));
}

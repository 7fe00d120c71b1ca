//! AWS's throughput limits through the real SDK, with its retries off, on a clock that stands still until it is moved.

use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, KeySchemaElement, KeyType, ProvisionedThroughput, PutRequest,
    ScalarAttributeType, WriteRequest,
};
use aws_sdk_kinesis::operation::put_records::PutRecordsOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, ShardIteratorType};
use futures::StreamExt;
use lakebed_cloud::Limits;
use lakebed_contract::{Clock, Timestamp};

use crate::{Running, code, config};

const STREAM: &str = "s";
const EXCEEDED: &str = "ProvisionedThroughputExceededException";

async fn start(dir: &Path) -> Running {
    let mut config = config(dir, 0, Clock::virtual_at(Timestamp::from_seconds(1_700_000_000)), None);
    config.limits = Limits::Aws;
    Running::start_as(config).await.without_retries()
}

async fn create_stream(running: &Running) {
    running.kinesis.create_stream().stream_name(STREAM).shard_count(1).send().await.expect("created");
}

/// Puts `count` records of a few bytes at once.
async fn put(running: &Running, count: usize) -> PutRecordsOutput {
    let entry = || PutRecordsRequestEntry::builder().partition_key("k").data(Blob::new("x")).build().expect("complete");
    let entries = (0..count).map(|_| entry()).collect();
    let put = running.kinesis.put_records().stream_name(STREAM).set_records(Some(entries)).send().await;
    put.expect("answered, whatever becomes of the records")
}

#[tokio::test]
async fn a_shard_takes_a_thousand_records_a_second() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(dir.path()).await;
    create_stream(&running).await;
    assert_eq!(put(&running, 500).await.failed_record_count(), Some(0));
    assert_eq!(put(&running, 400).await.failed_record_count(), Some(0));
    let partly = put(&running, 300).await;
    assert_eq!(partly.failed_record_count(), Some(200));
    let (kept, failed) = (&partly.records()[99], &partly.records()[100]);
    assert!(kept.sequence_number().is_some() && kept.error_code().is_none());
    assert_eq!((failed.sequence_number(), failed.error_code()), (None, Some(EXCEEDED)));
    let words = "Rate exceeded for shard shardId-000000000000 in stream s under account 000000000000.";
    assert_eq!(failed.error_message(), Some(words));
    running.clock.advance(Duration::from_millis(100));
    assert_eq!(put(&running, 500).await.failed_record_count(), Some(400));
    let one = running.kinesis.put_record().stream_name(STREAM).partition_key("k").data(Blob::new("x")).send().await;
    assert_eq!(code(one), EXCEEDED);
    running.clock.advance(Duration::from_secs(1));
    assert_eq!(put(&running, 500).await.failed_record_count(), Some(0));
    running.stop().await;
}

#[tokio::test]
async fn a_shard_takes_a_mebibyte_a_second_and_gives_two() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(dir.path()).await;
    create_stream(&running).await;
    let put = async |bytes: usize| {
        let put = running.kinesis.put_record().stream_name(STREAM).partition_key("k");
        code(put.data(Blob::new(vec![7; bytes])).send().await)
    };
    // The partition key counts.
    assert_eq!(put(1_048_575).await, "accepted");
    assert_eq!(put(1).await, EXCEEDED);
    for _ in 0..3 {
        running.clock.advance(Duration::from_secs(1));
        assert_eq!(put(1_048_575).await, "accepted");
    }
    let iterator = running.kinesis.get_shard_iterator().stream_name(STREAM).shard_id("shardId-000000000000");
    let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
    let iterator = iterator.shard_iterator().expect("an iterator").to_owned();
    let get = async || running.kinesis.get_records().shard_iterator(&iterator).send().await;
    assert_eq!(get().await.expect("read").records().len(), 4);
    assert_eq!(code(get().await), EXCEEDED);
    // Four mebibytes are two seconds' worth.
    running.clock.advance(Duration::from_millis(1_990));
    assert_eq!(code(get().await), EXCEEDED);
    running.clock.advance(Duration::from_millis(20));
    assert_eq!(code(get().await), "accepted");
    running.stop().await;
}

#[tokio::test]
async fn a_shard_is_asked_five_times_a_second() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(dir.path()).await;
    create_stream(&running).await;
    let iterator = async || {
        let iterator = running.kinesis.get_shard_iterator().stream_name(STREAM).shard_id("shardId-000000000000");
        iterator.shard_iterator_type(ShardIteratorType::Latest).send().await
    };
    let given = iterator().await.expect("given").shard_iterator().expect("an iterator").to_owned();
    for _ in 0..4 {
        assert_eq!(code(iterator().await), "accepted");
    }
    assert_eq!(code(iterator().await), EXCEEDED);
    let get = async || code(running.kinesis.get_records().shard_iterator(&given).send().await);
    for _ in 0..5 {
        assert_eq!(get().await, "accepted");
    }
    assert_eq!(get().await, EXCEEDED);
    running.clock.advance(Duration::from_millis(200));
    assert_eq!([get().await, get().await], ["accepted", EXCEEDED]);
    let limits = async || code(running.kinesis.describe_limits().send().await);
    assert_eq!([limits().await, limits().await], ["accepted", "LimitExceededException"]);
    running.clock.advance(Duration::from_secs(1));
    assert_eq!(limits().await, "accepted");
    running.stop().await;
}

async fn create_table(running: &Running, name: &str, units: i64) {
    let key = KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash).build().expect("complete");
    let attribute = AttributeDefinition::builder().attribute_name("pk").attribute_type(ScalarAttributeType::S);
    let units = ProvisionedThroughput::builder().read_capacity_units(units).write_capacity_units(units);
    let create = running.dynamodb.create_table().table_name(name).key_schema(key);
    let create = create.attribute_definitions(attribute.build().expect("complete"));
    create.provisioned_throughput(units.build().expect("complete")).send().await.expect("created");
    // A table takes a while to be made.
    running.clock.advance(Duration::from_secs(3_600));
}

async fn put_item(running: &Running, table: &str) -> String {
    let item = running.dynamodb.put_item().table_name(table).item("pk", AttributeValue::S("k".to_owned())).send().await;
    code(item)
}

#[tokio::test]
async fn a_provisioned_table_saves_up_five_minutes_and_no_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(dir.path()).await;
    create_table(&running, "one", 1).await;
    create_table(&running, "many", 1_000).await;
    let mut admitted = 0;
    while put_item(&running, "one").await == "accepted" {
        admitted += 1;
        assert!(admitted < 1_000, "never throttled");
    }
    assert_eq!(admitted, 300);
    assert_eq!(put_item(&running, "one").await, EXCEEDED);
    running.clock.advance(Duration::from_secs(2));
    let three = [put_item(&running, "one").await, put_item(&running, "one").await, put_item(&running, "one").await];
    assert_eq!(three, ["accepted", "accepted", EXCEEDED]);
    let key = || AttributeValue::S("k".to_owned());
    let got = running.dynamodb.get_item().table_name("one").key("pk", key()).send().await.expect("reads are apart");
    assert!(got.item().is_some() && got.consumed_capacity().is_none(), "nobody asked what it consumed");

    let write = || {
        let put = PutRequest::builder().item("pk", key()).build().expect("complete");
        vec![WriteRequest::builder().put_request(put).build()]
    };
    let batch = running.dynamodb.batch_write_item().request_items("one", write()).request_items("many", write());
    let batch = batch.send().await.expect("done in part");
    let left: Vec<_> = batch.unprocessed_items().expect("some").keys().collect();
    assert_eq!(left, ["one"]);
    let all = running.dynamodb.batch_write_item().request_items("one", write()).send().await;
    assert_eq!(code(all), EXCEEDED);
    running.stop().await;
}

#[tokio::test]
async fn a_prefix_takes_3500_writes_a_second() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(dir.path()).await;
    running.s3.create_bucket().bucket("plain").send().await.expect("created");
    let delete = async |count: usize| {
        let delete = |_| {
            let delete = running.s3.delete_object().bucket("plain").key("raw/k").send();
            async move { code(delete.await) }
        };
        let codes: Vec<String> = futures::stream::iter(0..count).map(delete).buffer_unordered(16).collect().await;
        let (accepted, slowed): (Vec<_>, Vec<_>) = codes.into_iter().partition(|code| code == "accepted");
        assert!(slowed.iter().all(|code| code == "SlowDown"), "{slowed:?}");
        accepted.len()
    };
    assert_eq!(delete(3_520).await, 3_500);
    running.clock.advance(Duration::from_millis(2));
    assert_eq!(delete(20).await, 7);
    let elsewhere = running.s3.delete_object().bucket("plain").key("bronze/k").send().await;
    assert_eq!(code(elsewhere), "accepted");
    let read = running.s3.list_objects_v2().bucket("plain").prefix("raw/").send().await;
    assert_eq!(code(read), "accepted");
    running.stop().await;
}

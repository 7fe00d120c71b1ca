//! What was answered is there after a stop, under each fsync policy and across them; and a start looks at no object.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::ShardIteratorType;
use lakebed_cloud::Fsync;
use lakebed_contract::{Clock, Timestamp};
use rusqlite::Connection;

use crate::{Running, config};

const NAME: &str = "durable";

async fn start(dir: &std::path::Path, fsync: Fsync) -> Running {
    let clock = Clock::virtual_at(Timestamp::from_seconds(1_700_000_000));
    let mut config = config(dir, 0, clock, None);
    config.fsync = fsync;
    Running::start_as(config).await
}

async fn create(running: &Running) {
    running.s3.create_bucket().bucket(NAME).send().await.expect("a bucket");
    running.kinesis.create_stream().stream_name(NAME).shard_count(1).send().await.expect("a stream");
    let id = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S).build();
    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build();
    let table = running.dynamodb.create_table().table_name(NAME).billing_mode(BillingMode::PayPerRequest);
    let table = table.attribute_definitions(id.expect("complete")).key_schema(key.expect("complete"));
    table.send().await.expect("a table");
}

async fn write(running: &Running, value: &str) {
    let body = value.as_bytes().to_vec();
    running.s3.put_object().bucket(NAME).key(value).body(body.clone().into()).send().await.expect("an object");
    let item = running.dynamodb.put_item().table_name(NAME).item("id", AttributeValue::S(value.to_owned()));
    item.send().await.expect("an item");
    let record = running.kinesis.put_record().stream_name(NAME).partition_key("k").data(Blob::new(body));
    record.send().await.expect("a record");
}

/// Names of objects, ids of items and data of records.
async fn found(running: &Running) -> [Vec<String>; 3] {
    let objects = running.s3.list_objects_v2().bucket(NAME).prefix("value-").send().await.expect("listed");
    let objects = objects.contents().iter().filter_map(|object| object.key()).map(str::to_owned).collect();
    let items = running.dynamodb.scan().table_name(NAME).send().await.expect("scanned");
    let ids = items.items().iter().map(|item| item["id"].as_s().expect("text").clone());
    let mut ids: Vec<String> = ids.collect();
    ids.sort_unstable();
    let shards = running.kinesis.list_shards().stream_name(NAME).send().await.expect("listed");
    let shard = shards.shards()[0].shard_id();
    let iterator = running.kinesis.get_shard_iterator().stream_name(NAME).shard_id(shard);
    let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
    let read = running.kinesis.get_records().shard_iterator(iterator.shard_iterator().expect("one"));
    let read = read.send().await.expect("records");
    let data = read.records().iter().map(|record| String::from_utf8_lossy(record.data().as_ref()).into_owned());
    [objects, ids, data.collect()]
}

#[tokio::test]
async fn each_policy_keeps_what_every_other_one_wrote() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut expected = Vec::new();
    let policies = [Fsync::Always, Fsync::Interval, Fsync::Never, Fsync::Interval, Fsync::Always];
    for (number, fsync) in policies.into_iter().enumerate() {
        let running = start(dir.path(), fsync).await;
        if number == 0 {
            create(&running).await;
        }
        let value = format!("value-{number}");
        write(&running, &value).await;
        expected.push(value);
        let whole = [expected.clone(), expected.clone(), expected.clone()];
        assert_eq!(found(&running).await, whole, "read back under {fsync:?}");
        // Objects that are files, of which `found` does not know.
        let large = |number: usize| number.to_string().repeat(20_000).into_bytes();
        let put = running.s3.put_object().bucket(NAME).key(format!("large-{number}")).body(large(number).into());
        put.send().await.expect("a file");
        for earlier in 0..=number {
            let small = format!("value-{earlier}").into_bytes();
            for (key, body) in [(format!("large-{earlier}"), large(earlier)), (format!("value-{earlier}"), small)] {
                let got = running.s3.get_object().bucket(NAME).key(&key).send().await.expect("there");
                assert!(got.body.collect().await.expect("read").to_vec() == body, "{key} under {fsync:?}");
            }
        }
        running.stop().await;
    }
}

#[tokio::test]
async fn records_put_at_the_same_time_are_all_flushed_and_read_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(dir.path(), Fsync::Always).await;
    create(&running).await;
    let puts = (0..40).map(|number| {
        let record = running.kinesis.put_record().stream_name(NAME).partition_key("k");
        record.data(Blob::new(format!("{number:02}"))).send()
    });
    let mut acknowledged = Vec::new();
    for (number, put) in futures::future::join_all(puts).await.into_iter().enumerate() {
        acknowledged.push((put.expect("put").sequence_number().to_owned(), format!("{number:02}")));
    }
    acknowledged.sort_unstable();
    let by_sequence: Vec<String> = acknowledged.into_iter().map(|(_, data)| data).collect();
    assert_eq!(found(&running).await[2], by_sequence);
    running.stop().await;
    let running = start(dir.path(), Fsync::Always).await;
    assert_eq!(found(&running).await[2], by_sequence);
    running.stop().await;
}

/// Nothing is timed: the files of all but one object are missing, and a start that looked at them would trip over that.
#[tokio::test]
async fn a_start_looks_at_none_of_a_hundred_thousand_objects() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = start(dir.path(), Fsync::Never).await;
    create(&running).await;
    write(&running, "there").await;
    running.stop().await;
    let index = Connection::open(dir.path().join("s3.sqlite")).expect("opens");
    let added = index
        .execute(
            "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < 100000)
             INSERT INTO object (bucket, key, record)
             SELECT bucket, CAST(printf('gone-%06d', n) AS BLOB), json_set(record, '$.file', printf('gone-%06d', n))
             FROM object, number WHERE key = CAST('there' AS BLOB)",
            [],
        )
        .expect("added");
    assert_eq!(added, 100_000);
    drop(index);
    let running = start(dir.path(), Fsync::Never).await;
    let objects = running.s3.list_objects_v2().bucket(NAME).start_after("gone-099990").send().await.expect("listed");
    assert_eq!(objects.key_count(), Some(11));
    let there = running.s3.get_object().bucket(NAME).key("there").send().await.expect("there");
    assert_eq!(there.body.collect().await.expect("read").into_bytes().as_ref(), b"there");
    running.stop().await;
}

//! Streams of every view type through the SDK: writes that change nothing are not told, and each view shows its images only.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    Put, PutRequest, StreamSpecification, StreamViewType, TransactWriteItem, Update, WriteRequest,
};
use aws_sdk_dynamodbstreams::Client as Streams;
use aws_sdk_dynamodbstreams::types::{OperationType, Record, ShardIteratorType};
use lakebed_contract::Clock;
use serde_json::{Value, json};

use crate::dynamodb::{create_table, drain, iterator, key, n_of, number_of, start};
use crate::dynamodb_expressions::{item, values};

const VIEWS: [StreamViewType; 4] =
    [StreamViewType::KeysOnly, StreamViewType::NewImage, StreamViewType::OldImage, StreamViewType::NewAndOldImages];

fn first() -> Value {
    json!({ "pk": "a", "n": 1, "x": 10, "tags": { "$ss": ["p", "q"] }, "ids": { "$ns": [1, 20] }, "deep": { "list": [1, "two"] } })
}

/// The same values in another order and form.
fn again() -> Value {
    json!({ "deep": { "list": [1, "two"] }, "tags": { "$ss": ["q", "p"] }, "ids": { "$ns": [20.0, 1] }, "x": 10.0, "n": 1, "pk": "a" })
}

async fn put(client: &Client, table: &str, json: &Value) {
    client.put_item().table_name(table).set_item(Some(item(json))).send().await.unwrap();
}

async fn update(client: &Client, table: &str, expression: &str, x: u32) {
    let update = client.update_item().table_name(table).set_key(Some(key("a", 1))).update_expression(expression);
    update.set_expression_attribute_values(values(&json!({ "x": x }))).send().await.unwrap();
}

/// A put, an update, a batch and a transaction that leave the item as it is.
async fn change_nothing(client: &Client, table: &str) {
    put(client, table, &first()).await;
    put(client, table, &again()).await;
    update(client, table, "SET x = :x", 10).await;
    update(client, table, "SET x = if_not_exists(x, :x)", 11).await;
    let batched = PutRequest::builder().set_item(Some(item(&again()))).build().unwrap();
    let batched = vec![WriteRequest::builder().put_request(batched).build()];
    client.batch_write_item().request_items(table, batched).send().await.unwrap();
    let kept = Put::builder().table_name(table).set_item(Some(item(&again()))).build().unwrap();
    let written = client.transact_write_items().transact_items(TransactWriteItem::builder().put(kept).build());
    // The other half of the transaction does change something.
    let counted = Update::builder().table_name(table).set_key(Some(key("counter", 2))).update_expression("ADD x :x");
    let counted = counted.set_expression_attribute_values(values(&json!({ "x": 1 }))).build().unwrap();
    written.transact_items(TransactWriteItem::builder().update(counted).build()).send().await.unwrap();
    let statement = format!("UPDATE \"{table}\" SET x = 10 WHERE pk = 'a' AND n = 1");
    client.execute_statement().statement(statement).send().await.unwrap();
}

async fn all(streams: &Streams, arn: &str, limit: i32) -> Vec<Record> {
    let from = iterator(streams, arn, ShardIteratorType::TrimHorizon, None).await;
    drain(streams, from, limit).await.0
}

fn kinds(records: &[Record]) -> Vec<(u32, OperationType)> {
    records.iter().map(|record| (n_of(record), record.event_name().unwrap().clone())).collect()
}

/// `x` of the new and the old image.
fn images(record: &Record) -> [Option<String>; 2] {
    let change = record.dynamodb().unwrap();
    [change.new_image(), change.old_image()].map(|image| image.map(|image| image["x"].as_n().unwrap().clone()))
}

async fn shown_view(client: &Client, streams: &Streams, table: &str, arn: &str) -> [StreamViewType; 2] {
    let described = client.describe_table().table_name(table).send().await.unwrap().table.unwrap();
    let of_table = described.stream_specification.unwrap().stream_view_type.unwrap();
    let described = streams.describe_stream().stream_arn(arn).send().await.unwrap().stream_description.unwrap();
    [of_table, StreamViewType::from(described.stream_view_type.unwrap().as_str())]
}

#[tokio::test]
async fn a_write_that_changes_nothing_is_told_by_no_view() {
    let dir = tempfile::tempdir().unwrap();
    let (_cloud, client, streams) = start(dir.path(), &Clock::wall()).await;
    for view in VIEWS {
        let table = view.as_str();
        let arn = create_table(&client, table, view.clone()).await;
        put(&client, table, &first()).await;
        change_nothing(&client, table).await;
        update(&client, table, "SET x = :x", 20).await;
        client.delete_item().table_name(table).set_key(Some(key("a", 1))).send().await.unwrap();
        client.delete_item().table_name(table).set_key(Some(key("a", 1))).send().await.unwrap();

        let records = all(&streams, &arn, 1).await;
        use OperationType::{Insert, Modify, Remove};
        assert_eq!(kinds(&records), [(1, Insert), (2, Insert), (1, Modify), (1, Remove)], "{view:?}");
        assert_eq!(records, all(&streams, &arn, 100).await, "{view:?}");
        let (has_new, has_old) = match view {
            StreamViewType::KeysOnly => (false, false),
            StreamViewType::NewImage => (true, false),
            StreamViewType::OldImage => (false, true),
            _ => (true, true),
        };
        let image = |x: &str, is_shown: bool| is_shown.then(|| x.to_owned());
        let none = None::<String>;
        assert_eq!(images(&records[0]), [image("10", has_new), none.clone()], "{view:?}");
        assert_eq!(images(&records[2]), [image("20", has_new), image("10", has_old)], "{view:?}");
        assert_eq!(images(&records[3]), [none, image("20", has_old)], "{view:?}");
        assert!(
            records
                .iter()
                .all(|record| { record.dynamodb().unwrap().stream_view_type().unwrap().as_str() == view.as_str() })
        );
        // Six bytes are the keys: `pk` 2 + 1, `n` 1 + 2.
        let sizes: Vec<i64> = records.iter().map(|record| record.dynamodb().unwrap().size_bytes().unwrap()).collect();
        assert_eq!(sizes[3] > 6, has_old, "{view:?}: {sizes:?}");
        assert_eq!(sizes[2] - sizes[3], if has_new { sizes[0] - 6 } else { 0 }, "{view:?}: {sizes:?}");
        assert_eq!(shown_view(&client, &streams, table, &arn).await, [view.clone(), view.clone()]);
        let deleted = client.delete_table().table_name(table).send().await.unwrap().table_description.unwrap();
        assert_eq!(deleted.stream_specification.unwrap().stream_view_type.unwrap(), view);
    }
}

#[tokio::test]
async fn readers_go_on_behind_what_is_not_told_and_a_closed_stream_ends() {
    let dir = tempfile::tempdir().unwrap();
    let (_cloud, client, streams) = start(dir.path(), &Clock::wall()).await;
    let arn = create_table(&client, "control", StreamViewType::KeysOnly).await;
    put(&client, "control", &first()).await;
    let latest = iterator(&streams, &arn, ShardIteratorType::Latest, None).await;
    put(&client, "control", &again()).await;
    let page = streams.get_records().shard_iterator(latest).send().await.unwrap();
    assert!(page.records().is_empty());
    let waiting = page.next_shard_iterator.unwrap();
    update(&client, "control", "SET x = :x", 11).await;
    put(&client, "control", &json!({ "pk": "b", "n": 5 })).await;
    let (records, _) = drain(&streams, waiting, 10).await;
    assert_eq!(records.iter().map(n_of).collect::<Vec<_>>(), [1, 5]);
    let after = iterator(&streams, &arn, ShardIteratorType::AfterSequenceNumber, Some(number_of(&records[0]))).await;
    assert_eq!(drain(&streams, after, 10).await.0, records[1..]);

    // The last that happens to the stream is nothing.
    put(&client, "control", &json!({ "n": 5, "pk": "b" })).await;
    let switch = async |view: Option<StreamViewType>| {
        let stream = StreamSpecification::builder().stream_enabled(view.is_some()).set_stream_view_type(view);
        let update = client.update_table().table_name("control").stream_specification(stream.build().unwrap());
        update.send().await.unwrap().table_description.unwrap()
    };
    assert!(switch(None).await.stream_specification.is_none());
    let from = iterator(&streams, &arn, ShardIteratorType::TrimHorizon, None).await;
    let (records, end) = drain(&streams, from, 1).await;
    assert_eq!(records.iter().map(n_of).collect::<Vec<_>>(), [1, 1, 5]);
    assert!(end.is_none(), "a closed stream has an end");

    let switched = switch(Some(StreamViewType::OldImage)).await;
    assert_eq!(switched.stream_specification.unwrap().stream_view_type.unwrap(), StreamViewType::OldImage);
    let second = switched.latest_stream_arn.unwrap();
    put(&client, "control", &json!({ "pk": "b", "n": 5, "x": 1 })).await;
    put(&client, "control", &json!({ "pk": "b", "n": 5, "x": 2 })).await;
    let records = all(&streams, &second, 10).await;
    assert_eq!(images(&records[1]), [None, Some("1".to_owned())]);
    assert_eq!(shown_view(&client, &streams, "control", &second).await, [const { StreamViewType::OldImage }; 2]);
    let described = streams.describe_stream().stream_arn(&arn).send().await.unwrap().stream_description.unwrap();
    assert_eq!(described.stream_view_type.unwrap().as_str(), "KEYS_ONLY", "the first stream is what it was");
}

#[tokio::test]
async fn tables_of_an_earlier_version_go_on_with_their_view() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::wall();
    let (cloud, client, _streams) = start(dir.path(), &clock).await;
    let arn = create_table(&client, "control", StreamViewType::NewImage).await;
    put(&client, "control", &first()).await;
    cloud.shutdown().await.unwrap();
    // As it was when records were kept by the view of the table.
    let database = rusqlite::Connection::open(dir.path().join("dynamodb/dynamodb.sqlite")).unwrap();
    let changed = database.execute("UPDATE _tables SET stream_view_type = 'NEW_IMAGE'", []).unwrap();
    assert_eq!(changed, 1);
    drop(database);

    for round in 0..2 {
        let (cloud, client, streams) = start(dir.path(), &clock).await;
        change_nothing(&client, "control").await;
        assert_eq!(kinds(&all(&streams, &arn, 10).await).iter().filter(|(n, _)| *n == 1).count(), 1, "round {round}");
        let new_image = StreamViewType::NewImage;
        assert_eq!(shown_view(&client, &streams, "control", &arn).await, [new_image.clone(), new_image]);
        cloud.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_read_that_passes_much_over_ends_early_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (_cloud, client, streams) = start(dir.path(), &Clock::wall()).await;
    let arn = create_table(&client, "control", StreamViewType::KeysOnly).await;
    let large = json!({ "pk": "a", "n": 1, "x": "x".repeat(390 * 1024) });
    put(&client, "control", &large).await;
    let latest = iterator(&streams, &arn, ShardIteratorType::Latest, None).await;
    for _ in 0..12 {
        put(&client, "control", &large).await;
    }
    put(&client, "control", &json!({ "pk": "b", "n": 5 })).await;
    let page = streams.get_records().shard_iterator(latest).send().await.unwrap();
    assert!(page.records().is_empty(), "eight MiB are passed over at once");
    let rest = streams.get_records().shard_iterator(page.next_shard_iterator.unwrap()).send().await.unwrap();
    assert_eq!(rest.records().iter().map(n_of).collect::<Vec<_>>(), [5]);
}

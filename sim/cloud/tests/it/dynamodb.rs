//! DynamoDB and DynamoDB Streams through the AWS SDKs, over the port.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ReturnValue,
    ReturnValuesOnConditionCheckFailure, ScalarAttributeType, StreamSpecification, StreamViewType,
};
use aws_sdk_dynamodbstreams::Client as Streams;
use aws_sdk_dynamodbstreams::types::{AttributeValue as StreamValue, OperationType, Record, Shard, ShardIteratorType};
use lakebed_cloud::{Cloud, CloudConfig};
use lakebed_contract::{Clock, Endpoints, Seed, Timestamp};

pub(crate) async fn start(state_dir: &Path, clock: &Clock) -> (Cloud, Client, Streams) {
    let cloud = Cloud::start(CloudConfig::new(state_dir, clock.clone(), Seed(7))).await.unwrap();
    let endpoints = Endpoints::embedded(cloud.port());
    let config = endpoints.sdk_config(&endpoints.dynamodb_url);
    (cloud, Client::new(&config), Streams::new(&config))
}

pub(crate) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(crate) async fn create_table(client: &Client, table: &str, view: StreamViewType) -> String {
    let created = client
        .create_table()
        .table_name(table)
        .attribute_definitions(
            AttributeDefinition::builder().attribute_name("pk").attribute_type(ScalarAttributeType::S).build().unwrap(),
        )
        .attribute_definitions(
            AttributeDefinition::builder().attribute_name("n").attribute_type(ScalarAttributeType::N).build().unwrap(),
        )
        .key_schema(KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash).build().unwrap())
        .key_schema(KeySchemaElement::builder().attribute_name("n").key_type(KeyType::Range).build().unwrap())
        .billing_mode(BillingMode::PayPerRequest)
        .stream_specification(
            StreamSpecification::builder().stream_enabled(true).stream_view_type(view).build().unwrap(),
        )
        .send()
        .await
        .unwrap();
    created.table_description.unwrap().latest_stream_arn.unwrap()
}

pub(crate) async fn put(client: &Client, table: &str, pk: &str, n: u32, status: &str) {
    client
        .put_item()
        .table_name(table)
        .item("pk", text(pk))
        .item("n", AttributeValue::N(n.to_string()))
        .item("status", text(status))
        .send()
        .await
        .unwrap();
}

pub(crate) fn key(pk: &str, n: u32) -> HashMap<String, AttributeValue> {
    HashMap::from([("pk".to_owned(), text(pk)), ("n".to_owned(), AttributeValue::N(n.to_string()))])
}

/// The shards of a stream, the oldest first.
pub(crate) async fn shards_of(streams: &Streams, arn: &str) -> Vec<Shard> {
    let description = streams.describe_stream().stream_arn(arn).send().await.unwrap().stream_description.unwrap();
    description.shards.unwrap()
}

pub(crate) async fn shard_of(streams: &Streams, arn: &str) -> Shard {
    shards_of(streams, arn).await.remove(0)
}

/// An iterator of the oldest shard, of the open one for LATEST, or of the one that holds a sequence number.
pub(crate) async fn iterator(streams: &Streams, arn: &str, kind: ShardIteratorType, after: Option<&str>) -> String {
    let mut shards = shards_of(streams, arn).await;
    let starts = |shard: &Shard| shard.sequence_number_range().unwrap().starting_sequence_number().unwrap().to_owned();
    let at = match after {
        Some(number) => shards.iter().rposition(|shard| starts(shard).as_str() <= number).unwrap_or(0),
        None if kind == ShardIteratorType::Latest => shards.len() - 1,
        None => 0,
    };
    let shard = shards.swap_remove(at);
    let request = streams
        .get_shard_iterator()
        .stream_arn(arn)
        .shard_id(shard.shard_id().unwrap())
        .shard_iterator_type(kind)
        .set_sequence_number(after.map(str::to_owned));
    request.send().await.unwrap().shard_iterator.unwrap()
}

/// Reads pages of `limit` until one is empty. Returns the records and the iterator to go on with.
pub(crate) async fn drain(streams: &Streams, mut iterator: String, limit: i32) -> (Vec<Record>, Option<String>) {
    let mut all = Vec::new();
    loop {
        let page = streams.get_records().shard_iterator(&iterator).limit(limit).send().await.unwrap();
        let records = page.records.unwrap_or_default();
        assert!(records.len() <= usize::try_from(limit).unwrap());
        let empty = records.is_empty();
        all.extend(records);
        match page.next_shard_iterator {
            Some(next) if !empty => iterator = next,
            next => return (all, next),
        }
    }
}

pub(crate) fn n_of(record: &Record) -> u32 {
    match record.dynamodb().unwrap().keys().unwrap().get("n") {
        Some(StreamValue::N(n)) => n.parse().unwrap(),
        other => panic!("no n in the keys: {other:?}"),
    }
}

pub(crate) fn number_of(record: &Record) -> &str {
    record.dynamodb().unwrap().sequence_number().unwrap()
}

#[tokio::test]
async fn conditional_writes_let_one_through_and_show_the_item_to_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let (_cloud, client, _) = start(dir.path(), &Clock::wall()).await;
    create_table(&client, "control", StreamViewType::NewImage).await;
    let claim = || {
        client
            .put_item()
            .table_name("control")
            .set_item(Some(key("a", 1)))
            .item("status", text("RECEIVED"))
            .condition_expression("attribute_not_exists(pk)")
    };
    claim().send().await.unwrap();
    let again = claim()
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    let aws_sdk_dynamodb::operation::put_item::PutItemError::ConditionalCheckFailedException(failed) = again else {
        panic!("not a failed condition: {again:?}");
    };
    assert_eq!(failed.item().unwrap().get("status"), Some(&text("RECEIVED")));

    let update = |from: [&str; 2]| {
        client
            .update_item()
            .table_name("control")
            .set_key(Some(key("a", 1)))
            .update_expression("SET #s = :claimed, fence = if_not_exists(fence, :zero) + :one")
            .condition_expression("#s IN (:from0, :from1)")
            .expression_attribute_names("#s", "status")
            .expression_attribute_values(":claimed", text("CLAIMED"))
            .expression_attribute_values(":zero", AttributeValue::N("0".to_owned()))
            .expression_attribute_values(":one", AttributeValue::N("1".to_owned()))
            .expression_attribute_values(":from0", text(from[0]))
            .expression_attribute_values(":from1", text(from[1]))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
    };
    let claimed = update(["RECEIVED", "FAILED"]).await.unwrap().attributes.unwrap();
    assert_eq!(claimed.get("fence"), Some(&AttributeValue::N("1".to_owned())));
    let refused = update(["RECEIVED", "FAILED"]).await.unwrap_err().into_service_error();
    let aws_sdk_dynamodb::operation::update_item::UpdateItemError::ConditionalCheckFailedException(failed) = refused
    else {
        panic!("not a failed condition: {refused:?}");
    };
    assert_eq!(failed.item().unwrap().get("status"), Some(&text("CLAIMED")));
}

#[tokio::test]
async fn queries_and_scans_page_through_everything_once() {
    let dir = tempfile::tempdir().unwrap();
    let (_cloud, client, _) = start(dir.path(), &Clock::wall()).await;
    create_table(&client, "control", StreamViewType::NewImage).await;
    for n in 0..25 {
        put(&client, "control", if n < 20 { "a" } else { "b" }, n, if n % 2 == 0 { "DONE" } else { "FAILED" }).await;
    }
    let (mut seen, mut start_key) = (Vec::new(), None);
    loop {
        let page = client
            .query()
            .table_name("control")
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", text("a"))
            .limit(7)
            .set_exclusive_start_key(start_key)
            .send()
            .await
            .unwrap();
        seen.extend(page.items().iter().map(|item| item["n"].as_n().unwrap().parse::<u32>().unwrap()));
        start_key = page.last_evaluated_key;
        if start_key.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..20).collect::<Vec<_>>());

    let (mut failed, mut start_key) = (0, None);
    loop {
        let page = client
            .scan()
            .table_name("control")
            .filter_expression("#s IN (:failed, :quarantined)")
            .expression_attribute_names("#s", "status")
            .expression_attribute_values(":failed", text("FAILED"))
            .expression_attribute_values(":quarantined", text("QUARANTINED"))
            .limit(4)
            .set_exclusive_start_key(start_key)
            .send()
            .await
            .unwrap();
        failed += page.count();
        start_key = page.last_evaluated_key;
        if start_key.is_none() {
            break;
        }
    }
    assert_eq!(failed, 12);
}

#[tokio::test]
async fn a_stream_gives_every_change_once_in_order_page_by_page_and_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (cloud, client, streams) = start(dir.path(), &Clock::wall()).await;
    let arn = create_table(&client, "dm-processing-control", StreamViewType::NewImage).await;
    create_table(&client, "other", StreamViewType::KeysOnly).await;
    let shard = shard_of(&streams, &arn).await;
    let id = shard.shard_id().unwrap();
    assert!((28..=65).contains(&id.len()), "{id}");
    assert!(shard.sequence_number_range().unwrap().ending_sequence_number().is_none());

    for n in 0..23 {
        put(&client, "dm-processing-control", "a", n, "RECEIVED").await;
        put(&client, "other", "a", n, "RECEIVED").await;
    }
    let from_start = iterator(&streams, &arn, ShardIteratorType::TrimHorizon, None).await;
    let (records, _) = drain(&streams, from_start, 5).await;
    assert_eq!(records.iter().map(n_of).collect::<Vec<_>>(), (0..23).collect::<Vec<_>>());
    for pair in records.windows(2) {
        assert!(number_of(&pair[0]) < number_of(&pair[1]));
    }
    for record in &records {
        assert!((21..=40).contains(&number_of(record).len()));
        assert_eq!(record.event_name(), Some(&OperationType::Insert));
        let change = record.dynamodb().unwrap();
        assert_eq!(change.new_image().unwrap()["status"], StreamValue::S("RECEIVED".to_owned()));
        assert!(change.old_image().is_none());
    }

    let after = number_of(&records[9]).to_owned();
    cloud.shutdown().await.unwrap();
    let (_cloud, client, streams) = start(dir.path(), &Clock::wall()).await;
    put(&client, "dm-processing-control", "a", 23, "RECEIVED").await;
    let resumed = iterator(&streams, &arn, ShardIteratorType::AfterSequenceNumber, Some(&after)).await;
    let (rest, next) = drain(&streams, resumed, 1_000).await;
    assert_eq!(rest.iter().map(n_of).collect::<Vec<_>>(), (10..24).collect::<Vec<_>>());
    assert_eq!(rest[0].event_id(), records[10].event_id(), "the same change keeps its id");

    client.delete_item().table_name("dm-processing-control").set_key(Some(key("a", 5))).send().await.unwrap();
    let (last, _) = drain(&streams, next.unwrap(), 10).await;
    assert_eq!(last.iter().map(n_of).collect::<Vec<_>>(), [5]);
    assert_eq!(last[0].event_name(), Some(&OperationType::Remove));
    assert!(last[0].dynamodb().unwrap().new_image().is_none());

    let at = iterator(&streams, &arn, ShardIteratorType::AtSequenceNumber, Some(&after)).await;
    assert_eq!(n_of(&drain(&streams, at, 1_000).await.0[0]), 9);
    let latest = iterator(&streams, &arn, ShardIteratorType::Latest, None).await;
    assert!(drain(&streams, latest, 10).await.0.is_empty());
}

#[tokio::test]
async fn a_consumer_that_resumes_while_others_write_misses_and_repeats_nothing() {
    const WRITERS: u32 = 4;
    const WRITES: u32 = 40;
    let dir = tempfile::tempdir().unwrap();
    let (_cloud, client, streams) = start(dir.path(), &Clock::wall()).await;
    let arn = create_table(&client, "control", StreamViewType::NewImage).await;
    let write = async |writer: u32| {
        for n in 0..WRITES {
            put(&client, "control", &format!("w{writer}"), n, "RECEIVED").await;
        }
    };
    let consume = async || {
        let mut seen: Vec<Record> = Vec::new();
        while seen.len() < (WRITERS * WRITES) as usize {
            // A fresh iterator per page, as a consumer that crashed after each page would ask for.
            let from = match seen.last() {
                Some(last) => {
                    iterator(&streams, &arn, ShardIteratorType::AfterSequenceNumber, Some(number_of(last))).await
                }
                None => iterator(&streams, &arn, ShardIteratorType::TrimHorizon, None).await,
            };
            let page = streams.get_records().shard_iterator(from).limit(7).send().await.unwrap();
            seen.extend(page.records.unwrap_or_default());
        }
        seen
    };
    let (_, seen) = futures::future::join(futures::future::join_all((0..WRITERS).map(write)), consume()).await;
    assert!(seen.windows(2).all(|pair| number_of(&pair[0]) < number_of(&pair[1])));
    for writer in 0..WRITERS {
        let own = StreamValue::S(format!("w{writer}"));
        let of_writer = seen.iter().filter(|record| record.dynamodb().unwrap().keys().unwrap()["pk"] == own);
        assert_eq!(of_writer.map(n_of).collect::<Vec<_>>(), (0..WRITES).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_closed_stream_ends_and_a_new_table_of_the_same_name_starts_afresh() {
    let dir = tempfile::tempdir().unwrap();
    let (_cloud, client, streams) = start(dir.path(), &Clock::wall()).await;
    let first = create_table(&client, "t-t", StreamViewType::NewAndOldImages).await;
    put(&client, "t-t", "a", 1, "x").await;
    put(&client, "t-t", "a", 1, "y").await;
    client.delete_table().table_name("t-t").send().await.unwrap();
    let second = create_table(&client, "t-t", StreamViewType::KeysOnly).await;
    put(&client, "t-t", "a", 2, "z").await;
    assert_ne!(first, second);

    let old = iterator(&streams, &first, ShardIteratorType::TrimHorizon, None).await;
    let (records, next) = drain(&streams, old, 10).await;
    assert_eq!(records.iter().map(n_of).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(records[1].event_name(), Some(&OperationType::Modify));
    assert_eq!(records[1].dynamodb().unwrap().old_image().unwrap()["status"], StreamValue::S("x".to_owned()));
    assert!(next.is_none(), "a closed stream has an end");
    assert!(shard_of(&streams, &first).await.sequence_number_range().unwrap().ending_sequence_number().is_some());

    let new = iterator(&streams, &second, ShardIteratorType::TrimHorizon, None).await;
    let (records, next) = drain(&streams, new, 10).await;
    assert_eq!(records.iter().map(n_of).collect::<Vec<_>>(), [2]);
    assert!(records[0].dynamodb().unwrap().new_image().is_none());
    assert!(next.is_some());

    let listed = streams.list_streams().table_name("t-t").limit(1).send().await.unwrap();
    let rest = streams
        .list_streams()
        .table_name("t-t")
        .exclusive_start_stream_arn(listed.last_evaluated_stream_arn().unwrap())
        .send()
        .await
        .unwrap();
    let arns: Vec<_> =
        listed.streams().iter().chain(rest.streams()).map(|stream| stream.stream_arn().unwrap()).collect();
    assert_eq!(arns, [first.as_str(), second.as_str()]);
    assert!(rest.last_evaluated_stream_arn().is_none());
}

#[tokio::test]
async fn iterators_expire_and_nonsense_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::virtual_at(Timestamp::from_seconds(1_700_000_000));
    let (_cloud, client, streams) = start(dir.path(), &clock).await;
    let arn = create_table(&client, "control", StreamViewType::NewImage).await;
    put(&client, "control", "a", 1, "x").await;
    let old = iterator(&streams, &arn, ShardIteratorType::TrimHorizon, None).await;
    clock.advance(Duration::from_secs(15 * 60 + 1));
    let expired = streams.get_records().shard_iterator(&old).send().await.unwrap_err().into_service_error();
    assert!(expired.is_expired_iterator_exception(), "{expired:?}");

    let shard = shard_of(&streams, &arn).await;
    let future = streams
        .get_shard_iterator()
        .stream_arn(&arn)
        .shard_id(shard.shard_id().unwrap())
        .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
        .sequence_number("199999999999999999999")
        .send()
        .await;
    assert!(future.is_err());
    let missing = arn.replace("/control/", "/no-such-table/");
    let unknown = streams.describe_stream().stream_arn(missing).send().await.unwrap_err().into_service_error();
    assert!(unknown.is_resource_not_found_exception(), "{unknown:?}");
}

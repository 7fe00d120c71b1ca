//! DynamoDB Streams through the SDK: what 24 hours take away, pages of shards, and the words of refusals.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::types::{PutRequest, StreamViewType, WriteRequest};
use aws_sdk_dynamodbstreams::Client as Streams;
use aws_sdk_dynamodbstreams::error::ProvideErrorMetadata;
use aws_sdk_dynamodbstreams::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_dynamodbstreams::types::{Record, ShardFilter, ShardFilterType, ShardIteratorType};
use lakebed_contract::{Clock, Timestamp};

use crate::dynamodb::{create_table, drain, iterator, key, n_of, number_of, put, shard_of, start};

const START: i64 = 1_700_000_000;
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A round runs beside the requests: how often a test asks whether it is done.
const QUESTIONS_MAX: usize = 20_000;

async fn from_horizon(streams: &Streams, arn: &str) -> Vec<Record> {
    for _ in 0..QUESTIONS_MAX {
        let oldest = iterator(streams, arn, ShardIteratorType::TrimHorizon, None).await;
        match streams.get_records().shard_iterator(oldest).send().await {
            Ok(page) => return page.records.unwrap_or_default(),
            // A round may trim between the two calls; then the iterator points before the horizon, and a new one is due.
            Err(error) => {
                let error = error.into_service_error();
                assert!(error.is_trimmed_data_access_exception(), "{error:?}");
            }
        }
    }
    panic!("the horizon does not stand still");
}

/// The records there are once the oldest of them is `oldest`; none at all for `None`.
async fn trimmed_to(streams: &Streams, arn: &str, oldest: Option<u32>) -> Vec<Record> {
    for _ in 0..QUESTIONS_MAX {
        let records = from_horizon(streams, arn).await;
        if records.first().map(n_of) == oldest {
            return records;
        }
        tokio::task::yield_now().await;
    }
    panic!("the stream has not been trimmed to {oldest:?}");
}

fn rows(state_dir: &Path) -> u32 {
    let database = rusqlite::Connection::open(state_dir.join("dynamodb/dynamodb.sqlite")).unwrap();
    database.query_row("SELECT COUNT(*) FROM _stream_records", [], |row| row.get(0)).unwrap()
}

async fn refused(streams: &Streams, arn: &str, kind: ShardIteratorType, number: &str) -> GetShardIteratorError {
    let shard = shard_of(streams, arn).await;
    let request = streams.get_shard_iterator().stream_arn(arn).shard_id(shard.shard_id().unwrap());
    let sent = request.shard_iterator_type(kind).sequence_number(number).send().await;
    sent.unwrap_err().into_service_error()
}

#[tokio::test]
async fn records_older_than_a_day_are_gone_and_readers_before_them_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::virtual_at(Timestamp::from_seconds(START));
    let (cloud, client, streams) = start(dir.path(), &clock).await;
    let arn = create_table(&client, "control", StreamViewType::NewImage).await;
    put(&client, "control", "a", 0, "x").await;
    put(&client, "control", "a", 1, "x").await;
    clock.advance(DAY - MINUTE);
    put(&client, "control", "a", 2, "x").await;
    let all = from_horizon(&streams, &arn).await;
    assert_eq!(all.iter().map(n_of).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(all[0].dynamodb().unwrap().approximate_creation_date_time().unwrap().secs(), START);
    let before = iterator(&streams, &arn, ShardIteratorType::TrimHorizon, None).await;

    clock.advance(MINUTE * 3);
    let kept = trimmed_to(&streams, &arn, Some(2)).await;
    assert_eq!(kept.iter().map(n_of).collect::<Vec<_>>(), [2]);
    let lost = streams.get_records().shard_iterator(before).send().await.unwrap_err().into_service_error();
    assert!(lost.is_trimmed_data_access_exception(), "{lost:?}");
    for (kind, number) in [
        (ShardIteratorType::AtSequenceNumber, number_of(&all[1])),
        (ShardIteratorType::AfterSequenceNumber, number_of(&all[0])),
    ] {
        let lost = refused(&streams, &arn, kind, number).await;
        assert!(lost.is_trimmed_data_access_exception(), "{lost:?}");
    }
    // Whoever has read the last trimmed record has missed nothing.
    let next = iterator(&streams, &arn, ShardIteratorType::AfterSequenceNumber, Some(number_of(&all[1]))).await;
    assert_eq!(drain(&streams, next, 10).await.0.iter().map(n_of).collect::<Vec<_>>(), [2]);

    // The newest record goes as well, yet the numbers go on behind it, also after a restart.
    clock.advance(DAY + MINUTE);
    assert!(trimmed_to(&streams, &arn, None).await.is_empty());
    cloud.shutdown().await.unwrap();
    let (_cloud, client, streams) = start(dir.path(), &clock).await;
    let latest = iterator(&streams, &arn, ShardIteratorType::Latest, None).await;
    put(&client, "control", "a", 3, "x").await;
    let (records, _) = drain(&streams, latest, 10).await;
    assert_eq!(records.iter().map(n_of).collect::<Vec<_>>(), [3]);
    assert_eq!(from_horizon(&streams, &arn).await.iter().map(n_of).collect::<Vec<_>>(), [3]);
    assert!(number_of(&records[0]) > number_of(&all[2]));
}

#[tokio::test]
async fn trimming_gives_the_room_back_and_closed_streams_are_trimmed_too() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::virtual_at(Timestamp::from_seconds(START));
    let (_cloud, client, streams) = start(dir.path(), &clock).await;
    let arn = create_table(&client, "control", StreamViewType::NewImage).await;
    let closed = create_table(&client, "closed", StreamViewType::NewImage).await;
    put(&client, "closed", "a", 0, "x").await;
    client.delete_table().table_name("closed").send().await.unwrap();
    // More than one batch of the trim.
    let numbers: Vec<u32> = (0..1_050).collect();
    for batch in numbers.chunks(25) {
        let write = |n: &u32| {
            let item = Some(key("a", *n));
            WriteRequest::builder().put_request(PutRequest::builder().set_item(item).build().unwrap()).build()
        };
        client.batch_write_item().request_items("control", batch.iter().map(write).collect()).send().await.unwrap();
    }
    assert_eq!(rows(dir.path()), 1_051);
    clock.advance(DAY / 2);
    put(&client, "control", "b", 2_000, "x").await;
    clock.advance(DAY / 2 + MINUTE);
    assert_eq!(trimmed_to(&streams, &arn, Some(2_000)).await.len(), 1);
    assert!(trimmed_to(&streams, &closed, None).await.is_empty());
    let end = iterator(&streams, &closed, ShardIteratorType::Latest, None).await;
    assert!(drain(&streams, end, 10).await.1.is_none(), "a closed stream has an end");
    // What is left: the new record, and the newest of the table that is gone.
    assert_eq!(rows(dir.path()), 2);
}

#[tokio::test]
async fn shards_are_described_page_by_page() {
    let dir = tempfile::tempdir().unwrap();
    let (_cloud, client, streams) = start(dir.path(), &Clock::wall()).await;
    let arn = create_table(&client, "control", StreamViewType::NewImage).await;
    assert!(arn.starts_with("arn:aws:dynamodb:us-east-1:000000000000:table/control/stream/"), "{arn}");
    let describe = || streams.describe_stream().stream_arn(&arn);
    let first = describe().limit(1).send().await.unwrap().stream_description.unwrap();
    assert_eq!(first.shards().len(), 1);
    assert!(first.last_evaluated_shard_id().is_none());
    let id = first.shards()[0].shard_id().unwrap();
    let rest = describe().exclusive_start_shard_id(id).send().await.unwrap().stream_description.unwrap();
    assert!(rest.shards().is_empty());
    let children = ShardFilter::builder().r#type(ShardFilterType::ChildShards).shard_id(id).build();
    let children = describe().shard_filter(children).send().await.unwrap().stream_description.unwrap();
    assert!(children.shards().is_empty());
}

#[tokio::test]
async fn broken_constraints_are_worded_as_aws_words_them() {
    let dir = tempfile::tempdir().unwrap();
    let (_cloud, client, streams) = start(dir.path(), &Clock::wall()).await;
    let arn = create_table(&client, "control", StreamViewType::NewImage).await;
    let told = |error: &dyn ProvideErrorMetadata| {
        assert_eq!(error.code(), Some("ValidationException"));
        error.message().unwrap_or_default().to_owned()
    };
    let described = streams.describe_stream().stream_arn(&arn).limit(0).exclusive_start_shard_id("x").send().await;
    assert_eq!(
        told(&described.unwrap_err().into_service_error()),
        "2 validation errors detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value \
         greater than or equal to 1; Value 'x' at 'exclusiveStartShardId' failed to satisfy constraint: Member must \
         have length greater than or equal to 28"
    );
    let listed = streams.list_streams().limit(101).send().await;
    assert_eq!(
        told(&listed.unwrap_err().into_service_error()),
        "1 validation error detected: Value '101' at 'limit' failed to satisfy constraint: Member must have value \
         less than or equal to 100"
    );
    let typed = refused(&streams, &arn, ShardIteratorType::from("SOMEWHERE"), "199999999999999999999").await;
    let told_type = told(&typed);
    assert!(told_type.contains("Value 'SOMEWHERE' at 'shardIteratorType' failed to satisfy"), "{told_type}");
    assert!(told_type.contains("Member must satisfy enum value set: ["), "{told_type}");
    let timed = refused(&streams, &arn, ShardIteratorType::from("AT_TIMESTAMP"), "199999999999999999999").await;
    assert!(told(&timed).contains("not implemented"));
    let read = streams.get_records().send().await;
    assert_eq!(
        told(&read.unwrap_err().into_service_error()),
        "1 validation error detected: Value null at 'shardIterator' failed to satisfy constraint: Member must not be \
         null"
    );
}

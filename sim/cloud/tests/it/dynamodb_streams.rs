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

use crate::dynamodb::{create_table, drain, iterator, key, n_of, number_of, put, shard_of, shards_of, start};

const START: i64 = 1_700_000_000;
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A round runs beside the requests: how often a test asks whether it is done.
const QUESTIONS_MAX: usize = 20_000;

/// What a shard holds from its horizon on; nothing if something was trimmed meanwhile.
async fn read_shard(streams: &Streams, arn: &str, shard: &str) -> Option<Vec<Record>> {
    let request = streams.get_shard_iterator().stream_arn(arn).shard_id(shard);
    let sent = request.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
    let mut iterator = match sent {
        Ok(answer) => answer.shard_iterator,
        Err(error) => {
            let error = error.into_service_error();
            assert!(error.is_resource_not_found_exception(), "{error:?}");
            return None;
        }
    };
    let mut all = Vec::new();
    while let Some(at) = iterator {
        match streams.get_records().shard_iterator(at).send().await {
            Ok(page) => {
                let records = page.records.unwrap_or_default();
                iterator = page.next_shard_iterator.filter(|_| !records.is_empty());
                all.extend(records);
            }
            // A round may trim between the two calls; then the iterator points before the horizon, and a new one is due.
            Err(error) => {
                let error = error.into_service_error();
                assert!(error.is_trimmed_data_access_exception(), "{error:?}");
                return None;
            }
        }
    }
    Some(all)
}

/// Everything there is to read, from parent to child.
async fn from_horizon(streams: &Streams, arn: &str) -> Vec<Record> {
    'again: for _ in 0..QUESTIONS_MAX {
        let mut all = Vec::new();
        for shard in shards_of(streams, arn).await {
            match read_shard(streams, arn, shard.shard_id().unwrap()).await {
                Some(records) => all.extend(records),
                None => continue 'again,
            }
        }
        return all;
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
    let (rest, end) = drain(&streams, next, 10).await;
    assert!(rest.is_empty() && end.is_none(), "the shard has ended; what follows is in its child");
    assert_eq!(shards_of(&streams, &arn).await.len(), 2);

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
async fn trimming_gives_the_room_back_and_closed_streams_are_gone() {
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
    let gone = streams.describe_stream().stream_arn(&closed).send().await.unwrap_err().into_service_error();
    assert!(gone.is_resource_not_found_exception(), "a closed stream is there for a day: {gone:?}");
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
    assert!(told(&timed).contains("Timestamp cannot be null"));
    let read = streams.get_records().send().await;
    assert_eq!(
        told(&read.unwrap_err().into_service_error()),
        "1 validation error detected: Value null at 'shardIterator' failed to satisfy constraint: Member must not be \
         null"
    );
}

#[tokio::test]
async fn shards_roll_and_who_goes_from_parent_to_child_misses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::virtual_at(Timestamp::from_seconds(START));
    let (cloud, client, streams) = start(dir.path(), &clock).await;
    let arn = create_table(&client, "control", StreamViewType::NewImage).await;
    for n in 0..9 {
        put(&client, "control", &format!("p{}", n % 2), n, "x").await;
        if n % 3 == 2 {
            clock.advance(4 * 60 * MINUTE);
        }
    }
    let shards = shards_of(&streams, &arn).await;
    assert_eq!(shards.len(), 4, "three times four hours");
    assert!(shards[0].parent_shard_id().is_none());
    for pair in shards.windows(2) {
        assert_eq!(pair[1].parent_shard_id(), pair[0].shard_id());
        let range = pair[0].sequence_number_range().unwrap();
        let next = pair[1].sequence_number_range().unwrap();
        assert!(range.ending_sequence_number().unwrap() < next.starting_sequence_number().unwrap());
    }
    assert!(shards[3].sequence_number_range().unwrap().ending_sequence_number().is_none(), "the last is open");

    let children = async |parent: &str| {
        let filter = ShardFilter::builder().r#type(ShardFilterType::ChildShards).shard_id(parent).build();
        let described = streams.describe_stream().stream_arn(&arn).shard_filter(filter).send().await.unwrap();
        described.stream_description.unwrap().shards.unwrap()
    };
    let (mut seen, mut shard) = (Vec::new(), shards[0].clone());
    loop {
        let id = shard.shard_id().unwrap();
        let request = streams.get_shard_iterator().stream_arn(&arn).shard_id(id);
        let first = request.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap();
        let (records, end) = drain(&streams, first.shard_iterator.unwrap(), 2).await;
        seen.extend(records);
        match end {
            Some(_open) => break,
            None => shard = children(id).await.remove(0),
        }
    }
    assert_eq!(seen.iter().map(n_of).collect::<Vec<_>>(), (0..9).collect::<Vec<_>>());
    assert!(seen.windows(2).all(|pair| number_of(&pair[0]) < number_of(&pair[1])));

    let page = streams.describe_stream().stream_arn(&arn).limit(3).send().await.unwrap().stream_description.unwrap();
    assert_eq!(page.last_evaluated_shard_id(), shards[2].shard_id());
    cloud.shutdown().await.unwrap();
    let (_cloud, _client, streams) = start(dir.path(), &clock).await;
    let again = shards_of(&streams, &arn).await;
    assert_eq!(again, shards, "a restart changes no shard");
    clock.advance(16 * 60 * MINUTE);
    let later = shards_of(&streams, &arn).await;
    assert_eq!(later[0].shard_id(), shards[1].shard_id(), "the first was closed a day ago");
    assert_eq!(later[0].parent_shard_id(), shards[0].shard_id());
    let gone = streams.get_shard_iterator().stream_arn(&arn).shard_id(shards[0].shard_id().unwrap());
    let gone = gone.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.unwrap_err().into_service_error();
    assert!(gone.is_resource_not_found_exception(), "{gone:?}");
}

#[tokio::test]
async fn a_reader_may_start_at_a_moment_and_sizes_are_those_of_items() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::virtual_at(Timestamp::from_seconds(START));
    let (_cloud, client, streams) = start(dir.path(), &clock).await;
    let arn = create_table(&client, "control", StreamViewType::NewAndOldImages).await;
    for n in 0..3 {
        put(&client, "control", "a", n, "four").await;
        clock.advance(MINUTE);
    }
    let shard = shard_of(&streams, &arn).await;
    let request = streams.get_shard_iterator().stream_arn(&arn).shard_id(shard.shard_id().unwrap());
    let moment = aws_sdk_dynamodbstreams::primitives::DateTime::from_secs(START + 60);
    let request = request.shard_iterator_type(ShardIteratorType::from("AT_TIMESTAMP")).timestamp(moment);
    let from_moment = request.send().await.unwrap().shard_iterator.unwrap();
    let (records, _) = drain(&streams, from_moment, 10).await;
    assert_eq!(records.iter().map(n_of).collect::<Vec<_>>(), [1, 2]);
    // Keys: `pk` 2 + 1, `n` 1 + 2; the image has `status` 6 + 4 besides.
    assert_eq!(records[0].dynamodb().unwrap().size_bytes(), Some(6 + 16));
}

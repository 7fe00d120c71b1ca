//! Registered consumers and SubscribeToShard through the real SDK.
//!
//! A subscription tells nothing while the clock stands still and nobody writes, so what a test waits for is what it caused.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardOutput;
use aws_sdk_kinesis::operation::subscribe_to_shard::builders::SubscribeToShardFluentBuilder;
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{
    ConsumerStatus, ShardIteratorType, StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream,
};
use lakebed_cloud::kinesis::{CONSUMERS_MAX, RECORD_BYTES_MAX, SUBSCRIPTION_LIFETIME};

use crate::{Running, code};

const STREAM: &str = "fanned-out";
const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/fanned-out";
const SHARD: &str = "shardId-000000000000";
/// A subscription this old is taken over.
const PROTECTED: Duration = Duration::from_secs(5);

async fn create(kinesis: &Client) {
    kinesis.create_stream().stream_name(STREAM).shard_count(1).send().await.expect("created");
}

async fn register(kinesis: &Client, name: &str) -> String {
    let registered = kinesis.register_stream_consumer().stream_arn(ARN).consumer_name(name).send().await;
    registered.expect("registered").consumer.expect("a consumer").consumer_arn
}

async fn put(kinesis: &Client, data: &str) -> String {
    let put = kinesis.put_record().stream_name(STREAM).partition_key("k").data(Blob::new(data)).send().await;
    put.expect("put").sequence_number().to_owned()
}

fn position(kind: ShardIteratorType) -> StartingPosition {
    StartingPosition::builder().r#type(kind).build().expect("complete")
}

fn numbered(kind: ShardIteratorType, sequence_number: &str) -> StartingPosition {
    StartingPosition::builder().r#type(kind).sequence_number(sequence_number).build().expect("complete")
}

fn asked(kinesis: &Client, consumer: &str, from: StartingPosition) -> SubscribeToShardFluentBuilder {
    kinesis.subscribe_to_shard().consumer_arn(consumer).shard_id(SHARD).starting_position(from)
}

async fn subscribe(kinesis: &Client, consumer: &str, from: StartingPosition) -> SubscribeToShardOutput {
    asked(kinesis, consumer, from).send().await.expect("subscribed")
}

/// The next event; `None` at the end.
async fn next(subscription: &mut SubscribeToShardOutput) -> Option<SubscribeToShardEvent> {
    match subscription.event_stream.recv().await.expect("an event or the end")? {
        SubscribeToShardEventStream::SubscribeToShardEvent(event) => Some(event),
        other => panic!("an unknown event: {other:?}"),
    }
}

/// Events until as many records have come; their data, and the last continuation.
async fn told(subscription: &mut SubscribeToShardOutput, records: usize) -> (Vec<String>, String) {
    let (mut data, mut continuation) = (Vec::new(), String::new());
    while data.len() < records {
        let event = next(subscription).await.expect("more records");
        data.extend(event.records().iter().map(|record| String::from_utf8_lossy(record.data().as_ref()).into_owned()));
        continuation = event.continuation_sequence_number;
    }
    (data, continuation)
}

#[tokio::test]
async fn consumers_are_registered_described_listed_and_deregistered() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis).await;
    let arn = register(kinesis, "reader-0").await;
    assert_eq!(arn, format!("{ARN}/consumer/reader-0:1700000000"));
    let again = kinesis.register_stream_consumer().stream_arn(ARN).consumer_name("reader-0").send().await;
    assert_eq!(code(again), "ResourceInUseException");
    for n in 1..CONSUMERS_MAX {
        register(kinesis, &format!("reader-{n}")).await;
    }
    let many = kinesis.register_stream_consumer().stream_arn(ARN).consumer_name("one-more").send().await;
    assert_eq!(code(many), "LimitExceededException");
    let summary = kinesis.describe_stream_summary().stream_name(STREAM).send().await.expect("described");
    let count = summary.stream_description_summary().and_then(|summary| summary.consumer_count());
    assert_eq!(count, i32::try_from(CONSUMERS_MAX).ok());
    running.stop().await;

    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    let described = kinesis.describe_stream_consumer().consumer_arn(&arn).send().await.expect("survived");
    let described = described.consumer_description().expect("described").clone();
    assert_eq!((described.consumer_status(), described.stream_arn()), (&ConsumerStatus::Active, ARN));
    let named = kinesis.describe_stream_consumer().stream_arn(ARN).consumer_name("reader-0").send().await;
    assert_eq!(named.expect("described").consumer_description(), Some(&described));
    let unnamed = kinesis.describe_stream_consumer().stream_arn(ARN).send().await;
    assert_eq!(code(unnamed), "InvalidArgumentException");
    let stranger = kinesis.describe_stream_consumer().consumer_arn(arn.replace(":1700", ":1600")).send().await;
    assert_eq!(code(stranger), "ResourceNotFoundException");

    let (mut listed, mut token) = (Vec::new(), None);
    loop {
        let page = kinesis.list_stream_consumers().stream_arn(ARN).max_results(7).set_next_token(token).send().await;
        let page = page.expect("listed");
        listed.extend(page.consumers().iter().map(|consumer| consumer.consumer_name().to_owned()));
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!((listed.len(), listed.is_sorted()), (CONSUMERS_MAX, true));
    kinesis.deregister_stream_consumer().consumer_arn(&arn).send().await.expect("deregistered");
    assert_eq!(code(kinesis.describe_stream_consumer().consumer_arn(&arn).send().await), "ResourceNotFoundException");
    register(kinesis, "one-more").await;
    running.stop().await;
}

#[tokio::test]
async fn a_page_of_consumers_expires_with_its_token() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis).await;
    register(kinesis, "one").await;
    register(kinesis, "two").await;
    let page = kinesis.list_stream_consumers().stream_arn(ARN).max_results(1).send().await.expect("listed");
    running.clock.advance(Duration::from_secs(301));
    let late = kinesis.list_stream_consumers().stream_arn(ARN).set_next_token(page.next_token).send().await;
    assert_eq!(code(late), "ExpiredNextTokenException");
    running.stop().await;
}

#[tokio::test]
async fn consumers_carry_tags_and_keep_their_stream() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis).await;
    let arn = register(kinesis, "reader").await;
    kinesis.tag_resource().resource_arn(&arn).tags("team", "lake").send().await.expect("tagged");
    let tags = async |arn: &str| {
        let listed = kinesis.list_tags_for_resource().resource_arn(arn).send().await.expect("listed");
        listed.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().map(str::to_owned))).collect::<Vec<_>>()
    };
    assert_eq!(tags(&arn).await, [("team".to_owned(), Some("lake".to_owned()))]);
    assert!(tags(ARN).await.is_empty(), "the stream's own tags are others");
    kinesis.untag_resource().resource_arn(&arn).tag_keys("team").send().await.expect("untagged");
    assert!(tags(&arn).await.is_empty());

    assert_eq!(code(kinesis.delete_stream().stream_name(STREAM).send().await), "ResourceInUseException");
    kinesis.delete_stream().stream_name(STREAM).enforce_consumer_deletion(true).send().await.expect("deleted");
    create(kinesis).await;
    assert_eq!(code(kinesis.describe_stream_consumer().consumer_arn(&arn).send().await), "ResourceNotFoundException");
    running.stop().await;
}

#[tokio::test]
async fn with_the_limits_of_aws_a_consumer_is_created_for_a_while() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start_limited(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis).await;
    let arn = register(kinesis, "reader").await;
    let status = async || {
        let described = kinesis.describe_stream_consumer().consumer_arn(&arn).send().await.expect("described");
        described.consumer_description().expect("described").consumer_status().clone()
    };
    assert_eq!(status().await, ConsumerStatus::Creating);
    let early = asked(kinesis, &arn, position(ShardIteratorType::Latest)).send().await;
    assert_eq!(code(early), "ResourceInUseException");
    running.clock.advance(Duration::from_secs(60));
    assert_eq!(status().await, ConsumerStatus::Active);
    running.stop().await;
}

#[tokio::test]
async fn records_put_before_and_while_subscribed_arrive_in_order() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis).await;
    let arn = register(kinesis, "reader").await;
    put(kinesis, "00").await;
    put(kinesis, "01").await;
    let mut subscription = subscribe(kinesis, &arn, position(ShardIteratorType::TrimHorizon)).await;
    assert_eq!(told(&mut subscription, 2).await.0, ["00", "01"]);
    let writing = async {
        for n in 2..40 {
            put(kinesis, &format!("{n:02}")).await;
        }
    };
    let ((), (data, continuation)) = tokio::join!(writing, told(&mut subscription, 38));
    assert_eq!(data, (2..40).map(|n| format!("{n:02}")).collect::<Vec<_>>());

    drop(subscription);
    put(kinesis, "40").await;
    running.clock.advance(PROTECTED);
    let mut resumed = subscribe(kinesis, &arn, numbered(ShardIteratorType::AfterSequenceNumber, &continuation)).await;
    assert_eq!(told(&mut resumed, 1).await.0, ["40"], "it goes on where the first ended");
    running.stop().await;
}

#[tokio::test]
async fn every_position_begins_where_it_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis).await;
    put(kinesis, "one").await;
    running.clock.advance(Duration::from_secs(60));
    let two = put(kinesis, "two").await;
    let at = StartingPosition::builder()
        .r#type(ShardIteratorType::AtTimestamp)
        .timestamp(DateTime::from_secs(1_700_000_030));
    let cases = [
        (position(ShardIteratorType::TrimHorizon), vec!["one", "two", "three"]),
        (position(ShardIteratorType::Latest), vec!["three"]),
        (numbered(ShardIteratorType::AtSequenceNumber, &two), vec!["two", "three"]),
        (numbered(ShardIteratorType::AfterSequenceNumber, &two), vec!["three"]),
        (at.build().expect("complete"), vec!["two", "three"]),
    ];
    let mut subscriptions = Vec::new();
    for (n, (from, expected)) in cases.into_iter().enumerate() {
        let arn = register(kinesis, &format!("reader-{n}")).await;
        subscriptions.push((subscribe(kinesis, &arn, from).await, expected));
    }
    put(kinesis, "three").await;
    for (mut subscription, expected) in subscriptions {
        assert_eq!(told(&mut subscription, expected.len()).await.0, expected);
    }

    let arn = register(kinesis, "wrong").await;
    let wrong = asked(kinesis, &arn, numbered(ShardIteratorType::Latest, &two));
    assert_eq!(code(wrong.send().await), "InvalidArgumentException");
    let nowhere = asked(kinesis, &arn, position(ShardIteratorType::Latest)).shard_id("shardId-000000000009");
    assert_eq!(code(nowhere.send().await), "ResourceNotFoundException");
    let nobody = asked(kinesis, &arn.replace("wrong", "nobody"), position(ShardIteratorType::Latest)).send().await;
    assert_eq!(code(nobody), "ResourceNotFoundException");
    running.stop().await;
}

#[tokio::test]
async fn a_second_subscription_takes_over_but_not_within_five_seconds() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis).await;
    let arn = register(kinesis, "reader").await;
    let mut first = subscribe(kinesis, &arn, position(ShardIteratorType::TrimHorizon)).await;
    let early = asked(kinesis, &arn, position(ShardIteratorType::TrimHorizon)).send().await;
    assert_eq!(code(early), "ResourceInUseException");
    put(kinesis, "to the first").await;
    assert_eq!(told(&mut first, 1).await.0, ["to the first"]);

    running.clock.advance(PROTECTED);
    let mut second = subscribe(kinesis, &arn, position(ShardIteratorType::Latest)).await;
    let ended = loop {
        match first.event_stream.recv().await {
            Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event))) => assert!(event.records().is_empty()),
            other => break other,
        }
    };
    assert_eq!(code(ended), "ResourceInUseException", "the first is told that it lost its place");
    put(kinesis, "to the second").await;
    assert_eq!(told(&mut second, 1).await.0, ["to the second"]);
    running.stop().await;
}

#[tokio::test]
async fn a_closed_shard_ends_with_its_children() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis).await;
    let arn = register(kinesis, "reader").await;
    put(kinesis, "last").await;
    let mut subscription = subscribe(kinesis, &arn, position(ShardIteratorType::TrimHorizon)).await;
    assert_eq!(told(&mut subscription, 1).await.0, ["last"]);
    let middle = (u128::MAX / 2).to_string();
    let split = kinesis.split_shard().stream_name(STREAM).shard_to_split(SHARD).new_starting_hash_key(middle);
    split.send().await.expect("split");
    let end = next(&mut subscription).await.expect("the end of the shard");
    let children: Vec<_> = end.child_shards().iter().map(|child| child.shard_id()).collect();
    assert_eq!(children, ["shardId-000000000001", "shardId-000000000002"]);
    assert_eq!((end.records().len(), end.continuation_sequence_number()), (0, ""), "nothing continues there");
    assert_eq!(next(&mut subscription).await, None);
    running.stop().await;
}

#[tokio::test]
async fn an_idle_subscription_says_how_far_it_is_and_ends_after_five_minutes() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis).await;
    let arn = register(kinesis, "reader").await;
    let number = put(kinesis, "old").await;
    let mut subscription = subscribe(kinesis, &arn, position(ShardIteratorType::Latest)).await;
    let (event, ()) = tokio::join!(next(&mut subscription), async {
        running.clock.advance(Duration::from_secs(1));
    });
    let event = event.expect("an empty event");
    let shown = (event.records().len(), event.millis_behind_latest(), event.continuation_sequence_number());
    assert_eq!(shown, (0, 0, number.as_str()));
    running.clock.advance(SUBSCRIPTION_LIFETIME);
    while let Some(event) = next(&mut subscription).await {
        assert!(event.records().is_empty());
    }
    running.stop().await;
}

#[tokio::test]
async fn a_subscription_ends_with_its_consumer_its_stream_and_the_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis).await;
    let (one, two, three) = (register(kinesis, "1").await, register(kinesis, "2").await, register(kinesis, "3").await);
    let latest = || position(ShardIteratorType::Latest);
    let mut of_consumer = subscribe(kinesis, &one, latest()).await;
    let mut of_stream = subscribe(kinesis, &two, latest()).await;
    kinesis.deregister_stream_consumer().consumer_arn(&one).send().await.expect("deregistered");
    assert_eq!(code(of_consumer.event_stream.recv().await), "ResourceNotFoundException");
    kinesis.delete_stream().stream_name(STREAM).enforce_consumer_deletion(true).send().await.expect("deleted");
    assert_eq!(code(of_stream.event_stream.recv().await), "ResourceNotFoundException");

    create(kinesis).await;
    assert_eq!(code(asked(kinesis, &three, latest()).send().await), "ResourceNotFoundException");
    let arn = register(kinesis, "last").await;
    let mut of_server = subscribe(kinesis, &arn, latest()).await;
    running.stop().await;
    assert_eq!(next(&mut of_server).await, None, "an orderly end, and the stop did not wait for it");
}

#[tokio::test]
async fn a_subscription_brings_more_than_fits_one_event() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis).await;
    let arn = register(kinesis, "reader").await;
    let large = "x".repeat(RECORD_BYTES_MAX);
    for _ in 0..3 {
        put(kinesis, &large).await;
    }
    let mut subscription = subscribe(kinesis, &arn, position(ShardIteratorType::TrimHorizon)).await;
    for left in [2, 1, 0] {
        let event = next(&mut subscription).await.expect("a record");
        assert_eq!((event.records().len(), event.records()[0].data().as_ref().len()), (1, RECORD_BYTES_MAX));
        assert_eq!(event.millis_behind_latest() > 0, left > 0, "behind while something is left");
    }
    running.stop().await;
}

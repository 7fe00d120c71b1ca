//! Planned faults through the real SDK, with its retries off: what was done, what was told, and that a seed repeats it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ReturnValue, ScalarAttributeType,
    StreamSpecification, StreamViewType,
};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::ShardIteratorType;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::primitives::ByteStream;
use lakebed_cloud::{Cloud, CloudError};
use lakebed_contract::fault::{Delay, Fault, When};
use lakebed_contract::{Clock, Endpoints, EventSink, FaultKind, FaultPlan, RunEvent, Seed, Timestamp};

use crate::{Running, code, config};

const STREAM: &str = "s";
const TABLE: &str = "table";

impl Running {
    /// With clients that ask once.
    pub(crate) fn without_retries(self) -> Self {
        let retry = RetryConfig::disabled();
        let s3 = self.s3.config().to_builder().retry_config(retry.clone()).build();
        let kinesis = self.kinesis.config().to_builder().retry_config(retry.clone()).build();
        let dynamodb = self.dynamodb.config().to_builder().retry_config(retry).build();
        Self {
            s3: aws_sdk_s3::Client::from_conf(s3),
            kinesis: aws_sdk_kinesis::Client::from_conf(kinesis),
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb),
            ..self
        }
    }
}

fn fault(stage: &str, operation: &str, kind: FaultKind, when: When) -> Fault {
    let (stage, operation) = (stage.to_owned(), operation.to_owned());
    Fault { stage, operation, kind, when, delay: Delay::default() }
}

fn always() -> When {
    When::Probability(1.0)
}

fn first() -> When {
    When::Occurrences(vec![1])
}

/// The stores under faults, the plan, and what was told of them.
async fn start(dir: &Path, seed: u64, faults: Vec<Fault>) -> (Running, FaultPlan, Arc<Mutex<Vec<String>>>) {
    let plan = FaultPlan::new(Seed(seed), faults);
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut config = config(dir, 0, Clock::virtual_at(Timestamp::from_seconds(1_700_000_000)), None);
    config.faults = plan.clone();
    config.events = EventSink::new({
        let told = Arc::clone(&told);
        move |event| {
            if let RunEvent::Log { message } = event {
                told.lock().expect("not poisoned").push(message);
            }
        }
    });
    (Running::start_as(config).await.without_retries(), plan, told)
}

async fn create_table(running: &Running) {
    let key = KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash).build().expect("complete");
    let attribute = AttributeDefinition::builder().attribute_name("pk").attribute_type(ScalarAttributeType::S);
    let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::KeysOnly);
    let create = running.dynamodb.create_table().table_name(TABLE).key_schema(key);
    let create = create.attribute_definitions(attribute.build().expect("complete"));
    let create = create.stream_specification(stream.build().expect("complete"));
    create.billing_mode(BillingMode::PayPerRequest).send().await.expect("created");
}

/// Counts up an item; gives what the answer says it is now, or the error code.
async fn count_up(running: &Running) -> Result<String, String> {
    let one = AttributeValue::N("1".to_owned());
    let update = running.dynamodb.update_item().table_name(TABLE).key("pk", AttributeValue::S("k".to_owned()));
    let update = update.update_expression("ADD n :one").expression_attribute_values(":one", one);
    let answered = update.return_values(ReturnValue::UpdatedNew).send().await;
    match &answered {
        Ok(output) => Ok(output.attributes().and_then(|item| item["n"].as_n().ok().cloned()).expect("a number")),
        Err(_) => Err(code(answered)),
    }
}

async fn counted(running: &Running) -> Option<String> {
    let key = AttributeValue::S("k".to_owned());
    let found = running.dynamodb.get_item().table_name(TABLE).key("pk", key).send().await.expect("read");
    found.item().and_then(|item| item["n"].as_n().ok().cloned())
}

async fn create_stream(running: &Running) {
    running.kinesis.create_stream().stream_name(STREAM).shard_count(1).send().await.expect("created");
}

async fn records(running: &Running) -> Vec<String> {
    let iterator = running.kinesis.get_shard_iterator().stream_name(STREAM).shard_id("shardId-000000000000");
    let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
    let read = running.kinesis.get_records().set_shard_iterator(iterator.shard_iterator).send().await.expect("read");
    read.records().iter().map(|record| record.sequence_number().to_owned()).collect()
}

#[tokio::test]
async fn an_error_is_answered_and_nothing_is_done() {
    let dir = tempfile::tempdir().expect("a directory");
    let faults = vec![
        fault("s3", "PutObject", FaultKind::Error, always()),
        fault("dynamodb", "UpdateItem", FaultKind::Error, first()),
        fault("dynamodbstreams", "ListStreams", FaultKind::Error, first()),
        fault("kinesis", "*", FaultKind::Error, When::Occurrences(vec![2])),
    ];
    let (running, plan, told) = start(dir.path(), 7, faults).await;
    running.s3.create_bucket().bucket("plain").send().await.expect("created");
    let mut codes = BTreeSet::new();
    for _ in 0..20 {
        let put = running.s3.put_object().bucket("plain").key("k").body(ByteStream::from_static(b"hello"));
        codes.insert(code(put.send().await));
    }
    assert_eq!(codes.into_iter().collect::<Vec<_>>(), ["InternalError", "SlowDown"]);
    let listed = running.s3.list_objects_v2().bucket("plain").send().await.expect("listed");
    assert_eq!(listed.key_count(), Some(0));

    create_table(&running).await;
    assert_eq!(count_up(&running).await, Err("InternalServerError".to_owned()));
    assert_eq!(counted(&running).await, None);
    assert_eq!(count_up(&running).await, Ok("1".to_owned()));
    let endpoints = Endpoints::embedded(running.cloud.port());
    let streams =
        aws_sdk_dynamodbstreams::config::Builder::from(&endpoints.sdk_config(&endpoints.dynamodb_streams_url));
    let streams = aws_sdk_dynamodbstreams::Client::from_conf(streams.retry_config(RetryConfig::disabled()).build());
    assert_eq!(code(streams.list_streams().send().await), "InternalServerError");
    assert_eq!(streams.list_streams().send().await.expect("listed").streams().len(), 1);

    create_stream(&running).await;
    let put = || running.kinesis.put_record().stream_name(STREAM).partition_key("k").data(Blob::new("one"));
    assert_eq!(code(put().send().await), "InternalFailure");
    assert!(records(&running).await.is_empty());
    put().send().await.expect("put");
    assert_eq!(records(&running).await.len(), 1);

    let struck: Vec<u64> = plan.strikes().iter().map(|strikes| strikes.struck).collect();
    assert_eq!(struck, [20, 1, 1, 1]);
    let told = told.lock().expect("not poisoned");
    assert_eq!(told.iter().filter(|line| line.contains("fault error strikes s3/PutObject")).count(), 20);
    assert!(told.iter().any(|line| line.contains("fault error strikes kinesis/PutRecord")), "{told:?}");
}

#[tokio::test]
async fn a_dropped_answer_is_of_something_done() {
    let dir = tempfile::tempdir().expect("a directory");
    let faults = vec![
        fault("s3", "PutObject", FaultKind::DropAnswer, first()),
        fault("dynamodb", "UpdateItem", FaultKind::DropAnswer, first()),
        fault("kinesis", "PutRecord", FaultKind::DropAnswer, first()),
    ];
    let (running, _, _) = start(dir.path(), 7, faults).await;
    running.s3.create_bucket().bucket("plain").send().await.expect("created");
    let put = running.s3.put_object().bucket("plain").key("k").body(ByteStream::from_static(b"hello")).send().await;
    assert!(put.expect_err("no answer").as_service_error().is_none());
    let got = running.s3.get_object().bucket("plain").key("k").send().await.expect("there");
    assert_eq!(got.body.collect().await.expect("read").to_vec(), b"hello");

    create_table(&running).await;
    assert_eq!(count_up(&running).await, Err("no code".to_owned()));
    assert_eq!(counted(&running).await.as_deref(), Some("1"));

    create_stream(&running).await;
    let put = running.kinesis.put_record().stream_name(STREAM).partition_key("k").data(Blob::new("one")).send().await;
    assert!(put.expect_err("no answer").as_service_error().is_none());
    assert_eq!(records(&running).await.len(), 1);
    running.stop().await;
}

#[tokio::test]
async fn a_duplicate_is_done_twice_and_answered_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let faults = vec![
        fault("dynamodb", "*", FaultKind::Duplicate, When::Occurrences(vec![2])),
        fault("kinesis", "PutRecord", FaultKind::Duplicate, first()),
    ];
    let (running, _, _) = start(dir.path(), 7, faults).await;
    create_table(&running).await;
    assert_eq!(count_up(&running).await, Ok("1".to_owned()), "the first answer");
    assert_eq!(counted(&running).await.as_deref(), Some("2"));
    create_stream(&running).await;
    let put = running.kinesis.put_record().stream_name(STREAM).partition_key("k").data(Blob::new("one")).send().await;
    let records = records(&running).await;
    assert_eq!(records.len(), 2);
    assert_eq!(put.expect("put").sequence_number(), records[0]);
    running.stop().await;
}

#[tokio::test]
async fn a_delay_lasts_on_the_clock() {
    let dir = tempfile::tempdir().expect("a directory");
    let delay = Delay { ms_min: 1_000, ms_max: 1_000 };
    let faults = vec![
        Fault { delay, ..fault("s3", "ListBuckets", FaultKind::Delay, first()) },
        Fault { delay, ..fault("kinesis", "ListStreams", FaultKind::Delay, first()) },
    ];
    let (running, plan, _) = start(dir.path(), 7, faults).await;
    let (s3, kinesis) = (running.s3.clone(), running.kinesis.clone());
    let listing = [
        tokio::spawn(async move { s3.list_buckets().send().await.is_ok() }),
        tokio::spawn(async move { kinesis.list_streams().send().await.is_ok() }),
    ];
    while plan.strikes().iter().any(|strikes| strikes.struck == 0) {
        tokio::task::yield_now().await;
    }
    running.clock.advance(Duration::from_millis(999));
    // Whoever comes later and is not delayed is answered meanwhile.
    for _ in 0..5 {
        running.s3.list_buckets().send().await.expect("listed");
        running.kinesis.list_streams().send().await.expect("listed");
    }
    assert!(listing.iter().all(|listing| !listing.is_finished()));
    running.clock.advance(Duration::from_millis(1));
    for listing in listing {
        assert!(listing.await.expect("ends"), "it is answered after all");
    }
    running.stop().await;
}

#[tokio::test]
async fn the_same_seed_strikes_the_same_requests() {
    let struck = async |seed: u64| {
        let dir = tempfile::tempdir().expect("a directory");
        let faults = vec![fault("s3", "*", FaultKind::Error, When::Probability(0.3))];
        let (running, _, _) = start(dir.path(), seed, faults).await;
        let mut codes = Vec::new();
        for _ in 0..40 {
            codes.push(code(running.s3.list_buckets().send().await));
        }
        running.stop().await;
        codes
    };
    let once = struck(7).await;
    assert!(once.iter().any(|code| code == "accepted") && once.iter().any(|code| code != "accepted"), "{once:?}");
    assert_eq!(once, struck(7).await);
    assert_ne!(once, struck(8).await);
}

#[tokio::test]
async fn a_plan_that_cannot_be_carried_out_is_refused_at_the_start() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = config(dir.path(), 0, Clock::wall(), None);
    config.faults = FaultPlan::new(Seed(7), vec![fault("s3", "PutObject", FaultKind::Duplicate, first())]);
    let refused = Cloud::start(config).await.expect_err("refused");
    assert!(matches!(refused, CloudError::Fault { .. }), "{refused:?}");
}

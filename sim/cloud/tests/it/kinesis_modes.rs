//! Sizes and capacity modes of Kinesis streams, and what the store does without being asked.

use std::fs;
use std::path::Path;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{
    MinimumThroughputBillingCommitmentOutputStatus, PutRecordsRequestEntry, ScalingType, ShardIteratorType,
    StreamDescriptionSummary, StreamMode, StreamModeDetails,
};
use lakebed_cloud::kinesis::{LARGE_RECORD_BYTES_MAX, RECORD_BYTES_MAX, RETENTION};
use lakebed_contract::Clock;

use crate::{Running, code};

const STREAM: &str = "sized";
const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/sized";
const SHARD: &str = "shardId-000000000000";

fn mode(mode: StreamMode) -> StreamModeDetails {
    StreamModeDetails::builder().stream_mode(mode).build().expect("complete")
}

async fn summary(kinesis: &Client) -> StreamDescriptionSummary {
    let summary = kinesis.describe_stream_summary().stream_name(STREAM).send().await.expect("described");
    summary.stream_description_summary().expect("described").clone()
}

async fn put(kinesis: &Client, bytes: usize) -> String {
    let put = kinesis.put_record().stream_name(STREAM).partition_key("k").data(Blob::new(vec![b'x'; bytes]));
    code(put.send().await)
}

#[tokio::test]
async fn a_stream_takes_records_as_large_as_it_says() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    kinesis.create_stream().stream_name(STREAM).shard_count(1).send().await.expect("created");
    assert_eq!(summary(kinesis).await.max_record_size_in_kib(), Some(1024));
    assert_eq!(put(kinesis, RECORD_BYTES_MAX).await, "accepted");
    assert_eq!(put(kinesis, RECORD_BYTES_MAX + 1).await, "ValidationException");
    let update =
        async |kib| code(kinesis.update_max_record_size().stream_arn(ARN).max_record_size_in_kib(kib).send().await);
    assert_eq!(
        (update(1023).await, update(10_241).await),
        ("ValidationException".to_owned(), "ValidationException".to_owned())
    );
    assert_eq!(update(10_240).await, "accepted");
    assert_eq!(put(kinesis, LARGE_RECORD_BYTES_MAX).await, "accepted");
    assert_eq!(put(kinesis, LARGE_RECORD_BYTES_MAX + 1).await, "ValidationException");

    let iterator = kinesis.get_shard_iterator().stream_name(STREAM).shard_id(SHARD);
    let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
    let (mut next, mut sizes) = (iterator.shard_iterator, Vec::new());
    while sizes.len() < 2 {
        let read = kinesis.get_records().set_shard_iterator(next).send().await.expect("records");
        sizes.extend(read.records().iter().map(|record| record.data().as_ref().len()));
        next = read.next_shard_iterator;
    }
    assert_eq!(sizes, [RECORD_BYTES_MAX, LARGE_RECORD_BYTES_MAX]);
    running.stop().await;

    let running = Running::start(dir.path()).await;
    assert_eq!(summary(&running.kinesis).await.max_record_size_in_kib(), Some(10_240), "kept");
    running.stop().await;
}

#[tokio::test]
async fn a_record_size_can_be_given_at_creation_and_holds_for_many_records_too() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    let create = kinesis.create_stream().stream_name(STREAM).shard_count(1).max_record_size_in_kib(2048);
    create.send().await.expect("created");
    let entry = |bytes: usize| {
        PutRecordsRequestEntry::builder()
            .partition_key("k")
            .data(Blob::new(vec![b'x'; bytes]))
            .build()
            .expect("complete")
    };
    let put = async |bytes| {
        let entries = vec![entry(1), entry(bytes)];
        code(kinesis.put_records().stream_name(STREAM).set_records(Some(entries)).send().await)
    };
    assert_eq!(put(2 * RECORD_BYTES_MAX).await, "accepted");
    assert_eq!(put(2 * RECORD_BYTES_MAX + 1).await, "ValidationException");
    running.stop().await;
}

#[tokio::test]
async fn only_an_on_demand_stream_has_four_shards_and_a_warm_throughput() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    let create = kinesis.create_stream().stream_name(STREAM).stream_mode_details(mode(StreamMode::OnDemand));
    create.warm_throughput_mibps(5).send().await.expect("created");
    let warm = async || summary(kinesis).await.warm_throughput().and_then(|warm| warm.current_mibps());
    assert_eq!((summary(kinesis).await.open_shard_count(), warm().await), (4, Some(5)));
    let update = async |mibps| {
        kinesis.update_stream_warm_throughput().stream_name(STREAM).warm_throughput_mibps(mibps).send().await
    };
    let updated = update(9).await.expect("updated").warm_throughput.expect("shown");
    assert_eq!((updated.target_mibps(), warm().await), (Some(9), Some(9)));
    assert_eq!(code(update(10_241).await), "LimitExceededException");

    let to_provisioned =
        kinesis.update_stream_mode().stream_arn(ARN).stream_mode_details(mode(StreamMode::Provisioned));
    to_provisioned.send().await.expect("changed");
    assert_eq!((summary(kinesis).await.open_shard_count(), warm().await), (4, None), "the shards stay");
    assert_eq!(code(update(9).await), "ValidationException");
    let back = kinesis.update_stream_mode().stream_arn(ARN).stream_mode_details(mode(StreamMode::OnDemand));
    back.warm_throughput_mibps(7).send().await.expect("changed");
    assert_eq!(warm().await, Some(7));
    let wrong = kinesis.create_stream().stream_name("other").shard_count(1).warm_throughput_mibps(1).send().await;
    assert_eq!(code(wrong), "ValidationException");
    running.stop().await;
}

#[tokio::test]
async fn with_the_limits_of_aws_a_busy_shard_of_an_on_demand_stream_is_split() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start_limited(dir.path()).await;
    let kinesis = &running.kinesis;
    let create = kinesis.create_stream().stream_name(STREAM).stream_mode_details(mode(StreamMode::OnDemand));
    create.send().await.expect("created");
    // One key, and so one shard: nearly all that it may take in a second, for a little more than half a minute.
    for second in 0..32 {
        assert_eq!(put(kinesis, RECORD_BYTES_MAX - 1).await, "accepted", "second {second}");
        running.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(summary(kinesis).await.open_shard_count(), 5, "one shard became two");
    let by_hand = kinesis.update_shard_count().stream_name(STREAM).target_shard_count(6);
    let by_hand = by_hand.scaling_type(ScalingType::UniformScaling).send().await;
    assert_eq!(code(by_hand), "ValidationException", "nobody else may scale it");
    running.stop().await;
}

#[tokio::test]
async fn the_account_has_no_billing_commitment() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let settings = running.kinesis.describe_account_settings().send().await.expect("described");
    let commitment = settings.minimum_throughput_billing_commitment().expect("told");
    assert_eq!(commitment.status(), &MinimumThroughputBillingCommitmentOutputStatus::Disabled);
    running.stop().await;
}

/// Bytes of the shard's segments.
fn segment_bytes(state_dir: &Path) -> u64 {
    let shard = state_dir.join(format!("kinesis/stream-{STREAM}/shard-000000000000"));
    let files = fs::read_dir(shard).expect("listed").map(|entry| entry.expect("an entry"));
    let segments = files.filter(|file| file.path().extension().is_some_and(|suffix| suffix == "log"));
    // One that was just removed has none.
    segments.filter_map(|segment| segment.metadata().ok()).map(|metadata| metadata.len()).sum()
}

#[tokio::test]
async fn an_idle_stream_is_trimmed_without_a_request() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    kinesis.create_stream().stream_name(STREAM).shard_count(1).send().await.expect("created");
    for _ in 0..3 {
        assert_eq!(put(kinesis, RECORD_BYTES_MAX).await, "accepted");
    }
    assert!(segment_bytes(dir.path()) > 3 * RECORD_BYTES_MAX as u64);
    running.clock.advance(RETENTION + Duration::from_secs(1));
    // The round is a task of the store, so it is let go on until it is done.
    let trimmed = async {
        while segment_bytes(dir.path()) > 0 {
            tokio::task::yield_now().await;
        }
    };
    let wall = Clock::wall();
    tokio::select! {
        () = trimmed => {}
        () = wall.sleep(Duration::from_secs(30)) => panic!("the old records are still there"),
    }
    running.stop().await;
}

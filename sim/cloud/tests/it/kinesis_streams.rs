//! What Kinesis streams can be told to be, and how wrong requests are worded, through the real SDK and by hand.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{
    EncryptionType, MetricsName, ShardIteratorType, StreamDescriptionSummary, StreamMode, StreamModeDetails,
};

use crate::kinesis_reshard::refusal;
use crate::wire::{self, send_json};
use crate::{Running, code};

const STREAM: &str = "settings";
const ARN: &str = "arn:aws:kinesis:us-east-1:000000000000:stream/settings";
const SHARD: &str = "shardId-000000000000";
const HOUR: Duration = Duration::from_secs(60 * 60);

async fn create(kinesis: &Client) {
    kinesis.create_stream().stream_name(STREAM).shard_count(1).send().await.expect("created");
}

async fn summary(kinesis: &Client) -> StreamDescriptionSummary {
    let summary = kinesis.describe_stream_summary().stream_name(STREAM).send().await.expect("described");
    summary.stream_description_summary().expect("described").clone()
}

async fn put(kinesis: &Client, data: &str) -> String {
    let put = kinesis.put_record().stream_name(STREAM).partition_key("k").data(Blob::new(data)).send().await;
    put.expect("put").sequence_number().to_owned()
}

async fn read_all(kinesis: &Client) -> Vec<String> {
    let iterator = kinesis.get_shard_iterator().stream_name(STREAM).shard_id(SHARD);
    let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
    let read = kinesis.get_records().set_shard_iterator(iterator.shard_iterator).send().await.expect("records");
    read.records().iter().map(|r| String::from_utf8_lossy(r.data().as_ref()).into_owned()).collect()
}

/// One request as bytes, for what the SDK cannot say; the answer's status line and body.
async fn by_hand(running: &Running, operation: &str, body: &str) -> String {
    let answer = send_json(running.cloud.port(), &format!("Kinesis_20131202.{operation}"), body).await;
    let status = answer.lines().next().unwrap_or_default();
    format!("{status} {}", wire::body(&answer))
}

#[tokio::test]
async fn retention_decides_what_can_be_read_and_survives_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis).await;
    put(kinesis, "gone").await;
    running.clock.advance(25 * HOUR);
    put(kinesis, "kept").await;
    let longer = |hours: i32| {
        kinesis.increase_stream_retention_period().stream_name(STREAM).retention_period_hours(hours).send()
    };
    let shorter = |hours: i32| {
        kinesis.decrease_stream_retention_period().stream_name(STREAM).retention_period_hours(hours).send()
    };
    longer(48).await.expect("longer");
    assert_eq!(summary(kinesis).await.retention_period_hours(), 48);
    assert_eq!(read_all(kinesis).await, ["kept"], "what has expired does not come back");
    running.clock.advance(40 * HOUR);
    assert_eq!(read_all(kinesis).await, ["kept"]);

    let place = format!("for stream {STREAM} can not be");
    assert_eq!(
        refusal(longer(24).await),
        format!(
            "InvalidArgumentException: Requested retention period (24 hours) {place} shorter than existing retention period \
             (48 hours). Use DecreaseRetentionPeriod API."
        )
    );
    assert_eq!(
        refusal(shorter(49).await),
        format!(
            "InvalidArgumentException: Requested retention period (49 hours) {place} longer than existing retention period \
             (48 hours). Use IncreaseRetentionPeriod API."
        )
    );
    assert_eq!(
        refusal(shorter(23).await),
        "InvalidArgumentException: Minimum allowed retention period is 24 hours. Requested retention period (23 hours) is too \
         short."
    );
    assert_eq!(
        refusal(longer(8761).await),
        "InvalidArgumentException: Maximum allowed retention period is 8760 hours. Requested retention period (8761 hours) is \
         too long."
    );
    shorter(24).await.expect("shorter");
    assert!(read_all(kinesis).await.is_empty());
    running.stop().await;

    let running = Running::start(dir.path()).await;
    let longer = running.kinesis.increase_stream_retention_period().stream_name(STREAM).retention_period_hours(72);
    longer.send().await.expect("longer");
    running.stop().await;
    let running = Running::start(dir.path()).await;
    assert_eq!(summary(&running.kinesis).await.retention_period_hours(), 72);
    running.stop().await;
}

#[tokio::test]
async fn tags_are_added_listed_and_removed_by_name_and_by_arn() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    let create = kinesis.create_stream().stream_name(STREAM).shard_count(1).tags("team", "lake").tags("stage", "test");
    create.send().await.expect("created");
    kinesis
        .add_tags_to_stream()
        .stream_name(STREAM)
        .tags("stage", "live")
        .tags("cost", "")
        .send()
        .await
        .expect("added");
    kinesis.tag_resource().resource_arn(ARN).tags("owner", "bär").send().await.expect("tagged");
    let tags = async || {
        let tags = kinesis.list_tags_for_resource().resource_arn(ARN).send().await.expect("listed");
        let pair = |tag: &aws_sdk_kinesis::types::Tag| format!("{}={}", tag.key(), tag.value().unwrap_or("none"));
        tags.tags().iter().map(pair).collect::<Vec<_>>()
    };
    assert_eq!(tags().await, ["cost=", "owner=bär", "stage=live", "team=lake"]);
    let page = kinesis.list_tags_for_stream().stream_name(STREAM).exclusive_start_tag_key("cost").limit(2);
    let page = page.send().await.expect("listed");
    assert_eq!(page.tags().iter().map(|tag| tag.key()).collect::<Vec<_>>(), ["owner", "stage"]);
    assert!(page.has_more_tags());
    kinesis
        .remove_tags_from_stream()
        .stream_name(STREAM)
        .tag_keys("cost")
        .tag_keys("no")
        .send()
        .await
        .expect("removed");
    kinesis.untag_resource().resource_arn(ARN).tag_keys("owner").send().await.expect("removed");
    assert_eq!(tags().await, ["stage=live", "team=lake"]);

    let add = |key: &str, value: &str| kinesis.add_tags_to_stream().stream_name(STREAM).tags(key, value).send();
    assert_eq!(
        refusal(add("a;b", "x").await),
        "InvalidArgumentException: Some tags contain invalid characters. Valid characters: Unicode letters, digits, white \
         space, _ . / = + - % @ :."
    );
    assert_eq!(code(add("aws:mine", "x").await), "InvalidArgumentException");
    assert_eq!(
        refusal(add("", "x").await),
        "ValidationException: 1 validation error detected: Value '{=x}' at 'tags' failed to satisfy constraint: Map keys must \
         satisfy constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal \
         to 1]"
    );
    let many = (0..49).map(|n| (format!("key-{n}"), String::new())).collect();
    let many = kinesis.add_tags_to_stream().stream_name(STREAM).set_tags(Some(many)).send().await;
    assert_eq!(code(many), "InvalidArgumentException", "51 tags are too many");
    let elsewhere = kinesis.list_tags_for_resource().resource_arn(ARN.replace("settings", "nothing")).send().await;
    assert_eq!(code(elsewhere), "ResourceNotFoundException");
    running.stop().await;
}

#[tokio::test]
async fn encryption_monitoring_and_mode_are_kept_and_shown() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis).await;
    let encrypt = kinesis.start_stream_encryption().stream_name(STREAM).encryption_type(EncryptionType::Kms);
    encrypt.key_id("alias/aws/kinesis").send().await.expect("encrypted");
    let metrics = kinesis.enable_enhanced_monitoring().stream_name(STREAM);
    let metrics = metrics.shard_level_metrics(MetricsName::IncomingBytes).send().await.expect("enabled");
    assert!(metrics.current_shard_level_metrics().is_empty());
    assert_eq!(metrics.desired_shard_level_metrics(), [MetricsName::IncomingBytes]);
    let on_demand = || StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().expect("complete");
    kinesis.update_stream_mode().stream_arn(ARN).stream_mode_details(on_demand()).send().await.expect("changed");
    let put =
        kinesis.put_record().stream_name(STREAM).partition_key("k").data(Blob::new("x")).send().await.expect("put");
    assert_eq!(put.encryption_type(), Some(&EncryptionType::Kms));
    running.stop().await;

    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    let shown = summary(kinesis).await;
    assert_eq!((shown.encryption_type(), shown.key_id()), (Some(&EncryptionType::Kms), Some("alias/aws/kinesis")));
    assert_eq!(shown.enhanced_monitoring()[0].shard_level_metrics(), [MetricsName::IncomingBytes]);
    assert_eq!(shown.stream_mode_details().expect("a mode").stream_mode(), &StreamMode::OnDemand);
    let limits = kinesis.describe_limits().send().await.expect("limits");
    assert_eq!((limits.open_shard_count(), limits.on_demand_stream_count()), (1, 1));

    let all = kinesis.enable_enhanced_monitoring().stream_name(STREAM).shard_level_metrics(MetricsName::All);
    assert_eq!(all.send().await.expect("enabled").desired_shard_level_metrics().len(), 7);
    let none = kinesis.disable_enhanced_monitoring().stream_name(STREAM).shard_level_metrics(MetricsName::All);
    assert!(none.send().await.expect("disabled").desired_shard_level_metrics().is_empty());
    let stop = kinesis.stop_stream_encryption().stream_name(STREAM).encryption_type(EncryptionType::Kms);
    stop.key_id("alias/aws/kinesis").send().await.expect("stopped");
    assert_eq!(summary(kinesis).await.encryption_type(), Some(&EncryptionType::None));

    let mode = |mode: StreamMode| {
        let details = StreamModeDetails::builder().stream_mode(mode).build().expect("complete");
        kinesis.update_stream_mode().stream_arn(ARN).stream_mode_details(details).send()
    };
    assert_eq!(code(mode(StreamMode::Provisioned).await), "accepted");
    assert_eq!(code(mode(StreamMode::OnDemand).await), "LimitExceededException", "two changes in 24 hours");
    running.clock.advance(24 * HOUR);
    assert_eq!(code(mode(StreamMode::OnDemand).await), "accepted");
    running.stop().await;
}

#[tokio::test]
async fn wrong_requests_are_worded_as_aws_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let check = async |operation: &str, body: &str, kind: &str, expect: &str| {
        let answer = by_hand(&running, operation, body).await;
        let (status, body) = answer.split_once(" {").unwrap_or((answer.as_str(), ""));
        let body: serde_json::Value = serde_json::from_str(&format!("{{{body}")).unwrap_or_default();
        let told = (body["__type"].as_str().unwrap_or_default(), body["message"].as_str().unwrap_or_default());
        assert_eq!((status, told), ("HTTP/1.1 400 Bad Request", (kind, expect)), "{operation}: {answer}");
    };
    check(
        "GetShardIterator",
        r#"{"StreamName":"s!","ShardIteratorType":"NOW"}"#,
        "ValidationException",
        "3 validation errors detected: Value 's!' at 'streamName' failed to satisfy constraint: Member must satisfy regular \
         expression pattern: [a-zA-Z0-9_.-]+; Value null at 'shardId' failed to satisfy constraint: Member must not be null; \
         Value 'NOW' at 'shardIteratorType' failed to satisfy constraint: Member must satisfy enum value set: \
         [AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, TRIM_HORIZON, LATEST, AT_TIMESTAMP]",
    )
    .await;
    check(
        "DescribeStream",
        r#"{"StreamName":"s","Limit":0}"#,
        "ValidationException",
        "1 validation error detected: Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or \
         equal to 1",
    )
    .await;
    check(
        "PutRecords",
        r#"{"StreamName":"s","Records":[{"PartitionKey":"","Data":"eA=="}]}"#,
        "ValidationException",
        "1 validation error detected: Value '' at 'records.1.member.partitionKey' failed to satisfy constraint: Member must \
         have length greater than or equal to 1",
    )
    .await;
    check(
        "DescribeStream",
        r#"{"StreamName":["s"]}"#,
        "SerializationException",
        "Start of list found where not expected",
    )
    .await;
    check(
        "PutRecord",
        r#"{"StreamName":"s","PartitionKey":"k","Data":"eA="}"#,
        "SerializationException",
        "data can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 3",
    )
    .await;
    check(
        "PutRecord",
        r#"{"StreamName":"s","PartitionKey":"k","Data":"eA==","DryRun":true}"#,
        "InvalidArgumentException",
        "Kinesis request member `DryRun` is not implemented",
    )
    .await;
    let ignored =
        by_hand(&running, "CreateStream", r#"{"StreamName":"s","ShardCount":1,"FromTheFuture":{"a":[1]}}"#).await;
    assert!(ignored.starts_with("HTTP/1.1 200"), "unknown members are ignored: {ignored}");
    running.stop().await;
}

#[tokio::test]
async fn iterators_and_orderings_that_make_no_sense_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis).await;
    let first = put(kinesis, "one").await;
    let iterator = |kind: ShardIteratorType| {
        kinesis.get_shard_iterator().stream_name(STREAM).shard_id(SHARD).shard_iterator_type(kind)
    };
    let rule = "InvalidArgumentException: Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and \
                StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified";
    let latest = iterator(ShardIteratorType::Latest).starting_sequence_number(&first).send().await;
    assert_eq!(refusal(latest), format!("{rule} LATEST and also a StartingSequenceNumber."));
    let without = iterator(ShardIteratorType::AtSequenceNumber).send().await;
    assert_eq!(refusal(without), format!("{rule} AT_SEQUENCE_NUMBER and no StartingSequenceNumber."));
    let future = iterator(ShardIteratorType::AtTimestamp).timestamp(DateTime::from_secs(1_700_000_001)).send().await;
    assert_eq!(
        refusal(future),
        "InvalidArgumentException: The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. \
         timestampInMillis: 1700000001000, currentTimestampInMillis: 1700000000000"
    );
    let no_time = iterator(ShardIteratorType::AtTimestamp).send().await;
    assert_eq!(
        refusal(no_time),
        "InvalidArgumentException: Must specify timestampInMillis parameter for iterator of type AT_TIMESTAMP. Current request \
         has no timestamp parameter."
    );
    let ordered = |after: &str| {
        let put = kinesis.put_record().stream_name(STREAM).partition_key("k").data(Blob::new("x"));
        put.sequence_number_for_ordering(after).send()
    };
    let second = ordered(&first).await.expect("ordered").sequence_number().to_owned();
    assert!(second > first);
    let refused = format!(
        "InvalidArgumentException: ExclusiveMinimumSequenceNumber 7 used in PutRecord on stream {STREAM} under account \
         000000000000 is invalid."
    );
    assert_eq!(refusal(ordered("7").await), refused);
    let future = format!("{}1{}", &second[..22], &second[23..]);
    assert_eq!(code(ordered(&future).await), "InvalidArgumentException", "nobody was given this number yet");
    let key = kinesis.put_record().stream_name(STREAM).partition_key("k").data(Blob::new("x"));
    assert_eq!(
        refusal(key.explicit_hash_key("340282366920938463463374607431768211456").send().await),
        "InvalidArgumentException: Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value \
         was 340282366920938463463374607431768211456"
    );
    running.stop().await;
}

#[tokio::test]
async fn two_deletions_at_once_are_one_and_a_stream_not_found() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    for _ in 0..20 {
        create(kinesis).await;
        let delete = || kinesis.delete_stream().stream_name(STREAM).send();
        let (one, other) = tokio::join!(delete(), delete());
        let mut codes = [code(one), code(other)];
        codes.sort();
        assert_eq!(codes, ["ResourceNotFoundException", "accepted"]);
    }
    running.stop().await;
}

#[tokio::test]
async fn a_stream_of_the_first_version_opens_with_its_records_and_can_be_split() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    create(&running.kinesis).await;
    put(&running.kinesis, "old").await;
    running.stop().await;
    let old = format!(r#"{{"name":"{STREAM}","created":1700000000000000,"shard_count":1,"mode":"PROVISIONED"}}"#);
    std::fs::write(dir.path().join(format!("kinesis/stream-{STREAM}/stream.json")), old).expect("written");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    assert_eq!(read_all(kinesis).await, ["old"]);
    assert_eq!(summary(kinesis).await.retention_period_hours(), 24);
    let split = kinesis.split_shard().stream_name(STREAM).shard_to_split(SHARD).new_starting_hash_key("1000000");
    split.send().await.expect("split");
    assert_eq!(summary(kinesis).await.open_shard_count(), 2);
    running.stop().await;
}

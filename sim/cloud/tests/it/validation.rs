//! What the service models demand, over raw JSON: the SDK would not even send most of these requests.

use aws_sdk_dynamodb::types::StreamViewType;
use serde_json::Value;

use crate::Running;
use crate::dynamodb::create_table;
use crate::wire::send_json;

/// Sends one request and returns `<code>: <message>`.
async fn told(running: &Running, target: &str, body: &str) -> String {
    let answer = send_json(running.cloud.port(), target, body).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
    assert!(head.starts_with("HTTP/1.1 400"), "{target}: {answer}");
    let body: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{target}: {error}: {answer}"));
    let code = body["__type"].as_str().unwrap_or_default().rsplit('#').next().unwrap_or_default().to_owned();
    format!("{code}: {}", body["message"].as_str().unwrap_or_default())
}

#[tokio::test]
async fn kinesis_words_broken_constraints_as_aws_does() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let check = async |operation: &str, body: &str, expect: &str| {
        assert_eq!(told(&running, &format!("Kinesis_20131202.{operation}"), body).await, expect, "{operation}");
    };
    check(
        "CreateStream",
        r#"{"StreamName":"","ShardCount":0}"#,
        "ValidationException: 3 validation errors detected: Value '' at 'streamName' failed to satisfy constraint: Member must \
         satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value '' at 'streamName' failed to satisfy constraint: Member \
         must have length greater than or equal to 1; Value '0' at 'shardCount' failed to satisfy constraint: Member must have \
         value greater than or equal to 1",
    )
    .await;
    check(
        "DescribeStreamSummary",
        r#"{"StreamARN":"arn:aws:kinesis:us-east-1:1:stream/s"}"#,
        "ValidationException: 1 validation error detected: Value 'arn:aws:kinesis:us-east-1:1:stream/s' at 'streamARN' failed \
         to satisfy constraint: Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+",
    )
    .await;
    check(
        "EnableEnhancedMonitoring",
        r#"{"StreamName":"s","ShardLevelMetrics":["Nothing"]}"#,
        "ValidationException: 1 validation error detected: Value '[Nothing]' at 'shardLevelMetrics' failed to satisfy \
         constraint: Member must satisfy constraint: [Member must satisfy enum value set: [IncomingBytes, IncomingRecords, \
         OutgoingBytes, OutgoingRecords, WriteProvisionedThroughputExceeded, ReadProvisionedThroughputExceeded, \
         IteratorAgeMilliseconds, ALL]]",
    )
    .await;
    check(
        "ListShards",
        r#"{"StreamName":"s","ShardFilter":{}}"#,
        "ValidationException: 1 validation error detected: Value null at 'shardFilter.type' failed to satisfy constraint: \
         Member must not be null",
    )
    .await;
    check(
        "MergeShards",
        "{}",
        "ValidationException: 2 validation errors detected: Value null at 'shardToMerge' failed to satisfy constraint: Member \
         must not be null; Value null at 'adjacentShardToMerge' failed to satisfy constraint: Member must not be null",
    )
    .await;
    running.stop().await;
}

#[tokio::test]
async fn kinesis_tells_a_wrong_type_before_anything_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let check = async |operation: &str, body: &str, expect: &str| {
        let told = told(&running, &format!("Kinesis_20131202.{operation}"), body).await;
        assert_eq!(told, format!("SerializationException: {expect}"), "{operation}");
    };
    check(
        "CreateStream",
        r#"{"StreamName":"!","ShardCount":"two"}"#,
        "class java.lang.String can not be converted to an Integer",
    )
    .await;
    check(
        "GetShardIterator",
        r#"{"Timestamp":"yesterday"}"#,
        "class java.lang.String can not be converted to milliseconds since epoch",
    )
    .await;
    check("ListTagsForStream", r#"{"StreamName":{"a":1}}"#, "Start of structure or map found where not expected.")
        .await;
    check("RemoveTagsFromStream", r#"{"TagKeys":["a",["b"]]}"#, "Start of list found where not expected").await;
    check("AddTagsToStream", r#"{"Tags":["a"]}"#, "Start of list found where not expected").await;
    running.stop().await;
}

#[tokio::test]
async fn dynamodb_and_its_streams_are_judged_by_their_models() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    create_table(&running.dynamodb, "table-t", StreamViewType::NewImage).await;
    let check = async |target: &str, body: &str, expect: &str| {
        assert_eq!(told(&running, target, body).await, expect, "{target}");
    };
    check(
        "DynamoDBStreams_20120810.GetShardIterator",
        r#"{"StreamArn":"arn","SequenceNumber":"1"}"#,
        "ValidationException: 4 validation errors detected: Value 'arn' at 'streamArn' failed to satisfy constraint: Member \
         must have length greater than or equal to 37; Value null at 'shardId' failed to satisfy constraint: Member must not be \
         null; Value null at 'shardIteratorType' failed to satisfy constraint: Member must not be null; Value '1' at \
         'sequenceNumber' failed to satisfy constraint: Member must have length greater than or equal to 21",
    )
    .await;
    check(
        "DynamoDBStreams_20120810.ListStreams",
        r#"{"TableName":7}"#,
        "SerializationException: NUMBER_VALUE cannot be converted to String",
    )
    .await;
    check(
        "DynamoDB_20120810.DescribeContinuousBackups",
        "{}",
        "ValidationException: 1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must \
         not be null",
    )
    .await;
    running.stop().await;
}

#[tokio::test]
async fn members_that_no_model_knows_are_ignored() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let body = r#"{"StreamName":"s","Tomorrow":{"never":["knows"]}}"#;
    let told = told(&running, "Kinesis_20131202.DescribeStream", body).await;
    assert_eq!(told, "ResourceNotFoundException: Stream s under account 000000000000 not found.");
    running.stop().await;
}

//! The control plane of DynamoDB through the SDK: ARNs, tags, and the reads that clients ask before they do anything.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, ContinuousBackupsStatus, GlobalSecondaryIndex, KeySchemaElement, KeyType,
    PointInTimeRecoverySpecification, PointInTimeRecoveryStatus, Projection, ProjectionType, ScalarAttributeType,
    SseSpecification, StreamSpecification, StreamViewType, TableDescription, Tag,
};

use crate::{Running, code};

const ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/orders";

async fn create(client: &Client) -> TableDescription {
    let attribute = |name: &str| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build().unwrap()
    };
    let hash = |name: &str| KeySchemaElement::builder().attribute_name(name).key_type(KeyType::Hash).build().unwrap();
    let index = GlobalSecondaryIndex::builder()
        .index_name("by-day")
        .key_schema(hash("day"))
        .projection(Projection::builder().projection_type(ProjectionType::All).build());
    let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewImage);
    let created = client
        .create_table()
        .table_name("orders")
        .attribute_definitions(attribute("id"))
        .attribute_definitions(attribute("day"))
        .key_schema(hash("id"))
        .billing_mode(BillingMode::PayPerRequest)
        .global_secondary_indexes(index.build().unwrap())
        .stream_specification(stream.build().unwrap())
        .sse_specification(SseSpecification::builder().enabled(true).build())
        .send()
        .await
        .unwrap();
    created.table_description.unwrap()
}

#[tokio::test]
async fn every_arn_names_the_region_and_can_be_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path()).await;
    let client = &running.dynamodb;
    let check = |table: &TableDescription| {
        assert_eq!(table.table_arn(), Some(ARN));
        assert_eq!(table.global_secondary_indexes()[0].index_arn(), Some(format!("{ARN}/index/by-day").as_str()));
        assert!(table.latest_stream_arn().unwrap().starts_with(&format!("{ARN}/stream/")));
        let key = table.sse_description().and_then(|sse| sse.kms_master_key_arn()).unwrap();
        assert!(key.starts_with("arn:aws:kms:us-east-1:000000000000:key/"), "{key}");
    };
    check(&create(client).await);
    check(&client.describe_table().table_name("orders").send().await.unwrap().table.unwrap());
    let updated = client.update_table().table_name("orders").deletion_protection_enabled(false).send().await.unwrap();
    check(&updated.table_description.unwrap());

    let tag = Tag::builder().key("arn").value("arn:aws:dynamodb:dynoxide:1:table/mine").build().unwrap();
    client.tag_resource().resource_arn(ARN).tags(tag.clone()).send().await.unwrap();
    assert_eq!(client.list_tags_of_resource().resource_arn(ARN).send().await.unwrap().tags(), [tag]);
    client.untag_resource().resource_arn(ARN).tag_keys("arn").send().await.unwrap();
    assert!(client.list_tags_of_resource().resource_arn(ARN).send().await.unwrap().tags().is_empty());

    let deleted = client.delete_table().table_name("orders").send().await.unwrap();
    assert_eq!(deleted.table_description.unwrap().table_arn(), Some(ARN));
    running.stop().await;
}

#[tokio::test]
async fn quotas_endpoints_and_backups_are_those_of_a_fresh_account() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path()).await;
    let client = &running.dynamodb;
    let limits = client.describe_limits().send().await.unwrap();
    assert_eq!(limits.account_max_read_capacity_units(), Some(80_000));
    assert_eq!(limits.table_max_write_capacity_units(), Some(40_000));

    let endpoints = client.describe_endpoints().send().await.unwrap();
    assert_eq!(endpoints.endpoints()[0].address(), format!("127.0.0.1:{}", running.cloud.port()));
    assert_eq!(endpoints.endpoints()[0].cache_period_in_minutes(), 1_440);

    let missing = client.describe_continuous_backups().table_name("orders").send().await;
    assert_eq!(code(missing), "TableNotFoundException");
    create(client).await;
    let backups = client.describe_continuous_backups().table_name("orders").send().await.unwrap();
    let backups = backups.continuous_backups_description.unwrap();
    assert_eq!(backups.continuous_backups_status(), &ContinuousBackupsStatus::Enabled);
    let recovery = backups.point_in_time_recovery_description().unwrap();
    assert_eq!(recovery.point_in_time_recovery_status(), Some(&PointInTimeRecoveryStatus::Disabled));
    running.stop().await;
}

#[tokio::test]
async fn what_would_change_them_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::start(dir.path()).await;
    let client = &running.dynamodb;
    let on = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build().unwrap();
    let update = client.update_continuous_backups().table_name("orders").point_in_time_recovery_specification(on);
    assert_eq!(code(update.send().await), "UnknownOperationException");
    assert_eq!(code(client.list_backups().send().await), "UnknownOperationException");
    assert_eq!(code(client.list_global_tables().send().await), "UnknownOperationException");
    running.stop().await;
}

//! With limits, tables of DynamoDB take their time on the clock, and refuse meanwhile what AWS refuses.

use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::{StreamViewType, TableStatus};
use lakebed_cloud::Limits;
use lakebed_contract::{Clock, Timestamp};

use crate::dynamodb::{create_table, key};
use crate::{Running, config};

const TABLE: &str = "table-t";
const CHANGE_TIME: Duration = Duration::from_secs(6);

async fn start(dir: &Path, clock: &Clock) -> Running {
    let mut config = config(dir, 0, clock.clone(), None);
    config.limits = Limits::Aws;
    Running::start_as(config).await
}

fn told<T, E: ProvideErrorMetadata, R>(result: Result<T, SdkError<E, R>>) -> String {
    match result {
        Ok(_) => "accepted".to_owned(),
        Err(error) => {
            let error = error.as_service_error().map(|error| (error.code(), error.message()));
            let (code, message) = error.unwrap_or_default();
            format!("{}: {}", code.unwrap_or_default(), message.unwrap_or_default())
        }
    }
}

async fn status(client: &Client) -> Option<TableStatus> {
    let described = client.describe_table().table_name(TABLE).send().await.ok()?;
    described.table.and_then(|table| table.table_status)
}

async fn put(client: &Client) -> String {
    told(client.put_item().table_name(TABLE).set_item(Some(key("a", 1))).send().await)
}

async fn update(client: &Client) -> String {
    told(client.update_table().table_name(TABLE).deletion_protection_enabled(false).send().await)
}

async fn delete(client: &Client) -> String {
    told(client.delete_table().table_name(TABLE).send().await)
}

#[tokio::test]
async fn a_table_is_made_changed_and_deleted_in_its_time() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::virtual_at(Timestamp::from_seconds(1_700_000_000));
    let running = start(dir.path(), &clock).await;
    let client = &running.dynamodb;
    let in_use = |done: &str| {
        format!(
            "ResourceInUseException: Attempt to change a resource which is still in use: Table is being {done}: {TABLE}"
        )
    };
    create_table(client, TABLE, StreamViewType::NewImage).await;
    assert_eq!(status(client).await, Some(TableStatus::Creating));
    assert_eq!(put(client).await, "ResourceNotFoundException: Requested resource not found");
    assert_eq!(update(client).await, in_use("created"));
    assert_eq!(delete(client).await, in_use("created"));
    clock.advance(CHANGE_TIME);
    assert_eq!(status(client).await, Some(TableStatus::Active));
    assert_eq!(put(client).await, "accepted");

    assert_eq!(update(client).await, "accepted");
    assert_eq!(status(client).await, Some(TableStatus::Updating));
    assert_eq!(put(client).await, "accepted", "items do not mind");
    assert_eq!(update(client).await, in_use("updated"));
    clock.advance(CHANGE_TIME);
    assert_eq!(status(client).await, Some(TableStatus::Active));

    assert_eq!(delete(client).await, "accepted");
    assert_eq!(status(client).await, Some(TableStatus::Deleting));
    assert_eq!(put(client).await, "ResourceNotFoundException: Requested resource not found");
    assert_eq!(delete(client).await, in_use("deleted"));
    assert_eq!(client.list_tables().send().await.expect("listed").table_names(), [TABLE]);
    running.stop().await;

    let running = start(dir.path(), &clock).await;
    let client = &running.dynamodb;
    assert_eq!(status(client).await, Some(TableStatus::Deleting), "a restart forgets no deletion");
    clock.advance(CHANGE_TIME);
    assert_eq!(status(client).await, None);
    assert!(client.list_tables().send().await.expect("listed").table_names().is_empty());
    running.stop().await;
}

#[tokio::test]
async fn a_protected_or_absent_table_is_not_deleted() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::virtual_at(Timestamp::from_seconds(1_700_000_000));
    let running = start(dir.path(), &clock).await;
    let client = &running.dynamodb;
    assert!(delete(client).await.starts_with("ResourceNotFoundException"));
    create_table(client, TABLE, StreamViewType::NewImage).await;
    clock.advance(CHANGE_TIME);
    let protect = client.update_table().table_name(TABLE).deletion_protection_enabled(true);
    protect.send().await.expect("updated");
    clock.advance(CHANGE_TIME);
    assert!(delete(client).await.starts_with("ValidationException"), "it is protected");
    assert_eq!(status(client).await, Some(TableStatus::Active));
    running.stop().await;
}

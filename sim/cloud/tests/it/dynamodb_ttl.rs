//! Time to live through the SDK: what expires, what does not, and what the stream says about it.

#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy knows only the test functions themselves")]

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::update_time_to_live::builders::UpdateTimeToLiveFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, PutRequest, Select, StreamViewType, TimeToLiveSpecification, TimeToLiveStatus, WriteRequest,
};
use aws_sdk_dynamodbstreams::types::{OperationType, Record, ShardIteratorType};
use lakebed_contract::{Clock, Timestamp};

use crate::dynamodb::{create_table, drain, iterator, key, n_of, put, start, text};

const START: i64 = 1_700_000_000;
const ROUND: Duration = Duration::from_secs(61);
const YEAR: i64 = 365 * 24 * 60 * 60;

/// A round runs beside the requests: how often a test asks whether it is done.
const QUESTIONS_MAX: usize = 20_000;

fn number(value: i64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn asked(client: &Client, table: &str, enabled: bool, attribute: &str) -> UpdateTimeToLiveFluentBuilder {
    let specification = TimeToLiveSpecification::builder().enabled(enabled).attribute_name(attribute).build().unwrap();
    client.update_time_to_live().table_name(table).time_to_live_specification(specification)
}

async fn switch(client: &Client, table: &str, enabled: bool) {
    asked(client, table, enabled, "expires").send().await.unwrap();
}

async fn put_expiring(client: &Client, table: &str, n: u32, expires: AttributeValue) {
    let item = client.put_item().table_name(table).set_item(Some(key("a", n))).item("expires", expires);
    item.send().await.unwrap();
}

async fn exists(client: &Client, table: &str, n: u32) -> bool {
    client.get_item().table_name(table).set_key(Some(key("a", n))).send().await.unwrap().item.is_some()
}

async fn wait_until_gone(client: &Client, table: &str, n: u32) {
    for _ in 0..QUESTIONS_MAX {
        if !exists(client, table, n).await {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("item {n} has not expired");
}

async fn count(client: &Client) -> usize {
    let (mut total, mut start_key) = (0, None);
    loop {
        let scan = client.scan().table_name("sessions").select(Select::Count).set_exclusive_start_key(start_key);
        let page = scan.send().await.unwrap();
        total += usize::try_from(page.count()).unwrap();
        start_key = page.last_evaluated_key;
        if start_key.is_none() {
            return total;
        }
    }
}

fn removed_by(records: &[Record], n: u32) -> Option<(&str, &str)> {
    let removal =
        records.iter().find(|record| record.event_name() == Some(&OperationType::Remove) && n_of(record) == n).unwrap();
    removal.user_identity().map(|identity| (identity.r#type().unwrap(), identity.principal_id().unwrap()))
}

#[tokio::test]
async fn what_is_already_switched_so_is_refused_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::virtual_at(Timestamp::from_seconds(START));
    let (_cloud, client, _) = start(dir.path(), &clock).await;
    create_table(&client, "sessions", StreamViewType::KeysOnly).await;
    let refused = async |table: &str, enabled, attribute: &str| {
        let refused = asked(&client, table, enabled, attribute).send().await.unwrap_err().into_service_error();
        (refused.code().unwrap().to_owned(), refused.message().unwrap().to_owned())
    };
    let told = |message: &str| ("ValidationException".to_owned(), message.to_owned());
    let status = async || {
        let described = client.describe_time_to_live().table_name("sessions").send().await.unwrap();
        let described = described.time_to_live_description.unwrap();
        (described.time_to_live_status, described.attribute_name)
    };
    assert_eq!(refused("sessions", false, "expires").await, told("TimeToLive is already disabled"));
    assert_eq!(status().await, (Some(TimeToLiveStatus::Disabled), None));
    switch(&client, "sessions", true).await;
    assert_eq!(refused("sessions", true, "expires").await, told("TimeToLive is already enabled"));
    assert_eq!(refused("sessions", true, "other").await.0, "ValidationException");
    assert_eq!(status().await, (Some(TimeToLiveStatus::Enabled), Some("expires".to_owned())));
    switch(&client, "sessions", false).await;
    assert_eq!(refused("sessions", false, "expires").await, told("TimeToLive is already disabled"));
    let (_, message) = refused("sessions", false, "").await;
    assert!(message.contains("length greater than or equal to 1"), "the name is judged first: {message}");
    assert_eq!(refused("nowhere", false, "expires").await.0, "ResourceNotFoundException");
}

#[tokio::test]
async fn what_has_expired_goes_and_the_stream_says_who_removed_it() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::virtual_at(Timestamp::from_seconds(START));
    let (_cloud, client, streams) = start(dir.path(), &clock).await;
    let arn = create_table(&client, "sessions", StreamViewType::NewAndOldImages).await;
    switch(&client, "sessions", true).await;
    put_expiring(&client, "sessions", 1, number(START + 30)).await;
    put_expiring(&client, "sessions", 2, number(START + 90)).await;
    put_expiring(&client, "sessions", 3, number(START + YEAR)).await;
    // Nobody means a session of six years ago, a text, or nothing at all.
    put_expiring(&client, "sessions", 4, number(START - 6 * YEAR)).await;
    put_expiring(&client, "sessions", 5, text(&(START - 10).to_string())).await;
    put(&client, "sessions", "a", 6, "for ever").await;
    put_expiring(&client, "sessions", 7, number(START + 30)).await;
    client.delete_item().table_name("sessions").set_key(Some(key("a", 7))).send().await.unwrap();

    clock.advance(ROUND);
    wait_until_gone(&client, "sessions", 1).await;
    assert!(exists(&client, "sessions", 2).await);
    clock.advance(ROUND);
    // The second round begins when the first is over, so whatever the first may do wrong has been done by now.
    wait_until_gone(&client, "sessions", 2).await;
    for kept in 3..=6 {
        assert!(exists(&client, "sessions", kept).await, "{kept}");
    }

    client.delete_item().table_name("sessions").set_key(Some(key("a", 3))).send().await.unwrap();
    let from_start = iterator(&streams, &arn, ShardIteratorType::TrimHorizon, None).await;
    let (records, _) = drain(&streams, from_start, 100).await;
    for expired in [1, 2] {
        assert_eq!(removed_by(&records, expired), Some(("Service", "dynamodb.amazonaws.com")));
    }
    for deleted in [3, 7] {
        assert_eq!(removed_by(&records, deleted), None);
    }
    let expired = records.iter().find(|record| record.user_identity().is_some()).unwrap().dynamodb().unwrap();
    assert!(expired.new_image().is_none());
    assert!(expired.old_image().unwrap().contains_key("expires"));
    assert_eq!(expired.approximate_creation_date_time().unwrap().secs(), START + 61);
}

#[tokio::test]
async fn pages_of_expired_items_go_and_the_living_between_them_stay() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::virtual_at(Timestamp::from_seconds(START));
    let (_cloud, client, _) = start(dir.path(), &clock).await;
    create_table(&client, "sessions", StreamViewType::KeysOnly).await;
    switch(&client, "sessions", true).await;
    let numbers: Vec<u32> = (0..275).collect();
    for batch in numbers.chunks(25) {
        let write = |n: &u32| {
            let expires = if n.is_multiple_of(5) { START + YEAR } else { START + 1 };
            let item = key("a", *n).into_iter().chain([("expires".to_owned(), number(expires))]).collect();
            WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(item)).build().unwrap()).build()
        };
        let writes = batch.iter().map(write).collect();
        let written = client.batch_write_item().request_items("sessions", writes).send().await;
        assert!(written.unwrap().unprocessed_items.unwrap_or_default().is_empty());
    }
    clock.advance(ROUND);
    let mut left = numbers.len();
    for _ in 0..QUESTIONS_MAX {
        left = count(&client).await;
        if left == 55 {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(left, 55);
    for n in [0, 5, 270] {
        assert!(exists(&client, "sessions", n).await, "{n}");
    }
}

#[tokio::test]
async fn nothing_expires_while_ttl_is_off_and_a_restart_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::virtual_at(Timestamp::from_seconds(START));
    let (cloud, client, _) = start(dir.path(), &clock).await;
    create_table(&client, "sessions", StreamViewType::KeysOnly).await;
    switch(&client, "sessions", true).await;
    put_expiring(&client, "sessions", 1, number(START + 1)).await;
    clock.advance(ROUND);
    wait_until_gone(&client, "sessions", 1).await;

    switch(&client, "sessions", false).await;
    put_expiring(&client, "sessions", 2, number(START + 1)).await;
    // A round takes the tables by name, so this one tells that it has passed the other.
    create_table(&client, "zones", StreamViewType::KeysOnly).await;
    switch(&client, "zones", true).await;
    put_expiring(&client, "zones", 1, number(START + 1)).await;
    cloud.shutdown().await.unwrap();
    let (_cloud, client, _) = start(dir.path(), &clock).await;
    clock.advance(ROUND);
    wait_until_gone(&client, "zones", 1).await;
    assert!(exists(&client, "sessions", 2).await);
    switch(&client, "sessions", true).await;
    clock.advance(ROUND);
    wait_until_gone(&client, "sessions", 2).await;
}

//! Batches of DynamoDB through the SDK: many items at once, without a transaction around them.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, DeleteRequest, KeysAndAttributes, PutRequest, StreamViewType, WriteRequest,
};
use serde_json::json;

use crate::dynamodb::{create_table, key, text};
use crate::dynamodb_expressions::{TABLE, plain_item};
use crate::{Running, code};

const OTHER: &str = "other-t";

fn put(n: u32) -> WriteRequest {
    let mut item = key("a", n);
    item.insert("x".to_owned(), text("y"));
    WriteRequest::builder().put_request(PutRequest::builder().set_item(Some(item)).build().expect("a put")).build()
}

fn delete(n: u32) -> WriteRequest {
    let delete = DeleteRequest::builder().set_key(Some(key("a", n))).build().expect("a delete");
    WriteRequest::builder().delete_request(delete).build()
}

fn keys(wanted: impl IntoIterator<Item = u32>) -> KeysAndAttributes {
    let keys: Vec<HashMap<String, AttributeValue>> = wanted.into_iter().map(|n| key("a", n)).collect();
    KeysAndAttributes::builder().set_keys(Some(keys)).build().expect("keys")
}

async fn running(dir: &std::path::Path) -> Running {
    let running = Running::start(dir).await;
    create_table(&running.dynamodb, TABLE, StreamViewType::NewImage).await;
    create_table(&running.dynamodb, OTHER, StreamViewType::NewImage).await;
    running
}

#[tokio::test]
async fn a_batch_writes_to_several_tables_and_reads_what_is_there() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let client = &running.dynamodb;
    let write = client.batch_write_item().request_items(TABLE, (0..20).map(put).collect());
    let written = write.request_items(OTHER, (0..5).map(put).collect()).send().await.expect("written");
    assert!(written.unprocessed_items().is_none_or(HashMap::is_empty));
    let write = client.batch_write_item().request_items(TABLE, vec![delete(0), put(20), delete(99)]);
    write.send().await.expect("written");

    let read = client.batch_get_item().request_items(TABLE, keys(0..22)).request_items(OTHER, keys(3..8));
    let read = read.send().await.expect("read");
    assert!(read.unprocessed_keys().is_none_or(HashMap::is_empty));
    let found = |table: &str| {
        let items = read.responses().and_then(|tables| tables.get(table)).expect("the table");
        let mut found: Vec<i64> = items.iter().filter_map(|item| plain_item(item)["n"].as_i64()).collect();
        found.sort_unstable();
        found
    };
    assert_eq!(found(TABLE), (1..21).collect::<Vec<_>>(), "0 was deleted, 21 never was");
    assert_eq!(found(OTHER), [3, 4]);
    running.stop().await;
}

#[tokio::test]
async fn a_batch_read_cuts_out_what_is_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    running.dynamodb.batch_write_item().request_items(TABLE, vec![put(1)]).send().await.expect("written");
    let wanted = KeysAndAttributes::builder().keys(key("a", 1)).projection_expression("x").consistent_read(true);
    let read = running.dynamodb.batch_get_item().request_items(TABLE, wanted.build().expect("keys"));
    let read = read.send().await.expect("read");
    let items = read.responses().and_then(|tables| tables.get(TABLE)).expect("the table");
    assert_eq!(items.iter().map(plain_item).collect::<Vec<_>>(), [json!({ "x": "y" })]);
    running.stop().await;
}

#[tokio::test]
async fn batches_that_are_too_large_double_or_astray_are_refused_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let client = &running.dynamodb;
    let write = async |table: &str, requests: Vec<WriteRequest>| {
        code(client.batch_write_item().request_items(table, requests).send().await)
    };
    assert_eq!(write(TABLE, (0..26).map(put).collect()).await, "ValidationException");
    assert_eq!(write(TABLE, vec![put(1), put(1)]).await, "ValidationException");
    assert_eq!(write(TABLE, vec![put(1), delete(1)]).await, "ValidationException");
    assert_eq!(write("no-such-table", vec![put(1)]).await, "ResourceNotFoundException");
    let read =
        async |wanted: KeysAndAttributes| code(client.batch_get_item().request_items(TABLE, wanted).send().await);
    assert_eq!(read(keys(0..101)).await, "ValidationException");
    assert_eq!(read(keys([1, 1])).await, "ValidationException");
    let scanned = client.scan().table_name(TABLE).send().await.expect("scanned");
    assert_eq!(scanned.count(), 0);
    running.stop().await;
}

//! Transactions of DynamoDB through the SDK: all or nothing, the reasons of a cancellation, tokens that make a repetition
//! harmless, also across a restart.

use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{
    ConditionCheck, Delete, Get, Put, ReturnValuesOnConditionCheckFailure, StreamViewType, TransactGetItem,
    TransactWriteItem, Update,
};
use lakebed_contract::{Clock, Timestamp};
use serde_json::{Value, json};

use crate::dynamodb::{create_table, key};
use crate::dynamodb_expressions::{TABLE, item, plain_item, values};
use crate::{Running, code};

/// Adds one to `x` of item `n`.
fn increment(n: u32) -> TransactWriteItem {
    let update = Update::builder().table_name(TABLE).set_key(Some(key("a", n))).update_expression("ADD x :one");
    let update = update.set_expression_attribute_values(values(&json!({ "one": 1 })));
    TransactWriteItem::builder().update(update.build().expect("an update")).build()
}

fn put(n: u32) -> TransactWriteItem {
    let put = Put::builder().table_name(TABLE).set_item(Some(item(&json!({ "pk": "a", "n": n, "x": 0 }))));
    TransactWriteItem::builder().put(put.build().expect("a put")).build()
}

async fn value_of(client: &Client, n: u32) -> Value {
    let got = client.get_item().table_name(TABLE).set_key(Some(key("a", n))).consistent_read(true).send().await;
    got.expect("got").item.map_or(Value::Null, |item| plain_item(&item)["x"].clone())
}

async fn running(dir: &Path) -> Running {
    let running = Running::start(dir).await;
    create_table(&running.dynamodb, TABLE, StreamViewType::NewImage).await;
    running
}

#[tokio::test]
async fn a_transaction_is_done_whole_or_not_at_all() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let client = &running.dynamodb;
    client.transact_write_items().transact_items(put(1)).transact_items(put(2)).send().await.expect("written");
    let delete = Delete::builder().table_name(TABLE).set_key(Some(key("a", 2))).build().expect("a delete");
    let delete = TransactWriteItem::builder().delete(delete).build();
    client.transact_write_items().transact_items(increment(1)).transact_items(delete).send().await.expect("written");
    assert_eq!((value_of(client, 1).await, value_of(client, 2).await), (json!(1), Value::Null));

    let check =
        ConditionCheck::builder().table_name(TABLE).set_key(Some(key("a", 1))).condition_expression("x = :nine");
    let check = check.set_expression_attribute_values(values(&json!({ "nine": 9 })));
    let check = check.return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let check = TransactWriteItem::builder().condition_check(check.build().expect("a check")).build();
    let write = client.transact_write_items().transact_items(put(3)).transact_items(check).transact_items(increment(4));
    let error = write.send().await.expect_err("the condition fails").into_service_error();
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else {
        panic!("not cancelled: {error:?}");
    };
    let told = "Transaction cancelled, please refer cancellation reasons for specific reasons [None, \
                ConditionalCheckFailed, None]";
    assert_eq!(cancelled.message(), Some(told));
    let reasons = cancelled.cancellation_reasons();
    let codes: Vec<_> = reasons.iter().map(|reason| reason.code().unwrap_or_default()).collect();
    assert_eq!(codes, ["None", "ConditionalCheckFailed", "None"]);
    let shown = reasons[1].item().expect("the item");
    assert_eq!(plain_item(shown), json!({ "pk": "a", "n": 1, "x": 1 }));
    assert_eq!((value_of(client, 3).await, value_of(client, 4).await), (Value::Null, Value::Null));
    running.stop().await;
}

#[tokio::test]
async fn a_transaction_reads_in_the_order_it_was_asked() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let client = &running.dynamodb;
    client.transact_write_items().transact_items(put(1)).transact_items(put(2)).send().await.expect("written");
    let get = |n: u32| {
        let get = Get::builder().table_name(TABLE).set_key(Some(key("a", n))).projection_expression("n");
        TransactGetItem::builder().get(get.build().expect("a get")).build()
    };
    let read = client.transact_get_items().transact_items(get(2)).transact_items(get(9)).transact_items(get(1));
    let read = read.send().await.expect("read");
    let found: Vec<_> =
        read.responses().iter().map(|found| found.item().map(|item| plain_item(item)["n"].clone())).collect();
    assert_eq!(found, [Some(json!(2)), None, Some(json!(1))]);
    running.stop().await;
}

#[tokio::test]
async fn a_transaction_reads_what_its_projection_names_and_no_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let client = &running.dynamodb;
    client.transact_write_items().transact_items(put(1)).send().await.expect("written");
    let whole = json!({ "pk": "a", "n": 1, "x": 0 });
    for (projection, expected) in [
        (None, Some(whole.clone())),
        (Some("x"), Some(json!({ "x": 0 }))),
        (Some("x, n"), Some(json!({ "x": 0, "n": 1 }))),
        (Some("#p,x"), Some(json!({ "pk": "a", "x": 0 }))),
        (Some("#p"), Some(json!({ "pk": "a" }))),
        (Some("#p , n,x"), Some(whole)),
        (Some("y"), None),
        (Some("x, y.z, n.deep"), Some(json!({ "x": 0 }))),
    ] {
        let mut get = Get::builder().table_name(TABLE).set_key(Some(key("a", 1)));
        get = get.set_projection_expression(projection.map(str::to_owned));
        if projection.is_some_and(|projection| projection.contains('#')) {
            get = get.expression_attribute_names("#p", "pk");
        }
        let get = TransactGetItem::builder().get(get.build().expect("a get")).build();
        let read = client.transact_get_items().transact_items(get).send().await.expect("read");
        assert_eq!(read.responses()[0].item().map(plain_item), expected, "{projection:?}");
    }
    running.stop().await;
}

#[tokio::test]
async fn transactions_that_may_not_be_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let write = async |items: Vec<TransactWriteItem>| {
        code(running.dynamodb.transact_write_items().set_transact_items(Some(items)).send().await)
    };
    assert_eq!(write(vec![put(1), increment(1)]).await, "ValidationException", "one item twice");
    assert_eq!(write((0..101).map(put).collect()).await, "ValidationException", "more than a hundred");
    assert_eq!(write((0..100).map(put).collect()).await, "accepted");
    let long = running.dynamodb.transact_write_items().transact_items(put(1)).client_request_token("t".repeat(37));
    assert_eq!(code(long.send().await), "ValidationException");
    running.stop().await;
}

#[tokio::test]
async fn a_token_makes_a_repetition_harmless_for_ten_minutes_also_across_a_restart() {
    let dir = tempfile::tempdir().expect("a directory");
    let clock = Clock::virtual_at(Timestamp::from_seconds(1_700_000_000));
    let running = Running::start_with(dir.path(), clock.clone(), None).await;
    create_table(&running.dynamodb, TABLE, StreamViewType::NewImage).await;
    let write = async |client: &Client, items: Vec<TransactWriteItem>, token: &str| {
        let write = client.transact_write_items().set_transact_items(Some(items)).client_request_token(token);
        code(write.send().await)
    };
    assert_eq!(write(&running.dynamodb, vec![increment(1)], "one").await, "accepted");
    assert_eq!(write(&running.dynamodb, vec![increment(1)], "one").await, "accepted");
    assert_eq!(value_of(&running.dynamodb, 1).await, json!(1));
    assert_eq!(write(&running.dynamodb, vec![increment(1)], "two").await, "accepted");
    assert_eq!(value_of(&running.dynamodb, 1).await, json!(2));
    let mismatch = "IdempotentParameterMismatchException";
    assert_eq!(write(&running.dynamodb, vec![increment(2)], "one").await, mismatch);

    running.stop().await;
    let running = Running::start_with(dir.path(), clock.clone(), None).await;
    clock.advance(Duration::from_secs(9 * 60));
    assert_eq!(write(&running.dynamodb, vec![increment(1)], "one").await, "accepted");
    assert_eq!(write(&running.dynamodb, vec![increment(2)], "one").await, mismatch);
    assert_eq!(value_of(&running.dynamodb, 1).await, json!(2));
    assert_eq!(value_of(&running.dynamodb, 2).await, Value::Null);
    clock.advance(Duration::from_secs(60));
    assert_eq!(write(&running.dynamodb, vec![increment(2)], "one").await, "accepted", "the token is free again");
    assert_eq!(value_of(&running.dynamodb, 2).await, json!(1));
    running.stop().await;
}

#[tokio::test]
async fn a_transaction_that_failed_may_be_tried_again_with_its_token() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let client = &running.dynamodb;
    let write = || {
        let put =
            Put::builder().table_name(TABLE).set_item(Some(key("a", 1))).condition_expression("attribute_exists(pk)");
        let put = TransactWriteItem::builder().put(put.build().expect("a put")).build();
        client.transact_write_items().transact_items(put).client_request_token("one").send()
    };
    assert_eq!(code(write().await), "TransactionCanceledException");
    client.put_item().table_name(TABLE).set_item(Some(key("a", 1))).send().await.expect("put");
    assert_eq!(code(write().await), "accepted");
    running.stop().await;
}

//! Single items of DynamoDB through the SDK: what writes return, what an item may be, what it costs.

use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::types::{ReturnConsumedCapacity, ReturnValue, StreamViewType};
use serde_json::{Value, json};

use crate::Running;
use crate::dynamodb::{create_table, key};
use crate::dynamodb_expressions::{TABLE, item, plain_item, value, values};

async fn running(dir: &std::path::Path) -> Running {
    let running = Running::start(dir).await;
    create_table(&running.dynamodb, TABLE, StreamViewType::NewImage).await;
    running
}

#[tokio::test]
async fn writes_return_what_they_are_asked_for() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let client = &running.dynamodb;
    let put = |x: i64| {
        let put =
            client.put_item().table_name(TABLE).set_item(Some(item(&json!({ "pk": "a", "n": 1, "x": x, "y": 0 }))));
        put.return_values(ReturnValue::AllOld).send()
    };
    assert!(put(1).await.expect("put").attributes.is_none(), "there was nothing");
    let old = put(2).await.expect("put").attributes.expect("the old item");
    assert_eq!(plain_item(&old), json!({ "pk": "a", "n": 1, "x": 1, "y": 0 }));

    let update = async |returned: ReturnValue| {
        let update = client.update_item().table_name(TABLE).set_key(Some(key("a", 1))).update_expression("ADD x :one");
        let update = update.set_expression_attribute_values(values(&json!({ "one": 1 })));
        let attributes = update.return_values(returned).send().await.expect("updated").attributes;
        attributes.map_or(Value::Null, |attributes| plain_item(&attributes))
    };
    assert_eq!(update(ReturnValue::UpdatedOld).await, json!({ "x": 2 }));
    assert_eq!(update(ReturnValue::UpdatedNew).await, json!({ "x": 4 }));
    assert_eq!(update(ReturnValue::AllOld).await, json!({ "pk": "a", "n": 1, "x": 4, "y": 0 }));
    assert_eq!(update(ReturnValue::AllNew).await, json!({ "pk": "a", "n": 1, "x": 6, "y": 0 }));
    assert_eq!(update(ReturnValue::None).await, Value::Null);

    let delete = || client.delete_item().table_name(TABLE).set_key(Some(key("a", 1)));
    let deleted = delete().return_values(ReturnValue::AllOld).send().await.expect("deleted").attributes;
    assert_eq!(plain_item(&deleted.expect("the old item"))["x"], 7);
    let again = delete().return_values(ReturnValue::AllOld).send().await.expect("deleted").attributes;
    assert!(again.is_none(), "deleting what is not there is no error");
    // An update makes the item that is not there.
    assert_eq!(update(ReturnValue::AllNew).await, json!({ "pk": "a", "n": 1, "x": 1 }));
    running.stop().await;
}

#[tokio::test]
async fn items_that_may_not_be_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let told = async |json: Value| {
        let put = running.dynamodb.put_item().table_name(TABLE).set_item(Some(item(&json)));
        match put.send().await {
            Ok(_) => "accepted".to_owned(),
            Err(error) => {
                let error = error.into_service_error();
                assert_eq!(error.code(), Some("ValidationException"), "{error:?}");
                error.message().unwrap_or_default().to_owned()
            }
        }
    };
    let check = async |json: Value, expect: &str| {
        let told = told(json).await;
        assert!(told.contains(expect), "{told}");
    };
    check(json!({ "pk": "a" }), "Missing the key n in the item").await;
    check(json!({ "pk": "a", "n": "1" }), "Type mismatch for key n expected: N actual: S").await;
    check(json!({ "pk": "", "n": 1 }), "empty string value").await;
    check(json!({ "pk": "a", "n": 1, "x": { "$ss": [] } }), "An string set  may not be empty").await;
    check(json!({ "pk": "a", "n": 1, "x": { "$ss": ["b", "b"] } }), "duplicates").await;
    check(json!({ "pk": "a", "n": 1, "x": "y".repeat(400 * 1024) }), "Item size has exceeded the maximum allowed size")
        .await;
    check(json!({ "pk": "a", "n": 1, "x": "", "l": [], "m": {} }), "accepted").await;
    running.stop().await;
}

#[tokio::test]
async fn numbers_keep_thirty_eight_digits_and_no_more() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let client = &running.dynamodb;
    let put = |digits: usize| {
        let number = aws_sdk_dynamodb::types::AttributeValue::N("1".repeat(digits));
        client.put_item().table_name(TABLE).set_item(Some(key("a", 1))).item("x", number).send()
    };
    put(38).await.expect("put");
    let got = client.get_item().table_name(TABLE).set_key(Some(key("a", 1))).send().await.expect("got");
    assert_eq!(got.item().and_then(|item| item.get("x")).and_then(|x| x.as_n().ok()), Some(&"1".repeat(38)));
    let error = put(39).await.expect_err("too long").into_service_error();
    assert_eq!(error.code(), Some("ValidationException"), "{error:?}");
    running.stop().await;
}

#[tokio::test]
async fn capacity_is_counted_by_size() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let client = &running.dynamodb;
    let put = client.put_item().table_name(TABLE).set_item(Some(key("a", 1)));
    let put = put.item("x", value(&json!("y".repeat(2_000)))).return_consumed_capacity(ReturnConsumedCapacity::Total);
    let written = put.send().await.expect("put").consumed_capacity.and_then(|consumed| consumed.capacity_units);
    assert_eq!(written, Some(2.0));
    let read = async |consistent: bool| {
        let get = client.get_item().table_name(TABLE).set_key(Some(key("a", 1))).consistent_read(consistent);
        let got = get.return_consumed_capacity(ReturnConsumedCapacity::Total).send().await.expect("got");
        got.consumed_capacity.and_then(|consumed| consumed.capacity_units)
    };
    assert_eq!(read(true).await, Some(1.0));
    assert_eq!(read(false).await, Some(0.5));
    running.stop().await;
}

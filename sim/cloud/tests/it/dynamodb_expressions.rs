//! Expressions of DynamoDB through the SDK: conditions, updates and projections as rows of text and outcome.
//!
//! Attribute names begin with `x_`, so that none is a reserved word by chance.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{
    AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure, Select, StreamViewType,
};
use serde_json::{Value, json};

use crate::Running;
use crate::dynamodb::{create_table, key};

pub(crate) const TABLE: &str = "table-t";

/// A value as DynamoDB has it: JSON's own types, and `{"$ss": …}`, `{"$ns": …}`, `{"$b": …}` for what JSON has not.
pub(crate) fn value(json: &Value) -> AttributeValue {
    let texts = |list: &Value| -> Vec<String> {
        let elements = list.as_array().into_iter().flatten();
        elements.map(|element| element.as_str().map_or_else(|| element.to_string(), str::to_owned)).collect()
    };
    match json {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(flag) => AttributeValue::Bool(*flag),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Array(elements) => AttributeValue::L(elements.iter().map(value).collect()),
        Value::Object(members) => match members.iter().next() {
            Some((name, list)) if name == "$ss" => AttributeValue::Ss(texts(list)),
            Some((name, list)) if name == "$ns" => AttributeValue::Ns(texts(list)),
            Some((name, text)) if name == "$b" => AttributeValue::B(Blob::new(text.as_str().unwrap_or_default())),
            _ => AttributeValue::M(item(json)),
        },
    }
}

/// An item or a map out of a JSON object.
pub(crate) fn item(json: &Value) -> HashMap<String, AttributeValue> {
    json.as_object().into_iter().flatten().map(|(name, member)| (name.clone(), value(member))).collect()
}

/// The JSON form of a value; sets are sorted.
pub(crate) fn plain(value: &AttributeValue) -> Value {
    let sorted = |texts: &[String]| {
        let mut texts = texts.to_vec();
        texts.sort();
        texts
    };
    match value {
        AttributeValue::S(text) => json!(text),
        AttributeValue::N(number) => number.parse::<i64>().map_or_else(|_| json!(number), |number| json!(number)),
        AttributeValue::Bool(flag) => json!(flag),
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::L(elements) => elements.iter().map(plain).collect(),
        AttributeValue::M(members) => plain_item(members),
        AttributeValue::Ss(texts) => json!({ "$ss": sorted(texts) }),
        AttributeValue::Ns(numbers) => {
            json!({ "$ns": sorted(numbers).iter().filter_map(|number| number.parse().ok()).collect::<Vec<i64>>() })
        }
        other => panic!("no plain form: {other:?}"),
    }
}

pub(crate) fn plain_item(members: &HashMap<String, AttributeValue>) -> Value {
    Value::Object(members.iter().map(|(name, member)| (name.clone(), plain(member))).collect())
}

/// Values of expressions: `:name` for each member.
pub(crate) fn values(json: &Value) -> Option<HashMap<String, AttributeValue>> {
    let named = item(json).into_iter().map(|(name, value)| (format!(":{name}"), value));
    Some(named.collect::<HashMap<_, _>>()).filter(|values| !values.is_empty())
}

fn sample() -> Value {
    json!({
        "pk": "a", "n": 1, "x_n": 1, "x_name": "Ada", "x_flag": true, "x_null": null, "x_tags": ["x", "y"],
        "x_addr": { "x_city": "Rio", "x_zip": { "x_code": "20" } }, "x_set": { "$ss": ["a", "b"] },
        "x_nums": { "$ns": [1, 2] }, "status": "NEW",
    })
}

async fn put_sample(client: &Client) {
    client.put_item().table_name(TABLE).set_item(Some(item(&sample()))).send().await.expect("put");
}

async fn running(dir: &std::path::Path) -> Running {
    let running = Running::start(dir).await;
    create_table(&running.dynamodb, TABLE, StreamViewType::NewImage).await;
    put_sample(&running.dynamodb).await;
    running
}

#[tokio::test]
async fn conditions_hold_or_do_not() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let check = async |expression: &str, given: Value, expect: bool| {
        let scan = running.dynamodb.scan().table_name(TABLE).filter_expression(expression);
        let scan = scan.set_expression_attribute_values(values(&given)).select(Select::Count);
        let is_aliased = expression.contains("#status");
        let scan = if is_aliased { scan.expression_attribute_names("#status", "status") } else { scan };
        let found = scan.send().await.unwrap_or_else(|error| panic!("{expression}: {error:?}"));
        assert_eq!(found.count() == 1, expect, "{expression}");
    };
    check("size(x_tags) = :two", json!({ "two": 2 }), true).await;
    check("size(x_name) = :three", json!({ "three": 3 }), true).await;
    check("size(x_set) = :two", json!({ "two": 2 }), true).await;
    check("size(x_addr) = :two", json!({ "two": 2 }), true).await;
    check("size(x_addr.x_zip.x_code) > :two", json!({ "two": 2 }), false).await;
    check("contains(x_tags, :x)", json!({ "x": "x" }), true).await;
    check("contains(x_tags, :z)", json!({ "z": "z" }), false).await;
    check("contains(x_set, :a)", json!({ "a": "a" }), true).await;
    check("contains(x_nums, :two)", json!({ "two": 2 }), true).await;
    check("contains(x_name, :da)", json!({ "da": "da" }), true).await;
    check("begins_with(x_name, :ad)", json!({ "ad": "Ad" }), true).await;
    check("begins_with(x_name, :da)", json!({ "da": "da" }), false).await;
    check("attribute_type(x_addr, :m)", json!({ "m": "M" }), true).await;
    check("attribute_type(x_null, :null)", json!({ "null": "NULL" }), true).await;
    check("attribute_type(x_tags, :s)", json!({ "s": "S" }), false).await;
    check("attribute_exists(x_addr.x_zip.x_code)", json!({}), true).await;
    check("attribute_not_exists(x_addr.x_street)", json!({}), true).await;
    check("attribute_exists(x_tags[1]) AND attribute_not_exists(x_tags[2])", json!({}), true).await;
    check("x_addr.x_city = :rio AND x_tags[0] = :x", json!({ "rio": "Rio", "x": "x" }), true).await;
    check("x_n BETWEEN :zero AND :one", json!({ "zero": 0, "one": 1 }), true).await;
    check("x_n IN (:zero, :one)", json!({ "zero": 0, "one": 1 }), true).await;
    check("x_n IN (:zero)", json!({ "zero": 0 }), false).await;
    check("NOT x_n > :one", json!({ "one": 1 }), true).await;
    check("x_n <> :zero AND (x_flag = :no OR x_n = :one)", json!({ "zero": 0, "one": 1, "no": false }), true).await;
    check("x_n = :one OR x_n = :zero AND x_flag = :no", json!({ "zero": 0, "one": 1, "no": false }), true).await;
    check("x_n = :text", json!({ "text": "1" }), false).await;
    check("x_n < :text", json!({ "text": "9" }), false).await;
    check("x_absent <> :one", json!({ "one": 1 }), true).await;
    check("x_absent = :one", json!({ "one": 1 }), false).await;
    check("x_set = :same", json!({ "same": { "$ss": ["b", "a"] } }), true).await;
    check("x_addr = :same", json!({ "same": { "x_zip": { "x_code": "20" }, "x_city": "Rio" } }), true).await;
    check("#status = :new", json!({ "new": "NEW" }), true).await;
    running.stop().await;
}

#[tokio::test]
async fn updates_change_what_they_say() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    // `changed` is what differs from the sample; null stands for an attribute that is gone.
    let check = async |expression: &str, given: Value, changed: Value| {
        put_sample(&running.dynamodb).await;
        let update = running.dynamodb.update_item().table_name(TABLE).set_key(Some(key("a", 1)));
        let update = update.update_expression(expression).set_expression_attribute_values(values(&given));
        let sent = update.return_values(ReturnValue::AllNew).send().await;
        let updated = sent.unwrap_or_else(|error| panic!("{expression}: {error:?}")).attributes.expect("attributes");
        let mut expected = sample();
        for (name, member) in changed.as_object().into_iter().flatten() {
            match member {
                Value::Null => drop(expected.as_object_mut().and_then(|item| item.remove(name))),
                member => expected[name] = member.clone(),
            }
        }
        assert_eq!(plain_item(&updated), expected, "{expression}");
    };
    let one = || json!({ "one": 1 });
    check("SET x_n = x_n + :one", one(), json!({ "x_n": 2 })).await;
    check("SET x_n = x_n - :one", one(), json!({ "x_n": 0 })).await;
    check("SET x_n = :one - x_n", one(), json!({ "x_n": 0 })).await;
    check("SET x_tags = list_append(x_tags, :more)", json!({ "more": ["z"] }), json!({ "x_tags": ["x", "y", "z"] }))
        .await;
    check("SET x_tags = list_append(:more, x_tags)", json!({ "more": ["z"] }), json!({ "x_tags": ["z", "x", "y"] }))
        .await;
    check("SET x_new = if_not_exists(x_new, :one)", one(), json!({ "x_new": 1 })).await;
    check("SET x_new = if_not_exists(x_n, :nine)", json!({ "nine": 9 }), json!({ "x_new": 1 })).await;
    check("SET x_new = if_not_exists(x_new, :one) + :one", one(), json!({ "x_new": 2 })).await;
    check(
        "SET x_addr.x_city = :sp",
        json!({ "sp": "São Paulo" }),
        json!({ "x_addr": { "x_city": "São Paulo", "x_zip": { "x_code": "20" } } }),
    )
    .await;
    check("SET x_tags[1] = :z", json!({ "z": "z" }), json!({ "x_tags": ["x", "z"] })).await;
    check("SET x_tags[9] = :z", json!({ "z": "z" }), json!({ "x_tags": ["x", "y", "z"] })).await;
    // Every operand is what it was before the update.
    check("SET x_n = :five, x_copy = x_n", json!({ "five": 5 }), json!({ "x_n": 5, "x_copy": 1 })).await;
    check("REMOVE x_tags[0]", json!({}), json!({ "x_tags": ["y"] })).await;
    check("REMOVE x_addr.x_zip.x_code", json!({}), json!({ "x_addr": { "x_city": "Rio", "x_zip": {} } })).await;
    check("REMOVE x_name, x_absent", json!({}), json!({ "x_name": null })).await;
    check("ADD x_n :one", one(), json!({ "x_n": 2 })).await;
    check("ADD x_counter :one", one(), json!({ "x_counter": 1 })).await;
    check("ADD x_set :more", json!({ "more": { "$ss": ["b", "c"] } }), json!({ "x_set": { "$ss": ["a", "b", "c"] } }))
        .await;
    check("DELETE x_set :less", json!({ "less": { "$ss": ["b", "z"] } }), json!({ "x_set": { "$ss": ["a"] } })).await;
    check("DELETE x_nums :all", json!({ "all": { "$ns": [1, 2] } }), json!({ "x_nums": null })).await;
    check(
        "SET x_name = :bob REMOVE x_flag ADD x_n :one DELETE x_set :less",
        json!({ "bob": "Bob", "one": 1, "less": { "$ss": ["a"] } }),
        json!({ "x_name": "Bob", "x_flag": null, "x_n": 2, "x_set": { "$ss": ["b"] } }),
    )
    .await;
    running.stop().await;
}

#[tokio::test]
async fn updates_that_make_no_sense_are_refused_and_change_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let check = async |expression: &str, given: Value, expect: &str| {
        let update = running.dynamodb.update_item().table_name(TABLE).set_key(Some(key("a", 1)));
        let update = update.update_expression(expression).set_expression_attribute_values(values(&given));
        let error = update.send().await.expect_err(expression).into_service_error();
        assert_eq!(error.code(), Some("ValidationException"), "{expression}");
        let told = error.message().unwrap_or_default();
        assert!(told.contains(expect), "{expression}: {told}");
    };
    let one = || json!({ "one": 1 });
    check("SET x_addr.x_no.x_deep = :one", one(), "The document path provided in the update expression is invalid")
        .await;
    check("SET x_n = :one, x_n = :one", one(), "Two document paths overlap with each other").await;
    check("SET x_addr = :one, x_addr.x_city = :one", one(), "Two document paths overlap with each other").await;
    check("SET x_n = x_absent + :one", one(), "does not exist in the item").await;
    check("SET x_n = x_name + :one", one(), "incorrect data type").await;
    check("ADD x_name :one", one(), "incorrect data type").await;
    check("SET pk = :one", one(), "This attribute is part of the key").await;
    check("SET status = :one", one(), "Attribute name is a reserved keyword; reserved keyword: status").await;
    check("SET x_n = :two", json!({}), "An expression attribute value used in expression is not defined").await;
    check("SET x_n = :one", json!({ "one": 1, "two": 2 }), "unused in expressions").await;
    check("SET x_n = ", one(), "Syntax error").await;
    let kept = running.dynamodb.get_item().table_name(TABLE).set_key(Some(key("a", 1))).send().await.expect("got");
    assert_eq!(plain_item(&kept.item.expect("the item")), sample());
    running.stop().await;
}

#[tokio::test]
async fn projections_cut_nested_paths_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let check = async |expression: &str, expect: Value| {
        let get = running.dynamodb.get_item().table_name(TABLE).set_key(Some(key("a", 1)));
        let get = get.projection_expression(expression);
        let get = if expression.contains('#') { get.expression_attribute_names("#s", "status") } else { get };
        let got = get.send().await.unwrap_or_else(|error| panic!("{expression}: {error:?}"));
        assert_eq!(plain_item(&got.item.unwrap_or_default()), expect, "{expression}");
    };
    check("x_n", json!({ "x_n": 1 })).await;
    check("x_addr.x_city, x_tags[1]", json!({ "x_addr": { "x_city": "Rio" }, "x_tags": ["y"] })).await;
    check("x_addr.x_zip.x_code, #s", json!({ "x_addr": { "x_zip": { "x_code": "20" } }, "status": "NEW" })).await;
    check("x_n, x_absent, x_tags[7]", json!({ "x_n": 1 })).await;
    running.stop().await;
}

#[tokio::test]
async fn a_failed_condition_shows_the_old_item_when_it_is_asked_to() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let delete = |shown: ReturnValuesOnConditionCheckFailure| {
        let delete = running.dynamodb.delete_item().table_name(TABLE).set_key(Some(key("a", 1)));
        let delete =
            delete.condition_expression("x_n = :nine").set_expression_attribute_values(values(&json!({ "nine": 9 })));
        delete.return_values_on_condition_check_failure(shown).send()
    };
    let failed = |error: aws_sdk_dynamodb::operation::delete_item::DeleteItemError| match error {
        aws_sdk_dynamodb::operation::delete_item::DeleteItemError::ConditionalCheckFailedException(failed) => failed,
        other => panic!("not a failed condition: {other:?}"),
    };
    let error = delete(ReturnValuesOnConditionCheckFailure::AllOld).await.expect_err("the condition fails");
    let shown = failed(error.into_service_error());
    assert_eq!(shown.message(), Some("The conditional request failed"));
    assert_eq!(plain_item(shown.item().expect("the item")), sample());
    let error = delete(ReturnValuesOnConditionCheckFailure::None).await.expect_err("the condition fails");
    assert!(failed(error.into_service_error()).item().is_none());
    running.stop().await;
}

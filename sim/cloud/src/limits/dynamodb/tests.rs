//! Capacity by hand: the store is a closure that says what it consumed.

use lakebed_contract::{Seed, Timestamp};

use super::*;

struct Case {
    limits: DynamoDbLimits,
    clock: Clock,
}

fn table(units: u64) -> Value {
    json!({
        "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
        "ProvisionedThroughput": { "ReadCapacityUnits": units, "WriteCapacityUnits": units },
    })
}

impl Case {
    fn new() -> Self {
        let clock = Clock::virtual_at(Timestamp::from_seconds(1_700_000_000));
        let mut config = CloudConfig::new("nowhere", clock.clone(), Seed(7));
        config.limits = Limits::Aws;
        Self { limits: DynamoDbLimits::new(&config), clock }
    }

    fn run(&self, operation: &str, body: &Value, answer: &Value) -> Result<Value, Throttled> {
        let describe = |name: &str| match name {
            "one" => Some(table(1)),
            "ten" => Some(table(10)),
            "demand" => {
                let mut description = table(0);
                description["BillingModeSummary"] = json!({ "BillingMode": "PAY_PER_REQUEST" });
                Some(description)
            }
            _ => None,
        };
        let work = |body: &str| {
            assert!(body.contains(r#""ReturnConsumedCapacity":"INDEXES""#), "{body}");
            Ok(answer.to_string())
        };
        let answer = self.limits.run(operation, &body.to_string(), describe, work)?;
        Ok(serde_json::from_str(&answer).expect("JSON"))
    }

    fn put(&self, table: &str, key: &str, units: f64) -> Result<Value, Throttled> {
        let body = json!({ "TableName": table, "Item": { "pk": { "S": key } } });
        self.run("PutItem", &body, &json!({ "ConsumedCapacity": consumed(table, units) }))
    }
}

fn consumed(table: &str, units: f64) -> Value {
    json!({ "TableName": table, "CapacityUnits": units, "Table": { "CapacityUnits": units } })
}

#[test]
fn five_minutes_are_saved_up_and_a_debt_is_waited_for() {
    let case = Case::new();
    assert_eq!(case.put("one", "k", 299.0).expect("admitted"), json!({}), "nobody asked what it consumed");
    case.put("one", "k", 11.0).expect("the last unit is enough");
    let refused = case.put("one", "k", 1.0).expect_err("ten units of debt");
    assert_eq!(refused.code, "ProvisionedThroughputExceededException");
    case.clock.advance(Duration::from_secs(10));
    case.put("one", "k", 1.0).expect_err("the debt is just paid");
    case.clock.advance(Duration::from_secs(1));
    case.put("one", "k", 1.0).expect("admitted");
}

#[test]
fn a_hot_key_is_throttled_alone() {
    let case = Case::new();
    case.put("demand", "hot", 1_000.0).expect("admitted");
    let refused = case.put("demand", "hot", 1.0).expect_err("a second's worth is used up");
    assert_eq!(refused.code, "ThrottlingException");
    case.put("demand", "cold", 1.0).expect("another partition");
}

#[test]
fn a_batch_leaves_the_throttled_table_and_refuses_when_all_are() {
    let case = Case::new();
    case.put("one", "k", 300.0).expect("admitted");
    let batch = |table: &str| json!([{ "PutRequest": { "Item": { "pk": { "S": table } } } }]);
    let body = json!({ "RequestItems": { "one": batch("one"), "ten": batch("ten") } });
    let answer = json!({ "UnprocessedItems": {}, "ConsumedCapacity": [consumed("ten", 1.0)] });
    let told = case.run("BatchWriteItem", &body, &answer).expect("in part");
    assert_eq!(told, json!({ "UnprocessedItems": { "one": batch("one") } }));
    let body = json!({ "RequestItems": { "one": batch("one") } });
    let refused = case.run("BatchWriteItem", &body, &answer).expect_err("nothing can be done");
    assert_eq!(refused.code, "ProvisionedThroughputExceededException");
}

#[test]
fn a_transaction_is_cancelled_with_a_reason_for_each_item() {
    let case = Case::new();
    case.put("one", "k", 300.0).expect("admitted");
    let put = |table: &str| json!({ "Put": { "TableName": table, "Item": {} } });
    let body = json!({ "TransactItems": [put("ten"), put("one"), put("nowhere")] });
    let refused = case.run("TransactWriteItems", &body, &json!({})).expect_err("cancelled");
    let told: Value = serde_json::from_str(&refused.to_json()).expect("JSON");
    assert_eq!(told["__type"], "com.amazonaws.dynamodb.v20120810#TransactionCanceledException");
    assert_eq!(told["CancellationReasons"][1]["Code"], "ProvisionedThroughputExceeded");
    assert!(told["Message"].as_str().expect("text").ends_with("[None, ProvisionedThroughputExceeded, None]"));
}

#[test]
fn the_answer_tells_what_was_asked_for() {
    let case = Case::new();
    let answer = json!({ "ConsumedCapacity": consumed("ten", 0.5) });
    let get = |wanted: &str| {
        let body = json!({ "TableName": "ten", "Key": {}, "ReturnConsumedCapacity": wanted });
        case.run("GetItem", &body, &answer).expect("admitted")
    };
    assert_eq!(get("NONE"), json!({}));
    assert_eq!(get("TOTAL"), json!({ "ConsumedCapacity": { "TableName": "ten", "CapacityUnits": 0.5 } }));
    assert_eq!(get("INDEXES"), answer);
}

#[test]
fn an_index_in_debt_stops_writes_to_its_table_and_reads_of_itself() {
    let case = Case::new();
    let mut description = table(10);
    description["GlobalSecondaryIndexes"] = json!([{ "IndexName": "by", "ProvisionedThroughput":
        { "ReadCapacityUnits": 1, "WriteCapacityUnits": 1 } }]);
    let run = |operation: &str, body: Value, answer: Value| {
        case.limits.run(
            operation,
            &body.to_string(),
            |_| Some(description.clone()),
            |_| Ok::<_, Throttled>(answer.to_string()),
        )
    };
    let of_index = |units: f64| {
        let mut consumed = consumed("t", 1.0);
        consumed["GlobalSecondaryIndexes"] = json!({ "by": { "CapacityUnits": units } });
        json!({ "ConsumedCapacity": consumed })
    };
    let put = || run("PutItem", json!({ "TableName": "t", "Item": {} }), of_index(300.0));
    put().expect("admitted");
    let refused = put().expect_err("the index is in debt");
    assert!(refused.message.contains("global secondary indexes"), "{}", refused.message);
    run("Query", json!({ "TableName": "t", "IndexName": "by" }), of_index(300.0)).expect("reads are counted apart");
    run("Query", json!({ "TableName": "t", "IndexName": "by" }), of_index(1.0)).expect_err("now they are used up too");
    run("Query", json!({ "TableName": "t" }), json!({})).expect("the table itself is not");
}

#[test]
fn a_third_reader_of_a_shard_waits_for_one_to_leave() {
    let case = Case::new();
    let (one, _two) = (case.limits.reader("shard").expect("first"), case.limits.reader("shard").expect("second"));
    let refused = case.limits.reader("shard").expect_err("third");
    assert_eq!(refused.code, "LimitExceededException");
    assert!(case.limits.reader("another").is_ok());
    drop(one);
    assert!(case.limits.reader("shard").is_ok());
}

//! Query and Scan of DynamoDB through the SDK: key conditions, order, filters, pages, indexes.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, LocalSecondaryIndex, Projection,
    ProjectionType, ScalarAttributeType, Select,
};
use serde_json::{Value, json};

use crate::Running;
use crate::dynamodb_expressions::{TABLE, item, plain_item, values};

fn key_schema(hash: &str, range: &str) -> Vec<KeySchemaElement> {
    let element = |name: &str, kind: KeyType| {
        KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("a key element")
    };
    vec![element(hash, KeyType::Hash), element(range, KeyType::Range)]
}

/// A table of `pk` and `sk`, both text, with an index of either kind over the number `x_rank`.
async fn create(client: &Client) {
    let attribute = |name: &str, kind: ScalarAttributeType| {
        AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().expect("an attribute")
    };
    let keys_only = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
    let all = Projection::builder().projection_type(ProjectionType::All).build();
    let local = LocalSecondaryIndex::builder().index_name("by-rank").projection(all);
    let global = GlobalSecondaryIndex::builder().index_name("by-kind").projection(keys_only);
    client
        .create_table()
        .table_name(TABLE)
        .attribute_definitions(attribute("pk", ScalarAttributeType::S))
        .attribute_definitions(attribute("sk", ScalarAttributeType::S))
        .attribute_definitions(attribute("x_rank", ScalarAttributeType::N))
        .attribute_definitions(attribute("x_kind", ScalarAttributeType::S))
        .set_key_schema(Some(key_schema("pk", "sk")))
        .local_secondary_indexes(local.set_key_schema(Some(key_schema("pk", "x_rank"))).build().expect("an index"))
        .global_secondary_indexes(
            global.set_key_schema(Some(key_schema("x_kind", "x_rank"))).build().expect("an index"),
        )
        .billing_mode(BillingMode::PayPerRequest)
        .send()
        .await
        .expect("created");
}

async fn running(dir: &std::path::Path) -> Running {
    let running = Running::start(dir).await;
    create(&running.dynamodb).await;
    for (pk, sk, rank, kind) in [
        ("a", "2024-01", Some(3), "odd"),
        ("a", "2024-02", Some(2), "even"),
        ("a", "2025-01", Some(1), "odd"),
        ("a", "2025-02", None, "even"),
        ("b", "2024-01", Some(9), "odd"),
    ] {
        let mut row = json!({ "pk": pk, "sk": sk, "x_kind": kind });
        if let Some(rank) = rank {
            row["x_rank"] = json!(rank);
        }
        let put = running.dynamodb.put_item().table_name(TABLE).set_item(Some(item(&row)));
        put.send().await.expect("put");
    }
    running
}

fn query(client: &Client, condition: &str, given: &Value) -> QueryFluentBuilder {
    let query = client.query().table_name(TABLE).key_condition_expression(condition);
    query.set_expression_attribute_values(values(given))
}

async fn sort_keys(query: QueryFluentBuilder) -> String {
    let found = query.send().await.expect("queried");
    let keys = found.items().iter().map(|item| item["sk"].as_s().expect("text").clone());
    keys.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn key_conditions_choose_by_the_sort_key() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let check = async |condition: &str, given: Value, expect: &str| {
        assert_eq!(sort_keys(query(&running.dynamodb, condition, &given)).await, expect, "{condition}");
    };
    check("pk = :a", json!({ "a": "a" }), "2024-01 2024-02 2025-01 2025-02").await;
    check("pk = :a AND sk = :s", json!({ "a": "a", "s": "2024-02" }), "2024-02").await;
    check("pk = :a AND sk < :s", json!({ "a": "a", "s": "2024-02" }), "2024-01").await;
    check("pk = :a AND sk >= :s", json!({ "a": "a", "s": "2025-01" }), "2025-01 2025-02").await;
    check("pk = :a AND begins_with(sk, :s)", json!({ "a": "a", "s": "2024" }), "2024-01 2024-02").await;
    check("pk = :a AND sk BETWEEN :s AND :t", json!({ "a": "a", "s": "2024-02", "t": "2025-01" }), "2024-02 2025-01")
        .await;
    check("pk = :z", json!({ "z": "z" }), "").await;
    let backwards = query(&running.dynamodb, "pk = :a", &json!({ "a": "a" })).scan_index_forward(false);
    assert_eq!(sort_keys(backwards).await, "2025-02 2025-01 2024-02 2024-01");
    running.stop().await;
}

#[tokio::test]
async fn a_filter_counts_what_it_looked_at_and_a_limit_is_of_that() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let filtered = |limit: Option<i32>| {
        let query = query(&running.dynamodb, "pk = :a", &json!({ "a": "a", "odd": "odd" }));
        query.filter_expression("x_kind = :odd").set_limit(limit)
    };
    let all = filtered(None).send().await.expect("queried");
    assert_eq!((all.count(), all.scanned_count()), (2, 4));
    assert!(all.last_evaluated_key().is_none());
    let page = filtered(Some(2)).send().await.expect("queried");
    assert_eq!((page.count(), page.scanned_count()), (1, 2));
    let next = filtered(Some(2)).set_exclusive_start_key(page.last_evaluated_key).send().await.expect("queried");
    assert_eq!((next.count(), next.scanned_count()), (1, 2));
    let counted = filtered(None).select(Select::Count).send().await.expect("queried");
    assert_eq!((counted.count(), counted.items().len()), (2, 0));
    running.stop().await;
}

#[tokio::test]
async fn indexes_hold_the_items_that_have_their_keys() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let local = query(&running.dynamodb, "pk = :a", &json!({ "a": "a" })).index_name("by-rank");
    assert_eq!(sort_keys(local).await, "2025-01 2024-02 2024-01");
    let global = query(&running.dynamodb, "x_kind = :odd AND x_rank > :one", &json!({ "odd": "odd", "one": 1 }));
    let found = global.index_name("by-kind").send().await.expect("queried");
    let found: Vec<Value> = found.items().iter().map(plain_item).collect();
    // Keys of the index and of the table, and nothing else.
    assert_eq!(
        found,
        [
            json!({ "pk": "a", "sk": "2024-01", "x_kind": "odd", "x_rank": 3 }),
            json!({ "pk": "b", "sk": "2024-01", "x_kind": "odd", "x_rank": 9 }),
        ]
    );
    let scanned = running.dynamodb.scan().table_name(TABLE).index_name("by-kind").send().await.expect("scanned");
    assert_eq!(scanned.count(), 4, "an item without the index's key is not in it");
    running.stop().await;
}

#[tokio::test]
async fn segments_of_a_scan_share_the_table_out() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let mut found = Vec::new();
    for segment in 0..3 {
        let scan = running.dynamodb.scan().table_name(TABLE).total_segments(3).segment(segment);
        let page = scan.send().await.expect("scanned");
        found.extend(page.items().iter().map(|item| (plain_item(item)["pk"].clone(), plain_item(item)["sk"].clone())));
    }
    let distinct: std::collections::BTreeSet<String> = found.iter().map(|(pk, sk)| format!("{pk}{sk}")).collect();
    assert_eq!((found.len(), distinct.len()), (5, 5));
    running.stop().await;
}

#[tokio::test]
async fn conditions_that_no_query_may_have_are_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = running(dir.path()).await;
    let check = async |query: QueryFluentBuilder, expect: &str| {
        let error = query.send().await.expect_err(expect).into_service_error();
        assert_eq!(error.code(), Some("ValidationException"), "{error:?}");
        let told = error.message().unwrap_or_default();
        assert!(told.contains(expect), "{told}");
    };
    let client = &running.dynamodb;
    check(query(client, "sk = :s", &json!({ "s": "2024-01" })), "Query condition missed key schema element: pk").await;
    check(
        query(client, "pk = :a AND sk > :s AND sk < :t", &json!({ "a": "a", "s": "1", "t": "2" })),
        "KeyConditionExpressions must only contain one condition per key",
    )
    .await;
    check(
        query(client, "pk = :a", &json!({ "a": "a", "s": "1" })).filter_expression("sk = :s"),
        "Filter Expression can only contain non-primary key attributes",
    )
    .await;
    check(query(client, "pk = :a", &json!({ "a": "a" })).index_name("no-such"), "no-such").await;
    running.stop().await;
}

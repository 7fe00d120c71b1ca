//! Calls of DynamoDB. What is timed goes over the bare wire; everything around it through the SDK.

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{self as dynamo, AttributeValue};
use bytes::Bytes;
use http::StatusCode;
use lakebed_contract::Clock;
use serde_json::{Value, json};

use super::connections::Plan;
use super::wire::{Answer, Ask, Service};
use super::{ACTIVE_LOOK_PAUSE, ACTIVE_LOOKS_MAX, Calls, key, never_active, reply};
use crate::bench::order::Reply;
use crate::error::HarnessError;

/// Items of one partition, which a query reads.
const ITEMS_QUERIED: u32 = 100;
/// Bytes of the answer to such a query: an item has 101, with its comma.
pub(super) const QUERY_ANSWER_BYTES: usize = 101 * ITEMS_QUERIED as usize;
const CREATE: &str = "create a table";

impl Calls {
    async fn table(&self, has_sort_key: bool) -> Result<aws_sdk_dynamodb::Client, HarnessError> {
        let config = self.endpoints.sdk_config(&self.endpoints.dynamodb_url).into_builder();
        let db = aws_sdk_dynamodb::Client::new(&config.retry_config(RetryConfig::disabled()).build());
        create_table(&db, &self.name, has_sort_key, &self.timer.clock).await?;
        Ok(db)
    }

    pub(super) fn put_item_calls(&self) -> Plan {
        let table = self.name.clone();
        let ask = move |at: u32| Ask::Json("PutItem", bytes(&json!({"TableName": table, "Item": record(at, at)})));
        Plan::new(Service::DynamoDb, self.operations, ask)
    }

    pub(super) fn conditional_put_calls(&self) -> Plan {
        let (table, operations) = (self.name.clone(), self.operations);
        let ask = move |at: u32| {
            // The second half meets the first's keys.
            let put = json!({
                "TableName": table, "Item": record(at % operations, at),
                "ConditionExpression": "attribute_not_exists(pk)",
            });
            Ask::Json("PutItem", bytes(&put))
        };
        Plan::new(Service::DynamoDb, operations * 2, ask)
    }

    /// Each connection has an item of its own, whose version only it moves.
    pub(super) fn conditional_update_calls(&self) -> Plan {
        let (table, connections) = (self.name.clone(), self.connections);
        let ask = move |at: u32| {
            let (item, now) = (at % connections, at / connections);
            let update = json!({
                "TableName": table, "Key": {"pk": {"S": key(item)}},
                "UpdateExpression": "SET size_bytes = :next", "ConditionExpression": "size_bytes = :now",
                "ExpressionAttributeValues": {":now": {"N": now.to_string()}, ":next": {"N": (now + 1).to_string()}},
            });
            Ask::Json("UpdateItem", bytes(&update))
        };
        Plan::new(Service::DynamoDb, self.operations, ask)
    }

    pub(super) fn query_calls(&self) -> Plan {
        let query = bytes(&json!({
            "TableName": self.name, "KeyConditionExpression": "pk = :pk", "ScanIndexForward": false,
            "ExpressionAttributeValues": {":pk": {"S": key(0)}},
        }));
        Plan::new(Service::DynamoDb, self.operations, move |_| Ask::Json("Query", query.clone()))
    }

    /// PutItem without a condition, each of a new key.
    pub(super) async fn put_items(self) -> Result<Reply, HarnessError> {
        let db = self.table(false).await?;
        let (_, figures) = self.make(self.put_item_calls(), |_, answer| answer.success().map(drop)).await?;
        Ok(reply([("items", count(&db, &self.name).await?)], figures))
    }

    /// PutItem with `attribute_not_exists`: every key once new, once refused.
    pub(super) async fn conditional_put(self) -> Result<Reply, HarnessError> {
        let db = self.table(false).await?;
        let (are_accepted, figures) = self.make(self.conditional_put_calls(), |_, answer| is_accepted(answer)).await?;
        let accepted = are_accepted.iter().filter(|is_accepted| **is_accepted).count();
        let refused = are_accepted.len() - accepted;
        let items = count(&db, &self.name).await?;
        Ok(reply([("accepted", accepted as i64), ("refused", refused as i64), ("items", items)], figures))
    }

    /// UpdateItem that moves a record from the version it has to the next.
    pub(super) async fn conditional_update(self) -> Result<Reply, HarnessError> {
        let db = self.table(false).await?;
        let mut wire = self.wire(Service::DynamoDb);
        for item in 0..self.connections {
            let put = json!({"TableName": self.name, "Item": record(item, 0)});
            wire.json("PutItem", bytes(&put)).await?.success()?;
        }
        let plan = self.conditional_update_calls();
        let (_, figures) = self.make(plan, |_, answer| answer.success().map(drop)).await?;
        let (mut versions, mut wrong) = (0, 0);
        for item in 0..self.connections {
            let version = version(&db, &self.name, item).await?;
            let made = self.operations.saturating_sub(item).div_ceil(self.connections);
            versions += version;
            wrong += i64::from(version != i64::from(made));
        }
        Ok(reply([("version", versions), ("wrong", wrong)], figures))
    }

    /// Query of one partition of a hundred items, newest first.
    pub(super) async fn query(self) -> Result<Reply, HarnessError> {
        self.table(true).await?;
        let mut wire = self.wire(Service::DynamoDb);
        for at in 0..ITEMS_QUERIED {
            let mut item = record(0, at);
            item["sk"] = json!({"N": at.to_string()});
            wire.json("PutItem", bytes(&json!({"TableName": self.name, "Item": item}))).await?.success()?;
        }
        let (pages, figures) = self.make(self.query_calls(), |_, answer| answer.success()).await?;
        let mut items = 0;
        for page in pages {
            items += page.json()?["Count"].as_i64().unwrap_or(0);
        }
        Ok(reply([("items", items)], figures))
    }
}

/// Whether a conditional put was done, or refused for its condition.
fn is_accepted(answer: Answer) -> Result<bool, HarnessError> {
    let is_refusal = answer.status == StatusCode::BAD_REQUEST
        && answer.json()?["__type"].as_str().is_some_and(|code| code.ends_with("ConditionalCheckFailedException"));
    if !is_refusal {
        answer.success()?;
    }
    Ok(!is_refusal)
}

/// The version of an item; -1 if it has none.
async fn version(db: &aws_sdk_dynamodb::Client, table: &str, item: u32) -> Result<i64, HarnessError> {
    let got = db.get_item().table_name(table).key("pk", AttributeValue::S(key(item))).consistent_read(true);
    let got = got.send().await.map_err(HarnessError::stage("read the item back"))?;
    let version = got.item().and_then(|item| item.get("size_bytes")).and_then(|value| value.as_n().ok());
    Ok(version.and_then(|text| text.parse().ok()).unwrap_or(-1))
}

/// An item of the size of a control record.
fn record(at: u32, size: u32) -> Value {
    json!({"pk": {"S": key(at)}, "status": {"S": "RECEIVED"}, "size_bytes": {"N": size.to_string()}})
}

fn bytes(request: &Value) -> Bytes {
    Bytes::from(request.to_string())
}

async fn count(db: &aws_sdk_dynamodb::Client, table: &str) -> Result<i64, HarnessError> {
    let mut items = 0;
    let count = db.scan().table_name(table).select(dynamo::Select::Count);
    let mut pages = count.into_paginator().send();
    while let Some(page) = pages.next().await {
        items += i64::from(page.map_err(HarnessError::stage("count the items"))?.count());
    }
    Ok(items)
}

async fn create_table(
    db: &aws_sdk_dynamodb::Client,
    name: &str,
    has_sort_key: bool,
    clock: &Clock,
) -> Result<(), HarnessError> {
    let mut create = db.create_table().table_name(name).billing_mode(dynamo::BillingMode::PayPerRequest);
    let mut keys = vec![("pk", dynamo::ScalarAttributeType::S, dynamo::KeyType::Hash)];
    if has_sort_key {
        keys.push(("sk", dynamo::ScalarAttributeType::N, dynamo::KeyType::Range));
    }
    for (name, kind, role) in keys {
        let attribute = dynamo::AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
        let key = dynamo::KeySchemaElement::builder().attribute_name(name).key_type(role).build();
        create = create
            .attribute_definitions(attribute.map_err(HarnessError::stage(CREATE))?)
            .key_schema(key.map_err(HarnessError::stage(CREATE))?);
    }
    create.send().await.map_err(HarnessError::stage(CREATE))?;
    for _ in 0..ACTIVE_LOOKS_MAX {
        let table = db.describe_table().table_name(name).send().await.map_err(HarnessError::stage(CREATE))?;
        if table.table().and_then(|table| table.table_status()) == Some(&dynamo::TableStatus::Active) {
            return Ok(());
        }
        clock.sleep(ACTIVE_LOOK_PAUSE).await;
    }
    Err(never_active("the table"))
}

//! Calls of DynamoDB. What is timed goes over the bare wire; everything around it through the SDK.

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::types::{self as dynamo, AttributeValue};
use bytes::Bytes;
use http::StatusCode;
use lakebed_contract::Clock;
use serde_json::{Value, json};

use super::wire::Service;
use super::{ACTIVE_LOOK_PAUSE, ACTIVE_LOOKS_MAX, Calls, key, never_active, reply};
use crate::bench::order::Reply;
use crate::error::HarnessError;

/// Items of one partition, which a query reads.
const ITEMS_QUERIED: u32 = 100;
const CREATE: &str = "create a table";

impl Calls {
    async fn table(&self, has_sort_key: bool) -> Result<aws_sdk_dynamodb::Client, HarnessError> {
        let config = self.endpoints.sdk_config(&self.endpoints.dynamodb_url).into_builder();
        let db = aws_sdk_dynamodb::Client::new(&config.retry_config(RetryConfig::disabled()).build());
        create_table(&db, &self.name, has_sort_key, &self.timer.clock).await?;
        Ok(db)
    }

    /// PutItem without a condition, each of a new key.
    pub(super) async fn put_items(mut self) -> Result<Reply, HarnessError> {
        let db = self.table(false).await?;
        let mut wire = self.wire(Service::DynamoDb);
        let window = self.timer.open();
        for at in 0..self.operations {
            let put = bytes(&json!({"TableName": self.name, "Item": record(at, at)}));
            self.timer.call(wire.json("PutItem", put)).await?.success()?;
        }
        let figures = self.timer.close(window);
        Ok(reply([("items", count(&db, &self.name).await?)], figures))
    }

    /// PutItem with `attribute_not_exists`: every key once new, once refused.
    pub(super) async fn conditional_put(mut self) -> Result<Reply, HarnessError> {
        let db = self.table(false).await?;
        let mut wire = self.wire(Service::DynamoDb);
        let window = self.timer.open();
        let (mut accepted, mut refused) = (0, 0);
        for at in 0..self.operations * 2 {
            // The second half meets the first's keys.
            let put = json!({
                "TableName": self.name, "Item": record(at % self.operations, at),
                "ConditionExpression": "attribute_not_exists(pk)",
            });
            let answer = self.timer.call(wire.json("PutItem", bytes(&put))).await?;
            let is_refusal = answer.status == StatusCode::BAD_REQUEST
                && answer.json()?["__type"]
                    .as_str()
                    .is_some_and(|code| code.ends_with("ConditionalCheckFailedException"));
            if is_refusal {
                refused += 1;
            } else {
                answer.success()?;
                accepted += 1;
            }
        }
        let figures = self.timer.close(window);
        let items = count(&db, &self.name).await?;
        Ok(reply([("accepted", accepted), ("refused", refused), ("items", items)], figures))
    }

    /// UpdateItem that moves a record from the version it has to the next.
    pub(super) async fn conditional_update(mut self) -> Result<Reply, HarnessError> {
        let db = self.table(false).await?;
        let mut wire = self.wire(Service::DynamoDb);
        wire.json("PutItem", bytes(&json!({"TableName": self.name, "Item": record(0, 0)}))).await?.success()?;
        let window = self.timer.open();
        for at in 0..self.operations {
            let update = json!({
                "TableName": self.name, "Key": {"pk": {"S": key(0)}},
                "UpdateExpression": "SET size_bytes = :next", "ConditionExpression": "size_bytes = :now",
                "ExpressionAttributeValues": {":now": {"N": at.to_string()}, ":next": {"N": (at + 1).to_string()}},
            });
            self.timer.call(wire.json("UpdateItem", bytes(&update))).await?.success()?;
        }
        let figures = self.timer.close(window);
        let got = db.get_item().table_name(&self.name).key("pk", AttributeValue::S(key(0))).consistent_read(true);
        let got = got.send().await.map_err(HarnessError::stage("read the item back"))?;
        let version = got.item().and_then(|item| item.get("size_bytes")).and_then(|value| value.as_n().ok());
        let version = version.and_then(|text| text.parse().ok()).unwrap_or(-1);
        Ok(reply([("version", version)], figures))
    }

    /// Query of one partition of a hundred items, newest first.
    pub(super) async fn query(mut self) -> Result<Reply, HarnessError> {
        self.table(true).await?;
        let mut wire = self.wire(Service::DynamoDb);
        for at in 0..ITEMS_QUERIED {
            let mut item = record(0, at);
            item["sk"] = json!({"N": at.to_string()});
            wire.json("PutItem", bytes(&json!({"TableName": self.name, "Item": item}))).await?.success()?;
        }
        let query = bytes(&json!({
            "TableName": self.name, "KeyConditionExpression": "pk = :pk", "ScanIndexForward": false,
            "ExpressionAttributeValues": {":pk": {"S": key(0)}},
        }));
        let window = self.timer.open();
        let mut items = 0;
        for _ in 0..self.operations {
            let answer = self.timer.call(wire.json("Query", query.clone())).await?.success()?.json()?;
            items += answer["Count"].as_i64().unwrap_or(0);
        }
        let figures = self.timer.close(window);
        Ok(reply([("items", items)], figures))
    }
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

//! The control table as silver needs it: which bronze files a table has, and marking consumed objects DONE.
//!
//! Promises: reads every page; marks a record only while it is BRONZE_DONE, so marking twice is harmless. Knows nothing of claims
//! and leases: those belong to ingest.

use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use futures::{StreamExt, TryStreamExt, stream};
use lakebed_contract::control::{ControlRecord, ControlValue, Status};
use lakebed_contract::layout::CONTROL_TABLE;
use lakebed_contract::{Clock, Endpoints};

use crate::error::{Result, WarehouseError};

/// Records marked at once.
const MARKS_MAX: usize = 8;

/// What silver asks of the control table.
#[async_trait]
pub(crate) trait ControlLog: Send + Sync {
    /// Records of `table` that have bronze: BRONZE_DONE or DONE.
    async fn with_bronze(&self, table: &str) -> Result<Vec<ControlRecord>>;

    /// Marks records DONE, consumed by `snapshot_id`.
    async fn mark_done(&self, records: &[ControlRecord], snapshot_id: i64) -> Result<()>;
}

/// The real one.
pub(crate) struct DynamoControlLog {
    client: Client,
    clock: Clock,
}

impl DynamoControlLog {
    /// Uses the endpoint's `dm-processing-control`.
    pub(crate) fn new(endpoints: &Endpoints, clock: Clock) -> Self {
        Self { client: Client::new(&endpoints.sdk_config(&endpoints.dynamodb_url)), clock }
    }

    async fn mark_one(&self, record: &ControlRecord, snapshot_id: i64) -> Result<()> {
        let sent = self
            .client
            .update_item()
            .table_name(CONTROL_TABLE)
            .key("pk", AttributeValue::S(record.pk.clone()))
            .update_expression("SET #s = :done, snapshot_id = :snapshot, updated_at = :now")
            .condition_expression("#s = :bronze_done")
            .expression_attribute_names("#s", "status")
            .expression_attribute_values(":done", AttributeValue::S(Status::Done.as_str().to_owned()))
            .expression_attribute_values(":bronze_done", AttributeValue::S(Status::BronzeDone.as_str().to_owned()))
            .expression_attribute_values(":snapshot", AttributeValue::N(snapshot_id.to_string()))
            .expression_attribute_values(":now", AttributeValue::N(self.clock.now().0.to_string()))
            .send()
            .await;
        match sent {
            Ok(_) => Ok(()),
            Err(error) => match error.into_service_error() {
                // Somebody else marked it after the same commit.
                refused if refused.is_conditional_check_failed_exception() => Ok(()),
                other => Err(failed("mark control records DONE", other)),
            },
        }
    }
}

#[async_trait]
impl ControlLog for DynamoControlLog {
    async fn with_bronze(&self, table: &str) -> Result<Vec<ControlRecord>> {
        let mut pages = self
            .client
            .scan()
            .table_name(CONTROL_TABLE)
            .consistent_read(true)
            .filter_expression("#t = :table AND #s IN (:bronze_done, :done)")
            .expression_attribute_names("#t", "table")
            .expression_attribute_names("#s", "status")
            .expression_attribute_values(":table", AttributeValue::S(table.to_owned()))
            .expression_attribute_values(":bronze_done", AttributeValue::S(Status::BronzeDone.as_str().to_owned()))
            .expression_attribute_values(":done", AttributeValue::S(Status::Done.as_str().to_owned()))
            .into_paginator()
            .items()
            .send();
        let mut records = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| failed("scan the control table", error.into_service_error()))?;
            let record = ControlRecord::from_values(&values(item));
            records.push(record.ok_or_else(|| failed("read a control record", "it lacks `pk` or a known `status`"))?);
        }
        records.sort_by(|a, b| a.pk.cmp(&b.pk));
        Ok(records)
    }

    async fn mark_done(&self, records: &[ControlRecord], snapshot_id: i64) -> Result<()> {
        let marks: Vec<_> = records.iter().map(|record| self.mark_one(record, snapshot_id)).collect();
        stream::iter(marks).buffer_unordered(MARKS_MAX).try_collect::<Vec<()>>().await?;
        Ok(())
    }
}

fn failed(action: &str, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> WarehouseError {
    WarehouseError::Control { action: action.to_owned(), source: error.into() }
}

fn values(item: HashMap<String, AttributeValue>) -> BTreeMap<String, ControlValue> {
    let convert = |value: AttributeValue| match value {
        AttributeValue::S(text) => Some(ControlValue::Text(text)),
        AttributeValue::N(number) => number.parse().ok().map(ControlValue::Number),
        AttributeValue::L(list) => {
            let texts = list.into_iter().filter_map(|value| match value {
                AttributeValue::S(text) => Some(text),
                _ => None,
            });
            Some(ControlValue::List(texts.collect()))
        }
        _ => None,
    };
    item.into_iter().filter_map(|(name, value)| Some((name, convert(value)?))).collect()
}

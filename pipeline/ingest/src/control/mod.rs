//! The control table `dm-processing-control`: one item per version of a raw object, moved on by conditional writes only.
//!
//! A worker claims a record (RECEIVED, FAILED, or CLAIMED with an expired lease), which raises its fence; whatever the worker
//! does to the record afterwards is conditioned on owner and fence, so a worker that was given up cannot disturb its successor.
//! Attempts are bounded; a record that used them up is QUARANTINED with its last error, never dropped. Holds no state itself.

mod item;
mod lifecycle;

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, StreamSpecification,
    StreamViewType, TableStatus,
};
use lakebed_contract::control::{ControlRecord, Status};
use lakebed_contract::layout::CONTROL_TABLE;
use lakebed_contract::{Clock, Endpoints, Timestamp};

use crate::error::IngestError;
use item::{Item, from_item, text, to_item};

/// Claims a record has before it is quarantined.
pub const ATTEMPTS_MAX: i64 = 5;
/// How long a claim holds without renewal.
pub const LEASE: Duration = Duration::from_secs(15 * 60);
/// Pages of one scan; a page is up to 1 MB of items.
pub const SCAN_PAGES_MAX: usize = 10_000;
/// Looks at a table being created, [`CREATE_POLL_INTERVAL`] apart.
const CREATE_POLLS_MAX: usize = 120;
const CREATE_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Client of the control table.
#[derive(Clone, Debug)]
pub struct ControlTable {
    client: Client,
    clock: Clock,
}

/// Answer to [`ControlTable::claim`].
#[derive(Clone, Debug)]
pub enum ClaimAnswer {
    /// The record is ours.
    Claimed(ControlRecord),
    /// Nothing left to do: BRONZE_DONE, DONE or QUARANTINED.
    AlreadyFinished(ControlRecord),
    /// Another worker holds it.
    HeldBy {
        /// End of its lease.
        until: Timestamp,
    },
    /// Its attempts are used up, but nobody has quarantined it yet.
    Exhausted(ControlRecord),
}

/// The right to move a record on: what [`ControlTable::claim`] gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Key of the record.
    pub pk: String,
    /// Who holds it.
    pub owner: String,
    /// Its fence.
    pub fence: i64,
}

impl Lease {
    /// The lease of a record that was just claimed.
    pub fn of(record: &ControlRecord) -> Self {
        Self { pk: record.pk.clone(), owner: record.lease_owner.clone(), fence: record.fence }
    }
}

/// How a piece of work ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// BRONZE_DONE, DONE or QUARANTINED.
    pub status: Status,
    /// Rows read.
    pub rows_in: i64,
    /// Rows in bronze.
    pub rows_good: i64,
    /// Rows in quarantine.
    pub rows_bad: i64,
    /// Records dropped by rule.
    pub rows_dropped: i64,
    /// Keys written.
    pub outputs: Vec<String>,
    /// Why, when QUARANTINED; empty otherwise.
    pub error: String,
}

impl ControlTable {
    /// A client for the table at these endpoints. Opens no connection.
    pub fn new(endpoints: &Endpoints, clock: Clock) -> Self {
        Self { client: Client::new(&endpoints.sdk_config(&endpoints.dynamodb_url)), clock }
    }

    /// Creates the table with its stream (new images); does nothing when it is there. Returns when it can be used.
    pub async fn create(&self) -> Result<(), IngestError> {
        let broken = |error| failure("create the table", error);
        let key = AttributeDefinition::builder().attribute_name("pk").attribute_type(ScalarAttributeType::S);
        let hash = KeySchemaElement::builder().attribute_name("pk").key_type(KeyType::Hash);
        let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewImage);
        let created = self
            .client
            .create_table()
            .table_name(CONTROL_TABLE)
            .attribute_definitions(key.build().expect("name and type are set"))
            .key_schema(hash.build().expect("name and type are set"))
            .billing_mode(BillingMode::PayPerRequest)
            .stream_specification(stream.build().expect("enabled is set"))
            .send()
            .await;
        match created {
            Ok(created) => {
                let status = created.table_description().and_then(|table| table.table_status());
                if status == Some(&TableStatus::Active) {
                    return Ok(());
                }
            }
            Err(error) if error.as_service_error().is_some_and(|error| error.is_resource_in_use_exception()) => {}
            Err(error) => return Err(broken(Box::new(error))),
        }
        for _ in 0..CREATE_POLLS_MAX {
            let described = self.client.describe_table().table_name(CONTROL_TABLE).send().await;
            let described = described.map_err(|error| broken(Box::new(error)))?;
            if described.table().and_then(|table| table.table_status()) == Some(&TableStatus::Active) {
                return Ok(());
            }
            self.clock.sleep(CREATE_POLL_INTERVAL).await;
        }
        Err(broken(format!("not active after {CREATE_POLLS_MAX} looks").into()))
    }

    /// Enters a new record; `false` when this version of the object is known already.
    pub async fn receive(&self, record: &ControlRecord) -> Result<bool, IngestError> {
        let put = self
            .client
            .put_item()
            .table_name(CONTROL_TABLE)
            .set_item(Some(to_item(record)))
            .condition_expression("attribute_not_exists(pk)")
            .send()
            .await;
        match put {
            Ok(_) => Ok(true),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
                Ok(false)
            }
            Err(error) => Err(failure(&format!("receive `{}`", record.pk), Box::new(error))),
        }
    }

    /// A record by key.
    pub async fn get(&self, pk: &str) -> Result<Option<ControlRecord>, IngestError> {
        Ok(self.get_item(pk).await?.map(|item| item.record))
    }

    async fn get_item(&self, pk: &str) -> Result<Option<Item>, IngestError> {
        let got =
            self.client.get_item().table_name(CONTROL_TABLE).key("pk", text(pk)).consistent_read(true).send().await;
        let got = got.map_err(|error| failure(&format!("get `{pk}`"), Box::new(error)))?;
        got.item.map(|item| from_item(&item).ok_or_else(|| IngestError::BadRecord { pk: pk.to_owned() })).transpose()
    }

    /// All records, of one table or in one status if so wished, in no particular order.
    pub async fn list(&self, table: Option<&str>, status: Option<Status>) -> Result<Vec<ControlRecord>, IngestError> {
        let mut records = Vec::new();
        let mut start = None;
        for _ in 0..SCAN_PAGES_MAX {
            let mut scan =
                self.client.scan().table_name(CONTROL_TABLE).consistent_read(true).set_exclusive_start_key(start);
            let mut conditions = Vec::new();
            // Both names are reserved words of DynamoDB's expression language.
            if let Some(table) = table {
                conditions.push("#t = :table");
                scan =
                    scan.expression_attribute_names("#t", "table").expression_attribute_values(":table", text(table));
            }
            if let Some(status) = status {
                conditions.push("#s = :status");
                let status = text(status.as_str());
                scan = scan.expression_attribute_names("#s", "status").expression_attribute_values(":status", status);
            }
            let filter = (!conditions.is_empty()).then(|| conditions.join(" AND "));
            let page = scan.set_filter_expression(filter).send().await;
            let page = page.map_err(|error| failure("list records", Box::new(error)))?;
            for item in page.items() {
                let pk = item.get("pk").and_then(|pk| pk.as_s().ok()).cloned().unwrap_or_default();
                records.push(from_item(item).ok_or(IngestError::BadRecord { pk })?.record);
            }
            start = page.last_evaluated_key;
            if start.is_none() {
                return Ok(records);
            }
        }
        Err(failure("list records", format!("more than {SCAN_PAGES_MAX} pages").into()))
    }
}

fn failure(action: &str, source: Box<dyn std::error::Error + Send + Sync>) -> IngestError {
    IngestError::Control { action: action.to_owned(), table: CONTROL_TABLE, source }
}

//! Reads of the control plane that dynoxide does not have: what an account that has changed no quota, no endpoint and
//! no backup setting is told. And one refusal that it does not have.
//!
//! Terraform and older SDKs ask for these and stop when they are refused. Nothing here can be changed: the writes that
//! belong to them (`UpdateContinuousBackups`, …) are refused.

use dynoxide::Database;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::answer::Failure;
use super::operations::{checked, read};
use crate::matrix::Service;

/// Default quotas of an account in us-east-1.
const ACCOUNT_UNITS_MAX: u32 = 80_000;
const TABLE_UNITS_MAX: u32 = 40_000;

/// How long AWS lets a client keep an endpoint.
const ENDPOINT_MINUTES: u32 = 1_440;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DescribeContinuousBackups {
    table_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UpdateTimeToLive {
    table_name: String,
    time_to_live_specification: TimeToLiveSpecification,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TimeToLiveSpecification {
    enabled: bool,
    attribute_name: String,
}

/// A ValidationException where time to live is already as the request wants it, which dynoxide lets pass.
pub(super) fn refuse_same_time_to_live(tables: &Database, body: &str) -> Result<(), Failure> {
    // What is not such a request is refused behind us.
    let Ok(UpdateTimeToLive { table_name, time_to_live_specification: wanted }) = serde_json::from_str(body) else {
        return Ok(());
    };
    let Some(table) = tables.get_table_metadata(&table_name)? else { return Ok(()) };
    match (wanted.enabled, table.ttl_enabled) {
        (true, true) if table.ttl_attribute.as_ref() == Some(&wanted.attribute_name) => {
            Err(Failure::validation("TimeToLive is already enabled"))
        }
        (false, false) => Err(Failure::validation("TimeToLive is already disabled")),
        _ => Ok(()),
    }
}

/// Quotas. Told, not enforced.
pub(super) fn describe_limits(body: &str) -> Result<String, Failure> {
    read::<IgnoredAny>(body)?;
    let answer = json!({
        "AccountMaxReadCapacityUnits": ACCOUNT_UNITS_MAX,
        "AccountMaxWriteCapacityUnits": ACCOUNT_UNITS_MAX,
        "TableMaxReadCapacityUnits": TABLE_UNITS_MAX,
        "TableMaxWriteCapacityUnits": TABLE_UNITS_MAX,
    });
    Ok(answer.to_string())
}

/// The endpoint to use: the one that was asked, so that no client is sent away to AWS.
pub(super) fn describe_endpoints(host: &str, body: &str) -> Result<String, Failure> {
    read::<IgnoredAny>(body)?;
    Ok(json!({ "Endpoints": [{ "Address": host, "CachePeriodInMinutes": ENDPOINT_MINUTES }] }).to_string())
}

/// Continuous backups are on for every table AWS has; point-in-time recovery, which is what can be switched, is off.
pub(super) fn describe_continuous_backups(tables: &Database, body: &str) -> Result<String, Failure> {
    let request: DescribeContinuousBackups = checked(Service::DynamoDb, "DescribeContinuousBackups", body)?;
    let table = request.table_name.unwrap_or_default();
    if tables.get_table_metadata(&table)?.is_none() {
        return Err(Failure::service("TableNotFoundException", &format!("Table not found: {table}")));
    }
    let answer = json!({
        "ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": { "PointInTimeRecoveryStatus": "DISABLED" },
        },
    });
    Ok(answer.to_string())
}

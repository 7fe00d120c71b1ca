//! Reads of the control plane that dynoxide does not have: what an account that has changed no quota, no endpoint and
//! no backup setting is told. And one refusal that it does not have.
//!
//! Terraform and older SDKs ask for these and stop when they are refused. Nothing here can be changed: the writes that
//! belong to them (`UpdateContinuousBackups`, …) are refused.

use dynoxide::actions::update_time_to_live::{UpdateTimeToLiveRequest, UpdateTimeToLiveResponse};
use dynoxide::{Database, DynoxideError};
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

/// dynoxide's, and a refusal where time to live is already as the request wants it, which dynoxide lets pass. An empty name
/// is dynoxide's to refuse.
pub(super) fn update_time_to_live(
    tables: &Database,
    request: UpdateTimeToLiveRequest,
) -> Result<UpdateTimeToLiveResponse, DynoxideError> {
    let wanted = &request.time_to_live_specification;
    let table = tables.get_table_metadata(&request.table_name)?.filter(|_| !wanted.attribute_name.is_empty());
    let already = table.and_then(|table| match (wanted.enabled, table.ttl_enabled) {
        (true, true) => (table.ttl_attribute.as_ref() == Some(&wanted.attribute_name)).then_some("enabled"),
        (false, false) => Some("disabled"),
        _ => None,
    });
    match already {
        Some(already) => Err(DynoxideError::ValidationException(format!("TimeToLive is already {already}"))),
        None => tables.update_time_to_live(request),
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

//! Damage to the books: a control record that counts wrong, a raw object the control table has never heard of.

use aws_sdk_dynamodb::types::AttributeValue;
use lakebed_contract::endpoints::Endpoints;
use lakebed_contract::{Clock, Lake, layout};
use lakebed_ingest::ControlTable;

use super::{contract, unknown};
use crate::backend::s3_client;
use crate::error::HarnessError;

const EDIT: &str = "damage the control table";

/// Adds one to the rows that a control record of `table` says it read and dropped, so that its own sum still agrees.
pub async fn miscount(endpoints: &Endpoints, lake: &Lake, table: &str, clock: &Clock) -> Result<String, HarnessError> {
    let control = ControlTable::new(endpoints, clock.clone());
    let records = control.list(Some(&contract(lake, table)?.name), None).await.map_err(HarnessError::stage(EDIT))?;
    let record = records.into_iter().filter(|record| record.rows_good > 0).min_by(|a, b| a.pk.cmp(&b.pk));
    let record = record.ok_or_else(|| unknown(&format!("`{table}` has no control record with rows")))?;
    let one = AttributeValue::N("1".to_owned());
    aws_sdk_dynamodb::Client::new(&endpoints.sdk_config(&endpoints.dynamodb_url))
        .update_item()
        .table_name(layout::CONTROL_TABLE)
        .key("pk", AttributeValue::S(record.pk))
        .update_expression("SET rows_in = rows_in + :one, rows_dropped = rows_dropped + :one")
        .expression_attribute_values(":one", one)
        .send()
        .await
        .map_err(HarnessError::stage(EDIT))?;
    Ok(record.key)
}

/// Puts an empty raw object of `table`. Only over stores whose events nobody takes does it stay without a control record.
pub async fn forget_raw_object(endpoints: &Endpoints, lake: &Lake, table: &str) -> Result<String, HarnessError> {
    let key = format!("{}{}/forgotten.json", layout::RAW_PREFIX, contract(lake, table)?.name);
    let put = s3_client(endpoints).put_object().bucket(layout::STAGE_BUCKET).key(&key).body(Vec::new().into());
    put.send().await.map_err(HarnessError::stage("put a raw object"))?;
    Ok(key)
}

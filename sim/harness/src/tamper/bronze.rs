//! Damage to bronze objects: a clear value in them, rows or whole objects missing from them.

use arrow::array::{Array, RecordBatch};
use bytes::Bytes;
use lakebed_contract::endpoints::Endpoints;
use lakebed_contract::table::TableContract;
use lakebed_contract::{Lake, layout};

use super::cells::{New, pick, replace, without};
use super::{contract, tables, unknown};
use crate::backend::s3_client;
use crate::error::HarnessError;

const EDIT: &str = "damage a bronze object";
/// Class of a column that holds an e-mail address, as contracts name it.
const EMAIL_CLASS: &str = "email";

/// Puts a clear e-mail address into a bronze object where its token should stand, as a mask that was forgotten would leave it. The
/// address hides in a compressed Parquet page. `email` must be one that the generator planted, or the judge cannot know it.
pub async fn leak_email(endpoints: &Endpoints, lake: &Lake, email: &str) -> Result<String, HarnessError> {
    let class = |column: &&lakebed_contract::table::Column| column.class.as_deref() == Some(EMAIL_CLASS);
    let found = lake.tables.iter().find_map(|table| Some((table, table.columns.iter().find(class)?)));
    let (table, column) = found.ok_or_else(|| unknown("no column of the lake is classified as e-mail"))?;
    rewrite_object(endpoints, table, |batch| {
        let cells = batch.column_by_name(&column.name)?;
        let row = (0..batch.num_rows()).find(|row| cells.is_valid(*row))?;
        Some(replace(batch, &column.name, row, New::Text(email)))
    })
    .await
}

/// Takes one row out of a bronze object; the control record still counts it.
pub async fn drop_bronze_row(endpoints: &Endpoints, lake: &Lake, table: &str) -> Result<String, HarnessError> {
    rewrite_object(endpoints, contract(lake, table)?, |batch| (batch.num_rows() > 0).then(|| without(batch, 0))).await
}

/// Puts a second copy of one row where another row stood: the number of rows agrees, a record is lost.
pub async fn double_bronze_row(endpoints: &Endpoints, lake: &Lake, table: &str) -> Result<String, HarnessError> {
    rewrite_object(endpoints, contract(lake, table)?, |batch| {
        let rows = batch.num_rows();
        (rows > 1).then(|| pick(batch, std::iter::once(1).chain(1..rows)))
    })
    .await
}

/// Deletes a bronze object.
pub async fn lose_bronze_object(endpoints: &Endpoints, lake: &Lake, table: &str) -> Result<String, HarnessError> {
    let keys = keys(endpoints, contract(lake, table)?).await?;
    let key = keys.into_iter().next().ok_or_else(|| unknown(&format!("`{table}` has no bronze object")))?;
    let deleted = s3_client(endpoints).delete_object().bucket(layout::LAKE_BUCKET).key(&key).send().await;
    deleted.map_err(HarnessError::stage(EDIT))?;
    Ok(key)
}

/// Rewrites the first bronze object of a table that `change` has an answer for; gives its key.
async fn rewrite_object(
    endpoints: &Endpoints,
    table: &TableContract,
    change: impl Fn(&RecordBatch) -> Option<Result<RecordBatch, HarnessError>>,
) -> Result<String, HarnessError> {
    let s3 = s3_client(endpoints);
    for key in keys(endpoints, table).await? {
        let got =
            s3.get_object().bucket(layout::LAKE_BUCKET).key(&key).send().await.map_err(HarnessError::stage(EDIT))?;
        let bytes: Bytes = got.body.collect().await.map_err(HarnessError::stage(EDIT))?.into_bytes();
        if let Some(changed) = change(&tables::decode(bytes)?) {
            let body = tables::encode(&changed?)?.into();
            let put = s3.put_object().bucket(layout::LAKE_BUCKET).key(&key).body(body).send().await;
            put.map_err(HarnessError::stage(EDIT))?;
            return Ok(key);
        }
    }
    Err(unknown(&format!("bronze of `{}` has no row of that kind", table.name)))
}

/// Bronze objects of a table, in order.
async fn keys(endpoints: &Endpoints, table: &TableContract) -> Result<Vec<String>, HarnessError> {
    // Every bronze key of a table begins with what its own layout says before the object's digest.
    let some = layout::bronze_key(table, "");
    let prefix = some.split_once("object=").map_or(some.as_str(), |(prefix, _)| prefix);
    let mut pages =
        s3_client(endpoints).list_objects_v2().bucket(layout::LAKE_BUCKET).prefix(prefix).into_paginator().send();
    let mut keys = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.map_err(HarnessError::stage(EDIT))?;
        keys.extend(page.contents().iter().filter_map(|object| object.key().map(str::to_owned)));
    }
    Ok(keys)
}

//! Damage on purpose: each function here puts one wrong thing into the stores of a lake at rest, where the judge must find it.
//!
//! Test instruments of scenarios that must fail and of the judge's own tests; nothing on the path from Postgres to gold calls
//! them. Promises: the damage is real (an Iceberg commit, a Parquet object, a control item, as a faulty stage would leave it), it is
//! the only one, and the same lake is always hurt in the same place. Returns where, in names and bigint keys, never in values.

mod bronze;
mod cells;
mod control;
mod tables;

use arrow::array::{Array, RecordBatch};
use lakebed_contract::endpoints::Endpoints;
use lakebed_contract::table::{ColumnType, TableContract};
use lakebed_contract::{Lake, layout};

use crate::error::HarnessError;
use cells::{New, place, replace, without};

pub use bronze::{double_bronze_row, drop_bronze_row, leak_email, lose_bronze_object};
pub use control::{forget_raw_object, miscount};

/// Changes one value of the first live row of `silver.<table>`.
pub async fn corrupt_silver_value(
    endpoints: &Endpoints,
    lake: &Lake,
    table: &str,
    column: &str,
) -> Result<String, HarnessError> {
    let key = key_of(contract(lake, table)?).to_owned();
    rewrite_row(endpoints, layout::SILVER, table, &key, Row::Live, |batch, row| {
        replace(batch, column, row, New::Altered)
    })
    .await
    .map(|place| format!("{place}, column {column}"))
}

/// Takes the first live row out of `silver.<table>`, as if it had never come.
pub async fn drop_silver_row(endpoints: &Endpoints, lake: &Lake, table: &str) -> Result<String, HarnessError> {
    let key = key_of(contract(lake, table)?).to_owned();
    rewrite_row(endpoints, layout::SILVER, table, &key, Row::Live, without).await
}

/// Brings the first soft-deleted row of `silver.<table>` back to life.
pub async fn undelete_silver_row(endpoints: &Endpoints, lake: &Lake, table: &str) -> Result<String, HarnessError> {
    let key = key_of(contract(lake, table)?).to_owned();
    rewrite_row(endpoints, layout::SILVER, table, &key, Row::Deleted, |batch, row| {
        replace(batch, DELETED_AT, row, New::Null)
    })
    .await
}

/// Sets the position of one row of `silver.<table>` that has seen a change back to where its load stood.
pub async fn move_position_back(endpoints: &Endpoints, lake: &Lake, table: &str) -> Result<String, HarnessError> {
    let key = key_of(contract(lake, table)?).to_owned();
    rewrite_row(endpoints, layout::SILVER, table, &key, Row::Changed, |batch, row| {
        replace(batch, COMMIT_LSN, row, New::Number(0))
    })
    .await
}

/// Changes one value of the first row of `gold.<model>`.
pub async fn corrupt_gold_value(
    endpoints: &Endpoints,
    lake: &Lake,
    model: &str,
    column: &str,
) -> Result<String, HarnessError> {
    let found = lake.gold.iter().find(|found| found.name == model);
    let found = found.ok_or_else(|| unknown(&format!("the lake has no gold model `{model}`")))?;
    let key = found.key.first().map(String::as_str).unwrap_or_default();
    rewrite_row(endpoints, layout::GOLD, model, key, Row::Any, |batch, row| replace(batch, column, row, New::Altered))
        .await
        .map(|place| format!("{place}, column {column}"))
}

const DELETED_AT: &str = "deleted_at";
const COMMIT_LSN: &str = "_commit_lsn";

/// Which row is hurt: the first of its kind.
#[derive(Clone, Copy)]
enum Row {
    Any,
    Live,
    Deleted,
    /// Live, and changed since its load.
    Changed,
}

impl Row {
    fn find(self, batch: &RecordBatch) -> Option<usize> {
        let deleted = batch.column_by_name(DELETED_AT);
        let lives = |row: usize| deleted.is_none_or(|deleted| deleted.is_null(row));
        (0..batch.num_rows()).find(|row| match self {
            Self::Any => true,
            Self::Live => lives(*row),
            Self::Deleted => !lives(*row),
            Self::Changed => lives(*row) && cells::number(batch, COMMIT_LSN, *row).is_some_and(|lsn| lsn > 0),
        })
    }
}

/// Rewrites the first data file that has such a row; says where.
async fn rewrite_row(
    endpoints: &Endpoints,
    namespace: &str,
    table: &str,
    key: &str,
    wanted: Row,
    change: impl Fn(&RecordBatch, usize) -> Result<RecordBatch, HarnessError>,
) -> Result<String, HarnessError> {
    tables::rewrite_file(endpoints, namespace, table, |batch| {
        let Some(row) = wanted.find(batch) else { return Ok(None) };
        Ok(Some((change(batch, row)?, format!("{namespace}.{table} {}", place(batch, key, row)))))
    })
    .await
}

fn contract<'l>(lake: &'l Lake, table: &str) -> Result<&'l TableContract, HarnessError> {
    lake.table(table).ok_or_else(|| unknown(&format!("the lake has no table `{table}`")))
}

/// The column that names a row in what is returned; empty where it would be a text.
fn key_of(table: &TableContract) -> &str {
    let mut keys = table.key_columns();
    let key = keys.find(|key| matches!(key.column_type, ColumnType::Bigint | ColumnType::Integer));
    key.map(|key| key.name.as_str()).unwrap_or_default()
}

fn unknown(reason: &str) -> HarnessError {
    HarnessError::Input { message: format!("failed to damage the lake: {reason}") }
}

//! A digest of what bronze says, for comparing two runs of one seed.
//!
//! Over the set of distinct records: which key, which operation, which values, which columns absent. Log positions and times are
//! left out, because they differ from run to run, and a record counts once however often it was delivered.

use std::collections::HashSet;
use std::hash::BuildHasherDefault;

use lakebed_contract::endpoints::Endpoints;
use lakebed_contract::table::{ColumnType, TableContract};
use lakebed_contract::{Lake, layout};

use super::bronze::each_batch;
use super::cell::{Scrambler, mix};
use super::digest::RowSum;
use super::error::JudgeError;
use super::lakehouse::typed;
use super::objects::Objects;
use super::source::SourceColumn;

/// Distinct records, as numbers.
type Records = HashSet<u64, BuildHasherDefault<Scrambler>>;

/// The digest, or why some object cannot be read.
pub async fn bronze_content(lake: &Lake, endpoints: &Endpoints) -> Result<Result<RowSum, String>, JudgeError> {
    let objects = Objects::open(endpoints, true);
    let mut sum = RowSum::default();
    for (at, table) in lake.tables.iter().enumerate() {
        let columns = columns(table);
        let mut records = Records::default();
        for object in objects.list(layout::LAKE_BUCKET, &prefix(table)).await? {
            let Some((bytes, _)) = objects.get(layout::LAKE_BUCKET, &object.key).await? else { continue };
            if let Err(reason) = add(bytes, &columns, &mut records) {
                return Ok(Err(format!("{} is {reason}", object.key)));
            }
        }
        records.iter().for_each(|record| sum.add(mix(at as u64, *record)));
    }
    Ok(Ok(sum))
}

fn prefix(table: &TableContract) -> String {
    let some = layout::bronze_key(table, "");
    some.split_once("object=").map_or(some.clone(), |(prefix, _)| prefix.to_owned())
}

fn columns(table: &TableContract) -> Vec<SourceColumn> {
    let column = |name: String, column_type| SourceColumn { name, column_type };
    let mut columns: Vec<_> = table.columns.iter().map(|c| column(c.name.clone(), c.column_type)).collect();
    columns.push(column("_operation".to_owned(), ColumnType::Text));
    columns.push(column("_generation".to_owned(), ColumnType::Integer));
    columns.extend(table.key_columns().map(|key| column(format!("_old_{}", key.name), key.column_type)));
    columns.push(column("_absent".to_owned(), ColumnType::Text));
    columns
}

fn add(file: bytes::Bytes, columns: &[SourceColumn], records: &mut Records) -> Result<(), String> {
    each_batch(file, columns, |batch| {
        let arrays = typed(batch, columns)?;
        for row in 0..batch.num_rows() {
            records.insert(arrays.iter().fold(0, |sum, array| mix(sum, array.cell(row).fingerprint())));
        }
        Ok(())
    })
}

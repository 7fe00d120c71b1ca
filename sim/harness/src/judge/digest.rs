//! What a lake holds, in a form that can be kept and compared: one digest per table, one ETag per object, one line per control record.
//!
//! A table's digest does not depend on the order of rows, on files or on snapshots: it is the sum of its rows' digests, so two lakes
//! with the same rows have the same digest, and a row more, less or changed shows. Sums of 128 bits: chance does not matter, malice
//! is not considered. Values cannot be read back from it.

use std::collections::BTreeMap;
use std::fmt;

use iceberg::spec::{PrimitiveType, Type};
use iceberg::table::Table;
use lakebed_contract::control::Status;
use lakebed_contract::endpoints::Endpoints;
use lakebed_contract::lake::Lake;
use lakebed_contract::layout;
use lakebed_contract::table::ColumnType;
use serde::{Serialize, Serializer};

use super::cell::{Cell, mix};
use super::control;
use super::error::JudgeError;
use super::lakehouse::{Lakehouse, scan, typed};
use super::objects::Objects;
use super::source::SourceColumn;

/// Set on a soft-deleted silver row.
const DELETED_AT: &str = "deleted_at";
/// Prefixes of the objects that stages write outside Iceberg.
const PLAIN_PREFIXES: [&str; 2] = ["bronze/", "quarantine/"];

/// A sum over rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowSum([u64; 2]);

impl RowSum {
    pub(super) fn add(&mut self, row: u64) {
        self.0[0] = self.0[0].wrapping_add(mix(1, row));
        self.0[1] = self.0[1].wrapping_add(mix(2, row));
    }
}

impl fmt::Display for RowSum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}{:016x}", self.0[0], self.0[1])
    }
}

impl Serialize for RowSum {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One Iceberg table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableDigest {
    /// Rows, soft-deleted ones included.
    pub rows: u64,
    /// Rows that live.
    pub live: u64,
    /// Over what the contract or the model names, and whether the row lives: equal for two runs of one seed.
    pub content: RowSum,
    /// Over every column: times and log positions too.
    pub whole: RowSum,
    /// The snapshot that was read; 0 when the table has none.
    pub snapshot: i64,
}

/// What a control record says about its object, as far as it must not change any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordDigest {
    /// State.
    pub status: Status,
    /// In, good, bad, dropped.
    pub rows: [i64; 4],
    /// Bronze keys.
    pub outputs: Vec<String>,
}

/// A lake at rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LakeDigest {
    /// `silver.<table>` and `gold.<model>`.
    pub tables: BTreeMap<String, TableDigest>,
    /// Tables that cannot be read, and why.
    pub unreadable: BTreeMap<String, String>,
    /// Bronze and quarantine: key → ETag.
    pub objects: BTreeMap<String, String>,
    /// Control table, by primary key.
    pub records: BTreeMap<String, RecordDigest>,
}

impl LakeDigest {
    /// Rows of all tables of a namespace.
    pub fn rows(&self, namespace: &str) -> u64 {
        let of = |name: &str| name.split_once('.').is_some_and(|(prefix, _)| prefix == namespace);
        self.tables.iter().filter(|(name, _)| of(name)).map(|(_, table)| table.rows).sum()
    }
}

/// Digests a lake at rest.
pub async fn digest(lake: &Lake, endpoints: &Endpoints) -> Result<LakeDigest, JudgeError> {
    let lakehouse = Lakehouse::open(endpoints).await?;
    let mut digest = LakeDigest::default();
    for (namespace, name) in names(lake) {
        let Some(table) = lakehouse.table(namespace, name).await? else { continue };
        let what = format!("{namespace}.{name}");
        match digest_table(&table, &content_columns(lake, namespace, name)).await? {
            Ok(found) => _ = digest.tables.insert(what, found),
            Err(reason) => _ = digest.unreadable.insert(what, reason),
        }
    }
    let objects = Objects::open(endpoints, true);
    for prefix in PLAIN_PREFIXES {
        let listed = objects.list(layout::LAKE_BUCKET, prefix).await?;
        digest.objects.extend(listed.into_iter().map(|object| (object.key, object.etag)));
    }
    let records = control::records(&control::items(endpoints).await?);
    digest.records = records
        .into_iter()
        .map(|(pk, record)| {
            let rows = [record.rows_in, record.rows_good, record.rows_bad, record.rows_dropped];
            (pk, RecordDigest { status: record.status, rows, outputs: record.outputs })
        })
        .collect();
    Ok(digest)
}

/// Every table a lake should have, as (namespace, name).
pub(super) fn names(lake: &Lake) -> impl Iterator<Item = (&'static str, &str)> {
    let silver = lake.tables.iter().map(|table| (layout::SILVER, table.name.as_str()));
    let models = lake.silver.iter().map(|model| (layout::SILVER, model.name.as_str()));
    silver.chain(models).chain(lake.gold.iter().map(|model| (layout::GOLD, model.name.as_str())))
}

/// The contract's columns of a silver table; empty for a model, whose every column is content.
fn content_columns<'l>(lake: &'l Lake, namespace: &str, name: &str) -> Vec<&'l str> {
    let table = lake.table(name).filter(|_| namespace == layout::SILVER);
    table.into_iter().flat_map(|table| &table.columns).map(|column| column.name.as_str()).collect()
}

async fn digest_table(table: &Table, content: &[&str]) -> Result<Result<TableDigest, String>, JudgeError> {
    let mut digest =
        TableDigest { snapshot: table.metadata().current_snapshot_id().unwrap_or(0), ..Default::default() };
    if digest.snapshot == 0 {
        return Ok(Ok(digest));
    }
    let columns = match columns(table) {
        Ok(columns) => columns,
        Err(reason) => return Ok(Err(reason)),
    };
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    let is_content: Vec<bool> =
        names.iter().map(|name| content.is_empty() || content.contains(&name.as_str())).collect();
    let deleted_at = names.iter().position(|name| name == DELETED_AT);
    let scanned = scan(table, &names, |batch| {
        let arrays = typed(batch, &columns)?;
        for row in 0..batch.num_rows() {
            let (mut whole, mut content) = (0, 0);
            for (array, is_content) in arrays.iter().zip(&is_content) {
                let cell = array.cell(row).fingerprint();
                whole = mix(whole, cell);
                if *is_content {
                    content = mix(content, cell);
                }
            }
            let lives = deleted_at.is_none_or(|at| arrays[at].cell(row) == Cell::Null);
            digest.rows += 1;
            digest.live += u64::from(lives);
            digest.whole.add(whole);
            digest.content.add(mix(content, u64::from(lives)));
        }
        Ok(())
    })
    .await?;
    Ok(scanned.map(|()| digest))
}

/// Every column of a table, by its Iceberg type.
pub(super) fn columns(table: &Table) -> Result<Vec<SourceColumn>, String> {
    let fields = table.metadata().current_schema().as_struct().fields();
    fields
        .iter()
        .map(|field| {
            let column_type = match field.field_type.as_ref() {
                Type::Primitive(primitive) => contract_type(primitive),
                _ => None,
            };
            let column_type = column_type.ok_or_else(|| format!("column {} has an unknown type", field.name))?;
            Ok(SourceColumn { name: field.name.clone(), column_type })
        })
        .collect()
}

fn contract_type(primitive: &PrimitiveType) -> Option<ColumnType> {
    Some(match primitive {
        PrimitiveType::Boolean => ColumnType::Boolean,
        PrimitiveType::Int => ColumnType::Integer,
        PrimitiveType::Long => ColumnType::Bigint,
        PrimitiveType::Double => ColumnType::Double,
        PrimitiveType::Decimal { precision, scale } => {
            ColumnType::Decimal { precision: u8::try_from(*precision).ok()?, scale: u8::try_from(*scale).ok()? }
        }
        PrimitiveType::String => ColumnType::Text,
        PrimitiveType::Date => ColumnType::Date,
        PrimitiveType::Timestamptz => ColumnType::Timestamptz,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_ignores_order_and_nothing_else() {
        let sum = |rows: &[u64]| {
            let mut sum = RowSum::default();
            rows.iter().for_each(|row| sum.add(*row));
            sum
        };
        assert_eq!(sum(&[1, 2, 3]), sum(&[3, 1, 2]));
        for other in [&[1, 2][..], &[1, 2, 3, 3], &[1, 2, 4], &[2, 2, 2]] {
            assert_ne!(sum(&[1, 2, 3]), sum(other), "{other:?}");
        }
        assert_eq!(sum(&[]).to_string(), "0".repeat(32));
    }
}

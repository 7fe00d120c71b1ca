//! From references to rows: takes the cells the fold names out of stored rows and change records.
//!
//! Promises: the result is in the table's schema; partition columns follow from the partition timestamp in UTC.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{DatePart, cast, concat, date_part, take};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use arrow::row::{RowConverter, SortField};
use lakebed_contract::TableContract;

use super::changes::{Changes, Key, RecordLayout, pick};
use super::fold::{FoldedRow, NULL};
use crate::error::{Attempt, Result};
use crate::iceberg::schema::{COMMIT_LSN, CREATED_AT, DELETED_AT, GENERATION, ORDINAL, UPDATED_AT};

/// Makes the folded rows. `stored` has the table's schema; row numbers count its rows first, then the records.
pub(crate) fn assemble(
    contract: &TableContract,
    layout: &RecordLayout,
    schema: &SchemaRef,
    stored: &RecordBatch,
    changes: &Changes,
    rows: &[FoldedRow],
) -> Result<RecordBatch> {
    let records = &changes.rows;
    let gather = |first: &ArrayRef, then: &[&ArrayRef], cells: UInt32Array| {
        let mut pieces: Vec<&dyn Array> = vec![first.as_ref()];
        pieces.extend(then.iter().map(|column| column.as_ref()));
        take(&concat(&pieces)?, &cells, None)
    };
    let reference = |cell: u32| (cell != NULL).then_some(cell);
    let mut columns: HashMap<&str, ArrayRef> = HashMap::new();
    for (at, column) in contract.columns.iter().enumerate() {
        let failed = || format!("assemble column `{}`", column.name);
        let key_number = layout.keys.iter().position(|key| *key == at);
        let array = if let Some(number) = key_number {
            let shift = records.num_rows() as u32;
            let cells = rows.iter().map(|row| row.cells[at] + if row.key_from_old { shift } else { 0 });
            let cells = UInt32Array::from_iter_values(cells);
            gather(stored.column(at), &[records.column(at), records.column(layout.old_key(number))], cells)
        } else {
            let cells = rows.iter().map(|row| reference(row.cells[at])).collect();
            gather(stored.column(at), &[records.column(at)], cells)
        };
        columns.insert(&column.name, array.attempt(failed)?);
    }
    let time = records.column(layout.width + 4);
    type Reference = fn(&FoldedRow) -> u32;
    let bookkeeping: [(&str, &ArrayRef, Reference); 6] = [
        (CREATED_AT, time, |row| row.created),
        (UPDATED_AT, time, |row| row.updated),
        (DELETED_AT, time, |row| row.deleted),
        (GENERATION, records.column(layout.width + 1), |row| row.updated),
        (COMMIT_LSN, records.column(layout.width + 2), |row| row.updated),
        (ORDINAL, records.column(layout.width + 3), |row| row.updated),
    ];
    for (name, source, of) in bookkeeping {
        let failed = || format!("assemble column `{name}`");
        let cells = rows.iter().map(|row| reference(of(row))).collect();
        let before = stored.column_by_name(name).cloned().unwrap_or_else(|| new_null_array(source.data_type(), 0));
        columns.insert(name, gather(&before, &[source], cells).attempt(failed)?);
    }
    if let Some(partition) = &contract.partition {
        let at = columns[partition.column.as_str()].clone();
        let utc = cast(&at, &DataType::Timestamp(TimeUnit::Microsecond, None)).attempt(|| "read months".to_owned())?;
        for (name, part) in [(&partition.year, DatePart::Year), (&partition.month, DatePart::Month)] {
            columns.insert(name, date_part(&utc, part).attempt(|| format!("assemble column `{name}`"))?);
        }
    }
    let ordered = schema.fields().iter().map(|field| {
        let column = columns.remove(field.name().as_str());
        column.unwrap_or_else(|| new_null_array(field.data_type(), rows.len()))
    });
    let ordered: Vec<_> = ordered.collect();
    RecordBatch::try_new(Arc::clone(schema), ordered).attempt(|| "assemble rows".to_owned())
}

/// Drops rows that equal the stored row of their key, and their keys.
pub(crate) fn drop_unchanged(
    rows: RecordBatch,
    keys: Vec<Key>,
    stored: &RecordBatch,
    stored_keys: &[Key],
) -> Result<(RecordBatch, Vec<Key>)> {
    let failed = || "compare rows".to_owned();
    let fields = rows.schema().fields().iter().map(|field| SortField::new(field.data_type().clone())).collect();
    let converter = RowConverter::new(fields).attempt(failed)?;
    let (after, before) = (
        converter.convert_columns(rows.columns()).attempt(failed)?,
        converter.convert_columns(stored.columns()).attempt(failed)?,
    );
    let places: HashMap<&Key, usize> = stored_keys.iter().zip(0..).collect();
    let changed: Vec<usize> = (0..keys.len())
        .filter(|at| places.get(&keys[*at]).is_none_or(|place| before.row(*place) != after.row(*at)))
        .collect();
    let kept: HashSet<usize> = changed.iter().copied().collect();
    let keys = keys.into_iter().enumerate().filter(|(at, _)| kept.contains(at)).map(|(_, key)| key).collect();
    Ok((pick(&rows, changed.into_iter().map(|at| at as u64).collect())?, keys))
}

//! From references to rows: takes the cells the fold names out of stored rows and change records.
//!
//! Promises: the result is in the table's schema, in whatever order that has its columns; partition columns follow from the partition
//! timestamp in UTC; columns that the contract dropped keep what silver has of them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, UInt32Array, new_null_array};
use arrow::compute::{DatePart, cast, concat, date_part, take};
use arrow::datatypes::{DataType, SchemaRef, TimeUnit};
use arrow::row::{RowConverter, SortField};
use lakebed_contract::TableContract;

use super::changes::{Changes, Key, RecordLayout, pick};
use super::fold::{Folded, FoldedRow, NULL, fold};
use super::stored::StoredRows;
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
    for (at, name) in layout.names().iter().enumerate() {
        let failed = || format!("assemble column `{name}`");
        let before = stored.column(schema.index_of(name).attempt(failed)?);
        let key_number = layout.keys.iter().position(|key| *key == at);
        let array = if let Some(number) = key_number {
            let shift = records.num_rows() as u32;
            let cells = rows.iter().map(|row| row.cells[at] + if row.key_from_old { shift } else { 0 });
            let cells = UInt32Array::from_iter_values(cells);
            gather(before, &[records.column(at), records.column(layout.old_key(number))], cells)
        } else {
            let cells = rows.iter().map(|row| reference(row.cells[at])).collect();
            gather(before, &[records.column(at)], cells)
        };
        columns.insert(name, array.attempt(failed)?);
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

/// Columns that the contract dropped live in silver alone, so rows made anew from bronze lack them. In `batch` they go where they go
/// in any merge, with moves and swaps and into no new life; records that came late change nothing in that, by their position. A key
/// that the batch leaves as it is keeps what its stored row has, unless that row is dead and another has come to its key.
///
/// Does not know whether a value is older than a life that late records begin before the stored position: then it stays.
pub(crate) fn keep_dropped(
    layout: &RecordLayout,
    rows: RecordBatch,
    rebuilt: &[FoldedRow],
    stored: &StoredRows,
    batch: &Changes,
) -> Result<RecordBatch> {
    let Folded { rows: folded, unresolved } = fold(layout.width, &layout.keys, &stored.stored, batch);
    let folded: HashMap<&Key, &FoldedRow> = folded.iter().map(|row| (&row.key, row)).collect();
    let places: HashMap<&Key, u32> = stored.stored.keys.iter().zip(0..).collect();
    let schema = rows.schema();
    let mut columns = rows.columns().to_vec();
    for (followed, name) in layout.names().iter().enumerate().skip(layout.in_contract) {
        // No record tells such a column, so a cell is NULL or a stored row's.
        let cell = |row: &FoldedRow| match folded.get(&row.key) {
            Some(row) => Some(row.cells[followed]).filter(|cell| *cell != NULL),
            None if unresolved.contains(&row.key) => None,
            None => {
                let is_same = |place: &u32| stored.stored.live[*place as usize] || row.deleted != NULL;
                places.get(&row.key).copied().filter(is_same)
            }
        };
        let cells: UInt32Array = rebuilt.iter().map(cell).collect();
        let failed = || format!("keep column `{name}`");
        let at = schema.index_of(name).attempt(failed)?;
        columns[at] = take(stored.rows.column(at), &cells, None).attempt(failed)?;
    }
    RecordBatch::try_new(schema, columns).attempt(|| "keep dropped columns".to_owned())
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

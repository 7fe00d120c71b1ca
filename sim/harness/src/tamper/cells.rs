//! One cell, one row: the edits that damage is made of, on Arrow batches.
//!
//! Promises: everything but the named cell or row stays as it was, schema and field ids included.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
    RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array, new_null_array,
};
use arrow::compute::{cast, concat, take_record_batch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};

use super::unknown;
use crate::error::HarnessError;

const EDIT: &str = "edit rows to damage the lake";

/// What a cell becomes.
#[derive(Clone, Copy)]
pub(super) enum New<'a> {
    /// Another value of the same type.
    Altered,
    Null,
    Number(i64),
    Text(&'a str),
}

/// The batch with one cell replaced.
pub(super) fn replace(
    batch: &RecordBatch,
    column: &str,
    row: usize,
    new: New<'_>,
) -> Result<RecordBatch, HarnessError> {
    let at = batch.schema().index_of(column);
    let at = at.map_err(|_| unknown(&format!("the table has no column `{column}`")))?;
    let old = batch.column(at);
    let cell = match new {
        New::Altered => altered(old, row)?,
        New::Null => new_null_array(old.data_type(), 1),
        New::Number(number) => typed(&Int64Array::from(vec![number]), old.data_type())?,
        New::Text(text) => typed(&StringArray::from(vec![text]), old.data_type())?,
    };
    let (before, after) = (old.slice(0, row), old.slice(row + 1, old.len() - row - 1));
    let joined = concat(&[before.as_ref(), cell.as_ref(), after.as_ref()]).map_err(HarnessError::stage(EDIT))?;
    let mut columns = batch.columns().to_vec();
    columns[at] = joined;
    RecordBatch::try_new(batch.schema(), columns).map_err(HarnessError::stage(EDIT))
}

/// The batch without a row.
pub(super) fn without(batch: &RecordBatch, row: usize) -> Result<RecordBatch, HarnessError> {
    pick(batch, (0..batch.num_rows()).filter(|at| *at != row))
}

/// The rows at these places, in this order.
pub(super) fn pick(batch: &RecordBatch, rows: impl Iterator<Item = usize>) -> Result<RecordBatch, HarnessError> {
    let rows = UInt64Array::from_iter_values(rows.map(|row| row as u64));
    take_record_batch(batch, &rows).map_err(HarnessError::stage(EDIT))
}

/// `review_id 17`, or the row's number where its key is no integer.
pub(super) fn place(batch: &RecordBatch, key: &str, row: usize) -> String {
    match number(batch, key, row) {
        Some(value) => format!("{key} {value}"),
        None => format!("row {row} of a file"),
    }
}

/// An integer cell.
pub(super) fn number(batch: &RecordBatch, column: &str, row: usize) -> Option<i64> {
    let column = batch.column_by_name(column).filter(|column| column.is_valid(row))?;
    match column.data_type() {
        DataType::Int64 => Some(column.as_primitive::<Int64Type>().value(row)),
        DataType::Int32 => Some(column.as_primitive::<Int32Type>().value(row).into()),
        _ => None,
    }
}

/// One cell that differs from the one at `row`.
fn altered(old: &ArrayRef, row: usize) -> Result<ArrayRef, HarnessError> {
    let null = old.is_null(row);
    let new: ArrayRef = match old.data_type() {
        DataType::Utf8 => {
            let text = if null { "" } else { old.as_string::<i32>().value(row) };
            Arc::new(StringArray::from(vec![format!("{text}?")]))
        }
        DataType::Boolean => Arc::new(BooleanArray::from(vec![null || !old.as_boolean().value(row)])),
        DataType::Int32 => Arc::new(Int32Array::from(vec![other(old.as_primitive::<Int32Type>().value(row))])),
        DataType::Int64 => Arc::new(Int64Array::from(vec![other(old.as_primitive::<Int64Type>().value(row))])),
        DataType::Float64 => Arc::new(Float64Array::from(vec![old.as_primitive::<Float64Type>().value(row) + 1.0])),
        DataType::Date32 => Arc::new(Date32Array::from(vec![other(old.as_primitive::<Date32Type>().value(row))])),
        DataType::Decimal128(_, _) => {
            Arc::new(Decimal128Array::from(vec![other(old.as_primitive::<Decimal128Type>().value(row))]))
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => Arc::new(TimestampMicrosecondArray::from(vec![other(
            old.as_primitive::<TimestampMicrosecondType>().value(row),
        )])),
        other => return Err(unknown(&format!("a column of type {other} cannot be altered"))),
    };
    typed(new.as_ref(), old.data_type())
}

/// The next number towards zero, so that it fits wherever the old one fitted.
fn other<N: Copy + PartialOrd + Default + std::ops::Add<Output = N> + std::ops::Sub<Output = N> + From<i8>>(
    old: N,
) -> N {
    let one = N::from(1);
    if old > N::default() { old - one } else { old + one }
}

fn typed(cell: &dyn Array, data_type: &DataType) -> Result<ArrayRef, HarnessError> {
    if let (DataType::Decimal128(precision, scale), Some(decimal)) =
        (data_type, cell.as_any().downcast_ref::<Decimal128Array>())
    {
        // A cast would scale the number; it is meant as it stands.
        let decimal =
            decimal.clone().with_precision_and_scale(*precision, *scale).map_err(HarnessError::stage(EDIT))?;
        return Ok(Arc::new(decimal));
    }
    cast(cell, data_type).map_err(HarnessError::stage(EDIT))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch() -> RecordBatch {
        let scores = Decimal128Array::from(vec![Some(45), None]).with_precision_and_scale(2, 1).expect("legal");
        let at = TimestampMicrosecondArray::from(vec![Some(5), Some(6)]).with_timezone("+00:00");
        RecordBatch::try_from_iter_with_nullable([
            ("id", Arc::new(Int64Array::from(vec![7, 8])) as ArrayRef, true),
            ("name", Arc::new(StringArray::from(vec![Some("a"), None])) as ArrayRef, true),
            ("score", Arc::new(scores) as ArrayRef, true),
            ("at", Arc::new(at) as ArrayRef, true),
        ])
        .expect("equal lengths")
    }

    #[test]
    fn exactly_the_named_cell_changes() {
        let batch = batch();
        for (at, column) in ["id", "name", "score", "at"].into_iter().enumerate() {
            for row in [0, 1] {
                let hurt = replace(&batch, column, row, New::Altered).expect("a known type");
                assert_eq!(hurt.schema(), batch.schema());
                for other in 0..batch.num_columns() {
                    let same = |row: usize| batch.column(other).slice(row, 1) == hurt.column(other).slice(row, 1);
                    assert_eq!([same(row), same(1 - row)], [other != at, true], "{column} {row} {other}");
                }
            }
        }
        assert!(replace(&batch, "at", 0, New::Null).expect("null").column(3).is_null(0));
        assert_eq!(number(&replace(&batch, "id", 1, New::Number(0)).expect("a number"), "id", 1), Some(0));
        assert!(replace(&batch, "nothing", 0, New::Null).is_err());
    }

    #[test]
    fn a_row_goes_and_the_others_stay() {
        let left = without(&batch(), 0).expect("taken");
        assert_eq!((left.num_rows(), number(&left, "id", 0)), (1, Some(8)));
        assert_eq!(place(&left, "id", 0), "id 8");
        assert_eq!(place(&left, "name", 0), "row 0 of a file");
    }
}

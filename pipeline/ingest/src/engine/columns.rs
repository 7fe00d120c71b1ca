//! Typed column builders for the raw rows of one table, in bronze's column order.
//!
//! Contract columns, then `_operation`, the position, `_commit_timestamp`, `_old_<key>` and `_absent`. All nullable: an absent
//! column is NULL here, and `_absent` says so. Values go in one by one; a row counts when it is ended, and a row that broke a
//! rule halfway is taken back whole. A batch ends with a number of rows or bytes of text, because neither is bounded by the bytes
//! that the rows were read from: the names in `_absent` and a mapping's constants stand in every row. What comes out has not
//! been masked.

use std::mem;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Float64Type, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use lakebed_contract::envelope::Operation;
use lakebed_contract::{ColumnType, TableContract};

use super::builders::{Booleans, Numbers, Texts};
use super::value::{self, Value};
use super::{decimal, time};

/// Rows at which a batch ends.
const BATCH_ROWS_MAX: usize = 65_536;
/// Bytes of text at which a batch ends. With the last row they stay far below what a column of text can hold.
const BATCH_TEXT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What a row tells beside its values.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowMark {
    pub(super) operation: Operation,
    pub(super) generation: i32,
    pub(super) commit_lsn: i64,
    pub(super) ordinal: i64,
    /// Microseconds since the epoch.
    pub(super) commit_timestamp: i64,
}

/// A text that its column does not take as a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// Rows on their way into batches.
pub(super) struct BronzeColumns {
    schema: SchemaRef,
    names: Vec<String>,
    cells: Vec<ColumnBuilder>,
    operation: Texts,
    generation: Numbers<Int32Type>,
    commit_lsn: Numbers<Int64Type>,
    ordinal: Numbers<Int64Type>,
    commit_timestamp: Numbers<TimestampMicrosecondType>,
    old_keys: Vec<ColumnBuilder>,
    absent: Texts,
    /// Names of the columns that the present row does not have.
    absent_names: String,
    rows: usize,
    /// Bytes of text in `rows`, or a little more.
    text_bytes: usize,
    /// The same of the present row.
    row_text_bytes: usize,
    /// What is complete.
    batches: Vec<Result<RecordBatch, ArrowError>>,
}

impl BronzeColumns {
    pub(super) fn new(table: &TableContract) -> Self {
        let builders = |columns: &mut dyn Iterator<Item = &lakebed_contract::Column>| -> Vec<ColumnBuilder> {
            columns.map(|column| ColumnBuilder::new(column.column_type)).collect()
        };
        Self {
            schema: bronze_schema(table),
            names: table.columns.iter().map(|column| column.name.clone()).collect(),
            cells: builders(&mut table.columns.iter()),
            operation: Texts::default(),
            generation: Numbers::of(DataType::Int32),
            commit_lsn: Numbers::of(DataType::Int64),
            ordinal: Numbers::of(DataType::Int64),
            commit_timestamp: Numbers::of(data_type(ColumnType::Timestamptz)),
            old_keys: builders(&mut table.key_columns()),
            absent: Texts::default(),
            absent_names: String::new(),
            rows: 0,
            text_bytes: 0,
            row_text_bytes: 0,
            batches: Vec::new(),
        }
    }

    /// Takes the present row's value of a contract column, by its place in the contract.
    #[inline]
    pub(super) fn value(&mut self, column: usize, value: Value<'_>) {
        if let Value::Text(text) = &value {
            self.row_text_bytes += text.len();
        }
        self.cells[column].append(value);
    }

    /// How many rows a caller may take before it ends them.
    pub(super) fn rows_left(&self) -> usize {
        BATCH_ROWS_MAX - self.rows
    }

    /// Takes the values of a contract column from their texts, for the present row and those behind it; `None` is NULL, if the
    /// column is `nullable`. One that the column does not take ends it: then the rows must be dropped.
    pub(super) fn texts<'a>(
        &mut self,
        column: usize,
        nullable: bool,
        texts: impl Iterator<Item = Result<Option<&'a str>, Refused>>,
    ) -> Result<(), Refused> {
        let mut bytes = 0;
        let texts = texts.map(|text| {
            let text = text?;
            bytes += text.map_or(0, str::len);
            if text.is_some() || nullable { Ok(text) } else { Err(Refused) }
        });
        self.cells[column].append_texts(texts)?;
        self.row_text_bytes += bytes;
        Ok(())
    }

    /// Notes that the present row does not have a contract column.
    #[inline]
    pub(super) fn absent(&mut self, column: usize) {
        self.cells[column].append(Value::Null);
        if !self.absent_names.is_empty() {
            self.absent_names.push(',');
        }
        self.absent_names.push_str(&self.names[column]);
    }

    /// Takes the present row's value of a key column before the change, by its place among the key columns. NULL when it did
    /// not change or nobody said.
    #[inline]
    pub(super) fn old_key(&mut self, key: usize, value: Value<'_>) {
        if let Value::Text(text) = &value {
            self.row_text_bytes += text.len();
        }
        self.old_keys[key].append(value);
    }

    /// Ends the row: every column has its value.
    #[inline]
    pub(super) fn end_row(&mut self, mark: &RowMark) {
        self.operation.push(Some(mark.operation.as_str()));
        self.generation.push(Some(mark.generation));
        self.commit_lsn.push(Some(mark.commit_lsn));
        self.ordinal.push(Some(mark.ordinal));
        self.commit_timestamp.push(Some(mark.commit_timestamp));
        self.absent.push((!self.absent_names.is_empty()).then_some(self.absent_names.as_str()));
        self.row_text_bytes += self.absent_names.len();
        self.absent_names.clear();
        self.count_rows(1);
    }

    /// Ends so many rows, of which every contract column has its values and no key was another before. They are no more than
    /// [`BronzeColumns::rows_left`].
    pub(super) fn end_rows(&mut self, rows: usize, mark: &RowMark) {
        self.operation.push_many(Some(mark.operation.as_str()), rows);
        self.generation.push_many(Some(mark.generation), rows);
        self.commit_lsn.push_many(Some(mark.commit_lsn), rows);
        self.ordinal.push_many(Some(mark.ordinal), rows);
        self.commit_timestamp.push_many(Some(mark.commit_timestamp), rows);
        self.old_keys.iter_mut().for_each(|key| (0..rows).for_each(|_| key.append_null()));
        self.absent.push_many(None, rows);
        self.count_rows(rows);
    }

    fn count_rows(&mut self, rows: usize) {
        self.text_bytes += mem::take(&mut self.row_text_bytes);
        self.rows += rows;
        if self.rows == BATCH_ROWS_MAX || self.text_bytes >= BATCH_TEXT_BYTES_MAX {
            let batch = self.end_batch();
            self.batches.push(batch);
        }
    }

    /// Takes the present row back, and those of which some columns have values: nothing of them stays.
    pub(super) fn drop_row(&mut self) {
        let rows = self.rows;
        self.cells.iter_mut().chain(&mut self.old_keys).for_each(|column| column.truncate(rows));
        self.absent_names.clear();
        self.row_text_bytes = 0;
    }

    /// The rows so far, in batches of at least one; starts the next one, which is expected to be as large.
    pub(super) fn take(&mut self) -> Result<Vec<RecordBatch>, ArrowError> {
        let mut batches = mem::take(&mut self.batches);
        if self.rows > 0 {
            batches.push(self.end_batch());
        }
        batches.into_iter().collect()
    }

    fn end_batch(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for column in &mut self.cells {
            arrays.push(column.finish()?);
        }
        arrays.push(self.operation.finish()?);
        arrays.push(self.generation.finish()?);
        arrays.push(self.commit_lsn.finish()?);
        arrays.push(self.ordinal.finish()?);
        arrays.push(self.commit_timestamp.finish()?);
        for column in &mut self.old_keys {
            arrays.push(column.finish()?);
        }
        arrays.push(self.absent.finish()?);
        (self.rows, self.text_bytes) = (0, 0);
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }
}

/// Schema of a table's bronze files.
pub(super) fn bronze_schema(table: &TableContract) -> SchemaRef {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let mut fields: Vec<Field> =
        table.columns.iter().map(|column| field(&column.name, data_type(column.column_type))).collect();
    fields.push(field("_operation", DataType::Utf8));
    fields.push(field("_generation", DataType::Int32));
    fields.push(field("_commit_lsn", DataType::Int64));
    fields.push(field("_ordinal", DataType::Int64));
    fields.push(field("_commit_timestamp", data_type(ColumnType::Timestamptz)));
    fields.extend(table.key_columns().map(|key| field(&format!("_old_{}", key.name), data_type(key.column_type))));
    fields.push(field("_absent", DataType::Utf8));
    Arc::new(Schema::new(fields))
}

pub(super) fn data_type(column_type: ColumnType) -> DataType {
    match column_type {
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Integer => DataType::Int32,
        ColumnType::Bigint => DataType::Int64,
        ColumnType::Double => DataType::Float64,
        ColumnType::Decimal { precision, scale } => DataType::Decimal128(precision, scale.cast_signed()),
        ColumnType::Text => DataType::Utf8,
        ColumnType::Date => DataType::Date32,
        ColumnType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    }
}

/// What unscaled values of a `numeric` column are held to.
#[derive(Clone, Copy)]
struct DecimalBounds {
    scale: u8,
    /// The least magnitude that is too large.
    limit: u128,
}

enum ColumnBuilder {
    Boolean(Booleans),
    Integer(Numbers<Int32Type>),
    Bigint(Numbers<Int64Type>),
    Double(Numbers<Float64Type>),
    Decimal(Numbers<Decimal128Type>, DecimalBounds),
    Text(Texts),
    Date(Numbers<Date32Type>),
    Timestamp(Numbers<TimestampMicrosecondType>),
}

impl ColumnBuilder {
    fn new(column_type: ColumnType) -> Self {
        let data_type = data_type(column_type);
        match column_type {
            ColumnType::Boolean => Self::Boolean(Booleans::default()),
            ColumnType::Integer => Self::Integer(Numbers::of(data_type)),
            ColumnType::Bigint => Self::Bigint(Numbers::of(data_type)),
            ColumnType::Double => Self::Double(Numbers::of(data_type)),
            ColumnType::Decimal { precision, scale } => {
                Self::Decimal(Numbers::of(data_type), DecimalBounds { scale, limit: decimal::limit(precision) })
            }
            ColumnType::Text => Self::Text(Texts::default()),
            ColumnType::Date => Self::Date(Numbers::of(data_type)),
            ColumnType::Timestamptz => Self::Timestamp(Numbers::of(data_type)),
        }
    }

    #[inline]
    fn append(&mut self, value: Value<'_>) {
        match (self, value) {
            (Self::Bigint(column), Value::Bigint(value)) => column.push(Some(value)),
            (Self::Decimal(column, _), Value::Decimal(value)) => column.push(Some(value)),
            (Self::Text(column), Value::Text(value)) => column.push(Some(&value)),
            (Self::Timestamp(column), Value::Timestamp(value)) => column.push(Some(value)),
            (Self::Boolean(column), Value::Boolean(value)) => column.push(Some(value)),
            (Self::Integer(column), Value::Integer(value)) => column.push(Some(value)),
            (Self::Double(column), Value::Double(value)) => column.push(Some(value)),
            (Self::Date(column), Value::Date(value)) => column.push(Some(value)),
            (column, Value::Null) => column.append_null(),
            // Not the value: it may be personal.
            (_, other) => panic!("a value of kind {:?} in a column of another type", mem::discriminant(&other)),
        }
    }

    /// Appends values of the column's type from their texts, up to one that is none.
    fn append_texts<'a>(
        &mut self,
        texts: impl Iterator<Item = Result<Option<&'a str>, Refused>>,
    ) -> Result<(), Refused> {
        match self {
            Self::Boolean(column) => push_each(texts, value::boolean, |value| column.push(value)),
            Self::Integer(column) => push_each(texts, value::integer, |value| column.push(value)),
            Self::Bigint(column) => push_each(texts, value::bigint, |value| column.push(value)),
            Self::Double(column) => push_each(texts, value::double, |value| column.push(value)),
            Self::Decimal(column, DecimalBounds { scale, limit }) => {
                push_each(texts, |text| value::numeric(text, *scale, *limit), |value| column.push(value))
            }
            Self::Text(column) => push_each(texts, Some, |value| column.push(value)),
            Self::Date(column) => push_each(texts, time::date, |value| column.push(value)),
            Self::Timestamp(column) => push_each(texts, time::timestamp, |value| column.push(value)),
        }
    }

    fn append_null(&mut self) {
        match self {
            Self::Boolean(column) => column.push(None),
            Self::Integer(column) => column.push(None),
            Self::Bigint(column) => column.push(None),
            Self::Double(column) => column.push(None),
            Self::Decimal(column, _) => column.push(None),
            Self::Text(column) => column.push(None),
            Self::Date(column) => column.push(None),
            Self::Timestamp(column) => column.push(None),
        }
    }

    fn truncate(&mut self, rows: usize) {
        match self {
            Self::Boolean(column) => column.truncate(rows),
            Self::Integer(column) => column.truncate(rows),
            Self::Bigint(column) => column.truncate(rows),
            Self::Double(column) => column.truncate(rows),
            Self::Decimal(column, _) => column.truncate(rows),
            Self::Text(column) => column.truncate(rows),
            Self::Date(column) => column.truncate(rows),
            Self::Timestamp(column) => column.truncate(rows),
        }
    }

    fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Boolean(column) => Ok(column.finish()),
            Self::Integer(column) => column.finish(),
            Self::Bigint(column) => column.finish(),
            Self::Double(column) => column.finish(),
            Self::Decimal(column, _) => column.finish(),
            Self::Text(column) => column.finish(),
            Self::Date(column) => column.finish(),
            Self::Timestamp(column) => column.finish(),
        }
    }
}

#[inline]
fn push_each<'a, T>(
    texts: impl Iterator<Item = Result<Option<&'a str>, Refused>>,
    read: impl Fn(&'a str) -> Option<T>,
    mut push: impl FnMut(Option<T>),
) -> Result<(), Refused> {
    for text in texts {
        push(match text? {
            Some(text) => Some(read(text).ok_or(Refused)?),
            None => None,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lakebed_contract::Lake;

    use super::*;

    /// Rows of each batch when so many are put in, each with a `brewery_name` of so many bytes and no `city`.
    fn batch_rows(rows: usize, name_bytes: usize) -> Vec<usize> {
        let lake = Lake::beer();
        let table = lake.table("brewery").expect("a beer table");
        let mut columns = BronzeColumns::new(table);
        let name = "x".repeat(name_bytes);
        let mark =
            RowMark { operation: Operation::Load, generation: 1, commit_lsn: 0, ordinal: 0, commit_timestamp: 0 };
        for _ in 0..rows {
            for (at, column) in table.columns.iter().enumerate() {
                match column.name.as_str() {
                    "brewery_id" => columns.value(at, Value::Bigint(1)),
                    "brewery_name" => columns.value(at, Value::Text(name.as_str().into())),
                    _ => columns.absent(at),
                }
            }
            columns.old_key(0, Value::Null);
            columns.end_row(&mark);
        }
        let batches = columns.take().expect("whole rows");
        assert!(columns.take().expect("nothing").is_empty(), "taken once");
        batches.iter().map(RecordBatch::num_rows).collect()
    }

    #[test]
    fn a_batch_ends_with_its_rows_or_its_text() {
        assert_eq!(batch_rows(0, 1), [0; 0]);
        assert_eq!(batch_rows(3, 1), [3]);
        assert_eq!(batch_rows(BATCH_ROWS_MAX, 1), [BATCH_ROWS_MAX]);
        assert_eq!(batch_rows(2 * BATCH_ROWS_MAX + 5, 1), [BATCH_ROWS_MAX, BATCH_ROWS_MAX, 5]);
        assert_eq!(batch_rows(70, BATCH_TEXT_BYTES_MAX / 64), [64, 6]);
    }

    #[test]
    fn the_text_of_a_row_taken_back_does_not_count() {
        let lake = Lake::beer();
        let table = lake.table("brewery").expect("a beer table");
        let mut columns = BronzeColumns::new(table);
        let name = "x".repeat(BATCH_TEXT_BYTES_MAX);
        let at = table.columns.iter().position(|column| column.name == "brewery_name").expect("a column of text");
        let mark =
            RowMark { operation: Operation::Load, generation: 1, commit_lsn: 0, ordinal: 0, commit_timestamp: 0 };
        columns.value(at, Value::Text(name.as_str().into()));
        columns.drop_row();
        for row in 0..3 {
            for at in 0..table.columns.len() {
                if row == 0 { columns.absent(at) } else { columns.value(at, Value::Null) }
            }
            columns.old_key(0, Value::Null);
            columns.end_row(&mark);
        }
        let rows: Vec<usize> = columns.take().expect("whole rows").iter().map(RecordBatch::num_rows).collect();
        assert_eq!(rows, [3]);
    }
}

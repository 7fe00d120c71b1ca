//! Columns out of Arrow's own builders.

use std::mem;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int32Builder, Int64Builder,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use lakebed_contract::{ColumnType, TableContract};

use super::record::{Cell, Row};
use crate::engine::columns::{bronze_schema, data_type};
use crate::engine::value::Value;

/// Rows on their way into a batch.
pub(in crate::engine) struct BronzeColumns {
    schema: SchemaRef,
    names: Vec<String>,
    cells: Vec<ColumnBuilder>,
    operation: StringBuilder,
    generation: Int32Builder,
    commit_lsn: Int64Builder,
    ordinal: Int64Builder,
    commit_timestamp: TimestampMicrosecondBuilder,
    old_keys: Vec<ColumnBuilder>,
    absent: StringBuilder,
    rows: usize,
}

impl BronzeColumns {
    pub(in crate::engine) fn new(table: &TableContract) -> Self {
        let builders = |columns: &mut dyn Iterator<Item = &lakebed_contract::Column>| -> Vec<ColumnBuilder> {
            columns.map(|column| ColumnBuilder::new(column.column_type)).collect()
        };
        Self {
            schema: bronze_schema(table),
            names: table.columns.iter().map(|column| column.name.clone()).collect(),
            cells: builders(&mut table.columns.iter()),
            operation: StringBuilder::new(),
            generation: Int32Builder::new(),
            commit_lsn: Int64Builder::new(),
            ordinal: Int64Builder::new(),
            commit_timestamp: TimestampMicrosecondBuilder::new().with_timezone("UTC"),
            old_keys: builders(&mut table.key_columns()),
            absent: StringBuilder::new(),
            rows: 0,
        }
    }

    pub(in crate::engine) fn rows(&self) -> usize {
        self.rows
    }

    pub(in crate::engine) fn append(&mut self, row: Row<'_>) {
        let mut absent = String::new();
        for ((builder, name), cell) in self.cells.iter_mut().zip(&self.names).zip(row.cells) {
            match cell {
                Cell::Value(value) => builder.append(value),
                Cell::Absent => {
                    builder.append(Value::Null);
                    if !absent.is_empty() {
                        absent.push(',');
                    }
                    absent.push_str(name);
                }
            }
        }
        for (builder, value) in self.old_keys.iter_mut().zip(row.old_keys) {
            builder.append(value);
        }
        self.operation.append_value(row.operation.as_str());
        self.generation.append_value(row.generation);
        self.commit_lsn.append_value(row.commit_lsn);
        self.ordinal.append_value(row.ordinal);
        self.commit_timestamp.append_value(row.commit_timestamp);
        self.absent.append_option((!absent.is_empty()).then_some(absent));
        self.rows += 1;
    }

    /// The rows so far as a batch; starts the next one.
    pub(in crate::engine) fn take(&mut self) -> Result<RecordBatch, ArrowError> {
        let mut arrays: Vec<ArrayRef> = self.cells.iter_mut().map(ColumnBuilder::finish).collect();
        arrays.push(Arc::new(self.operation.finish()));
        arrays.push(Arc::new(self.generation.finish()));
        arrays.push(Arc::new(self.commit_lsn.finish()));
        arrays.push(Arc::new(self.ordinal.finish()));
        arrays.push(Arc::new(self.commit_timestamp.finish()));
        arrays.extend(self.old_keys.iter_mut().map(ColumnBuilder::finish));
        arrays.push(Arc::new(self.absent.finish()));
        self.rows = 0;
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }
}

enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Integer(Int32Builder),
    Bigint(Int64Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder),
    Text(StringBuilder),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
}

impl ColumnBuilder {
    fn new(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::new()),
            ColumnType::Integer => Self::Integer(Int32Builder::new()),
            ColumnType::Bigint => Self::Bigint(Int64Builder::new()),
            ColumnType::Double => Self::Double(Float64Builder::new()),
            ColumnType::Decimal { .. } => {
                Self::Decimal(Decimal128Builder::new().with_data_type(data_type(column_type)))
            }
            ColumnType::Text => Self::Text(StringBuilder::new()),
            ColumnType::Date => Self::Date(Date32Builder::new()),
            ColumnType::Timestamptz => Self::Timestamp(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
        }
    }

    fn append(&mut self, value: Value<'_>) {
        match (self, value) {
            (Self::Boolean(builder), Value::Boolean(value)) => builder.append_value(value),
            (Self::Integer(builder), Value::Integer(value)) => builder.append_value(value),
            (Self::Bigint(builder), Value::Bigint(value)) => builder.append_value(value),
            (Self::Double(builder), Value::Double(value)) => builder.append_value(value),
            (Self::Decimal(builder), Value::Decimal(value)) => builder.append_value(value),
            (Self::Date(builder), Value::Date(value)) => builder.append_value(value),
            (Self::Timestamp(builder), Value::Timestamp(value)) => builder.append_value(value),
            (Self::Text(builder), Value::Text(value)) => builder.append_value(&value),
            (builder, Value::Null) => builder.append_null(),
            // Not the value: it may be personal.
            (_, other) => panic!("a value of kind {:?} in a column of another type", mem::discriminant(&other)),
        }
    }

    fn append_null(&mut self) {
        match self {
            Self::Boolean(builder) => builder.append_null(),
            Self::Integer(builder) => builder.append_null(),
            Self::Bigint(builder) => builder.append_null(),
            Self::Double(builder) => builder.append_null(),
            Self::Decimal(builder) => builder.append_null(),
            Self::Text(builder) => builder.append_null(),
            Self::Date(builder) => builder.append_null(),
            Self::Timestamp(builder) => builder.append_null(),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::Bigint(builder) => Arc::new(builder.finish()),
            Self::Double(builder) => Arc::new(builder.finish()),
            Self::Decimal(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
            Self::Timestamp(builder) => Arc::new(builder.finish()),
        }
    }
}

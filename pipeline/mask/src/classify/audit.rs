//! Columns of a table that nobody classed although their values or names speak for personal data.
//!
//! Knows Arrow, so that an ingest run can ask about the batch in its hands. Says what it suspects; whether that stops the run
//! is the caller's decision. A suspicion holds no values.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use lakebed_contract::{ColumnType, TableContract};

use super::values::EXAMINED_MAX;
use super::{Classification, Classifier};

/// A column that should have a class and has none.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspicion {
    /// Name of the column.
    pub column: String,
    /// What it seems to hold; has a class always.
    pub classification: Classification,
}

impl Classifier {
    /// The columns of a batch without a class in the contract that seem to hold personal data, in the batch's order. Columns
    /// the contract does not know are judged by their Arrow type. Values are taken evenly from the whole batch.
    pub fn audit(&self, table: &TableContract, batch: &RecordBatch) -> Vec<Suspicion> {
        let schema = batch.schema();
        let columns = schema.fields().iter().zip(batch.columns());
        let suspicions = columns.filter_map(|(field, array)| {
            let declared = table.column(field.name());
            if declared.is_some_and(|column| column.class.is_some()) {
                return None;
            }
            let column_type = match declared {
                Some(column) => column.column_type,
                None => column_type_of(array.data_type())?,
            };
            let classification = self.classify_array(field.name(), column_type, array);
            classification.class.is_some().then(|| Suspicion { column: field.name().clone(), classification })
        });
        suspicions.collect()
    }

    fn classify_array(&self, name: &str, column_type: ColumnType, array: &ArrayRef) -> Classification {
        let step = array.len().div_ceil(EXAMINED_MAX).max(1);
        let rows = (0..array.len()).step_by(step).filter(|row| array.is_valid(*row));
        match array.data_type() {
            DataType::Utf8 => {
                let texts = array.as_string::<i32>();
                self.classify(name, column_type, None, rows.map(|row| texts.value(row)))
            }
            DataType::LargeUtf8 => {
                let texts = array.as_string::<i64>();
                self.classify(name, column_type, None, rows.map(|row| texts.value(row)))
            }
            DataType::Utf8View => {
                let texts = array.as_string_view();
                self.classify(name, column_type, None, rows.map(|row| texts.value(row)))
            }
            _ => {
                // Dates, instants, truth values and fractions are judged by their names alone.
                let as_number = matches!(
                    column_type,
                    ColumnType::Integer | ColumnType::Bigint | ColumnType::Decimal { scale: 0, .. } | ColumnType::Text
                );
                let options = FormatOptions::default();
                let formatter = ArrayFormatter::try_new(array.as_ref(), &options).ok().filter(|_| as_number);
                let texts: Vec<String> = formatter.map_or_else(Vec::new, |formatter| {
                    rows.filter_map(|row| formatter.value(row).try_to_string().ok()).collect()
                });
                self.classify(name, column_type, None, texts.iter().map(String::as_str))
            }
        }
    }
}

/// The contract type an array of an undeclared column would have; `None` for types no contract has.
fn column_type_of(data_type: &DataType) -> Option<ColumnType> {
    Some(match data_type {
        DataType::Boolean => ColumnType::Boolean,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => ColumnType::Integer,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => ColumnType::Bigint,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => ColumnType::Double,
        DataType::Date32 | DataType::Date64 => ColumnType::Date,
        DataType::Timestamp(_, _) => ColumnType::Timestamptz,
        DataType::Decimal128(precision, scale) => {
            ColumnType::Decimal { precision: *precision, scale: u8::try_from(*scale).ok()? }
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(_, _) => ColumnType::Text,
        _ => return None,
    })
}

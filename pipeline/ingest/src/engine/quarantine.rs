//! The quarantine file of one raw object: which record broke which rule, why, and where it begins. Never a value of the record.
//!
//! Its place is its number, and the offset of its first byte in the object's text as the readers get it: inflated, and in UTF-8
//! where the object is UTF-16 (without the mark of UTF-16; the one of UTF-8 counts). Latin-1 and Windows-1252 stay a byte a
//! character. So who may read the raw object finds the record, and nobody else learns more than that there is one.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Builder, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;

use super::EngineError;
use super::parquet::ParquetFile;
use super::record::Violation;

/// Violations held before they are written.
const BATCH_ROWS: usize = 8_192;

/// Collects violations.
pub(super) struct QuarantineFile<'a, W: Write + Send> {
    file: ParquetFile<W>,
    schema: SchemaRef,
    source_object: &'a str,
    source_objects: StringBuilder,
    row_numbers: Int64Builder,
    source_offsets: Int64Builder,
    rules: StringBuilder,
    reasons: StringBuilder,
    operations: StringBuilder,
    rows: usize,
}

impl<'a, W: Write + Send> QuarantineFile<'a, W> {
    pub(super) fn new(target: W, source_object: &'a str) -> Self {
        let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
        let schema = Arc::new(Schema::new(vec![
            field("source_object", DataType::Utf8),
            field("row_number", DataType::Int64),
            field("source_offset", DataType::Int64),
            field("rule", DataType::Utf8),
            field("reason", DataType::Utf8),
            field("_operation", DataType::Utf8),
        ]));
        Self {
            file: ParquetFile::new(target, Arc::clone(&schema)),
            schema,
            source_object,
            source_objects: StringBuilder::new(),
            row_numbers: Int64Builder::new(),
            source_offsets: Int64Builder::new(),
            rules: StringBuilder::new(),
            reasons: StringBuilder::new(),
            operations: StringBuilder::new(),
            rows: 0,
        }
    }

    pub(super) fn append(
        &mut self,
        row_number: u64,
        source_offset: u64,
        violation: &Violation,
    ) -> Result<(), EngineError> {
        self.source_objects.append_value(self.source_object);
        self.row_numbers.append_value(row_number.cast_signed());
        self.source_offsets.append_value(source_offset.cast_signed());
        self.rules.append_value(violation.rule.as_str());
        self.reasons.append_value(&violation.reason);
        self.operations.append_option(violation.operation.map(|operation| operation.as_str()));
        self.rows += 1;
        if self.rows == BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), EngineError> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.source_objects.finish()),
            Arc::new(self.row_numbers.finish()),
            Arc::new(self.source_offsets.finish()),
            Arc::new(self.rules.finish()),
            Arc::new(self.reasons.finish()),
            Arc::new(self.operations.finish()),
        ];
        self.rows = 0;
        Ok(self.file.write(&RecordBatch::try_new(Arc::clone(&self.schema), columns)?)?)
    }

    /// Writes what is left and the footer; returns the rows written.
    pub(super) fn close(mut self) -> Result<u64, EngineError> {
        if self.rows > 0 {
            self.flush()?;
        }
        Ok(self.file.close()?)
    }
}

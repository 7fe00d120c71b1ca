//! Parquet files whose bytes follow from their rows alone: fixed writer name, fixed settings, no time of writing.
//!
//! A file is begun with its first row, so a target without rows stays empty. [`BronzeFile`] takes masked rows only.

use std::io::Write;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use lakebed_mask::MaskedBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use super::{ROW_GROUP_BYTES_MAX, ROW_GROUP_ROWS_MAX};

/// Stands in the files instead of the library's version, which would change their bytes with every update.
const CREATED_BY: &str = "lakebed";

/// A Parquet file that begins with its first row.
pub(super) struct ParquetFile<W: Write + Send> {
    schema: SchemaRef,
    target: Option<W>,
    writer: Option<ArrowWriter<W>>,
    rows: u64,
}

impl<W: Write + Send> ParquetFile<W> {
    pub(super) fn new(target: W, schema: SchemaRef) -> Self {
        Self { schema, target: Some(target), writer: None, rows: 0 }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), ParquetError> {
        if let Some(target) = self.target.take() {
            self.writer = Some(ArrowWriter::try_new(target, self.schema.clone(), Some(properties()?))?);
        }
        self.writer.as_mut().expect("begun with the first batch").write(batch)?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Writes the footer; returns the rows written.
    pub(super) fn close(self) -> Result<u64, ParquetError> {
        if let Some(writer) = self.writer {
            writer.into_inner()?.flush()?;
        }
        Ok(self.rows)
    }
}

fn properties() -> Result<WriterProperties, ParquetError> {
    let zstd = Compression::ZSTD(ZstdLevel::try_new(1)?);
    Ok(WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(zstd)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX))
        .set_max_row_group_bytes(Some(ROW_GROUP_BYTES_MAX))
        .build())
}

/// The bronze file of one raw object.
pub(super) struct BronzeFile<W: Write + Send>(ParquetFile<W>);

impl<W: Write + Send> BronzeFile<W> {
    pub(super) fn new(target: W, schema: SchemaRef) -> Self {
        Self(ParquetFile::new(target, schema))
    }

    pub(super) fn write(&mut self, rows: &MaskedBatch) -> Result<(), ParquetError> {
        self.0.write(rows.batch())
    }

    pub(super) fn close(self) -> Result<u64, ParquetError> {
        self.0.close()
    }
}

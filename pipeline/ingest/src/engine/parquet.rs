//! Parquet files whose bytes follow from their rows alone: fixed writer name, fixed settings, no time of writing.
//!
//! A file is begun with its first row, so a target without rows stays empty. A bronze file is written a row group at a time, and
//! the columns of a row group are encoded one by one, each on whatever thread is free: [`ColumnTask`]. Pages end after whole
//! thousands of rows counted from the row group's first, so nothing depends on the batches that rows came in. Only masked rows
//! get in.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::{FieldRef, SchemaRef};
use arrow::record_batch::RecordBatch;
use lakebed_contract::{ColumnType, TableContract};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::ColumnPath;

use super::ROW_GROUP_ROWS_MAX;
use super::row_groups::RowGroup;

/// Stands in the files instead of the library's version, which would change their bytes with every update.
const CREATED_BY: &str = "lakebed";
/// Rows that the writer takes at a time, between two looks at the size of its page.
const WRITE_ROWS: usize = 1_024;
/// Share of absent keys that a bloom filter takes for present.
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

/// A Parquet file that begins with its first row and is written batch by batch.
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
            let properties = properties()?.build();
            self.writer = Some(ArrowWriter::try_new(target, self.schema.clone(), Some(properties))?);
        }
        self.writer.as_mut().expect("begun with the first batch").write(batch)?;
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// Writes the footer; returns the rows written.
    pub(super) fn close(self) -> Result<u64, ParquetError> {
        if let Some(writer) = self.writer {
            writer.close()?;
        }
        Ok(self.rows)
    }
}

fn properties() -> Result<WriterPropertiesBuilder, ParquetError> {
    Ok(WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_write_batch_size(WRITE_ROWS)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS_MAX)))
}

/// Settings of a table's bronze files. Statistics and the page index are on for every column.
///
/// A dictionary is built value by value, and given up where values do not repeat. So it is not begun for keys, which have a
/// bloom filter instead, nor for free text and instants. Whole numbers among those, and the position of a change, are written
/// as differences.
pub(super) fn bronze_properties(table: &TableContract) -> Result<WriterProperties, ParquetError> {
    let mut properties = properties()?;
    for column in &table.columns {
        let path = ColumnPath::from(column.name.as_str());
        if column.is_key {
            properties = properties
                .set_column_bloom_filter_enabled(path.clone(), true)
                .set_column_bloom_filter_fpp(path.clone(), BLOOM_FALSE_POSITIVES)
                .set_column_bloom_filter_ndv(path.clone(), ROW_GROUP_ROWS_MAX as u64);
        }
        let is_whole = matches!(column.column_type, ColumnType::Integer | ColumnType::Bigint);
        let is_instant = column.column_type == ColumnType::Timestamptz;
        if is_instant || (column.is_key && is_whole) {
            properties = as_differences(properties, path);
        } else if column.is_key || column.class.as_deref() == Some("free_text") {
            properties = properties.set_column_dictionary_enabled(path, false);
        }
    }
    for name in ["_generation", "_commit_lsn", "_ordinal", "_commit_timestamp"] {
        properties = as_differences(properties, ColumnPath::from(name));
    }
    Ok(properties.build())
}

fn as_differences(properties: WriterPropertiesBuilder, path: ColumnPath) -> WriterPropertiesBuilder {
    properties
        .set_column_dictionary_enabled(path.clone(), false)
        .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
}

fn open<W: Write + Send>(
    target: W,
    schema: &SchemaRef,
    table: &TableContract,
) -> Result<(SerializedFileWriter<W>, ArrowRowGroupWriterFactory), ParquetError> {
    ArrowWriter::try_new(target, Arc::clone(schema), Some(bronze_properties(table)?))?.into_serialized_writer()
}

/// Makes the tasks in which row groups are encoded.
pub(super) struct RowGroupEncoder {
    writers: ArrowRowGroupWriterFactory,
    schema: SchemaRef,
}

impl RowGroupEncoder {
    pub(super) fn new(schema: &SchemaRef, table: &TableContract) -> Result<Self, ParquetError> {
        // Encoding needs the settings of a file, not the file.
        let (_, writers) = open(std::io::sink(), schema, table)?;
        Ok(Self { writers, schema: Arc::clone(schema) })
    }

    /// One task for each column, and what their results are put into.
    pub(super) fn tasks(&self, number: u64, group: RowGroup) -> Result<RowGroupTasks, ParquetError> {
        let group = Arc::new(group);
        let writers = self.writers.create_column_writers(usize::try_from(number).unwrap_or(usize::MAX))?;
        let columns = writers.into_iter().zip(self.schema.fields()).enumerate();
        let columns: Vec<_> = columns
            .map(|(column, (writer, field))| ColumnTask {
                number,
                column,
                field: Arc::clone(field),
                writer: Box::new(writer),
                group: Arc::clone(&group),
            })
            .collect();
        let chunks = columns.iter().map(|_| None).collect();
        Ok(RowGroupTasks { columns, encoded: EncodedRowGroup { schema: Arc::clone(&self.schema), chunks } })
    }
}

/// A row group on its way into the file.
pub(super) struct RowGroupTasks {
    /// What is to be done, in any order.
    pub(super) columns: Vec<ColumnTask>,
    /// Where the results belong.
    pub(super) encoded: EncodedRowGroup,
}

/// The columns of a row group, as far as they are encoded.
pub(super) struct EncodedRowGroup {
    schema: SchemaRef,
    chunks: Vec<Option<Box<ArrowColumnChunk>>>,
}

impl EncodedRowGroup {
    pub(super) fn put(&mut self, column: usize, chunk: Box<ArrowColumnChunk>) {
        self.chunks[column] = Some(chunk);
    }

    pub(super) fn is_complete(&self) -> bool {
        self.chunks.iter().all(Option::is_some)
    }
}

/// One column of one row group, to be encoded.
pub(super) struct ColumnTask {
    /// Which row group.
    pub(super) number: u64,
    /// Which column of it.
    pub(super) column: usize,
    field: FieldRef,
    writer: Box<ArrowColumnWriter>,
    group: Arc<RowGroup>,
}

impl ColumnTask {
    /// Memory of the column, by which the long tasks can be told from the short ones.
    pub(super) fn memory_bytes(&self) -> usize {
        self.group.arrays(self.column).map(|array| array.get_array_memory_size()).sum()
    }

    pub(super) fn encode(self) -> Result<Box<ArrowColumnChunk>, ParquetError> {
        let Self { column, field, mut writer, group, .. } = self;
        let mut write = |array: &ArrayRef| -> Result<(), ParquetError> {
            for leaf in compute_leaves(&field, array)? {
                writer.write(&leaf)?;
            }
            Ok(())
        };
        let (mut short, mut short_rows) = (Vec::new(), 0);
        for array in group.arrays(column) {
            let mut from = 0;
            if short_rows > 0 {
                from = array.len().min(WRITE_ROWS - short_rows);
                short.push(array.slice(0, from));
                short_rows += from;
                if short_rows < WRITE_ROWS {
                    continue;
                }
                write(&joined(&short)?)?;
                short.clear();
            }
            let whole = (array.len() - from) / WRITE_ROWS * WRITE_ROWS;
            if whole > 0 {
                write(&array.slice(from, whole))?;
            }
            short_rows = array.len() - from - whole;
            if short_rows > 0 {
                short.push(array.slice(from + whole, short_rows));
            }
        }
        if short_rows > 0 {
            write(&joined(&short)?)?;
        }
        writer.close().map(Box::new)
    }
}

fn joined(arrays: &[ArrayRef]) -> Result<ArrayRef, ParquetError> {
    let arrays: Vec<&dyn Array> = arrays.iter().map(|array| &**array).collect();
    Ok(concat(&arrays)?)
}

/// The bronze file of one raw object.
pub(super) struct BronzeFile<'t, W: Write + Send> {
    table: &'t TableContract,
    target: Option<W>,
    writer: Option<SerializedFileWriter<W>>,
    rows: u64,
}

impl<'t, W: Write + Send> BronzeFile<'t, W> {
    pub(super) fn new(target: W, table: &'t TableContract) -> Self {
        Self { table, target: Some(target), writer: None, rows: 0 }
    }

    /// Appends a row group whose columns are encoded.
    pub(super) fn append(&mut self, row_group: EncodedRowGroup) -> Result<(), ParquetError> {
        if let Some(target) = self.target.take() {
            self.writer = Some(open(target, &row_group.schema, self.table)?.0);
        }
        let writer = self.writer.as_mut().expect("begun with the first row group");
        let mut appended = writer.next_row_group()?;
        for column in row_group.chunks.into_iter().flatten() {
            column.append_to_row_group(&mut appended)?;
        }
        self.rows += appended.close()?.num_rows().cast_unsigned();
        Ok(())
    }

    /// Writes the footer; returns the rows written.
    pub(super) fn close(self) -> Result<u64, ParquetError> {
        if let Some(writer) = self.writer {
            writer.close()?;
        }
        Ok(self.rows)
    }
}

//! Writing data files: rows of one partition become one zstd Parquet file with statistics, then one PUT.
//!
//! Promises: encodes and uploads at most [`WRITES_MAX`] files at once; keeps the file as the local copy of what was uploaded; says
//! what it wrote even when it fails halfway, so that the caller can remove orphans.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, SchemaRef as ArrowSchemaRef};
use bytes::Bytes;
use futures::{StreamExt, stream};
use iceberg::arrow::{RecordBatchPartitionSplitter, schema_to_arrow_schema};
use iceberg::io::FileIO;
use iceberg::spec::{DataFile, PartitionKey};
use iceberg::table::Table;
use iceberg::writer::file_writer::{FileWriter, FileWriterBuilder, ParquetWriterBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use uuid::Uuid;

use super::cache::FileCache;
use super::snapshot::Partitioning;
use crate::error::{Attempt, Result, WarehouseError};

/// Data files encoded and uploaded at once.
pub(crate) const WRITES_MAX: usize = 8;
/// Low levels of zstd compress these columns nearly as well as high ones, several times faster.
const ZSTD_LEVEL: i32 = 1;

/// Rows of one partition, sorted by key, in the table's Arrow schema.
pub(crate) struct Part {
    /// Path of the partition (see [`Partitioning::path`]).
    pub(crate) path: String,
    /// Its values; `None` in an unpartitioned table.
    pub(crate) key: Option<PartitionKey>,
    /// Its rows.
    pub(crate) batches: Vec<RecordBatch>,
}

/// The Arrow schema of a table, with Iceberg's field ids.
pub(crate) fn arrow_schema(table: &Table) -> Result<ArrowSchemaRef> {
    let schema = schema_to_arrow_schema(table.metadata().current_schema());
    Ok(Arc::new(schema.attempt(|| format!("map the schema of `{}` to Arrow", table.identifier()))?))
}

/// Brings columns into a schema by name, because a table that has changed has them in another order; only casts between
/// representations of the same type.
pub(crate) fn conform(batch: &RecordBatch, schema: &ArrowSchemaRef) -> Result<RecordBatch> {
    let failed = || "bring columns into the table's types".to_owned();
    let column = |field: &Arc<Field>| {
        let column = batch.column_by_name(field.name()).ok_or_else(|| WarehouseError::Request {
            reason: format!("the result has no column `{}`, which its table has", field.name()),
        })?;
        if column.data_type() == field.data_type() {
            Ok(column.clone())
        } else {
            arrow::compute::cast(column, field.data_type()).attempt(failed)
        }
    };
    let columns: Result<Vec<_>> = schema.fields().iter().map(column).collect();
    RecordBatch::try_new(schema.clone(), columns?).attempt(failed)
}

/// Splits batches by partition value.
pub(crate) struct Splitter {
    partitioning: Partitioning,
    splitter: Option<RecordBatchPartitionSplitter>,
}

impl Splitter {
    /// For a table's current specification.
    pub(crate) fn new(table: &Table) -> Result<Self> {
        let partitioning = Partitioning::of(table);
        let splitter = if partitioning.spec().is_unpartitioned() {
            None
        } else {
            let (schema, spec) = (partitioning.schema().clone(), partitioning.spec().clone());
            let splitter = RecordBatchPartitionSplitter::try_new_with_computed_values(schema, spec);
            Some(splitter.attempt(|| format!("split rows of `{}` by partition", table.identifier()))?)
        };
        Ok(Self { partitioning, splitter })
    }

    /// The batch's rows by partition, in their order.
    pub(crate) fn split(&self, batch: RecordBatch) -> Result<Vec<(String, Option<PartitionKey>, RecordBatch)>> {
        let Some(splitter) = &self.splitter else { return Ok(vec![(String::new(), None, batch)]) };
        let parts = splitter.split(&batch).attempt(|| "split rows by partition".to_owned())?;
        Ok(parts.into_iter().map(|(key, rows)| (self.partitioning.path(key.data()), Some(key), rows)).collect())
    }
}

/// What [`DataWriter::write_all`] did.
pub(crate) struct Written {
    /// The data files, if all went well.
    pub(crate) files: Result<Vec<DataFile>>,
    /// Locations that may hold an object now.
    pub(crate) locations: Vec<String>,
}

/// Writes data files of one table.
#[derive(Clone)]
pub(crate) struct DataWriter {
    table: Table,
    cache: Arc<FileCache>,
    run: Uuid,
    first: usize,
}

impl DataWriter {
    /// `run` names the files of one attempt.
    pub(crate) fn new(table: Table, cache: Arc<FileCache>, run: Uuid) -> Self {
        Self { table, cache, run, first: 0 }
    }

    /// The same writer, numbering its files from `first`.
    pub(crate) fn starting_at(&self, first: usize) -> Self {
        Self { first, ..self.clone() }
    }

    /// Writes the parts that `parts` makes, a bounded number at a time. A part without rows makes no file.
    pub(crate) async fn write_all<F>(&self, parts: Vec<F>) -> Written
    where
        F: FnOnce() -> Result<Part> + Send + 'static,
    {
        let tasks = (self.first..).zip(parts).map(|(number, part)| {
            let writer = self.clone();
            // Spawned, so that encoding uses every core and not only the caller's.
            async move { tokio::spawn(writer.write_one(number, part)).await.map_err(WarehouseError::Task) }
        });
        let results: Vec<_> = stream::iter(tasks).buffer_unordered(WRITES_MAX).collect().await;
        let (mut files, mut locations, mut failure) = (Vec::new(), Vec::new(), None);
        for result in results {
            match result {
                Ok((location, Ok(file))) => {
                    locations.extend(location);
                    files.extend(file);
                }
                Ok((location, Err(error))) => {
                    locations.extend(location);
                    failure = Some(error);
                }
                Err(error) => failure = Some(error),
            }
        }
        files.sort_by(|a, b| a.file_path().cmp(b.file_path()));
        Written { files: failure.map_or(Ok(files), Err), locations }
    }

    async fn write_one<F>(self, number: usize, part: F) -> (Option<String>, Result<Option<DataFile>>)
    where
        F: FnOnce() -> Result<Part> + Send + 'static,
    {
        let part = match tokio::task::spawn_blocking(part).await.map_err(WarehouseError::Task).and_then(|part| part) {
            Ok(part) if part.batches.iter().all(|batch| batch.num_rows() == 0) => return (None, Ok(None)),
            Ok(part) => part,
            Err(error) => return (None, Err(error)),
        };
        let folder = if part.path.is_empty() { String::new() } else { format!("{}/", part.path) };
        let location = format!("{}/data/{folder}{}-{number:05}.parquet", self.table.metadata().location(), self.run);
        let written = self.encode_and_upload(part, &location).await;
        (Some(location), written.map(Some))
    }

    async fn encode_and_upload(&self, part: Part, location: &str) -> Result<DataFile> {
        let failed = || format!("write `{location}`");
        let path = self.cache.fresh_path();
        let schema = self.table.metadata().current_schema().clone();
        let level = ZstdLevel::try_new(ZSTD_LEVEL).attempt(failed)?;
        let properties = WriterProperties::builder().set_compression(Compression::ZSTD(level)).build();
        let output = FileIO::new_with_fs().new_output(format!("file://{}", path.display())).attempt(failed)?;
        let mut writer = ParquetWriterBuilder::new(properties, schema).build(output).await.attempt(failed)?;
        for batch in &part.batches {
            writer.write(batch).await.attempt(failed)?;
        }
        let mut builders = writer.close().await.attempt(failed)?;
        let mut builder = builders.pop().ok_or_else(|| WarehouseError::Unsupported {
            table: self.table.identifier().to_string(),
            reason: "the Parquet writer returned no data file for a part with rows".to_owned(),
        })?;
        let encoded = std::fs::read(&path).attempt(|| format!("read scratch file `{}`", path.display()))?;
        let bytes = encoded.len() as u64;
        let output = self.table.file_io().new_output(location).attempt(failed)?;
        output.write(Bytes::from(encoded)).await.attempt(failed)?;
        builder.file_path(location.to_owned());
        builder.partition_spec_id(self.table.metadata().default_partition_spec_id());
        if let Some(key) = &part.key {
            builder.partition(key.data().clone());
        }
        let file = builder.build().map_err(|error| WarehouseError::Unsupported {
            table: self.table.identifier().to_string(),
            reason: format!("the data file is incomplete: {error}"),
        })?;
        self.cache.adopt(location.to_owned(), path, bytes);
        Ok(file)
    }
}

/// Removes objects that no snapshot refers to. Best effort: what cannot be removed is logged and left.
pub(crate) async fn remove_orphans(io: &FileIO, locations: Vec<String>) {
    let removals = locations.into_iter().map(|location| async move {
        if let Err(error) = io.delete(&location).await {
            tracing::warn!(location, %error, "an orphan file could not be removed");
        }
    });
    stream::iter(removals).buffer_unordered(WRITES_MAX).collect::<Vec<()>>().await;
}

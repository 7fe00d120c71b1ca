//! Reading Parquet files of any version of a table as the table is now: data files by field id, bronze by present or former name.
//!
//! Promises: only casts under which every value stays what it is; a column whose values would not is refused with its file and its
//! name. A bronze file's missing columns are NULL and said to be unknown to it, and its `_absent` speaks of present names afterwards.
//! Reading blocks: call it on a blocking thread.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, SchemaRef, TimeUnit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::arrow::{PARQUET_FIELD_ID_META_KEY, ProjectionMask};

use super::changes::RecordLayout;
use crate::error::{Attempt, Result, WarehouseError};

/// Rows per Arrow batch when reading Parquet.
pub(crate) const READ_BATCH_ROWS: usize = 65_536;

/// Which columns of a bronze file are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Values {
    /// All; the others of the schema are NULL.
    All,
    /// Keys and bookkeeping, which is enough to tell which keys the records touch.
    Keys,
}

/// Reads columns of an Iceberg data file into `schema`, whose fields carry their field ids. A column that came after the file is NULL.
pub(crate) fn read_data_file(
    path: &Path,
    layout: &RecordLayout,
    schema: &SchemaRef,
    origin: &str,
) -> Result<Vec<RecordBatch>> {
    let file = open(path, origin)?;
    let ids = field_ids(&file);
    let place = |field: &Arc<Field>| {
        if ids.is_empty() {
            // Written by something that gives no ids: then names are all there is.
            let mut names = [field.name()].into_iter().chain(layout.called_before(field.name()));
            return names.find_map(|name| file.schema().index_of(name).ok());
        }
        ids.get(&field.metadata().get(PARQUET_FIELD_ID_META_KEY)?.parse::<i32>().ok()?).copied()
    };
    let places = schema.fields().iter().map(place).collect();
    project(file, places, schema, origin)
}

/// Reads a bronze file into [`RecordLayout::schema`].
pub(crate) fn read_bronze(
    path: &Path,
    layout: &RecordLayout,
    values: Values,
    origin: &str,
) -> Result<Vec<RecordBatch>> {
    let file = open(path, origin)?;
    let schema = file.schema().clone();
    let names: HashMap<&str, usize> = schema.fields().iter().map(|field| field.name().as_str()).zip(0..).collect();
    let mut places = Vec::with_capacity(layout.called().len());
    for called in layout.called() {
        places.push(place_of(called, &names, origin)?);
    }
    let unknown: Vec<&str> =
        (0..layout.in_contract).filter(|at| places[*at].is_none()).map(|at| layout.names()[at].as_str()).collect();
    if let Some(key) = layout.keys.iter().find(|key| places[**key].is_none()) {
        return Err(WarehouseError::Bronze {
            key: origin.to_owned(),
            reason: format!(
                "it has no column `{}`, which is part of the key; if the column had another name then, list that under its former \
                 names",
                layout.names()[*key]
            ),
        });
    }
    let unknown = unknown.join(",");
    let names = PresentNames::of(layout, &places, &names);
    if values == Values::Keys {
        (0..layout.in_contract).filter(|at| !layout.keys.contains(at)).for_each(|at| places[at] = None);
    }
    let batches = project(file, places, layout.schema(), origin)?;
    batches.into_iter().map(|batch| told(batch, layout, &names, &unknown, origin)).collect()
}

/// Where the column stands that may have any of these names.
fn place_of(called: &[String], names: &HashMap<&str, usize>, origin: &str) -> Result<Option<usize>> {
    let mut found = called.iter().filter_map(|name| Some((name, *names.get(name.as_str())?)));
    let first = found.next();
    match (first, found.next()) {
        (Some((one, _)), Some((other, _))) => Err(WarehouseError::Bronze {
            key: origin.to_owned(),
            reason: format!(
                "it has `{one}` and `{other}`, and the contract says that both are one column; use a contract under which each of the \
                 two has its own, or take the file away and publish its object anew under this one"
            ),
        }),
        _ => Ok(first.map(|(_, at)| at)),
    }
}

type FileReader = ParquetRecordBatchReaderBuilder<File>;

fn open(path: &Path, origin: &str) -> Result<FileReader> {
    let failed = || format!("read `{origin}`");
    ParquetRecordBatchReaderBuilder::try_new(File::open(path).attempt(failed)?).attempt(failed)
}

/// Where the column of each field id stands.
fn field_ids(file: &FileReader) -> HashMap<i32, usize> {
    let columns = file.parquet_schema().root_schema().get_fields().iter().enumerate();
    let with_id = columns.filter(|(_, column)| column.get_basic_info().has_id());
    with_id.map(|(at, column)| (column.get_basic_info().id(), at)).collect()
}

/// Reads the file's columns at `places` into `schema`.
fn project(file: FileReader, places: Vec<Option<usize>>, schema: &SchemaRef, origin: &str) -> Result<Vec<RecordBatch>> {
    let failed = || format!("read `{origin}`");
    let mut read: Vec<usize> = places.iter().flatten().copied().collect();
    read.sort_unstable();
    read.dedup();
    let mask = ProjectionMask::roots(file.parquet_schema(), read.iter().copied());
    let reader = file.with_projection(mask).with_batch_size(READ_BATCH_ROWS).build().attempt(failed)?;
    let mut batches = Vec::new();
    for batch in reader {
        let batch = batch.attempt(failed)?;
        let mut columns = Vec::with_capacity(places.len());
        for (field, place) in schema.fields().iter().zip(&places) {
            // The batch has the columns read, in the file's order.
            let column = place.and_then(|place| read.binary_search(&place).ok()).map(|at| batch.column(at));
            columns.push(match column {
                Some(column) => lossless(column, field, origin)?,
                None => new_null_array(field.data_type(), batch.num_rows()),
            });
        }
        batches.push(RecordBatch::try_new(schema.clone(), columns).attempt(failed)?);
    }
    Ok(batches)
}

/// Casts to the type of `field` if no value can change by it.
fn lossless(column: &ArrayRef, field: &Field, origin: &str) -> Result<ArrayRef> {
    if column.data_type() == field.data_type() {
        return Ok(column.clone());
    }
    if !holds_all(column.data_type(), field.data_type()) {
        return Err(WarehouseError::Unsupported {
            table: origin.to_owned(),
            reason: format!(
                "column `{}` is {} there and {} now, which does not hold all that is there; a column of another type needs \
                 another name",
                field.name(),
                column.data_type(),
                field.data_type()
            ),
        });
    }
    let strict = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, field.data_type(), &strict)
        .attempt(|| format!("bring column `{}` of `{origin}` into the table's type", field.name()))
}

fn holds_all(from: &DataType, to: &DataType) -> bool {
    use DataType::{Decimal128, Dictionary, Float32, Float64, Int32, Int64, LargeUtf8, Timestamp, Utf8, Utf8View};
    match (from, to) {
        (Int32, Int64) | (Float32, Float64) | (LargeUtf8 | Utf8View, Utf8) => true,
        (Dictionary(_, values), to) => values.as_ref() == to,
        (Decimal128(from, before), Decimal128(to, after)) => before == after && from <= to,
        // Zones are names of one instant; a finer unit holds what a coarser one does.
        (Timestamp(from, _), Timestamp(TimeUnit::Microsecond, _)) => *from != TimeUnit::Nanosecond,
        _ => false,
    }
}

/// What the names in a file's `_absent` are now.
struct PresentNames {
    /// By the file's name; `None` if the contract dropped the column. Empty if nothing differs.
    of: HashMap<String, Option<String>>,
}

impl PresentNames {
    fn of(layout: &RecordLayout, places: &[Option<usize>], names: &HashMap<&str, usize>) -> Self {
        let present: HashMap<usize, &String> = places[..layout.in_contract]
            .iter()
            .zip(layout.names())
            .filter_map(|(at, name)| Some(((*at)?, name)))
            .collect();
        let used: Vec<usize> = places.iter().flatten().copied().collect();
        let mut of = HashMap::new();
        for (name, at) in names {
            match present.get(at) {
                Some(now) if now.as_str() != *name => of.insert((*name).to_owned(), Some((*now).clone())),
                None if !used.contains(at) => of.insert((*name).to_owned(), None),
                _ => None,
            };
        }
        for dropped in layout.dropped() {
            of.insert(dropped.clone(), None);
        }
        Self { of }
    }

    /// The same list with present names, without dropped columns. A name that nobody knows stays, for the decoder to refuse.
    fn list(&self, absent: &str) -> String {
        let names = absent.split(',').map(str::trim);
        let now = names.filter_map(|name| self.of.get(name).map_or(Some(name), Option::as_deref));
        now.collect::<Vec<_>>().join(",")
    }
}

/// Sets what the file says about absence: `_absent` in present names, and the columns it does not know.
fn told(
    batch: RecordBatch,
    layout: &RecordLayout,
    names: &PresentNames,
    unknown: &str,
    origin: &str,
) -> Result<RecordBatch> {
    if names.of.is_empty() && unknown.is_empty() {
        return Ok(batch);
    }
    let mut columns = batch.columns().to_vec();
    let absent = layout.absent();
    if !names.of.is_empty() {
        let mut lists: HashMap<&str, String> = HashMap::new();
        let texts = columns[absent].as_string::<i32>().clone();
        for text in texts.iter().flatten() {
            lists.entry(text).or_insert_with(|| names.list(text));
        }
        columns[absent] =
            Arc::new(texts.iter().map(|text| text.map(|text| lists[text].as_str())).collect::<StringArray>());
    }
    if !unknown.is_empty() {
        columns[absent + 1] = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(unknown, batch.num_rows())));
    }
    RecordBatch::try_new(batch.schema(), columns).attempt(|| format!("read `{origin}`"))
}

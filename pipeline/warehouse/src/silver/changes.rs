//! Change records of one table as columns: read from bronze Parquet, typed as silver is, with keys in comparable form.
//!
//! Promises: keeps *absent* apart from NULL; keeps positions exact; refuses a record without key or with an unknown operation.
//! Values stay in Arrow arrays; nothing here looks at one. Reading blocks: call it on a blocking thread.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, UInt64Array, new_null_array};
use arrow::compute::{cast, concat_batches, take_record_batch};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::row::{RowConverter, SortField};
use lakebed_contract::{Lsn, Policy, Position, TableContract};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::coarsen::Coarsening;
use crate::error::{Attempt, Result, WarehouseError};

/// Rows per Arrow batch when reading Parquet.
pub(crate) const READ_BATCH_ROWS: usize = 65_536;

/// A key in a form that compares and hashes as the key does.
pub(crate) type Key = Box<[u8]>;

/// The columns of a table's change records, in the order of [`RecordLayout::schema`].
pub(crate) struct RecordLayout {
    /// Contract columns.
    pub(crate) width: usize,
    /// Positions of the key columns among them.
    pub(crate) keys: Vec<usize>,
    /// What the policy makes of the records of bronze.
    pub(crate) coarsening: Coarsening,
    names: Vec<String>,
    schema: SchemaRef,
}

/// The Arrow type of an instant in Iceberg tables.
pub(crate) fn instant() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into()))
}

impl RecordLayout {
    /// `silver` is the table's Arrow schema; its first columns are the contract's.
    pub(crate) fn new(contract: &TableContract, policy: &Policy, silver: &SchemaRef) -> Self {
        let width = contract.columns.len();
        let keys: Vec<usize> = (0..width).filter(|at| contract.columns[*at].is_key).collect();
        let names: Vec<String> = contract.columns.iter().map(|column| column.name.clone()).collect();
        let nullable = |name: &str, data_type: &DataType| Field::new(name, data_type.clone(), true);
        let mut fields: Vec<Field> =
            names.iter().zip(silver.fields()).map(|(name, field)| nullable(name, field.data_type())).collect();
        fields.push(nullable("_operation", &DataType::Utf8));
        fields.push(nullable("_generation", &DataType::Int32));
        fields.push(nullable("_commit_lsn", &DataType::Int64));
        fields.push(nullable("_ordinal", &DataType::Int64));
        fields.push(nullable("_commit_timestamp", &instant()));
        fields.push(nullable("_absent", &DataType::Utf8));
        for key in &keys {
            let old = format!("_old_{}", names[*key]);
            fields.push(nullable(&old, silver.field(*key).data_type()));
        }
        let coarsening = Coarsening::of(contract, policy);
        Self { width, keys, coarsening, names, schema: Arc::new(Schema::new(fields)) }
    }

    /// Schema of change records: contract columns, `_operation`, position, time, `_absent`, old keys.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Column of the commit timestamp.
    pub(crate) fn commit_timestamp(&self) -> usize {
        self.width + 4
    }

    /// Column of the old value of key number `n`.
    pub(crate) fn old_key(&self, n: usize) -> usize {
        self.width + 6 + n
    }

    /// A converter for this table's keys; converters of one layout agree with each other.
    pub(crate) fn key_codec(&self) -> Result<KeyCodec> {
        let fields = self.keys.iter().map(|key| SortField::new(self.schema.field(*key).data_type().clone()));
        let converter = RowConverter::new(fields.collect()).attempt(|| "compare keys".to_owned())?;
        Ok(KeyCodec { converter })
    }
}

/// Turns key columns into [`Key`]s.
pub(crate) struct KeyCodec {
    converter: RowConverter,
}

impl KeyCodec {
    /// One key per row.
    pub(crate) fn keys(&self, columns: &[ArrayRef]) -> Result<Vec<Key>> {
        let rows = self.converter.convert_columns(columns).attempt(|| "compare keys".to_owned())?;
        Ok(rows.iter().map(|row| row.as_ref().into()).collect())
    }
}

/// What a record did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A row of a full load.
    Load,
    /// A new row.
    Insert,
    /// New values, whole or partial.
    Update,
    /// The row went.
    Delete,
}

/// Change records, decoded.
pub(crate) struct Changes {
    /// The records.
    pub(crate) rows: RecordBatch,
    /// Operation of each.
    pub(crate) operations: Vec<Operation>,
    /// Position of each.
    pub(crate) positions: Vec<Position>,
    /// Key of each.
    pub(crate) keys: Vec<Key>,
    /// Former key, where it differs.
    pub(crate) old_keys: Vec<Option<Key>>,
    /// Which set of [`Changes::absent_sets`] each lacks.
    pub(crate) absent: Vec<usize>,
    /// Distinct sets of absent columns, by contract column; the first is empty.
    pub(crate) absent_sets: Vec<Vec<bool>>,
}

impl Changes {
    /// Decodes records in [`RecordLayout::schema`]. `origin` names them in errors.
    pub(crate) fn decode(layout: &RecordLayout, rows: RecordBatch, origin: &str) -> Result<Self> {
        let bad = |reason: &str| WarehouseError::Bronze { key: origin.to_owned(), reason: reason.to_owned() };
        let at = |offset: usize| rows.column(layout.width + offset);
        let (generations, lsns) = (at(1).as_primitive::<Int32Type>(), at(2).as_primitive::<Int64Type>());
        let ordinals = at(3).as_primitive::<Int64Type>();
        let key_columns: Vec<ArrayRef> = layout.keys.iter().map(|key| rows.column(*key).clone()).collect();
        if key_columns.iter().chain([at(1), at(2), at(3), at(4)]).any(|column| column.null_count() > 0) {
            return Err(bad("a record has no key, position or commit timestamp"));
        }
        let mut positions = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            let number = |value: i64| u64::try_from(value).map_err(|_| bad("a position is negative"));
            positions.push(Position {
                generation: u32::try_from(generations.value(row)).map_err(|_| bad("a generation is negative"))?,
                commit_lsn: Lsn(number(lsns.value(row))?),
                ordinal: number(ordinals.value(row))?,
            });
        }
        let operations =
            decode_operations(at(0)).ok_or_else(|| bad("`_operation` is none of load, insert, update, delete"))?;
        let keys = layout.key_codec()?.keys(&key_columns)?;
        let old_keys = decode_old_keys(layout, &rows, &keys)?;
        let (absent, absent_sets) =
            decode_absent(layout, at(5)).ok_or_else(|| bad("`_absent` names a column the contract does not have"))?;
        Ok(Self { operations, positions, keys, old_keys, absent, absent_sets, rows })
    }

    /// Every key the records touch.
    pub(crate) fn touched(&self) -> HashSet<Key> {
        self.keys.iter().chain(self.old_keys.iter().flatten()).cloned().collect()
    }

    /// Number of records.
    pub(crate) fn len(&self) -> usize {
        self.positions.len()
    }
}

fn decode_operations(column: &ArrayRef) -> Option<Vec<Operation>> {
    let words = column.as_string::<i32>();
    words
        .iter()
        .map(|word| match word? {
            "load" => Some(Operation::Load),
            "insert" => Some(Operation::Insert),
            "update" => Some(Operation::Update),
            "delete" => Some(Operation::Delete),
            _ => None,
        })
        .collect()
}

/// A record that names some old key columns only kept the others.
fn decode_old_keys(layout: &RecordLayout, rows: &RecordBatch, keys: &[Key]) -> Result<Vec<Option<Key>>> {
    let named = (0..layout.keys.len()).any(|n| rows.column(layout.old_key(n)).null_count() < rows.num_rows());
    if !named {
        return Ok(vec![None; rows.num_rows()]);
    }
    let mut columns = Vec::new();
    for (n, key) in layout.keys.iter().enumerate() {
        let (old, current) = (rows.column(layout.old_key(n)), rows.column(*key));
        let known = arrow::compute::is_not_null(old).attempt(|| "read old keys".to_owned())?;
        columns.push(arrow::compute::kernels::zip::zip(&known, old, current).attempt(|| "read old keys".to_owned())?);
    }
    let old = layout.key_codec()?.keys(&columns)?;
    Ok(old.into_iter().zip(keys).map(|(old, key)| (old != *key).then_some(old)).collect())
}

fn decode_absent(layout: &RecordLayout, column: &ArrayRef) -> Option<(Vec<usize>, Vec<Vec<bool>>)> {
    let mut sets = vec![vec![false; layout.width]];
    let mut known: HashMap<&str, usize> = HashMap::new();
    let mut absent = Vec::with_capacity(column.len());
    for text in column.as_string::<i32>().iter() {
        let text = text.unwrap_or_default();
        if text.is_empty() {
            absent.push(0);
            continue;
        }
        let set = match known.get(text) {
            Some(set) => *set,
            None => {
                let mut columns = vec![false; layout.width];
                for name in text.split(',') {
                    columns[layout.names.iter().position(|known| known == name.trim())?] = true;
                }
                sets.push(columns);
                known.insert(text, sets.len() - 1);
                sets.len() - 1
            }
        };
        absent.push(set);
    }
    Some((absent, sets))
}

/// Reads columns of a Parquet file by name into `schema`; a column the file lacks is NULL throughout.
pub(crate) fn read_parquet(path: &Path, schema: &SchemaRef, origin: &str) -> Result<Vec<RecordBatch>> {
    let failed = || format!("read `{origin}`");
    let file = File::open(path).attempt(failed)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).attempt(failed)?;
    let wanted: Vec<usize> = builder
        .schema()
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| schema.column_with_name(field.name()).is_some())
        .map(|(at, _)| at)
        .collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let reader = builder.with_projection(mask).with_batch_size(READ_BATCH_ROWS).build().attempt(failed)?;
    reader.map(|batch| by_name(&batch.attempt(failed)?, schema, origin)).collect()
}

fn by_name(batch: &RecordBatch, schema: &SchemaRef, origin: &str) -> Result<RecordBatch> {
    let failed = || format!("bring `{origin}` into the table's types");
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        columns.push(match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => column.clone(),
            Some(column) => cast(column, field.data_type()).attempt(failed)?,
            None => new_null_array(field.data_type(), batch.num_rows()),
        });
    }
    RecordBatch::try_new(schema.clone(), columns).attempt(failed)
}

/// The rows at `rows`, in that order.
pub(crate) fn pick(batch: &RecordBatch, rows: Vec<u64>) -> Result<RecordBatch> {
    take_record_batch(batch, &UInt64Array::from(rows)).attempt(|| "select rows".to_owned())
}

/// One batch out of many.
pub(crate) fn join(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch> {
    concat_batches(schema, batches).attempt(|| "join batches".to_owned())
}

//! The rows silver has: finding those of given keys, and rewriting the files that held them.
//!
//! Promises: reads a data file's key column only if its statistics allow a touched key, and the rest of it only if it holds one.
//! Reading blocks, so it runs on blocking threads, at most [`READS_MAX`] at once.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{SortColumn, lexsort_to_indices, take_record_batch};
use arrow::datatypes::{DataType, Int32Type, Int64Type, Schema, SchemaRef};
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{DataFile, PrimitiveLiteral};
use iceberg::table::Table;
use lakebed_contract::{Lsn, Position};

use super::changes::{Changes, Key, RecordLayout, join, pick};
use super::fold::Stored;
use super::project::read_data_file;
use crate::error::{Attempt, Result, WarehouseError};
use crate::iceberg::cache::LocalFile;
use crate::iceberg::schema::{COMMIT_LSN, DELETED_AT, GENERATION, ORDINAL};
use crate::iceberg::write::{Part, Splitter};
use crate::warehouse::{Warehouse, blocking};

/// Data files read at once.
const READS_MAX: usize = 4;
/// Files of one partition that a merge does not touch, from which on it joins them into one.
const SMALL_FILES_MAX: usize = 8;

/// A data file with a touched key in it.
pub(crate) struct HitFile {
    pub(crate) file: DataFile,
    local: Arc<LocalFile>,
    keys: Vec<Key>,
}

impl HitFile {
    /// Adds the touched keys another search found in the same file.
    pub(crate) fn join_keys(&mut self, other: Self) {
        self.keys.extend(other.keys);
    }
}

/// Stored rows of touched keys, and where they are.
pub(crate) struct StoredRows {
    /// The files.
    pub(crate) files: Vec<HitFile>,
    /// The rows, in the table's schema.
    pub(crate) rows: RecordBatch,
    /// What the fold needs of them.
    pub(crate) stored: Stored,
}

/// Finds the stored rows of `touched`.
pub(crate) async fn find(
    warehouse: &Warehouse,
    table: &Table,
    live: &[DataFile],
    layout: &Arc<RecordLayout>,
    schema: &SchemaRef,
    changes: &Changes,
) -> Result<StoredRows> {
    let touched = Arc::new(changes.touched());
    let candidates = candidates(table, live, layout, changes);
    let locations = candidates.iter().map(|file| file.file_path().to_owned());
    let locals = warehouse.files.fetch(locations).await?;
    let reads: Vec<_> = candidates
        .into_iter()
        .zip(locals)
        .map(|(file, local)| {
            let (touched, layout, schema) = (touched.clone(), layout.clone(), schema.clone());
            blocking(move || read_hits(file, local, &touched, &layout, &schema))
        })
        .collect();
    let hits: Vec<_> = stream::iter(reads).buffered(READS_MAX).try_collect().await?;
    let (mut files, mut batches, mut keys) = (Vec::new(), Vec::new(), Vec::new());
    for (file, rows) in hits.into_iter().flatten() {
        keys.extend(file.keys.iter().cloned());
        files.push(file);
        batches.push(rows);
    }
    let rows = join(schema, &batches)?;
    let stored = describe(table, &rows, keys)?;
    Ok(StoredRows { files, rows, stored })
}

/// Files whose key statistics allow a touched key. Statistics are used for a single integer key; other keys go by reading.
fn candidates(table: &Table, live: &[DataFile], layout: &RecordLayout, changes: &Changes) -> Vec<DataFile> {
    let [key] = layout.keys.as_slice() else { return live.to_vec() };
    let name = layout.schema().field(*key).name();
    let Some(field) = table.metadata().current_schema().field_id_by_name(name) else { return live.to_vec() };
    let Some(mut touched) = integers(changes.rows.column(*key)) else { return live.to_vec() };
    touched.extend(integers(changes.rows.column(layout.old_key(0))).into_iter().flatten());
    touched.sort_unstable();
    let number = |literal: &PrimitiveLiteral| match literal {
        PrimitiveLiteral::Long(value) => Some(*value),
        PrimitiveLiteral::Int(value) => Some(i64::from(*value)),
        _ => None,
    };
    let may_hold = |file: &&DataFile| {
        let bound = |bounds: &std::collections::HashMap<i32, iceberg::spec::Datum>| {
            bounds.get(&field).and_then(|bound| number(bound.literal()))
        };
        match (bound(file.lower_bounds()), bound(file.upper_bounds())) {
            (Some(low), Some(high)) => {
                let first = touched.partition_point(|value| *value < low);
                touched.get(first).is_some_and(|value| *value <= high)
            }
            _ => true,
        }
    };
    live.iter().filter(may_hold).cloned().collect()
}

fn integers(column: &ArrayRef) -> Option<Vec<i64>> {
    match column.data_type() {
        DataType::Int64 => Some(column.as_primitive::<Int64Type>().iter().flatten().collect()),
        DataType::Int32 => Some(column.as_primitive::<Int32Type>().iter().flatten().map(i64::from).collect()),
        _ => None,
    }
}

fn read_hits(
    file: DataFile,
    local: Arc<LocalFile>,
    touched: &HashSet<Key>,
    layout: &RecordLayout,
    schema: &SchemaRef,
) -> Result<Option<(HitFile, RecordBatch)>> {
    let origin = file.file_path().to_owned();
    let key_fields: Vec<_> = layout.key_places(schema)?.into_iter().map(|key| schema.field(key).clone()).collect();
    let key_schema: SchemaRef = Arc::new(Schema::new(key_fields));
    let key_rows = join(&key_schema, &read_data_file(local.path(), layout, &key_schema, &origin)?)?;
    let keys = layout.key_codec()?.keys(key_rows.columns())?;
    let rows: Vec<u64> = (0..).zip(&keys).filter(|(_, key)| touched.contains(*key)).map(|(row, _)| row).collect();
    if rows.is_empty() {
        return Ok(None);
    }
    let all = join(schema, &read_data_file(local.path(), layout, schema, &origin)?)?;
    let keys = rows.iter().map(|row| keys[*row as usize].clone()).collect();
    let rows = pick(&all, rows)?;
    Ok(Some((HitFile { file, local, keys }, rows)))
}

fn describe(table: &Table, rows: &RecordBatch, keys: Vec<Key>) -> Result<Stored> {
    let broken =
        |reason: &str| WarehouseError::Unsupported { table: table.identifier().to_string(), reason: reason.to_owned() };
    let column = |name: &str| rows.column_by_name(name).ok_or_else(|| broken("a position column is missing"));
    let generations = column(GENERATION)?.as_primitive::<Int32Type>();
    let lsns = column(COMMIT_LSN)?.as_primitive::<Int64Type>();
    let ordinals = column(ORDINAL)?.as_primitive::<Int64Type>();
    let deleted = column(DELETED_AT)?;
    let mut stored = Stored { keys, ..Stored::default() };
    for row in 0..rows.num_rows() {
        stored.positions.push(Position {
            generation: u32::try_from(generations.value(row)).map_err(|_| broken("a stored generation is negative"))?,
            commit_lsn: Lsn(u64::try_from(lsns.value(row)).map_err(|_| broken("a stored LSN is negative"))?),
            ordinal: u64::try_from(ordinals.value(row)).map_err(|_| broken("a stored ordinal is negative"))?,
        });
        stored.live.push(deleted.is_null(row));
    }
    if stored.keys.iter().collect::<HashSet<_>>().len() < stored.keys.len() {
        return Err(broken("a key is stored twice"));
    }
    Ok(stored)
}

/// What a merge does to the table's files.
pub(crate) struct Rewrite {
    /// Makers of the new files' rows.
    pub(crate) parts: Vec<Box<dyn FnOnce() -> Result<Part> + Send>>,
    /// Locations of the files they replace.
    pub(crate) removed: HashSet<String>,
}

/// Plans new files: for each partition the survivors of its rewritten files and its changed rows.
pub(crate) async fn plan_rewrite(
    warehouse: &Warehouse,
    table: &Table,
    live: &[DataFile],
    files: Vec<HitFile>,
    layout: &Arc<RecordLayout>,
    changed: RecordBatch,
    changed_keys: HashSet<Key>,
) -> Result<Rewrite> {
    let splitter = Splitter::new(table)?;
    let partitioning = crate::iceberg::snapshot::Partitioning::of(table);
    let schema = changed.schema();
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for (path, key, rows) in splitter.split(changed)? {
        let group = groups.entry(path).or_default();
        group.key = key;
        group.changed.push(rows);
    }
    let mut removed = HashSet::new();
    for hit in files.into_iter().filter(|hit| hit.keys.iter().any(|key| changed_keys.contains(key))) {
        removed.insert(hit.file.file_path().to_owned());
        groups.entry(partitioning.path(hit.file.partition())).or_default().rewritten.push((hit.file, hit.local));
    }
    let mut untouched = partitioning.group(live.to_vec());
    for (path, group) in &mut groups {
        let rest = untouched.remove(path).unwrap_or_default();
        let rest: Vec<_> = rest.into_iter().filter(|file| !removed.contains(file.file_path())).collect();
        if rest.len() < SMALL_FILES_MAX {
            continue;
        }
        let locals = warehouse.files.fetch(rest.iter().map(|file| file.file_path().to_owned())).await?;
        removed.extend(rest.iter().map(|file| file.file_path().to_owned()));
        group.rewritten.extend(rest.into_iter().zip(locals));
    }
    let changed_keys = Arc::new(changed_keys);
    let mut parts: Vec<Box<dyn FnOnce() -> Result<Part> + Send>> = Vec::new();
    for (path, mut group) in groups {
        if group.key.is_none() && !partitioning.spec().is_unpartitioned() {
            let tuple = group.rewritten.first().map(|(file, _)| file.partition().clone());
            let (spec, schema) = (partitioning.spec().as_ref().clone(), partitioning.schema().clone());
            group.key = tuple.map(|tuple| iceberg::spec::PartitionKey::new(spec, schema, tuple));
        }
        let (layout, schema, changed_keys) = (layout.clone(), schema.clone(), changed_keys.clone());
        parts.push(Box::new(move || group.into_part(path, &layout, &schema, &changed_keys)));
    }
    Ok(Rewrite { parts, removed })
}

#[derive(Default)]
struct Group {
    key: Option<iceberg::spec::PartitionKey>,
    changed: Vec<RecordBatch>,
    rewritten: Vec<(DataFile, Arc<LocalFile>)>,
}

impl Group {
    fn into_part(
        self,
        path: String,
        layout: &RecordLayout,
        schema: &SchemaRef,
        changed_keys: &HashSet<Key>,
    ) -> Result<Part> {
        let mut batches = self.changed;
        let (codec, key_places) = (layout.key_codec()?, layout.key_places(schema)?);
        for (file, local) in &self.rewritten {
            for batch in read_data_file(local.path(), layout, schema, file.file_path())? {
                let columns: Vec<ArrayRef> = key_places.iter().map(|key| batch.column(*key).clone()).collect();
                let keys = codec.keys(&columns)?;
                let survivors = (0..).zip(&keys).filter(|(_, key)| !changed_keys.contains(*key)).map(|(row, _)| row);
                batches.push(pick(&batch, survivors.collect())?);
            }
        }
        let rows = sort_by_key(&join(schema, &batches)?, &key_places)?;
        Ok(Part { path, key: self.key, batches: vec![rows] })
    }
}

fn sort_by_key(rows: &RecordBatch, keys: &[usize]) -> Result<RecordBatch> {
    let columns: Vec<SortColumn> =
        keys.iter().map(|key| SortColumn { values: rows.column(*key).clone(), options: None }).collect();
    let failed = || "sort rows by key".to_owned();
    let order = lexsort_to_indices(&columns, None).attempt(failed)?;
    take_record_batch(rows, &order).attempt(failed)
}

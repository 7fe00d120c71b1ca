//! Reading bronze: the new objects of a table, and the whole history of chosen keys.
//!
//! Promises: remembers which object each new record came from. The history of a key includes every key it was renamed from or to,
//! because absent columns are inherited across a rename.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::RecordBatch;
use lakebed_contract::control::ControlRecord;

use super::changes::{Changes, Key, RecordLayout, join, pick};
use super::project::{Values, read_bronze};
use crate::error::Result;
use crate::iceberg::cache::LocalFile;
use crate::warehouse::{Warehouse, blocking};

/// Records with the object each came from.
pub(crate) struct Batch {
    /// The records.
    pub(crate) changes: Changes,
    /// For each record, the index of its control record.
    pub(crate) sources: Vec<usize>,
}

/// A bronze file and the index of its control record.
struct BronzeFile {
    key: String,
    record: usize,
    local: Arc<LocalFile>,
}

async fn fetch(warehouse: &Warehouse, records: &[ControlRecord]) -> Result<Vec<BronzeFile>> {
    let names: Vec<(String, usize)> = records
        .iter()
        .enumerate()
        .flat_map(|(at, record)| record.outputs.iter().map(move |key| (key.clone(), at)))
        .collect();
    let locals = warehouse.files.fetch(names.iter().map(|(key, _)| warehouse.location(key))).await?;
    Ok(names.into_iter().zip(locals).map(|((key, record), local)| BronzeFile { key, record, local }).collect())
}

/// Reads everything the records' objects hold.
pub(crate) async fn read(
    warehouse: &Warehouse,
    layout: &Arc<RecordLayout>,
    records: &[ControlRecord],
    origin: String,
) -> Result<Batch> {
    let files = fetch(warehouse, records).await?;
    let layout = layout.clone();
    blocking(move || {
        let (mut batches, mut sources) = (Vec::new(), Vec::new());
        for file in files {
            for batch in read_bronze(file.local.path(), &layout, Values::All, &file.key)? {
                sources.extend(std::iter::repeat_n(file.record, batch.num_rows()));
                batches.push(layout.coarsening.apply(batch)?);
            }
        }
        let rows = join(layout.schema(), &batches)?;
        Ok(Batch { changes: Changes::decode(&layout, rows, &origin)?, sources })
    })
    .await
}

/// Reads every record of `keys` and of all keys renamed from or to them, and says which keys those are.
pub(crate) async fn history(
    warehouse: &Warehouse,
    layout: &Arc<RecordLayout>,
    records: &[ControlRecord],
    keys: HashSet<Key>,
    origin: String,
) -> Result<(Changes, HashSet<Key>)> {
    let files = fetch(warehouse, records).await?;
    let layout = layout.clone();
    blocking(move || {
        let keys = renamed_closure(&layout, &files, keys)?;
        let mut batches: Vec<RecordBatch> = Vec::new();
        for file in &files {
            for batch in read_bronze(file.local.path(), &layout, Values::All, &file.key)? {
                let changes = Changes::decode(&layout, layout.coarsening.apply(batch)?, &file.key)?;
                let wanted = (0..changes.len()).filter(|at| keys.contains(&changes.keys[*at]));
                let wanted: Vec<u64> = wanted.map(|at| at as u64).collect();
                if !wanted.is_empty() {
                    batches.push(pick(&changes.rows, wanted)?);
                }
            }
        }
        let rows = join(layout.schema(), &batches)?;
        Ok((Changes::decode(&layout, rows, &origin)?, keys))
    })
    .await
}

/// Follows renames in both directions until no new key turns up.
fn renamed_closure(layout: &RecordLayout, files: &[BronzeFile], keys: HashSet<Key>) -> Result<HashSet<Key>> {
    let mut neighbours: HashMap<Key, Vec<Key>> = HashMap::new();
    for file in files {
        for batch in read_bronze(file.local.path(), layout, Values::Keys, &file.key)? {
            let changes = Changes::decode(layout, batch, &file.key)?;
            for (key, old) in changes.keys.iter().zip(&changes.old_keys) {
                if let Some(old) = old {
                    neighbours.entry(key.clone()).or_default().push(old.clone());
                    neighbours.entry(old.clone()).or_default().push(key.clone());
                }
            }
        }
    }
    let mut open: Vec<Key> = keys.iter().cloned().collect();
    let mut closure = keys;
    while let Some(key) = open.pop() {
        for neighbour in neighbours.get(&key).into_iter().flatten() {
            if closure.insert(neighbour.clone()) {
                open.push(neighbour.clone());
            }
        }
    }
    Ok(closure)
}

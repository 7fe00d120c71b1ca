//! I3: a key's position never goes back, read off the snapshots silver has kept.
//!
//! Walks the snapshots of each contract table in commit order and follows (generation, commit LSN, ordinal) per key. Data files
//! that several snapshots share are read once. At the end every key must still be there, at the highest position it ever had.
//! Sees what the catalog still lists: an expired snapshot is outside its sight, and it says how many it saw.

use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;

use arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};
use iceberg::scan::FileScanTask;
use iceberg::table::Table;
use lakebed_contract::lake::Lake;
use lakebed_contract::layout;
use lakebed_contract::table::ColumnType;

use super::cell::{Cell, Scrambler};
use super::error::JudgeError;
use super::finding::Evidence;
use super::key::{RowKey, is_one_integer};
use super::lakehouse::{Lakehouse, plan, typed, unreadable};
use super::rows::count_and_sample;
use super::source::SourceColumn;

/// Snapshots walked per table; a longer history is a gap, not a pass.
const SNAPSHOTS_MAX: usize = 200;

type Position = (i64, i64, i64);

/// Positions seen so far, and the keys that went back.
struct Track<K> {
    highest: HashMap<K, Position, BuildHasherDefault<Scrambler>>,
    back: Vec<K>,
}

impl<K: RowKey> Track<K> {
    fn new() -> Self {
        Self { highest: HashMap::default(), back: Vec::new() }
    }

    fn see(&mut self, key: K, position: Position) {
        match self.highest.get_mut(&key) {
            Some(highest) if position < *highest => self.back.push(key),
            Some(highest) => *highest = position,
            None => _ = self.highest.insert(key, position),
        }
    }
}

/// Walks every contract table.
pub(super) async fn judge(lake: &Lake, lakehouse: &Lakehouse) -> Result<Evidence, JudgeError> {
    let mut evidence = Evidence::default();
    for contract in &lake.tables {
        let name = &contract.name;
        let Some(table) = lakehouse.table(layout::SILVER, name).await? else {
            evidence.cannot_check(format!("{name}: silver has no such table"));
            continue;
        };
        let column = |name: &str, column_type| SourceColumn { name: name.to_owned(), column_type };
        let mut columns = vec![
            column("_generation", ColumnType::Integer),
            column("_commit_lsn", ColumnType::Bigint),
            column("_ordinal", ColumnType::Bigint),
        ];
        columns.extend(contract.key_columns().map(|key| column(&key.name, key.column_type)));
        let walked = if is_one_integer(contract) {
            walk::<i64>(&table, &columns).await?
        } else {
            walk::<String>(&table, &columns).await?
        };
        match walked {
            Err(reason) => evidence.cannot_check(format!("{name} {reason}")),
            Ok(Walked { back: Some(back), .. }) => evidence.fails(format!("{name}: keys that went back {back}")),
            Ok(Walked { back: None, snapshots, keys }) => {
                evidence.holds(format!("{name}: {keys} keys over {snapshots} snapshots"));
            }
        }
    }
    Ok(evidence)
}

struct Walked {
    /// The keys that went back, counted; `None` when there are none.
    back: Option<String>,
    snapshots: usize,
    keys: usize,
}

impl Walked {
    fn new<K: RowKey>(mut back: Vec<K>, snapshots: usize, keys: usize) -> Self {
        back.sort_unstable();
        back.dedup();
        Self { back: (!back.is_empty()).then(|| count_and_sample(&back)), snapshots, keys }
    }
}

async fn walk<K: RowKey>(table: &Table, columns: &[SourceColumn]) -> Result<Result<Walked, String>, JudgeError> {
    let what = table.identifier().to_string();
    let mut snapshots: Vec<_> = table.metadata().snapshots().collect();
    snapshots.sort_by_key(|snapshot| snapshot.sequence_number());
    if snapshots.len() > SNAPSHOTS_MAX {
        return Ok(Err(format!("has {} snapshots, more than {SNAPSHOTS_MAX}", snapshots.len())));
    }
    let mut track = Track::<K>::new();
    let mut read: HashSet<String> = HashSet::new();
    let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
    for snapshot in &snapshots {
        let tasks = match plan(table, Some(snapshot.snapshot_id()), &names).await {
            Ok(tasks) => tasks,
            Err(error) => return unreadable(&what, error),
        };
        let fresh = tasks.into_iter().filter(|task| read.insert(task.data_file_path.clone())).collect();
        if let Err(reason) = each_position(table, fresh, columns, |key, position| track.see(key, position)).await? {
            return Ok(Err(reason));
        }
    }
    let Some(current) = table.metadata().current_snapshot_id() else {
        return Ok(Ok(Walked::new(track.back, snapshots.len(), 0)));
    };
    let tasks = match plan(table, Some(current), &names).await {
        Ok(tasks) => tasks,
        Err(error) => return unreadable(&what, error),
    };
    let keys = track.highest.len();
    let Track { mut highest, mut back } = track;
    let ended = each_position(table, tasks, columns, |key: K, position| {
        if highest.remove(&key) != Some(position) {
            back.push(key);
        }
    })
    .await?;
    back.extend(highest.into_keys());
    Ok(ended.map(|()| Walked::new(back, snapshots.len(), keys)))
}

/// Reads key and position of every row of the planned files.
async fn each_position<K: RowKey>(
    table: &Table,
    tasks: Vec<FileScanTask>,
    columns: &[SourceColumn],
    mut each: impl FnMut(K, Position),
) -> Result<Result<(), String>, JudgeError> {
    let what = table.identifier().to_string();
    let reader = table.reader_builder().build();
    let mut batches = match reader.read(stream::iter(tasks.into_iter().map(Ok)).boxed()) {
        Ok(result) => result.stream(),
        Err(error) => return unreadable(&what, error),
    };
    loop {
        match batches.try_next().await {
            Ok(Some(batch)) => {
                if let Err(reason) = positions(&batch, columns, &mut each) {
                    return Ok(Err(reason));
                }
            }
            Ok(None) => return Ok(Ok(())),
            Err(error) => return unreadable(&what, error),
        }
    }
}

/// Three columns of the position, then the key.
fn positions<K: RowKey>(
    batch: &RecordBatch,
    columns: &[SourceColumn],
    each: &mut impl FnMut(K, Position),
) -> Result<(), String> {
    let arrays = typed(batch, columns)?;
    for row in 0..batch.num_rows() {
        let (position, key) = arrays.split_at(3);
        let [generation, commit_lsn, ordinal] = [0, 1, 2].map(|at| position[at].cell(row));
        let (Some(key), Cell::Int(generation), Cell::Int(commit_lsn), Cell::Int(ordinal)) =
            (K::read(key.len(), |at| key[at].cell(row)), generation, commit_lsn, ordinal)
        else {
            return Err("has a row without key or position".to_owned());
        };
        each(key, (generation, commit_lsn, ordinal));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_may_stay_or_grow_but_not_fall() {
        let mut track = Track::new();
        for (key, position) in [(1, (1, 0, 0)), (1, (1, 9, 2)), (2, (1, 9, 3)), (1, (1, 9, 2)), (2, (2, 0, 0))] {
            track.see(key, position);
        }
        assert!(track.back.is_empty());
        track.see(1, (1, 9, 1));
        track.see(2, (1, 99, 1));
        assert_eq!(track.back, [1, 2]);
        assert_eq!(track.highest[&2], (2, 0, 0));
    }
}

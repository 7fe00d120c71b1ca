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
use super::lakehouse::{Lakehouse, typed, unreadable};
use super::rows::count_and_sample;
use super::silver::integer_key;
use super::source::SourceColumn;

/// Snapshots walked per table; a longer history is a gap, not a pass.
const SNAPSHOTS_MAX: usize = 200;

type Position = (i64, i64, i64);

/// Positions seen so far, and the keys that went back.
#[derive(Debug, Default)]
struct Track {
    highest: HashMap<i64, Position, BuildHasherDefault<Scrambler>>,
    back: Vec<i64>,
}

impl Track {
    fn see(&mut self, key: i64, position: Position) {
        let highest = self.highest.entry(key).or_insert(position);
        if position < *highest {
            self.back.push(key);
        } else {
            *highest = position;
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
        let Some(key) = integer_key(contract) else {
            evidence.cannot_check(format!("{name}: its key is not one integer column"));
            continue;
        };
        let key_type = contract.column(key).map_or(ColumnType::Bigint, |column| column.column_type);
        let column = |name: &str, column_type| SourceColumn { name: name.to_owned(), column_type };
        let columns = [
            column(key, key_type),
            column("_generation", ColumnType::Integer),
            column("_commit_lsn", ColumnType::Bigint),
            column("_ordinal", ColumnType::Bigint),
        ];
        match walk(&table, &columns).await? {
            Err(reason) => evidence.cannot_check(format!("{name} {reason}")),
            Ok(Walked { mut back, snapshots, keys }) => {
                back.sort_unstable();
                back.dedup();
                if back.is_empty() {
                    evidence.holds(format!("{name}: {keys} keys over {snapshots} snapshots"));
                } else {
                    evidence.fails(format!("{name}: keys that went back {}", count_and_sample(&back)));
                }
            }
        }
    }
    Ok(evidence)
}

struct Walked {
    back: Vec<i64>,
    snapshots: usize,
    keys: usize,
}

async fn walk(table: &Table, columns: &[SourceColumn; 4]) -> Result<Result<Walked, String>, JudgeError> {
    let what = table.identifier().to_string();
    let mut snapshots: Vec<_> = table.metadata().snapshots().collect();
    snapshots.sort_by_key(|snapshot| snapshot.sequence_number());
    if snapshots.len() > SNAPSHOTS_MAX {
        return Ok(Err(format!("has {} snapshots, more than {SNAPSHOTS_MAX}", snapshots.len())));
    }
    let mut track = Track::default();
    let mut read: HashSet<String> = HashSet::new();
    for snapshot in &snapshots {
        let tasks = match plan(table, columns, snapshot.snapshot_id()).await {
            Ok(tasks) => tasks,
            Err(error) => return unreadable(&what, error),
        };
        let fresh = tasks.into_iter().filter(|task| read.insert(task.data_file_path.clone())).collect();
        if let Err(reason) = each_position(table, fresh, columns, |key, position| track.see(key, position)).await? {
            return Ok(Err(reason));
        }
    }
    let Some(current) = table.metadata().current_snapshot_id() else {
        return Ok(Ok(Walked { back: track.back, snapshots: snapshots.len(), keys: 0 }));
    };
    let tasks = match plan(table, columns, current).await {
        Ok(tasks) => tasks,
        Err(error) => return unreadable(&what, error),
    };
    let keys = track.highest.len();
    let Track { mut highest, mut back } = track;
    let ended = each_position(table, tasks, columns, |key, position| {
        if highest.remove(&key) != Some(position) {
            back.push(key);
        }
    })
    .await?;
    back.extend(highest.into_keys());
    Ok(ended.map(|()| Walked { back, snapshots: snapshots.len(), keys }))
}

async fn plan(table: &Table, columns: &[SourceColumn], snapshot: i64) -> iceberg::Result<Vec<FileScanTask>> {
    let names = columns.iter().map(|column| column.name.as_str());
    let scan = table.scan().snapshot_id(snapshot).select(names).build()?;
    scan.plan_files().await?.try_collect().await
}

/// Reads key and position of every row of the planned files.
async fn each_position(
    table: &Table,
    tasks: Vec<FileScanTask>,
    columns: &[SourceColumn; 4],
    mut each: impl FnMut(i64, Position),
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

fn positions(
    batch: &RecordBatch,
    columns: &[SourceColumn; 4],
    each: &mut impl FnMut(i64, Position),
) -> Result<(), String> {
    let arrays = typed(batch, columns)?;
    for row in 0..batch.num_rows() {
        let cells = [0, 1, 2, 3].map(|at| arrays[at].cell(row));
        let [Cell::Int(key), Cell::Int(generation), Cell::Int(commit_lsn), Cell::Int(ordinal)] = cells else {
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
        let mut track = Track::default();
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

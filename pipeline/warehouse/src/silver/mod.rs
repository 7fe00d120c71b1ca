//! Silver: merges the new bronze files of one table into its Iceberg table, one snapshot per batch.
//!
//! Promises: applying the same objects again changes nothing (the batch id finds a commit whose marks were lost; positions and a
//! comparison of rows do the rest). No new objects, no snapshot. A record whose base has not arrived parks its object: it stays
//! BRONZE_DONE and is taken up with the next batch. Commit first, marks after.

pub(crate) mod assemble;
pub(crate) mod bronze;
pub(crate) mod changes;
pub(crate) mod coarsen;
pub(crate) mod fold;
pub(crate) mod latency;
pub(crate) mod project;
pub(crate) mod stored;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, RecordBatch};
use iceberg::spec::DataFile;
use iceberg::table::Table;
use lakebed_contract::control::{ControlRecord, Status};
use lakebed_contract::layout::SILVER;
use lakebed_contract::{RunEvent, Stage, TableContract, Timestamp};

use self::bronze::Batch;
use self::changes::{Changes, Key, RecordLayout, join, pick};
use self::fold::{Folded, Stored};
use self::latency::Departures;
use self::stored::StoredRows;
use crate::error::{Result, WarehouseError};
use crate::iceberg::schema::{DELETED_AT, TableShape};
use crate::iceberg::snapshot::{BATCH_ID, live_files, snapshot_of_batch};
use crate::iceberg::write::{DataWriter, arrow_schema, remove_orphans};
use crate::warehouse::{COMMIT_ATTEMPTS_MAX, Warehouse, blocking, digest};

/// What a merge did.
#[derive(Debug, Default)]
pub(crate) struct MergeReport {
    /// Snapshot that holds the batch; 0 when the table has none.
    pub(crate) snapshot_id: i64,
    /// Objects consumed.
    pub(crate) objects: u64,
    /// Objects left for later because a partial update in them has no base yet.
    pub(crate) objects_parked: u64,
    /// Records read.
    pub(crate) rows_in: u64,
    /// Rows that changed and live.
    pub(crate) upserted: u64,
    /// Rows that changed and are deleted.
    pub(crate) deleted: u64,
    /// Data files added.
    pub(crate) files_added: u64,
    /// Data files removed.
    pub(crate) files_removed: u64,
}

/// Merges what is new. Redoes the merge when another commit comes first, a bounded number of times.
pub(crate) async fn merge(warehouse: &Warehouse, contract: &TableContract) -> Result<MergeReport> {
    let mut attempt = 1;
    loop {
        match merge_once(warehouse, contract, attempt == 1).await {
            Err(WarehouseError::CommitConflict { table }) if attempt < COMMIT_ATTEMPTS_MAX => {
                tracing::info!(table, attempt, "the merge lost a commit race and is redone");
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

async fn merge_once(warehouse: &Warehouse, contract: &TableContract, is_first: bool) -> Result<MergeReport> {
    let table = warehouse.ensure_table(SILVER, &contract.name, &TableShape::silver(contract)).await?;
    let records = warehouse.control.with_bronze(&contract.name).await?;
    if is_first {
        tell_overdue(warehouse, contract, &records);
    }
    let new: Vec<ControlRecord> =
        records.iter().filter(|record| record.status == Status::BronzeDone).cloned().collect();
    let current = table.metadata().current_snapshot_id().unwrap_or(0);
    if new.is_empty() {
        return Ok(MergeReport { snapshot_id: current, ..MergeReport::default() });
    }
    if let Some(snapshot_id) = snapshot_of_batch(&table, &batch_id(&new)) {
        return finish(warehouse, &new, MergeReport { snapshot_id, ..MergeReport::default() }).await;
    }
    let merge = Merge {
        warehouse,
        contract,
        layout: Arc::new(RecordLayout::new(contract, &warehouse.lake.policy, &arrow_schema(&table)?)?),
        live: live_files(&table, table.metadata().current_snapshot()).await?,
        table,
    };
    merge.run(&records, new, current).await
}

/// Warns of a table whose next object should have arrived: with every merge, until one comes. Of one that never got any, nobody
/// knows since when.
fn tell_overdue(warehouse: &Warehouse, contract: &TableContract, records: &[ControlRecord]) {
    let last = records.iter().map(|record| Timestamp(record.received_at)).max();
    let overdue = last.and_then(|last| contract.service_levels.overdue(&contract.name, last, warehouse.clock.now()));
    if let Some(overdue) = overdue {
        warehouse.events.log(format!("warning: {overdue}"));
    }
}

/// The batch id: which objects, in no particular order.
fn batch_id(records: &[ControlRecord]) -> String {
    let mut keys: Vec<&str> = records.iter().map(|record| record.pk.as_str()).collect();
    keys.sort_unstable();
    digest(keys)
}

async fn finish(warehouse: &Warehouse, consumed: &[ControlRecord], mut report: MergeReport) -> Result<MergeReport> {
    warehouse.control.mark_done(consumed, report.snapshot_id).await?;
    report.objects = consumed.len() as u64;
    Ok(report)
}

struct Merge<'a> {
    warehouse: &'a Warehouse,
    contract: &'a TableContract,
    layout: Arc<RecordLayout>,
    live: Vec<DataFile>,
    table: Table,
}

/// Rows to be written, and what could not be decided.
struct Outcome {
    rows: RecordBatch,
    keys: HashSet<Key>,
    unresolved: HashSet<Key>,
}

impl Merge<'_> {
    async fn run(&self, all: &[ControlRecord], new: Vec<ControlRecord>, current: i64) -> Result<MergeReport> {
        let batch = bronze::read(self.warehouse, &self.layout, &new, self.origin()).await?;
        let rows_in = batch.changes.len() as u64;
        let Batch { changes, sources } = batch;
        let departures = Departures::of(&self.layout, &changes);
        let (outcome, stored, parked) = self.fold_all(all, changes, &sources).await?;
        let (waiting, consumed): (Vec<_>, Vec<_>) =
            new.into_iter().enumerate().partition(|(at, _)| parked.contains(at));
        let consumed: Vec<ControlRecord> = consumed.into_iter().map(|(_, record)| record).collect();
        let mut report = MergeReport {
            snapshot_id: current,
            objects_parked: waiting.len() as u64,
            rows_in,
            ..MergeReport::default()
        };
        if !waiting.is_empty() {
            self.warehouse.events.log(format!(
                "silver.{}: {} objects wait for the base of {} partial updates",
                self.contract.name,
                waiting.len(),
                outcome.unresolved.len()
            ));
        }
        let id = batch_id(&consumed);
        if outcome.rows.num_rows() > 0 {
            self.write(outcome, stored, id, &mut report).await?;
        } else if let Some(snapshot_id) = snapshot_of_batch(&self.table, &id) {
            report.snapshot_id = snapshot_id;
        }
        let arrived = |row: usize| !parked.contains(&sources[row]);
        for (carried, latencies) in departures.latencies(self.warehouse.clock.now(), arrived) {
            let table = self.contract.name.clone();
            self.warehouse.events.emit(RunEvent::LatencyMeasured { table, carried, latencies });
        }
        let report = finish(self.warehouse, &consumed, report).await?;
        self.warehouse.events.progress(Stage::Silver, &self.contract.name, rows_in, 0);
        Ok(report)
    }

    fn origin(&self) -> String {
        format!("bronze of {}", self.contract.name)
    }

    /// Folds the batch; rebuilds late keys from their whole history. Also says which objects touch an unresolved key.
    async fn fold_all(
        &self,
        all: &[ControlRecord],
        changes: Changes,
        sources: &[usize],
    ) -> Result<(Outcome, StoredRows, HashSet<usize>)> {
        let schema = arrow_schema(&self.table)?;
        let changes = Arc::new(changes);
        let found = stored::find(self.warehouse, &self.table, &self.live, &self.layout, &schema, &changes).await?;
        let late = fold::late_keys(&found.stored, &changes);
        if late.is_empty() {
            let (contract, layout) = (self.contract.clone(), self.layout.clone());
            let folding = changes.clone();
            let (outcome, found) = blocking(move || {
                let outcome = fold_onto(&contract, &layout, &found.rows, &found.stored, &folding)?;
                Ok((outcome, found))
            })
            .await?;
            let touching = objects_touching(&outcome.unresolved, &changes, sources);
            return Ok((outcome, found, touching));
        }
        let (history, late) = bronze::history(self.warehouse, &self.layout, all, late, self.origin()).await?;
        // The history may reach keys the batch does not touch; their stored rows are needed to see what changed.
        let wide = stored::find(self.warehouse, &self.table, &self.live, &self.layout, &schema, &history).await?;
        let (contract, layout) = (self.contract.clone(), self.layout.clone());
        let folding = changes.clone();
        let (outcome, found) = blocking(move || {
            let merged = fold_with_rebuild(&contract, &layout, &found, &wide, &folding, &history, &late)?;
            Ok((merged, unite(found, wide)))
        })
        .await?;
        let touching = objects_touching(&outcome.unresolved, &changes, sources);
        Ok((outcome, found, touching))
    }

    async fn write(&self, outcome: Outcome, stored: StoredRows, id: String, report: &mut MergeReport) -> Result<()> {
        let deleted = outcome.rows.column_by_name(DELETED_AT).map_or(0, |column| column.len() - column.null_count());
        report.deleted = deleted as u64;
        report.upserted = outcome.rows.num_rows() as u64 - report.deleted;
        let Outcome { rows, keys, .. } = outcome;
        let rewrite =
            stored::plan_rewrite(self.warehouse, &self.table, &self.live, stored.files, &self.layout, rows, keys)
                .await?;
        let writer = DataWriter::new(self.table.clone(), self.warehouse.files.clone(), self.warehouse.fresh_uuid());
        let written = writer.write_all(rewrite.parts).await;
        let added = match written.files {
            Ok(added) => added,
            Err(error) => {
                remove_orphans(&self.warehouse.io, written.locations).await;
                return Err(error);
            }
        };
        let properties = HashMap::from([(BATCH_ID.to_owned(), id)]);
        let committed = self.warehouse.commit(&self.table, added, rewrite.removed, properties).await?;
        report.snapshot_id = committed.snapshot_id;
        report.files_added = committed.files_added;
        report.files_removed = committed.files_removed;
        Ok(())
    }
}

fn objects_touching(keys: &HashSet<Key>, changes: &Changes, sources: &[usize]) -> HashSet<usize> {
    let touches = |at: &usize| {
        keys.contains(&changes.keys[*at]) || changes.old_keys[*at].as_ref().is_some_and(|old| keys.contains(old))
    };
    if keys.is_empty() {
        return HashSet::new();
    }
    (0..changes.len()).filter(touches).map(|at| sources[at]).collect()
}

fn fold_onto(
    contract: &TableContract,
    layout: &RecordLayout,
    rows: &RecordBatch,
    stored: &Stored,
    changes: &Changes,
) -> Result<Outcome> {
    let Folded { rows: folded, unresolved } = fold::fold(layout.width, &layout.keys, stored, changes);
    let schema = rows.schema();
    let assembled = assemble::assemble(contract, layout, &schema, rows, changes, &folded)?;
    let keys = folded.into_iter().map(|row| row.key).collect();
    Ok(Outcome { rows: assembled, keys, unresolved })
}

/// Late keys from their history alone, the others as usual.
fn fold_with_rebuild(
    contract: &TableContract,
    layout: &RecordLayout,
    found: &StoredRows,
    wide: &StoredRows,
    changes: &Changes,
    history: &Changes,
    late: &HashSet<Key>,
) -> Result<Outcome> {
    let schema = found.rows.schema();
    let of_batch = |is_late: bool| {
        let rows = (0..changes.len()).filter(|at| late.contains(&changes.keys[*at]) == is_late);
        Changes::decode(layout, pick(&changes.rows, rows.map(|at| at as u64).collect())?, &contract.name)
    };
    let usual = fold_onto(contract, layout, &found.rows, &found.stored, &of_batch(false)?)?;
    let Folded { rows: rebuilt, unresolved } = fold::fold(layout.width, &layout.keys, &Stored::default(), history);
    let nothing = RecordBatch::new_empty(schema.clone());
    let mut rows = assemble::assemble(contract, layout, &schema, &nothing, history, &rebuilt)?;
    if !layout.dropped().is_empty() {
        rows = assemble::keep_dropped(layout, rows, &rebuilt, wide, &of_batch(true)?)?;
    }
    let keys: Vec<Key> = rebuilt.into_iter().map(|row| row.key).collect();
    let (rows, keys) = assemble::drop_unchanged(rows, keys, &wide.rows, &wide.stored.keys)?;
    Ok(Outcome {
        rows: join(&schema, &[usual.rows, rows])?,
        keys: usual.keys.into_iter().chain(keys).collect(),
        unresolved: usual.unresolved.into_iter().chain(unresolved).collect(),
    })
}

/// The files of both searches, each once, with the touched keys of both.
fn unite(mut found: StoredRows, wide: StoredRows) -> StoredRows {
    for file in wide.files {
        match found.files.iter_mut().find(|known| known.file.file_path() == file.file.file_path()) {
            Some(known) => known.join_keys(file),
            None => found.files.push(file),
        }
    }
    found
}

#[cfg(test)]
mod evolution_tests;
#[cfg(test)]
mod tests;

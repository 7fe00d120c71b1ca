//! SQL models: a SELECT over silver whose result replaces the touched partitions of an Iceberg table.
//!
//! Promises: recomputes the partitions that what changed since the last build can reach, and only those; replaces them in one
//! snapshot that records which input snapshots it has consumed, so a restart needs no other state. Unchanged inputs: no snapshot.
//! A changed SQL text, an unknown input snapshot or a partitioning other than the driver's rebuilds everything.

pub(crate) mod changes;
pub(crate) mod compute;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use iceberg::spec::DataFile;
use iceberg::table::Table;
use lakebed_contract::Stage;
use lakebed_contract::lake::Model;
use lakebed_contract::layout::{GOLD, SILVER};

use self::changes::{Input, Scope};
use crate::error::{Result, WarehouseError};
use crate::iceberg::schema::TableShape;
use crate::iceberg::snapshot::{BATCH_ID, Partitioning, live_files, summary};
use crate::iceberg::table_ident;
use crate::iceberg::write::{DataWriter, Part, remove_orphans};
use crate::warehouse::{COMMIT_ATTEMPTS_MAX, Warehouse, digest};

/// Prefix of the summary properties that name the consumed snapshot of each input.
const CONSUMED: &str = "lakebed.consumed.";
/// Summary property with the digest of the SQL text.
const SQL_DIGEST: &str = "lakebed.sql-digest";

/// What a build did.
#[derive(Debug, Default)]
pub(crate) struct ModelReport {
    /// Snapshot that holds the result; 0 when the table has none.
    pub(crate) snapshot_id: i64,
    /// Rows written.
    pub(crate) rows: u64,
    /// Partitions recomputed.
    pub(crate) partitions: u64,
    /// Data files added.
    pub(crate) files_added: u64,
    /// Data files removed.
    pub(crate) files_removed: u64,
}

/// Builds what is out of date. Redoes it when another commit comes first, a bounded number of times.
pub(crate) async fn build(warehouse: &Warehouse, namespace: &str, model: &Model) -> Result<ModelReport> {
    let mut attempt = 1;
    loop {
        match build_once(warehouse, namespace, model).await {
            Err(WarehouseError::CommitConflict { table }) if attempt < COMMIT_ATTEMPTS_MAX => {
                tracing::info!(table, attempt, "the model lost a commit race and is redone");
                attempt += 1;
            }
            outcome => return outcome,
        }
    }
}

async fn build_once(warehouse: &Warehouse, namespace: &str, model: &Model) -> Result<ModelReport> {
    let inputs = load_inputs(warehouse, model).await?;
    let described = compute::describe(warehouse, model, &inputs).await?;
    let shape = TableShape::model(&model.name, &described, &model.partition_by, &model.key)?;
    let table = warehouse.ensure_table(namespace, &model.name, &shape).await?;
    let sql_digest = digest([model.sql.as_str()]);
    let before = summary(&table);
    let consumed = consumed_snapshots(&inputs);
    let current = table.metadata().current_snapshot_id();
    let same_sql = before.get(SQL_DIGEST) == Some(&sql_digest);
    let up_to_date = same_sql && consumed.iter().all(|(name, id)| before.get(name) == Some(id));
    let mut report = ModelReport { snapshot_id: current.unwrap_or(0), ..ModelReport::default() };
    if up_to_date {
        return Ok(report);
    }
    let scope = if same_sql && Partitioning::of(&table).columns() == driver(model, &inputs)?.partitioning.columns() {
        changes::scope(warehouse, model, &inputs, |input| {
            before.get(&format!("{CONSUMED}{input}")).and_then(|id| id.parse().ok())
        })
        .await?
    } else {
        Scope::Everything
    };
    let partitioning = Partitioning::of(&table);
    let live = partitioning.group(live_files(&table, table.metadata().current_snapshot()).await?);
    let (chunks, removed) = plan(model, &inputs, &scope, live)?;
    report.partitions = chunks.iter().map(|chunk| chunk.len() as u64).sum();
    let mut properties: HashMap<String, String> = consumed.into_iter().collect();
    properties.insert(SQL_DIGEST.to_owned(), sql_digest);
    let batch: Vec<String> = properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let batch: BTreeSet<&str> = batch.iter().map(String::as_str).collect();
    properties.insert(BATCH_ID.to_owned(), digest(batch));
    let added = write_chunks(warehouse, model, &inputs, &table, chunks, &scope).await?;
    report.rows = added.iter().map(DataFile::record_count).sum();
    if added.is_empty() && removed.is_empty() {
        return Ok(report);
    }
    let committed = warehouse.commit(&table, added, removed, properties).await?;
    report.snapshot_id = committed.snapshot_id;
    report.files_added = committed.files_added;
    report.files_removed = committed.files_removed;
    let stage = if namespace == GOLD { Stage::Gold } else { Stage::Silver };
    warehouse.events.progress(stage, &model.name, report.rows, 0);
    Ok(report)
}

async fn load_inputs(warehouse: &Warehouse, model: &Model) -> Result<BTreeMap<String, Input>> {
    let mut inputs = BTreeMap::new();
    for name in model.inputs.iter().chain([&model.driver]) {
        if inputs.contains_key(name) {
            continue;
        }
        let gold = warehouse.lake.gold.iter().any(|model| model.name == *name);
        let ident = table_ident(if gold { GOLD } else { SILVER }, name)?;
        let table = warehouse.store.load(&ident).await?.ok_or_else(|| WarehouseError::Request {
            reason: format!("model `{}` reads `{ident}`, which has not been built yet", model.name),
        })?;
        inputs.insert(name.clone(), Input::new(warehouse, name, table).await?);
    }
    Ok(inputs)
}

fn driver<'a>(model: &Model, inputs: &'a BTreeMap<String, Input>) -> Result<&'a Input> {
    inputs.get(&model.driver).ok_or_else(|| WarehouseError::Request {
        reason: format!("model `{}` has no driver `{}`", model.name, model.driver),
    })
}

fn consumed_snapshots(inputs: &BTreeMap<String, Input>) -> BTreeMap<String, String> {
    let id = |input: &Input| input.table.metadata().current_snapshot_id().unwrap_or(0).to_string();
    inputs.iter().map(|(name, input)| (format!("{CONSUMED}{name}"), id(input))).collect()
}

/// Driver partitions to compute, in chunks of bounded size, and the model's files they replace.
fn plan(
    model: &Model,
    inputs: &BTreeMap<String, Input>,
    scope: &Scope,
    live: BTreeMap<String, Vec<DataFile>>,
) -> Result<(Vec<Vec<String>>, HashSet<String>)> {
    let driver = driver(model, inputs)?;
    let wanted = |path: &String| match scope {
        Scope::Everything => true,
        Scope::Partitions(paths) => paths.contains(path),
    };
    let replaced = live.iter().filter(|(path, _)| wanted(path)).flat_map(|(_, files)| files);
    let removed = replaced.map(|file| file.file_path().to_owned()).collect();
    let paths: Vec<(String, u64)> = driver
        .partitions
        .iter()
        .filter(|(path, _)| wanted(path))
        .map(|(path, files)| (path.clone(), files.iter().map(DataFile::record_count).sum()))
        .collect();
    let splittable = model.partition_by.iter().map(String::as_str).eq(driver.partitioning.columns());
    Ok((compute::chunks(paths, splittable), removed))
}

async fn write_chunks(
    warehouse: &Warehouse,
    model: &Model,
    inputs: &BTreeMap<String, Input>,
    table: &Table,
    chunks: Vec<Vec<String>>,
    scope: &Scope,
) -> Result<Vec<DataFile>> {
    let writer = DataWriter::new(table.clone(), warehouse.files.clone(), warehouse.fresh_uuid());
    let (mut added, mut locations) = (Vec::new(), Vec::new());
    let (mut failure, mut first_number) = (None, 0);
    for chunk in chunks {
        let parts = match compute::run(warehouse, model, inputs, table, &chunk, scope).await {
            Ok(parts) => parts,
            Err(error) => {
                failure = Some(error);
                break;
            }
        };
        let makers: Vec<_> = parts.into_iter().map(|part| move || Ok::<Part, WarehouseError>(part)).collect();
        let count = makers.len();
        let written = writer.starting_at(first_number).write_all(makers).await;
        first_number += count;
        locations.extend(written.locations);
        match written.files {
            Ok(files) => added.extend(files),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    match failure {
        None => Ok(added),
        Some(error) => {
            remove_orphans(&warehouse.io, locations).await;
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests;

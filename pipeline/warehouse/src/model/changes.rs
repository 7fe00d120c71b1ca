//! Which partitions of a model are out of date.
//!
//! Promises: a changed driver file makes its partition out of date; a changed row of another input makes every driver partition out
//! of date that holds one of its keys. Where that cannot be told (no key in common, a snapshot that is gone), everything is. Too
//! many partitions cost time; too few would cost truth.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use iceberg::spec::DataFile;
use iceberg::table::Table;
use lakebed_contract::lake::Model;

use super::compute::{non_empty, relation};
use crate::duckdb::identifier;
use crate::error::Result;
use crate::iceberg::cache::LocalFile;
use crate::iceberg::snapshot::{Difference, Partitioning, difference, live_files};
use crate::warehouse::Warehouse;

/// What to recompute.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All partitions.
    Everything,
    /// Partitions of the driver, by path.
    Partitions(BTreeSet<String>),
}

/// An input of a model at its current snapshot.
pub(crate) struct Input {
    /// The table.
    pub(crate) table: Table,
    /// How it is partitioned.
    pub(crate) partitioning: Partitioning,
    /// Its live files by partition path.
    pub(crate) partitions: BTreeMap<String, Vec<DataFile>>,
    /// Its key columns.
    key: Vec<String>,
}

impl Input {
    /// Reads the current snapshot.
    pub(crate) async fn new(warehouse: &Warehouse, name: &str, table: Table) -> Result<Self> {
        let partitioning = Partitioning::of(&table);
        let files = live_files(&table, table.metadata().current_snapshot()).await?;
        let partitions = partitioning.group(files);
        let models = warehouse.lake.silver.iter().chain(&warehouse.lake.gold);
        let key = match warehouse.lake.table(name) {
            Some(contract) => contract.key_columns().map(|column| column.name.clone()).collect(),
            None => models.filter(|model| model.name == name).flat_map(|model| model.key.clone()).collect(),
        };
        Ok(Self { table, partitioning, partitions, key })
    }

    /// All live files.
    pub(crate) fn files(&self) -> impl Iterator<Item = &DataFile> {
        self.partitions.values().flatten()
    }
}

/// Compares the inputs with what was consumed before.
pub(crate) async fn scope(
    warehouse: &Warehouse,
    model: &Model,
    inputs: &BTreeMap<String, Input>,
    consumed: impl Fn(&str) -> Option<i64>,
) -> Result<Scope> {
    let mut paths = BTreeSet::new();
    let Some(driver) = inputs.get(&model.driver) else { return Ok(Scope::Everything) };
    // The driver first: partitions it makes out of date need no further look.
    let others = inputs.iter().filter(|(name, _)| **name != model.driver);
    for (name, input) in [(&model.driver, driver)].into_iter().chain(others) {
        let metadata = input.table.metadata();
        let before = match consumed(name) {
            Some(0) => Vec::new(),
            Some(id) if metadata.current_snapshot_id() == Some(id) => continue,
            Some(id) => match metadata.snapshot_by_id(id) {
                Some(snapshot) => live_files(&input.table, Some(snapshot)).await?,
                None => return Ok(Scope::Everything),
            },
            None => return Ok(Scope::Everything),
        };
        let now: Vec<DataFile> = input.files().cloned().collect();
        let changed = difference(&before, &now);
        if *name == model.driver {
            let files = changed.added.iter().chain(&changed.removed);
            paths.extend(files.map(|file| input.partitioning.path(file.partition())));
            continue;
        }
        let columns = driver.table.metadata().current_schema();
        if input.key.is_empty() || input.key.iter().any(|key| columns.field_by_name(key).is_none()) {
            return Ok(Scope::Everything);
        }
        let known = &paths;
        let more = partitions_with_changed_keys(warehouse, driver, input, &changed, known).await?;
        paths.extend(more);
    }
    Ok(Scope::Partitions(paths))
}

/// Driver partitions, beside the `known` ones, that hold a key whose row changed.
async fn partitions_with_changed_keys(
    warehouse: &Warehouse,
    driver: &Input,
    input: &Input,
    changed: &Difference,
    known: &BTreeSet<String>,
) -> Result<BTreeSet<String>> {
    let added = local(warehouse, &changed.added).await?;
    let removed = local(warehouse, &changed.removed).await?;
    let keys: Vec<String> = input.key.iter().map(|key| identifier(key)).collect();
    let keys = keys.join(", ");
    let (new, old) = (relation(&input.table, &added)?, relation(&input.table, &removed)?);
    let changed = format!(
        "SELECT {keys} FROM ((FROM {new} EXCEPT ALL FROM {old}) UNION ALL (FROM {old} EXCEPT ALL FROM {new})) AS changed"
    );
    // One query per partition keeps values out of it: only the path, which we know, decides.
    let mut checks = Vec::new();
    let mut held = Vec::new();
    for (path, files) in driver.partitions.iter().filter(|(path, _)| !known.contains(*path)) {
        let files = local(warehouse, files).await?;
        let rows = relation(&driver.table, &files)?;
        checks.push((path.clone(), format!("SELECT 1 FROM {rows} AS driver SEMI JOIN changed USING ({keys}) LIMIT 1")));
        held.push(files);
    }
    warehouse
        .with_engine(move |engine| {
            let action = "find partitions with changed keys";
            engine.execute(action, &format!("CREATE TEMP TABLE changed AS {changed}"))?;
            let mut paths = BTreeSet::new();
            for (path, check) in checks {
                if non_empty(engine, action, &check)? {
                    paths.insert(path);
                }
            }
            drop((added, removed, held));
            Ok(paths)
        })
        .await
}

/// Local copies of data files.
pub(crate) async fn local(warehouse: &Warehouse, files: &[DataFile]) -> Result<Vec<Arc<LocalFile>>> {
    warehouse.files.fetch(files.iter().map(|file| file.file_path().to_owned())).await
}

//! Reading snapshots: which data files are live, what changed between two snapshots, what a snapshot's summary says.
//!
//! Promises: compares whole snapshots by file path, so it does not matter how many commits lie between them. A table with live
//! delete files is refused: every reader here takes a data file for exactly its rows.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::spec::{DataFile, ManifestContentType, PartitionSpecRef, SchemaRef, SnapshotRef, Struct};
use iceberg::table::Table;

use crate::error::{Attempt, Result, WarehouseError};

/// Manifests read at once.
const MANIFEST_READS_MAX: usize = 8;
/// How many snapshots back a batch id is looked for. A crash leaves its commit at most a few behind.
const BATCH_LOOKBACK_MAX: usize = 64;
/// Summary property that names the batch a snapshot applied.
pub(crate) const BATCH_ID: &str = "lakebed.batch-id";

/// The live data files of a snapshot.
pub(crate) async fn live_files(table: &Table, snapshot: Option<&SnapshotRef>) -> Result<Vec<DataFile>> {
    let Some(snapshot) = snapshot else { return Ok(Vec::new()) };
    let name = table.identifier();
    let manifests =
        table.manifest_list_reader(snapshot).load().await.attempt(|| format!("read the manifest list of `{name}`"))?;
    let read = manifests.entries().iter().map(|manifest| async move {
        let entries =
            manifest.load_manifest(table.file_io()).await.attempt(|| format!("read a manifest of `{name}`"))?;
        let live: Vec<DataFile> =
            entries.entries().iter().filter(|entry| entry.is_alive()).map(|entry| entry.data_file().clone()).collect();
        if manifest.content == ManifestContentType::Deletes && !live.is_empty() {
            return Err(WarehouseError::Unsupported {
                table: name.to_string(),
                reason: format!("{} delete files are attached; only copy-on-write tables are read", live.len()),
            });
        }
        Ok(live)
    });
    // A bounded stream of futures that borrow the table has to be boxed for the compiler to see it is Send.
    let read: Vec<_> = read.map(futures::FutureExt::boxed).collect();
    let lists: Vec<Vec<DataFile>> = stream::iter(read).buffered(MANIFEST_READS_MAX).try_collect().await?;
    Ok(lists.into_iter().flatten().collect())
}

/// What one snapshot has and the other has not.
#[derive(Default)]
pub(crate) struct Difference {
    /// Files of the newer snapshot only.
    pub(crate) added: Vec<DataFile>,
    /// Files of the older snapshot only.
    pub(crate) removed: Vec<DataFile>,
}

/// Compares the files of two snapshots.
pub(crate) fn difference(older: &[DataFile], newer: &[DataFile]) -> Difference {
    let paths = |files: &[DataFile]| files.iter().map(|file| file.file_path().to_owned()).collect::<BTreeSet<_>>();
    let (before, after) = (paths(older), paths(newer));
    Difference {
        added: newer.iter().filter(|file| !before.contains(file.file_path())).cloned().collect(),
        removed: older.iter().filter(|file| !after.contains(file.file_path())).cloned().collect(),
    }
}

/// How a partition is told apart: its Hive-style path, e.g. `review_year=2019/review_month=4`; empty without partitioning.
pub(crate) struct Partitioning {
    spec: PartitionSpecRef,
    schema: SchemaRef,
}

impl Partitioning {
    /// Of the table's current specification; older ones are never written by this crate.
    pub(crate) fn of(table: &Table) -> Self {
        let metadata = table.metadata();
        Self { spec: metadata.default_partition_spec().clone(), schema: metadata.current_schema().clone() }
    }

    /// The path of a partition tuple.
    pub(crate) fn path(&self, tuple: &Struct) -> String {
        if self.spec.is_unpartitioned() {
            String::new()
        } else {
            self.spec.partition_to_path(tuple, self.schema.clone())
        }
    }

    /// Names of the partition columns.
    pub(crate) fn columns(&self) -> Vec<&str> {
        self.spec.fields().iter().map(|field| field.name.as_str()).collect()
    }

    /// Files by partition path.
    pub(crate) fn group(&self, files: Vec<DataFile>) -> BTreeMap<String, Vec<DataFile>> {
        let mut groups: BTreeMap<String, Vec<DataFile>> = BTreeMap::new();
        for file in files {
            groups.entry(self.path(file.partition())).or_default().push(file);
        }
        groups
    }

    pub(crate) fn spec(&self) -> &PartitionSpecRef {
        &self.spec
    }

    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

/// The snapshot that applied a batch, among the recent ancestors of the current snapshot.
pub(crate) fn snapshot_of_batch(table: &Table, batch_id: &str) -> Option<i64> {
    let metadata = table.metadata();
    let mut at = metadata.current_snapshot();
    for _ in 0..BATCH_LOOKBACK_MAX {
        let snapshot = at?;
        if snapshot.summary().additional_properties.get(BATCH_ID).is_some_and(|id| id == batch_id) {
            return Some(snapshot.snapshot_id());
        }
        at = snapshot.parent_snapshot_id().and_then(|parent| metadata.snapshot_by_id(parent));
    }
    None
}

/// Summary properties of the current snapshot.
pub(crate) fn summary(table: &Table) -> HashMap<String, String> {
    let current = table.metadata().current_snapshot();
    current.map(|snapshot| snapshot.summary().additional_properties.clone()).unwrap_or_default()
}

//! The copy-on-write commit: one snapshot that removes data files, adds data files and keeps everything else by reference.
//!
//! Promises: an untouched manifest is carried over as it is; a touched one is rewritten with its removed files marked deleted and
//! their sequence numbers kept. A file to be removed that is no longer live makes a conflict. Writes manifests, but the table
//! changes only when a [`super::TableStore`] accepts the result.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use iceberg::spec::{
    DataFile, ManifestContentType, ManifestFile, ManifestListWriter, ManifestWriter, ManifestWriterBuilder, Operation,
    Schema, Snapshot, SnapshotReference, SnapshotRetention, SnapshotSummaryCollector, Summary, TableMetadata,
};
use iceberg::table::Table;
use iceberg::{TableRequirement, TableUpdate};
use uuid::Uuid;

use crate::error::{Attempt, Result, WarehouseError};

/// The branch every reader reads.
const MAIN_BRANCH: &str = "main";

/// What a commit shall change.
pub(crate) struct Change {
    /// New data files.
    pub(crate) added: Vec<DataFile>,
    /// Locations of live data files that go.
    pub(crate) removed: HashSet<String>,
    /// Extra summary properties.
    pub(crate) properties: HashMap<String, String>,
}

/// Identity of the snapshot to be made; drawn by the caller, because chance and time are not ours.
pub(crate) struct SnapshotName {
    /// Snapshot id; must be new.
    pub(crate) snapshot_id: i64,
    /// Names the manifests.
    pub(crate) uuid: Uuid,
    /// Milliseconds since the epoch.
    pub(crate) timestamp_ms: i64,
}

/// By what a table shows that a commit whose answer was lost has happened.
pub(crate) enum Trace {
    /// It has this snapshot.
    Snapshot(i64),
    /// Its current columns are these.
    Schema(Box<Schema>),
}

impl Trace {
    /// Whether a table shows it.
    pub(crate) fn is_in(&self, metadata: &TableMetadata) -> bool {
        match self {
            Self::Snapshot(id) => metadata.snapshot_by_id(*id).is_some(),
            Self::Schema(schema) => metadata.current_schema().as_struct() == schema.as_struct(),
        }
    }
}

/// A change ready to be offered to the catalog.
pub(crate) struct Prepared {
    /// How to tell that it was made.
    pub(crate) trace: Trace,
    /// What to change.
    pub(crate) updates: Vec<TableUpdate>,
    /// What must still hold.
    pub(crate) requirements: Vec<TableRequirement>,
}

/// Writes the manifests of a snapshot on top of `table`. `written` names every file written, also when this fails.
pub(crate) async fn prepare(
    table: &Table,
    change: Change,
    name: &SnapshotName,
    written: &mut Vec<String>,
) -> Result<Prepared> {
    let mut draft = Draft { table, name, written, manifests: Vec::new(), summary: SnapshotSummaryCollector::default() };
    let operation = if change.removed.is_empty() { Operation::Append } else { Operation::Overwrite };
    draft.add(change.added).await?;
    draft.carry_over(change.removed).await?;
    let manifest_list = draft.write_list().await?;
    let Draft { summary, .. } = draft;
    let metadata = table.metadata();
    let mut properties = change.properties;
    properties.extend(summary.build());
    add_totals(&mut properties, table);
    let snapshot = Snapshot::builder()
        .with_snapshot_id(name.snapshot_id)
        .with_parent_snapshot_id(metadata.current_snapshot_id())
        .with_sequence_number(metadata.next_sequence_number())
        .with_timestamp_ms(name.timestamp_ms)
        .with_manifest_list(manifest_list)
        .with_summary(Summary { operation, additional_properties: properties })
        .with_schema_id(metadata.current_schema_id())
        .build();
    let retention = SnapshotRetention::branch(None, None, None);
    Ok(Prepared {
        trace: Trace::Snapshot(name.snapshot_id),
        updates: vec![
            TableUpdate::AddSnapshot { snapshot },
            TableUpdate::SetSnapshotRef {
                ref_name: MAIN_BRANCH.to_owned(),
                reference: SnapshotReference::new(name.snapshot_id, retention),
            },
        ],
        requirements: vec![
            TableRequirement::UuidMatch { uuid: metadata.uuid() },
            TableRequirement::RefSnapshotIdMatch {
                r#ref: MAIN_BRANCH.to_owned(),
                snapshot_id: metadata.current_snapshot_id(),
            },
        ],
    })
}

struct Draft<'a> {
    table: &'a Table,
    name: &'a SnapshotName,
    written: &'a mut Vec<String>,
    manifests: Vec<ManifestFile>,
    summary: SnapshotSummaryCollector,
}

impl Draft<'_> {
    fn failed(&self) -> String {
        format!("write a manifest of `{}`", self.table.identifier())
    }

    async fn add(&mut self, added: Vec<DataFile>) -> Result<()> {
        if added.is_empty() {
            return Ok(());
        }
        let metadata = self.table.metadata();
        let mut writer = self.manifest_writer(metadata.default_partition_spec_id())?;
        for file in added {
            self.summary.add_file(&file, metadata.current_schema().clone(), metadata.default_partition_spec().clone());
            // -1: the sequence number is inherited when the snapshot is committed.
            writer.add_file(file, -1).attempt(|| self.failed())?;
        }
        self.finish(writer).await
    }

    /// Keeps what stays live of the parent snapshot.
    async fn carry_over(&mut self, mut removed: HashSet<String>) -> Result<()> {
        let table = self.table;
        if let Some(parent) = table.metadata().current_snapshot() {
            let list = table.manifest_list_reader(parent).load().await.attempt(|| self.failed())?;
            for manifest in list.entries() {
                if !manifest.has_added_files() && !manifest.has_existing_files() {
                    continue; // records deletions of an earlier snapshot only
                }
                if removed.is_empty() || manifest.content != ManifestContentType::Data {
                    self.manifests.push(manifest.clone());
                } else {
                    self.carry_over_manifest(manifest, &mut removed).await?;
                }
            }
        }
        if removed.is_empty() {
            return Ok(());
        }
        tracing::debug!(table = %table.identifier(), missing = removed.len(), "files to remove are no longer live");
        Err(WarehouseError::CommitConflict { table: table.identifier().to_string() })
    }

    async fn carry_over_manifest(&mut self, manifest: &ManifestFile, removed: &mut HashSet<String>) -> Result<()> {
        let table = self.table;
        let failed = || format!("rewrite a manifest of `{}`", table.identifier());
        let missing = || WarehouseError::Unsupported {
            table: table.identifier().to_string(),
            reason: "a live manifest entry has no sequence number or snapshot id".to_owned(),
        };
        let loaded = manifest.load_manifest(table.file_io()).await.attempt(failed)?;
        let live: Vec<_> = loaded.entries().iter().filter(|entry| entry.is_alive()).collect();
        if !live.iter().any(|entry| removed.contains(entry.file_path())) {
            self.manifests.push(manifest.clone());
            return Ok(());
        }
        let metadata = table.metadata();
        let spec = metadata.partition_spec_by_id(manifest.partition_spec_id).ok_or_else(missing)?;
        let mut writer = self.manifest_writer(manifest.partition_spec_id)?;
        for entry in live {
            let (file, sequence) = (entry.data_file().clone(), entry.sequence_number().ok_or_else(missing)?);
            if removed.remove(entry.file_path()) {
                self.summary.remove_file(&file, metadata.current_schema().clone(), spec.clone());
                writer.add_delete_file(file, sequence, entry.file_sequence_number).attempt(failed)?;
            } else {
                let added_by = entry.snapshot_id().ok_or_else(missing)?;
                writer.add_existing_file(file, added_by, sequence, entry.file_sequence_number).attempt(failed)?;
            }
        }
        self.finish(writer).await
    }

    fn manifest_writer(&mut self, spec_id: i32) -> Result<ManifestWriter> {
        let metadata = self.table.metadata();
        let spec = metadata.partition_spec_by_id(spec_id).ok_or_else(|| WarehouseError::Unsupported {
            table: self.table.identifier().to_string(),
            reason: format!("partition specification {spec_id} is unknown"),
        })?;
        let number = self.manifests.len();
        let location = format!("{}/metadata/{}-m{number}.avro", metadata.location(), self.name.uuid);
        let output = self.table.file_io().new_output(&location).attempt(|| self.failed())?;
        self.written.push(location);
        let schema = metadata.current_schema().clone();
        let snapshot_id = Some(self.name.snapshot_id);
        Ok(ManifestWriterBuilder::new(output, snapshot_id, schema, Arc::unwrap_or_clone(spec.clone())).build_v2_data())
    }

    async fn finish(&mut self, writer: ManifestWriter) -> Result<()> {
        let manifest = writer.write_manifest_file().await.attempt(|| self.failed())?;
        self.manifests.push(manifest);
        Ok(())
    }

    async fn write_list(&mut self) -> Result<String> {
        let metadata = self.table.metadata();
        let (id, uuid) = (self.name.snapshot_id, self.name.uuid);
        let location = format!("{}/metadata/snap-{id}-0-{uuid}.avro", metadata.location());
        let output = self.table.file_io().new_output(&location).attempt(|| self.failed())?;
        self.written.push(location.clone());
        let writer = output.writer().await.attempt(|| self.failed())?;
        let parent = metadata.current_snapshot_id();
        let mut list = ManifestListWriter::v2(writer, id, parent, metadata.next_sequence_number());
        list.add_manifests(std::mem::take(&mut self.manifests).into_iter()).attempt(|| self.failed())?;
        list.close().await.attempt(|| self.failed())?;
        Ok(location)
    }
}

/// `total-*` = the parent's total + added - removed, as the specification wants them in every summary.
fn add_totals(properties: &mut HashMap<String, String>, table: &Table) {
    let parent = super::snapshot::summary(table);
    let number = |map: &HashMap<String, String>, name: &str| -> i64 {
        map.get(name).and_then(|value| value.parse().ok()).unwrap_or(0)
    };
    for (total, added, removed) in [
        ("total-records", "added-records", "deleted-records"),
        ("total-data-files", "added-data-files", "deleted-data-files"),
        ("total-files-size", "added-files-size", "removed-files-size"),
        ("total-delete-files", "added-delete-files", "removed-delete-files"),
        ("total-position-deletes", "added-position-deletes", "removed-position-deletes"),
        ("total-equality-deletes", "added-equality-deletes", "removed-equality-deletes"),
    ] {
        let value = number(&parent, total) + number(properties, added) - number(properties, removed);
        properties.insert(total.to_owned(), value.max(0).to_string());
    }
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;

//! What every warehouse operation shares: catalog, control table, local copies, identities, and the commit with its clean-up.
//!
//! Promises: an operation either commits one snapshot and emits one event, or leaves the table as it was and removes what it wrote
//! (best effort). Snapshot ids and file names come from the seed and never repeat within a process.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use iceberg::io::FileIO;
use iceberg::spec::DataFile;
use iceberg::table::Table;
use lakebed_contract::layout::{LAKE_BUCKET, SILVER, iceberg_location};
use lakebed_contract::seed::uuid_from;
use lakebed_contract::{Clock, EventSink, Lake, RunEvent, Seed};
use rand::Rng;
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::WarehouseContext;
use crate::control::{ControlLog, DynamoControlLog};
use crate::duckdb::Engine;
use crate::error::{Result, WarehouseError};
use crate::iceberg::cache::{CACHE_BYTES_MAX, FileCache};
use crate::iceberg::commit::{self, Change, SnapshotName};
use crate::iceberg::rest::{RestStore, s3_files};
use crate::iceberg::schema::TableShape;
use crate::iceberg::write::remove_orphans;
use crate::iceberg::{TableStore, table_ident};

/// DuckDB databases open at once; each may use the whole memory limit.
pub(crate) const ENGINES_MAX: usize = 2;
/// How often an operation is redone after losing a commit race.
pub(crate) const COMMIT_ATTEMPTS_MAX: u32 = 5;
/// How often a table's columns are looked at before they are as they shall be: attempts to change them, and a look at the outcome.
const COLUMN_ROUNDS_MAX: u32 = COMMIT_ATTEMPTS_MAX + 1;

/// Everything an operation needs.
pub(crate) struct Warehouse {
    pub(crate) lake: Arc<Lake>,
    pub(crate) clock: Clock,
    pub(crate) events: EventSink,
    pub(crate) store: Arc<dyn TableStore>,
    pub(crate) control: Arc<dyn ControlLog>,
    pub(crate) files: Arc<FileCache>,
    pub(crate) io: FileIO,
    seed: Seed,
    memory_limit_mib: u64,
    /// `s3://dm-datalake`, or a folder in tests.
    root: String,
    engines: Semaphore,
    draws: AtomicU64,
}

/// A finished commit.
pub(crate) struct Committed {
    /// The new snapshot.
    pub(crate) snapshot_id: i64,
    /// Data files added.
    pub(crate) files_added: u64,
    /// Data files removed.
    pub(crate) files_removed: u64,
}

/// Refuses a lake with a contract that its silver table cannot follow. Asked before rows are put into bronze, where they would be of
/// columns that no merge could take up. Changes nothing.
///
/// # Errors
/// [`WarehouseError::Unsupported`] says what the table has, what the contract says and what to do.
pub async fn check_contracts(context: &WarehouseContext) -> Result<()> {
    let store = RestStore::connect(&context.endpoints).await?;
    for contract in &context.lake.tables {
        let ident = table_ident(SILVER, &contract.name)?;
        if let Some(table) = store.load(&ident).await? {
            TableShape::silver(contract).evolution(&ident, table.metadata())?;
        }
    }
    Ok(())
}

impl Warehouse {
    /// Connects to the endpoints of a context.
    pub(crate) async fn connect(context: &WarehouseContext) -> Result<Self> {
        let store = Arc::new(RestStore::connect(&context.endpoints).await?);
        let control = Arc::new(DynamoControlLog::new(&context.endpoints, context.clock.clone()));
        Self::assemble(context, store, control, s3_files(&context.endpoints), format!("s3://{LAKE_BUCKET}"))
    }

    /// Puts the parts together; tests bring their own.
    pub(crate) fn assemble(
        context: &WarehouseContext,
        store: Arc<dyn TableStore>,
        control: Arc<dyn ControlLog>,
        io: FileIO,
        root: String,
    ) -> Result<Self> {
        let files = Arc::new(FileCache::new(io.clone(), &context.scratch_dir, CACHE_BYTES_MAX)?);
        Ok(Self {
            lake: context.lake.clone(),
            clock: context.clock.clone(),
            events: context.events.clone(),
            store,
            control,
            files,
            io,
            seed: context.seed,
            memory_limit_mib: context.memory_limit_mib,
            root,
            engines: Semaphore::new(ENGINES_MAX),
            draws: AtomicU64::new(0),
        })
    }

    /// Location of an object of the lake bucket.
    pub(crate) fn location(&self, key: &str) -> String {
        format!("{}/{key}", self.root)
    }

    /// Loads a table, creating it in `shape` if there is none and changing its columns to `shape` if it has others.
    pub(crate) async fn ensure_table(&self, namespace: &str, name: &str, shape: &TableShape) -> Result<Table> {
        let ident = table_ident(namespace, name)?;
        for attempt in 1..=COLUMN_ROUNDS_MAX {
            let table = match self.store.load(&ident).await? {
                Some(table) => table,
                None => {
                    let canonical = iceberg_location(namespace, name);
                    let path = canonical.strip_prefix(&format!("s3://{LAKE_BUCKET}/")).unwrap_or(&canonical);
                    self.store.create(&ident, shape.creation(&ident, self.location(path))?).await?
                }
            };
            let Some(evolution) = shape.evolution(&ident, table.metadata())? else { return Ok(table) };
            let told = format!("{ident}: {}", evolution.told);
            match self.store.commit(&table, &evolution.prepare(table.metadata())).await {
                // The next round finds nothing left to change.
                Ok(()) => self.events.log(told),
                Err(WarehouseError::CommitConflict { table }) if attempt < COMMIT_ATTEMPTS_MAX => {
                    tracing::info!(table, attempt, "a change of columns lost a commit race and is looked at again");
                }
                Err(error) => return Err(error),
            }
        }
        Err(WarehouseError::Unsupported {
            table: ident.to_string(),
            reason: format!(
                "its columns still differ after {COLUMN_ROUNDS_MAX} looks at them; let only one version of the lake's contracts and \
                 models write to it"
            ),
        })
    }

    /// Runs `work` with a DuckDB of its own on a blocking thread.
    pub(crate) async fn with_engine<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Engine) -> Result<T> + Send + 'static,
    {
        let _slot = self.engines.acquire().await.expect("the semaphore is never closed");
        // A folder each: two databases would use the same names for their spill files.
        let number = self.draws.fetch_add(1, Ordering::Relaxed);
        let (memory, spill) = (self.memory_limit_mib, self.files.folder().join(format!("spill-{number}")));
        blocking(move || work(&Engine::open(memory, &spill)?)).await
    }

    /// A fresh identity for files of one attempt.
    pub(crate) fn fresh_uuid(&self) -> Uuid {
        uuid_from(&mut self.fresh_seed().rng("warehouse/uuid"))
    }

    fn fresh_seed(&self) -> Seed {
        let draw = self.draws.fetch_add(1, Ordering::Relaxed);
        self.seed.unique(&format!("warehouse/{draw}"), &self.clock)
    }

    fn snapshot_name(&self, table: &Table) -> SnapshotName {
        let metadata = table.metadata();
        let seed = self.fresh_seed();
        let mut rng = seed.rng("warehouse/snapshot");
        let mut snapshot_id = 0;
        while snapshot_id == 0 || metadata.snapshot_by_id(snapshot_id).is_some() {
            snapshot_id = i64::from_le_bytes(rng.random::<[u8; 8]>()) & i64::MAX;
        }
        // Readers expect time not to run backwards, whatever a virtual clock says.
        let timestamp_ms = self.clock.now().millis().max(metadata.last_updated_ms());
        SnapshotName { snapshot_id, uuid: uuid_from(&mut seed.rng("warehouse/manifest")), timestamp_ms }
    }

    /// Commits one snapshot. On failure removes the new data files and manifests.
    pub(crate) async fn commit(
        &self,
        table: &Table,
        added: Vec<DataFile>,
        removed: HashSet<String>,
        properties: HashMap<String, String>,
    ) -> Result<Committed> {
        let name = self.snapshot_name(table);
        let (files_added, files_removed) = (added.len() as u64, removed.len() as u64);
        let mut orphans: Vec<String> = added.iter().map(|file| file.file_path().to_owned()).collect();
        let gone: Vec<String> = removed.iter().cloned().collect();
        let mut written = Vec::new();
        let change = Change { added, removed, properties };
        let outcome = match commit::prepare(table, change, &name, &mut written).await {
            Ok(prepared) => self.store.commit(table, &prepared).await,
            Err(error) => Err(error),
        };
        if let Err(error) = outcome {
            // Without an answer the commit may still land; then its files must stay.
            if !matches!(error, WarehouseError::Commit { .. }) {
                orphans.append(&mut written);
                self.files.forget(&orphans);
                remove_orphans(&self.io, orphans).await;
            }
            return Err(error);
        }
        self.files.forget(&gone);
        let ident = table.identifier();
        self.events.emit(RunEvent::Committed {
            namespace: ident.namespace().to_url_string(),
            table: ident.name().to_owned(),
            snapshot_id: name.snapshot_id,
            files_added,
            files_removed,
        });
        Ok(Committed { snapshot_id: name.snapshot_id, files_added, files_removed })
    }
}

/// Runs blocking work off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(WarehouseError::Task)?
}

/// A digest of texts, as 32 hexadecimal digits. Names batches and model texts.
pub(crate) fn digest<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mut hash = Sha256::new();
    for text in texts {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

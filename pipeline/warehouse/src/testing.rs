//! Test doubles: a catalog and an object store in a folder, and a control table in memory.
//!
//! The catalog checks requirements and applies updates with the `iceberg` crate's own code, as a REST server would.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use iceberg::io::FileIO;
use iceberg::spec::{TableMetadata, TableMetadataBuilder};
use iceberg::table::Table;
use iceberg::{TableCreation, TableIdent};
use lakebed_contract::control::{ControlRecord, Status};
use lakebed_contract::{Clock, Endpoints, EventSink, Lake, RunEvent, Seed, Timestamp};

use crate::WarehouseContext;
use crate::control::ControlLog;
use crate::error::{Attempt, Result, WarehouseError};
use crate::iceberg::TableStore;
use crate::iceberg::commit::Prepared;
use crate::warehouse::Warehouse;

/// A catalog in memory over files in a folder.
#[derive(Default)]
pub(crate) struct FolderStore {
    tables: Mutex<HashMap<TableIdent, TableMetadata>>,
    /// Commits to refuse with a conflict before the next one is accepted.
    pub(crate) conflicts: Mutex<u32>,
}

fn table(ident: &TableIdent, metadata: TableMetadata) -> Result<Table> {
    let built = Table::builder()
        .identifier(ident.clone())
        .metadata(metadata)
        .metadata_location("file:///unused/metadata/00000-00000000-0000-0000-0000-000000000000.metadata.json")
        .file_io(FileIO::new_with_fs())
        .runtime(iceberg::Runtime::current())
        .build();
    built.attempt(|| format!("build table `{ident}`"))
}

#[async_trait]
impl TableStore for FolderStore {
    async fn load(&self, ident: &TableIdent) -> Result<Option<Table>> {
        let found = self.tables.lock().expect("lock").get(ident).cloned();
        found.map(|metadata| table(ident, metadata)).transpose()
    }

    async fn create(&self, ident: &TableIdent, creation: TableCreation) -> Result<Table> {
        let built = TableMetadataBuilder::from_table_creation(creation).and_then(|builder| builder.build());
        let metadata = built.attempt(|| format!("create `{ident}`"))?.metadata;
        self.tables.lock().expect("lock").insert(ident.clone(), metadata.clone());
        table(ident, metadata)
    }

    async fn commit(&self, table: &Table, prepared: &Prepared) -> Result<()> {
        let ident = table.identifier().clone();
        let conflict = || WarehouseError::CommitConflict { table: ident.to_string() };
        let mut conflicts = self.conflicts.lock().expect("lock");
        if *conflicts > 0 {
            *conflicts -= 1;
            return Err(conflict());
        }
        let mut tables = self.tables.lock().expect("lock");
        let current = tables.get(&ident).cloned();
        for requirement in &prepared.requirements {
            requirement.check(current.as_ref()).map_err(|_| conflict())?;
        }
        let mut builder = current.expect("the table exists").into_builder(None);
        for update in prepared.updates.clone() {
            // Through JSON, because that is how a server gets it.
            let wire = serde_json::to_string(&update).expect("an update has a wire form");
            let update: iceberg::TableUpdate = serde_json::from_str(&wire).expect("and is read back");
            builder = update.apply(builder).attempt(|| "apply an update".to_owned())?;
        }
        let metadata = builder.build().attempt(|| "build metadata".to_owned())?.metadata;
        tables.insert(ident, metadata);
        Ok(())
    }
}

/// A control table in memory.
#[derive(Default)]
pub(crate) struct MemoryControl {
    pub(crate) records: Mutex<BTreeMap<String, ControlRecord>>,
    /// Forget to mark, as a crash between commit and mark would.
    pub(crate) lose_marks: Mutex<bool>,
}

#[async_trait]
impl ControlLog for MemoryControl {
    async fn with_bronze(&self, table: &str) -> Result<Vec<ControlRecord>> {
        let records = self.records.lock().expect("lock");
        Ok(records.values().filter(|record| record.table == table).cloned().collect())
    }

    async fn mark_done(&self, done: &[ControlRecord], snapshot_id: i64) -> Result<()> {
        if *self.lose_marks.lock().expect("lock") {
            return Err(WarehouseError::Control { action: "mark".to_owned(), source: "lost".into() });
        }
        let mut records = self.records.lock().expect("lock");
        for record in done {
            let record = records.get_mut(&record.pk).expect("a consumed record exists");
            record.status = Status::Done;
            record.snapshot_id = snapshot_id;
        }
        Ok(())
    }
}

/// A warehouse in a folder.
pub(crate) struct Bench {
    pub(crate) warehouse: Warehouse,
    pub(crate) store: Arc<FolderStore>,
    pub(crate) control: Arc<MemoryControl>,
    /// What the warehouse has told.
    pub(crate) events: Arc<Mutex<Vec<RunEvent>>>,
    folder: tempfile::TempDir,
}

impl Bench {
    /// Over the beer lake.
    pub(crate) fn beer() -> Self {
        Self::new(Lake::beer())
    }

    /// Over any lake.
    pub(crate) fn new(lake: Lake) -> Self {
        let folder = tempfile::tempdir().expect("folder");
        let (store, control) = (Arc::new(FolderStore::default()), Arc::new(MemoryControl::default()));
        let events = Arc::<Mutex<Vec<RunEvent>>>::default();
        let told = Arc::clone(&events);
        let context = WarehouseContext {
            lake: Arc::new(lake),
            endpoints: Endpoints::embedded(1),
            // The iceberg crate reads the machine's clock when it makes a table or changes its columns, and lets snapshots and changes
            // be out of order by a minute: later than any creation, and near to any change. A whole second, as tests count in them.
            clock: Clock::virtual_at(Timestamp::from_seconds(Clock::wall().now().seconds() + 30)),
            seed: Seed(7),
            events: EventSink::new(move |event| told.lock().expect("lock").push(event)),
            scratch_dir: folder.path().join("scratch"),
            memory_limit_mib: 512,
        };
        let root = format!("file://{}", folder.path().join("lake").display());
        let io = FileIO::new_with_fs();
        let warehouse = Warehouse::assemble(&context, store.clone(), control.clone(), io, root).expect("warehouse");
        Self { warehouse, store, control, events, folder }
    }

    /// Where an object of the lake bucket lies.
    pub(crate) fn object(&self, key: &str) -> PathBuf {
        self.folder.path().join("lake").join(key)
    }

    /// Announces a bronze file.
    pub(crate) fn announce(&self, table: &str, object: &str, bronze_key: &str) {
        let mut record = ControlRecord::received("dm-stage", &format!("raw/{table}/{object}"), "etag", table, "", 1, 0);
        record.status = Status::BronzeDone;
        record.outputs = vec![bronze_key.to_owned()];
        self.control.records.lock().expect("lock").insert(record.pk.clone(), record);
    }

    /// Data files on disk under a prefix.
    pub(crate) fn files_under(&self, prefix: &str) -> usize {
        fn count(folder: &Path) -> usize {
            let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
            entries
                .map(|entry| entry.expect("entry").path())
                .map(|path| if path.is_dir() { count(&path) } else { usize::from(path.is_file()) })
                .sum()
        }
        count(&self.object(prefix))
    }
}

/// One change record of a test, values as text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) operation: &'static str,
    /// (generation, commit LSN, ordinal)
    pub(crate) position: (i32, i64, i64),
    /// Seconds since the epoch.
    pub(crate) at: i64,
    /// Present columns; a column that is not here is NULL.
    pub(crate) values: Vec<(&'static str, Option<String>)>,
    /// Former key.
    pub(crate) old: Option<String>,
    /// Absent columns.
    pub(crate) absent: Vec<&'static str>,
}

impl Bench {
    /// Writes records as a bronze file and announces it.
    pub(crate) fn deliver(&self, table: &str, object: &str, records: &[Record]) {
        let version = self.warehouse.lake.table(table).expect("in the lake").version_folder();
        let key = format!("bronze/dm_core/{version}/{table}/object={object}/part-00000.parquet");
        let path = self.object(&key);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        let contract = self.warehouse.lake.table(table).expect("in the lake").clone();
        let batch = bronze_batch(&contract, records);
        let file = std::fs::File::create(path).expect("file");
        let mut writer = parquet::arrow::ArrowWriter::try_new(file, batch.schema(), None).expect("writer");
        writer.write(&batch).expect("written");
        writer.close().expect("closed");
        self.announce(table, object, &key);
    }

    /// Runs a query and renders each row as `a|b|NULL`.
    pub(crate) async fn rows(&self, sql: &str) -> Vec<String> {
        let result = crate::query::query_on(&self.warehouse, sql).await.expect("the query runs");
        let cell = |cell: Option<String>| cell.unwrap_or_else(|| "NULL".to_owned());
        result.rows.into_iter().map(|row| row.into_iter().map(cell).collect::<Vec<_>>().join("|")).collect()
    }
}

fn bronze_batch(contract: &lakebed_contract::TableContract, records: &[Record]) -> arrow::array::RecordBatch {
    use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
    use lakebed_contract::ColumnType;
    let arrow_type = |column: ColumnType| {
        use arrow::datatypes::{DataType, TimeUnit};
        match column {
            ColumnType::Boolean => DataType::Boolean,
            ColumnType::Integer => DataType::Int32,
            ColumnType::Bigint => DataType::Int64,
            ColumnType::Double => DataType::Float64,
            ColumnType::Decimal { precision, scale } => DataType::Decimal128(precision, scale as i8),
            ColumnType::Text => DataType::Utf8,
            ColumnType::Date => DataType::Date32,
            ColumnType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    };
    let cast = |texts: StringArray, to: &arrow::datatypes::DataType| {
        use arrow::datatypes::{DataType, TimeUnit};
        // Without arrow's time zone tables only an offset can be cast from text; the label follows.
        if let DataType::Timestamp(TimeUnit::Microsecond, Some(_)) = to {
            let plain = arrow::compute::cast(&texts, &DataType::Timestamp(TimeUnit::Microsecond, None)).expect("time");
            let plain =
                arrow::array::AsArray::as_primitive::<arrow::datatypes::TimestampMicrosecondType>(&plain).clone();
            return Arc::new(plain.with_timezone("UTC")) as ArrayRef;
        }
        arrow::compute::cast(&texts, to).expect("a value of the column's type")
    };
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for column in &contract.columns {
        let value = |record: &Record| {
            record.values.iter().find(|(name, _)| *name == column.name).and_then(|(_, value)| value.clone())
        };
        let texts: StringArray = records.iter().map(value).collect();
        columns.push((column.name.clone(), cast(texts, &arrow_type(column.column_type))));
    }
    let text = |of: &dyn Fn(&Record) -> Option<String>| -> ArrayRef {
        Arc::new(records.iter().map(of).collect::<StringArray>())
    };
    let long = |of: &dyn Fn(&Record) -> i64| -> ArrayRef { Arc::new(records.iter().map(of).collect::<Int64Array>()) };
    columns.push(("_operation".into(), text(&|record| Some(record.operation.to_owned()))));
    let generations: Int32Array = records.iter().map(|record| record.position.0).collect();
    columns.push(("_generation".into(), Arc::new(generations)));
    columns.push(("_commit_lsn".into(), long(&|record| record.position.1)));
    columns.push(("_ordinal".into(), long(&|record| record.position.2)));
    let times: Vec<i64> = records.iter().map(|record| record.at * 1_000_000).collect();
    let times = TimestampMicrosecondArray::from(times);
    columns.push(("_commit_timestamp".into(), Arc::new(times.with_timezone("UTC"))));
    for column in contract.key_columns() {
        let texts: StringArray = records.iter().map(|record| record.old.clone()).collect();
        columns.push((format!("_old_{}", column.name), cast(texts, &arrow_type(column.column_type))));
    }
    let absent = |record: &Record| (!record.absent.is_empty()).then(|| record.absent.join(","));
    columns.push(("_absent".into(), text(&absent)));
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .expect("columns of one length")
}

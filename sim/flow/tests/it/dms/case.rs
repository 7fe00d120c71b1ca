//! What the DMS tests share: a database with the tables of a two-table lake, a task on it, and readers of its records.

use std::sync::Arc;
use std::time::Duration;

use lakebed_contract::endpoints::PostgresEndpoint;
use lakebed_contract::table::LoadRoute;
use lakebed_contract::{Clock, Column, ColumnType, Endpoints, Envelope, EventSink, Lake, Lsn, Position, TableContract};
use lakebed_flow::dms::{DmsConfig, DmsError, DmsHandle, DmsSettings, DmsTask, MemorySink};
use tokio_postgres::Client;

use super::server;

const DEADLINE: Duration = Duration::from_secs(60);
const SCHEMA: &str = "CREATE SCHEMA shop; \
    CREATE TABLE shop.item (id bigint PRIMARY KEY, name text, price numeric(6,2), sold timestamptz, note text); \
    ALTER TABLE shop.item ALTER note SET STORAGE EXTERNAL; \
    CREATE TABLE shop.tag (tag_id int, item_id bigint, label text NOT NULL, PRIMARY KEY (tag_id, item_id)); \
    CREATE TABLE public.unrelated (n int);";

/// One database with the tables of a two-table lake, a sink, and a client.
pub(super) struct Case {
    pub(super) config: DmsConfig,
    pub(super) sink: Arc<MemorySink>,
    sql: Client,
    _server: Arc<server::Server>,
}

fn column(name: &str, column_type: ColumnType, is_key: bool) -> Column {
    Column { name: name.into(), column_type, nullable: !is_key, is_key, class: None, former_names: Vec::new() }
}

fn table(name: &str, columns: Vec<Column>) -> TableContract {
    let (schema, version) = ("shop".into(), "1.0.0".into());
    TableContract {
        schema,
        name: name.into(),
        version,
        columns,
        partition: None,
        load: LoadRoute::Stream,
        quality: Vec::new(),
        service_levels: Default::default(),
        generated_rows: None,
    }
}

fn shop() -> Lake {
    let mut lake = Lake::beer();
    let (bigint, text) = (ColumnType::Bigint, ColumnType::Text);
    let item = vec![
        column("id", bigint, true),
        column("name", text, false),
        column("price", ColumnType::Decimal { precision: 6, scale: 2 }, false),
        column("sold", ColumnType::Timestamptz, false),
        column("note", text, false),
    ];
    let tag = vec![
        column("tag_id", ColumnType::Integer, true),
        column("item_id", bigint, true),
        column("label", text, false),
    ];
    lake.tables = vec![table("item", item), table("tag", tag)];
    lake
}

impl Case {
    pub(super) async fn new() -> Option<Self> {
        let server = server::shared()?;
        let postgres: PostgresEndpoint = server.database().await;
        let sql = server::connect(&postgres).await;
        sql.batch_execute(SCHEMA).await.expect("schema");
        let config = DmsConfig {
            slot: format!("slot_{}", postgres.database),
            publication: "lakebed".to_owned(),
            postgres,
            endpoints: Endpoints::embedded(1),
            lake: Arc::new(shop()),
            generation: 1,
            settings: DmsSettings::lakebed_recommended(),
            clock: Clock::wall(),
            events: EventSink::default(),
        };
        Some(Self { config, sink: Arc::new(MemorySink::default()), sql, _server: server })
    }

    pub(super) async fn prepare(&self) -> Result<DmsTask, DmsError> {
        within(DmsTask::prepare_with_sink(self.config.clone(), Arc::clone(&self.sink) as _)).await
    }

    /// A running capture on empty tables.
    pub(super) async fn capture(&self) -> DmsHandle {
        within(self.prepare().await.expect("prepare").start_cdc()).await.expect("start")
    }

    pub(super) async fn run(&self, sql: &str) {
        self.sql.batch_execute(sql).await.expect(sql);
    }

    pub(super) async fn wal_lsn(&self) -> Lsn {
        self.text("SELECT pg_current_wal_lsn()::text").await.parse().expect("an LSN")
    }

    async fn text(&self, sql: &str) -> String {
        self.sql.query_one(sql, &[]).await.expect(sql).get(0)
    }

    pub(super) async fn confirmed(&self) -> Lsn {
        let query = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE database = current_database()";
        self.text(query).await.parse().expect("an LSN")
    }

    pub(super) async fn settled(&self, handle: &DmsHandle) {
        within(handle.wait_acknowledged(self.wal_lsn().await)).await.expect("acknowledged");
    }

    pub(super) fn envelopes(&self) -> Vec<Envelope> {
        let records = self.sink.records();
        records.iter().map(|record| serde_json::from_slice(&record.data).expect("an envelope")).collect()
    }

    /// `insert 1`, `update 2`, … of a table, in order of arrival.
    pub(super) fn story(&self) -> Vec<String> {
        self.envelopes().iter().filter(|e| e.metadata.operation.is_data()).map(line).collect()
    }
}

fn line(envelope: &Envelope) -> String {
    let data = envelope.data.as_ref().expect("a data record");
    let key = data.get("id").or(data.get("tag_id")).expect("a key");
    format!("{} {key}", envelope.metadata.operation.as_str())
}

pub(super) fn positions(envelopes: &[Envelope]) -> Vec<Position> {
    let changes = envelopes.iter().filter(|e| e.metadata.stream_position.is_some());
    changes.map(|envelope| envelope.position().expect("placed")).collect()
}

pub(super) async fn within<T>(work: impl Future<Output = T>) -> T {
    let clock = Clock::wall();
    tokio::select! {
        result = work => result,
        () = clock.sleep(DEADLINE) => panic!("nothing happened for {DEADLINE:?}"),
    }
}

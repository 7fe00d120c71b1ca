//! The main job: beer data from Postgres to verified gold.
//!
//! Order: stores and Postgres start → the source is loaded → the slot is made → full load, batch export and the mutation run
//! go on side by side (so that load and change capture overlap, as they do in life) → silver and gold once on what has
//! arrived → the log is followed to its end → silver and gold again → the judge.
//!
//! Promises: everything it started is stopped on every way out, by `Drop` where there is no time for better. Judges only
//! what lies in the stores; a number it reports was counted, not assumed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lakebed_contract::control::ControlRecord;
use lakebed_contract::endpoints::PostgresEndpoint;
use lakebed_contract::{Clock, EventSink, Lake, Lsn, RunEvent, Seed, Stage, layout};
use lakebed_flow::dms::{DmsConfig, DmsHandle, DmsSettings, DmsTask};
use lakebed_flow::{Firehose, FirehoseConfig, FirehoseHandle, FirehoseReport};
use lakebed_source::{MutationPlan, MutationReport, PostgresConfig, PostgresServer, SourceTruth};

use crate::backend::{Flow, FlowConfig, Stores, create_stream, s3_client};
use crate::error::HarnessError;
use crate::judge::{self, JudgeInput, Verdict};
use crate::lake_folder::LakeFiles;
use crate::quiesce::settle_raw;
use crate::run_dir::RunDir;
use crate::tally::{RunSummary, Tally, TopBeer, timed};
use crate::wiring::{MaskSecret, warehouse_context};
use crate::worker::peak_rss_bytes;

/// Part of the source rows that the mutation run changes.
pub const MUTATION_SHARE: f64 = 0.05;
/// Buffer size of Firehose before compression: the least AWS allows with dynamic partitioning.
pub const FIREHOSE_BUFFER_BYTES: u64 = 64 * 1024 * 1024;
/// Buffer age of Firehose. AWS's least is 60 s; the embedded service runs 60 times as fast.
pub const FIREHOSE_BUFFER_INTERVAL: Duration = Duration::from_secs(1);
/// Active partitions of Firehose: AWS's default quota.
pub const FIREHOSE_ACTIVE_PARTITIONS_MAX: usize = 500;
/// The replication slot of the DMS task.
pub const SLOT: &str = "lakebed_dms";
/// Its publication.
pub const PUBLICATION: &str = "lakebed_dms";

/// How a demo runs.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Share of BeerAdvocate's size.
    pub scale: f64,
    /// Seed.
    pub seed: Seed,
    /// The lake's files.
    pub lake_files: LakeFiles,
    /// Mask key; `None` derives one from the seed, which is right for generated data only.
    pub mask: Option<MaskSecret>,
    /// Where Postgres lies, when told.
    pub postgres_bin: Option<PathBuf>,
    /// Where programs are looked for otherwise.
    pub search_path: Option<std::ffi::OsString>,
    /// This binary, to be started as ECS worker.
    pub worker_program: PathBuf,
    /// Name the folder in the summary.
    pub kept: bool,
}

/// A finished demo.
#[derive(Debug)]
pub struct DemoOutcome {
    /// For people and for `--json`.
    pub summary: RunSummary,
    /// The judge's findings.
    pub verdict: Verdict,
}

/// A running source-to-gold path. Fields are in the order in which they must be dropped.
pub struct Run {
    /// Firehose.
    pub firehose: FirehoseHandle,
    /// Everything behind `raw/`.
    pub flow: Flow,
    /// Postgres.
    pub postgres: PostgresServer,
    /// The stores.
    pub stores: Stores,
    /// What the generator knows and the lake must prove.
    pub truth: SourceTruth,
    lake: Arc<Lake>,
    mask: MaskSecret,
    clock: Clock,
    seed: Seed,
    events: EventSink,
}

/// Runs the demo in `run_dir`.
pub async fn run(
    options: DemoOptions,
    run_dir: &RunDir,
    clock: Clock,
    events: EventSink,
) -> Result<DemoOutcome, HarnessError> {
    let started = clock.monotonic();
    let tally = Tally::default();
    let events = tally.sink(events);
    events.emit(RunEvent::RunStarted {
        seed: options.seed.0,
        scale: options.scale,
        backend: "embedded".to_owned(),
        bounds: bounds(),
    });
    let mut run = Run::start(&options, run_dir, &clock, &events).await?;
    run.copy_and_follow(&tally).await?;
    let verdict = run.judge().await?;
    tally.set_rows(Stage::Silver, run.table_rows(layout::SILVER).await?);
    tally.set_rows(Stage::Gold, run.table_rows(layout::GOLD).await?);
    let top_beers = run.top_beers().await?;
    run.stop().await?;

    let summary = RunSummary {
        verdict: if verdict.passed() { "pass" } else { "fail" }.to_owned(),
        seed: options.seed.0,
        scale: options.scale,
        backend: "embedded".to_owned(),
        invariants: verdict.invariants.iter().map(|(name, finding)| (name.clone(), finding.outcome)).collect(),
        findings: verdict.invariants.iter().map(|(name, finding)| (name.clone(), finding.detail.clone())).collect(),
        rows: tally.rows(),
        timings_ms: tally.timings_ms(),
        total_ms: u64::try_from((clock.monotonic() - started).as_millis()).unwrap_or(u64::MAX),
        peak_rss_bytes: peak_rss_bytes().unwrap_or(0),
        top_beers,
        lake: options.kept.then(|| run_dir.path().display().to_string()),
    };
    events.emit(RunEvent::RunFinished { verdict: summary.verdict.clone() });
    Ok(DemoOutcome { summary, verdict })
}

/// The named bounds of a run, printed with it.
pub fn bounds() -> BTreeMap<String, u64> {
    BTreeMap::from([
        ("firehose_buffer_bytes".to_owned(), FIREHOSE_BUFFER_BYTES),
        ("firehose_active_partitions_max".to_owned(), FIREHOSE_ACTIVE_PARTITIONS_MAX as u64),
        ("notification_queue_max".to_owned(), crate::backend::NOTIFICATION_QUEUE_MAX as u64),
        ("lambda_concurrency_max".to_owned(), crate::backend::LAMBDA_CONCURRENCY_MAX as u64),
        ("duckdb_memory_mib".to_owned(), crate::wiring::DUCKDB_MEMORY_MIB),
        ("settle_s_max".to_owned(), crate::quiesce::SETTLE_S_MAX),
    ])
}

impl Run {
    /// Starts stores (on any port), Postgres and flow, loads the source, and starts Firehose.
    pub async fn start(
        options: &DemoOptions,
        run_dir: &RunDir,
        clock: &Clock,
        events: &EventSink,
    ) -> Result<Self, HarnessError> {
        Self::start_on(options, run_dir, 0, clock, events).await
    }

    /// As [`Run::start`], with the stores on a given port.
    pub async fn start_on(
        options: &DemoOptions,
        run_dir: &RunDir,
        port: u16,
        clock: &Clock,
        events: &EventSink,
    ) -> Result<Self, HarnessError> {
        let lake = Arc::new(Lake::from_files(&options.lake_files)?);
        let mask = options.mask.clone().unwrap_or_else(|| MaskSecret::for_generated_data(options.seed));
        let installation = lakebed_source::find_postgres(options.postgres_bin.as_deref(), options.search_path.clone())
            .map_err(HarnessError::stage("find a PostgreSQL server"))?;
        let (stores, postgres) = tokio::join!(
            Stores::start(run_dir.path(), port, clock, options.seed, events),
            PostgresServer::start(PostgresConfig {
                events: events.clone(),
                ..PostgresConfig::new(installation, std::env::temp_dir(), clock.clone())
            }),
        );
        let mut stores = stores?;
        let postgres = postgres.map_err(HarnessError::stage("start PostgreSQL"))?;
        let truth = timed(Stage::Source, "load", clock, events, async {
            let endpoint = postgres.endpoint();
            let client =
                lakebed_source::connect(&endpoint).await.map_err(HarnessError::stage("connect to PostgreSQL"))?;
            lakebed_source::create_schema(&client, &lake).await.map_err(HarnessError::stage("create the schema"))?;
            lakebed_source::load(&endpoint, &lake, options.scale, options.seed, events)
                .await
                .map_err(HarnessError::stage("load the source tables"))
        })
        .await?;
        let config = FlowConfig {
            lake: Arc::clone(&lake),
            lake_files: options.lake_files.clone(),
            mask: mask.clone(),
            clock: clock.clone(),
            seed: options.seed,
            events: events.clone(),
            worker_program: options.worker_program.clone(),
        };
        let flow = Flow::start(&mut stores, run_dir, config).await?;
        create_stream(&stores.endpoints).await?;
        let firehose = start_firehose(&flow, clock, options.seed, events)?;
        let (clock, events, seed) = (clock.clone(), events.clone(), options.seed);
        Ok(Self { firehose, flow, postgres, stores, truth, lake, mask, clock, seed, events })
    }

    /// Copies the source and follows its changes to the end of the log, through silver and gold.
    pub async fn copy_and_follow(&mut self, tally: &Tally) -> Result<(), HarnessError> {
        let (clock, events) = (self.clock.clone(), self.events.clone());
        let endpoint = self.postgres.endpoint();
        let rows_at_start: u64 = self.truth.keys_ever.values().map(|keys| keys.len() as u64).sum();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a row count fits")]
        let changes = (rows_at_start as f64 * MUTATION_SHARE).ceil() as u64;

        let task = DmsTask::prepare(self.dms_config()).await.map_err(HarnessError::stage("prepare the DMS task"))?;
        // The first half of the changes falls on the copy, so that load and change capture overlap; the second half falls on
        // the first round of silver and gold, so that the next round merges into tables that have rows.
        let ((exported, loaded, dms), first) = {
            let copy = copy_tables(&self.stores, &self.lake, &endpoint, task, &clock, &events);
            let change =
                change_source(&endpoint, &mut self.truth, self.seed.child("during-copy"), changes / 2, &clock, &events);
            tokio::try_join!(copy, change)?
        };
        timed(Stage::Firehose, "drain the load", &clock, &events, async {
            self.firehose.drain().await.map_err(HarnessError::stage("drain Firehose"))
        })
        .await?;
        timed(Stage::Bronze, "settle the load", &clock, &events, settle_raw(&self.flow, &clock)).await?;
        let second = {
            let rest = changes - changes / 2;
            let change =
                change_source(&endpoint, &mut self.truth, self.seed.child("during-silver"), rest, &clock, &events);
            let (second, ()) = tokio::try_join!(change, self.flow.refresh("after-load"))?;
            second
        };
        let delivered = self.follow_to_end(&dms).await?.delivered;
        let raw = timed(Stage::Bronze, "settle the changes", &clock, &events, settle_raw(&self.flow, &clock)).await?;
        self.flow.refresh("after-changes").await?;

        let mut carried = loaded;
        for (table, rows) in dms.rows() {
            *carried.entry(table).or_default() += rows;
        }
        dms.stop().await.map_err(HarnessError::stage("stop the DMS task"))?;
        events.log(format!("changes: {} rows during the copy, {} during silver", first.total(), second.total()));
        tally.set_rows(Stage::Source, live_rows(&endpoint, &self.lake).await?);
        tally.set_rows(Stage::Dms, carried);
        tally.set_rows(Stage::Batch, exported);
        tally.set_rows(Stage::Firehose, delivered);
        tally.set_rows(Stage::Bronze, bronze_rows(&raw.records));
        Ok(())
    }

    /// The initial load alone, without a mutation run; change capture goes on.
    pub async fn copy(&mut self) -> Result<DmsHandle, HarnessError> {
        let task = DmsTask::prepare(self.dms_config()).await.map_err(HarnessError::stage("prepare the DMS task"))?;
        let endpoint = self.postgres.endpoint();
        let (_, _, dms) = copy_tables(&self.stores, &self.lake, &endpoint, task, &self.clock, &self.events).await?;
        Ok(dms)
    }

    /// Waits until every raw object is settled.
    pub async fn settle(&self) -> Result<crate::quiesce::RawLayer, HarnessError> {
        settle_raw(&self.flow, &self.clock).await
    }

    /// Waits until every change committed by now lies under `raw/`.
    pub async fn follow_to_end(&self, dms: &DmsHandle) -> Result<FirehoseReport, HarnessError> {
        let (clock, events) = (&self.clock, &self.events);
        timed(Stage::Dms, "follow the log", clock, events, async {
            let end = current_lsn(&self.postgres.endpoint()).await?;
            dms.wait_acknowledged(end).await.map_err(HarnessError::stage("follow the log"))
        })
        .await?;
        timed(Stage::Firehose, "drain the changes", clock, events, async {
            self.firehose.drain().await.map_err(HarnessError::stage("drain Firehose"))
        })
        .await
    }

    fn dms_config(&self) -> DmsConfig {
        DmsConfig {
            postgres: self.postgres.endpoint(),
            endpoints: self.stores.endpoints.clone(),
            lake: Arc::clone(&self.lake),
            slot: SLOT.to_owned(),
            publication: PUBLICATION.to_owned(),
            generation: 1,
            settings: DmsSettings::lakebed_recommended(),
            clock: self.clock.clone(),
            events: self.events.clone(),
        }
    }

    /// Judges the lake against the source.
    pub async fn judge(&self) -> Result<Verdict, HarnessError> {
        let truth = judge::Truth {
            planted: self
                .truth
                .planted
                .iter()
                .map(|p| judge::Planted { class: p.class.clone(), value: p.value.clone(), in_text: p.in_text })
                .collect(),
            keys_ever: self.truth.keys_ever.clone(),
        };
        let endpoint = self.postgres.endpoint();
        judge::judge(JudgeInput {
            lake: &self.lake,
            endpoints: &self.stores.endpoints,
            postgres: Some(&endpoint),
            truth: &truth,
            mask_key: &self.mask.key,
            mask_key_version: self.mask.version,
            events: &self.events,
            clock: &self.clock,
        })
        .await
        .map_err(HarnessError::stage("judge the lake"))
    }

    async fn table_rows(&self, namespace: &str) -> Result<BTreeMap<String, u64>, HarnessError> {
        let lake = &self.lake;
        let tables: Vec<&str> = match namespace {
            layout::SILVER => {
                lake.tables.iter().map(|t| t.name.as_str()).chain(lake.silver.iter().map(|m| m.name.as_str())).collect()
            }
            _ => lake.gold.iter().map(|m| m.name.as_str()).collect(),
        };
        let context = warehouse_context(&self.flow.parts);
        let mut rows = BTreeMap::new();
        for table in tables {
            let result = lakebed_warehouse::query(&context, &format!("SELECT count(*) FROM {namespace}.{table}"))
                .await
                .map_err(HarnessError::stage("count rows"))?;
            let count = result.rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok()).unwrap_or(0);
            rows.insert(table.to_owned(), count);
        }
        Ok(rows)
    }

    async fn top_beers(&self) -> Result<Vec<TopBeer>, HarnessError> {
        if self.lake.name != "beer" {
            return Ok(Vec::new());
        }
        top_beers(&warehouse_context(&self.flow.parts)).await
    }

    /// Stops everything in order.
    pub async fn stop(self) -> Result<(), HarnessError> {
        self.firehose.stop().await.map_err(HarnessError::stage("stop Firehose"))?;
        self.flow.pipe.stop().await.map_err(HarnessError::stage("stop the pipe"))?;
        self.flow.notifications.stop().await.map_err(HarnessError::stage("stop the notifications"))?;
        self.postgres.stop().await.map_err(HarnessError::stage("stop PostgreSQL"))?;
        self.stores.shutdown().await
    }
}

type Copied = (BTreeMap<String, u64>, BTreeMap<String, u64>, DmsHandle);

/// Batch export and full load inside the slot's snapshot, then change capture: rows exported, rows loaded, the running task.
async fn copy_tables(
    stores: &Stores,
    lake: &Lake,
    endpoint: &PostgresEndpoint,
    task: DmsTask,
    clock: &Clock,
    events: &EventSink,
) -> Result<Copied, HarnessError> {
    let snapshot = task.snapshot_name().unwrap_or_default().to_owned();
    let s3 = s3_client(&stores.endpoints);
    let exported = timed(Stage::Batch, "export", clock, events, async {
        let mut exported = BTreeMap::new();
        for table in lake.batch_tables() {
            let report = lakebed_source::export_table(endpoint, &snapshot, table, 1, &s3, events)
                .await
                .map_err(HarnessError::stage("export the batch tables"))?;
            exported.insert(table.name.clone(), report.rows);
        }
        Ok::<_, HarnessError>(exported)
    })
    .await?;
    let (loaded, dms) = start_dms(task, lake).await?;
    Ok((exported, loaded, dms))
}

/// One stretch of the mutation run.
async fn change_source(
    endpoint: &PostgresEndpoint,
    truth: &mut SourceTruth,
    seed: Seed,
    changes: u64,
    clock: &Clock,
    events: &EventSink,
) -> Result<MutationReport, HarnessError> {
    let plan = MutationPlan { seed, changes };
    timed(Stage::Source, "change", clock, events, async {
        lakebed_source::mutate(endpoint, plan, truth, events).await.map_err(HarnessError::stage("change the source"))
    })
    .await
}

/// The best beers over all months with enough reviews to mean something.
pub async fn top_beers(context: &lakebed_warehouse::WarehouseContext) -> Result<Vec<TopBeer>, HarnessError> {
    const SQL: &str = include_str!("top_beers.sql");
    let result = lakebed_warehouse::query(context, SQL).await.map_err(HarnessError::stage("list the top beers"))?;
    let cell = |row: &Vec<Option<String>>, at: usize| row.get(at).cloned().flatten().unwrap_or_default();
    let to_beer = |row: &Vec<Option<String>>| TopBeer {
        beer_name: cell(row, 0),
        beer_style: cell(row, 1),
        total_reviews: cell(row, 2),
        avg_rating: cell(row, 3),
    };
    Ok(result.rows.iter().map(to_beer).collect())
}

fn start_firehose(flow: &Flow, clock: &Clock, seed: Seed, events: &EventSink) -> Result<FirehoseHandle, HarnessError> {
    Firehose::start(FirehoseConfig {
        name: layout::FIREHOSE_STREAM.to_owned(),
        kinesis_stream: layout::KINESIS_STREAM.to_owned(),
        transform: lakebed_contract::handler::FIREHOSE_ROUTER.to_owned(),
        registry: flow.registry.clone(),
        bucket: layout::STAGE_BUCKET.to_owned(),
        prefix: "raw/!{partitionKeyFromLambda:table_name}/".to_owned(),
        error_prefix: "errors/!{firehose:error-output-type}/".to_owned(),
        buffer_bytes: FIREHOSE_BUFFER_BYTES,
        buffer_interval: FIREHOSE_BUFFER_INTERVAL,
        active_partitions_max: FIREHOSE_ACTIVE_PARTITIONS_MAX,
        endpoints: flow.parts.endpoints.clone(),
        clock: clock.clone(),
        seed,
        events: events.clone(),
    })
    .map_err(HarnessError::stage("start Firehose"))
}

pub(crate) async fn start_dms(task: DmsTask, lake: &Lake) -> Result<(BTreeMap<String, u64>, DmsHandle), HarnessError> {
    let streamed: Vec<_> =
        lake.tables.iter().filter(|table| table.load == lakebed_contract::table::LoadRoute::Stream).collect();
    let loaded = task.full_load(&streamed).await.map_err(HarnessError::stage("copy the tables"))?;
    let dms = task.start_cdc().await.map_err(HarnessError::stage("start change capture"))?;
    Ok((loaded, dms))
}

fn bronze_rows(records: &[ControlRecord]) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    for record in records {
        *rows.entry(record.table.clone()).or_default() += u64::try_from(record.rows_good).unwrap_or(0);
    }
    rows
}

async fn current_lsn(endpoint: &PostgresEndpoint) -> Result<Lsn, HarnessError> {
    let client = lakebed_source::connect(endpoint).await.map_err(HarnessError::stage("connect to PostgreSQL"))?;
    let row = client
        .query_one("SELECT pg_current_wal_lsn()::text", &[])
        .await
        .map_err(HarnessError::stage("read the end of the log"))?;
    let text: String = row.try_get(0).map_err(HarnessError::stage("read the end of the log"))?;
    text.parse().map_err(HarnessError::stage("read the end of the log"))
}

async fn live_rows(endpoint: &PostgresEndpoint, lake: &Lake) -> Result<BTreeMap<String, u64>, HarnessError> {
    let client = lakebed_source::connect(endpoint).await.map_err(HarnessError::stage("connect to PostgreSQL"))?;
    let mut rows = BTreeMap::new();
    for table in &lake.tables {
        let sql = format!("SELECT count(*) FROM {}.{}", table.schema, table.name);
        let row = client.query_one(&sql, &[]).await.map_err(HarnessError::stage("count source rows"))?;
        let count: i64 = row.try_get(0).map_err(HarnessError::stage("count source rows"))?;
        rows.insert(table.name.clone(), u64::try_from(count).unwrap_or(0));
    }
    Ok(rows)
}

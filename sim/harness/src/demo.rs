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

use lakebed_contract::control::ControlRecord;
use lakebed_contract::endpoints::PostgresEndpoint;
use lakebed_contract::{Clock, EventSink, Lake, RunEvent, Seed, Stage, layout};
use lakebed_source::{MutationPlan, MutationReport, SourceTruth};

use crate::backend::BackendChoice;
use crate::error::HarnessError;
use crate::judge::Verdict;
use crate::lake_folder::LakeFiles;
use crate::run::{Run, RunPlace, copy_tables};
use crate::run_dir::RunDir;
use crate::tally::{RunSummary, Tally, TopBeer, timed};
use crate::wiring::{MaskSecret, warehouse_context};
use crate::worker::peak_rss_bytes;

/// Part of the source rows that the mutation run changes.
pub const MUTATION_SHARE: f64 = 0.05;

/// Invariants a demo must prove: one of these unchecked is no pass.
pub const REQUIRED: [&str; 8] = ["I1", "I2", "I3", "I4", "I5", "I6", "I8", "I10"];

/// How a demo runs.
#[derive(Clone, Debug)]
pub struct DemoOptions {
    /// Share of BeerAdvocate's size.
    pub scale: f64,
    /// Seed.
    pub seed: Seed,
    /// The lake's files.
    pub lake_files: LakeFiles,
    /// Where the services run.
    pub backend: BackendChoice,
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
        backend: options.backend.name().to_owned(),
        bounds: bounds(),
    });
    let mut run = Run::start(&options, RunPlace::throw_away(run_dir), &clock, &events).await?;
    run.copy_and_follow(&tally).await?;
    let verdict = run.judge().await?;
    tally.set_rows(Stage::Silver, run.table_rows(layout::SILVER).await?);
    tally.set_rows(Stage::Gold, run.table_rows(layout::GOLD).await?);
    let top_beers = run.top_beers().await?;
    run.stop().await?;

    let proven = REQUIRED.iter().all(|name| {
        verdict.invariants.get(*name).is_some_and(|finding| finding.outcome == lakebed_contract::event::Outcome::Pass)
    });
    let summary = RunSummary {
        verdict: if verdict.passed() && proven { "pass" } else { "fail" }.to_owned(),
        seed: options.seed.0,
        scale: options.scale,
        backend: options.backend.name().to_owned(),
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
    let own = [
        ("firehose_buffer_bytes", crate::run::FIREHOSE_BUFFER_BYTES),
        ("firehose_active_partitions_max", crate::run::FIREHOSE_ACTIVE_PARTITIONS_MAX as u64),
        ("notification_queue_max", crate::backend::NOTIFICATION_QUEUE_MAX as u64),
        ("lambda_concurrency_max", crate::backend::LAMBDA_CONCURRENCY_MAX as u64),
        ("duckdb_memory_mib", crate::wiring::DUCKDB_MEMORY_MIB),
        ("settle_s_max", crate::quiesce::SETTLE_S_MAX),
    ];
    let mut bounds = lakebed_flow::bounds();
    bounds.extend(lakebed_source::bounds());
    bounds.extend(own.map(|(name, value)| (name.to_owned(), value)));
    bounds
}

impl Run {
    /// Copies the source and follows its changes to the end of the log, through silver and gold.
    pub async fn copy_and_follow(&mut self, tally: &Tally) -> Result<(), HarnessError> {
        let (clock, events) = (self.clock.clone(), self.events.clone());
        let endpoint = self.backend.postgres();
        let rows_at_start: u64 = self.truth.keys_ever.values().map(|keys| keys.len() as u64).sum();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a row count fits")]
        let changes = (rows_at_start as f64 * MUTATION_SHARE).ceil() as u64;

        let task = self.prepare_dms().await?;
        // The first half of the changes falls on the copy, so that load and change capture overlap; the second half falls on
        // the first round of silver and gold, so that the next round merges into tables that have rows.
        let ((exported, loaded, dms), first) = {
            let copy = copy_tables(self.backend.endpoints(), &self.lake, &endpoint, task, &clock, &events);
            let change =
                change_source(&endpoint, &mut self.truth, self.seed.child("during-copy"), changes / 2, &clock, &events);
            tokio::try_join!(copy, change)?
        };
        timed(Stage::Firehose, "drain the load", &clock, &events, async {
            self.firehose.drain().await.map_err(HarnessError::stage("drain Firehose"))
        })
        .await?;
        timed(Stage::Bronze, "settle the load", &clock, &events, self.settle()).await?;
        let second = {
            let rest = changes - changes / 2;
            let change =
                change_source(&endpoint, &mut self.truth, self.seed.child("during-silver"), rest, &clock, &events);
            let (second, ()) = tokio::try_join!(change, self.flow.refresh("after-load"))?;
            second
        };
        let delivered = self.follow_to_end(&dms).await?.delivered;
        let raw = timed(Stage::Bronze, "settle the changes", &clock, &events, self.settle()).await?;
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
                .map_err(HarnessError::query)?;
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
    let result = lakebed_warehouse::query(context, SQL).await.map_err(HarnessError::query)?;
    let cell = |row: &Vec<Option<String>>, at: usize| row.get(at).cloned().flatten().unwrap_or_default();
    let to_beer = |row: &Vec<Option<String>>| TopBeer {
        beer_name: cell(row, 0),
        beer_style: cell(row, 1),
        total_reviews: cell(row, 2),
        avg_rating: cell(row, 3),
    };
    Ok(result.rows.iter().map(to_beer).collect())
}

fn bronze_rows(records: &[ControlRecord]) -> BTreeMap<String, u64> {
    let mut rows = BTreeMap::new();
    for record in records {
        *rows.entry(record.table.clone()).or_default() += u64::try_from(record.rows_good).unwrap_or(0);
    }
    rows
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

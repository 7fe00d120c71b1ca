//! The main job: beer data from Postgres to verified gold.
//!
//! Order: stores and Postgres start → the source is loaded → the slot is made → full load, batch export and the mutation run
//! go on side by side (so that load and change capture overlap, as they do in life) → silver and gold once on what has
//! arrived → the log is followed to its end → silver and gold again → every stage once more, for the proof → the judge. In a folder that is kept, a run whose process
//! died is taken up by the same command.
//!
//! Promises: everything it started is stopped on every way out, by `Drop` where there is no time for better. Judges only
//! what lies in the stores; a number it reports was counted, not assumed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lakebed_contract::{Clock, EventSink, FaultPlan, RunEvent, Seed, Stage, layout};

use crate::backend::{BackendChoice, StoreOptions};
use crate::error::HarnessError;
use crate::event_log::EventWriter;
use crate::judge::{Finding, Verdict};
use crate::lake_folder::LakeFiles;
use crate::phases::{Course, demo_phases, resume_at};
use crate::progress::{Identity, Progress};
use crate::run::{Run, RunPlace};
use crate::run_dir::RunDir;
use crate::sampler::peak_rss_bytes;
use crate::scenario::definition::Workload;
use crate::tally::{RunSummary, Showcase, Tally};
use crate::wiring::{MaskSecret, warehouse_context};

/// Part of the source rows that the mutation run changes.
pub const MUTATION_SHARE: f64 = 0.05;

/// Invariants a demo must prove: one of these unchecked is no pass.
pub const REQUIRED: [&str; 10] = crate::judge::INVARIANTS;

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
    /// The folder is named by the user: the summary tells it, and an interrupted run in it is taken up.
    pub kept: bool,
    /// How data travel.
    pub workload: Workload,
    /// What goes wrong on purpose.
    pub faults: FaultPlan,
    /// How the embedded stores are run.
    pub stores: StoreOptions,
}

/// A finished demo.
#[derive(Debug)]
pub struct DemoOutcome {
    /// For people and for `--json`.
    pub summary: RunSummary,
    /// The judge's findings.
    pub verdict: Verdict,
}

/// Runs the demo in `run_dir`, or what an interrupted one left to do there. A finished one is told again, not run again.
pub async fn run(
    options: DemoOptions,
    run_dir: &RunDir,
    clock: Clock,
    events: EventSink,
) -> Result<DemoOutcome, HarnessError> {
    let started = clock.monotonic();
    let mut progress = options.kept.then(|| take_up(&options, run_dir)).transpose()?;
    if progress.as_ref().is_some_and(Progress::is_finished) {
        events.log(format!("the run in `{}` is finished: this is its result", run_dir.path().display()));
        return DemoOutcome::read(run_dir);
    }
    let tally = Tally::default();
    let log = EventWriter::open(run_dir, &clock)?;
    let events = log.sink(options.stores.feed.sink(tally.sink(&clock, events), &clock));
    events.emit(RunEvent::RunStarted {
        seed: options.seed.0,
        scale: options.scale,
        backend: options.backend.name().to_owned(),
        bounds: bounds(),
    });
    let life = progress.as_ref().map_or(1, Progress::lives);
    if life > 1 {
        events.log(format!("taking up an interrupted run: process number {life}"));
    }
    let place = RunPlace { keep_postgres: options.kept, ..RunPlace::throw_away(run_dir) };
    let mut run = Run::start(&options, place, &clock, &events).await?;
    let mut course = Course::default();
    let phases = demo_phases(share_of_rows(&run));
    if life > 1 {
        course.catch_up(&mut run).await?;
    }
    let done = progress.as_ref().map_or(0, Progress::phases_done);
    for (at, phase) in phases.iter().enumerate().skip(resume_at(&phases, done, life)) {
        course.phase(&mut run, phase, life).await?;
        progress.as_mut().map_or(Ok(()), |progress| progress.phases_over(at + 1))?;
    }
    course.rest(&mut run, &tally).await?;
    tally.begin_proof();
    run.run_again().await?;
    let verdict = run.judge().await?;
    tally.set_rows(Stage::Silver, run.table_rows(layout::SILVER).await?);
    tally.set_rows(Stage::Gold, run.table_rows(layout::GOLD).await?);
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
        measures: tally.measures(),
        masking: tally.masking(),
        showcase: run.showcase().await?,
        lake: options.kept.then(|| run_dir.path().display().to_string()),
        created: run.backend.created().to_vec(),
    };
    let outcome = DemoOutcome { summary, verdict };
    if let Some(progress) = &mut progress {
        // Told first, then finished, then the source removed: whatever moment the process dies at, the next one has an answer.
        outcome.write(run_dir)?;
        progress.finish()?;
    }
    run.end().await?;
    events.emit(RunEvent::RunFinished { verdict: outcome.summary.verdict.clone() });
    log.close();
    Ok(outcome)
}

fn take_up(options: &DemoOptions, run_dir: &RunDir) -> Result<Progress, HarnessError> {
    let backend = options.backend.name();
    Progress::take_up(run_dir, Identity::new(options.seed, options.scale, backend, &options.lake_files, "demo"))
}

impl DemoOutcome {
    /// Name of a kept run's summary in its folder.
    pub const FILE: &str = "run.json";

    fn write(&self, run_dir: &RunDir) -> Result<(), HarnessError> {
        let path = run_dir.path().join(Self::FILE);
        let text = serde_json::to_string_pretty(&self.summary).expect("a summary is strings and numbers");
        std::fs::write(&path, text).map_err(HarnessError::file("write", path))
    }

    fn read(run_dir: &RunDir) -> Result<Self, HarnessError> {
        let path = run_dir.path().join(Self::FILE);
        let text = std::fs::read(&path).map_err(HarnessError::file("read", &path))?;
        let summary: RunSummary =
            serde_json::from_slice(&text).map_err(HarnessError::stage("read the run's summary"))?;
        let finding = |name: &String| {
            let outcome = *summary.invariants.get(name)?;
            let detail = summary.findings.get(name).cloned().unwrap_or_default();
            Some((name.clone(), Finding { outcome, detail }))
        };
        let invariants = summary.invariants.keys().filter_map(finding).collect();
        Ok(Self { verdict: Verdict { invariants }, summary })
    }
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
        ("event_log_bytes_max", crate::event_log::EVENT_LOG_BYTES_MAX),
        ("event_log_queue_max", crate::event_log::EVENT_QUEUE_MAX as u64),
        ("rerun_rows_max", crate::rerun::ROWS_MAX.cast_unsigned()),
        ("rerun_records_max", crate::rerun::RECORDS_MAX),
        ("slot_watch_samples_max", crate::slot_watch::SAMPLES_MAX as u64),
        ("slot_watch_held_log_bytes_max", crate::slot_watch::HELD_LOG_BYTES_MAX),
    ];
    let mut bounds = lakebed_flow::bounds();
    bounds.extend(lakebed_source::bounds());
    bounds.extend(own.map(|(name, value)| (name.to_owned(), value)));
    bounds
}

impl Run {
    /// All phases of a demo at one go, without progress that could be taken up: for tests and benches.
    pub async fn copy_and_follow(&mut self, tally: &Tally) -> Result<(), HarnessError> {
        let mut course = Course::default();
        for phase in demo_phases(share_of_rows(self)) {
            course.phase(self, &phase, 1).await?;
        }
        course.rest(self, tally).await
    }

    /// Rows of every table of a namespace, by table.
    pub(crate) async fn table_rows(&self, namespace: &str) -> Result<BTreeMap<String, u64>, HarnessError> {
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
            let result = lakebed_warehouse::query(&context, &format!("SELECT count(*) FROM {namespace}.\"{table}\""))
                .await
                .map_err(HarnessError::query)?;
            let count = result.rows.first().and_then(|row| row.first()?.as_ref()?.parse().ok()).unwrap_or(0);
            rows.insert(table.to_owned(), count);
        }
        Ok(rows)
    }

    /// What the lake wants shown of itself.
    async fn showcase(&self) -> Result<Option<Showcase>, HarnessError> {
        let Some(sql) = &self.lake.showcase else { return Ok(None) };
        let context = warehouse_context(&self.flow.parts);
        let named = |error| match HarnessError::query(error) {
            HarnessError::Input { message } => {
                HarnessError::Input { message: format!("failed to run `showcase.sql` of the lake: {message}") }
            }
            other => other,
        };
        let result = lakebed_warehouse::query(&context, sql).await.map_err(named)?;
        Ok(Some(Showcase { columns: result.columns, rows: result.rows }))
    }
}

/// How many changes a demo makes.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a row count fits")]
pub fn share_of_rows(run: &Run) -> u64 {
    let rows: u64 = run.truth.keys_by_table().values().sum();
    (rows as f64 * MUTATION_SHARE).ceil() as u64
}

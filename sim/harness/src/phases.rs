//! The phases of a run, and how one that was cut off is taken up.
//!
//! A [`Course`] is a list of phases over one [`Run`]. Each phase may be repeated: copying over a slot that is loaded already only
//! goes on with change capture, a refresh merges what is there, following ends where the log ends. So after a crash the phase
//! that was cut off is done again from its start, and what it had done before counts for nothing. Changes at the source are drawn
//! anew in every life of the process, since some of the lost life's were committed.

use std::collections::BTreeMap;

use lakebed_contract::control::ControlRecord;
use lakebed_contract::endpoints::PostgresEndpoint;
use lakebed_contract::{Clock, EventSink, Lake, Stage};
use lakebed_flow::FirehoseReport;
use lakebed_source::{MutationPlan, MutationReport, SourceTruth};

use crate::error::HarnessError;
use crate::quiesce::RawLayer;
use crate::run::Run;
use crate::scenario::definition::{Phase, PhaseKind};
use crate::tally::{Tally, timed};

/// What the phases of a run have done so far, in this process.
#[derive(Debug, Default)]
pub struct Course {
    /// Rows exported by the batch route, by table.
    pub exported: BTreeMap<String, u64>,
    /// Rows loaded through DMS, by table.
    pub loaded: BTreeMap<String, u64>,
    /// What Firehose has delivered.
    pub firehose: FirehoseReport,
    /// The raw layer when it was last at rest.
    pub raw: RawLayer,
    /// Row changes committed, and cases met.
    pub changed: MutationReport,
}

impl Course {
    /// Brings a run that was taken up to rest. Firehose keeps its positions in memory, so it delivers again what Kinesis still holds;
    /// the refresh that follows must find all of it.
    pub async fn catch_up(&mut self, run: &mut Run) -> Result<(), HarnessError> {
        if run.dms.is_none() {
            return Ok(());
        }
        self.follow(run).await
    }

    /// Does one phase. `life` counts the processes that worked on this run.
    pub async fn phase(&mut self, run: &mut Run, phase: &Phase, life: u32) -> Result<(), HarnessError> {
        // The first life's changes are those of every undisturbed run of the seed.
        let purpose = match life {
            1 => format!("changes/{}", phase.name),
            life => format!("changes/{}/life-{life}", phase.name),
        };
        let plan = MutationPlan { seed: run.seed.child(&purpose), changes: phase.changes, cases: phase.cases.clone() };
        match phase.kind {
            PhaseKind::Copy => self.copy(run, plan).await,
            PhaseKind::Change => {
                let (endpoint, clock, events) = (run.source.clone(), run.clock.clone(), run.events.clone());
                let changed = change_source(&endpoint, &run.lake, &mut run.truth, plan, &clock, &events).await?;
                self.changed.add(&changed);
                Ok(())
            }
            PhaseKind::Follow => self.follow(run).await,
            PhaseKind::Refresh => self.refresh(run, plan, &format!("{}-{life}", phase.name)).await,
        }
    }

    /// The changes fall on the copy, so that load and change capture overlap, as they do in life.
    async fn copy(&mut self, run: &mut Run, plan: MutationPlan) -> Result<(), HarnessError> {
        let (endpoint, clock, events) = (run.source.clone(), run.clock.clone(), run.events.clone());
        if run.dms.is_none() {
            let task = run.prepare_dms().await?;
            let mut truth = std::mem::take(&mut run.truth);
            let copied = {
                let copy = run.copy_with(task);
                let change = change_source(&endpoint, &run.lake, &mut truth, plan, &clock, &events);
                tokio::try_join!(copy, change)
            };
            run.truth = truth;
            let ((exported, loaded, dms), changed) = copied?;
            run.dms = Some(dms);
            (self.exported, self.loaded) = (exported, loaded);
            self.changed.add(&changed);
        } else {
            let changed = change_source(&endpoint, &run.lake, &mut run.truth, plan, &clock, &events).await?;
            self.changed.add(&changed);
        }
        self.firehose = timed(Stage::Firehose, "drain the load", &clock, &events, async {
            run.firehose.drain().await.map_err(HarnessError::stage("drain Firehose"))
        })
        .await?;
        self.raw = timed(Stage::Bronze, "settle the load", &clock, &events, run.settle()).await?;
        Ok(())
    }

    async fn follow(&mut self, run: &mut Run) -> Result<(), HarnessError> {
        self.firehose = run.follow_to_end().await?;
        let (clock, events) = (run.clock.clone(), run.events.clone());
        self.raw = timed(Stage::Bronze, "settle the changes", &clock, &events, run.settle()).await?;
        Ok(())
    }

    /// The changes fall on the round of silver and gold, so that the next round merges into tables that have rows.
    async fn refresh(&mut self, run: &mut Run, plan: MutationPlan, round: &str) -> Result<(), HarnessError> {
        let (endpoint, clock, events) = (run.source.clone(), run.clock.clone(), run.events.clone());
        let change = change_source(&endpoint, &run.lake, &mut run.truth, plan, &clock, &events);
        let (changed, ()) = tokio::try_join!(change, run.flow.refresh(round))?;
        self.changed.add(&changed);
        Ok(())
    }

    /// Ends change capture and tells what the run has moved.
    pub async fn rest(&self, run: &mut Run, tally: &Tally) -> Result<(), HarnessError> {
        let mut carried = self.loaded.clone();
        if let Some(dms) = run.dms.take() {
            for (table, rows) in dms.rows() {
                *carried.entry(table).or_default() += rows;
            }
            dms.stop().await.map_err(HarnessError::stage("stop the DMS task"))?;
        }
        tally.set_rows(Stage::Source, live_rows(&run.source, &run.lake).await?);
        tally.set_rows(Stage::Dms, carried);
        tally.set_rows(Stage::Batch, self.exported.clone());
        tally.set_rows(Stage::Firehose, self.firehose.delivered.clone());
        tally.set_rows(Stage::Bronze, bronze_rows(&self.raw.records));
        Ok(())
    }
}

/// The first phase to be done: where the last process was cut off, but never behind the last refresh, which must merge what is
/// delivered again.
pub fn resume_at(phases: &[Phase], done: usize, life: u32) -> usize {
    let last_refresh = phases.iter().rposition(|phase| phase.kind == PhaseKind::Refresh);
    match last_refresh {
        Some(refresh) if life > 1 => done.min(refresh),
        _ => done,
    }
}

/// One stretch of changes at the source.
async fn change_source(
    endpoint: &PostgresEndpoint,
    lake: &Lake,
    truth: &mut SourceTruth,
    plan: MutationPlan,
    clock: &Clock,
    events: &EventSink,
) -> Result<MutationReport, HarnessError> {
    if plan.changes == 0 {
        return Ok(MutationReport::default());
    }
    timed(Stage::Source, "change", clock, events, async {
        lakebed_source::mutate(endpoint, lake, plan, truth, events)
            .await
            .map_err(HarnessError::stage("change the source"))
    })
    .await
}

/// The phases of a demo: half of the changes on the copy, half on the first round of silver and gold.
pub fn demo_phases(changes: u64) -> Vec<Phase> {
    let phase = |name: &str, kind, changes| Phase { name: name.to_owned(), kind, changes, cases: Vec::new() };
    vec![
        phase("copy", PhaseKind::Copy, changes / 2),
        phase("first-refresh", PhaseKind::Refresh, changes - changes / 2),
        phase("follow", PhaseKind::Follow, 0),
        phase("second-refresh", PhaseKind::Refresh, 0),
    ]
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
        let sql = format!("SELECT count(*) FROM \"{}\".\"{}\"", table.schema, table.name);
        let row = client.query_one(&sql, &[]).await.map_err(HarnessError::stage("count source rows"))?;
        let count: i64 = row.try_get(0).map_err(HarnessError::stage("count source rows"))?;
        rows.insert(table.name.clone(), u64::try_from(count).unwrap_or(0));
    }
    Ok(rows)
}

//! `lakebed run`: scenarios by seeds, one after another or a few at once, each in state of its own.

use std::os::unix::fs::PermissionsExt;

use futures::StreamExt;
use lakebed_contract::{Clock, EventSink, FaultPlan, Seed};

use super::engine::{self, Order};
use super::lives::{self, Source};
use super::outcome::{Expectation, ScenarioOutcome, ScenarioResult};
use super::shelf::Found;
use crate::demo::DemoOptions;
use crate::error::HarnessError;
use crate::run_dir::RunDir;

/// Scenarios at once; each runs a Postgres of its own.
pub const JOBS_MAX: usize = 16;

/// What `lakebed run` does with its scenarios.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Seeds; a scenario's own when empty.
    pub seeds: Vec<u64>,
    /// Play each twice and compare the digests.
    pub twice: bool,
    /// Scenarios at once.
    pub jobs: usize,
    /// Everything else of a run; seed, scale, backend, workload and faults are replaced.
    pub base: DemoOptions,
}

/// Plays every scenario with every seed. Outcomes come in the order asked for; `told` hears of each when it ends.
pub async fn run_all(
    found: &[Found],
    options: &RunOptions,
    clock: &Clock,
    events: &EventSink,
    told: impl Fn(&ScenarioOutcome),
) -> Vec<ScenarioOutcome> {
    let seeds = |found: &Found| match options.seeds.as_slice() {
        [] => vec![found.scenario.seed],
        seeds => seeds.iter().copied().map(Seed).collect(),
    };
    let plays = found.iter().flat_map(|found| seeds(found).into_iter().map(move |seed| (found, seed)));
    let told = &told;
    let plays = plays.map(|(found, seed)| async move {
        let outcome = run_one(found, seed, options, clock, events).await;
        told(&outcome);
        outcome
    });
    futures::stream::iter(plays).buffered(options.jobs.clamp(1, JOBS_MAX)).collect().await
}

async fn run_one(
    found: &Found,
    seed: Seed,
    options: &RunOptions,
    clock: &Clock,
    events: &EventSink,
) -> ScenarioOutcome {
    let first = play(found, seed, &options.base, clock, events).await;
    if !options.twice || first.result == ScenarioResult::Broken {
        return first;
    }
    let second = play(found, seed, &options.base, clock, events).await;
    let digests = |outcome: &ScenarioOutcome| {
        let words: Vec<_> = outcome.digests.iter().map(|(layer, digest)| format!("{layer} {digest}")).collect();
        words.join(", ")
    };
    let (expected, again) = (digests(&first), digests(&second));
    let met = second.result == first.result && expected == again && !expected.is_empty();
    let mut outcome = ScenarioOutcome { total_ms: first.total_ms + second.total_ms, ..first };
    outcome.repeat.push_str(" --twice");
    let what = "the same digests when run twice".to_owned();
    outcome.expectations.push(Expectation { what, expected, found: again, met });
    if !met {
        outcome.result = ScenarioResult::Failed;
    }
    outcome
}

async fn play(found: &Found, seed: Seed, base: &DemoOptions, clock: &Clock, events: &EventSink) -> ScenarioOutcome {
    let scenario = found.scenario.clone();
    // Counters of a plan are shared by its clones, so each play gets a plan of its own.
    let faults = FaultPlan::new(seed, scenario.faults.clone());
    let kills = scenario.kills_the_process();
    let options = DemoOptions { seed, faults, kept: false, backend: found.backend.clone(), ..base.clone() };
    let order = Order::new(scenario, found.argument.clone(), options);
    let broken = |error: HarnessError| ScenarioOutcome {
        error: Some(error.to_string()),
        ..order.outcome(ScenarioResult::Broken, 0)
    };
    if kills {
        let folder = match passable_folder() {
            Ok(folder) => folder,
            Err(error) => return broken(error),
        };
        let source = Source { file: &found.file, text: &found.text };
        return lives::play(&order, source, folder.path(), clock, events).await;
    }
    match RunDir::throw_away_passable() {
        Ok(run_dir) => engine::play(&order, &run_dir, clock, events).await,
        Err(error) => broken(error),
    }
}

/// A folder for a run whose Postgres belongs to another user and lies in it: others may pass through, not look.
fn passable_folder() -> Result<tempfile::TempDir, HarnessError> {
    tempfile::Builder::new()
        .prefix("lakebed-")
        .permissions(std::fs::Permissions::from_mode(0o711))
        .tempdir()
        .map_err(HarnessError::file("create a folder in", std::env::temp_dir()))
}

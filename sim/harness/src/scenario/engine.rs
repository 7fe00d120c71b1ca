//! Plays one scenario in this process: phases, steps, the judge, the comparison.
//!
//! Promises: never an error: what breaks is an outcome with the reason. A scenario whose state outlives its process (one that
//! kills or restarts) goes on where it was when it is played again over the same state directory.

use std::collections::BTreeMap;

use lakebed_contract::fault::Strikes;
use lakebed_contract::{Clock, EventSink, RunEvent, Stage, layout};

use super::definition::{Scenario, Step, StepKind};
use super::digests;
use super::expectations::{Facts, compare};
use super::outcome::{FaultTally, ScenarioOutcome, ScenarioResult, StepTiming};
use crate::backend::BackendChoice;
use crate::demo::{self, DemoOptions};
use crate::error::HarnessError;
use crate::event_log::EventWriter;
use crate::judge::Verdict;
use crate::phases::{Course, demo_phases, resume_at};
use crate::progress::{Identity, Progress};
use crate::quiesce;
use crate::run::{Run, RunPlace};
use crate::run_dir::RunDir;
use crate::tally::Tally;
use crate::tamper;

/// What is to be played.
#[derive(Clone, Debug)]
pub struct Order {
    /// The scenario.
    pub scenario: Scenario,
    /// What to give to `lakebed run` to repeat it.
    pub argument: String,
    /// Options of the run: seed, scale, workload and the faults of this life.
    pub options: DemoOptions,
}

impl Order {
    /// A scenario under `options`, whose seed counts; scale and workload are the scenario's.
    pub fn new(scenario: Scenario, argument: String, options: DemoOptions) -> Self {
        let (scale, workload) = (scenario.scale, scenario.workload.clone());
        Self { scenario, argument, options: DemoOptions { scale, workload, ..options } }
    }

    /// The command that repeats it.
    pub fn repeat(&self) -> String {
        let backend = match self.options.backend {
            BackendChoice::Embedded => String::new(),
            _ => format!(" --backend {}", self.options.backend.name()),
        };
        format!("lakebed run {} --seed {}{backend}", self.argument, self.options.seed.0)
    }

    /// An outcome that says nothing but how it ended.
    pub(super) fn outcome(&self, result: ScenarioResult, total_ms: u64) -> ScenarioOutcome {
        ScenarioOutcome {
            name: self.scenario.name.clone(),
            question: self.scenario.question.clone(),
            seed: self.options.seed.0,
            scale: self.options.scale,
            backend: self.options.backend.name().to_owned(),
            result,
            verdict: "none".to_owned(),
            invariants: BTreeMap::new(),
            expectations: Vec::new(),
            faults: Vec::new(),
            steps: Vec::new(),
            rows: BTreeMap::new(),
            masking: Vec::new(),
            digests: BTreeMap::new(),
            total_ms,
            repeat: self.repeat(),
            error: None,
        }
    }
}

/// Plays a scenario, or what is left of it.
pub async fn play(order: &Order, run_dir: &RunDir, clock: &Clock, events: &EventSink) -> ScenarioOutcome {
    let started = clock.monotonic();
    let mut steps = Vec::new();
    let played = Player { order, run_dir, clock, steps: &mut steps }.play(events).await;
    let total_ms = u64::try_from((clock.monotonic() - started).as_millis()).unwrap_or(u64::MAX);
    let mut outcome = match played {
        Ok(played) => ScenarioOutcome { total_ms, ..played },
        Err(error) => {
            let error = Some(with_causes(&error));
            ScenarioOutcome { error, ..order.outcome(ScenarioResult::Broken, total_ms) }
        }
    };
    outcome.steps = steps;
    outcome.faults = order.options.faults.strikes().into_iter().map(tally).collect();
    outcome
}

struct Player<'a> {
    order: &'a Order,
    run_dir: &'a RunDir,
    clock: &'a Clock,
    steps: &'a mut Vec<StepTiming>,
}

impl Player<'_> {
    async fn play(mut self, events: &EventSink) -> Result<ScenarioOutcome, HarnessError> {
        let (scenario, options) = (&self.order.scenario, &self.order.options);
        let tally = Tally::default();
        let log = EventWriter::open(self.run_dir, self.clock)?;
        let events = log.sink(options.stores.feed.sink(tally.sink(self.clock, events.clone()), self.clock));
        let keeps = scenario.needs_state();
        let place = RunPlace { keep_postgres: keeps, ..RunPlace::throw_away(self.run_dir) };
        let mut progress = keeps.then(|| self.take_up()).transpose()?;
        if progress.as_ref().is_some_and(Progress::is_finished) {
            return Err(HarnessError::Occupied {
                path: self.run_dir.path().to_owned(),
                reason: "the scenario has been played to its end there".to_owned(),
            });
        }
        let life = progress.as_ref().map_or(1, Progress::lives);
        events.emit(RunEvent::RunStarted {
            seed: options.seed.0,
            scale: options.scale,
            backend: options.backend.name().to_owned(),
            bounds: demo::bounds(),
        });
        let mut run = self.timed("start", Run::start(options, place, self.clock, &events)).await?;
        let mut course = Course::default();
        let phases = match scenario.phases.as_slice() {
            [] => demo_phases(demo::share_of_rows(&run)),
            phases => phases.to_vec(),
        };
        if life > 1 {
            self.timed("catch up", course.catch_up(&mut run)).await?;
        }
        let done = progress.as_ref().map_or(0, Progress::phases_done);
        let damages = |step: &&Step| step.after == phases[phases.len() - 1].name && step.kind.damages();
        for (at, phase) in phases.iter().enumerate().skip(resume_at(&phases, done, life)) {
            self.timed(&phase.name, course.phase(&mut run, phase, life)).await?;
            for step in scenario.steps.iter().filter(|step| step.after == phase.name && !damages(step)) {
                if step.kind == StepKind::Restart {
                    let restarted = async {
                        run.stop().await?;
                        Run::start(options, place, self.clock, &events).await
                    };
                    run = self.timed(step.kind.as_str(), restarted).await?;
                    self.timed("catch up", course.catch_up(&mut run)).await?;
                } else {
                    self.timed(step.kind.as_str(), act(step, &run)).await?;
                }
            }
            progress.as_mut().map_or(Ok(()), |progress| progress.phases_over(at + 1))?;
        }
        course.rest(&mut run, &tally).await?;
        course.raw = quiesce::look(&run.flow).await?;
        tally.begin_proof();
        self.timed("every stage again", run.run_again()).await?;
        let before = &run.rerun.as_ref().expect("every stage just ran again").before;
        let digests = self.timed("digest", digests::layers(&run, before)).await?;
        // Last, because a stage that runs again would repair some of it.
        for step in scenario.steps.iter().filter(damages) {
            self.timed(step.kind.as_str(), act(step, &run)).await?;
        }
        let verdict = self.timed("judge", run.judge()).await?;
        tally.set_rows(Stage::Silver, run.table_rows(layout::SILVER).await?);
        tally.set_rows(Stage::Gold, run.table_rows(layout::GOLD).await?);
        let rows = tally.rows();
        progress.as_mut().map_or(Ok(()), Progress::finish)?;
        run.end().await?;
        let facts = Facts { verdict: &verdict, course: &course, rows: &rows, faults: options.faults.strikes(), life };
        let expectations = compare(scenario, &facts);
        let met = expectations.iter().all(|expectation| expectation.met);
        let result = if met { ScenarioResult::Passed } else { ScenarioResult::Failed };
        events.emit(RunEvent::RunFinished { verdict: word(&verdict).to_owned() });
        let invariants =
            verdict.invariants.iter().map(|(name, f)| (name.clone(), (f.outcome, f.detail.clone()))).collect();
        Ok(ScenarioOutcome {
            verdict: word(&verdict).to_owned(),
            invariants,
            expectations,
            rows,
            masking: tally.masking(),
            digests,
            ..self.order.outcome(result, 0)
        })
    }

    fn take_up(&self) -> Result<Progress, HarnessError> {
        let (scenario, options) = (&self.order.scenario, &self.order.options);
        let plan = format!("{} {:?} {:?} {:?}", scenario.name, scenario.workload, scenario.phases, scenario.steps);
        let backend = options.backend.name();
        Progress::take_up(self.run_dir, Identity::new(options.seed, options.scale, backend, &options.lake_files, &plan))
    }

    async fn timed<T>(
        &mut self,
        step: &str,
        work: impl Future<Output = Result<T, HarnessError>>,
    ) -> Result<T, HarnessError> {
        let started = self.clock.monotonic();
        let done = work.await;
        let ms = u64::try_from((self.clock.monotonic() - started).as_millis()).unwrap_or(u64::MAX);
        self.steps.push(StepTiming { step: step.to_owned(), ms });
        done
    }
}

/// Does one step that leaves the run running.
async fn act(step: &Step, run: &Run) -> Result<(), HarnessError> {
    let (endpoints, lake) = (run.backend.endpoints(), run.flow.parts.lake.as_ref());
    let done = match step.kind {
        StepKind::CorruptSilver => {
            let name = step.table.as_deref().unwrap_or_else(|| lake.tables[0].name.as_str());
            let column = lake.table(name).and_then(|table| table.columns.iter().find(|column| !column.is_key));
            let column = column.ok_or_else(|| HarnessError::Input {
                message: format!("failed to corrupt a value of `{name}`: no such table, or nothing but a key"),
            })?;
            tamper::corrupt_silver_value(endpoints, lake, name, &column.name).await?
        }
        StepKind::LeakEmail => {
            let email = run.truth.planted.iter().find(|planted| planted.class == "EMAIL" && !planted.in_text);
            let email = email.ok_or_else(|| HarnessError::Input {
                message: "failed to leak an e-mail: the source has none".to_owned(),
            })?;
            tamper::leak_email(endpoints, lake, &email.value).await?
        }
        StepKind::RepeatNotifications => {
            let repeated = lakebed_flow::repeat_raw_events(&quiesce::sweep_config(&run.flow)).await;
            let report = repeated.map_err(HarnessError::stage("repeat the S3 notifications"))?;
            run.settle().await?;
            format!("{} notifications", report.sent)
        }
        StepKind::Restart => unreachable!("restarting needs the run by value; the player does it"),
    };
    run.flow.parts.events.log(format!("step {}: {done}", step.kind.as_str()));
    Ok(())
}

fn word(verdict: &Verdict) -> &'static str {
    if verdict.passed() { "pass" } else { "fail" }
}

pub(super) fn tally(strikes: Strikes) -> FaultTally {
    FaultTally {
        stage: strikes.stage,
        operation: strikes.operation,
        kind: strikes.kind.as_str().to_owned(),
        offered: strikes.offered,
        struck: strikes.struck,
    }
}

/// An error and its causes on one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

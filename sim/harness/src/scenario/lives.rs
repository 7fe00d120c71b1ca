//! A scenario that kills the process it runs in: one child process after another over the same state directory.
//!
//! Each child plays on from where the one before it died, and is killed by the next fault of the list that kills; the last one
//! finds none left and tells the outcome. Orders go in on standard input, events and the outcome come back on standard output,
//! one JSON object a line. Promises: at most [`LIVES_MAX`] children; a child that nobody waits for any more is killed; a child that
//! dies of anything but its fault makes the scenario broken.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use lakebed_contract::fault::{Fault, When};
use lakebed_contract::{Clock, EventSink, FaultPlan, RunEvent, Seed};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::definition::{Scenario, kills_the_process};
use super::engine::{self, Order};
use super::outcome::{ScenarioOutcome, ScenarioResult};
use crate::demo::DemoOptions;
use crate::error::HarnessError;
use crate::lake_folder::LakeFiles;
use crate::run_dir::RunDir;

/// Most processes one scenario may use up.
pub const LIVES_MAX: usize = 20;
/// Subcommand of the binary that lives one life.
pub const COMMAND: &str = "scenario-life";
/// Bytes of a child's standard error that go into the outcome of a broken scenario.
const STDERR_BYTES_MAX: u64 = 4 << 10;
/// How a process ends that a fault has killed.
const SIGABRT: i32 = 6;

/// What one child is told.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LifeOrder {
    file: String,
    text: String,
    argument: String,
    seed: u64,
    state_dir: PathBuf,
    lake: LakeFiles,
    faults: Vec<Fault>,
}

/// What a child tells.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Told {
    Event(RunEvent),
    Outcome(Box<ScenarioOutcome>),
}

/// A scenario as its file says, for children to read again.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// File, for messages.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// Plays `order` in children of `order.options.worker_program` over `state_dir`.
pub async fn play(
    order: &Order,
    source: Source<'_>,
    state_dir: &Path,
    clock: &Clock,
    events: &EventSink,
) -> ScenarioOutcome {
    let started = clock.monotonic();
    let elapsed = || u64::try_from((clock.monotonic() - started).as_millis()).unwrap_or(u64::MAX);
    let mut left = deaths(&order.scenario.faults);
    let mut died = 0;
    loop {
        let faults = order.scenario.faults.iter().filter(|fault| !kills_the_process(fault)).cloned();
        let life = LifeOrder {
            file: source.file.to_owned(),
            text: source.text.to_owned(),
            argument: order.argument.clone(),
            seed: order.options.seed.0,
            state_dir: state_dir.to_owned(),
            lake: order.options.lake_files.clone(),
            faults: faults.chain(left.first().cloned()).collect(),
        };
        let broken = |reason: String| ScenarioOutcome {
            error: Some(reason),
            ..order.outcome(ScenarioResult::Broken, elapsed())
        };
        match live(&order.options.worker_program, &life, events).await {
            Ok(Ended::Told(outcome)) => return with_deaths(ScenarioOutcome { total_ms: elapsed(), ..*outcome }, order),
            Ok(Ended::Killed) if !left.is_empty() && died + 1 < LIVES_MAX => {
                left.remove(0);
                died += 1;
                events.log(format!("{}: process {died} was killed as planned; the next takes up", order.scenario.name));
            }
            Ok(Ended::Killed) => return broken(format!("process {} was killed by somebody else", died + 1)),
            Ok(Ended::Otherwise(how)) => return broken(format!("process {} {how}", died + 1)),
            Err(error) => return broken(format!("process {}: {error}", died + 1)),
        }
    }
}

/// Lives one life: what a child does with what it was told. `write` gets one line at a time.
pub async fn live_one(
    order: &[u8],
    options: impl FnOnce(LakeFiles, Seed) -> DemoOptions,
    clock: &Clock,
    write: impl Fn(&str) + Send + Sync + Clone + 'static,
) -> Result<(), HarnessError> {
    let order: LifeOrder = serde_json::from_slice(order)
        .map_err(|error| HarnessError::Input { message: format!("failed to read the order of a life: {error}") })?;
    let scenario = Scenario::parse(&order.file, &order.text)?;
    let seed = Seed(order.seed);
    let mut options = options(order.lake, seed);
    options.faults = FaultPlan::new(seed, order.faults);
    let run_dir = RunDir::keep(&order.state_dir)?;
    let events = EventSink::new({
        let write = write.clone();
        move |event| write(&line(&Told::Event(event)))
    });
    let order = Order::new(scenario, order.argument, options);
    let outcome = engine::play(&order, &run_dir, clock, &events).await;
    write(&line(&Told::Outcome(Box::new(outcome))));
    Ok(())
}

fn line(told: &Told) -> String {
    let mut line = serde_json::to_string(told).expect("events and outcomes are JSON");
    line.push('\n');
    line
}

enum Ended {
    Told(Box<ScenarioOutcome>),
    Killed,
    Otherwise(String),
}

async fn live(program: &Path, order: &LifeOrder, events: &EventSink) -> std::io::Result<Ended> {
    let mut child = Command::new(program)
        .arg(COMMAND)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().expect("standard input is piped");
    stdin.write_all(&serde_json::to_vec(order).expect("an order is JSON")).await?;
    drop(stdin);
    let mut lines = BufReader::new(child.stdout.take().expect("standard output is piped")).lines();
    let errors = last_words(&mut child);
    let told = async {
        let mut outcome = None;
        while let Some(line) = lines.next_line().await? {
            match serde_json::from_str(&line) {
                Ok(Told::Event(event)) => events.emit(event),
                Ok(Told::Outcome(told)) => outcome = Some(told),
                // A line that the kill cut in two is the last one.
                Err(_) => tracing::debug!(bytes = line.len(), "a child's line was cut off"),
            }
        }
        Ok::<_, std::io::Error>(outcome)
    };
    let (outcome, errors) = tokio::join!(told, errors);
    let status = child.wait().await?;
    Ok(match outcome? {
        Some(outcome) if status.success() => Ended::Told(outcome),
        _ if status.signal() == Some(SIGABRT) => Ended::Killed,
        _ => Ended::Otherwise(format!("ended with {status}: {}", String::from_utf8_lossy(&errors?).trim())),
    })
}

/// The first bytes of a child's standard error; the rest is read and dropped, so that the child never waits.
fn last_words(child: &mut Child) -> impl Future<Output = std::io::Result<Vec<u8>>> + use<> {
    use tokio::io::AsyncReadExt;
    let stderr = child.stderr.take().expect("standard error is piped");
    async move {
        let (mut kept, mut limited) = (Vec::new(), stderr.take(STDERR_BYTES_MAX));
        limited.read_to_end(&mut kept).await?;
        tokio::io::copy(&mut limited.into_inner(), &mut tokio::io::sink()).await?;
        Ok(kept)
    }
}

/// One fault for each death, in the order of the file.
fn deaths(faults: &[Fault]) -> Vec<Fault> {
    let killing = faults.iter().filter(|fault| kills_the_process(fault));
    let one_each = killing.flat_map(|fault| match &fault.when {
        When::Occurrences(list) => {
            list.iter().map(|at| Fault { when: When::Occurrences(vec![*at]), ..fault.clone() }).collect()
        }
        When::Probability(_) => vec![fault.clone()],
    });
    one_each.take(LIVES_MAX - 1).collect()
}

/// Tells the faults that killed, which the last life knows nothing of.
fn with_deaths(mut outcome: ScenarioOutcome, order: &Order) -> ScenarioOutcome {
    outcome.faults.retain(|fault| fault.kind != lakebed_contract::FaultKind::Kill.as_str() || fault.stage == "ecs");
    for fault in order.scenario.faults.iter().filter(|fault| kills_the_process(fault)) {
        let struck = deaths(std::slice::from_ref(fault)).len() as u64;
        outcome.faults.push(super::outcome::FaultTally {
            stage: fault.stage.clone(),
            operation: fault.operation.clone(),
            kind: fault.kind.as_str().to_owned(),
            offered: struck,
            struck,
        });
    }
    outcome
}

//! `lakebed run`: scenarios, and the hidden command in which one of their processes lives.

use std::io::{Read, Write};

use lakebed_contract::{Clock, Masking};
use lakebed_harness::demo::DemoOptions;
use lakebed_harness::scenario::definition::BackendName;
use lakebed_harness::scenario::outcome::{ScenarioOutcome, ScenarioResult};
use lakebed_harness::scenario::run::{JOBS_MAX, RunOptions, run_all};
use lakebed_harness::scenario::shelf::{self, Found, SCENARIOS_MAX};
use lakebed_harness::scenario::{lives, report};
use serde_json::json;

use super::{Raced, on_runtime, race, settle, show};
use crate::arguments::{Backend, RunArguments, SourceArguments};
use crate::environment::Environment;
use crate::exit::{End, InputError};
use crate::printer::{self, seconds, table};

/// Largest order a life reads: a lake's files and one scenario are far smaller.
const ORDER_BYTES_MAX: u64 = 64 * 1024 * 1024;
const COUNTS: [(&str, ScenarioResult); 3] =
    [("passed", ScenarioResult::Passed), ("failed", ScenarioResult::Failed), ("broken", ScenarioResult::Broken)];

pub(super) fn run(arguments: &RunArguments, environment: &Environment) -> anyhow::Result<End> {
    let mut found = find(&arguments.scenarios)?;
    choose_backends(&mut found, arguments.backend, environment)?;
    if !(1..=JOBS_MAX).contains(&arguments.jobs) {
        let message = format!("failed to run {} scenarios at once", arguments.jobs);
        return Err(InputError::because(message, format!("--jobs takes 1 to {JOBS_MAX}")));
    }
    let options = RunOptions {
        seeds: arguments.seed.clone(),
        twice: arguments.twice,
        jobs: arguments.jobs,
        base: base(arguments, environment)?,
    };
    // Events of scenarios that run side by side would be told as one muddle.
    let several = arguments.jobs > 1 || found.len() * arguments.seed.len().max(1) > 1;
    let quiet = arguments.quiet || (several && !arguments.tui);
    let progress = show(arguments.tui, &environment.state_dir, environment)?;
    let events = if quiet { Default::default() } else { progress.sink() };
    let told = |outcome: &ScenarioOutcome| printer::line(&told(outcome));
    let clock = Clock::wall();
    let raced = race(async { Ok(run_all(&found, &options, &clock, &events, told).await) });
    let Raced::Finished(outcomes) = settle(raced, &progress)? else { return Ok(End::Interrupted) };
    if let Some(file) = &arguments.junit {
        std::fs::write(file, report::junit(&outcomes)).map_err(lakebed_harness::HarnessError::file("write", file))?;
    }
    if let Some(folder) = &arguments.report {
        report::write_report(folder, &outcomes)?;
    }
    printer::data(&if arguments.json { as_json(&outcomes)? } else { as_text(&outcomes) })?;
    let any = |result| outcomes.iter().any(|outcome| outcome.result == result);
    Ok(match (any(ScenarioResult::Broken), any(ScenarioResult::Failed)) {
        (true, _) => End::Lacking,
        (_, true) => End::Failed,
        _ => End::Done,
    })
}

/// One life of a scenario that kills its process.
pub(super) fn life(environment: &Environment) -> anyhow::Result<End> {
    let mut order = Vec::new();
    std::io::stdin().lock().take(ORDER_BYTES_MAX).read_to_end(&mut order)?;
    let base = options(environment, None)?;
    let write = |line: &str| {
        // A parent that is gone needs no events.
        drop(std::io::stdout().lock().write_all(line.as_bytes()));
    };
    on_runtime(async {
        lives::live_one(&order, |lake_files, seed| DemoOptions { lake_files, seed, ..base }, &Clock::wall(), write)
            .await
    })?;
    Ok(End::Done)
}

fn find(arguments: &[String]) -> anyhow::Result<Vec<Found>> {
    let mut found = Vec::new();
    for argument in arguments {
        found.extend(shelf::find(argument)?);
    }
    if found.len() > SCENARIOS_MAX {
        let message = format!("failed to run {} scenarios: at most {SCENARIOS_MAX} in one command", found.len());
        return Err(InputError::because(message, "split them over several commands"));
    }
    Ok(found)
}

/// Turns the scenarios' words, or the command line's, into what they mean in this environment.
fn choose_backends(found: &mut [Found], asked: Option<Backend>, environment: &Environment) -> anyhow::Result<()> {
    for found in found {
        let name = asked.map_or(found.scenario.backend, |asked| match asked {
            Backend::Embedded => BackendName::Embedded,
            Backend::Docker => BackendName::Docker,
            Backend::External => BackendName::External,
        });
        found.scenario.check_backend(name).map_err(|reason| {
            let message = format!("failed to run {} on the backend asked for: {reason}", found.file);
            InputError::because(message, "leave --backend out, or name the scenarios that can be run there")
        })?;
        let backend = match name {
            BackendName::Embedded => Backend::Embedded,
            BackendName::Docker => Backend::Docker,
            BackendName::External => Backend::External,
        };
        found.backend = super::backend(backend, environment)?;
    }
    Ok(())
}

fn base(arguments: &RunArguments, environment: &Environment) -> anyhow::Result<DemoOptions> {
    options(environment, arguments.lake.clone())
}

/// Options of a run over generated data, which a scenario fills in.
fn options(environment: &Environment, lake: Option<std::path::PathBuf>) -> anyhow::Result<DemoOptions> {
    let source = SourceArguments { scale: 1.0, seed: 0, backend: Backend::Embedded, lake };
    super::demo::options(&source, environment, false)
}

fn told(outcome: &ScenarioOutcome) -> String {
    let mut line = format!(
        "{:<7} {} --seed {} {}",
        outcome.result.as_str(),
        outcome.name,
        outcome.seed,
        seconds(std::time::Duration::from_millis(outcome.total_ms)).trim()
    );
    for unmet in outcome.unmet() {
        line.push_str(&format!("\n        {}: expected {}, found {}", unmet.what, unmet.expected, unmet.found));
    }
    if let Some(error) = &outcome.error {
        line.push_str(&format!("\n        {error}"));
    }
    line
}

fn as_text(outcomes: &[ScenarioOutcome]) -> String {
    let header = ["scenario", "seed", "result", "judge", "seconds"].map(str::to_owned);
    let row = |outcome: &ScenarioOutcome| {
        vec![
            outcome.name.clone(),
            outcome.seed.to_string(),
            outcome.result.as_str().to_owned(),
            outcome.verdict.clone(),
            format!("{}.{}", outcome.total_ms / 1000, outcome.total_ms % 1000 / 100),
        ]
    };
    let mut text = table(&header, &outcomes.iter().map(row).collect::<Vec<_>>());
    let mut masking = Masking::default();
    outcomes.iter().flat_map(|outcome| &outcome.masking).for_each(|column| masking.add(column));
    text.push_str(&printer::masked(&masking.columns()));
    let count = |result| outcomes.iter().filter(|outcome| outcome.result == result).count();
    let counts: Vec<String> = COUNTS.iter().map(|(word, result)| format!("{} {word}", count(*result))).collect();
    text.push_str(&format!("\n{}\n", counts.join(", ")));
    for outcome in outcomes.iter().filter(|outcome| outcome.result != ScenarioResult::Passed) {
        text.push_str(&format!("repeat  {}\n", outcome.repeat));
    }
    text
}

fn as_json(outcomes: &[ScenarioOutcome]) -> anyhow::Result<String> {
    let count = |result| outcomes.iter().filter(|outcome| outcome.result == result).count();
    let result = if count(ScenarioResult::Broken) > 0 {
        ScenarioResult::Broken
    } else if count(ScenarioResult::Failed) > 0 {
        ScenarioResult::Failed
    } else {
        ScenarioResult::Passed
    };
    let mut object = json!({ "result": result, "scenarios": outcomes });
    for (word, result) in COUNTS {
        object[word] = count(result).into();
    }
    Ok(format!("{}\n", serde_json::to_string_pretty(&object)?))
}

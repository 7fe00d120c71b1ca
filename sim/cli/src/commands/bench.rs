//! `lakebed bench`: the macro benchmarks, and `lakebed bench-work`, the process that does one piece of one.

use std::path::Path;

use lakebed_contract::Clock;
use lakebed_harness::bench::{self, BenchOptions, Definition, Outcome, Record, Role, Size, check_label};

use super::{Raced, on_runtime, race};
use crate::arguments::{BenchArguments, BenchSize};
use crate::exit::End;
use crate::printer::{self, table};

pub(super) fn run(arguments: &BenchArguments) -> anyhow::Result<End> {
    check_label(&arguments.label)?;
    let options = BenchOptions {
        definitions: definitions(arguments)?,
        size: match arguments.size {
            BenchSize::Smoke => Size::Smoke,
            BenchSize::Usual => Size::Usual,
            BenchSize::Large => Size::Large,
        },
        samples: arguments.samples,
        lakebed: std::env::current_exe()?,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rustc: env!("LAKEBED_RUSTC").to_owned(),
        profile: profile(),
        tools: arguments.tools.clone(),
        criterion: arguments.criterion.clone(),
        checkout: std::env::current_dir()?,
        label: arguments.label.clone(),
    };
    let clock = Clock::wall();
    let say = |line: String| printer::line(&line);
    let Raced::Finished(record) = race(bench::run(&options, &clock, &say))? else { return Ok(End::Interrupted) };
    if let Some(reports) = &arguments.record {
        write(&record, reports)?;
    }
    if arguments.json {
        printer::data(&format!("{}\n", serde_json::to_string_pretty(&record)?))?;
    } else {
        printer::data(&render(&record))?;
    }
    let failed = |outcome: &Outcome| matches!(outcome, Outcome::Failed { .. });
    let contenders = record.benchmarks.iter().flat_map(|benchmark| &benchmark.contenders);
    // Another tool's failure is told, and is not ours to fail with.
    let ours_failed = contenders.filter(|one| one.role != Role::Theirs).any(|one| failed(&one.outcome));
    Ok(if ours_failed { End::Failed } else { End::Done })
}

/// One order on the command line, one line of JSON on stdout.
pub(super) fn work(order: &str) -> anyhow::Result<End> {
    let reply = on_runtime(bench::run_order(order))?;
    printer::data(&format!("{}\n", serde_json::to_string(&reply)?))?;
    Ok(End::Done)
}

fn definitions(arguments: &BenchArguments) -> anyhow::Result<Vec<Definition>> {
    let mut chosen = Vec::new();
    if arguments.definition.is_empty() || !arguments.names.is_empty() {
        chosen = Definition::choose(&arguments.names)?;
    }
    for path in &arguments.definition {
        chosen.push(Definition::from_file(path)?);
    }
    Ok(chosen)
}

fn profile() -> String {
    let checks = if cfg!(debug_assertions) { "with debug assertions" } else { "without debug assertions" };
    format!("lakebed crates at opt-level {} {checks}, dependencies as in the dev profile", env!("LAKEBED_OPT_LEVEL"))
}

fn write(record: &Record, reports: &Path) -> anyhow::Result<()> {
    let folder = record.write(reports)?;
    printer::line(&format!("record   {}", folder.display()));
    for name in bench::report::write(reports)? {
        printer::line(&format!("report   {}", reports.join(name).display()));
    }
    Ok(())
}

fn render(record: &Record) -> String {
    let header = ["benchmark", "contender", "rounds", "wall ms", "CPU ms", "peak MiB"].map(str::to_owned);
    let mut rows = Vec::new();
    let mut reasons = String::new();
    for benchmark in &record.benchmarks {
        for contender in &benchmark.contenders {
            let mut row = vec![benchmark.name.clone(), contender.name.clone()];
            match &contender.outcome {
                Outcome::Measured { samples } => {
                    let middle = |mut values: Vec<f64>| {
                        values.sort_by(f64::total_cmp);
                        values.get(values.len() / 2).map_or_else(|| "unknown".to_owned(), |value| format!("{value:.0}"))
                    };
                    row.push(samples.len().to_string());
                    row.push(middle(samples.iter().map(|sample| sample.wall_ms).collect()));
                    row.push(middle(samples.iter().filter_map(|sample| sample.cpu_ms).collect()));
                    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
                    row.push(middle(samples.iter().filter_map(|sample| sample.peak_rss_bytes).map(mib).collect()));
                }
                Outcome::Failed { reason } => {
                    row.extend(["failed", "", "", ""].map(str::to_owned));
                    reasons.push_str(&format!("failed   {} {}: {reason}\n", benchmark.name, contender.name));
                }
                Outcome::Missing { reason } => {
                    row.extend(["not run", "", "", ""].map(str::to_owned));
                    reasons.push_str(&format!("not run  {} {}: {reason}\n", benchmark.name, contender.name));
                }
            }
            rows.push(row);
        }
    }
    format!("{}{reasons}", table(&header, &rows))
}

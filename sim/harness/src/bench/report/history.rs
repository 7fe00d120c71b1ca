//! How the numbers went: one row per benchmark and contender of ours, one column per run.

use super::super::definition::Work;
use super::super::record::{Benchmark, Outcome, Record, Role};
use super::figures::{Spread, markdown, number};

/// Runs in the table; the newest stay.
const RUNS_SHOWN_MAX: usize = 12;

/// The table over all records, oldest first.
pub(super) fn table(records: &[Record]) -> String {
    let shown = &records[records.len().saturating_sub(RUNS_SHOWN_MAX)..];
    let mut names: Vec<(String, String)> = Vec::new();
    // The newest run's order; what only older runs had comes behind.
    for benchmark in shown.iter().rev().flat_map(|record| &record.benchmarks) {
        for contender in benchmark.contenders.iter().filter(|contender| contender.role == Role::Ours) {
            let name = (benchmark.name.clone(), contender.name.clone());
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let mut header = vec!["benchmark".to_owned(), "contender".to_owned()];
    header
        .extend(shown.iter().map(|record| format!("{} {} {}", record.folder_name(), record.size, record.build.commit)));
    let rows: Vec<Vec<String>> = names
        .iter()
        .map(|(benchmark, contender)| {
            let cells = shown.iter().map(|record| cell(record, benchmark, contender));
            [benchmark.clone(), contender.clone()].into_iter().chain(cells).collect()
        })
        .collect();
    let header: Vec<&str> = header.iter().map(String::as_str).collect();
    markdown(&header, &rows)
}

fn cell(record: &Record, benchmark: &str, contender: &str) -> String {
    let found = record.benchmarks.iter().find(|found| found.name == benchmark);
    found.and_then(|found| value(found, contender)).unwrap_or_else(|| "–".to_owned())
}

fn value(benchmark: &Benchmark, contender: &str) -> Option<String> {
    match &benchmark.contenders.iter().find(|found| found.name == contender)?.outcome {
        Outcome::Measured { samples } => Some(match benchmark.work {
            Work::Store => number(Spread::of_figure(samples, "calls_per_s")?.median),
            Work::Demo | Work::CsvToParquet => number(Spread::of_wall(samples)?.median / 1e3),
        }),
        Outcome::Failed { .. } => Some("failed".to_owned()),
        Outcome::Missing { .. } => Some("not run".to_owned()),
    }
}

//! The short table of the repository's README: one line per benchmark, ours beside the others, the newest run only.

use super::super::definition::Work;
use super::super::record::{Benchmark, ContenderResult, Outcome, Record, Role, Sample};
use super::figures::{Spread, markdown, mebibytes, number};

/// The table with the line that says where it comes from.
pub(super) fn table(record: &Record) -> String {
    let of = |benchmark: &Benchmark, is_ours: bool| {
        let chosen = benchmark.contenders.iter().filter(|contender| (contender.role != Role::Theirs) == is_ours);
        // The floor of a store stores nothing: beside those who do, without a word on it, it would look like one of them.
        let chosen = chosen.filter(|contender| benchmark.work != Work::Store || contender.role != Role::Floor);
        let cells: Vec<String> = chosen.map(|contender| cell(benchmark, contender)).collect();
        if cells.is_empty() { "–".to_owned() } else { cells.join("<br>") }
    };
    let row = |benchmark: &Benchmark| vec![benchmark.name.clone(), of(benchmark, true), of(benchmark, false)];
    let rows: Vec<_> = record.benchmarks.iter().map(row).collect();
    let folder = record.folder_name();
    format!(
        "{}\n{} cores, size `{}`, medians: time (CPU, peak memory; for a store its server's CPU per call); \
         [{folder}](reports/{folder}/README.md), by\n`make bench-report SIZE={}`. Only lakebed checks and masks; see \
         [BIAS](reports/BIAS.md).\n",
        markdown(&["benchmark", "lakebed", "others"], &rows),
        record.machine.cores,
        record.size,
        record.size,
    )
}

fn cell(benchmark: &Benchmark, contender: &ContenderResult) -> String {
    let name = format!("{} {}", contender.name, contender.version);
    let name = name.trim();
    match &contender.outcome {
        Outcome::Measured { samples } => {
            let (time, cpu) = match benchmark.work {
                Work::Store => (
                    if benchmark.connections == 1 {
                        Spread::of_figure(samples, "p50_us").map(|us| format!("{} µs a call", number(us.median)))
                    } else {
                        Spread::of_figure(samples, "calls_per_s").map(|rate| format!("{} calls/s", number(rate.median)))
                    },
                    cpu_us_per_call(samples).map(|spread| format!("{} µs", number(spread.median))),
                ),
                Work::Demo | Work::CsvToParquet => (
                    Spread::of_wall(samples).map(|spread| format!("{} s", number(spread.median / 1e3))),
                    Spread::of_cpu(samples).map(|spread| format!("{} s", number(spread.median / 1e3))),
                ),
            };
            let memory = Spread::of_memory(samples).map(|spread| format!("{} MiB", mebibytes(spread.median)));
            let shown = |text: Option<String>| text.unwrap_or_else(|| "unknown".to_owned());
            format!("{name} {} ({}, {})", shown(time), shown(cpu), shown(memory))
        }
        Outcome::Failed { .. } => format!("{name} failed"),
        Outcome::Missing { .. } => format!("{name} not run"),
    }
}

/// CPU time of a store's server per call; `None` where the system does not tell, and in records from before calls were counted.
pub(super) fn cpu_us_per_call(samples: &[Sample]) -> Option<Spread> {
    // Not the rate times the time: over one connection the rate leaves out what the client does between the calls.
    let of = |sample: &Sample| Some(sample.cpu_ms? * 1e3 / sample.figures.get("calls")?);
    Spread::of(samples.iter().map(of).collect::<Option<Vec<f64>>>()?)
}

//! The short table of the repository's README: one line per contender, the newest run only.

use super::super::definition::Work;
use super::super::record::{Outcome, Record};
use super::figures::{Spread, markdown, mebibytes, number};

/// The table with the line that says where it comes from.
pub(super) fn table(record: &Record) -> String {
    let mut rows = Vec::new();
    for benchmark in &record.benchmarks {
        for contender in &benchmark.contenders {
            let (time, cpu, memory) = match &contender.outcome {
                Outcome::Measured { samples } => {
                    let time = match benchmark.work {
                        Work::Store => Spread::of_figure(samples, "p50_us")
                            .map(|spread| format!("{} µs a call", number(spread.median))),
                        Work::Demo | Work::CsvToParquet => {
                            Spread::of_wall(samples).map(|spread| format!("{} s", number(spread.median / 1e3)))
                        }
                    };
                    let cpu = Spread::of_cpu(samples).map(|spread| format!("{} s", number(spread.median / 1e3)));
                    let memory = Spread::of_memory(samples).map(|spread| format!("{} MiB", mebibytes(spread.median)));
                    (time, cpu, memory)
                }
                Outcome::Failed { .. } => (Some("failed".to_owned()), None, None),
                Outcome::Missing { .. } => (Some("not run".to_owned()), None, None),
            };
            let cell = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
            let name = format!("{} {}", contender.name, contender.version);
            rows.push(vec![benchmark.name.clone(), name.trim().to_owned(), cell(time), cell(cpu), cell(memory)]);
        }
    }
    let folder = record.folder_name();
    format!(
        "{}\n{} cores, size `{}`, medians; [{folder}](reports/{folder}/README.md), by `make bench-report SIZE={}`. \
         Only lakebed checks and masks; see [BIAS](reports/BIAS.md).\n",
        markdown(&["benchmark", "contender", "time", "CPU", "peak memory"], &rows),
        record.machine.cores,
        record.size,
        record.size,
    )
}

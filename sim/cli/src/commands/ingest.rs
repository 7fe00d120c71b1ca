//! `lakebed ingest`.

use lakebed_contract::{Clock, Seed};
use lakebed_harness::file_ingest::{self, IngestFiles, IngestOptions, IngestReport};
use lakebed_harness::lake_folder;
use lakebed_harness::run_dir::RunDir;

use super::{Raced, race, settle};
use crate::arguments::IngestArguments;
use crate::environment::Environment;
use crate::exit::End;
use crate::mask_key;
use crate::printer::{self, Progress, table};

/// Seed of names in an ingest run; its data comes from files.
const SEED: Seed = Seed(0);

pub(super) fn run(arguments: &IngestArguments, environment: &Environment) -> anyhow::Result<End> {
    let input = IngestFiles {
        files: arguments.files.clone(),
        table: arguments.table.clone(),
        mapping: arguments.mapping.clone(),
        lake_files: lake_folder::files(arguments.lake.as_deref())?,
    };
    file_ingest::check(&input)?;
    let folder = arguments.state_dir.clone().unwrap_or_else(|| environment.state_dir.clone());
    let mask = mask_key::for_real_data(environment, &folder)?;
    let options = IngestOptions { input, mask, seed: SEED, worker_program: std::env::current_exe()? };
    let run_dir = RunDir::keep(&folder)?;
    let progress = Progress::start(None);
    let outcome = race(file_ingest::run(options, &run_dir, Clock::wall(), progress.sink()));
    let Raced::Finished(report) = settle(outcome, &progress)? else { return Ok(End::Interrupted) };
    if arguments.json {
        printer::data(&format!("{}\n", serde_json::to_string_pretty(&report)?))?;
    } else {
        printer::data(&render(&report))?;
    }
    Ok(if report.verdict == "pass" { End::Done } else { End::Failed })
}

fn render(report: &IngestReport) -> String {
    let header = ["object", "status", "rows", "good", "quarantined", "dropped"].map(str::to_owned);
    let rows: Vec<Vec<String>> = report
        .objects
        .iter()
        .map(|o| {
            let number = |n: i64| printer::grouped(u64::try_from(n).unwrap_or(0));
            vec![
                o.key.clone(),
                o.status.clone(),
                number(o.rows_in),
                number(o.rows_good),
                number(o.rows_quarantined),
                number(o.rows_dropped),
            ]
        })
        .collect();
    let mut text = table(&header, &rows);
    for object in &report.objects {
        for (reason, count) in &object.reasons {
            text.push_str(&format!("  {}: {count} × {reason}\n", object.table));
        }
        if let Some(error) = &object.error {
            text.push_str(&format!("  {}: {error}\n", object.table));
        }
    }
    let masked = printer::masked(&report.masking);
    if !masked.is_empty() {
        text.push_str(&format!("{masked}\n"));
    }
    if let Some(mapping) = &report.mapping {
        text.push_str(&format!("mapping  {mapping}\n"));
    }
    text.push_str(&format!("verdict  {}\nlake     {}\n", report.verdict, report.lake));
    text.push_str(&format!(
        "next     lakebed query --state-dir {} \"SELECT * FROM gold.top_styles_by_popularity LIMIT 5\"\n",
        report.lake
    ));
    text
}

//! `lakebed demo`.

use std::path::Path;

use lakebed_contract::{Clock, Seed};
use lakebed_harness::demo::{DemoOptions, DemoOutcome};
use lakebed_harness::run_dir::RunDir;
use lakebed_harness::tally::RunSummary;
use lakebed_harness::{demo, lake_folder};

use super::{Raced, check_scale, race, settle, show};
use crate::arguments::{Backend, DemoArguments, SourceArguments};
use crate::environment::Environment;
use crate::exit::{End, InputError};
use crate::printer::{self, grouped, table};

pub(super) fn run(arguments: &DemoArguments, environment: &Environment) -> anyhow::Result<End> {
    if arguments.keep.is_some() && arguments.source.backend == Backend::Docker {
        return Err(InputError::because(
            "failed to keep the lake of backend `docker`: its containers are removed at the end",
            "start docker-compose.yml and use --backend external, which keeps everything",
        ));
    }
    let options = options(&arguments.source, environment, arguments.keep.is_some())?;
    let run_dir = match &arguments.keep {
        Some(folder) => RunDir::keep(folder)?,
        None => RunDir::throw_away()?,
    };
    let progress = show(arguments.tui, run_dir.path(), environment)?;
    if !arguments.tui {
        let folder = run_dir.path().display();
        printer::line(&format!("look in from another terminal: lakebed watch --state-dir {folder}"));
    }
    let outcome = race(demo::run(options, &run_dir, Clock::wall(), progress.sink()));
    let Raced::Finished(DemoOutcome { summary, .. }) = settle(outcome, &progress)? else { return Ok(End::Interrupted) };
    let json = serde_json::to_string_pretty(&summary)?;
    if arguments.json {
        printer::data(&format!("{json}\n"))?
    } else {
        printer::data(&render(&summary, arguments.source.lake.as_deref()))?
    }
    Ok(if summary.verdict == "pass" { End::Done } else { End::Failed })
}

/// Options of a run over generated data.
pub(super) fn options(source: &SourceArguments, environment: &Environment, kept: bool) -> anyhow::Result<DemoOptions> {
    let backend = super::backend(source.backend, environment)?;
    check_scale(source.scale)?;
    Ok(DemoOptions {
        scale: source.scale,
        seed: Seed(source.seed),
        lake_files: lake_folder::files(source.lake.as_deref())?,
        backend,
        // Generated data: the key follows from the seed, or the same seed would not give the same lake.
        mask: None,
        postgres_bin: environment.postgres_bin.clone(),
        search_path: environment.search_path.clone(),
        worker_program: std::env::current_exe()?,
        kept,
        workload: Default::default(),
        faults: Default::default(),
        stores: Default::default(),
    })
}

fn render(summary: &RunSummary, lake: Option<&Path>) -> String {
    let mut text = String::new();
    let lake = lake.map(|folder| format!(" --lake {}", folder.display())).unwrap_or_default();
    let stages = ["source", "dms", "batch", "firehose", "bronze", "silver", "gold", "judge"];
    let rows: Vec<Vec<String>> = stages
        .iter()
        .map(|stage| {
            let rows = summary.rows.get(*stage).map(|tables| tables.values().sum::<u64>());
            let ms = summary.timings_ms.get(*stage).copied();
            vec![
                (*stage).to_owned(),
                rows.map(grouped).unwrap_or_default(),
                ms.map(|ms| format!("{}.{:03}", ms / 1000, ms % 1000)).unwrap_or_default(),
            ]
        })
        .collect();
    text.push_str(&table(&["stage".into(), "rows".into(), "seconds".into()], &rows));
    text.push_str(&printer::masked(&summary.masking));
    if let Some(showcase) = summary.showcase.as_ref().filter(|showcase| !showcase.rows.is_empty()) {
        let text_of = |cell: &Option<String>| cell.clone().unwrap_or_default();
        let rows: Vec<Vec<String>> = showcase.rows.iter().map(|row| row.iter().map(text_of).collect()).collect();
        text.push('\n');
        text.push_str(&table(&showcase.columns, &rows));
    }
    let words: Vec<_> =
        summary.invariants.iter().map(|(name, outcome)| (invariant_number(name), name, outcome)).collect();
    let mut words = words;
    words.sort_by_key(|(number, _, _)| *number);
    let words: Vec<_> =
        words.iter().map(|(_, name, outcome)| format!("{name} {}", format!("{outcome:?}").to_lowercase())).collect();
    text.push_str(&format!("\ninvariants  {}\n", words.join(", ")));
    text.push_str(&format!(
        "verdict     {} in {}.{:01} s, peak memory {} MiB, seed {}, scale {}\n",
        summary.verdict,
        summary.total_ms / 1000,
        summary.total_ms % 1000 / 100,
        summary.peak_rss_bytes / (1024 * 1024),
        summary.seed,
        summary.scale
    ));
    let look = |folder: &str, backend: &str| {
        let table = some_table(summary);
        format!("            lakebed query{lake}{backend} --state-dir {folder} \"SELECT * FROM {table} LIMIT 5\"\n")
    };
    let backend = match summary.backend.as_str() {
        "embedded" => String::new(),
        other => format!(" --backend {other}"),
    };
    // Of an external lake only the catalog's pointers lie here.
    text.push_str(&match (&summary.lake, summary.backend == "external") {
        (Some(folder), false) => format!("lake        {folder}\n{}", look(folder, "")),
        (Some(folder), true) => {
            format!("lake        in the external S3, its catalog in {folder}\n{}", look(folder, &backend))
        }
        (None, false) => "lake        removed; keep it with --keep DIR\n".to_owned(),
        (None, true) => {
            "lake        in the external S3; its catalog is removed, keep that with --keep DIR\n".to_owned()
        }
    });
    for name in &summary.created {
        text.push_str(&format!("left behind {name}\n"));
    }
    text.push_str(&format!(
        "repeat      lakebed demo{lake} --scale {} --seed {}{backend}\n",
        summary.scale, summary.seed
    ));
    text
}

/// A table of the run to look at: gold if there is one.
fn some_table(summary: &RunSummary) -> String {
    let first = |layer: &str| {
        let tables = summary.rows.get(layer)?;
        Some(format!("{layer}.{}", tables.iter().find(|(_, rows)| **rows > 0)?.0))
    };
    first("gold").or_else(|| first("silver")).unwrap_or_else(|| "silver".to_owned())
}

fn invariant_number(name: &str) -> u32 {
    name.trim_start_matches('I').parse().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::MaskKeyText;

    #[test]
    fn generated_data_is_masked_with_the_key_of_the_seed_whatever_the_environment_says() {
        let mut environment = Environment::read();
        environment.mask_key_hex = Some(MaskKeyText("ab".repeat(32)));
        let source = SourceArguments { scale: 0.1, seed: 7, backend: Backend::Embedded, lake: None };
        let options = options(&source, &environment, false).expect("options");
        assert!(options.mask.is_none());
    }
}

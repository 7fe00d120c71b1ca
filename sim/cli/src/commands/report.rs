//! `lakebed report`: README and plots of a reports folder, from its records.

use std::path::Path;

use lakebed_harness::bench::report;

use crate::exit::End;
use crate::printer;

pub(super) fn run(folder: &Path, check: bool) -> anyhow::Result<End> {
    let names = if check { report::stale(folder)? } else { report::write(folder)? };
    for name in &names {
        let word = if check { "stale" } else { "wrote" };
        printer::line(&format!("{word}  {}", folder.join(name).display()));
    }
    if names.is_empty() {
        printer::line(&format!("{} is as its records say", folder.display()));
    }
    Ok(if check && !names.is_empty() { End::Failed } else { End::Done })
}

//! Scenario reports: Markdown and HTML for people, JUnit XML and JSON for machines.
//!
//! Each is a pure function from outcomes to text, so the same outcomes give the same bytes; only [`write_report`] touches the
//! disk. A report carries no time of day, no host name and nothing from outside: the HTML needs no network. Whatever stands
//! in an outcome is escaped for the format it goes into. Knows nothing of how scenarios run.

mod sections;

mod html;
mod junit;
mod markdown;

use std::path::Path;

pub use html::html;
pub use junit::junit;
pub use markdown::markdown;

use super::outcome::ScenarioOutcome;
use crate::error::HarnessError;

/// Writes `README.md`, `index.html`, `outcomes.json` and `junit.xml` into `folder`, which is created where it is missing.
/// Other files in it stay; an earlier report is replaced, one whole file at a time.
pub fn write_report(folder: &Path, outcomes: &[ScenarioOutcome]) -> Result<(), HarnessError> {
    std::fs::create_dir_all(folder).map_err(HarnessError::file("create report folder", folder))?;
    let json = serde_json::to_string_pretty(outcomes).map_err(HarnessError::stage("write `outcomes.json`"))? + "\n";
    let files = [
        ("README.md", markdown(outcomes)),
        ("index.html", html(outcomes)),
        ("outcomes.json", json),
        ("junit.xml", junit(outcomes)),
    ];
    for (name, text) in files {
        let (target, partial) = (folder.join(name), folder.join(format!(".{name}.partial")));
        std::fs::write(&partial, text).map_err(HarnessError::file("write report file", &partial))?;
        std::fs::rename(&partial, &target).map_err(HarnessError::file("put report file in place", &target))?;
    }
    Ok(())
}

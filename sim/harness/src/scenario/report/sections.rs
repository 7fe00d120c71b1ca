//! The content of a report before it has a format: headlines, and small tables of plain text.
//!
//! Markdown and HTML draw the same tables, so that neither says more than the other. Cells are raw: escaping is the work of
//! the format. Tables without rows are left out.

use lakebed_contract::Stage;
use lakebed_contract::event::Outcome;

use crate::scenario::outcome::{ScenarioOutcome, ScenarioResult};
use crate::tally::findings_in_words;

/// A table of plain text.
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) head: Vec<String>,
    pub(super) rows: Vec<Vec<String>>,
}

/// How many scenarios ended how.
pub(super) struct Totals {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) broken: usize,
    pub(super) total_ms: u64,
}

impl Totals {
    pub(super) fn of(outcomes: &[ScenarioOutcome]) -> Self {
        let count = |result| outcomes.iter().filter(|outcome| outcome.result == result).count();
        Self {
            passed: count(ScenarioResult::Passed),
            failed: count(ScenarioResult::Failed),
            broken: count(ScenarioResult::Broken),
            total_ms: outcomes.iter().map(|outcome| outcome.total_ms).sum(),
        }
    }

    /// One sentence for the top of a report.
    pub(super) fn sentence(&self) -> String {
        let Self { passed, failed, broken, total_ms } = self;
        let all = passed + failed + broken;
        format!("{all} run: {passed} passed, {failed} failed, {broken} broken; {} s together.", seconds(*total_ms))
    }
}

/// `12.345` for 12,345 ms.
pub(super) fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Name and seed: what tells two outcomes apart.
pub(super) fn label(outcome: &ScenarioOutcome) -> String {
    format!("{} (seed {})", outcome.name, outcome.seed)
}

/// The judge's words in the order I1 … I10, which is not that of the alphabet.
pub(super) fn invariants(outcome: &ScenarioOutcome) -> Vec<(&str, Outcome, &str)> {
    let mut found: Vec<_> =
        outcome.invariants.iter().map(|(name, (word, why))| (name.as_str(), *word, why.as_str())).collect();
    found.sort_by_key(|(name, ..)| invariant_order(name));
    found
}

/// Every invariant that an outcome names, in order.
pub(super) fn invariant_names(outcomes: &[ScenarioOutcome]) -> Vec<&str> {
    let mut names: Vec<_> = outcomes.iter().flat_map(|outcome| outcome.invariants.keys()).map(String::as_str).collect();
    names.sort_by_key(|name| invariant_order(name));
    names.dedup();
    names
}

fn invariant_order(name: &str) -> (u64, &str) {
    (name.trim_start_matches(|c: char| !c.is_ascii_digit()).parse().unwrap_or(u64::MAX), name)
}

pub(super) fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "FAIL",
        Outcome::Unchecked => "unchecked",
    }
}

pub(super) fn result_word(result: ScenarioResult) -> &'static str {
    match result {
        ScenarioResult::Passed => "passed",
        ScenarioResult::Failed => "FAILED",
        ScenarioResult::Broken => "BROKEN",
    }
}

/// One line for each outcome.
pub(super) fn summary(outcomes: &[ScenarioOutcome]) -> Table {
    let row = |outcome: &ScenarioOutcome| {
        let met = outcome.expectations.len() - outcome.unmet().count();
        let struck: u64 = outcome.faults.iter().map(|fault| fault.struck).sum();
        vec![
            outcome.name.clone(),
            outcome.seed.to_string(),
            result_word(outcome.result).to_owned(),
            outcome.verdict.clone(),
            format!("{met} of {}", outcome.expectations.len()),
            struck.to_string(),
            seconds(outcome.total_ms),
        ]
    };
    Table {
        title: "Summary",
        head: owned(&["scenario", "seed", "result", "judge", "expectations met", "faults struck", "seconds"]),
        rows: outcomes.iter().map(row).collect(),
    }
}

/// Everything an outcome holds, in the order in which somebody looks for a mistake.
pub(super) fn details(outcome: &ScenarioOutcome) -> Vec<Table> {
    let expectations = outcome.expectations.iter().map(|expectation| {
        let met = if expectation.met { "yes" } else { "NO" };
        owned(&[&expectation.what, &expectation.expected, &expectation.found, met])
    });
    let invariants = invariants(outcome).into_iter().map(|(name, word, why)| owned(&[name, outcome_word(word), why]));
    let faults = outcome.faults.iter().map(|fault| {
        let (offered, struck) = (fault.offered.to_string(), fault.struck.to_string());
        owned(&[&fault.stage, &fault.operation, &fault.kind, &offered, &struck])
    });
    let steps = outcome.steps.iter().map(|step| owned(&[&step.step, &seconds(step.ms)]));
    let masked = outcome.masking.iter().map(|column| {
        let (name, found) = (format!("{}.{}", column.table, column.column), findings_in_words(column));
        let (values, masked) = (column.values.to_string(), column.masked.to_string());
        owned(&[&name, &column.class, &column.transform, &values, &masked, &found])
    });
    let mut digests: Vec<_> = outcome.digests.iter().map(|(layer, digest)| owned(&[layer, digest])).collect();
    digests.sort_by_key(|row| stage_order(&row[0]));
    let tables = [
        table("Expectations", &["what", "expected", "found", "met"], expectations),
        table("Invariants", &["invariant", "judge", "why"], invariants),
        table("Faults", &["stage", "operation", "kind", "came by", "struck"], faults),
        table("Steps", &["step", "seconds"], steps),
        rows(outcome),
        table("Masked", &["column", "class", "transform", "values", "masked", "found"], masked),
        table("Digests", &["layer", "digest"], digests.into_iter()),
    ];
    tables.into_iter().filter(|table| !table.rows.is_empty()).collect()
}

/// Rows: a line for each table, a column for each stage in the order of the path.
fn rows(outcome: &ScenarioOutcome) -> Table {
    let mut stages: Vec<&String> = outcome.rows.keys().collect();
    stages.sort_by_key(|stage| stage_order(stage));
    let mut tables: Vec<&String> = outcome.rows.values().flat_map(|by_table| by_table.keys()).collect();
    tables.sort();
    tables.dedup();
    let line = |name: &String| {
        let counts = stages.iter().map(|stage| match outcome.rows[*stage].get(name) {
            Some(count) => count.to_string(),
            None => "–".to_owned(),
        });
        [name.clone()].into_iter().chain(counts).collect()
    };
    Table {
        title: "Rows",
        head: ["table".to_owned()].into_iter().chain(stages.iter().map(|stage| (*stage).clone())).collect(),
        rows: tables.into_iter().map(line).collect(),
    }
}

/// Where a stage stands on the path; what is no stage comes last.
fn stage_order(name: &str) -> usize {
    Stage::ALL.iter().position(|stage| stage.as_str() == name).unwrap_or(usize::MAX)
}

fn table(title: &'static str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Table {
    Table { title, head: owned(head), rows: rows.collect() }
}

fn owned(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

//! What a scenario expects against what was found. Pure.
//!
//! Beyond what its author writes, a scenario expects that it tested something: each fault struck as often as it was told to,
//! each case was met, each life but the last was ended by a fault.

use std::collections::BTreeMap;

use lakebed_contract::control::Status;
use lakebed_contract::event::Outcome;
use lakebed_contract::fault::{Fault, Strikes, When};

use super::definition::{ExpectedVerdict, Scenario, kills_the_process};
use super::outcome::Expectation;
use crate::judge::{INVARIANTS, Verdict};
use crate::phases::Course;

/// What was found.
pub(super) struct Facts<'a> {
    pub(super) verdict: &'a Verdict,
    pub(super) course: &'a Course,
    /// Rows by stage and table.
    pub(super) rows: &'a BTreeMap<String, BTreeMap<String, u64>>,
    pub(super) faults: Vec<Strikes>,
    /// Processes that worked on this run.
    pub(super) life: u32,
}

/// Compares.
pub(super) fn compare(scenario: &Scenario, facts: &Facts<'_>) -> Vec<Expectation> {
    let mut met = vec![verdict(scenario, facts)];
    met.extend(invariants(scenario, facts));
    met.extend(faults(scenario, facts));
    met.extend(cases(scenario, facts));
    met.extend(objects(scenario, facts));
    for (place, expected) in &scenario.expect.rows {
        let (layer, table) = place.split_once('.').unwrap_or(("silver", place));
        let found = facts.rows.get(layer).and_then(|tables| tables.get(table));
        let found = found.map_or("no such table".to_owned(), u64::to_string);
        met.push(equal(&format!("rows of {place}"), &expected.to_string(), &found));
    }
    met
}

fn verdict(scenario: &Scenario, facts: &Facts<'_>) -> Expectation {
    let expected = match scenario.expect.verdict {
        ExpectedVerdict::Pass => "pass",
        ExpectedVerdict::Fail => "fail",
    };
    equal("verdict", expected, if facts.verdict.passed() { "pass" } else { "fail" })
}

/// Each invariant must pass, or be what the author says; where the verdict must be `fail`, only what the author says counts.
fn invariants(scenario: &Scenario, facts: &Facts<'_>) -> Vec<Expectation> {
    let expected = |name: &str| {
        let said = scenario.expect.invariants.get(name).copied();
        said.or((scenario.expect.verdict == ExpectedVerdict::Pass).then_some(Outcome::Pass))
    };
    let told = INVARIANTS.into_iter().filter_map(|name| Some((name, expected(name)?)));
    told.map(|(name, expected)| {
        let finding = facts.verdict.invariants.get(name);
        let found = finding.map_or(Outcome::Unchecked, |finding| finding.outcome);
        let mut expectation = equal(name, word(expected), word(found));
        if let Some(finding) = finding.filter(|_| !expectation.met) {
            expectation.found = format!("{}: {}", word(found), finding.detail);
        }
        expectation
    })
    .collect()
}

fn faults(scenario: &Scenario, facts: &Facts<'_>) -> Vec<Expectation> {
    let of_lives = scenario.faults.iter().filter(|fault| kills_the_process(fault));
    let deaths: usize = of_lives.map(|fault| times(&fault.when)).sum();
    let mut met = Vec::new();
    if deaths > 0 {
        met.push(equal("processes killed", &deaths.to_string(), &(facts.life - 1).to_string()));
    }
    let lasting: Vec<&Fault> = scenario.faults.iter().filter(|fault| !kills_the_process(fault)).collect();
    let struck = facts.faults.iter().filter(|strikes| lasting.iter().any(|fault| is_of(fault, strikes)));
    for (fault, strikes) in lasting.iter().zip(struck) {
        let what = format!("{}.{} struck by {}", fault.stage, fault.operation, fault.kind);
        let least = times(&fault.when) as u64;
        met.push(at_least(&what, least, strikes.struck));
    }
    met
}

fn is_of(fault: &Fault, strikes: &Strikes) -> bool {
    fault.stage == strikes.stage && fault.operation == strikes.operation && fault.kind == strikes.kind
}

/// How often a fault must strike at least.
fn times(when: &When) -> usize {
    match when {
        When::Occurrences(occurrences) => occurrences.len(),
        When::Probability(_) => 1,
    }
}

fn cases(scenario: &Scenario, facts: &Facts<'_>) -> Vec<Expectation> {
    let mut wanted: Vec<&String> = scenario.phases.iter().flat_map(|phase| &phase.cases).collect();
    wanted.sort();
    wanted.dedup();
    let met = |case: &&String| facts.course.changed.cases.get(*case).copied().unwrap_or(0);
    wanted.iter().map(|case| at_least(&format!("case {case}"), 1, met(case))).collect()
}

fn objects(scenario: &Scenario, facts: &Facts<'_>) -> Vec<Expectation> {
    let (expect, records) = (&scenario.expect, &facts.course.raw.records);
    let mut met = Vec::new();
    if let Some(expected) = expect.quarantined_objects {
        let found = records.iter().filter(|record| record.status == Status::Quarantined).count();
        met.push(equal("quarantined objects", &expected.to_string(), &found.to_string()));
    }
    if let Some(expected) = expect.quarantined_rows {
        let found: i64 = records.iter().map(|record| record.rows_bad).sum();
        met.push(equal("quarantined rows", &expected.to_string(), &found.to_string()));
    }
    for (route, least) in &expect.objects_at_least {
        let found = records.iter().filter(|record| record.route == *route).count();
        met.push(at_least(&format!("objects by route {route}"), *least, found as u64));
    }
    met
}

fn equal(what: &str, expected: &str, found: &str) -> Expectation {
    let met = expected == found;
    Expectation { what: what.to_owned(), expected: expected.to_owned(), found: found.to_owned(), met }
}

fn at_least(what: &str, least: u64, found: u64) -> Expectation {
    let met = found >= least;
    Expectation { what: what.to_owned(), expected: format!("at least {least}"), found: found.to_string(), met }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Pass => "pass",
        Outcome::Fail => "fail",
        Outcome::Unchecked => "unchecked",
    }
}

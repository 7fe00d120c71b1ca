//! What a finished scenario leaves behind: its result, and everything the result was made of.
//!
//! Plain data that serialises both ways, so that reports can be made again from a kept `outcomes.json`. Holds names, counts,
//! digests and times, never a row value. Knows nothing of how a scenario runs.

use std::collections::BTreeMap;

use lakebed_contract::MaskedColumn;
use lakebed_contract::event::Outcome;
use serde::{Deserialize, Serialize};

/// How a scenario ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScenarioResult {
    /// Every expectation is met; a scenario that must fail its judge, and does, has passed.
    Passed,
    /// It ran to its end and an expectation is not met.
    Failed,
    /// It did not run to its end: our fault or the environment's.
    Broken,
}

impl ScenarioResult {
    /// Lower-case name, as in `outcomes.json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Broken => "broken",
        }
    }
}

/// One run of one scenario with one seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScenarioOutcome {
    /// Stem of the scenario's file, e.g. `0004-firehose-duplicates`.
    pub name: String,
    /// The question the scenario asks.
    pub question: String,
    /// Seed.
    pub seed: u64,
    /// Scale.
    pub scale: f64,
    /// Backend.
    pub backend: String,
    /// How it ended.
    pub result: ScenarioResult,
    /// The judge's word: `pass`, `fail`, or `none` where the run did not reach it.
    pub verdict: String,
    /// `I1` … `I10`: the judge's word on each and why.
    pub invariants: BTreeMap<String, (Outcome, String)>,
    /// What the scenario expects and what was found, in the order of its file.
    pub expectations: Vec<Expectation>,
    /// The faults of the plan and how often each struck.
    pub faults: Vec<FaultTally>,
    /// The steps in the order in which they ran.
    pub steps: Vec<StepTiming>,
    /// Rows by stage and table.
    pub rows: BTreeMap<String, BTreeMap<String, u64>>,
    /// What was masked on the way into bronze, as far as the last process of the scenario saw it.
    #[serde(default)]
    pub masking: Vec<MaskedColumn>,
    /// Digests of `bronze`, `silver` and `gold`: the same seed gives the same ones.
    pub digests: BTreeMap<String, String>,
    /// Milliseconds from start to result.
    pub total_ms: u64,
    /// The command that repeats exactly this run.
    pub repeat: String,
    /// Why it broke, with causes.
    pub error: Option<String>,
}

impl ScenarioOutcome {
    /// The expectations that are not met.
    pub fn unmet(&self) -> impl Iterator<Item = &Expectation> {
        self.expectations.iter().filter(|expectation| !expectation.met)
    }
}

/// One thing a scenario expects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// What is looked at, e.g. `silver.review.rows`.
    pub what: String,
    /// What the scenario wants.
    pub expected: String,
    /// What was found.
    pub found: String,
    /// Whether that is what the scenario wants.
    pub met: bool,
}

/// How one planned fault fared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultTally {
    /// Stage it strikes.
    pub stage: String,
    /// Operation it strikes.
    pub operation: String,
    /// What it does.
    pub kind: String,
    /// How often the operation came by.
    pub offered: u64,
    /// How often the fault struck.
    pub struck: u64,
}

/// How long one step took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTiming {
    /// The step.
    pub step: String,
    /// Milliseconds.
    pub ms: u64,
}

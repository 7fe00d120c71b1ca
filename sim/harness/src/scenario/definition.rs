//! A scenario as its author writes it: a TOML file with a question, a workload, faults, steps, and what is expected.
//!
//! Promises: an unknown key or word is refused with file, line and the nearest valid one; what is accepted is consistent (a
//! fault names a point that exists and a kind that point knows, a step names a phase). Knows nothing of how it is run. The
//! keys are told in `scenarios/README.md`.

use std::collections::BTreeMap;

use lakebed_contract::event::Outcome;
use lakebed_contract::fault::{DELAY_MS_MAX, Delay, Fault, FaultPoint, POINTS, When};
use lakebed_contract::{FaultKind, Seed};
use serde::{Deserialize, Serialize};

use super::complaint::{Complaint, nearest};
use crate::judge::INVARIANTS;

/// Largest scale of a scenario.
pub const SCALE_MAX: f64 = 100.0;
/// Scale of a scenario that names none: 1,587 reviews.
const SCALE_DEFAULT: f64 = 0.001;
const SEED_DEFAULT: u64 = 7;

/// A scenario.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// File stem, e.g. `0004-firehose-duplicate`.
    pub name: String,
    /// What the scenario asks.
    pub question: String,
    /// Seed, unless the command line names others.
    pub seed: Seed,
    /// Share of BeerAdvocate's size.
    pub scale: f64,
    /// `embedded`, `docker` or `external`.
    pub backend: BackendName,
    /// How data travel.
    pub workload: Workload,
    /// What happens, in order.
    pub phases: Vec<Phase>,
    /// What goes wrong.
    pub faults: Vec<Fault>,
    /// What somebody does in between.
    pub steps: Vec<Step>,
    /// What must come out.
    pub expect: Expect,
}

/// Where a scenario runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendName {
    /// Everything in this process and a private Postgres.
    #[default]
    Embedded,
    /// Containers.
    Docker,
    /// Endpoints from the environment.
    External,
}

/// How data travel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// By which route the initial load travels.
    #[serde(default)]
    pub route: Route,
    /// Leave the source tables empty.
    #[serde(default)]
    pub empty: bool,
    /// Records above which an object takes the ECS route; the lake's own 100,000 if not given.
    pub ecs_above: Option<u64>,
    /// Throughput limits of the stores.
    #[serde(default)]
    pub limits: LimitsName,
}

/// Throughput limits of the stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitsName {
    /// As fast as the machine is.
    #[default]
    None,
    /// AWS's.
    Aws,
}

/// Route of the initial load.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// As each table's contract says.
    #[default]
    Both,
    /// Every table through DMS, Kinesis and Firehose.
    Streaming,
    /// Every table as a file export.
    Batch,
}

/// One phase of the workload.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Name, for steps to refer to; the kind if not given.
    #[serde(default)]
    pub name: String,
    /// What is done.
    #[serde(rename = "do")]
    pub kind: PhaseKind,
    /// Row changes committed at the source meanwhile.
    #[serde(default)]
    pub changes: u64,
    /// Nasty cases that the changes are made of, half of the time; all of them now and then if not given.
    #[serde(default)]
    pub cases: Vec<String>,
}

/// What a phase does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PhaseKind {
    /// Full load and file export out of the slot's snapshot, to bronze.
    Copy,
    /// Changes at the source and nothing else.
    Change,
    /// Everything committed by now comes to bronze.
    Follow,
    /// Bronze to silver to gold.
    Refresh,
}

impl PhaseKind {
    /// The word in a scenario file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Change => "change",
            Self::Follow => "follow",
            Self::Refresh => "refresh",
        }
    }
}

/// Something an operator, or an enemy, does between two phases.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Phase after which it is done.
    pub after: String,
    /// What.
    #[serde(rename = "do")]
    pub kind: StepKind,
    /// Table, for steps that need one.
    #[serde(default)]
    pub table: Option<String>,
}

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Everything is stopped in order and started again on the same state.
    Restart,
    /// One value of a silver row is changed behind everybody's back.
    CorruptSilver,
    /// A planted e-mail is written in clear beyond `raw/`.
    LeakEmail,
    /// Every notification of every raw object is delivered again.
    RepeatNotifications,
}

impl StepKind {
    /// Whether it makes the lake wrong. After the last phase, damage is done right before the judge looks.
    pub fn damages(self) -> bool {
        matches!(self, Self::CorruptSilver | Self::LeakEmail)
    }

    /// The word in a scenario file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::CorruptSilver => "corrupt_silver",
            Self::LeakEmail => "leak_email",
            Self::RepeatNotifications => "repeat_notifications",
        }
    }
}

/// What must come out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expect {
    /// The judge's word; `pass` if not given.
    #[serde(default)]
    pub verdict: ExpectedVerdict,
    /// The judge's word on single invariants. The others must pass where the verdict must, and may say anything where not.
    #[serde(default)]
    pub invariants: BTreeMap<String, Outcome>,
    /// Raw objects that end QUARANTINED.
    pub quarantined_objects: Option<u64>,
    /// Rows under `quarantine/`.
    pub quarantined_rows: Option<u64>,
    /// Least number of objects by route, `lambda` or `ecs`.
    #[serde(default)]
    pub objects_at_least: BTreeMap<String, u64>,
    /// Live rows by table, e.g. `"silver.review" = 12`.
    #[serde(default)]
    pub rows: BTreeMap<String, u64>,
}

/// The verdict a scenario expects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpectedVerdict {
    /// Every invariant holds.
    #[default]
    Pass,
    /// At least one does not.
    Fail,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    question: String,
    #[serde(default = "seed_default")]
    seed: u64,
    #[serde(default = "scale_default")]
    scale: f64,
    #[serde(default)]
    backend: BackendName,
    #[serde(default)]
    workload: Workload,
    #[serde(default)]
    phase: Vec<Phase>,
    #[serde(default)]
    fault: Vec<FaultEntry>,
    #[serde(default)]
    step: Vec<Step>,
    #[serde(default)]
    expect: Expect,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultEntry {
    stage: String,
    operation: String,
    kind: FaultKind,
    #[serde(default)]
    occurrence: Option<Occurrence>,
    #[serde(default)]
    probability: Option<f64>,
    #[serde(default)]
    delay_ms: Option<DelayEntry>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum DelayEntry {
    Exact(u64),
    Between(u64, u64),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Occurrence {
    One(u64),
    Many(Vec<u64>),
}

fn seed_default() -> u64 {
    SEED_DEFAULT
}

fn scale_default() -> f64 {
    SCALE_DEFAULT
}

impl Scenario {
    /// Reads the text of `file`; its stem is the scenario's name.
    pub fn parse(file: &str, text: &str) -> Result<Self, Complaint> {
        let read: File = toml::from_str(text).map_err(|error| Complaint::from_toml(file, text, &error))?;
        let stem = file.rsplit(['/', '\\']).next().unwrap_or(file);
        let name = stem.strip_suffix(".toml").unwrap_or(stem).to_owned();
        let complain = |about: &str, reason: String| Complaint::about(file, text, about, reason);
        if read.question.trim().is_empty() {
            return Err(complain("question", "the question is empty; say what the scenario asks".to_owned()));
        }
        if !(read.scale > 0.0 && read.scale <= SCALE_MAX) {
            let reason = format!("scale {} must be above 0 and at most {SCALE_MAX}", read.scale);
            return Err(complain("scale", reason));
        }
        let faults: Result<Vec<Fault>, Complaint> =
            read.fault.into_iter().map(|entry| into_fault(entry, &complain)).collect();
        let mut scenario = Self {
            name,
            question: read.question,
            seed: Seed(read.seed),
            scale: read.scale,
            backend: read.backend,
            workload: read.workload,
            phases: read.phase,
            faults: faults?,
            steps: read.step,
            expect: read.expect,
        };
        scenario.name_phases(&complain)?;
        scenario.check_steps(&complain)?;
        scenario.check_expect(&complain)?;
        scenario.check_backend(scenario.backend).map_err(|reason| complain("backend", reason))?;
        Ok(scenario)
    }

    /// Whether a fault of this scenario kills the whole process, so that it needs one of its own.
    pub fn kills_the_process(&self) -> bool {
        self.faults.iter().any(kills_the_process)
    }

    /// Refuses a backend on which this scenario cannot be played.
    pub fn check_backend(&self, backend: BackendName) -> Result<(), String> {
        if self.needs_state() && backend != BackendName::Embedded {
            return Err(format!(
                "`{}` is killed or restarted, and only the embedded backend has stores that are kept and taken up again",
                self.name
            ));
        }
        let is_of_stores = self.faults.iter().any(is_of_stores) || self.workload.limits != LimitsName::None;
        if is_of_stores && backend != BackendName::Embedded {
            return Err(format!(
                "`{}` asks for faults or limits in the stores themselves, and only the embedded backend's stores have them",
                self.name
            ));
        }
        Ok(())
    }

    /// Whether stores and Postgres must outlive what runs them.
    pub fn needs_state(&self) -> bool {
        self.kills_the_process() || self.steps.iter().any(|step| step.kind == StepKind::Restart)
    }

    fn name_phases(&mut self, complain: &impl Fn(&str, String) -> Complaint) -> Result<(), Complaint> {
        let known = lakebed_source::case_names();
        for phase in &mut self.phases {
            if phase.name.is_empty() {
                phase.name = phase.kind.as_str().to_owned();
            }
            for case in &phase.cases {
                if !known.contains(&case.as_str()) {
                    return Err(complain(case, unknown("case", case, &known)));
                }
            }
            if !phase.cases.is_empty() && phase.changes == 0 {
                let reason = format!("phase `{}` names cases but has no `changes` to make them of", phase.name);
                return Err(complain("cases", reason));
            }
        }
        let copies = self.phases.iter().filter(|phase| phase.kind == PhaseKind::Copy).count();
        if !self.phases.is_empty() && (copies != 1 || self.phases[0].kind != PhaseKind::Copy) {
            let reason = "the first phase, and no other, must be `do = \"copy\"`".to_owned();
            return Err(complain("phase", reason));
        }
        if self.workload.empty && self.phases.iter().any(|phase| phase.changes > 0) {
            return Err(complain("empty", "there is nothing to change in empty tables".to_owned()));
        }
        Ok(())
    }

    fn check_steps(&self, complain: &impl Fn(&str, String) -> Complaint) -> Result<(), Complaint> {
        let names: Vec<&str> = match self.phases.is_empty() {
            true => DEFAULT_PHASES.to_vec(),
            false => self.phases.iter().map(|phase| phase.name.as_str()).collect(),
        };
        for step in &self.steps {
            if !names.contains(&step.after.as_str()) {
                return Err(complain(&step.after, unknown("phase", &step.after, &names)));
            }
            let later = self.phases.iter().skip_while(|phase| phase.name != step.after).skip(1);
            if step.kind == StepKind::Restart
                && !self.phases.is_empty()
                && !later.clone().any(|phase| phase.kind == PhaseKind::Refresh)
            {
                let reason = "a restart needs a refresh after it, which merges what Firehose delivers again".to_owned();
                return Err(complain("restart", reason));
            }
        }
        Ok(())
    }

    fn check_expect(&self, complain: &impl Fn(&str, String) -> Complaint) -> Result<(), Complaint> {
        for name in self.expect.invariants.keys() {
            if !INVARIANTS.contains(&name.as_str()) {
                return Err(complain(name, unknown("invariant", name, &INVARIANTS)));
            }
        }
        for route in self.expect.objects_at_least.keys() {
            if !["lambda", "ecs"].contains(&route.as_str()) {
                return Err(complain(route, unknown("route", route, &["lambda", "ecs"])));
            }
        }
        Ok(())
    }
}

/// Names of the phases of a scenario that lists none.
pub const DEFAULT_PHASES: [&str; 4] = ["copy", "first-refresh", "follow", "second-refresh"];

/// Whether this fault ends the process in which the scenario runs.
pub fn kills_the_process(fault: &Fault) -> bool {
    fault.kind == FaultKind::Kill && fault.stage != lakebed_contract::fault::ECS_WRITE_PARQUET.stage
}

/// Whether this fault strikes in the stores, whoever their client is.
fn is_of_stores(fault: &Fault) -> bool {
    !POINTS.iter().any(|point| point.stage == fault.stage)
}

fn into_fault(entry: FaultEntry, complain: &impl Fn(&str, String) -> Complaint) -> Result<Fault, Complaint> {
    let points: Vec<FaultPoint> = POINTS.into_iter().chain(lakebed_cloud::fault_points()).collect();
    let mut stages: Vec<&str> = points.iter().map(|point| point.stage).collect();
    stages.dedup();
    let at_stage: Vec<&FaultPoint> = points.iter().filter(|point| point.stage == entry.stage).collect();
    if at_stage.is_empty() {
        return Err(complain(&entry.stage, unknown("stage", &entry.stage, &stages)));
    }
    let operations: Vec<&str> = at_stage.iter().map(|point| point.operation).collect();
    let Some(point) = at_stage.iter().find(|point| point.operation == entry.operation) else {
        return Err(complain(&entry.operation, unknown("operation", &entry.operation, &operations)));
    };
    if !point.kinds.contains(&entry.kind) {
        let kinds: Vec<&str> = point.kinds.iter().map(|kind| kind.as_str()).collect();
        let reason = format!(
            "`{}.{}` cannot be hit by kind `{}`; it knows {}",
            point.stage,
            point.operation,
            entry.kind,
            kinds.join(", ")
        );
        return Err(complain(entry.kind.as_str(), reason));
    }
    let when = match (&entry.occurrence, entry.probability) {
        (Some(Occurrence::One(one)), None) => When::Occurrences(vec![*one]),
        (Some(Occurrence::Many(many)), None) => When::Occurrences(many.clone()),
        (None, Some(probability)) if probability > 0.0 && probability <= 1.0 => When::Probability(probability),
        (None, Some(probability)) => {
            let reason = format!("probability {probability} must be above 0 and at most 1");
            return Err(complain("probability", reason));
        }
        _ => {
            let reason = "a fault has either `occurrence` (a number or a list, from 1) or `probability`".to_owned();
            return Err(complain("[[fault]]", reason));
        }
    };
    if matches!(&when, When::Occurrences(list) if list.is_empty() || list.contains(&0)) {
        return Err(complain("occurrence", "occurrences are counted from 1".to_owned()));
    }
    let delay = into_delay(&entry, complain)?;
    Ok(Fault { stage: entry.stage, operation: entry.operation, kind: entry.kind, when, delay })
}

fn into_delay(entry: &FaultEntry, complain: &impl Fn(&str, String) -> Complaint) -> Result<Delay, Complaint> {
    let (ms_min, ms_max) = match entry.delay_ms {
        None => return Ok(Delay::default()),
        Some(DelayEntry::Exact(ms)) => (ms, ms),
        Some(DelayEntry::Between(least, most)) => (least, most),
    };
    if entry.kind != FaultKind::Delay {
        let reason = format!("`delay_ms` belongs to kind `delay`, not to `{}`", entry.kind);
        return Err(complain("delay_ms", reason));
    }
    if ms_min > ms_max || ms_max > DELAY_MS_MAX {
        let reason = format!("`delay_ms` is a number or [least, most], at most {DELAY_MS_MAX}");
        return Err(complain("delay_ms", reason));
    }
    Ok(Delay { ms_min, ms_max })
}

fn unknown(what: &str, found: &str, known: &[&str]) -> String {
    let hint = nearest(found, known.iter().copied()).map(|near| format!(", did you mean `{near}`?"));
    format!("there is no {what} `{found}`{}; known: {}", hint.unwrap_or_default(), known.join(", "))
}

#[cfg(test)]
#[path = "definition_tests.rs"]
mod tests;

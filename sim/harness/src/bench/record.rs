//! What was measured, as `reports/<date>-<label>/record.json`: everything a report is made of, and nothing else.
//!
//! Holds names, versions, counts and times; never a row value. Read back strictly: a record with a member nobody knows is
//! refused, so that a report cannot silently leave something out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::definition::{Answers, Operation, Size, Work};
use crate::error::HarnessError;

/// The file in each record's folder.
pub const RECORD_FILE: &str = "record.json";
/// Version of the format.
pub const FORMAT: u32 = 1;

/// One run of the benchmarks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`FORMAT`].
    pub format: u32,
    /// `2026-11-27`, UTC.
    pub date: String,
    /// What distinguishes runs of one day.
    pub label: String,
    /// The size that was run.
    pub size: Size,
    /// Where.
    pub machine: Machine,
    /// With which build.
    pub build: Build,
    /// Macro benchmarks, in the order of the definitions.
    pub benchmarks: Vec<Benchmark>,
    /// Micro-benchmarks, by name.
    pub micro: Vec<MicroResult>,
}

/// The machine class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// Logical cores.
    pub cores: u32,
    /// Memory in bytes; 0 when the system does not tell.
    pub memory_bytes: u64,
    /// CPU model.
    pub cpu: String,
    /// Operating system and kernel.
    pub os: String,
    /// Architecture.
    pub arch: String,
    /// Load average over one minute when the run began: above 0.5 somebody else was working too.
    pub load_before: Option<f64>,
}

/// The build that was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// `lakebed`'s version.
    pub version: String,
    /// Commit, with `+changes` when files differ from it; `unknown` outside a checkout.
    pub commit: String,
    /// Compiler.
    pub rustc: String,
    /// Optimisation of lakebed's own crates.
    pub profile: String,
}

/// One definition, run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Benchmark {
    /// Name of the definition.
    pub name: String,
    /// Its question.
    pub question: String,
    /// Its note.
    pub note: String,
    /// What was run.
    pub work: Work,
    /// The operation of a store.
    pub operation: Option<Operation>,
    /// Seed of the data.
    pub seed: u64,
    /// Scale of the data.
    pub scale: Option<f64>,
    /// Calls per sample.
    pub operations: Option<u32>,
    /// Connections to a store at once. Records of before there were several do not tell.
    #[serde(default = "one")]
    pub connections: u32,
    /// Rounds that were not counted.
    pub warm_up: u32,
    /// What was right.
    pub expect: Answers,
    /// Facts about the input, e.g. its bytes.
    pub input: BTreeMap<String, u64>,
    /// Everybody who ran, or should have.
    pub contenders: Vec<ContenderResult>,
}

fn one() -> u32 {
    1
}

/// One contender's part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContenderResult {
    /// Name.
    pub name: String,
    /// Why it is there.
    pub role: Role,
    /// What it does differently.
    pub remark: String,
    /// Its version.
    pub version: String,
    /// How it went.
    pub outcome: Outcome,
}

/// Why a contender is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// lakebed as it is used.
    Ours,
    /// lakebed with something switched off, to tell what that costs.
    Control,
    /// The least anybody must do.
    Floor,
    /// Another tool.
    Theirs,
}

/// How a contender's part went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// Every round gave the right answer.
    Measured {
        /// One entry per counted round.
        samples: Vec<Sample>,
    },
    /// It ran and was wrong, or broke off: a failure, not a number.
    Failed {
        /// How.
        reason: String,
    },
    /// It could not run here.
    Missing {
        /// Why, and what would help.
        reason: String,
    },
}

/// One round of one contender.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// From start to end of its process; for stores, of all calls.
    pub wall_ms: f64,
    /// User and system time of its process and that of its children; for stores, of the server during the calls.
    pub cpu_ms: Option<f64>,
    /// Highest resident memory of the largest process; for stores, of the server since it started.
    pub peak_rss_bytes: Option<u64>,
    /// Other figures by name, e.g. `p99_us`.
    pub figures: BTreeMap<String, f64>,
}

/// A micro-benchmark, as criterion measured it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MicroResult {
    /// `area/function`.
    pub name: String,
    /// Median time of an iteration, nanoseconds.
    pub median_ns: f64,
    /// Ends of its 95% confidence interval.
    pub low_ns: f64,
    /// See `low_ns`.
    pub high_ns: f64,
    /// Rows, records or messages of an iteration.
    pub elements: Option<u64>,
    /// Bytes of an iteration.
    pub bytes: Option<u64>,
}

impl Record {
    /// Name of its folder.
    pub fn folder_name(&self) -> String {
        format!("{}-{}", self.date, self.label)
    }

    /// Writes `<reports>/<date>-<label>/record.json`; a run of the same day and label is replaced. Returns the folder.
    ///
    /// # Errors
    /// A folder or file that cannot be written.
    pub fn write(&self, reports: &Path) -> Result<PathBuf, HarnessError> {
        let folder = reports.join(self.folder_name());
        std::fs::create_dir_all(&folder).map_err(HarnessError::file("create folder", &folder))?;
        let path = folder.join(RECORD_FILE);
        let text = serde_json::to_string_pretty(self).map_err(HarnessError::stage("write the record as JSON"))?;
        std::fs::write(&path, text + "\n").map_err(HarnessError::file("write record", &path))?;
        Ok(folder)
    }

    /// Reads one record.
    ///
    /// # Errors
    /// A file that cannot be read, or is not a record of this format.
    pub fn read(path: &Path) -> Result<Self, HarnessError> {
        let text = std::fs::read_to_string(path).map_err(HarnessError::file("read record", path))?;
        let refuse = |why: String| HarnessError::Input {
            message: format!("failed to read benchmark record `{}`: {why}", path.display()),
        };
        let record: Self = serde_json::from_str(&text).map_err(|error| refuse(error.to_string()))?;
        if record.format != FORMAT {
            return Err(refuse(format!("its format is {}, this lakebed reads {FORMAT}", record.format)));
        }
        Ok(record)
    }

    /// All records of a reports folder, oldest first.
    ///
    /// # Errors
    /// A folder that cannot be read, or a record that cannot.
    pub fn read_all(reports: &Path) -> Result<Vec<Self>, HarnessError> {
        let listed = std::fs::read_dir(reports).map_err(HarnessError::file("read reports folder", reports))?;
        let mut records = Vec::new();
        for entry in listed {
            let path = entry.map_err(HarnessError::file("read reports folder", reports))?.path().join(RECORD_FILE);
            if path.is_file() {
                records.push(Self::read(&path)?);
            }
        }
        records.sort_by(|one, other| (&one.date, &one.label).cmp(&(&other.date, &other.label)));
        Ok(records)
    }
}

/// Labels become folder names.
///
/// # Errors
/// Anything but lower-case letters, digits and hyphens.
pub fn check_label(label: &str) -> Result<(), HarnessError> {
    let is_sound = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !label.is_empty() && label.len() <= 40 && label.bytes().all(is_sound) {
        return Ok(());
    }
    let message = format!("failed to use label `{label}`: 1 to 40 lower-case letters, digits and hyphens");
    Err(HarnessError::Input { message })
}

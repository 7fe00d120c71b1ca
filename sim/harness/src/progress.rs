//! How far a run has come, in `DIR/progress.json`: what lets the same command take up a run whose process died.
//!
//! Written by rename before and after each phase, so a reader sees one state or the next. Promises: a folder is taken up only
//! by a run of the same seed, scale, backend, lake and plan; a finished run is told, not run again. Holds names and numbers only.

use std::path::{Path, PathBuf};

use lakebed_contract::Seed;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::HarnessError;
use crate::lake_folder::LakeFiles;
use crate::run_dir::RunDir;

const FILE: &str = "progress.json";

/// What makes two runs the same run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Seed.
    pub seed: u64,
    /// Scale.
    pub scale: f64,
    /// Backend.
    pub backend: String,
    /// Digest of the lake's files.
    pub lake: String,
    /// Digest of the phases, faults left out.
    pub plan: String,
}

impl Identity {
    /// Of a run with these options.
    pub fn new(seed: Seed, scale: f64, backend: &str, lake: &LakeFiles, plan: &str) -> Self {
        let mut hash = Sha256::new();
        for (path, text) in lake {
            hash.update(path.len().to_le_bytes());
            hash.update(path);
            hash.update(text.len().to_le_bytes());
            hash.update(text);
        }
        let digest = |hash: Sha256| data_encoding::HEXLOWER.encode(&hash.finalize()[..8]);
        let (lake, plan) = (digest(hash), digest(Sha256::new_with_prefix(plan)));
        Self { seed: seed.0, scale, backend: backend.to_owned(), lake, plan }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Record {
    identity: Identity,
    /// Processes that worked on this run, this one included.
    lives: u32,
    /// Phases that are over.
    phases_done: usize,
    finished: bool,
}

/// The progress of the run in one folder.
#[derive(Debug)]
pub struct Progress {
    path: PathBuf,
    record: Record,
}

impl Progress {
    /// Takes up the run in `run_dir`, or begins one there.
    pub fn take_up(run_dir: &RunDir, identity: Identity) -> Result<Self, HarnessError> {
        let path = run_dir.path().join(FILE);
        let record = match read(&path)? {
            None if run_dir.has_data() => return Err(occupied(run_dir, "an earlier run lies there")),
            None => Record { identity, lives: 1, phases_done: 0, finished: false },
            Some(record) if record.identity != identity => {
                let found = &record.identity;
                let reason = format!(
                    "{} run with other settings lies there (seed {}, scale {}, backend {}{}{})",
                    if record.finished { "a finished" } else { "an interrupted" },
                    found.seed,
                    found.scale,
                    found.backend,
                    if found.lake == identity.lake { "" } else { ", another lake" },
                    if found.plan == identity.plan { "" } else { ", another plan" },
                );
                return Err(occupied(run_dir, &reason));
            }
            Some(record) if record.finished => return Ok(Self { path, record }),
            Some(record) => Record { lives: record.lives + 1, ..record },
        };
        let progress = Self { path, record };
        progress.write()?;
        Ok(progress)
    }

    /// Processes that worked on this run, this one included.
    pub fn lives(&self) -> u32 {
        self.record.lives
    }

    /// Phases that are over.
    pub fn phases_done(&self) -> usize {
        self.record.phases_done
    }

    /// Notes that the phases before `phase` are over. A phase that is done again after a crash was over already.
    pub fn phases_over(&mut self, phases: usize) -> Result<(), HarnessError> {
        self.record.phases_done = self.record.phases_done.max(phases);
        self.write()
    }

    /// Whether the run is over: then there is nothing to take up.
    pub fn is_finished(&self) -> bool {
        self.record.finished
    }

    /// Notes that the run is over.
    pub fn finish(&mut self) -> Result<(), HarnessError> {
        self.record.finished = true;
        self.write()
    }

    fn write(&self) -> Result<(), HarnessError> {
        let new = self.path.with_extension("json.new");
        let text = serde_json::to_string_pretty(&self.record).expect("a record is strings and numbers");
        std::fs::write(&new, text).map_err(HarnessError::file("write", &new))?;
        std::fs::rename(&new, &self.path).map_err(HarnessError::file("write", &self.path))
    }
}

fn read(path: &Path) -> Result<Option<Record>, HarnessError> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(HarnessError::file("read", path)(error)),
    };
    let read = serde_json::from_slice(&text);
    read.map(Some).map_err(|error| HarnessError::Input {
        message: format!("failed to read `{}`, which tells how far a run has come: {error}", path.display()),
    })
}

fn occupied(run_dir: &RunDir, reason: &str) -> HarnessError {
    HarnessError::Occupied { path: run_dir.path().to_owned(), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(seed: u64) -> Identity {
        Identity::new(Seed(seed), 0.1, "embedded", &LakeFiles::new(), "copy")
    }

    #[test]
    fn an_interrupted_run_is_taken_up_and_a_finished_one_is_not() {
        let folder = tempfile::tempdir().expect("temp dir");
        let run_dir = RunDir::keep(folder.path()).expect("ours");
        let mut first = Progress::take_up(&run_dir, identity(7)).expect("new");
        assert_eq!((first.lives(), first.phases_done()), (1, 0));
        first.phases_over(1).expect("writes");
        let mut second = Progress::take_up(&run_dir, identity(7)).expect("taken up");
        assert_eq!((second.lives(), second.phases_done()), (2, 1));
        let other = Progress::take_up(&run_dir, identity(8)).expect_err("another seed").to_string();
        assert!(other.contains("seed 7"), "{other}");
        second.finish().expect("writes");
        let again = Progress::take_up(&run_dir, identity(7)).expect("known");
        assert!(again.is_finished() && again.lives() == 2, "nothing is taken up");
        let other = Progress::take_up(&run_dir, identity(8)).expect_err("another seed").to_string();
        assert!(other.contains("a finished run"), "{other}");
    }

    #[test]
    fn another_plan_or_lake_is_another_run() {
        let plain = identity(7);
        assert_ne!(plain, Identity::new(Seed(7), 0.1, "embedded", &LakeFiles::new(), "copy, refresh"));
        let files = LakeFiles::from([("a".to_owned(), "b".to_owned())]);
        assert_ne!(plain, Identity::new(Seed(7), 0.1, "embedded", &files, "copy"));
        let same_bytes = LakeFiles::from([("ab".to_owned(), String::new())]);
        assert_ne!(
            Identity::new(Seed(7), 0.1, "embedded", &files, "copy"),
            Identity::new(Seed(7), 0.1, "embedded", &same_bytes, "copy")
        );
    }
}

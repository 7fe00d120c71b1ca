//! The first copy of a source into a state directory, and what becomes of one that was cut off.
//!
//! The snapshot that a copy reads dies with its process. What such a copy has put into the stores is no lake yet, and it cannot
//! be completed: so the next start throws it away, and copies again from a new slot, as DMS reloads a target. A marker file
//! says that a first copy is under way. Promises: nothing is thrown away without that marker.

use std::fs::File;
use std::path::{Path, PathBuf};

use lakebed_contract::EventSink;

use crate::error::HarnessError;
use crate::run_dir::RunDir;

const MARKER: &str = "first-copy";

/// The first copy into one state directory.
#[derive(Clone, Debug)]
pub struct FirstCopy {
    folder: PathBuf,
}

impl FirstCopy {
    /// Into `run_dir`.
    pub fn of(run_dir: &RunDir) -> Self {
        Self { folder: run_dir.path().to_owned() }
    }

    /// The copy begins: before the slot is made.
    pub fn begins(&self) -> Result<(), HarnessError> {
        let marker = self.marker();
        File::create(&marker).map(drop).map_err(HarnessError::file("write", marker))
    }

    /// The copy is over: everything up to the slot's position lies in the stores.
    pub fn is_over(&self) -> Result<(), HarnessError> {
        remove(&self.marker())
    }

    /// Throws away what a copy that was cut off has left in the stores, which must not run yet. Whether there was one; then its
    /// slot must be discarded, too.
    pub fn forget_what_was_cut_off(&self, events: &EventSink) -> Result<bool, HarnessError> {
        if !self.marker().exists() {
            return Ok(false);
        }
        events.log("the first copy was cut off: what it left in the stores is removed, and it begins again");
        let entries = std::fs::read_dir(&self.folder).map_err(HarnessError::file("read folder", &self.folder))?;
        for entry in entries {
            let entry = entry.map_err(HarnessError::file("read folder", &self.folder))?;
            let name = entry.file_name();
            let of_a_store = ["s3", "dynamodb", "catalog", "kinesis"].iter().any(|store| {
                name.to_str().is_some_and(|name| name == *store || name.starts_with(&format!("{store}.")))
            });
            if of_a_store {
                remove(&entry.path())?;
            }
        }
        Ok(true)
    }

    fn marker(&self) -> PathBuf {
        self.folder.join(MARKER)
    }
}

/// Removes a file or folder; it may be gone already.
fn remove(path: &Path) -> Result<(), HarnessError> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(HarnessError::file("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_cut_off_is_forgotten_and_only_in_the_stores() {
        let folder = tempfile::tempdir().expect("temp dir");
        let run_dir = RunDir::keep(folder.path()).expect("ours");
        let names = ["s3/b/k", "s3.sqlite", "s3.sqlite-wal", "kinesis/log", "postgres/data", "progress.json"];
        for name in names {
            let path = run_dir.path().join(name);
            std::fs::create_dir_all(path.parent().expect("has one")).expect("folder");
            std::fs::write(path, "x").expect("write");
        }
        let left = || names.iter().filter(|name| run_dir.path().join(name).exists()).count();
        let copy = FirstCopy::of(&run_dir);
        assert!(!copy.forget_what_was_cut_off(&EventSink::default()).expect("looks"));
        assert_eq!(left(), names.len());
        copy.begins().expect("marks");
        assert!(copy.forget_what_was_cut_off(&EventSink::default()).expect("removes"));
        assert_eq!(left(), 2, "source and progress stay");
        copy.is_over().expect("unmarks");
        copy.is_over().expect("again");
        assert!(!copy.forget_what_was_cut_off(&EventSink::default()).expect("looks"));
    }
}

//! Where a run keeps its state: a throw-away folder, or one the user names and keeps.
//!
//! ```text
//! DIR/lakebed-state     marker and lock: this folder is ours, one process at a time
//! DIR/s3/<bucket>/<key> objects as plain files     DIR/s3.sqlite  DIR/dynamodb/  DIR/catalog/  DIR/kinesis/
//! DIR/scratch/          spools of workers, emptied at every start
//! DIR/events.jsonl      what happened, one event a line; `events.1.jsonl` is the full file before it
//! DIR/run.json          summary of the last finished run
//! ```
//!
//! Dropping a throw-away [`RunDir`] removes it. Nothing of a run is written elsewhere but Postgres's private folder, which its
//! server owns and removes.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use crate::error::HarnessError;

const MARKER: &str = "lakebed-state";

/// The state directory of a run, locked for this process.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    // Held for its lock; the field order lets the lock go before the folder does.
    _lock: File,
    _temporary: Option<tempfile::TempDir>,
}

impl RunDir {
    /// A folder of our own under the system's temporary directory, removed on drop.
    pub fn throw_away() -> Result<Self, HarnessError> {
        let temporary = tempfile::Builder::new()
            .prefix("lakebed-")
            .tempdir()
            .map_err(HarnessError::file("create a folder in", std::env::temp_dir()))?;
        let path = temporary.path().to_owned();
        let lock = claim(&path)?;
        Ok(Self { path, _lock: lock, _temporary: Some(temporary) })
    }

    /// As [`Self::throw_away`], for generated data that a Postgres of another user shall lie in: others may pass through the
    /// folder, though not look into it.
    pub fn throw_away_passable() -> Result<Self, HarnessError> {
        let run_dir = Self::throw_away()?;
        let passable = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o711);
        std::fs::set_permissions(&run_dir.path, passable)
            .map_err(HarnessError::file("open the way into", &run_dir.path))?;
        Ok(run_dir)
    }

    /// A folder the user names: created if missing, refused if it holds anything that is not ours.
    pub fn keep(path: &Path) -> Result<Self, HarnessError> {
        std::fs::create_dir_all(path).map_err(HarnessError::file("create folder", path))?;
        let path = path.canonicalize().map_err(HarnessError::file("resolve folder", path))?;
        let ours = path.join(MARKER).is_file();
        let mut entries = std::fs::read_dir(&path).map_err(HarnessError::file("read folder", &path))?;
        if !ours && entries.next().is_some() {
            return Err(HarnessError::ForeignFolder { path });
        }
        let lock = claim(&path)?;
        Ok(Self { path, _lock: lock, _temporary: None })
    }

    /// An existing state directory.
    pub fn existing(path: &Path) -> Result<Self, HarnessError> {
        if !path.join(MARKER).is_file() {
            let message =
                format!("failed to open state directory `{}`: lakebed has not written one there", path.display());
            return Err(HarnessError::Input { message });
        }
        Self::keep(path)
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether a finished or interrupted run left data here.
    pub fn has_data(&self) -> bool {
        self.path.join("catalog").exists()
    }

    /// An empty folder for spools.
    pub fn scratch(&self) -> Result<PathBuf, HarnessError> {
        let scratch = self.path.join("scratch");
        if scratch.exists() {
            std::fs::remove_dir_all(&scratch).map_err(HarnessError::file("empty folder", &scratch))?;
        }
        std::fs::create_dir_all(&scratch).map_err(HarnessError::file("create folder", &scratch))?;
        Ok(scratch)
    }
}

fn claim(path: &Path) -> Result<File, HarnessError> {
    let marker = path.join(MARKER);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&marker)
        .map_err(HarnessError::file("open", &marker))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(HarnessError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(HarnessError::File { action: "lock", path: marker, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_throw_away_folder_goes_with_its_run() {
        let run = RunDir::throw_away().expect("create");
        let path = run.path().to_owned();
        assert!(path.exists());
        drop(run);
        assert!(!path.exists());
    }

    #[test]
    fn a_foreign_folder_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("temp dir");
        std::fs::write(folder.path().join("thesis.txt"), "precious").expect("write");
        assert!(matches!(RunDir::keep(folder.path()), Err(HarnessError::ForeignFolder { .. })));
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 1);
    }

    #[test]
    fn one_process_at_a_time() {
        let folder = tempfile::tempdir().expect("temp dir");
        let first = RunDir::keep(folder.path()).expect("first");
        assert!(matches!(RunDir::existing(folder.path()), Err(HarnessError::Locked { .. })));
        drop(first);
        RunDir::existing(folder.path()).expect("free again");
    }
}

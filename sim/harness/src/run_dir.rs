//! Where a run keeps its state: a throw-away folder, one in memory, or one the user names and keeps.
//!
//! ```text
//! DIR/lakebed-state     marker and lock: this folder is ours, one process at a time
//! DIR/s3/<bucket>/<key> large objects as plain files
//! DIR/s3.sqlite         small objects, and all about the large ones   DIR/dynamodb/  DIR/catalog/  DIR/kinesis/
//! DIR/scratch/          spools of workers, emptied at every start
//! DIR/events.jsonl      what happened, one event a line; `events.1.jsonl` is the full file before it
//! DIR/run.json          summary of the last finished run
//! ```
//!
//! Dropping a throw-away [`RunDir`] removes it. `kill -9` leaves it behind: one that [`RunDir::in_memory`] made is removed by
//! the next such start, which knows it by its name, what its marker says, and that nobody holds its lock. Nothing of a run
//! is written elsewhere but Postgres's private folder, which its server owns and removes.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::error::HarnessError;

const MARKER: &str = "lakebed-state";
/// Where Linux keeps files in memory. (Docker gives a container 64 MiB there unless `--shm-size` says otherwise.)
const MEMORY_ROOT: &str = "/dev/shm";
const MEMORY_PREFIX: &str = "lakebed-memory-";
/// In the marker of a folder that is of no use once its process is gone; written while the lock is held.
const FORGET: &str = "forget\n";

/// The state directory of a run, locked for this process.
#[derive(Debug)]
pub struct RunDir {
    path: PathBuf,
    is_in_memory: bool,
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
        Ok(Self { path, is_in_memory: false, _lock: lock, _temporary: Some(temporary) })
    }

    /// A throw-away folder in memory; where there is no memory to write files to, in the system's temporary directory:
    /// [`RunDir::is_in_memory`] tells. Removes those that killed processes left behind.
    pub fn in_memory() -> Result<Self, HarnessError> {
        let root = Path::new(MEMORY_ROOT);
        // Only Linux has this file, and only Linux has the folder.
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        if is_memory(root, &mounts) {
            match Self::forgotten_in(root, true) {
                Ok(run_dir) => return Ok(run_dir),
                Err(error) => tracing::warn!(%error, "failed to use {MEMORY_ROOT}"),
            }
        }
        Self::forgotten_in(&std::env::temp_dir(), false)
    }

    fn forgotten_in(root: &Path, is_in_memory: bool) -> Result<Self, HarnessError> {
        remove_forgotten(root);
        let temporary = tempfile::Builder::new()
            .prefix(MEMORY_PREFIX)
            .tempdir_in(root)
            .map_err(HarnessError::file("create a folder in", root))?;
        let path = temporary.path().to_owned();
        make_passable(&path)?;
        let mut lock = claim(&path)?;
        lock.write_all(FORGET.as_bytes()).map_err(HarnessError::file("mark", &path))?;
        Ok(Self { path, is_in_memory, _lock: lock, _temporary: Some(temporary) })
    }

    /// As [`Self::throw_away`], for generated data that a Postgres of another user shall lie in: others may pass through the
    /// folder, though not look into it.
    pub fn throw_away_passable() -> Result<Self, HarnessError> {
        let run_dir = Self::throw_away()?;
        make_passable(&run_dir.path)?;
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
        Ok(Self { path, is_in_memory: false, _lock: lock, _temporary: None })
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

    /// Whether the folder lies in memory.
    pub fn is_in_memory(&self) -> bool {
        self.is_in_memory
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

fn make_passable(path: &Path) -> Result<(), HarnessError> {
    let passable = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o711);
    std::fs::set_permissions(path, passable).map_err(HarnessError::file("open the way into", path))
}

/// Whether `root` is a file system in memory, by what the kernel says is mounted: `device folder kind options ..` a line.
fn is_memory(root: &Path, mounts: &str) -> bool {
    let mut kinds = mounts.lines().filter_map(|line| {
        let mut words = line.split(' ').skip(1);
        let (folder, kind) = (words.next()?, words.next()?);
        (Path::new(folder) == root).then_some(kind)
    });
    // The last one mounted there is the one that is seen.
    matches!(kinds.next_back(), Some("tmpfs" | "ramfs"))
}

/// Removes the folders in `root` that were to be forgotten and whose process is gone. One that cannot be removed costs room only.
fn remove_forgotten(root: &Path) {
    let entries = std::fs::read_dir(root).into_iter().flatten().filter_map(Result::ok);
    for entry in entries {
        // Not through a link, which may lead anywhere.
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if !is_folder || !entry.file_name().to_string_lossy().starts_with(MEMORY_PREFIX) {
            continue;
        }
        let removed = abandoned(&entry.path()).and_then(|lock| match lock {
            Some(_lock) => std::fs::remove_dir_all(entry.path()),
            None => Ok(()),
        });
        if let Err(error) = removed {
            tracing::debug!(%error, path = %entry.path().display(), "left a forgotten folder alone");
        }
    }
}

/// The lock of a folder that nobody uses and nobody wants back.
fn abandoned(path: &Path) -> io::Result<Option<File>> {
    let mut marker = OpenOptions::new().read(true).write(true).open(path.join(MARKER))?;
    match marker.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(error)) => return Err(error),
    }
    let mut said = String::new();
    marker.read_to_string(&mut said)?;
    // Its maker may be about to take the lock: then it says nothing yet.
    Ok((said == FORGET).then_some(marker))
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
    fn a_folder_in_memory_goes_with_its_run_and_takes_those_of_the_killed_along() {
        let root = tempfile::tempdir().expect("temp dir");
        let folder = |name: &str, says: &str| {
            let path = root.path().join(name);
            std::fs::create_dir(&path).expect("folder");
            std::fs::write(path.join(MARKER), says).expect("marker");
            path
        };
        let killed = folder("lakebed-memory-killed", FORGET);
        let kept = folder("lakebed-memory-kept", "");
        let other = folder("other", FORGET);
        let linked = root.path().join("lakebed-memory-link");
        std::os::unix::fs::symlink(&other, &linked).expect("link");
        let alive = RunDir::forgotten_in(root.path(), true).expect("first");
        assert!(!killed.exists() && kept.exists());
        let second = RunDir::forgotten_in(root.path(), true).expect("second");
        assert!(alive.path().exists() && other.join(MARKER).exists() && linked.exists(), "not ours to remove");
        let path = second.path().to_owned();
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn memory_is_what_the_kernel_says_is_memory() {
        let shm = Path::new("/dev/shm");
        assert!(is_memory(shm, "udev /dev devtmpfs rw 0 0\ntmpfs /dev/shm tmpfs rw,size=65536k 0 0\n"));
        assert!(!is_memory(shm, "udev /dev devtmpfs rw 0 0\ntmpfs /dev/shm/inner tmpfs rw 0 0\n"));
        assert!(!is_memory(shm, "shm /dev/shm tmpfs rw 0 0\n/dev/vda /dev/shm ext4 rw 0 0\n"), "mounted over");
        assert!(!is_memory(shm, ""));
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

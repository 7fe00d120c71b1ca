//! Local copies of immutable data files, keyed by location, in a scratch folder.
//!
//! Promises: downloads at most [`DOWNLOADS_MAX`] at once; keeps at most [`CACHE_BYTES_MAX`] that nobody is using; a copy stays on
//! disk as long as somebody holds its [`LocalFile`]; the folder goes when the cache goes. Relies on the rule that a location is
//! written once: bronze keys and Iceberg data files are.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::{StreamExt, TryStreamExt, stream};
use iceberg::io::FileIO;

use crate::error::{Attempt, Result, WarehouseError};

/// Downloads at once.
pub(crate) const DOWNLOADS_MAX: usize = 8;
/// Bytes of local copies kept for later use.
pub(crate) const CACHE_BYTES_MAX: u64 = 2 << 30;

/// A local copy. The file is removed when the last holder lets go.
pub(crate) struct LocalFile {
    path: PathBuf,
    bytes: u64,
    // Keeps the folder while a copy is in use.
    _folder: Arc<tempfile::TempDir>,
}

impl LocalFile {
    /// Where the copy is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for LocalFile {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, "a scratch file could not be removed");
        }
    }
}

struct Entry {
    file: Arc<LocalFile>,
    used: u64,
}

/// The cache.
pub(crate) struct FileCache {
    io: FileIO,
    folder: Arc<tempfile::TempDir>,
    entries: Mutex<HashMap<String, Entry>>,
    ticks: AtomicU64,
    bytes_max: u64,
}

impl FileCache {
    /// A cache in a fresh folder under `scratch`.
    pub(crate) fn new(io: FileIO, scratch: &Path, bytes_max: u64) -> Result<Self> {
        let make = || {
            std::fs::create_dir_all(scratch)?;
            tempfile::Builder::new().prefix("warehouse-").tempdir_in(scratch)
        };
        let folder = make().attempt(|| format!("make a scratch folder in `{}`", scratch.display()))?;
        let entries = Mutex::new(HashMap::new());
        Ok(Self { io, folder: Arc::new(folder), entries, ticks: AtomicU64::new(0), bytes_max })
    }

    /// The scratch folder, for spill files and the like.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Local copies of `locations`, in their order.
    pub(crate) async fn fetch(&self, locations: impl IntoIterator<Item = String>) -> Result<Vec<Arc<LocalFile>>> {
        let fetches: Vec<_> = locations.into_iter().map(|location| self.fetch_one(location)).collect();
        stream::iter(fetches).buffered(DOWNLOADS_MAX).try_collect().await
    }

    async fn fetch_one(&self, location: String) -> Result<Arc<LocalFile>> {
        if let Some(entry) = self.lock().get_mut(&location) {
            entry.used = self.ticks.fetch_add(1, Ordering::Relaxed);
            return Ok(entry.file.clone());
        }
        let failed = || format!("read `{location}`");
        let bytes = self.io.new_input(&location).attempt(failed)?.read().await.attempt(failed)?;
        let path = self.fresh_path();
        let written = {
            let (path, bytes) = (path.clone(), bytes.clone());
            tokio::task::spawn_blocking(move || std::fs::write(path, bytes)).await.map_err(WarehouseError::Task)?
        };
        written.attempt(|| format!("write scratch file `{}`", path.display()))?;
        Ok(self.adopt(location, path, bytes.len() as u64))
    }

    /// A path for a file that is about to be written here.
    pub(crate) fn fresh_path(&self) -> PathBuf {
        self.folder.path().join(format!("{}.parquet", self.ticks.fetch_add(1, Ordering::Relaxed)))
    }

    /// Takes a file at a [`FileCache::fresh_path`] as the local copy of `location`.
    pub(crate) fn adopt(&self, location: String, path: PathBuf, bytes: u64) -> Arc<LocalFile> {
        let file = Arc::new(LocalFile { path, bytes, _folder: self.folder.clone() });
        let used = self.ticks.fetch_add(1, Ordering::Relaxed);
        let mut entries = self.lock();
        entries.insert(location, Entry { file: file.clone(), used });
        let mut total: u64 = entries.values().map(|entry| entry.file.bytes).sum();
        while total > self.bytes_max && entries.len() > 1 {
            let Some(oldest) = entries.iter().min_by_key(|(_, entry)| entry.used).map(|(key, _)| key.clone()) else {
                break;
            };
            if let Some(entry) = entries.remove(&oldest) {
                total -= entry.file.bytes;
            }
        }
        file
    }

    /// Lets go of copies whose originals are no longer referenced.
    pub(crate) fn forget<'a>(&self, locations: impl IntoIterator<Item = &'a String>) {
        let mut entries = self.lock();
        for location in locations {
            entries.remove(location);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn copies_are_bounded_but_stay_while_they_are_used() {
        let folder = tempfile::tempdir().expect("folder");
        let location = |n: u32| format!("file://{}/{n}", folder.path().display());
        for n in 0..3 {
            std::fs::write(folder.path().join(n.to_string()), vec![0; 100]).expect("written");
        }
        let cache = FileCache::new(FileIO::new_with_fs(), &folder.path().join("scratch"), 150).expect("cache");
        let first = cache.fetch([location(0)]).await.expect("read").remove(0);
        let path = first.path().to_owned();
        cache.fetch([location(1)]).await.expect("read");
        assert!(path.exists(), "evicted, but still held");
        drop(first);
        assert!(!path.exists(), "nobody holds it");
        assert!(cache.fetch([location(9)]).await.is_err());
        let scratch = cache.folder().to_owned();
        drop(cache);
        assert!(!scratch.exists());
    }
}

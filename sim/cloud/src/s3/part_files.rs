//! Files of parts: read while an upload is completed, removed when nobody needs them any more.
//!
//! A part may be replaced, or its upload aborted, while a completion reads it. Such a file stays until its last reader
//! let it go, so a completion joins exactly the parts it found in the index. Knows no index: who is going to read a
//! file takes hold of it under the lock of the index that names it.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The directory of parts, and who reads what in it.
pub(super) struct PartFiles {
    directory: PathBuf,
    in_use: Mutex<BTreeMap<String, Use>>,
}

#[derive(Default)]
struct Use {
    readers: usize,
    /// To be removed when the last reader is done.
    is_unwanted: bool,
}

/// Files that stay until this is dropped.
pub(super) struct Held<'a> {
    files: &'a PartFiles,
    names: Vec<String>,
}

impl PartFiles {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, in_use: Mutex::default() }
    }

    /// Where a part lies.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Keeps files from being removed.
    pub(super) fn hold(&self, names: Vec<String>) -> Held<'_> {
        let mut in_use = self.in_use();
        for name in &names {
            in_use.entry(name.clone()).or_default().readers += 1;
        }
        drop(in_use);
        Held { files: self, names }
    }

    /// Removes files that the index no longer names, as soon as nobody reads them.
    ///
    /// Whoever calls has changed the index already, and that decides the answer: a file that cannot be removed is
    /// logged and swept at the next start.
    pub(super) fn remove(&self, names: &[String]) {
        let mut in_use = self.in_use();
        let mut unread = Vec::new();
        for name in names {
            match in_use.get_mut(name) {
                Some(used) => used.is_unwanted = true,
                None => unread.push(name),
            }
        }
        // Nobody can take hold of them any more, and whoever takes hold of others holds the index and must not wait.
        drop(in_use);
        unread.into_iter().for_each(|name| self.unlink(name));
    }

    fn unlink(&self, name: &str) {
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                tracing::warn!(%error, part = name, "failed to remove a part");
            }
            _ => (),
        }
    }

    fn in_use(&self) -> MutexGuard<'_, BTreeMap<String, Use>> {
        // Counting cannot panic half way.
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut in_use = self.files.in_use();
        let mut unread = Vec::new();
        for name in &self.names {
            let Some(used) = in_use.get_mut(name) else { continue };
            used.readers -= 1;
            if used.readers == 0 && in_use.remove(name).is_some_and(|used| used.is_unwanted) {
                unread.push(name);
            }
        }
        drop(in_use);
        unread.into_iter().for_each(|name| self.files.unlink(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_stays_until_its_last_reader_is_done() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = PartFiles::new(dir.path().to_owned());
        let names = ["a".to_owned(), "b".to_owned()];
        for name in &names {
            fs::write(files.path(name), b"x").expect("written");
        }
        let (first, second) = (files.hold(names.to_vec()), files.hold(vec!["a".to_owned()]));
        files.remove(&["a".to_owned()]);
        drop(first);
        assert!(files.path("a").exists(), "the second reader still reads it");
        drop(second);
        assert!(!files.path("a").exists() && files.path("b").exists());
        assert!(files.in_use().is_empty());
    }

    #[test]
    fn what_is_gone_counts_as_removed() {
        let dir = tempfile::tempdir().expect("a directory");
        let files = PartFiles::new(dir.path().to_owned());
        fs::write(files.path("b"), b"x").expect("written");
        files.remove(&["a".to_owned(), "b".to_owned()]);
        assert!(!files.path("b").exists());
    }
}

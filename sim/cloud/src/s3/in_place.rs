//! Files of objects: put in place, removed, and repaired after a process died between a file and its index entry.

use std::fs;
use std::path::{Path, PathBuf};

use super::index::{Index, Intent, OpenIntent};
use crate::error::CloudError;

/// Renames a staging file to its place, making directories on the way.
pub(super) fn put_in_place(staged: &Path, bucket_dir: &Path, file: &str) -> std::io::Result<()> {
    let target = bucket_dir.join(file);
    if let Some(parent) = target.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::rename(staged, target)
}

/// Removes a file and the directories it leaves empty. A missing file is as good as a removed one.
pub(super) fn remove_in_place(bucket_dir: &Path, file: &str) -> std::io::Result<()> {
    let path = bucket_dir.join(file);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => (),
    }
    let parents = path.ancestors().skip(1).take_while(|parent| *parent != bucket_dir);
    for parent in parents {
        // A directory that is not empty ends the walk; so does one that is gone.
        if fs::remove_dir(parent).is_err() {
            break;
        }
    }
    Ok(())
}

/// Finishes or forgets what was about to happen when a process died or a change failed. Whatever happened to the key
/// later wins. Gives whether an event became due by it.
pub(super) fn repair(index: &mut Index, objects: &Path, staging: &Path, open: OpenIntent) -> Result<bool, RepairError> {
    let OpenIntent { id, bucket, key, intent } = open;
    let bucket_dir = objects.join(&bucket);
    let current = index.object(&bucket, &key)?;
    match intent {
        Intent::Put { staged, record, event } => {
            let was_renamed = !staging.join(&staged).exists() && bucket_dir.join(&record.file).is_file();
            let is_newest = current.is_none_or(|current| current.sequence < record.sequence);
            if was_renamed && is_newest {
                index.finish_put(id, &bucket, &key, &record, event.as_ref())?;
                return Ok(event.is_some());
            }
        }
        Intent::Delete { file } => {
            if current.is_none_or(|current| current.file != file) {
                remove_in_place(&bucket_dir, &file)
                    .map_err(|source| RepairError::File { path: bucket_dir.join(&file), source })?;
            }
        }
    }
    index.forget_intent(id)?;
    Ok(false)
}

/// What kept a repair from being made.
#[derive(Debug)]
pub(super) enum RepairError {
    Metadata(rusqlite::Error),
    File { path: PathBuf, source: std::io::Error },
}

impl From<rusqlite::Error> for RepairError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Metadata(error)
    }
}

/// Removes the files of a directory that are not to be kept.
pub(super) fn sweep(directory: &Path, keep: impl Fn(&str) -> bool) -> Result<(), CloudError> {
    for entry in fs::read_dir(directory).map_err(CloudError::state("list", directory))? {
        let entry = entry.map_err(CloudError::state("list", directory))?;
        if !keep(&entry.file_name().to_string_lossy()) {
            fs::remove_file(entry.path()).map_err(CloudError::state("remove", entry.path()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lakebed_contract::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::s3::index::ObjectRecord;

    /// A state with object `k` of version 1, and a write of version 2 that stopped at `staged` (rename not made) or not.
    struct Interrupted {
        dir: tempfile::TempDir,
        index: Index,
    }

    fn record(sequence: i64) -> ObjectRecord {
        ObjectRecord {
            file: "k".to_owned(),
            size: 1,
            etag: sequence.to_string(),
            last_modified: Timestamp(sequence),
            sequence,
            checksums: Default::default(),
            headers: Default::default(),
            parts: Vec::new(),
        }
    }

    impl Interrupted {
        fn new(intent: &Intent, staged: bool) -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            fs::create_dir_all(dir.path().join("s3/b")).expect("made");
            fs::create_dir_all(dir.path().join("staging")).expect("made");
            fs::write(dir.path().join("s3/b/k"), b"1").expect("written");
            if staged {
                fs::write(dir.path().join("staging/new"), b"2").expect("written");
            }
            let mut index = Index::open(&dir.path().join("index")).expect("opens");
            let first = index.begin_put("b", "k", &Intent::Delete { file: String::new() }).expect("begun");
            index.finish_put(first, "b", "k", &record(1), None).expect("finished");
            index.begin_put("b", "k", intent).expect("begun");
            Self { dir, index }
        }

        /// Repairs; gives the version in the index and the number of events that are due.
        fn repaired(&mut self) -> (i64, u64) {
            for open in self.index.intents().expect("listed") {
                let (objects, staging) = (self.dir.path().join("s3"), self.dir.path().join("staging"));
                repair(&mut self.index, &objects, &staging, open).expect("repaired");
            }
            assert!(self.index.intents().expect("listed").is_empty(), "an intent is left");
            let version = self.index.object("b", "k").expect("looked up").map_or(0, |record| record.sequence);
            (version, self.index.outbox_count().expect("counted"))
        }
    }

    fn put(sequence: i64) -> Intent {
        Intent::Put { staged: "new".to_owned(), record: Box::new(record(sequence)), event: Some(json!({})) }
    }

    #[test]
    fn a_write_that_was_not_renamed_is_forgotten() {
        assert_eq!(Interrupted::new(&put(2), true).repaired(), (1, 0));
    }

    #[test]
    fn a_write_that_was_renamed_is_finished_and_its_event_is_due() {
        assert_eq!(Interrupted::new(&put(2), false).repaired(), (2, 1));
    }

    #[test]
    fn an_older_write_does_not_beat_what_came_later() {
        assert_eq!(Interrupted::new(&put(0), false).repaired(), (1, 0));
    }

    #[test]
    fn a_delete_is_finished_unless_the_key_was_written_again() {
        let delete = Intent::Delete { file: "k".to_owned() };
        let mut rewritten = Interrupted::new(&delete, false);
        assert_eq!(rewritten.repaired(), (1, 0));
        assert!(rewritten.dir.path().join("s3/b/k").exists());
        let mut deleted = Interrupted::new(&delete, false);
        deleted.index.begin_delete("b", "k", "k").expect("begun");
        assert_eq!(deleted.repaired(), (0, 0));
        assert!(!deleted.dir.path().join("s3/b/k").exists());
    }
}

//! The looks of a watch: in memory, and line by line in a file where they must outlive the process.
//!
//! ```text
//! {"from":26738688}                                    where change capture began
//! {"acknowledged":…,"held":{"shardId-…":"49…"}}        one look
//! ```
//!
//! A line that a killed process left half written is dropped. At most [`SAMPLES_MAX`] looks are kept; the newest is never thinned out.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use lakebed_contract::Lsn;
use serde::{Deserialize, Serialize};

use super::SAMPLES_MAX;
use crate::error::HarnessError;
use crate::judge::{SlotHistory, SlotSample};

#[derive(Serialize, Deserialize)]
struct From {
    from: Lsn,
}

/// The looks so far.
#[derive(Debug)]
pub(super) struct Notes {
    from: Lsn,
    samples: Vec<SlotSample>,
    /// Looks taken by processes before this one.
    inherited: usize,
    resumed: bool,
    file: Option<(PathBuf, File)>,
}

impl Notes {
    /// Begins anew, or goes on with what an earlier process left.
    pub(super) fn open(path: Option<&Path>, from: Lsn, resumed: bool) -> Result<Self, HarnessError> {
        let mut notes = Self { from, samples: Vec::new(), inherited: 0, resumed, file: None };
        let Some(path) = path else { return Ok(notes) };
        if resumed && let Some((began, samples)) = read(path)? {
            notes.inherited = samples.len();
            (notes.from, notes.samples) = (began, samples);
        }
        notes.rewrite(path).map_err(HarnessError::file("write", path))?;
        Ok(notes)
    }

    /// Adds a look.
    pub(super) fn add(&mut self, sample: SlotSample) -> io::Result<()> {
        if let Some((_, file)) = &mut self.file {
            writeln!(file, "{}", line(&sample))?;
        }
        self.samples.push(sample);
        if self.samples.len() > SAMPLES_MAX {
            self.thin_out();
            if let Some((path, _)) = self.file.take() {
                self.rewrite(&path)?;
            }
        }
        Ok(())
    }

    /// Everything but the commits.
    pub(super) fn history(&self) -> SlotHistory {
        let mut notes = Vec::new();
        if self.resumed {
            notes.push(format!("resumed; {} of the looks were taken before the restart", self.inherited));
        }
        SlotHistory { from: self.from, samples: self.samples.clone(), notes, ..SlotHistory::default() }
    }

    /// Whether there is a file.
    pub(super) fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// Removes the file.
    pub(super) fn remove(&mut self) -> Result<(), HarnessError> {
        let Some((path, _)) = self.file.take() else { return Ok(()) };
        std::fs::remove_file(&path).map_err(HarnessError::file("remove", path))
    }

    /// Keeps every second look, counted from the newest.
    fn thin_out(&mut self) {
        let newest = self.samples.len() - 1;
        let mut at = 0;
        self.samples.retain(|_| {
            at += 1;
            (newest + 1 - at).is_multiple_of(2)
        });
    }

    fn rewrite(&mut self, path: &Path) -> io::Result<()> {
        let making = path.with_extension("making");
        let mut file = File::create(&making)?;
        writeln!(file, "{}", line(&From { from: self.from }))?;
        for sample in &self.samples {
            writeln!(file, "{}", line(sample))?;
        }
        std::fs::rename(&making, path)?;
        self.file = Some((path.to_owned(), OpenOptions::new().append(true).open(path)?));
        Ok(())
    }
}

fn line(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("positions are plain data")
}

/// What an earlier process left; `None` when there is nothing to go on with.
fn read(path: &Path) -> Result<Option<(Lsn, Vec<SlotSample>)>, HarnessError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(HarnessError::file("read", path)(error)),
    };
    let mut lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
    let Some(From { from }) = lines.next().and_then(|line| serde_json::from_slice(&line).ok()) else {
        return Ok(None);
    };
    Ok(Some((from, lines.map_while(|line| serde_json::from_slice(&line).ok()).collect())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::{SequenceNumber, ShardPlaces};

    fn look(acknowledged: u64) -> SlotSample {
        let held = ShardPlaces::from([("a".to_owned(), SequenceNumber(acknowledged.to_string()))]);
        SlotSample { acknowledged: Lsn(acknowledged), held }
    }

    fn positions(notes: &Notes) -> Vec<u64> {
        notes.history().samples.iter().map(|sample| sample.acknowledged.0).collect()
    }

    #[test]
    fn looks_outlive_the_process_and_a_torn_line_does_not() {
        let folder = tempfile::tempdir().expect("temp dir");
        let path = folder.path().join("notes");
        let mut notes = Notes::open(Some(&path), Lsn(5), false).expect("opens");
        notes.add(look(6)).expect("writes");
        notes.add(look(7)).expect("writes");
        drop(notes);
        let mut file = OpenOptions::new().append(true).open(&path).expect("opens");
        file.write_all(b"{\"acknowledged\":8,\"he").expect("writes");
        let mut notes = Notes::open(Some(&path), Lsn(7), true).expect("opens");
        assert_eq!((notes.history().from, positions(&notes)), (Lsn(5), vec![6, 7]));
        notes.add(look(9)).expect("writes");
        drop(notes);
        let notes = Notes::open(Some(&path), Lsn(9), true).expect("opens");
        assert_eq!(positions(&notes), [6, 7, 9]);
        assert_eq!(notes.history().notes, ["resumed; 3 of the looks were taken before the restart"]);
        let mut fresh = Notes::open(Some(&path), Lsn(50), false).expect("opens");
        assert_eq!((fresh.history().from, positions(&fresh)), (Lsn(50), vec![]));
        fresh.remove().expect("removes");
        assert!(!path.exists());
    }

    #[test]
    fn thinning_keeps_the_newest() {
        let mut notes = Notes::open(None, Lsn(0), false).expect("opens");
        for position in 0..=SAMPLES_MAX as u64 {
            notes.add(look(position)).expect("memory");
        }
        let kept = positions(&notes);
        assert_eq!(kept.len(), SAMPLES_MAX / 2 + 1);
        assert_eq!((kept[0], kept[kept.len() - 1]), (0, SAMPLES_MAX as u64));
    }
}

//! A reading of a shard's log: planned while the log is held, done when it is not.
//!
//! The plan has its files open, so what is deleted meanwhile is read all the same, and appends go on beside the disk. A record is
//! borrowed from the bytes that were read. Knows nothing of what is read for.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use lakebed_contract::Timestamp;

use super::frame::{StoredRecord, next_frame, read_payload};
use super::segment_scan::Entry;

/// What is to be read.
pub(super) struct Reading {
    runs: Vec<Run>,
    /// Arrival of the first record behind what is read.
    pub(super) next_arrival: Option<Timestamp>,
}

/// Neighbouring frames of one segment.
struct Run {
    file: File,
    entries: Vec<Entry>,
}

impl Reading {
    /// Nothing yet.
    pub(super) fn new(next_arrival: Option<Timestamp>) -> Self {
        Self { runs: Vec::new(), next_arrival }
    }

    /// Adds neighbouring frames of a segment.
    pub(super) fn add(&mut self, file: File, entries: Vec<Entry>) {
        self.runs.push(Run { file, entries });
    }

    /// Reads, and gives what `take` makes of each record.
    pub(super) fn read<T>(self, mut take: impl FnMut(StoredRecord<'_>) -> T) -> io::Result<Vec<T>> {
        let mut taken = Vec::with_capacity(self.runs.iter().map(|run| run.entries.len()).sum());
        for run in self.runs {
            run.read(|record| taken.push(take(record)))?;
        }
        Ok(taken)
    }
}

impl Run {
    fn read(mut self, mut take: impl FnMut(StoredRecord<'_>)) -> io::Result<()> {
        let (Some(first), Some(last)) = (self.entries.first(), self.entries.last()) else { return Ok(()) };
        let damaged = || io::Error::new(io::ErrorKind::InvalidData, "a frame of the shard log is damaged");
        let length = (u64::from(last.offset) + u64::from(last.length)).checked_sub(u64::from(first.offset));
        let mut frames = vec![0; usize::try_from(length.ok_or_else(damaged)?).map_err(io::Error::other)?];
        self.file.seek(SeekFrom::Start(u64::from(first.offset)))?;
        self.file.read_exact(&mut frames)?;
        let mut rest = frames.as_slice();
        for entry in &self.entries {
            let (payload, behind) = next_frame(rest).ok_or_else(damaged)?;
            let record = read_payload(payload)?;
            if record.sequence != entry.sequence {
                return Err(damaged());
            }
            take(record);
            rest = behind;
        }
        Ok(())
    }
}

//! The log of one shard: append-only segment files, and an index of what is in them.
//!
//! A segment is named by the first sequence it may hold, a new log's by the first sequence of its shard. When a segment is
//! closed, an index file is written beside it, so that opening a log reads the indexes and the newest segment only, that one
//! in pieces; a segment whose index is missing or damaged is scanned. Memory holds 24 bytes per record within the retention.
//!
//! When a log is opened, a last frame that was cut off, or a tail of zeros, is dropped; any other damage that the scan meets
//! is an error, and damage in a closed segment is one when its record is read. Records leave the index when they are too old; a
//! segment is deleted when all its records have left. The newest segment stays, because it remembers the last sequence, until
//! [`ShardLog::release`] puts an empty one in its place.
//!
//! Under [`Fsync::Always`] what is appended belongs to a [`Round`]: it is not read before the round is flushed, so that no
//! reader sees what a power cut takes back. After a failed flush the log takes nothing more until it is opened again. The
//! names of segments are flushed before anything in them is.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lakebed_contract::Timestamp;

use super::frame::{NewRecord, write_frame};
use super::group_commit::Round;
use super::reading::Reading;
use super::segment::{
    Recovery, Segment, index_path, open_closed, open_newest, open_segment, segment_names, segment_path,
};
use super::segment_index::{self, SegmentEnd};
use super::segment_scan::Entry;
use crate::config::Fsync;
use crate::durability::sync_dir;
use crate::error::CloudError;

/// A segment that reached this size is followed by a new one.
pub const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A newest segment smaller than this is not worth replacing when its records are gone.
const RELEASED_BYTES_MIN: u64 = 1024 * 1024;

/// How far a log goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tip {
    /// Of the newest record, or what the next one will be greater than.
    pub(super) sequence: u64,
    /// Of the newest record; long ago when there is none.
    pub(super) arrival: Timestamp,
}

/// A flush that is under way.
pub(super) struct Flushing {
    pub(super) file: Arc<File>,
    round: Arc<Round>,
    through: u64,
}

/// A shard's log, open for appending and reading.
pub(super) struct ShardLog {
    dir: PathBuf,
    fsync: Fsync,
    segments: VecDeque<Segment>,
    writer: Arc<File>,
    last_sequence: u64,
    last_arrival: Timestamp,
    /// What waits for its fsync under [`Fsync::Always`].
    round: Arc<Round>,
    /// The last sequence on the disk, as far as that is looked after.
    flushed_sequence: u64,
    /// Whether a flush failed under [`Fsync::Always`].
    is_broken: bool,
    /// Whether an append that failed may have left bytes behind the newest segment's end.
    has_leftovers: bool,
}

impl ShardLog {
    /// Opens the log in `dir`, or makes one whose first record will have `first_sequence` or a greater one.
    pub(super) fn open(dir: &Path, first_sequence: u64, fsync: Fsync) -> Result<(Self, Recovery), CloudError> {
        fs::create_dir_all(dir).map_err(CloudError::state("create", dir))?;
        let mut firsts = segment_names(dir)?;
        let newest = firsts.pop().unwrap_or(first_sequence);
        let mut recovery = Recovery::default();
        let mut segments = VecDeque::with_capacity(firsts.len() + 1);
        for first in firsts {
            segments.push_back(open_closed(dir, first, &mut recovery)?);
        }
        let last_arrival = segments.back().map_or(Timestamp(i64::MIN), |segment: &Segment| segment.last_arrival);
        let (newest, writer) = open_newest(dir, newest, last_arrival, &mut recovery)?;
        if fsync.flushes() {
            // What a process with another policy left behind is shown from now on, so it must be there for good.
            writer.sync_data().map_err(CloudError::state("flush", dir))?;
            sync_dir(dir).map_err(CloudError::state("flush", dir))?;
        }
        tracing::debug!(read_bytes = recovery.read_bytes, segments = segments.len() + 1, "opened a shard log");
        let last_sequence = newest.entries.back().map_or(newest.first.saturating_sub(1), |entry| entry.sequence);
        let last_arrival = newest.last_arrival;
        segments.push_back(newest);
        let log = Self {
            dir: dir.to_owned(),
            fsync,
            segments,
            writer: Arc::new(writer),
            last_sequence,
            last_arrival,
            round: Arc::default(),
            flushed_sequence: last_sequence,
            is_broken: false,
            has_leftovers: false,
        };
        Ok((log, recovery))
    }

    /// Appends records with one write; gives their sequences, all greater than `above`. After an error nothing was appended.
    /// How safe they are is another matter: see [`ShardLog::round`].
    pub(super) fn append(&mut self, records: Vec<NewRecord>, now: Timestamp, above: u64) -> io::Result<Vec<u64>> {
        if self.is_broken {
            return Err(io::Error::other("a flush of the shard log failed; it takes nothing until the next start"));
        }
        self.cut_leftovers()?;
        self.roll()?;
        // Neither sequence nor arrival goes back when the clock does.
        let arrival = now.max(self.last_arrival);
        let mut sequence = self.last_sequence.max(above);
        let segment = self.segments.back_mut().expect("a log has at least one segment");
        let mut frames = Vec::with_capacity(records.iter().map(NewRecord::frame_bytes).sum());
        let mut entries = Vec::with_capacity(records.len());
        for record in &records {
            sequence = (sequence + 1).max(u64::try_from(now.0).unwrap_or(0));
            let offset = u32::try_from(segment.bytes + frames.len() as u64).map_err(io::Error::other)?;
            let length = write_frame(&mut frames, sequence, arrival, record)?;
            entries.push(Entry { sequence, arrival, offset, length });
        }
        if let Err(error) = (&*self.writer).write_all(&frames) {
            // A part of the frames may be there; the next append must not come behind it.
            self.has_leftovers = true;
            self.cut_leftovers()?;
            return Err(error);
        }
        segment.bytes += frames.len() as u64;
        segment.last_arrival = arrival;
        self.last_arrival = arrival;
        self.last_sequence = sequence;
        let sequences = entries.iter().map(|entry| entry.sequence).collect();
        segment.entries.extend(entries);
        Ok(sequences)
    }

    /// The flush that everything appended lately waits for before it may be answered; `None` when nothing waits.
    pub(super) fn round(&self) -> Option<Arc<Round>> {
        (self.fsync == Fsync::Always).then(|| Arc::clone(&self.round))
    }

    /// Begins to flush what was appended; the caller syncs the file without holding the log, then calls
    /// [`ShardLog::end_flush`]. `None` when there is nothing to flush, or nothing left that could be.
    pub(super) fn begin_flush(&mut self) -> Option<Flushing> {
        let round = std::mem::take(&mut self.round);
        if self.is_broken || self.flushed_sequence >= self.last_sequence {
            // Closing a segment flushes too, and then the round has nothing left to wait for.
            round.decide(!self.is_broken);
            return None;
        }
        Some(Flushing { file: Arc::clone(&self.writer), round, through: self.last_sequence })
    }

    /// Ends a flush with what syncing the file gave.
    pub(super) fn end_flush(&mut self, flushing: &Flushing, is_on_disk: bool) {
        if is_on_disk {
            self.flushed_sequence = self.flushed_sequence.max(flushing.through);
        } else if self.fsync == Fsync::Always {
            self.is_broken = true;
        }
        flushing.round.decide(is_on_disk);
    }

    /// Cuts the newest segment where its records end, if there may be more. Until that succeeds nothing is appended.
    fn cut_leftovers(&mut self) -> io::Result<()> {
        if self.has_leftovers {
            self.writer.set_len(self.segments.back().map_or(0, |newest| newest.bytes))?;
            self.has_leftovers = false;
        }
        Ok(())
    }

    fn roll(&mut self) -> io::Result<()> {
        let newest = self.segments.back().expect("a log has at least one segment");
        if newest.bytes < SEGMENT_BYTES_MAX {
            return Ok(());
        }
        self.start_segment()
    }

    /// Closes the newest segment and starts one behind it.
    fn start_segment(&mut self) -> io::Result<()> {
        self.cut_leftovers()?;
        if self.fsync.flushes() {
            // Flushes look at the newest segment only.
            if let Err(error) = self.writer.sync_data() {
                self.is_broken = self.fsync == Fsync::Always;
                return Err(error);
            }
            self.flushed_sequence = self.last_sequence;
        }
        let newest = self.segments.back_mut().expect("a log has at least one segment");
        newest.entries.shrink_to_fit();
        let end = SegmentEnd { first: newest.first, bytes: newest.bytes, last_arrival: newest.last_arrival };
        segment_index::keep(&index_path(&self.dir, end.first), end, &newest.entries);
        let first = self.last_sequence + 1;
        let writer = open_segment(&segment_path(&self.dir, first))?;
        if self.fsync.flushes() {
            sync_dir(&self.dir)?;
        }
        self.writer = Arc::new(writer);
        let last_arrival = self.last_arrival;
        self.segments.push_back(Segment { first, bytes: 0, last_arrival, entries: VecDeque::new() });
        Ok(())
    }

    /// Forgets records that arrived before `horizon`.
    pub(super) fn trim(&mut self, horizon: Timestamp) -> io::Result<()> {
        for segment in &mut self.segments {
            while segment.entries.front().is_some_and(|entry| entry.arrival < horizon) {
                segment.entries.pop_front();
            }
            if !segment.entries.is_empty() {
                break;
            }
        }
        while self.segments.len() > 1 && self.segments.front().is_some_and(|segment| segment.last_arrival < horizon) {
            self.remove_oldest()?;
        }
        Ok(())
    }

    /// Gives back the bytes of the newest segment when all its records were forgotten and they are many. The others go with
    /// [`ShardLog::trim`].
    pub(super) fn release(&mut self) -> io::Result<()> {
        let is_large = self.segments.back().is_some_and(|newest| newest.bytes >= RELEASED_BYTES_MIN);
        if !is_large || self.segments.iter().any(|segment| !segment.entries.is_empty()) {
            return Ok(());
        }
        self.start_segment()?;
        while self.segments.len() > 1 {
            self.remove_oldest()?;
        }
        Ok(())
    }

    /// An index that is left behind without its segment is removed when the log is opened.
    fn remove_oldest(&mut self) -> io::Result<()> {
        let Some(oldest) = self.segments.pop_front() else { return Ok(()) };
        fs::remove_file(segment_path(&self.dir, oldest.first))?;
        match fs::remove_file(index_path(&self.dir, oldest.first)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// How far the log goes.
    pub(super) fn tip(&self) -> Tip {
        Tip { sequence: self.last_sequence, arrival: self.last_arrival }
    }

    /// The sequence of the first record that arrived at `at` or later; behind the newest when there is none.
    pub(super) fn sequence_at(&self, at: Timestamp) -> u64 {
        let older = self.segments.partition_point(|segment| segment.last_arrival < at);
        let mut found = self.segments.range(older..).filter_map(|segment| {
            let position = segment.entries.partition_point(|entry| entry.arrival < at);
            segment.entries.get(position)
        });
        found.next().map_or(self.last_sequence + 1, |entry| entry.sequence)
    }

    /// Plans to read from sequence `from` on: at most `limit` records, at most `bytes_max` bytes of frames, but at least one
    /// record if any.
    pub(super) fn plan(&self, from: u64, limit: usize, bytes_max: u64) -> io::Result<Reading> {
        let mut wanted: Vec<(u64, Entry)> = Vec::new();
        let mut next_arrival = None;
        let mut bytes = 0;
        for (segment, entry) in self.entries_from(from) {
            bytes += u64::from(entry.length);
            if wanted.len() == limit || (bytes > bytes_max && !wanted.is_empty()) {
                next_arrival = Some(entry.arrival);
                break;
            }
            wanted.push((segment, entry));
        }
        let mut reading = Reading::new(next_arrival);
        for run in wanted.chunk_by(|(one, _), (two, _)| one == two) {
            let Some((segment, _)) = run.first() else { continue };
            let file = File::open(segment_path(&self.dir, *segment))?;
            reading.add(file, run.iter().map(|(_, entry)| *entry).collect());
        }
        Ok(reading)
    }

    /// What may be read from sequence `from` on, with the first sequence of its segment.
    fn entries_from(&self, from: u64) -> impl Iterator<Item = (u64, Entry)> {
        let last = if self.fsync == Fsync::Always { self.flushed_sequence } else { self.last_sequence };
        let behind = self.segments.partition_point(|segment| segment.first <= from);
        let entries = self.segments.range(behind.saturating_sub(1)..).flat_map(move |segment| {
            let start = segment.entries.partition_point(|entry| entry.sequence < from);
            segment.entries.range(start..).map(move |entry| (segment.first, *entry))
        });
        entries.take_while(move |(_, entry)| entry.sequence <= last)
    }
}

#[cfg(test)]
#[path = "shard_log_tests.rs"]
mod tests;

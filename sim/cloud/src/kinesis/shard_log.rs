//! The log of one shard: append-only segment files, and an index of what is in them.
//!
//! A segment is named by the first sequence it may hold, a new log's by the first sequence of its shard. When a
//! log is opened, a last frame that was cut off, or a tail of zeros, is dropped; any other damage is an error. Records
//! leave the index when they are too old; a segment is deleted when all its records have left. The newest segment stays,
//! because it remembers the last sequence, until [`ShardLog::release`] puts an empty one in its place. Appends are not fsynced.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use lakebed_contract::Timestamp;

use super::frame::{Damage, NewRecord, StoredRecord, damage_of, next_frame, read_payload, write_frame};
use crate::error::CloudError;

/// A segment that reached this size is followed by a new one.
pub const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A newest segment smaller than this is not worth replacing when its records are gone.
const RELEASED_BYTES_MIN: u64 = 1024 * 1024;

const SEGMENT_SUFFIX: &str = ".log";

/// How far a log goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tip {
    /// Of the newest record, or what the next one will be greater than.
    pub(super) sequence: u64,
    /// Of the newest record; long ago when there is none.
    pub(super) arrival: Timestamp,
}

/// What a read found.
pub(super) struct ReadRecords {
    pub(super) records: Vec<StoredRecord>,
    /// Arrival of the first record behind them.
    pub(super) next_arrival: Option<Timestamp>,
}

/// A shard's log, open for appending and reading.
pub(super) struct ShardLog {
    dir: PathBuf,
    segments: VecDeque<Segment>,
    writer: File,
    index: VecDeque<Entry>,
    last_sequence: u64,
    last_arrival: Timestamp,
}

struct Segment {
    first: u64,
    bytes: u64,
    last_arrival: Timestamp,
}

#[derive(Clone, Copy)]
struct Entry {
    sequence: u64,
    arrival: Timestamp,
    /// `Segment::first` of the segment that holds the frame.
    segment: u64,
    offset: u64,
    /// Bytes of the whole frame.
    length: u32,
}

impl ShardLog {
    /// Opens the log in `dir`, or makes one whose first record will have `first_sequence` or a greater one; gives the number
    /// of bytes dropped from a torn tail.
    pub(super) fn open(dir: &Path, first_sequence: u64) -> Result<(Self, u64), CloudError> {
        fs::create_dir_all(dir).map_err(CloudError::state("create", dir))?;
        let mut firsts = segment_names(dir)?;
        if firsts.is_empty() {
            firsts.push(first_sequence);
        }
        let newest = firsts.last().copied().unwrap_or(0);
        let (mut segments, mut index) = (VecDeque::new(), VecDeque::new());
        let mut dropped = 0;
        let mut last_arrival = Timestamp(i64::MIN);
        for first in firsts {
            let path = segment_path(dir, first);
            let bytes =
                if path.exists() { fs::read(&path).map_err(CloudError::state("read", &path))? } else { Vec::new() };
            let scanned = scan(&bytes, first);
            if let Some(damage) = scanned.damage
                && (first != newest || damage == Damage::Inside)
            {
                return Err(CloudError::Corrupt { path, reason: format!("damaged at byte {}", scanned.sound_bytes) });
            }
            dropped += bytes.len() as u64 - scanned.sound_bytes;
            last_arrival = scanned.entries.last().map_or(last_arrival, |entry| entry.arrival);
            segments.push_back(Segment { first, bytes: scanned.sound_bytes, last_arrival });
            index.extend(scanned.entries);
        }
        let path = segment_path(dir, newest);
        let writer = open_segment(&path).map_err(CloudError::state("open", &path))?;
        let sound = segments.back().map_or(0, |segment| segment.bytes);
        writer.set_len(sound).map_err(CloudError::state("cut", &path))?;
        let last_sequence = index.back().map_or(newest.saturating_sub(1), |entry: &Entry| entry.sequence);
        Ok((Self { dir: dir.to_owned(), segments, writer, index, last_sequence, last_arrival }, dropped))
    }

    /// Appends records with one write; gives their sequences, all greater than `above`. After an error nothing was appended.
    pub(super) fn append(&mut self, records: Vec<NewRecord>, now: Timestamp, above: u64) -> io::Result<Vec<u64>> {
        self.roll()?;
        // Neither sequence nor arrival goes back when the clock does.
        let arrival = now.max(self.last_arrival);
        let mut sequence = self.last_sequence.max(above);
        let segment = self.segments.back_mut().expect("a log has at least one segment");
        let (mut frames, mut entries) = (Vec::new(), Vec::with_capacity(records.len()));
        for record in &records {
            sequence = (sequence + 1).max(u64::try_from(now.0).unwrap_or(0));
            let offset = segment.bytes + frames.len() as u64;
            let length = write_frame(&mut frames, sequence, arrival, record)?;
            entries.push(Entry { sequence, arrival, segment: segment.first, offset, length });
        }
        if let Err(error) = self.writer.write_all(&frames) {
            // A part of the frames may be there; the next append must not come behind it.
            self.writer.set_len(segment.bytes)?;
            return Err(error);
        }
        segment.bytes += frames.len() as u64;
        segment.last_arrival = arrival;
        self.last_arrival = arrival;
        self.last_sequence = sequence;
        let sequences = entries.iter().map(|entry| entry.sequence).collect();
        self.index.extend(entries);
        Ok(sequences)
    }

    fn roll(&mut self) -> io::Result<()> {
        let newest = self.segments.back().expect("a log has at least one segment");
        if newest.bytes < SEGMENT_BYTES_MAX {
            return Ok(());
        }
        self.start_segment()
    }

    fn start_segment(&mut self) -> io::Result<()> {
        let first = self.last_sequence + 1;
        self.writer = open_segment(&segment_path(&self.dir, first))?;
        self.segments.push_back(Segment { first, bytes: 0, last_arrival: self.last_arrival });
        Ok(())
    }

    /// Forgets records that arrived before `horizon`.
    pub(super) fn trim(&mut self, horizon: Timestamp) -> io::Result<()> {
        while self.index.front().is_some_and(|entry| entry.arrival < horizon) {
            self.index.pop_front();
        }
        while self.segments.len() > 1 && self.segments.front().is_some_and(|segment| segment.last_arrival < horizon) {
            let oldest = self.segments.pop_front().expect("there is more than one");
            fs::remove_file(segment_path(&self.dir, oldest.first))?;
        }
        Ok(())
    }

    /// Gives back the bytes of the newest segment when all its records were forgotten and they are many. The others go with
    /// [`ShardLog::trim`].
    pub(super) fn release(&mut self) -> io::Result<()> {
        let is_large = self.segments.back().is_some_and(|newest| newest.bytes >= RELEASED_BYTES_MIN);
        if !self.index.is_empty() || !is_large {
            return Ok(());
        }
        self.start_segment()?;
        while self.segments.len() > 1 {
            let oldest = self.segments.pop_front().expect("there is more than one");
            fs::remove_file(segment_path(&self.dir, oldest.first))?;
        }
        Ok(())
    }

    /// How far the log goes.
    pub(super) fn tip(&self) -> Tip {
        Tip { sequence: self.last_sequence, arrival: self.last_arrival }
    }

    /// The sequence of the first record that arrived at `at` or later; behind the newest when there is none.
    pub(super) fn sequence_at(&self, at: Timestamp) -> u64 {
        let position = self.index.partition_point(|entry| entry.arrival < at);
        self.index.get(position).map_or(self.last_sequence + 1, |entry| entry.sequence)
    }

    /// Records from sequence `from` on: at most `limit`, at most `bytes_max` bytes of frames, but at least one if any.
    pub(super) fn read(&self, from: u64, limit: usize, bytes_max: u64) -> io::Result<ReadRecords> {
        let start = self.index.partition_point(|entry| entry.sequence < from);
        let mut bytes = 0;
        let mut end = start;
        while let Some(entry) = self.index.get(end) {
            bytes += u64::from(entry.length);
            if end - start == limit || (bytes > bytes_max && end > start) {
                break;
            }
            end += 1;
        }
        let wanted: Vec<Entry> = self.index.range(start..end).copied().collect();
        let mut records = Vec::with_capacity(wanted.len());
        for run in wanted.chunk_by(|one, two| one.segment == two.segment) {
            self.read_run(run, &mut records)?;
        }
        Ok(ReadRecords { records, next_arrival: self.index.get(end).map(|entry| entry.arrival) })
    }

    /// Reads neighbouring frames of one segment.
    fn read_run(&self, run: &[Entry], records: &mut Vec<StoredRecord>) -> io::Result<()> {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(()) };
        let length = last.offset + u64::from(last.length) - first.offset;
        let mut frames = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        let mut file = File::open(segment_path(&self.dir, first.segment))?;
        file.seek(SeekFrom::Start(first.offset))?;
        file.read_exact(&mut frames)?;
        let mut rest = frames.as_slice();
        for _ in run {
            let Some((payload, behind)) = next_frame(rest) else {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame of the shard log is damaged"));
            };
            records.push(read_payload(payload)?);
            rest = behind;
        }
        Ok(())
    }
}

fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}{SEGMENT_SUFFIX}"))
}

fn open_segment(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn segment_names(dir: &Path) -> Result<Vec<u64>, CloudError> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(dir).map_err(CloudError::state("list", dir))? {
        let name = entry.map_err(CloudError::state("list", dir))?.file_name();
        let first = name.to_str().and_then(|name| name.strip_suffix(SEGMENT_SUFFIX)?.parse().ok());
        let reason =
            || CloudError::Corrupt { path: dir.join(&name), reason: "not a segment of a shard log".to_owned() };
        firsts.push(first.ok_or_else(reason)?);
    }
    firsts.sort_unstable();
    Ok(firsts)
}

struct Scanned {
    entries: Vec<Entry>,
    sound_bytes: u64,
    damage: Option<Damage>,
}

fn scan(bytes: &[u8], segment: u64) -> Scanned {
    let mut entries = Vec::new();
    let mut rest = bytes;
    while let Some((payload, behind)) = next_frame(rest) {
        let Ok(record) = read_payload(payload) else { break };
        let offset = (bytes.len() - rest.len()) as u64;
        let length = u32::try_from(rest.len() - behind.len()).expect("a payload has at most 16 MiB");
        entries.push(Entry { sequence: record.sequence, arrival: record.arrival, segment, offset, length });
        rest = behind;
    }
    let sound_bytes = (bytes.len() - rest.len()) as u64;
    let damage = (!rest.is_empty()).then(|| damage_of(rest));
    Scanned { entries, sound_bytes, damage }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::frame::{FRAME_HEADER_BYTES, PAYLOAD_HEADER_BYTES};

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    fn record(key: &str, data: &str) -> NewRecord {
        NewRecord { partition_key: key.to_owned(), data: data.as_bytes().to_vec() }
    }

    fn open(dir: &Path) -> (ShardLog, u64) {
        ShardLog::open(dir, 0).expect("opens")
    }

    fn all(log: &ShardLog) -> Vec<String> {
        let read = log.read(0, usize::MAX, u64::MAX).expect("reads");
        read.records.into_iter().map(|record| String::from_utf8(record.data).expect("text")).collect()
    }

    fn newest_segment(dir: &Path) -> PathBuf {
        segment_path(dir, *segment_names(dir).expect("listed").last().expect("a segment"))
    }

    #[test]
    fn records_come_back_in_order_and_after_a_reopen() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut log, _) = open(dir.path());
        let first = log.append(vec![record("a", "1"), record("b", "2")], at(10), 0).expect("appended");
        let second = log.append(vec![record("a", "3")], at(5), 0).expect("appended");
        assert!(first[0] < first[1] && first[1] < second[0]);
        drop(log);
        let (log, dropped) = open(dir.path());
        assert_eq!((all(&log), dropped), (vec!["1".to_owned(), "2".to_owned(), "3".to_owned()], 0));
        let one = log.read(first[1], 1, u64::MAX).expect("reads");
        assert_eq!((one.records[0].partition_key.as_str(), one.records[0].arrival), ("b", at(10)));
        assert_eq!(one.next_arrival, Some(at(10)), "arrival does not go back with the clock");
    }

    #[test]
    fn a_cut_off_tail_is_dropped_wherever_it_was_cut() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut log, _) = open(dir.path());
        log.append(vec![record("a", "kept")], at(1), 0).expect("appended");
        let sound = fs::metadata(newest_segment(dir.path())).expect("there").len();
        log.append(vec![record("a", "torn")], at(1), 0).expect("appended");
        drop(log);
        let path = newest_segment(dir.path());
        let whole = fs::read(&path).expect("read");
        for cut in usize::try_from(sound).expect("small") + 1..whole.len() {
            fs::write(&path, &whole[..cut]).expect("written");
            let (mut log, dropped) = open(dir.path());
            assert_eq!((all(&log), dropped), (vec!["kept".to_owned()], cut as u64 - sound), "cut at {cut}");
            log.append(vec![record("a", "next")], at(2), 0).expect("appended");
            drop(log);
            assert_eq!(all(&open(dir.path()).0), ["kept", "next"], "cut at {cut}");
        }
    }

    #[test]
    fn damage_before_the_tail_is_an_error() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut log, _) = open(dir.path());
        log.append(vec![record("a", "one"), record("a", "two")], at(1), 0).expect("appended");
        drop(log);
        let path = newest_segment(dir.path());
        let mut bytes = fs::read(&path).expect("read");
        bytes[FRAME_HEADER_BYTES + PAYLOAD_HEADER_BYTES + 1] ^= 1;
        fs::write(&path, bytes).expect("written");
        assert!(matches!(ShardLog::open(dir.path(), 0), Err(CloudError::Corrupt { .. })));
    }

    #[test]
    fn old_records_leave_and_sequences_still_grow() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut log, _) = open(dir.path());
        let old = log.append(vec![record("a", "old")], at(100), 0).expect("appended");
        log.trim(at(101)).expect("trimmed");
        assert!(all(&log).is_empty());
        assert_eq!(log.sequence_at(at(0)), log.tip().sequence + 1);
        drop(log);
        let (mut log, _) = open(dir.path());
        let new = log.append(vec![record("a", "new")], at(1), 0).expect("appended");
        assert!(new[0] > old[0]);
    }

    #[test]
    fn reading_stops_at_its_limits_but_gives_at_least_one() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut log, _) = open(dir.path());
        log.append((0..5).map(|n| record("k", &n.to_string())).collect(), at(1), 0).expect("appended");
        let count = |limit, bytes| log.read(0, limit, bytes).expect("reads").records.len();
        assert_eq!((count(2, u64::MAX), count(9, 1), count(9, 60), count(9, u64::MAX)), (2, 1, 2, 5));
    }

    #[test]
    fn a_log_that_starts_late_gives_no_earlier_sequence_and_remembers_it_without_records() {
        let dir = tempfile::tempdir().expect("a directory");
        let (log, _) = ShardLog::open(dir.path(), 5_000_000).expect("opens");
        assert_eq!(log.tip().sequence, 4_999_999);
        drop(log);
        let (mut log, _) = open(dir.path());
        assert_eq!(log.append(vec![record("a", "one")], at(1), 0).expect("appended"), [5_000_000]);
        assert_eq!(log.append(vec![record("a", "two")], at(1), 7_000_000).expect("appended"), [7_000_001]);
    }

    #[test]
    fn many_forgotten_bytes_are_given_back_and_sequences_still_grow() {
        let dir = tempfile::tempdir().expect("a directory");
        let (mut log, _) = open(dir.path());
        let large = "x".repeat(usize::try_from(RELEASED_BYTES_MIN).expect("small"));
        let old = log.append(vec![record("a", &large)], at(100), 0).expect("appended");
        log.release().expect("nothing to do");
        assert_eq!(all(&log).len(), 1, "what can be read stays");
        log.trim(at(101)).expect("trimmed");
        log.release().expect("released");
        assert_eq!(fs::metadata(newest_segment(dir.path())).expect("there").len(), 0);
        assert_eq!(segment_names(dir.path()).expect("listed").len(), 1);
        drop(log);
        let (mut log, _) = open(dir.path());
        let new = log.append(vec![record("a", "new")], at(1), 0).expect("appended");
        assert!(new[0] > old[0]);
        assert_eq!(all(&log), ["new"]);
    }
}

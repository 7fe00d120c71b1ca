//! The segment files of a log: their names, and how they are opened.
//!
//! A closed segment is opened from its index file, or scanned when that is missing or damaged; the newest one is always
//! scanned, and a torn tail cut off. Knows nothing of appending.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use lakebed_contract::Timestamp;

use super::segment_index::{self, Indexed, SegmentEnd};
use super::segment_scan::{Damage, Entry, scan};
use crate::error::CloudError;

const SEGMENT_SUFFIX: &str = ".log";
const INDEX_SUFFIX: &str = ".idx";
const NEW_INDEX_SUFFIX: &str = ".idx.new";

/// A segment, and where the records in it lie that are not too old.
pub(super) struct Segment {
    /// The first sequence it may hold.
    pub(super) first: u64,
    pub(super) bytes: u64,
    pub(super) last_arrival: Timestamp,
    pub(super) entries: VecDeque<Entry>,
}

/// What opening a log cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Recovery {
    /// Bytes dropped from a torn tail.
    pub(super) dropped_bytes: u64,
    /// Bytes read from segments and their indexes.
    pub(super) read_bytes: u64,
}

/// Opens a segment that is no longer written: from its index, or by a scan that writes the index anew.
pub(super) fn open_closed(dir: &Path, first: u64, recovery: &mut Recovery) -> Result<Segment, CloudError> {
    let (path, index) = (segment_path(dir, first), index_path(dir, first));
    let bytes = fs::metadata(&path).map_err(CloudError::state("look at", &path))?.len();
    let (indexed, read_bytes) = segment_index::read(&index, first, bytes).map_err(CloudError::state("read", &index))?;
    recovery.read_bytes += read_bytes;
    if let Some(Indexed { entries, last_arrival }) = indexed {
        return Ok(Segment { first, bytes, last_arrival, entries });
    }
    let scanned = scan(&path).map_err(CloudError::state("read", &path))?;
    recovery.read_bytes += scanned.file_bytes;
    if scanned.damage.is_some() {
        return Err(damaged(path, scanned.sound_bytes));
    }
    let last_arrival = scanned.entries.back().map_or(Timestamp(i64::MIN), |entry| entry.arrival);
    segment_index::keep(&index, SegmentEnd { first, bytes, last_arrival }, &scanned.entries);
    Ok(Segment { first, bytes, last_arrival, entries: scanned.entries })
}

/// Opens, or makes, the segment that is written, and cuts off a torn tail.
pub(super) fn open_newest(
    dir: &Path,
    first: u64,
    last_arrival: Timestamp,
    recovery: &mut Recovery,
) -> Result<(Segment, File), CloudError> {
    let path = segment_path(dir, first);
    let writer = open_segment(&path).map_err(CloudError::state("open", &path))?;
    let scanned = scan(&path).map_err(CloudError::state("read", &path))?;
    recovery.read_bytes += scanned.file_bytes;
    recovery.dropped_bytes = scanned.file_bytes - scanned.sound_bytes;
    match scanned.damage {
        Some(Damage::Inside) => return Err(damaged(path, scanned.sound_bytes)),
        Some(Damage::Tail) => writer.set_len(scanned.sound_bytes).map_err(CloudError::state("cut", &path))?,
        None => {}
    }
    let last_arrival = scanned.entries.back().map_or(last_arrival, |entry| entry.arrival);
    Ok((Segment { first, bytes: scanned.sound_bytes, last_arrival, entries: scanned.entries }, writer))
}

fn damaged(path: PathBuf, sound_bytes: u64) -> CloudError {
    CloudError::Corrupt { path, reason: format!("damaged at byte {sound_bytes}") }
}

pub(super) fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}{SEGMENT_SUFFIX}"))
}

pub(super) fn index_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}{INDEX_SUFFIX}"))
}

pub(super) fn open_segment(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// The first sequences of the segments in `dir`, in order; removes indexes that belong to none, or were never finished.
pub(super) fn segment_names(dir: &Path) -> Result<Vec<u64>, CloudError> {
    let (mut firsts, mut indexed) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(dir).map_err(CloudError::state("list", dir))? {
        let name = entry.map_err(CloudError::state("list", dir))?.file_name();
        let numbered = |suffix| name.to_str().and_then(|name| name.strip_suffix(suffix)?.parse::<u64>().ok());
        if let Some(first) = numbered(SEGMENT_SUFFIX) {
            firsts.push(first);
        } else if let Some(first) = numbered(INDEX_SUFFIX) {
            indexed.push(first);
        } else if numbered(NEW_INDEX_SUFFIX).is_some() {
            let path = dir.join(&name);
            fs::remove_file(&path).map_err(CloudError::state("remove", &path))?;
        } else {
            let reason = "not a segment of a shard log".to_owned();
            return Err(CloudError::Corrupt { path: dir.join(&name), reason });
        }
    }
    firsts.sort_unstable();
    for first in indexed.into_iter().filter(|first| firsts.binary_search(first).is_err()) {
        let path = index_path(dir, first);
        fs::remove_file(&path).map_err(CloudError::state("remove", &path))?;
    }
    Ok(firsts)
}

//! The index file beside a closed segment: where its records lie, so that opening a log need not read them.
//!
//! ```text
//! <first>.idx = "LKIX" | version u32 | first u64 | segment bytes u64 | last arrival i64 | count u32
//!             | count * (sequence u64 | arrival i64 | offset u32 | length u32) | crc32 u32       (little endian)
//! ```
//!
//! The checksum covers everything before it. An index that is not that of this segment at this length, or not sound, is no
//! index: the segment is scanned and the index written anew. So it needs no flush, and losing it costs time only. It may lack
//! records from the front, which were too old when the segment was closed.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use lakebed_contract::Timestamp;

use super::segment_scan::Entry;

const MAGIC: [u8; 4] = *b"LKIX";
const VERSION: u32 = 1;
const HEADER_BYTES: usize = 36;
const ENTRY_BYTES: usize = 24;
const CHECKSUM_BYTES: usize = 4;

/// Which segment, and how far it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentEnd {
    pub(super) first: u64,
    pub(super) bytes: u64,
    pub(super) last_arrival: Timestamp,
}

/// As [`write()`]; what fails is logged, because only the next start pays for it.
pub(super) fn keep(path: &Path, end: SegmentEnd, entries: &VecDeque<Entry>) {
    if let Err(error) = write(path, end, entries) {
        tracing::warn!(%error, segment = end.first, "failed to write the index of a shard log's segment");
    }
}

/// Writes the index of a closed segment beside `path` and renames it to `path`.
pub(super) fn write(path: &Path, end: SegmentEnd, entries: &VecDeque<Entry>) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + entries.len() * ENTRY_BYTES + CHECKSUM_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&end.first.to_le_bytes());
    bytes.extend_from_slice(&end.bytes.to_le_bytes());
    bytes.extend_from_slice(&end.last_arrival.0.to_le_bytes());
    bytes.extend_from_slice(&u32::try_from(entries.len()).map_err(io::Error::other)?.to_le_bytes());
    for entry in entries {
        bytes.extend_from_slice(&entry.sequence.to_le_bytes());
        bytes.extend_from_slice(&entry.arrival.0.to_le_bytes());
        bytes.extend_from_slice(&entry.offset.to_le_bytes());
        bytes.extend_from_slice(&entry.length.to_le_bytes());
    }
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    let new = path.with_extension("idx.new");
    fs::write(&new, &bytes)?;
    fs::rename(&new, path)
}

/// What the index at `path` says of the segment that begins at `first` and has `segment_bytes`; `None` when it says nothing
/// that can be believed. Also gives the bytes that were read.
pub(super) fn read(path: &Path, first: u64, segment_bytes: u64) -> io::Result<(Option<Indexed>, u64)> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, 0)),
        Err(error) => return Err(error),
    };
    // A frame is longer than its entry, so the index of a segment is never longer than the segment.
    let length = file.metadata()?.len();
    if length > segment_bytes + (HEADER_BYTES + CHECKSUM_BYTES) as u64 {
        return Ok((None, 0));
    }
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, length), &mut bytes)?;
    Ok((decode(&bytes, first, segment_bytes), bytes.len() as u64))
}

/// What an index says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Indexed {
    pub(super) entries: VecDeque<Entry>,
    pub(super) last_arrival: Timestamp,
}

fn decode(bytes: &[u8], first: u64, segment_bytes: u64) -> Option<Indexed> {
    let (sound, checksum) = bytes.split_last_chunk::<CHECKSUM_BYTES>()?;
    if crc32fast::hash(sound) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let (magic, rest) = sound.split_first_chunk::<4>()?;
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let (of_first, rest) = rest.split_first_chunk::<8>()?;
    let (of_bytes, rest) = rest.split_first_chunk::<8>()?;
    let (last_arrival, rest) = rest.split_first_chunk::<8>()?;
    let (count, rest) = rest.split_first_chunk::<4>()?;
    let is_of_segment = (u64::from_le_bytes(*of_first), u64::from_le_bytes(*of_bytes)) == (first, segment_bytes);
    let (entries, behind) = rest.as_chunks::<ENTRY_BYTES>();
    let is_whole = behind.is_empty() && usize::try_from(u32::from_le_bytes(*count)).ok()? == entries.len();
    if *magic != MAGIC || u32::from_le_bytes(*version) != VERSION || !is_of_segment || !is_whole {
        return None;
    }
    let entries = entries.iter().map(|entry| decode_entry(entry)).collect::<Option<_>>()?;
    Some(Indexed { entries, last_arrival: Timestamp(i64::from_le_bytes(*last_arrival)) })
}

fn decode_entry(bytes: &[u8]) -> Option<Entry> {
    let (sequence, rest) = bytes.split_first_chunk::<8>()?;
    let (arrival, rest) = rest.split_first_chunk::<8>()?;
    let (offset, rest) = rest.split_first_chunk::<4>()?;
    let length = rest.first_chunk::<4>()?;
    Some(Entry {
        sequence: u64::from_le_bytes(*sequence),
        arrival: Timestamp(i64::from_le_bytes(*arrival)),
        offset: u32::from_le_bytes(*offset),
        length: u32::from_le_bytes(*length),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_is_believed_for_its_segment_only_and_only_when_every_bit_is_right() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("7.idx");
        let entry = |sequence| Entry { sequence, arrival: Timestamp(-5), offset: 3, length: 40 };
        let entries: VecDeque<Entry> = [entry(7), entry(9)].into();
        let end = SegmentEnd { first: 7, bytes: 100, last_arrival: Timestamp(11) };
        assert_eq!(read(&path, 7, 100).expect("absent").0, None);
        write(&path, end, &entries).expect("written");
        let (indexed, bytes) = read(&path, 7, 100).expect("read");
        assert_eq!(indexed, Some(Indexed { entries, last_arrival: Timestamp(11) }));
        assert_eq!(bytes, (HEADER_BYTES + 2 * ENTRY_BYTES + CHECKSUM_BYTES) as u64);
        assert_eq!(read(&path, 8, 100).expect("read").0, None, "another segment's");
        assert_eq!(read(&path, 7, 101).expect("read").0, None, "an older one of this segment");
        let whole = fs::read(&path).expect("read");
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            assert_eq!(decode(&damaged, 7, 100), None, "byte {at}");
            assert_eq!(decode(&whole[..at], 7, 100), None, "cut at {at}");
        }
        fs::write(&path, vec![0; 4096]).expect("written");
        assert_eq!(read(&path, 7, 100).expect("read"), (None, 0), "longer than any index of this segment");
    }
}

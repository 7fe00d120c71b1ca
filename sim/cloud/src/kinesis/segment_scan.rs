//! Reads a segment from front to end and notes where its records lie.
//!
//! Memory holds one piece of the file and one payload, whatever the segment's size. Stops at the first frame that is not
//! whole and sound, and says whether that is what a dying writer leaves behind or damage. Changes nothing.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use lakebed_contract::Timestamp;

use super::frame::{FRAME_HEADER_BYTES, FrameHeader, believed_length, place_of};

/// How much of a file is read at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// Where a record lies in its segment: 24 bytes of memory per record within the stream's retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) sequence: u64,
    pub(super) arrival: Timestamp,
    /// Of its frame.
    pub(super) offset: u32,
    /// Bytes of the whole frame.
    pub(super) length: u32,
}

/// What is wrong with bytes that are no whole sound frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// The last frame is not all there, or zeros follow.
    Tail,
    /// Something unsound has more behind it.
    Inside,
}

/// What a scan found.
pub(super) struct Scanned {
    pub(super) entries: VecDeque<Entry>,
    /// Bytes of all frames before the first unsound one.
    pub(super) sound_bytes: u64,
    /// Bytes of the file.
    pub(super) file_bytes: u64,
    pub(super) damage: Option<Damage>,
}

/// Scans the segment in `path`.
pub(super) fn scan(path: &Path) -> io::Result<Scanned> {
    let file = File::open(path)?;
    let file_bytes = file.metadata()?.len();
    scan_frames(BufReader::with_capacity(PIECE_BYTES, file), file_bytes)
}

fn scan_frames(mut reader: impl BufRead, file_bytes: u64) -> io::Result<Scanned> {
    let mut scanned = Scanned { entries: VecDeque::new(), sound_bytes: 0, file_bytes, damage: None };
    let mut payload = Vec::new();
    while scanned.sound_bytes < file_bytes {
        let left = file_bytes - scanned.sound_bytes;
        match next_entry(&mut reader, scanned.sound_bytes, left, &mut payload)? {
            Ok(entry) => {
                scanned.sound_bytes += u64::from(entry.length);
                scanned.entries.push_back(entry);
            }
            Err(damage) => {
                scanned.damage = Some(damage);
                break;
            }
        }
    }
    scanned.entries.shrink_to_fit();
    Ok(scanned)
}

/// The next frame's entry, or what is wrong with the `left` bytes from here to the end of the file.
fn next_entry(
    reader: &mut impl BufRead,
    offset: u64,
    left: u64,
    payload: &mut Vec<u8>,
) -> io::Result<Result<Entry, Damage>> {
    let mut header = [0; FRAME_HEADER_BYTES];
    let there = usize::try_from(left).map_or(FRAME_HEADER_BYTES, |left| left.min(FRAME_HEADER_BYTES));
    reader.read_exact(&mut header[..there])?;
    if there < FRAME_HEADER_BYTES {
        // Without a length nothing contradicts that a header was cut off.
        let is_cut_off = there < 4 || believed_length([header[0], header[1], header[2], header[3]]).is_some();
        let is_tail = is_cut_off || header.iter().all(|byte| *byte == 0);
        return Ok(Err(if is_tail { Damage::Tail } else { Damage::Inside }));
    }
    let Some(FrameHeader { length, checksum }) = FrameHeader::parse(header) else {
        let is_zero = header.iter().all(|byte| *byte == 0) && rest_is_zero(reader)?;
        return Ok(Err(if is_zero { Damage::Tail } else { Damage::Inside }));
    };
    let frame_bytes = (FRAME_HEADER_BYTES + length) as u64;
    if frame_bytes > left {
        return Ok(Err(Damage::Tail));
    }
    payload.resize(length, 0);
    reader.read_exact(payload)?;
    let place = (crc32fast::hash(payload) == checksum).then(|| place_of(payload)).flatten();
    let Some((sequence, arrival)) = place else {
        return Ok(Err(if frame_bytes == left { Damage::Tail } else { Damage::Inside }));
    };
    let offset = u32::try_from(offset).map_err(io::Error::other)?;
    let length = u32::try_from(frame_bytes).map_err(io::Error::other)?;
    Ok(Ok(Entry { sequence, arrival, offset, length }))
}

fn rest_is_zero(reader: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let piece = reader.fill_buf()?;
        if piece.is_empty() {
            return Ok(true);
        }
        if piece.iter().any(|byte| *byte != 0) {
            return Ok(false);
        }
        let read = piece.len();
        reader.consume(read);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;
    use crate::kinesis::frame::{NewRecord, write_frame};

    /// Counts what is asked of a file.
    struct Counting<'a> {
        bytes: &'a [u8],
        largest: usize,
    }

    impl Read for Counting<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.largest = self.largest.max(buffer.len());
            self.bytes.read(buffer)
        }
    }

    fn frames(data: &[&[u8]]) -> Vec<u8> {
        let mut frames = Vec::new();
        for (data, sequence) in data.iter().zip(1..) {
            let record = NewRecord { partition_key: "k".to_owned(), data: data.to_vec() };
            write_frame(&mut frames, sequence, Timestamp::from_seconds(9), &record).expect("small");
        }
        frames
    }

    fn scanned(bytes: &[u8]) -> (usize, u64, Option<Damage>) {
        let scanned = scan_frames(bytes, bytes.len() as u64).expect("read");
        (scanned.entries.len(), scanned.sound_bytes, scanned.damage)
    }

    #[test]
    fn a_frame_cut_off_anywhere_is_a_torn_tail() {
        let whole = frames(&[b"one", b"two"]);
        let sound = frames(&[b"one"]).len();
        assert_eq!(scanned(&whole), (2, whole.len() as u64, None));
        assert_eq!(scanned(&whole[..sound]), (1, sound as u64, None));
        for cut in sound + 1..whole.len() {
            assert_eq!(scanned(&whole[..cut]), (1, sound as u64, Some(Damage::Tail)), "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_is_damage_unless_it_is_in_the_last_frame() {
        let whole = frames(&[b"one", b"two", b"three"]);
        let (first, last) = (frames(&[b"one"]).len(), frames(&[b"one", b"two"]).len());
        // Not in a length: that may look like a long frame that was cut off.
        for at in first + 4..last {
            let mut bytes = whole.clone();
            bytes[at] ^= 0b100;
            assert_eq!(scanned(&bytes), (1, first as u64, Some(Damage::Inside)), "byte {at}");
        }
        for at in last + 4..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0b100;
            assert_eq!(scanned(&bytes), (2, last as u64, Some(Damage::Tail)), "byte {at}");
        }
    }

    #[test]
    fn a_hole_at_the_end_is_a_tail_and_one_before_records_is_damage() {
        let mut bytes = frames(&[b"one"]);
        let sound = bytes.len() as u64;
        bytes.resize(bytes.len() + 3 * PIECE_BYTES, 0);
        assert_eq!(scanned(&bytes), (1, sound, Some(Damage::Tail)));
        bytes.extend(frames(&[b"lost"]));
        assert_eq!(scanned(&bytes), (1, sound, Some(Damage::Inside)));
    }

    #[test]
    fn a_large_segment_is_read_in_pieces() {
        let small = [7_u8; 1024];
        let bytes = frames(&[small.as_slice(); 4096]);
        let mut counting = Counting { bytes: &bytes, largest: 0 };
        let reader = BufReader::with_capacity(PIECE_BYTES, &mut counting);
        let scanned = scan_frames(reader, bytes.len() as u64).expect("read");
        assert_eq!((scanned.entries.len(), scanned.damage), (4096, None));
        assert!(bytes.len() > 16 * PIECE_BYTES && counting.largest <= PIECE_BYTES, "{}", counting.largest);
    }

    #[test]
    fn an_entry_is_as_small_as_promised() {
        assert_eq!(size_of::<Entry>(), 24);
    }
}

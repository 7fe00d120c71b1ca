//! The frame a record lies in on disk.
//!
//! ```text
//! frame = length u32 | crc32 u32 | sequence u64 | arrival i64 (µs) | key length u16 | key | data      (little endian)
//! ```
//!
//! `length` and the checksum cover everything behind them.

use std::io;

use lakebed_contract::Timestamp;

/// Length and checksum.
pub(super) const FRAME_HEADER_BYTES: usize = 8;
/// Sequence, arrival and key length.
pub(super) const PAYLOAD_HEADER_BYTES: usize = 18;
/// Longest payload that is believed when a log is opened.
const PAYLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A record to append.
pub(super) struct NewRecord {
    pub(super) partition_key: String,
    pub(super) data: Vec<u8>,
}

/// A record as it was appended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct StoredRecord {
    pub(super) sequence: u64,
    pub(super) arrival: Timestamp,
    pub(super) partition_key: String,
    pub(super) data: Vec<u8>,
}

/// Appends a frame to `frames`; gives its length.
pub(super) fn write_frame(
    frames: &mut Vec<u8>,
    sequence: u64,
    arrival: Timestamp,
    record: &NewRecord,
) -> io::Result<u32> {
    let key = record.partition_key.as_bytes();
    let payload_length = PAYLOAD_HEADER_BYTES + key.len() + record.data.len();
    let start = frames.len();
    frames.extend_from_slice(&u32::try_from(payload_length).map_err(io::Error::other)?.to_le_bytes());
    frames.extend_from_slice(&[0; 4]);
    frames.extend_from_slice(&sequence.to_le_bytes());
    frames.extend_from_slice(&arrival.0.to_le_bytes());
    frames.extend_from_slice(&u16::try_from(key.len()).map_err(io::Error::other)?.to_le_bytes());
    frames.extend_from_slice(key);
    frames.extend_from_slice(&record.data);
    let checksum = crc32fast::hash(&frames[start + FRAME_HEADER_BYTES..]);
    frames[start + 4..start + FRAME_HEADER_BYTES].copy_from_slice(&checksum.to_le_bytes());
    u32::try_from(frames.len() - start).map_err(io::Error::other)
}

/// The payload of the first frame, and what is behind it; `None` when there is no whole sound frame.
pub(super) fn next_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (checksum, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    if !(PAYLOAD_HEADER_BYTES..=PAYLOAD_BYTES_MAX).contains(&length) {
        return None;
    }
    let (payload, behind) = rest.split_at_checked(length)?;
    (crc32fast::hash(payload) == u32::from_le_bytes(*checksum)).then_some((payload, behind))
}

/// The record in the payload of a frame.
pub(super) fn read_payload(payload: &[u8]) -> io::Result<StoredRecord> {
    let parse = || {
        let (sequence, rest) = payload.split_first_chunk::<8>()?;
        let (arrival, rest) = rest.split_first_chunk::<8>()?;
        let (key_length, rest) = rest.split_first_chunk::<2>()?;
        let (key, data) = rest.split_at_checked(usize::from(u16::from_le_bytes(*key_length)))?;
        Some(StoredRecord {
            sequence: u64::from_le_bytes(*sequence),
            arrival: Timestamp(i64::from_le_bytes(*arrival)),
            partition_key: String::from_utf8(key.to_vec()).ok()?,
            data: data.to_vec(),
        })
    };
    parse().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a payload of the shard log is malformed"))
}

/// What is wrong with bytes that are no whole sound frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// The last frame is not all there, or zeros follow.
    Tail,
    /// Something unsound has more behind it.
    Inside,
}

/// Whether `rest`, which starts with no sound frame, is what a dying writer leaves behind.
pub(super) fn damage_of(rest: &[u8]) -> Damage {
    let announced = rest.first_chunk::<4>().map(|length| u32::from_le_bytes(*length) as usize);
    let reaches_the_end = announced.is_none_or(|announced| {
        (PAYLOAD_HEADER_BYTES..=PAYLOAD_BYTES_MAX).contains(&announced) && FRAME_HEADER_BYTES + announced >= rest.len()
    });
    let is_zero = rest.iter().all(|byte| *byte == 0);
    if reaches_the_end || is_zero { Damage::Tail } else { Damage::Inside }
}

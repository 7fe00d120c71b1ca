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

impl NewRecord {
    /// Bytes of its frame.
    pub(super) fn frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES + PAYLOAD_HEADER_BYTES + self.partition_key.len() + self.data.len()
    }
}

/// A record as it was appended. No `Debug`: it holds a client's data.
pub(super) struct StoredRecord<'a> {
    pub(super) sequence: u64,
    pub(super) arrival: Timestamp,
    pub(super) partition_key: &'a str,
    pub(super) data: &'a [u8],
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameHeader {
    /// Bytes of the payload.
    pub(super) length: usize,
    pub(super) checksum: u32,
}

impl FrameHeader {
    /// Reads a header; a length that no payload has is `None`.
    pub(super) fn parse(bytes: [u8; FRAME_HEADER_BYTES]) -> Option<Self> {
        let [length @ .., _, _, _, _] = bytes;
        let [_, _, _, _, checksum @ ..] = bytes;
        Some(Self { length: believed_length(length)?, checksum: u32::from_le_bytes(checksum) })
    }
}

/// The length a frame announces, if a payload may have it.
pub(super) fn believed_length(bytes: [u8; 4]) -> Option<usize> {
    let length = usize::try_from(u32::from_le_bytes(bytes)).ok()?;
    (PAYLOAD_HEADER_BYTES..=PAYLOAD_BYTES_MAX).contains(&length).then_some(length)
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
    let (header, rest) = bytes.split_first_chunk::<FRAME_HEADER_BYTES>()?;
    let header = FrameHeader::parse(*header)?;
    let (payload, behind) = rest.split_at_checked(header.length)?;
    (crc32fast::hash(payload) == header.checksum).then_some((payload, behind))
}

/// The record in the payload of a frame.
pub(super) fn read_payload(payload: &[u8]) -> io::Result<StoredRecord<'_>> {
    let parts = parts_of(payload);
    let record =
        parts.map(|(sequence, arrival, partition_key, data)| StoredRecord { sequence, arrival, partition_key, data });
    record.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a payload of the shard log is malformed"))
}

/// Sequence and arrival of the record in a payload, if it holds one.
pub(super) fn place_of(payload: &[u8]) -> Option<(u64, Timestamp)> {
    parts_of(payload).map(|(sequence, arrival, _, _)| (sequence, arrival))
}

fn parts_of(payload: &[u8]) -> Option<(u64, Timestamp, &str, &[u8])> {
    let (sequence, rest) = payload.split_first_chunk::<8>()?;
    let (arrival, rest) = rest.split_first_chunk::<8>()?;
    let (key_length, rest) = rest.split_first_chunk::<2>()?;
    let (key, data) = rest.split_at_checked(usize::from(u16::from_le_bytes(*key_length)))?;
    let arrival = Timestamp(i64::from_le_bytes(*arrival));
    Some((u64::from_le_bytes(*sequence), arrival, std::str::from_utf8(key).ok()?, data))
}

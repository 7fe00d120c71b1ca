//! Buffers per partition, as a pure state machine: records go in, sealed objects come out.
//!
//! Promises: a buffer is sealed when the next record would exceed its size, when it reaches it, or when it is as old as the
//! interval; at most `active_partitions_max` partitions are open; all buffers together hold at most [`BUFFERED_BYTES_MAX`]
//! bytes (the largest is sealed first). Records of one partition keep their order. Errors have buffers of their own.

use std::collections::BTreeMap;
use std::time::Duration;

use lakebed_contract::Timestamp;

/// Bytes in all buffers of a delivery stream together.
pub const BUFFERED_BYTES_MAX: u64 = 256 << 20;

/// When buffers are sealed.
#[derive(Clone, Copy, Debug)]
pub struct BufferBounds {
    /// Bytes of one buffer before compression.
    pub bytes: u64,
    /// Age of one buffer.
    pub interval: Duration,
    /// Open partitions.
    pub active_partitions_max: usize,
    /// Bytes of all buffers.
    pub total_bytes_max: u64,
}

/// Why a record goes to the error prefix; the name is `!{firehose:error-output-type}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorType {
    /// The function failed, or failed the record.
    ProcessingFailed,
    /// A partition key is missing or empty.
    MetadataExtractionFailed,
    /// Too many partitions are open.
    ActivePartitionExceeded,
}

impl ErrorType {
    /// The name in the key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ProcessingFailed => "processing-failed",
            Self::MetadataExtractionFailed => "metadata-extraction-failed",
            Self::ActivePartitionExceeded => "activePartitionExceeded",
        }
    }
}

/// What a buffer is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Records with these partition keys.
    Partition(BTreeMap<String, String>),
    /// Error lines of one type.
    Error(ErrorType),
}

/// An object ready to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// What it is for.
    pub target: Target,
    /// Records, concatenated without separators.
    pub bytes: Vec<u8>,
    /// Records by table.
    pub tables: BTreeMap<String, u64>,
    /// Arrival of its oldest record.
    pub oldest: Timestamp,
}

/// A new partition would exceed the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActivePartitionExceeded;

#[derive(Debug)]
struct Buffer {
    bytes: Vec<u8>,
    tables: BTreeMap<String, u64>,
    oldest: Timestamp,
    opened: Timestamp,
}

/// All buffers of a delivery stream.
#[derive(Debug)]
pub struct Buffers {
    bounds: BufferBounds,
    open: BTreeMap<Target, Buffer>,
    total_bytes: u64,
}

impl Buffers {
    /// No buffers yet.
    pub fn new(bounds: BufferBounds) -> Self {
        Self { bounds, open: BTreeMap::new(), total_bytes: 0 }
    }

    /// Adds a record and answers with the objects this sealed. `now` is the time of the call, `arrival` the record's.
    pub fn push(
        &mut self,
        target: Target,
        table: &str,
        arrival: Timestamp,
        data: &[u8],
        now: Timestamp,
    ) -> Result<Vec<Sealed>, ActivePartitionExceeded> {
        let length = data.len() as u64;
        let mut sealed = Vec::new();
        match self.open.get(&target) {
            Some(buffer) if buffer.bytes.len() as u64 + length > self.bounds.bytes => {
                sealed.extend(self.seal(&target));
            }
            None if self.is_full_for(&target) => return Err(ActivePartitionExceeded),
            _ => (),
        }
        let buffer = self.open.entry(target.clone()).or_insert_with(|| Buffer {
            bytes: Vec::new(),
            tables: BTreeMap::new(),
            oldest: arrival,
            opened: now,
        });
        buffer.bytes.extend_from_slice(data);
        buffer.oldest = buffer.oldest.min(arrival);
        *buffer.tables.entry(table.to_owned()).or_default() += 1;
        let is_full = buffer.bytes.len() as u64 >= self.bounds.bytes;
        self.total_bytes += length;
        if is_full {
            sealed.extend(self.seal(&target));
        }
        while self.total_bytes > self.bounds.total_bytes_max {
            let largest =
                self.open.iter().max_by_key(|(_, buffer)| buffer.bytes.len()).map(|(target, _)| target.clone());
            let Some(largest) = largest else { break };
            sealed.extend(self.seal(&largest));
        }
        Ok(sealed)
    }

    /// Seals the buffers that are as old as the interval.
    pub fn flush_due(&mut self, now: Timestamp) -> Vec<Sealed> {
        let is_due = |buffer: &Buffer| now.since(buffer.opened) >= self.bounds.interval;
        let due: Vec<Target> =
            self.open.iter().filter(|(_, buffer)| is_due(buffer)).map(|(target, _)| target.clone()).collect();
        due.iter().filter_map(|target| self.seal(target)).collect()
    }

    /// Seals everything.
    pub fn flush_all(&mut self) -> Vec<Sealed> {
        let all: Vec<Target> = self.open.keys().cloned().collect();
        all.iter().filter_map(|target| self.seal(target)).collect()
    }

    /// Partitions that hold records.
    pub fn active_partitions(&self) -> usize {
        self.open.keys().filter(|target| matches!(target, Target::Partition(_))).count()
    }

    /// Bytes in all buffers.
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }

    fn is_full_for(&self, target: &Target) -> bool {
        matches!(target, Target::Partition(_)) && self.active_partitions() >= self.bounds.active_partitions_max
    }

    fn seal(&mut self, target: &Target) -> Option<Sealed> {
        let (target, buffer) = self.open.remove_entry(target)?;
        self.total_bytes -= buffer.bytes.len() as u64;
        Some(Sealed { target, bytes: buffer.bytes, tables: buffer.tables, oldest: buffer.oldest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn partition(table: &str) -> Target {
        Target::Partition(BTreeMap::from([("table_name".to_owned(), table.to_owned())]))
    }

    fn buffers(bytes: u64, partitions: usize) -> Buffers {
        let interval = Duration::from_secs(60);
        Buffers::new(BufferBounds { bytes, interval, active_partitions_max: partitions, total_bytes_max: 1_000 })
    }

    #[test]
    fn size_seals_before_the_record_that_would_not_fit_and_at_the_exact_size() {
        let mut buffers = buffers(10, 5);
        let mut push = |data: &[u8]| buffers.push(partition("a"), "a", NOW, data, NOW).expect("one partition");
        assert_eq!(push(b"123456"), []);
        let sealed = push(b"78901");
        assert_eq!(sealed[0].bytes, b"123456");
        assert_eq!(sealed.len(), 1);
        assert_eq!(push(b"23456")[0].bytes, b"7890123456");
        let larger_than_a_buffer = push(&[b'x'; 25]);
        assert_eq!(larger_than_a_buffer[0].bytes.len(), 25);
        assert_eq!(buffers.active_partitions(), 0);
    }

    #[test]
    fn age_counts_from_the_first_record_of_the_buffer() {
        let mut buffers = buffers(100, 5);
        let later = NOW.plus(Duration::from_secs(30));
        buffers.push(partition("a"), "a", Timestamp(5), b"1", NOW).expect("fits");
        buffers.push(partition("b"), "b", Timestamp(5), b"2", later).expect("fits");
        buffers.push(partition("a"), "a", Timestamp(3), b"3", later).expect("fits");
        assert_eq!(buffers.flush_due(NOW.plus(Duration::from_secs(59))), []);
        let due = buffers.flush_due(NOW.plus(Duration::from_secs(60)));
        assert_eq!(due.len(), 1);
        assert_eq!((due[0].bytes.as_slice(), due[0].oldest, due[0].tables["a"]), (&b"13"[..], Timestamp(3), 2));
        assert_eq!(buffers.flush_all().len(), 1);
        assert_eq!(buffers.flush_all(), []);
    }

    #[test]
    fn a_partition_too_many_is_refused_but_errors_always_fit() {
        let mut buffers = buffers(100, 2);
        for table in ["a", "b", "a"] {
            buffers.push(partition(table), table, NOW, b"1", NOW).expect("fits");
        }
        assert_eq!(buffers.push(partition("c"), "c", NOW, b"1", NOW), Err(ActivePartitionExceeded));
        let error = Target::Error(ErrorType::ActivePartitionExceeded);
        assert_eq!(buffers.push(error, "c", NOW, b"line", NOW), Ok(Vec::new()));
        assert_eq!(buffers.flush_due(NOW.plus(Duration::from_secs(60))).len(), 3);
        assert_eq!(buffers.push(partition("c"), "c", NOW, b"1", NOW), Ok(Vec::new()));
    }

    #[test]
    fn the_largest_buffer_makes_room() {
        let mut buffers = buffers(900, 5);
        buffers.push(partition("a"), "a", NOW, &[0; 600], NOW).expect("fits");
        let sealed = buffers.push(partition("b"), "b", NOW, &[1; 500], NOW).expect("fits");
        assert_eq!(sealed.iter().map(|object| object.bytes.len()).collect::<Vec<_>>(), [600]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_order_within_a_partition_stays(
            records in proptest::collection::vec((0_u8..4, 1_usize..40, 0_u64..50), 0..200),
        ) {
            let mut buffers = buffers(64, 8);
            let mut now = NOW;
            let (mut pushed, mut sealed) = (BTreeMap::<Target, Vec<u8>>::new(), Vec::new());
            for (index, (table, length, wait)) in records.iter().enumerate() {
                now = now.plus(Duration::from_secs(*wait));
                let data = vec![index as u8; *length];
                let target = partition(&table.to_string());
                pushed.entry(target.clone()).or_default().extend(&data);
                sealed.extend(buffers.push(target, "t", now, &data, now).expect("eight partitions fit"));
                sealed.extend(buffers.flush_due(now));
            }
            sealed.extend(buffers.flush_all());
            prop_assert!(sealed.iter().all(|object| object.bytes.len() <= 64));
            let count: u64 = sealed.iter().flat_map(|object| object.tables.values()).sum();
            prop_assert_eq!(count, records.len() as u64);
            let mut joined = BTreeMap::<Target, Vec<u8>>::new();
            for object in sealed {
                joined.entry(object.target).or_default().extend(object.bytes);
            }
            prop_assert_eq!(joined, pushed);
        }
    }
}

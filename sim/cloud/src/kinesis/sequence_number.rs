//! Sequence numbers as clients see them.
//!
//! 56 decimal digits: `49`, the stream's creation in microseconds, the shard log's sequence, the shard. They grow within a shard
//! and from a shard to its children, and differ between shards and between streams of one name.

const DIGITS: usize = 56;

/// A sequence number taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SequenceNumber {
    pub(super) created: u64,
    pub(super) sequence: u64,
    pub(super) shard: u32,
}

impl SequenceNumber {
    /// As it is shown.
    pub(super) fn to_text(self) -> String {
        format!("49{:020}{:020}{:014}", self.created, self.sequence, self.shard)
    }

    /// Reads a sequence number of any stream of ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() != DIGITS || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits = text.strip_prefix("49")?;
        Some(Self {
            created: digits[..20].parse().ok()?,
            sequence: digits[20..40].parse().ok()?,
            shard: digits[40..].parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_have_56_digits_grow_and_read_back() {
        let number = |shard, sequence| SequenceNumber { created: 1_700_000_000_000_000, sequence, shard };
        let (one, two) = (number(1, 9).to_text(), number(1, 10).to_text());
        assert_eq!(one.len(), DIGITS);
        assert!(one < two);
        assert_eq!(SequenceNumber::parse(&two), Some(number(1, 10)));
        assert_eq!(SequenceNumber::parse("49"), None);
        assert!(number(7, 11).to_text() > two, "a later one of another shard is greater");
    }
}

//! The total order of changes: (generation, commit LSN, ordinal in the transaction). Nothing else orders anything.
//!
//! A `load` row has no place in the log; it takes [`Position::load`], which every change of its generation beats.
//! Row LSNs, transaction ids and timestamps are not here because they do not order (reference: Debezium DBZ-5915).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A byte position in the Postgres write-ahead log. Prints as Postgres does: `0/1534798`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Lsn(pub u64);

impl Lsn {
    fn high(self) -> u32 {
        (self.0 >> 32) as u32
    }

    fn low(self) -> u32 {
        (self.0 & 0xffff_ffff) as u32
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.high(), self.low())
    }
}

/// A text that should have been an LSN or a stream position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to read a log position: expected {expected}")]
pub struct PositionError {
    expected: &'static str,
}

impl FromStr for Lsn {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = PositionError { expected: "`HEX/HEX`" };
        let (high, low) = text.split_once('/').ok_or_else(|| wrong.clone())?;
        let high = u32::from_str_radix(high, 16).map_err(|_| wrong.clone())?;
        let low = u32::from_str_radix(low, 16).map_err(|_| wrong)?;
        Ok(Self(u64::from(high) << 32 | u64::from(low)))
    }
}

/// Where a change stands among all changes of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// Counts full loads of the table, from 1.
    pub generation: u32,
    /// LSN of the transaction's commit; 0 for a `load` row.
    pub commit_lsn: Lsn,
    /// Counts the rows of the transaction from 1; 0 for a `load` row.
    pub ordinal: u64,
}

impl Position {
    /// The position of every `load` row of a generation: before any of its changes.
    pub fn load(generation: u32) -> Self {
        Self { generation, commit_lsn: Lsn(0), ordinal: 0 }
    }
}

/// DMS's `stream-position`: `<commit LSN>.<ordinal>.<row LSN>`, both LSNs as `HHHHHHHH/HHHHHHHH`.
pub fn format_stream_position(commit_lsn: Lsn, ordinal: u64, row_lsn: Lsn) -> String {
    format!("{:08X}/{:08X}.{ordinal}.{:08X}/{:08X}", commit_lsn.high(), commit_lsn.low(), row_lsn.high(), row_lsn.low())
}

/// The commit LSN and ordinal of a `stream-position`.
pub fn parse_stream_position(text: &str) -> Result<(Lsn, u64), PositionError> {
    let wrong = || PositionError { expected: "`HHHHHHHH/HHHHHHHH.n.HHHHHHHH/HHHHHHHH`" };
    let mut parts = text.splitn(3, '.');
    let commit = parts.next().ok_or_else(wrong)?.parse().map_err(|_| wrong())?;
    let ordinal = parts.next().ok_or_else(wrong)?.parse().map_err(|_| wrong())?;
    parts.next().ok_or_else(wrong)?.parse::<Lsn>().map_err(|_| wrong())?;
    Ok((commit, ordinal))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_change_beats_the_load_of_its_generation_and_loses_to_the_next_load() {
        let change = Position { generation: 1, commit_lsn: Lsn(9), ordinal: 1 };
        assert!(change > Position::load(1));
        assert!(change < Position::load(2));
    }

    #[test]
    fn lsn_reads_and_prints_as_postgres_does() {
        let lsn: Lsn = "16/B374D848".parse().expect("valid");
        assert_eq!(lsn.0, 0x16_B374_D848);
        assert_eq!(lsn.to_string(), "16/B374D848");
        for bad in ["", "16", "16/", "/16", "x/1", "1/FFFFFFFFF"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn stream_positions_survive_a_round_trip(commit: u64, ordinal: u64, row: u64) {
            let text = format_stream_position(Lsn(commit), ordinal, Lsn(row));
            prop_assert_eq!(parse_stream_position(&text), Ok((Lsn(commit), ordinal)));
        }
    }
}

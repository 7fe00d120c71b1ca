//! What a shard of an on-demand stream was given in the last minute, and the split that follows from it.
//!
//! AWS scales an on-demand stream to twice the peak of its last thirty days and does not say when. Here, where AWS's limits are
//! asked for, a shard that was given more than half of what it may take in a minute of the clock is split in the middle of its
//! hash keys. Shards are never merged again. Without limits nothing is scaled: there is nothing to outgrow.

use std::collections::VecDeque;
use std::sync::Arc;

use lakebed_contract::Timestamp;

use super::description::ON_DEMAND;
use super::error::KinesisError;
use super::operations::Operations;
use super::reshard;
use super::stream::Stream;
use crate::config::Limits;

/// How far back traffic counts, in seconds.
const WINDOW: i64 = 60;
/// Half of what a shard may take in the window: 1 MiB and a thousand records a second.
const BUSY_BYTES: u64 = 60 * 1024 * 1024 / 2;
const BUSY_RECORDS: u64 = 60 * 1_000 / 2;

/// The traffic of one shard.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// The oldest first, none twice.
    seconds: VecDeque<Second>,
}

#[derive(Debug)]
struct Second {
    at: i64,
    bytes: u64,
    records: u64,
}

impl Traffic {
    /// Counts records of so many bytes together.
    pub(super) fn count(&mut self, bytes: usize, records: usize, now: Timestamp) {
        let (bytes, records) = (bytes as u64, records as u64);
        self.forget(now);
        // A clock that went back adds to the newest second.
        match self.seconds.back_mut().filter(|newest| newest.at >= now.seconds()) {
            Some(newest) => {
                newest.bytes += bytes;
                newest.records += records;
            }
            None => self.seconds.push_back(Second { at: now.seconds(), bytes, records }),
        }
    }

    /// Whether the window holds more than half of what the shard may take.
    pub(super) fn is_busy(&mut self, now: Timestamp) -> bool {
        self.forget(now);
        let bytes: u64 = self.seconds.iter().map(|second| second.bytes).sum();
        let records: u64 = self.seconds.iter().map(|second| second.records).sum();
        bytes > BUSY_BYTES || records > BUSY_RECORDS
    }

    fn forget(&mut self, now: Timestamp) {
        let first = now.seconds() - WINDOW;
        while self.seconds.front().is_some_and(|second| second.at <= first) {
            self.seconds.pop_front();
        }
    }
}

impl Operations {
    /// Splits the busy shards of an on-demand stream that was just written to. A split that fails leaves the stream as it was,
    /// and the next write tries again.
    pub(super) fn scale(&self, stream: &Arc<Stream>, now: Timestamp) {
        if self.limits != Limits::Aws {
            return;
        }
        let busy = || -> Result<Vec<u32>, KinesisError> {
            let layout = stream.layout()?;
            if layout.description.mode != ON_DEMAND {
                return Ok(Vec::new());
            }
            let busy = layout.open_shards().filter(|shard| shard.traffic().is_busy(now));
            Ok(busy.map(|shard| shard.number).collect())
        };
        // The stream may be deleted by now.
        for number in busy().unwrap_or_default() {
            let split = reshard::split_in_half(stream, number, self.open_shards_but(stream), now);
            if let Err(error) = split {
                tracing::warn!(%error, stream = stream.name, shard = number, "failed to scale an on-demand stream");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_busy_for_as_long_as_the_last_minute_was() {
        let mut traffic = Traffic::default();
        let at = Timestamp::from_seconds;
        traffic.count(usize::try_from(BUSY_BYTES).expect("small"), 1, at(100));
        assert!(!traffic.is_busy(at(100)), "just half");
        traffic.count(1, 1, at(130));
        assert!(traffic.is_busy(at(159)) && !traffic.is_busy(at(160)));
        traffic.count(1, usize::try_from(BUSY_RECORDS).expect("small") + 1, at(150));
        assert!(traffic.is_busy(at(160)), "many small records count too");
        assert_eq!(traffic.seconds.len(), 2, "what is over is forgotten");
    }
}

//! A histogram of latencies with fixed bounds, so that percentiles can be told without holding a single value.
//!
//! Promises: buckets are four to a doubling from 1 ms to about 18 hours, so a percentile is at most a quarter too high and never
//! too low; two histograms of any age can be added up. Knows nothing of what was measured.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Buckets of a histogram; what is slower than the last bound counts into the last bucket.
pub const LATENCY_BUCKETS: usize = 104;
/// Buckets per doubling, as a power of two.
const SPLIT_BITS: u32 = 2;

/// How many latencies fell under each bound.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct LatencyHistogram {
    /// Counts by bucket; as long as the highest bucket in use needs.
    counts: Vec<u64>,
}

impl LatencyHistogram {
    /// Counts one latency.
    pub fn add(&mut self, latency: Duration) {
        self.add_many(u64::try_from(latency.as_millis()).unwrap_or(u64::MAX), 1);
    }

    /// Adds another histogram's counts.
    pub fn merge(&mut self, other: &Self) {
        for (bound_ms, count) in other.buckets() {
            self.add_many(bound_ms, count);
        }
    }

    /// Latencies counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Upper bound, inclusive, of the bucket that holds the given part (0 to 1) of all latencies; `None` without any.
    pub fn percentile(&self, part: f64) -> Option<Duration> {
        let count = self.count();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a count is a count")]
        let wanted = ((count as f64 * part.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        for (bound_ms, count) in self.buckets() {
            seen += count;
            if seen >= wanted {
                return Some(Duration::from_millis(bound_ms));
            }
        }
        None
    }

    /// Upper bound in milliseconds, inclusive, and count of each bucket in use, from fast to slow.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(at, count)| (bound_ms(at), *count))
    }

    fn add_many(&mut self, ms: u64, count: u64) {
        let at = bucket(ms);
        if self.counts.len() <= at {
            self.counts.resize(at + 1, 0);
        }
        self.counts[at] += count;
    }
}

impl From<Vec<(u64, u64)>> for LatencyHistogram {
    fn from(pairs: Vec<(u64, u64)>) -> Self {
        let mut histogram = Self::default();
        for (bound_ms, count) in pairs {
            histogram.add_many(bound_ms, count);
        }
        histogram
    }
}

impl From<LatencyHistogram> for Vec<(u64, u64)> {
    fn from(histogram: LatencyHistogram) -> Self {
        histogram.buckets().collect()
    }
}

/// The bucket of a latency: below 4 ms one each, then the two bits behind the leading one split each doubling in four.
fn bucket(ms: u64) -> usize {
    let split = 1 << SPLIT_BITS;
    if ms < split {
        return usize::try_from(ms).expect("below four");
    }
    let doubling = ms.ilog2() - SPLIT_BITS;
    let quarter = (ms >> doubling) & (split - 1);
    let at = (u64::from(doubling) + 1) * split + quarter;
    usize::try_from(at).unwrap_or(LATENCY_BUCKETS).min(LATENCY_BUCKETS - 1)
}

/// The slowest latency, in milliseconds, that belongs to a bucket.
fn bound_ms(at: usize) -> u64 {
    let (at, split) = (at as u64, 1u64 << SPLIT_BITS);
    if at < split {
        return at;
    }
    let doubling = at / split - 1;
    ((split + at % split + 1) << doubling) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_rise_and_each_latency_lies_under_its_own() {
        for at in 1..LATENCY_BUCKETS {
            assert!(bound_ms(at) > bound_ms(at - 1), "{at}");
            assert_eq!(bucket(bound_ms(at)), at);
            assert_eq!(bucket(bound_ms(at - 1) + 1), at);
        }
        assert!(bound_ms(LATENCY_BUCKETS - 1) > 12 * 3_600_000);
    }

    #[test]
    fn percentiles_come_from_counts_alone() {
        let mut histogram = LatencyHistogram::default();
        assert_eq!(histogram.percentile(0.5), None);
        for ms in 1..=100 {
            histogram.add(Duration::from_millis(ms));
        }
        assert_eq!(histogram.count(), 100);
        let at = |part: f64| histogram.percentile(part).expect("counted").as_millis();
        assert_eq!((at(0.0), at(0.5), at(0.99), at(1.0)), (1, 55, 111, 111));
    }

    #[test]
    fn a_histogram_survives_json_and_adds_up() {
        let mut histogram = LatencyHistogram::default();
        for ms in [0, 3, 900, u64::MAX] {
            histogram.add_many(ms, 2);
        }
        let text = serde_json::to_string(&histogram).expect("plain numbers");
        let mut read: LatencyHistogram = serde_json::from_str(&text).expect("own form");
        assert_eq!(read, histogram);
        read.merge(&histogram);
        assert_eq!(read.count(), 16);
    }

    proptest! {
        #[test]
        fn a_bound_is_at_most_a_quarter_too_high(ms in 0u64..60_000_000) {
            let bound = bound_ms(bucket(ms));
            prop_assert!(bound >= ms && bound <= ms + ms / 4);
        }
    }
}

//! Token buckets in whole numbers, so that the same moments admit exactly the same.
//!
//! A bucket gains tokens with time up to its burst. What is known beforehand is taken if it is there; what is known only
//! afterwards is charged, and may leave a debt that time pays off. Knows nothing of what a token stands for.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Millionths of a token: what a rate of one a second gains in a microsecond.
const MILLIONTHS: i128 = 1_000_000;

/// Keys that a [`Buckets`] keeps without looking for idle ones.
const KEYS_MAX: usize = 10_000;

/// How fast a bucket fills, and how far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    /// Tokens gained a second.
    pub(super) per_second: u64,
    /// Most tokens it holds.
    pub(super) burst: u64,
}

impl Rate {
    /// So many a second, and one second's worth saved up.
    pub(super) const fn per_second(tokens: u64) -> Self {
        Self { per_second: tokens, burst: tokens }
    }
}

/// A bucket.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    rate: Rate,
    /// Millionths of tokens; negative while there is a debt.
    level: i128,
    at: Duration,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn full(rate: Rate, now: Duration) -> Self {
        Self { rate, level: i128::from(rate.burst) * MILLIONTHS, at: now }
    }

    /// Whether `tokens` are there. More than the bucket can ever hold are there when it is full.
    pub(super) fn holds(&self, tokens: u64) -> bool {
        self.level >= i128::from(tokens.min(self.rate.burst)) * MILLIONTHS
    }

    /// Whether there is neither emptiness nor debt.
    pub(super) fn is_open(&self) -> bool {
        self.level > 0
    }

    /// Takes `tokens` if they are there; says whether they were.
    pub(super) fn take(&mut self, tokens: u64) -> bool {
        let holds = self.holds(tokens);
        if holds {
            self.charge(tokens);
        }
        holds
    }

    /// Takes tokens, there or not.
    pub(super) fn charge(&mut self, tokens: u64) {
        self.level -= i128::from(tokens) * MILLIONTHS;
    }

    /// Forgets what was saved up; a debt stays.
    pub(super) fn forfeit(&mut self) {
        self.level = self.level.min(0);
    }

    /// Lets time pass until `now`, under a rate that may be another than before.
    fn advance(&mut self, rate: Rate, now: Duration) {
        let gained = i128::try_from(now.saturating_sub(self.at).as_micros()).unwrap_or(i128::MAX);
        self.at = self.at.max(now);
        let full = i128::from(rate.burst) * MILLIONTHS;
        self.level = self.level.saturating_add(gained.saturating_mul(i128::from(rate.per_second))).min(full);
        self.rate = rate;
    }

    fn is_full(&self) -> bool {
        self.level >= i128::from(self.rate.burst) * MILLIONTHS
    }
}

/// `N` buckets for each of many keys; made full when a key is first seen, forgotten when they are full and many.
#[derive(Debug)]
pub(super) struct Buckets<K, const N: usize>(Mutex<ByKey<K, N>>);

#[derive(Debug)]
struct ByKey<K, const N: usize> {
    buckets: HashMap<K, [Bucket; N]>,
    /// Number of keys at which idle ones are looked for.
    prune_at: usize,
}

impl<K, const N: usize> Default for Buckets<K, N> {
    fn default() -> Self {
        Self(Mutex::new(ByKey { buckets: HashMap::new(), prune_at: KEYS_MAX }))
    }
}

impl<K: Hash + Eq, const N: usize> Buckets<K, N> {
    /// Uses the buckets of a key as they are at `now`, for one caller at a time.
    pub(super) fn with<T>(
        &self,
        key: K,
        rates: [Rate; N],
        now: Duration,
        work: impl FnOnce(&mut [Bucket; N]) -> T,
    ) -> T {
        // Buckets are numbers, changed one at a time: a panic elsewhere leaves nothing half done.
        let mut by_key = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if by_key.buckets.len() >= by_key.prune_at {
            by_key.prune(now);
        }
        let buckets = by_key.buckets.entry(key).or_insert_with(|| rates.map(|rate| Bucket::full(rate, now)));
        for (bucket, rate) in buckets.iter_mut().zip(rates) {
            bucket.advance(rate, now);
        }
        work(buckets)
    }
}

impl<K: Hash + Eq, const N: usize> ByKey<K, N> {
    fn prune(&mut self, now: Duration) {
        self.buckets.retain(|_, buckets| {
            buckets.iter_mut().for_each(|bucket| bucket.advance(bucket.rate, now));
            !buckets.iter().all(Bucket::is_full)
        });
        self.prune_at = KEYS_MAX.max(self.buckets.len() * 2);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bucket_holds_its_burst_and_gains_its_rate() {
        let rate = Rate { per_second: 5, burst: 10 };
        let mut bucket = Bucket::full(rate, Duration::ZERO);
        let admitted = |bucket: &mut Bucket| (0..100).filter(|_| bucket.take(1)).count();
        assert_eq!(admitted(&mut bucket), 10);
        bucket.advance(rate, Duration::from_millis(999));
        assert_eq!(admitted(&mut bucket), 4, "the fifth comes a millisecond later");
        bucket.advance(rate, Duration::from_millis(1_000));
        assert_eq!(admitted(&mut bucket), 1);
        bucket.advance(rate, Duration::from_secs(3_600));
        assert_eq!(admitted(&mut bucket), 10, "no more than the burst is saved up");
    }

    #[test]
    fn a_debt_is_paid_off_before_anything_is_admitted() {
        let rate = Rate::per_second(2);
        let mut bucket = Bucket::full(rate, Duration::ZERO);
        bucket.charge(10);
        bucket.advance(rate, Duration::from_secs(4));
        assert!(!bucket.is_open());
        bucket.advance(rate, Duration::from_millis(4_500));
        assert!(bucket.is_open() && bucket.take(1) && !bucket.take(1));
    }

    #[test]
    fn idle_keys_are_forgotten_and_busy_ones_are_not() {
        let buckets = Buckets::<usize, 1>::default();
        let rate = [Rate { per_second: 0, burst: 1 }];
        let spend = |key| buckets.with(key, rate, Duration::ZERO, |[bucket]| bucket.charge(1));
        spend(0);
        for key in 1..=KEYS_MAX {
            buckets.with(key, rate, Duration::ZERO, |_| ());
        }
        assert_eq!(buckets.0.lock().expect("not poisoned").buckets.len(), 2, "the spent one and the last");
        assert!(!buckets.with(0, rate, Duration::ZERO, |[bucket]| bucket.is_open()));
    }

    proptest! {
        #[test]
        fn never_more_than_the_burst_and_what_time_brings(
            per_second in 1..1_000_u64,
            burst in 1..1_000_u64,
            asked in proptest::collection::vec((0..2_000_000_u64, 0..50_u64), 1..200),
        ) {
            let rate = Rate { per_second, burst };
            let mut bucket = Bucket::full(rate, Duration::ZERO);
            let (mut now, mut taken) = (0_u64, 0_u64);
            for (pause, tokens) in asked {
                now += pause;
                bucket.advance(rate, Duration::from_micros(now));
                let tokens = tokens.min(burst);
                if bucket.take(tokens) {
                    taken += tokens;
                }
                let most = u128::from(burst) * 1_000_000 + u128::from(now) * u128::from(per_second);
                prop_assert!(u128::from(taken) * 1_000_000 <= most);
            }
            // And no less: after a second without requests a second's worth is there.
            bucket.advance(rate, Duration::from_micros(now + 1_000_000));
            prop_assert!(bucket.holds(per_second.min(burst)));
        }
    }
}

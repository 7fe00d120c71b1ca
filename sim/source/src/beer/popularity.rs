//! Zipf's law in whole numbers: rank `r` of `n` is drawn with weight `1 / (r + evenness)`.
//!
//! Whole numbers because floating-point logarithms differ between platforms, and the same seed must draw the same rows.

use rand::{Rng as _, RngCore};

/// Weight of a rank before the division; large enough that the last of a million ranks still has a fair share.
const NUMERATOR: u64 = 1 << 40;

/// Ranks by weight.
pub(crate) struct Popularity {
    cumulated: Vec<u64>,
}

impl Popularity {
    /// `ranks` must be at least 1. A greater `evenness` flattens the top.
    pub(crate) fn new(ranks: usize, evenness: u64) -> Self {
        assert!(ranks > 0, "there must be something to draw");
        let mut sum = 0;
        let cumulated = (1u64..)
            .take(ranks)
            .map(|rank| {
                sum += NUMERATOR / (rank + evenness);
                sum
            })
            .collect();
        Self { cumulated }
    }

    /// Draws a rank, counted from 0.
    pub(crate) fn draw(&self, rng: &mut impl RngCore) -> usize {
        let total = *self.cumulated.last().expect("there is at least one rank");
        let at = rng.random_range(0..total);
        self.cumulated.partition_point(|sum| *sum <= at)
    }
}

#[cfg(test)]
mod tests {
    use lakebed_contract::Seed;

    use super::*;

    #[test]
    fn early_ranks_are_drawn_more_often_and_every_rank_can_be() {
        let popularity = Popularity::new(100, 1);
        let mut rng = Seed(1).rng("ranks");
        let mut counts = [0u32; 100];
        for _ in 0..50_000 {
            counts[popularity.draw(&mut rng)] += 1;
        }
        assert!(counts[0] > 10 * counts[50]);
        assert!(counts.iter().all(|count| *count > 0));
    }
}

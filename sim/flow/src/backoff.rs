//! Waiting between attempts: doubles from a start to a cap, on the given clock. No jitter: the callers are few and local.

use std::time::Duration;

use lakebed_contract::Clock;

/// The wait before the next attempt.
#[derive(Debug)]
pub(crate) struct Backoff {
    start: Duration,
    cap: Duration,
    next: Duration,
}

impl Backoff {
    /// Starts at `start` and never waits longer than `cap`.
    pub(crate) fn new(start: Duration, cap: Duration) -> Self {
        Self { start, cap, next: start }
    }

    /// Waits, and doubles the next wait.
    pub(crate) async fn wait(&mut self, clock: &Clock) {
        clock.sleep(self.advance()).await;
    }

    /// Back to the first wait, after a success.
    pub(crate) fn reset(&mut self) {
        self.next = self.start;
    }

    fn advance(&mut self) -> Duration {
        let wait = self.next;
        self.next = self.next.saturating_mul(2).min(self.cap);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap_and_start_again() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(5));
        let waits: Vec<u64> = (0..5).map(|_| backoff.advance().as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        backoff.reset();
        assert_eq!(backoff.advance().as_secs(), 1);
    }
}

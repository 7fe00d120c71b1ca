//! Group commit: requests that wait for the disk at the same time share one fsync.
//!
//! What is appended to a log belongs to the log's open round. Whoever waits and finds nobody flushing flushes: he closes the
//! open round, calls fsync without holding any lock, and decides the round for all who wait for it. What is appended
//! meanwhile is in the next round, which one of its own waiters flushes.
//!
//! Lock order: the turn here and the log are never held together. Knows nothing of files.

use std::io;
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};

/// One fsync, and everything appended since the one before: decided once, for all who wait.
#[derive(Debug, Default)]
pub(super) struct Round {
    is_on_disk: OnceLock<bool>,
}

impl Round {
    /// Tells those who wait; the first word counts.
    pub(super) fn decide(&self, is_on_disk: bool) {
        self.is_on_disk.get_or_init(|| is_on_disk);
    }

    fn outcome(&self) -> Option<io::Result<()>> {
        self.is_on_disk.get().map(|is_on_disk| match is_on_disk {
            true => Ok(()),
            false => Err(io::Error::other("failed to flush a shard log")),
        })
    }
}

/// Whose turn it is to flush one log.
#[derive(Debug, Default)]
pub(super) struct Turns {
    is_taken: Mutex<bool>,
    given_back: Condvar,
}

/// The turn; given back on drop, also by a panic.
struct Turn<'a>(&'a Turns);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.is_taken.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.0.given_back.notify_all();
    }
}

impl Turns {
    /// Returns when `round` is decided. `flush` must close the log's open round, flush, and decide that round; it is called at most
    /// once, and not by two threads at the same time.
    pub(super) fn settle(&self, round: &Round, flush: impl FnOnce()) -> io::Result<()> {
        let mut is_taken = self.is_taken.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(outcome) = round.outcome() {
                return outcome;
            }
            if !*is_taken {
                break;
            }
            is_taken = self.given_back.wait(is_taken).unwrap_or_else(PoisonError::into_inner);
        }
        *is_taken = true;
        drop(is_taken);
        let turn = Turn(self);
        flush();
        drop(turn);
        // Nobody flushed and the round was open: it was the one that `flush` closed.
        round.outcome().unwrap_or_else(|| Err(io::Error::other("a flush of the shard log was cut off")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Arc, mpsc};
    use std::thread;

    use super::*;

    /// A log reduced to its open round.
    #[derive(Default)]
    struct Log {
        open: Mutex<Arc<Round>>,
        turns: Turns,
        flushes: AtomicU32,
    }

    impl Log {
        fn append(&self) -> Arc<Round> {
            Arc::clone(&self.open.lock().expect("sound"))
        }

        fn settle(&self, round: &Round, fsync: impl FnOnce() -> bool) -> io::Result<()> {
            self.turns.settle(round, || {
                let closed = std::mem::take(&mut *self.open.lock().expect("sound"));
                self.flushes.fetch_add(1, Ordering::Relaxed);
                closed.decide(fsync());
            })
        }
    }

    #[test]
    fn all_who_append_during_a_flush_share_the_next_one() {
        let log = Log::default();
        let (entered, has_entered) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        thread::scope(|scope| {
            let (first, log) = (log.append(), &log);
            let slow = scope.spawn(move || {
                log.settle(&first, || {
                    entered.send(()).expect("the test waits");
                    released.recv().is_ok()
                })
            });
            has_entered.recv().expect("the first flushes");
            // All are in the next round before the first flush ends, whenever they come to wait for it.
            let rounds: Vec<_> = (0..8).map(|_| log.append()).collect();
            let others: Vec<_> =
                rounds.into_iter().map(|round| scope.spawn(move || log.settle(&round, || true))).collect();
            release.send(()).expect("the first waits");
            slow.join().expect("no panic").expect("flushed");
            for other in others {
                other.join().expect("no panic").expect("flushed");
            }
        });
        assert_eq!(log.flushes.load(Ordering::Relaxed), 2, "nine appends");
    }

    #[test]
    fn a_failed_flush_fails_its_round_and_no_other() {
        let log = Log::default();
        let (one, two) = (log.append(), log.append());
        log.settle(&one, || false).expect_err("no disk");
        log.settle(&two, || true).expect_err("of the same round");
        let three = log.append();
        log.settle(&three, || true).expect("the next round");
    }

    #[test]
    fn a_flush_that_panics_hands_the_turn_on() {
        let log = Log::default();
        let round = log.append();
        let panicked = thread::scope(|scope| scope.spawn(|| log.settle(&round, || panic!("no disk"))).join().is_err());
        assert!(panicked);
        log.settle(&round, || true).expect_err("nobody knows what is on the disk");
        log.settle(&log.append(), || true).expect("the next round");
    }
}

//! Time. The only file of the workspace that reads a wall clock.
//!
//! A [`Clock`] is either the wall clock or a virtual one that stands still until somebody advances it. Code that waits
//! asks its clock to [`Clock::sleep`], so a scenario can let a day pass in no time. Cloning a clock shares it.
//! Knows nothing of time zones: everything is UTC.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Microseconds since 1970-01-01T00:00:00Z, the resolution of Postgres and of DMS records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// From whole seconds since the epoch.
    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds * 1_000_000)
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The calendar form; clamps to chrono's range, which lies far outside Postgres's useful one.
    pub fn to_datetime(self) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(self.0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }

    /// `2024-07-29T00:59:07.686557Z`: always six digits, as in the DMS envelope.
    pub fn to_rfc3339_micros(self) -> String {
        self.to_datetime().to_rfc3339_opts(SecondsFormat::Micros, true)
    }

    /// This moment plus `duration`.
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)))
    }

    /// Time from `earlier` to this moment; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_rfc3339_micros())
    }
}

/// Where time comes from. Wall by default; virtual in scenarios and tests.
#[derive(Clone, Debug)]
pub struct Clock(Inner);

#[derive(Clone, Debug)]
enum Inner {
    Wall,
    Virtual(Arc<VirtualClock>),
}

#[derive(Debug)]
struct VirtualClock {
    now: watch::Sender<Timestamp>,
    origin: Timestamp,
    advance: Mutex<()>,
}

impl Clock {
    /// The machine's clock.
    pub fn wall() -> Self {
        Self(Inner::Wall)
    }

    /// A clock that shows `start` until [`Clock::advance`] moves it.
    pub fn virtual_at(start: Timestamp) -> Self {
        let (now, _) = watch::channel(start);
        Self(Inner::Virtual(Arc::new(VirtualClock { now, origin: start, advance: Mutex::new(()) })))
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Inner::Wall => wall_now(),
            Inner::Virtual(clock) => *clock.now.borrow(),
        }
    }

    /// Time since an arbitrary fixed moment; never goes back. For measuring durations.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Inner::Wall => wall_monotonic(),
            Inner::Virtual(clock) => clock.now.borrow().since(clock.origin),
        }
    }

    /// Waits until `duration` has passed on this clock.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Inner::Wall => wall_sleep(duration).await,
            Inner::Virtual(_) => self.sleep_until(self.now().plus(duration)).await,
        }
    }

    /// Waits until this clock shows `moment` or later, however it gets there: a virtual clock that is moved just before the
    /// wait begins counts too.
    pub async fn sleep_until(&self, moment: Timestamp) {
        match &self.0 {
            Inner::Wall => loop {
                let left = moment.since(wall_now());
                if left.is_zero() {
                    return;
                }
                wall_sleep(left).await;
            },
            Inner::Virtual(clock) => {
                let mut now = clock.now.subscribe();
                // The sender lives in `clock`, which we hold, so the channel cannot close under us.
                let _open = now.wait_for(|at| *at >= moment).await;
            }
        }
    }

    /// Moves a virtual clock forward and wakes every sleeper whose time has come. Returns `false`, and does nothing, on
    /// a wall clock.
    pub fn advance(&self, duration: Duration) -> bool {
        match &self.0 {
            Inner::Wall => false,
            Inner::Virtual(clock) => {
                let _one_at_a_time = clock.advance.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                clock.now.send_modify(|at| *at = at.plus(duration));
                true
            }
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn wall_now() -> Timestamp {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the monotonic clock")]
fn wall_monotonic() -> Duration {
    static ORIGIN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    ORIGIN.get_or_init(std::time::Instant::now).elapsed()
}

#[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
async fn wall_sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_virtual_sleeper_wakes_when_the_clock_reaches_its_deadline() {
        let clock = Clock::virtual_at(Timestamp::from_seconds(100));
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move {
                clock.sleep(Duration::from_secs(60)).await;
                clock.now()
            }
        });
        tokio::task::yield_now().await;
        assert!(clock.advance(Duration::from_secs(59)));
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(1));
        assert_eq!(sleeper.await.expect("sleeper ends"), Timestamp::from_seconds(160));
    }

    #[tokio::test]
    async fn a_moment_is_reached_however_the_clock_gets_there() {
        let (clock, moment) = (Clock::virtual_at(Timestamp::from_seconds(100)), Timestamp::from_seconds(160));
        let pause = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(moment).await }
        });
        // The pause has not been polled yet.
        clock.advance(Duration::from_secs(59));
        tokio::task::yield_now().await;
        assert!(!pause.is_finished(), "a second too early");
        clock.advance(Duration::from_secs(1));
        pause.await.expect("the pause ends");
        clock.sleep_until(moment).await;
        let wall = Clock::wall();
        let soon = wall.now().plus(Duration::from_millis(2));
        wall.sleep_until(soon).await;
        assert!(wall.now() >= soon);
    }

    #[test]
    fn a_wall_clock_refuses_to_be_advanced() {
        assert!(!Clock::wall().advance(Duration::from_secs(1)));
    }

    #[test]
    fn timestamps_print_six_digits() {
        assert_eq!(Timestamp(1_722_214_747_686_557).to_string(), "2024-07-29T00:59:07.686557Z");
        assert_eq!(Timestamp::from_seconds(0).to_string(), "1970-01-01T00:00:00.000000Z");
    }
}

//! EventBridge Scheduler: runs a state machine every interval of the clock.
//!
//! Promises: one run at a time; ticks that passed unheard (the clock was moved far, or a run took long) are made up by one
//! run, not by many; names are `<schedule>-<scheduled time>`, so a tick never runs twice. For one run now, call
//! [`StepFunctions::run`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lakebed_contract::{Clock, EventSink, Timestamp};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::step_functions::StepFunctions;

/// The shortest interval; a shorter one means this.
const TICK_MIN: Duration = Duration::from_millis(1);

/// A schedule.
#[derive(Clone, Debug)]
pub struct SchedulerConfig {
    /// Schedule name.
    pub name: String,
    /// Time between ticks; the first comes one interval after the start.
    pub every: Duration,
    /// State machine to run.
    pub machine: String,
    /// Its input, the same each time.
    pub input: Value,
    /// Where to run it.
    pub machines: Arc<StepFunctions>,
    /// Time.
    pub clock: Clock,
    /// Where failed runs are told.
    pub events: EventSink,
}

#[derive(Debug, Default)]
struct Counters {
    succeeded: AtomicU64,
    failed: AtomicU64,
}

/// Starts schedules.
#[derive(Debug)]
pub struct Scheduler;

impl Scheduler {
    /// Begins to tick. Must be called inside a Tokio runtime.
    pub fn start(config: SchedulerConfig) -> SchedulerHandle {
        let (counters, cancel) = (Arc::new(Counters::default()), CancellationToken::new());
        let task = tokio::spawn(run(config, counters.clone(), cancel.clone()));
        SchedulerHandle { counters, cancel, task: AbortOnDropHandle::new(task) }
    }
}

/// A running schedule. Dropping it stops it; an execution it started goes on.
#[derive(Debug)]
pub struct SchedulerHandle {
    counters: Arc<Counters>,
    cancel: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl SchedulerHandle {
    /// Runs that succeeded.
    pub fn succeeded(&self) -> u64 {
        self.counters.succeeded.load(Ordering::Relaxed)
    }

    /// Runs that failed.
    pub fn failed(&self) -> u64 {
        self.counters.failed.load(Ordering::Relaxed)
    }

    /// Waits for the run that is going, and ends.
    pub async fn stop(self) {
        self.cancel.cancel();
        // The task ends by itself; its only other end is a panic, which the runtime has reported.
        let _ended = self.task.await;
    }
}

async fn run(config: SchedulerConfig, counters: Arc<Counters>, cancel: CancellationToken) {
    let mut due = config.clock.now().plus(config.every);
    loop {
        tokio::select! {
            biased;
            () = cancel.cancelled() => return,
            () = config.clock.sleep_until(due) => (),
        }
        due = last_tick(due, config.every, config.clock.now());
        let name = format!("{}-{}", config.name, due.millis());
        match config.machines.run(&config.machine, &name, config.input.clone()).await {
            Ok(_) => counters.succeeded.fetch_add(1, Ordering::Relaxed),
            Err(failed) => {
                config.events.log(format!("schedule `{}`: {failed}", config.name));
                counters.failed.fetch_add(1, Ordering::Relaxed)
            }
        };
        due = due.plus(config.every.max(TICK_MIN));
    }
}

/// The last tick, counted from `due`, that is not later than `now`.
fn last_tick(due: Timestamp, every: Duration, now: Timestamp) -> Timestamp {
    let every = every.max(TICK_MIN);
    let passed = now.since(due).as_micros() / every.as_micros();
    due.plus(every.saturating_mul(u32::try_from(passed).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_ticks_become_one() {
        let tick = |due: i64, now: i64| {
            last_tick(Timestamp::from_seconds(due), Duration::from_secs(10), Timestamp::from_seconds(now)).seconds()
        };
        assert_eq!(tick(100, 100), 100);
        assert_eq!(tick(100, 109), 100);
        assert_eq!(tick(100, 110), 110);
        assert_eq!(tick(100, 135), 130);
    }
}

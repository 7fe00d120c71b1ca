//! Gauges: how full queues are, for somebody who looks from outside.
//!
//! A stage writes its numbers where it changes them; a reader takes them when it likes. Reading never waits and never makes a
//! stage wait. A gauge keeps nothing alive: one of a service that has ended reads zero.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One queue or buffer.
#[derive(Clone)]
pub struct Gauge {
    /// Queue and unit, e.g. `firehose.buffered_bytes`.
    pub queue: &'static str,
    /// What it can hold at most, where there is such a bound.
    pub bound: Option<u64>,
    read: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Gauge {
    /// A gauge that asks `read`.
    pub fn new(queue: &'static str, bound: Option<u64>, read: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { queue, bound, read: Arc::new(read) }
    }

    /// A gauge over a number that somebody else writes.
    pub(crate) fn of(queue: &'static str, bound: Option<u64>, level: &Level) -> Self {
        let level = level.clone();
        Self::new(queue, bound, move || level.0.load(Ordering::Relaxed))
    }

    /// What it holds now.
    pub fn depth(&self) -> u64 {
        (self.read)()
    }
}

impl fmt::Debug for Gauge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauge").field("queue", &self.queue).field("bound", &self.bound).finish_non_exhaustive()
    }
}

/// The written end of a gauge.
#[derive(Clone, Debug, Default)]
pub(crate) struct Level(Arc<AtomicU64>);

impl Level {
    pub(crate) fn set(&self, depth: u64) {
        self.0.store(depth, Ordering::Relaxed);
    }
}

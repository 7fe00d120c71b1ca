//! Random operations against the stores and against a model of a few lines: both must say the same of each operation, and
//! have the same at the end and after a restart.
//!
//! The operations follow from a fixed number, so a failure is the same on every machine; proptest shrinks it to the
//! shortest sequence that still fails. A step that hardly ever finds what it is about would test nothing, so what the steps met
//! is counted ([`Restartable::met`]) and looked at in the end. What is left out: anything that needs time to pass (the clock stands still).

mod dynamodb;
mod kinesis;
mod s3;

use std::collections::BTreeMap;

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestRng, TestRunner};
use tokio::runtime::Runtime;

use crate::Running;

/// Runs `check` over `cases` random values, each with a number of its own; nothing is written to disk about failures.
fn over<S: Strategy>(
    cases: u32,
    strategy: &S,
    mut check: impl FnMut(u32, S::Value) -> Result<(), TestCaseError>,
) -> Result<(), String>
where
    S::Value: std::fmt::Debug,
{
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 200, ..Config::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let count = std::cell::Cell::new(0);
    let check = std::cell::RefCell::new(&mut check);
    TestRunner::new_with_rng(config, rng)
        .run(strategy, |value| {
            count.set(count.get() + 1);
            (check.borrow_mut())(count.get(), value)
        })
        .map_err(|error| error.to_string())
}

/// A store that can be stopped and started again in the middle.
struct Restartable {
    runtime: Runtime,
    dir: tempfile::TempDir,
    running: Option<Running>,
    met: BTreeMap<&'static str, u32>,
}

impl Restartable {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let mut store = Self {
            runtime: runtime.expect("a runtime"),
            dir: tempfile::tempdir().expect("a directory"),
            running: None,
            met: BTreeMap::new(),
        };
        store.restart();
        store
    }

    fn restart(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
        self.running = Some(self.runtime.block_on(Running::start(self.dir.path())));
    }

    /// Counts that a step met this.
    fn met(&mut self, what: &'static str) {
        *self.met.entry(what).or_default() += 1;
    }

    /// Each of these was met so often.
    fn assert_met(&self, at_least: u32, names: &[&str]) {
        for name in names {
            let times = self.met.get(name).copied().unwrap_or_default();
            assert!(times >= at_least, "`{name}` was met {times} times: {:?}", self.met);
        }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn stop(mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
    }
}

//! Times calls one by one, and the server's CPU time and memory around all of them.

use std::collections::BTreeMap;
use std::time::Duration;

use lakebed_contract::Clock;

use crate::bench::process;

/// Times calls, and the server's CPU around all of them.
pub(super) struct Timer {
    pub(super) clock: Clock,
    server_pid: u32,
    latencies: Vec<Duration>,
}

pub(super) struct Window {
    started: Duration,
    before: Option<process::Usage>,
}

impl Timer {
    pub(super) fn new(clock: Clock, server_pid: u32) -> Self {
        Self { clock, server_pid, latencies: Vec::new() }
    }

    pub(super) fn open(&mut self) -> Window {
        Window { before: process::usage(self.server_pid), started: self.clock.monotonic() }
    }

    pub(super) async fn call<T>(&mut self, call: impl Future<Output = T>) -> T {
        let started = self.clock.monotonic();
        let answer = call.await;
        self.latencies.push(self.clock.monotonic() - started);
        answer
    }

    pub(super) fn close(&mut self, window: Window) -> BTreeMap<String, f64> {
        let wall = self.clock.monotonic() - window.started;
        // The client makes and compares bodies between the calls; that is not the store's time.
        let in_calls: Duration = self.latencies.iter().sum();
        let after = process::usage(self.server_pid);
        let calls = self.latencies.len();
        self.latencies.sort_unstable();
        let at = |share: usize| self.latencies.get((calls * share / 100).min(calls.saturating_sub(1)));
        let micros = |share| at(share).map_or(0.0, |latency| latency.as_secs_f64() * 1e6);
        let mut figures = BTreeMap::from([
            ("wall_ms".to_owned(), wall.as_secs_f64() * 1e3),
            ("calls_per_s".to_owned(), calls as f64 / in_calls.as_secs_f64()),
            ("p50_us".to_owned(), micros(50)),
            ("p99_us".to_owned(), micros(99)),
        ]);
        if let (Some(before), Some(after)) = (window.before, after) {
            figures.insert("server_cpu_ms".to_owned(), after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e3);
            figures.insert("server_peak_rss_bytes".to_owned(), after.peak_rss_bytes as f64);
        }
        figures
    }
}

//! What calls took in all, and the server's CPU time and memory around them.

use std::collections::BTreeMap;
use std::time::Duration;

use lakebed_contract::Clock;

use crate::bench::process;

/// The clock, and the process whose CPU is taken.
pub(super) struct Timer {
    pub(super) clock: Clock,
    server_pid: u32,
}

pub(super) struct Window {
    started: Duration,
    before: Option<process::Usage>,
}

impl Timer {
    pub(super) fn new(clock: Clock, server_pid: u32) -> Self {
        Self { clock, server_pid }
    }

    pub(super) fn open(&self) -> Window {
        Window { before: process::usage(self.server_pid), started: self.clock.monotonic() }
    }

    /// The figures of the calls that were made since, over so many connections.
    pub(super) fn close(
        &self,
        window: Window,
        mut latencies: Vec<Duration>,
        connections: u32,
    ) -> BTreeMap<String, f64> {
        let wall = self.clock.monotonic() - window.started;
        // Over one connection, what the client does between the calls (making and comparing bodies) is not the store's time.
        // Over several, the others' calls go on meanwhile: there only the time of all is true.
        let busy: Duration = if connections == 1 { latencies.iter().sum() } else { wall };
        let after = process::usage(self.server_pid);
        let calls = latencies.len();
        latencies.sort_unstable();
        let at = |share: usize| latencies.get((calls * share / 100).min(calls.saturating_sub(1)));
        let micros = |share| at(share).map_or(0.0, |latency| latency.as_secs_f64() * 1e6);
        let mut figures = BTreeMap::from([
            ("wall_ms".to_owned(), wall.as_secs_f64() * 1e3),
            ("calls".to_owned(), calls as f64),
            ("calls_per_s".to_owned(), calls as f64 / busy.as_secs_f64()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn over_one_connection_the_calls_count_and_over_several_the_time_of_all() {
        let clock = Clock::virtual_at(lakebed_contract::Timestamp::from_seconds(0));
        let timer = Timer::new(clock.clone(), std::process::id());
        let rate = |connections| {
            let window = timer.open();
            clock.advance(Duration::from_secs(4));
            timer.close(window, vec![Duration::from_millis(100); 20], connections)["calls_per_s"]
        };
        // The calls took 2 s together and 4 s went by.
        assert!((rate(1) - 10.0).abs() < 1e-9);
        assert!((rate(4) - 5.0).abs() < 1e-9);
    }
}

//! The sampler: looks at queues and at this process from time to time and tells what it sees.
//!
//! Promises: one look per [`SAMPLE_INTERVAL`] of the clock; a depth is told only when it has changed; dropping it ends it. Memory and
//! processor time come from the system's own count of this process, where it keeps one (Linux).

use std::collections::HashMap;
use std::time::Duration;

use lakebed_contract::{Clock, EventSink, RunEvent};
use lakebed_flow::Gauge;
use tokio_util::task::AbortOnDropHandle;

/// Time between two looks.
pub const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);
/// Looks between two samples of memory and processor time.
const LOOKS_PER_RESOURCE_SAMPLE: u64 = 2;
/// Ticks a second in which Linux counts processor time for every program.
const TICKS_PER_SECOND: u64 = 100;

/// A running sampler. Dropping it ends it.
#[derive(Debug)]
pub struct Sampler {
    _task: AbortOnDropHandle<()>,
}

impl Sampler {
    /// Begins to look. Must be called inside a Tokio runtime.
    pub fn start(process: &str, gauges: Vec<Gauge>, clock: Clock, events: EventSink) -> Self {
        let process = process.to_owned();
        let task = tokio::spawn(async move {
            let mut told = HashMap::new();
            let mut looks = 0u64;
            loop {
                tell_depths(&gauges, &mut told, &events);
                if looks.is_multiple_of(LOOKS_PER_RESOURCE_SAMPLE) {
                    tell_resources(&process, false, &events);
                }
                looks += 1;
                clock.sleep(SAMPLE_INTERVAL).await;
            }
        });
        Self { _task: AbortOnDropHandle::new(task) }
    }
}

fn tell_depths(gauges: &[Gauge], told: &mut HashMap<&'static str, u64>, events: &EventSink) {
    for gauge in gauges {
        let depth = gauge.depth();
        if told.insert(gauge.queue, depth) != Some(depth) {
            events.emit(RunEvent::QueueDepth { queue: gauge.queue.to_owned(), depth, bound: gauge.bound });
        }
    }
}

/// Tells what this process uses now; says nothing where the system does not tell. `last` goes with a process about to end.
pub fn tell_resources(process: &str, last: bool, events: &EventSink) {
    let Some((resident_bytes, resident_bytes_max, cpu)) = resources() else { return };
    let (process, pid) = (process.to_owned(), std::process::id());
    events.emit(RunEvent::ResourcesSampled { process, pid, resident_bytes, resident_bytes_max, cpu, last });
}

/// Resident memory now and at most, and processor time.
fn resources() -> Option<(u64, u64, Duration)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    Some((status_bytes(&status, "VmRSS:")?, status_bytes(&status, "VmHWM:")?, cpu_time(&stat)?))
}

/// Highest resident memory of this process so far, in bytes; `None` where the system does not tell.
pub fn peak_rss_bytes() -> Option<u64> {
    status_bytes(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

fn status_bytes(status: &str, name: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// User and system time out of `/proc/<pid>/stat`; the program's name, in parentheses, may hold anything.
fn cpu_time(stat: &str) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let user: u64 = fields.nth(11)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis((user + system) * 1_000 / TICKS_PER_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakebed_contract::Timestamp;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};

    #[test]
    fn the_systems_words_are_read() {
        let status = "Name:\tlakebed\nVmHWM:\t  371712 kB\nVmRSS:\t    1024 kB\n";
        assert_eq!(status_bytes(status, "VmHWM:"), Some(371_712 * 1024));
        assert_eq!(status_bytes(status, "VmRSS:"), Some(1 << 20));
        assert_eq!(status_bytes("", "VmRSS:"), None);
        let stat = "42 (a) b) S 1 42 42 0 -1 4194560 300 0 0 0 150 25 0 0 20 0 9 0 100 0 0";
        assert_eq!(cpu_time(stat), Some(Duration::from_millis(1_750)));
        assert_eq!(cpu_time("42 (a)"), None);
    }

    #[tokio::test]
    async fn a_depth_is_told_when_it_changes() {
        let clock = Clock::virtual_at(Timestamp::from_seconds(0));
        let (depth, told) = (Arc::new(AtomicU64::new(3)), Arc::new(Mutex::new(Vec::new())));
        let gauge = Gauge::new("q", Some(9), {
            let depth = Arc::clone(&depth);
            move || depth.load(Ordering::Relaxed)
        });
        let events = EventSink::new({
            let told = Arc::clone(&told);
            move |event| {
                if let RunEvent::QueueDepth { depth, .. } = event {
                    told.lock().expect("lock").push(depth);
                }
            }
        });
        let sampler = Sampler::start("test", vec![gauge], clock.clone(), events);
        for next in [3, 3, 4, 4, 0] {
            depth.store(next, Ordering::Relaxed);
            tokio::task::yield_now().await;
            clock.advance(SAMPLE_INTERVAL);
            tokio::task::yield_now().await;
        }
        assert_eq!(*told.lock().expect("lock"), [3, 4, 0]);
        drop(sampler);
    }
}

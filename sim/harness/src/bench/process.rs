//! CPU time and memory of a running process and its descendants, from `/proc`. Elsewhere there is no answer.

use std::time::Duration;

/// Clock ticks per second in `/proc/<pid>/stat`: 100 on every Linux that has not been patched.
const TICKS_PER_SECOND: u64 = 100;
/// Descendants that are looked at.
const DESCENDANTS_MAX: usize = 1_000;

/// CPU time so far, and the highest resident memory of the largest process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    pub(super) cpu: Duration,
    pub(super) peak_rss_bytes: u64,
}

/// Usage of `pid` and its descendants that live.
pub(super) fn usage(pid: u32) -> Option<Usage> {
    let mut total = own(pid)?;
    let mut waiting = children(pid);
    let mut seen = 0;
    while let Some(child) = waiting.pop() {
        seen += 1;
        if seen > DESCENDANTS_MAX {
            break;
        }
        // A child that ended meanwhile is counted with its parent.
        if let Some(usage) = own(child) {
            total.cpu += usage.cpu;
            total.peak_rss_bytes = total.peak_rss_bytes.max(usage.peak_rss_bytes);
        }
        waiting.extend(children(child));
    }
    Some(total)
}

fn own(pid: u32) -> Option<Usage> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    Some(Usage { cpu: cpu_in(&stat)?, peak_rss_bytes: peak.unwrap_or(0u64) * 1024 })
}

/// utime, stime and those of children that were waited for: fields 14 to 17. The name in field 2 may hold anything.
fn cpu_in(stat: &str) -> Option<Duration> {
    let behind_name = stat.rsplit_once(')')?.1;
    let ticks: u64 =
        behind_name.split_whitespace().skip(11).take(4).map(|field| field.parse::<u64>().unwrap_or(0)).sum();
    Some(Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = std::fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads
        .flatten()
        .filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok())
        .flat_map(|text| text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_fields_behind_any_name_are_added() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194304 100 0 0 0 12 3 4 1 20 0 1 0 100 1000 10";
        assert_eq!(cpu_in(stat), Some(Duration::from_millis(200)));
    }
}

//! What a run measures about itself while it runs: throughput of each stage, latency, memory, processor time. Made of events only.
//!
//! The terminal shows these numbers live, and the same numbers go into the run's summary, so that a run can be laid beside the one
//! before. A stage's throughput counts from its first sign of life to its last: waiting in between is part of it.

use std::collections::BTreeMap;
use std::time::Duration;

use lakebed_contract::event::Carried;
use lakebed_contract::{LatencyHistogram, RunEvent, Stage, Timestamp};
use serde::{Deserialize, Serialize};

/// Processes remembered; of more workers only the memory peak is kept.
pub const PROCESSES_MAX: usize = 64;

/// The numbers so far.
#[derive(Clone, Debug, Default)]
pub struct Measures {
    /// By stage.
    pub stages: BTreeMap<Stage, StageMeasure>,
    /// From the commit at the source to the silver snapshot.
    pub latency: BTreeMap<Carried, LatencyHistogram>,
    /// By process id: the newest sample of each process that has not ended.
    pub processes: BTreeMap<u32, ProcessMeasure>,
    /// Processor time of the processes that have ended.
    pub ended_cpu: Duration,
    /// Highest resident memory of this process.
    pub resident_bytes_max: u64,
    /// Highest resident memory of any ECS worker.
    pub worker_resident_bytes_max: u64,
}

/// What a stage has moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StageMeasure {
    /// Rows.
    pub rows: u64,
    /// Bytes, of what the stage reads or writes; 0 where it does not tell.
    pub bytes: u64,
    /// First sign of life.
    pub first: Timestamp,
    /// Last one.
    pub last: Timestamp,
}

/// What a process uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessMeasure {
    /// `lakebed`, or the task definition of an ECS worker.
    pub process: String,
    /// Resident memory now.
    pub resident_bytes: u64,
    /// Processor time so far.
    pub cpu: Duration,
}

/// Name of the main process in samples.
pub const MAIN_PROCESS: &str = "lakebed";

impl Measures {
    /// Takes an event into account.
    pub fn take(&mut self, at: Timestamp, event: &RunEvent) {
        match event {
            RunEvent::Progress { stage, rows, bytes, .. } => {
                let measure = self.touch(*stage, at);
                measure.rows += rows;
                measure.bytes += bytes;
            }
            RunEvent::StageStarted { stage, .. } | RunEvent::StageFinished { stage, .. } => {
                self.touch(*stage, at);
            }
            RunEvent::LatencyMeasured { carried, latencies, .. } => {
                self.latency.entry(*carried).or_default().merge(latencies);
            }
            RunEvent::ResourcesSampled { process, pid, resident_bytes, resident_bytes_max, cpu, last } => {
                let highest = match process.as_str() {
                    MAIN_PROCESS => &mut self.resident_bytes_max,
                    _ => &mut self.worker_resident_bytes_max,
                };
                *highest = (*highest).max(*resident_bytes_max);
                self.processes.remove(pid);
                if *last {
                    self.ended_cpu += *cpu;
                } else if self.processes.len() < PROCESSES_MAX {
                    let (process, resident_bytes, cpu) = (process.clone(), *resident_bytes, *cpu);
                    self.processes.insert(*pid, ProcessMeasure { process, resident_bytes, cpu });
                }
            }
            _ => {}
        }
    }

    /// Processor time of all processes that told, ended ones included.
    pub fn cpu(&self) -> Duration {
        self.ended_cpu + self.processes.values().map(|process| process.cpu).sum::<Duration>()
    }

    /// The numbers as a summary keeps them.
    pub fn summary(&self) -> MeasuresSummary {
        let named = |carried: Carried| match carried {
            Carried::Changes => "changes".to_owned(),
            Carried::Load => "load".to_owned(),
        };
        MeasuresSummary {
            stages: self.stages.iter().map(|(stage, m)| (stage.as_str().to_owned(), (*m).into())).collect(),
            latency: self.latency.iter().filter_map(|(c, h)| Some((named(*c), LatencySummary::of(h)?))).collect(),
            worker_resident_bytes_max: self.worker_resident_bytes_max,
            cpu_ms: millis(self.cpu()),
        }
    }

    fn touch(&mut self, stage: Stage, at: Timestamp) -> &mut StageMeasure {
        let measure = self.stages.entry(stage).or_insert(StageMeasure { rows: 0, bytes: 0, first: at, last: at });
        measure.last = measure.last.max(at);
        measure
    }
}

/// The numbers of a finished run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MeasuresSummary {
    /// By stage.
    pub stages: BTreeMap<String, StageSummary>,
    /// `changes` and `load`.
    pub latency: BTreeMap<String, LatencySummary>,
    /// Highest resident memory of any ECS worker; 0 without one.
    pub worker_resident_bytes_max: u64,
    /// Processor time of this process and its ECS workers, as far as sampled.
    pub cpu_ms: u64,
}

/// What a stage moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StageSummary {
    /// Rows.
    pub rows: u64,
    /// Bytes; 0 where the stage does not tell.
    pub bytes: u64,
    /// From its first sign of life to its last.
    pub active_ms: u64,
}

impl From<StageMeasure> for StageSummary {
    fn from(measure: StageMeasure) -> Self {
        let StageMeasure { rows, bytes, first, last } = measure;
        Self { rows, bytes, active_ms: millis(last.since(first)) }
    }
}

impl StageSummary {
    /// A count per second of the active time.
    pub fn per_second(&self, count: u64) -> Option<f64> {
        (self.active_ms > 0).then(|| count as f64 * 1_000.0 / self.active_ms as f64)
    }
}

/// Percentiles out of a histogram: each is the upper bound of its bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LatencySummary {
    /// Rows counted.
    pub rows: u64,
    /// Half of the rows were no slower.
    pub p50_ms: u64,
    /// 90 %.
    pub p90_ms: u64,
    /// 99 %.
    pub p99_ms: u64,
    /// All.
    pub max_ms: u64,
}

impl LatencySummary {
    /// Of a histogram; `None` when it is empty.
    pub fn of(histogram: &LatencyHistogram) -> Option<Self> {
        let at = |part: f64| histogram.percentile(part).map(millis);
        let (p50_ms, p90_ms, p99_ms, max_ms) = (at(0.5)?, at(0.9)?, at(0.99)?, at(1.0)?);
        Some(Self { rows: histogram.count(), p50_ms, p90_ms, p99_ms, max_ms })
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(pid: u32, process: &str, resident_mib: u64, cpu_ms: u64, last: bool) -> RunEvent {
        RunEvent::ResourcesSampled {
            process: process.to_owned(),
            pid,
            resident_bytes: resident_mib << 20,
            resident_bytes_max: resident_mib << 20,
            cpu: Duration::from_millis(cpu_ms),
            last,
        }
    }

    #[test]
    fn throughput_spans_a_stages_life_and_memory_keeps_its_peak() {
        let mut measures = Measures::default();
        let progress =
            |rows| RunEvent::Progress { stage: Stage::Dms, table: "beer".to_owned(), rows, bytes: rows * 10 };
        let events = [
            (1, RunEvent::StageStarted { stage: Stage::Dms, detail: "load".to_owned() }),
            (2, progress(300)),
            (5, progress(100)),
            (5, sample(1, MAIN_PROCESS, 300, 900, false)),
            (6, sample(9, "mass", 80, 200, false)),
            (7, sample(9, "mass", 90, 400, true)),
            (8, sample(1, MAIN_PROCESS, 200, 1_000, false)),
        ];
        for (second, event) in events {
            measures.take(Timestamp::from_seconds(second), &event);
        }
        let summary = measures.summary();
        let dms = summary.stages["dms"];
        assert_eq!((dms.rows, dms.bytes, dms.active_ms), (400, 4_000, 4_000));
        assert_eq!(dms.per_second(dms.rows), Some(100.0));
        assert_eq!(StageSummary::default().per_second(5), None);
        assert_eq!((measures.resident_bytes_max >> 20, summary.worker_resident_bytes_max >> 20), (300, 90));
        assert_eq!((summary.cpu_ms, measures.processes.len()), (1_400, 1));
    }

    #[test]
    fn latencies_of_all_tables_add_up_by_kind() {
        let mut measures = Measures::default();
        for (carried, ms) in [(Carried::Changes, 100), (Carried::Changes, 3_000), (Carried::Load, 9)] {
            let mut latencies = LatencyHistogram::default();
            latencies.add(Duration::from_millis(ms));
            let event = RunEvent::LatencyMeasured { table: "t".to_owned(), carried, latencies };
            measures.take(Timestamp::default(), &event);
        }
        let summary = measures.summary();
        assert_eq!(summary.latency["changes"].rows, 2);
        assert!(summary.latency["changes"].max_ms >= 3_000 && summary.latency["changes"].p50_ms < 130);
        assert_eq!(summary.latency["load"].max_ms, 9);
        let text = serde_json::to_string(&summary).expect("plain data");
        assert_eq!(serde_json::from_str::<MeasuresSummary>(&text).expect("own form"), summary);
    }
}

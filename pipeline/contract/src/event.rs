//! What a run tells the world. Libraries emit [`RunEvent`]s; the terminal, the reports and the tests read them.
//!
//! Events carry names, counts, sizes and durations, never row values. An [`EventSink`] never blocks its emitter. A run's events
//! with the moment of each, one JSON object a line, are its event log: [`RecordedEvent`].

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::control::ControlRecord;
use crate::latency::LatencyHistogram;
use crate::masking::MaskedColumn;

/// The stages of the path, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Generating and mutating Postgres.
    Source,
    /// Full load and change capture into Kinesis.
    Dms,
    /// Kinesis to raw objects.
    Firehose,
    /// File exports put straight under `raw/`.
    Batch,
    /// Raw objects to masked Parquet.
    Bronze,
    /// Bronze to Iceberg silver.
    Silver,
    /// Silver to Iceberg gold.
    Gold,
    /// Checking the invariants.
    Judge,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 8] =
        [Self::Source, Self::Dms, Self::Firehose, Self::Batch, Self::Bronze, Self::Silver, Self::Gold, Self::Judge];

    /// Lower-case name, as in `--json`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Dms => "dms",
            Self::Firehose => "firehose",
            Self::Batch => "batch",
            Self::Bronze => "bronze",
            Self::Silver => "silver",
            Self::Gold => "gold",
            Self::Judge => "judge",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The judge's word on one invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Checked, holds.
    Pass,
    /// Checked, does not hold.
    Fail,
    /// Not checked by this run; never a pass.
    Unchecked,
}

/// How rows came in: latencies of changes and of loads say different things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Carried {
    /// Inserts, updates and deletes out of the source's log, counted from their commit.
    Changes,
    /// Rows of a full load or of a file, counted from the moment they were read or the file was put.
    Load,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RunEvent {
    /// First event of a run.
    RunStarted {
        /// Seed.
        seed: u64,
        /// Scale.
        scale: f64,
        /// Backend name.
        backend: String,
        /// Named bounds of queues, retries and buffers in force.
        bounds: BTreeMap<String, u64>,
    },
    /// The stores answer.
    EndpointReady {
        /// `http://HOST:PORT` of S3, DynamoDB and Kinesis.
        url: String,
    },
    /// A stage begins a piece of work.
    StageStarted {
        /// Stage.
        stage: Stage,
        /// What exactly, in a few words.
        detail: String,
    },
    /// Rows passed a stage since the last such event.
    Progress {
        /// Stage.
        stage: Stage,
        /// Table.
        table: String,
        /// Rows since the last event.
        rows: u64,
        /// Bytes since the last event, 0 where not known.
        bytes: u64,
    },
    /// A stage ends a piece of work.
    StageFinished {
        /// Stage.
        stage: Stage,
        /// What exactly, as at its start.
        detail: String,
        /// How long it took.
        elapsed: Duration,
    },
    /// A control record changed, in whichever process: told from the table's stream. May come again after a restart.
    ControlChanged {
        /// The record as it stands after the change.
        record: Box<ControlRecord>,
    },
    /// A Step Functions execution got its slot and begins.
    ExecutionStarted {
        /// State machine.
        machine: String,
        /// Execution name.
        name: String,
    },
    /// A Step Functions execution ended.
    ExecutionFinished {
        /// State machine.
        machine: String,
        /// Execution name.
        name: String,
        /// `SUCCEEDED` or `FAILED`.
        status: String,
        /// Name of the error; empty after success.
        #[serde(default)]
        error: String,
    },
    /// How full a queue or buffer is; told when it has changed since the last look.
    QueueDepth {
        /// Queue and unit, e.g. `firehose.buffered_bytes`.
        queue: String,
        /// What it holds.
        depth: u64,
        /// What it can hold at most; absent where there is no such bound.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bound: Option<u64>,
    },
    /// What a process uses.
    ResourcesSampled {
        /// `lakebed`, or the task definition of an ECS worker.
        process: String,
        /// Its id.
        pid: u32,
        /// Resident memory now.
        resident_bytes: u64,
        /// Highest resident memory so far.
        resident_bytes_max: u64,
        /// Processor time of all its threads so far.
        cpu: Duration,
        /// Whether it is about to end.
        #[serde(default)]
        last: bool,
    },
    /// How long rows of a silver commit were under way: from the commit at the source to the snapshot that shows them.
    LatencyMeasured {
        /// Table.
        table: String,
        /// Changes and loads are told apart.
        carried: Carried,
        /// Upper bounds in milliseconds and counts.
        latencies: LatencyHistogram,
    },
    /// The rows of a raw object are in bronze: what masking did to them. Told at most once an object, behind the write that finishes
    /// its record: a worker that dies in between, or never hears that its write was done, leaves it untold. Sums are a lower bound.
    Masked {
        /// The columns with a class.
        columns: Vec<MaskedColumn>,
    },
    /// An Iceberg snapshot was committed.
    Committed {
        /// Namespace.
        namespace: String,
        /// Table.
        table: String,
        /// Snapshot id.
        snapshot_id: i64,
        /// Data files added.
        files_added: u64,
        /// Data files removed.
        files_removed: u64,
    },
    /// The judge decided about one invariant.
    Judged {
        /// `I1` … `I10`.
        invariant: String,
        /// The word.
        outcome: Outcome,
        /// Why, in counts and names.
        detail: String,
    },
    /// Something worth a line in the log.
    Log {
        /// Line, without row values.
        message: String,
    },
    /// Last event of a run.
    RunFinished {
        /// `pass`, `fail` or `error`.
        verdict: String,
    },
}

/// An event and its moment: one line of an event log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RecordedEvent {
    /// When it was emitted, microseconds since the epoch.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: RunEvent,
}

/// Where events go. Cheap to clone; the default drops everything.
#[derive(Clone)]
pub struct EventSink(Arc<dyn Fn(RunEvent) + Send + Sync>);

impl EventSink {
    /// Calls `receive` for each event, on the emitter's thread; `receive` must not block.
    pub fn new(receive: impl Fn(RunEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(receive))
    }

    /// Emits an event.
    pub fn emit(&self, event: RunEvent) {
        (self.0)(event);
    }

    /// Emits a [`RunEvent::Log`].
    pub fn log(&self, message: impl Into<String>) {
        self.emit(RunEvent::Log { message: message.into() });
    }

    /// Emits a [`RunEvent::Progress`].
    pub fn progress(&self, stage: Stage, table: &str, rows: u64, bytes: u64) {
        self.emit(RunEvent::Progress { stage, table: table.to_owned(), rows, bytes });
    }
}

impl Default for EventSink {
    fn default() -> Self {
        Self::new(|_| ())
    }
}

impl fmt::Debug for EventSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EventSink")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_number_survives_a_line_of_an_event_log() {
        let mut latencies = LatencyHistogram::default();
        latencies.add(Duration::from_millis(1_200));
        let record = ControlRecord::received("b", "raw/beer/x.gz", "e", "beer", "00", 12, -5);
        let events = [
            RunEvent::RunStarted { seed: u64::MAX, scale: 0.1, backend: "embedded".into(), bounds: BTreeMap::new() },
            RunEvent::StageFinished { stage: Stage::Gold, detail: "x".into(), elapsed: Duration::from_nanos(7) },
            RunEvent::ControlChanged { record: Box::new(record) },
            RunEvent::Committed {
                namespace: "silver".into(),
                table: "beer".into(),
                snapshot_id: i64::MAX,
                files_added: 1,
                files_removed: 0,
            },
            RunEvent::QueueDepth { queue: "q".into(), depth: 1, bound: None },
            RunEvent::LatencyMeasured { table: "beer".into(), carried: Carried::Changes, latencies },
            RunEvent::Masked {
                columns: vec![MaskedColumn {
                    table: "profile".into(),
                    column: "email".into(),
                    class: "email".into(),
                    transform: "token".into(),
                    values: u64::MAX,
                    masked: 1,
                    unshaped: 1,
                    findings: BTreeMap::from([("EMAIL".into(), 1)]),
                }],
            },
        ];
        for event in events {
            let recorded = RecordedEvent { at: Timestamp(1_722_214_747_686_557), event };
            let line = serde_json::to_string(&recorded).expect("plain data");
            assert_eq!(serde_json::from_str::<RecordedEvent>(&line).expect("own form"), recorded, "{line}");
        }
    }
}

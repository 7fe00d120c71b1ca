//! What a run tells the world. Libraries emit [`RunEvent`]s; the terminal, the reports and the tests read them.
//!
//! Events carry names, counts, sizes and durations, never row values. An [`EventSink`] never blocks its emitter.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    /// A control record changed.
    ControlChanged {
        /// Key of the raw object.
        key: String,
        /// Its table.
        table: String,
        /// New status.
        status: crate::control::Status,
    },
    /// A Step Functions execution ended.
    ExecutionFinished {
        /// State machine.
        machine: String,
        /// Execution name.
        name: String,
        /// `SUCCEEDED` or `FAILED`.
        status: String,
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

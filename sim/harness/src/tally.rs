//! Counts a run: rows per stage and table, time per stage, peak memory. Made of [`RunEvent`]s only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lakebed_contract::event::Outcome;
use lakebed_contract::{Clock, EventSink, MaskedColumn, Masking, RunEvent, Stage};
use serde::{Deserialize, Serialize};

use crate::measures::{Measures, MeasuresSummary};

/// What a run did, as `--json` prints it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunSummary {
    /// `pass` or `fail`.
    pub verdict: String,
    /// Seed.
    pub seed: u64,
    /// Scale.
    pub scale: f64,
    /// Backend.
    pub backend: String,
    /// `I1` … `I10`.
    pub invariants: BTreeMap<String, Outcome>,
    /// Why each invariant got its word.
    pub findings: BTreeMap<String, String>,
    /// Rows by stage and table.
    pub rows: BTreeMap<String, BTreeMap<String, u64>>,
    /// Milliseconds by stage; stages overlap, so they do not add up to `total_ms`.
    pub timings_ms: BTreeMap<String, u64>,
    /// Milliseconds from start to verdict.
    pub total_ms: u64,
    /// Highest resident memory of this process, without workers and Postgres, bytes; 0 where the system does not tell.
    pub peak_rss_bytes: u64,
    /// Throughput by stage, latency, memory of workers, processor time.
    #[serde(default)]
    pub measures: MeasuresSummary,
    /// What was masked on the way into bronze, as far as this process saw it; a run that was taken up again lacks what came before.
    #[serde(default)]
    pub masking: Vec<MaskedColumn>,
    /// What the lake shows of itself at the end (`showcase.sql`).
    pub showcase: Option<Showcase>,
    /// Where the lake lies, when it was kept.
    pub lake: Option<String>,
    /// Resources that the run made elsewhere and that stay there.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub created: Vec<String>,
}

/// What was found in a column's free text: `EMAIL 4, PHONE 2`.
pub fn findings_in_words(column: &MaskedColumn) -> String {
    let words: Vec<_> = column.findings.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    words.join(", ")
}

/// The closing table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Showcase {
    /// Names of its columns.
    pub columns: Vec<String>,
    /// Its rows, as text; `None` is NULL.
    pub rows: Vec<Vec<Option<String>>>,
}

/// Adds up a run's events.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    inner: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    rows: BTreeMap<String, BTreeMap<String, u64>>,
    timings_ms: BTreeMap<String, u64>,
    measures: Measures,
    masking: Masking,
    proving: bool,
}

impl Tally {
    /// A sink that counts and passes on.
    pub fn sink(&self, clock: &Clock, next: EventSink) -> EventSink {
        let (inner, clock) = (Arc::clone(&self.inner), clock.clone());
        EventSink::new(move |event| {
            let mut counts = inner.lock().unwrap_or_else(PoisonError::into_inner);
            let for_proof = counts.proving
                && match &event {
                    RunEvent::Progress { stage, .. } | RunEvent::StageFinished { stage, .. } => *stage != Stage::Judge,
                    RunEvent::Masked { .. } => true,
                    _ => false,
                };
            if for_proof {
                drop(counts);
                return next.emit(event);
            }
            counts.measures.take(clock.now(), &event);
            if let RunEvent::StageFinished { stage, elapsed, .. } = &event {
                let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
                *counts.timings_ms.entry(stage.as_str().to_owned()).or_default() += elapsed_ms;
            }
            if let RunEvent::Masked { columns } = &event {
                columns.iter().for_each(|column| counts.masking.add(column));
            }
            drop(counts);
            next.emit(event);
        })
    }

    /// From here on stages run for the proof only: what they take counts as the judge's time, not as theirs.
    pub fn begin_proof(&self) {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).proving = true;
    }

    /// Sets the rows of a stage.
    pub fn set_rows(&self, stage: Stage, rows: BTreeMap<String, u64>) {
        let mut counts = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        counts.rows.insert(stage.as_str().to_owned(), rows);
    }

    /// Rows by stage and table so far.
    pub fn rows(&self) -> BTreeMap<String, BTreeMap<String, u64>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).rows.clone()
    }

    /// What was measured so far.
    pub fn measures(&self) -> MeasuresSummary {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).measures.summary()
    }

    /// What was masked so far.
    pub fn masking(&self) -> Vec<MaskedColumn> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).masking.columns()
    }

    /// Milliseconds by stage so far.
    pub fn timings_ms(&self) -> BTreeMap<String, u64> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).timings_ms.clone()
    }
}

/// Times one piece of a stage's work and says so.
pub async fn timed<T, E>(
    stage: Stage,
    detail: &str,
    clock: &Clock,
    events: &EventSink,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let started = clock.monotonic();
    events.emit(RunEvent::StageStarted { stage, detail: detail.to_owned() });
    let result = work.await?;
    let elapsed = clock.monotonic() - started;
    events.emit(RunEvent::StageFinished { stage, detail: detail.to_owned(), elapsed });
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakebed_contract::Timestamp;
    use std::time::Duration;

    #[test]
    fn what_is_masked_for_the_proof_is_not_counted_twice() {
        let tally = Tally::default();
        let sink = tally.sink(&Clock::virtual_at(Timestamp::default()), EventSink::default());
        let column = MaskedColumn {
            table: "review".to_owned(),
            column: "comment".to_owned(),
            class: "free_text".to_owned(),
            transform: "redact".to_owned(),
            values: 9,
            masked: 2,
            unshaped: 1,
            findings: BTreeMap::from([("EMAIL".to_owned(), 2), ("PHONE".to_owned(), 1)]),
        };
        let told = RunEvent::Masked { columns: vec![column] };
        sink.emit(told.clone());
        sink.emit(told.clone());
        tally.begin_proof();
        sink.emit(told);
        let masking = tally.masking();
        assert_eq!((masking.len(), masking[0].values, masking[0].masked, masking[0].unshaped), (1, 18, 4, 2));
        assert_eq!(findings_in_words(&masking[0]), "EMAIL 4, PHONE 2");
    }

    #[test]
    fn times_add_up_by_stage_and_events_pass_on() {
        let tally = Tally::default();
        let seen = Arc::new(Mutex::new(0));
        let sink = tally.sink(
            &Clock::virtual_at(Timestamp::default()),
            EventSink::new({
                let seen = Arc::clone(&seen);
                move |_| *seen.lock().unwrap() += 1
            }),
        );
        for ms in [30, 12] {
            let elapsed = Duration::from_millis(ms);
            sink.emit(RunEvent::StageFinished { stage: Stage::Gold, detail: String::new(), elapsed });
        }
        assert_eq!(tally.timings_ms()["gold"], 42);
        assert_eq!(*seen.lock().unwrap(), 2);
        tally.begin_proof();
        for stage in [Stage::Gold, Stage::Judge] {
            let elapsed = Duration::from_millis(5);
            sink.emit(RunEvent::StageFinished { stage, detail: String::new(), elapsed });
        }
        assert_eq!((tally.timings_ms()["gold"], tally.timings_ms()["judge"]), (42, 5));
    }
}

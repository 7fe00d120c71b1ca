//! Step Functions executions: those that run and the last that ended.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use lakebed_contract::Timestamp;

use super::selection::Selection;

/// Executions kept; then the oldest that ended make room.
pub(crate) const EXECUTIONS_MAX: usize = 2_000;

/// One execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ExecutionState {
    pub(crate) machine: String,
    pub(crate) name: String,
    pub(crate) started: Timestamp,
    /// End, `SUCCEEDED` or `FAILED`, and the error's name; `None` while it runs.
    pub(crate) ended: Option<(Timestamp, String, String)>,
}

impl ExecutionState {
    pub(crate) fn status(&self) -> &str {
        self.ended.as_ref().map_or("RUNNING", |(_, status, _)| status)
    }

    pub(crate) fn error(&self) -> &str {
        self.ended.as_ref().map_or("", |(.., error)| error)
    }

    pub(crate) fn took(&self, now: Timestamp) -> Duration {
        self.ended.as_ref().map_or(now, |(end, ..)| *end).since(self.started)
    }
}

/// How the executions of one machine went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MachineCounts {
    pub(crate) running: u64,
    pub(crate) succeeded: u64,
    pub(crate) failed: u64,
}

/// All executions, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Executions {
    kept: VecDeque<ExecutionState>,
    by_machine: BTreeMap<String, MachineCounts>,
    pub(crate) filter: String,
    pub(crate) selection: Selection,
}

impl Executions {
    pub(crate) fn started(&mut self, at: Timestamp, machine: String, name: String) {
        self.by_machine.entry(machine.clone()).or_default().running += 1;
        if self.kept.len() >= EXECUTIONS_MAX {
            let ended = self.kept.iter().position(|execution| execution.ended.is_some()).unwrap_or(0);
            self.kept.remove(ended);
        }
        self.kept.push_back(ExecutionState { machine, name, started: at, ended: None });
    }

    pub(crate) fn finished(&mut self, at: Timestamp, machine: String, name: String, status: String, error: String) {
        let counts = self.by_machine.entry(machine.clone()).or_default();
        // One that was cancelled in the queue ends without having begun.
        counts.running = counts.running.saturating_sub(1);
        *(if status == "SUCCEEDED" { &mut counts.succeeded } else { &mut counts.failed }) += 1;
        let is_it = |e: &&mut ExecutionState| e.ended.is_none() && e.name == name && e.machine == machine;
        if let Some(execution) = self.kept.iter_mut().rev().find(is_it) {
            execution.ended = Some((at, status, error));
        }
    }

    /// Executions that match the filter, newest first.
    pub(crate) fn matching(&self) -> Vec<&ExecutionState> {
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        let matches = |execution: &&ExecutionState| {
            let fields = [&execution.machine, &execution.name, execution.status(), execution.error()];
            words.iter().all(|word| fields.iter().any(|field| field.to_lowercase().contains(word)))
        };
        self.kept.iter().rev().filter(matches).collect()
    }

    /// Counts by machine.
    pub(crate) fn machines(&self) -> impl Iterator<Item = (&str, MachineCounts)> {
        self.by_machine.iter().map(|(machine, counts)| (machine.as_str(), *counts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_are_counted_even_when_they_are_forgotten() {
        let mut executions = Executions::default();
        let second = Timestamp::from_seconds;
        for number in 0..EXECUTIONS_MAX as i64 + 5 {
            executions.started(second(number), "m".to_owned(), number.to_string());
            let status = if number % 2 == 0 { "SUCCEEDED" } else { "FAILED" };
            executions.finished(second(number + 3), "m".to_owned(), number.to_string(), status.to_owned(), "E".into());
        }
        executions.started(second(9_000), "m".to_owned(), "last".to_owned());
        let (_, counts) = executions.machines().next().expect("one machine");
        assert_eq!(counts, MachineCounts { running: 1, succeeded: 1_003, failed: 1_002 });
        assert_eq!(executions.matching().len(), EXECUTIONS_MAX);
        executions.filter = "running".to_owned();
        let running = executions.matching();
        assert_eq!((running.len(), running[0].took(second(9_004)).as_secs()), (1, 4));
        executions.filter = "failed 2001".to_owned();
        assert_eq!(executions.matching()[0].took(second(9_004)).as_secs(), 3);
    }
}

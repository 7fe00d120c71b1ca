//! What happened in an execution, in order: state names and error names, no payloads.
//!
//! Promises: at most [`HISTORY_EVENTS_MAX`] events, AWS's limit; an execution that would exceed it fails, which also ends
//! a loop that never ends.

use std::sync::{Mutex, PoisonError};

use lakebed_contract::{Clock, Timestamp};

use super::fault::Fault;

/// Events of one execution.
pub const HISTORY_EVENTS_MAX: usize = 25_000;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEvent {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: HistoryKind,
    /// State; empty for events of the execution itself.
    pub state: String,
    /// Error name; empty where nothing failed.
    pub error: String,
}

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HistoryKind {
    /// The execution has a slot and begins.
    ExecutionStarted,
    /// A state begins.
    StateEntered,
    /// A state ends, or was left through a `Catch`.
    StateExited,
    /// An attempt of a state failed.
    AttemptFailed,
    /// Another attempt will be made.
    RetryScheduled,
    /// A `Catch` took the error.
    Caught,
    /// The execution has its output.
    ExecutionSucceeded,
    /// The execution ends with an error.
    ExecutionFailed,
}

/// The events of one execution.
#[derive(Debug)]
pub(crate) struct History {
    clock: Clock,
    events: Mutex<Vec<HistoryEvent>>,
}

impl History {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, events: Mutex::default() }
    }

    /// Adds an event; fails when the history is full. The last event of an execution always fits.
    pub(crate) fn add(&self, kind: HistoryKind, state: &str, error: &str) -> Result<(), Fault> {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let is_last = matches!(kind, HistoryKind::ExecutionSucceeded | HistoryKind::ExecutionFailed);
        if events.len() >= HISTORY_EVENTS_MAX && !is_last {
            return Err(Fault::runtime(format!("the execution reached {HISTORY_EVENTS_MAX} history events")));
        }
        let event = HistoryEvent { at: self.clock.now(), kind, state: state.to_owned(), error: error.to_owned() };
        events.push(event);
        Ok(())
    }

    pub(crate) fn events(&self) -> Vec<HistoryEvent> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

//! Killing this process on purpose, as suddenly as `kill -9` does: it aborts, so no destructor runs and no buffer is flushed.
//!
//! Faults that kill strike at events, which are emitted on the thread that does the work, between two of its steps: that is
//! what makes the moment of death exact and repeatable.

use lakebed_contract::fault::{ANY_EVENT, GOLD_COMMIT, SILVER_COMMIT};
use lakebed_contract::{EventSink, FaultKind, FaultPlan, RunEvent, Stage, layout};

/// `events`, with a process that ends where `faults` say so.
pub fn sink(events: &EventSink, faults: &FaultPlan) -> EventSink {
    if !faults.faults().iter().any(crate::scenario::definition::kills_the_process) {
        return events.clone();
    }
    let (next, faults) = (events.clone(), faults.clone());
    EventSink::new(move |event| {
        let point = match &event {
            RunEvent::Committed { namespace, .. } if namespace == layout::SILVER => Some(&SILVER_COMMIT),
            RunEvent::Committed { namespace, .. } if namespace == layout::GOLD => Some(&GOLD_COMMIT),
            _ => None,
        };
        // A look at queues and memory comes from another task at any time: counting it would make the moment of death a matter of chance.
        let is_sample = matches!(event, RunEvent::QueueDepth { .. } | RunEvent::ResourcesSampled { .. });
        next.emit(event);
        let any = (!is_sample).then_some(&ANY_EVENT);
        let struck = point.into_iter().chain(any).any(|point| faults.strike(point) == Some(FaultKind::Kill));
        if struck {
            this_process();
        }
    })
}

/// A sink for a worker that ends when it has written its first batch of Parquet, before the file is complete.
pub fn at_first_bronze_batch() -> EventSink {
    EventSink::new(|event| {
        if matches!(event, RunEvent::Progress { stage: Stage::Bronze, .. }) {
            this_process();
        }
    })
}

/// Ends this process at once.
fn this_process() -> ! {
    std::process::abort()
}

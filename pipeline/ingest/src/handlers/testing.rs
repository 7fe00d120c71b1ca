//! What the handlers' unit tests share.

use std::sync::{Arc, Mutex};

use lakebed_contract::{EventSink, RunEvent};

/// The lines of a log, in order.
#[derive(Clone, Default)]
pub(super) struct LogLines(Arc<Mutex<Vec<String>>>);

impl LogLines {
    /// Where the log goes.
    pub(super) fn sink(&self) -> EventSink {
        let lines = self.clone();
        EventSink::new(move |event| {
            if let RunEvent::Log { message } = event {
                lines.0.lock().expect("no panic").push(message);
            }
        })
    }

    /// The lines so far.
    pub(super) fn told(&self) -> Vec<String> {
        self.0.lock().expect("no panic").clone()
    }
}

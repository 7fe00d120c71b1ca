//! What control records say of changed tables, one line in the log for each distinct change and process.
//!
//! Shared by all handlers that see control records, so a change is told once whichever of them sees it. Bounded: after
//! [`TOLD_MAX`] changes it says so and is silent. Remembers nothing beyond the process.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use lakebed_contract::EventSink;

/// Distinct changes that are told.
const TOLD_MAX: usize = 1_000;

#[derive(Debug, Default)]
pub(super) struct SchemaLog {
    told: Mutex<BTreeSet<String>>,
}

impl SchemaLog {
    /// Tells what is new of a table. `seen_in` says where it was seen.
    pub(super) fn tell(
        &self,
        events: &EventSink,
        table: &str,
        changes: impl IntoIterator<Item = String>,
        seen_in: &str,
    ) {
        for change in changes {
            let line = format!("schema of `{table}`: {change}");
            let count = {
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                if told.len() > TOLD_MAX || !told.insert(line.clone()) {
                    continue;
                }
                told.len()
            };
            if count <= TOLD_MAX {
                events.log(format!("{line} (first seen in {seen_in})"));
            } else {
                events.log(format!("further schema changes are not told: there were {TOLD_MAX}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::LogLines;
    use super::*;

    #[test]
    fn a_change_is_told_once_and_not_without_end() {
        let lines = LogLines::default();
        let events = lines.sink();
        let log = SchemaLog::default();
        for seen_in in ["one", "two"] {
            log.tell(&events, "beer", ["a".to_owned(), "a".to_owned()], seen_in);
        }
        log.tell(&events, "review", ["a".to_owned()], "two");
        let told = lines.told();
        assert_eq!(told, ["schema of `beer`: a (first seen in one)", "schema of `review`: a (first seen in two)"]);
        log.tell(&events, "beer", (0..2 * TOLD_MAX).map(|number| number.to_string()), "three");
        let told = lines.told();
        assert_eq!(told.len(), TOLD_MAX + 1);
        assert!(told.last().is_some_and(|line| line.starts_with("further")), "{:?}", told.last());
    }
}

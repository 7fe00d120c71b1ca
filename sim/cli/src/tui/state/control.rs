//! The control table as the terminal shows it: records, a filter, a selected one, an open one.
//!
//! A record is taken when it is not older than the one known: a restart tells the table's stream again from its beginning. The filter
//! is words; a record matches when each word is in its table, status, route, key or error.

use std::collections::{BTreeMap, HashMap};

use lakebed_contract::control::{ControlRecord, Status};

use super::selection::Selection;

/// Records kept; then the oldest that are DONE make room.
pub(crate) const RECORDS_MAX: usize = 20_000;

/// All records.
#[derive(Clone, Debug, Default)]
pub(crate) struct ControlRecords {
    by_pk: HashMap<String, ControlRecord>,
    /// Keys in the order of the list: newest first.
    order: BTreeMap<(std::cmp::Reverse<i64>, String), String>,
    counts: BTreeMap<Status, usize>,
    pub(crate) filter: String,
    pub(crate) selection: Selection,
    /// Key of the record that is shown in full.
    pub(crate) open: Option<String>,
}

impl ControlRecords {
    pub(crate) fn take(&mut self, record: ControlRecord) {
        if let Some(known) = self.by_pk.get(&record.pk) {
            if (record.updated_at, record.fence) < (known.updated_at, known.fence) {
                return;
            }
            let old = known.clone();
            self.forget(&old);
        } else if self.by_pk.len() >= RECORDS_MAX {
            let oldest_done = self.order.values().rev().find(|pk| self.by_pk[*pk].status == Status::Done).cloned();
            // Without one that is DONE the newest is left out: what needs attention stays.
            let Some(record) = oldest_done.and_then(|pk| self.by_pk.get(&pk).cloned()) else { return };
            self.forget(&record);
        }
        *self.counts.entry(record.status).or_default() += 1;
        self.order.insert(place(&record), record.pk.clone());
        self.by_pk.insert(record.pk.clone(), record);
    }

    fn forget(&mut self, record: &ControlRecord) {
        self.by_pk.remove(&record.pk);
        self.order.remove(&place(record));
        if let Some(count) = self.counts.get_mut(&record.status) {
            *count -= 1;
        }
    }

    /// Records that match the filter, newest first.
    pub(crate) fn matching(&self) -> Vec<&ControlRecord> {
        let words: Vec<String> = self.filter.split_whitespace().map(str::to_lowercase).collect();
        let all = self.order.values().map(|pk| &self.by_pk[pk]);
        all.filter(|record| words.iter().all(|word| mentions(record, word))).collect()
    }

    /// The record under the cursor.
    pub(crate) fn selected(&self) -> Option<&ControlRecord> {
        let matching = self.matching();
        self.selection.of(matching.len()).map(|at| matching[at])
    }

    /// The record that is shown in full.
    pub(crate) fn opened(&self) -> Option<&ControlRecord> {
        self.by_pk.get(self.open.as_deref()?)
    }

    /// How many records have a status.
    pub(crate) fn count(&self, status: Status) -> usize {
        self.counts.get(&status).copied().unwrap_or(0)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_pk.len()
    }
}

/// Newest first by the time of arrival, then by key: a record does not jump when it moves on.
fn place(record: &ControlRecord) -> (std::cmp::Reverse<i64>, String) {
    (std::cmp::Reverse(record.received_at), record.pk.clone())
}

fn mentions(record: &ControlRecord, word: &str) -> bool {
    let fields = [&record.table, &record.route, &record.key, &record.error];
    record.status.as_str().to_lowercase().contains(word) || fields.iter().any(|f| f.to_lowercase().contains(word))
}

/// Whether a record can be put back to RECEIVED, else why not.
pub(crate) fn retryable(record: &ControlRecord) -> Result<(), String> {
    match record.status {
        Status::Failed | Status::Quarantined => Ok(()),
        other => Err(format!("only FAILED and QUARANTINED records can be retried; this one is {}", other.as_str())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &str, status: Status, updated_at: i64) -> ControlRecord {
        let table = key.split('/').next().unwrap_or_default();
        let mut record = ControlRecord::received("dm-stage", key, "e", table, "", 1, 5);
        (record.status, record.updated_at) = (status, updated_at);
        record
    }

    #[test]
    fn a_record_moves_on_and_an_older_image_of_it_is_ignored() {
        let mut records = ControlRecords::default();
        records.take(record("beer/a", Status::Received, 5));
        records.take(record("beer/a", Status::BronzeDone, 9));
        records.take(record("beer/a", Status::Received, 5));
        assert_eq!((records.len(), records.count(Status::Received), records.count(Status::BronzeDone)), (1, 0, 1));
    }

    #[test]
    fn every_word_of_the_filter_must_match() {
        let mut records = ControlRecords::default();
        records.take(record("beer/a", Status::Done, 1));
        records.take(record("beer/b", Status::Quarantined, 1));
        records.take(record("review/c", Status::Quarantined, 1));
        let mut found = |filter: &str| {
            records.filter = filter.to_owned();
            records.matching().iter().map(|record| record.key.clone()).collect::<Vec<_>>()
        };
        assert_eq!(found(""), ["beer/a", "beer/b", "review/c"]);
        assert_eq!(found("beer"), ["beer/a", "beer/b"]);
        assert_eq!(found("QUARANT beer"), ["beer/b"]);
        assert!(found("wine").is_empty());
    }

    #[test]
    fn the_oldest_done_record_makes_room() {
        let mut records = ControlRecords::default();
        for number in 0..RECORDS_MAX as i64 {
            let status = if number < 10 { Status::Failed } else { Status::Done };
            let mut record = record(&format!("beer/{number}"), status, number);
            record.received_at = number;
            records.take(record);
        }
        records.take(record("beer/new", Status::Received, 1));
        assert_eq!((records.len(), records.count(Status::Failed)), (RECORDS_MAX, 10));
        assert!(records.by_pk.contains_key("dm-stage#beer/new#e") && !records.by_pk.contains_key("dm-stage#beer/10#e"));
    }

    #[test]
    fn only_what_was_given_up_can_be_retried() {
        assert!(retryable(&record("a", Status::Quarantined, 1)).is_ok());
        assert!(retryable(&record("a", Status::Done, 1)).expect_err("refused").contains("DONE"));
    }
}

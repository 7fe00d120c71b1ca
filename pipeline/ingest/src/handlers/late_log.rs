//! What is told of objects whose newest data is older than their contract's latency allows.
//!
//! Late data is told of and not kept out: it is in bronze when the line is written, and will be in silver. One line an object, in
//! names and times, and how many late objects of the table this process has met, an attempt that is made again counted
//! again. Knows no clock of its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use lakebed_contract::{EventSink, TableContract, Timestamp};

/// How many objects of each table were late.
#[derive(Debug, Default)]
pub(super) struct LateLog(Mutex<BTreeMap<String, u64>>);

impl LateLog {
    /// Holds the newest values of an object that has arrived against the table's latencies.
    pub(super) fn tell(
        &self,
        events: &EventSink,
        key: &str,
        table: &TableContract,
        newest: &BTreeMap<String, i64>,
        now: Timestamp,
    ) {
        let breaches = table.service_levels.latencies.iter().filter_map(|latency| {
            let newest = newest.get(&latency.column)?;
            latency.breach(&table.name, Timestamp(*newest), now)
        });
        let breaches: Vec<String> = breaches.collect();
        if breaches.is_empty() {
            return;
        }
        let count = {
            let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let count = counts.entry(table.name.clone()).or_default();
            *count += 1;
            *count
        };
        let breaches = breaches.join("; ");
        events.log(format!("warning: `{key}`: {breaches}; not kept out (late object {count} of the table)"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::LogLines;
    use super::*;

    const CONTRACT: &str = "apiVersion: v3.1.0\nkind: DataContract\nversion: 1.0.0\nslaProperties:\n  \
        - {property: latency, value: 2, unit: h, element: t.seen_at}\n  - {property: latency, value: 3, unit: d, element: t.day}\n\
        schema:\n  - name: t\n    physicalName: s.t\n    properties:\n      - {name: id, physicalType: bigint, primaryKey: true}\n      \
        - {name: seen_at, physicalType: timestamptz}\n      - {name: day, physicalType: date}\n";

    #[test]
    fn late_objects_are_told_and_counted_and_others_are_not() {
        let table = TableContract::from_odcs_yaml("t.yaml", CONTRACT).expect("valid");
        let lines = LogLines::default();
        let events = lines.sink();
        let log = LateLog::default();
        let tell = |seen_at: Option<i64>, day: Option<i64>| {
            let newest = [("seen_at", seen_at), ("day", day)];
            let newest =
                newest.into_iter().filter_map(|(name, hours)| Some((name, Timestamp::from_seconds(hours? * 3_600))));
            let newest = newest.map(|(name, at)| (name.to_owned(), at.0)).collect();
            log.tell(&events, "raw/t/x", &table, &newest, Timestamp::from_seconds(1_000 * 3_600));
        };
        tell(None, None);
        tell(Some(998), Some(1_010));
        tell(Some(997), None);
        tell(Some(900), Some(900));
        let late = "in table `t` the newest `seen_at` is";
        let expected = [
            format!(
                "warning: `raw/t/x`: {late} 3 h old, latency allows 2 h; not kept out (late object 1 of the table)"
            ),
            format!(
                "warning: `raw/t/x`: {late} 4 d 4 h old, latency allows 2 h; in table `t` the newest `day` is 4 d 4 h old, latency \
                 allows 3 d; not kept out (late object 2 of the table)"
            ),
        ];
        assert_eq!(lines.told(), expected);
    }
}

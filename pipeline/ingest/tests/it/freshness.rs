//! The newest values that a contract's latencies ask for: those of the good rows, from however many threads and blocks.

use std::collections::BTreeMap;

use lakebed_contract::TableContract;
use serde_json::{Value, json};

use crate::bench::outcome_in_blocks;

/// 2023-11-14T22:13:20Z and the end of that day, as seconds.
const EVENING: i64 = 1_700_000_000;
const MIDNIGHT: i64 = 1_700_006_400;

const CONTRACT: &str = "apiVersion: v3.1.0\nkind: DataContract\nversion: 1.0.0\nslaProperties:\n  \
    - {property: latency, value: 2, unit: h, element: 't.seen_at, t.day'}\n  - {property: latency, value: 1, unit: d, element: day}\n\
    schema:\n  - name: t\n    physicalName: s.t\n    properties:\n      - {name: id, physicalType: bigint, primaryKey: true}\n      \
    - {name: seen_at, physicalType: timestamptz}\n      - {name: day, physicalType: date}\n      \
    - {name: told_at, physicalType: timestamptz}\n";

/// Wants these seconds as the newest of `seen_at` and of `day`.
#[track_caller]
fn check(text: &str, seen_at: Option<i64>, day: Option<i64>) {
    let table = TableContract::from_odcs_yaml("t.yaml", CONTRACT).expect("valid contract");
    let expected = [("seen_at", seen_at), ("day", day)].into_iter();
    let expected: BTreeMap<String, i64> =
        expected.filter_map(|(name, seconds)| Some((name.to_owned(), seconds? * 1_000_000))).collect();
    for (threads, block_bytes) in [(1, 1 << 20), (1, 16), (2, 64), (8, 40)] {
        let outcome = outcome_in_blocks(&table, text, threads, block_bytes);
        assert_eq!(outcome.expect("readable").newest, expected, "{threads} threads, blocks of {block_bytes}");
    }
}

#[test]
fn rows_of_an_export_are_looked_at_if_they_are_good() {
    let rows = "id,seen_at,day,told_at\n1,2023-11-14 20:00:00+00,2023-11-14,2030-01-01 00:00:00+00\n2,,2023-11-02,\n\
                3,2023-11-14 19:13:20-03,,\nbad,2029-01-01 00:00:00+00,2029-01-01,\n4,2001-01-01 00:00:00+00,1969-01-01,\n";
    check(rows, Some(EVENING), Some(MIDNIGHT));
    check("id,seen_at,day,told_at\n1,,1969-12-31,\n", None, Some(0));
    check("id,day\n1,\n", None, None);
    check("id,seen_at,day,told_at\n", None, None);
    check("", None, None);
}

/// A record of an operation, the `at`th of its transaction.
fn record(operation: &str, data: Value, at: u32) -> String {
    let metadata = json!({"timestamp": "2024-07-29T00:59:07Z", "record-type": "data", "operation": operation,
        "partition-key-type": "schema-table", "schema-name": "s", "table-name": "t",
        "commit-timestamp": "2024-07-29T00:59:07Z", "stream-position": format!("00000002/7C0073F8.{at}.00000002/7C0073F8")});
    format!("{}\n", json!({"data": data, "metadata": metadata}))
}

#[test]
fn changes_are_looked_at_where_they_say_something() {
    let changes = [
        record("insert", json!({"id": 1, "seen_at": "2023-11-14T22:13:20Z", "day": "2023-11-13", "told_at": null}), 1),
        record("update", json!({"id": 1, "day": "2023-11-14"}), 2),
        // What a delete says beside its key is not read.
        record("delete", json!({"id": 1, "seen_at": "2029-01-01T00:00:00Z"}), 3),
    ];
    check(&changes.concat(), Some(EVENING), Some(MIDNIGHT));
    check(&record("update", json!({"id": 1, "told_at": "2023-11-14T22:13:20Z"}), 1), None, None);
}

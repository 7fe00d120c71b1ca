//! A bucket of 100,000 objects: what a page reads, and how large the index is. Counts, no timing.

use std::collections::BTreeSet;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::s3::listing::{self, Cursor, Entry, Query};

const OBJECTS: usize = 100_000;
const GROUPS: usize = 100;

fn record(sequence: i64) -> ObjectRecord {
    let record = json!({
        "file": format!("raw/review/generation=1/group={:03}/part-{sequence:09}.csv.gz", sequence % 100),
        "size": 123_456, "etag": "d41d8cd98f00b204e9800998ecf8427e", "last_modified": 1_700_000_000_000_000_i64,
        "sequence": sequence, "checksums": { "Crc64Nvme": "rosUhgp5mIg=" },
        "headers": { "content_type": "text/csv", "metadata": { "schema": "1", "batch": "42" } },
        "version_id": "abcdefghijklmnopqrstuvwxyz012345",
    });
    serde_json::from_value(record).expect("a record")
}

/// Keys `group=NNN/part-NNNNN`, each group as large as the others.
fn large() -> (TempDir, Index) {
    let dir = tempfile::tempdir().expect("a directory");
    let index = Index::open(&dir.path().join("index"), Fsync::Never).expect("opens");
    index.connection.execute_batch("BEGIN").expect("begun");
    for number in 0..OBJECTS {
        let key = format!("group={:03}/part-{:05}", number % GROUPS, number / GROUPS);
        let record = to_json(&record(i64::try_from(number).expect("small"))).expect("written");
        let mut insert = index.connection.prepare_cached("INSERT INTO object VALUES ('b', ?, ?)").expect("prepared");
        insert.execute(params![key.as_bytes(), record]).expect("put");
    }
    index.connection.execute_batch("COMMIT").expect("committed");
    (dir, index)
}

fn plan_of(index: &Index, statement: &str) -> String {
    let mut query = index.connection.prepare(&format!("EXPLAIN QUERY PLAN {statement}")).expect("prepared");
    let mut rows = query.raw_query();
    let mut plan = String::new();
    while let Some(row) = rows.next().expect("explained") {
        plan.push_str(&row.get::<_, String>(3).expect("text"));
        plan.push('\n');
    }
    plan
}

#[test]
fn a_page_of_many_objects_reads_its_own_rows_only() {
    let (_dir, index) = large();
    let read = |from: Cursor, delimiter: Option<&str>, prefix: &str| {
        index.rows_read.set(0);
        let query = Query { bucket: "b", prefix, delimiter, from, limit: 1000 };
        let page = listing::page_of(&index, &query).expect("listed");
        (page, index.rows_read.get())
    };
    let (page, rows) = read(Cursor::after("group=050/part-00499"), None, "");
    assert_eq!((page.entries.len(), rows), (1000, 1001));
    assert_eq!(page.entries[0].name(), "group=050/part-00500");
    assert!(page.next.is_some());
    let (page, rows) = read(Cursor::default(), Some("/"), "");
    assert!(page.entries.iter().all(|entry| matches!(entry, Entry::Group(_))) && page.next.is_none());
    assert_eq!((page.entries.len(), rows), (GROUPS, GROUPS), "one row for a group of a thousand keys");
    let (page, rows) = read(Cursor::default(), Some("/"), "group=007/");
    assert_eq!((page.entries.len(), rows), (1000, 1000));
}

#[test]
fn an_object_costs_less_than_a_kibibyte() {
    let (_dir, index) = large();
    let pragma =
        |name: &str| index.connection.pragma_query_value(None, name, |row| row.get::<_, usize>(0)).expect("a number");
    assert!(pragma("page_count") * pragma("page_size") / OBJECTS < 1024);
}

#[test]
fn pages_are_found_through_the_primary_keys() {
    let dir = tempfile::tempdir().expect("a directory");
    let index = Index::open(&dir.path().join("index"), Fsync::Never).expect("opens");
    for (statement, table) in [
        (SCAN, "object"),
        (SCAN_TO_END, "object"),
        (versions::OBJECTS_FROM, "object"),
        (versions::VERSIONS_BEHIND, "version"),
    ] {
        let plan = plan_of(&index, statement);
        assert!(plan.starts_with(&format!("SEARCH {table} USING PRIMARY KEY (bucket=?")), "{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{plan}");
    }
}

#[test]
fn versions_of_few_keys_are_paged_without_gap_or_repetition() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut index = Index::open(&dir.path().join("index"), Fsync::Never).expect("opens");
    let keys = ["a", "b", "c"];
    for number in 1..=2_500_i64 {
        let key = keys[usize::try_from(number).expect("small") % keys.len()];
        let mut rows = Rows::new("b", key, number);
        if let Some(current) = index.object("b", key).expect("looked up") {
            rows.added.push((current, Some(Timestamp(number))));
        }
        rows.current = Current::Is(Box::new(record(number)));
        index.apply(&rows).expect("committed");
    }
    let mut seen = Vec::new();
    loop {
        let after = seen.last().map(|(key, sequence): &(String, i64)| (key.as_bytes(), *sequence));
        let page = index.versions("b", after, 999).expect("listed");
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|entry| (entry.key, entry.record.sequence)));
    }
    assert_eq!(seen.len(), 2_500);
    assert!(seen.is_sorted_by(|one, two| one.0 < two.0 || (one.0 == two.0 && one.1 > two.1)));
    assert_eq!(seen.iter().map(|(_, sequence)| *sequence).collect::<BTreeSet<_>>().len(), 2_500);
}

#[test]
fn numbers_grow_over_restarts_and_reservations_are_rare() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("index");
    let first = {
        let index = Index::open(&path, Fsync::Never).expect("opens");
        let first = index.next_sequence(Timestamp(5)).expect("numbered");
        assert_eq!((first, index.next_sequence(Timestamp(5)).expect("numbered")), (5, 6));
        assert_eq!(index.number_change(Timestamp(5)), 7);
        let changes = index.connection.total_changes();
        for _ in 0..1_000 {
            index.next_sequence(Timestamp(5)).expect("numbered");
        }
        assert_eq!(index.connection.total_changes(), changes, "within the reservation nothing is written");
        first
    };
    let index = Index::open(&path, Fsync::Never).expect("opens");
    let next = index.next_sequence(Timestamp(5)).expect("numbered");
    assert!(next > first + 1_000);
    assert_eq!(index.next_sequence(Timestamp(next + 500)).expect("numbered"), next + 500);
}

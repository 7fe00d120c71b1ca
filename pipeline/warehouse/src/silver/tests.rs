//! The fold and the merge against real files: the nasty cases of the reference, and a model-based test.

use std::collections::BTreeMap;
use std::time::Duration;

use lakebed_contract::event::Carried;
use lakebed_contract::{Lake, RunEvent};
use proptest::prelude::*;

use super::merge;
use crate::testing::{Bench, Record};

const COLUMNS: [&str; 3] = ["brewery_name", "city", "state"];

/// A change of `brewery`; `city` plays the large column that an update may lack.
fn change(operation: &'static str, lsn: i64, ordinal: i64, key: i64, name: &str, city: Option<&str>) -> Record {
    let mut record = Record {
        operation,
        position: (1, lsn, ordinal),
        at: 1_000 + lsn,
        values: vec![("brewery_id", Some(key.to_string()))],
        ..Record::default()
    };
    if operation == "delete" {
        record.absent = COLUMNS.to_vec();
        return record;
    }
    record.values.push(("brewery_name", Some(name.to_owned())));
    record.values.push(("state", None));
    match city {
        Some(city) => record.values.push(("city", Some(city.to_owned()))),
        None => record.absent = vec!["city"],
    }
    record
}

fn load(key: i64, name: &str) -> Record {
    Record { position: (1, 0, 0), at: 1_000, ..change("load", 0, 0, key, name, Some("big")) }
}

fn moved(from: i64, record: Record) -> Record {
    Record { old: Some(from.to_string()), ..record }
}

fn delete(lsn: i64, ordinal: i64, key: i64) -> Record {
    change("delete", lsn, ordinal, key, "", None)
}

async fn merged(bench: &Bench) -> super::MergeReport {
    let contract = bench.warehouse.lake.table("brewery").expect("in the lake").clone();
    merge(&bench.warehouse, &contract).await.expect("the merge succeeds")
}

const ROWS: &str = "SELECT brewery_id, brewery_name, city, state, epoch(created_at)::BIGINT - 1000, \
                    epoch(updated_at)::BIGINT - 1000, epoch(deleted_at)::BIGINT - 1000 FROM silver.brewery ORDER BY 1";

/// Merges each list of records as one object of its own, one after the other, and returns the table.
async fn after(deliveries: &[&[Record]]) -> Vec<String> {
    let bench = Bench::beer();
    for (number, records) in deliveries.iter().enumerate() {
        bench.deliver("brewery", &format!("o{number}"), records);
        merged(&bench).await;
    }
    bench.rows(ROWS).await
}

#[tokio::test]
async fn case_1_a_new_primary_key_deletes_the_old_row() {
    let rows = after(&[&[load(1, "a")], &[moved(1, change("update", 5, 1, 2, "b", Some("c")))]]).await;
    assert_eq!(rows, ["1|a|big|NULL|0|5|5", "2|b|c|NULL|5|5|NULL"]);
}

#[tokio::test]
async fn case_2_a_new_primary_key_inherits_what_the_update_lacks() {
    let rows = after(&[&[load(1, "a")], &[moved(1, change("update", 5, 1, 2, "b", None))]]).await;
    assert_eq!(rows, ["1|a|big|NULL|0|5|5", "2|b|big|NULL|5|5|NULL"]);
}

#[tokio::test]
async fn case_3_chains_and_swaps_in_one_transaction_lose_no_row() {
    let start = [change("insert", 1, 1, 1, "one", Some("c1")), change("insert", 1, 2, 3, "three", Some("c3"))];
    let chain = [moved(1, change("update", 5, 1, 2, "one", None)), moved(3, change("update", 5, 2, 1, "three", None))];
    let rows = after(&[&start, &chain]).await;
    assert_eq!(rows, ["1|three|c3|NULL|5|5|NULL", "2|one|c1|NULL|5|5|NULL", "3|three|c3|NULL|1|5|5"]);
    // A swap through a spare key, and one that a deferred constraint allows.
    let spare = [
        moved(1, change("update", 5, 1, 9, "one", None)),
        moved(3, change("update", 5, 2, 1, "three", None)),
        moved(9, change("update", 5, 3, 3, "one", None)),
    ];
    let rows = after(&[&start, &spare]).await;
    assert_eq!(rows, ["1|three|c3|NULL|5|5|NULL", "3|one|c1|NULL|5|5|NULL", "9|one|c1|NULL|5|5|5"]);
    let direct = [moved(1, change("update", 5, 1, 3, "one", None)), moved(3, change("update", 5, 2, 1, "three", None))];
    let rows = after(&[&start, &direct]).await;
    assert_eq!(rows, ["1|three|c3|NULL|5|5|NULL", "3|one|c1|NULL|5|5|NULL"]);
}

#[tokio::test]
async fn case_4_a_row_inserted_again_inherits_nothing() {
    let mut again = change("insert", 5, 2, 1, "new", None);
    again.values.push(("state", None));
    let rows = after(&[&[load(1, "a")], &[delete(5, 1, 1), again]]).await;
    assert_eq!(rows, ["1|new|NULL|NULL|5|5|NULL"]);
}

#[tokio::test]
async fn case_5_insert_update_delete_in_one_batch_keep_the_last_values() {
    let batch = [change("insert", 3, 1, 1, "a", Some("x")), change("update", 4, 1, 1, "b", None), delete(5, 1, 1)];
    assert_eq!(after(&[&batch]).await, ["1|b|x|NULL|3|5|5"]);
}

#[tokio::test]
async fn cases_6_and_7_an_absent_column_keeps_its_value_and_an_explicit_null_does_not() {
    let mut null = change("update", 6, 1, 1, "c", Some("gone"));
    null.values.retain(|(name, _)| *name != "city");
    let partial = change("update", 5, 1, 1, "b", None);
    assert_eq!(after(&[&[load(1, "a")], std::slice::from_ref(&partial)]).await, ["1|b|big|NULL|0|5|NULL"]);
    let insert = change("insert", 4, 1, 1, "a", Some("big"));
    assert_eq!(after(&[&[insert, partial]]).await, ["1|b|big|NULL|4|5|NULL"]);
    assert_eq!(after(&[&[load(1, "a")], &[null]]).await, ["1|c|NULL|NULL|0|6|NULL"]);
}

#[tokio::test]
async fn case_8_a_partial_update_waits_for_its_base() {
    let bench = Bench::beer();
    let partial = change("update", 5, 1, 1, "b", None);
    bench.deliver("brewery", "early", &[partial, change("insert", 5, 2, 2, "x", Some("y"))]);
    let report = merged(&bench).await;
    assert_eq!((report.objects, report.objects_parked), (0, 1));
    assert_eq!(bench.rows(ROWS).await, ["2|x|y|NULL|5|5|NULL"]);
    let again = merged(&bench).await;
    assert_eq!((again.snapshot_id, again.files_added), (report.snapshot_id, 0), "nothing new, no snapshot");
    bench.deliver("brewery", "late", &[change("insert", 4, 1, 1, "a", Some("big"))]);
    let report = merged(&bench).await;
    assert_eq!((report.objects, report.objects_parked), (2, 0));
    assert_eq!(bench.rows(ROWS).await, ["1|b|big|NULL|4|5|NULL", "2|x|y|NULL|5|5|NULL"]);
}

#[tokio::test]
async fn a_delete_without_base_leaves_a_tombstone_that_a_late_insert_fills() {
    let tombstone = after(&[&[delete(9, 1, 1)]]).await;
    assert_eq!(tombstone, ["1|NULL|NULL|NULL|9|9|9"]);
    let filled = after(&[&[delete(9, 1, 1)], &[change("insert", 4, 1, 1, "a", Some("big"))]]).await;
    assert_eq!(filled, ["1|a|big|NULL|4|9|9"]);
}

#[tokio::test]
async fn cases_9_and_10_position_decides_not_arrival() {
    let first = change("insert", 5, 1, 1, "first", Some("c"));
    let second = change("update", 5, 2, 1, "second", Some("c"));
    assert_eq!(after(&[&[second.clone(), first.clone()]]).await, ["1|second|c|NULL|5|5|NULL"]);
    assert_eq!(after(&[&[second], &[first]]).await, ["1|second|c|NULL|5|5|NULL"]);
    // A late commit with an older load: any change beats any load of its generation.
    let change = change("update", 3, 1, 1, "changed", Some("c"));
    assert_eq!(after(&[std::slice::from_ref(&change), &[load(1, "loaded")]]).await, ["1|changed|c|NULL|0|3|NULL"]);
    assert_eq!(after(&[&[load(1, "loaded")], &[change]]).await, ["1|changed|c|NULL|0|3|NULL"]);
}

#[tokio::test]
async fn case_11_repetitions_change_nothing_and_make_no_snapshot() {
    let bench = Bench::beer();
    let records = [load(1, "a"), load(2, "b")];
    let changes = [change("update", 5, 1, 1, "c", None), delete(6, 1, 2), load(1, "a")];
    bench.deliver("brewery", "o1", &records);
    merged(&bench).await;
    bench.deliver("brewery", "o2", &changes);
    let report = merged(&bench).await;
    assert_eq!((report.upserted, report.deleted), (1, 1));
    let rows = bench.rows(ROWS).await;
    for object in ["o3", "o4"] {
        bench.deliver("brewery", object, if object == "o3" { &records } else { &changes });
        let again = merged(&bench).await;
        assert_eq!((again.snapshot_id, again.objects, again.upserted), (report.snapshot_id, 1, 0));
    }
    assert_eq!(bench.rows(ROWS).await, rows);
    assert_eq!(merged(&bench).await.objects, 0);
}

#[tokio::test]
async fn a_crash_between_commit_and_mark_is_healed_by_the_batch_id() {
    let bench = Bench::beer();
    bench.deliver("brewery", "o1", &[load(1, "a")]);
    *bench.control.lose_marks.lock().expect("lock") = true;
    let contract = bench.warehouse.lake.table("brewery").expect("in the lake").clone();
    assert!(merge(&bench.warehouse, &contract).await.is_err());
    *bench.control.lose_marks.lock().expect("lock") = false;
    let report = merged(&bench).await;
    assert_eq!((report.objects, report.rows_in, report.files_added), (1, 0, 0), "nothing was read again");
    assert!(report.snapshot_id > 0);
    assert_eq!(bench.rows(ROWS).await, ["1|a|big|NULL|0|0|NULL"]);
}

#[tokio::test]
async fn a_lost_race_is_redone_and_leaves_no_orphans() {
    let bench = Bench::beer();
    bench.deliver("brewery", "o1", &[load(1, "a")]);
    *bench.store.conflicts.lock().expect("lock") = 2;
    merged(&bench).await;
    assert_eq!(bench.files_under("silver/brewery/data"), 1);
    assert_eq!(bench.files_under("silver/brewery/metadata"), 2, "one manifest and one manifest list");
    *bench.store.conflicts.lock().expect("lock") = 100;
    bench.deliver("brewery", "o2", &[load(2, "b")]);
    let contract = bench.warehouse.lake.table("brewery").expect("in the lake").clone();
    let error = merge(&bench.warehouse, &contract).await.expect_err("gives up");
    assert!(matches!(error, crate::WarehouseError::CommitConflict { .. }));
    assert_eq!(bench.files_under("silver/brewery/data"), 1);
}

#[tokio::test]
async fn small_files_of_a_partition_are_joined() {
    let bench = Bench::beer();
    for key in 0..20 {
        bench.deliver("brewery", &format!("o{key}"), &[load(key, "a")]);
        merged(&bench).await;
    }
    let ident = crate::iceberg::table_ident("silver", "brewery").expect("ident");
    let table = crate::iceberg::TableStore::load(&*bench.store, &ident).await.expect("loads").expect("exists");
    let files = super::live_files(&table, table.metadata().current_snapshot()).await.expect("live");
    assert!(files.len() <= 9, "{} files", files.len());
    assert_eq!(bench.rows("SELECT count(*), sum(brewery_id) FROM silver.brewery").await, ["20|190"]);
}

#[tokio::test]
async fn an_unknown_operation_or_a_missing_key_is_refused() {
    for record in [Record { operation: "truncate", ..load(1, "a") }, Record { values: Vec::new(), ..load(1, "a") }] {
        let bench = Bench::beer();
        bench.deliver("brewery", "o1", &[record]);
        let contract = bench.warehouse.lake.table("brewery").expect("in the lake").clone();
        let error = merge(&bench.warehouse, &contract).await.expect_err("refused");
        assert!(matches!(error, crate::WarehouseError::Bronze { .. }), "{error}");
    }
}

/// What happens to one row of the reference model.
#[derive(Clone, Debug)]
enum Step {
    Write { key: i64, value: u8, partial: bool },
    Delete { key: i64 },
    Move { from: i64, to: i64, value: u8, partial: bool },
}

fn step() -> impl Strategy<Value = Step> {
    let key = 1i64..6;
    prop_oneof![
        4 => (key.clone(), any::<u8>(), any::<bool>()).prop_map(|(key, value, partial)| Step::Write { key, value, partial }),
        2 => key.clone().prop_map(|key| Step::Delete { key }),
        2 => (key.clone(), key, any::<u8>(), any::<bool>())
            .prop_map(|(from, to, value, partial)| Step::Move { from, to, value, partial }),
    ]
}

/// name, city, created, updated, deleted
type Row = (String, Option<String>, i64, i64, Option<i64>);

/// Plays steps on a map, as Postgres would, and writes the change records it would send.
fn play(steps: &[Step]) -> (Vec<Record>, BTreeMap<i64, Row>) {
    let (mut log, mut table): (Vec<Record>, BTreeMap<i64, Row>) = (Vec::new(), BTreeMap::new());
    for (lsn, step) in (1i64..).zip(steps) {
        let live = |table: &BTreeMap<i64, Row>, key: i64| table.get(&key).filter(|row| row.4.is_none()).cloned();
        match *step {
            Step::Write { key, value, partial } => {
                let (name, fresh) = (format!("n{value}"), format!("c{lsn}"));
                match live(&table, key) {
                    None => {
                        log.push(change("insert", lsn, 1, key, &name, Some(&fresh)));
                        table.insert(key, (name, Some(fresh), lsn, lsn, None));
                    }
                    Some(row) => {
                        let city = if partial { row.1 } else { Some(fresh.clone()) };
                        log.push(change("update", lsn, 1, key, &name, (!partial).then_some(fresh.as_str())));
                        table.insert(key, (name, city, row.2, lsn, None));
                    }
                }
            }
            Step::Delete { key } => {
                if let Some(row) = live(&table, key) {
                    log.push(delete(lsn, 1, key));
                    table.insert(key, (row.0, row.1, row.2, lsn, Some(lsn)));
                }
            }
            Step::Move { from, to, value, partial } => {
                let (Some(row), None) = (live(&table, from), live(&table, to)) else { continue };
                let (name, fresh) = (format!("n{value}"), format!("c{lsn}"));
                log.push(moved(from, change("update", lsn, 1, to, &name, (!partial).then_some(fresh.as_str()))));
                let city = if partial { row.1.clone() } else { Some(fresh) };
                table.insert(from, (row.0, row.1, row.2, lsn, Some(lsn)));
                table.insert(to, (name, city, lsn, lsn, None));
            }
        }
    }
    (log, table)
}

fn expected(table: &BTreeMap<i64, Row>) -> Vec<String> {
    let row = |(key, row): (&i64, &Row)| {
        let city = row.1.clone().unwrap_or_else(|| "NULL".to_owned());
        let deleted = row.4.map_or("NULL".to_owned(), |at| at.to_string());
        format!("{key}|{}|{city}|NULL|{}|{}|{deleted}", row.0, row.2, row.3)
    };
    table.iter().map(row).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Records in any order, any of them twice, in any number of objects and merges: the table ends as the model says.
    #[test]
    fn any_order_and_repetition_converges(
        steps in proptest::collection::vec(step(), 1..25),
        cuts in proptest::collection::vec((0usize..4, any::<bool>()), 25),
        seed in any::<u64>(),
    ) {
        let (log, table) = play(&steps);
        let mut deliveries: Vec<Vec<Record>> = vec![Vec::new(); 4];
        for (record, (part, twice)) in log.iter().zip(&cuts) {
            deliveries[*part].push(record.clone());
            if *twice {
                deliveries[(part + 1 + seed as usize % 3) % 4].insert(0, record.clone());
            }
        }
        deliveries.rotate_left(seed as usize % 4);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
        let found = runtime.block_on(async {
            let bench = Bench::beer();
            for (number, records) in deliveries.iter().enumerate() {
                bench.deliver("brewery", &format!("o{number}"), records);
                merged(&bench).await;
            }
            let waiting = merged(&bench).await.objects_parked;
            assert_eq!(waiting, 0, "everything has arrived, so nothing waits");
            bench.rows(ROWS).await
        });
        prop_assert_eq!(found, expected(&table));
    }
}

#[tokio::test]
async fn latencies_count_what_became_visible_changes_apart_from_loads() {
    let bench = Bench::beer();
    let ago = |seconds: i64, record: Record| Record { at: bench.warehouse.clock.now().seconds() - seconds, ..record };
    let changes = [
        ago(2, change("insert", 5, 1, 2, "b", Some("c"))),
        ago(40, change("insert", 6, 1, 3, "c", Some("d"))),
        ago(9, load(1, "a")),
    ];
    bench.deliver("brewery", "o0", &changes);
    // Its base has not arrived: nobody can see it yet.
    bench.deliver("brewery", "o1", &[ago(70, change("update", 7, 1, 4, "d", None))]);
    assert_eq!(merged(&bench).await.objects_parked, 1);
    let mut told = BTreeMap::new();
    for event in bench.events.lock().expect("lock").drain(..) {
        if let RunEvent::LatencyMeasured { table, carried, latencies } = event {
            assert_eq!(table, "brewery");
            let seconds = |part: f64| latencies.percentile(part).expect("counted").as_secs();
            told.insert(carried, (latencies.count(), seconds(0.0), seconds(1.0)));
        }
    }
    assert_eq!(told, BTreeMap::from([(Carried::Changes, (2, 2, 40)), (Carried::Load, (1, 10, 10))]));
}

#[tokio::test]
async fn a_table_that_waits_too_long_for_its_next_object_is_told_with_every_merge() {
    let mut lake = Lake::beer();
    let brewery = lake.tables.iter_mut().find(|table| table.name == "brewery").expect("a beer table");
    brewery.service_levels.frequency = Some(Duration::from_secs(3_600));
    let bench = Bench::new(lake);
    let told = || {
        let events = std::mem::take(&mut *bench.events.lock().expect("lock"));
        let lines = events.into_iter().filter_map(|event| match event {
            RunEvent::Log { message } if message.starts_with("warning: table") => Some(message),
            _ => None,
        });
        lines.collect::<Vec<_>>()
    };
    merged(&bench).await;
    assert_eq!(told(), Vec::<String>::new(), "nobody knows since when");
    bench.deliver("brewery", "o0", &[load(1, "a")]);
    let arrived = |ago: u64| {
        let at = bench.warehouse.clock.now().0 - i64::try_from(ago).expect("small") * 1_000_000;
        bench.control.records.lock().expect("lock").values_mut().for_each(|record| record.received_at = at);
    };
    arrived(3_600);
    merged(&bench).await;
    assert_eq!(told(), Vec::<String>::new(), "in time");
    arrived(3_660);
    let line = "warning: table `brewery` got its last object that is in bronze 1 h 1 min ago, frequency allows 1 h";
    for _ in 0..2 {
        merged(&bench).await;
        assert_eq!(told(), [line]);
    }
}

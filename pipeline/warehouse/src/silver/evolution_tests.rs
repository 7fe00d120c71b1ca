//! Silver follows a contract that changed: files and bronze of two versions, read and merged as one table.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use futures::TryStreamExt;
use iceberg::table::Table;
use lakebed_contract::Lake;
use lakebed_contract::lake::{BEER_FILES, Model};

use super::{MergeReport, merge};
use crate::WarehouseError;
use crate::iceberg::{TableStore, table_ident};
use crate::testing::{Bench, Record};

const V1: &str = "version: 1.0.0
schema:
  - name: brewery
    physicalName: dm_core.brewery
    properties:
      - {name: brewery_id, physicalType: integer, primaryKey: true}
      - {name: brewery_name, physicalType: text, required: true}
      - {name: city, physicalType: text}
      - {name: visits, physicalType: integer}
      - {name: rating, physicalType: 'numeric(4,1)'}
      - {name: state, physicalType: text}
";

/// Adds `country`, widens `brewery_id`, `visits` and `rating`, renames `city` to `town`, drops `state`, and orders anew.
const V2: &str = "version: 2.0.0
schema:
  - name: brewery
    physicalName: dm_core.brewery
    properties:
      - {name: country, physicalType: text}
      - {name: brewery_id, physicalType: bigint, primaryKey: true}
      - {name: rating, physicalType: 'numeric(10,1)'}
      - name: town
        physicalType: text
        customProperties: [{property: formerNames, value: [city]}]
      - {name: brewery_name, physicalType: text, required: true}
      - {name: visits, physicalType: bigint}
";

const ROWS: &str = "SELECT brewery_id, brewery_name, town, visits, rating, country, state FROM silver.brewery \
                    WHERE deleted_at IS NULL ORDER BY 1";

/// The beer lake with this contract for `brewery`.
fn lake(contract: &str) -> Lake {
    let mut files: BTreeMap<String, String> =
        BEER_FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let contract = format!("apiVersion: v3.1.0\nkind: DataContract\n{contract}");
    files.insert("contracts/brewery.yaml".to_owned(), contract);
    Lake::from_files(&files).expect("a lake")
}

/// From now on the lake has this contract.
fn turn_to(bench: &mut Bench, contract: &str) {
    bench.warehouse.lake = Arc::new(lake(contract));
}

async fn try_merge(bench: &Bench) -> crate::error::Result<MergeReport> {
    let contract = bench.warehouse.lake.table("brewery").expect("in the lake").clone();
    merge(&bench.warehouse, &contract).await
}

async fn merged(bench: &Bench) -> MergeReport {
    try_merge(bench).await.expect("the merge succeeds")
}

fn record(operation: &'static str, lsn: i64, key: i64, values: &[(&'static str, &str)]) -> Record {
    let mut all = vec![("brewery_id", Some(key.to_string()))];
    all.extend(values.iter().map(|(name, value)| (*name, Some((*value).to_owned()))));
    Record { operation, position: (1, lsn, lsn.min(1)), at: 1_000 + lsn, values: all, ..Record::default() }
}

fn old(operation: &'static str, lsn: i64, key: i64, city: &str, visits: &str) -> Record {
    let values = [("brewery_name", "old"), ("city", city), ("visits", visits), ("rating", "4.5"), ("state", "CA")];
    record(operation, lsn, key, &values)
}

fn new(operation: &'static str, lsn: i64, key: i64, town: &str, visits: &str) -> Record {
    let values =
        [("brewery_name", "new"), ("town", town), ("visits", visits), ("rating", "123456.5"), ("country", "BR")];
    record(operation, lsn, key, &values)
}

async fn table(bench: &Bench) -> Table {
    let ident = table_ident("silver", "brewery").expect("an ident");
    bench.store.load(&ident).await.expect("loads").expect("exists")
}

fn moved(from: i64, ordinal: i64, record: Record) -> Record {
    let (generation, lsn, _) = record.position;
    Record { old: Some(from.to_string()), position: (generation, lsn, ordinal), ..record }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_two_versions_are_one_table() {
    let mut bench = Bench::new(lake(V1));
    for (object, records) in [
        ("o1", &[old("load", 0, 1, "a", "1"), old("load", 0, 2, "b", "2")][..]),
        ("o2", &[old("load", 0, 3, "c", "3")]),
    ] {
        bench.deliver("brewery", object, records);
        merged(&bench).await;
    }
    let before = table(&bench).await;
    turn_to(&mut bench, V2);
    let changes = [new("update", 5, 1, "town", "3000000000"), new("insert", 6, 4, "d", "4")];
    bench.deliver("brewery", "o3", &changes);
    *bench.store.conflicts.lock().expect("lock") = 2;
    let report = merged(&bench).await;
    assert_eq!((report.upserted, report.files_removed), (2, 1), "the file without a touched key stays as it is");
    let rows = [
        "1|new|town|3000000000|123456.5|BR|CA",
        "2|old|b|2|4.5|NULL|CA",
        "3|old|c|3|4.5|NULL|CA",
        "4|new|d|4|123456.5|BR|NULL",
    ];
    assert_eq!(bench.rows(ROWS).await, rows);
    let types = "SELECT DISTINCT typeof(brewery_id), typeof(visits), typeof(rating) FROM silver.brewery";
    assert_eq!(bench.rows(types).await, ["BIGINT|BIGINT|DECIMAL(10,1)"]);

    let after = table(&bench).await;
    let id = |table: &Table, name: &str| table.metadata().current_schema().field_id_by_name(name);
    assert_eq!(id(&after, "town"), id(&before, "city"));
    assert_eq!(after.metadata().schemas_iter().len(), 2, "one change of columns");
    assert_eq!(
        by_field_id(&after).await,
        [(1, Some("town".into())), (2, Some("b".into())), (3, Some("c".into())), (4, Some("d".into()))]
    );

    let again = merged(&bench).await;
    assert_eq!((again.snapshot_id, again.objects), (report.snapshot_id, 0));
    assert_eq!(table(&bench).await.metadata(), after.metadata(), "nothing left to change");
}

/// Key and town as the `iceberg` crate reads them, which goes by field ids.
async fn by_field_id(table: &Table) -> Vec<(i64, Option<String>)> {
    let scan = table.scan().select(["brewery_id", "town"]).build().expect("a scan");
    let batches: Vec<RecordBatch> = scan.to_arrow().await.expect("reads").try_collect().await.expect("rows");
    let mut rows = Vec::new();
    for batch in batches {
        let keys = batch.column(0).as_primitive::<arrow::datatypes::Int64Type>();
        let towns = batch.column(1).as_string::<i32>();
        rows.extend(
            (0..batch.num_rows()).map(|at| (keys.value(at), towns.is_valid(at).then(|| towns.value(at).to_owned()))),
        );
    }
    rows.sort();
    rows
}

#[tokio::test]
async fn the_history_of_a_key_spans_both_versions() {
    let mut bench = Bench::new(lake(V1));
    bench.deliver("brewery", "o1", &[old("load", 0, 1, "first", "1")]);
    merged(&bench).await;
    turn_to(&mut bench, V2);
    bench.deliver("brewery", "o2", &[Record { absent: vec!["town"], ..new("update", 5, 1, "", "5") }]);
    merged(&bench).await;
    assert_eq!(bench.rows(ROWS).await, ["1|new|first|5|123456.5|BR|CA"]);

    // Records of the old contract that come late: the key is made anew from bronze of both versions.
    turn_to(&mut bench, V1);
    let late = Record { absent: vec!["city", "state"], ..old("update", 4, 1, "", "4") };
    bench.deliver("brewery", "o3", &[old("update", 3, 1, "moved", "3"), late]);
    turn_to(&mut bench, V2);
    merged(&bench).await;
    assert_eq!(bench.rows(ROWS).await, ["1|new|moved|5|123456.5|BR|CA"]);

    // Later records of the old contract say nothing about a column it does not know, and wait for nobody.
    turn_to(&mut bench, V1);
    bench.deliver("brewery", "o4", &[old("update", 6, 1, "last", "6"), old("update", 7, 9, "nine", "9")]);
    turn_to(&mut bench, V2);
    assert_eq!(merged(&bench).await.objects_parked, 0);
    assert_eq!(bench.rows(ROWS).await, ["1|old|last|6|4.5|BR|CA", "9|old|nine|9|4.5|NULL|NULL"]);
}

#[tokio::test]
async fn a_dropped_column_outlives_deletes_moves_and_loads_but_not_a_new_life() {
    let mut bench = Bench::new(lake(V1));
    let rows: Vec<Record> = (1..=4).map(|key| old("load", 0, key, "c", "1")).collect();
    bench.deliver("brewery", "o1", &rows);
    merged(&bench).await;
    turn_to(&mut bench, V2);
    let changes = [
        new("delete", 5, 1, "c", "1"),
        Record { old: Some("2".to_owned()), ..new("update", 6, 20, "c", "1") },
        Record { position: (2, 0, 0), ..new("load", 0, 3, "c", "1") },
        new("delete", 7, 4, "c", "1"),
        new("insert", 8, 4, "c", "1"),
    ];
    bench.deliver("brewery", "o2", &changes);
    merged(&bench).await;
    let sql = "SELECT brewery_id, state, deleted_at IS NULL FROM silver.brewery ORDER BY 1";
    assert_eq!(bench.rows(sql).await, ["1|CA|false", "2|CA|false", "3|CA|true", "4|NULL|true", "20|CA|true"]);
}

/// Keys, values of the dropped column and life after one merge per list of records, over rows 2, 3 and 4 of the old contract.
async fn states_after(merges: &[&[Record]]) -> Vec<String> {
    let mut bench = Bench::new(lake(V1));
    let row = |(key, state)| {
        let values = [("brewery_name", "old"), ("city", "c"), ("visits", "1"), ("rating", "4.5"), ("state", state)];
        record("insert", 5, key, &values)
    };
    bench.deliver("brewery", "before", &[(2, "two"), (3, "three"), (4, "four")].map(row));
    merged(&bench).await;
    turn_to(&mut bench, V2);
    for (number, records) in merges.iter().enumerate() {
        bench.deliver("brewery", &format!("o{number}"), records);
        merged(&bench).await;
    }
    bench.rows("SELECT brewery_id, state, deleted_at IS NULL FROM silver.brewery ORDER BY 1").await
}

/// The same with a late record before, among and after the others.
async fn states_whenever_late(late: Record, timely: &[Record]) -> Vec<String> {
    let both: Vec<Record> = timely.iter().cloned().chain([late.clone()]).collect();
    let late = [late];
    let at_once = states_after(&[&both]).await;
    assert_eq!(states_after(&[&late, timely]).await, at_once, "before the others");
    assert_eq!(states_after(&[timely, &late]).await, at_once, "after the others");
    at_once
}

#[tokio::test]
async fn a_dropped_column_moves_with_its_row_beside_a_late_record() {
    let timely = [moved(2, 1, new("update", 6, 20, "c", "1"))];
    let states = states_whenever_late(new("update", 4, 2, "c", "1"), &timely).await;
    assert_eq!(states, ["2|two|false", "3|three|true", "4|four|true", "20|two|true"]);
}

#[tokio::test]
async fn a_dropped_column_enters_no_new_life_beside_a_late_record() {
    let timely = [new("delete", 7, 4, "c", "1"), new("insert", 8, 4, "c", "1")];
    let states = states_whenever_late(new("update", 3, 4, "c", "1"), &timely).await;
    assert_eq!(states, ["2|two|true", "3|three|true", "4|NULL|true"]);
}

#[tokio::test]
async fn a_dropped_column_is_swapped_with_its_row_beside_a_late_record() {
    let swap = [moved(2, 1, new("update", 7, 3, "c", "1")), moved(3, 2, new("update", 7, 2, "c", "1"))];
    let states = states_whenever_late(new("update", 4, 2, "c", "1"), &swap).await;
    assert_eq!(states, ["2|three|true", "3|two|true", "4|four|true"]);
    // The second half first leaves nothing of what was in 2: better no value than that of the row that was in 3.
    let [first, second] = &swap;
    let halves = [std::slice::from_ref(second), std::slice::from_ref(first)];
    assert_eq!(states_after(&halves).await, ["2|three|true", "3|NULL|true", "4|four|true"]);
}

#[tokio::test]
async fn a_key_column_that_is_renamed_keeps_moves_and_late_records() {
    let renamed = V1.replace(
        "{name: brewery_id, physicalType: integer, primaryKey: true}",
        "{name: brewery_key, physicalType: integer, primaryKey: true, customProperties: [{property: formerNames, value: \
         [brewery_id]}]}",
    );
    let mut bench = Bench::new(lake(V1));
    bench.deliver("brewery", "o1", &[old("load", 0, 1, "a", "1"), old("load", 0, 2, "b", "2")]);
    merged(&bench).await;
    let before = table(&bench).await;
    // Files of the old contract call the old key `_old_brewery_id`.
    let partial = |record: Record| Record { absent: vec!["city"], ..record };
    bench.deliver("brewery", "o2", &[moved(1, 1, partial(old("update", 5, 10, "", "3")))]);
    turn_to(&mut bench, &renamed);
    merged(&bench).await;
    let rows = "SELECT brewery_key, city, deleted_at IS NULL FROM silver.brewery ORDER BY 1";
    assert_eq!(bench.rows(rows).await, ["1|a|false", "2|b|true", "10|a|true"]);
    let mut record = moved(2, 1, partial(old("update", 8, 20, "", "4")));
    record.values[0].0 = "brewery_key";
    bench.deliver("brewery", "o3", &[record]);
    merged(&bench).await;
    turn_to(&mut bench, V1);
    let late = [old("update", 4, 1, "late", "1"), old("update", 7, 2, "later", "1")];
    bench.deliver("brewery", "o4", &late);
    turn_to(&mut bench, &renamed);
    merged(&bench).await;
    assert_eq!(bench.rows(rows).await, ["1|late|false", "2|later|false", "10|late|true", "20|later|true"]);
    let id = |table: &Table, name: &str| table.metadata().current_schema().field_id_by_name(name);
    assert_eq!(id(&table(&bench).await, "brewery_key"), id(&before, "brewery_id"));
}

#[tokio::test]
async fn a_model_follows_its_inputs_and_its_text_but_loses_no_column() {
    let turn = |bench: &mut Bench, contract: &str, sql: &str| {
        let mut lake = lake(contract);
        lake.gold.push(Model {
            name: "busy".to_owned(),
            sql: sql.to_owned(),
            inputs: vec!["brewery".to_owned()],
            driver: "brewery".to_owned(),
            partition_by: Vec::new(),
            key: vec!["brewery_id".to_owned()],
        });
        bench.warehouse.lake = Arc::new(lake);
    };
    let build = async |bench: &Bench| {
        let model = bench.warehouse.lake.gold.last().expect("a model").clone();
        crate::model::build(&bench.warehouse, "gold", &model).await
    };
    let mut bench = Bench::new(lake(V1));
    let sql = "SELECT brewery_id, visits FROM brewery";
    turn(&mut bench, V1, sql);
    bench.deliver("brewery", "o1", &[old("load", 0, 1, "a", "1"), old("load", 0, 2, "b", "2")]);
    merged(&bench).await;
    build(&bench).await.expect("builds");
    turn(&mut bench, V2, sql);
    bench.deliver("brewery", "o2", &[new("update", 5, 1, "a", "3000000000")]);
    merged(&bench).await;
    build(&bench).await.expect("builds with wider columns");
    let rows = "SELECT brewery_id, visits, typeof(visits) FROM gold.busy ORDER BY 1";
    assert_eq!(bench.rows(rows).await, ["1|3000000000|BIGINT", "2|2|BIGINT"]);
    turn(&mut bench, V2, "SELECT country, visits, brewery_id FROM brewery");
    build(&bench).await.expect("builds with one more column");
    let rows = "SELECT brewery_id, visits, country FROM gold.busy ORDER BY 1";
    assert_eq!(bench.rows(rows).await, ["1|3000000000|BR", "2|2|NULL"]);
    turn(&mut bench, V2, "SELECT country, brewery_id FROM brewery");
    let report = build(&bench).await.expect_err("refused").report();
    assert!(report.contains("`visits`") && report.contains("drop the table"), "{report}");
}

#[tokio::test]
async fn bronze_that_does_not_fit_any_more_is_refused_by_file_and_column() {
    let mut bench =
        Bench::new(lake(&V1.replace("{name: visits, physicalType: integer}", "{name: visits, physicalType: text}")));
    bench.deliver("brewery", "o1", &[old("load", 0, 1, "a", "secret")]);
    turn_to(&mut bench, V2);
    let error = try_merge(&bench).await.expect_err("refused");
    let report = error.report();
    assert!(matches!(error, WarehouseError::Unsupported { .. }), "{report}");
    assert!(
        report.contains("v1/brewery/object=o1") && report.contains("`visits`") && !report.contains("secret"),
        "{report}"
    );

    let both = V1.replace("{name: state,", "{name: town,");
    let mut bench = Bench::new(lake(&both));
    bench.deliver("brewery", "o1", &[old("load", 0, 1, "a", "1")]);
    turn_to(&mut bench, V2);
    let error = try_merge(&bench).await.expect_err("refused");
    let report = error.report();
    assert!(matches!(error, WarehouseError::Bronze { .. }), "{report}");
    assert!(report.contains("object=o1") && report.contains("`town` and `city`"), "{report}");

    let mut bench = Bench::new(lake(V2));
    merged(&bench).await;
    turn_to(&mut bench, &V2.replace("{name: visits, physicalType: bigint}", "{name: visits, physicalType: integer}"));
    let report = try_merge(&bench).await.expect_err("refused").report();
    assert!(report.contains("`visits`") && report.contains("long") && report.contains("int"), "{report}");
}

//! Random sequences of appends, overwrites and removals, read back by the `iceberg` crate's own scan.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{AsArray, Int32Array, Int64Array, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use futures::TryStreamExt;
use iceberg::table::Table;
use proptest::prelude::*;

use crate::WarehouseError;
use crate::iceberg::schema::TableShape;
use crate::iceberg::snapshot::live_files;
use crate::iceberg::write::{DataWriter, Part, Splitter, arrow_schema, conform};
use crate::testing::Bench;

fn shape() -> TableShape {
    let columns = [("id", "BIGINT"), ("part", "INTEGER")].map(|(name, sql)| (name.to_owned(), sql.to_owned()));
    TableShape::model("numbers", &columns, &["part".to_owned()], &["id".to_owned()]).expect("valid")
}

async fn table(bench: &Bench) -> Table {
    bench.warehouse.ensure_table("gold", "numbers", &shape()).await.expect("table")
}

async fn write(bench: &Bench, table: &Table, rows: &[(i64, i32)]) -> Vec<iceberg::spec::DataFile> {
    let columns: [(&str, arrow::array::ArrayRef); 2] = [
        ("id", Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>())),
        ("part", Arc::new(rows.iter().map(|row| row.1).collect::<Int32Array>())),
    ];
    let batch = RecordBatch::try_from_iter(columns).expect("batch");
    let batch = conform(&batch, &arrow_schema(table).expect("schema")).expect("fits");
    let parts = Splitter::new(table).expect("splitter").split(batch).expect("split");
    let makers: Vec<_> = parts
        .into_iter()
        .map(|(path, key, rows)| move || Ok::<Part, WarehouseError>(Part { path, key, batches: vec![rows] }))
        .collect();
    let writer = DataWriter::new(table.clone(), bench.warehouse.files.clone(), bench.warehouse.fresh_uuid());
    writer.write_all(makers).await.files.expect("written")
}

async fn scan(table: &Table) -> BTreeSet<(i64, i32)> {
    let stream = table.scan().build().expect("scan").to_arrow().await.expect("arrow");
    let batches: Vec<RecordBatch> = stream.try_collect().await.expect("rows");
    let mut rows = BTreeSet::new();
    for batch in batches {
        let (ids, parts) = (batch.column(0).as_primitive::<Int64Type>(), batch.column(1).as_primitive::<Int32Type>());
        for row in 0..batch.num_rows() {
            assert!(rows.insert((ids.value(row), parts.value(row))), "a row is there twice");
        }
    }
    rows
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Each step adds a file per partition and removes some of the live files.
    #[test]
    fn any_sequence_of_commits_keeps_the_right_rows(
        steps in proptest::collection::vec((1i64..6, proptest::collection::vec(any::<bool>(), 8)), 1..7),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
        runtime.block_on(async {
            let bench = Bench::beer();
            let mut model: BTreeMap<String, BTreeSet<(i64, i32)>> = BTreeMap::new();
            let mut next = 0;
            for (count, removals) in steps {
                let table = table(&bench).await;
                let rows: Vec<(i64, i32)> = (next..next + count).map(|id| (id, (id % 3) as i32)).collect();
                next += count;
                let added = write(&bench, &table, &rows).await;
                let removed: HashSet<String> =
                    model.keys().zip(&removals).filter(|(_, remove)| **remove).map(|(path, _)| path.clone()).collect();
                for path in &removed {
                    model.remove(path);
                }
                for file in &added {
                    let part = file.partition()[0].clone().expect("not null");
                    let iceberg::spec::Literal::Primitive(iceberg::spec::PrimitiveLiteral::Int(part)) = part else {
                        panic!("an int partition")
                    };
                    model.insert(file.file_path().to_owned(), rows.iter().copied().filter(|row| row.1 == part).collect());
                }
                bench.warehouse.commit(&table, added, removed, HashMap::new()).await.expect("commits");
            }
            let table = table(&bench).await;
            assert_eq!(scan(&table).await, model.values().flatten().copied().collect());
            let summary = super::super::snapshot::summary(&table);
            assert_eq!(summary["total-data-files"], model.len().to_string());
            assert_eq!(summary["total-records"], model.values().map(BTreeSet::len).sum::<usize>().to_string());
        });
    }
}

#[tokio::test]
async fn the_second_of_two_commits_on_one_base_is_a_conflict() {
    let bench = Bench::beer();
    let base = table(&bench).await;
    let first = write(&bench, &base, &[(1, 1)]).await;
    let second = write(&bench, &base, &[(2, 1)]).await;
    bench.warehouse.commit(&base, first, HashSet::new(), HashMap::new()).await.expect("first");
    let error = bench.warehouse.commit(&base, second, HashSet::new(), HashMap::new()).await.err().expect("second");
    assert!(matches!(error, WarehouseError::CommitConflict { .. }), "{error}");
    assert_eq!(bench.files_under("gold/numbers/data"), 1, "the loser's file is gone");
}

#[tokio::test]
async fn removing_a_file_that_is_not_live_is_a_conflict() {
    let bench = Bench::beer();
    let base = table(&bench).await;
    let added = write(&bench, &base, &[(1, 1)]).await;
    let gone = HashSet::from(["file:///gone.parquet".to_owned()]);
    let error = bench.warehouse.commit(&base, added, gone, HashMap::new()).await.err().expect("refused");
    assert!(matches!(error, WarehouseError::CommitConflict { .. }));
}

#[tokio::test]
async fn an_untouched_manifest_is_kept_by_reference() {
    let bench = Bench::beer();
    let mut paths = Vec::new();
    for id in 0..2 {
        let table = table(&bench).await;
        let added = write(&bench, &table, &[(id, id as i32)]).await;
        paths.push(added[0].file_path().to_owned());
        bench.warehouse.commit(&table, added, HashSet::new(), HashMap::new()).await.expect("commits");
    }
    let before = table(&bench).await;
    let list = |table: &Table| {
        let snapshot = table.metadata().current_snapshot().expect("a snapshot").clone();
        let reader = table.manifest_list_reader(&snapshot);
        async move { reader.load().await.expect("list") }
    };
    let kept = list(&before).await.entries().iter().map(|manifest| manifest.manifest_path.clone()).collect::<Vec<_>>();
    bench
        .warehouse
        .commit(&before, Vec::new(), HashSet::from([paths[1].clone()]), HashMap::new())
        .await
        .expect("commits");
    let after = table(&bench).await;
    let now = list(&after).await.entries().iter().map(|manifest| manifest.manifest_path.clone()).collect::<Vec<_>>();
    assert_eq!(now.iter().filter(|path| kept.contains(path)).count(), 1);
    let live = live_files(&after, after.metadata().current_snapshot()).await.expect("live");
    assert_eq!(live.iter().map(|file| file.file_path()).collect::<Vec<_>>(), [paths[0].as_str()]);
}

//! The beer models over small data, incremental builds, and queries on top.

use super::build;
use crate::silver::merge;
use crate::testing::{Bench, Record};

fn load(values: Vec<(&'static str, Option<String>)>) -> Record {
    Record { operation: "load", position: (1, 0, 0), at: 1, values, ..Record::default() }
}

fn some(value: impl ToString) -> Option<String> {
    Some(value.to_string())
}

fn brewery(id: u32) -> Record {
    load(vec![("brewery_id", some(id)), ("brewery_name", some(format!("brewery {id}")))])
}

fn beer(id: u32) -> Record {
    load(vec![
        ("beer_id", some(id)),
        ("beer_name", some(format!("beer {id}"))),
        ("beer_style", some("Stout")),
        ("beer_abv", some("5.5")),
        ("brewery_id", some(1)),
    ])
}

fn profile(id: u32, state: &str) -> Record {
    load(vec![("profile_id", some(id)), ("profile_name", some(format!("p{id}"))), ("state", some(state))])
}

fn review(id: u32, beer: u32, profile: u32, overall: &str, time: &str) -> Record {
    let mut values = vec![
        ("review_id", some(id)),
        ("brewery_id", some(1)),
        ("beer_id", some(beer)),
        ("profile_id", some(profile)),
        ("review_time", some(time)),
        ("comment", some("fine")),
    ];
    for score in ["review_overall", "review_aroma", "review_appearance", "review_palate", "review_taste"] {
        values.push((score, some(overall)));
    }
    load(values)
}

fn change(operation: &'static str, lsn: i64, record: Record) -> Record {
    Record { operation, position: (1, lsn, 1), at: lsn, ..record }
}

async fn merge_all(bench: &Bench) {
    for contract in bench.warehouse.lake.tables.clone() {
        merge(&bench.warehouse, &contract).await.expect("merges");
    }
}

/// Builds all models; returns (model, partitions, files added).
async fn build_all(bench: &Bench) -> Vec<(String, u64, u64)> {
    let mut built = Vec::new();
    for (namespace, models) in [("silver", &bench.warehouse.lake.silver), ("gold", &bench.warehouse.lake.gold)] {
        for model in models {
            let report = build(&bench.warehouse, namespace, model).await.expect("builds");
            built.push((model.name.clone(), report.partitions, report.files_added));
        }
    }
    built
}

async fn beer_bench() -> Bench {
    let bench = Bench::beer();
    bench.deliver("brewery", "b", &[brewery(1)]);
    bench.deliver("beer", "b", &[beer(1), beer(2)]);
    bench.deliver("profile", "p", &[profile(1, "CA"), profile(2, "NY")]);
    let reviews = [
        review(1, 1, 1, "4.0", "2020-01-31T23:59:59.999999Z"),
        review(2, 1, 2, "4.5", "2020-01-01T00:00:00Z"),
        review(3, 1, 2, "4.5", "2020-01-05T00:00:00Z"),
        review(4, 2, 2, "1.0", "2020-02-01T00:00:00Z"),
    ];
    bench.deliver("review", "r", &reviews);
    merge_all(&bench).await;
    bench
}

#[tokio::test]
async fn gold_holds_exact_monthly_averages() {
    let bench = beer_bench().await;
    build_all(&bench).await;
    let beers = "SELECT beer_id, beer_name, beer_style, avg_rating, total_reviews, review_year, review_month \
                 FROM gold.top_beers_by_rating ORDER BY review_month, beer_id";
    // 13.0 / 3 = 4.33333…; never 4.3333000001 or 4.33.
    let rows = ["1|beer 1|Stout|4.3333|3|2020|1", "2|beer 2|Stout|1.0000|1|2020|2"];
    assert_eq!(bench.rows(beers).await, rows);
    let states = "SELECT * FROM state_by_review_volume ORDER BY review_month, state";
    assert_eq!(bench.rows(states).await, ["CA|1|2020|1", "NY|2|2020|1", "NY|1|2020|2"]);
    let drinkers = "SELECT * FROM gold.top_drinkers WHERE review_month = 1 ORDER BY profile_id";
    assert_eq!(bench.rows(drinkers).await, ["1|CA|1|4.0000|2020|1", "2|NY|2|4.5000|2020|1"]);
    assert_eq!(bench.rows("SELECT count(*) FROM gold.top_styles_by_popularity").await, ["2"]);
    assert_eq!(bench.rows("SELECT count(*) FROM gold.top_breweries_by_rating").await, ["2"]);
}

#[tokio::test]
async fn averages_are_rounded_half_up() {
    let bench = beer_bench().await;
    // 32 reviews, sum 34.9: 1.090625, whose fifth digit is not a tie; 16 reviews, sum 16.1: 1.00625 is one.
    let mut reviews = Vec::new();
    for id in 0..16 {
        reviews.push(review(100 + id, 2, 1, if id == 0 { "1.1" } else { "1.0" }, "2021-05-05T00:00:00Z"));
    }
    bench.deliver("review", "more", &reviews);
    merge_all(&bench).await;
    build_all(&bench).await;
    let average = "SELECT avg_rating, total_reviews FROM gold.top_beers_by_rating WHERE review_year = 2021";
    assert_eq!(bench.rows(average).await, ["1.0063|16"]);
}

#[tokio::test]
async fn only_touched_partitions_are_rebuilt_and_nothing_when_nothing_changed() {
    let bench = beer_bench().await;
    assert!(build_all(&bench).await.iter().all(|(_, partitions, files)| (*partitions, *files) == (2, 2)));
    assert!(build_all(&bench).await.iter().all(|(_, partitions, files)| (*partitions, *files) == (0, 0)));
    // A review of February changes: January stays.
    bench.deliver("review", "u", &[change("update", 5, review(4, 2, 2, "2.0", "2020-02-01T00:00:00Z"))]);
    merge_all(&bench).await;
    assert!(build_all(&bench).await.iter().all(|(_, partitions, files)| (*partitions, *files) == (1, 1)));
    // A profile that wrote in January only.
    bench.deliver("profile", "u", &[change("update", 6, profile(1, "TX"))]);
    merge_all(&bench).await;
    assert!(build_all(&bench).await.iter().all(|(_, partitions, _)| *partitions == 1));
    let rows =
        bench.rows("SELECT state, total_reviews FROM gold.state_by_review_volume ORDER BY review_month, state").await;
    assert_eq!(rows, ["NY|2", "TX|1", "NY|1"]);
}

#[tokio::test]
async fn a_review_that_changes_its_month_or_goes_is_counted_once() {
    let bench = beer_bench().await;
    build_all(&bench).await;
    let moved = change("update", 5, review(1, 1, 1, "4.0", "2020-02-02T00:00:00Z"));
    let gone = change("delete", 6, load(vec![("review_id", some(4))]));
    let absent = bench.warehouse.lake.table("review").expect("in the lake").columns.iter().skip(1);
    let absent = absent.map(|column| &*column.name.clone().leak()).collect();
    bench.deliver("review", "u", &[moved, Record { absent, ..gone }]);
    merge_all(&bench).await;
    let silver = "SELECT review_id, review_month, deleted_at IS NULL FROM silver.review ORDER BY 1";
    assert_eq!(bench.rows(silver).await, ["1|2|true", "2|1|true", "3|1|true", "4|2|false"]);
    build_all(&bench).await;
    let flat = "SELECT review_id, review_month, beer_name, beer_abv, state, review_time FROM review_flat ORDER BY 1";
    assert_eq!(
        bench.rows(flat).await,
        [
            "1|2|beer 1|5.5|CA|2020-02-02 00:00:00",
            "2|1|beer 1|5.5|NY|2020-01-01 00:00:00",
            "3|1|beer 1|5.5|NY|2020-01-05 00:00:00"
        ]
    );
    let beers = "SELECT beer_id, total_reviews, review_month FROM gold.top_beers_by_rating ORDER BY 3, 1";
    assert_eq!(bench.rows(beers).await, ["1|2|1", "1|1|2"]);
}

#[tokio::test]
async fn a_deleted_beer_leaves_nulls_and_the_review() {
    let bench = beer_bench().await;
    build_all(&bench).await;
    let absent = vec!["beer_name", "beer_style", "beer_abv", "brewery_id"];
    let gone = change("delete", 5, load(vec![("beer_id", some(2))]));
    bench.deliver("beer", "d", &[Record { absent, ..gone }]);
    merge_all(&bench).await;
    build_all(&bench).await;
    let rows = bench.rows("SELECT review_id, beer_id, beer_name FROM review_flat WHERE beer_id = 2").await;
    assert_eq!(rows, ["4|2|NULL"]);
}

#[tokio::test]
async fn queries_read_and_only_read() {
    let bench = beer_bench().await;
    let query = |sql: &'static str| crate::query::query_on(&bench.warehouse, sql);
    assert_eq!(query("SELECT 1 AS a, NULL AS b").await.expect("runs").columns, ["a", "b"]);
    assert_eq!(bench.rows("WITH r AS (SELECT * FROM silver.review) SELECT count(*) FROM r").await, ["4"]);
    assert_eq!(bench.rows("SELECT count(*) FROM \"review\"").await, ["4"]);
    assert!(!query("DESCRIBE silver.review").await.expect("runs").rows.is_empty());
    assert!(!query("SHOW ALL TABLES").await.expect("runs").rows.is_empty());
    for refused in [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM glob('/etc/*')",
        "WITH a AS (SELECT 1) INSERT INTO silver.review SELECT 1",
        "SELECT * FROM gold.nothing",
        "DROP VIEW review",
    ] {
        assert!(query(refused).await.is_err(), "{refused}");
    }
}

#[tokio::test]
async fn a_model_of_an_input_that_does_not_exist_says_so() {
    let bench = Bench::beer();
    let model = bench.warehouse.lake.gold[0].clone();
    let error = build(&bench.warehouse, "gold", &model).await.expect_err("no input").to_string();
    assert!(error.contains("silver.review_flat") && error.contains("not been built"), "{error}");
}

//! Tables that no generator knows by name: loaded and changed from their contracts alone.

use std::collections::{BTreeMap, BTreeSet};

use lakebed_contract::endpoints::PostgresEndpoint;
use lakebed_contract::lake::BEER_FILES;
use lakebed_contract::{EventSink, Lake, Seed};
use lakebed_source::{KeyPart, MutationPlan, MutationReport, SourceTruth, mutate, read_truth};
use tokio_postgres::Client;

use crate::shared::{lake_database, number};

const SCALE: f64 = 0.002;

/// Every type once, a key of three parts, references to two tables, personal data, and names that SQL would take for its own.
const ORDER: &str = "
  - {name: user, physicalType: text, primaryKey: true}
  - {name: group, physicalType: integer, primaryKey: true}
  - {name: day, physicalType: date, primaryKey: true}
  - {name: beer_id, physicalType: bigint, required: true}
  - {name: courier_code, physicalType: text}
  - {name: paid, physicalType: boolean}
  - {name: weight, physicalType: double precision}
  - {name: price, physicalType: 'numeric(38,10)'}
  - {name: at, physicalType: timestamptz}
  - {name: order_status, physicalType: text, required: true}
  - {name: email, physicalType: text, classification: email}
  - {name: note, physicalType: text, classification: free_text}";

const COURIER: &str = "
  - {name: courier_code, physicalType: text, primaryKey: true}
  - {name: full_name, physicalType: text, classification: full_name}";

/// The beer lake with `courier` and `order`, or these alone.
fn lake(with_beer: bool) -> Lake {
    let mut files: BTreeMap<String, String> =
        BEER_FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    for (name, properties) in [("courier", COURIER), ("order", ORDER)] {
        let properties = properties.replace("\n  ", "\n      ");
        files.insert(
            format!("contracts/{name}.yaml"),
            format!(
                "apiVersion: v3.1.0\nkind: DataContract\nversion: 1.0.0\nschema:\n  - name: {name}\n    \
                 physicalName: dm_core.{name}\n    properties:{properties}\n"
            ),
        );
    }
    if with_beer {
        let manifest = files["lakebed.toml"].replace("\"review\"]\n", "\"review\", \"courier\", \"order\"]\n");
        files.insert("lakebed.toml".into(), manifest);
    } else {
        files.retain(|path, _| !path.starts_with("judge/"));
        let manifest = "name = \"shop\"\ntables = [\"courier\", \"order\"]\nstate_machines = []\n";
        files.insert("lakebed.toml".into(), manifest.into());
    }
    Lake::from_files(&files).expect("a valid lake")
}

async fn change(endpoint: &PostgresEndpoint, lake: &Lake, changes: u64, truth: &mut SourceTruth) -> MutationReport {
    let plan = MutationPlan::new(Seed(5), changes);
    mutate(endpoint, lake, plan, truth, &EventSink::default()).await.expect("mutates")
}

async fn digest(client: &Client, lake: &Lake) -> Vec<Option<String>> {
    let mut digests = Vec::new();
    for table in &lake.tables {
        let sql = format!("SELECT md5(string_agg(r::text, '|' ORDER BY r::text)) FROM dm_core.\"{}\" r", table.name);
        digests.push(client.query_one(&sql, &[]).await.expect("answers").get(0));
    }
    digests
}

#[tokio::test]
async fn they_change_beside_the_beer_tables_and_references_stay_whole() {
    let lake = lake(true);
    let (endpoint, client, mut truth) = lake_database(&lake, SCALE, 41).await;
    assert_eq!(truth.keys_by_table()["order"], 200);
    // A row with a long text whose key number is above those of the load: its key was changed, or it is new.
    let moved =
        "SELECT count(*) FROM dm_core.\"order\" WHERE octet_length(note) > 8000 AND day > date '1900-01-01' + 200";
    assert_eq!(number(&client, moved).await, 0);
    let mut seen = 0;
    for seed in 0..6 {
        let plan = MutationPlan::new(Seed(seed), 250);
        mutate(&endpoint, &lake, plan, &mut truth, &EventSink::default()).await.expect("mutates");
        seen += number(&client, moved).await;
    }
    assert!(seen > 0, "no long text was ever given another key");
    let report = change(&endpoint, &lake, 2_000, &mut truth).await;
    assert_eq!(report.total(), 2_000);
    for table in ["order", "courier", "review"] {
        let kinds: BTreeSet<&str> = report.changes[table].keys().map(String::as_str).collect();
        assert_eq!(kinds, BTreeSet::from(["delete", "insert", "update"]), "{table}");
    }
    let lost = "SELECT count(*) FROM dm_core.\"order\" o LEFT JOIN dm_core.beer b USING (beer_id) \
                LEFT JOIN dm_core.courier c USING (courier_code) \
                WHERE b.beer_id IS NULL OR (o.courier_code IS NOT NULL AND c.courier_code IS NULL)";
    assert_eq!(number(&client, lost).await, 0);
    let null = "SELECT count(*) FROM dm_core.\"order\" WHERE note IS NULL OR paid IS NULL OR courier_code IS NULL";
    assert!(number(&client, null).await > 0);
}

#[tokio::test]
async fn the_truth_covers_every_live_key_and_every_planted_value() {
    let lake = lake(true);
    let (endpoint, client, mut truth) = lake_database(&lake, SCALE, 42).await;
    change(&endpoint, &lake, 1_000, &mut truth).await;
    let sql = "SELECT \"user\", \"group\"::bigint, (day - date '1970-01-01') AS day, email FROM dm_core.\"order\"";
    let planted: BTreeSet<&str> = truth.planted.iter().map(|planted| planted.value.as_str()).collect();
    for row in client.query(sql, &[]).await.expect("answers") {
        let key = [KeyPart::Text(row.get(0)), KeyPart::Integer(row.get(1)), KeyPart::Date(row.get(2))];
        assert!(truth.other_keys_ever["order"].contains(key.as_slice()), "a live key is missing from the truth");
        let email: Option<&str> = row.get(3);
        assert!(email.is_none_or(|email| planted.contains(email)), "an address is missing from the truth");
    }
    assert!(read_truth(&endpoint, &lake).await.expect("reads") == truth, "the ledger tells another truth");
    let live = number(&client, "SELECT count(*) FROM dm_core.courier").await;
    assert!(truth.keys_by_table()["courier"] > u64::try_from(live).expect("a count"), "some were deleted");
}

#[tokio::test]
async fn a_lake_without_beer_meets_every_case_and_repeats_with_its_seed() {
    let lake = lake(false);
    let (one, client_one, mut truth_one) = lake_database(&lake, SCALE, 43).await;
    let (two, client_two, mut truth_two) = lake_database(&lake, SCALE, 43).await;
    for changes in [400, 300] {
        let report = change(&one, &lake, changes, &mut truth_one).await;
        assert_eq!(report, change(&two, &lake, changes, &mut truth_two).await);
        assert_eq!(report.total(), changes);
        assert_eq!(report.cases.len(), 8, "{:?}", report.cases);
        assert_eq!(digest(&client_one, &lake).await, digest(&client_two, &lake).await);
    }
    assert!(truth_one == truth_two, "the truths differ");
}

#[tokio::test]
async fn beer_tables_that_were_changed_are_generated_from_their_contracts() {
    let mut files: BTreeMap<String, String> =
        BEER_FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let contract = files.get_mut("contracts/brewery.yaml").expect("in the lake");
    *contract = contract.replace("name: city", "name: town");
    let lake = Lake::from_files(&files).expect("a valid lake");
    let (endpoint, client, mut truth) = lake_database(&lake, SCALE, 44).await;
    change(&endpoint, &lake, 500, &mut truth).await;
    assert!(number(&client, "SELECT count(*) FROM dm_core.brewery WHERE town IS NOT NULL").await > 0);
    let lost = "SELECT count(*) FROM dm_core.review r LEFT JOIN dm_core.beer b USING (beer_id) WHERE b.beer_id IS NULL";
    assert_eq!(number(&client, lost).await, 0);
}

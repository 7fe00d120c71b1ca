//! The handlers around bronze, called in the order of the state machine: controller, probe, ingestor, mark-failed.
//!
//! They deliver at least once, so every one is called again where that could do harm.

use std::collections::BTreeMap;

use lakebed_contract::control::{ControlRecord, Status};
use lakebed_contract::handler::{BRONZE_LITE, BRONZE_MASS, MARK_FAILED, PROCESSING_CONTROLLER, ROW_PROBE};
use lakebed_contract::lake::BEER_FILES;
use lakebed_contract::sla::Latency;
use lakebed_contract::{Lake, layout};
use lakebed_ingest::ClaimAnswer;
use lakebed_ingest::control::LEASE;
use lakebed_ingest::engine::ROW_GROUP_ROWS_MAX;
use serde_json::{Value, json};

use crate::support::{RawObject, Stores, WORKER, beer_csv, dispatch, gzip};

/// What the control table and the lake must say of one raw object.
struct Expected {
    probed: u64,
    status: &'static str,
    /// In, good, bad, dropped.
    rows: [u64; 4],
}

/// Takes one object through all handlers.
async fn check(stores: &mut Stores, key: &str, body: &[u8], expected: Expected) {
    let object = stores.receive(key, body).await;
    let probed = stores.call(ROW_PROBE, &object.input).await.expect("counted");
    assert_eq!(probed, json!({"rows": expected.probed, "capped": false}), "{key}");

    let [rows_in, good, bad, dropped] = expected.rows;
    let table = Lake::beer().table(layout::table_of_raw_key(key).unwrap_or_default()).cloned();
    let file = |of: fn(&lakebed_contract::TableContract, &str) -> String, rows: u64| {
        table.as_ref().filter(|_| rows > 0).map(|table| of(table, &object.pk))
    };
    let (bronze, quarantine) = (file(layout::bronze_key, good), file(layout::quarantine_key, bad));
    let result = stores.call(BRONZE_LITE, &object.input).await.expect("ingested");
    let outputs: Vec<&String> = bronze.iter().collect();
    let answer = json!({
        "pk": object.pk, "status": expected.status, "outputs": outputs,
        "rows_in": rows_in, "rows_good": good, "rows_bad": bad, "rows_dropped": dropped,
    });
    assert_eq!(result, answer, "{key}");
    let digest = layout::object_digest(&object.pk);
    let published: Vec<String> = stores.published().await.into_iter().filter(|key| key.contains(&digest)).collect();
    assert_eq!(published, bronze.into_iter().chain(quarantine).collect::<Vec<_>>(), "{key}");

    let record = stores.record(&object.pk).await;
    assert_eq!((record.status.as_str(), record.route.as_str()), (expected.status, "lambda"), "{key}");
    assert_eq!((record.lease_owner.as_str(), record.attempts), ("", 1), "{key}");
    assert_eq!(record.error.is_empty(), record.status != Status::Quarantined, "{key}: {}", record.error);
    assert_eq!(mark_failed(stores, &object).await["status"], expected.status, "a late failure changes nothing: {key}");
    assert_eq!(stores.record(&object.pk).await, record, "{key}");
}

async fn mark_failed(stores: &Stores, object: &RawObject) -> Value {
    let mut input = object.input.clone();
    input["error"] = json!({"Error": "States.Timeout", "Cause": "late"});
    stores.call(MARK_FAILED, &input).await.expect("marked")
}

/// An envelope of table `beer` in JSON.
fn envelope(record_type: &str, operation: &str, data: Value) -> String {
    let metadata = json!({
        "timestamp": "2024-07-29T00:59:07.686557Z", "record-type": record_type, "operation": operation,
        "partition-key-type": "schema-table", "schema-name": "dm_core", "table-name": "beer",
    });
    format!("{}\n", json!({"data": data, "metadata": metadata}))
}

fn load(id: i64) -> String {
    let data = json!({"beer_id": id, "beer_name": "A", "beer_style": "B", "beer_abv": 4.5, "brewery_id": 7});
    envelope("data", "load", data)
}

#[tokio::test]
async fn an_object_becomes_rows_or_a_reason() {
    let mut stores = Stores::start().await;
    let control = envelope("control", "drop-table", json!({}));
    let extra = "beer_id,beer_name,beer_style,beer_abv,brewery_id,extra\n1,A,B,4.5,1,x\n2,A,B,4.55,1,x\n";
    for (key, body, probed, status, rows) in [
        ("raw/beer/generation=1/a b+c.csv", extra.to_owned(), 2, "BRONZE_DONE", [2, 1, 1, 0]),
        ("raw/beer/2024/stream", load(1) + &control + &load(2), 3, "BRONZE_DONE", [3, 2, 0, 1]),
        ("raw/beer/control-only.json", control.clone(), 1, "DONE", [1, 0, 0, 1]),
        ("raw/beer/empty.json.gz", String::new(), 0, "DONE", [0, 0, 0, 0]),
        ("raw/beer/header-only.csv", beer_csv(0), 0, "DONE", [0, 0, 0, 0]),
        ("raw/beer/all-bad.json", "{}\n{}".to_owned(), 2, "QUARANTINED", [2, 0, 2, 0]),
        ("raw/wine/unknown-table.json", "{}".to_owned(), 0, "QUARANTINED", [0, 0, 0, 0]),
        ("raw/no-table.json", "{}".to_owned(), 0, "QUARANTINED", [0, 0, 0, 0]),
    ] {
        check(&mut stores, key, body.as_bytes(), Expected { probed, status, rows }).await;
    }
    assert_eq!(stores.left_in_scratch(), Vec::<std::path::PathBuf>::new());
    stores.stop().await;
}

/// Forty profiles, with `city` in the last column.
fn profiles(city: fn(u32) -> String) -> String {
    let line = |n: u32| format!("{n},hopfan{n},u{n}@example.com,{}\n", city(n));
    "profile_id,profile_name,email,city\n".to_owned() + &(1..=40).map(line).collect::<String>()
}

/// An event says what was masked, and an object whose public columns hold personal data is refused whole.
#[tokio::test]
async fn what_was_masked_is_told_and_what_nobody_classed_is_refused() {
    let mut stores = Stores::start().await;
    let csv = profiles(|_| "Köln".to_owned());
    let good = stores.receive("raw/profile/generation=1/good.csv", csv.as_bytes()).await;
    stores.call(BRONZE_LITE, &good.input).await.expect("ingested");
    let told = stores.masked();
    let email = told.iter().find(|column| column.column == "email").expect("the e-mail addresses");
    assert_eq!((email.class.as_str(), email.transform.as_str()), ("email", "token"));
    assert_eq!((email.values, email.masked, email.unshaped, email.findings.len()), (40, 40, 0, 0));

    let bad = profiles(|n| format!("u{n}@example.com"));
    let bad = stores.receive("raw/profile/generation=1/bad.csv", bad.as_bytes()).await;
    let result = stores.call(BRONZE_MASS, &bad.input).await.expect("a verdict, not an error");
    assert_eq!((&result["status"], &result["outputs"]), (&json!("QUARANTINED"), &json!([])));
    assert_eq!(stores.masked(), told, "nothing of a refused object is counted");
    let error = stores.record(&bad.pk).await.error;
    assert!(error.contains("column `city` holds values of class email") && !error.contains('@'), "{error}");
    let digest = layout::object_digest(&bad.pk);
    assert!(stores.published().await.iter().all(|key| !key.contains(&digest)), "nothing of it is published");
    stores.stop().await;
}

/// A broken quality rule of severity `error` keeps an object out of bronze; a `warning` does not.
#[tokio::test]
async fn a_broken_quality_rule_blocks_by_its_severity() {
    let mut files: BTreeMap<String, String> =
        BEER_FILES.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    let rules = |column: &str, severity: &str| {
        let rule = format!("quality: [{{metric: nullValues, mustBe: 0, severity: {severity}}}]");
        (format!("- name: {column}\n"), format!("- name: {column}\n        {rule}\n"))
    };
    let contract = files.get_mut("contracts/brewery.yaml").expect("a beer contract");
    for (from, to) in [rules("city", "error"), rules("state", "warning")] {
        assert!(contract.contains(&from), "{from}");
        *contract = contract.replacen(&from, &to, 1);
    }
    let mut stores = Stores::start_with(Lake::from_files(&files).expect("a lake")).await;
    let of = |city: &str| format!("brewery_id,brewery_name,city,state\n1,A,Köln,\n2,B,{city},\n");

    let warned = stores.receive("raw/brewery/generation=1/warned.csv", of("Bonn").as_bytes()).await;
    let result = stores.call(BRONZE_LITE, &warned.input).await.expect("ingested");
    assert_eq!((&result["status"], &result["rows_good"]), (&json!("BRONZE_DONE"), &json!(2)));

    let refused = stores.receive("raw/brewery/generation=1/refused.csv", of("").as_bytes()).await;
    let result = stores.call(BRONZE_LITE, &refused.input).await.expect("a verdict, not an error");
    assert_eq!((&result["status"], &result["outputs"]), (&json!("QUARANTINED"), &json!([])));
    let error = stores.record(&refused.pk).await.error;
    assert_eq!(error, "in table `brewery` nullValues of `city` must be 0, but is 1 (of 2 rows)");
    let digest = layout::object_digest(&refused.pk);
    assert!(stores.published().await.iter().all(|key| !key.contains(&digest)), "nothing of it is published");
    stores.stop().await;
}

/// An object whose newest data is older than the contract's latency allows is told of and published; one in time is only published.
#[tokio::test]
async fn late_data_is_told_and_not_kept_out() {
    let mut lake = Lake::beer();
    let review = lake.tables.iter_mut().find(|table| table.name == "review").expect("a beer table");
    let allowed = std::time::Duration::from_secs(3_600);
    review.service_levels.latencies = vec![Latency { column: "review_time".to_owned(), allowed }];
    let names: Vec<&str> = review.columns.iter().map(|column| column.name.as_str()).collect();
    // Of the two rows the newer one counts; the clock stands at 22:13:20.
    let csv = |newer: &str| {
        let row = |id: u32, at: &str| {
            let value = |name: &&str| match *name {
                "review_id" => id.to_string(),
                "review_time" => format!("2023-11-14 {at}+00"),
                "comment" => String::new(),
                name if name.ends_with("_id") => "1".to_owned(),
                _ => "4.5".to_owned(),
            };
            names.iter().map(value).collect::<Vec<_>>().join(",") + "\n"
        };
        format!("{}\n{}{}", names.join(","), row(1, newer), row(2, "01:00:00"))
    };
    let (late, timely) = (csv("20:13:20"), csv("21:13:20"));
    let mut stores = Stores::start_with(lake).await;
    for (name, body) in [("late", late), ("timely", timely)] {
        let object = stores.receive(&format!("raw/review/generation=1/{name}.csv"), body.as_bytes()).await;
        let result = stores.call(BRONZE_LITE, &object.input).await.expect("ingested");
        assert_eq!((&result["status"], &result["rows_good"]), (&json!("BRONZE_DONE"), &json!(2)), "{name}");
    }
    let warnings: Vec<String> = stores.logged().into_iter().filter(|line| line.contains("latency")).collect();
    let expected = "warning: `raw/review/generation=1/late.csv`: in table `review` the newest `review_time` is 2 h old, latency \
                    allows 1 h; not kept out (late object 1 of the table)";
    assert_eq!(warnings, [expected]);
    stores.stop().await;
}

#[tokio::test]
async fn the_controller_knows_each_version_of_an_object_once() {
    let mut stores = Stores::start().await;
    let first = stores.receive("raw/beer/a b.csv", b"one").await;
    let before = stores.record(&first.pk).await;
    let again = stores.call(PROCESSING_CONTROLLER, &first.document).await.expect("an answer");
    assert_eq!(again, json!({"received": 0, "duplicates": 1, "ignored": 0}));
    assert_eq!(stores.record(&first.pk).await, before, "a duplicate changes nothing");

    let second = stores.put("raw/beer/a b.csv", b"two").await;
    let mut removed = first.document["Records"][0].clone();
    removed["eventName"] = "ObjectRemoved:Delete".into();
    let mixed = json!({"Records": [first.document["Records"][0], second.document["Records"][0], removed]});
    let answer = stores.call(PROCESSING_CONTROLLER, &mixed).await.expect("an answer");
    assert_eq!(answer, json!({"received": 1, "duplicates": 1, "ignored": 1}));
    assert_eq!(dispatch(&stores.record(&second.pk).await), second.input);
    stores.stop().await;
}

#[tokio::test]
async fn the_probe_counts_to_its_cap_and_claims_nothing() {
    let mut stores = Stores::start().await;
    for (count, answer) in [
        (100_000, json!({"rows": 100_000, "capped": false})),
        (100_001, json!({"rows": 100_001, "capped": true})),
        (100_005, json!({"rows": 100_001, "capped": true})),
    ] {
        let object = stores.receive(&format!("raw/beer/{count}.json.gz"), &gzip("{}\n".repeat(count).as_bytes())).await;
        assert_eq!(stores.call(ROW_PROBE, &object.input).await.expect("counted"), answer);
        let record = stores.record(&object.pk).await;
        assert_eq!((record.status, record.attempts), (Status::Received, 0));
    }
    stores.stop().await;
}

#[tokio::test]
async fn a_finished_object_gives_its_first_answer_again() {
    let mut stores = Stores::start().await;
    // A table with masked columns: what was masked is told once, and no part of the answer.
    let csv = profiles(|_| "Köln".to_owned());
    let object = stores.receive("raw/profile/generation=1/a.csv", csv.as_bytes()).await;
    let first = stores.call(BRONZE_LITE, &object.input).await.expect("ingested");
    let (record, told) = (stores.record(&object.pk).await, stores.masked());
    for handler in [BRONZE_LITE, BRONZE_MASS] {
        assert_eq!(stores.call(handler, &object.input).await.expect("the same"), first, "{handler}");
    }
    assert_eq!(stores.record(&object.pk).await, record, "no second claim");
    assert_eq!(stores.masked(), told, "nothing is told twice");
    stores.stop().await;
}

#[tokio::test]
async fn lite_and_mass_publish_the_same_bytes() {
    let text = beer_csv(ROW_GROUP_ROWS_MAX + 10);
    let mut runs = Vec::new();
    for (handler, route) in [(BRONZE_LITE, "lambda"), (BRONZE_MASS, "ecs")] {
        let mut stores = Stores::start().await;
        let object = stores.receive("raw/beer/a.csv", text.as_bytes()).await;
        let answer = stores.call(handler, &object.input).await.expect("ingested");
        assert_eq!(stores.record(&object.pk).await.route, route);
        let mut files = Vec::new();
        for key in stores.published().await {
            files.push((stores.lake_object(&key).await, key));
        }
        stores.stop().await;
        runs.push((answer, files));
    }
    assert_eq!(runs[0].0, runs[1].0);
    assert_eq!(runs[0].1.len(), 2, "bronze and quarantine");
    assert!(runs[0].1 == runs[1].1, "the files differ");
}

#[tokio::test]
async fn an_object_that_was_replaced_or_removed_is_not_read() {
    let mut stores = Stores::start().await;
    let old = stores.receive("raw/beer/a.csv", beer_csv(1).as_bytes()).await;
    let new = stores.receive("raw/beer/a.csv", beer_csv(2).as_bytes()).await;
    let gone = stores.receive("raw/beer/gone.csv", beer_csv(1).as_bytes()).await;
    let removed = stores.s3.delete_object().bucket(layout::STAGE_BUCKET).key("raw/beer/gone.csv").send().await;
    removed.expect("removed");
    for (object, reason) in [(&old, "replaced"), (&gone, "gone")] {
        assert_eq!(stores.call(ROW_PROBE, &object.input).await.expect("an answer")["rows"], 0, "{reason}");
        let result = stores.call(BRONZE_LITE, &object.input).await.expect("a verdict");
        assert_eq!(result["status"], "QUARANTINED", "{reason}");
        let error = stores.record(&object.pk).await.error;
        assert!(error.contains(reason), "{error}");
    }
    assert_eq!(stores.published().await, Vec::<String>::new());
    let result = stores.call(BRONZE_LITE, &new.input).await.expect("ingested");
    assert_eq!((&result["status"], &result["rows_in"]), (&json!("BRONZE_DONE"), &json!(2)));
    stores.stop().await;
}

#[tokio::test]
async fn a_missing_raw_bucket_is_transient_and_gives_the_lease_back() {
    let stores = Stores::start().await;
    let record = ControlRecord::received("no-bucket", "raw/beer/a.csv", "e", "beer", "0A", 12, 0);
    stores.control.receive(&record).await.expect("received");
    for handler in [ROW_PROBE, BRONZE_LITE] {
        let error = stores.call(handler, &dispatch(&record)).await.expect_err("there is no such bucket");
        assert!(error.retryable && error.error == "Lambda.ServiceException", "{handler}: {error}");
    }
    let failed = stores.record(&record.pk).await;
    assert_eq!((failed.status, failed.lease_owner.as_str(), failed.attempts), (Status::Failed, "", 1));
    assert!(failed.error.contains("no-bucket/raw/beer/a.csv"), "{}", failed.error);
    stores.stop().await;
}

#[tokio::test]
async fn an_ingestor_that_cannot_publish_succeeds_once_it_can() {
    let mut stores = Stores::start().await;
    let object = stores.receive("raw/beer/a.csv", beer_csv(20).as_bytes()).await;
    stores.s3.delete_bucket().bucket(layout::LAKE_BUCKET).send().await.expect("the lake is taken away");
    let error = stores.call(BRONZE_LITE, &object.input).await.expect_err("nowhere to publish");
    assert!(error.retryable, "{error}");
    assert_eq!(stores.left_in_scratch(), Vec::<std::path::PathBuf>::new(), "a failure leaves no spool behind");
    let failed = stores.record(&object.pk).await;
    assert_eq!((failed.status, failed.rows_in, failed.outputs.len()), (Status::Failed, 0, 0));

    stores.s3.create_bucket().bucket(layout::LAKE_BUCKET).send().await.expect("the lake is back");
    let result = stores.call(BRONZE_LITE, &object.input).await.expect("ingested");
    assert_eq!(result["status"], "BRONZE_DONE");
    let record = stores.record(&object.pk).await;
    assert_eq!((record.attempts, record.error.as_str()), (2, ""));
    assert_eq!(stores.published().await.len(), 2, "bronze and quarantine");
    stores.stop().await;
}

#[tokio::test]
async fn a_held_object_is_refused_until_the_lease_ends() {
    let mut stores = Stores::start().await;
    let object = stores.receive("raw/beer/a.csv", beer_csv(20).as_bytes()).await;
    let held = stores.control.claim(&object.pk, "another-request", "ecs").await.expect("an answer");
    assert!(matches!(&held, ClaimAnswer::Claimed(record) if record.lease_owner != WORKER), "{held:?}");
    let error = stores.call(BRONZE_LITE, &object.input).await.expect_err("another worker holds it");
    assert!(error.retryable, "{error}");
    assert_eq!(stores.record(&object.pk).await.lease_owner, "another-request", "and keeps it");
    stores.clock.advance(LEASE * 2);
    let result = stores.call(BRONZE_LITE, &object.input).await.expect("ingested");
    assert_eq!((&result["status"], stores.record(&object.pk).await.fence), (&json!("BRONZE_DONE"), 2));
    stores.stop().await;
}

#[tokio::test]
async fn a_failure_before_the_ingestor_is_written_down() {
    let mut stores = Stores::start().await;
    let object = stores.receive("raw/beer/a.csv", beer_csv(1).as_bytes()).await;
    assert_eq!(mark_failed(&stores, &object).await, json!({"pk": object.pk, "status": "FAILED"}));
    let record = stores.record(&object.pk).await;
    assert_eq!((record.error.as_str(), record.attempts), ("States.Timeout: late", 1));
    stores.stop().await;
}

//! The three state machines of the beer lake, against fake handlers.

use std::path::Path;
use std::sync::{Arc, Mutex};

use lakebed_contract::HandlerError;
use serde_json::{Value, json};

use crate::fakes::{World, drive, shell};

fn shipped(name: &str) -> (&str, String) {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../pipeline/beer/state_machines/{name}.asl.json"));
    (name, std::fs::read_to_string(path).expect("the beer lake is there"))
}

type Log = Arc<Mutex<Vec<String>>>;

fn transient(name: &str) -> Result<Value, HandlerError> {
    Err(HandlerError::transient(name, "on purpose"))
}

fn input() -> Value {
    json!({"pk": "b#k#e", "bucket": "b", "key": "k", "etag": "e", "table": "review", "size_bytes": 1})
}

/// Runs the ingestion dispatcher; answers with its end and the names of the functions that were called.
async fn ingest(
    rows: u64,
    lite: fn() -> Result<Value, HandlerError>,
    script: &str,
) -> (Result<Value, String>, Vec<String>) {
    let log = Log::default();
    let (probed, ingested, marked) = (log.clone(), log.clone(), log.clone());
    let mut world = World::new()
        .on("dm-row-probe", move |payload| {
            probed.lock().expect("not poisoned").push(format!("probe {}", payload["table"]));
            Ok(json!({"rows": rows, "capped": rows > 100_000}))
        })
        .on("dm-bronze-ingestor-lite", move |payload| {
            ingested.lock().expect("not poisoned").push(format!("lite {}", payload["pk"]));
            lite()
        })
        .on("dm-control-mark-failed", move |payload| {
            let text = format!("failed {} {}", payload["pk"], payload["error"]["Error"]);
            marked.lock().expect("not poisoned").push(text);
            Ok(json!({}))
        });
    world.ecs = shell(script);
    let machines = world.machines(&[shipped("dm-ingestion-dispatcher")]).expect("valid");
    let end = drive(&world.clock, machines.run("dm-ingestion-dispatcher", "n", input())).await;
    let calls = log.lock().expect("not poisoned").clone();
    (end.map_err(|failed| failed.error), calls)
}

#[tokio::test]
async fn one_hundred_thousand_rows_go_to_the_lambda() {
    let (end, calls) = ingest(100_000, || Ok(json!({"status": "BRONZE_DONE"})), "exit 1").await;
    assert_eq!(end, Ok(json!({"status": "BRONZE_DONE"})));
    assert_eq!(calls, ["probe \"review\"", "lite \"b#k#e\""]);
}

#[tokio::test]
async fn one_row_more_goes_to_the_task() {
    let script = r#"read -r definition input; echo "log line"; printf '{"definition":"%s","input":%s}\n' "$definition" "$input""#;
    let (end, calls) = ingest(100_001, || transient("Never"), script).await;
    let output = end.expect("succeeds");
    assert_eq!(output["definition"], "dm-bronze-ingestor-mass");
    assert_eq!(output["input"]["pk"], "b#k#e");
    assert_eq!(output["input"]["probe"], json!({"rows": 100_001, "capped": true}));
    assert_eq!(calls, ["probe \"review\""]);
}

#[tokio::test]
async fn transient_failures_are_retried_and_then_marked() {
    let (end, calls) = ingest(1, || transient("Lambda.ServiceException"), "exit 1").await;
    assert_eq!(end, Err("Lambda.ServiceException".to_owned()));
    assert_eq!(calls.iter().filter(|call| call.starts_with("lite")).count(), 7);
    assert_eq!(calls.last().map(String::as_str), Some("failed \"b#k#e\" \"Lambda.ServiceException\""));
}

#[tokio::test]
async fn permanent_failures_are_marked_at_once() {
    let (end, calls) = ingest(1, || Err(HandlerError::permanent("Bronze.BadObject", "on purpose")), "exit 1").await;
    assert_eq!(end, Err("Bronze.BadObject".to_owned()));
    assert_eq!(calls, ["probe \"review\"", "lite \"b#k#e\"", "failed \"b#k#e\" \"Bronze.BadObject\""]);
}

#[tokio::test]
async fn a_failing_task_is_retried_and_then_marked() {
    let (end, calls) = ingest(100_001, || transient("Never"), "cat >/dev/null; exit 3").await;
    assert_eq!(end, Err("States.TaskFailed".to_owned()));
    assert_eq!(calls.last().map(String::as_str), Some("failed \"b#k#e\" \"States.TaskFailed\""));
}

#[tokio::test]
async fn processing_merges_all_tables_and_then_builds_the_models() {
    let log = Log::default();
    let (merged, built) = (log.clone(), log.clone());
    let world = World::new()
        .on("dm-silver-merge", move |payload| {
            let mut log = merged.lock().expect("not poisoned");
            log.push(format!("merge {}", payload["table"]));
            // The first merge loses its race once.
            if log.len() == 1 { transient("Warehouse.CommitConflict") } else { Ok(json!({"table": payload["table"]})) }
        })
        .on("dm-silver-model", move |payload| {
            built.lock().expect("not poisoned").push(format!("build {}", payload["model"]));
            Ok(json!({"model": payload["model"]}))
        });
    let machines = world.machines(&[shipped("dm-processing-dispatcher")]).expect("valid");
    let input = json!({"tables": ["brewery", "beer", "profile", "review"], "models": ["review_flat"]});
    let run = machines.run("dm-processing-dispatcher", "n", input);
    let output = drive(&world.clock, run).await.expect("succeeds");
    assert_eq!(
        output["merged"],
        json!([{"table": "brewery"}, {"table": "beer"}, {"table": "profile"}, {"table": "review"}])
    );
    assert_eq!(output["built"], json!([{"model": "review_flat"}]));
    let log = log.lock().expect("not poisoned");
    assert_eq!((log.len(), log.last().map(String::as_str)), (6, Some("build \"review_flat\"")));
}

#[tokio::test]
async fn analytics_builds_every_model_and_fails_when_one_failed() {
    let models = ["top_beers_by_rating", "top_drinkers", "state_by_review_volume"];
    for broken in [None, Some("top_drinkers")] {
        let log = Log::default();
        let built = log.clone();
        let world = World::new().on("dm-gold-model", move |payload| {
            let model = payload["model"].as_str().expect("a model").to_owned();
            built.lock().expect("not poisoned").push(model.clone());
            if Some(model.as_str()) == broken {
                return Err(HandlerError::permanent("Warehouse.Sql", "on purpose"));
            }
            Ok(json!({"model": model, "rows": 5}))
        });
        let machines = world.machines(&[shipped("dm-analytics-dispatcher")]).expect("valid");
        let end = machines.run("dm-analytics-dispatcher", "n", json!({"models": models})).await;
        assert_eq!(log.lock().expect("not poisoned").len(), 3, "one failure must not stop the others");
        match broken {
            None => {
                let output = end.expect("succeeds");
                assert_eq!(output["any_failed"], false);
                let first =
                    json!({"model": models[0], "status": "SUCCEEDED", "result": {"model": models[0], "rows": 5}});
                assert_eq!(output["models"][0], first);
            }
            Some(model) => {
                let failed = end.expect_err("fails");
                assert_eq!(failed.error, "Analytics.ModelFailed");
                let models: Value = serde_json::from_str(&failed.cause).expect("the results");
                assert_eq!((&models[1]["model"], &models[1]["status"]), (&json!(model), &json!("FAILED")));
                assert_eq!(models[1]["error"]["Error"], "Warehouse.Sql");
                assert_eq!(models[2]["status"], "SUCCEEDED");
            }
        }
    }
}

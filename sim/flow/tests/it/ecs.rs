//! The ECS executor with real child processes (`sh`): results, failures, bounded output, and killing.

use std::io::{BufRead, BufReader, Read};
use std::process::Command;
use std::time::Duration;

use lakebed_contract::RunEvent;
use lakebed_flow::step_functions::ECS_STDERR_BYTES_MAX;
use serde_json::{Value, json};

use crate::fakes::{World, shell};

fn task(rest: Value) -> String {
    let mut state = json!({"Type": "Task", "Resource": "arn:aws:states:::ecs:runTask.sync", "End": true,
        "Parameters": {"Cluster": "lakebed", "LaunchType": "FARGATE", "TaskDefinition": "job", "Overrides": {"ContainerOverrides": [
            {"Name": "worker", "Environment": [{"Name": "TASK_INPUT", "Value.$": "States.JsonToString($)"}]}]}}});
    for (name, value) in rest.as_object().expect("an object") {
        state[name] = value.clone();
    }
    json!({"StartAt": "A", "States": {"A": state}}).to_string()
}

async fn run(script: &str) -> Result<Value, (String, String)> {
    let mut world = World::new();
    world.ecs = shell(script);
    let machines = world.machines(&[("m", task(json!({})))]).expect("valid");
    machines.run("m", "n", json!({"x": 1})).await.map_err(|failed| (failed.error, failed.cause))
}

#[tokio::test]
async fn the_last_line_is_the_result_and_the_definition_the_last_argument() {
    assert_eq!(run(r#"cat; echo; echo "\"$0\"""#).await, Ok(json!("job")));
    assert_eq!(run(r#"read -r name input; echo "$input""#).await, Ok(json!({"x": 1})));
    assert_eq!(run("echo 7").await, Ok(json!(7)), "a task need not read its input");
}

#[tokio::test]
async fn lines_that_are_events_are_passed_on_and_are_no_result() {
    let mut world = World::new();
    let event = r#"{"event":"log","message":"half way"}"#;
    world.ecs = shell(&format!("echo 7; echo '{event}'; printf '%s' '{event}'"));
    let machines = world.machines(&[("m", task(json!({})))]).expect("valid");
    assert_eq!(machines.run("m", "n", json!({})).await, Ok(json!(7)));
    let told = world.events.lock().expect("not poisoned").clone();
    let log = RunEvent::Log { message: "half way".to_owned() };
    assert_eq!(told.iter().filter(|event| **event == log).count(), 2, "{told:?}");
}

#[tokio::test]
async fn a_task_that_fails_says_why_in_bounded_words() {
    let (error, cause) =
        run("cat >/dev/null; yes noise | head -c 100000 >&2; echo last words >&2; exit 3").await.expect_err("fails");
    assert_eq!(error, "States.TaskFailed");
    assert!(cause.contains("exit status: 3") && cause.ends_with("last words"), "{cause}");
    assert!(cause.len() < ECS_STDERR_BYTES_MAX + 200);
}

#[tokio::test]
async fn a_task_without_a_result_has_failed() {
    for script in ["true", "echo not json", "kill -9 $$"] {
        let (error, cause) = run(script).await.expect_err("fails");
        assert_eq!(error, "States.TaskFailed", "{script}: {cause}");
    }
}

#[tokio::test]
async fn a_program_that_does_not_exist_is_a_failed_task() {
    let mut world = World::new();
    world.ecs.program = "/nonexistent/worker".into();
    let machines = world.machines(&[("m", task(json!({})))]).expect("valid");
    assert_eq!(machines.run("m", "n", json!({})).await.expect_err("fails").error, "States.TaskFailed");
}

#[tokio::test]
async fn a_task_that_times_out_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let fifo = folder.path().join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs").success());
    let mut world = World::new();
    // The child holds the write end until it dies: the read end then ends.
    world.ecs = shell(&format!("exec 3>'{}'; echo started >&3; exec sleep 1000", fifo.display()));
    let machines = world.machines(&[("m", task(json!({"TimeoutSeconds": 5})))]).expect("valid");
    machines.start("m", "n", json!({})).expect("starts");
    let opened = tokio::task::spawn_blocking(move || {
        let mut reader = BufReader::new(std::fs::File::open(fifo).expect("opens"));
        let mut line = String::new();
        reader.read_line(&mut line).expect("a line");
        assert_eq!(line, "started\n");
        reader
    });
    let mut reader = opened.await.expect("the child started");
    world.clock.advance(Duration::from_secs(5));
    let failed = machines.run("m", "n", json!({})).await.expect_err("times out");
    assert_eq!(failed.error, "States.Timeout");
    let ended = tokio::task::spawn_blocking(move || reader.read_to_end(&mut Vec::new()));
    assert_eq!(ended.await.expect("no panic").expect("reads"), 0, "the child was killed");
}

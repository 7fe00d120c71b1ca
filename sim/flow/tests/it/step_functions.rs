//! The interpreter through its front door: short machines, their inputs, their outputs or errors, and how often things ran.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use lakebed_contract::{HandlerError, RunEvent};
use lakebed_flow::step_functions::HistoryKind;
use serde_json::{Value, json};

use crate::fakes::{World, drive};

/// Payloads by call, with the virtual second of each.
type Calls = Arc<Mutex<Vec<(i64, Value)>>>;

/// `echo` returns its payload; `fail` fails with `error` (and `transient`); `flaky` fails `failures` times per `key`.
fn world() -> (World, Calls) {
    let (calls, seen) = (Calls::default(), Mutex::new(BTreeMap::<String, u64>::new()));
    let world = World::new();
    let (log, clock) = (calls.clone(), world.clock.clone());
    let world = world
        .on("echo", Ok)
        .on("fail", |payload| Err(HandlerError::permanent(payload["error"].as_str().unwrap_or("Boom"), "on purpose")))
        .on("flaky", move |payload| {
            log.lock().expect("not poisoned").push((clock.now().0 / 100_000, payload.clone()));
            let mut seen = seen.lock().expect("not poisoned");
            let count = seen.entry(payload["key"].to_string()).or_default();
            *count += 1;
            if *count <= payload["failures"].as_u64().unwrap_or(0) {
                return Err(HandlerError::transient(payload["error"].as_str().unwrap_or("Boom"), "on purpose"));
            }
            Ok(json!({"calls": *count}))
        });
    (world, calls)
}

async fn run(states: Value, input: Value) -> Result<Value, String> {
    let (world, _) = world();
    let document = json!({"StartAt": "A", "States": states}).to_string();
    let machines = world.machines(&[("m", document)]).expect("valid");
    drive(&world.clock, machines.run("m", "n", input)).await.map_err(|failed| failed.error)
}

fn invoke(function: &str, rest: Value) -> Value {
    let mut state = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "End": true,
        "Parameters": {"FunctionName": function, "Payload.$": "$"}});
    for (name, value) in rest.as_object().expect("an object") {
        if name == "Next" {
            state.as_object_mut().expect("an object").remove("End");
        }
        state[name] = value.clone();
    }
    state
}

#[tokio::test]
async fn data_flow() {
    let cases = [
        (json!({"A": {"Type": "Pass", "End": true}}), json!({"a": 1}), json!({"a": 1})),
        (json!({"A": {"Type": "Pass", "InputPath": "$.a", "End": true}}), json!({"a": 1}), json!(1)),
        (json!({"A": {"Type": "Pass", "InputPath": null, "End": true}}), json!({"a": 1}), json!({})),
        (json!({"A": {"Type": "Pass", "OutputPath": null, "End": true}}), json!({"a": 1}), json!({})),
        (
            json!({"A": {"Type": "Pass", "Result": 2, "ResultPath": "$.b", "End": true}}),
            json!({"a": 1}),
            json!({"a": 1, "b": 2}),
        ),
        (
            json!({"A": {"Type": "Pass", "Result": 2, "ResultPath": null, "End": true}}),
            json!({"a": 1}),
            json!({"a": 1}),
        ),
        (
            json!({"A": {"Type": "Pass", "Parameters": {"b.$": "$.a", "n.$": "$$.Execution.Name", "s.$": "$$.State.Name"},
            "End": true}}),
            json!({"a": 1}),
            json!({"b": 1, "n": "n", "s": "A"}),
        ),
        (
            json!({"A": {"Type": "Pass", "InputPath": "$.x", "ResultPath": "$.y", "OutputPath": "$.y", "End": true}}),
            json!({"x": {"z": 1}}),
            json!({"z": 1}),
        ),
        (
            json!({"A": {"Type": "Pass", "Next": "B"}, "B": {"Type": "Succeed", "OutputPath": "$.a"}}),
            json!({"a": 1}),
            json!(1),
        ),
        (json!({"A": invoke("echo", json!({}))}), json!({"a": 1}), json!({"Payload": {"a": 1}, "StatusCode": 200})),
        (
            json!({"A": invoke("arn:aws:lambda:us-east-1:000000000000:function:echo", json!({"OutputPath": "$.Payload"}))}),
            json!({"a": 1}),
            json!({"a": 1}),
        ),
        (
            json!({"A": invoke("echo", json!({"ResultSelector": {"got.$": "$.Payload.a"}, "ResultPath": "$.r"}))}),
            json!({"a": 1}),
            json!({"a": 1, "r": {"got": 1}}),
        ),
        (
            json!({"A": {"Type": "Task", "Resource": "echo", "Parameters": {"b.$": "$.a"}, "End": true}}),
            json!({"a": 1}),
            json!({"b": 1}),
        ),
        (
            json!({"A": {"Type": "Wait", "Seconds": 5, "Next": "B"}, "B": {"Type": "Pass", "End": true}}),
            json!(1),
            json!(1),
        ),
        (json!({"A": {"Type": "Wait", "SecondsPath": "$.s", "End": true}}), json!({"s": 2}), json!({"s": 2})),
        (json!({"A": {"Type": "Wait", "Timestamp": "1970-01-12T13:46:42Z", "End": true}}), json!(1), json!(1)),
        (
            json!({"A": {"Type": "Choice", "Choices": [{"Variable": "$.n", "NumericGreaterThan": 1, "Next": "B"}], "Default": "C"},
            "B": {"Type": "Pass", "Result": "b", "End": true}, "C": {"Type": "Pass", "Result": "c", "End": true}}),
            json!({"n": 2}),
            json!("b"),
        ),
        (
            json!({"A": {"Type": "Choice", "Choices": [{"Variable": "$.n", "NumericGreaterThan": 1, "Next": "B"}], "Default": "C"},
            "B": {"Type": "Pass", "Result": "b", "End": true}, "C": {"Type": "Pass", "Result": "c", "End": true}}),
            json!({"n": 1}),
            json!("c"),
        ),
        (
            json!({"A": {"Type": "Map", "ItemsPath": "$.l", "End": true, "ItemProcessor": {"StartAt": "I", "States": {
            "I": {"Type": "Pass", "End": true}}}}}),
            json!({"l": [3, 1, 2]}),
            json!([3, 1, 2]),
        ),
        (
            json!({"A": {"Type": "Map", "ItemsPath": "$.l", "End": true, "ResultPath": "$.r",
            "ItemSelector": {"i.$": "$$.Map.Item.Index", "v.$": "$$.Map.Item.Value", "k.$": "$.k"},
            "ItemProcessor": {"StartAt": "I", "States": {"I": invoke("echo", json!({"OutputPath": "$.Payload"}))}}}}),
            json!({"l": ["x", "y"], "k": 9}),
            json!({"l": ["x", "y"], "k": 9, "r": [{"i": 0, "v": "x", "k": 9}, {"i": 1, "v": "y", "k": 9}]}),
        ),
        (
            json!({"A": {"Type": "Map", "End": true, "Iterator": {"StartAt": "I", "States": {"I": {"Type": "Succeed"}}}}}),
            json!([]),
            json!([]),
        ),
        (
            json!({"A": {"Type": "Parallel", "End": true, "Branches": [
            {"StartAt": "X", "States": {"X": {"Type": "Pass", "Result": 1, "End": true}}},
            {"StartAt": "Y", "States": {"Y": {"Type": "Pass", "End": true}}}]}}),
            json!(2),
            json!([1, 2]),
        ),
    ];
    for (states, input, expected) in cases {
        assert_eq!(run(states.clone(), input).await, Ok(expected), "{states}");
    }
}

#[tokio::test]
async fn failures() {
    let catch = |errors: &[&str]| json!({"Catch": [{"ErrorEquals": errors, "Next": "C", "ResultPath": "$.e"}]});
    let handled = json!({"Type": "Pass", "OutputPath": "$.e.Error", "End": true});
    let cases = [
        (json!({"A": {"Type": "Fail", "Error": "E", "Cause": "c"}}), json!({}), Err("E")),
        (
            json!({"A": {"Type": "Fail", "ErrorPath": "$.e", "CausePath": "States.Format('{}', $.e)"}}),
            json!({"e": "E"}),
            Err("E"),
        ),
        (json!({"A": {"Type": "Fail", "ErrorPath": "$.none"}}), json!({}), Err("States.Runtime")),
        (json!({"A": invoke("fail", json!({}))}), json!({"error": "X"}), Err("X")),
        (json!({"A": invoke("none", json!({}))}), json!({}), Err("Lambda.ResourceNotFoundException")),
        (json!({"A": invoke("fail", catch(&["X"])), "C": handled}), json!({"error": "X"}), Ok(json!("X"))),
        (json!({"A": invoke("fail", catch(&["Y"])), "C": handled}), json!({"error": "X"}), Err("X")),
        (
            json!({"A": invoke("fail", catch(&["States.TaskFailed"])), "C": handled}),
            json!({"error": "X"}),
            Ok(json!("X")),
        ),
        (
            json!({"A": invoke("fail", catch(&["States.ALL"])), "C": handled}),
            json!({"error": "States.Timeout"}),
            Ok(json!("States.Timeout")),
        ),
        (
            json!({"A": invoke("fail", catch(&["States.TaskFailed"])), "C": handled}),
            json!({"error": "States.Timeout"}),
            Err("States.Timeout"),
        ),
        (json!({"A": invoke("echo", json!({"TimeoutSeconds": 3}))}), json!({"hang": true}), Err("States.Timeout")),
        (
            json!({"A": invoke("echo", json!({"TimeoutSecondsPath": "$.t", "Catch": [{"ErrorEquals": ["States.Timeout"], "Next": "C",
            "ResultPath": "$.e"}]})), "C": handled}),
            json!({"hang": true, "t": 2}),
            Ok(json!("States.Timeout")),
        ),
        (json!({"A": {"Type": "Pass", "InputPath": "$.none", "End": true}}), json!({}), Err("States.Runtime")),
        (
            json!({"A": {"Type": "Pass", "Parameters": {"a.$": "$.none"}, "End": true}}),
            json!({}),
            Err("States.ParameterPathFailure"),
        ),
        (
            json!({"A": {"Type": "Pass", "Parameters": {"a.$": "States.StringToJson($.a)"}, "End": true}}),
            json!({"a": "{"}),
            Err("States.IntrinsicFailure"),
        ),
        (
            json!({"A": {"Type": "Pass", "ResultPath": "$.a.b", "End": true}}),
            json!({"a": 1}),
            Err("States.ResultPathMatchFailure"),
        ),
        (
            json!({"A": invoke("echo", json!({"ResultPath": "$.a.b", "Catch": [{"ErrorEquals": ["States.ResultPathMatchFailure"],
            "Next": "C", "ResultPath": "$.e"}]})), "C": handled}),
            json!({"a": 1}),
            Ok(json!("States.ResultPathMatchFailure")),
        ),
        (
            json!({"A": {"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": true, "Next": "B"}]}, "B": {"Type": "Succeed"}}),
            json!({"a": 1}),
            Err("States.NoChoiceMatched"),
        ),
        (
            json!({"A": {"Type": "Map", "ItemsPath": "$.l", "End": true, "ItemProcessor": {"StartAt": "I", "States": {
            "I": {"Type": "Fail", "Error": "E"}}}}}),
            json!({"l": [1]}),
            Err("E"),
        ),
        (
            json!({"A": {"Type": "Map", "ItemsPath": "$.l", "End": true, "Catch": [{"ErrorEquals": ["E"], "Next": "C", "ResultPath": "$.e"}],
            "ItemProcessor": {"StartAt": "I", "States": {"I": {"Type": "Fail", "Error": "E"}}}}, "C": handled}),
            json!({"l": [1, 2]}),
            Ok(json!("E")),
        ),
        (
            json!({"A": {"Type": "Map", "ItemsPath": "$.l", "End": true, "Catch": [{"ErrorEquals": ["States.ALL"], "Next": "C"}],
            "ItemProcessor": {"StartAt": "I", "States": {"I": {"Type": "Succeed"}}}}, "C": handled}),
            json!({"l": 1}),
            Err("States.Runtime"),
        ),
        (
            json!({"A": {"Type": "Pass", "Result": "x".repeat(262_145), "End": true}}),
            json!({}),
            Err("States.DataLimitExceeded"),
        ),
        (json!({"A": {"Type": "Pass", "Next": "A"}}), json!({}), Err("States.Runtime")),
    ];
    for (states, input, expected) in cases {
        let expected = expected.map_err(str::to_owned);
        assert_eq!(
            run(states.clone(), input).await,
            expected,
            "{}",
            states.to_string().chars().take(300).collect::<String>()
        );
    }
}

/// Virtual tenths of a second between the calls of `flaky`, and the end.
async fn retry_waits(retry: Value, input: Value) -> (Vec<i64>, Result<Value, String>) {
    let (world, calls) = world();
    let document =
        json!({"StartAt": "A", "States": {"A": invoke("flaky", json!({"Retry": retry, "OutputPath": "$.Payload"}))}});
    let machines = world.machines(&[("m", document.to_string())]).expect("valid");
    let end = drive(&world.clock, machines.run("m", "n", input)).await.map_err(|failed| failed.error);
    let at: Vec<i64> = calls.lock().expect("not poisoned").iter().map(|(at, _)| *at).collect();
    (at.windows(2).map(|pair| pair[1] - pair[0]).collect(), end)
}

#[tokio::test]
async fn retries_are_counted_and_spaced() {
    let boom = Err("Boom".to_owned());
    let ok = |calls: u64| Ok(json!({"calls": calls}));
    let cases = [
        (json!([{"ErrorEquals": ["Boom"]}]), 2, vec![10, 20], ok(3)),
        (json!([{"ErrorEquals": ["Boom"]}]), 9, vec![10, 20, 40], boom.clone()),
        (json!([{"ErrorEquals": ["Boom"], "MaxAttempts": 0}]), 9, vec![], boom.clone()),
        (json!([{"ErrorEquals": ["Other"]}]), 9, vec![], boom.clone()),
        (
            json!([{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 3, "BackoffRate": 1.0, "MaxAttempts": 4}]),
            9,
            vec![30, 30, 30, 30],
            boom.clone(),
        ),
        (
            json!([{"ErrorEquals": ["States.TaskFailed"], "IntervalSeconds": 2, "BackoffRate": 3, "MaxDelaySeconds": 7}]),
            9,
            vec![20, 60, 70],
            boom.clone(),
        ),
        (
            json!([{"ErrorEquals": ["Boom"], "MaxAttempts": 1}, {"ErrorEquals": ["States.ALL"], "MaxAttempts": 5}]),
            9,
            vec![10],
            boom.clone(),
        ),
    ];
    for (retry, failures, waits, end) in cases {
        let input = json!({"failures": failures, "key": "k"});
        assert_eq!(retry_waits(retry.clone(), input).await, (waits, end), "{retry}");
    }
}

#[tokio::test]
async fn jitter_is_below_the_delay_and_repeats() {
    let retry = json!([{"ErrorEquals": ["Boom"], "IntervalSeconds": 100, "BackoffRate": 1.0, "JitterStrategy": "FULL", "MaxAttempts": 8}]);
    let input = json!({"failures": 99, "key": "k"});
    let (first, _) = retry_waits(retry.clone(), input.clone()).await;
    let (second, _) = retry_waits(retry, input).await;
    assert_eq!(first, second);
    assert_eq!(first.len(), 8);
    assert!(first.iter().all(|wait| *wait <= 1_001) && first.iter().any(|wait| *wait < 900), "{first:?}");
}

#[tokio::test]
async fn a_name_runs_once() {
    let (world, calls) = world();
    let document = json!({"StartAt": "A", "States": {"A": invoke("flaky", json!({}))}}).to_string();
    let machines = world.machines(&[("m", document)]).expect("valid");
    let input = json!({"key": 1});
    machines.start("m", "n", input.clone()).expect("starts");
    machines.start("m", "n", input.clone()).expect("same name, same input");
    machines.idle().await;
    machines.run("m", "n", input.clone()).await.expect("its result");
    machines.start("m", "n", json!({"key": 2})).expect_err("same name, other input");
    machines.start("other", "n", input).expect_err("no such machine");
    assert_eq!(calls.lock().expect("not poisoned").len(), 1);
    let finished = RunEvent::ExecutionFinished {
        machine: "m".into(),
        name: "n".into(),
        status: "SUCCEEDED".into(),
        error: String::new(),
    };
    let started = RunEvent::ExecutionStarted { machine: "m".into(), name: "n".into() };
    assert_eq!(*world.events.lock().expect("not poisoned"), [started, finished]);
    assert!(machines.gauges().iter().all(|gauge| gauge.depth() == 0), "nothing runs, nothing waits");
}

#[tokio::test]
async fn the_history_tells_what_happened() {
    let (world, _) = world();
    let states = json!({"A": invoke("flaky", json!({"Next": "B", "Retry": [{"ErrorEquals": ["Boom"]}]})), "B": {"Type": "Succeed"}});
    let machines = world.machines(&[("m", json!({"StartAt": "A", "States": states}).to_string())]).expect("valid");
    drive(&world.clock, machines.run("m", "n", json!({"failures": 1, "key": 1}))).await.expect("succeeds");
    let history = machines.history("m", "n").expect("remembered");
    let kinds: Vec<_> = history.iter().map(|event| (event.kind, event.state.as_str(), event.error.as_str())).collect();
    assert_eq!(
        kinds,
        [
            (HistoryKind::ExecutionStarted, "", ""),
            (HistoryKind::StateEntered, "A", ""),
            (HistoryKind::AttemptFailed, "A", "Boom"),
            (HistoryKind::RetryScheduled, "A", "Boom"),
            (HistoryKind::StateExited, "A", ""),
            (HistoryKind::StateEntered, "B", ""),
            (HistoryKind::StateExited, "B", ""),
            (HistoryKind::ExecutionSucceeded, "", ""),
        ]
    );
}

#[tokio::test]
async fn the_whole_execution_may_have_a_timeout() {
    let (world, _) = world();
    let document =
        json!({"StartAt": "A", "TimeoutSeconds": 10, "States": {"A": {"Type": "Wait", "Seconds": 60, "End": true}}});
    let machines = world.machines(&[("m", document.to_string())]).expect("valid");
    let failed = drive(&world.clock, machines.run("m", "n", json!({}))).await.expect_err("times out");
    assert_eq!(failed.error, "States.Timeout");
}

#[tokio::test]
async fn dropping_the_service_ends_its_executions() {
    let (world, _) = world();
    let document = json!({"StartAt": "A", "States": {"A": {"Type": "Wait", "Seconds": 60, "End": true}}}).to_string();
    let machines = world.machines(&[("m", document)]).expect("valid");
    machines.start("m", "n", json!({})).expect("starts");
    drop(machines);
    while world.events.lock().expect("not poisoned").is_empty() {
        tokio::task::yield_now().await;
    }
}

//! Reads an Amazon States Language document.
//!
//! Promises: an unknown state type, a field that would change the meaning and is not implemented, a transition to a state
//! that is not there, and a path or template that cannot be evaluated are refused here, naming machine and state, before
//! anything runs.

mod states;
mod work;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::definition::{Fields, Graph, Kind, Seconds, State, StateMachine, Transition};
use states::{read_choice, read_fail, read_pass, read_wait};
use work::{read_map, read_parallel, read_task};

pub use work::{MAP_CONCURRENCY_MAX, RETRY_DELAY_SECONDS_MAX};

/// A document that cannot be run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to accept state machine `{machine}`, {place}: {reason}")]
pub struct DefinitionError {
    /// State machine name.
    pub machine: String,
    /// State, or `the document`.
    pub place: String,
    /// What is wrong, and what is allowed.
    pub reason: String,
}

/// Place and reason, before the machine's name is added.
type Wrong = (String, String);

const ALWAYS: &[&str] = &["Type", "Comment", "QueryLanguage"];
const GOES_ON: &[&str] = &["Next", "End"];
const PATHS: &[&str] = &["InputPath", "OutputPath"];

/// Reads a document.
pub(crate) fn parse_machine(name: &str, text: &str) -> Result<StateMachine, DefinitionError> {
    read_machine(text).map_err(|(place, reason)| DefinitionError { machine: name.to_owned(), place, reason })
}

fn read_machine(text: &str) -> Result<StateMachine, Wrong> {
    let here = |reason: String| ("the document".to_owned(), reason);
    let document: Value = serde_json::from_str(text).map_err(|error| here(format!("it is not JSON: {error}")))?;
    let fields = Fields::of(&document, "the document").map_err(here)?;
    fields.only(&[&["Comment", "Version", "QueryLanguage", "TimeoutSeconds", "StartAt", "States"]]).map_err(here)?;
    check_language(&fields).map_err(here)?;
    if fields.text("Version").map_err(here)?.is_some_and(|version| version != "1.0") {
        return Err(here("`Version` must be `1.0`".to_owned()));
    }
    let timeout = fields.number("TimeoutSeconds").map_err(here)?.map(Duration::from_secs);
    Ok(StateMachine { graph: read_graph(&fields, "the document")?, timeout })
}

fn check_language(fields: &Fields<'_>) -> Result<(), String> {
    match fields.text("QueryLanguage")? {
        None | Some("JSONPath") => Ok(()),
        Some(other) => Err(format!("`QueryLanguage` `{other}` is not supported, only `JSONPath`")),
    }
}

fn read_graph(fields: &Fields<'_>, place: &str) -> Result<Graph, Wrong> {
    let here = |reason: String| (place.to_owned(), reason);
    let start_at = fields.required_text("StartAt").map_err(here)?.to_owned();
    let listed = fields.get("States").ok_or_else(|| here("`States` is missing".to_owned()))?;
    let listed = Fields::of(listed, "`States`").map_err(here)?;
    let mut states = BTreeMap::new();
    for (name, value) in listed.object {
        states.insert(name.clone(), read_state(name, value)?);
    }
    if !states.contains_key(&start_at) {
        return Err(here(format!("`StartAt` names state `{start_at}`, which does not exist")));
    }
    for state in states.values() {
        if let Some(missing) = targets(state).into_iter().find(|target| !states.contains_key(*target)) {
            return Err((state_place(&state.name), format!("it goes to state `{missing}`, which does not exist")));
        }
    }
    Ok(Graph { start_at, states })
}

fn state_place(name: &str) -> String {
    format!("state `{name}`")
}

fn targets(state: &State) -> Vec<&str> {
    let mut targets = Vec::new();
    if let Transition::Next(next) = &state.then {
        targets.push(next.as_str());
    }
    match &state.kind {
        Kind::Work(work) => targets.extend(work.catchers.iter().map(|catcher| catcher.next.as_str())),
        Kind::Choice { rules, default } => {
            targets.extend(rules.iter().map(|(_, next)| next.as_str()));
            targets.extend(default.as_deref());
        }
        Kind::Pass { .. } | Kind::Wait(_) | Kind::Succeed | Kind::Fail { .. } => (),
    }
    targets
}

fn read_state(name: &str, value: &Value) -> Result<State, Wrong> {
    let here = |reason: String| (state_place(name), reason);
    let fields = Fields::of(value, "a state").map_err(here)?;
    check_language(&fields).map_err(here)?;
    let kind = match fields.required_text("Type").map_err(here)? {
        "Task" => read_task(&fields).map_err(here)?,
        "Map" => read_map(name, &fields)?,
        "Parallel" => read_parallel(name, &fields)?,
        "Pass" => read_pass(&fields).map_err(here)?,
        "Choice" => read_choice(&fields).map_err(here)?,
        "Wait" => read_wait(&fields).map_err(here)?,
        "Succeed" => fields.only(&[ALWAYS, PATHS]).map(|()| Kind::Succeed).map_err(here)?,
        "Fail" => read_fail(&fields).map_err(here)?,
        other => return Err(here(format!("state type `{other}` does not exist"))),
    };
    let then = match kind {
        Kind::Choice { .. } | Kind::Succeed | Kind::Fail { .. } => Transition::End,
        _ => read_transition(&fields).map_err(here)?,
    };
    let input_path = fields.selection("InputPath").map_err(here)?;
    let output_path = fields.selection("OutputPath").map_err(here)?;
    Ok(State { name: name.to_owned(), input_path, output_path, then, kind })
}

fn read_transition(fields: &Fields<'_>) -> Result<Transition, String> {
    match (fields.text("Next")?, fields.get("End")) {
        (Some(next), None | Some(Value::Bool(false))) => Ok(Transition::Next(next.to_owned())),
        (None, Some(Value::Bool(true))) => Ok(Transition::End),
        _ => Err("it needs either `Next` or `\"End\": true`".to_owned()),
    }
}

fn read_seconds(fields: &Fields<'_>, fixed: &str, path: &str) -> Result<Option<Seconds>, String> {
    match (fields.number(fixed)?, fields.path(path)?) {
        (Some(_), Some(_)) => Err(format!("`{fixed}` and `{path}` exclude each other")),
        (Some(seconds), None) => Ok(Some(Seconds::Fixed(seconds))),
        (None, Some(path)) => Ok(Some(Seconds::At(path))),
        (None, None) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refusal(states: Value) -> String {
        let document = json!({"StartAt": "A", "States": states}).to_string();
        parse_machine("m", &document).expect_err("must be refused").to_string()
    }

    #[test]
    fn refusals_name_machine_and_state() {
        let task = "arn:aws:states:::lambda:invoke";
        let cases = [
            (json!({"A": {"Type": "Activity"}}), "state `A`: state type `Activity` does not exist"),
            (json!({"A": {"Type": "Pass", "Next": "B"}}), "state `A`: it goes to state `B`"),
            (json!({"A": {"Type": "Pass"}}), "`Next` or"),
            (json!({"A": {"Type": "Pass", "End": true, "Next": "A"}}), "`Next` or"),
            (json!({"B": {"Type": "Succeed"}}), "the document: `StartAt` names state `A`"),
            (json!({"A": {"Type": "Pass", "End": true, "Assign": {}}}), "field `Assign`"),
            (json!({"A": {"Type": "Pass", "End": true, "QueryLanguage": "JSONata"}}), "`JSONata`"),
            (json!({"A": {"Type": "Pass", "End": true, "InputPath": "x"}}), "`InputPath`"),
            (json!({"A": {"Type": "Pass", "End": true, "ResultPath": "$.a[*]"}}), "cannot be written"),
            (json!({"A": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "End": true}}), "sqs"),
            (json!({"A": {"Type": "Task", "Resource": task, "End": true}}), "`Parameters` is missing"),
            (
                json!({"A": {"Type": "Task", "Resource": task, "End": true, "Parameters": {"FunctionName": "f",
                "InvocationType": "Event"}}}),
                "`InvocationType` is not supported",
            ),
            (
                json!({"A": {"Type": "Task", "Resource": task, "End": true, "Parameters": {"Payload": 1}}}),
                "`FunctionName`",
            ),
            (json!({"A": {"Type": "Task", "Resource": "f", "End": true, "HeartbeatSeconds": 1}}), "HeartbeatSeconds"),
            (json!({"A": {"Type": "Task", "Resource": "f", "End": true, "TimeoutSeconds": 0}}), "TimeoutSeconds"),
            (
                json!({"A": {"Type": "Task", "Resource": "f", "End": true, "Retry": [{"ErrorEquals": ["States.ALL", "x"]}]}}),
                "alone",
            ),
            (
                json!({"A": {"Type": "Task", "Resource": "f", "End": true, "Retry": [{"ErrorEquals": ["States.ALL"]},
                {"ErrorEquals": ["x"]}]}}),
                "alone",
            ),
            (
                json!({"A": {"Type": "Task", "Resource": "f", "End": true, "Retry": [{"ErrorEquals": ["x"], "BackoffRate": 0.5}]}}),
                "BackoffRate",
            ),
            (
                json!({"A": {"Type": "Task", "Resource": "f", "End": true, "Catch": [{"ErrorEquals": ["x"], "Next": "Z"}]}}),
                "`Z`, which does not exist",
            ),
            (json!({"A": {"Type": "Choice", "Choices": []}}), "at least one rule"),
            (json!({"A": {"Type": "Choice", "Choices": [{"Variable": "$.a", "IsNull": true, "Next": "Q"}]}}), "`Q`"),
            (json!({"A": {"Type": "Wait", "End": true}}), "exactly one"),
            (json!({"A": {"Type": "Fail", "Error": "a", "ErrorPath": "$.b"}}), "exclude"),
            (json!({"A": {"Type": "Map", "End": true}}), "`ItemProcessor`"),
            (
                json!({"A": {"Type": "Map", "End": true, "ItemProcessor": {"StartAt": "I", "States": {
                "I": {"Type": "Pass", "Next": "A"}}}}}),
                "state `I`: it goes to state `A`",
            ),
            (
                json!({"A": {"Type": "Map", "End": true, "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED"},
                "StartAt": "I", "States": {"I": {"Type": "Succeed"}}}}}),
                "INLINE",
            ),
            (json!({"A": {"Type": "Parallel", "End": true, "Branches": []}}), "Branches"),
        ];
        for (states, expected) in cases {
            let refused = refusal(states.clone());
            assert!(refused.contains("`m`") && refused.contains(expected), "{states}\n{refused}");
        }
    }

    #[test]
    fn documents_that_are_not_documents() {
        for text in ["", "[]", "{}", r#"{"StartAt":"A","States":{"A":{"Type":"Succeed"}},"Version":"2.0"}"#] {
            assert!(parse_machine("m", text).is_err(), "{text}");
        }
    }
}

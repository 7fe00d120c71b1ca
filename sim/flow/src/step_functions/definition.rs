//! A state machine after it was read: states by name, with every path, template and rule already parsed.
//!
//! Promises: what is here can be run; `parse` let nothing else through.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use rand::Rng;
use serde_json::{Map, Value};

use super::choice::Rule;
use super::fault::Fault;
use super::path::Path;
use super::template::{Expression, Template};

/// A whole document.
#[derive(Debug)]
pub(crate) struct StateMachine {
    pub(crate) graph: Graph,
    pub(crate) timeout: Option<Duration>,
}

/// States that belong together: a document's, a Map's or a Parallel branch's.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) start_at: String,
    pub(crate) states: BTreeMap<String, State>,
}

/// One state.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) name: String,
    pub(crate) input_path: Selection,
    pub(crate) output_path: Selection,
    pub(crate) then: Transition,
    pub(crate) kind: Kind,
}

/// Where a state goes when it is done. Choice decides by itself; Succeed and Fail end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Transition {
    Next(String),
    End,
}

/// `InputPath` and `OutputPath`.
#[derive(Debug)]
pub(crate) enum Selection {
    /// `null`: an empty object.
    Nothing,
    At(Path),
}

/// `ResultPath`.
#[derive(Clone, Debug)]
pub(crate) enum ResultPath {
    /// `null`: the input goes on.
    Discard,
    At(Path),
}

impl ResultPath {
    /// Puts `result` into `input`.
    pub(crate) fn apply(&self, input: Value, result: Value) -> Result<Value, Fault> {
        match self {
            Self::Discard => Ok(input),
            Self::At(path) => {
                path.write(input, result).map_err(|cause| Fault::new("States.ResultPathMatchFailure", cause))
            }
        }
    }
}

/// What a state does.
#[derive(Debug)]
pub(crate) enum Kind {
    Work(Box<Work>),
    Pass { parameters: Option<Template>, result: Option<Value>, result_path: ResultPath },
    Choice { rules: Vec<(Rule, String)>, default: Option<String> },
    Wait(WaitFor),
    Succeed,
    Fail { error: FailText, cause: FailText },
}

/// A state that may fail and be tried again.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) action: Action,
    pub(crate) parameters: Option<Template>,
    pub(crate) result_selector: Option<Template>,
    pub(crate) result_path: ResultPath,
    pub(crate) retriers: Vec<Retrier>,
    pub(crate) catchers: Vec<Catcher>,
}

/// What a [`Work`] state runs.
#[derive(Debug)]
pub(crate) enum Action {
    Task { resource: Resource, timeout: Option<Seconds> },
    Map { items_path: Path, concurrency: usize, graph: Graph },
    Parallel { branches: Vec<Graph> },
}

/// The integration behind a Task.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Resource {
    /// `arn:aws:states:::lambda:invoke`
    LambdaInvoke,
    /// `arn:aws:states:::ecs:runTask.sync`
    EcsRunTaskSync,
    /// A function's ARN or bare name: its payload is the whole input, its result the whole result.
    Function(String),
}

/// A number of seconds, fixed or out of the input.
#[derive(Debug)]
pub(crate) enum Seconds {
    Fixed(u64),
    At(Path),
}

/// What a Wait state waits for.
#[derive(Debug)]
pub(crate) enum WaitFor {
    Seconds(Seconds),
    Timestamp(DateTime<FixedOffset>),
    TimestampAt(Path),
}

/// `Error`/`ErrorPath` and `Cause`/`CausePath` of a Fail state.
#[derive(Debug)]
pub(crate) enum FailText {
    None,
    Fixed(String),
    Expression(Expression),
}

/// One entry of `Retry`.
#[derive(Debug)]
pub(crate) struct Retrier {
    pub(crate) errors: Vec<String>,
    pub(crate) interval_seconds: u64,
    pub(crate) attempts_max: u64,
    pub(crate) backoff_rate: f64,
    pub(crate) delay_seconds_max: u64,
    pub(crate) full_jitter: bool,
}

impl Retrier {
    /// How long to wait before retry number `retry`, counted from 0.
    pub(crate) fn delay(&self, retry: u64, rng: &mut impl Rng) -> Duration {
        let growth = self.backoff_rate.powi(i32::try_from(retry).unwrap_or(i32::MAX));
        let most = self.delay_seconds_max as f64;
        let seconds = (self.interval_seconds as f64 * growth).min(most);
        let seconds = if self.full_jitter { rng.random_range(0.0..=seconds) } else { seconds };
        Duration::from_secs_f64(seconds)
    }
}

/// One entry of `Catch`.
#[derive(Debug)]
pub(crate) struct Catcher {
    pub(crate) errors: Vec<String>,
    pub(crate) result_path: ResultPath,
    pub(crate) next: String,
}

/// Members of a JSON object being read, with the place for error messages.
pub(crate) struct Fields<'a> {
    pub(crate) object: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(value: &'a Value, what: &str) -> Result<Self, String> {
        value.as_object().map(|object| Self { object }).ok_or_else(|| format!("{what} must be an object"))
    }

    /// Refuses a member that is not listed.
    pub(crate) fn only(&self, known: &[&[&str]]) -> Result<(), String> {
        match self.object.keys().find(|name| !known.iter().any(|names| names.contains(&name.as_str()))) {
            Some(name) => Err(format!("field `{name}` is not supported here")),
            None => Ok(()),
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.object.get(name)
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>, String> {
        self.get(name).map(|value| value.as_str().ok_or_else(|| format!("`{name}` must be a string"))).transpose()
    }

    pub(crate) fn required_text(&self, name: &str) -> Result<&'a str, String> {
        self.text(name)?.ok_or_else(|| format!("`{name}` is missing"))
    }

    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, String> {
        let whole = |value: &Value| value.as_u64().ok_or_else(|| format!("`{name}` must be a whole number, 0 or more"));
        self.get(name).map(whole).transpose()
    }

    pub(crate) fn path(&self, name: &str) -> Result<Option<Path>, String> {
        self.text(name)?.map(|text| Path::parse(text).map_err(|reason| format!("`{name}`: {reason}"))).transpose()
    }

    pub(crate) fn template(&self, name: &str) -> Result<Option<Template>, String> {
        let parse = |value| Template::parse(value).map_err(|reason| format!("`{name}`: {reason}"));
        self.get(name).map(parse).transpose()
    }

    pub(crate) fn list(&self, name: &str) -> Result<&'a [Value], String> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err(format!("`{name}` must be a list")),
        }
    }

    pub(crate) fn selection(&self, name: &str) -> Result<Selection, String> {
        match self.get(name) {
            Some(Value::Null) => Ok(Selection::Nothing),
            _ => Ok(Selection::At(self.path(name)?.unwrap_or_else(Path::root))),
        }
    }

    pub(crate) fn result_path(&self) -> Result<ResultPath, String> {
        match self.get("ResultPath") {
            Some(Value::Null) => Ok(ResultPath::Discard),
            _ => match self.path("ResultPath")?.unwrap_or_else(Path::root) {
                path if path.is_reference() => Ok(ResultPath::At(path)),
                path => Err(format!("`ResultPath` `{}` cannot be written to", path.text())),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakebed_contract::Seed;

    fn retrier(full_jitter: bool) -> Retrier {
        let errors = vec!["States.ALL".to_owned()];
        Retrier { errors, interval_seconds: 2, attempts_max: 9, backoff_rate: 1.5, delay_seconds_max: 6, full_jitter }
    }

    #[test]
    fn delays_grow_up_to_their_maximum() {
        let mut rng = Seed(7).rng("test");
        let delays: Vec<f64> = (0..5).map(|retry| retrier(false).delay(retry, &mut rng).as_secs_f64()).collect();
        assert_eq!(delays, [2.0, 3.0, 4.5, 6.0, 6.0]);
    }

    #[test]
    fn full_jitter_stays_below_the_delay_and_repeats_with_the_seed() {
        let draw = || {
            let mut rng = Seed(7).rng("test");
            (0..50).map(|retry| retrier(true).delay(retry, &mut rng)).collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
        assert!(draw().iter().all(|delay| delay.as_secs_f64() <= 6.0));
        assert!(draw().iter().any(|delay| delay.as_secs_f64() < 3.0));
    }
}

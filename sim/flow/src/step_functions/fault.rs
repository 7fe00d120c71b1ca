//! The error of a state: the name that `Retry` and `Catch` match on, and a cause for people.
//!
//! Promises: `States.Runtime` and `States.DataLimitExceeded` are never retried nor caught. Causes hold names and counts,
//! never values out of a payload.

use lakebed_contract::HandlerError;
use serde_json::{Value, json};

/// The document itself does not fit the data.
pub(crate) const RUNTIME: &str = "States.Runtime";
/// A state's output is larger than a payload may be.
pub(crate) const DATA_LIMIT: &str = "States.DataLimitExceeded";
/// A `TimeoutSeconds` ran out.
pub(crate) const TIMEOUT: &str = "States.Timeout";
/// A task failed.
pub(crate) const TASK_FAILED: &str = "States.TaskFailed";

/// Why a state failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Error name.
    pub(crate) error: String,
    /// What happened.
    pub(crate) cause: String,
}

impl Fault {
    pub(crate) fn new(error: &str, cause: impl Into<String>) -> Self {
        Self { error: error.to_owned(), cause: cause.into() }
    }

    /// A [`RUNTIME`] error.
    pub(crate) fn runtime(cause: impl Into<String>) -> Self {
        Self::new(RUNTIME, cause)
    }

    /// Whether `Retry` and `Catch` may look at it.
    pub(crate) fn is_catchable(&self) -> bool {
        self.error != RUNTIME && self.error != DATA_LIMIT
    }

    /// Whether a list of `ErrorEquals` names this error.
    pub(crate) fn matches(&self, errors: &[String]) -> bool {
        self.is_catchable()
            && errors.iter().any(|error| match error.as_str() {
                "States.ALL" => true,
                TASK_FAILED => self.error != TIMEOUT,
                error => error == self.error,
            })
    }

    /// The error output a `Catch` hands on.
    pub(crate) fn to_output(&self) -> Value {
        json!({"Error": self.error, "Cause": self.cause})
    }
}

impl From<HandlerError> for Fault {
    fn from(error: HandlerError) -> Self {
        Self { error: error.error, cause: error.cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_names_match_as_documented() {
        let cases = [
            ("A", "A", true),
            ("A", "B", false),
            ("A", "States.ALL", true),
            ("A", TASK_FAILED, true),
            (TIMEOUT, TASK_FAILED, false),
            (TIMEOUT, "States.ALL", true),
            (RUNTIME, "States.ALL", false),
            (RUNTIME, RUNTIME, false),
            (DATA_LIMIT, "States.ALL", false),
        ];
        for (error, listed, expected) in cases {
            assert_eq!(Fault::new(error, "").matches(&[listed.to_owned()]), expected, "{error} in {listed}");
        }
    }
}

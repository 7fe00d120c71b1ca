//! Requests that cannot be served, by AWS's names and in AWS's words.
//!
//! A message goes to the client who sent the request and nowhere else; only [`KinesisError::internal`] logs, and it logs our own
//! failure. No message quotes record data or a partition key.

use http::StatusCode;
use serde_json::{Value, json};

pub(super) use crate::place::{ACCOUNT, REGION};

/// A request that cannot be served, by AWS's name.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct KinesisError {
    code: &'static str,
    message: String,
}

impl KinesisError {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    pub(super) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new("InvalidArgumentException", message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new("ResourceNotFoundException", message)
    }

    pub(super) fn stream_not_found(name: &str) -> Self {
        Self::not_found(format!("Stream {name} under account {ACCOUNT} not found."))
    }

    pub(super) fn in_use(message: impl Into<String>) -> Self {
        Self::new("ResourceInUseException", message)
    }

    pub(super) fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new("LimitExceededException", message)
    }

    /// For more than a shard takes or gives in a second.
    pub(super) fn throughput_exceeded(shard: &str, stream: &str) -> Self {
        let message = format!("Rate exceeded for shard {shard} in stream {stream} under account {ACCOUNT}.");
        Self::new("ProvisionedThroughputExceededException", message)
    }

    /// For a failure of the service that was planned.
    pub(super) fn planned() -> Self {
        let message = "The request processing has failed because of an unknown error, exception or failure.";
        Self::new("InternalFailure", message)
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn expired_iterator(message: impl Into<String>) -> Self {
        Self::new("ExpiredIteratorException", message)
    }

    pub(super) fn expired_next_token(message: impl Into<String>) -> Self {
        Self::new("ExpiredNextTokenException", message)
    }

    pub(super) fn unknown_operation(operation: &str) -> Self {
        Self::new("UnknownOperationException", format!("Kinesis operation `{operation}` is not implemented"))
    }

    /// For a member that AWS would act on and we would not.
    pub(super) fn not_implemented(member: &str) -> Self {
        Self::invalid_argument(format!("Kinesis request member `{member}` is not implemented"))
    }

    pub(super) fn serialization(message: impl Into<String>) -> Self {
        Self::new("SerializationException", message)
    }

    /// JSON that cannot be read. serde's message may quote the input, so only the types or the place are told.
    pub(super) fn unreadable(error: &serde_json::Error) -> Self {
        let place = || format!("malformed JSON or wrong type at line {} column {}", error.line(), error.column());
        Self::serialization(wrong_type(&error.to_string()).unwrap_or_else(place))
    }

    /// An error of ours, which SDKs retry.
    pub(super) fn internal(action: &str, error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "kinesis failed to {action}");
        Self::new("InternalFailure", format!("failed to {action}"))
    }

    pub(super) fn status(&self) -> StatusCode {
        if self.code == "InternalFailure" { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::BAD_REQUEST }
    }

    pub(super) fn code(&self) -> &'static str {
        self.code
    }

    pub(super) fn to_json(&self) -> Value {
        json!({ "__type": self.code, "message": self.message })
    }
}

/// AWS's words for serde's "invalid type: …, expected …"; `None` when there are none.
fn wrong_type(message: &str) -> Option<String> {
    let (found, expected) = message.strip_prefix("invalid type: ")?.rsplit_once("expected ")?;
    if found.starts_with("sequence") {
        return Some("Start of list found where not expected".to_owned());
    }
    if found.starts_with("map") {
        return Some("Start of structure or map found where not expected.".to_owned());
    }
    if expected.starts_with("a sequence") {
        return Some("Expected list or null".to_owned());
    }
    if expected.starts_with("a map") {
        return Some("Expected map or null".to_owned());
    }
    if expected.starts_with("struct") {
        return Some("Expected null".to_owned());
    }
    let class = match found {
        _ if found.starts_with("string") => "java.lang.String",
        _ if found.starts_with("boolean") => "java.lang.Boolean",
        _ if found.starts_with("integer") || found.starts_with("floating point") => "java.math.BigDecimal",
        _ => return None,
    };
    let wanted = match expected {
        _ if expected.starts_with("a string") => "String",
        _ if expected.starts_with("i64") => "Integer",
        _ if expected.starts_with("f64") => "Double",
        _ if expected.starts_with("a boolean") => "Boolean",
        _ => return None,
    };
    Some(format!("class {class} can not be converted to an {wanted}"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Asked {
        #[serde(rename = "Limit")]
        _limit: Option<i64>,
        #[serde(rename = "Name")]
        _name: Option<String>,
        #[serde(rename = "Keys")]
        _keys: Option<Vec<String>>,
    }

    #[test]
    fn wrong_types_are_told_in_the_words_of_aws_and_without_the_value() {
        let told = |body: &str| {
            let error = serde_json::from_str::<Asked>(body).err().expect("a wrong type");
            KinesisError::unreadable(&error).to_string()
        };
        let check = |body: &str, expect: &str| assert_eq!(told(body), format!("SerializationException: {expect}"));
        check(r#"{"Limit":"a secret"}"#, "class java.lang.String can not be converted to an Integer");
        check(r#"{"Name":7}"#, "class java.math.BigDecimal can not be converted to an String");
        check(r#"{"Name":true}"#, "class java.lang.Boolean can not be converted to an String");
        check(r#"{"Name":["a secret"]}"#, "Start of list found where not expected");
        check(r#"{"Limit":{}}"#, "Start of structure or map found where not expected.");
        check(r#"{"Keys":"expected a string"}"#, "Expected list or null");
        check("{", "malformed JSON or wrong type at line 1 column 1");
    }
}

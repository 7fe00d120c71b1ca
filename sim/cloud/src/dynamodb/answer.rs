//! AWS JSON 1.0 answers: status, `__type`, message, and the headers the SDKs look at.
//!
//! Promises: every answer carries the `x-amz-crc32` of exactly its body. The request id is the server's to add. Knows
//! no operation.

use bytes::Bytes;
use dynoxide::DynoxideError;
use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use crate::limits::dynamodb::Throttled;
use crate::validation::Refusal;

const SERVICE: &str = "com.amazonaws.dynamodb.v20120810";
const CORAL: &str = "com.amazon.coral.service";

/// A refused or failed request, ready to be sent.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    body: String,
}

impl Failure {
    fn new(status: StatusCode, error_type: &str, message: &str) -> Self {
        Self { status, body: json!({"__type": error_type, "message": message}).to_string() }
    }

    /// An error of the DynamoDB or DynamoDB Streams model, e.g. `ExpiredIteratorException`.
    pub(super) fn service(name: &str, message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, &format!("{SERVICE}#{name}"), message)
    }

    pub(super) fn validation(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "com.amazon.coral.validate#ValidationException", message)
    }

    /// The request comes to no operation.
    pub(super) fn at_the_door(name: &str, message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, &format!("{CORAL}#{name}"), message)
    }

    /// The body is not what the operation takes. `message` must not quote the body.
    pub(super) fn serialization(message: &str) -> Self {
        Self::at_the_door("SerializationException", message)
    }

    pub(super) fn unknown_operation(target: &str) -> Self {
        let message = format!("operation `{target}` is not implemented by lakebed");
        Self::at_the_door("UnknownOperationException", &message)
    }

    pub(super) fn internal(message: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, &format!("{SERVICE}#InternalServerError"), message)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Serialization(message) => Self::serialization(&message),
            Refusal::Validation(message) => Self::validation(&message),
        }
    }
}

impl From<Throttled> for Failure {
    fn from(throttled: Throttled) -> Self {
        Self { status: StatusCode::BAD_REQUEST, body: throttled.to_json() }
    }
}

impl From<DynoxideError> for Failure {
    fn from(error: DynoxideError) -> Self {
        Self {
            status: StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            body: error.to_json(),
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        tracing::error!(%error, "failed to use the change log");
        Self::internal("failed to use the change log")
    }
}

/// Dresses an outcome for the wire.
pub(super) fn respond(outcome: Result<String, Failure>) -> Response<Bytes> {
    let (status, body) = match outcome {
        Ok(body) => (StatusCode::OK, body),
        Err(failure) => (failure.status, failure.body),
    };
    let body = Bytes::from(body);
    let checksum = crc32fast::hash(&body);
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    headers.insert("x-amz-crc32", HeaderValue::from(checksum));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_operation_is_named_and_checksummed() {
        let response = respond(Err(Failure::unknown_operation("DynamoDB_20120810.Nope")));
        assert_eq!(response.status(), 400);
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["__type"], "com.amazon.coral.service#UnknownOperationException");
        assert!(body["message"].as_str().unwrap().contains("Nope"));
        let checksum = response.headers()["x-amz-crc32"].to_str().unwrap();
        assert_eq!(checksum, crc32fast::hash(response.body()).to_string());
    }
}

//! Errors of KMS by AWS's names and, where they are known, in its words. Names ids and aliases, never key material or plaintext.

use axum::body::Body;
use http::{Response, StatusCode};
use serde_json::json;

use super::response;
use crate::validation::Refusal;

/// A request that cannot be served.
#[derive(Debug)]
pub(super) struct KmsError {
    status: StatusCode,
    code: &'static str,
    /// AWS gives none where it would tell an attacker something.
    message: Option<String>,
}

impl KmsError {
    /// An error the client has made.
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code, message: Some(message.into()) }
    }

    /// A value the service does not take.
    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    /// What is asked for is not there.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new("NotFoundException", message)
    }

    /// A member or a value of AWS's that is not done here.
    pub(super) fn unsupported(what: &str) -> Self {
        Self::new("UnsupportedOperationException", format!("{what} is not implemented here"))
    }

    /// A ciphertext that does not open; without a reason, as AWS.
    pub(super) fn invalid_ciphertext() -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: "InvalidCiphertextException", message: None }
    }

    /// The request is sound and was to be tried only. AWS's service model gives it no status of its own.
    pub(super) fn dry_run() -> Self {
        Self::new("DryRunOperationException", "The request would have succeeded, but the DryRun option is set.")
    }

    /// Something of the service's own went wrong.
    pub(super) fn internal() -> Self {
        let message = "An internal error occurred; the request can be retried.".to_owned();
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, code: "KMSInternalException", message: Some(message) }
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let mut body = json!({ "__type": self.code });
        if let Some(message) = self.message {
            body["message"] = message.into();
        }
        response(self.status, &body)
    }
}

impl From<Refusal> for KmsError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Serialization(message) => Self::new("SerializationException", message),
            Refusal::Validation(message) => Self::validation(message),
        }
    }
}

impl From<std::io::Error> for KmsError {
    fn from(error: std::io::Error) -> Self {
        tracing::error!(%error, "KMS failed to draw randomness or to keep its keys");
        Self::internal()
    }
}

//! Refusals of single requests, in the error shape of the Iceberg REST specification: `{"error":{message,type,code}}`.
//!
//! Clients act on the status: 409 means the commit did not happen and may be tried again on fresh metadata, 5xx with
//! `CommitStateUnknownException` means it may have happened. Failures of ours are logged with their cause, which the
//! client does not see.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use iceberg::ErrorKind;
use serde_json::json;

/// A request that is not carried out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) kind: &'static str,
    pub(super) message: String,
}

impl Refusal {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequestException", message)
    }

    pub(super) fn no_namespace(namespace: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NoSuchNamespaceException", format!("namespace does not exist: {namespace}"))
    }

    pub(super) fn no_table(namespace: &str, table: &str) -> Self {
        let message = format!("table does not exist: {namespace}.{table}");
        Self::new(StatusCode::NOT_FOUND, "NoSuchTableException", message)
    }

    pub(super) fn already_exists(what: &str, name: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "AlreadyExistsException", format!("{what} already exists: {name}"))
    }

    pub(super) fn namespace_not_empty(namespace: &str) -> Self {
        let message = format!("namespace is not empty: {namespace}");
        Self::new(StatusCode::CONFLICT, "NamespaceNotEmptyException", message)
    }

    pub(super) fn commit_failed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "CommitFailedException", message)
    }

    pub(super) fn unsupported(what: &str) -> Self {
        let message = format!("{what} is not implemented by lakebed");
        Self::new(StatusCode::NOT_ACCEPTABLE, "UnsupportedOperationException", message)
    }

    /// A metadata file could not be read or written. Nothing has been committed.
    pub(super) fn storage(action: &str, location: &str, error: &iceberg::Error) -> Self {
        tracing::error!(%error, location, "catalog failed to {action} table metadata");
        let message = format!("failed to {action} `{location}`");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException", message)
    }

    /// The database failed while pointers were being moved.
    pub(super) fn commit_state_unknown(error: &rusqlite::Error) -> Self {
        tracing::error!(%error, "catalog failed while committing");
        let message = "the catalog failed while committing";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "CommitStateUnknownException", message)
    }

    pub(super) fn internal(message: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message)
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(error: rusqlite::Error) -> Self {
        tracing::error!(%error, "catalog database failed");
        Self::internal("the catalog database failed")
    }
}

/// For errors of checking and applying updates; storage errors go through [`Refusal::storage`].
impl From<iceberg::Error> for Refusal {
    fn from(error: iceberg::Error) -> Self {
        match error.kind() {
            ErrorKind::CatalogCommitConflicts => Self::commit_failed(error.message()),
            ErrorKind::TableNotFound => Self::new(StatusCode::NOT_FOUND, "NoSuchTableException", error.message()),
            ErrorKind::FeatureUnsupported => Self::unsupported(error.message()),
            _ => Self::bad_request(error.message()),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let error = json!({ "message": self.message, "type": self.kind, "code": self.status.as_u16() });
        (self.status, Json(json!({ "error": error }))).into_response()
    }
}

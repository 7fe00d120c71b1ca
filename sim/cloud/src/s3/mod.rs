//! S3: path-style buckets and objects over plain files.
//!
//! ```text
//! request → unsigned (signature dropped, aws-chunked decoded) → s3s (XML, routing) → operations → store
//!                                                                          store = files + index + outbox
//! ```
//!
//! Object bytes are files at `<state_dir>/s3/<bucket>/<key>` ([`file_name`] says when the name is escaped), everything
//! else about them is in `<state_dir>/s3.sqlite`. A PUT streams to a staging file, is renamed into place, then becomes
//! visible in the index. Versioning, ACLs, tags, encryption with customer keys and object lock are refused.

mod aws_chunked;
mod checksum;
mod delivery;
mod file_name;
mod in_place;
mod index;
mod listing;
mod multipart;
mod notification;
mod operations;
mod reading;
mod refused;
mod staging;
mod store;
mod unsigned;
mod writing;

pub use notification::OUTBOX_EVENTS_MAX;
pub use store::S3Store;

use http::{Request, Response};
use hyper::body::Incoming;
use s3s::service::S3Service;
use s3s::{S3Error, S3ErrorCode, S3Result};

/// Answers one S3 request whoever signed it.
pub(crate) async fn answer(service: &S3Service, request: Request<Incoming>) -> Response<s3s::Body> {
    let answered = match unsigned::unsigned(request) {
        Ok(request) => service.call(request).await,
        Err(refusal) => Ok(error_response(refusal)),
    };
    answered.unwrap_or_else(|error| {
        let source = s3s::StdError::from(error);
        error_response(S3Error::with_source(S3ErrorCode::InternalError, source))
    })
}

fn error_response(error: S3Error) -> Response<s3s::Body> {
    error.to_http_response().unwrap_or_else(|_unserialisable| {
        let mut response = Response::new(s3s::Body::empty());
        *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
        response
    })
}

/// Runs file and SQLite work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> S3Result<T> + Send + 'static) -> S3Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(panicked) => Err(S3Error::internal_error(panicked)),
    }
}

/// For `map_err`: an error of ours, answered as `InternalError` (which SDKs retry).
pub(crate) fn internal<E>(action: &'static str) -> impl FnOnce(E) -> S3Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    move |source| {
        tracing::error!(error = %source, "s3 failed to {action}");
        let mut error = S3Error::internal_error(source);
        error.set_message(format!("failed to {action}"));
        error
    }
}

//! S3: path-style buckets and objects over plain files.
//!
//! ```text
//! request → unsigned (signature dropped, aws-chunked decoded) → integrity (XML bodies verified)
//!         → s3s (XML, routing) → operations → store            store = files + index + outbox
//! answer  ← error_body (AWS's error document, request ids) ←
//! ```
//!
//! Object bytes are files at `<state_dir>/s3/<bucket>/<key>` ([`file_name`] says when the name is escaped), everything
//! else about them is in `<state_dir>/s3.sqlite`. A PUT streams to a staging file, is renamed into place, then becomes
//! visible in the index. Versioning, ACLs, encryption with customer keys and object lock are refused.

mod answering;
mod attributes;
mod aws_chunked;
mod bucket_defaults;
mod buckets;
mod checksum;
mod delivery;
mod error_body;
mod file_name;
mod in_place;
mod index;
mod integrity;
mod listing;
mod multipart;
mod notification;
mod operations;
mod part_copy;
mod part_files;
mod parts;
mod reading;
mod refused;
mod staging;
mod store;
mod tagging;
mod unrouted;
mod unsigned;
mod writing;

pub use notification::OUTBOX_EVENTS_MAX;
pub use store::S3Store;

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use s3s::service::S3Service;
use s3s::{S3Error, S3ErrorCode, S3Result};

use error_body::Asked;

/// Answers one S3 request whoever signed it.
pub(crate) async fn answer(
    service: &S3Service,
    request: Request<Incoming>,
    request_id: &HeaderValue,
) -> Response<s3s::Body> {
    let asked = Asked::by(&request);
    let answered = match accepted(request).await {
        Ok(request) => service.call(request).await,
        Err(refusal) => Ok(error_response(refusal)),
    };
    let response = answered.unwrap_or_else(|error| {
        let source = s3s::StdError::from(error);
        error_response(S3Error::with_source(S3ErrorCode::InternalError, source))
    });
    error_body::finish(answering::finish(response), &asked, request_id)
}

/// The request as `s3s` is to see it.
async fn accepted(request: Request<Incoming>) -> S3Result<Request<s3s::Body>> {
    integrity::verified(unsigned::unsigned(request)?).await
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

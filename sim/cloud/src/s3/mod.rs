//! S3: buckets and objects over plain files and an index.
//!
//! ```text
//! request → host (path style from here on)
//!         → unsigned (signature dropped, aws-chunked decoded) → integrity (XML bodies verified)
//!         → s3s (XML, routing) → gate (limits, planned faults) → operations → store
//!                                                              store = files + index + outbox
//! answer  ← error_body (AWS's error document, request ids) ←
//! ```
//!
//! Objects are files at `<state_dir>/s3/<bucket>/<key>` ([`file_name`] says when the name is escaped), but for small ones,
//! whose bytes lie with everything else about them in `<state_dir>/s3.sqlite` ([`bodies`]). A large PUT goes to a staging
//! file, which is renamed into place; either becomes visible with one commit of the index ([`in_place`]). Files of versions
//! that are not current lie at `%/v/<sequence>` in the bucket's directory. ACLs, encryption with customer keys and object
//! lock are refused.

mod announced;
mod answering;
mod attributes;
mod aws_chunked;
mod bodies;
mod bucket_defaults;
mod buckets;
mod checksum;
mod completing;
mod composed;
mod conditional;
mod copying;
mod delivery;
mod encryption;
mod error_body;
mod file_name;
mod gate;
mod host;
mod in_place;
mod index;
mod integrity;
mod lifecycle;
mod lifecycle_document;
mod lifecycle_rules;
mod listing;
mod multipart;
mod names;
mod notification;
mod operations;
mod part_copy;
mod part_files;
mod parts;
mod planning;
mod reading;
mod refused;
mod removing;
mod request_id;
mod staging;
mod store;
mod sweeper;
mod tagging;
mod unrouted;
mod unsigned;
mod version_listing;
mod versioning;
mod writing;

pub use notification::OUTBOX_EVENTS_MAX;
pub use store::S3Store;

pub(crate) use gate::S3Gate;

use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use s3s::service::S3Service;
use s3s::{S3Error, S3ErrorCode, S3Result};

use crate::auth::{Denial, Rendered, Signed};
use crate::hook;
use error_body::{Asked, Extras};
use gate::Fate;

pub(crate) use request_id::host_id;

/// Answers one S3 request whoever signed it.
pub(crate) async fn answer(
    service: &S3Service,
    mut request: Request<Incoming>,
    request_id: &HeaderValue,
) -> Response<s3s::Body> {
    let fate = Fate::of(&mut request);
    let fault = request.extensions().get::<Signed>().map(|signed| signed.fault.clone());
    let styled = host::to_path_style(&mut request);
    let asked = Asked::by(&request);
    let accepted = match styled {
        Ok(()) => accepted(request).await,
        Err(refusal) => Err(refusal),
    };
    let answered = match accepted {
        Ok(request) => request_id::scope(request_id, service.call(request)).await,
        Err(refusal) => Ok(error_response(refusal)),
    };
    let response = answered.unwrap_or_else(|error| {
        let source = s3s::StdError::from(error);
        error_response(S3Error::with_source(S3ErrorCode::InternalError, source))
    });
    // Whatever the operation made of it: the body was not the signed one, so nothing was done.
    let response = match fault.as_ref().and_then(|fault| fault.get()) {
        Some(denial) => denied(denial),
        None => response,
    };
    let response = error_body::finish(answering::finish(response), &asked, request_id);
    if fate.is_dropped() { hook::unanswered(response) } else { response }
}

/// The answer to a request that is not let in.
pub(crate) fn refuse(mut request: Request<()>, denial: &Denial, request_id: &HeaderValue) -> Response<s3s::Body> {
    // One whose host cannot be read is refused all the same.
    let _styled = host::to_path_style(&mut request);
    error_body::finish(denied(denial), &Asked::by(&request), request_id)
}

fn denied(denial: &Denial) -> Response<s3s::Body> {
    let Rendered { status, code, message, extras } = denial.for_s3();
    let code = S3ErrorCode::from_bytes(code.as_bytes()).unwrap_or(S3ErrorCode::AccessDenied);
    let mut error = S3Error::with_message(code, message);
    error.set_status_code(status);
    let mut response = error_response(error);
    response.extensions_mut().insert(Extras(extras));
    response
}

/// Whether the host of a request names a bucket, so that its whole path is S3's.
pub(crate) fn names_bucket<B>(request: &Request<B>) -> bool {
    host::bucket_of(request).is_some()
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
    match tokio::task::spawn_blocking(request_id::carry(work)).await {
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

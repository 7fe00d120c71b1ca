//! AWS Key Management Service as far as symmetric keys: made, named by aliases, used to encrypt, to decrypt and for data keys.
//!
//! Promises: keys and aliases that were answered are there after the process was killed, and after a power cut whatever the
//! stores' own policy is ([`keys`] says how they lie on the disk); a ciphertext opens under its key and encryption context only
//! ([`envelope`]); key material and plaintexts are in no log and no error, and secrets follow from no seed ([`entropy`]).
//!
//! **It protects nothing against whoever can read the state directory**, where the keys lie in clear: it is here so that the
//! path a program takes with AWS's KMS can be tried. There is one account with every right, so there are no policies and
//! grants; what asks for them is refused. Follow a request: [`operations`].

mod entropy;
mod envelope;
mod error;
mod keys;
mod listing;
mod operations;
mod request;

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use lakebed_contract::Clock;
use serde_json::Value;

use crate::error::CloudError;
use error::KmsError;
use keys::Keys;

const JSON_TYPE: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.1");

/// The service.
pub(crate) struct Kms {
    keys: Arc<Keys>,
}

impl Kms {
    /// Takes up the keys of a folder, which is made if it is missing.
    pub(crate) fn open(folder: &Path, clock: Clock) -> Result<Self, CloudError> {
        Ok(Self { keys: Arc::new(Keys::open(folder, clock)?) })
    }

    /// Answers one request; `target` is its `X-Amz-Target`.
    pub(crate) async fn handle(&self, target: &str, body: Bytes) -> Response<Body> {
        let operation = target.split_once('.').map_or("", |(_, operation)| operation).to_owned();
        let keys = Arc::clone(&self.keys);
        // The disk is waited for where a key is made.
        match tokio::task::spawn_blocking(move || operations::answer(&keys, &operation, &body)).await {
            Ok(Ok(answer)) => answer.map_or_else(empty, |answer| response(StatusCode::OK, &answer)),
            Ok(Err(error)) => error.into_response(),
            Err(_panicked) => {
                // What it died of may quote the request.
                tracing::error!("KMS failed to answer a request");
                Self::failure()
            }
        }
    }

    /// The answer when something of the service's own went wrong.
    pub(crate) fn failure() -> Response<Body> {
        KmsError::internal().into_response()
    }

    /// The answer to a request that is refused before it comes to an operation.
    pub(crate) fn refused(code: &'static str, message: &str) -> Response<Body> {
        KmsError::new(code, message).into_response()
    }
}

/// The answer of operations that answer nothing.
fn empty() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.headers_mut().insert(CONTENT_TYPE, JSON_TYPE);
    response
}

fn response(status: StatusCode, body: &Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON_TYPE);
    response
}

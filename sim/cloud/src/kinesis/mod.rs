//! Kinesis Data Streams over AWS JSON 1.1.
//!
//! A record goes to the open shard whose range holds the MD5 of its partition key, is appended to that shard's log file and
//! read back from there; memory holds one small index entry per record within the stream's retention on the clock. Order is
//! per shard, and from a shard to its children. AWS's size limits are enforced; throughput limits are not. Encryption,
//! enhanced monitoring and the capacity mode are kept and shown, and change nothing else. There is no consumer
//! registration, no SubscribeToShard, no record above 1 MiB and no CBOR: such requests are refused.

mod describe;
mod description;
mod error;
mod frame;
mod iterator;
mod listing;
mod operations;
mod records;
mod reshard;
mod settings;
mod shard_log;
mod stream;
mod tags;
mod validation;
mod wire;

pub use description::RETENTION;
pub use records::{ANSWER_BYTES_MAX, RECORD_BYTES_MAX, REQUEST_BYTES_MAX, REQUEST_RECORDS_MAX};
pub use shard_log::SEGMENT_BYTES_MAX;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use lakebed_contract::{Clock, EventSink};

use crate::error::CloudError;
use error::KinesisError;
use operations::Operations;

/// The streams of one state directory.
#[derive(Clone)]
pub struct Kinesis {
    operations: Arc<Operations>,
}

impl Kinesis {
    /// Opens the streams kept in `dir`. What a dead process wrote only half of is dropped, and said so in `events`.
    pub fn open(dir: &Path, clock: Clock, events: &EventSink) -> Result<Self, CloudError> {
        Ok(Self { operations: Arc::new(Operations::open(dir, clock, events)?) })
    }

    /// Answers one request; `target` is its `X-Amz-Target`.
    pub async fn handle(&self, target: &str, body: Bytes) -> Response<Bytes> {
        let operation = target.split_once('.').map_or("", |(_, operation)| operation).to_owned();
        let operations = Arc::clone(&self.operations);
        let answered = tokio::task::spawn_blocking(move || operations.answer(&operation, &body)).await;
        match answered {
            Ok(Ok(body)) => response(StatusCode::OK, body),
            Ok(Err(error)) => refusal(&error),
            Err(panicked) => refusal(&KinesisError::internal("answer a request", &panicked)),
        }
    }
}

fn refusal(error: &KinesisError) -> Response<Bytes> {
    response(error.status(), error.to_json().to_string().into_bytes())
}

fn response(status: StatusCode, body: Vec<u8>) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/x-amz-json-1.1");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    response
}

//! Kinesis Data Streams over AWS JSON 1.1 and its CBOR form.
//!
//! A record goes to the open shard whose range holds the MD5 of its partition key, is appended to that shard's log file and
//! read back from there; memory holds one small index entry per record within the stream's retention on the clock. Order is
//! per shard, and from a shard to its children. Registered consumers are pushed what they subscribe to as a stream of events.
//! Requests and answers are JSON or CBOR. AWS's size limits are enforced. Encryption, enhanced monitoring and warm
//! throughput are kept and shown, and change nothing else. Resource policies, channels and queues are refused.

mod cbor;
mod consumers;
mod describe;
mod description;
mod error;
mod event_stream;
mod frame;
mod group_commit;
mod iterator;
mod lifecycle;
mod listing;
mod opaque;
mod operations;
mod put_records;
mod reading;
mod records;
mod reshard;
mod segment;
mod segment_index;
mod segment_scan;
mod sequence_number;
mod settings;
mod shard;
mod shard_log;
mod sizing;
mod stream;
mod subscribe;
mod tags;
mod traffic;
mod validation;
mod wire;

pub use cbor::{Wire, decode_request};
pub use consumers::CONSUMERS_MAX;
pub use description::RETENTION;
pub use error::KinesisError;
pub use records::{ANSWER_BYTES_MAX, LARGE_RECORD_BYTES_MAX, RECORD_BYTES_MAX, REQUEST_BYTES_MAX, REQUEST_RECORDS_MAX};
pub use shard_log::SEGMENT_BYTES_MAX;
pub use subscribe::SUBSCRIPTION_LIFETIME;

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use tokio_util::sync::CancellationToken;

use crate::config::CloudConfig;
use crate::durability::Flush;
use crate::error::CloudError;
use event_stream::EVENT_STREAM_TYPE;
use operations::Operations;
use subscribe::Subscription;

/// The streams of one state directory.
#[derive(Clone)]
pub struct Kinesis {
    operations: Arc<Operations>,
}

impl Kinesis {
    /// Opens the streams kept in `dir`. What a dead process wrote only half of is dropped, and said so in the events of `config`.
    pub fn open(dir: &Path, config: &CloudConfig) -> Result<Self, CloudError> {
        Ok(Self { operations: Arc::new(Operations::open(dir, config)?) })
    }

    /// Answers one request; `target` is its `X-Amz-Target`, and `wire` the form of its body and of the answer. SubscribeToShard
    /// is answered with a body that goes on.
    pub async fn handle(&self, target: &str, body: Bytes, wire: Wire) -> Response<Body> {
        let operation = target.split_once('.').map_or("", |(_, operation)| operation).to_owned();
        let operations = Arc::clone(&self.operations);
        let answer = move || {
            if operation == "SubscribeToShard" {
                return operations.subscribe(wire, &body).map(|begun| Answered::Subscription(Box::new(begun)));
            }
            operations.answer(&operation, wire, &body).map(Answered::Whole)
        };
        match tokio::task::spawn_blocking(answer).await {
            Ok(Ok(Answered::Whole(body))) => response(StatusCode::OK, wire.content_type(), Body::from(body)),
            Ok(Ok(Answered::Subscription(subscription))) => {
                response(StatusCode::OK, EVENT_STREAM_TYPE, event_stream::body_of(*subscription, wire))
            }
            Ok(Err(error)) => refusal(&error, wire),
            Err(panicked) => refusal(&KinesisError::internal("answer a request", &panicked), wire),
        }
    }

    /// The answer when something of the service's own went wrong.
    pub(crate) fn failure(wire: Wire) -> Response<Body> {
        refusal(&KinesisError::planned(), wire)
    }

    /// The answer to a request that is refused before it comes to an operation.
    pub(crate) fn refused(code: &'static str, message: &str, wire: Wire) -> Response<Body> {
        refusal(&KinesisError::new(code, message), wire)
    }

    /// Removes what is too old every minute of the clock, until `end`; then ends all subscriptions.
    pub async fn run_upkeep(self, end: CancellationToken) {
        loop {
            tokio::select! {
                () = end.cancelled() => break,
                () = self.operations.sweep_due() => {}
            }
            let operations = Arc::clone(&self.operations);
            if let Err(error) = tokio::task::spawn_blocking(move || operations.upkeep()).await {
                tracing::error!(%error, "a round of upkeep did not finish");
            }
        }
        self.close();
    }

    /// Ends all subscriptions, those that are still to come too.
    pub fn close(&self) {
        self.operations.subscriptions.close();
    }
}

impl Flush for Kinesis {
    fn flush(&self) -> std::io::Result<()> {
        self.operations.flush()
    }
}

enum Answered {
    Whole(Vec<u8>),
    Subscription(Box<Subscription>),
}

fn refusal(error: &KinesisError, wire: Wire) -> Response<Body> {
    response(error.status(), wire.content_type(), Body::from(wire.write(&error.to_json())))
}

fn response(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

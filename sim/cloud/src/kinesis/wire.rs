//! What crosses the wire: request members, answer members, error names.
//!
//! A member we do not know is refused: AWS would act on it, we would not.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A request that cannot be served, by AWS's name.
#[derive(Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub(super) struct KinesisError {
    code: &'static str,
    message: String,
}

impl KinesisError {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
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

    pub(super) fn in_use(message: impl Into<String>) -> Self {
        Self::new("ResourceInUseException", message)
    }

    pub(super) fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new("LimitExceededException", message)
    }

    pub(super) fn expired_iterator(message: impl Into<String>) -> Self {
        Self::new("ExpiredIteratorException", message)
    }

    pub(super) fn unknown_operation(operation: &str) -> Self {
        Self::new("UnknownOperationException", format!("Kinesis operation `{operation}` is not implemented"))
    }

    pub(super) fn serialization(error: &serde_json::Error) -> Self {
        // serde's message may quote the input, so only the place is told, except for member names.
        let message = error.to_string();
        let is_about_a_member = message.starts_with("unknown field") || message.starts_with("missing field");
        let message = if is_about_a_member {
            message
        } else {
            format!("malformed JSON or wrong type at line {} column {}", error.line(), error.column())
        };
        let code = if is_about_a_member { "ValidationException" } else { "SerializationException" };
        Self::new(code, message)
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

/// A request that names a stream by `StreamName` or `StreamARN`.
pub(super) trait NamesStream {
    fn name_and_arn(&self) -> (Option<&str>, Option<&str>);
}

/// Declares a request with its own members and the two that name a stream. A macro, because serde cannot both flatten a
/// shared struct and refuse unknown members.
macro_rules! stream_request {
    ($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $member:ident: $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields)]
        pub(super) struct $name {
            stream_name: Option<String>,
            #[serde(rename = "StreamARN")]
            stream_arn: Option<String>,
            $($(#[$attribute])* pub(super) $member: $kind,)*
        }

        impl NamesStream for $name {
            fn name_and_arn(&self) -> (Option<&str>, Option<&str>) {
                (self.stream_name.as_deref(), self.stream_arn.as_deref())
            }
        }
    };
}

stream_request! {
    /// DescribeStreamSummary.
    DescribeStreamSummary {}
}

stream_request! {
    /// DescribeStream.
    DescribeStream { limit: Option<i64>, exclusive_start_shard_id: Option<String> }
}

stream_request! {
    /// DeleteStream. There are no consumers, so `EnforceConsumerDeletion` changes nothing.
    DeleteStream { #[serde(rename = "EnforceConsumerDeletion")] _enforce_consumer_deletion: Option<bool> }
}

stream_request! {
    /// ListShards.
    ListShards {
        next_token: Option<String>,
        exclusive_start_shard_id: Option<String>,
        max_results: Option<i64>,
        stream_creation_timestamp: Option<f64>,
        shard_filter: Option<ShardFilter>,
    }
}

stream_request! {
    /// PutRecord. Sequence numbers of a shard always grow, so `SequenceNumberForOrdering` holds by itself.
    PutRecord {
        data: String,
        partition_key: String,
        explicit_hash_key: Option<String>,
        #[serde(rename = "SequenceNumberForOrdering")] _sequence_number_for_ordering: Option<String>,
    }
}

stream_request! {
    /// PutRecords.
    PutRecords { records: Vec<PutRecordsEntry> }
}

stream_request! {
    /// GetShardIterator.
    GetShardIterator {
        shard_id: String,
        shard_iterator_type: String,
        starting_sequence_number: Option<String>,
        timestamp: Option<f64>,
    }
}

/// CreateStream.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct CreateStream {
    pub(super) stream_name: String,
    pub(super) shard_count: Option<i64>,
    pub(super) stream_mode_details: Option<StreamModeDetails>,
}

/// `PROVISIONED` or `ON_DEMAND`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct StreamModeDetails {
    pub(super) stream_mode: String,
}

/// ListStreams.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ListStreams {
    pub(super) limit: Option<i64>,
    pub(super) exclusive_start_stream_name: Option<String>,
    pub(super) next_token: Option<String>,
}

/// Filter of ListShards.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct ShardFilter {
    #[serde(rename = "Type")]
    pub(super) kind: String,
    pub(super) shard_id: Option<String>,
    /// Shards never close here, so every moment has the same shards.
    #[serde(rename = "Timestamp")]
    pub(super) _timestamp: Option<f64>,
}

/// One record of a PutRecords.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct PutRecordsEntry {
    pub(super) data: String,
    pub(super) partition_key: String,
    pub(super) explicit_hash_key: Option<String>,
}

/// GetRecords.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub(super) struct GetRecords {
    pub(super) shard_iterator: String,
    pub(super) limit: Option<i64>,
    /// Names the stream a second time; the iterator is what counts.
    #[serde(rename = "StreamARN")]
    pub(super) _stream_arn: Option<String>,
}

/// Answer of GetRecords.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetRecordsAnswer {
    pub(super) records: Vec<RecordAnswer>,
    pub(super) next_shard_iterator: String,
    pub(super) millis_behind_latest: u64,
}

/// One record of a GetRecords answer.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RecordAnswer {
    pub(super) sequence_number: String,
    pub(super) approximate_arrival_timestamp: f64,
    pub(super) data: String,
    pub(super) partition_key: String,
    pub(super) encryption_type: &'static str,
}

//! Stream records as GetRecords answers them.
//!
//! Keys and images are handed on as they were stored, without being read. Knows no stream's bounds.

use serde::Serialize;
use serde_json::value::RawValue;

use super::answer::Failure;
use super::arns::REGION;
use super::changes::Stream;
use super::iterator::{event_id, sequence_number};
use super::pages::Change;

/// An answer of GetRecords. No `Debug`: it holds item values.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Records {
    pub(super) records: Vec<Record>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_shard_iterator: Option<String>,
}

/// One change, as a consumer reads it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    #[serde(rename = "eventID")]
    event_id: String,
    event_name: String,
    event_version: &'static str,
    event_source: &'static str,
    aws_region: &'static str,
    dynamodb: StreamRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_identity: Option<Box<RawValue>>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamRecord {
    approximate_creation_date_time: i64,
    keys: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_image: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_image: Option<Box<RawValue>>,
    sequence_number: String,
    size_bytes: usize,
    stream_view_type: String,
}

/// A change of `stream`, whose ARN is `arn`.
pub(super) fn record(change: Change, stream: &Stream, arn: &str) -> Result<Record, Failure> {
    let raw = |json: String| RawValue::from_string(json).map_err(|_| Failure::internal("a stored image is not JSON"));
    let size_bytes = change.size;
    Ok(Record {
        event_id: event_id(arn, change.id),
        event_name: change.event_name,
        event_version: "1.1",
        event_source: "aws:dynamodb",
        aws_region: REGION,
        dynamodb: StreamRecord {
            approximate_creation_date_time: change.created_at,
            keys: raw(change.keys)?,
            new_image: change.new_image.map(raw).transpose()?,
            old_image: change.old_image.map(raw).transpose()?,
            sequence_number: sequence_number(change.id),
            size_bytes,
            stream_view_type: stream.view_type.clone(),
        },
        user_identity: change.user_identity.map(raw).transpose()?,
    })
}

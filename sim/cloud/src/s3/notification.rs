//! Bucket notifications: which changes a bucket wants to hear about, and the documents that are sent.
//!
//! [`rules`] reads and gives back configurations, [`document`] writes what is sent. Documents are recorded together with
//! the change (see [`super::store`]), so an event is lost only together with its object. Where they go is not known here:
//! all rules of all buckets have the same receivers ([`super::delivery`]).

mod document;
mod rules;

use lakebed_contract::Timestamp;
use serde_json::Value;

use super::index::ObjectRecord;

pub(super) use document::test_event;
pub(super) use rules::{Rule, configurations_of, rules_of};

/// Most events that wait for delivery; beyond it writes are answered `SlowDown`.
pub const OUTBOX_EVENTS_MAX: u64 = 1_000_000;

/// How an object came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Created {
    Put,
    Copy,
    CompleteMultipartUpload,
}

/// What happened to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventKind {
    Created(Created),
    /// A version is gone for good, by request.
    Removed,
    /// A delete marker hides the object, by request.
    MarkerCreated,
    /// A version is gone for good, by a lifecycle rule.
    Expired,
    /// A delete marker hides the object, by a lifecycle rule.
    ExpiredMarkerCreated,
    TagsPut,
    TagsDeleted,
}

impl EventKind {
    /// As in the document, without `s3:`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Created(Created::Put) => "ObjectCreated:Put",
            Self::Created(Created::Copy) => "ObjectCreated:Copy",
            Self::Created(Created::CompleteMultipartUpload) => "ObjectCreated:CompleteMultipartUpload",
            Self::Removed => "ObjectRemoved:Delete",
            Self::MarkerCreated => "ObjectRemoved:DeleteMarkerCreated",
            Self::Expired => "LifecycleExpiration:Delete",
            Self::ExpiredMarkerCreated => "LifecycleExpiration:DeleteMarkerCreated",
            Self::TagsPut => "ObjectTagging:Put",
            Self::TagsDeleted => "ObjectTagging:Delete",
        }
    }
}

/// The event document of a change, if a rule wants it. Rules do not overlap, so there is at most one. `record` is the
/// object as it is after the change, the new delete marker, or the version that was removed with the number of its
/// removal as its sequence.
pub(super) fn event_for(
    rules: &[Rule],
    kind: EventKind,
    bucket: &str,
    key: &str,
    record: &ObjectRecord,
    at: Timestamp,
) -> Option<Value> {
    let rule = rules.iter().find(|rule| rule.wants(kind, key))?;
    Some(document::of_event(rule.id(), kind, bucket, key, record, at))
}

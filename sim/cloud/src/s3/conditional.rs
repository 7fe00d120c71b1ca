//! Conditions of writes: `If-Match`, `If-None-Match`, and what happens to the key while a conditional write is under way.
//!
//! A condition is decided when the write is committed. If somebody removed the object since the write began, the write is
//! answered 409 `ConditionalRequestConflict`, as in AWS: whether the condition holds depends on who of the two was first.
//! Only the writes under way are remembered.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use http::HeaderMap;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use s3s::dto::ETagCondition;
use s3s::{S3Error, S3Result, s3_error};

use super::index::ObjectRecord;

/// `If-Match` and `If-None-Match` of a write or a delete.
#[derive(Default)]
pub(super) struct WriteCondition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    /// Whether the object was removed since the write began.
    pub(super) was_removed: Option<Arc<AtomicBool>>,
}

impl WriteCondition {
    pub(super) fn new(if_match: Option<ETagCondition>, if_none_match: Option<ETagCondition>) -> Self {
        Self { if_match, if_none_match, was_removed: None }
    }

    /// The condition of these headers, for operations whose input `s3s` leaves it out of.
    pub(super) fn of_headers(headers: &HeaderMap) -> S3Result<Self> {
        let condition = |name| {
            let value = headers.get(&name).map(|value| ETagCondition::parse_http_header(value.as_bytes()));
            value.transpose().map_err(|error| s3_error!(error, InvalidArgument, "a condition is no ETag"))
        };
        Ok(Self::new(condition(IF_MATCH)?, condition(IF_NONE_MATCH)?))
    }

    /// Decides; `current` is the object as a GET would find it.
    pub(super) fn check(&self, current: Option<&ObjectRecord>) -> S3Result<()> {
        if self.was_removed.as_ref().is_some_and(|was_removed| was_removed.load(Ordering::Acquire)) {
            return Err(s3_error!(
                ConditionalRequestConflict,
                "The conditional request cannot succeed due to a conflicting operation against this resource."
            ));
        }
        match (&self.if_none_match, current) {
            (Some(ETagCondition::ETag(_)), _) => {
                return Err(s3_error!(NotImplemented, "If-None-Match of a write must be `*`"));
            }
            (Some(ETagCondition::Any), Some(_)) => return Err(precondition_failed()),
            (Some(ETagCondition::Any) | None, _) => (),
        }
        match (&self.if_match, current) {
            (None, _) | (Some(ETagCondition::Any), Some(_)) => Ok(()),
            (Some(_), None) => Err(s3_error!(NoSuchKey)),
            (Some(ETagCondition::ETag(expected)), Some(current)) if expected.value() == current.etag => Ok(()),
            (Some(ETagCondition::ETag(_)), Some(_)) => Err(precondition_failed()),
        }
    }

    fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }
}

pub(super) fn precondition_failed() -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
}

/// The conditional writes that are under way, by bucket and key.
#[derive(Default)]
pub(super) struct Watches(Mutex<BTreeMap<(String, String), Watching>>);

/// Those who wait to hear whether a key was deleted.
type Watching = Vec<Weak<AtomicBool>>;

impl Watches {
    /// `condition`, which from now on notices when the object is removed.
    pub(super) fn watch(&self, bucket: &str, key: &str, condition: WriteCondition) -> WriteCondition {
        if condition.is_empty() {
            return condition;
        }
        let was_removed = Arc::new(AtomicBool::new(false));
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended leave nothing but a dead reference, which goes when the next one begins.
        watches.retain(|_, flags| {
            flags.retain(|flag| flag.strong_count() > 0);
            !flags.is_empty()
        });
        watches.entry((bucket.to_owned(), key.to_owned())).or_default().push(Arc::downgrade(&was_removed));
        drop(watches);
        WriteCondition { was_removed: Some(was_removed), ..condition }
    }

    /// The object was removed.
    pub(super) fn removed(&self, bucket: &str, key: &str) {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if watches.is_empty() {
            return;
        }
        let flags = watches.remove(&(bucket.to_owned(), key.to_owned())).unwrap_or_default();
        flags.iter().filter_map(Weak::upgrade).for_each(|flag| flag.store(true, Ordering::Release));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removal_of_the_key_is_noticed_by_the_writes_under_way() {
        let watches = Watches::default();
        let new = || WriteCondition { if_none_match: Some(ETagCondition::Any), ..WriteCondition::default() };
        let (watched, other) = (watches.watch("b", "k", new()), watches.watch("b", "other", new()));
        assert!(watched.check(None).is_ok());
        watches.removed("b", "k");
        let refusal = watched.check(None).expect_err("the object was removed meanwhile");
        assert_eq!(refusal.code().as_str(), "ConditionalRequestConflict");
        assert!(other.check(None).is_ok());
        assert!(watches.watch("b", "k", new()).check(None).is_ok(), "it began after the removal");
        drop((watched, other));
        drop(watches.watch("b", "k", new()));
        assert_eq!(watches.0.lock().expect("no panic").len(), 1, "those that ended are forgotten");
        assert!(watches.watch("b", "k", WriteCondition::default()).was_removed.is_none());
    }
}

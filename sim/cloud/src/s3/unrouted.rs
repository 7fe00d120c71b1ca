//! Sub-resources `s3s` has no route for.
//!
//! It would take such a request for one on the bucket or object itself: `DELETE /bucket/key?annotation` would delete the
//! object, `PUT /bucket/key?renameObject` overwrite it. So they are refused before it sees them.

use http::Uri;
use s3s::{S3Result, s3_error};

const UNROUTED: [&str; 7] = [
    "abac",
    "annotation",
    "metadataAnnotationTable",
    "metadataConfiguration",
    "metadataInventoryTable",
    "metadataJournalTable",
    "renameObject",
];

/// Routed for buckets only.
const UNROUTED_OF_OBJECTS: &str = "encryption";

/// Whether a path names an object of a bucket.
pub(super) fn names_object(uri: &Uri) -> bool {
    uri.path().trim_start_matches('/').split_once('/').is_some_and(|(_, key)| !key.is_empty())
}

/// `NotImplemented` when the request is for one of them.
pub(super) fn check(uri: &Uri) -> S3Result<()> {
    let is_object = names_object(uri);
    for parameter in uri.query().unwrap_or_default().split('&') {
        let name = parameter.split_once('=').map_or(parameter, |(name, _)| name);
        if UNROUTED.contains(&name) || (is_object && name == UNROUTED_OF_OBJECTS) {
            return Err(s3_error!(NotImplemented, "the sub-resource {name} is not implemented"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_hit_the_object_itself_is_refused() {
        let is_refused = |uri: &str| check(&uri.parse().unwrap()).is_err();
        for uri in ["/b/k?annotation&name=n", "/b/k?renameObject", "/b?abac=", "/b/k?encryption", "/b?x=1&abac"] {
            assert!(is_refused(uri), "{uri}");
        }
        for uri in ["/b/k", "/b?encryption", "/b/?encryption", "/b/abac?tagging", "/b?prefix=abac", "/"] {
            assert!(!is_refused(uri), "{uri}");
        }
    }
}

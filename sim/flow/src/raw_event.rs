//! The S3 notification document of a raw object that was found by listing rather than told by the store.
//!
//! Promises: the shape and the key encoding of S3's own document, so that the controller cannot tell the difference; only
//! the sequencer is empty, because a listing does not know it.

use aws_sdk_s3::types::Object;
use lakebed_contract::Timestamp;
use lakebed_contract::layout::STAGE_BUCKET;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// What an S3 event leaves unencoded in a key. `/` is among it; `=` is not.
const KEY_KEPT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*').remove(b'/').remove(b' ');

/// The document for a listed object; `found_by` names who listed it.
pub(crate) fn of_listed(object: &Object, found_by: &str, region: &str, now: Timestamp) -> Value {
    document(
        object.key().unwrap_or_default(),
        object.e_tag().unwrap_or_default(),
        object.size().unwrap_or_default(),
        modified(object).unwrap_or(now),
        found_by,
        region,
    )
}

/// When the store says the object was written.
pub(crate) fn modified(object: &Object) -> Option<Timestamp> {
    object.last_modified().and_then(|at| i64::try_from(at.as_nanos() / 1_000).ok()).map(Timestamp)
}

fn document(key: &str, etag: &str, size: i64, at: Timestamp, found_by: &str, region: &str) -> Value {
    let encoded = utf8_percent_encode(key, KEY_KEPT).to_string().replace(' ', "+");
    let time = at.to_datetime().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    json!({"Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": time,
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": found_by},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "", "x-amz-id-2": ""},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": found_by,
            "bucket": {
                "name": STAGE_BUCKET,
                "ownerIdentity": {"principalId": "lakebed"},
                "arn": format!("arn:aws:s3:::{STAGE_BUCKET}"),
            },
            "object": {"key": encoded, "size": size, "eTag": etag.trim_matches('"'), "sequencer": ""},
        },
    }]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_have_the_shape_of_s3_and_encoded_keys() {
        let at = Timestamp::from_seconds(0);
        let event = document("raw/review/generation=1/a b+c.csv.gz", "\"e\"", 5, at, "sweeper", "us-east-1");
        let parsed: aws_lambda_events::event::s3::S3Event = serde_json::from_value(event.clone()).expect("an S3 event");
        let object = &parsed.records[0].s3.object;
        assert_eq!(object.key.as_deref(), Some("raw/review/generation%3D1/a+b%2Bc.csv.gz"));
        assert_eq!((object.e_tag.as_deref(), object.size), (Some("e"), Some(5)));
        assert_eq!(event["Records"][0]["eventTime"], "1970-01-01T00:00:00.000Z");
    }
}

//! The documents that are sent: one record of AWS's event message structure, and the test event.
//!
//! Creations and removals have version 2.1 of the structure, expiries and tags 2.3: the versions AWS documents for these
//! families. Since 2.4 AWS counts one version for all, with fields this store has nothing for; the older ones are told
//! whole. As in AWS, a removal has no size, only a delete marker's says an ETag (that of nothing), and a change of tags
//! has no sequencer. A change by a request names the request ([`super::super::request_id`]); an expiry has none, and AWS
//! itself as its author.

use lakebed_contract::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::EventKind;
use crate::s3::buckets::REGION;
use crate::s3::index::{NULL_VERSION, ObjectRecord};
use crate::s3::request_id;

/// What `application/x-www-form-urlencoded` leaves alone; S3 also leaves `/`. The space is handled apart.
const LEFT_ALONE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/').remove(b' ');
/// The MD5 of no bytes.
const ETAG_OF_NOTHING: &str = "d41d8cd98f00b204e9800998ecf8427e";
/// Who removes what expires, and from where.
const LIFECYCLE: &str = "s3.amazonaws.com";

/// The document of one event.
pub(super) fn of_event(
    rule: &str,
    kind: EventKind,
    bucket: &str,
    key: &str,
    record: &ObjectRecord,
    at: Timestamp,
) -> Value {
    let is_expiry = matches!(kind, EventKind::Expired | EventKind::ExpiredMarkerCreated);
    let version = match kind {
        EventKind::Created(_) | EventKind::Removed | EventKind::MarkerCreated => "2.1",
        EventKind::Expired | EventKind::ExpiredMarkerCreated | EventKind::TagsPut | EventKind::TagsDeleted => "2.3",
    };
    let (principal, address) = if is_expiry { (LIFECYCLE, LIFECYCLE) } else { ("lakebed", "127.0.0.1") };
    let (request, host) = request_ids(record.sequence);
    json!({ "Records": [{
        "eventVersion": version,
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": event_time(at),
        "eventName": kind.name(),
        "userIdentity": { "principalId": principal },
        "requestParameters": { "sourceIPAddress": address },
        "responseElements": { "x-amz-request-id": request, "x-amz-id-2": host },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": rule,
            "bucket": {
                "name": bucket,
                "ownerIdentity": { "principalId": "lakebed" },
                "arn": format!("arn:aws:s3:::{bucket}"),
            },
            "object": object(kind, key, record),
        },
    }]})
}

/// What the record says about the object; which members there are depends on the event.
fn object(kind: EventKind, key: &str, record: &ObjectRecord) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("key".to_owned(), form_encoded(key).into());
    let etag = match kind {
        EventKind::Created(_) => {
            object.insert("size".to_owned(), record.size.into());
            Some(record.etag.as_str())
        }
        EventKind::TagsPut | EventKind::TagsDeleted => Some(record.etag.as_str()),
        EventKind::MarkerCreated | EventKind::ExpiredMarkerCreated => Some(ETAG_OF_NOTHING),
        EventKind::Removed | EventKind::Expired => None,
    };
    if let Some(etag) = etag {
        object.insert("eTag".to_owned(), etag.into());
    }
    // That of an object that was written while versioning was not on is not told.
    if let Some(version) = record.version_id.as_deref().filter(|version| *version != NULL_VERSION) {
        object.insert("versionId".to_owned(), version.into());
    }
    if !matches!(kind, EventKind::TagsPut | EventKind::TagsDeleted) {
        object.insert("sequencer".to_owned(), sequencer(record.sequence).into());
    }
    object
}

/// The document AWS sends when a configuration is set; it has no `Records`.
pub(in crate::s3) fn test_event(bucket: &str, at: Timestamp) -> Value {
    let (request, host) = request_ids(at.0);
    json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": event_time(at),
        "Bucket": bucket,
        "RequestId": request,
        "HostId": host,
    })
}

/// The ids of the request that is being answered; where there is none, ids that follow from `number`.
fn request_ids(number: i64) -> (String, String) {
    let request = request_id::current().unwrap_or_else(|| format!("{number:016X}"));
    let host = request_id::host_id(&request);
    (request, host)
}

/// Hexadecimal of one width, so that plain string order is the order of changes.
fn sequencer(sequence: i64) -> String {
    format!("{sequence:016X}")
}

fn event_time(at: Timestamp) -> String {
    at.to_datetime().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn form_encoded(key: &str) -> String {
    utf8_percent_encode(key, LEFT_ALONE).to_string().replace(' ', "+")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::notification::Created;

    fn record(version_id: Option<&str>) -> ObjectRecord {
        let record = json!({
            "file": "f", "size": 5, "etag": "00ff", "last_modified": 1, "sequence": 171, "checksums": {},
            "headers": { "metadata": {} },
        });
        let mut record: ObjectRecord = serde_json::from_value(record).expect("a record");
        record.version_id = version_id.map(str::to_owned);
        record
    }

    fn told(kind: EventKind, version_id: Option<&str>) -> Value {
        of_event("r", kind, "b", "k", &record(version_id), Timestamp::from_seconds(1))["Records"][0].clone()
    }

    #[test]
    fn keys_are_form_encoded_but_keep_their_slashes() {
        assert_eq!(form_encoded("raw/t=a/b c+d.gz"), "raw/t%3Da/b+c%2Bd.gz");
        assert_eq!(form_encoded("é~"), "%C3%A9%7E");
    }

    #[test]
    fn each_kind_tells_what_aws_tells() {
        let nothing = ETAG_OF_NOTHING;
        for (kind, name, version, object) in [
            (
                EventKind::Created(Created::Copy),
                "ObjectCreated:Copy",
                "2.1",
                json!({"key": "k", "size": 5, "eTag": "00ff", "versionId": "v", "sequencer": "00000000000000AB"}),
            ),
            (
                EventKind::Removed,
                "ObjectRemoved:Delete",
                "2.1",
                json!({"key": "k", "versionId": "v", "sequencer": "00000000000000AB"}),
            ),
            (
                EventKind::MarkerCreated,
                "ObjectRemoved:DeleteMarkerCreated",
                "2.1",
                json!({"key": "k", "eTag": nothing, "versionId": "v", "sequencer": "00000000000000AB"}),
            ),
            (
                EventKind::Expired,
                "LifecycleExpiration:Delete",
                "2.3",
                json!({"key": "k", "versionId": "v", "sequencer": "00000000000000AB"}),
            ),
            (
                EventKind::ExpiredMarkerCreated,
                "LifecycleExpiration:DeleteMarkerCreated",
                "2.3",
                json!({"key": "k", "eTag": nothing, "versionId": "v", "sequencer": "00000000000000AB"}),
            ),
            (EventKind::TagsPut, "ObjectTagging:Put", "2.3", json!({"key": "k", "eTag": "00ff", "versionId": "v"})),
            (
                EventKind::TagsDeleted,
                "ObjectTagging:Delete",
                "2.3",
                json!({"key": "k", "eTag": "00ff", "versionId": "v"}),
            ),
        ] {
            let told = told(kind, Some("v"));
            assert_eq!((&told["eventName"], &told["eventVersion"]), (&json!(name), &json!(version)));
            assert_eq!(told["s3"]["object"], object, "{name}");
            assert_eq!(told["eventTime"], "1970-01-01T00:00:01.000Z");
        }
    }

    #[test]
    fn only_a_real_version_is_named_and_only_expiries_are_by_aws() {
        let put = EventKind::Created(Created::Put);
        for version in [None, Some("null")] {
            assert_eq!(told(put, version)["s3"]["object"].get("versionId"), None);
        }
        assert_eq!(told(put, None)["userIdentity"]["principalId"], "lakebed");
        assert_eq!(told(EventKind::Expired, None)["userIdentity"]["principalId"], "s3.amazonaws.com");
        // Nobody asked for it, so the ids follow from the sequence.
        assert_eq!(told(EventKind::Expired, None)["responseElements"]["x-amz-request-id"], "00000000000000AB");
    }
}

//! `dm-processing-controller`: S3 notification in, control records out.
//!
//! Events arrive at least once and in any order: one record per version of an object, told apart by ETag. Every object under
//! `raw/` gets a record, even one of a table nobody knows: it will end QUARANTINED with the reason, instead of lying there
//! unseen. What is not such an event is ignored with a line in the log.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lambda_events::s3::S3Entity;
use lakebed_contract::control::ControlRecord;
use lakebed_contract::handler::PROCESSING_CONTROLLER;
use lakebed_contract::{Handler, HandlerError, Invocation, layout};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::error::IngestError;
use crate::worker::Worker;

pub(super) struct ProcessingController {
    pub(super) worker: Arc<Worker>,
}

#[async_trait]
impl Handler for ProcessingController {
    async fn invoke(&self, _: &Invocation, payload: Value) -> Result<Value, HandlerError> {
        let now = self.worker.context.clock.now();
        let (mut received, mut duplicates, mut ignored) = (0u64, 0u64, 0u64);
        for notice in read_document(&payload, now.0)? {
            match notice {
                Ok(record) if self.worker.control.receive(&record).await? => {
                    received += 1;
                }
                Ok(_) => duplicates += 1,
                Err(why) => {
                    ignored += 1;
                    self.worker.context.events.log(format!("ignored an S3 notification: {why}"));
                }
            }
        }
        Ok(json!({"received": received, "duplicates": duplicates, "ignored": ignored}))
    }
}

/// What one event of a document says: a new object, or why it is none of ours.
type Notice = Result<Box<ControlRecord>, String>;

fn read_document(document: &Value, now: i64) -> Result<Vec<Notice>, IngestError> {
    let unreadable = |reason: &str| IngestError::Payload { handler: PROCESSING_CONTROLLER, reason: reason.to_owned() };
    let Some(document) = document.as_object() else { return Err(unreadable("expected an S3 notification")) };
    if document.get("Event").and_then(Value::as_str) == Some("s3:TestEvent") {
        return Ok(vec![Err("it is the test event of a new configuration".to_owned())]);
    }
    match document.get("Records") {
        None => Err(unreadable("expected `Records`")),
        Some(Value::Array(events)) if events.is_empty() => Ok(vec![Err("it has no records".to_owned())]),
        Some(Value::Array(events)) => Ok(events.iter().map(|event| read_event(event, now)).collect()),
        Some(_) => Err(unreadable("expected `Records` to be a list")),
    }
}

fn read_event(event: &Value, now: i64) -> Notice {
    let member = |name: &str| event.get(name).and_then(Value::as_str).unwrap_or_default();
    // Minor versions add members; a major one may change their meaning.
    let version = member("eventVersion");
    if !version.is_empty() && version.split('.').next() != Some("2") {
        return Err("its event version is not 2.x".to_owned());
    }
    if !member("eventName").starts_with("ObjectCreated:") {
        return Err("it does not tell of a created object".to_owned());
    }
    let entity: S3Entity = event
        .get("s3")
        .and_then(|entity| serde_json::from_value(entity.clone()).ok())
        .ok_or_else(|| "it has no readable `s3` member".to_owned())?;
    let (Some(bucket), Some(key), Some(etag)) = (entity.bucket.name, entity.object.key, entity.object.e_tag) else {
        return Err("it does not name bucket, key and ETag".to_owned());
    };
    let key = decode_key(&key).ok_or_else(|| "its key is not UTF-8".to_owned())?;
    if !key.starts_with(layout::RAW_PREFIX) {
        return Err(format!("its key is not under {}", layout::RAW_PREFIX));
    }
    let table = layout::table_of_raw_key(&key).unwrap_or_default();
    let sequencer = entity.object.sequencer.unwrap_or_default();
    let size = entity.object.size.unwrap_or_default();
    Ok(Box::new(ControlRecord::received(&bucket, &key, &etag, table, &sequencer, size, now)))
}

/// Keys are form-url-encoded: `+` is a space, and is replaced first, because `%2B` is a plus. Decoded once.
fn decode_key(key: &str) -> Option<String> {
    percent_decode_str(&key.replace('+', " ")).decode_utf8().ok().map(|key| key.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(key: &str) -> Value {
        json!({
            "eventVersion": "2.1", "eventSource": "aws:s3", "awsRegion": "us-east-1", "eventTime": "2026-11-23T08:00:00.000Z",
            "eventName": "ObjectCreated:Put",
            "s3": {"s3SchemaVersion": "1.0", "configurationId": "c", "bucket": {"name": "dm-stage", "arn": "arn"},
                "object": {"key": key, "size": 12, "eTag": "e1", "sequencer": "0A"}},
        })
    }

    fn notice(event: Value) -> Notice {
        read_document(&json!({"Records": [event]}), 5).expect("readable").remove(0)
    }

    #[test]
    fn keys_are_decoded_once_and_name_their_table() {
        for (encoded, key, table) in [
            ("raw/review/a.json.gz", "raw/review/a.json.gz", "review"),
            ("raw/review/generation%3D1/a+b.csv", "raw/review/generation=1/a b.csv", "review"),
            ("raw/review/a%2Bb%2520c.csv", "raw/review/a+b%20c.csv", "review"),
            ("raw/beer/K%C3%B6lsch.csv", "raw/beer/Kölsch.csv", "beer"),
            ("raw/wine/a.csv", "raw/wine/a.csv", "wine"),
            ("raw/lost.csv", "raw/lost.csv", ""),
        ] {
            let record = notice(event(encoded)).expect("a record");
            assert_eq!((record.key.as_str(), record.table.as_str()), (key, table));
            assert_eq!(record.pk, format!("dm-stage#{key}#e1"));
            assert_eq!((record.size_bytes, record.sequencer.as_str(), record.received_at), (12, "0A", 5));
        }
    }

    #[test]
    fn other_events_are_ignored_with_a_reason() {
        let ignored = |change: fn(&mut Value)| {
            let mut event = event("raw/review/a");
            change(&mut event);
            notice(event).expect_err("ignored")
        };
        assert!(notice(event("errors/review/a")).expect_err("ignored").contains("raw/"));
        assert!(notice(event("raw/review/%FF")).expect_err("ignored").contains("UTF-8"));
        assert!(ignored(|event| event["eventVersion"] = "3.0".into()).contains("version"));
        assert!(ignored(|event| event["eventName"] = "ObjectRemoved:Delete".into()).contains("created"));
        assert!(ignored(|event| event["s3"]["object"]["eTag"] = Value::Null).contains("ETag"));
        assert!(ignored(|event| event["s3"] = 1.into()).contains("`s3`"));
        let mut newer = event("raw/review/a");
        newer["eventVersion"] = "2.99".into();
        assert!(notice(newer).is_ok());
    }

    #[test]
    fn documents_without_events_do_not_crash() {
        let test = json!({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "dm-stage"});
        assert!(read_document(&test, 0).expect("readable")[0].is_err());
        assert!(read_document(&json!({"Records": []}), 0).expect("readable")[0].is_err());
        for broken in [json!([]), json!({}), json!({"Records": 1}), json!("x")] {
            assert!(read_document(&broken, 0).is_err(), "{broken}");
        }
    }
}

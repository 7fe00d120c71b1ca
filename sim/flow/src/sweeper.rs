//! The sweeper: finds raw objects that no event brought into the control table, and sends their events again.
//!
//! Promises: looks at every object under `raw/` once, page by page; an object with a control record of its version is left
//! alone, unless every event is to be repeated; the others go to `dm-processing-controller` with bounded retries, in the shape of
//! an S3 event (without sequencer).

use lakebed_contract::handler::PROCESSING_CONTROLLER;
use lakebed_contract::layout::{self, CONTROL_TABLE, RAW_PREFIX, STAGE_BUCKET};
use lakebed_contract::{Clock, Endpoints, EventSink, HandlerRegistry, Seed, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::types::Object;

use crate::error::FlowError;
use crate::lambda::{Lambda, LambdaSettings};
use crate::notifications::invoke_controller;

/// What an S3 event leaves unencoded in a key. `/` is among it; `=` is not.
const KEY_KEPT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*').remove(b'/').remove(b' ');

/// Objects of one listing page.
pub const SWEEP_PAGE_OBJECTS_MAX: i32 = 1_000;

/// What a sweep needs.
#[derive(Clone, Debug)]
pub struct SweepConfig {
    /// Where S3 and DynamoDB answer.
    pub endpoints: Endpoints,
    /// Where the controller is registered.
    pub registry: HandlerRegistry,
    /// Time.
    pub clock: Clock,
    /// Where found objects are told.
    pub events: EventSink,
}

/// What a sweep found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepReport {
    /// Objects under `raw/`.
    pub objects: u64,
    /// Of these, sent to the controller.
    pub sent: u64,
}

/// Sweeps `raw/` of the stage bucket once.
pub async fn sweep_raw(config: &SweepConfig) -> Result<SweepReport, FlowError> {
    let report = send_events(config, true).await?;
    if report.sent > 0 {
        config.events.log(format!("sweeper: {} of {} raw objects had no control record", report.sent, report.objects));
    }
    Ok(report)
}

/// Sends the event of every raw object again, as S3 may at any time: it delivers at least once.
pub async fn repeat_raw_events(config: &SweepConfig) -> Result<SweepReport, FlowError> {
    send_events(config, false).await
}

async fn send_events(config: &SweepConfig, only_unknown: bool) -> Result<SweepReport, FlowError> {
    let s3 = aws_sdk_s3::config::Builder::from(&config.endpoints.sdk_config(&config.endpoints.s3_url))
        .force_path_style(true)
        .build();
    let s3 = aws_sdk_s3::Client::from_conf(s3);
    let dynamodb = aws_sdk_dynamodb::Client::new(&config.endpoints.sdk_config(&config.endpoints.dynamodb_url));
    let settings = LambdaSettings::with_concurrency(1);
    let lambda = Lambda::new(config.registry.clone(), settings, config.clock.clone(), Seed(0).child("flow/sweeper"));
    let mut report = SweepReport::default();
    let mut token: Option<String> = None;
    loop {
        let page = s3
            .list_objects_v2()
            .bucket(STAGE_BUCKET)
            .prefix(RAW_PREFIX)
            .max_keys(SWEEP_PAGE_OBJECTS_MAX)
            .set_continuation_token(token.take())
            .send()
            .await
            .map_err(|error| FlowError::store("S3", "ListObjectsV2", STAGE_BUCKET, error))?;
        for object in page.contents() {
            report.objects += 1;
            if only_unknown && is_known(&dynamodb, object).await? {
                continue;
            }
            report.sent += 1;
            let event = event_of(object, &config.endpoints.region, config.clock.now());
            invoke_controller(&lambda, &config.clock, &event)
                .await
                .map_err(|source| FlowError::Handler { function: PROCESSING_CONTROLLER.to_owned(), source })?;
        }
        token = page.next_continuation_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    Ok(report)
}

async fn is_known(dynamodb: &aws_sdk_dynamodb::Client, object: &Object) -> Result<bool, FlowError> {
    let pk = layout::control_key(STAGE_BUCKET, object.key().unwrap_or_default(), object.e_tag().unwrap_or_default());
    let answer = dynamodb
        .get_item()
        .table_name(CONTROL_TABLE)
        .key("pk", AttributeValue::S(pk))
        .projection_expression("pk")
        .consistent_read(true)
        .send()
        .await
        .map_err(|error| FlowError::store("DynamoDB", "GetItem", CONTROL_TABLE, error))?;
    Ok(answer.item().is_some())
}

fn event_of(object: &Object, region: &str, now: Timestamp) -> Value {
    let modified = object.last_modified().and_then(|at| i64::try_from(at.as_nanos() / 1_000).ok());
    event(
        object.key().unwrap_or_default(),
        object.e_tag().unwrap_or_default(),
        object.size().unwrap_or_default(),
        modified.map_or(now, Timestamp),
        region,
    )
}

fn event(key: &str, etag: &str, size: i64, at: Timestamp, region: &str) -> Value {
    let encoded = utf8_percent_encode(key, KEY_KEPT).to_string().replace(' ', "+");
    let time = at.to_datetime().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    json!({"Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": time,
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "lakebed-sweeper"},
        "requestParameters": {"sourceIPAddress": "127.0.0.1"},
        "responseElements": {"x-amz-request-id": "", "x-amz-id-2": ""},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "lakebed-sweeper",
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
    fn events_have_the_shape_of_s3_and_encoded_keys() {
        let event = event("raw/review/generation=1/a b+c.csv.gz", "\"e\"", 5, Timestamp::from_seconds(0), "us-east-1");
        let parsed: aws_lambda_events::event::s3::S3Event = serde_json::from_value(event.clone()).expect("an S3 event");
        let object = &parsed.records[0].s3.object;
        assert_eq!(object.key.as_deref(), Some("raw/review/generation%3D1/a+b%2Bc.csv.gz"));
        assert_eq!((object.e_tag.as_deref(), object.size), (Some("e"), Some(5)));
        assert_eq!(event["Records"][0]["eventTime"], "1970-01-01T00:00:00.000Z");
    }
}

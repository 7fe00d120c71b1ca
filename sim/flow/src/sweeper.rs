//! The sweeper: finds raw objects that no event brought into the control table, and sends their events again.
//!
//! Promises: looks at every object under `raw/` once, page by page; an object with a control record of its version is left
//! alone, unless every event is to be repeated; the others go to `dm-processing-controller` with bounded retries, in the shape of
//! an S3 event (without sequencer).

use lakebed_contract::handler::PROCESSING_CONTROLLER;
use lakebed_contract::layout::{self, CONTROL_TABLE, RAW_PREFIX, STAGE_BUCKET};
use lakebed_contract::{Clock, Endpoints, EventSink, HandlerRegistry, Seed};
use serde::{Deserialize, Serialize};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::types::Object;

use crate::error::FlowError;
use crate::lambda::{Lambda, LambdaSettings};
use crate::notifications::invoke_controller;
use crate::raw_event;
use crate::s3_client::s3_client;

/// Objects of one listing page.
pub const SWEEP_PAGE_OBJECTS_MAX: i32 = 1_000;
/// Who found the object, in the event.
const FOUND_BY: &str = "lakebed-sweeper";

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
    let s3 = s3_client(&config.endpoints);
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
            let event = raw_event::of_listed(object, FOUND_BY, &config.endpoints.region, config.clock.now());
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

//! Everything from `raw/` to gold, running over any backend: notifications, Pipe, Step Functions with their executors.
//!
//! DMS and Firehose belong to a run that has a source; see `run`. Knows endpoints, never what answers there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::types::StreamStatus;
use aws_sdk_s3::types::{
    BucketLocationConstraint, CreateBucketConfiguration, Event, FilterRule, FilterRuleName,
    LambdaFunctionConfiguration, NotificationConfiguration, NotificationConfigurationFilter, S3KeyFilter,
};
use lakebed_contract::control::Status;
use lakebed_contract::endpoints::Endpoints;
use lakebed_contract::fault::ECS_WRITE_PARQUET;
use lakebed_contract::lake::LakeError;
use lakebed_contract::{Clock, EventSink, FaultKind, FaultPlan, HandlerRegistry, Lake, Seed, Stage, layout};
use lakebed_flow::{
    EcsConfig, ExecutionFailed, Gauge, NotificationHandle, Pipe, PipeConfig, PipeHandle, RawPollConfig, RawPollHandle,
    StepFunctions, StepFunctionsConfig, disturb, s3_client, start_notifications, start_raw_polling,
};
use lakebed_ingest::ControlTable;
use serde_json::Value;

use super::S3Events;
use crate::error::HarnessError;
use crate::lake_folder::LakeFiles;
use crate::run_dir::RunDir;
use crate::tally::timed;
use crate::wiring::{MaskSecret, PipelineParts, pipeline_registry, warehouse_context};
use crate::worker::WorkerOrder;

/// Lambda invocations at once.
pub const LAMBDA_CONCURRENCY_MAX: usize = 4;
/// Shards of the Kinesis stream.
pub const KINESIS_SHARDS: i32 = 1;
/// Looks at a new stream until it is active; AWS takes up to half a minute.
const STREAM_LOOKS_MAX: u32 = 300;
const STREAM_LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Name of the state machine that brings a raw object to bronze.
pub const INGESTION: &str = "dm-ingestion-dispatcher";
/// Name of the state machine that brings bronze to silver.
pub const PROCESSING: &str = "dm-processing-dispatcher";
/// Name of the state machine that brings silver to gold.
pub const ANALYTICS: &str = "dm-analytics-dispatcher";

/// Creates buckets and control table; harmless when they exist.
pub async fn create_resources(endpoints: &Endpoints, clock: &Clock) -> Result<(), HarnessError> {
    let s3 = s3_client(endpoints);
    for bucket in [layout::STAGE_BUCKET, layout::LAKE_BUCKET] {
        if s3.head_bucket().bucket(bucket).send().await.is_err() {
            // The oldest region is the one that must not be named.
            let place = (endpoints.region != "us-east-1").then(|| {
                let region = BucketLocationConstraint::from(endpoints.region.as_str());
                CreateBucketConfiguration::builder().location_constraint(region).build()
            });
            let create = s3.create_bucket().bucket(bucket).set_create_bucket_configuration(place);
            create.send().await.map_err(HarnessError::stage("create the buckets"))?;
        }
    }
    let control = ControlTable::new(endpoints, clock.clone());
    control.create().await.map_err(HarnessError::stage("create the control table"))
}

/// Asks the store for events of new raw objects; somebody must take them by now.
pub async fn request_s3_events(endpoints: &Endpoints) -> Result<(), HarnessError> {
    let prefix = FilterRule::builder().name(FilterRuleName::Prefix).value(layout::RAW_PREFIX).build();
    let lambda = LambdaFunctionConfiguration::builder()
        .id("raw-to-controller")
        .lambda_function_arn(format!(
            "arn:aws:lambda:{}:000000000000:function:{}",
            endpoints.region,
            lakebed_contract::handler::PROCESSING_CONTROLLER
        ))
        .events(Event::from("s3:ObjectCreated:*"))
        .filter(
            NotificationConfigurationFilter::builder().key(S3KeyFilter::builder().filter_rules(prefix).build()).build(),
        )
        .build()
        .map_err(HarnessError::stage("describe the bucket notification"))?;
    s3_client(endpoints)
        .put_bucket_notification_configuration()
        .bucket(layout::STAGE_BUCKET)
        .notification_configuration(NotificationConfiguration::builder().lambda_function_configurations(lambda).build())
        .send()
        .await
        .map_err(HarnessError::stage("configure the bucket notification"))?;
    Ok(())
}

/// Creates the Kinesis stream and waits until it takes records; harmless when it exists.
pub async fn create_stream(endpoints: &Endpoints, clock: &Clock) -> Result<(), HarnessError> {
    const WHAT: &str = "create the Kinesis stream";
    let kinesis = aws_sdk_kinesis::Client::new(&endpoints.sdk_config(&endpoints.kinesis_url));
    let created = kinesis.create_stream().stream_name(layout::KINESIS_STREAM).shard_count(KINESIS_SHARDS).send().await;
    match created {
        Ok(_) => {}
        Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => {}
        Err(error) => return Err(HarnessError::stage(WHAT)(error)),
    }
    for _ in 0..STREAM_LOOKS_MAX {
        let described = kinesis.describe_stream_summary().stream_name(layout::KINESIS_STREAM).send().await;
        let summary = described.map_err(HarnessError::stage(WHAT))?.stream_description_summary;
        if summary.is_some_and(|summary| *summary.stream_status() == StreamStatus::Active) {
            return Ok(());
        }
        clock.sleep(STREAM_LOOK_INTERVAL).await;
    }
    Err(HarnessError::stage(WHAT)(format!("not active after {STREAM_LOOKS_MAX} looks")))
}

/// Everything from `raw/` to gold, running.
pub struct Flow {
    /// What the handlers are made from.
    pub parts: PipelineParts,
    /// The handlers.
    pub registry: HandlerRegistry,
    /// Step Functions.
    pub machines: Arc<StepFunctions>,
    /// The control table.
    pub control: ControlTable,
    /// S3 events → controller.
    pub notifications: NotificationHandle,
    /// Looks for S3 events where the store does not send them.
    pub raw_poll: Option<RawPollHandle>,
    /// Control table stream → Step Functions.
    pub pipe: PipeHandle,
}

/// What a [`Flow`] is started with.
pub struct FlowConfig {
    /// The lake, and its files for workers.
    pub lake: Arc<Lake>,
    /// Files of the lake.
    pub lake_files: LakeFiles,
    /// Mask key.
    pub mask: MaskSecret,
    /// Time.
    pub clock: Clock,
    /// Chance.
    pub seed: Seed,
    /// Where events go.
    pub events: EventSink,
    /// The program that is started as ECS worker: this binary.
    pub worker_program: PathBuf,
    /// What goes wrong on purpose.
    pub faults: FaultPlan,
    /// Nobody can be at work in these stores: leases found there belong to processes that died.
    pub holds_no_lease: bool,
}

impl Flow {
    /// Creates what is missing in the stores and starts the data-moving services behind `raw/`.
    pub async fn start(
        endpoints: &Endpoints,
        s3_events: Option<S3Events>,
        run_dir: &RunDir,
        config: FlowConfig,
    ) -> Result<Self, HarnessError> {
        check_machines(&config.lake)?;
        let parts = PipelineParts {
            lake: Arc::clone(&config.lake),
            endpoints: endpoints.clone(),
            mask: config.mask,
            clock: config.clock.clone(),
            seed: config.seed,
            events: config.events.clone(),
            scratch: run_dir.scratch()?,
        };
        let registry = pipeline_registry(&parts);
        let s3_events = s3_events.ok_or_else(|| HarnessError::Input {
            message: "failed to start the flow: one already runs on these stores".to_owned(),
        })?;
        create_resources(&parts.endpoints, &parts.clock).await?;
        let context = warehouse_context(&parts);
        lakebed_warehouse::check_contracts(&context).await.map_err(HarnessError::contracts)?;
        let control = ControlTable::new(&parts.endpoints, config.clock.clone());
        if config.holds_no_lease {
            release_leases(&control).await?;
        }
        let (notifications, raw_poll) = take_s3_events(s3_events, &parts, &registry, &config.faults).await?;
        let machines = StepFunctions::new(StepFunctionsConfig {
            machines: parts.lake.state_machines.clone(),
            registry: registry.clone(),
            ecs: ecs_config(&parts, config.lake_files, config.worker_program, config.faults),
            lambda_concurrency_max: LAMBDA_CONCURRENCY_MAX,
            clock: config.clock.clone(),
            seed: config.seed,
            events: config.events.clone(),
        })
        .map_err(HarnessError::stage("read the state machines"))?;
        let pipe = Pipe::start(PipeConfig {
            table: layout::CONTROL_TABLE.to_owned(),
            machines: Arc::clone(&machines),
            machine: INGESTION.to_owned(),
            endpoints: parts.endpoints.clone(),
            clock: config.clock.clone(),
            events: config.events,
        });
        Ok(Self { parts, registry, machines, control, notifications, raw_poll, pipe })
    }

    /// How full the queues behind `raw/` are.
    pub fn gauges(&self) -> Vec<Gauge> {
        self.notifications.gauges().into_iter().chain(self.machines.gauges()).collect()
    }

    /// Runs the silver and then the gold state machine once, each to its end.
    pub async fn refresh(&self, round: &str) -> Result<(), HarnessError> {
        let lake = &self.parts.lake;
        let names =
            |models: &[lakebed_contract::lake::Model]| models.iter().map(|m| m.name.clone()).collect::<Vec<_>>();
        let tables: Vec<_> = lake.tables.iter().map(|table| table.name.clone()).collect();
        let processing = serde_json::json!({ "tables": tables, "models": names(&lake.silver) });
        let analytics = serde_json::json!({ "models": names(&lake.gold) });
        let (clock, events) = (&self.parts.clock, &self.parts.events);
        timed(
            Stage::Silver,
            round,
            clock,
            events,
            self.machines.run(PROCESSING, &format!("silver-{round}"), processing),
        )
        .await
        .map_err(|failed| refresh_failed("bring bronze to silver", failed))?;
        timed(Stage::Gold, round, clock, events, self.machines.run(ANALYTICS, &format!("gold-{round}"), analytics))
            .await
            .map_err(|failed| refresh_failed("bring silver to gold", failed))?;
        Ok(())
    }
}

/// Gives back what workers of an earlier process held; their leases would run for minutes.
async fn release_leases(control: &ControlTable) -> Result<(), HarnessError> {
    let released = || HarnessError::stage("release the leases of an earlier process");
    for record in control.list(None, Some(Status::Claimed)).await.map_err(released())? {
        control.release_abandoned(&record.pk).await.map_err(released())?;
    }
    Ok(())
}

/// A model whose own SQL was refused is the lake's fault; every other failure is a stage's.
fn refresh_failed(action: &'static str, failed: ExecutionFailed) -> HarnessError {
    let mut refused = Vec::new();
    match serde_json::from_str(&failed.cause) {
        Ok(cause) => refused_sql(&cause, &mut refused),
        Err(_) if is_about_sql(&failed.error) => refused.push(failed.cause.clone()),
        Err(_) => {}
    }
    if refused.is_empty() {
        return HarnessError::stage(action)(failed);
    }
    LakeError::ModelSql { reason: refused.join("; ") }.into()
}

/// What the warehouse said of SQL, wherever in a state machine's output it stands: a lake may arrange that otherwise.
fn refused_sql(output: &Value, refused: &mut Vec<String>) {
    match output {
        Value::Array(items) => items.iter().for_each(|item| refused_sql(item, refused)),
        Value::Object(fields) => match (fields.get("Error"), fields.get("Cause")) {
            (Some(Value::String(error)), Some(Value::String(cause))) if is_about_sql(error) => {
                refused.push(cause.clone())
            }
            _ => fields.values().for_each(|value| refused_sql(value, refused)),
        },
        _ => {}
    }
}

/// Error names of the warehouse that are about a model's text and not about what runs it.
fn is_about_sql(error: &str) -> bool {
    ["Warehouse.Sql", "Warehouse.BadRequest"].contains(&error)
}

/// The path starts three state machines by name; a lake may say what they do, not leave one out.
pub(crate) fn check_machines(lake: &Lake) -> Result<(), LakeError> {
    match [INGESTION, PROCESSING, ANALYTICS].iter().find(|name| !lake.state_machines.contains_key(**name)) {
        None => Ok(()),
        Some(name) => Err(LakeError::Invalid { reason: format!("`state_machines` does not name `{name}`") }),
    }
}

/// From here on every new raw object invokes the controller.
async fn take_s3_events(
    s3_events: S3Events,
    parts: &PipelineParts,
    registry: &HandlerRegistry,
    faults: &FaultPlan,
) -> Result<(NotificationHandle, Option<RawPollHandle>), HarnessError> {
    let (endpoints, clock, events) = (&parts.endpoints, &parts.clock, &parts.events);
    let deliver = |documents| {
        let disturbed = disturb(documents, faults.clone(), clock.clone());
        start_notifications(disturbed, registry.clone(), clock.clone(), events.clone())
    };
    match s3_events {
        S3Events::Sent(documents) => {
            // Listen first: the test event and every later one must find a consumer.
            let notifications = deliver(documents);
            request_s3_events(endpoints).await?;
            Ok((notifications, None))
        }
        S3Events::Polled => {
            let (endpoints, clock, events) = (endpoints.clone(), clock.clone(), events.clone());
            let (raw_poll, documents) = start_raw_polling(RawPollConfig { endpoints, clock, events });
            Ok((deliver(documents), Some(raw_poll)))
        }
    }
}

fn ecs_config(parts: &PipelineParts, lake: LakeFiles, program: PathBuf, faults: FaultPlan) -> EcsConfig {
    let endpoints = parts.endpoints.to_wire();
    let (mask, seed, scratch) = (parts.mask.clone(), parts.seed, parts.scratch.clone());
    EcsConfig {
        program,
        args: vec!["worker".to_owned()],
        stdin: Arc::new(move |task_definition: &str, input: &Value| {
            let order = WorkerOrder {
                handler: task_definition.to_owned(),
                input: input.clone(),
                endpoints: endpoints.clone(),
                lake: lake.clone(),
                mask_key_hex: mask.to_hex(),
                mask_key_version: mask.version,
                seed: seed.0,
                scratch: scratch.clone(),
                dies_writing_parquet: faults.strike(&ECS_WRITE_PARQUET) == Some(FaultKind::Kill),
            };
            serde_json::to_vec(&order).expect("an order is strings, numbers and JSON")
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_sql_is_the_lakes_fault_and_nothing_else_is() {
        let failed = |error: &str, cause: &str| {
            let (error, cause) = (error.to_owned(), cause.to_owned());
            refresh_failed(
                "bring silver to gold",
                ExecutionFailed { machine: "m".into(), name: "n".into(), error, cause },
            )
        };
        let of_models = |error: &str| {
            failed(
                "Analytics.ModelFailed",
                &format!(
                    r#"[{{"model":"a","status":"SUCCEEDED"}},{{"model":"b","error":{{"Error":"{error}","Cause":"no column x"}}}}]"#
                ),
            )
        };
        assert_eq!(of_models("Warehouse.Sql").to_string(), "failed to build models of the lake: no column x");
        assert!(matches!(failed("Warehouse.BadRequest", "cast it"), HarnessError::Lake(LakeError::ModelSql { .. })));
        for ours in [of_models("Warehouse.Storage"), failed("States.Timeout", "too long")] {
            assert!(matches!(ours, HarnessError::Stage { .. }), "{ours}");
        }
    }
}

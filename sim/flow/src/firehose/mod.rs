//! Firehose: from a Kinesis stream, through a function, into partitioned and compressed S3 objects.
//!
//! Promises: at least once; a record ends delivered, dropped or failed; buffers per partition with size, age and number
//! bounded; failures go to the error prefix with the documented line. Reads from `TRIM_HORIZON`, where AWS starts at
//! `LATEST`, so no record is missed when the delivery stream is made after the first put; positions live in memory, so a
//! restart delivers again what Kinesis still holds.
//! Does not do: KPL de-aggregation, format conversion, jq partitioning; a prefix that asks for the last is refused. Size and
//! interval may be smaller than AWS allows, because a laptop does not wait 15 minutes.

mod buffers;
mod delivery;
mod prefix;
mod shards;
mod transform;
mod worker;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use aws_sdk_kinesis::config::retry::RetryConfig;
use lakebed_contract::{Clock, Endpoints, EventSink, FaultPlan, HandlerRegistry, Seed};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};
use tokio_util::task::AbortOnDropHandle;

use crate::error::FlowError;
use crate::gauge::Gauge;
use crate::lambda::{Lambda, LambdaSettings};
use delivery::Naming;
use shards::Shards;
use worker::{Command, Levels, Worker};

pub use buffers::{ActivePartitionExceeded, BUFFERED_BYTES_MAX, BufferBounds, Buffers, ErrorType, Sealed, Target};
pub use delivery::PUT_ATTEMPTS_MAX;
pub use prefix::{PREFIX_CHARACTERS_MAX, Prefix, PrefixUse};
pub use shards::{PAGE_RECORDS_MAX, SHARD_LIST_INTERVAL, SHARDS_MAX};
pub use transform::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
pub(crate) use worker::chain;
pub use worker::{DRAIN_ATTEMPTS_MAX, IDLE_POLL, NO_TABLE, TABLE_KEY, TRANSFORM_RETRIES_MAX};

/// Transform invocations at once: batches go one after another, which keeps order within a partition.
const TRANSFORM_CONCURRENCY: usize = 1;
/// Requests of the handle that may wait.
const COMMANDS_WAITING_MAX: usize = 8;

/// What a delivery stream is made of.
#[derive(Clone, Debug)]
pub struct FirehoseConfig {
    /// Delivery stream name; begins the objects' names.
    pub name: String,
    /// Source stream.
    pub kinesis_stream: String,
    /// Name of the transform function.
    pub transform: String,
    /// Where it is registered.
    pub registry: HandlerRegistry,
    /// Target bucket.
    pub bucket: String,
    /// `Prefix`, see [`Prefix`].
    pub prefix: String,
    /// `ErrorOutputPrefix`.
    pub error_prefix: String,
    /// Bytes of one partition's buffer before compression.
    pub buffer_bytes: u64,
    /// Age of one partition's buffer.
    pub buffer_interval: Duration,
    /// Partitions open at once; AWS's default is 500.
    pub active_partitions_max: usize,
    /// Where Kinesis and S3 answer.
    pub endpoints: Endpoints,
    /// Time.
    pub clock: Clock,
    /// Chance: object names.
    pub seed: Seed,
    /// Where progress is told.
    pub events: EventSink,
    /// What goes wrong on purpose.
    pub faults: FaultPlan,
}

/// What a delivery stream has done since it was made. After a drain, `records_in` is the sum of the three maps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirehoseReport {
    /// Records read from Kinesis.
    pub records_in: u64,
    /// Records in data objects, by table.
    pub delivered: BTreeMap<String, u64>,
    /// Records the function dropped, by table where it named one, else [`NO_TABLE`].
    pub dropped: BTreeMap<String, u64>,
    /// Records under the error prefix, by table where known, else [`NO_TABLE`].
    pub failed: BTreeMap<String, u64>,
    /// Objects written, error objects included.
    pub objects: u64,
    /// Their bytes, compressed.
    pub bytes: u64,
}

/// Makes delivery streams.
#[derive(Debug)]
pub struct Firehose;

impl Firehose {
    /// Checks the configuration and begins to read. Must be called inside a Tokio runtime.
    pub fn start(config: FirehoseConfig) -> Result<FirehoseHandle, FlowError> {
        if config.buffer_bytes == 0 || config.active_partitions_max == 0 {
            let reason = "`buffer_bytes` and `active_partitions_max` must be at least 1".to_owned();
            return Err(FlowError::Config { name: config.name, reason });
        }
        let seed = config.seed.child("flow/firehose");
        let naming = Naming {
            stream: config.name.clone(),
            prefix: Prefix::parse(&config.prefix, PrefixUse::Data)?,
            error_prefix: Prefix::parse(&config.error_prefix, PrefixUse::Error)?,
            rng: seed.unique("object-names", &config.clock).rng(&config.name),
        };
        // Retries wait on our clock, so the SDK must not wait on its own.
        let kinesis =
            aws_sdk_kinesis::config::Builder::from(&config.endpoints.sdk_config(&config.endpoints.kinesis_url))
                .retry_config(RetryConfig::disabled())
                .build();
        let s3 = aws_sdk_s3::config::Builder::from(&config.endpoints.sdk_config(&config.endpoints.s3_url))
            .force_path_style(config.endpoints.s3_path_style)
            .retry_config(RetryConfig::disabled())
            .build();
        let kinesis = aws_sdk_kinesis::Client::from_conf(kinesis);
        let settings = LambdaSettings::with_concurrency(TRANSFORM_CONCURRENCY);
        let levels = Levels::default();
        let gauges = vec![
            Gauge::of("kinesis.iterator_age_ms", None, &levels.iterator_age_ms),
            Gauge::of("firehose.buffered_bytes", Some(BUFFERED_BYTES_MAX), &levels.buffered_bytes),
            Gauge::of(
                "firehose.active_partitions",
                Some(config.active_partitions_max as u64),
                &levels.active_partitions,
            ),
        ];
        let worker = Worker {
            origin: transform::Origin {
                delivery_stream: config.name.clone(),
                kinesis_stream: config.kinesis_stream.clone(),
                region: config.endpoints.region.clone(),
            },
            transform: config.transform,
            bucket: config.bucket,
            s3: aws_sdk_s3::Client::from_conf(s3),
            lambda: Lambda::new(config.registry, settings, config.clock.clone(), seed),
            shards: Shards::new(kinesis, &config.kinesis_stream, config.clock.clone()),
            buffers: Buffers::new(BufferBounds {
                bytes: config.buffer_bytes,
                interval: config.buffer_interval,
                active_partitions_max: config.active_partitions_max,
                total_bytes_max: BUFFERED_BYTES_MAX,
            }),
            naming,
            outbox: VecDeque::new(),
            report: FirehoseReport::default(),
            levels: levels.clone(),
            clock: config.clock,
            events: config.events,
            faults: config.faults,
        };
        let (commands, receiver) = mpsc::channel(COMMANDS_WAITING_MAX);
        let task = AbortOnDropHandle::new(tokio::spawn(worker.run(receiver)));
        Ok(FirehoseHandle { name: config.name, commands, gauges, _task: task })
    }
}

/// A running delivery stream. Dropping it stops the stream at once; what is in its buffers is read again at the next start.
#[derive(Debug)]
pub struct FirehoseHandle {
    name: String,
    commands: mpsc::Sender<Command>,
    gauges: Vec<Gauge>,
    _task: AbortOnDropHandle<()>,
}

impl FirehoseHandle {
    /// How full its buffers are and how far it is behind.
    pub fn gauges(&self) -> Vec<Gauge> {
        self.gauges.clone()
    }

    /// Waits until everything that is in Kinesis now is in S3. The report counts from the start of the stream.
    pub async fn drain(&self) -> Result<FirehoseReport, FlowError> {
        self.ask(Command::Drain).await
    }

    /// Delivers what has been read, and ends.
    pub async fn stop(self) -> Result<FirehoseReport, FlowError> {
        self.ask(Command::Stop).await
    }

    async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<FirehoseReport, FlowError>>) -> Command,
    ) -> Result<FirehoseReport, FlowError> {
        let stopped = || FlowError::Stopped { name: self.name.clone() };
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }
}

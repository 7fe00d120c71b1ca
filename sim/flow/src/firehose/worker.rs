//! The task behind a delivery stream: reads, transforms, buffers, delivers, and answers its handle.
//!
//! Promises: a page moves on only when all its records lie in buffers; while an object cannot be delivered nothing more is
//! read, so memory stays bounded; a record ends delivered, dropped or failed, and is counted once as such.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lakebed_contract::fault::FIREHOSE_PUT_OBJECT;
use lakebed_contract::seed::uuid_from;
use lakebed_contract::{Clock, EventSink, FaultKind, FaultPlan, HandlerError, Stage};
use serde_json::json;
use tokio::sync::{mpsc, oneshot};

use super::FirehoseReport;
use super::buffers::{Buffers, ErrorType, Sealed, Target};
use super::delivery::{Naming, Object, put};
use super::prefix::PREFIX_CHARACTERS_MAX;
use super::shards::Shards;
use super::transform::{self, Origin, SourceRecord, Transformed};
use crate::backoff::Backoff;
use crate::error::FlowError;
use crate::gauge::Level;
use crate::lambda::Lambda;

/// Wait after a round in which no shard had anything.
pub const IDLE_POLL: Duration = Duration::from_millis(50);
/// Further attempts to invoke the function for one batch.
pub const TRANSFORM_RETRIES_MAX: u32 = 3;
/// Attempts of a drain, without any progress, before it reports the error.
pub const DRAIN_ATTEMPTS_MAX: u32 = 5;
/// Partition key whose value the report and the events call the table.
pub const TABLE_KEY: &str = "table_name";
/// Stands for the table of a record that has none: dropped or failed before anybody named it.
pub const NO_TABLE: &str = "-";

const WAIT_START: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);

/// What the handle asks for.
pub(crate) enum Command {
    Drain(oneshot::Sender<Result<FirehoseReport, FlowError>>),
    Stop(oneshot::Sender<Result<FirehoseReport, FlowError>>),
}

/// What the handle can read while the task works.
#[derive(Clone, Debug, Default)]
pub(crate) struct Levels {
    pub(crate) buffered_bytes: Level,
    pub(crate) active_partitions: Level,
    pub(crate) iterator_age_ms: Level,
}

pub(crate) struct Worker {
    pub(crate) origin: Origin,
    pub(crate) transform: String,
    pub(crate) bucket: String,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) lambda: Arc<Lambda>,
    pub(crate) shards: Shards,
    pub(crate) buffers: Buffers,
    pub(crate) naming: Naming,
    pub(crate) outbox: VecDeque<Object>,
    pub(crate) report: FirehoseReport,
    pub(crate) levels: Levels,
    pub(crate) clock: Clock,
    pub(crate) events: EventSink,
    pub(crate) faults: FaultPlan,
}

impl Worker {
    /// Works until the handle is dropped or asks to stop.
    pub(crate) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut backoff = Backoff::new(WAIT_START, WAIT_MAX);
        loop {
            let command = match self.round().await {
                Ok(round) => {
                    backoff.reset();
                    let pause = if round.records == 0 { IDLE_POLL } else { Duration::ZERO };
                    self.next_command(&mut commands, self.clock.sleep(pause)).await
                }
                Err(error) => {
                    self.events.log(format!("firehose `{}`: {}", self.origin.delivery_stream, chain(&error)));
                    self.next_command(&mut commands, backoff.wait(&self.clock)).await
                }
            };
            match command {
                Wanted::Nothing => (),
                Wanted::End => return,
                Wanted::Command(Command::Drain(reply)) => {
                    let drained = self.drain().await;
                    // Nobody waits any more: the records are delivered all the same.
                    let _unheard = reply.send(drained);
                }
                Wanted::Command(Command::Stop(reply)) => {
                    // All of it, not only what was read: the slot is acknowledged, and Kinesis forgets after its retention.
                    let drained = self.drain().await;
                    let _unheard = reply.send(drained);
                    return;
                }
            }
        }
    }

    async fn next_command(&self, commands: &mut mpsc::Receiver<Command>, pause: impl Future<Output = ()>) -> Wanted {
        tokio::select! {
            biased;
            command = commands.recv() => command.map_or(Wanted::End, Wanted::Command),
            () = pause => Wanted::Nothing,
        }
    }

    /// Everything that is in the stream now is delivered.
    async fn drain(&mut self) -> Result<FirehoseReport, FlowError> {
        let mut backoff = Backoff::new(WAIT_START, WAIT_MAX);
        let mut attempt = 1;
        loop {
            let before = (self.report.records_in, self.report.objects);
            match self.catch_up().await {
                Ok(()) => return Ok(self.report.clone()),
                // A throttled stream still moves: only attempts without any progress count.
                Err(_) if before != (self.report.records_in, self.report.objects) => {
                    attempt = 1;
                    backoff.reset();
                }
                Err(error) if attempt >= DRAIN_ATTEMPTS_MAX => return Err(error),
                Err(_) => attempt += 1,
            }
            backoff.wait(&self.clock).await;
        }
    }

    async fn catch_up(&mut self) -> Result<(), FlowError> {
        self.shards.refresh().await?;
        while !self.round().await?.is_last {}
        self.flush().await
    }

    async fn flush(&mut self) -> Result<(), FlowError> {
        let sealed = self.buffers.flush_all();
        self.tell_levels();
        self.enqueue(sealed).await;
        self.deliver().await
    }

    /// One page of every readable shard.
    async fn round(&mut self) -> Result<Round, FlowError> {
        self.deliver().await?;
        self.shards.refresh_if_due().await?;
        let readable = self.shards.readable();
        let mut round = Round { records: 0, is_last: true };
        let mut behind_ms = 0;
        for shard_id in readable {
            let page = self.shards.read(&shard_id).await?;
            behind_ms = page.behind_ms.max(behind_ms);
            self.levels.iterator_age_ms.set(behind_ms);
            round.records += page.records.len();
            round.is_last &= page.is_last;
            let (records, last, next_iterator) = page.into_parts();
            for batch in transform::batches(records) {
                self.take(batch).await;
                self.tell_levels();
            }
            // A shard that ended may have children that were not listed yet.
            round.is_last &= next_iterator.is_some();
            self.shards.advance(&shard_id, last, next_iterator);
            self.deliver().await?;
        }
        let due = self.buffers.flush_due(self.clock.now());
        self.enqueue(due).await;
        self.deliver().await?;
        self.tell_levels();
        Ok(round)
    }

    fn tell_levels(&self) {
        self.levels.buffered_bytes.set(self.buffers.total_bytes());
        self.levels.active_partitions.set(self.buffers.active_partitions() as u64);
    }

    /// Transforms a batch and puts its records into buffers.
    async fn take(&mut self, batch: Vec<SourceRecord>) {
        self.report.records_in += batch.len() as u64;
        let (outcomes, attempts) = self.transform(&batch).await;
        let mut sealed = Vec::new();
        for (record, outcome) in batch.into_iter().zip(outcomes) {
            match outcome {
                Transformed::Dropped { partition_keys } => {
                    *self.report.dropped.entry(table_of(&partition_keys)).or_default() += 1;
                }
                Transformed::Failed { code, message, partition_keys } => {
                    let table = table_of(&partition_keys);
                    let failure = Failure { kind: ErrorType::ProcessingFailed, code, message: &message, attempts };
                    sealed.extend(self.fail(&record, &table, &failure));
                }
                Transformed::Ok { data, partition_keys } => {
                    sealed.extend(self.buffer(&record, &data, partition_keys));
                }
            }
        }
        self.enqueue(sealed).await;
    }

    /// The outcomes, and how many times the function was invoked for them.
    async fn transform(&mut self, batch: &[SourceRecord]) -> (Vec<Transformed>, u32) {
        let mut backoff = Backoff::new(WAIT_START, WAIT_MAX);
        let mut attempts = 1;
        loop {
            let invocation_id = uuid_from(&mut self.naming.rng).to_string();
            let event = transform::request(&self.origin, &invocation_id, batch);
            match self.lambda.invoke(&self.transform, event).await {
                Ok(response) => return (transform::read_response(batch, response), attempts),
                Err(error) if error.retryable && attempts <= TRANSFORM_RETRIES_MAX => {
                    backoff.wait(&self.clock).await;
                    attempts += 1;
                }
                Err(error) => {
                    self.events.log(format!("firehose `{}`: {error}", self.origin.delivery_stream));
                    return (transform::fail_all(batch, function_error_code(&error), &error.to_string()), attempts);
                }
            }
        }
    }

    fn buffer(&mut self, record: &SourceRecord, data: &[u8], keys: BTreeMap<String, String>) -> Vec<Sealed> {
        let table = table_of(&keys);
        let wanted: Vec<String> = self.naming.prefix.partition_keys().map(str::to_owned).collect();
        let mut target = BTreeMap::new();
        for key in wanted {
            match keys.get(&key) {
                Some(value) if !value.is_empty() => target.insert(key, value.clone()),
                _ => {
                    let message = "partitionKeys values must not be null or empty";
                    let code = "DynamicPartitioning.MetadataExtractionFailed";
                    let kind = ErrorType::MetadataExtractionFailed;
                    return self.fail(record, &table, &Failure { kind, code, message, attempts: 1 });
                }
            };
        }
        if self.naming.prefix.length(&target) > PREFIX_CHARACTERS_MAX {
            let message = "the evaluated prefix is longer than 512 characters";
            let code = "DynamicPartitioning.MetadataExtractionFailed";
            let kind = ErrorType::MetadataExtractionFailed;
            return self.fail(record, &table, &Failure { kind, code, message, attempts: 1 });
        }
        let now = self.clock.now();
        match self.buffers.push(Target::Partition(target), &table, record.arrival, data, now) {
            Ok(sealed) => sealed,
            Err(super::buffers::ActivePartitionExceeded) => {
                let message = "the delivery stream has as many active partitions as it may have";
                let code = "DynamicPartitioning.ActivePartitionLimitExceeded";
                let kind = ErrorType::ActivePartitionExceeded;
                self.fail(record, &table, &Failure { kind, code, message, attempts: 1 })
            }
        }
    }

    /// Puts a record's error line into the buffer of its error type.
    fn fail(&mut self, record: &SourceRecord, table: &str, failure: &Failure<'_>) -> Vec<Sealed> {
        *self.report.failed.entry(table.to_owned()).or_default() += 1;
        let now = self.clock.now();
        let line = error_line(record, failure, now.millis(), &self.transform, &self.origin.region);
        let target = Target::Error(failure.kind);
        self.buffers.push(target, table, record.arrival, &line, now).expect("error buffers have no partition limit")
    }

    async fn enqueue(&mut self, sealed: Vec<Sealed>) {
        for sealed in sealed {
            let object = self.naming.object(sealed).await;
            self.outbox.push_back(object);
        }
    }

    async fn deliver(&mut self) -> Result<(), FlowError> {
        while let Some(object) = self.outbox.front() {
            let fault = match object.sealed.target {
                Target::Partition(_) => self.faults.strike(&FIREHOSE_PUT_OBJECT),
                Target::Error(_) => None,
            };
            if fault == Some(FaultKind::Error) {
                let target = format!("{}/{}", self.bucket, object.key);
                return Err(FlowError::store("S3", "PutObject", &target, std::io::Error::other("a planned fault")));
            }
            put(&self.s3, &self.clock, &self.bucket, object).await?;
            if let Some(copy) = fault.and_then(|fault| self.naming.faulty_copy(object, fault)) {
                put(&self.s3, &self.clock, &self.bucket, &copy).await?;
            }
            let object = self.outbox.pop_front().expect("the front was there");
            self.report.objects += 1;
            self.report.bytes += object.body.len() as u64;
            if let Target::Partition(_) = object.sealed.target {
                let total: u64 = object.sealed.tables.values().sum();
                for (table, rows) in &object.sealed.tables {
                    *self.report.delivered.entry(table.clone()).or_default() += rows;
                    let share = object.body.len() as u64 * rows / total.max(1);
                    self.events.progress(Stage::Firehose, table, *rows, share);
                }
            }
        }
        Ok(())
    }
}

enum Wanted {
    Nothing,
    Command(Command),
    End,
}

struct Round {
    records: usize,
    is_last: bool,
}

struct Failure<'a> {
    kind: ErrorType,
    code: &'a str,
    message: &'a str,
    attempts: u32,
}

fn table_of(partition_keys: &BTreeMap<String, String>) -> String {
    partition_keys.get(TABLE_KEY).filter(|table| !table.is_empty()).map_or(NO_TABLE, String::as_str).to_owned()
}

fn function_error_code(error: &HandlerError) -> &'static str {
    match error.error.as_str() {
        "Sandbox.Timedout" => "Lambda.FunctionTimedOut",
        "Lambda.TooManyRequestsException" => "Lambda.InvokeLimitExceeded",
        "Lambda.ResourceNotFoundException" => "Lambda.ResourceNotFound",
        _ => "Lambda.FunctionError",
    }
}

/// One line of an error object. It carries the raw record, as the service does: the error prefix is as sensitive as `raw/`.
fn error_line(record: &SourceRecord, failure: &Failure<'_>, now_ms: i64, function: &str, region: &str) -> Vec<u8> {
    let line = json!({
        "attemptsMade": failure.attempts,
        "arrivalTimestamp": record.arrival.millis(),
        "errorCode": failure.code,
        "errorMessage": failure.message,
        "attemptEndingTimestamp": now_ms,
        "rawData": STANDARD.encode(&record.data),
        "lambdaArn": format!("arn:aws:lambda:{region}:000000000000:function:{function}"),
    });
    let mut line = line.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// An error and its sources on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

//! The Pipe: from the control table's DynamoDB stream to executions of a state machine.
//!
//! Promises: reads every shard from `TRIM_HORIZON`, parents before children; starts one execution for each image whose
//! `status` is `RECEIVED`, named `<digest of pk>-<attempts>`, so a record that is seen again starts nothing; goes on after
//! errors with bounded waits and does not pass a record it could not start. Positions live in memory: after a restart the
//! stream is read again, and idempotent handlers make that harmless. Every image it passes is told as a change of the control
//! record: the stream knows the changes of all processes, ECS workers and people included.

mod reader;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodbstreams::types::AttributeValue;
use lakebed_contract::control::{ControlRecord, ControlValue};
use lakebed_contract::{Clock, Endpoints, EventSink, layout};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::error::FlowError;
use crate::step_functions::StepFunctions;
use reader::Reader;

/// Wait after a round in which no shard had anything.
pub const PIPE_IDLE_POLL: Duration = Duration::from_millis(50);
/// Records of one GetRecords call: the API's maximum.
pub const PIPE_PAGE_RECORDS_MAX: i32 = 1_000;
/// Attempts of [`PipeHandle::idle`] without any progress, before it reports the error.
pub const PIPE_IDLE_ATTEMPTS_MAX: u32 = 5;
const WAIT_START: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);
const COMMANDS_WAITING_MAX: usize = 8;

/// What a pipe is made of.
#[derive(Clone, Debug)]
pub struct PipeConfig {
    /// Table whose stream is read.
    pub table: String,
    /// Where executions start.
    pub machines: Arc<StepFunctions>,
    /// State machine.
    pub machine: String,
    /// Where DynamoDB and its streams answer.
    pub endpoints: Endpoints,
    /// Time.
    pub clock: Clock,
    /// Where changes of control records, and errors, are told.
    pub events: EventSink,
}

/// What has passed the pipe so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipeCounts {
    /// Stream records read.
    pub read: u64,
    /// Of these, images with status `RECEIVED`.
    pub matched: u64,
    /// Executions started, or found started before.
    pub started: u64,
    /// Matching records whose name was used by an execution with another input, or that lack an attribute.
    pub refused: u64,
}

enum Command {
    Idle(oneshot::Sender<Result<PipeCounts, FlowError>>),
    Stop(oneshot::Sender<()>),
}

/// Starts pipes.
#[derive(Debug)]
pub struct Pipe;

impl Pipe {
    /// Begins to read. Must be called inside a Tokio runtime.
    pub fn start(config: PipeConfig) -> PipeHandle {
        let sdk = |url: &str| config.endpoints.sdk_config(url);
        let (tables, streams) = (sdk(&config.endpoints.dynamodb_url), sdk(&config.endpoints.dynamodb_streams_url));
        let retry = RetryConfig::disabled;
        let dynamodb = aws_sdk_dynamodb::config::Builder::from(&tables).retry_config(retry()).build();
        let streams = aws_sdk_dynamodbstreams::config::Builder::from(&streams).retry_config(retry()).build();
        let (counts, watched) = watch::channel(PipeCounts::default());
        let (commands, receiver) = mpsc::channel(COMMANDS_WAITING_MAX);
        let reader = Reader {
            name: format!("{}->{}", config.table, config.machine),
            config,
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb),
            streams: aws_sdk_dynamodbstreams::Client::from_conf(streams),
            stream_arn: None,
            shards: BTreeMap::new(),
            must_list: true,
            counts,
        };
        let name = reader.name.clone();
        let task = AbortOnDropHandle::new(tokio::spawn(reader.run(receiver)));
        PipeHandle { name, commands, counts: watched, _task: task }
    }
}

/// A running pipe. Dropping it stops it at once.
#[derive(Debug)]
pub struct PipeHandle {
    name: String,
    commands: mpsc::Sender<Command>,
    counts: watch::Receiver<PipeCounts>,
    _task: AbortOnDropHandle<()>,
}

impl PipeHandle {
    /// Waits until every record that is in the stream now has been read and its execution started.
    pub async fn idle(&self) -> Result<PipeCounts, FlowError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Idle(reply)).await.map_err(|_| self.stopped())?;
        answer.await.map_err(|_| self.stopped())?
    }

    /// Ends.
    pub async fn stop(self) -> Result<(), FlowError> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Stop(reply)).await.map_err(|_| self.stopped())?;
        answer.await.map_err(|_| self.stopped())
    }

    /// Counts so far.
    pub fn counts(&self) -> PipeCounts {
        *self.counts.borrow()
    }

    fn stopped(&self) -> FlowError {
        FlowError::Stopped { name: self.name.clone() }
    }
}

/// Name and input of the execution for a control record's image.
fn execution_of(image: &HashMap<String, AttributeValue>) -> Option<(String, Value)> {
    let text = |name: &str| image.get(name)?.as_s().ok().map(String::as_str);
    let number = |name: &str| image.get(name)?.as_n().ok()?.parse::<i64>().ok();
    let pk = text("pk")?;
    let name = format!("{}-{}", layout::object_digest(pk), number("attempts").unwrap_or(0));
    let input = json!({
        "pk": pk,
        "bucket": text("bucket")?,
        "key": text("key")?,
        "etag": text("etag")?,
        "table": text("table")?,
        "size_bytes": number("size_bytes").unwrap_or(0),
    });
    Some((name, input))
}

/// The control record in an image, if it is one.
fn record_of(image: &HashMap<String, AttributeValue>) -> Option<ControlRecord> {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) => Some(ControlValue::Text(text.clone())),
        AttributeValue::N(number) => number.parse().ok().map(ControlValue::Number),
        AttributeValue::L(items) => {
            Some(ControlValue::List(items.iter().filter_map(|item| item.as_s().ok().cloned()).collect()))
        }
        _ => None,
    };
    let values = image.iter().filter_map(|(name, attribute)| Some((name.clone(), value(attribute)?))).collect();
    ControlRecord::from_values(&values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_becomes_the_execution_of_its_attempt() {
        let mut record = ControlRecord::received("b", "raw/beer/x.gz", "e", "beer", "00", 12, 0);
        record.attempts = 3;
        record.outputs = vec!["bronze/x.parquet".to_owned()];
        let image: HashMap<String, AttributeValue> = record
            .to_values()
            .into_iter()
            .map(|(name, value)| {
                let value = match value {
                    ControlValue::Text(text) => AttributeValue::S(text),
                    ControlValue::Number(number) => AttributeValue::N(number.to_string()),
                    ControlValue::List(texts) => AttributeValue::L(texts.into_iter().map(AttributeValue::S).collect()),
                };
                (name.to_owned(), value)
            })
            .collect();
        assert_eq!(record_of(&image), Some(record));
        let (name, input) = execution_of(&image).expect("complete");
        assert_eq!(name, format!("{}-3", layout::object_digest("b#raw/beer/x.gz#e")));
        assert_eq!(
            input,
            json!({"pk": "b#raw/beer/x.gz#e", "bucket": "b", "key": "raw/beer/x.gz", "etag": "e", "table": "beer",
                "size_bytes": 12})
        );
        assert_eq!(execution_of(&HashMap::new()), None);
    }
}

//! The task behind a pipe: reads the stream's shards and starts executions, record by record.
//!
//! Promises: moves past a record only when its execution was started or refused for good; takes a lost iterator anew behind
//! the last record it passed. A shard is read when its parent has ended or is gone.

use std::collections::BTreeMap;

use aws_sdk_dynamodbstreams::types::{Record, ShardIteratorType};
use lakebed_contract::control::Status;
use lakebed_contract::{Clock, RunEvent};
use tokio::sync::{mpsc, watch};

use super::{
    Command, PIPE_IDLE_ATTEMPTS_MAX, PIPE_IDLE_POLL, PIPE_PAGE_RECORDS_MAX, PipeConfig, PipeCounts, WAIT_MAX,
    WAIT_START, execution_of, record_of,
};
use crate::backoff::Backoff;
use crate::error::FlowError;
use crate::firehose::chain;
use crate::step_functions::StepFunctionsError;

#[derive(Debug, Default)]
pub(super) struct Shard {
    parent: Option<String>,
    iterator: Option<String>,
    read_to: Option<String>,
    has_ended: bool,
}

pub(super) struct Reader {
    pub(super) name: String,
    pub(super) config: PipeConfig,
    pub(super) dynamodb: aws_sdk_dynamodb::Client,
    pub(super) streams: aws_sdk_dynamodbstreams::Client,
    pub(super) stream_arn: Option<String>,
    pub(super) shards: BTreeMap<String, Shard>,
    pub(super) must_list: bool,
    pub(super) counts: watch::Sender<PipeCounts>,
}

/// What one round over all shards gave.
struct Round {
    records: usize,
    is_last: bool,
}

impl Reader {
    pub(super) async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let clock = self.config.clock.clone();
        let mut backoff = Backoff::new(WAIT_START, WAIT_MAX);
        loop {
            let round = self.round().await;
            let pause = async {
                match &round {
                    Ok(round) if round.records > 0 => backoff.reset(),
                    Ok(_) => {
                        backoff.reset();
                        clock.sleep(PIPE_IDLE_POLL).await;
                    }
                    Err(error) => {
                        self.config.events.log(format!("pipe `{}`: {}", self.name, chain(error)));
                        backoff.wait(&clock).await;
                    }
                }
            };
            let command = tokio::select! {
                biased;
                command = commands.recv() => command,
                () = pause => continue,
            };
            match command {
                None => return,
                Some(Command::Stop(reply)) => {
                    let _unheard = reply.send(());
                    return;
                }
                Some(Command::Idle(reply)) => {
                    let caught_up = self.catch_up(&clock).await;
                    let _unheard = reply.send(caught_up);
                }
            }
        }
    }

    async fn catch_up(&mut self, clock: &Clock) -> Result<PipeCounts, FlowError> {
        let mut backoff = Backoff::new(WAIT_START, WAIT_MAX);
        let mut attempt = 1;
        self.must_list = true;
        loop {
            let before = self.counts.borrow().read;
            match self.round().await {
                Ok(round) if round.is_last => return Ok(*self.counts.borrow()),
                Ok(_) => continue,
                // A throttled stream still moves: only attempts without any progress count.
                Err(_) if before != self.counts.borrow().read => {
                    attempt = 1;
                    backoff.reset();
                }
                Err(error) if attempt >= PIPE_IDLE_ATTEMPTS_MAX => return Err(error),
                Err(_) => attempt += 1,
            }
            backoff.wait(clock).await;
        }
    }

    /// One page of every readable shard.
    async fn round(&mut self) -> Result<Round, FlowError> {
        if self.must_list || self.shards.is_empty() {
            self.list_shards().await?;
        }
        let has_ended = |id: &String| self.shards.get(id).is_none_or(|shard| shard.has_ended);
        let is_readable = |shard: &Shard| !shard.has_ended && shard.parent.as_ref().is_none_or(has_ended);
        let readable: Vec<String> =
            self.shards.iter().filter(|(_, shard)| is_readable(shard)).map(|(id, _)| id.clone()).collect();
        let mut round = Round { records: 0, is_last: true };
        for shard_id in readable {
            let (records, next_iterator) = self.read(&shard_id).await?;
            round.records += records.len();
            round.is_last &= records.is_empty() && next_iterator.is_some();
            for record in &records {
                // Moves on record by record, so that a refusal in the middle repeats only what was not started.
                let started = self.take(record);
                if started.is_ok() {
                    self.tell(record);
                }
                let shard = self.shards.entry(shard_id.clone()).or_default();
                if let Err(error) = started {
                    shard.iterator = None;
                    return Err(error);
                }
                shard.read_to = record.dynamodb().and_then(|change| change.sequence_number()).map(str::to_owned);
            }
            let shard = self.shards.entry(shard_id).or_default();
            shard.has_ended = next_iterator.is_none();
            shard.iterator = next_iterator;
            self.must_list |= shard.has_ended;
        }
        Ok(round)
    }

    async fn stream_arn(&mut self) -> Result<String, FlowError> {
        if let Some(arn) = &self.stream_arn {
            return Ok(arn.clone());
        }
        let table = &self.config.table;
        let sent = self.dynamodb.describe_table().table_name(table).send().await;
        let answer = sent.map_err(|error| FlowError::store("DynamoDB", "DescribeTable", table, error))?;
        let arn = answer.table().and_then(|table| table.latest_stream_arn()).map(str::to_owned);
        self.stream_arn.clone_from(&arn);
        arn.ok_or_else(|| FlowError::Incomplete {
            service: "DynamoDB",
            operation: "DescribeTable",
            target: table.clone(),
            missing: "LatestStreamArn",
        })
    }

    async fn list_shards(&mut self) -> Result<(), FlowError> {
        let arn = self.stream_arn().await?;
        let mut after: Option<String> = None;
        loop {
            let request = self.streams.describe_stream().stream_arn(&arn).set_exclusive_start_shard_id(after.take());
            let answer = request
                .send()
                .await
                .map_err(|error| FlowError::store("DynamoDB Streams", "DescribeStream", &self.config.table, error))?;
            let Some(stream) = answer.stream_description() else { break };
            for shard in stream.shards() {
                let parent = shard.parent_shard_id().map(str::to_owned);
                let id = shard.shard_id().unwrap_or_default().to_owned();
                self.shards.entry(id).or_insert(Shard { parent, ..Shard::default() });
            }
            after = stream.last_evaluated_shard_id().map(str::to_owned);
            if after.is_none() {
                break;
            }
        }
        self.must_list = false;
        Ok(())
    }

    async fn read(&mut self, shard_id: &str) -> Result<(Vec<Record>, Option<String>), FlowError> {
        let target = format!("{}/{shard_id}", self.config.table);
        let iterator = self.iterator(shard_id, &target).await?;
        let request = self.streams.get_records().shard_iterator(iterator).limit(PIPE_PAGE_RECORDS_MAX);
        let answer = request.send().await.map_err(|error| {
            // Whatever went wrong, the iterator may be the reason; the next attempt takes a new one.
            self.shards.entry(shard_id.to_owned()).or_default().iterator = None;
            FlowError::store("DynamoDB Streams", "GetRecords", &target, error)
        })?;
        Ok((answer.records.unwrap_or_default(), answer.next_shard_iterator))
    }

    async fn iterator(&mut self, shard_id: &str, target: &str) -> Result<String, FlowError> {
        let shard = self.shards.get(shard_id);
        if let Some(iterator) = shard.and_then(|shard| shard.iterator.clone()) {
            return Ok(iterator);
        }
        let read_to = shard.and_then(|shard| shard.read_to.clone());
        let arn = self.stream_arn().await?;
        let request = self.streams.get_shard_iterator().stream_arn(arn).shard_id(shard_id);
        let request = match read_to {
            Some(sequence) => {
                request.shard_iterator_type(ShardIteratorType::AfterSequenceNumber).sequence_number(sequence)
            }
            None => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
        };
        let sent = request.send().await;
        let refusal = sent.as_ref().err().and_then(|error| error.as_service_error());
        if refusal.is_some_and(|refusal| refusal.is_trimmed_data_access_exception()) {
            // What lay between is gone unread; asked for again, the same place would be refused for ever. The sweeper finds what was missed.
            self.config.events.log(format!("pipe `{}`: records were trimmed before they were read", self.name));
            self.shards.entry(shard_id.to_owned()).or_default().read_to = None;
        }
        if refusal.is_some_and(|refusal| refusal.is_resource_not_found_exception()) {
            // A closed shard is gone a day after its end, and with it what was not read; its children still wait to be read.
            self.config.events.log(format!("pipe `{}`: shard `{shard_id}` is gone", self.name));
            self.shards.entry(shard_id.to_owned()).or_default().has_ended = true;
            self.must_list = true;
        }
        let answer = sent.map_err(|error| FlowError::store("DynamoDB Streams", "GetShardIterator", target, error))?;
        answer.shard_iterator.ok_or_else(|| FlowError::Incomplete {
            service: "DynamoDB Streams",
            operation: "GetShardIterator",
            target: target.to_owned(),
            missing: "ShardIterator",
        })
    }

    /// Tells what the control record has become.
    fn tell(&self, record: &Record) {
        let image = record.dynamodb().and_then(|change| change.new_image());
        if let Some(record) = image.and_then(record_of) {
            self.config.events.emit(RunEvent::ControlChanged { record: Box::new(record) });
        }
    }

    /// Starts the record's execution. An error means the same record must be tried again.
    fn take(&self, record: &Record) -> Result<(), FlowError> {
        self.counts.send_modify(|counts| counts.read += 1);
        let Some(image) = record.dynamodb().and_then(|change| change.new_image()) else { return Ok(()) };
        let is_received =
            image.get("status").and_then(|status| status.as_s().ok()).is_some_and(|s| s == Status::Received.as_str());
        if !is_received {
            return Ok(());
        }
        self.counts.send_modify(|counts| counts.matched += 1);
        let Some((name, input)) = execution_of(image) else {
            self.config.events.log(format!("pipe `{}`: a RECEIVED image lacks attributes", self.name));
            self.counts.send_modify(|counts| counts.refused += 1);
            return Ok(());
        };
        match self.config.machines.start(&self.config.machine, &name, input) {
            Ok(()) => self.counts.send_modify(|counts| counts.started += 1),
            Err(StepFunctionsError::ExecutionAlreadyExists { .. }) => {
                self.counts.send_modify(|counts| counts.refused += 1);
            }
            Err(error) => {
                self.counts.send_modify(|counts| {
                    counts.read -= 1;
                    counts.matched -= 1;
                });
                return Err(FlowError::store("Step Functions", "StartExecution", &self.config.machine, error));
            }
        }
        Ok(())
    }
}

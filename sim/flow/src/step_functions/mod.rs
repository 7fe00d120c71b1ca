//! Step Functions: Standard workflows over the subset of the States Language that reference/cdc.md lists.
//!
//! Promises: documents are checked when the service is made; an execution runs once per name; at most
//! [`EXECUTIONS_RUNNING_MAX`] run while at most [`EXECUTIONS_QUEUED_MAX`] wait; dropping the service stops them and kills
//! their child processes. Closed executions stay known by name until [`EXECUTIONS_REMEMBERED_MAX`] newer ones have closed
//! (AWS forgets after 90 days).
//! Does not know: executions across a restart; they live in memory, and whoever starts them starts them again.

mod choice;
mod definition;
mod ecs;
mod fault;
mod history;
mod interpreter;
mod intrinsics;
mod parse;
mod path;
mod template;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lakebed_contract::{Clock, EventSink, HandlerRegistry, RunEvent, Seed};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::gauge::Gauge;
use crate::lambda::{INVOCATIONS_WAITING_MAX, Lambda, LambdaSettings};
use definition::StateMachine;
use ecs::EcsTasks;
use fault::Fault;
use history::History;
use interpreter::{Execution, Services};

pub use ecs::{ECS_STDERR_BYTES_MAX, ECS_STDOUT_BYTES_MAX, ECS_TASKS_MAX, EcsConfig, TaskStdin};
pub use history::{HISTORY_EVENTS_MAX, HistoryEvent, HistoryKind};
pub use interpreter::PAYLOAD_BYTES_MAX;
pub use parse::{DefinitionError, MAP_CONCURRENCY_MAX, RETRY_DELAY_SECONDS_MAX};

/// Executions that run at once.
pub const EXECUTIONS_RUNNING_MAX: usize = 64;
/// Executions that may wait for a slot; one more is refused.
pub const EXECUTIONS_QUEUED_MAX: usize = 100_000;
/// Closed executions whose name and result stay known.
pub const EXECUTIONS_REMEMBERED_MAX: usize = 20_000;
/// Closed executions whose history stays readable.
pub const HISTORIES_REMEMBERED_MAX: usize = 1_000;

/// What the service is made of.
pub struct StepFunctionsConfig {
    /// Amazon States Language documents by state machine name.
    pub machines: BTreeMap<String, String>,
    /// Lambda functions.
    pub registry: HandlerRegistry,
    /// How to run ECS tasks.
    pub ecs: EcsConfig,
    /// Lambda calls at once.
    pub lambda_concurrency_max: usize,
    /// Time.
    pub clock: Clock,
    /// Chance: jitter, UUIDs, request ids.
    pub seed: Seed,
    /// Where executions, and what ECS tasks tell, are told.
    pub events: EventSink,
}

/// A call of the service that was refused.
#[derive(Debug, thiserror::Error)]
pub enum StepFunctionsError {
    /// A document cannot be run.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// No such state machine.
    #[error("failed to start an execution: state machine `{machine}` does not exist")]
    StateMachineDoesNotExist {
        /// Name.
        machine: String,
    },
    /// The name belongs to an execution with another input.
    #[error("failed to start execution `{name}` of `{machine}`: the name was used with another input")]
    ExecutionAlreadyExists {
        /// State machine.
        machine: String,
        /// Execution name.
        name: String,
    },
    /// The queue is full; try again later.
    #[error("failed to start execution `{name}` of `{machine}`: {EXECUTIONS_QUEUED_MAX} executions already wait")]
    ExecutionLimitExceeded {
        /// State machine.
        machine: String,
        /// Execution name.
        name: String,
    },
}

impl StepFunctionsError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::ExecutionLimitExceeded { .. })
    }
}

/// An execution that ended without an output.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to run execution `{name}` of `{machine}`: {error}: {cause}")]
pub struct ExecutionFailed {
    /// State machine.
    pub machine: String,
    /// Execution name.
    pub name: String,
    /// Error name.
    pub error: String,
    /// What happened.
    pub cause: String,
}

type Outcome = Result<Value, ExecutionFailed>;

/// The service.
#[derive(Debug)]
pub struct StepFunctions {
    inner: Arc<Inner>,
    cancel: CancellationToken,
    _stop_on_drop: DropGuard,
}

#[derive(Debug)]
struct Inner {
    machines: BTreeMap<String, StateMachine>,
    services: Services,
    seed: Seed,
    events: EventSink,
    slots: Semaphore,
    /// Executions that have not ended.
    open: watch::Sender<usize>,
    executions: Mutex<Executions>,
}

/// Executions by machine and name.
#[derive(Debug, Default)]
struct Executions {
    by_name: HashMap<(String, String), Arc<Record>>,
    /// Closed ones, oldest first.
    closed: VecDeque<(String, String)>,
    histories: VecDeque<Arc<Record>>,
}

#[derive(Debug)]
struct Record {
    input: Value,
    history: Mutex<Option<Arc<History>>>,
    outcome: watch::Sender<Option<Outcome>>,
}

impl StepFunctions {
    /// Reads the documents and makes the service.
    pub fn new(config: StepFunctionsConfig) -> Result<Arc<Self>, StepFunctionsError> {
        let mut machines = BTreeMap::new();
        for (name, document) in &config.machines {
            machines.insert(name.clone(), parse::parse_machine(name, document)?);
        }
        let settings = LambdaSettings::with_concurrency(config.lambda_concurrency_max);
        let lambda = Lambda::new(config.registry, settings, config.clock.clone(), config.seed);
        let services = Services { lambda, ecs: EcsTasks::new(config.ecs, config.events.clone()), clock: config.clock };
        let inner = Arc::new(Inner {
            machines,
            services,
            seed: config.seed.child("flow/step-functions"),
            events: config.events,
            slots: Semaphore::new(EXECUTIONS_RUNNING_MAX),
            open: watch::Sender::new(0),
            executions: Mutex::default(),
        });
        let cancel = CancellationToken::new();
        let stop = cancel.clone().drop_guard();
        Ok(Arc::new(Self { inner, cancel, _stop_on_drop: stop }))
    }

    /// Starts an execution. A name that was used with the same input is left alone, running or closed.
    pub fn start(&self, machine: &str, name: &str, input: Value) -> Result<(), StepFunctionsError> {
        self.begin(machine, name, input).map(drop)
    }

    /// Starts an execution, or finds the one of this name and input, and waits for its output.
    pub async fn run(&self, machine: &str, name: &str, input: Value) -> Result<Value, ExecutionFailed> {
        let refused = |error: StepFunctionsError| ExecutionFailed {
            machine: machine.to_owned(),
            name: name.to_owned(),
            error: "StartExecution".to_owned(),
            cause: error.to_string(),
        };
        let record = self.begin(machine, name, input).map_err(refused)?;
        let mut outcome = record.outcome.subscribe();
        let ended = outcome.wait_for(Option::is_some).await.expect("the record we hold owns the sender");
        ended.clone().expect("just waited for it")
    }

    /// Waits until no execution is running or queued.
    pub async fn idle(&self) {
        let mut open = self.inner.open.subscribe();
        let _zero = open.wait_for(|open| *open == 0).await.expect("the service we borrow owns the sender");
    }

    /// Executions that have not ended.
    pub fn open(&self) -> usize {
        *self.inner.open.borrow()
    }

    /// How many executions run and wait, and what they occupy.
    pub fn gauges(&self) -> Vec<Gauge> {
        let gauge = |queue, bound: usize, read: fn(&Inner) -> usize| {
            let inner = Arc::downgrade(&self.inner);
            Gauge::new(queue, Some(bound as u64), move || inner.upgrade().map_or(0, |inner| read(&inner) as u64))
        };
        let lambda_bound = self.inner.services.lambda.concurrency();
        vec![
            gauge("step_functions.queued", EXECUTIONS_QUEUED_MAX, |inner| {
                inner.open.borrow().saturating_sub(inner.running())
            }),
            gauge("step_functions.running", EXECUTIONS_RUNNING_MAX, Inner::running),
            gauge("lambda.waiting", INVOCATIONS_WAITING_MAX, |inner| inner.services.lambda.waiting()),
            gauge("lambda.running", lambda_bound, |inner| inner.services.lambda.running()),
            gauge("ecs.running", ECS_TASKS_MAX, |inner| inner.services.ecs.running()),
        ]
    }

    /// Names of the state machines.
    pub fn machines(&self) -> impl Iterator<Item = &str> {
        self.inner.machines.keys().map(String::as_str)
    }

    /// The events of an execution that is queued, running, or among the [`HISTORIES_REMEMBERED_MAX`] closed last.
    pub fn history(&self, machine: &str, name: &str) -> Option<Vec<HistoryEvent>> {
        let record = self.inner.executions().by_name.get(&(machine.to_owned(), name.to_owned())).cloned()?;
        let history = record.history.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        Some(history.events())
    }

    fn begin(&self, machine: &str, name: &str, input: Value) -> Result<Arc<Record>, StepFunctionsError> {
        let key = (machine.to_owned(), name.to_owned());
        if !self.inner.machines.contains_key(machine) {
            return Err(StepFunctionsError::StateMachineDoesNotExist { machine: key.0 });
        }
        let mut executions = self.inner.executions();
        if let Some(record) = executions.by_name.get(&key) {
            return if record.input == input {
                Ok(record.clone())
            } else {
                Err(StepFunctionsError::ExecutionAlreadyExists { machine: key.0, name: key.1 })
            };
        }
        if self.open() >= EXECUTIONS_RUNNING_MAX + EXECUTIONS_QUEUED_MAX {
            return Err(StepFunctionsError::ExecutionLimitExceeded { machine: key.0, name: key.1 });
        }
        let history = Arc::new(History::new(self.inner.services.clock.clone()));
        let record =
            Arc::new(Record { input, history: Mutex::new(Some(history.clone())), outcome: watch::Sender::new(None) });
        executions.by_name.insert(key.clone(), record.clone());
        self.inner.open.send_modify(|open| *open += 1);
        drop(executions);
        let (inner, cancel, running) = (self.inner.clone(), self.cancel.clone(), record.clone());
        tokio::spawn(async move {
            let outcome = tokio::select! {
                biased;
                () = cancel.cancelled() => Err(Fault::new("States.Aborted", "the service was stopped")),
                outcome = inner.execute(&key, running.input.clone(), &history) => outcome,
            };
            inner.close(key, &running, &history, outcome);
        });
        Ok(record)
    }
}

impl Inner {
    fn running(&self) -> usize {
        EXECUTIONS_RUNNING_MAX.saturating_sub(self.slots.available_permits())
    }

    fn executions(&self) -> MutexGuard<'_, Executions> {
        self.executions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn execute(&self, key: &(String, String), input: Value, history: &History) -> Result<Value, Fault> {
        let (machine, name) = key;
        let _slot = self.slots.acquire().await.expect("the semaphore is never closed");
        history.add(HistoryKind::ExecutionStarted, "", "")?;
        self.events.emit(RunEvent::ExecutionStarted { machine: machine.clone(), name: name.clone() });
        let started = self.services.clock.now().to_rfc3339_micros();
        let execution = Execution {
            machine: &self.machines[machine],
            services: &self.services,
            history,
            rng: Mutex::new(self.seed.rng(&format!("{machine}/{name}"))),
            context: json!({
                "Execution": {
                    "Id": format!("arn:aws:states:us-east-1:000000000000:execution:{machine}:{name}"),
                    "Name": name,
                    "Input": input,
                    "StartTime": started,
                },
                "StateMachine": {
                    "Id": format!("arn:aws:states:us-east-1:000000000000:stateMachine:{machine}"),
                    "Name": machine,
                },
            }),
        };
        execution.run(input).await
    }

    fn close(&self, key: (String, String), record: &Arc<Record>, history: &History, outcome: Result<Value, Fault>) {
        let (machine, name) = key.clone();
        let (kind, status, error) = match &outcome {
            Ok(_) => (HistoryKind::ExecutionSucceeded, "SUCCEEDED", ""),
            Err(fault) => (HistoryKind::ExecutionFailed, "FAILED", fault.error.as_str()),
        };
        let error_name = error.to_owned();
        history.add(kind, "", error).expect("the last event always fits");
        let outcome = outcome.map_err(|fault| ExecutionFailed {
            machine: machine.clone(),
            name: name.clone(),
            error: fault.error,
            cause: fault.cause,
        });
        let mut executions = self.executions();
        executions.closed.push_back(key);
        executions.histories.push_back(record.clone());
        if executions.closed.len() > EXECUTIONS_REMEMBERED_MAX
            && let Some(oldest) = executions.closed.pop_front()
        {
            executions.by_name.remove(&oldest);
        }
        if executions.histories.len() > HISTORIES_REMEMBERED_MAX
            && let Some(oldest) = executions.histories.pop_front()
        {
            oldest.history.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        drop(executions);
        record.outcome.send_replace(Some(outcome));
        let status = status.to_owned();
        self.events.emit(RunEvent::ExecutionFinished { machine, name, status, error: error_name });
        self.open.send_modify(|open| *open -= 1);
    }
}

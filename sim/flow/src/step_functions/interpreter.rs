//! Runs one execution of a state machine.
//!
//! Promises: the data flow of the States Language (`InputPath`, `Parameters`, the work, `ResultSelector`, `ResultPath`,
//! `OutputPath`), `Retry` with counters per retrier and visit, `Catch`, and [`PAYLOAD_BYTES_MAX`] per state. Waits on the
//! clock; draws jitter and UUIDs from the execution's own generator, so runs repeat whatever else runs beside them.
//! Does not know: names and queues of executions; those are the service's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::DateTime;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, TryStreamExt};
use lakebed_contract::{Clock, Timestamp};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};

use super::definition::{
    Action, FailText, Graph, Kind, Resource, Seconds, Selection, State, StateMachine, Transition, WaitFor, Work,
};
use super::ecs::EcsTasks;
use super::fault::{DATA_LIMIT, Fault, TIMEOUT};
use super::history::{History, HistoryKind};
use super::template::{Expression, Scope, Template};
use crate::lambda::Lambda;

/// Bytes of JSON that a state may take or give.
pub const PAYLOAD_BYTES_MAX: usize = 262_144;

/// What Task states call, and the clock they wait on.
#[derive(Debug)]
pub(crate) struct Services {
    pub(crate) lambda: Arc<Lambda>,
    pub(crate) ecs: EcsTasks,
    pub(crate) clock: Clock,
}

/// One running execution.
pub(crate) struct Execution<'a> {
    pub(crate) machine: &'a StateMachine,
    pub(crate) services: &'a Services,
    pub(crate) history: &'a History,
    pub(crate) rng: Mutex<ChaCha8Rng>,
    /// `$$.Execution` and `$$.StateMachine`.
    pub(crate) context: Value,
}

/// What a state hands on.
enum Step {
    Go(String, Value),
    Done(Value),
}

impl Execution<'_> {
    /// Runs the machine on `input`.
    pub(crate) async fn run(&self, input: Value) -> Result<Value, Fault> {
        check_size("the execution's input", &input)?;
        let run = self.run_graph(&self.machine.graph, input, Value::Null);
        match self.machine.timeout {
            None => run.await,
            Some(timeout) => self.within(timeout, "the execution", run).await,
        }
    }

    fn run_graph<'b>(&'b self, graph: &'b Graph, input: Value, item: Value) -> BoxFuture<'b, Result<Value, Fault>> {
        Box::pin(async move {
            let mut name = graph.start_at.clone();
            let mut value = input;
            loop {
                let state = graph.states.get(&name).expect("transitions were checked when the document was parsed");
                self.history.add(HistoryKind::StateEntered, &name, "")?;
                let step = self.run_state(state, value, &item).await?;
                self.history.add(HistoryKind::StateExited, &name, "")?;
                match step {
                    Step::Done(output) => return Ok(output),
                    Step::Go(next, output) => (name, value) = (next, output),
                }
            }
        })
    }

    async fn run_state(&self, state: &State, raw: Value, item: &Value) -> Result<Step, Fault> {
        let context = self.context_of(state, item, 0);
        let scope = Scope { input: &raw, context: &context, rng: &self.rng };
        let output = match &state.kind {
            Kind::Work(work) => return self.run_work(state, work, raw, item).await,
            Kind::Choice { rules, default } => {
                let input = select(&state.input_path, "InputPath", &raw, &context)?;
                let inner = Scope { input: &input, ..scope };
                let output = select(&state.output_path, "OutputPath", &input, &context)?;
                for (rule, next) in rules {
                    if rule.holds(&inner)? {
                        return Ok(Step::Go(next.clone(), output));
                    }
                }
                let no_choice = || Fault::new("States.NoChoiceMatched", format!("state `{}`", state.name));
                return default.clone().map(|next| Step::Go(next, output)).ok_or_else(no_choice);
            }
            Kind::Fail { error, cause } => {
                let (error, cause) = (fail_text(error, &scope)?, fail_text(cause, &scope)?);
                return Err(Fault { error, cause });
            }
            Kind::Succeed => select(&state.input_path, "InputPath", &raw, &context)?,
            Kind::Wait(wait) => {
                let input = select(&state.input_path, "InputPath", &raw, &context)?;
                self.wait(wait, &Scope { input: &input, ..scope }).await?;
                input
            }
            Kind::Pass { parameters, result, result_path } => {
                let input = select(&state.input_path, "InputPath", &raw, &context)?;
                let input = fill(parameters.as_ref(), input, &context, &self.rng)?;
                result_path.apply(raw.clone(), result.clone().unwrap_or(input))?
            }
        };
        let output = select(&state.output_path, "OutputPath", &output, &context)?;
        check_size(&state.name, &output)?;
        Ok(match &state.then {
            Transition::Next(next) => Step::Go(next.clone(), output),
            Transition::End => Step::Done(output),
        })
    }

    /// A state with `Retry` and `Catch`.
    async fn run_work(&self, state: &State, work: &Work, raw: Value, item: &Value) -> Result<Step, Fault> {
        let mut retries = vec![0_u64; work.retriers.len()];
        loop {
            let context = self.context_of(state, item, retries.iter().sum());
            let fault = match self.attempt(state, work, &raw, &context).await {
                Ok(output) => {
                    return Ok(match &state.then {
                        Transition::Next(next) => Step::Go(next.clone(), output),
                        Transition::End => Step::Done(output),
                    });
                }
                Err(fault) => fault,
            };
            self.history.add(HistoryKind::AttemptFailed, &state.name, &fault.error)?;
            // The first retrier that names the error decides; when it is exhausted, the others are not asked.
            let retrier = work.retriers.iter().zip(&mut retries).find(|(retrier, _)| fault.matches(&retrier.errors));
            if let Some((retrier, made)) = retrier
                && *made < retrier.attempts_max
            {
                let delay = retrier.delay(*made, &mut *self.rng.lock().unwrap_or_else(PoisonError::into_inner));
                *made += 1;
                self.history.add(HistoryKind::RetryScheduled, &state.name, &fault.error)?;
                self.services.clock.sleep(delay).await;
                continue;
            }
            let Some(catcher) = work.catchers.iter().find(|catcher| fault.matches(&catcher.errors)) else {
                return Err(fault);
            };
            self.history.add(HistoryKind::Caught, &state.name, &fault.error)?;
            let output = catcher.result_path.apply(raw, fault.to_output())?;
            check_size(&state.name, &output)?;
            return Ok(Step::Go(catcher.next.clone(), output));
        }
    }

    async fn attempt(&self, state: &State, work: &Work, raw: &Value, context: &Value) -> Result<Value, Fault> {
        let input = select(&state.input_path, "InputPath", raw, context)?;
        let result = match &work.action {
            Action::Task { resource, timeout } => {
                let limit = timeout.as_ref().map(|timeout| seconds(timeout, &input, context)).transpose()?;
                let payload = fill(work.parameters.as_ref(), input, context, &self.rng)?;
                check_size(&state.name, &payload)?;
                let call = self.call(resource, payload);
                match limit {
                    None => call.await?,
                    Some(limit) => self.within(Duration::from_secs(limit), &state.name, call).await?,
                }
            }
            Action::Map { items_path, concurrency, graph } => {
                let items = items_path.select(&input, context);
                let items = items.as_deref().and_then(Value::as_array).ok_or_else(|| {
                    Fault::runtime(format!("state `{}`: no array is at `{}`", state.name, items_path.text()))
                })?;
                self.map(graph, items, work.parameters.as_ref(), &input, context, *concurrency).await?
            }
            Action::Parallel { branches } => {
                let input = fill(work.parameters.as_ref(), input, context, &self.rng)?;
                let item = context["Map"].clone();
                let runs = branches.iter().map(|branch| self.run_graph(branch, input.clone(), item.clone()));
                Value::Array(futures::future::try_join_all(runs).await?)
            }
        };
        let result = fill(work.result_selector.as_ref(), result, context, &self.rng)?;
        let output = work.result_path.apply(raw.clone(), result)?;
        let output = select(&state.output_path, "OutputPath", &output, context)?;
        check_size(&state.name, &output)?;
        Ok(output)
    }

    async fn map(
        &self,
        graph: &Graph,
        items: &[Value],
        selector: Option<&Template>,
        input: &Value,
        context: &Value,
        concurrency: usize,
    ) -> Result<Value, Fault> {
        let mut runs = Vec::with_capacity(items.len());
        for (index, value) in items.iter().enumerate() {
            let item = json!({"Item": {"Index": index, "Value": value}});
            let mut context = context.clone();
            context["Map"] = item.clone();
            let start = match selector {
                None => value.clone(),
                Some(selector) => selector.evaluate(&Scope { input, context: &context, rng: &self.rng })?,
            };
            let run = self.run_graph(graph, start, item);
            let indexed: BoxFuture<'_, Result<(usize, Value), Fault>> =
                Box::pin(async move { Ok((index, run.await?)) });
            runs.push(indexed);
        }
        // The first iteration that fails drops, and so stops, the others.
        let mut done: Vec<(usize, Value)> = stream::iter(runs).buffer_unordered(concurrency).try_collect().await?;
        done.sort_by_key(|(index, _)| *index);
        Ok(Value::Array(done.into_iter().map(|(_, output)| output).collect()))
    }

    async fn call(&self, resource: &Resource, payload: Value) -> Result<Value, Fault> {
        match resource {
            Resource::Function(name) => Ok(self.services.lambda.invoke(name, payload).await?),
            Resource::EcsRunTaskSync => self.services.ecs.run_task(&payload).await,
            Resource::LambdaInvoke => {
                let Value::Object(mut parameters) = payload else {
                    return Err(Fault::runtime("lambda:invoke: `Parameters` must be an object"));
                };
                let function = parameters.remove("FunctionName");
                let function = function.as_ref().and_then(Value::as_str);
                let function =
                    function.ok_or_else(|| Fault::runtime("lambda:invoke: `FunctionName` must be a string"))?;
                let event = parameters.remove("Payload").unwrap_or_else(|| json!({}));
                let result = self.services.lambda.invoke(function, event).await?;
                Ok(json!({"Payload": result, "StatusCode": 200}))
            }
        }
    }

    async fn within<T>(
        &self,
        limit: Duration,
        what: &str,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        tokio::select! {
            biased;
            result = work => result,
            () = self.services.clock.sleep(limit) => {
                Err(Fault::new(TIMEOUT, format!("{what} took longer than {} s", limit.as_secs())))
            }
        }
    }

    async fn wait(&self, wait: &WaitFor, scope: &Scope<'_>) -> Result<(), Fault> {
        let until = match wait {
            WaitFor::Seconds(fixed_or_path) => {
                let limit = seconds(fixed_or_path, scope.input, scope.context)?;
                self.services.clock.sleep(Duration::from_secs(limit)).await;
                return Ok(());
            }
            WaitFor::Timestamp(at) => *at,
            WaitFor::TimestampAt(path) => path
                .select(scope.input, scope.context)
                .and_then(|value| DateTime::parse_from_rfc3339(value.as_str()?).ok())
                .ok_or_else(|| Fault::runtime(format!("no RFC 3339 timestamp is at `{}`", path.text())))?,
        };
        self.services.clock.sleep_until(Timestamp(until.timestamp_micros())).await;
        Ok(())
    }

    fn context_of(&self, state: &State, item: &Value, retry_count: u64) -> Value {
        let mut context = self.context.clone();
        let entered = self.services.clock.now().to_rfc3339_micros();
        context["State"] = json!({"Name": state.name, "EnteredTime": entered, "RetryCount": retry_count});
        if !item.is_null() {
            context["Map"] = item.clone();
        }
        context
    }
}

fn select(selection: &Selection, field: &str, value: &Value, context: &Value) -> Result<Value, Fault> {
    match selection {
        Selection::Nothing => Ok(json!({})),
        Selection::At(path) => path
            .select(value, context)
            .map(std::borrow::Cow::into_owned)
            .ok_or_else(|| Fault::runtime(format!("`{field}`: nothing is at `{}`", path.text()))),
    }
}

fn fill(template: Option<&Template>, input: Value, context: &Value, rng: &Mutex<ChaCha8Rng>) -> Result<Value, Fault> {
    match template {
        None => Ok(input),
        Some(template) => template.evaluate(&Scope { input: &input, context, rng }),
    }
}

fn seconds(value: &Seconds, input: &Value, context: &Value) -> Result<u64, Fault> {
    match value {
        Seconds::Fixed(seconds) => Ok(*seconds),
        Seconds::At(path) => path
            .select(input, context)
            .and_then(|value| value.as_u64())
            .ok_or_else(|| Fault::runtime(format!("no whole number of seconds is at `{}`", path.text()))),
    }
}

fn fail_text(text: &FailText, scope: &Scope<'_>) -> Result<String, Fault> {
    match text {
        FailText::None => Ok(String::new()),
        FailText::Fixed(text) => Ok(text.clone()),
        FailText::Expression(expression) => {
            let not_text = |what: &str| Fault::runtime(format!("Fail: no string is at {what}"));
            let what = if let Expression::Path(path) = expression { path.text() } else { "the function's result" };
            match expression.evaluate(scope) {
                Ok(Value::String(text)) => Ok(text),
                _ => Err(not_text(what)),
            }
        }
    }
}

fn check_size(what: &str, value: &Value) -> Result<(), Fault> {
    let mut counter = Counter(0);
    let fits = serde_json::to_writer(&mut counter, value).is_ok();
    if fits {
        return Ok(());
    }
    Err(Fault::new(DATA_LIMIT, format!("{what}: more than {PAYLOAD_BYTES_MAX} bytes of JSON")))
}

/// Counts bytes and fails beyond the limit, so that nothing large is ever rendered.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        if self.0 > PAYLOAD_BYTES_MAX { Err(std::io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

//! Fakes the tests share: handlers out of closures, a Step Functions service around them, and a driver of virtual time.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use lakebed_contract::{
    Clock, EventSink, Handler, HandlerError, HandlerRegistry, Invocation, RunEvent, Seed, Timestamp,
};
use lakebed_flow::{EcsConfig, StepFunctions, StepFunctionsConfig, StepFunctionsError};
use serde_json::Value;

type Function = dyn Fn(Value) -> Result<Value, HandlerError> + Send + Sync;

struct Closure(Box<Function>);

#[async_trait]
impl Handler for Closure {
    async fn invoke(&self, _: &Invocation, payload: Value) -> Result<Value, HandlerError> {
        if payload["hang"] == true {
            std::future::pending::<()>().await;
        }
        (self.0)(payload)
    }
}

/// A handler out of a closure. A payload with `"hang": true` never returns.
pub(crate) fn handler(
    function: impl Fn(Value) -> Result<Value, HandlerError> + Send + Sync + 'static,
) -> Arc<dyn Handler> {
    Arc::new(Closure(Box::new(function)))
}

/// Lets every ready task run, then moves time on by a tenth of a second, until `work` is done.
pub(crate) async fn drive<T>(clock: &Clock, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    loop {
        for _ in 0..20 {
            tokio::select! {
                biased;
                output = &mut work => return output,
                () = tokio::task::yield_now() => (),
            }
        }
        clock.advance(Duration::from_millis(100));
    }
}

/// A service with the given machines and handlers, on a virtual clock, with its events.
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) registry: HandlerRegistry,
    pub(crate) ecs: EcsConfig,
    pub(crate) events: Arc<Mutex<Vec<RunEvent>>>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            clock: Clock::virtual_at(Timestamp::from_seconds(1_000_000)),
            registry: HandlerRegistry::default(),
            ecs: shell("exit 99"),
            events: Arc::default(),
        }
    }

    pub(crate) fn on(
        mut self,
        name: &str,
        function: impl Fn(Value) -> Result<Value, HandlerError> + Send + Sync + 'static,
    ) -> Self {
        self.registry.register(name, handler(function));
        self
    }

    pub(crate) fn sink(&self) -> EventSink {
        let events = self.events.clone();
        EventSink::new(move |event| events.lock().expect("not poisoned").push(event))
    }

    pub(crate) fn machines(&self, machines: &[(&str, String)]) -> Result<Arc<StepFunctions>, StepFunctionsError> {
        StepFunctions::new(StepFunctionsConfig {
            machines: machines
                .iter()
                .map(|(name, text)| ((*name).to_owned(), text.clone()))
                .collect::<BTreeMap<_, _>>(),
            registry: self.registry.clone(),
            ecs: self.ecs.clone(),
            lambda_concurrency_max: 4,
            clock: self.clock.clone(),
            seed: Seed(7),
            events: self.sink(),
        })
    }
}

/// Tasks run this shell script; standard input is `<task definition> <TASK_INPUT>`.
pub(crate) fn shell(script: &str) -> EcsConfig {
    EcsConfig {
        program: PathBuf::from("sh"),
        args: vec!["-c".to_owned(), script.to_owned()],
        stdin: Arc::new(|definition, input| format!("{definition} {input}\n").into_bytes()),
    }
}

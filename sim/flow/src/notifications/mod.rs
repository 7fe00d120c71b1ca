//! S3 event notifications: each document out of the store's channel invokes `dm-processing-controller`.
//!
//! Promises: at most [`NOTIFICATIONS_CONCURRENT_MAX`] at once, no order, [`NOTIFICATION_ATTEMPTS_MAX`] attempts each on the
//! given clock. A document that fails them all is counted, told as an event, and given up: the sweeper finds its objects.

mod disturb;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lakebed_contract::handler::PROCESSING_CONTROLLER;
use lakebed_contract::{Clock, EventSink, HandlerError, HandlerRegistry, Seed};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Backoff;
use crate::error::FlowError;
use crate::gauge::{Gauge, Level};
use crate::lambda::{Lambda, LambdaSettings};

pub use disturb::{DISTURBED_QUEUE_MAX, HELD_MAX, disturb};

/// Invocations at once; more documents wait in the store's channel.
pub const NOTIFICATIONS_CONCURRENT_MAX: usize = 8;
/// Attempts per document.
pub const NOTIFICATION_ATTEMPTS_MAX: u32 = 5;
const WAIT_START: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(5);
const COMMANDS_WAITING_MAX: usize = 8;

/// What has become of the documents so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotificationCounts {
    /// Documents the controller took.
    pub delivered: u64,
    /// Documents given up after all attempts.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    delivered: AtomicU64,
    failed: AtomicU64,
}

impl Counters {
    fn counts(&self) -> NotificationCounts {
        NotificationCounts {
            delivered: self.delivered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

enum Command {
    Idle(oneshot::Sender<NotificationCounts>),
    Stop(oneshot::Sender<NotificationCounts>),
}

/// The running delivery. Dropping it stops it at once.
#[derive(Debug)]
pub struct NotificationHandle {
    commands: mpsc::Sender<Command>,
    counters: Arc<Counters>,
    gauge: Gauge,
    _task: AbortOnDropHandle<()>,
}

/// Begins to deliver the documents of `documents`. Must be called inside a Tokio runtime.
pub fn start_notifications(
    documents: mpsc::Receiver<Value>,
    registry: HandlerRegistry,
    clock: Clock,
    events: EventSink,
) -> NotificationHandle {
    let settings = LambdaSettings::with_concurrency(NOTIFICATIONS_CONCURRENT_MAX);
    // Only request ids are drawn, and those must be unique rather than repeatable.
    let lambda = Lambda::new(registry, settings, clock.clone(), Seed(0).child("flow/notifications"));
    let counters = Arc::new(Counters::default());
    let (commands, receiver) = mpsc::channel(COMMANDS_WAITING_MAX);
    let waiting = Level::default();
    let gauge = Gauge::of("s3.notifications", Some(documents.max_capacity() as u64), &waiting);
    let delivery = Delivery { lambda, clock, events, counters: counters.clone() };
    let task = AbortOnDropHandle::new(tokio::spawn(run(delivery, documents, receiver, waiting)));
    NotificationHandle { commands, counters, gauge, _task: task }
}

impl NotificationHandle {
    /// Waits until every document that lay in the channel has been delivered or given up.
    pub async fn idle(&self) -> Result<NotificationCounts, FlowError> {
        self.ask(Command::Idle).await
    }

    /// As [`Self::idle`], then ends.
    pub async fn stop(self) -> Result<NotificationCounts, FlowError> {
        self.ask(Command::Stop).await
    }

    /// How many documents wait.
    pub fn gauges(&self) -> Vec<Gauge> {
        vec![self.gauge.clone()]
    }

    /// Counts so far.
    pub fn counts(&self) -> NotificationCounts {
        self.counters.counts()
    }

    async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<NotificationCounts>) -> Command,
    ) -> Result<NotificationCounts, FlowError> {
        let stopped = || FlowError::Stopped { name: "s3 notifications".to_owned() };
        let (reply, answer) = oneshot::channel();
        self.commands.send(command(reply)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())
    }
}

#[derive(Clone)]
struct Delivery {
    lambda: Arc<Lambda>,
    clock: Clock,
    events: EventSink,
    counters: Arc<Counters>,
}

async fn run(
    delivery: Delivery,
    mut documents: mpsc::Receiver<Value>,
    mut commands: mpsc::Receiver<Command>,
    waiting: Level,
) {
    let mut running = JoinSet::new();
    let mut is_open = true;
    loop {
        waiting.set(documents.len() as u64);
        tokio::select! {
            biased;
            Some(_) = running.join_next() => (),
            document = documents.recv(), if is_open && running.len() < NOTIFICATIONS_CONCURRENT_MAX => match document {
                Some(document) => {
                    running.spawn(delivery.clone().deliver(document));
                }
                None => is_open = false,
            },
            // Asked last: everything that is ready above goes first, so an answer means idle.
            command = commands.recv(), if running.is_empty() => match command {
                Some(Command::Idle(reply)) => {
                    let _unheard = reply.send(delivery.counters.counts());
                }
                Some(Command::Stop(reply)) => {
                    let _unheard = reply.send(delivery.counters.counts());
                    return;
                }
                None => return,
            },
        }
    }
}

impl Delivery {
    async fn deliver(self, document: Value) {
        match invoke_controller(&self.lambda, &self.clock, &document).await {
            Ok(_) => {
                self.counters.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                self.counters.failed.fetch_add(1, Ordering::Relaxed);
                self.events.log(format!("s3 notifications: gave up a document: {error}"));
            }
        }
    }
}

/// Invokes the controller, with retries of failures that may pass.
pub(crate) async fn invoke_controller(lambda: &Lambda, clock: &Clock, document: &Value) -> Result<Value, HandlerError> {
    let mut backoff = Backoff::new(WAIT_START, WAIT_MAX);
    let mut attempt = 1;
    loop {
        match lambda.invoke(PROCESSING_CONTROLLER, document.clone()).await {
            Err(error) if error.retryable && attempt < NOTIFICATION_ATTEMPTS_MAX => backoff.wait(clock).await,
            ended => return ended,
        }
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use lakebed_contract::{Handler, Invocation, Timestamp};
    use serde_json::json;

    /// Fails as often as the document says, then succeeds.
    #[derive(Default)]
    struct Flaky(AtomicU64);

    #[async_trait]
    impl Handler for Flaky {
        async fn invoke(&self, _: &Invocation, payload: Value) -> Result<Value, HandlerError> {
            let call = self.0.fetch_add(1, Ordering::SeqCst);
            if payload["permanent"] == true {
                return Err(HandlerError::permanent("Bad", "on purpose"));
            }
            if call < payload["failures"].as_u64().unwrap_or(0) {
                return Err(HandlerError::transient("Lambda.ServiceException", "on purpose"));
            }
            Ok(json!({}))
        }
    }

    async fn deliver(documents: Vec<Value>) -> (NotificationCounts, u64) {
        let clock = Clock::virtual_at(Timestamp::from_seconds(0));
        let flaky = Arc::new(Flaky::default());
        let mut registry = HandlerRegistry::default();
        registry.register(PROCESSING_CONTROLLER, flaky.clone());
        let (sender, receiver) = mpsc::channel(100);
        let handle = start_notifications(receiver, registry, clock.clone(), EventSink::default());
        for document in documents {
            sender.send(document).await.expect("open");
        }
        let idle = tokio::spawn(async move {
            let counts = handle.idle().await.expect("idle");
            assert_eq!(counts, handle.counts());
            handle.stop().await.expect("stops")
        });
        while !idle.is_finished() {
            tokio::task::yield_now().await;
            clock.advance(Duration::from_secs(1));
        }
        (idle.await.expect("no panic"), flaky.0.load(Ordering::SeqCst))
    }

    #[tokio::test]
    async fn documents_are_delivered_with_bounded_retries() {
        let cases = [
            (vec![json!({}); 20], (20, 0), 20),
            (vec![json!({"failures": 4})], (1, 0), 5),
            (vec![json!({"failures": 99})], (0, 1), 5),
            (vec![json!({"permanent": true})], (0, 1), 1),
            (vec![], (0, 0), 0),
        ];
        for (documents, (delivered, failed), calls) in cases {
            let expected = NotificationCounts { delivered, failed };
            assert_eq!(deliver(documents.clone()).await, (expected, calls), "{documents:?}");
        }
    }
}

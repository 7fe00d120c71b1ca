//! Hands recorded events to their receiver, in order, at least once.
//!
//! The backlog is the outbox table of the index, so it outlives the process and costs no memory; writers never wait for
//! the receiver. When [`OUTBOX_EVENTS_MAX`] events wait, new writes are refused with `SlowDown`, loudly, until some are
//! taken: no event is dropped.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lakebed_contract::{Clock, EventSink};
use s3s::{S3Result, s3_error};
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::notification::OUTBOX_EVENTS_MAX;
use super::store::S3Store;
use super::{blocking, internal};

/// Events read from the index at once.
const BATCH_EVENTS: usize = 256;
/// Pause after the index could not be read.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// How many events wait, and who has to know.
pub(super) struct Outbox {
    pending: AtomicU64,
    full_was_logged: AtomicBool,
    arrived: Notify,
    events: EventSink,
}

impl Outbox {
    /// `pending` events are left from an earlier process.
    pub(super) fn new(pending: u64, events: EventSink) -> Self {
        if pending > 0 {
            events.log(format!("cloud: {pending} S3 notifications of an earlier run wait for delivery"));
        }
        let (pending, full_was_logged) = (AtomicU64::new(pending), AtomicBool::new(false));
        Self { pending, full_was_logged, arrived: Notify::new(), events }
    }

    pub(super) fn pending(&self) -> u64 {
        self.pending.load(Ordering::Acquire)
    }

    /// One more event is in the index.
    pub(super) fn added(&self) {
        self.pending.fetch_add(1, Ordering::AcqRel);
        self.arrived.notify_one();
    }

    /// `SlowDown` while the backlog is at its limit.
    pub(super) fn admit(&self) -> S3Result<()> {
        if self.pending() < OUTBOX_EVENTS_MAX {
            self.full_was_logged.store(false, Ordering::Relaxed);
            return Ok(());
        }
        if !self.full_was_logged.swap(true, Ordering::Relaxed) {
            tracing::error!(limit = OUTBOX_EVENTS_MAX, "the backlog of S3 notifications is full; writes are refused");
            self.events.log(format!(
                "cloud: {OUTBOX_EVENTS_MAX} S3 notifications wait for their receiver; writes are refused with SlowDown"
            ));
        }
        Err(s3_error!(SlowDown, "too many undelivered notifications"))
    }

    fn delivered(&self, count: u64) {
        self.pending.fetch_sub(count, Ordering::AcqRel);
    }
}

/// The task that hands events over.
pub(super) struct Delivery {
    receiver: mpsc::Sender<Value>,
    /// Stop when nothing is left.
    finish: CancellationToken,
    /// Stop now.
    abandon: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Delivery {
    pub(super) fn new(receiver: mpsc::Sender<Value>) -> Self {
        let (finish, abandon) = (CancellationToken::new(), CancellationToken::new());
        Self { receiver, finish, abandon, task: Mutex::new(None) }
    }

    /// Starts the task.
    pub(super) fn start(&self, store: Arc<S3Store>, outbox: Arc<Outbox>) {
        let (receiver, finish, abandon) = (self.receiver.clone(), self.finish.clone(), self.abandon.clone());
        let task = tokio::spawn(async move {
            let deliver = deliver(&store, &outbox, &receiver, &finish);
            tokio::select! {
                () = deliver => (),
                () = abandon.cancelled() => (),
            }
        });
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Ends the task without waiting.
    pub(super) fn abandon(&self) {
        self.abandon.cancel();
    }

    /// Hands over what is left, for at most `grace`.
    pub(super) async fn stop(&self, grace: Duration) {
        self.finish.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut task) = task else { return };
        let wall = Clock::wall();
        let ended = tokio::select! {
            ended = &mut task => ended,
            () = wall.sleep(grace) => {
                self.abandon.cancel();
                task.await
            }
        };
        if let Err(error) = ended {
            tracing::error!(%error, "the delivery of S3 notifications ended badly");
        }
    }
}

async fn deliver(store: &Arc<S3Store>, outbox: &Outbox, receiver: &mpsc::Sender<Value>, finish: &CancellationToken) {
    loop {
        let batch = {
            let store = Arc::clone(store);
            blocking(move || store.index().outbox(BATCH_EVENTS).map_err(internal("read the outbox"))).await
        };
        let Ok(batch) = batch else {
            Clock::wall().sleep(RETRY_PAUSE).await;
            continue;
        };
        if batch.is_empty() {
            if finish.is_cancelled() {
                return;
            }
            tokio::select! {
                () = outbox.arrived.notified() => (),
                () = finish.cancelled() => (),
            }
            continue;
        }
        let (delivered, is_open) = hand_over(&batch, receiver).await;
        if let Some(last) = delivered.checked_sub(1).and_then(|at| batch.get(at)).map(|(id, _)| *id) {
            let store = Arc::clone(store);
            let forgotten =
                blocking(move || store.index().forget_events(last).map_err(internal("forget delivered events"))).await;
            if forgotten.is_ok() {
                outbox.delivered(delivered as u64);
            }
        }
        if !is_open {
            let left = outbox.pending();
            tracing::error!(left, "nobody receives S3 notifications any more");
            outbox
                .events
                .log(format!("cloud: nobody receives S3 notifications any more; {left} wait for the next start"));
            return;
        }
    }
}

/// How many of `batch` the receiver took, and whether it still listens.
async fn hand_over(batch: &[(i64, String)], receiver: &mpsc::Sender<Value>) -> (usize, bool) {
    for (at, (_, document)) in batch.iter().enumerate() {
        let document = serde_json::from_str(document).expect("the outbox holds what we wrote as JSON");
        if receiver.send(document).await.is_err() {
            return (at, false);
        }
    }
    (batch.len(), true)
}

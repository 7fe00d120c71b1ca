//! Hands recorded events to their receivers, in order, at least once.
//!
//! A receiver is the process's own, or an HTTP address ([`http_receiver`]). Each has a task and a position of its own, so
//! one that is slow or dead does not hold up the other. The backlog is the outbox table of the index, so it outlives the
//! process and costs no memory; writers never wait for a receiver. When [`OUTBOX_EVENTS_MAX`] events wait for one, new
//! writes are refused with `SlowDown`, loudly, until some are taken: no event is dropped. A receiver that fails when the
//! stores are to stop is not waited for: what it has not taken waits for the next start.

mod http_receiver;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lakebed_contract::{Clock, EventSink};
use s3s::{S3Result, s3_error};
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use http_receiver::HttpReceiver;

use super::index::{Index, SqlResult};
use super::notification::OUTBOX_EVENTS_MAX;
use super::store::S3Store;
use super::{blocking, internal};
use crate::config::CloudConfig;
use crate::error::CloudError;

/// Events read from the index at once.
const BATCH_EVENTS: usize = 256;
/// Pause after the index could not be read or written.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// How many events wait, and who has to know.
pub(super) struct Outbox {
    pending: AtomicU64,
    full_was_logged: AtomicBool,
    arrivals: watch::Sender<()>,
    events: EventSink,
}

impl Outbox {
    /// `pending` events are left from an earlier process.
    pub(super) fn new(pending: u64, events: EventSink) -> Self {
        if pending > 0 {
            events.log(format!("cloud: {pending} S3 notifications of an earlier run wait for delivery"));
        }
        let (pending, full_was_logged) = (AtomicU64::new(pending), AtomicBool::new(false));
        Self { pending, full_was_logged, arrivals: watch::Sender::new(()), events }
    }

    /// Events that not every receiver has taken.
    pub(super) fn pending(&self) -> u64 {
        self.pending.load(Ordering::Acquire)
    }

    /// One more event is in the index.
    pub(super) fn added(&self) {
        self.pending.fetch_add(1, Ordering::AcqRel);
        self.arrivals.send_replace(());
    }

    /// `SlowDown` while the backlog is at its limit.
    pub(super) fn admit(&self) -> S3Result<()> {
        if self.pending() < OUTBOX_EVENTS_MAX {
            return Ok(());
        }
        if !self.full_was_logged.swap(true, Ordering::Relaxed) {
            tracing::error!(limit = OUTBOX_EVENTS_MAX, "the backlog of S3 notifications is full; writes are refused");
            self.events.log(format!(
                "cloud: {OUTBOX_EVENTS_MAX} S3 notifications wait for a receiver; writes are refused with SlowDown"
            ));
        }
        Err(s3_error!(SlowDown, "too many undelivered notifications"))
    }

    pub(super) fn delivered(&self, count: u64) {
        let left = self.pending.fetch_sub(count, Ordering::AcqRel).saturating_sub(count);
        // Not as soon as one fits: close to the limit it would be logged again with every batch.
        if left < OUTBOX_EVENTS_MAX / 2 {
            self.full_was_logged.store(false, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
impl Outbox {
    /// As if nobody had taken anything for long.
    pub(super) fn fill(&self) {
        self.pending.store(OUTBOX_EVENTS_MAX, Ordering::Release);
    }
}

/// Who takes events.
enum Receiver {
    Process(mpsc::Sender<Value>),
    Http(HttpReceiver),
}

/// What became of a batch.
struct Handed {
    /// Events that were taken, from the first on.
    taken: usize,
    then: Then,
}

enum Then {
    GoOn,
    /// The next event was not taken; it is to be tried again after a pause.
    Retry(Duration),
    /// Nobody will take the next event.
    End,
}

impl Receiver {
    /// As in the index.
    fn name(&self) -> &'static str {
        match self {
            Self::Process(_) => "process",
            Self::Http(_) => "http",
        }
    }

    async fn hand_over(&mut self, batch: &[(i64, String)], events: &EventSink) -> Handed {
        match self {
            Self::Process(sender) => {
                for (taken, (_, document)) in batch.iter().enumerate() {
                    let document = serde_json::from_str(document).expect("the outbox holds what we wrote as JSON");
                    if sender.send(document).await.is_err() {
                        return Handed { taken, then: Then::End };
                    }
                }
            }
            Self::Http(receiver) => {
                for (taken, (_, document)) in batch.iter().enumerate() {
                    if let Err(pause) = receiver.post(document, events).await {
                        return Handed { taken, then: Then::Retry(pause) };
                    }
                }
            }
        }
        Handed { taken: batch.len(), then: Then::GoOn }
    }
}

/// The tasks that hand events over, one for each receiver.
pub(super) struct Delivery {
    /// Until the tasks start.
    receivers: Mutex<Vec<Receiver>>,
    /// Stop when nothing is left.
    finish: CancellationToken,
    /// Stop now.
    abandon: CancellationToken,
    tasks: Mutex<JoinSet<()>>,
}

impl Delivery {
    /// To the receivers of a configuration; `None` if it names none.
    pub(super) fn of(config: &CloudConfig) -> Result<Option<Self>, CloudError> {
        let process = config.notifications.clone().map(Receiver::Process);
        let http =
            config.notify_url.as_ref().map(|url| HttpReceiver::at(url.expose())).transpose()?.map(Receiver::Http);
        let receivers: Vec<Receiver> = process.into_iter().chain(http).collect();
        if receivers.is_empty() {
            return Ok(None);
        }
        let (finish, abandon) = (CancellationToken::new(), CancellationToken::new());
        Ok(Some(Self { receivers: Mutex::new(receivers), finish, abandon, tasks: Mutex::default() }))
    }

    /// Makes the receivers known to the index, before anything is counted in it.
    pub(super) fn register(&self, index: &mut Index, events: &EventSink) -> SqlResult<()> {
        let names: Vec<&str> = lock(&self.receivers).iter().map(Receiver::name).collect();
        for gone in index.set_receivers(&names)? {
            events.log(format!("cloud: S3 notifications are no longer kept for the receiver `{gone}`: there is none"));
        }
        Ok(())
    }

    /// Starts the tasks.
    pub(super) fn start(&self, store: &Arc<S3Store>, outbox: &Arc<Outbox>) {
        let mut tasks = lock(&self.tasks);
        for receiver in lock(&self.receivers).drain(..) {
            let (store, outbox) = (Arc::clone(store), Arc::clone(outbox));
            let (finish, abandon) = (self.finish.clone(), self.abandon.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = deliver(&store, &outbox, receiver, &finish) => (),
                    () = abandon.cancelled() => (),
                }
            });
        }
    }

    /// Ends the tasks without waiting.
    pub(super) fn abandon(&self) {
        self.abandon.cancel();
    }

    /// Hands over what is left, for at most `grace`.
    pub(super) async fn stop(&self, grace: Duration) {
        self.finish.cancel();
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        let wall = Clock::wall();
        tokio::select! {
            () = ended(&mut tasks) => return,
            () = wall.sleep(grace) => self.abandon.cancel(),
        }
        ended(&mut tasks).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn ended(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a delivery of S3 notifications ended badly");
        }
    }
}

async fn deliver(store: &Arc<S3Store>, outbox: &Outbox, mut receiver: Receiver, finish: &CancellationToken) {
    let name = receiver.name();
    let mut arrivals = outbox.arrivals.subscribe();
    loop {
        // Before the look: what arrives behind it is a change.
        arrivals.mark_unchanged();
        let Ok(batch) = waiting(store, name).await else {
            Clock::wall().sleep(RETRY_PAUSE).await;
            continue;
        };
        if batch.is_empty() {
            if finish.is_cancelled() {
                return;
            }
            tokio::select! {
                // The outbox holds the sender, so there is always one.
                _changed = arrivals.changed() => (),
                () = finish.cancelled() => (),
            }
            continue;
        }
        let Handed { taken, then } = receiver.hand_over(&batch, &outbox.events).await;
        if let Some(last) = taken.checked_sub(1).and_then(|at| batch.get(at)).map(|(id, _)| *id) {
            match record(store, name, last).await {
                Ok(forgotten) => outbox.delivered(forgotten),
                // They will be handed over again.
                Err(_logged) => Clock::wall().sleep(RETRY_PAUSE).await,
            }
        }
        match then {
            Then::GoOn => (),
            Then::Retry(pause) => {
                let wall = Clock::wall();
                let is_over = tokio::select! {
                    biased;
                    () = finish.cancelled() => true,
                    () = wall.sleep(pause) => false,
                };
                if is_over {
                    let left = outbox.pending();
                    outbox.events.log(format!("cloud: {left} S3 notifications wait for the next start"));
                    return;
                }
            }
            Then::End => {
                let left = outbox.pending();
                tracing::error!(left, "nobody receives S3 notifications any more");
                outbox
                    .events
                    .log(format!("cloud: nobody receives S3 notifications any more; {left} wait for the next start"));
                return;
            }
        }
    }
}

/// The next events of a receiver.
async fn waiting(store: &Arc<S3Store>, receiver: &'static str) -> S3Result<Vec<(i64, String)>> {
    let store = Arc::clone(store);
    blocking(move || store.index().outbox(receiver, BATCH_EVENTS).map_err(internal("read the outbox"))).await
}

/// Records what a receiver has taken; gives how many events are forgotten by it.
async fn record(store: &Arc<S3Store>, receiver: &'static str, last: i64) -> S3Result<u64> {
    let store = Arc::clone(store);
    blocking(move || store.index().taken(receiver, last).map_err(internal("record delivered events"))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_outbox_is_logged_once_until_half_of_it_is_taken() {
        let lines = Arc::new(Mutex::new(0));
        let sink = {
            let lines = Arc::clone(&lines);
            EventSink::new(move |_| *lock(&lines) += 1)
        };
        let outbox = Outbox::new(0, sink);
        let fill = || {
            outbox.fill();
            let refusal = outbox.admit().expect_err("full");
            assert_eq!(refusal.code().as_str(), "SlowDown");
            *lock(&lines)
        };
        assert_eq!((fill(), fill()), (1, 1));
        outbox.delivered(1);
        assert!(outbox.admit().is_ok());
        assert_eq!(fill(), 1, "a batch was taken");
        outbox.delivered(OUTBOX_EVENTS_MAX / 2 + 1);
        assert_eq!(fill(), 2);
    }
}

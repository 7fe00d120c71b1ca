//! Watches the DMS task's replication slot while it runs, so that the judge can say afterwards whether a position was acknowledged
//! too early (I9).
//!
//! A background task looks at the slot and, whenever the acknowledged position has moved, reads the stream to its tip: looking in
//! this order can only be too kind, never accuse wrongly. What was committed is counted by a second slot, the judge's own, which is
//! peeked at the end and never consumed. In a throw-away run that slot is temporary and the server drops it with our session; where
//! Postgres is kept it outlives a killed process, as the looks do in a file, and is taken over at the next start.
//! Promises: bounded in looks and in the log it holds back; shares no code with DMS; rows never leave the server.

mod log;
mod notes;
mod tail;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lakebed_contract::endpoints::{Endpoints, PostgresEndpoint};
use lakebed_contract::{Clock, EventSink, Lake, Lsn};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::error::HarnessError;
use crate::judge::{SlotHistory, SlotSample};
use log::CommitLog;
use notes::Notes;
use tail::Tail;

/// The judge's own slot and publication.
pub const SLOT: &str = "lakebed_judge";
/// How often the watched slot is looked at.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Looks kept; when there are more, every second of the older ones goes.
pub const SAMPLES_MAX: usize = 4_096;
/// Log that the judge's slot may hold back before the watch gives up.
pub const HELD_LOG_BYTES_MAX: u64 = 8 * 1024 * 1024 * 1024;
/// Looks in a row that fail before the watch gives up.
pub const FAILED_LOOKS_MAX: u32 = 20;
/// File of the looks in a kept state directory.
pub const NOTES_FILE: &str = "slot-watch.jsonl";

const OPEN: &str = "open the watch on the replication slot";
const ASKS_WAITING_MAX: usize = 4;

/// What a watch is made of.
#[derive(Clone, Debug)]
pub struct SlotWatchConfig {
    /// The source; the role needs `REPLICATION` and must own the tables.
    pub postgres: PostgresEndpoint,
    /// Where Kinesis answers.
    pub endpoints: Endpoints,
    /// The tables whose changes count.
    pub lake: Arc<Lake>,
    /// The slot to watch.
    pub watched: String,
    /// Where looks are kept over restarts; `None` for a run that is thrown away.
    pub notes: Option<PathBuf>,
    /// Time.
    pub clock: Clock,
    /// Where a watch that gives up says so.
    pub events: EventSink,
}

/// Takes away the slot that a killed process may have left where nobody will watch: it would hold back the log for ever.
pub async fn discard_leftover(postgres: &PostgresEndpoint) -> Result<(), HarnessError> {
    log::discard_leftover(postgres).await.map_err(HarnessError::stage("drop a leftover of the slot watch"))
}

/// A watch that counts commits, but does not look yet: open it before the watched slot is made.
pub struct OpenWatch {
    config: SlotWatchConfig,
    log: CommitLog,
}

impl OpenWatch {
    /// Makes the judge's slot, or takes over the one an earlier process left.
    pub async fn open(config: SlotWatchConfig) -> Result<Self, HarnessError> {
        let keep = config.notes.is_some();
        let log = CommitLog::open(&config.postgres, &config.lake, keep).await.map_err(HarnessError::stage(OPEN))?;
        Ok(Self { config, log })
    }

    /// Begins to look. `from` is where change capture began or, when it was `resumed`, goes on.
    pub async fn begin(self, from: Lsn, resumed: bool) -> Result<SlotWatch, HarnessError> {
        let Self { config, log } = self;
        let notes = Notes::open(config.notes.as_deref(), from, resumed)?;
        let seen = Arc::new(Seen { notes: Mutex::new(notes), gave_up: Mutex::default() });
        let log = Arc::new(log);
        let (asks, asked) = mpsc::channel(ASKS_WAITING_MAX);
        let look = Look {
            tail: Tail::new(&config.endpoints),
            log: Arc::clone(&log),
            seen: Arc::clone(&seen),
            watched: config.watched.clone(),
            clock: config.clock.clone(),
            events: config.events.clone(),
        };
        let task = tokio::spawn(look.run(asked));
        Ok(SlotWatch { log, seen, asks, task })
    }
}

/// A running watch. Dropping it stops the looking; see [`SlotWatch::close`] for the slot.
pub struct SlotWatch {
    log: Arc<CommitLog>,
    seen: Arc<Seen>,
    asks: mpsc::Sender<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// What both the looking task and its owner see.
struct Seen {
    notes: Mutex<Notes>,
    gave_up: Mutex<Option<String>>,
}

impl SlotWatch {
    /// Looks once more and tells everything that was seen.
    pub async fn history(&self) -> Result<SlotHistory, HarnessError> {
        let (reply, answered) = oneshot::channel();
        if self.asks.send(reply).await.is_ok() {
            // No answer means that the task has ended, and `gave_up` says why.
            let _ended = answered.await;
        }
        let mut history = {
            let notes = self.seen.notes.lock().unwrap_or_else(PoisonError::into_inner);
            notes.history()
        };
        history.gap = self.seen.gave_up.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if history.gap.is_none() {
            history.committed = self.log.committed().await.map_err(HarnessError::stage("count committed changes"))?;
        }
        if let Some(known_from) = self.log.made_at().filter(|made| *made > history.from) {
            history.notes.push(format!("only commits from {known_from} on are known"));
            history.from = known_from;
        }
        Ok(history)
    }

    /// Whether slot and looks outlive this process, to be taken over by the next.
    pub fn is_kept(&self) -> bool {
        self.seen.notes.lock().unwrap_or_else(PoisonError::into_inner).is_kept()
    }

    /// Ends the watch and takes its slot, publication and file away.
    pub async fn close(self) -> Result<(), HarnessError> {
        self.task.abort();
        self.log.discard().await.map_err(HarnessError::stage("close the watch on the replication slot"))?;
        self.seen.notes.lock().unwrap_or_else(PoisonError::into_inner).remove()
    }
}

impl Drop for SlotWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The looking task.
struct Look {
    tail: Tail,
    log: Arc<CommitLog>,
    seen: Arc<Seen>,
    watched: String,
    clock: Clock,
    events: EventSink,
}

impl Look {
    async fn run(mut self, mut asked: mpsc::Receiver<oneshot::Sender<()>>) {
        let (mut last, mut failed) = (None, 0);
        let mut asker: Option<oneshot::Sender<()>> = None;
        loop {
            match self.look(&mut last).await {
                Ok(()) => {
                    failed = 0;
                    if let Some(reply) = asker.take() {
                        // The asker may have gone; then nobody needs the answer.
                        let _gone = reply.send(());
                    }
                }
                Err(error) => {
                    failed += 1;
                    if failed >= FAILED_LOOKS_MAX || matches!(error, LookError::Final(_)) {
                        return self.give_up(&error);
                    }
                }
            }
            if asker.is_some() {
                continue;
            }
            tokio::select! {
                () = self.clock.sleep(LOOK_INTERVAL) => {}
                ask = asked.recv() => match ask {
                    Some(reply) => asker = Some(reply),
                    None => return,
                },
            }
        }
    }

    /// Notes the acknowledged position and what the stream holds, if the position has moved.
    async fn look(&mut self, last: &mut Option<Lsn>) -> Result<(), LookError> {
        let state = self.log.look(&self.watched).await.map_err(LookError::passing)?;
        if state.held_bytes > HELD_LOG_BYTES_MAX {
            let most = HELD_LOG_BYTES_MAX;
            return Err(LookError::Final(format!("the judge's slot would hold back more than {most} bytes of log")));
        }
        let Some(acknowledged) = state.acknowledged.filter(|position| *last != Some(*position)) else { return Ok(()) };
        let held = self.tail.read_to_tip().await.map_err(LookError::passing)?;
        let mut notes = self.seen.notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.add(SlotSample { acknowledged, held }).map_err(LookError::passing)?;
        *last = Some(acknowledged);
        Ok(())
    }

    fn give_up(&self, error: &LookError) {
        let reason = format!("the watch on the slot gave up: {error}");
        self.events.log(reason.clone());
        *self.seen.gave_up.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
    }
}

/// Why a look gave nothing.
#[derive(Debug, thiserror::Error)]
enum LookError {
    /// It may work the next time.
    #[error("{0}")]
    Passing(String),
    /// It will not.
    #[error("{0}")]
    Final(String),
}

impl LookError {
    fn passing(error: impl std::error::Error) -> Self {
        let causes = std::iter::successors(error.source(), |cause| cause.source());
        let text = causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"));
        Self::Passing(text)
    }
}

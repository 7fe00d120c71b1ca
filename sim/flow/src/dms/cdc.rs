//! The change-capture loop: read, assemble, put, acknowledge.
//!
//! One rule carries the guarantee: `reached` is the end of the last transaction (or of the log read while idle) whose rows
//! have all been handed to the batcher, and it is acknowledged only after a flush has emptied the batcher. Rows of an
//! unfinished transaction may be put before their commit is seen (it is already durable at the source: the stream carries
//! committed transactions only); they do not move the acknowledged position.

use std::sync::Arc;

use lakebed_contract::{Clock, Lsn};
use pgwire_replication::{ReplicationClient, ReplicationEvent, ReplicationMetrics};
use tokio::sync::{Notify, watch};

use super::assemble::Assembler;
use super::batch::Batcher;
use super::error::DmsError;
use super::pgoutput::{self, Message, timestamp_from_postgres};
use super::sink::SinkRecord;

/// Stream events that may wait between the connection and the loop.
pub const EVENT_BUFFER_MAX: usize = 1024;

/// What the loop tells its handle.
#[derive(Clone, Debug)]
pub(super) struct CdcState {
    /// Everything up to here is in the sink.
    pub(super) acknowledged: Lsn,
    /// Set once, at the end.
    pub(super) ended: Option<Result<(), Arc<DmsError>>>,
}

/// The loop's own state.
pub(super) struct Cdc {
    client: ReplicationClient,
    metrics: Arc<ReplicationMetrics>,
    /// Told after each feedback that moved the server's position.
    feedback: Arc<Notify>,
    assembler: Assembler,
    batcher: Batcher,
    clock: Clock,
    state: watch::Sender<CdcState>,
    stop: watch::Receiver<bool>,
    /// Events taken from the client; with the client's own count it tells whether another one is waiting.
    received: u64,
    reached: Lsn,
    fresh: Vec<SinkRecord>,
}

impl Cdc {
    pub(super) fn new(
        client: ReplicationClient,
        feedback: Arc<Notify>,
        assembler: Assembler,
        batcher: Batcher,
        clock: Clock,
        state: watch::Sender<CdcState>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let (metrics, reached) = (client.metrics(), state.borrow().acknowledged);
        let fresh = Vec::new();
        Self { client, metrics, feedback, assembler, batcher, clock, state, stop, received: 0, reached, fresh }
    }

    /// Runs until told to stop or until something fails; says so in the shared state.
    pub(super) async fn run(mut self) {
        let captured = self.capture().await;
        // After a failure, too: what was put before it need not come again. The failure itself is the word that counts.
        let left = self.say_goodbye().await;
        let outcome = captured.and(left).map_err(Arc::new);
        self.state.send_modify(|state| state.ended = Some(outcome));
    }

    async fn capture(&mut self) -> Result<(), DmsError> {
        loop {
            if self.received >= self.metrics.events_forwarded() {
                self.settle().await?;
            }
            let event = tokio::select! {
                biased;
                // A dropped handle means stop, too.
                _ = self.stop.changed() => return self.settle().await,
                event = self.client.recv() => event.map_err(DmsError::replication("read the replication stream"))?,
            };
            self.received += 1;
            match event {
                Some(event) => self.take(event).await?,
                None => return Err(DmsError::stream("the server ended it")),
            }
        }
    }

    async fn take(&mut self, event: ReplicationEvent) -> Result<(), DmsError> {
        let mut end = None;
        match event {
            // The client has already read the frame of a transaction; the rows come as bytes.
            ReplicationEvent::Begin { final_lsn, xid, commit_time_micros } => {
                let commit_time = timestamp_from_postgres(commit_time_micros);
                let final_lsn = Lsn(final_lsn.as_u64());
                self.assemble(Message::Begin { final_lsn, commit_time, xid }, final_lsn)?;
            }
            ReplicationEvent::Commit { lsn, end_lsn, commit_time_micros } => {
                let (commit_lsn, end_lsn) = (Lsn(lsn.as_u64()), Lsn(end_lsn.as_u64()));
                let commit_time = timestamp_from_postgres(commit_time_micros);
                end = self.assemble(Message::Commit { commit_lsn, end_lsn, commit_time }, commit_lsn)?;
            }
            ReplicationEvent::XLogData { wal_start, data, .. } => {
                let lsn = Lsn(wal_start.as_u64());
                let message = pgoutput::decode(&data).map_err(|source| DmsError::Decode { lsn, source })?;
                end = self.assemble(message, lsn)?;
            }
            // Everything committed before this position has been sent before it.
            ReplicationEvent::KeepAlive { wal_end, .. } if !self.assembler.in_transaction() => {
                end = Some(Lsn(wal_end.as_u64()));
            }
            ReplicationEvent::KeepAlive { .. } | ReplicationEvent::Message { .. } => (),
            ReplicationEvent::StoppedAt { .. } => return Err(DmsError::stream("it stopped at a position nobody set")),
        }
        for record in self.fresh.drain(..) {
            self.batcher.add(record).await?;
        }
        // Only now: the rows before `end` have all been handed to the batcher.
        self.reached = self.reached.max(end.unwrap_or_default());
        Ok(())
    }

    fn assemble(&mut self, message: Message<'_>, lsn: Lsn) -> Result<Option<Lsn>, DmsError> {
        self.assembler.accept(message, lsn, self.clock.now(), &mut self.fresh)
    }

    /// Puts what is pending and acknowledges what has been reached.
    async fn settle(&mut self) -> Result<(), DmsError> {
        self.batcher.flush().await?;
        let reached = self.reached;
        self.client.update_applied_lsn(pgwire_replication::Lsn::from_u64(reached.0));
        self.state.send_if_modified(|state| {
            let moved = reached > state.acknowledged;
            state.acknowledged = state.acknowledged.max(reached);
            moved
        });
        Ok(())
    }

    /// Makes sure the server has been told the last position, then ends the session. The client's own shutdown would not
    /// tell it, and the slot would replay from an older one.
    async fn say_goodbye(&mut self) -> Result<(), DmsError> {
        let acknowledged = self.state.borrow().acknowledged.0;
        self.client.update_applied_lsn(pgwire_replication::Lsn::from_u64(acknowledged));
        while self.metrics.last_applied_lsn().as_u64() < acknowledged {
            tokio::select! {
                () = self.feedback.notified() => (),
                // Not acknowledged, so it comes again when the slot is resumed.
                event = self.client.recv() => match event.map_err(DmsError::replication("report the last position"))? {
                    Some(_) => (),
                    None => return Err(DmsError::stream("the server ended it before the last position was reported")),
                },
            }
        }
        self.client.shutdown().await.map_err(DmsError::replication("end the replication stream"))
    }
}

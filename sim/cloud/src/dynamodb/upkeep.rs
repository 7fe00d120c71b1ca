//! What the store does without being asked: every minute of the clock it deletes expired items and trims streams.
//!
//! AWS promises neither to the minute (items go within days, records after 24 hours at the earliest); a round a minute
//! is this place's promise. A round works in short pages between which requests go on. On a virtual clock a round is
//! due as soon as the clock has passed its moment, however far it jumped. [`Upkeep::end`] lets the page in hand finish
//! and no other begin. What fails is logged and tried again by the next round.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dynoxide::Database;
use lakebed_contract::{Clock, Timestamp};
use tokio_util::sync::CancellationToken;

use super::changes::{ChangeLog, Expiry, STREAM_RETENTION};
use super::ttl;

/// From one round to the next.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(60);

/// Records trimmed per transaction.
const RECORDS_PER_TRIM: usize = 1_000;

/// The rounds of one store.
pub(super) struct Upkeep {
    tables: Database,
    changes: Arc<ChangeLog>,
    clock: Clock,
    /// Held by the page in hand.
    page: Mutex<()>,
    ended: CancellationToken,
}

impl Upkeep {
    pub(super) fn new(tables: Database, changes: Arc<ChangeLog>, clock: Clock) -> Self {
        Self { tables, changes, clock, page: Mutex::new(()), ended: CancellationToken::new() }
    }

    /// Runs rounds until the store ends. The first is due an interval from this call, whenever it is polled.
    pub(super) fn run(self: Arc<Self>) -> impl Future<Output = ()> + Send {
        let mut due = self.clock.now().plus(UPKEEP_INTERVAL);
        async move {
            loop {
                tokio::select! {
                    () = self.clock.sleep_until(due) => {}
                    () = self.ended.cancelled() => return,
                }
                let now = self.clock.now();
                due = now.plus(UPKEEP_INTERVAL);
                let upkeep = Arc::clone(&self);
                if let Err(error) = tokio::task::spawn_blocking(move || upkeep.round(now)).await {
                    tracing::error!(%error, "a round of upkeep did not finish");
                }
            }
        }
    }

    /// No page begins after this returns, and none is going on.
    pub(super) fn end(&self) {
        self.ended.cancel();
        drop(self.page.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn round(&self, now: Timestamp) {
        match self.changes.expiries(None) {
            Ok(expiries) => expiries.iter().for_each(|expiry| self.expire(expiry, now)),
            Err(error) => tracing::error!(%error, "failed to list the tables whose items expire"),
        }
        match self.changes.streamed_tables() {
            Ok(tables) => tables.iter().for_each(|table| self.trim(table, now)),
            Err(error) => tracing::error!(%error, "failed to list the tables with streams"),
        }
        // After the trim: what is forgotten is not trimmed any more.
        if let Some(Err(error)) = self.unless_ended(|| self.changes.forget(now)) {
            tracing::error!(%error, "failed to forget old shards and streams");
        }
        if let Some(Err(error)) = self.unless_ended(|| self.changes.forget_tokens(now)) {
            tracing::error!(%error, "failed to forget old tokens");
        }
    }

    /// Sweeps one table. Goes by key, so it ends even if the table grows meanwhile.
    fn expire(&self, expiry: &Expiry, now: Timestamp) {
        let (mut start, mut deleted) = (None, 0);
        loop {
            let page = self.unless_ended(|| ttl::sweep_page(&self.tables, &self.changes, expiry, now, start.take()));
            match page {
                None => return,
                Some(Ok(page)) => {
                    deleted += page.deleted;
                    start = page.next;
                }
                Some(Err(error)) => {
                    tracing::error!(%error, table = %expiry.table, "failed to expire items");
                    return;
                }
            }
            if start.is_none() {
                break;
            }
        }
        if deleted > 0 {
            tracing::debug!(table = %expiry.table, deleted, "expired items");
        }
    }

    /// Trims the stream records of one table. Ends because no record that is written meanwhile is old enough.
    fn trim(&self, table: &str, now: Timestamp) {
        let Some(horizon) = horizon(now) else { return };
        loop {
            match self.unless_ended(|| self.changes.trim(table, horizon, RECORDS_PER_TRIM)) {
                Some(Ok(RECORDS_PER_TRIM)) => {}
                None | Some(Ok(_)) => return,
                Some(Err(error)) => {
                    tracing::error!(%error, table, "failed to trim the stream");
                    return;
                }
            }
        }
    }

    fn unless_ended<Outcome>(&self, page: impl FnOnce() -> Outcome) -> Option<Outcome> {
        let _in_hand = self.page.lock().unwrap_or_else(PoisonError::into_inner);
        (!self.ended.is_cancelled()).then(page)
    }
}

/// Records older than this are trimmed; none on a clock that has not run for a day.
fn horizon(now: Timestamp) -> Option<Timestamp> {
    let retention = i64::try_from(STREAM_RETENTION.as_micros()).ok()?;
    now.0.checked_sub(retention).map(Timestamp)
}

//! The caller's end of a running task: wait for a log position, read counts, stop.
//!
//! Dropping a handle stops the task as well, without waiting for it.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use lakebed_contract::Lsn;
use lakebed_contract::endpoints::PostgresEndpoint;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::batch::RowCounts;
use super::cdc::CdcState;
use super::error::DmsError;
use super::{session, slot};

/// A running change capture.
pub struct DmsHandle {
    pub(super) state: watch::Receiver<CdcState>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) counts: RowCounts,
    pub(super) join: JoinHandle<()>,
    pub(super) endpoint: PostgresEndpoint,
    pub(super) slot: String,
}

impl DmsHandle {
    /// Waits until every row committed before `lsn` is in the sink. Give it `pg_current_wal_lsn()`, read after the last
    /// commit of interest.
    ///
    /// # Errors
    /// When the task ends before it gets there.
    pub async fn wait_acknowledged(&self, lsn: Lsn) -> Result<(), DmsError> {
        let mut state = self.state.clone();
        let reached = match state.wait_for(|state| state.acknowledged >= lsn || state.ended.is_some()).await {
            Ok(state) => state.clone(),
            // The loop always leaves a word; if it did not, it panicked.
            Err(_) => return Err(DmsError::stream("the capture loop vanished")),
        };
        match reached.ended {
            _ if reached.acknowledged >= lsn => Ok(()),
            Some(Err(error)) => Err(DmsError::Ended(error)),
            _ => Err(DmsError::Stopped),
        }
    }

    /// Everything up to this position is in the sink; the slot is never acknowledged beyond it.
    pub fn acknowledged(&self) -> Lsn {
        self.state.borrow().acknowledged
    }

    /// Changed rows put so far, by table.
    pub fn rows(&self) -> BTreeMap<String, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts what is pending, reports the last position, ends the session and waits until the slot is free. The slot stays:
    /// a new task of the same name goes on from there.
    ///
    /// # Errors
    /// What ended the task, if it was not this call.
    pub async fn stop(self) -> Result<(), DmsError> {
        // Nobody listens when the loop has already ended; then its word is in the state.
        let _already_ended = self.stop.send(true);
        let vanished = self.join.await.is_err();
        let ended = self.state.borrow().ended.clone();
        match ended {
            Some(Err(error)) => return Err(DmsError::Ended(Arc::clone(&error))),
            Some(Ok(())) if !vanished => (),
            _ => return Err(DmsError::stream("the capture loop vanished")),
        }
        let client = session::connect(&self.endpoint).await?;
        slot::wait_released(&client, &self.slot).await
    }
}

//! One shard of an open stream: its log, whose turn it is to flush it, and who waits for it.
//!
//! Knows nothing of hash keys and lineage, which are the description's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lakebed_contract::Timestamp;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::frame::NewRecord;
use super::group_commit::Turns;
use super::shard_log::ShardLog;
use super::traffic::Traffic;
use crate::config::Fsync;
use crate::durability::sync_dir;
use crate::error::CloudError;

pub(super) const SHARD_DIR_PREFIX: &str = "shard-";

/// The log of one shard.
pub(super) struct Shard {
    pub(super) number: u32,
    log: Mutex<ShardLog>,
    turns: Turns,
    changed: Notify,
    traffic: Mutex<Traffic>,
}

impl Shard {
    /// Opens the log of a shard of the stream in `stream_dir`, or makes it; also gives the bytes of a torn tail that it dropped.
    pub(super) fn open(
        stream_dir: &Path,
        number: u32,
        first_sequence: u64,
        fsync: Fsync,
    ) -> Result<(Arc<Self>, u64), CloudError> {
        let (log, recovery) = ShardLog::open(&shard_dir(stream_dir, number), first_sequence, fsync)?;
        if fsync.flushes() {
            sync_dir(stream_dir).map_err(CloudError::state("flush", stream_dir))?;
        }
        let (turns, changed, traffic) = (Turns::default(), Notify::new(), Mutex::default());
        let shard = Self { number, log: Mutex::new(log), turns, changed, traffic };
        Ok((Arc::new(shard), recovery.dropped_bytes))
    }

    /// Appends, and returns the sequences when the records are as safe as the policy says. After a failed flush they may be
    /// there or not.
    pub(super) fn append(
        &self,
        records: Vec<NewRecord>,
        now: Timestamp,
        horizon: Timestamp,
        above: u64,
    ) -> io::Result<Vec<u64>> {
        let (sequences, round) = {
            let mut log = self.log();
            log.trim(horizon)?;
            (log.append(records, now, above)?, log.round())
        };
        if let Some(round) = round {
            self.turns.settle(&round, || {
                // Who waits for this round is told by its outcome.
                let _told = self.flush();
            })?;
        }
        Ok(sequences)
    }

    /// Puts what was appended before the call on the disk.
    pub(super) fn flush(&self) -> io::Result<()> {
        let Some(flushing) = self.log().begin_flush() else { return Ok(()) };
        let outcome = flushing.file.sync_data();
        self.log().end_flush(&flushing, outcome.is_ok());
        outcome.inspect_err(|error| tracing::error!(%error, shard = self.number, "failed to flush a shard log"))
    }

    /// The shard's log, for one caller at a time.
    pub(super) fn log(&self) -> MutexGuard<'_, ShardLog> {
        // The log changes its own state only after its file, so a panic leaves nothing half done in it.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it was given lately, if its stream is on demand.
    pub(super) fn traffic(&self) -> MutexGuard<'_, Traffic> {
        // Numbers only: at worst a panic elsewhere leaves one second uncounted.
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends when the shard was appended to, or its stream changed, after this call.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Wakes whoever waits for [`Shard::changed`].
    pub(super) fn announce(&self) {
        self.changed.notify_waiters();
    }
}

/// The directory of a shard's log.
pub(super) fn shard_dir(stream_dir: &Path, number: u32) -> PathBuf {
    stream_dir.join(format!("{SHARD_DIR_PREFIX}{number:012}"))
}

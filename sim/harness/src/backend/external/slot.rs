//! Gives the replication slots back. A slot that nobody reads keeps the database's log for ever, and fills its disk.
//!
//! Promises: an orderly end and an interrupted one both drop slot and publication; when that fails, an orderly end says so.

use std::time::Duration;

use lakebed_contract::Clock;
use lakebed_contract::endpoints::PostgresEndpoint;

use crate::error::HarnessError;
use crate::run::{PUBLICATION, SLOT};
use crate::slot_watch;

/// Attempts to drop the slot while the server still ends the session that read it.
const DROP_ATTEMPTS_MAX: u32 = 50;
const DROP_PAUSE: Duration = Duration::from_millis(100);
/// Slot and publication of the DMS task, and of the judge's watch over it.
pub(super) const SLOTS: [(&str, &str); 2] = [(SLOT, PUBLICATION), (slot_watch::SLOT, slot_watch::SLOT)];

/// The slot of a run that is not to be taken up again goes when this is dropped.
pub(super) struct SlotGuard {
    postgres: Option<PostgresEndpoint>,
    on_drop: bool,
}

impl SlotGuard {
    pub(super) fn new(postgres: PostgresEndpoint, on_drop: bool) -> Self {
        Self { postgres: Some(postgres), on_drop }
    }

    /// The orderly way.
    pub(super) async fn release(mut self) -> Result<(), HarnessError> {
        match self.postgres.take() {
            Some(postgres) => drop_slots(&postgres).await,
            None => Ok(()),
        }
    }
}

impl Drop for SlotGuard {
    fn drop(&mut self) {
        let Some(postgres) = self.postgres.take().filter(|_| self.on_drop) else { return };
        // The run's own runtime may be going down, so the last words are spoken from another thread.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(drop_slots(&postgres)),
                Err(error) => Err(HarnessError::stage("start a runtime")(error)),
            }
        });
        let by_hand = "replication slots could not be dropped; drop them by hand";
        match thread.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(slots = ?SLOTS.map(|(slot, _)| slot), ?error, "{by_hand}"),
            // The panic has been printed by its hook.
            Err(_) => tracing::warn!(slots = ?SLOTS.map(|(slot, _)| slot), "{by_hand}"),
        }
    }
}

async fn drop_slots(postgres: &PostgresEndpoint) -> Result<(), HarnessError> {
    const WHAT: &str = "drop the replication slots";
    let clock = Clock::wall();
    let client = lakebed_source::connect(postgres).await.map_err(HarnessError::stage(WHAT))?;
    let end_reader = "SELECT pg_catalog.pg_terminate_backend(active_pid) FROM pg_catalog.pg_replication_slots \
         WHERE slot_name = $1 AND active";
    let drop = "SELECT pg_catalog.pg_drop_replication_slot(slot_name) FROM pg_catalog.pg_replication_slots \
         WHERE slot_name = $1";
    for (slot, publication) in SLOTS {
        let mut attempt = 1;
        loop {
            client.query(end_reader, &[&slot]).await.map_err(HarnessError::stage(WHAT))?;
            match client.query(drop, &[&slot]).await {
                Ok(_) => break,
                Err(error) if attempt >= DROP_ATTEMPTS_MAX => return Err(HarnessError::stage(WHAT)(error)),
                Err(_) => attempt += 1,
            }
            clock.sleep(DROP_PAUSE).await;
        }
        let statement = format!("DROP PUBLICATION IF EXISTS {publication}");
        client.batch_execute(&statement).await.map_err(HarnessError::stage("drop the publications"))?;
    }
    Ok(())
}

//! A lease kept for as long as a piece of work takes.
//!
//! The renewals run beside the work and do not hold it up. Knows nothing of the work.

use std::time::Duration;

use lakebed_contract::Clock;

use crate::control::LEASE;
use crate::error::{IngestError, with_sources};

/// Age of a lease at which it is renewed.
const RENEW_AFTER: Duration = Duration::from_secs(LEASE.as_secs() / 3);

/// Does the work and renews the lease meanwhile. Who has lost it stops: the work would not count. A renewal that fails is made good
/// by the next one, of which there are two before the lease ends.
pub(super) async fn while_renewed<T, R>(
    clock: &Clock,
    mut renew: impl FnMut() -> R,
    work: impl Future<Output = Result<T, IngestError>>,
) -> Result<T, IngestError>
where
    R: Future<Output = Result<(), IngestError>>,
{
    let lost = async {
        loop {
            clock.sleep(RENEW_AFTER).await;
            match renew().await {
                Ok(()) => {}
                Err(lost @ IngestError::LeaseLost { .. }) => return lost,
                Err(error) => tracing::warn!(error = with_sources(&error), "failed to renew a lease"),
            }
        }
    };
    tokio::select! {
        biased;
        done = work => done,
        lost = lost => Err(lost),
    }
}

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

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use lakebed_contract::Timestamp;

    use super::*;

    #[tokio::test]
    async fn a_lease_is_renewed_until_the_work_ends_whatever_becomes_of_one_renewal() {
        let clock = Clock::virtual_at(Timestamp::from_seconds(0));
        let renewals = Arc::<AtomicU32>::default();
        let (end, ended) = tokio::sync::oneshot::channel::<u32>();
        let work = tokio::spawn({
            let (clock, renewals) = (clock.clone(), Arc::clone(&renewals));
            async move {
                let renew = || {
                    let is_second = renewals.fetch_add(1, Ordering::Relaxed) == 1;
                    let failed = IngestError::Held { pk: "pk".to_owned(), until: Timestamp(0) };
                    ready(if is_second { Err(failed) } else { Ok(()) })
                };
                while_renewed(&clock, renew, async { Ok(ended.await.expect("told")) }).await
            }
        });
        for expected in 0..=3 {
            for _ in 0..10 {
                tokio::task::yield_now().await;
            }
            assert_eq!(renewals.load(Ordering::Relaxed), expected);
            clock.advance(RENEW_AFTER);
        }
        end.send(7).expect("the work goes on");
        assert_eq!(work.await.expect("no panic").expect("done"), 7);
    }

    #[tokio::test]
    async fn who_has_lost_the_lease_stops() {
        let clock = Clock::virtual_at(Timestamp::from_seconds(0));
        let lost = || ready(Err(IngestError::LeaseLost { action: "renew", pk: "pk".to_owned(), fence: 1 }));
        let work = tokio::spawn({
            let clock = clock.clone();
            async move { while_renewed(&clock, lost, pending::<Result<(), _>>()).await }
        });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        clock.advance(RENEW_AFTER);
        assert!(matches!(work.await.expect("no panic"), Err(IngestError::LeaseLost { .. })));
    }
}

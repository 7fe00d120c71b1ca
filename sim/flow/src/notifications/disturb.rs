//! Notifications as bad as S3 allows: twice, out of order, or not at all, where a fault plan says so.
//!
//! Stands between the store's channel and the delivery. Promises: a document held back is let go after the next one, or when
//! [`HELD_MAX`] has passed, so nothing stays behind; without a plan the store's channel is used as it is.

use std::time::Duration;

use lakebed_contract::fault::NOTIFICATION_DELIVER;
use lakebed_contract::{Clock, FaultKind, FaultPlan};
use serde_json::Value;
use tokio::sync::mpsc;

/// Longest time a document is held back while no other comes.
pub const HELD_MAX: Duration = Duration::from_secs(1);
/// Documents between the disturbance and the delivery.
pub const DISTURBED_QUEUE_MAX: usize = 64;

/// The documents of `documents`, disturbed by `faults`. Must be called inside a Tokio runtime.
pub fn disturb(documents: mpsc::Receiver<Value>, faults: FaultPlan, clock: Clock) -> mpsc::Receiver<Value> {
    if !faults.faults().iter().any(|fault| fault.stage == NOTIFICATION_DELIVER.stage) {
        return documents;
    }
    let (sender, disturbed) = mpsc::channel(DISTURBED_QUEUE_MAX);
    // Ends when either side is gone.
    tokio::spawn(relay(documents, sender, faults, clock));
    disturbed
}

async fn relay(mut from: mpsc::Receiver<Value>, to: mpsc::Sender<Value>, faults: FaultPlan, clock: Clock) {
    let mut held: Option<Value> = None;
    loop {
        let next = match held {
            None => from.recv().await,
            Some(_) => tokio::select! {
                biased;
                document = from.recv() => document,
                () = clock.sleep(HELD_MAX) => Some(Value::Null),
            },
        };
        let Some(document) = next else { break };
        let mut out = Vec::new();
        // `Null` stands for the end of the wait; the store never sends it.
        if !document.is_null() {
            match faults.strike(&NOTIFICATION_DELIVER) {
                Some(FaultKind::Lose) => continue,
                Some(FaultKind::Duplicate) => out.extend([document.clone(), document]),
                Some(FaultKind::Reorder) if held.is_none() => {
                    held = Some(document);
                    continue;
                }
                _ => out.push(document),
            }
        }
        out.extend(held.take());
        for document in out {
            if to.send(document).await.is_err() {
                return;
            }
        }
    }
    if let Some(document) = held {
        // The delivery may have ended first; then the sweeper finds the object.
        drop(to.send(document).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakebed_contract::fault::{Fault, When};
    use lakebed_contract::{Seed, Timestamp};

    async fn disturbed(kind: FaultKind, occurrences: &[u64], documents: u64) -> Vec<u64> {
        let (stage, operation) = (NOTIFICATION_DELIVER.stage.to_owned(), NOTIFICATION_DELIVER.operation.to_owned());
        let when = When::Occurrences(occurrences.to_vec());
        let faults = FaultPlan::new(Seed(7), vec![Fault { stage, operation, kind, when, delay: Default::default() }]);
        let (sender, receiver) = mpsc::channel(16);
        for document in 1..=documents {
            sender.send(document.into()).await.expect("open");
        }
        drop(sender);
        let clock = Clock::virtual_at(Timestamp::from_seconds(0));
        let mut out = disturb(receiver, faults, clock);
        let mut seen = Vec::new();
        while let Some(document) = out.recv().await {
            seen.push(document.as_u64().expect("a number"));
        }
        seen
    }

    #[tokio::test]
    async fn documents_are_doubled_swapped_or_lost() {
        assert_eq!(disturbed(FaultKind::Duplicate, &[2], 3).await, [1, 2, 2, 3]);
        assert_eq!(disturbed(FaultKind::Reorder, &[1, 3], 4).await, [2, 1, 4, 3]);
        assert_eq!(disturbed(FaultKind::Reorder, &[3], 3).await, [1, 2, 3], "nothing stays behind at the end");
        assert_eq!(disturbed(FaultKind::Lose, &[1], 2).await, [2]);
        assert_eq!(disturbed(FaultKind::Lose, &[], 2).await, [1, 2]);
    }

    #[tokio::test]
    async fn a_held_document_is_let_go_when_no_other_comes() {
        let (stage, operation) = (NOTIFICATION_DELIVER.stage.to_owned(), NOTIFICATION_DELIVER.operation.to_owned());
        let (kind, when) = (FaultKind::Reorder, When::Probability(1.0));
        let fault = Fault { stage, operation, kind, when, delay: Default::default() };
        let clock = Clock::virtual_at(Timestamp::from_seconds(0));
        let (sender, receiver) = mpsc::channel(16);
        let mut out = disturb(receiver, FaultPlan::new(Seed(7), vec![fault]), clock.clone());
        sender.send(1.into()).await.expect("open");
        let advanced = async {
            loop {
                tokio::task::yield_now().await;
                clock.advance(HELD_MAX);
            }
        };
        tokio::select! {
            document = out.recv() => assert_eq!(document, Some(1.into())),
            () = advanced => unreachable!(),
        }
    }
}

//! The calls of one operation over one or more connections at once, and what they took.
//!
//! Which call goes over which connection follows from its number alone. A connection makes its calls one after another, in
//! their order; between connections there is no order. Connections are opened before the clock starts.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::Calls;
use super::wire::{Answer, Ask, Service};
use crate::error::HarnessError;

/// What is timed of an operation.
pub(super) struct Plan {
    service: Service,
    calls: u32,
    ask: Box<dyn Fn(u32) -> Ask + Send + Sync>,
}

impl Plan {
    /// `ask` gives each of so many calls by its number, from 0.
    pub(super) fn new(service: Service, calls: u32, ask: impl Fn(u32) -> Ask + Send + Sync + 'static) -> Self {
        Self { service, calls, ask: Box::new(ask) }
    }
}

impl Calls {
    /// Makes the calls of a plan and gives what `keep` keeps of each answer, in no order, and the figures. What `keep` does is
    /// between the calls of a connection: it had better be little.
    pub(super) async fn make<T: Send + 'static>(
        &self,
        plan: Plan,
        keep: impl Fn(u32, Answer) -> Result<T, HarnessError> + Send + Sync + 'static,
    ) -> Result<(Vec<T>, BTreeMap<String, f64>), HarnessError> {
        let shares = shares(plan.calls, self.operations, self.connections);
        let mut opened = Vec::with_capacity(shares.len());
        for share in shares {
            let mut wire = self.wire(plan.service);
            wire.open().await?;
            opened.push((wire, share));
        }
        let (plan, keep) = (Arc::new(plan), Arc::new(keep));
        let mut running = JoinSet::new();
        let window = self.timer.open();
        for (mut wire, share) in opened {
            let (plan, keep, clock) = (Arc::clone(&plan), Arc::clone(&keep), self.timer.clock.clone());
            running.spawn(async move {
                let mut made = Vec::with_capacity(share.len());
                for call in share {
                    let ask = (plan.ask)(call);
                    let started = clock.monotonic();
                    let answer = wire.ask(ask).await?;
                    let took = clock.monotonic() - started;
                    made.push((took, answer.body.len(), keep(call, answer)?));
                }
                Ok(made)
            });
        }
        let (mut latencies, mut answer_bytes, mut kept) = (Vec::new(), 0, Vec::new());
        while let Some(ended) = running.join_next().await {
            let made: Result<_, HarnessError> = ended.map_err(HarnessError::stage("run a connection of the bench"))?;
            for (took, bytes, what) in made? {
                latencies.push(took);
                answer_bytes += bytes;
                kept.push(what);
            }
        }
        let mean_bytes = answer_bytes as f64 / latencies.len().max(1) as f64;
        let mut figures = self.timer.close(window, latencies, self.connections);
        figures.insert("answer_bytes".to_owned(), mean_bytes);
        Ok((kept, figures))
    }
}

/// The calls of each connection. A second round over the same `operations` has the connections of the first, so that who
/// meets a key again comes after who made it. A connection without a call is left out.
fn shares(calls: u32, operations: u32, connections: u32) -> Vec<Vec<u32>> {
    let of = |connection| (0..calls).filter(move |call| call % operations % connections == connection).collect();
    (0..connections).map(of).filter(|share: &Vec<u32>| !share.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_has_one_connection_and_a_key_stays_with_its_own() {
        assert_eq!(shares(4, 4, 1), [[0, 1, 2, 3]]);
        assert_eq!(shares(5, 5, 2), [vec![0, 2, 4], vec![1, 3]]);
        assert_eq!(shares(6, 3, 2), [vec![0, 2, 3, 5], vec![1, 4]], "calls 3 to 5 meet the keys of 0 to 2");
        assert_eq!(shares(2, 2, 16), [[0], [1]], "fourteen have nothing to do");
    }
}

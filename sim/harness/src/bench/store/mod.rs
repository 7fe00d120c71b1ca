//! Calls of one store operation, over one or more connections, as a client of any emulator.
//!
//! Only the calls are timed (over several connections, with what the client does between them) and only the server's CPU
//! time meanwhile is taken; making buckets and tables before, and reading everything back
//! after, is not; that goes through the AWS SDK. What is read back is the answer: a store that forgets is wrong, however fast.

mod connections;
mod dynamodb;
pub(super) mod floor;
mod kinesis;
mod s3;
mod timer;
mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use lakebed_contract::{Clock, Endpoints};

use super::definition::{Operation, numbers};
use super::order::{Reply, StoreOrder};
use crate::error::HarnessError;
use connections::Plan;
use timer::Timer;
use wire::{Service, Wire};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Characters of a shard iterator, about.
const ITERATOR_CHARACTERS: usize = 200;
/// Looks at a stream or table that is not yet active.
const ACTIVE_LOOKS_MAX: u32 = 200;
const ACTIVE_LOOK_PAUSE: Duration = Duration::from_millis(50);

/// Runs one round.
pub(super) async fn run(order: &StoreOrder, clock: &Clock) -> Result<Reply, HarnessError> {
    let calls = Calls {
        endpoints: Endpoints::embedded(order.port),
        name: format!("bench-{}-{}", std::process::id(), order.round),
        operations: order.operations,
        connections: order.connections,
        timer: Timer::new(clock.clone(), order.server_pid),
    };
    if order.is_floor {
        // Nothing to prepare and nothing to read back.
        let (_, figures) = calls.make(calls.plan(order.operation), |_, answer| answer.success().map(drop)).await?;
        return Ok(reply([], figures));
    }
    match order.operation {
        Operation::S3Put4k => calls.put_objects(4 * KIB).await,
        Operation::S3Get4k => calls.get_objects(4 * KIB).await,
        Operation::S3Put1m => calls.put_objects(MIB).await,
        Operation::S3Get1m => calls.get_objects(MIB).await,
        Operation::S3Put64m => calls.put_objects(64 * MIB).await,
        Operation::S3Get64m => calls.get_objects(64 * MIB).await,
        Operation::DynamodbPut => calls.put_items().await,
        Operation::DynamodbConditionalPut => calls.conditional_put().await,
        Operation::DynamodbConditionalUpdate => calls.conditional_update().await,
        Operation::DynamodbQuery => calls.query().await,
        Operation::KinesisPutRecords => calls.put_records().await,
        Operation::KinesisGetRecords => calls.get_records().await,
    }
}

struct Calls {
    endpoints: Endpoints,
    name: String,
    operations: u32,
    connections: u32,
    timer: Timer,
}

impl Calls {
    /// A client with a connection of its own.
    fn wire(&self, service: Service) -> Wire {
        Wire::new(service, &self.endpoints, &self.timer.clock)
    }

    /// What is timed, for a server that gives nothing to ask with.
    fn plan(&self, operation: Operation) -> Plan {
        match operation {
            Operation::S3Put4k => self.put_object_calls(4 * KIB),
            Operation::S3Get4k => self.get_object_calls(4 * KIB),
            Operation::S3Put1m => self.put_object_calls(MIB),
            Operation::S3Get1m => self.get_object_calls(MIB),
            Operation::S3Put64m => self.put_object_calls(64 * MIB),
            Operation::S3Get64m => self.get_object_calls(64 * MIB),
            Operation::DynamodbPut => self.put_item_calls(),
            Operation::DynamodbConditionalPut => self.conditional_put_calls(),
            Operation::DynamodbConditionalUpdate => self.conditional_update_calls(),
            Operation::DynamodbQuery => self.query_calls(),
            Operation::KinesisPutRecords => self.put_records_calls(),
            Operation::KinesisGetRecords => self.get_records_calls(&"i".repeat(ITERATOR_CHARACTERS)),
        }
    }
}

fn never_active(what: &'static str) -> HarnessError {
    let waited_s = u64::from(ACTIVE_LOOKS_MAX) * u64::try_from(ACTIVE_LOOK_PAUSE.as_millis()).unwrap_or(0) / 1000;
    HarnessError::Stuck { what, state: "not active".to_owned(), waited_s }
}

fn reply<const N: usize>(answers: [(&str, i64); N], figures: BTreeMap<String, f64>) -> Reply {
    Reply { answers: numbers(&answers), figures }
}

fn key(at: u32) -> String {
    format!("raw/review/{at:08}")
}

/// Bytes that follow from their number, so that what comes back can be compared without keeping it.
fn content(at: u32, length: usize) -> Vec<u8> {
    let mut state = u64::from(at).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{StoreOptions, Stores};
    use lakebed_contract::{EventSink, Seed};
    use tokio::net::TcpListener;

    fn cases() -> [(Operation, Vec<(&'static str, i64)>); 12] {
        [
            (Operation::S3Put4k, vec![("objects", 3), ("bytes", 3 * 4096)]),
            (Operation::S3Get4k, vec![("bytes", 3 * 4096), ("equal", 3)]),
            (Operation::S3Put1m, vec![("objects", 3), ("bytes", 3 << 20)]),
            (Operation::S3Get1m, vec![("bytes", 3 << 20), ("equal", 3)]),
            (Operation::S3Put64m, vec![("objects", 3), ("bytes", 192 << 20)]),
            (Operation::S3Get64m, vec![("bytes", 192 << 20), ("equal", 3)]),
            (Operation::DynamodbPut, vec![("items", 3)]),
            (Operation::DynamodbConditionalPut, vec![("accepted", 3), ("refused", 3), ("items", 3)]),
            (Operation::DynamodbConditionalUpdate, vec![("version", 3), ("wrong", 0)]),
            (Operation::DynamodbQuery, vec![("items", 300)]),
            (Operation::KinesisPutRecords, vec![("refused", 0), ("records", 1_500), ("bytes", 900_000)]),
            (Operation::KinesisGetRecords, vec![("records", 1_500), ("bytes", 900_000)]),
        ]
    }

    async fn stores(folder: &std::path::Path) -> Stores {
        let (options, clock, events) = (StoreOptions::default(), Clock::wall(), EventSink::default());
        Stores::start_alone(folder, 0, &options, &clock, Seed(7), &events).await.expect("started")
    }

    /// Three operations over so many connections.
    async fn three(operation: Operation, connections: u32, port: u16, round: u32, is_floor: bool) -> Reply {
        let server_pid = std::process::id();
        let order = StoreOrder { operation, operations: 3, connections, port, server_pid, round, is_floor };
        let reply = run(&order, &Clock::wall()).await.expect("every call is answered");
        assert!(reply.figures["p50_us"] <= reply.figures["p99_us"], "{:?}", reply.figures);
        reply
    }

    #[tokio::test]
    async fn our_stores_answer_every_operation_rightly_and_the_floor_as_much() {
        let folder = tempfile::tempdir().expect("a folder");
        let stores = stores(folder.path()).await;
        for (round, (operation, expect)) in (0..).zip(cases()) {
            let reply = three(operation, 1, stores.port(), round, false).await;
            assert_eq!(reply.answers, numbers(&expect), "{operation:?}");

            let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
            let port = listener.local_addr().expect("bound").port();
            let server = tokio::spawn(async move { floor::serve_on(&listener, operation).await });
            let floor = three(operation, 2, port, round, true).await;
            server.abort();
            assert!(floor.answers.is_empty(), "it is not asked for any: {:?}", floor.answers);
            let (ours, floor) = (reply.figures["answer_bytes"], floor.figures["answer_bytes"]);
            // Refusals of a condition are small, and the floor has none.
            assert!((ours - floor).abs() <= 200.0 + ours * 0.05, "{operation:?}: {ours} and {floor} bytes");
        }
        stores.shutdown().await.expect("stopped");
    }

    #[tokio::test]
    async fn several_connections_give_the_same_answers_as_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let stores = stores(folder.path()).await;
        let is_small = |operation| !matches!(operation, Operation::S3Put64m | Operation::S3Get64m);
        for (round, (operation, expect)) in (0..).zip(cases()).filter(|(_, (operation, _))| is_small(*operation)) {
            // Two share the three operations unequally; of sixteen most have none.
            for (nth, connections) in [2, 16].into_iter().enumerate() {
                let reply = three(operation, connections, stores.port(), round * 2 + nth as u32, false).await;
                assert_eq!(reply.answers, numbers(&expect), "{operation:?} over {connections}");
            }
        }
        stores.shutdown().await.expect("stopped");
    }
}

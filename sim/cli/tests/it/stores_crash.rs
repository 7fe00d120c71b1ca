//! `kill -9` of the stores in the middle of their work, a hundred times on one growing directory.
//!
//! Four writers work at once: objects, joined uploads, items, records. After a number of acknowledged writes that the seed
//! says, the process is killed; the next life on the same directory must have everything that was acknowledged, byte for
//! byte, and nothing that was never sent, whichever policy of flushing each of them has: they take turns. What was under way may be there, whole, or not. Nothing is timed: a kill is
//! counted, and no answer may be an error in any life.

mod items;
mod life;
mod objects;
mod records;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::SdkError;
use lakebed_contract::Seed;
use rand::Rng;

use life::{Life, Stores};

const KILLS: u64 = 100;
/// What a life flushes; the next one has the next.
const POLICIES: [&str; 3] = ["always", "interval", "never"];
/// Acknowledged writes in a life, at most.
const LIFE_WRITES_MAX: u32 = 24;
const SEED: Seed = Seed(7);

/// A value that is written again and again by one writer, and what may be found of it.
#[derive(Default)]
struct Versions<V> {
    /// `None` is absence.
    acknowledged: Option<V>,
    /// What was sent and not answered.
    sent: Option<Option<V>>,
}

impl<V: PartialEq> Versions<V> {
    fn send(&mut self, value: Option<V>) {
        self.sent = Some(value);
    }

    fn acknowledge(&mut self) {
        self.acknowledged = self.sent.take().expect("sent before it is answered");
    }

    /// Takes what a new life has for the truth, if it may have it.
    fn settle(&mut self, found: Option<V>, what: &str) {
        let is_known = found == self.acknowledged || self.sent.as_ref() == Some(&found);
        assert!(is_known, "{what} is neither the last acknowledged version nor the one that was under way");
        self.acknowledged = found;
        self.sent = None;
    }
}

/// What was answered; `None` when the process died first. An error that was answered fails the test.
fn answer<T, E: std::fmt::Debug>(answered: Result<T, SdkError<E, HttpResponse>>) -> Option<T> {
    match answered {
        Ok(answer) => Some(answer),
        Err(SdkError::DispatchFailure(_) | SdkError::TimeoutError(_)) => None,
        // Cut off behind its first line.
        Err(SdkError::ResponseError(error)) if error.raw().status().is_success() => None,
        Err(error) => panic!("an error was answered: {error:?}"),
    }
}

/// The same of stores that nobody kills.
fn answered<T, E: std::fmt::Debug>(answered: Result<T, SdkError<E, HttpResponse>>) -> T {
    answer(answered).expect("the stores are up")
}

#[tokio::test]
async fn a_hundred_kills_cost_nothing_that_was_acknowledged() {
    let folder = tempfile::Builder::new().prefix("lakebed-crash-").tempdir().expect("temp dir");
    let mut puts = objects::Objects::new("puts");
    let mut joins = objects::Objects::new("joins");
    let mut items = items::Items::default();
    let mut records = records::Records::default();
    let mut chance = SEED.rng("kills");
    let mut writes = 0;
    for (number, policy) in (0..KILLS).zip(POLICIES.into_iter().cycle()) {
        let stores = Stores::start(folder.path(), policy).await;
        let clients = stores.clients();
        if number == 0 {
            objects::create(&clients.s3).await;
            items::create(&clients.dynamodb).await;
            records::create(&clients.kinesis).await;
        }
        puts.check(&clients.s3).await;
        joins.check(&clients.s3).await;
        items.check(&clients.dynamodb).await;
        records.check(&clients.kinesis).await;
        let life = Life::of(stores, chance.random_range(1..=LIFE_WRITES_MAX));
        let seed = SEED.child(&format!("life-{number}"));
        tokio::join!(
            puts.put(&life, &clients.s3, seed.rng("puts")),
            joins.join(&life, &clients.s3, seed.rng("joins")),
            items.write(&life, &clients.dynamodb, seed.rng("items")),
            records.write(&life, &clients.kinesis, seed.rng("records")),
        );
        writes += life.end();
    }
    let stores = Stores::start(folder.path(), POLICIES[0]).await;
    let clients = stores.clients();
    puts.check(&clients.s3).await;
    joins.check(&clients.s3).await;
    items.check(&clients.dynamodb).await;
    records.check(&clients.kinesis).await;
    records.check_everything(&clients.kinesis).await;
    stores.stop();
    assert!(writes > KILLS, "{writes} writes were acknowledged");
    let each = [puts.acknowledged, joins.acknowledged, items.acknowledged, records.acknowledged_batches];
    assert!(each.into_iter().all(|writes| writes > KILLS / 10), "a writer had hardly a turn: {each:?}");
}

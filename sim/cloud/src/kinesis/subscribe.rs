//! SubscribeToShard: who is subscribed to what, and what a subscription tells next.
//!
//! Promises: records come once each and in order, those that were there and those that are appended meanwhile; a consumer has
//! one subscription to a shard, and one that is five seconds old on the clock is taken over by the next. A subscription
//! sleeps until its shard is appended to or the stream changes; after a second of the clock without records it tells, with an
//! empty event, how far it is, as AWS does from time to time. It ends after five minutes of the clock, at the end of a closed
//! shard (where the last event names the children), with its consumer or stream, and when the stores shut down.
//! Knows nothing of frames.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lakebed_contract::{Clock, Timestamp};
use tokio_util::sync::CancellationToken;

use super::cbor::{Wire, decode_request};
use super::consumers::{self, ConsumerArn};
use super::error::{ACCOUNT, KinesisError};
use super::iterator::{Position, first_sequence, shard_not_found};
use super::operations::{Operations, parsed};
use super::records::read_shard;
use super::shard::Shard;
use super::stream::Stream;
use super::wire::{ShardEvent, SubscribeToShard, refuse_unimplemented};

/// How long a subscription lasts.
pub const SUBSCRIPTION_LIFETIME: Duration = Duration::from_secs(5 * 60);
/// From one event to an empty one.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// A subscription younger than this is not taken over.
const PROTECTED: Duration = Duration::from_secs(5);
/// Most records of an event, and most of their bytes unless one record has more.
const EVENT_RECORDS_MAX: usize = 10_000;
const EVENT_BYTES_MAX: u64 = 1024 * 1024;

/// The subscriptions there are.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    held: Mutex<BTreeMap<Subject, Held>>,
    ids: AtomicU64,
    /// All end now.
    closing: CancellationToken,
}

/// Which consumer, and which shard: the ARN says stream, consumer, and when it was registered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Subject {
    consumer: String,
    stream_created: Timestamp,
    shard: u32,
}

#[derive(Debug)]
struct Held {
    id: u64,
    since: Timestamp,
    taken_over: CancellationToken,
    has_ended: bool,
}

impl Subscriptions {
    /// Ends all subscriptions, those that are still to come too.
    pub(super) fn close(&self) {
        self.closing.cancel();
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<Subject, Held>> {
        // Each change is one call, so a panic elsewhere cannot leave it half done.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the place of the subject, from another subscription if there is one.
    fn take(self: &Arc<Self>, subject: Subject, now: Timestamp) -> Result<Place, KinesisError> {
        let mut held = self.held();
        held.retain(|_, held| !held.has_ended || now.since(held.since) < PROTECTED);
        if let Some(other) = held.get(&subject) {
            // A call within five seconds of a successful one is refused, even if that one is over by now.
            if now.since(other.since) < PROTECTED {
                return Err(KinesisError::in_use(format!(
                    "Another active subscription exists for this consumer: {}:{ACCOUNT}",
                    subject.consumer
                )));
            }
            other.taken_over.cancel();
        }
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let taken_over = CancellationToken::new();
        let entry = Held { id, since: now, taken_over: taken_over.clone(), has_ended: false };
        held.insert(subject.clone(), entry);
        drop(held);
        Ok(Place { subscriptions: Arc::clone(self), subject, id, taken_over })
    }
}

/// A subject's place, until it is dropped or taken over.
struct Place {
    subscriptions: Arc<Subscriptions>,
    subject: Subject,
    id: u64,
    taken_over: CancellationToken,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.subscriptions.held();
        if let Some(held) = held.get_mut(&self.subject).filter(|held| held.id == self.id) {
            held.has_ended = true;
        }
    }
}

impl Operations {
    /// SubscribeToShard.
    pub(super) fn subscribe(&self, wire: Wire, body: &[u8]) -> Result<Subscription, KinesisError> {
        let body = &*decode_request(wire, body)?;
        super::validation::check_request("SubscribeToShard", body)?;
        let request: SubscribeToShard = parsed(body)?;
        refuse_unimplemented(request.stream_id.is_some(), request.dry_run.unwrap_or(false))?;
        let now = self.clock.now();
        let arn = ConsumerArn::parse(request.consumer_arn.as_deref().unwrap_or_default())?;
        let stream = self.stream(&arn.stream)?;
        let (shard, from) = {
            let layout = stream.layout()?;
            consumers::refuse_inactive(&layout.description, &arn, self.limits, now)?;
            let id = request.shard_id.as_deref().unwrap_or_default();
            let number = layout.description.shard_called(id).map(|shard| shard.number);
            let shard = number.and_then(|number| layout.shard(number)).ok_or_else(|| shard_not_found(&stream, id))?;
            let asked = request.starting_position.as_ref();
            let position = Position {
                operation: "SubscribeToShard",
                kind: asked.and_then(|asked| asked.kind.as_deref()).unwrap_or_default(),
                sequence_number: asked.and_then(|asked| asked.sequence_number.as_deref()),
                timestamp: asked.and_then(|asked| asked.timestamp),
            };
            let from = first_sequence(&stream, &layout, shard, position, now)?;
            (Arc::clone(shard), from)
        };
        let subject = Subject { consumer: arn.text.clone(), stream_created: stream.created, shard: shard.number };
        let place = self.subscriptions.take(subject, now)?;
        let closing = self.subscriptions.closing.clone();
        let ends = now.plus(SUBSCRIPTION_LIFETIME);
        let (clock, told_at) = (self.clock.clone(), now);
        Ok(Subscription { stream, arn, shard, from, clock, ends, told_at, place, closing, is_over: false })
    }
}

/// What a subscription tells.
pub(super) enum Step {
    Event(ShardEvent),
    /// The last of them.
    Failure(KinesisError),
    End,
}

/// One consumer's subscription to one shard.
pub(super) struct Subscription {
    stream: Arc<Stream>,
    arn: ConsumerArn,
    shard: Arc<Shard>,
    /// Sequence of the next record, or less.
    from: u64,
    clock: Clock,
    ends: Timestamp,
    /// When it told something last.
    told_at: Timestamp,
    place: Place,
    closing: CancellationToken,
    /// The end of the shard was told.
    is_over: bool,
}

impl Subscription {
    /// Waits for the next thing to tell.
    pub(super) async fn next(&mut self) -> Step {
        let step = self.wait().await;
        self.told_at = self.clock.now();
        step
    }

    async fn wait(&mut self) -> Step {
        let (clock, shard) = (self.clock.clone(), Arc::clone(&self.shard));
        let heartbeat = self.told_at.plus(HEARTBEAT);
        loop {
            if let Some(end) = self.end() {
                return end;
            }
            // Made before the reading, so that nothing is appended unnoticed in between.
            let changed = shard.changed();
            match self.read().await {
                Ok(Some(event)) => return Step::Event(event),
                Ok(None) => {}
                Err(error) => return Step::Failure(error),
            }
            tokio::select! {
                biased;
                () = self.closing.cancelled() => {}
                () = self.place.taken_over.cancelled() => {}
                () = changed => {}
                () = clock.sleep_until(self.ends) => {}
                () = clock.sleep_until(heartbeat) => return self.end().unwrap_or_else(|| Step::Event(self.empty_event())),
            }
        }
    }

    fn end(&self) -> Option<Step> {
        if self.is_over || self.closing.is_cancelled() {
            return Some(Step::End);
        }
        if self.place.taken_over.is_cancelled() {
            let message = "Another subscription of this consumer to this shard took over.";
            return Some(Step::Failure(KinesisError::in_use(message)));
        }
        (self.clock.now() >= self.ends).then_some(Step::End)
    }

    /// The next records, or the end of the shard; `None` when there is nothing to tell.
    async fn read(&mut self) -> Result<Option<ShardEvent>, KinesisError> {
        let (stream, arn, number, from) = (Arc::clone(&self.stream), self.arn.clone(), self.shard.number, self.from);
        let now = self.clock.now();
        let reading = move || {
            let layout = stream.layout()?;
            consumers::registered(&layout.description, &arn)?;
            read_shard(&stream, layout, number, from, (EVENT_RECORDS_MAX, EVENT_BYTES_MAX), now)
        };
        let read = tokio::task::spawn_blocking(reading).await;
        let read = read.map_err(|panicked| KinesisError::internal("read a shard", &panicked))??;
        self.from = read.next;
        if !read.records.is_empty() {
            let behind = read.millis_behind;
            return Ok(Some(ShardEvent { records: read.records, millis_behind_latest: behind, ..self.empty_event() }));
        }
        // The end is told in an event of its own: one without a continuation, because nothing continues there.
        self.is_over = read.child_shards.is_some();
        Ok(read.child_shards.map(|children| ShardEvent {
            continuation_sequence_number: None,
            child_shards: Some(children),
            ..self.empty_event()
        }))
    }

    /// Says how far the reading is: everything up to the number was told.
    fn empty_event(&self) -> ShardEvent {
        let told = self.from.saturating_sub(1);
        ShardEvent {
            records: Vec::new(),
            continuation_sequence_number: Some(self.stream.sequence_number(self.shard.number, told)),
            millis_behind_latest: 0,
            child_shards: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_protected_for_five_seconds_and_then_taken_over() {
        let subscriptions = Arc::new(Subscriptions::default());
        let subject = Subject { consumer: "c".to_owned(), stream_created: Timestamp(0), shard: 0 };
        let take = |seconds| subscriptions.take(subject.clone(), Timestamp::from_seconds(seconds));
        let first = take(10).expect("free");
        assert!(take(14).is_err(), "too early");
        let second = take(15).expect("taken over");
        assert!(first.taken_over.is_cancelled() && !second.taken_over.is_cancelled());
        drop(first);
        assert!(!subscriptions.held()[&subject].has_ended, "the first leaves the place of the second alone");
        drop(second);
        assert!(take(19).is_err(), "protected although it ended");
        let other = Subject { shard: 1, ..subject.clone() };
        drop(subscriptions.take(other, Timestamp::from_seconds(30)).expect("free"));
        assert_eq!(subscriptions.held().len(), 1, "what ended long ago is forgotten");
    }
}

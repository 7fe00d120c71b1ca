//! The events of a run for whoever asks the port for them: `GET /_lakebed/events`, as server-sent events.
//!
//! Each event is one `event: <kind>` with the line of an event log as its `data`. A feed is a bounded channel: who reads
//! too slowly misses events and is told how many (`event: lagged`), nobody waits for a reader. A comment every
//! [`KEEP_ALIVE`] keeps idle connections open; the answer ends when the server shuts down. Nothing is told that happened
//! before the request.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};
use lakebed_contract::{Clock, EventSink, RecordedEvent};
use serde::Deserialize;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

/// Events a slow reader may be behind.
pub const FEED_EVENTS_MAX: usize = 1_024;

/// Real time between two comments on an idle connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What a reader sees at once; every event after it is told.
const OPENING: &str = ": lakebed events\n\n";
const KEEP_ALIVE_COMMENT: &str = ": keep-alive\n\n";

/// Carries events from a sink to the readers of the port. Cheap to clone; clones share their readers.
#[derive(Clone, Debug)]
pub struct EventFeed {
    /// Whole server-sent events.
    sender: broadcast::Sender<Arc<str>>,
}

impl Default for EventFeed {
    fn default() -> Self {
        Self { sender: broadcast::channel(FEED_EVENTS_MAX).0 }
    }
}

impl EventFeed {
    /// A sink that shows each event to the readers with its moment on `clock`, and passes it on to `next`.
    pub fn sink(&self, next: EventSink, clock: &Clock) -> EventSink {
        let (sender, clock) = (self.sender.clone(), clock.clone());
        EventSink::new(move |event| {
            if sender.receiver_count() > 0 {
                match told(&RecordedEvent { at: clock.now(), event: event.clone() }) {
                    // No reader any more is no error.
                    Ok(text) => drop(sender.send(text.into())),
                    Err(error) => tracing::error!(%error, "failed to write an event for readers of the port"),
                }
            }
            next.emit(event);
        })
    }

    /// The answer to `GET /_lakebed/events`; it ends with `finish`.
    pub(crate) fn answer(&self, finish: CancellationToken) -> Response<Body> {
        let reader = Reader { events: self.sender.subscribe(), finish, is_new: true };
        let told = futures::stream::unfold(reader, |mut reader| async move {
            let told = reader.next().await?;
            Some((Ok::<_, Infallible>(told), reader))
        });
        let mut response = Response::new(Body::from_stream(told));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

/// One connection that is told events.
struct Reader {
    events: broadcast::Receiver<Arc<str>>,
    finish: CancellationToken,
    is_new: bool,
}

impl Reader {
    /// What is to be written next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if std::mem::take(&mut self.is_new) {
            return Some(Bytes::from_static(OPENING.as_bytes()));
        }
        let wall = Clock::wall();
        tokio::select! {
            biased;
            () = self.finish.cancelled() => None,
            received = self.events.recv() => match received {
                Ok(event) => Some(Bytes::copy_from_slice(event.as_bytes())),
                Err(RecvError::Lagged(lost)) => Some(lagged(lost).into()),
                Err(RecvError::Closed) => None,
            },
            () = wall.sleep(KEEP_ALIVE) => Some(Bytes::from_static(KEEP_ALIVE_COMMENT.as_bytes())),
        }
    }
}

fn lagged(lost: u64) -> String {
    format!("event: lagged\ndata: {{\"lost\":{lost}}}\n\n")
}

/// The kind of an event, as in its JSON.
#[derive(Deserialize)]
struct Kind<'a> {
    event: &'a str,
}

/// JSON has no line breaks of its own, so one line of data holds it.
fn told(event: &RecordedEvent) -> serde_json::Result<String> {
    let line = serde_json::to_string(event)?;
    let Kind { event } = serde_json::from_str(&line)?;
    Ok(format!("event: {event}\ndata: {line}\n\n"))
}

#[cfg(test)]
mod tests {
    use lakebed_contract::Timestamp;

    use super::*;

    fn reader(feed: &EventFeed) -> Reader {
        Reader { events: feed.sender.subscribe(), finish: CancellationToken::new(), is_new: false }
    }

    async fn next(reader: &mut Reader) -> String {
        let told = reader.next().await.expect("goes on");
        String::from_utf8(told.to_vec()).expect("text")
    }

    #[tokio::test]
    async fn an_event_is_told_with_its_kind_and_its_line() {
        let feed = EventFeed::default();
        let sink = feed.sink(EventSink::default(), &Clock::virtual_at(Timestamp::from_seconds(5)));
        sink.log("nobody reads this");
        let mut reader = reader(&feed);
        sink.log("two\nlines");
        let expected = "event: log\ndata: {\"at\":5000000,\"event\":\"log\",\"message\":\"two\\nlines\"}\n\n";
        assert_eq!(next(&mut reader).await, expected);
        reader.finish.cancel();
        assert_eq!(reader.next().await, None);
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_lost() {
        let feed = EventFeed::default();
        let sink = feed.sink(EventSink::default(), &Clock::virtual_at(Timestamp::from_seconds(5)));
        let mut reader = reader(&feed);
        for number in 0..FEED_EVENTS_MAX + 3 {
            sink.log(number.to_string());
        }
        assert_eq!(next(&mut reader).await, "event: lagged\ndata: {\"lost\":3}\n\n");
        assert!(next(&mut reader).await.contains("\"message\":\"3\""));
    }
}

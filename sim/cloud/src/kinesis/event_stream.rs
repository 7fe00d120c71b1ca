//! A subscription as a body of AWS's event-stream frames.
//!
//! First an `initial-response`, then an event for each step of the subscription, or one `exception` and the end. A frame is
//! made when the connection asks for the next one, so a subscription holds at most one event, however slowly it is read.

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use axum::body::Body;
use bytes::Bytes;
use futures::{StreamExt, stream};
use serde_json::json;

use super::cbor::Wire;
use super::error::KinesisError;
use super::subscribe::{Step, Subscription};

/// The content type of the body; each frame names that of its payload.
pub(super) const EVENT_STREAM_TYPE: &str = "application/vnd.amazon.eventstream";

type Frame = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The body that carries `subscription` for as long as it lasts.
pub(super) fn body_of(subscription: Subscription, wire: Wire) -> Body {
    let begun = stream::once(async move { event("initial-response", wire.write(&json!({})), wire) });
    let steps = stream::unfold(Some(subscription), move |subscription| async move {
        let mut subscription = subscription?;
        match subscription.next().await {
            Step::Event(shown) => match wire.encode(&shown) {
                Ok(payload) => Some((event("SubscribeToShardEvent", payload, wire), Some(subscription))),
                Err(error) => Some((exception(&error, wire), None)),
            },
            Step::Failure(error) => Some((exception(&error, wire), None)),
            Step::End => None,
        }
    });
    Body::from_stream(begun.chain(steps))
}

fn event(name: &'static str, payload: Vec<u8>, wire: Wire) -> Frame {
    frame("event", (":event-type", name), payload, wire)
}

fn exception(error: &KinesisError, wire: Wire) -> Frame {
    let name = match error.code() {
        "InternalFailure" => "InternalFailureException",
        code => code,
    };
    frame("exception", (":exception-type", name), wire.write(&error.to_json()), wire)
}

fn frame(kind: &'static str, name: (&'static str, &'static str), payload: Vec<u8>, wire: Wire) -> Frame {
    let text = |value: &'static str| HeaderValue::String(value.into());
    let message = Message::new(payload)
        .add_header(Header::new(name.0, text(name.1)))
        .add_header(Header::new(":content-type", text(wire.content_type())))
        .add_header(Header::new(":message-type", text(kind)));
    let mut frame = Vec::new();
    write_message_to(&message, &mut frame)?;
    Ok(Bytes::from(frame))
}

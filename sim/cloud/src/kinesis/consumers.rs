//! Registered consumers of streams: RegisterStreamConsumer, DeregisterStreamConsumer, DescribeStreamConsumer and
//! ListStreamConsumers.
//!
//! Consumers are kept with the stream's description and go with the stream. A consumer is ACTIVE at once; with AWS's limits it
//! is CREATING for its first five seconds on the clock. Deregistration is done when it is answered: nobody sees DELETING.
//! Two consumers of one name differ by the second in which they were registered, as their ARNs do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lakebed_contract::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::describe::seconds;
use super::description::{Consumer, StreamDescription};
use super::error::{ACCOUNT, KinesisError};
use super::listing::{invalid_token, refuse_expired, refuse_other_creation};
use super::opaque;
use super::operations::{Answer, Operations, parsed};
use super::stream::Stream;
use super::tags;
use super::wire::{ListStreamConsumers, NamedConsumer, NamesStream, RegisterStreamConsumer};
use crate::config::Limits;

/// Most consumers of a stream.
pub const CONSUMERS_MAX: usize = 20;
/// Most consumers of a stream that are CREATING.
const CREATING_MAX: usize = 5;
/// How long a consumer is CREATING where AWS's limits are asked for.
const CREATION: Duration = Duration::from_secs(5);
const LISTED_DEFAULT: usize = 100;

/// A consumer's ARN taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ConsumerArn {
    pub(super) text: String,
    pub(super) stream: String,
    pub(super) consumer: String,
    /// When it was registered, in seconds.
    created: i64,
}

impl ConsumerArn {
    /// Reads an ARN; one that cannot be ours names nobody.
    pub(super) fn parse(text: &str) -> Result<Self, KinesisError> {
        let parts = || {
            let (stream, consumer) = resource_in(text)?.split_once("/consumer/")?;
            let (consumer, created) = consumer.rsplit_once(':')?;
            Some((stream.to_owned(), consumer.to_owned(), created.parse().ok()?))
        };
        let (stream, consumer, created) = parts().ok_or_else(|| not_found(text))?;
        Ok(Self { text: text.to_owned(), stream, consumer, created })
    }

    /// Whether an ARN is one of a consumer.
    pub(super) fn is_one(text: &str) -> bool {
        resource_in(text).is_some_and(|resource| resource.contains("/consumer/"))
    }

    fn of(stream: &Stream, name: &str, consumer: &Consumer) -> String {
        format!("{}/consumer/{name}:{}", stream.arn(), consumer.created.seconds())
    }
}

/// What is behind `stream/` in an ARN: a stream's name, and the consumer if the ARN is one's.
pub(super) fn resource_in(arn: &str) -> Option<&str> {
    arn.split_once(":stream/").map(|(_, resource)| resource)
}

fn not_found(arn: &str) -> KinesisError {
    KinesisError::not_found(format!("Consumer {arn}, account {ACCOUNT} not found."))
}

/// The consumer that `arn` names, if it is registered.
pub(super) fn registered<'a>(
    description: &'a StreamDescription,
    arn: &ConsumerArn,
) -> Result<&'a Consumer, KinesisError> {
    let found = description.consumers.get(&arn.consumer);
    found.filter(|consumer| consumer.created.seconds() == arn.created).ok_or_else(|| not_found(&arn.text))
}

/// As [`registered`], to be changed.
pub(super) fn registered_mut<'a>(
    description: &'a mut StreamDescription,
    arn: &ConsumerArn,
) -> Result<&'a mut Consumer, KinesisError> {
    let found = description.consumers.get_mut(&arn.consumer);
    found.filter(|consumer| consumer.created.seconds() == arn.created).ok_or_else(|| not_found(&arn.text))
}

/// Refuses a subscription of a consumer that is not there, or not yet.
pub(super) fn refuse_inactive(
    description: &StreamDescription,
    arn: &ConsumerArn,
    limits: Limits,
    now: Timestamp,
) -> Result<(), KinesisError> {
    if is_creating(registered(description, arn)?, limits, now) {
        return Err(KinesisError::in_use(format!("Consumer {} is not ACTIVE.", arn.text)));
    }
    Ok(())
}

fn is_creating(consumer: &Consumer, limits: Limits, now: Timestamp) -> bool {
    limits == Limits::Aws && now.since(consumer.created) < CREATION
}

/// Where a listing goes on.
#[derive(Debug, Serialize, Deserialize)]
struct ConsumersToken {
    stream: String,
    created: Timestamp,
    after: String,
    issued: Timestamp,
}

impl ConsumersToken {
    fn to_text(&self) -> String {
        opaque::to_text(self)
    }

    fn parse(text: &str, stream: &Stream, now: Timestamp) -> Result<Self, KinesisError> {
        let token: Option<Self> = opaque::parse(text);
        let token = token.filter(|token| token.stream == stream.name && token.created == stream.created);
        let token = token.ok_or_else(invalid_token)?;
        refuse_expired(token.issued, now)?;
        Ok(token)
    }
}

impl NamedConsumer {
    /// The ARN that is given, or the stream and the name.
    fn check(&self) -> Result<(), KinesisError> {
        self.naming().refuse_unimplemented()?;
        match (&self.consumer_arn, self.naming().arn, &self.consumer_name) {
            (Some(_), _, _) | (None, Some(_), Some(_)) => Ok(()),
            _ => Err(KinesisError::invalid_argument(
                "Either ConsumerARN or both StreamARN and ConsumerName must be provided.",
            )),
        }
    }
}

impl ListStreamConsumers {
    fn check(&self) -> Result<(), KinesisError> {
        if self.next_token.is_some() && self.stream_creation_timestamp.is_some() {
            let message = "NextToken and StreamCreationTimestamp cannot be provided together.";
            return Err(KinesisError::invalid_argument(message));
        }
        Ok(())
    }
}

impl Operations {
    /// The operations on consumers; `None` for others.
    pub(super) fn of_consumers(&self, operation: &str, body: &[u8], now: Timestamp) -> Option<Answer> {
        Some(match operation {
            "RegisterStreamConsumer" => parsed(body).and_then(|request| self.register(&request, now)),
            "DeregisterStreamConsumer" => parsed(body).and_then(|request| self.deregister(&request)),
            "DescribeStreamConsumer" => parsed(body).and_then(|request| self.describe_consumer(&request, now)),
            "ListStreamConsumers" => parsed(body).and_then(|request| self.list_consumers(&request, now)),
            _ => return None,
        })
    }

    fn register(&self, request: &RegisterStreamConsumer, now: Timestamp) -> Answer {
        let stream = self.named(request.naming())?;
        let name = request.consumer_name.as_deref().unwrap_or_default();
        let limits = self.limits;
        stream.change(|description, _| {
            let arn = stream.arn();
            if description.consumers.contains_key(name) {
                return Err(KinesisError::in_use(format!(
                    "Consumer {name} under stream {arn} already exists for account {ACCOUNT}."
                )));
            }
            let creating = description.consumers.values().filter(|consumer| is_creating(consumer, limits, now)).count();
            if description.consumers.len() >= CONSUMERS_MAX || creating >= CREATING_MAX {
                return Err(KinesisError::limit_exceeded(format!(
                    "Stream {arn} has {} consumers, of which {creating} are being created; the limits are \
                     {CONSUMERS_MAX} and {CREATING_MAX}.",
                    description.consumers.len()
                )));
            }
            let mut tagged = BTreeMap::new();
            if let Some(added) = &request.tags {
                tags::merge(&stream.name, &mut tagged, added)?;
            }
            let consumer = Consumer { created: now, tags: tagged };
            let shown = consumer_json(&stream, name, &consumer, limits, now);
            description.consumers.insert(name.to_owned(), consumer);
            Ok(json!({ "Consumer": shown }))
        })
    }

    fn deregister(&self, request: &NamedConsumer) -> Answer {
        let (stream, name, arn) = self.consumer_of(request)?;
        stream.change(|description, _| {
            find(description, &stream, &name, arn.as_ref())?;
            description.consumers.remove(&name);
            Ok(Value::Null)
        })
    }

    fn describe_consumer(&self, request: &NamedConsumer, now: Timestamp) -> Answer {
        let (stream, name, arn) = self.consumer_of(request)?;
        let layout = stream.layout()?;
        let consumer = find(&layout.description, &stream, &name, arn.as_ref())?;
        let mut shown = consumer_json(&stream, &name, consumer, self.limits, now);
        shown["StreamARN"] = json!(stream.arn());
        Ok(json!({ "ConsumerDescription": shown }))
    }

    /// The stream and the name of the consumer that is meant, and its ARN if that was given.
    fn consumer_of(&self, request: &NamedConsumer) -> Result<(Arc<Stream>, String, Option<ConsumerArn>), KinesisError> {
        request.check()?;
        let arn = request.consumer_arn.as_deref().map(ConsumerArn::parse).transpose()?;
        let stream = match &arn {
            Some(arn) => self.stream(&arn.stream)?,
            None => self.named(request.naming())?,
        };
        let name = arn.as_ref().map(|arn| arn.consumer.as_str()).or(request.consumer_name.as_deref());
        let name = name.unwrap_or_default().to_owned();
        let is_other_stream = request.naming().arn.is_some_and(|asked| resource_in(asked) != Some(&stream.name));
        let is_other_name = request.consumer_name.as_ref().is_some_and(|asked| *asked != name);
        if is_other_stream || is_other_name {
            let message = "ConsumerARN does not name the consumer that StreamARN and ConsumerName name.";
            return Err(KinesisError::invalid_argument(message));
        }
        Ok((stream, name, arn))
    }

    fn list_consumers(&self, request: &ListStreamConsumers, now: Timestamp) -> Answer {
        request.check()?;
        let stream = self.named(request.naming())?;
        refuse_other_creation(&stream, request.stream_creation_timestamp)?;
        let token = request.next_token.as_deref().map(|text| ConsumersToken::parse(text, &stream, now)).transpose()?;
        let after = token.map(|token| token.after);
        let limit = request.max_results.and_then(|max| usize::try_from(max).ok()).unwrap_or(LISTED_DEFAULT);
        let layout = stream.layout()?;
        let consumers = layout.description.consumers.iter();
        let mut behind = consumers.filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after));
        let page: Vec<_> = behind.by_ref().take(limit).collect();
        let shown = page.iter().map(|(name, consumer)| consumer_json(&stream, name, consumer, self.limits, now));
        let mut answer = json!({ "Consumers": shown.collect::<Vec<_>>() });
        if let Some((last, _)) = page.last().filter(|_| behind.next().is_some()) {
            let after = (*last).clone();
            let token = ConsumersToken { stream: stream.name.clone(), created: stream.created, after, issued: now };
            answer["NextToken"] = json!(token.to_text());
        }
        Ok(answer)
    }
}

fn find<'a>(
    description: &'a StreamDescription,
    stream: &Stream,
    name: &str,
    arn: Option<&ConsumerArn>,
) -> Result<&'a Consumer, KinesisError> {
    match arn {
        Some(arn) => registered(description, arn),
        None => {
            let found = description.consumers.get(name);
            found.ok_or_else(|| not_found(&format!("{name} under stream {}", stream.arn())))
        }
    }
}

fn consumer_json(stream: &Stream, name: &str, consumer: &Consumer, limits: Limits, now: Timestamp) -> Value {
    json!({
        "ConsumerName": name,
        "ConsumerARN": ConsumerArn::of(stream, name, consumer),
        "ConsumerStatus": if is_creating(consumer, limits, now) { "CREATING" } else { "ACTIVE" },
        "ConsumerCreationTimestamp": seconds(consumer.created),
    })
}

//! Bucket notifications: which writes a bucket wants to hear about, and the documents that are sent.
//!
//! Rules come from Lambda and queue configurations alike and all go to the one receiver of the process. Only
//! `s3:ObjectCreated:*` and its members are known; topics, EventBridge and other events are refused. Documents are
//! recorded together with the object (see [`super::store`]), so an event is lost only together with its object.

use lakebed_contract::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::dto::{
    Event, FilterRule, FilterRuleName, LambdaFunctionConfiguration, NotificationConfiguration,
    NotificationConfigurationFilter, QueueConfiguration, S3KeyFilter,
};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::index::ObjectRecord;
use super::internal;

/// Most events that wait for delivery; beyond it writes are answered `SlowDown`.
pub const OUTBOX_EVENTS_MAX: u64 = 1_000_000;

/// Most rules of a bucket, as in AWS.
const RULES_MAX: usize = 100;
const EVERY_CREATION: &str = "s3:ObjectCreated:*";
/// What `application/x-www-form-urlencoded` leaves alone; S3 also leaves `/`. The space is handled apart.
const LEFT_ALONE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b'/').remove(b' ');

/// How an object came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Created {
    Put,
    Copy,
    CompleteMultipartUpload,
}

impl Created {
    const ALL: [Self; 3] = [Self::Put, Self::Copy, Self::CompleteMultipartUpload];

    /// As in the document, without `s3:`.
    fn event_name(self) -> &'static str {
        match self {
            Self::Put => "ObjectCreated:Put",
            Self::Copy => "ObjectCreated:Copy",
            Self::CompleteMultipartUpload => "ObjectCreated:CompleteMultipartUpload",
        }
    }
}

/// Where a rule says its events go. Kept to answer GetBucketNotificationConfiguration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Destination {
    Lambda,
    Queue,
}

/// One rule of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rule {
    id: String,
    destination: Destination,
    arn: String,
    events: Vec<String>,
    prefix: String,
    suffix: String,
}

impl Rule {
    /// The rules of a bucket as they stand in the index.
    pub(super) fn parse_all(json: &str) -> S3Result<Vec<Self>> {
        serde_json::from_str(json).map_err(internal("read notification rules"))
    }

    fn wants(&self, created: Created, key: &str) -> bool {
        self.wants_event(created) && key.starts_with(&self.prefix) && key.ends_with(&self.suffix)
    }

    fn wants_event(&self, created: Created) -> bool {
        let is_wanted =
            |event: &String| event == EVERY_CREATION || event.strip_prefix("s3:") == Some(created.event_name());
        self.events.iter().any(is_wanted)
    }

    /// Whether one object could match both.
    fn overlaps(&self, other: &Self) -> bool {
        let nested = |one: &str, two: &str| one.starts_with(two) || two.starts_with(one);
        let ends_alike = self.suffix.ends_with(&other.suffix) || other.suffix.ends_with(&self.suffix);
        let share_an_event = Created::ALL.into_iter().any(|event| self.wants_event(event) && other.wants_event(event));
        share_an_event && nested(&self.prefix, &other.prefix) && ends_alike
    }
}

/// Reads a configuration, or refuses what would not be delivered.
pub(super) fn rules_of(configuration: NotificationConfiguration) -> S3Result<Vec<Rule>> {
    if configuration.event_bridge_configuration.is_some() {
        return Err(s3_error!(NotImplemented, "EventBridge notifications are not implemented"));
    }
    if configuration.topic_configurations.is_some_and(|topics| !topics.is_empty()) {
        return Err(s3_error!(NotImplemented, "topic notifications are not implemented"));
    }
    let lambdas =
        configuration.lambda_function_configurations.unwrap_or_default().into_iter().map(|lambda| {
            rule(Destination::Lambda, lambda.id, lambda.lambda_function_arn, lambda.events, lambda.filter)
        });
    let queues = configuration.queue_configurations.unwrap_or_default().into_iter();
    let queues = queues.map(|queue| rule(Destination::Queue, queue.id, queue.queue_arn, queue.events, queue.filter));
    let mut rules = lambdas.chain(queues).collect::<S3Result<Vec<_>>>()?;
    if rules.len() > RULES_MAX {
        return Err(s3_error!(InvalidArgument, "a bucket has at most {RULES_MAX} notification configurations"));
    }
    for (at, rule) in rules.iter_mut().enumerate() {
        if rule.id.is_empty() {
            rule.id = format!("lakebed-{at}");
        }
    }
    for (at, rule) in rules.iter().enumerate() {
        if rules[..at].iter().any(|earlier| earlier.overlaps(rule)) {
            return Err(s3_error!(
                InvalidArgument,
                "Configurations overlap. Configurations on the same bucket cannot share a common event type."
            ));
        }
    }
    Ok(rules)
}

fn rule(
    destination: Destination,
    id: Option<String>,
    arn: String,
    events: Vec<Event>,
    filter: Option<NotificationConfigurationFilter>,
) -> S3Result<Rule> {
    let events: Vec<String> = events.into_iter().map(String::from).collect();
    let is_known = |event: &String| {
        event == EVERY_CREATION
            || Created::ALL.iter().any(|known| event.strip_prefix("s3:") == Some(known.event_name()))
    };
    if events.is_empty() || !events.iter().all(is_known) {
        return Err(s3_error!(
            NotImplemented,
            "only the events s3:ObjectCreated:{{*,Put,Copy,CompleteMultipartUpload}} are implemented"
        ));
    }
    let (mut prefix, mut suffix) = (String::new(), String::new());
    let filters = filter.and_then(|filter| filter.key).and_then(|key| key.filter_rules).unwrap_or_default();
    for FilterRule { name, value } in filters {
        let value = value.unwrap_or_default();
        match name.as_ref().map(|name| name.as_str().to_ascii_lowercase()).as_deref() {
            Some("prefix") => prefix = value,
            Some("suffix") => suffix = value,
            _ => return Err(s3_error!(InvalidArgument, "filter rule name must be either prefix or suffix")),
        }
    }
    Ok(Rule { id: id.unwrap_or_default(), destination, arn, events, prefix, suffix })
}

/// The configuration as it is given back: Lambda functions and queues.
pub(super) fn configurations_of(rules: Vec<Rule>) -> (Vec<LambdaFunctionConfiguration>, Vec<QueueConfiguration>) {
    let (mut lambdas, mut queues) = (Vec::new(), Vec::new());
    for Rule { id, destination, arn, events, prefix, suffix } in rules {
        let named = [(FilterRuleName::PREFIX, prefix), (FilterRuleName::SUFFIX, suffix)];
        let filter_rules = named
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| FilterRule { name: Some(FilterRuleName::from_static(name)), value: Some(value) });
        let key = S3KeyFilter { filter_rules: Some(filter_rules.collect()) };
        let filter = Some(NotificationConfigurationFilter { key: Some(key) });
        let (id, events) = (Some(id), events.into_iter().map(Event::from).collect());
        match destination {
            Destination::Lambda => {
                lambdas.push(LambdaFunctionConfiguration { events, filter, id, lambda_function_arn: arn });
            }
            Destination::Queue => queues.push(QueueConfiguration { events, filter, id, queue_arn: arn }),
        }
    }
    (lambdas, queues)
}

/// The event document of a write, if a rule wants it. Rules do not overlap, so there is at most one.
pub(super) fn event_for(
    rules: &[Rule],
    created: Created,
    bucket: &str,
    key: &str,
    record: &ObjectRecord,
) -> Option<Value> {
    let rule = rules.iter().find(|rule| rule.wants(created, key))?;
    let request_id = format!("{:016X}", record.sequence);
    Some(json!({ "Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": event_time(record.last_modified),
        "eventName": created.event_name(),
        "userIdentity": { "principalId": "lakebed" },
        "requestParameters": { "sourceIPAddress": "127.0.0.1" },
        "responseElements": { "x-amz-request-id": request_id, "x-amz-id-2": request_id },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": rule.id,
            "bucket": {
                "name": bucket,
                "ownerIdentity": { "principalId": "lakebed" },
                "arn": format!("arn:aws:s3:::{bucket}"),
            },
            "object": {
                "key": form_encoded(key),
                "size": record.size,
                "eTag": record.etag,
                "sequencer": sequencer(record.sequence),
            },
        },
    }]}))
}

/// The document AWS sends when a configuration is set; it has no `Records`.
pub(super) fn test_event(bucket: &str, at: Timestamp) -> Value {
    json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": event_time(at),
        "Bucket": bucket,
        "RequestId": format!("{:016X}", at.0),
        "HostId": "lakebed",
    })
}

/// Hexadecimal of one width, so that plain string order is the order of writes.
fn sequencer(sequence: i64) -> String {
    format!("{sequence:016X}")
}

fn event_time(at: Timestamp) -> String {
    at.to_datetime().to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn form_encoded(key: &str) -> String {
    utf8_percent_encode(key, LEFT_ALONE).to_string().replace(' ', "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(events: &[&str], prefix: &str, suffix: &str) -> Rule {
        Rule {
            id: "r".to_owned(),
            destination: Destination::Lambda,
            arn: "arn".to_owned(),
            events: events.iter().map(|event| (*event).to_owned()).collect(),
            prefix: prefix.to_owned(),
            suffix: suffix.to_owned(),
        }
    }

    #[test]
    fn keys_are_form_encoded_but_keep_their_slashes() {
        assert_eq!(form_encoded("raw/t=a/b c+d.gz"), "raw/t%3Da/b+c%2Bd.gz");
        assert_eq!(form_encoded("é~"), "%C3%A9%7E");
    }

    #[test]
    fn a_rule_wants_its_events_under_its_prefix_and_suffix() {
        let all = rule(&[EVERY_CREATION], "raw/", ".gz");
        assert!(all.wants(Created::Put, "raw/a.gz") && all.wants(Created::Copy, "raw/a.gz"));
        assert!(!all.wants(Created::Put, "errors/a.gz") && !all.wants(Created::Put, "raw/a.csv"));
        let copies = rule(&["s3:ObjectCreated:Copy"], "", "");
        assert!(copies.wants(Created::Copy, "x") && !copies.wants(Created::Put, "x"));
    }

    #[test]
    fn overlap_needs_a_common_event_prefix_and_suffix() {
        let raw = rule(&[EVERY_CREATION], "raw/", "");
        assert!(raw.overlaps(&rule(&["s3:ObjectCreated:Put"], "raw/review/", ".gz")));
        assert!(!raw.overlaps(&rule(&[EVERY_CREATION], "errors/", "")));
        assert!(!rule(&["s3:ObjectCreated:Put"], "", "").overlaps(&rule(&["s3:ObjectCreated:Copy"], "", "")));
        assert!(!rule(&[EVERY_CREATION], "", ".a").overlaps(&rule(&[EVERY_CREATION], "", ".b")));
    }
}

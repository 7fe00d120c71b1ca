//! Notification rules of a bucket: read out of a configuration, matched, given back.
//!
//! Queue, topic and function configurations are rules alike. Events that never happen here but are AWS's, and
//! EventBridge, are refused by name; what AWS refuses is refused with its words. Knows nothing of objects.

use s3s::dto::{
    Event, FilterRule, FilterRuleName, LambdaFunctionConfiguration, NotificationConfiguration,
    NotificationConfigurationFilter, QueueConfiguration, S3KeyFilter, TopicConfiguration,
};
use s3s::{S3Result, s3_error};
use serde::{Deserialize, Serialize};

use super::EventKind;
use crate::s3::internal;

/// Most rules of a bucket, as in AWS.
const RULES_MAX: usize = 100;
/// Most bytes of a prefix or suffix.
const FILTER_BYTES_MAX: usize = 1024;
const EVERY_MEMBER: char = '*';
/// Events of a rule, by family. `Post` may be asked for and never happens: form uploads are refused.
const FAMILIES: [(&str, &[&str]); 4] = [
    ("s3:ObjectCreated:", &["Put", "Post", "Copy", "CompleteMultipartUpload"]),
    ("s3:ObjectRemoved:", &["Delete", "DeleteMarkerCreated"]),
    ("s3:LifecycleExpiration:", &["Delete", "DeleteMarkerCreated"]),
    ("s3:ObjectTagging:", &["Put", "Delete"]),
];
/// Beginnings of AWS's other events: of features this store does not have.
const UNIMPLEMENTED: [&str; 6] = [
    "s3:ReducedRedundancyLostObject",
    "s3:ObjectRestore:",
    "s3:Replication:",
    "s3:LifecycleTransition",
    "s3:IntelligentTiering",
    "s3:ObjectAcl:",
];

/// Where a rule says its events go. Kept to answer GetBucketNotificationConfiguration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Destination {
    Lambda,
    Queue,
    Topic,
}

impl Destination {
    /// The service in the destination's ARN.
    fn service(self) -> &'static str {
        match self {
            Self::Lambda => "lambda",
            Self::Queue => "sqs",
            Self::Topic => "sns",
        }
    }
}

/// One rule of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::s3) struct Rule {
    id: String,
    destination: Destination,
    arn: String,
    events: Vec<String>,
    prefix: String,
    suffix: String,
}

impl Rule {
    /// The rules of a bucket as they stand in the index.
    pub(in crate::s3) fn parse_all(json: &str) -> S3Result<Vec<Self>> {
        serde_json::from_str(json).map_err(internal("read notification rules"))
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn wants(&self, kind: EventKind, key: &str) -> bool {
        self.events.iter().any(|event| event.strip_prefix("s3:").is_some_and(|event| covers(event, kind.name())))
            && key.starts_with(&self.prefix)
            && key.ends_with(&self.suffix)
    }

    /// Whether one event could match both.
    fn overlaps(&self, other: &Self) -> bool {
        let nested = |one: &str, two: &str| one.starts_with(two) || two.starts_with(one);
        let ends_alike = self.suffix.ends_with(&other.suffix) || other.suffix.ends_with(&self.suffix);
        self.shares_an_event(other) && nested(&self.prefix, &other.prefix) && ends_alike
    }

    fn shares_an_event(&self, other: &Self) -> bool {
        // Two names mean a common event exactly if one of them covers the other.
        self.events.iter().any(|one| other.events.iter().any(|two| covers(one, two) || covers(two, one)))
    }
}

/// Whether `asked`, which may end with a star, means `event`.
fn covers(asked: &str, event: &str) -> bool {
    match asked.strip_suffix(EVERY_MEMBER) {
        Some(family) => event.starts_with(family),
        None => asked == event,
    }
}

/// Reads a configuration, or refuses what would not be delivered.
pub(in crate::s3) fn rules_of(configuration: NotificationConfiguration) -> S3Result<Vec<Rule>> {
    if configuration.event_bridge_configuration.is_some() {
        return Err(s3_error!(NotImplemented, "EventBridge notifications are not implemented"));
    }
    let lambdas = configuration.lambda_function_configurations.unwrap_or_default().into_iter();
    let lambdas = lambdas
        .map(|lambda| rule(Destination::Lambda, lambda.id, lambda.lambda_function_arn, lambda.events, lambda.filter));
    let queues = configuration.queue_configurations.unwrap_or_default().into_iter();
    let queues = queues.map(|queue| rule(Destination::Queue, queue.id, queue.queue_arn, queue.events, queue.filter));
    let topics = configuration.topic_configurations.unwrap_or_default().into_iter();
    let topics = topics.map(|topic| rule(Destination::Topic, topic.id, topic.topic_arn, topic.events, topic.filter));
    let mut rules = lambdas.chain(queues).chain(topics).collect::<S3Result<Vec<_>>>()?;
    if rules.len() > RULES_MAX {
        return Err(s3_error!(InvalidArgument, "a bucket has at most {RULES_MAX} notification configurations"));
    }
    for (at, rule) in rules.iter_mut().enumerate() {
        if rule.id.is_empty() {
            rule.id = format!("lakebed-{at}");
        }
    }
    for (at, rule) in rules.iter().enumerate() {
        let earlier = &rules[..at];
        if earlier.iter().any(|earlier| earlier.id == rule.id) {
            return Err(s3_error!(InvalidArgument, "Same ID used for multiple configurations. IDs must be unique"));
        }
        if earlier.iter().any(|earlier| earlier.overlaps(rule)) {
            return Err(s3_error!(
                InvalidArgument,
                "Configuration is ambiguously defined. Cannot have overlapping suffixes in two rules if the prefixes \
                 are overlapping for the same event type."
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
    if !names_a(destination, &arn) {
        return Err(s3_error!(InvalidArgument, "The ARN is not well formed"));
    }
    let events: Vec<String> = events.into_iter().map(String::from).collect();
    if events.is_empty() {
        return Err(s3_error!(MalformedXML));
    }
    for event in &events {
        check_event(event)?;
    }
    let filters = filter.and_then(|filter| filter.key).and_then(|key| key.filter_rules).unwrap_or_default();
    let (prefix, suffix) = prefix_and_suffix(filters)?;
    Ok(Rule { id: id.unwrap_or_default(), destination, arn, events, prefix, suffix })
}

/// `arn:partition:service:region:account:name`.
fn names_a(destination: Destination, arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(parts.as_slice(), ["arn", partition, service, _, _, name]
        if !partition.is_empty() && *service == destination.service() && !name.is_empty())
}

fn check_event(event: &str) -> S3Result<()> {
    let is_member = |(family, members): &(&str, &[&str])| {
        event.strip_prefix(family).is_some_and(|member| member == "*" || members.contains(&member))
    };
    if FAMILIES.iter().any(is_member) {
        return Ok(());
    }
    if UNIMPLEMENTED.iter().any(|beginning| event.starts_with(beginning)) {
        return Err(s3_error!(NotImplemented, "notifications of the event {event} are not implemented"));
    }
    Err(s3_error!(InvalidArgument, "The event '{event}' is not supported for notifications"))
}

fn prefix_and_suffix(filters: Vec<FilterRule>) -> S3Result<(String, String)> {
    let (mut prefix, mut suffix) = (None, None);
    for FilterRule { name, value } in filters {
        let value = value.unwrap_or_default();
        if value.len() > FILTER_BYTES_MAX {
            return Err(s3_error!(
                InvalidArgument,
                "Size of filter rule value cannot exceed 1024 bytes in UTF-8 representation"
            ));
        }
        let name = name.as_ref().map(|name| name.as_str().to_ascii_lowercase());
        let earlier = match name.as_deref() {
            Some("prefix") => prefix.replace(value),
            Some("suffix") => suffix.replace(value),
            _ => return Err(s3_error!(InvalidArgument, "filter rule name must be either prefix or suffix")),
        };
        if earlier.is_some() {
            let name = name.unwrap_or_default();
            return Err(s3_error!(InvalidArgument, "Cannot specify more than one {name} rule in a filter."));
        }
    }
    Ok((prefix.unwrap_or_default(), suffix.unwrap_or_default()))
}

/// The configuration as it is given back.
pub(in crate::s3) fn configurations_of(rules: Vec<Rule>) -> NotificationConfiguration {
    let (mut lambdas, mut queues, mut topics) = (Vec::new(), Vec::new(), Vec::new());
    for Rule { id, destination, arn, events, prefix, suffix } in rules {
        let filter = filter_of(prefix, suffix);
        let (id, events) = (Some(id), events.into_iter().map(Event::from).collect());
        match destination {
            Destination::Lambda => {
                lambdas.push(LambdaFunctionConfiguration { events, filter, id, lambda_function_arn: arn });
            }
            Destination::Queue => queues.push(QueueConfiguration { events, filter, id, queue_arn: arn }),
            Destination::Topic => topics.push(TopicConfiguration { events, filter, id, topic_arn: arn }),
        }
    }
    NotificationConfiguration {
        event_bridge_configuration: None,
        lambda_function_configurations: Some(lambdas).filter(|lambdas| !lambdas.is_empty()),
        queue_configurations: Some(queues).filter(|queues| !queues.is_empty()),
        topic_configurations: Some(topics).filter(|topics| !topics.is_empty()),
    }
}

fn filter_of(prefix: String, suffix: String) -> Option<NotificationConfigurationFilter> {
    let named = [(FilterRuleName::PREFIX, prefix), (FilterRuleName::SUFFIX, suffix)];
    let filter_rules: Vec<FilterRule> = named
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| FilterRule { name: Some(FilterRuleName::from_static(name)), value: Some(value) })
        .collect();
    let key = S3KeyFilter { filter_rules: Some(filter_rules) };
    Some(NotificationConfigurationFilter { key: Some(key) })
}

#[cfg(test)]
mod tests {
    use super::super::Created;
    use super::*;

    const EVERY_CREATION: &str = "s3:ObjectCreated:*";
    const PUT: EventKind = EventKind::Created(Created::Put);
    const COPY: EventKind = EventKind::Created(Created::Copy);

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
    fn a_rule_wants_its_events_under_its_prefix_and_suffix() {
        let all = rule(&[EVERY_CREATION], "raw/", ".gz");
        assert!(all.wants(PUT, "raw/a.gz") && all.wants(COPY, "raw/a.gz"));
        assert!(!all.wants(PUT, "errors/a.gz") && !all.wants(PUT, "raw/a.csv"));
        assert!(!all.wants(EventKind::Removed, "raw/a.gz"));
        let copies = rule(&["s3:ObjectCreated:Copy"], "", "");
        assert!(copies.wants(COPY, "x") && !copies.wants(PUT, "x"));
        let removals = rule(&["s3:ObjectRemoved:*", "s3:ObjectTagging:Delete"], "", "");
        assert!(removals.wants(EventKind::Removed, "x") && removals.wants(EventKind::MarkerCreated, "x"));
        assert!(removals.wants(EventKind::TagsDeleted, "x") && !removals.wants(EventKind::TagsPut, "x"));
        // What expires is not removed by a request: AWS tells the two apart.
        assert!(!removals.wants(EventKind::Expired, "x") && !removals.wants(EventKind::ExpiredMarkerCreated, "x"));
    }

    #[test]
    fn overlap_needs_a_common_event_prefix_and_suffix() {
        let raw = rule(&[EVERY_CREATION], "raw/", "");
        assert!(raw.overlaps(&rule(&["s3:ObjectCreated:Put"], "raw/review/", ".gz")));
        assert!(!raw.overlaps(&rule(&[EVERY_CREATION], "errors/", "")));
        assert!(!raw.overlaps(&rule(&["s3:ObjectRemoved:*"], "raw/", "")));
        assert!(!rule(&["s3:ObjectCreated:Put"], "", "").overlaps(&rule(&["s3:ObjectCreated:Copy"], "", "")));
        assert!(!rule(&[EVERY_CREATION], "", ".a").overlaps(&rule(&[EVERY_CREATION], "", ".b")));
    }

    #[test]
    fn events_are_known_refused_by_name_or_unheard_of() {
        let code = |event: &str| match check_event(event) {
            Ok(()) => "known".to_owned(),
            Err(error) => {
                assert!(error.message().is_some_and(|text| text.contains(event)), "{error:?}");
                error.code().as_str().to_owned()
            }
        };
        for (family, members) in FAMILIES {
            for member in members.iter().chain(&["*"]) {
                assert_eq!(code(&format!("{family}{member}")), "known");
            }
        }
        for event in [
            "s3:ObjectRestore:*",
            "s3:Replication:OperationFailedReplication",
            "s3:IntelligentTiering",
            "s3:ObjectAcl:Put",
            "s3:ReducedRedundancyLostObject",
            "s3:LifecycleTransition",
        ] {
            assert_eq!(code(event), "NotImplemented", "{event}");
        }
        for event in ["s3:ObjectCreated", "s3:ObjectCreated:Nonsense", "ObjectCreated:Put", "s3:*"] {
            assert_eq!(code(event), "InvalidArgument", "{event}");
        }
    }

    #[test]
    fn a_destination_is_named_by_an_arn_of_its_service() {
        assert!(names_a(Destination::Queue, "arn:aws:sqs:us-east-1:000000000000:q"));
        assert!(names_a(Destination::Lambda, "arn:aws:lambda:us-east-1:000000000000:function:f:1"));
        assert!(!names_a(Destination::Topic, "arn:aws:sqs:us-east-1:000000000000:q"));
        assert!(!names_a(Destination::Queue, "arn") && !names_a(Destination::Queue, "arn:aws:sqs:us-east-1:0:"));
    }

    #[test]
    fn a_filter_has_each_name_once() {
        let filters = |names: &[&str]| {
            let rule = |name: &&str| FilterRule {
                name: Some(FilterRuleName::from((*name).to_owned())),
                value: Some(format!("{name}!")),
            };
            prefix_and_suffix(names.iter().map(rule).collect())
        };
        assert_eq!(filters(&["Prefix", "suffix"]).ok(), Some(("Prefix!".to_owned(), "suffix!".to_owned())));
        for wrong in [&["prefix", "Prefix"][..], &["suffix", "suffix"], &["infix"]] {
            assert!(filters(wrong).is_err(), "{wrong:?}");
        }
    }
}

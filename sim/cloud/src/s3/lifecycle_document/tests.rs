//! What is refused, and what is given back.

use super::*;

fn days(days: i32) -> Option<LifecycleExpiration> {
    Some(LifecycleExpiration { days: Some(days), ..LifecycleExpiration::default() })
}

/// A valid rule over everything.
fn rule() -> LifecycleRule {
    LifecycleRule {
        abort_incomplete_multipart_upload: None,
        expiration: days(1),
        filter: Some(LifecycleRuleFilter::default()),
        id: Some("r".to_owned()),
        noncurrent_version_expiration: None,
        noncurrent_version_transitions: None,
        prefix: None,
        status: ExpirationStatus::from_static(ExpirationStatus::ENABLED),
        transitions: None,
    }
}

fn tag(key: &str) -> Tag {
    Tag { key: Some(key.to_owned()), value: Some("v".to_owned()) }
}

fn refusal(rules: Vec<LifecycleRule>) -> String {
    match rules_of(rules, |at| format!("made-up-{at}")) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => format!("{} {}", error.code().as_str(), error.message().unwrap_or_default()),
    }
}

#[test]
fn what_aws_refuses_is_refused() {
    let with = |change: &dyn Fn(&mut LifecycleRule)| {
        let mut rule = rule();
        change(&mut rule);
        refusal(vec![rule])
    };
    let filter = |filter: LifecycleRuleFilter| with(&|rule| rule.filter = Some(filter.clone()));
    let expires = |expiration: LifecycleExpiration| with(&|rule| rule.expiration = Some(expiration.clone()));
    let aborts = Some(AbortIncompleteMultipartUpload { days_after_initiation: Some(1) });
    let one_tag = LifecycleRuleFilter { tag: Some(tag("a")), ..LifecycleRuleFilter::default() };
    let cases = [
        ("MalformedXML", refusal(vec![])),
        ("InvalidRequest Rules number", refusal(vec![rule(); RULES_MAX + 1])),
        ("InvalidArgument Rule ID must be unique", refusal(vec![rule(), rule()])),
        ("InvalidArgument ID length", with(&|rule| rule.id = Some("x".repeat(256)))),
        ("MalformedXML", with(&|rule| rule.status = ExpirationStatus::from_static("enabled"))),
        ("MalformedXML", with(&|rule| rule.prefix = Some(String::new()))),
        ("MalformedXML", with(&|rule| rule.filter = None)),
        ("InvalidRequest At least one action", with(&|rule| rule.expiration = None)),
        ("InvalidArgument 'Days' for Expiration", with(&|rule| rule.expiration = days(0))),
        ("MalformedXML", expires(LifecycleExpiration::default())),
        (
            "MalformedXML",
            expires(LifecycleExpiration { expired_object_delete_marker: Some(true), ..days(1).expect("days") }),
        ),
        (
            "InvalidArgument 'Date' must be at midnight GMT",
            expires(LifecycleExpiration {
                date: Some(dto_timestamp(Timestamp::from_seconds(1_700_000_000))),
                ..LifecycleExpiration::default()
            }),
        ),
        (
            "InvalidRequest AbortIncompleteMultipartUpload cannot be specified with Tags",
            with(&|rule| {
                rule.filter = Some(one_tag.clone());
                rule.abort_incomplete_multipart_upload = aborts.clone();
            }),
        ),
        ("MalformedXML", filter(LifecycleRuleFilter { prefix: Some("p".to_owned()), ..one_tag.clone() })),
        (
            "MalformedXML",
            filter(LifecycleRuleFilter {
                and: Some(LifecycleRuleAndOperator {
                    prefix: Some("p".to_owned()),
                    ..LifecycleRuleAndOperator::default()
                }),
                ..LifecycleRuleFilter::default()
            }),
        ),
        (
            "InvalidRequest Duplicate Tag Keys",
            filter(LifecycleRuleFilter {
                and: Some(LifecycleRuleAndOperator {
                    tags: Some(vec![tag("a"), tag("a")]),
                    ..LifecycleRuleAndOperator::default()
                }),
                ..LifecycleRuleFilter::default()
            }),
        ),
        (
            "InvalidRequest 'ObjectSizeLessThan'",
            filter(LifecycleRuleFilter {
                and: Some(LifecycleRuleAndOperator {
                    object_size_greater_than: Some(5),
                    object_size_less_than: Some(5),
                    ..LifecycleRuleAndOperator::default()
                }),
                ..LifecycleRuleFilter::default()
            }),
        ),
        (
            "InvalidArgument 'NoncurrentDays'",
            with(&|rule| {
                rule.noncurrent_version_expiration =
                    Some(NoncurrentVersionExpiration { noncurrent_days: Some(0), newer_noncurrent_versions: None });
            }),
        ),
        ("NotImplemented", with(&|rule| rule.transitions = Some(vec![s3s::dto::Transition::default()]))),
    ];
    for (at, (expected, found)) in cases.iter().enumerate() {
        assert!(found.starts_with(expected), "{at}: {found} instead of {expected}");
    }
}

#[test]
fn a_rule_is_given_back_as_it_was_written() {
    let and = LifecycleRuleAndOperator {
        object_size_greater_than: Some(1),
        object_size_less_than: None,
        prefix: Some("p".to_owned()),
        tags: Some(vec![tag("a"), tag("b")]),
    };
    let mut rules = vec![rule(), rule(), rule()];
    rules[0].filter = Some(LifecycleRuleFilter { and: Some(and), ..LifecycleRuleFilter::default() });
    (rules[1].filter, rules[1].prefix, rules[1].id) = (None, Some("old/".to_owned()), Some("second".to_owned()));
    rules[2].id = None;
    rules[2].expiration = Some(LifecycleExpiration {
        date: Some(dto_timestamp(Timestamp::from_seconds(1_700_006_400))),
        ..LifecycleExpiration::default()
    });
    rules[2].noncurrent_version_expiration =
        Some(NoncurrentVersionExpiration { noncurrent_days: Some(3), newer_noncurrent_versions: Some(5) });
    rules[2].abort_incomplete_multipart_upload =
        Some(AbortIncompleteMultipartUpload { days_after_initiation: Some(7) });
    let read = rules_of(rules.clone(), |at| format!("made-up-{at}")).expect("valid");
    rules[2].id = Some("made-up-2".to_owned());
    assert_eq!(read.iter().map(document_of).collect::<Vec<_>>(), rules);
}

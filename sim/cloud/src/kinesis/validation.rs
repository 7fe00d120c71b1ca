//! Constraints of request members, and how AWS words their violations.
//!
//! Everything that is wrong with a request is collected and told at once, ten violations at most. What a member may be is
//! AWS's published service model, which `crate::validation` judges by; what is left here is about requests that put records.
//! Values are quoted to the client as AWS does, but neither record data nor partition keys are.

use std::fmt::Display;

use super::error::KinesisError;
use crate::matrix::Service;
use crate::validation::{self, Refusal, VIOLATIONS_MAX};

/// Regular expressions of the service model that members of ours have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// Of streams and shards.
    Name,
    /// A stream's.
    StreamArn,
    /// 128 bits in decimal.
    HashKey,
    SequenceNumber,
}

impl Pattern {
    fn as_str(self) -> &'static str {
        match self {
            Self::Name => "[a-zA-Z0-9_.-]+",
            Self::StreamArn => r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+",
            Self::HashKey => r"^(0|([1-9]\d{0,38}))$",
            Self::SequenceNumber => r"^(0|([1-9]\d{0,128}))$",
        }
    }

    fn matches(self, text: &str) -> bool {
        let is_number = |digits_max: usize| {
            let is_short = (1..=digits_max).contains(&text.len());
            is_short && text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'))
        };
        match self {
            Self::Name => {
                let is_sound = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
                !text.is_empty() && text.bytes().all(is_sound)
            }
            Self::StreamArn => is_arn(text),
            Self::HashKey => is_number(39),
            Self::SequenceNumber => is_number(129),
        }
    }
}

fn is_arn(text: &str) -> bool {
    let parse = || {
        let (partition, rest) = text.strip_prefix("arn:aws")?.split_once(":kinesis:")?;
        let (_region, rest) = rest.split_once(':')?;
        let (account, resource) = rest.split_once(':')?;
        let name = resource.strip_prefix("stream/")?;
        let is_account = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        let is_name = !name.is_empty() && !name.contains(char::is_whitespace);
        Some(is_account && is_name && !partition.contains(':'))
    };
    parse().unwrap_or(false)
}

/// Judges a request by the service model. Records are not judged here: that would cost a second reading of their data, and
/// would quote partition keys. A body that is no JSON passes; who reads it for good refuses it.
pub(super) fn check_request(operation: &str, body: &[u8]) -> Result<(), KinesisError> {
    if matches!(operation, "PutRecord" | "PutRecords") {
        return Ok(());
    }
    let Ok(request) = serde_json::from_slice(body) else { return Ok(()) };
    validation::check(Service::Kinesis, operation, &request).map_err(|refusal| match refusal {
        Refusal::Serialization(message) => KinesisError::serialization(message),
        Refusal::Validation(message) => KinesisError::validation(message),
    })
}

/// What is wrong with a request.
#[derive(Debug, Default)]
pub(super) struct Violations(Vec<String>);

impl Violations {
    /// `value` at `path` breaks `rule`.
    fn add(&mut self, value: impl Display, path: &str, rule: &str) {
        self.push(|| validation::violation(&value.to_string(), path, rule));
    }

    fn push(&mut self, sentence: impl FnOnce() -> String) {
        if self.0.len() < VIOLATIONS_MAX {
            self.0.push(sentence());
        }
    }

    /// A member that must be there.
    pub(super) fn null(&mut self, path: &str) {
        self.push(|| validation::null(path));
    }

    pub(super) fn pattern(&mut self, value: Option<&str>, path: &str, pattern: Pattern) {
        if let Some(value) = value.filter(|value| !pattern.matches(value)) {
            self.add(value, path, &validation::pattern(pattern.as_str()));
        }
    }

    /// Characters of a text.
    pub(super) fn length(&mut self, value: Option<&str>, path: &str, min: usize, max: usize) {
        let Some(value) = value else { return };
        self.size(value.chars().count(), value, path, min, max);
    }

    /// Members of a list or map, or characters, counted by the caller.
    pub(super) fn size(&mut self, size: usize, shown: impl Display, path: &str, min: usize, max: usize) {
        if size < min {
            self.add(&shown, path, &validation::length(true, min));
        }
        if size > max {
            self.add(&shown, path, &validation::length(false, max));
        }
    }

    /// A name: pattern and length of streams and shards.
    pub(super) fn name(&mut self, value: Option<&str>, path: &str) {
        self.pattern(value, path, Pattern::Name);
        self.length(value, path, 1, 128);
    }

    /// An ARN: pattern and length.
    pub(super) fn arn(&mut self, value: Option<&str>, path: &str, pattern: Pattern) {
        self.pattern(value, path, pattern);
        self.length(value, path, 1, 2048);
    }

    /// The refusal, if there is anything to refuse.
    pub(super) fn finish(self) -> Result<(), KinesisError> {
        if self.0.is_empty() { Ok(()) } else { Err(KinesisError::validation(validation::violations(&self.0))) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(check: impl FnOnce(&mut Violations)) -> String {
        let mut violations = Violations::default();
        check(&mut violations);
        violations.finish().map_or_else(|error| error.to_string(), |()| "sound".to_owned())
    }

    #[test]
    fn violations_are_worded_and_counted_as_aws_does() {
        assert_eq!(
            told(|check| check.name(Some(""), "streamName")),
            "ValidationException: 2 validation errors detected: Value '' at 'streamName' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; Value '' at 'streamName' failed to satisfy \
             constraint: Member must have length greater than or equal to 1"
        );
        let null = told(|check| check.null("shardId"));
        assert!(
            null.ends_with("Value null at 'shardId' failed to satisfy constraint: Member must not be null"),
            "{null}"
        );
        let many = told(|check| (0..99).for_each(|_| check.null("x")));
        assert!(many.contains("10 validation errors detected"), "{many}");
        assert_eq!(told(|check| check.name(Some("a.B-9_"), "streamName")), "sound");
    }

    #[test]
    fn patterns_take_what_the_service_model_takes() {
        let is = |pattern: Pattern, texts: [&str; 3]| texts.map(|text| pattern.matches(text));
        assert_eq!(is(Pattern::HashKey, ["0", "340282366920938463463374607431768211455", "00"]), [true, true, false]);
        assert_eq!(is(Pattern::HashKey, ["", "-1", &"9".repeat(40)]), [false; 3]);
        assert_eq!(is(Pattern::SequenceNumber, ["0", &"9".repeat(129), &"9".repeat(130)]), [true, true, false]);
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s";
        assert_eq!(
            is(Pattern::StreamArn, [arn, "arn:aws:kinesis:us-east-1:0:stream/s", "stream/s"]),
            [true, false, false]
        );
    }
}

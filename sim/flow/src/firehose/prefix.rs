//! The expression language of `Prefix` and `ErrorOutputPrefix`.
//!
//! Promises: an expression is checked when the delivery stream is made. Supported are `!{partitionKeyFromLambda:key}`,
//! `!{timestamp:pattern}` (letters `yyyy MM dd HH mm ss SSS`, UTC, quoted literals), `!{firehose:random-string}` and, in the
//! error prefix only, where it is mandatory, `!{firehose:error-output-type}`. A prefix without any expression gets
//! `yyyy/MM/dd/HH/` appended, as the service does without dynamic partitioning.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Timelike, Utc};
use lakebed_contract::Timestamp;
use rand::Rng;

use crate::error::FlowError;

/// Characters of an evaluated prefix.
pub const PREFIX_CHARACTERS_MAX: usize = 512;
/// Length of `!{firehose:random-string}`.
const RANDOM_STRING_LENGTH: usize = 11;

/// Which of the two prefixes an expression is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrefixUse {
    /// `Prefix`
    Data,
    /// `ErrorOutputPrefix`
    Error,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Literal(String),
    PartitionKey(String),
    Timestamp(Vec<TimePart>),
    RandomString,
    ErrorOutputType,
}

#[derive(Clone, Debug, PartialEq)]
enum TimePart {
    Literal(String),
    Field(&'static str),
}

const TIME_FIELDS: [&str; 7] = ["yyyy", "MM", "dd", "HH", "mm", "ss", "SSS"];

/// A checked expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Prefix {
    parts: Vec<Part>,
}

impl Prefix {
    /// Reads an expression.
    pub fn parse(text: &str, used_for: PrefixUse) -> Result<Self, FlowError> {
        let wrong = |reason: String| FlowError::Prefix { prefix: text.to_owned(), reason };
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(start) = rest.find("!{") {
            if start > 0 {
                parts.push(Part::Literal(rest[..start].to_owned()));
            }
            let inner = &rest[start + 2..];
            let end = inner.find('}').ok_or_else(|| wrong("`!{` is not closed".to_owned()))?;
            parts.push(expression(&inner[..end], used_for).map_err(wrong)?);
            rest = &inner[end + 1..];
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        if parts.iter().all(|part| matches!(part, Part::Literal(_))) {
            parts.push(Part::Timestamp(time_pattern("yyyy/MM/dd/HH/").expect("the pattern is valid")));
        }
        if used_for == PrefixUse::Error && !parts.contains(&Part::ErrorOutputType) {
            return Err(wrong("an error prefix needs `!{firehose:error-output-type}`".to_owned()));
        }
        Ok(Self { parts })
    }

    /// Partition keys the expression names.
    pub fn partition_keys(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| if let Part::PartitionKey(key) = part { Some(key.as_str()) } else { None })
    }

    /// Characters of the evaluated data prefix; they do not depend on time or chance.
    pub fn length(&self, partition_keys: &BTreeMap<String, String>) -> usize {
        let of_time = |part: &TimePart| match part {
            TimePart::Literal(literal) => literal.chars().count(),
            TimePart::Field(field) => field.len(),
        };
        let of_part = |part: &Part| match part {
            Part::Literal(literal) => literal.chars().count(),
            Part::PartitionKey(key) => partition_keys.get(key).map_or(0, |value| value.chars().count()),
            Part::Timestamp(pattern) => pattern.iter().map(of_time).sum(),
            Part::RandomString => RANDOM_STRING_LENGTH,
            Part::ErrorOutputType => 0,
        };
        self.parts.iter().map(of_part).sum()
    }

    /// The key prefix for an object whose oldest record arrived at `oldest`. `error_output_type` is empty for data.
    pub fn evaluate(
        &self,
        partition_keys: &BTreeMap<String, String>,
        oldest: Timestamp,
        error_output_type: &str,
        rng: &mut impl Rng,
    ) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Literal(literal) => text.push_str(literal),
                Part::PartitionKey(key) => text.push_str(partition_keys.get(key).map_or("", String::as_str)),
                Part::Timestamp(pattern) => push_time(&mut text, pattern, oldest.to_datetime()),
                Part::ErrorOutputType => text.push_str(error_output_type),
                Part::RandomString => {
                    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
                    let random = (0..RANDOM_STRING_LENGTH).map(|_| ALPHABET[rng.random_range(0..ALPHABET.len())]);
                    text.extend(random.map(char::from));
                }
            }
        }
        text
    }
}

fn expression(text: &str, used_for: PrefixUse) -> Result<Part, String> {
    let (namespace, value) =
        text.split_once(':').ok_or_else(|| format!("`!{{{text}}}` is not `!{{namespace:value}}`"))?;
    match (namespace, value) {
        ("partitionKeyFromLambda", "") => Err("a partition key has no name".to_owned()),
        ("partitionKeyFromLambda", _) if used_for == PrefixUse::Error => {
            Err("an error prefix cannot use partition keys".to_owned())
        }
        ("partitionKeyFromLambda", key) => Ok(Part::PartitionKey(key.to_owned())),
        ("timestamp", pattern) => time_pattern(pattern).map(Part::Timestamp),
        ("firehose", "random-string") => Ok(Part::RandomString),
        ("firehose", "error-output-type") if used_for == PrefixUse::Error => Ok(Part::ErrorOutputType),
        _ => Err(format!("`!{{{text}}}` is not supported here")),
    }
}

/// Reads the subset of Java's `DateTimeFormatter` patterns.
fn time_pattern(pattern: &str) -> Result<Vec<TimePart>, String> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let inner = &rest[1..];
            let end = inner.find('\'').ok_or_else(|| format!("a quote in `{pattern}` is not closed"))?;
            let literal = if end == 0 { "'" } else { &inner[..end] };
            parts.push(TimePart::Literal(literal.to_owned()));
            rest = &inner[end + 1..];
        } else if first.is_ascii_alphabetic() {
            let end = rest.find(|c| c != first).unwrap_or(rest.len());
            let field = TIME_FIELDS.iter().find(|field| **field == &rest[..end]);
            let field = field.ok_or_else(|| {
                format!("timestamp pattern `{}` is not supported, only {}", &rest[..end], TIME_FIELDS.join(", "))
            })?;
            parts.push(TimePart::Field(field));
            rest = &rest[end..];
        } else {
            parts.push(TimePart::Literal(first.to_string()));
            rest = &rest[first.len_utf8()..];
        }
    }
    if parts.is_empty() { Err("a timestamp pattern is empty".to_owned()) } else { Ok(parts) }
}

fn push_time(text: &mut String, pattern: &[TimePart], at: DateTime<Utc>) {
    for part in pattern {
        match part {
            TimePart::Literal(literal) => text.push_str(literal),
            TimePart::Field(field) => text.push_str(&match *field {
                "yyyy" => format!("{:04}", at.year()),
                "MM" => format!("{:02}", at.month()),
                "dd" => format!("{:02}", at.day()),
                "HH" => format!("{:02}", at.hour()),
                "mm" => format!("{:02}", at.minute()),
                "ss" => format!("{:02}", at.second()),
                _ => format!("{:03}", at.timestamp_subsec_millis()),
            }),
        }
    }
}

/// `YYYY-MM-dd-HH-mm-ss`, the time in an object's name.
pub(crate) fn object_time(at: Timestamp) -> String {
    let mut text = String::new();
    push_time(&mut text, &time_pattern("yyyy-MM-dd-HH-mm-ss").expect("the pattern is valid"), at.to_datetime());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakebed_contract::Seed;

    const AT: Timestamp = Timestamp(1_722_214_747_686_557); // 2024-07-29T00:59:07.686557Z

    fn keys() -> BTreeMap<String, String> {
        BTreeMap::from([("table_name".to_owned(), "review".to_owned())])
    }

    fn evaluate(text: &str, used_for: PrefixUse) -> Result<String, String> {
        let prefix = Prefix::parse(text, used_for).map_err(|error| error.to_string())?;
        Ok(prefix.evaluate(&keys(), AT, "processing-failed", &mut Seed(7).rng("test")))
    }

    #[test]
    fn data_prefixes() {
        let cases = [
            ("raw/!{partitionKeyFromLambda:table_name}/", "raw/review/"),
            ("!{partitionKeyFromLambda:table_name}", "review"),
            ("a/y=!{timestamp:yyyy}/m=!{timestamp:MM}/", "a/y=2024/m=07/"),
            ("!{timestamp:yyyy/MM/dd/HH}-!{timestamp:mm:ss.SSS}/", "2024/07/29/00-59:07.686/"),
            ("!{timestamp:'dt='yyyyMMdd''}", "dt=20240729'"),
            ("plain/", "plain/2024/07/29/00/"),
            ("", "2024/07/29/00/"),
        ];
        for (text, expected) in cases {
            assert_eq!(evaluate(text, PrefixUse::Data).as_deref(), Ok(expected), "{text}");
        }
        let random = evaluate("x/!{firehose:random-string}/", PrefixUse::Data).expect("valid");
        assert_eq!(random.len(), "x/".len() + 11 + "/".len());
        let text = "a/!{partitionKeyFromLambda:table_name}/!{timestamp:yyyy/MM}/!{firehose:random-string}/";
        let length = Prefix::parse(text, PrefixUse::Data).expect("valid").length(&keys());
        assert_eq!(length, evaluate(text, PrefixUse::Data).expect("valid").len());
    }

    #[test]
    fn error_prefixes() {
        let evaluated = evaluate("errors/!{firehose:error-output-type}/!{timestamp:yyyy}/", PrefixUse::Error);
        assert_eq!(evaluated.as_deref(), Ok("errors/processing-failed/2024/"));
        for text in ["errors/", "!{firehose:error-output-type}/!{partitionKeyFromLambda:table_name}/"] {
            assert!(evaluate(text, PrefixUse::Error).is_err(), "{text}");
        }
    }

    #[test]
    fn refusals() {
        for text in [
            "!{",
            "!{x}",
            "!{firehose:other}",
            "!{firehose:error-output-type}/",
            "!{partitionKeyFromQuery:a}",
            "!{partitionKeyFromLambda:}",
            "!{timestamp:}",
            "!{timestamp:YYYY}",
            "!{timestamp:EEE}",
            "!{timestamp:'x}",
        ] {
            assert!(evaluate(text, PrefixUse::Data).is_err(), "{text}");
        }
    }

    #[test]
    fn object_names_carry_the_time() {
        assert_eq!(object_time(AT), "2024-07-29-00-59-07");
    }
}

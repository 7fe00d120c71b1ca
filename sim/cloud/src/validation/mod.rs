//! Requests against the service models of AWS: types, required members, lengths, ranges, patterns and enumerations.
//!
//! The tables are generated out of the models (see `models/generate.py`). A request is refused as a whole: a value of a wrong
//! type is a SerializationException and told alone; everything else that is broken is told at once, ten at most, in a
//! ValidationException. Members the model does not know are ignored, as AWS does. An operation that the tables do not hold
//! passes: they hold none that is refused anyway, and whoever answers refuses it by name. Messages quote values as AWS does and are for the client
//! alone; bytes are never quoted. Does not know what a request means.

mod evaluate;
mod model;
mod tables;
mod wording;

use serde_json::Value;

use crate::matrix::Service;
pub(crate) use evaluate::VIOLATIONS_MAX;
use evaluate::{Evaluation, check_types};
use model::Model;
use wording::Dialect;
pub(crate) use wording::{length, null, pattern};

/// Why a request is refused: the message of AWS's error. No `Debug`: it quotes the request.
pub(crate) enum Refusal {
    /// `SerializationException`.
    Serialization(String),
    /// `ValidationException`.
    Validation(String),
}

/// Judges a request by the model of its operation.
pub(crate) fn check(service: Service, operation: &str, request: &Value) -> Result<(), Refusal> {
    let Some((model, dialect)) = model_of(service) else { return Ok(()) };
    let Some(input) = model.input(operation) else { return Ok(()) };
    check_types(model, dialect, input, request).map_err(Refusal::Serialization)?;
    let broken = Evaluation::of(model, input, request).broken();
    if broken.is_empty() { Ok(()) } else { Err(Refusal::Validation(violations(&broken))) }
}

/// AWS's message about everything that is broken.
pub(crate) fn violations(broken: &[String]) -> String {
    let plural = if broken.len() == 1 { "" } else { "s" };
    format!("{} validation error{plural} detected: {}", broken.len(), broken.join("; "))
}

/// AWS's sentence about a value that breaks a rule and is judged elsewhere: the model does not have the rule, such as a page
/// size that is only documented, or the value must not be read twice.
pub(crate) fn violation(shown: &str, path: &str, rule: &str) -> String {
    wording::violation(&format!("'{shown}'"), path, rule)
}

fn model_of(service: Service) -> Option<(&'static Model, Dialect)> {
    match service {
        Service::S3 => None,
        Service::DynamoDb => Some((&tables::DYNAMODB, Dialect::DynamoDb)),
        Service::DynamoDbStreams => Some((&tables::DYNAMODB_STREAMS, Dialect::DynamoDb)),
        Service::Kinesis => Some((&tables::KINESIS, Dialect::Kinesis)),
        // How these word a wrong type is not documented; they are of the same framework as Kinesis.
        Service::Comprehend => Some((&tables::COMPREHEND, Dialect::Kinesis)),
        Service::Kms => Some((&tables::KMS, Dialect::Kinesis)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::matrix::{OPERATIONS, Support};

    fn told(service: Service, operation: &str, request: &Value) -> String {
        match check(service, operation, request) {
            Ok(()) => "sound".to_owned(),
            Err(Refusal::Serialization(message)) => format!("S: {message}"),
            Err(Refusal::Validation(message)) => format!("V: {message}"),
        }
    }

    #[test]
    fn the_tables_are_closed_and_their_operations_are_answered() {
        for service in Service::ALL {
            let Some((model, _)) = model_of(service) else { continue };
            for (name, input) in model.operations {
                let known = OPERATIONS.iter().find(|known| known.service == service && known.name == *name);
                assert!(known.is_some_and(|known| known.support != Support::Refused), "{name}");
                assert!(matches!(model.shape(*input), model::Shape::Structure(..)), "{name}");
                assert_eq!(model.input(name), Some(*input), "{name}");
            }
            for shape in model.shapes {
                let inner = match shape {
                    model::Shape::Structure(_, members) => members.iter().map(|member| member.shape).collect(),
                    model::Shape::List(element, _) => vec![*element],
                    model::Shape::Map(key, value, _) => vec![*key, *value],
                    _ => vec![],
                };
                assert!(inner.iter().all(|at| *at < model.shapes.len()), "{shape:?}");
            }
        }
    }

    #[test]
    fn what_is_sound_unknown_or_absent_passes() {
        let check = |operation: &str, request: Value| assert_eq!(told(Service::Kinesis, operation, &request), "sound");
        check("DescribeStream", json!({ "StreamName": "a.B-9_", "Limit": 1, "Nobody": ["knows"] }));
        check("DescribeStream", json!({ "StreamName": null }));
        check("SplitShard", json!({ "ShardToSplit": "shardId-0", "NewStartingHashKey": "0" }));
        check("NoSuchOperation", json!({ "StreamName": 7 }));
        check("CreateQueue", json!({}));
        assert_eq!(told(Service::S3, "PutObject", &json!({ "Bucket": 7 })), "sound");
    }

    #[test]
    fn everything_broken_is_told_at_once_in_the_words_of_aws() {
        assert_eq!(
            told(Service::Kinesis, "GetShardIterator", &json!({ "StreamName": "", "ShardIteratorType": "NOW" })),
            "V: 4 validation errors detected: Value '' at 'streamName' failed to satisfy constraint: Member must satisfy \
             regular expression pattern: [a-zA-Z0-9_.-]+; Value '' at 'streamName' failed to satisfy constraint: Member must \
             have length greater than or equal to 1; Value null at 'shardId' failed to satisfy constraint: Member must not be \
             null; Value 'NOW' at 'shardIteratorType' failed to satisfy constraint: Member must satisfy enum value set: \
             [AT_SEQUENCE_NUMBER, AFTER_SEQUENCE_NUMBER, TRIM_HORIZON, LATEST, AT_TIMESTAMP]"
        );
        assert_eq!(
            told(
                Service::Kinesis,
                "PutRecords",
                &json!({ "Records": [
                { "PartitionKey": "a", "Data": "" }, { "PartitionKey": "", "Data": "eA==", "ExplicitHashKey": "00" },
            ] })
            ),
            "V: 2 validation errors detected: Value '00' at 'records.2.member.explicitHashKey' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: ^(0|([1-9]\\d{0,38}))$; Value '' at \
             'records.2.member.partitionKey' failed to satisfy constraint: Member must have length greater than or equal to 1"
        );
        assert_eq!(
            told(Service::DynamoDbStreams, "ListStreams", &json!({ "TableName": "a!", "Limit": 0 })),
            "V: 3 validation errors detected: Value 'a!' at 'tableName' failed to satisfy constraint: Member must satisfy \
             regular expression pattern: [a-zA-Z0-9_.-]+; Value 'a!' at 'tableName' failed to satisfy constraint: Member must \
             have length greater than or equal to 3; Value '0' at 'limit' failed to satisfy constraint: Member must have value \
             greater than or equal to 1"
        );
    }

    #[test]
    fn lists_and_maps_are_shown_whole_and_their_elements_judged_together() {
        assert_eq!(
            told(Service::Kinesis, "RemoveTagsFromStream", &json!({ "TagKeys": ["a", ""] })),
            "V: 1 validation error detected: Value '[a, ]' at 'tagKeys' failed to satisfy constraint: Member must satisfy \
             constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1]"
        );
        assert_eq!(
            told(Service::Kinesis, "AddTagsToStream", &json!({ "Tags": { "": "x" } })),
            "V: 1 validation error detected: Value '{=x}' at 'tags' failed to satisfy constraint: Map keys must satisfy \
             constraint: [Member must have length less than or equal to 128, Member must have length greater than or equal to 1]"
        );
        assert_eq!(
            told(Service::Kinesis, "AddTagsToStream", &json!({ "Tags": {} })),
            "V: 1 validation error detected: Value '{}' at 'tags' failed to satisfy constraint: Member must have length \
             greater than or equal to 1"
        );
        let many: Vec<Value> = (0..99).map(|_| json!({ "PartitionKey": "a" })).collect();
        let many = told(Service::Kinesis, "PutRecords", &json!({ "Records": many }));
        assert!(many.starts_with("V: 10 validation errors detected: Value null at 'records.1.member.data'"), "{many}");
    }

    #[test]
    fn wrong_types_are_told_alone_and_in_the_words_of_the_service() {
        let kinesis = |request: Value, expect: &str| {
            assert_eq!(told(Service::Kinesis, "GetShardIterator", &request), format!("S: {expect}"));
        };
        kinesis(json!({ "StreamName": 7 }), "class java.math.BigDecimal can not be converted to an String");
        kinesis(json!({ "StreamName": true }), "class java.lang.Boolean can not be converted to an String");
        kinesis(json!({ "StreamName": ["s"] }), "Start of list found where not expected");
        kinesis(json!({ "StreamName": {} }), "Start of structure or map found where not expected.");
        kinesis(json!({ "Timestamp": "x" }), "class java.lang.String can not be converted to milliseconds since epoch");
        let of = |operation: &str, request: Value| told(Service::Kinesis, operation, &request);
        assert_eq!(
            of("DescribeStream", json!({ "Limit": "1" })),
            "S: class java.lang.String can not be converted to an Integer"
        );
        assert_eq!(of("RemoveTagsFromStream", json!({ "TagKeys": "a" })), "S: Expected list or null");
        assert_eq!(of("AddTagsToStream", json!({ "Tags": "a" })), "S: Expected map or null");
        assert_eq!(of("ListShards", json!({ "ShardFilter": 1 })), "S: Expected null");
        assert_eq!(
            of("PutRecord", json!({ "Data": "abcde" })),
            "S: Data can not be converted to a Blob: Base64 encoded length is expected a multiple of 4 bytes but found: 5"
        );
        let streams = |request: Value| told(Service::DynamoDbStreams, "ListStreams", &request);
        assert_eq!(streams(json!({ "TableName": 7 })), "S: NUMBER_VALUE cannot be converted to String");
        assert_eq!(streams(json!({ "Limit": "7" })), "S: STRING_VALUE cannot be converted to Integer");
        assert_eq!(streams(json!({ "Limit": true })), "S: TRUE_VALUE cannot be converted to Integer");
    }
}

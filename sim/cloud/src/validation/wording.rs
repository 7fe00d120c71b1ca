//! How AWS words what is wrong with a request.
//!
//! Values are shown as Java prints them: `[a, b]`, `{k=v}`, `Name(member=value)`; bytes by their number only. Paths are
//! lower-case at each member's first letter. Judges nothing.

use std::fmt::Display;

use serde_json::Value;

use super::model::{Bounds, Model, Shape};

/// Whose words a wrong type is told in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// DynamoDB and its Streams.
    DynamoDb,
    /// Kinesis.
    Kinesis,
}

impl Dialect {
    /// The message about a value whose type is not its shape's.
    pub(super) fn wrong_type(self, shape: &Shape, value: &Value) -> String {
        match self {
            Self::DynamoDb => wrong_type_of_dynamodb(shape, value),
            Self::Kinesis => wrong_type_of_kinesis(shape, value),
        }
    }

    /// The message about text that is no base64. AWS quotes the text; we name the member.
    pub(super) fn not_a_blob(self, member: &str, why: &str) -> String {
        match self {
            Self::DynamoDb => format!("{member} cannot be converted to Bytes: {why}"),
            Self::Kinesis => format!("{member} can not be converted to a Blob: {why}"),
        }
    }
}

fn wrong_type_of_kinesis(shape: &Shape, value: &Value) -> String {
    let class = match value {
        Value::Array(_) => return "Start of list found where not expected".to_owned(),
        Value::Object(_) => return "Start of structure or map found where not expected.".to_owned(),
        Value::String(_) => "java.lang.String",
        Value::Number(_) => "java.math.BigDecimal",
        Value::Bool(_) | Value::Null => "java.lang.Boolean",
    };
    let wanted = match shape {
        Shape::Structure(..) => return "Expected null".to_owned(),
        Shape::List(..) => return "Expected list or null".to_owned(),
        Shape::Map(..) => return "Expected map or null".to_owned(),
        Shape::Text(..) => "an String",
        Shape::Number(kind, _) => return format!("class {class} can not be converted to an {kind}"),
        Shape::Boolean => "an Boolean",
        Shape::Blob(_) => "a Blob",
        Shape::Timestamp => "milliseconds since epoch",
    };
    format!("class {class} can not be converted to {wanted}")
}

fn wrong_type_of_dynamodb(shape: &Shape, value: &Value) -> String {
    let wanted = match shape {
        Shape::Structure(..) => "Structure",
        Shape::List(..) => "List",
        Shape::Map(..) => "Map",
        Shape::Text(..) => "String",
        Shape::Number(kind, _) => *kind,
        Shape::Boolean => "Boolean",
        Shape::Blob(_) => "Bytes",
        Shape::Timestamp => "Date",
    };
    let found = match (shape, value) {
        (Shape::Structure(..), Value::Array(_)) => "Unrecognized collection type",
        (Shape::Structure(..), _) => "Unexpected value type in payload",
        (Shape::List(..) | Shape::Map(..), Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            "Unexpected field type"
        }
        (Shape::Map(..), Value::Array(_)) => "Unrecognized collection type java.util.Map",
        (_, Value::Object(_)) => "Start of structure or map found where not expected",
        (_, Value::Array(_)) => return format!("Unrecognized collection type class java.lang.{wanted}"),
        (_, Value::String(_)) => return format!("STRING_VALUE cannot be converted to {wanted}"),
        (_, Value::Bool(true)) => return format!("TRUE_VALUE cannot be converted to {wanted}"),
        (_, Value::Bool(false)) => return format!("FALSE_VALUE cannot be converted to {wanted}"),
        (_, Value::Number(number)) if number.is_f64() => {
            return format!("DECIMAL_VALUE cannot be converted to {wanted}");
        }
        (_, Value::Number(_) | Value::Null) => return format!("NUMBER_VALUE cannot be converted to {wanted}"),
    };
    found.to_owned()
}

/// The path of a member below `path`.
pub(super) fn path(path: &str, member: &str) -> String {
    let mut letters = member.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    let dot = if path.is_empty() { "" } else { "." };
    let mut joined = format!("{path}{dot}");
    joined.extend(first);
    joined.push_str(letters.as_str());
    joined
}

/// One sentence; `shown` is quoted already, or null.
pub(super) fn violation(shown: &str, path: &str, rule: &str) -> String {
    format!("Value {shown} at '{path}' failed to satisfy constraint: {rule}")
}

/// The sentence about a member that is missing.
pub(crate) fn null(path: &str) -> String {
    violation("null", path, "Member must not be null")
}

/// The rule of a length.
pub(crate) fn length(is_least: bool, bound: impl Display) -> String {
    format!("Member must have length {} than or equal to {bound}", if is_least { "greater" } else { "less" })
}

/// The rule of a number's range.
pub(super) fn range(is_least: bool, bound: i64) -> String {
    format!("Member must have value {} than or equal to {bound}", if is_least { "greater" } else { "less" })
}

/// The rule of a pattern.
pub(crate) fn pattern(pattern: &str) -> String {
    format!("Member must satisfy regular expression pattern: {pattern}")
}

/// The rule of an enumeration.
pub(super) fn one_of(allowed: &[&str]) -> String {
    format!("Member must satisfy enum value set: [{}]", allowed.join(", "))
}

/// The rule of a list whose elements have the shape `element`.
pub(super) fn of_elements(element: &Shape) -> String {
    format!("Member must satisfy constraint: [{}]", all_rules(element))
}

/// The rule of a map whose keys have the shape `key`.
pub(super) fn of_keys(key: &Shape) -> String {
    format!("Map keys must satisfy constraint: [{}]", all_rules(key))
}

/// The rule of a map whose values have the shape `value`.
pub(super) fn of_values(value: &Shape) -> String {
    format!("Map value must satisfy constraint: [{}]", all_rules(value))
}

/// Every rule of a shape, broken or not: the greatest length first.
fn all_rules(shape: &Shape) -> String {
    let of_bounds = |rule: fn(bool, i64) -> String, (least, most): &Bounds| {
        most.map(|most| rule(false, most)).into_iter().chain(least.map(|least| rule(true, least))).collect::<Vec<_>>()
    };
    let rules = match shape {
        Shape::Text(bounds, found, allowed) => {
            let mut rules = of_bounds(length, bounds);
            rules.extend(found.map(|at| pattern(super::tables::PATTERNS[at])));
            if !allowed.is_empty() {
                rules.push(one_of(allowed));
            }
            rules
        }
        Shape::Blob(bounds) | Shape::List(_, bounds) | Shape::Map(_, _, bounds) => of_bounds(length, bounds),
        Shape::Number(_, bounds) => of_bounds(range, bounds),
        Shape::Structure(..) | Shape::Boolean | Shape::Timestamp => Vec::new(),
    };
    rules.join(", ")
}

/// A value as Java prints it.
pub(super) fn shown(model: &Model, shape: &Shape, value: &Value) -> String {
    match (shape, value) {
        (Shape::Blob(_), Value::String(encoded)) => {
            format!("java.nio.HeapByteBuffer[pos=0 lim={0} cap={0}]", blob_length(encoded))
        }
        (Shape::List(element, _), Value::Array(elements)) => {
            let shown = elements.iter().map(|value| shown(model, model.shape(*element), value));
            format!("[{}]", shown.collect::<Vec<_>>().join(", "))
        }
        (Shape::Map(_, inner, _), Value::Object(entries)) => {
            let shown =
                entries.iter().map(|(key, value)| format!("{key}={}", shown(model, model.shape(*inner), value)));
            format!("{{{}}}", shown.collect::<Vec<_>>().join(", "))
        }
        (Shape::Structure(name, members), Value::Object(found)) => {
            let shown = members.iter().map(|member| {
                let value = found.get(member.name).unwrap_or(&Value::Null);
                format!("{}={}", path("", member.name), shown(model, model.shape(member.shape), value))
            });
            format!("{name}({})", shown.collect::<Vec<_>>().join(", "))
        }
        (_, Value::String(text)) => text.clone(),
        (_, value) => value.to_string(),
    }
}

/// Bytes behind a sound base64 text.
pub(super) fn blob_length(encoded: &str) -> usize {
    let padding = encoded.bytes().rev().take(2).filter(|byte| *byte == b'=').count();
    (encoded.len() / 4 * 3).saturating_sub(padding)
}

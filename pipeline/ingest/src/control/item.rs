//! A control record as a DynamoDB item, and back.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use lakebed_contract::control::{ControlRecord, ControlValue};

/// An item with one attribute more than the record: how many attempts this record has in all. It starts at
/// [`super::ATTEMPTS_MAX`] and grows when a person gives a quarantined record another chance, so that `attempts` itself never
/// goes back and (object, attempts) names each dispatch once.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) record: ControlRecord,
    pub(super) attempts_max: i64,
}

pub(super) const ATTEMPTS_MAX_ATTRIBUTE: &str = "attempts_max";

impl Item {
    pub(super) fn is_exhausted(&self) -> bool {
        self.record.attempts >= self.attempts_max
    }
}

pub(super) fn to_item(record: &ControlRecord) -> HashMap<String, AttributeValue> {
    let mut item: HashMap<String, AttributeValue> =
        record.to_values().into_iter().map(|(name, value)| (name.to_owned(), to_attribute(value))).collect();
    item.insert(ATTEMPTS_MAX_ATTRIBUTE.to_owned(), number(super::ATTEMPTS_MAX));
    item
}

/// `None` when the item has no key or no known status.
pub(super) fn from_item(item: &HashMap<String, AttributeValue>) -> Option<Item> {
    let values: BTreeMap<String, ControlValue> =
        item.iter().filter_map(|(name, value)| Some((name.clone(), from_attribute(value)?))).collect();
    let attempts_max = match values.get(ATTEMPTS_MAX_ATTRIBUTE) {
        Some(ControlValue::Number(number)) => *number,
        _ => super::ATTEMPTS_MAX,
    };
    Some(Item { record: ControlRecord::from_values(&values)?, attempts_max })
}

pub(super) fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

pub(super) fn number(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(super) fn list(texts: &[String]) -> AttributeValue {
    AttributeValue::L(texts.iter().map(text).collect())
}

fn to_attribute(value: ControlValue) -> AttributeValue {
    match value {
        ControlValue::Text(value) => text(value),
        ControlValue::Number(value) => number(value),
        ControlValue::List(texts) => list(&texts),
    }
}

fn from_attribute(attribute: &AttributeValue) -> Option<ControlValue> {
    Some(match attribute {
        AttributeValue::S(text) => ControlValue::Text(text.clone()),
        AttributeValue::N(number) => ControlValue::Number(number.parse().ok()?),
        AttributeValue::L(values) => {
            ControlValue::List(values.iter().filter_map(|value| value.as_s().ok().cloned()).collect())
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_survives_the_table() {
        let mut record = ControlRecord::received("b", "raw/review/x", "e", "review", "0A", 12, 5);
        record.outputs = vec!["bronze/x".to_owned()];
        let item = from_item(&to_item(&record)).expect("a record");
        assert_eq!(item.record, record);
        assert_eq!(item.attempts_max, super::super::ATTEMPTS_MAX);
        assert!(!item.is_exhausted());
        assert!(from_item(&HashMap::new()).is_none());
    }
}

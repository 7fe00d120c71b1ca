//! The control table as the judge sees it, and I10: every raw object has ended.
//!
//! Reads all items with a plain scan. An item that is no control record is a finding, not an error.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use lakebed_contract::control::{ControlRecord, ControlValue, Status};
use lakebed_contract::endpoints::Endpoints;
use lakebed_contract::layout;

use super::error::JudgeError;
use super::finding::Evidence;
use super::objects::Listed;

/// Keys named in a finding.
const SAMPLE_MAX: usize = 5;

/// An item as it came.
pub(super) type Item = HashMap<String, AttributeValue>;

/// Everything in the control table.
pub(super) async fn items(endpoints: &Endpoints) -> Result<Vec<Item>, JudgeError> {
    let client = Client::new(&endpoints.sdk_config(&endpoints.dynamodb_url));
    let pages = client.scan().table_name(layout::CONTROL_TABLE).consistent_read(true).into_paginator().items().send();
    pages
        .collect::<Result<Vec<_>, _>>()
        .await
        .map_err(|error| JudgeError::store(format!("dynamodb://{}", layout::CONTROL_TABLE), error))
}

/// The records among the items, by primary key.
pub(super) fn records(items: &[Item]) -> BTreeMap<String, ControlRecord> {
    items
        .iter()
        .filter_map(|item| {
            let values = item.iter().filter_map(|(name, value)| Some((name.clone(), control_value(value)?)));
            ControlRecord::from_values(&values.collect())
        })
        .map(|record| (record.pk.clone(), record))
        .collect()
}

fn control_value(value: &AttributeValue) -> Option<ControlValue> {
    match value {
        AttributeValue::S(text) => Some(ControlValue::Text(text.clone())),
        AttributeValue::N(number) => number.parse().ok().map(ControlValue::Number),
        AttributeValue::L(list) => {
            Some(ControlValue::List(list.iter().filter_map(|entry| entry.as_s().ok().cloned()).collect()))
        }
        _ => None,
    }
}

/// All texts of an item: names, strings, numbers, nested ones too; one per line.
pub(super) fn texts(item: &Item) -> String {
    let mut text = String::new();
    for (name, value) in item {
        text.push_str(name);
        text.push('\n');
        push_texts(value, &mut text);
    }
    text
}

fn push_texts(value: &AttributeValue, text: &mut String) {
    let mut push = |part: &str| {
        text.push_str(part);
        text.push('\n');
    };
    match value {
        AttributeValue::S(part) | AttributeValue::N(part) => push(part),
        AttributeValue::Ss(parts) | AttributeValue::Ns(parts) => parts.iter().for_each(|part| push(part)),
        AttributeValue::B(bytes) => push(&String::from_utf8_lossy(bytes.as_ref())),
        AttributeValue::Bs(blobs) => blobs.iter().for_each(|blob| push(&String::from_utf8_lossy(blob.as_ref()))),
        AttributeValue::L(list) => list.iter().for_each(|entry| push_texts(entry, text)),
        AttributeValue::M(map) => {
            for (name, entry) in map {
                text.push_str(name);
                text.push('\n');
                push_texts(entry, text);
            }
        }
        _ => {}
    }
}

/// I10: every listed raw object has a record of its current version that is DONE or QUARANTINED.
pub(super) fn judge_ends(raw: &[Listed], records: &BTreeMap<String, ControlRecord>) -> Evidence {
    let mut evidence = Evidence::default();
    let (mut done, mut quarantined) = (0_u64, 0_u64);
    let mut open: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for object in raw {
        let record = records.get(&layout::control_key(&object.bucket, &object.key, &object.etag));
        match record.map(|record| record.status) {
            Some(Status::Done) => done += 1,
            Some(Status::Quarantined) => quarantined += 1,
            Some(other) => open.entry(other.as_str()).or_default().push(&object.key),
            None => open.entry("without a record").or_default().push(&object.key),
        }
    }
    for (word, keys) in &open {
        let first = keys.iter().take(SAMPLE_MAX).copied().collect::<Vec<_>>().join(", ");
        evidence.fails(format!("{} raw objects {word}: {first}", keys.len()));
    }
    if done + quarantined > 0 {
        evidence.holds(format!("{done} raw objects DONE, {quarantined} QUARANTINED"));
    }
    evidence
}

#[cfg(test)]
mod tests {
    use lakebed_contract::event::Outcome;

    use super::*;

    fn listed(key: &str, etag: &str) -> Listed {
        Listed { bucket: "dm-stage".into(), key: key.into(), etag: etag.into() }
    }

    fn item(record: &ControlRecord) -> Item {
        let attribute = |value: ControlValue| match value {
            ControlValue::Text(text) => AttributeValue::S(text),
            ControlValue::Number(number) => AttributeValue::N(number.to_string()),
            ControlValue::List(list) => AttributeValue::L(list.into_iter().map(AttributeValue::S).collect()),
        };
        record.to_values().into_iter().map(|(name, value)| (name.to_owned(), attribute(value))).collect()
    }

    fn record(key: &str, etag: &str, status: Status) -> ControlRecord {
        let mut record = ControlRecord::received("dm-stage", key, etag, "beer", "00A", 1, 5);
        record.status = status;
        record.outputs = vec!["bronze/a".into(), "bronze/b".into()];
        record
    }

    #[test]
    fn items_become_records() {
        let record = record("raw/beer/a", "e", Status::Done);
        let read = records(&[item(&record), Item::new()]);
        assert_eq!(read.into_values().collect::<Vec<_>>(), [record]);
    }

    #[test]
    fn an_object_ends_by_the_record_of_its_current_version() {
        let items = [
            item(&record("raw/beer/a", "1", Status::Done)),
            item(&record("raw/beer/b", "1", Status::Quarantined)),
            item(&record("raw/beer/c", "1", Status::BronzeDone)),
        ];
        let records = records(&items);
        let word = |raw: &[Listed]| judge_ends(raw, &records).finding();
        assert_eq!(word(&[listed("raw/beer/a", "1"), listed("raw/beer/b", "1")]).outcome, Outcome::Pass);
        assert_eq!(word(&[listed("raw/beer/a", "2")]).outcome, Outcome::Fail);
        let open = word(&[listed("raw/beer/a", "1"), listed("raw/beer/c", "1")]);
        assert_eq!(open.outcome, Outcome::Fail);
        assert!(open.detail.contains("BRONZE_DONE: raw/beer/c"), "{}", open.detail);
        assert_eq!(word(&[]).outcome, Outcome::Unchecked);
    }

    #[test]
    fn texts_reach_into_lists_and_maps() {
        let nested = AttributeValue::M([("inner".to_owned(), AttributeValue::Ss(vec!["deep".into()]))].into());
        let item = Item::from([("outer".to_owned(), AttributeValue::L(vec![nested, AttributeValue::N("7".into())]))]);
        assert_eq!(texts(&item), "outer\ninner\ndeep\n7\n");
    }
}

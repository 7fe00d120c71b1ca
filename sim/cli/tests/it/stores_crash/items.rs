//! Items: put over each other, and a counter that only its last value lets go on.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType,
};
use rand::Rng;
use rand::distr::{Alphanumeric, SampleString};

use super::life::Life;
use super::{Versions, answer, answered};

const TABLE: &str = "crash";
const COUNTER: &str = "counter";
const KEYS: u32 = 6;
const BODY_CHARS_MAX: usize = 3_000;

/// The items of the table; the counter's body is its number.
#[derive(Default)]
pub(super) struct Items {
    bodies: BTreeMap<String, Versions<String>>,
    pub(super) acknowledged: u64,
}

pub(super) async fn create(dynamodb: &Client) {
    let id = AttributeDefinition::builder().attribute_name("id").attribute_type(ScalarAttributeType::S).build();
    let key = KeySchemaElement::builder().attribute_name("id").key_type(KeyType::Hash).build();
    let table = dynamodb
        .create_table()
        .table_name(TABLE)
        .attribute_definitions(id.expect("complete"))
        .key_schema(key.expect("complete"))
        .billing_mode(BillingMode::PayPerRequest);
    answered(table.send().await);
}

impl Items {
    fn send(&mut self, id: &str, body: String) {
        self.bodies.entry(id.to_owned()).or_default().send(Some(body));
    }

    /// Puts and counts until the process is gone.
    pub(super) async fn write(&mut self, life: &Life, dynamodb: &Client, mut chance: impl Rng) {
        while life.goes_on() {
            let id = match chance.random_ratio(1, 2) {
                true => COUNTER.to_owned(),
                false => format!("item-{}", chance.random_range(0..KEYS)),
            };
            let is_answered = if id == COUNTER {
                self.count(dynamodb).await
            } else {
                let length = chance.random_range(1..=BODY_CHARS_MAX);
                let body = Alphanumeric.sample_string(&mut chance, length);
                self.send(&id, body.clone());
                let put = dynamodb.put_item().table_name(TABLE).item("id", AttributeValue::S(id.clone()));
                answer(put.item("body", AttributeValue::S(body)).send().await).is_some()
            };
            if !is_answered {
                return;
            }
            self.bodies.get_mut(&id).expect("sent before it is answered").acknowledge();
            self.acknowledged += 1;
            life.acknowledged();
        }
    }

    /// Adds one to the counter on condition that it still says what was acknowledged last.
    async fn count(&mut self, dynamodb: &Client) -> bool {
        let old = self.bodies.get(COUNTER).and_then(|versions| versions.acknowledged.clone());
        let new = old.as_ref().map_or(1_u64, |old| old.parse::<u64>().expect("a number") + 1).to_string();
        self.send(COUNTER, new.clone());
        let update = dynamodb
            .update_item()
            .table_name(TABLE)
            .key("id", AttributeValue::S(COUNTER.to_owned()))
            .update_expression("SET body = :new")
            .expression_attribute_values(":new", AttributeValue::S(new));
        let update = match old {
            None => update.condition_expression("attribute_not_exists(body)"),
            Some(old) => {
                update.condition_expression("body = :old").expression_attribute_values(":old", AttributeValue::S(old))
            }
        };
        answer(update.send().await).is_some()
    }

    /// Compares what a new life has.
    pub(super) async fn check(&mut self, dynamodb: &Client) {
        let scan = answered(dynamodb.scan().table_name(TABLE).consistent_read(true).send().await);
        assert!(scan.last_evaluated_key().is_none(), "few items fit one page");
        let text = |value: Option<&AttributeValue>| value.and_then(|value| value.as_s().ok()).cloned();
        let mut found: BTreeMap<String, String> = BTreeMap::new();
        for item in scan.items() {
            found.insert(text(item.get("id")).expect("a key"), text(item.get("body")).expect("a body"));
        }
        let strangers: BTreeSet<_> = found.keys().filter(|id| !self.bodies.contains_key(*id)).collect();
        assert!(strangers.is_empty(), "never put: {strangers:?}");
        for (id, versions) in &mut self.bodies {
            versions.settle(found.remove(id), id);
        }
    }
}

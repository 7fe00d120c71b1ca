//! DynamoDB against a model: items by key, a global index, and a stream whose replay gives the table.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, Put, PutRequest, ScalarAttributeType, StreamSpecification, StreamViewType, TransactWriteItem,
    Update, WriteRequest,
};
use aws_sdk_dynamodbstreams::types::{AttributeValue as StreamValue, OperationType, ShardIteratorType};
use lakebed_contract::Endpoints;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::{Restartable, over};
use crate::code;

const CASES: u32 = 30;

/// Partition and sort key.
type Key = (u8, u8);

#[derive(Clone, Copy, Debug, PartialEq)]
struct Item {
    version: i64,
    group: Option<u8>,
}

type Model = BTreeMap<Key, Item>;

#[derive(Clone, Debug)]
enum Step {
    Put(Key, Item),
    PutIfAbsent(Key, Item),
    /// From the version that is there (or another) to the next.
    Advance(Key, bool),
    Add(Key, i64),
    Delete(Key),
    /// With the version that is there, or another.
    DeleteIfVersion(Key, bool),
    Batch(Vec<(Key, Item)>),
    /// A put that must be new and an update that must exist: both or neither.
    Transact(Key, Key, Item),
    Query(u8, u8, bool, i32),
    Group(u8),
    Restart,
}

fn key() -> impl Strategy<Value = Key> {
    (0..2u8, 0..4u8)
}

fn item() -> impl Strategy<Value = Item> {
    (0..3i64, prop::option::of(0..2u8)).prop_map(|(version, group)| Item { version, group })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (key(), item()).prop_map(|(key, item)| Step::Put(key, item)),
        3 => (key(), item()).prop_map(|(key, item)| Step::PutIfAbsent(key, item)),
        3 => (key(), any::<bool>()).prop_map(|(key, right)| Step::Advance(key, right)),
        2 => (key(), 1..4i64).prop_map(|(key, by)| Step::Add(key, by)),
        3 => key().prop_map(Step::Delete),
        2 => (key(), any::<bool>()).prop_map(|(key, right)| Step::DeleteIfVersion(key, right)),
        1 => prop::collection::btree_map(key(), item(), 1..6).prop_map(|items| Step::Batch(items.into_iter().collect())),
        2 => (key(), key(), item()).prop_map(|(new, old, item)| Step::Transact(new, old, item)),
        2 => (0..2u8, 0..2u8, any::<bool>(), 1..4i32)
            .prop_map(|(partition, from, forward, page)| Step::Query(partition, from, forward, page)),
        1 => (0..2u8).prop_map(Step::Group),
        1 => Just(Step::Restart),
    ]
}

fn text(value: impl ToString) -> AttributeValue {
    AttributeValue::S(value.to_string())
}

fn number(value: impl ToString) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn key_map((partition, sort): Key) -> HashMap<String, AttributeValue> {
    HashMap::from([("pk".to_owned(), text(partition)), ("sk".to_owned(), number(sort))])
}

fn item_map(key: Key, item: Item) -> HashMap<String, AttributeValue> {
    let mut map = key_map(key);
    map.insert("version".to_owned(), number(item.version));
    if let Some(group) = item.group {
        map.insert("grp".to_owned(), text(group));
    }
    map
}

fn read_item(map: &HashMap<String, AttributeValue>) -> (Key, Item) {
    let parsed = |name: &str| -> Option<i64> {
        let value = map.get(name)?;
        value.as_n().or_else(|_| value.as_s()).ok()?.parse().ok()
    };
    let small = |name| parsed(name).and_then(|value| u8::try_from(value).ok());
    let key = (small("pk").expect("a partition key"), small("sk").expect("a sort key"));
    (key, Item { version: parsed("version").expect("a version"), group: small("grp") })
}

struct World<'a> {
    store: &'a mut Restartable,
    table: String,
    model: Model,
}

impl World<'_> {
    fn db(&self) -> Client {
        self.store.running().dynamodb.clone()
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Put(key, item) => self.put(*key, *item, false),
            Step::PutIfAbsent(key, item) => self.put(*key, *item, true),
            Step::Advance(key, right) => self.advance(*key, *right),
            Step::Add(key, by) => self.add(*key, *by),
            Step::Delete(key) => self.delete(*key, None),
            Step::DeleteIfVersion(key, right) => {
                let there = self.model.get(key).map(|item| item.version).unwrap_or_default();
                self.delete(*key, Some(if *right { there } else { there + 1 }))
            }
            Step::Batch(items) => self.batch(items),
            Step::Transact(new, old, item) => self.transact(*new, *old, *item),
            Step::Query(partition, from, forward, page) => self.query(*partition, *from, *forward, *page),
            Step::Group(group) => self.group(*group),
            Step::Restart => {
                self.store.restart();
                Ok(())
            }
        }
    }

    fn put(&mut self, key: Key, item: Item, only_new: bool) -> Result<(), TestCaseError> {
        let put = self.db().put_item().table_name(&self.table).set_item(Some(item_map(key, item)));
        let put = put.set_condition_expression(only_new.then(|| "attribute_not_exists(pk)".to_owned()));
        let refused = only_new && self.model.contains_key(&key);
        if only_new {
            self.store.met(if refused { "put that had to be new" } else { "put that was new" });
        }
        let answer = self.store.block_on(put.send());
        prop_assert_eq!(code(answer), if refused { "ConditionalCheckFailedException" } else { "accepted" });
        if !refused {
            self.model.insert(key, item);
        }
        Ok(())
    }

    fn advance(&mut self, key: Key, right: bool) -> Result<(), TestCaseError> {
        let there = self.model.get(&key).map(|item| item.version);
        let expected = if right { there.unwrap_or(0) } else { there.unwrap_or(0) + 1 };
        let update = self.db().update_item().table_name(&self.table).set_key(Some(key_map(key)));
        let update = update
            .update_expression("SET version = version + :one")
            .condition_expression("version = :expected")
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":expected", number(expected));
        let answer = self.store.block_on(update.send());
        let accepted = right && there.is_some();
        self.store.met(if accepted { "advanced" } else { "not advanced" });
        prop_assert_eq!(code(answer), if accepted { "accepted" } else { "ConditionalCheckFailedException" });
        if accepted && let Some(item) = self.model.get_mut(&key) {
            item.version += 1;
        }
        Ok(())
    }

    /// ADD makes what is not there.
    fn add(&mut self, key: Key, by: i64) -> Result<(), TestCaseError> {
        let update = self.db().update_item().table_name(&self.table).set_key(Some(key_map(key)));
        let update = update.update_expression("ADD version :by").expression_attribute_values(":by", number(by));
        let answer = self.store.block_on(update.send());
        prop_assert_eq!(code(answer), "accepted");
        self.store.met(if self.model.contains_key(&key) { "added" } else { "made by ADD" });
        self.model.entry(key).or_insert(Item { version: 0, group: None }).version += by;
        Ok(())
    }

    fn delete(&mut self, key: Key, version: Option<i64>) -> Result<(), TestCaseError> {
        let mut delete = self.db().delete_item().table_name(&self.table).set_key(Some(key_map(key)));
        if let Some(version) = version {
            delete = delete.condition_expression("version = :v").expression_attribute_values(":v", number(version));
        }
        let accepted = version.is_none_or(|version| self.model.get(&key).is_some_and(|item| item.version == version));
        if version.is_some() {
            self.store.met(if accepted { "deleted by version" } else { "not deleted by version" });
        }
        let answer = self.store.block_on(delete.send());
        prop_assert_eq!(code(answer), if accepted { "accepted" } else { "ConditionalCheckFailedException" });
        if accepted {
            self.model.remove(&key);
        }
        Ok(())
    }

    fn batch(&mut self, items: &[(Key, Item)]) -> Result<(), TestCaseError> {
        let writes = items.iter().map(|(key, item)| {
            let put = PutRequest::builder().set_item(Some(item_map(*key, *item))).build().expect("an item");
            WriteRequest::builder().put_request(put).build()
        });
        let write = self.db().batch_write_item().request_items(&self.table, writes.collect()).send();
        let answer = self.store.block_on(write).expect("a batch is written");
        prop_assert!(answer.unprocessed_items().is_none_or(HashMap::is_empty));
        self.model.extend(items.iter().copied());
        Ok(())
    }

    fn transact(&mut self, new: Key, old: Key, item: Item) -> Result<(), TestCaseError> {
        if new == old {
            return Ok(());
        }
        let put = Put::builder()
            .table_name(&self.table)
            .set_item(Some(item_map(new, item)))
            .condition_expression("attribute_not_exists(pk)")
            .build()
            .expect("a put");
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key_map(old)))
            .update_expression("ADD version :ten")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":ten", number(10))
            .build()
            .expect("an update");
        let items =
            [TransactWriteItem::builder().put(put).build(), TransactWriteItem::builder().update(update).build()];
        let answer = self.db().transact_write_items().set_transact_items(Some(items.into())).send();
        let answer = self.store.block_on(answer);
        let accepted = !self.model.contains_key(&new) && self.model.contains_key(&old);
        self.store.met(if accepted { "transacted" } else { "cancelled" });
        prop_assert_eq!(code(answer), if accepted { "accepted" } else { "TransactionCanceledException" });
        if accepted {
            self.model.insert(new, item);
            if let Some(changed) = self.model.get_mut(&old) {
                changed.version += 10;
            }
        }
        Ok(())
    }

    fn query(&mut self, partition: u8, from: u8, forward: bool, page: i32) -> Result<(), TestCaseError> {
        let mut items = Vec::new();
        let mut start = None;
        loop {
            let query = self.db().query().table_name(&self.table).limit(page).scan_index_forward(forward);
            let query = query
                .key_condition_expression("pk = :pk AND sk >= :from")
                .expression_attribute_values(":pk", text(partition))
                .expression_attribute_values(":from", number(from))
                .set_exclusive_start_key(start);
            let answer = self.store.block_on(query.send()).expect("a page");
            items.extend(answer.items().iter().map(read_item));
            start = answer.last_evaluated_key().cloned();
            if start.is_none() {
                break;
            }
            if !answer.items().is_empty() {
                self.store.met("another page");
            }
        }
        let mut expected: Vec<(Key, Item)> =
            self.model.range((partition, from)..=(partition, u8::MAX)).map(|(key, item)| (*key, *item)).collect();
        if !forward {
            expected.reverse();
        }
        prop_assert_eq!(items, expected);
        Ok(())
    }

    fn group(&mut self, group: u8) -> Result<(), TestCaseError> {
        let query = self.db().query().table_name(&self.table).index_name("by-group");
        let query = query.key_condition_expression("grp = :g").expression_attribute_values(":g", text(group)).send();
        let answer = self.store.block_on(query).expect("the index answers");
        let mut items: Vec<_> = answer.items().iter().map(read_item).collect();
        items.sort_by_key(|(key, _)| *key);
        if !items.is_empty() {
            self.store.met("found by index");
        }
        let members = self.model.iter().filter(|(_, item)| item.group == Some(group));
        let expected: Vec<(Key, Item)> = members.map(|(key, item)| (*key, *item)).collect();
        prop_assert_eq!(items, expected);
        Ok(())
    }

    /// The whole table by Scan, and what the stream says when it is replayed.
    fn compare(&self) -> Result<(), TestCaseError> {
        let scan = self.db().scan().table_name(&self.table).consistent_read(true).send();
        let scanned: Model = self.store.block_on(scan).expect("a scan").items().iter().map(read_item).collect();
        prop_assert_eq!(&scanned, &self.model);
        let replayed = self.store.block_on(self.replay())?;
        prop_assert_eq!(&replayed, &self.model);
        Ok(())
    }

    async fn replay(&self) -> Result<Model, TestCaseError> {
        let endpoints = Endpoints::embedded(self.store.running().cloud.port());
        let streams = aws_sdk_dynamodbstreams::Client::new(&endpoints.sdk_config(&endpoints.dynamodb_streams_url));
        let table = self.db().describe_table().table_name(&self.table).send().await.expect("the table is described");
        let arn = table.table().and_then(|table| table.latest_stream_arn()).expect("a stream").to_owned();
        let described = streams.describe_stream().stream_arn(&arn).send().await.expect("the stream is described");
        let mut model = Model::new();
        for shard in described.stream_description().map(|stream| stream.shards()).unwrap_or_default() {
            let first = streams.get_shard_iterator().stream_arn(&arn).shard_id(shard.shard_id().expect("an id"));
            let first = first.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
            let mut next = first.shard_iterator().map(str::to_owned);
            while let Some(iterator) = next {
                let page = streams.get_records().shard_iterator(iterator).limit(5).send().await.expect("a page");
                for record in page.records() {
                    let change = record.dynamodb().expect("a change");
                    let (key, old) = (change.keys().map(plain).expect("keys"), change.old_image().map(plain));
                    let key = (key["pk"].parse().expect("a key"), key["sk"].parse().expect("a key"));
                    let told = old.as_ref().map(stream_item);
                    prop_assert_eq!(told, model.get(&key).copied(), "the old image is not what was there");
                    let kind = record.event_name().cloned();
                    match change.new_image().map(plain) {
                        Some(new) => {
                            prop_assert_ne!(told, Some(stream_item(&new)), "a write that changed nothing is told");
                            let is_new = model.insert(key, stream_item(&new)).is_none();
                            prop_assert_eq!(
                                kind,
                                Some(if is_new { OperationType::Insert } else { OperationType::Modify })
                            );
                        }
                        None => {
                            prop_assert_eq!(kind, Some(OperationType::Remove));
                            model.remove(&key);
                        }
                    }
                }
                next = page.next_shard_iterator().map(str::to_owned).filter(|_| !page.records().is_empty());
            }
        }
        Ok(model)
    }
}

fn plain(image: &HashMap<String, StreamValue>) -> HashMap<String, String> {
    let text = |value: &StreamValue| value.as_s().or_else(|_| value.as_n()).cloned().unwrap_or_default();
    image.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

fn stream_item(image: &HashMap<String, String>) -> Item {
    let group = image.get("grp").map(|group| group.parse().expect("a group"));
    Item { version: image["version"].parse().expect("a version"), group }
}

async fn create_table(db: &Client, table: &str) {
    let attribute = |name: &str, kind| AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build();
    let role =
        |name: &str, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build().expect("a key");
    let index = GlobalSecondaryIndex::builder()
        .index_name("by-group")
        .key_schema(role("grp", KeyType::Hash))
        .projection(Projection::builder().projection_type(ProjectionType::All).build())
        .build()
        .expect("an index");
    let stream = StreamSpecification::builder().stream_enabled(true).stream_view_type(StreamViewType::NewAndOldImages);
    db.create_table()
        .table_name(table)
        .billing_mode(BillingMode::PayPerRequest)
        .attribute_definitions(attribute("pk", ScalarAttributeType::S).expect("an attribute"))
        .attribute_definitions(attribute("sk", ScalarAttributeType::N).expect("an attribute"))
        .attribute_definitions(attribute("grp", ScalarAttributeType::S).expect("an attribute"))
        .key_schema(role("pk", KeyType::Hash))
        .key_schema(role("sk", KeyType::Range))
        .global_secondary_indexes(index)
        .stream_specification(stream.build().expect("a stream"))
        .send()
        .await
        .expect("a table");
}

#[test]
fn tables_do_what_the_model_does() {
    let mut store = Restartable::start();
    let outcome = over(CASES, &prop::collection::vec(step(), 10..50), |case, steps| {
        let table = format!("model-{case}");
        let db = store.running().dynamodb.clone();
        store.block_on(create_table(&db, &table));
        let mut world = World { store: &mut store, table, model: Model::new() };
        for step in &steps {
            world.take(step)?;
        }
        world.compare()?;
        world.store.restart();
        world.compare()?;
        let delete = world.db().delete_table().table_name(&world.table).send();
        world.store.block_on(delete).expect("a table is deleted");
        Ok(())
    });
    assert_eq!(outcome, Ok(()));
    store.assert_met(2, &["transacted", "deleted by version"]);
    store.assert_met(
        5,
        &["put that was new", "put that had to be new", "advanced", "not advanced", "added", "made by ADD"],
    );
    store.assert_met(5, &["not deleted by version", "cancelled", "another page", "found by index"]);
    store.stop();
}

//! DynamoDB: the capacity of provisioned tables and their indexes, of partition keys, and the readers of stream shards.
//!
//! What an operation costs is known only when it is done. So each request is made to tell its consumed capacity, which is
//! charged afterwards and taken out of the answer again where nobody asked; a table is throttled while it is in debt. Up to
//! 300 seconds of unused capacity are saved up. A write is throttled as well when an index of the table is in debt. The
//! 1,000 write and 3,000 read units of a partition are counted per partition key, for operations on one item: there are no
//! partitions here. Does not count: PartiQL, vector searches, requests that fail, on-demand tables as a whole.

mod request;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lakebed_contract::Clock;
use serde_json::{Value, json};

use super::{Buckets, Rate};
use crate::config::{CloudConfig, Limits};
use request::{Access, Asked, Shape};

/// Capacity is counted in thousandths of a unit.
const THOUSANDTHS: u64 = 1_000;
/// Unused capacity that is saved up.
const BURST_S: u64 = 300;
const PARTITION: [Rate; 2] = [Rate::per_second(1_000 * THOUSANDTHS), Rate::per_second(3_000 * THOUSANDTHS)];
/// Readers of a stream shard at once.
const READERS_MAX: u32 = 2;

const OF_TABLE: &str = "The level of configured provisioned throughput for the table was exceeded. \
                        Consider increasing your provisioning level with the UpdateTable API.";
const OF_INDEX: &str = "The level of configured provisioned throughput for one or more global secondary indexes of the \
                        table was exceeded. Consider provisioning your under-provisioned global secondary indexes with \
                        the UpdateTable API";
const OF_PARTITION: &str = "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically \
                            scaling your table or index so please try again shortly. If exceptions persist, check if you \
                            have a hot key: \
                            https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html";

/// A request that is not done now.
#[derive(Clone, Debug)]
pub(crate) struct Throttled {
    code: &'static str,
    message: String,
    reasons: Vec<Value>,
}

impl Throttled {
    fn new(code: &'static str, message: &str) -> Self {
        Self { code, message: message.to_owned(), reasons: Vec::new() }
    }

    /// The JSON of the answer.
    pub(crate) fn to_json(&self) -> String {
        let kind = format!("com.amazonaws.dynamodb.v20120810#{}", self.code);
        match self.reasons.as_slice() {
            [] => json!({ "__type": kind, "message": self.message }),
            reasons => json!({ "__type": kind, "Message": self.message, "CancellationReasons": reasons }),
        }
        .to_string()
    }
}

/// The limits of all tables; admits everything unless they are AWS's.
#[derive(Debug)]
pub(crate) struct DynamoDbLimits(Option<Counted>);

#[derive(Debug)]
struct Counted {
    clock: Clock,
    /// What is known of tables; forgotten whenever one is changed.
    tables: Mutex<HashMap<String, Arc<Provision>>>,
    /// By table and index, `""` for the table itself.
    units: Buckets<(String, String), 2>,
    /// By table and the hash of a partition key.
    partitions: Buckets<(String, u64), 2>,
    readers: Arc<Mutex<HashMap<String, u32>>>,
}

/// What a table is provisioned with.
#[derive(Debug)]
struct Provision {
    partition_key: String,
    is_on_demand: bool,
    /// Rates of writes and reads by index, `""` for the table itself; none on demand.
    rates: Vec<(String, [Rate; 2])>,
}

impl DynamoDbLimits {
    /// As `config` says.
    pub(crate) fn new(config: &CloudConfig) -> Self {
        let counted = || Counted {
            clock: config.clock.clone(),
            tables: Mutex::default(),
            units: Buckets::default(),
            partitions: Buckets::default(),
            readers: Arc::default(),
        };
        Self((config.limits == Limits::Aws).then(counted))
    }

    /// Does an operation as far as there is capacity for it, and charges it. `describe` gives a table's description.
    pub(crate) fn run<E: From<Throttled>>(
        &self,
        operation: &str,
        body: &str,
        describe: impl Fn(&str) -> Option<Value>,
        work: impl FnOnce(&str) -> Result<String, E>,
    ) -> Result<String, E> {
        let Some(counted) = &self.0 else { return work(body) };
        if matches!(operation, "CreateTable" | "UpdateTable" | "DeleteTable") {
            let answer = work(body);
            counted.tables().clear();
            return answer;
        }
        // What is no request of a known shape is refused by whoever does the work.
        let Some(mut asked) = Asked::read(operation, body) else { return work(body) };
        let now = counted.clock.monotonic();
        let left = counted.admit(&mut asked, &describe, now)?;
        let answer = work(&asked.to_body())?;
        let Ok(mut answer) = serde_json::from_str::<Value>(&answer) else { return Ok(answer) };
        counted.charge(&asked, &answer, &describe, now);
        asked.finish(&mut answer, left);
        Ok(answer.to_string())
    }

    /// A reader of a stream shard, until it is dropped; at most two of one shard are there at once.
    pub(crate) fn reader(&self, shard: &str) -> Result<Option<Reading>, Throttled> {
        let Some(counted) = &self.0 else { return Ok(None) };
        let mut readers = counted.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = readers.entry(shard.to_owned()).or_default();
        if *reading >= READERS_MAX {
            let message = format!("Rate exceeded for shard {shard}: at most {READERS_MAX} readers at a time");
            return Err(Throttled::new("LimitExceededException", &message));
        }
        *reading += 1;
        Ok(Some(Reading { readers: Arc::clone(&counted.readers), shard: shard.to_owned() }))
    }
}

/// One reader of a stream shard.
#[derive(Debug)]
pub(crate) struct Reading {
    readers: Arc<Mutex<HashMap<String, u32>>>,
    shard: String,
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let left = readers.get_mut(&self.shard).map(|reading| {
            *reading = reading.saturating_sub(1);
            *reading
        });
        if left == Some(0) {
            readers.remove(&self.shard);
        }
    }
}

impl Counted {
    fn tables(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Provision>>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn provision(&self, table: &str, describe: impl Fn(&str) -> Option<Value>) -> Option<Arc<Provision>> {
        if let Some(known) = self.tables().get(table) {
            return Some(Arc::clone(known));
        }
        let found = Arc::new(Provision::of(&describe(table)?));
        self.tables().insert(table.to_owned(), Arc::clone(&found));
        Some(found)
    }

    /// Takes out of the request what its tables have no capacity for; gives what was taken, or refuses everything.
    fn admit(
        &self,
        asked: &mut Asked,
        describe: &impl Fn(&str) -> Option<Value>,
        now: Duration,
    ) -> Result<Option<Value>, Throttled> {
        let refusals: Vec<Option<Throttled>> =
            asked.tables().iter().map(|table| self.refusal(asked, table, describe, now)).collect();
        if refusals.iter().all(Option::is_none) {
            return Ok(None);
        }
        let first = || refusals.iter().flatten().next().cloned();
        match asked.shape() {
            Shape::Batch if refusals.iter().any(Option::is_none) => {
                let throttled: Vec<bool> = refusals.iter().map(Option::is_some).collect();
                Ok(asked.take_out(&throttled))
            }
            Shape::Transaction => Err(cancelled(&refusals)),
            Shape::Single | Shape::Batch => first().map_or(Ok(None), Err),
        }
    }

    /// Why a table takes no such request now.
    fn refusal(
        &self,
        asked: &Asked,
        table: &str,
        describe: &impl Fn(&str) -> Option<Value>,
        now: Duration,
    ) -> Option<Throttled> {
        let provision = self.provision(table, describe)?;
        let of_access = usize::from(asked.access() == Access::Read);
        let index = asked.index().unwrap_or_default();
        // A read is of one of them; a write is of the table and of each index.
        let is_touched = |name: &str| asked.access() == Access::Write || name == index;
        for (name, rates) in provision.rates.iter().filter(|(name, _)| is_touched(name)) {
            let key = (table.to_owned(), name.clone());
            if !self.units.with(key, *rates, now, |buckets| buckets[of_access].is_open()) {
                let message = if name.is_empty() { OF_TABLE } else { OF_INDEX };
                return Some(Throttled::new("ProvisionedThroughputExceededException", message));
            }
        }
        let partition = partition_of(asked, table, &provision)?;
        if self.partitions.with(partition, PARTITION, now, |buckets| buckets[of_access].is_open()) {
            return None;
        }
        Some(match provision.is_on_demand {
            true => Throttled::new("ThrottlingException", OF_PARTITION),
            false => Throttled::new("ProvisionedThroughputExceededException", OF_TABLE),
        })
    }

    /// Charges what the answer says was consumed.
    fn charge(&self, asked: &Asked, answer: &Value, describe: &impl Fn(&str) -> Option<Value>, now: Duration) {
        let of_access = usize::from(asked.access() == Access::Read);
        let told = match &answer["ConsumedCapacity"] {
            Value::Array(told) => told.as_slice(),
            Value::Null => &[],
            told => std::slice::from_ref(told),
        };
        for consumed in told {
            let table = request::name_of(consumed["TableName"].as_str().unwrap_or_default());
            let Some(provision) = self.provision(table, describe) else { continue };
            for (index, rates) in &provision.rates {
                let units = match index.as_str() {
                    "" => of_table(consumed),
                    index => thousandths(&consumed["GlobalSecondaryIndexes"][index]["CapacityUnits"]),
                };
                if units > 0 {
                    let key = (table.to_owned(), index.clone());
                    self.units.with(key, *rates, now, |buckets| buckets[of_access].charge(units));
                }
            }
            if let Some(partition) = partition_of(asked, table, &provision) {
                let units = of_table(consumed);
                self.partitions.with(partition, PARTITION, now, |buckets| buckets[of_access].charge(units));
            }
        }
    }
}

impl Provision {
    fn of(description: &Value) -> Self {
        let key_schema = description["KeySchema"].as_array().map_or(&[][..], Vec::as_slice);
        let partition_key = key_schema.iter().find(|element| element["KeyType"] == "HASH");
        let partition_key = partition_key.and_then(|element| element["AttributeName"].as_str()).unwrap_or_default();
        let is_on_demand = description["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST";
        let mut rates = Vec::new();
        if !is_on_demand {
            rates.push((String::new(), rates_of(&description["ProvisionedThroughput"])));
            let indexes = description["GlobalSecondaryIndexes"].as_array().map_or(&[][..], Vec::as_slice);
            rates.extend(indexes.iter().filter_map(|index| {
                Some((index["IndexName"].as_str()?.to_owned(), rates_of(&index["ProvisionedThroughput"])))
            }));
            // Without numbers there is nothing to hold anybody to.
            rates.retain(|(_, rates)| rates.iter().all(|rate| rate.per_second > 0));
        }
        Self { partition_key: partition_key.to_owned(), is_on_demand, rates }
    }
}

fn rates_of(provisioned: &Value) -> [Rate; 2] {
    ["WriteCapacityUnits", "ReadCapacityUnits"].map(|name| {
        let per_second = provisioned[name].as_u64().unwrap_or(0).saturating_mul(THOUSANDTHS);
        Rate { per_second, burst: per_second.saturating_mul(BURST_S) }
    })
}

/// What the table itself and its local indexes consumed.
fn of_table(consumed: &Value) -> u64 {
    let own = &consumed["Table"]["CapacityUnits"];
    let local = consumed["LocalSecondaryIndexes"].as_object().into_iter().flat_map(|indexes| indexes.values());
    let local: u64 = local.map(|index| thousandths(&index["CapacityUnits"])).sum();
    local + thousandths(if own.is_null() { &consumed["CapacityUnits"] } else { own })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, which is what is wanted"
)]
fn thousandths(units: &Value) -> u64 {
    (units.as_f64().unwrap_or(0.0) * THOUSANDTHS as f64).round() as u64
}

fn partition_of(asked: &Asked, table: &str, provision: &Provision) -> Option<(String, u64)> {
    let key = asked.attribute(&provision.partition_key)?;
    let mut hasher = DefaultHasher::new();
    key.to_string().hash(&mut hasher);
    Some((table.to_owned(), hasher.finish()))
}

fn cancelled(refusals: &[Option<Throttled>]) -> Throttled {
    let reason = |refusal: &Option<Throttled>| match refusal {
        None => json!({ "Code": "None" }),
        Some(refusal) if refusal.code == "ThrottlingException" => {
            json!({ "Code": "ThrottlingError", "Message": refusal.message })
        }
        Some(refusal) => json!({ "Code": "ProvisionedThroughputExceeded", "Message": refusal.message }),
    };
    let reasons: Vec<Value> = refusals.iter().map(reason).collect();
    let codes: Vec<&str> = reasons.iter().filter_map(|reason| reason["Code"].as_str()).collect();
    let told = "Transaction cancelled, please refer cancellation reasons for specific reasons";
    let message = format!("{told} [{}]", codes.join(", "));
    Throttled { code: "TransactionCanceledException", message, reasons }
}

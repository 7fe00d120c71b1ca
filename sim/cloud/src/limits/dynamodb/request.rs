//! A request on items, as far as capacity goes: which tables it reads or writes, and how it asks for what it consumes.

use serde_json::{Map, Value, json};

const RETURN_CONSUMED_CAPACITY: &str = "ReturnConsumedCapacity";
const INDEXES: &str = "INDEXES";
/// What `TOTAL` shows of a table's consumption.
const TOTAL_MEMBERS: [&str; 4] = ["TableName", "CapacityUnits", "ReadCapacityUnits", "WriteCapacityUnits"];

/// What is done with tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Write,
    Read,
}

/// How an operation names its tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// `TableName`.
    Single,
    /// `RequestItems`, by table.
    Batch,
    /// `TransactItems`, each with one.
    Transaction,
}

/// A request.
#[derive(Debug)]
pub(super) struct Asked {
    members: Map<String, Value>,
    access: Access,
    shape: Shape,
    /// What the client wants told of consumption.
    wanted: Option<String>,
}

impl Asked {
    /// Reads a request; `None` for one that is not counted.
    pub(super) fn read(operation: &str, body: &str) -> Option<Self> {
        let (access, shape) = match operation {
            "PutItem" | "UpdateItem" | "DeleteItem" => (Access::Write, Shape::Single),
            "GetItem" | "Query" | "Scan" => (Access::Read, Shape::Single),
            "BatchWriteItem" => (Access::Write, Shape::Batch),
            "BatchGetItem" => (Access::Read, Shape::Batch),
            "TransactWriteItems" => (Access::Write, Shape::Transaction),
            "TransactGetItems" => (Access::Read, Shape::Transaction),
            _ => return None,
        };
        let Value::Object(members) = serde_json::from_str(body).ok()? else { return None };
        let wanted = match members.get(RETURN_CONSUMED_CAPACITY) {
            None | Some(Value::Null) => None,
            Some(Value::String(wanted)) if ["NONE", "TOTAL", INDEXES].contains(&wanted.as_str()) => {
                Some(wanted.clone())
            }
            // Invalid: refused by whoever does the work.
            Some(_) => return None,
        };
        Some(Self { members, access, shape, wanted })
    }

    pub(super) fn access(&self) -> Access {
        self.access
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// The index that is read.
    pub(super) fn index(&self) -> Option<&str> {
        self.members.get("IndexName")?.as_str()
    }

    /// The tables by name: one, one of each batch, one of each item of a transaction.
    pub(super) fn tables(&self) -> Vec<String> {
        let named = |value: Option<&Value>| name_of(value.and_then(Value::as_str).unwrap_or_default()).to_owned();
        match self.shape {
            Shape::Single => vec![named(self.members.get("TableName"))],
            Shape::Batch => {
                let batches = self.members.get("RequestItems").and_then(Value::as_object);
                batches.into_iter().flat_map(Map::keys).map(|table| name_of(table).to_owned()).collect()
            }
            Shape::Transaction => {
                let items = self.members.get("TransactItems").and_then(Value::as_array);
                let action =
                    |item: &Value| item.as_object()?.values().find_map(|action| action.get("TableName")).cloned();
                items.into_iter().flatten().map(|item| named(action(item).as_ref())).collect()
            }
        }
    }

    /// An attribute of the one item that the request is about.
    pub(super) fn attribute(&self, name: &str) -> Option<&Value> {
        let item = self.members.get("Key").or_else(|| self.members.get("Item"))?;
        item.get(name).filter(|_| self.shape == Shape::Single)
    }

    /// Takes the batches out that are marked, in the order of [`Self::tables`]; gives them.
    pub(super) fn take_out(&mut self, marked: &[bool]) -> Option<Value> {
        let Some(Value::Object(batches)) = self.members.get_mut("RequestItems") else { return None };
        let all = std::mem::take(batches);
        let mut left = Map::new();
        for ((table, batch), is_marked) in all.into_iter().zip(marked) {
            let to = if *is_marked { &mut left } else { &mut *batches };
            to.insert(table, batch);
        }
        Some(Value::Object(left))
    }

    /// The request, made to tell what it consumes.
    pub(super) fn to_body(&self) -> String {
        let mut members = self.members.clone();
        members.insert(RETURN_CONSUMED_CAPACITY.to_owned(), json!(INDEXES));
        Value::Object(members).to_string()
    }

    /// Makes the answer what the client asked for; `left` was taken out of its batches.
    pub(super) fn finish(&self, answer: &mut Value, left: Option<Value>) {
        let Some(members) = answer.as_object_mut() else { return };
        match self.wanted.as_deref() {
            Some(INDEXES) => {}
            Some("TOTAL") => match members.get_mut("ConsumedCapacity") {
                Some(Value::Array(told)) => told.iter_mut().for_each(totals_only),
                Some(told) => totals_only(told),
                None => {}
            },
            _ => drop(members.remove("ConsumedCapacity")),
        }
        if let Some(Value::Object(left)) = left {
            let name = if self.access == Access::Write { "UnprocessedItems" } else { "UnprocessedKeys" };
            let unprocessed = members.entry(name).or_insert_with(|| json!({}));
            if let Some(unprocessed) = unprocessed.as_object_mut() {
                unprocessed.extend(left);
            }
        }
    }
}

fn totals_only(consumed: &mut Value) {
    if let Some(members) = consumed.as_object_mut() {
        members.retain(|name, _| TOTAL_MEMBERS.contains(&name.as_str()));
    }
}

/// The table's name, which may be given as an ARN.
pub(super) fn name_of(table: &str) -> &str {
    match table.strip_prefix("arn:") {
        Some(rest) => rest.rsplit_once(":table/").map_or(table, |(_, name)| name),
        None => table,
    }
}

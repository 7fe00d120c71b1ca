//! The DMS record, borrowed: the same members and rules as [`lakebed_contract::Envelope`], but nothing is copied out of the
//! document except texts with escapes in them.
//!
//! A document that this type takes is one that the contract's type takes too, with the same values; a test holds them together.

use std::borrow::Cow;
use std::fmt;

use lakebed_contract::envelope::{Operation, RecordType};
use lakebed_contract::position::{PositionError, parse_stream_position};
use lakebed_contract::{Column, Position};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// One record.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct DmsRecord<'a> {
    #[serde(borrow, default)]
    pub(super) data: Option<Members<'a>>,
    #[serde(borrow, default)]
    pub(super) before_image: Option<Members<'a>>,
    #[serde(default, rename = "control")]
    _control: Option<serde_json::Value>,
    #[serde(borrow)]
    pub(super) metadata: DmsMetadata<'a>,
}

/// `metadata`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct DmsMetadata<'a> {
    #[serde(borrow)]
    pub(super) timestamp: Cow<'a, str>,
    pub(super) record_type: RecordType,
    pub(super) operation: Operation,
    #[serde(borrow, rename = "partition-key-type")]
    _partition_key_type: Cow<'a, str>,
    #[serde(borrow, default, rename = "partition-key-value")]
    _partition_key_value: Option<Text<'a>>,
    #[serde(borrow)]
    pub(super) schema_name: Cow<'a, str>,
    #[serde(borrow)]
    pub(super) table_name: Cow<'a, str>,
    #[serde(default, rename = "transaction-id")]
    _transaction_id: Option<u32>,
    #[serde(default, rename = "transaction-record-id")]
    _transaction_record_id: Option<u64>,
    #[serde(default, rename = "prev-transaction-id")]
    _prev_transaction_id: Option<u32>,
    #[serde(default, rename = "prev-transaction-record-id")]
    _prev_transaction_record_id: Option<u64>,
    #[serde(borrow, default)]
    pub(super) commit_timestamp: Option<Text<'a>>,
    #[serde(borrow, default)]
    pub(super) stream_position: Option<Text<'a>>,
    #[serde(default)]
    pub(super) load_generation: Option<u32>,
}

/// A string; serde borrows a `Cow` inside a type of its own only.
#[derive(Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

impl DmsRecord<'_> {
    /// Where the record stands in the order of changes.
    pub(super) fn position(&self) -> Result<Position, PositionError> {
        let generation = self.metadata.load_generation.unwrap_or(1);
        if self.metadata.operation == Operation::Load {
            return Ok(Position::load(generation));
        }
        let text = self.metadata.stream_position.as_ref().map_or("", |text| &text.0);
        let (commit_lsn, ordinal) = parse_stream_position(text)?;
        Ok(Position { generation, commit_lsn, ordinal })
    }
}

/// Column name → JSON text, in record order.
pub(super) struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// How many members, from the first, are named as the columns are, in their order. Those need not be looked for.
    pub(super) fn aligned_with(&self, columns: &[Column]) -> usize {
        self.0.iter().zip(columns).take_while(|((name, _), column)| *name == column.name).count()
    }

    /// The JSON text of column number `at`; `None` when it is absent. `aligned` is what [`Members::aligned_with`] said.
    pub(super) fn get(&self, at: usize, aligned: usize, column: &Column) -> Option<&'a str> {
        match self.0.get(at) {
            Some((_, json)) if at < aligned => Some(json.get()),
            _ => self.find(&column.name),
        }
    }

    /// The JSON text of the first member of that name.
    pub(super) fn find(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(member, _)| member == name).map(|(_, json)| json.get())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Columns;
        impl<'de> Visitor<'de> for Columns {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of column values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some((Text(name), json)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                    members.push((name, json));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Columns)
    }
}

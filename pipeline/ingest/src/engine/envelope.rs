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
    #[serde(default)]
    pub(super) control: Option<serde_json::Value>,
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

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use lakebed_contract::Envelope;
    use lakebed_contract::envelope::ColumnValues;
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};

    use super::*;

    /// Members of `metadata` in the order of the type, each with values that it may be given; the first is right.
    const METADATA: [(&str, &[&str]); 13] = [
        ("timestamp", &[r#""2024-07-29T00:59:07.5Z""#, r#""a\u0041\n""#, r#""\ud800""#, "null", "5"]),
        ("record-type", &[r#""data""#, r#""control""#, r#""d\u0061ta""#, r#""Data""#, "null"]),
        ("operation", &[r#""insert""#, r#""load""#, r#""add-column""#, r#""upsert""#, "null"]),
        ("partition-key-type", &[r#""schema-table""#, r#""\"""#, "null", "{}"]),
        ("partition-key-value", &[r#""a.b""#, "null", r#""\t""#, "1"]),
        ("schema-name", &[r#""dm_core""#, r#""""#, r#""dm\u005fcore""#, "null"]),
        ("table-name", &[r#""beer""#, r#""K\u00f6lsch""#, "\"Kölsch\"", "[]"]),
        ("transaction-id", &["1141", "null", "4294967295", "4294967296", "-1", "1.0", r#""1""#]),
        ("transaction-record-id", &["1", "null", "4294967296", "18446744073709551616"]),
        ("prev-transaction-id", &["1140", "null", "4294967296"]),
        ("prev-transaction-record-id", &["1", "null", "true"]),
        ("commit-timestamp", &[r#""2024-07-29T00:59:07.5Z""#, "null", r#""\u0000""#, "7"]),
        ("stream-position", &[r#""00000002/7C0073F8.2.00000002/7C0073F8""#, "null", r#""x""#, "[1]"]),
    ];
    const LOAD_GENERATION: [&str; 5] = ["3", "null", "4294967296", "0", r#""3""#];
    const IMAGES: [&str; 7] = [
        r#"{"id":12345678901234567890,"score":4.50,"note":null}"#,
        r#"{"i\u0064":1,"id":2,"\"":{"a":[1, 2]},"Kölsch":"\ud83c\udf7a"}"#,
        "{}",
        "null",
        "[]",
        r#"{"a":"#,
        r#"{"id": 1 }"#,
    ];

    /// A member's name with its first letter as it is, or as an escape.
    fn spelt(name: &str, is_escaped: bool) -> String {
        if is_escaped { format!("\"\\u{:04x}{}\"", name.as_bytes()[0], &name[1..]) } else { format!("\"{name}\"") }
    }

    /// One member, mostly once and with the right value; or left out, or twice.
    fn member(name: &'static str, values: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
        let value = prop_oneof![12 => Just(values[0]), 1 => prop::sample::select(values)];
        let count = prop_oneof![40 => Just(1usize), 1 => Just(0usize), 1 => Just(2usize)];
        (value, count, prop::bool::weighted(0.2))
            .prop_map(move |(value, count, is_escaped)| vec![format!("{}:{value}", spelt(name, is_escaped)); count])
    }

    fn record() -> impl Strategy<Value = String> {
        let mut members: Vec<_> = METADATA.iter().map(|&(name, values)| member(name, values).boxed()).collect();
        members.push(member("load-generation", &LOAD_GENERATION).boxed());
        members.push(member("unknown", &["1", "{}"]).boxed());
        let image = |name| member(name, &IMAGES);
        let others = (image("data"), image("before-image"), member("control", &["{}", "null", "[1.5]"]));
        (members, any::<bool>(), others, 0u8..30).prop_map(|(members, is_reversed, others, odd)| {
            let mut members = members.concat();
            if is_reversed {
                members.reverse();
            }
            let metadata = match odd {
                0 => "null".to_owned(),
                // In the order of the type, names left out.
                1 => format!("[{}]", METADATA.map(|(_, values)| values[0]).join(",") + ",3"),
                _ => format!("{{{}}}", members.join(", ")),
            };
            let (data, before, control) = others;
            let metadata = vec![format!("\"metadata\":{metadata}")];
            format!("{{{}}}", [data, metadata, before, control].concat().join(","))
        })
    }

    fn images<'a>(
        borrowed: Option<&'a Members<'_>>,
        owned: Option<&'a ColumnValues>,
    ) -> [Option<Vec<(&'a str, &'a str)>>; 2] {
        let borrowed = borrowed.map(|members| members.0.iter().map(|(name, json)| (&**name, json.get())).collect());
        [borrowed, owned.map(|columns| columns.0.iter().map(|(name, json)| (name.as_str(), json.get())).collect())]
    }

    fn assert_same(borrowed: &DmsRecord<'_>, owned: &Envelope) {
        let [data, expected] = images(borrowed.data.as_ref(), owned.data.as_ref());
        assert_eq!(data, expected);
        let [before, expected] = images(borrowed.before_image.as_ref(), owned.before_image.as_ref());
        assert_eq!(before, expected);
        assert_eq!(borrowed.control, owned.control);
        assert_eq!(borrowed.position().ok(), owned.position().ok());
        let text = |text: &Option<Text<'_>>| text.as_ref().map(|text| text.0.clone().into_owned());
        let (found, expected) = (&borrowed.metadata, &owned.metadata);
        let found = lakebed_contract::envelope::Metadata {
            timestamp: found.timestamp.clone().into_owned(),
            record_type: found.record_type,
            operation: found.operation,
            partition_key_type: found._partition_key_type.clone().into_owned(),
            partition_key_value: text(&found._partition_key_value),
            schema_name: found.schema_name.clone().into_owned(),
            table_name: found.table_name.clone().into_owned(),
            transaction_id: found._transaction_id,
            transaction_record_id: found._transaction_record_id,
            prev_transaction_id: found._prev_transaction_id,
            prev_transaction_record_id: found._prev_transaction_record_id,
            commit_timestamp: text(&found.commit_timestamp),
            stream_position: text(&found.stream_position),
            load_generation: found.load_generation,
        };
        assert_eq!(&found, expected);
    }

    #[test]
    fn records_are_taken_as_the_contract_takes_them() {
        let (taken, refused) = (Cell::new(0), Cell::new(0));
        let config = Config { cases: 2_000, failure_persistence: None, ..Config::default() };
        let ran = TestRunner::new(config).run(&record(), |text| {
            let borrowed = serde_json::from_str::<DmsRecord<'_>>(&text);
            match (borrowed, serde_json::from_str::<Envelope>(&text)) {
                (Ok(borrowed), Ok(owned)) => {
                    assert_same(&borrowed, &owned);
                    taken.set(taken.get() + 1);
                }
                (Err(borrowed), Err(owned)) => {
                    prop_assert_eq!(borrowed.classify(), owned.classify());
                    refused.set(refused.get() + 1);
                }
                (borrowed, owned) => {
                    panic!("borrowed {:?}, owned {:?}", borrowed.map(drop), owned.map(drop));
                }
            }
            Ok(())
        });
        ran.unwrap_or_else(|failure| panic!("{failure}"));
        assert!(taken.get() > 200 && refused.get() > 200, "{taken:?}, {refused:?}");
    }
}

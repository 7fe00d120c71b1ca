//! The JSON record DMS writes to Kinesis: `data`, `before-image`, `control`, `metadata`, members in the captured order.
//!
//! A value is kept as the JSON text it arrived as, so a `numeric` or a `bigint` never passes through a float. A column
//! that is not a member is *absent*, which is not `null`: [`ColumnValues::get`] answers `None` for the one and
//! `Some("null")` for the other. Source: DMS User Guide, "Using Amazon Kinesis Data Streams as a target", and records
//! captured from the service (member names are hyphenated, whatever the guide's prose says).

use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use crate::position::{Position, PositionError, parse_stream_position};

/// Column name → JSON text, in record order.
#[derive(Clone, Debug, Default)]
pub struct ColumnValues(pub Vec<(String, Box<RawValue>)>);

impl ColumnValues {
    /// The JSON text of a column; `None` when the column is absent.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(column, _)| column == name).map(|(_, value)| value.get())
    }

    /// Adds a column whose value is already JSON text.
    ///
    /// # Panics
    /// When `json` is not one JSON value: the caller made it.
    pub fn push_json(&mut self, name: &str, json: String) {
        let value = RawValue::from_string(json).expect("the caller passes one valid JSON value");
        self.0.push((name.to_owned(), value));
    }

    /// Adds a column with a string value.
    pub fn push_text(&mut self, name: &str, text: &str) {
        self.push_json(name, serde_json::Value::String(text.to_owned()).to_string());
    }

    /// Adds a column that is NULL.
    pub fn push_null(&mut self, name: &str) {
        self.push_json(name, "null".to_owned());
    }
}

impl Serialize for ColumnValues {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for ColumnValues {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Columns;
        impl<'de> Visitor<'de> for Columns {
            type Value = ColumnValues;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of column values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ColumnValues, A::Error> {
                let mut columns = Vec::with_capacity(map.size_hint().unwrap_or(12));
                while let Some(entry) = map.next_entry::<String, Box<RawValue>>()? {
                    columns.push(entry);
                }
                Ok(ColumnValues(columns))
            }
        }
        deserializer.deserialize_map(Columns)
    }
}

/// `metadata.operation` of a data record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    /// Row of the full load.
    Load,
    /// Inserted row.
    Insert,
    /// Updated row.
    Update,
    /// Deleted row: only the key is meaningful.
    Delete,
    /// Control: table dropped on the target (opens a full load together with `create-table`).
    DropTable,
    /// Control: table created on the target, with its definition.
    CreateTable,
    /// Control: table renamed.
    RenameTable,
    /// Control: several columns changed.
    ChangeColumns,
    /// Control: column added.
    AddColumn,
    /// Control: column dropped.
    DropColumn,
    /// Control: column renamed.
    RenameColumn,
    /// Control: column type changed.
    ColumnTypeChange,
}

impl Operation {
    /// The word as it stands in the record and in bronze's `_operation` column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::DropTable => "drop-table",
            Self::CreateTable => "create-table",
            Self::RenameTable => "rename-table",
            Self::ChangeColumns => "change-columns",
            Self::AddColumn => "add-column",
            Self::DropColumn => "drop-column",
            Self::RenameColumn => "rename-column",
            Self::ColumnTypeChange => "column-type-change",
        }
    }

    /// Whether the operation carries a row.
    pub fn is_data(self) -> bool {
        matches!(self, Self::Load | Self::Insert | Self::Update | Self::Delete)
    }
}

/// `metadata.record-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordType {
    /// A row.
    Data,
    /// A table event.
    Control,
}

/// `metadata`. Members that a setting leaves out are `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Metadata {
    /// When the record was built, RFC 3339 with microseconds. Not an ordering key.
    pub timestamp: String,
    /// Row or table event.
    pub record_type: RecordType,
    /// What happened.
    pub operation: Operation,
    /// `schema-table`, `primary-key` or `task-id`.
    pub partition_key_type: String,
    /// With `IncludePartitionValue`, unless the type is `schema-table`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub partition_key_value: Option<String>,
    /// Source schema; empty for DMS's own `awsdms_*` tables.
    pub schema_name: String,
    /// Source table.
    pub table_name: String,
    /// 32-bit transaction id; CDC records only; not in commit order.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transaction_id: Option<u32>,
    /// Counts the rows of the transaction from 1. With `IncludeTransactionDetails`, as the next four.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub transaction_record_id: Option<u64>,
    /// Transaction id of the record before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prev_transaction_id: Option<u32>,
    /// Record id of the record before.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub prev_transaction_record_id: Option<u64>,
    /// Commit time at the source, RFC 3339 with microseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub commit_timestamp: Option<String>,
    /// `<commit LSN>.<ordinal>.<row LSN>`; see [`crate::position::format_stream_position`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stream_position: Option<String>,
    /// Extension of the `lakebed-recommended` profile: which full load of the table this record belongs to, from 1.
    /// DMS has no such member; a record without it belongs to generation 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub load_generation: Option<u32>,
}

/// One record as it travels through Kinesis and Firehose.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Envelope {
    /// The row; absent on control records.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data: Option<ColumnValues>,
    /// The old key, with `BeforeImageSettings`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub before_image: Option<ColumnValues>,
    /// Table definition of a control record, with `IncludeControlDetails`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub control: Option<serde_json::Value>,
    /// Always there.
    pub metadata: Metadata,
}

impl Envelope {
    /// Where the record stands in the order of changes.
    ///
    /// # Errors
    /// A CDC record without a readable `stream-position` has no place; it must be quarantined, never guessed.
    pub fn position(&self) -> Result<Position, PositionError> {
        let generation = self.metadata.load_generation.unwrap_or(1);
        if self.metadata.operation == Operation::Load {
            return Ok(Position::load(generation));
        }
        let text = self.metadata.stream_position.as_deref().unwrap_or_default();
        let (commit_lsn, ordinal) = parse_stream_position(text)?;
        Ok(Position { generation, commit_lsn, ordinal })
    }

    /// One line of JSON with its newline (`MessageFormat: JSON_UNFORMATTED`).
    pub fn to_json_line(&self) -> Vec<u8> {
        let mut line = serde_json::to_vec(self).expect("strings and raw JSON always serialise");
        line.push(b'\n');
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPDATE: &str = r#"{"data":{"id":12345678901234567890,"score":4.50,"note":null},"before-image":{"id":46},"metadata":{"timestamp":"2024-07-29T00:59:07.686557Z","record-type":"data","operation":"update","partition-key-type":"schema-table","schema-name":"public","table-name":"foo","transaction-id":1141,"transaction-record-id":1,"prev-transaction-id":1140,"prev-transaction-record-id":1,"commit-timestamp":"2024-07-29T00:59:07.678294Z","stream-position":"00000002/7C0073F8.2.00000002/7C0073F8"}}"#;

    #[test]
    fn a_record_survives_byte_for_byte() {
        let record: Envelope = serde_json::from_str(UPDATE).expect("valid");
        assert_eq!(String::from_utf8(record.to_json_line()).expect("utf-8"), format!("{UPDATE}\n"));
    }

    #[test]
    fn absent_is_not_null_and_numbers_keep_their_digits() {
        let record: Envelope = serde_json::from_str(UPDATE).expect("valid");
        let data = record.data.expect("data record");
        assert_eq!(data.get("id"), Some("12345678901234567890"));
        assert_eq!(data.get("score"), Some("4.50"));
        assert_eq!(data.get("note"), Some("null"));
        assert_eq!(data.get("other"), None);
    }

    #[test]
    fn positions_come_from_the_stream_position_or_from_the_load() {
        let mut record: Envelope = serde_json::from_str(UPDATE).expect("valid");
        let position = record.position().expect("CDC record");
        assert_eq!((position.commit_lsn.0, position.ordinal, position.generation), (0x2_7C00_73F8, 2, 1));
        record.metadata.stream_position = None;
        assert!(record.position().is_err());
        record.metadata.operation = Operation::Load;
        record.metadata.load_generation = Some(3);
        assert_eq!(record.position().expect("load"), Position::load(3));
    }
}

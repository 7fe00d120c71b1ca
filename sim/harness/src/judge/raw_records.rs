//! What a raw object holds: how many records, and which changes they are.
//!
//! Reads the batch CSV and the DMS JSON of `raw/` with a reader of its own. A change is known by (generation, commit LSN, ordinal,
//! operation, key); a record whose key cannot be read is counted as unidentified. Values other than the key are skipped.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate};
use lakebed_contract::table::{ColumnType, TableContract};
use lakebed_contract::{Lsn, layout};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::bronze::{Identities, identity};
use super::cell::Cell;
use super::raw_text::{CsvRecords, Gunzip, Watched, for_each_json, read_all};

/// Largest JSON object the judge unpacks into memory; CSV is streamed.
const JSON_BYTES_MAX: u64 = 2 << 30;

/// What the judge counts in a raw object.
#[derive(Debug, Default)]
pub(super) struct RawContent {
    /// Records, control records and malformed ones included.
    pub(super) records: u64,
    /// The changes among them; `None` when their keys cannot be read at all.
    pub(super) identities: Option<Identities>,
    /// Records that should be changes but show no key or position.
    pub(super) unidentified: u64,
}

/// Reads the object `key`. The error says why its text cannot be read.
pub(super) fn read(key: &str, bytes: &[u8], table: Option<&TableContract>) -> Result<RawContent, String> {
    let csv = key.rsplit('/').next().is_some_and(|name| name.contains(".csv"));
    let keys = table.and_then(readable_keys);
    if csv { read_csv(key, bytes, keys.as_deref()) } else { read_json(bytes, keys.as_deref()) }
}

/// A key column: its names, the present one first, and its type.
struct Key {
    names: Vec<String>,
    column_type: ColumnType,
}

/// Key columns, when all have types that read the same from CSV, JSON and Parquet.
fn readable_keys(table: &TableContract) -> Option<Vec<Key>> {
    use ColumnType::{Bigint, Date, Integer, Text, Timestamptz};
    table
        .key_columns()
        .map(|column| {
            matches!(column.column_type, Integer | Bigint | Text | Date | Timestamptz).then(|| Key {
                names: [std::slice::from_ref(&column.name), column.former_names.as_slice()].concat(),
                column_type: column.column_type,
            })
        })
        .collect()
}

fn read_csv(key: &str, bytes: &[u8], keys: Option<&[Key]>) -> Result<RawContent, String> {
    let mut counted = CsvRecords::default();
    let mut content = RawContent::default();
    {
        let text = Watched::new(Gunzip::new(bytes), |part: &[u8]| counted.see(part));
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(text);
        let headers = reader.byte_headers().map_err(|error| reason(&error))?.clone();
        let at = keys.and_then(|keys| {
            let place = |name: &str| headers.iter().position(|header| header == name.as_bytes());
            let of = |key: &Key| Some((key.names.iter().find_map(|name| place(name))?, key.column_type));
            keys.iter().map(of).collect::<Option<Vec<_>>>()
        });
        let generation = i64::from(layout::generation_of_raw_key(key));
        let mut identities = Identities::default();
        let mut record = csv::ByteRecord::new();
        while reader.read_byte_record(&mut record).map_err(|error| reason(&error))? {
            let Some(at) = &at else { continue };
            let cells: Option<Vec<_>> = at
                .iter()
                .map(|(at, column_type)| key_cell(std::str::from_utf8(record.get(*at)?).ok()?, *column_type))
                .collect();
            match cells {
                Some(cells) => _ = identities.insert(identity(generation, 0, 0, "load", &cells)),
                None => content.unidentified += 1,
            }
        }
        content.identities = at.is_some().then_some(identities);
    }
    content.records = counted.count().saturating_sub(1);
    Ok(content)
}

/// The kind of a CSV error; its full text could quote the file.
fn reason(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::Io(error) => error.kind().to_string(),
        _ => "not CSV".to_owned(),
    }
}

fn key_cell(text: &str, column_type: ColumnType) -> Option<Cell<'_>> {
    match column_type {
        ColumnType::Text => Some(Cell::Text(text)),
        ColumnType::Date => date_cell(text),
        ColumnType::Timestamptz => instant_cell(text),
        _ => text.parse().ok().map(Cell::Int),
    }
}

fn date_cell(text: &str) -> Option<Cell<'static>> {
    Some(Cell::Date(NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?.to_epoch_days()))
}

/// As Postgres writes it in a COPY, or as DMS does.
fn instant_cell(text: &str) -> Option<Cell<'static>> {
    let copied = || DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z");
    let moment = DateTime::parse_from_rfc3339(text).or_else(|_| copied()).ok()?;
    Some(Cell::Instant(moment.timestamp_micros()))
}

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    data: Option<BTreeMap<String, serde_json::Value>>,
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    record_type: String,
    operation: String,
    #[serde(default)]
    schema_name: String,
    #[serde(default)]
    stream_position: Option<String>,
    #[serde(default)]
    load_generation: Option<i64>,
}

fn read_json(bytes: &[u8], keys: Option<&[Key]>) -> Result<RawContent, String> {
    let text = read_all(Gunzip::new(bytes), JSON_BYTES_MAX).map_err(|error| error.kind().to_string())?;
    let mut content = RawContent { identities: keys.map(|_| Identities::default()), ..RawContent::default() };
    for_each_json::<&RawValue>(&text, |value| {
        content.records += 1;
        let (Some(keys), Some(identities)) = (keys, content.identities.as_mut()) else { return };
        let record = value.and_then(|value| serde_json::from_str::<Record>(value.get()).ok());
        let is_change = record
            .as_ref()
            .is_none_or(|record| record.metadata.record_type == "data" && !record.metadata.schema_name.is_empty());
        if !is_change {
            return;
        }
        match record.and_then(|record| identity_of(&record, keys)) {
            Some(identity) => _ = identities.insert(identity),
            None => content.unidentified += 1,
        }
    });
    Ok(content)
}

/// What a record of the stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A captured change.
    Change {
        /// Commit of its transaction.
        commit_lsn: Lsn,
        /// Its number in the transaction.
        ordinal: u64,
    },
    /// A row of a load, or a control record.
    Other,
    /// No envelope, or a change without a position.
    Unreadable,
}

/// Reads the metadata of one envelope; the row is skipped.
pub(super) fn frame(envelope: &[u8]) -> Frame {
    #[derive(Deserialize)]
    struct Framed {
        metadata: Metadata,
    }
    let Ok(Framed { metadata }) = serde_json::from_slice::<Framed>(envelope) else { return Frame::Unreadable };
    if metadata.record_type != "data" || metadata.schema_name.is_empty() || metadata.operation == "load" {
        return Frame::Other;
    }
    let place = metadata.stream_position.as_deref().and_then(commit_and_ordinal);
    place.map_or(Frame::Unreadable, |(commit_lsn, ordinal)| Frame::Change {
        commit_lsn: Lsn(commit_lsn.cast_unsigned()),
        ordinal: ordinal.cast_unsigned(),
    })
}

fn identity_of(record: &Record, keys: &[Key]) -> Option<u64> {
    let data = record.data.as_ref()?;
    let cells: Option<Vec<_>> = keys
        .iter()
        .map(|key| match (key.names.iter().find_map(|name| data.get(name))?, key.column_type) {
            (serde_json::Value::String(text), ColumnType::Text) => Some(Cell::Text(text)),
            (serde_json::Value::String(text), ColumnType::Date) => date_cell(text),
            (serde_json::Value::String(text), ColumnType::Timestamptz) => instant_cell(text),
            (serde_json::Value::Number(number), ColumnType::Integer | ColumnType::Bigint) => {
                number.as_i64().map(Cell::Int)
            }
            _ => None,
        })
        .collect();
    let generation = record.metadata.load_generation.unwrap_or(1);
    let (commit_lsn, ordinal) = match record.metadata.operation.as_str() {
        "load" => (0, 0),
        "insert" | "update" | "delete" => commit_and_ordinal(record.metadata.stream_position.as_deref()?)?,
        _ => return None,
    };
    Some(identity(generation, commit_lsn, ordinal, &record.metadata.operation, &cells?))
}

/// `HHHHHHHH/HHHHHHHH.n.…`: the commit LSN as one number, and n.
fn commit_and_ordinal(position: &str) -> Option<(i64, i64)> {
    let mut parts = position.split('.');
    let (high, low) = parts.next()?.split_once('/')?;
    let commit = (i64::from_str_radix(high, 16).ok()? << 32) | i64::from_str_radix(low, 16).ok()?;
    Some((commit, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use lakebed_contract::lake::Lake;

    use super::*;

    fn brewery() -> TableContract {
        Lake::beer().tables.into_iter().find(|table| table.name == "brewery").expect("brewery")
    }

    fn record(operation: &str, id: &str, position: &str) -> String {
        format!(
            r#"{{"data":{{"brewery_id":{id},"city":null}},"metadata":{{"record-type":"data","operation":"{operation}","schema-name":"dm_core","table-name":"brewery","stream-position":"{position}"}}}}"#
        )
    }

    #[test]
    fn json_changes_are_known_by_position_operation_and_key() {
        let text = [
            record("insert", "7", "00000002/7C0073F8.2.00000002/7C0073F0"),
            record("insert", "7", "00000002/7C0073F8.2.00000002/7C0073F0"),
            record("update", "7", "00000002/7C0073F8.3.00000002/7C0073F0"),
            record("update", "7", "nowhere"),
            record("update", "null", "00000002/7C0073F8.4.00000002/7C0073F0"),
            r#"{"metadata":{"record-type":"control","operation":"create-table","schema-name":"dm_core"}}"#.to_owned(),
            "broken".to_owned(),
        ]
        .join("\n");
        let content = read("raw/brewery/x.json.gz", text.as_bytes(), Some(&brewery())).expect("text");
        assert_eq!((content.records, content.unidentified), (7, 3));
        let identities = content.identities.expect("keys are readable");
        let commit = 0x2_7C00_73F8;
        let expected =
            [identity(1, commit, 2, "insert", &[Cell::Int(7)]), identity(1, commit, 3, "update", &[Cell::Int(7)])];
        assert_eq!(identities, expected.into_iter().collect());
    }

    #[test]
    fn a_key_is_found_under_a_former_name() {
        let mut table = brewery();
        table.columns.iter_mut().filter(|column| column.is_key).for_each(|key| key.former_names.push("id".to_owned()));
        let text = record("load", "7", "").replace("brewery_id", "id");
        let expected: Identities = [identity(1, 0, 0, "load", &[Cell::Int(7)])].into_iter().collect();
        let content = read("raw/brewery/x.json.gz", text.as_bytes(), Some(&table)).expect("text");
        assert_eq!((content.identities, content.unidentified), (Some(expected.clone()), 0));
        let content = read("raw/brewery/x.csv.gz", b"id,city\n7,X\n", Some(&table)).expect("text");
        assert_eq!((content.identities, content.unidentified), (Some(expected), 0));
    }

    #[test]
    fn dates_and_instants_read_the_same_from_a_copy_and_from_dms() {
        assert_eq!(date_cell("1970-01-03"), Some(Cell::Date(2)));
        assert_eq!(date_cell("yesterday"), None);
        for text in ["1970-01-01 00:00:01.5+00", "1970-01-01T00:00:01.500000Z", "1970-01-01 01:00:01.5+01"] {
            assert_eq!(instant_cell(text), Some(Cell::Instant(1_500_000)), "{text}");
        }
        assert_eq!(instant_cell("1970-01-01"), None);
    }

    #[test]
    fn csv_rows_are_loads_of_the_generation_in_the_key() {
        let text = "brewery_name,brewery_id\n\"a\n\"\"b\",1\nc,\n";
        let key = "raw/brewery/generation=3/brewery-full.csv.gz";
        let content = read(key, text.as_bytes(), Some(&brewery())).expect("text");
        assert_eq!((content.records, content.unidentified), (2, 1));
        assert_eq!(
            content.identities.expect("key"),
            [identity(3, 0, 0, "load", &[Cell::Int(1)])].into_iter().collect()
        );
        let without_key = read(key, b"a,b\n1,2\n", Some(&brewery())).expect("text");
        assert_eq!((without_key.records, without_key.identities), (1, None));
        assert_eq!(read(key, b"", Some(&brewery())).expect("empty").records, 0);
    }
}

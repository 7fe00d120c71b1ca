//! DMS envelopes to rows.
//!
//! A column that is not a member is absent, not NULL. A delete tells its key and nothing else, whatever other members say. A
//! record without a readable position is a violation: its place in the order is never guessed. A member under a former name of a
//! column is the column's; under two names it must say the same.

use lakebed_contract::envelope::{Operation, RecordType};
use lakebed_contract::{Column, TableContract};
use serde::Deserialize;

use super::block::Block;
use super::columns::{BronzeColumns, RowMark};
use super::control_records::{self, ControlRecord};
use super::envelope::{DmsRecord, Members};
use super::json::{Splitter, Step};
use super::record::{AWSDMS_RECORD, CONTROL_RECORD, Parse, Rule, Tally, Violation};
use super::value::Value;
use super::{RECORD_BYTES_MAX, time};

/// Reads the rows of one JSON object.
pub(super) struct JsonRows<'t> {
    table: &'t TableContract,
    /// Former names of all columns.
    former_names: Vec<&'t str>,
}

impl<'t> JsonRows<'t> {
    pub(super) fn new(table: &'t TableContract) -> Self {
        let former_names = table.columns.iter().flat_map(|column| &column.former_names).map(String::as_str).collect();
        Self { table, former_names }
    }
}

/// What a document is.
enum Found {
    Row,
    Bad(Violation),
    Dropped(&'static str),
}

impl Parse for JsonRows<'_> {
    fn parse(&self, block: &Block, columns: &mut BronzeColumns, tally: &mut Tally) {
        let place = |at: usize| block.offset + at as u64;
        let syntax =
            |at: usize, why: &str| Violation::new(Rule::JsonSyntax, format!("{why} (document at byte {})", place(at)));
        if let Some(why) = block.broken {
            tally.begin(place(0));
            return tally.violation(syntax(0, why));
        }
        let bytes = block.bytes();
        // Checked once for all documents, where it holds for all.
        let text = simdutf8::basic::from_utf8(bytes).ok();
        let mut splitter = Splitter::default();
        loop {
            if let Some((start, record, end)) = text.and_then(|text| record_at(text, splitter.at)) {
                splitter = Splitter::starting_at(end);
                tally.begin(place(start));
                let found = self.read_record(&record, columns, tally);
                count(found, columns, tally);
                continue;
            }
            let step = splitter.next(bytes, true);
            if let Step::Broken(at, _) | Step::Document(at, _) = step {
                tally.begin(place(at));
            }
            let found = match step {
                Step::Open | Step::Wreckage(..) => break,
                Step::Broken(at, why) => Found::Bad(syntax(at, why)),
                Step::Document(start, end) => match std::str::from_utf8(&bytes[start..end]) {
                    Err(_) => {
                        let offset = place(start);
                        let reason = format!("not UTF-8 (document at byte {offset})");
                        Found::Bad(Violation::new(Rule::Encoding, reason))
                    }
                    Ok(document) => match serde_json::from_str::<DmsRecord<'_>>(document) {
                        Ok(record) => {
                            let found = self.read_record(&record, columns, tally);
                            count(found, columns, tally);
                            continue;
                        }
                        // The parser's own words may quote the document, so only their kind is kept.
                        Err(error) if error.is_data() => match read_sketch(document) {
                            Ok(rule) => Found::Dropped(rule),
                            Err(violation) => Found::Bad(violation),
                        },
                        Err(_) => Found::Bad(syntax(start, "not JSON")),
                    },
                },
            };
            count(found, columns, tally);
        }
    }
}

fn count(found: Found, columns: &mut BronzeColumns, tally: &mut Tally) {
    match found {
        Found::Row => {}
        Found::Dropped(rule) => tally.drop(rule),
        Found::Bad(violation) => {
            columns.drop_row();
            tally.violation(violation);
        }
    }
}

/// The record that stands at `at` or after white space, between where it begins and where it ends. `None` for whatever is wrong:
/// that is told by the longer way.
fn record_at(text: &str, at: usize) -> Option<(usize, DmsRecord<'_>, usize)> {
    let bytes = text.as_bytes();
    let start = at + bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    if bytes.get(start) != Some(&b'{') {
        return None;
    }
    let mut records = serde_json::Deserializer::from_str(text.get(start..)?).into_iter();
    let record = records.next()?.ok()?;
    let length = records.byte_offset();
    (length <= RECORD_BYTES_MAX).then_some((start, record, start + length))
}

/// The rule that drops a record of a table, if any does.
pub(super) fn drop_rule(schema: &str, table: &str) -> Option<&'static str> {
    (schema.is_empty() || table.starts_with("awsdms_")).then_some(AWSDMS_RECORD)
}

/// What an image says of a column, under whichever of its names.
fn named<'a>(image: &Members<'a>, column: &Column) -> Result<Option<&'a str>, Violation> {
    or_former(image, image.find(&column.name), column)
}

/// What an image says of a column: `present`, which it says under the present name, or what stands under a former one.
#[inline]
fn or_former<'a>(image: &Members<'a>, present: Option<&'a str>, column: &Column) -> Result<Option<&'a str>, Violation> {
    let mut told = present;
    for former in column.former_names.iter().filter_map(|name| image.find(name)) {
        if told.is_some_and(|told| told != former) {
            return Err(two_values(column));
        }
        told = Some(former);
    }
    Ok(told)
}

/// The violation of a row that gives a column two values.
pub(super) fn two_values(column: &Column) -> Violation {
    let reason = format!("column `{}` has different values under its present and former names", column.name);
    Violation::new(Rule::SchemaConflict, reason)
}

/// What can be said of a document that is no envelope we know.
#[derive(Deserialize)]
struct Sketch {
    metadata: SketchMetadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct SketchMetadata {
    record_type: String,
    operation: String,
    schema_name: String,
    table_name: String,
}

/// The rule that drops a document which is no envelope we know, or the one that it breaks.
pub(super) fn read_sketch(text: &str) -> Result<&'static str, Violation> {
    let Ok(Sketch { metadata }) = serde_json::from_str(text) else {
        return Err(Violation::new(Rule::Envelope, "not a DMS record"));
    };
    if let Some(rule) = drop_rule(&metadata.schema_name, &metadata.table_name) {
        return Ok(rule);
    }
    if metadata.record_type == "control" {
        return Ok(CONTROL_RECORD);
    }
    let known = serde_json::from_value::<Operation>(metadata.operation.into()).is_ok();
    Err(if known {
        Violation::new(Rule::Envelope, "not a DMS data record")
    } else {
        Violation::new(Rule::UnknownOperation, "`metadata.operation` is none of load, insert, update, delete")
    })
}

impl JsonRows<'_> {
    /// Puts the row of a record into `columns`, or says why there is none.
    fn read_record(&self, record: &DmsRecord<'_>, columns: &mut BronzeColumns, tally: &mut Tally) -> Found {
        if let Some(rule) = drop_rule(&record.metadata.schema_name, &record.metadata.table_name) {
            return Found::Dropped(rule);
        }
        let operation = record.metadata.operation;
        if record.metadata.record_type == RecordType::Control || !operation.is_data() {
            return self.read_control(record, tally);
        }
        match self.read_row(record, columns, &mut tally.extra_values) {
            Ok(mark) => {
                columns.end_row(&mark);
                Found::Row
            }
            Err(violation) => Found::Bad(violation.of(operation)),
        }
    }

    fn read_control(&self, record: &DmsRecord<'_>, tally: &mut Tally) -> Found {
        let metadata = &record.metadata;
        let control = ControlRecord {
            schema: &metadata.schema_name,
            table: &metadata.table_name,
            operation: metadata.operation,
            details: record.control.as_ref(),
        };
        let changes = control.changes(self.table);
        changes.iter().for_each(|change| tally.schema_news.add(change.to_string()));
        control_records::conflict(&changes, metadata.operation).map_or(Found::Dropped(CONTROL_RECORD), Found::Bad)
    }

    fn read_row(
        &self,
        record: &DmsRecord<'_>,
        columns: &mut BronzeColumns,
        extra_values: &mut u64,
    ) -> Result<RowMark, Violation> {
        let (table, metadata) = (self.table, &record.metadata);
        let operation = metadata.operation;
        if metadata.table_name != table.name || metadata.schema_name != table.schema {
            return Err(Violation::new(
                Rule::OtherTable,
                format!("the record is not of `{}.{}`", table.schema, table.name),
            ));
        }
        let unplaced = || Violation::new(Rule::Position, "no readable `stream-position`");
        let position = record.position().map_err(|_| unplaced())?;
        let commit_timestamp = match operation {
            Operation::Load => Some(&metadata.timestamp),
            _ => metadata.commit_timestamp.as_ref().map(|text| &text.0),
        };
        let commit_timestamp = commit_timestamp
            .and_then(|text| time::timestamp(text))
            .ok_or_else(|| Violation::new(Rule::CommitTimestamp, "no readable commit time"))?;
        if record.data.is_none() && operation != Operation::Delete {
            return Err(Violation::new(Rule::Envelope, "a data record without `data`"));
        }
        let aligned = record.data.as_ref().map_or(0, |data| data.aligned_with(&table.columns));
        self.read_cells(record, aligned, columns)?;
        for (key, column) in table.key_columns().enumerate() {
            let before = record.before_image.as_ref().map_or(Ok(None), |before| named(before, column))?;
            columns.old_key(key, before.map_or(Ok(Value::Null), |json| Value::from_json(json, column))?);
        }
        let mark = RowMark {
            operation,
            generation: i32::try_from(position.generation).map_err(|_| unplaced())?,
            commit_lsn: i64::try_from(position.commit_lsn.0).map_err(|_| unplaced())?,
            ordinal: i64::try_from(position.ordinal).map_err(|_| unplaced())?,
            commit_timestamp,
        };
        // Last: only values of a row that is kept were ignored.
        if let Some(data) = &record.data {
            let matched = table.columns[aligned..].iter().filter(|column| data.find(&column.name).is_some()).count();
            let former = self.former_names.iter().filter(|name| data.find(name).is_some()).count();
            *extra_values += data.len().saturating_sub(aligned + matched + former) as u64;
        }
        Ok(mark)
    }

    fn read_cells(&self, record: &DmsRecord<'_>, aligned: usize, columns: &mut BronzeColumns) -> Result<(), Violation> {
        let is_delete = record.metadata.operation == Operation::Delete;
        let before = |column: &Column| record.before_image.as_ref().map_or(Ok(None), |image| named(image, column));
        for (at, column) in self.table.columns.iter().enumerate() {
            let member = || match record.data.as_ref() {
                Some(data) => or_former(data, data.get(at, aligned, column), column),
                None => Ok(None),
            };
            let json = match (is_delete, column.is_key) {
                (true, false) => None,
                (true, true) => match member()?.filter(|json| *json != "null") {
                    None => before(column)?,
                    told => told,
                },
                (false, _) => member()?,
            };
            let value = json.map(|json| Value::from_json(json, column)).transpose()?;
            match (&value, column.is_key) {
                (None | Some(Value::Null), true) => {
                    return Err(Violation::new(Rule::MissingKey, format!("key column `{}` has no value", column.name)));
                }
                (Some(Value::Null), false) if !column.nullable => {
                    return Err(Violation::new(Rule::Null, format!("column `{}` is NULL", column.name)));
                }
                _ => {}
            }
            match value {
                Some(value) => columns.value(at, value),
                None => columns.absent(at),
            }
        }
        Ok(())
    }
}

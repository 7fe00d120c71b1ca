//! DMS envelopes to rows, one at a time, through the contract's own type.

use std::io::Read;

use lakebed_contract::envelope::{ColumnValues, Envelope, Operation, RecordType};
use lakebed_contract::{Column, TableContract};
use serde::Deserialize;

use super::json::Documents;
use super::record::{Cell, Record, RecordSource, Row};
use crate::engine::record::{AWSDMS_RECORD, CONTROL_RECORD, Rule, Violation};
use crate::engine::value::Value;
use crate::engine::{EngineError, time};

/// Rows of one JSON object.
pub(in crate::engine) struct JsonRows<'t, R> {
    documents: Documents<R>,
    table: &'t TableContract,
    /// The record that the last row borrows from.
    envelope: Option<Envelope>,
    extra_values: u64,
}

impl<'t, R: Read> JsonRows<'t, R> {
    pub(in crate::engine) fn new(source: R, table: &'t TableContract) -> Self {
        Self { documents: Documents::new(source), table, envelope: None, extra_values: 0 }
    }
}

impl<R: Read> RecordSource for JsonRows<'_, R> {
    fn next(&mut self) -> Result<Option<Record<'_>>, EngineError> {
        let Some((offset, document)) = self.documents.next()? else { return Ok(None) };
        let syntax = |why: &str| Violation::new(Rule::JsonSyntax, format!("{why} (document at byte {offset})"));
        let document = match document {
            Ok(document) => document,
            Err(why) => return Ok(Some(Record::Bad(syntax(why)))),
        };
        let Ok(text) = std::str::from_utf8(document) else {
            let violation = Violation::new(Rule::Encoding, format!("not UTF-8 (document at byte {offset})"));
            return Ok(Some(Record::Bad(violation)));
        };
        match serde_json::from_str(text) {
            Ok(envelope) => self.envelope = Some(envelope),
            // The parser's own words may quote the document, so only their kind is kept.
            Err(error) if error.is_data() => return Ok(Some(read_sketch(text))),
            Err(_) => return Ok(Some(Record::Bad(syntax("not JSON")))),
        }
        let envelope = self.envelope.as_ref().expect("just set");
        if let Some(rule) = drop_rule(&envelope.metadata.schema_name, &envelope.metadata.table_name) {
            return Ok(Some(Record::Dropped(rule)));
        }
        let operation = envelope.metadata.operation;
        if envelope.metadata.record_type == RecordType::Control || !operation.is_data() {
            return Ok(Some(Record::Dropped(CONTROL_RECORD)));
        }
        Ok(Some(match read_row(self.table, envelope, &mut self.extra_values) {
            Ok(row) => Record::Good(row),
            Err(violation) => Record::Bad(violation.of(operation)),
        }))
    }

    fn extra_values(&self) -> u64 {
        self.extra_values
    }
}

fn drop_rule(schema: &str, table: &str) -> Option<&'static str> {
    (schema.is_empty() || table.starts_with("awsdms_")).then_some(AWSDMS_RECORD)
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

fn read_sketch(text: &str) -> Record<'static> {
    let Ok(Sketch { metadata }) = serde_json::from_str(text) else {
        return Record::Bad(Violation::new(Rule::Envelope, "not a DMS record"));
    };
    if let Some(rule) = drop_rule(&metadata.schema_name, &metadata.table_name) {
        return Record::Dropped(rule);
    }
    if metadata.record_type == "control" {
        return Record::Dropped(CONTROL_RECORD);
    }
    let known = serde_json::from_value::<Operation>(metadata.operation.into()).is_ok();
    Record::Bad(if known {
        Violation::new(Rule::Envelope, "not a DMS data record")
    } else {
        Violation::new(Rule::UnknownOperation, "`metadata.operation` is none of load, insert, update, delete")
    })
}

fn read_row<'a>(table: &TableContract, envelope: &'a Envelope, extra_values: &mut u64) -> Result<Row<'a>, Violation> {
    let metadata = &envelope.metadata;
    let operation = metadata.operation;
    if metadata.table_name != table.name || metadata.schema_name != table.schema {
        return Err(Violation::new(
            Rule::OtherTable,
            format!("the record is not of `{}.{}`", table.schema, table.name),
        ));
    }
    let unplaced = || Violation::new(Rule::Position, "no readable `stream-position`");
    let position = envelope.position().map_err(|_| unplaced())?;
    let commit_timestamp = match operation {
        Operation::Load => Some(&metadata.timestamp),
        _ => metadata.commit_timestamp.as_ref(),
    };
    let commit_timestamp = commit_timestamp
        .and_then(|text| time::timestamp(text))
        .ok_or_else(|| Violation::new(Rule::CommitTimestamp, "no readable commit time"))?;
    if envelope.data.is_none() && operation != Operation::Delete {
        return Err(Violation::new(Rule::Envelope, "a data record without `data`"));
    }
    let cells = read_cells(table, envelope)?;
    let members = envelope.data.as_ref().map_or(0, |data| data.0.len());
    let matched = envelope
        .data
        .as_ref()
        .map_or(0, |data| table.columns.iter().filter(|column| data.get(&column.name).is_some()).count());
    *extra_values += members.saturating_sub(matched) as u64;
    let old_keys = table.key_columns().map(|column| {
        let before = envelope.before_image.as_ref().and_then(|before| before.get(&column.name));
        before.map_or(Ok(Value::Null), |json| Value::from_json(json, column))
    });
    Ok(Row {
        cells,
        old_keys: old_keys.collect::<Result<_, _>>()?,
        operation,
        generation: i32::try_from(position.generation).map_err(|_| unplaced())?,
        commit_lsn: i64::try_from(position.commit_lsn.0).map_err(|_| unplaced())?,
        ordinal: i64::try_from(position.ordinal).map_err(|_| unplaced())?,
        commit_timestamp,
    })
}

fn read_cells<'a>(table: &TableContract, envelope: &'a Envelope) -> Result<Vec<Cell<'a>>, Violation> {
    let is_delete = envelope.metadata.operation == Operation::Delete;
    let member = |image: &'a Option<ColumnValues>, column: &Column| image.as_ref()?.get(&column.name);
    let mut cells = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        let json = match (is_delete, column.is_key) {
            (true, false) => None,
            (true, true) => member(&envelope.data, column)
                .filter(|json| *json != "null")
                .or_else(|| member(&envelope.before_image, column)),
            (false, _) => member(&envelope.data, column),
        };
        let cell = json.map_or(Ok(Cell::Absent), |json| Value::from_json(json, column).map(Cell::Value))?;
        match (&cell, column.is_key) {
            (Cell::Absent | Cell::Value(Value::Null), true) => {
                return Err(Violation::new(Rule::MissingKey, format!("key column `{}` has no value", column.name)));
            }
            (Cell::Value(Value::Null), false) if !column.nullable => {
                return Err(Violation::new(Rule::Null, format!("column `{}` is NULL", column.name)));
            }
            _ => cells.push(cell),
        }
    }
    Ok(cells)
}

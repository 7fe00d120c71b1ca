//! DMS envelopes to rows, one at a time, through the contract's own type.

use std::collections::BTreeSet;

use lakebed_contract::envelope::{ColumnValues, Envelope, Operation, RecordType};
use lakebed_contract::{Column, TableContract};

use super::json::Documents;
use super::record::{Cell, Record, RecordSource, Row};
use crate::engine::control_records::{self, ControlRecord, SCHEMA_CHANGES_MAX};
use crate::engine::json_rows::{drop_rule, read_sketch, two_values};
use crate::engine::record::{CONTROL_RECORD, Rule, Violation};
use crate::engine::value::Value;
use crate::engine::{EngineError, time};

/// Rows of one JSON object.
pub(in crate::engine) struct JsonRows<'b> {
    documents: Documents<'b>,
    table: &'b TableContract,
    /// The record that the last row borrows from.
    envelope: Option<Envelope>,
    extra_values: u64,
    schema_changes: BTreeSet<String>,
}

impl<'b> JsonRows<'b> {
    pub(in crate::engine) fn new(bytes: &'b [u8], table: &'b TableContract) -> Self {
        Self {
            documents: Documents::new(bytes),
            table,
            envelope: None,
            extra_values: 0,
            schema_changes: BTreeSet::new(),
        }
    }
}

impl RecordSource for JsonRows<'_> {
    fn next(&mut self) -> Result<Option<Record<'_>>, EngineError> {
        let Some((offset, document)) = self.documents.next() else { return Ok(None) };
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
            Err(error) if error.is_data() => {
                return Ok(Some(match read_sketch(text) {
                    Ok(rule) => Record::Dropped(rule),
                    Err(violation) => Record::Bad(violation),
                }));
            }
            Err(_) => return Ok(Some(Record::Bad(syntax("not JSON")))),
        }
        let envelope = self.envelope.as_ref().expect("just set");
        if let Some(rule) = drop_rule(&envelope.metadata.schema_name, &envelope.metadata.table_name) {
            return Ok(Some(Record::Dropped(rule)));
        }
        let operation = envelope.metadata.operation;
        if envelope.metadata.record_type == RecordType::Control || !operation.is_data() {
            let control = ControlRecord {
                schema: &envelope.metadata.schema_name,
                table: &envelope.metadata.table_name,
                operation,
                details: envelope.control.as_ref(),
            };
            let changes = control.changes(self.table);
            self.schema_changes.extend(changes.iter().map(ToString::to_string));
            let conflict = control_records::conflict(&changes, operation);
            return Ok(Some(conflict.map_or(Record::Dropped(CONTROL_RECORD), Record::Bad)));
        }
        Ok(Some(match read_row(self.table, envelope, &mut self.extra_values) {
            Ok(row) => Record::Good(row),
            Err(violation) => Record::Bad(violation.of(operation)),
        }))
    }

    fn offset(&self) -> u64 {
        self.documents.start()
    }

    fn extra_values(&self) -> u64 {
        self.extra_values
    }

    fn schema_changes(&self) -> BTreeSet<String> {
        self.schema_changes.iter().take(SCHEMA_CHANGES_MAX).cloned().collect()
    }
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
    let old_keys = table.key_columns().map(|column| {
        let before = told(&envelope.before_image, column)?;
        before.map_or(Ok(Value::Null), |json| Value::from_json(json, column))
    });
    let row = Row {
        cells,
        old_keys: old_keys.collect::<Result<_, _>>()?,
        operation,
        generation: i32::try_from(position.generation).map_err(|_| unplaced())?,
        commit_lsn: i64::try_from(position.commit_lsn.0).map_err(|_| unplaced())?,
        ordinal: i64::try_from(position.ordinal).map_err(|_| unplaced())?,
        commit_timestamp,
    };
    if let Some(data) = &envelope.data {
        let matched = data_names(table).filter(|name| data.get(name).is_some()).count();
        *extra_values += data.0.len().saturating_sub(matched) as u64;
    }
    Ok(row)
}

/// Every name that a member may have to be a column's.
fn data_names(table: &TableContract) -> impl Iterator<Item = &String> {
    table.columns.iter().flat_map(|column| std::iter::once(&column.name).chain(&column.former_names))
}

/// What an image says of a column, if its names agree.
fn told<'a>(image: &'a Option<ColumnValues>, column: &Column) -> Result<Option<&'a str>, Violation> {
    let names = std::iter::once(&column.name).chain(&column.former_names);
    let mut told: Vec<&str> = names.filter_map(|name| image.as_ref()?.get(name)).collect();
    told.dedup();
    match told[..] {
        [] => Ok(None),
        [one] => Ok(Some(one)),
        _ => Err(two_values(column)),
    }
}

fn read_cells<'a>(table: &TableContract, envelope: &'a Envelope) -> Result<Vec<Cell<'a>>, Violation> {
    let is_delete = envelope.metadata.operation == Operation::Delete;
    let mut cells = Vec::with_capacity(table.columns.len());
    for column in &table.columns {
        let json = match (is_delete, column.is_key) {
            (true, false) => None,
            (true, true) => match told(&envelope.data, column)? {
                None | Some("null") => told(&envelope.before_image, column)?,
                json => json,
            },
            (false, _) => told(&envelope.data, column)?,
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

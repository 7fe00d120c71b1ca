//! CSV records to rows, one at a time.

use std::borrow::Cow;
use std::io::Read;

use lakebed_contract::envelope::Operation;
use lakebed_contract::{Column, Position, TableContract};

use super::csv::{Fields, Reader};
use super::record::{Cell, Record, RecordSource, Row};
use crate::engine::csv_plan::{CellSource, CsvFormat, FieldTransform, Plan};
use crate::engine::encoding::Encoding;
use crate::engine::record::{Rule, Violation};
use crate::engine::value::{Value, wrong_type};
use crate::engine::{EngineError, Job};

/// Rows of one CSV object.
pub(in crate::engine) struct CsvRows<'t, R> {
    records: Reader<R>,
    table: &'t TableContract,
    format: &'t CsvFormat,
    plan: Plan<'t>,
    /// Fields of a whole record; `None` until the first record of a file without header.
    width: Option<usize>,
    generation: i32,
    commit_timestamp: i64,
    extra_values: u64,
}

impl<'t, R: Read> CsvRows<'t, R> {
    pub(in crate::engine) fn open(source: R, format: &'t CsvFormat, job: &Job<'t>) -> Result<Self, EngineError> {
        let mut records = Reader::new(source, format.delimiter);
        let mut width = None;
        let plan = if format.header {
            let header = match records.next()? {
                None => Vec::new(),
                Some(Err(why)) => return Err(EngineError::unreadable(format!("the header is not CSV: {why}"))),
                Some(Ok(fields)) => read_header(fields, format.encoding)?,
            };
            width = Some(header.len());
            Plan::by_header(job.table, format, &header)?
        } else {
            Plan::by_number(job.table, format)?
        };
        let generation = i32::try_from(Position::load(job.generation).generation)
            .map_err(|_| EngineError::unreadable("the generation in the key is out of range"))?;
        Ok(Self {
            records,
            table: job.table,
            format,
            plan,
            width,
            generation,
            commit_timestamp: job.last_modified,
            extra_values: 0,
        })
    }
}

fn read_header(fields: &Fields, encoding: Encoding) -> Result<Vec<String>, EngineError> {
    let names = (0..fields.len()).filter_map(|at| fields.get(at));
    let names = names.map(|(bytes, _)| encoding.decode(bytes).map(Cow::into_owned));
    names
        .collect::<Option<_>>()
        .ok_or_else(|| EngineError::unreadable("the header is not text in the object's encoding"))
}

impl<R: Read> RecordSource for CsvRows<'_, R> {
    fn next(&mut self) -> Result<Option<Record<'_>>, EngineError> {
        let Some(record) = self.records.next()? else { return Ok(None) };
        let fields = match record {
            Ok(fields) => fields,
            Err(why) => return Ok(Some(Record::Bad(Violation::new(Rule::CsvSyntax, why).of(Operation::Load)))),
        };
        let width = *self.width.get_or_insert(fields.len());
        if fields.len() != width {
            let reason = format!("{} fields, expected {width}", fields.len());
            return Ok(Some(Record::Bad(Violation::new(Rule::FieldCount, reason).of(Operation::Load))));
        }
        let cells = self.table.columns.iter().zip(&self.plan.cells);
        let cells = cells.map(|(column, source)| read_cell(column, source, fields, self.format));
        Ok(Some(match cells.collect::<Result<Vec<_>, _>>() {
            Err(violation) => Record::Bad(violation.of(Operation::Load)),
            Ok(cells) => {
                self.extra_values += self.plan.extra_columns;
                Record::Good(Row {
                    cells,
                    old_keys: vec![Value::Null; self.table.key_columns().count()],
                    operation: Operation::Load,
                    generation: self.generation,
                    commit_lsn: 0,
                    ordinal: 0,
                    commit_timestamp: self.commit_timestamp,
                })
            }
        }))
    }

    fn offset(&self) -> u64 {
        self.records.start()
    }

    fn extra_values(&self) -> u64 {
        self.extra_values
    }
}

fn read_cell<'a>(
    column: &Column,
    source: &CellSource<'a>,
    fields: &'a Fields,
    format: &CsvFormat,
) -> Result<Cell<'a>, Violation> {
    let value = match source {
        CellSource::Absent if !column.nullable => {
            let reason = format!("the header lacks column `{}`", column.name);
            return Err(Violation::new(Rule::MissingColumn, reason));
        }
        CellSource::Absent => return Ok(Cell::Absent),
        CellSource::Null => Value::Null,
        CellSource::Constant(value) => value.clone().ok_or_else(|| wrong_type(column))?,
        CellSource::Field(at, transform) => {
            let missing = || Violation::new(Rule::FieldCount, format!("no field for column `{}`", column.name));
            let (bytes, quoted) = fields.get(*at).ok_or_else(missing)?;
            let is_null =
                !quoted && (bytes.is_empty() || format.null.as_ref().is_some_and(|null| null.as_bytes() == bytes));
            if is_null { Value::Null } else { read_field(column, bytes, *transform, format.encoding)? }
        }
    };
    if value == Value::Null && !column.nullable {
        let rule = if column.is_key { Rule::MissingKey } else { Rule::Null };
        return Err(Violation::new(rule, format!("column `{}` is NULL", column.name)));
    }
    Ok(Cell::Value(value))
}

fn read_field<'a>(
    column: &Column,
    bytes: &'a [u8],
    transform: Option<FieldTransform>,
    encoding: Encoding,
) -> Result<Value<'a>, Violation> {
    let undecodable =
        || Violation::new(Rule::Encoding, format!("column `{}` is not text in the object's encoding", column.name));
    let text = encoding.decode(bytes).ok_or_else(undecodable)?;
    let value = match transform {
        Some(transform) => transform.apply(&text),
        None => Value::parse(text, column.column_type),
    };
    value.ok_or_else(|| wrong_type(column))
}

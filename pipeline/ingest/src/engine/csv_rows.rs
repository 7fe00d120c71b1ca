//! CSV records to rows of a full load.
//!
//! Columns are found by header name, or through a mapping. Without a mapping a contract column that the header lacks is
//! absent, and a violation of every row if it is required; header columns beyond the contract are ignored and counted. With a
//! mapping, columns it does not fill are NULL.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read;

use lakebed_contract::envelope::Operation;
use lakebed_contract::{Column, Position, TableContract};
use sha2::{Digest, Sha256};

use super::csv::{Fields, Reader};
use super::encoding::Encoding;
use super::record::{Cell, Record, RecordSource, Row, Rule, Violation};
use super::value::{Value, wrong_type};
use super::{EngineError, Job};

/// How a CSV object is written and where its columns belong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CsvFormat {
    /// Encoding of the text.
    pub encoding: Encoding,
    /// Field separator.
    pub delimiter: u8,
    /// Whether the first record names the columns; without, columns are named `1`, `2`, ….
    pub header: bool,
    /// An unquoted text that means NULL, beside the empty one.
    pub null: Option<String>,
    /// Contract column → where its values come from; `None`: from the header column of the same name.
    pub columns: Option<BTreeMap<String, ColumnSource>>,
}

impl Default for CsvFormat {
    /// A Postgres export: UTF-8, commas, a header with the contract's names.
    fn default() -> Self {
        Self { encoding: Encoding::Utf8, delimiter: b',', header: true, null: None, columns: None }
    }
}

/// Where the values of a contract column come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnSource {
    /// A column of the file.
    Column {
        /// Its name in the header.
        name: String,
        /// What is done to it.
        transform: Option<FieldTransform>,
    },
    /// The same text in every row.
    Constant(String),
}

/// What may be done to a field before it is read as its column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldTransform {
    /// Seconds since 1970 to an instant.
    EpochSeconds,
    /// A natural key to a stable positive number: 63 bits of the SHA-256 of its UTF-8 text. Empty is NULL.
    Hash63,
}

impl FieldTransform {
    fn apply<'a>(self, text: &str) -> Option<Value<'a>> {
        match self {
            Self::EpochSeconds => Value::from_epoch_seconds(text),
            Self::Hash63 => Some(hash63(text).map_or(Value::Null, Value::Bigint)),
        }
    }
}

fn hash63(text: &str) -> Option<i64> {
    if text.is_empty() {
        return None;
    }
    let digest = Sha256::digest(text.as_bytes());
    let first = u64::from_be_bytes(digest[..8].try_into().expect("a SHA-256 digest has 32 bytes"));
    Some(((first >> 1) as i64).max(1))
}

/// Rows of one CSV object.
pub(super) struct CsvRows<'t, R> {
    records: Reader<R>,
    table: &'t TableContract,
    format: &'t CsvFormat,
    plan: Plan<'t>,
    generation: i32,
    commit_timestamp: i64,
    extra_values: u64,
}

/// Where each contract column lies in this object.
struct Plan<'t> {
    cells: Vec<CellSource<'t>>,
    /// Fields of a whole record; `None` until the first record of a file without header.
    width: Option<usize>,
    extra_columns: u64,
}

enum CellSource<'t> {
    Field(usize, Option<FieldTransform>),
    Constant(&'t str),
    Null,
    Absent,
}

impl<'t, R: Read> CsvRows<'t, R> {
    pub(super) fn open(source: R, format: &'t CsvFormat, job: &Job<'t>) -> Result<Self, EngineError> {
        let mut records = Reader::new(source, format.delimiter);
        let plan = if format.header {
            let header = match records.next()? {
                None => Vec::new(),
                Some(Err(why)) => return Err(EngineError::unreadable(format!("the header is not CSV: {why}"))),
                Some(Ok(fields)) => read_header(fields, format.encoding)?,
            };
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

impl<'t> Plan<'t> {
    fn by_header(table: &'t TableContract, format: &'t CsvFormat, header: &[String]) -> Result<Self, EngineError> {
        // An empty object has no header and no rows to miss one.
        let locate = |name: &str| {
            let mut found = header.iter().enumerate().filter(|(_, column)| *column == name).map(|(at, _)| at);
            match (found.next(), found.next()) {
                (_, Some(_)) => Err(EngineError::unreadable(format!("the header names column `{name}` twice"))),
                (first, None) => Ok(first),
            }
        };
        let plan = Self::new(table, format, locate, !header.is_empty())?;
        let extra_columns = match format.columns {
            Some(_) => 0,
            None => header.iter().filter(|name| table.column(name).is_none()).count() as u64,
        };
        Ok(Self { width: Some(header.len()), extra_columns, ..plan })
    }

    fn by_number(table: &'t TableContract, format: &'t CsvFormat) -> Result<Self, EngineError> {
        let locate = |name: &str| match name.parse::<usize>() {
            Ok(number) if number > 0 => Ok(Some(number - 1)),
            _ => Err(EngineError::unreadable(format!("without a header, column `{name}` must be a number from 1"))),
        };
        Self::new(table, format, locate, true)
    }

    fn new(
        table: &'t TableContract,
        format: &'t CsvFormat,
        locate: impl Fn(&str) -> Result<Option<usize>, EngineError>,
        has_rows: bool,
    ) -> Result<Self, EngineError> {
        let mut cells = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            cells.push(match &format.columns {
                None => locate(&column.name)?.map_or(CellSource::Absent, |at| CellSource::Field(at, None)),
                Some(mapped) => match mapped.get(&column.name) {
                    None => CellSource::Null,
                    Some(ColumnSource::Constant(text)) => CellSource::Constant(text),
                    Some(ColumnSource::Column { name, transform }) => match locate(name)? {
                        Some(at) => CellSource::Field(at, *transform),
                        None if has_rows => {
                            return Err(EngineError::unreadable(format!(
                                "the header lacks column `{name}`, which the mapping gives to `{}`",
                                column.name
                            )));
                        }
                        None => CellSource::Null,
                    },
                },
            });
        }
        Ok(Self { cells, width: None, extra_columns: 0 })
    }
}

impl<R: Read> RecordSource for CsvRows<'_, R> {
    fn next(&mut self) -> Result<Option<Record<'_>>, EngineError> {
        let Some(record) = self.records.next()? else { return Ok(None) };
        let fields = match record {
            Ok(fields) => fields,
            Err(why) => return Ok(Some(Record::Bad(Violation::new(Rule::CsvSyntax, why).of(Operation::Load)))),
        };
        let width = *self.plan.width.get_or_insert(fields.len());
        if fields.len() != width {
            let reason = format!("{} fields, expected {width}", fields.len());
            return Ok(Some(Record::Bad(Violation::new(Rule::FieldCount, reason).of(Operation::Load))));
        }
        self.extra_values += self.plan.extra_columns;
        let cells = self.table.columns.iter().zip(&self.plan.cells);
        let cells = cells.map(|(column, source)| read_cell(column, source, fields, self.format));
        Ok(Some(match cells.collect::<Result<Vec<_>, _>>() {
            Err(violation) => Record::Bad(violation.of(Operation::Load)),
            Ok(cells) => Record::Good(Row {
                cells,
                old_keys: vec![Value::Null; self.table.key_columns().count()],
                operation: Operation::Load,
                generation: self.generation,
                commit_lsn: 0,
                ordinal: 0,
                commit_timestamp: self.commit_timestamp,
            }),
        }))
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
        CellSource::Constant(text) => {
            Value::parse(Cow::Borrowed(text), column.column_type).ok_or_else(|| wrong_type(column))?
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Expected values computed with Python's `hashlib`, not with this code.
    #[test]
    fn natural_keys_have_stable_numbers() {
        assert_eq!(hash63("chaunur"), Some(1_299_108_538_725_267_675));
        assert_eq!(hash63("José"), Some(1_324_433_992_104_465_855));
        assert_eq!(hash63(""), None);
    }
}

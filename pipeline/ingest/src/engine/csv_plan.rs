//! Where the columns of a contract lie in a CSV object.
//!
//! Columns are found by header name, present or former, by number, or through a mapping. Without a mapping a contract column that
//! the header lacks is absent; header columns beyond the contract are ignored and counted. With a mapping, columns it does not fill are NULL.
//! Knows no rows.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lakebed_contract::TableContract;
use sha2::{Digest, Sha256};

use super::EngineError;
use super::encoding::Encoding;
use super::value::Value;

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
    pub(super) fn apply<'a>(self, text: &str) -> Option<Value<'a>> {
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

/// Where each contract column lies in this object.
pub(super) struct Plan<'t> {
    /// One per contract column.
    pub(super) cells: Vec<CellSource<'t>>,
    /// Columns of the file that the contract does not have.
    pub(super) extra_columns: u64,
}

/// Where the values of one contract column come from.
pub(super) enum CellSource<'t> {
    /// A field of the record, by its number from 0.
    Field(usize, Option<FieldTransform>),
    /// The same value in every row; `None`: the text is no value of the column's type.
    Constant(Option<Value<'t>>),
    /// NULL in every row.
    Null,
    /// Not in the object.
    Absent,
}

/// Memory of a row beside its contract columns, or a little more: operation, position, times, and what marks NULL.
const ROW_BYTES: usize = 64;
/// Memory of a value, or a little more: a number or the place of a text.
const VALUE_BYTES: usize = 16;

impl<'t> Plan<'t> {
    /// Whether every column is a field of the record as it stands there.
    pub(super) fn is_plain(&self) -> bool {
        self.cells.iter().all(|cell| matches!(cell, CellSource::Field(_, None)))
    }

    /// Bytes of a block whose rows fit in `memory`, whatever they are, but for the text of their fields: a record may be a few bytes,
    /// and its row have the names of all columns that it lacks.
    pub(super) fn block_bytes_max(&self, table: &TableContract, memory: usize) -> usize {
        let (mut row, mut record) = (ROW_BYTES, 1);
        for (column, cell) in table.columns.iter().zip(&self.cells) {
            row += VALUE_BYTES * if column.is_key { 2 } else { 1 };
            match cell {
                CellSource::Absent => row += column.name.len() + 1,
                CellSource::Constant(Some(Value::Text(text))) => row += text.len(),
                // As many delimiters, or the end of the line, stand in every record that has the field. Its text is as long here as
                // there, and three times that at the most where letters of one byte become three.
                CellSource::Field(at, _) => record = record.max(at + 1),
                CellSource::Constant(_) | CellSource::Null => {}
            }
        }
        (memory / row).saturating_mul(record)
    }

    pub(super) fn by_header(
        table: &'t TableContract,
        format: &'t CsvFormat,
        header: &[String],
    ) -> Result<Self, EngineError> {
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
            None => header.iter().filter(|name| table.column_called(name).is_none()).count() as u64,
        };
        Ok(Self { extra_columns, ..plan })
    }

    pub(super) fn by_number(table: &'t TableContract, format: &'t CsvFormat) -> Result<Self, EngineError> {
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
                None => {
                    let former_names = if format.header { column.former_names.as_slice() } else { &[] };
                    let at = one_place(&column.name, former_names, &locate)?;
                    at.map_or(CellSource::Absent, |at| CellSource::Field(at, None))
                }
                Some(mapped) => match mapped.get(&column.name) {
                    None => CellSource::Null,
                    Some(ColumnSource::Constant(text)) => {
                        CellSource::Constant(Value::parse(Cow::Borrowed(text), column.column_type))
                    }
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
        Ok(Self { cells, extra_columns: 0 })
    }
}

/// Where a column lies that the header may call by a former name, but by one name only.
fn one_place(
    name: &str,
    former_names: &[String],
    locate: impl Fn(&str) -> Result<Option<usize>, EngineError>,
) -> Result<Option<usize>, EngineError> {
    let mut place = locate(name)?.map(|at| (name, at));
    for former in former_names {
        match (place, locate(former)?) {
            (Some((one, _)), Some(_)) => {
                let reason = format!("the header names column `{name}` twice: as `{one}` and as `{former}`");
                return Err(EngineError::unreadable(reason));
            }
            (None, Some(at)) => place = Some((former.as_str(), at)),
            (_, None) => {}
        }
    }
    Ok(place.map(|(_, at)| at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_rows_that_outgrow_their_records_are_small() {
        let mut lake = lakebed_contract::Lake::beer();
        let table = lake.tables.iter_mut().find(|table| table.name == "brewery").expect("a beer table");
        let format = CsvFormat::default();
        let bytes = |table: &TableContract, header: &[&str]| {
            let header: Vec<String> = header.iter().map(|&name| name.to_owned()).collect();
            Plan::by_header(table, &format, &header).expect("a plan").block_bytes_max(table, 1 << 20)
        };
        let whole = bytes(table, &["brewery_id", "brewery_name", "city", "state"]);
        let lone = bytes(table, &["brewery_id"]);
        assert!(lone < whole / 3, "a record of one field is a fourth of the size");
        let nullable = table.columns.last().expect("columns").clone();
        let absent =
            |at| lakebed_contract::Column { name: format!("a_column_of_some_length_{at}"), ..nullable.clone() };
        table.columns.extend((0..200).map(absent));
        // 200 names and values of 40 bytes in each row, and one byte of record: a hundred rows in a MiB.
        assert!((64..256).contains(&bytes(table, &["brewery_id"])));
    }

    /// Expected values computed with Python's `hashlib`, not with this code.
    #[test]
    fn natural_keys_have_stable_numbers() {
        assert_eq!(hash63("chaunur"), Some(1_299_108_538_725_267_675));
        assert_eq!(hash63("José"), Some(1_324_433_992_104_465_855));
        assert_eq!(hash63(""), None);
    }
}

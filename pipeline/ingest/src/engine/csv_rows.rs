//! CSV records to rows of a full load.
//!
//! Records are read by the chunk, column by column, and where that says no, one by one: only there something is said of a record.
//! The header is read on the way; what it says of the columns is in `csv_plan`. A required column that the header lacks is a
//! violation of every row.

use std::borrow::Cow;
use std::io::Read;

use lakebed_contract::envelope::Operation;
use lakebed_contract::{Column, Position, TableContract};

use super::block::{Block, Blocks};
use super::columns::{BronzeColumns, Refused, RowMark};
use super::csv::{Content, CsvCutter, Fields, Records};
use super::csv_chunk::Chunk;
use super::csv_plan::{CellSource, CsvFormat, FieldTransform, Plan};
use super::encoding::Encoding;
use super::record::{Parse, Rule, Tally, Violation};
use super::value::{Value, wrong_type};
use super::{EngineError, Job};

/// Bytes of the first block, before anything is known of the columns.
const HEADER_BLOCK_BYTES: usize = 16 * 1024;
/// Memory that the rows of a block may take. Rows are larger than their records where columns are absent, or the same in every row.
const ROWS_OF_BLOCK_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The blocks of one CSV object, and what its rows are read by.
pub(super) struct CsvObject<'t, R> {
    pub(super) blocks: CsvBlocks<R>,
    pub(super) rows: CsvRows<'t>,
}

/// Blocks without the header, each with the width of a record as far as it is known.
pub(super) struct CsvBlocks<R> {
    blocks: Blocks<R, CsvCutter>,
    delimiter: u8,
    /// What follows the header in its block.
    first: Option<Block>,
    width: Option<usize>,
}

/// Reads the rows of one CSV object.
pub(super) struct CsvRows<'t> {
    table: &'t TableContract,
    format: &'t CsvFormat,
    plan: Plan<'t>,
    key_columns: usize,
    mark: RowMark,
}

impl<'t, R: Read> CsvObject<'t, R> {
    pub(super) fn open(
        source: R,
        format: &'t CsvFormat,
        job: &Job<'t>,
        block_bytes: usize,
    ) -> Result<Self, EngineError> {
        let mut blocks = CsvBlocks::open(source, format.delimiter, block_bytes.min(HEADER_BLOCK_BYTES));
        let plan = if format.header {
            Plan::by_header(job.table, format, &blocks.read_header(format.encoding)?)?
        } else {
            Plan::by_number(job.table, format)?
        };
        blocks.blocks.set_block_bytes(block_bytes.min(plan.block_bytes_max(job.table, ROWS_OF_BLOCK_BYTES_MAX)));
        let generation = i32::try_from(Position::load(job.generation).generation)
            .map_err(|_| EngineError::unreadable("the generation in the key is out of range"))?;
        let mark = RowMark {
            operation: Operation::Load,
            generation,
            commit_lsn: 0,
            ordinal: 0,
            commit_timestamp: job.last_modified,
        };
        let rows = CsvRows { table: job.table, format, plan, key_columns: job.table.key_columns().count(), mark };
        Ok(Self { blocks, rows })
    }
}

impl<R: Read> CsvBlocks<R> {
    pub(super) fn open(source: R, delimiter: u8, block_bytes: usize) -> Self {
        let blocks = Blocks::new(source, CsvCutter::new(delimiter), block_bytes);
        Self { blocks, delimiter, first: None, width: None }
    }

    /// The next block, in `buffer`.
    pub(super) fn next(&mut self, buffer: Vec<u8>) -> Result<Option<Block>, EngineError> {
        let block = match self.first.take() {
            Some(block) => Some(block),
            None => self.blocks.next(buffer)?,
        };
        let Some(mut block) = block else { return Ok(None) };
        block.width = self.width;
        if self.width.is_none() {
            let mut records = Records::new(block.bytes(), self.delimiter, None);
            while records.width.is_none() && records.next(&mut Fields::default()).is_some() {}
            self.width = records.width;
        }
        Ok(Some(block))
    }

    /// Reads the first record as names; an object without any has none.
    fn read_header(&mut self, encoding: Encoding) -> Result<Vec<String>, EngineError> {
        self.first_record(|fields, block| read_header(fields, block, encoding))
    }

    /// Leaves out the first record, whatever it is.
    pub(super) fn skip_header(&mut self) -> Result<(), EngineError> {
        self.first_record(|_, _| Ok(Vec::new())).map(drop)
    }

    fn first_record(
        &mut self,
        names: impl Fn(&Fields, &[u8]) -> Result<Vec<String>, EngineError>,
    ) -> Result<Vec<String>, EngineError> {
        let no_csv = |why| EngineError::unreadable(format!("the header is not CSV: {why}"));
        let mut fields = Fields::default();
        while let Some(mut block) = self.blocks.next(Vec::new())? {
            if let Some(why) = block.broken {
                return Err(no_csv(why));
            }
            let mut records = Records::new(block.bytes(), self.delimiter, None);
            let Some(record) = records.next(&mut fields) else { continue };
            record.map_err(no_csv)?;
            let (names, position) = (names(&fields, block.bytes())?, records.position());
            block.skip(position);
            self.width = Some(fields.len());
            self.first = Some(block);
            return Ok(names);
        }
        self.width = Some(0);
        Ok(Vec::new())
    }
}

fn read_header(fields: &Fields, block: &[u8], encoding: Encoding) -> Result<Vec<String>, EngineError> {
    let names = (0..fields.len()).filter_map(|at| fields.get(block, at));
    let names = names.map(|(content, _)| encoding.decode(content.bytes()).map(Cow::into_owned));
    names
        .collect::<Option<_>>()
        .ok_or_else(|| EngineError::unreadable("the header is not text in the object's encoding"))
}

impl Parse for CsvRows<'_> {
    fn parse(&self, block: &Block, columns: &mut BronzeColumns, tally: &mut Tally) {
        if let Some(why) = block.broken {
            tally.begin(block.offset);
            return tally.violation(Violation::new(Rule::CsvSyntax, why).of(Operation::Load));
        }
        let bytes = block.bytes();
        // Checked once for all fields, where it holds for all.
        let text = self.format.encoding.has_utf8_fields().then(|| simdutf8::basic::from_utf8(bytes).ok()).flatten();
        let mut records = Records::new(bytes, self.format.delimiter, block.width);
        let (mut fields, mut chunk) = (Fields::default(), Chunk::default());
        // Without text nothing is read by column: each field is decoded by itself.
        let by_column = text.filter(|_| self.plan.is_plain());
        loop {
            let before = records;
            let read = by_column.map_or(0, |_| chunk.read(&mut records, columns.rows_left()));
            if let Some(text) = by_column
                && read > 0
                && self.read_chunk(&chunk, (bytes, text), columns).is_ok()
            {
                columns.end_rows(read, &self.mark);
                tally.add_good(read);
                tally.extra_values += self.plan.extra_columns * read as u64;
                continue;
            }
            if read > 0 {
                columns.drop_row();
                // With the width as it was: whether an empty line is a record depends on it.
                records = before;
            }
            for _ in 0..read.max(1) {
                let Some(record) = records.next(&mut fields) else { return };
                tally.begin(block.offset + records.start as u64);
                let width = records.width.unwrap_or_default();
                let row = match record {
                    Err(why) => Err(Violation::new(Rule::CsvSyntax, why)),
                    Ok(()) if fields.len() != width => {
                        Err(Violation::new(Rule::FieldCount, format!("{} fields, expected {width}", fields.len())))
                    }
                    Ok(()) => self.read_row(&Record { fields: &fields, bytes, text }, columns),
                };
                self.end_row(row, columns, tally);
            }
        }
    }
}

/// One record and the block it lies in.
struct Record<'a> {
    fields: &'a Fields,
    bytes: &'a [u8],
    /// The block as text, if it is all UTF-8.
    text: Option<&'a str>,
}

impl CsvRows<'_> {
    /// The values of a chunk's records; an error leaves some of them behind.
    fn read_chunk(&self, chunk: &Chunk, block: (&[u8], &str), columns: &mut BronzeColumns) -> Result<(), Refused> {
        for (number, (column, source)) in self.table.columns.iter().zip(&self.plan.cells).enumerate() {
            let CellSource::Field(at, None) = source else { return Err(Refused) };
            let texts = chunk.cells(*at, block, |bytes| self.is_null(bytes)).ok_or(Refused)?;
            columns.texts(number, column.nullable, texts)?;
        }
        Ok(())
    }

    fn end_row(&self, row: Result<(), Violation>, columns: &mut BronzeColumns, tally: &mut Tally) {
        match row {
            Ok(()) => {
                columns.end_row(&self.mark);
                tally.extra_values += self.plan.extra_columns;
            }
            Err(violation) => {
                columns.drop_row();
                tally.violation(violation.of(Operation::Load));
            }
        }
    }

    #[inline]
    fn read_row(&self, record: &Record<'_>, columns: &mut BronzeColumns) -> Result<(), Violation> {
        for (at, (column, source)) in self.table.columns.iter().zip(&self.plan.cells).enumerate() {
            match self.read_cell(column, source, record)? {
                Some(value) => columns.value(at, value),
                None => columns.absent(at),
            }
        }
        (0..self.key_columns).for_each(|key| columns.old_key(key, Value::Null));
        Ok(())
    }

    /// The value of a column; `None` when it is absent.
    #[inline]
    fn read_cell<'a>(
        &'a self,
        column: &Column,
        source: &CellSource<'a>,
        record: &Record<'a>,
    ) -> Result<Option<Value<'a>>, Violation> {
        let value = match source {
            CellSource::Field(at, transform) => {
                let missing = || Violation::new(Rule::FieldCount, format!("no field for column `{}`", column.name));
                let (content, quoted) = record.fields.get(record.bytes, *at).ok_or_else(missing)?;
                if !quoted && self.is_null(content.bytes()) {
                    Value::Null
                } else {
                    self.read_field(column, content, *transform, record)?
                }
            }
            CellSource::Absent if !column.nullable => {
                let reason = format!("the header lacks column `{}`", column.name);
                return Err(Violation::new(Rule::MissingColumn, reason));
            }
            CellSource::Absent => return Ok(None),
            CellSource::Null => Value::Null,
            CellSource::Constant(value) => value.clone().ok_or_else(|| wrong_type(column))?,
        };
        if !column.nullable && value == Value::Null {
            let rule = if column.is_key { Rule::MissingKey } else { Rule::Null };
            return Err(Violation::new(rule, format!("column `{}` is NULL", column.name)));
        }
        Ok(Some(value))
    }

    /// Whether an unquoted field says NULL.
    #[inline]
    fn is_null(&self, bytes: &[u8]) -> bool {
        bytes.is_empty() || self.format.null.as_ref().is_some_and(|null| null.as_bytes() == bytes)
    }

    #[inline]
    fn read_field<'a>(
        &self,
        column: &Column,
        content: Content<'a>,
        transform: Option<FieldTransform>,
        record: &Record<'a>,
    ) -> Result<Value<'a>, Violation> {
        // A field ends beside ASCII bytes, so it is cut out of the text whole.
        let checked = match (record.text, content) {
            (Some(text), Content::Of(start, bytes)) => text.get(start..start + bytes.len()).map(Cow::Borrowed),
            _ => self.format.encoding.decode(content.bytes()),
        };
        let undecodable =
            || Violation::new(Rule::Encoding, format!("column `{}` is not text in the object's encoding", column.name));
        let text = checked.ok_or_else(undecodable)?;
        let value = match transform {
            Some(transform) => transform.apply(&text),
            None => Value::parse(text, column.column_type),
        };
        value.ok_or_else(|| wrong_type(column))
    }
}

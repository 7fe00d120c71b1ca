//! What a record of a raw object becomes: a row, a violation, or nothing, by a named rule; and what counts them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use lakebed_contract::envelope::Operation;

use super::block::Block;
use super::columns::BronzeColumns;
use super::control_records::SchemaNews;

/// What became of the records of one block, beside the rows that are good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Records read.
    pub(super) rows_in: u64,
    /// Where the present record begins in the object's text.
    offset: u64,
    /// Records that broke a rule, in order.
    pub(super) violations: Vec<Misfit>,
    /// Records dropped, by rule.
    pub(super) dropped: BTreeMap<&'static str, u64>,
    /// Values of columns the contract does not have.
    pub(super) extra_values: u64,
    /// What control records say that the contract does not.
    pub(super) schema_news: SchemaNews,
}

/// A record that broke a rule, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// Number in its block, from 1.
    pub(super) number: u64,
    /// Where it begins in the object's text, in bytes.
    pub(super) offset: u64,
    pub(super) violation: Violation,
}

impl Tally {
    /// Counts a record, the present one from here on, which begins at `offset` in the object's text.
    #[inline]
    pub(super) fn begin(&mut self, offset: u64) {
        self.rows_in += 1;
        self.offset = offset;
    }

    /// Counts so many records of which nothing else is to be said.
    pub(super) fn add_good(&mut self, records: usize) {
        self.rows_in += records as u64;
    }

    /// Counts the present record as one that broke a rule.
    pub(super) fn violation(&mut self, violation: Violation) {
        self.violations.push(Misfit { number: self.rows_in, offset: self.offset, violation });
    }

    /// Memory of the violations and of what control records say; everything else is small.
    pub(super) fn memory_bytes(&self) -> usize {
        let reason = |reason: &Cow<'static, str>| match reason {
            Cow::Borrowed(_) => 0,
            Cow::Owned(text) => text.capacity(),
        };
        let reasons: usize = self.violations.iter().map(|misfit| reason(&misfit.violation.reason)).sum();
        self.violations.capacity() * size_of::<Misfit>() + reasons + self.schema_news.memory_bytes()
    }

    /// Counts the present record as dropped.
    pub(super) fn drop(&mut self, rule: &'static str) {
        *self.dropped.entry(rule).or_default() += 1;
    }
}

/// Reads the records of blocks, in any order and on any thread.
pub(super) trait Parse: Sync {
    /// Adds the good rows of a block to `columns`, and everything else to `tally`.
    fn parse(&self, block: &Block, columns: &mut BronzeColumns, tally: &mut Tally);
}

/// Rule that drops DMS table events which the contract can live with.
pub(super) const CONTROL_RECORD: &str = "control-record";
/// Rule that drops records of DMS's own `awsdms_*` tables.
pub(super) const AWSDMS_RECORD: &str = "awsdms-record";

/// The rules a record can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Not a document, or one that breaks off.
    JsonSyntax,
    /// A document, but not a DMS record.
    Envelope,
    /// Not a CSV record.
    CsvSyntax,
    /// More or fewer fields than the header.
    FieldCount,
    /// Bytes that are no text in the object's encoding.
    Encoding,
    /// An operation DMS does not have.
    UnknownOperation,
    /// A record of another table than the object's.
    OtherTable,
    /// No readable place in the order of changes.
    Position,
    /// No readable commit time.
    CommitTimestamp,
    /// A key column without value.
    MissingKey,
    /// A value that is not of its column's type, or not exactly.
    Type,
    /// NULL where the contract wants a value.
    Null,
    /// A required column that the CSV header does not have.
    MissingColumn,
    /// A table event that contradicts the contract, or two different values for one column under its names.
    SchemaConflict,
}

impl Rule {
    /// The word in the quarantine file.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::JsonSyntax => "json-syntax",
            Self::Envelope => "envelope",
            Self::CsvSyntax => "csv-syntax",
            Self::FieldCount => "field-count",
            Self::Encoding => "encoding",
            Self::UnknownOperation => "unknown-operation",
            Self::OtherTable => "other-table",
            Self::Position => "position",
            Self::CommitTimestamp => "commit-timestamp",
            Self::MissingKey => "missing-key",
            Self::Type => "type",
            Self::Null => "null",
            Self::MissingColumn => "missing-column",
            Self::SchemaConflict => "schema-conflict",
        }
    }
}

/// Which rule a record broke and why, in names and counts; never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(super) rule: Rule,
    pub(super) reason: Cow<'static, str>,
    pub(super) operation: Option<Operation>,
}

impl Violation {
    pub(super) fn new(rule: Rule, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { rule, reason: reason.into(), operation: None }
    }

    /// The same violation, of a record whose operation is known.
    pub(super) fn of(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }
}

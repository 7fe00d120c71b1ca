//! What a record of a raw object becomes: a row, a violation, or nothing, by a named rule.

use lakebed_contract::envelope::Operation;

use super::EngineError;
use super::value::Value;

/// Reads the records of one object in order.
pub(super) trait RecordSource {
    /// The next record; `None` at the end of the object.
    fn next(&mut self) -> Result<Option<Record<'_>>, EngineError>;

    /// Values so far of columns the contract does not have.
    fn extra_values(&self) -> u64;
}

/// One record.
#[derive(Debug)]
pub(super) enum Record<'a> {
    Good(Row<'a>),
    Bad(Violation),
    /// Dropped by the rule of this name.
    Dropped(&'static str),
}

/// Rule that drops DMS table events.
pub(super) const CONTROL_RECORD: &str = "control-record";
/// Rule that drops records of DMS's own `awsdms_*` tables.
pub(super) const AWSDMS_RECORD: &str = "awsdms-record";

/// A row that keeps its contract.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// One per contract column.
    pub(super) cells: Vec<Cell<'a>>,
    /// The key before the change, one per key column; NULL when it did not change or nobody said.
    pub(super) old_keys: Vec<Value<'a>>,
    pub(super) operation: Operation,
    pub(super) generation: i32,
    pub(super) commit_lsn: i64,
    pub(super) ordinal: i64,
    /// Microseconds since the epoch.
    pub(super) commit_timestamp: i64,
}

/// A column of a row: what it says, or that it says nothing, which is not NULL.
#[derive(Debug)]
pub(super) enum Cell<'a> {
    Absent,
    Value(Value<'a>),
}

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
        }
    }
}

/// Which rule a record broke and why, in names and counts; never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(super) rule: Rule,
    pub(super) reason: String,
    pub(super) operation: Option<Operation>,
}

impl Violation {
    pub(super) fn new(rule: Rule, reason: impl Into<String>) -> Self {
        Self { rule, reason: reason.into(), operation: None }
    }

    /// The same violation, of a record whose operation is known.
    pub(super) fn of(mut self, operation: Operation) -> Self {
        self.operation = Some(operation);
        self
    }
}

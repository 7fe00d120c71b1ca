//! A record with everything in it.

use std::collections::BTreeSet;

use lakebed_contract::envelope::Operation;

use crate::engine::EngineError;
use crate::engine::record::Violation;
use crate::engine::value::Value;

/// Reads the records of one object in order.
pub(in crate::engine) trait RecordSource {
    /// The next record; `None` at the end of the object.
    fn next(&mut self) -> Result<Option<Record<'_>>, EngineError>;

    /// Where the last record begins, in bytes of the object.
    fn offset(&self) -> u64;

    /// Values so far of columns the contract does not have.
    fn extra_values(&self) -> u64;

    /// What control records said so far that the contract does not.
    fn schema_changes(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }
}

/// One record.
#[derive(Debug)]
pub(in crate::engine) enum Record<'a> {
    Good(Row<'a>),
    Bad(Violation),
    /// Dropped by the rule of this name.
    Dropped(&'static str),
}

/// A row that keeps its contract.
#[derive(Debug)]
pub(in crate::engine) struct Row<'a> {
    /// One per contract column.
    pub(in crate::engine) cells: Vec<Cell<'a>>,
    /// The key before the change, one per key column; NULL when it did not change or nobody said.
    pub(in crate::engine) old_keys: Vec<Value<'a>>,
    pub(in crate::engine) operation: Operation,
    pub(in crate::engine) generation: i32,
    pub(in crate::engine) commit_lsn: i64,
    pub(in crate::engine) ordinal: i64,
    /// Microseconds since the epoch.
    pub(in crate::engine) commit_timestamp: i64,
}

/// A column of a row: what it says, or that it says nothing, which is not NULL.
#[derive(Debug)]
pub(in crate::engine) enum Cell<'a> {
    Absent,
    Value(Value<'a>),
}

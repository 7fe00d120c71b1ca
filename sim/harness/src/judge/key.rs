//! A row's key, as the judge counts it and as a finding may show it.
//!
//! Most tables have one whole number, which needs no text; every other key becomes one: whole numbers as they are, anything else as a
//! fingerprint, because a key may hold what must not be read. Different keys meet by chance only (2^-64 per pair).

use std::fmt::Display;
use std::hash::Hash;

use lakebed_contract::table::{Column, ColumnType, TableContract};
use serde::{Deserialize, Serialize};

use super::cell::Cell;

/// One value of a key, as the source's truth lists it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum KeyValue {
    /// `integer` or `bigint`.
    Int(i64),
    /// `text`.
    Text(String),
    /// `date`, in days since 1970-01-01.
    Date(i32),
    /// `timestamptz`, in microseconds since 1970-01-01T00:00:00Z.
    Instant(i64),
}

impl std::fmt::Debug for KeyValue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl KeyValue {
    pub(super) fn cell(&self) -> Cell<'_> {
        match self {
            Self::Int(value) => Cell::Int(*value),
            Self::Text(value) => Cell::Text(value),
            Self::Date(value) => Cell::Date(*value),
            Self::Instant(value) => Cell::Instant(*value),
        }
    }
}

/// A key that rows can be found by.
pub(super) trait RowKey: Clone + Display + Eq + Hash + Ord {
    /// The key in the cells of a row's key columns; `None` where one is NULL.
    fn read<'c>(count: usize, cell: impl Fn(usize) -> Cell<'c>) -> Option<Self>;
}

/// The key of a table with one whole number.
impl RowKey for i64 {
    fn read<'c>(_: usize, cell: impl Fn(usize) -> Cell<'c>) -> Option<Self> {
        match cell(0) {
            Cell::Int(value) => Some(value),
            _ => None,
        }
    }
}

/// The key of every other table.
impl RowKey for String {
    fn read<'c>(count: usize, cell: impl Fn(usize) -> Cell<'c>) -> Option<Self> {
        let parts = (0..count).map(|at| match cell(at) {
            Cell::Null => None,
            Cell::Int(value) => Some(value.to_string()),
            other => Some(format!("#{:016x}", other.fingerprint())),
        });
        Some(parts.collect::<Option<Vec<_>>>()?.join("/"))
    }
}

/// Whether a table's key is one whole number.
pub(super) fn is_one_integer(table: &TableContract) -> bool {
    let mut keys = table.key_columns();
    let integer = |column: &Column| matches!(column.column_type, ColumnType::Integer | ColumnType::Bigint);
    matches!((keys.next(), keys.next()), (Some(key), None) if integer(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_show_whole_numbers_and_hide_everything_else() {
        let read = |cells: &[Cell<'static>]| String::read(cells.len(), |at| cells[at]);
        let key = read(&[Cell::Text("Ana Lima"), Cell::Int(7)]).expect("no part is NULL");
        assert!(key.starts_with('#') && key.ends_with("/7") && !key.contains("Ana"), "{key}");
        assert_ne!(read(&[Cell::Text("Ana"), Cell::Int(7)]), Some(key));
        assert_eq!(read(&[Cell::Int(7), Cell::Null]), None);
        assert_eq!(i64::read(1, |_| Cell::Int(7)), Some(7));
        assert_eq!(i64::read(1, |_| Cell::Text("7")), None);
        let text = KeyValue::Text("Ana".to_owned());
        assert_eq!(read(&[Cell::Text("Ana")]), String::read(1, |_| text.cell()));
        assert_eq!(format!("{text:?}"), "***");
    }
}

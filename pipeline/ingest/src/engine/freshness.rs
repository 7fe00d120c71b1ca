//! The newest values of the columns that the contract asks an age of, among the good rows of one object.
//!
//! Looked for in whole columns, on the thread that read the rows, before they are masked; a greatest value does not know its order,
//! so neither threads nor blocks change it. Instants are microseconds since 1970; a day counts by its end, because what is of
//! today can be no newer. Knows no clock: how old that is, the caller says.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::compute::max;
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use lakebed_contract::TableContract;

const MICROS_PER_DAY: i64 = 86_400_000_000;

/// The newest value of each column that is looked at; `None` where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Newest(Vec<Option<i64>>);

/// The columns that are looked at: names and places in a batch. Asked by all threads.
pub(super) struct Freshness<'j>(Vec<(&'j str, usize)>);

impl<'j> Freshness<'j> {
    pub(super) fn new(table: &'j TableContract) -> Self {
        let asked = table.service_levels.columns();
        let columns = table.columns.iter().enumerate().map(|(place, column)| (column.name.as_str(), place));
        Self(columns.filter(|(name, _)| asked.contains(name)).collect())
    }

    /// Looks at batches that are not masked yet.
    pub(super) fn newest(&self, batches: &[RecordBatch]) -> Newest {
        let newest = |place: usize| batches.iter().filter_map(|batch| newest_of(batch.column(place))).max();
        Newest(self.0.iter().map(|(_, place)| newest(*place)).collect())
    }

    /// By the names of the columns.
    pub(super) fn by_name(&self, newest: Newest) -> BTreeMap<String, i64> {
        let found = self.0.iter().zip(newest.0);
        found.filter_map(|((name, _), newest)| Some(((*name).to_owned(), newest?))).collect()
    }
}

impl Newest {
    /// Takes in what was found in other rows of the object.
    pub(super) fn merge(&mut self, other: Self) {
        if self.0.is_empty() {
            *self = other;
            return;
        }
        // No value is less than any.
        self.0.iter_mut().zip(other.0).for_each(|(newest, other)| *newest = (*newest).max(other));
    }
}

fn newest_of(column: &dyn Array) -> Option<i64> {
    match column.data_type() {
        DataType::Date32 => {
            max(column.as_primitive::<Date32Type>()).map(|day| (i64::from(day) + 1).saturating_mul(MICROS_PER_DAY))
        }
        DataType::Timestamp(_, _) => max(column.as_primitive::<TimestampMicrosecondType>()),
        other => panic!("an age is asked of a column of type {other}, which the reader of the contract refuses"),
    }
}

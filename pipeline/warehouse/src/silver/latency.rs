//! How long the records of a batch were under way: from their commit timestamp to the moment their snapshot stands.
//!
//! Counts into fixed buckets and holds no value. Loads are told apart from changes: a load's timestamp is when the row was read
//! or its file was put, not when it was committed. The source's clock is the other end; a timestamp ahead of ours counts as zero.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use lakebed_contract::event::Carried;
use lakebed_contract::{LatencyHistogram, Timestamp};

use super::changes::{Changes, Operation, RecordLayout};

/// What is needed of a batch once its records are gone.
pub(crate) struct Departures {
    at: ArrayRef,
    operations: Vec<Operation>,
}

impl Departures {
    /// Takes note of when each record set out.
    pub(crate) fn of(layout: &RecordLayout, changes: &Changes) -> Self {
        Self { at: changes.rows.column(layout.commit_timestamp()).clone(), operations: changes.operations.clone() }
    }

    /// Latencies at `now` of the records that `arrived` accepts by index; a kind without records is left out.
    pub(crate) fn latencies(
        &self,
        now: Timestamp,
        arrived: impl Fn(usize) -> bool,
    ) -> impl Iterator<Item = (Carried, LatencyHistogram)> {
        let at = self.at.as_primitive::<TimestampMicrosecondType>();
        let mut both = [LatencyHistogram::default(), LatencyHistogram::default()];
        for (row, operation) in self.operations.iter().enumerate().filter(|(row, _)| arrived(*row)) {
            both[usize::from(*operation == Operation::Load)].add(now.since(Timestamp(at.value(row))));
        }
        [Carried::Changes, Carried::Load].into_iter().zip(both).filter(|(_, histogram)| histogram.count() > 0)
    }
}

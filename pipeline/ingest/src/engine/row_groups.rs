//! Masked rows regrouped: from batches as the blocks of the input gave them to row groups of fixed size.
//!
//! A row group ends after a fixed number of rows, or after the row with which its text reaches a fixed size. Both are counted in
//! rows and never in batches, so the same rows give the same row groups however they were cut before.

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use lakebed_mask::MaskedBatch;

/// Rows of one row group, in pieces.
pub(super) struct RowGroup(Vec<MaskedBatch>);

impl RowGroup {
    /// The pieces of one column.
    pub(super) fn arrays(&self, column: usize) -> impl Iterator<Item = &ArrayRef> {
        self.0.iter().map(move |piece| piece.batch().column(column))
    }

    /// Schema of all pieces; a row group has at least one.
    pub(super) fn schema(&self) -> SchemaRef {
        self.0[0].batch().schema()
    }
}

/// Collects rows until they are a row group.
pub(super) struct RowGroups {
    rows_max: usize,
    text_bytes_max: usize,
    pieces: Vec<MaskedBatch>,
    rows: usize,
    text_bytes: usize,
}

impl RowGroups {
    pub(super) fn new(rows_max: usize, text_bytes_max: usize) -> Self {
        Self { rows_max: rows_max.max(1), text_bytes_max, pieces: Vec::new(), rows: 0, text_bytes: 0 }
    }

    /// Adds rows; returns the row groups that they completed.
    pub(super) fn add(&mut self, batch: &MaskedBatch) -> Vec<RowGroup> {
        let (rows, mut from, mut complete) = (batch.batch().num_rows(), 0, Vec::new());
        while from < rows {
            let end = self.end_of_group(batch.batch(), from);
            let until = end.unwrap_or(rows);
            self.pieces.push(batch.slice(from, until - from));
            self.rows += until - from;
            self.text_bytes += text_bytes(batch.batch(), from, until);
            if end.is_some() {
                complete.extend(self.finish());
            }
            from = until;
        }
        complete
    }

    /// What is left, if anything.
    pub(super) fn finish(&mut self) -> Option<RowGroup> {
        (self.rows, self.text_bytes) = (0, 0);
        let pieces = std::mem::take(&mut self.pieces);
        (!pieces.is_empty()).then_some(RowGroup(pieces))
    }

    /// One past the row of `batch` that completes the row group, counted from `from`; `None` if none does.
    fn end_of_group(&self, batch: &RecordBatch, from: usize) -> Option<usize> {
        let rows_until = from + (self.rows_max - self.rows);
        let until = rows_until.min(batch.num_rows());
        let reaches = |until: usize| self.text_bytes + text_bytes(batch, from, until) >= self.text_bytes_max;
        if reaches(until) {
            // Text only grows from row to row.
            let (mut short, mut enough) = (from, until);
            while enough - short > 1 {
                let middle = short.midpoint(enough);
                if reaches(middle) { enough = middle } else { short = middle }
            }
            return Some(enough);
        }
        (rows_until <= batch.num_rows()).then_some(until)
    }
}

/// Bytes of text in some rows.
fn text_bytes(batch: &RecordBatch, from: usize, until: usize) -> usize {
    let texts = batch.columns().iter().filter_map(|column| column.as_string_opt::<i32>());
    texts.map(|texts| (texts.value_offsets()[until] - texts.value_offsets()[from]).cast_unsigned() as usize).sum()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;
    use lakebed_contract::{Lake, TableContract};
    use lakebed_mask::{MaskKey, Masker};
    use proptest::prelude::*;

    use super::*;

    /// Rows of each row group when texts of these lengths arrive in batches of these sizes.
    fn group_rows(lengths: &[usize], batch_rows: &[usize], rows_max: usize, text_bytes_max: usize) -> Vec<usize> {
        let lake = Lake::beer();
        let mut table: TableContract = lake.table("brewery").expect("a beer table").clone();
        table.columns.retain(|column| column.name == "city");
        let masker = Masker::new(MaskKey::new(1, [7; 32])).for_table(&table, &lake.policy).expect("mask plan");
        let (mut groups, mut complete, mut from) = (RowGroups::new(rows_max, text_bytes_max), Vec::new(), 0);
        for rows in batch_rows.iter().cycle() {
            let batch = &lengths[from..lengths.len().min(from + rows)];
            let texts: StringArray = batch.iter().map(|length| Some("x".repeat(*length))).collect();
            let batch = RecordBatch::try_from_iter([("city", Arc::new(texts) as ArrayRef)]).expect("a batch");
            complete.extend(groups.add(&masker.mask(batch).expect("masked")));
            from += rows;
            if from >= lengths.len() {
                break;
            }
        }
        complete.extend(groups.finish());
        complete.iter().map(|group| group.arrays(0).map(|array| array.len()).sum()).collect()
    }

    #[test]
    fn a_group_ends_with_its_rows_or_its_text() {
        assert_eq!(group_rows(&[1; 10], &[10], 4, 1_000), [4, 4, 2]);
        assert_eq!(group_rows(&[1; 8], &[3], 4, 1_000), [4, 4]);
        assert_eq!(group_rows(&[3; 7], &[7], 100, 6), [2, 2, 2, 1]);
        assert_eq!(group_rows(&[0, 0, 9, 0, 1, 8, 2], &[7], 3, 9), [3, 3, 1]);
        assert_eq!(group_rows(&[50, 50], &[2], 3, 9), [1, 1]);
    }

    proptest! {
        #[test]
        fn batches_do_not_matter(
            lengths in prop::collection::vec(0usize..9, 1..60), batch_rows in prop::collection::vec(1usize..9, 1..5),
            rows_max in 1usize..20, text_bytes_max in 1usize..40,
        ) {
            let whole = group_rows(&lengths, &[lengths.len()], rows_max, text_bytes_max);
            prop_assert_eq!(group_rows(&lengths, &batch_rows, rows_max, text_bytes_max), whole);
        }
    }
}

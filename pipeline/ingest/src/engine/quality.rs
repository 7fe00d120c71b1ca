//! The quality rules of a contract, held against the good rows of one object before they are masked.
//!
//! Every thread counts in the batches that it read ([`Probe`]); the counts are added up in input order ([`Quality`]) and judged at
//! the end of the object. A sum does not know its order, so neither threads nor blocks change the answer. Rules are asked of each
//! object by itself: nobody knows here what other objects of the table hold.
//!
//! What is looked at: `rowCount` counts all good rows. A column is looked at in the rows that have it, and not in deletes, which
//! mean a key and nothing else. `duplicateValues` looks at loaded rows only, because changes repeat the key they change.
//!
//! Values behind `duplicateValues` are remembered as the first 128 bits of a SHA-256, with which two different values are one with
//! a chance below 10⁻²⁴; up to [`DISTINCT_MAX`] of all such rules together, beyond which none of them has an answer. A hash set of
//! so many takes 71 MB, and 107 MB while it grows for the last time. What is told of a rule is names and counts, never a value.

use std::collections::HashSet;

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow::record_batch::RecordBatch;
use lakebed_contract::TableContract;
use lakebed_contract::envelope::Operation;
use lakebed_contract::quality::{Metric, QualityRule, Severity, Unit, Valid, ValueSet};
use sha2::{Digest, Sha256};

use super::EngineError;

/// Different values that all `duplicateValues` rules of a table together may find in one object.
const DISTINCT_MAX: usize = 3_500_000;

/// What was counted for each rule in some rows.
#[derive(Debug, Default)]
pub(super) struct Counts(Vec<Count>);

/// What was counted for one rule.
#[derive(Clone, Debug, Default)]
struct Count {
    looked_at: u64,
    found: u64,
    /// Digests of the values that must not repeat, one a row.
    digests: Vec<u128>,
}

impl Counts {
    pub(super) fn memory_bytes(&self) -> usize {
        self.0.iter().map(|count| size_of::<Count>() + count.digests.capacity() * size_of::<u128>()).sum()
    }
}

/// The rules of a table and where their columns lie in a batch. Asked by all threads.
pub(super) struct Probe<'j>(Vec<(&'j QualityRule, Vec<usize>)>);

impl<'j> Probe<'j> {
    pub(super) fn new(table: &'j TableContract) -> Self {
        let place = |name: &String| {
            let found = table.columns.iter().position(|column| column.name == *name);
            found.expect("a rule names columns of its table: the reader of the contract looked")
        };
        Self(table.quality.iter().map(|rule| (rule, rule.metric.columns().iter().map(place).collect())).collect())
    }

    /// Counts in batches that are not masked yet.
    pub(super) fn count(&self, batches: &[RecordBatch]) -> Counts {
        let mut counts = vec![Count::default(); self.0.len()];
        for batch in batches {
            let rows = Rows::of(batch);
            for (number, ((rule, places), count)) in self.0.iter().zip(&mut counts).enumerate() {
                rows.count(number, &rule.metric, places, count);
            }
        }
        Counts(counts)
    }
}

/// A raw batch, and what its rows tell beside their values.
struct Rows<'b> {
    batch: &'b RecordBatch,
    operations: &'b StringArray,
    absent: &'b StringArray,
}

impl<'b> Rows<'b> {
    fn of(batch: &'b RecordBatch) -> Self {
        let texts = |name: &str| batch.column_by_name(name).expect("every bronze batch has it").as_string::<i32>();
        Self { batch, operations: texts("_operation"), absent: texts("_absent") }
    }

    fn is(&self, row: usize, operation: Operation) -> bool {
        self.operations.value(row) == operation.as_str()
    }

    /// Whether a row has a column, be it NULL.
    fn has(&self, row: usize, column: &str) -> bool {
        self.absent.is_null(row) || self.absent.value(row).split(',').all(|name| name != column)
    }

    /// Counts for one rule, whose columns lie at `places`.
    fn count(&self, number: usize, metric: &Metric, places: &[usize], count: &mut Count) {
        let columns: Vec<&ArrayRef> = places.iter().map(|place| self.batch.column(*place)).collect();
        match metric {
            Metric::RowCount => {
                count.looked_at += self.batch.num_rows() as u64;
                count.found += self.batch.num_rows() as u64;
            }
            Metric::DuplicateValues { columns: names } => self.digest(number, names, &columns, count),
            Metric::NullValues { column } => self.count_in(column, count, |row| columns[0].is_null(row)),
            Metric::MissingValues { column, missing } => self.count_in(column, count, |row| {
                if columns[0].is_null(row) { missing.null } else { holds(&missing.values, columns[0], row) }
            }),
            Metric::InvalidValues { column, valid } => self.count_in(column, count, |row| {
                let is_valid = || match valid {
                    Valid::OneOf(values) => holds(values, columns[0], row),
                    Valid::Matching(pattern) => pattern.is_found_in(columns[0].as_string::<i32>().value(row)),
                };
                !columns[0].is_null(row) && !is_valid()
            }),
        }
    }

    fn count_in(&self, column: &str, count: &mut Count, is_found: impl Fn(usize) -> bool) {
        for row in 0..self.batch.num_rows() {
            if self.has(row, column) && !self.is(row, Operation::Delete) {
                count.looked_at += 1;
                count.found += u64::from(is_found(row));
            }
        }
    }

    fn digest(&self, number: usize, names: &[String], columns: &[&ArrayRef], count: &mut Count) {
        for row in 0..self.batch.num_rows() {
            if !self.is(row, Operation::Load) || !names.iter().all(|name| self.has(row, name)) {
                continue;
            }
            count.looked_at += 1;
            if columns.iter().all(|column| column.is_valid(row)) {
                count.digests.push(digest(number, columns, row));
            }
        }
    }
}

/// Whether a value, which is not NULL, is one of these.
fn holds(values: &ValueSet, column: &ArrayRef, row: usize) -> bool {
    match values {
        ValueSet::Texts(texts) => column.as_string_opt::<i32>().is_some_and(|column| texts.contains(column.value(row))),
        ValueSet::Numbers(numbers) => {
            let number = match column.data_type() {
                DataType::Int32 => i128::from(column.as_primitive::<Int32Type>().value(row)),
                DataType::Int64 => i128::from(column.as_primitive::<Int64Type>().value(row)),
                DataType::Decimal128(_, _) => column.as_primitive::<Decimal128Type>().value(row),
                // Of another column a rule lists no values.
                _ => return false,
            };
            numbers.contains(&number)
        }
    }
}

/// The digest of a row's values, none of them NULL, for the rule of a number.
fn digest(number: usize, columns: &[&ArrayRef], row: usize) -> u128 {
    let mut hasher = Sha256::new();
    hasher.update((number as u64).to_le_bytes());
    for column in columns {
        match column.data_type() {
            DataType::Boolean => hasher.update([u8::from(column.as_boolean().value(row))]),
            DataType::Int32 => hasher.update(column.as_primitive::<Int32Type>().value(row).to_le_bytes()),
            DataType::Int64 => hasher.update(column.as_primitive::<Int64Type>().value(row).to_le_bytes()),
            // Minus zero is zero.
            DataType::Float64 => hasher.update((column.as_primitive::<Float64Type>().value(row) + 0.0).to_le_bytes()),
            DataType::Decimal128(_, _) => {
                hasher.update(column.as_primitive::<Decimal128Type>().value(row).to_le_bytes());
            }
            DataType::Date32 => hasher.update(column.as_primitive::<Date32Type>().value(row).to_le_bytes()),
            DataType::Timestamp(_, _) => {
                hasher.update(column.as_primitive::<TimestampMicrosecondType>().value(row).to_le_bytes());
            }
            DataType::Utf8 => {
                let text = column.as_string::<i32>().value(row);
                // Its length first, so that two texts are not another two.
                hasher.update((text.len() as u64).to_le_bytes());
                hasher.update(text);
            }
            other => panic!("a column of type {other}, which no contract has"),
        }
    }
    let digest = hasher.finalize();
    u128::from_le_bytes(digest[..16].try_into().expect("a SHA-256 digest has 32 bytes"))
}

/// What was counted in an object so far.
pub(super) struct Quality<'j> {
    table: &'j TableContract,
    counts: Vec<Count>,
    /// Digests of all rules, which are part of them. `None` once they were too many.
    distinct: Option<HashSet<u128>>,
    distinct_max: usize,
}

impl<'j> Quality<'j> {
    pub(super) fn new(table: &'j TableContract) -> Self {
        let counts = vec![Count::default(); table.quality.len()];
        Self { table, counts, distinct: Some(HashSet::new()), distinct_max: DISTINCT_MAX }
    }

    /// Adds what was counted in the next rows.
    pub(super) fn add(&mut self, counts: Counts) {
        for (sum, count) in self.counts.iter_mut().zip(counts.0) {
            sum.looked_at += count.looked_at;
            sum.found += count.found;
            for digest in count.digests {
                let Some(distinct) = &mut self.distinct else { break };
                sum.found += u64::from(!distinct.insert(digest));
                if distinct.len() > self.distinct_max {
                    self.distinct = None;
                }
            }
        }
    }

    /// What is told of broken rules that let the rows pass, a line each.
    ///
    /// # Errors
    /// Rules are broken that do not.
    pub(super) fn finish(&self) -> Result<Vec<String>, EngineError> {
        let (mut fatal, mut told) = (Vec::new(), Vec::new());
        for (rule, count) in self.table.quality.iter().zip(&self.counts) {
            match (self.breach(rule, count), rule.severity) {
                (None, _) => {}
                (Some(breach), Severity::Error) => fatal.push(breach),
                (Some(breach), severity) => told.push(format!("{}: {breach}", severity.as_str())),
            }
        }
        if fatal.is_empty() { Ok(told) } else { Err(EngineError::unreadable(fatal.join("; "))) }
    }

    /// What is wrong with a count, if anything is.
    fn breach(&self, rule: &QualityRule, count: &Count) -> Option<String> {
        let (table, found, looked_at) = (&self.table.name, count.found, count.looked_at);
        let is_unknown = self.distinct.is_none() && matches!(rule.metric, Metric::DuplicateValues { .. });
        if is_unknown {
            let limit = self.distinct_max;
            return Some(format!(
                "in table `{table}` {rule}, but was not counted: `duplicateValues` takes up to {limit} different values an object"
            ));
        }
        let number = rule.unit.number(found, looked_at);
        let is = match (&rule.metric, rule.unit) {
            _ if rule.expectation.holds(number) => return None,
            (Metric::RowCount, _) => format!("{found}"),
            (_, Unit::Rows) => format!("{found} (of {looked_at} rows)"),
            (_, Unit::Percent) => format!("{number:.2} percent ({found} of {looked_at} rows)"),
        };
        Some(format!("in table `{table}` {rule}, but is {is}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTRACT: &str = "apiVersion: v3.1.0\nkind: DataContract\nversion: 1.0.0\nschema:\n  - name: t\n    physicalName: s.t\n    \
        properties:\n      - name: id\n        physicalType: bigint\n        primaryKey: true\n        quality:\n          \
        - {metric: duplicateValues, mustBe: 1}\n          - {metric: nullValues, mustBe: 0}\n";

    /// Adds digests in these portions to the first rule of the table, of which so many may be different.
    fn told(portions: &[&[u128]], distinct_max: usize) -> Result<Vec<String>, String> {
        let table = TableContract::from_odcs_yaml("t.yaml", CONTRACT).expect("valid");
        let mut quality = Quality { distinct_max, ..Quality::new(&table) };
        for portion in portions {
            let count = Count { looked_at: portion.len() as u64, found: 0, digests: portion.to_vec() };
            quality.add(Counts(vec![count, Count::default()]));
        }
        quality.finish().map_err(|error| error.to_string())
    }

    #[test]
    fn a_value_repeats_wherever_the_rows_were_cut() {
        let cuts: [&[&[u128]]; 3] = [&[&[1, 2, 1, 3]], &[&[1, 2], &[1, 3]], &[&[3], &[1], &[], &[2, 1]]];
        for portions in cuts {
            assert_eq!(told(portions, 3), Ok(Vec::new()));
        }
        let error = told(&[&[1, 1], &[2, 1]], 3).expect_err("two of them repeat");
        assert!(error.ends_with("in table `t` duplicateValues of `id` must be 1, but is 2 (of 4 rows)"), "{error}");
    }

    #[test]
    fn too_many_different_values_have_no_answer_and_only_for_this_metric() {
        let cuts: [&[&[u128]]; 2] = [&[&[1, 2, 1, 3]], &[&[3], &[1, 1], &[2]]];
        for portions in cuts {
            let error = told(portions, 2).expect_err("not counted");
            assert!(error.contains("`id` must be 1, but was not counted") && !error.contains("nullValues"), "{error}");
            assert!(error.contains("up to 2 different values"), "{error}");
        }
    }
}

//! I1 and I2: the contract tables in silver against the masked source.
//!
//! Live rows are compared column by column, with the derived partition columns; the soft-deleted keys are compared with the keys
//! that once lived. Tables whose key is one whole number, which are the large ones, are compared without making text of it.

use std::collections::BTreeSet;

use arrow::array::Array;
use chrono::{DateTime, Datelike};
use iceberg::table::Table;
use lakebed_contract::layout;
use lakebed_contract::policy::Policy;
use lakebed_contract::table::{ColumnType, TableContract};

use super::cell::Cell;
use super::error::JudgeError;
use super::finding::Evidence;
use super::key::{KeyValue, RowKey, is_one_integer};
use super::lakehouse::{Lakehouse, scan, typed};
use super::mask::{Expectation, Mask};
use super::rows::{Comparison, ExpectedRows, count_and_sample};
use super::source::{Source, SourceColumn};

/// The keys a table ever had, as far as the source told.
#[derive(Clone, Copy)]
pub(super) struct KeysEver<'a> {
    pub(super) single: Option<&'a BTreeSet<i64>>,
    pub(super) other: Option<&'a BTreeSet<Vec<KeyValue>>>,
}

/// I1 and I2 of one table.
pub(super) struct TableJudge<'a> {
    pub(super) table: &'a TableContract,
    pub(super) policy: &'a Policy,
    pub(super) mask: &'a Mask,
    pub(super) keys_ever: KeysEver<'a>,
}

impl TableJudge<'_> {
    /// Adds what it finds to `live` (I1) and `deleted` (I2); gives the number of source rows.
    pub(super) async fn judge(
        &self,
        source: &Source,
        lakehouse: &Lakehouse,
        live: &mut Evidence,
        deleted: &mut Evidence,
    ) -> Result<u64, JudgeError> {
        if is_one_integer(self.table) {
            return self.judge_by(source, lakehouse, live, deleted, self.keys_ever.single.cloned()).await;
        }
        let read = |key: &Vec<KeyValue>| String::read(key.len(), |at| key[at].cell());
        let ever = self.keys_ever.other.map(|keys| keys.iter().filter_map(read).collect());
        self.judge_by::<String>(source, lakehouse, live, deleted, ever).await
    }

    async fn judge_by<K: RowKey>(
        &self,
        source: &Source,
        lakehouse: &Lakehouse,
        live: &mut Evidence,
        deleted: &mut Evidence,
        keys_ever: Option<BTreeSet<K>>,
    ) -> Result<u64, JudgeError> {
        let name = &self.table.name;
        let expectations = match self.expectations() {
            Ok(expectations) => expectations,
            Err(reason) => {
                live.cannot_check(format!("{name}: {reason}"));
                deleted.cannot_check(format!("{name}: {reason}"));
                return Ok(0);
            }
        };
        let expected = self.expected::<K>(source, &expectations).await?;
        let rows = expected.len() as u64;
        let gone = keys_ever.map(|mut ever| {
            expected.keys().for_each(|alive| _ = ever.remove(alive));
            ever
        });
        let Some(table) = lakehouse.table(layout::SILVER, name).await? else {
            live.fails(format!("{name}: silver has no such table"));
            deleted.fails(format!("{name}: silver has no such table"));
            return Ok(rows);
        };
        match self.compare(&table, expected).await? {
            Err(reason) => {
                live.fails(format!("{name} {reason}"));
                deleted.fails(format!("{name} {reason}"));
            }
            Ok((comparison, found)) => {
                let line = format!("{name}: {comparison}");
                if comparison.is_equal() {
                    live.holds(line)
                } else {
                    live.fails(line)
                }
                match gone {
                    None => deleted.cannot_check(format!("{name}: the keys that ever lived are not known")),
                    Some(gone) => judge_deleted(name, &gone, &found, deleted),
                }
            }
        }
        Ok(rows)
    }

    fn expectations(&self) -> Result<Vec<Expectation>, String> {
        self.table.columns.iter().map(|column| self.mask.expectation(column, self.policy)).collect()
    }

    /// Names of the compared columns: those of the contract, then the derived partition columns.
    fn compared_columns(&self) -> Vec<SourceColumn> {
        let contract = self.table.columns.iter();
        let mut columns: Vec<_> = contract
            .map(|column| SourceColumn { name: column.name.clone(), column_type: column.column_type })
            .collect();
        if let Some(partition) = &self.table.partition {
            for name in [&partition.year, &partition.month] {
                columns.push(SourceColumn { name: name.clone(), column_type: ColumnType::Integer });
            }
        }
        columns
    }

    /// Where the key columns stand in the contract.
    fn key_places(&self) -> Vec<usize> {
        (0..self.table.columns.len()).filter(|at| self.table.columns[*at].is_key).collect()
    }

    async fn expected<K: RowKey>(
        &self,
        source: &Source,
        expectations: &[Expectation],
    ) -> Result<ExpectedRows<K>, JudgeError> {
        let compared = self.compared_columns();
        let columns = &compared[..self.table.columns.len()];
        let at = |name: &str| columns.iter().position(|column| column.name == name);
        let keys = self.key_places();
        let moment = self.table.partition.as_ref().and_then(|partition| at(&partition.column));
        let mut expected = ExpectedRows::new(compared.iter().map(|column| column.name.clone()).collect());
        let mut fingerprints = Vec::with_capacity(compared.len());
        let relation = format!("\"{}\".\"{}\"", self.table.schema, self.table.name);
        source
            .rows(&self.table.name, &relation, columns, |row| {
                fingerprints.clear();
                let masked = expectations.iter().zip(&row.cells);
                fingerprints.extend(masked.map(|(expectation, cell)| self.mask.fingerprint(expectation, *cell)));
                if let Some(moment) = moment {
                    fingerprints.extend(year_and_month(row.cells[moment]).map(|cell| cell.fingerprint()));
                }
                if let Some(key) = K::read(keys.len(), |at| row.cells[keys[at]]) {
                    expected.expect(key, &fingerprints);
                }
            })
            .await?;
        Ok(expected)
    }

    /// Streams silver past the expected rows; gives the comparison and the keys of the soft-deleted rows.
    async fn compare<K: RowKey>(
        &self,
        table: &Table,
        mut expected: ExpectedRows<K>,
    ) -> Result<Result<(Comparison, Vec<K>), String>, JudgeError> {
        let compared = self.compared_columns();
        let mut names: Vec<String> = compared.iter().map(|column| column.name.clone()).collect();
        let keys = self.key_places();
        names.push("deleted_at".to_owned());
        let mut deleted = Vec::new();
        let mut fingerprints = Vec::with_capacity(compared.len());
        let scanned = scan(table, &names, |batch| {
            let columns = typed(batch, &compared)?;
            let deleted_at = batch.column(compared.len());
            for row in 0..batch.num_rows() {
                let Some(key) = K::read(keys.len(), |at| columns[keys[at]].cell(row)) else {
                    expected.without_key();
                    continue;
                };
                if deleted_at.is_valid(row) {
                    deleted.push(key);
                    continue;
                }
                fingerprints.clear();
                fingerprints.extend(columns.iter().map(|column| column.cell(row).fingerprint()));
                expected.compare(key, &fingerprints);
            }
            Ok(())
        })
        .await?;
        Ok(scanned.map(|()| (expected.finish(), deleted)))
    }
}

fn judge_deleted<K: RowKey>(name: &str, gone: &BTreeSet<K>, found: &[K], evidence: &mut Evidence) {
    let mut sorted = found.to_vec();
    sorted.sort_unstable();
    let twice: Vec<K> = sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0].clone()).collect();
    let found: BTreeSet<K> = sorted.into_iter().collect();
    let missing: Vec<K> = gone.difference(&found).cloned().collect();
    let extra: Vec<K> = found.difference(gone).cloned().collect();
    if missing.is_empty() && extra.is_empty() && twice.is_empty() {
        return evidence.holds(format!("{name}: {} soft-deleted keys", gone.len()));
    }
    let mut parts = Vec::new();
    for (label, keys) in
        [("deleted at the source only", missing), ("deleted in silver only", extra), ("deleted twice", twice)]
    {
        if !keys.is_empty() {
            parts.push(format!("{label} {}", count_and_sample(&keys)));
        }
    }
    evidence.fails(format!("{name}: {}", parts.join(", ")));
}

/// Year and month of an instant in UTC.
fn year_and_month(cell: Cell<'_>) -> [Cell<'static>; 2] {
    let Cell::Instant(micros) = cell else { return [Cell::Null, Cell::Null] };
    match DateTime::from_timestamp_micros(micros) {
        Some(moment) => [Cell::Int(moment.year().into()), Cell::Int(moment.month().into())],
        None => [Cell::Foreign("beyond the calendar"); 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakebed_contract::event::Outcome;

    #[test]
    fn years_and_months_are_those_of_utc() {
        let last_microsecond = 1_230_767_999_999_999; // 2008-12-31T23:59:59.999999Z
        assert_eq!(year_and_month(Cell::Instant(last_microsecond)), [Cell::Int(2008), Cell::Int(12)]);
        assert_eq!(year_and_month(Cell::Instant(last_microsecond + 1)), [Cell::Int(2009), Cell::Int(1)]);
        assert_eq!(year_and_month(Cell::Instant(-1)), [Cell::Int(1969), Cell::Int(12)]);
    }

    #[test]
    fn soft_deletes_must_be_exactly_the_keys_that_are_gone() {
        let gone = BTreeSet::from([1, 2, 3]);
        let word = |found: &[i64]| {
            let mut evidence = Evidence::default();
            judge_deleted("beer", &gone, found, &mut evidence);
            evidence.finding()
        };
        assert_eq!(word(&[3, 1, 2]).outcome, Outcome::Pass);
        let finding = word(&[3, 3, 9]);
        assert_eq!(finding.outcome, Outcome::Fail);
        assert_eq!(
            finding.detail,
            "beer: deleted at the source only 2 (1, 2), deleted in silver only 1 (9), deleted twice 1 (3)"
        );
    }
}

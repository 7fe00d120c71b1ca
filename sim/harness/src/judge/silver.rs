//! I1 and I2: the contract tables in silver against the masked source.
//!
//! Live rows are compared column by column, with the derived partition columns; the soft-deleted keys are compared with the keys
//! that once lived. Only tables with one integer key can be compared; for others the judge says that it cannot.

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
use super::lakehouse::{Lakehouse, scan, typed};
use super::mask::{Expectation, Mask};
use super::rows::{Comparison, ExpectedRows, count_and_sample};
use super::source::{Source, SourceColumn};

/// The name of a table's key column, when it is the one integer the judge can name in its findings.
pub(super) fn integer_key(table: &TableContract) -> Option<&str> {
    let mut keys = table.key_columns();
    match (keys.next(), keys.next()) {
        (Some(key), None) if matches!(key.column_type, ColumnType::Integer | ColumnType::Bigint) => Some(&key.name),
        _ => None,
    }
}

/// I1 and I2 of one table.
pub(super) struct TableJudge<'a> {
    pub(super) table: &'a TableContract,
    pub(super) policy: &'a Policy,
    pub(super) mask: &'a Mask,
    pub(super) keys_ever: Option<&'a BTreeSet<i64>>,
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
        let name = &self.table.name;
        let Some(key) = integer_key(self.table) else {
            live.cannot_check(format!("{name}: its key is not one integer column"));
            deleted.cannot_check(format!("{name}: its key is not one integer column"));
            return Ok(0);
        };
        let expectations = match self.expectations() {
            Ok(expectations) => expectations,
            Err(reason) => {
                live.cannot_check(format!("{name}: {reason}"));
                deleted.cannot_check(format!("{name}: {reason}"));
                return Ok(0);
            }
        };
        let expected = self.expected(source, key, &expectations).await?;
        let rows = expected.len() as u64;
        let gone = self.keys_ever.map(|ever| {
            let alive: BTreeSet<i64> = expected.keys().copied().collect();
            ever.difference(&alive).copied().collect::<BTreeSet<i64>>()
        });
        let Some(table) = lakehouse.table(layout::SILVER, name).await? else {
            live.fails(format!("{name}: silver has no such table"));
            deleted.fails(format!("{name}: silver has no such table"));
            return Ok(rows);
        };
        match self.compare(&table, key, expected).await? {
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

    async fn expected(
        &self,
        source: &Source,
        key: &str,
        expectations: &[Expectation],
    ) -> Result<ExpectedRows<i64>, JudgeError> {
        let compared = self.compared_columns();
        let columns = &compared[..self.table.columns.len()];
        let at = |name: &str| columns.iter().position(|column| column.name == name);
        let key = at(key).expect("the key is a column of its table");
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
                if let Cell::Int(key) = row.cells[key] {
                    expected.expect(key, &fingerprints);
                }
            })
            .await?;
        Ok(expected)
    }

    /// Streams silver past the expected rows; gives the comparison and the keys of the soft-deleted rows.
    async fn compare(
        &self,
        table: &Table,
        key: &str,
        mut expected: ExpectedRows<i64>,
    ) -> Result<Result<(Comparison, Vec<i64>), String>, JudgeError> {
        let compared = self.compared_columns();
        let mut names: Vec<String> = compared.iter().map(|column| column.name.clone()).collect();
        let key = names.iter().position(|name| name == key).expect("the key is a column of its table");
        names.push("deleted_at".to_owned());
        let mut deleted = Vec::new();
        let mut fingerprints = Vec::with_capacity(compared.len());
        let scanned = scan(table, &names, |batch| {
            let columns = typed(batch, &compared)?;
            let deleted_at = batch.column(compared.len());
            for row in 0..batch.num_rows() {
                let Cell::Int(key) = columns[key].cell(row) else {
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

fn judge_deleted(name: &str, gone: &BTreeSet<i64>, found: &[i64], evidence: &mut Evidence) {
    let mut sorted = found.to_vec();
    sorted.sort_unstable();
    let twice: Vec<i64> = sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    let found: BTreeSet<i64> = sorted.into_iter().collect();
    let missing: Vec<i64> = gone.difference(&found).copied().collect();
    let extra: Vec<i64> = found.difference(gone).copied().collect();
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
    use lakebed_contract::event::Outcome;
    use lakebed_contract::lake::Lake;

    use super::*;

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

    #[test]
    fn every_table_of_the_beer_lake_has_a_key_the_judge_can_name() {
        assert!(Lake::beer().tables.iter().all(|table| integer_key(table).is_some()));
    }
}

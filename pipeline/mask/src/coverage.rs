//! What a run masked: for each column with a class how many values were seen, masked, and what was found in free text.
//!
//! Promises: names and counts, never a value; adding up is the same in any order, so threads, batches and processes each count
//! for themselves. A column without a class is not in it: nothing was to be masked there.

use std::collections::BTreeMap;

use lakebed_contract::MaskedColumn;
use serde::{Deserialize, Serialize};

use crate::find::Finding;

/// Counts of a run, a table or a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<ColumnCoverage>", into = "Vec<ColumnCoverage>")]
pub struct Coverage {
    columns: BTreeMap<ColumnId, Counts>,
}

/// A column and what the policy makes of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ColumnId {
    /// Table.
    pub table: String,
    /// Column.
    pub column: String,
    /// Its class in the contract.
    pub class: String,
    /// The transform's word in the policy.
    pub transform: String,
}

/// Counts of one column.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Values seen, NULL included.
    pub values: u64,
    /// Values that were not NULL.
    pub non_null: u64,
    /// Values that are not what they were; of free text, those in which something was found. None of a kept column.
    pub masked: u64,
    /// Different values that were computed, each once per batch; 0 where a transform costs nothing.
    pub computed: u64,
    /// Values that were not what the class says, such as a CPF with wrong check digits. They were masked all the same.
    pub unshaped: u64,
    /// Findings in free text by kind, under Comprehend's names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub findings: BTreeMap<String, u64>,
}

/// One row of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnCoverage {
    /// Which column.
    #[serde(flatten)]
    pub id: ColumnId,
    /// Its counts.
    #[serde(flatten)]
    pub counts: Counts,
}

impl Coverage {
    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        for (id, counts) in &other.columns {
            self.add(id, counts);
        }
    }

    /// Adds one column's counts.
    pub(crate) fn add(&mut self, id: &ColumnId, counts: &Counts) {
        match self.columns.get_mut(id) {
            Some(sum) => sum.add(counts),
            None => _ = self.columns.insert(id.clone(), counts.clone()),
        }
    }

    /// The columns by table and name.
    pub fn columns(&self) -> impl Iterator<Item = (&ColumnId, &Counts)> {
        self.columns.iter()
    }

    /// The counts of a column; under several policies, of all of them.
    pub fn column(&self, table: &str, column: &str) -> Counts {
        let mut sum = Counts::default();
        let same = self.columns.iter().filter(|(id, _)| id.table == table && id.column == column);
        same.for_each(|(_, counts)| sum.add(counts));
        sum
    }

    /// The columns as a run tells of them.
    pub fn report(&self) -> Vec<MaskedColumn> {
        let row = |(id, counts): (&ColumnId, &Counts)| MaskedColumn {
            table: id.table.clone(),
            column: id.column.clone(),
            class: id.class.clone(),
            transform: id.transform.clone(),
            values: counts.values,
            masked: counts.masked,
            unshaped: counts.unshaped,
            findings: counts.findings.clone(),
        };
        self.columns.iter().map(row).collect()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.values += other.values;
        self.non_null += other.non_null;
        self.masked += other.masked;
        self.computed += other.computed;
        self.unshaped += other.unshaped;
        for (kind, count) in &other.findings {
            *self.findings.entry(kind.clone()).or_default() += count;
        }
    }

    /// Counts one text and what was found in it.
    pub(crate) fn count_findings(&mut self, found: &[Finding]) {
        self.masked += u64::from(!found.is_empty());
        for finding in found {
            match self.findings.get_mut(finding.kind.name()) {
                Some(count) => *count += 1,
                None => _ = self.findings.insert(finding.kind.name().to_owned(), 1),
            }
        }
    }
}

impl From<Vec<ColumnCoverage>> for Coverage {
    fn from(rows: Vec<ColumnCoverage>) -> Self {
        let mut coverage = Self::default();
        rows.iter().for_each(|row| coverage.add(&row.id, &row.counts));
        coverage
    }
}

impl From<Coverage> for Vec<ColumnCoverage> {
    fn from(coverage: Coverage) -> Self {
        coverage.columns.into_iter().map(|(id, counts)| ColumnCoverage { id, counts }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::PiiKind;
    use proptest::prelude::*;

    fn any_coverage() -> impl Strategy<Value = Coverage> {
        let counts = (0u64..9, 0u64..9, 0u64..9, 0u64..9, 0u64..9, prop::collection::btree_map("[AB]", 1u64..9, 0..3));
        let row = ("[ab]", "[xy]", "[cd]", counts).prop_map(|(table, column, class, counts)| ColumnCoverage {
            id: ColumnId { table, column, transform: "token".to_owned(), class },
            counts: Counts {
                values: counts.0,
                non_null: counts.1,
                masked: counts.2,
                computed: counts.3,
                unshaped: counts.4,
                findings: counts.5,
            },
        });
        prop::collection::vec(row, 0..6).prop_map(Coverage::from)
    }

    fn sum(parts: &[&Coverage]) -> Coverage {
        let mut sum = Coverage::default();
        parts.iter().for_each(|part| sum.merge(part));
        sum
    }

    proptest! {
        #[test]
        fn adding_up_is_the_same_in_any_order(a in any_coverage(), b in any_coverage(), c in any_coverage()) {
            let whole = sum(&[&a, &b, &c]);
            prop_assert_eq!(&whole, &sum(&[&c, &a, &b]));
            prop_assert_eq!(&whole, &sum(&[&a, &sum(&[&b, &c])]));
            prop_assert_eq!(&sum(&[&a]), &a);
        }

        #[test]
        fn a_report_is_read_back_as_it_was_written(coverage in any_coverage()) {
            let written = serde_json::to_string(&coverage).expect("writes");
            prop_assert_eq!(serde_json::from_str::<Coverage>(&written).expect("reads"), coverage);
        }
    }

    #[test]
    fn a_row_of_the_report_is_flat() {
        let mut counts = Counts { values: 3, non_null: 2, unshaped: 1, ..Counts::default() };
        let finding = |kind| Finding { kind, start: 0, end: 1, score: 1.0 };
        counts.count_findings(&[finding(PiiKind::Cpf), finding(PiiKind::Cpf), finding(PiiKind::Email)]);
        counts.count_findings(&[]);
        let mut coverage = Coverage::default();
        let id =
            ColumnId { table: "t".into(), column: "c".into(), class: "free_text".into(), transform: "redact".into() };
        coverage.add(&id, &counts);
        let report = coverage.report();
        assert_eq!((report[0].values, report[0].masked, &report[0].findings), (3, 1, &counts.findings));
        assert_eq!(report[0].unshaped, 1);
        assert_eq!(
            serde_json::to_string(&coverage).expect("writes"),
            r#"[{"table":"t","column":"c","class":"free_text","transform":"redact","values":3,"non_null":2,"masked":1,"computed":0,"unshaped":1,"findings":{"BR_CPF":2,"EMAIL":1}}]"#
        );
    }
}

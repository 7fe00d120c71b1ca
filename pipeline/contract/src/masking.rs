//! What masking did in a run: for each column with a class how many values were seen, masked, and what was found in free text.
//!
//! Counts of objects add up to those of a run, in any order. Names and counts, never a value.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::{Deserialize, Serialize};

/// One column under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaskedColumn {
    /// Table.
    pub table: String,
    /// Column.
    pub column: String,
    /// Its class in the contract.
    pub class: String,
    /// The transform's word in the policy.
    pub transform: String,
    /// Values that went into bronze, NULL included.
    pub values: u64,
    /// Values that are not what they were; of free text, those in which something was found. None of a kept column.
    pub masked: u64,
    /// Values that were not what the class says, such as a CPF with wrong check digits, and were not shown or encrypted as one:
    /// `fpe` makes tokens of them, `partial` hides them.
    #[serde(default)]
    pub unshaped: u64,
    /// Findings in free text by kind, under Comprehend's names.
    #[serde(default)]
    pub findings: BTreeMap<String, u64>,
}

/// The columns of a run, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masking(BTreeMap<[String; 4], MaskedColumn>);

impl Masking {
    /// Adds the counts of a column.
    pub fn add(&mut self, column: &MaskedColumn) {
        let MaskedColumn { table, column: name, class, transform, values, masked, unshaped, findings } = column;
        match self.0.entry([table, name, class, transform].map(String::clone)) {
            Entry::Vacant(entry) => _ = entry.insert(column.clone()),
            Entry::Occupied(entry) => {
                let sum = entry.into_mut();
                sum.values += values;
                sum.masked += masked;
                sum.unshaped += unshaped;
                findings.iter().for_each(|(kind, count)| *sum.findings.entry(kind.clone()).or_default() += count);
            }
        }
    }

    /// The columns by table and name.
    pub fn columns(&self) -> Vec<MaskedColumn> {
        self.0.values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_the_same_column_add_up_and_other_policies_stand_apart() {
        let column = |name: &str, transform: &str, values: u64, found: &[(&str, u64)]| MaskedColumn {
            table: "review".into(),
            column: name.into(),
            class: "free_text".into(),
            transform: transform.into(),
            values,
            masked: values / 2,
            unshaped: values / 2,
            findings: found.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
        };
        let mut masking = Masking::default();
        masking.add(&column("title", "redact", 4, &[]));
        masking.add(&column("comment", "redact", 10, &[("EMAIL", 3)]));
        masking.add(&column("comment", "keep", 2, &[]));
        masking.add(&column("comment", "redact", 6, &[("EMAIL", 1), ("PHONE", 2)]));
        let expected = [
            column("comment", "keep", 2, &[]),
            column("comment", "redact", 16, &[("EMAIL", 4), ("PHONE", 2)]),
            column("title", "redact", 4, &[]),
        ];
        assert_eq!(masking.columns(), expected);
    }
}

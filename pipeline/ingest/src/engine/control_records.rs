//! Control records: what they say that the contract does not, and the rule that each is dropped or quarantined by.
//!
//! Of many texts the first in alphabetical order are kept, so neither blocks nor threads show in which. Changes nothing about
//! how rows are read: that is the contract's to say.

use std::collections::BTreeSet;

use lakebed_contract::envelope::Operation;
use lakebed_contract::{SchemaChange, TableContract, schema_changes};
use serde_json::Value;

use super::record::{Rule, Violation};

/// Distinct texts that are kept of one object.
pub(super) const SCHEMA_CHANGES_MAX: usize = 100;
/// Conflicts that the reason of one record names.
const CONFLICTS_NAMED_MAX: usize = 8;

/// Distinct texts about changed tables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SchemaNews(BTreeSet<String>);

impl SchemaNews {
    pub(super) fn add(&mut self, text: String) {
        self.0.insert(text);
        if self.0.len() > SCHEMA_CHANGES_MAX {
            self.0.pop_last();
        }
    }

    pub(super) fn merge(&mut self, other: Self) {
        other.0.into_iter().for_each(|text| self.add(text));
    }

    pub(super) fn memory_bytes(&self) -> usize {
        self.0.iter().map(|text| size_of::<String>() + text.capacity()).sum()
    }

    pub(super) fn into_texts(self) -> BTreeSet<String> {
        self.0
    }
}

/// Where a control record belongs, and what it says.
pub(super) struct ControlRecord<'a> {
    pub(super) schema: &'a str,
    pub(super) table: &'a str,
    pub(super) operation: Operation,
    /// The member `control`.
    pub(super) details: Option<&'a Value>,
}

impl ControlRecord<'_> {
    /// What the record says that the contract does not. One of another table says nothing.
    pub(super) fn changes(&self, table: &TableContract) -> Vec<SchemaChange> {
        if self.table != table.name || self.schema != table.schema {
            return Vec::new();
        }
        schema_changes(table, self.operation, self.details)
    }
}

/// The violation of a record that contradicts the contract.
pub(super) fn conflict(changes: &[SchemaChange], operation: Operation) -> Option<Violation> {
    let conflicts: Vec<_> = changes.iter().filter(|change| change.is_conflict()).collect();
    let more = conflicts.len().checked_sub(CONFLICTS_NAMED_MAX + 1).map(|beyond| format!("{} more", beyond + 1));
    let named = conflicts.iter().take(CONFLICTS_NAMED_MAX).map(ToString::to_string).chain(more);
    let reason = named.collect::<Vec<_>>().join("; ");
    (!conflicts.is_empty()).then(|| Violation::new(Rule::SchemaConflict, reason).of(operation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_texts_are_kept_does_not_depend_on_how_they_came() {
        let texts: Vec<String> = (0..3 * SCHEMA_CHANGES_MAX).map(|number| format!("{:03}", number * 7 % 300)).collect();
        let merged = |blocks: usize| {
            let mut all = SchemaNews::default();
            for block in texts.chunks(blocks) {
                let mut news = SchemaNews::default();
                block.iter().for_each(|text| news.add(text.clone()));
                all.merge(news);
            }
            all.into_texts()
        };
        let expected: BTreeSet<String> = (0..SCHEMA_CHANGES_MAX).map(|number| format!("{number:03}")).collect();
        for blocks in [1, 7, 150, 300] {
            assert_eq!(merged(blocks), expected, "blocks of {blocks}");
        }
    }
}

//! What the generator knows and the lake must be measured against: each planted PII value, and each key that ever was.
//!
//! Serialises so that a kept run can be judged again; never logged, and `Debug` shows counts only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// Classes of planted values.
pub(crate) mod class {
    pub(crate) const EMAIL: &str = "EMAIL";
    pub(crate) const PHONE: &str = "PHONE";
    pub(crate) const CPF: &str = "CPF";
    pub(crate) const NAME: &str = "NAME";
}

/// A PII value that was put into the source and must not be found beyond `raw/`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlantedValue {
    /// `EMAIL`, `PHONE`, `CPF` or `NAME`.
    pub class: String,
    /// The value, byte for byte as it stands at the source.
    pub value: String,
    /// Whether it stands inside a free text (else it is a whole column value).
    pub in_text: bool,
}

impl PlantedValue {
    pub(crate) fn column(class: &str, value: &str) -> Self {
        Self { class: class.to_owned(), value: value.to_owned(), in_text: false }
    }

    pub(crate) fn text(class: &str, value: &str) -> Self {
        Self { class: class.to_owned(), value: value.to_owned(), in_text: true }
    }
}

impl fmt::Debug for PlantedValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlantedValue({}, in_text: {}, ***)", self.class, self.in_text)
    }
}

/// The truth about the source.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceTruth {
    /// PII values ever written, in order of writing; a value may occur twice.
    pub planted: Vec<PlantedValue>,
    /// By table: each key that was ever committed.
    pub keys_ever: BTreeMap<String, BTreeSet<i64>>,
}

impl SourceTruth {
    pub(crate) fn add_key(&mut self, table: &str, key: i64) {
        match self.keys_ever.get_mut(table) {
            Some(keys) => {
                keys.insert(key);
            }
            None => {
                self.keys_ever.insert(table.to_owned(), BTreeSet::from([key]));
            }
        }
    }
}

impl fmt::Debug for SourceTruth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: BTreeMap<_, _> = self.keys_ever.iter().map(|(table, keys)| (table, keys.len())).collect();
        f.debug_struct("SourceTruth").field("planted", &self.planted.len()).field("keys_ever", &keys).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_counts_and_no_values() {
        let mut truth =
            SourceTruth { planted: vec![PlantedValue::text(class::EMAIL, "a@b.example")], ..Default::default() };
        truth.add_key("review", 77);
        let shown = format!("{truth:?} {:?}", truth.planted[0]);
        assert!(!shown.contains("a@b") && !shown.contains("77"), "{shown}");
        let json = serde_json::to_string(&truth).expect("serialises");
        assert_eq!(serde_json::from_str::<SourceTruth>(&json).expect("reads back"), truth);
    }
}

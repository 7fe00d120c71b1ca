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

/// One value of a key.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyPart {
    /// `integer` or `bigint`.
    Integer(i64),
    /// `text`.
    Text(String),
    /// `date`, in days since 1970-01-01.
    Date(i32),
    /// `timestamptz`, in microseconds since 1970-01-01T00:00:00Z.
    Instant(i64),
}

impl fmt::Debug for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(value) => write!(f, "{value}"),
            Self::Text(_) | Self::Date(_) | Self::Instant(_) => f.write_str("***"),
        }
    }
}

/// The truth about the source.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceTruth {
    /// PII values ever written, in order of writing; a value may occur twice.
    pub planted: Vec<PlantedValue>,
    /// By table whose key is one whole number: each key that was ever committed.
    pub keys_ever: BTreeMap<String, BTreeSet<i64>>,
    /// The same for every other table; the parts in the contract's order.
    #[serde(default)]
    pub other_keys_ever: BTreeMap<String, BTreeSet<Vec<KeyPart>>>,
}

impl SourceTruth {
    /// Keys ever committed, by table.
    pub fn keys_by_table(&self) -> BTreeMap<String, u64> {
        let single = self.keys_ever.iter().map(|(table, keys)| (table.clone(), keys.len() as u64));
        let other = self.other_keys_ever.iter().map(|(table, keys)| (table.clone(), keys.len() as u64));
        single.chain(other).collect()
    }

    /// Adds a key of any shape.
    pub(crate) fn add_key_parts(&mut self, table: &str, key: &[KeyPart]) {
        match key {
            [KeyPart::Integer(key)] => self.add_key(table, *key),
            _ => _ = self.other_keys_ever.entry(table.to_owned()).or_default().insert(key.to_vec()),
        }
    }

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
        let keys = self.keys_by_table();
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
        truth.add_key_parts("visit", &[KeyPart::Integer(3), KeyPart::Text("Ana".into())]);
        let shown = format!("{truth:?} {:?} {:?}", truth.planted[0], truth.other_keys_ever["visit"]);
        assert!(!shown.contains("a@b") && !shown.contains("77") && !shown.contains("Ana"), "{shown}");
        assert_eq!(truth.keys_by_table(), BTreeMap::from([("review".to_owned(), 1), ("visit".to_owned(), 1)]));
        let json = serde_json::to_string(&truth).expect("serialises");
        assert_eq!(serde_json::from_str::<SourceTruth>(&json).expect("reads back"), truth);
    }
}

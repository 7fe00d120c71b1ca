//! Two sets of rows, compared by key and column without holding either as text.
//!
//! The expected side is kept as one 64-bit fingerprint per cell, the actual side is streamed past it: missing, extra and
//! different rows are counted, a few keys of each are named with the columns that differ.

use std::collections::HashMap;
use std::fmt::{self, Display};
use std::hash::{BuildHasherDefault, Hash};

use super::cell::Scrambler;

/// Keys named per kind of deviation.
const SAMPLE_MAX: usize = 5;

/// What a comparison found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) expected: u64,
    pub(super) missing: u64,
    pub(super) extra: u64,
    pub(super) different: u64,
    samples: Samples,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Samples {
    missing: Vec<String>,
    extra: Vec<String>,
    different: Vec<String>,
}

impl Comparison {
    pub(super) fn is_equal(&self) -> bool {
        self.missing + self.extra + self.different == 0
    }
}

impl Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_equal() {
            return write!(f, "{} rows equal", self.expected);
        }
        write!(f, "{} rows expected", self.expected)?;
        for (name, count, samples) in [
            ("missing", self.missing, &self.samples.missing),
            ("extra", self.extra, &self.samples.extra),
            ("different", self.different, &self.samples.different),
        ] {
            if count > 0 {
                write!(f, ", {count} {name} (key {})", samples.join(", "))?;
            }
        }
        Ok(())
    }
}

fn sample(samples: &mut Vec<String>, make: impl FnOnce() -> String) {
    if samples.len() < SAMPLE_MAX {
        samples.push(make());
    }
}

/// The rows one side should have.
pub(super) struct ExpectedRows<K> {
    columns: Vec<String>,
    index: HashMap<K, u32, BuildHasherDefault<Scrambler>>,
    fingerprints: Vec<u64>,
    seen: Vec<bool>,
    found: Comparison,
}

impl<K: Hash + Eq + Ord + Display> ExpectedRows<K> {
    pub(super) fn new(columns: Vec<String>) -> Self {
        Self {
            columns,
            index: HashMap::default(),
            fingerprints: Vec::new(),
            seen: Vec::new(),
            found: Comparison::default(),
        }
    }

    /// Adds an expected row; `false`, and nothing added, when its key is already there.
    pub(super) fn expect(&mut self, key: K, fingerprints: &[u64]) -> bool {
        assert_eq!(fingerprints.len(), self.columns.len(), "one fingerprint per column");
        let at = u32::try_from(self.seen.len()).expect("a table of this testbed has fewer than 2^32 rows");
        if self.index.contains_key(&key) {
            return false;
        }
        self.index.insert(key, at);
        self.fingerprints.extend_from_slice(fingerprints);
        self.seen.push(false);
        self.found.expected += 1;
        true
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.index.keys()
    }

    pub(super) fn len(&self) -> usize {
        self.seen.len()
    }

    /// Compares a row of the other side. A key that comes twice is extra the second time.
    pub(super) fn compare(&mut self, key: K, fingerprints: &[u64]) {
        let Some(at) = self.index.get(&key).map(|at| *at as usize) else {
            self.found.extra += 1;
            return sample(&mut self.found.samples.extra, || key.to_string());
        };
        if std::mem::replace(&mut self.seen[at], true) {
            self.found.extra += 1;
            return sample(&mut self.found.samples.extra, || format!("{key} again"));
        }
        let width = self.columns.len();
        let expected = &self.fingerprints[at * width..(at + 1) * width];
        if expected == fingerprints {
            return;
        }
        self.found.different += 1;
        sample(&mut self.found.samples.different, || {
            let columns = self.columns.iter().zip(expected.iter().zip(fingerprints));
            let names: Vec<_> = columns.filter(|(_, (a, b))| a != b).map(|(name, _)| name.as_str()).collect();
            format!("{key}: {}", names.join("+"))
        });
    }

    /// A row of the other side that has no key at all.
    pub(super) fn without_key(&mut self) {
        self.found.extra += 1;
        sample(&mut self.found.samples.extra, || "NULL".to_owned());
    }

    /// Ends the comparison: what was not seen is missing.
    pub(super) fn finish(mut self) -> Comparison {
        let mut missing: Vec<&K> =
            self.index.iter().filter(|(_, at)| !self.seen[**at as usize]).map(|(key, _)| key).collect();
        missing.sort_unstable();
        self.found.missing = missing.len() as u64;
        self.found.samples.missing = missing.iter().take(SAMPLE_MAX).map(ToString::to_string).collect();
        self.found
    }
}

/// `3 (1, 2, 9)`: how many, and the first few.
pub(super) fn count_and_sample<K: Display>(keys: &[K]) -> String {
    let first: Vec<_> = keys.iter().take(SAMPLE_MAX).map(ToString::to_string).collect();
    format!("{} ({})", keys.len(), first.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::cell::Cell;
    use super::*;

    fn expected() -> ExpectedRows<i64> {
        let mut rows = ExpectedRows::new(vec!["city".to_owned(), "state".to_owned()]);
        for key in 1..=3 {
            assert!(rows.expect(key, &row("Recife", Some("PE"))));
        }
        rows
    }

    fn row(city: &str, state: Option<&str>) -> [u64; 2] {
        [Cell::Text(city).fingerprint(), state.map_or(Cell::Null, Cell::Text).fingerprint()]
    }

    fn judged(mut rows: ExpectedRows<i64>, actual: &[(i64, [u64; 2])]) -> Comparison {
        for (key, cells) in actual {
            rows.compare(*key, cells);
        }
        rows.finish()
    }

    #[test]
    fn equal_rows_are_equal_in_any_order() {
        let same = row("Recife", Some("PE"));
        let found = judged(expected(), &[(3, same), (1, same), (2, same)]);
        assert!(found.is_equal());
        assert_eq!(found.to_string(), "3 rows equal");
    }

    #[test]
    fn a_changed_value_names_its_key_and_column() {
        let same = row("Recife", Some("PE"));
        let found = judged(expected(), &[(1, same), (2, row("Recife", None)), (3, row("Olinda", Some("BA")))]);
        assert_eq!((found.missing, found.extra, found.different), (0, 0, 2));
        assert_eq!(found.to_string(), "3 rows expected, 2 different (key 2: state, 3: city+state)");
    }

    #[test]
    fn a_dropped_an_extra_and_a_doubled_row_are_found() {
        let same = row("Recife", Some("PE"));
        let found = judged(expected(), &[(1, same), (1, same), (2, same), (9, same)]);
        assert_eq!((found.missing, found.extra, found.different), (1, 2, 0));
        assert_eq!(found.to_string(), "3 rows expected, 1 missing (key 3), 2 extra (key 1 again, 9)");
    }

    #[test]
    fn an_expected_key_comes_once() {
        assert!(!expected().expect(1, &row("x", None)));
    }
}

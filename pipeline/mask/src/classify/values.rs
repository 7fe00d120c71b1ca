//! What a sample of a column's values says about its class.
//!
//! Each distinct value is put through the validators, looked at for the loose shape of each kind, and scanned; the answer is
//! counts. Values themselves are not kept. Says what was seen, not what it means: the judgement is one module up.

use std::collections::HashSet;

use crate::classify::shape;
use crate::find::{Finding, PiiKind, Scanner, validate};

/// Most distinct values that are judged.
pub(super) const DISTINCT_MAX: usize = 2048;
/// Most values that are looked at in search of distinct ones.
pub(super) const EXAMINED_MAX: usize = 65_536;
/// Bytes of a value that are looked at; longer ones are prose anyway.
const VALUE_BYTES_MAX: usize = 4096;
/// Longest value that may be one e-mail address, one number, one name, one address.
pub(super) const WHOLE_BYTES_MAX: usize = 256;
/// A column with so few distinct values among so many is a vocabulary, not prose.
const VOCABULARY: (usize, usize) = (20, 200);
const KINDS: usize = PiiKind::ALL.len();

/// Counts over the distinct values of a sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Values {
    examined: usize,
    distinct: usize,
    /// By kind: passes the validator.
    valid: [usize; KINDS],
    /// By kind: passes it, and hardly anything else is written so.
    distinctive: [usize; KINDS],
    /// By kind: could be one, if the name says so.
    shaped: [usize; KINDS],
    /// Short values that hold a name or an address among other words.
    names: usize,
    addresses: usize,
    /// Sentences.
    prose: usize,
    /// Of several words, or with an `@`.
    worded: usize,
    /// Worded, with something found in it other than a name.
    worded_found: usize,
    /// The same of values without words.
    bare_found: usize,
}

impl Values {
    /// Judges the distinct values of a sample; blank ones count as absent.
    pub(super) fn of<'a>(scanner: &Scanner, is_number: bool, sample: impl Iterator<Item = &'a str>) -> Self {
        let mut values = Self::default();
        let mut seen: HashSet<&str> = HashSet::new();
        let mut found = Vec::new();
        for value in sample.map(str::trim).filter(|value| !value.is_empty()).take(EXAMINED_MAX) {
            values.examined += 1;
            if seen.len() < DISTINCT_MAX && seen.insert(value) {
                values.add(scanner, is_number, beginning(value, VALUE_BYTES_MAX), &mut found);
            }
        }
        values.distinct = seen.len();
        values
    }

    fn add(&mut self, scanner: &Scanner, is_number: bool, value: &str, found: &mut Vec<Finding>) {
        if value.len() <= WHOLE_BYTES_MAX {
            for kind in PiiKind::ALL {
                let at = kind as usize;
                let is_valid = !matches!(kind, PiiKind::Name | PiiKind::Address)
                    && (validate::is(kind, value) || is_number && validate::is(kind, &padded(kind, value)));
                self.valid[at] += usize::from(is_valid);
                self.distinctive[at] += usize::from(is_valid && shape::is_distinctive(kind, value));
                self.shaped[at] += usize::from(is_valid || shape::fits(kind, value));
            }
        }
        if is_number {
            return;
        }
        scanner.scan(value, found);
        self.names += usize::from(is_person(PiiKind::Name, value, found));
        self.addresses += usize::from(is_person(PiiKind::Address, value, found));
        self.prose += usize::from(shape::is_prose(value));
        // A whole value that only looks like a kind (`2.14.0.3`) has been counted as such; as text it says nothing more.
        let is_mere_look = |finding: &Finding| {
            let is_whole = (finding.start, finding.end) == (0, value.len());
            is_whole && finding.kind != PiiKind::Address && !shape::is_distinctive(finding.kind, value)
        };
        let found = found.iter().any(|finding| finding.kind != PiiKind::Name && !is_mere_look(finding));
        let worded = is_worded(value);
        self.worded += usize::from(worded);
        self.worded_found += usize::from(worded && found);
        self.bare_found += usize::from(!worded && found);
    }

    /// Whether there was anything to judge.
    pub(super) fn is_empty(&self) -> bool {
        self.distinct == 0
    }

    /// Share of values that pass the validator of a kind.
    pub(super) fn valid(&self, kind: PiiKind) -> f32 {
        self.share(self.valid[kind as usize])
    }

    /// Share of values that can hardly be anything else than a kind.
    pub(super) fn distinctive(&self, kind: PiiKind) -> f32 {
        self.share(self.distinctive[kind as usize])
    }

    /// Share of values that could be of a kind if the name says so.
    pub(super) fn shaped(&self, kind: PiiKind) -> f32 {
        self.share(self.shaped[kind as usize])
    }

    /// Share of values that are a person's name.
    pub(super) fn names(&self) -> f32 {
        self.share(self.names)
    }

    /// Share of values that are a street address.
    pub(super) fn addresses(&self) -> f32 {
        self.share(self.addresses)
    }

    /// Share of values that are sentences; none in a vocabulary.
    pub(super) fn prose(&self) -> f32 {
        let (distinct, examined) = VOCABULARY;
        if self.distinct <= distinct && self.examined >= examined { 0.0 } else { self.share(self.prose) }
    }

    /// Share of worded values with personal data in them, and how many there are.
    pub(super) fn worded_found(&self) -> (f32, usize) {
        (ratio(self.worded_found, self.worded), self.worded_found)
    }

    /// Share of values without words that hold personal data.
    pub(super) fn bare_found(&self) -> f32 {
        self.share(self.bare_found)
    }

    fn share(&self, count: usize) -> f32 {
        ratio(count, self.distinct)
    }
}

pub(super) fn ratio(part: usize, whole: usize) -> f32 {
    // Neither is over `EXAMINED_MAX`, so both are exact.
    let exact = |count: usize| u16::try_from(count).map_or(f32::from(u16::MAX), f32::from);
    if whole == 0 { 0.0 } else { exact(part) / exact(whole) }
}

/// The first bytes of a value, cut on a character boundary.
pub(super) fn beginning(value: &str, bytes_max: usize) -> &str {
    let cut = (0..=bytes_max.min(value.len())).rev().find(|at| value.is_char_boundary(*at));
    &value[..cut.unwrap_or(0)]
}

/// Whether a value is a name, or an address: a name fills its value; an address is followed by district, city and postal code.
pub(super) fn is_person(kind: PiiKind, value: &str, found: &[Finding]) -> bool {
    let of_kind = found.iter().filter(|finding| finding.kind == kind);
    let covered: usize = of_kind.map(|finding| finding.end - finding.start).sum();
    let tenths = if kind == PiiKind::Address { 3 } else { 6 };
    value.len() <= WHOLE_BYTES_MAX && 10 * covered >= tenths * value.len()
}

/// Whether a value has several words, or an `@`.
pub(super) fn is_worded(value: &str) -> bool {
    value.contains('@') || value.split_whitespace().filter(|word| has_letter(word)).count() >= 2
}

fn has_letter(word: &str) -> bool {
    word.chars().any(char::is_alphabetic)
}

/// A number with the zeros in front that an integer column has lost.
fn padded(kind: PiiKind, digits: &str) -> String {
    let width = match kind {
        PiiKind::Cpf => 11,
        PiiKind::Cnpj => 14,
        _ => 0,
    };
    format!("{digits:0>width$}")
}

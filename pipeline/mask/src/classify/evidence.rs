//! What the values of a column prove, whatever it is called: the question a write path asks before it publishes a column that
//! nobody classed.
//!
//! Stricter than [`Classifier::classify`], because an answer here refuses an object: names of columns do not speak, shapes that a
//! column's name would have to explain (`20041130`, ten plain digits, a postal code) do not either, and below [`ValueSample::DISTINCT_MIN`]
//! different values nothing is proved. Promises the same answer for the same values in any order. An answer holds no value.

use std::collections::BTreeSet;
use std::fmt;

use super::values::{WHOLE_BYTES_MAX, beginning, is_person, is_worded};
use super::{Classifier, ColumnClass, shape};
use crate::find::{Finding, PiiKind, validate};

/// Of ten values, so many must be of a kind.
const TENTHS_MIN: usize = 9;
/// Of ten values with words in them, so many must hold personal data for the column to be free text with personal data.
const WORDED_TENTHS_MIN: usize = 2;
/// Bytes of a value that are kept.
const VALUE_BYTES_MAX: usize = 512;

/// Different values of a column. Holds them in clear, so it is not shown and does not outlive the question.
#[derive(Default)]
pub struct ValueSample {
    distinct: BTreeSet<Box<str>>,
}

impl ValueSample {
    /// Fewer different values prove nothing: a handful is right by chance, or somebody's slip.
    pub const DISTINCT_MIN: usize = 20;

    /// Adds a value, or its first 512 bytes; blank ones count as absent. How many are added bounds the memory.
    pub fn add(&mut self, value: &str) {
        let value = beginning(value.trim(), VALUE_BYTES_MAX);
        if !value.is_empty() && !self.distinct.contains(value) {
            self.distinct.insert(value.into());
        }
    }
}

impl fmt::Debug for ValueSample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValueSample({} different values)", self.distinct.len())
    }
}

/// What a sample proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What the column holds.
    pub class: ColumnClass,
    /// How many different values say so.
    pub hits: usize,
    /// Of how many different values; of free text, of those with words in them.
    pub of: usize,
}

impl Classifier {
    /// What the values prove; `None` when they may be something else, or are fewer than [`ValueSample::DISTINCT_MIN`].
    pub fn evidence(&self, sample: &ValueSample) -> Option<Evidence> {
        let values = &sample.distinct;
        if values.len() < ValueSample::DISTINCT_MIN {
            return None;
        }
        let of_kind = |kind| Some((kind, count_of_kind(kind, values)?));
        // A postal code has no check digits, and part numbers are written `12345-678` as well. The reverse makes `max_by_key`, which
        // keeps the last of equals, keep the first of the list.
        let kinds = PiiKind::ALL.into_iter().rev().filter(|kind| *kind != PiiKind::Cep);
        let best = kinds.filter_map(of_kind).max_by_key(|(_, hits)| *hits);
        let whole = best.map(|(kind, hits)| Evidence { class: ColumnClass::Pii(kind), hits, of: values.len() });
        whole.or_else(|| self.evident_in_text(values))
    }

    /// Names and addresses, and personal data among other words.
    fn evident_in_text(&self, values: &BTreeSet<Box<str>>) -> Option<Evidence> {
        let (mut names, mut addresses, mut worded, mut worded_found) = (0, 0, 0, 0);
        let mut found = Vec::new();
        for value in values {
            self.scanner.scan(value, &mut found);
            names += usize::from(is_person(PiiKind::Name, value, &found));
            addresses += usize::from(is_person(PiiKind::Address, value, &found));
            if is_worded(value) {
                worded += 1;
                worded_found += usize::from(found.iter().any(|finding| is_unmistakable(value, finding)));
            }
        }
        for (kind, hits) in [(PiiKind::Address, addresses), (PiiKind::Name, names)] {
            if 10 * hits >= TENTHS_MIN * values.len() {
                return Some(Evidence { class: ColumnClass::Pii(kind), hits, of: values.len() });
            }
        }
        let is_free_text = worded_found >= ValueSample::DISTINCT_MIN && 10 * worded_found >= WORDED_TENTHS_MIN * worded;
        is_free_text.then_some(Evidence { class: ColumnClass::FreeText, hits: worded_found, of: worded })
    }
}

/// How many values can hardly be anything else than a kind, if they are enough. Names and addresses never can.
fn count_of_kind(kind: PiiKind, values: &BTreeSet<Box<str>>) -> Option<usize> {
    let others_max = values.len() - (TENTHS_MIN * values.len()).div_ceil(10);
    let mut others = 0;
    for value in values {
        // The cheap question first; and after the first few hundred values a kind is out of the question, as nearly all are.
        let is_kind = value.len() <= WHOLE_BYTES_MAX && shape::is_distinctive(kind, value) && validate::is(kind, value);
        others += usize::from(!is_kind);
        if others > others_max {
            return None;
        }
    }
    Some(values.len() - others)
}

/// Whether a finding among other words is what it seems: `@`, check digits, or punctuation that other data does not have.
fn is_unmistakable(value: &str, finding: &Finding) -> bool {
    let checked = matches!(
        finding.kind,
        PiiKind::Email
            | PiiKind::Cpf
            | PiiKind::Cnpj
            | PiiKind::CreditCard
            | PiiKind::Iban
            | PiiKind::Ssn
            | PiiKind::Itin
            | PiiKind::UrlCredentials
            | PiiKind::AwsAccessKey
    );
    checked && value.get(finding.start..finding.end).is_some_and(|text| shape::is_distinctive(finding.kind, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(values: impl IntoIterator<Item = String>) -> Option<Evidence> {
        let mut sample = ValueSample::default();
        values.into_iter().for_each(|value| sample.add(&value));
        Classifier::new().evidence(&sample)
    }

    #[track_caller]
    fn check(class: Option<&str>, value: impl Fn(u32) -> String) {
        let found = evidence((0..200).map(&value));
        assert_eq!(found.as_ref().map(|found| found.class.name()), class, "{}", value(7));
    }

    /// Digits with a last one that makes the Luhn sum right.
    fn card(number: u32) -> String {
        let body = format!("411111{number:09}");
        let sum = |text: &str| -> u32 {
            let digits = text.bytes().rev().map(|digit| u32::from(digit - b'0')).enumerate();
            digits.map(|(at, digit)| if at % 2 == 1 { 2 * digit / 10 + 2 * digit % 10 } else { digit }).sum()
        };
        (0..10).map(|last| format!("{body}{last}")).find(|card| sum(card) % 10 == 0).expect("one of ten")
    }

    #[test]
    fn values_that_cannot_be_anything_else_are_evidence() {
        check(Some("email"), |n| format!("user{n}@example.com"));
        check(Some("credit_card"), card);
        check(Some("mac_address"), |n| format!("00:1a:2b:3c:4d:{n:02x}"));
        check(Some("ip_address"), |n| format!("203.0.113.{n}"));
        check(Some("ssn"), |n| format!("{}-45-{}", 123 + n, 6_789 + n));
        check(Some("url_credentials"), |n| format!("https://ana{n}:secret@host.example/x"));
        check(Some("free_text"), |n| format!("please write to user{n}@example.com about the order"));
    }

    #[test]
    fn what_may_be_something_else_is_none() {
        check(None, |n| format!("{:08}", 20_040_101 + n));
        check(None, |n| format!("2010-11-{:02} 00:{:02}:00+00", n % 28 + 1, n % 60));
        check(None, |n| format!("{:010}", 3_000_000_000 + u64::from(n) * 7_919));
        check(None, |n| format!("{:016}", 4_111_111_111_111_111 + u64::from(n) * 7_919));
        check(None, |n| format!("2.{}.{}", n % 17, n));
        check(None, |n| format!("1.{}.{}.0", n % 30, n % 31));
        check(None, |n| format!("tok_1_{:064x}", u128::from(n) * 0x9e37_79b9_7f4a_7c15));
        check(None, |n| format!("hopfan_{n}"));
        check(None, |n| format!("SKU-{:04}-{}", n, n % 7));
        // Part numbers, written like Brazilian postal codes.
        check(None, |n| format!("{:05}-{:03}", 12_345 + n * 31, 678 + n % 300));
        check(None, |n| format!("pours amber, number {n} of the evening, ask the bar for more"));
        check(None, |n| format!("order {:016} was sent", 4_111_111_111_111_111 + u64::from(n) * 7_919));
    }

    /// Breweries are called after people and beers after saints; places sound like both.
    #[test]
    fn names_of_things_and_places_are_none() {
        let breweries = ["Samuel Adams", "Stone", "Anchor", "Sierra Nevada", "Founders", "Bell's", "Great Lakes"];
        let kinds = ["Brewing Co.", "Brewery", "Beer Works"];
        check(None, |n| {
            format!("{} {}", breweries[n as usize % 7], kinds[n as usize % 3]) + &" II".repeat(n as usize / 21)
        });
        let cities = "San Diego,Portland,Denver,Chicago,Austin,Madison,Charlotte,Jackson,Lincoln,Santa Rosa,San José,São Paulo,\
            Rio de Janeiro,Belo Horizonte,Porto Alegre,Ribeirão Preto,Petrópolis,Köln,Bruxelles,Grand Rapids,St. Louis,\
            New York,Salt Lake City,Coeur d'Alene,Houston,Dallas";
        assert_eq!(evidence(cities.split(',').map(str::to_owned)), None);
    }

    #[test]
    fn nine_of_ten_are_enough_and_a_handful_is_not() {
        let mixed = |others: u32| {
            evidence((0..100).map(|n| if n < others { format!("word {n}") } else { format!("u{n}@example.com") }))
        };
        let found = mixed(10).expect("nine of ten");
        assert_eq!((found.class.name(), found.hits, found.of), ("email", 90, 100));
        assert_eq!(mixed(11).map(|found| found.class), Some(ColumnClass::FreeText), "addresses among words");
        let among_numbers = evidence(
            (0..100).map(|n| format!("{}", 7 * n)).chain((0..50).map(|n| format!("write to u{n}@example.com, please"))),
        );
        let found = among_numbers.expect("free text");
        assert_eq!((found.class, found.hits, found.of), (ColumnClass::FreeText, 50, 50), "numbers are no text");
        let few = u32::try_from(ValueSample::DISTINCT_MIN).expect("small") - 1;
        let repeated = |count: u32| evidence((0..500).map(|n| format!(" u{}@example.com", n % count)));
        assert_eq!(repeated(few), None);
        assert!(repeated(few + 1).is_some());
    }

    #[test]
    fn a_sample_does_not_show_its_values() {
        let mut sample = ValueSample::default();
        sample.add("ana.lima@example.com");
        sample.add(&"é".repeat(10_000));
        assert_eq!(format!("{sample:?}"), "ValueSample(2 different values)");
        assert!(sample.distinct.iter().all(|value| value.len() <= VALUE_BYTES_MAX));
    }
}

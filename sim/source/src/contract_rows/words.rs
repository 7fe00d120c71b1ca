//! Words that mean nothing in particular, for columns about which a contract says no more than `text`.
//!
//! All lower case and without digits, so that no name of a person and no number comes about by chance: what the truth lists is
//! exactly what a search for personal data should find. The odd ones hold what pipelines stumble over.

use rand::{Rng as _, RngCore};

use crate::beer::comment::random_words;
use crate::beer::names::{per_mille, pick};
use crate::beer::pii;
use crate::truth::PlantedValue;

/// Bytes of a long text: above Postgres's page size of 8 kB, so certainly stored out of line.
pub(crate) const LONG_TEXT_BYTES: std::ops::Range<usize> = 8_500..16_000;

const EMPTY_PER_MILLE: u32 = 15;
const ODD_PER_MILLE: u32 = 60;
const PLANTED_PER_MILLE: u32 = 60;

/// A column of kinds holds these, the first far more often than the last.
pub(crate) const KINDS: &[&str] = &["plain", "regular", "small", "large", "rare", "old", "new", "other"];

const WORDS: &[&str] = &[
    "amber", "anchor", "autumn", "barrel", "basin", "beacon", "birch", "border", "bridge", "cedar", "circle", "copper",
    "corner", "cotton", "county", "delta", "ember", "field", "forest", "garden", "granite", "harbour", "hollow",
    "island", "ivory", "lantern", "ledger", "lilac", "market", "meadow", "mirror", "north", "orchard", "paper",
    "pebble", "pilot", "quarry", "ribbon", "river", "saddle", "shadow", "silver", "spring", "station", "stone",
    "summer", "timber", "valley", "velvet", "winter",
];

const ODD: &[&str] = &[
    "it's so",
    "she said \"no\"",
    "a, b; c",
    "back\\slash",
    "first line\nsecond line",
    "tab\there",
    "ünïcödé 🌊",
    "null",
    "NULL",
    " leading",
    "trailing ",
    "<b>bold</b> & more",
    "{\"json\": true}",
    "''",
    "\"\"",
    "%s $1 ${x}",
];

/// `{}` is where the value goes; it never touches a letter or digit.
const PLANTED: &[&str] =
    &["please answer to {} soon", "({})", "contact: {}, any time", "ask {} first", "\"{}\" is the one"];

/// One word out of a few.
pub(crate) fn kind(rng: &mut impl RngCore) -> &'static str {
    KINDS[rng.random_range(0..KINDS.len()).min(rng.random_range(0..KINDS.len()))]
}

/// Two or three words, at times odd or empty.
pub(crate) fn phrase(rng: &mut impl RngCore) -> String {
    match rng.random_range(0..1_000) {
        roll if roll < EMPTY_PER_MILLE => String::new(),
        roll if roll < EMPTY_PER_MILLE + ODD_PER_MILLE => (*pick(rng, ODD)).to_owned(),
        _ => {
            let count = rng.random_range(2..4);
            sentence(rng, count)
        }
    }
}

/// Free text; now and then a personal datum stands in it, which is recorded.
pub(crate) fn prose(rng: &mut impl RngCore, planted: &mut Vec<PlantedValue>) -> String {
    if per_mille(rng, EMPTY_PER_MILLE) {
        return String::new();
    }
    let mut sentences: Vec<String> = Vec::new();
    for _ in 0..rng.random_range(1..4) {
        let count = rng.random_range(4..10);
        sentences.push(sentence(rng, count) + ".");
    }
    if per_mille(rng, ODD_PER_MILLE) {
        sentences.push((*pick(rng, ODD)).to_owned());
    }
    if per_mille(rng, PLANTED_PER_MILLE) {
        let value = pii::for_text(rng);
        let at = rng.random_range(0..=sentences.len());
        sentences.insert(at, pick(rng, PLANTED).replace("{}", &value.value));
        planted.push(value);
    }
    sentences.join(" ")
}

/// Letters that do not compress, in words.
pub(crate) fn long_text(rng: &mut impl RngCore) -> String {
    let bytes = rng.random_range(LONG_TEXT_BYTES);
    let mut text = String::with_capacity(bytes + 16);
    random_words(rng, &mut text, bytes, |_| ' ');
    text
}

fn sentence(rng: &mut impl RngCore, count: usize) -> String {
    (0..count).map(|_| *pick(rng, WORDS)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use lakebed_contract::Seed;

    use super::*;

    #[test]
    fn nothing_but_the_planted_values_looks_personal() {
        let mut rng = Seed(3).rng("prose");
        let mut personal = 0;
        for round in 0..10_000 {
            let mut planted = Vec::new();
            let mut rest = match round % 100 {
                0 => long_text(&mut rng),
                1..30 => phrase(&mut rng),
                _ => prose(&mut rng, &mut planted),
            };
            for value in &planted {
                assert!(rest.contains(&value.value), "a planted value stands in the text as it is recorded");
                rest = rest.replace(&value.value, "");
                personal += 1;
            }
            let longest = rest.split(|c: char| !c.is_ascii_digit()).map(str::len).max();
            assert!(!rest.contains('@') && longest.unwrap_or(0) < 5, "an unplanted text looks personal");
        }
        assert!((200..900).contains(&personal), "{personal}");
    }
}

//! Comments: what people write about beer, with everything a pipeline can stumble over.
//!
//! A share is NULL, a few are empty, some hold quotes, line ends and backslashes, some are long and incompressible so that
//! Postgres stores them out of line, and about 2% hold a personal datum. Apart from what is planted no text holds an `@`
//! or more than four digits in a row, so that what the truth lists is exactly what a detector should find.

use rand::{Rng as _, RngCore};

use super::names::{per_mille, pick};
use super::{pii, words};
use crate::truth::PlantedValue;

/// Bytes of a long comment: above Postgres's page size of 8 kB, so certainly TOASTed.
pub(crate) const LONG_COMMENT_BYTES: std::ops::Range<usize> = 8_500..16_000;

const NULL_PER_MILLE: u32 = 300;
const EMPTY_PER_MILLE: u32 = 15;
const ODD_PER_MILLE: u32 = 80;
const PLANTED_PER_MILLE: u32 = 20;

/// `{}` is where the value goes; it never touches a letter or digit.
const PLANTED_SENTENCES: &[&str] = &[
    "Trades welcome, write to {} any time.",
    "Call me ({}) for a growler!",
    "Contato: {}",
    "If you ship, here it is: {}, thanks.",
    "Me liga: {} valeu",
    "reach me via \"{}\"\n",
    "{} is how you find me.",
];

/// Any comment, NULL included.
pub(crate) fn comment(rng: &mut impl RngCore, planted: &mut Vec<PlantedValue>) -> Option<String> {
    let kind = rng.random_range(0..1_000);
    if kind < NULL_PER_MILLE {
        return None;
    }
    if kind < NULL_PER_MILLE + EMPTY_PER_MILLE {
        return Some(String::new());
    }
    Some(prose(rng, planted))
}

/// A comment that Postgres stores out of line.
pub(crate) fn long_comment(rng: &mut impl RngCore, planted: &mut Vec<PlantedValue>) -> String {
    let bytes = rng.random_range(LONG_COMMENT_BYTES);
    let mut text = String::with_capacity(bytes + 512);
    random_words(rng, &mut text, bytes, |rng| if per_mille(rng, 60) { '\n' } else { ' ' });
    text.push_str(&prose(rng, planted));
    text
}

/// Letters that do not compress, in words, until `bytes` are full; `gap` draws what stands between two words.
pub(crate) fn random_words<R: RngCore>(rng: &mut R, text: &mut String, bytes: usize, gap: impl Fn(&mut R) -> char) {
    while text.len() < bytes {
        let mut letters = rng.next_u64();
        for _ in 0..rng.random_range(3..13) {
            text.push(char::from(b'a' + u8::try_from(letters % 26).expect("below 26")));
            letters /= 26;
        }
        text.push(gap(rng));
    }
}

fn prose(rng: &mut impl RngCore, planted: &mut Vec<PlantedValue>) -> String {
    let mut sentences: Vec<String> = (0..rng.random_range(1..5)).map(|_| sentence(rng)).collect();
    if per_mille(rng, ODD_PER_MILLE) {
        sentences.push((*pick(rng, words::ODDITIES)).to_owned());
    }
    if per_mille(rng, PLANTED_PER_MILLE) {
        let value = pii::for_text(rng);
        let at = rng.random_range(0..=sentences.len());
        sentences.insert(at, pick(rng, PLANTED_SENTENCES).replace("{}", &value.value));
        planted.push(value);
    }
    sentences.join(" ")
}

fn sentence(rng: &mut impl RngCore) -> String {
    let (subject, verdict) = (pick(rng, words::SUBJECTS), pick(rng, words::VERDICTS));
    let (note, other) = (pick(rng, words::NOTES), pick(rng, words::NOTES));
    match rng.random_range(0..5) {
        0 => format!("The {subject} is {verdict}."),
        1 => format!("Tried it {}: {note} up front, {other} later.", pick(rng, words::OCCASIONS)),
        2 => format!("Lots of {note}, and the {subject} is {verdict}!"),
        3 => format!("I'd call the {subject} \"{verdict}\"; {note} all the way."),
        _ => format!("Expected {note}, got {other}."),
    }
}

#[cfg(test)]
mod tests {
    use lakebed_contract::Seed;

    use super::*;

    #[test]
    fn nothing_but_the_planted_values_looks_personal() {
        let mut rng = Seed(3).rng("comment");
        let mut personal = 0;
        for round in 0..20_000 {
            let mut planted = Vec::new();
            let text = if round % 50 == 0 {
                long_comment(&mut rng, &mut planted)
            } else {
                comment(&mut rng, &mut planted).unwrap_or_default()
            };
            let mut rest = text.clone();
            for value in &planted {
                assert!(rest.contains(&value.value), "a planted value stands in the text as it is recorded");
                rest = rest.replace(&value.value, "");
                personal += 1;
            }
            assert!(!rest.contains('@'));
            let longest = rest.split(|c: char| !c.is_ascii_digit()).map(str::len).max();
            assert!(longest.unwrap_or(0) < 5, "a run of digits in an unplanted text");
        }
        assert!((150..600).contains(&personal), "about 2% of the comments hold a personal datum: {personal}");
    }

    #[test]
    fn comments_are_null_empty_odd_or_plain() {
        let mut rng = Seed(4).rng("comment");
        let texts: Vec<_> = (0..5_000).map(|_| comment(&mut rng, &mut Vec::new())).collect();
        let count = |wanted: &dyn Fn(&Option<String>) -> bool| texts.iter().filter(|text| wanted(text)).count();
        assert!((1_200..1_800).contains(&count(&|text| text.is_none())));
        assert!((30..150).contains(&count(&|text| text.as_deref() == Some(""))));
        for needed in ['\n', '"', '\\', ',', '🍺', 'ö'] {
            assert!(count(&|text| text.as_deref().is_some_and(|text| text.contains(needed))) > 0, "{needed:?}");
        }
    }
}

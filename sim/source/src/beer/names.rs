//! Names of persons, breweries, beers and pseudonyms.
//!
//! Persons come from the `fake` crate (English), drawn with our seeded generator. A full name that could come about by
//! chance in a public column or a comment is drawn again: public text has no surname after another word, so it is
//! enough that the surname begins no word of the vocabulary.

use std::convert::Infallible;
use std::sync::LazyLock;

use fake::Fake as _;
use fake::faker::name::en::{FirstName, LastName};
use fake::rand::TryRng;
use rand::{Rng as _, RngCore};

use super::words;

/// Lets `fake`, which uses another release of `rand`, draw from a generator of ours.
struct Bridge<'a, R: RngCore>(&'a mut R);

impl<R: RngCore> TryRng for Bridge<'_, R> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(self.0.next_u32())
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.0.next_u64())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

/// Draws one of `items`.
pub(crate) fn pick<'a, T>(rng: &mut impl RngCore, items: &'a [T]) -> &'a T {
    &items[rng.random_range(0..items.len())]
}

/// Draws one of `items`, the first far more often than the last.
pub(crate) fn pick_early<'a, T>(rng: &mut impl RngCore, items: &'a [T]) -> &'a T {
    let (one, other) = (rng.random_range(0..items.len()), rng.random_range(0..items.len()));
    &items[one.min(other)]
}

/// True in `n` of 1,000 cases.
pub(crate) fn per_mille(rng: &mut impl RngCore, n: u32) -> bool {
    rng.random_range(0..1_000) < n
}

/// First name and surname of a person.
pub(crate) fn person(rng: &mut impl RngCore) -> (&'static str, &'static str) {
    loop {
        let first: &'static str = FirstName().fake_with_rng(&mut Bridge(rng));
        let last: &'static str = LastName().fake_with_rng(&mut Bridge(rng));
        if !begins_a_public_word(last) {
            return (first, last);
        }
    }
}

pub(crate) fn brewery_name(rng: &mut impl RngCore) -> String {
    let ending = pick(rng, words::BREWERY_ENDINGS);
    if per_mille(rng, 300) {
        let surname: &'static str = LastName().fake_with_rng(&mut Bridge(rng));
        return format!("{surname} {ending}");
    }
    format!("{} {} {ending}", pick(rng, words::ADJECTIVES), pick(rng, words::NOUNS))
}

pub(crate) fn beer_name(rng: &mut impl RngCore) -> String {
    let (noun, ending) = (pick(rng, words::NOUNS), pick(rng, words::BEER_ENDINGS));
    match rng.random_range(0..4) {
        0 => format!("{noun} {ending}"),
        1 => format!("{} {ending}", pick(rng, words::ADJECTIVES)),
        _ => format!("{} {noun} {ending}", pick(rng, words::ADJECTIVES)),
    }
}

/// A pseudonym without a space, so that it cannot be a person's full name.
pub(crate) fn handle(rng: &mut impl RngCore) -> String {
    let (start, end) = (pick(rng, words::HANDLES), pick(rng, words::HANDLE_ENDINGS));
    if per_mille(rng, 500) { format!("{start}{end}{}", rng.random_range(1..10_000)) } else { format!("{start}_{end}") }
}

fn begins_a_public_word(surname: &str) -> bool {
    static WORDS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
        let lists = [
            words::STYLES,
            words::BREWERY_ENDINGS,
            words::ADJECTIVES,
            words::NOUNS,
            words::BEER_ENDINGS,
            words::CITIES_ABROAD,
            words::SUBJECTS,
            words::VERDICTS,
            words::NOTES,
            words::OCCASIONS,
            words::ODDITIES,
        ];
        let cities = words::CITIES_US.iter().chain(words::CITIES_BR).map(|(city, _)| *city);
        let mut all: Vec<&str> =
            lists.into_iter().flatten().copied().chain(cities).flat_map(str::split_whitespace).collect();
        all.sort_unstable();
        all.dedup();
        all
    });
    // Sorted, so the first word not below the surname is the only candidate.
    let at = WORDS.partition_point(|word| *word < surname);
    WORDS.get(at).is_some_and(|word| word.starts_with(surname))
}

#[cfg(test)]
mod tests {
    use lakebed_contract::Seed;

    use super::*;

    #[test]
    fn persons_repeat_with_the_seed() {
        let draw = |seed: u64| (0..20).map(|_| person(&mut Seed(seed).rng("p"))).collect::<Vec<_>>();
        assert_eq!(draw(1), draw(1));
        let one_stream = |seed: u64| {
            let mut rng = Seed(seed).rng("p");
            (0..20).map(|_| person(&mut rng)).collect::<Vec<_>>()
        };
        assert_ne!(one_stream(1), one_stream(2));
    }

    #[test]
    fn surnames_that_begin_a_public_word_are_recognised() {
        assert!(begins_a_public_word("Bear"));
        assert!(begins_a_public_word("Port"), "begins Porter and Portland");
        assert!(!begins_a_public_word("Zzyzx"));
    }
}

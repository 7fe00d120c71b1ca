//! Personal data: e-mail addresses, Brazilian CPF numbers, telephone numbers, postal codes.
//!
//! The forms are the ones the masking promises to find: `local@domain.tld`; `ddd.ddd.ddd-dd` or eleven digits with valid
//! check digits; `+55 (DD) 9dddd-dddd`, `(DD) 9dddd-dddd`, `+1 ddd-ddd-dddd`. Domains are reserved ones.

use rand::{Rng as _, RngCore};

use super::names::{person, pick};
use crate::truth::{PlantedValue, class};

const DOMAINS: &[&str] = &["example.com", "example.org", "example.net", "mail.example.com", "correio.example"];
const AREA_CODES_BR: &[u32] = &[11, 19, 21, 24, 27, 31, 41, 47, 48, 51, 61, 62, 71, 81, 85];

/// An address of a person; `tail` tells namesakes apart.
pub(crate) fn email(rng: &mut impl RngCore, first: &str, last: &str, tail: &str) -> String {
    let letters = |name: &str| name.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
    format!("{}.{}{tail}@{}", letters(first), letters(last), pick(rng, DOMAINS))
}

/// Eleven digits, the last two being check digits.
pub(crate) fn cpf_digits(rng: &mut impl RngCore) -> [u8; 11] {
    loop {
        let mut digits = [0u8; 11];
        for digit in &mut digits[..9] {
            *digit = rng.random_range(0..10);
        }
        // Eleven equal digits pass the arithmetic but are no CPF.
        if digits[..9].iter().any(|digit| *digit != digits[0]) {
            digits[9] = check_digit(&digits[..9]);
            digits[10] = check_digit(&digits[..10]);
            return digits;
        }
    }
}

fn check_digit(digits: &[u8]) -> u8 {
    let sum: u32 = digits.iter().rev().zip(2u32..).map(|(digit, weight)| u32::from(*digit) * weight).sum();
    let rest = sum * 10 % 11;
    if rest == 10 { 0 } else { u8::try_from(rest).expect("below ten") }
}

/// `ddd.ddd.ddd-dd`.
pub(crate) fn cpf_formatted(digits: [u8; 11]) -> String {
    let plain = cpf_plain(digits);
    format!("{}.{}.{}-{}", &plain[..3], &plain[3..6], &plain[6..9], &plain[9..])
}

/// Eleven digits.
pub(crate) fn cpf_plain(digits: [u8; 11]) -> String {
    digits.iter().map(|digit| char::from(b'0' + digit)).collect()
}

pub(crate) fn phone_us(rng: &mut impl RngCore) -> String {
    format!("+1 {}-{}-{:04}", rng.random_range(201..990), rng.random_range(200..1_000), rng.random_range(0..10_000))
}

pub(crate) fn phone_br(rng: &mut impl RngCore, international: bool) -> String {
    let area = pick(rng, AREA_CODES_BR);
    let (high, low) = (rng.random_range(0..10_000), rng.random_range(0..10_000));
    format!("{}({area}) 9{high:04}-{low:04}", if international { "+55 " } else { "" })
}

pub(crate) fn postal_code_us(rng: &mut impl RngCore) -> String {
    format!("{:05}", rng.random_range(501..99_951))
}

pub(crate) fn postal_code_br(rng: &mut impl RngCore) -> String {
    format!("{:05}-{:03}", rng.random_range(1_000..99_999), rng.random_range(0..1_000))
}

/// A value to plant in a text, in one of the forms the masking promises to find.
pub(crate) fn for_text(rng: &mut impl RngCore) -> PlantedValue {
    match rng.random_range(0..6) {
        0 | 1 => {
            let (first, last) = person(rng);
            let tail = rng.random_range(10..1_000).to_string();
            PlantedValue::text(class::EMAIL, &email(rng, first, last, &tail))
        }
        2 => PlantedValue::text(class::CPF, &cpf_formatted(cpf_digits(rng))),
        3 => PlantedValue::text(class::CPF, &cpf_plain(cpf_digits(rng))),
        4 => {
            let international = rng.random_range(0..2) == 0;
            PlantedValue::text(class::PHONE, &phone_br(rng, international))
        }
        _ => PlantedValue::text(class::PHONE, &phone_us(rng)),
    }
}

#[cfg(test)]
mod tests {
    use lakebed_contract::Seed;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn check_digits_agree_with_a_published_example() {
        // The number every Brazilian form uses as its example.
        let mut digits = [5, 2, 9, 9, 8, 2, 2, 4, 7, 0, 0];
        digits[9] = check_digit(&digits[..9]);
        digits[10] = check_digit(&digits[..10]);
        assert_eq!(cpf_formatted(digits), "529.982.247-25");
        assert_eq!(cpf_plain(digits), "52998224725");
    }

    proptest! {
        #[test]
        fn planted_values_keep_to_their_forms(seed: u64) {
            let mut rng = Seed(seed).rng("pii");
            let planted = for_text(&mut rng);
            let shape: String = planted.value.chars().map(|c| if c.is_ascii_digit() { 'd' } else { c }).collect();
            match planted.class.as_str() {
                "CPF" => prop_assert!(shape == "ddd.ddd.ddd-dd" || shape == "d".repeat(11), "{shape}"),
                "PHONE" => prop_assert!(
                    ["+dd (dd) ddddd-dddd", "(dd) ddddd-dddd", "+d ddd-ddd-dddd"].contains(&shape.as_str()), "{shape}"),
                _ => prop_assert!(shape.matches('@').count() == 1 && shape.rsplit('@').next().unwrap().contains('.')),
            }
        }
    }
}

//! Format-preserving encryption of values, worked out a second time from its definition; shares nothing with `lakebed-mask`.
//!
//! What changes are the digits (of a CNPJ letters too) behind those that stay and in front of the check digits, which follow from
//! the outcome. The key is the domain's for this use; the tweak is the domain, a zero byte, and the digits that stay as numbers.
//! Encryption goes on until the outcome is of the kind the value is of. What is not of its shape has no encryption.

use std::collections::BTreeSet;

use aes::Aes256;
use aes::cipher::{BlockEncrypt, KeyInit};
use lakebed_contract::lake::Lake;
use lakebed_contract::policy::{Layer, Shape, Transform};
use lakebed_contract::secret::Secret;

use super::Planted;
use super::ff1::{self, Block};
use super::token::derived_key;

/// Encrypts the values of one domain and shape.
pub(super) struct Encryption {
    shape: Shape,
    domain: String,
    cipher: Aes256,
}

impl Encryption {
    pub(super) fn new(master: &Secret<[u8; 32]>, domain: &str, shape: Shape) -> Self {
        let key = derived_key(master, "lakebed/fpe/v1/", domain);
        let cipher = Aes256::new_from_slice(key.expose()).expect("a key of AES-256 has 32 bytes");
        Self { shape, domain: domain.to_owned(), cipher }
    }

    /// What stands in place of a value; `None` where it is not of the shape, so that its token stands there.
    pub(super) fn of(&self, value: &str) -> Option<String> {
        let plain = numerals(value)?;
        let form = form(self.shape, &plain, value)?;
        let (front, checks) = plain.split_at(plain.len().checked_sub(form.check_digits)?);
        let (kept, body) = front.split_at(form.kept);
        let is_of_kind = (form.is_of_kind)(body);
        if (form.checks)(front) != checks || (form.others_are_nobodys && !is_of_kind) {
            return None;
        }
        let tweak = [self.domain.as_bytes(), &[0], kept].concat();
        let mut changed = body.to_vec();
        loop {
            changed = ff1::encrypt(&|block| self.block(block), form.radix, &tweak, &changed)?;
            if (form.is_of_kind)(&changed) == is_of_kind {
                break;
            }
        }
        let front = [kept, &changed].concat();
        let checks = (form.checks)(&front);
        Some(spelt_as(value, &[front, checks].concat()))
    }

    fn block(&self, mut block: Block) -> Block {
        self.cipher.encrypt_block((&mut block).into());
        block
    }
}

/// What the columns of a lake that are encrypted may rightly hold where the source has planted values: a search for planted values
/// finds some of it, because a phone number's encryption is the phone number of another.
pub(super) fn outcomes(lake: &Lake, master: &Secret<[u8; 32]>, planted: &[Planted]) -> BTreeSet<String> {
    let mut outcomes = BTreeSet::new();
    let classes: BTreeSet<&String> =
        lake.tables.iter().flat_map(|table| &table.columns).filter_map(|column| column.class.as_ref()).collect();
    for class in classes {
        let Some(Transform::Fpe { domain, shape }) = lake.policy.transform_at(Layer::Bronze, class) else { continue };
        let encryption = Encryption::new(master, domain, *shape);
        let in_columns = planted.iter().filter(|planted| !planted.in_text);
        outcomes.extend(in_columns.filter_map(|planted| encryption.of(&planted.value)));
    }
    outcomes
}

/// The digits and letters of a number; `None` where anything else stands than what may stand between them.
fn numerals(value: &str) -> Option<Vec<u8>> {
    let symbols = value.chars().filter(|letter| !" .-/()+".contains(*letter));
    symbols.map(|symbol| symbol.to_digit(36).map(|numeral| numeral as u8)).collect()
}

/// The value with other digits and letters in the places of its own.
fn spelt_as(value: &str, numerals: &[u8]) -> String {
    let mut symbols = numerals.iter().filter_map(|numeral| char::from_digit(u32::from(*numeral), 36));
    let letters =
        value.chars().map(|letter| if letter.is_ascii_alphanumeric() { symbols.next() } else { Some(letter) });
    letters.flatten().map(|letter| letter.to_ascii_uppercase()).collect()
}

/// What of a value stays, and what must be so afterwards.
struct Form {
    /// Numerals that stay, from the first on.
    kept: usize,
    radix: u8,
    check_digits: usize,
    /// The check digits behind the others.
    checks: fn(&[u8]) -> Vec<u8>,
    /// What is of this kind stays of it, and what is not stays outside.
    is_of_kind: fn(&[u8]) -> bool,
    others_are_nobodys: bool,
}

const DIGITS: Form = Form {
    kept: 0,
    radix: 10,
    check_digits: 0,
    checks: |_| Vec::new(),
    is_of_kind: |_| true,
    others_are_nobodys: false,
};

/// The form of a value; `None` when it is not of the shape.
fn form(shape: Shape, plain: &[u8], value: &str) -> Option<Form> {
    let is_letter = |numeral: &u8| *numeral > 9;
    let count = plain.len();
    if shape == Shape::Cnpj && count == 14 {
        let digits = Form { check_digits: 2, checks: |twelve| brazilian_checks(twelve, 9), ..DIGITS };
        return Some(if plain[..12].iter().any(is_letter) {
            Form { radix: 36, is_of_kind: |body| body.iter().any(|numeral| *numeral > 9), ..digits }
        } else {
            Form { is_of_kind: is_mixed, others_are_nobodys: true, ..digits }
        });
    }
    if plain.iter().any(is_letter) {
        return None;
    }
    match shape {
        Shape::Cpf if count == 11 => Some(Form {
            check_digits: 2,
            checks: |nine| brazilian_checks(nine, 11),
            is_of_kind: is_mixed,
            others_are_nobodys: true,
            ..DIGITS
        }),
        Shape::CreditCard if (13..=19).contains(&count) => {
            Some(Form { kept: 6, check_digits: 1, checks: luhn_check, ..DIGITS })
        }
        // Brazil's begin at 01000.
        Shape::PostalCode if count == 8 => {
            Some(Form { is_of_kind: |body| !body.starts_with(&[0, 0]), others_are_nobodys: true, ..DIGITS })
        }
        Shape::PostalCode if count == 9 => Some(DIGITS),
        Shape::Digits(digits) if count == usize::from(digits) => Some(DIGITS),
        Shape::Phone => phone(plain, value.trim_start().starts_with('+')),
        _ => None,
    }
}

/// Country and area code stay, and the digit that tells a mobile number. `has_country`: a `+` stands in front.
fn phone(digits: &[u8], has_country: bool) -> Option<Form> {
    let kept = |kept: usize| Form { kept, ..DIGITS };
    let american = |kept: usize| Form { kept, is_of_kind: |local| local[0] >= 2, ..DIGITS };
    let count = digits.len();
    let is_brazil = digits.starts_with(&[5, 5]) && (count == 12 || count == 13);
    let is_america = count == 11 && digits[0] == 1 && (has_country || digits[2] != 9);
    if !(8..=15).contains(&count) {
        None
    } else if is_brazil {
        Some(kept(5))
    } else if is_america {
        Some(american(4))
    } else if has_country || count > 11 {
        Some(kept(if count >= 10 { 4 } else { count - 6 }))
    } else {
        Some(match count {
            11 => kept(3),
            10 => american(3),
            _ => kept(1),
        })
    }
}

/// Whether not all numerals are the same.
fn is_mixed(body: &[u8]) -> bool {
    body.iter().any(|numeral| *numeral != body[0])
}

/// Both check digits of a CPF or CNPJ: weights from 2 up to `top`, from the right, then from 2 again.
fn brazilian_checks(body: &[u8], top: u32) -> Vec<u8> {
    // A letter is worth its ASCII code less 48.
    let worth = |numeral: &u8| u32::from(*numeral) + if *numeral > 9 { 7 } else { 0 };
    let mut worths: Vec<u32> = body.iter().map(worth).collect();
    for _ in 0..2 {
        let sum: u32 = worths.iter().rev().zip((2..=top).cycle()).map(|(worth, weight)| worth * weight).sum();
        worths.push(sum * 10 % 11 % 10);
    }
    worths[body.len()..].iter().map(|digit| *digit as u8).collect()
}

/// The digit with which the sum of a card number is a multiple of ten.
fn luhn_check(front: &[u8]) -> Vec<u8> {
    let sum = |check: u8| -> u32 {
        let places = std::iter::once(&check).chain(front.iter().rev()).enumerate();
        places.map(|(place, digit)| u32::from(*digit) << (place % 2)).map(|worth| worth / 10 + worth % 10).sum()
    };
    (0..10).filter(|check| sum(*check) % 10 == 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_digits_are_those_of_published_numbers() {
        let front = |text: &str| numerals(text).expect("a number");
        assert_eq!(brazilian_checks(&front("529.982.247"), 11), [2, 5]);
        assert_eq!(brazilian_checks(&front("11.222.333/0001"), 9), [8, 1]);
        // The example of Receita Federal for the alphanumeric form.
        assert_eq!(brazilian_checks(&front("12.ABC.345/01DE"), 9), [3, 5]);
        assert_eq!(luhn_check(&front("4111 1111 1111 111")), [1]);
        assert_eq!(luhn_check(&front("3782 822463 1000")), [5]);
    }

    /// Expected values computed by the standard's steps in Python, with AES and HMAC of its libraries.
    #[test]
    fn encryptions_equal_the_vectors_computed_by_python() {
        let master = Secret::new(std::array::from_fn(|at| at as u8));
        for (domain, shape, value, expected) in [
            ("cpf", Shape::Cpf, "529.982.247-25", "554.540.291-81"),
            ("person", Shape::Cpf, "52998224725", "24322350291"),
            ("cnpj", Shape::Cnpj, "11.222.333/0001-81", "10.455.938/6106-59"),
            ("cnpj", Shape::Cnpj, "12.abc.345/01de-35", "RJ.3EM.EEM/ZMYQ-58"),
            ("credit_card", Shape::CreditCard, "4111 1111 1111 1111", "4111 1141 9444 4995"),
            ("phone", Shape::Phone, "+55 (11) 91234-5678", "+55 (11) 98831-2192"),
            ("phone", Shape::Phone, "+1 212-555-0143", "+1 212-254-1873"),
            ("postal_code", Shape::PostalCode, "01310-100", "11253-059"),
            ("ssn", Shape::Digits(9), "123-45-6789", "222-00-7167"),
        ] {
            assert_eq!(Encryption::new(&master, domain, shape).of(value).as_deref(), Some(expected), "{value}");
        }
    }

    #[test]
    fn what_columns_may_hold_is_known_of_encrypted_classes_and_of_values_planted_in_columns_alone() {
        let planted =
            |value: &str, in_text: bool| Planted { class: "CPF".to_owned(), value: value.to_owned(), in_text };
        let planted = [planted("529.982.247-25", false), planted("111.444.777-35", true), planted("no number", false)];
        let master = Secret::new(std::array::from_fn(|at| at as u8));
        let mut lake = Lake::beer();
        assert_eq!(outcomes(&lake, &master, &planted), BTreeSet::new(), "the beer lake encrypts nothing");
        let shipped = lake.policy.transform_at(Layer::Bronze, "cpf").expect("classed").clone();
        assert!(!matches!(shipped, Transform::Fpe { .. }));
        let policy = "version: 1\nclasses: {cpf: {bronze: fpe}, unused: {bronze: 'fpe:digits:11'}}\n";
        lake.policy = lakebed_contract::Policy::from_yaml(policy).expect("valid");
        assert_eq!(outcomes(&lake, &master, &planted), BTreeSet::from(["554.540.291-81".to_owned()]));
    }

    #[test]
    fn the_beginning_of_a_phone_number_stays() {
        let kept = |value: &str| {
            let plain = numerals(value).expect("a number");
            phone(&plain, value.starts_with('+')).map(|form| form.kept)
        };
        assert_eq!(kept("+55 (11) 91234-5678"), Some(5));
        assert_eq!(kept("55 11 3234-5678"), Some(5));
        assert_eq!(kept("+1 212-555-0143"), Some(4));
        assert_eq!(kept("(212) 555-0143"), Some(3));
        assert_eq!(kept("19 91234-5678"), Some(3), "a mobile number of Campinas");
        assert_eq!(kept("91234-5678"), Some(1));
        assert_eq!(kept("+46 123456"), Some(2), "six digits at least must change");
        assert_eq!(kept("1234567"), None);
        assert_eq!(kept("1234567890123456"), None);
    }
}

//! Format-preserving encryption of values: a valid CPF becomes another valid CPF, a phone number another one of the same area.
//!
//! Equal digits give equal digits, whatever stands between them, except that a phone number with a `+` in front is read as one
//! with its country: other digits of it may stay. The layout (dots, spaces, brackets) stays as typed. The tweak is the domain and,
//! behind a NUL, what stays in clear. With the key every value can be decrypted, so the outcome is still personal data. A value that
//! is not of the shape (wrong check digits, too short) or is nobody's gets a token of the same domain instead: it must not pass, and
//! must not be taken for a valid one. The key version is not in the outcome.

use std::fmt;
use std::sync::Arc;

use lakebed_contract::MaskKey;
use lakebed_contract::policy::Shape;

use crate::digits::{Symbols, card_check, cnpj_checks, cpf_checks};
use crate::ff1::Ff1;
use crate::key::{Purpose, domain_key};
use crate::token::Tokenizer;

/// Encrypts the values of one domain and shape.
#[derive(Clone)]
pub(crate) struct FormatCipher {
    shape: Shape,
    domain: String,
    decimal: Arc<Ff1>,
    /// For CNPJs with letters.
    alphanumeric: Arc<Ff1>,
    otherwise: Tokenizer,
}

/// Buffers that are used again for every value.
#[derive(Default)]
pub(crate) struct Scratch {
    tweak: Vec<u8>,
    spelling: String,
}

/// Which symbols change, and what must be the same afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    /// First symbol that changes.
    from: usize,
    /// First one behind that does not; check digits follow.
    to: usize,
    radix: u32,
    check: Check,
    rule: Rule,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    Nothing,
    Cpf,
    Cnpj,
    Luhn,
}

/// Parts the strings into families; encryption goes on until it is back in the family of the plain one, which keeps it a
/// permutation of each family ("cycle walking") and ends, because a cycle leads back to where it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Any,
    /// Nine equal digits make a CPF that passes the checks, as eleven equal ones, and is nobody's; twelve in front of a CNPJ's
    /// check digits are nobody's either.
    NotAllEqual,
    /// A CNPJ of letters keeps one, so that it is not taken for one of digits.
    HasLetter,
    /// A local number of North America begins with 2 or more.
    FirstAboveOne,
    /// A Brazilian postal code begins at 01000; what is below is nobody's.
    NotZeroZero,
}

impl Rule {
    fn family(self, symbols: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::NotAllEqual => symbols.windows(2).any(|pair| pair[0] != pair[1]),
            Self::HasLetter => symbols.iter().any(|symbol| *symbol > 9),
            Self::FirstAboveOne => symbols[0] > 1,
            Self::NotZeroZero => symbols[..2] != [0, 0],
        }
    }

    /// Whether what is outside the family is nobody's, so that a token is made of it. Encrypting it would take long, too: the way
    /// back into a small family is a hundred steps and more.
    fn excludes(self) -> bool {
        matches!(self, Self::NotAllEqual | Self::NotZeroZero)
    }
}

impl FormatCipher {
    pub(crate) fn new(key: &MaskKey, domain: &str, class: &str, shape: Shape) -> Self {
        let key_of_domain = domain_key(key, Purpose::Fpe, domain);
        Self {
            shape,
            domain: domain.to_owned(),
            decimal: Arc::new(Ff1::new(&key_of_domain, 10)),
            alphanumeric: Arc::new(Ff1::new(&key_of_domain, 36)),
            otherwise: Tokenizer::new(key, domain, class),
        }
    }

    /// Appends what becomes of a value; says whether it was of the shape.
    pub(crate) fn append(&self, value: &str, scratch: &mut Scratch, out: &mut String) -> bool {
        let encrypted = self.encrypted(value, &mut scratch.tweak);
        match &encrypted {
            Some(symbols) => symbols.write(value, out),
            None => self.otherwise.append(value, &mut scratch.spelling, out),
        }
        encrypted.is_some()
    }

    fn encrypted(&self, value: &str, tweak: &mut Vec<u8>) -> Option<Symbols> {
        self.permuted(value, tweak, |cipher, tweak, symbols| cipher.encrypt(tweak, symbols).ok())
    }

    fn permuted(
        &self,
        value: &str,
        tweak: &mut Vec<u8>,
        permute: impl Fn(&Ff1, &[u8], &mut [u8]) -> Option<()>,
    ) -> Option<Symbols> {
        let mut symbols = Symbols::read(value)?;
        let plan = plan(self.shape, &symbols, value)?;
        let all = symbols.as_mut();
        tweak.clear();
        tweak.extend_from_slice(self.domain.as_bytes());
        tweak.push(0);
        tweak.extend_from_slice(&all[..plan.from]);
        let cipher = if plan.radix == 10 { &self.decimal } else { &self.alphanumeric };
        let changing = &mut all[plan.from..plan.to];
        let family = plan.rule.family(changing);
        loop {
            permute(cipher, tweak, changing)?;
            if plan.rule.family(changing) == family {
                break;
            }
        }
        write_checks(plan, all);
        Some(symbols)
    }

    /// The way back; only tests go it.
    #[cfg(test)]
    fn decrypted(&self, value: &str) -> Option<String> {
        let mut plain = String::new();
        let back = |cipher: &Ff1, tweak: &[u8], symbols: &mut [u8]| cipher.decrypt(tweak, symbols).ok();
        self.permuted(value, &mut Vec::new(), back)?.write(value, &mut plain);
        Some(plain)
    }
}

impl fmt::Debug for FormatCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FormatCipher({:?}, ***)", self.shape)
    }
}

/// How a value of a shape is encrypted; `None` when it is not of the shape.
fn plan(shape: Shape, symbols: &Symbols, value: &str) -> Option<Plan> {
    let all = symbols.as_ref();
    let count = all.len();
    let decimal = |from: usize, to: usize, rule: Rule, check: Check| Plan { from, to, radix: 10, check, rule };
    if shape != Shape::Cnpj && all.iter().any(|symbol| *symbol > 9) {
        return None;
    }
    let plan = match shape {
        Shape::Cpf if count == 11 => decimal(0, 9, Rule::NotAllEqual, Check::Cpf),
        Shape::Cnpj if count == 14 => {
            let has_letter = Rule::HasLetter.family(&all[..12]);
            let (radix, rule) = if has_letter { (36, Rule::HasLetter) } else { (10, Rule::NotAllEqual) };
            Plan { from: 0, to: 12, radix, check: Check::Cnpj, rule }
        }
        Shape::CreditCard if (13..=19).contains(&count) => decimal(6, count - 1, Rule::Any, Check::Luhn),
        Shape::Phone => {
            let (from, rule) = phone(all, value.trim_start().starts_with('+'))?;
            decimal(from, count, rule, Check::Nothing)
        }
        Shape::PostalCode if count == 8 => decimal(0, 8, Rule::NotZeroZero, Check::Nothing),
        Shape::PostalCode if count == 9 => decimal(0, 9, Rule::Any, Check::Nothing),
        Shape::Digits(digits) if count == usize::from(digits) => decimal(0, count, Rule::Any, Check::Nothing),
        _ => return None,
    };
    let is_nobodys = plan.rule.excludes() && !plan.rule.family(&all[plan.from..plan.to]);
    let mut checked = *symbols;
    write_checks(plan, checked.as_mut());
    (!is_nobodys && checked.as_ref() == all).then_some(plan)
}

fn write_checks(plan: Plan, symbols: &mut [u8]) {
    let (body, checks) = symbols.split_at_mut(plan.to);
    match plan.check {
        Check::Nothing => {}
        Check::Cpf => checks.copy_from_slice(&cpf_checks(body)),
        Check::Cnpj => checks.copy_from_slice(&cnpj_checks(body)),
        Check::Luhn => checks.copy_from_slice(&[card_check(body)]),
    }
}

/// How many leading digits of a phone number stay: country, area, and the digit that tells a mobile number.
fn phone(digits: &[u8], is_international: bool) -> Option<(usize, Rule)> {
    let count = digits.len();
    let stays = match count {
        // +55, area, and the leading 9 or the first digit of the exchange.
        12 | 13 if digits.starts_with(&[5, 5]) => (5, Rule::Any),
        // 1 and area; a Brazilian mobile number has a 9 in third place.
        11 if digits[0] == 1 && (is_international || digits[2] != 9) => (4, Rule::FirstAboveOne),
        11 if !is_international => (3, Rule::Any),
        // The area code of North America, or a Brazilian one and a digit.
        10 if !is_international => (3, Rule::FirstAboveOne),
        8 | 9 if !is_international => (1, Rule::Any),
        8..=15 => (4.min(count - 6), Rule::Any),
        _ => return None,
    };
    Some(stays)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::find::{PiiKind, validate};
    use proptest::prelude::*;

    fn cipher(shape: Shape, domain: &str) -> FormatCipher {
        FormatCipher::new(&MaskKey::new(1, [7; 32]), domain, "cpf", shape)
    }

    fn encrypt(cipher: &FormatCipher, value: &str) -> (String, bool) {
        let mut out = String::new();
        let is_shaped = cipher.append(value, &mut Scratch::default(), &mut out);
        (out, is_shaped)
    }

    #[test]
    fn values_keep_their_layout_and_what_is_said_to_stay() {
        let check = |shape: Shape, value: &str, layout: &str| {
            let (masked, is_shaped) = encrypt(&cipher(shape, "d"), value);
            assert!(is_shaped, "{value}");
            assert_ne!(masked, value);
            assert_eq!(masked.len(), layout.len(), "{masked}");
            let fits = |(got, wanted): (char, char)| match wanted {
                '#' => got.is_ascii_digit(),
                '?' => got.is_ascii_digit() || got.is_ascii_uppercase(),
                same => got == same,
            };
            assert!(masked.chars().zip(layout.chars()).all(fits), "{masked} is not like {layout}");
            assert_eq!(cipher(shape, "d").decrypted(&masked).as_deref(), Some(value));
        };
        check(Shape::Cpf, "529.982.247-25", "###.###.###-##");
        check(Shape::Cpf, "52998224725", "###########");
        check(Shape::Cnpj, "11.222.333/0001-81", "##.###.###/####-##");
        check(Shape::Cnpj, "12.ABC.345/01DE-35", "??.???.???/????-##");
        check(Shape::CreditCard, "4111 1111 1111 1111", "4111 11## #### ####");
        check(Shape::CreditCard, "378282246310005", "378282#########");
        check(Shape::Phone, "+55 (11) 91234-5678", "+55 (11) 9####-####");
        check(Shape::Phone, "(11) 3234-5678", "(11) 3###-####");
        check(Shape::Phone, "11 91234-5678", "11 9####-####");
        check(Shape::Phone, "+1 212-555-0143", "+1 212-###-####");
        check(Shape::Phone, "(212) 555-0143", "(212) ###-####");
        check(Shape::Phone, "+351 912 345 678", "+351 9## ### ###");
        check(Shape::Phone, "91234-5678", "9####-####");
        check(Shape::PostalCode, "01310-100", "#####-###");
        check(Shape::Digits(9), "123-45-6789", "###-##-####");
    }

    #[test]
    fn what_is_not_of_the_shape_gets_a_token() {
        let check = |shape: Shape, value: &str| {
            let (masked, is_shaped) = encrypt(&cipher(shape, "d"), value);
            assert!(!is_shaped && masked.starts_with("tok_1_"), "{value} gave {masked}");
        };
        for value in ["529.982.247-26", "111.111.111-11", "5299822472", "n/a", "", "529.982.247-25x", "٥٢٩٩٨٢٢٤٧٢٥"]
        {
            check(Shape::Cpf, value);
        }
        check(Shape::Cnpj, "11.222.333/0001-82");
        check(Shape::Cnpj, "00.000.000/0000-00");
        check(Shape::CreditCard, "4111 1111 1111 1112");
        check(Shape::CreditCard, "411111111111");
        check(Shape::Phone, "1234567");
        check(Shape::Phone, "+55 (11) 91234-5678 ramal 2");
        check(Shape::PostalCode, "94103");
        check(Shape::PostalCode, "SW1A 1AA");
        check(Shape::PostalCode, "00999-999");
        check(Shape::Digits(9), "12345678");
    }

    #[test]
    fn outcomes_pass_the_detectors() {
        let check = |shape: Shape, kind: PiiKind, value: &str| {
            assert!(validate::is(kind, value), "{value}");
            let (masked, _) = encrypt(&cipher(shape, "d"), value);
            assert!(validate::is(kind, &masked), "{kind:?}: {masked}");
        };
        check(Shape::Cpf, PiiKind::Cpf, "529.982.247-25");
        check(Shape::Cnpj, PiiKind::Cnpj, "11.222.333/0001-81");
        check(Shape::Cnpj, PiiKind::Cnpj, "12.ABC.345/01DE-35");
        check(Shape::CreditCard, PiiKind::CreditCard, "4111 1111 1111 1111");
        check(Shape::Phone, PiiKind::Phone, "+55 (11) 91234-5678");
        check(Shape::PostalCode, PiiKind::Cep, "01310-100");
    }

    #[test]
    fn the_tweak_is_the_domain_and_what_stays() {
        // The raw crate gives the same: key of the domain, tweak of the domain, nothing that stays.
        let key = domain_key(&MaskKey::new(1, [7; 32]), Purpose::Fpe, "person");
        let mut nine = [5, 2, 9, 9, 8, 2, 2, 4, 7];
        Ff1::new(&key, 10).encrypt(b"person\0", &mut nine).expect("nine digits");
        let expected: String = nine.iter().map(u8::to_string).collect();
        let (masked, _) = encrypt(&cipher(Shape::Cpf, "person"), "52998224725");
        assert_eq!(masked[..9], expected);
        let shown = format!("{:?}", cipher(Shape::Cpf, "person"));
        assert_eq!(shown, "FormatCipher(Cpf, ***)");
    }

    fn digits(symbols: &[u8]) -> String {
        symbols
            .iter()
            .map(|symbol| char::from_digit(u32::from(*symbol), 36).expect("a symbol").to_ascii_uppercase())
            .collect()
    }

    fn is_one_digit(body: &str) -> bool {
        body.as_bytes().windows(2).all(|pair| pair[0] == pair[1])
            && body.starts_with(|first: char| first.is_ascii_digit())
    }

    fn with_checks(shape: Shape, mut body: Vec<u8>) -> String {
        match shape {
            Shape::Cpf => body.extend(cpf_checks(&body)),
            Shape::Cnpj => body.extend(cnpj_checks(&body)),
            _ => body.push(card_check(&body)),
        }
        digits(&body)
    }

    fn any_value() -> impl Strategy<Value = (Shape, String)> {
        let body = |numerals: u8, length: std::ops::RangeInclusive<usize>| prop::collection::vec(0..numerals, length);
        prop_oneof![
            body(10, 9..=9).prop_map(|body| (Shape::Cpf, with_checks(Shape::Cpf, body))),
            body(10, 12..=12).prop_map(|body| (Shape::Cnpj, with_checks(Shape::Cnpj, body))),
            body(36, 12..=12).prop_map(|body| (Shape::Cnpj, with_checks(Shape::Cnpj, body))),
            body(10, 12..=18).prop_map(|body| (Shape::CreditCard, with_checks(Shape::CreditCard, body))),
            "\\+?[0-9]{8,15}".prop_map(|value| (Shape::Phone, value)),
            "[0-9]{5}-?[0-9]{3}".prop_map(|value| (Shape::PostalCode, value)),
            (6u8..=19).prop_flat_map(move |count| {
                let count_symbols = usize::from(count);
                body(10, count_symbols..=count_symbols).prop_map(move |body| (Shape::Digits(count), digits(&body)))
            }),
        ]
    }

    proptest! {
        #[test]
        fn valid_values_become_valid_values_and_can_be_decrypted((shape, value) in any_value()) {
            let cipher = cipher(shape, "d");
            let (masked, is_shaped) = encrypt(&cipher, &value);
            let is_nobodys = match shape {
                Shape::Cpf => is_one_digit(&value[..9]),
                Shape::Cnpj => is_one_digit(&value[..12]),
                Shape::PostalCode => value.starts_with("00"),
                _ => false,
            };
            prop_assert_eq!(is_shaped, !is_nobodys);
            if is_shaped {
                prop_assert_eq!(masked.len(), value.len());
                let symbols = Symbols::read(&masked).expect("digits and letters");
                prop_assert!(plan(shape, &symbols, &masked).is_some(), "the outcome is not of the shape");
                prop_assert_eq!(cipher.decrypted(&masked), Some(value));
            }
        }

        #[test]
        fn domains_encrypt_each_in_their_own_way(nine in prop::collection::vec(0u8..10, 9)) {
            let value = with_checks(Shape::Cpf, nine);
            prop_assume!(!is_one_digit(&value[..9]));
            let (left, right) = (encrypt(&cipher(Shape::Cpf, "left"), &value), encrypt(&cipher(Shape::Cpf, "right"), &value));
            // One in a billion would be equal by chance; the cases are fixed enough to know that none is.
            prop_assert_ne!(left, right);
        }

        #[test]
        fn any_text_is_accepted_and_never_stays(
            value in "\\PC{0,20}|[0-9]{6,15}|[0-9]{3}\\.[0-9]{3}\\.[0-9]{3}-[0-9]{2}|\\+?[0-9 ()-]{8,20}",
        ) {
            for shape in [Shape::Cpf, Shape::Cnpj, Shape::CreditCard, Shape::Phone, Shape::PostalCode, Shape::Digits(9)] {
                let (masked, is_shaped) = encrypt(&cipher(shape, "d"), &value);
                prop_assert!(is_shaped || masked.starts_with("tok_1_"));
                // Of a million values or more one may encrypt to itself; so few are tried that none does.
                prop_assert_ne!(&masked, &value);
            }
        }
    }
}

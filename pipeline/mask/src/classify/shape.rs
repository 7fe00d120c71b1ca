//! How single values are written: whether a valid one can hardly be anything else, whether one could be of a kind its column
//! name claims, and whether one is a sentence.
//!
//! Nothing here proves anything alone; [`super::values`] counts.

use crate::find::PiiKind;

/// Octets of version numbers stay below.
const OCTET_MIN: u8 = 32;
/// Characters of an AWS secret access key.
const SECRET_CHARS: usize = 40;
/// Fewest words of a sentence.
const SENTENCE_WORDS_MIN: usize = 5;
/// Digits of phone numbers, with and without country code.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

/// Whether a value that passes the validator of a kind says so without help: check digits over enough digits, or punctuation
/// that other data does not have.
pub(super) fn is_distinctive(kind: PiiKind, value: &str) -> bool {
    let count = |separator: char| value.chars().filter(|letter| *letter == separator).count();
    match kind {
        PiiKind::Email
        | PiiKind::Cpf
        | PiiKind::Cnpj
        | PiiKind::CreditCard
        | PiiKind::Iban
        | PiiKind::MacAddress
        | PiiKind::UrlCredentials
        | PiiKind::AwsAccessKey => true,
        // Ten plain digits are an order number as well.
        PiiKind::Phone => value.contains(['(', '+']) || count('-') + count(' ') + count('.') >= 2,
        PiiKind::Cep => count('-') == 1,
        PiiKind::Ssn | PiiKind::Itin => count('-') == 2,
        PiiKind::IpAddress => {
            value.contains(':')
                || value.split('.').any(|octet| octet.parse::<u8>().is_ok_and(|octet| octet >= OCTET_MIN))
        }
        PiiKind::AwsSecretKey => is_secret(value),
        // Eleven plain digits are valid with Brazil's check digits only; other countries' licences have none.
        PiiKind::DriverLicence => value.len() == 11 && value.bytes().all(|byte| byte.is_ascii_digit()),
        PiiKind::Rg => count('.') == 2 && count('-') == 1,
        PiiKind::PixKey | PiiKind::BirthDate | PiiKind::Passport | PiiKind::Name | PiiKind::Address => false,
    }
}

/// Whether a value could be of the kind that its column name claims.
pub(super) fn fits(kind: PiiKind, value: &str) -> bool {
    let digits = value.bytes().filter(u8::is_ascii_digit).count();
    let letters = value.chars().filter(|letter| letter.is_alphabetic()).count();
    let only = |allowed: &str| value.chars().all(|letter| letter.is_ascii_digit() || allowed.contains(letter));
    let code = value.chars().all(|letter| letter.is_ascii_alphanumeric() || "-. /".contains(letter));
    match kind {
        PiiKind::Phone => PHONE_DIGITS.contains(&digits) && only("+()-. /"),
        PiiKind::Cep => matches!(digits, 5 | 8 | 9) && only("-."),
        PiiKind::Cpf => digits == 11 && only(".-/ "),
        PiiKind::Cnpj => value.chars().filter(char::is_ascii_alphanumeric).count() == 14 && code,
        PiiKind::Ssn | PiiKind::Itin => digits == 9 && only("- "),
        PiiKind::CreditCard => (13..=19).contains(&digits) && only("- "),
        PiiKind::Rg => (5..=14).contains(&digits) && letters <= 4 && code,
        PiiKind::Passport => (5..=9).contains(&digits) && letters <= 3 && code,
        PiiKind::DriverLicence => (5..=15).contains(&digits) && letters <= 4 && code,
        PiiKind::BirthDate => is_date(value, digits),
        PiiKind::AwsSecretKey => is_secret(value),
        PiiKind::Name => digits == 0 && letters > 1 && value.split_whitespace().count() <= 8 && !value.contains('@'),
        PiiKind::Address => digits > 0 && letters > 3 && value.split_whitespace().count() >= 3,
        PiiKind::Email
        | PiiKind::PixKey
        | PiiKind::Iban
        | PiiKind::IpAddress
        | PiiKind::MacAddress
        | PiiKind::UrlCredentials
        | PiiKind::AwsAccessKey => false,
    }
}

/// Whether a value reads like a sentence: several words, most of them small, or closed by a mark.
pub(super) fn is_prose(value: &str) -> bool {
    let words = || value.split_whitespace().filter(|word| word.chars().any(char::is_alphabetic));
    let small = words().filter(|word| word.starts_with(char::is_lowercase)).count();
    let count = words().count();
    count >= SENTENCE_WORDS_MIN && (2 * small >= count || value.ends_with(['.', '!', '?']))
}

/// Year, month and day of a person's birth, or the year alone; with a time of day or without.
fn is_date(value: &str, digits: usize) -> bool {
    let parts: Vec<u32> =
        value.split(|letter: char| !letter.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
    let is_year = |year: u32| (1900..=2100).contains(&year);
    match parts[..] {
        [compact] if digits == 8 => is_year(compact / 10_000) || is_year(compact % 10_000),
        [year] => digits == 4 && is_year(year),
        [year, month, day, ..] if is_year(year) => (1..=12).contains(&month) && (1..=31).contains(&day),
        [first, second, year, ..] => first <= 31 && second <= 31 && is_year(year),
        [day, year] => day <= 31 && is_year(year),
        [] => false,
    }
}

/// Forty characters of base64 with all three kinds of them: no hexadecimal hash has large and small letters.
fn is_secret(value: &str) -> bool {
    let base64 = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'+'));
    let has = |is: fn(&u8) -> bool| value.bytes().any(|byte| is(&byte));
    value.len() == SECRET_CHARS
        && base64
        && has(u8::is_ascii_uppercase)
        && has(u8::is_ascii_lowercase)
        && has(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn punctuation_and_check_digits_are_distinctive() {
        let check =
            |kind: PiiKind, value: &str, expected: bool| assert_eq!(is_distinctive(kind, value), expected, "{value}");
        check(PiiKind::Phone, "(11) 91234-5678", true);
        check(PiiKind::Phone, "11 91234-5678", true);
        check(PiiKind::Phone, "11912345678", false);
        check(PiiKind::Cep, "01310-100", true);
        check(PiiKind::Cep, "01310100", false);
        check(PiiKind::IpAddress, "2.14.0.3", false);
        check(PiiKind::IpAddress, "203.0.113.9", true);
        check(PiiKind::AwsSecretKey, "9fceb02d0ae598e95dc970b74767f19372d61af8", false);
        check(PiiKind::AwsSecretKey, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", true);
        check(PiiKind::PixKey, "123e4567-e89b-42d3-a456-426614174000", false);
    }

    #[test]
    fn shapes_follow_the_name() {
        let check =
            |kind: PiiKind, value: &str, expected: bool| assert_eq!(fits(kind, value), expected, "{kind:?} {value}");
        check(PiiKind::Phone, "11912345678", true);
        check(PiiKind::Phone, "4.5", false);
        check(PiiKind::BirthDate, "1987-03-14", true);
        check(PiiKind::BirthDate, "14/03/1987", true);
        check(PiiKind::BirthDate, "14 de março de 1987", true);
        check(PiiKind::BirthDate, "March 14, 1987", true);
        check(PiiKind::BirthDate, "19870314", true);
        check(PiiKind::BirthDate, "1987", true);
        check(PiiKind::BirthDate, "3.75", false);
        check(PiiKind::Passport, "FX123456", true);
        check(PiiKind::Rg, "12.345.678-X", true);
        check(PiiKind::Name, "Ana Lima", true);
        check(PiiKind::Name, "4 stars", false);
        check(PiiKind::Address, "Rua das Acácias, 12", true);
        check(PiiKind::Address, "Curitiba", false);
    }

    #[test]
    fn sentences_are_prose_and_titles_are_not() {
        let check = |value: &str, expected: bool| assert_eq!(is_prose(value), expected, "{value}");
        check("pours a deep amber with a thin head", true);
        check("GREAT BEER, WILL BUY AGAIN SOON!", true);
        check("Old Rasputin Russian Imperial Stout", false);
        check("Nice", false);
        check("2026-10-02 08:14:33", false);
    }
}

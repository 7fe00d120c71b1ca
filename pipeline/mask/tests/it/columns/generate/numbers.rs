//! Numbers with check digits, written out from their issuers' rules.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

fn digits(rng: &mut ChaCha8Rng, count: usize) -> Vec<u32> {
    (0..count).map(|_| rng.random_range(0..10)).collect()
}

fn joined(digits: &[u32]) -> String {
    digits.iter().map(u32::to_string).collect()
}

fn weighted(digits: &[u32], weights: impl Iterator<Item = u32>) -> u32 {
    digits.iter().zip(weights).map(|(digit, weight)| digit * weight).sum()
}

/// The rule of Brazil's tax numbers: eleven minus the remainder, zero where that has two digits.
fn mod_eleven(sum: u32) -> u32 {
    if sum % 11 < 2 { 0 } else { 11 - sum % 11 }
}

/// Digits put into a pattern, one for each `#`.
pub(super) fn punctuated(digits: &str, pattern: &str) -> String {
    let mut digits = digits.chars();
    pattern
        .chars()
        .map(|letter| if letter == '#' { digits.next().expect("a digit for each `#`") } else { letter })
        .collect()
}

pub(super) fn in_fours(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    letters.chunks(4).map(|four| four.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

pub(super) fn cpf(rng: &mut ChaCha8Rng) -> String {
    let mut number = digits(rng, 9);
    number.push(mod_eleven(weighted(&number, (2..=10).rev())));
    number.push(mod_eleven(weighted(&number, (2..=11).rev())));
    joined(&number)
}

/// Twelve characters, letters among them in the form of 2026, and two check digits over their code minus 48.
pub(super) fn cnpj(rng: &mut ChaCha8Rng, with_letters: bool) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHJKLMNPRSTVWXYZ";
    let mut text = joined(&digits(rng, 8));
    if with_letters {
        text = text
            .chars()
            .map(
                |digit| {
                    if rng.random_bool(0.4) { char::from(LETTERS[rng.random_range(0..LETTERS.len())]) } else { digit }
                },
            )
            .collect();
        text.replace_range(0..1, "B");
    }
    text.push_str("0001");
    let mut values: Vec<u32> = text.bytes().map(|byte| u32::from(byte) - 48).collect();
    for first in [5, 6] {
        let check = mod_eleven(weighted(&values, (2..=first).rev().chain((2..=9).rev())));
        values.push(check);
        text.push_str(&check.to_string());
    }
    text
}

/// São Paulo's identity card: weights from two, the check digit makes the sum a multiple of eleven.
pub(super) fn rg(rng: &mut ChaCha8Rng) -> String {
    let number = digits(rng, 8);
    let check = (11 - weighted(&number, 2..) % 11) % 11;
    format!("{}{}", joined(&number), if check == 10 { "X".to_owned() } else { check.to_string() })
}

/// Driver's licence register, without the numbers whose first remainder is ten: they follow a rule of their own.
pub(super) fn cnh(rng: &mut ChaCha8Rng) -> String {
    loop {
        let number = digits(rng, 9);
        let first = weighted(&number, (1..=9).rev()) % 11;
        let second = weighted(&number, 1..) % 11;
        if first < 10 {
            return format!("{}{first}{}", joined(&number), if second == 10 { 0 } else { second });
        }
    }
}

fn luhn(number: &[u32]) -> u32 {
    let doubled = number.iter().rev().enumerate().map(|(at, digit)| match at % 2 {
        0 if *digit > 4 => 2 * digit - 9,
        0 => 2 * digit,
        _ => *digit,
    });
    (10 - doubled.sum::<u32>() % 10) % 10
}

/// A Visa or Mastercard number of sixteen digits.
pub(super) fn card(rng: &mut ChaCha8Rng) -> String {
    let mut number = digits(rng, 15);
    if rng.random_bool(0.6) {
        number[0] = 4;
    } else {
        (number[0], number[1]) = (5, rng.random_range(1..=5));
    }
    number.push(luhn(&number));
    joined(&number)
}

/// An equipment identity: fifteen digits by the same rule as cards, and no card.
pub(super) fn imei(rng: &mut ChaCha8Rng) -> String {
    let mut number = digits(rng, 14);
    (number[0], number[1]) = (3, 5);
    number.push(luhn(&number));
    joined(&number)
}

/// A German account.
pub(super) fn iban(rng: &mut ChaCha8Rng) -> String {
    let account = joined(&digits(rng, 18));
    // `DE00` behind the account, letters as numbers from ten.
    let remainder =
        format!("{account}131400").bytes().fold(0, |rest, digit| (rest * 10 + u32::from(digit - b'0')) % 97);
    format!("DE{:02}{account}", 98 - remainder)
}

pub(super) fn ssn(rng: &mut ChaCha8Rng) -> String {
    let area = rng.random_range(1..666);
    format!("{area:03}{:02}{:04}", rng.random_range(1..100), rng.random_range(1..10_000))
}

/// A book or article number: weights one and three.
pub(super) fn ean(rng: &mut ChaCha8Rng) -> String {
    let mut number = digits(rng, 12);
    (number[0], number[1], number[2]) = (9, 7, 8);
    number.push((10 - weighted(&number, [1, 3].into_iter().cycle()) % 10) % 10);
    joined(&number)
}

/// A random UUID of version 4.
pub(super) fn uuid(rng: &mut ChaCha8Rng) -> String {
    let hex = hexadecimal(rng, 30);
    format!("{}-{}-4{}-a{}-{}", &hex[..8], &hex[8..12], &hex[12..15], &hex[15..18], &hex[18..30])
}

pub(super) fn hexadecimal(rng: &mut ChaCha8Rng, count: usize) -> String {
    (0..count).map(|_| char::from_digit(rng.random_range(0..16), 16).expect("below sixteen")).collect()
}

pub(super) fn octets(rng: &mut ChaCha8Rng, below: u32) -> String {
    let octets: Vec<String> = (0..4).map(|_| rng.random_range(0..below).to_string()).collect();
    octets.join(".")
}

pub(super) fn mac(rng: &mut ChaCha8Rng, separator: char) -> String {
    let octets: Vec<String> = (0..6).map(|_| format!("{:02x}", rng.random::<u8>())).collect();
    octets.join(&separator.to_string())
}

pub(super) fn secret(rng: &mut ChaCha8Rng) -> String {
    const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/+";
    let random: String = (0..30).map(|_| char::from(BASE64[rng.random_range(0..BASE64.len())])).collect();
    format!("{random}EXAMPLEKEY")
}

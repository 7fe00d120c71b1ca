//! CPF, the Brazilian taxpayer number: `ddd.ddd.ddd-dd` or eleven plain digits, with valid check digits.
//!
//! Never part of a longer run of digits. Eleven equal digits satisfy the arithmetic but are never issued, so they are text.

use std::ops::Range;

use super::{digit_at, digit_before};

const DIGITS: usize = 11;
/// Byte positions of the separators in the formatted form, and its length.
const FORMATTED: [(usize, u8); 3] = [(3, b'.'), (7, b'.'), (11, b'-')];
const FORMATTED_BYTES: usize = 14;

pub(super) fn find(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    let mut at = from;
    while at + DIGITS <= bytes.len() {
        if !bytes[at].is_ascii_digit() || digit_before(bytes, at, from) {
            at += 1;
            continue;
        }
        let run = bytes[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if run == DIGITS && is_valid(bytes[at..at + DIGITS].iter().copied()) {
            return Some(at..at + DIGITS);
        }
        if run == 3 && is_formatted(bytes, at) {
            return Some(at..at + FORMATTED_BYTES);
        }
        at += run;
    }
    None
}

fn is_formatted(bytes: &[u8], at: usize) -> bool {
    let end = at + FORMATTED_BYTES;
    let Some(candidate) = bytes.get(at..end) else { return false };
    let separated = FORMATTED.iter().all(|&(position, separator)| candidate[position] == separator);
    if !separated || digit_at(bytes, end) {
        return false;
    }
    let digits = candidate.iter().copied().filter(u8::is_ascii_digit);
    digits.clone().count() == DIGITS && is_valid(digits)
}

/// Whether eleven ASCII digits end in the two check digits of the nine before them.
fn is_valid(ascii: impl Iterator<Item = u8>) -> bool {
    let mut digits = [0u32; DIGITS];
    for (digit, byte) in digits.iter_mut().zip(ascii) {
        *digit = u32::from(byte - b'0');
    }
    let check = |count: usize| {
        let weights = (2..).map(|weight: u32| weight);
        let sum: u32 = digits[..count].iter().rev().zip(weights).map(|(digit, weight)| digit * weight).sum();
        match sum % 11 {
            0 | 1 => 0,
            rest => 11 - rest,
        }
    };
    let all_equal = digits.iter().all(|digit| *digit == digits[0]);
    !all_equal && digits[9] == check(9) && digits[10] == check(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_valid_numbers_are_found() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(find(text, 0).map(|hit| &text[hit]), expected, "{text}");
        };
        check("cpf 529.982.247-25.", Some("529.982.247-25"));
        check("cpf:52998224725;", Some("52998224725"));
        check("x529.982.247-25y", Some("529.982.247-25"));
        check("first 123, then 11144477735", Some("11144477735"));
        check("529.982.247-26", None);
        check("529.982.247-250", None);
        check("1529.982.247-25", None);
        check("52998224726", None);
        check("152998224725", None);
        check("529982247251", None);
        check("111.111.111-11", None);
        check("529.982.24725", None);
        check("529.982", None);
        check("", None);
    }
}

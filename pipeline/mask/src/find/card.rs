//! Payment card numbers: 13 to 19 digits, an issuer's range with a length it uses, and Luhn's check digit.
//!
//! Written as one run, or in groups with the same single space or hyphen between them. Ranges as the schemes publish them.

use super::kind::PiiKind;
use super::row::{Row, Run, digits};
use crate::digits::card_check;

const DIGITS_MAX: usize = 19;
/// Groups in which cards are printed, longest first.
const GROUPS: [&[usize]; 6] = [&[4, 4, 4, 4, 3], &[4, 4, 4, 4], &[4, 6, 5], &[4, 6, 4], &[4, 4, 5], &[4, 4, 4, 1]];

pub(super) fn find(row: &mut Row<'_>, run: Run) {
    if !run.begins {
        return;
    }
    match run.len() {
        13..=DIGITS_MAX if row.ends(run.end) && is_card(&row.bytes[run.start..run.end]) => {
            // European article numbers have thirteen digits, too, and German ones begin with 4.
            if run.len() == 13 {
                row.hit_in_context(PiiKind::CreditCard, run.start..run.end);
            } else {
                row.hit(PiiKind::CreditCard, run.start..run.end, 0.95);
            }
        }
        4 if matches!(run.after, b' ' | b'-') => {
            let mut ends = GROUPS.iter().filter_map(|groups| end_of_groups(row, run.start, groups));
            // Longest first.
            let end = ends.find(|end| is_card(&row.bytes[run.start..*end]));
            if let Some(end) = end {
                row.hit(PiiKind::CreditCard, run.start..end, 0.98);
            }
        }
        _ => {}
    }
}

fn end_of_groups(row: &Row<'_>, start: usize, groups: &[usize]) -> Option<usize> {
    let separator = row.byte(start + groups[0]);
    let mut at = start;
    for (place, length) in groups.iter().enumerate() {
        if place > 0 {
            at += (row.byte(at) == separator).then_some(1)?;
        }
        let group = row.bytes.get(at..at + length)?;
        at += group.iter().all(u8::is_ascii_digit).then_some(*length)?;
    }
    row.ends(at).then_some(at)
}

fn is_card(bytes: &[u8]) -> bool {
    let (values, count) = digits::<DIGITS_MAX>(bytes);
    let number = &values[..count];
    has_issuer(number) && has_check_digit(number)
}

fn has_check_digit(digits: &[u8]) -> bool {
    digits.split_last().is_some_and(|(check, body)| card_check(body) == *check)
}

fn has_issuer(digits: &[u8]) -> bool {
    let prefix = digits[..4].iter().fold(0, |prefix, digit| prefix * 10 + u32::from(*digit));
    match (prefix, digits.len()) {
        // Visa, Elo's and other Brazilian ranges in it.
        (4000..=4999, 13 | 16 | 19) => true,
        // Mastercard, Mir.
        (5100..=5599 | 2221..=2720 | 2200..=2204, 16) => true,
        // American Express.
        (3400..=3499 | 3700..=3799, 15) => true,
        // Diners Club, of late with the lengths of Discover.
        (3000..=3059 | 3095 | 3600..=3699 | 3800..=3999, 14 | 16) => true,
        // JCB.
        (3528..=3589, 16..=19) => true,
        // Discover, Elo, Hipercard, UnionPay.
        (6011 | 6440..=6599 | 6062 | 6200..=6299 | 6363, 16..=19) => true,
        (5041 | 5066 | 5067 | 5090, 16) => true,
        // Maestro.
        (5018 | 5020 | 5038 | 5893 | 6304 | 6759 | 6761..=6763, 13..=19) => true,
        _ => false,
    }
}

//! Phone numbers: Brazilian mobiles `(DD) 9dddd-dddd` with or without `+55`, North American `+1 ddd-ddd-dddd`, and E.164
//! (`+` and 8 to 15 digits).
//!
//! Eight-digit landlines are left alone on purpose: without a country code their shape is that of a range of years.

use std::ops::Range;

use super::{digit_at, digit_before, match_shape};

/// Written forms; see [`match_shape`] for the letters.
const WRITTEN: [&str; 4] = ["(dd)s9dddd-dddd", "+55s(dd)s9dddd-dddd", "+1-ddd-ddd-dddd", "+1s(ddd)sddd-dddd"];
/// Digits of an E.164 number.
const E164_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;

pub(super) fn find(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    (from..bytes.len()).find_map(|at| Some(at..end_of_number(bytes, at, from)?))
}

/// The end of the number that begins at `from`, where the text is taken to begin.
pub(super) fn number_at(text: &str, from: usize) -> Option<usize> {
    end_of_number(text.as_bytes(), from, from)
}

/// The longest number that begins at `at`.
fn end_of_number(bytes: &[u8], at: usize, from: usize) -> Option<usize> {
    match *bytes.get(at)? {
        b'(' => {}
        b'+' if !digit_before(bytes, at, from) => {}
        _ => return None,
    }
    let written = WRITTEN.iter().filter_map(|shape| match_shape(bytes, at, shape)).filter(|end| !digit_at(bytes, *end));
    written.chain(end_of_e164(bytes, at)).max()
}

fn end_of_e164(bytes: &[u8], at: usize) -> Option<usize> {
    let digits = bytes[at..].strip_prefix(b"+")?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    E164_DIGITS.contains(&digits).then_some(at + 1 + digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_forms_and_e164_are_found() {
        let check = |text: &str, expected: Option<&str>| {
            assert_eq!(find(text, 0).map(|hit| &text[hit]), expected, "{text}");
        };
        check("call +55 (11) 91234-5678!", Some("+55 (11) 91234-5678"));
        check("call (11) 91234-5678,", Some("(11) 91234-5678"));
        check("(11)912345678", Some("(11)912345678"));
        check("+1 212-555-0143.", Some("+1 212-555-0143"));
        check("+1 (212) 555-0143", Some("+1 (212) 555-0143"));
        check("é+5511912345678", Some("+5511912345678"));
        check("+1234567", None);
        check("+1234567890123456", None);
        check("2+12345678", None);
        check("brewed (20) 2004-2008", None);
        check("(11) 91234-56789", None);
        check("4+ out of 5 (10) 9", None);
        check("+", None);
    }
}

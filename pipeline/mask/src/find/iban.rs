//! International bank account numbers: a country of the registry, its length, and the remainder 1 modulo 97 (ISO 13616).
//!
//! Upper case, without spaces or in groups of four with single spaces. Countries are those of the SWIFT registry.

use super::kind::PiiKind;
use super::row::{Row, Run};

/// In order.
const COUNTRIES: [(&[u8; 2], usize); 89] = [
    (b"AD", 24),
    (b"AE", 23),
    (b"AL", 28),
    (b"AT", 20),
    (b"AZ", 28),
    (b"BA", 20),
    (b"BE", 16),
    (b"BG", 22),
    (b"BH", 22),
    (b"BI", 27),
    (b"BR", 29),
    (b"BY", 28),
    (b"CH", 21),
    (b"CR", 22),
    (b"CY", 28),
    (b"CZ", 24),
    (b"DE", 22),
    (b"DJ", 27),
    (b"DK", 18),
    (b"DO", 28),
    (b"EE", 20),
    (b"EG", 29),
    (b"ES", 24),
    (b"FI", 18),
    (b"FK", 18),
    (b"FO", 18),
    (b"FR", 27),
    (b"GB", 22),
    (b"GE", 22),
    (b"GI", 23),
    (b"GL", 18),
    (b"GR", 27),
    (b"GT", 28),
    (b"HN", 28),
    (b"HR", 21),
    (b"HU", 28),
    (b"IE", 22),
    (b"IL", 23),
    (b"IQ", 23),
    (b"IS", 26),
    (b"IT", 27),
    (b"JO", 30),
    (b"KW", 30),
    (b"KZ", 20),
    (b"LB", 28),
    (b"LC", 32),
    (b"LI", 21),
    (b"LT", 20),
    (b"LU", 20),
    (b"LV", 21),
    (b"LY", 25),
    (b"MC", 27),
    (b"MD", 24),
    (b"ME", 22),
    (b"MK", 19),
    (b"MN", 20),
    (b"MR", 27),
    (b"MT", 31),
    (b"MU", 30),
    (b"NI", 28),
    (b"NL", 18),
    (b"NO", 15),
    (b"OM", 23),
    (b"PK", 24),
    (b"PL", 28),
    (b"PS", 29),
    (b"PT", 25),
    (b"QA", 29),
    (b"RO", 24),
    (b"RS", 22),
    (b"RU", 33),
    (b"SA", 24),
    (b"SC", 31),
    (b"SD", 18),
    (b"SE", 24),
    (b"SI", 19),
    (b"SK", 24),
    (b"SM", 27),
    (b"SO", 23),
    (b"ST", 25),
    (b"SV", 28),
    (b"TL", 23),
    (b"TN", 24),
    (b"TR", 26),
    (b"UA", 29),
    (b"VA", 22),
    (b"VG", 24),
    (b"XK", 20),
    (b"YE", 30),
];

pub(super) fn find(row: &mut Row<'_>, run: Run) {
    let Some(start) = run.start.checked_sub(2) else { return };
    let country = &row.bytes[start..run.start];
    if run.len() < 2 || !country.iter().all(u8::is_ascii_uppercase) || row.before(start).is_ascii_alphanumeric() {
        return;
    }
    let Ok(place) = COUNTRIES.binary_search_by_key(&country, |(code, _)| code.as_slice()) else { return };
    if let Some(end) = end_of_number(row, start, COUNTRIES[place].1) {
        row.hit(PiiKind::Iban, start..end, 0.99);
    }
}

/// Where the number of `length` characters ends that begins at `start`, if it is one.
fn end_of_number(row: &Row<'_>, start: usize, length: usize) -> Option<usize> {
    let is_spaced = row.byte(start + 4) == b' ';
    let mut number = [0; 34];
    let mut at = start;
    for (place, character) in number[..length].iter_mut().enumerate() {
        if is_spaced && place > 0 && place % 4 == 0 {
            at += (row.byte(at) == b' ').then_some(1)?;
        }
        let byte = row.byte(at);
        *character = (byte.is_ascii_digit() || byte.is_ascii_uppercase()).then_some(byte)?;
        at += 1;
    }
    let is_end = !row.byte(at).is_ascii_alphanumeric();
    (is_end && remainder(&number[..length]) == 1).then_some(at)
}

/// Modulo 97, the first four characters read last, letters as 10 to 35.
fn remainder(number: &[u8]) -> u64 {
    let (head, tail) = number.split_at(4);
    let append = |rest: u64, byte: &u8| match byte {
        b'0'..=b'9' => rest * 10 + u64::from(byte - b'0'),
        _ => rest * 100 + u64::from(byte - b'A') + 10,
    };
    // A remainder and eight characters of two digits each have at most eighteen digits, so few divisions are needed.
    let of_few = |rest: u64, few: &[u8]| few.iter().fold(rest, append) % 97;
    of_few(tail.chunks(8).fold(0, of_few), head)
}

//! Brazilian numbers: CPF, CNPJ (numeric, and alphanumeric as from July 2026), CEP, RG, PIX random key.
//!
//! CPF and CNPJ by their check digits, as Receita Federal reckons them. Equal digits throughout
//! satisfy the arithmetic but are never issued. RG has no check digit that every state uses, so it needs its name around.

use std::ops::Range;

use super::kind::PiiKind;
use super::row::{Row, Run, digits};
use crate::digits::{cnpj_checks, cpf_checks};

pub(super) fn cpf(row: &mut Row<'_>, run: Run) {
    let end = match run.len() {
        3 => return cpf_in_groups(row, run),
        11 if run.begins && row.ends(run.end) => run.end,
        9 if run.begins && row.byte(run.end) == b'-' => match row.shape(run.start, "ddddddddd-dd") {
            Some(end) => end,
            None => return,
        },
        _ => return,
    };
    if is_cpf(&row.bytes[run.start..end]) {
        row.hit_boosted(PiiKind::Cpf, run.start..end, 0.8, 0.95);
    }
}

/// `529.982.247-25`, whatever it touches; `529-982-247-25` and `529 982 247-25` where a number may stand; with nothing but
/// spaces between the groups only next to its name.
fn cpf_in_groups(row: &mut Row<'_>, run: Run) {
    let Some(end) = row.shape(run.start, "ddd~ddd~ddd~dd") else { return };
    let range = run.start..end;
    if !is_cpf(&row.bytes[range.clone()]) {
        return;
    }
    let stands_alone = run.begins && row.ends(end);
    match [run.end, run.end + 4, run.end + 8].map(|at| row.byte(at)) {
        [b'.', b'.', b'-'] => row.hit(PiiKind::Cpf, range, 0.96),
        [b'-', b'-', b'-'] | [b' ', b' ', b'-'] if stands_alone => row.hit_boosted(PiiKind::Cpf, range, 0.8, 0.95),
        [b' ', b' ', b' '] if stands_alone => row.hit_in_context(PiiKind::Cpf, range),
        _ => {}
    }
}

/// Whether the digits of some bytes are eleven and end in the two check digits of the nine before them.
pub(super) fn is_cpf(bytes: &[u8]) -> bool {
    let (values, count) = digits::<12>(bytes);
    count == 11 && !are_equal(&values[..11]) && cpf_checks(&values[..9]) == values[9..11]
}

fn are_equal(values: &[u8]) -> bool {
    values.iter().all(|value| *value == values[0])
}

/// `11.222.333/0001-81`, found from its head.
pub(super) fn cnpj_in_digits(row: &mut Row<'_>, run: Run) {
    let end = run.start + 18;
    let is_whole = !run.before.is_ascii_alphanumeric() && row.shape(run.start, "dd.ddd.ddd/dddd-dd") == Some(end);
    if is_whole && row.byte(end - 3) == b'-' && is_cnpj(&row.bytes[run.start..end]) {
        row.hit(PiiKind::Cnpj, run.start..end, 0.96);
    }
}

/// All forms, found from the last two digits, which are digits in all of them.
pub(super) fn cnpj(row: &mut Row<'_>, run: Run) {
    let back = |count: usize| run.start.checked_sub(count).map_or(0, |at| row.byte(at));
    let before = back(1);
    let length = match run.len() {
        2 if before == b'-' && back(6) == b'/' => match back(10) {
            b'.' => 18,
            _ => 16,
        },
        14 => 14,
        2.. if before.is_ascii_uppercase() && row.ends(run.end) => 14,
        _ => return,
    };
    let Some(start) = run.end.checked_sub(length).filter(|start| !row.before(*start).is_ascii_alphanumeric()) else {
        return;
    };
    let number = &row.bytes[start..run.end];
    let shape: &[u8] = match length {
        18 => b"aa.aaa.aaa/aaaa-aa",
        16 => b"aaaaaaaa/aaaa-aa",
        _ => b"aaaaaaaaaaaaaa",
    };
    let is_alphanumeric = |byte: u8| byte.is_ascii_digit() || byte.is_ascii_uppercase();
    let fits = |(&byte, &shape): (&u8, &u8)| if shape == b'a' { is_alphanumeric(byte) } else { byte == shape };
    if !number.iter().zip(shape).all(fits) || !is_cnpj(number) {
        return;
    }
    if length > 14 {
        row.hit(PiiKind::Cnpj, start..run.end, 0.96);
    } else if row.begins(start) && row.ends(run.end) {
        let alone = if run.len() == 14 { 0.8 } else { 0.6 };
        row.hit_boosted(PiiKind::Cnpj, start..run.end, alone, 0.95);
    }
}

/// Whether the digits and capitals of some bytes, of which there are fourteen, end in the check digits of those before.
pub(super) fn is_cnpj(bytes: &[u8]) -> bool {
    let mut symbols = [0; 14];
    let characters = bytes.iter().filter(|byte| byte.is_ascii_alphanumeric());
    for (symbol, byte) in symbols.iter_mut().zip(characters) {
        *symbol = if byte.is_ascii_digit() { byte - b'0' } else { byte - b'A' + 10 };
    }
    !are_equal(&symbols) && cnpj_checks(&symbols[..12]) == symbols[12..]
}

pub(super) fn cep(row: &mut Row<'_>, run: Run) {
    if !run.begins {
        return;
    }
    let end = match run.len() {
        5 if row.byte(run.end) == b'-' => row.shape(run.start, "ddddd-ddd"),
        2 if row.byte(run.end) == b'.' => row.shape(run.start, "dd.ddd-ddd"),
        8 => Some(run.end),
        _ => None,
    };
    let Some(end) = end.filter(|end| row.ends(*end)) else { return };
    // The lowest number given out is 01001-000.
    if row.bytes[run.start..].starts_with(b"00") {
        return;
    }
    match run.len() {
        5 => row.hit_boosted(PiiKind::Cep, run.start..end, 0.6, 0.95),
        2 if row.byte(end - 4) != b'-' => {}
        _ => row.hit_in_context(PiiKind::Cep, run.start..end),
    }
}

pub(super) fn rg(row: &mut Row<'_>, run: Run) {
    if !run.begins {
        return;
    }
    let digits_end = match run.len() {
        1 | 2 if row.byte(run.end) == b'.' => {
            let shape = if run.len() == 1 { "d.ddd.ddd" } else { "dd.ddd.ddd" };
            row.shape(run.start, shape).filter(|end| *end == run.end + 8)
        }
        7..=9 => Some(run.end),
        _ => None,
    };
    let Some(digits_end) = digits_end else { return };
    let hyphen = usize::from(row.byte(digits_end) == b'-');
    let end = match row.byte(digits_end + hyphen) {
        b'0'..=b'9' if hyphen == 1 && !row.byte(digits_end + 2).is_ascii_digit() => digits_end + 2,
        b'x' | b'X' => digits_end + hyphen + 1,
        _ => digits_end,
    };
    if row.ends(end) {
        row.hit_in_context(PiiKind::Rg, run.start..end);
    }
}

/// A random UUID, found from the `4` of its version.
pub(super) fn pix_key(row: &mut Row<'_>, run: Run) {
    const BYTES: usize = 36;
    if row.byte(run.start) != b'4' || run.before != b'-' {
        return;
    }
    let Some(start) = run.start.checked_sub(14) else { return };
    let Some(key) = row.bytes.get(start..start + BYTES) else { return };
    let fits = |(at, byte): (usize, &u8)| match at {
        8 | 13 | 18 | 23 => *byte == b'-',
        19 => matches!(byte, b'8' | b'9' | b'a' | b'b' | b'A' | b'B'),
        _ => byte.is_ascii_hexdigit(),
    };
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let range: Range<usize> = start..start + BYTES;
    if key.iter().enumerate().all(fits) && !is_word(row.before(range.start)) && !is_word(row.byte(range.end)) {
        row.hit_in_context(PiiKind::PixKey, range);
    }
}

/// Whether eleven digits are a driver's licence: both check digits over the first nine (Contran 598/2016 and before).
pub(super) fn is_cnh(bytes: &[u8]) -> bool {
    let (values, count) = digits::<12>(bytes);
    if count != 11 || are_equal(&values[..11]) {
        return false;
    }
    let sum = |weight: fn(u32) -> u32| {
        (0..9).zip(&values[..9]).map(|(at, value)| weight(at) * u32::from(*value)).sum::<u32>()
    };
    let first = sum(|at| 9 - at) % 11;
    let (first, debt) = if first >= 10 { (0, 2) } else { (first, 0) };
    let second = (sum(|at| at + 1) % 11 + 11 - debt) % 11;
    let second = if second >= 10 { 0 } else { second };
    u32::from(values[9]) == first && u32::from(values[10]) == second
}

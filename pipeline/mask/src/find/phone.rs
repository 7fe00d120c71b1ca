//! Phone numbers: Brazilian, North American, and whatever begins with `+` or with the `00` people dial for it.
//!
//! Brazil: area codes that exist, nine digits beginning with 9 or eight beginning with 2 to 5. North America: area and exchange
//! 2 to 9, never N11. A `+` or a bracketed mobile number speaks for itself even where the area code does not exist: such a
//! number is somebody's with a slip in it. Bare digits need a word such as `tel` around, and are rather a CPF or a CNPJ where
//! their check digits are right. Two years with a hyphen are a range, `20120315` is a day.

use std::ops::Range;

use super::brazil::{is_cnpj, is_cpf};
use super::kind::PiiKind::{Cnpj, Cpf, Phone};
use super::row::{Row, Run, digits};

/// Digits of an E.164 number.
const E164_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;
/// Digits of an E.164 number in groups: fewer are rather a list of numbers.
const GROUPED_DIGITS_MIN: usize = 9;
/// Digits behind `00`, which begins many another number.
const DIALLED_DIGITS: std::ops::RangeInclusive<usize> = 10..=13;

/// Behind `+` or `00`.
const BRAZIL_ABROAD: [&str; 5] =
    ["55-(dd)-ddddd-dddd", "55-(dd)-dddd-dddd", "55-dd-ddddd-dddd", "55-dd-dddd-dddd", "55-dd-d-dddd-dddd"];
const AMERICA_ABROAD: [&str; 2] = ["1-ddd-ddd-dddd", "1-(ddd)-ddd-dddd"];
const BRAZIL_BRACKETED: [&str; 3] = ["(dd)-ddddd-dddd", "(dd)-dddd-dddd", "(dd)-d-dddd-dddd"];
const BRAZIL_TRUNK: [&str; 3] = ["(0dd)-ddddd-dddd", "(0dd)-dddd-dddd", "(0dd)-d-dddd-dddd"];
const BRAZIL_AREA: [&str; 3] = ["dd~ddddd-dddd", "dd~dddd-dddd", "dd~d~dddd-dddd"];
const BRAZIL_COUNTRY: [&str; 4] = ["55~dd-ddddd-dddd", "55~(dd)-ddddd-dddd", "55~dd-dddd-dddd", "55~(dd)-dddd-dddd"];

pub(super) fn find(row: &mut Row<'_>, run: Run) {
    match run.before {
        b'+' => plus(row, run),
        b'(' if run.after == b')' && run.len() <= 3 => bracketed(row, run),
        _ if run.begins => bare(row, run),
        _ => {}
    }
}

/// Behind a `+`: the forms of the two countries, which say where the number ends; else E.164, plain or in groups.
fn plus(row: &mut Row<'_>, run: Run) {
    let at = run.start - 1;
    if row.before(at).is_ascii_alphanumeric() || run.len() > *E164_DIGITS.end() {
        return;
    }
    let end = end_of_country(row, run.start)
        .or_else(|| E164_DIGITS.contains(&run.len()).then_some(run.end))
        .or_else(|| end_of_groups(row, run.start..run.end, GROUPED_DIGITS_MIN));
    let Some(end) = end.filter(|end| row.byte(*end) != b'@') else { return };
    let (values, count) = row.digits::<15>(at..end);
    if is_known_abroad(&values[..count]) {
        row.hit(Phone, at..end, 0.98);
    } else {
        // Next to a word surer than any part of it would be.
        row.hit_boosted(Phone, at..end, 0.85, 0.95);
    }
}

/// From `00` and the country's code, which may stand apart: `0055 11 91234-5678`, `00 44 20 7946 0958`.
fn dialled(row: &mut Row<'_>, run: Run) {
    // Zeros among other groups of digits are no beginning.
    if run.before == b' ' && row.before(run.start - 1).is_ascii_digit() {
        return;
    }
    let is_apart = run.len() == 2;
    let country = match run.after {
        _ if !is_apart => run.start + 2,
        b' ' | b'-' | b'.' => run.end + 1,
        _ => return,
    };
    let first = country..country + row.digits_at(country, DIALLED_DIGITS.end() + 1);
    let end = end_of_country(row, country).or_else(|| end_of_groups(row, first, *DIALLED_DIGITS.start()));
    let Some(end) = end.filter(|end| row.ends(*end)) else { return };
    let range = run.start..end;
    let (values, count) = row.digits::<15>(country..end);
    if is_known_abroad(&values[..count]) {
        row.hit_boosted(Phone, range, 0.85, 0.97);
    } else if !is_apart {
        row.hit_boosted(Phone, range, 0.6, 0.95);
    } else if row.closeness(Phone, &range).is_some() {
        row.hit(Phone, range, 0.95);
    }
}

/// The end of a number of one of the two countries whose code stands at `at`, in a form that says where it ends.
fn end_of_country(row: &Row<'_>, at: usize) -> Option<usize> {
    // No two shapes of a country fit the same text: they differ in their digits, and none may follow.
    let shapes: &[&str] = match row.byte(at) {
        b'5' => &BRAZIL_ABROAD,
        b'1' => &AMERICA_ABROAD,
        _ => &[],
    };
    shapes.iter().find_map(|shape| row.shape(at, shape))
}

/// Whether the digits behind `+` or `00` are a number of one of the two countries.
fn is_known_abroad(digits: &[u8]) -> bool {
    match digits {
        [5, 5, national @ ..] => is_brazilian(national),
        [1, national @ ..] => is_american(national),
        _ => false,
    }
}

/// The end of an E.164 number whose groups stand apart, such as `+44 (0)20 7946 0958`, from the first of them.
fn end_of_groups(row: &Row<'_>, first: Range<usize>, digits_min: usize) -> Option<usize> {
    if first.is_empty() || matches!(row.byte(first.start), b'0' | b'1') {
        return None;
    }
    let (mut end, mut total) = (first.end, first.len());
    loop {
        let mut next = end + usize::from(row.byte(end) == b')');
        next += usize::from(matches!(row.byte(next), b' ' | b'-' | b'.'));
        next += usize::from(row.byte(next) == b'(');
        let group = row.bytes.get(next..)?.iter().take(16).take_while(|byte| byte.is_ascii_digit()).count();
        if next == end || group == 0 || total + group > *E164_DIGITS.end() {
            break;
        }
        (end, total) = (next + group, total + group);
    }
    (total >= digits_min).then_some(end)
}

/// Between brackets: the area code.
fn bracketed(row: &mut Row<'_>, run: Run) {
    let at = run.start - 1;
    let shapes: &[&str] = match run.len() {
        2 => &BRAZIL_BRACKETED,
        3 if row.byte(run.start) == b'0' => &BRAZIL_TRUNK,
        _ => &[],
    };
    if let Some(end) = shapes.iter().find_map(|shape| row.shape(at, shape)) {
        let (values, count) = row.digits::<12>(at..end);
        // `(011)`: the 0 is the trunk's, not the area's.
        let national = &values[run.len() - 2..count];
        let is_mobile = national.len() == 11 && national[2] == 9;
        if is_brazilian(national) && (is_mobile || !is_range_of_years(row, end)) {
            row.hit(Phone, at..end, if is_mobile { 0.98 } else { 0.9 });
        } else if is_mobile {
            // Surer than the subscriber's number in it, so that no area code is left behind.
            row.hit_boosted(Phone, at..end, 0.55, 0.91);
        }
    }
    if run.len() == 3
        && let Some(end) = row.shape(at, "(ddd)-ddd-dddd").filter(|end| is_american(&row.digits::<10>(at..*end).0))
    {
        row.hit(Phone, country_before(row, at)..end, 0.93);
    }
}

/// Where a number begins whose area code's bracket is at `at`: at the `1` in front, if one is there.
fn country_before(row: &Row<'_>, at: usize) -> usize {
    let gap = usize::from(matches!(row.before(at), b' ' | b'-' | b'.'));
    let country = at.saturating_sub(gap + 1);
    if row.byte(country) == b'1' && country < at && row.begins(country) { country } else { at }
}

fn bare(row: &mut Row<'_>, run: Run) {
    match run.len() {
        2..=6 if row.bytes[run.start..].starts_with(b"00") => dialled(row, run),
        1 if row.byte(run.start) == b'1' => american(row, run.start, &["1~ddd~ddd~dddd"], 0.9),
        2 => area_first(row, run),
        3 => {
            american(row, run.start, &["ddd~ddd~dddd"], 0.8);
            if let Some(end) = row.shape(run.start, "0dd~ddddd-dddd").filter(|end| row.ends(*end)) {
                brazilian(row, run.start..end, 1);
            }
            exchange_first(row, run);
        }
        4 => {
            let shape = row.shape(run.start, "dddd~dddd").filter(|end| row.ends(*end));
            if let Some(end) = shape.filter(|end| !is_range_of_years(row, *end))
                && matches!(row.byte(run.start), b'2'..=b'5')
            {
                row.hit_in_context(Phone, run.start..end);
            }
        }
        5 => without_area(row, run),
        _ => in_one_run(row, run),
    }
}

/// `11 91234-5678`, and `55 11 91234-5678`.
fn area_first(row: &mut Row<'_>, run: Run) {
    let end = |shapes: &[&str]| shapes.iter().find_map(|shape| row.shape(run.start, shape));
    let country = if row.byte(run.start) == b'5' { end(&BRAZIL_COUNTRY) } else { None };
    let area = if country.is_none() { end(&BRAZIL_AREA) } else { None };
    if let Some(end) = country.filter(|end| row.ends(*end)) {
        brazilian(row, run.start..end, 2);
    } else if let Some(end) = area.filter(|end| row.ends(*end)) {
        brazilian(row, run.start..end, 0);
    }
}

/// A number with an area code behind `skipped` digits of country or trunk.
fn brazilian(row: &mut Row<'_>, range: Range<usize>, skipped: usize) {
    let (values, count) = row.digits::<13>(range.clone());
    let national = &values[skipped..count];
    if !is_brazilian(national) || is_range_of_years(row, range.end) {
        return;
    }
    match national.len() {
        11 => row.hit_boosted(Phone, range, 0.85, 0.97),
        _ => row.hit_in_context(Phone, range),
    }
}

fn american(row: &mut Row<'_>, at: usize, shapes: &[&str], score: f32) {
    let Some(end) = shapes.iter().find_map(|shape| row.shape(at, shape)).filter(|end| row.ends(*end)) else { return };
    let (values, count) = row.digits::<11>(at..end);
    if !is_american(&values[count - 10..count]) {
        return;
    }
    let (first, second) = (row.byte(end - 9), row.byte(end - 5));
    match first == second {
        true if first != b' ' => row.hit_boosted(Phone, at..end, score, 0.96),
        true => row.hit_boosted(Phone, at..end, score - 0.2, 0.96),
        false if first == b' ' => row.hit_boosted(Phone, at..end, score - 0.2, 0.96),
        false => {}
    }
}

/// `555-0143`: no area code, so only next to a word.
fn exchange_first(row: &mut Row<'_>, run: Run) {
    let end = if run.after == b'-' { row.shape(run.start, "ddd~dddd") } else { None };
    if let Some(end) = end.filter(|end| row.ends(*end))
        && is_american_code(&row.digits::<3>(run.start..run.end).0)
    {
        row.hit_in_context(Phone, run.start..end);
    }
}

/// `91234-5678`: alone only where it cannot be an American postal code of nine digits in the west, which begin with 90 to 96.
fn without_area(row: &mut Row<'_>, run: Run) {
    let Some(end) = row.shape(run.start, "9dddd~dddd").filter(|end| row.ends(*end)) else { return };
    if row.byte(run.end) == b'-' && matches!(row.byte(run.start + 1), b'6'..=b'9') {
        row.hit_boosted(Phone, run.start..end, 0.5, 0.9);
    } else {
        row.hit_in_context(Phone, run.start..end);
    }
}

/// Bare digits: a number only where a word says so.
fn in_one_run(row: &mut Row<'_>, run: Run) {
    let bytes = &row.bytes[run.start..run.end];
    let (values, count) = digits::<15>(bytes);
    let is_number = match &values[..count] {
        [0, 0, abroad @ ..] => {
            is_known_abroad(abroad) || matches!(abroad, [2..=9, ..]) && DIALLED_DIGITS.contains(&abroad.len())
        }
        number => is_national(number),
    };
    // A word such as `contato` stands in front of other numbers, too; check digits are not right by chance.
    let is_taxpayer = match run.len() {
        11 => row.wants(Cpf) && is_cpf(bytes),
        14 => row.wants(Cnpj) && is_cnpj(bytes),
        _ => false,
    };
    if is_number && !is_taxpayer && row.ends(run.end) {
        row.hit_in_context(Phone, run.start..run.end);
    }
}

/// Whether bare digits may be a number as people write it at home, or with the country's code and no sign in front.
fn is_national(digits: &[u8]) -> bool {
    match digits.len() {
        8 => (2..=5).contains(&digits[0]) && !is_day(digits),
        9 => digits[0] == 9,
        10 => is_brazilian(digits) || is_american(digits),
        11 => is_brazilian(digits) || (digits[0] == 1 && is_american(&digits[1..])),
        12 | 13 => digits.starts_with(&[5, 5]) && is_brazilian(&digits[2..]),
        _ => false,
    }
}

/// `20120315`. Days of the last century begin like no phone number.
fn is_day(digits: &[u8]) -> bool {
    let [2, 0, _, _, month @ .., day_tens, day] = digits else { return false };
    let [month_tens, month] = month else { return false };
    (1..=12).contains(&(10 * month_tens + month)) && (1..=31).contains(&(10 * day_tens + day))
}

/// Whether the last nine bytes before `end` are two years and something between, as in `2004-2008`. In `91999-2004` they are
/// not: the first digits go on in front.
fn is_range_of_years(row: &Row<'_>, end: usize) -> bool {
    let is_year = |at: usize| matches!(&row.bytes[at..at + 2], b"19" | b"20");
    end >= 9
        && !row.before(end - 9).is_ascii_digit()
        && row.shape(end - 9, "dddd~dddd") == Some(end)
        && is_year(end - 9)
        && is_year(end - 4)
}

/// Area code and subscriber's number.
fn is_brazilian(digits: &[u8]) -> bool {
    let [tens, ones, subscriber @ ..] = digits else { return false };
    is_area_code(*tens, *ones)
        && match subscriber {
            [9, ..] => subscriber.len() == 9,
            [2..=5, ..] => subscriber.len() == 8,
            _ => false,
        }
}

/// The area codes that ANATEL assigned.
fn is_area_code(tens: u8, ones: u8) -> bool {
    match tens {
        1 | 4 | 6 | 8 | 9 => ones != 0,
        2 => matches!(ones, 1 | 2 | 4 | 7 | 8),
        3 => matches!(ones, 1..=5 | 7 | 8),
        5 => matches!(ones, 1 | 3 | 4 | 5),
        7 => matches!(ones, 1 | 3 | 4 | 5 | 7 | 9),
        _ => false,
    }
}

/// Area code, exchange, line.
fn is_american(digits: &[u8]) -> bool {
    digits.len() == 10 && is_american_code(&digits[..3]) && is_american_code(&digits[3..6])
}

/// Whether three digits may be an area code or an exchange.
fn is_american_code(code: &[u8]) -> bool {
    code[0] >= 2 && code[1..3] != [1, 1]
}

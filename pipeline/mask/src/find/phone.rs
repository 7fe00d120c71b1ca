//! Phone numbers: Brazilian, North American, and whatever begins with `+`.
//!
//! Brazil: area codes that exist, nine digits beginning with 9 or eight beginning with 2 to 5. North America: area and exchange
//! 2 to 9, never N11. A `+` or a bracketed mobile number speaks for itself even where the area code does not exist: such a
//! number is somebody's with a slip in it. Bare digits need a word such as `tel` around. Two years with a hyphen are a range.

use std::ops::Range;

use super::kind::PiiKind::Phone;
use super::row::{Row, Run, digits};

/// Digits of an E.164 number.
const E164_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;
/// Digits of an E.164 number in groups: fewer are rather a list of numbers.
const GROUPED_DIGITS_MIN: usize = 9;

const BRAZIL_PLUS: [&str; 5] =
    ["+55-(dd)-ddddd-dddd", "+55-(dd)-dddd-dddd", "+55-dd-ddddd-dddd", "+55-dd-dddd-dddd", "+55-dd-d-dddd-dddd"];
const AMERICA_PLUS: [&str; 2] = ["+1-ddd-ddd-dddd", "+1-(ddd)-ddd-dddd"];
const BRAZIL_BRACKETED: [&str; 6] = [
    "(dd)-ddddd-dddd",
    "(dd)-dddd-dddd",
    "(dd)-d-dddd-dddd",
    "(0dd)-ddddd-dddd",
    "(0dd)-dddd-dddd",
    "(0dd)-d-dddd-dddd",
];
const BRAZIL_AREA: [&str; 3] = ["dd~ddddd-dddd", "dd~dddd-dddd", "dd~d~dddd-dddd"];
const BRAZIL_COUNTRY: [&str; 4] = ["55~dd-ddddd-dddd", "55~(dd)-ddddd-dddd", "55~dd-dddd-dddd", "55~(dd)-dddd-dddd"];

pub(super) fn find(row: &mut Row<'_>, run: Run) {
    match run.before {
        b'+' => plus(row, run),
        b'(' => bracketed(row, run),
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
    let shapes = BRAZIL_PLUS.iter().chain(&AMERICA_PLUS);
    let end = shapes.filter_map(|shape| row.shape(at, shape)).max();
    let end = end.or_else(|| E164_DIGITS.contains(&run.len()).then_some(run.end)).or_else(|| end_of_groups(row, run));
    let Some(end) = end.filter(|end| row.byte(*end) != b'@') else { return };
    let (values, count) = row.digits::<15>(at..end);
    let is_known = match &values[..count] {
        [5, 5, national @ ..] => is_brazilian(national),
        [1, national @ ..] => is_american(national),
        _ => false,
    };
    row.hit(Phone, at..end, if is_known { 0.98 } else { 0.85 });
}

/// The end of an E.164 number whose groups stand apart, such as `+44 (0)20 7946 0958`.
fn end_of_groups(row: &Row<'_>, run: Run) -> Option<usize> {
    if matches!(row.byte(run.start), b'0' | b'1') {
        return None;
    }
    let (mut end, mut total) = (run.end, run.len());
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
    (total >= GROUPED_DIGITS_MIN).then_some(end)
}

/// Behind a `(`: the area code.
fn bracketed(row: &mut Row<'_>, run: Run) {
    let at = run.start - 1;
    if row.byte(run.end) != b')' {
        return;
    }
    if let Some(end) = BRAZIL_BRACKETED.iter().filter_map(|shape| row.shape(at, shape)).max() {
        let (values, count) = row.digits::<12>(at..end);
        // `(011)`: the 0 is the trunk's, not the area's.
        let national = &values[run.len() - 2..count];
        let is_mobile = national.len() == 11 && national[2] == 9;
        if is_brazilian(national) && !is_range_of_years(row, end) {
            row.hit(Phone, at..end, if is_mobile { 0.98 } else { 0.9 });
        } else if is_mobile {
            row.hit(Phone, at..end, 0.55);
        }
    }
    if let Some(end) = row.shape(at, "(ddd)-ddd-dddd").filter(|end| is_american(&row.digits::<10>(at..*end).0)) {
        row.hit(Phone, country_before(row, at)..end, 0.93);
    }
}

/// Where a number begins whose area code's bracket is at `at`: at the `1` or `55` in front, if one is there.
fn country_before(row: &Row<'_>, at: usize) -> usize {
    let gap = usize::from(matches!(row.before(at), b' ' | b'-' | b'.'));
    let country = at.saturating_sub(gap + 1);
    if row.byte(country) == b'1' && country < at && row.begins(country) { country } else { at }
}

fn bare(row: &mut Row<'_>, run: Run) {
    match run.len() {
        1 if row.byte(run.start) == b'1' => american(row, run.start, &["1~ddd~ddd~dddd"], 0.9),
        2 => area_first(row, run),
        3 => {
            american(row, run.start, &["ddd~ddd~dddd"], 0.8);
            if let Some(end) = row.shape(run.start, "0dd~ddddd-dddd").filter(|end| row.ends(*end)) {
                brazilian(row, run.start..end, 1);
            }
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
    let end = |shapes: &[&str]| shapes.iter().filter_map(|shape| row.shape(run.start, shape)).max();
    let (country, area) = (end(&BRAZIL_COUNTRY), end(&BRAZIL_AREA));
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
    let (values, count) = digits::<13>(&row.bytes[run.start..run.end]);
    let number = &values[..count];
    let is_number = match run.len() {
        8 => (2..=5).contains(&number[0]),
        9 => number[0] == 9,
        10 => is_brazilian(number) || is_american(number),
        11 => is_brazilian(number) || (number[0] == 1 && is_american(&number[1..])),
        12 | 13 => number.starts_with(&[5, 5]) && is_brazilian(&number[2..]),
        _ => false,
    };
    if is_number && row.ends(run.end) {
        row.hit_in_context(Phone, run.start..run.end);
    }
}

/// Whether the last nine bytes before `end` are two years and something between, as in `2004-2008`.
fn is_range_of_years(row: &Row<'_>, end: usize) -> bool {
    let is_year = |at: usize| matches!(&row.bytes[at..at + 2], b"19" | b"20");
    end >= 9 && row.shape(end - 9, "dddd~dddd") == Some(end) && is_year(end - 9) && is_year(end - 4)
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
    let starts = |code: &[u8]| code[0] >= 2 && code[1..3] != [1, 1];
    digits.len() == 10 && starts(&digits[..3]) && starts(&digits[3..6])
}

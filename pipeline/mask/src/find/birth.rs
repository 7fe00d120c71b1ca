//! Dates of birth: dates people write, of years people are born in, next to a word such as `born` or `nascimento`.
//!
//! In figures with the same `/`, `-` or `.` between them, day or month first, or year first; with the month's name, English
//! or Portuguese, whole or cut to three letters or more. The day must exist in its month. Years of two digits only in figures.
//! A bottle's "born on" date is nobody's birthday.

use super::context::WINDOW_BYTES;
use super::kind::PiiKind;
use super::row::{Row, Run};

/// No clock here: a wide range.
const YEARS: std::ops::RangeInclusive<u32> = 1900..=2029;
const DAYS: [u32; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const ENGLISH: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const PORTUGUESE: [&str; 12] = [
    "janeiro",
    "fevereiro",
    "março",
    "abril",
    "maio",
    "junho",
    "julho",
    "agosto",
    "setembro",
    "outubro",
    "novembro",
    "dezembro",
];
/// Longest name of a month, in bytes.
const NAME_BYTES_MAX: usize = 9;
/// What makes a number an ordinal.
const ORDINALS: [&str; 7] = ["st", "nd", "rd", "th", "º", "°", "ª"];
/// What stands between day, month and year in words.
const BETWEEN: [&str; 9] = [" de ", " of ", ", ", ". ", " ", "-", "/", ".", ","];

/// What brewers print in front of a date.
const BOTTLE_PRINTS: [&[u8]; 3] = [b"born on dat", b"born-on", b"bottled"];

/// From a run of one or two digits.
pub(super) fn day_first(row: &mut Row<'_>, run: Run) {
    let place = in_figures(row, run).or_else(|| in_words(row, run));
    hit(row, place);
}

/// From a run of four digits: `1984-05-06`.
pub(super) fn year_first(row: &mut Row<'_>, run: Run) {
    let place = from_year(row, run);
    hit(row, place);
}

fn hit(row: &mut Row<'_>, place: Option<(usize, usize)>) {
    let Some((start, end)) = place else { return };
    let stands_alone = row.begins(start) && !row.byte(end).is_ascii_digit() && (row.ends(end) || row.byte(end) == b'T');
    if stands_alone && row.closeness(PiiKind::BirthDate, &(start..end)).is_some() && !is_of_a_bottle(row, start) {
        row.hit_in_context(PiiKind::BirthDate, start..end);
    }
}

/// Whether it is a beer that was born then: what brewers print on a bottle stands in front.
fn is_of_a_bottle(row: &Row<'_>, start: usize) -> bool {
    let before = &row.bytes[start.saturating_sub(WINDOW_BYTES)..start];
    let mut prints = BOTTLE_PRINTS.iter();
    prints.any(|print| before.windows(print.len()).any(|window| window.eq_ignore_ascii_case(print)))
}

/// `6/5/84`, `06.05.1984`.
fn in_figures(row: &Row<'_>, run: Run) -> Option<(usize, usize)> {
    let separator = run.after;
    if !matches!(separator, b'/' | b'-' | b'.') {
        return None;
    }
    let (second, middle_end) = number(row, run.end + 1, 2)?;
    if row.byte(middle_end) != separator {
        return None;
    }
    let (year, end) = number(row, middle_end + 1, 4)?;
    let year = match end - middle_end - 1 {
        4 => year,
        2 => 1900 + year,
        _ => return None,
    };
    let (first, _) = number(row, run.start, 2)?;
    (is_date(first, second, year) || is_date(second, first, year)).then_some((run.start, end))
}

fn from_year(row: &Row<'_>, run: Run) -> Option<(usize, usize)> {
    let separator = run.after;
    if !matches!(separator, b'/' | b'-' | b'.') {
        return None;
    }
    let (year, _) = number(row, run.start, 4)?;
    let (month, month_end) = number(row, run.end + 1, 2)?;
    let (day, end) = number(row, month_end + 1, 2)?;
    (row.byte(month_end) == separator && is_date(day, month, year)).then_some((run.start, end))
}

/// `6th of May 1984`, `6 de maio de 1984`, `May 6, 1984`.
fn in_words(row: &Row<'_>, run: Run) -> Option<(usize, usize)> {
    // A letter or four digits must follow, an ordinal's letters perhaps between.
    if !matches!(run.after, b' ' | b',' | b'.' | b'-' | b'/' | b's' | b'n' | b'r' | b't' | 0x80..) {
        return None;
    }
    let (day, _) = number(row, run.start, 2)?;
    let rest = &row.text[run.end..];
    let suffix = match run.after {
        b's' | b'n' | b'r' | b't' | 0x80.. => ORDINALS.into_iter().find(|suffix| rest.starts_with(suffix)),
        _ => None,
    };
    let day_end = run.end + suffix.map_or(0, str::len);
    let next = behind(row, day_end)?;
    if is_letter(row.byte(next)) {
        let letters = row.bytes[next..].iter().take(NAME_BYTES_MAX + 1).take_while(|byte| is_letter(**byte)).count();
        let month = month(&row.bytes[next..next + letters])?;
        let end = year(row, behind(row, next + letters)?).filter(|(year, _)| is_date(day, month, *year))?.1;
        return Some((run.start, end));
    }
    let (year, end) = year(row, next)?;
    let gap = row.bytes[..run.start].iter().rev().take(2).take_while(|byte| matches!(byte, b' ' | b'.' | b'-')).count();
    let name_end = run.start - gap;
    let letters =
        row.bytes[..name_end].iter().rev().take(NAME_BYTES_MAX + 1).take_while(|byte| is_letter(**byte)).count();
    let month = month(&row.bytes[name_end - letters..name_end]).filter(|_| gap > 0)?;
    is_date(day, month, year).then_some((name_end - letters, end))
}

/// Four digits at `at`, and their end.
fn year(row: &Row<'_>, at: usize) -> Option<(u32, usize)> {
    number(row, at, 4).filter(|(_, end)| end - at == 4)
}

fn is_letter(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte >= 0x80
}

/// The place behind what stands between the parts of a date.
fn behind(row: &Row<'_>, at: usize) -> Option<usize> {
    if !matches!(row.byte(at), b' ' | b',' | b'.' | b'-' | b'/') {
        return None;
    }
    BETWEEN.iter().find(|between| row.bytes[at..].starts_with(between.as_bytes())).map(|between| at + between.len())
}

/// The number of the digits at `at`, and its end; `None` without digits or with more than `digits_max`.
fn number(row: &Row<'_>, at: usize, digits_max: usize) -> Option<(u32, usize)> {
    let rest = row.bytes.get(at..)?;
    let length = rest.iter().take(digits_max + 1).take_while(|byte| byte.is_ascii_digit()).count();
    let value = rest[..length].iter().fold(0, |value, byte| value * 10 + u32::from(byte - b'0'));
    (1..=digits_max).contains(&length).then_some((value, at + length))
}

/// The number of a month by its name or three letters of it and more.
fn month(word: &[u8]) -> Option<u32> {
    let [first, second, third, ..] = *word else { return None };
    let place = match [first, second, third].map(|letter| letter.to_ascii_lowercase()) {
        [b'j', b'a', b'n'] => 0,
        [b'f', b'e', b'b' | b'v'] => 1,
        [b'm', b'a', b'r'] => 2,
        [b'a', b'p' | b'b', b'r'] => 3,
        [b'm', b'a', b'y' | b'i'] => 4,
        [b'j', b'u', b'n'] => 5,
        [b'j', b'u', b'l'] => 6,
        [b'a', b'u' | b'g', b'g' | b'o'] => 7,
        [b's', b'e', b'p' | b't'] => 8,
        [b'o', b'c' | b'u', b't'] => 9,
        [b'n', b'o', b'v'] => 10,
        [b'd', b'e', b'c' | b'z'] => 11,
        _ => return None,
    };
    let is_cut = |name: &str| name.as_bytes().get(..word.len()).is_some_and(|cut| cut.eq_ignore_ascii_case(word));
    (is_cut(ENGLISH[place]) || is_cut(PORTUGUESE[place])).then_some(u32::try_from(place + 1).ok()?)
}

fn is_date(day: u32, month: u32, year: u32) -> bool {
    let Some(days) = (month as usize).checked_sub(1).and_then(|month| DAYS.get(month)) else { return false };
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = days + u32::from(month == 2 && is_leap);
    YEARS.contains(&year) && (1..=days).contains(&day)
}

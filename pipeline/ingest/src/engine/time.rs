//! Dates and instants from text: RFC 3339 as DMS writes it, and the form of a Postgres CSV export.
//!
//! Instants come out in UTC; a text without a zone is UTC (DMS puts `Z` on plain timestamps, too). `infinity` becomes the
//! moment DMS gives for it. Digits beyond the microsecond must be zero. Years are proleptic Gregorian and may lie before
//! Christ or beyond 9999, as in Postgres; `24:00:00` and second 60 roll over, as there. Postgres's last 29 years, 294247 to
//! 294276, do not fit into microseconds since 1970 and are refused. The usual spelling takes a short way, every other a long
//! one.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// 4713-01-01 BC, the first day of Postgres.
const FIRST_YEAR: i64 = -4_712;
/// The last year of a Postgres timestamp.
const LAST_YEAR: i64 = 294_276;

/// Days since 1970-01-01.
#[inline]
pub(super) fn date(text: &str) -> Option<i32> {
    text.as_bytes().try_into().ok().and_then(usual_day).or_else(|| any_date(text))
}

fn any_date(text: &str) -> Option<i32> {
    let day = match text {
        "infinity" => day_of(9_999, 12, 31)?,
        "-infinity" => day_of(FIRST_YEAR, 1, 1)?,
        _ => {
            let (text, before_christ) = strip_era(text);
            let mut cursor = Cursor(text.as_bytes());
            let day = cursor.date(before_christ)?;
            cursor.0.is_empty().then_some(day)?
        }
    };
    i32::try_from(day).ok()
}

/// Microseconds since 1970-01-01T00:00:00Z.
#[inline]
pub(super) fn timestamp(text: &str) -> Option<i64> {
    usual_timestamp(text.as_bytes()).or_else(|| any_timestamp(text))
}

/// An instant as nearly all are written, `2010-11-01 00:02:00.1+00` or `2010-11-01T00:02:00.100000Z`; `None` for any other.
#[inline]
fn usual_timestamp(text: &[u8]) -> Option<i64> {
    let (moment, rest) = text.split_first_chunk::<19>()?;
    let day = usual_day(moment.first_chunk()?)?;
    let (hour, minute, second) = (two_digits(moment, 11), two_digits(moment, 14), two_digits(moment, 17));
    let separated = (moment[10] == b'T' || moment[10] == b' ') && moment[13] == b':' && moment[16] == b':';
    if !separated || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let digits = match rest {
        [b'.', rest @ ..] => rest.iter().take(7).take_while(|byte| byte.is_ascii_digit()).count(),
        _ => 0,
    };
    let (fraction, zone) = if digits == 0 { (&[][..], rest) } else { rest[1..].split_at(digits) };
    if digits > 6 || !matches!(zone, b"Z" | b"" | b"+00" | b"+00:00") {
        return None;
    }
    let micros = (0..6).fold(0, |micros, at| micros * 10 + fraction.get(at).map_or(0, |digit| i64::from(digit - b'0')));
    let seconds = i64::from(day) * SECONDS_PER_DAY + i64::from(hour * 3_600 + minute * 60 + second);
    Some(seconds * MICROS_PER_SECOND + micros)
}

/// The day of a text like `2010-11-01`; `None` for any other.
#[inline]
fn usual_day(text: &[u8; 10]) -> Option<i32> {
    let (century, year, month, day) =
        (two_digits(text, 0), two_digits(text, 2), two_digits(text, 5), two_digits(text, 8));
    let are_digits = century <= 99 && year <= 99;
    let year = century * 100 + year;
    // The 29th and later may not exist in their month; the long way knows.
    let usual = are_digits && year > 0 && (1..=12).contains(&month) && (1..=28).contains(&day);
    if !usual || text[4] != b'-' || text[7] != b'-' {
        return None;
    }
    // Years that begin in March have their odd day last (Hinnant, "chrono-compatible low-level date algorithms").
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    Some(days.cast_signed() - 719_468)
}

/// Two digits as a number, or one beyond any hour, minute or month.
#[inline]
fn two_digits<const N: usize>(text: &[u8; N], at: usize) -> u32 {
    let (tens, ones) = (text[at].wrapping_sub(b'0'), text[at + 1].wrapping_sub(b'0'));
    if tens > 9 || ones > 9 { NO_DIGITS } else { u32::from(tens) * 10 + u32::from(ones) }
}

const NO_DIGITS: u32 = 1_000;

fn any_timestamp(text: &str) -> Option<i64> {
    let seconds = |day: i64, second: i64| day * SECONDS_PER_DAY + second;
    match text {
        "infinity" => return Some(seconds(day_of(9_999, 12, 31)?, SECONDS_PER_DAY - 1) * MICROS_PER_SECOND),
        "-infinity" => return Some(seconds(day_of(FIRST_YEAR, 1, 1)?, 0) * MICROS_PER_SECOND),
        _ => {}
    }
    let (text, before_christ) = strip_era(text);
    let mut cursor = Cursor(text.as_bytes());
    let day = cursor.date(before_christ)?;
    cursor.one_of(b"T ")?;
    let (second, micros) = cursor.time()?;
    let offset = cursor.zone()?;
    cursor.0.is_empty().then_some(())?;
    seconds(day, second - offset).checked_mul(MICROS_PER_SECOND)?.checked_add(micros)
}

fn strip_era(text: &str) -> (&str, bool) {
    text.strip_suffix(" BC").map_or((text, false), |text| (text, true))
}

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar; year 0 is 1 BC.
fn day_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month = usize::try_from(month - 1).ok()?;
    let valid = (FIRST_YEAR..=LAST_YEAR).contains(&year) && (1..=*lengths.get(month)?).contains(&day);
    let before = year - 1;
    let days_before_year = before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400);
    let days_before_month: i64 = lengths[..month].iter().sum();
    valid.then_some(days_before_year + days_before_month + day - 1 - 719_162)
}

struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn one_of(&mut self, allowed: &[u8]) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        allowed.contains(first).then(|| {
            self.0 = rest;
            *first
        })
    }

    /// A number of `count` digits at least and `max` at most.
    fn digits(&mut self, count: usize, max: usize) -> Option<i64> {
        let length = self.0.iter().take(max).take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        (length >= count).then(|| digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0')))
    }

    fn date(&mut self, before_christ: bool) -> Option<i64> {
        let year = self.digits(4, 6)?;
        self.one_of(b"-")?;
        let month = self.digits(2, 2)?;
        self.one_of(b"-")?;
        let day = self.digits(2, 2)?;
        day_of(if before_christ { 1 - year } else { year }, month, day).filter(|_| year > 0)
    }

    /// Second of the day and microsecond of the second.
    fn time(&mut self) -> Option<(i64, i64)> {
        let hour = self.digits(2, 2)?;
        self.one_of(b":")?;
        let minute = self.digits(2, 2)?;
        let second = match self.one_of(b":") {
            Some(_) => self.digits(2, 2)?,
            None => 0,
        };
        let micros = match self.one_of(b".") {
            Some(_) => self.micros()?,
            None => 0,
        };
        let in_day = hour < 24 && minute < 60 && (second < 60 || (second == 60 && micros == 0));
        let end_of_day = (hour, minute, second, micros) == (24, 0, 0, 0);
        (in_day || end_of_day).then_some((hour * 3_600 + minute * 60 + second, micros))
    }

    fn micros(&mut self) -> Option<i64> {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        let exact = length > 0 && digits.iter().skip(6).all(|digit| *digit == b'0');
        exact.then(|| {
            (0..6).fold(0, |number, at| number * 10 + digits.get(at).map_or(0, |digit| i64::from(digit - b'0')))
        })
    }

    /// Seconds east of Greenwich.
    fn zone(&mut self) -> Option<i64> {
        let Some(sign) = self.one_of(b"Zz+-") else { return self.0.is_empty().then_some(0) };
        if sign.eq_ignore_ascii_case(&b'z') {
            return Some(0);
        }
        let hours = self.digits(2, 2)?;
        let mut rest = [0, 0];
        for part in &mut rest {
            let colon = self.one_of(b":").is_some();
            if !colon && self.0.is_empty() {
                break;
            }
            *part = self.digits(2, 2)?;
        }
        let seconds = hours * 3_600 + rest[0] * 60 + rest[1];
        let plausible = hours < 16 && rest[0] < 60 && rest[1] < 60;
        plausible.then_some(if sign == b'-' { -seconds } else { seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakebed_contract::Timestamp;
    use proptest::prelude::*;

    #[test]
    fn instants_are_read_in_both_forms() {
        let check = |text: &str, expected: &str| {
            let found = timestamp(text).map(|micros| Timestamp(micros).to_string());
            assert_eq!(found.as_deref(), Some(expected), "{text}");
        };
        check("2010-11-01T00:02:00.1Z", "2010-11-01T00:02:00.100000Z");
        check("2010-11-01T00:02:00.100000Z", "2010-11-01T00:02:00.100000Z");
        check("2010-11-01 00:02:00+00", "2010-11-01T00:02:00.000000Z");
        check("2010-11-01 00:02:00.000001-03", "2010-11-01T03:02:00.000001Z");
        check("2010-11-01 00:02:00+05:30", "2010-10-31T18:32:00.000000Z");
        check("2010-11-01 00:02:00+0530", "2010-10-31T18:32:00.000000Z");
        check("1890-01-01 00:00:00-03:06:28", "1890-01-01T03:06:28.000000Z");
        check("2010-11-01T00:02", "2010-11-01T00:02:00.000000Z");
        check("2010-12-31 24:00:00+00", "2011-01-01T00:00:00.000000Z");
        check("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z");
        check("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z");
        check("2010-11-01T00:02:00.100000000Z", "2010-11-01T00:02:00.100000Z");
        check("infinity", "9999-12-31T23:59:59.000000Z");
        assert_eq!(timestamp("294246-12-31 23:59:59+00"), Some(9_223_371_244_799_000_000));
        assert_eq!(timestamp("294276-12-31 23:59:59+00"), None, "beyond 64 bits of microseconds since 1970");
        assert_eq!(timestamp("-infinity"), timestamp("4713-01-01 00:00:00+00 BC"));
        assert_eq!(
            timestamp("0001-01-01 00:00:00 BC").map(|micros| micros + 366 * 86_400_000_000),
            timestamp("0001-01-01 00:00:00")
        );
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "2010-11-01",
            "2010-13-01T00:00:00Z",
            "2010-02-29T00:00:00Z",
            "2010-11-01T25:00:00Z",
            "2010-11-01T00:60:00Z",
            "2010-11-01T00:00:00.0000001Z",
            "2010-11-01T00:00:00.Z",
            "2010-11-01T00:00:00ZZ",
            "2010-11-01T00:00:00+1",
            "0000-01-01T00:00:00Z",
            "10-11-01T00:00:00Z",
            "2010-11-01T24:00:01Z",
            "now",
            "294277-01-01 00:00:00+00",
            "2010-11-01T00:00:00+16:00",
            "4714-01-01 00:00:00+00 BC",
        ] {
            assert_eq!(timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn dates_are_days() {
        let check = |text: &str, expected: Option<i32>| assert_eq!(date(text), expected, "{text}");
        check("1970-01-01", Some(0));
        check("2018-01-02", Some(17_533));
        check("2000-02-29", Some(11_016));
        check("1900-02-29", None);
        check("infinity", Some(2_932_896));
        check("2018-01-02T00:00:00Z", None);
        check("2018-1-2", None);
        check("0044-03-15 BC", Some(-735_160));
    }

    proptest! {
        #[test]
        fn instants_survive_a_round_trip(micros in -60_000_000_000_000_000i64..250_000_000_000_000_000) {
            prop_assert_eq!(timestamp(&Timestamp(micros).to_rfc3339_micros()), Some(micros));
        }

        #[test]
        fn the_short_way_leads_where_the_long_one_does(
            text in "[0-9]{2}[0-9x]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{0,8})?(Z|\\+00|\\+00:00|-03|)",
        ) {
            if let Some(value) = usual_timestamp(text.as_bytes()) {
                prop_assert_eq!(any_timestamp(&text), Some(value), "{}", text);
            }
            let day = &text[..10];
            if let Some(value) = usual_day(day.as_bytes().try_into().expect("ten bytes")) {
                prop_assert_eq!(any_date(day), Some(value), "{}", day);
            }
        }

        #[test]
        fn any_text_is_survived(text: String) {
            timestamp(&text);
            date(&text);
        }
    }
}

//! Coarser values: a date becomes its year, its band of years or its month, an instant its day; a text its first characters.
//!
//! Both bronze and silver generalise, and they must agree to the day, so the arithmetic stands here once. Promises: the same
//! type comes out as went in; doing it twice is doing it once; every number is accepted, and what would fall below the type's
//! range stops at its end. Proleptic Gregorian calendar, UTC. Knows no columns.

/// Microseconds of a day.
const DAY_MICROS: i64 = 86_400_000_000;

/// How coarse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generalisation {
    /// The first of January of the year.
    Year,
    /// The first of January of the first year of a band of so many years; bands are counted from year 0, so a band of five is
    /// 1990 to 1994.
    Band(u16),
    /// The first of the month.
    Month,
    /// The same day, at midnight UTC.
    Day,
}

impl Generalisation {
    /// A date, in days from 1970-01-01.
    pub fn date(self, day: i32) -> i32 {
        let coarse = self.day(i64::from(day));
        // Only the first year that the type can hold begins before the type does.
        i32::try_from(coarse).unwrap_or(i32::MIN)
    }

    /// An instant, in microseconds from 1970-01-01T00:00Z.
    pub fn instant(self, micros: i64) -> i64 {
        self.day(micros.div_euclid(DAY_MICROS)).saturating_mul(DAY_MICROS)
    }

    fn day(self, day: i64) -> i64 {
        match self {
            Self::Day => day,
            Self::Month => {
                let (year, month) = year_and_month(day);
                first_of_month(year, month)
            }
            Self::Year => first_of_month(year_and_month(day).0, 1),
            Self::Band(years) => {
                let years = i64::from(years.max(1));
                first_of_month(year_and_month(day).0.div_euclid(years) * years, 1)
            }
        }
    }
}

/// The first `count` characters.
pub fn prefix(text: &str, count: usize) -> &str {
    let end = text.char_indices().nth(count).map_or(text.len(), |(end, _)| end);
    &text[..end]
}

/// Days from 1970-01-01 to 1 January of `year`.
fn first_of_year(year: i64) -> i64 {
    let before = year - 1;
    before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 719_162
}

fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

/// Days of the year before each month, without the leap day.
const DAYS_BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

/// `month` is 1 to 12.
fn first_of_month(year: i64, month: usize) -> i64 {
    let leap_day = i64::from(month > 2 && is_leap(year));
    first_of_year(year) + DAYS_BEFORE[month - 1] + leap_day
}

fn year_and_month(day: i64) -> (i64, usize) {
    // 146,097 days make 400 years exactly; the estimate is off by one at most.
    let mut year = 1970 + (day * 400).div_euclid(146_097);
    while first_of_year(year) > day {
        year -= 1;
    }
    while first_of_year(year + 1) <= day {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| first_of_month(year, *month) <= day).unwrap_or(1);
    (year, month)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, NaiveDate};
    use proptest::prelude::*;

    fn days(year: i32, month: u32, day: u32) -> i32 {
        let date = NaiveDate::from_ymd_opt(year, month, day).expect("a date");
        date.num_days_from_ce() - 719_163
    }

    #[test]
    fn dates_become_years_bands_and_months() {
        let check = |how: Generalisation, from: (i32, u32, u32), to: (i32, u32, u32)| {
            assert_eq!(how.date(days(from.0, from.1, from.2)), days(to.0, to.1, to.2), "{how:?} {from:?}");
        };
        check(Generalisation::Year, (2024, 2, 29), (2024, 1, 1));
        check(Generalisation::Year, (1969, 12, 31), (1969, 1, 1));
        check(Generalisation::Year, (1900, 3, 1), (1900, 1, 1));
        check(Generalisation::Band(5), (1994, 12, 31), (1990, 1, 1));
        check(Generalisation::Band(5), (1995, 1, 1), (1995, 1, 1));
        check(Generalisation::Band(10), (-1, 7, 1), (-10, 1, 1));
        check(Generalisation::Month, (2024, 2, 29), (2024, 2, 1));
        check(Generalisation::Month, (2023, 12, 31), (2023, 12, 1));
        check(Generalisation::Day, (2023, 12, 31), (2023, 12, 31));
    }

    #[test]
    fn instants_are_cut_in_utc_also_before_1970() {
        let hour = 3_600_000_000;
        assert_eq!(Generalisation::Day.instant(25 * hour + 1), 24 * hour);
        assert_eq!(Generalisation::Day.instant(-1), -24 * hour);
        assert_eq!(Generalisation::Month.instant(40 * 24 * hour), 31 * 24 * hour);
        assert_eq!(Generalisation::Year.instant(-1), -365 * 24 * hour);
    }

    #[test]
    fn prefixes_count_characters() {
        assert_eq!(prefix("éàü-123", 3), "éàü");
        assert_eq!(prefix("é", 3), "é");
        assert_eq!(prefix("abc", 0), "");
    }

    fn any_generalisation() -> impl Strategy<Value = Generalisation> {
        prop_oneof![
            Just(Generalisation::Year),
            (1u16..=100).prop_map(Generalisation::Band),
            Just(Generalisation::Month),
            Just(Generalisation::Day),
        ]
    }

    proptest! {
        #[test]
        fn every_number_is_accepted_and_twice_is_once(how in any_generalisation(), day: i32, micros: i64) {
            let (coarse, cut) = (how.date(day), how.instant(micros));
            prop_assert!(coarse <= day && cut <= micros || micros < i64::MIN + 366 * 100 * DAY_MICROS);
            if coarse > i32::MIN {
                prop_assert_eq!(how.date(coarse), coarse);
            }
            if cut > i64::MIN {
                prop_assert_eq!(how.instant(cut), cut);
            }
        }

        #[test]
        fn months_are_the_calendars(day in -3_000_000i32..3_000_000) {
            let date = NaiveDate::from_num_days_from_ce_opt(day + 719_163).expect("in range");
            let expected = days(date.year(), date.month(), 1);
            prop_assert_eq!(Generalisation::Month.date(day), expected);
        }
    }
}

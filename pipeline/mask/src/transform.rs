//! The transforms on Arrow columns. Each takes a column of the one Arrow type its contract type maps to; the caller reports
//! another type. NULL stays NULL everywhere.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Date32Array, StringArray, StringBuilder};

use crate::redact::redact;

/// Days from 1970-01-01 to 1 January of the year that holds `day`.
fn first_of_year(day: i32) -> i32 {
    let year = year_of(i64::from(day));
    i32::try_from(first_day(year)).unwrap_or(day)
}

/// Days from 1970-01-01 to 1 January of `year` in the proleptic Gregorian calendar.
fn first_day(year: i64) -> i64 {
    let before = year - 1;
    before * 365 + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 719_162
}

fn year_of(day: i64) -> i64 {
    // 146,097 days make 400 years exactly; the estimate is off by one at most.
    let mut year = 1970 + (day * 400).div_euclid(146_097);
    while first_day(year) > day {
        year -= 1;
    }
    while first_day(year + 1) <= day {
        year += 1;
    }
    year
}

/// Dates cut to the first of January of their year.
pub(crate) fn year(dates: &Date32Array) -> ArrayRef {
    Arc::new(dates.unary::<_, arrow::datatypes::Date32Type>(first_of_year))
}

/// The first `count` characters of each text.
pub(crate) fn prefix(texts: &StringArray, count: usize) -> ArrayRef {
    let cut = |text: &str| text.char_indices().nth(count).map_or(text.len(), |(end, _)| end);
    Arc::new(texts.iter().map(|text| text.map(|text| text[..cut(text)].to_owned())).collect::<StringArray>())
}

/// Free text with the personal data in it replaced. Without a hit the column is passed on, not copied.
pub(crate) fn redact_column(texts: &StringArray, column: &ArrayRef) -> ArrayRef {
    let mut redacted: Option<StringBuilder> = None;
    for row in 0..texts.len() {
        let clean = (!texts.is_null(row)).then(|| redact(texts.value(row)));
        if redacted.is_none() && matches!(clean, Some(Cow::Owned(_))) {
            let mut builder = StringBuilder::with_capacity(texts.len(), texts.value_data().len());
            (0..row).for_each(|earlier| builder.append_option(texts.is_valid(earlier).then(|| texts.value(earlier))));
            redacted = Some(builder);
        }
        if let Some(builder) = &mut redacted {
            builder.append_option(clean);
        }
    }
    redacted.map_or_else(|| Arc::clone(column), |mut builder| Arc::new(builder.finish()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_cut_to_their_year() {
        // 2024-02-29, 2024-12-31, 2000-01-01, 1969-12-31, 0001-01-01, 1900-03-01
        let days = Date32Array::from(vec![
            Some(19_782),
            Some(20_088),
            Some(10_957),
            Some(-1),
            Some(-719_162),
            Some(-25_508),
            None,
        ]);
        let years = year(&days);
        let years = years.as_any().downcast_ref::<Date32Array>().expect("dates");
        let expected = vec![Some(19_723), Some(19_723), Some(10_957), Some(-365), Some(-719_162), Some(-25_567), None];
        assert_eq!(years, &Date32Array::from(expected));
    }

    #[test]
    fn extreme_days_do_not_overflow() {
        for day in [i32::MIN, i32::MAX] {
            first_of_year(day);
        }
    }

    #[test]
    fn prefixes_count_characters() {
        let cut = prefix(&StringArray::from(vec![Some("éàü-123"), Some("é"), Some(""), None]), 3);
        let cut = cut.as_any().downcast_ref::<StringArray>().expect("texts");
        assert_eq!(cut, &StringArray::from(vec![Some("éàü"), Some("é"), Some(""), None]));
    }

    #[test]
    fn a_column_without_hits_is_passed_on() {
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some("hops"), None, Some("malt")]));
        let texts = column.as_any().downcast_ref::<StringArray>().expect("texts");
        assert!(Arc::ptr_eq(&redact_column(texts, &column), &column));
    }

    #[test]
    fn a_hit_in_one_row_leaves_the_others() {
        let column: ArrayRef = Arc::new(StringArray::from(vec![Some("hops"), None, Some("a@b.co!"), Some("malt")]));
        let texts = column.as_any().downcast_ref::<StringArray>().expect("texts");
        let redacted = redact_column(texts, &column);
        let redacted = redacted.as_any().downcast_ref::<StringArray>().expect("texts");
        assert_eq!(redacted, &StringArray::from(vec![Some("hops"), None, Some("[EMAIL]!"), Some("malt")]));
    }
}

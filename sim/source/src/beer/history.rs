//! How far back a site's reviews go: sixty months, or fewer when there are few reviews.
//!
//! Silver and gold are partitioned by month. A lake of a thousand reviews spread over five years would be hundreds of files
//! with a handful of rows each, which no real lake of that size looks like, and which tests nothing but the number of files.

use chrono::{Months, NaiveDate, NaiveTime};
use lakebed_contract::Timestamp;
use rand::{Rng as _, RngCore};

use super::names::per_mille;

/// The month after the last review: January 2012. No review is as late as its first moment.
const END: NaiveDate = NaiveDate::from_ymd_opt(2012, 1, 1).expect("a date of the calendar");
/// A site is as old as its reviews would fill with this many a month, within [`MONTHS_MIN`] and [`MONTHS_MAX`].
const REVIEWS_A_MONTH: u64 = 250;
const MONTHS_MIN: u64 = 3;
const MONTHS_MAX: u64 = 60;

/// The months in which reviews were written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct History {
    first: Timestamp,
    end: Timestamp,
}

impl History {
    /// Of a site with so many reviews.
    pub(crate) fn of(reviews: u64) -> Self {
        let months = (reviews / REVIEWS_A_MONTH).clamp(MONTHS_MIN, MONTHS_MAX);
        let months = Months::new(u32::try_from(months).expect("at most sixty"));
        let first = END.checked_sub_months(months).expect("within the calendar");
        let midnight = |date: NaiveDate| Timestamp::from_seconds(date.and_time(NaiveTime::MIN).and_utc().timestamp());
        Self { first: midnight(first), end: midnight(END) }
    }

    /// When a review was written; later moments are more likely, as the site grew. Whole numbers only, so that every
    /// platform draws the same.
    pub(crate) fn draw(self, rng: &mut impl RngCore) -> Timestamp {
        let span = self.end.0 - self.first.0;
        let mut at = rng.random_range(0..span);
        if !per_mille(rng, 250) {
            at = at.max(rng.random_range(0..span));
        }
        Timestamp(self.first.0 + at)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use chrono::Datelike as _;
    use lakebed_contract::Seed;

    use super::*;

    fn months(reviews: u64, draws: u64) -> BTreeMap<(i32, u32), u64> {
        let (mut rng, mut months) = (Seed(1).rng("moments"), BTreeMap::new());
        for _ in 0..draws {
            let at = History::of(reviews).draw(&mut rng).to_datetime();
            *months.entry((at.year(), at.month())).or_insert(0) += 1;
        }
        months
    }

    #[test]
    fn many_reviews_fill_sixty_months_and_grow_with_time() {
        let months = months(60_000, 60_000);
        assert_eq!((months.len(), months.first_key_value().unwrap().0), (60, &(2007, 1)));
        assert!(months[&(2011, 12)] > 4 * months[&(2007, 1)]);
    }

    #[test]
    fn few_reviews_are_of_a_young_site() {
        assert_eq!(months(0, 1_000).into_keys().collect::<Vec<_>>(), [(2011, 10), (2011, 11), (2011, 12)]);
        assert_eq!(months(1_586, 1_000).len(), 6);
    }
}

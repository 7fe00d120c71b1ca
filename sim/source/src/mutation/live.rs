//! What is live in the source, as far as the script must know: keys and references, no values.
//!
//! Read once from Postgres in key order, then kept up by the script itself. Every choice is an index into a vector, so it
//! depends on the seed and the history alone.

use std::collections::HashMap;
use std::pin::pin;

use futures::StreamExt as _;
use rand::{Rng as _, RngCore};
use tokio_postgres::{Client, Row};

use crate::beer::SCHEMA;
use crate::beer::comment::LONG_COMMENT_BYTES;
use crate::error::SourceError;
use crate::truth::SourceTruth;

/// Rows of one table that are never deleted below this number, so that there is always something to refer to.
pub(super) const ROWS_MIN: usize = 3;
/// Draws after which the search for a beer or profile with few reviews is given up.
const PARENT_DRAWS_MAX: usize = 40;

#[derive(Clone, Copy, Debug)]
pub(super) struct LiveReview {
    pub(super) id: i64,
    pub(super) brewery_id: i64,
    pub(super) beer_id: i64,
    pub(super) profile_id: i64,
    pub(super) toasted: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct LiveBeer {
    pub(super) id: i64,
    pub(super) brewery_id: i64,
}

/// Which of the two things a review refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parent {
    Beer,
    Profile,
}

#[derive(Default)]
pub(super) struct Live {
    pub(super) reviews: Vec<LiveReview>,
    pub(super) beers: Vec<LiveBeer>,
    pub(super) profiles: Vec<i64>,
    pub(super) breweries: Vec<i64>,
    /// Looked up, never iterated: the order of a hash map is not ours.
    reviews_of_beer: HashMap<i64, usize>,
    reviews_of_profile: HashMap<i64, usize>,
    highest: HashMap<&'static str, i64>,
}

impl Live {
    pub(super) fn add_review(&mut self, review: LiveReview) {
        *self.reviews_of_beer.entry(review.beer_id).or_default() += 1;
        *self.reviews_of_profile.entry(review.profile_id).or_default() += 1;
        self.reviews.push(review);
    }

    pub(super) fn remove_review(&mut self, at: usize) -> LiveReview {
        let review = self.reviews.swap_remove(at);
        for (counts, id) in
            [(&mut self.reviews_of_beer, review.beer_id), (&mut self.reviews_of_profile, review.profile_id)]
        {
            if let Some(count) = counts.get_mut(&id) {
                *count -= 1;
            }
        }
        review
    }

    /// A key that was never used in `table`.
    pub(super) fn new_key(&mut self, table: &'static str) -> i64 {
        let highest = self.highest.entry(table).or_default();
        *highest += 1;
        *highest
    }

    pub(super) fn note_key(&mut self, table: &'static str, key: i64) {
        let highest = self.highest.entry(table).or_default();
        *highest = key.max(*highest);
    }

    /// Rows of all four tables.
    pub(super) fn rows(&self) -> usize {
        self.reviews.len() + self.beers.len() + self.profiles.len() + self.breweries.len()
    }

    /// Index of a random review.
    pub(super) fn any_review(&self, rng: &mut impl RngCore) -> usize {
        rng.random_range(0..self.reviews.len())
    }

    /// Index of a review whose comment is stored out of line: the first one after a random place.
    pub(super) fn toasted_review(&self, rng: &mut impl RngCore) -> Option<usize> {
        let (start, count) = (self.any_review(rng), self.reviews.len());
        (start..start + count).map(|at| at % count).find(|at| self.reviews[*at].toasted)
    }

    /// Index (in `beers` or `profiles`) of a parent with at most `reviews_max` reviews, if a few draws find one.
    pub(super) fn lonely_parent(&self, rng: &mut impl RngCore, parent: Parent, reviews_max: usize) -> Option<usize> {
        let count = match parent {
            Parent::Beer => self.beers.len(),
            Parent::Profile => self.profiles.len(),
        };
        if count <= ROWS_MIN {
            return None;
        }
        (0..PARENT_DRAWS_MAX).map(|_| rng.random_range(0..count)).find(|at| {
            let reviews = match parent {
                Parent::Beer => self.reviews_of_beer.get(&self.beers[*at].id),
                Parent::Profile => self.reviews_of_profile.get(&self.profiles[*at]),
            };
            let reviews = reviews.copied().unwrap_or(0);
            reviews <= reviews_max && self.reviews.len() > reviews + ROWS_MIN
        })
    }

    /// Removes all reviews that refer to `id` and returns their keys.
    pub(super) fn remove_reviews_of(&mut self, parent: Parent, id: i64) -> Vec<i64> {
        let mut removed = Vec::new();
        let mut at = 0;
        while at < self.reviews.len() {
            let review = self.reviews[at];
            let refers = match parent {
                Parent::Beer => review.beer_id == id,
                Parent::Profile => review.profile_id == id,
            };
            if refers {
                removed.push(self.remove_review(at).id);
            } else {
                at += 1;
            }
        }
        removed
    }
}

/// Reads what is live, and starts new keys above every key that ever was.
pub(super) async fn read(client: &Client, lake: &str, truth: &SourceTruth) -> Result<Live, SourceError> {
    let mut live = Live::default();
    let long = LONG_COMMENT_BYTES.start;
    each_row(client, "brewery", "brewery_id", |row| {
        live.breweries.push(row.get(0));
    })
    .await?;
    each_row(client, "beer", "beer_id, brewery_id", |row| {
        live.beers.push(LiveBeer { id: row.get(0), brewery_id: row.get(1) });
    })
    .await?;
    each_row(client, "profile", "profile_id", |row| {
        live.profiles.push(row.get(0));
    })
    .await?;
    let columns =
        format!("review_id, brewery_id, beer_id, profile_id, coalesce(octet_length(comment), 0) >= {long} AS toasted");
    each_row(client, "review", &columns, |row| {
        live.add_review(LiveReview {
            id: row.get(0),
            brewery_id: row.get(1),
            beer_id: row.get(2),
            profile_id: row.get(3),
            toasted: row.get(4),
        });
    })
    .await?;
    let last = [
        ("brewery", live.breweries.last().copied()),
        ("beer", live.beers.last().map(|beer| beer.id)),
        ("profile", live.profiles.last().copied()),
        ("review", live.reviews.last().map(|review| review.id)),
    ];
    for (table, last) in last {
        let ever = truth.keys_ever.get(table).and_then(|keys| keys.last().copied());
        live.note_key(table, last.max(ever).unwrap_or(0));
        let count = match table {
            "brewery" => live.breweries.len(),
            "beer" => live.beers.len(),
            "profile" => live.profiles.len(),
            _ => live.reviews.len(),
        };
        if count == 0 {
            let reason = format!("table `{SCHEMA}.{table}` is empty; load it before changing it");
            return Err(SourceError::Lake { lake: lake.to_owned(), reason });
        }
    }
    Ok(live)
}

/// Streams a table in key order; the first column is the key.
async fn each_row(
    client: &Client,
    table: &str,
    columns: &str,
    mut receive: impl FnMut(&Row),
) -> Result<(), SourceError> {
    let failed = || SourceError::database(format!("read the keys of table `{table}`"));
    let query = format!("SELECT {columns} FROM {SCHEMA}.{table} ORDER BY 1");
    let mut rows = pin!(client.query_raw(&query, std::iter::empty::<i64>()).await.map_err(failed())?);
    while let Some(row) = rows.next().await {
        receive(&row.map_err(failed())?);
    }
    Ok(())
}

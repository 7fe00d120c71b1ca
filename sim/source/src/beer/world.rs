//! The beer world of one seed and scale: how many rows there are, and every row in order.
//!
//! Scale 1.0 has the counts of the BeerAdvocate data. Beers and reviewers are popular by Zipf's law, breweries too. Rows
//! are written table by table in chunks, so memory holds the facts about beers (a few bytes each) but never the rows.

use lakebed_contract::Seed;
use rand::seq::SliceRandom as _;
use rand::{Rng as _, RngCore};

use super::history::History;
use super::names::per_mille;
use super::rows::{Beer, Brewery, Profile, Review, draw_scores};
use super::{comment, popularity::Popularity};
use crate::error::SourceError;
use crate::row::{SourceRow, write_csv_header, write_csv_row};
use crate::truth::SourceTruth;

/// Highest scale: about 160 million reviews.
pub(crate) const SCALE_MAX: f64 = 100.0;

/// Bytes of CSV after which a chunk is handed on.
pub(crate) const CHUNK_BYTES: usize = 256 * 1024;
/// Every so many reviews have a long comment, the first of them early, so that small worlds have one too.
const LONG_COMMENT_EVERY: i64 = 331;
const FIRST_LONG_COMMENT: i64 = 7;

/// Row counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) breweries: i64,
    pub(crate) beers: i64,
    pub(crate) profiles: i64,
    pub(crate) reviews: i64,
}

impl Size {
    pub(crate) fn at_scale(scale: f64) -> Result<Self, SourceError> {
        let scale = checked_scale(scale)?;
        // Exact enough: the product stays far below 2^53.
        let count = |at_one: f64| ((at_one * scale).round() as i64).max(1);
        Ok(Self {
            breweries: count(5_840.0),
            beers: count(66_055.0),
            profiles: count(33_388.0),
            reviews: count(1_586_614.0),
        })
    }
}

/// Refuses a scale that means nothing.
pub(crate) fn checked_scale(scale: f64) -> Result<f64, SourceError> {
    if scale > 0.0 && scale <= SCALE_MAX { Ok(scale) } else { Err(SourceError::Scale { scale, max: SCALE_MAX }) }
}

/// Some rows of a table as CSV.
pub(crate) struct Chunk {
    pub(crate) csv: String,
    pub(crate) rows: u64,
}

/// Takes chunks; an error ends the writing.
pub(crate) type ChunkSink<'a> = dyn FnMut(Chunk) -> Result<(), SourceError> + 'a;

struct BeerFacts {
    brewery_id: i64,
    /// Around which the scores lie, in tenths.
    quality: i64,
}

/// Everything that a row may refer to.
pub(crate) struct World {
    seed: Seed,
    pub(crate) size: Size,
    history: History,
    /// By beer id, from 1.
    beers: Vec<BeerFacts>,
    beer_ids: Ranked,
    profile_ids: Ranked,
}

impl World {
    pub(crate) fn new(seed: Seed, scale: f64) -> Result<Self, SourceError> {
        let size = Size::at_scale(scale)?;
        let seed = seed.child("source/beer");
        let brewery_ids = Ranked::new(&mut seed.rng("brewery ranks"), size.breweries, 10);
        let mut rng = seed.rng("beer facts");
        let beers = (0..size.beers)
            .map(|_| BeerFacts {
                brewery_id: brewery_ids.draw(&mut rng),
                quality: 38 + rng.random_range(-9..=6) + rng.random_range(-5..=5),
            })
            .collect();
        Ok(Self {
            beers,
            beer_ids: Ranked::new(&mut seed.rng("beer ranks"), size.beers, 50),
            profile_ids: Ranked::new(&mut seed.rng("profile ranks"), size.profiles, 25),
            seed,
            history: History::of(size.reviews.unsigned_abs()),
            size,
        })
    }

    /// Writes all rows of `table` in key order and records their keys and planted values.
    pub(crate) fn write_table(
        &self,
        table: &str,
        header: bool,
        truth: &mut SourceTruth,
        sink: &mut ChunkSink<'_>,
    ) -> Result<(), SourceError> {
        let mut rng = self.seed.rng(&format!("rows of {table}"));
        match table {
            Brewery::TABLE => write(self.size.breweries, header, truth, sink, |id, _| Brewery::draw(&mut rng, id)),
            Beer::TABLE => {
                write(self.size.beers, header, truth, sink, |id, _| Beer::draw(&mut rng, id, self.facts(id).brewery_id))
            }
            Profile::TABLE => write(self.size.profiles, header, truth, sink, |id, truth| {
                Profile::draw(&mut rng, id, &mut truth.planted)
            }),
            Review::TABLE => {
                write(self.size.reviews, header, truth, sink, |id, truth| self.review(&mut rng, id, truth))
            }
            other => Err(SourceError::Lake {
                lake: "beer".to_owned(),
                reason: format!("there is no generator for table `{other}`"),
            }),
        }
    }

    /// Initial rows of a beer table; `None` for any other.
    pub(crate) fn rows_of(&self, table: &str) -> Option<i64> {
        match table {
            Brewery::TABLE => Some(self.size.breweries),
            Beer::TABLE => Some(self.size.beers),
            Profile::TABLE => Some(self.size.profiles),
            Review::TABLE => Some(self.size.reviews),
            _ => None,
        }
    }

    fn facts(&self, beer_id: i64) -> &BeerFacts {
        let at = usize::try_from(beer_id - 1).expect("beer ids count from 1");
        &self.beers[at]
    }

    fn review(&self, rng: &mut impl RngCore, id: i64, truth: &mut SourceTruth) -> Review {
        let (beer_id, profile_id) = (self.beer_ids.draw(rng), self.profile_ids.draw(rng));
        let beer = self.facts(beer_id);
        Review {
            id,
            brewery_id: beer.brewery_id,
            beer_id,
            profile_id,
            scores: draw_scores(rng, beer.quality),
            time: self.history.draw(rng),
            comment: if id % LONG_COMMENT_EVERY == FIRST_LONG_COMMENT || per_mille(rng, 1) {
                Some(comment::long_comment(rng, &mut truth.planted))
            } else {
                comment::comment(rng, &mut truth.planted)
            },
        }
    }
}

/// Ids from 1 in a random order of popularity.
struct Ranked {
    ids: Vec<i64>,
    popularity: Popularity,
}

impl Ranked {
    fn new(rng: &mut impl RngCore, count: i64, evenness: u64) -> Self {
        let mut ids: Vec<i64> = (1..=count).collect();
        ids.shuffle(rng);
        Self { popularity: Popularity::new(ids.len(), evenness), ids }
    }

    fn draw(&self, rng: &mut impl RngCore) -> i64 {
        self.ids[self.popularity.draw(rng)]
    }
}

fn write<R: SourceRow>(
    count: i64,
    header: bool,
    truth: &mut SourceTruth,
    sink: &mut ChunkSink<'_>,
    mut draw: impl FnMut(i64, &mut SourceTruth) -> R,
) -> Result<(), SourceError> {
    let mut chunk = Chunk { csv: String::with_capacity(CHUNK_BYTES * 2), rows: 0 };
    if header {
        write_csv_header::<R>(&mut chunk.csv);
    }
    for id in 1..=count {
        write_csv_row(&draw(id, truth), &mut chunk.csv);
        chunk.rows += 1;
        if chunk.csv.len() >= CHUNK_BYTES {
            let full = std::mem::replace(&mut chunk, Chunk { csv: String::with_capacity(CHUNK_BYTES * 2), rows: 0 });
            sink(full)?;
        }
    }
    truth.keys_ever.entry(R::TABLE.to_owned()).or_default().extend(1..=count);
    sink(chunk)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all_csv(seed: u64, scale: f64) -> (String, SourceTruth) {
        let world = World::new(Seed(seed), scale).unwrap();
        let (mut csv, mut truth) = (String::new(), SourceTruth::default());
        for table in ["brewery", "beer", "profile", "review"] {
            let mut take = |chunk: Chunk| {
                csv.push_str(&chunk.csv);
                Ok(())
            };
            world.write_table(table, true, &mut truth, &mut take).unwrap();
        }
        (csv, truth)
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
        let (csv, truth) = all_csv(7, 0.002);
        assert_eq!(all_csv(7, 0.002), (csv.clone(), truth));
        assert_ne!(all_csv(8, 0.002).0, csv);
    }

    #[test]
    fn counts_follow_the_scale() {
        let one = Size::at_scale(1.0).unwrap();
        assert_eq!((one.reviews, one.beers, one.breweries, one.profiles), (1_586_614, 66_055, 5_840, 33_388));
        assert_eq!(Size::at_scale(0.1).unwrap().reviews, 158_661);
        assert_eq!(Size::at_scale(1e-9).unwrap().breweries, 1);
        for refused in [0.0, -1.0, f64::NAN, 1e9] {
            assert!(Size::at_scale(refused).is_err());
        }
    }

    #[test]
    fn the_csv_reads_back_and_refers_to_rows_that_exist() {
        let world = World::new(Seed(7), 0.002).unwrap();
        let (mut csv, mut truth) = (String::new(), SourceTruth::default());
        let mut take = |chunk: Chunk| {
            csv.push_str(&chunk.csv);
            Ok(())
        };
        world.write_table("review", true, &mut truth, &mut take).unwrap();
        let mut reader = csv::Reader::from_reader(csv.as_bytes());
        let (mut rows, mut long) = (0, 0);
        for row in reader.records() {
            let row = row.unwrap();
            let id = |at: usize| row[at].parse::<i64>().unwrap();
            assert_eq!(world.facts(id(2)).brewery_id, id(1));
            assert!((1..=world.size.profiles).contains(&id(3)));
            long += i64::from(row[10].len() > 8_192);
            rows += 1;
        }
        assert_eq!(rows, world.size.reviews);
        assert!(long >= rows / LONG_COMMENT_EVERY, "{long} long comments");
    }

    #[test]
    fn full_names_occur_in_no_public_column() {
        let world = World::new(Seed(11), 0.01).unwrap();
        let (mut public, mut truth) = (String::new(), SourceTruth::default());
        for table in ["brewery", "beer", "profile", "review"] {
            let mut take = |chunk: Chunk| {
                for row in csv::ReaderBuilder::new().has_headers(false).from_reader(chunk.csv.as_bytes()).records() {
                    let row = row.unwrap();
                    let personal = |at: usize| table == "profile" && [2, 3].contains(&at);
                    // A long comment is lower-case letters at random, which hold no name.
                    let texts = row.iter().enumerate().filter(|(at, text)| !personal(*at) && text.len() < 8_000);
                    texts.for_each(|(_, text)| public.extend([text, "\n"]));
                }
                Ok(())
            };
            world.write_table(table, false, &mut truth, &mut take).unwrap();
        }
        let names = truth.planted.iter().filter(|planted| planted.class == "NAME");
        assert_eq!(names.clone().count(), 334);
        assert!(public.len() > 1_000_000);
        assert_eq!(names.filter(|name| public.contains(&name.value)).count(), 0);
    }
}

//! The rows of the four beer tables, and how each is drawn.
//!
//! Drawing a row takes a generator and what the row must refer to; it knows neither how many rows there are nor where
//! they go. Initial load and later inserts draw through the same functions.

use chrono::{Days, NaiveDate};
use lakebed_contract::Timestamp;
use rand::{Rng as _, RngCore};

use super::names::{beer_name, brewery_name, handle, per_mille, person, pick, pick_early};
use super::{comment, pii, words};
use crate::row::{Field, SourceRow};
use crate::truth::{PlantedValue, class};

/// `brewery`.
#[derive(Clone, Debug)]
pub(crate) struct Brewery {
    pub(crate) id: i64,
    name: String,
    city: Option<&'static str>,
    state: Option<&'static str>,
}

impl Brewery {
    pub(crate) fn draw(rng: &mut impl RngCore, id: i64) -> Self {
        let (city, state) = match rng.random_range(0..100) {
            0..2 => (None, None),
            2..10 => (Some(*pick(rng, words::CITIES_ABROAD)), None),
            10..16 => spread(pick(rng, words::CITIES_BR)),
            _ => spread(pick_early(rng, words::CITIES_US)),
        };
        Self { id, name: brewery_name(rng), city, state }
    }
}

impl SourceRow for Brewery {
    const TABLE: &'static str = "brewery";
    const COLUMNS: &'static [&'static str] = &["brewery_id", "brewery_name", "city", "state"];

    fn visit(&self, receive: &mut dyn FnMut(Field<'_>)) {
        receive(Field::Integer(self.id));
        receive(Field::Text(&self.name));
        receive(Field::text(self.city));
        receive(Field::text(self.state));
    }
}

/// `beer`.
#[derive(Clone, Debug)]
pub(crate) struct Beer {
    pub(crate) id: i64,
    name: String,
    style: &'static str,
    abv_tenths: Option<i64>,
    pub(crate) brewery_id: i64,
}

impl Beer {
    pub(crate) fn draw(rng: &mut impl RngCore, id: i64, brewery_id: i64) -> Self {
        Self {
            id,
            name: beer_name(rng),
            style: *pick_early(rng, words::STYLES),
            abv_tenths: draw_abv_tenths(rng),
            brewery_id,
        }
    }
}

impl SourceRow for Beer {
    const TABLE: &'static str = "beer";
    const COLUMNS: &'static [&'static str] = &["beer_id", "beer_name", "beer_style", "beer_abv", "brewery_id"];

    fn visit(&self, receive: &mut dyn FnMut(Field<'_>)) {
        receive(Field::Integer(self.id));
        receive(Field::Text(&self.name));
        receive(Field::Text(self.style));
        receive(self.abv_tenths.map_or(Field::Null, Field::Tenths));
        receive(Field::Integer(self.brewery_id));
    }
}

/// `profile`.
#[derive(Clone)]
pub(crate) struct Profile {
    pub(crate) id: i64,
    handle: String,
    email: String,
    full_name: String,
    phone: Option<String>,
    cpf: Option<String>,
    birth_date: Option<NaiveDate>,
    city: &'static str,
    state: &'static str,
    postal_code: String,
}

impl Profile {
    pub(crate) fn draw(rng: &mut impl RngCore, id: i64, planted: &mut Vec<PlantedValue>) -> Self {
        let (first, last) = person(rng);
        let brazilian = per_mille(rng, 150);
        let (city, state) =
            *if brazilian { pick_early(rng, words::CITIES_BR) } else { pick_early(rng, words::CITIES_US) };
        let cpf = (brazilian || per_mille(rng, 400)).then(|| pii::cpf_formatted(pii::cpf_digits(rng)));
        let profile = Self {
            id,
            handle: handle(rng),
            email: pii::email(rng, first, last, &id.to_string()),
            full_name: format!("{first} {last}"),
            phone: (!per_mille(rng, 30)).then(|| draw_phone(rng, brazilian)),
            cpf,
            birth_date: (!per_mille(rng, 20)).then(|| draw_birth_date(rng)),
            city,
            state,
            postal_code: if brazilian { pii::postal_code_br(rng) } else { pii::postal_code_us(rng) },
        };
        planted.push(PlantedValue::column(class::EMAIL, &profile.email));
        planted.push(PlantedValue::column(class::NAME, &profile.full_name));
        planted.extend(profile.phone.iter().map(|phone| PlantedValue::column(class::PHONE, phone)));
        planted.extend(profile.cpf.iter().map(|cpf| PlantedValue::column(class::CPF, cpf)));
        profile
    }
}

impl SourceRow for Profile {
    const TABLE: &'static str = "profile";
    const COLUMNS: &'static [&'static str] = &[
        "profile_id",
        "profile_name",
        "email",
        "full_name",
        "phone",
        "cpf",
        "birth_date",
        "city",
        "state",
        "postal_code",
    ];

    fn visit(&self, receive: &mut dyn FnMut(Field<'_>)) {
        receive(Field::Integer(self.id));
        receive(Field::Text(&self.handle));
        receive(Field::Text(&self.email));
        receive(Field::Text(&self.full_name));
        receive(Field::text(self.phone.as_deref()));
        receive(Field::text(self.cpf.as_deref()));
        receive(self.birth_date.map_or(Field::Null, Field::Date));
        receive(Field::Text(self.city));
        receive(Field::Text(self.state));
        receive(Field::Text(&self.postal_code));
    }
}

/// Five scores, in tenths: overall, aroma, appearance, palate, taste.
pub(crate) type Scores = [i64; 5];

/// Columns of [`Scores`].
pub(crate) const SCORE_COLUMNS: [&str; 5] =
    ["review_overall", "review_aroma", "review_appearance", "review_palate", "review_taste"];

/// `review`.
#[derive(Clone)]
pub(crate) struct Review {
    pub(crate) id: i64,
    pub(crate) brewery_id: i64,
    pub(crate) beer_id: i64,
    pub(crate) profile_id: i64,
    pub(crate) scores: Scores,
    pub(crate) time: Timestamp,
    pub(crate) comment: Option<String>,
}

impl Review {
    /// Whether Postgres keeps the comment out of line.
    pub(crate) fn is_toasted(&self) -> bool {
        self.comment.as_ref().is_some_and(|text| text.len() >= comment::LONG_COMMENT_BYTES.start)
    }
}

impl SourceRow for Review {
    const TABLE: &'static str = "review";
    const COLUMNS: &'static [&'static str] = &[
        "review_id",
        "brewery_id",
        "beer_id",
        "profile_id",
        "review_overall",
        "review_aroma",
        "review_appearance",
        "review_palate",
        "review_taste",
        "review_time",
        "comment",
    ];

    fn visit(&self, receive: &mut dyn FnMut(Field<'_>)) {
        for id in [self.id, self.brewery_id, self.beer_id, self.profile_id] {
            receive(Field::Integer(id));
        }
        for score in self.scores {
            receive(Field::Tenths(score));
        }
        receive(Field::Instant(self.time));
        receive(Field::text(self.comment.as_deref()));
    }
}

/// Scores around `quality` (in tenths), in half points from 1.0 to 5.0. The five agree with each other more or less.
pub(crate) fn draw_scores(rng: &mut impl RngCore, quality: i64) -> Scores {
    let impression = quality + rng.random_range(-6..=6) + rng.random_range(-6..=6);
    std::array::from_fn(|_| {
        let score = impression + rng.random_range(-4..=4);
        (score.clamp(10, 50) + 2) / 5 * 5
    })
}

pub(crate) fn draw_abv_tenths(rng: &mut impl RngCore) -> Option<i64> {
    match rng.random_range(0..1_000) {
        0..40 => None,
        40..50 => Some(rng.random_range(150..415)),
        _ => Some(30 + rng.random_range(0..45) + rng.random_range(0..45)),
    }
}

pub(crate) fn draw_phone(rng: &mut impl RngCore, brazilian: bool) -> String {
    if brazilian {
        let international = per_mille(rng, 500);
        pii::phone_br(rng, international)
    } else {
        pii::phone_us(rng)
    }
}

fn draw_birth_date(rng: &mut impl RngCore) -> NaiveDate {
    let first = NaiveDate::from_ymd_opt(1940, 1, 1).expect("a date of the calendar");
    first.checked_add_days(Days::new(rng.random_range(0..18_250))).expect("within the calendar")
}

fn spread((city, state): &(&'static str, &'static str)) -> (Option<&'static str>, Option<&'static str>) {
    (Some(city), Some(state))
}

#[cfg(test)]
mod tests {
    use lakebed_contract::{Lake, Seed};

    use super::*;

    #[test]
    fn rows_have_the_columns_of_the_contracts() {
        let lake = Lake::beer();
        let check = |table: &str, columns: &[&str]| {
            let contract: Vec<_> =
                lake.table(table).unwrap().columns.iter().map(|column| column.name.clone()).collect();
            assert_eq!(contract, columns);
        };
        check(Brewery::TABLE, Brewery::COLUMNS);
        check(Beer::TABLE, Beer::COLUMNS);
        check(Profile::TABLE, Profile::COLUMNS);
        check(Review::TABLE, Review::COLUMNS);
    }

    #[test]
    fn scores_are_half_points_and_follow_the_quality() {
        let mut rng = Seed(1).rng("scores");
        let mut mean_of = |quality: i64| {
            let mut sum = 0;
            for _ in 0..2_000 {
                let scores = draw_scores(&mut rng, quality);
                assert!(scores.iter().all(|score| score % 5 == 0 && (10..=50).contains(score)), "{scores:?}");
                sum += scores[0];
            }
            sum / 2_000
        };
        assert!((37..=39).contains(&mean_of(38)));
        assert!(mean_of(20) < mean_of(45) - 15);
    }
}

//! The statements of the mutation, one row each, as SQL text.
//!
//! Text with literals rather than parameters, so that a whole transaction is one round trip.

use rand::{Rng as _, RngCore};

use crate::beer::history::History;
use crate::beer::names::{per_mille, person, pick_early};
use crate::beer::rows::{SCORE_COLUMNS, draw_abv_tenths, draw_phone, draw_scores};
use crate::beer::{SCHEMA, comment, pii, words};
use crate::row::{Field, SourceRow, sql_literal, sql_values};
use crate::truth::{PlantedValue, class};

/// Average quality of a beer, in tenths: later reviews do not remember the beer's own.
const QUALITY: i64 = 38;
const LONG_COMMENT_PER_MILLE: u32 = 25;

pub(super) fn insert<R: SourceRow>(row: &R) -> String {
    format!("INSERT INTO {SCHEMA}.{} ({}) VALUES {}", R::TABLE, R::COLUMNS.join(", "), sql_values(row))
}

pub(super) fn delete(table: &str, key: i64) -> String {
    format!("DELETE FROM {SCHEMA}.{table} WHERE {table}_id = {key}")
}

pub(super) fn update(table: &str, key: i64, assignments: &str) -> String {
    format!("UPDATE {SCHEMA}.{table} SET {assignments} WHERE {table}_id = {key}")
}

/// Assignments that leave the comment alone.
pub(super) fn new_scores(rng: &mut impl RngCore) -> String {
    let scores = draw_scores(rng, QUALITY);
    let assignment = |(column, score): (&str, i64)| format!("{column} = {}", sql_literal(Field::Tenths(score)));
    SCORE_COLUMNS.into_iter().zip(scores).map(assignment).collect::<Vec<_>>().join(", ")
}

/// Assignments for a review; and whether the comment is stored out of line afterwards, if they touch it.
pub(super) fn review_change(
    rng: &mut impl RngCore,
    history: History,
    planted: &mut Vec<PlantedValue>,
) -> (String, Option<bool>) {
    match rng.random_range(0..100) {
        0..50 => (new_scores(rng), None),
        50..55 => (format!("comment = comment, review_overall = {}", one_score(rng)), None),
        55..65 => ("comment = NULL".to_owned(), Some(false)),
        65..85 => {
            let (text, long) = new_comment(rng, planted);
            (format!("comment = {}", sql_literal(Field::text(text.as_deref()))), Some(long))
        }
        _ => (format!("review_time = {}", sql_literal(Field::Instant(history.draw(rng)))), None),
    }
}

pub(super) fn new_comment(rng: &mut impl RngCore, planted: &mut Vec<PlantedValue>) -> (Option<String>, bool) {
    if per_mille(rng, LONG_COMMENT_PER_MILLE) {
        (Some(comment::long_comment(rng, planted)), true)
    } else {
        (comment::comment(rng, planted), false)
    }
}

/// Scores of a new review.
pub(super) fn scores(rng: &mut impl RngCore) -> crate::beer::rows::Scores {
    draw_scores(rng, QUALITY)
}

pub(super) fn beer_change(rng: &mut impl RngCore) -> String {
    format!("beer_abv = {}", sql_literal(draw_abv_tenths(rng).map_or(Field::Null, Field::Tenths)))
}

/// Assignments for profile `id`; `serial` keeps new addresses unique.
pub(super) fn profile_change(rng: &mut impl RngCore, id: i64, serial: u64, planted: &mut Vec<PlantedValue>) -> String {
    match rng.random_range(0..10) {
        0..4 => {
            let (first, last) = person(rng);
            let email = pii::email(rng, first, last, &format!("{id}.{serial}"));
            planted.push(PlantedValue::column(class::EMAIL, &email));
            format!("email = {}", sql_literal(Field::Text(&email)))
        }
        4..6 => {
            let brazilian = per_mille(rng, 300);
            let phone = draw_phone(rng, brazilian);
            planted.push(PlantedValue::column(class::PHONE, &phone));
            format!("phone = {}", sql_literal(Field::Text(&phone)))
        }
        6 => "phone = NULL".to_owned(),
        _ => {
            let (city, state) = pick_early(rng, words::CITIES_US);
            format!("city = {}, state = {}", sql_literal(Field::Text(city)), sql_literal(Field::Text(state)))
        }
    }
}

fn one_score(rng: &mut impl RngCore) -> String {
    sql_literal(Field::Tenths(draw_scores(rng, QUALITY)[0]))
}

//! The script of a mutation: which rows change, in which transactions.
//!
//! A unit is what must stay together: one transaction, or two that overlap. The script decides and keeps the books (live
//! rows, report, truth) as if every commit succeeds; whoever executes it stops at the first failure.

use std::collections::VecDeque;

use rand::Rng as _;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use super::cases::{CASE_CHANGES_MAX, Case};
use super::live::{Live, LiveBeer, LiveReview, Parent, ROWS_MIN};
use super::others::{FREE_ROW_DRAWS_MAX, Others};
use super::{CHANGES_WITH_EVERY_CASE, MutationPlan, MutationReport, statement};
use crate::beer::history::History;
use crate::beer::names::per_mille;
use crate::beer::rows::{Beer, Brewery, Profile, Review};
use crate::error::SourceError;
use crate::truth::{KeyPart, SourceTruth};

/// Statements of one transaction.
pub(crate) const STATEMENTS_MAX: u64 = 20;
/// Share of units that are a nasty case once each has occurred.
const CASE_PER_MILLE: u32 = 60;
/// The same where the plan names the cases to dwell on.
const FAVOURED_CASE_PER_MILLE: u32 = 500;

fn known_case(name: &str) -> Result<Case, SourceError> {
    Case::of_name(name).ok_or_else(|| {
        let known = Case::ALL.map(Case::name).join(", ");
        SourceError::Plan { reason: format!("there is no case `{name}`; known: {known}") }
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connection {
    First,
    Second,
}

/// What is sent in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) connection: Connection,
    pub(super) sql: String,
    /// Rows the statements change, whether they last or not.
    pub(super) rows: u64,
}

/// A piece of a transaction under construction.
#[derive(Default)]
pub(super) struct Draft {
    sql: String,
    rows: u64,
}

impl Draft {
    /// Adds a statement that changes no row (BEGIN, SAVEPOINT, …).
    pub(super) fn say(&mut self, sql: &str) {
        self.sql.push_str(sql);
        self.sql.push_str(";\n");
    }

    /// Adds a statement that changes one row.
    pub(super) fn change(&mut self, sql: &str) {
        self.say(sql);
        self.rows += 1;
    }

    pub(super) fn step(self, connection: Connection) -> Step {
        Step { connection, sql: self.sql, rows: self.rows }
    }
}

pub(super) struct Script {
    pub(super) rng: ChaCha8Rng,
    has_beer: bool,
    pub(super) live: Live,
    pub(super) history: History,
    pub(super) others: Others,
    pub(super) report: MutationReport,
    /// While a transaction on the second connection is open, nothing a review may refer to is deleted.
    pub(super) parents_stay: bool,
    remaining: u64,
    /// Cases that have not occurred yet, and whether on a contract table.
    due: VecDeque<(Case, bool)>,
    /// The cases to dwell on; empty for all of them now and then.
    favoured: Vec<Case>,
    serial: u64,
}

impl Script {
    pub(super) fn new(plan: &MutationPlan, has_beer: bool, live: Live, others: Others) -> Result<Self, SourceError> {
        let mut rng = plan.seed.rng("source/mutation");
        let favoured: Result<Vec<Case>, SourceError> = plan.cases.iter().map(|name| known_case(name)).collect();
        let favoured = favoured?;
        let wanted = if favoured.is_empty() { Case::ALL.to_vec() } else { favoured.clone() };
        let mut due = Vec::new();
        let mut changes = plan.changes;
        for (present, on_other) in [(has_beer, false), (!others.tables.is_empty(), true)] {
            // Named cases always occur, but in a small plan on one kind of table only.
            let named = !favoured.is_empty() && due.is_empty();
            if present && (named || changes >= CHANGES_WITH_EVERY_CASE) {
                due.extend(wanted.iter().map(|case| (*case, on_other)));
                changes = changes.saturating_sub(CHANGES_WITH_EVERY_CASE);
            }
        }
        due.shuffle(&mut rng);
        Ok(Self {
            rng,
            history: History::of(live.reviews.len() as u64),
            has_beer,
            live,
            others,
            report: MutationReport::default(),
            parents_stay: false,
            remaining: plan.changes,
            due: due.into(),
            favoured,
            serial: 0,
        })
    }

    /// The next unit, or `None` when the planned number of changes is reached.
    pub(super) fn next_unit(&mut self, truth: &mut SourceTruth) -> Option<Vec<Step>> {
        if self.remaining == 0 {
            return None;
        }
        Some(match self.next_case() {
            Some((case, on_other)) => self.case(case, on_other, truth),
            None => {
                let statements = self.rng.random_range(1..=STATEMENTS_MAX);
                vec![self.transaction(statements, truth)]
            }
        })
    }

    fn next_case(&mut self) -> Option<(Case, bool)> {
        if self.remaining < CASE_CHANGES_MAX {
            return None;
        }
        let urgent = self.remaining < (self.due.len() as u64 + 2) * CASE_CHANGES_MAX + STATEMENTS_MAX;
        if !self.due.is_empty() && (urgent || per_mille(&mut self.rng, 500)) {
            return self.due.pop_front();
        }
        let (per_mille_cases, cases) = match self.favoured.as_slice() {
            [] => (CASE_PER_MILLE, Case::ALL.as_slice()),
            favoured => (FAVOURED_CASE_PER_MILLE, favoured),
        };
        per_mille(&mut self.rng, per_mille_cases).then(|| {
            let case = cases[self.rng.random_range(0..cases.len())];
            (case, self.others.take_next(&mut self.rng, self.has_beer))
        })
    }

    /// An ordinary transaction of at most `statements` changes.
    pub(super) fn transaction(&mut self, statements: u64, truth: &mut SourceTruth) -> Step {
        let wanted = statements.min(self.remaining);
        let mut draft = Draft::default();
        draft.say("BEGIN");
        while draft.rows < wanted {
            if self.others.take_next(&mut self.rng, self.has_beer) {
                self.change_other(&mut draft, truth);
                continue;
            }
            match self.rng.random_range(0..100) {
                0..25 => self.insert_any(&mut draft, truth),
                25..85 => self.update_any(&mut draft, truth),
                _ => self.delete_any(wanted - draft.rows, &mut draft, truth),
            }
        }
        draft.say("COMMIT");
        self.report.committed += 1;
        draft.step(Connection::First)
    }

    fn insert_any(&mut self, draft: &mut Draft, truth: &mut SourceTruth) {
        match self.rng.random_range(0..100) {
            0..5 => {
                let brewery = Brewery::draw(&mut self.rng, self.live.new_key("brewery"));
                draft.change(&statement::insert(&brewery));
                self.live.breweries.push(brewery.id);
                self.count_new("brewery", brewery.id, truth);
            }
            5..12 => {
                let brewery_id = self.live.breweries[self.rng.random_range(0..self.live.breweries.len())];
                let beer = Beer::draw(&mut self.rng, self.live.new_key("beer"), brewery_id);
                draft.change(&statement::insert(&beer));
                self.live.beers.push(LiveBeer { id: beer.id, brewery_id });
                self.count_new("beer", beer.id, truth);
            }
            12..22 => {
                let id = self.live.new_key("profile");
                let profile = Profile::draw(&mut self.rng, id, &mut truth.planted);
                draft.change(&statement::insert(&profile));
                self.live.profiles.push(profile.id);
                self.count_new("profile", profile.id, truth);
            }
            _ => {
                let review = self.draw_review(truth);
                self.insert_review(&review, draft, truth);
            }
        }
    }

    /// A review with a new key that refers to live rows; popular ones more often, because other reviews do.
    pub(super) fn draw_review(&mut self, truth: &mut SourceTruth) -> Review {
        let like = self.live.reviews[self.live.any_review(&mut self.rng)];
        let (mut brewery_id, mut beer_id, mut profile_id) = (like.brewery_id, like.beer_id, like.profile_id);
        if per_mille(&mut self.rng, 300) {
            let beer = self.live.beers[self.rng.random_range(0..self.live.beers.len())];
            (brewery_id, beer_id) = (beer.brewery_id, beer.id);
        }
        if per_mille(&mut self.rng, 600) {
            profile_id = self.live.profiles[self.rng.random_range(0..self.live.profiles.len())];
        }
        let (comment, _) = statement::new_comment(&mut self.rng, &mut truth.planted);
        Review {
            id: self.live.new_key("review"),
            brewery_id,
            beer_id,
            profile_id,
            scores: statement::scores(&mut self.rng),
            time: self.history.draw(&mut self.rng),
            comment,
        }
    }

    pub(super) fn insert_review(&mut self, review: &Review, draft: &mut Draft, truth: &mut SourceTruth) {
        draft.change(&statement::insert(review));
        self.live.add_review(live_of(review));
        self.count_new("review", review.id, truth);
    }

    fn update_any(&mut self, draft: &mut Draft, truth: &mut SourceTruth) {
        match self.rng.random_range(0..100) {
            0..10 => {
                let beer = self.live.beers[self.rng.random_range(0..self.live.beers.len())];
                let change = statement::beer_change(&mut self.rng);
                draft.change(&statement::update("beer", beer.id, &change));
                self.count("beer", "update");
            }
            10..25 => {
                let id = self.live.profiles[self.rng.random_range(0..self.live.profiles.len())];
                self.serial += 1;
                let change = statement::profile_change(&mut self.rng, id, self.serial, &mut truth.planted);
                draft.change(&statement::update("profile", id, &change));
                self.count("profile", "update");
            }
            _ => {
                let at = self.live.any_review(&mut self.rng);
                let (change, toasted) = statement::review_change(&mut self.rng, self.history, &mut truth.planted);
                draft.change(&statement::update("review", self.live.reviews[at].id, &change));
                if let Some(toasted) = toasted {
                    self.live.reviews[at].toasted = toasted;
                }
                self.count("review", "update");
            }
        }
    }

    fn delete_any(&mut self, rows_max: u64, draft: &mut Draft, truth: &mut SourceTruth) {
        let parent = match self.rng.random_range(0..10) {
            // A parent goes with its reviews, and other tables may refer to those.
            _ if self.parents_stay || self.others.refers_to_table("review") => None,
            0 => Some(Parent::Beer),
            1 => Some(Parent::Profile),
            _ => None,
        };
        if let Some(parent) = parent {
            let reviews_max = usize::try_from(rows_max - 1).expect("a transaction has few statements");
            if let Some(at) = self.live.lonely_parent(&mut self.rng, parent, reviews_max)
                && !self.is_parent_referred(parent, at)
            {
                return self.delete_parent(parent, at, draft);
            }
        }
        if self.live.reviews.len() <= ROWS_MIN {
            return self.insert_any(draft, truth);
        }
        match self.free_review() {
            Some(at) => self.delete_review(at, draft),
            None => self.insert_any(draft, truth),
        }
    }

    /// Whether a row of a contract table refers to a review.
    pub(super) fn is_referred(&self, at: usize) -> bool {
        self.others.refers("review", &KeyPart::Integer(self.live.reviews[at].id))
    }

    fn is_parent_referred(&self, parent: Parent, at: usize) -> bool {
        match parent {
            Parent::Beer => self.others.refers("beer", &KeyPart::Integer(self.live.beers[at].id)),
            Parent::Profile => self.others.refers("profile", &KeyPart::Integer(self.live.profiles[at])),
        }
    }

    /// Index of a random review that no other table refers to, if a few draws find one. Without such tables: the first drawn.
    pub(super) fn free_review(&mut self) -> Option<usize> {
        for _ in 0..FREE_ROW_DRAWS_MAX {
            let at = self.live.any_review(&mut self.rng);
            if !self.is_referred(at) {
                return Some(at);
            }
        }
        None
    }

    pub(super) fn delete_review(&mut self, at: usize, draft: &mut Draft) {
        let review = self.live.remove_review(at);
        draft.change(&statement::delete("review", review.id));
        self.count("review", "delete");
    }

    /// Deletes the reviews of a beer or profile, then itself.
    fn delete_parent(&mut self, parent: Parent, at: usize, draft: &mut Draft) {
        let (table, id) = match parent {
            Parent::Beer => ("beer", self.live.beers.swap_remove(at).id),
            Parent::Profile => ("profile", self.live.profiles.swap_remove(at)),
        };
        for review in self.live.remove_reviews_of(parent, id) {
            draft.change(&statement::delete("review", review));
            self.count("review", "delete");
        }
        draft.change(&statement::delete(table, id));
        self.count(table, "delete");
    }

    /// Books a change that will be committed.
    pub(super) fn count(&mut self, table: &str, kind: &str) {
        *self.report.changes.entry(table.to_owned()).or_default().entry(kind.to_owned()).or_default() += 1;
        self.remaining -= 1;
    }

    /// Books an insert that will be committed.
    pub(super) fn count_new(&mut self, table: &str, key: i64, truth: &mut SourceTruth) {
        truth.add_key(table, key);
        self.count(table, "insert");
    }
}

pub(super) fn live_of(review: &Review) -> LiveReview {
    LiveReview {
        id: review.id,
        brewery_id: review.brewery_id,
        beer_id: review.beer_id,
        profile_id: review.profile_id,
        toasted: review.is_toasted(),
    }
}

#[cfg(test)]
mod tests {
    use lakebed_contract::Seed;

    use super::*;

    fn small_world() -> Live {
        let mut live = Live::default();
        for id in 1..=50 {
            live.breweries.push(id);
            live.beers.push(LiveBeer { id, brewery_id: id });
            live.profiles.push(id);
        }
        for id in 1..=300 {
            let parent = id % 40 + 1;
            let toasted = id % 100 == 0;
            live.add_review(LiveReview { id, brewery_id: parent, beer_id: parent, profile_id: parent, toasted });
        }
        for (table, highest) in [("brewery", 50), ("beer", 50), ("profile", 50), ("review", 300)] {
            live.note_key(table, highest);
        }
        live
    }

    fn script(seed: u64, changes: u64) -> (Vec<Step>, MutationReport, SourceTruth) {
        let mut truth = SourceTruth::default();
        let plan = MutationPlan::new(Seed(seed), changes);
        let mut script = Script::new(&plan, true, small_world(), Others::default()).expect("a plan without cases");
        let mut steps = Vec::new();
        while let Some(unit) = script.next_unit(&mut truth) {
            steps.extend(unit);
        }
        (steps, script.report, truth)
    }

    #[test]
    fn the_same_seed_gives_the_same_statements_and_another_seed_others() {
        assert_eq!(script(7, 500), script(7, 500));
        assert_ne!(script(7, 500).0, script(8, 500).0);
    }

    #[test]
    fn exactly_the_planned_changes_are_booked_and_every_case_occurs() {
        for seed in 0..20 {
            for changes in [1, 99, CHANGES_WITH_EVERY_CASE, 2_000] {
                let (_, report, _) = script(seed, changes);
                assert_eq!(report.total(), changes, "seed {seed}");
                if changes >= CHANGES_WITH_EVERY_CASE {
                    assert_eq!(
                        report.cases.len(),
                        Case::ALL.len(),
                        "seed {seed}, {changes} changes: {:?}",
                        report.cases
                    );
                }
            }
        }
    }

    #[test]
    fn a_plan_dwells_on_the_cases_it_names() {
        let cases = vec!["key_update".to_owned(), "delete_reinsert".to_owned()];
        for seed in 0..10 {
            let plan = MutationPlan { seed: Seed(seed), changes: 200, cases: cases.clone() };
            let (mut script, mut truth) =
                (Script::new(&plan, true, small_world(), Others::default()).expect("known"), SourceTruth::default());
            while script.next_unit(&mut truth).is_some() {}
            let met: Vec<_> = script.report.cases.keys().cloned().collect();
            assert_eq!(met, ["delete_reinsert", "key_update"], "seed {seed}");
            assert!(script.report.cases.values().all(|count| *count >= 2), "{:?}", script.report.cases);
            assert_eq!(script.report.total(), 200);
        }
        let unknown = MutationPlan { seed: Seed(1), changes: 9, cases: vec!["key_updat".to_owned()] };
        let refused = Script::new(&unknown, true, small_world(), Others::default()).err().expect("refused").to_string();
        assert!(refused.contains("key_updat") && refused.contains("overlap"), "{refused}");
    }

    #[test]
    fn the_mix_is_mostly_updates() {
        let (_, report, _) = script(3, 4_000);
        let of = |kind: &str| report.changes.values().filter_map(|kinds| kinds.get(kind)).sum::<u64>();
        assert!((800..1_400).contains(&of("insert")), "{report:?}");
        assert!((2_000..2_700).contains(&of("update")), "{report:?}");
        assert!((400..1_000).contains(&of("delete")), "{report:?}");
        for table in ["beer", "profile"] {
            assert!(report.changes[table].contains_key("delete"), "{report:?}");
        }
    }
}

//! The nasty cases: transactions that a pipeline which looks right may get wrong.
//!
//! Each is small, and books only what will be committed. Keys drawn for rows that are rolled back stay unused, as with a
//! database sequence.

use rand::Rng as _;

use super::live::{LiveReview, ROWS_MIN};
use super::script::{Connection, Draft, Script, Step, live_of};
use super::statement;
use crate::beer::comment;
use crate::beer::rows::Review;
use crate::truth::SourceTruth;

/// Committed changes of the largest case.
pub(super) const CASE_CHANGES_MAX: u64 = 8;
/// Changes of a transaction that runs while another is open.
pub(super) const INNER_STATEMENTS_MAX: u64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// The same key deleted and inserted again in one transaction.
    DeleteReinsert,
    /// A row that lives only inside its transaction.
    InsertUpdateDelete,
    /// A new primary key for a row with a short comment.
    KeyUpdate,
    /// A new primary key for a row whose TOASTed comment does not travel with it.
    KeyUpdateToasted,
    /// An update that leaves a TOASTed comment alone.
    ToastUntouched,
    /// A transaction that is rolled back.
    RolledBack,
    /// A savepoint that is rolled back inside a transaction that commits.
    Savepoint,
    /// A transaction that starts early and commits late, around others.
    Overlap,
}

impl Case {
    pub(super) const ALL: [Self; 8] = [
        Self::DeleteReinsert,
        Self::InsertUpdateDelete,
        Self::KeyUpdate,
        Self::KeyUpdateToasted,
        Self::ToastUntouched,
        Self::RolledBack,
        Self::Savepoint,
        Self::Overlap,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::DeleteReinsert => "delete_reinsert",
            Self::InsertUpdateDelete => "insert_update_delete",
            Self::KeyUpdate => "key_update",
            Self::KeyUpdateToasted => "key_update_toasted",
            Self::ToastUntouched => "toast_untouched",
            Self::RolledBack => "rolled_back",
            Self::Savepoint => "savepoint",
            Self::Overlap => "overlap",
        }
    }
}

impl Case {
    /// The case of that name.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|case| case.name() == name)
    }
}

impl Script {
    /// The steps of one case, at most [`CASE_CHANGES_MAX`] committed changes: on reviews, or `on_other` on a contract table.
    pub(super) fn case(&mut self, case: Case, on_other: bool, truth: &mut SourceTruth) -> Vec<Step> {
        *self.report.cases.entry(case.name().to_owned()).or_default() += 1;
        if case == Case::Overlap {
            return if on_other { self.overlap_other(truth) } else { self.overlap(truth) };
        }
        let mut draft = Draft::default();
        draft.say("BEGIN");
        match case {
            _ if on_other => self.other_case(case, &mut draft, truth),
            Case::DeleteReinsert => self.delete_reinsert(&mut draft, truth),
            Case::InsertUpdateDelete => self.insert_update_delete(&mut draft, truth),
            Case::KeyUpdate => {
                let at = self.live.any_review(&mut self.rng);
                self.update_key(at, &mut draft, truth);
            }
            Case::KeyUpdateToasted => {
                let at = self.a_toasted_review(&mut draft, truth);
                self.update_key(at, &mut draft, truth);
            }
            Case::ToastUntouched => {
                let at = self.a_toasted_review(&mut draft, truth);
                self.update_scores(self.live.reviews[at].id, &mut draft);
            }
            Case::RolledBack => self.unbooked_changes(&mut draft, truth),
            Case::Savepoint => self.savepoint(&mut draft, truth),
            Case::Overlap => unreachable!("handled above: it has two transactions"),
        }
        if case == Case::RolledBack {
            draft.say("ROLLBACK");
            self.report.rolled_back += 1;
        } else {
            draft.say("COMMIT");
            self.report.committed += 1;
        }
        vec![draft.step(Connection::First)]
    }

    fn delete_reinsert(&mut self, draft: &mut Draft, truth: &mut SourceTruth) {
        let at = self.live.any_review(&mut self.rng);
        let old = self.live.reviews[at];
        self.delete_review(at, draft);
        let review = Review { id: old.id, ..self.draw_review_like(old, truth) };
        self.insert_review(&review, draft, truth);
    }

    fn insert_update_delete(&mut self, draft: &mut Draft, truth: &mut SourceTruth) {
        let review = self.draw_review(truth);
        self.insert_review(&review, draft, truth);
        self.update_scores(review.id, draft);
        self.delete_review(self.live.reviews.len() - 1, draft);
    }

    fn update_key(&mut self, mut at: usize, draft: &mut Draft, truth: &mut SourceTruth) {
        if self.is_referred(at) {
            let review = self.draw_review(truth);
            self.insert_review(&review, draft, truth);
            at = self.live.reviews.len() - 1;
        }
        let key = self.live.new_key("review");
        draft.change(&statement::update("review", self.live.reviews[at].id, &format!("review_id = {key}")));
        self.live.reviews[at].id = key;
        truth.add_key("review", key);
        self.count("review", "update");
    }

    fn update_scores(&mut self, key: i64, draft: &mut Draft) {
        let change = statement::new_scores(&mut self.rng);
        draft.change(&statement::update("review", key, &change));
        self.count("review", "update");
    }

    /// Index of a review with a TOASTed comment; where there is none, one is inserted first, in a transaction of its own.
    fn a_toasted_review(&mut self, draft: &mut Draft, truth: &mut SourceTruth) -> usize {
        if let Some(at) = self.live.toasted_review(&mut self.rng) {
            return at;
        }
        let mut review = self.draw_review(truth);
        review.comment = Some(comment::long_comment(&mut self.rng, &mut truth.planted));
        self.insert_review(&review, draft, truth);
        draft.say("COMMIT");
        draft.say("BEGIN");
        self.report.committed += 1;
        self.live.reviews.len() - 1
    }

    /// An insert, an update and a delete that will not last, so nothing is booked.
    fn unbooked_changes(&mut self, draft: &mut Draft, truth: &mut SourceTruth) {
        let review = self.draw_review(truth);
        draft.change(&statement::insert(&review));
        draft.change(&statement::update("review", review.id, "comment = NULL"));
        let at = self.live.any_review(&mut self.rng);
        draft.change(&statement::delete("review", self.live.reviews[at].id));
    }

    fn savepoint(&mut self, draft: &mut Draft, truth: &mut SourceTruth) {
        let before = self.live.any_review(&mut self.rng);
        self.update_scores(self.live.reviews[before].id, draft);
        draft.say("SAVEPOINT regret");
        self.unbooked_changes(draft, truth);
        draft.say("ROLLBACK TO SAVEPOINT regret");
        let review = self.draw_review(truth);
        self.insert_review(&review, draft, truth);
    }

    /// Starts on the second connection, lets others commit on the first, and commits last. The rows it touches are kept
    /// away from the others, which would wait for it for ever.
    fn overlap(&mut self, truth: &mut SourceTruth) -> Vec<Step> {
        if self.live.reviews.len() <= 2 * ROWS_MIN {
            let statements = self.rng.random_range(1..=INNER_STATEMENTS_MAX);
            return vec![self.transaction(statements, truth)];
        }
        let at = self.live.any_review(&mut self.rng);
        let updated = self.live.remove_review(at);
        let Some(at) = self.free_review() else {
            self.live.add_review(updated);
            return vec![self.transaction(INNER_STATEMENTS_MAX, truth)];
        };
        let deleted = self.live.remove_review(at);
        let inserted = self.draw_review(truth);
        self.parents_stay = true;

        let mut early = Draft::default();
        early.say("BEGIN");
        self.update_scores(updated.id, &mut early);
        early.change(&statement::insert(&inserted));
        self.count_new("review", inserted.id, truth);
        let mut late = Draft::default();
        late.change(&statement::delete("review", deleted.id));
        self.count("review", "delete");
        late.say("COMMIT");
        self.report.committed += 1;

        let mut steps = vec![early.step(Connection::Second)];
        steps.extend((0..2).map(|_| self.transaction(INNER_STATEMENTS_MAX, truth)));
        steps.push(late.step(Connection::Second));

        self.parents_stay = false;
        self.live.add_review(updated);
        self.live.add_review(live_of(&inserted));
        steps
    }

    fn draw_review_like(&mut self, old: LiveReview, truth: &mut SourceTruth) -> Review {
        let (comment, _) = statement::new_comment(&mut self.rng, &mut truth.planted);
        Review {
            id: old.id,
            brewery_id: old.brewery_id,
            beer_id: old.beer_id,
            profile_id: old.profile_id,
            scores: statement::scores(&mut self.rng),
            time: self.history.draw(&mut self.rng),
            comment,
        }
    }
}

//! The nasty cases on contract tables: the same transactions as for reviews, on a table that happens to be there.

use rand::Rng as _;

use super::super::cases::{Case, INNER_STATEMENTS_MAX};
use super::super::live::ROWS_MIN;
use super::super::script::{Connection, Draft, Script, Step};
use super::change::live_of;
use super::statement;
use crate::contract_rows::{Value, words};
use crate::truth::SourceTruth;

impl Script {
    /// The statements of one case between BEGIN and its end.
    pub(in crate::mutation) fn other_case(&mut self, case: Case, draft: &mut Draft, truth: &mut SourceTruth) {
        let table = self.others.any_table(&mut self.rng);
        match case {
            Case::DeleteReinsert => self.delete_reinsert_other(table, draft, truth),
            Case::InsertUpdateDelete => {
                self.insert_other(table, draft, truth);
                let at = self.others.tables[table].rows.len() - 1;
                self.update_other(table, at, true, draft, truth);
                self.delete_other(table, at, draft);
            }
            Case::KeyUpdate => {
                let at = self.a_free_row(table, draft, truth);
                self.update_other_key(table, at, draft, truth);
            }
            Case::KeyUpdateToasted => {
                let at = self.a_toasted_row(table, draft, truth);
                self.update_other_key(table, at, draft, truth);
            }
            Case::ToastUntouched => {
                let at = self.a_toasted_row(table, draft, truth);
                self.update_other(table, at, false, draft, truth);
            }
            Case::RolledBack => self.unbooked_other(table, draft, truth),
            Case::Savepoint => {
                let at = self.others.any_row(&mut self.rng, table);
                self.update_other(table, at, true, draft, truth);
                draft.say("SAVEPOINT regret");
                self.unbooked_other(table, draft, truth);
                draft.say("ROLLBACK TO SAVEPOINT regret");
                self.insert_other(table, draft, truth);
            }
            Case::Overlap => unreachable!("it has two transactions and a function of its own"),
        }
    }

    /// The same key again with other values; what refers to it does not notice.
    fn delete_reinsert_other(&mut self, table: usize, draft: &mut Draft, truth: &mut SourceTruth) {
        let at = self.others.any_row(&mut self.rng, table);
        let mut row = self.draw_other(table, truth);
        let live = &self.others.tables[table];
        let keys = (0..row.len()).filter(|at| live.plan.columns[*at].column.is_key);
        for (column, part) in keys.zip(&live.rows[at].key) {
            row[column] = Value::Part(part.clone());
        }
        self.delete_other(table, at, draft);
        self.insert_other_row(table, &row, draft, truth);
    }

    /// Index of a row that nobody refers to; where none is found, a new one.
    fn a_free_row(&mut self, table: usize, draft: &mut Draft, truth: &mut SourceTruth) -> usize {
        if let Some(at) = self.others.free_row(&mut self.rng, table) {
            return at;
        }
        self.insert_other(table, draft, truth);
        self.others.tables[table].rows.len() - 1
    }

    /// Index of a row with a text stored out of line and nobody referring to it; where there is none, one is inserted first, in a
    /// transaction of its own. A table without long texts gives any free row.
    fn a_toasted_row(&mut self, table: usize, draft: &mut Draft, truth: &mut SourceTruth) -> usize {
        let Some(long) = self.others.tables[table].plan.long else { return self.a_free_row(table, draft, truth) };
        if let Some(at) = self.others.toasted_row(&mut self.rng, table) {
            let live = &self.others.tables[table];
            let referred =
                matches!(live.rows[at].key.as_slice(), [key] if self.others.refers(&live.plan.contract.name, key));
            if !referred {
                return at;
            }
        }
        let mut row = self.draw_other(table, truth);
        row[long] = Value::text(words::long_text(&mut self.rng));
        self.insert_other_row(table, &row, draft, truth);
        draft.say("COMMIT");
        draft.say("BEGIN");
        self.report.committed += 1;
        self.others.tables[table].rows.len() - 1
    }

    /// An insert, an update and a delete that will not last, so nothing is booked.
    fn unbooked_other(&mut self, table: usize, draft: &mut Draft, truth: &mut SourceTruth) {
        let row = self.draw_other(table, truth);
        let update = self.draw_update(table, true, truth);
        let at = self.others.any_row(&mut self.rng, table);
        let live = &self.others.tables[table];
        draft.change(&statement::insert(&live.plan, &row));
        if !update.assignments.is_empty() {
            let key = live.plan.key_of(&row);
            draft.change(&statement::update(&live.plan, &key, &update.assignments.join(", ")));
        }
        draft.change(&statement::delete(&live.plan, &live.rows[at].key));
    }

    /// Starts on the second connection, lets others commit on the first, and commits last. Its rows are kept away from the others,
    /// which would wait for it for ever.
    pub(in crate::mutation) fn overlap_other(&mut self, truth: &mut SourceTruth) -> Vec<Step> {
        let table = self.others.any_table(&mut self.rng);
        let enough = self.others.tables[table].rows.len() > 2 * ROWS_MIN;
        let deletable = if enough { self.others.deletable_row(&mut self.rng, table) } else { None };
        let Some(at) = deletable else {
            let statements = self.rng.random_range(1..=INNER_STATEMENTS_MAX);
            return vec![self.transaction(statements, truth)];
        };
        let name = self.others.tables[table].plan.contract.name.clone();
        let deleted = self.others.remove(table, at);
        let inserted = self.draw_other(table, truth);

        let mut early = Draft::default();
        early.say("BEGIN");
        let live = &self.others.tables[table];
        early.change(&statement::insert(&live.plan, &inserted));
        let live_row = live_of(&live.plan, &inserted);
        truth.add_key_parts(&name, &live_row.key);
        self.count(&name, "insert");
        // Nobody may refer to it before it is committed, but what it refers to must stay from now on.
        self.others.add(table, live_row);
        let hidden = self.others.hide_last(table);

        let mut late = Draft::default();
        late.change(&statement::delete(&self.others.tables[table].plan, &deleted.key));
        self.count(&name, "delete");
        late.say("COMMIT");
        self.report.committed += 1;

        let mut steps = vec![early.step(Connection::Second)];
        steps.extend((0..2).map(|_| self.transaction(INNER_STATEMENTS_MAX, truth)));
        steps.push(late.step(Connection::Second));
        self.others.show(table, hidden);
        steps
    }
}

//! Single changes to contract tables: insert, update (with NULLs), delete, and a new key.

use rand::seq::IndexedRandom as _;
use rand::{Rng as _, RngCore};

use super::super::script::{Draft, Script};
use super::{LiveRow, statement};
use crate::beer::names::per_mille;
use crate::contract_rows::{Filling, Parent, TablePlan, Value, key, words};
use crate::truth::{KeyPart, SourceTruth};

/// Columns that one update sets.
const UPDATED_COLUMNS_MAX: usize = 3;
/// Share of new texts in the long column that are stored out of line.
const LONG_TEXT_PER_MILLE: u32 = 25;

/// What an update sets, beside its text.
#[derive(Default)]
pub(super) struct Update {
    pub(super) assignments: Vec<String>,
    /// Reference column by number → what it holds then.
    references: Vec<(usize, Option<KeyPart>)>,
    toasted: Option<bool>,
}

impl Script {
    /// Some change to a contract table; exactly one row changes.
    pub(in crate::mutation) fn change_other(&mut self, draft: &mut Draft, truth: &mut SourceTruth) {
        let table = self.others.any_table(&mut self.rng);
        match self.rng.random_range(0..100) {
            0..25 => self.insert_other(table, draft, truth),
            25..85 => {
                let at = self.others.any_row(&mut self.rng, table);
                self.update_other(table, at, true, draft, truth);
            }
            _ => match self.others.deletable_row(&mut self.rng, table) {
                Some(at) => self.delete_other(table, at, draft),
                None => self.insert_other(table, draft, truth),
            },
        }
    }

    /// Draws a row with a key of its own that refers to live rows.
    pub(super) fn draw_other(&mut self, table: usize, truth: &mut SourceTruth) -> Vec<Value> {
        let number = self.others.tables[table].new_number();
        let Self { rng, others, live, .. } = self;
        let plan = &others.tables[table].plan;
        let row = plan.row(rng, number, &mut truth.planted, |rng, parent| others.live_key(rng, parent, live));
        let mut row = row.expect("a table is never emptied, so there is something to refer to");
        if let Some(at) = plan.long
            && per_mille(rng, LONG_TEXT_PER_MILLE)
        {
            row[at] = Value::text(words::long_text(rng));
        }
        row
    }

    pub(super) fn insert_other(&mut self, table: usize, draft: &mut Draft, truth: &mut SourceTruth) {
        let row = self.draw_other(table, truth);
        self.insert_other_row(table, &row, draft, truth);
    }

    /// Inserts a drawn row and books it; it is the last of the live ones then.
    pub(super) fn insert_other_row(&mut self, table: usize, row: &[Value], draft: &mut Draft, truth: &mut SourceTruth) {
        let plan = &self.others.tables[table].plan;
        draft.change(&statement::insert(plan, row));
        let (name, live) = (plan.contract.name.clone(), live_of(plan, row));
        truth.add_key_parts(&name, &live.key);
        self.others.add(table, live);
        self.count(&name, "insert");
    }

    /// Updates some columns; without `touch_long` the long one is left alone. A table whose columns are all key gets a row instead.
    pub(super) fn update_other(
        &mut self,
        table: usize,
        at: usize,
        touch_long: bool,
        draft: &mut Draft,
        truth: &mut SourceTruth,
    ) {
        let update = self.draw_update(table, touch_long, truth);
        if update.assignments.is_empty() {
            return self.insert_other(table, draft, truth);
        }
        let live = &self.others.tables[table];
        draft.change(&statement::update(&live.plan, &live.rows[at].key, &update.assignments.join(", ")));
        let name = live.plan.contract.name.clone();
        if let Some(toasted) = update.toasted {
            self.others.tables[table].rows[at].toasted = toasted;
        }
        for (column, to) in update.references {
            self.others.refer(table, at, column, to);
        }
        self.count(&name, "update");
    }

    pub(super) fn draw_update(&mut self, table: usize, touch_long: bool, truth: &mut SourceTruth) -> Update {
        let Self { rng, others, live, .. } = self;
        let plan = &others.tables[table].plan;
        let free: Vec<usize> = (0..plan.columns.len())
            .filter(|at| !plan.columns[*at].column.is_key && (touch_long || plan.long != Some(*at)))
            .collect();
        let count = rng.random_range(1..=UPDATED_COLUMNS_MAX);
        let mut chosen: Vec<usize> = free.choose_multiple(rng, count).copied().collect();
        chosen.sort_unstable();
        let mut update = Update::default();
        for at in chosen {
            let column = &plan.columns[at];
            let long = plan.long == Some(at);
            let value = match &column.filling {
                Filling::Plain(_) if long && per_mille(rng, LONG_TEXT_PER_MILLE) => {
                    update.toasted = Some(true);
                    Value::text(words::long_text(rng))
                }
                Filling::Plain(draw) => {
                    update.toasted = if long { Some(false) } else { update.toasted };
                    draw.value(rng, column.column.nullable, &mut truth.planted)
                }
                Filling::Reference(parent) => {
                    let mut refer = |rng: &mut dyn RngCore, parent: &Parent| others.live_key(rng, parent, live);
                    let value = plan.reference(rng, column, parent, &mut refer);
                    let value = value.expect("a table is never emptied, so there is something to refer to");
                    update.references.push((reference_number(plan, at), part(&value)));
                    value
                }
                Filling::Number | Filling::KeyPart(_) => unreachable!("key columns are not chosen"),
            };
            update.assignments.push(statement::assignment(&column.column.name, &value));
        }
        update
    }

    pub(super) fn delete_other(&mut self, table: usize, at: usize, draft: &mut Draft) {
        let row = self.others.remove(table, at);
        let plan = &self.others.tables[table].plan;
        draft.change(&statement::delete(plan, &row.key));
        let name = plan.contract.name.clone();
        self.count(&name, "delete");
    }

    /// Gives a row that nobody refers to a new key.
    pub(super) fn update_other_key(&mut self, table: usize, at: usize, draft: &mut Draft, truth: &mut SourceTruth) {
        let number = self.others.tables[table].new_number();
        let live = &mut self.others.tables[table];
        let column = &live.plan.number_column().column;
        let new = key::encode(column.column_type, number);
        let assignment = statement::assignment(&column.name, &Value::Part(new.clone()));
        draft.change(&statement::update(&live.plan, &live.rows[at].key, &assignment));
        let place =
            live.plan.columns.iter().filter(|plan| plan.column.is_key).position(|plan| plan.filling == Filling::Number);
        live.rows[at].key[place.expect("the number is part of the key")] = new;
        let name = live.plan.contract.name.clone();
        truth.add_key_parts(&name, &live.rows[at].key);
        self.count(&name, "update");
    }
}

/// What must be known of a row that was just drawn.
pub(super) fn live_of(plan: &TablePlan, row: &[Value]) -> LiveRow {
    let references = plan.columns.iter().zip(row).filter(|(plan, _)| matches!(plan.filling, Filling::Reference(_)));
    let long = plan.long.and_then(|at| part(&row[at]));
    LiveRow {
        key: plan.key_of(row),
        references: references.map(|(_, value)| part(value)).collect(),
        toasted: matches!(long, Some(KeyPart::Text(text)) if text.len() >= words::LONG_TEXT_BYTES.start),
    }
}

/// Which of the table's reference columns a column is.
fn reference_number(plan: &TablePlan, at: usize) -> usize {
    plan.columns[..at].iter().filter(|plan| matches!(plan.filling, Filling::Reference(_))).count()
}

fn part(value: &Value) -> Option<KeyPart> {
    match value {
        Value::Part(part) => Some(part.clone()),
        _ => None,
    }
}

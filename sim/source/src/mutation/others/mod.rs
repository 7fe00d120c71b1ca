//! What is live in the tables that are generated from their contracts, and who refers to whom.
//!
//! Keys, references and no other values, like `live` for the beer tables. A row that another row refers to is neither deleted nor
//! given another key, so that references stay whole without foreign keys. Every choice is an index, so it depends on the seed and
//! the history alone.

mod cases;
mod change;
mod read;
mod statement;

use std::collections::HashMap;

use rand::{Rng as _, RngCore};

use super::live::{Live, ROWS_MIN};
use crate::beer::names::per_mille;
use crate::contract_rows::{Filling, Parent, TablePlan, key};
use crate::truth::KeyPart;

pub(super) use read::read;

/// Draws after which the search for a row that nobody refers to is given up.
pub(super) const FREE_ROW_DRAWS_MAX: usize = 40;
/// Share of the changes that fall on each such table at least, beside the beer tables, and on all together at most.
const TABLE_SHARE_PER_MILLE_MIN: u32 = 100;
const SHARE_PER_MILLE_MAX: u32 = 600;

/// One live row.
#[derive(Clone)]
pub(super) struct LiveRow {
    pub(super) key: Vec<KeyPart>,
    /// What its reference columns hold, in the contract's order.
    pub(super) references: Vec<Option<KeyPart>>,
    /// Whether its long column is stored out of line.
    pub(super) toasted: bool,
}

/// The live rows of one table.
pub(super) struct LiveTable {
    pub(super) plan: TablePlan,
    pub(super) rows: Vec<LiveRow>,
    /// Highest key number ever used.
    highest: i64,
}

impl LiveTable {
    /// A key number that was never used.
    pub(super) fn new_number(&mut self) -> i64 {
        self.highest += 1;
        self.highest
    }

    /// The tables its reference columns name, in the contract's order.
    fn parents(&self) -> impl Iterator<Item = &Parent> {
        self.plan.columns.iter().filter_map(|plan| match &plan.filling {
            Filling::Reference(parent) => Some(parent),
            _ => None,
        })
    }
}

/// The live rows of all tables that are generated from their contracts.
#[derive(Default)]
pub(super) struct Others {
    pub(super) tables: Vec<LiveTable>,
    /// Parent table → key → rows that refer to it. Looked up, never iterated.
    referred: HashMap<String, HashMap<KeyPart, usize>>,
    share_per_mille: u32,
}

impl Others {
    fn new(tables: Vec<LiveTable>, beer_rows: usize) -> Self {
        let mut others = Self { tables: Vec::new(), referred: HashMap::new(), share_per_mille: 0 };
        let rows: usize = tables.iter().map(|table| table.rows.len()).sum();
        let by_rows = u32::try_from(1_000 * rows / (rows + beer_rows).max(1)).unwrap_or(SHARE_PER_MILLE_MAX);
        let least =
            u32::try_from(tables.len()).unwrap_or(SHARE_PER_MILLE_MAX).saturating_mul(TABLE_SHARE_PER_MILLE_MIN);
        others.share_per_mille = by_rows.max(least).min(SHARE_PER_MILLE_MAX);
        for mut table in tables {
            let rows = std::mem::take(&mut table.rows);
            others.tables.push(table);
            let at = others.tables.len() - 1;
            rows.into_iter().for_each(|row| others.add(at, row));
        }
        others
    }

    /// Whether the next change falls on one of these tables. Draws nothing where the answer is clear.
    pub(super) fn take_next(&self, rng: &mut impl RngCore, has_beer: bool) -> bool {
        match (self.tables.is_empty(), has_beer) {
            (true, _) => false,
            (false, false) => true,
            (false, true) => per_mille(rng, self.share_per_mille),
        }
    }

    pub(super) fn any_table(&self, rng: &mut impl RngCore) -> usize {
        rng.random_range(0..self.tables.len())
    }

    pub(super) fn any_row(&self, rng: &mut impl RngCore, table: usize) -> usize {
        rng.random_range(0..self.tables[table].rows.len())
    }

    /// Whether a row refers to this key of a table.
    pub(super) fn refers(&self, table: &str, key: &KeyPart) -> bool {
        self.referred.get(table).and_then(|keys| keys.get(key)).is_some_and(|count| *count > 0)
    }

    /// Whether a table refers to this one at all.
    pub(super) fn refers_to_table(&self, name: &str) -> bool {
        self.tables.iter().flat_map(LiveTable::parents).any(|parent| parent.table == name)
    }

    /// Index of a row that nobody refers to, if a few draws find one.
    pub(super) fn free_row(&self, rng: &mut impl RngCore, table: usize) -> Option<usize> {
        let live = &self.tables[table];
        let name = &live.plan.contract.name;
        let free = |row: &LiveRow| !matches!(row.key.as_slice(), [key] if self.refers(name, key));
        (0..FREE_ROW_DRAWS_MAX).map(|_| rng.random_range(0..live.rows.len())).find(|at| free(&live.rows[*at]))
    }

    /// A free row whose deletion leaves enough of the table.
    pub(super) fn deletable_row(&self, rng: &mut impl RngCore, table: usize) -> Option<usize> {
        if self.tables[table].rows.len() <= ROWS_MIN {
            return None;
        }
        self.free_row(rng, table)
    }

    /// Index of a row whose long text is stored out of line: the first one after a random place.
    pub(super) fn toasted_row(&self, rng: &mut impl RngCore, table: usize) -> Option<usize> {
        let (rows, start) = (&self.tables[table].rows, self.any_row(rng, table));
        (start..start + rows.len()).map(|at| at % rows.len()).find(|at| rows[*at].toasted)
    }

    pub(super) fn add(&mut self, table: usize, row: LiveRow) {
        self.count_references(table, &row.references, 1);
        self.tables[table].rows.push(row);
    }

    pub(super) fn remove(&mut self, table: usize, at: usize) -> LiveRow {
        let row = self.tables[table].rows.swap_remove(at);
        self.count_references(table, &row.references, -1);
        row
    }

    /// Takes the last row out of sight; what it refers to stays counted.
    pub(super) fn hide_last(&mut self, table: usize) -> LiveRow {
        self.tables[table].rows.pop().expect("a row was just added")
    }

    /// Shows a hidden row again.
    pub(super) fn show(&mut self, table: usize, hidden: LiveRow) {
        self.tables[table].rows.push(hidden);
    }

    /// Points one reference column of a row elsewhere.
    pub(super) fn refer(&mut self, table: usize, at: usize, column: usize, to: Option<KeyPart>) {
        let mut row = self.remove(table, at);
        row.references[column] = to;
        self.add(table, row);
        // The row must stay where it was: callers go on with its index.
        let last = self.tables[table].rows.len() - 1;
        self.tables[table].rows.swap(at, last);
    }

    fn count_references(&mut self, table: usize, references: &[Option<KeyPart>], change: isize) {
        for (parent, reference) in self.tables[table].parents().zip(references) {
            let Some(key) = reference else { continue };
            let keys = self.referred.entry(parent.table.clone()).or_default();
            let count = keys.entry(key.clone()).or_default();
            *count = count.checked_add_signed(change).expect("a reference is counted before it goes");
        }
    }

    /// A live key of a parent; `None` where it has no row.
    pub(super) fn live_key(&self, rng: &mut dyn RngCore, parent: &Parent, beer: &Live) -> Option<KeyPart> {
        let mut one_of = |count: usize| (count > 0).then(|| rng.random_range(0..count));
        if let Some(table) = self.tables.iter().find(|table| table.plan.contract.name == parent.table) {
            return one_of(table.rows.len()).map(|at| table.rows[at].key[0].clone());
        }
        let id = match parent.table.as_str() {
            "brewery" => one_of(beer.breweries.len()).map(|at| beer.breweries[at]),
            "beer" => one_of(beer.beers.len()).map(|at| beer.beers[at].id),
            "profile" => one_of(beer.profiles.len()).map(|at| beer.profiles[at]),
            "review" => one_of(beer.reviews.len()).map(|at| beer.reviews[at].id),
            other => unreachable!("a parent is a table of the lake, and `{other}` has no generator"),
        };
        id.map(KeyPart::Integer)
    }
}

/// The number in a key, if one of ours stands there.
fn number_in(plan: &TablePlan, parts: &[KeyPart]) -> Option<i64> {
    let keys = plan.columns.iter().filter(|plan| plan.column.is_key);
    keys.zip(parts).find(|(plan, _)| plan.filling == Filling::Number).and_then(|(_, part)| key::decode(part))
}

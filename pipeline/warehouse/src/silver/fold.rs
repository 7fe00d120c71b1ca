//! The fold: change records in position order, over the rows silver has, to the rows silver shall have.
//!
//! Promises, per key: later beats earlier by (generation, commit LSN, ordinal) and nothing else; an absent column keeps its value,
//! and so does one that a record's file does not know; an explicit NULL is NULL; a key change deletes the old key and creates the
//! new one, which inherits absent columns; a delete keeps the last values; an insert inherits nothing; a record at or before the
//! stored position changes nothing.
//!
//! Works on references: a cell is the number of the row it comes from (stored rows first, then records). No value is looked at.

use std::collections::{HashMap, HashSet};

use lakebed_contract::Position;

use super::changes::{Changes, Key, Operation, Telling};

/// A cell that is NULL.
pub(crate) const NULL: u32 = u32::MAX;
/// A cell whose value no record told: a partial update came before its base.
const UNKNOWN: u32 = u32::MAX - 1;

/// Stored rows of the touched keys, as far as the fold needs them.
#[derive(Default)]
pub(crate) struct Stored {
    /// Key of each row.
    pub(crate) keys: Vec<Key>,
    /// Position of the last change each has seen.
    pub(crate) positions: Vec<Position>,
    /// Whether each lives.
    pub(crate) live: Vec<bool>,
}

/// One row that changed.
pub(crate) struct FoldedRow {
    /// Its key.
    pub(crate) key: Key,
    /// For each followed column, the row to take it from, or [`NULL`].
    pub(crate) cells: Vec<u32>,
    /// For key columns, whether the cell comes from the record's old key instead of its key.
    pub(crate) key_from_old: bool,
    /// The row whose time is `created_at`.
    pub(crate) created: u32,
    /// The row whose time is `updated_at` and whose position is the row's.
    pub(crate) updated: u32,
    /// The row whose time is `deleted_at`; [`NULL`] while the row lives.
    pub(crate) deleted: u32,
}

/// The result.
#[derive(Default)]
pub(crate) struct Folded {
    /// Rows that changed, in no particular order.
    pub(crate) rows: Vec<FoldedRow>,
    /// Keys that stay as they are because a column's value is not known yet.
    pub(crate) unresolved: HashSet<Key>,
}

#[derive(Clone)]
struct Slot {
    position: Option<Position>,
    cells: Vec<u32>,
    key_from_old: bool,
    created: u32,
    updated: u32,
    deleted: u32,
    live: bool,
    changed: bool,
}

impl Slot {
    fn empty(width: usize) -> Self {
        Self {
            position: None,
            cells: vec![NULL; width],
            key_from_old: false,
            created: NULL,
            updated: NULL,
            deleted: NULL,
            live: false,
            changed: false,
        }
    }

    fn is_before(&self, position: Position) -> bool {
        self.position.is_none_or(|stored| stored < position)
    }

    fn stamp(&mut self, position: Position, row: u32) {
        self.position = Some(position);
        self.updated = row;
        self.changed = true;
    }

    fn begin_life(&mut self, position: Position, row: u32) {
        self.stamp(position, row);
        self.created = row;
        self.deleted = NULL;
        self.live = true;
        self.key_from_old = false;
    }

    fn end_life(&mut self, position: Position, row: u32) {
        if self.position.is_none() {
            self.created = row;
        }
        self.stamp(position, row);
        self.deleted = row;
        self.live = false;
        // Nobody will tell the missing values of a row that is gone; a late base rebuilds it.
        self.cells.iter_mut().filter(|cell| **cell == UNKNOWN).for_each(|cell| *cell = NULL);
    }
}

struct Fold<'a> {
    changes: &'a Changes,
    keys: &'a [usize],
    width: usize,
    /// Number of stored rows: records count from here.
    base: u32,
    slots: Vec<Slot>,
    /// For each of [`Changes::tellings`], whether it leaves a column unknown.
    leaves_unknown: Vec<bool>,
    index: HashMap<&'a Key, usize>,
    /// Live rows whose key another row took within the present transaction, before they moved themselves.
    displaced: HashMap<usize, Vec<u32>>,
}

/// Folds `changes` over `stored`. `width` is the number of followed columns, `keys` the positions of the key among them.
pub(crate) fn fold(width: usize, keys: &[usize], stored: &Stored, changes: &Changes) -> Folded {
    let base = u32::try_from(stored.keys.len()).expect("fewer stored rows per merge than u32 counts");
    let mut fold = Fold {
        changes,
        keys,
        width,
        base,
        slots: Vec::with_capacity(stored.keys.len() + changes.len()),
        leaves_unknown: changes.tellings.iter().map(|telling| telling.contains(&Telling::Unknown)).collect(),
        index: HashMap::with_capacity(stored.keys.len() + changes.len()),
        displaced: HashMap::new(),
    };
    for (row, key) in (0..base).zip(&stored.keys) {
        let at = row as usize;
        fold.index.insert(key, fold.slots.len());
        fold.slots.push(Slot {
            position: Some(stored.positions[at]),
            cells: vec![row; width],
            key_from_old: false,
            created: row,
            updated: row,
            deleted: if stored.live[at] { NULL } else { row },
            live: stored.live[at],
            changed: false,
        });
    }
    let mut order: Vec<usize> = (0..changes.len()).collect();
    order.sort_by_key(|at| changes.positions[*at]);
    let mut transaction = None;
    for at in order {
        let position = changes.positions[at];
        if transaction != Some((position.generation, position.commit_lsn)) {
            transaction = Some((position.generation, position.commit_lsn));
            fold.displaced.clear();
        }
        fold.apply(at, position);
    }
    fold.finish()
}

impl<'a> Fold<'a> {
    fn slot(&mut self, key: &'a Key) -> usize {
        *self.index.entry(key).or_insert_with(|| {
            self.slots.push(Slot::empty(self.width));
            self.slots.len() - 1
        })
    }

    fn apply(&mut self, at: usize, position: Position) {
        let changes = self.changes;
        let slot = self.slot(&changes.keys[at]);
        let row = self.base + at as u32;
        match (changes.operations[at], &changes.old_keys[at]) {
            (Operation::Load, _) => self.load(slot, at, row, position),
            (Operation::Insert, _) => {
                if self.slots[slot].is_before(position) {
                    self.slots[slot].begin_life(position, row);
                    self.set(slot, at, row, |_, _| NULL);
                }
            }
            (Operation::Update, Some(old)) => {
                let old = self.slot(old);
                self.move_key(old, slot, at, row, position);
            }
            (Operation::Update, None) => self.update(slot, at, row, position),
            (Operation::Delete, _) => {
                if self.slots[slot].is_before(position) && self.displaced.remove(&slot).is_none() {
                    self.kill(slot, row, position, false);
                }
            }
        }
    }

    /// A load row says how the row is, not that it began: a row that lives goes on living, and keeps what the load cannot know.
    fn load(&mut self, slot: usize, at: usize, row: u32, position: Position) {
        let state = &mut self.slots[slot];
        if !state.is_before(position) {
            return;
        }
        let keeps = state.live && self.leaves_unknown[self.changes.telling[at]];
        let before = keeps.then(|| state.cells.clone());
        if state.live {
            state.stamp(position, row)
        } else {
            state.begin_life(position, row)
        }
        self.set(slot, at, row, |column, telling| match &before {
            Some(before) if telling == Telling::Unknown => before[column],
            _ => NULL,
        });
    }

    fn update(&mut self, slot: usize, at: usize, row: u32, position: Position) {
        let state = &mut self.slots[slot];
        if !state.is_before(position) {
            return;
        }
        if state.live {
            state.stamp(position, row);
            let before = state.cells.clone();
            self.set(slot, at, row, |column, _| before[column]);
        } else {
            // The insert that began this life has not arrived.
            state.begin_life(position, row);
            self.set(slot, at, row, |_, telling| if telling == Telling::Unknown { NULL } else { UNKNOWN });
        }
    }

    fn move_key(&mut self, old: usize, new: usize, at: usize, row: u32, position: Position) {
        let inherited = self.displaced.remove(&old).or_else(|| {
            let state = &self.slots[old];
            let cells = state.live.then(|| state.cells.clone());
            if state.is_before(position) {
                self.kill(old, row, position, true);
            }
            cells
        });
        let state = &mut self.slots[new];
        if !state.is_before(position) {
            return;
        }
        if state.live {
            self.displaced.insert(new, state.cells.clone());
        }
        self.slots[new].begin_life(position, row);
        self.set(new, at, row, |column, telling| match &inherited {
            Some(cells) => cells[column],
            None if telling == Telling::Unknown => NULL,
            None => UNKNOWN,
        });
    }

    fn kill(&mut self, slot: usize, row: u32, position: Position, by_old_key: bool) {
        let unseen = self.slots[slot].position.is_none();
        self.slots[slot].end_life(position, row);
        if unseen {
            // A tombstone without history: nothing but its key.
            for key in self.keys {
                self.slots[slot].cells[*key] = row;
            }
            self.slots[slot].key_from_old = by_old_key;
        }
    }

    /// Points every told column at `row` and asks `otherwise` about the others. Keys are always told.
    fn set(&mut self, slot: usize, at: usize, row: u32, otherwise: impl Fn(usize, Telling) -> u32) {
        let tellings = &self.changes.tellings[self.changes.telling[at]];
        for (column, cell) in self.slots[slot].cells.iter_mut().enumerate() {
            let telling = tellings[column];
            let is_told = telling == Telling::Told || self.keys.contains(&column);
            *cell = if is_told { row } else { otherwise(column, telling) };
        }
        self.slots[slot].key_from_old = false;
    }

    fn finish(self) -> Folded {
        let mut folded = Folded::default();
        let mut slots: Vec<Option<Slot>> = self.slots.into_iter().map(Some).collect();
        for (key, at) in self.index {
            let Some(slot) = slots[at].take().filter(|slot| slot.changed) else { continue };
            if slot.live && slot.cells.contains(&UNKNOWN) {
                folded.unresolved.insert(key.clone());
                continue;
            }
            folded.rows.push(FoldedRow {
                key: key.clone(),
                cells: slot.cells,
                key_from_old: slot.key_from_old,
                created: slot.created,
                updated: slot.updated,
                deleted: slot.deleted,
            });
        }
        folded
    }
}

/// Keys with a record before their stored position: it is a repetition or it came late, and only a rebuild from bronze tells.
/// A record exactly at the stored position is the one that was applied last.
pub(crate) fn late_keys(stored: &Stored, changes: &Changes) -> HashSet<Key> {
    let positions: HashMap<&Key, Position> = stored.keys.iter().zip(stored.positions.iter().copied()).collect();
    let mut late = HashSet::new();
    for at in 0..changes.len() {
        for key in [Some(&changes.keys[at]), changes.old_keys[at].as_ref()].into_iter().flatten() {
            if positions.get(key).is_some_and(|stored| changes.positions[at] < *stored) {
                late.insert(key.clone());
            }
        }
    }
    late
}

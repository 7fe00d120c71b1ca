//! Finds personal data and secrets in free text: one pass over the bytes, and a second one where names or addresses are wanted.
//!
//! A prefilter finds the blocks that hold a digit or an `@`; from there hand-written parsers grow candidates both ways, check
//! digits, ranges and the words around decide, and of overlapping candidates the surest is kept. A whole Arrow column is read
//! as the one buffer it is unless names or addresses are wanted; a finding never spans two rows. Findings are in order, never
//! overlap, and lie on character boundaries. Scores are between 0 and 1 and only rank. Above 0.95 are printed forms with right
//! check digits, and shapes that nothing else has; bare digits with right check digits have 0.8 (a card's 0.95), and 0.95 next
//! to a word for them. Shapes that may be something else have 0.5 to 0.9 and more next to a word; those that only a word gives
//! a meaning 0.6 to 0.9, the nearer the more. Names and addresses have 0.5 to 0.95. Knows nothing of columns, policies or what
//! is done with a finding.

mod kind;
mod prefilter;
mod row;

mod context;
mod vocabulary;

mod birth;
mod brazil;
mod card;
mod document;
mod email;
mod iban;
mod network;
mod phone;
mod secret;
mod united_states;
mod url;
mod words;

mod dispatch;
mod resolve;

pub mod validate;

#[cfg(test)]
mod tests;

use arrow::array::{Array, StringArray};
use memchr::memmem;

use dispatch::trigger;
pub use kind::{Finding, PiiKind, PiiKinds};
use prefilter::Triggers;
use resolve::resolve;
use row::Row;

/// Finds the wanted kinds. Holds no text and nothing that changes: one scanner serves all threads.
#[derive(Clone, Debug)]
pub struct Scanner {
    kinds: PiiKinds,
    keys: memmem::Finder<'static>,
}

impl Default for Scanner {
    /// A scanner for all kinds.
    fn default() -> Self {
        Self::new(PiiKinds::all())
    }
}

impl Scanner {
    /// A scanner for some kinds.
    pub fn new(kinds: PiiKinds) -> Self {
        Self { kinds, keys: memmem::Finder::new(secret::KEY_PREFIXES_END) }
    }

    /// The kinds it finds.
    pub fn kinds(&self) -> PiiKinds {
        self.kinds
    }

    /// Puts the findings of a text into `found`, in order and without overlaps; what was in there is gone.
    pub fn scan(&self, text: &str, found: &mut Vec<Finding>) {
        let mut row = Row::new(self.kinds);
        std::mem::swap(&mut row.found, found);
        self.scan_row(&mut row, text);
        std::mem::swap(&mut row.found, found);
    }

    /// Calls `each` with the number and the findings of every row that has any; offsets count from the row's first byte. NULL
    /// has none.
    pub fn scan_rows(&self, rows: &StringArray, mut each: impl FnMut(usize, &[Finding])) {
        let mut row = Row::new(self.kinds);
        if self.wants_words() {
            for number in (0..rows.len()).filter(|number| rows.is_valid(*number)) {
                self.scan_row(&mut row, rows.value(number));
                if !row.found.is_empty() {
                    each(number, &row.found);
                }
            }
            return;
        }
        let offsets = rows.value_offsets();
        let (Some(&first), Some(&last)) = (offsets.first(), offsets.last()) else { return };
        let place = |offset: i32| usize::try_from(offset).unwrap_or(0);
        let base = place(first);
        let bytes = &rows.value_data()[base..place(last)];
        let mut finish = |row: &mut Row<'_>, number: usize| {
            if !row.found.is_empty() {
                resolve(&mut row.found);
                each(number, &row.found);
                row.found.clear();
            }
        };
        let (mut number, mut end) = (0, 0);
        self.sweep(bytes, |at| {
            if at >= end {
                finish(&mut row, number);
                // Empty rows and rows without a trigger are passed over.
                number += offsets[number + 1..].iter().take_while(|end| place(**end) <= base + at).count();
                end = place(offsets[number + 1]) - base;
                row.enter(if rows.is_valid(number) { rows.value(number) } else { "" });
            }
            let start = place(offsets[number]) - base;
            if row.bytes.is_empty() { end } else { start + trigger(&mut row, at - start) }
        });
        finish(&mut row, number);
    }

    fn wants_words(&self) -> bool {
        self.kinds.contains(PiiKind::Name) || self.kinds.contains(PiiKind::Address)
    }

    fn scan_row<'a>(&self, row: &mut Row<'a>, text: &'a str) {
        row.enter(text);
        self.sweep(text.as_bytes(), |at| trigger(row, at));
        if self.wants_words() {
            let from = row.found.len();
            words::candidates(text, &mut row.found);
            let mut kept = from;
            for at in from..row.found.len() {
                let finding = row.found[at];
                if self.kinds.contains(finding.kind) && !touches_label(text, &finding) {
                    row.found[kept] = finding;
                    kept += 1;
                }
            }
            row.found.truncate(kept);
        }
        resolve(&mut row.found);
    }

    /// Calls `on` with each place worth a look, in order; it gives the place to go on from.
    fn sweep(&self, bytes: &[u8], mut on: impl FnMut(usize) -> usize) {
        let mut triggers = Triggers::of(bytes);
        let next_key = |from: usize| secret::next_prefix(bytes, from, &self.keys).unwrap_or(usize::MAX);
        let mut key = if self.kinds.contains(PiiKind::AwsAccessKey) { next_key(0) } else { usize::MAX };
        let mut from = 0;
        loop {
            let trigger = triggers.next(from).unwrap_or(usize::MAX);
            if key < trigger {
                on(key);
                // One byte on: the last letter of a prefix may be the first of another, in the next row.
                key = next_key(key + 1);
            } else if trigger < usize::MAX {
                from = on(trigger).max(trigger + 1);
            } else {
                return;
            }
        }
    }
}

/// Whether a finding lies over a label that redaction left: a label is nobody's name.
fn touches_label(text: &str, finding: &Finding) -> bool {
    let bytes = text.as_bytes();
    let reach = finding.start.saturating_sub(context::LABEL_BYTES_MAX);
    let mut brackets = memchr::memchr_iter(b'[', &bytes[reach..finding.end]).map(|at| reach + at);
    brackets.any(|at| context::label(&bytes[at..]).is_some_and(|length| at + length > finding.start))
}

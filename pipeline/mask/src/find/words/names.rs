//! Names of persons that begin with a capital: given name and surname, with what may stand between and behind.
//!
//! A run of capitalised words is read once, then cut into names by what the lexicon knows of each word. The score grows with
//! the evidence: a given name that is nothing else and a surname that is nothing else are nearly sure; a given name with an
//! unknown word is likely; one that is an ordinary word, too, needs a good surname. What is named after a person (a street, a
//! brewery, a beer) is none. A given name alone counts only where [`context`](super::context) speaks for it.

use super::super::kind::{Finding, PiiKind};
use super::context;
use super::lexicon::is;
use super::word::{Shape, Text, Word};

/// Words of a run looked at together; a longer run is cut.
const RUN_WORDS_MAX: usize = 10;
/// What is less sure is not reported.
pub(super) const SCORE_MIN: f32 = 0.5;

/// Capitalised words with single blanks between them, and the connectors in lower case among them.
pub(super) struct Run {
    words: [Option<Word>; RUN_WORDS_MAX],
    length: usize,
}

impl Run {
    const EMPTY: Self = Self { words: [None; RUN_WORDS_MAX], length: 0 };

    /// The run that begins with the capital at `at`.
    pub(super) fn read(text: &Text, at: usize) -> Option<Self> {
        let mut run = Self::EMPTY;
        run.fill(text, text.name_word(at)?);
        Some(run)
    }

    fn fill(&mut self, text: &Text, first: Word) {
        self.push(first);
        let mut last = first;
        let mut connectors = 0;
        while self.length < RUN_WORDS_MAX {
            let Some(next) = next_in_run(text, &last) else { break };
            connectors = if next.is_capital() { 0 } else { connectors + 1 };
            if connectors > 2 || next.has(is::KEYWORD) && !next.has(is::NAME) && !next.is_initial() {
                break;
            }
            self.push(next);
            last = next;
        }
        while self.length > 1 && self.at(self.length - 1).is_some_and(|word| !word.is_capital()) {
            self.length -= 1;
        }
    }

    fn push(&mut self, word: Word) {
        self.words[self.length] = Some(word);
        self.length += 1;
    }

    pub(super) fn at(&self, index: usize) -> Option<&Word> {
        self.words[..self.length].get(index)?.as_ref()
    }

    pub(super) fn end(&self) -> usize {
        self.at(self.length - 1).map_or(0, |word| word.end)
    }
}

fn next_in_run(text: &Text, word: &Word) -> Option<Word> {
    if word.closed {
        return None;
    }
    let dotted = text.byte(word.end) == b'.' && (word.is_initial() || word.has(is::SUFFIX));
    let behind = word.end + usize::from(dotted);
    let start = text.skip_blanks(behind);
    if start == behind && !(dotted && word.is_initial()) {
        return None;
    }
    if text.is_capital(start) {
        return text.name_word(start);
    }
    let next = text.word(start)?;
    (next.has(is::CONNECTOR) && text.byte(next.end) == b' ').then_some(next)
}

/// Reports the names of the run that begins with the capital at `at`; returns where the run ends.
pub(super) fn find(text: &Text, at: usize, out: &mut Vec<Finding>) -> usize {
    let Some(first) = text.name_word(at) else { return at + 1 };
    // Most capitals: one word, no name.
    if !first.has(is::NAME) && next_in_run(text, &first).is_none() {
        return first.end;
    }
    let mut run = Run::EMPTY;
    run.fill(text, first);
    let mut index = 0;
    while let Some(first) = run.at(index) {
        let Some(name) = Name::at(text, &run, index) else {
            index += 1;
            continue;
        };
        let score = if name.length == 1 { alone(text, &run, index) } else { in_place(text, &run, index, &name) };
        if score >= SCORE_MIN {
            out.push(Finding { kind: PiiKind::Name, start: first.start, end: name.end, score });
        }
        index += name.length;
    }
    if let Some(finding) = context::surname_first(text, &run) {
        let end = finding.end;
        out.push(finding);
        return end;
    }
    run.end()
}

/// Words of a run that may be a name.
pub(super) struct Name {
    /// How many words.
    pub(super) length: usize,
    pub(super) end: usize,
    score: f32,
    /// Whether the evidence is thin enough that the first word of a sentence does not count.
    thin: bool,
}

/// How sure a word is a given name: 3 nothing else, 2 an ordinary word too, 1 a frequent one, 0 not in the list.
pub(super) fn given(word: &Word) -> u8 {
    match word {
        word if !word.has(is::GIVEN) => 0,
        word if word.has(is::STOP | is::BEER | is::COMPANY | is::LANDMARK | is::INSTITUTION) => 1,
        word if word.has(is::ORDINARY | is::PLACE) => 2,
        _ => 3,
    }
}

/// The same for surnames.
pub(super) fn surname(word: &Word) -> u8 {
    match word {
        word if !word.has(is::SURNAME) => 0,
        word if word.has(is::BEER | is::COMPANY) => 1,
        word if word.has(is::ORDINARY | is::STOP | is::PLACE | is::LANDMARK | is::INSTITUTION) => 2,
        _ => 3,
    }
}

/// Whether a word in no list may be part of a name.
pub(super) fn is_unknown(word: &Word) -> bool {
    word.flags & (is::NAME | is::BLOCKED) == 0 && word.shape == Shape::Title && word.letters >= 3
}

/// What was seen behind the first word.
#[derive(Default)]
struct Evidence {
    surname: u8,
    given: bool,
    unknown: usize,
    initial: bool,
    connector: bool,
    suffix: bool,
}

impl Name {
    /// The longest name that begins with word `index` of a run. A given name alone is one of length 1.
    pub(super) fn at(text: &Text, run: &Run, index: usize) -> Option<Self> {
        let first = run.at(index)?;
        if !first.is_capital() || first.is_initial() || first.letters < 2 {
            return None;
        }
        if !first.has(is::NAME) && !is_unknown(first) {
            return None;
        }
        // "Chef João Silva": the name begins at the given name.
        let later = |offset: usize, is: fn(&Word) -> u8| run.at(index + offset).map_or(0, is);
        if given(first) == 0 && later(1, given) == 3 && later(2, surname) > 1 {
            return None;
        }
        let mut seen = Evidence::default();
        let mut next = index + 1;
        let mut end = first.end;
        while let Some(taken) = take(text, run, next, given(first), &mut seen) {
            next += taken;
            end = run.at(next - 1)?.end;
        }
        let (score, thin) = score(first, &seen)?;
        Some(Self { length: next - index, end, score, thin })
    }
}

/// How many words from `index` on belong to the name in front of them: none, one, or connectors with the word behind.
fn take(text: &Text, run: &Run, index: usize, first: u8, seen: &mut Evidence) -> Option<usize> {
    let word = run.at(index)?;
    if seen.suffix {
        return None;
    }
    if !word.is_capital() || word.has(is::CONNECTOR) && word.shape == Shape::Upper && run.at(index + 1).is_some() {
        return take_connected(run, index, seen);
    }
    if word.has(is::SUFFIX) && (seen.surname > 0 || seen.given) {
        seen.suffix = true;
        return Some(1);
    }
    if word.is_initial() {
        let inside = run.at(index + 1).is_some_and(|next| surname(next) > 1 || is_unknown(next) || next.is_initial());
        let last = run.at(index + 1).is_none() && text.byte(word.end) == b'.';
        seen.initial = true;
        return (inside || last && seen.surname == 0 && first == 3).then_some(1);
    }
    match (surname(word), given(word)) {
        (1, _) if seen.surname > 0 || run.at(index + 1).is_some() => return None,
        (0, 0) => return take_unknown(run, index, seen),
        (0, known) if seen.surname > 0 || known < 2 => return None,
        (0, _) => seen.given = true,
        (strength, _) => seen.surname = seen.surname.max(strength),
    }
    Some(1)
}

/// "da Silva", "de la Cruz"; "e" only between two surnames, as it also joins two persons.
fn take_connected(run: &Run, index: usize, seen: &mut Evidence) -> Option<usize> {
    let mut next = index;
    while run.at(next).is_some_and(|word| word.has(is::CONNECTOR) && !(word.shape == Shape::Title)) {
        next += 1;
    }
    let word = run.at(next)?;
    let joins = run.at(index).is_some_and(|word| word.letters == 1);
    let strength = surname(word);
    if next == index || joins && (seen.surname == 0 || strength == 0) {
        return None;
    }
    match strength {
        0 if given(word) == 0 && !is_unknown(word) => return None,
        0 => seen.unknown += 1,
        _ => seen.surname = seen.surname.max(strength),
    }
    seen.connector = true;
    Some(next + 1 - index)
}

/// One unknown word counts, behind a surname too; but not if a thing follows, as then the name is that of the thing.
fn take_unknown(run: &Run, index: usize, seen: &mut Evidence) -> Option<usize> {
    let word = run.at(index)?;
    if seen.unknown > 0 || !is_unknown(word) {
        return None;
    }
    seen.unknown += 1;
    Some(1)
}

/// The score of a first word with what follows, and whether that is thin. None if it is no name at all.
fn score(first: &Word, seen: &Evidence) -> Option<(f32, bool)> {
    let shouted = first.shape == Shape::Upper;
    let (base, thin) = match (given(first), seen.surname) {
        (3, 3) => (0.95, false),
        (3, 2) => (0.88, false),
        (3, 1) => (0.55, true),
        (3, _) if seen.given => (0.75, false),
        (3, _) if seen.unknown > 0 && (!shouted || seen.connector) => (0.6, false),
        (3, _) if seen.initial => (0.55, false),
        (2, 3) => (0.88, false),
        (2, 2) => (0.55, true),
        (2, _) if seen.given => (0.55, true),
        (1, 3) => (0.7, false),
        (0, 2..=3) if seen.connector && !shouted => (0.75, false),
        (0, 3) if !shouted => (0.5, true),
        (1.., 0) => (0.0, true),
        _ => return None,
    };
    let bonus = if seen.connector || seen.suffix || seen.initial && seen.surname > 0 { 0.04 } else { 0.0 };
    Some((base + if base > 0.0 { bonus } else { 0.0 }, thin))
}

/// The score of a name of several words where it stands: 0 if it is part of the name of a thing.
fn in_place(text: &Text, run: &Run, index: usize, name: &Name) -> f32 {
    // "Campos do Jordão": a connector does not count.
    let second = (index + 1..).map_while(|index| run.at(index)).find(|word| word.is_capital());
    let (Some(first), Some(second)) = (run.at(index), second) else { return 0.0 };
    if text.lexicon.is_brand(first.key, second.key) || is_thing(text, run, index, name) {
        return 0.0;
    }
    // "Lincoln Park", "Jackson Hill".
    let last = run.at(index + name.length - 1);
    if name.thin && last.is_some_and(|word| word.has(is::LANDMARK)) {
        return 0.0;
    }
    if name.thin && index == 0 && context::is_sentence_start(text, first.start) {
        return 0.0;
    }
    name.score
}

/// Whether what stands around a name makes it that of a thing: "Anderson Valley", "Hospital João Paulo", "Baker & Sons".
fn is_thing(text: &Text, run: &Run, index: usize, name: &Name) -> bool {
    let next = run.at(index + name.length);
    if next.is_some_and(|word| word.has(is::THING) && !word.has(is::GIVEN)) {
        return true;
    }
    // "Thomas Hardy's Ale"; but "John Smith's review".
    let owned = text.apostrophe(name.end).map(|length| text.skip_blanks(name.end + length + 1));
    if owned.is_some_and(|next| next > name.end + 2 && text.is_capital(next)) {
        return true;
    }
    context::is_company(text, name.end) || context::is_institution(text, run.at(index).map_or(0, |word| word.start))
}

/// The score of a given name alone.
fn alone(text: &Text, run: &Run, index: usize) -> f32 {
    let Some(word) = run.at(index) else { return 0.0 };
    if given(word) < 3 || word.shape != Shape::Title || text.byte(word.end) == b'-' {
        return 0.0;
    }
    let name = Name { length: 1, end: word.end, score: 0.0, thin: true };
    if is_thing(text, run, index, &name) { 0.0 } else { context::alone(text, word) }
}

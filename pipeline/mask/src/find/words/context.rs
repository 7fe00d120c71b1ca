//! What the words around a name say: a title, a greeting, "my name is", the first word of a sentence, the name of a thing.
//!
//! After a title or an announcement, a name counts in lower case too. Looks a few words back at most. A title is not part of
//! the name, as with Comprehend's `NAME`.

use super::super::kind::{Finding, PiiKind};
use super::lexicon::{Key, is, key};
use super::names::{Name, Run, given, is_unknown, surname};
use super::word::{Shape, Text, Word};

/// Bytes between two words that still stand together.
const GAP_BYTES_MAX: usize = 4;
/// Words of a name behind a title or an announcement.
const NAME_WORDS_MAX: usize = 6;
/// Scores of an introduced name: one of the lists, one that is in none, one in lower case.
const SCORE_KNOWN: f32 = 0.9;
const SCORE_UNKNOWN: f32 = 0.75;
const SCORE_LOWER: f32 = 0.8;

/// Whether a sentence or a line begins at `at`.
pub(super) fn is_sentence_start(text: &Text, at: usize) -> bool {
    let blanks =
        text.bytes[..at].iter().rev().take_while(|byte| matches!(byte, b' ' | b'"' | b'\'' | b'(' | b'*')).count();
    at == blanks
        || matches!(text.byte(at - blanks - 1), b'.' | b'!' | b'?' | b'\n' | b'\r' | b'\t' | b':' | b';' | b'>')
}

/// "Baker & Sons", "Smith Ltda": a company's words behind the name, in any case.
pub(super) fn is_company(text: &Text, end: usize) -> bool {
    let mut at = text.skip_blanks(end);
    if text.byte(at) == b',' {
        at = text.skip_blanks(at + 1);
    }
    let joined = text.byte(at) == b'&';
    if joined {
        at = text.skip_blanks(at + 1);
    }
    if at == end {
        return false;
    }
    // In lower case only what is no ordinary word: "o João comprou", "Ana works".
    text.word(at).is_some_and(|word| {
        let large = word.is_capital() && (joined || at <= end + 2);
        let small = [key("ltda"), key("inc"), key("llc"), key("gmbh"), key("eireli")].contains(&word.key);
        word.has(is::COMPANY) && !word.has(is::NAME) && large || small
    })
}

/// "Hospital João Paulo", "rua da Maria Antônia": what stands in front is named after the person.
pub(super) fn is_institution(text: &Text, start: usize) -> bool {
    let Some(before) = adjacent_word(text, start) else { return false };
    if before.has(is::INSTITUTION) {
        return before.is_capital() || !before.has(is::STOP | is::ARTICLE) || before.has(is::STREET_PT);
    }
    let connected = before.has(is::CONNECTOR) && before.shape == Shape::Lower && before.letters == 2;
    connected && adjacent_word(text, before.start).is_some_and(|word| word.has(is::INSTITUTION) && word.is_capital())
}

/// The word in front of `start` with nothing but blanks, or the dot of an abbreviation, between.
fn adjacent_word(text: &Text, start: usize) -> Option<Word> {
    let word = text.word_before(start, 2)?;
    let gap = &text.bytes[word.end..start];
    (gap == b" " || gap == b". " && word.letters <= 4).then_some(word)
}

/// The score of a given name that stands alone.
pub(super) fn alone(text: &Text, name: &Word) -> f32 {
    if acts(text, name.end) {
        return 0.55;
    }
    let Some(before) = text.word_before(name.start, GAP_BYTES_MAX) else { return 0.0 };
    let gap = &text.bytes[before.end..name.start];
    let blank = gap == b" " || gap == b": ";
    if before.has(is::CALLS) && gap.iter().all(|byte| matches!(byte, b' ' | b',' | b':' | b'\n' | b'\r' | b'!' | b'-'))
    {
        return if blank { 0.65 } else { 0.6 };
    }
    let thanked =
        before.key == key("you") && text.word_before(before.start, 1).is_some_and(|word| word.key == key("thank"));
    if thanked {
        return 0.6;
    }
    if before.key == key("for") && text.word_before(before.start, 1).is_some_and(|word| word.has(is::CALLS)) {
        return 0.6;
    }
    if before.key == key("is") && blank {
        let subject = text.word_before(before.start, 1).map_or(0, |word| word.key);
        return if [key("this"), key("name"), key("friend")].contains(&subject) { 0.65 } else { 0.0 };
    }
    if gap == b" "
        && before.has(is::ARTICLE)
        && (before.shape == Shape::Lower || before.key == key("seu"))
        && name.has(is::GIVEN_PT)
    {
        0.5
    } else {
        0.0
    }
}

/// Whether the word behind a name is what only a person does.
fn acts(text: &Text, end: usize) -> bool {
    let next = text.skip_blanks(end);
    next == end + 1 && text.word(next).is_some_and(|word| word.has(is::ACTS) && word.shape == Shape::Lower)
}

/// "Silva, João": the surname ends its run, the given name follows a comma.
pub(super) fn surname_first(text: &Text, run: &Run) -> Option<Finding> {
    let last = run.at(0)?;
    if run.at(1).is_some() || surname(last) < 3 || last.closed || !text.bytes[last.end..].starts_with(b", ") {
        return None;
    }
    let behind = Run::read(text, last.end + 2).filter(|_| text.is_capital(last.end + 2))?;
    let first = behind.at(0)?;
    let middle =
        (1..).take_while(|index| behind.at(*index).is_some_and(|word| word.is_initial() || given(word) > 1)).count();
    if given(first) < 3 || behind.at(middle + 1).is_some() {
        return None;
    }
    let end = behind.at(middle).map_or(first.end, |word| word.end);
    Some(Finding { kind: PiiKind::Name, start: last.start, end, score: 0.7 })
}

/// The name that a title or an announcement at `keyword` introduces.
pub(super) fn introduced(text: &Text, keyword: &Word) -> Option<Finding> {
    if matches!(text.byte(keyword.start.wrapping_sub(1)), b'_' | b'-' | b'.' | b'/' | b'@') {
        return None;
    }
    // "I miss Zombie Dust."
    if keyword.key == key("miss") && !keyword.is_capital() {
        return None;
    }
    if keyword.has(is::TITLE) {
        let behind = keyword.end + usize::from(text.byte(keyword.end) == b'.');
        let start = text.skip_blanks(behind);
        let saint = text.word_before(keyword.start, 1).is_some_and(|word| word.key == key("nossa"));
        let brand = saint || text.word(start).is_some_and(|next| text.lexicon.is_brand(keyword.key, next.key));
        return (start > keyword.end && !brand).then(|| person(text, start, true)).flatten();
    }
    let (start, sure) = announced(text, keyword)?;
    person(text, start, sure)
}

/// Where the announced name begins, and whether any capitalised word will do.
fn announced(text: &Text, keyword: &Word) -> Option<(usize, bool)> {
    const NAMES: [Key; 2] = [key("name"), key("nome")];
    const CALLED: [Key; 2] = [key("chamo"), key("chama")];
    const BE: [Key; 5] = [key("is"), key("e"), key("eh"), key("was"), key("era")];
    let before = text.word_before(keyword.start, 1);
    if CALLED.contains(&keyword.key) {
        let reflexive = before.is_some_and(|word| [key("me"), key("se")].contains(&word.key));
        return reflexive.then(|| (text.skip_blanks(keyword.end), true));
    }
    let mut at = keyword.end;
    let mut sure = true;
    if NAMES.contains(&keyword.key) {
        const WHOSE: [Key; 16] = [
            key("my"),
            key("full"),
            key("first"),
            key("last"),
            key("customer"),
            key("client"),
            key("his"),
            key("her"),
            key("contact"),
            key("meu"),
            key("seu"),
            key("guest"),
            key("legal"),
            key("real"),
            key("patient"),
            key("billing"),
        ];
        sure = before.is_none_or(|word| WHOSE.contains(&word.key) || is_sentence_start(text, keyword.start));
        for _ in 0..3 {
            let next = text.word(text.skip_blanks(at)).filter(|next| next.start <= at + 1 && next.start > at);
            match next {
                Some(next) if BE.contains(&next.key) => return Some((text.skip_blanks(next.end), sure)),
                Some(next) if next.has(is::BEER | is::COMPANY | is::INSTITUTION) || next.is_capital() => return None,
                Some(next) => at = next.end,
                None => break,
            }
        }
    } else if let Some(by) =
        text.word(text.skip_blanks(at)).filter(|by| [key("by"), key("por"), key("pelo")].contains(&by.key))
    {
        return Some((text.skip_blanks(by.end), true));
    }
    let punctuation = text.bytes[at..]
        .iter()
        .take(5)
        .take_while(|byte| matches!(byte, b':' | b'=' | b'"' | b'\'' | b' ' | b',' | b'\n'))
        .count();
    let marked = text.bytes[at..at + punctuation].iter().any(|byte| matches!(byte, b':' | b'=' | b',' | b'\n'));
    marked.then_some((at + punctuation, sure))
}

/// A name at `start` in any case: known words and connectors, and where it is `sure` and capitalised, unknown ones.
fn person(text: &Text, start: usize, sure: bool) -> Option<Finding> {
    let first = text.name_word(start).filter(|_| text.is_start(start))?;
    if !first.is_capital() {
        return lower(text, &first);
    }
    let run = Run::read(text, start)?;
    if run.at(1).is_some_and(|second| text.lexicon.is_brand(first.key, second.key)) {
        return None;
    }
    let known = given(&first) + surname(&first) > 0;
    let (length, end) = match Name::at(text, &run, 0) {
        Some(name) => (name.length, name.end),
        None => {
            let words = (1..4).map_while(|index| run.at(index)).take_while(|word| person_word(word)).count();
            (words + 1, run.at(words).map_or(first.end, |word| word.end))
        }
    };
    let unknown = sure && (is_unknown(&first) || first.is_initial() && length > 1);
    let thing = run.at(length).is_some_and(|word| word.has(is::THING) && !word.has(is::NAME));
    let score = if known { SCORE_KNOWN } else { SCORE_UNKNOWN };
    (!thing && (known || unknown)).then_some(Finding { kind: PiiKind::Name, start, end, score })
}

fn person_word(word: &Word) -> bool {
    word.is_initial() || word.has(is::NAME) || is_unknown(word)
}

/// A name in lower case: known names only, the first of them nothing else than a name if it stands alone.
fn lower(text: &Text, first: &Word) -> Option<Finding> {
    if given(first).max(surname(first)) < 2 || first.closed {
        return None;
    }
    let (mut end, mut at, mut names) = (first.end, first.end, 1);
    for _ in 1..NAME_WORDS_MAX {
        let Some(next) = text.word(text.skip_blanks(at)).filter(|next| next.start > at && next.shape == Shape::Lower)
        else {
            break;
        };
        at = next.end;
        if next.has(is::CONNECTOR) && next.letters > 1 {
            continue;
        }
        if given(&next).max(surname(&next)) < 2 {
            break;
        }
        end = next.end;
        names += 1;
    }
    let sure = names > 1 || given(first) == 3 || surname(first) == 3;
    sure.then_some(Finding { kind: PiiKind::Name, start: first.start, end, score: SCORE_LOWER })
}

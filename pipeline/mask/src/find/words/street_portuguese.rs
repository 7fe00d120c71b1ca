//! Street addresses as Brazilians write them: kind of street, its name, a number, and what may follow.
//!
//! "Rua das Flores, 123, apto 45 - Centro, São Paulo - SP". A postal code behind is a kind of its own, and left to it. A kind of street without a name and a number is none.
//! A name in lower case needs the comma or the "nº" in front of the number. What follows the number belongs to the address
//! as long as it is a part of a building, a quarter, a city or a state.

use super::super::kind::{Finding, PiiKind};
use super::lexicon::{Key, is, key};
use super::word::{Shape, Text, Word};

/// Words of a street's name.
const NAME_WORDS_MAX: usize = 9;
/// Parts behind the number.
const PARTS_MAX: usize = 7;
/// Kinds of street that are other words, too: with no dot behind them they need a mark in front of the number.
const DOUBTFUL: [Key; 5] = [key("via"), key("al"), key("est"), key("rod"), key("r")];
const STATES: &[u8] = b"AC AL AM AP BA CE DF ES GO MA MG MS MT PA PB PE PI PR RJ RN RO RR RS SC SE SP TO ";

/// The address whose kind of street is the word `street`.
pub(super) fn find(text: &Text, street: &Word) -> Option<Finding> {
    let abbreviated = street.letters <= 5 && text.byte(street.end) == b'.';
    let behind = street.end + usize::from(abbreviated);
    let start = text.skip_blanks(behind);
    if start == street.end || street.letters == 1 && !abbreviated && !text.is_capital(start) {
        return None;
    }
    let name = StreetName::read(text, start)?;
    let number = house_number(text, name.end)?;
    if !abbreviated && !number.marked && DOUBTFUL.contains(&street.key) {
        return None;
    }
    let follows = text.word(text.skip_blanks(number.end)).filter(|word| word.start > number.end);
    let counts = |word: Word| word.shape == Shape::Lower && !word.has(is::UNIT) && word.key != key("bairro");
    if !name.capital && !name.digits && (!number.marked || follows.is_some_and(counts) && !number.named) {
        return None;
    }
    let (end, parts) = parts(text, number.end);
    let score = match (name.capital, number.marked) {
        (true, true) => 0.88,
        (true, false) => 0.78,
        (false, _) => 0.65,
    };
    let score = if parts > 0 { score + 0.08 } else { score };
    Some(Finding { kind: PiiKind::Address, start: street.start, end, score })
}

struct StreetName {
    end: usize,
    /// A word with a capital is in it.
    capital: bool,
    /// It begins with digits: "Rua 25 de Março", "Rua 15".
    digits: bool,
}

impl StreetName {
    fn read(text: &Text, start: usize) -> Option<Self> {
        let mut name = Self { end: start, capital: false, digits: false };
        let mut at = start;
        for index in 0..NAME_WORDS_MAX {
            if name.capital && index > 0 && house_number(text, name.end).is_some() {
                break;
            }
            if let Some(end) = digits_of_name(text, at, index) {
                name.digits |= index == 0;
                name.end = end;
            } else if let Some(word) = word_of_name(text, at, name.digits) {
                name.capital |= word.is_capital();
                name.end = word.end;
                if text.byte(word.end) == b'.' && word.letters <= 4 && text.byte(word.end + 1) == b' ' {
                    at = word.end + 1;
                    name.end = if text.is_letter(at + 1) { at } else { word.end };
                }
            } else {
                break;
            }
            let next = text.skip_blanks(name.end);
            if next == name.end {
                break;
            }
            at = next;
        }
        (name.end > start).then_some(name)
    }
}

/// Digits that are part of the name: the first ones with "de" or another number behind, or those of a road ("BR-101").
fn digits_of_name(text: &Text, at: usize, index: usize) -> Option<usize> {
    let end = text.digits(at, 4)?;
    if text.is_letter(end) {
        return None;
    }
    let behind = text.skip_blanks(end);
    let dated = text.word(behind).is_some_and(|word| word.start > end && word.key == key("de"));
    let road = text.word(behind).is_some_and(|word| word.key == key("km"));
    (dated || road || index == 0 && house_number(text, end).is_some_and(|number| number.marked)).then_some(end)
}

/// A word of the name; in lower case none that opens sentences, unless the name is a date.
fn word_of_name(text: &Text, at: usize, dated: bool) -> Option<Word> {
    let mut word = text.word(at)?;
    if let Some(rest) = text.apostrophe(word.end).and_then(|length| text.word(word.end + length)) {
        (word.end, word.letters) = (rest.end, word.letters + rest.letters);
    }
    if text.byte(word.end) == b'-' {
        match text.word(word.end + 1) {
            Some(rest) => word.end = rest.end,
            None => word.end = text.digits(word.end + 1, 3).unwrap_or(word.end),
        }
    }
    let marker = [key("n"), key("no"), key("num"), key("numero"), key("km"), key("s")].contains(&word.key);
    let lower = word.shape == Shape::Lower;
    let speech = lower && !dated && word.has(is::STOP | is::ACTS) && !word.has(is::CONNECTOR) && !word.has(is::NAME);
    (!(marker && lower || speech)).then_some(word)
}

struct HouseNumber {
    end: usize,
    /// A comma or a word for number stands in front.
    marked: bool,
    /// The word for number does.
    named: bool,
}

/// ", 123", " nº 123-A", ", s/n", " km 12".
fn house_number(text: &Text, end: usize) -> Option<HouseNumber> {
    let mut at = text.skip_blanks(end);
    let comma = text.byte(at) == b',' || text.byte(at) == b'-' && at > end;
    if comma {
        at = text.skip_blanks(at + 1);
    } else if at == end {
        return None;
    }
    let marker = marker_of_number(text, at);
    let at = marker.map_or(at, |marker| text.skip_blanks(marker));
    let without = text.bytes[at..].get(..3).is_some_and(|bytes| bytes.eq_ignore_ascii_case(b"s/n"));
    let found = |end| HouseNumber { end, marked: comma || marker.is_some(), named: marker.is_some() };
    if without && !text.is_letter(at + 3) {
        return Some(found(at + 3));
    }
    let mut number = text.digits(at, 5)?;
    if text.byte(number) == b'.' && text.digits(number + 1, 3) == Some(number + 4) {
        number += 4;
    }
    let suffix = number + usize::from(text.byte(number) == b'-');
    if text.byte(suffix).is_ascii_alphabetic() && !text.is_letter(suffix + 1) && !text.is_digit(suffix + 1) {
        number = suffix + 1;
    }
    let glued = text.is_letter(number)
        || matches!(text.byte(number), b'%' | b':' | b'/' | b'\'') && !text.is_letter(number + 1)
        || matches!(text.byte(number), b'.' | b',') && text.is_digit(number + 1);
    (!glued).then(|| found(number))
}

/// Behind "nº", "n°", "n.", "no.", "num.", "número", "#" or "km".
fn marker_of_number(text: &Text, at: usize) -> Option<usize> {
    if text.byte(at) == b'#' {
        return Some(at + 1);
    }
    let word = text.word(at)?;
    let spelled = [key("n"), key("no"), key("nr"), key("num"), key("numero"), key("km")].contains(&word.key);
    let mut end = word.end;
    while matches!(text.byte(end), b'.') || text.byte(end) == 0xC2 && matches!(text.byte(end + 1), 0xB0 | 0xBA) {
        end += if text.byte(end) == b'.' { 1 } else { 2 };
    }
    spelled.then_some(end)
}

/// Where the parts behind the number end, and how many there are.
fn parts(text: &Text, number: usize) -> (usize, usize) {
    let (mut end, mut at, mut count) = (number, number, 0);
    for _ in 0..PARTS_MAX {
        let (next, separator) = separator(text, at);
        if next == at {
            break;
        }
        if let Some(part) = building_part(text, next) {
            (end, at, count) = (part, part, count + 1);
        } else if separator == Separator::Blank {
            break;
        } else if let Some(state) = state(text, next) {
            (end, at, count) = (state, state, count + 1);
        } else if let Some((part, certain)) = quarter_or_city(text, next) {
            at = part;
            if certain || separator == Separator::Dash {
                (end, count) = (part, count + 1);
            }
        } else {
            break;
        }
    }
    (end, count)
}

#[derive(PartialEq, Eq)]
enum Separator {
    Blank,
    Comma,
    Dash,
}

fn separator(text: &Text, at: usize) -> (usize, Separator) {
    let mark = text.skip_blanks(at);
    let (behind, separator) = match text.byte(mark) {
        b',' | b'\n' | b'(' => (mark + 1, Separator::Comma),
        b'/' | b'-' => (mark + 1, Separator::Dash),
        0xE2 if text.bytes[mark..].starts_with("–".as_bytes()) => (mark + 3, Separator::Dash),
        b'.' if mark == at && text.byte(mark + 1) == b' ' => (mark + 1, Separator::Blank),
        _ => return (mark, Separator::Blank),
    };
    (text.skip_blanks(behind), separator)
}

/// "apto 45", "bloco B", "fundos".
fn building_part(text: &Text, at: usize) -> Option<usize> {
    let word = text.word(at).filter(|word| word.has(is::UNIT))?;
    let behind = text.skip_blanks(word.end + usize::from(text.byte(word.end) == b'.'));
    let alone = [key("fundos"), key("cobertura"), key("terreo"), key("sobreloja")].contains(&word.key);
    let number = text.digits(behind, 5).map(|end| end + usize::from(text.byte(end).is_ascii_uppercase()));
    let letter =
        text.word(behind).filter(|next| next.is_initial()).map(|next| text.digits(next.end, 4).unwrap_or(next.end));
    let named = text.word(behind).filter(|next| next.shape == Shape::Title && word.letters > 4 && !next.has(is::STOP));
    let numbered = number.or(letter).filter(|end| *end > word.end + 1 && !text.is_letter(*end));
    numbered.or(named.map(|next| next.end)).or(alone.then_some(word.end))
}

fn state(text: &Text, at: usize) -> Option<usize> {
    let word = text.word(at).filter(|word| word.shape == Shape::Upper && word.end == at + 2)?;
    STATES.chunks(3).any(|state| state[..2] == text.bytes[at..word.end]).then_some(word.end)
}

/// Capitalised words with connectors; certain if they are known to name a place.
fn quarter_or_city(text: &Text, at: usize) -> Option<(usize, bool)> {
    let first = text.word(at).filter(|word| word.is_capital() || word.key == key("bairro"))?;
    if first.has(is::STREET_PT) || first.key == key("cep") {
        return None;
    }
    let mut certain = first.has(is::PLACE | is::INSTITUTION) || first.key == key("bairro");
    let (mut end, mut next) = (first.end, first.end);
    for _ in 0..4 {
        let dot =
            usize::from(text.byte(next) == b'.' && text.is_capital(text.skip_blanks(next + 1)) && next == first.end);
        let Some(word) = text.word(text.skip_blanks(next + dot)).filter(|word| word.start > next) else { break };
        next = word.end;
        if word.is_capital() {
            certain |= word.has(is::PLACE);
            end = word.end;
        } else if !word.has(is::CONNECTOR) {
            break;
        }
    }
    Some((end, certain))
}

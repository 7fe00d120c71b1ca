//! Street addresses as written in English: number, name, kind of street, and what may follow; post-office boxes.
//!
//! "1250 N Maple Ave, Apt 4, Portland, OR 97201". The number comes first and each word of the name has a capital, or all of it
//! is in lower case and the kind of street leaves no doubt. A kind of street without a number is no address. "PO Box 12" and
//! "Caixa Postal 12" are addresses, too.

use super::super::kind::{Finding, PiiKind};
use super::lexicon::{Key, is, key};
use super::word::{Shape, Text, Word};

/// Words between the number and the kind of street.
const NAME_WORDS_MAX: usize = 5;
const STATES: &[u8] =
    b"AL AK AZ AR CA CO CT DC DE FL GA HI IA ID IL IN KS KY LA MA MD ME MI MN MO MS MT NC ND NE NH NJ NM NV \
                        NY OH OK OR PA RI SC SD TN TX UT VA VT WA WI WV WY PR ON QC BC AB MB SK NS NB ";

/// The address whose number begins at `at`.
pub(super) fn find(text: &Text, at: usize) -> Option<Finding> {
    let number = house_number(text, at).filter(|_| !is_year(text, at))?;
    let street = street(text, number)?;
    if street.lower && is_behind_article(text, at) {
        return None;
    }
    let (end, certain) = (street.end, street.certain);
    let (end, parts) = parts(text, end);
    let score = if certain { 0.82 } else { 0.6 };
    Some(Finding { kind: PiiKind::Address, start: at, end, score: if parts > 0 { score + 0.12 } else { score } })
}

/// The box that the word `post` announces: "PO Box 12", "P.O. Box 12", "Post Office Box 12", "Caixa Postal 12".
pub(super) fn post_box(text: &Text, post: &Word) -> Option<Finding> {
    let step = |word: Word| text.skip_blanks(word.end + usize::from(text.byte(word.end) == b'.'));
    let mut next = text.word(step(*post))?;
    if [key("o"), key("office")].contains(&next.key) {
        next = text.word(step(next))?;
    }
    if ![key("box"), key("postal")].contains(&next.key) {
        return None;
    }
    let mut at = text.skip_blanks(next.end);
    at += usize::from(matches!(text.byte(at), b'#' | b':'));
    let number = text.digits(text.skip_blanks(at), 6).filter(|end| !text.is_letter(*end))?;
    let (end, parts) = parts(text, number);
    let score = if parts > 0 { 0.95 } else { 0.85 };
    Some(Finding { kind: PiiKind::Address, start: post.start, end, score })
}

/// The end of the blank behind a house number at `at`: "12", "12B", "12-14".
fn house_number(text: &Text, at: usize) -> Option<usize> {
    let before = text.byte(at.wrapping_sub(1));
    if at > 0
        && (matches!(before, b'$' | b'.' | b'/' | b'-' | b':' | b'%' | b'_' | b'+')
            || before == b',' && text.is_digit(at.wrapping_sub(2)))
    {
        return None;
    }
    let mut end = text.digits(at, 6)?;
    match text.byte(end) {
        b' ' => {}
        b'-' => end = text.digits(end + 1, 4)?,
        letter if letter.is_ascii_alphabetic() => end += 1,
        _ => return None,
    }
    (text.byte(end) == b' ').then(|| text.skip_blanks(end))
}

/// "In 1998 John Court": a year with a word of time in front.
fn is_year(text: &Text, at: usize) -> bool {
    const IN: [Key; 7] = [key("in"), key("since"), key("until"), key("by"), key("em"), key("desde"), key("during")];
    let century = text.bytes[at..].starts_with(b"19") || text.bytes[at..].starts_with(b"20");
    let year = century && text.digits(at, 4) == Some(at + 4);
    year && text.word_before(at, 1).is_some_and(|word| IN.contains(&word.key))
}

/// "A 4 lane highway": a thing of some size, not a house.
fn is_behind_article(text: &Text, at: usize) -> bool {
    const ARTICLES: [Key; 3] = [key("a"), key("an"), key("the")];
    text.word_before(at, 1).is_some_and(|word| ARTICLES.contains(&word.key))
}

struct Street {
    end: usize,
    /// Its kind leaves no doubt.
    certain: bool,
    /// Its name is in lower case.
    lower: bool,
}

/// The street whose name begins at `at`.
fn street(text: &Text, at: usize) -> Option<Street> {
    let mut at = at;
    let mut best: Option<(usize, bool)> = None;
    let mut name = Seen::default();
    for _ in 0..NAME_WORDS_MAX + 2 {
        let Some(word) = word_at(text, at) else {
            let Some(next) = ordinal(text, at, name.words == 0) else { break };
            at = next;
            name.words += 1;
            continue;
        };
        if let Some(end) = route(text, &word) {
            return Some(Street { end, certain: true, lower: name.lower });
        }
        match kind_of_street(text, &word, &name) {
            Some(kind) => best = Some((word.end, kind)),
            None if best.is_some() || !name.add(&word) => break,
            None => {}
        }
        let dot = usize::from(text.byte(word.end) == b'.' && (word.letters <= 4));
        let next = text.skip_blanks(word.end + dot);
        let direction = word.has(is::DIRECTION) && word.letters <= 2;
        if next == word.end || dot == 1 && best.is_some() && !direction {
            break;
        }
        at = next;
    }
    let (end, certain) = best?;
    if !certain && (name.speech || name.lower) {
        return None;
    }
    Some(Street { end: with_direction(text, end), certain: certain && !name.lower, lower: name.lower })
}

/// What the street's name is made of so far.
#[derive(Default)]
struct Seen {
    words: usize,
    lower: bool,
    /// A word that opens sentences or names a beer is in it.
    speech: bool,
}

impl Seen {
    /// Takes a word into the name; false if it cannot be one.
    fn add(&mut self, word: &Word) -> bool {
        let lower = word.shape == Shape::Lower;
        if self.words > 0 && lower != self.lower && !word.has(is::CONNECTOR) {
            return false;
        }
        if lower && word.has(is::STOP | is::BEER | is::COMPANY) && !word.has(is::NAME | is::DIRECTION) {
            return false;
        }
        self.lower |= lower && self.words == 0;
        self.speech |= word.has(is::STOP | is::BEER) && !word.has(is::DIRECTION);
        self.words += 1;
        self.words <= NAME_WORDS_MAX
    }
}

fn word_at(text: &Text, at: usize) -> Option<Word> {
    let mut word = text.word(at)?;
    while let Some(length) = text.apostrophe(word.end).or((text.byte(word.end) == b'-').then_some(1)) {
        let Some(rest) = text.word(word.end + length) else { break };
        (word.end, word.letters) = (rest.end, word.letters + rest.letters);
    }
    Some(word)
}

/// "5th", "42nd": behind it, where the next word begins. A bare number is no name.
fn ordinal(text: &Text, at: usize, first: bool) -> Option<usize> {
    let end = text.digits(at, 3)?;
    let suffix = text.word(end).filter(|word| word.letters == 2)?;
    let ordinal = [key("st"), key("nd"), key("rd"), key("th")].contains(&suffix.key);
    let next = text.skip_blanks(suffix.end);
    (first || text.is_letter(next)).then_some(next).filter(|next| ordinal && *next > suffix.end)
}

/// Whether a word is the kind of street, and if so whether that leaves no doubt.
fn kind_of_street(text: &Text, word: &Word, name: &Seen) -> Option<bool> {
    if name.words == 0 {
        let alone = word.key == key("broadway") && word.is_capital();
        return alone.then_some(true);
    }
    let certain = word.has(is::STREET_EN);
    if !certain && !word.has(is::STREET_WEAK) || word.is_capital() == name.lower {
        return None;
    }
    // "12 Great St. Patrick's": a saint, not a street.
    let next = text.skip_blanks(word.end + usize::from(text.byte(word.end) == b'.'));
    let saint = word.key == key("st") && name.speech && next > word.end && text.is_capital(next);
    (!saint).then_some(certain)
}

/// "Highway 61", "County Road 12": a road known by its number.
fn route(text: &Text, word: &Word) -> Option<usize> {
    if !word.has(is::ROUTE) || !word.is_capital() {
        return None;
    }
    let mut word = *word;
    for _ in 0..2 {
        let mut at = text.skip_blanks(word.end);
        at += usize::from(text.byte(at) == b'-');
        if let Some(end) = text.digits(at, 4) {
            let known =
                [key("us"), key("highway"), key("hwy"), key("route"), key("rte"), key("road"), key("sr"), key("cr")];
            return (known.contains(&word.key) && !text.is_letter(end)).then_some(end);
        }
        word = text.word(at).filter(|next| next.has(is::ROUTE) && next.is_capital())?;
    }
    None
}

/// "Main St NW": the direction behind, if it is a short one.
fn with_direction(text: &Text, end: usize) -> usize {
    let next = text.skip_blanks(end + usize::from(text.byte(end) == b'.'));
    let direction = text.word(next).filter(|word| word.start > end && word.shape == Shape::Upper && word.letters <= 2);
    direction.filter(|word| word.has(is::DIRECTION) && !text.is_digit(word.end)).map_or(end, |word| word.end)
}

/// Where unit, city, state and postal code behind a street end, and how many of them there are.
fn parts(text: &Text, street: usize) -> (usize, usize) {
    let (mut end, mut count) = (street, 0);
    for _ in 0..2 {
        if let Some(unit) = unit(text, behind_separator(text, end)) {
            (end, count) = (unit, count + 1);
        }
    }
    let at = behind_separator(text, end);
    if at == end {
        return (end, count);
    }
    if let Some((city, known)) = city(text, at) {
        let state_at = behind_separator(text, city);
        if let Some(state) = state_or_code(text, state_at) {
            return (state, count + 2);
        }
        // "12 Oak Road, London": only what is known to be a city, and only behind a comma.
        let comma = text.bytes[end..at].contains(&b',');
        return if known && comma { (city, count + 1) } else { (end, count) };
    }
    (end, count)
}

fn behind_separator(text: &Text, end: usize) -> usize {
    let at = text.skip_blanks(end + usize::from(text.byte(end) == b'.'));
    match text.byte(at) {
        b',' | b'\n' => text.skip_blanks(at + 1),
        _ => at,
    }
}

/// "Apt 4B", "Suite 210", "#3".
fn unit(text: &Text, at: usize) -> Option<usize> {
    let mark = if text.byte(at) == b'#' {
        at + 1
    } else {
        let word = text.word(at).filter(|word| word.has(is::UNIT))?;
        let behind = text.skip_blanks(word.end + usize::from(text.byte(word.end) == b'.'));
        (behind > word.end).then(|| behind + usize::from(text.byte(behind) == b'#'))?
    };
    let letter = text.word(mark).filter(|word| word.is_initial()).map(|word| word.end);
    let number = letter.map_or_else(|| text.digits(mark, 5), |end| Some(text.digits(end, 4).unwrap_or(end)))?;
    let end = number + usize::from(text.byte(number).is_ascii_alphabetic() && !text.is_letter(number + 1));
    (!text.is_letter(end) && !text.is_digit(end)).then_some(end)
}

/// Up to three capitalised words, and whether they are known to name a city.
fn city(text: &Text, at: usize) -> Option<(usize, bool)> {
    let first = text.word(at).filter(|word| word.is_capital())?;
    let (mut end, mut known) = (first.end, first.has(is::PLACE));
    for _ in 0..2 {
        let dot = usize::from(text.byte(end) == b'.' && text.word(at).is_some_and(|word| word.key == key("st")));
        let next = text.skip_blanks(end + dot);
        let Some(word) = text.word(next).filter(|word| next > end && word.is_capital()) else { break };
        if word.shape == Shape::Upper && word.letters == 2 {
            break;
        }
        known |= word.has(is::PLACE);
        end = word.end;
    }
    Some((end, known))
}

/// "OR 97201", "OR", "97201-1234", "SW1A 2AA".
fn state_or_code(text: &Text, at: usize) -> Option<usize> {
    let Some(word) = text.word(at) else { return zip(text, at) };
    let is_state = word.shape == Shape::Upper
        && word.end == at + 2
        && STATES.split(|byte| *byte == b' ').any(|state| state == &text.bytes[at..word.end]);
    if is_state && !text.is_digit(word.end) {
        return Some(zip(text, behind_separator(text, word.end)).unwrap_or(word.end));
    }
    let long = word.has(is::PLACE) && word.is_capital();
    long.then(|| zip(text, text.skip_blanks(word.end))).flatten().or_else(|| uk_code(text, at))
}

fn zip(text: &Text, at: usize) -> Option<usize> {
    let end = text.digits(at, 5).filter(|end| *end == at + 5)?;
    let long = (text.byte(end) == b'-').then(|| text.digits(end + 1, 4)).flatten().filter(|long| *long == end + 5);
    let end = long.unwrap_or(end);
    (!text.is_letter(end)).then_some(end)
}

fn uk_code(text: &Text, at: usize) -> Option<usize> {
    let area = text.word(at).filter(|word| word.shape == Shape::Upper && word.end - at <= 2)?.end;
    let mut district = text.digits(area, 2)?;
    district += usize::from(text.byte(district).is_ascii_uppercase());
    let inward = (text.byte(district) == b' ').then_some(district + 1)?;
    let unit = text
        .word(inward + 1)
        .filter(|word| word.letters == 2 && word.shape == Shape::Upper && text.is_digit(inward))?;
    Some(unit.end)
}

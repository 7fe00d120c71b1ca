//! Words of a text, read where they stand: bounds, case and folded key, without a copy.
//!
//! A letter is an ASCII letter, one of Latin-1 or of Latin Extended-A; a combining mark belongs to the letter in front of it.
//! Accents and case are folded, so that "JOÃO", "João" and "Joao" are one key. Other scripts are no letters here. Every
//! offset given is a character boundary. Knows nothing of what a word means but its flags.

use super::lexicon::{Flags, Key, Lexicon, is, lexicon};

/// Base letters of U+00C0 to U+00FF; a dot for what is no letter.
const LATIN_1: &[u8; 64] = b"AAAAAAACEEEEIIIIDNOOOOO.OUUUUYTsaaaaaaaceeeeiiiidnooooo.ouuuuyty";
/// Base letters of U+0100 to U+017F.
const LATIN_EXTENDED_A: &[u8; 128] =
    b"AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIiIiJjKkkLlLlLlLlLlNnNnNnnNnOoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZzs";

/// A one in the lowest bit of each byte.
const ONES: u64 = u64::MAX / 255;
/// The highest bit of each byte.
const HIGH: u64 = ONES * 0x80;
/// The bit of each byte that tells small letters from large ones.
const CASE: u64 = ONES * 0x20;

/// Sets the high bit of each byte of eight that is between two ASCII characters. Bytes of 0x80 and more, and the other bits,
/// are the caller's to mask.
fn ascii_between(eight: u64, first: u8, last: u8) -> u64 {
    let low = eight & !HIGH;
    (low + ONES * u64::from(0x80 - first)) & !(low + ONES * u64::from(0x7F - last))
}

/// How a word is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Lower,
    /// First letter large, not all of them.
    Title,
    /// All letters large, a single one too.
    Upper,
}

/// A word of a text.
#[derive(Clone, Copy)]
pub(super) struct Word {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) key: Key,
    pub(super) flags: Flags,
    pub(super) shape: Shape,
    /// Letters, counted without combining marks.
    pub(super) letters: usize,
    /// Nothing of the same name can follow: a possessive, or something glued to it.
    pub(super) closed: bool,
}

impl Word {
    pub(super) fn has(&self, flags: Flags) -> bool {
        self.flags & flags != 0
    }

    pub(super) fn is_initial(&self) -> bool {
        self.letters == 1 && self.shape == Shape::Upper
    }

    pub(super) fn is_capital(&self) -> bool {
        self.shape != Shape::Lower
    }
}

/// A text with the lexicon at hand.
#[derive(Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) lexicon: &'static Lexicon,
}

impl<'a> Text<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { bytes: text.as_bytes(), lexicon: lexicon() }
    }

    /// The byte at `at`; 0 behind the end.
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    pub(super) fn is_digit(&self, at: usize) -> bool {
        self.byte(at).is_ascii_digit()
    }

    /// The letter at `at` without its accent, and its length in bytes. A combining mark is a 0.
    fn letter(&self, at: usize) -> Option<(u8, usize)> {
        let first = self.byte(at);
        if first.is_ascii_alphabetic() {
            return Some((first, 1));
        }
        let second = usize::from(self.byte(at + 1) & 0x3F);
        let letter = match first {
            0xC3 => LATIN_1[second],
            0xC4 => LATIN_EXTENDED_A[second],
            0xC5 => LATIN_EXTENDED_A[64 + second],
            0xCC => 0,
            0xCD if second < 0x30 => 0,
            _ => return None,
        };
        (letter != b'.').then_some((letter, 2))
    }

    /// Whether a large letter stands at `at`.
    pub(super) fn is_capital(&self, at: usize) -> bool {
        self.letter(at).is_some_and(|(letter, _)| letter.is_ascii_uppercase())
    }

    pub(super) fn is_letter(&self, at: usize) -> bool {
        self.letter(at).is_some()
    }

    /// Where the character in front of `at` begins, if it is a letter.
    fn letter_before(&self, at: usize) -> Option<usize> {
        let start = match self.byte(at.wrapping_sub(1)) {
            ascii if ascii < 0x80 => at.checked_sub(1)?,
            _ => at.checked_sub(2)?,
        };
        let (_, length) = self.letter(start)?;
        (start + length == at).then_some(start)
    }

    /// Whether a word may begin at `at`: no letter or digit in front of it.
    pub(super) fn is_start(&self, at: usize) -> bool {
        at == 0 || !(self.is_digit(at - 1) || self.letter_before(at).is_some())
    }

    /// The word that begins at `at`.
    pub(super) fn word(&self, at: usize) -> Option<Word> {
        let mut reading = Reading::default();
        let end = self.read(at, &mut reading);
        (reading.letters > 0).then(|| reading.word(self, at, end))
    }

    fn read(&self, mut at: usize, reading: &mut Reading) -> usize {
        // The first sixteen letters eight at a time, as long as they are ASCII.
        for part in 0..2 {
            if reading.letters != 8 * part {
                break;
            }
            at += reading.push_ascii(self.eight(at), part);
        }
        loop {
            let byte = self.byte(at);
            if byte.is_ascii_alphabetic() {
                reading.push(byte);
                at += 1;
            } else if byte < 0x80 {
                return at;
            } else if let Some((letter, length)) = self.letter(at) {
                if letter != 0 {
                    reading.push(letter);
                } else if reading.letters == 0 {
                    return at;
                }
                at += length;
            } else {
                return at;
            }
        }
    }

    /// The eight bytes from `at` on, zeros behind the end.
    pub(super) fn eight(&self, at: usize) -> u64 {
        let bytes = self.bytes.get(at..).unwrap_or_default();
        match bytes.first_chunk() {
            Some(eight) => u64::from_le_bytes(*eight),
            None => tail(bytes),
        }
    }

    /// The word at `at` as part of a name: "O'Brien" and "Smith-Jones" are one word, "Bell's" ends a name, "Don't" is none.
    pub(super) fn name_word(&self, at: usize) -> Option<Word> {
        let mut reading = Reading::default();
        let mut end = self.read(at, &mut reading);
        if reading.letters == 0 {
            return None;
        }
        let elided = self.apostrophe(end).filter(|length| reading.letters == 1 && self.is_capital(end + length));
        if let Some(length) = elided {
            end = self.read(end + length, &mut reading);
        }
        let mut word = reading.word(self, at, end);
        for _ in 0..2 {
            if self.byte(word.end) != b'-' {
                break;
            }
            if !self.is_capital(word.end + 1) {
                if self.is_letter(word.end + 1) || self.is_digit(word.end + 1) {
                    (word.flags, word.closed) = (is::STOP, true);
                }
                break;
            }
            let Some(part) = self.word(word.end + 1) else { break };
            word.flags = word.flags & is::GIVEN | (word.flags | part.flags) & !is::GIVEN;
            word.end = part.end;
            word.letters += 1 + part.letters;
        }
        self.close(&mut word);
        Some(word)
    }

    /// Looks at what is glued to the end of a word.
    fn close(&self, word: &mut Word) {
        if let Some(length) = self.apostrophe(word.end) {
            let next = word.end + length;
            word.closed = true;
            let possessive = matches!(self.byte(next), b's' | b'S') && !self.is_letter(next + 1);
            if self.is_letter(next) && !possessive {
                word.flags = is::STOP;
            }
        }
        let next = self.byte(word.end);
        if next.is_ascii_digit() || matches!(next, b'_' | b'@' | b'/' | b'\\' | b'=') {
            // A user name, a path, an address of another kind.
            (word.flags, word.closed) = (is::STOP, true);
        }
    }

    /// The length of the apostrophe at `at`.
    pub(super) fn apostrophe(&self, at: usize) -> Option<usize> {
        match self.byte(at) {
            b'\'' => Some(1),
            0xE2 if self.bytes[at..].starts_with("’".as_bytes()) => Some(3),
            _ => None,
        }
    }

    /// Behind one or two blanks at `at`; `at` itself if there is none.
    pub(super) fn skip_blanks(&self, at: usize) -> usize {
        let mut at = at;
        for _ in 0..2 {
            match self.byte(at) {
                b' ' | b'\t' => at += 1,
                0xC2 if self.byte(at + 1) == 0xA0 => at += 2,
                _ => break,
            }
        }
        at
    }

    /// The digits from `at` on, at most `max` of them: where they end. None if there are none, or more.
    pub(super) fn digits(&self, at: usize, max: usize) -> Option<usize> {
        let count = self.bytes.get(at..)?.iter().take(max + 1).take_while(|byte| byte.is_ascii_digit()).count();
        (1..=max).contains(&count).then_some(at + count)
    }

    /// The last word in front of `at` and where its end is, at most `gap_max` bytes away.
    pub(super) fn word_before(&self, at: usize, gap_max: usize) -> Option<Word> {
        let end = (at.saturating_sub(gap_max)..=at).rev().find(|end| self.letter_before(*end).is_some())?;
        let mut start = end;
        // Longer words are in no list, so there is no need to see their beginning.
        for _ in 0..24 {
            match self.letter_before(start) {
                Some(before) => start = before,
                None => break,
            }
        }
        self.word(start)
    }
}

#[cold]
fn tail(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |eight, byte| eight << 8 | u64::from(*byte))
}

/// A word while it is read.
#[derive(Default)]
struct Reading {
    low: u64,
    high: u64,
    letters: usize,
    capitals: usize,
    first_capital: bool,
}

impl Reading {
    /// Takes the ASCII letters that eight bytes begin with into the low or the high part of the key; returns how many.
    fn push_ascii(&mut self, eight: u64, part: usize) -> usize {
        let letters = ascii_between(eight | CASE, b'a', b'z') & !eight & HIGH;
        let count = ((!letters & HIGH).trailing_zeros() / 8) as usize;
        let taken = if count == 8 { u64::MAX } else { (1 << (8 * count)) - 1 };
        let folded = (eight | CASE) & taken;
        *(if part == 0 { &mut self.low } else { &mut self.high }) = folded;
        let capitals = !(eight << 2) & HIGH & taken;
        self.first_capital |= part == 0 && capitals & 0x80 != 0;
        self.capitals += capitals.count_ones() as usize;
        self.letters += count;
        count
    }

    fn push(&mut self, letter: u8) {
        let capital = letter.is_ascii_uppercase();
        let folded = u64::from(letter | 0x20);
        match self.letters {
            0..8 => self.low |= folded << (8 * self.letters),
            8..16 => self.high |= folded << (8 * (self.letters - 8)),
            _ => {}
        }
        self.first_capital |= capital && self.letters == 0;
        self.capitals += usize::from(capital);
        self.letters += 1;
    }

    fn word(&self, text: &Text, start: usize, end: usize) -> Word {
        let key = if self.letters > 16 { 0 } else { Key::from(self.high) << 64 | Key::from(self.low) };
        let shape = match self.first_capital {
            true if self.capitals == self.letters => Shape::Upper,
            true => Shape::Title,
            false => Shape::Lower,
        };
        Word { start, end, key, flags: text.lexicon.flags(key), shape, letters: self.letters, closed: false }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lexicon::key;
    use super::*;

    #[test]
    fn words_are_folded_in_place() {
        let check = |text: &str, end: usize, folded: &str, shape: Shape| {
            let word = Text::new(text).word(0).expect("a word");
            assert_eq!((word.end, word.key, word.shape), (end, key(folded), shape), "{text}");
        };
        check("João Silva", 5, "joao", Shape::Title);
        check("JOÃO", 5, "joao", Shape::Upper);
        check("Joa\u{303}o!", 6, "joao", Shape::Title);
        check("Łukasz", 7, "lukasz", Shape::Title);
        check("érica", 6, "erica", Shape::Lower);
        check("McDonald", 8, "mcdonald", Shape::Title);
        assert!(Text::new("\u{303}").word(0).is_none());
        assert!(Text::new("7").word(0).is_none());
        assert!(Text::new("").word(0).is_none());
    }

    #[test]
    fn names_keep_their_apostrophes_and_hyphens() {
        let check = |text: &str, end: usize, closed: bool| {
            let word = Text::new(text).name_word(0).expect("a word");
            assert_eq!((word.end, word.closed), (end, closed), "{text}");
        };
        check("O'Brien said", 7, false);
        check("D’Ávila", 10, false);
        check("Smith-Jones", 11, false);
        check("Porto-based", 5, true);
        check("Bell's", 4, true);
        check("Don't", 3, true);
        check("John_1", 4, true);
        assert_eq!(Text::new("O'Connor").name_word(0).expect("a word").key, key("oconnor"));
    }
}

//! The words around a place: a number next to `CPF`, `born` or `passport` means more than the number alone.
//!
//! A window reaches forty bytes to both sides and never out of the row; a word counts when it lies in it whole. Words are runs
//! of letters in any case, English and Portuguese. Words inside the labels that redaction leaves behind (`[RG]`) count for
//! nothing: what was found must not make its neighbours suspect the next time the text is read. Every byte is cut into words
//! at most once while a row is read from left to right.

use std::ops::Range;

use super::kind::PiiKind;
use super::prefilter::bits;
use super::vocabulary::{Letters, Topic, may_be_known};

/// How far the window reaches, in bytes.
pub(super) const WINDOW_BYTES: usize = 40;
/// How far apart the words of an expression of two may stand.
const PAIR_GAP_BYTES_MAX: usize = 4;
/// Longest label of redaction.
pub(super) const LABEL_BYTES_MAX: usize = 14;

struct Word {
    start: usize,
    end: usize,
    topic: Topic,
}

/// The words of one row that were asked for so far.
#[derive(Default)]
pub(super) struct Context {
    words: Vec<Word>,
    /// The bytes that were cut into words.
    read: Option<Range<usize>>,
    /// The last word cut, for expressions of two words.
    previous: Option<Range<usize>>,
}

impl Context {
    pub(super) fn clear(&mut self) {
        self.words.clear();
        self.read = None;
        self.previous = None;
    }

    /// How near a word of the topic stands to a place, from 0 (at the rim) to 1 (next to it). Behind counts half.
    pub(super) fn closeness(&mut self, bytes: &[u8], topic: Topic, place: &Range<usize>) -> Option<f32> {
        let window = place.start.saturating_sub(WINDOW_BYTES)..bytes.len().min(place.end + WINDOW_BYTES);
        self.read(bytes, &window);
        let inside = |word: &&Word| word.start >= window.start && word.end <= window.end && word.topic.shares(topic);
        let distance = |word: &Word| match word {
            word if word.end <= place.start => Some(place.start - word.end),
            word if word.start >= place.end => Some(2 * (word.start - place.end)),
            _ => None,
        };
        let nearest =
            self.words.iter().rev().take_while(|word| word.end > window.start).filter(inside).filter_map(distance);
        nearest.min().map(|distance| 1.0 - distance as f32 / (2 * WINDOW_BYTES) as f32)
    }

    /// Cuts what is not yet cut of a window.
    fn read(&mut self, bytes: &[u8], window: &Range<usize>) {
        let known = self.read.clone().filter(|read| read.start <= window.start && window.start <= read.end);
        let mut at = match known {
            Some(read) if read.end >= window.end => return,
            Some(read) => read.end,
            None => {
                self.clear();
                first_word(bytes, window.start)
            }
        };
        let from = self.read.as_ref().map_or(window.start, |read| read.start);
        while at < window.end {
            let (mut letters, mut brackets) = marks(bytes, at);
            // Where the next block begins; a label may reach into it.
            let mut next = at + BLOCK_BYTES;
            while letters | brackets != 0 {
                let skipped = (letters | brackets).trailing_zeros();
                let place = at + skipped as usize;
                if place >= window.end {
                    next = place;
                    break;
                }
                let is_letter = letters >> skipped & 1 != 0;
                let taken = if is_letter { (letters >> skipped).trailing_ones() as usize } else { 1 };
                let mut end = place + taken;
                if is_letter {
                    if end == at + BLOCK_BYTES && end <= window.end {
                        let rest = &bytes[end..bytes.len().min(window.end + 1)];
                        end += rest.iter().take_while(|byte| is_letter_byte(**byte)).count();
                    }
                    if end > window.end {
                        // A word that the window cuts is read when a later window holds it whole.
                        self.read = Some(from..place.max(from));
                        return;
                    }
                    self.word(bytes, place..end);
                } else if let Some(length) = label(&bytes[place..]) {
                    end = place + length;
                    self.previous = None;
                }
                let done = u32::try_from(end - at).unwrap_or(u32::MAX);
                let rest = u64::MAX.checked_shl(done).unwrap_or(0);
                (letters, brackets) = (letters & rest, brackets & rest);
                next = next.max(end);
            }
            at = next;
        }
        self.read = Some(from..at.max(from));
    }

    #[inline]
    fn word(&mut self, bytes: &[u8], range: Range<usize>) {
        let previous = self.previous.replace(range.clone());
        if may_be_known(bytes[range.start], range.len()) {
            self.known_word(bytes, range, previous);
        }
    }

    fn known_word(&mut self, bytes: &[u8], range: Range<usize>, previous: Option<Range<usize>>) {
        let Some(letters) = Letters::of(bytes, &range) else { return };
        let alone = letters.topic();
        if alone != Topic::NONE {
            self.words.push(Word { start: range.start, end: range.end, topic: alone });
            return;
        }
        let Some(before) = previous.filter(|before| range.start - before.end <= PAIR_GAP_BYTES_MAX) else { return };
        let together = Letters::of(bytes, &before).map_or(Topic::NONE, |earlier| letters.topic_behind(earlier));
        if together != Topic::NONE {
            self.words.push(Word { start: before.start, end: range.end, topic: together });
        }
    }
}

const BLOCK_BYTES: usize = 64;

/// The letters and the opening brackets among the sixty-four bytes from `at`, as bits.
fn marks(bytes: &[u8], at: usize) -> (u64, u64) {
    let mut block = [0; BLOCK_BYTES];
    match bytes[at..].first_chunk::<BLOCK_BYTES>() {
        Some(whole) => block = *whole,
        None => block[..bytes.len() - at].copy_from_slice(&bytes[at..]),
    }
    let has_bracket = block.iter().fold(0, |any, &byte| any | u8::from(byte == b'[')) != 0;
    (bits(&block, is_letter_byte), if has_bracket { bits(&block, |byte| byte == b'[') } else { 0 })
}

/// Where cutting may begin at or after `from`: not inside a word, not inside a label.
fn first_word(bytes: &[u8], from: usize) -> usize {
    let reach = from.saturating_sub(LABEL_BYTES_MAX);
    let behind_label =
        (reach..from).filter(|at| bytes[*at] == b'[').filter_map(|at| Some(at + label(&bytes[at..])?)).max();
    if let Some(end) = behind_label.filter(|end| *end > from) {
        return end;
    }
    let inside = from > 0 && is_letter_byte(bytes[from - 1]);
    let rest = if inside { bytes[from..].iter().take_while(|byte| is_letter_byte(**byte)).count() } else { 0 };
    from + rest
}

/// The length of the label of redaction that some bytes begin with.
pub(super) fn label(bytes: &[u8]) -> Option<usize> {
    let labels = PiiKind::ALL.iter().map(|kind| kind.replacement().as_bytes());
    labels.filter(|label| bytes.starts_with(label)).map(<[u8]>::len).max()
}

#[inline]
fn is_letter_byte(byte: u8) -> bool {
    ((byte | 0x20).wrapping_sub(b'a') < 26) | (byte >= 0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said about the `#` of a text.
    fn closeness(text: &str, kind: PiiKind) -> Option<f32> {
        let at = text.find('#').expect("a place");
        Context::default().closeness(text.as_bytes(), Topic::of(kind), &(at..at + 1))
    }

    #[test]
    fn whole_words_in_the_window_count() {
        let check = |text: &str, kind, expected| assert_eq!(closeness(text, kind).is_some(), expected, "{text}");
        check("CPF #", PiiKind::Cpf, true);
        check("cpf_number: #", PiiKind::Cpf, true);
        check("cpfs#", PiiKind::Cpf, true);
        check("xcpf #", PiiKind::Cpf, false);
        check("# is my CPF", PiiKind::Cpf, true);
        check("#", PiiKind::Cpf, false);
        check("[CPF] #", PiiKind::Cpf, false);
        check("[CPF: #", PiiKind::Cpf, true);
        check("# [AWS-SECRET]", PiiKind::AwsSecretKey, false);
        check("CARTÃO #", PiiKind::CreditCard, true);
        check("Social-Security no. #", PiiKind::Ssn, true);
        check("security #", PiiKind::Ssn, false);
        check("D.O.B. #", PiiKind::BirthDate, true);
        check("driver's license #", PiiKind::DriverLicence, true);
        check("software license #", PiiKind::DriverLicence, false);
        check(&format!("cpf{}#", " ".repeat(37)), PiiKind::Cpf, true);
        check(&format!("cpf{}#", " ".repeat(38)), PiiKind::Cpf, false);
        check(&format!("#{}cpf", " ".repeat(37)), PiiKind::Cpf, true);
        check(&format!("#{}cpf", " ".repeat(38)), PiiKind::Cpf, false);
    }

    #[test]
    fn nearer_is_surer_and_in_front_is_surer_than_behind() {
        let near = closeness("rg #", PiiKind::Rg).expect("a word");
        assert!(near > closeness("rg number is #", PiiKind::Rg).expect("a word"));
        assert!(near > closeness("# rg", PiiKind::Rg).expect("a word"));
    }
}

//! Person names and street addresses in free text, English and Portuguese.
//!
//! One pass over the bytes, sixty-four at a time, that stops only where a word begins; and there only at a capital, a digit or the
//! first letters of a keyword ("rua", "Sr.", "meu nome"). Nothing is allocated but for what is found. Findings begin and end
//! with a letter or a digit, do not overlap each other, and stand in order of their starts. Comprehend's `NAME` leaves titles
//! out, and so does this. Knows nothing of other kinds: an overlap with them is resolved by the caller, by score.

mod lexicon;
mod word;

mod context;
mod names;

mod street_english;
mod street_portuguese;

#[cfg(test)]
mod oracle;
#[cfg(test)]
mod tests;

use super::kind::Finding;
use super::prefilter::{BLOCK_BYTES, bits};
use lexicon::is;
use word::Text;

/// Appends the names and addresses of a text.
pub(super) fn candidates(text: &str, out: &mut Vec<Finding>) {
    let text = Text::new(text);
    let mut resume = 0;
    let mut carry = 0;
    let (blocks, tail) = text.bytes.as_chunks::<BLOCK_BYTES>();
    let mut last = [0; BLOCK_BYTES];
    last[..tail.len()].copy_from_slice(tail);
    for (base, block) in (0..).step_by(BLOCK_BYTES).zip(blocks.iter().chain([&last])) {
        let letters = bits(block, is_letter_or_digit);
        let openings = if block.is_ascii() { 0 } else { bits(block, |byte| byte >= 0xC0) };
        let mut starts = (letters | openings) & !(letters << 1 | carry);
        carry = letters >> (BLOCK_BYTES - 1);
        while starts != 0 {
            let at = base + starts.trailing_zeros() as usize;
            starts &= starts - 1;
            let eight = text.eight(at);
            let keyword = text.lexicon.may_be_keyword(eight);
            // Nearly all words are small ones that announce nothing.
            if at >= resume && (keyword || !(eight as u8).is_ascii_lowercase()) {
                resume = visit(&text, at, keyword, out);
            }
        }
    }
}

#[inline]
fn is_letter_or_digit(byte: u8) -> bool {
    ((byte | 0x20).wrapping_sub(b'a') < 26) | (byte.wrapping_sub(b'0') < 10)
}

/// Looks at the word or number that may begin at `at`, and perhaps with a keyword; returns where to go on.
fn visit(text: &Text, at: usize, keyword: bool, out: &mut Vec<Finding>) -> usize {
    let first = text.byte(at);
    let accented = first >= 0x80;
    let capital = first.is_ascii_uppercase() || accented && text.is_capital(at);
    if !(keyword && !accented || capital || first.is_ascii_digit()) || !text.is_start(at) {
        return at + 1;
    }
    if first.is_ascii_digit() {
        return match street_english::find(text, at) {
            Some(finding) => report(finding, out),
            None => at + 1,
        };
    }
    if let Some(finding) = keyword.then(|| announced(text, at)).flatten() {
        return report(finding, out);
    }
    if capital { names::find(text, at, out) } else { at + 1 }
}

fn report(finding: Finding, out: &mut Vec<Finding>) -> usize {
    out.push(finding);
    finding.end
}

/// What the keyword at `at` announces.
fn announced(text: &Text, at: usize) -> Option<Finding> {
    let word = text.word(at).filter(|word| word.has(is::KEYWORD))?;
    let street = || word.has(is::STREET_PT).then(|| street_portuguese::find(text, &word)).flatten();
    let post_box = || word.has(is::BOX).then(|| street_english::post_box(text, &word)).flatten();
    let person = || word.has(is::TITLE | is::FIELD).then(|| context::introduced(text, &word)).flatten();
    street().or_else(post_box).or_else(person)
}

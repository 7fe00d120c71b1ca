//! One text under the scanner: its bytes, the kinds wanted, the words around a place, and the candidates found so far.
//!
//! Detectors see a row and a run of digits (or an `@`) in it and nothing else, so a finding cannot reach into another row.
//! What counts as the edge of a number is decided here, once for all of them.

use std::ops::Range;

use super::context::Context;
use super::kind::{Finding, PiiKind, PiiKinds};
use super::vocabulary::Topic;

/// Digits in a row without a gap: no digit before, none behind.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub(super) start: usize,
    pub(super) end: usize,
    /// The byte before it; 0 at the beginning.
    pub(super) before: u8,
    /// The byte behind it; 0 at the end.
    pub(super) after: u8,
    /// Whether a number may begin with it; see [`Row::begins`].
    pub(super) begins: bool,
}

impl Run {
    #[inline]
    pub(super) fn len(self) -> usize {
        self.end - self.start
    }
}

pub(super) struct Row<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    kinds: PiiKinds,
    /// Candidates: any order, may overlap.
    pub(super) found: Vec<Finding>,
    context: Context,
    /// Every word is taken to stand around: a whole value of a column is judged, not prose.
    pub(super) assume_context: bool,
    /// Up to where tokens of colons, hyphens and key characters were already looked at.
    pub(super) seen: Seen,
}

/// How far the detectors have come that grow a token from any digit in it, so that each token is looked at once.
#[derive(Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) colons: usize,
    pub(super) hyphens: usize,
    pub(super) secret: usize,
}

impl<'a> Row<'a> {
    pub(super) fn new(kinds: PiiKinds) -> Self {
        Row {
            text: "",
            bytes: &[],
            kinds,
            found: Vec::new(),
            context: Context::default(),
            assume_context: false,
            seen: Seen::default(),
        }
    }

    /// Starts over with another text.
    pub(super) fn enter(&mut self, text: &'a str) {
        (self.text, self.bytes) = (text, text.as_bytes());
        self.found.clear();
        self.context.clear();
        self.seen = Seen::default();
    }

    #[inline]
    pub(super) fn run(&self, start: usize, end: usize) -> Run {
        Run { start, end, before: self.before(start), after: self.byte(end), begins: self.begins(start) }
    }

    #[inline]
    pub(super) fn wants(&self, kind: PiiKind) -> bool {
        self.kinds.contains(kind)
    }

    /// The byte at `at`; 0 behind the end.
    #[inline]
    pub(super) fn byte(&self, at: usize) -> u8 {
        self.bytes.get(at).copied().unwrap_or(0)
    }

    /// The byte before `at`; 0 at the beginning.
    #[inline]
    pub(super) fn before(&self, at: usize) -> u8 {
        at.checked_sub(1).map_or(0, |at| self.byte(at))
    }

    #[inline]
    pub(super) fn hit(&mut self, kind: PiiKind, range: Range<usize>, score: f32) {
        self.found.push(Finding { kind, start: range.start, end: range.end, score });
    }

    /// A shape that says something by itself, and more next to a word for it.
    pub(super) fn hit_boosted(&mut self, kind: PiiKind, range: Range<usize>, alone: f32, in_context: f32) {
        let score = if self.closeness(kind, &range).is_some() { in_context } else { alone };
        self.hit(kind, range, score);
    }

    /// A shape that says nothing without a word for it. The nearer the word, the surer.
    pub(super) fn hit_in_context(&mut self, kind: PiiKind, range: Range<usize>) {
        if let Some(closeness) = self.closeness(kind, &range) {
            self.hit(kind, range, 0.6 + 0.3 * closeness);
        }
    }

    /// How near the nearest word for a kind stands, 1 being next to it; `None` when there is none around.
    pub(super) fn closeness(&mut self, kind: PiiKind, range: &Range<usize>) -> Option<f32> {
        if self.assume_context {
            return Some(1.0);
        }
        self.context.closeness(self.bytes, Topic::of(kind), range)
    }

    /// Whether a word for version numbers, chapters and the like stands around.
    pub(super) fn is_numbering(&mut self, range: &Range<usize>) -> bool {
        !self.assume_context && self.context.closeness(self.bytes, Topic::NUMBERING, range).is_some()
    }

    /// Whether a number may begin at `at`: not inside a word, not behind a sign, not the tail of a longer number.
    #[inline]
    pub(super) fn begins(&self, at: usize) -> bool {
        match self.before(at) {
            b'-' | b'.' | b'/' => !self.before(at - 1).is_ascii_digit(),
            b'_' | b'+' | b'$' => false,
            byte => !byte.is_ascii_alphanumeric(),
        }
    }

    /// Whether a number may end at `at`: not inside a word or an address, not the head of a longer number.
    #[inline]
    pub(super) fn ends(&self, at: usize) -> bool {
        match self.byte(at) {
            b'-' | b'.' | b'/' => !self.byte(at + 1).is_ascii_digit(),
            b'_' | b'@' => false,
            byte => !byte.is_ascii_alphanumeric(),
        }
    }

    /// The end of `shape` matched at `at`; see [`match_shape`].
    #[inline]
    pub(super) fn shape(&self, at: usize, shape: &str) -> Option<usize> {
        match_shape(self.bytes, at, shape).filter(|end| !self.byte(*end).is_ascii_digit())
    }

    /// How many digits stand at `at`, not counting beyond `most`.
    #[inline]
    pub(super) fn digits_at(&self, at: usize, most: usize) -> usize {
        let rest = self.bytes.get(at..).unwrap_or_default();
        rest.iter().take(most).take_while(|byte| byte.is_ascii_digit()).count()
    }

    /// The values of the digits in a range, other bytes left out; at most `N`.
    #[inline]
    pub(super) fn digits<const N: usize>(&self, range: Range<usize>) -> ([u8; N], usize) {
        digits(&self.bytes[range])
    }

    /// Where the run of bytes that `is` accepts begins and ends around `at`, looking `reach` bytes each way. A run that goes on
    /// beyond is given one byte longer than `reach`, so that its length tells.
    #[inline]
    pub(super) fn around(&self, at: usize, reach: usize, is: impl Fn(u8) -> bool) -> Range<usize> {
        let left = self.bytes[..at].iter().rev().take(reach + 1).take_while(|byte| is(**byte)).count();
        let right = self.bytes[at..].iter().take(reach + 1).take_while(|byte| is(**byte)).count();
        at - left..at + right
    }
}

/// The values of the first `N` digits of some bytes, and how many there are.
#[inline]
pub(super) fn digits<const N: usize>(bytes: &[u8]) -> ([u8; N], usize) {
    let (mut values, mut count) = ([0; N], 0);
    for byte in bytes.iter().filter(|byte| byte.is_ascii_digit()).take(N) {
        values[count] = byte - b'0';
        count += 1;
    }
    (values, count)
}

/// Matches `shape` at `at`: `d` is a digit, `-` an optional hyphen, dot or space, `~` one of these that must be there, any other
/// character itself. Returns the end of the match.
#[inline]
pub(super) fn match_shape(bytes: &[u8], mut at: usize, shape: &str) -> Option<usize> {
    for expected in shape.bytes() {
        let found = bytes.get(at).copied();
        let is_separator = matches!(found, Some(b'-' | b'.' | b' '));
        at += match expected {
            b'd' => found.is_some_and(|byte| byte.is_ascii_digit()).then_some(1)?,
            b'-' => usize::from(is_separator),
            b'~' => is_separator.then_some(1)?,
            literal => (found == Some(literal)).then_some(1)?,
        };
    }
    Some(at)
}

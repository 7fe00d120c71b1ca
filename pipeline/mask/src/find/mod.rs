//! Finds personal data in free text: e-mail addresses, CPFs with valid check digits, and phone numbers.
//!
//! Hits are left-most, then longest, and never overlap. A finder sees nothing before the end of the hit in front of it: that
//! hit will be replaced, so its last character is no longer a neighbour. Offsets are byte offsets on character boundaries,
//! because every hit begins and ends next to an ASCII character or a whole letter. Knows nothing of columns.

mod cpf;
mod email;
mod phone;

use std::ops::Range;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Email,
    Cpf,
    Phone,
}

impl Kind {
    /// What stands in its place afterwards.
    pub(crate) fn replacement(self) -> &'static str {
        match self {
            Self::Email => "[EMAIL]",
            Self::Cpf => "[CPF]",
            Self::Phone => "[PHONE]",
        }
    }
}

/// Finds the first hit at or after a byte offset, as if the text began there.
type Finder = fn(&str, usize) -> Option<Range<usize>>;

const FINDERS: [(Kind, Finder); 3] = [(Kind::Email, email::find), (Kind::Cpf, cpf::find), (Kind::Phone, phone::find)];
const PHONE: usize = 2;

/// The hits of a text, in order.
pub(crate) struct Hits<'a> {
    text: &'a str,
    from: usize,
    /// Each finder's next hit; `None` once it has no more.
    next: [Option<Range<usize>>; FINDERS.len()],
}

impl<'a> Hits<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        Self { text, from: 0, next: FINDERS.map(|(_, find)| find(text, 0)) }
    }
}

impl Iterator for Hits<'_> {
    type Item = (Kind, Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        for (hit, (_, find)) in self.next.iter_mut().zip(FINDERS) {
            if hit.as_ref().is_some_and(|hit| hit.start < self.from) {
                *hit = find(self.text, self.from);
            }
        }
        // `247-25+5511…`: the digit that forbade a phone number to begin here has just gone with its own hit.
        if let Some(end) = phone::number_at(self.text, self.from) {
            self.next[PHONE] = Some(self.from..end);
        }
        let hits = self.next.iter().zip(FINDERS).filter_map(|(hit, (kind, _))| Some((kind, hit.clone()?)));
        let (kind, hit) = hits.min_by_key(|(_, hit)| (hit.start, usize::MAX - hit.end))?;
        self.from = hit.end;
        Some((kind, hit))
    }
}

/// Whether the byte before `at` is a digit, looking no further back than `from`.
fn digit_before(bytes: &[u8], at: usize, from: usize) -> bool {
    at > from && bytes[at - 1].is_ascii_digit()
}

/// Whether the byte at `at` is a digit.
fn digit_at(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_some_and(u8::is_ascii_digit)
}

/// Matches `shape` at `at`: `d` is a digit, `s` an optional single space, `-` an optional hyphen, dot or space, any other
/// character itself. Returns the end of the match.
fn match_shape(bytes: &[u8], mut at: usize, shape: &str) -> Option<usize> {
    for expected in shape.bytes() {
        let found = bytes.get(at).copied();
        let step = match expected {
            b'd' => found.is_some_and(|byte| byte.is_ascii_digit()).then_some(1)?,
            b's' => usize::from(found == Some(b' ')),
            b'-' => usize::from(matches!(found, Some(b'-' | b'.' | b' '))),
            literal => (found == Some(literal)).then_some(1)?,
        };
        at += step;
    }
    Some(at)
}

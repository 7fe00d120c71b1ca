//! JSON documents out of the whole object at once, by a JSON parser; only what that refuses is looked at by hand, line by line.
//!
//! Knows no limits on documents and on rereading: what it is held against is small.

use serde::de::IgnoredAny;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const BREAKS_OFF: &str = "the document breaks off";

/// The bytes of one document, or why there is none.
pub(in crate::engine) type Document<'b> = Result<&'b [u8], &'static str>;

/// Cuts an object into documents.
pub(in crate::engine) struct Documents<'b> {
    bytes: &'b [u8],
    /// Where the next one is looked for.
    at: usize,
    /// Where the last one begins.
    start: usize,
}

impl<'b> Documents<'b> {
    pub(in crate::engine) fn new(bytes: &'b [u8]) -> Self {
        Self { bytes, at: if bytes.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 }, start: 0 }
    }

    /// Where the last document begins.
    pub(in crate::engine) fn start(&self) -> u64 {
        self.start as u64
    }

    /// The next document and the offset of its first byte; `None` at the end.
    pub(in crate::engine) fn next(&mut self) -> Option<(u64, Document<'b>)> {
        let bytes = self.bytes;
        let start = (self.at..bytes.len()).find(|at| !bytes[*at].is_ascii_whitespace())?;
        self.start = start;
        let document = if bytes[start] == b'{' { self.document(start) } else { Err("expected an object") };
        self.at = match (document, bytes[start]) {
            (Ok(document), _) => start + document.len(),
            (Err(_), b'{') => self.at,
            // Not even the beginning of a document: its line is left out.
            (Err(_), _) => (start..bytes.len()).find(|at| bytes[*at] == b'\n').map_or(bytes.len(), |at| at + 1),
        };
        Some((start as u64, document))
    }

    /// The document that begins at `start`. After one that breaks off, `at` is the next line that begins with `{`.
    fn document(&mut self, start: usize) -> Document<'b> {
        let bytes = self.bytes;
        let mut values = serde_json::Deserializer::from_slice(&bytes[start..]).into_iter::<IgnoredAny>();
        if matches!(values.next(), Some(Ok(_))) {
            return Ok(&bytes[start..start + values.byte_offset()]);
        }
        let (mut line_start, mut depth) = (start, 0);
        for line in bytes[start..].split_inclusive(|byte| *byte == b'\n') {
            let begins_document = line_start > start && line[0] == b'{';
            if begins_document && !may_become_document(&bytes[start..=line_start]) {
                return self.broken(line_start, BREAKS_OFF);
            }
            let (outside, is_open) = outside_strings(line);
            for (at, byte) in outside {
                match byte {
                    b'{' | b'[' => depth += 1,
                    b'}' | b']' => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    return Ok(&bytes[start..=line_start + at]);
                }
            }
            line_start += line.len();
            if is_open && line.ends_with(b"\n") {
                return self.broken(line_start, "a string breaks off at the end of a line");
            }
        }
        self.broken(bytes.len(), BREAKS_OFF)
    }

    fn broken(&mut self, from: usize, why: &'static str) -> Document<'b> {
        let begins_document = |at: &usize| self.bytes[*at] == b'{' && self.bytes[*at - 1] == b'\n';
        self.at = (from..self.bytes.len()).find(begins_document).unwrap_or(self.bytes.len());
        Err(why)
    }
}

/// Whether bytes can follow that make a document of these.
fn may_become_document(bytes: &[u8]) -> bool {
    match serde_json::from_slice::<IgnoredAny>(bytes) {
        Ok(_) => true,
        Err(error) => error.is_eof(),
    }
}

/// The bytes of a line that are in no string, with their places, and whether the line ends in one.
fn outside_strings(line: &[u8]) -> (Vec<(usize, u8)>, bool) {
    let mut outside = Vec::new();
    let mut at = 0;
    while at < line.len() {
        if line[at] != b'"' {
            outside.push((at, line[at]));
            at += 1;
            continue;
        }
        let inside = at + 1;
        // A quote ends the string unless an odd number of backslashes stands before it.
        let closes = |quote: &usize| {
            line[*quote] == b'"'
                && line[inside..*quote].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 0
        };
        match (inside..line.len()).find(closes) {
            Some(quote) => at = quote + 1,
            None => return (outside, true),
        }
    }
    (outside, false)
}

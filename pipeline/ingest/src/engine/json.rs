//! A stream of JSON documents cut into documents: one per line, several per line, pretty-printed, with or without a last
//! newline.
//!
//! Documents are objects. A document that breaks off (a truncated line) costs itself only: as soon as what was read can no
//! longer become a document, reading goes on at the next line that begins with `{`. Line-based recovery is sound because a JSON
//! string holds no raw newline, and pretty printing indents everything but a document's own braces. Whether a document's
//! content is right is the caller's question.
//!
//! A line that ends in `}` before a line that begins with `{` ends a document wherever it stands, because no document goes on
//! like that. So a block is cut there without looking at the rest of it; only without such a place is it read.

use memchr::memrchr;

use super::RECORD_BYTES_MAX;
use super::block::{Boundary, Cut, Resume, next_document};

/// Bytes of one document that are read again to find out whether it broke off: this many in all, and no more than
/// [`REREAD_SHARE`] times what was looked at beyond [`REREAD_BYTES_FREE`].
const REREAD_BYTES_MAX: usize = 2 * RECORD_BYTES_MAX;
const REREAD_SHARE: usize = 8;
const REREAD_BYTES_FREE: usize = 64 * 1024;

const NO_OBJECT: &str = "expected an object";
const TOO_LARGE: &str = "the document is larger than the limit";
const BREAKS_OFF: &str = "the document breaks off";
const STRING_BREAKS_OFF: &str = "a string breaks off at the end of a line";

/// The next thing in a stream of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A document between these two places.
    Document(usize, usize),
    /// Something at this place that is none.
    Broken(usize, &'static str),
    /// The same, and where reading goes on was not found: at the second place or later.
    Wreckage(usize, &'static str, Resume, usize),
    /// A document begins, or nothing follows.
    Open,
}

/// Finds documents one after the other, in bytes that may grow.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    /// Where the next document is looked for.
    pub(super) at: usize,
    measured: Measured,
}

/// How far a document was looked at.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    /// Bytes from the document's first.
    bytes: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    reread: usize,
}

/// Where a document ends, or that it does not.
enum Extent {
    Complete(usize),
    Broken(usize, &'static str),
    Open,
}

impl Splitter {
    /// A splitter that begins at a place in the middle.
    pub(super) fn starting_at(at: usize) -> Self {
        Self { at, measured: Measured::default() }
    }

    /// The next document of `bytes`; `at_end`: nothing will follow them.
    pub(super) fn next(&mut self, bytes: &[u8], at_end: bool) -> Step {
        self.at += bytes[self.at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let start = self.at;
        match bytes.get(start) {
            None => Step::Open,
            Some(b'{') => match self.measure(&bytes[start..], at_end) {
                Extent::Complete(length) => {
                    *self = Self::starting_at(start + length);
                    Step::Document(start, self.at)
                }
                Extent::Broken(length, why) => self.recover(bytes, at_end, why, Resume::Document, start + length),
                Extent::Open => Step::Open,
            },
            Some(_) => self.recover(bytes, at_end, NO_OBJECT, Resume::Line, start),
        }
    }

    fn recover(&mut self, bytes: &[u8], at_end: bool, why: &'static str, resume: Resume, from: usize) -> Step {
        let start = self.at;
        let found = match resume {
            Resume::Line | Resume::Unquoted(_) => {
                memchr::memchr(b'\n', &bytes[from..]).map(|newline| from + newline + 1)
            }
            Resume::Document => next_document(bytes, from),
        };
        match found.or(at_end.then_some(bytes.len())) {
            Some(found) => {
                *self = Self::starting_at(found);
                Step::Broken(start, why)
            }
            None => Step::Wreckage(start, why, resume, from),
        }
    }

    /// Finds the end of the document that `bytes` begin with.
    fn measure(&mut self, bytes: &[u8], at_end: bool) -> Extent {
        let mut seen = self.measured;
        let within_limit = &bytes[..bytes.len().min(RECORD_BYTES_MAX)];
        while let Some(byte) = within_limit.get(seen.bytes) {
            let at = seen.bytes;
            if seen.in_string {
                match byte {
                    // Before the escape: a backslash at the end of a line escapes nothing.
                    b'\n' => return Extent::Broken(at, STRING_BREAKS_OFF),
                    _ if seen.escaped => seen.escaped = false,
                    b'\\' => seen.escaped = true,
                    b'"' => seen.in_string = false,
                    _ => {}
                }
                seen.bytes += 1;
                continue;
            }
            match byte {
                b'"' => seen.in_string = true,
                b'{' if at > 0 && bytes[at - 1] == b'\n' && breaks_off(bytes, at, &mut seen.reread) => {
                    return Extent::Broken(at, BREAKS_OFF);
                }
                b'{' | b'[' => seen.depth += 1,
                b'}' | b']' => seen.depth -= 1,
                _ => {}
            }
            seen.bytes += 1;
            if seen.depth == 0 {
                return Extent::Complete(seen.bytes);
            }
        }
        self.measured = seen;
        match (bytes.len() > RECORD_BYTES_MAX, at_end) {
            (true, _) => Extent::Broken(RECORD_BYTES_MAX, TOO_LARGE),
            (false, true) => Extent::Broken(bytes.len(), BREAKS_OFF),
            (false, false) => Extent::Open,
        }
    }
}

/// Whether a document cannot go on with the `{` at `at`, which begins a line. The document is read again as long as that is
/// cheap: an array of many lines would otherwise be read from its beginning for each of them. Of a longer one only some lines
/// are asked, so one that broke off takes some of the lines after it along.
fn breaks_off(bytes: &[u8], at: usize, reread: &mut usize) -> bool {
    if ends_object(&bytes[..at]) {
        return true;
    }
    if *reread + at > REREAD_BYTES_MAX.min(REREAD_SHARE * at + REREAD_BYTES_FREE) {
        return false;
    }
    *reread += at;
    matches!(serde_json::from_slice::<serde::de::IgnoredAny>(&bytes[..=at]), Err(error) if !error.is_eof())
}

/// Whether the line before the end of `bytes` ends in `}`.
fn ends_object(bytes: &[u8]) -> bool {
    bytes.ends_with(b"}\n") || bytes.ends_with(b"}\r\n")
}

/// Finds ends of documents.
#[derive(Debug, Default)]
pub(super) struct JsonCutter {
    splitter: Splitter,
    /// Bytes in which no end was found without reading them.
    searched: usize,
    /// End of the last whole document that was read.
    end: usize,
}

impl Cut for JsonCutter {
    fn cut(&mut self, bytes: &[u8], at_end: bool) -> Boundary {
        if at_end && bytes.len() <= RECORD_BYTES_MAX {
            return Boundary::At(bytes.len());
        }
        if let Some(end) = last_line_boundary(bytes, self.searched) {
            return Boundary::At(end);
        }
        self.searched = bytes.len();
        loop {
            match self.splitter.next(bytes, at_end) {
                Step::Document(..) | Step::Broken(..) => self.end = self.splitter.at,
                Step::Open if at_end => return Boundary::At(bytes.len()),
                Step::Wreckage(0, why, resume, from) => return Boundary::Broken { why, resume, from },
                Step::Open | Step::Wreckage(..) if self.end > 0 => return Boundary::At(self.end),
                // White space before a document is no reason to hold it.
                Step::Open | Step::Wreckage(..) if self.splitter.at > 0 => return Boundary::At(self.splitter.at),
                Step::Open | Step::Wreckage(..) => return Boundary::More,
            }
        }
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

/// The last place beyond `searched` where one line ends in `}` and the next begins with `{`.
fn last_line_boundary(bytes: &[u8], searched: usize) -> Option<usize> {
    let floor = searched.saturating_sub(1);
    let mut until = bytes.len();
    loop {
        let newline = floor + memrchr(b'\n', &bytes[floor..until])?;
        if bytes.get(newline + 1) == Some(&b'{') && ends_object(&bytes[..=newline]) {
            return Some(newline + 1);
        }
        until = newline;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::block::tests::blocks;
    use proptest::prelude::*;

    /// Documents as they are, separated by ` ; `, what is none as `!`, each with its offset.
    fn found(bytes: &[u8], block_bytes: usize) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        for block in blocks(bytes, JsonCutter::default(), block_bytes) {
            if block.broken.is_some() {
                found.push((block.offset, "!".to_owned()));
                continue;
            }
            let mut splitter = Splitter::default();
            loop {
                match splitter.next(block.bytes(), true) {
                    Step::Document(start, end) => {
                        let text = String::from_utf8_lossy(&block.bytes()[start..end]).into_owned();
                        found.push((block.offset + start as u64, text));
                    }
                    Step::Broken(start, _) => found.push((block.offset + start as u64, "!".to_owned())),
                    Step::Open | Step::Wreckage(..) => break,
                }
            }
        }
        found
    }

    fn shown(bytes: &[u8], block_bytes: usize) -> String {
        found(bytes, block_bytes).into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(" ; ")
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        for block_bytes in [1, 2, 3, 5, 8, 13, 1 << 20] {
            assert_eq!(shown(text.as_bytes(), block_bytes), expected, "{text:?} in blocks of {block_bytes}");
        }
    }

    #[test]
    fn documents_are_found_however_they_are_laid_out() {
        check("", "");
        check(" \n\t ", "");
        check("\u{feff}{\"a\":1}\n", "{\"a\":1}");
        check("{\"a\":1}\n{\"b\":2}\n", "{\"a\":1} ; {\"b\":2}");
        check("{\"a\":1}\r\n{\"b\":2}", "{\"a\":1} ; {\"b\":2}");
        check("{\"a\":1}{\"b\":2} {}", "{\"a\":1} ; {\"b\":2} ; {}");
        check("{\n  \"a\": {\n    \"b\": [1]\n  }\n}\n{}", "{\n  \"a\": {\n    \"b\": [1]\n  }\n} ; {}");
        check("{\n\"a\":\n{\n}}\n{}", "{\n\"a\":\n{\n}} ; {}");
        check("{\"a\":[\n{},\n{}]}\n{}", "{\"a\":[\n{},\n{}]} ; {}");
        check(r#"{"a":"}{\"\\"}{}"#, r#"{"a":"}{\"\\"} ; {}"#);
    }

    #[test]
    fn a_broken_document_costs_itself_only() {
        check("{\"a\":1\n{\"b\":2}\n{\"c\":3}\n", "! ; {\"b\":2} ; {\"c\":3}");
        check("{\"a\":\"x\n{\"b\":2}\n", "! ; {\"b\":2}");
        check("{\"a\":\"x\\\n{\"b\":2}\n", "! ; {\"b\":2}");
        check("{\"a\":\"x\\\r\n{\"b\":2}\n{\"c\":3}\n", "! ; {\"b\":2} ; {\"c\":3}");
        check("{\"a\":{\"x\":\r\n{\"b\":2},\n", "!");
        check("{\"a\":{\"x\":1}\n{\"b\":2}\n", "! ; {\"b\":2}");
        check("{\"a\":\"}\n{\"b\":2}\n", "! ; {\"b\":2}");
        check("oops\n{\"b\":2}\n", "! ; {\"b\":2}");
        check("1\n2\n{\"b\":2}", "! ; ! ; {\"b\":2}");
        check("{\n  \"a\": tru\n}\n{\"b\":2}", "{\n  \"a\": tru\n} ; {\"b\":2}");
        check("{\n  \"a\": [1,\n{\"b\":2}", "!");
        check("{\"a\":1}}\n{\"b\":2}", "{\"a\":1} ; ! ; {\"b\":2}");
        check("{\"a\":1", "!");
    }

    #[test]
    fn a_document_beyond_the_limit_is_skipped() {
        for length in [RECORD_BYTES_MAX + 1, 2 * RECORD_BYTES_MAX + 200_000] {
            let mut text = b"{\"a\":\"".to_vec();
            text.resize(length - 2, b'x');
            text.extend_from_slice(b"\"}\n{\"b\":2}\n");
            assert_eq!(shown(&text, 1 << 20), "! ; {\"b\":2}");
        }
        let mut text = b"{\"a\":\"".to_vec();
        text.resize(RECORD_BYTES_MAX - 2, b'x');
        text.extend_from_slice(b"\"}\n{\"b\":2}\n");
        assert!(!shown(&text, 1 << 20).contains('!'), "the limit itself is allowed");
    }

    /// One document whose lines all begin with `{`, and how often its bytes are read again.
    #[test]
    fn rereading_costs_a_few_times_the_document() {
        for lines in [1_000, 100_000] {
            let document = format!("{{\"a\":[\n{}{{}}]}}", "{\"b\":1},\n".repeat(lines));
            let mut splitter = Splitter::default();
            let Extent::Complete(length) = splitter.measure(document.as_bytes(), true) else { panic!("it is whole") };
            assert_eq!(length, document.len());
            let mut reread = 0;
            for (at, _) in document.match_indices("\n{") {
                assert!(!breaks_off(document.as_bytes(), at + 1, &mut reread), "it goes on");
            }
            assert!(reread <= REREAD_SHARE * document.len() + REREAD_BYTES_FREE, "{lines} lines: {reread}");
            assert!(reread > document.len(), "it is asked all the same");
        }
    }

    #[test]
    fn offsets_are_those_of_the_stream() {
        let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(40_000));
        let offsets: Vec<_> = found(line.repeat(5).as_bytes(), 1 << 16).into_iter().map(|(offset, _)| offset).collect();
        assert_eq!(offsets, (0..5).map(|at| at * line.len() as u64).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn blocks_do_not_matter(
            bytes in prop::collection::vec(prop::sample::select(b"{{}}[]\"\\\n\n a:1,\r\xff".to_vec()), 0..60), block_bytes in 1usize..50,
        ) {
            prop_assert_eq!(found(&bytes, block_bytes), found(&bytes, 1 << 20));
        }
    }
}

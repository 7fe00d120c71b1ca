//! A stream of JSON documents cut into documents: one per line, several per line, pretty-printed, with or without a last
//! newline, after a byte order mark.
//!
//! Documents are objects. A document that breaks off (a truncated line) costs itself only: as soon as what was read can no
//! longer become a document, reading goes on at the next line that begins with `{`. Line-based recovery is sound because a JSON
//! string holds no raw newline, and pretty printing indents everything but a document's own braces. Whether a document's
//! content is right is the caller's question.

use std::io::{self, Read};

use super::RECORD_BYTES_MAX;

/// Bytes of one document that are read again to find out whether it broke off.
const REREAD_BYTES_MAX: usize = 2 * RECORD_BYTES_MAX;

const CHUNK_BYTES: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The bytes of one document, or why there is none.
pub(super) type Document<'a> = Result<&'a [u8], &'static str>;

/// Cuts a stream into documents.
pub(super) struct Documents<R> {
    source: R,
    buffer: Vec<u8>,
    /// Where in `buffer` the unread part begins.
    start: usize,
    /// Bytes of the stream before `buffer`.
    offset: u64,
    at_end: bool,
}

/// Where a document ends, or that none begins here.
enum Extent {
    /// One past the document's last byte.
    Complete(usize),
    /// No document; reading goes on at this byte, or at the next line from there that begins one.
    Broken(usize, &'static str),
}

impl<R: Read> Documents<R> {
    pub(super) fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), start: 0, offset: 0, at_end: false }
    }

    /// The next document and the offset of its first byte in the plain stream; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<(u64, Document<'_>)>> {
        if !self.skip_space()? {
            return Ok(None);
        }
        let offset = self.offset + self.start as u64;
        if self.buffer[self.start] != b'{' {
            self.skip_line()?;
            return Ok(Some((offset, Err("expected an object"))));
        }
        match self.measure()? {
            Extent::Complete(end) => {
                let begin = std::mem::replace(&mut self.start, end);
                Ok(Some((offset, Ok(&self.buffer[begin..end]))))
            }
            Extent::Broken(at, why) => {
                self.start = at;
                self.skip_to_document()?;
                Ok(Some((offset, Err(why))))
            }
        }
    }

    /// Finds the end of the document that begins at `start`, reading more as needed.
    fn measure(&mut self) -> io::Result<Extent> {
        let (mut at, mut depth, mut in_string, mut escaped) = (self.start, 0usize, false, false);
        let mut reread = 0;
        loop {
            if at == self.buffer.len() {
                if at - self.start > RECORD_BYTES_MAX {
                    return Ok(Extent::Broken(at, "the document is larger than the limit"));
                }
                let consumed = self.start;
                if !self.fill()? {
                    return Ok(Extent::Broken(self.buffer.len(), "the document breaks off"));
                }
                at -= consumed - self.start;
            }
            let byte = self.buffer[at];
            if in_string {
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' => escaped = true,
                    b'"' => in_string = false,
                    b'\n' => return Ok(Extent::Broken(at, "a string breaks off at the end of a line")),
                    _ => {}
                }
                at += 1;
                continue;
            }
            match byte {
                b'"' => in_string = true,
                b'{' if self.starts_line(at) && self.breaks_off(at, &mut reread) => {
                    return Ok(Extent::Broken(at, "the document breaks off"));
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            at += 1;
            if depth == 0 {
                return Ok(Extent::Complete(at));
            }
        }
    }

    fn starts_line(&self, at: usize) -> bool {
        at > self.start && self.buffer[at - 1] == b'\n'
    }

    /// Whether the document cannot go on at `at`. Asks as long as that is cheap: an array of many lines would otherwise be
    /// read again from its beginning for each of them.
    fn breaks_off(&self, at: usize, reread: &mut usize) -> bool {
        *reread += at - self.start;
        *reread <= REREAD_BYTES_MAX && !self.may_continue(at)
    }

    /// Whether a document that holds the bytes up to and including `at` can still be valid.
    fn may_continue(&self, at: usize) -> bool {
        match serde_json::from_slice::<serde::de::IgnoredAny>(&self.buffer[self.start..=at]) {
            Ok(_) => true,
            Err(error) => error.is_eof(),
        }
    }

    /// Moves `start` to the next byte that is not white space; `false` at the end.
    fn skip_space(&mut self) -> io::Result<bool> {
        loop {
            if self.offset == 0 && self.start == 0 {
                while self.buffer.len() < BYTE_ORDER_MARK.len() && self.fill()? {}
                if self.buffer.starts_with(BYTE_ORDER_MARK) {
                    self.start = BYTE_ORDER_MARK.len();
                }
            }
            let space = self.buffer[self.start..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            self.start += space;
            if self.start < self.buffer.len() {
                return Ok(true);
            }
            if !self.fill()? {
                return Ok(false);
            }
        }
    }

    /// Moves `start` past the present line, or to the end.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            if let Some(newline) = self.buffer[self.start..].iter().position(|byte| *byte == b'\n') {
                self.start += newline + 1;
                return Ok(());
            }
            self.start = self.buffer.len();
            if !self.fill()? {
                return Ok(());
            }
        }
    }

    /// Moves `start` to the next line that begins with `{`, or to the end. Stays when it stands on one.
    fn skip_to_document(&mut self) -> io::Result<()> {
        let stands_on_one = self.start > 0
            && self.start < self.buffer.len()
            && self.buffer[self.start] == b'{'
            && self.buffer[self.start - 1] == b'\n';
        if stands_on_one {
            return Ok(());
        }
        loop {
            self.skip_line()?;
            if self.start == self.buffer.len() && !self.fill()? {
                return Ok(());
            }
            if self.buffer[self.start] == b'{' {
                return Ok(());
            }
        }
    }

    /// Appends a chunk after dropping what was read; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        if self.at_end {
            return Ok(false);
        }
        self.offset += self.start as u64;
        self.buffer.drain(..self.start);
        self.start = 0;
        // A large document grows by doubling, or every refill would move it whole.
        let want = CHUNK_BYTES.max(self.buffer.len());
        let read = self.source.by_ref().take(want as u64).read_to_end(&mut self.buffer)?;
        self.at_end = read == 0;
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Documents as they are, separated by ` ; `, what is none as `!`.
    fn shown(bytes: &[u8]) -> String {
        let mut documents = Documents::new(bytes);
        let mut shown = Vec::new();
        while let Some((_, document)) = documents.next().expect("in memory") {
            shown.push(document.map_or("!".to_owned(), |bytes| String::from_utf8_lossy(bytes).into_owned()));
        }
        shown.join(" ; ")
    }

    fn check(text: &str, expected: &str) {
        assert_eq!(shown(text.as_bytes()), expected, "{text:?}");
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
        check(r#"{"a":"}{\"\\"}{}"#, r#"{"a":"}{\"\\"} ; {}"#);
    }

    #[test]
    fn a_broken_document_costs_itself_only() {
        check("{\"a\":1\n{\"b\":2}\n{\"c\":3}\n", "! ; {\"b\":2} ; {\"c\":3}");
        check("{\"a\":\"x\n{\"b\":2}\n", "! ; {\"b\":2}");
        check("{\"a\":{\"x\":\r\n{\"b\":2},\n", "!");
        check("oops\n{\"b\":2}\n", "! ; {\"b\":2}");
        check("1\n2\n{\"b\":2}", "! ; ! ; {\"b\":2}");
        check("{\n  \"a\": tru\n}\n{\"b\":2}", "{\n  \"a\": tru\n} ; {\"b\":2}");
        check("{\n  \"a\": [1,\n{\"b\":2}", "!");
        check("{\"a\":1}}\n{\"b\":2}", "{\"a\":1} ; ! ; {\"b\":2}");
        check("{\"a\":1", "!");
    }

    #[test]
    fn a_document_beyond_the_limit_is_skipped() {
        let mut text = b"{\"a\":\"".to_vec();
        text.resize(2 * RECORD_BYTES_MAX + 3 * CHUNK_BYTES, b'x');
        text.extend_from_slice(b"\"}\n{\"b\":2}\n");
        assert_eq!(shown(&text), "! ; {\"b\":2}");
    }

    #[test]
    fn offsets_are_those_of_the_stream() {
        let line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(40_000));
        let text = line.repeat(5);
        let mut documents = Documents::new(text.as_bytes());
        for at in 0..5 {
            let (offset, _) = documents.next().expect("in memory").expect("a document");
            assert_eq!(offset, at * line.len() as u64);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(prop::sample::select(b"{}[]\"\\\n a:\xff".to_vec()), 0..60)) {
            shown(&bytes);
        }
    }
}

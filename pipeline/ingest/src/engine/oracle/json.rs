//! JSON documents byte by byte, out of one buffer that is moved for each of them.

use std::io::{self, Read};

use crate::engine::RECORD_BYTES_MAX;

/// Bytes of one document that are read again to find out whether it broke off.
const REREAD_BYTES_MAX: usize = 2 * RECORD_BYTES_MAX;

const CHUNK_BYTES: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The bytes of one document, or why there is none.
pub(in crate::engine) type Document<'a> = Result<&'a [u8], &'static str>;

/// Cuts a stream into documents.
pub(in crate::engine) struct Documents<R> {
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
    pub(in crate::engine) fn new(source: R) -> Self {
        Self { source, buffer: Vec::new(), start: 0, offset: 0, at_end: false }
    }

    /// The next document and the offset of its first byte in the plain stream; `None` at the end.
    pub(in crate::engine) fn next(&mut self) -> io::Result<Option<(u64, Document<'_>)>> {
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
                let consumed = self.start;
                if !self.fill()? {
                    return Ok(Extent::Broken(self.buffer.len(), "the document breaks off"));
                }
                at -= consumed - self.start;
            }
            if at - self.start == RECORD_BYTES_MAX {
                return Ok(Extent::Broken(at, "the document is larger than the limit"));
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

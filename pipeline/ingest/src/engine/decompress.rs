//! Raw bytes to plain bytes: passes plain objects on, inflates gzip, however many members it has.
//!
//! Gzip is told by its magic bytes, not by the name; but an object *named* `.gz` must be gzip (or empty). Zero padding after
//! the last member is tolerated as tape and block devices leave it; anything else there is damage. A truncated member or a
//! wrong checksum is an error at the place where it shows, so the caller must not publish before the end.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::GzDecoder;

use super::EngineError;
use crate::stream::StoreFailure;

const MAGIC: [u8; 2] = [0x1f, 0x8b];
const BUFFER_BYTES: usize = 128 * 1024;

/// Opens an object for reading its plain bytes; `named_gzip` tells that its key ends in `.gz`.
///
/// # Errors
/// An object that is named gzip and is not, or a source that fails. Damage further in shows when it is read.
pub fn open<'a>(mut source: impl Read + 'a, named_gzip: bool) -> Result<Box<dyn Read + 'a>, EngineError> {
    let mut head = Vec::with_capacity(MAGIC.len());
    source.by_ref().take(MAGIC.len() as u64).read_to_end(&mut head).map_err(EngineError::from)?;
    let is_gzip = head == MAGIC;
    let is_empty = head.is_empty();
    let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(head).chain(source));
    match (is_gzip, named_gzip && !is_empty) {
        (true, _) => Ok(Box::new(GzipMembers { state: State::Member(Box::new(GzDecoder::new(whole))) })),
        (false, true) => Err(EngineError::unreadable("the key ends in .gz but the content is not gzip")),
        (false, false) => Ok(Box::new(whole)),
    }
}

impl From<io::Error> for EngineError {
    /// Sorts what reading an object can say: the store's fault, or the object's.
    fn from(error: io::Error) -> Self {
        if error.get_ref().is_some_and(|inner| inner.is::<StoreFailure>()) {
            return Self::Source(error);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::unreadable("the gzip stream ends too early"),
            io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
                Self::unreadable("the gzip stream is damaged, its checksum is wrong, or other bytes follow it")
            }
            _ => Self::Source(error),
        }
    }
}

struct GzipMembers<R: BufRead> {
    state: State<R>,
}

enum State<R: BufRead> {
    Member(Box<GzDecoder<R>>),
    End,
}

impl<R: BufRead> Read for GzipMembers<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while let State::Member(member) = &mut self.state {
            let read = member.read(into)?;
            if read > 0 {
                return Ok(read);
            }
            let State::Member(member) = std::mem::replace(&mut self.state, State::End) else { break };
            if let Some(rest) = next_member(member.into_inner())? {
                self.state = State::Member(Box::new(GzDecoder::new(rest)));
            }
        }
        Ok(0)
    }
}

/// What follows a member: another member, or nothing (zeros count as nothing).
fn next_member<R: BufRead>(mut rest: R) -> io::Result<Option<R>> {
    match rest.fill_buf()?.first() {
        None => return Ok(None),
        Some(0) => {}
        Some(byte) if *byte == MAGIC[0] => return Ok(Some(rest)),
        Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes after the last member")),
    }
    loop {
        let padding = rest.fill_buf()?;
        let length = padding.len();
        if length == 0 {
            return Ok(None);
        }
        if padding.iter().any(|byte| *byte != 0) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes after the zero padding"));
        }
        rest.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).expect("into memory");
        encoder.finish().expect("into memory")
    }

    /// Delivers one byte per call, as a slow network may.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(into.len()).min(1);
            into[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn check(bytes: &[u8], named_gzip: bool, expected: Result<&str, &str>) {
        let read = |source: &mut dyn Read| -> Result<String, EngineError> {
            let mut text = String::new();
            open(source, named_gzip)?.read_to_string(&mut text)?;
            Ok(text)
        };
        for result in [read(&mut &bytes[..]), read(&mut Trickle(bytes))] {
            match (result, expected) {
                (Ok(text), Ok(expected)) => assert_eq!(text, expected),
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{error}"),
                (result, expected) => panic!("{result:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn members_and_padding_are_read() {
        check(b"", true, Ok(""));
        check(b"a", false, Ok("a"));
        check(b"plain", false, Ok("plain"));
        check(&gzip("one"), true, Ok("one"));
        check(&gzip("one"), false, Ok("one"));
        check(&gzip(""), true, Ok(""));
        check(&[gzip("one"), gzip(""), gzip("two")].concat(), true, Ok("onetwo"));
        check(&[gzip("one"), vec![0; 300_000]].concat(), true, Ok("one"));
    }

    #[test]
    fn damage_is_an_error() {
        let whole = gzip("a line that is long enough to be cut");
        check(b"plain", true, Err("not gzip"));
        check(&whole[..whole.len() - 9], true, Err("ends too early"));
        check(&whole[..whole.len() - 1], true, Err("ends too early"));
        check(&whole[..5], true, Err("ends too early"));
        let mut wrong = whole.clone();
        let crc = wrong.len() - 6;
        wrong[crc] ^= 0xff;
        check(&wrong, true, Err("checksum"));
        check(&[whole.clone(), b"garbage".to_vec()].concat(), true, Err("other bytes"));
        check(&[whole.clone(), vec![0; 9], b"x".to_vec()].concat(), true, Err("other bytes"));
        check(&[whole, gzip("two")[..8].to_vec()].concat(), true, Err("ends too early"));
    }
}

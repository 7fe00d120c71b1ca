//! Raw bytes to plain bytes: inflates gzip, however many members it has, and zstd, however many frames; passes the rest on.
//!
//! Compression is told by magic bytes, not by the name; but an object *named* `.gz` or `.zst` must be that (or empty). Zero
//! padding after the last gzip member is tolerated as tape and block devices leave it; anything else there is damage, and so is
//! anything after the last zstd frame. A truncated member or a wrong checksum is an error at the place where it shows, so the
//! caller must not publish before the end. A zstd frame that asks for a window larger than [`ZSTD_WINDOW_LOG_MAX`] is refused
//! before the memory is taken.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use flate2::bufread::GzDecoder;
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::EngineError;
use crate::stream::StoreFailure;

const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A skippable frame: 16 magic numbers that differ in the first byte's lower half (RFC 8878 §3.1.2).
const ZSTD_SKIPPABLE: [u8; 4] = [0x50, 0x2a, 0x4d, 0x18];
/// Largest window of a zstd frame, as a power of two: 8 MiB, what RFC 8878 §3.1.1.1.2 asks of every decoder. Levels up to 19
/// stay within; `--ultra` and `--long` may not.
pub const ZSTD_WINDOW_LOG_MAX: u32 = 23;
const BUFFER_BYTES: usize = 128 * 1024;

/// What the key of an object promises of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Compression {
    /// Nothing: the object may be compressed or not.
    #[default]
    Plain,
    /// `.gz`.
    Gzip,
    /// `.zst`.
    Zstd,
}

impl Compression {
    /// What a key promises.
    pub fn of_key(key: &str) -> Self {
        Self::split_key(key).1
    }

    /// A key without the ending that names its compression, and what that promises.
    pub fn split_key(key: &str) -> (&str, Self) {
        [(".gz", Self::Gzip), (".zst", Self::Zstd)]
            .into_iter()
            .find_map(|(ending, compression)| {
                let (stem, end) = key.split_at_checked(key.len().checked_sub(ending.len())?)?;
                end.eq_ignore_ascii_case(ending).then_some((stem, compression))
            })
            .unwrap_or((key, Self::Plain))
    }

    /// What the first bytes say.
    fn of_content(head: &[u8]) -> Self {
        let is_skippable =
            || head.len() == 4 && head[0] & 0xf0 == ZSTD_SKIPPABLE[0] && head[1..] == ZSTD_SKIPPABLE[1..];
        if head.starts_with(&GZIP_MAGIC) {
            Self::Gzip
        } else if head == ZSTD_MAGIC || is_skippable() {
            Self::Zstd
        } else {
            Self::Plain
        }
    }
}

/// Opens an object for reading its plain bytes; `named` is what its key promises.
///
/// # Errors
/// An object that is not what its key promises, or a source that fails. Damage further in shows when it is read.
pub fn open<'a>(mut source: impl Read + 'a, named: Compression) -> Result<Box<dyn Read + 'a>, EngineError> {
    let mut head = Vec::with_capacity(ZSTD_MAGIC.len());
    source.by_ref().take(ZSTD_MAGIC.len() as u64).read_to_end(&mut head).map_err(EngineError::from)?;
    let found = Compression::of_content(&head);
    let is_empty = head.is_empty();
    let whole = BufReader::with_capacity(BUFFER_BYTES, Cursor::new(head).chain(source));
    match (named, found) {
        (Compression::Gzip, Compression::Plain | Compression::Zstd) if !is_empty => {
            Err(EngineError::unreadable("the key ends in .gz but the content is not gzip"))
        }
        (Compression::Zstd, Compression::Plain | Compression::Gzip) if !is_empty => {
            Err(EngineError::unreadable("the key ends in .zst but the content is not zstd"))
        }
        (_, Compression::Gzip) => Ok(Box::new(GzipMembers { state: State::Member(Box::new(GzDecoder::new(whole))) })),
        (_, Compression::Zstd) => Ok(Box::new(ZstdFrames::new(whole)?)),
        (_, Compression::Plain) => Ok(Box::new(whole)),
    }
}

/// The object's fault, said by a reader on the way to its text. Holds no values.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Damage(pub(super) String);

/// An error of a reader that is the object's fault.
pub(super) fn damaged(reason: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, Damage(reason.into()))
}

impl From<io::Error> for EngineError {
    /// Sorts what reading an object can say: the object's fault is marked as such, everything else is the store's.
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Damage>()) {
            Some(Damage(reason)) => Self::unreadable(reason),
            None => Self::Source(error),
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
            let read = member.read(into).map_err(gzip_damage)?;
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

/// Tells what the decoder says of the object from what the source under it says.
fn gzip_damage(error: io::Error) -> io::Error {
    if error.get_ref().is_some_and(|inner| inner.is::<StoreFailure>()) {
        return error;
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => damaged("the gzip stream ends too early"),
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            damaged("the gzip stream is damaged, or its checksum is wrong")
        }
        _ => error,
    }
}

/// What follows a member: another member, or nothing (zeros count as nothing).
fn next_member<R: BufRead>(mut rest: R) -> io::Result<Option<R>> {
    match rest.fill_buf()?.first() {
        None => return Ok(None),
        Some(0) => {}
        Some(byte) if *byte == GZIP_MAGIC[0] => return Ok(Some(rest)),
        Some(_) => return Err(damaged("other bytes follow the last gzip member")),
    }
    loop {
        let padding = rest.fill_buf()?;
        let length = padding.len();
        if length == 0 {
            return Ok(None);
        }
        if padding.iter().any(|byte| *byte != 0) {
            return Err(damaged("other bytes follow the zero padding after the last gzip member"));
        }
        rest.consume(length);
    }
}

struct ZstdFrames<R> {
    source: R,
    decoder: Decoder<'static>,
    /// Whether a frame is complete and no other has begun.
    is_between: bool,
}

impl<R: BufRead> ZstdFrames<R> {
    fn new(source: R) -> Result<Self, EngineError> {
        // Memory is what it can lack here, and that may pass.
        let mut decoder = Decoder::new().map_err(EngineError::Source)?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX)).map_err(EngineError::Source)?;
        Ok(Self { source, decoder, is_between: true })
    }
}

impl<R: BufRead> Read for ZstdFrames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            let input = self.source.fill_buf()?;
            let at_end = input.is_empty();
            if at_end && self.is_between {
                return Ok(0);
            }
            if self.is_between {
                self.decoder.reinit()?;
            }
            let mut from = InBuffer::around(input);
            let mut to = OutBuffer::around(&mut *into);
            // The library's texts are a fixed list and quote nothing.
            let hint = self
                .decoder
                .run(&mut from, &mut to)
                .map_err(|error| damaged(format!("the zstd stream cannot be read: {error}")))?;
            let (taken, given) = (from.pos(), to.pos());
            self.source.consume(taken);
            self.is_between = hint == 0;
            match (given, at_end) {
                (0, true) => return Err(damaged("the zstd stream ends too early")),
                (0, false) => {}
                (given, _) => return Ok(given),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::write::GzEncoder;

    use super::Compression::{Gzip, Plain, Zstd};
    use super::*;

    fn gzip(text: &str) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).expect("into memory");
        encoder.finish().expect("into memory")
    }

    /// One frame with a checksum.
    fn zstd(text: &str, window_log: u32) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory");
        encoder.include_checksum(true).expect("known");
        encoder.window_log(window_log).expect("in range");
        encoder.write_all(text.as_bytes()).expect("into memory");
        encoder.finish().expect("into memory")
    }

    fn skippable(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).expect("short").to_le_bytes();
        [&[0x5a], &ZSTD_SKIPPABLE[1..], &length, content].concat()
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

    fn check(bytes: &[u8], named: Compression, expected: Result<&str, &str>) {
        let read = |source: &mut dyn Read| -> Result<String, EngineError> {
            let mut text = String::new();
            open(source, named)?.read_to_string(&mut text)?;
            Ok(text)
        };
        for result in [read(&mut &bytes[..]), read(&mut Trickle(bytes))] {
            match (result, expected) {
                (Ok(text), Ok(expected)) => assert_eq!(text, expected),
                (Err(EngineError::Unreadable { reason }), Err(expected)) => {
                    assert!(reason.contains(expected), "{reason}");
                }
                (result, expected) => panic!("{result:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn keys_promise_a_compression() {
        for (key, expected) in [
            ("raw/t/a.csv.gz", ("raw/t/a.csv", Gzip)),
            ("raw/t/a.JSON.ZST", ("raw/t/a.JSON", Zstd)),
            ("raw/t/a.ndjson", ("raw/t/a.ndjson", Plain)),
            ("raw/t/a.gz.csv", ("raw/t/a.gz.csv", Plain)),
            ("ö", ("ö", Plain)),
            ("ö.gz", ("ö", Gzip)),
            ("€t", ("€t", Plain)),
        ] {
            assert_eq!(Compression::split_key(key), expected);
        }
    }

    #[test]
    fn members_and_padding_are_read() {
        check(b"", Gzip, Ok(""));
        check(b"a", Plain, Ok("a"));
        check(b"plain", Plain, Ok("plain"));
        check(&gzip("one"), Gzip, Ok("one"));
        check(&gzip("one"), Plain, Ok("one"));
        check(&gzip(""), Gzip, Ok(""));
        check(&[gzip("one"), gzip(""), gzip("two")].concat(), Gzip, Ok("onetwo"));
        check(&[gzip("one"), vec![0; 300_000]].concat(), Gzip, Ok("one"));
    }

    #[test]
    fn damage_is_an_error() {
        let whole = gzip("a line that is long enough to be cut");
        check(b"plain", Gzip, Err("not gzip"));
        check(&zstd("one", 17), Gzip, Err("not gzip"));
        check(&whole[..whole.len() - 9], Gzip, Err("ends too early"));
        check(&whole[..whole.len() - 1], Gzip, Err("ends too early"));
        check(&whole[..5], Gzip, Err("ends too early"));
        let mut wrong = whole.clone();
        let crc = wrong.len() - 6;
        wrong[crc] ^= 0xff;
        check(&wrong, Gzip, Err("checksum"));
        check(&[whole.clone(), b"garbage".to_vec()].concat(), Gzip, Err("other bytes"));
        check(&[whole.clone(), vec![0; 9], b"x".to_vec()].concat(), Gzip, Err("other bytes"));
        check(&[whole, gzip("two")[..8].to_vec()].concat(), Gzip, Err("ends too early"));
    }

    #[test]
    fn frames_are_read_and_skippable_ones_skipped() {
        check(b"", Zstd, Ok(""));
        for named in [Zstd, Plain] {
            check(&zstd("one", 17), named, Ok("one"));
            check(&zstd("", 17), named, Ok(""));
            check(&[skippable(b"note"), zstd("one", 17)].concat(), named, Ok("one"));
        }
        let frames =
            [zstd("one", 17), skippable(&[0; 1_000]), zstd("", 17), zstd("two", ZSTD_WINDOW_LOG_MAX), skippable(b"")];
        check(&frames.concat(), Zstd, Ok("onetwo"));
        let large: String = (0..200_000).map(|number: u32| number.to_string()).collect();
        check(&[zstd(&large, ZSTD_WINDOW_LOG_MAX), zstd("end", 10)].concat(), Zstd, Ok(&(large.clone() + "end")));
    }

    #[test]
    fn damaged_frames_and_hostile_ones_are_refused() {
        let whole = zstd("a line that is long enough to be cut", 17);
        check(b"plain", Zstd, Err("not zstd"));
        check(&gzip("one"), Zstd, Err("not zstd"));
        for length in [4, 5, 9, whole.len() - 5, whole.len() - 1] {
            check(&whole[..length], Zstd, Err("ends too early"));
        }
        let mut wrong = whole.clone();
        *wrong.last_mut().expect("a checksum") ^= 0xff;
        check(&wrong, Zstd, Err("checksum"));
        check(&[whole.clone(), b"garbage".to_vec()].concat(), Zstd, Err("cannot be read"));
        check(&[whole.clone(), vec![0; 9]].concat(), Zstd, Err("cannot be read"));
        check(&[whole, skippable(&[1; 50])[..20].to_vec()].concat(), Zstd, Err("ends too early"));
        check(&zstd("one", ZSTD_WINDOW_LOG_MAX + 1), Zstd, Err("too much memory"));
        // A window of 2 GiB, a block of nothing.
        check(&[&ZSTD_MAGIC[..], &[0x00, 21 << 3, 1, 0, 0]].concat(), Zstd, Err("too much memory"));
    }

    /// Fails in the middle, as a connection does.
    struct Broken<'a>(&'a [u8]);

    impl Read for Broken<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            if self.0.is_empty() {
                return Err(io::Error::from(io::ErrorKind::ConnectionReset));
            }
            self.0.read(into)
        }
    }

    #[test]
    fn the_stores_fault_is_not_the_objects() {
        for whole in [gzip("some text"), zstd("some text", 17), b"some text".to_vec()] {
            let read = || -> Result<(), EngineError> {
                io::copy(&mut open(Broken(&whole[..whole.len() - 4]), Plain)?, &mut io::sink())?;
                Ok(())
            };
            assert!(matches!(read(), Err(EngineError::Source(_))));
        }
    }
}

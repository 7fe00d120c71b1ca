//! Raw objects as text: gunzip, and counting the records of CSV and JSON, written from the formats' definitions.
//!
//! All members of a gzip file are read; zero bytes may follow the last one (tape padding), anything else there is an error. Text
//! that is not gzip at all passes through, so nobody need trust file names. Knows formats, not tables.

use std::io::{self, Read};

use flate2::bufread::GzDecoder;

/// First bytes of a gzip member.
pub(super) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Decompresses `bytes` while being read.
pub(super) enum Gunzip<'a> {
    Plain(&'a [u8]),
    Member(Box<GzDecoder<&'a [u8]>>),
}

impl<'a> Gunzip<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        if bytes.starts_with(&GZIP_MAGIC) { Self::Member(Box::new(GzDecoder::new(bytes))) } else { Self::Plain(bytes) }
    }
}

impl Read for Gunzip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let rest = match self {
                Self::Plain(bytes) => return bytes.read(buffer),
                Self::Member(decoder) => {
                    let read = decoder.read(buffer)?;
                    if read > 0 {
                        return Ok(read);
                    }
                    *decoder.get_ref()
                }
            };
            *self = match rest {
                padding if padding.iter().all(|byte| *byte == 0) => Self::Plain(&[]),
                member if member.starts_with(&GZIP_MAGIC) => Self::Member(Box::new(GzDecoder::new(member))),
                _ => return Err(io::Error::new(io::ErrorKind::InvalidData, "something follows the last gzip member")),
            };
        }
    }
}

/// Hands every byte of `inner` to `see` on its way.
pub(super) struct Watched<R, F> {
    inner: R,
    see: F,
}

impl<R: Read, F: FnMut(&[u8])> Watched<R, F> {
    pub(super) fn new(inner: R, see: F) -> Self {
        Self { inner, see }
    }
}

impl<R: Read, F: FnMut(&[u8])> Read for Watched<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        (self.see)(&buffer[..read]);
        Ok(read)
    }
}

/// Calls `each` for every JSON text of a stream: values may share a line or span several. A malformed one is handed over as
/// `None` and the next is looked for on the next line.
pub(super) fn for_each_json<'b, T: serde::de::Deserialize<'b>>(text: &'b [u8], mut each: impl FnMut(Option<T>)) {
    let mut rest = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    loop {
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<T>();
        let mut end = 0;
        let malformed = loop {
            match values.next() {
                Some(Ok(value)) => {
                    end = values.byte_offset();
                    each(Some(value));
                }
                Some(Err(_)) => break true,
                None => break false,
            }
        };
        if !malformed {
            return;
        }
        each(None);
        rest = &rest[end..];
        let start = rest.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(rest.len());
        rest = &rest[start..];
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(newline) => rest = &rest[newline + 1..],
            None => return,
        }
    }
}

/// Counts the records of RFC 4180 text as it passes: line ends inside quotes do not end a record, empty lines are none.
#[derive(Debug, Default)]
pub(super) struct CsvRecords {
    records: u64,
    place: Place,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    RecordStart,
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote inside a quoted field: the end of the field, or half of a doubled quote.
    QuoteInQuoted,
}

impl CsvRecords {
    pub(super) fn see(&mut self, text: &[u8]) {
        for byte in text {
            self.place = match (self.place, byte) {
                (Place::Quoted, b'"') => Place::QuoteInQuoted,
                (Place::QuoteInQuoted, b'"') | (Place::Quoted, _) => Place::Quoted,
                (Place::RecordStart, b'\n' | b'\r') => Place::RecordStart,
                (_, b'\n' | b'\r') => {
                    self.records += 1;
                    Place::RecordStart
                }
                (Place::RecordStart | Place::FieldStart, b'"') => Place::Quoted,
                (_, b',') => Place::FieldStart,
                _ => Place::Unquoted,
            };
        }
    }

    /// Records seen, the header included; a last line without a line end counts.
    pub(super) fn count(&self) -> u64 {
        self.records + u64::from(self.place != Place::RecordStart)
    }
}

/// Reads to the end into memory, up to a bound.
pub(super) fn read_all(reader: impl Read, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = reader.take(limit + 1).read_to_end(&mut bytes)?;
    if read as u64 > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {limit} bytes unpacked")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use serde::de::IgnoredAny;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).expect("memory");
        encoder.finish().expect("memory")
    }

    fn records(text: &str) -> u64 {
        let mut whole = CsvRecords::default();
        whole.see(text.as_bytes());
        let mut bytewise = CsvRecords::default();
        text.as_bytes().iter().for_each(|byte| bytewise.see(&[*byte]));
        assert_eq!(whole.count(), bytewise.count(), "independent of how the text is cut");
        whole.count()
    }

    #[test]
    fn csv_records_are_counted_by_rfc_4180() {
        assert_eq!(records(""), 0);
        assert_eq!(records("a,b\n1,2\n"), 2);
        assert_eq!(records("a,b\r\n1,2"), 2);
        assert_eq!(records("a\n\"line\none\"\n\"said \"\"x\n\"\"\"\n"), 3);
        assert_eq!(records("a\n\n\r\nx\n"), 2);
        assert_eq!(records("a,b\n5\" pipe,\"\"\n,\n"), 3);
        assert_eq!(records("a\n\"\"\n"), 2);
    }

    #[test]
    fn all_members_are_read_and_padding_is_none() {
        let mut bytes = [gzip(b"one"), gzip(b"two")].concat();
        bytes.extend([0; 100]);
        assert_eq!(read_all(Gunzip::new(&bytes), 100).expect("sound"), b"onetwo");
        assert!(read_all(Gunzip::new(&bytes), 5).is_err());
        bytes.push(b'x');
        assert!(read_all(Gunzip::new(&bytes), 100).is_err());
        let whole = gzip(b"a longer text that is cut off");
        assert!(read_all(Gunzip::new(&whole[..whole.len() - 6]), 100).is_err());
        assert_eq!(read_all(Gunzip::new(b"plain"), 100).expect("text"), b"plain");
    }

    #[test]
    fn json_values_are_found_however_they_lie() {
        let seen = |text: &str| {
            let mut seen = Vec::new();
            for_each_json::<IgnoredAny>(text.as_bytes(), |value| seen.push(value.is_some()));
            seen
        };
        assert_eq!(seen("{\"a\":1}\n{\"a\":2}{\"a\":\n3}"), [true; 3]);
        assert_eq!(seen("{}\n{\"a\":\n\n{}\n"), [true, false, true]);
        assert_eq!(seen("{}\nnot json\n{}\r\n\n"), [true, false, true]);
        assert_eq!(seen("\u{feff}{}"), [true]);
        assert_eq!(seen("\n"), [false; 0]);
    }
}

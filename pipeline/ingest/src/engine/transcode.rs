//! Plain bytes to bytes in which ASCII is ASCII: UTF-16 becomes UTF-8 on the way to the CSV and JSON readers, the rest passes.
//!
//! An object is UTF-16 where its mapping says so, or where it begins with the byte order mark of UTF-16 and its mapping says
//! nothing. Mark and mapping that contradict each other, UTF-32, and what has the NUL bytes of UTF-16 without either are refused
//! before a record is read: text is never guessed at. A lone surrogate ends the object with its place. Streaming; what follows
//! counts offsets in the UTF-8 text. Knows no fields and no records.

use std::io::{self, Cursor, Read};

use encoding_rs::{Decoder, DecoderResult, UTF_16BE, UTF_16LE};

use super::decompress::damaged;
use super::encoding::Encoding;
use super::{EngineError, Format};

/// How much is looked at before the first record is read.
const HEAD_BYTES: usize = 1024;
const RAW_BYTES: usize = 32 * 1024;
/// A UTF-16 unit of two bytes becomes three bytes of UTF-8 at most.
const TEXT_BYTES: usize = RAW_BYTES / 2 * 3;

const UTF16_MARK_BYTES: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ByteOrder {
    LowFirst,
    HighFirst,
}

/// What an object's first bytes say of its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mark {
    None,
    Utf8,
    Utf16(ByteOrder),
    Utf32,
}

impl Mark {
    fn of(head: &[u8]) -> Self {
        match head {
            [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Self::Utf32,
            [0xff, 0xfe, ..] => Self::Utf16(ByteOrder::LowFirst),
            [0xfe, 0xff, ..] => Self::Utf16(ByteOrder::HighFirst),
            [0xef, 0xbb, 0xbf, ..] => Self::Utf8,
            _ => Self::None,
        }
    }
}

/// Opens plain bytes for a reader of `format`.
///
/// # Errors
/// An object whose encoding cannot be told, or is not the declared one. Lone surrogates show when they are read.
pub(super) fn open<'a>(mut source: impl Read + 'a, format: &Format) -> Result<Box<dyn Read + 'a>, EngineError> {
    let mut head = Vec::with_capacity(HEAD_BYTES);
    source.by_ref().take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    let order = if head.is_empty() { None } else { byte_order(&head, format).map_err(EngineError::unreadable)? };
    let marked = match Mark::of(&head) {
        Mark::Utf16(_) => UTF16_MARK_BYTES,
        _ => 0,
    };
    let mut head = Cursor::new(head);
    Ok(match order {
        None => Box::new(head.chain(source)),
        Some(order) => {
            head.set_position(marked as u64);
            Box::new(Utf16Reader::new(head.chain(source), order, marked))
        }
    })
}

/// The byte order of an object that is UTF-16, `None` for any other, or why it cannot be read.
fn byte_order(head: &[u8], format: &Format) -> Result<Option<ByteOrder>, &'static str> {
    let (declared, has_header) = match format {
        Format::Json => (Encoding::Utf8, false),
        Format::Csv(csv) => (csv.encoding, csv.header),
    };
    let in_order = |order, mark| match mark {
        Mark::None => check_unmarked(head, order).map(|()| Some(order)),
        Mark::Utf16(found) if found == order => Ok(Some(order)),
        _ => Err("the object's byte order mark contradicts the encoding that its mapping declares"),
    };
    match (declared, Mark::of(head)) {
        (_, Mark::Utf32) => Err("the object begins with the byte order mark of UTF-32, which is not read"),
        (Encoding::Utf8 | Encoding::Utf16, Mark::Utf16(order)) => Ok(Some(order)),
        (Encoding::Utf16, _) => {
            Err("the mapping declares utf-16 but the object has no byte order mark: declare utf-16le or utf-16be")
        }
        (Encoding::Utf16Le, mark) => in_order(ByteOrder::LowFirst, mark),
        (Encoding::Utf16Be, mark) => in_order(ByteOrder::HighFirst, mark),
        (Encoding::Latin1 | Encoding::Windows1252, Mark::Utf16(_)) => {
            Err("the object begins with the byte order mark of UTF-16, but its mapping declares another encoding")
        }
        (_, Mark::None | Mark::Utf8) if seems_utf16(head, has_header) => Err(
            "the object begins with NUL bytes as UTF-16 has them: declare utf-16le or utf-16be in a mapping, or begin it with a \
             byte order mark",
        ),
        (_, Mark::None | Mark::Utf8) => Ok(None),
    }
}

/// NUL bytes at even places and at odd ones.
fn nul_bytes(bytes: &[u8]) -> [usize; 2] {
    let mut counts = [0; 2];
    bytes.iter().enumerate().filter(|(_, byte)| **byte == 0).for_each(|(at, _)| counts[at % 2] += 1);
    counts
}

/// Whether the first line has NUL bytes where UTF-16 has them. No name of a column has any; a first line of values may.
fn seems_utf16(head: &[u8], has_header: bool) -> bool {
    let line = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let [even, odd] = nul_bytes(line);
    let (most, least) = (even.max(odd), even.min(odd));
    most > 0 && (has_header || (least == 0 && 4 * most >= line.len()))
}

/// Holds a declared byte order against the bytes. Delimiters and line ends show it, whatever the language.
fn check_unmarked(head: &[u8], order: ByteOrder) -> Result<(), &'static str> {
    let [even, odd] = nul_bytes(head);
    let (expected, other) = if order == ByteOrder::LowFirst { (odd, even) } else { (even, odd) };
    let is_utf8 = || std::str::from_utf8(head).map_or_else(|error| error.error_len().is_none(), |_| true);
    match (expected, other) {
        (0, 0) if is_utf8() => Err("the mapping declares UTF-16, but the object is not UTF-16"),
        (0, 1..) => Err("the mapping declares UTF-16, but the object's bytes are in the other order"),
        _ => Ok(()),
    }
}

/// Reads UTF-16 as UTF-8.
struct Utf16Reader<R> {
    source: R,
    decoder: Decoder,
    raw: Box<[u8]>,
    /// What of `raw` was not decoded yet.
    raw_at: usize,
    raw_end: usize,
    text: Box<[u8]>,
    /// What of `text` was not handed out yet.
    text_at: usize,
    text_end: usize,
    /// Offset of `raw_at` in the plain stream.
    offset: u64,
    source_at_end: bool,
    at_end: bool,
}

impl<R: Read> Utf16Reader<R> {
    /// `offset`: bytes of the object before the source's first.
    fn new(source: R, order: ByteOrder, offset: usize) -> Self {
        let encoding = match order {
            ByteOrder::LowFirst => UTF_16LE,
            ByteOrder::HighFirst => UTF_16BE,
        };
        Self {
            source,
            decoder: encoding.new_decoder_without_bom_handling(),
            raw: vec![0; RAW_BYTES].into(),
            raw_at: 0,
            raw_end: 0,
            text: vec![0; TEXT_BYTES].into(),
            text_at: 0,
            text_end: 0,
            offset: offset as u64,
            source_at_end: false,
            at_end: false,
        }
    }

    /// Decodes some more, perhaps nothing.
    fn fill(&mut self) -> io::Result<()> {
        if self.raw_at == self.raw_end && !self.source_at_end {
            self.raw_end = self.source.read(&mut self.raw)?;
            self.raw_at = 0;
            self.source_at_end = self.raw_end == 0;
        }
        let raw = &self.raw[self.raw_at..self.raw_end];
        let (result, taken, given) =
            self.decoder.decode_to_utf8_without_replacement(raw, &mut self.text, self.source_at_end);
        self.raw_at += taken;
        self.offset += taken as u64;
        (self.text_at, self.text_end) = (0, given);
        match result {
            DecoderResult::InputEmpty => self.at_end = self.source_at_end,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) if self.source_at_end && !self.offset.is_multiple_of(2) => {
                return Err(damaged("the UTF-16 text ends in the middle of a character"));
            }
            DecoderResult::Malformed(bad, after) => {
                let at = self.offset - u64::from(bad) - u64::from(after);
                return Err(damaged(format!("the UTF-16 text has a lone surrogate (at byte {at})")));
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Utf16Reader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.text_at == self.text_end {
            if self.at_end {
                return Ok(0);
            }
            self.fill()?;
        }
        let count = into.len().min(self.text_end - self.text_at);
        into[..count].copy_from_slice(&self.text[self.text_at..self.text_at + count]);
        self.text_at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::CsvFormat;
    use super::*;

    fn units(units: impl IntoIterator<Item = u16>, order: ByteOrder) -> Vec<u8> {
        let bytes = |unit: u16| if order == ByteOrder::LowFirst { unit.to_le_bytes() } else { unit.to_be_bytes() };
        units.into_iter().flat_map(bytes).collect()
    }

    fn utf16(text: &str, order: ByteOrder) -> Vec<u8> {
        units(text.encode_utf16(), order)
    }

    fn csv(encoding: Encoding) -> Format {
        Format::Csv(CsvFormat { encoding, ..CsvFormat::default() })
    }

    /// Delivers as many bytes per call as it is told.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.1.min(into.len());
            self.0.read(&mut into[..count])
        }
    }

    fn text(bytes: &[u8], format: &Format, bytes_per_read: usize) -> Result<Vec<u8>, String> {
        let mut text = Vec::new();
        let read = open(Slow(bytes, bytes_per_read), format)
            .and_then(|mut reader| reader.read_to_end(&mut text).map_err(EngineError::from));
        read.map(|_| text).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check(bytes: &[u8], format: &Format, expected: Result<&str, &str>) {
        for bytes_per_read in [1, 3, 1 << 20] {
            match (text(bytes, format, bytes_per_read), expected) {
                (Ok(text), Ok(expected)) => assert_eq!(String::from_utf8_lossy(&text), expected),
                (Err(error), Err(expected)) => assert!(error.contains(expected), "{error}"),
                (result, expected) => panic!("{result:?}, expected {expected:?}"),
            }
        }
    }

    const TEXT: &str = "id,name\n1,Kölsch 🍺 名\n";

    #[test]
    fn utf_16_is_read_where_it_is_declared_or_marked() {
        use ByteOrder::{HighFirst, LowFirst};
        for (order, declared) in [(LowFirst, Encoding::Utf16Le), (HighFirst, Encoding::Utf16Be)] {
            let marked = utf16(&format!("\u{feff}{TEXT}"), order);
            check(&utf16(TEXT, order), &csv(declared), Ok(TEXT));
            for format in [csv(declared), csv(Encoding::Utf16), csv(Encoding::Utf8), Format::Json] {
                check(&marked, &format, Ok(TEXT));
                check(&marked[..2], &format, Ok(""));
                check(b"", &format, Ok(""));
            }
        }
        check(TEXT.as_bytes(), &csv(Encoding::Utf8), Ok(TEXT));
        check(&utf16("名\n字\n", LowFirst), &csv(Encoding::Utf16Le), Ok("名\n字\n"));
        check("\u{feff}id\n".as_bytes(), &csv(Encoding::Utf8), Ok("\u{feff}id\n"));
        check(b"id\nnu\0l\n", &csv(Encoding::Utf8), Ok("id\nnu\0l\n"));
        check(b"{\"a\":\"\0\"}", &Format::Json, Ok("{\"a\":\"\0\"}"));
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        use ByteOrder::{HighFirst, LowFirst};
        let headless = Format::Csv(CsvFormat { header: false, ..CsvFormat::default() });
        for order in [LowFirst, HighFirst] {
            for format in [csv(Encoding::Utf8), csv(Encoding::Latin1), headless.clone(), Format::Json] {
                check(&utf16(TEXT, order), &format, Err("NUL bytes"));
            }
            check(&utf16("{\n}", order), &Format::Json, Err("NUL bytes"));
            check(&utf16(TEXT, order), &csv(Encoding::Utf16), Err("no byte order mark"));
            let marked = utf16(&format!("\u{feff}{TEXT}"), order);
            check(&marked, &csv(Encoding::Windows1252), Err("declares another encoding"));
            let other = if order == LowFirst { Encoding::Utf16Be } else { Encoding::Utf16Le };
            check(&marked, &csv(other), Err("contradicts"));
            check(&utf16(TEXT, order), &csv(other), Err("other order"));
        }
        check(TEXT.as_bytes(), &csv(Encoding::Utf16Le), Err("not UTF-16"));
        check("\u{feff}id\n".as_bytes(), &csv(Encoding::Utf16Be), Err("contradicts"));
        check(b"\xff\xfe\0\0i\0\0\0", &csv(Encoding::Utf8), Err("UTF-32"));
        check(b"\0\0\xfe\xff\0\0\0i", &Format::Json, Err("UTF-32"));
    }

    #[test]
    fn lone_surrogates_and_half_characters_are_errors() {
        let marked = |rest: &[u16]| units([0xfeff, 0x69].iter().chain(rest).copied(), ByteOrder::LowFirst);
        let check = |bytes: &[u8], expected: &str| check(bytes, &Format::Json, Err(expected));
        check(&marked(&[0xd83c, 0x69]), "lone surrogate (at byte 4)");
        check(&marked(&[0x69, 0xdf7a]), "lone surrogate (at byte 6)");
        check(&marked(&[0xd83c]), "lone surrogate (at byte 4)");
        check(&marked(&[0xd83c, 0xdf7a])[..7], "middle of a character");
        let mut long = vec![0x69; 100_000];
        long.push(0xdc00);
        check(&marked(&long), "lone surrogate (at byte 200004)");
    }

    proptest! {
        /// Against the standard library's decoder.
        #[test]
        fn any_units_are_read_as_the_standard_library_reads_them(
            start in 0usize..3, body in prop::collection::vec(prop_oneof![8 => any::<char>().prop_map(u32::from), 1 => 0xd800u32..0xe000], 0..200),
            repeat in 1usize..400, bytes_per_read in 1usize..5_000,
        ) {
            let body: Vec<u16> = body.into_iter().flat_map(|value| match char::from_u32(value) {
                Some(char) => char.encode_utf16(&mut [0; 2]).to_vec(),
                None => vec![value as u16],
            }).collect();
            let all: Vec<u16> = std::iter::repeat_n(0x7f, start).chain(body.repeat(repeat)).collect();
            let expected = char::decode_utf16(all.iter().copied()).collect::<Result<String, _>>();
            let bytes = units(std::iter::once(0xfeff).chain(all), ByteOrder::HighFirst);
            let found = text(&bytes, &Format::Json, bytes_per_read);
            match expected {
                Ok(expected) => prop_assert_eq!(found.expect("read"), expected.into_bytes()),
                Err(_) => prop_assert!(found.expect_err("refused").contains("lone surrogate")),
            }
        }
    }
}

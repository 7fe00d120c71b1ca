//! CSV as RFC 4180 and Postgres write it, on bytes: quoted newlines, doubled quotes, CRLF.
//!
//! Our own reader because one thing matters here that the usual ones do not tell: whether a field was quoted. Unquoted empty
//! is NULL, quoted empty is the empty string. Lines without any field are skipped, unless the file has a single column.
//! Two parts: [`CsvCutter`] finds where records end, jumping from quote to quote; [`Records`] splits whole records into fields
//! that borrow from the block. Knows nothing of encodings, headers or types.
//!
//! A record beyond the limit costs itself, up to the end of its line. Unless there are quotes where that is looked for: text that
//! goes on after the end of a line in a quoted field would be read as records, and its words end up in columns they do not belong
//! to. Then the object is damaged.

use memchr::{memchr, memchr2, memrchr};

use super::RECORD_BYTES_MAX;
use super::block::{Boundary, Cut, Resume};

/// Reason of a record that is larger than a block may become.
const TOO_LARGE: &str = "the record is larger than the limit";
const QUOTED_TOO_LARGE: &str = "a record with a quoted field is larger than the limit";
const AFTER_QUOTE: &str = "text follows a closing quote";
const NEVER_CLOSED: &str = "a quote is never closed";

/// Finds ends of records.
#[derive(Debug)]
pub(super) struct CsvCutter {
    delimiter: u8,
    /// Bytes looked at so far.
    at: usize,
    /// Whether `at` lies inside quotes.
    quoted: bool,
    /// End of the last whole record.
    end: usize,
}

/// A record beyond the limit.
enum TooLarge {
    /// The limit lies outside quotes.
    Unquoted,
    /// It lies in a quoted field.
    Quoted,
}

impl CsvCutter {
    pub(super) fn new(delimiter: u8) -> Self {
        Self { delimiter, at: 0, quoted: false, end: 0 }
    }

    /// Takes the bytes from `at` to `until`, all outside quotes.
    fn take_unquoted(&mut self, bytes: &[u8], until: usize) -> Result<(), TooLarge> {
        let mut from = std::mem::replace(&mut self.at, until);
        if until - self.end <= RECORD_BYTES_MAX {
            if let Some(newline) = memrchr(b'\n', &bytes[from..until]) {
                self.end = from + newline + 1;
            }
            return Ok(());
        }
        // Somewhere in here a record may be too large, so ends are found one by one.
        loop {
            let newline = memchr(b'\n', &bytes[from..until]).map(|newline| from + newline);
            if newline.unwrap_or(until) - self.end > RECORD_BYTES_MAX {
                return Err(TooLarge::Unquoted);
            }
            let Some(newline) = newline else { return Ok(()) };
            (self.end, from) = (newline + 1, newline + 1);
        }
    }

    /// Looks at everything that was not seen yet.
    fn scan(&mut self, bytes: &[u8], at_end: bool) -> Result<(), TooLarge> {
        while self.at < bytes.len() {
            let quote = memchr(b'"', &bytes[self.at..]).map(|quote| self.at + quote);
            if !self.quoted {
                self.take_unquoted(bytes, quote.unwrap_or(bytes.len()))?;
                let Some(quote) = quote else { return Ok(()) };
                // Anywhere but at a field's start a quote is data.
                self.quoted = quote == 0 || bytes[quote - 1] == self.delimiter || bytes[quote - 1] == b'\n';
                self.at = quote + 1;
                continue;
            }
            match quote {
                None => self.at = bytes.len(),
                // The first half of a doubled quote, or the end of the field.
                Some(quote) => match bytes.get(quote + 1) {
                    Some(b'"') => self.at = quote + 2,
                    None if !at_end => {
                        self.at = quote;
                        break;
                    }
                    _ => (self.quoted, self.at) = (false, quote + 1),
                },
            }
            // The first byte beyond the limit is in quotes, even if they are closed by now.
            if self.at - self.end > RECORD_BYTES_MAX {
                return Err(TooLarge::Quoted);
            }
        }
        Ok(())
    }
}

impl Cut for CsvCutter {
    fn cut(&mut self, bytes: &[u8], at_end: bool) -> Boundary {
        let scanned = self.scan(bytes, at_end);
        match (scanned, self.end) {
            (Ok(()), _) if at_end => Boundary::At(bytes.len()),
            (Ok(()), 0) => Boundary::More,
            (Err(TooLarge::Unquoted), 0) => {
                let resume = Resume::Unquoted(QUOTED_TOO_LARGE);
                Boundary::Broken { why: TOO_LARGE, resume, from: RECORD_BYTES_MAX }
            }
            (Err(TooLarge::Quoted), 0) => Boundary::Lost { why: QUOTED_TOO_LARGE },
            (_, end) => Boundary::At(end),
        }
    }

    fn reset(&mut self) {
        *self = Self::new(self.delimiter);
    }
}

/// The fields of one record.
#[derive(Debug, Default)]
pub(super) struct Fields {
    spans: Vec<Span>,
    /// Content of fields whose quotes had to be undoubled.
    unescaped: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    end: usize,
    quoted: bool,
    unescaped: bool,
}

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content<'a> {
    /// Bytes of the block, with their place in it.
    Of(usize, &'a [u8]),
    /// Bytes that are not in the block as they are.
    Unescaped(&'a [u8]),
}

impl<'a> Content<'a> {
    pub(super) fn bytes(self) -> &'a [u8] {
        match self {
            Self::Of(_, bytes) | Self::Unescaped(bytes) => bytes,
        }
    }
}

impl Fields {
    pub(super) fn len(&self) -> usize {
        self.spans.len()
    }

    /// A field without its quotes, and whether it had any. `block` is what the record was read from.
    pub(super) fn get<'a>(&'a self, block: &'a [u8], at: usize) -> Option<(Content<'a>, bool)> {
        self.spans.get(at).map(|span| self.content(*span, block))
    }

    pub(super) fn clear(&mut self) {
        self.spans.clear();
        self.unescaped.clear();
    }

    /// The fields as records of so many fields each, in order. Each field is told as [`Fields::get`] does.
    pub(super) fn column<'a>(
        &'a self,
        block: &'a [u8],
        at: usize,
        width: usize,
    ) -> impl Iterator<Item = (Content<'a>, bool)> {
        self.spans.chunks_exact(width).map(move |record| self.content(record[at], block))
    }

    #[inline]
    fn content<'a>(&'a self, span: Span, block: &'a [u8]) -> (Content<'a>, bool) {
        let content = if span.unescaped {
            Content::Unescaped(&self.unescaped[span.start..span.end])
        } else {
            Content::Of(span.start, &block[span.start..span.end])
        };
        (content, span.quoted)
    }

    fn push(&mut self, start: usize, end: usize, quoted: bool) {
        self.spans.push(Span { start, end, quoted, unescaped: false });
    }

    /// Forgets the fields from `count` on.
    pub(super) fn truncate(&mut self, count: usize) {
        self.spans.truncate(count);
    }

    /// Whether the last record, which begins with field `from`, is an empty line.
    fn is_blank(&self, from: usize) -> bool {
        matches!(self.spans[from..], [Span { start, end, quoted: false, .. }] if start == end)
    }
}

/// Splits whole records, one after the other. A copy goes on from where it was taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Records<'b> {
    bytes: &'b [u8],
    at: usize,
    /// Where the last record begins.
    pub(super) start: usize,
    delimiter: u8,
    /// Fields of the object's first record; `None` as long as there was none.
    pub(super) width: Option<usize>,
}

impl<'b> Records<'b> {
    pub(super) fn new(bytes: &'b [u8], delimiter: u8, width: Option<usize>) -> Self {
        Self { bytes, at: 0, start: 0, delimiter, width }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The next record into `fields`, or why it is none; `None` at the end.
    #[inline]
    pub(super) fn next(&mut self, fields: &mut Fields) -> Option<Result<(), &'static str>> {
        fields.clear();
        self.append(fields)
    }

    /// The next record behind those that `fields` holds. One that is none may leave fields behind.
    #[inline]
    pub(super) fn append(&mut self, fields: &mut Fields) -> Option<Result<(), &'static str>> {
        let before = fields.len();
        while self.at < self.bytes.len() {
            self.start = self.at;
            if let Err(why) = self.read_record(fields) {
                return Some(Err(why));
            }
            if fields.is_blank(before) && self.width != Some(1) {
                fields.truncate(before);
                continue;
            }
            self.width.get_or_insert(fields.len() - before);
            return Some(Ok(()));
        }
        None
    }

    #[inline]
    fn read_record(&mut self, fields: &mut Fields) -> Result<(), &'static str> {
        let (bytes, mut fault) = (self.bytes, None);
        loop {
            let start = self.at;
            let ended = if bytes.get(start) == Some(&b'"') {
                self.read_quoted(fields, &mut fault)
            } else {
                let end = end_of_field(bytes, start, self.delimiter);
                let ended = bytes.get(end) != Some(&self.delimiter);
                fields.push(start, if ended { without_return(bytes, start, end) } else { end }, false);
                self.at = (end + 1).min(bytes.len());
                ended
            };
            if ended {
                return fault.map_or(Ok(()), Err);
            }
        }
    }

    /// Reads a field that begins with a quote. Returns whether the record ends with it.
    fn read_quoted(&mut self, fields: &mut Fields, fault: &mut Option<&'static str>) -> bool {
        let (bytes, start) = (self.bytes, self.at + 1);
        let (mut at, unescaped_start) = (start, fields.unescaped.len());
        let mut taken = start;
        let close = loop {
            let Some(quote) = memchr(b'"', &bytes[at..]).map(|quote| at + quote) else {
                self.at = bytes.len();
                *fault = Some(NEVER_CLOSED);
                return true;
            };
            if bytes.get(quote + 1) != Some(&b'"') {
                break quote;
            }
            fields.unescaped.extend_from_slice(&bytes[taken..=quote]);
            (at, taken) = (quote + 2, quote + 2);
        };
        if taken == start {
            fields.push(start, close, true);
        } else {
            fields.unescaped.extend_from_slice(&bytes[taken..close]);
            let end = fields.unescaped.len();
            fields.spans.push(Span { start: unescaped_start, end, quoted: true, unescaped: true });
        }
        let after = close + 1;
        let end = memchr2(self.delimiter, b'\n', &bytes[after..]).map_or(bytes.len(), |run| after + run);
        let ended = bytes.get(end) != Some(&self.delimiter);
        if (if ended { without_return(bytes, after, end) } else { end }) != after {
            *fault = Some(AFTER_QUOTE);
        }
        self.at = (end + 1).min(bytes.len());
        ended
    }
}

/// A one in the lowest bit of each byte.
const ONES: u64 = u64::MAX / 255;
/// The highest bit of each byte.
const HIGH: u64 = ONES * 0x80;
/// Bytes of a field that are looked at eight at a time; most numbers and dates end in them.
const SHORT_FIELD_BYTES: usize = 24;

/// Where the field ends that begins at `start`: at a delimiter, the end of a line, or the end of the bytes.
#[inline]
fn end_of_field(bytes: &[u8], start: usize, delimiter: u8) -> usize {
    let (delimiters, newlines) = (ONES * u64::from(delimiter), ONES * u64::from(b'\n'));
    // The lowest bit set is right; those above it may be a carry's.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let mut at = start;
    while at - start < SHORT_FIELD_BYTES
        && let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>)
    {
        let word = u64::from_le_bytes(*eight);
        let ends = zeros(word ^ delimiters) | zeros(word ^ newlines);
        if ends != 0 {
            return at + (ends.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    memchr2(delimiter, b'\n', &bytes[at..]).map_or(bytes.len(), |run| at + run)
}

/// `end`, or one less where a carriage return stands before the end of the line.
#[inline]
fn without_return(bytes: &[u8], start: usize, end: usize) -> usize {
    if end > start && bytes[end - 1] == b'\r' { end - 1 } else { end }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::block::Blocks;
    use crate::engine::block::tests::blocks;
    use proptest::prelude::*;

    /// Records as `[a|b]`; NULL-able (unquoted) empty fields show as `∅`, records that are none as `!`.
    fn shown(bytes: &[u8], block_bytes: usize) -> String {
        let (mut fields, mut width, mut shown) = (Fields::default(), None, String::new());
        for block in blocks(bytes, CsvCutter::new(b','), block_bytes) {
            if block.broken.is_some() {
                shown.push('!');
                continue;
            }
            let mut records = Records::new(block.bytes(), b',', width);
            while let Some(record) = records.next(&mut fields) {
                if record.is_err() {
                    shown.push('!');
                    continue;
                }
                let texts = (0..fields.len()).map(|at| match fields.get(block.bytes(), at).expect("in range") {
                    (content, false) if content.bytes().is_empty() => "∅".to_owned(),
                    (content, _) => String::from_utf8_lossy(content.bytes()).into_owned(),
                });
                shown.push_str(&format!("[{}]", texts.collect::<Vec<_>>().join("|")));
            }
            width = records.width;
        }
        shown
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        for block_bytes in [1, 2, 3, 7, 1 << 20] {
            assert_eq!(shown(text.as_bytes(), block_bytes), expected, "{text:?} in blocks of {block_bytes}");
        }
    }

    #[test]
    fn records_are_cut_as_rfc_4180_says() {
        check("", "");
        check("a,b\n1,2\n", "[a|b][1|2]");
        check("a,b\r\n1,2", "[a|b][1|2]");
        check("\u{feff}a,b\n", "[a|b]");
        check("\u{feff}\"a\",b\n", "[a|b]");
        check("\u{feff}", "");
        check("a,b\n,\"\"\n", "[a|b][∅|]");
        check("\"x\ny\",\"say \"\"hi\"\", ok\"\n", "[x\ny|say \"hi\", ok]");
        check("a,b\n\n\r\n1,2\n\n", "[a|b][1|2]");
        check("a\n\n1\n", "[a][∅][1]");
        check("a,b\n1\n1,2,3\n", "[a|b][1][1|2|3]");
        check("a,5\"2\n", "[a|5\"2]");
        check("a,x\ry\n", "[a|x\ry]");
        check("a,\n", "[a|∅]");
        check("a,\"\"", "[a|]");
        check("a,b\r", "[a|b]");
        check("a,b\r\r\n", "[a|b\r]");
    }

    #[test]
    fn broken_records_do_not_take_their_neighbours_along() {
        check("a,b\n\"1\"x,2\n3,4\n", "[a|b]![3|4]");
        check("a,b\n\"1\"\rx,2\n3,4\n", "[a|b]![3|4]");
        check("a,b\n\"1\"x,\"2\n3\",4\n", "[a|b]!");
        check("a,b\n1,\"2\n3,4\n", "[a|b]!");
    }

    #[test]
    fn a_record_beyond_the_limit_is_skipped_to_the_end_of_its_line() {
        let record = |length: usize| {
            let mut text = b"a,b\n1,".to_vec();
            text.resize(4 + length, b'x');
            text.extend_from_slice(b"\n3,\"4\"\n");
            text
        };
        assert_eq!(shown(&record(RECORD_BYTES_MAX + 640 * 1024), 1 << 20), "[a|b]![3|4]");
        assert_eq!(shown(&record(RECORD_BYTES_MAX + 1), 1 << 16), "[a|b]![3|4]");
        assert!(!shown(&record(RECORD_BYTES_MAX), 1 << 16).contains('!'));
    }

    /// Why an object with such a record after its header cannot be read; `None` if it can.
    fn refusal(record: &[u8], block_bytes: usize) -> Option<String> {
        let text = [b"a,b\n", record].concat();
        let mut blocks = Blocks::new(&text[..], CsvCutter::new(b','), block_bytes);
        loop {
            match blocks.next(Vec::new()) {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(error.to_string()),
            }
        }
    }

    #[test]
    fn quotes_in_a_record_beyond_the_limit_refuse_the_object() {
        let long = |length: usize| "x".repeat(length);
        let (limit, rest) = (RECORD_BYTES_MAX, "more,text\nof one,field\"\n3,4\n");
        let check = |record: String, is_refused: bool| {
            for block_bytes in [1 << 16, 1 << 20] {
                let found = refusal(record.as_bytes(), block_bytes);
                let place = format!("{}…, {} bytes, blocks of {block_bytes}", &record[..4], record.len());
                assert_eq!(found.as_deref(), is_refused.then_some(QUOTED_TOO_LARGE), "{place}");
            }
        };
        // The limit lies in quotes: long before they close, right there, and where nothing closes them.
        check(format!("1,\"{}\n{rest}", long(limit)), true);
        check(format!("1,\"{}\"\n3,4\n", long(limit - 3)), true);
        check(format!("1,\"{}\"\"{rest}", long(limit - 4)), true);
        check(format!("1,\"{}\n", long(limit)), true);
        // Behind it a field begins with quotes; behind its line they are another record's.
        check(format!("1{},\"a\n{rest}", long(limit)), true);
        check(format!("1{}\n3,\"a\n{rest}", long(limit)), false);
        // The limit itself is allowed.
        check(format!("1,\"{}\"\n3,4\n", long(limit - 4)), false);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            rows in prop::collection::vec(prop::collection::vec("[a\",\n\r;é]{0,5}", 2..4), 1..6), block_bytes in 1usize..40,
        ) {
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let text: String = rows.iter()
                .map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n")
                .collect();
            let expected: String = rows.iter().map(|row| format!("[{}]", row.join("|"))).collect();
            prop_assert_eq!(shown(text.as_bytes(), block_bytes), expected);
        }
    }
}

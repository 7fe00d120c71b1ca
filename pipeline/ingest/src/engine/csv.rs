//! CSV as RFC 4180 and Postgres write it, on bytes: quoted newlines, doubled quotes, CRLF.
//!
//! Our own reader because one thing matters here that the usual ones do not tell: whether a field was quoted. Unquoted empty
//! is NULL, quoted empty is the empty string. Lines without any field are skipped, unless the file has a single column.
//! Two parts: [`CsvCutter`] finds where records end, jumping from quote to quote; [`Records`] splits whole records into fields
//! that borrow from the block. Knows nothing of encodings, headers or types.

use memchr::{memchr, memchr2, memrchr};

use super::RECORD_BYTES_MAX;
use super::block::{Boundary, Cut, Resume};

/// Reason of a record that is larger than a block may become.
pub(super) const TOO_LARGE: &str = "the record is larger than the limit";
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

impl CsvCutter {
    pub(super) fn new(delimiter: u8) -> Self {
        Self { delimiter, at: 0, quoted: false, end: 0 }
    }

    /// Takes the bytes from `at` to `until`, all outside quotes. `false` for a record beyond the limit.
    fn take_unquoted(&mut self, bytes: &[u8], until: usize) -> bool {
        let mut from = std::mem::replace(&mut self.at, until);
        if until - self.end <= RECORD_BYTES_MAX {
            if let Some(newline) = memrchr(b'\n', &bytes[from..until]) {
                self.end = from + newline + 1;
            }
            return true;
        }
        // Somewhere in here a record may be too large, so ends are found one by one.
        loop {
            let newline = memchr(b'\n', &bytes[from..until]).map(|newline| from + newline);
            if newline.unwrap_or(until) - self.end > RECORD_BYTES_MAX {
                return false;
            }
            let Some(newline) = newline else { return true };
            (self.end, from) = (newline + 1, newline + 1);
        }
    }

    /// Looks at everything that was not seen yet. `false` for a record beyond the limit.
    fn scan(&mut self, bytes: &[u8], at_end: bool) -> bool {
        while self.at < bytes.len() {
            let quote = memchr(b'"', &bytes[self.at..]).map(|quote| self.at + quote);
            if !self.quoted {
                if !self.take_unquoted(bytes, quote.unwrap_or(bytes.len())) {
                    return false;
                }
                let Some(quote) = quote else { return true };
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
            if self.at - self.end > RECORD_BYTES_MAX {
                return false;
            }
        }
        true
    }
}

impl Cut for CsvCutter {
    fn cut(&mut self, bytes: &[u8], at_end: bool) -> Boundary {
        let within_limit = self.scan(bytes, at_end);
        match (within_limit, self.end) {
            (true, _) if at_end => Boundary::At(bytes.len()),
            (true, 0) => Boundary::More,
            (false, 0) => Boundary::Broken { why: TOO_LARGE, resume: Resume::Line, from: RECORD_BYTES_MAX },
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
        let span = self.spans.get(at)?;
        let content = if span.unescaped {
            Content::Unescaped(&self.unescaped[span.start..span.end])
        } else {
            Content::Of(span.start, &block[span.start..span.end])
        };
        Some((content, span.quoted))
    }

    fn clear(&mut self) {
        self.spans.clear();
        self.unescaped.clear();
    }

    fn push(&mut self, start: usize, end: usize, quoted: bool) {
        self.spans.push(Span { start, end, quoted, unescaped: false });
    }

    fn is_blank(&self) -> bool {
        matches!(self.spans[..], [Span { start, end, quoted: false, .. }] if start == end)
    }
}

/// Splits whole records, one after the other.
#[derive(Debug)]
pub(super) struct Records<'b> {
    bytes: &'b [u8],
    at: usize,
    delimiter: u8,
    /// Fields of the object's first record; `None` as long as there was none.
    pub(super) width: Option<usize>,
}

impl<'b> Records<'b> {
    pub(super) fn new(bytes: &'b [u8], delimiter: u8, width: Option<usize>) -> Self {
        Self { bytes, at: 0, delimiter, width }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The next record into `fields`, or why it is none; `None` at the end.
    #[inline]
    pub(super) fn next(&mut self, fields: &mut Fields) -> Option<Result<(), &'static str>> {
        while self.at < self.bytes.len() {
            fields.clear();
            if let Err(why) = self.read_record(fields) {
                return Some(Err(why));
            }
            if fields.is_blank() && self.width != Some(1) {
                continue;
            }
            self.width.get_or_insert(fields.len());
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
                let end = memchr2(self.delimiter, b'\n', &bytes[start..]).map_or(bytes.len(), |run| start + run);
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

/// `end`, or one less where a carriage return stands before the end of the line.
#[inline]
fn without_return(bytes: &[u8], start: usize, end: usize) -> usize {
    if end > start && bytes[end - 1] == b'\r' { end - 1 } else { end }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            let mut text = b"a,b\n1,\"".to_vec();
            text.resize(4 + length - 1, b'x');
            text.extend_from_slice(b"\"\n3,4\n");
            text
        };
        assert_eq!(shown(&record(RECORD_BYTES_MAX + 640 * 1024), 1 << 20), "[a|b]![3|4]");
        assert_eq!(shown(&record(RECORD_BYTES_MAX + 1), 1 << 16), "[a|b]![3|4]");
        assert!(!shown(&record(RECORD_BYTES_MAX), 1 << 16).contains('!'));
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

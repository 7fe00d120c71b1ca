//! CSV as RFC 4180 and Postgres write it, on bytes: quoted newlines, doubled quotes, CRLF, a byte order mark.
//!
//! Our own reader because one thing matters here that the usual ones do not tell: whether a field was quoted. Unquoted empty
//! is NULL, quoted empty is the empty string. Lines without any field are skipped, unless the file has a single column.
//! Knows nothing of encodings, headers or types.

use std::io::{self, Read};

use super::RECORD_BYTES_MAX;

const CHUNK_BYTES: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The fields of one record.
#[derive(Debug, Default)]
pub(super) struct Fields {
    bytes: Vec<u8>,
    /// End of each field in `bytes`, and whether it was quoted.
    ends: Vec<(usize, bool)>,
}

impl Fields {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of a field without its quotes, and whether it had any.
    pub(super) fn get(&self, at: usize) -> Option<(&[u8], bool)> {
        let (end, quoted) = *self.ends.get(at)?;
        let start = if at == 0 { 0 } else { self.ends[at - 1].0 };
        Some((&self.bytes[start..end], quoted))
    }

    /// What the record takes: a line of nothing but delimiters has no bytes and many fields.
    fn memory_bytes(&self) -> usize {
        self.bytes.len() + self.ends.len() * size_of::<(usize, bool)>()
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn end_field(&mut self, quoted: bool) {
        self.ends.push((self.bytes.len(), quoted));
    }

    fn is_blank(&self) -> bool {
        self.ends == [(0, false)]
    }
}

/// One record, or why it is none.
pub(super) type CsvRecord<'a> = Result<&'a Fields, &'static str>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote inside a quoted field: its end, or the first half of a doubled quote.
    QuoteSeen,
    /// After a carriage return outside quotes, with the state it was met in.
    ReturnSeen {
        was_quoted: bool,
    },
    /// Past a record that is too large, up to its line's end.
    Skip,
}

/// Reads records one after the other.
pub(super) struct Reader<R> {
    source: R,
    delimiter: u8,
    chunk: Vec<u8>,
    at: usize,
    at_end: bool,
    begun: bool,
    fields: Fields,
    /// Number of fields of the first record.
    width: Option<usize>,
}

impl<R: Read> Reader<R> {
    pub(super) fn new(source: R, delimiter: u8) -> Self {
        Self {
            source,
            delimiter,
            chunk: Vec::new(),
            at: 0,
            at_end: false,
            begun: false,
            fields: Fields::default(),
            width: None,
        }
    }

    /// The next record; `None` at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<CsvRecord<'_>>> {
        loop {
            self.fields.clear();
            let Some(fault) = self.read_record()? else { return Ok(None) };
            if let Some(fault) = fault {
                return Ok(Some(Err(fault)));
            }
            if self.fields.is_blank() && self.width != Some(1) {
                continue;
            }
            self.width.get_or_insert(self.fields.len());
            return Ok(Some(Ok(&self.fields)));
        }
    }

    /// Reads one record into `fields`. `None` at the end; `Some(Some(fault))` for a record that breaks the format.
    fn read_record(&mut self) -> io::Result<Option<Option<&'static str>>> {
        let mut state = State::FieldStart;
        let mut fault = None;
        let mut any = false;
        loop {
            if self.at == self.chunk.len() && !self.fill()? {
                return Ok(self.end_of_input(state, fault, any));
            }
            any = true;
            if self.fields.memory_bytes() > RECORD_BYTES_MAX && state != State::Skip {
                fault = Some("the record is larger than the limit");
                self.fields.clear();
                state = State::Skip;
            }
            if self.step(&mut state, &mut fault) {
                return Ok(Some(fault));
            }
        }
    }

    /// Consumes a run of ordinary bytes or one special byte. Returns whether the record ended.
    fn step(&mut self, state: &mut State, fault: &mut Option<&'static str>) -> bool {
        let byte = self.chunk[self.at];
        match *state {
            State::Quoted => {
                let run = run_length(&self.chunk[self.at..], |byte| byte == b'"');
                self.take_run(run);
                if self.at < self.chunk.len() {
                    self.at += 1;
                    *state = State::QuoteSeen;
                }
                return false;
            }
            State::Skip => {
                let run = run_length(&self.chunk[self.at..], |byte| byte == b'\n');
                self.at += run;
                let ended = self.at < self.chunk.len();
                self.at += usize::from(ended);
                return ended;
            }
            State::ReturnSeen { was_quoted } if byte != b'\n' => {
                // A carriage return that ends no line is data, which cannot follow a closing quote.
                if was_quoted {
                    *fault = Some(AFTER_QUOTE);
                }
                self.fields.bytes.push(b'\r');
                *state = State::Unquoted;
                return false;
            }
            State::QuoteSeen if byte == b'"' => {
                self.fields.bytes.push(b'"');
                self.at += 1;
                *state = State::Quoted;
                return false;
            }
            State::FieldStart if byte == b'"' => {
                self.at += 1;
                *state = State::Quoted;
                return false;
            }
            _ => {}
        }
        let was_quoted = matches!(*state, State::QuoteSeen | State::ReturnSeen { was_quoted: true });
        if byte == b'\n' || byte == self.delimiter {
            self.at += 1;
            self.fields.end_field(was_quoted);
            *state = State::FieldStart;
            return byte == b'\n';
        }
        if byte == b'\r' {
            self.at += 1;
            *state = State::ReturnSeen { was_quoted };
            return false;
        }
        if was_quoted {
            *fault = Some(AFTER_QUOTE);
        }
        let delimiter = self.delimiter;
        let run = run_length(&self.chunk[self.at..], |byte| byte == delimiter || byte == b'\n' || byte == b'\r');
        self.take_run(run);
        *state = State::Unquoted;
        false
    }

    fn take_run(&mut self, run: usize) {
        self.fields.bytes.extend_from_slice(&self.chunk[self.at..self.at + run]);
        self.at += run;
    }

    fn end_of_input(&mut self, state: State, fault: Option<&'static str>, any: bool) -> Option<Option<&'static str>> {
        if !any {
            return None;
        }
        if state == State::Quoted {
            return Some(Some("a quote is never closed"));
        }
        let quoted = matches!(state, State::QuoteSeen | State::ReturnSeen { was_quoted: true });
        self.fields.end_field(quoted);
        Some(fault)
    }

    /// Reads the next chunk; `false` at the end.
    fn fill(&mut self) -> io::Result<bool> {
        if self.at_end {
            return Ok(false);
        }
        self.at = 0;
        self.chunk.clear();
        self.source.by_ref().take(CHUNK_BYTES as u64).read_to_end(&mut self.chunk)?;
        self.at_end = self.chunk.is_empty();
        if !std::mem::replace(&mut self.begun, true) && self.chunk.starts_with(BYTE_ORDER_MARK) {
            self.at = BYTE_ORDER_MARK.len();
            return if self.at == self.chunk.len() { self.fill() } else { Ok(true) };
        }
        Ok(!self.at_end)
    }
}

const AFTER_QUOTE: &str = "text follows a closing quote";

fn run_length(bytes: &[u8], is_special: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| is_special(*byte)).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Records as `[a|b]`; NULL-able (unquoted) empty fields show as `∅`, records that are none as `!`.
    fn shown(bytes: &[u8]) -> String {
        let mut reader = Reader::new(bytes, b',');
        let mut shown = String::new();
        while let Some(record) = reader.next().expect("in memory") {
            match record {
                Err(_) => shown.push('!'),
                Ok(fields) => {
                    let texts = (0..fields.len()).map(|at| match fields.get(at).expect("in range") {
                        (b"", false) => "∅".to_owned(),
                        (bytes, _) => String::from_utf8_lossy(bytes).into_owned(),
                    });
                    shown.push_str(&format!("[{}]", texts.collect::<Vec<_>>().join("|")));
                }
            }
        }
        shown
    }

    #[test]
    fn records_are_cut_as_rfc_4180_says() {
        let check = |text: &str, expected: &str| assert_eq!(shown(text.as_bytes()), expected, "{text:?}");
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
    }

    #[test]
    fn broken_records_do_not_take_their_neighbours_along() {
        let check = |text: &str, expected: &str| assert_eq!(shown(text.as_bytes()), expected, "{text:?}");
        check("a,b\n\"1\"x,2\n3,4\n", "[a|b]![3|4]");
        check("a,b\n\"1\"\rx,2\n3,4\n", "[a|b]![3|4]");
        check("a,b\n1,\"2\n3,4\n", "[a|b]!");
    }

    #[test]
    fn a_record_beyond_the_limit_is_skipped_to_the_end_of_its_line() {
        let mut text = b"a,b\n1,\"".to_vec();
        text.resize(RECORD_BYTES_MAX + 10 * CHUNK_BYTES, b'x');
        text.extend_from_slice(b"\"\n3,4\n");
        assert_eq!(shown(&text), "[a|b]![3|4]");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(rows in prop::collection::vec(prop::collection::vec("[a\",\n\r;é]{0,5}", 2..4), 1..6)) {
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let text: String = rows.iter()
                .map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n")
                .collect();
            let mut reader = Reader::new(text.as_bytes(), b',');
            for row in &rows {
                let fields = reader.next().expect("in memory").expect("a record").expect("well-formed");
                let read: Vec<_> = (0..fields.len()).map(|at| fields.get(at).expect("in range")).collect();
                let written: Vec<_> = row.iter().map(|field| (field.as_bytes(), true)).collect();
                prop_assert_eq!(read, written);
            }
            prop_assert!(reader.next().expect("in memory").is_none());
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(prop::sample::select(b"a\",\n\r\0\xff".to_vec()), 0..60)) {
            shown(&bytes);
        }
    }
}

//! CSV byte by byte: a state machine that copies every field. What it makes of a record beyond the limit is held against nothing.

use std::io::{self, Read};

use crate::engine::RECORD_BYTES_MAX;

const CHUNK_BYTES: usize = 64 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The fields of one record.
#[derive(Debug, Default)]
pub(in crate::engine) struct Fields {
    bytes: Vec<u8>,
    /// End of each field in `bytes`, and whether it was quoted.
    ends: Vec<(usize, bool)>,
}

impl Fields {
    pub(in crate::engine) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of a field without its quotes, and whether it had any.
    pub(in crate::engine) fn get(&self, at: usize) -> Option<(&[u8], bool)> {
        let (end, quoted) = *self.ends.get(at)?;
        let start = if at == 0 { 0 } else { self.ends[at - 1].0 };
        Some((&self.bytes[start..end], quoted))
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
pub(in crate::engine) type CsvRecord<'a> = Result<&'a Fields, &'static str>;

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
pub(in crate::engine) struct Reader<R> {
    source: R,
    delimiter: u8,
    chunk: Vec<u8>,
    at: usize,
    /// Bytes before the chunk.
    before: u64,
    /// Where the last record begins.
    start: u64,
    at_end: bool,
    begun: bool,
    fields: Fields,
    /// Number of fields of the first record.
    width: Option<usize>,
}

impl<R: Read> Reader<R> {
    pub(in crate::engine) fn new(source: R, delimiter: u8) -> Self {
        Self {
            source,
            delimiter,
            chunk: Vec::new(),
            at: 0,
            before: 0,
            start: 0,
            at_end: false,
            begun: false,
            fields: Fields::default(),
            width: None,
        }
    }

    /// Where the last record begins.
    pub(in crate::engine) fn start(&self) -> u64 {
        self.start
    }

    /// The next record; `None` at the end.
    pub(in crate::engine) fn next(&mut self) -> io::Result<Option<CsvRecord<'_>>> {
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
        let (mut any, mut taken) = (false, 0);
        loop {
            if self.at == self.chunk.len() && !self.fill()? {
                return Ok(self.end_of_input(state, fault, any));
            }
            if !any {
                self.start = self.before + self.at as u64;
            }
            any = true;
            if taken == RECORD_BYTES_MAX && state != State::Skip && !self.ends_here(state) {
                fault = Some("the record is larger than the limit");
                self.fields.clear();
                state = State::Skip;
            }
            let before = self.at;
            if self.step(&mut state, &mut fault) {
                return Ok(Some(fault));
            }
            taken += self.at - before;
        }
    }

    /// Whether the next byte ends the record.
    fn ends_here(&self, state: State) -> bool {
        self.chunk[self.at] == b'\n' && state != State::Quoted
    }

    /// Consumes one byte, or none. Returns whether the record ended.
    fn step(&mut self, state: &mut State, fault: &mut Option<&'static str>) -> bool {
        let byte = self.chunk[self.at];
        match *state {
            State::Quoted => {
                if byte == b'"' {
                    self.at += 1;
                    *state = State::QuoteSeen;
                } else {
                    self.take_byte();
                }
                return false;
            }
            State::Skip => {
                self.at += 1;
                return byte == b'\n';
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
        self.take_byte();
        *state = State::Unquoted;
        false
    }

    fn take_byte(&mut self) {
        self.fields.bytes.push(self.chunk[self.at]);
        self.at += 1;
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
        self.before += self.chunk.len() as u64;
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

//! `COPY … TO STDOUT` in text format: bytes in any chunks → rows of cells.
//!
//! Keeps at most one unfinished line. Refuses what COPY never writes (an unfinished escape, another number of columns).
//! Source: PostgreSQL documentation, "COPY", "Text Format".

use super::error::DmsError;
use super::pgoutput::Cell;

/// Splits a COPY stream into lines.
#[derive(Debug, Default)]
pub struct CopyLines {
    buffer: Vec<u8>,
}

impl CopyLines {
    /// Adds a chunk and hands every finished line, without its newline, to `take`.
    ///
    /// # Errors
    /// What `take` refuses.
    pub fn push(&mut self, chunk: &[u8], mut take: impl FnMut(&[u8]) -> Result<(), DmsError>) -> Result<(), DmsError> {
        let mut rest = chunk;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            if self.buffer.is_empty() {
                take(&rest[..end])?;
            } else {
                self.buffer.extend_from_slice(&rest[..end]);
                take(&self.buffer)?;
                self.buffer.clear();
            }
            rest = &rest[end + 1..];
        }
        self.buffer.extend_from_slice(rest);
        Ok(())
    }

    /// Whether the stream ended after a whole line.
    pub fn is_complete(&self) -> bool {
        self.buffer.is_empty()
    }
}

/// The values of a line; `None` is NULL.
///
/// # Errors
/// The reason why COPY cannot have written the line.
pub fn parse_line(line: &[u8]) -> Result<Vec<Option<String>>, &'static str> {
    // A tab inside a value is written `\t`, so a bare tab always separates.
    line.split(|byte| *byte == b'\t')
        .map(|field| {
            if field == b"\\N" {
                return Ok(None);
            }
            String::from_utf8(unescape(field)?).map(Some).map_err(|_| "a COPY value is not UTF-8")
        })
        .collect()
}

/// Borrows parsed values as cells.
pub(super) fn cells(values: &[Option<String>]) -> Vec<Cell<'_>> {
    values.iter().map(|value| value.as_deref().map_or(Cell::Null, Cell::Text)).collect()
}

fn unescape(field: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut plain = Vec::with_capacity(field.len());
    let mut bytes = field.iter();
    while let Some(byte) = bytes.next() {
        if *byte != b'\\' {
            plain.push(*byte);
            continue;
        }
        plain.push(match bytes.next().ok_or("a COPY value ends inside an escape")? {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'v' => 0x0b,
            other => *other,
        });
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_empty_and_escapes_are_told_apart() {
        let values = parse_line(b"1\t\\N\t\ta\\tb\\nc\\\\N\t\\\\N").expect("valid");
        let expected = [Some("1"), None, Some(""), Some("a\tb\nc\\N"), Some("\\N")];
        assert_eq!(values.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
        assert!(parse_line(b"a\\").is_err());
        assert!(parse_line(&[0xff]).is_err());
    }

    #[test]
    fn lines_survive_any_chunking() {
        let text = b"one\ntwo\n\nthree\n";
        for size in 1..text.len() {
            let (mut lines, mut seen) = (CopyLines::default(), Vec::new());
            for chunk in text.chunks(size) {
                let take = |line: &[u8]| {
                    seen.push(line.to_vec());
                    Ok(())
                };
                lines.push(chunk, take).expect("plain lines");
            }
            assert_eq!(seen, [&b"one"[..], b"two", b"", b"three"], "chunks of {size}");
            assert!(lines.is_complete());
        }
    }
}

//! Some CSV records at once, column by column: the way of records of which nothing is to be said.
//!
//! A loop over one column does one thing, where a loop over a row does another for every field. A chunk is taken whole or not at
//! all: [`Chunk::read`] ends before a record that is none or has another width, and where a value is not what its column wants,
//! nothing stays of the chunk, and its records are read one by one by whoever can say what is wrong. What a value is, is decided by
//! the same functions on both ways. Knows no rules.

use super::columns::Refused;
use super::csv::{Content, Fields, Records};

/// Records of a chunk: few enough that fields and text are still near when the last column is read.
const CHUNK_RECORDS: usize = 64;

/// Records of the same width, cut into fields.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    fields: Fields,
    width: usize,
    records: usize,
}

impl Chunk {
    /// Reads records, at most `records_max`, as far as they are good. Returns how many.
    pub(super) fn read(&mut self, records: &mut Records<'_>, records_max: usize) -> usize {
        self.fields.clear();
        self.records = 0;
        while self.records < records_max.min(CHUNK_RECORDS) {
            let before = *records;
            let read = records.append(&mut self.fields);
            self.width = records.width.unwrap_or_default();
            let is_good = matches!(read, Some(Ok(()))) && self.fields.len() == (self.records + 1) * self.width;
            if !is_good {
                // Whatever it is, it is read again.
                *records = before;
                self.fields.truncate(self.records * self.width);
                break;
            }
            self.records += 1;
        }
        self.records
    }

    /// The fields at one place of each record: their text, or nothing where an unquoted field `is_null`. `block` and `text` are
    /// what the records were read from. `None` if the records are not that wide.
    pub(super) fn cells<'a>(
        &'a self,
        at: usize,
        (block, text): (&'a [u8], &'a str),
        is_null: impl Fn(&[u8]) -> bool,
    ) -> Option<impl Iterator<Item = Result<Option<&'a str>, Refused>>> {
        let fields = (at < self.width).then(|| self.fields.column(block, at, self.width))?;
        Some(fields.map(move |(content, quoted)| match content {
            content if !quoted && is_null(content.bytes()) => Ok(None),
            // A field ends beside ASCII bytes, so it is cut out of the text whole.
            Content::Of(start, bytes) => text.get(start..start + bytes.len()).map(Some).ok_or(Refused),
            Content::Unescaped(bytes) => simdutf8::basic::from_utf8(bytes).map(Some).map_err(|_| Refused),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The cells of each column, as far as the records of a chunk go; NULL shows as `∅`, a refused one as `!`.
    fn read(text: &str, records_max: usize) -> (usize, Vec<String>, usize) {
        let mut records = Records::new(text.as_bytes(), b',', None);
        let mut chunk = Chunk::default();
        let count = chunk.read(&mut records, records_max);
        let column = |at: usize| -> Option<String> {
            let cells = chunk.cells(at, (text.as_bytes(), text), <[u8]>::is_empty)?;
            let shown = cells.map(|cell| cell.map_or("!", |cell| cell.unwrap_or("∅")));
            Some(shown.collect::<Vec<_>>().join("|"))
        };
        (count, (0..).map_while(column).collect(), records.position())
    }

    #[test]
    fn columns_hold_the_fields_of_all_records() {
        let text = "1,\"say \"\"é\"\"\"\r\n\n,\"\"\n3,x\n";
        assert_eq!(read(text, 9), (3, vec!["1|∅|3".to_owned(), "say \"é\"||x".to_owned()], text.len()));
        assert_eq!(read(text, 2), (2, vec!["1|∅".to_owned(), "say \"é\"|".to_owned()], text.len() - 4));
        assert_eq!(read("", 9), (0, vec![], 0));
    }

    #[test]
    fn a_chunk_ends_before_a_record_that_is_none_or_has_another_width() {
        let good = ["1|2".to_owned(), "a|b".to_owned()];
        for bad in ["3\n", "3,c,d\n", "3,\"c\"d\n", "3,\"c"] {
            let text = format!("1,a\n2,b\n{bad}");
            assert_eq!(read(&text, 9), (2, good.to_vec(), 8), "{bad:?}");
            assert_eq!(read(&text, 2), (2, good.to_vec(), 8), "{bad:?} is not looked at");
        }
        assert_eq!(read("1,\"c", 9), (0, vec![], 0));
    }

    #[test]
    fn it_has_a_bound() {
        let text = "1,a\n".repeat(CHUNK_RECORDS + 1);
        assert_eq!((read(&text, usize::MAX).0, read(&text, usize::MAX).2), (CHUNK_RECORDS, 4 * CHUNK_RECORDS));
    }
}

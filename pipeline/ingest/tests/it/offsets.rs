//! Where the quarantine file says that a record begins: in the text of the object, whatever it is wrapped in.

use lakebed_ingest::engine::{ColumnSource, Compression, CsvFormat, Encoding, Format};

use crate::bench::{beer_table, gzip, rows};
use crate::check::Check;

/// Wants the records that begin with these texts in quarantine, at their places in `text`.
#[track_caller]
fn check(format: &Format, object: &[u8], text: &[u8], begin: &[&[u8]]) {
    let expected: Vec<usize> = begin
        .iter()
        .map(|begin| text.windows(begin.len()).position(|found| found == *begin).expect("it is in the text"))
        .collect();
    for (object, compression) in [(object.to_vec(), Compression::Plain), (gzip(object), Compression::Gzip)] {
        let run = Check::new(beer_table("brewery"), format.clone()).run(&object, compression).expect("readable");
        let found = rows(&run.quarantine, &["source_offset"]);
        let found: Vec<usize> = found.lines().map(|offset| offset.parse().expect("a number")).collect();
        assert_eq!(found, expected, "{format:?} {compression:?}");
    }
}

const CSV: &str =
    "brewery_id,brewery_name,city,state\n\r\n1,\"two\nlines é\",X,Y\nx,A,X,Y\n\n2,B,X\n3,\"C\"z,é,Y\r\n4,D,é,Y\ny,E";
const BAD_ROWS: [&[u8]; 4] = [b"x,A", b"2,B", b"3,\"C", b"y,E"];

fn csv(encoding: Encoding) -> Format {
    Format::Csv(CsvFormat { encoding, ..CsvFormat::default() })
}

#[test]
fn a_row_begins_where_its_line_does() {
    check(&csv(Encoding::Utf8), CSV.as_bytes(), CSV.as_bytes(), &BAD_ROWS);
    let marked = format!("\u{feff}{CSV}");
    check(&csv(Encoding::Utf8), marked.as_bytes(), marked.as_bytes(), &BAD_ROWS);
    let number = |at: &str| ColumnSource::Column { name: at.to_owned(), transform: None };
    let columns = [("brewery_id", "1"), ("brewery_name", "2")].map(|(name, at)| (name.to_owned(), number(at)));
    let columns = Some(columns.into_iter().collect());
    let format = Format::Csv(CsvFormat { header: false, columns, ..CsvFormat::default() });
    check(&format, b"\xef\xbb\xbfno,columns\n", b"\xef\xbb\xbfno,columns\n", &[b"no,"]);
}

#[test]
fn of_utf_16_offsets_are_those_of_its_text_and_latin_1_is_a_byte_a_character() {
    let utf16: Vec<u8> = format!("\u{feff}{CSV}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf16Le] {
        check(&csv(encoding), &utf16, CSV.as_bytes(), &BAD_ROWS);
    }
    let latin1: Vec<u8> = CSV.chars().map(|letter| u8::try_from(letter).expect("Latin-1")).collect();
    check(&csv(Encoding::Latin1), &latin1, &latin1, &BAD_ROWS);
}

#[test]
fn a_document_begins_with_its_first_byte() {
    let text =
        "\u{feff} not one {\n\n  {\"no\": \"record\"} {\"é\": 1}{\"second\": 2}\n{\"breaks\": 1\n{\"last\":\n 3}\n";
    let begin: [&[u8]; 6] = [b"not", b"{\"no", "{\"é".as_bytes(), b"{\"second", b"{\"breaks", b"{\"last"];
    check(&Format::Json, text.as_bytes(), text.as_bytes(), &begin);
}

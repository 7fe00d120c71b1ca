//! The full load's COPY text, in chunks as a connection delivers them.

use std::hint::black_box;

use lakebed_flow::dms::copy_text::{CopyLines, parse_line};

use super::{Micro, Work};
use crate::data::Beer;

/// Bytes per chunk: a usual read of a socket.
const CHUNK_BYTES: usize = 8 * 1024;

/// Splits and unescapes; the answer is the bytes of all values.
pub(super) fn parse(beer: &Beer) -> Micro {
    let mut text = Vec::new();
    for row in &beer.reviews {
        for (at, value) in row.iter().enumerate() {
            if at > 0 {
                text.push(b'\t');
            }
            match value {
                None => text.extend(b"\\N"),
                Some(value) => escape(value, &mut text),
            }
        }
        text.push(b'\n');
    }
    let values = beer.reviews.iter().flatten().flatten();
    Micro {
        name: "dms/copy-text",
        question: "How fast is the text of COPY split into rows and values?",
        work: Work::Elements(beer.reviews.len() as u64),
        expect: values.map(|value| value.len() as u64).sum(),
        run: Box::new(move || {
            let (mut lines, mut bytes) = (CopyLines::default(), 0);
            for chunk in black_box(&text).chunks(CHUNK_BYTES) {
                lines
                    .push(chunk, |line| {
                        let values = parse_line(line).expect("a line as COPY writes it");
                        bytes += values.iter().flatten().map(|value| value.len() as u64).sum::<u64>();
                        Ok(())
                    })
                    .expect("the closure never fails");
            }
            assert!(lines.is_complete(), "the text ends with a line end");
            bytes
        }),
    }
}

/// As `COPY … TO` escapes in text format.
fn escape(value: &str, text: &mut Vec<u8>) {
    for byte in value.bytes() {
        match byte {
            b'\\' => text.extend(b"\\\\"),
            b'\n' => text.extend(b"\\n"),
            b'\r' => text.extend(b"\\r"),
            b'\t' => text.extend(b"\\t"),
            other => text.push(other),
        }
    }
}

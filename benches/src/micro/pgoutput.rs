//! pgoutput messages of inserts, updates and deletes, written as a walsender writes them.

use std::hint::black_box;

use lakebed_flow::dms::pgoutput::{Cell, Message, decode as decode_message};

use super::{Micro, Work};
use crate::data::{Beer, Row};

/// OID of the relation in the messages.
const RELATION: u32 = 16_384;

/// Decodes one message per review; the answer is the bytes of text in the decoded cells.
pub(super) fn decode(beer: &Beer) -> Micro {
    let (mut messages, mut text_bytes) = (Vec::new(), 0);
    for (at, row) in beer.reviews.iter().enumerate() {
        let (message, bytes) = match at % 4 {
            0 | 1 => message(b'I', None, row),
            2 => message(b'U', Some(&row[..1]), row),
            _ => message(b'D', Some(row), &[]),
        };
        messages.push(message);
        text_bytes += bytes;
    }
    Micro {
        name: "dms/pgoutput-decode",
        question: "How fast is a logical replication message decoded?",
        work: Work::Elements(messages.len() as u64),
        expect: text_bytes,
        run: Box::new(move || {
            messages.iter().map(|bytes| text_in(&decode_message(black_box(bytes)).expect("a valid message"))).sum()
        }),
    }
}

fn text_in(message: &Message<'_>) -> u64 {
    let of = |cells: &[Cell<'_>]| -> u64 {
        cells.iter().map(|cell| if let Cell::Text(text) = cell { text.len() as u64 } else { 0 }).sum()
    };
    match message {
        Message::Insert { new, .. } => of(new),
        Message::Update { old, new, .. } => of(new) + old.as_ref().map_or(0, |old| of(old.cells())),
        Message::Delete { old, .. } => of(old.cells()),
        _ => 0,
    }
}

/// One message and the text bytes in its cells.
fn message(tag: u8, old: Option<&[Option<String>]>, new: &[Option<String>]) -> (Vec<u8>, u64) {
    let mut message = vec![tag];
    message.extend(RELATION.to_be_bytes());
    let mut bytes = 0;
    if let Some(old) = old {
        bytes += tuple(&mut message, b'K', old);
    }
    if tag != b'D' {
        bytes += tuple(&mut message, b'N', new);
    }
    (message, bytes)
}

fn tuple(message: &mut Vec<u8>, marker: u8, row: &[Option<String>]) -> u64 {
    message.push(marker);
    message.extend(i16::try_from(row.len()).expect("few columns").to_be_bytes());
    let mut bytes = 0;
    for cell in row {
        match cell {
            None => message.push(b'n'),
            Some(text) => {
                message.push(b't');
                message.extend(i32::try_from(text.len()).expect("short texts").to_be_bytes());
                message.extend(text.as_bytes());
                bytes += text.len() as u64;
            }
        }
    }
    bytes
}

/// Borrows a row as the cells of a decoded message.
pub(super) fn cells(row: &Row) -> Vec<Cell<'_>> {
    row.iter().map(|value| value.as_deref().map_or(Cell::Null, Cell::Text)).collect()
}

//! Inflate alone: the floor under every batch figure.

use std::hint::black_box;
use std::io;

use lakebed_ingest::engine::{Compression, open_object};

use super::{Micro, Work};
use crate::data::{Beer, gzip};

/// Reads a `.csv.gz` to its end, checksum included; the answer is its plain bytes.
pub(super) fn inflate(beer: &Beer) -> Micro {
    let (object, plain_bytes) = (gzip(&beer.review_csv), beer.review_csv.len() as u64);
    Micro {
        name: "ingest/inflate",
        question: "How fast is gzip inflated, with nothing behind it?",
        work: Work::Bytes(plain_bytes),
        expect: plain_bytes,
        run: Box::new(move || {
            let mut plain = open_object(black_box(object.as_slice()), Compression::Gzip).expect("gzip");
            io::copy(&mut plain, &mut io::sink()).expect("a sound stream")
        }),
    }
}

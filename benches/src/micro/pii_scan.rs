//! The scanner over a column of free text, names and addresses left out: prose with little in it, and prose full of values.

use std::hint::black_box;

use arrow::array::{Array as _, StringArray};
use lakebed_mask::{PiiKind, PiiKinds, Scanner};

use super::{Micro, Work};
use crate::data::Beer;

/// Sentences around a value, `{}` being its place.
const SENTENCES: [&str; 6] = [
    "Write to {} for trades, the cellar is full again.",
    "Me chama no {} que eu mando as fotos da degustação.",
    "Paid with {} at the taproom and never got the receipt.",
    "Nota fiscal emitida para {} em nome da cervejaria.",
    "The request came from {} late at night, twice.",
    "Cadastro {} confirmado, pode retirar as garrafas.",
];
/// One of each of the kinds that speak for themselves.
const VALUES: [&str; 12] = [
    "ana.lima@example.com",
    "+55 (11) 91234-5678",
    "529.982.247-25",
    "11.222.333/0001-81",
    "4111 1111 1111 1111",
    "GB82 WEST 1234 5698 7654 32",
    "536-90-4399",
    "192.168.10.20",
    "00:1a:2b:3c:4d:5e",
    "(212) 555-0143",
    "https://ana:s3cret@host.example/x",
    "AKIAIOSFODNN7EXAMPLE",
];
/// Sentences in a row of dense text.
const ROW_SENTENCES: usize = 6;

/// Comments as people write them, few with a value; the answer is the rows with findings.
pub(super) fn sparse(beer: &Beer) -> Micro {
    let comments: Vec<&str> = beer.reviews.iter().filter_map(|row| row[10].as_deref()).collect();
    let has_planted = |comment: &&&str| beer.planted.iter().any(|value| comment.contains(value.as_str()));
    let planted = comments.iter().filter(has_planted).count() as u64;
    // Wide, because there are few comments at a small scale.
    let few = (comments.len() as u64).div_ceil(400)..=comments.len() as u64 / 15;
    assert!(few.contains(&planted), "few comments hold personal data: {planted} of {}", comments.len());
    let question = "How fast is prose with little personal data in it scanned on one core?";
    micro("pii-scan-sparse", question, StringArray::from(comments), planted, |found| u64::from(found > 0))
}

/// A value in every sentence of some fifty bytes; the answer is the findings.
pub(super) fn dense(beer: &Beer) -> Micro {
    let sentence = |at: usize| SENTENCES[at % SENTENCES.len()].replace("{}", VALUES[(at / 2) % VALUES.len()]);
    let row = |row: usize| (0..ROW_SENTENCES).map(|at| sentence(row * ROW_SENTENCES + at) + " ").collect::<String>();
    let rows: StringArray = (0..beer.reviews.len()).map(|at| Some(row(at))).collect();
    let planted = (rows.len() * ROW_SENTENCES) as u64;
    let question = "How fast is prose with a value in every sentence scanned on one core?";
    micro("pii-scan-dense", question, rows, planted, |found| found as u64)
}

fn micro(
    name: &'static str,
    question: &'static str,
    rows: StringArray,
    expect: u64,
    count: impl Fn(usize) -> u64 + 'static,
) -> Micro {
    let scanner = Scanner::new(PiiKinds::all().without(PiiKind::Name).without(PiiKind::Address));
    Micro {
        name,
        question,
        work: Work::Bytes(rows.value_data().len() as u64),
        expect,
        run: Box::new(move || {
            let mut answer = 0;
            scanner.scan_rows(black_box(&rows), |_, found| answer += count(found.len()));
            answer
        }),
    }
}

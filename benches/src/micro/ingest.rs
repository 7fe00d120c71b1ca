//! The bronze engine: one object in memory to masked Parquet in memory. Each input holds rows that must be quarantined.

use std::hint::black_box;

use lakebed_contract::{Lake, TableContract};
use lakebed_ingest::engine::{Compression, CsvFormat, Format, Job, Outcome, ingest};
use lakebed_mask::{MaskKey, Masker, TableMasker};

use super::envelope::insert_lines;
use super::{Micro, Work};
use crate::data::{Beer, gzip};

/// Rows per input that break the contract.
const BAD_ROWS: u64 = 3;

/// Reviews as `.csv.gz`; the answer is the good rows.
pub(super) fn csv(beer: &Beer) -> Micro {
    let mut text = beer.review_csv.clone();
    for _ in 0..BAD_ROWS {
        text.extend(b"not-a-number,1,1,1,4.0,4.0,4.0,4.0,4.0,2011-01-02T03:04:05.000000Z,\n");
    }
    let engine = Engine::new(Format::Csv(CsvFormat::default()));
    micro("ingest/csv", "How fast does a review in csv.gz become masked Parquet?", engine, &text, beer)
}

/// Reviews as DMS records, `.json.gz`; the answer is the good rows.
pub(super) fn json(beer: &Beer) -> Micro {
    let mut text = insert_lines(&beer.reviews).concat();
    for line in insert_lines(&beer.reviews[..1]).iter().cycle().take(BAD_ROWS as usize) {
        let line = String::from_utf8(line.clone()).expect("JSON is UTF-8");
        text.extend(line.replace("\"review_overall\":", "\"review_overall\":\"high\",\"was\":").into_bytes());
    }
    micro("ingest/json", "How fast does a DMS record become masked Parquet?", Engine::new(Format::Json), &text, beer)
}

fn micro(name: &'static str, question: &'static str, engine: Engine, text: &[u8], beer: &Beer) -> Micro {
    let (object, rows) = (gzip(text), beer.reviews.len() as u64);
    Micro {
        name,
        question,
        work: Work::Elements(rows + BAD_ROWS),
        expect: rows,
        run: Box::new(move || {
            let outcome = engine.run(black_box(&object));
            assert_eq!((outcome.rows_in, outcome.rows_bad), (rows + BAD_ROWS, BAD_ROWS), "bad rows are quarantined");
            outcome.rows_good
        }),
    }
}

struct Engine {
    table: TableContract,
    masker: TableMasker,
    format: Format,
}

impl Engine {
    fn new(format: Format) -> Self {
        let lake = Lake::beer();
        let table = lake.table("review").expect("the beer lake has reviews").clone();
        let masker = masker().for_table(&table, &lake.policy).expect("the policy decides about every class");
        Self { table, masker, format }
    }

    fn run(&self, object: &[u8]) -> Outcome {
        let job = Job {
            table: &self.table,
            masker: &self.masker,
            format: &self.format,
            compression: Compression::Gzip,
            generation: 1,
            last_modified: 0,
            source_object: "s3://dm-stage/raw/review/bench",
            threads: 1,
        };
        let (mut bronze, mut quarantine) = (Vec::new(), Vec::new());
        let outcome = ingest(object, &mut bronze, &mut quarantine, &job, &mut |_| ()).expect("a readable object");
        assert!(!bronze.is_empty() && !quarantine.is_empty(), "both files are written");
        outcome
    }
}

/// A masker with a key that guards nothing.
pub(super) fn masker() -> Masker {
    Masker::new(MaskKey::new(1, [7; 32]))
}

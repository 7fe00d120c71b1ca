//! The list of micro-benchmarks, in the order in which a change meets the code.

mod pgoutput;

mod copy_text;
mod envelope;

mod kinesis;

mod firehose;

mod inflate;
mod ingest;
mod mask;
mod pii_scan;

use crate::data::Beer;

/// How much one iteration does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Rows, records or messages.
    Elements(u64),
    /// Bytes.
    Bytes(u64),
}

/// How large the inputs are.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Share of BeerAdvocate's size, as everywhere.
    pub scale: f64,
}

impl Size {
    /// What `cargo test` runs: some hundred rows.
    pub fn small() -> Self {
        Self { scale: 0.000_2 }
    }

    /// What is measured: about 8,000 reviews, more than one Arrow batch's bytes but less than a second an iteration.
    pub fn measured() -> Self {
        Self { scale: 0.005 }
    }
}

/// One benchmark.
pub struct Micro {
    /// `area/function`.
    pub name: &'static str,
    /// What its number answers.
    pub question: &'static str,
    /// Work of one iteration.
    pub work: Work,
    /// The right answer.
    pub expect: u64,
    run: Box<dyn FnMut() -> u64>,
}

impl Micro {
    /// One iteration; gives the answer.
    pub fn run(&mut self) -> u64 {
        (self.run)()
    }
}

/// All benchmarks over inputs of one size.
pub fn all(size: Size) -> Vec<Micro> {
    let beer = Beer::generate(size.scale);
    vec![
        pgoutput::decode(&beer),
        envelope::build(&beer),
        copy_text::parse(&beer),
        kinesis::put_records(&beer),
        kinesis::get_records(&beer),
        firehose::buffers(&beer),
        inflate::inflate(&beer),
        ingest::csv(&beer),
        ingest::json(&beer),
        mask::profiles(&beer),
        mask::token(&beer),
        mask::redact(&beer),
        pii_scan::sparse(&beer),
        pii_scan::dense(&beer),
    ]
}

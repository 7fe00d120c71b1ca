//! One raw object in, masked bronze and quarantine out. Streaming, bounded, deterministic: same bytes in, same bytes out.
//!
//! ```text
//! bytes → inflate → UTF-8 → blocks of whole records → CSV records | JSON documents → typed rows → contract check → mask → Parquet
//!                                                                              │ violation → quarantine (rule, reason,
//!                                                                              │             number, offset; no values)
//!                                                                              └ dropped by a named rule, counted
//! ```
//!
//! Blocks are read by several threads at once, row groups encoded by the same ones. How many there are cannot be seen in what
//! comes out, and where the blocks end can in two places only: in [`Counts::computed`](lakebed_mask::Counts), which counts
//! distinct values by the batch, and in the reason of an object that is refused for several. Its first block must be whole
//! before its header is looked at, and its rows are looked at before later blocks are read.
//!
//! The contract's quality rules are counted between contract check and mask, and judged when the object ends; the newest values of
//! its service levels are looked for there, too, and judged by whoever has a clock.
//!
//! Promises conservation (rows in = good + bad + dropped) and that an object which cannot be read to its end, or whose rows,
//! where they are looked at, hold personal data in a column that the contract does not class, or whose rows break a quality rule
//! of severity `error`, publishes nothing: an error leaves whatever was written to the caller's spool, and the caller throws it
//! away. Synchronous for its caller; knows no S3, no DynamoDB,
//! no clock.

mod decompress;
mod encoding;
mod transcode;

mod block;
mod csv;
mod json;

mod decimal;
mod time;
mod value;

mod builders;
mod columns;
mod record;

mod control_records;
mod csv_chunk;
mod csv_plan;
mod csv_rows;
mod envelope;
mod json_rows;

mod audit;
mod freshness;
mod parquet;
mod quality;
mod quarantine;
mod row_groups;

mod pipeline;
mod sequence;
mod state;

mod count;

#[cfg(test)]
mod differential;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod testing;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};

use lakebed_contract::TableContract;
use lakebed_mask::{Coverage, MaskError, TableMasker};

pub use self::count::{PROBE_BYTES_MAX, count_records};
pub use self::csv_plan::{ColumnSource, CsvFormat, FieldTransform};
pub use self::decompress::{Compression, ZSTD_WINDOW_LOG_MAX, open as open_object};
pub use self::encoding::Encoding;

use self::block::Blocks;
use self::csv_rows::CsvObject;
use self::sequence::Outputs;

pub(crate) use self::value::Value;

/// Threads of the lite ingestor, a Lambda of two processors at most.
pub const LITE_THREADS: usize = 2;
/// Plain bytes per block, the unit of work of a thread.
pub const BLOCK_BYTES: usize = 1024 * 1024;
/// Largest record, CSV or JSON. Kinesis stops at 10 MiB, and JSON escapes may double that.
pub const RECORD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Rows per Parquet row group.
pub const ROW_GROUP_ROWS_MAX: usize = 65_536;
/// Bytes of masked text at which a row group ends early.
pub const ROW_GROUP_TEXT_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Threads of the mass ingestor: as many as the machine runs at once.
pub fn mass_threads() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// How the records of an object are written.
#[derive(Clone, Debug)]
pub enum Format {
    /// DMS envelopes: one per line, several per line, or pretty-printed.
    Json,
    /// Comma-separated rows with a header.
    Csv(CsvFormat),
}

impl Format {
    /// Whether a key names a CSV object (`.csv`, `.csv.gz`, `.csv.zst`); everything else is JSON.
    pub fn is_csv_key(key: &str) -> bool {
        Compression::split_key(key).0.to_ascii_lowercase().ends_with(".csv")
    }
}

/// What to do with one object.
#[derive(Debug)]
pub struct Job<'a> {
    /// Contract the rows are held to.
    pub table: &'a TableContract,
    /// Mask plan of the same table.
    pub masker: &'a TableMasker,
    /// How the records are written.
    pub format: &'a Format,
    /// What the key promises; an object must be that. One without a promise may be compressed all the same.
    pub compression: Compression,
    /// Full-load generation of CSV rows, from the key.
    pub generation: u32,
    /// Commit timestamp of CSV rows, microseconds since the epoch: the object's `LastModified`.
    pub last_modified: i64,
    /// Name of the object in the quarantine file.
    pub source_object: &'a str,
    /// Threads to work with, the caller's among them. At least one is used.
    pub threads: usize,
}

/// What became of the records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Records read.
    pub rows_in: u64,
    /// Rows in the bronze file; the file is empty (zero bytes) when there are none.
    pub rows_good: u64,
    /// Rows in the quarantine file; the file is empty (zero bytes) when there are none.
    pub rows_bad: u64,
    /// Records dropped, by rule.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Values of columns the contract does not have (rule `extra-column`): ignored, their records kept and counted as good.
    pub extra_values: u64,
    /// What was masked in the rows of the bronze file.
    pub coverage: Coverage,
    /// Columns without a class that seem to hold personal data, by name, and the class they seem to be of. No reason to refuse
    /// the object.
    pub suspicions: BTreeMap<String, String>,
    /// Quality rules of severity `warning` or `info` that the good rows broke, a line each. No reason to refuse the object.
    pub broken_rules: Vec<String>,
    /// The newest values, among the good rows, of the columns that the contract asks a latency of, by name; a column without any
    /// value is left out. Microseconds since the epoch; a day counts by its end.
    pub newest: BTreeMap<String, i64>,
    /// What control records say of the table that its contract does not, a line each. Those in conflict with the contract are
    /// quarantined beside it, the others dropped; none is a reason to refuse the object.
    pub schema_changes: BTreeSet<String>,
}

impl Outcome {
    /// Records dropped by any rule.
    pub fn rows_dropped(&self) -> u64 {
        self.dropped.values().sum()
    }
}

/// Why an object could not be ingested.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store stopped delivering the object. May pass.
    #[error("failed to read the object's bytes from the store")]
    Source(#[source] io::Error),
    /// The object is not what its name says, or damaged, or holds what must not be published. Will repeat.
    #[error("failed to read the object: {reason}")]
    Unreadable {
        /// What is wrong, without values.
        reason: String,
    },
    /// The rows do not fit the mask plan: contract and code disagree.
    #[error(transparent)]
    Mask(#[from] MaskError),
    /// Arrow refused a batch: contract and code disagree.
    #[error("failed to assemble a batch")]
    Batch(#[from] arrow::error::ArrowError),
    /// The Parquet file could not be written to the spool.
    #[error("failed to write Parquet")]
    Parquet(#[from] ::parquet::errors::ParquetError),
}

impl EngineError {
    pub(crate) fn unreadable(reason: impl Into<String>) -> Self {
        Self::Unreadable { reason: reason.into() }
    }
}

/// Ingests one object. Writes bronze and quarantine to two spools; a spool without rows stays empty. Neither depends on
/// [`Job::threads`]. The source is read, and `progress` told the records done since its last call, on the caller's thread.
///
/// # Errors
/// See [`EngineError`]; nothing of what was written counts then.
pub fn ingest<B: Write + Send, Q: Write + Send>(
    source: impl Read,
    bronze: B,
    quarantine: Q,
    job: &Job<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Outcome, EngineError> {
    ingest_in(source, bronze, quarantine, job, &Sizes::of(job), progress)
}

/// [`ingest`] with blocks of so many bytes, for tests of what ends of blocks may show.
///
/// # Errors
/// As [`ingest`].
#[doc(hidden)]
pub fn ingest_in_blocks<B: Write + Send, Q: Write + Send>(
    source: impl Read,
    bronze: B,
    quarantine: Q,
    job: &Job<'_>,
    block_bytes: usize,
    progress: &mut dyn FnMut(u64),
) -> Result<Outcome, EngineError> {
    ingest_in(source, bronze, quarantine, job, &Sizes { block_bytes, ..Sizes::of(job) }, progress)
}

/// What only speed and memory depend on, and how large row groups are.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    threads: usize,
    block_bytes: usize,
    row_group_rows: usize,
    row_group_text_bytes: usize,
}

impl Sizes {
    fn of(job: &Job<'_>) -> Self {
        Self {
            threads: job.threads,
            block_bytes: BLOCK_BYTES,
            row_group_rows: ROW_GROUP_ROWS_MAX,
            row_group_text_bytes: ROW_GROUP_TEXT_BYTES_MAX,
        }
    }
}

/// The object's bytes as the readers want them: plain, and with ASCII as ASCII.
fn open_text<'a>(
    source: impl Read + 'a,
    compression: Compression,
    format: &Format,
) -> Result<Box<dyn Read + 'a>, EngineError> {
    transcode::open(decompress::open(source, compression)?, format)
}

fn ingest_in<B: Write + Send, Q: Write + Send>(
    source: impl Read,
    bronze: B,
    quarantine: Q,
    job: &Job<'_>,
    sizes: &Sizes,
    progress: &mut dyn FnMut(u64),
) -> Result<Outcome, EngineError> {
    let bytes = open_text(source, job.compression, job.format)?;
    let outputs = Outputs::new(bronze, quarantine, job, sizes);
    match job.format {
        Format::Json => {
            let mut blocks = Blocks::new(bytes, json::JsonCutter::default(), sizes.block_bytes);
            let rows = json_rows::JsonRows::new(job.table);
            pipeline::run(|buffer| Ok(blocks.next(buffer)?), &rows, outputs, job, sizes, progress)
        }
        Format::Csv(format) => {
            let CsvObject { mut blocks, rows } = CsvObject::open(bytes, format, job, sizes.block_bytes)?;
            pipeline::run(|buffer| blocks.next(buffer), &rows, outputs, job, sizes, progress)
        }
    }
}

//! One raw object in, masked bronze and quarantine out. Streaming, bounded, deterministic: same bytes in, same bytes out.
//!
//! ```text
//! bytes → gunzip → CSV records | JSON documents → typed row → contract check → mask → Parquet
//!                                                   │ violation → quarantine (rule, reason, row number; no values)
//!                                                   └ dropped by a named rule, counted
//! ```
//!
//! Promises conservation (rows in = good + bad + dropped) and that an object which cannot be read to its end publishes
//! nothing: an error leaves whatever was written to the caller's spool, and the caller throws it away. Synchronous; knows
//! no S3, no DynamoDB, no clock.

mod decompress;
mod encoding;

mod csv;
mod json;

mod decimal;
mod time;
mod value;

mod csv_rows;
mod json_rows;
mod record;

mod columns;
mod parquet;
mod quarantine;

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use lakebed_contract::TableContract;
use lakebed_mask::{MaskError, TableMasker};

pub use self::csv_rows::{ColumnSource, CsvFormat, FieldTransform};
pub use self::decompress::open as open_object;
pub use self::encoding::Encoding;

use self::columns::BronzeColumns;
use self::parquet::BronzeFile;
use self::quarantine::QuarantineFile;
use self::record::{Record, RecordSource};

pub(crate) use self::value::Value;

/// Rows per Arrow batch of the lite ingestor.
pub const LITE_BATCH_ROWS: usize = 8_192;
/// Rows per Arrow batch of the mass ingestor. A multiple of the lite figure, so both write the same Parquet pages.
pub const MASS_BATCH_ROWS: usize = 8 * LITE_BATCH_ROWS;
/// Text bytes at which a batch ends early, whatever its rows.
pub const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Largest record, CSV or JSON. Kinesis stops at 10 MiB, and JSON escapes may double that.
pub const RECORD_BYTES_MAX: usize = 32 * 1024 * 1024;
/// Rows per Parquet row group.
pub const ROW_GROUP_ROWS_MAX: usize = 65_536;
/// Encoded bytes per Parquet row group.
pub const ROW_GROUP_BYTES_MAX: usize = 128 * 1024 * 1024;

/// How the records of an object are written.
#[derive(Clone, Debug)]
pub enum Format {
    /// DMS envelopes: one per line, several per line, or pretty-printed.
    Json,
    /// Comma-separated rows with a header.
    Csv(CsvFormat),
}

impl Format {
    /// Whether a key names a CSV object (`.csv`, `.csv.gz`); everything else is JSON.
    pub fn is_csv_key(key: &str) -> bool {
        let key = key.to_ascii_lowercase();
        key.strip_suffix(".gz").unwrap_or(&key).ends_with(".csv")
    }

    /// Whether a key promises a gzip stream.
    pub fn is_gzip_key(key: &str) -> bool {
        key.to_ascii_lowercase().ends_with(".gz")
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
    /// Whether the key ends in `.gz`; such an object must be gzip. Others may be.
    pub named_gzip: bool,
    /// Full-load generation of CSV rows, from the key.
    pub generation: u32,
    /// Commit timestamp of CSV rows, microseconds since the epoch: the object's `LastModified`.
    pub last_modified: i64,
    /// Name of the object in the quarantine file.
    pub source_object: &'a str,
    /// Rows per Arrow batch.
    pub batch_rows: usize,
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
    /// Values of columns the contract does not have (rule `extra-column`): ignored, their records kept.
    pub extra_values: u64,
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
    /// The object is not what its name says, or damaged. Will repeat.
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

/// Ingests one object. Writes bronze and quarantine to two spools; a spool without rows stays empty.
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
    let bytes = decompress::open(source, job.named_gzip)?;
    match job.format {
        Format::Json => run(json_rows::JsonRows::new(bytes, job.table), bronze, quarantine, job, progress),
        Format::Csv(format) => run(csv_rows::CsvRows::open(bytes, format, job)?, bronze, quarantine, job, progress),
    }
}

fn run<B: Write + Send, Q: Write + Send>(
    mut records: impl RecordSource,
    bronze: B,
    quarantine: Q,
    job: &Job<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Outcome, EngineError> {
    let mut columns = BronzeColumns::new(job.table);
    let mut bronze = BronzeFile::new(bronze, columns.schema());
    let mut quarantine = QuarantineFile::new(quarantine, job.source_object);
    let mut outcome = Outcome::default();
    let mut reported = 0;
    while let Some(record) = records.next()? {
        outcome.rows_in += 1;
        match record {
            Record::Good(row) => {
                columns.append(row);
                outcome.rows_good += 1;
                if columns.rows() >= job.batch_rows || columns.text_bytes() >= BATCH_BYTES_MAX {
                    bronze.write(&job.masker.mask(columns.take()?)?)?;
                    progress(outcome.rows_in - reported);
                    reported = outcome.rows_in;
                }
            }
            Record::Bad(violation) => {
                quarantine.append(outcome.rows_in, &violation)?;
                outcome.rows_bad += 1;
            }
            Record::Dropped(rule) => *outcome.dropped.entry(rule).or_default() += 1,
        }
    }
    if columns.rows() > 0 {
        bronze.write(&job.masker.mask(columns.take()?)?)?;
    }
    let written = (bronze.close()?, quarantine.close()?);
    if outcome.rows_in > reported {
        progress(outcome.rows_in - reported);
    }
    outcome.extra_values = records.extra_values();
    assert_eq!(written, (outcome.rows_good, outcome.rows_bad), "every row that was counted is in its file");
    assert_eq!(
        outcome.rows_in,
        outcome.rows_good + outcome.rows_bad + outcome.rows_dropped(),
        "rows in are good, bad or dropped"
    );
    Ok(outcome)
}

/// Counts the records of an object and stops reading at `cap`. An object that turns out unreadable counts as far as it
/// could be read: it is the ingestor's task to say why.
///
/// # Errors
/// Only [`EngineError::Source`].
pub fn count_records(source: impl Read, named_gzip: bool, format: &Format, cap: u64) -> Result<u64, EngineError> {
    let mut count = 0;
    let counted = count_into(source, named_gzip, format, cap, &mut count);
    match counted {
        Ok(()) | Err(EngineError::Unreadable { .. }) => Ok(count),
        Err(error) => Err(error),
    }
}

fn count_into(
    source: impl Read,
    named_gzip: bool,
    format: &Format,
    cap: u64,
    count: &mut u64,
) -> Result<(), EngineError> {
    let bytes = decompress::open(source, named_gzip)?;
    match format {
        Format::Json => {
            let mut documents = json::Documents::new(bytes);
            while *count < cap && documents.next()?.is_some() {
                *count += 1;
            }
        }
        Format::Csv(format) => {
            let mut rows = csv::Reader::new(bytes, format.delimiter);
            if format.header {
                rows.next()?;
            }
            while *count < cap && rows.next()?.is_some() {
                *count += 1;
            }
        }
    }
    Ok(())
}

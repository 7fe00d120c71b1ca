//! Runs the engine on bytes and shows what came out, as text that a test can hold in one line.

use std::fmt::Write;
use std::io::{Read, Write as _};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::datatypes::TimestampMicrosecondType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use flate2::write::GzEncoder;
use lakebed_contract::{Lake, Policy, TableContract, Timestamp};
use lakebed_ingest::engine::{
    Compression, CsvFormat, EngineError, Format, Job, LITE_THREADS, Outcome, ingest, ingest_in_blocks,
};
use lakebed_mask::{MaskKey, Masker};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

/// Both files of one object.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) outcome: Outcome,
    pub(crate) bronze: Vec<u8>,
    pub(crate) quarantine: Vec<u8>,
}

/// What to run, with the defaults most cases want.
pub(crate) struct Bench {
    pub(crate) table: TableContract,
    pub(crate) policy: Policy,
    pub(crate) format: Format,
    pub(crate) compression: Compression,
    pub(crate) threads: usize,
}

impl Bench {
    pub(crate) fn json(table: &str) -> Self {
        let (table, policy) = (beer_table(table), Lake::beer().policy);
        Self { table, policy, format: Format::Json, compression: Compression::Plain, threads: LITE_THREADS }
    }

    pub(crate) fn csv(table: &str) -> Self {
        Self { format: Format::Csv(CsvFormat::default()), ..Self::json(table) }
    }

    pub(crate) fn run(&self, bytes: &[u8]) -> Result<Run, EngineError> {
        let (mut bronze, mut quarantine) = (Vec::new(), Vec::new());
        let outcome = self.run_between(bytes, &mut bronze, &mut quarantine)?;
        assert_eq!(bronze.is_empty(), outcome.rows_good == 0);
        assert_eq!(quarantine.is_empty(), outcome.rows_bad == 0);
        Ok(Run { outcome, bronze, quarantine })
    }

    pub(crate) fn run_between(
        &self,
        source: impl Read,
        bronze: impl std::io::Write + Send,
        quarantine: impl std::io::Write + Send,
    ) -> Result<Outcome, EngineError> {
        let masker = Masker::new(MaskKey::new(1, [7; 32])).for_table(&self.table, &self.policy).expect("mask plan");
        let job = Job {
            table: &self.table,
            masker: &masker,
            format: &self.format,
            compression: self.compression,
            generation: 2,
            last_modified: 1_000_000,
            source_object: "s3://dm-stage/raw/x",
            threads: self.threads,
        };
        let mut rows = 0;
        let outcome = ingest(source, bronze, quarantine, &job, &mut |more| rows += more)?;
        assert_eq!(rows, outcome.rows_in, "progress adds up");
        Ok(outcome)
    }
}

/// What becomes of plain rows, JSON by their first character, from so many threads and blocks of so many bytes.
pub(crate) fn outcome_in_blocks(
    table: &TableContract,
    text: &str,
    threads: usize,
    block_bytes: usize,
) -> Result<Outcome, EngineError> {
    let masker = Masker::new(MaskKey::new(1, [7; 32])).for_table(table, &Lake::beer().policy).expect("mask plan");
    let format = if text.starts_with('{') { Format::Json } else { Format::Csv(CsvFormat::default()) };
    let job = Job {
        table,
        masker: &masker,
        format: &format,
        compression: Compression::Plain,
        generation: 1,
        last_modified: 0,
        source_object: "s3://dm-stage/raw/x",
        threads,
    };
    ingest_in_blocks(text.as_bytes(), Vec::new(), Vec::new(), &job, block_bytes, &mut |_| ())
}

/// A table of the beer lake, or `kinds`: one column of each type.
pub(crate) fn beer_table(name: &str) -> TableContract {
    if name != "kinds" {
        return Lake::beer().table(name).expect("a beer table").clone();
    }
    let properties: String = [
        ("id", "bigint"),
        ("n", "integer"),
        ("d", "numeric(10,2)"),
        ("f", "double precision"),
        ("b", "boolean"),
        ("s", "text"),
        ("day", "date"),
        ("at", "timestamptz"),
    ]
    .map(|(name, kind)| format!("      - {{name: {name}, physicalType: '{kind}', primaryKey: {}}}\n", name == "id"))
    .concat();
    let text = format!(
        "apiVersion: v3.1.0\nkind: DataContract\nid: kinds\nname: kinds\nversion: 1.0.0\nstatus: active\nschema:\n  - name: kinds\n    \
         physicalName: dm_core.kinds\n    properties:\n{properties}"
    );
    TableContract::from_odcs_yaml("kinds.yaml", &text).expect("valid contract")
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("into memory");
    encoder.finish().expect("into memory")
}

/// One zstd frame, with the checksum that the command-line tool writes.
pub(crate) fn zstd(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).expect("memory");
    encoder.include_checksum(true).expect("known");
    encoder.write_all(bytes).expect("into memory");
    encoder.finish().expect("into memory")
}

pub(crate) fn batches(parquet: &[u8]) -> Vec<RecordBatch> {
    if parquet.is_empty() {
        return Vec::new();
    }
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(parquet)).expect("Parquet");
    reader.build().expect("readable").collect::<Result<_, _>>().expect("readable")
}

/// Rows of the named columns, `a|b` each, one per line; NULL as `∅`.
pub(crate) fn rows(parquet: &[u8], columns: &[&str]) -> String {
    let mut shown = String::new();
    for batch in batches(parquet) {
        let options = FormatOptions::default().with_null("∅");
        let columns: Vec<_> = columns
            .iter()
            .map(|name| batch.column_by_name(name).unwrap_or_else(|| panic!("no column {name}")))
            .map(showable)
            .collect();
        let formatters: Vec<_> =
            columns.iter().map(|column| ArrayFormatter::try_new(column, &options).expect("shown")).collect();
        for row in 0..batch.num_rows() {
            let cells: Vec<_> = formatters.iter().map(|formatter| formatter.value(row).to_string()).collect();
            writeln!(shown, "{}", cells.join("|")).expect("into memory");
        }
    }
    shown
}

/// Instants as text, because Arrow's formatter knows no `UTC` without a time zone database; the rest as it is.
fn showable(column: &ArrayRef) -> ArrayRef {
    match column.as_primitive_opt::<TimestampMicrosecondType>() {
        Some(instants) => {
            Arc::new(instants.iter().map(|at| at.map(|micros| Timestamp(micros).to_string())).collect::<StringArray>())
        }
        None => Arc::clone(column),
    }
}

/// `row:rule` of each quarantined record.
pub(crate) fn rules(run: &Run) -> String {
    let shown = rows(&run.quarantine, &["row_number", "rule"]);
    shown.lines().map(|line| line.replace('|', ":")).collect::<Vec<_>>().join(" ")
}

/// All text cells of a file, for searching.
pub(crate) fn all_text(parquet: &[u8]) -> String {
    let mut text = String::new();
    for batch in batches(parquet) {
        for column in batch.columns().iter().map(showable) {
            if let Some(column) = column.as_string_opt::<i32>() {
                column.iter().flatten().for_each(|value| {
                    text.push_str(value);
                    text.push('\n');
                });
            } else {
                let formatter = ArrayFormatter::try_new(&column, &FormatOptions::default()).expect("shown");
                (0..column.len()).for_each(|row| writeln!(text, "{}", formatter.value(row)).expect("into memory"));
            }
        }
    }
    text
}

//! The engine as simply as it can be written: record by record, on one thread, with Arrow's builders and Parquet's own writer.
//!
//! Only tests use it, to hold the fast engine against: both must give the same bytes.

mod csv;
mod json;

mod columns;
mod record;

mod csv_rows;
mod json_rows;

use std::collections::BTreeMap;
use std::sync::Arc;

use lakebed_contract::TableContract;
use parquet::arrow::ArrowWriter;

use self::columns::BronzeColumns;
use self::record::{Cell, Record, RecordSource, Row};
use super::parquet::bronze_properties;
use super::quarantine::QuarantineFile;
use super::value::Value;
use super::{EngineError, Format, Job, Outcome};

/// Both files of one object, and the counts.
#[derive(PartialEq, Eq)]
pub(super) struct Files {
    pub(super) outcome: Outcome,
    pub(super) bronze: Vec<u8>,
    pub(super) quarantine: Vec<u8>,
}

/// Ingests plain bytes into row groups of so many rows.
pub(super) fn ingest(bytes: &[u8], job: &Job<'_>, row_group_rows: usize) -> Result<Files, EngineError> {
    match job.format {
        Format::Json => run(json_rows::JsonRows::new(bytes, job.table), job, row_group_rows),
        Format::Csv(format) => run(csv_rows::CsvRows::open(bytes, format, job)?, job, row_group_rows),
    }
}

/// Keeps the newest values of the columns that have a latency.
fn note_newest(table: &TableContract, row: &Row<'_>, newest: &mut BTreeMap<String, i64>) {
    for (column, cell) in table.columns.iter().zip(&row.cells) {
        let at = match cell {
            Cell::Value(Value::Timestamp(micros)) => *micros,
            // To the end of the day.
            Cell::Value(Value::Date(days)) => (i64::from(*days) + 1).saturating_mul(86_400 * 1_000_000),
            _ => continue,
        };
        if table.service_levels.latencies.iter().any(|latency| latency.column == column.name) {
            let newest = newest.entry(column.name.clone()).or_insert(at);
            *newest = at.max(*newest);
        }
    }
}

fn run(mut records: impl RecordSource, job: &Job<'_>, row_group_rows: usize) -> Result<Files, EngineError> {
    let mut files = Files { outcome: Outcome::default(), bronze: Vec::new(), quarantine: Vec::new() };
    let outcome = &mut files.outcome;
    let mut columns = BronzeColumns::new(job.table);
    let mut quarantine = QuarantineFile::new(&mut files.quarantine, job.source_object);
    while let Some(record) = records.next()? {
        outcome.rows_in += 1;
        match record {
            Record::Good(row) => {
                note_newest(job.table, &row, &mut outcome.newest);
                columns.append(row);
                outcome.rows_good += 1;
            }
            Record::Bad(violation) => {
                quarantine.append(outcome.rows_in, records.offset(), &violation)?;
                outcome.rows_bad += 1;
            }
            Record::Dropped(rule) => *outcome.dropped.entry(rule).or_default() += 1,
        }
    }
    outcome.extra_values = records.extra_values();
    outcome.schema_changes = records.schema_changes();
    quarantine.close()?;
    if columns.rows() > 0 {
        let masked = job.masker.mask(columns.take()?)?;
        outcome.coverage = masked.coverage().clone();
        let (batch, properties) = (masked.batch(), bronze_properties(job.table)?);
        let mut writer = ArrowWriter::try_new(&mut files.bronze, Arc::clone(batch.schema_ref()), Some(properties))?;
        for from in (0..batch.num_rows()).step_by(row_group_rows) {
            writer.write(&batch.slice(from, row_group_rows.min(batch.num_rows() - from)))?;
            writer.flush()?;
        }
        writer.close()?;
    }
    Ok(files)
}

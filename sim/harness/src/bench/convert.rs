//! Our part of `.csv.gz` → Parquet: the bronze engine on files, its floor, and the check that serves every contender.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use lakebed_contract::{Clock, Lake, Policy};
use lakebed_ingest::engine::{Compression, CsvFormat, Format, Job, LITE_THREADS, ingest, mass_threads, open_object};
use lakebed_mask::{MaskKey, Masker};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::definition::{Value, numbers};
use super::input;
use super::order::{Reply, Route};
use crate::error::HarnessError;

const CHECK: &str = "check a converter's Parquet file";
const BUFFER_BYTES: usize = 1 << 20;
/// The class of every personal column, and the policy, of a conversion without masking: without a class the engine refuses them.
const KEPT: &str = "kept";
const KEEP_ALL: &str = "version: 1\nclasses: {kept: {bronze: keep}}\n";

/// Runs the engine as the bronze handlers run it, between two files.
pub(super) fn convert(source: &Path, output: &Path, route: Route, clock: &Clock) -> Result<Reply, HarnessError> {
    let started = clock.monotonic();
    let mut table = input::table()?;
    let mut policy = Lake::beer().policy;
    if route == Route::Unmasked {
        let classed = table.columns.iter_mut().filter(|column| column.class.is_some());
        classed.for_each(|column| column.class = Some(KEPT.to_owned()));
        policy = Policy::from_yaml(KEEP_ALL).map_err(HarnessError::stage("plan the masking"))?;
    }
    // The key guards generated data only.
    let masker = Masker::new(MaskKey::new(1, [7; 32]))
        .for_table(&table, &policy)
        .map_err(HarnessError::stage("plan the masking"))?;
    let job = Job {
        table: &table,
        masker: &masker,
        format: &Format::Csv(CsvFormat::default()),
        compression: Compression::Gzip,
        generation: 1,
        last_modified: 0,
        source_object: "benchmark",
        threads: if route == Route::Mass { mass_threads() } else { LITE_THREADS },
    };
    let file = File::open(source).map_err(HarnessError::file("read", source))?;
    let bronze = File::create(output).map_err(HarnessError::file("create", output))?;
    let mut bronze = BufWriter::with_capacity(BUFFER_BYTES, bronze);
    let mut quarantine = Vec::new();
    let outcome = ingest(file, &mut bronze, &mut quarantine, &job, &mut |_| ())
        .map_err(HarnessError::stage("convert the benchmark's input"))?;
    bronze.flush().map_err(HarnessError::file("write", output))?;
    if outcome.rows_bad > 0 || outcome.rows_dropped() > 0 {
        let (bad, dropped) = (outcome.rows_bad, outcome.rows_dropped());
        let message = format!("failed to convert every row: {bad} were quarantined, {dropped} dropped");
        return Err(HarnessError::Input { message });
    }
    Ok(inside(started, clock))
}

/// Reads the plain bytes and forgets them: what every converter must do before it does anything.
pub(super) fn inflate(source: &Path, clock: &Clock) -> Result<Reply, HarnessError> {
    let started = clock.monotonic();
    let file = File::open(source).map_err(HarnessError::file("read", source))?;
    let mut plain =
        open_object(file, Compression::Gzip).map_err(HarnessError::stage("inflate the benchmark's input"))?;
    let bytes = io::copy(&mut plain, &mut io::sink()).map_err(HarnessError::file("inflate", source))?;
    let mut reply = inside(started, clock);
    reply.answers.insert("plain_bytes".to_owned(), Value::Number(i64::try_from(bytes).unwrap_or(i64::MAX)));
    Ok(reply)
}

fn inside(started: std::time::Duration, clock: &Clock) -> Reply {
    let inside_ms = (clock.monotonic() - started).as_secs_f64() * 1e3;
    Reply { figures: [("inside_ms".to_owned(), inside_ms)].into(), ..Reply::default() }
}

/// Rows and sums of what a converter wrote, whatever tool it was. Not measured.
pub(super) fn check_parquet(path: &Path) -> Result<Reply, HarnessError> {
    let (mut rows, mut review_ids, mut beer_ids) = (0i64, 0i64, 0i64);
    for file in parquet_files(path)? {
        let opened = File::open(&file).map_err(HarnessError::file("read", &file))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(opened).map_err(HarnessError::stage(CHECK))?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), ["review_id", "beer_id"]);
        for batch in builder.with_projection(mask).build().map_err(HarnessError::stage(CHECK))? {
            let batch = batch.map_err(HarnessError::stage(CHECK))?;
            rows += i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
            review_ids += sum(&batch, "review_id")?;
            beer_ids += sum(&batch, "beer_id")?;
        }
    }
    let answers = numbers(&[("rows", rows), ("review_id_sum", review_ids), ("beer_id_sum", beer_ids)]);
    Ok(Reply { answers, ..Reply::default() })
}

fn sum(batch: &arrow::record_batch::RecordBatch, name: &str) -> Result<i64, HarnessError> {
    let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let column = column.filter(|column| column.null_count() == 0).ok_or_else(|| HarnessError::Input {
        message: format!("failed to check a converter's Parquet file: `{name}` is no 64-bit integer without NULLs"),
    })?;
    Ok(column.values().iter().sum())
}

fn parquet_files(path: &Path) -> Result<Vec<PathBuf>, HarnessError> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(HarnessError::file("read folder", path))? {
        let file = entry.map_err(HarnessError::file("read folder", path))?.path();
        if file.extension().is_some_and(|extension| extension == "parquet") {
            files.push(file);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_gives_what_the_input_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, clock) = (folder.path().join("reviews.csv.gz"), Clock::wall());
        let mut expect = input::generate(0.000_1, 7, &source).expect("generated").answers;
        let plain = expect.remove("plain_bytes").expect("counted");
        assert_eq!(inflate(&source, &clock).expect("inflated").answers["plain_bytes"], plain);
        for route in [Route::Lite, Route::Mass, Route::Unmasked] {
            let output = folder.path().join("bronze.parquet");
            convert(&source, &output, route, &clock).expect("converted");
            assert_eq!(check_parquet(&output).expect("checked").answers, expect, "{route:?}");
            let bytes = std::fs::read(&output).expect("bronze");
            assert_eq!(has_clear_email(&bytes), route == Route::Unmasked, "{route:?}: masks, unless told otherwise");
        }
    }

    fn has_clear_email(parquet: &[u8]) -> bool {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::copy_from_slice(parquet)).expect("Parquet");
        reader.build().expect("readable").any(|batch| {
            let batch = batch.expect("readable");
            batch
                .column_by_name("email")
                .expect("kept")
                .as_string::<i32>()
                .iter()
                .flatten()
                .any(|text| text.contains('@'))
        })
    }
}

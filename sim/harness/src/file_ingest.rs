//! The batch path for a user's own files: upload under `raw/`, let the same flow take it to gold, report what became of each row.
//!
//! A file whose header is not the contract's needs a mapping (`mappings/<name>.toml` of the lake, or a file of the user's).
//! A mapping may fill several tables from one file; the file is then put once under each table's prefix. Ingesting the same
//! file twice changes nothing: the object version is the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_sdk_s3::primitives::ByteStream;
use lakebed_contract::control::ControlRecord;
use lakebed_contract::{Clock, EventSink, FaultPlan, Lake, MaskedColumn, Seed, Stage, layout};
use lakebed_ingest::mapping::Mapping;
use serde::Serialize;

use crate::backend::{Flow, FlowConfig, StoreOptions, Stores, s3_client};
use crate::error::HarnessError;
use crate::event_log::EventWriter;
use crate::lake_folder::LakeFiles;
use crate::measures::MAIN_PROCESS;
use crate::quiesce::settle_raw;
use crate::run_dir::RunDir;
use crate::sampler::Sampler;
use crate::tally::{Tally, timed};
use crate::wiring::MaskSecret;

/// Files of one call.
pub const FILES_MAX: usize = 1_000;
/// How much of a file is read to find its header.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// What to ingest.
#[derive(Clone, Debug)]
pub struct IngestFiles {
    /// `.csv`, `.csv.gz`, `.json`, `.json.gz`.
    pub files: Vec<PathBuf>,
    /// The table the rows are for.
    pub table: String,
    /// Mapping by path or by its name in the lake; `None` picks the lake's mapping that fits the header, if one is needed.
    pub mapping: Option<String>,
    /// The lake's files.
    pub lake_files: LakeFiles,
}

/// What to ingest, and with what.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// The files.
    pub input: IngestFiles,
    /// Mask key.
    pub mask: MaskSecret,
    /// Seed for names; the data is the user's.
    pub seed: Seed,
    /// This binary, to be started as ECS worker.
    pub worker_program: PathBuf,
}

/// What became of one raw object.
#[derive(Clone, Debug, Serialize)]
pub struct ObjectReport {
    /// Key under `dm-stage`.
    pub key: String,
    /// Table.
    pub table: String,
    /// Final status of its control record.
    pub status: String,
    /// Rows read.
    pub rows_in: i64,
    /// Rows in bronze.
    pub rows_good: i64,
    /// Rows in quarantine.
    pub rows_quarantined: i64,
    /// Rows dropped by a named rule.
    pub rows_dropped: i64,
    /// Quarantined rows by rule and reason.
    pub reasons: BTreeMap<String, u64>,
    /// Why the whole object was given up, if it was.
    pub error: Option<String>,
}

/// What became of all files.
#[derive(Clone, Debug, Serialize)]
pub struct IngestReport {
    /// `pass` when every object reached DONE, else `fail`.
    pub verdict: String,
    /// Mapping used.
    pub mapping: Option<String>,
    /// One entry per raw object.
    pub objects: Vec<ObjectReport>,
    /// What was masked on the way into bronze; nothing of files that were there before.
    pub masking: Vec<MaskedColumn>,
    /// Where the lake lies.
    pub lake: String,
}

struct Upload {
    path: PathBuf,
    table: String,
    /// Names this content, mapping included: `sha256=<16 digits>/<file name>`.
    tail: String,
    mapping: Option<(String, String)>,
}

/// Finds every mistake in the arguments before anything is started or created, the mask key included.
pub fn check(input: &IngestFiles) -> Result<(), HarnessError> {
    plan(input, &Lake::from_files(&input.lake_files)?).map(|_| ())
}

/// Ingests the files into the lake of `run_dir`.
pub async fn run(
    options: IngestOptions,
    run_dir: &RunDir,
    clock: Clock,
    events: EventSink,
) -> Result<IngestReport, HarnessError> {
    let lake = Arc::new(Lake::from_files(&options.input.lake_files)?);
    let uploads = plan(&options.input, &lake)?;
    let log = EventWriter::open(run_dir, &clock)?;
    let tally = Tally::default();
    let events = log.sink(tally.sink(&clock, events));
    let mut stores = Stores::start(run_dir.path(), 0, &StoreOptions::default(), &clock, options.seed, &events).await?;
    let config = FlowConfig {
        lake,
        lake_files: options.input.lake_files.clone(),
        mask: options.mask.clone(),
        clock: clock.clone(),
        seed: options.seed,
        events: events.clone(),
        worker_program: options.worker_program.clone(),
        faults: FaultPlan::default(),
        holds_no_lease: true,
    };
    let s3_events = stores.take_s3_events();
    let flow = Flow::start(&stores.endpoints, s3_events, run_dir, config).await?;
    let sampler = Sampler::start(MAIN_PROCESS, flow.gauges(), clock.clone(), events.clone());
    let keys = timed(Stage::Batch, "upload", &clock, &events, upload_all(&flow, &uploads)).await?;
    timed(Stage::Bronze, "settle the files", &clock, &events, settle_raw(&flow, &clock)).await?;
    flow.refresh("after-ingest").await?;
    let mut objects = Vec::new();
    for pk in &keys {
        let record = flow.control.get(pk).await.map_err(HarnessError::stage("read the control table"))?;
        let record = record.ok_or_else(|| HarnessError::Input { message: format!("no control record for `{pk}`") })?;
        objects.push(report_object(&flow, &record).await?);
    }
    let mapping = uploads.iter().find_map(|upload| upload.mapping.as_ref().map(|(name, _)| name.clone()));
    flow.pipe.stop().await.map_err(HarnessError::stage("stop the pipe"))?;
    flow.notifications.stop().await.map_err(HarnessError::stage("stop the notifications"))?;
    drop(sampler);
    stores.shutdown().await?;
    log.close();
    let passed = objects.iter().all(|object| object.status == "DONE");
    Ok(IngestReport {
        verdict: if passed { "pass" } else { "fail" }.to_owned(),
        mapping,
        objects,
        masking: tally.masking(),
        lake: run_dir.path().display().to_string(),
    })
}

/// Decides what goes where.
fn plan(files: &IngestFiles, lake: &Lake) -> Result<Vec<Upload>, HarnessError> {
    let input = |message: String| HarnessError::Input { message };
    let table = lake.table(&files.table).ok_or_else(|| {
        let known: Vec<_> = lake.tables.iter().map(|table| table.name.as_str()).collect();
        input(format!("failed to ingest into table `{}`: the lake has {}", files.table, known.join(", ")))
    })?;
    if files.files.len() > FILES_MAX {
        return Err(input(format!("failed to ingest {} files: at most {FILES_MAX} at once", files.files.len())));
    }
    let mut uploads: Vec<Upload> = Vec::new();
    for path in &files.files {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let stem = name.strip_suffix(".gz").unwrap_or(&name);
        let is_csv = stem.ends_with(".csv");
        if !is_csv && !stem.ends_with(".json") {
            return Err(input(format!(
                "failed to ingest `{}`: expected .csv, .csv.gz, .json or .json.gz",
                path.display()
            )));
        }
        if !is_csv && files.mapping.is_some() {
            return Err(input(format!("failed to use --mapping for `{}`: it is for CSV files", path.display())));
        }
        let head = read_head(path)?;
        let mapping = if is_csv { choose_mapping(files, lake, table, path, &head)? } else { None };
        let mut tables = vec![table.name.clone()];
        if let Some((_, text)) = &mapping {
            let parsed = Mapping::parse(text).map_err(|error| input(format!("{error}")))?;
            tables = parsed.table_names().map(str::to_owned).collect();
        }
        let tail = format!("sha256={}/{name}", digest(path, mapping.as_ref().map(|(_, text)| text.as_str()))?);
        for table in tables {
            uploads.push(Upload { path: path.clone(), table, tail: tail.clone(), mapping: mapping.clone() });
        }
    }
    Ok(uploads)
}

fn read_head(path: &Path) -> Result<Vec<u8>, HarnessError> {
    use std::io::Read;
    let file = std::fs::File::open(path).map_err(HarnessError::file("read input file", path))?;
    if file.metadata().map_err(HarnessError::file("read input file", path))?.is_dir() {
        let source = std::io::Error::new(std::io::ErrorKind::NotFound, "it is a folder");
        return Err(HarnessError::File { action: "read input file", path: path.to_owned(), source });
    }
    let mut reader: Box<dyn Read> = if path.extension().is_some_and(|extension| extension == "gz") {
        Box::new(flate2::read::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut head = Vec::new();
    let read = reader.by_ref().take(HEADER_BYTES_MAX as u64).read_to_end(&mut head);
    // What lies behind a readable head is the engine's to judge.
    match read {
        Err(error) if head.is_empty() => {
            let message = format!("failed to read input file `{}`: {}", path.display(), error.kind());
            Err(HarnessError::Input { message })
        }
        _ => Ok(head),
    }
}

/// Name and text of the mapping for one file; `None` when its header is the contract's own.
fn choose_mapping(
    files: &IngestFiles,
    lake: &Lake,
    table: &lakebed_contract::TableContract,
    path: &Path,
    head: &[u8],
) -> Result<Option<(String, String)>, HarnessError> {
    let input = |message: String| HarnessError::Input { message };
    let shipped = files.lake_files.iter().filter_map(|(file, text)| {
        let name = file.strip_prefix("mappings/")?.strip_suffix(".toml")?;
        Some((name.to_owned(), text.clone()))
    });
    let checked = |name: String, text: String| {
        let mapping =
            Mapping::parse(&text).map_err(|error| input(format!("failed to use mapping `{name}`: {error}")))?;
        mapping.check(lake).map_err(|error| input(format!("failed to use mapping `{name}`: {error}")))?;
        if mapping.table_names().all(|mapped| mapped != table.name) {
            return Err(input(format!("failed to use mapping `{name}`: it does not fill table `{}`", table.name)));
        }
        Ok((name, text))
    };
    if let Some(named) = &files.mapping {
        let (name, text) = match shipped.clone().find(|(name, _)| name == named) {
            Some(found) => found,
            None => {
                let text = std::fs::read_to_string(named).map_err(HarnessError::file("read mapping file", named))?;
                (named.clone(), text)
            }
        };
        return checked(name, text).map(Some);
    }
    let header = header_columns(head);
    if table.columns.iter().filter(|column| !column.nullable).all(|column| header.contains(&column.name)) {
        return Ok(None);
    }
    for (name, text) in shipped {
        let Ok(mapping) = Mapping::parse(&text) else { continue };
        let fills = mapping.table_names().any(|mapped| mapped == table.name);
        if fills && mapping.source_columns().all(|column| header.iter().any(|found| found == column)) {
            return checked(name, text).map(Some);
        }
    }
    Err(input(format!(
        "failed to ingest `{}`: its header is not that of table `{}` and no mapping of the lake fits; pass --mapping FILE \
         (`lakebed init DIR` writes an example into DIR/mappings)",
        path.display(),
        table.name
    )))
}

/// Column names of the first CSV record; bytes are read as Latin-1, which is right for the ASCII names we look for.
fn header_columns(head: &[u8]) -> Vec<String> {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(head);
    let mut record = csv::ByteRecord::new();
    if !reader.read_byte_record(&mut record).unwrap_or(false) {
        return Vec::new();
    }
    record.iter().map(|field| field.iter().map(|byte| char::from(*byte)).collect()).collect()
}

/// Sixteen hexadecimal digits that name a file's bytes and its mapping.
fn digest(path: &Path, mapping: Option<&str>) -> Result<String, HarnessError> {
    use sha2::{Digest, Sha256};
    let mut file = std::fs::File::open(path).map_err(HarnessError::file("read input file", path))?;
    let mut hash = Sha256::new();
    std::io::copy(&mut file, &mut hash).map_err(HarnessError::file("read input file", path))?;
    hash.update(mapping.unwrap_or_default().as_bytes());
    Ok(data_encoding::HEXLOWER.encode(&hash.finalize()[..8]))
}

/// The same content keeps its key, so that a repetition changes nothing. New content is a new generation of its table: its
/// rows beat those of files ingested before, as a corrected file must.
async fn raw_key(flow: &Flow, upload: &Upload) -> Result<String, HarnessError> {
    let known =
        flow.control.list(Some(&upload.table), None).await.map_err(HarnessError::stage("list the control table"))?;
    let suffix = format!("/{}", upload.tail);
    if let Some(record) = known.iter().find(|record| record.key.ends_with(&suffix)) {
        return Ok(record.key.clone());
    }
    let newest = known.iter().map(|record| layout::generation_of_raw_key(&record.key)).max().unwrap_or(0);
    Ok(format!("{}{}/generation={}/{}", layout::RAW_PREFIX, upload.table, newest + 1, upload.tail))
}

async fn upload_all(flow: &Flow, uploads: &[Upload]) -> Result<Vec<String>, HarnessError> {
    let s3 = s3_client(&flow.parts.endpoints);
    let mut keys = Vec::new();
    for upload in uploads {
        let body = ByteStream::from_path(&upload.path).await.map_err(HarnessError::stage("read an input file"))?;
        let key = raw_key(flow, upload).await?;
        let mut request = s3.put_object().bucket(layout::STAGE_BUCKET).key(&key).body(body);
        if let Some((_, text)) = &upload.mapping {
            let value = Mapping::to_metadata(text).map_err(HarnessError::stage("attach the mapping"))?;
            request = request.metadata(layout::MAPPING_METADATA_KEY, value);
        }
        let answer = request.send().await.map_err(HarnessError::stage("upload an input file"))?;
        let etag = answer.e_tag().unwrap_or_default();
        tracing::debug!(key, table = upload.table, "uploaded");
        keys.push(layout::control_key(layout::STAGE_BUCKET, &key, etag));
    }
    Ok(keys)
}

async fn report_object(flow: &Flow, record: &ControlRecord) -> Result<ObjectReport, HarnessError> {
    let mut reasons = BTreeMap::new();
    if record.rows_bad > 0
        && let Some(table) = flow.parts.lake.table(&record.table)
    {
        let key = layout::quarantine_key(table, &record.pk);
        let answer = s3_client(&flow.parts.endpoints)
            .get_object()
            .bucket(layout::LAKE_BUCKET)
            .key(&key)
            .send()
            .await
            .map_err(HarnessError::stage("read the quarantine"))?;
        let bytes = answer.body.collect().await.map_err(HarnessError::stage("read the quarantine"))?.into_bytes();
        reasons = count_reasons(bytes).map_err(HarnessError::stage("read the quarantine"))?;
    }
    Ok(ObjectReport {
        key: record.key.clone(),
        table: record.table.clone(),
        status: record.status.as_str().to_owned(),
        rows_in: record.rows_in,
        rows_good: record.rows_good,
        rows_quarantined: record.rows_bad,
        rows_dropped: record.rows_dropped,
        reasons,
        error: (!record.error.is_empty()).then(|| record.error.clone()),
    })
}

fn count_reasons(parquet: bytes::Bytes) -> Result<BTreeMap<String, u64>, Box<dyn std::error::Error + Send + Sync>> {
    use arrow::array::AsArray;
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(parquet)?.build()?;
    let mut reasons = BTreeMap::new();
    for batch in reader {
        let batch = batch?;
        let column = |name: &str| batch.column_by_name(name).and_then(|column| column.as_string_opt::<i32>());
        let (Some(rules), Some(texts)) = (column("rule"), column("reason")) else {
            return Err("a quarantine file lacks its rule and reason columns".into());
        };
        for at in 0..batch.num_rows() {
            *reasons.entry(format!("{}: {}", rules.value(at), texts.value(at))).or_insert(0) += 1;
        }
    }
    Ok(reasons)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_names_are_read_through_quotes_and_a_byte_order_mark() {
        assert_eq!(header_columns(b"\xef\xbb\xbf\"\",\"a b\",c\n1,2,3\n"), ["", "a b", "c"]);
        assert!(header_columns(b"").is_empty());
    }
}

//! The batch path: one table as of an exported snapshot, as one gzip CSV object under `raw/`.
//!
//! Rows come by COPY inside a REPEATABLE READ transaction that took over the snapshot, in key order, with session settings
//! that fix the text of every value; the gzip header holds no time. So the same snapshot gives the same bytes. Spools to
//! a temporary file, because S3 wants the length first; memory is bounded by one chunk, or one part of a large upload.

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::pin::pin;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::StreamExt as _;
use lakebed_contract::endpoints::PostgresEndpoint;
use lakebed_contract::layout::{RAW_PREFIX, STAGE_BUCKET};
use lakebed_contract::{EventSink, Stage, TableContract};
use tokio::sync::mpsc;
use tokio_postgres::Client;

use crate::connect::connect;
use crate::error::SourceError;
use crate::schema::{qualified, quote};

/// Up to this size the object is put in one request.
pub(crate) const SINGLE_PUT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Part of a multipart upload; also the memory one takes.
pub(crate) const PART_BYTES: usize = 16 * 1024 * 1024;
/// Chunks of CSV between the connection and the compressing thread.
pub(crate) const CSV_CHUNKS_IN_FLIGHT_MAX: usize = 8;
const CSV_CHUNK_BYTES: usize = 256 * 1024;
/// Fast, since the file is read once.
const GZIP_LEVEL: u32 = 3;

/// What an export wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportReport {
    /// The table.
    pub table: String,
    /// Key in [`STAGE_BUCKET`].
    pub key: String,
    /// Rows, without the header.
    pub rows: u64,
    /// Size of the object.
    pub bytes: u64,
    /// Size before compression.
    pub csv_bytes: u64,
}

/// Exports `table` as of `snapshot` (whose owner must still hold it open) to
/// `dm-stage/raw/<table>/generation=<n>/<table>-full.csv.gz`.
pub async fn export_table(
    endpoint: &PostgresEndpoint,
    snapshot: &str,
    table: &TableContract,
    generation: u32,
    s3: &aws_sdk_s3::Client,
    events: &EventSink,
) -> Result<ExportReport, SourceError> {
    let client = connect(endpoint).await?;
    let spooled = spool(&client, snapshot, table).await?;
    let key = format!("{RAW_PREFIX}{0}/generation={generation}/{0}-full.csv.gz", table.name);
    let limits = UploadLimits { single_put_bytes: SINGLE_PUT_BYTES_MAX, part_bytes: PART_BYTES };
    upload(s3, &key, spooled.file, spooled.bytes, limits).await?;
    events.progress(Stage::Batch, &table.name, spooled.rows, spooled.bytes);
    Ok(ExportReport {
        table: table.name.clone(),
        key,
        rows: spooled.rows,
        bytes: spooled.bytes,
        csv_bytes: spooled.csv_bytes,
    })
}

struct Spooled {
    file: File,
    bytes: u64,
    csv_bytes: u64,
    rows: u64,
}

async fn spool(client: &Client, snapshot: &str, table: &TableContract) -> Result<Spooled, SourceError> {
    // The name goes into a statement that takes no parameters.
    if snapshot.is_empty() || !snapshot.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-') {
        return Err(SourceError::Snapshot { snapshot: snapshot.to_owned() });
    }
    let failed = || SourceError::database(format!("export table `{}`", table.name));
    let begin = format!("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{snapshot}'");
    client.batch_execute(&begin).await.map_err(failed())?;
    let mut rows = pin!(client.copy_out(&copy_sql(table)).await.map_err(failed())?);
    let (sender, receiver) = mpsc::channel::<Bytes>(CSV_CHUNKS_IN_FLIGHT_MAX);
    let writer = tokio::task::spawn_blocking(move || compress(receiver));
    let interrupted = || SourceError::Interrupted { what: format!("export table `{}`", table.name) };
    let (mut lines, mut csv_bytes) = (0u64, 0u64);
    let mut chunk = BytesMut::with_capacity(CSV_CHUNK_BYTES * 2);
    while let Some(line) = rows.next().await {
        // The protocol sends each row, and the header, in a message of its own.
        let line = line.map_err(failed())?;
        lines += 1;
        csv_bytes += line.len() as u64;
        chunk.extend_from_slice(&line);
        if chunk.len() >= CSV_CHUNK_BYTES && sender.send(chunk.split().freeze()).await.is_err() {
            break; // the writer failed and says why below
        }
    }
    if sender.send(chunk.freeze()).await.is_err() {
        tracing::debug!("the compressing thread ended early");
    }
    drop(sender);
    let (file, bytes) = writer.await.map_err(|_| interrupted())?.map_err(SourceError::io("spool the export"))?;
    client.batch_execute("COMMIT").await.map_err(failed())?;
    Ok(Spooled { file, bytes, csv_bytes, rows: lines.saturating_sub(1) })
}

fn copy_sql(table: &TableContract) -> String {
    let columns: Vec<String> = table.columns.iter().map(|column| quote(&column.name)).collect();
    let key: Vec<String> = table.key_columns().map(|column| quote(&column.name)).collect();
    format!(
        "COPY (SELECT {} FROM {} ORDER BY {}) TO STDOUT (FORMAT csv, HEADER true)",
        columns.join(", "),
        qualified(table),
        key.join(", ")
    )
}

/// Compresses into an unnamed temporary file; returns it rewound, with its size.
fn compress(mut chunks: mpsc::Receiver<Bytes>) -> std::io::Result<(File, u64)> {
    // The encoder writes modification time 0 and no name.
    let mut encoder = GzEncoder::new(tempfile::tempfile()?, Compression::new(GZIP_LEVEL));
    while let Some(chunk) = chunks.blocking_recv() {
        encoder.write_all(&chunk)?;
    }
    let mut file = encoder.finish()?;
    let bytes = file.stream_position()?;
    file.rewind()?;
    Ok((file, bytes))
}

#[derive(Clone, Copy)]
struct UploadLimits {
    single_put_bytes: u64,
    part_bytes: usize,
}

async fn upload(
    s3: &aws_sdk_s3::Client,
    key: &str,
    file: File,
    bytes: u64,
    limits: UploadLimits,
) -> Result<(), SourceError> {
    if bytes > limits.single_put_bytes {
        return upload_parts(s3, key, file, limits.part_bytes).await;
    }
    let (body, _) = read_part(file, usize::try_from(bytes).expect("below the limit of a single put")).await?;
    let put =
        s3.put_object().bucket(STAGE_BUCKET).key(key).content_type("application/gzip").body(ByteStream::from(body));
    put.send().await.map_err(SourceError::store(format!("put `{STAGE_BUCKET}/{key}`")))?;
    Ok(())
}

async fn upload_parts(s3: &aws_sdk_s3::Client, key: &str, file: File, part_bytes: usize) -> Result<(), SourceError> {
    let what = || format!("upload `{STAGE_BUCKET}/{key}` in parts");
    let created = s3.create_multipart_upload().bucket(STAGE_BUCKET).key(key).content_type("application/gzip");
    let created = created.send().await.map_err(SourceError::store(what()))?;
    let id = created.upload_id().unwrap_or_default();
    let completed = match send_parts(s3, key, id, file, part_bytes).await {
        Ok(parts) => {
            let parts = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
            let complete = s3.complete_multipart_upload().bucket(STAGE_BUCKET).key(key).upload_id(id);
            complete.multipart_upload(parts).send().await.map(|_| ()).map_err(SourceError::store(what()))
        }
        Err(error) => Err(error),
    };
    if completed.is_err() {
        let abort = s3.abort_multipart_upload().bucket(STAGE_BUCKET).key(key).upload_id(id);
        if let Err(error) = abort.send().await {
            tracing::warn!(%error, key, "failed to abort a multipart upload");
        }
    }
    completed
}

async fn send_parts(
    s3: &aws_sdk_s3::Client,
    key: &str,
    id: &str,
    mut file: File,
    part_bytes: usize,
) -> Result<Vec<CompletedPart>, SourceError> {
    let mut parts = Vec::new();
    for number in 1.. {
        let (body, rest) = read_part(file, part_bytes).await?;
        file = rest;
        if body.is_empty() {
            break;
        }
        let put = s3.upload_part().bucket(STAGE_BUCKET).key(key).upload_id(id).part_number(number);
        let put = put.body(ByteStream::from(body)).send().await;
        let put = put.map_err(SourceError::store(format!("upload part {number} of `{STAGE_BUCKET}/{key}`")))?;
        parts.push(CompletedPart::builder().part_number(number).set_e_tag(put.e_tag().map(str::to_owned)).build());
    }
    Ok(parts)
}

/// Up to `bytes` bytes from where the file stands.
async fn read_part(file: File, bytes: usize) -> Result<(Vec<u8>, File), SourceError> {
    let read = tokio::task::spawn_blocking(move || {
        let mut part = Vec::with_capacity(bytes);
        (&file).take(bytes as u64).read_to_end(&mut part).map(|_| (part, file))
    });
    let read = read.await.map_err(|_| SourceError::Interrupted { what: "read the spooled export".to_owned() })?;
    read.map_err(SourceError::io("read the spooled export"))
}

#[cfg(test)]
mod tests;

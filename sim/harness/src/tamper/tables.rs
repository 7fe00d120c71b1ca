//! An Iceberg commit that nobody asked for: one data file of a table replaced by a changed copy.
//!
//! The new snapshot is whole and valid for every reader; its one manifest names the new file and all others. Names and ids follow
//! from the snapshot before, so the same lake is damaged in the same way. Meant for tables of this testbed: one partition
//! specification, no delete files.

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use bytes::Bytes;
use iceberg::spec::{
    DataContentType, DataFile, DataFileBuilder, DataFileFormat, ManifestEntryRef, ManifestFile, ManifestListWriter,
    ManifestWriterBuilder, Operation, Snapshot, SnapshotReference, SnapshotRetention, Summary,
};
use iceberg::table::Table;
use iceberg::{TableRequirement, TableUpdate};
use lakebed_contract::endpoints::Endpoints;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::unknown;
use crate::error::HarnessError;
use crate::judge::Lakehouse;

const READ: &str = "read a table to damage it";
const WRITE: &str = "write a damaged table";
const MAIN_BRANCH: &str = "main";

/// Offers every live data file to `change` until one is changed, and commits that. Gives what `change` said about it.
pub(super) async fn rewrite_file(
    endpoints: &Endpoints,
    namespace: &str,
    name: &str,
    mut change: impl FnMut(&RecordBatch) -> Result<Option<(RecordBatch, String)>, HarnessError>,
) -> Result<String, HarnessError> {
    let lakehouse = Lakehouse::open(endpoints).await.map_err(HarnessError::stage(READ))?;
    let table = lakehouse.table(namespace, name).await.map_err(HarnessError::stage(READ))?;
    let table = table.ok_or_else(|| unknown(&format!("there is no table `{namespace}.{name}`")))?;
    let live = live_entries(&table).await?;
    for entry in &live {
        let input = table.file_io().new_input(entry.file_path()).map_err(HarnessError::stage(READ))?;
        let batch = decode(input.read().await.map_err(HarnessError::stage(READ))?)?;
        if let Some((changed, place)) = change(&batch)? {
            commit(endpoints, &table, &live, entry, &changed).await?;
            return Ok(place);
        }
    }
    Err(unknown(&format!("`{namespace}.{name}` has no row of that kind")))
}

/// All rows of a Parquet file, as one batch.
pub(super) fn decode(file: Bytes) -> Result<RecordBatch, HarnessError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(HarnessError::stage(READ))?;
    let schema = builder.schema().clone();
    let reader = builder.build().map_err(HarnessError::stage(READ))?;
    let batches = reader.collect::<Result<Vec<_>, _>>().map_err(HarnessError::stage(READ))?;
    concat_batches(&schema, &batches).map_err(HarnessError::stage(READ))
}

/// A Parquet file of these rows, compressed.
pub(super) fn encode(rows: &RecordBatch) -> Result<Bytes, HarnessError> {
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
    let mut writer =
        ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).map_err(HarnessError::stage(WRITE))?;
    writer.write(rows).map_err(HarnessError::stage(WRITE))?;
    Ok(writer.into_inner().map_err(HarnessError::stage(WRITE))?.into())
}

async fn live_entries(table: &Table) -> Result<Vec<ManifestEntryRef>, HarnessError> {
    let Some(snapshot) = table.metadata().current_snapshot() else { return Ok(Vec::new()) };
    let manifests = table.manifest_list_reader(snapshot).load().await.map_err(HarnessError::stage(READ))?;
    let mut live = Vec::new();
    for manifest in manifests.entries() {
        let entries = manifest.load_manifest(table.file_io()).await.map_err(HarnessError::stage(READ))?;
        live.extend(entries.entries().iter().filter(|entry| entry.is_alive()).cloned());
    }
    live.sort_by(|a, b| a.file_path().cmp(b.file_path()));
    Ok(live)
}

async fn commit(
    endpoints: &Endpoints,
    table: &Table,
    live: &[ManifestEntryRef],
    replaced: &ManifestEntryRef,
    rows: &RecordBatch,
) -> Result<(), HarnessError> {
    let metadata = table.metadata();
    let parent = metadata.current_snapshot().ok_or_else(|| unknown("the table has no snapshot"))?;
    let id =
        (1..).map(|step| parent.snapshot_id().wrapping_add(step)).find(|id| metadata.snapshot_by_id(*id).is_none());
    let id = id.ok_or_else(|| unknown("every snapshot id is taken"))?;
    let file = if rows.num_rows() == 0 { None } else { Some(write_file(table, id, replaced.data_file(), rows).await?) };
    let manifest = write_manifest(table, id, live, replaced, file).await?;
    let list = write_list(table, id, parent.snapshot_id(), manifest).await?;
    let snapshot = Snapshot::builder()
        .with_snapshot_id(id)
        .with_parent_snapshot_id(Some(parent.snapshot_id()))
        .with_sequence_number(metadata.next_sequence_number())
        .with_timestamp_ms(metadata.last_updated_ms().max(parent.timestamp_ms()) + 1)
        .with_manifest_list(list)
        .with_summary(Summary { operation: Operation::Overwrite, additional_properties: Default::default() })
        .with_schema_id(metadata.current_schema_id())
        .build();
    let reference = SnapshotReference::new(id, SnapshotRetention::branch(None, None, None));
    let updates = [
        TableUpdate::AddSnapshot { snapshot },
        TableUpdate::SetSnapshotRef { ref_name: MAIN_BRANCH.to_owned(), reference },
    ];
    let requirements = [TableRequirement::UuidMatch { uuid: metadata.uuid() }];
    let ident = table.identifier();
    let (base, namespace) = (endpoints.catalog_url.trim_end_matches('/'), ident.namespace().to_url_string());
    let url = format!("{base}/v1/namespaces/{namespace}/tables/{}", ident.name());
    let body = serde_json::json!({ "identifier": ident, "requirements": requirements, "updates": updates });
    let mut request = reqwest::Client::new().post(url).json(&body);
    if let Some(token) = &endpoints.catalog_token {
        request = request.bearer_auth(token.expose());
    }
    let answer = request.send().await;
    answer.and_then(reqwest::Response::error_for_status).map_err(HarnessError::stage(WRITE))?;
    Ok(())
}

async fn write_file(table: &Table, id: i64, old: &DataFile, rows: &RecordBatch) -> Result<DataFile, HarnessError> {
    let bytes = encode(rows)?;
    let location = format!("{}/data/tampered-{id}.parquet", table.metadata().location());
    let built = DataFileBuilder::default()
        .content(DataContentType::Data)
        .file_format(DataFileFormat::Parquet)
        .file_path(location.clone())
        .partition(old.partition().clone())
        .partition_spec_id(table.metadata().default_partition_spec_id())
        .record_count(rows.num_rows() as u64)
        .file_size_in_bytes(bytes.len() as u64)
        .build()
        .map_err(HarnessError::stage(WRITE))?;
    let output = table.file_io().new_output(&location).map_err(HarnessError::stage(WRITE))?;
    output.write(bytes).await.map_err(HarnessError::stage(WRITE))?;
    Ok(built)
}

async fn write_manifest(
    table: &Table,
    id: i64,
    live: &[ManifestEntryRef],
    replaced: &ManifestEntryRef,
    file: Option<DataFile>,
) -> Result<ManifestFile, HarnessError> {
    let metadata = table.metadata();
    let location = format!("{}/metadata/tampered-{id}-m0.avro", metadata.location());
    let output = table.file_io().new_output(&location).map_err(HarnessError::stage(WRITE))?;
    let spec = metadata.default_partition_spec().as_ref().clone();
    let schema = metadata.current_schema().clone();
    let mut writer = ManifestWriterBuilder::new(output, Some(id), schema, spec).build_v2_data();
    if let Some(file) = file {
        // -1: the number is inherited from the snapshot.
        writer.add_file(file, -1).map_err(HarnessError::stage(WRITE))?;
    }
    for entry in live {
        let unnumbered = || unknown("a manifest entry has no sequence number or snapshot");
        let sequence = entry.sequence_number().ok_or_else(unnumbered)?;
        let file = entry.data_file().clone();
        let written = if entry.file_path() == replaced.file_path() {
            writer.add_delete_file(file, sequence, entry.file_sequence_number)
        } else {
            let added_by = entry.snapshot_id().ok_or_else(unnumbered)?;
            writer.add_existing_file(file, added_by, sequence, entry.file_sequence_number)
        };
        written.map_err(HarnessError::stage(WRITE))?;
    }
    writer.write_manifest_file().await.map_err(HarnessError::stage(WRITE))
}

async fn write_list(table: &Table, id: i64, parent: i64, manifest: ManifestFile) -> Result<String, HarnessError> {
    let metadata = table.metadata();
    let location = format!("{}/metadata/snap-tampered-{id}.avro", metadata.location());
    let output = table.file_io().new_output(&location).map_err(HarnessError::stage(WRITE))?;
    let writer = output.writer().await.map_err(HarnessError::stage(WRITE))?;
    let mut list = ManifestListWriter::v2(writer, id, Some(parent), metadata.next_sequence_number());
    list.add_manifests(std::iter::once(manifest)).map_err(HarnessError::stage(WRITE))?;
    list.close().await.map_err(HarnessError::stage(WRITE))?;
    Ok(location)
}

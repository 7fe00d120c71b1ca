//! What a commit does to table metadata, without any I/O: build the first version, check requirements, apply updates.
//!
//! All rules of the format are the `iceberg` crate's. This module decides only what is the catalog's to decide: table
//! ids, metadata file names, and the time a change without a snapshot happened at (`last-updated-ms` follows our clock,
//! because the crate's would refuse snapshots of a scenario that plays in the past).

use std::collections::HashMap;
use std::str::FromStr;

use iceberg::spec::{FormatVersion, Schema, SortOrder, TableMetadata, TableMetadataBuilder, UnboundPartitionSpec};
use iceberg::{MetadataLocation, TableRequirement, TableUpdate};
use lakebed_contract::Timestamp;
use uuid::Uuid;

use super::refusal::Refusal;

/// Create requests ask for a format version with this property; it is not stored as one.
const FORMAT_VERSION: &str = "format-version";

/// A table to be made.
pub(super) struct NewTable {
    pub(super) schema: Schema,
    pub(super) partition_spec: Option<UnboundPartitionSpec>,
    pub(super) sort_order: Option<SortOrder>,
    pub(super) location: String,
    pub(super) properties: HashMap<String, String>,
}

/// A table as it stands: metadata and the file it lies in.
pub(super) struct Current {
    pub(super) metadata: TableMetadata,
    pub(super) location: String,
}

/// What the catalog adds to a change.
#[derive(Clone, Copy)]
pub(super) struct Stamp {
    /// Id for a table that is created now and does not bring one.
    pub(super) table_uuid: Uuid,
    /// The present.
    pub(super) now: Timestamp,
}

/// The first metadata of a table.
pub(super) fn create(mut table: NewTable, stamp: Stamp) -> Result<TableMetadata, Refusal> {
    let format_version = match table.properties.remove(FORMAT_VERSION) {
        Some(text) => format_version(&text)?,
        None => FormatVersion::V2,
    };
    let builder = TableMetadataBuilder::new(
        table.schema,
        table.partition_spec.unwrap_or_else(|| UnboundPartitionSpec::builder().build()),
        table.sort_order.unwrap_or_else(SortOrder::unsorted_order),
        table.location,
        format_version,
        table.properties,
    )?;
    let built = builder.assign_uuid(stamp.table_uuid).build()?;
    stamped(built.metadata, stamp.now)
}

/// The next metadata of a table: `current` after `updates`, if every one of `requirements` holds. Without `current` the
/// updates must describe a whole table, as they do when a staged creation is committed; `default_location` is where it
/// lies unless they say.
pub(super) fn commit(
    current: Option<Current>,
    requirements: &[TableRequirement],
    updates: Vec<TableUpdate>,
    default_location: &str,
    stamp: Stamp,
) -> Result<TableMetadata, Refusal> {
    for requirement in requirements {
        requirement.check(current.as_ref().map(|current| &current.metadata))?;
    }
    let mut builder = match current {
        Some(Current { metadata, location }) => metadata.into_builder(Some(location)),
        None if requirements.contains(&TableRequirement::NotExist) => {
            first_builder(&updates, default_location)?.assign_uuid(stamp.table_uuid)
        }
        // Only a creation may find no table; without requirements nothing above has said so.
        None => return Err(iceberg::Error::new(iceberg::ErrorKind::TableNotFound, "table does not exist").into()),
    };
    let brings_snapshot = updates.iter().any(|update| matches!(update, TableUpdate::AddSnapshot { .. }));
    for update in updates {
        builder = update.apply(builder)?;
    }
    let metadata = builder.build()?.metadata;
    // With a snapshot, its timestamp is the time of the change; the builder has taken it over.
    if brings_snapshot { Ok(metadata) } else { stamped(metadata, stamp.now) }
}

/// A builder for a table that exists only in the updates of its first commit. They are applied to it again afterwards,
/// which finds schema, spec and order already there.
fn first_builder(updates: &[TableUpdate], default_location: &str) -> Result<TableMetadataBuilder, Refusal> {
    let mut schema = None;
    let mut spec = UnboundPartitionSpec::builder().build();
    let mut order = SortOrder::unsorted_order();
    let mut location = default_location.to_owned();
    let mut version = FormatVersion::V2;
    for update in updates {
        match update {
            TableUpdate::AddSchema { schema: added } => schema = Some(added.clone()),
            TableUpdate::AddSpec { spec: added } => spec = added.clone(),
            TableUpdate::AddSortOrder { sort_order } => order = sort_order.clone(),
            TableUpdate::SetLocation { location: set } => location.clone_from(set),
            TableUpdate::UpgradeFormatVersion { format_version } => version = *format_version,
            _ => {}
        }
    }
    let schema = schema.ok_or_else(|| Refusal::bad_request("a commit that creates a table must add a schema"))?;
    Ok(TableMetadataBuilder::new(schema, spec, order, location, version, HashMap::new())?)
}

/// `<table location>/metadata/<version, 5 digits>-<uuid>.metadata.json`, one version after `previous`.
pub(super) fn next_location(
    metadata: &TableMetadata,
    previous: Option<&str>,
    file_uuid: Uuid,
) -> Result<MetadataLocation, Refusal> {
    let version = previous.map_or(0, |previous| version_of(previous) + 1);
    let location = format!("{}/metadata/{version:05}-{file_uuid}.metadata.json", metadata.location());
    Ok(MetadataLocation::from_str(&location)?.with_new_metadata(metadata))
}

/// The version in a metadata file's name; 0 for a name that holds none (files other tools wrote).
fn version_of(location: &str) -> u32 {
    let file = location.rsplit('/').next().unwrap_or(location);
    file.split_once('-').and_then(|(version, _)| version.parse().ok()).unwrap_or(0)
}

fn format_version(text: &str) -> Result<FormatVersion, Refusal> {
    match text {
        "1" => Ok(FormatVersion::V1),
        "2" => Ok(FormatVersion::V2),
        "3" => Ok(FormatVersion::V3),
        other => Err(Refusal::bad_request(format!("unknown format-version `{other}`"))),
    }
}

/// The crate has no setter for `last-updated-ms`; its serialised form has.
fn stamped(metadata: TableMetadata, now: Timestamp) -> Result<TableMetadata, Refusal> {
    let stamp = || -> serde_json::Result<TableMetadata> {
        let mut value = serde_json::to_value(&metadata)?;
        value["last-updated-ms"] = now.millis().into();
        serde_json::from_value(value)
    };
    stamp().map_err(|error| {
        tracing::error!(%error, "table metadata does not survive its own serialisation");
        Refusal::internal("failed to serialise table metadata")
    })
}

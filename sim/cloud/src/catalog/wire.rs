//! Request and answer bodies of the REST specification, as far as we take part in it.

use std::collections::{BTreeMap, HashMap};

use iceberg::spec::{Schema, SortOrder, TableMetadata, UnboundPartitionSpec};
use iceberg::{NamespaceIdent, TableIdent, TableRequirement, TableUpdate};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::refusal::Refusal;

#[derive(Serialize, Deserialize)]
pub(super) struct NamespaceBody {
    pub(super) namespace: NamespaceIdent,
    #[serde(default)]
    pub(super) properties: BTreeMap<String, String>,
}

#[derive(Serialize)]
pub(super) struct NamespaceList {
    pub(super) namespaces: Vec<Vec<String>>,
}

#[derive(Deserialize)]
pub(super) struct PropertyUpdate {
    #[serde(default)]
    pub(super) removals: Option<Vec<String>>,
    #[serde(default)]
    pub(super) updates: Option<BTreeMap<String, String>>,
}

#[derive(Serialize)]
pub(super) struct TableList {
    pub(super) identifiers: Vec<TableIdent>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct CreateTable {
    pub(super) name: String,
    pub(super) location: Option<String>,
    pub(super) schema: Schema,
    pub(super) partition_spec: Option<UnboundPartitionSpec>,
    pub(super) write_order: Option<SortOrder>,
    pub(super) stage_create: Option<bool>,
    #[serde(default)]
    pub(super) properties: Option<HashMap<String, String>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct TableAnswer {
    /// Absent while a creation is only staged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata_location: Option<String>,
    pub(super) metadata: TableMetadata,
    /// Always empty: where and how to reach S3 is in the catalog's configuration, which a client may override.
    pub(super) config: BTreeMap<String, String>,
}

#[derive(Deserialize)]
pub(super) struct CommitTable {
    pub(super) identifier: Option<TableIdent>,
    #[serde(default)]
    pub(super) requirements: Vec<TableRequirement>,
    #[serde(default)]
    pub(super) updates: Vec<TableUpdate>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct CommitTransaction {
    pub(super) table_changes: Vec<CommitTable>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct CommitAnswer {
    pub(super) metadata_location: String,
    pub(super) metadata: TableMetadata,
}

/// Reads a body, refusing with the specification's error shape (axum's own rejection has another).
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::bad_request(format!("failed to read the request: {error}")))
}

/// Levels joined by dots, as the database keeps them.
pub(super) fn namespace_name(levels: &[String]) -> Result<String, Refusal> {
    if levels.is_empty() {
        return Err(Refusal::bad_request("a namespace needs at least one level"));
    }
    for level in levels {
        checked_name("namespace level", level)?;
        if level.contains('.') {
            return Err(Refusal::bad_request(format!("namespace level `{level}` holds a dot, which separates levels")));
        }
    }
    Ok(levels.join("."))
}

/// The namespace in a path or query: levels separated by the unit separator.
pub(super) fn namespace_in_url(text: &str) -> Result<String, Refusal> {
    let levels: Vec<String> = text.split('\u{1f}').map(str::to_owned).collect();
    namespace_name(&levels)
}

/// Names become parts of S3 keys, so they must not hold what separates those.
pub(super) fn checked_name<'a>(what: &str, name: &'a str) -> Result<&'a str, Refusal> {
    let bad = name.is_empty() || name == "." || name == ".." || name.chars().any(|c| c == '/' || c.is_control());
    if bad {
        Err(Refusal::bad_request(format!("{what} `{}` is not a usable name", name.escape_debug())))
    } else {
        Ok(name)
    }
}

/// The levels of a stored namespace name.
pub(super) fn levels(name: &str) -> Vec<String> {
    name.split('.').map(str::to_owned).collect()
}

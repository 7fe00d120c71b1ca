//! Routes about tables: list, create, load, exists, drop.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use bytes::Bytes;
use http::StatusCode;
use iceberg::table::Table;
use iceberg::{NamespaceIdent, Runtime, TableIdent, drop_table_data};

use super::Catalog;
use super::metadata::{self, NewTable};
use super::pointers::Swap;
use super::refusal::Refusal;
use super::wire::{CreateTable, TableAnswer, TableList, checked_name, levels, namespace_in_url, read};

pub(super) async fn list(
    State(catalog): State<Arc<Catalog>>,
    Path(namespace): Path<String>,
) -> Result<Json<TableList>, Refusal> {
    let name = namespace_in_url(&namespace)?;
    let ident = NamespaceIdent::from_vec(levels(&name))?;
    let tables = catalog.pointers.tables(name).await?;
    let identifiers = tables.into_iter().map(|table| TableIdent::new(ident.clone(), table)).collect();
    Ok(Json(TableList { identifiers }))
}

/// Creates a table, or only works out its first metadata when `stage-create` is set.
pub(super) async fn create(
    State(catalog): State<Arc<Catalog>>,
    Path(namespace): Path<String>,
    body: Bytes,
) -> Result<Json<TableAnswer>, Refusal> {
    let namespace = namespace_in_url(&namespace)?;
    let request: CreateTable = read(&body)?;
    let name = checked_name("table", &request.name)?.to_owned();
    let default_location = catalog.default_location(&namespace, &name).await?;
    if catalog.pointers.current(namespace.clone(), name.clone()).await?.is_some() {
        return Err(Refusal::already_exists("table", &format!("{namespace}.{name}")));
    }
    let table = NewTable {
        schema: request.schema,
        partition_spec: request.partition_spec,
        sort_order: request.write_order,
        location: request.location.unwrap_or(default_location),
        properties: request.properties.unwrap_or_default(),
    };
    let metadata = metadata::create(table, catalog.stamp())?;
    if request.stage_create.unwrap_or(false) {
        return Ok(Json(TableAnswer { metadata_location: None, metadata, config: BTreeMap::new() }));
    }
    let location = metadata::next_location(&metadata, None, catalog.next_uuid())?;
    catalog.write(&metadata, &location).await?;
    let location = location.to_string();
    let swap = Swap { namespace, table: name, from: None, to: location.clone() };
    catalog.swap_or_forget(vec![swap]).await?;
    Ok(Json(TableAnswer { metadata_location: Some(location), metadata, config: BTreeMap::new() }))
}

pub(super) async fn load(
    State(catalog): State<Arc<Catalog>>,
    Path((namespace, table)): Path<(String, String)>,
) -> Result<Json<TableAnswer>, Refusal> {
    let namespace = namespace_in_url(&namespace)?;
    let current =
        catalog.read_current(&namespace, &table).await?.ok_or_else(|| Refusal::no_table(&namespace, &table))?;
    Ok(Json(TableAnswer {
        metadata_location: Some(current.location),
        metadata: current.metadata,
        config: BTreeMap::new(),
    }))
}

pub(super) async fn exists(
    State(catalog): State<Arc<Catalog>>,
    Path((namespace, table)): Path<(String, String)>,
) -> Result<StatusCode, Refusal> {
    let namespace = namespace_in_url(&namespace)?;
    match catalog.pointers.current(namespace.clone(), table.clone()).await? {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(Refusal::no_table(&namespace, &table)),
    }
}

/// Drops a table; `?purgeRequested=true` deletes its files as well.
pub(super) async fn drop(
    State(catalog): State<Arc<Catalog>>,
    Path((namespace, table)): Path<(String, String)>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<StatusCode, Refusal> {
    let namespace = namespace_in_url(&namespace)?;
    let purge = query.get("purgeRequested").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if !purge {
        catalog.pointers.drop_table(namespace, table).await?;
        return Ok(StatusCode::NO_CONTENT);
    }
    let current =
        catalog.read_current(&namespace, &table).await?.ok_or_else(|| Refusal::no_table(&namespace, &table))?;
    catalog.pointers.drop_table(namespace.clone(), table.clone()).await?;
    let location = current.location.clone();
    let dropped = Table::builder()
        .identifier(TableIdent::new(NamespaceIdent::from_vec(levels(&namespace))?, table))
        .file_io(catalog.files.clone())
        .metadata(current.metadata)
        .metadata_location(current.location)
        .runtime(Runtime::try_current()?)
        .build()?;
    drop_table_data(&dropped).await.map_err(|error| Refusal::storage("delete the files of", &location, &error))?;
    Ok(StatusCode::NO_CONTENT)
}

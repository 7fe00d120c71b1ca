//! Routes about namespaces and the catalog's configuration.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use bytes::Bytes;
use http::StatusCode;
use iceberg::NamespaceIdent;
use serde_json::{Value, json};

use super::Catalog;
use super::pointers::PropertyChanges;
use super::refusal::Refusal;
use super::wire::{NamespaceBody, NamespaceList, PropertyUpdate, levels, namespace_in_url, namespace_name, read};

/// What clients may call, in the specification's notation; those that read it ask for nothing else.
const ENDPOINTS: [&str; 14] = [
    "GET /v1/{prefix}/namespaces",
    "POST /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "HEAD /v1/{prefix}/namespaces/{namespace}",
    "DELETE /v1/{prefix}/namespaces/{namespace}",
    "POST /v1/{prefix}/namespaces/{namespace}/properties",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "POST /v1/{prefix}/namespaces/{namespace}/tables",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "POST /v1/{prefix}/transactions/commit",
    "GET /v1/config",
];

/// Where S3 is, as defaults a client may override. Credentials are the client's own business.
pub(super) async fn config(State(catalog): State<Arc<Catalog>>) -> Json<Value> {
    Json(json!({
        "defaults": {
            "s3.endpoint": catalog.endpoints.s3_url,
            "s3.region": catalog.endpoints.region,
            "s3.path-style-access": catalog.endpoints.s3_path_style.to_string(),
        },
        "overrides": {},
        "endpoints": ENDPOINTS,
    }))
}

/// All top-level namespaces, or the children of `?parent=`; one page holds them all.
pub(super) async fn list(
    State(catalog): State<Arc<Catalog>>,
    Query(query): Query<HashMap<String, String>>,
) -> Result<Json<NamespaceList>, Refusal> {
    let names = catalog.pointers.namespaces().await?;
    let prefix = match query.get("parent").filter(|parent| !parent.is_empty()) {
        Some(parent) => {
            let parent = namespace_in_url(parent)?;
            if !names.contains(&parent) {
                return Err(Refusal::no_namespace(&parent));
            }
            format!("{parent}.")
        }
        None => String::new(),
    };
    let is_child = |name: &&String| name.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('.'));
    Ok(Json(NamespaceList { namespaces: names.iter().filter(is_child).map(|name| levels(name)).collect() }))
}

pub(super) async fn create(State(catalog): State<Arc<Catalog>>, body: Bytes) -> Result<Json<NamespaceBody>, Refusal> {
    let request: NamespaceBody = read(&body)?;
    let name = namespace_name(&request.namespace)?;
    catalog.pointers.create_namespace(name, request.properties.clone()).await?;
    Ok(Json(request))
}

pub(super) async fn get(
    State(catalog): State<Arc<Catalog>>,
    Path(namespace): Path<String>,
) -> Result<Json<NamespaceBody>, Refusal> {
    let name = namespace_in_url(&namespace)?;
    let properties = catalog.pointers.properties(name.clone()).await?;
    Ok(Json(NamespaceBody { namespace: NamespaceIdent::from_vec(levels(&name))?, properties }))
}

pub(super) async fn exists(
    State(catalog): State<Arc<Catalog>>,
    Path(namespace): Path<String>,
) -> Result<StatusCode, Refusal> {
    catalog.pointers.properties(namespace_in_url(&namespace)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn drop(
    State(catalog): State<Arc<Catalog>>,
    Path(namespace): Path<String>,
) -> Result<StatusCode, Refusal> {
    catalog.pointers.drop_namespace(namespace_in_url(&namespace)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn update_properties(
    State(catalog): State<Arc<Catalog>>,
    Path(namespace): Path<String>,
    body: Bytes,
) -> Result<Json<PropertyChanges>, Refusal> {
    let request: PropertyUpdate = read(&body)?;
    let (removals, updates) = (request.removals.unwrap_or_default(), request.updates.unwrap_or_default());
    if let Some(both) = removals.iter().find(|key| updates.contains_key(*key)) {
        return Err(Refusal::bad_request(format!("property `{both}` is both removed and updated")));
    }
    let changes = catalog.pointers.change_properties(namespace_in_url(&namespace)?, removals, updates).await?;
    Ok(Json(changes))
}

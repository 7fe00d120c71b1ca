//! Commits to one table or to several at once.
//!
//! Read the current metadata, check, apply, write the next metadata file, then move the pointers in one transaction.
//! Two commits that start from the same metadata both get as far as writing a file; one pointer moves, the other commit
//! is refused with 409 and its file removed again. Nothing is locked in between.

use std::collections::HashSet;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use bytes::Bytes;
use http::StatusCode;

use super::Catalog;
use super::metadata;
use super::pointers::Swap;
use super::refusal::Refusal;
use super::wire::{CommitAnswer, CommitTable, CommitTransaction, checked_name, namespace_in_url, namespace_name, read};

/// Tables one transaction may change.
const TABLES_PER_TRANSACTION: usize = 100;

pub(super) async fn commit_table(
    State(catalog): State<Arc<Catalog>>,
    Path((namespace, table)): Path<(String, String)>,
    body: Bytes,
) -> Result<Json<CommitAnswer>, Refusal> {
    let namespace = namespace_in_url(&namespace)?;
    let change: CommitTable = read(&body)?;
    if let Some(identifier) = &change.identifier
        && (namespace_name(&identifier.namespace)? != namespace || identifier.name != table)
    {
        return Err(Refusal::bad_request("the identifier in the body is not the table of the path"));
    }
    let (swap, answer) = prepare(&catalog, namespace, table, change).await?;
    catalog.swap_or_forget(vec![swap]).await?;
    Ok(Json(answer))
}

pub(super) async fn commit_transaction(
    State(catalog): State<Arc<Catalog>>,
    body: Bytes,
) -> Result<StatusCode, Refusal> {
    let request: CommitTransaction = read(&body)?;
    if request.table_changes.len() > TABLES_PER_TRANSACTION {
        return Err(Refusal::bad_request(format!("a transaction may change {TABLES_PER_TRANSACTION} tables")));
    }
    let mut seen = HashSet::new();
    let mut named = Vec::new();
    for change in request.table_changes {
        let identifier = change
            .identifier
            .clone()
            .ok_or_else(|| Refusal::bad_request("every change of a transaction must name its table"))?;
        let namespace = namespace_name(&identifier.namespace)?;
        if !seen.insert((namespace.clone(), identifier.name.clone())) {
            return Err(Refusal::bad_request(format!("table {identifier} is changed twice")));
        }
        named.push((namespace, identifier.name, change));
    }
    let mut swaps: Vec<Swap> = Vec::new();
    for (namespace, table, change) in named {
        match prepare(&catalog, namespace, table, change).await {
            Ok((swap, _)) => swaps.push(swap),
            Err(refusal) => {
                catalog.forget(&swaps).await;
                return Err(refusal);
            }
        }
    }
    catalog.swap_or_forget(swaps).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Everything of a commit but the swap.
async fn prepare(
    catalog: &Catalog,
    namespace: String,
    table: String,
    change: CommitTable,
) -> Result<(Swap, CommitAnswer), Refusal> {
    checked_name("table", &table)?;
    let current = catalog.read_current(&namespace, &table).await?;
    let from = current.as_ref().map(|current| current.location.clone());
    let default_location = catalog.default_location(&namespace, &table).await?;
    let metadata = metadata::commit(current, &change.requirements, change.updates, &default_location, catalog.stamp())?;
    let location = metadata::next_location(&metadata, from.as_deref(), catalog.next_uuid())?;
    catalog.write(&metadata, &location).await?;
    let to = location.to_string();
    Ok((Swap { namespace, table, from, to: to.clone() }, CommitAnswer { metadata_location: to, metadata }))
}

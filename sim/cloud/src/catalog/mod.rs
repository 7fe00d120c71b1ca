//! The Iceberg REST catalog: thin, and right for iceberg-rust, PyIceberg and DuckDB.
//!
//! The state is one pointer per table in SQLite ([`pointers`]); metadata files are written through S3, to this
//! process's own port, so they lie where every other client finds them. Promises: a commit is atomic, also over several
//! tables; a stale one is refused with 409 and changes nothing; what is not implemented (views, rename, register, scan
//! planning) is refused with 406. Knows nothing of tokens: who may ask is decided before (`catalog_door`). Hands out no
//! credentials. Does not clean up files of commits that died half-way.

mod commits;
mod metadata;
mod namespaces;
mod pointers;
mod refusal;
mod tables;
#[cfg(test)]
mod tests;
mod wire;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use iceberg::MetadataLocation;
use iceberg::io::{
    FileIO, FileIOBuilder, S3_ACCESS_KEY_ID, S3_DISABLE_CONFIG_LOAD, S3_DISABLE_EC2_METADATA, S3_ENDPOINT,
    S3_PATH_STYLE_ACCESS, S3_REGION, S3_SECRET_ACCESS_KEY, S3_SESSION_TOKEN,
};
use iceberg::spec::TableMetadata;
use iceberg_storage_opendal::OpenDalStorageFactory;
use lakebed_contract::layout::LAKE_BUCKET;
use lakebed_contract::seed::uuid_from;
use lakebed_contract::{Clock, Endpoints, Seed};
use uuid::Uuid;

use crate::config::Fsync;
use crate::durability::WriteAheadLog;
use metadata::{Current, Stamp};
use pointers::{Pointers, Swap};
use refusal::Refusal;

const FILE_NAME: &str = "catalog.sqlite";
/// A commit carries a whole schema and one snapshot; this leaves room for very wide tables.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Namespace property that says where its tables lie; the convention of other catalogs.
const LOCATION_PROPERTY: &str = "location";

/// What can go wrong while the catalog is opened. Requests answer with the specification's error bodies instead.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The state directory cannot be made.
    #[error("failed to create `{path}`")]
    CreateDirectory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The pointer database cannot be opened.
    #[error("failed to open `{path}`")]
    Open {
        /// The database file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

/// The catalog.
pub struct Catalog {
    pointers: Pointers,
    files: FileIO,
    endpoints: Endpoints,
    clock: Clock,
    uuids: Mutex<Box<dyn FnMut() -> Uuid + Send>>,
}

impl std::fmt::Debug for Catalog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Catalog").field("endpoints", &self.endpoints).finish_non_exhaustive()
    }
}

impl Catalog {
    /// Opens (or creates) the catalog kept in `dir`. Metadata files go through the S3 of `endpoints`, which need not
    /// answer before the first table is created. `fsync` is about the pointers: the files are as safe as their S3 makes them,
    /// so a pointer that survives a power cut may name a file that did not, unless both are flushed.
    pub fn open(
        dir: &Path,
        endpoints: Endpoints,
        clock: Clock,
        seed: Seed,
        fsync: Fsync,
    ) -> Result<Self, CatalogError> {
        std::fs::create_dir_all(dir)
            .map_err(|source| CatalogError::CreateDirectory { path: dir.to_owned(), source })?;
        let path = dir.join(FILE_NAME);
        let pointers = Pointers::open(&path, fsync).map_err(|source| CatalogError::Open { path, source })?;
        let mut files = FileIOBuilder::new(Arc::new(OpenDalStorageFactory::S3 { customized_credential_load: None }))
            .with_prop(S3_ENDPOINT, &endpoints.s3_url)
            .with_prop(S3_REGION, &endpoints.region)
            .with_prop(S3_ACCESS_KEY_ID, &endpoints.access_key_id)
            .with_prop(S3_SECRET_ACCESS_KEY, endpoints.secret_access_key.expose())
            .with_prop(S3_PATH_STYLE_ACCESS, endpoints.s3_path_style)
            .with_prop(S3_DISABLE_EC2_METADATA, "true")
            .with_prop(S3_DISABLE_CONFIG_LOAD, "true");
        if let Some(token) = &endpoints.session_token {
            files = files.with_prop(S3_SESSION_TOKEN, token.expose());
        }
        let files = files.build();
        let mut rng = seed.unique("catalog", &clock).rng("uuid");
        Ok(Self { pointers, files, endpoints, clock, uuids: Mutex::new(Box::new(move || uuid_from(&mut rng))) })
    }

    /// The log that commits rest on, of the catalog kept in `dir`.
    pub(crate) fn log_in(dir: &Path) -> WriteAheadLog {
        WriteAheadLog::of(&dir.join(FILE_NAME))
    }

    /// The routes, without the `/iceberg` prefix.
    pub fn router(self: Arc<Self>) -> Router {
        Router::new()
            .route("/v1/config", get(namespaces::config))
            .route("/v1/namespaces", get(namespaces::list).post(namespaces::create))
            .route("/v1/namespaces/{namespace}", get(namespaces::get).head(namespaces::exists).delete(namespaces::drop))
            .route("/v1/namespaces/{namespace}/properties", post(namespaces::update_properties))
            .route("/v1/namespaces/{namespace}/tables", get(tables::list).post(tables::create))
            .route(
                "/v1/namespaces/{namespace}/tables/{table}",
                get(tables::load).head(tables::exists).post(commits::commit_table).delete(tables::drop),
            )
            .route("/v1/transactions/commit", post(commits::commit_transaction))
            .fallback(unsupported)
            .method_not_allowed_fallback(unsupported)
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self)
    }

    fn next_uuid(&self) -> Uuid {
        let mut next = self.uuids.lock().unwrap_or_else(PoisonError::into_inner);
        (*next)()
    }

    fn stamp(&self) -> Stamp {
        Stamp { table_uuid: self.next_uuid(), now: self.clock.now() }
    }

    /// Where a table lies unless its creator says: under its namespace's location, or in the lake bucket. Refuses an
    /// unknown namespace.
    async fn default_location(&self, namespace: &str, table: &str) -> Result<String, Refusal> {
        let properties = self.pointers.properties(namespace.to_owned()).await?;
        Ok(match properties.get(LOCATION_PROPERTY) {
            Some(location) => format!("{}/{table}", location.trim_end_matches('/')),
            None => format!("s3://{LAKE_BUCKET}/{}/{table}", namespace.replace('.', "/")),
        })
    }

    async fn read_current(&self, namespace: &str, table: &str) -> Result<Option<Current>, Refusal> {
        let Some(location) = self.pointers.current(namespace.to_owned(), table.to_owned()).await? else {
            return Ok(None);
        };
        let metadata = TableMetadata::read_from(&self.files, &location)
            .await
            .map_err(|error| Refusal::storage("read", &location, &error))?;
        Ok(Some(Current { metadata, location }))
    }

    async fn write(&self, metadata: &TableMetadata, location: &MetadataLocation) -> Result<(), Refusal> {
        metadata
            .write_to(&self.files, location)
            .await
            .map_err(|error| Refusal::storage("write", &location.to_string(), &error))
    }

    /// Moves the pointers; when they certainly did not move, the new files are of no use and go.
    async fn swap_or_forget(&self, swaps: Vec<Swap>) -> Result<(), Refusal> {
        let outcome = self.pointers.swap(swaps.clone()).await;
        if let Err(refusal) = &outcome
            && refusal.status.is_client_error()
        {
            self.forget(&swaps).await;
        }
        outcome
    }

    /// Removes metadata files no pointer leads to. A file that stays is harmless, so this only warns.
    async fn forget(&self, swaps: &[Swap]) {
        for swap in swaps {
            if let Err(error) = self.files.delete(&swap.to).await {
                tracing::warn!(%error, location = %swap.to, "failed to remove the metadata file of a lost commit");
            }
        }
    }
}

async fn unsupported(method: http::Method, uri: http::Uri) -> Refusal {
    Refusal::unsupported(&format!("{method} {}", uri.path()))
}

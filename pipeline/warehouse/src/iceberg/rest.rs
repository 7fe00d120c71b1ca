//! The REST catalog and the S3 file access that belongs to it.
//!
//! Loading and creating go through `iceberg-catalog-rest`. Its commit call wants a `TableCommit` that only the `iceberg` crate can
//! build, so commits are posted here in the same wire form. A commit whose answer is lost is looked up before it is called failed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use iceberg::io::{
    FileIO, FileIOBuilder, S3_ACCESS_KEY_ID, S3_DISABLE_CONFIG_LOAD, S3_DISABLE_EC2_METADATA, S3_ENDPOINT,
    S3_PATH_STYLE_ACCESS, S3_REGION, S3_SECRET_ACCESS_KEY, S3_SESSION_TOKEN,
};
use iceberg::table::Table;
use iceberg::{Catalog, CatalogBuilder, ErrorKind, TableCreation, TableIdent};
use iceberg_catalog_rest::{REST_CATALOG_PROP_URI, RestCatalog, RestCatalogBuilder};
use iceberg_storage_opendal::OpenDalStorageFactory;
use lakebed_contract::{Endpoints, Secret};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::TableStore;
use super::commit::{Prepared, Trace};
use crate::error::{Attempt, Result, WarehouseError};

/// How long the catalog may take to answer a commit.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(60);
/// The catalog property with the bearer token; the client crate has no name for it.
const TOKEN_PROPERTY: &str = "token";

/// A REST catalog whose tables lie in S3.
pub(crate) struct RestStore {
    catalog: RestCatalog,
    http: reqwest::Client,
    url: String,
    token: Option<Secret<String>>,
    prefix: OnceCell<Option<String>>,
}

/// File access with static credentials.
pub(crate) fn s3_files(endpoints: &Endpoints) -> FileIO {
    FileIOBuilder::new(storage_factory()).with_props(s3_properties(endpoints)).build()
}

fn storage_factory() -> Arc<OpenDalStorageFactory> {
    Arc::new(OpenDalStorageFactory::S3 { customized_credential_load: None })
}

fn s3_properties(endpoints: &Endpoints) -> HashMap<String, String> {
    let property = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let mut properties = HashMap::from([
        property(S3_ENDPOINT, &endpoints.s3_url),
        property(S3_REGION, &endpoints.region),
        property(S3_ACCESS_KEY_ID, &endpoints.access_key_id),
        property(S3_SECRET_ACCESS_KEY, endpoints.secret_access_key.expose()),
        property(S3_PATH_STYLE_ACCESS, if endpoints.s3_path_style { "true" } else { "false" }),
        property(S3_DISABLE_EC2_METADATA, "true"),
        property(S3_DISABLE_CONFIG_LOAD, "true"),
    ]);
    properties.extend(endpoints.session_token.as_ref().map(|token| property(S3_SESSION_TOKEN, token.expose())));
    properties
}

impl RestStore {
    /// Prepares a client; the first call connects.
    pub(crate) async fn connect(endpoints: &Endpoints) -> Result<Self> {
        let url = endpoints.catalog_url.trim_end_matches('/').to_owned();
        let mut http = reqwest::Client::builder().timeout(COMMIT_TIMEOUT);
        if ["http://127.0.0.1", "http://[::1]", "http://localhost"].iter().any(|own| url.starts_with(own)) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|error| WarehouseError::Commit {
            table: "any table".to_owned(),
            reason: format!("no HTTP client: {}", error.without_url()),
        })?;
        let mut properties = s3_properties(endpoints);
        properties.insert(REST_CATALOG_PROP_URI.to_owned(), url.clone());
        let token = endpoints.catalog_token.clone();
        properties.extend(token.as_ref().map(|token| (TOKEN_PROPERTY.to_owned(), token.expose().clone())));
        let catalog = RestCatalogBuilder::default()
            .with_client(http.clone())
            .with_storage_factory(storage_factory())
            .load("lakebed", properties)
            .await
            .attempt(|| format!("open the catalog at `{url}`"))?;
        Ok(Self { catalog, http, url, token, prefix: OnceCell::new() })
    }

    fn with_token(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token.expose()),
            None => request,
        }
    }

    /// The path segment a server wants between `v1` and `namespaces`.
    async fn prefix(&self) -> Result<Option<&str>> {
        let fetch = || async {
            let request = self.with_token(self.http.get(format!("{}/v1/config", self.url)));
            let config: Value = request.send().await?.json().await?;
            let of = |part: &str| config[part]["prefix"].as_str().map(str::to_owned);
            Ok::<_, reqwest::Error>(of("overrides").or_else(|| of("defaults")))
        };
        let prefix = self.prefix.get_or_try_init(fetch).await.map_err(|error| WarehouseError::Commit {
            table: "any table".to_owned(),
            reason: format!("the catalog's configuration: {}", error.without_url()),
        })?;
        Ok(prefix.as_deref())
    }

    async fn shows(&self, ident: &TableIdent, trace: &Trace) -> Result<bool> {
        let table = self.load(ident).await?;
        Ok(table.is_some_and(|table| trace.is_in(table.metadata())))
    }
}

#[async_trait]
impl TableStore for RestStore {
    async fn load(&self, ident: &TableIdent) -> Result<Option<Table>> {
        match self.catalog.load_table(ident).await {
            Ok(table) => Ok(Some(table)),
            Err(error) if matches!(error.kind(), ErrorKind::TableNotFound | ErrorKind::NamespaceNotFound) => Ok(None),
            Err(error) => Err(error).attempt(|| format!("load table `{ident}`")),
        }
    }

    async fn create(&self, ident: &TableIdent, creation: TableCreation) -> Result<Table> {
        match self.catalog.create_namespace(ident.namespace(), HashMap::new()).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NamespaceAlreadyExists => {}
            Err(error) => return Err(error).attempt(|| format!("create namespace `{}`", ident.namespace())),
        }
        match self.catalog.create_table(ident.namespace(), creation).await {
            Ok(table) => Ok(table),
            Err(error) if error.kind() == ErrorKind::TableAlreadyExists => {
                self.catalog.load_table(ident).await.attempt(|| format!("load table `{ident}`"))
            }
            Err(error) => Err(error).attempt(|| format!("create table `{ident}`")),
        }
    }

    async fn commit(&self, table: &Table, prepared: &Prepared) -> Result<()> {
        let ident = table.identifier();
        let prefix = self.prefix().await?.map_or(String::new(), |prefix| format!("/{prefix}"));
        let namespace = ident.namespace().to_url_string();
        let url = format!("{}/v1{prefix}/namespaces/{namespace}/tables/{}", self.url, ident.name());
        let body = json!({
            "identifier": ident,
            "requirements": prepared.requirements,
            "updates": prepared.updates,
        });
        let failed = |reason: String| WarehouseError::Commit { table: ident.to_string(), reason };
        let reason = match self.with_token(self.http.post(url).json(&body)).send().await {
            Ok(answer) if answer.status().is_success() => return Ok(()),
            Ok(answer) if answer.status().as_u16() == 409 => {
                return Err(WarehouseError::CommitConflict { table: ident.to_string() });
            }
            Ok(answer) if answer.status().is_client_error() => {
                return Err(failed(format!("the catalog answered {}", answer.status())));
            }
            Ok(answer) => format!("the catalog answered {}", answer.status()),
            Err(error) => error.without_url().to_string(),
        };
        // A 5xx or a broken connection says nothing about whether the commit happened.
        match self.shows(ident, &prepared.trace).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(failed(reason)),
            Err(error) => Err(failed(format!("{reason}; then {}", error.report()))),
        }
    }
}

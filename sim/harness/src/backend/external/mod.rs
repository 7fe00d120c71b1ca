//! The external backend: stores and Postgres that run somewhere else, e.g. containers, another emulator, or AWS.
//!
//! Only the Iceberg REST catalog is ours and served from this process; its files lie in the external S3. S3 events come from
//! polling `raw/`, because a store elsewhere cannot call us. Promises: resources that hold anything are refused before one byte is
//! written, unless this very state directory wrote it; what is created is named; a run that does not stay leaves no
//! replication slot behind, which would fill the database's disk. Does not delete data: it is the user's.

mod claim;
mod database_url;
mod slot;
mod stream_probe;
mod vacancy;

use std::path::Path;

use lakebed_cloud::{CatalogServer, CatalogServerConfig};
use lakebed_contract::endpoints::{Endpoints, PostgresEndpoint, aws_endpoint_url};
use lakebed_contract::{Clock, EventSink, Lake, Secret, Seed};

use super::flow::{create_resources, create_stream};
use super::s3_client;
use crate::error::HarnessError;
use crate::run::RunPlace;
use crate::run_dir::RunDir;

pub use database_url::postgres_endpoint;

use slot::SlotGuard;

/// Stores and source of an external run.
#[derive(Clone, Debug)]
pub struct ExternalConfig {
    /// The AWS side.
    pub stores: ExternalStores,
    /// The source database.
    pub postgres: PostgresEndpoint,
}

/// Where the AWS services answer. A service without an address is AWS's own.
#[derive(Clone, Debug)]
pub struct ExternalStores {
    /// AWS region.
    pub region: String,
    /// S3.
    pub s3_url: Option<String>,
    /// DynamoDB.
    pub dynamodb_url: Option<String>,
    /// DynamoDB Streams.
    pub dynamodb_streams_url: Option<String>,
    /// Kinesis Data Streams.
    pub kinesis_url: Option<String>,
    /// KMS.
    pub kms_url: Option<String>,
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: Secret<String>,
    /// Session token of temporary credentials.
    pub session_token: Option<Secret<String>>,
}

impl ExternalStores {
    /// The bundle a run works with.
    pub fn endpoints(&self, catalog_url: &str) -> Endpoints {
        let url = |given: &Option<String>, service: &str| {
            given.clone().unwrap_or_else(|| aws_endpoint_url(service, &self.region))
        };
        Endpoints {
            region: self.region.clone(),
            s3_url: url(&self.s3_url, "s3"),
            // AWS finds a bucket by host name; nobody else can be expected to have a name server for it.
            s3_path_style: self.s3_url.is_some(),
            dynamodb_url: url(&self.dynamodb_url, "dynamodb"),
            dynamodb_streams_url: url(&self.dynamodb_streams_url, "streams.dynamodb"),
            kinesis_url: url(&self.kinesis_url, "kinesis"),
            kms_url: url(&self.kms_url, "kms"),
            catalog_url: catalog_url.to_owned(),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.clone(),
            session_token: self.session_token.clone(),
            // Our own catalog, on the loopback interface.
            catalog_token: None,
        }
    }
}

/// What was started for an external run, and what it made elsewhere.
pub(super) struct External {
    pub(super) endpoints: Endpoints,
    /// Names of the resources that did not exist before.
    pub(super) created: Vec<String>,
    slot: SlotGuard,
    keeps_slot: bool,
    catalog: CatalogServer,
}

impl External {
    /// Makes sure that nothing foreign is in the way, creates buckets, table and stream, and serves the catalog.
    pub(super) async fn start(
        config: &ExternalConfig,
        lake: &Lake,
        place: RunPlace<'_>,
        seed: Seed,
        clock: &Clock,
        events: &EventSink,
    ) -> Result<Self, HarnessError> {
        let known = claim::of_run(place.run_dir)?;
        if known.is_none() && place.run_dir.has_data() {
            let folder = place.run_dir.path().display();
            let message = format!("failed to take up `{folder}`: the lake in it is not external; name another folder");
            return Err(HarnessError::Input { message });
        }
        let endpoints = config.stores.endpoints("");
        let Endpoints { s3_url, dynamodb_url, kinesis_url, region, .. } = &endpoints;
        events.log(format!(
            "external: S3 at {s3_url}, DynamoDB at {dynamodb_url}, Kinesis at {kinesis_url}, region {region}, \
             Postgres at {} port {}",
            config.postgres.host, config.postgres.port
        ));
        let s3 = s3_client(&endpoints);
        let is_ours = known.is_some() && claim::written(&s3, s3_url).await? == known;
        let mut found = vacancy::look(&endpoints, &config.postgres, lake).await?;
        if !is_ours && known.is_some() {
            found.occupied.push("the state directory belongs to a run on other stores".to_owned());
        }
        if !is_ours && !found.occupied.is_empty() {
            return Err(HarnessError::NotVacant { found: found.occupied });
        }
        create_resources(&endpoints, clock).await?;
        create_stream(&endpoints, clock).await?;
        if !is_ours {
            stream_probe::await_stream(&endpoints, clock).await?;
            claim::leave(&s3, place.run_dir, seed, clock).await?;
        }
        for name in &found.missing {
            events.log(format!("external: creates {name}"));
        }
        let (catalog, endpoints) = serve_catalog(&config.stores, place.run_dir, place.port, seed, clock).await?;
        let keeps_slot = place.keep_postgres;
        let slot = SlotGuard::new(config.postgres.clone(), !keeps_slot);
        Ok(Self { endpoints, created: found.missing, slot, keeps_slot, catalog })
    }

    /// Stops the catalog; drops the replication slot of a run that does not stay.
    pub(super) async fn stop(self) -> Result<(), HarnessError> {
        if self.keeps_slot { shutdown(self.catalog).await } else { self.discard().await }
    }

    /// Stops the catalog and drops the replication slot: nobody will take this run up again.
    pub(super) async fn discard(self) -> Result<(), HarnessError> {
        let released = self.slot.release().await;
        released.and(shutdown(self.catalog).await)
    }
}

async fn shutdown(catalog: CatalogServer) -> Result<(), HarnessError> {
    catalog.shutdown().await.map_err(HarnessError::stage("stop the Iceberg catalog"))
}

/// Whether the state directory belongs to an external run.
pub(crate) fn wrote(state_dir: &Path) -> bool {
    claim::is_there(state_dir)
}

/// The catalog over external stores, from the pointers in `run_dir`.
pub(crate) async fn serve_catalog(
    stores: &ExternalStores,
    run_dir: &RunDir,
    port: u16,
    seed: Seed,
    clock: &Clock,
) -> Result<(CatalogServer, Endpoints), HarnessError> {
    let config = CatalogServerConfig {
        port,
        state_dir: run_dir.path().to_owned(),
        endpoints: stores.endpoints(""),
        clock: clock.clone(),
        seed,
    };
    let catalog = CatalogServer::start(config).await.map_err(HarnessError::stage("start the Iceberg catalog"))?;
    let endpoints = stores.endpoints(catalog.url());
    Ok((catalog, endpoints))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stores(s3_url: Option<&str>) -> ExternalStores {
        ExternalStores {
            region: "sa-east-1".to_owned(),
            s3_url: s3_url.map(str::to_owned),
            dynamodb_url: None,
            dynamodb_streams_url: None,
            kinesis_url: Some("http://127.0.0.1:4566".to_owned()),
            kms_url: None,
            access_key_id: "id".to_owned(),
            secret_access_key: Secret::new("hidden-key".to_owned()),
            session_token: Some(Secret::new("hidden-token".to_owned())),
        }
    }

    #[test]
    fn what_has_no_address_is_on_aws_and_its_buckets_are_host_names() {
        let aws = stores(None).endpoints("http://127.0.0.1:1/iceberg");
        assert_eq!(aws.s3_url, "https://s3.sa-east-1.amazonaws.com");
        assert_eq!(aws.dynamodb_streams_url, "https://streams.dynamodb.sa-east-1.amazonaws.com");
        assert_eq!(aws.kinesis_url, "http://127.0.0.1:4566");
        assert_eq!(aws.kms_url, "https://kms.sa-east-1.amazonaws.com");
        assert!(!aws.s3_path_style);
        assert!(stores(Some("http://127.0.0.1:9000")).endpoints("").s3_path_style);
    }

    #[test]
    fn debug_hides_every_secret() {
        let postgres = postgres_endpoint(&Secret::new("postgres://u:hidden-word@h/d".to_owned())).expect("a URL");
        let shown = format!("{:?}", ExternalConfig { stores: stores(None), postgres });
        assert!(!shown.contains("hidden"), "{shown}");
    }
}

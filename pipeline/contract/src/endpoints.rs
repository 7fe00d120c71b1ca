//! A backend, as far as a stage can tell: where the AWS APIs answer, and with which credentials.
//!
//! The same bundle describes the embedded stores, containers and AWS; no stage asks which of them it talks to.
//! Builds SDK configuration but opens no connection.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde::{Deserialize, Serialize};

use crate::secret::Secret;

/// Endpoint URLs and credentials. Serialised only to hand it to a worker process over a pipe (see [`EndpointsWire`]).
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// AWS region name; `us-east-1` for the embedded stores.
    pub region: String,
    /// S3 endpoint, path style.
    pub s3_url: String,
    /// DynamoDB and DynamoDB Streams endpoint.
    pub dynamodb_url: String,
    /// Kinesis Data Streams endpoint.
    pub kinesis_url: String,
    /// Base URL of the Iceberg REST catalog, without `/v1`.
    pub catalog_url: String,
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: Secret<String>,
}

impl Endpoints {
    /// Everything on one port of this machine, with the credentials the embedded stores expect.
    pub fn embedded(port: u16) -> Self {
        let url = format!("http://127.0.0.1:{port}");
        Self {
            region: "us-east-1".to_owned(),
            s3_url: url.clone(),
            dynamodb_url: url.clone(),
            kinesis_url: url.clone(),
            catalog_url: format!("{url}/iceberg"),
            access_key_id: "lakebed".to_owned(),
            secret_access_key: Secret::new("lakebed-secret".to_owned()),
        }
    }

    /// SDK configuration for one service endpoint. S3 clients must also set `force_path_style(true)`.
    pub fn sdk_config(&self, endpoint_url: &str) -> SdkConfig {
        let credentials =
            Credentials::new(&self.access_key_id, self.secret_access_key.expose(), None, None, "lakebed-endpoints");
        SdkConfig::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .endpoint_url(endpoint_url)
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .build()
    }

    /// The form that crosses a process boundary.
    pub fn to_wire(&self) -> EndpointsWire {
        EndpointsWire {
            region: self.region.clone(),
            s3_url: self.s3_url.clone(),
            dynamodb_url: self.dynamodb_url.clone(),
            kinesis_url: self.kinesis_url.clone(),
            catalog_url: self.catalog_url.clone(),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.expose().clone(),
        }
    }
}

/// [`Endpoints`] in clear, for a worker's standard input only. Has no `Debug` so that it cannot be logged.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointsWire {
    region: String,
    s3_url: String,
    dynamodb_url: String,
    kinesis_url: String,
    catalog_url: String,
    access_key_id: String,
    secret_access_key: String,
}

impl From<EndpointsWire> for Endpoints {
    fn from(wire: EndpointsWire) -> Self {
        Self {
            region: wire.region,
            s3_url: wire.s3_url,
            dynamodb_url: wire.dynamodb_url,
            kinesis_url: wire.kinesis_url,
            catalog_url: wire.catalog_url,
            access_key_id: wire.access_key_id,
            secret_access_key: Secret::new(wire.secret_access_key),
        }
    }
}

/// How to reach the source database.
#[derive(Clone, Debug)]
pub struct PostgresEndpoint {
    /// Host name or address; a directory (starting with `/`) means the Unix socket in it.
    pub host: String,
    /// TCP port, or the number in the socket's name.
    pub port: u16,
    /// Role with `REPLICATION`.
    pub user: String,
    /// Its password; empty where the socket directory is the protection.
    pub password: Secret<String>,
    /// Database.
    pub database: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_secret_key() {
        assert!(!format!("{:?}", Endpoints::embedded(4566)).contains("lakebed-secret"));
    }
}

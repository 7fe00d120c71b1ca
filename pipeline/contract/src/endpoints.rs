//! A backend, as far as a stage can tell: where the AWS APIs answer, and with which credentials.
//!
//! The same bundle describes the embedded stores, containers and AWS; no stage asks which of them it talks to.
//! Builds SDK configuration but opens no connection.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::secret::Secret;

/// The public endpoint of an AWS service in a region, e.g. of `kinesis`.
pub fn aws_endpoint_url(service: &str, region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://{service}.{region}.{suffix}")
}

/// The bearer token that stands for an access key where a client cannot sign, as most clients of an Iceberg REST catalog
/// cannot. Whoever has it may do what the key may do there, and nothing else: the secret does not follow from it.
pub fn bearer_token(access_key_id: &str, secret_access_key: &str) -> String {
    let text = format!("lakebed bearer token 1\n{access_key_id}\n{secret_access_key}");
    data_encoding::HEXLOWER.encode(&Sha256::digest(text))
}

/// Endpoint URLs and credentials. Serialised only to hand it to a worker process over a pipe (see [`EndpointsWire`]).
#[derive(Clone, Debug)]
pub struct Endpoints {
    /// AWS region name; `us-east-1` for the embedded stores.
    pub region: String,
    /// S3 endpoint.
    pub s3_url: String,
    /// Whether the bucket goes into the path rather than the host name. AWS wants the host name; everybody else the path.
    pub s3_path_style: bool,
    /// DynamoDB endpoint.
    pub dynamodb_url: String,
    /// DynamoDB Streams endpoint; emulators answer both at one address.
    pub dynamodb_streams_url: String,
    /// Kinesis Data Streams endpoint.
    pub kinesis_url: String,
    /// KMS endpoint.
    pub kms_url: String,
    /// Base URL of the Iceberg REST catalog, without `/v1`.
    pub catalog_url: String,
    /// Access key id.
    pub access_key_id: String,
    /// Secret access key.
    pub secret_access_key: Secret<String>,
    /// Session token of temporary credentials.
    pub session_token: Option<Secret<String>>,
    /// Bearer token of the catalog, where it wants one.
    pub catalog_token: Option<Secret<String>>,
}

impl Endpoints {
    /// Everything on one port of this machine, with the credentials the embedded stores expect.
    pub fn embedded(port: u16) -> Self {
        Self::embedded_at(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }

    /// The same, where they listen on `address`. A listener on every address is reached over the loopback interface.
    pub fn embedded_at(mut address: SocketAddr) -> Self {
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::LOCALHOST),
            });
        }
        let url = format!("http://{address}");
        Self {
            region: "us-east-1".to_owned(),
            s3_url: url.clone(),
            s3_path_style: true,
            dynamodb_url: url.clone(),
            dynamodb_streams_url: url.clone(),
            kinesis_url: url.clone(),
            kms_url: url.clone(),
            catalog_url: format!("{url}/iceberg"),
            access_key_id: "lakebed".to_owned(),
            secret_access_key: Secret::new("lakebed-secret".to_owned()),
            session_token: None,
            catalog_token: None,
        }
    }

    /// The same endpoints with another access key; the catalog gets the [`bearer_token`] of that key.
    pub fn signing_with(self, access_key_id: &str, secret_access_key: &Secret<String>) -> Self {
        let token = bearer_token(access_key_id, secret_access_key.expose());
        Self {
            access_key_id: access_key_id.to_owned(),
            secret_access_key: secret_access_key.clone(),
            session_token: None,
            catalog_token: Some(Secret::new(token)),
            ..self
        }
    }

    /// SDK configuration for one service endpoint. S3 clients must also set `force_path_style(self.s3_path_style)`.
    pub fn sdk_config(&self, endpoint_url: &str) -> SdkConfig {
        let (key, secret) = (&self.access_key_id, self.secret_access_key.expose());
        let token = self.session_token.as_ref().map(|token| token.expose().clone());
        let credentials = Credentials::new(key, secret, token, None, "lakebed-endpoints");
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
            s3_path_style: self.s3_path_style,
            dynamodb_url: self.dynamodb_url.clone(),
            dynamodb_streams_url: self.dynamodb_streams_url.clone(),
            kinesis_url: self.kinesis_url.clone(),
            kms_url: self.kms_url.clone(),
            catalog_url: self.catalog_url.clone(),
            access_key_id: self.access_key_id.clone(),
            secret_access_key: self.secret_access_key.expose().clone(),
            session_token: self.session_token.as_ref().map(|token| token.expose().clone()),
            catalog_token: self.catalog_token.as_ref().map(|token| token.expose().clone()),
        }
    }
}

/// [`Endpoints`] in clear, for a worker's standard input only. Has no `Debug` so that it cannot be logged.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointsWire {
    region: String,
    s3_url: String,
    s3_path_style: bool,
    dynamodb_url: String,
    dynamodb_streams_url: String,
    kinesis_url: String,
    kms_url: String,
    catalog_url: String,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    catalog_token: Option<String>,
}

impl From<EndpointsWire> for Endpoints {
    fn from(wire: EndpointsWire) -> Self {
        Self {
            region: wire.region,
            s3_url: wire.s3_url,
            s3_path_style: wire.s3_path_style,
            dynamodb_url: wire.dynamodb_url,
            dynamodb_streams_url: wire.dynamodb_streams_url,
            kinesis_url: wire.kinesis_url,
            kms_url: wire.kms_url,
            catalog_url: wire.catalog_url,
            access_key_id: wire.access_key_id,
            secret_access_key: Secret::new(wire.secret_access_key),
            session_token: wire.session_token.map(Secret::new),
            catalog_token: wire.catalog_token.map(Secret::new),
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
    fn debug_shows_neither_the_secret_key_nor_the_session_token() {
        let mut endpoints = Endpoints::embedded(4566);
        endpoints.session_token = Some(Secret::new("lakebed-token".to_owned()));
        endpoints.catalog_token = Some(Secret::new("lakebed-token".to_owned()));
        let shown = format!("{endpoints:?}");
        assert!(!shown.contains("lakebed-secret") && !shown.contains("lakebed-token"), "{shown}");
    }

    #[test]
    fn a_worker_gets_everything() {
        let mut endpoints = Endpoints::embedded(4566);
        endpoints.dynamodb_streams_url = "http://127.0.0.1:9".to_owned();
        endpoints.s3_path_style = false;
        endpoints.session_token = Some(Secret::new("token".to_owned()));
        endpoints.catalog_token = Some(Secret::new("bearer".to_owned()));
        let text = serde_json::to_string(&endpoints.to_wire()).expect("strings");
        let received = Endpoints::from(serde_json::from_str::<EndpointsWire>(&text).expect("the same"));
        assert_eq!(format!("{received:?}"), format!("{endpoints:?}"));
        assert_eq!(received.session_token.expect("kept").expose(), "token");
        assert_eq!(received.catalog_token.expect("kept").expose(), "bearer");
    }

    #[test]
    fn a_listener_on_every_address_is_reached_over_loopback() {
        let url = |address: &str| Endpoints::embedded_at(address.parse().expect("an address")).s3_url;
        assert_eq!(url("0.0.0.0:1"), "http://127.0.0.1:1");
        assert_eq!(url("[::]:1"), "http://[::1]:1");
        assert_eq!(url("[::1]:1"), "http://[::1]:1");
        assert_eq!(url("192.0.2.7:1"), "http://192.0.2.7:1");
    }

    #[test]
    fn a_key_brings_its_bearer_token() {
        let secret = Secret::new("s".to_owned());
        let endpoints = Endpoints::embedded(1).signing_with("k", &secret);
        let token = endpoints.catalog_token.expect("made");
        assert_eq!(*token.expose(), bearer_token("k", "s"));
        assert_eq!(token.expose().len(), 64);
        assert_ne!(bearer_token("k", "s"), bearer_token("k", "t"));
    }

    #[test]
    fn china_has_a_domain_of_its_own() {
        assert_eq!(aws_endpoint_url("kinesis", "sa-east-1"), "https://kinesis.sa-east-1.amazonaws.com");
        assert_eq!(aws_endpoint_url("s3", "cn-north-1"), "https://s3.cn-north-1.amazonaws.com.cn");
    }
}

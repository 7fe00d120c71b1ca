//! AWS stores on one port of this machine: S3, DynamoDB with Streams, Kinesis Data Streams, and an Iceberg REST catalog.
//!
//! Promises: what an answered request changed is still there after the process was killed and [`Cloud::start`] is
//! called again on the same `state_dir` (after a power cut only what DynamoDB and the catalog hold: S3 and Kinesis do not fsync); S3 objects lie as plain files under
//! `<state_dir>/s3/<bucket>/<key>`; what is not implemented is refused with the error shape of its protocol.
//! Does not check signatures: every credential is accepted, and the port is bound to the loopback interface only.

mod catalog_server;
mod error;
mod routing;
mod server;

pub mod catalog;
pub mod dynamodb;
pub mod kinesis;
pub mod matrix;
pub mod s3;

pub use catalog_server::{CatalogServer, CatalogServerConfig};
pub use error::CloudError;
pub use server::{Cloud, CloudConfig, SHUTDOWN_GRACE};

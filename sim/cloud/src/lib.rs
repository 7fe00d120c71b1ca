//! AWS stores on one port of this machine: S3, DynamoDB with Streams, Kinesis Data Streams, Comprehend's detection of
//! personal data, the symmetric keys of KMS, and an Iceberg REST catalog.
//!
//! Promises: what an answered request changed is still there after the process was killed and [`Cloud::start`] is
//! called again on the same `state_dir`, and after a power cut as far as [`Fsync`] says (see `durability.rs`: by default
//! nothing is flushed for that, `Always` flushes before each answer); S3 objects lie as plain files under
//! `<state_dir>/s3/<bucket>/<key>`, small ones in the index beside (see `s3/bodies.rs`); what is not implemented is refused with the error shape of its protocol.
//! Accepts every credential on the loopback interface unless told otherwise; beyond it, only signed requests of known keys
//! ([`Auth::Enforce`]).

mod auth;
mod buffering;
mod catalog_door;
mod catalog_server;
mod comprehend;
mod config;
mod durability;
mod error;
mod event_feed;
mod hook;
mod kms;
mod limits;
mod place;
mod routing;
mod server;
mod validation;

pub mod catalog;
pub mod dynamodb;
pub mod kinesis;
pub mod matrix;
pub mod s3;

pub use catalog_server::{CatalogServer, CatalogServerConfig};
pub use config::{AccessKey, Auth, CloudConfig, Fsync, Limits};
pub use durability::FLUSH_INTERVAL;
pub use error::CloudError;
pub use event_feed::{EventFeed, FEED_EVENTS_MAX};
pub use hook::fault_points;
pub use server::{Cloud, SHUTDOWN_GRACE};

//! What can go wrong while the stores are opened, served or closed.
//!
//! Errors of single requests never come here: they are answered to the client in the error shape of its protocol.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use lakebed_contract::FaultKind;

use crate::catalog::CatalogError;
use crate::dynamodb::DynamoDbError;

/// Failure of the cloud as a whole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CloudError {
    /// Somebody else listens on the port.
    #[error("failed to listen on port {port}: it is taken")]
    PortTaken {
        /// The port asked for.
        port: u16,
    },
    /// The address cannot be listened on for another reason.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The address can be reached from outside this machine, and nobody would be asked who they are.
    #[error(
        "failed to listen on {address}: it can be reached from outside this machine and signatures are not checked; enforce \
         keys (`--auth enforce`) or listen on a loopback address"
    )]
    PublicWithoutAuth {
        /// The address asked for.
        address: IpAddr,
    },
    /// Signatures are to be enforced, and there is no key, or one without an id or a secret.
    #[error("failed to enforce signatures: each access key needs an id and a secret, and there must be one")]
    UnusableKeys,
    /// Another process serves the same state directory.
    #[error("failed to lock state directory `{}`: another process serves it", path.display())]
    StateInUse {
        /// The directory.
        path: PathBuf,
    },
    /// A file or directory of the state cannot be read or written.
    #[error("failed to {action} `{}`", path.display())]
    State {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the state is damaged in a way that a crash does not explain.
    #[error("failed to read `{}`: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The S3 metadata cannot be opened.
    #[error("failed to open S3 metadata `{}`", path.display())]
    Metadata {
        /// The SQLite file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
    /// S3 notifications cannot be sent where they are to be sent. The address itself is not told: it may hold a secret.
    #[error("failed to use the address for S3 notifications: {reason}")]
    NotifyUrl {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A fault is planned that can never strike.
    #[error("failed to plan fault {kind} at {stage}/{operation}: {reason}")]
    Fault {
        /// Service.
        stage: String,
        /// Its operation.
        operation: String,
        /// What was to go wrong.
        kind: FaultKind,
        /// Why it cannot.
        reason: String,
    },
    /// DynamoDB cannot be opened.
    #[error("failed to open DynamoDB")]
    DynamoDb(#[from] DynamoDbError),
    /// The Iceberg catalog cannot be opened.
    #[error("failed to open the Iceberg catalog")]
    Catalog(#[from] CatalogError),
    /// The last flush of a store failed: what it was told lately may not survive a power cut.
    #[error("failed to flush {store} to disk")]
    Flush {
        /// Which one.
        store: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Requests were still running when the grace period ended; they were cut off.
    #[error("failed to finish {connections} connections within {seconds} s")]
    ShutdownTimedOut {
        /// Connections that still had a request in flight.
        connections: usize,
        /// The grace period.
        seconds: u64,
    },
    /// The same for a catalog that serves alone.
    #[error("failed to finish the catalog's requests within {seconds} s")]
    CatalogShutdownTimedOut {
        /// The grace period.
        seconds: u64,
    },
}

impl CloudError {
    /// For `map_err`: names what was attempted on which path.
    pub(crate) fn state(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::State { action, path, source }
    }
}

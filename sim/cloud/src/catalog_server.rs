//! The Iceberg REST catalog alone, for stores that are not ours: it serves from this process, its files lie in their S3.
//!
//! Promises: listens on the loopback interface only; keeps its table pointers in `state_dir`, one process at a time, and
//! flushes each commit, because it does not know how safe the files in that S3 are.
//! Requests in flight are finished within [`SHUTDOWN_GRACE`] at the end.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use lakebed_contract::{Clock, Endpoints, Seed};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::catalog::Catalog;
use crate::config::Fsync;
use crate::error::CloudError;
use crate::routing::CATALOG_PATH_SEGMENT;
use crate::server::{SHUTDOWN_GRACE, listen, lock_state};

/// What to serve, where, and over which S3.
#[derive(Debug)]
pub struct CatalogServerConfig {
    /// Port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// Where the pointers are kept; made when missing.
    pub state_dir: PathBuf,
    /// The S3 that holds the tables' files. Its `catalog_url` is not used.
    pub endpoints: Endpoints,
    /// Time.
    pub clock: Clock,
    /// Chance.
    pub seed: Seed,
}

/// The running catalog. Dropping it stops it at once; [`CatalogServer::shutdown`] is the orderly way.
#[derive(Debug)]
pub struct CatalogServer {
    url: String,
    finish: CancellationToken,
    task: AbortOnDropHandle<()>,
    _state_lock: File,
}

impl CatalogServer {
    /// Opens the pointers and starts to serve.
    pub async fn start(config: CatalogServerConfig) -> Result<Self, CloudError> {
        let CatalogServerConfig { port, state_dir, endpoints, clock, seed } = config;
        fs::create_dir_all(&state_dir).map_err(CloudError::state("create", &state_dir))?;
        let state_lock = lock_state(&state_dir)?;
        let (listener, address) = listen(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
        let catalog =
            Arc::new(Catalog::open(&state_dir.join("catalog"), endpoints, clock, seed, Fsync::Always)?).router();
        let routes = Router::new().nest(&format!("/{CATALOG_PATH_SEGMENT}"), catalog);
        let finish = CancellationToken::new();
        let serving = axum::serve(listener, routes).with_graceful_shutdown(finish.clone().cancelled_owned());
        let task = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::warn!(%error, "the catalog stopped listening");
            }
        });
        let url = format!("http://{address}/{CATALOG_PATH_SEGMENT}");
        Ok(Self { url, finish, task: AbortOnDropHandle::new(task), _state_lock: state_lock })
    }

    /// Base URL of the catalog, without `/v1`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops listening and finishes requests in flight.
    pub async fn shutdown(self) -> Result<(), CloudError> {
        self.finish.cancel();
        // The bound is real time even on a virtual clock: sockets do not live in simulated time.
        let wall = Clock::wall();
        tokio::select! {
            ended = self.task => {
                if let Err(error) = ended {
                    tracing::error!(%error, "the catalog ended before it was asked to");
                }
                Ok(())
            }
            () = wall.sleep(SHUTDOWN_GRACE) => {
                Err(CloudError::CatalogShutdownTimedOut { seconds: SHUTDOWN_GRACE.as_secs() })
            }
        }
    }
}

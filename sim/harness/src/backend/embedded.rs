//! The embedded backend: the stores in this process on one port, and a private Postgres beside them.

use std::path::{Path, PathBuf};

use lakebed_cloud::{Cloud, CloudConfig};
use lakebed_contract::endpoints::Endpoints;
use lakebed_contract::{Clock, EventSink, RunEvent, Seed};
use lakebed_source::{PostgresConfig, PostgresServer};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{S3Events, external};
use crate::demo::DemoOptions;
use crate::error::HarnessError;
use crate::run::RunPlace;

/// S3 notifications that may wait between the store and the controller.
pub const NOTIFICATION_QUEUE_MAX: usize = 1_024;

/// Starts stores and Postgres side by side.
pub(super) async fn start(
    options: &DemoOptions,
    place: RunPlace<'_>,
    clock: &Clock,
    events: &EventSink,
) -> Result<(Stores, PostgresServer), HarnessError> {
    let installation = lakebed_source::find_postgres(options.postgres_bin.as_deref(), options.search_path.clone())
        .map_err(HarnessError::stage("find a PostgreSQL server"))?;
    let (stores, postgres) = tokio::join!(
        Stores::start(place.run_dir.path(), place.port, clock, options.seed, events),
        PostgresServer::start(PostgresConfig {
            events: events.clone(),
            durable: place.keep_postgres,
            ..PostgresConfig::new(installation, postgres_parent(place), clock.clone())
        }),
    );
    Ok((stores?, postgres.map_err(HarnessError::stage("start PostgreSQL"))?))
}

/// Postgres refuses to run as root and drops to another user, who must be able to reach its folder: a throw-away one lies in the
/// system's temporary folder, not in the run's private one.
fn postgres_parent(place: RunPlace<'_>) -> PathBuf {
    if place.keep_postgres { place.run_dir.path().to_owned() } else { std::env::temp_dir() }
}

/// The embedded stores, listening.
pub struct Stores {
    cloud: Cloud,
    /// How to reach them.
    pub endpoints: Endpoints,
    notifications: Option<mpsc::Receiver<Value>>,
}

impl Stores {
    /// Starts the stores on `port` (0 for any) over `state_dir`, ready for a [`super::Flow`] to take their S3 events.
    pub async fn start(
        state_dir: &Path,
        port: u16,
        clock: &Clock,
        seed: Seed,
        events: &EventSink,
    ) -> Result<Self, HarnessError> {
        let (sender, receiver) = mpsc::channel(NOTIFICATION_QUEUE_MAX);
        let mut stores = Self::listen(state_dir, port, clock, seed, events, Some(sender)).await?;
        stores.notifications = Some(receiver);
        events.emit(RunEvent::EndpointReady { url: stores.endpoints.s3_url.clone() });
        Ok(stores)
    }

    /// Starts the stores alone: nobody takes S3 events, so a bucket notification is refused, not accepted and ignored.
    pub async fn start_alone(
        state_dir: &Path,
        port: u16,
        clock: &Clock,
        seed: Seed,
        events: &EventSink,
    ) -> Result<Self, HarnessError> {
        Self::listen(state_dir, port, clock, seed, events, None).await
    }

    async fn listen(
        state_dir: &Path,
        port: u16,
        clock: &Clock,
        seed: Seed,
        events: &EventSink,
        notifications: Option<mpsc::Sender<Value>>,
    ) -> Result<Self, HarnessError> {
        // Its catalog points to files that are not here.
        if external::wrote(state_dir) {
            let folder = state_dir.display();
            let message =
                format!("failed to open `{folder}`: its files lie in external stores; add --backend external");
            return Err(HarnessError::Input { message });
        }
        let cloud = Cloud::start(CloudConfig {
            port,
            state_dir: state_dir.to_owned(),
            clock: clock.clone(),
            seed,
            events: events.clone(),
            notifications,
        })
        .await
        .map_err(HarnessError::stage("start the stores"))?;
        let endpoints = Endpoints::embedded(cloud.port());
        Ok(Self { cloud, endpoints, notifications: None })
    }

    /// The port in use.
    pub fn port(&self) -> u16 {
        self.cloud.port()
    }

    /// Their S3 events; `None` when somebody has them already or nobody may.
    pub fn take_s3_events(&mut self) -> Option<S3Events> {
        self.notifications.take().map(S3Events::Sent)
    }

    /// Stops listening and writes everything out.
    pub async fn shutdown(self) -> Result<(), HarnessError> {
        self.cloud.shutdown().await.map_err(HarnessError::stage("stop the stores"))
    }
}

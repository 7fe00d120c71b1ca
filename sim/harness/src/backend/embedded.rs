//! The embedded backend: the stores in this process on one port, and a private Postgres beside them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use lakebed_cloud::{Auth, Cloud, CloudConfig, CloudError, EventFeed, Fsync, Limits};
use lakebed_contract::endpoints::Endpoints;
use lakebed_contract::{Clock, EventSink, FaultPlan, RunEvent, Secret, Seed};
use lakebed_source::{PostgresConfig, PostgresServer};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{S3Events, external};
use crate::demo::DemoOptions;
use crate::error::HarnessError;
use crate::run::RunPlace;
use crate::scenario::definition::LimitsName;
use crate::wiring::pii_detector;

/// S3 notifications that may wait between the store and the controller.
pub const NOTIFICATION_QUEUE_MAX: usize = 1_024;

/// How the embedded stores differ from their defaults.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Address to listen on.
    pub bind: IpAddr,
    /// Whose requests are answered.
    pub auth: Auth,
    /// What an acknowledged write survives.
    pub fsync: Fsync,
    /// Throughput limits.
    pub limits: Limits,
    /// Address that S3 event documents are POSTed to besides.
    pub notify_url: Option<Secret<String>>,
    /// What goes wrong on purpose in the stores themselves.
    pub faults: FaultPlan,
    /// What readers of the port hear.
    pub feed: EventFeed,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            auth: Auth::default(),
            fsync: Fsync::default(),
            limits: Limits::default(),
            notify_url: None,
            faults: FaultPlan::default(),
            feed: EventFeed::default(),
        }
    }
}

/// Starts stores and Postgres side by side.
pub(super) async fn start(
    options: &DemoOptions,
    place: RunPlace<'_>,
    clock: &Clock,
    events: &EventSink,
) -> Result<(Stores, PostgresServer), HarnessError> {
    let installation = lakebed_source::find_postgres(options.postgres_bin.as_deref(), options.search_path.clone())
        .map_err(HarnessError::stage("find a PostgreSQL server"))?;
    let mut stores = StoreOptions { faults: options.faults.clone(), ..options.stores.clone() };
    if options.workload.limits == LimitsName::Aws {
        stores.limits = Limits::Aws;
    }
    let (stores, postgres) = tokio::join!(
        Stores::start(place.run_dir.path(), place.port, &stores, clock, options.seed, events),
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
        options: &StoreOptions,
        clock: &Clock,
        seed: Seed,
        events: &EventSink,
    ) -> Result<Self, HarnessError> {
        let (sender, receiver) = mpsc::channel(NOTIFICATION_QUEUE_MAX);
        let mut stores = Self::listen(state_dir, port, options, clock, seed, events, Some(sender)).await?;
        stores.notifications = Some(receiver);
        events.emit(RunEvent::EndpointReady { url: stores.endpoints.s3_url.clone() });
        Ok(stores)
    }

    /// Starts the stores alone: nobody takes S3 events, so a bucket notification is refused, not accepted and ignored.
    pub async fn start_alone(
        state_dir: &Path,
        port: u16,
        options: &StoreOptions,
        clock: &Clock,
        seed: Seed,
        events: &EventSink,
    ) -> Result<Self, HarnessError> {
        Self::listen(state_dir, port, options, clock, seed, events, None).await
    }

    async fn listen(
        state_dir: &Path,
        port: u16,
        options: &StoreOptions,
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
        let mut config = CloudConfig::new(state_dir, clock.clone(), seed);
        (config.port, config.events, config.notifications) = (port, events.clone(), notifications);
        // By name, so that an option that is not handed on does not compile.
        let StoreOptions { bind, auth, fsync, limits, notify_url, faults, feed } = options.clone();
        (config.bind, config.auth, config.fsync, config.limits) = (bind, auth, fsync, limits);
        (config.notify_url, config.faults, config.feed) = (notify_url, faults, feed);
        config.pii_detector = Some(pii_detector());
        let cloud = Cloud::start(config).await.map_err(|error| match error {
            // The user's own, as the address is; the rest is the machine's.
            CloudError::NotifyUrl { .. } => HarnessError::Input { message: error.to_string() },
            _ => HarnessError::stage("start the stores")(error),
        })?;
        let endpoints = cloud.endpoints();
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

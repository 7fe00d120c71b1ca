//! A running backend: where the AWS APIs and Postgres answer, where S3 events come from, and how to stop it all.
//!
//! A run knows this bundle and nothing behind it; no stage asks which backend it runs on. [`Stores`] alone is
//! `lakebed up --stores-only`; [`Flow`] is what moves data from `raw/` on, over any backend.

pub mod docker;
mod embedded;
pub mod external;
mod flow;

use docker::Containers;
use external::External;
use lakebed_contract::endpoints::{Endpoints, PostgresEndpoint};
use lakebed_contract::{Clock, EventSink, Lake};
use lakebed_source::PostgresServer;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::demo::DemoOptions;
use crate::error::HarnessError;
use crate::run::RunPlace;

pub use docker::DockerImages;
pub use lakebed_cloud::{AccessKey, Auth, Fsync, Limits};

pub use embedded::{NOTIFICATION_QUEUE_MAX, StoreOptions, Stores};
pub use external::{ExternalConfig, ExternalStores};
pub(crate) use flow::check_machines;
pub use flow::{
    ANALYTICS, Flow, FlowConfig, INGESTION, KINESIS_SHARDS, LAMBDA_CONCURRENCY_MAX, PROCESSING, create_resources,
    create_stream, request_s3_events,
};
pub use lakebed_flow::s3_client;

/// Which backend a run starts.
#[derive(Clone, Debug, Default)]
pub enum BackendChoice {
    /// Stores in this process and a private Postgres.
    #[default]
    Embedded,
    /// Stores and Postgres that run somewhere else.
    External(Box<ExternalConfig>),
    /// Stores and Postgres in containers of this run.
    Docker(Box<DockerImages>),
}

impl BackendChoice {
    /// Whether stores and Postgres live and die with the state directory, so that nobody else can be at work in them.
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Embedded | Self::Docker(_) => true,
            Self::External(_) => false,
        }
    }

    /// Its name on the command line and in reports.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::External(_) => "external",
            Self::Docker(_) => "docker",
        }
    }
}

/// Where S3 event documents come from.
#[derive(Debug)]
pub enum S3Events {
    /// The store sends them into this channel once a bucket notification asks for them.
    Sent(mpsc::Receiver<Value>),
    /// The store cannot call us: somebody must look at `raw/` again and again.
    Polled,
}

/// A running backend. Dropping it stops it without waiting; [`Backend::stop`] is the orderly way.
pub struct Backend {
    endpoints: Endpoints,
    postgres: PostgresEndpoint,
    s3_events: Option<S3Events>,
    parts: Parts,
}

/// What must be stopped at the end. Fields are in the order in which they must be dropped.
enum Parts {
    Embedded { postgres: PostgresServer, stores: Box<Stores> },
    External(External),
    Docker { external: External, containers: Box<Containers> },
}

impl Backend {
    /// Starts what `options` choose; ready when AWS APIs and Postgres answer.
    pub async fn start(
        options: &DemoOptions,
        lake: &Lake,
        place: RunPlace<'_>,
        clock: &Clock,
        events: &EventSink,
    ) -> Result<Self, HarnessError> {
        match &options.backend {
            BackendChoice::Embedded => {
                let (mut stores, postgres) = embedded::start(options, place, clock, events).await?;
                Ok(Self {
                    endpoints: stores.endpoints.clone(),
                    postgres: postgres.endpoint(),
                    s3_events: stores.take_s3_events(),
                    parts: Parts::Embedded { postgres, stores: Box::new(stores) },
                })
            }
            BackendChoice::External(config) => {
                let external = External::start(config, lake, place, options.seed, clock, events).await?;
                Ok(Self {
                    endpoints: external.endpoints.clone(),
                    postgres: config.postgres.clone(),
                    s3_events: Some(S3Events::Polled),
                    parts: Parts::External(external),
                })
            }
            BackendChoice::Docker(images) => {
                let (containers, config) = Containers::start(images, options.seed, clock, events).await?;
                let external = External::start(&config, lake, place, options.seed, clock, events).await?;
                Ok(Self {
                    endpoints: external.endpoints.clone(),
                    postgres: config.postgres,
                    s3_events: Some(S3Events::Polled),
                    parts: Parts::Docker { external, containers: Box::new(containers) },
                })
            }
        }
    }

    /// Where the AWS APIs and the catalog answer.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Where the source database answers.
    pub fn postgres(&self) -> PostgresEndpoint {
        self.postgres.clone()
    }

    /// The S3 events of these stores; `None` when somebody has them already.
    pub fn take_s3_events(&mut self) -> Option<S3Events> {
        self.s3_events.take()
    }

    /// As [`Self::stop`], and removes a source that was kept: nobody will take this run up again.
    pub async fn discard_source(self) -> Result<(), HarnessError> {
        match self.parts {
            Parts::Embedded { postgres, stores } => {
                postgres.discard().await.map_err(HarnessError::stage("remove PostgreSQL"))?;
                stores.shutdown().await
            }
            Parts::External(external) => external.discard().await,
            Parts::Docker { external, containers } => {
                let stopped = external.discard().await;
                stopped.and(containers.remove().await)
            }
        }
    }

    /// Resources that were made elsewhere for this run, and stay: the user may want to remove them.
    pub fn created(&self) -> &[String] {
        match &self.parts {
            Parts::Embedded { .. } | Parts::Docker { .. } => &[],
            Parts::External(external) => &external.created,
        }
    }

    /// Whether the stores hold nothing but this run's resources.
    pub fn is_private(&self) -> bool {
        !matches!(self.parts, Parts::External(_))
    }

    /// Stops everything that was started for this run.
    pub async fn stop(self) -> Result<(), HarnessError> {
        match self.parts {
            Parts::Embedded { postgres, stores } => {
                postgres.stop().await.map_err(HarnessError::stage("stop PostgreSQL"))?;
                stores.shutdown().await
            }
            Parts::External(external) => external.stop().await,
            Parts::Docker { external, containers } => {
                let stopped = external.stop().await;
                stopped.and(containers.remove().await)
            }
        }
    }
}

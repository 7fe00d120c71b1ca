//! The Docker backend: Postgres, LocalStack (DynamoDB, Streams, Kinesis) and MinIO (S3) in containers of this run.
//!
//! Promises: every port is published on 127.0.0.1 only; containers and their volumes are removed at the end, also after an error
//! or Ctrl-C (not after `kill -9`; they carry the label `lakebed`). From the moment they answer, they are external
//! stores like any other.

mod container;
mod error;
mod image;

use lakebed_contract::endpoints::PostgresEndpoint;
use lakebed_contract::{Clock, EventSink, Secret, Seed};
use testcontainers_modules::localstack::LocalStack;
use testcontainers_modules::minio::MinIO;
use testcontainers_modules::postgres::Postgres;
use testcontainers_modules::testcontainers::{ContainerRequest, ImageExt};

use super::external::{ExternalConfig, ExternalStores};
use super::s3_client;
use crate::error::HarnessError;

pub use container::READY_WAIT_MAX;
pub use error::DockerError;
pub use image::{DockerImages, ImageName, LOCALSTACK_IMAGE, MINIO_IMAGE, POSTGRES_IMAGE};

use container::{RemovalGuard, Service};

const POSTGRES_PORT: u16 = 5432;
const LOCALSTACK_PORT: u16 = 4566;
const MINIO_PORT: u16 = 9000;
const REGION: &str = "us-east-1";
const USER: &str = "lakebed";
const DATABASE: &str = "lakebed";

/// The running containers. Dropping them removes them, without telling of failures; [`Containers::remove`] does so with a result.
pub(super) struct Containers {
    postgres: Service<Postgres>,
    localstack: Service<LocalStack>,
    minio: Service<MinIO>,
    names: [String; 3],
    // Dropped last: it removes what the others could not.
    guard: RemovalGuard,
}

impl Containers {
    /// Starts all three side by side; ready when each answers.
    pub(super) async fn start(
        images: &DockerImages,
        seed: Seed,
        clock: &Clock,
        events: &EventSink,
    ) -> Result<(Self, ExternalConfig), HarnessError> {
        container::engine().await?;
        let run = seed.unique("containers", clock).0;
        let names = ["postgres", "localstack", "minio"].map(|service| format!("lakebed-{run:016x}-{service}"));
        let password = lakebed_source::random_password().map_err(HarnessError::stage("make a password"))?;
        let guard = RemovalGuard::new(names.to_vec());
        let [postgres, localstack, minio] = &names;
        // All are awaited even if one fails: a request that is given up half-way may still make a container.
        let (postgres, localstack, minio) = tokio::join!(
            container::start(postgres_request(&password), &images.postgres, postgres, POSTGRES_PORT, events),
            container::start(localstack_request(), &images.localstack, localstack, LOCALSTACK_PORT, events),
            container::start(minio_request(&password), &images.minio, minio, MINIO_PORT, events),
        );
        let containers = Self { postgres: postgres?, localstack: localstack?, minio: minio?, names, guard };
        let config = containers.config(password);
        containers.await_answers(&config).await?;
        Ok((containers, config))
    }

    fn config(&self, password: Secret<String>) -> ExternalConfig {
        let url = |port: u16| Some(format!("http://127.0.0.1:{port}"));
        let localstack = url(self.localstack.port);
        ExternalConfig {
            stores: ExternalStores {
                region: REGION.to_owned(),
                s3_url: url(self.minio.port),
                dynamodb_url: localstack.clone(),
                dynamodb_streams_url: localstack.clone(),
                kinesis_url: localstack.clone(),
                // Not among its services: whoever asked it would be refused, and not sent to AWS.
                kms_url: localstack,
                access_key_id: USER.to_owned(),
                secret_access_key: password.clone(),
                session_token: None,
            },
            postgres: PostgresEndpoint {
                host: "127.0.0.1".to_owned(),
                port: self.postgres.port,
                user: USER.to_owned(),
                password,
                database: DATABASE.to_owned(),
            },
        }
    }

    async fn await_answers(&self, config: &ExternalConfig) -> Result<(), HarnessError> {
        let endpoints = config.stores.endpoints("");
        let s3 = s3_client(&endpoints);
        let dynamodb = aws_sdk_dynamodb::Client::new(&endpoints.sdk_config(&endpoints.dynamodb_url));
        let kinesis = aws_sdk_kinesis::Client::new(&endpoints.sdk_config(&endpoints.kinesis_url));
        tokio::try_join!(
            self.postgres.await_answer(async || lakebed_source::connect(&config.postgres).await.map(drop)),
            self.minio.await_answer(async || s3.list_buckets().send().await.map(drop)),
            self.localstack.await_answer(async || dynamodb.list_tables().send().await.map(drop)),
            self.localstack.await_answer(async || kinesis.list_streams().send().await.map(drop)),
        )?;
        Ok(())
    }

    /// Stops and removes all three.
    pub(super) async fn remove(self) -> Result<(), HarnessError> {
        let Self { postgres, localstack, minio, names, guard } = self;
        let [first, second, third] = &names;
        let removed = tokio::join!(postgres.remove(first), localstack.remove(second), minio.remove(third));
        removed.0.and(removed.1).and(removed.2)?;
        guard.disarm();
        Ok(())
    }
}

/// Whether an engine answers, and its version.
pub async fn engine_version() -> Result<String, DockerError> {
    let version = container::engine().await?.version().await;
    let version = version.map_err(|error| DockerError::Engine { source: Box::new(error) })?;
    Ok(version.version.unwrap_or_else(|| "of unknown version".to_owned()))
}

fn postgres_request(password: &Secret<String>) -> ContainerRequest<Postgres> {
    let image = Postgres::default().with_user(USER).with_password(password.expose()).with_db_name(DATABASE);
    let settings = ["wal_level=logical", "max_replication_slots=10", "max_wal_senders=10", "fsync=off"];
    image.with_cmd(std::iter::once("postgres").chain(settings.into_iter().flat_map(|setting| ["-c", setting])))
}

fn localstack_request() -> ContainerRequest<LocalStack> {
    LocalStack::default()
        .with_env_var("SERVICES", "dynamodb,dynamodbstreams,kinesis")
        // Nothing is called home, nothing is fetched that the services do not need.
        .with_env_var("DISABLE_EVENTS", "1")
        .with_env_var("SKIP_SSL_CERT_DOWNLOAD", "1")
}

fn minio_request(password: &Secret<String>) -> ContainerRequest<MinIO> {
    MinIO::default().with_env_var("MINIO_ROOT_USER", USER).with_env_var("MINIO_ROOT_PASSWORD", password.expose())
}

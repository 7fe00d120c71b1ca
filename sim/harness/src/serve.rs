//! `lakebed up`: the stores, and unless told otherwise the whole path, staying up until somebody ends it.

use std::path::PathBuf;
use std::time::Duration;

use lakebed_contract::endpoints::{Endpoints, PostgresEndpoint};
use lakebed_contract::{Clock, EventSink, RunEvent, Seed, Stage};

use crate::backend::{Auth, Stores};
use crate::demo::DemoOptions;
use crate::error::HarnessError;
use crate::event_log::EventWriter;
use crate::run::{Run, RunPlace};
use crate::run_dir::RunDir;
use crate::tally::timed;

/// How often silver and gold are refreshed while the whole path is up.
pub const REFRESH_INTERVAL: Duration = Duration::from_secs(30);

/// What `up` starts.
#[derive(Clone, Debug)]
pub struct UpOptions {
    /// TCP port of the stores; 0 for any.
    pub port: u16,
    /// Only the stores, without Postgres and flow.
    pub stores_only: bool,
    /// Source and lake, for the whole path.
    pub demo: DemoOptions,
}

/// Something that is up; end it with [`Up::stop`].
pub struct Up {
    running: Running,
    /// Whether the key of the stores is ours to tell: a key that is enforced is the user's, who has it already.
    tells_key: bool,
    clock: Clock,
    events: EventSink,
    log: EventWriter,
}

enum Running {
    Stores(Box<Stores>),
    Path(Box<Run>),
}

/// What a user exports to reach what is up.
#[derive(Clone, Debug)]
pub struct Exports {
    /// `NAME=value` pairs.
    pub variables: Vec<(String, String)>,
    /// Folder with the data.
    pub state_dir: PathBuf,
}

impl Up {
    /// Starts.
    pub async fn start(
        options: UpOptions,
        run_dir: &RunDir,
        clock: Clock,
        events: EventSink,
    ) -> Result<Self, HarnessError> {
        let log = EventWriter::open(run_dir, &clock)?;
        let events = log.sink(options.demo.stores.feed.sink(events, &clock));
        let tells_key = matches!(options.demo.stores.auth, Auth::Accept);
        let running = if options.stores_only {
            let stores = Stores::start_alone(
                run_dir.path(),
                options.port,
                &options.demo.stores,
                &clock,
                options.demo.seed,
                &events,
            )
            .await?;
            Running::Stores(Box::new(stores))
        } else {
            events.emit(RunEvent::RunStarted {
                seed: options.demo.seed.0,
                scale: options.demo.scale,
                backend: options.demo.backend.name().to_owned(),
                bounds: crate::demo::bounds(),
            });
            let place = RunPlace { run_dir, port: options.port, keep_postgres: true, watched: false };
            let mut run = Run::start(&options.demo, place, &clock, &events).await?;
            if run.dms.is_none() {
                timed(Stage::Dms, "copy the source", &clock, &events, run.copy()).await?;
            }
            Running::Path(Box::new(run))
        };
        Ok(Self { running, tells_key, clock, events, log })
    }

    /// What to export.
    pub fn exports(&self, run_dir: &RunDir) -> Exports {
        let variables = match &self.running {
            Running::Stores(stores) => aws_variables(&stores.endpoints, true, self.tells_key),
            Running::Path(path) => {
                let backend = &path.backend;
                let mut variables = aws_variables(backend.endpoints(), backend.is_private(), self.tells_key);
                // Whoever started an external database knows how to reach it.
                if backend.is_private() {
                    variables.extend(postgres_variables(&backend.postgres()));
                }
                variables
            }
        };
        Exports { variables, state_dir: run_dir.path().to_owned() }
    }

    /// Keeps silver and gold fresh; returns only on an error. Cancel by dropping the future.
    pub async fn serve(&self) -> Result<(), HarnessError> {
        let mut round = 0u64;
        loop {
            self.clock.sleep(REFRESH_INTERVAL).await;
            let Running::Path(path) = &self.running else { continue };
            let run = path.as_ref();
            round += 1;
            run.follow_to_end().await?;
            timed(Stage::Bronze, "settle", &self.clock, &self.events, run.settle()).await?;
            let name = format!("scheduled-{}-{round}", Seed(round).unique("up", &self.clock).0);
            run.flow.refresh(&name).await?;
        }
    }

    /// Stops everything in order.
    pub async fn stop(self) -> Result<(), HarnessError> {
        let stopped = match self.running {
            Running::Stores(stores) => stores.shutdown().await,
            Running::Path(run) => run.stop().await,
        };
        self.log.close();
        stopped
    }
}

/// Endpoints and catalog; the key only where the stores are ours, its secret only where we made it up.
fn aws_variables(endpoints: &Endpoints, with_key: bool, with_secret: bool) -> Vec<(String, String)> {
    let services = [
        ("AWS_ENDPOINT_URL_S3", &endpoints.s3_url),
        ("AWS_ENDPOINT_URL_DYNAMODB", &endpoints.dynamodb_url),
        ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", &endpoints.dynamodb_streams_url),
        ("AWS_ENDPOINT_URL_KINESIS", &endpoints.kinesis_url),
    ];
    let mut variables = Vec::new();
    // One address is for every service; several are for these alone, or a shell would send all its AWS calls to one of them.
    if services.iter().all(|(_, url)| *url == &endpoints.s3_url) {
        variables.push(("AWS_ENDPOINT_URL".to_owned(), endpoints.s3_url.clone()));
    } else {
        variables.extend(services.map(|(name, url)| (name.to_owned(), url.clone())));
    }
    variables.push(("AWS_REGION".to_owned(), endpoints.region.clone()));
    variables.push(("AWS_DEFAULT_REGION".to_owned(), endpoints.region.clone()));
    if with_key {
        variables.push(("AWS_ACCESS_KEY_ID".to_owned(), endpoints.access_key_id.clone()));
    }
    if with_key && with_secret {
        variables.push(("AWS_SECRET_ACCESS_KEY".to_owned(), endpoints.secret_access_key.expose().clone()));
    }
    variables.push(("LAKEBED_CATALOG_URI".to_owned(), endpoints.catalog_url.clone()));
    variables
}

fn postgres_variables(postgres: &PostgresEndpoint) -> Vec<(String, String)> {
    let mut variables = vec![
        ("PGHOST".to_owned(), postgres.host.clone()),
        ("PGPORT".to_owned(), postgres.port.to_string()),
        ("PGUSER".to_owned(), postgres.user.clone()),
        ("PGDATABASE".to_owned(), postgres.database.clone()),
    ];
    if !postgres.password.expose().is_empty() {
        variables.push(("PGPASSWORD".to_owned(), postgres.password.expose().clone()));
    }
    variables
}

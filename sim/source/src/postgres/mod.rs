//! A private Postgres server: found, initialised, started, stopped.
//!
//! The server lives in a directory of its own, listens on a Unix socket (and on 127.0.0.1 only where a port is asked
//! for) and never outlives us: it runs under a shell that holds the other end of a pipe of ours (`supervisor`). As root it
//! drops to an unprivileged user, because Postgres insists (`identity`). Waiting for a process is real time even in a
//! scenario whose clock stands still, so all waiting here is on the wall clock.

mod data_dir;
mod find;
mod identity;
mod supervisor;

use std::path::{Path, PathBuf};
use std::time::Duration;

use lakebed_contract::endpoints::PostgresEndpoint;
use lakebed_contract::{Clock, EventSink, Secret};

use crate::connect::{connect, connect_plain};
use crate::error::SourceError;

pub use find::{PostgresInstallation, find_postgres};
pub use identity::random_password;

use data_dir::DataDir;
use supervisor::Supervisor;

/// Longest wait for the first answer; crash recovery of a kept directory is the slow case.
pub const START_WAIT_MAX: Duration = Duration::from_secs(120);
/// Pause between two attempts to connect.
const START_POLL: Duration = Duration::from_millis(20);
/// Longest wait for the end; the supervisor has resorted to SIGKILL well before.
pub const STOP_WAIT_MAX: Duration = Duration::from_secs(30);
/// Server connections; a run needs about ten.
pub const CONNECTIONS_MAX: u32 = 40;
/// Logical replication slots and WAL senders.
pub const REPLICATION_SLOTS_MAX: u32 = 10;

/// Number in the socket's name when there is no TCP port.
const SOCKET_NUMBER: u16 = 5432;
const SUPERUSER: &str = "postgres";

/// How to start a server.
#[derive(Clone, Debug)]
pub struct PostgresConfig {
    /// The binaries.
    pub installation: PostgresInstallation,
    /// Directory under which the server's own directory is made.
    pub data_parent: PathBuf,
    /// TCP port on 127.0.0.1; `None` means socket only.
    pub port: Option<u16>,
    /// `true`: the data survive (`<data_parent>/postgres`, reused by the next start) and are synced to disk.
    /// `false`: a throw-away directory, removed at the end.
    pub durable: bool,
    /// Measures how long the start took; waiting is always on the wall clock.
    pub clock: Clock,
    /// Receives notes, e.g. that the data had to go elsewhere.
    pub events: EventSink,
}

impl PostgresConfig {
    /// A throw-away server without a TCP port.
    pub fn new(installation: PostgresInstallation, data_parent: impl Into<PathBuf>, clock: Clock) -> Self {
        Self {
            installation,
            data_parent: data_parent.into(),
            port: None,
            durable: false,
            clock,
            events: EventSink::default(),
        }
    }
}

/// A running server. Dropping it stops it; [`PostgresServer::stop`] does so with a result.
#[derive(Debug)]
pub struct PostgresServer {
    // Declared, and so dropped, before the directory it serves.
    supervisor: Supervisor,
    data: DataDir,
    endpoint: PostgresEndpoint,
    tcp_endpoint: Option<PostgresEndpoint>,
}

impl PostgresServer {
    /// Initialises the data directory if it is new, starts the server and waits until it answers.
    pub async fn start(config: PostgresConfig) -> Result<Self, SourceError> {
        let began = config.clock.monotonic();
        if let Some(port) = config.port {
            // Postgres would say so too, but only in its log and after a while.
            std::net::TcpListener::bind(("127.0.0.1", port)).map_err(|_| SourceError::PortTaken { port })?;
        }
        let account = identity::unprivileged_account()?;
        let data = DataDir::prepare(&config, account)?;
        data.await_predecessor().await?;
        data.initialise(&config.installation).await?;
        let supervisor = Supervisor::start(&config, &data)?;
        let endpoint = PostgresEndpoint {
            host: data.socket_dir().display().to_string(),
            port: config.port.unwrap_or(SOCKET_NUMBER),
            user: SUPERUSER.to_owned(),
            password: Secret::new(String::new()),
            database: "postgres".to_owned(),
        };
        let mut server = Self { supervisor, data, endpoint, tcp_endpoint: None };
        server.await_answer().await?;
        if let Some(port) = config.port {
            server.tcp_endpoint = Some(server.open_tcp(port).await?);
        }
        config.events.log(format!(
            "postgres {} answers after {} ms",
            config.installation.version,
            config.clock.monotonic().saturating_sub(began).as_millis()
        ));
        Ok(server)
    }

    /// Where the server answers: its Unix socket.
    pub fn endpoint(&self) -> PostgresEndpoint {
        self.endpoint.clone()
    }

    /// Where it answers on TCP, with its password; `None` when no port was asked for.
    pub fn tcp_endpoint(&self) -> Option<PostgresEndpoint> {
        self.tcp_endpoint.clone()
    }

    /// The server's own directory: `data/` and `server.log`.
    pub fn directory(&self) -> &Path {
        self.data.root()
    }

    /// Process id of the postmaster, as it wrote it down.
    pub fn postmaster_pid(&self) -> Option<u32> {
        self.data.postmaster_pid()
    }

    /// Fast shutdown: open sessions are cut off. Waits for the end; a throw-away directory is gone afterwards.
    pub async fn stop(mut self) -> Result<(), SourceError> {
        self.supervisor.close();
        let clock = Clock::wall();
        let deadline = clock.monotonic() + STOP_WAIT_MAX;
        while !self.supervisor.ended()? {
            if clock.monotonic() > deadline {
                return Err(SourceError::DidNotStop { seconds: STOP_WAIT_MAX.as_secs() });
            }
            clock.sleep(START_POLL).await;
        }
        self.data.remove_leftovers()
    }

    /// As [`Self::stop`], and removes the data directory even if it is a kept one: nobody will take this run up again.
    pub async fn discard(mut self) -> Result<(), SourceError> {
        self.data.keep_no_longer();
        self.stop().await
    }

    async fn await_answer(&mut self) -> Result<(), SourceError> {
        let clock = Clock::wall();
        let deadline = clock.monotonic() + START_WAIT_MAX;
        loop {
            if self.supervisor.ended()? {
                return Err(self.did_not_start("the server ended"));
            }
            match connect_plain(&self.endpoint).await {
                Ok(client) => {
                    if client.simple_query("SELECT 1").await.is_ok() {
                        return Ok(());
                    }
                }
                Err(error) => tracing::trace!(%error, "postgres does not answer yet"),
            }
            if clock.monotonic() > deadline {
                let reason = format!("the server did not answer within {} s", START_WAIT_MAX.as_secs());
                return Err(self.did_not_start(&reason));
            }
            clock.sleep(START_POLL).await;
        }
    }

    fn did_not_start(&self, reason: &str) -> SourceError {
        SourceError::DidNotStart { reason: reason.to_owned(), tail: self.data.log_tail() }
    }

    /// Gives the superuser a password of this start. Host connections are admitted by SCRAM only.
    async fn open_tcp(&self, port: u16) -> Result<PostgresEndpoint, SourceError> {
        let password = identity::random_password()?;
        let client = connect(&self.endpoint).await?;
        // The password is hexadecimal, so it needs no escaping.
        let statement = format!("ALTER ROLE {SUPERUSER} PASSWORD '{}'", password.expose());
        client.batch_execute(&statement).await.map_err(SourceError::database("set the Postgres password"))?;
        Ok(PostgresEndpoint { host: "127.0.0.1".to_owned(), port, password, ..self.endpoint() })
    }
}

//! The process side of the stores: one listener on 127.0.0.1, one task per connection, an orderly end.
//!
//! Shutting down stops accepting, lets requests in flight finish within [`SHUTDOWN_GRACE`], then hands the remaining S3
//! notifications to their receiver for as long as that takes within the same bound. What is not handed over by then
//! stays in the state directory and is delivered by the next start. The bound is real time even on a virtual clock,
//! because sockets do not live in simulated time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lakebed_contract::{Clock, Endpoints, EventSink, Seed};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::catalog::Catalog;
use crate::dynamodb::DynamoDb;
use crate::error::CloudError;
use crate::kinesis::Kinesis;
use crate::routing::{self, Services};
use crate::s3::S3Store;

/// How long [`Cloud::shutdown`] waits for requests in flight, and again for notifications.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// Pause after the listener failed to accept (out of file descriptors, usually).
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(50);

/// What to serve, where, and from which state.
#[derive(Debug)]
pub struct CloudConfig {
    /// Port on 127.0.0.1; 0 takes any free one.
    pub port: u16,
    /// Everything the stores keep; made when missing.
    pub state_dir: PathBuf,
    /// Time of objects, records and expiries.
    pub clock: Clock,
    /// Chance.
    pub seed: Seed,
    /// Where log lines go.
    pub events: EventSink,
    /// Receiver of S3 event documents (`{"Records":[..]}`, and `s3:TestEvent`). Without one, notification
    /// configurations are refused.
    pub notifications: Option<mpsc::Sender<Value>>,
}

/// The running stores. Dropping it stops them without waiting; [`Cloud::shutdown`] is the orderly way.
#[derive(Debug)]
pub struct Cloud {
    port: u16,
    /// No new connections; those there are end after their request.
    finish: CancellationToken,
    /// Connections end now.
    cut: CancellationToken,
    tasks: TaskTracker,
    s3: Arc<S3Store>,
    _state_lock: File,
}

impl Cloud {
    /// Opens the state and starts to serve.
    pub async fn start(config: CloudConfig) -> Result<Self, CloudError> {
        let CloudConfig { port, state_dir, clock, seed, events, notifications } = config;
        fs::create_dir_all(&state_dir).map_err(CloudError::state("create", &state_dir))?;
        let state_lock = lock_state(&state_dir)?;
        let listener = listen(port).await?;
        let port = listener.local_addr().map_err(|source| CloudError::Listen { port, source })?.port();

        let folder = |name: &str| {
            let path = state_dir.join(name);
            fs::create_dir_all(&path).map_err(CloudError::state("create", &path)).map(|()| path)
        };
        let s3 = Arc::new(S3Store::open(&state_dir, clock.clone(), seed, events.clone(), notifications)?);
        let kinesis = Kinesis::open(&folder("kinesis")?, clock.clone(), &events)?;
        let dynamodb = DynamoDb::open(&folder("dynamodb")?, clock.clone(), seed)?;
        let catalog =
            Arc::new(Catalog::open(&folder("catalog")?, Endpoints::embedded(port), clock.clone(), seed)?).router();
        let request_ids = seed.unique("requests", &clock);
        let services =
            Arc::new(Services::new(S3Store::service(&s3), dynamodb, kinesis, catalog, request_ids, state_dir));

        let (finish, cut, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let server = Server { services, tasks: tasks.clone(), finish: finish.clone(), cut: cut.clone(), events };
        tasks.spawn(accept(listener, server));
        Ok(Self { port, finish, cut, tasks, s3, _state_lock: state_lock })
    }

    /// The port that is served.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// S3 notifications that are recorded but not yet in the receiver's channel.
    pub fn notifications_pending(&self) -> u64 {
        self.s3.notifications_pending()
    }

    /// Stops accepting, finishes requests in flight, hands over pending notifications, closes the stores.
    pub async fn shutdown(self) -> Result<(), CloudError> {
        self.finish.cancel();
        self.tasks.close();
        let wall = Clock::wall();
        let left = tokio::select! {
            () = self.tasks.wait() => 0,
            () = wall.sleep(SHUTDOWN_GRACE) => self.tasks.len(),
        };
        self.cut.cancel();
        self.tasks.wait().await;
        self.s3.stop_delivery(SHUTDOWN_GRACE).await;
        if left == 0 {
            return Ok(());
        }
        Err(CloudError::ShutdownTimedOut { connections: left, seconds: SHUTDOWN_GRACE.as_secs() })
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.finish.cancel();
        self.cut.cancel();
        self.s3.abandon_delivery();
    }
}

/// One process per state directory: the metadata files and logs have a single writer.
pub(crate) fn lock_state(state_dir: &Path) -> Result<File, CloudError> {
    let path = state_dir.join(".lock");
    let file = File::create(&path).map_err(CloudError::state("create", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(CloudError::StateInUse { path: state_dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(CloudError::State { action: "lock", path, source }),
    }
}

pub(crate) async fn listen(port: u16) -> Result<TcpListener, CloudError> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => CloudError::PortTaken { port },
        _ => CloudError::Listen { port, source },
    })
}

/// What the accepting task and the connections share.
#[derive(Clone)]
struct Server {
    services: Arc<Services>,
    tasks: TaskTracker,
    finish: CancellationToken,
    cut: CancellationToken,
    events: EventSink,
}

async fn accept(listener: TcpListener, server: Server) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = server.finish.cancelled() => return,
        };
        match accepted {
            Ok((socket, _)) => {
                server.tasks.spawn(serve_connection(socket, server.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                server.events.log(format!("cloud: failed to accept a connection: {error}"));
                Clock::wall().sleep(ACCEPT_RETRY_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(socket: TcpStream, server: Server) {
    // Small answers would otherwise wait for the delayed ACK of the previous one.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "failed to set TCP_NODELAY");
    }
    let services = server.services;
    let service = service_fn(move |request| {
        let services = Arc::clone(&services);
        async move { Ok::<_, std::convert::Infallible>(routing::answer(&services, request).await) }
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = server.finish.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = server.cut.cancelled() => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended early");
    }
}

//! The process side of the stores: one listener, one task per connection, an orderly end.
//!
//! HTTP/1.1, and HTTP/2 for those who begin with it (no TLS). An address that can be reached from outside this machine is
//! listened on only where signatures are enforced. A connection that sends no request, or takes longer than
//! [`HEADER_TIME_MAX`] for the head of one, is closed; so is one of HTTP/2 whose client does not answer a ping any more. The
//! number of connections is not bounded here, but by the file descriptors of the process.
//!
//! Shutting down stops accepting, lets requests in flight finish within [`SHUTDOWN_GRACE`], then hands the remaining S3
//! notifications to their receivers for as long as that takes within the same bound. What is not handed over by then
//! stays in the state directory and is delivered by the next start. The bound is real time even on a virtual clock,
//! because sockets do not live in simulated time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use lakebed_contract::{Clock, Endpoints, EventSink};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::auth::Guard;
use crate::catalog::Catalog;
use crate::comprehend::Comprehend;
use crate::config::{Auth, CloudConfig, Fsync};
use crate::durability::{self, Flusher};
use crate::dynamodb::DynamoDb;
use crate::error::CloudError;
use crate::hook::{self, Hook};
use crate::kinesis::Kinesis;
use crate::kms::Kms;
use crate::routing::{self, About, Services, Stores};
use crate::s3::{S3Gate, S3Store};

/// How long [`Cloud::shutdown`] waits for requests in flight, and again for notifications.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(10);

/// How long a connection may wait for the head of a request; longer than clients keep idle connections, so that it is they
/// who close them.
const HEADER_TIME_MAX: Duration = Duration::from_secs(120);
/// Bounds of one HTTP/2 connection.
const STREAMS_MAX: u32 = 256;
const HEADER_LIST_BYTES_MAX: u32 = 64 * 1024;

/// Pause after the listener failed to accept (out of file descriptors, usually).
const ACCEPT_RETRY_PAUSE: Duration = Duration::from_millis(50);

/// The running stores. Dropping it stops them without waiting; [`Cloud::shutdown`] is the orderly way.
#[derive(Debug)]
pub struct Cloud {
    address: SocketAddr,
    endpoints: Endpoints,
    /// No new connections; those there are end after their request.
    finish: CancellationToken,
    /// Connections end now.
    cut: CancellationToken,
    tasks: TaskTracker,
    s3: Arc<S3Store>,
    /// Under [`Fsync::Interval`].
    flusher: Option<Flusher>,
    _state_lock: File,
}

impl Cloud {
    /// Opens the state and starts to serve.
    pub async fn start(config: CloudConfig) -> Result<Self, CloudError> {
        let guard = Guard::new(&config.auth, config.clock.clone())?;
        let is_private = config.bind.to_canonical().is_loopback();
        if !is_private && !guard.enforces() {
            return Err(CloudError::PublicWithoutAuth { address: config.bind });
        }
        let state_dir = config.state_dir.clone();
        fs::create_dir_all(&state_dir).map_err(CloudError::state("create", &state_dir))?;
        let state_lock = lock_state(&state_dir)?;
        let (listener, address) = listen(SocketAddr::new(config.bind, config.port)).await?;
        let endpoints = endpoints_at(address, &config.auth);

        let folder = |name: &str| {
            let path = state_dir.join(name);
            fs::create_dir_all(&path).map_err(CloudError::state("create", &path)).map(|()| path)
        };
        let s3 = Arc::new(S3Store::open(&config)?);
        let kinesis = Kinesis::open(&folder("kinesis")?, &config)?;
        let dynamodb = DynamoDb::open(&folder("dynamodb")?, &config)?;
        let kms = Kms::open(&state_dir.join("kms"), config.clock.clone())?;
        let hook = Hook::new(&config)?;
        let s3_service = S3Store::service(&s3, S3Gate::new(&config, &hook));
        let CloudConfig { clock, seed, events, feed, fsync, pii_detector, .. } = config;
        let files = endpoints.clone();
        let catalog = Arc::new(Catalog::open(&folder("catalog")?, files, clock.clone(), seed, fsync)?).router();
        if fsync.flushes() {
            durability::sync_folders(&state_dir, &["kinesis", "dynamodb", "catalog"])?;
        }
        // Pointers last: what they point to is on the disk by then.
        let flusher = (fsync == Fsync::Interval).then(|| {
            let stores: [durability::Flushed; 4] = [
                ("s3", Arc::clone(&s3) as Arc<dyn durability::Flush>),
                ("kinesis", Arc::new(kinesis.clone())),
                ("dynamodb", Arc::new(DynamoDb::log_in(&state_dir.join("dynamodb")))),
                ("the catalog", Arc::new(Catalog::log_in(&state_dir.join("catalog")))),
            ];
            Flusher::start(stores.into(), Clock::wall(), events.clone())
        });
        let request_ids = seed.unique("requests", &clock);
        let (finish, cut, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        tasks.spawn(kinesis.clone().run_upkeep(finish.clone()));
        let about = About { state_dir: is_private.then_some(state_dir), feed, finish: finish.clone() };
        let stores = Stores { s3: s3_service, dynamodb, kinesis, kms };
        let services = Services::new(stores, catalog, request_ids, about, guard);
        let services = Arc::new(services.hooked(hook).detecting(Comprehend::new(pii_detector)));

        let server = Server { services, tasks: tasks.clone(), finish: finish.clone(), cut: cut.clone(), events };
        tasks.spawn(accept(listener, server));
        Ok(Self { address, endpoints, finish, cut, tasks, s3, flusher, _state_lock: state_lock })
    }

    /// The port that is served.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The address that is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How to reach the stores from this machine, with the first enforced key if keys are enforced.
    pub fn endpoints(&self) -> Endpoints {
        self.endpoints.clone()
    }

    /// S3 notifications that are recorded but not yet taken by every receiver.
    pub fn notifications_pending(&self) -> u64 {
        self.s3.notifications_pending()
    }

    /// Stops accepting, finishes requests in flight, hands over pending notifications, closes the stores.
    pub async fn shutdown(mut self) -> Result<(), CloudError> {
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
        if let Some(flusher) = self.flusher.take() {
            flusher.stop().await?;
        }
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

fn endpoints_at(address: SocketAddr, auth: &Auth) -> Endpoints {
    let endpoints = Endpoints::embedded_at(address);
    let key = match auth {
        Auth::Accept => None,
        Auth::Enforce(keys) => keys.first(),
    };
    match key {
        Some(key) => endpoints.signing_with(&key.id, &key.secret),
        None => endpoints,
    }
}

/// A listener, and the address it has: with the port that was found free, where any would do.
pub(crate) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), CloudError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AddrInUse => CloudError::PortTaken { port: address.port() },
        _ => CloudError::Listen { address, source },
    };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
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

fn http() -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIME_MAX);
    http.http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEADER_TIME_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_LIST_BYTES_MAX);
    http
}

/// Comes back when a connection has had [`HEADER_TIME_MAX`] and not asked for anything. The timeout that the HTTP server has
/// begins only when the version of HTTP is known, which the first letter of a request need not tell.
async fn silent(clock: &Clock, has_asked: &AtomicBool) {
    clock.sleep(HEADER_TIME_MAX).await;
    if has_asked.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

async fn serve_connection(socket: TcpStream, server: Server) {
    // Small answers would otherwise wait for the delayed ACK of the previous one.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "failed to set TCP_NODELAY");
    }
    let (services, has_asked) = (server.services, Arc::new(AtomicBool::new(false)));
    let asked = Arc::clone(&has_asked);
    let service = service_fn(move |request| {
        asked.store(true, Ordering::Relaxed);
        let services = Arc::clone(&services);
        async move { hook::sent(routing::answer(&services, request).await) }
    });
    let http = http();
    let connection = http.serve_connection(TokioIo::new(socket), service);
    let mut connection = std::pin::pin!(connection);
    let wall = Clock::wall();
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = silent(&wall, &has_asked) => return,
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

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use lakebed_contract::Timestamp;

    use super::*;

    #[test]
    fn only_a_connection_that_never_asked_is_silent() {
        let clock = Clock::virtual_at(Timestamp::from_seconds(0));
        let has_asked = AtomicBool::new(false);
        let (mut never, mut later) = (Box::pin(silent(&clock, &has_asked)), Box::pin(silent(&clock, &has_asked)));
        assert!((&mut never).now_or_never().is_none() && (&mut later).now_or_never().is_none());
        clock.advance(HEADER_TIME_MAX);
        assert!(never.now_or_never().is_some());
        has_asked.store(true, Ordering::Relaxed);
        assert!(later.now_or_never().is_none());
    }
}

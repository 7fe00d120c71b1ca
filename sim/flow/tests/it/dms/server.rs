//! A private Postgres for the DMS tests: socket only, in a temporary directory, ended by its own process id.
//!
//! Shared by the tests that run at the same moment; the last one to finish stops it. Postgres refuses to run as root, so a
//! root test run starts it as user `postgres`.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};

use lakebed_contract::Secret;
use lakebed_contract::endpoints::PostgresEndpoint;
use tokio_postgres::{Client, Config, NoTls};

const PORT: u16 = 5432;
const USER: &str = "postgres";

pub(super) struct Server {
    child: Child,
    dir: tempfile::TempDir,
}

/// The server shared by running tests, or `None`, loudly, where no Postgres is installed.
pub(super) fn shared() -> Option<Arc<Server>> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(server) = shared.upgrade() {
        return Some(server);
    }
    let server = Arc::new(Server::start()?);
    *shared = Arc::downgrade(&server);
    Some(server)
}

#[allow(clippy::print_stderr, reason = "a skipped test must say so")]
fn skip(reason: &str) -> Option<Server> {
    eprintln!("SKIPPED: {reason}; the DMS integration tests did not run");
    None
}

fn bin_dir() -> Option<PathBuf> {
    (15..30).rev().map(|major| PathBuf::from(format!("/usr/lib/postgresql/{major}/bin"))).find(|dir| dir.is_dir())
}

/// User and group id of `postgres`, out of /etc/passwd.
fn postgres_ids() -> Option<(u32, u32)> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

impl Server {
    fn start() -> Option<Self> {
        let Some(bin) = bin_dir() else { return skip("no /usr/lib/postgresql/*/bin") };
        let dir = tempfile::Builder::new().prefix("lakebed-dms-").tempdir().expect("temporary directory");
        let is_root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
        if is_root {
            let Some((uid, gid)) = postgres_ids() else { return skip("we are root and there is no user postgres") };
            std::os::unix::fs::chown(dir.path(), Some(uid), Some(gid)).expect("chown as root");
        }
        let data = dir.path().join("data");
        let made = command(is_root, &bin.join("initdb"), dir.path())
            .args(["-A", "trust", "-U", USER, "-E", "UTF8", "--no-locale", "--no-sync", "-D"])
            .arg(&data)
            .output()
            .expect("initdb starts");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut child = command(is_root, &bin.join("postgres"), dir.path())
            .args(["-h", "", "-p", &PORT.to_string(), "-c", "wal_level=logical", "-c", "fsync=off"])
            .args(["-c", "max_wal_senders=20", "-c", "max_replication_slots=20", "-c", "max_connections=60", "-k"])
            .arg(dir.path())
            .arg("-D")
            .arg(&data)
            .stderr(Stdio::piped())
            .spawn()
            .expect("postgres starts");
        let mut log = BufReader::new(child.stderr.take().expect("piped")).lines();
        // From here on dropping the server ends the process.
        let server = Self { child, dir };
        let ready = log.by_ref().any(|line| line.expect("utf-8 log").contains("ready to accept connections"));
        assert!(ready, "postgres ended before it was ready");
        std::thread::spawn(move || log.for_each(drop));
        Some(server)
    }

    fn endpoint(&self, database: &str) -> PostgresEndpoint {
        PostgresEndpoint {
            host: self.dir.path().to_str().expect("utf-8 path").to_owned(),
            port: PORT,
            user: USER.to_owned(),
            password: Secret::new(String::new()),
            database: database.to_owned(),
        }
    }

    /// A new database; its name is also fit to name a slot.
    pub(super) async fn database(&self) -> PostgresEndpoint {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("case_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&self.endpoint("postgres")).await;
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("create database");
        self.endpoint(&name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let pid = self.child.id().to_string();
        // SIGINT is Postgres's fast shutdown; it leaves no shared memory behind.
        let asked = Command::new("kill").args(["-INT", &pid]).status().is_ok_and(|status| status.success());
        if !asked {
            let _already_gone = self.child.kill();
        }
        let _status = self.child.wait();
    }
}

fn command(is_root: bool, program: &Path, dir: &Path) -> Command {
    let mut command = if is_root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.current_dir(dir).env("LC_ALL", "C").env("TZ", "UTC").stdin(Stdio::null()).stdout(Stdio::null());
    command
}

pub(super) async fn connect(endpoint: &PostgresEndpoint) -> Client {
    let mut config = Config::new();
    config.host(&endpoint.host).port(endpoint.port).user(&endpoint.user).dbname(&endpoint.database);
    let (client, connection) = config.connect(NoTls).await.expect("connect");
    tokio::spawn(connection);
    client
}

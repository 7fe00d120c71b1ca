//! The life of the server process: it starts, survives a restart, and never outlives us.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lakebed_contract::{Clock, EventSink, Secret};
use lakebed_source::{PostgresConfig, PostgresServer, SourceError, connect};

use crate::shared::installation;

const HOLD_IN: &str = "LAKEBED_TEST_HOLD_IN";

fn config(parent: &Path) -> PostgresConfig {
    PostgresConfig::new(installation(), parent, Clock::wall())
}

/// A directory every user may enter, as `lakebed --keep DIR` usually is.
fn open_directory() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().expect("makes a directory");
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).expect("opens it");
    dir
}

/// By signal 0, which asks whether the process exists.
fn runs(pid: u32) -> bool {
    let kill = Command::new("sh").args(["-c", &format!("kill -0 {pid}")]).stderr(Stdio::null()).status();
    kill.expect("sh runs").success()
}

/// Waits for another process, so on real time; bounded.
async fn within_half_a_minute(mut done: impl FnMut() -> bool) -> bool {
    for _ in 0..600 {
        if done() {
            return true;
        }
        Clock::wall().sleep(Duration::from_millis(50)).await;
    }
    false
}

#[tokio::test]
async fn a_stopped_server_leaves_no_process_and_no_directory() {
    let parent = open_directory();
    let server = PostgresServer::start(config(parent.path())).await.expect("starts");
    let client = connect(&server.endpoint()).await.expect("connects");
    let setting =
        async |name: &str| -> String { client.query_one(&format!("SHOW {name}"), &[]).await.expect("answers").get(0) };
    assert_eq!(setting("wal_level").await, "logical");
    assert_eq!(setting("fsync").await, "off");
    assert_eq!(setting("TimeZone").await, "UTC");
    assert_eq!(setting("server_encoding").await, "UTF8");
    assert_eq!(setting("listen_addresses").await, "");
    assert!(server.tcp_endpoint().is_none());

    let (pid, directory) = (server.postmaster_pid().expect("runs"), server.directory().to_owned());
    let sockets = PathBuf::from(server.endpoint().host);
    assert!(runs(pid) && directory.starts_with(parent.path()) && sockets.exists());
    // An open session and an open transaction do not keep it up.
    client.batch_execute("BEGIN; CREATE TABLE t (a int)").await.expect("begins");
    server.stop().await.expect("stops");
    assert!(!runs(pid) && !directory.exists() && !sockets.exists());
}

#[tokio::test]
async fn a_kept_directory_is_reused_and_tcp_asks_for_the_password() {
    let parent = open_directory();
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port();
    let kept = || PostgresConfig { durable: true, port: Some(port), ..config(parent.path()) };
    let server = PostgresServer::start(kept()).await.expect("starts");
    let client = connect(&server.endpoint()).await.expect("connects");
    client.batch_execute("CREATE TABLE t AS SELECT 42 AS a; SET synchronous_commit = on").await.expect("writes");
    let tcp = server.tcp_endpoint().expect("a port was asked for");
    connect(&tcp).await.expect("the password opens");
    for wrong in ["", "guess"] {
        let mut wrong_tcp = tcp.clone();
        wrong_tcp.password = Secret::new(wrong.to_owned());
        connect(&wrong_tcp).await.expect_err("another password does not");
    }
    let taken = PostgresServer::start(kept()).await.expect_err("the port is taken");
    assert!(matches!(taken, SourceError::PortTaken { .. }), "{taken}");
    let (pid, directory) = (server.postmaster_pid().expect("runs"), server.directory().to_owned());
    drop(server);
    assert!(!runs(pid), "dropping stops");

    // A pid file that a crash left behind, with the number of a process that is no Postgres.
    let pid_file = directory.join("data/postmaster.pid");
    std::fs::write(&pid_file, format!("{}\n", std::process::id())).expect("writes");
    let server = PostgresServer::start(kept()).await.expect("starts again");
    assert_eq!(server.directory(), directory);
    let client = connect(&server.endpoint()).await.expect("connects");
    let row = client.query_one("SELECT a FROM t", &[]).await.expect("the table is still there");
    assert_eq!(row.get::<_, i32>(0), 42);
    server.stop().await.expect("stops");
    assert!(directory.exists(), "what is kept stays");

    let version = std::fs::read(directory.join("data/PG_VERSION")).expect("reads");
    std::fs::write(directory.join("data/PG_VERSION"), "9\n").expect("writes");
    let refused = PostgresServer::start(kept()).await.expect_err("another version");
    assert!(matches!(refused, SourceError::DataVersion { .. }), "{refused}");
    std::fs::write(directory.join("data/PG_VERSION"), version).expect("writes");
    std::fs::remove_file(directory.join("data/global/pg_control")).expect("removes");
    let failed = PostgresServer::start(kept()).await.expect_err("a broken directory").to_string();
    assert!(failed.contains("the server ended") && failed.contains("pg_control"), "{failed}");
}

#[tokio::test]
async fn a_directory_the_server_cannot_reach_is_replaced_and_that_is_said() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    // Private to us: as root that shuts out the server's user, else the server is ourselves.
    let parent = tempfile::tempdir().expect("makes a directory");
    std::fs::set_permissions(parent.path(), std::fs::Permissions::from_mode(0o700)).expect("closes it");
    let root = parent.path().metadata().expect("exists").uid() == 0;
    let said = Arc::new(Mutex::new(String::new()));
    let events = EventSink::new({
        let said = Arc::clone(&said);
        move |event| said.lock().expect("not poisoned").push_str(&format!("{event:?}\n"))
    });
    let server = PostgresServer::start(PostgresConfig { events, ..config(parent.path()) }).await.expect("starts");
    assert_eq!(server.directory().starts_with(parent.path()), !root);
    assert_eq!(said.lock().expect("not poisoned").contains("cannot reach"), root);
    let directory = server.directory().to_owned();
    drop(server);
    assert!(!directory.exists());
}

#[tokio::test]
async fn a_server_ends_when_its_holder_is_killed() {
    let parent = open_directory();
    let mut holder = Command::new(std::env::current_exe().expect("this test"))
        .args(["--ignored", "--exact", "server::hold_a_server", "--nocapture", "--test-threads", "1"])
        .env(HOLD_IN, parent.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("starts a holder");
    let lines = BufReader::new(holder.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let pid: u32 = lines
        .into_iter()
        .find_map(|line| line.split("holding ").nth(1)?.trim().parse().ok())
        .expect("the holder tells the process id");
    assert!(runs(pid));
    holder.kill().expect("SIGKILL is sent");
    holder.wait().expect("the holder is gone");
    assert!(within_half_a_minute(|| !runs(pid)).await, "the postmaster outlived its holder");
    let empty = || {
        let left: Vec<_> = walk(parent.path());
        left.is_empty()
    };
    assert!(within_half_a_minute(empty).await, "the throw-away data stayed");
}

/// Files below `dir`; as root an empty directory may stay, since its parent is not the server's.
fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().filter_map(Result::ok);
    entries.flat_map(|entry| if entry.path().is_dir() { walk(&entry.path()) } else { vec![entry.path()] }).collect()
}

/// No test of its own but the process that another test kills: `a_server_ends_when_its_holder_is_killed` starts this binary again with
/// `--ignored` and this name, so it does run with every suite, and what it finds is asserted there. It must be ignored because it
/// never ends by itself. Run by hand without the variable it ends at once.
#[tokio::test]
#[ignore = "run by `a_server_ends_when_its_holder_is_killed` in a process of its own"]
async fn hold_a_server() {
    let Some(parent) = std::env::var_os(HOLD_IN) else { return };
    let server = PostgresServer::start(config(Path::new(&parent))).await.expect("starts");
    println!("holding {}", server.postmaster_pid().expect("runs"));
    std::future::pending::<()>().await;
}

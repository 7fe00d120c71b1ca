//! The server's own directory: where it lies, how it is initialised, reused and removed.
//!
//! ```text
//! <data_parent>/postgres            kept (`durable`); or <data_parent>/postgres-XXXXXX, thrown away
//!   data/                           PGDATA
//!   server.log                      configured to hold no statements and no values
//! <temp>/lbpg-XXXXXX/               the socket: short, because its path is limited to about 100 bytes
//! ```
//!
//! Owned by the user the server runs as, mode 0700. Where that user cannot get to `data_parent`, the directory lies under
//! the system's directory for temporary files instead, and an event says so.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use lakebed_contract::{Clock, Seed};
use tempfile::Builder;

use super::identity::{Account, run_as};
use super::{PostgresConfig, PostgresInstallation, SUPERUSER};
use crate::error::SourceError;

/// Longest path of a socket's directory; the system's limit (104 on macOS, 108 on Linux) less the file's name.
const SOCKET_DIR_BYTES_MAX: usize = 80;
/// Longest wait for a server of an earlier run that is still shutting down.
const PREDECESSOR_WAIT_MAX: Duration = Duration::from_secs(20);
const PREDECESSOR_POLL: Duration = Duration::from_millis(50);
/// Part of the log that goes into an error.
const LOG_TAIL_LINES_MAX: usize = 15;

#[derive(Debug)]
pub(super) struct DataDir {
    root: PathBuf,
    socket_dir: PathBuf,
    account: Option<Account>,
    durable: bool,
}

impl DataDir {
    /// Makes the directories, or takes the kept one.
    pub(super) fn prepare(config: &PostgresConfig, account: Option<Account>) -> Result<Self, SourceError> {
        let wanted = &config.data_parent;
        fs::create_dir_all(wanted).map_err(SourceError::io(format!("create `{}`", wanted.display())))?;
        let wanted = wanted.canonicalize().map_err(SourceError::io(format!("resolve `{}`", wanted.display())))?;
        let parent = reachable_parent(&wanted, account, config)?;
        let root = if config.durable {
            let name = if parent == wanted { "postgres".to_owned() } else { stand_in_name(&wanted) };
            let root = parent.join(name);
            if !root.is_dir() {
                fs::DirBuilder::new()
                    .mode(0o700)
                    .create(&root)
                    .map_err(SourceError::io(format!("create `{}`", root.display())))?;
            }
            own(&root, account)?;
            root
        } else {
            private_dir("postgres-", &parent, account)?
        };
        let temp = std::env::temp_dir();
        let short =
            temp.as_os_str().len() <= SOCKET_DIR_BYTES_MAX && account.is_none_or(|account| account.can_reach(&temp));
        let socket_dir = private_dir("lbpg-", if short { &temp } else { Path::new("/tmp") }, account)?;
        Ok(Self { root, socket_dir, account, durable: config.durable })
    }

    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn pgdata(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn log_file(&self) -> PathBuf {
        self.root.join("server.log")
    }

    pub(super) fn socket_dir(&self) -> &Path {
        &self.socket_dir
    }

    pub(super) fn account(&self) -> Option<Account> {
        self.account
    }

    pub(super) fn keep_no_longer(&mut self) {
        self.durable = false;
    }

    pub(super) fn durable(&self) -> bool {
        self.durable
    }

    pub(super) fn postmaster_pid(&self) -> Option<u32> {
        fs::read_to_string(self.pgdata().join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
    }

    /// Waits for a server of an earlier run to end, and removes the pid file it may have left behind.
    pub(super) async fn await_predecessor(&self) -> Result<(), SourceError> {
        let Some(pid) = self.postmaster_pid() else { return Ok(()) };
        let clock = Clock::wall();
        let deadline = clock.monotonic() + PREDECESSOR_WAIT_MAX;
        while serves(pid, &self.pgdata()) {
            if clock.monotonic() > deadline {
                return Err(SourceError::AlreadyRunning { pid, dir: self.root.clone() });
            }
            clock.sleep(PREDECESSOR_POLL).await;
        }
        let file = self.pgdata().join("postmaster.pid");
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(SourceError::io(format!("remove the stale `{}`", file.display()))(error))
            }
            _ => Ok(()),
        }
    }

    /// Runs `initdb` unless the directory holds data of the same major version.
    pub(super) async fn initialise(&self, installation: &PostgresInstallation) -> Result<(), SourceError> {
        let pgdata = self.pgdata();
        if let Ok(found) = fs::read_to_string(pgdata.join("PG_VERSION")) {
            if found.trim() != installation.major().to_string() {
                return Err(SourceError::DataVersion {
                    dir: self.root.clone(),
                    found: found.trim().to_owned(),
                    installed: installation.version.clone(),
                });
            }
            return Ok(());
        }
        // initdb writes PG_VERSION first; only the rename below says that it ended well.
        let making = private_dir("making-", &self.root, self.account)?;
        let program = installation.bin_dir.join("initdb");
        let mut command = Command::new(&program);
        command
            .arg("--pgdata")
            .arg(&making)
            .args(["--username", SUPERUSER, "--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"])
            .args(["--auth-local", "trust", "--auth-host", "scram-sha-256"])
            .stdin(Stdio::null());
        run_as(&mut command, self.account);
        let ran = tokio::task::spawn_blocking(move || command.output()).await;
        let output = ran
            .map_err(|_| SourceError::Interrupted { what: "run initdb".to_owned() })?
            .map_err(SourceError::io(format!("run `{}`", program.display())))?;
        if output.status.success() {
            return fs::rename(&making, &pgdata).map_err(SourceError::io(format!("rename `{}`", making.display())));
        }
        let tail = tail(&String::from_utf8_lossy(&output.stderr));
        Err(SourceError::Program { program, status: output.status.to_string(), tail })
    }

    /// The end of the server's log.
    pub(super) fn log_tail(&self) -> String {
        tail(&String::from_utf8_lossy(&fs::read(self.log_file()).unwrap_or_default()))
    }

    /// Removes what must not stay: the socket's directory, and the data if they are not kept.
    pub(super) fn remove_leftovers(&self) -> Result<(), SourceError> {
        let root = (!self.durable).then_some(&self.root);
        let mut outcome = Ok(());
        for dir in root.into_iter().chain([&self.socket_dir]) {
            match fs::remove_dir_all(dir) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    outcome = outcome.and(Err(SourceError::io(format!("remove `{}`", dir.display()))(error)));
                }
                _ => {}
            }
        }
        outcome
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        if let Err(error) = self.remove_leftovers() {
            tracing::warn!(%error, "postgres left files behind");
        }
    }
}

/// `wanted`, or the system's directory for temporary files where the server's user cannot get to `wanted`.
fn reachable_parent(wanted: &Path, account: Option<Account>, config: &PostgresConfig) -> Result<PathBuf, SourceError> {
    let Some(account) = account else { return Ok(wanted.to_owned()) };
    if account.can_reach(wanted) {
        return Ok(wanted.to_owned());
    }
    let fallback = std::env::temp_dir();
    if !account.can_reach(&fallback) {
        return Err(SourceError::Unreachable { uid: account.uid, wanted: wanted.to_owned(), fallback });
    }
    config.events.log(format!(
        "user id {} cannot reach `{}`: the Postgres data lie under `{}`",
        account.uid,
        wanted.display(),
        fallback.display()
    ));
    Ok(fallback)
}

/// A name under the temporary directory that the same kept state directory finds again.
fn stand_in_name(wanted: &Path) -> String {
    format!("lakebed-postgres-{:016x}", Seed(0).child(&wanted.display().to_string()).0)
}

fn private_dir(prefix: &str, parent: &Path, account: Option<Account>) -> Result<PathBuf, SourceError> {
    let what = format!("create a directory under `{}`", parent.display());
    let dir = Builder::new()
        .prefix(prefix)
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(SourceError::io(what))?
        .keep();
    own(&dir, account)?;
    Ok(dir)
}

fn own(dir: &Path, account: Option<Account>) -> Result<(), SourceError> {
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
        .and_then(|()| account.map_or(Ok(()), |account| chown(dir, Some(account.uid), Some(account.gid))))
        .map_err(SourceError::io(format!("make `{}` private", dir.display())))
}

/// Whether process `pid` is a Postgres of this data directory; pids are reused, so the number alone proves nothing.
fn serves(pid: u32, pgdata: &Path) -> bool {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).or_else(|_| {
        Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output().map(|output| output.stdout)
    });
    arguments.is_ok_and(|words| String::from_utf8_lossy(&words).contains(&pgdata.display().to_string()))
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL_LINES_MAX)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stand_in_for_a_directory_is_found_again() {
        assert_eq!(stand_in_name(Path::new("/a")), stand_in_name(Path::new("/a")));
        assert_ne!(stand_in_name(Path::new("/a")), stand_in_name(Path::new("/b")));
    }

    #[test]
    fn another_process_with_the_old_pid_does_not_count_as_the_server() {
        assert!(!serves(std::process::id(), Path::new("/nowhere/data")));
    }

    #[test]
    fn the_tail_is_bounded() {
        let text: String = (0..100).map(|n| format!("{n}\n")).collect();
        assert_eq!(tail(&text).lines().count(), LOG_TAIL_LINES_MAX);
        assert!(tail(&text).ends_with("99"));
    }
}

//! The shell between us and the postmaster.
//!
//! It starts Postgres in a process group of its own (Ctrl-C in the terminal does not reach it) and reads from a pipe whose
//! other end only we hold. When that end closes, because we close it, crash or are killed with SIGKILL, the shell asks
//! Postgres for a fast shutdown, insists after a while, and removes the socket and the throw-away data.

use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::data_dir::DataDir;
use super::identity::run_as;
use super::{CONNECTIONS_MAX, PostgresConfig, REPLICATION_SLOTS_MAX, SOCKET_NUMBER};
use crate::error::SourceError;

/// Seconds between fast shutdown (SIGINT) and immediate shutdown (SIGQUIT); a stuck replication client needs it.
const FAST_SHUTDOWN_SECONDS_MAX: u32 = 10;
/// Seconds between immediate shutdown and SIGKILL.
const IMMEDIATE_SHUTDOWN_SECONDS_MAX: u32 = 5;

/// Arguments: log file, socket directory, directory to remove at the end (or empty), patience, more patience, command….
/// The watcher holds the pipe as descriptor 3; Postgres must not, nor may it wait for our end. The watcher traps TERM so that
/// it ends after its `sleep`, not before: nothing is left behind once the shell has ended.
const SCRIPT: &str = r#"
log=$1; sockets=$2; doomed=$3; fast=$4; immediate=$5; shift 5
umask 077
exec 3<&0 </dev/null >>"$log" 2>&1
"$@" 3<&- &
server=$!
(
  trap 'exit 0' TERM
  patience() { n=0; while [ $n -lt "$1"0 ] && kill -0 "$server"; do sleep 0.1; n=$((n + 1)); done; }
  read -r never <&3
  kill -INT "$server"; patience "$fast"
  kill -QUIT "$server"; patience "$immediate"
  kill -KILL "$server"
) 2>/dev/null &
watcher=$!
exec 3<&-
wait "$server"; status=$?
kill "$watcher" 2>/dev/null; wait "$watcher" 2>/dev/null
rm -rf "$sockets"
[ -z "$doomed" ] || rm -rf "$doomed" 2>/dev/null
exit "$status"
"#;

#[derive(Debug)]
pub(super) struct Supervisor {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Supervisor {
    pub(super) fn start(config: &PostgresConfig, data: &DataDir) -> Result<Self, SourceError> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", SCRIPT, "lakebed-postgres"]).arg(data.log_file()).arg(data.socket_dir());
        command.arg(if data.durable() { "".as_ref() } else { data.root().as_os_str() });
        command.args([FAST_SHUTDOWN_SECONDS_MAX.to_string(), IMMEDIATE_SHUTDOWN_SECONDS_MAX.to_string()]);
        command.arg(config.installation.bin_dir.join("postgres")).arg("-D").arg(data.pgdata());
        for (name, value) in settings(config, data) {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        run_as(&mut command, data.account());
        let mut shell = command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(SourceError::io("run `/bin/sh`"))?;
        let pipe = shell.stdin.take();
        Ok(Self { shell, pipe })
    }

    /// Whether the server and its shell have ended.
    pub(super) fn ended(&mut self) -> Result<bool, SourceError> {
        let status = self.shell.try_wait().map_err(SourceError::io("ask after the Postgres process"))?;
        Ok(status.is_some())
    }

    /// Closes our end of the pipe, which starts the shutdown.
    pub(super) fn close(&mut self) {
        drop(self.pipe.take());
    }
}

impl Drop for Supervisor {
    /// Best effort: closes the pipe and waits; the escalation in the script bounds the wait.
    fn drop(&mut self) {
        self.close();
        if let Err(error) = self.shell.wait() {
            tracing::warn!(%error, "failed to wait for Postgres to end");
        }
    }
}

/// Server settings. The log gets no statements, details or contexts, because those quote rows.
fn settings(config: &PostgresConfig, data: &DataDir) -> Vec<(&'static str, String)> {
    let mut settings = vec![
        ("wal_level", "logical".to_owned()),
        ("max_replication_slots", REPLICATION_SLOTS_MAX.to_string()),
        ("max_wal_senders", REPLICATION_SLOTS_MAX.to_string()),
        // A scenario may stand still for longer than a minute.
        ("wal_sender_timeout", "0".to_owned()),
        ("max_connections", CONNECTIONS_MAX.to_string()),
        ("shared_buffers", "64MB".to_owned()),
        ("max_wal_size", "2GB".to_owned()),
        ("jit", "off".to_owned()),
        ("TimeZone", "UTC".to_owned()),
        ("log_timezone", "UTC".to_owned()),
        ("logging_collector", "off".to_owned()),
        ("log_checkpoints", "off".to_owned()),
        // Above ERROR: what a statement did wrong is its sender's to know, and such messages quote values.
        ("log_min_messages", "log".to_owned()),
        ("log_error_verbosity", "terse".to_owned()),
        ("log_min_error_statement", "panic".to_owned()),
        ("unix_socket_directories", data.socket_dir().display().to_string()),
        ("listen_addresses", config.port.map_or("", |_| "127.0.0.1").to_owned()),
        ("port", config.port.unwrap_or(SOCKET_NUMBER).to_string()),
    ];
    if !config.durable {
        // Not synchronous_commit: without fsync it costs a write, and replication ships flushed WAL only, so a commit
        // that is not flushed would be invisible to a slot for up to three wal_writer_delays.
        for name in ["fsync", "full_page_writes"] {
            settings.push((name, "off".to_owned()));
        }
    }
    settings
}

//! A child process that is measured: wall time, CPU time of it and its descendants, highest resident memory.
//!
//! CPU time and memory come from `wait4`, which counts descendants that were waited for; memory is that of the largest
//! process, and at least what the runner itself holds when it starts the child. Standard error goes to a file, because a
//! foreign tool may print rows there; it is never quoted.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use lakebed_contract::Clock;
use wait4::Wait4 as _;

/// How long a measured process may take.
pub const CHILD_WALL_MAX: Duration = Duration::from_secs(900);
/// Bytes of standard output that are kept.
pub const CHILD_OUTPUT_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What a child was.
#[derive(Debug)]
pub(super) struct Measured {
    pub(super) wall: Duration,
    pub(super) cpu: Duration,
    pub(super) peak_rss_bytes: u64,
    pub(super) stdout: String,
}

/// A program, its arguments, and where its standard error goes.
#[derive(Clone, Debug)]
pub(super) struct Program {
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    pub(super) variables: Vec<(String, String)>,
    pub(super) log: PathBuf,
}

impl Program {
    pub(super) fn command(&self) -> Result<Command, String> {
        let log = open_log(&self.log)?;
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        Ok(command)
    }

    /// Runs it to its end. `Err` is a reason for people; it never quotes what the program printed.
    pub(super) fn measure(&self, clock: &Clock) -> Result<Measured, String> {
        let name = self.program.display();
        let mut command = self.command()?;
        let started = clock.monotonic();
        let mut child = command.spawn().map_err(|error| format!("failed to start `{name}`: {error}"))?;
        let stdout = read_to_end(&mut child)?;
        let stdout = match stdout.recv_timeout(CHILD_WALL_MAX) {
            Ok(stdout) => stdout,
            Err(_) => {
                // It is ours and still runs; a failure to kill it shows in the wait that follows.
                drop(child.kill());
                drop(child.wait());
                return Err(format!("`{name}` did not end within {} s", CHILD_WALL_MAX.as_secs()));
            }
        };
        let used = child.wait4().map_err(|error| format!("failed to wait for `{name}`: {error}"))?;
        let wall = clock.monotonic() - started;
        if !used.status.success() {
            return Err(format!("{}; its standard error is in `{}`", used.status, self.log.display()));
        }
        Ok(Measured { wall, cpu: used.rusage.utime + used.rusage.stime, peak_rss_bytes: used.rusage.maxrss, stdout })
    }
}

fn open_log(path: &Path) -> Result<File, String> {
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .and_then(|()| File::options().create(true).append(true).open(path))
        .map_err(|error| format!("failed to open log `{}`: {error}", path.display()))
}

fn read_to_end(child: &mut Child) -> Result<mpsc::Receiver<String>, String> {
    let stdout = child.stdout.take().ok_or("standard output is not piped")?;
    let (sender, receiver) = mpsc::sync_channel(1);
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A pipe that breaks ends the output; the exit status tells the rest.
        drop(stdout.take(CHILD_OUTPUT_BYTES_MAX).read_to_end(&mut bytes));
        // Nobody listens any more after a time-out.
        drop(sender.send(String::from_utf8_lossy(&bytes).into_owned()));
    });
    Ok(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, folder: &Path) -> Program {
        Program {
            program: PathBuf::from("/bin/sh"),
            arguments: vec!["-c".to_owned(), script.to_owned()],
            variables: vec![("WORD".to_owned(), "stout".to_owned())],
            log: folder.join("logs/shell.log"),
        }
    }

    #[test]
    fn time_memory_and_output_are_taken_and_children_count() {
        let folder = tempfile::tempdir().expect("a folder");
        let busy = "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done";
        let measured = shell(&format!("({busy}); echo $WORD; echo secret >&2"), folder.path())
            .measure(&Clock::wall())
            .expect("the shell succeeds");
        assert_eq!(measured.stdout, "stout\n");
        assert!(measured.cpu > Duration::ZERO && measured.peak_rss_bytes > 100_000, "{measured:?}");
        assert!(measured.wall > Duration::ZERO);
    }

    #[test]
    fn a_failure_names_the_log_and_quotes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = shell("echo secret >&2; exit 3", folder.path());
        let reason = program.measure(&Clock::wall()).expect_err("it fails");
        assert!(reason.contains('3') && reason.contains("shell.log") && !reason.contains("secret"), "{reason}");
        assert_eq!(std::fs::read_to_string(&program.log).expect("a log"), "secret\n");
    }
}

//! What kind of machine and build is measured. Asks `/proc`, `sysctl` and git; what they do not tell is `unknown`.

use std::path::Path;
use std::process::{Command, Stdio};

use super::record::{Build, Machine};

const UNKNOWN: &str = "unknown";

/// This machine.
pub(super) fn machine() -> Machine {
    let cpu = proc_value("/proc/cpuinfo", "model name")
        .or_else(|| output("sysctl", &["-n", "machdep.cpu.brand_string"], None))
        .unwrap_or_else(|| UNKNOWN.to_owned());
    let memory_bytes = proc_value("/proc/meminfo", "MemTotal")
        .and_then(|text| text.strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024))
        .or_else(|| output("sysctl", &["-n", "hw.memsize"], None)?.parse().ok())
        .unwrap_or(0);
    let load_before =
        std::fs::read_to_string("/proc/loadavg").ok().and_then(|text| text.split_whitespace().next()?.parse().ok());
    Machine {
        cores: std::thread::available_parallelism().map_or(0, |cores| u32::try_from(cores.get()).unwrap_or(u32::MAX)),
        memory_bytes,
        cpu,
        os: output("uname", &["-sr"], None).unwrap_or_else(|| std::env::consts::OS.to_owned()),
        arch: std::env::consts::ARCH.to_owned(),
        load_before,
    }
}

/// The build: what the caller compiled in, and the commit of the checkout in `folder`.
pub(super) fn build(version: &str, rustc: &str, profile: &str, folder: &Path) -> Build {
    let commit = output("git", &["rev-parse", "--short=12", "HEAD"], Some(folder)).map_or_else(
        || UNKNOWN.to_owned(),
        |commit| {
            // Records and reports of this very run are no changes to what is measured.
            let changes =
                output("git", &["status", "--porcelain", "--", ".", ":!reports", ":!README.md"], Some(folder));
            if changes.is_some_and(|changes| !changes.is_empty()) { format!("{commit}+changes") } else { commit }
        },
    );
    Build { version: version.to_owned(), commit, rustc: rustc.to_owned(), profile: profile.to_owned() }
}

fn proc_value(file: &str, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(name)?.trim_start().strip_prefix(':')?.trim().to_owned()))
}

/// Standard output of a program that is there and succeeds.
pub(super) fn output(program: &str, arguments: &[&str], folder: Option<&Path>) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stderr(Stdio::null());
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    let output = command.output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_has_cores_and_a_build_names_its_commit() {
        let machine = machine();
        assert!(machine.cores > 0 && !machine.os.is_empty() && !machine.cpu.is_empty(), "{machine:?}");
        let nowhere = tempfile::tempdir().expect("a folder");
        assert_eq!(build("1", "r", "p", nowhere.path()).commit, UNKNOWN);
    }
}

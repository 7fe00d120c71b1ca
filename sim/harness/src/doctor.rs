//! What this machine has, what it lacks, and the one command that fixes each lack.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::Serialize;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What, e.g. `PostgreSQL server`.
    pub name: &'static str,
    /// Whether it is there and usable.
    pub ok: bool,
    /// Whether the default backend needs it.
    pub required: bool,
    /// Version and place, or what was found instead.
    pub found: String,
    /// The one command that fixes it; empty when nothing is wrong.
    pub fix: &'static str,
}

/// Looks at everything the embedded backend needs.
pub fn examine(postgres_bin: Option<PathBuf>, search_path: Option<OsString>) -> Vec<Check> {
    vec![postgres(postgres_bin, search_path), duckdb(), temporary_folder(), loopback()]
}

/// Looks for a Docker engine, which only `--backend docker` needs.
pub async fn docker_engine() -> Check {
    let (ok, found) = match crate::backend::docker::engine_version().await {
        Ok(version) => (true, format!("engine {version} answers")),
        Err(error) => (false, error.to_string()),
    };
    let fix = if ok { "" } else { "start Docker, or set DOCKER_HOST" };
    Check { name: "Docker (for --backend docker)", ok, required: false, found, fix }
}

fn postgres(bin: Option<PathBuf>, search_path: Option<OsString>) -> Check {
    let (ok, found) = match lakebed_source::find_postgres(bin.as_deref(), search_path) {
        Ok(installation) => (true, format!("{} in {}", installation.version, installation.bin_dir.display())),
        Err(error) => (false, error.to_string()),
    };
    let fix = if ok { "" } else { "make setup" };
    Check { name: "PostgreSQL server (15 or newer)", ok, required: true, found, fix }
}

fn duckdb() -> Check {
    let (ok, found) = match lakebed_warehouse::duckdb_version() {
        Ok(version) => (true, version),
        Err(error) => (false, error.to_string()),
    };
    let fix = if ok { "" } else { "make setup" };
    Check { name: "DuckDB library", ok, required: true, found, fix }
}

fn temporary_folder() -> Check {
    let folder = std::env::temp_dir();
    let (ok, found) = match tempfile::Builder::new().prefix("lakebed-doctor-").tempdir() {
        Ok(_) => (true, format!("{} is writable", folder.display())),
        Err(error) => (false, format!("{}: {error}", folder.display())),
    };
    let fix = if ok { "" } else { "export TMPDIR=/a/writable/folder" };
    Check { name: "temporary folder", ok, required: true, found, fix }
}

fn loopback() -> Check {
    let (ok, found) = match std::net::TcpListener::bind(("127.0.0.1", 0)) {
        Ok(_) => (true, "127.0.0.1 accepts listeners".to_owned()),
        Err(error) => (false, error.to_string()),
    };
    let fix = if ok { "" } else { "ip link set lo up" };
    Check { name: "loopback interface", ok, required: true, found, fix }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_postgres_is_reported_with_its_fix() {
        let check = postgres(Some(PathBuf::from("/nonexistent/bin")), None);
        assert!(!check.ok);
        assert_eq!(check.fix, "make setup");
    }
}

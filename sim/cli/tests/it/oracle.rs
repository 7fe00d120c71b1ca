//! The Python readers the tests compare with: PyIceberg over our catalog. Installed by `make test` (`.ci/setup oracles`).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The oracles' Python, or `None` with a loud word. `make test` sets `LAKEBED_REQUIRE_ORACLES=1`: then none is a failure.
pub(crate) fn python() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let folder = std::env::var_os("LAKEBED_PYTHON_DIR").map_or_else(|| root.join(".lakebed/python"), PathBuf::from);
    let python = folder.join("bin/python");
    if python.exists() {
        return Some(python);
    }
    let required = std::env::var("LAKEBED_REQUIRE_ORACLES").is_ok_and(|value| value == "1");
    assert!(!required, "no PyIceberg at {}; run .ci/setup oracles", python.display());
    eprintln!("SKIPPED: no PyIceberg at {}; `make test` installs it", python.display());
    None
}

/// Runs one of the oracle scripts against a lake on `port`.
pub(crate) fn run(python: &Path, script: &str, arguments: &[&str]) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../harness/tests/oracles");
    Command::new(python)
        .arg(folder.join(script))
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", "lakebed")
        .env("AWS_SECRET_ACCESS_KEY", "lakebed-secret")
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .output()
        .expect("python starts")
}

//! The Python clients the tests compare with: PyIceberg, boto3, AWS CLI. Installed by `make test` (`.ci/setup oracles`).

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The oracles' Python, or `None` with a loud word. `make test` sets `LAKEBED_REQUIRE_ORACLES=1`: then none is a failure.
pub(crate) fn python() -> Option<PathBuf> {
    let python = folder().join("bin/python");
    present("PyIceberg and boto3", &python).then_some(python)
}

/// Where pip has put the AWS CLI, by the same rule; it runs with [`python`].
pub(crate) fn aws_cli() -> Option<PathBuf> {
    let packages = folder().join("awscli");
    present("AWS CLI", &packages.join("installed")).then_some(packages)
}

fn folder() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os("LAKEBED_PYTHON_DIR").map_or_else(|| root.join(".lakebed/python"), PathBuf::from)
}

/// Whether to go without an oracle is a failure.
pub(crate) fn required() -> bool {
    std::env::var("LAKEBED_REQUIRE_ORACLES").is_ok_and(|value| value == "1")
}

fn present(what: &str, file: &Path) -> bool {
    if file.exists() {
        return true;
    }
    assert!(!required(), "no {what} at {}; run .ci/setup oracles", file.display());
    eprintln!("SKIPPED: no {what} at {}; `make test` installs it", file.display());
    false
}

/// The access key of stores that let everybody in.
pub(crate) const ANY_KEY: (&str, &str) = ("lakebed", "lakebed-secret");

/// Runs one of the oracle scripts with the key of stores that let everybody in.
pub(crate) fn run(python: &Path, script: &str, arguments: &[&str]) -> Output {
    run_as(python, ANY_KEY, script, arguments)
}

/// Runs one of the oracle scripts with a key and its secret. Of the caller's own cloud it learns nothing.
pub(crate) fn run_as(python: &Path, (key, secret): (&str, &str), script: &str, arguments: &[&str]) -> Output {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../harness/tests/oracles");
    let mut command = Command::new(python);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    // The scripts share a module; its compiled form does not belong into the sources.
    command
        .arg("-B")
        .arg(folder.join(script))
        .args(arguments)
        .env("AWS_ACCESS_KEY_ID", key)
        .env("AWS_SECRET_ACCESS_KEY", secret)
        .env("AWS_REGION", "us-east-1")
        .env("AWS_DEFAULT_REGION", "us-east-1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .output()
        .expect("python starts")
}

//! `lakebed up --stores-only` as its users meet it: boto3, the AWS CLI and PyIceberg against what it prints. Each script of
//! `sim/harness/tests/oracles` talks to stores of its own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Output, Stdio};

use lakebed_harness::open::state_dir_of;
use tempfile::TempDir;

use crate::command_line::{exported, interrupt, lakebed};
use crate::oracle::{self, ANY_KEY};

/// The key that some of the stores here enforce.
const OWN_KEY: (&str, &str) = ("AKIALAKEBEDTESTS0000", "the/secret+of/these+tests");

/// Stores that are up. Whoever starts them also ends them, before anything is asserted of what happened between.
pub(crate) struct Stores {
    folder: TempDir,
    up: Child,
    exports: Vec<(String, String)>,
}

impl Stores {
    /// `key` is what they find in their environment.
    pub(crate) fn start(flags: &[&str], key: Option<(&str, &str)>) -> Self {
        let folder = tempfile::tempdir().expect("temp dir");
        let place: &[&str] = if flags.contains(&"--in-memory") { &[] } else { &["--state-dir", "state"] };
        let arguments = [&["up", "--stores-only", "--port", "0"][..], place, flags].concat();
        // A file takes whatever they say; a pipe that nobody reads would stop them one day.
        let stderr = File::create(folder.path().join("stderr")).expect("a file for stderr");
        let mut command = lakebed(folder.path(), &arguments);
        if let Some((id, secret)) = key {
            command.envs([("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)]);
        }
        let mut up = command.stdout(Stdio::piped()).stderr(stderr).spawn().expect("starts");
        let mut exports = Vec::new();
        let lines = BufReader::new(up.stdout.take().expect("piped")).lines().map_while(Result::ok);
        for (name, value) in lines.filter_map(|line| exported(&line)) {
            let is_last = name == "LAKEBED_CATALOG_URI";
            exports.push((name, value));
            if is_last {
                break;
            }
        }
        Self { folder, up, exports }
    }

    pub(crate) fn export(&self, name: &str) -> Option<&str> {
        self.exports.iter().find(|(exported, _)| exported == name).map(|(_, value)| value.as_str())
    }

    /// What they said on stderr, once they have ended as `up` is meant to end.
    pub(crate) fn end(mut self) -> String {
        interrupt(&self.up);
        let status = self.up.wait().expect("ends");
        let stderr = fs::read_to_string(self.folder.path().join("stderr")).expect("stderr");
        assert!(status.success(), "Ctrl-C is how `up` ends: {stderr}");
        stderr
    }
}

/// Runs scripts, each with its arguments after the endpoint, one after the other on the same stores, up to the first that
/// fails; expects that none does.
fn hold(python: &Path, flags: &[&str], key: Option<(&str, &str)>, scripts: &[(&str, &[&str])]) {
    let stores = Stores::start(flags, key);
    let endpoint = stores.export("AWS_ENDPOINT_URL").unwrap_or_default().to_owned();
    let mut failed: Option<(&str, Output)> = None;
    for (script, arguments) in scripts {
        let output =
            oracle::run_as(python, key.unwrap_or(ANY_KEY), script, &[&[endpoint.as_str()][..], *arguments].concat());
        // A script that came to its end says so.
        if !output.status.success() || !output.stdout.starts_with(b"{\"ok\": true") {
            failed = Some((*script, output));
            break;
        }
    }
    let said = stores.end();
    assert!(!endpoint.is_empty(), "no endpoint was printed: {said}");
    if let Some((script, output)) = failed {
        panic!("{script}: {}\nThe stores said: {said}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(key.is_none_or(|(_, secret)| !said.contains(secret)), "a secret is nobody's to read");
}

fn holds(script: &str) {
    let Some(python) = oracle::python() else { return };
    hold(&python, &[], None, &[(script, &[])]);
}

#[test]
fn boto3_finds_s3() {
    holds("stores_s3.py");
}

#[test]
fn boto3_finds_versions_in_s3() {
    holds("stores_s3_versions.py");
}

#[test]
fn boto3_finds_multipart_uploads_in_s3() {
    holds("stores_s3_multipart.py");
}

#[test]
fn boto3_finds_dynamodb() {
    holds("stores_dynamodb.py");
}

#[test]
fn boto3_finds_dynamodb_streams() {
    holds("stores_dynamodb_streams.py");
}

#[test]
fn boto3_finds_kinesis() {
    holds("stores_kinesis.py");
}

#[test]
fn boto3_finds_personal_data_with_comprehend() {
    holds("stores_comprehend.py");
}

#[test]
fn boto3_finds_keys_in_kms() {
    holds("stores_kms.py");
}

#[test]
fn pyiceberg_finds_the_catalog() {
    holds("stores_catalog.py");
}

#[test]
fn the_aws_cli_finds_all_stores() {
    let (Some(python), Some(packages)) = (oracle::python(), oracle::aws_cli()) else { return };
    let packages = packages.to_str().expect("UTF-8");
    hold(&python, &[], None, &[("stores_cli.py", &[packages])]);
}

#[test]
fn enforced_keys_let_their_owner_in_and_nobody_else() {
    let Some(python) = oracle::python() else { return };
    let scripts: [(&str, &[&str]); 8] = [
        ("stores_s3.py", &["enforced"]),
        ("stores_kinesis.py", &[]),
        ("stores_comprehend.py", &[]),
        ("stores_kms.py", &[]),
        ("stores_auth.py", &[]),
        ("stores_catalog.py", &["token"]),
        ("stores_catalog.py", &["credential"]),
        ("stores_catalog.py", &["sigv4"]),
    ];
    hold(&python, &["--auth", "enforce"], Some(OWN_KEY), &scripts);
}

#[test]
fn what_awss_limits_throttle_boto3_sends_again() {
    let Some(python) = oracle::python() else { return };
    hold(&python, &["--limits", "aws"], None, &[("stores_limits.py", &[])]);
}

#[test]
fn an_enforced_key_is_the_users_own_and_its_secret_is_not_printed() {
    let stores = Stores::start(&["--auth", "enforce"], Some(("mine", "not to be seen")));
    let exports = stores.exports.clone();
    let stderr = stores.end();
    assert!(exports.contains(&("AWS_ACCESS_KEY_ID".to_owned(), "mine".to_owned())), "{exports:?}");
    assert!(exports.iter().any(|(name, _)| name == "LAKEBED_CATALOG_URI"), "{exports:?}");
    assert!(exports.iter().all(|(_, value)| value != "not to be seen") && !stderr.contains("not to be seen"));
}

#[test]
fn a_state_in_memory_is_gone_at_the_end() {
    let stores = Stores::start(&["--in-memory"], None);
    let told = state_dir_of(stores.export("AWS_ENDPOINT_URL").unwrap_or_default());
    let was_there = told.as_ref().is_ok_and(|folder| folder.is_dir());
    let said = stores.end();
    let folder = told.unwrap_or_else(|error| panic!("{error}: {said}"));
    assert!(was_there && !folder.exists(), "{}", folder.display());
    assert!(said.contains(&format!("state in {}", folder.display())), "{said}");
}

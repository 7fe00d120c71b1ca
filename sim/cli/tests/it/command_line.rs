//! Help, usage errors and bad input: what a user meets before anything runs.

use std::path::Path;
use std::process::{Child, Command, Output};

/// The binary with a clean environment, in a folder of its own.
pub(crate) fn lakebed(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakebed"));
    // Nothing of the caller's cloud may leak in.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") || name == "DATABASE_URL" {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("LAKEBED_MASK_KEY")
        .env_remove("LAKEBED_MASK_KEY_FILE")
        .env_remove("LAKEBED_MASK_KEY_KMS")
        .env_remove("LAKEBED_STATE_DIR")
        .env("LAKEBED_LOG", "warn")
        .env("HOME", folder);
    command
}

/// What Ctrl-C does.
pub(crate) fn interrupt(child: &Child) {
    signal(child.id(), "-INT");
}

pub(crate) fn signal(process: u32, signal: &str) {
    let sent = Command::new("kill").args([signal, &process.to_string()]).status().expect("kill");
    assert!(sent.success(), "{signal} to {process}");
}

/// Name and value of a line that `up` prints to be run in a shell.
pub(crate) fn exported(line: &str) -> Option<(String, String)> {
    let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
    Some((name.to_owned(), value.trim_matches('\'').to_owned()))
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    lakebed(folder, arguments).output().expect("the binary starts")
}

fn check(arguments: &[&str], code: i32, expect: &[&str]) {
    let folder = tempfile::tempdir().expect("temp dir");
    check_in(folder.path(), arguments, code, expect);
}

fn check_in(folder: &Path, arguments: &[&str], code: i32, expect: &[&str]) {
    let output = run(folder, arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
    for text in expect {
        assert!(stderr.contains(text), "{arguments:?}: no `{text}` in: {stderr}");
    }
    assert!(output.stdout.is_empty(), "{arguments:?}: an error is no data");
}

#[test]
fn help_is_data() {
    let folder = tempfile::tempdir().expect("temp dir");
    let output = run(folder.path(), &["--help"]);
    assert!(output.status.success());
    insta::assert_snapshot!("help", String::from_utf8(output.stdout).expect("UTF-8"));
    let output = run(folder.path(), &["demo", "--help"]);
    insta::assert_snapshot!("help_demo", String::from_utf8(output.stdout).expect("UTF-8"));
    let output = run(folder.path(), &["up", "--help"]);
    let up = String::from_utf8(output.stdout).expect("UTF-8");
    let (own, of_stores) = up.split_once("\nStores:\n").expect("a heading");
    assert!(own.contains("--tui") && of_stores.contains("--bind"), "each option stands under its heading: {up}");
}

#[test]
fn mistakes_in_arguments_exit_with_1_and_a_hint() {
    check(&["demo", "--scale", "0"], 1, &["error: failed to use scale 0", "hint: "]);
    check(&["demo", "--scale", "NaN"], 1, &["scale"]);
    check(&["ingest", "nothing.csv", "--table", "review"], 1, &["nothing.csv"]);
    check(&["ingest", "nothing.csv", "--table", "wine"], 1, &["`wine`", "brewery, beer, profile, review"]);
    check(&["ingest", "nothing.xls", "--table", "review"], 1, &["nothing.xls", ".csv"]);
    check(&["query", "SELECT 1"], 1, &["state directory", "hint: "]);
    check(&["control", "list", "--status", "LOST", "--state-dir", "."], 1, &["`LOST`", "RECEIVED"]);
    check(&["demo", "--lake", "no-such-lake"], 1, &["no-such-lake"]);
    check(&["up", "--stores-only", "--backend", "docker"], 1, &["--stores-only", "hint: "]);
    check(&["up", "--backend", "docker", "--bind", "127.0.0.2"], 1, &["--bind", "hint: "]);
    check(&["up", "--backend", "docker", "--in-memory"], 1, &["--in-memory", "hint: "]);
    check(&["up", "--stores-only", "--bind", "0.0.0.0"], 1, &["0.0.0.0", "--auth enforce"]);
    check(&["up", "--stores-only", "--auth", "enforce"], 1, &["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]);
    check(&["up", "--stores-only", "--port", "0", "--notify-url", "https://h"], 1, &["S3 notifications", "http://"]);
    check(&["up", "--stores-only", "--in-memory", "--state-dir", "state"], 1, &["--in-memory", "--state-dir"]);
    check(&["bench", "dmeo"], 1, &["`dmeo`", "csv-to-parquet, demo"]);
    check(&["bench", "demo", "--label", "../up"], 1, &["`../up`"]);
    check(&["report", "no-such-folder"], 1, &["no-such-folder"]);
}

#[test]
fn a_missing_postgres_is_the_environments_fault() {
    let folder = tempfile::tempdir().expect("temp dir");
    let mut command = lakebed(folder.path(), &["demo", "--scale", "0.0001"]);
    let output = command.env("LAKEBED_PG_BIN", "/nonexistent/bin").output().expect("starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("PostgreSQL") && stderr.contains("hint:"), "{stderr}");
}

#[test]
fn a_broken_contract_file_is_named_with_what_is_wrong() {
    let folder = tempfile::tempdir().expect("temp dir");
    assert!(run(folder.path(), &["init", "lake"]).status.success());
    let contract = folder.path().join("lake/contracts/beer.yaml");
    let text = std::fs::read_to_string(&contract).expect("contract").replace("bigint", "money");
    std::fs::write(&contract, text).expect("break it");
    check_in(folder.path(), &["demo", "--lake", "lake"], 1, &["contracts/beer.yaml", "`money`", "hint: "]);
}

#[test]
fn a_taken_port_is_named_with_a_way_out() {
    let folder = tempfile::tempdir().expect("temp dir");
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    check_in(folder.path(), &["up", "--stores-only", "--port", &port], 2, &[&port, "hint: "]);
}

#[test]
fn a_folder_with_other_things_in_it_is_left_alone() {
    let folder = tempfile::tempdir().expect("temp dir");
    std::fs::create_dir(folder.path().join("work")).expect("folder");
    std::fs::write(folder.path().join("work/thesis.txt"), "precious").expect("file");
    check_in(folder.path(), &["demo", "--keep", "work"], 1, &["work", "hint: name a new or empty folder"]);
    assert_eq!(std::fs::read_dir(folder.path().join("work")).expect("read").count(), 1);
}

/// A key that nothing was masked with would stay behind, and with LAKEBED_MASK_KEY_KMS one that KMS was asked for.
#[test]
fn a_file_that_is_not_there_is_told_before_a_mask_key_is_made() {
    let folder = tempfile::tempdir().expect("temp dir");
    let arguments = ["ingest", "missing.csv", "--table", "review", "--state-dir", "lake"];
    for kms_key in [None, Some("alias/mask")] {
        let mut command = lakebed(folder.path(), &arguments);
        command.env_remove("XDG_CONFIG_HOME").envs(kms_key.map(|key| ("LAKEBED_MASK_KEY_KMS", key)));
        let output = command.output().expect("starts");
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains("`missing.csv`") && !told.contains("KMS"), "{told}");
        assert_eq!(std::fs::read_dir(folder.path()).expect("read").count(), 0, "nothing is left behind");
    }
}

#[test]
fn doctor_finds_this_machine_sound() {
    let folder = tempfile::tempdir().expect("temp dir");
    let output = run(folder.path(), &["doctor", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["ok"], true, "{report}");
    assert!(output.status.success());
}

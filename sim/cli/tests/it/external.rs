//! `--backend external` against stores that are not ours to start: a second lakebed, and a Postgres known by its URL alone.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use lakebed_contract::{Clock, EventSink, Lake};
use lakebed_harness::backend::Backend;
use lakebed_harness::run::RunPlace;
use lakebed_harness::run_dir::RunDir;
use serde_json::Value;

use crate::command_line::{exported, interrupt, lakebed};

const TINY: &str = "0.0005";

/// A second lakebed's stores and a private Postgres, with the variables that lead there.
struct Elsewhere {
    stores: Child,
    variables: Vec<(String, String)>,
    // Its own stores stay unused; it is here for its Postgres.
    backend: Backend,
    _run_dir: RunDir,
}

impl Elsewhere {
    async fn start(folder: &Path) -> Self {
        let options = crate::proof::options();
        let run_dir = RunDir::throw_away().expect("folder");
        let (place, lake) = (RunPlace::throw_away(&run_dir), Lake::beer());
        let backend = Backend::start(&options, &lake, place, &Clock::wall(), &EventSink::default()).await;
        let backend = backend.expect("Postgres starts");
        let mut stores = lakebed(folder, &["up", "--stores-only", "--port", "0", "--state-dir", "elsewhere"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        let lines = BufReader::new(stores.stdout.take().expect("piped")).lines().map_while(Result::ok);
        let mut variables: Vec<_> = lines.take(6).filter_map(|line| exported(&line)).collect();
        let postgres = backend.postgres();
        let host = postgres.host.replace('/', "%2F");
        let url = format!("postgres://{}@{host}:{}/{}", postgres.user, postgres.port, postgres.database);
        variables.push(("DATABASE_URL".to_owned(), url));
        Self { stores, variables, backend, _run_dir: run_dir }
    }

    fn lakebed(&self, folder: &Path, arguments: &[&str]) -> Command {
        let mut command = lakebed(folder, arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Replication slots and publications in the database.
    async fn left_in_postgres(&self) -> i64 {
        let postgres = self.backend.postgres();
        let mut config = tokio_postgres::Config::new();
        config.host(&postgres.host).port(postgres.port).user(&postgres.user).dbname(&postgres.database);
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("connects");
        let driver = tokio::spawn(connection);
        let sql = "SELECT (SELECT count(*) FROM pg_replication_slots) + (SELECT count(*) FROM pg_publication)";
        let count = client.query_one(sql, &[]).await.expect("counts").get(0);
        drop(client);
        driver.await.expect("ends").expect("in order");
        count
    }

    async fn stop(mut self) {
        interrupt(&self.stores);
        assert!(self.stores.wait().expect("ends").success());
        self.backend.stop().await.expect("stops");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_main_job_runs_on_another_lakebed_and_refuses_what_is_full() {
    let folder = tempfile::tempdir().expect("temp dir");
    let elsewhere = Elsewhere::start(folder.path()).await;
    let demo = ["demo", "--backend", "external", "--scale", TINY, "--json"];
    let output = elsewhere.lakebed(folder.path(), &[&demo[..], &["--keep", "kept"]].concat()).output().expect("starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let summary: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&summary["verdict"], &summary["backend"]), (&"pass".into(), &"external".into()), "{summary}");
    let created = summary["created"].as_array().expect("a list").iter().map(Value::to_string).collect::<String>();
    for name in ["dm-stage", "dm-datalake", "dm-processing-control", "dm-kinesis-stream", "dm_core.review"] {
        assert!(created.contains(name), "{name} is not named: {created}");
    }
    assert_eq!(elsewhere.left_in_postgres().await, 0, "a slot that nobody reads would fill the disk");

    let sql = "SELECT count(*) AS n FROM silver.review WHERE deleted_at IS NULL";
    let query = ["query", sql, "--state-dir", "kept", "--json"];
    let refused = elsewhere.lakebed(folder.path(), &query).output().expect("starts");
    let hint = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && hint.contains("--backend external"), "{hint}");
    let queried = [&query[..], &["--backend", "external"]].concat();
    let queried = elsewhere.lakebed(folder.path(), &queried).output().expect("starts");
    let rows: Value = serde_json::from_slice(&queried.stdout).expect("JSON");
    assert_eq!(rows[0]["n"].as_str().expect("text"), summary["rows"]["source"]["review"].to_string());

    let again = [&demo[..], &["--keep", "second"]].concat();
    let again = elsewhere.lakebed(folder.path(), &again).output().expect("starts");
    let stderr = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(1), "{stderr}");
    for found in
        ["`dm-stage` is not empty", "`dm-processing-control` has items", "stream `dm-kinesis-stream` has", "has rows"]
    {
        assert!(stderr.contains(found), "{found} is not named: {stderr}");
    }
    let marked = folder.path().join("second/external-claim").exists();
    assert!(!marked, "a refused start must not bind its folder to these stores");
    elsewhere.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_gives_the_replication_slot_back() {
    let folder = tempfile::tempdir().expect("temp dir");
    let elsewhere = Elsewhere::start(folder.path()).await;
    let mut demo = elsewhere
        .lakebed(folder.path(), &["demo", "--backend", "external", "--scale", "0.01"])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(demo.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let reached = lines.by_ref().any(|line| line.starts_with("dms") && line.contains("full load"));
    assert!(reached, "the run ended before it could be interrupted");
    assert!(elsewhere.left_in_postgres().await >= 2, "slots and publications are in use");
    interrupt(&demo);
    let rest: Vec<String> = lines.collect();
    assert_eq!(demo.wait().expect("ends").code(), Some(130), "{rest:?}");
    assert_eq!(elsewhere.left_in_postgres().await, 0, "{rest:?}");
    elsewhere.stop().await;
}

#[test]
fn what_the_environment_lacks_is_said_and_no_secret_repeated() {
    let folder = tempfile::tempdir().expect("temp dir");
    let check = |variables: &[(&str, &str)], expect: &[&str]| {
        let mut command = lakebed(folder.path(), &["demo", "--backend", "external"]);
        let output = command.envs(variables.iter().copied()).output().expect("starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        for text in expect {
            assert!(stderr.contains(text), "{variables:?}: no `{text}` in {stderr}");
        }
        assert!(!stderr.contains("sesame"), "{stderr}");
        output.status.code()
    };
    let database = ("DATABASE_URL", "postgres://u:sesame@127.0.0.1:1/d");
    assert_eq!(check(&[], &["DATABASE_URL is not set", "hint: export DATABASE_URL="]), Some(1));
    assert_eq!(check(&[database], &["AWS credentials", "hint: export AWS_ACCESS_KEY_ID"]), Some(1));
    assert_eq!(check(&[("DATABASE_URL", "sesame")], &["DATABASE_URL", "postgres://USER"]), Some(1));
    let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "sesame"), database];
    // Port 1 answers nothing; the more specific variable wins.
    let urls = [("AWS_ENDPOINT_URL", "http://127.0.0.1:2"), ("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")];
    let expect = ["S3 at `http://127.0.0.1:1`", "caused by: ", "hint: "];
    assert_eq!(check(&[&keys[..], &urls[..]].concat(), &expect), Some(2));
}

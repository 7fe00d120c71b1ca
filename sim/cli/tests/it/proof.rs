//! Is the proof worth anything? PyIceberg must agree with Postgres row for row, and the judge must notice each damage.

use std::path::Path;

use lakebed_contract::event::Outcome;
use lakebed_contract::{Clock, EventSink, Seed, layout};
use lakebed_harness::demo::DemoOptions;
use lakebed_harness::judge::Verdict;
use lakebed_harness::run::{Run, RunPlace};
use lakebed_harness::run_dir::RunDir;
use lakebed_harness::tally::Tally;
use lakebed_harness::{backend, lake_folder};

use crate::oracle;

const TINY: f64 = 0.000_5;

pub(crate) fn options() -> DemoOptions {
    DemoOptions {
        scale: TINY,
        seed: Seed(11),
        lake_files: lake_folder::files(None).expect("the beer lake"),
        backend: backend::BackendChoice::Embedded,
        mask: None,
        postgres_bin: None,
        search_path: std::env::var_os("PATH"),
        worker_program: env!("CARGO_BIN_EXE_lakebed").into(),
        kept: false,
        workload: Default::default(),
        faults: Default::default(),
        stores: Default::default(),
    }
}

fn outcome(verdict: &Verdict, invariant: &str) -> Outcome {
    verdict.invariants[invariant].outcome
}

fn expect_only(verdict: &Verdict, failing: &[&str], after: &str) {
    let failed: Vec<_> =
        verdict.invariants.iter().filter(|(_, f)| f.outcome == Outcome::Fail).map(|(name, _)| name.as_str()).collect();
    assert_eq!(failed, failing, "after {after}: {verdict:#?}");
}

async fn tamper(run: &Run, python: &Path, table: &str, key: &str, action: &[&str]) {
    let endpoints = run.backend.endpoints();
    let mut arguments = vec![endpoints.catalog_url.as_str(), endpoints.s3_url.as_str(), table, key];
    arguments.extend(action);
    let (python, owned) = (python.to_owned(), arguments.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>());
    let output = tokio::task::spawn_blocking(move || {
        oracle::run(&python, "tamper.py", &owned.iter().map(String::as_str).collect::<Vec<_>>())
    })
    .await
    .expect("the script ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// One live run serves all checks: it is the costly part.
#[tokio::test(flavor = "multi_thread")]
async fn pyiceberg_agrees_with_postgres_and_the_judge_notices_every_damage() {
    let Some(python) = oracle::python() else { return };
    let run_dir = RunDir::throw_away().expect("folder");
    let mut run = Run::start(&options(), RunPlace::throw_away(&run_dir), &Clock::wall(), &EventSink::default())
        .await
        .expect("starts");
    run.copy_and_follow(&Tally::default()).await.expect("runs");
    let verdict = run.judge().await.expect("judged");
    expect_only(&verdict, &[], "an honest run");
    for checked in ["I1", "I2", "I5", "I6", "I8", "I10"] {
        assert_eq!(outcome(&verdict, checked), Outcome::Pass, "{checked}");
    }

    compare_with_pyiceberg(&run, &python).await;

    // A clear e-mail, in the clear, somewhere beyond raw/.
    let email = run.truth.planted.iter().find(|p| p.class == "EMAIL" && !p.in_text).expect("planted").value.clone();
    let s3 = backend::s3_client(run.backend.endpoints());
    let leak = "bronze/dm_core/v1/profile/leak.txt";
    let body = format!("contact: {email}\n").into_bytes().into();
    s3.put_object().bucket(layout::LAKE_BUCKET).key(leak).body(body).send().await.expect("put");
    let verdict = run.judge().await.expect("judged");
    expect_only(&verdict, &["I8"], "a clear e-mail in an object");
    let told = format!("{verdict:?}");
    assert!(told.contains(leak) && !told.contains(&email), "the finding names the object, never the value");
    s3.delete_object().bucket(layout::LAKE_BUCKET).key(leak).send().await.expect("delete");

    // The same inside a silver table, where it hides in a compressed Parquet page.
    tamper(&run, &python, "silver.profile", "profile_id", &["change", "email", &email]).await;
    let verdict = run.judge().await.expect("judged");
    expect_only(&verdict, &["I1", "I8"], "a clear e-mail in silver");
    drop((verdict, email));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_judge_notices_a_changed_value_and_a_dropped_row() {
    let Some(python) = oracle::python() else { return };
    let run_dir = RunDir::throw_away().expect("folder");
    let mut run = Run::start(&options(), RunPlace::throw_away(&run_dir), &Clock::wall(), &EventSink::default())
        .await
        .expect("starts");
    run.copy_and_follow(&Tally::default()).await.expect("runs");
    tamper(&run, &python, "silver.brewery", "brewery_id", &["change", "city", "Atlantis"]).await;
    let verdict = run.judge().await.expect("judged");
    expect_only(&verdict, &["I1"], "one changed value");
    assert!(verdict.invariants["I1"].detail.contains("city"), "{verdict:#?}");
    tamper(&run, &python, "silver.beer", "beer_id", &["drop"]).await;
    let verdict = run.judge().await.expect("judged");
    expect_only(&verdict, &["I1", "I3"], "a dropped row, whose position went with it");
    assert!(verdict.invariants["I1"].detail.contains("beer"), "{verdict:#?}");
    run.stop().await.expect("stops");
}

/// Dumps what Postgres says, and lets PyIceberg compare it with what it reads.
async fn compare_with_pyiceberg(run: &Run, python: &Path) {
    let folder = tempfile::tempdir().expect("temp dir");
    let masked = dump(run, folder.path()).await;
    let endpoints = run.backend.endpoints();
    let mut arguments =
        vec!["--catalog".to_owned(), endpoints.catalog_url.clone(), "--s3".to_owned(), endpoints.s3_url.clone()];
    for column in masked {
        arguments.extend(["--masked".to_owned(), column]);
    }
    arguments.push(folder.path().to_string_lossy().into_owned());
    let python = python.to_owned();
    let output = tokio::task::spawn_blocking(move || {
        oracle::run(&python, "compare_lake.py", &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    })
    .await
    .expect("the script ends");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let told: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(told["tables"].as_object().expect("tables").len(), 9, "four silver and five gold tables: {told}");
    assert!(told["tables"]["silver.review"]["rows"].as_u64().expect("rows") > 500, "{told}");
}

/// Writes `silver/<table>.csv` and `gold/<table>.csv` by Postgres alone; returns the masked columns.
async fn dump(run: &Run, folder: &Path) -> Vec<String> {
    let postgres = run.backend.postgres();
    let mut config = tokio_postgres::Config::new();
    config.host(&postgres.host).port(postgres.port).user(&postgres.user).dbname(&postgres.database);
    let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("connects");
    let driver = tokio::spawn(connection);
    client.batch_execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO'").await.expect("settings");
    let mut masked = Vec::new();
    for table in lake_folder::open(None).expect("the beer lake").tables {
        let mut columns: Vec<String> = table.columns.iter().map(|column| column.name.clone()).collect();
        if let Some(partition) = &table.partition {
            let (column, year, month) = (&partition.column, &partition.year, &partition.month);
            columns.push(format!("extract(year FROM {column})::int AS {year}"));
            columns.push(format!("extract(month FROM {column})::int AS {month}"));
        }
        let of_table = table.columns.iter().filter(|column| column.class.is_some());
        masked.extend(of_table.map(|column| format!("{}.{}", table.name, column.name)));
        let sql = format!("SELECT {} FROM {}.{}", columns.join(", "), table.schema, table.name);
        copy_out(&client, &sql, &folder.join("silver").join(format!("{}.csv", table.name))).await;
    }
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipeline/beer/judge");
    for model in lake_folder::open(None).expect("the beer lake").gold {
        let name = model.name;
        let sql = std::fs::read_to_string(queries.join(format!("{name}.sql"))).expect("the judge's SQL");
        copy_out(&client, sql.trim().trim_end_matches(';'), &folder.join("gold").join(format!("{name}.csv"))).await;
    }
    drop(client);
    driver.await.expect("no panic").expect("closed in order");
    masked
}

async fn copy_out(client: &tokio_postgres::Client, sql: &str, path: &Path) {
    use futures::TryStreamExt;
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("created");
    let copy = format!("COPY ({sql}) TO STDOUT (FORMAT csv, HEADER)");
    let stream = client.copy_out(&copy).await.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let chunks: Vec<_> = stream.try_collect().await.expect("copied");
    std::fs::write(path, chunks.concat()).expect("written");
}

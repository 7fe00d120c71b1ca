//! The real binary, end to end at a tiny scale: the main job, its repetition, its interruption, and a user's own file.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::command_line::{interrupt, lakebed};

/// About 800 reviews: every stage has work, and the whole run takes seconds.
const TINY: &str = "0.0005";

fn demo(folder: &Path, arguments: &[&str]) -> Value {
    let mut all = vec!["demo", "--scale", TINY, "--json"];
    all.extend(arguments);
    let output = lakebed(folder, &all).output().expect("the binary starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {:?}\n{stderr}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

/// What the summary says was masked: all profiles' e-mail addresses, and of the comments those that the generator planted in.
fn check_masking(summary: &Value) {
    let columns = summary["masking"].as_array().expect("a list");
    let column = |table: &str, name: &str| {
        let found = columns.iter().filter(|column| column["table"] == table && column["column"] == name);
        let found: Vec<_> = found.collect();
        assert_eq!(found.len(), 1, "{table}.{name} once: {columns:?}");
        found[0]
    };
    let number = |column: &Value, name: &str| column[name].as_u64().expect("a count");
    let source = |table: &str| summary["rows"]["source"][table].as_u64().expect("a count");
    let email = column("profile", "email");
    assert!(email["class"] == "email" && email["transform"] == "token", "{email}");
    assert!(number(email, "masked") >= source("profile") / 2, "{email}");
    assert!(number(email, "values") >= number(email, "masked"), "{email}");
    let comment = column("review", "comment");
    assert!(comment["class"] == "free_text" && comment["transform"] == "redact", "{comment}");
    assert!(number(comment, "values") >= source("review"), "{comment}");
    assert!((1..number(comment, "values")).contains(&number(comment, "masked")), "{comment}");
    let findings = comment["findings"].as_object().expect("counts");
    let found: u64 = findings.values().filter_map(Value::as_u64).sum();
    assert!(found >= number(comment, "masked"), "{comment}");
    assert!(columns.iter().all(|column| column["table"] != "beer"), "nothing of a beer is personal: {columns:?}");
}

#[test]
fn the_main_job_ends_with_pass_and_can_be_repeated() {
    let folder = tempfile::tempdir().expect("temp dir");
    let first = demo(folder.path(), &[]);
    assert_eq!(first["verdict"], "pass");
    for checked in ["I1", "I2", "I5", "I6", "I8", "I10"] {
        assert_eq!(first["invariants"][checked], "pass", "{checked}");
    }
    for stage in ["source", "dms", "batch", "bronze", "silver", "gold"] {
        assert!(first["rows"][stage].as_object().is_some_and(|tables| !tables.is_empty()), "{stage} counted nothing");
    }
    assert!(first["rows"]["source"]["review"].as_u64().expect("a count") > 500);
    check_masking(&first);
    let again = demo(folder.path(), &[]);
    assert_eq!(first["rows"], again["rows"], "same seed, same row counts");
    assert_eq!(first["showcase"]["rows"].as_array().map(Vec::len), Some(5));
    assert_eq!(first["showcase"], again["showcase"]);
    let other = demo(folder.path(), &["--seed", "8"]);
    assert_eq!(other["verdict"], "pass");
    assert_ne!(first["showcase"], other["showcase"], "another seed, other rows");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("read").collect();
    assert!(left.is_empty(), "a demo leaves nothing behind: {left:?}");
}

#[test]
fn a_kept_lake_answers_queries_and_the_control_table_is_settled() {
    let folder = tempfile::tempdir().expect("temp dir");
    let summary = demo(folder.path(), &["--keep", "lake"]);
    let run = |arguments: &[&str]| {
        let output = lakebed(folder.path(), arguments).output().expect("starts");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let sql = "SELECT count(*) AS n FROM silver.review WHERE deleted_at IS NULL";
    let counted = run(&["query", sql, "--state-dir", "lake", "--json"]);
    assert_eq!(counted[0]["n"].as_str().expect("text"), summary["rows"]["source"]["review"].to_string());
    let records = run(&["control", "list", "--state-dir", "lake", "--json"]);
    let records = records.as_array().expect("a list");
    assert!(!records.is_empty());
    assert!(records.iter().all(|record| record["status"] == "DONE"), "{records:?}");
    // A second demo must not write over a lake that somebody kept: the same one is told again, another one is refused.
    let before = std::fs::read(folder.path().join("lake/run.json")).expect("the summary");
    assert_eq!(demo(folder.path(), &["--keep", "lake"]), summary);
    assert_eq!(before, std::fs::read(folder.path().join("lake/run.json")).expect("the summary"));
    let other = ["demo", "--scale", TINY, "--seed", "8", "--keep", "lake"];
    let output = lakebed(folder.path(), &other).output().expect("starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("a finished run with other settings"));
}

/// Ids of processes whose command line or environment mentions `text`.
fn processes_mentioning(text: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default();
        let all = [read("cmdline"), read("environ")].concat();
        if pid != std::process::id() && all.windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(pid);
        }
    }
    found
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_in_the_middle_leaves_no_process_and_no_file() {
    let folder = tempfile::tempdir().expect("temp dir");
    let temporary = folder.path().join("lakebed-ctrl-c-test");
    std::fs::create_dir(&temporary).expect("folder");
    // Postgres drops to another user, who must be able to pass through.
    let mut permissions = std::fs::metadata(folder.path()).expect("metadata").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o755);
    std::fs::set_permissions(folder.path(), permissions).expect("chmod");
    let mut child = lakebed(folder.path(), &["demo", "--scale", "0.01"])
        .env("TMPDIR", &temporary)
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("starts");
    let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
    // The source is loaded: Postgres, the stores and the flow are about to be at work.
    let reached = lines.by_ref().map_while(Result::ok).any(|line| line.starts_with("source") && line.contains("load"));
    assert!(reached, "the run ended before it could be interrupted");
    assert!(!processes_mentioning(&temporary.to_string_lossy()).is_empty(), "Postgres should be running");
    interrupt(&child);
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    let status = child.wait().expect("ends");
    assert_eq!(status.code(), Some(130), "{rest:?}");
    assert_eq!(processes_mentioning(&temporary.to_string_lossy()), Vec::<u32>::new(), "processes left behind");
    let left: Vec<PathBuf> = std::fs::read_dir(&temporary).expect("read").flatten().map(|entry| entry.path()).collect();
    assert!(left.is_empty(), "files left behind: {left:?}");
}

fn ingest(folder: &Path, file: &Path) -> (Option<i32>, Value) {
    let file = file.to_string_lossy();
    let output = lakebed(folder, &["ingest", &file, "--table", "review", "--state-dir", "lake", "--json"])
        .env("LAKEBED_MASK_KEY", "00".repeat(32))
        .output()
        .expect("starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    (output.status.code(), report)
}

fn query(folder: &Path, sql: &str) -> Value {
    let output = lakebed(folder, &["query", sql, "--state-dir", "lake", "--json"]).output().expect("starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn object<'a>(report: &'a Value, table: &str) -> &'a Value {
    let objects = report["objects"].as_array().expect("objects");
    objects.iter().find(|object| object["table"] == table).unwrap_or_else(|| panic!("no object of {table}: {report}"))
}

#[test]
fn a_latin_1_file_with_its_own_column_names_reaches_gold_twice_without_change() {
    let folder = tempfile::tempdir().expect("temp dir");
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipeline/beer/samples/reviews.latin1.csv");
    let (code, report) = ingest(folder.path(), &sample);
    assert_eq!(code, Some(0), "{report}");
    assert_eq!(report["mapping"], "beeradvocate");
    let review = object(&report, "review");
    let number = |name: &str| review[name].as_i64().expect("a number");
    assert!(number("rows_quarantined") > 0 && !review["reasons"].as_object().expect("reasons").is_empty(), "{review}");
    assert_eq!(number("rows_in"), number("rows_good") + number("rows_quarantined") + number("rows_dropped"));
    let counted = query(folder.path(), "SELECT count(*) AS n, sum(review_overall) AS s FROM silver.review");
    assert_eq!(counted[0]["n"].as_str().expect("text"), number("rows_good").to_string());
    assert!(report["masking"].as_array().is_some_and(|columns| !columns.is_empty()), "{report}");
    let umlauts = query(folder.path(), "SELECT beer_style FROM silver.review_flat WHERE beer_style LIKE '%ö%'");
    assert!(!umlauts.as_array().expect("rows").is_empty(), "Latin-1 became UTF-8");
    let gold = query(folder.path(), "SELECT * FROM gold.top_styles_by_popularity");
    assert!(!gold.as_array().expect("rows").is_empty());
    let (code, _) = ingest(folder.path(), &sample);
    assert_eq!(code, Some(0));
    let again = query(folder.path(), "SELECT count(*) AS n, sum(review_overall) AS s FROM silver.review");
    assert_eq!(counted, again, "the same file twice changes nothing");
}

#[test]
fn the_real_sample_reaches_gold_where_it_is_present() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/beeradvocate_sample.latin1.csv");
    if !sample.exists() {
        eprintln!("SKIPPED: the real sample is not on this machine ({})", sample.display());
        return;
    }
    let folder = tempfile::tempdir().expect("temp dir");
    let (code, report) = ingest(folder.path(), &sample);
    assert_eq!(code, Some(0), "{report}");
    let review = object(&report, "review");
    assert_eq!(review["rows_in"], 6_627, "{review}");
    assert_eq!(
        review["rows_good"].as_i64().expect("good") + review["rows_quarantined"].as_i64().expect("bad"),
        6_627,
        "{review}"
    );
    let koelsch = query(folder.path(), "SELECT count(*) AS n FROM silver.beer WHERE beer_style = 'Kölsch'");
    assert_ne!(koelsch[0]["n"], "0");
}

#[test]
fn a_corrected_file_wins_over_the_one_before_it() {
    let folder = tempfile::tempdir().expect("temp dir");
    let file = folder.path().join("brewery.csv");
    for (city, expect) in [("Ghent", "Ghent"), ("Bruges", "Bruges")] {
        std::fs::write(&file, format!("brewery_id,brewery_name,city,state\n1,Halve Maan,{city},\n")).expect("written");
        let output = lakebed(folder.path(), &["ingest", "brewery.csv", "--table", "brewery", "--state-dir", "lake"])
            .output()
            .expect("starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let found = query(folder.path(), "SELECT city FROM silver.brewery");
        assert_eq!(found, serde_json::json!([{ "city": expect }]));
    }
}

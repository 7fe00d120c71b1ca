//! Bring your own lake: a fifth table by editing files only, and a lake that has nothing to do with beer.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use lakebed_contract::TableContract;
use lakebed_contract::sla::{Latency, ServiceLevels};
use serde_json::Value;

use crate::command_line::lakebed;

/// What README.md shows, and what is applied here.
const FIFTH_TABLE: &str = include_str!("fifth-table.patch");

fn run(folder: &Path, arguments: &[&str]) -> Value {
    let output = lakebed(folder, arguments).output().expect("the binary starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{arguments:?}: {:?}\n{stderr}\n{text}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"))
}

fn init(folder: &Path) {
    assert!(lakebed(folder, &["init", "lake"]).status().expect("starts").success());
}

fn count(folder: &Path, sql: &str) -> u64 {
    let answer = run(folder, &["query", sql, "--lake", "lake", "--state-dir", "kept", "--json"]);
    answer[0]["n"].as_str().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{sql}: {answer}"))
}

#[test]
fn a_fifth_table_is_added_by_editing_files_only() {
    let folder = tempfile::tempdir().expect("temp dir");
    init(folder.path());
    std::fs::write(folder.path().join("fifth-table.patch"), FIFTH_TABLE).expect("write");
    let applied = Command::new("git")
        .args(["apply", "../fifth-table.patch"])
        .current_dir(folder.path().join("lake"))
        .output()
        .expect("git runs");
    assert!(applied.status.success(), "{}", String::from_utf8_lossy(&applied.stderr));

    let summary = run(folder.path(), &["demo", "--lake", "lake", "--scale", "0.001", "--keep", "kept", "--json"]);
    assert_eq!(summary["verdict"], "pass", "{summary}");
    for (stage, table) in [
        ("source", "checkin"),
        ("dms", "checkin"),
        ("bronze", "checkin"),
        ("silver", "checkin"),
        ("gold", "checkins_by_venue"),
    ] {
        assert!(summary["rows"][stage][table].as_u64().is_some_and(|rows| rows > 0), "{stage}: {summary}");
    }
    // Position 0 is the initial copy; everything later came through change capture.
    assert!(count(folder.path(), "SELECT count(*) AS n FROM silver.checkin WHERE _commit_lsn = 0") > 100);
    assert!(count(folder.path(), "SELECT count(*) AS n FROM silver.checkin WHERE _commit_lsn > 0") > 0);
    assert!(count(folder.path(), "SELECT count(*) AS n FROM silver.checkin WHERE deleted_at IS NOT NULL") > 0);
    let live = count(folder.path(), "SELECT count(*) AS n FROM silver.checkin WHERE deleted_at IS NULL");
    assert_eq!(Some(live), summary["rows"]["source"]["checkin"].as_u64());
    assert_eq!(count(folder.path(), "SELECT sum(checkins) AS n FROM gold.checkins_by_venue"), live);
    let masked = "SELECT count(*) AS n FROM silver.checkin WHERE device_id IS NOT NULL AND device_id NOT LIKE 'tok_%'";
    assert_eq!(count(folder.path(), masked), 0);
}

#[test]
fn readme_shows_the_patch_that_is_applied_here() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).expect("README.md");
    let shown = readme.split("```diff\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(shown, Some(FIFTH_TABLE));
}

/// The service levels of README.md belong to the contract of its fifth table.
#[test]
fn readme_shows_service_levels_that_are_read() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let readme = std::fs::read_to_string(readme).expect("README.md");
    let mut blocks = readme.split("```yaml\n").filter_map(|rest| rest.split("```").next());
    let shown = blocks.find(|block| block.starts_with("slaProperties:")).expect("an example");
    let added = FIFTH_TABLE.split("+++ b/contracts/checkin.yaml\n").nth(1).expect("a contract").lines().skip(1);
    let contract: String = added.map_while(|line| line.strip_prefix('+')).map(|line| format!("{line}\n")).collect();
    let table = TableContract::from_odcs_yaml("checkin.yaml", &(contract + shown)).expect("valid");
    let hours = |hours: u64| Duration::from_secs(hours * 3_600);
    let latency = Latency { column: "checked_in_at".to_owned(), allowed: hours(2) };
    assert_eq!(table.service_levels, ServiceLevels { latencies: vec![latency], frequency: Some(hours(24)) });
}

/// Replaces the beer in `lake` by `tables` (name, properties) in schema `shop`, with one gold model over `basket`.
fn make_shop(lake: &Path, tables: &[(&str, &str)]) {
    for folder in ["contracts", "silver", "gold", "judge", "mappings"] {
        std::fs::remove_dir_all(lake.join(folder)).expect("the beer lake's folder");
    }
    std::fs::remove_file(lake.join("showcase.sql")).expect("the beer lake's file");
    let write = |path: String, text: String| {
        let path = lake.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("folder");
        std::fs::write(path, text).expect("write");
    };
    for (name, properties) in tables {
        let text = format!(
            "apiVersion: v3.1.0\nkind: DataContract\nversion: 2.0.0\nschema:\n  - name: {name}\n    \
             physicalName: shop.{name}\n    properties:\n{properties}\n    customProperties:\n      \
             - {{property: generatedRows, value: 300000}}\n"
        );
        write(format!("contracts/{name}.yaml"), text);
    }
    let names: Vec<String> = tables.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    write(
        "lakebed.toml".to_owned(),
        format!(
            "name = \"shop\"\ntables = [{}]\n\
             state_machines = [\"dm-ingestion-dispatcher\", \"dm-processing-dispatcher\", \"dm-analytics-dispatcher\"]\n\n\
             [[gold]]\nname = \"spent\"\ninputs = [\"basket\", \"user\"]\ndriver = \"basket\"\npartition_by = []\nkey = [\"level\"]\n",
            names.join(", ")
        ),
    );
    let select = |user: &str, basket: &str, price: &str, live: &str| {
        format!(
            "SELECT u.level, count(*) AS lines, {price} AS spent FROM {basket} AS b JOIN {user} AS u ON u.user_id = b.user_id\
             {live} GROUP BY u.level"
        )
    };
    let live = " AND u.deleted_at IS NULL WHERE b.deleted_at IS NULL";
    write("gold/spent.sql".to_owned(), select("\"user\"", "basket", "sum(b.price)", live));
    write("judge/spent.sql".to_owned(), select("shop.\"user\"", "shop.basket", "sum(b.price)::numeric(38,3)", ""));
}

/// A text key, a key of three parts of which two are references, and a day as key that travels as a file.
const SHOP: [(&str, &str); 3] = [
    (
        "user",
        "      - {name: user_id, physicalType: text, primaryKey: true}
      - {name: full_name, physicalType: text, required: true, classification: full_name}
      - {name: phone, physicalType: text, classification: phone}
      - {name: level, physicalType: text, required: true}",
    ),
    (
        "opening",
        "      - {name: day, physicalType: date, primaryKey: true}
      - {name: hours, physicalType: integer}
      - {name: note, physicalType: text}",
    ),
    (
        "basket",
        "      - {name: user_id, physicalType: text, primaryKey: true}
      - {name: day, physicalType: date, primaryKey: true}
      - {name: at, physicalType: timestamptz, primaryKey: true}
      - {name: price, physicalType: 'numeric(20,3)'}
      - {name: weight, physicalType: double precision}
      - {name: gift, physicalType: boolean}
      - {name: serial, physicalType: bigint}",
    ),
];

#[test]
fn a_lake_without_beer_runs_and_is_proven() {
    let folder = tempfile::tempdir().expect("temp dir");
    init(folder.path());
    make_shop(&folder.path().join("lake"), &SHOP);
    let opening = folder.path().join("lake/contracts/opening.yaml");
    let batch = std::fs::read_to_string(&opening).expect("contract") + "      - {property: loadRoute, value: batch}\n";
    std::fs::write(&opening, batch).expect("write");

    let summary = run(folder.path(), &["demo", "--lake", "lake", "--scale", "0.001", "--keep", "kept", "--json"]);
    assert_eq!(summary["verdict"], "pass", "{summary}");
    assert_eq!(summary["showcase"], Value::Null);
    assert!(summary["rows"]["batch"]["opening"].as_u64().is_some_and(|rows| rows == 300), "{summary}");
    assert!(count(folder.path(), "SELECT count(*) AS n FROM silver.basket WHERE _commit_lsn > 0") > 0);
    assert!(count(folder.path(), "SELECT count(*) AS n FROM silver.opening WHERE deleted_at IS NOT NULL") > 0);
}

#[test]
fn what_cannot_be_generated_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().expect("temp dir");
    init(folder.path());
    let key = "      - {name: weight, physicalType: double precision, primaryKey: true}";
    make_shop(&folder.path().join("lake"), &[SHOP[0], ("basket", key)]);
    let output = lakebed(folder.path(), &["demo", "--lake", "lake", "--scale", "0.001"]).output().expect("starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("`basket` needs a key column of its own") && stderr.contains("hint:"), "{stderr}");
}

/// What is said of a lake in which `from` was replaced by `to` in `file`; nothing may have run by then.
fn refusal(file: &str, from: &str, to: &str) -> String {
    let folder = tempfile::tempdir().expect("temp dir");
    init(folder.path());
    let path = folder.path().join("lake").join(file);
    let text = std::fs::read_to_string(&path).expect("in the beer lake");
    assert!(text.contains(from), "{file}: {from}");
    std::fs::write(&path, text.replacen(from, to, 1)).expect("write");
    let arguments = ["demo", "--lake", "lake", "--scale", "0.001", "--keep", "kept"];
    let output = lakebed(folder.path(), &arguments).output().expect("starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{file}: {stderr}");
    // Not even the bucket that rows are moved through. (What is in it may lie in the index, without a file.)
    assert!(!folder.path().join("kept/s3/dm-stage").exists(), "{file}: rows were moved before it was refused");
    stderr
}

#[test]
fn a_broken_file_is_refused_by_its_name_and_with_what_to_do() {
    let class = "        classification: email";
    let misspelt = class.replace("classification", "clasification");
    for (file, from, to, told) in [
        ("contracts/beer.yaml", "kind: DataContract", "kind: [", &["contracts/beer.yaml", "caused by:"] as &[&str]),
        ("contracts/beer.yaml", "numeric(4,1)", "money", &["contracts/beer.yaml", "`money`", "supported: boolean"]),
        (
            "contracts/beer.yaml",
            "- name: beer_style",
            "- name: updated_at",
            &["contracts/beer.yaml", "call it otherwise"],
        ),
        ("contracts/profile.yaml", class, &misspelt, &["contracts/profile.yaml", "`email`", "`clasification`"]),
        (
            "policy.yaml",
            "birth_date: {bronze: year}",
            "birth_date: {bronze: token}",
            &["`profile.birth_date`", "policy.yaml"],
        ),
        ("lakebed.toml", "\"dm-analytics-dispatcher\"", "", &["lakebed.toml", "dm-analytics-dispatcher"]),
        (
            "lakebed.toml",
            "name = \"top_drinkers\"",
            "name = \"top_thinkers\"",
            &["gold/top_thinkers.sql", "is missing"],
        ),
        ("judge/top_drinkers.sql", "p.state", "p.stat", &["judge/top_drinkers.sql", "p.stat", "character"]),
        ("judge/top_drinkers.sql", "monthly.profile_id,", "", &["judge/top_drinkers.sql", "profile_id"]),
        ("judge/top_drinkers.sql", "::numeric(5, 4)", "", &["judge/top_drinkers.sql", "`avg_rating`", "cast it"]),
    ] {
        let stderr = refusal(file, from, to);
        assert!(told.iter().all(|word| stderr.contains(word)), "{told:?}: {stderr}");
        assert!(stderr.contains("hint:"), "{file}: {stderr}");
    }
}

//! A lake whose contract changes between two files: what follows, and what is refused before a row of it is anywhere.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::command_line::lakebed;

const CONTRACT: &str = "lake/contracts/brewery.yaml";

fn with_lake(folder: &Path, arguments: &[&str]) -> Output {
    let lake = ["--lake", "lake", "--state-dir", "kept", "--json"];
    lakebed(folder, &[arguments, &lake].concat()).env("LAKEBED_MASK_KEY", "00".repeat(32)).output().expect("starts")
}

/// Ingests one file of breweries.
fn ingest(folder: &Path, name: &str, rows: &str) -> Output {
    fs::write(folder.join(name), rows).expect("written");
    with_lake(folder, &["ingest", name, "--table", "brewery"])
}

#[track_caller]
fn passes(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["verdict"], "pass", "{report}");
}

#[track_caller]
fn change_contract(folder: &Path, from: &str, to: &str) {
    let contract = fs::read_to_string(folder.join(CONTRACT)).expect("the lake has it");
    assert!(contract.contains(from), "{contract}");
    fs::write(folder.join(CONTRACT), contract.replace(from, to)).expect("written");
}

#[test]
fn silver_follows_a_contract_and_what_it_cannot_follow_is_refused_before_bronze() {
    let folder = tempfile::tempdir().expect("temp dir");
    let folder = folder.path();
    assert!(lakebed(folder, &["init", "lake"]).status().expect("starts").success());
    passes(&ingest(folder, "a.csv", "brewery_id,brewery_name,city,state\n1,Alpha,Graz,ST\n2,Beta,Linz,UA\n"));

    change_contract(folder, "version: 1.0.0", "version: 2.0.0");
    let renamed = "name: town\n        customProperties: [{property: formerNames, value: [city]}]\n";
    change_contract(folder, "name: city\n", renamed);
    let contract = fs::read_to_string(folder.join(CONTRACT)).expect("the lake has it");
    let founded = "      - name: founded\n        physicalType: integer\n";
    fs::write(folder.join(CONTRACT), contract + founded).expect("written");
    let new_names = "brewery_id,brewery_name,town,state,founded\n";
    passes(&ingest(folder, "b.csv", &format!("{new_names}2,Beta,Wels,UA,1900\n3,Gamma,Steyr,UA,1950\n")));
    passes(&ingest(folder, "c.csv", "brewery_id,brewery_name,city,state\n4,Delta,Enns,UA\n"));

    let narrowed = ["physicalType: integer", "physicalType: date"];
    change_contract(folder, narrowed[0], narrowed[1]);
    let refused = ingest(folder, "d.csv", &format!("{new_names}5,Epsilon,Graz,ST,1990-01-01\n"));
    let told = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{told}");
    assert!(told.contains("silver.brewery") && told.contains("`founded`") && told.contains("another name"), "{told}");

    // Nothing of the refused file is in the way of the next one.
    change_contract(folder, narrowed[1], narrowed[0]);
    passes(&ingest(folder, "e.csv", &format!("{new_names}6,Zeta,Graz,ST,2001\n")));
    let sql = "SELECT brewery_id, town, founded FROM silver.brewery ORDER BY brewery_id";
    let answer = with_lake(folder, &["query", sql]);
    let rows: Value = serde_json::from_slice(&answer.stdout).expect("JSON");
    let row = |id: &str, town: &str, founded: Option<&str>| json!({"brewery_id": id, "town": town, "founded": founded});
    let expected = [
        row("1", "Graz", None),
        row("2", "Wels", Some("1900")),
        row("3", "Steyr", Some("1950")),
        row("4", "Enns", None),
        row("6", "Graz", Some("2001")),
    ];
    assert_eq!(rows, json!(expected));
}

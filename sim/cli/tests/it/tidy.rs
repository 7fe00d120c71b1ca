//! House rules: crate edges as ARCHITECTURE.md draws them, a header in every file, no forgotten folder at the top.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace root")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn crate_edges_are_those_of_the_table_in_architecture_md() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let names: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut found = BTreeMap::new();
    for package in packages {
        let edges: BTreeSet<&str> = package["dependencies"]
            .as_array()
            .expect("dependencies")
            .iter()
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|name| names.contains(name))
            .collect();
        found.insert(package["name"].as_str().expect("name"), edges);
    }
    assert_eq!(found, edges_in(&read("ARCHITECTURE.md")));
}

fn edges_in(text: &str) -> BTreeMap<&str, BTreeSet<&str>> {
    let table = text.split("<!-- crate-edges -->").nth(1).expect("the table's first mark");
    let table = table.split("<!-- /crate-edges -->").next().expect("the table's last mark");
    table
        .lines()
        .filter(|line| line.starts_with("| lakebed"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0], cells[1].split(", ").filter(|name| *name != "–").collect())
        })
        .collect()
}

/// Every tracked or new file of the workspace that git does not ignore.
fn files() -> Vec<PathBuf> {
    let output = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let listed = String::from_utf8(output.stdout).expect("UTF-8 paths");
    listed.lines().map(PathBuf::from).filter(|path| root().join(path).is_file()).collect()
}

#[test]
fn every_rust_file_says_first_what_it_is() {
    let bare: Vec<_> = files()
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter(|path| !read(&path.to_string_lossy()).starts_with("//!"))
        .collect();
    assert!(bare.is_empty(), "files without a //! header: {bare:?}");
}

#[test]
fn only_the_warehouse_names_duckdb() {
    let manifests =
        files().into_iter().filter(|path| path.ends_with("Cargo.toml") && path.parent() != Some(Path::new("")));
    let naming: Vec<_> =
        manifests.filter(|path| read(&path.to_string_lossy()).lines().any(|line| line.starts_with("duckdb"))).collect();
    assert_eq!(naming, [PathBuf::from("pipeline/warehouse/Cargo.toml")]);
}

#[test]
fn the_top_level_stays_as_drawn() {
    let allowed = [
        "ARCHITECTURE.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "Makefile",
        "README.md",
        "benches",
        "clippy.toml",
        "docker-compose.yml",
        "pipeline",
        "reports",
        "rustfmt.toml",
        "scenarios",
        "sim",
    ];
    let found: BTreeSet<String> = files()
        .iter()
        .filter_map(|path| Some(path.components().next()?.as_os_str().to_string_lossy().into_owned()))
        .filter(|name| !name.starts_with('.') && !allowed.contains(&name.as_str()))
        .collect();
    assert!(found.is_empty(), "new at the top level: {found:?}");
}

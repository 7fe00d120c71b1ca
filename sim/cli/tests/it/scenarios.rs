//! The shipped scenarios through the real binary: all pass with three seeds, those that must fail do, and the reports say so.

use std::path::Path;

use serde_json::Value;

use crate::command_line::lakebed;

/// Scenarios at once: each waits a good part of its time for its own Postgres and timers.
const JOBS: &str = "3";

struct Ran {
    code: Option<i32>,
    json: Value,
    stderr: String,
}

impl Ran {
    fn scenarios(&self) -> &[Value] {
        self.json["scenarios"].as_array().unwrap_or_else(|| panic!("no scenarios: {}", self.stderr))
    }
}

fn run(folder: &Path, arguments: &[&str]) -> Ran {
    let mut all = vec!["run", "--json", "--jobs", JOBS];
    all.extend(arguments);
    let output = lakebed(folder, &all).output().expect("the binary starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    Ran { code: output.status.code(), json, stderr }
}

#[test]
fn every_scenario_passes_with_three_seeds_and_is_reported() {
    let folder = tempfile::tempdir().expect("temp dir");
    let ran = run(folder.path(), &["all", "--seed", "7,8,9", "--junit", "junit.xml", "--report", "report"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.json["result"], "passed");
    assert!(ran.scenarios().len() >= 3 * 12, "{}", ran.scenarios().len());
    for scenario in ran.scenarios() {
        let name = scenario["name"].as_str().expect("a name");
        let digests = scenario["digests"].as_object().expect("digests");
        assert_eq!(digests.keys().collect::<Vec<_>>(), ["bronze", "gold", "silver"], "{name}");
    }
    let junit = std::fs::read_to_string(folder.path().join("junit.xml")).expect("JUnit");
    assert_eq!(junit.matches("<testcase ").count(), ran.scenarios().len());
    assert!(!junit.contains("<failure") && !junit.contains("<error"), "{junit}");
    for file in ["README.md", "index.html", "outcomes.json", "junit.xml"] {
        assert!(folder.path().join("report").join(file).is_file(), "{file}");
    }
    let left = std::fs::read_dir(folder.path()).expect("read").count();
    assert_eq!(left, 2, "scenarios leave nothing behind but what was asked for");
}

#[test]
fn scenarios_that_must_fail_are_reported_as_failed() {
    let folder = tempfile::tempdir().expect("temp dir");
    let ran = run(folder.path(), &["0101", "0102", "--seed", "7,8,9", "--junit", "junit.xml"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert_eq!((ran.json["failed"].as_u64(), ran.json["passed"].as_u64()), (Some(6), Some(0)));
    for scenario in ran.scenarios() {
        let broken = if scenario["name"] == "0101-corrupted-silver" { "I1" } else { "I8" };
        assert_eq!(scenario["verdict"], "fail");
        assert_eq!(scenario["invariants"][broken][0], "fail", "{scenario}");
        assert!(ran.stderr.contains(&format!("{broken}: expected pass, found fail")), "{}", ran.stderr);
        let others = ["I2", "I3", "I5", "I9", "I10"];
        assert!(others.iter().all(|name| scenario["invariants"][name][0] == "pass"), "{scenario}");
    }
    let junit = std::fs::read_to_string(folder.path().join("junit.xml")).expect("JUnit");
    assert_eq!(junit.matches("<failure").count(), 6, "{junit}");
}

#[test]
fn the_same_seed_gives_the_same_digests_and_another_seed_others() {
    let folder = tempfile::tempdir().expect("temp dir");
    let ran = run(folder.path(), &["0003", "0009", "--seed", "7,8", "--twice"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let digests: Vec<_> = ran.scenarios().iter().map(|scenario| &scenario["digests"]).collect();
    assert_ne!(digests[0], digests[1], "seeds 7 and 8");
}

#[test]
fn a_broken_scenario_file_is_refused_with_file_line_and_the_nearest_key() {
    let folder = tempfile::tempdir().expect("temp dir");
    std::fs::write(folder.path().join("my.toml"), "question = \"?\"\n\n[workload]\nruote = \"batch\"\n")
        .expect("write");
    let output = lakebed(folder.path(), &["run", "my.toml"]).output().expect("starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr.contains("my.toml:4: there is no key `ruote` here, did you mean `route`?"), "{stderr}");
    let restarts = "question = \"?\"\nbackend = \"docker\"\n\n[[step]]\ndo = \"restart\"\nafter = \"copy\"\n";
    std::fs::write(folder.path().join("my.toml"), restarts).expect("write");
    for arguments in [&["run", "my.toml"][..], &["run", "0013", "--backend", "docker"]] {
        let output = lakebed(folder.path(), arguments).output().expect("starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("only the embedded backend has stores that are kept"), "{stderr}");
        assert_eq!(output.status.code(), Some(1));
    }
    let output = lakebed(folder.path(), &["run", "key-updat"]).output().expect("starts");
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `key-update`?"));
    assert_eq!(output.status.code(), Some(1));
}

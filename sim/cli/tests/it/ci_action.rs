//! The composite GitHub Action and its example: well-formed, in step with the command line, and quoting what users give it.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_norway::Value;

use crate::command_line::lakebed;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace root")
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn yaml(path: &str) -> Value {
    serde_norway::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

const ACTION: &str = ".github/actions/lakebed/action.yml";
const EXAMPLE: &str = ".github/actions/lakebed/example.yml";

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_mapping().expect("a mapping").keys().filter_map(Value::as_str).collect()
}

fn script<'a>(action: &'a Value, step: &str) -> &'a str {
    let steps = action["runs"]["steps"].as_sequence().expect("steps");
    let found = steps.iter().find(|found| found["name"] == step).unwrap_or_else(|| panic!("no step `{step}`"));
    found["run"].as_str().expect("a script")
}

#[test]
fn the_action_is_composite_and_uses_every_input_it_declares() {
    let action = yaml(ACTION);
    assert_eq!(action["runs"]["using"], "composite");
    for step in action["runs"]["steps"].as_sequence().expect("steps") {
        let name = step["name"].as_str().expect("every step has a name");
        assert!(step.get("uses").is_some() || step["shell"] == "bash", "{name}: a script needs its shell");
        let script = step["run"].as_str().unwrap_or_default();
        assert!(!script.contains("${{"), "{name}: values reach a script through `env`, or anybody could write into it");
        let checked = Command::new("bash").args(["-n", "-c", script]).status().expect("bash runs");
        assert!(checked.success(), "{name}: not a shell script");
    }
    let source = text(ACTION);
    let used: BTreeSet<&str> = source
        .split("inputs.")
        .skip(1)
        .map(|rest| rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default())
        .collect();
    assert_eq!(used, keys(&action["inputs"]));
}

#[test]
fn every_flag_the_action_passes_exists() {
    let folder = tempfile::tempdir().expect("temp dir");
    let help = lakebed(folder.path(), &["run", "--help"]).output().expect("starts");
    assert!(help.status.success());
    let help = String::from_utf8(help.stdout).expect("UTF-8");
    let action = yaml(ACTION);
    let flags: BTreeSet<&str> = script(&action, "Run the scenarios")
        .split(|c: char| c.is_whitespace() || "()\"".contains(c))
        .filter(|word| word.starts_with("--"))
        .collect();
    assert_eq!(flags, BTreeSet::from(["--junit", "--lake", "--report", "--seed", "--twice"]));
    for flag in flags {
        assert!(help.contains(&format!("{flag} ")) || help.contains(&format!("{flag}\n")), "{flag} in: {help}");
    }
}

/// Runs the step's script with a stand-in for the binary; gives the arguments the binary got and the exit code.
fn run_step(inputs: [(&str, &str); 5], binary: &str) -> (Vec<String>, Option<i32>) {
    let folder = tempfile::tempdir().expect("temp dir");
    let stand_in = folder.path().join("lakebed");
    std::fs::write(&stand_in, format!("#!/bin/sh\nprintf '%s\\n' \"$@\" >arguments\n{binary}\n")).expect("write");
    std::fs::set_permissions(&stand_in, std::fs::Permissions::from_mode(0o755)).expect("chmod");
    for scenario in ["0001-a.toml", "0002-b.toml"] {
        std::fs::write(folder.path().join(scenario), "").expect("write");
    }
    let action = yaml(ACTION);
    // As the runner starts `shell: bash`.
    let status = Command::new("bash")
        .args(["--noprofile", "--norc", "-eo", "pipefail", "-c", script(&action, "Run the scenarios")])
        .envs(inputs)
        .env("BIN", folder.path())
        .current_dir(folder.path())
        .status()
        .expect("bash runs");
    let arguments = std::fs::read_to_string(folder.path().join("arguments")).expect("the stand-in ran");
    (arguments.lines().map(str::to_owned).collect(), status.code())
}

#[test]
fn inputs_become_arguments_and_the_exit_code_is_kept() {
    let all =
        [("SCENARIOS", "*.toml"), ("SEED", "8,9"), ("LAKE", "my lake"), ("TWICE", "true"), ("REPORT", "my report")];
    let (arguments, code) = run_step(all, "exit 1");
    let expected = ["run", "0001-a.toml", "0002-b.toml", "--seed", "8,9", "--lake", "my lake", "--twice"];
    assert_eq!(arguments, [&expected[..], &["--junit", "my report/junit.xml", "--report", "my report"]].concat());
    assert_eq!(code, Some(1));
    let none = [("SCENARIOS", "all"), ("SEED", ""), ("LAKE", ""), ("TWICE", "false"), ("REPORT", "r")];
    let (arguments, code) = run_step(none, "exit 0");
    assert_eq!(arguments, ["run", "all", "--junit", "r/junit.xml", "--report", "r"]);
    assert_eq!(code, Some(0));
}

#[test]
fn readme_shows_the_example_and_the_example_fits_the_action() {
    let readme = text("README.md");
    assert!(readme.contains(&format!("```yaml\n{}```", text(EXAMPLE))), "README.md does not show {EXAMPLE}");
    let example = yaml(EXAMPLE);
    let steps = example["jobs"]["scenarios"]["steps"].as_sequence().expect("steps");
    let step = steps.last().expect("a step");
    assert!(step["uses"].as_str().is_some_and(|uses| uses.contains("/.github/actions/lakebed@")));
    let action = yaml(ACTION);
    let unknown: Vec<&str> = keys(&step["with"]).difference(&keys(&action["inputs"])).copied().collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

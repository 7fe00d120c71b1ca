//! `lakebed up --stores-only` as its users meet it: boto3 and PyIceberg against the exported variables.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::command_line::{exported, interrupt, lakebed};
use crate::oracle;

#[test]
fn boto3_and_pyiceberg_work_with_what_up_prints() {
    let Some(python) = oracle::python() else { return };
    let folder = tempfile::tempdir().expect("temp dir");
    let mut up = lakebed(folder.path(), &["up", "--stores-only", "--port", "0", "--state-dir", "state"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let lines = BufReader::new(up.stdout.take().expect("piped")).lines().map_while(Result::ok);
    let exports: Vec<(String, String)> = lines.take(6).filter_map(|line| exported(&line)).collect();
    assert_eq!(exports.len(), 6, "{exports:?}");
    let endpoint = &exports.iter().find(|(name, _)| name == "AWS_ENDPOINT_URL").expect("the endpoint").1;
    let output = oracle::run(&python, "stores.py", &[endpoint]);
    interrupt(&up);
    let stopped = up.wait_with_output().expect("ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(stopped.status.success(), "Ctrl-C is how `up` ends: {}", String::from_utf8_lossy(&stopped.stderr));
}

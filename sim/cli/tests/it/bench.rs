//! `lakebed bench` and `lakebed report` on the real binary: answers are checked, records written, reports regenerated.

use serde_json::Value;

use crate::command_line::lakebed;

const CONVERT: &str = r#"
question = "How long?"
note = "A test."
work = "csv-to-parquet"
seed = 7
contenders = ["lakebed-lite", "inflate", "duckdb"]
[size.smoke]
scale = 0.000_1
warm_up = 0
samples = 2
expect = { rows = 159, plain_bytes = PLAIN_BYTES }
"#;

#[test]
fn a_right_answer_becomes_a_record_and_a_report_and_a_wrong_one_a_failure() {
    let folder = tempfile::tempdir().expect("temp dir");
    let run = |plain_bytes: &str| {
        std::fs::write(folder.path().join("mine.toml"), CONVERT.replace("PLAIN_BYTES", plain_bytes)).expect("written");
        let arguments = [
            "bench",
            "--definition",
            "mine.toml",
            "--size",
            "smoke",
            "--record",
            "reports",
            "--label",
            "test",
            "--json",
        ];
        lakebed(folder.path(), &arguments).output().expect("the binary starts")
    };
    // The generator itself is held to the definition before anybody is measured; its refusal tells the right number.
    let wrong = run("1");
    let stderr = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(!wrong.status.success() && stderr.contains("`plain_bytes` is"), "{stderr}");
    let right = stderr.split("`plain_bytes` is ").nth(1).and_then(|rest| rest.split(',').next()).expect("a number");

    let output = run(right);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let record: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let contenders = &record["benchmarks"][0]["contenders"];
    for (at, samples) in [(0, 2), (1, 2)] {
        let measured = contenders[at]["outcome"]["measured"]["samples"].as_array().expect("measured");
        assert_eq!(measured.len(), samples, "{contenders}");
        assert!(measured[0]["cpu_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{contenders}");
    }
    let missing = contenders[2]["outcome"]["missing"]["reason"].as_str().expect("duckdb is not there");
    assert!(missing.contains("make bench-report"), "{missing}");

    let page = std::fs::read_to_string(folder.path().join("reports/README.md")).expect("a page");
    assert!(page.contains("lakebed-lite") && page.contains("duckdb was not run"), "{page}");
    let check = |expect: i32| {
        let output = lakebed(folder.path(), &["report", "reports", "--check"]).output().expect("starts");
        assert_eq!(output.status.code(), Some(expect), "{}", String::from_utf8_lossy(&output.stderr));
    };
    check(0);
    std::fs::write(folder.path().join("reports/README.md"), "better").expect("edited");
    check(1);
    assert!(lakebed(folder.path(), &["report", "reports"]).status().expect("starts").success());
    check(0);
}

#[test]
fn our_stores_are_measured_as_a_server_of_their_own() {
    let folder = tempfile::tempdir().expect("temp dir");
    let arguments =
        ["bench", "dynamodb-conditional-put", "dynamodb-conditional-update-16", "--size", "smoke", "--json"];
    let output = lakebed(folder.path(), &arguments).output().expect("starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let record: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let benchmarks = record["benchmarks"].as_array().expect("benchmarks");
    let names: Vec<_> = benchmarks.iter().map(|one| (one["name"].as_str(), one["connections"].as_u64())).collect();
    let expect = [("dynamodb-conditional-put", 1), ("dynamodb-conditional-update-16", 16)];
    assert_eq!(names, expect.map(|(name, connections)| (Some(name), Some(connections))));
    for (benchmark, (at, name, role)) in
        benchmarks.iter().flat_map(|one| [(one, (0, "lakebed", "ours")), (one, (1, "floor", "floor"))])
    {
        let contender = &benchmark["contenders"][at];
        assert_eq!((&contender["name"], &contender["role"]), (&Value::from(name), &Value::from(role)));
        let sample = &contender["outcome"]["measured"]["samples"][0];
        assert!(sample["figures"]["p50_us"].as_f64().is_some_and(|us| us > 0.0), "{record}");
    }
    assert!(!folder.path().join("reports").exists(), "nothing is written unless asked");
}

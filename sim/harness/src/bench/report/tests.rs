//! Reports over records made by hand: what is shown, what is said about absences, and that the same records give the same bytes.

use std::collections::BTreeMap;

use super::super::definition::{Operation, Size, Value, Work};
use super::super::record::{
    Benchmark, Build, ContenderResult, FORMAT, Machine, MicroResult, Outcome, Record, Role, Sample,
};
use super::*;

fn sample(wall_ms: f64) -> Sample {
    let figures = BTreeMap::from([("inside_ms".to_owned(), wall_ms / 2.0)]);
    Sample { wall_ms, cpu_ms: Some(wall_ms * 1.5), peak_rss_bytes: Some(64 << 20), figures }
}

fn record(date: &str, ours_ms: f64) -> Record {
    let contender = |name: &str, role: Role, outcome: Outcome| ContenderResult {
        name: name.to_owned(),
        role,
        remark: "one core".to_owned(),
        version: "1".to_owned(),
        outcome,
    };
    let measured = |ms: f64| Outcome::Measured { samples: vec![sample(ms), sample(ms + 20.0), sample(ms + 10.0)] };
    Record {
        format: FORMAT,
        date: date.to_owned(),
        label: "test".to_owned(),
        size: Size::Smoke,
        machine: Machine {
            cores: 2,
            memory_bytes: 24 << 30,
            cpu: "a <CPU>".to_owned(),
            os: "Linux 6".to_owned(),
            arch: "x86_64".to_owned(),
            load_before: Some(0.1),
        },
        build: Build {
            version: "0.1.0".to_owned(),
            commit: "abc".to_owned(),
            rustc: "rustc 1".to_owned(),
            profile: "dev".to_owned(),
        },
        benchmarks: vec![Benchmark {
            name: "csv-to-parquet".to_owned(),
            question: "How long?".to_owned(),
            note: "Mind the gap.".to_owned(),
            work: Work::CsvToParquet,
            operation: None,
            seed: 7,
            scale: Some(0.001),
            operations: None,
            connections: 1,
            warm_up: 1,
            expect: BTreeMap::from([("rows".to_owned(), Value::Number(1_587))]),
            input: BTreeMap::from([("plain_bytes".to_owned(), 1_000_000)]),
            contenders: vec![
                contender("lakebed-lite", Role::Ours, measured(ours_ms)),
                contender("duckdb", Role::Theirs, Outcome::Missing { reason: "no network".to_owned() }),
                contender("polars", Role::Theirs, Outcome::Failed { reason: "wrong answer".to_owned() }),
            ],
        }],
        micro: vec![MicroResult {
            name: "mask/token".to_owned(),
            median_ns: 2e6,
            low_ns: 1e6,
            high_ns: 3e6,
            elements: Some(1_000),
            bytes: None,
        }],
    }
}

#[test]
fn a_report_shows_numbers_absences_failures_and_history() {
    let folder = tempfile::tempdir().expect("a folder");
    let reports = folder.path().join("reports");
    record("2026-11-26", 200.0).write(&reports).expect("written");
    record("2026-11-27", 100.0).write(&reports).expect("written");
    std::fs::write(folder.path().join("README.md"), format!("# x\n{BEGIN_MARK}\nold\n{END_MARK}\nend\n"))
        .expect("written");

    let written = write(&reports).expect("rendered");
    assert_eq!(written.len(), 6, "two pages, two plots, the folder's page, the README: {written:?}");
    let page = std::fs::read_to_string(reports.join("README.md")).expect("a page");
    for text in [
        "| lakebed-lite | 1 | 3 | 0.110 (0.100 to 0.120) | 0.165 (0.150 to 0.180) | 64.0 | 9.09 | one core; without its start 0.055 s |",
        "* duckdb was not run: no network",
        "* **polars failed**: wrong answer",
        "| mask/token | 2.00 (1.00 to 3.00) | 500,000 /s |",
        "| csv-to-parquet | lakebed-lite | 0.210 | 0.110 |",
        "Right answer: rows = 1587.",
    ] {
        assert!(page.contains(text), "no `{text}` in:\n{page}");
    }
    let svg = std::fs::read_to_string(reports.join("2026-11-27-test/csv-to-parquet.svg")).expect("a plot");
    assert!(svg.contains(">lakebed-lite</text>") && !svg.contains("duckdb"), "{svg}");
    let readme = std::fs::read_to_string(folder.path().join("README.md")).expect("a README");
    assert!(readme.starts_with("# x\n") && readme.ends_with("end\n") && !readme.contains("old"), "{readme}");
    let row = "| csv-to-parquet | lakebed-lite 1 0.110 s (0.165 s, 64.0 MiB) | duckdb 1 not run<br>polars 1 failed |";
    assert!(readme.contains(row), "{readme}");
    assert_eq!(stale(&reports).expect("readable"), Vec::<String>::new(), "same records, same bytes");
}

/// A store over so many connections, with its floor.
fn store(connections: u32) -> Record {
    let mut record = record("2026-11-27", 100.0);
    let benchmark = &mut record.benchmarks[0];
    benchmark.name = "s3-put-4k".to_owned();
    (benchmark.work, benchmark.operation) = (Work::Store, Some(Operation::S3Put4k));
    (benchmark.scale, benchmark.operations, benchmark.connections) = (None, Some(9), connections);
    let outcome = |rate: f64| {
        let figures = [("calls", 9.0), ("calls_per_s", rate), ("p50_us", 80.0), ("p99_us", 90.0)];
        let figures = figures.map(|(name, figure)| (name.to_owned(), figure)).into();
        Outcome::Measured { samples: vec![Sample { wall_ms: 100.0, cpu_ms: Some(1.8), peak_rss_bytes: None, figures }] }
    };
    benchmark.contenders[0].outcome = outcome(700.0);
    let mut floor = benchmark.contenders[0].clone();
    (floor.name, floor.role, floor.outcome) = ("floor".to_owned(), Role::Floor, outcome(9_000.0));
    floor.remark = "stores nothing; not checked".to_owned();
    benchmark.contenders.push(floor);
    record
}

#[test]
fn a_stores_report_tells_its_connections_and_its_floor_apart_from_those_who_store() {
    for (connections, on_page, in_plot, in_readme) in [
        (1, ["9 operations a round, seed", "| calls/s | p50"], "median time of a call, µs; shorter", "80.0 µs a call"),
        (
            16,
            ["9 operations a round over 16 connections, seed", "| calls/s over 16 connections | p50"],
            "calls per second over 16 connections; longer",
            "700 calls/s",
        ),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        store(connections).write(folder.path()).expect("written");
        let report = render(folder.path()).expect("rendered");
        let page = &report.files["2026-11-27-test/README.md"];
        assert!(on_page.iter().all(|text| page.contains(text)), "{on_page:?} in {page}");
        assert!(page.contains("| floor |") && page.contains("| stores nothing; not checked |"), "{page}");
        let svg = &report.files["2026-11-27-test/s3-put-4k.svg"];
        assert!(svg.contains(in_plot) && svg.contains("class=\"floor\""), "{svg}");
        let short = summary::table(&store(connections));
        assert!(short.contains(in_readme) && !short.contains("floor"), "{short}");
        // 1.8 ms of CPU for nine calls, whatever their rate.
        assert!(short.contains("200 µs"), "{short}");
        assert!(!report.files["README.md"].contains("| s3-put-4k | floor |"), "it has no history");
    }
}

#[test]
fn a_report_that_was_edited_or_left_behind_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let reports = folder.path().join("reports");
    let dir = record("2026-11-27", 100.0).write(&reports).expect("written");
    write(&reports).expect("rendered");
    std::fs::write(reports.join("README.md"), "better numbers").expect("edited");
    std::fs::write(dir.join("gone.svg"), "<svg/>").expect("left behind");
    assert_eq!(stale(&reports).expect("readable"), ["2026-11-27-test/gone.svg", "README.md"]);
    write(&reports).expect("mended");
    assert_eq!(stale(&reports).expect("readable"), Vec::<String>::new());

    let path = dir.join("record.json");
    let text = std::fs::read_to_string(&path).expect("a record");
    let older = text.replacen("\"connections\": 1,", "", 1);
    assert_ne!(older, text);
    std::fs::write(&path, older).expect("as it was before there were several");
    assert_eq!(Record::read(&path).expect("still read"), record("2026-11-27", 100.0));
    let text = text.replacen("\"seed\"", "\"sede\"", 1);
    std::fs::write(&path, text).expect("broken");
    let error = stale(&reports).expect_err("an unknown member").to_string();
    assert!(error.contains("record.json") && error.contains("sede"), "{error}");
}

#[test]
fn a_folder_without_records_and_a_readme_with_one_mark_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    assert!(render(folder.path()).expect_err("no records").to_string().contains("record.json"));
    assert!(splice(END_MARK, "t").is_err() && splice(&format!("{END_MARK}{BEGIN_MARK}"), "t").is_err());
    assert_eq!(splice("no marks", "t").expect("fine"), None);
}

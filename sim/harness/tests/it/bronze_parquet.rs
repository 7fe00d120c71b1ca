//! Bronze and quarantine files in the eyes of others: PyArrow, DuckDB and, where it is installed, PySpark.
//!
//! The engine's own tests read its files with the library that wrote them. Here each file lies beside what its input held, written
//! down from the input alone, and `oracles/bronze_parquet.py` compares values, row groups, statistics, page index, bloom filters
//! and reads of key ranges. The oracles' Python has PyArrow, to which DuckDB is lent as a library; PySpark comes from the
//! benchmarks' tools and is left out where those are missing.

mod cases;

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use lakebed_contract::{ColumnType, TableContract};
use lakebed_ingest::engine::{Compression, Job, LITE_THREADS, ROW_GROUP_ROWS_MAX, ingest};
use lakebed_mask::{MaskKey, Masker};
use serde_json::{Value, json};

use self::cases::Case;

const GENERATION: u32 = 3;
/// 2023-11-14T22:13:20.000001Z, in microseconds.
const LAST_MODIFIED: i64 = 1_700_000_000_000_001;
const SOURCE_OBJECT: &str = "s3://dm-stage/raw/kinds/é.csv";

#[test]
fn other_readers_find_in_our_files_what_the_input_held() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let python = tool(&root, "LAKEBED_PYTHON_DIR", ".lakebed/python", "bin/python");
    let required = std::env::var("LAKEBED_REQUIRE_ORACLES").is_ok_and(|value| value == "1");
    assert!(!required || python.exists(), "no PyArrow at {}; run .ci/setup oracles", python.display());
    let folder = tempfile::tempdir().expect("a folder");
    for case in [cases::kinds(), cases::sample("review"), cases::sample("beer")] {
        write(folder.path(), &case);
    }
    if python.exists() {
        let library = tool(&root, "DUCKDB_LIB_DIR", ".lakebed/duckdb", library_name());
        let told = compare(&python, folder.path(), Some(&library));
        assert!(told["readers"]["pyarrow"].is_string(), "{told}");
        assert_eq!(told["readers"]["duckdb"].is_string(), library.exists(), "{told}");
        // With one alone nothing would show whether the right row groups are left out.
        assert_eq!(told["files"]["kinds"]["row_groups"], 2, "{told}");
        assert_eq!(told["files"].as_object().map(serde_json::Map::len), Some(6), "{told}");
        eprintln!("read by {}", told["readers"]);
    } else {
        eprintln!("SKIPPED: no PyArrow at {}; `make test` installs it", python.display());
    }
    let tools = tool(&root, "LAKEBED_BENCH_DIR", ".lakebed/bench", "python/bin/python");
    if tools.exists() {
        let told = compare(&tools, folder.path(), None);
        eprintln!("read by {}, not by {}", told["readers"], told["missing"]);
    } else {
        eprintln!("SKIPPED: no PySpark at {}; `.ci/setup bench` installs it", tools.display());
    }
}

/// A file of a folder that a variable names, or that has a place in the workspace.
fn tool(root: &Path, variable: &str, place: &str, file: &str) -> PathBuf {
    root.join(std::env::var_os(variable).map_or_else(|| PathBuf::from(place), PathBuf::from)).join(file)
}

fn library_name() -> &'static str {
    if cfg!(target_os = "macos") { "libduckdb.dylib" } else { "libduckdb.so" }
}

/// Lets a Python compare everything in the folder; gives what it has told.
fn compare(python: &Path, folder: &Path, duckdb: Option<&Path>) -> Value {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/bronze_parquet.py");
    let mut command = Command::new(python);
    // The scripts are several; their compiled form does not belong into the sources.
    command.arg("-B").arg(script);
    if let Some(library) = duckdb {
        command.arg("--duckdb-library").arg(library);
    }
    let output = command.arg(folder).output().expect("python starts");
    let (told, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {told}{errors}", output.status);
    // Java has its say first.
    serde_json::from_str(told.lines().last().unwrap_or_default()).expect("one JSON object")
}

/// Ingests a case, and writes down what its two files should hold.
fn write(folder: &Path, case: &Case) {
    let bronze = folder.join(format!("{}.parquet", case.name));
    let quarantine = folder.join(format!("{}-quarantine.parquet", case.name));
    let masker = Masker::new(MaskKey::new(1, [7; 32])).for_table(&case.table, &case.policy).expect("mask plan");
    let job = Job {
        table: &case.table,
        masker: &masker,
        format: &case.format,
        compression: Compression::Plain,
        generation: GENERATION,
        last_modified: LAST_MODIFIED,
        source_object: SOURCE_OBJECT,
        threads: LITE_THREADS,
    };
    let open = |path: &Path| BufWriter::new(File::create(path).expect("a file"));
    let (mut good, mut bad) = (open(&bronze), open(&quarantine));
    let outcome = ingest(case.csv.as_slice(), &mut good, &mut bad, &job, &mut |_| ()).expect("readable");
    good.flush().expect("written");
    bad.flush().expect("written");
    let (rows_good, rows_bad) = (case.good.len() as u64, case.bad.len() as u64);
    let counts = (outcome.rows_in, outcome.rows_good, outcome.rows_bad);
    assert_eq!(counts, (rows_good + rows_bad, rows_good, rows_bad), "{}", case.name);

    let marks = marks(case);
    let rows = case.good.iter().map(|cells| Value::Array([cells.as_slice(), marks.as_slice()].concat()));
    expect(&bronze, true, &bronze_columns(&case.table), rows);
    let bad = case.bad.iter();
    let rows = bad.map(|(row, offset, rule, reason)| json!([SOURCE_OBJECT, row, offset, rule, reason, "load"]));
    expect(&quarantine, false, &quarantine_columns(), rows);
}

/// What stands in every bronze row behind the columns of the contract.
fn marks(case: &Case) -> Vec<Value> {
    let mut marks = vec![json!("load"), json!(GENERATION), json!(0), json!(0), json!(LAST_MODIFIED)];
    marks.extend(case.table.key_columns().map(|_| Value::Null));
    marks.push(json!(case.absent));
    marks
}

/// Writes what a file should hold beside it.
fn expect(file: &Path, bloom_filters: bool, columns: &[Value], rows: impl Iterator<Item = Value>) {
    let path = file.with_extension("jsonl");
    let mut lines = BufWriter::new(File::create(path).expect("a file"));
    let about = json!({
        "columns": columns, "row_group_rows": ROW_GROUP_ROWS_MAX, "compression": "ZSTD", "created_by": "lakebed",
        "bloom_filters": bloom_filters,
    });
    writeln!(lines, "{about}").expect("written");
    rows.for_each(|row| writeln!(lines, "{row}").expect("written"));
    lines.flush().expect("written");
}

fn bronze_columns(table: &TableContract) -> Vec<Value> {
    let mut columns = Vec::new();
    for column in &table.columns {
        let (kind, is_key) = (column.column_type, column.is_key);
        let mut described = described(&column.name, kind, is_key);
        let is_whole = matches!(kind, ColumnType::Integer | ColumnType::Bigint);
        if kind == ColumnType::Timestamptz || (is_key && is_whole) {
            described["encoding"] = json!("DELTA_BINARY_PACKED");
        }
        columns.push(described);
    }
    columns.push(described("_operation", ColumnType::Text, false));
    for (name, kind) in [
        ("_generation", ColumnType::Integer),
        ("_commit_lsn", ColumnType::Bigint),
        ("_ordinal", ColumnType::Bigint),
        ("_commit_timestamp", ColumnType::Timestamptz),
    ] {
        let mut described = described(name, kind, false);
        described["encoding"] = json!("DELTA_BINARY_PACKED");
        columns.push(described);
    }
    columns.extend(table.key_columns().map(|key| described(&format!("_old_{}", key.name), key.column_type, false)));
    columns.push(described("_absent", ColumnType::Text, false));
    columns
}

fn quarantine_columns() -> Vec<Value> {
    // Row numbers are no key, but ranges of them are worth a look.
    vec![
        described("source_object", ColumnType::Text, false),
        described("row_number", ColumnType::Bigint, true),
        described("source_offset", ColumnType::Bigint, false),
        described("rule", ColumnType::Text, false),
        described("reason", ColumnType::Text, false),
        described("_operation", ColumnType::Text, false),
    ]
}

fn described(name: &str, kind: ColumnType, is_key: bool) -> Value {
    json!({"name": name, "type": kind.to_string(), "key": is_key})
}

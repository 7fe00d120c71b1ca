//! Quality rules of a contract: each metric over an object, what a broken rule does by its severity, and that neither threads
//! nor blocks change the answer.

use lakebed_contract::TableContract;
use lakebed_ingest::engine::EngineError;
use serde_json::{Value, json};

use crate::bench::{Bench, outcome_in_blocks, rows};

/// A table `t` with rules of its own, and of each of the columns `id`, `a` (text with a class), `n` and `d`.
fn table(of_table: &str, rules: [&str; 4]) -> TableContract {
    let columns = [
        ("id", "physicalType: bigint, primaryKey: true"),
        ("a", "physicalType: text, classification: email"),
        ("n", "physicalType: integer"),
        ("d", "physicalType: 'numeric(3,1)'"),
    ];
    let columns = columns.iter().zip(rules);
    let columns = columns.map(|((name, of), rules)| format!("      - {{name: {name}, {of}, quality: [{rules}]}}\n"));
    let text = format!(
        "apiVersion: v3.1.0\nkind: DataContract\nversion: 1.0.0\nschema:\n  - name: t\n    physicalName: s.t\n    \
         quality: [{of_table}]\n    properties:\n{}",
        columns.collect::<String>()
    );
    TableContract::from_odcs_yaml("t.yaml", &text).expect("valid contract")
}

/// Six good rows and a bad one.
const ROWS: &str = "id,a,n,d\n1,x@example.com,1,4.5\n2,y@example.com,,4.0\n3,,1,4.7\n4,x@example.com,2,\n5,\"\",2,1\nbad,,1,1\n6,z,1,1\n";

/// What is said of `text` in blocks of so many bytes: the broken rules that let it pass, or why it is refused.
fn told_in(table: &TableContract, text: &str, threads: usize, block_bytes: usize) -> Result<Vec<String>, String> {
    match outcome_in_blocks(table, text, threads, block_bytes) {
        Ok(outcome) => Ok(outcome.broken_rules),
        Err(EngineError::Unreadable { reason }) => Err(reason),
        Err(other) => panic!("not the object's fault: {other}"),
    }
}

/// The same, from however many threads and blocks.
#[track_caller]
fn told(table: &TableContract, text: &str) -> Result<Vec<String>, String> {
    let told = told_in(table, text, 1, 1 << 20);
    for threads in [1, 2, 8] {
        for block_bytes in [16, 64, 1 << 20] {
            let again = told_in(table, text, threads, block_bytes);
            assert_eq!(again, told, "{threads} threads, blocks of {block_bytes}");
        }
    }
    told
}

/// Asks one column or the table (`place` 4) for a number that is not there, and wants the one that is.
#[track_caller]
fn check(text: &str, place: usize, metric: &str, unit: &str, is: &str) {
    let rule = format!("{{metric: {metric}, mustBe: 77, unit: {unit}}}");
    let mut rules = [""; 5];
    rules[place] = &rule;
    let table = table(rules[4], [rules[0], rules[1], rules[2], rules[3]]);
    let reason = told(&table, text).expect_err("broken");
    assert!(reason.starts_with("in table `t` ") && reason.ends_with(&format!(", but is {is}")), "{reason}");
}

#[test]
fn each_metric_counts_the_good_rows() {
    check(ROWS, 4, "rowCount", "rows", "6");
    check(ROWS, 1, "nullValues", "rows", "1 (of 6 rows)");
    check(ROWS, 2, "nullValues", "percent", "16.67 percent (1 of 6 rows)");
    check(ROWS, 1, "missingValues, arguments: {missingValues: ['', z]}", "rows", "2 (of 6 rows)");
    check(ROWS, 1, "missingValues, arguments: {missingValues: [null, '']}", "rows", "2 (of 6 rows)");
    check(ROWS, 1, "invalidValues, arguments: {pattern: '^[a-z]+@example[.]com$'}", "rows", "2 (of 6 rows)");
    check(ROWS, 1, "invalidValues, arguments: {validValues: [z, '']}", "percent", "50.00 percent (3 of 6 rows)");
    check(ROWS, 2, "invalidValues, arguments: {validValues: [2, 3]}", "rows", "3 (of 6 rows)");
    check(ROWS, 3, "invalidValues, arguments: {validValues: [4, 4.5, 1]}", "rows", "1 (of 6 rows)");
    check(ROWS, 3, "missingValues, arguments: {missingValues: [1.0]}", "rows", "2 (of 6 rows)");
    check(ROWS, 0, "duplicateValues", "rows", "0 (of 6 rows)");
    check(ROWS, 1, "duplicateValues", "rows", "1 (of 6 rows)");
    check(ROWS, 2, "duplicateValues", "rows", "3 (of 6 rows)");
    check(ROWS, 4, "duplicateValues, arguments: {properties: [n, d]}", "rows", "0 (of 6 rows)");
    let repeated = ROWS.replace("6,z,1,1", "6,z,2,1.0");
    check(&repeated, 4, "duplicateValues, arguments: {properties: [n, d]}", "rows", "1 (of 6 rows)");
}

#[test]
fn of_no_rows_nothing_is_found() {
    check("id,a,n,d\n", 4, "rowCount", "rows", "0");
    check("id,a,n,d\n", 1, "nullValues", "percent", "0.00 percent (0 of 0 rows)");
    check("id,n,d\n1,1,1\n", 1, "nullValues", "rows", "0 (of 0 rows)");
}

#[test]
fn severity_decides_whether_the_object_is_published() {
    let rule = |severity: &str| format!("{{metric: nullValues, mustBe: 0, severity: {severity}}}");
    let (warning, info, error) = (rule("warning"), rule("info"), rule("error"));
    let passing = table("{metric: rowCount, mustBeGreaterThan: 5}", ["", &warning, &info, ""]);
    let lines = [
        "warning: in table `t` nullValues of `a` must be 0, but is 1 (of 6 rows)",
        "info: in table `t` nullValues of `n` must be 0, but is 1 (of 6 rows)",
    ];
    assert_eq!(told(&passing, ROWS).expect("published"), lines);
    let run = Bench { table: passing, ..Bench::csv("brewery") }.run(ROWS.as_bytes()).expect("published");
    assert_eq!((rows(&run.bronze, &["id"]).lines().count(), run.outcome.rows_bad), (6, 1));

    let refused = table("{metric: rowCount, mustBeBetween: [6, 9]}", ["", &warning, &error, ""]);
    let reason = told(&refused, ROWS).expect_err("two rules are broken that do not let it pass");
    assert_eq!(
        reason,
        "in table `t` rowCount must be greater than 6 and less than 9, but is 6; \
         in table `t` nullValues of `n` must be 0, but is 1 (of 6 rows)"
    );
}

#[test]
fn rules_look_at_raw_values_and_tell_none() {
    let rules = "{metric: invalidValues, mustBe: 0, arguments: {pattern: '^[^@]+@example.com$'}}";
    let table = table("", ["", rules, "", ""]);
    assert_eq!(told(&table, "id,a,n,d\n1,ana.lima@example.com,1,1\n"), Ok(Vec::new()));
    let reason = told(&table, "id,a,n,d\n1,ana.lima@example.org,1,1\n").expect_err("invalid");
    assert!(!reason.contains("ana") && !reason.contains('@'), "{reason}");
}

/// A record of an operation, the `at`th of its transaction.
fn record(operation: &str, data: Value, at: u32) -> String {
    let mut metadata = json!({"timestamp": "2024-07-29T00:59:07Z", "record-type": "data", "operation": operation,
        "partition-key-type": "schema-table", "schema-name": "s", "table-name": "t"});
    if operation != "load" {
        metadata["commit-timestamp"] = "2024-07-29T00:59:07Z".into();
        metadata["stream-position"] = format!("00000002/7C0073F8.{at}.00000002/7C0073F8").into();
    }
    format!("{}\n", json!({"data": data, "metadata": metadata}))
}

#[test]
fn changes_are_looked_at_where_they_say_something() {
    let load = |id: u32| record("load", json!({"id": id, "a": null, "n": 1, "d": 1}), 0);
    let unique = table("", ["{metric: duplicateValues, mustBe: 0}", "", "", ""]);
    assert_eq!(told(&unique, &(load(1) + &load(2))), Ok(Vec::new()));
    check(&[load(1), load(2), load(1)].concat(), 0, "duplicateValues", "rows", "1 (of 3 rows)");

    // An absent column is not NULL, and a delete says a key and no more.
    let changes = [
        record("insert", json!({"id": 1, "a": null, "n": 1, "d": 1}), 1),
        record("update", json!({"id": 1, "n": 2, "d": null}), 2),
        record("delete", json!({"id": 1, "a": null, "n": null, "d": null}), 3),
    ]
    .concat();
    check(&changes, 4, "rowCount", "rows", "3");
    check(&changes, 1, "nullValues", "rows", "1 (of 1 rows)");
    check(&changes, 3, "nullValues", "rows", "1 (of 2 rows)");
    check(&changes, 0, "duplicateValues", "rows", "0 (of 0 rows)");
}

#[test]
fn many_rows_in_many_blocks_are_counted_once() {
    let text: String = (0..30_000).map(|id| format!("{},u{}@example.com,{},1\n", id % 29_000, id, id % 7)).collect();
    let text = format!("id,a,n,d\n{text}");
    let rules = [1_000, 0, 29_993].map(|count| format!("{{metric: duplicateValues, mustBe: {count}}}"));
    let table = table("{metric: rowCount, mustBe: 30000}", [&rules[0], &rules[1], &rules[2], ""]);
    for threads in [1, 2, 8] {
        for block_bytes in [4_096, 1 << 20] {
            assert_eq!(told_in(&table, &text, threads, block_bytes), Ok(Vec::new()), "{threads} threads");
        }
    }
}

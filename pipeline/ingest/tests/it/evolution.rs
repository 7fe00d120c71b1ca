//! Cases 28 and 29 where the contract knows former names or a control record brings its details: what fills a column, what is
//! told, and what is quarantined. Knows the table `brewery` only.

use lakebed_ingest::engine::EngineError;
use serde_json::{Value, json};

use crate::bench::{Bench, Run, rows, rules};

const BREWERY: [&str; 5] = ["brewery_id", "brewery_name", "city", "state", "_absent"];

/// With a `city` that was called `town` and `place`, and a key that was called `id`.
fn with_former_names(mut bench: Bench) -> Bench {
    for column in &mut bench.table.columns {
        match column.name.as_str() {
            "city" => column.former_names = vec!["town".to_owned(), "place".to_owned()],
            "brewery_id" => column.former_names = vec!["id".to_owned()],
            _ => {}
        }
    }
    bench
}

fn record(record_type: &str, operation: &str, members: Value) -> String {
    let mut record = members;
    record["metadata"] = json!({
        "timestamp": "2024-07-29T00:59:07.686557Z", "record-type": record_type, "operation": operation,
        "partition-key-type": "schema-table", "schema-name": "dm_core", "table-name": "brewery",
        "commit-timestamp": "2024-07-29T00:59:07.5Z", "stream-position": "00000002/7C0073F8.3.00000002/7C0073F8",
    });
    format!("{record}\n")
}

fn row(operation: &str, data: Value) -> String {
    record("data", operation, json!({"data": data}))
}

/// A table event with the definition that agrees with the contract, changed by `change`.
fn event(operation: &str, change: impl FnOnce(&mut Value)) -> String {
    let text = || json!({"type": "STRING", "nullable": true});
    let mut columns = json!({
        "brewery_id": {"type": "INT64", "nullable": false}, "brewery_name": text(), "city": text(), "state": text(),
    });
    change(&mut columns);
    let control = json!({"table-def": {"columns": columns, "primary-key": ["brewery_id"]}});
    record("control", operation, json!({"control": control}))
}

fn rename(columns: &mut Value, from: &str, to: &str) {
    let definition = columns.as_object_mut().and_then(|columns| columns.remove(from)).expect("a column");
    columns[to] = definition;
}

#[track_caller]
fn ingest(bench: &Bench, text: &str) -> Run {
    bench.run(text.as_bytes()).expect("readable")
}

/// What becomes of an object of one table event: bad and dropped records, and what is told of the table.
#[track_caller]
fn told(bench: &Bench, event: &str) -> (u64, u64, String) {
    let run = ingest(bench, event);
    assert_eq!(run.outcome.rows_in, 1);
    assert_eq!(rules(&run), if run.outcome.rows_bad > 0 { "1:schema-conflict" } else { "" });
    let changes: Vec<String> = run.outcome.schema_changes.iter().cloned().collect();
    if run.outcome.rows_bad > 0 {
        assert_eq!(rows(&run.quarantine, &["reason"]), format!("{}\n", changes.join("; ")));
    }
    (run.outcome.rows_bad, run.outcome.rows_dropped(), changes.join("; "))
}

#[test]
fn case_28_a_control_record_tells_of_the_new_column_and_costs_nothing() {
    let bench = Bench::json("brewery");
    let new = row("insert", json!({"brewery_id": 2, "brewery_name": "B", "city": "X", "state": "Y", "ibu": 40}));
    let event = event("add-column", |columns| columns["ibu"] = json!({"type": "INT32", "nullable": true}));
    for text in [format!("{event}{new}{event}"), format!("{new}{event}{event}")] {
        let run = ingest(&bench, &text);
        assert_eq!((run.outcome.rows_good, run.outcome.rows_dropped(), run.outcome.extra_values), (1, 2, 1));
        let changes: Vec<_> = run.outcome.schema_changes.iter().collect();
        assert!(matches!(changes[..], [one] if one.contains("`ibu` (INT32) is new")), "{changes:?}");
    }
    let (bad, dropped, change) = told(&bench, &record("control", "add-column", json!({})));
    assert!((bad, dropped) == (0, 1) && change.contains("IncludeControlDetails"), "{change}");
    // Of another table it says nothing here.
    assert_eq!(told(&bench, &event.replace("\"brewery\"", "\"beer\"")), (0, 1, String::new()));
}

#[test]
fn case_29_a_renamed_column_is_filled_from_its_former_names() {
    let bench = with_former_names(Bench::json("brewery"));
    let text = [
        row("insert", json!({"brewery_id": 1, "brewery_name": "A", "city": "X", "state": "Y"})),
        row("insert", json!({"brewery_id": 2, "brewery_name": "B", "town": "X", "state": "Y"})),
        row("insert", json!({"id": 3, "brewery_name": "C", "place": null, "state": "Y", "more": 1})),
        row("insert", json!({"brewery_id": 4, "brewery_name": "D", "city": "X", "state": "Y", "town": "X"})),
        row("insert", json!({"brewery_id": 5, "brewery_name": "E", "city": "X", "state": "Y", "town": "Z"})),
        row("insert", json!({"brewery_id": 6, "brewery_name": "F", "place": "X", "state": "Y", "town": null})),
        row("delete", json!({"id": 7})),
    ];
    let run = ingest(&bench, &text.concat());
    let expected = "1|A|X|Y|∅\n2|B|X|Y|∅\n3|C|∅|Y|∅\n4|D|X|Y|∅\n7|∅|∅|∅|brewery_name,city,state\n";
    assert_eq!(rows(&run.bronze, &BREWERY), expected);
    assert_eq!(rules(&run), "5:schema-conflict 6:schema-conflict");
    assert_eq!(run.outcome.extra_values, 1, "`more`, and no former name");
    assert!(!rows(&run.quarantine, &["reason"]).contains('Z'), "no value is told");
    // The old key, too.
    let data = json!({"brewery_id": 8, "brewery_name": "G"});
    for (before, old) in [(json!({"id": 46}), "46\n"), (json!({"brewery_id": 46, "id": 46}), "46\n")] {
        let run = ingest(&bench, &record("data", "update", json!({"data": data, "before-image": before})));
        assert_eq!(rows(&run.bronze, &["_old_brewery_id"]), old);
    }
    let before = json!({"brewery_id": 46, "id": 47});
    let run = ingest(&bench, &record("data", "update", json!({"data": data, "before-image": before})));
    assert_eq!(rules(&run), "1:schema-conflict");
}

#[test]
fn case_29_a_csv_header_may_have_former_names_but_one_of_a_column() {
    let bench = with_former_names(Bench::csv("brewery"));
    let run = ingest(&bench, "id,place,more,brewery_name\n1,X,7,A\n");
    assert_eq!(rows(&run.bronze, &BREWERY), "1|A|X|∅|state\n");
    assert_eq!(run.outcome.extra_values, 1);
    for header in ["brewery_id,brewery_name,city,town", "brewery_id,brewery_name,place,town"] {
        match bench.run(format!("{header}\n1,A,X,X\n").as_bytes()) {
            Err(EngineError::Unreadable { reason }) => {
                assert!(reason.contains("column `city` twice") && reason.contains("`town`"), "{reason}");
            }
            other => panic!("{:?}", other.map(|run| run.outcome)),
        }
    }
    // Without the former name the old column is one that the contract does not have.
    let run = ingest(&Bench::csv("brewery"), "brewery_id,brewery_name,town\n1,A,X\n");
    assert_eq!((rows(&run.bronze, &BREWERY).as_str(), run.outcome.extra_values), ("1|A|∅|∅|city,state\n", 1));
}

#[test]
fn case_29_a_control_record_confirms_the_contract_or_is_quarantined() {
    let bench = Bench::json("brewery");
    let agrees = event("create-table", |_| ());
    assert_eq!(told(&bench, &agrees), (0, 1, String::new()));
    // A rename is a question until the contract answers it.
    let renamed = event("rename-column", |columns| rename(columns, "city", "town"));
    let (bad, dropped, change) = told(&bench, &renamed);
    assert!((bad, dropped) == (0, 1) && change.contains("formerNames [city]"), "{change}");
    let with_names = with_former_names(Bench::json("brewery"));
    assert_eq!(told(&with_names, &renamed), (0, 1, String::new()), "the source has not renamed it yet");
    assert_eq!(told(&with_names, &agrees), (0, 1, String::new()), "it has");
    for (number, expected) in [
        (json!({"type": "INT32"}), "holds every value"),
        (json!({"type": "NUMERIC", "precision": 20, "scale": 0}), "do not fit are quarantined"),
        (json!({"type": "STRING"}), "spell no such value are quarantined"),
        (json!({"type": "VECTOR"}), "not known here"),
    ] {
        let event = event("column-type-change", |columns| columns["brewery_id"] = number);
        let (bad, dropped, change) = told(&bench, &event);
        assert!((bad, dropped) == (0, 1) && change.contains(expected), "{change}");
    }
    let dropped_column = |name: &'static str| {
        event("drop-column", move |columns| drop(columns.as_object_mut().and_then(|columns| columns.remove(name))))
    };
    let (bad, dropped, change) = told(&bench, &dropped_column("city"));
    assert!((bad, dropped) == (0, 1) && change.contains("`city` is gone"), "{change}");
    for (event, expected) in [
        (dropped_column("brewery_name"), "requires"),
        (event("column-type-change", |columns| columns["city"] = json!({"type": "BOOL"})), "another kind"),
        (agrees.replace("[\"brewery_id\"]", "[\"city\"]"), "primary key"),
        (record("control", "rename-table", json!({})), "renamed"),
    ] {
        let (bad, dropped, change) = told(&bench, &event);
        assert!((bad, dropped) == (1, 0) && change.contains(expected), "{change}");
    }
    // A required column under another name is a conflict, and the rows go on being judged one by one.
    let event = event("rename-column", |columns| rename(columns, "brewery_name", "title"));
    let rows = row("insert", json!({"brewery_id": 1, "brewery_name": "A", "city": "X"}));
    let run = ingest(&bench, &format!("{event}{rows}{event}"));
    assert_eq!((run.outcome.rows_good, rules(&run).as_str()), (1, "1:schema-conflict 3:schema-conflict"));
    assert_eq!(run.outcome.schema_changes.len(), 1);
}

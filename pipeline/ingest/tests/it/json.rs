//! The stream path: DMS envelopes.

use serde_json::{Value, json};

use crate::bench::{Bench, rows, rules};

/// An envelope of `dm_core.beer`.
fn record(operation: &str, data: Value) -> Value {
    let mut metadata = json!({"timestamp": "2024-07-29T00:59:07.686557Z", "record-type": "data", "operation": operation,
        "partition-key-type": "schema-table", "schema-name": "dm_core", "table-name": "beer"});
    if operation != "load" {
        metadata["commit-timestamp"] = "2024-07-29T00:59:07.5Z".into();
        metadata["stream-position"] = "00000002/7C0073F8.3.00000002/7C0073F8".into();
    }
    json!({"data": data, "metadata": metadata})
}

fn beer(id: i64) -> Value {
    json!({"beer_id": id, "beer_name": "A", "beer_style": "B", "beer_abv": 4.5, "brewery_id": 7})
}

const COLUMNS: [&str; 8] =
    ["beer_id", "beer_name", "beer_abv", "_operation", "_commit_lsn", "_ordinal", "_old_beer_id", "_absent"];

fn check(text: &str, expected_rows: &str, expected_rules: &str) {
    let run = Bench::json("beer").run(text.as_bytes()).expect("readable");
    assert_eq!(rows(&run.bronze, &COLUMNS), expected_rows, "{text}");
    assert_eq!(rules(&run), expected_rules, "{text}");
}

#[test]
fn operations_become_rows() {
    check(&record("load", beer(1)).to_string(), "1|A|4.5|load|0|0|∅|∅\n", "");
    check(&record("insert", beer(1)).to_string(), "1|A|4.5|insert|10670339064|3|∅|∅\n", "");
    let mut moved = record("update", json!({"beer_id": 2, "beer_name": "A", "beer_abv": null}));
    moved["before-image"] = json!({"beer_id": 1});
    check(&moved.to_string(), "2|A|∅|update|10670339064|3|1|beer_style,brewery_id\n", "");
    moved["before-image"] = json!({});
    check(&moved.to_string(), "2|A|∅|update|10670339064|3|∅|beer_style,brewery_id\n", "");
}

#[test]
fn a_delete_tells_its_key_and_nothing_else() {
    let absent = "beer_name,beer_style,beer_abv,brewery_id";
    let expected = format!("1|∅|∅|delete|10670339064|3|∅|{absent}\n");
    check(&record("delete", json!({"beer_id": 1})).to_string(), &expected, "");
    let nulls = json!({"beer_id": 1, "beer_name": null, "beer_style": null, "beer_abv": null, "brewery_id": null});
    check(&record("delete", nulls).to_string(), &expected, "");
    let mut keyless = record("delete", json!({}));
    keyless["before-image"] = json!({"beer_id": 1});
    check(&keyless.to_string(), &format!("1|∅|∅|delete|10670339064|3|1|{absent}\n"), "");
    check(&record("delete", json!({"beer_name": "A"})).to_string(), "", "1:missing-key");
}

#[test]
fn layouts_of_one_stream_are_all_read() {
    let one = record("load", beer(1));
    let two = record("load", beer(2));
    let pretty = serde_json::to_string_pretty(&one).expect("serialises");
    let expected = "1|A|4.5|load|0|0|∅|∅\n2|A|4.5|load|0|0|∅|∅\n";
    for text in [
        format!("{one}\n{two}\n"),
        format!("{one}\r\n{two}"),
        format!("{one}{two}"),
        format!("\u{feff}{pretty}\n{two}\n"),
        format!("{pretty}{two}"),
    ] {
        check(&text, expected, "");
    }
}

#[test]
fn bad_records_are_quarantined_and_their_neighbours_kept() {
    let good = record("load", beer(9));
    let kept = "9|A|4.5|load|0|0|∅|∅\n";
    let bad = |mut record: Value, change: fn(&mut Value)| {
        change(&mut record);
        record.to_string()
    };
    let insert = || record("insert", beer(1));
    for (line, rule) in [
        (good.to_string()[..40].to_owned(), "json-syntax"),
        ("{\"data\": nope}".to_owned(), "json-syntax"),
        ("[1,2]".to_owned(), "json-syntax"),
        ("{\"a\":1}".to_owned(), "envelope"),
        (bad(insert(), |record| record["metadata"]["operation"] = "upsert".into()), "unknown-operation"),
        (bad(insert(), |record| record["data"] = Value::Null), "envelope"),
        (bad(insert(), |record| record["data"] = "x".into()), "envelope"),
        (bad(insert(), |record| record["metadata"]["table-name"] = "review".into()), "other-table"),
        (bad(insert(), |record| record["metadata"]["schema-name"] = "public".into()), "other-table"),
        (bad(insert(), |record| record["metadata"]["stream-position"] = "x".into()), "position"),
        (bad(insert(), |record| record["metadata"]["stream-position"] = Value::Null), "position"),
        (bad(insert(), |record| record["metadata"]["commit-timestamp"] = "yesterday".into()), "commit-timestamp"),
        (bad(insert(), |record| record["data"]["beer_id"] = Value::Null), "missing-key"),
        (bad(insert(), |record| record["data"]["beer_id"] = "x".into()), "type"),
        (bad(insert(), |record| record["data"]["beer_abv"] = json!(4.55)), "type"),
        (bad(insert(), |record| record["data"]["beer_abv"] = json!(10_000)), "type"),
        (bad(insert(), |record| record["data"]["beer_name"] = json!({"a": 1})), "type"),
        (bad(insert(), |record| record["data"]["beer_name"] = Value::Null), "null"),
        (bad(insert(), |record| record["before-image"] = json!({"beer_id": "x"})), "type"),
    ] {
        check(&format!("{line}\n{good}\n"), kept, &format!("1:{rule}"));
        check(&format!("{good}\n{line}\n{good}"), &kept.repeat(2), &format!("2:{rule}"));
    }
}

#[test]
fn a_record_that_is_not_utf_8_costs_itself() {
    let good = record("load", beer(9)).to_string();
    let mut bytes = good.replace("\"A\"", "\"K?ln\"").into_bytes();
    let at = bytes.iter().position(|byte| *byte == b'?').expect("planted");
    bytes[at] = 0xf6;
    bytes.extend_from_slice(format!("\n{good}").as_bytes());
    let run = Bench::json("beer").run(&bytes).expect("readable");
    assert_eq!((rules(&run).as_str(), run.outcome.rows_good), ("1:encoding", 1));
}

#[test]
fn control_and_awsdms_records_are_dropped_and_counted() {
    let control = json!({"control": {}, "metadata": {"timestamp": "2024-07-29T00:30:47.266581Z", "record-type": "control",
        "operation": "drop-table", "partition-key-type": "task-id", "schema-name": "dm_core", "table-name": "beer"}});
    let mut unknown_control = control.clone();
    unknown_control["metadata"]["operation"] = "truncate-table".into();
    let mut status = record("update", json!({"task": 1}));
    status["metadata"]["schema-name"] = "".into();
    status["metadata"]["table-name"] = "awsdms_status".into();
    let text = format!("{control}\n{status}\n{}\n{unknown_control}", record("load", beer(1)));
    let run = Bench::json("beer").run(text.as_bytes()).expect("readable");
    let dropped: Vec<_> = run.outcome.dropped.into_iter().collect();
    assert_eq!(dropped, [("awsdms-record", 1), ("control-record", 2)]);
    assert_eq!((run.outcome.rows_in, run.outcome.rows_good, run.outcome.rows_bad), (4, 1, 0));
}

#[test]
fn columns_beyond_the_contract_are_ignored_and_counted() {
    let mut wide = beer(1);
    wide["ibu"] = json!(40);
    let run = Bench::json("beer").run(record("insert", wide).to_string().as_bytes()).expect("readable");
    assert_eq!((run.outcome.rows_good, run.outcome.extra_values), (1, 1));
}

#[test]
fn numbers_and_escapes_are_exact() {
    let line = record("insert", json!({"id": 0, "n": null, "d": 1, "s": "x"})).to_string();
    let line = line.replace("\"table-name\":\"beer\"", "\"table-name\":\"kinds\"");
    for (json, expected) in [
        (r#""id":1.2345678901234567E+17,"d":12.50,"s":"a\u0000b""#, "123456789012345670|12.50|a\0b\n"),
        (r#""id":9007199254740993,"d":-0,"s":"""#, "9007199254740993|0.00|\n"),
        (r#""id":"-1","d":"1e2","s":null"#, "-1|100.00|∅\n"),
    ] {
        let start = line.find("\"data\":{").expect("data") + "\"data\":{".len();
        let end = start + line[start..].find('}').expect("data");
        let text = format!("{}{json}{}", &line[..start], &line[end..]);
        let run = Bench::json("kinds").run(text.as_bytes()).expect("readable");
        assert_eq!(rows(&run.bronze, &["id", "d", "s"]), expected, "{text}");
    }
}

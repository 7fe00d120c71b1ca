//! Definitions as DMS and the emulator write them, against one contract. Knows no other record.

use serde_json::json;

use super::*;

/// `s.t`: a key, a required text, numbers, a date, and a column that was called `town`.
fn table() -> TableContract {
    let text = "apiVersion: v3.1.0\nkind: DataContract\nversion: 1.0.0\nschema:\n  - name: t\n    physicalName: s.t\n    \
                properties:\n      - {name: id, physicalType: bigint, primaryKey: true}\n      \
                - {name: name, physicalType: text, required: true}\n      \
                - {name: price, physicalType: 'numeric(9,2)'}\n      - {name: size, physicalType: integer}\n      \
                - {name: city, physicalType: text, customProperties: [{property: formerNames, value: [town]}]}\n      \
                - {name: weight, physicalType: double precision}\n      - {name: born, physicalType: date}\n";
    TableContract::from_odcs_yaml("t.yaml", text).expect("valid")
}

/// The definition that agrees, changed by `change`.
fn definition(change: impl FnOnce(&mut Value, &mut Value)) -> Value {
    let mut columns = json!({
        "id": {"type": "INT64", "nullable": false}, "name": {"type": "STRING", "nullable": true},
        "price": {"type": "NUMERIC", "precision": 9, "scale": 2}, "size": {"type": "INT32"},
        "city": {"type": "STRING", "length": 40}, "weight": {"type": "DOUBLE"}, "born": {"type": "DATE"},
    });
    let mut key = json!(["id"]);
    change(&mut columns, &mut key);
    json!({"table-def": {"columns": columns, "primary-key": key}})
}

fn changes(change: impl FnOnce(&mut Value, &mut Value)) -> Vec<SchemaChange> {
    schema_changes(&table(), Operation::ChangeColumns, Some(&definition(change)))
}

/// The one change there is, as text, and whether it is a conflict.
#[track_caller]
fn only(change: impl FnOnce(&mut Value, &mut Value)) -> (String, bool) {
    let changes = changes(change);
    let [change] = changes.as_slice() else { panic!("one change expected: {changes:?}") };
    (change.to_string(), change.is_conflict())
}

fn remove(columns: &mut Value, name: &str) -> Value {
    columns.as_object_mut().and_then(|columns| columns.remove(name)).expect("a column")
}

#[test]
fn a_definition_that_agrees_says_nothing_under_old_names_or_new() {
    assert!(changes(|_, _| ()).is_empty());
    assert!(changes(|columns, _| columns["town"] = remove(columns, "city")).is_empty());
}

#[test]
fn columns_come_go_and_are_renamed() {
    let (text, conflict) = only(|columns, _| columns["ibu"] = json!({"type": "INT16"}));
    assert!(text.contains("`ibu` (INT16) is new") && !conflict, "{text}");
    let (text, conflict) = only(|columns, _| drop(remove(columns, "size")));
    assert!(text.contains("`size` is gone") && !text.contains("requires") && !conflict, "{text}");
    let (text, conflict) = only(|columns, _| drop(remove(columns, "name")));
    assert!(text.contains("`name` is gone") && text.contains("requires") && conflict, "{text}");
    // One gone and one new of a type that fits: a rename, perhaps.
    let (text, conflict) = only(|columns, _| columns["volume"] = remove(columns, "size"));
    assert!(text.contains("`volume`") && text.contains("formerNames [size]") && !conflict, "{text}");
    assert!(
        only(|columns, _| columns["title"] = remove(columns, "name")).1,
        "a required one is a conflict all the same"
    );
    let (text, conflict) = only(|columns, _| columns["town"] = json!({"type": "STRING"}));
    assert!(text.contains("two columns") && text.contains("`town`") && conflict, "{text}");
    // Of another type, or one of several: nobody can say.
    let seen = changes(|columns, _| {
        remove(columns, "size");
        columns["brewed"] = json!({"type": "DATE32"});
    });
    assert!(matches!(seen[..], [SchemaChange::Dropped { .. }, SchemaChange::Added { .. }]), "{seen:?}");
}

#[test]
fn types_widen_narrow_and_turn_into_others() {
    let of = |column: &str, kind: Value| {
        let seen = changes(|columns, _| columns[column] = kind);
        match seen.first() {
            None => "same",
            Some(SchemaChange::Wider(_)) => "wider",
            Some(SchemaChange::Narrower(_)) => "narrower",
            Some(SchemaChange::Spelt(_)) => "spelt",
            Some(SchemaChange::OtherKind(_)) => "conflict",
            Some(SchemaChange::UnknownType(_)) => "unknown",
            Some(other) => panic!("{other:?}"),
        }
    };
    let numeric = |precision: u32, scale: u32| json!({"type": "NUMERIC", "precision": precision, "scale": scale});
    for (column, kind, expected) in [
        ("size", json!({"type": "INT64"}), "wider"),
        ("size", json!({"type": "INT16"}), "narrower"),
        ("size", json!({"type": "UINT32"}), "wider"),
        ("size", numeric(9, 0), "narrower"),
        ("size", numeric(10, 0), "wider"),
        ("size", json!({"type": "STRING"}), "spelt"),
        ("size", json!({"type": "DOUBLE"}), "wider"),
        ("size", json!({"type": "BOOL"}), "conflict"),
        ("size", json!({"type": "DATE32"}), "conflict"),
        ("size", json!({"type": "MAP"}), "unknown"),
        ("size", json!("INT32"), "unknown"),
        ("price", numeric(9, 2), "same"),
        ("price", numeric(12, 2), "wider"),
        ("price", numeric(9, 4), "wider"),
        ("price", numeric(8, 2), "narrower"),
        ("price", json!({"type": "NUMERIC"}), "wider"),
        ("price", json!({"type": "INT32"}), "wider"),
        ("price", json!({"type": "INT16"}), "narrower"),
        ("city", json!({"type": "NCLOB"}), "same"),
        ("city", json!({"type": "TIMESTAMP"}), "narrower"),
        ("city", json!({"type": "INT32"}), "conflict"),
        ("weight", json!({"type": "FLOAT"}), "narrower"),
        ("weight", json!({"type": "INT32"}), "narrower"),
        ("weight", json!({"type": "INT64"}), "wider"),
        ("weight", numeric(9, 2), "wider"),
        ("born", json!({"type": "WSTRING"}), "spelt"),
        ("born", json!({"type": "TIMESTAMP"}), "conflict"),
    ] {
        assert_eq!(of(column, kind.clone()), expected, "{column} {kind}");
    }
    let (text, conflict) = only(|columns, _| columns["price"]["precision"] = 12.into());
    assert!(text.contains("NUMERIC(12,2)") && text.contains("`numeric(9,2)`") && !conflict, "{text}");
    let (text, conflict) = only(|columns, _| columns["size"]["type"] = "STRING".into());
    assert!(text.contains("quarantined") && !conflict, "{text}");
    let (text, conflict) = only(|columns, _| columns["weight"]["type"] = "INT64".into());
    assert!(text.contains("nearest") && !conflict, "{text}");
}

#[test]
fn another_key_and_another_name_are_conflicts() {
    let (text, conflict) = only(|_, key| *key = json!(["id", "town"]));
    assert!(text.contains("(city, id) at the source and (id)") && conflict, "{text}");
    let renamed = schema_changes(&table(), Operation::RenameTable, None);
    assert!(matches!(renamed[..], [SchemaChange::TableRenamed]) && renamed[0].is_conflict());
}

#[test]
fn a_record_without_details_tells_that_it_has_none() {
    let untold = |operation, control: Option<Value>| {
        let changes = schema_changes(&table(), operation, control.as_ref());
        matches!(changes[..], [SchemaChange::Untold { .. }])
    };
    assert!(untold(Operation::AddColumn, None) && untold(Operation::RenameColumn, Some(json!({}))));
    assert!(untold(Operation::CreateTable, Some(json!({"table-def": {"columns": [1]}}))), "details that are none");
    assert!(!untold(Operation::CreateTable, None) && !untold(Operation::DropTable, Some(json!({}))));
    assert!(!untold(Operation::Load, None), "no table event");
}

#[test]
fn names_of_the_source_are_shown_short_and_plain() {
    let told = |name: &str| only(|columns, _| columns[name] = json!({"type": "INT32"})).0;
    assert!(told("Größe in cm").contains("`Größe in cm`"));
    assert!(told(&"x".repeat(500)).len() < 250);
    for name in ["a\nb", "\u{1b}[2J", "\u{202e}abc", "`", ""] {
        assert!(told(name).contains("cannot be shown"), "{name:?}");
    }
}

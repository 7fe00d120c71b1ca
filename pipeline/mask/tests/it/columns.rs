//! How well columns are classified: ninety-nine generated columns under their right name, a name that says nothing, and a
//! name that lies.
//!
//! Values come from the generators beside this file, which share no code with the detectors. Kinds whose values look like
//! anything else (dates of birth, passports, plain digits) cannot be told without their name; under an empty name no class is
//! right for them as well. Macro-F1 is the mean of the F1 of all classes, the absence of a class being one of them.

mod generate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use lakebed_contract::{ColumnType, Lake};
use lakebed_mask::{Classification, Classifier, ColumnClass, PiiKind, Source};

use generate::{Column, Told, columns};

/// Macro-F1 that right and empty names must reach.
const MACRO_F1_MIN: f64 = 0.97;

fn classify(classifier: &Classifier, name: &str, column: &Column) -> Classification {
    classifier.classify(name, column.column_type, None, column.values.iter().map(String::as_str))
}

fn name_of(class: Option<&ColumnClass>) -> String {
    class.map_or_else(|| "none".to_owned(), ToString::to_string)
}

/// Mean F1 over all classes that were expected or answered.
fn macro_f1(answers: &[(String, String)]) -> f64 {
    let classes: BTreeSet<&String> = answers.iter().flat_map(|(expected, answered)| [expected, answered]).collect();
    let count = |is: &dyn Fn(&(String, String)) -> bool| {
        f64::from(u32::try_from(answers.iter().filter(|answer| is(answer)).count()).expect("few columns"))
    };
    let f1 = |class: &String| {
        let hit = count(&|(expected, answered)| expected == class && answered == class);
        let wrong = count(&|(expected, answered)| (expected == class) != (answered == class));
        2.0 * hit / (2.0 * hit + wrong)
    };
    let sum: f64 = classes.iter().map(|class| f1(class)).sum();
    sum / f64::from(u32::try_from(classes.len()).expect("few classes"))
}

/// Asserts the macro-F1 of all columns under the names `name_of_column` gives them.
fn check(title: &str, name_of_column: impl Fn(usize, &Column) -> String, by_values_only: bool) {
    let classifier = Classifier::new();
    let mut answers = Vec::new();
    for (number, column) in columns().iter().enumerate() {
        let name = name_of_column(number, column);
        let answer = classify(&classifier, &name, column);
        let answered = name_of(answer.class.as_ref());
        let right = name_of(column.class.as_ref());
        // Without its name a date of birth is a date: nobody can ask for more.
        let needs_its_name = by_values_only && column.told == Told::ByItsName;
        let expected = if needs_its_name && answered == "none" { answered.clone() } else { right };
        if expected != answered {
            println!("{title}: `{name}` ({}): {answered} {:?}, expected {expected}", column.name, answer.source);
        }
        answers.push((expected, answered));
    }
    let reached = macro_f1(&answers);
    println!("{title}: macro-F1 {reached:.4} over {} columns", answers.len());
    assert!(reached >= MACRO_F1_MIN, "{title}: macro-F1 is {reached:.4}, needed {MACRO_F1_MIN}");
}

#[test]
fn columns_under_their_right_names_are_classified() {
    check("right names", |_, column| column.name.to_owned(), false);
}

#[test]
fn columns_under_empty_names_are_classified_by_their_values() {
    check("empty names", |number, _| format!("col_{number}"), true);
    check("empty names", |number, _| format!("campo{number}"), true);
}

#[test]
fn values_that_validate_are_found_under_names_that_lie() {
    let classifier = Classifier::new();
    let personal = columns().into_iter().filter(|column| column.told == Told::ByValues && column.class.is_some());
    for column in personal {
        for lie in ["order_number", "external_code", "status", "total_price"] {
            let answer = classify(&classifier, lie, &column);
            assert_eq!(answer.class, column.class, "`{}` under the name `{lie}`", column.name);
        }
    }
}

#[test]
fn no_name_makes_other_values_certain() {
    let classifier = Classifier::new();
    // Versions of four numbers under the name of an address are addresses to everybody.
    let is_fair = |lie: &str, column: &Column| (lie, column.name) != ("client_ip", "app_version");
    for column in columns().into_iter().filter(|column| column.class.is_none()) {
        for lie in ["email", "cpf", "iban", "mac_address", "client_ip"].into_iter().filter(|lie| is_fair(lie, &column))
        {
            let answer = classify(&classifier, lie, &column);
            let suspected = answer.class.is_some() && answer.is_suspected();
            assert!(answer.class.is_none() || suspected, "`{}` under the name `{lie}`: {answer:?}", column.name);
        }
    }
}

#[test]
fn the_contract_is_trusted_over_values_and_names() {
    let answer =
        Classifier::new().classify("cpf", ColumnType::Text, Some("loyalty_code"), ["ana@example.com"].into_iter());
    assert_eq!(answer.class, Some(ColumnClass::Declared("loyalty_code".to_owned())));
    assert_eq!((answer.source, answer.is_suspected()), (Source::Contract, false));
    let answer = Classifier::new().classify("x", ColumnType::Text, Some("full_name"), [].into_iter());
    assert_eq!(answer.class, Some(ColumnClass::Pii(PiiKind::Name)));
}

#[test]
fn trust_falls_from_values_to_shape_to_name() {
    let classifier = Classifier::new();
    let ask = |name: &str, values: &[&str]| {
        let answer = classifier.classify(name, ColumnType::Text, None, values.iter().copied());
        (name_of(answer.class.as_ref()), answer.source, answer.is_suspected())
    };
    let class = |name: &str| name.to_owned();
    assert_eq!(ask("x", &["529.982.247-25", "111.444.777-35"]), (class("cpf"), Source::Values, false));
    assert_eq!(ask("cpf", &["529.982.247-26", "111.444.777-36"]), (class("cpf"), Source::NameAndShape, true));
    assert_eq!(ask("passaporte", &["FX123456", "GB654321"]), (class("passport"), Source::NameAndShape, false));
    assert_eq!(ask("cpf", &[]), (class("cpf"), Source::Name, true));
    assert_eq!(ask("cpf", &["unknown", "n/a"]), (class("cpf"), Source::Name, true));
    assert_eq!(ask("x", &["unknown", "n/a"]).0, "none");
    assert_eq!(ask("nome", &[]), (class("full_name"), Source::Name, true));
    assert_eq!(ask("contact", &["a@example.com", "(11) 91234-5678", "b@example.com"]).0, "free_text");
}

#[test]
fn an_audit_names_columns_without_a_class() {
    let lake = Lake::beer();
    let table = lake.table("review").expect("review");
    let text = |values: &[Option<&str>]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("review_id", Arc::new(Int64Array::from(vec![1, 2, 3])) as ArrayRef, true),
        ("comment", text(&[Some("write to ana@example.com"), None, Some("fine")]), true),
        ("extra", text(&[Some("ana@example.com"), None, Some("rui@example.org")]), true),
        ("dt_nasc", text(&[None, None, None]), true),
        ("nr_cpf", Arc::new(Int64Array::from(vec![52_998_224_725, 11_144_477_735, 191])) as ArrayRef, true),
    ])
    .expect("columns of one length");
    let suspicions = Classifier::new().audit(table, &batch);
    let seen: Vec<(&str, String, Source)> = suspicions
        .iter()
        .map(|found| (found.column.as_str(), name_of(found.classification.class.as_ref()), found.classification.source))
        .collect();
    let expected = [
        ("extra", "email".to_owned(), Source::Values),
        ("dt_nasc", "birth_date".to_owned(), Source::Name),
        ("nr_cpf", "cpf".to_owned(), Source::Values),
    ];
    assert_eq!(seen, expected);
    assert!(!format!("{suspicions:?}").contains("example.com"), "a suspicion shows values");
}

#[test]
fn the_names_of_the_beer_lake_raise_no_suspicion() {
    let lake = Lake::beer();
    let classifier = Classifier::new();
    let mut classes: BTreeMap<&str, Classification> = BTreeMap::new();
    for column in lake.tables.iter().flat_map(|table| &table.columns).filter(|column| column.class.is_none()) {
        classes.insert(&column.name, classifier.classify(&column.name, column.column_type, None, [].into_iter()));
    }
    assert!(classes.len() > 10, "the beer lake has public columns");
    classes.retain(|_, answer| answer.class.is_some());
    assert!(classes.is_empty(), "{classes:?}");
}

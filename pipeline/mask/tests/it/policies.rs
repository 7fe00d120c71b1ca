//! Policies of every kind on tables of their own: what becomes of the columns, what is counted, and how keys are rotated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Date32Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{Date32Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;
use lakebed_contract::{Column, ColumnType, Policy, TableContract};
use lakebed_mask::{Coverage, KeyRing, MaskError, MaskKey, MaskedBatch, Masker, PiiKind};

/// A table `t` with a key `id` and the given columns, each named as its class.
fn table(columns: &[(&str, ColumnType)]) -> TableContract {
    let column = |name: &str, column_type, is_key: bool, class| Column {
        name: name.to_owned(),
        column_type,
        nullable: !is_key,
        is_key,
        class,
        former_names: Vec::new(),
    };
    let mut all = vec![column("id", ColumnType::Bigint, true, None)];
    all.extend(columns.iter().map(|(class, of)| column(class, *of, false, Some((*class).to_owned()))));
    TableContract {
        schema: "s".into(),
        name: "t".into(),
        version: "1.0.0".into(),
        columns: all,
        partition: None,
        load: lakebed_contract::table::LoadRoute::Stream,
        quality: Vec::new(),
        service_levels: Default::default(),
        generated_rows: None,
    }
}

fn policy(classes: &str) -> Policy {
    Policy::from_yaml(&format!("version: 1\nclasses: {{{classes}}}\n")).expect("a policy")
}

fn masker() -> Masker {
    Masker::new(MaskKey::new(1, [7; 32]))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .expect("a batch")
}

fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn texts(masked: &MaskedBatch, name: &str) -> Vec<Option<String>> {
    let column = masked.batch().column_by_name(name).expect("a column");
    column.as_string::<i32>().iter().map(|value| value.map(str::to_owned)).collect()
}

#[test]
fn each_transform_does_what_its_word_says() {
    let contract = table(&[
        ("cpf", ColumnType::Text),
        ("email", ColumnType::Text),
        ("postal_code", ColumnType::Text),
        ("free_text", ColumnType::Text),
        ("birth_date", ColumnType::Date),
        ("seen_at", ColumnType::Timestamptz),
        ("secret", ColumnType::Double),
        ("nickname", ColumnType::Text),
    ]);
    let policy = policy(
        "cpf: {bronze: fpe}, email: {bronze: partial}, postal_code: {bronze: 'prefix:5'}, free_text: {bronze: redact}, \
         birth_date: {bronze: 'band:5y'}, seen_at: {bronze: day}, secret: {bronze: drop}, nickname: {bronze: keep}",
    );
    let hour = 3_600_000_000;
    let raw = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2]))),
        ("cpf", text(&[Some("529.982.247-25"), Some("not known")])),
        ("email", text(&[Some("joao@dominio.com"), None])),
        ("postal_code", text(&[Some("01310-100"), Some("0")])),
        ("free_text", text(&[Some("write to a@b.co"), Some("no hops")])),
        ("birth_date", Arc::new(Date32Array::from(vec![Some(9_000), None]))),
        ("seen_at", Arc::new(TimestampMicrosecondArray::from(vec![Some(30 * hour), None]).with_timezone("UTC"))),
        ("secret", Arc::new(arrow::array::Float64Array::from(vec![1.5, 2.5]))),
        ("nickname", text(&[Some("hopfan"), None])),
    ]);
    let masked = masker().for_table(&contract, &policy).expect("a plan").mask(raw).expect("masked");

    let cpfs = texts(&masked, "cpf");
    let cpf = cpfs[0].as_deref().expect("a value");
    assert!(lakebed_mask::validate::is(PiiKind::Cpf, cpf) && cpf != "529.982.247-25", "{cpf}");
    assert!(
        cpfs[1].as_deref().is_some_and(|token| token.starts_with("tok_1_")),
        "what is no CPF is masked all the same"
    );
    assert_eq!(texts(&masked, "email"), [Some("j***@d***.com".to_owned()), None]);
    assert_eq!(texts(&masked, "postal_code"), [Some("01310".to_owned()), Some("0".to_owned())]);
    assert_eq!(texts(&masked, "free_text"), [Some("write to [EMAIL]".to_owned()), Some("no hops".to_owned())]);
    assert_eq!(texts(&masked, "nickname")[0].as_deref(), Some("hopfan"));
    let batch = masked.batch();
    let births = batch.column_by_name("birth_date").expect("a column").as_primitive::<Date32Type>();
    // 1994-08-23 is in the band from 1990-01-01.
    assert_eq!(births, &Date32Array::from(vec![Some(7_305), None]));
    let seen = batch.column_by_name("seen_at").expect("a column").as_primitive::<TimestampMicrosecondType>();
    assert_eq!((seen.value(0), seen.timezone()), (24 * hour, Some("UTC")));
    assert_eq!(batch.column_by_name("secret").expect("a column").null_count(), 2);

    let counted = |name: &str| {
        let counts = masked.coverage().column("t", name);
        (counts.values, counts.non_null, counts.masked, counts.computed, counts.unshaped)
    };
    assert_eq!(counted("cpf"), (2, 2, 2, 2, 1));
    assert_eq!(counted("email"), (2, 1, 1, 1, 0));
    assert_eq!(counted("free_text"), (2, 2, 1, 0, 0));
    assert_eq!(counted("secret"), (2, 2, 2, 0, 0));
    assert_eq!(counted("nickname"), (2, 1, 0, 0, 0));
    assert_eq!(masked.coverage().column("t", "free_text").findings, BTreeMap::from([("EMAIL".to_owned(), 1)]));
    let report = serde_json::to_string(masked.coverage()).expect("a report");
    for value in ["joao", "529", "hopfan", "01310", "a@b"] {
        assert!(!report.contains(value), "`{value}` stands in the report");
    }
    assert!(!report.contains(r#""column":"id""#), "a public column is not reported");
}

#[test]
fn distinct_values_are_computed_once_per_batch() {
    let contract = table(&[("email", ColumnType::Text), ("cpf", ColumnType::Text), ("full_name", ColumnType::Text)]);
    let plan = masker()
        .for_table(&contract, &policy("email: {bronze: token}, cpf: {bronze: fpe}, full_name: {bronze: partial}"))
        .expect("a plan");
    let values: ArrayRef =
        Arc::new((0..10_000).map(|row| Some(format!("p{}@x.com", row % 100))).collect::<StringArray>());
    let raw = batch(vec![("email", values.clone()), ("cpf", values.clone()), ("full_name", values)]);
    let mut coverage = Coverage::default();
    for _ in 0..2 {
        let masked = plan.mask(raw.clone()).expect("masked");
        let tokens = texts(&masked, "email");
        assert_eq!(tokens.iter().collect::<BTreeSet<_>>().len(), 100);
        assert!((100..10_000).all(|row| tokens[row] == tokens[row - 100]));
        coverage.merge(masked.coverage());
    }
    for column in ["email", "cpf", "full_name"] {
        let counts = coverage.column("t", column);
        assert_eq!((counts.computed, counts.masked), (2 * 100, 2 * 10_000), "{column}");
    }
}

#[test]
fn a_class_of_any_kind_without_a_transform_stops_the_run() {
    for kind in PiiKind::ALL {
        let contract = table(&[(kind.class(), ColumnType::Text)]);
        let refused = masker().for_table(&contract, &policy("")).expect_err("must be refused");
        assert!(matches!(&refused, MaskError::Undecided { class, .. } if class == kind.class()), "{refused}");
        let lake = policy("").check(&contract).expect_err("must be refused").to_string();
        assert!(lake.contains(&format!("class `{}`", kind.class())) && lake.contains("policy.yaml"), "{lake}");
    }
    let own = table(&[("loyalty_number", ColumnType::Text)]);
    assert!(masker().for_table(&own, &policy("loyalty_number: {bronze: token}")).is_ok());
}

#[test]
fn values_join_within_a_domain_and_nowhere_else() {
    let contract = table(&[("cpf", ColumnType::Text), ("guardian", ColumnType::Text), ("customer", ColumnType::Text)]);
    let raw = batch(vec![
        ("cpf", text(&[Some("529.982.247-25")])),
        ("guardian", text(&[Some("529.982.247-25")])),
        ("customer", text(&[Some("529.982.247-25")])),
    ]);
    for word in ["token", "fpe:cpf"] {
        let policy = policy(&format!(
            "cpf: {{bronze: '{word}'}}, guardian: {{bronze: '{word}', domain: cpf}}, customer: {{bronze: '{word}'}}"
        ));
        let masked = masker().for_table(&contract, &policy).expect("a plan").mask(raw.clone()).expect("masked");
        assert_ne!(texts(&masked, "cpf"), texts(&masked, "customer"), "{word}");
        assert_eq!(texts(&masked, "cpf"), texts(&masked, "guardian"), "{word}");
    }
}

#[test]
fn tokens_of_two_keys_are_made_side_by_side_while_a_rotation_lasts() {
    let contract = table(&[("email", ColumnType::Text), ("note", ColumnType::Text)]);
    let policy = policy("email: {bronze: token}, note: {bronze: redact}");
    let raw = batch(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3, 4]))),
        ("email", text(&[Some("Ana@x.com"), Some("bia@x.com"), Some("ana@x.com "), None])),
        ("note", text(&[None, None, None, None])),
    ]);
    let (first, second) = (MaskKey::new(1, [1; 32]), MaskKey::new(2, [2; 32]));
    let masked_with = |masker: &Masker| {
        let masked = masker.for_table(&contract, &policy).expect("a plan").mask(raw.clone()).expect("masked");
        texts(&masked, "email")
    };
    let before = masked_with(&Masker::new(first.clone()));
    let rotated = Masker::with_keys(KeyRing::new(vec![first, second]).expect("a ring"));
    let after = masked_with(&rotated);
    assert!(before[0].as_deref().is_some_and(|token| token.starts_with("tok_1_")));
    assert!(after[0].as_deref().is_some_and(|token| token.starts_with("tok_2_")), "new data gets the new key's tokens");

    let retokenizer = rotated.retokenizer(&contract, &policy, "email", 1).expect("both keys are there");
    let crosswalk = retokenizer.crosswalk(&raw).expect("tokens");
    let pairs: BTreeMap<_, _> =
        texts(&crosswalk, "old_token").into_iter().zip(texts(&crosswalk, "new_token")).collect();
    assert_eq!(crosswalk.batch().num_rows(), 2, "one row for each person");
    // Rows masked before and after join through the crosswalk, exactly where the values are the same.
    for (old, new) in before.iter().zip(&after).filter(|(old, _)| old.is_some()) {
        assert_eq!(&pairs[old], new);
    }
    assert_eq!(format!("{retokenizer:?}"), "Retokenizer(t.email, ***)");

    let refused =
        |column: &str, version| rotated.retokenizer(&contract, &policy, column, version).expect_err("refused");
    assert!(matches!(refused("email", 3), MaskError::NoSuchKey { version: 3 }));
    for column in ["note", "id", "missing"] {
        assert!(matches!(refused(column, 1), MaskError::NoTokens { .. }), "{column}");
    }
}

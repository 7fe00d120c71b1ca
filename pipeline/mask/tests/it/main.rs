//! Whole tables through the public API: the beer lake's policy on small batches.

#![expect(clippy::print_stdout, reason = "the detectors' quality is read in the output of its tests")]

mod columns;
mod policies;
mod quality;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Date32Array, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use lakebed_contract::{Lake, Policy};
use lakebed_mask::{MaskError, MaskKey, Masker};

fn masker() -> Masker {
    Masker::new(MaskKey::new(1, [7; 32]))
}

fn text(values: &[Option<&str>]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn profiles() -> RecordBatch {
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("profile_id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("profile_name", text(&[Some("hopfan"), Some("maltfan"), Some("x")])),
        ("email", text(&[Some("Ana@X.com"), Some(" ana@x.com"), None])),
        ("full_name", text(&[Some("Ana Lima"), Some("ANA  LIMA"), Some("")])),
        ("phone", text(&[Some("+55 (11) 91234-5678"), None, None])),
        ("cpf", text(&[Some("529.982.247-25"), Some("52998224725"), None])),
        ("birth_date", Arc::new(Date32Array::from(vec![Some(19_782), None, Some(0)]))),
        ("postal_code", text(&[Some("01310-100"), Some("0"), None])),
        ("_operation", text(&[Some("load"), Some("load"), Some("load")])),
        ("_old_profile_id", Arc::new(Int64Array::from(vec![None, None, Some(2)]))),
        ("_absent", text(&[None, None, Some("city,state")])),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .expect("columns of one length")
}

fn column(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    let column = batch.column_by_name(name).expect("column");
    let column = column.as_any().downcast_ref::<StringArray>().expect("text");
    column.iter().map(|value| value.map(str::to_owned)).collect()
}

#[test]
fn the_profile_table_leaves_only_tokens_and_generalisations() {
    let lake = Lake::beer();
    let table = lake.table("profile").expect("profile");
    let plan = masker().for_table(table, &lake.policy).expect("the beer policy decides about every class");
    let masked = plan.mask(profiles()).expect("masked");
    let batch = masked.batch();

    for name in ["email", "full_name", "cpf"] {
        let tokens = column(batch, name);
        assert_eq!(tokens[0], tokens[1], "{name}: one person, one token");
        assert!(tokens[0].as_deref().is_some_and(|token| token.starts_with("tok_1_")), "{name}");
    }
    assert_eq!(column(batch, "email")[2], None, "NULL stays NULL");
    assert!(column(batch, "full_name")[2].is_some(), "an empty value is a value");
    assert_eq!(column(batch, "postal_code"), [Some("013".to_owned()), Some("0".to_owned()), None]);
    assert_eq!(column(batch, "profile_name")[0].as_deref(), Some("hopfan"));
    let births = batch.column_by_name("birth_date").expect("column");
    let births = births.as_any().downcast_ref::<Date32Array>().expect("dates");
    assert_eq!(births, &Date32Array::from(vec![Some(19_723), None, Some(0)]));

    let shown = format!("{batch:?}");
    for planted in ["Ana", "ana@x", "Lima", "LIMA", "91234", "529.982", "52998224725", "01310", "2024-02-29"] {
        assert!(!shown.contains(planted), "`{planted}` survived");
    }
    assert_eq!(format!("{masked:?}"), "MaskedBatch(3 rows, 11 columns)");
    assert!(!format!("{plan:?} {:?}", masker()).contains("7, 7"), "Debug shows the key");
}

#[test]
fn a_column_nobody_declared_is_refused() {
    let lake = Lake::beer();
    let plan = masker().for_table(lake.table("brewery").expect("brewery"), &lake.policy).expect("plan");
    for name in ["email", "_raw"] {
        let batch = RecordBatch::try_from_iter([(name, text(&[Some("a@b.co")]))]).expect("batch");
        let refused = plan.mask(batch).expect_err("must be refused");
        assert!(matches!(refused, MaskError::UnknownColumn { .. }), "{refused}");
        assert!(!refused.to_string().contains("a@b.co"));
    }
}

#[test]
fn another_arrow_type_than_the_contract_is_refused() {
    let lake = Lake::beer();
    let plan = masker().for_table(lake.table("profile").expect("profile"), &lake.policy).expect("plan");
    let email: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let batch = RecordBatch::try_from_iter([("email", email)]).expect("batch");
    assert!(matches!(plan.mask(batch), Err(MaskError::WrongArray { .. })));
}

#[test]
fn policies_that_do_not_fit_are_refused() {
    let lake = Lake::beer();
    let profile = lake.table("profile").expect("profile");
    let refusal = |classes: &str| {
        let policy = Policy::from_yaml(&format!("version: 1\nclasses: {{{classes}}}\n")).expect("policy");
        masker().for_table(profile, &policy).expect_err("must be refused").to_string()
    };
    assert!(refusal("").contains("class `email` has no transform"));
    assert!(refusal("email: {bronze: year}").contains("transform `year` needs a date or timestamptz column"));
    let rest = "email: {bronze: drop}, full_name: {bronze: drop}, phone: {bronze: drop}, cpf: {bronze: drop}, postal_code: {bronze: keep}";
    for (word, needs) in [("token", "text"), ("redact", "text"), ("'prefix:4'", "text")] {
        let refused = refusal(&format!("birth_date: {{bronze: {word}}}, {rest}"));
        assert!(refused.contains("birth_date") && refused.contains(needs), "{refused}");
    }
}

#[test]
fn dropped_columns_are_null_in_their_own_type() {
    let lake = Lake::beer();
    let policy = "email: {bronze: drop}, full_name: {bronze: drop}, phone: {bronze: drop}, cpf: {bronze: drop}, \
                  postal_code: {bronze: drop}, birth_date: {bronze: drop}";
    let policy = Policy::from_yaml(&format!("version: 1\nclasses: {{{policy}}}\n")).expect("policy");
    let plan = masker().for_table(lake.table("profile").expect("profile"), &policy).expect("plan");
    let raw = profiles();
    let masked = plan.mask(raw.clone()).expect("masked");
    let births = masked.batch().column_by_name("birth_date").expect("column");
    assert_eq!(births.null_count(), 3);
    assert_eq!(births.data_type(), raw.column_by_name("birth_date").expect("column").data_type());
}

//! Masking: a whole batch of profiles, tokens alone, and redaction of free text.

use std::hint::black_box;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use lakebed_contract::{ColumnType, Lake};
use lakebed_mask::{TableMasker, redact as redact_text};

use super::ingest::masker;
use super::{Micro, Work};
use crate::data::Beer;

/// Ten-column profiles, seven of them personal; the answer is the rows whose e-mail became a token.
pub(super) fn profiles(beer: &Beer) -> Micro {
    let names: Vec<String> = profile_table().columns.into_iter().map(|column| column.name).collect();
    of_columns("mask/profile", "How fast is a row with seven personal columns masked?", beer, &names)
}

/// The e-mail column alone, every value distinct; the answer is the tokens.
pub(super) fn token(beer: &Beer) -> Micro {
    of_columns("mask/token", "How fast does a distinct value become a keyed token?", beer, &["email".to_owned()])
}

fn of_columns(name: &'static str, question: &'static str, beer: &Beer, columns: &[String]) -> Micro {
    let (batch, masker) = (profile_batch(beer, columns), profile_masker());
    let rows = batch.num_rows() as u64;
    Micro {
        name,
        question,
        work: Work::Elements(rows),
        expect: rows,
        run: Box::new(move || {
            let masked = masker.mask(black_box(batch.clone())).expect("a plan for every column");
            let emails = masked.batch().column_by_name("email").expect("kept").as_string::<i32>().clone();
            emails.iter().flatten().filter(|email| email.starts_with("tok_1_")).count() as u64
        }),
    }
}

/// Every comment; the answer is the comments in which something was replaced.
pub(super) fn redact(beer: &Beer) -> Micro {
    let comments: Vec<String> = beer.reviews.iter().filter_map(|row| row[10].clone()).collect();
    let has_planted = |comment: &&String| beer.planted.iter().any(|value| comment.contains(value.as_str()));
    let planted = comments.iter().filter(has_planted).count() as u64;
    assert!(planted > 0, "some comments hold personal data");
    Micro {
        name: "mask/redact",
        question: "How fast is free text searched for all kinds, names and addresses included, and redacted?",
        work: Work::Bytes(comments.iter().map(|comment| comment.len() as u64).sum()),
        expect: planted,
        run: Box::new(move || {
            let changed = |comment: &&String| matches!(redact_text(black_box(comment)), std::borrow::Cow::Owned(_));
            comments.iter().filter(changed).count() as u64
        }),
    }
}

fn profile_table() -> lakebed_contract::TableContract {
    Lake::beer().table("profile").expect("the beer lake has profiles").clone()
}

fn profile_masker() -> TableMasker {
    masker().for_table(&profile_table(), &Lake::beer().policy).expect("the policy decides about every class")
}

fn profile_batch(beer: &Beer, names: &[String]) -> RecordBatch {
    let table = profile_table();
    let (mut fields, mut arrays) = (Vec::new(), Vec::<ArrayRef>::new());
    for name in names {
        let at = table.columns.iter().position(|column| column.name == *name).expect("a contract column");
        let texts = beer.profiles.iter().map(|row| row[at].as_deref());
        let (data_type, array): (_, ArrayRef) = match table.columns[at].column_type {
            ColumnType::Bigint => {
                let numbers: Int64Array = texts.map(|text| text.map(|text| text.parse().expect("a number"))).collect();
                (DataType::Int64, Arc::new(numbers))
            }
            // Any day does: the year is cut from it whatever it is.
            ColumnType::Date => {
                let days: Date32Array = texts.map(|text| text.map(|text| text.len() as i32 * 1_000)).collect();
                (DataType::Date32, Arc::new(days))
            }
            _ => (DataType::Utf8, Arc::new(texts.collect::<StringArray>())),
        };
        fields.push(Field::new(name, data_type, true));
        arrays.push(array);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("columns of one length")
}

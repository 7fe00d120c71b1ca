//! No planted value in bronze, none in quarantine, wherever it stood.

use serde_json::json;

use crate::bench::{Bench, all_text, rows};

const PLANTED: [&str; 8] = [
    "ana.lima@example.com",
    "Ana Lima",
    "(11) 91234-5678",
    "529.982.247-25",
    "52998224725",
    "1984-05-06",
    "01310-100",
    "+55 (11) 91234-5678",
];

fn assert_clean(file: &[u8]) {
    let text = all_text(file);
    for planted in PLANTED {
        assert!(!text.contains(planted), "a planted value survived");
        let bytes = planted.as_bytes();
        assert!(!file.windows(bytes.len()).any(|window| window == bytes), "a planted value survived in the file");
    }
}

fn profile(id: serde_json::Value) -> serde_json::Value {
    json!({"data": {"profile_id": id, "profile_name": "hopfan", "email": PLANTED[0], "full_name": PLANTED[1],
            "phone": PLANTED[7], "cpf": PLANTED[3], "birth_date": PLANTED[5], "city": "X", "state": "SP", "postal_code": PLANTED[6]},
        "metadata": {"timestamp": "2024-07-29T00:59:07Z", "record-type": "data", "operation": "load",
            "partition-key-type": "schema-table", "schema-name": "dm_core", "table-name": "profile"}})
}

#[test]
fn typed_columns_are_masked_by_both_formats_alike() {
    let json = Bench::json("profile").run(profile(json!(1)).to_string().as_bytes()).expect("readable");
    let csv = format!(
        "profile_id,profile_name,email,full_name,phone,cpf,birth_date,city,state,postal_code\n1,hopfan,{},{},{},{},{},X,SP,{}\n",
        PLANTED[0], PLANTED[1], PLANTED[7], PLANTED[3], PLANTED[5], PLANTED[6]
    );
    let csv = Bench::csv("profile").run(csv.as_bytes()).expect("readable");
    let columns = ["profile_id", "profile_name", "email", "full_name", "phone", "cpf", "birth_date", "postal_code"];
    assert_eq!(rows(&json.bronze, &columns), rows(&csv.bronze, &columns));
    assert!(rows(&json.bronze, &columns).starts_with("1|hopfan|tok_1_"));
    assert!(rows(&json.bronze, &columns).ends_with("|1984-01-01|013\n"));
    assert_clean(&json.bronze);
    assert_clean(&csv.bronze);
}

#[test]
fn free_text_is_redacted_and_otherwise_untouched() {
    let comment =
        format!("Nice — mail {} or call {}; cpf {}, also {} 🍺\n", PLANTED[0], PLANTED[7], PLANTED[3], PLANTED[4]);
    let text = format!(
        "review_id,brewery_id,beer_id,profile_id,review_overall,review_aroma,review_appearance,review_palate,review_taste,\
         review_time,comment\n1,1,1,1,4,4,4,4,4.5,2010-11-01 00:02:00+00,\"{comment}\"\n"
    );
    let run = Bench::csv("review").run(text.as_bytes()).expect("readable");
    assert_eq!(rows(&run.bronze, &["comment"]), "Nice — mail [EMAIL] or call [PHONE]; cpf [CPF], also [CPF] 🍺\n\n");
    assert_clean(&run.bronze);
}

#[test]
fn quarantine_says_why_without_saying_what() {
    let mut lines = vec![profile(json!(PLANTED[0])).to_string(), profile(json!(null)).to_string()];
    let mut record = profile(json!(1));
    record["metadata"]["operation"] = PLANTED[0].into();
    lines.push(record.to_string());
    let mut record = profile(json!(1));
    record["metadata"]["table-name"] = PLANTED[1].into();
    lines.push(record.to_string());
    let mut record = profile(json!(1));
    record["metadata"]["record-type"] = PLANTED[1].into();
    lines.push(record.to_string());
    let mut record = profile(json!(1));
    record["data"]["birth_date"] = PLANTED[0].into();
    lines.push(record.to_string());
    lines.push(format!("{} {}", PLANTED[0], PLANTED[1]));
    lines.push(format!("{{\"email\": \"{}\", }}", PLANTED[0]));
    let run = Bench::json("profile").run(lines.join("\n").as_bytes()).expect("readable");
    assert_eq!((run.outcome.rows_bad, run.outcome.rows_in), (lines.len() as u64, lines.len() as u64));
    assert_clean(&run.quarantine);
    // A file without header: its first row, values and all, is taken for names.
    let csv = format!("{}\n{}\n", PLANTED.join(","), PLANTED.join(","));
    let run = Bench::csv("profile").run(csv.as_bytes()).expect("readable");
    assert_eq!((run.outcome.rows_bad, run.outcome.rows_good), (1, 0));
    assert_clean(&run.quarantine);
}

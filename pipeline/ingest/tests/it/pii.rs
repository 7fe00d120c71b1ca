//! No planted value in bronze, none in quarantine, wherever it stood.

use std::collections::BTreeMap;

use lakebed_contract::{Policy, TableContract};
use lakebed_ingest::engine::{Compression, EngineError};
use serde_json::json;

use crate::bench::{Bench, all_text, beer_table, gzip, rows};

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

/// Breweries, one a line, whose `city` is what `city` makes of the row.
fn breweries(count: u32, city: impl Fn(u32) -> String) -> String {
    let line = |n: u32| format!("{n},Brewery {n},{},SP\n", city(n));
    "brewery_id,brewery_name,city,state\n".to_owned() + &(1..=count).map(line).collect::<String>()
}

fn reason(error: &EngineError) -> &str {
    match error {
        EngineError::Unreadable { reason } => reason,
        other => panic!("not the object's fault: {other}"),
    }
}

#[test]
fn the_first_rows_decide_about_a_column_without_a_class_whatever_the_threads() {
    // More than a block of personal data, behind and before so many rows of anything else.
    let late = |from: u32| move |n: u32| if n < from { format!("Town {n}") } else { format!("user{n}@example.com") };
    let people = breweries(60_000, late(0));
    let mixed = breweries(60_000, late(205));
    let thinned = breweries(60_000, late(2_049));
    let later = breweries(70_000, late(65_537));
    let mut reasons = Vec::new();
    for threads in [1, 2, 5] {
        let run = |text: &str| Bench { threads, ..Bench::csv("brewery") }.run(text.as_bytes());
        let error = run(&people).expect_err("refused");
        assert!(reason(&error).contains("100 % of 2048 different values in 2048 rows from row 1)"), "{error}");
        let error = run(&mixed).expect_err("refused");
        assert!(reason(&error).contains("column `city` holds values of class email (90 % of 2048"), "{error}");
        reasons.push(error.to_string());
        assert_eq!(run(&thinned).expect("the first rows are clean").outcome.rows_good, 60_000);
        let error = run(&later).expect_err("refused");
        assert!(reason(&error).contains("100 % of 2048 different values in 2048 rows from row 65537)"), "{error}");
        // What is wrong with the object behind those rows is not reached; what is wrong before them comes first.
        let run_cut = |text: &str| {
            let whole = gzip(text.as_bytes());
            let bench = Bench { threads, compression: Compression::Gzip, ..Bench::csv("brewery") };
            bench.run(&whole[..whole.len() - 1]).expect_err("its end is missing")
        };
        let error = run_cut(&people);
        assert!(reason(&error).contains("class email"), "{error}");
        let error = run_cut(&thinned);
        assert!(reason(&error).contains("too early"), "{error}");
        // Fewer rows than are looked at: decided at the end, which is never reached.
        let error = run_cut(&breweries(40, late(0)));
        assert!(reason(&error).contains("too early"), "{error}");
    }
    assert!(reasons.iter().all(|reason| *reason == reasons[0]), "{reasons:?}");
}

#[test]
fn personal_data_under_any_public_name_refuses_the_object() {
    let check = |class: &str, value: fn(u32) -> String| {
        let error = Bench::csv("brewery").run(breweries(40, value).as_bytes()).expect_err(class);
        assert!(reason(&error).starts_with(&format!("column `city` holds values of class {class} (")), "{error}");
        assert!(!reason(&error).contains(&value(7)), "{error}");
    };
    check("email", |n| format!("u{n}@example.com"));
    check("ip_address", |n| format!("203.0.113.{n}"));
    check("mac_address", |n| format!("00:1a:2b:3c:4d:{n:02x}"));
    check("free_text", |n| format!("ask u{n}@example.com for a tour"));
    let json = (1..=40).map(|n| {
        let data = json!({"brewery_id": n, "brewery_name": format!("u{n}@example.com"), "city": "Köln", "state": "SP"});
        let metadata = json!({"timestamp": "2024-07-29T00:59:07Z", "record-type": "data", "operation": "load",
            "partition-key-type": "schema-table", "schema-name": "dm_core", "table-name": "brewery"});
        json!({"data": data, "metadata": metadata}).to_string() + "\n"
    });
    let error = Bench::json("brewery").run(json.collect::<String>().as_bytes()).expect_err("refused");
    assert!(reason(&error).starts_with("column `brewery_name` holds values of class email"), "{error}");
}

#[test]
fn rows_are_looked_at_again_every_65_536_rows_to_the_end_of_the_object() {
    let people_from =
        |from: u32| move |n: u32| if n < from { format!("Town {n}") } else { format!("u{n}@example.com") };
    // Less than a whole look is left at the end.
    let error = Bench::csv("brewery").run(breweries(65_636, people_from(65_537)).as_bytes()).expect_err("refused");
    assert!(reason(&error).contains("100 % of 100 different values in 100 rows from row 65537)"), "{error}");
    let few = Bench::csv("brewery").run(breweries(65_546, people_from(65_537)).as_bytes()).expect("too few values");
    assert_eq!(few.outcome.rows_good, 65_546);
}

#[test]
fn columns_that_only_seem_to_be_personal_data_are_told_and_not_refused() {
    let properties = [
        "{name: id, physicalType: bigint, primaryKey: true}",
        "{name: nr_cpf, physicalType: bigint}",
        "{name: dt_nasc, physicalType: date}",
        "{name: remarks, physicalType: text}",
        "{name: size, physicalType: text}",
    ]
    .map(|property| format!("      - {property}\n"))
    .concat();
    let text = format!(
        "apiVersion: v3.1.0\nkind: DataContract\nid: t\nname: t\nversion: 1.0.0\nstatus: active\nschema:\n  - name: t\n    \
         physicalName: dm_core.t\n    properties:\n{properties}"
    );
    let table = TableContract::from_odcs_yaml("t.yaml", &text).expect("valid");
    let csv = (0..300).map(|n| format!("{n},52998224725,1984-05-06,,{n} ml\n")).collect::<String>();
    let mut told = Vec::new();
    for threads in [1, 3] {
        let bench = Bench { table: table.clone(), threads, ..Bench::csv("brewery") };
        let run = bench.run(format!("id,nr_cpf,dt_nasc,remarks,size\n{csv}").as_bytes()).expect("not refused");
        assert_eq!(run.outcome.rows_good, 300);
        told.push(run.outcome.suspicions);
    }
    let expected = [("dt_nasc", "birth_date"), ("nr_cpf", "cpf"), ("remarks", "free_text")];
    let expected = BTreeMap::from(expected.map(|(column, class)| (column.to_owned(), class.to_owned())));
    assert_eq!(told[0], expected);
    assert_eq!(told[0], told[1]);
}

/// A table of the beer lake with `class` on one of its columns, under the policy `class: {bronze: keep}`.
fn run_with_kept(table: &str, column: &str, text: &str) -> Result<Vec<u8>, EngineError> {
    let mut contract: TableContract = beer_table(table);
    let kept = contract.columns.iter_mut().find(|found| found.name == column).expect("a column");
    kept.class = Some("shown".to_owned());
    let policy = Policy::from_yaml("version: 1\nclasses: {shown: {bronze: keep}}\n").expect("a policy");
    Ok(Bench { table: contract, policy, ..Bench::csv(table) }.run(text.as_bytes())?.bronze)
}

#[test]
fn a_class_that_keeps_lets_a_column_pass() {
    let text = breweries(40, |n| format!("desk{n}@example.com"));
    let bronze = run_with_kept("brewery", "city", &text).expect("somebody decided");
    assert!(rows(&bronze, &["city"]).starts_with("desk1@example.com\n"));
    let error = run_with_kept("brewery", "state", &text).expect_err("nobody decided about this column");
    assert!(reason(&error).contains("`city`"), "{error}");
}

/// A key cannot have a class, so it cannot be let through either.
#[test]
fn a_key_of_personal_data_is_refused() {
    let properties = "      - {name: login, physicalType: text, primaryKey: true}\n";
    let text = format!(
        "apiVersion: v3.1.0\nkind: DataContract\nid: t\nname: t\nversion: 1.0.0\nstatus: active\nschema:\n  - name: t\n    \
         physicalName: dm_core.t\n    properties:\n{properties}"
    );
    let table = TableContract::from_odcs_yaml("t.yaml", &text).expect("valid");
    let csv = "login\n".to_owned() + &(0..40).map(|n| format!("u{n}@example.com\n")).collect::<String>();
    let error = Bench { table, ..Bench::csv("brewery") }.run(csv.as_bytes()).expect_err("refused");
    assert!(reason(&error).contains("column `login`") && reason(&error).contains("at the source"), "{error}");
}

#[test]
fn beers_breweries_places_and_pseudonyms_are_no_personal_data() {
    let of = |words: &[&str], n: usize| words[n % words.len()].to_owned();
    let surnames =
        ["Adams", "Miller", "Costa", "O'Keefe", "Schneider", "Lima", "Walker", "Souza", "Bell", "Prado", "Reyes"];
    let endings = ["Brewing Co.", "Cervejaria", "Brewery", "Beer Works", "Ales", "Brewpub", "Brauerei"];
    let cities = [
        "San Diego",
        "Portland",
        "Denver",
        "Chicago",
        "Austin",
        "Madison",
        "Charlotte",
        "Jackson",
        "Lincoln",
        "Houston",
        "Santa Rosa",
        "São Paulo",
        "Rio de Janeiro",
        "Belo Horizonte",
        "Ribeirão Preto",
        "Petrópolis",
        "Köln",
        "St. Louis",
        "New York",
        "Salt Lake City",
        "Coeur d'Alene",
        "Kailua-Kona",
        "Bruxelles",
    ];
    let styles = ["Kölsch", "American IPA", "Saison / Farmhouse Ale", "Russian Imperial Stout", "Gose"];
    let brewery = |n: usize| {
        format!("{n},{} {},{},{}\n", of(&surnames, n), of(&endings, n), of(&cities, n), of(&["CA", "SP"], n))
    };
    let beer = |n: usize| format!("{n},{} {} No. {n},{},4.5,1\n", of(&surnames, n), of(&styles, n), of(&styles, n));
    let profile =
        |n: usize| format!("{n},{}{n},{},{}\n", of(&["hopfan", "john.smith", "maria_silva"], n), of(&cities, n), "SP");
    for (table, header, row) in [
        ("brewery", "brewery_id,brewery_name,city,state\n", &brewery as &dyn Fn(usize) -> String),
        ("beer", "beer_id,beer_name,beer_style,beer_abv,brewery_id\n", &beer),
        ("profile", "profile_id,profile_name,city,state\n", &profile),
    ] {
        let text = header.to_owned() + &(1..=3_000).map(row).collect::<String>();
        let run = Bench::csv(table).run(text.as_bytes()).expect(table);
        assert_eq!(run.outcome.rows_good, 3_000, "{table}");
        assert!(run.outcome.suspicions.is_empty(), "{table}: {:?}", run.outcome.suspicions);
    }
}

//! Inputs, and what bronze and quarantine should hold of them: a generated one with every type, and the sample that ships.
//!
//! Nothing here reads Parquet or asks the engine. Values are written as `oracles/bronze_expected.py` reads them: numbers of type
//! `numeric` and `double precision` as text, dates as days and instants as microseconds since 1970.

use std::collections::HashMap;

use chrono::{Days, NaiveDate};
use lakebed_contract::{Lake, Policy, TableContract};
use lakebed_ingest::engine::{CsvFormat, Format};
use lakebed_ingest::mapping::Mapping;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Enough for two row groups.
const ROWS: usize = 70_000;
/// One row in so many breaks a rule.
const BAD_EVERY: usize = 97;
/// One value in so many is NULL, where NULL is allowed.
const NULL_EVERY: usize = 13;
/// No vowels, so that no name comes out of them.
const LETTERS: &[u8; 20] = b"bcdfghjklmnpqrstvwxz";
const MICROS_PER_DAY: i64 = 86_400_000_000;

const MAPPING: &str = include_str!("../../../../../pipeline/beer/mappings/beeradvocate.toml");
const SAMPLE: &[u8] = include_bytes!("../../../../../pipeline/beer/samples/reviews.latin1.csv");

/// An input and what should become of it.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) table: TableContract,
    pub(crate) policy: Policy,
    pub(crate) format: Format,
    pub(crate) csv: Vec<u8>,
    /// The cells of the good rows, one per column of the contract.
    pub(crate) good: Vec<Vec<Value>>,
    /// Number, offset, rule and reason of the bad rows.
    pub(crate) bad: Vec<(usize, usize, &'static str, String)>,
    /// The columns that the input lacks.
    pub(crate) absent: Option<&'static str>,
}

/// A field of a CSV row, and the value that it is.
type Cell = (String, Value);

/// Name, physical type, and what else a property says. `missing` is not in the CSV.
const COLUMNS: [(&str, &str, &str); 17] = [
    ("id", "bigint", "primaryKey: true"),
    ("code", "text", "primaryKey: true"),
    ("must", "integer", "required: true"),
    ("big", "bigint", ""),
    ("whole", "integer", ""),
    ("flag", "boolean", ""),
    ("ratio", "double precision", ""),
    ("small", "numeric(2,1)", ""),
    ("amount", "numeric(15,4)", ""),
    ("huge", "numeric(38,10)", ""),
    ("day", "date", ""),
    ("seen_at", "timestamptz", ""),
    ("note", "text", "classification: free_text"),
    ("label", "text", ""),
    ("born", "date", "classification: birth_date"),
    ("gone", "text", "classification: secret"),
    ("missing", "text", ""),
];
const POLICY: &str =
    "version: 1\nclasses: {free_text: {bronze: keep}, birth_date: {bronze: year}, secret: {bronze: drop}}\n";

/// Every type, with extreme values, NULLs, empty texts and emoji, in two row groups; rows that break four rules.
pub(crate) fn kinds() -> Case {
    let in_csv = COLUMNS.len() - 1;
    let mut csv = COLUMNS[..in_csv].iter().map(|(name, ..)| *name).collect::<Vec<_>>().join(",");
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for row in 0..ROWS {
        let (mut fields, mut values): (Vec<String>, Vec<Value>) = cells(row).into_iter().unzip();
        let broken = match (row % BAD_EVERY == 50).then_some(row / BAD_EVERY % 4) {
            None => None,
            Some(0) => {
                fields[4] = "12.5".to_owned();
                Some(("type", "column `whole` is not exactly a integer".to_owned()))
            }
            Some(1) => {
                fields[0].clear();
                Some(("missing-key", "column `id` is NULL".to_owned()))
            }
            Some(2) => {
                fields[2].clear();
                Some(("null", "column `must` is NULL".to_owned()))
            }
            Some(_) => {
                fields.push("more".to_owned());
                Some(("field-count", format!("{} fields, expected {in_csv}", in_csv + 1)))
            }
        };
        match broken {
            Some((rule, reason)) => bad.push((row + 1, csv.len() + 1, rule, reason)),
            None => {
                values.push(Value::Null);
                good.push(values);
            }
        }
        csv.push('\n');
        csv.push_str(&fields.join(","));
    }
    let policy = Policy::from_yaml(POLICY).expect("a valid policy");
    let format = Format::Csv(CsvFormat::default());
    Case { name: "kinds", table: contract(), policy, format, csv: csv.into_bytes(), good, bad, absent: Some("missing") }
}

fn contract() -> TableContract {
    let mut yaml = "apiVersion: v3.1.0\nkind: DataContract\nid: kinds\nname: kinds\nversion: 1.0.0\nstatus: active\n\
                    schema:\n  - name: kinds\n    physicalName: dm_core.kinds\n    properties:\n"
        .to_owned();
    for (name, kind, more) in COLUMNS {
        let more = if more.is_empty() { String::new() } else { format!(", {more}") };
        yaml.push_str(&format!("      - {{name: {name}, physicalType: '{kind}'{more}}}\n"));
    }
    TableContract::from_odcs_yaml("kinds.yaml", &yaml).expect("a valid contract")
}

/// A good row, without `missing`.
fn cells(row: usize) -> Vec<Cell> {
    let number = i64::try_from(row).expect("few rows");
    let small = i32::try_from(row).expect("few rows");
    let pick = |column: usize, spellings: &[&str]| -> Option<String> {
        let is_null = (row + column).is_multiple_of(NULL_EVERY);
        // Each column with a step of its own, moved on now and then: so no two columns go round together.
        (!is_null).then(|| spellings[(row * (column + 1) + row / 7) % spellings.len()].to_owned())
    };
    let whole = |text: Option<String>| {
        let value = text.as_ref().map(|text| text.parse::<i64>().expect("a whole number"));
        (text.unwrap_or_default(), json!(value))
    };
    let exact = |text: Option<String>| (text.clone().unwrap_or_default(), json!(text));
    let id = (number - 35_000) * 11;
    let code = code(row * 7_919 % ROWS);
    let bigs = [i64::MIN, i64::MAX, 0, -1, number].map(|number| number.to_string());
    let wholes = [i32::MIN, i32::MAX, 0, small].map(|number| number.to_string());
    let flag = pick(5, &["t", "false", "true", "f", "t"]);
    let is_true = flag.as_ref().map(|flag| flag.starts_with('t'));
    let day = pick(10, &["0", "1", "2", "3", "4", "5"]).map(|at| DAYS[at.parse::<usize>().expect("a number")]);
    let (day_text, days) = day.map_or_else(
        || (String::new(), None),
        |(text, year, month, day)| (text.to_owned(), Some(days_of(year, month, day))),
    );
    let year = 1_900 + small % 120;
    let born = date(year, 1 + u32::try_from(row % 12).expect("a month"), 1 + u32::try_from(row % 28).expect("a day"));
    vec![
        (id.to_string(), json!(id)),
        (code.clone(), json!(code)),
        (small.to_string(), json!(small)),
        whole(pick(3, &bigs.each_ref().map(String::as_str))),
        whole(pick(4, &wholes.each_ref().map(String::as_str))),
        (flag.unwrap_or_default(), json!(is_true)),
        exact(pick(6, &RATIOS)),
        exact(pick(7, &["-9.9", "9.9", "0.0", "4.5"])),
        exact(pick(8, &["99999999999.9999", "-99999999999.9999", "0.0001", "12.5000"])),
        exact(pick(9, &[HUGE, "-9999999999999999999999999999.9999999999", "0.0000000001", "-1.5000000000"])),
        (day_text, json!(days)),
        instant(row),
        text(pick(12, &["", "Crème brûlée 🍺", "two\nlines, and a \"quote\"", "NULL", LONG, "🍺", " "])),
        text(pick(13, &["", "Kölsch", "Märzen", "啤酒"])),
        (born.to_string(), json!(days_of(year, 1, 1))),
        ("\"told to nobody\"".to_owned(), Value::Null),
    ]
}

const RATIOS: [&str; 9] =
    ["-0.0", "0.0", "NaN", "Infinity", "-Infinity", "5e-324", "-1.7976931348623157e308", "0.1", "123456.789"];
const HUGE: &str = "9999999999999999999999999999.9999999999";
/// The greatest of its column, and longer than a bound may be.
const LONG: &str = "🍻🍻🍻🍻🍻🍻🍻🍻🍻🍻🍻🍻🍻🍻🍻🍻🍻🍻🍻🍻 and so on";
/// A day as Postgres writes it, and its year, month and day; year 0 is 1 BC.
const DAYS: [(&str, i32, u32, u32); 6] = [
    ("1970-01-01", 1970, 1, 1),
    ("0001-01-01", 1, 1, 1),
    ("9999-12-31", 9999, 12, 31),
    ("4713-01-01 BC", -4712, 1, 1),
    ("1582-10-10", 1582, 10, 10),
    ("2024-02-29", 2024, 2, 29),
];

fn code(number: usize) -> String {
    let letter = |power: u32| char::from(LETTERS[number / LETTERS.len().pow(power) % LETTERS.len()]);
    format!("ß-{}{}{}{}", letter(3), letter(2), letter(1), letter(0))
}

fn date(year: i32, month: u32, day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(year, month, day).expect("a day of the calendar")
}

fn days_of(year: i32, month: u32, day: u32) -> i64 {
    date(year, month, day).signed_duration_since(date(1970, 1, 1)).num_days()
}

/// Extreme instants now and then, and otherwise one a minute from 2001 on.
fn instant(row: usize) -> Cell {
    if row.is_multiple_of(NULL_EVERY) {
        return (String::new(), Value::Null);
    }
    match row % 1_000 {
        1 => ("0001-01-01 00:00:00+00".to_owned(), json!(days_of(1, 1, 1) * MICROS_PER_DAY)),
        2 => ("9999-12-31T23:59:59.999999Z".to_owned(), json!((days_of(9999, 12, 31) + 1) * MICROS_PER_DAY - 1)),
        3 => ("1969-12-31 23:59:59.999999+00".to_owned(), json!(-1)),
        4 => ("1970-01-01 00:00:00-03".to_owned(), json!(MICROS_PER_DAY / 8)),
        _ => {
            let second = row * 61;
            let (days, second, micro) = (second / 86_400, second % 86_400, row * 7 % 1_000_000);
            let day = date(2001, 1, 1).checked_add_days(Days::new(days as u64)).expect("a day of the calendar");
            let clock = format!("{:02}:{:02}:{:02}.{micro:06}", second / 3_600, second / 60 % 60, second % 60);
            let days = days_of(2001, 1, 1) + days as i64;
            let micros = days * MICROS_PER_DAY + second as i64 * 1_000_000 + micro as i64;
            (format!("{day} {clock}+00"), json!(micros))
        }
    }
}

/// A text in quotes, without which an empty one would be NULL.
fn text(text: Option<String>) -> Cell {
    let field = text.as_ref().map(|text| format!("\"{}\"", text.replace('"', "\"\"")));
    (field.unwrap_or_default(), json!(text))
}

/// One table of the sample: Latin-1, columns by a mapping, numbers out of natural keys, three rows that break rules.
pub(crate) fn sample(table: &'static str) -> Case {
    let lake = Lake::beer();
    let contract = lake.table(table).expect("a beer table").clone();
    let mapping = Mapping::parse(MAPPING).expect("valid").csv_format(&contract).expect("fits");
    let latin1: String = SAMPLE.iter().map(|byte| char::from(*byte)).collect();
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(latin1.as_bytes());
    let header: HashMap<String, usize> =
        reader.headers().expect("a header").iter().enumerate().map(|(at, name)| (name.to_owned(), at)).collect();
    // No field of the sample holds a line end, so a row begins where its line does.
    let lines = || SAMPLE.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::len);
    let offset = |row: usize| lines().take(row).sum::<usize>();
    let mut bad = vec![(31, offset(31), "field-count", "9 fields, expected 14".to_owned())];
    if table == "review" {
        bad.insert(0, (13, offset(13), "type", "column `review_overall` is not exactly a numeric(2,1)".to_owned()));
        bad.insert(1, (22, offset(22), "null", "column `beer_id` is NULL".to_owned()));
    } else {
        bad.insert(0, (22, offset(22), "missing-key", "column `beer_id` is NULL".to_owned()));
    }
    let mut good = Vec::new();
    for (at, record) in reader.records().enumerate() {
        let record = record.expect("a CSV record");
        if bad.iter().all(|(row, ..)| *row != at + 1) {
            let record = Record { fields: &record, header: &header };
            good.push(if table == "review" { record.review() } else { record.beer() });
        }
    }
    let format = Format::Csv(mapping);
    Case { name: table, table: contract, policy: lake.policy, format, csv: SAMPLE.to_vec(), good, bad, absent: None }
}

/// A row of the sample.
struct Record<'r> {
    fields: &'r csv::StringRecord,
    header: &'r HashMap<String, usize>,
}

impl Record<'_> {
    fn field(&self, name: &str) -> &str {
        &self.fields[self.header[name]]
    }

    fn review(&self) -> Vec<Value> {
        let digest = Sha256::digest(self.field("review_profilename"));
        let profile = u64::from_be_bytes(digest[..8].try_into().expect("eight bytes")) >> 1;
        let scores = ["review_overall", "review_aroma", "review_appearance", "review_palate", "review_taste"];
        let second: i64 = self.field("review_time").parse().expect("seconds");
        let mut cells = Vec::from(["", "brewery_id", "beer_beerid"].map(|name| number(self.field(name))));
        cells.push(json!(profile));
        cells.extend(scores.map(|name| json!(with_tenths(self.field(name)))));
        cells.extend([json!(second * 1_000_000), Value::Null]);
        cells
    }

    fn beer(&self) -> Vec<Value> {
        let strength = Some(self.field("beer_abv")).filter(|strength| *strength != "NA").map(with_tenths);
        vec![
            number(self.field("beer_beerid")),
            json!(self.field("beer_name")),
            json!(self.field("beer_style")),
            json!(strength),
            number(self.field("brewery_id")),
        ]
    }
}

fn number(text: &str) -> Value {
    json!(text.parse::<i64>().expect("a whole number"))
}

fn with_tenths(text: &str) -> String {
    if text.contains('.') { text.to_owned() } else { format!("{text}.0") }
}

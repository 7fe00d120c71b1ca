//! The engine against [`super::oracle`]: the same counts and the same bytes in both files, for good and broken input, blocks of
//! any size and any number of threads.

use lakebed_contract::{Lake, TableContract};
use lakebed_mask::{MaskKey, Masker, TableMasker};
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::oracle::{self, Files};
use super::{Compression, CsvFormat, Encoding, Format, Job, ROW_GROUP_TEXT_BYTES_MAX, Sizes, ingest_in};

/// A table with a column of each type; `id` was called `key`, and `n` both `m` and `o`.
fn kinds() -> TableContract {
    let column =
        |name: &str, kind: &str, rest: &str| format!("      - {{name: {name}, physicalType: '{kind}'{rest}}}\n");
    let former = |names: &str| format!(", customProperties: [{{property: formerNames, value: [{names}]}}]");
    let columns = [
        column("id", "bigint", &format!(", primaryKey: true, required: true{}", former("key"))),
        column("n", "integer", &former("m, o")),
        column("d", "numeric(10,2)", ""),
        column("f", "double precision", ""),
        column("b", "boolean", ""),
        column("s", "text", ", classification: email"),
        column("t", "text", ", required: true"),
        column("day", "date", ""),
        column("at", "timestamptz", ""),
    ];
    let text = format!(
        "apiVersion: v3.1.0\nkind: DataContract\nid: kinds\nname: kinds\nversion: 1.0.0\nstatus: active\n\
         slaProperties: [{{property: latency, value: 1, unit: h, element: 'day, kinds.at'}}]\nschema:\n  - name: kinds\n    \
         physicalName: dm_core.kinds\n    properties:\n{}",
        columns.concat()
    );
    TableContract::from_odcs_yaml("kinds.yaml", &text).expect("valid contract")
}

struct Pair {
    table: TableContract,
    masker: TableMasker,
    format: Format,
}

impl Pair {
    fn new(format: Format) -> Self {
        let table = kinds();
        let masker = Masker::new(MaskKey::new(1, [7; 32])).for_table(&table, &Lake::beer().policy).expect("mask plan");
        Self { table, masker, format }
    }

    /// Runs both. The error of a refused object counts as what came out.
    #[track_caller]
    fn check(&self, bytes: &[u8], threads: usize, block_bytes: usize, row_group_rows: usize) -> Result<Files, String> {
        let job = Job {
            table: &self.table,
            masker: &self.masker,
            format: &self.format,
            compression: Compression::Plain,
            generation: 3,
            last_modified: 1_000_000,
            source_object: "s3://dm-stage/raw/x",
            threads,
        };
        let sizes = Sizes { threads, block_bytes, row_group_rows, row_group_text_bytes: ROW_GROUP_TEXT_BYTES_MAX };
        let mut expected = oracle::ingest(bytes, &job, row_group_rows).map_err(|error| error.to_string());
        let (mut bronze, mut quarantine, mut reported) = (Vec::new(), Vec::new(), 0);
        let outcome = ingest_in(bytes, &mut bronze, &mut quarantine, &job, &sizes, &mut |rows| reported += rows);
        let mut found = outcome.map(|outcome| Files { outcome, bronze, quarantine }).map_err(|error| error.to_string());
        // The oracle suspects nothing.
        if let Ok(files) = &mut found {
            files.outcome.suspicions.clear();
        }
        // Taken out: it knows how often values were computed, batch by batch. The report does not.
        let coverages = [&mut found, &mut expected]
            .map(|files| files.as_mut().map(|files| std::mem::take(&mut files.outcome.coverage)).unwrap_or_default());
        let outcomes = [&found, &expected].map(|files| files.as_ref().map(|files| &files.outcome));
        let place = format!("{threads} threads, blocks of {block_bytes}: {:?}", String::from_utf8_lossy(bytes));
        assert_eq!(outcomes[0], outcomes[1], "{place}");
        assert_eq!(coverages[0].report(), coverages[1].report(), "{place}");
        if let (Ok(found), Ok(expected)) = (&found, &expected) {
            assert_eq!(reported, found.outcome.rows_in, "{place}");
            let looked_at = coverages[0].column("kinds", "s").values;
            assert_eq!(looked_at, found.outcome.rows_good, "every row's e-mail address was looked at");
            assert!(found.quarantine == expected.quarantine, "quarantine differs with {place}");
            assert!(found.bronze == expected.bronze, "bronze differs with {place}");
        }
        found
    }
}

const COLUMNS: [&str; 9] = ["id", "n", "d", "f", "b", "s", "t", "day", "at"];

fn number(at: usize) -> BoxedStrategy<String> {
    let texts: &[&str] = match at {
        0 => &["1", "-7", "9007199254740993", "9223372036854775808", "1.5", "", "1e3", "x"],
        1 => &["0", "-2147483648", "2147483648", "", "12"],
        2 => &["4.50", "0.001", "-0", "12345678.90", "123456789.00", "1e2", "NaN", ""],
        3 => &["2.5", "NaN", "-Infinity", "1e999", "inf", ""],
        4 => &["t", "f", "true", "false", "yes", ""],
        7 => &["2018-01-02", "2018-02-30", "0044-03-15 BC", "infinity", "2018-1-2", ""],
        8 => &["2010-11-01 00:02:00.1+00", "2010-11-01T00:02:00Z", "2010-11-01 00:02:00-03", "2010-11-01", ""],
        _ => &["", "a@b.co", "Kölsch", "say \"hi\"", "x\ny", "a,b", "\r", "null"],
    };
    // The first is always a value, so that many rows are good.
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    let first = texts[if at == 5 || at == 6 { 2 } else { 0 }].clone();
    prop_oneof![3 => Just(first), 2 => prop::sample::select(texts)].boxed()
}

fn row() -> impl Strategy<Value = Vec<String>> {
    (0..COLUMNS.len()).map(number).collect::<Vec<_>>()
}

/// A field as a writer may put it: quoted, or as it is if that is allowed, or broken.
fn csv_field(text: &str, spelling: u8) -> String {
    let quoted = format!("\"{}\"", text.replace('"', "\"\""));
    let needs_quotes = text.contains(['"', ',', '\n', '\r']);
    match spelling {
        0..=9 if needs_quotes => quoted,
        0..=9 => text.to_owned(),
        10..=17 => quoted,
        18 => format!("{quoted}x"),
        _ => text.to_owned(),
    }
}

fn csv_line() -> impl Strategy<Value = String> {
    let line =
        (row(), prop::collection::vec(0u8..20, COLUMNS.len()), 0u8..20, prop::sample::select(vec!["\n", "\r\n"]));
    line.prop_map(|(row, spellings, odd, end)| {
        let mut fields: Vec<_> = row.iter().zip(spellings).map(|(text, spelling)| csv_field(text, spelling)).collect();
        match odd {
            0 => drop(fields.pop()),
            1 => fields.push("more".to_owned()),
            2 => fields.clear(),
            _ => {}
        }
        fields.join(",") + end
    })
}

/// Changes some bytes, or none.
fn damaged(text: String, damage: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    let mut bytes = text.into_bytes();
    for (at, byte) in damage {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
    }
    bytes
}

fn damage() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    let byte = prop::sample::select(b"\",\n\r{}[\\\xff0".to_vec());
    prop_oneof![
        1 => Just(Vec::new()),
        1 => prop::collection::vec((any::<prop::sample::Index>(), byte), 1..6),
    ]
}

/// Threads, bytes per block, rows per row group.
fn sizes() -> impl Strategy<Value = (usize, usize, usize)> {
    (1usize..5, prop_oneof![1usize..40, 40usize..2_000], 1usize..9)
}

/// The member `control`, or none: definitions that agree with `kinds` and such that do not.
fn control(kind: u8) -> String {
    let of = |name: &str| serde_json::json!({"type": name});
    let mut columns = serde_json::json!({
        "id": of("INT64"), "n": of("INT32"), "d": {"type": "NUMERIC", "precision": 10, "scale": 2}, "f": of("DOUBLE"),
        "b": of("BOOL"), "s": of("STRING"), "t": of("STRING"), "day": of("DATE32"), "at": of("TIMESTAMP"),
    });
    match kind {
        0 => return String::new(),
        1 => return "\"control\":{},".to_owned(),
        2 => columns["n"] = of("INT64"),
        3 => columns["n"] = of("STRING"),
        4 => columns["o"] = of("INT32"),
        5 => columns["more"] = of("MAP"),
        6 => columns["t"] = serde_json::Value::Null,
        7 => columns = serde_json::json!({"key": of("INT64")}),
        _ => {}
    }
    format!("\"control\":{{\"table-def\":{{\"columns\":{columns},\"primary-key\":[\"id\"]}}}},")
}

fn json_line() -> impl Strategy<Value = String> {
    let operations = ["load", "insert", "update", "delete", "insert", "update", "upsert", "add-column", "rename-table"];
    let operation = (prop::sample::select(operations.to_vec()), 0u8..9);
    let separator = prop::sample::select(vec!["\n", "\n", "\n", "\r\n", "", " ", "\n\n"]);
    (row(), operation, separator, 0u8..24, any::<bool>()).prop_map(|(row, (operation, kind), separator, odd, quoted)| {
        let mut data: Vec<(String, serde_json::Value)> = Vec::new();
        for (name, text) in COLUMNS.iter().zip(row) {
            let plain = serde_json::from_str(&text).ok().filter(|_| !quoted);
            let value = if text == "null" { serde_json::Value::Null } else { plain.unwrap_or_else(|| text.into()) };
            data.push(((*name).to_owned(), value));
        }
        match odd {
            0 => drop(data.remove(1)),
            1 => data.push(("more".to_owned(), 1.into())),
            2 => data.swap(0, 2),
            3 => data.truncate(1),
            9 => data[1].0 = "m".to_owned(),
            10 => data[0].0 = "key".to_owned(),
            11 => data.push(("o".to_owned(), data[1].1.clone())),
            12 => data.push(("m".to_owned(), 7.into())),
            _ => {}
        }
        let old_key = match odd {
            13 => "\"key\":13".to_owned(),
            14 => "\"id\":14,\"key\":15".to_owned(),
            _ => format!("\"id\":{odd}"),
        };
        let is_row = matches!(operation, "load" | "insert" | "update" | "delete");
        let control = if is_row { String::new() } else { control(kind) };
        let members: Vec<_> = data.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        let mut members = members.join(",");
        if odd == 4 {
            members.push_str(",\"id\":5");
        }
        let table = if odd == 5 { "other" } else { "kinds" };
        let text = format!(
            "{{\"data\":{{{members}}},\"before-image\":{{{old_key}}},{control}\"metadata\":{{\"timestamp\":\"2024-07-29T00:59:07.686557Z\",\
             \"record-type\":\"data\",\"operation\":\"{operation}\",\"partition-key-type\":\"schema-table\",\"schema-name\":\"dm_core\",\
             \"table-name\":\"{table}\",\"commit-timestamp\":\"2024-07-29T00:59:07.5Z\",\
             \"stream-position\":\"00000002/7C0073F8.{odd}.00000002/7C0073F8\"}}}}"
        );
        let text = match (odd, serde_json::from_str::<serde_json::Value>(&text)) {
            (6 | 7, Ok(value)) => serde_json::to_string_pretty(&value).unwrap_or(text),
            (8, _) => text[..text.len() / 2].to_owned(),
            _ => text,
        };
        text + separator
    })
}

proptest! {
    #[test]
    fn csv_is_read_as_the_oracle_reads_it(
        lines in prop::collection::vec(csv_line(), 0..12), damage in damage(), header in 0u8..8, sizes in sizes(),
    ) {
        let (mut format, mut text) = (CsvFormat::default(), String::new());
        match header {
            0 | 7 => format.header = false,
            1 => text.push_str("t,id,more,s\n"),
            2 => text.push_str("\u{feff}\n\"id\",n,d,f,b,s,t,day,at\r\n"),
            5 => text.push_str("key,o,d,f,b,s,t,day,at\n"),
            6 => text.push_str("id,n,d,f,b,s,t,m,at\n"),
            _ => text.push_str("id,n,d,f,b,s,t,day,at\n"),
        }
        match header {
            0 => format.columns = Some(mapped()),
            7 => format.columns = Some(numbered()),
            3 => format.encoding = Encoding::Latin1,
            4 => format.null = Some("null".to_owned()),
            _ => {}
        }
        let bytes = damaged(text + &lines.concat(), &damage);
        let (threads, block_bytes, row_group_rows) = sizes;
        let _ = Pair::new(Format::Csv(format)).check(&bytes, threads, block_bytes, row_group_rows);
    }

    #[test]
    fn json_is_read_as_the_oracle_reads_it(
        lines in prop::collection::vec(json_line(), 0..10), damage in damage(), sizes in sizes(),
    ) {
        let bytes = damaged(lines.concat(), &damage);
        let (threads, block_bytes, row_group_rows) = sizes;
        let _ = Pair::new(Format::Json).check(&bytes, threads, block_bytes, row_group_rows);
    }
}

/// Columns of a file without header, by number.
fn numbered() -> std::collections::BTreeMap<String, super::ColumnSource> {
    let by_number = |at: usize| super::ColumnSource::Column { name: (at + 1).to_string(), transform: None };
    COLUMNS.iter().enumerate().map(|(at, name)| ((*name).to_owned(), by_number(at))).collect()
}

/// The same, but one is a constant and one is not there.
fn mapped() -> std::collections::BTreeMap<String, super::ColumnSource> {
    use super::ColumnSource;
    let mut columns = numbered();
    columns.insert("at".to_owned(), ColumnSource::Constant("2010-11-01T00:02:00Z".to_owned()));
    columns.remove("f");
    columns
}

/// Whether an empty line is a record depends on the first one, which is read twice when its columns do not take it.
#[test]
fn an_empty_line_in_front_of_the_first_record_is_none() {
    let pair = Pair::new(Format::Csv(CsvFormat { header: false, columns: Some(numbered()), ..CsvFormat::default() }));
    for (text, records) in [("\n7\n", 1), ("\r\n\n7\n\n7\n", 3), ("\n1,2\n\n1\n", 2)] {
        let files = pair.check(text.as_bytes(), 1, 1 << 20, 100).expect("readable");
        assert_eq!((files.outcome.rows_in, files.outcome.rows_bad), (records, records), "{text:?}");
    }
}

/// The generators above would prove little if they made no good rows, or only such.
#[test]
fn the_generators_make_good_and_bad_rows() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut made, mut told) = ([(0, 0); 2], std::collections::BTreeSet::new());
    for _ in 0..80 {
        for (made, csv) in made.iter_mut().zip([true, false]) {
            let lines = if csv { csv_line().boxed() } else { json_line().boxed() };
            let lines = prop::collection::vec(lines, 4).new_tree(&mut runner).expect("lines").current().concat();
            let (format, text) = if csv {
                (Format::Csv(CsvFormat::default()), format!("{}\n{lines}", COLUMNS.join(",")))
            } else {
                (Format::Json, lines)
            };
            let files = Pair::new(format).check(text.as_bytes(), 2, 100, 3).expect("readable");
            *made = (made.0 + files.outcome.rows_good, made.1 + files.outcome.rows_bad);
            told.extend(files.outcome.schema_changes);
        }
    }
    assert!(told.len() > 4, "{told:?}");
    assert!(made.iter().all(|(good, bad)| *good > 20 && *bad > 20), "{made:?}");
}

#[test]
fn pages_and_row_groups_are_those_of_the_plain_writer() {
    let line = |id: usize| {
        let text = if id.is_multiple_of(13) { "" } else { "some text" };
        let key = if id.is_multiple_of(97) { String::new() } else { id.to_string() };
        format!(
            "{key},{},{}.25,{id},t,user{}@example.com,{text}{id},2018-01-02,2010-11-01 00:02:00+00\n",
            id % 7,
            id % 999,
            id % 50
        )
    };
    let text: String = std::iter::once(COLUMNS.join(",") + "\n").chain((0..9_000).map(line)).collect();
    let pair = Pair::new(Format::Csv(CsvFormat::default()));
    for (threads, block_bytes, row_group_rows) in
        [(1, 1 << 20, 1 << 16), (2, 1 << 14, 5_000), (4, 1_000, 3_500), (3, 70_000, 2_048)]
    {
        let files = pair.check(text.as_bytes(), threads, block_bytes, row_group_rows).expect("readable");
        assert!(files.outcome.rows_good > 8_000 && files.outcome.rows_bad > 90);
    }
}

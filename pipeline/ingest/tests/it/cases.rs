//! The nasty cases that end in bronze, by their numbers in the catalogue of change-data-capture troubles.
//!
//! Cases 28 and 29 go on in `evolution`. Each test is what the engine owes to its case. What other stages owe (retries and statuses, the limits of the stream, casts
//! in silver) is tested with them.

use lakebed_contract::TableContract;
use lakebed_ingest::engine::{Compression, CsvFormat, Encoding, EngineError, Format, RECORD_BYTES_MAX};

use crate::bench::{Bench, Run, all_text, beer_table, gzip, rows, rules, zstd};

const HEADER: &str = "brewery_id,brewery_name,city,state\n";
const BREWERY: [&str; 5] = ["brewery_id", "brewery_name", "city", "state", "_absent"];

#[track_caller]
fn ingest(bench: &Bench, bytes: &[u8]) -> Run {
    let run = bench.run(bytes).expect("readable");
    let outcome = &run.outcome;
    assert_eq!(outcome.rows_in, outcome.rows_good + outcome.rows_bad + outcome.rows_dropped());
    run
}

#[track_caller]
fn refusal(bench: &Bench, bytes: &[u8]) -> String {
    match bench.run(bytes) {
        Err(EngineError::Unreadable { reason }) => reason,
        other => panic!("expected a refusal: {:?}", other.map(|run| run.outcome)),
    }
}

/// A record of `brewery` with these members in `data`.
fn brewery(operation: &str, data: &str) -> String {
    envelope("data", operation, "brewery", data)
}

fn envelope(record_type: &str, operation: &str, table: &str, data: &str) -> String {
    format!(
        "{{\"data\":{{{data}}},\"metadata\":{{\"timestamp\":\"2024-07-29T00:59:07.686557Z\",\"record-type\":\"{record_type}\",\
         \"operation\":\"{operation}\",\"partition-key-type\":\"schema-table\",\"schema-name\":\"dm_core\",\"table-name\":\"{table}\",\
         \"commit-timestamp\":\"2024-07-29T00:59:07.5Z\",\"stream-position\":\"00000002/7C0073F8.3.00000002/7C0073F8\"}}}}\n"
    )
}

fn named(bench: Bench, compression: Compression) -> Bench {
    Bench { compression, ..bench }
}

#[test]
fn case_17_empty_objects_are_done_with_no_rows_and_no_files() {
    use Compression::{Gzip, Plain, Zstd};
    let nothing: [(&[u8], Compression); 7] = [
        (b"", Plain),
        (b"", Gzip),
        (b"", Zstd),
        (&gzip(b""), Gzip),
        (&gzip(b""), Plain),
        (&zstd(b""), Zstd),
        (b"\n\r\n", Plain),
    ];
    for (bytes, compression) in nothing {
        for bench in [Bench::json("brewery"), Bench::csv("brewery")] {
            let run = ingest(&named(bench, compression), bytes);
            assert_eq!((run.outcome.rows_in, run.bronze.len(), run.quarantine.len()), (0, 0, 0), "{compression:?}");
        }
    }
}

#[test]
fn case_18_an_object_that_cannot_be_read_to_its_end_is_refused_as_a_whole() {
    let text = HEADER.to_owned() + &(0..5_000).map(|id| format!("{id},brewery {id},City,X\n")).collect::<String>();
    for (whole, compression, name) in
        [(gzip(text.as_bytes()), Compression::Gzip, "gzip"), (zstd(text.as_bytes()), Compression::Zstd, "zstd")]
    {
        let bench = named(Bench::csv("brewery"), compression);
        assert_eq!(ingest(&bench, &whole).outcome.rows_good, 5_000);
        assert!(refusal(&bench, &whole[..whole.len() - 1]).contains("too early"), "{name}");
        assert!(refusal(&bench, &whole[..whole.len() / 2]).contains("too early"), "{name}");
        let mut flipped = whole.clone();
        // Of gzip the checksum, which stands before the length; of zstd the checksum, too.
        let at = flipped.len() - if name == "gzip" { 5 } else { 1 };
        flipped[at] ^= 1;
        assert!(refusal(&bench, &flipped).contains("checksum"), "{name}");
        assert!(refusal(&bench, text.as_bytes()).contains(&format!("not {name}")), "{name}");
    }
}

#[test]
fn case_19_all_members_are_read_and_garbage_after_them_refuses_the_object() {
    let halves = (&b"brewery_id,brewery_name\n1,An"[..], &b"chor\n2,Bear\n"[..]);
    let gz = named(Bench::csv("brewery"), Compression::Gzip);
    let members = [gzip(halves.0), gzip(b""), gzip(halves.1)].concat();
    let expected = "1|Anchor\n2|Bear\n";
    for bytes in [members.clone(), [members.clone(), vec![0; 512]].concat()] {
        assert_eq!(rows(&ingest(&gz, &bytes).bronze, &["brewery_id", "brewery_name"]), expected);
    }
    for garbage in [&b"garbage"[..], b"\0\0x", b"\x1f"] {
        refusal(&gz, &[&members[..], garbage].concat());
    }
    let zst = named(Bench::csv("brewery"), Compression::Zstd);
    let frames = [zstd(halves.0), zstd(b""), zstd(halves.1)].concat();
    assert_eq!(rows(&ingest(&zst, &frames).bronze, &["brewery_id", "brewery_name"]), expected);
    refusal(&zst, &[&frames[..], b"garbage"].concat());
}

#[test]
fn case_20_every_layout_of_a_json_stream_is_read() {
    let one = brewery("load", "\"brewery_id\":1,\"brewery_name\":\"Kölsch 🍺\"");
    let two = brewery("load", "\"brewery_id\":2,\"brewery_name\":\"B\"");
    let (one, two) = (one.trim_end(), two.trim_end());
    let pretty = serde_json::to_string_pretty(&serde_json::from_str::<serde_json::Value>(one).expect("JSON"));
    let pretty = pretty.expect("serialises");
    let layouts = [
        format!("{one}{two}\n"),
        format!("{one} {two}"),
        format!("{one}\n{two}"),
        format!("{one}\r\n{two}\r\n"),
        format!("{pretty}\n{two}"),
        format!("{}\r\n{two}", pretty.replace('\n', "\r\n")),
        format!("\n\n{one}\n \n{two}\n\n"),
    ];
    let bench = Bench::json("brewery");
    for text in layouts.iter().flat_map(|text| [text.clone(), format!("\u{feff}{text}")]) {
        let run = ingest(&bench, text.as_bytes());
        assert_eq!(rows(&run.bronze, &["brewery_id", "brewery_name"]), "1|Kölsch 🍺\n2|B\n", "{text:?}");
        // The byte order mark of UTF-16 tells UTF-16.
        let low: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
        let high: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_be_bytes).collect();
        for utf16 in [low, high] {
            let marked_once = &utf16[if text.starts_with('\u{feff}') { 2 } else { 0 }..];
            assert!(ingest(&bench, marked_once).bronze == run.bronze);
            assert!(refusal(&bench, utf16.trim_start_mark()).contains("NUL bytes"));
        }
    }
}

trait TrimMark {
    /// Without the byte order marks of UTF-16 at the beginning.
    fn trim_start_mark(&self) -> &[u8];
}

impl TrimMark for [u8] {
    fn trim_start_mark(&self) -> &[u8] {
        let mut rest = self;
        while let [0xff, 0xfe, after @ ..] | [0xfe, 0xff, after @ ..] = rest {
            rest = after;
        }
        // Empty lines show nothing of what they are in.
        while let [b'\n' | b'\r', 0, after @ ..] | [0, b'\n' | b'\r', after @ ..] = rest {
            rest = after;
        }
        rest
    }
}

#[test]
fn case_21_a_bad_line_costs_itself_and_says_where_it_stood() {
    let good = brewery("load", "\"brewery_id\":1,\"brewery_name\":\"A\\\"B\"");
    let unknown = brewery("upsert", "\"brewery_id\":3,\"brewery_name\":\"C\"");
    for length in 1..good.len() - 2 {
        let broken = &good[..length];
        let text = format!("{good}{broken}\n{good}{unknown}{good}");
        let run = ingest(&Bench::json("brewery"), text.as_bytes());
        // Not right: a line cut right after a member's colon takes the next line for the member's value, and along with it into
        // quarantine. Nothing is lost unseen, but that line was good.
        let swallowed = u64::from(broken.ends_with("\":"));
        let rules_broken = format!("2:json-syntax {}:unknown-operation", 4 - swallowed);
        assert_eq!((rules(&run), run.outcome.rows_good), (rules_broken, 3 - swallowed), "{broken}");
        let reasons = rows(&run.quarantine, &["reason"]);
        assert!(reasons.contains(&format!("at byte {}", good.len())), "{reasons}");
    }
}

#[test]
fn case_22_nul_characters_are_kept() {
    let json = brewery("load", r#""brewery_id":1,"brewery_name":"a\u0000b""#);
    let csv = format!("{HEADER}1,a\0b,X,\"\0\"\n");
    assert_eq!(rows(&ingest(&Bench::json("brewery"), json.as_bytes()).bronze, &["brewery_name"]), "a\0b\n");
    assert_eq!(rows(&ingest(&Bench::csv("brewery"), csv.as_bytes()).bronze, &BREWERY[1..4]), "a\0b|X|\0\n");
}

#[test]
fn case_23_large_values_pass_and_larger_ones_cost_themselves() {
    let large = "x".repeat(10 * 1024 * 1024);
    let beyond = "y".repeat(RECORD_BYTES_MAX);
    let csv = [HEADER, "1,", &large, ",,\n2,", &beyond, ",,\n3,C,,\n"].concat();
    let json = |id: u32, name: &str| brewery("load", &format!("\"brewery_id\":{id},\"brewery_name\":\"{name}\""));
    let json = [json(1, &large), json(2, &beyond), json(3, "C")].concat();
    for (bench, text, rule) in
        [(Bench::csv("brewery"), csv, "2:csv-syntax"), (Bench::json("brewery"), json, "2:json-syntax")]
    {
        let run = ingest(&bench, text.as_bytes());
        assert_eq!(rules(&run), rule);
        let names = rows(&run.bronze, &["brewery_name"]);
        assert!(names == format!("{large}\nC\n"), "the others are whole");
    }
}

/// A table with one column of a type beside its key.
fn one_column(physical_type: &str) -> Result<TableContract, String> {
    let text = format!(
        "apiVersion: v3.1.0\nkind: DataContract\nid: one\nname: one\nversion: 1.0.0\nstatus: active\nschema:\n  - name: one\n    \
         physicalName: dm_core.one\n    properties:\n      - {{name: id, physicalType: bigint, primaryKey: true}}\n      \
         - {{name: v, physicalType: '{physical_type}'}}\n"
    );
    TableContract::from_odcs_yaml("one.yaml", &text).map_err(|error| error.to_string())
}

/// What becomes of a value in both formats: as it is shown, or the rule it breaks. A neighbour must be kept.
#[track_caller]
fn check(physical_type: &str, text: &str, expected: &str) {
    let table = one_column(physical_type).expect("a contract");
    let json = |id: u32, value: &str| envelope("data", "load", "one", &format!("\"id\":{id},\"v\":{value}"));
    let json = json(1, &format!("\"{text}\"")) + &json(2, "null");
    for (bench, object) in [(Bench::csv("brewery"), format!("id,v\n1,{text}\n2,\n")), (Bench::json("brewery"), json)] {
        let run = ingest(&Bench { table: table.clone(), ..bench }, object.as_bytes());
        let shown = rows(&run.bronze, &["v"]);
        let kept = shown.strip_suffix("∅\n").expect("the neighbour");
        let found = if kept.is_empty() { rules(&run) } else { kept.trim_end().to_owned() };
        assert_eq!(found, expected, "{physical_type} {text}");
    }
}

/// A `numeric` that is no number breaks the contract, whose type is a decimal: its row goes to quarantine, and is not changed
/// into a NULL. A table that expects such values declares the column as text or double precision, which keep them.
#[test]
fn case_24_numbers_are_exact_or_say_that_they_are_not() {
    for text in ["NaN", "Infinity", "-Infinity", "1e-30", "0.005", "100000000"] {
        check("numeric(10,2)", text, "1:type");
        check("text", text, text);
    }
    for (text, expected) in [("-0", "0.00"), ("-0.00", "0.00"), ("1e2", "100.00"), ("12345678.9", "12345678.90")] {
        check("numeric(10,2)", text, expected);
    }
    let longest = "9".repeat(38);
    check("numeric(38,0)", &longest, &longest);
    check("numeric(38,0)", &"9".repeat(39), "1:type");
    check("numeric(38,37)", "1e-30", &format!("0.{}1{}", "0".repeat(29), "0".repeat(7)));
    for text in ["NaN", "-0.0"] {
        check("double precision", text, text);
    }
    check("double precision", "Infinity", "inf");
    check("double precision", "1e999", "1:type");
    assert!(one_column("numeric(39,0)").is_err(), "a precision that no decimal has is refused with the contract");
}

#[test]
fn case_25_instants_are_exact_in_utc_and_clamped_where_there_are_none() {
    for (text, expected) in [
        ("2010-11-01 00:02:00.123456+00", "2010-11-01T00:02:00.123456Z"),
        ("2010-11-01 00:02:00-03", "2010-11-01T03:02:00.000000Z"),
        ("2010-11-01T05:47:00+05:45", "2010-11-01T00:02:00.000000Z"),
        // No zone is UTC, so there is no hour that daylight saving leaves out: 02:30 of this day does not exist in New York.
        ("2024-03-10 02:30:00", "2024-03-10T02:30:00.000000Z"),
        ("2010-12-31 24:00:00+00", "2011-01-01T00:00:00.000000Z"),
        ("infinity", "9999-12-31T23:59:59.000000Z"),
    ] {
        check("timestamptz", text, expected);
    }
    let table = one_column("timestamptz").expect("a contract");
    let run = ingest(
        &Bench { table, ..Bench::csv("brewery") },
        b"id,v\n1,-infinity\n2,4713-01-01 00:00:00+00 BC\n3,0044-03-15 12:00:00+00 BC\n4,294246-12-31 23:59:59+00\n5,294276-12-31 23:59:59+00\n",
    );
    assert_eq!((rules(&run).as_str(), run.outcome.rows_good), ("5:type", 4), "the last years of Postgres have no i64");
    let shown = rows(&run.bronze, &["v"]);
    let shown: Vec<&str> = shown.lines().collect();
    assert_eq!(shown[0], shown[1], "the beginning of time is the first day of Postgres");
    check("date", "2024-02-29", "2024-02-29");
    check("date", "2023-02-29", "1:type");
    check("date", "infinity", "9999-12-31");
}

#[test]
fn case_26_whole_numbers_are_exact_however_they_are_written() {
    for (text, expected) in [
        ("9007199254740993", "9007199254740993"),
        ("9223372036854775807", "9223372036854775807"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("1.2345678901234567E+17", "123456789012345670"),
        ("1e3", "1000"),
        ("9223372036854775808", "1:type"),
        ("1.5", "1:type"),
        ("1e30", "1:type"),
    ] {
        check("bigint", text, expected);
    }
    let table = one_column("bigint").expect("a contract");
    let bare = envelope("data", "insert", "one", "\"id\":9007199254740993,\"v\":1.2345678901234567E+17");
    let run = ingest(&Bench { table, ..Bench::json("brewery") }, bare.as_bytes());
    assert_eq!(rows(&run.bronze, &["id", "v"]), "9007199254740993|123456789012345670\n");
}

#[test]
fn case_27_empty_null_and_absent_are_three_things() {
    let csv = format!("{HEADER}1,\"\",,\"\"\n");
    assert_eq!(rows(&ingest(&Bench::csv("brewery"), csv.as_bytes()).bronze, &BREWERY), "1||∅||∅\n");
    let json = brewery("insert", "\"brewery_id\":1,\"brewery_name\":\"\",\"city\":null");
    assert_eq!(rows(&ingest(&Bench::json("brewery"), json.as_bytes()).bronze, &BREWERY), "1||∅|∅|state\n");
}

#[test]
fn case_28_rows_before_and_after_a_new_column_are_read_from_one_object() {
    // The contract has not heard of `ibu` yet, and no control record says anything.
    let before = brewery("insert", "\"brewery_id\":1,\"brewery_name\":\"A\",\"city\":\"X\",\"state\":\"Y\"");
    let after = brewery("insert", "\"brewery_id\":2,\"brewery_name\":\"B\",\"city\":\"X\",\"state\":\"Y\",\"ibu\":40");
    let control = envelope("control", "add-column", "brewery", "");
    for text in [format!("{before}{after}"), format!("{before}{control}{after}"), format!("{before}{after}{control}")] {
        let run = ingest(&Bench::json("brewery"), text.as_bytes());
        assert_eq!((run.outcome.rows_good, run.outcome.rows_bad, run.outcome.extra_values), (2, 0, 1));
        assert_eq!(run.outcome.rows_dropped(), u64::from(text.contains("add-column")));
        assert_eq!(run.outcome.schema_changes.len() as u64, run.outcome.rows_dropped(), "told that something changed");
    }
    // The contract has it already: old rows lack it, which is not the same as NULL.
    let old = brewery("insert", "\"brewery_id\":1,\"brewery_name\":\"A\"");
    let new = brewery("insert", "\"brewery_id\":2,\"brewery_name\":\"B\",\"city\":null,\"state\":\"Y\"");
    let run = ingest(&Bench::json("brewery"), format!("{old}{new}").as_bytes());
    assert_eq!(rows(&run.bronze, &BREWERY), "1|A|∅|∅|city,state\n2|B|∅|Y|∅\n");
    let run = ingest(&Bench::csv("brewery"), b"brewery_id,brewery_name\n1,A\n");
    assert_eq!(rows(&run.bronze, &BREWERY), "1|A|∅|∅|city,state\n");
}

#[test]
fn case_29_dropped_renamed_and_retyped_columns_lose_nothing_silently() {
    let bench = Bench::json("brewery");
    // Dropped: absent. Renamed: the old name is absent, the new one counted; the control record is dropped by its rule.
    let control = envelope("control", "rename-column", "brewery", "");
    let renamed = brewery("insert", "\"brewery_id\":1,\"brewery_name\":\"A\",\"town\":\"X\",\"state\":\"Y\"");
    let run = ingest(&bench, format!("{control}{renamed}").as_bytes());
    assert_eq!(rows(&run.bronze, &BREWERY), "1|A|∅|Y|city\n");
    assert_eq!((run.outcome.extra_values, run.outcome.rows_dropped()), (1, 1));
    // A required column that is dropped or renamed: CSV quarantines every row, by a rule that says it.
    let run = ingest(&Bench::csv("brewery"), b"brewery_id,name\n1,A\n2,B\n");
    assert_eq!(rules(&run), "1:missing-column 2:missing-column");
    // The source widened, the contract did not: what fits is kept, what does not is quarantined, never cut.
    check("integer", "2147483647", "2147483647");
    check("integer", "2147483648", "1:type");
    check("numeric(4,1)", "10000.5", "1:type");
    // The contract widened, the source did not: every old value is a value of the new type.
    check("bigint", "2147483647", "2147483647");
    check("numeric(10,2)", "4.5", "4.50");
    // Dropped and added again with another type: a conflict is quarantined.
    check("date", "four", "1:type");
    check("boolean", "2018-01-02", "1:type");
}

#[test]
fn case_41_personal_data_in_unexpected_places_stays_in_raw() {
    const PLANTED: [&str; 3] = ["ana.lima@example.com", "529.982.247-25", "Ana Beatriz Lima"];
    let assert_clean = |file: &[u8]| {
        let text = all_text(file);
        for planted in PLANTED {
            let in_bytes = memchr::memmem::find(file, planted.as_bytes()).is_some();
            assert!(!in_bytes && !text.contains(planted), "a planted value survived");
        }
    };
    let record = |operation: &str, data: &str| envelope("data", operation, "profile", data);
    let lines = [
        // As a key, a number, an object, an operation, a member's name, a table's, and outside of any record.
        record("insert", &format!("\"profile_id\":\"{}\",\"profile_name\":\"x\"", PLANTED[0])),
        record("insert", &format!("\"profile_id\":1,\"profile_name\":{{\"email\":\"{}\"}}", PLANTED[0])),
        record("insert", &format!("\"profile_id\":1,\"profile_name\":\"x\",\"birth_date\":\"{}\"", PLANTED[1])),
        record(PLANTED[0], "\"profile_id\":1,\"profile_name\":\"x\""),
        envelope("data", "insert", PLANTED[2], "\"profile_id\":1"),
        record("insert", &format!("\"profile_id\":2,\"profile_name\":\"x\",\"{}\":\"{}\"", PLANTED[0], PLANTED[1])),
        format!("{} {}\n", PLANTED[1], PLANTED[2]),
        format!("{{\"email\":\"{}\",}}\n", PLANTED[0]),
    ];
    let run = ingest(&Bench::json("profile"), lines.concat().as_bytes());
    assert_eq!((run.outcome.rows_good, run.outcome.rows_bad), (1, 7));
    [&run.bronze, &run.quarantine].iter().for_each(|file| assert_clean(file));
    // What is refused as a whole is told without its content, whether in an error file or a log.
    let header = format!("{0},{0},email,email\n1,2,3,4\n", PLANTED[0]);
    assert_clean_text(&refusal(&Bench::csv("profile"), header.as_bytes()), &PLANTED);
    let unquoted = format!("\"{}\"x,b\n", PLANTED[0]);
    assert_clean_text(&refusal(&Bench::csv("profile"), unquoted.as_bytes()), &PLANTED);
}

#[track_caller]
fn assert_clean_text(text: &str, planted: &[&str]) {
    assert!(!planted.iter().any(|planted| text.contains(planted)), "a planted value is in a reason");
}

#[test]
fn case_41_equal_values_have_equal_tokens_wherever_they_come_from() {
    let csv = "profile_id,profile_name,email,cpf\n1,a,ana.lima@example.com,529.982.247-25\n2,b,joao@example.com,111.444.777-35\n";
    let json = envelope(
        "data",
        "insert",
        "profile",
        "\"profile_id\":3,\"profile_name\":\"c\",\"email\":\"ana.lima@example.com\",\"cpf\":\"529.982.247-25\"",
    );
    let columns = ["email", "cpf"];
    let csv = rows(&ingest(&Bench::csv("profile"), csv.as_bytes()).bronze, &columns);
    let json = rows(&ingest(&Bench::json("profile"), json.as_bytes()).bronze, &columns);
    let csv: Vec<&str> = csv.lines().collect();
    assert_eq!(csv[0], json.trim_end(), "the join works on what is masked");
    assert_ne!(csv[0], csv[1]);
    assert!(!csv[0].contains("example.com"));
}

#[test]
fn case_42_review_files_are_read_by_rfc_4180_and_bad_rows_quarantined() {
    let bench = Bench::csv("brewery");
    let text =
        format!("{HEADER}1,\"two\nlines, \"\"quoted\"\"\",X,Y\r\n2,5\" pipe,X,Y\n3,\"open\"x,X,Y\n4,A,X\n5,A,X,Y,Z\n");
    let run = ingest(&bench, text.as_bytes());
    assert_eq!(rows(&run.bronze, &BREWERY[..2]), "1|two\nlines, \"quoted\"\n2|5\" pipe\n");
    assert_eq!(rules(&run), "3:csv-syntax 4:field-count 5:field-count");
    // A duplicate of the file gives the same files.
    let again = ingest(&bench, &gzip(text.as_bytes()));
    assert!(run.bronze == again.bronze && run.quarantine == again.quarantine);
    let header_only = ingest(&bench, HEADER.as_bytes());
    assert_eq!((header_only.outcome.rows_in, header_only.bronze.len()), (0, 0));
    let extra = ingest(&bench, b"note,state,brewery_name,brewery_id\nn,Y,A,1\n");
    assert_eq!((rows(&extra.bronze, &BREWERY), extra.outcome.extra_values), ("1|A|∅|Y|city\n".to_owned(), 1));
}

#[test]
fn case_42_a_wrong_encoding_costs_the_row_or_is_refused_but_never_read_as_something_else() {
    let declared = |encoding: Encoding| Bench {
        format: Format::Csv(CsvFormat { encoding, ..CsvFormat::default() }),
        table: beer_table("brewery"),
        ..Bench::csv("brewery")
    };
    let text = "brewery_id,brewery_name\n1,Köln 🍺\n2,Bonn\n";
    let latin1 = b"brewery_id,brewery_name\n1,K\xf6ln\n2,Bonn\n";
    assert_eq!(rules(&ingest(&declared(Encoding::Utf8), latin1)), "1:encoding");
    assert_eq!(rows(&ingest(&declared(Encoding::Latin1), latin1).bronze, &["brewery_name"]), "Köln\nBonn\n");
    let plain = ingest(&declared(Encoding::Utf8), text.as_bytes());
    let low: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let high: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (bytes, mark, right, wrong) in [
        (low, [0xff, 0xfe], Encoding::Utf16Le, Encoding::Utf16Be),
        (high, [0xfe, 0xff], Encoding::Utf16Be, Encoding::Utf16Le),
    ] {
        let marked = [&mark[..], &bytes].concat();
        assert!(ingest(&declared(right), &bytes).bronze == plain.bronze);
        for encoding in [right, Encoding::Utf16, Encoding::Utf8] {
            assert!(ingest(&declared(encoding), &zstd(&marked)).bronze == plain.bronze);
        }
        for encoding in [wrong, Encoding::Utf16, Encoding::Utf8, Encoding::Latin1] {
            refusal(&declared(encoding), &bytes);
        }
        let lone = [&marked[..], if mark[0] == 0xff { &[0x3c, 0xd8] } else { &[0xd8, 0x3c] }].concat();
        assert!(refusal(&declared(right), &lone).contains("lone surrogate"));
    }
}

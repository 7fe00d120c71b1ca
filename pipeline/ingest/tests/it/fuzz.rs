//! Arbitrary bytes for each reader: CSV, JSON, and the framing of gzip and zstd. A fixed number of inputs from a fixed seed.
//!
//! Inputs are put together from pieces of real objects, so that many get past the first door; counters say how many. No input
//! may panic, lose a record or come out differently in other blocks; CSV and gzip are held against the plainest readers there
//! can be.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Read;

use arrow::array::{Array, AsArray};
use flate2::read::MultiGzDecoder;
use lakebed_contract::TableContract;
use lakebed_ingest::engine::{
    ColumnSource, Compression, CsvFormat, EngineError, Format, ZSTD_WINDOW_LOG_MAX, open_object,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::bench::{Run, batches, beer_table, gzip, rules, zstd};
use crate::check::{Check, runner};

/// How often something was seen.
#[derive(Default)]
struct Seen(RefCell<BTreeMap<&'static str, u64>>);

impl Seen {
    fn add(&self, what: &'static str, count: u64) {
        *self.0.borrow_mut().entry(what).or_default() += count;
    }

    #[track_caller]
    fn at_least(&self, expected: &[(&str, u64)]) {
        let seen = self.0.borrow();
        for (what, count) in expected {
            assert!(seen.get(what).is_some_and(|seen| seen >= count), "fewer than {count} times {what}: {seen:?}");
        }
    }
}

fn run<S: Strategy>(cases: u32, strategy: S, check: impl Fn(S::Value)) {
    let ran = runner(cases).run(&strategy, |case| {
        check(case);
        Ok(())
    });
    ran.unwrap_or_else(|failure| panic!("{failure}"));
}

/// Pieces one after the other, now and then with some bytes of chance between them.
fn pieces(pieces: Vec<&'static [u8]>, count: usize) -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        30 => select(pieces).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 1..6),
    ];
    prop::collection::vec(piece, 0..count).prop_map(|pieces| pieces.concat())
}

// --- CSV

/// A table of three texts.
fn cells() -> TableContract {
    let property = |name: &str| format!("      - {{name: {name}, physicalType: text, primaryKey: {}}}\n", name == "a");
    let text = format!(
        "apiVersion: v3.1.0\nkind: DataContract\nid: cells\nname: cells\nversion: 1.0.0\nstatus: active\nschema:\n  - name: cells\n    \
         physicalName: dm_core.cells\n    properties:\n{}",
        ["a", "b", "c"].map(property).concat()
    );
    TableContract::from_odcs_yaml("cells.yaml", &text).expect("valid contract")
}

/// What the engine should make of a record: its three cells, or the rule it breaks.
type Expected = Result<[Option<String>; 3], &'static str>;

/// A field's bytes, and whether it was quoted.
type Field = (Vec<u8>, bool);

/// The record that begins at `at`, and where the next one does. `None` for one that is not CSV.
fn naive_record(bytes: &[u8], mut at: usize, delimiter: u8) -> (Option<Vec<Field>>, usize) {
    let (mut fields, mut is_csv) = (Vec::new(), true);
    loop {
        let (mut content, quoted) = (Vec::new(), bytes.get(at) == Some(&b'"'));
        if quoted {
            at += 1;
            loop {
                match (bytes.get(at), bytes.get(at + 1)) {
                    (None, _) => return (None, at),
                    (Some(b'"'), Some(b'"')) => {
                        content.push(b'"');
                        at += 2;
                    }
                    (Some(b'"'), _) => break,
                    (Some(byte), _) => {
                        content.push(*byte);
                        at += 1;
                    }
                }
            }
            at += 1;
        }
        let mut rest = Vec::new();
        while at < bytes.len() && bytes[at] != delimiter && bytes[at] != b'\n' {
            rest.push(bytes[at]);
            at += 1;
        }
        let is_last = bytes.get(at) != Some(&delimiter);
        if is_last && rest.last() == Some(&b'\r') {
            rest.pop();
        }
        is_csv &= !quoted || rest.is_empty();
        content.extend(rest);
        fields.push((content, quoted));
        at += 1;
        if is_last {
            return (is_csv.then_some(fields), at);
        }
    }
}

/// A file without header, read byte by byte.
fn naive_csv(bytes: &[u8], delimiter: u8) -> Vec<Expected> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let (mut at, mut width, mut records) = (0, None, Vec::new());
    while at < bytes.len() {
        let (record, next) = naive_record(bytes, at, delimiter);
        at = next;
        let Some(fields) = record else {
            records.push(Err("csv-syntax"));
            continue;
        };
        if fields == [(Vec::new(), false)] && width != Some(1) {
            continue;
        }
        let width = *width.get_or_insert(fields.len());
        records.push(if fields.len() == width { naive_cells(&fields) } else { Err("field-count") });
    }
    records
}

fn naive_cells(fields: &[Field]) -> Expected {
    let mut cells = [None, None, None];
    for (at, cell) in cells.iter_mut().enumerate() {
        let (bytes, quoted) = fields.get(at).ok_or("field-count")?;
        if *quoted || !bytes.is_empty() {
            *cell = Some(String::from_utf8(bytes.clone()).map_err(|_| "encoding")?);
        } else if at == 0 {
            return Err("missing-key");
        }
    }
    Ok(cells)
}

/// The same from the engine's files.
fn found(run: &Run) -> (Vec<[Option<String>; 3]>, Vec<String>) {
    let mut good = Vec::new();
    for batch in batches(&run.bronze) {
        let columns = ["a", "b", "c"].map(|name| batch.column_by_name(name).expect("a column").as_string::<i32>());
        good.extend(
            (0..batch.num_rows())
                .map(|row| columns.map(|column| column.is_valid(row).then(|| column.value(row).to_owned()))),
        );
    }
    (good, rules(run).split_whitespace().map(str::to_owned).collect())
}

#[test]
fn csv_is_read_as_the_plainest_reader_reads_it() {
    let columns = ["a", "b", "c"].iter().zip(1..);
    let columns: BTreeMap<String, ColumnSource> = columns
        .map(|(name, number)| ((*name).to_owned(), ColumnSource::Column { name: number.to_string(), transform: None }))
        .collect();
    let checks = [b',', b';', b'\t'].map(|delimiter| {
        let csv = CsvFormat { delimiter, header: false, columns: Some(columns.clone()), ..CsvFormat::default() };
        (delimiter, Check::new(cells(), Format::Csv(csv)))
    });
    let seeds: Vec<&[u8]> = vec![
        &b"1,Anchor,SF\n"[..],
        b"2,\"Bear, Republic\",\"Santa \"\"Rosa\"\"\"\r\n",
        b"3;x;y\n",
        b"4\tx\ty\n",
        b"5,\"two\nlines\",z\n",
        b",",
        b",",
        b",",
        b"\"",
        b"\"",
        b"\"\"",
        b"\n",
        b"\n",
        b"\r\n",
        b"\r",
        b";",
        b"\t",
        b" ",
        b"a",
        b"7",
        b"\\\"",
        b"\0",
        b"\xff",
        "é".as_bytes(),
        "\u{feff}".as_bytes(),
        b"1,2,3",
        b"\"q\",",
        b",\"q\"\n",
    ];
    let seen = Seen::default();
    run(1_500, (0usize..8, pieces(seeds, 30)), |(kind, bytes)| {
        let (delimiter, check) = &checks[kind.saturating_sub(5)];
        let run = match check.run(&bytes, Compression::Plain) {
            Ok(run) => run,
            // The only refusals: the first bytes are those of another encoding or of a compressed object.
            Err(reason) => {
                assert!(reason.contains("UTF-16") || reason.contains("stream"), "{reason}");
                return seen.add("refused", 1);
            }
        };
        let expected = naive_csv(&bytes, *delimiter);
        let good: Vec<_> = expected.iter().filter_map(|record| record.clone().ok()).collect();
        let bad =
            expected.iter().zip(1..).filter_map(|(record, row)| Some(format!("{row}:{}", record.as_ref().err()?)));
        assert_eq!(found(&run), (good, bad.collect()));
        seen.add("records", run.outcome.rows_in);
        seen.add("objects with rows", u64::from(run.outcome.rows_good > 0));
        for rule in expected.into_iter().filter_map(Result::err) {
            seen.add(rule, 1);
        }
    });
    seen.at_least(&[
        ("records", 3_000),
        ("objects with rows", 300),
        ("csv-syntax", 100),
        ("field-count", 300),
        ("encoding", 30),
        ("missing-key", 50),
    ]);
}

/// `brewery`, whose `city` was called `town`.
fn brewery_once_in_a_town() -> TableContract {
    let mut table = beer_table("brewery");
    let city = table.columns.iter_mut().find(|column| column.name == "city").expect("a column");
    city.former_names.push("town".to_owned());
    table
}

#[test]
fn csv_with_any_header_conserves_records() {
    let check = Check::new(brewery_once_in_a_town(), Format::Csv(CsvFormat::default()));
    let seeds: Vec<&[u8]> = vec![
        &b"brewery_id,brewery_name,city,state\n"[..],
        b"state,city,brewery_name,brewery_id\r\n",
        b"brewery_id,",
        b"brewery_name\n",
        b"1,Anchor,SF,CA\n",
        b"1,Anchor,SF,CA\n",
        b"1,Anchor,SF,CA\n",
        b"2,\"Bear, Republic\",,\"CA\"\n",
        b"CA,\"Santa \"\"Rosa\"\"\",Bear,3\r\n",
        b"9223372036854775808,",
        b",",
        b"\"",
        b"\n",
        b"\0",
        b"\xf6",
    ];
    let header = select(vec![
        "brewery_id,brewery_name,city,state\n",
        "state,brewery_name,brewery_id\r\n",
        "\u{feff}brewery_id,brewery_name\n",
        "brewery_id,brewery_name,town,state\n",
        "",
    ]);
    let seen = Seen::default();
    run(500, (header, pieces(seeds, 14)), |(header, bytes)| {
        match check.run(&[header.as_bytes(), &bytes].concat(), Compression::Plain) {
            Ok(run) => {
                seen.add("objects with rows", u64::from(run.outcome.rows_good > 0));
                seen.add("objects with bad rows", u64::from(run.outcome.rows_bad > 0));
            }
            Err(_) => seen.add("refused", 1),
        }
    });
    seen.at_least(&[("objects with rows", 60), ("objects with bad rows", 150), ("refused", 5)]);
}

// --- JSON

#[test]
fn json_of_any_kind_conserves_records() {
    const METADATA: &[u8] =
        b"\"metadata\":{\"timestamp\":\"2024-07-29T00:59:07.5Z\",\"record-type\":\"data\",\"operation\":\"load\",\
        \"partition-key-type\":\"schema-table\",\"schema-name\":\"dm_core\",\"table-name\":\"brewery\"}";
    let data: &[u8] = b"{\"data\":{\"brewery_id\":7,\"brewery_name\":\"A\\u0000\",\"town\":\"X\"},";
    let record = [data, METADATA, b"}"].concat();
    let pretty: serde_json::Value = serde_json::from_slice(&record).expect("JSON");
    let pretty = serde_json::to_string_pretty(&pretty).expect("serialises").into_bytes();
    // A column that the contract lacks, and nothing that contradicts it.
    let definition: &[u8] = b"{\"control\":{\"table-def\":{\"columns\":{\"brewery_id\":{\"type\":\"INT64\"},\
        \"brewery_name\":{\"type\":\"STRING\"},\"town\":{\"type\":\"STRING\"},\"state\":{\"type\":\"STRING\"},\
        \"ibu\":{\"type\":\"INT32\"}}}},";
    let control = [definition, METADATA, b"}\n"].concat();
    let control = String::from_utf8(control).expect("text").replace("\"data\"", "\"control\"").into_bytes();
    let line = [&record[..], b"\n"].concat();
    let mut seeds: Vec<&'static [u8]> = vec![
        &b"{\"data\":{"[..],
        b"\"brewery_id\":1",
        b"\"brewery_name\":\"x\"",
        b"\"town\":\"x\"",
        b",",
        b"},",
        METADATA,
        b"}\n",
        b"}",
        b"{",
        b"[",
        b"]",
        b"\"",
        b"\\",
        b"\n",
        b"\r\n",
        b"null",
        b"1e5",
        b"\\u0000",
        b"\\ud800",
        b"{}\n",
        b"{\"a\":\n{\"b\":1}}\n",
        b"\0",
        b"\xff",
        "🍺".as_bytes(),
        "\u{feff}".as_bytes(),
    ];
    for whole in [line, record, pretty, control] {
        let whole: &'static [u8] = whole.leak();
        seeds.extend([whole; 4]);
        seeds.push(&whole[..whole.len() / 2]);
        seeds.push(&whole[whole.len() / 2..]);
    }
    let check = Check::new(brewery_once_in_a_town(), Format::Json);
    let seen = Seen::default();
    run(1_200, pieces(seeds, 16), |bytes| match check.run(&bytes, Compression::Plain) {
        Ok(run) => {
            seen.add("objects with rows", u64::from(run.outcome.rows_good > 0));
            seen.add("bad rows", run.outcome.rows_bad);
            seen.add("dropped", run.outcome.rows_dropped());
            seen.add("changes", run.outcome.schema_changes.len() as u64);
        }
        Err(_) => seen.add("refused", 1),
    });
    seen.at_least(&[("objects with rows", 400), ("bad rows", 1_000), ("dropped", 200), ("changes", 50)]);
}

// --- compressed framing

/// A gzip member whose header has all its optional parts.
fn full_header(text: &[u8]) -> Vec<u8> {
    let builder = flate2::GzBuilder::new().filename("a.csv").comment("none").extra(*b"xy\x01\x00z").mtime(1);
    let mut encoder = builder.write(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, text).expect("into memory");
    encoder.finish().expect("into memory")
}

/// A frame that holds no text (RFC 8878 §3.1.2).
fn skippable(content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("short").to_le_bytes();
    [&[0x53, 0x2a, 0x4d, 0x18][..], &length, content].concat()
}

/// Parts one after the other, and perhaps a byte changed or the end cut off.
fn framing(parts: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let change = prop_oneof![
        3 => Just(None),
        1 => (any::<Index>(), any::<u8>(), any::<bool>()).prop_map(Some),
    ];
    (prop::collection::vec(select(parts), 0..6), change).prop_map(|(parts, change)| {
        let mut bytes = parts.concat();
        match change {
            Some((at, _, true)) => bytes.truncate(at.index(bytes.len() + 1)),
            Some((at, byte, false)) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            _ => {}
        }
        bytes
    })
}

/// The text by the engine's reader, in reads of a few bytes.
fn read(bytes: &[u8], compression: Compression) -> Option<Vec<u8>> {
    let read = || -> Result<Vec<u8>, EngineError> {
        let (mut text, mut some) = (Vec::new(), [0; 7]);
        let mut reader = open_object(bytes, compression)?;
        loop {
            match reader.read(&mut some)? {
                0 => return Ok(text),
                count => text.extend_from_slice(&some[..count]),
            }
        }
    };
    match read() {
        Ok(text) => Some(text),
        Err(EngineError::Unreadable { .. }) => None,
        Err(other) => panic!("not the object's fault: {other:?}"),
    }
}

/// Members until nothing is left, with as many of the last zeros taken for padding as it takes.
fn naive_gzip(bytes: &[u8]) -> Option<Vec<u8>> {
    if !bytes.is_empty() && !bytes.starts_with(&[0x1f, 0x8b]) {
        return None;
    }
    let zeros = bytes.iter().rev().take_while(|byte| **byte == 0).count();
    (0..=zeros).find_map(|padding| {
        let (mut text, whole) = (Vec::new(), &bytes[..bytes.len() - padding]);
        (whole.is_empty() || MultiGzDecoder::new(whole).read_to_end(&mut text).is_ok()).then_some(text)
    })
}

#[track_caller]
fn check_framing(parts: Vec<Vec<u8>>, compression: Compression, naive: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let seen = Seen::default();
    run(2_000, framing(parts), |bytes| {
        let found = read(&bytes, compression);
        assert_eq!(found, naive(&bytes), "{bytes:02x?}");
        seen.add(if found.is_some() { "whole" } else { "refused" }, 1);
        seen.add("text", u64::from(found.is_some_and(|text| text.len() > 3)));
    });
    seen.at_least(&[("whole", 300), ("text", 200), ("refused", 300)]);
}

#[test]
fn gzip_framing_is_read_as_the_plainest_reader_reads_it() {
    let whole = gzip(b"brewery_id,brewery_name\n1,Anchor\n");
    let mut parts = vec![gzip(b""), full_header(b"2,Bear\n"), vec![0; 3], vec![0; 600], b"x".to_vec(), vec![0x1f]];
    parts.push(whole[..whole.len() - 3].to_vec());
    parts.extend([gzip(&b"zeros at the end of a member's length".repeat(9)), gzip(b"3,C\n"), whole.clone(), whole]);
    check_framing(parts, Compression::Gzip, naive_gzip);
}

#[test]
fn zstd_framing_is_read_as_the_librarys_reader_reads_it() {
    let whole = zstd(b"brewery_id,brewery_name\n1,Anchor\n");
    let bulk = zstd::bulk::compress(&b"many times the same. ".repeat(3_000), 3).expect("compressed");
    let mut parts =
        vec![zstd(b""), skippable(b""), skippable(&[7; 40]), b"x".to_vec(), whole[..whole.len() - 3].to_vec()];
    parts.extend([bulk, zstd(b"2,Bear\n"), whole.clone(), whole]);
    check_framing(parts, Compression::Zstd, |bytes| {
        let (mut text, mut decoder) = (Vec::new(), zstd::Decoder::new(bytes).ok()?);
        decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).ok()?;
        (bytes.is_empty() || decoder.read_to_end(&mut text).is_ok()).then_some(text)
    });
}

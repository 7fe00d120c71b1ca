//! Objects as a whole: compression, damage, determinism, bounds.

use std::io::{self, Read};
use std::panic;

use lakebed_ingest::IngestError;
use lakebed_ingest::engine::{Compression, EngineError, ROW_GROUP_ROWS_MAX, count_records};
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};

use crate::bench::{Bench, batches, gzip, rows};

fn csv(count: usize) -> String {
    let rows = (0..count)
        .map(|id| if id % 97 == 5 { format!("{id},,X,Y\n") } else { format!("{id},brewery {id},City {},Y\n", id % 7) });
    format!("brewery_id,brewery_name,city,state\n{}", rows.collect::<String>())
}

#[test]
fn nothing_in_is_nothing_out() {
    let (plain, named) = (Compression::Plain, Compression::Gzip);
    for (bytes, compression) in [(Vec::new(), plain), (Vec::new(), named), (gzip(b""), named), (gzip(b""), plain)] {
        for mut bench in [Bench::json("brewery"), Bench::csv("brewery")] {
            bench.compression = compression;
            let run = bench.run(&bytes).expect("readable");
            assert_eq!((run.outcome.rows_in, run.bronze.len(), run.quarantine.len()), (0, 0, 0));
        }
    }
}

#[test]
fn damaged_objects_are_refused_as_a_whole() {
    let mut bench = Bench::csv("brewery");
    bench.compression = Compression::Gzip;
    let whole = gzip(csv(20_000).as_bytes());
    let mut flipped = whole.clone();
    let crc = flipped.len() - 5;
    flipped[crc] ^= 1;
    let garbage = [whole.clone(), b"garbage".to_vec()].concat();
    for bytes in [&whole[..whole.len() / 2], &whole[..whole.len() - 3], &flipped, &garbage, csv(3).as_bytes()] {
        let error = bench.run(bytes).expect_err("must be refused");
        assert!(matches!(error, EngineError::Unreadable { .. }), "{error}");
    }
    assert_eq!(bench.run(&[whole.clone(), vec![0; 512]].concat()).expect("padding").outcome.rows_in, 20_000);
}

#[test]
fn members_of_one_gzip_are_one_object() {
    let text = csv(100);
    let (first, second) = text.as_bytes().split_at(text.len() / 2);
    let run = Bench::csv("brewery").run(&[gzip(first), gzip(second)].concat()).expect("readable");
    assert_eq!(run.bronze, Bench::csv("brewery").run(text.as_bytes()).expect("readable").bronze);
}

#[test]
fn the_same_input_gives_the_same_bytes_on_both_routes() {
    let text = csv(2 * ROW_GROUP_ROWS_MAX + 100);
    let lite = Bench::csv("brewery").run(text.as_bytes()).expect("readable");
    let again = Bench::csv("brewery").run(&gzip(text.as_bytes())).expect("readable");
    for threads in [1, 3, 8] {
        let other = Bench { threads, ..Bench::csv("brewery") }.run(text.as_bytes()).expect("readable");
        assert!(lite.bronze == other.bronze && lite.quarantine == other.quarantine, "the same by {threads} threads");
    }
    assert!(lite.bronze == again.bronze && lite.quarantine == again.quarantine, "twice the same");
    let total: usize = batches(&lite.bronze).iter().map(|batch| batch.num_rows()).sum();
    assert_eq!(total as u64, lite.outcome.rows_good);
    assert!(lite.outcome.rows_bad > 1_000 && lite.outcome.rows_in == (2 * ROW_GROUP_ROWS_MAX + 100) as u64);
}

/// Gives some bytes, then fails or panics.
struct Failing<'a> {
    bytes: &'a [u8],
    panics: bool,
}

impl Read for Failing<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        assert!(!self.panics || !self.bytes.is_empty(), "the source panics");
        if self.bytes.is_empty() {
            return Err(io::Error::from(io::ErrorKind::ConnectionReset));
        }
        self.bytes.read(into)
    }
}

/// A full disk.
struct Full;

impl io::Write for Full {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::Error::from(io::ErrorKind::StorageFull))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A disk whose driver panics.
struct Panicking;

impl io::Write for Panicking {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        panic!("the target panics")
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_panic_of_either_target_ends_all_threads() {
    let text = csv(300);
    for round in 0..20 {
        let bench = Bench { threads: 1 + round % 5, ..Bench::csv("brewery") };
        let bronze = || bench.run_between(text.as_bytes(), Panicking, Vec::new());
        assert!(panic::catch_unwind(panic::AssertUnwindSafe(bronze)).is_err(), "bronze, round {round}");
        let quarantine = || bench.run_between(text.as_bytes(), Vec::new(), Panicking);
        assert!(panic::catch_unwind(panic::AssertUnwindSafe(quarantine)).is_err(), "quarantine, round {round}");
    }
}

#[test]
fn a_failure_on_either_side_ends_all_threads() {
    let text = csv(2 * ROW_GROUP_ROWS_MAX);
    for threads in [1, 2, 5] {
        let bench = Bench { threads, ..Bench::csv("brewery") };
        let source = Failing { bytes: text.as_bytes(), panics: false };
        let error = bench.run_between(source, Vec::new(), Vec::new()).expect_err("the store failed");
        assert!(matches!(error, EngineError::Source(_)), "{error}");
        for error in [
            bench.run_between(text.as_bytes(), Full, Vec::new()).expect_err("the disk is full"),
            bench.run_between(text.as_bytes(), Vec::new(), Full).expect_err("the disk is full"),
        ] {
            assert!(matches!(error, EngineError::Parquet(_)), "{error}");
            let error = IngestError::Engine { key: "raw/x".to_owned(), source: Box::new(error) };
            assert!(error.is_transient(), "another machine has another disk");
        }
        let source = Failing { bytes: text.as_bytes(), panics: true };
        let run = panic::catch_unwind(panic::AssertUnwindSafe(|| bench.run_between(source, Vec::new(), Vec::new())));
        assert!(run.is_err(), "a panic of the source is the caller's");
    }
}

#[test]
fn keys_have_bloom_filters_and_all_columns_page_indexes() {
    let run = Bench::csv("brewery").run(csv(30_000).as_bytes()).expect("readable");
    let options = ReadOptionsBuilder::new().with_page_index().build();
    let file = SerializedFileReader::new_with_options(bytes::Bytes::from(run.bronze), options).expect("Parquet");
    let metadata = file.metadata();
    assert_eq!(metadata.num_row_groups(), 1);
    for (at, column) in metadata.row_group(0).columns().iter().enumerate() {
        let is_key = column.column_path().string() == "brewery_id";
        assert_eq!(column.bloom_filter_offset().is_some(), is_key, "{}", column.column_path());
        assert!(column.statistics().is_some(), "{}", column.column_path());
        let pages = &metadata.offset_index().expect("an index")[0][at].page_locations;
        assert!(pages.len() > 1 && metadata.column_index().is_some(), "{}", column.column_path());
    }
}

#[test]
fn a_large_text_passes_whole() {
    let large = "x".repeat(10 * 1024 * 1024);
    let run =
        Bench::csv("brewery").run(format!("brewery_id,brewery_name\n1,{large}\n2,B\n").as_bytes()).expect("readable");
    assert_eq!(rows(&run.bronze, &["brewery_name"]).len(), large.len() + "\nB\n".len());
}

#[test]
fn counting_agrees_with_reading_and_stops_at_the_cap() {
    let text = format!("{}\n\n1,\"quoted\nnewline\",X,Y\n", csv(500));
    let bench = Bench::csv("brewery");
    let read = bench.run(text.as_bytes()).expect("readable").outcome.rows_in;
    assert_eq!(count_records(text.as_bytes(), Compression::Plain, &bench.format, u64::MAX).expect("counted"), read);
    assert_eq!(count_records(text.as_bytes(), Compression::Plain, &bench.format, 100).expect("counted"), 100);
    let json = Bench::json("brewery");
    let lines = "{\"a\":1}\n{\"b\n{\"c\":3}\n";
    let read = json.run(lines.as_bytes()).expect("readable").outcome.rows_in;
    assert_eq!(count_records(lines.as_bytes(), Compression::Plain, &json.format, u64::MAX).expect("counted"), read);
    assert_eq!(count_records(&b"plain"[..], Compression::Gzip, &json.format, 10).expect("counted"), 0);
}

#[test]
fn the_writer_leaves_no_version_and_no_time_in_the_file() {
    let run = Bench::csv("brewery").run(csv(3).as_bytes()).expect("readable");
    let file = SerializedFileReader::new(bytes::Bytes::from(run.bronze)).expect("Parquet");
    let metadata = file.metadata().file_metadata().clone();
    assert_eq!(metadata.created_by(), Some("lakebed"));
    let keys: Vec<_> = metadata.key_value_metadata().into_iter().flatten().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["ARROW:schema"]);
}

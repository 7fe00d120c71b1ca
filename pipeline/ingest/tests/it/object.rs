//! Objects as a whole: compression, damage, determinism, bounds.

use lakebed_ingest::engine::{EngineError, LITE_BATCH_ROWS, MASS_BATCH_ROWS, count_records};

use crate::bench::{Bench, batches, gzip, rows};

fn csv(count: usize) -> String {
    let rows = (0..count)
        .map(|id| if id % 97 == 5 { format!("{id},,X,Y\n") } else { format!("{id},brewery {id},City {},Y\n", id % 7) });
    format!("brewery_id,brewery_name,city,state\n{}", rows.collect::<String>())
}

#[test]
fn nothing_in_is_nothing_out() {
    for (bytes, named_gzip) in [(Vec::new(), false), (Vec::new(), true), (gzip(b""), true), (gzip(b""), false)] {
        for mut bench in [Bench::json("brewery"), Bench::csv("brewery")] {
            bench.named_gzip = named_gzip;
            let run = bench.run(&bytes).expect("readable");
            assert_eq!((run.outcome.rows_in, run.bronze.len(), run.quarantine.len()), (0, 0, 0));
        }
    }
}

#[test]
fn damaged_objects_are_refused_as_a_whole() {
    let mut bench = Bench::csv("brewery");
    bench.named_gzip = true;
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
    let text = csv(2 * MASS_BATCH_ROWS + 100);
    let lite = Bench::csv("brewery").run(text.as_bytes()).expect("readable");
    let again = Bench::csv("brewery").run(&gzip(text.as_bytes())).expect("readable");
    let mass = Bench { batch_rows: MASS_BATCH_ROWS, ..Bench::csv("brewery") }.run(text.as_bytes()).expect("readable");
    assert!(lite.bronze == again.bronze && lite.quarantine == again.quarantine, "twice the same");
    assert!(lite.bronze == mass.bronze && lite.quarantine == mass.quarantine, "the same by both routes");
    let total: usize = batches(&lite.bronze).iter().map(|batch| batch.num_rows()).sum();
    assert_eq!(total as u64, lite.outcome.rows_good);
    assert!(lite.outcome.rows_bad > 1_000 && lite.outcome.rows_in == (2 * MASS_BATCH_ROWS + 100) as u64);
    assert!(MASS_BATCH_ROWS.is_multiple_of(LITE_BATCH_ROWS));
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
    assert_eq!(count_records(text.as_bytes(), false, &bench.format, u64::MAX).expect("counted"), read);
    assert_eq!(count_records(text.as_bytes(), false, &bench.format, 100).expect("counted"), 100);
    let json = Bench::json("brewery");
    let lines = "{\"a\":1}\n{\"b\n{\"c\":3}\n";
    let read = json.run(lines.as_bytes()).expect("readable").outcome.rows_in;
    assert_eq!(count_records(lines.as_bytes(), false, &json.format, u64::MAX).expect("counted"), read);
    assert_eq!(count_records(&b"plain"[..], true, &json.format, 10).expect("counted"), 0);
}

#[test]
fn the_writer_leaves_no_version_and_no_time_in_the_file() {
    let run = Bench::csv("brewery").run(csv(3).as_bytes()).expect("readable");
    let file =
        parquet::file::serialized_reader::SerializedFileReader::new(bytes::Bytes::from(run.bronze)).expect("Parquet");
    let metadata = parquet::file::reader::FileReader::metadata(&file).file_metadata().clone();
    assert_eq!(metadata.created_by(), Some("lakebed"));
    let keys: Vec<_> = metadata.key_value_metadata().into_iter().flatten().map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys, ["ARROW:schema"]);
}

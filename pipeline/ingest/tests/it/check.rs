//! What every object is held to, whatever is in it.
//!
//! It is refused as a whole or ingested with every record accounted for, on any number of threads and in blocks of any size with
//! the same bytes; it never panics. Knows nothing of what a good object is: tests bring the objects.

use std::io::Read;

use lakebed_contract::{Lake, TableContract};
use lakebed_ingest::engine::{
    BLOCK_BYTES, Compression, Encoding, EngineError, Format, Job, Outcome, count_records, ingest_in_blocks, open_object,
};
use lakebed_mask::{Coverage, MaskKey, Masker, TableMasker};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::bench::{Run, batches, rows};

/// Runs the engine on one table's objects and holds it to its promises.
pub(crate) struct Check {
    table: TableContract,
    masker: TableMasker,
    format: Format,
}

impl Check {
    pub(crate) fn new(table: TableContract, format: Format) -> Self {
        let masker = Masker::new(MaskKey::new(1, [7; 32])).for_table(&table, &Lake::beer().policy).expect("mask plan");
        Self { table, masker, format }
    }

    /// What comes of an object, by one thread in one block and by more in many; `Err` for one that is refused as a whole.
    #[track_caller]
    pub(crate) fn run(&self, object: &[u8], compression: Compression) -> Result<Run, String> {
        let first = match self.run_once(object, compression, 1, BLOCK_BYTES) {
            Ok(first) => first,
            Err(error) => return Err(self.refuse_again(object, compression, &refusal(&error))),
        };
        for (threads, block_bytes) in [(2, 61), (3, 997)] {
            let again = self.run_once(object, compression, threads, block_bytes).expect("read by one thread");
            assert_eq!(counts(&first.outcome), counts(&again.outcome), "the same counts in blocks of {block_bytes}");
            let report = [&first, &again].map(|run| run.outcome.coverage.report());
            assert_eq!(report[0], report[1], "the same coverage in blocks of {block_bytes}");
            let same = first.bronze == again.bronze && first.quarantine == again.quarantine;
            assert!(same, "the same bytes in blocks of {block_bytes}");
        }
        let outcome = &first.outcome;
        assert_eq!(outcome.rows_in, outcome.rows_good + outcome.rows_bad + outcome.rows_dropped(), "conservation");
        let count = |file: &[u8]| batches(file).iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
        assert_eq!((count(&first.bronze), count(&first.quarantine)), (outcome.rows_good, outcome.rows_bad));
        assert_eq!(
            (first.bronze.is_empty(), first.quarantine.is_empty()),
            (outcome.rows_good == 0, outcome.rows_bad == 0)
        );
        let places: Vec<u64> =
            rows(&first.quarantine, &["row_number"]).lines().map(|number| number.parse().expect("a number")).collect();
        assert!(places.is_sorted_by(|one, next| one < next), "each record is told once, in order");
        assert!(places.iter().all(|place| (1..=outcome.rows_in).contains(place)), "records that were read");
        let counted = count_records(object, compression, &self.format, u64::MAX).expect("counted");
        assert_eq!(counted, outcome.rows_in, "the probe counts what is read");
        self.check_offsets(object, compression, &first);
        Ok(first)
    }

    /// Each record that broke a rule begins where the quarantine file says: what stands before is the records before it, and the
    /// rest is it and those behind it. Asked of the first, the last and one in the middle.
    #[track_caller]
    fn check_offsets(&self, object: &[u8], compression: Compression, run: &Run) {
        let number = |text: &str| text.parse::<u64>().expect("a number");
        let places = rows(&run.quarantine, &["row_number", "source_offset"]);
        let places: Vec<(u64, u64)> =
            places.lines().filter_map(|line| line.split_once('|')).map(|(row, at)| (number(row), number(at))).collect();
        assert_eq!(places.len() as u64, run.outcome.rows_bad, "each has a place");
        assert!(places.is_sorted_by(|one, next| one.1 < next.1), "and none that of another");
        let Some(text) = self.text(object, compression) else { return };
        let count = |text: &[u8]| count_records(text, Compression::Plain, &self.format, u64::MAX).expect("counted");
        // With a document before them, so that nothing of them is taken for a mark of another encoding.
        let documents = |part: &[u8]| count(&[&b"{}\n"[..], part].concat()) - 1;
        let some = [0, places.len() / 2, places.len().saturating_sub(1)];
        for (row, at) in some.into_iter().filter_map(|place| places.get(place)) {
            let (before, rest) = text.split_at(usize::try_from(*at).expect("in memory"));
            let told = format!("the record before number {row} ends at byte {at}");
            match self.format {
                Format::Json => {
                    let before = before.strip_prefix(b"\xef\xbb\xbf").unwrap_or(before);
                    assert_eq!(documents(before), row - 1, "{told}");
                    assert!(rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()), "with its first byte");
                    assert_eq!(documents(rest), run.outcome.rows_in + 1 - row, "number {row} begins at byte {at}");
                }
                // What stands before may be nothing but a mark.
                Format::Csv(_) => {
                    assert_eq!(count(before), row - 1, "{told}");
                    assert!(matches!(before, [] | [0xef, 0xbb, 0xbf] | [.., b'\n']), "a line begins there");
                }
            }
        }
    }

    /// What an object that was read holds once it is inflated; `None` where offsets are not those of its bytes.
    fn text(&self, object: &[u8], compression: Compression) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        open_object(object, compression).expect("opened before").read_to_end(&mut text).expect("inflated before");
        let is_utf16 = match &self.format {
            Format::Csv(csv) => matches!(csv.encoding, Encoding::Utf16 | Encoding::Utf16Le | Encoding::Utf16Be),
            Format::Json => false,
        };
        (!is_utf16 && !matches!(text[..], [0xff, 0xfe, ..] | [0xfe, 0xff, ..])).then_some(text)
    }

    /// The reason of an object that one thread has refused: the same by several, and in other blocks one, too.
    #[track_caller]
    fn refuse_again(&self, object: &[u8], compression: Compression, reason: &str) -> String {
        let again = |threads, block_bytes| match self.run_once(object, compression, threads, block_bytes) {
            Err(error) => refusal(&error),
            Ok(_) => panic!("{threads} threads take in blocks of {block_bytes} what was refused: {reason}"),
        };
        assert_eq!(again(2, BLOCK_BYTES), reason, "the same refusal twice");
        // Of several reasons smaller blocks may tell another, but always the same.
        assert_eq!(again(2, 61), again(3, 61), "the same refusal in small blocks");
        again(3, 997);
        reason.to_owned()
    }

    fn run_once(
        &self,
        object: &[u8],
        compression: Compression,
        threads: usize,
        block_bytes: usize,
    ) -> Result<Run, EngineError> {
        let job = Job {
            table: &self.table,
            masker: &self.masker,
            format: &self.format,
            compression,
            generation: 2,
            last_modified: 1_000_000,
            source_object: "s3://dm-stage/raw/x",
            threads,
        };
        let (mut bronze, mut quarantine, mut progress) = (Vec::new(), Vec::new(), 0);
        let outcome =
            ingest_in_blocks(object, &mut bronze, &mut quarantine, &job, block_bytes, &mut |rows| progress += rows)?;
        assert_eq!(progress, outcome.rows_in, "progress adds up");
        Ok(Run { outcome, bronze, quarantine })
    }
}

/// An outcome without its coverage, which knows how often values were computed, batch by batch.
fn counts(outcome: &Outcome) -> Outcome {
    Outcome { coverage: Coverage::default(), ..outcome.clone() }
}

/// Why an object was refused. In memory, nothing but the object itself can be at fault.
fn refusal(error: &EngineError) -> String {
    match error {
        EngineError::Unreadable { reason } => reason.clone(),
        other => panic!("not the object's fault: {other:?}"),
    }
}

/// The same runner for every seed's cases: the seed is fixed, so a failure repeats.
pub(crate) fn runner(cases: u32) -> TestRunner {
    let config = Config { cases, failure_persistence: None, max_shrink_iters: 2_000, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
}

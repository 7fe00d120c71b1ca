//! The log against torn tails, damage, missing and foreign indexes, and what opening it reads.

use std::fs::OpenOptions;

use super::*;
use crate::kinesis::frame::{FRAME_HEADER_BYTES, PAYLOAD_HEADER_BYTES};
use crate::kinesis::segment_scan;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(seconds)
}

fn record(key: &str, data: &str) -> NewRecord {
    NewRecord { partition_key: key.to_owned(), data: data.as_bytes().to_vec() }
}

fn open(dir: &Path) -> (ShardLog, u64) {
    let (log, recovery) = ShardLog::open(dir, 0, Fsync::Never).expect("opens");
    (log, recovery.dropped_bytes)
}

struct Found {
    partition_key: String,
    data: Vec<u8>,
    arrival: Timestamp,
}

struct Read {
    records: Vec<Found>,
    next_arrival: Option<Timestamp>,
}

fn read(log: &ShardLog, from: u64, limit: usize, bytes_max: u64) -> io::Result<Read> {
    let reading = log.plan(from, limit, bytes_max)?;
    let next_arrival = reading.next_arrival;
    let records = reading.read(|record| Found {
        partition_key: record.partition_key.to_owned(),
        data: record.data.to_vec(),
        arrival: record.arrival,
    })?;
    Ok(Read { records, next_arrival })
}

fn all(log: &ShardLog) -> Vec<String> {
    let found = read(log, 0, usize::MAX, u64::MAX).expect("reads");
    found.records.into_iter().map(|record| String::from_utf8(record.data).expect("text")).collect()
}

fn newest_segment(dir: &Path) -> PathBuf {
    segment_path(dir, *segment_names(dir).expect("listed").last().expect("a segment"))
}

#[test]
fn records_come_back_in_order_and_after_a_reopen() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut log, _) = open(dir.path());
    let first = log.append(vec![record("a", "1"), record("b", "2")], at(10), 0).expect("appended");
    let second = log.append(vec![record("a", "3")], at(5), 0).expect("appended");
    assert!(first[0] < first[1] && first[1] < second[0]);
    drop(log);
    let (log, dropped) = open(dir.path());
    assert_eq!((all(&log), dropped), (vec!["1".to_owned(), "2".to_owned(), "3".to_owned()], 0));
    let one = read(&log, first[1], 1, u64::MAX).expect("reads");
    assert_eq!((one.records[0].partition_key.as_str(), one.records[0].arrival), ("b", at(10)));
    assert_eq!(one.next_arrival, Some(at(10)), "arrival does not go back with the clock");
}

#[test]
fn a_cut_off_tail_is_dropped_wherever_it_was_cut() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut log, _) = open(dir.path());
    log.append(vec![record("a", "kept")], at(1), 0).expect("appended");
    let sound = fs::metadata(newest_segment(dir.path())).expect("there").len();
    log.append(vec![record("a", "torn")], at(1), 0).expect("appended");
    drop(log);
    let path = newest_segment(dir.path());
    let whole = fs::read(&path).expect("read");
    for cut in usize::try_from(sound).expect("small") + 1..whole.len() {
        fs::write(&path, &whole[..cut]).expect("written");
        let (mut log, dropped) = open(dir.path());
        assert_eq!((all(&log), dropped), (vec!["kept".to_owned()], cut as u64 - sound), "cut at {cut}");
        log.append(vec![record("a", "next")], at(2), 0).expect("appended");
        drop(log);
        assert_eq!(all(&open(dir.path()).0), ["kept", "next"], "cut at {cut}");
    }
}

#[test]
fn what_a_failed_append_left_is_cut_off_before_the_next_one_also_when_that_fails_at_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut log, _) = open(dir.path());
    log.append(vec![record("a", "one")], at(1), 0).expect("appended");
    let path = newest_segment(dir.path());
    OpenOptions::new().append(true).open(&path).and_then(|mut file| file.write_all(b"torn")).expect("written");
    // Neither writes nor cuts.
    let read_only = Arc::new(File::open(&path).expect("opens"));
    let writer = std::mem::replace(&mut log.writer, read_only);
    for _ in 0..2 {
        log.append(vec![record("a", "lost")], at(1), 0).expect_err("not for writing");
    }
    log.writer = writer;
    log.append(vec![record("a", "two")], at(1), 0).expect("appended");
    assert_eq!(all(&log), ["one", "two"]);
    drop(log);
    let (log, dropped) = open(dir.path());
    assert_eq!((all(&log), dropped), (vec!["one".to_owned(), "two".to_owned()], 0));
}

#[test]
fn damage_before_the_tail_is_an_error() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut log, _) = open(dir.path());
    log.append(vec![record("a", "one"), record("a", "two")], at(1), 0).expect("appended");
    drop(log);
    let path = newest_segment(dir.path());
    let mut bytes = fs::read(&path).expect("read");
    bytes[FRAME_HEADER_BYTES + PAYLOAD_HEADER_BYTES + 1] ^= 1;
    fs::write(&path, bytes).expect("written");
    assert!(matches!(ShardLog::open(dir.path(), 0, Fsync::Never), Err(CloudError::Corrupt { .. })));
}

#[test]
fn old_records_leave_and_sequences_still_grow() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut log, _) = open(dir.path());
    let old = log.append(vec![record("a", "old")], at(100), 0).expect("appended");
    log.trim(at(101)).expect("trimmed");
    assert!(all(&log).is_empty());
    assert_eq!(log.sequence_at(at(0)), log.tip().sequence + 1);
    drop(log);
    let (mut log, _) = open(dir.path());
    let new = log.append(vec![record("a", "new")], at(1), 0).expect("appended");
    assert!(new[0] > old[0]);
}

#[test]
fn what_was_planned_is_read_although_it_was_deleted_and_more_was_appended() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut log, _) = open(dir.path());
    log.append(vec![record("a", &"x".repeat(2 * 1024 * 1024))], at(1), 0).expect("appended");
    let reading = log.plan(0, usize::MAX, u64::MAX).expect("planned");
    log.trim(at(2)).and_then(|()| log.release()).expect("deleted");
    log.append(vec![record("a", "new")], at(2), 0).expect("appended");
    assert_eq!(reading.read(|record| record.data.len()).expect("read"), [2 * 1024 * 1024]);
    assert_eq!(all(&log), ["new"]);
}

#[test]
fn reading_stops_at_its_limits_but_gives_at_least_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut log, _) = open(dir.path());
    log.append((0..5).map(|n| record("k", &n.to_string())).collect(), at(1), 0).expect("appended");
    let count = |limit, bytes| read(&log, 0, limit, bytes).expect("reads").records.len();
    assert_eq!((count(2, u64::MAX), count(9, 1), count(9, 60), count(9, u64::MAX)), (2, 1, 2, 5));
}

#[test]
fn a_log_that_starts_late_gives_no_earlier_sequence_and_remembers_it_without_records() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, _) = ShardLog::open(dir.path(), 5_000_000, Fsync::Never).expect("opens");
    assert_eq!(log.tip().sequence, 4_999_999);
    drop(log);
    let (mut log, _) = open(dir.path());
    assert_eq!(log.append(vec![record("a", "one")], at(1), 0).expect("appended"), [5_000_000]);
    assert_eq!(log.append(vec![record("a", "two")], at(1), 7_000_000).expect("appended"), [7_000_001]);
}

#[test]
fn many_forgotten_bytes_are_given_back_and_sequences_still_grow() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut log, _) = open(dir.path());
    let large = "x".repeat(usize::try_from(RELEASED_BYTES_MIN).expect("small"));
    let old = log.append(vec![record("a", &large)], at(100), 0).expect("appended");
    log.release().expect("nothing to do");
    assert_eq!(all(&log).len(), 1, "what can be read stays");
    log.trim(at(101)).expect("trimmed");
    log.release().expect("released");
    assert_eq!(fs::metadata(newest_segment(dir.path())).expect("there").len(), 0);
    assert_eq!(segment_names(dir.path()).expect("listed").len(), 1);
    drop(log);
    let (mut log, _) = open(dir.path());
    let new = log.append(vec![record("a", "new")], at(1), 0).expect("appended");
    assert!(new[0] > old[0]);
    assert_eq!(all(&log), ["new"]);
}

/// A log with three closed segments of `records` each, and a newest one; gives their names.
fn log_of_four_segments(dir: &Path, records: usize) -> Vec<u64> {
    let (mut log, _) = open(dir);
    for segment in 0..4 {
        for number in 0..records {
            log.append(vec![record("k", &format!("{segment}-{number}"))], at(segment), 0).expect("appended");
        }
        if segment < 3 {
            log.start_segment().expect("closed");
        }
    }
    segment_names(dir).expect("listed")
}

fn expected(records: usize) -> Vec<String> {
    (0..4).flat_map(|segment| (0..records).map(move |number| format!("{segment}-{number}"))).collect()
}

fn bytes_of(path: &Path) -> u64 {
    fs::metadata(path).expect("there").len()
}

#[test]
fn opening_reads_the_indexes_and_the_newest_segment_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let names = log_of_four_segments(dir.path(), 5);
    let (log, recovery) = ShardLog::open(dir.path(), 0, Fsync::Never).expect("opens");
    let indexes: u64 = names[..3].iter().map(|first| bytes_of(&index_path(dir.path(), *first))).sum();
    assert_eq!(recovery.read_bytes, indexes + bytes_of(&newest_segment(dir.path())));
    assert_eq!(all(&log), expected(5));
}

#[test]
fn two_gigabytes_of_closed_segments_cost_no_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut log, _) = open(dir.path());
    log.append(vec![record("k", "small")], at(1), 0).expect("appended");
    drop(log);
    let first = segment_names(dir.path()).expect("listed")[0];
    let path = segment_path(dir.path(), first);
    let entry = segment_scan::scan(&path).expect("scanned").entries;
    // A sparse file stands for the bytes of the records that are too old: its index says that one record is left.
    let huge = 2 << 30;
    OpenOptions::new().write(true).open(&path).expect("opens").set_len(huge).expect("sparse");
    let end = SegmentEnd { first, bytes: huge, last_arrival: at(1) };
    segment_index::write(&index_path(dir.path(), first), end, &entry).expect("written");
    open_segment(&segment_path(dir.path(), first + 2_000_000)).expect("the newest");
    let (log, recovery) = ShardLog::open(dir.path(), 0, Fsync::Never).expect("opens");
    assert_eq!(all(&log), ["small"]);
    assert!(recovery.read_bytes < 100, "{recovery:?}");
}

#[test]
fn a_missing_damaged_or_foreign_index_is_written_anew() {
    let dir = tempfile::tempdir().expect("a directory");
    let names = log_of_four_segments(dir.path(), 5);
    let index = |at: usize| index_path(dir.path(), names[at]);
    let sound: Vec<_> = (0..3).map(|at| fs::read(index(at)).expect("read")).collect();
    fs::remove_file(index(0)).expect("removed");
    fs::copy(index(2), index(1)).expect("copied");
    let mut damaged = sound[2].clone();
    damaged[40] ^= 1;
    fs::write(index(2), damaged).expect("written");
    // Of a segment that is gone, and of one that was never finished.
    fs::write(index_path(dir.path(), 1), "gone").expect("written");
    fs::write(index(0).with_extension("idx.new"), "half").expect("written");
    let (log, recovery) = ShardLog::open(dir.path(), 0, Fsync::Never).expect("opens");
    assert_eq!(all(&log), expected(5));
    let segments: u64 = names.iter().map(|first| bytes_of(&segment_path(dir.path(), *first))).sum();
    assert!(recovery.read_bytes >= segments, "all three were scanned");
    for (at, sound) in sound.iter().enumerate() {
        assert_eq!(&fs::read(index(at)).expect("read"), sound, "index {at}");
    }
    assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 7, "four segments, three indexes");
}

#[test]
fn an_index_that_cannot_be_written_keeps_nobody_from_appending() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut log, _) = open(dir.path());
    log.append(vec![record("a", "one")], at(1), 0).expect("appended");
    let index = index_path(dir.path(), segment_names(dir.path()).expect("listed")[0]);
    fs::create_dir(&index).expect("in its way");
    log.start_segment().expect("closed without an index");
    log.append(vec![record("a", "two")], at(1), 0).expect("appended");
    assert_eq!(all(&log), ["one", "two"]);
    drop(log);
    fs::remove_dir(&index).expect("out of its way");
    assert_eq!(all(&open(dir.path()).0), ["one", "two"]);
}

#[test]
fn damage_in_a_closed_segment_is_met_by_its_scan_or_by_its_reader() {
    let dir = tempfile::tempdir().expect("a directory");
    let names = log_of_four_segments(dir.path(), 5);
    let path = segment_path(dir.path(), names[1]);
    let mut bytes = fs::read(&path).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).expect("written");
    let (log, _) = open(dir.path());
    assert_eq!(read(&log, 0, 5, u64::MAX).expect("the first segment is sound").records.len(), 5);
    assert!(read(&log, 0, usize::MAX, u64::MAX).is_err(), "never with other bytes");
    drop(log);
    fs::remove_file(index_path(dir.path(), names[1])).expect("removed");
    assert!(matches!(ShardLog::open(dir.path(), 0, Fsync::Never), Err(CloudError::Corrupt { .. })));
}

#[test]
fn reads_and_moments_reach_over_segments_and_trimming_takes_index_files_along() {
    let dir = tempfile::tempdir().expect("a directory");
    let names = log_of_four_segments(dir.path(), 3);
    let (mut log, _) = open(dir.path());
    let across = read(&log, log.sequence_at(at(1)), 4, u64::MAX).expect("reads");
    let data: Vec<_> = across.records.into_iter().map(|record| record.data).collect();
    assert_eq!(data, [b"1-0", b"1-1", b"1-2", b"2-0"]);
    assert_eq!(across.next_arrival, Some(at(2)));
    log.trim(at(2)).expect("trimmed");
    assert_eq!(all(&log), expected(3)[6..]);
    assert!(!index_path(dir.path(), names[1]).exists() && index_path(dir.path(), names[2]).exists());
    drop(log);
    assert_eq!(all(&open(dir.path()).0), expected(3)[6..]);
}

#[test]
fn under_always_nothing_is_read_before_its_flush_and_nothing_is_taken_after_a_failed_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut log, _) = ShardLog::open(dir.path(), 0, Fsync::Always).expect("opens");
    log.append(vec![record("a", "one")], at(1), 0).expect("appended");
    assert!(log.round().is_some() && all(&log).is_empty());
    let flushing = log.begin_flush().expect("something to flush");
    log.append(vec![record("a", "two")], at(1), 0).expect("appended meanwhile");
    log.end_flush(&flushing, true);
    assert_eq!(all(&log), ["one"], "the second belongs to the next flush");
    let flushing = log.begin_flush().expect("something to flush");
    log.end_flush(&flushing, false);
    assert_eq!(all(&log), ["one"]);
    log.append(vec![record("a", "three")], at(1), 0).expect_err("nobody knows what is on the disk");
    assert!(log.begin_flush().is_none());
    drop(log);
    let (mut log, _) = ShardLog::open(dir.path(), 0, Fsync::Always).expect("opens");
    assert_eq!(all(&log), ["one", "two"], "what the disk has");
    log.append(vec![record("a", "three")], at(1), 0).expect("appended");
}

#[test]
fn closing_a_segment_flushes_what_waits() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut log, _) = ShardLog::open(dir.path(), 0, Fsync::Always).expect("opens");
    log.append(vec![record("a", "one")], at(1), 0).expect("appended");
    log.start_segment().expect("closed");
    assert_eq!(all(&log), ["one"]);
    assert!(log.begin_flush().is_none(), "nothing is left to flush");
}

#[test]
fn without_a_policy_there_is_no_round_and_all_is_read_at_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let (mut log, _) = open(dir.path());
    log.append(vec![record("a", "one")], at(1), 0).expect("appended");
    assert!(log.round().is_none());
    assert_eq!(all(&log), ["one"]);
}

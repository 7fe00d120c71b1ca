//! Fills PutRecords batches and sees each one through before the next: bounded retries of the refused records only.
//!
//! Promises: nothing newer is put while a record is still refused, so a shard never shows a later batch before an earlier
//! one. Inside one batch a refused record may land behind its neighbours (as with AWS); the stream position orders them.
//! Holds at most one batch. Errors name counts and codes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lakebed_contract::{Clock, EventSink, Stage};

use super::error::DmsError;
use super::sink::{RecordSink, SinkRecord};

/// Most records in a PutRecords call.
pub const BATCH_RECORDS_MAX: usize = 500;
/// Most bytes, data and partition keys, in a PutRecords call.
pub const BATCH_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Most bytes, data and partition key, of a record.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// Attempts in a row that put nothing before the task gives up.
pub const PUT_ATTEMPTS_MAX: u32 = 10;
/// Wait before the second attempt; doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest wait between attempts.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Rows put so far, by table; shared with the handle.
pub(super) type RowCounts = Arc<Mutex<BTreeMap<String, u64>>>;

/// One batch in the making.
pub(super) struct Batcher {
    sink: Arc<dyn RecordSink>,
    clock: Clock,
    events: EventSink,
    counts: RowCounts,
    pending: Vec<SinkRecord>,
    bytes: usize,
}

impl Batcher {
    pub(super) fn new(sink: Arc<dyn RecordSink>, clock: Clock, events: EventSink) -> Self {
        Self { sink, clock, events, counts: RowCounts::default(), pending: Vec::new(), bytes: 0 }
    }

    pub(super) fn counts(&self) -> RowCounts {
        Arc::clone(&self.counts)
    }

    /// Adds a record; puts the batch first when the record does not fit into it.
    pub(super) async fn add(&mut self, record: SinkRecord) -> Result<(), DmsError> {
        let bytes = record.data.len() + record.partition_key.len();
        if bytes > RECORD_BYTES_MAX {
            return Err(DmsError::RecordTooLarge { table: record.partition_key, bytes, max: RECORD_BYTES_MAX });
        }
        if self.pending.len() == BATCH_RECORDS_MAX || self.bytes + bytes > BATCH_BYTES_MAX {
            self.flush().await?;
        }
        self.bytes += bytes;
        self.pending.push(record);
        Ok(())
    }

    /// Puts what is pending; returns when the sink has accepted every record of it.
    pub(super) async fn flush(&mut self) -> Result<(), DmsError> {
        let mut batch = std::mem::take(&mut self.pending);
        self.bytes = 0;
        let (mut fruitless, mut pause) = (0, FIRST_PAUSE);
        while !batch.is_empty() {
            let before = batch.len();
            let failure = match self.sink.put_records(&batch).await {
                Ok(results) if results.len() == before => self.keep_refused(&mut batch, results),
                Ok(results) => {
                    let reason = format!("{} results for {before} records", results.len());
                    return Err(DmsError::Protocol { what: "PutRecords".to_owned(), reason });
                }
                Err(source) => Some(DmsError::Put { attempts: fruitless + 1, source }),
            };
            let Some(mut failure) = failure else { continue };
            if batch.len() < before {
                (fruitless, pause) = (0, FIRST_PAUSE);
            }
            fruitless += 1;
            if let DmsError::Refused { attempts, .. } = &mut failure {
                *attempts = fruitless;
            }
            let hopeless = matches!(&failure, DmsError::Put { source, .. } if !source.retryable);
            if hopeless || fruitless >= PUT_ATTEMPTS_MAX {
                return Err(failure);
            }
            self.clock.sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
        Ok(())
    }

    /// Counts the accepted records and leaves the refused ones in `batch`, in order.
    fn keep_refused(&self, batch: &mut Vec<SinkRecord>, results: Vec<Result<(), String>>) -> Option<DmsError> {
        let mut accepted: BTreeMap<Arc<str>, (u64, u64)> = BTreeMap::new();
        let mut first_code = None;
        let mut refused = Vec::new();
        for (record, result) in batch.drain(..).zip(results) {
            match (result, &record.row_of) {
                (Ok(()), Some(table)) => {
                    let (rows, bytes) = accepted.entry(Arc::clone(table)).or_default();
                    *rows += 1;
                    *bytes += record.data.len() as u64;
                }
                (Ok(()), None) => (),
                (Err(code), _) => {
                    first_code.get_or_insert(code);
                    refused.push(record);
                }
            }
        }
        *batch = refused;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        for (table, (rows, bytes)) in accepted {
            *counts.entry(table.to_string()).or_default() += rows;
            self.events.progress(Stage::Dms, &table, rows, bytes);
        }
        first_code.map(|code| DmsError::Refused { records: batch.len(), attempts: 0, code })
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use bytes::Bytes;
    use lakebed_contract::Timestamp;

    use super::super::sink::{MemorySink, RecordResult, SinkError};
    use super::*;

    fn record(number: usize, bytes: usize) -> SinkRecord {
        let mut data = number.to_be_bytes().to_vec();
        data.resize(bytes.max(8), 0);
        SinkRecord { partition_key: "s.t".into(), data: Bytes::from(data), row_of: Some("t".into()) }
    }

    fn numbers(records: &[SinkRecord]) -> Vec<usize> {
        records.iter().map(|r| usize::from_be_bytes(r.data[..8].try_into().expect("8 bytes"))).collect()
    }

    fn virtual_clock() -> Clock {
        Clock::virtual_at(Timestamp::from_seconds(0))
    }

    /// Lets virtual time pass whenever nothing else can run.
    async fn with_passing_time<T>(clock: &Clock, work: impl Future<Output = T>) -> T {
        let passing = async {
            loop {
                clock.advance(Duration::from_secs(1));
                tokio::task::yield_now().await;
            }
        };
        tokio::select! { result = work => result, () = passing => unreachable!("time never ends") }
    }

    /// Follows a script of calls: each entry says which records (by place in the batch) are refused.
    struct ScriptedSink {
        script: Mutex<Vec<Script>>,
        calls: Mutex<Vec<Vec<usize>>>,
    }

    #[derive(Clone)]
    enum Script {
        Refuse(Vec<usize>),
        Fail { retryable: bool },
    }

    #[async_trait]
    impl RecordSink for ScriptedSink {
        async fn put_records(&self, records: &[SinkRecord]) -> Result<Vec<RecordResult>, SinkError> {
            self.calls.lock().expect("calls").push(numbers(records));
            let mut script = self.script.lock().expect("script");
            let step = if script.is_empty() { Script::Refuse(Vec::new()) } else { script.remove(0) };
            match step {
                Script::Refuse(places) => Ok((0..records.len())
                    .map(|at| if places.contains(&at) { Err("ProvisionedThroughputExceeded".into()) } else { Ok(()) })
                    .collect()),
                Script::Fail { retryable } => Err(SinkError { retryable, source: "no answer".into() }),
            }
        }
    }

    fn scripted(script: Vec<Script>) -> (Arc<ScriptedSink>, Batcher, Clock) {
        let sink = Arc::new(ScriptedSink { script: Mutex::new(script), calls: Mutex::default() });
        let clock = virtual_clock();
        (Arc::clone(&sink), Batcher::new(sink, clock.clone(), EventSink::default()), clock)
    }

    #[tokio::test]
    async fn batches_respect_both_limits_and_keep_the_order() {
        let sink = Arc::new(MemorySink::default());
        let mut batcher = Batcher::new(Arc::clone(&sink) as _, virtual_clock(), EventSink::default());
        for number in 0..BATCH_RECORDS_MAX + 1 {
            batcher.add(record(number, 8)).await.expect("put");
        }
        assert_eq!(sink.records().len(), BATCH_RECORDS_MAX);
        batcher.flush().await.expect("put");
        for number in 0..6 {
            batcher.add(record(501 + number, RECORD_BYTES_MAX - 3)).await.expect("put");
        }
        assert_eq!(sink.records().len(), 501 + 5, "five full records fill five MiB");
        batcher.flush().await.expect("put");
        assert_eq!(numbers(&sink.records()), (0..507).collect::<Vec<_>>());
        assert_eq!(batcher.counts().lock().expect("counts").get("t"), Some(&507));
    }

    #[tokio::test]
    async fn refused_records_go_again_before_anything_newer() {
        let (sink, mut batcher, clock) = scripted(vec![Script::Refuse(vec![0, 2]), Script::Refuse(vec![1])]);
        let work = async {
            for number in 0..4 {
                batcher.add(record(number, 8)).await?;
            }
            batcher.flush().await?;
            batcher.add(record(4, 8)).await?;
            batcher.flush().await
        };
        with_passing_time(&clock, work).await.expect("put");
        assert_eq!(*sink.calls.lock().expect("calls"), [vec![0, 1, 2, 3], vec![0, 2], vec![2], vec![4]]);
        assert_eq!(batcher.counts().lock().expect("counts").get("t"), Some(&5), "each row counted once");
    }

    #[tokio::test]
    async fn attempts_without_progress_are_bounded() {
        let (sink, mut batcher, clock) = scripted(vec![Script::Refuse(vec![0]); 100]);
        batcher.add(record(0, 8)).await.expect("fits");
        let refused = with_passing_time(&clock, batcher.flush()).await.expect_err("must give up");
        assert!(matches!(refused, DmsError::Refused { records: 1, attempts: PUT_ATTEMPTS_MAX, .. }), "{refused}");
        assert_eq!(sink.calls.lock().expect("calls").len(), PUT_ATTEMPTS_MAX as usize);
    }

    #[tokio::test]
    async fn a_failed_call_is_repeated_unless_it_is_hopeless() {
        let script = vec![Script::Fail { retryable: true }, Script::Refuse(vec![])];
        let (sink, mut batcher, clock) = scripted(script);
        batcher.add(record(0, 8)).await.expect("fits");
        with_passing_time(&clock, batcher.flush()).await.expect("second call");
        assert_eq!(sink.calls.lock().expect("calls").len(), 2);

        let (sink, mut batcher, _) = scripted(vec![Script::Fail { retryable: false }]);
        batcher.add(record(0, 8)).await.expect("fits");
        assert!(matches!(batcher.flush().await, Err(DmsError::Put { attempts: 1, .. })));
        assert_eq!(sink.calls.lock().expect("calls").len(), 1);
    }

    #[tokio::test]
    async fn a_record_no_shard_can_hold_is_refused_by_table_and_size() {
        let (_, mut batcher, _) = scripted(Vec::new());
        let refused = batcher.add(record(0, RECORD_BYTES_MAX)).await.expect_err("too large").to_string();
        assert!(refused.contains("`s.t`") && refused.contains("1048579"), "{refused}");
    }
}

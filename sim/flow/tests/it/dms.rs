//! The DMS task against a real Postgres and an in-memory sink: load, capture, order, resume, acknowledgement.

mod case;
mod kinesis;
mod server;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lakebed_contract::envelope::Operation;
use lakebed_contract::{EventSink, Lsn};
use lakebed_flow::dms::{DmsError, DmsTask, MemorySink, RecordResult, RecordSink, SinkError, SinkRecord};

use case::{Case, positions, within};

#[tokio::test]
async fn load_and_capture_meet_without_gap_or_duplicate() {
    let Some(case) = Case::new().await else { return };
    case.run("INSERT INTO shop.item (id, name, price) SELECT n, 'a' || n, n / 100.0 FROM generate_series(-2000, 0) n")
        .await;
    case.run("INSERT INTO shop.tag VALUES (2, 20, 'b'), (1, 10, 'a\tb')").await;
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (stop, sql) = (Arc::clone(&stop), server::connect(&case.config.postgres).await);
        async move {
            let mut last = 0i64;
            while !stop.load(Ordering::Relaxed) {
                last += 1;
                sql.execute("INSERT INTO shop.item (id, name) VALUES ($1, '')", &[&last]).await.expect("insert");
            }
            last
        }
    });
    let task = case.prepare().await.expect("prepare");
    assert!(!task.resumed() && task.snapshot_name().is_some());
    let lake = Arc::clone(&case.config.lake);
    let item = lake.table("item").expect("item");
    let loaded = within(task.full_load(&[item])).await.expect("load");
    let handle = within(task.start_cdc()).await.expect("start");
    stop.store(true, Ordering::Relaxed);
    let last = writer.await.expect("writer");
    case.settled(&handle).await;

    let envelopes = case.envelopes();
    let controls: Vec<_> = envelopes
        .iter()
        .filter(|e| !e.metadata.operation.is_data())
        .map(|e| (e.metadata.operation, e.metadata.table_name.as_str()))
        .collect();
    use Operation::{CreateTable, DropTable};
    assert_eq!(controls, [(DropTable, "item"), (CreateTable, "item"), (DropTable, "tag"), (CreateTable, "tag")]);
    assert!(envelopes.iter().all(|e| e.metadata.operation != Operation::Load || e.metadata.table_name == "item"));
    let ids = |operation: Operation| -> Vec<i64> {
        let of = envelopes.iter().filter(|e| e.metadata.operation == operation);
        of.map(|e| e.data.as_ref().and_then(|d| d.get("id")).expect("id").parse().expect("a number")).collect()
    };
    let (load, insert) = (ids(Operation::Load), ids(Operation::Insert));
    assert_eq!(loaded["item"], load.len() as u64);
    assert_eq!(handle.rows().get("item").copied().unwrap_or(0), insert.len() as u64);
    assert!(load.is_sorted(), "the load comes in key order");
    assert_eq!(load.len() + insert.len(), 2001 + last as usize, "each row once");
    let all: BTreeSet<i64> = load.into_iter().chain(insert).collect();
    assert_eq!(all, (-2000..=last).collect(), "every row");
    within(handle.stop()).await.expect("stop");
}

#[tokio::test]
async fn changes_keep_their_meaning_and_their_order() {
    let Some(case) = Case::new().await else { return };
    case.run("INSERT INTO shop.item (id, note) SELECT n, repeat('x', 9000) FROM generate_series(1, 3) n").await;
    let handle = case.capture().await;
    case.run("UPDATE shop.item SET id = 100, name = 'moved' WHERE id = 1").await;
    case.run("UPDATE shop.item SET price = 4.50, name = '', sold = '2026-01-02 03:04:05.6-03' WHERE id = 2").await;
    case.run("BEGIN; INSERT INTO shop.item VALUES (998); ROLLBACK").await;
    case.run("BEGIN; SAVEPOINT s; INSERT INTO shop.item VALUES (999); ROLLBACK TO s; INSERT INTO shop.tag VALUES (1, 3, 't'); COMMIT").await;
    case.run("BEGIN; DELETE FROM shop.item WHERE id = 3; INSERT INTO shop.item (id, name) VALUES (3, 'again'); COMMIT")
        .await;
    let late = server::connect(&case.config.postgres).await;
    late.batch_execute("BEGIN; INSERT INTO shop.item VALUES (301)").await.expect("late");
    case.run("INSERT INTO shop.item VALUES (302)").await;
    late.batch_execute("INSERT INTO shop.item VALUES (303); COMMIT").await.expect("late");
    case.run("TRUNCATE shop.tag").await;
    case.settled(&handle).await;

    let story =
        ["update 100", "update 2", "insert 1", "delete 3", "insert 3", "insert 302", "insert 301", "insert 303"];
    assert_eq!(case.story(), story);
    let envelopes = case.envelopes();
    let at = |index: usize| (envelopes[index].data.as_ref().expect("data"), envelopes[index].before_image.as_ref());
    let (data, before) = at(0);
    assert_eq!(before.and_then(|image| image.get("id")), Some("1"), "the old key");
    assert_eq!((data.get("id"), data.get("note")), (Some("100"), None), "unchanged TOAST is absent");
    let (data, before) = at(1);
    assert!(before.is_some_and(|image| image.0.is_empty()), "no old key without a key change");
    assert_eq!((data.get("price"), data.get("name")), (Some("4.50"), Some("\"\"")));
    assert_eq!(data.get("sold"), Some("\"2026-01-02T06:04:05.600000Z\""));
    assert_eq!(data.get("note"), None);
    let (data, _) = at(3);
    assert_eq!(data.0.len(), 1, "a delete carries its key only");
    assert_eq!(at(4).0.get("note"), Some("null"), "a new life inherits nothing");

    let places = positions(&envelopes);
    assert!(places.is_sorted() && places.windows(2).all(|pair| pair[0] < pair[1]), "strictly in commit order");
    let ordinals: Vec<u64> = places.iter().map(|place| place.ordinal).collect();
    assert_eq!(ordinals, [1, 1, 1, 1, 2, 1, 1, 2]);
    assert_eq!(case.sink.records()[2].partition_key, "shop.tag");
    within(handle.stop()).await.expect("stop");
}

#[tokio::test]
async fn a_stopped_task_goes_on_where_it_stood() {
    let Some(case) = Case::new().await else { return };
    let handle = case.capture().await;
    case.run("INSERT INTO shop.item SELECT n FROM generate_series(1, 1200) n").await;
    case.settled(&handle).await;
    let acknowledged = handle.acknowledged();
    within(handle.stop()).await.expect("stop");
    assert!(case.confirmed().await >= acknowledged, "the last position was reported");
    case.run("INSERT INTO shop.item SELECT n FROM generate_series(1201, 1300) n").await;

    let task = case.prepare().await.expect("resume");
    assert!(task.resumed() && task.snapshot_name().is_none());
    let load = within(task.full_load(&[])).await.expect_err("no snapshot, no load");
    assert!(matches!(load, DmsError::Slot { .. }));
    let handle = within(task.start_cdc()).await.expect("start");
    case.run("INSERT INTO shop.item SELECT n FROM generate_series(1301, 1400) n").await;
    case.settled(&handle).await;
    assert_eq!(case.story(), (1..=1400).map(|n| format!("insert {n}")).collect::<Vec<_>>());
    assert_eq!(handle.rows()["item"], 200, "counted from the resumption");
    within(handle.stop()).await.expect("stop");
}

#[tokio::test]
async fn unrelated_wal_lets_the_slot_advance() {
    let Some(case) = Case::new().await else { return };
    let handle = case.capture().await;
    let before = handle.acknowledged();
    case.run("INSERT INTO public.unrelated SELECT generate_series(1, 5000)").await;
    let target = case.wal_lsn().await;
    assert!(target > before);
    within(handle.wait_acknowledged(target)).await.expect("acknowledged without a published change");
    assert!(case.sink.records().is_empty());
    within(handle.stop()).await.expect("stop");
    assert!(case.confirmed().await >= target, "the server may remove that WAL");
}

/// Accepts until it is closed; then every call fails for good.
#[derive(Default)]
struct ClosingSink {
    accepted: MemorySink,
    closed: AtomicBool,
}

#[async_trait]
impl RecordSink for ClosingSink {
    async fn put_records(&self, records: &[SinkRecord]) -> Result<Vec<RecordResult>, SinkError> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(SinkError { retryable: false, source: "closed".into() });
        }
        self.accepted.put_records(records).await
    }
}

#[tokio::test]
async fn what_the_sink_refused_is_not_acknowledged_and_comes_again() {
    let Some(case) = Case::new().await else { return };
    let closing = Arc::new(ClosingSink::default());
    let task = DmsTask::prepare_with_sink(case.config.clone(), Arc::clone(&closing) as _).await.expect("prepare");
    let handle = within(task.start_cdc()).await.expect("start");
    case.run("INSERT INTO shop.item VALUES (1)").await;
    case.settled(&handle).await;
    closing.closed.store(true, Ordering::Relaxed);
    let before = case.wal_lsn().await;
    case.run("INSERT INTO shop.item VALUES (2)").await;
    let after = case.wal_lsn().await;
    let lost = within(handle.wait_acknowledged(after)).await.expect_err("the sink is closed");
    assert!(matches!(&lost, DmsError::Ended(cause) if matches!(**cause, DmsError::Put { .. })), "{lost}");
    assert!(handle.acknowledged() <= before);
    assert!(matches!(within(handle.stop()).await, Err(DmsError::Ended(_))));
    assert!(case.confirmed().await <= before, "the slot still holds the refused row");

    let handle = within(case.prepare().await.expect("resume").start_cdc()).await.expect("start");
    case.settled(&handle).await;
    assert_eq!(case.story(), ["insert 2"]);
    within(handle.stop()).await.expect("stop");
}

#[tokio::test]
async fn what_cannot_be_captured_is_refused_before_it_begins() {
    let Some(case) = Case::new().await else { return };
    let refusal = |result: Result<DmsTask, DmsError>| result.err().expect("must be refused").to_string();
    drop(case.prepare().await.expect("prepare, but never load"));
    let unfinished = refusal(case.prepare().await);
    assert!(unfinished.contains("never finished"), "{unfinished}");
    within(DmsTask::discard(&case.config)).await.expect("discard");

    case.run("ALTER TABLE shop.item REPLICA IDENTITY NOTHING").await;
    assert!(refusal(case.prepare().await).contains("replica identity `n`"));
    case.run("ALTER TABLE shop.item REPLICA IDENTITY FULL; ALTER TABLE shop.item DROP CONSTRAINT item_pkey").await;
    assert!(refusal(case.prepare().await).contains("no primary key"));
    case.run("ALTER TABLE shop.item ADD PRIMARY KEY (id); ALTER TABLE shop.tag RENAME TO other").await;
    assert!(refusal(case.prepare().await).contains("`shop.tag` does not exist"));
    case.run("ALTER TABLE shop.other RENAME TO tag").await;

    let handle = case.capture().await;
    within(handle.stop()).await.expect("stop");
    let mut next = case.config.clone();
    next.generation = 2;
    let sink = Arc::new(MemorySink::default());
    let wrong = refusal(within(DmsTask::prepare_with_sink(next, sink)).await);
    assert!(wrong.contains("belongs to generation 1, not 2"), "{wrong}");
}

#[tokio::test]
async fn a_full_replica_identity_fills_unchanged_toast_and_a_new_column_is_announced() {
    let Some(case) = Case::new().await else { return };
    let logged = Arc::new(Mutex::new(Vec::new()));
    let lines = Arc::clone(&logged);
    let mut config = case.config.clone();
    config.events = EventSink::new(move |event| lines.lock().expect("log").push(event));
    case.run("ALTER TABLE shop.item REPLICA IDENTITY FULL").await;
    case.run("INSERT INTO shop.item (id, note) VALUES (1, repeat('x', 9000))").await;
    let task = DmsTask::prepare_with_sink(config, Arc::clone(&case.sink) as _).await.expect("prepare");
    let handle = within(task.start_cdc()).await.expect("start");
    case.run("UPDATE shop.item SET name = 'b' WHERE id = 1").await;
    case.run("ALTER TABLE shop.item ADD COLUMN rating int; UPDATE shop.item SET rating = 5 WHERE id = 1").await;
    case.run("DELETE FROM shop.item").await;
    case.settled(&handle).await;
    let envelopes = case.envelopes();
    let operations: Vec<_> = envelopes.iter().map(|envelope| envelope.metadata.operation).collect();
    use Operation::{AddColumn, Delete, Update};
    assert_eq!(operations, [Update, AddColumn, Update, Delete]);
    let note = envelopes[0].data.as_ref().and_then(|data| data.get("note")).expect("filled");
    assert_eq!(note.len(), 9000 + 2);
    assert_eq!(envelopes[2].data.as_ref().and_then(|data| data.get("rating")), Some("5"));
    assert_eq!(envelopes[3].data.as_ref().map(|data| data.0.len()), Some(1), "a delete carries its key only");
    assert!(!logged.lock().expect("log").is_empty(), "progress was told");
    within(handle.stop()).await.expect("stop");
}

#[tokio::test]
async fn a_broken_stream_surfaces_where_somebody_waits() {
    let Some(case) = Case::new().await else { return };
    let handle = case.capture().await;
    case.run("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database()")
        .await;
    let broken = within(handle.wait_acknowledged(Lsn(u64::MAX))).await.expect_err("the stream is gone");
    assert!(matches!(&broken, DmsError::Ended(cause) if matches!(**cause, DmsError::Replication { .. })), "{broken}");
    assert!(matches!(within(handle.stop()).await, Err(DmsError::Ended(_))));
}

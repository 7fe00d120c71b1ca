//! The watch on the replication slot with a real Postgres, a real stream and a real DMS task, honest and not.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lakebed_contract::endpoints::PostgresEndpoint;
use lakebed_contract::event::Outcome;
use lakebed_contract::layout::KINESIS_STREAM;
use lakebed_contract::{Clock, EventSink, Lake, Lsn, Seed};
use lakebed_flow::dms::{
    DmsConfig, DmsSettings, DmsTask, KinesisSink, RecordResult, RecordSink, SinkError, SinkRecord,
};
use lakebed_harness::backend::{Stores, create_stream};
use lakebed_harness::judge::judge_slot;
use lakebed_harness::run::{PUBLICATION, SLOT};
use lakebed_harness::slot_watch::{self, OpenWatch, SlotWatch, SlotWatchConfig};
use lakebed_source::{MutationPlan, PostgresConfig, PostgresServer, SourceTruth};
use tempfile::TempDir;

const SEED: Seed = Seed(5);

/// Says that a record is stored before it is.
struct HastySink {
    stored: KinesisSink,
    held: Mutex<Vec<Vec<SinkRecord>>>,
}

#[async_trait]
impl RecordSink for HastySink {
    async fn put_records(&self, records: &[SinkRecord]) -> Result<Vec<RecordResult>, SinkError> {
        self.held.lock().expect("not poisoned").push(records.to_vec());
        Ok(vec![Ok(()); records.len()])
    }
}

impl HastySink {
    async fn release(&self) {
        let held = std::mem::take(&mut *self.held.lock().expect("not poisoned"));
        for batch in held {
            let results = self.stored.put_records(&batch).await.expect("the stream answers");
            assert!(results.iter().all(Result::is_ok));
        }
    }
}

/// A source with data, and a stream.
struct Case {
    postgres: PostgresServer,
    stores: Stores,
    lake: Arc<Lake>,
    truth: SourceTruth,
    clock: Clock,
    folder: TempDir,
    stretches: u64,
}

impl Case {
    async fn start() -> Self {
        let (clock, events, lake) = (Clock::wall(), EventSink::default(), Arc::new(Lake::beer()));
        let explicit = std::env::var_os("LAKEBED_PG_BIN").map(PathBuf::from);
        let found = lakebed_source::find_postgres(explicit.as_deref(), std::env::var_os("PATH")).expect("Postgres 15");
        let config = PostgresConfig::new(found, std::env::temp_dir(), clock.clone());
        let postgres = PostgresServer::start(config).await.expect("starts");
        let endpoint = postgres.endpoint();
        let client = lakebed_source::connect(&endpoint).await.expect("connects");
        lakebed_source::create_schema(&client, &lake).await.expect("schema");
        let truth = lakebed_source::load(&endpoint, &lake, 0.000_5, SEED, &events).await.expect("loads");
        let folder = tempfile::tempdir().expect("temp dir");
        let stores =
            Stores::start_alone(folder.path(), 0, &Default::default(), &clock, SEED, &events).await.expect("stores");
        create_stream(&stores.endpoints, &clock).await.expect("stream");
        Self { postgres, stores, lake, truth, clock, folder, stretches: 0 }
    }

    fn endpoint(&self) -> PostgresEndpoint {
        self.postgres.endpoint()
    }

    /// Watches while a task captures one stretch of changes through `sink`, to the end of the log.
    async fn watch(&mut self, sink: Arc<dyn RecordSink>) -> SlotWatch {
        let watch = OpenWatch::open(SlotWatchConfig {
            postgres: self.endpoint(),
            endpoints: self.stores.endpoints.clone(),
            lake: Arc::clone(&self.lake),
            watched: SLOT.to_owned(),
            notes: Some(self.folder.path().join(slot_watch::NOTES_FILE)),
            clock: self.clock.clone(),
            events: EventSink::default(),
        })
        .await
        .expect("opens");
        let config = DmsConfig {
            postgres: self.endpoint(),
            endpoints: self.stores.endpoints.clone(),
            lake: Arc::clone(&self.lake),
            slot: SLOT.to_owned(),
            publication: PUBLICATION.to_owned(),
            generation: 1,
            settings: DmsSettings::lakebed_recommended(),
            clock: self.clock.clone(),
            events: EventSink::default(),
        };
        let task = DmsTask::prepare_with_sink(config, sink).await.expect("prepares");
        let watch = watch.begin(task.consistent_point(), task.resumed()).await.expect("begins");
        let running = task.start_cdc().await.expect("starts");
        self.stretches += 1;
        let plan = MutationPlan { seed: SEED.child(&self.stretches.to_string()), changes: 40, cases: Vec::new() };
        lakebed_source::mutate(&self.endpoint(), &self.lake, plan, &mut self.truth, &EventSink::default())
            .await
            .expect("changes");
        running
            .wait_acknowledged(self.text("SELECT pg_current_wal_lsn()::text").await.parse::<Lsn>().expect("a position"))
            .await
            .expect("follows");
        running.stop().await.expect("stops");
        watch
    }

    async fn text(&self, sql: &str) -> String {
        let client = lakebed_source::connect(&self.endpoint()).await.expect("connects");
        client.query_one(sql, &[]).await.expect("answers").get(0)
    }

    async fn judged(&self, watch: &SlotWatch) -> (Outcome, String) {
        let history = watch.history().await.expect("told");
        let finding = judge_slot(&self.stores.endpoints, Some(&history)).await.expect("judged");
        (finding.outcome, finding.detail)
    }

    fn honest_sink(&self) -> KinesisSink {
        KinesisSink::new(&self.stores.endpoints, KINESIS_STREAM)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_acknowledgement_is_seen_even_when_the_records_follow_later() {
    let mut case = Case::start().await;
    let honest = Arc::new(case.honest_sink());
    let watch = case.watch(honest).await;
    let (outcome, detail) = case.judged(&watch).await;
    assert_eq!(outcome, Outcome::Pass, "{detail}");
    assert!(detail.contains("changes before them were each in the stream by then"), "{detail}");
    // As after `kill -9`: the slot and the looks stay.
    drop(watch);

    let honest = Arc::new(case.honest_sink());
    let watch = case.watch(honest).await;
    let (outcome, detail) = case.judged(&watch).await;
    assert_eq!(outcome, Outcome::Pass, "{detail}");
    assert!(detail.contains("resumed"), "{detail}");
    drop(watch);

    let hasty = Arc::new(HastySink { stored: case.honest_sink(), held: Mutex::default() });
    let watch = case.watch(Arc::clone(&hasty) as _).await;
    let (outcome, detail) = case.judged(&watch).await;
    assert_eq!(outcome, Outcome::Fail, "{detail}");
    assert!(detail.contains("acknowledged but not in the stream"), "{detail}");
    hasty.release().await;
    let (outcome, detail) = case.judged(&watch).await;
    assert_eq!(outcome, Outcome::Fail, "{detail}");
    assert!(detail.contains("acknowledged before the stream held"), "{detail}");
    assert!(!detail.contains("not in the stream"), "{detail}");

    watch.close().await.expect("closes");
    let left = case.text("SELECT string_agg(slot_name::text, ',') FROM pg_replication_slots").await;
    assert_eq!(left, SLOT, "only the task's own slot stays");
    assert!(!case.folder.path().join(slot_watch::NOTES_FILE).exists());
    case.stores.shutdown().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leftover_is_found_and_dropped() {
    let mut case = Case::start().await;
    let honest = Arc::new(case.honest_sink());
    drop(case.watch(honest).await);
    slot_watch::discard_leftover(&case.endpoint()).await.expect("drops");
    let left = case.text("SELECT string_agg(slot_name::text, ',') FROM pg_replication_slots").await;
    assert_eq!(left, SLOT);
    slot_watch::discard_leftover(&case.endpoint()).await.expect("nothing to drop is fine");
    case.stores.shutdown().await.expect("stops");
}

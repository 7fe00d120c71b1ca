//! A running source-to-gold path: the backend, the flow, Firehose, and the DMS task between them.
//!
//! Fresh, it generates and loads the source; over a kept Postgres it takes up change capture where the slot stands, whatever
//! moment the earlier process died at. Promises: everything started is stopped by [`Run::stop`] in order, or by `Drop` where
//! there is no time for better.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lakebed_contract::endpoints::{Endpoints, PostgresEndpoint};
use lakebed_contract::{Clock, EventSink, FaultPlan, Lake, Lsn, Seed, Stage, layout};
use lakebed_flow::dms::{DmsConfig, DmsHandle, DmsSettings, DmsTask};
use lakebed_flow::{Firehose, FirehoseConfig, FirehoseHandle, FirehoseReport};
use lakebed_source::{KeyPart, SourceTruth};

use crate::backend::{Backend, Flow, FlowConfig, check_machines, create_stream, s3_client};
use crate::demo::DemoOptions;
use crate::error::HarnessError;
use crate::first_copy::FirstCopy;
use crate::judge::{self, JudgeInput, Verdict};
use crate::kill;
use crate::measures::MAIN_PROCESS;
use crate::quiesce::{RawLayer, settle_raw};
use crate::run_dir::RunDir;
use crate::sampler::Sampler;
use crate::slot_watch::{self, OpenWatch, SlotWatch, SlotWatchConfig};
use crate::source_load;
use crate::tally::timed;
use crate::wiring::MaskSecret;

/// Buffer size of Firehose before compression: the least AWS allows with dynamic partitioning.
pub const FIREHOSE_BUFFER_BYTES: u64 = 64 * 1024 * 1024;
/// Buffer age of Firehose. AWS's least is 60 s; the embedded service runs 60 times as fast.
pub const FIREHOSE_BUFFER_INTERVAL: Duration = Duration::from_secs(1);
/// Active partitions of Firehose: AWS's default quota.
pub const FIREHOSE_ACTIVE_PARTITIONS_MAX: usize = 500;
/// The replication slot of the DMS task.
pub const SLOT: &str = "lakebed_dms";
/// Its publication.
pub const PUBLICATION: &str = "lakebed_dms";

/// A running source-to-gold path. Fields are in the order in which they must be dropped.
pub struct Run {
    _sampler: Sampler,
    /// Change capture, once something was copied.
    pub dms: Option<DmsHandle>,
    /// Firehose.
    pub firehose: FirehoseHandle,
    /// Everything behind `raw/`.
    pub flow: Flow,
    /// Where it all runs.
    pub backend: Backend,
    /// What the generator knows and the lake must prove.
    pub truth: SourceTruth,
    pub(crate) source: PostgresEndpoint,
    pub(crate) lake: Arc<Lake>,
    pub(crate) clock: Clock,
    pub(crate) seed: Seed,
    pub(crate) events: EventSink,
    mask: MaskSecret,
    /// There while the first copy is under way, in a state directory that is taken up again.
    first_copy: Option<FirstCopy>,
    watching: Watching,
    pub(crate) rerun: Option<judge::Rerun>,
    /// How often every stage ran again.
    pub(crate) reruns: u32,
}

/// Whether the replication slot is watched for the judge, and the watch once there is a slot.
enum Watching {
    /// Nobody will judge.
    No,
    /// From the next preparation of the DMS task on; looks outlive this process in this file, if there is one.
    Yes {
        notes: Option<PathBuf>,
    },
    Begun(SlotWatch),
}

/// Where a run lives.
#[derive(Clone, Copy, Debug)]
pub struct RunPlace<'a> {
    /// State of the stores.
    pub run_dir: &'a RunDir,
    /// Port of the stores; 0 for any.
    pub port: u16,
    /// Whether Postgres lies in the state directory too and is taken up again at the next start.
    pub keep_postgres: bool,
    /// Whether the replication slot is watched, so that the judge can check I9. Holds back the log: not for a run without end.
    pub watched: bool,
}

impl<'a> RunPlace<'a> {
    /// Stores on any port, Postgres in a folder that is removed at the end.
    pub fn throw_away(run_dir: &'a RunDir) -> Self {
        Self { run_dir, port: 0, keep_postgres: false, watched: true }
    }
}

impl Run {
    /// Starts backend and flow, loads the source if it is empty, and starts Firehose.
    pub async fn start(
        options: &DemoOptions,
        place: RunPlace<'_>,
        clock: &Clock,
        events: &EventSink,
    ) -> Result<Self, HarnessError> {
        let lake = Arc::new(options.workload.lake(&options.lake_files)?);
        lakebed_source::check_lake(&lake, options.scale).map_err(HarnessError::stage("plan the source tables"))?;
        check_machines(&lake)?;
        let events = &kill::sink(events, &options.faults);
        let mask = options.mask.clone().unwrap_or_else(|| MaskSecret::for_generated_data(options.seed));
        let first_copy = (place.keep_postgres && options.backend.is_ours()).then(|| FirstCopy::of(place.run_dir));
        let cut_off = match &first_copy {
            Some(first_copy) => first_copy.forget_what_was_cut_off(events)?,
            None => false,
        };
        let mut backend = Backend::start(options, &lake, place, clock, events).await?;
        let truth =
            timed(Stage::Source, "load", clock, events, source_load::bring_up(&backend, options, place, &lake, events))
                .await?;
        let config = FlowConfig {
            lake: Arc::clone(&lake),
            lake_files: options.lake_files.clone(),
            mask: mask.clone(),
            clock: clock.clone(),
            seed: options.seed,
            events: events.clone(),
            worker_program: options.worker_program.clone(),
            faults: options.faults.clone(),
            holds_no_lease: options.backend.is_ours(),
        };
        let s3_events = backend.take_s3_events();
        let flow = Flow::start(backend.endpoints(), s3_events, place.run_dir, config).await?;
        create_stream(backend.endpoints(), clock).await?;
        let firehose =
            start_firehose(layout::FIREHOSE_STREAM, &flow, options.seed, options.faults.clone(), clock, events)?;
        let gauges = firehose.gauges().into_iter().chain(flow.gauges()).collect();
        let _sampler = Sampler::start(MAIN_PROCESS, gauges, clock.clone(), events.clone());
        let notes = place.keep_postgres.then(|| place.run_dir.path().join(slot_watch::NOTES_FILE));
        let mut run = Self {
            _sampler,
            dms: None,
            firehose,
            flow,
            source: backend.postgres(),
            backend,
            truth,
            lake,
            mask,
            clock: clock.clone(),
            seed: options.seed,
            events: events.clone(),
            first_copy,
            watching: if place.watched { Watching::Yes { notes } } else { Watching::No },
            rerun: None,
            reruns: 0,
        };
        if cut_off {
            let discarded = DmsTask::discard(&run.dms_config()).await;
            discarded.map_err(HarnessError::stage("discard the slot of a first copy that was cut off"))?;
        }
        if has_slot(&run.source).await? {
            run.copy().await?;
        }
        Ok(run)
    }

    /// Makes the slot and its snapshot, or finds the slot of an earlier start.
    pub(crate) async fn prepare_dms(&mut self) -> Result<DmsTask, HarnessError> {
        if let Some(first_copy) = &self.first_copy
            && !has_slot(&self.source).await?
        {
            first_copy.begins()?;
        }
        let watch = self.open_watch().await?;
        let task = DmsTask::prepare(self.dms_config()).await.map_err(HarnessError::stage("prepare the DMS task"))?;
        if let Some(watch) = watch {
            self.watching = Watching::Begun(watch.begin(task.consistent_point(), task.resumed()).await?);
        }
        Ok(task)
    }

    /// Before the slot is made, so that no commit is missed.
    async fn open_watch(&self) -> Result<Option<OpenWatch>, HarnessError> {
        let notes = match &self.watching {
            Watching::Yes { notes } => notes,
            Watching::Begun(_) => return Ok(None),
            Watching::No => {
                slot_watch::discard_leftover(&self.source).await?;
                return Ok(None);
            }
        };
        let watch = OpenWatch::open(SlotWatchConfig {
            postgres: self.source.clone(),
            endpoints: self.backend.endpoints().clone(),
            lake: Arc::clone(&self.lake),
            watched: SLOT.to_owned(),
            notes: notes.clone(),
            clock: self.clock.clone(),
            events: self.events.clone(),
        });
        watch.await.map(Some)
    }

    /// The initial load alone, without changes meanwhile, or what an earlier start left to do; change capture goes on.
    pub async fn copy(&mut self) -> Result<(), HarnessError> {
        let task = self.prepare_dms().await?;
        let (_, _, dms) = self.copy_with(task).await?;
        self.dms = Some(dms);
        Ok(())
    }

    /// Rows exported, rows loaded, and the running task.
    pub(crate) async fn copy_with(&self, task: DmsTask) -> Result<Copied, HarnessError> {
        if task.resumed() {
            let dms = task.start_cdc().await.map_err(HarnessError::stage("take up change capture"))?;
            return Ok((BTreeMap::new(), BTreeMap::new(), dms));
        }
        let copied = copy_tables(self.backend.endpoints(), &self.lake, &self.source, task, &self.clock, &self.events);
        let copied = copied.await?;
        if let Some(first_copy) = &self.first_copy {
            first_copy.is_over()?;
        }
        Ok(copied)
    }

    /// Waits until every raw object is settled.
    pub async fn settle(&self) -> Result<RawLayer, HarnessError> {
        settle_raw(&self.flow, &self.clock).await
    }

    /// Waits until every change committed by now lies under `raw/`.
    pub async fn follow_to_end(&self) -> Result<FirehoseReport, HarnessError> {
        let (clock, events) = (&self.clock, &self.events);
        let dms = self.dms.as_ref().ok_or_else(|| HarnessError::Input {
            message: "failed to follow the log: nothing was copied yet".to_owned(),
        })?;
        timed(Stage::Dms, "follow the log", clock, events, async {
            let end = current_lsn(&self.backend.postgres()).await?;
            dms.wait_acknowledged(end).await.map_err(HarnessError::stage("follow the log"))
        })
        .await?;
        timed(Stage::Firehose, "drain the changes", clock, events, async {
            self.firehose.drain().await.map_err(HarnessError::stage("drain Firehose"))
        })
        .await
    }

    fn dms_config(&self) -> DmsConfig {
        DmsConfig {
            postgres: self.backend.postgres(),
            endpoints: self.backend.endpoints().clone(),
            lake: Arc::clone(&self.lake),
            slot: SLOT.to_owned(),
            publication: PUBLICATION.to_owned(),
            generation: 1,
            settings: DmsSettings::lakebed_recommended(),
            clock: self.clock.clone(),
            events: self.events.clone(),
        }
    }

    /// Judges the lake against the source.
    pub async fn judge(&self) -> Result<Verdict, HarnessError> {
        let truth = known_truth(&self.truth);
        let endpoint = self.backend.postgres();
        let slot = match &self.watching {
            Watching::Begun(watch) => Some(watch.history().await?),
            Watching::No | Watching::Yes { .. } => None,
        };
        judge::judge(JudgeInput {
            lake: &self.lake,
            endpoints: self.backend.endpoints(),
            postgres: Some(&endpoint),
            truth: &truth,
            mask_key: &self.mask.key,
            mask_key_version: self.mask.version,
            slot: slot.as_ref(),
            rerun: self.rerun.as_ref(),
            whole_account: self.backend.is_private(),
            events: &self.events,
            clock: &self.clock,
        })
        .await
        .map_err(HarnessError::stage("judge the lake"))
    }

    /// Stops everything in order; a kept source can be taken up again.
    pub async fn stop(self) -> Result<(), HarnessError> {
        let (backend, captured) = self.stop_flow(false).await?;
        backend.stop().await?;
        captured
    }

    /// Stops everything in order, for good: a source that was kept is removed.
    pub async fn end(self) -> Result<(), HarnessError> {
        let (backend, captured) = self.stop_flow(true).await?;
        backend.discard_source().await?;
        captured
    }

    /// The backend, still running, and how change capture ended.
    async fn stop_flow(self, for_good: bool) -> Result<(Backend, Result<(), HarnessError>), HarnessError> {
        // In order even after a failure: what is in flight is written out.
        let captured = match self.dms {
            Some(dms) => dms.stop().await.map_err(HarnessError::stage("stop the DMS task")),
            None => Ok(()),
        };
        let captured = match self.watching {
            // A watch that outlives us is taken over with the source.
            Watching::Begun(watch) if for_good || !watch.is_kept() => captured.and(watch.close().await),
            Watching::Begun(_) | Watching::No | Watching::Yes { .. } => captured,
        };
        self.firehose.stop().await.map_err(HarnessError::stage("stop Firehose"))?;
        self.flow.pipe.stop().await.map_err(HarnessError::stage("stop the pipe"))?;
        drop(self.flow.raw_poll);
        self.flow.notifications.stop().await.map_err(HarnessError::stage("stop the notifications"))?;
        Ok((self.backend, captured))
    }
}

/// What the generator knows, in the judge's words.
pub fn known_truth(truth: &SourceTruth) -> judge::Truth {
    let planted = truth.planted.iter().map(|planted| judge::Planted {
        class: planted.class.clone(),
        value: planted.value.clone(),
        in_text: planted.in_text,
    });
    let other_keys_ever = truth.other_keys_ever.iter().map(other_keys).collect();
    judge::Truth { planted: planted.collect(), keys_ever: truth.keys_ever.clone(), other_keys_ever }
}

/// The judge has words of its own for what a key may hold.
fn other_keys((table, keys): (&String, &BTreeSet<Vec<KeyPart>>)) -> (String, BTreeSet<Vec<judge::KeyValue>>) {
    let value = |part: &KeyPart| match part {
        KeyPart::Integer(value) => judge::KeyValue::Int(*value),
        KeyPart::Text(value) => judge::KeyValue::Text(value.clone()),
        KeyPart::Date(value) => judge::KeyValue::Date(*value),
        KeyPart::Instant(value) => judge::KeyValue::Instant(*value),
    };
    (table.clone(), keys.iter().map(|key| key.iter().map(value).collect()).collect())
}

/// Rows exported, rows loaded, and the running task.
pub(crate) type Copied = (BTreeMap<String, u64>, BTreeMap<String, u64>, DmsHandle);

/// Batch export and full load inside the slot's snapshot, then change capture: rows exported, rows loaded, the running task.
pub(crate) async fn copy_tables(
    endpoints: &Endpoints,
    lake: &Lake,
    postgres: &PostgresEndpoint,
    task: DmsTask,
    clock: &Clock,
    events: &EventSink,
) -> Result<Copied, HarnessError> {
    let snapshot = task.snapshot_name().unwrap_or_default().to_owned();
    let s3 = s3_client(endpoints);
    let exported = timed(Stage::Batch, "export", clock, events, async {
        let mut exported = BTreeMap::new();
        for table in lake.batch_tables() {
            let report = lakebed_source::export_table(postgres, &snapshot, table, 1, &s3, events)
                .await
                .map_err(HarnessError::stage("export the batch tables"))?;
            exported.insert(table.name.clone(), report.rows);
        }
        Ok::<_, HarnessError>(exported)
    })
    .await?;
    let (loaded, dms) = start_dms(task, lake).await?;
    Ok((exported, loaded, dms))
}

/// Whether the slot of the DMS task is there.
async fn has_slot(endpoint: &PostgresEndpoint) -> Result<bool, HarnessError> {
    const LOOK: &str = "look for the replication slot";
    let client = lakebed_source::connect(endpoint).await.map_err(HarnessError::stage("connect to PostgreSQL"))?;
    let sql = "SELECT 1 FROM pg_replication_slots WHERE slot_name = $1";
    Ok(client.query_opt(sql, &[&SLOT]).await.map_err(HarnessError::stage(LOOK))?.is_some())
}

/// A delivery stream from Kinesis to `raw/`; `name` begins the names of its objects.
pub(crate) fn start_firehose(
    name: &str,
    flow: &Flow,
    seed: Seed,
    faults: FaultPlan,
    clock: &Clock,
    events: &EventSink,
) -> Result<FirehoseHandle, HarnessError> {
    Firehose::start(FirehoseConfig {
        name: name.to_owned(),
        kinesis_stream: layout::KINESIS_STREAM.to_owned(),
        transform: lakebed_contract::handler::FIREHOSE_ROUTER.to_owned(),
        registry: flow.registry.clone(),
        bucket: layout::STAGE_BUCKET.to_owned(),
        prefix: "raw/!{partitionKeyFromLambda:table_name}/".to_owned(),
        error_prefix: "errors/!{firehose:error-output-type}/".to_owned(),
        buffer_bytes: FIREHOSE_BUFFER_BYTES,
        buffer_interval: FIREHOSE_BUFFER_INTERVAL,
        active_partitions_max: FIREHOSE_ACTIVE_PARTITIONS_MAX,
        endpoints: flow.parts.endpoints.clone(),
        clock: clock.clone(),
        seed,
        events: events.clone(),
        faults,
    })
    .map_err(HarnessError::stage("start Firehose"))
}

async fn start_dms(task: DmsTask, lake: &Lake) -> Result<(BTreeMap<String, u64>, DmsHandle), HarnessError> {
    let streamed: Vec<_> =
        lake.tables.iter().filter(|table| table.load == lakebed_contract::table::LoadRoute::Stream).collect();
    let loaded = task.full_load(&streamed).await.map_err(HarnessError::stage("copy the tables"))?;
    let dms = task.start_cdc().await.map_err(HarnessError::stage("start change capture"))?;
    Ok((loaded, dms))
}

async fn current_lsn(endpoint: &PostgresEndpoint) -> Result<Lsn, HarnessError> {
    let client = lakebed_source::connect(endpoint).await.map_err(HarnessError::stage("connect to PostgreSQL"))?;
    let row = client
        .query_one("SELECT pg_current_wal_lsn()::text", &[])
        .await
        .map_err(HarnessError::stage("read the end of the log"))?;
    let text: String = row.try_get(0).map_err(HarnessError::stage("read the end of the log"))?;
    text.parse().map_err(HarnessError::stage("read the end of the log"))
}

//! A DMS task from its preparation to the start of change capture.
//!
//! `prepare` fixes the point where load and capture meet; `full_load` reads up to it, `start_cdc` goes on from it. The
//! snapshot lives as long as the task: the replication session that exported it stays idle until capture begins.

use std::collections::BTreeMap;
use std::sync::Arc;

use lakebed_contract::endpoints::PostgresEndpoint;
use lakebed_contract::layout::KINESIS_STREAM;
use lakebed_contract::{Clock, Endpoints, EventSink, Lake, Lsn, RunEvent, Stage, TableContract};
use pgwire_replication::{FeedbackObserver, ReplicationClient};
use tokio::sync::{Notify, watch};

use super::assemble::Assembler;
use super::batch::Batcher;
use super::cdc::{Cdc, CdcState};
use super::envelope::EnvelopeBuilder;
use super::error::DmsError;
use super::handle::DmsHandle;
use super::settings::DmsSettings;
use super::shape::TableShape;
use super::sink::{KinesisSink, RecordSink};
use super::{full_load, session, slot};

/// What a task needs to know.
#[derive(Clone, Debug)]
pub struct DmsConfig {
    /// The source; the role needs `REPLICATION` and the right to create a publication.
    pub postgres: PostgresEndpoint,
    /// Where Kinesis answers.
    pub endpoints: Endpoints,
    /// The tables.
    pub lake: Arc<Lake>,
    /// Replication slot; also the task's id in control records.
    pub slot: String,
    /// Publication.
    pub publication: String,
    /// Counts full loads, from 1.
    pub generation: u32,
    /// What a record looks like.
    pub settings: DmsSettings,
    /// Time.
    pub clock: Clock,
    /// Progress.
    pub events: EventSink,
}

/// A prepared task.
pub struct DmsTask {
    config: DmsConfig,
    sink: Arc<dyn RecordSink>,
    client: ReplicationClient,
    feedback: Arc<Notify>,
    shapes: Vec<TableShape>,
    snapshot: Option<String>,
    consistent_point: Lsn,
}

impl DmsTask {
    /// Checks the source, publishes the lake's tables and creates the slot with an exported snapshot; or takes up an
    /// existing slot of that name. Records go to Kinesis.
    ///
    /// # Errors
    /// A source that is not fit, a slot that must not be resumed, a connection that fails.
    pub async fn prepare(config: DmsConfig) -> Result<Self, DmsError> {
        let sink = Arc::new(KinesisSink::new(&config.endpoints, KINESIS_STREAM));
        Self::prepare_with_sink(config, sink).await
    }

    /// [`DmsTask::prepare`] with another sink.
    ///
    /// # Errors
    /// As there.
    pub async fn prepare_with_sink(config: DmsConfig, sink: Arc<dyn RecordSink>) -> Result<Self, DmsError> {
        slot::check_name("slot", &config.slot)?;
        slot::check_name("publication", &config.publication)?;
        let sql = session::connect(&config.postgres).await?;
        let shapes = slot::preflight(&sql, &config.lake).await?;
        let (slot_name, publication) = (&config.slot, &config.publication);
        let resume = slot::resume_point(&sql, slot_name, publication, config.generation, &shapes).await?;
        match resume {
            Some(_) => slot::wait_released(&sql, slot_name).await?,
            None => slot::publish(&sql, publication, &shapes).await?,
        }
        let feedback = Arc::new(Notify::new());
        let told = Arc::clone(&feedback);
        let observer = FeedbackObserver::new(move |_| told.notify_one());
        let replication = session::replication_config(&config.postgres, slot_name, publication, observer);
        let mut client = ReplicationClient::connect_gated(replication)
            .await
            .map_err(DmsError::replication("open the replication connection"))?;
        let (consistent_point, snapshot) = match resume {
            Some(flushed) => {
                config.events.log(format!("dms: resuming slot `{slot_name}` at {flushed}, without a full load"));
                (flushed, None)
            }
            None => {
                let (point, snapshot) = create_slot(&mut client, slot_name).await?;
                (point, Some(snapshot))
            }
        };
        Ok(Self { config, sink, client, feedback, shapes, snapshot, consistent_point })
    }

    /// Whether an existing slot was taken up: then there is no snapshot and no full load.
    pub fn resumed(&self) -> bool {
        self.snapshot.is_none()
    }

    /// The exported snapshot, for `SET TRANSACTION SNAPSHOT`; valid until [`DmsTask::start_cdc`].
    pub fn snapshot_name(&self) -> Option<&str> {
        self.snapshot.as_deref()
    }

    /// Where load and capture meet; where capture goes on, for a resumed task.
    pub fn consistent_point(&self) -> Lsn {
        self.consistent_point
    }

    /// Loads `tables` inside the snapshot; the other tables of the lake only get their control records. Returns the rows
    /// put, by table.
    ///
    /// # Errors
    /// On a resumed task; when the source or the sink fails. The slot is then not fit to be resumed: see
    /// [`DmsTask::discard`].
    pub async fn full_load(&self, tables: &[&TableContract]) -> Result<BTreeMap<String, u64>, DmsError> {
        let config = &self.config;
        let Some(snapshot) = self.snapshot.as_deref() else {
            return Err(DmsError::slot(&config.slot, "a resumed task has no snapshot to load from"));
        };
        let (started, detail) = (config.clock.monotonic(), "full load".to_owned());
        config.events.emit(RunEvent::StageStarted { stage: Stage::Dms, detail: detail.clone() });
        let sql = session::connect(&config.postgres).await?;
        let (builder, batcher) = (self.builder(), self.batcher());
        let counts = full_load::run(&sql, snapshot, &self.shapes, tables, &builder, &config.clock, batcher).await?;
        let elapsed = config.clock.monotonic().saturating_sub(started);
        config.events.emit(RunEvent::StageFinished { stage: Stage::Dms, detail, elapsed });
        Ok(counts)
    }

    /// Begins change capture at the consistent point. Whatever was to be loaded must be loaded by now, by this task or by
    /// others that used its snapshot: from here on the slot counts as resumable.
    ///
    /// # Errors
    /// When the server does not start the stream.
    pub async fn start_cdc(mut self) -> Result<DmsHandle, DmsError> {
        if !self.resumed() {
            let sql = session::connect(&self.config.postgres).await?;
            slot::mark_loaded(&sql, &self.config.publication, self.config.generation).await?;
        }
        let start = || DmsError::replication("start the replication stream");
        self.client.start().await.map_err(start())?;
        self.client.wait_started().await.map_err(start())?;
        let (state, state_of_handle) = watch::channel(CdcState { acknowledged: self.consistent_point, ended: None });
        let (stop, stop_of_loop) = watch::channel(false);
        let (builder, batcher) = (self.builder(), self.batcher());
        let counts = batcher.counts();
        let assembler = Assembler::new(builder, &self.shapes, self.config.events.clone());
        let DmsConfig { postgres, slot, clock, .. } = self.config;
        let cdc = Cdc::new(self.client, self.feedback, assembler, batcher, clock, state, stop_of_loop);
        let join = tokio::spawn(cdc.run());
        Ok(DmsHandle { state: state_of_handle, stop, counts, join, endpoint: postgres, slot })
    }

    /// Drops slot and publication of a task that will not be resumed, so that the next `prepare` begins a new load. No task
    /// may be running on them.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn discard(config: &DmsConfig) -> Result<(), DmsError> {
        slot::check_name("slot", &config.slot)?;
        let sql = session::connect(&config.postgres).await?;
        slot::discard(&sql, &config.slot, &config.publication).await
    }

    fn builder(&self) -> EnvelopeBuilder {
        EnvelopeBuilder::new(self.config.settings.clone(), &self.config.slot, self.config.generation)
    }

    fn batcher(&self) -> Batcher {
        Batcher::new(Arc::clone(&self.sink), self.config.clock.clone(), self.config.events.clone())
    }
}

/// Creates the slot on the replication session; returns its consistent point and snapshot.
async fn create_slot(client: &mut ReplicationClient, slot: &str) -> Result<(Lsn, String), DmsError> {
    let rows = client
        .simple_query(&format!("CREATE_REPLICATION_SLOT {slot} LOGICAL pgoutput (SNAPSHOT 'export')"))
        .await
        .map_err(DmsError::replication(format!("create replication slot `{slot}`")))?;
    // Columns: slot_name, consistent_point, snapshot_name, output_plugin.
    let text = |at: usize| {
        let value = rows.first().and_then(|row| row.get(at)).and_then(Option::as_ref)?;
        std::str::from_utf8(value).ok()
    };
    let unreadable = || DmsError::slot(slot, "the server's answer to its creation is unreadable");
    let point = text(1).and_then(|text| text.parse().ok()).ok_or_else(unreadable)?;
    let snapshot = text(2).ok_or_else(unreadable)?.to_owned();
    Ok((point, snapshot))
}

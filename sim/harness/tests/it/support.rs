//! Stores of one test: the embedded cloud in a temporary folder, with buckets, control table and handlers of a run.
//!
//! The clock is virtual and shared by stores and handlers. Objects come in as they do in a run: put into S3, told by
//! the store's own notification document, received by the controller; what follows, a test calls itself, step by step.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;
use lakebed_cloud::{Cloud, CloudConfig};
use lakebed_contract::control::ControlRecord;
use lakebed_contract::handler::PROCESSING_CONTROLLER;
use lakebed_contract::layout::{self, LAKE_BUCKET, STAGE_BUCKET};
use lakebed_contract::{
    Clock, Endpoints, EventSink, HandlerError, HandlerRegistry, Invocation, Lake, MaskedColumn, RunEvent, Seed,
    Timestamp,
};
use lakebed_harness::backend::{create_resources, request_s3_events, s3_client};
use lakebed_harness::wiring::{MaskSecret, PipelineParts, pipeline_registry};
use lakebed_ingest::ControlTable;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;

/// Who the handlers claim for.
pub(crate) const WORKER: &str = "request-1";

const SEED: Seed = Seed(7);
/// More documents than any test makes.
const DOCUMENTS_MAX: usize = 64;

/// Running stores. [`Stores::stop`] ends them in order; dropping them is for tests that have failed.
pub(crate) struct Stores {
    pub(crate) clock: Clock,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) control: ControlTable,
    registry: HandlerRegistry,
    documents: mpsc::Receiver<Value>,
    masked: Arc<Mutex<Vec<MaskedColumn>>>,
    logged: Arc<Mutex<Vec<String>>>,
    scratch: PathBuf,
    cloud: Cloud,
    _folder: TempDir,
}

/// A raw object that lies in S3, and what the flow would say about it.
#[derive(Clone, Debug)]
pub(crate) struct RawObject {
    /// Key of its control record.
    pub(crate) pk: String,
    /// The notification document of the store.
    pub(crate) document: Value,
    /// The dispatcher's input.
    pub(crate) input: Value,
}

impl Stores {
    /// Starts them, with everything a run creates.
    pub(crate) async fn start() -> Self {
        Self::start_with(Lake::beer()).await
    }

    /// The same for another lake.
    pub(crate) async fn start_with(lake: Lake) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Clock::virtual_at(Timestamp::from_seconds(1_700_000_000));
        let (sender, documents) = mpsc::channel(DOCUMENTS_MAX);
        let mut config = CloudConfig::new(folder.path().join("stores"), clock.clone(), SEED);
        config.notifications = Some(sender);
        let cloud = Cloud::start(config).await.expect("the stores start");
        let endpoints = Endpoints::embedded(cloud.port());
        create_resources(&endpoints, &clock).await.expect("buckets and control table are made");
        request_s3_events(&endpoints).await.expect("the store takes the bucket notification");
        let masked = Arc::new(Mutex::new(Vec::new()));
        let logged = Arc::new(Mutex::new(Vec::new()));
        let (heard, read) = (Arc::clone(&masked), Arc::clone(&logged));
        let parts = PipelineParts {
            lake: Arc::new(lake),
            endpoints: endpoints.clone(),
            mask: MaskSecret::for_generated_data(SEED),
            clock: clock.clone(),
            seed: SEED,
            events: EventSink::new(move |event| match event {
                RunEvent::Masked { columns } => heard.lock().expect("sound").extend(columns),
                RunEvent::Log { message } => read.lock().expect("sound").push(message),
                _ => {}
            }),
            scratch: folder.path().join("scratch"),
        };
        Self {
            s3: s3_client(&endpoints),
            control: ControlTable::new(&endpoints, clock.clone()),
            registry: pipeline_registry(&parts),
            documents,
            masked,
            logged,
            scratch: parts.scratch,
            clock,
            cloud,
            _folder: folder,
        }
    }

    /// Stops the stores in order.
    pub(crate) async fn stop(self) {
        self.cloud.shutdown().await.expect("the stores stop");
    }

    /// What masking was told of, in the order of telling.
    pub(crate) fn masked(&self) -> Vec<MaskedColumn> {
        self.masked.lock().expect("sound").clone()
    }

    /// The lines of the log, in order.
    pub(crate) fn logged(&self) -> Vec<String> {
        self.logged.lock().expect("sound").clone()
    }

    /// Calls a handler as its AWS caller would.
    pub(crate) async fn call(&self, handler: &str, payload: &Value) -> Result<Value, HandlerError> {
        let function = self.registry.get(handler).expect("a handler of this name");
        let invocation = Invocation { request_id: WORKER.to_owned(), memory_mib: 128 };
        function.invoke(&invocation, payload.clone()).await
    }

    /// Puts a raw object, and waits for the store to tell of it.
    pub(crate) async fn put(&mut self, key: &str, body: &[u8]) -> RawObject {
        let put = self.s3.put_object().bucket(STAGE_BUCKET).key(key).body(body.to_vec().into());
        let put = put.send().await.expect("the object is put");
        let etag = put.e_tag().expect("an ETag").trim_matches('"');
        let document = loop {
            let document = self.documents.recv().await.expect("the store tells of every raw object");
            // Before it, the test event of the configuration, and objects nobody asked about.
            if document["Records"][0]["s3"]["object"]["eTag"] == etag {
                break document;
            }
        };
        let table = layout::table_of_raw_key(key).unwrap_or_default();
        let input = dispatch(&ControlRecord::received(STAGE_BUCKET, key, etag, table, "", size(body), 0));
        RawObject { pk: layout::control_key(STAGE_BUCKET, key, etag), document, input }
    }

    /// Puts a raw object and lets the controller enter it into the control table.
    pub(crate) async fn receive(&mut self, key: &str, body: &[u8]) -> RawObject {
        let object = self.put(key, body).await;
        let answer = self.call(PROCESSING_CONTROLLER, &object.document).await.expect("the controller answers");
        assert_eq!(answer, json!({"received": 1, "duplicates": 0, "ignored": 0}), "{key}");
        object
    }

    /// The control record of an object.
    pub(crate) async fn record(&self, pk: &str) -> ControlRecord {
        self.control.get(pk).await.expect("the control table answers").expect("a control record")
    }

    /// Every key in the lake bucket, sorted.
    pub(crate) async fn published(&self) -> Vec<String> {
        let listed = self.s3.list_objects_v2().bucket(LAKE_BUCKET).send().await.expect("the lake is listed");
        assert_ne!(listed.is_truncated(), Some(true), "one page holds all that a test publishes");
        listed.contents().iter().map(|object| object.key().expect("a key").to_owned()).collect()
    }

    /// Bytes of an object of the lake.
    pub(crate) async fn lake_object(&self, key: &str) -> Vec<u8> {
        let got = self.s3.get_object().bucket(LAKE_BUCKET).key(key).send().await.expect("the object is there");
        got.body.collect().await.expect("the body arrives").to_vec()
    }

    /// What the workers have left in their scratch folder, which must have been used.
    pub(crate) fn left_in_scratch(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.scratch).expect("a worker has made its scratch folder");
        entries.map(|entry| entry.expect("a readable entry").path()).collect()
    }
}

/// The dispatcher's input for a control record, as the Pipe makes it.
pub(crate) fn dispatch(record: &ControlRecord) -> Value {
    json!({
        "pk": record.pk, "bucket": record.bucket, "key": record.key, "etag": record.etag, "table": record.table,
        "size_bytes": record.size_bytes,
    })
}

/// A CSV object of table `beer`. Every seventh row breaks the contract: its strength has two decimals.
pub(crate) fn beer_csv(rows: usize) -> String {
    let row = |id: usize| {
        let strength = if id.is_multiple_of(7) { "4.55" } else { "4.5" };
        format!("{id},Beer {id},Ale,{strength},1\n")
    };
    format!("beer_id,beer_name,beer_style,beer_abv,brewery_id\n{}", (1..=rows).map(row).collect::<String>())
}

/// One gzip member.
pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).expect("into memory");
    encoder.finish().expect("into memory")
}

fn size(body: &[u8]) -> i64 {
    i64::try_from(body.len()).expect("a small object")
}

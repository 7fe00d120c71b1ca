//! A delivery stream against a loopback Kinesis and S3.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lakebed_contract::fault::{FIREHOSE_PUT_OBJECT, Fault, When};
use lakebed_contract::{Clock, EventSink, FaultKind, FaultPlan, HandlerError, HandlerRegistry, Seed, Timestamp};
use lakebed_flow::firehose::NO_TABLE;
use lakebed_flow::{Firehose, FirehoseConfig, FirehoseHandle, FirehoseReport, FlowError};
use serde_json::{Value, json};

use crate::fakes::{drive, handler};
use crate::stores::{Shard, Stores};

/// Routes `table:text`: `drop:` is dropped, `bad:` fails, `:text` has an empty key; the output has a newline.
fn route(event: Value) -> Result<Value, HandlerError> {
    let records = event["records"].as_array().expect("records").iter().map(|record| {
        let data = STANDARD.decode(record["data"].as_str().expect("data")).expect("base64");
        let text = String::from_utf8(data).expect("text");
        let (table, _) = text.split_once(':').expect("a table");
        let result = match table {
            "drop" => "Dropped",
            "bad" => "ProcessingFailed",
            _ => "Ok",
        };
        json!({"recordId": record["recordId"], "result": result, "data": STANDARD.encode(format!("{text}\n")),
            "metadata": {"partitionKeys": {"table_name": if result == "Ok" { table } else { "" }}}})
    });
    Ok(json!({"records": records.collect::<Vec<_>>()}))
}

struct Case {
    stores: Stores,
    clock: Clock,
    config: FirehoseConfig,
}

impl Case {
    async fn new(function: impl Fn(Value) -> Result<Value, HandlerError> + Send + Sync + 'static) -> Self {
        let stores = Stores::start().await;
        let clock = Clock::virtual_at(Timestamp::from_seconds(1_722_214_800));
        let mut registry = HandlerRegistry::default();
        registry.register("router", handler(function));
        let config = FirehoseConfig {
            name: "stream".to_owned(),
            kinesis_stream: "kinesis".to_owned(),
            transform: "router".to_owned(),
            registry,
            bucket: "dm-stage".to_owned(),
            prefix: "raw/!{partitionKeyFromLambda:table_name}/".to_owned(),
            error_prefix: "errors/!{firehose:error-output-type}/".to_owned(),
            buffer_bytes: 1_000,
            buffer_interval: Duration::from_secs(60),
            active_partitions_max: 3,
            endpoints: stores.endpoints.clone(),
            clock: clock.clone(),
            seed: Seed(7),
            events: EventSink::default(),
            faults: FaultPlan::default(),
        };
        Self { stores, clock, config }
    }

    fn start(&self) -> FirehoseHandle {
        Firehose::start(self.config.clone()).expect("valid")
    }
}

fn counts(pairs: &[(&str, u64)]) -> BTreeMap<String, u64> {
    pairs.iter().map(|(table, count)| ((*table).to_owned(), *count)).collect()
}

#[tokio::test]
async fn a_drain_delivers_everything_that_was_put() {
    let case = Case::new(route).await;
    for record in ["beer:1", "beer:2", "review:1", "drop:x", "bad:y", ":z", "beer:3"] {
        case.stores.put_record("shard-0", record);
    }
    let firehose = case.start();
    let report = firehose.drain().await.expect("drains");
    assert_eq!(report.records_in, 7);
    assert_eq!(report.delivered, counts(&[("beer", 3), ("review", 1)]));
    assert_eq!((report.dropped, report.failed), (counts(&[(NO_TABLE, 1)]), counts(&[(NO_TABLE, 2)])));
    assert_eq!(report.objects, 4);
    assert_eq!(case.stores.lines("raw/beer/"), ["beer:1", "beer:2", "beer:3"]);
    assert_eq!(case.stores.lines("raw/review/"), ["review:1"]);
    let failed: Value =
        serde_json::from_str(&case.stores.lines("errors/processing-failed/")[0]).expect("an error line");
    assert_eq!(failed["errorCode"], "Lambda.ProcessingFailedStatus");
    assert_eq!(failed["rawData"], STANDARD.encode("bad:y"));
    assert_eq!((&failed["arrivalTimestamp"], &failed["attemptsMade"]), (&json!(1_722_214_747_686_i64), &json!(1)));
    assert_eq!(failed["lambdaArn"], "arn:aws:lambda:us-east-1:000000000000:function:router");
    let unkeyed: Value =
        serde_json::from_str(&case.stores.lines("errors/metadata-extraction-failed/")[0]).expect("a line");
    assert_eq!(unkeyed["errorCode"], "DynamicPartitioning.MetadataExtractionFailed");
    case.stores.put_record("shard-0", "beer:4");
    assert_eq!(firehose.drain().await.expect("drains").delivered["beer"], 4);
    assert_eq!(firehose.stop().await.expect("stops").records_in, 8);
}

/// The sizes of the data objects, in order of size, when `kind` befalls the first put; and the report.
async fn delivered_with(kind: FaultKind) -> (Vec<usize>, FirehoseReport) {
    let mut case = Case::new(route).await;
    let (stage, operation) = (FIREHOSE_PUT_OBJECT.stage.to_owned(), FIREHOSE_PUT_OBJECT.operation.to_owned());
    let fault = Fault { stage, operation, kind, when: When::Occurrences(vec![1]), delay: Default::default() };
    case.config.faults = FaultPlan::new(Seed(7), vec![fault]);
    case.stores.put_record("shard-0", "beer:1");
    let firehose = case.start();
    let report = drive(&case.clock, firehose.drain()).await.expect("drains");
    assert_eq!(case.config.faults.strikes()[0].struck, 1);
    let mut sizes: Vec<usize> = case.stores.contents().objects.values().map(|body| body.len()).collect();
    sizes.sort_unstable();
    (sizes, report)
}

#[tokio::test]
async fn a_fault_leaves_a_copy_or_delays_the_object_and_loses_nothing() {
    let (whole, report) = delivered_with(FaultKind::Error).await;
    assert_eq!((whole.len(), report.delivered["beer"]), (1, 1), "tried again");
    assert_eq!(delivered_with(FaultKind::Duplicate).await.0, [whole[0], whole[0]]);
    assert_eq!(delivered_with(FaultKind::Truncate).await.0, [whole[0] / 2, whole[0]]);
    let (garbled, report) = delivered_with(FaultKind::Garble).await;
    assert!(garbled.len() == 2 && garbled[0] == whole[0] && garbled[1] > whole[0], "{garbled:?}");
    assert_eq!(report.delivered["beer"], 1, "a copy is no delivery");
}

#[tokio::test]
async fn buffers_are_flushed_by_age_without_a_drain() {
    let case = Case::new(route).await;
    case.stores.put_record("shard-0", "beer:1");
    let firehose = case.start();
    let is_there = || !case.stores.contents().objects.is_empty();
    let started = case.clock.now();
    drive(&case.clock, async {
        while !is_there() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(case.clock.now().since(started) >= Duration::from_secs(60));
    drop(firehose);
}

#[tokio::test]
async fn children_are_read_after_their_parent_has_ended() {
    let case = Case::new(route).await;
    case.stores.put_record("a-child", "beer:5");
    for record in ["beer:1", "beer:2", "beer:3", "beer:4"] {
        case.stores.put_record("z-parent", record);
    }
    case.stores.contents().shards.get_mut("z-parent").expect("made").is_closed = true;
    case.stores.contents().shards.get_mut("a-child").expect("made").parent = Some("z-parent".to_owned());
    let report = case.start().drain().await.expect("drains");
    assert_eq!(report.delivered["beer"], 5);
    assert_eq!(case.stores.contents().read_order, ["z-parent", "a-child"]);
    assert_eq!(case.stores.lines("raw/beer/"), ["beer:1", "beer:2", "beer:3", "beer:4", "beer:5"]);
}

#[tokio::test]
async fn store_errors_lose_and_repeat_nothing() {
    let case = Case::new(route).await;
    for n in 0..8 {
        case.stores.put_record("shard-0", &format!("beer:{n}"));
    }
    case.stores.contents().failing_reads = 2;
    case.stores.contents().failing_puts = 7;
    let firehose = case.start();
    let report = drive(&case.clock, firehose.drain()).await.expect("drains");
    assert_eq!(report.delivered["beer"], 8);
    assert_eq!(case.stores.lines("raw/").len(), 8);
}

#[tokio::test]
async fn a_store_that_stays_down_fails_the_drain_and_keeps_the_records() {
    let case = Case::new(route).await;
    case.stores.put_record("shard-0", "beer:1");
    case.stores.contents().failing_puts = 1_000;
    let firehose = case.start();
    let failed = drive(&case.clock, firehose.drain()).await.expect_err("fails");
    assert!(matches!(failed, FlowError::Store { service: "S3", .. }), "{failed}");
    case.stores.contents().failing_puts = 0;
    let report = drive(&case.clock, firehose.drain()).await.expect("drains");
    assert_eq!((report.delivered["beer"], report.objects), (1, 1));
}

#[tokio::test]
async fn a_failing_function_is_retried_and_then_fails_the_batch() {
    let calls = Arc::new(AtomicU64::new(0));
    let counted = calls.clone();
    let case = Case::new(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        Err(HandlerError::transient("Lambda.ServiceException", "on purpose"))
    })
    .await;
    case.stores.put_record("shard-0", "beer:1");
    case.stores.put_record("shard-0", "beer:2");
    let report = drive(&case.clock, case.start().drain()).await.expect("drains");
    assert_eq!((report.failed, report.objects), (counts(&[(NO_TABLE, 2)]), 1));
    assert_eq!(calls.load(Ordering::SeqCst), 4);
    let line: Value = serde_json::from_str(&case.stores.lines("errors/processing-failed/")[0]).expect("an error line");
    assert_eq!((&line["errorCode"], &line["attemptsMade"]), (&json!("Lambda.FunctionError"), &json!(4)));
}

#[tokio::test]
async fn a_partition_too_many_goes_to_the_error_prefix() {
    let case = Case::new(route).await;
    for table in ["a", "b", "c", "d"] {
        case.stores.put_record("shard-0", &format!("{table}:1"));
    }
    let report = case.start().drain().await.expect("drains");
    assert_eq!(report.delivered.len(), 3);
    assert_eq!(report.failed, counts(&[("d", 1)]));
    assert_eq!(case.stores.lines("errors/activePartitionExceeded/").len(), 1);
}

#[tokio::test]
async fn bad_configurations_are_refused() {
    let case = Case::new(route).await;
    case.stores.contents().shards.insert("shard-0".to_owned(), Shard::default());
    let refused = |change: fn(&mut FirehoseConfig)| {
        let mut config = case.config.clone();
        change(&mut config);
        Firehose::start(config).expect_err("must be refused").to_string()
    };
    assert!(refused(|config| config.prefix = "raw/!{nonsense}/".to_owned()).contains("nonsense"));
    assert!(refused(|config| config.error_prefix = "errors/".to_owned()).contains("error-output-type"));
    assert!(refused(|config| config.buffer_bytes = 0).contains("buffer_bytes"));
}

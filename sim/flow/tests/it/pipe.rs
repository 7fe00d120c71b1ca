//! The Pipe, the sweeper, the polling of `raw/` and the scheduler against a loopback DynamoDB Streams and S3.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use lakebed_contract::{RunEvent, layout};
use lakebed_flow::{
    Pipe, PipeConfig, PipeHandle, RawPollConfig, Scheduler, SchedulerConfig, StepFunctions, SweepConfig,
    start_raw_polling, sweep_raw,
};
use serde_json::{Value, json};

use crate::fakes::{World, drive};
use crate::stores::Stores;

const MACHINE: &str = r#"{"StartAt":"A","States":{"A":{"Type":"Task","Resource":"work","End":true}}}"#;

type Seen = Arc<Mutex<Vec<Value>>>;

fn world() -> (World, Seen, Arc<StepFunctions>) {
    let seen = Seen::default();
    let log = seen.clone();
    let world = World::new().on("work", move |payload| {
        log.lock().expect("not poisoned").push(payload);
        Ok(json!({}))
    });
    let machines = world.machines(&[("m", MACHINE.to_owned())]).expect("valid");
    (world, seen, machines)
}

fn image(key: &str, status: &str, attempts: i64) -> Value {
    json!({"pk": {"S": format!("dm-stage#{key}#e")}, "bucket": {"S": "dm-stage"}, "key": {"S": key}, "etag": {"S": "e"},
        "table": {"S": "beer"}, "size_bytes": {"N": "7"}, "status": {"S": status}, "attempts": {"N": attempts.to_string()}})
}

fn start(world: &World, stores: &Stores, machines: &Arc<StepFunctions>) -> PipeHandle {
    Pipe::start(PipeConfig {
        table: "dm-processing-control".to_owned(),
        machines: machines.clone(),
        machine: "m".to_owned(),
        endpoints: stores.endpoints.clone(),
        clock: world.clock.clone(),
        events: world.sink(),
    })
}

#[tokio::test]
async fn received_images_start_one_execution_per_attempt() {
    let stores = Stores::start().await;
    let (world, seen, machines) = world();
    for (key, status, attempts) in [
        ("raw/beer/1", "RECEIVED", 0),
        ("raw/beer/1", "CLAIMED", 1),
        ("raw/beer/2", "RECEIVED", 0),
        ("raw/beer/2", "FAILED", 1),
        ("raw/beer/2", "RECEIVED", 1),
        ("raw/beer/1", "RECEIVED", 0),
    ] {
        stores.put_image("shard-0", image(key, status, attempts));
    }
    let pipe = start(&world, &stores, &machines);
    let counts = pipe.idle().await.expect("idle");
    assert_eq!((counts.read, counts.matched, counts.started, counts.refused), (6, 4, 4, 0));
    machines.idle().await;
    let mut keys: Vec<String> =
        seen.lock().expect("not poisoned").iter().map(|input| input["key"].to_string()).collect();
    keys.sort();
    assert_eq!(keys, ["\"raw/beer/1\"", "\"raw/beer/2\"", "\"raw/beer/2\""]);
    let name = format!("{}-1", layout::object_digest("dm-stage#raw/beer/2#e"));
    assert!(machines.history("m", &name).is_some());
    pipe.stop().await.expect("stops");
}

#[tokio::test]
async fn shard_ends_and_errors_are_survived() {
    let stores = Stores::start().await;
    let (world, seen, machines) = world();
    for n in 0..5 {
        stores.put_image("shard-0", image(&format!("raw/beer/{n}"), "RECEIVED", 0));
    }
    let pipe = start(&world, &stores, &machines);
    drive(&world.clock, pipe.idle()).await.expect("idle");
    {
        let mut contents = stores.contents();
        contents.failing_reads = 2;
        contents.shards.get_mut("shard-0").expect("made").is_closed = true;
        contents.shards.entry("a-child".to_owned()).or_default().parent = Some("shard-0".to_owned());
    }
    stores.put_image("a-child", image("raw/beer/5", "RECEIVED", 0));
    let counts = drive(&world.clock, pipe.idle()).await.expect("idle");
    assert_eq!((counts.read, counts.started), (6, 6));
    drive(&world.clock, machines.idle()).await;
    assert_eq!(seen.lock().expect("not poisoned").len(), 6);
    stores.contents().failing_reads = 1_000;
    drive(&world.clock, pipe.idle()).await.expect_err("the stream stays down");
}

#[tokio::test]
async fn a_shard_that_is_gone_does_not_hold_its_child_up() {
    let stores = Stores::start().await;
    let (world, _seen, machines) = world();
    stores.put_image("shard-0", image("raw/beer/0", "RECEIVED", 0));
    let pipe = start(&world, &stores, &machines);
    drive(&world.clock, pipe.idle()).await.expect("idle");
    {
        let mut contents = stores.contents();
        contents.shards.remove("shard-0");
        // The iterator is lost with the shard.
        contents.failing_reads = 1;
        contents.shards.entry("shard-1".to_owned()).or_default().parent = Some("shard-0".to_owned());
    }
    stores.put_image("shard-1", image("raw/beer/1", "RECEIVED", 0));
    let counts = drive(&world.clock, pipe.idle()).await.expect("idle");
    assert_eq!((counts.read, counts.started), (2, 2));
}

#[tokio::test]
async fn what_was_trimmed_unread_is_passed_over_and_said() {
    let stores = Stores::start().await;
    let (world, _seen, machines) = world();
    stores.put_image("shard-0", image("raw/beer/0", "RECEIVED", 0));
    let pipe = start(&world, &stores, &machines);
    drive(&world.clock, pipe.idle()).await.expect("idle");
    for n in 1..4 {
        stores.put_image("shard-0", image(&format!("raw/beer/{n}"), "RECEIVED", 0));
    }
    {
        let mut contents = stores.contents();
        contents.shards.get_mut("shard-0").expect("made").trimmed = 2;
        // The iterator has expired meanwhile.
        contents.failing_reads = 1;
    }
    let counts = drive(&world.clock, pipe.idle()).await.expect("idle");
    assert_eq!((counts.read, counts.started), (3, 3), "the first, and the two that are left");
    let told = "records were trimmed before they were read";
    let is_told = |event: &&RunEvent| matches!(event, RunEvent::Log { message } if message.contains(told));
    assert_eq!(world.events.lock().expect("not poisoned").iter().filter(is_told).count(), 1);
}

#[tokio::test]
async fn the_sweeper_sends_what_no_event_brought() {
    let stores = Stores::start().await;
    let (world, sent) = (World::new(), Seen::default());
    let log = sent.clone();
    let world = world.on("dm-processing-controller", move |event| {
        log.lock().expect("not poisoned").push(event["Records"][0]["s3"]["object"]["key"].clone());
        Ok(json!({}))
    });
    for key in ["raw/beer/known.gz", "raw/beer/lost=1.gz"] {
        stores.contents().objects.insert(key.to_owned(), Vec::new());
    }
    stores.contents().items.insert(layout::control_key("dm-stage", "raw/beer/known.gz", "e"));
    let config = SweepConfig {
        endpoints: stores.endpoints.clone(),
        registry: world.registry.clone(),
        clock: world.clock.clone(),
        events: world.sink(),
    };
    let report = sweep_raw(&config).await.expect("sweeps");
    assert_eq!((report.objects, report.sent), (2, 1));
    assert_eq!(*sent.lock().expect("not poisoned"), [json!("raw/beer/lost%3D1.gz")]);
}

#[tokio::test]
async fn polling_hands_on_what_lies_there_and_what_comes_once_each() {
    let (stores, world) = (Stores::start().await, World::new());
    let put = |key: &str| stores.contents().objects.insert(key.to_owned(), Vec::new());
    put("raw/beer/0=first.gz");
    let config =
        RawPollConfig { endpoints: stores.endpoints.clone(), clock: world.clock.clone(), events: world.sink() };
    let (polling, mut documents) = start_raw_polling(config);
    let key = |document: Option<Value>| document.expect("a document")["Records"][0]["s3"]["object"]["key"].clone();
    assert_eq!(key(drive(&world.clock, documents.recv()).await), "raw/beer/0%3Dfirst.gz");
    put("raw/beer/after.gz");
    // Were the first handed on again, it would come first: listings are in key order.
    put("raw/beer/a.gz");
    assert_eq!(key(drive(&world.clock, documents.recv()).await), "raw/beer/a.gz");
    assert_eq!(key(drive(&world.clock, documents.recv()).await), "raw/beer/after.gz");
    drop(polling);
    assert!(drive(&world.clock, documents.recv()).await.is_none(), "nobody looks any more");
}

#[tokio::test]
async fn a_schedule_runs_its_machine_every_interval() {
    let (world, seen, machines) = world();
    let schedule = Scheduler::start(SchedulerConfig {
        name: "every-hour".to_owned(),
        every: Duration::from_secs(3_600),
        machine: "m".to_owned(),
        input: json!({"tables": []}),
        machines,
        clock: world.clock.clone(),
        events: world.sink(),
    });
    tokio::task::yield_now().await;
    assert_eq!(schedule.succeeded(), 0);
    for hour in 1..=3 {
        world.clock.advance(Duration::from_secs(3_600));
        while schedule.succeeded() < hour {
            tokio::task::yield_now().await;
        }
    }
    // A day in one step is one run.
    world.clock.advance(Duration::from_secs(24 * 3_600));
    while schedule.succeeded() < 4 {
        tokio::task::yield_now().await;
    }
    schedule.stop().await;
    assert_eq!(seen.lock().expect("not poisoned").len(), 4);
}

//! Each invariant, broken once for real: the judge must name it, and no other that still holds.
//!
//! One small honest run serves all. What is broken in the stores is broken in a copy of the run's folder, with stores of their
//! own and the same Postgres; what only a running path can break (an early acknowledgement, a stage that does not repeat) comes last.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use lakebed_contract::event::Outcome;
use lakebed_contract::{Clock, Endpoints, EventSink, Handler, HandlerError, Invocation, Lake, Seed, handler};
use lakebed_flow::{EcsConfig, StepFunctions, StepFunctionsConfig};
use lakebed_harness::backend::{BackendChoice, Stores};
use lakebed_harness::demo::DemoOptions;
use lakebed_harness::judge::{self, JudgeInput, Verdict};
use lakebed_harness::run::{Run, RunPlace, SLOT, known_truth};
use lakebed_harness::run_dir::RunDir;
use lakebed_harness::tally::Tally;
use lakebed_harness::wiring::MaskSecret;
use lakebed_harness::{lake_folder, tamper};
use serde_json::Value;

const SCALE: f64 = 0.002;
const SEED: Seed = Seed(23);

fn options() -> DemoOptions {
    DemoOptions {
        scale: SCALE,
        seed: SEED,
        lake_files: lake_folder::files(None).expect("the beer lake"),
        backend: BackendChoice::Embedded,
        mask: None,
        postgres_bin: std::env::var_os("LAKEBED_PG_BIN").map(PathBuf::from),
        search_path: std::env::var_os("PATH"),
        // No object of this size goes to an ECS worker.
        worker_program: "no-worker".into(),
        kept: false,
        workload: Default::default(),
        faults: Default::default(),
        stores: Default::default(),
    }
}

fn expect(verdict: &Verdict, failing: &[&str], after: &str) {
    let failed: BTreeSet<_> =
        verdict.invariants.iter().filter(|(_, f)| f.outcome == Outcome::Fail).map(|(name, _)| name.as_str()).collect();
    assert_eq!(failed, failing.iter().copied().collect(), "after {after}: {verdict:#?}");
}

/// What is done to a copy of the lake.
#[derive(Clone, Copy, Debug)]
enum Damage {
    ChangedValue,
    LostRow,
    LivingDead,
    PositionBack,
    LostRecord,
    VanishedRow,
    LostObject,
    Miscount,
    ChangedGold,
    Leak,
    Forgotten,
}

/// Every damage with the invariants it breaks.
const DAMAGES: [(Damage, &[&str]); 11] = [
    (Damage::ChangedValue, &["I1"]),
    // Its position went with it.
    (Damage::LostRow, &["I1", "I3"]),
    (Damage::LivingDead, &["I1", "I2"]),
    (Damage::PositionBack, &["I3"]),
    // The number of rows still agrees.
    (Damage::LostRecord, &["I4"]),
    (Damage::VanishedRow, &["I4", "I5"]),
    (Damage::LostObject, &["I4", "I5"]),
    (Damage::Miscount, &["I5"]),
    (Damage::ChangedGold, &["I6"]),
    (Damage::Leak, &["I8"]),
    (Damage::Forgotten, &["I10"]),
];

impl Damage {
    async fn inflict(self, endpoints: &Endpoints, lake: &Lake, email: &str) -> String {
        match self {
            Self::ChangedValue => tamper::corrupt_silver_value(endpoints, lake, "review", "review_taste").await,
            Self::LostRow => tamper::drop_silver_row(endpoints, lake, "beer").await,
            Self::LivingDead => tamper::undelete_silver_row(endpoints, lake, "review").await,
            Self::PositionBack => tamper::move_position_back(endpoints, lake, "review").await,
            Self::LostRecord => tamper::double_bronze_row(endpoints, lake, "review").await,
            Self::VanishedRow => tamper::drop_bronze_row(endpoints, lake, "beer").await,
            Self::LostObject => tamper::lose_bronze_object(endpoints, lake, "brewery").await,
            Self::Miscount => tamper::miscount(endpoints, lake, "profile", &Clock::wall()).await,
            Self::ChangedGold => tamper::corrupt_gold_value(endpoints, lake, "top_drinkers", "total_reviews").await,
            Self::Leak => tamper::leak_email(endpoints, lake, email).await,
            Self::Forgotten => tamper::forget_raw_object(endpoints, lake, "review").await,
        }
        .unwrap_or_else(|error| panic!("{self:?}: {error:?}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_invariant_is_checked_and_every_break_is_caught() {
    let run_dir = RunDir::throw_away().expect("folder");
    let (clock, events) = (Clock::wall(), EventSink::default());
    let mut run = Run::start(&options(), RunPlace::throw_away(&run_dir), &clock, &events).await.expect("starts");
    run.copy_and_follow(&Tally::default()).await.expect("runs");
    run.run_again().await.expect("runs again");
    let verdict = run.judge().await.expect("judged");
    for (name, finding) in verdict.in_order() {
        assert_eq!(finding.outcome, Outcome::Pass, "an honest run, {name}: {}", finding.detail);
    }
    assert_eq!(verdict.invariants.len(), 10);

    for (damage, failing) in DAMAGES {
        judge_copy(&run, run_dir.path(), damage, failing).await;
    }

    acknowledge_too_early(&run).await;
    expect(&run.judge().await.expect("judged"), &["I9"], "an acknowledgement of what was never sent");

    let lake = Arc::new(Lake::beer());
    run.flow.machines = machines_with_a_counting_stage(&run, &lake);
    run.run_again().await.expect("runs again");
    let verdict = run.judge().await.expect("judged");
    expect(&verdict, &["I6", "I7", "I9"], "a gold stage that adds one each time");
    let told = &verdict.invariants["I7"].detail;
    assert!(told.contains("gold.top_styles_by_popularity changed") && told.contains("total_reviews"), "{told}");
    run.stop().await.expect("stops");
}

/// Damages a copy of the run's folder and judges it.
async fn judge_copy(run: &Run, folder: &Path, damage: Damage, failing: &[&str]) {
    let (clock, events, lake) = (Clock::wall(), EventSink::default(), Lake::beer());
    let copy = tempfile::tempdir().expect("temp dir");
    copy_folder(folder, copy.path());
    let stores = Stores::start_alone(copy.path(), 0, &Default::default(), &clock, SEED, &events).await.expect("stores");
    let email = run.truth.planted.iter().find(|p| p.class == "EMAIL" && !p.in_text).expect("planted").value.clone();
    let place = damage.inflict(&stores.endpoints, &lake, &email).await;
    let (postgres, truth, mask) =
        (run.backend.postgres(), known_truth(&run.truth), MaskSecret::for_generated_data(SEED));
    let verdict = judge::judge(JudgeInput {
        lake: &lake,
        endpoints: &stores.endpoints,
        postgres: Some(&postgres),
        truth: &truth,
        mask_key: &mask.key,
        mask_key_version: mask.version,
        whole_account: true,
        slot: None,
        rerun: None,
        events: &events,
        clock: &clock,
    })
    .await
    .expect("judged");
    expect(&verdict, failing, &format!("{damage:?} at {place}"));
    assert!(!format!("{verdict:?}").contains(&email), "a finding never holds a value");
    stores.shutdown().await.expect("stops");
}

fn copy_folder(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            std::fs::create_dir(&target).expect("a folder");
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}

/// Commits two changes that cancel each other, and tells the slot that they were received: nothing else shows it.
async fn acknowledge_too_early(run: &Run) {
    let client = lakebed_source::connect(&run.backend.postgres()).await.expect("connects");
    for sign in ["+", "-"] {
        let sql =
            format!("UPDATE dm_core.review SET review_overall = review_overall {sign} 0.5 WHERE review_id % 7 = 0");
        client.batch_execute(&sql).await.expect("changed");
    }
    let advance = "SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())";
    client.query(advance, &[&SLOT]).await.expect("advanced");
}

/// A gold stage that is right the first time, and adds something whenever it runs once more.
struct AddsOnceMore {
    honest: Arc<dyn Handler>,
    endpoints: Endpoints,
    lake: Arc<Lake>,
}

const COUNTED: &str = "top_styles_by_popularity";

#[async_trait]
impl Handler for AddsOnceMore {
    async fn invoke(&self, invocation: &Invocation, payload: Value) -> Result<Value, HandlerError> {
        let is_counted = payload["model"] == COUNTED;
        let answer = self.honest.invoke(invocation, payload).await?;
        if is_counted {
            let added = tamper::corrupt_gold_value(&self.endpoints, &self.lake, COUNTED, "total_reviews").await;
            added.map_err(|error| HandlerError::permanent("Test.Broken", error))?;
        }
        Ok(answer)
    }
}

fn machines_with_a_counting_stage(run: &Run, lake: &Arc<Lake>) -> Arc<StepFunctions> {
    let mut registry = run.flow.registry.clone();
    let honest = registry.get(handler::GOLD_MODEL).expect("the gold stage");
    let broken = AddsOnceMore { honest, endpoints: run.backend.endpoints().clone(), lake: Arc::clone(lake) };
    registry.register(handler::GOLD_MODEL, Arc::new(broken));
    StepFunctions::new(StepFunctionsConfig {
        machines: lake.state_machines.clone(),
        registry,
        ecs: EcsConfig { program: "no-worker".into(), args: Vec::new(), stdin: Arc::new(|_, _| Vec::new()) },
        lambda_concurrency_max: 2,
        clock: Clock::wall(),
        seed: SEED,
        events: EventSink::default(),
    })
    .expect("the beer lake's machines")
}

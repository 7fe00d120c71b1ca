//! The judge: proves that the lake equals the source, by arithmetic of its own.
//!
//! Reads Postgres, the Iceberg tables, the object store and the control table, and decides about I1 … I10. It shares no code with
//! what it judges: only libraries and the plain data types of `lakebed-contract`. It looks at a lake at rest and changes nothing.
//! What it cannot check is `Unchecked`, with the reason. Values, other than
//! whole numbers of keys and fingerprints of other key parts, never reach a finding or an error.

mod bronze;
mod bronze_digest;
mod cell;
mod clear_text;
mod conservation;
mod control;
mod digest;
mod durability;
mod error;
mod ff1;
mod finding;
mod fpe;
mod gold;
mod history;
mod key;
mod lakehouse;
mod mask;
mod objects;
mod raw_records;
mod raw_text;
mod repetition;
mod rows;
mod shown;
mod silver;
mod source;
mod stream;
mod token;
mod unpack;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lakebed_contract::clock::Clock;
use lakebed_contract::endpoints::{Endpoints, PostgresEndpoint};
use lakebed_contract::event::{EventSink, RunEvent, Stage};
use lakebed_contract::lake::{Lake, LakeError};
use lakebed_contract::layout;
use lakebed_contract::secret::Secret;
use serde::{Deserialize, Serialize};

pub use bronze_digest::bronze_content;
pub use digest::{LakeDigest, RecordDigest, RowSum, TableDigest, digest};
pub use durability::{Committed, SlotHistory, SlotSample};
pub use error::JudgeError;
pub use finding::{Finding, INVARIANTS, Verdict};
pub use key::KeyValue;
pub(crate) use lakehouse::Lakehouse;
pub use repetition::Rerun;
pub use stream::{SequenceNumber, ShardPlaces};

use control::Item;
use finding::Evidence;
use mask::Mask;
use objects::Objects;
use silver::{KeysEver, TableJudge};
use source::Source;

/// Why I7 stays open without a second run.
const NO_SECOND_RUN: &str = "no stage ran again; the judge only looks";
/// Why I9 stays open without a watch.
const NO_SLOT_HISTORY: &str = "nobody watched what the slot acknowledged";
/// Why I1, I2 and I6 stay open without a source.
const NO_SOURCE: &str = "no Postgres to compare with";

/// One planted piece of personal data. Has no readable `Debug`, so that it cannot be logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planted {
    /// `EMAIL`, `PHONE`, `CPF` or `NAME`.
    pub class: String,
    /// The value as it stands at the source.
    pub value: String,
    /// Whether it was planted in free text.
    pub in_text: bool,
}

impl fmt::Debug for Planted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planted").field("class", &self.class).field("in_text", &self.in_text).finish_non_exhaustive()
    }
}

/// What the source knows about itself and the lake must not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Planted personal data.
    pub planted: Vec<Planted>,
    /// Table whose key is one whole number → every key it ever had.
    pub keys_ever: BTreeMap<String, BTreeSet<i64>>,
    /// The same for every other table, the parts in the contract's order.
    #[serde(default)]
    pub other_keys_ever: BTreeMap<String, BTreeSet<Vec<KeyValue>>>,
}

/// What the judge needs to see.
#[derive(Clone, Copy, Debug)]
pub struct JudgeInput<'a> {
    /// The lake's contracts, policy and models.
    pub lake: &'a Lake,
    /// Where the stores and the catalog answer.
    pub endpoints: &'a Endpoints,
    /// The source; `None` when it is gone.
    pub postgres: Option<&'a PostgresEndpoint>,
    /// What was planted and which keys ever lived.
    pub truth: &'a Truth,
    /// The mask key.
    pub mask_key: &'a Secret<[u8; 32]>,
    /// Its version, as it shows in tokens.
    pub mask_key_version: u32,
    /// What was seen of the replication slot; `None` when nobody watched.
    pub slot: Option<&'a SlotHistory>,
    /// The lake before and after its stages ran again; `None` when they did not.
    pub rerun: Option<&'a Rerun>,
    /// Whether every bucket there is may be looked into; otherwise only those of the lake.
    pub whole_account: bool,
    /// Where [`RunEvent::Judged`] goes.
    pub events: &'a EventSink,
    /// For durations.
    pub clock: &'a Clock,
}

/// Judges a lake at rest. An error means that the judge could not look, not that the lake is wrong.
pub async fn judge(input: JudgeInput<'_>) -> Result<Verdict, JudgeError> {
    let started = input.clock.monotonic();
    let detail = "invariants".to_owned();
    input.events.emit(RunEvent::StageStarted { stage: Stage::Judge, detail: detail.clone() });
    let objects = Objects::open(input.endpoints, input.whole_account);
    let items = control::items(input.endpoints).await?;
    let (tables, stores, slot) = tokio::try_join!(
        judge_tables(&input),
        judge_stores(&input, &objects, &items),
        judge_slot(input.endpoints, input.slot)
    )?;
    let mut invariants: BTreeMap<String, Finding> =
        tables.into_iter().chain(stores).map(|(name, evidence)| (name.to_owned(), evidence.finding())).collect();
    invariants.insert("I9".to_owned(), slot);
    let verdict = Verdict { invariants };
    for (name, finding) in verdict.in_order() {
        input.events.emit(RunEvent::Judged {
            invariant: name.to_owned(),
            outcome: finding.outcome,
            detail: finding.detail.clone(),
        });
    }
    let elapsed = input.clock.monotonic().saturating_sub(started);
    input.events.emit(RunEvent::StageFinished { stage: Stage::Judge, detail, elapsed });
    Ok(verdict)
}

/// Looks at the judge's SQL of a lake before there is anything to judge; `Some` names the first file that is wrong, and says how.
pub async fn sql_complaint(endpoint: &PostgresEndpoint, lake: &Lake) -> Result<Option<LakeError>, JudgeError> {
    let source = Source::open(endpoint).await?;
    let complaint = gold::complaint(lake, &source).await?;
    if complaint.is_none() {
        source.close().await?;
    }
    Ok(complaint)
}

/// Files whose absence leaves a model unproven, and I6 unchecked.
pub fn missing_sql(lake: &Lake) -> Vec<String> {
    gold::unproven(lake)
}

/// I9 alone: what the slot acknowledged against what the stream held.
pub async fn judge_slot(endpoints: &Endpoints, history: Option<&SlotHistory>) -> Result<Finding, JudgeError> {
    let Some(history) = history else { return Ok(Finding::unchecked(NO_SLOT_HISTORY)) };
    Ok(durability::judge(history, &stream::read(endpoints).await?).finding())
}

type Judged = Vec<(&'static str, Evidence)>;

/// I1, I2, I3, I6 and I7: what stands in the tables.
async fn judge_tables(input: &JudgeInput<'_>) -> Result<Judged, JudgeError> {
    let lakehouse = Lakehouse::open(input.endpoints).await?;
    let history = history::judge(input.lake, &lakehouse).await?;
    let repeated = match input.rerun {
        Some(rerun) => repetition::judge(input.lake, &lakehouse, rerun).await?,
        None => Evidence::gap(NO_SECOND_RUN),
    };
    let Some(postgres) = input.postgres else {
        let mut judged = vec![("I3", history), ("I7", repeated)];
        judged.extend(["I1", "I2", "I6"].map(|name| (name, Evidence::gap(NO_SOURCE))));
        return Ok(judged);
    };
    let mask = Mask::new(input.mask_key, input.mask_key_version, &input.truth.planted)?;
    let source = Source::open(postgres).await?;
    let second = source.beside(postgres).await?;
    let (mut live, mut deleted) = (Evidence::default(), Evidence::default());
    let contract_tables = async {
        for table in &input.lake.tables {
            let single = input.truth.keys_ever.get(&table.name);
            let keys_ever = KeysEver { single, other: input.truth.other_keys_ever.get(&table.name) };
            let judge = TableJudge { table, policy: &input.lake.policy, mask: &mask, keys_ever };
            let rows = judge.judge(&source, &lakehouse, &mut live, &mut deleted).await?;
            input.events.progress(Stage::Judge, &table.name, rows, 0);
        }
        Ok(())
    };
    let ((), models) = tokio::try_join!(contract_tables, gold::judge(input.lake, &second, &lakehouse))?;
    second.close().await?;
    source.close().await?;
    Ok(vec![("I1", live), ("I2", deleted), ("I3", history), ("I6", models), ("I7", repeated)])
}

/// I4, I5, I8 and I10: what lies in the stores.
async fn judge_stores(input: &JudgeInput<'_>, objects: &Objects, items: &[Item]) -> Result<Judged, JudgeError> {
    let records = control::records(items);
    let mut ends = control::judge_ends(&objects.list(layout::STAGE_BUCKET, layout::RAW_PREFIX).await?, &records);
    if records.len() < items.len() {
        ends.fails(format!("{} items of the control table are no control records", items.len() - records.len()));
    }
    let (accepted, conserved) = conservation::judge(input.lake, objects, &records).await?;
    let mut search = clear_text::Search::new(&input.truth.planted)?;
    search.leave_out(&fpe::outcomes(input.lake, input.mask_key, &input.truth.planted));
    let personal = input.lake.tables.iter().flat_map(|table| &table.columns).any(|column| column.class.is_some());
    let clear = clear_text::judge(search, personal, objects, items).await?;
    Ok(vec![("I4", accepted), ("I5", conserved), ("I8", clear), ("I10", ends)])
}

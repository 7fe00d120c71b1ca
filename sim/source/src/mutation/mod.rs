//! Changes to loaded data: a seeded run of transactions, from plain updates to the cases that break pipelines.
//!
//! The script (`script`, `cases`) is drawn from the seed and from what is live (`live` for beer, `others` for tables that are
//! generated from their contracts), so the same seed on the same data gives the same statements in the same order. Here they are executed: one round trip per transaction, a second
//! connection for transactions that overlap. Rows changed are compared with rows meant to be changed.

mod cases;
mod live;
mod others;
pub(crate) mod script;
mod statement;

use std::collections::BTreeMap;

use lakebed_contract::endpoints::PostgresEndpoint;
use lakebed_contract::{EventSink, Lake, Seed, Stage};
use serde::{Deserialize, Serialize};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::connect::connect;
use crate::contract_rows::Plans;
use crate::error::SourceError;
use crate::generator::{beer_tables, has_beer};
use crate::ledger;
use crate::truth::SourceTruth;

use live::Live;
use script::{Connection, Script, Step};

/// From this many changes on, each of the nasty cases occurs at least once.
pub(crate) const CHANGES_WITH_EVERY_CASE: u64 = 100;

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MutationPlan {
    /// Same seed on the same data: same changes in the same order.
    pub seed: Seed,
    /// Committed row changes.
    pub changes: u64,
    /// Nasty cases to dwell on, by the names of [`case_names`]: about half of the transactions are one of these and no other
    /// case occurs. All of them now and then when empty.
    pub cases: Vec<String>,
}

impl MutationPlan {
    /// Changes of every kind.
    pub fn new(seed: Seed, changes: u64) -> Self {
        Self { seed, changes, cases: Vec::new() }
    }
}

/// The names of the nasty cases.
pub fn case_names() -> Vec<&'static str> {
    cases::Case::ALL.iter().map(|case| case.name()).collect()
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MutationReport {
    /// Committed row changes by table and kind (`insert`, `update`, `delete`).
    pub changes: BTreeMap<String, BTreeMap<String, u64>>,
    /// Transactions committed.
    pub committed: u64,
    /// Transactions rolled back.
    pub rolled_back: u64,
    /// How often each nasty case occurred.
    pub cases: BTreeMap<String, u64>,
}

impl MutationReport {
    /// Committed row changes in all.
    pub fn total(&self) -> u64 {
        self.changes.values().flat_map(BTreeMap::values).sum()
    }

    /// Adds what another run of changes did.
    pub fn add(&mut self, other: &Self) {
        for (table, kinds) in &other.changes {
            let own = self.changes.entry(table.clone()).or_default();
            for (kind, count) in kinds {
                *own.entry(kind.clone()).or_default() += count;
            }
        }
        for (case, count) in &other.cases {
            *self.cases.entry(case.clone()).or_default() += count;
        }
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
    }

    fn of_table(&self, table: &str) -> u64 {
        self.changes.get(table).map_or(0, |kinds| kinds.values().sum())
    }
}

/// Changes the loaded tables of `lake` by `plan`. New keys and planted values are added to `truth`. Nobody else may write meanwhile.
pub async fn mutate(
    endpoint: &PostgresEndpoint,
    lake: &Lake,
    plan: MutationPlan,
    truth: &mut SourceTruth,
    events: &EventSink,
) -> Result<MutationReport, SourceError> {
    let (first, second) = (connect(endpoint).await?, connect(endpoint).await?);
    // Why beer tables have no generator of their own was said when they were loaded.
    let has_beer = has_beer(lake, &EventSink::default());
    let live = if has_beer { live::read(&first, &lake.name, truth).await? } else { Live::default() };
    let plans = Plans::new(lake, beer_tables(has_beer), |_| 1)?;
    let others = others::read(&first, &lake.name, plans, live.rows(), truth).await?;
    let mut script = Script::new(&plan, has_beer, live, others)?;
    let mut emitted: BTreeMap<String, u64> = BTreeMap::new();
    let mut noted = truth.planted.len();
    while let Some(steps) = script.next_unit(truth) {
        ledger::note_planted(&first, &truth.planted[noted..]).await?;
        noted = truth.planted.len();
        for step in steps {
            let client = match step.connection {
                Connection::First => &first,
                Connection::Second => &second,
            };
            execute(client, &step).await?;
        }
        for table in script.report.changes.keys() {
            let (done, told) = (script.report.of_table(table), emitted.entry(table.clone()).or_default());
            if done > *told {
                events.progress(Stage::Source, table, done - *told, 0);
                *told = done;
            }
        }
    }
    Ok(script.report)
}

async fn execute(client: &Client, step: &Step) -> Result<(), SourceError> {
    let answers =
        client.simple_query(&step.sql).await.map_err(SourceError::database("execute a transaction of the mutation"))?;
    let actual = answers
        .iter()
        .map(|answer| match answer {
            SimpleQueryMessage::CommandComplete(rows) => *rows,
            _ => 0,
        })
        .sum();
    if actual != step.rows {
        return Err(SourceError::Drift { expected: step.rows, actual });
    }
    Ok(())
}

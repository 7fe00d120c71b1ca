//! `dm-bronze-ingestor-lite` and `-mass`: claims a raw object, runs the engine on it, publishes, finishes the record.
//!
//! Order is what makes it safe: both outputs are complete in the scratch folder before the first is put, and the record moves
//! only after the last, on condition of lease and fence. A worker that dies in between leaves objects that the next attempt
//! overwrites with the same bytes. The two routes differ in their threads only.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use lakebed_contract::control::{ControlRecord, Status};
use lakebed_contract::{Handler, HandlerError, Invocation, MaskedColumn, RunEvent, Stage, TableContract, layout};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::late_log::LateLog;
use super::renewal::while_renewed;
use super::schema_log::SchemaLog;
use crate::control::{ClaimAnswer, Finish, Lease};
use crate::engine::{Compression, EngineError, Format, Job, Outcome, ingest};
use crate::error::{IngestError, with_sources};
use crate::stream::body_channel;
use crate::worker::{ObjectInput, OpenObject, Refusal, Worker};

pub(super) struct BronzeIngestor {
    pub(super) worker: Arc<Worker>,
    pub(super) name: &'static str,
    /// `route` of the control record.
    pub(super) route: &'static str,
    pub(super) threads: usize,
    /// Columns that were warned of.
    pub(super) warned: Mutex<BTreeSet<String>>,
    /// Schema changes that were told.
    pub(super) schema_log: Arc<SchemaLog>,
    /// Late objects that were told.
    pub(super) late_log: Arc<LateLog>,
}

#[async_trait]
impl Handler for BronzeIngestor {
    async fn invoke(&self, invocation: &Invocation, payload: Value) -> Result<Value, HandlerError> {
        let input = ObjectInput::read(self.name, payload)?;
        let control = &self.worker.control;
        let record = match control.claim(&input.pk, &invocation.request_id, self.route).await? {
            ClaimAnswer::Claimed(record) => record,
            ClaimAnswer::AlreadyFinished(record) => return Ok(result(&record)),
            ClaimAnswer::HeldBy { until } => return Err(IngestError::Held { pk: input.pk, until }.into()),
            ClaimAnswer::Exhausted(_) => {
                let record = control.mark_failed(&input.pk, "every attempt was given up without an answer").await?;
                return Ok(result(&record));
            }
        };
        let lease = Lease::of(&record);
        match self.work(&input, &lease).await {
            Ok((record, masking)) => {
                // Behind the finished record, so an attempt that did not count is not counted.
                if !masking.is_empty() {
                    self.worker.context.events.emit(RunEvent::Masked { columns: masking });
                }
                Ok(result(&record))
            }
            Err(error) => {
                self.give_back(&lease, &error).await;
                Err(error.into())
            }
        }
    }
}

/// The two outputs before they are published.
struct Spools {
    bronze: NamedTempFile,
    quarantine: NamedTempFile,
}

impl BronzeIngestor {
    /// The finished record, and what was masked in the rows that are in bronze now.
    async fn work(
        &self,
        input: &ObjectInput,
        lease: &Lease,
    ) -> Result<(ControlRecord, Vec<MaskedColumn>), IngestError> {
        let (finish, masking) = match self.ingest_object(input, lease).await? {
            Ok(finished) => finished,
            Err(Refusal(reason)) => {
                self.worker.context.events.log(format!("quarantined `{}`: {reason}", input.key));
                let finish = Finish {
                    status: Status::Quarantined,
                    rows_in: 0,
                    rows_good: 0,
                    rows_bad: 0,
                    rows_dropped: 0,
                    outputs: Vec::new(),
                    error: reason,
                };
                (finish, Vec::new())
            }
        };
        Ok((self.worker.control.finish(lease, &finish).await?, masking))
    }

    /// Ingests and publishes. A refusal is final: the object can never be read.
    async fn ingest_object(
        &self,
        input: &ObjectInput,
        lease: &Lease,
    ) -> Result<Result<(Finish, Vec<MaskedColumn>), Refusal>, IngestError> {
        let table = match self.worker.table(&input.table) {
            Ok(table) => table,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let object = match self.worker.open(input).await? {
            Ok(object) => object,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let format = match object.format(&input.key, table) {
            Ok(format) => format,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let object_bytes = object.length.unwrap_or(0);
        let context = &self.worker.context;
        let published = async {
            let (outcome, spools) = self.run_engine(input, table, object, format).await?;
            let outputs = self.publish(input, table, &outcome, &spools).await?;
            Ok((outcome, outputs))
        };
        let (outcome, outputs) =
            match while_renewed(&context.clock, || self.worker.control.renew(lease), published).await {
                Ok(published) => published,
                Err(IngestError::Engine { key, source }) => match *source {
                    EngineError::Unreadable { reason } => return Ok(Err(Refusal(reason))),
                    other => return Err(IngestError::Engine { key, source: Box::new(other) }),
                },
                Err(error) => return Err(error),
            };
        self.report(&input.key, &outcome);
        self.warn(&input.key, table, &outcome);
        let changes = outcome.schema_changes.iter().cloned();
        self.schema_log.tell(&self.worker.context.events, &table.name, changes, &format!("`{}`", input.key));
        self.late_log.tell(&context.events, &input.key, table, &outcome.newest, context.clock.now());
        self.worker.context.events.progress(Stage::Bronze, &table.name, 0, object_bytes);
        Ok(Ok((finish(&outcome, outputs), outcome.coverage.report())))
    }

    /// Puts the two files; returns the keys of bronze.
    async fn publish(
        &self,
        input: &ObjectInput,
        table: &TableContract,
        outcome: &Outcome,
        spools: &Spools,
    ) -> Result<Vec<String>, IngestError> {
        let mut outputs = Vec::new();
        if outcome.rows_good > 0 {
            let key = layout::bronze_key(table, &input.pk);
            self.worker.put(&key, spools.bronze.path()).await?;
            outputs.push(key);
        }
        if outcome.rows_bad > 0 {
            self.worker.put(&layout::quarantine_key(table, &input.pk), spools.quarantine.path()).await?;
        }
        Ok(outputs)
    }

    /// Feeds the engine, which runs on a blocking thread.
    async fn run_engine(
        &self,
        input: &ObjectInput,
        table: &TableContract,
        object: OpenObject,
        format: Format,
    ) -> Result<(Outcome, Spools), IngestError> {
        let failed = |source| IngestError::Engine { key: input.key.clone(), source: Box::new(source) };
        let context = &self.worker.context;
        let masker = context.masker.for_table(table, &context.lake.policy).map_err(|error| failed(error.into()))?;
        let spools = self.spools().map_err(|source| IngestError::Spool { key: input.key.clone(), source })?;
        let (sender, reader) = body_channel();
        let last_modified = object.last_modified;
        let engine = tokio::task::spawn_blocking({
            let (table, events, key, threads) =
                (table.clone(), context.events.clone(), input.key.clone(), self.threads);
            let source_object = format!("s3://{}/{key}", input.bucket);
            move || {
                let job = Job {
                    table: &table,
                    masker: &masker,
                    format: &format,
                    compression: Compression::of_key(&key),
                    generation: layout::generation_of_raw_key(&key),
                    last_modified,
                    source_object: &source_object,
                    threads,
                };
                let progress = &mut |rows| events.progress(Stage::Bronze, &table.name, rows, 0);
                let outcome = ingest(reader, spools.bronze.as_file(), spools.quarantine.as_file(), &job, progress);
                outcome.map(|outcome| (outcome, spools))
            }
        });
        sender.send_all(object.body, object.length).await;
        engine.await.map_err(|_| IngestError::Panicked { key: input.key.clone() })?.map_err(failed)
    }

    fn spools(&self) -> std::io::Result<Spools> {
        let folder = &self.worker.context.scratch_dir;
        std::fs::create_dir_all(folder)?;
        let spool = |prefix: &str| tempfile::Builder::new().prefix(prefix).suffix(".parquet").tempfile_in(folder);
        Ok(Spools { bronze: spool("bronze-")?, quarantine: spool("quarantine-")? })
    }

    /// One line for what was not kept whole, with its rule: nothing is left out in silence. One for broken quality rules that let
    /// the rows pass.
    fn report(&self, key: &str, outcome: &Outcome) {
        let mut parts: Vec<String> = outcome.dropped.iter().map(|(rule, count)| format!("{rule} {count}")).collect();
        if outcome.extra_values > 0 {
            parts.push(format!("extra-column {} values ignored", outcome.extra_values));
        }
        if !parts.is_empty() {
            self.worker.context.events.log(format!("`{key}`: {}", parts.join(", ")));
        }
        if !outcome.broken_rules.is_empty() {
            self.worker.context.events.log(format!("`{key}`: {}", outcome.broken_rules.join("; ")));
        }
    }

    /// One warning a column and process for what seems to be personal data and has no class; it was published all the same.
    fn warn(&self, key: &str, table: &TableContract, outcome: &Outcome) {
        for (column, class) in &outcome.suspicions {
            let name = format!("{}.{column}", table.name);
            let is_new = self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
            if is_new {
                self.worker.context.events.log(format!(
                    "warning: column `{name}` seems to hold personal data of class {class} and has no class, so it is \
                     published as it is (first seen in `{key}`): class it in the contract, with `keep` if it may pass"
                ));
            }
        }
    }

    /// Returns the lease after a failure, so that the next attempt need not wait for it to expire.
    async fn give_back(&self, lease: &Lease, error: &IngestError) {
        if matches!(error, IngestError::LeaseLost { .. }) {
            return;
        }
        if let Err(error) = self.worker.control.fail(lease, &with_sources(error)).await {
            tracing::warn!(pk = lease.pk, error = with_sources(&error), "failed to give a lease back");
        }
    }
}

fn finish(outcome: &Outcome, outputs: Vec<String>) -> Finish {
    let (status, error) = match (outcome.rows_good, outcome.rows_bad) {
        (0, 0) => (Status::Done, ""),
        (0, _) => (Status::Quarantined, "every row broke a rule; see the quarantine file"),
        _ => (Status::BronzeDone, ""),
    };
    let count = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
    Finish {
        status,
        rows_in: count(outcome.rows_in),
        rows_good: count(outcome.rows_good),
        rows_bad: count(outcome.rows_bad),
        rows_dropped: count(outcome.rows_dropped()),
        outputs,
        error: error.to_owned(),
    }
}

fn result(record: &ControlRecord) -> Value {
    json!({
        "pk": record.pk,
        "status": record.status.as_str(),
        "rows_in": record.rows_in,
        "rows_good": record.rows_good,
        "rows_bad": record.rows_bad,
        "rows_dropped": record.rows_dropped,
        "outputs": record.outputs,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_follows_from_the_counts() {
        let status = |rows_good: u64, rows_bad: u64, dropped: u64| {
            let mut outcome =
                Outcome { rows_in: rows_good + rows_bad + dropped, rows_good, rows_bad, ..Outcome::default() };
            outcome.dropped.insert("control-record", dropped);
            finish(&outcome, Vec::new()).status
        };
        assert_eq!(status(0, 0, 0), Status::Done);
        assert_eq!(status(0, 0, 3), Status::Done);
        assert_eq!(status(0, 2, 3), Status::Quarantined);
        assert_eq!(status(1, 2, 0), Status::BronzeDone);
    }
}

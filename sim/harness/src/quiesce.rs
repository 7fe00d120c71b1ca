//! Waits until every raw object is settled: written to bronze, or given up with a reason.
//!
//! Looks at the stores from outside, as an operator would: lists `raw/` and reads the control table. Does not trust counters
//! of the services it waits for. Objects whose event was lost are handed to the controller again (the sweeper); failed ones
//! are retried until their attempts run out, which ends them as QUARANTINED.

use std::collections::BTreeMap;
use std::time::Duration;

use lakebed_contract::control::{ControlRecord, Status};
use lakebed_contract::{Clock, layout};

use crate::backend::{Flow, s3_client};
use crate::error::HarnessError;

/// Longest wait for the raw layer to settle.
pub const SETTLE_S_MAX: u64 = 900;
/// Pause between two looks.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// An object without a control record for this many looks is swept.
const LOOKS_BEFORE_SWEEP: u32 = 50;

/// How the raw layer stands.
#[derive(Clone, Debug, Default)]
pub struct RawLayer {
    /// Control records of the objects now under `raw/`.
    pub records: Vec<ControlRecord>,
    /// Control keys of objects that have no record yet.
    pub unseen: Vec<String>,
}

impl RawLayer {
    fn settled(&self) -> bool {
        self.unseen.is_empty()
            && self.records.iter().all(|r| matches!(r.status, Status::BronzeDone | Status::Done | Status::Quarantined))
    }

    fn describe(&self) -> String {
        let mut counts = BTreeMap::new();
        for record in &self.records {
            *counts.entry(record.status.as_str()).or_insert(0u64) += 1;
        }
        let mut words: Vec<_> = counts.iter().map(|(status, n)| format!("{n} {status}")).collect();
        words.push(format!("{} without record", self.unseen.len()));
        words.join(", ")
    }
}

/// Reads `raw/` and the control table once.
pub async fn look(flow: &Flow) -> Result<RawLayer, HarnessError> {
    let mut records: BTreeMap<String, ControlRecord> = flow
        .control
        .list(None, None)
        .await
        .map_err(HarnessError::stage("list the control table"))?
        .into_iter()
        .map(|record| (record.pk.clone(), record))
        .collect();
    let mut raw = RawLayer::default();
    let s3 = s3_client(&flow.parts.endpoints);
    let mut pages =
        s3.list_objects_v2().bucket(layout::STAGE_BUCKET).prefix(layout::RAW_PREFIX).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(HarnessError::stage("list raw objects"))?;
        for object in page.contents() {
            let (key, etag) = (object.key().unwrap_or_default(), object.e_tag().unwrap_or_default());
            let pk = layout::control_key(layout::STAGE_BUCKET, key, etag);
            match records.remove(&pk) {
                Some(record) => raw.records.push(record),
                None => raw.unseen.push(pk),
            }
        }
    }
    Ok(raw)
}

/// Returns when every raw object is settled.
pub async fn settle_raw(flow: &Flow, clock: &Clock) -> Result<RawLayer, HarnessError> {
    let started = clock.monotonic();
    let mut looks_unseen = 0;
    loop {
        let raw = look(flow).await?;
        if raw.settled() {
            return Ok(raw);
        }
        let waited_s = (clock.monotonic() - started).as_secs();
        if waited_s >= SETTLE_S_MAX {
            return Err(HarnessError::Stuck { what: "raw objects to reach bronze", state: raw.describe(), waited_s });
        }
        looks_unseen = if raw.unseen.is_empty() { 0 } else { looks_unseen + 1 };
        if looks_unseen == LOOKS_BEFORE_SWEEP {
            looks_unseen = 0;
            lakebed_flow::sweep_raw(&sweep_config(flow))
                .await
                .map_err(HarnessError::stage("sweep raw objects without a control record"))?;
        }
        if raw.records.iter().any(|record| record.status == Status::Failed) {
            retry_failed(flow).await?;
        }
        clock.sleep(LOOK_INTERVAL).await;
    }
}

/// What the sweeper needs of a flow.
pub fn sweep_config(flow: &Flow) -> lakebed_flow::SweepConfig {
    lakebed_flow::SweepConfig {
        endpoints: flow.parts.endpoints.clone(),
        registry: flow.registry.clone(),
        clock: flow.parts.clock.clone(),
        events: flow.parts.events.clone(),
    }
}

/// Puts failed objects back. Step Functions retries on its own first: only when it has come to rest is FAILED final.
async fn retry_failed(flow: &Flow) -> Result<(), HarnessError> {
    flow.machines.idle().await;
    for record in look(flow).await?.records.iter().filter(|record| record.status == Status::Failed) {
        match flow.control.retry(&record.pk).await {
            // Somebody else moved it on in between.
            Ok(_) | Err(lakebed_ingest::IngestError::WrongStatus { .. }) => {}
            Err(error) => return Err(HarnessError::stage("retry a failed raw object")(error)),
        }
    }
    Ok(())
}

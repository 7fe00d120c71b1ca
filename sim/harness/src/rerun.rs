//! Runs every stage behind the source once more over a lake at rest, so that the judge can compare before and after (I7).
//!
//! Every repetition is one that happens in life: a second delivery stream delivers again what Kinesis still holds, under new names;
//! S3 tells of every raw object again; finished objects are taken up again as after a worker that died before it could say so;
//! silver merges all of that; gold is built again. Bounded: what is over a bound is left out and named.
//! Knows nothing of what should come out: it digests, runs, digests again.

use aws_sdk_dynamodb::types::AttributeValue;
use lakebed_contract::control::{ControlRecord, Status};
use lakebed_contract::{FaultPlan, Stage, layout};
use lakebed_flow::repeat_raw_events;
use lakebed_ingest::control::ATTEMPTS_MAX;

use crate::error::HarnessError;
use crate::judge::{self, LakeDigest, Rerun};
use crate::quiesce::sweep_config;
use crate::run::{Run, start_firehose};
use crate::tally::timed;

/// Rows of the objects that are brought to bronze again.
pub const ROWS_MAX: i64 = 50_000;
/// Records of the stream that are delivered again.
pub const RECORDS_MAX: u64 = 500_000;

/// Name of the delivery stream that delivers everything again.
const SECOND_FIREHOSE: &str = "dm-firehose-again";
const REOPEN: &str = "take up a finished raw object again";

impl Run {
    /// Runs every stage again and keeps what the judge needs to compare. Call it on a lake at rest, before [`Run::judge`].
    pub async fn run_again(&mut self) -> Result<(), HarnessError> {
        let (clock, events) = (self.clock.clone(), self.events.clone());
        let rerun = timed(Stage::Judge, "every stage again", &clock, &events, async {
            let before = self.digest().await?;
            let mut rerun = Rerun { before, ..Rerun::default() };
            self.deliver_again(&mut rerun).await?;
            self.announce_again(&mut rerun).await?;
            // The repeated deliveries come to rest first: a record that is taken up again must not be mistaken for a new one.
            self.settle().await?;
            self.ingest_again(&mut rerun).await?;
            self.settle().await?;
            self.refresh_again(&mut rerun).await?;
            rerun.after = self.digest().await?;
            Ok::<_, HarnessError>(rerun)
        })
        .await?;
        self.rerun = Some(rerun);
        Ok(())
    }

    async fn digest(&self) -> Result<LakeDigest, HarnessError> {
        judge::digest(&self.lake, self.backend.endpoints()).await.map_err(HarnessError::stage("digest the lake"))
    }

    /// Firehose: everything the stream holds, in objects of new names.
    async fn deliver_again(&self, rerun: &mut Rerun) -> Result<(), HarnessError> {
        let first = self.firehose.drain().await.map_err(HarnessError::stage("drain Firehose"))?;
        if first.records_in == 0 {
            rerun.left_out.push("Firehose, which had nothing to deliver".to_owned());
            return Ok(());
        }
        if first.records_in > RECORDS_MAX {
            let records = first.records_in;
            rerun.left_out.push(format!("Firehose, with {records} records over the bound of {RECORDS_MAX}"));
            return Ok(());
        }
        let name = format!("{SECOND_FIREHOSE}-{}", self.reruns);
        let second = start_firehose(&name, &self.flow, self.seed, FaultPlan::default(), &self.clock, &self.events)?;
        let report = second.drain().await.map_err(HarnessError::stage("deliver the stream again"))?;
        second.stop().await.map_err(HarnessError::stage("stop the second delivery stream"))?;
        rerun.ran.push(format!("{} records delivered again in {} objects", report.records_in, report.objects));
        Ok(())
    }

    /// Controller: every notification again.
    async fn announce_again(&self, rerun: &mut Rerun) -> Result<(), HarnessError> {
        let report = repeat_raw_events(&sweep_config(&self.flow))
            .await
            .map_err(HarnessError::stage("repeat the S3 notifications"))?;
        rerun.ran.push(format!("{} notifications repeated", report.sent));
        Ok(())
    }

    /// Bronze: as many of the objects that were finished before as the bound allows.
    async fn ingest_again(&self, rerun: &mut Rerun) -> Result<(), HarnessError> {
        let mut records =
            self.flow.control.list(None, Some(Status::Done)).await.map_err(HarnessError::stage(REOPEN))?;
        records.retain(|record| rerun.before.records.contains_key(&record.pk));
        records.sort_by(|a, b| (a.rows_in, &a.pk).cmp(&(b.rows_in, &b.pk)));
        let (all, mut rows, mut objects) = (records.len(), 0, 0_usize);
        for record in records {
            if rows + record.rows_in > ROWS_MAX || record.attempts + 1 >= ATTEMPTS_MAX {
                continue;
            }
            self.reopen(&record).await?;
            rows += record.rows_in;
            objects += 1;
        }
        rerun.ran.push(format!("{objects} of {all} objects ({rows} rows) brought to bronze again"));
        Ok(())
    }

    /// Puts a finished record back to RECEIVED, as if its worker had died before it could finish it.
    async fn reopen(&self, record: &ControlRecord) -> Result<(), HarnessError> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let number = |number: i64| AttributeValue::N(number.to_string());
        let endpoints = self.backend.endpoints();
        aws_sdk_dynamodb::Client::new(&endpoints.sdk_config(&endpoints.dynamodb_url))
            .update_item()
            .table_name(layout::CONTROL_TABLE)
            .key("pk", text(&record.pk))
            .update_expression("SET #s = :received, fence = :next")
            .condition_expression("#s = :done AND fence = :fence")
            .expression_attribute_names("#s", "status")
            .expression_attribute_values(":received", text(Status::Received.as_str()))
            .expression_attribute_values(":done", text(Status::Done.as_str()))
            .expression_attribute_values(":fence", number(record.fence))
            .expression_attribute_values(":next", number(record.fence + 1))
            .send()
            .await
            .map_err(HarnessError::stage(REOPEN))?;
        Ok(())
    }

    /// Silver and gold: merges what came again, builds every model again.
    async fn refresh_again(&mut self, rerun: &mut Rerun) -> Result<(), HarnessError> {
        // An execution of a name that was used would be found, not run.
        self.reruns += 1;
        self.flow.refresh(&format!("again-{}", self.reruns)).await?;
        let silver = self.lake.tables.len() + self.lake.silver.len();
        rerun.ran.push(format!("{silver} silver and {} gold tables built again", self.lake.gold.len()));
        Ok(())
    }
}

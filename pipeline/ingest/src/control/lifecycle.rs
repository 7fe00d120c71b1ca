//! The transitions of a control record. Each is one conditional update; a lost condition is an answer, not an error, where the
//! caller can act on it.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::ReturnValue;
use lakebed_contract::Timestamp;
use lakebed_contract::control::{ControlRecord, Status};
use lakebed_contract::layout::CONTROL_TABLE;

use super::item::{ATTEMPTS_MAX_ATTRIBUTE, Item, from_item, list, number, text};
use super::{ATTEMPTS_MAX, ClaimAnswer, ControlTable, Finish, LEASE, Lease, failure};
use crate::error::IngestError;

/// Longest error text kept in a record.
pub(crate) const ERROR_CHARS_MAX: usize = 1_000;
/// Rounds of read and conditional write before a transition gives up to others who change the record.
const CONTENTION_ROUNDS_MAX: usize = 8;

const CLAIM: &str = "SET #s = :claimed, lease_owner = :me, lease_until = :until, updated_at = :now, route = :route, \
                     attempts = if_not_exists(attempts, :zero) + :one, fence = if_not_exists(fence, :zero) + :one";
const CLAIMABLE: &str = "(#s IN (:received, :failed) OR (#s = :claimed AND lease_until < :now)) AND \
                         (attribute_not_exists(attempts) OR attempts < :max OR attempts < attempts_max)";
const HELD: &str = "#s = :claimed AND lease_owner = :me AND fence = :fence";

impl ControlTable {
    /// Takes a record for `owner` and raises its fence.
    ///
    /// # Errors
    /// [`IngestError::NoRecord`], or the table did not answer.
    pub async fn claim(&self, pk: &str, owner: &str, route: &str) -> Result<ClaimAnswer, IngestError> {
        let now = self.clock.now();
        let update = self
            .update(pk)
            .update_expression(CLAIM)
            .condition_expression(CLAIMABLE)
            .expression_attribute_values(":claimed", text(Status::Claimed.as_str()))
            .expression_attribute_values(":received", text(Status::Received.as_str()))
            .expression_attribute_values(":failed", text(Status::Failed.as_str()))
            .expression_attribute_values(":me", text(owner))
            .expression_attribute_values(":route", text(route))
            .expression_attribute_values(":until", number(now.plus(LEASE).0))
            .expression_attribute_values(":now", number(now.0))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":one", number(1))
            .expression_attribute_values(":max", number(ATTEMPTS_MAX));
        if let Some(item) = send(update, "claim", pk).await? {
            return Ok(ClaimAnswer::Claimed(item.record));
        }
        let item = self.get_item(pk).await?.ok_or(IngestError::NoRecord { action: "claim", pk: pk.to_owned() })?;
        let until = Timestamp(item.record.lease_until);
        Ok(match item.record.status {
            Status::BronzeDone | Status::Done | Status::Quarantined => ClaimAnswer::AlreadyFinished(item.record),
            Status::Claimed if until >= now => ClaimAnswer::HeldBy { until },
            _ if item.is_exhausted() => ClaimAnswer::Exhausted(item.record),
            // It became claimable between the two calls; the caller will come again.
            _ => ClaimAnswer::HeldBy { until: now },
        })
    }

    /// Extends a lease by its full length.
    pub async fn renew(&self, lease: &Lease) -> Result<(), IngestError> {
        let until = self.clock.now().plus(LEASE);
        let update = self
            .update_held(lease)
            .update_expression("SET lease_until = :until")
            .expression_attribute_values(":until", number(until.0));
        send(update, "renew", &lease.pk).await?.map(drop).ok_or_else(|| lost("renew", lease))
    }

    /// Ends a piece of work and gives the lease back.
    pub async fn finish(&self, lease: &Lease, finish: &Finish) -> Result<ControlRecord, IngestError> {
        let update = self
            .update_held(lease)
            .update_expression(
                "SET #s = :status, updated_at = :now, lease_owner = :nobody, lease_until = :zero, rows_in = :in, \
                 rows_good = :good, rows_bad = :bad, rows_dropped = :dropped, outputs = :outputs, #e = :error",
            )
            .expression_attribute_names("#e", "error")
            .expression_attribute_values(":status", text(finish.status.as_str()))
            .expression_attribute_values(":now", number(self.clock.now().0))
            .expression_attribute_values(":nobody", text(""))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":in", number(finish.rows_in))
            .expression_attribute_values(":good", number(finish.rows_good))
            .expression_attribute_values(":bad", number(finish.rows_bad))
            .expression_attribute_values(":dropped", number(finish.rows_dropped))
            .expression_attribute_values(":outputs", list(&finish.outputs))
            .expression_attribute_values(":error", text(shorten(&finish.error)));
        send(update, "finish", &lease.pk).await?.map(|item| item.record).ok_or_else(|| lost("finish", lease))
    }

    /// Gives a lease back after a failure: FAILED, or QUARANTINED when that was the last attempt.
    pub async fn fail(&self, lease: &Lease, error: &str) -> Result<ControlRecord, IngestError> {
        let item =
            self.get_item(&lease.pk).await?.ok_or(IngestError::NoRecord { action: "fail", pk: lease.pk.clone() })?;
        let status = if item.is_exhausted() { Status::Quarantined } else { Status::Failed };
        let update = self
            .update_held(lease)
            .update_expression(
                "SET #s = :status, updated_at = :now, lease_owner = :nobody, lease_until = :zero, #e = :error",
            )
            .expression_attribute_names("#e", "error")
            .expression_attribute_values(":status", text(status.as_str()))
            .expression_attribute_values(":now", number(self.clock.now().0))
            .expression_attribute_values(":nobody", text(""))
            .expression_attribute_values(":zero", number(0))
            .expression_attribute_values(":error", text(shorten(error)));
        send(update, "fail", &lease.pk).await?.map(|item| item.record).ok_or_else(|| lost("fail", lease))
    }

    /// Marks a record whose execution has failed, whoever held it: FAILED, or QUARANTINED when its attempts are used up.
    /// Raises the fence, so a worker that still runs finds itself locked out. A finished record stays as it is.
    ///
    /// An execution that failed before any claim counts as an attempt, or it could be repeated for ever.
    pub async fn mark_failed(&self, pk: &str, error: &str) -> Result<ControlRecord, IngestError> {
        self.transition(pk, "mark failed", |item| {
            let status = item.record.status;
            if matches!(status, Status::BronzeDone | Status::Done | Status::Quarantined) {
                return Ok(None);
            }
            let attempts = item.record.attempts + i64::from(status == Status::Received);
            let exhausted = attempts >= item.attempts_max;
            Ok(Some(Change {
                status: if exhausted { Status::Quarantined } else { Status::Failed },
                attempts,
                attempts_max: item.attempts_max,
                // A worker's own words about the failure are nearer to the cause.
                error: if status == Status::Failed && !item.record.error.is_empty() {
                    item.record.error.clone()
                } else {
                    shorten(error)
                },
            }))
        })
        .await
    }

    /// Puts a FAILED or QUARANTINED record back to RECEIVED, which dispatches it again. A quarantined one gets
    /// [`ATTEMPTS_MAX`] further attempts. Neither attempts nor fence go back: together with the object they name each
    /// dispatch once.
    ///
    /// # Errors
    /// [`IngestError::WrongStatus`] for a record in any other status.
    pub async fn retry(&self, pk: &str) -> Result<ControlRecord, IngestError> {
        self.transition(pk, "retry", |item| {
            let attempts_max = match item.record.status {
                Status::Failed => item.attempts_max,
                Status::Quarantined => item.record.attempts + ATTEMPTS_MAX,
                other => {
                    let status = other.as_str();
                    return Err(IngestError::WrongStatus { action: "retry", pk: pk.to_owned(), status });
                }
            };
            let attempts = item.record.attempts;
            Ok(Some(Change { status: Status::Received, attempts, attempts_max, error: item.record.error.clone() }))
        })
        .await
    }

    /// Puts a CLAIMED record whose holder is known to be gone back to RECEIVED, without waiting for its lease to expire. Raises
    /// the fence, so a holder that lives after all is locked out. The lost attempt is given back. A record in any other status
    /// stays as it is.
    ///
    /// For whoever knows that no worker is alive: a process that has just taken up the state directory of one that died.
    pub async fn release_abandoned(&self, pk: &str) -> Result<ControlRecord, IngestError> {
        self.transition(pk, "release", |item| {
            if item.record.status != Status::Claimed {
                return Ok(None);
            }
            let (attempts, attempts_max) = (item.record.attempts, item.attempts_max + 1);
            Ok(Some(Change { status: Status::Received, attempts, attempts_max, error: item.record.error.clone() }))
        })
        .await
    }

    /// Marks a BRONZE_DONE record DONE: silver has it in this snapshot. Says so again without complaint.
    pub async fn mark_done(&self, pk: &str, snapshot_id: i64) -> Result<(), IngestError> {
        let update = self
            .update(pk)
            .update_expression("SET #s = :done, snapshot_id = :snapshot, updated_at = :now")
            .condition_expression("#s = :bronze OR (#s = :done AND snapshot_id = :snapshot)")
            .expression_attribute_values(":done", text(Status::Done.as_str()))
            .expression_attribute_values(":bronze", text(Status::BronzeDone.as_str()))
            .expression_attribute_values(":snapshot", number(snapshot_id))
            .expression_attribute_values(":now", number(self.clock.now().0));
        if send(update, "mark done", pk).await?.is_some() {
            return Ok(());
        }
        let item = self.get_item(pk).await?.ok_or(IngestError::NoRecord { action: "mark done", pk: pk.to_owned() })?;
        let status = item.record.status.as_str();
        Err(IngestError::WrongStatus { action: "mark done", pk: pk.to_owned(), status })
    }

    /// Reads a record, decides, and writes the change if the record has not moved since; again if it has.
    async fn transition(
        &self,
        pk: &str,
        action: &'static str,
        decide: impl Fn(&Item) -> Result<Option<Change>, IngestError>,
    ) -> Result<ControlRecord, IngestError> {
        for _ in 0..CONTENTION_ROUNDS_MAX {
            let item = self.get_item(pk).await?.ok_or(IngestError::NoRecord { action, pk: pk.to_owned() })?;
            let Some(change) = decide(&item)? else { return Ok(item.record) };
            let update = self
                .update(pk)
                .update_expression(format!(
                    "SET #s = :status, updated_at = :now, lease_owner = :nobody, lease_until = :zero, attempts = :attempts, \
                     {ATTEMPTS_MAX_ATTRIBUTE} = :max, fence = :next, #e = :error"
                ))
                .condition_expression("#s = :seen AND fence = :fence")
                .expression_attribute_names("#e", "error")
                .expression_attribute_values(":status", text(change.status.as_str()))
                .expression_attribute_values(":now", number(self.clock.now().0))
                .expression_attribute_values(":nobody", text(""))
                .expression_attribute_values(":zero", number(0))
                .expression_attribute_values(":attempts", number(change.attempts))
                .expression_attribute_values(":max", number(change.attempts_max))
                .expression_attribute_values(":next", number(item.record.fence + 1))
                .expression_attribute_values(":error", text(change.error))
                .expression_attribute_values(":seen", text(item.record.status.as_str()))
                .expression_attribute_values(":fence", number(item.record.fence));
            if let Some(item) = send(update, action, pk).await? {
                return Ok(item.record);
            }
        }
        let contended = format!("changed by others {CONTENTION_ROUNDS_MAX} times in a row");
        Err(failure(&format!("{action} `{pk}`"), contended.into()))
    }

    fn update(&self, pk: &str) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(CONTROL_TABLE)
            .key("pk", text(pk))
            .expression_attribute_names("#s", "status")
            .return_values(ReturnValue::AllNew)
    }

    fn update_held(&self, lease: &Lease) -> UpdateItemFluentBuilder {
        self.update(&lease.pk)
            .condition_expression(HELD)
            .expression_attribute_values(":claimed", text(Status::Claimed.as_str()))
            .expression_attribute_values(":me", text(&lease.owner))
            .expression_attribute_values(":fence", number(lease.fence))
    }
}

struct Change {
    status: Status,
    attempts: i64,
    attempts_max: i64,
    error: String,
}

/// Sends an update; `None` when its condition did not hold.
async fn send(update: UpdateItemFluentBuilder, action: &str, pk: &str) -> Result<Option<Item>, IngestError> {
    match update.send().await {
        Ok(updated) => {
            let item = updated.attributes.as_ref().and_then(from_item);
            item.map(Some).ok_or_else(|| IngestError::BadRecord { pk: pk.to_owned() })
        }
        Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => Ok(None),
        Err(error) => Err(failure(&format!("{action} `{pk}`"), Box::new(error))),
    }
}

fn lost(action: &'static str, lease: &Lease) -> IngestError {
    IngestError::LeaseLost { action, pk: lease.pk.clone(), fence: lease.fence }
}

fn shorten(error: &str) -> String {
    error.chars().take(ERROR_CHARS_MAX).collect()
}

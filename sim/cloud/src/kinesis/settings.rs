//! What a stream can be told to be: retention, capacity mode, encryption, enhanced monitoring, limits of the account.
//!
//! Retention decides what can be read. The mode decides who splits shards. The others are kept and shown: nothing is encrypted
//! on disk, and no metric is sent.

use std::time::Duration;

use lakebed_contract::Timestamp;
use serde_json::{Value, json};

use super::description::{ON_DEMAND, PROVISIONED, RETENTION_HOURS_MAX, RETENTION_HOURS_MIN};
use super::error::{ACCOUNT, KinesisError};
use super::sizing;
use super::stream::Stream;
use super::wire::{EnhancedMonitoring, RetentionPeriod, StreamEncryption, UpdateStreamMode};

/// Most on-demand streams of the account.
pub(super) const ON_DEMAND_STREAMS_MAX: usize = 50;
const MODE_CHANGES_PER_DAY_MAX: usize = 2;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

const METRICS: [&str; 7] = [
    "IncomingBytes",
    "IncomingRecords",
    "IteratorAgeMilliseconds",
    "OutgoingBytes",
    "OutgoingRecords",
    "ReadProvisionedThroughputExceeded",
    "WriteProvisionedThroughputExceeded",
];
const ALL_METRICS: &str = "ALL";

/// Which way the retention is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Longer,
    Shorter,
}

impl StreamEncryption {
    pub(super) fn check(&self) -> Result<(), KinesisError> {
        if self.encryption_type.as_deref() != Some("KMS") {
            return Err(KinesisError::invalid_argument("The only valid EncryptionType of this operation is KMS."));
        }
        Ok(())
    }
}

/// IncreaseStreamRetentionPeriod and DecreaseStreamRetentionPeriod. The period there is already may be asked for again.
pub(super) fn change_retention(
    stream: &Stream,
    request: &RetentionPeriod,
    direction: Direction,
    now: Timestamp,
) -> Result<Value, KinesisError> {
    let asked = request.retention_period_hours.unwrap_or_default();
    if asked < i64::from(RETENTION_HOURS_MIN) {
        return Err(KinesisError::invalid_argument(format!(
            "Minimum allowed retention period is {RETENTION_HOURS_MIN} hours. Requested retention period ({asked} hours) is \
             too short."
        )));
    }
    let hours = u32::try_from(asked).ok().filter(|hours| *hours <= RETENTION_HOURS_MAX).ok_or_else(|| {
        KinesisError::invalid_argument(format!(
            "Maximum allowed retention period is {RETENTION_HOURS_MAX} hours. Requested retention period ({asked} hours) is \
             too long."
        ))
    })?;
    stream.change(|description, _| {
        let existing = description.retention_hours;
        let wrong = match direction {
            Direction::Longer if hours < existing => Some(("shorter", "DecreaseRetentionPeriod")),
            Direction::Shorter if hours > existing => Some(("longer", "IncreaseRetentionPeriod")),
            _ => None,
        };
        if let Some((than, other)) = wrong {
            return Err(KinesisError::invalid_argument(format!(
                "Requested retention period ({hours} hours) for stream {} can not be {than} than existing retention period \
                 ({existing} hours). Use {other} API.",
                stream.name
            )));
        }
        if hours != existing {
            // What has expired does not come back when the period grows.
            description.readable_from = description.horizon(now);
            description.retention_hours = hours;
        }
        Ok(Value::Null)
    })
}

/// UpdateStreamMode. `on_demand_streams` is how many the account has. The shards stay as they are.
pub(super) fn update_mode(
    stream: &Stream,
    request: &UpdateStreamMode,
    on_demand_streams: usize,
    now: Timestamp,
) -> Result<Value, KinesisError> {
    let mode = request.stream_mode_details.as_ref().and_then(|details| details.stream_mode.as_deref());
    let mode = mode.unwrap_or(PROVISIONED);
    stream.change(|description, _| {
        let warm = sizing::warm_mibps(&stream.name, mode, request.warm_throughput_mibps)?;
        if description.mode == mode {
            description.warm_mibps = warm.or(description.warm_mibps);
            return Ok(Value::Null);
        }
        if mode == ON_DEMAND {
            refuse_more_on_demand(on_demand_streams)?;
        }
        if is_exhausted(&description.mode_changes, now, MODE_CHANGES_PER_DAY_MAX) {
            return Err(KinesisError::limit_exceeded(format!(
                "The capacity mode of stream {} under account {ACCOUNT} was changed {MODE_CHANGES_PER_DAY_MAX} times in the \
                 last 24 hours.",
                stream.name
            )));
        }
        count_in_a_day(&mut description.mode_changes, now);
        description.mode = mode.to_owned();
        description.warm_mibps = warm;
        Ok(Value::Null)
    })
}

/// Refuses one on-demand stream more than there may be.
pub(super) fn refuse_more_on_demand(streams: usize) -> Result<(), KinesisError> {
    if streams < ON_DEMAND_STREAMS_MAX {
        return Ok(());
    }
    Err(KinesisError::limit_exceeded(format!(
        "Account {ACCOUNT} has {streams} on-demand streams; the limit is {ON_DEMAND_STREAMS_MAX}."
    )))
}

/// StartStreamEncryption.
pub(super) fn start_encryption(stream: &Stream, request: &StreamEncryption) -> Result<Value, KinesisError> {
    stream.change(|description, _| {
        description.key_id = request.key_id.clone();
        Ok(Value::Null)
    })
}

/// StopStreamEncryption; a stream without encryption stays as it is.
pub(super) fn stop_encryption(stream: &Stream) -> Result<Value, KinesisError> {
    stream.change(|description, _| {
        description.key_id = None;
        Ok(Value::Null)
    })
}

/// EnableEnhancedMonitoring and DisableEnhancedMonitoring.
pub(super) fn change_monitoring(
    stream: &Stream,
    request: &EnhancedMonitoring,
    enable: bool,
) -> Result<Value, KinesisError> {
    let asked = request.shard_level_metrics.as_deref().unwrap_or_default();
    let is_all = asked.iter().any(|metric| metric == ALL_METRICS);
    let is_meant = |metric: &str| is_all || asked.iter().any(|asked| asked == metric);
    stream.change(|description, _| {
        let current = description.metrics.clone();
        for metric in METRICS.into_iter().filter(|metric| is_meant(metric)) {
            if enable {
                description.metrics.insert(metric.to_owned());
            } else {
                description.metrics.remove(metric);
            }
        }
        Ok(json!({
            "StreamName": stream.name,
            "StreamARN": stream.arn(),
            "CurrentShardLevelMetrics": current,
            "DesiredShardLevelMetrics": description.metrics,
        }))
    })
}

/// Whether `max` of the moments lie in the 24 hours before `now`.
pub(super) fn is_exhausted(moments: &[Timestamp], now: Timestamp, max: usize) -> bool {
    moments.iter().filter(|at| now.since(**at) < DAY).count() >= max
}

/// Adds `now`, and forgets what is older than a day.
pub(super) fn count_in_a_day(moments: &mut Vec<Timestamp>, now: Timestamp) {
    moments.retain(|at| now.since(*at) < DAY);
    moments.push(now);
}

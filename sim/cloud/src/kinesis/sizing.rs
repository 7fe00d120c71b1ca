//! How large a stream's records may be, and the throughput an on-demand stream is kept warm for.
//!
//! The record size is enforced where records are put. Warm throughput is kept and shown, and changes nothing: a stream is
//! scaled by its traffic alone. AWS also wants a billing commitment of the account for it, which is not asked for here. There is
//! never such a commitment, and DescribeAccountSettings says so.

use serde_json::{Value, json};

use super::description::{ON_DEMAND, RECORD_KIB_MIN, StreamDescription};
use super::error::{ACCOUNT, KinesisError};
use super::operations::{Answer, Operations, parsed};
use super::wire::{NamesStream, UpdateMaxRecordSize, UpdateStreamWarmThroughput};

/// Most MiB a second of an on-demand stream: 10 GiB.
const WARM_MIBPS_MAX: i64 = 10 * 1024;

impl Operations {
    /// The operations on sizes; `None` for others.
    pub(super) fn of_sizes(&self, operation: &str, body: &[u8]) -> Option<Answer> {
        Some(match operation {
            "UpdateMaxRecordSize" => parsed(body).and_then(|request| self.update_max_record_size(&request)),
            "UpdateStreamWarmThroughput" => parsed(body).and_then(|request| self.update_warm_throughput(&request)),
            "DescribeAccountSettings" => Ok(json!({ "MinimumThroughputBillingCommitment": { "Status": "DISABLED" } })),
            _ => return None,
        })
    }

    fn update_max_record_size(&self, request: &UpdateMaxRecordSize) -> Answer {
        let size = record_kib(request.max_record_size_in_kib);
        self.named(request.naming())?.change(|description, _| {
            description.max_record_kib = size;
            Ok(Value::Null)
        })
    }

    fn update_warm_throughput(&self, request: &UpdateStreamWarmThroughput) -> Answer {
        let stream = self.named(request.naming())?;
        stream.change(|description, _| {
            let mode = description.mode.clone();
            description.warm_mibps = warm_mibps(&description.name, &mode, request.warm_throughput_mibps)?;
            Ok(json!({
                "StreamName": stream.name,
                "StreamARN": stream.arn(),
                "WarmThroughput": warm_json(description),
            }))
        })
    }
}

/// A record size that was checked; the smallest when none is asked for.
pub(super) fn record_kib(size: Option<i64>) -> u32 {
    size.and_then(|size| u32::try_from(size).ok()).unwrap_or(RECORD_KIB_MIN)
}

/// The throughput to keep warm; only an on-demand stream of that name has one.
pub(super) fn warm_mibps(name: &str, mode: &str, asked: Option<i64>) -> Result<Option<u32>, KinesisError> {
    let Some(mibps) = asked else { return Ok(None) };
    if mode != ON_DEMAND {
        return Err(KinesisError::validation(format!(
            "Stream {name} under account {ACCOUNT} is not in On-Demand mode, and so has no warm throughput."
        )));
    }
    if mibps > WARM_MIBPS_MAX {
        return Err(KinesisError::limit_exceeded(format!(
            "A warm throughput of {mibps} MiBps is above the limit of {WARM_MIBPS_MAX} MiBps."
        )));
    }
    Ok(u32::try_from(mibps).ok())
}

/// The warm throughput as it is shown; null when there is none.
pub(super) fn warm_json(description: &StreamDescription) -> Value {
    description.warm_mibps.map_or(Value::Null, |mibps| json!({ "TargetMiBps": mibps, "CurrentMiBps": mibps }))
}

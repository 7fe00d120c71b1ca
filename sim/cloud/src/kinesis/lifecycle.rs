//! CreateStream and DeleteStream: the limits of the account, and the directories of streams that come and go.
//!
//! A stream is there when CreateStream has answered, and gone when DeleteStream has. A deleted stream's directory is renamed
//! first and removed afterwards; what a process that died left of either is removed at the next start.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use lakebed_contract::Timestamp;
use serde_json::Value;

use super::description::{ON_DEMAND, PROVISIONED, StreamDescription};
use super::error::{ACCOUNT, KinesisError};
use super::operations::{Answer, Operations};
use super::stream::Stream;
use super::wire::{CreateStream, DeleteStream, NamesStream};
use super::{reshard, settings, sizing, tags};
use crate::durability::sync_dir;

/// Most streams.
const STREAMS_MAX: usize = 200;
const ON_DEMAND_SHARDS: i64 = 4;

impl Operations {
    pub(super) fn create_stream(&self, request: &CreateStream, now: Timestamp) -> Answer {
        let (mode, shards) = check_create(request)?;
        let name = request.stream_name.as_deref().unwrap_or_default();
        let mut tagged = BTreeMap::new();
        if let Some(added) = &request.tags {
            tags::merge(name, &mut tagged, added)?;
        }
        // The registry stays locked until the stream is there, so that a name is given once.
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        if streams.contains_key(name) {
            return Err(KinesisError::in_use(format!("Stream {name} under account {ACCOUNT} already exists.")));
        }
        if streams.len() >= STREAMS_MAX {
            return Err(KinesisError::limit_exceeded(format!("There are at most {STREAMS_MAX} streams.")));
        }
        let (mut open, mut on_demand) = (0, 0);
        for stream in streams.values() {
            let layout = stream.layout()?;
            open += layout.open_shards().len();
            on_demand += usize::from(layout.description.mode == ON_DEMAND);
        }
        reshard::refuse_too_many(open, usize::try_from(shards).unwrap_or(usize::MAX / 2))?;
        if mode == ON_DEMAND {
            settings::refuse_more_on_demand(on_demand)?;
        }
        let shard_count = u32::try_from(shards).expect("checked against the shard limit");
        let description = StreamDescription {
            tags: tagged,
            max_record_kib: sizing::record_kib(request.max_record_size_in_kib),
            warm_mibps: sizing::warm_mibps(name, mode, request.warm_throughput_mibps)?,
            ..StreamDescription::new(name, now, mode, shard_count)
        };
        let making = self.dir.join(format!("making-{name}"));
        let stream = Stream::create(&self.dir_of(name), &making, description, self.fsync, &self.events);
        let stream = stream.map_err(|error| KinesisError::internal("create a stream", &error))?;
        streams.insert(name.to_owned(), Arc::new(stream));
        Ok(Value::Null)
    }

    pub(super) fn delete_stream(&self, request: &DeleteStream) -> Answer {
        let stream = self.named(request.naming())?;
        let number = self.deleted.fetch_add(1, Ordering::Relaxed);
        let gone = self.dir.join(format!("deleted-{number}"));
        {
            let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
            // A second deletion finds the stream deleted, even if another of its name is there by now.
            stream.delete(&gone, request.enforce_consumer_deletion.unwrap_or(false))?;
            streams.remove(&stream.name);
        }
        let failed = |error: io::Error| KinesisError::internal("delete a stream", &error);
        if self.fsync.flushes() {
            sync_dir(&self.dir).map_err(failed)?;
        }
        fs::remove_dir_all(gone).map_err(failed)?;
        Ok(Value::Null)
    }
}

/// The mode and the number of shards of a new stream.
fn check_create(request: &CreateStream) -> Result<(&str, i64), KinesisError> {
    let strategy = request.record_distribution_strategy.as_deref();
    if strategy == Some("AUTO") {
        return Err(KinesisError::not_implemented("RecordDistributionStrategy"));
    }
    let mode = request.stream_mode_details.as_ref().and_then(|details| details.stream_mode.as_deref());
    match (mode.unwrap_or(PROVISIONED), request.shard_count) {
        (ON_DEMAND, None) => Ok((ON_DEMAND, ON_DEMAND_SHARDS)),
        (ON_DEMAND, Some(_)) => Err(KinesisError::validation("ShardCount is not allowed for an on-demand stream.")),
        (_, Some(count)) => Ok((PROVISIONED, count)),
        (_, None) => Err(KinesisError::validation("ShardCount is required for a provisioned stream.")),
    }
}

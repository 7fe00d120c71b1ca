//! How streams and shards are shown in answers: DescribeStream, DescribeStreamSummary, DescribeLimits and ListStreams.

use lakebed_contract::Timestamp;
use serde_json::{Value, json};

use super::description::{ShardDescription, StreamDescription, shard_id};
use super::operations::{Answer, Operations, open_shards_of};
use super::stream::{Layout, Stream};
use super::wire::{DescribeStream, ListStreams, NamedStream, NamesStream};
use super::{reshard, settings, sizing};

const LISTED_STREAMS_DEFAULT: usize = 100;
const DESCRIBED_SHARDS_DEFAULT: usize = 100;

impl Operations {
    pub(super) fn describe_stream(&self, request: &DescribeStream) -> Answer {
        let stream = self.named(request.naming())?;
        let layout = stream.layout()?;
        let limit = request.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(DESCRIBED_SHARDS_DEFAULT);
        let shards = shards_after(&layout, request.exclusive_start_shard_id.as_deref());
        let mut description = description_of(&stream, &layout.description);
        description["Shards"] = shards.iter().take(limit).map(|shard| shard_json(&stream, shard)).collect();
        description["HasMoreShards"] = json!(shards.len() > limit);
        Ok(json!({ "StreamDescription": description }))
    }

    pub(super) fn describe_stream_summary(&self, request: &NamedStream) -> Answer {
        let stream = self.named(request.naming())?;
        let layout = stream.layout()?;
        let mut description = description_of(&stream, &layout.description);
        description["OpenShardCount"] = json!(layout.open_shards().len());
        description["ConsumerCount"] = json!(layout.description.consumers.len());
        description["MaxRecordSizeInKiB"] = json!(layout.description.max_record_kib);
        if layout.description.warm_mibps.is_some() {
            description["WarmThroughput"] = sizing::warm_json(&layout.description);
        }
        Ok(json!({ "StreamDescriptionSummary": description }))
    }

    pub(super) fn describe_limits(&self) -> Answer {
        let open: usize = self.all_streams().iter().map(|stream| open_shards_of(stream)).sum();
        Ok(json!({
            "ShardLimit": reshard::SHARDS_MAX,
            "OpenShardCount": open,
            "OnDemandStreamCount": self.on_demand_streams(),
            "OnDemandStreamCountLimit": settings::ON_DEMAND_STREAMS_MAX,
        }))
    }

    pub(super) fn list_streams(&self, request: &ListStreams) -> Answer {
        let limit = request.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LISTED_STREAMS_DEFAULT);
        let after = request.next_token.as_ref().or(request.exclusive_start_stream_name.as_ref());
        let streams = self.streams();
        let mut listed = streams.values().filter(|stream| after.is_none_or(|after| stream.name > *after));
        let page: Vec<_> = listed.by_ref().take(limit).collect();
        let has_more = listed.next().is_some();
        let mut summaries = Vec::new();
        for stream in &page {
            summaries.push(json!({
                "StreamName": stream.name,
                "StreamARN": stream.arn(),
                "StreamStatus": "ACTIVE",
                "StreamModeDetails": { "StreamMode": stream.layout()?.description.mode },
                "StreamCreationTimestamp": seconds(stream.created),
            }));
        }
        let mut answer = json!({
            "StreamNames": page.iter().map(|stream| &stream.name).collect::<Vec<_>>(),
            "StreamSummaries": summaries,
            "HasMoreStreams": has_more,
        });
        if let Some(last) = page.last().filter(|_| has_more) {
            answer["NextToken"] = json!(last.name);
        }
        Ok(answer)
    }
}

/// The shards behind the one called `after`, by id.
pub(super) fn shards_after<'a>(layout: &'a Layout, after: Option<&str>) -> Vec<&'a ShardDescription> {
    let shards = layout.description.shards.iter();
    shards.filter(|shard| after.is_none_or(|after| shard.id().as_str() > after)).collect()
}

/// What all descriptions of a stream say.
pub(super) fn description_of(stream: &Stream, description: &StreamDescription) -> Value {
    let mut shown = json!({
        "StreamName": stream.name,
        "StreamARN": stream.arn(),
        "StreamStatus": "ACTIVE",
        "StreamModeDetails": { "StreamMode": description.mode },
        "RetentionPeriodHours": description.retention_hours,
        "StreamCreationTimestamp": seconds(stream.created),
        "EnhancedMonitoring": [{ "ShardLevelMetrics": description.metrics }],
        "EncryptionType": description.encryption_type(),
    });
    if let Some(key_id) = &description.key_id {
        shown["KeyId"] = json!(key_id);
    }
    shown
}

/// A shard as it is listed.
pub(super) fn shard_json(stream: &Stream, shard: &ShardDescription) -> Value {
    let mut sequence_numbers =
        json!({ "StartingSequenceNumber": stream.sequence_number(shard.number, shard.first_sequence) });
    if let Some(closed) = shard.closed {
        sequence_numbers["EndingSequenceNumber"] = json!(stream.sequence_number(shard.number, closed.last_sequence));
    }
    let mut shown = json!({
        "ShardId": shard.id(),
        "HashKeyRange": hash_key_range(shard),
        "SequenceNumberRange": sequence_numbers,
    });
    if let Some(parent) = shard.parent {
        shown["ParentShardId"] = json!(shard_id(parent));
    }
    if let Some(parent) = shard.adjacent_parent {
        shown["AdjacentParentShardId"] = json!(shard_id(parent));
    }
    shown
}

/// The children of a shard, as the end of the shard tells them.
pub(super) fn child_shards(description: &StreamDescription, parent: u32) -> Vec<Value> {
    let is_child = |shard: &&ShardDescription| [shard.parent, shard.adjacent_parent].contains(&Some(parent));
    let child = |shard: &ShardDescription| {
        let parents: Vec<String> = [shard.parent, shard.adjacent_parent].into_iter().flatten().map(shard_id).collect();
        json!({ "ShardId": shard.id(), "ParentShards": parents, "HashKeyRange": hash_key_range(shard) })
    };
    description.shards.iter().filter(is_child).map(child).collect()
}

fn hash_key_range(shard: &ShardDescription) -> Value {
    json!({
        "StartingHashKey": shard.first_hash_key.to_string(),
        "EndingHashKey": shard.last_hash_key.to_string(),
    })
}

/// A moment as AWS JSON writes it: seconds with milliseconds.
pub(super) fn seconds(at: Timestamp) -> f64 {
    at.millis() as f64 / 1000.0
}

/// A moment as AWS JSON reads it.
pub(super) fn from_seconds(seconds: f64) -> Timestamp {
    Timestamp((seconds * 1_000_000.0).round() as i64)
}

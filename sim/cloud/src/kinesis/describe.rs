//! How streams and shards are shown in answers.

use lakebed_contract::Timestamp;
use serde_json::{Value, json};

use super::description::{ShardDescription, StreamDescription, shard_id};
use super::stream::{Layout, Stream};

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

//! How streams and shards are shown in answers.

use serde_json::{Value, json};

use super::records::seconds;
use super::stream::{RETENTION, Shard, Stream};

/// The shards behind the one called `after`, by id.
pub(super) fn shards_after<'a>(stream: &'a Stream, after: Option<&str>) -> Vec<&'a Shard> {
    stream.shards.iter().filter(|shard| after.is_none_or(|after| shard.id().as_str() > after)).collect()
}

/// What all descriptions of a stream say.
pub(super) fn description_of(stream: &Stream) -> Value {
    json!({
        "StreamName": stream.description.name,
        "StreamARN": stream.arn(),
        "StreamStatus": "ACTIVE",
        "StreamModeDetails": { "StreamMode": stream.description.mode },
        "RetentionPeriodHours": RETENTION.as_secs() / 3600,
        "StreamCreationTimestamp": seconds(stream.description.created),
        "EnhancedMonitoring": [{ "ShardLevelMetrics": [] }],
        "EncryptionType": "NONE",
    })
}

/// A shard as it is listed.
pub(super) fn shard_json(stream: &Stream, shard: &Shard) -> Value {
    json!({
        "ShardId": shard.id(),
        "HashKeyRange": {
            "StartingHashKey": shard.hash_keys.start().to_string(),
            "EndingHashKey": shard.hash_keys.end().to_string(),
        },
        "SequenceNumberRange": { "StartingSequenceNumber": stream.sequence_number(shard.number, 0) },
    })
}

//! What crosses the wire: request members and answer members.
//!
//! A member AWS does not know is ignored, as AWS does. A member AWS would act on and we would not is declared and refused.
//! Every member may be absent here; what must be there is said where the request is checked. The records of a PutRecords have a
//! file of their own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::error::KinesisError;
use super::put_records::{Records, Text};
use super::validation::{Pattern, Violations};

/// How a request says which stream it means.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Naming<'a> {
    pub(super) name: Option<&'a str>,
    pub(super) arn: Option<&'a str>,
    has_stream_id: bool,
    is_dry_run: bool,
}

impl Naming<'_> {
    /// Whether nothing names a stream.
    pub(super) fn is_absent(&self) -> bool {
        self.name.is_none() && self.arn.is_none()
    }

    /// A member that we would have to act on.
    pub(super) fn refuse_unimplemented(&self) -> Result<(), KinesisError> {
        refuse_unimplemented(self.has_stream_id, self.is_dry_run)
    }
}

/// Refuses members that we would have to act on.
pub(super) fn refuse_unimplemented(has_stream_id: bool, is_dry_run: bool) -> Result<(), KinesisError> {
    if has_stream_id {
        return Err(KinesisError::not_implemented("StreamId"));
    }
    if is_dry_run {
        return Err(KinesisError::not_implemented("DryRun"));
    }
    Ok(())
}

/// A request that names a stream by `StreamName` or `StreamARN`.
pub(super) trait NamesStream {
    fn naming(&self) -> Naming<'_>;

    /// What is wrong with the names; the caller adds what is wrong with the rest.
    fn check_naming(&self) -> Violations {
        let mut check = Violations::default();
        check.name(self.naming().name, "streamName");
        check.arn(self.naming().arn, "streamARN", Pattern::StreamArn);
        check
    }
}

/// Declares a request with its own members and those that name a stream.
macro_rules! stream_request {
    ($(#[$doc:meta])* $name:ident $(<$life:lifetime>)? {
        $($(#[$attribute:meta])* $member:ident: $kind:ty),* $(,)?
    }) => {
        $(#[$doc])*
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        pub(super) struct $name $(<$life>)? {
            stream_name: Option<String>,
            #[serde(rename = "StreamARN")]
            stream_arn: Option<String>,
            stream_id: Option<Value>,
            dry_run: Option<bool>,
            $($(#[$attribute])* pub(super) $member: $kind,)*
        }

        impl $(<$life>)? NamesStream for $name $(<$life>)? {
            fn naming(&self) -> Naming<'_> {
                Naming {
                    name: self.stream_name.as_deref(),
                    arn: self.stream_arn.as_deref(),
                    has_stream_id: self.stream_id.is_some(),
                    is_dry_run: self.dry_run.unwrap_or(false),
                }
            }
        }
    };
}

stream_request! {
    /// DescribeStreamSummary.
    NamedStream {}
}

stream_request! {
    /// DeleteStream.
    DeleteStream { enforce_consumer_deletion: Option<bool> }
}

stream_request! {
    /// RegisterStreamConsumer.
    RegisterStreamConsumer { consumer_name: Option<String>, tags: Option<BTreeMap<String, String>> }
}

stream_request! {
    /// DescribeStreamConsumer and DeregisterStreamConsumer.
    NamedConsumer { consumer_name: Option<String>, #[serde(rename = "ConsumerARN")] consumer_arn: Option<String> }
}

stream_request! {
    /// ListStreamConsumers.
    ListStreamConsumers {
        next_token: Option<String>,
        max_results: Option<i64>,
        stream_creation_timestamp: Option<f64>,
    }
}

stream_request! {
    /// UpdateMaxRecordSize.
    UpdateMaxRecordSize { #[serde(rename = "MaxRecordSizeInKiB")] max_record_size_in_kib: Option<i64> }
}

stream_request! {
    /// UpdateStreamWarmThroughput.
    UpdateStreamWarmThroughput { #[serde(rename = "WarmThroughputMiBps")] warm_throughput_mibps: Option<i64> }
}

stream_request! {
    /// DescribeStream.
    DescribeStream { limit: Option<i64>, exclusive_start_shard_id: Option<String> }
}

stream_request! {
    /// ListShards.
    ListShards {
        next_token: Option<String>,
        exclusive_start_shard_id: Option<String>,
        max_results: Option<i64>,
        stream_creation_timestamp: Option<f64>,
        shard_filter: Option<ShardFilter>,
    }
}

stream_request! {
    /// PutRecord.
    PutRecord<'a> {
        #[serde(borrow)] data: Option<Text<'a>>,
        #[serde(borrow)] partition_key: Option<Text<'a>>,
        explicit_hash_key: Option<String>,
        sequence_number_for_ordering: Option<String>,
    }
}

stream_request! {
    /// PutRecords.
    PutRecords<'a> { #[serde(borrow)] records: Option<Records<'a>> }
}

stream_request! {
    /// GetShardIterator.
    GetShardIterator {
        shard_id: Option<String>,
        shard_iterator_type: Option<String>,
        starting_sequence_number: Option<String>,
        timestamp: Option<f64>,
    }
}

stream_request! {
    /// GetRecords. It may name the stream a second time; the iterator is what counts.
    GetRecords { shard_iterator: Option<String>, limit: Option<i64> }
}

stream_request! {
    /// SplitShard.
    SplitShard { shard_to_split: Option<String>, new_starting_hash_key: Option<String> }
}

stream_request! {
    /// MergeShards.
    MergeShards { shard_to_merge: Option<String>, adjacent_shard_to_merge: Option<String> }
}

stream_request! {
    /// UpdateShardCount.
    UpdateShardCount { target_shard_count: Option<i64> }
}

stream_request! {
    /// IncreaseStreamRetentionPeriod and DecreaseStreamRetentionPeriod.
    RetentionPeriod { retention_period_hours: Option<i64> }
}

stream_request! {
    /// UpdateStreamMode.
    UpdateStreamMode {
        stream_mode_details: Option<StreamModeDetails>,
        #[serde(rename = "WarmThroughputMiBps")] warm_throughput_mibps: Option<i64>,
    }
}

stream_request! {
    /// StartStreamEncryption and StopStreamEncryption.
    StreamEncryption { encryption_type: Option<String>, key_id: Option<String> }
}

stream_request! {
    /// EnableEnhancedMonitoring and DisableEnhancedMonitoring.
    EnhancedMonitoring { shard_level_metrics: Option<Vec<String>> }
}

stream_request! {
    /// AddTagsToStream.
    AddTagsToStream { tags: Option<BTreeMap<String, String>> }
}

stream_request! {
    /// RemoveTagsFromStream.
    RemoveTagsFromStream { tag_keys: Option<Vec<String>> }
}

stream_request! {
    /// ListTagsForStream.
    ListTagsForStream { exclusive_start_tag_key: Option<String>, limit: Option<i64> }
}

/// CreateStream.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CreateStream {
    pub(super) stream_name: Option<String>,
    pub(super) shard_count: Option<i64>,
    pub(super) stream_mode_details: Option<StreamModeDetails>,
    pub(super) tags: Option<BTreeMap<String, String>>,
    #[serde(rename = "MaxRecordSizeInKiB")]
    pub(super) max_record_size_in_kib: Option<i64>,
    #[serde(rename = "WarmThroughputMiBps")]
    pub(super) warm_throughput_mibps: Option<i64>,
    pub(super) record_distribution_strategy: Option<String>,
}

/// `PROVISIONED` or `ON_DEMAND`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StreamModeDetails {
    pub(super) stream_mode: Option<String>,
}

/// ListStreams.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ListStreams {
    pub(super) limit: Option<i64>,
    pub(super) exclusive_start_stream_name: Option<String>,
    pub(super) next_token: Option<String>,
}

/// Filter of ListShards.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShardFilter {
    #[serde(rename = "Type")]
    pub(super) kind: Option<String>,
    pub(super) shard_id: Option<String>,
    pub(super) timestamp: Option<f64>,
}

/// TagResource, UntagResource and ListTagsForResource.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TaggedResource {
    #[serde(rename = "ResourceARN")]
    pub(super) resource_arn: Option<String>,
    pub(super) stream_id: Option<Value>,
    pub(super) tags: Option<BTreeMap<String, String>>,
    pub(super) tag_keys: Option<Vec<String>>,
}

/// SubscribeToShard.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct SubscribeToShard {
    #[serde(rename = "ConsumerARN")]
    pub(super) consumer_arn: Option<String>,
    pub(super) stream_id: Option<Value>,
    pub(super) shard_id: Option<String>,
    pub(super) starting_position: Option<StartingPosition>,
    pub(super) dry_run: Option<bool>,
}

/// Where a subscription begins.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct StartingPosition {
    #[serde(rename = "Type")]
    pub(super) kind: Option<String>,
    pub(super) sequence_number: Option<String>,
    pub(super) timestamp: Option<f64>,
}

/// One event of a subscription.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ShardEvent {
    pub(super) records: Vec<RecordAnswer>,
    /// Absent at the end of a closed shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) continuation_sequence_number: Option<String>,
    pub(super) millis_behind_latest: u64,
    /// Only at the end of a closed shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) child_shards: Option<Vec<Value>>,
}

/// Answer of GetRecords.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct GetRecordsAnswer {
    pub(super) records: Vec<RecordAnswer>,
    /// Absent at the end of a closed shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_shard_iterator: Option<String>,
    pub(super) millis_behind_latest: u64,
    /// Only at the end of a closed shard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) child_shards: Option<Vec<Value>>,
}

/// One record of a GetRecords answer.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct RecordAnswer {
    pub(super) sequence_number: String,
    pub(super) approximate_arrival_timestamp: f64,
    pub(super) data: String,
    pub(super) partition_key: String,
    pub(super) encryption_type: &'static str,
}

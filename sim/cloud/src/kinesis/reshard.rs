//! SplitShard, MergeShards and UpdateShardCount.
//!
//! A reshard closes shards and opens their children; nothing is moved. A closed shard ends at a sequence that no record of
//! it exceeds, and its children begin behind that, so that sequence numbers grow from parent to child. UpdateShardCount is
//! made of the same two steps: first every missing boundary is split, then every boundary too many is merged away; shards
//! that live only between two steps are listed as closed, as AWS lists them.

use std::collections::BTreeSet;

use lakebed_contract::Timestamp;
use serde_json::{Value, json};

use super::description::{Closed, ON_DEMAND, ShardDescription, StreamDescription, hash_ranges};
use super::error::{ACCOUNT, KinesisError, REGION};
use super::settings::{count_in_a_day, is_exhausted};
use super::stream::{Layout, Stream};
use super::wire::{MergeShards, SplitShard, UpdateShardCount};

/// Most open shards of the account.
pub(super) const SHARDS_MAX: usize = 500;
/// Most calls of UpdateShardCount for a stream in 24 hours.
const SCALINGS_PER_DAY_MAX: usize = 10;

/// SplitShard. `elsewhere` is the number of open shards of the account's other streams.
pub(super) fn split_shard(
    stream: &Stream,
    request: &SplitShard,
    elsewhere: usize,
    now: Timestamp,
) -> Result<Value, KinesisError> {
    let id = request.shard_to_split.as_deref().unwrap_or_default();
    let asked = request.new_starting_hash_key.as_deref().unwrap_or_default();
    stream.change(|description, layout| {
        refuse_on_demand(description)?;
        let shard = open_shard(description, id)?;
        let (first, last) = (shard.first_hash_key, shard.last_hash_key);
        // More than 128 bits are not less than the shard's end either.
        let new_start = asked.parse::<u128>().ok().filter(|new| *new > first.saturating_add(1) && *new < last);
        let new_start = new_start.ok_or_else(|| {
            KinesisError::invalid_argument(format!(
                "NewStartingHashKey {asked} used in SplitShard() on shard {id} in stream {} under account {ACCOUNT} is not \
                 both greater than one plus the shard's StartingHashKey {first} and less than the shard's EndingHashKey \
                 {last}.",
                stream.name
            ))
        })?;
        let number = shard.number;
        refuse_too_many(elsewhere + description.open_shards().count(), 1)?;
        Reshard { description, layout, now }.split(number, new_start);
        Ok(Value::Null)
    })
}

/// Splits a shard of an on-demand stream in the middle of its hash keys, unless somebody else has closed it meanwhile or it is
/// too small.
pub(super) fn split_in_half(
    stream: &Stream,
    number: u32,
    elsewhere: usize,
    now: Timestamp,
) -> Result<(), KinesisError> {
    stream.change(|description, layout| {
        let is_on_demand = description.mode == ON_DEMAND;
        let shard = description.open_shards().find(|shard| shard.number == number && is_on_demand);
        let Some((first, last)) = shard.map(|shard| (shard.first_hash_key, shard.last_hash_key)) else { return Ok(()) };
        let half = (last - first) / 2;
        if half == 0 {
            return Ok(());
        }
        refuse_too_many(elsewhere + description.open_shards().count(), 1)?;
        Reshard { description, layout, now }.split(number, first + half + 1);
        Ok(())
    })
}

/// MergeShards; the two may be given in either order.
pub(super) fn merge_shards(stream: &Stream, request: &MergeShards, now: Timestamp) -> Result<Value, KinesisError> {
    let one_id = request.shard_to_merge.as_deref().unwrap_or_default();
    let other_id = request.adjacent_shard_to_merge.as_deref().unwrap_or_default();
    stream.change(|description, layout| {
        refuse_on_demand(description)?;
        let one = open_shard(description, one_id)?;
        let other = open_shard(description, other_id)?;
        let precedes = |one: &ShardDescription, other: &ShardDescription| {
            one.last_hash_key.checked_add(1) == Some(other.first_hash_key)
        };
        if !precedes(one, other) && !precedes(other, one) {
            return Err(KinesisError::invalid_argument(format!(
                "Shards {one_id} and {other_id} in stream {} under account {ACCOUNT} are not an adjacent pair of shards \
                 eligible for merging",
                stream.name
            )));
        }
        let (one, other) = (one.number, other.number);
        Reshard { description, layout, now }.merge(one, other);
        Ok(Value::Null)
    })
}

/// UpdateShardCount. `elsewhere` is the number of open shards of the account's other streams.
pub(super) fn update_shard_count(
    stream: &Stream,
    request: &UpdateShardCount,
    elsewhere: usize,
    now: Timestamp,
) -> Result<Value, KinesisError> {
    let target = request.target_shard_count.unwrap_or_default();
    stream.change(|description, layout| {
        refuse_on_demand(description)?;
        let current = description.open_shards().count();
        let counts = || format!("Current open shard count: {current}, Target shard count: {target}");
        let target_count = usize::try_from(target).unwrap_or(usize::MAX);
        if target_count == current {
            return Err(KinesisError::invalid_argument(format!(
                "Target shard count must differ from the current open shard count. {}",
                counts()
            )));
        }
        if target_count > SHARDS_MAX {
            return Err(KinesisError::limit_exceeded(format!(
                "Target shard count or number of open shards cannot be greater than {SHARDS_MAX}. {}",
                counts()
            )));
        }
        if target_count > current * 2 {
            let rule = "UpdateShardCount cannot scale up over double your current open shard count.";
            return Err(KinesisError::limit_exceeded(format!("{rule} {}", counts())));
        }
        if target_count * 2 < current {
            let rule = "UpdateShardCount cannot scale down below half your current open shard count.";
            return Err(KinesisError::limit_exceeded(format!("{rule} {}", counts())));
        }
        refuse_too_many(elsewhere + current, target_count.saturating_sub(current))?;
        if is_exhausted(&description.scalings, now, SCALINGS_PER_DAY_MAX) {
            return Err(KinesisError::limit_exceeded(format!(
                "Stream {} under account {ACCOUNT} was scaled {SCALINGS_PER_DAY_MAX} times in the last 24 hours.",
                stream.name
            )));
        }
        count_in_a_day(&mut description.scalings, now);
        let count = u32::try_from(target_count).expect("at most SHARDS_MAX");
        Reshard { description, layout, now }.make_uniform(count);
        Ok(json!({
            "StreamName": stream.name,
            "StreamARN": stream.arn(),
            "CurrentShardCount": current,
            "TargetShardCount": target,
        }))
    })
}

/// Refuses what would bring the account over its limit.
pub(super) fn refuse_too_many(current: usize, more: usize) -> Result<(), KinesisError> {
    if current + more <= SHARDS_MAX {
        return Ok(());
    }
    Err(KinesisError::limit_exceeded(format!(
        "This request would exceed the shard limit for the account {ACCOUNT} in {REGION}. Current shard count for the account: \
         {current}. Limit: {SHARDS_MAX}. Number of additional shards that would have resulted from this request: {more}."
    )))
}

fn refuse_on_demand(description: &StreamDescription) -> Result<(), KinesisError> {
    if description.mode != ON_DEMAND {
        return Ok(());
    }
    let name = &description.name;
    let message = format!("Request is invalid. Stream {name} under account {ACCOUNT} is in On-Demand mode.");
    Err(KinesisError::validation(message))
}

fn open_shard<'a>(description: &'a StreamDescription, id: &str) -> Result<&'a ShardDescription, KinesisError> {
    let name = &description.name;
    let shard = description.shard_called(id).ok_or_else(|| {
        KinesisError::not_found(format!("Could not find shard {id} in stream {name} under account {ACCOUNT}."))
    })?;
    if shard.closed.is_some() {
        return Err(KinesisError::invalid_argument(format!(
            "Shard {id} in stream {name} under account {ACCOUNT} has already been merged or split, and thus is not eligible \
             for merging or splitting."
        )));
    }
    Ok(shard)
}

/// A change of a stream's shards, before it is kept.
struct Reshard<'a> {
    description: &'a mut StreamDescription,
    /// As the shards are now; knows nothing of those this change opens.
    layout: &'a Layout,
    now: Timestamp,
}

/// Where a closed shard ended.
struct Ended {
    first_hash_key: u128,
    last_hash_key: u128,
    end: Closed,
}

impl Reshard<'_> {
    fn split(&mut self, number: u32, new_start: u128) {
        let Some(parent) = self.close(number) else { return };
        let parents = (Some(number), None);
        self.open(parent.first_hash_key, new_start - 1, parents, parent.end);
        self.open(new_start, parent.last_hash_key, parents, parent.end);
    }

    fn merge(&mut self, one: u32, other: u32) {
        let (Some(first), Some(second)) = (self.close(one), self.close(other)) else { return };
        let end = Closed {
            at: first.end.at.max(second.end.at),
            last_sequence: first.end.last_sequence.max(second.end.last_sequence),
        };
        let first_hash_key = first.first_hash_key.min(second.first_hash_key);
        let last_hash_key = first.last_hash_key.max(second.last_hash_key);
        self.open(first_hash_key, last_hash_key, (Some(one), Some(other)), end);
    }

    fn make_uniform(&mut self, count: u32) {
        let starts: BTreeSet<u128> = hash_ranges(count).map(|range| *range.start()).collect();
        for start in &starts {
            let holds = |shard: &&ShardDescription| shard.first_hash_key < *start && *start <= shard.last_hash_key;
            let to_split = self.description.open_shards().find(holds).map(|shard| shard.number);
            if let Some(number) = to_split {
                self.split(number, *start);
            }
        }
        // Each merge takes one boundary away, so this ends.
        while let Some((one, other)) = self.pair_across_a_boundary_not_in(&starts) {
            self.merge(one, other);
        }
    }

    fn pair_across_a_boundary_not_in(&self, starts: &BTreeSet<u128>) -> Option<(u32, u32)> {
        let mut open: Vec<(u128, u32)> =
            self.description.open_shards().map(|shard| (shard.first_hash_key, shard.number)).collect();
        open.sort_unstable();
        open.windows(2).find(|pair| !starts.contains(&pair[1].0)).map(|pair| (pair[0].1, pair[1].1))
    }

    /// Closes a shard behind all its records.
    fn close(&mut self, number: u32) -> Option<Ended> {
        let tip = self.layout.tip(number);
        let shard = self.description.shards.iter_mut().find(|shard| shard.number == number)?;
        let end = Closed {
            at: tip.map_or(self.now, |tip| tip.arrival.max(self.now)).max(shard.opened),
            last_sequence: tip.map_or(0, |tip| tip.sequence).max(shard.first_sequence),
        };
        shard.closed = Some(end);
        Some(Ended { first_hash_key: shard.first_hash_key, last_hash_key: shard.last_hash_key, end })
    }

    fn open(&mut self, first: u128, last: u128, parents: (Option<u32>, Option<u32>), behind: Closed) {
        // The newest shard is never an expired one: what is closed has newer children.
        let number = self.description.shards.last().map_or(0, |newest| newest.number + 1);
        self.description.shards.push(ShardDescription {
            number,
            first_hash_key: first,
            last_hash_key: last,
            parent: parents.0,
            adjacent_parent: parents.1,
            opened: behind.at,
            first_sequence: behind.last_sequence + 1,
            closed: None,
        });
    }
}

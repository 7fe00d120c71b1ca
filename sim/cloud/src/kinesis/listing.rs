//! ListShards: the six filters, and pages that carry everything the next page needs.
//!
//! A token names the stream's creation and expires, so it never continues in another stream of the same name.

use std::time::Duration;

use lakebed_contract::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::describe::{from_seconds, seconds, shard_json, shards_after};
use super::description::{ShardDescription, StreamDescription};
use super::error::KinesisError;
use super::opaque;
use super::stream::Stream;
use super::wire::{ListShards, NamesStream, ShardFilter};

/// Most shards of an answer.
const LISTED_SHARDS_MAX: usize = 10_000;
const TOKEN_LIFETIME: Duration = Duration::from_secs(300);

/// Which shards are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Filter {
    Everything,
    Open,
    /// Open at the moment.
    At(Timestamp),
    /// Open at the moment or later.
    From(Timestamp),
}

/// Where a listing goes on.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ListToken {
    pub(super) stream: String,
    pub(super) created: Timestamp,
    after: String,
    filter: Filter,
    issued: Timestamp,
}

impl ListToken {
    fn to_text(&self) -> String {
        opaque::to_text(self)
    }

    /// Reads a token and refuses an expired one.
    pub(super) fn parse(text: &str, now: Timestamp) -> Result<Self, KinesisError> {
        let token: Option<Self> = opaque::parse(text);
        let token = token.ok_or_else(invalid_token)?;
        refuse_expired(token.issued, now)?;
        Ok(token)
    }
}

/// For a token that was never given out, or for another listing.
pub(super) fn invalid_token() -> KinesisError {
    KinesisError::invalid_argument("NextToken is invalid.")
}

/// Refuses a token that was given out too long ago.
pub(super) fn refuse_expired(issued: Timestamp, now: Timestamp) -> Result<(), KinesisError> {
    if now.since(issued) > TOKEN_LIFETIME {
        return Err(KinesisError::expired_next_token("NextToken has expired."));
    }
    Ok(())
}

/// Refuses a request that means a stream of the same name that was made at another time.
pub(super) fn refuse_other_creation(stream: &Stream, created: Option<f64>) -> Result<(), KinesisError> {
    if created.is_some_and(|created| created != seconds(stream.created)) {
        return Err(KinesisError::not_found("no stream of that name was created at that time"));
    }
    Ok(())
}

impl ListShards {
    pub(super) fn check(&self) -> Result<(), KinesisError> {
        let continues = self.next_token.is_some();
        let names_again = !self.naming().is_absent()
            || self.exclusive_start_shard_id.is_some()
            || self.stream_creation_timestamp.is_some();
        if continues && names_again {
            return Err(KinesisError::invalid_argument("NextToken and StreamName cannot be provided together."));
        }
        Ok(())
    }
}

/// A page of the stream's shards; `token` is where a listing goes on.
pub(super) fn list_shards(
    stream: &Stream,
    request: &ListShards,
    token: Option<ListToken>,
    now: Timestamp,
) -> Result<Value, KinesisError> {
    let layout = stream.layout()?;
    let (after, filter) = match token {
        Some(token) => (Some(token.after), token.filter),
        None => {
            let (after, filter) = filter_of(request.shard_filter.as_ref(), &layout.description, now)?;
            (after.max(request.exclusive_start_shard_id.clone()), filter)
        }
    };
    let mut shards = shards_after(&layout, after.as_deref());
    shards.retain(|shard| is_listed(shard, filter));
    let limit = request.max_results.and_then(|max| usize::try_from(max).ok()).unwrap_or(LISTED_SHARDS_MAX);
    let page = &shards[..limit.min(shards.len())];
    let mut answer = json!({ "Shards": page.iter().map(|shard| shard_json(stream, shard)).collect::<Vec<_>>() });
    if let Some(last) = page.last().filter(|_| shards.len() > limit) {
        let token =
            ListToken { stream: stream.name.clone(), created: stream.created, after: last.id(), filter, issued: now };
        answer["NextToken"] = json!(token.to_text());
    }
    Ok(answer)
}

/// The shard behind which a filter begins, and what it asks of the others.
fn filter_of(
    filter: Option<&ShardFilter>,
    description: &StreamDescription,
    now: Timestamp,
) -> Result<(Option<String>, Filter), KinesisError> {
    let Some(filter) = filter else { return Ok((None, Filter::Everything)) };
    let kind = filter.kind.as_deref().unwrap_or_default();
    // Before the stream there was nothing: its own beginning is where a young one is trimmed.
    let horizon = description.horizon(now).max(description.created);
    let needs = |member: &str| KinesisError::invalid_argument(format!("ShardFilter {kind} must specify {member}."));
    let takes_no =
        |member: &str| KinesisError::invalid_argument(format!("ShardFilter {kind} must not specify {member}."));
    if filter.shard_id.is_some() && kind != "AFTER_SHARD_ID" {
        return Err(takes_no("ShardId"));
    }
    if filter.timestamp.is_some() && !kind.ends_with("_TIMESTAMP") {
        return Err(takes_no("Timestamp"));
    }
    let moment = || {
        let at = filter.timestamp.ok_or_else(|| needs("Timestamp"))?;
        Ok::<_, KinesisError>(from_seconds(at).max(horizon))
    };
    Ok(match kind {
        "AFTER_SHARD_ID" => (Some(filter.shard_id.clone().ok_or_else(|| needs("ShardId"))?), Filter::Everything),
        "AT_TRIM_HORIZON" => (None, Filter::At(horizon)),
        "FROM_TRIM_HORIZON" => (None, Filter::From(horizon)),
        "AT_TIMESTAMP" => (None, Filter::At(moment()?)),
        "FROM_TIMESTAMP" => (None, Filter::From(moment()?)),
        _ => (None, Filter::Open),
    })
}

fn is_listed(shard: &ShardDescription, filter: Filter) -> bool {
    match filter {
        Filter::Everything => true,
        Filter::Open => shard.closed.is_none(),
        Filter::At(at) => shard.opened <= at && shard.is_open_from(at),
        Filter::From(at) => shard.is_open_from(at),
    }
}

//! The shards of a stream, and pages of them.
//!
//! A stream is one shard from beginning to end today; paging does not rely on that. A shard's first sequence number
//! stays what it was when its oldest records are trimmed, as on AWS.

use serde_json::{Value, json};

use super::changes::Stream;
use super::iterator::{sequence_number, shard_id};

/// One shard as it is described.
#[derive(Debug)]
pub(super) struct Shard {
    /// `ShardId`.
    pub(super) id: String,
    /// `SequenceNumberRange`; without an end while the shard is open.
    pub(super) range: Value,
}

/// The shards of a stream in the order of their ids.
pub(super) fn shards_of(stream: &Stream) -> Vec<Shard> {
    let mut range = json!({ "StartingSequenceNumber": sequence_number(stream.after_id + 1) });
    if let Some(last) = stream.last_id {
        range["EndingSequenceNumber"] = json!(sequence_number(last.max(stream.after_id + 1)));
    }
    vec![Shard { id: shard_id(&stream.table, &stream.label), range }]
}

/// Up to `limit` of the shards behind `start`, and the last of them if more follow.
pub(super) fn shard_page(shards: Vec<Shard>, start: Option<&str>, limit: usize) -> (Vec<Shard>, Option<String>) {
    let mut behind = shards.into_iter().filter(|shard| start.is_none_or(|start| shard.id.as_str() > start));
    let page: Vec<_> = behind.by_ref().take(limit).collect();
    let last = if behind.next().is_some() { page.last().map(|shard| shard.id.clone()) } else { None };
    (page, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_paged_by_id() {
        let all = || {
            let shard = |id: &&str| Shard { id: (*id).to_owned(), range: json!({}) };
            ["a", "b", "c"].iter().map(shard).collect::<Vec<_>>()
        };
        let ids = |(page, last): (Vec<Shard>, Option<String>)| {
            (page.iter().map(|shard| shard.id.clone()).collect::<String>(), last)
        };
        assert_eq!(ids(shard_page(all(), None, 2)), ("ab".to_owned(), Some("b".to_owned())));
        assert_eq!(ids(shard_page(all(), Some("b"), 2)), ("c".to_owned(), None));
        assert_eq!(ids(shard_page(all(), None, 3)), ("abc".to_owned(), None));
        assert_eq!(ids(shard_page(all(), Some("c"), 1)), (String::new(), None));
    }
}

//! The shards of a stream as they are described, and pages of them.
//!
//! A shard's first sequence number stays what it was when its oldest records are trimmed, as on AWS; a shard that was closed a
//! day ago is shown no more, and its child still names it as its parent. Reads nothing.

use serde_json::{Value, json};

use super::changes::Stream;
use super::iterator::{sequence_number, shard_id};
use super::rolling::Shard;

/// One shard as it is described.
#[derive(Debug)]
pub(super) struct Described {
    /// `ShardId`.
    pub(super) id: String,
    /// `ParentShardId`.
    pub(super) parent: Option<String>,
    /// `SequenceNumberRange`; without an end while the shard is open.
    pub(super) range: Value,
}

impl Described {
    /// As it stands in an answer.
    pub(super) fn json(&self) -> Value {
        let mut json = json!({ "ShardId": self.id, "SequenceNumberRange": self.range });
        if let Some(parent) = &self.parent {
            json["ParentShardId"] = json!(parent);
        }
        json
    }
}

/// Whether a shard was open at or after a second.
pub(super) fn is_shown(shard: &Shard, since: i64) -> bool {
    shard.closed.is_none_or(|closed| closed > since)
}

/// The shards of a stream that were open after the second `since`, in the order of their ids.
pub(super) fn shown_shards(stream: &Stream, since: i64) -> Vec<Described> {
    let id = |number: i64| shard_id(&stream.table, &stream.label, number);
    let shown = stream.shards.iter().filter(|shard| is_shown(shard, since));
    let described = shown.map(|shard| {
        let mut range = json!({ "StartingSequenceNumber": sequence_number(shard.after_id + 1) });
        if let Some(last) = shard.last_id {
            range["EndingSequenceNumber"] = json!(sequence_number(last.max(shard.after_id + 1)));
        }
        Described { id: id(shard.number), parent: (shard.number > 0).then(|| id(shard.number - 1)), range }
    });
    described.collect()
}

/// Up to `limit` of the shards behind `start`, and the last of them if more follow.
pub(super) fn shard_page(
    shards: Vec<Described>,
    start: Option<&str>,
    limit: usize,
) -> (Vec<Described>, Option<String>) {
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
            let shard = |id: &&str| Described { id: (*id).to_owned(), parent: None, range: json!({}) };
            ["a", "b", "c"].iter().map(shard).collect::<Vec<_>>()
        };
        let ids = |(page, last): (Vec<Described>, Option<String>)| {
            (page.iter().map(|shard| shard.id.clone()).collect::<String>(), last)
        };
        assert_eq!(ids(shard_page(all(), None, 2)), ("ab".to_owned(), Some("b".to_owned())));
        assert_eq!(ids(shard_page(all(), Some("b"), 2)), ("c".to_owned(), None));
        assert_eq!(ids(shard_page(all(), None, 3)), ("abc".to_owned(), None));
        assert_eq!(ids(shard_page(all(), Some("c"), 1)), (String::new(), None));
    }

    #[test]
    fn a_child_names_its_parent_even_when_that_is_shown_no_more() {
        let shard = |number: i64, closed: Option<i64>| {
            let (after_id, opened) = (number * 10, number * 100);
            Shard { number, after_id, last_id: closed.map(|_| after_id + 10), opened, closed }
        };
        let stream = Stream {
            table: "t-t".to_owned(),
            label: "17.5".to_owned(),
            view_type: "KEYS_ONLY".to_owned(),
            key_schema: "[]".to_owned(),
            after_id: 0,
            last_id: None,
            trimmed_id: 0,
            ended: None,
            shards: vec![shard(0, Some(100)), shard(1, Some(200)), shard(2, None)],
        };
        let all = shown_shards(&stream, 50);
        let parents: Vec<_> = all.iter().map(|shard| shard.parent.clone()).collect();
        assert_eq!(parents, [None, Some(all[0].id.clone()), Some(all[1].id.clone())]);
        let later = shown_shards(&stream, 100);
        assert_eq!(later.iter().map(|shard| &shard.id).collect::<Vec<_>>(), [&all[1].id, &all[2].id]);
        assert_eq!(later[0].parent, Some(all[0].id.clone()));
        assert!(later[0].range.get("EndingSequenceNumber").is_some());
        assert!(later[1].range.get("EndingSequenceNumber").is_none());
    }
}

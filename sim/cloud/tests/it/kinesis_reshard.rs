//! Splitting, merging and scaling Kinesis streams through the real SDK.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::list_shards::ListShardsOutput;
use aws_sdk_kinesis::operation::update_shard_count::UpdateShardCountOutput;
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{
    ChildShard, ScalingType, Shard, ShardFilter, ShardFilterType, ShardIteratorType, StreamMode, StreamModeDetails,
};
use tokio::sync::mpsc;

use crate::{Running, code};

const STREAM: &str = "reshard";
/// The middle of the hash keys.
const HALF: &str = "170141183460469231731687303715884105728";
const QUARTER: &str = "85070591730234615865843651857942052864";
const CREATED: i64 = 1_700_000_000;

/// Code and message of a refusal.
pub(super) fn refusal<T, E, R>(result: Result<T, aws_sdk_s3::error::SdkError<E, R>>) -> String
where
    E: aws_sdk_s3::error::ProvideErrorMetadata,
{
    match result {
        Ok(_) => "accepted".to_owned(),
        Err(error) => match error.as_service_error() {
            Some(error) => {
                format!("{}: {}", error.code().unwrap_or("no code"), error.message().unwrap_or("no message"))
            }
            None => "no answer".to_owned(),
        },
    }
}

fn id(number: u32) -> String {
    format!("shardId-{number:012}")
}

async fn create(kinesis: &Client, shards: i32) {
    kinesis.create_stream().stream_name(STREAM).shard_count(shards).send().await.expect("created");
}

async fn put(kinesis: &Client, key: &str, data: &str) -> (String, String) {
    let put = kinesis.put_record().stream_name(STREAM).partition_key(key).data(Blob::new(data)).send().await;
    let put = put.expect("put");
    (put.shard_id().to_owned(), put.sequence_number().to_owned())
}

async fn split(kinesis: &Client, shard: u32, at: &str) {
    let split = kinesis.split_shard().stream_name(STREAM).shard_to_split(id(shard)).new_starting_hash_key(at);
    split.send().await.expect("split");
}

async fn merge(kinesis: &Client, one: u32, other: u32) {
    let merge = kinesis.merge_shards().stream_name(STREAM).shard_to_merge(id(one));
    merge.adjacent_shard_to_merge(id(other)).send().await.expect("merged");
}

async fn scale(kinesis: &Client, target: i32) -> UpdateShardCountOutput {
    let scale = kinesis.update_shard_count().stream_name(STREAM).target_shard_count(target);
    scale.scaling_type(ScalingType::UniformScaling).send().await.expect("scaled")
}

async fn shards(kinesis: &Client) -> Vec<Shard> {
    kinesis.list_shards().stream_name(STREAM).send().await.expect("listed").shards().to_vec()
}

fn numbers(listed: &[Shard]) -> Vec<u32> {
    listed.iter().map(|shard| shard.shard_id()[8..].parse().expect("a number")).collect()
}

fn ending(shard: &Shard) -> Option<&str> {
    shard.sequence_number_range().expect("a range").ending_sequence_number()
}

/// First and last hash keys of the open shards, by hash key.
fn open_ranges(listed: &[Shard]) -> Vec<(u128, u128)> {
    let range = |shard: &Shard| {
        let range = shard.hash_key_range().expect("a range");
        let key = |text: &str| text.parse::<u128>().expect("a number");
        (key(range.starting_hash_key()), key(range.ending_hash_key()))
    };
    let mut ranges: Vec<_> = listed.iter().filter(|shard| ending(shard).is_none()).map(range).collect();
    ranges.sort_unstable();
    ranges
}

/// What a shard holds, page by page; and its children, if it ended.
async fn drain(kinesis: &Client, shard: &str, page: i32) -> (Vec<String>, Option<Vec<ChildShard>>) {
    let iterator = kinesis.get_shard_iterator().stream_name(STREAM).shard_id(shard);
    let iterator = iterator.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
    let mut next = iterator.shard_iterator;
    let mut found = Vec::new();
    while let Some(iterator) = next {
        let records = kinesis.get_records().shard_iterator(iterator).limit(page).send().await.expect("records");
        found.extend(records.records().iter().map(|r| String::from_utf8_lossy(r.data().as_ref()).into_owned()));
        next = records.next_shard_iterator().map(str::to_owned);
        if next.is_none() {
            return (found, Some(records.child_shards().to_vec()));
        }
        assert!(records.child_shards().is_empty(), "children are named at the end");
        if records.millis_behind_latest() == Some(0) {
            return (found, None);
        }
    }
    panic!("an iterator was given");
}

/// Everything in the stream, parents before children, by the part before the colon.
async fn by_key(kinesis: &Client) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::<String, Vec<String>>::new();
    // A child's id is greater than its parents'.
    for shard in shards(kinesis).await {
        for data in drain(kinesis, shard.shard_id(), 7).await.0 {
            let (key, _) = data.split_once(':').expect("key and number");
            found.entry(key.to_owned()).or_default().push(data);
        }
    }
    found
}

#[tokio::test]
async fn a_split_shard_is_read_to_its_end_where_its_children_are_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis, 1).await;
    let mut newest = String::new();
    for n in 0..10 {
        newest = put(kinesis, &format!("key-{n}"), &format!("key-{n}:0")).await.1;
    }
    split(kinesis, 0, HALF).await;
    for n in 0..10 {
        let (shard, sequence) = put(kinesis, &format!("key-{n}"), &format!("key-{n}:1")).await;
        assert_ne!(shard, id(0), "nothing is appended to a closed shard");
        assert!(sequence > newest, "sequence numbers grow from parent to child");
    }

    let listed = shards(kinesis).await;
    assert_eq!(numbers(&listed), [0, 1, 2]);
    assert!(ending(&listed[0]).is_some_and(|ending| ending >= newest.as_str()));
    assert_eq!(listed[1].parent_shard_id(), Some(id(0).as_str()));
    assert_eq!(listed[2].adjacent_parent_shard_id(), None);
    assert_eq!(listed[2].hash_key_range().expect("a range").starting_hash_key(), HALF);
    let summary = kinesis.describe_stream_summary().stream_name(STREAM).send().await.expect("described");
    assert_eq!(summary.stream_description_summary().expect("described").open_shard_count(), 2);

    let (first, children) = drain(kinesis, &id(0), 3).await;
    assert_eq!(first.len(), 10);
    let children = children.expect("the parent has ended");
    let children: Vec<_> = children.iter().map(|child| (child.shard_id(), child.parent_shards())).collect();
    assert_eq!(children, [(id(1).as_str(), [id(0)].as_slice()), (id(2).as_str(), [id(0)].as_slice())]);
    for found in by_key(kinesis).await.into_values() {
        assert!(found.len() == 2 && found.is_sorted(), "{found:?}");
    }
    let latest = kinesis.get_shard_iterator().stream_name(STREAM).shard_id(id(0));
    let latest = latest.shard_iterator_type(ShardIteratorType::Latest).send().await.expect("an iterator");
    let end = kinesis.get_records().set_shard_iterator(latest.shard_iterator).send().await.expect("records");
    assert_eq!((end.records().len(), end.next_shard_iterator(), end.child_shards().len()), (0, None, 2));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_per_key_holds_while_writers_put_across_reshards() {
    const WRITERS: u32 = 4;
    const RECORDS: u32 = 60;
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis, 1).await;
    let (progress, mut put_so_far) = mpsc::unbounded_channel();
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let (kinesis, progress) = (kinesis.clone(), progress.clone());
        writers.push(tokio::spawn(async move {
            for n in 0..RECORDS {
                let key = format!("writer-{writer}");
                put(&kinesis, &key, &format!("{key}:{n:04}")).await;
                progress.send(()).expect("somebody counts");
            }
        }));
    }
    for step in 0..4 {
        for _ in 0..40 {
            put_so_far.recv().await.expect("writers go on");
        }
        match step {
            0 => split(kinesis, 0, HALF).await,
            1 => split(kinesis, 1, QUARTER).await,
            2 => merge(kinesis, 4, 2).await,
            _ => drop(scale(kinesis, 4).await),
        }
    }
    for writer in writers {
        writer.await.expect("the writer ends");
    }
    let found = by_key(kinesis).await;
    assert_eq!(found.len(), WRITERS as usize);
    for (key, records) in found {
        let expected: Vec<String> = (0..RECORDS).map(|n| format!("{key}:{n:04}")).collect();
        assert_eq!(records, expected, "each record once, in the order of its writer");
    }
    running.stop().await;
}

#[tokio::test]
async fn scaling_leaves_equal_ranges_and_closed_parents() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis, 1).await;
    let scaled = scale(kinesis, 2).await;
    assert_eq!((scaled.current_shard_count(), scaled.target_shard_count()), (Some(1), Some(2)));
    let listed = shards(kinesis).await;
    assert_eq!(numbers(&listed), [0, 1, 2], "the closed parent is listed");
    let half: u128 = HALF.parse().expect("a number");
    assert_eq!(open_ranges(&listed), [(0, half - 1), (half, u128::MAX)]);

    scale(kinesis, 4).await;
    assert_eq!(shards(kinesis).await.len(), 7);
    scale(kinesis, 2).await;
    let listed = shards(kinesis).await;
    assert_eq!(listed.len(), 9);
    assert_eq!(open_ranges(&listed), [(0, half - 1), (half, u128::MAX)]);
    assert!(listed[8].parent_shard_id().is_some() && listed[8].adjacent_parent_shard_id().is_some());
    scale(kinesis, 3).await;
    let ranges = open_ranges(&shards(kinesis).await);
    assert_eq!(ranges.len(), 3);
    let sizes: Vec<u128> = ranges.iter().map(|(first, last)| last - first).collect();
    assert!(sizes.iter().all(|size| size.abs_diff(sizes[0]) <= 3), "{sizes:?}");
    for n in 0..20 {
        put(kinesis, &format!("key-{n}"), &format!("key-{n}:0")).await;
    }
    assert_eq!(by_key(kinesis).await.len(), 20);
    running.stop().await;
}

#[tokio::test]
async fn ten_scalings_a_day_are_enough() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis, 1).await;
    for n in 0..10 {
        scale(kinesis, if n % 2 == 0 { 2 } else { 1 }).await;
    }
    let more = || {
        let scale = kinesis.update_shard_count().stream_name(STREAM).target_shard_count(2);
        scale.scaling_type(ScalingType::UniformScaling).send()
    };
    assert_eq!(code(more().await), "LimitExceededException");
    running.clock.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!(code(more().await), "accepted");
    running.stop().await;
}

#[tokio::test]
async fn a_wrong_split_or_merge_is_refused_in_the_words_of_aws() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis, 4).await;
    let split_at = |shard: String, at: &str| {
        kinesis.split_shard().stream_name(STREAM).shard_to_split(shard).new_starting_hash_key(at).send()
    };
    let place = format!("in stream {STREAM} under account 000000000000");
    assert_eq!(
        refusal(split_at(id(9), "5").await),
        format!("ResourceNotFoundException: Could not find shard {} {place}.", id(9))
    );
    for at in ["0", "1", "85070591730234615865843651857942052863", HALF, &"9".repeat(39)] {
        assert_eq!(
            refusal(split_at(id(0), at).await),
            format!(
                "InvalidArgumentException: NewStartingHashKey {at} used in SplitShard() on shard {} {place} is not both \
                 greater than one plus the shard's StartingHashKey 0 and less than the shard's EndingHashKey \
                 85070591730234615865843651857942052863.",
                id(0)
            )
        );
    }
    assert_eq!(
        refusal(split_at(id(0), "x").await),
        "ValidationException: 1 validation error detected: Value 'x' at 'newStartingHashKey' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: ^(0|([1-9]\\d{0,38}))$"
    );
    let merge_of = |one: u32, other: u32| {
        kinesis.merge_shards().stream_name(STREAM).shard_to_merge(id(one)).adjacent_shard_to_merge(id(other)).send()
    };
    assert_eq!(
        refusal(merge_of(0, 2).await),
        format!(
            "InvalidArgumentException: Shards {} and {} {place} are not an adjacent pair of shards eligible for merging",
            id(0),
            id(2)
        )
    );
    assert_eq!(code(merge_of(1, 1).await), "InvalidArgumentException");
    merge(kinesis, 0, 1).await;
    let closed = format!(
        "InvalidArgumentException: Shard {} {place} has already been merged or split, and thus is not eligible for merging or \
         splitting.",
        id(1)
    );
    assert_eq!(refusal(merge_of(1, 2).await), closed);
    assert_eq!(refusal(split_at(id(1), HALF).await), closed);
    running.stop().await;
}

#[tokio::test]
async fn a_wrong_scaling_is_refused_in_the_words_of_aws() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis, 4).await;
    let scale_to = |target: i32| {
        let scale = kinesis.update_shard_count().stream_name(STREAM).target_shard_count(target);
        scale.scaling_type(ScalingType::UniformScaling).send()
    };
    assert_eq!(
        refusal(scale_to(9).await),
        "LimitExceededException: UpdateShardCount cannot scale up over double your current open shard count. Current open shard \
         count: 4, Target shard count: 9"
    );
    assert_eq!(
        refusal(scale_to(1).await),
        "LimitExceededException: UpdateShardCount cannot scale down below half your current open shard count. Current open \
         shard count: 4, Target shard count: 1"
    );
    assert_eq!(code(scale_to(4).await), "InvalidArgumentException");
    assert_eq!(code(scale_to(501).await), "LimitExceededException");
    assert_eq!(code(scale_to(0).await), "ValidationException");

    let on_demand = StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().expect("complete");
    kinesis.create_stream().stream_name("free").stream_mode_details(on_demand).send().await.expect("created");
    let scale = kinesis.update_shard_count().stream_name("free").target_shard_count(8);
    let scale = scale.scaling_type(ScalingType::UniformScaling).send().await;
    assert_eq!(
        refusal(scale),
        "ValidationException: Request is invalid. Stream free under account 000000000000 is in On-Demand mode."
    );
    running.stop().await;
}

#[tokio::test]
async fn a_restart_in_the_middle_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    create(&running.kinesis, 1).await;
    put(&running.kinesis, "k", "k:0").await;
    split(&running.kinesis, 0, HALF).await;
    let (_, child_sequence) = put(&running.kinesis, "k", "k:1").await;
    let before = shards(&running.kinesis).await;
    running.stop().await;

    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    assert_eq!(shards(kinesis).await, before);
    assert_eq!(drain(kinesis, &id(0), 10).await.1.map(|children| children.len()), Some(2));
    let (_, later) = put(kinesis, "k", "k:2").await;
    assert!(later > child_sequence);
    merge(kinesis, 1, 2).await;
    running.stop().await;

    let running = Running::start(dir.path()).await;
    put(&running.kinesis, "k", "k:3").await;
    assert_eq!(by_key(&running.kinesis).await["k"], ["k:0", "k:1", "k:2", "k:3"]);
    running.stop().await;
}

/// Lists with a filter; a moment is in seconds after the creation.
async fn filtered(kinesis: &Client, kind: ShardFilterType, at: Option<i64>, shard: Option<u32>) -> Vec<u32> {
    let filter = ShardFilter::builder()
        .r#type(kind)
        .set_timestamp(at.map(|at| DateTime::from_secs(CREATED + at)))
        .set_shard_id(shard.map(id));
    let filter = filter.build().expect("complete");
    let listed = kinesis.list_shards().stream_name(STREAM).shard_filter(filter).send().await.expect("listed");
    numbers(listed.shards())
}

fn shard_dir(state_dir: &Path, number: u32) -> std::path::PathBuf {
    state_dir.join(format!("kinesis/stream-{STREAM}/shard-{number:012}"))
}

#[tokio::test]
async fn filters_choose_by_time_and_expired_shards_leave() {
    use ShardFilterType::{AfterShardId, AtLatest, AtTimestamp, AtTrimHorizon, FromTimestamp, FromTrimHorizon};
    let dir = tempfile::tempdir().expect("a directory");
    let running = Running::start(dir.path()).await;
    let kinesis = &running.kinesis;
    create(kinesis, 1).await;
    running.clock.advance(Duration::from_secs(100));
    split(kinesis, 0, HALF).await;
    running.clock.advance(Duration::from_secs(100));
    merge(kinesis, 2, 1).await;

    assert_eq!(filtered(kinesis, AtLatest, None, None).await, [3]);
    assert_eq!(filtered(kinesis, AtTrimHorizon, None, None).await, [0]);
    assert_eq!(filtered(kinesis, FromTrimHorizon, None, None).await, [0, 1, 2, 3]);
    assert_eq!(filtered(kinesis, AtTimestamp, Some(50), None).await, [0]);
    assert_eq!(filtered(kinesis, AtTimestamp, Some(150), None).await, [1, 2]);
    assert_eq!(filtered(kinesis, FromTimestamp, Some(150), None).await, [1, 2, 3]);
    assert_eq!(filtered(kinesis, AfterShardId, None, Some(1)).await, [2, 3]);
    let without = ShardFilter::builder().r#type(AtTimestamp).build().expect("complete");
    let without = kinesis.list_shards().stream_name(STREAM).shard_filter(without).send().await;
    assert_eq!(code(without), "InvalidArgumentException");

    let from = ShardFilter::builder().r#type(FromTimestamp).timestamp(DateTime::from_secs(CREATED + 150));
    let page = kinesis.list_shards().stream_name(STREAM).shard_filter(from.build().expect("complete")).max_results(1);
    let page = page.send().await.expect("listed");
    assert_eq!(numbers(page.shards()), [1]);
    let token = |page: &ListShardsOutput| page.next_token().expect("more").to_owned();
    let next = kinesis.list_shards().next_token(token(&page)).max_results(1).send().await.expect("listed");
    assert_eq!(numbers(next.shards()), [2], "the filter goes on with the token");
    running.clock.advance(Duration::from_secs(301));
    let late = kinesis.list_shards().next_token(token(&next)).send().await;
    assert_eq!(code(late), "ExpiredNextTokenException");

    running.clock.advance(Duration::from_secs(24 * 60 * 60 - 351));
    assert_eq!(numbers(&shards(kinesis).await), [1, 2, 3], "the oldest shard's records are all gone");
    assert_eq!(filtered(kinesis, AtTrimHorizon, None, None).await, [1, 2]);
    assert!(!shard_dir(dir.path(), 0).exists() && shard_dir(dir.path(), 1).exists());
    let gone = kinesis.get_shard_iterator().stream_name(STREAM).shard_id(id(0));
    let gone = gone.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await;
    assert_eq!(
        refusal(gone),
        format!(
            "ResourceNotFoundException: Shard {} in stream {STREAM} under account 000000000000 does not exist",
            id(0)
        )
    );
    running.clock.advance(Duration::from_secs(24 * 60 * 60));
    assert_eq!(numbers(&shards(kinesis).await), [3]);
    split(kinesis, 3, HALF).await;
    assert_eq!(numbers(&shards(kinesis).await), [3, 4, 5], "a number is never used twice");
    running.stop().await;
}

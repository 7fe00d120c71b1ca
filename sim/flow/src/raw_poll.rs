//! S3 events for a store that does not call us: lists `raw/` again and again, and makes a notification document of each
//! object version that it has not handed on yet.
//!
//! Promises: each version that stays at least one look is handed on at least once, also those that lay there before; a version
//! that is overwritten between two looks is not seen. What was handed on is remembered for [`REMEMBERED_FOR`] of the
//! store's own time and never persisted: a new start lists everything again, and the controller knows duplicates. An
//! object that turns up with an older time than that (a multipart upload bears the time of its beginning) is left to
//! the sweeper.

use std::collections::BTreeMap;
use std::time::Duration;

use lakebed_contract::layout::{RAW_PREFIX, STAGE_BUCKET};
use lakebed_contract::{Clock, Endpoints, EventSink, Timestamp};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::backoff::Backoff;
use crate::error::FlowError;
use crate::firehose::chain;
use crate::raw_event;
use crate::s3_client::s3_client;

/// Documents that may wait for the controller; the look goes on when there is room.
pub const DOCUMENTS_WAITING_MAX: usize = 1_024;
/// Object versions that are remembered as handed on; above it the older half is forgotten, and taken for settled after the next whole look.
pub const OBJECTS_REMEMBERED_MAX: usize = 100_000;
/// How far behind the newest object, by the store's own time, a new one may still turn up.
pub const REMEMBERED_FOR: Duration = Duration::from_secs(15 * 60);
/// Wait after a look that found something; doubles while nothing is found.
const WAIT_START: Duration = Duration::from_millis(100);
/// Longest wait between two looks.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Who found the object, in the event.
const FOUND_BY: &str = "lakebed-raw-poll";

/// What the polling needs.
#[derive(Clone, Debug)]
pub struct RawPollConfig {
    /// Where S3 answers.
    pub endpoints: Endpoints,
    /// Time.
    pub clock: Clock,
    /// Where failed looks are told.
    pub events: EventSink,
}

/// The running polling. Dropping it stops it at once.
#[derive(Debug)]
pub struct RawPollHandle {
    _task: AbortOnDropHandle<()>,
}

/// Begins to look; the documents come out of the channel. Must be called inside a Tokio runtime.
pub fn start_raw_polling(config: RawPollConfig) -> (RawPollHandle, mpsc::Receiver<Value>) {
    let (documents, receiver) = mpsc::channel(DOCUMENTS_WAITING_MAX);
    let task = AbortOnDropHandle::new(tokio::spawn(run(config, documents)));
    (RawPollHandle { _task: task }, receiver)
}

async fn run(config: RawPollConfig, documents: mpsc::Sender<Value>) {
    let s3 = s3_client(&config.endpoints);
    let mut cursor = Cursor::default();
    let mut backoff = Backoff::new(WAIT_START, WAIT_MAX);
    loop {
        match look(&config, &s3, &mut cursor, &documents).await {
            Ok(Some(found)) => {
                cursor.settle();
                if found > 0 {
                    backoff.reset();
                }
            }
            // Nobody takes documents any more.
            Ok(None) => return,
            // What was handed on stays remembered; the rest is news at the next look.
            Err(error) => config.events.log(format!("raw poll: {}", chain(&error))),
        }
        backoff.wait(&config.clock).await;
    }
}

/// Lists everything once; how many documents were handed on, or `None` when nobody takes them.
async fn look(
    config: &RawPollConfig,
    s3: &aws_sdk_s3::Client,
    cursor: &mut Cursor,
    documents: &mpsc::Sender<Value>,
) -> Result<Option<u64>, FlowError> {
    let mut found = 0;
    let mut pages = s3.list_objects_v2().bucket(STAGE_BUCKET).prefix(RAW_PREFIX).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(|error| FlowError::store("S3", "ListObjectsV2", STAGE_BUCKET, error))?;
        for object in page.contents() {
            let now = config.clock.now();
            let (key, etag) = (object.key().unwrap_or_default(), object.e_tag().unwrap_or_default());
            let modified = raw_event::modified(object).unwrap_or(now);
            if !cursor.is_news(key, etag, modified) {
                continue;
            }
            let document = raw_event::of_listed(object, FOUND_BY, &config.endpoints.region, now);
            if documents.send(document).await.is_err() {
                return Ok(None);
            }
            cursor.remember(key, etag, modified);
            found += 1;
        }
    }
    Ok(Some(found))
}

/// What was handed on lately, and the moment before which everything was.
#[derive(Debug, Default)]
struct Cursor {
    /// By key: ETag and time of the version that was handed on.
    handed_on: BTreeMap<String, (String, Timestamp)>,
    newest: Timestamp,
    /// `newest` after the last whole look: what came later may have come behind the back of the look that goes on.
    newest_before: Timestamp,
    /// Versions older than this are no longer in `handed_on`.
    forgotten_before: Timestamp,
    /// Nothing older than this is news. Follows `forgotten_before` after each whole look.
    settled_before: Timestamp,
}

impl Cursor {
    fn is_news(&self, key: &str, etag: &str, modified: Timestamp) -> bool {
        modified >= self.settled_before && self.handed_on.get(key).is_none_or(|(known, _)| known != etag)
    }

    fn remember(&mut self, key: &str, etag: &str, modified: Timestamp) {
        self.handed_on.insert(key.to_owned(), (etag.to_owned(), modified));
        self.newest = self.newest.max(modified);
        if self.handed_on.len() > OBJECTS_REMEMBERED_MAX {
            let mut times: Vec<Timestamp> = self.handed_on.values().map(|(_, modified)| *modified).collect();
            times.sort_unstable();
            // Just behind the median, so that half goes even when many share one moment.
            self.forget_before(Timestamp(times[times.len() / 2].0.saturating_add(1)));
        }
    }

    /// After a look that saw everything: what is forgotten, and was there before that look, need not be handed on again.
    fn settle(&mut self) {
        let span = i64::try_from(REMEMBERED_FOR.as_micros()).unwrap_or(i64::MAX);
        self.forget_before(Timestamp(self.newest.0.saturating_sub(span)).min(self.newest_before));
        self.settled_before = self.settled_before.max(self.forgotten_before.min(self.newest_before));
        self.newest_before = self.newest;
    }

    fn forget_before(&mut self, moment: Timestamp) {
        self.forgotten_before = self.forgotten_before.max(moment);
        self.handed_on.retain(|_, (_, modified)| *modified >= self.forgotten_before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute(minutes: i64) -> Timestamp {
        Timestamp::from_seconds(minutes * 60)
    }

    #[test]
    fn a_version_is_news_once_and_another_version_again() {
        let mut cursor = Cursor::default();
        assert!(cursor.is_news("raw/a", "1", minute(0)));
        cursor.remember("raw/a", "1", minute(0));
        cursor.settle();
        assert!(!cursor.is_news("raw/a", "1", minute(0)));
        assert!(cursor.is_news("raw/a", "2", minute(0)), "another version");
        assert!(cursor.is_news("raw/b", "1", minute(0)), "another key of the same moment");
    }

    #[test]
    fn what_is_old_is_forgotten_and_stays_settled() {
        let mut cursor = Cursor::default();
        cursor.remember("raw/old", "1", minute(0));
        cursor.remember("raw/new", "1", minute(16));
        cursor.settle();
        assert_eq!(cursor.handed_on.len(), 2, "they may have come while the look went on");
        cursor.settle();
        assert_eq!(cursor.handed_on.len(), 1);
        assert!(!cursor.is_news("raw/old", "1", minute(0)), "settled, though forgotten");
        assert!(cursor.is_news("raw/late", "1", minute(2)), "within the span");
    }

    #[test]
    fn what_comes_behind_a_long_look_is_news_at_the_next() {
        let mut cursor = Cursor::default();
        cursor.remember("raw/a", "1", minute(0));
        cursor.settle();
        cursor.remember("raw/z", "1", minute(60));
        cursor.settle();
        assert!(cursor.is_news("raw/b", "1", minute(10)));
    }

    #[test]
    fn memory_is_bounded_and_a_broken_look_settles_nothing() {
        let mut cursor = Cursor::default();
        for n in 0..=OBJECTS_REMEMBERED_MAX {
            let at = Timestamp(i64::try_from(n).expect("small"));
            cursor.remember(&format!("raw/{n}"), "1", at);
        }
        assert!(cursor.handed_on.len() <= OBJECTS_REMEMBERED_MAX / 2);
        assert!(cursor.is_news("raw/unlisted", "1", Timestamp(0)), "the look has not come there yet");
        cursor.settle();
        cursor.settle();
        assert!(!cursor.is_news("raw/0", "1", Timestamp(0)) && !cursor.is_news("raw/99999", "1", Timestamp(99_999)));
        assert!(cursor.is_news("raw/next", "1", Timestamp(100_001)));
    }
}

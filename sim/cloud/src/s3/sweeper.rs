//! Carries lifecycles out: at every midnight UTC of the clock, and once at the start, what is due expires.
//!
//! A round goes through the versions and the uploads of each bucket that has a lifecycle, [`BATCH`] at a time, and lets
//! requests in between; it leaves a bucket alone as soon as its lifecycle is another. It deletes one by one as a
//! DeleteObject does, so events are recorded and a process may die at any moment. What was overwritten since it was looked
//! at stays; what could not be deleted is logged and tried by the next round. While the outbox is full, a round leaves the
//! rest of a bucket's versions to the next one. On a virtual clock a round is due as soon as the clock has passed its
//! midnight, however far it jumped.

use std::sync::{Arc, Mutex, PoisonError};

use lakebed_contract::Timestamp;
use s3s::{S3ErrorCode, S3Result};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::index::{NULL_VERSION, VersionEntry};
use super::internal;
use super::lifecycle::{Configuration, version_of};
use super::lifecycle_rules::{self, Fate, Place, next_midnight};
use super::multipart::abort_now;
use super::removing::{Removal, Seen};
use super::store::{S3Store, WriteCondition};

/// Versions or uploads read under one lock.
const BATCH: usize = 1_000;

/// The rounds of one store.
#[derive(Default)]
pub(super) struct Sweeper {
    ended: CancellationToken,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Sweeper {
    /// Starts the rounds.
    pub(super) fn start(&self, store: &Arc<S3Store>) {
        let (store, ended) = (Arc::clone(store), self.ended.clone());
        let task = tokio::spawn(async move { run(&store, &ended).await });
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    /// Ends them without waiting.
    pub(super) fn abandon(&self) {
        self.ended.cancel();
    }

    /// Ends them; the deletion at hand is finished.
    pub(super) async fn stop(&self) {
        self.ended.cancel();
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(task) = task else { return };
        if let Err(error) = task.await {
            tracing::error!(%error, "the lifecycle rounds ended badly");
        }
    }
}

async fn run(store: &Arc<S3Store>, ended: &CancellationToken) {
    loop {
        let now = store.clock.now();
        let round = Round { store: Arc::clone(store), ended: ended.clone(), now };
        if let Err(error) = tokio::task::spawn_blocking(move || round.sweep()).await {
            tracing::error!(%error, "a lifecycle round did not finish");
        }
        tokio::select! {
            () = store.clock.sleep_until(next_midnight(now)) => (),
            () = ended.cancelled() => return,
        }
    }
}

/// One round.
struct Round {
    store: Arc<S3Store>,
    ended: CancellationToken,
    now: Timestamp,
}

impl Round {
    fn sweep(&self) {
        for (bucket, configuration) in self.store.lifecycles.all() {
            for swept in [self.sweep_versions(&bucket, &configuration), self.sweep_uploads(&bucket, &configuration)] {
                if let Err(error) = swept {
                    tracing::error!(%error, bucket, "failed to carry out a lifecycle");
                }
            }
        }
    }

    /// Whether nothing more is to be done in a bucket: the store stops, or this is its lifecycle no longer.
    fn is_over(&self, bucket: &str, configuration: &Arc<Configuration>) -> bool {
        let is_current = |current: &Arc<Configuration>| Arc::ptr_eq(current, configuration);
        self.ended.is_cancelled() || !self.store.lifecycles.of(bucket).as_ref().is_some_and(is_current)
    }

    fn sweep_versions(&self, bucket: &str, configuration: &Arc<Configuration>) -> S3Result<()> {
        let mut walk = Walk::default();
        let mut after: Option<(String, i64)> = None;
        while !self.is_over(bucket, configuration) {
            let page = {
                let after = after.as_ref().map(|(key, sequence)| (key.as_bytes(), *sequence));
                self.store.index().versions(bucket, after, BATCH).map_err(internal("list versions"))?
            };
            let is_last = page.len() < BATCH;
            after = page.last().map(|last| (last.key.clone(), last.record.sequence));
            let last = is_last.then_some(None);
            for next in page.into_iter().map(Some).chain(last) {
                if let Some((entry, place)) = walk.step(next) {
                    self.treat(bucket, configuration, &entry, place)?;
                }
                if self.is_over(bucket, configuration) {
                    return Ok(());
                }
            }
            if is_last {
                break;
            }
        }
        Ok(())
    }

    /// Gives the refusal of an outbox that is full: it would refuse the others as well, each with a line in the log.
    fn treat(&self, bucket: &str, configuration: &Configuration, entry: &VersionEntry, place: Place) -> S3Result<()> {
        let VersionEntry { key, record, .. } = entry;
        let version = version_of(key, record, place);
        let Some(fate) = lifecycle_rules::fate(&configuration.rules, &version, self.now) else { return Ok(()) };
        let version = match fate {
            Fate::Remove => Some(record.version_id.as_deref().unwrap_or(NULL_VERSION)),
            Fate::Expire => None,
        };
        // What was deleted or overwritten in between stays as it is.
        let why = Removal::Expiry(Seen { sequence: record.sequence, is_latest: entry.is_latest() });
        let done = self.store.delete_object(bucket, key, version, &WriteCondition::default(), why);
        let Err(error) = done else { return Ok(()) };
        match error.code() {
            S3ErrorCode::NoSuchBucket => (),
            S3ErrorCode::SlowDown => return Err(error),
            _ => tracing::error!(%error, bucket, "failed to expire a version"),
        }
        Ok(())
    }

    fn sweep_uploads(&self, bucket: &str, configuration: &Arc<Configuration>) -> S3Result<()> {
        if configuration.rules.iter().all(|rule| rule.upload_days.is_none()) {
            return Ok(());
        }
        let mut after = (String::new(), String::new());
        while !self.is_over(bucket, configuration) {
            let behind = (after.0.as_bytes(), after.1.as_str());
            let page = self.store.index().uploads_behind(bucket, behind, None, BATCH);
            let page = page.map_err(internal("list uploads"))?;
            let is_last = page.len() < BATCH;
            for upload in page {
                let expiry = lifecycle_rules::upload_expiry(&configuration.rules, &upload.key, upload.created_at);
                let is_due = expiry.is_some_and(|(at, _)| at <= self.now);
                if is_due && let Err(error) = abort_now(&self.store, &upload.id, bucket, &upload.key) {
                    // Completed or aborted in between.
                    if !matches!(error.code(), S3ErrorCode::NoSuchBucket | S3ErrorCode::NoSuchUpload) {
                        tracing::error!(%error, bucket, "failed to abort an upload");
                    }
                }
                // The second half of an id says where it stands among those of its key.
                after = (upload.key, upload.id.get(16..).unwrap_or_default().to_owned());
                if self.is_over(bucket, configuration) {
                    return Ok(());
                }
            }
            if is_last {
                break;
            }
        }
        Ok(())
    }
}

/// A walk over versions by key, the newest first, that knows of each where it stands.
#[derive(Default)]
struct Walk {
    /// Stepped on, but it is not known yet whether it is the only one of its key.
    pending: Option<VersionEntry>,
    /// Versions of this key that are not the latest and were passed.
    newer: usize,
}

impl Walk {
    /// Goes on to the next version, or to the end; gives the one before.
    fn step(&mut self, next: Option<VersionEntry>) -> Option<(VersionEntry, Place)> {
        let is_of = |entry: &VersionEntry| next.as_ref().is_some_and(|next| next.key == entry.key);
        let left = self.pending.take().map(|entry| {
            let has_older = is_of(&entry);
            let place = match entry.non_current_since {
                Some(since) => Place::NonCurrent { since, newer: self.newer },
                None => Place::Latest { is_only: !has_older },
            };
            let passed = if entry.is_latest() { 0 } else { self.newer + 1 };
            self.newer = if has_older { passed } else { 0 };
            (entry, place)
        });
        self.pending = next;
        left
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::s3::index::ObjectRecord;
    use crate::s3::notification::Rule;
    use crate::s3::removing::tests::{put, store};

    fn entry(key: &str, sequence: i64, since: Option<i64>) -> VersionEntry {
        let record = ObjectRecord {
            file: String::new(),
            size: 0,
            etag: String::new(),
            last_modified: Timestamp(sequence),
            sequence,
            checksums: Default::default(),
            headers: Default::default(),
            parts: Vec::new(),
            version_id: None,
            is_marker: false,
        };
        VersionEntry { key: key.to_owned(), record, non_current_since: since.map(Timestamp) }
    }

    #[test]
    fn a_walk_knows_where_each_version_stands() {
        let entries = [
            entry("a", 3, None),
            entry("a", 2, Some(3)),
            entry("a", 1, Some(2)),
            entry("b", 4, None),
            entry("c", 6, None),
            entry("c", 5, Some(6)),
        ];
        let mut walk = Walk::default();
        let steps = entries.into_iter().map(Some).chain([None]);
        let places: Vec<_> =
            steps.filter_map(|next| walk.step(next)).map(|(entry, place)| (entry.key, place)).collect();
        let non_current = |since, newer| Place::NonCurrent { since: Timestamp(since), newer };
        let expected = [
            ("a", Place::Latest { is_only: false }),
            ("a", non_current(3, 0)),
            ("a", non_current(2, 1)),
            ("b", Place::Latest { is_only: true }),
            ("c", Place::Latest { is_only: false }),
            ("c", non_current(6, 0)),
        ];
        assert_eq!(places, expected.map(|(key, place)| (key.to_owned(), place)));
    }

    /// A lifecycle by which everything is due.
    fn everything() -> Arc<Configuration> {
        let rule = json!({
            "id": "r", "is_enabled": true, "form": "Filter", "selection": {}, "expiration": { "Date": 0 },
            "non_current": null, "upload_days": null,
        });
        let configuration = json!({ "rules": [rule], "transition_minimum": "" });
        Arc::new(serde_json::from_value(configuration).expect("valid"))
    }

    fn round(store: &Arc<S3Store>) -> Round {
        Round { store: Arc::clone(store), ended: CancellationToken::new(), now: Timestamp::from_seconds(9) }
    }

    #[test]
    fn a_round_leaves_a_bucket_alone_whose_lifecycle_is_another() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Arc::new(store(&dir));
        put(&store);
        let (configuration, round) = (everything(), round(&store));
        let is_there_after = || {
            round.sweep_versions("b", &configuration).expect("swept");
            store.object_version("b", "k", None).is_ok()
        };
        assert!(is_there_after());
        store.lifecycles.set("b", Some(Arc::clone(&configuration)));
        assert!(!is_there_after());
    }

    #[test]
    fn a_round_ends_where_the_outbox_is_full() {
        let dir = tempfile::tempdir().expect("a directory");
        let store = Arc::new(store(&dir));
        put(&store);
        let events = json!(["s3:LifecycleExpiration:*"]);
        let rule = json!({
            "id": "r", "destination": "Lambda", "arn": "", "events": events, "prefix": "", "suffix": "",
        });
        let rules = Rule::parse_all(&json!([rule]).to_string()).expect("valid");
        store.set_rules("b", &rules, None).expect("set");
        let configuration = everything();
        store.lifecycles.set("b", Some(Arc::clone(&configuration)));
        store.outbox().fill();
        let refusal = round(&store).sweep_versions("b", &configuration).expect_err("no room for the event");
        assert_eq!(refusal.code(), &S3ErrorCode::SlowDown);
        assert!(store.object_version("b", "k", None).is_ok());
        store.outbox().delivered(1);
        round(&store).sweep_versions("b", &configuration).expect("swept");
        assert!(store.object_version("b", "k", None).is_err());
    }
}

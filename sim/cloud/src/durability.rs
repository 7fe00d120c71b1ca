//! What an answered write survives, store by store.
//!
//! Each policy survives `kill -9`: whatever was answered is in the operating system's hands, and the next start finds it,
//! whole. They differ in what a power cut, or a crash of the operating system, costs:
//!
//! | store | [`Fsync::Always`] | [`Fsync::Interval`] | [`Fsync::Never`] |
//! | --- | --- | --- | --- |
//! | S3 objects and their index | file, folder and index are flushed before the answer | flushed once a second | the index at checkpoints, the rest when the operating system likes |
//! | DynamoDB and its streams | SQLite with `synchronous=FULL`: each commit is flushed before the answer | `NORMAL`, the write-ahead log is flushed once a second | `NORMAL`: flushed at checkpoints |
//! | Kinesis records | the shard's log is flushed before the answer; requests that wait at the same time share a flush | flushed once a second | when the operating system likes |
//! | Kinesis streams and shards | description and folder are flushed before the answer | as with `Always`: they are few | when the operating system likes |
//! | Iceberg table pointers | as DynamoDB | as DynamoDB | as DynamoDB |
//! | KMS keys and aliases | file and folder are flushed before the answer | as with `Always` | as with `Always`: what a lost key encrypted is lost too |
//!
//! No policy tears anything: SQLite recovers to a whole transaction, an object appears by a rename or with its row, and a
//! torn last record of a log is dropped, loudly. Across stores there is no order but the answers': a client that puts a
//! file, waits for the answer, and then commits a pointer to it has both after a power cut under `Always`. Under
//! `Interval` and `Never` the pointer may survive its file: an Iceberg table whose newest snapshot names data or metadata
//! files that are gone. The pointers are flushed last in each round, so under `Interval` this can only hit commits of the
//! last moments; a lake that must outlive the power needs `Always`.
//!
//! **A flush that fails** is told through the events and the log once, tried again every second, and told once more when it
//! got through. Requests are answered meanwhile, because what `kill -9` costs has not changed; but what was written before
//! the failure is not promised to survive a power cut even after a later success, since an operating system may drop pages
//! that it failed to write. Under `Always` nothing is answered without its flush: the request fails, and a Kinesis shard
//! whose flush failed takes no more records until the next start has read what is really there.
//!
//! Knows no store: it calls [`Flush`].

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lakebed_contract::{Clock, EventSink};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::Fsync;
use crate::error::CloudError;

/// How often the stores are flushed under [`Fsync::Interval`], in real time.
pub const FLUSH_INTERVAL: Duration = Duration::from_secs(1);

/// A store that can put what it has answered on the disk.
pub(crate) trait Flush: Send + Sync {
    /// Returns when everything answered before the call survives a power cut. Blocks.
    fn flush(&self) -> io::Result<()>;
}

impl Fsync {
    /// Whether anything is flushed at all. Rare changes of structure (a stream, a segment, a folder) are then flushed at
    /// once.
    pub(crate) fn flushes(self) -> bool {
        self != Self::Never
    }

    /// `PRAGMA synchronous` of a SQLite file with a write-ahead log.
    pub(crate) fn synchronous(self) -> &'static str {
        if self == Self::Always { "FULL" } else { "NORMAL" }
    }
}

/// Flushes a directory: which files are in it, under which names.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Flushes the state directory, some folders in it, and its own name.
pub(crate) fn sync_folders(state_dir: &Path, names: &[&str]) -> Result<(), CloudError> {
    let folders = names.iter().map(|name| state_dir.join(name));
    let above = state_dir.parent().filter(|above| !above.as_os_str().is_empty()).map(Path::to_owned);
    for folder in folders.chain([state_dir.to_owned()]).chain(above) {
        sync_dir(&folder).map_err(CloudError::state("flush", &folder))?;
    }
    Ok(())
}

/// The write-ahead log of a SQLite file, flushed from outside.
///
/// SQLite itself flushes the log before it copies from it, and the file before it reuses the log; in between, the log is
/// all that a commit rests on. The database file itself is never opened here: to close it would drop SQLite's locks.
pub(crate) struct WriteAheadLog {
    path: PathBuf,
}

impl WriteAheadLog {
    /// That of the database at `database`.
    pub(crate) fn of(database: &Path) -> Self {
        let mut path = database.as_os_str().to_owned();
        path.push("-wal");
        Self { path: path.into() }
    }
}

impl Flush for WriteAheadLog {
    fn flush(&self) -> io::Result<()> {
        match File::open(&self.path) {
            Ok(log) => log.sync_data()?,
            // Nothing was written yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        }
        self.path.parent().map_or(Ok(()), sync_dir)
    }
}

/// A store to flush, and its name in messages.
pub(crate) type Flushed = (&'static str, Arc<dyn Flush>);

/// The task that flushes the stores. Dropping it ends it without a last flush, as a kill would.
#[derive(Debug)]
pub(crate) struct Flusher {
    finish: CancellationToken,
    task: JoinHandle<Result<(), CloudError>>,
}

impl Flusher {
    /// Starts to flush `stores`, in this order, every [`FLUSH_INTERVAL`] of `clock`.
    pub(crate) fn start(stores: Vec<Flushed>, clock: Clock, events: EventSink) -> Self {
        let finish = CancellationToken::new();
        let stores = stores.into_iter().map(|(name, store)| Watched { name, store, failed: false }).collect();
        let task = tokio::spawn(flush_until(finish.clone(), stores, clock, events));
        Self { finish, task }
    }

    /// Flushes for the last time; call it when no request is left.
    pub(crate) async fn stop(mut self) -> Result<(), CloudError> {
        self.finish.cancel();
        (&mut self.task).await.unwrap_or_else(|stopped| {
            Err(CloudError::Flush { store: "every store", source: io::Error::other(stopped) })
        })
    }
}

impl Drop for Flusher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Watched {
    name: &'static str,
    store: Arc<dyn Flush>,
    /// Whether the last flush failed, so that an outage is told twice and not every second.
    failed: bool,
}

/// Gives the failure of the last round.
async fn flush_until(
    finish: CancellationToken,
    mut stores: Vec<Watched>,
    clock: Clock,
    events: EventSink,
) -> Result<(), CloudError> {
    loop {
        let is_last = tokio::select! {
            () = clock.sleep(FLUSH_INTERVAL) => false,
            () = finish.cancelled() => true,
        };
        let events = events.clone();
        let round = tokio::task::spawn_blocking(move || {
            let outcome = flush_all(&mut stores, &events);
            (stores, outcome)
        });
        let outcome;
        (stores, outcome) = round
            .await
            .map_err(|stopped| CloudError::Flush { store: "every store", source: io::Error::other(stopped) })?;
        if is_last {
            return outcome;
        }
    }
}

/// Flushes every store, whatever happens to the others; gives the first failure.
fn flush_all(stores: &mut [Watched], events: &EventSink) -> Result<(), CloudError> {
    let mut outcome = Ok(());
    for Watched { name, store, failed } in stores {
        let name = *name;
        match store.flush() {
            Ok(()) if *failed => {
                tracing::warn!(store = name, "flushed again");
                events.log(format!("cloud: {name} is flushed to disk again"));
                *failed = false;
            }
            Ok(()) => {}
            Err(source) => {
                if !*failed {
                    tracing::error!(store = name, error = %source, "failed to flush");
                    events.log(format!("cloud: failed to flush {name} to disk, trying again every second: {source}"));
                }
                *failed = true;
                outcome = outcome.and(Err(CloudError::Flush { store: name, source }));
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use lakebed_contract::{RunEvent, Timestamp};
    use tokio::sync::mpsc;

    use super::*;

    /// Fails as told, then succeeds; tells each call.
    struct Scripted {
        failures: Mutex<VecDeque<bool>>,
        calls: mpsc::UnboundedSender<()>,
    }

    impl Flush for Scripted {
        fn flush(&self) -> io::Result<()> {
            self.calls.send(()).expect("the test listens");
            let fails = self.failures.lock().expect("sound").pop_front().unwrap_or(false);
            if fails { Err(io::Error::other("no disk")) } else { Ok(()) }
        }
    }

    struct Bench {
        flusher: Flusher,
        clock: Clock,
        calls: mpsc::UnboundedReceiver<()>,
        told: Arc<Mutex<Vec<String>>>,
    }

    fn start(failures: &[bool]) -> Bench {
        let (sender, calls) = mpsc::unbounded_channel();
        let store = Scripted { failures: Mutex::new(failures.iter().copied().collect()), calls: sender };
        let clock = Clock::virtual_at(Timestamp::from_seconds(1_700_000_000));
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&told);
        let events = EventSink::new(move |event| {
            if let RunEvent::Log { message } = event {
                heard.lock().expect("sound").push(message);
            }
        });
        let flusher = Flusher::start(vec![("s3", Arc::new(store) as Arc<dyn Flush>)], clock.clone(), events);
        Bench { flusher, clock, calls, told }
    }

    impl Bench {
        async fn next_flush(&mut self) {
            while self.calls.try_recv().is_err() {
                self.clock.advance(FLUSH_INTERVAL);
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn an_outage_is_told_once_tried_again_and_its_end_is_told() {
        let mut bench = start(&[false, true, true, false]);
        for _ in 0..4 {
            bench.next_flush().await;
        }
        bench.flusher.stop().await.expect("the disk is back");
        let told = bench.told.lock().expect("sound");
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("failed to flush s3") && told[0].contains("no disk"), "{told:?}");
        assert!(told[1].contains("again"), "{told:?}");
    }

    #[tokio::test]
    async fn the_end_flushes_once_more_and_tells_when_it_could_not() {
        let mut bench = start(&[true]);
        let ended = bench.flusher.stop().await;
        assert!(matches!(ended, Err(CloudError::Flush { store: "s3", .. })), "{ended:?}");
        assert!(
            bench.calls.try_recv().is_ok() && bench.calls.try_recv().is_err(),
            "no second passed: one flush, the last"
        );
    }

    #[test]
    fn what_dynoxide_leaves_alone_is_flushed_at_each_commit() {
        let connection = rusqlite::Connection::open_in_memory().expect("opens");
        let level: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0)).expect("asked");
        assert_eq!(level, 2, "FULL is this SQLite's default, on which `always` rests for DynamoDB");
    }

    #[test]
    fn a_write_ahead_log_is_flushed_whether_it_is_there_or_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let database = dir.path().join("x.sqlite");
        let log = WriteAheadLog::of(&database);
        log.flush().expect("nothing to do");
        let connection = rusqlite::Connection::open(&database).expect("opens");
        connection.execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE t (v);").expect("written");
        assert!(log.path.exists(), "SQLite calls it so");
        log.flush().expect("flushed");
    }
}

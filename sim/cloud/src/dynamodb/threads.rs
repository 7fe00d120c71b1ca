//! Where a request is done: on the thread that read it, or on one that may block.
//!
//! To hand a request to another thread and its answer back costs more than to read or write one small item. So an operation
//! on one item is done at once if nothing keeps it waiting: no other request is being done, nobody has the tables to himself
//! and no answer rests on a flush. Everything else, and whoever comes meanwhile, goes to a thread that may block. A runtime's
//! thread is then held for as long as SQLite takes for one item; once in some hundred writes for a checkpoint too, once a
//! second of the clock for its stamp, and at worst for a page of upkeep or, with limits, the end of a deleted table. A panic is caught in either place. Knows no operation but by its name.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, TryLockError};

use super::answer::Failure;
use super::changes::ChangeLog;
use crate::config::Fsync;

const READ_OF_ONE: [&str; 1] = ["GetItem"];
const WRITES_OF_ONE: [&str; 3] = ["PutItem", "UpdateItem", "DeleteItem"];

/// Longest body of a request that is done at once.
const SHORT_BODY_BYTES: usize = 16 * 1024;

/// Requests being done, and what keeps one from being done at once.
#[derive(Debug)]
pub(super) struct Threads {
    running: Arc<AtomicUsize>,
    flushes_commits: bool,
}

/// A request being done.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Threads {
    pub(super) fn new(fsync: Fsync) -> Self {
        Self { running: Arc::default(), flushes_commits: fsync == Fsync::Always }
    }

    /// Does the work of a request whose body has this length.
    pub(super) async fn run(
        &self,
        changes: &ChangeLog,
        operation: &str,
        length: usize,
        work: impl FnOnce() -> Result<String, Failure> + Send + 'static,
    ) -> Result<String, Failure> {
        let is_alone = self.running.fetch_add(1, Ordering::AcqRel) == 0;
        let running = Running(Arc::clone(&self.running));
        let work = move || {
            let _running = running;
            work()
        };
        let stopped = || Failure::internal("the request did not finish");
        // A panic while somebody had the tables to himself does not keep them his.
        let is_free = || !matches!(changes.turn.try_read(), Err(TryLockError::WouldBlock));
        if is_alone && self.is_short(operation, length) && is_free() {
            return catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_panic| {
                tracing::error!("a DynamoDB request did not finish");
                Err(stopped())
            });
        }
        tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
            tracing::error!(%error, "a DynamoDB request did not finish");
            Err(stopped())
        })
    }

    fn is_short(&self, operation: &str, length: usize) -> bool {
        let is_write = WRITES_OF_ONE.contains(&operation);
        length <= SHORT_BODY_BYTES && (READ_OF_ONE.contains(&operation) || is_write && !self.flushes_commits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(dir: &std::path::Path) -> ChangeLog {
        let path = dir.join("tables.sqlite");
        drop(dynoxide::Database::new(path.to_str().expect("text")).expect("made"));
        ChangeLog::open(&path, Fsync::Never).expect("opens")
    }

    /// Whether the operation is done on this very thread.
    async fn stays(threads: &Threads, changes: &ChangeLog, operation: &str, length: usize) -> bool {
        let here = std::thread::current().id();
        let work = move || Ok((std::thread::current().id() == here).to_string());
        threads.run(changes, operation, length, work).await.expect("done") == "true"
    }

    #[test]
    fn only_what_is_short_and_alone_is_done_at_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let changes = log(dir.path());
        // A lock is held while it is asked, so this test is not async itself.
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let stays =
            |threads: &Threads, operation: &str, length| runtime.block_on(stays(threads, &changes, operation, length));
        let threads = Threads::new(Fsync::Interval);
        assert!(stays(&threads, "PutItem", 100));
        assert!(!stays(&threads, "PutItem", SHORT_BODY_BYTES + 1));
        assert!(!stays(&threads, "Query", 100));
        let flushing = Threads::new(Fsync::Always);
        assert!(stays(&flushing, "GetItem", 100));
        assert!(!stays(&flushing, "PutItem", 100));

        let other = Running(Arc::clone(&threads.running));
        threads.running.fetch_add(1, Ordering::AcqRel);
        assert!(!stays(&threads, "GetItem", 100), "another one is being done");
        drop(other);
        let taken = changes.turn.write().expect("nobody panicked");
        assert!(!stays(&threads, "GetItem", 100), "somebody has the tables to himself");
        drop(taken);
        assert!(stays(&threads, "GetItem", 100));
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_in_either_place_and_leaves_nothing_running() {
        let dir = tempfile::tempdir().expect("a directory");
        let changes = log(dir.path());
        let threads = Threads::new(Fsync::Interval);
        for operation in ["GetItem", "Query"] {
            let failed = threads.run(&changes, operation, 0, || panic!("a test")).await.expect_err("it panicked");
            assert!(format!("{failed:?}").contains("InternalServerError"), "{operation}");
        }
        assert_eq!(threads.running.load(Ordering::Acquire), 0);
    }
}

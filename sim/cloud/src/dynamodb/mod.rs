//! DynamoDB and DynamoDB Streams over one SQLite file.
//!
//! Tables are dynoxide's; this module gives it JSON and hands its JSON back in AWS JSON 1.0 clothes. Streams are ours
//! (see [`streams`]): dynoxide writes a change record in the transaction of the write itself, we number and serve those
//! records. Promises: an operation we do not know is refused by name; the same directory serves the same tables and
//! streams after a restart; items expire and stream records are trimmed on [`Clock`], in rounds a minute apart (see
//! [`upkeep`]). Does not know: throttling, capacity, IAM. Creation times and stream labels are dynoxide's, by the
//! machine's clock.

mod answer;
mod arns;
mod changes;
mod constraints;
mod control;
mod iterator;
mod operations;
mod schema;
mod shards;
mod streams;
mod ttl;
mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dynoxide::{Database, DynoxideError};
use lakebed_contract::{Clock, Seed};

use answer::Failure;
use changes::ChangeLog;
use streams::Streams;
use upkeep::Upkeep;

const FILE_NAME: &str = "dynamodb.sqlite";
const TABLES_TARGET: &str = "DynamoDB_20120810.";
const STREAMS_TARGET: &str = "DynamoDBStreams_20120810.";

/// What can go wrong while the tables are opened. Requests answer with AWS error bodies instead.
#[derive(Debug, thiserror::Error)]
pub enum DynamoDbError {
    /// The state directory cannot be made.
    #[error("failed to create `{path}`")]
    CreateDirectory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The path is not text, which SQLite needs.
    #[error("failed to open `{path}`: the path is not UTF-8")]
    PathNotText {
        /// The path.
        path: PathBuf,
    },
    /// dynoxide refuses the file.
    #[error("failed to open `{path}`")]
    OpenTables {
        /// The database file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<DynoxideError>,
    },
    /// The change log cannot be set up beside dynoxide's tables.
    #[error("failed to prepare the change log in `{path}`")]
    OpenChangeLog {
        /// The database file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rusqlite::Error,
    },
}

/// DynamoDB tables and their streams. Cheap to share behind an `Arc`; requests may run at the same time. Dropping it
/// ends its upkeep.
pub struct DynamoDb {
    tables: Database,
    changes: Arc<ChangeLog>,
    streams: Arc<Streams>,
    upkeep: Arc<Upkeep>,
    clock: Clock,
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoDb").finish_non_exhaustive()
    }
}

impl DynamoDb {
    /// Opens (or creates) the tables kept in `dir`, and starts their upkeep as a task of the current Tokio runtime.
    /// Nothing here is left to chance today; the seed is for faults to come.
    pub fn open(dir: &Path, clock: Clock, _seed: Seed) -> Result<Self, DynamoDbError> {
        std::fs::create_dir_all(dir)
            .map_err(|source| DynamoDbError::CreateDirectory { path: dir.to_owned(), source })?;
        let path = dir.join(FILE_NAME);
        let text = path.to_str().ok_or_else(|| DynamoDbError::PathNotText { path: path.clone() })?;
        let tables = Database::new(text)
            .map_err(|source| DynamoDbError::OpenTables { path: path.clone(), source: Box::new(source) })?;
        let changes =
            ChangeLog::open(&path).map_err(|source| DynamoDbError::OpenChangeLog { path: path.clone(), source })?;
        let changes = Arc::new(changes);
        let streams = Arc::new(Streams::new(Arc::clone(&changes), clock.clone()));
        let upkeep = Arc::new(Upkeep::new(tables.clone(), Arc::clone(&changes), clock.clone()));
        tokio::spawn(Arc::clone(&upkeep).run());
        Ok(Self { tables, changes, streams, upkeep, clock })
    }

    /// Answers one AWS JSON 1.0 request; `target` is its `X-Amz-Target` header, e.g. `DynamoDB_20120810.PutItem`, and
    /// `host` the endpoint it was sent to.
    pub async fn handle(&self, target: &str, host: &str, body: Bytes) -> http::Response<Bytes> {
        self.upkeep.nudge();
        answer::respond(self.run(target, host, body).await)
    }

    async fn run(&self, target: &str, host: &str, body: Bytes) -> Result<String, Failure> {
        let (tables, changes, streams) = (self.tables.clone(), Arc::clone(&self.changes), Arc::clone(&self.streams));
        let (target, host, now) = (target.to_owned(), host.to_owned(), self.clock.now());
        let work = move || {
            let body = std::str::from_utf8(&body).map_err(|_| Failure::serialization("the body is not UTF-8"))?;
            if let Some(operation) = target.strip_prefix(TABLES_TARGET) {
                let _turn = changes.turn_of_tables(now)?;
                operations::run(&tables, &host, operation, body)
            } else if let Some(operation) = target.strip_prefix(STREAMS_TARGET) {
                streams.run(operation, body)
            } else {
                Err(Failure::unknown_operation(&target))
            }
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(outcome) => outcome,
            Err(stopped) => {
                tracing::error!(error = %stopped, "a DynamoDB request did not finish");
                Err(Failure::internal("the request did not finish"))
            }
        }
    }
}

impl Drop for DynamoDb {
    fn drop(&mut self) {
        self.upkeep.end();
    }
}

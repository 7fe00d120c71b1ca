//! DynamoDB and DynamoDB Streams over one SQLite file.
//!
//! Tables are dynoxide's; this module gives it JSON and hands its JSON back in AWS JSON 1.0 clothes. Streams are ours
//! (see [`streams`]): dynoxide writes a change record in the transaction of the write itself, we number and serve those
//! records. Promises: an operation we do not know is refused by name; the same directory serves the same tables and
//! streams after a restart. Does not know: throttling, capacity, IAM. dynoxide stamps records and expires TTLs by the
//! machine's clock; only shard iterators follow [`Clock`]. Nobody sweeps TTLs: expired items stay until deleted.

mod answer;
mod changes;
mod iterator;
mod operations;
mod streams;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dynoxide::{Database, DynoxideError};
use lakebed_contract::{Clock, Seed};

use answer::Failure;
use changes::ChangeLog;
use streams::Streams;

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

/// DynamoDB tables and their streams. Cheap to share behind an `Arc`; requests may run at the same time.
pub struct DynamoDb {
    tables: Database,
    streams: Arc<Streams>,
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoDb").finish_non_exhaustive()
    }
}

impl DynamoDb {
    /// Opens (or creates) the tables kept in `dir`. Nothing here is left to chance today; the seed is for faults to
    /// come.
    pub fn open(dir: &Path, clock: Clock, _seed: Seed) -> Result<Self, DynamoDbError> {
        std::fs::create_dir_all(dir)
            .map_err(|source| DynamoDbError::CreateDirectory { path: dir.to_owned(), source })?;
        let path = dir.join(FILE_NAME);
        let text = path.to_str().ok_or_else(|| DynamoDbError::PathNotText { path: path.clone() })?;
        let tables = Database::new(text)
            .map_err(|source| DynamoDbError::OpenTables { path: path.clone(), source: Box::new(source) })?;
        let changes =
            ChangeLog::open(&path).map_err(|source| DynamoDbError::OpenChangeLog { path: path.clone(), source })?;
        Ok(Self { tables, streams: Arc::new(Streams::new(changes, clock)) })
    }

    /// Answers one AWS JSON 1.0 request; `target` is its `X-Amz-Target` header, e.g. `DynamoDB_20120810.PutItem`.
    pub async fn handle(&self, target: &str, body: Bytes) -> http::Response<Bytes> {
        answer::respond(self.run(target, body).await)
    }

    async fn run(&self, target: &str, body: Bytes) -> Result<String, Failure> {
        let (tables, streams) = (self.tables.clone(), Arc::clone(&self.streams));
        let target = target.to_owned();
        let work = move || {
            let body = std::str::from_utf8(&body).map_err(|_| Failure::serialization("the body is not UTF-8"))?;
            if let Some(operation) = target.strip_prefix(TABLES_TARGET) {
                operations::run(&tables, operation, body)
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

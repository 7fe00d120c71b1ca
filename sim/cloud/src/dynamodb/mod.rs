//! DynamoDB and DynamoDB Streams over one SQLite file.
//!
//! Tables are dynoxide's; this module gives it JSON and hands its JSON back in AWS JSON 1.0 clothes. Streams are ours
//! (see [`streams`]): dynoxide writes a change record in the transaction of the write itself, we number those records and
//! serve the ones that tell a change. Promises: an operation we do not know is refused by name; the same directory serves the
//! same tables and streams after a restart; items expire and stream records are trimmed on [`Clock`], in rounds a minute
//! apart (see [`upkeep`]); a stream's shards roll as on AWS (see [`rolling`]). Capacity is limited where limits are on (see
//! [`crate::limits`]). Does not know: IAM. Creation times and stream labels are dynoxide's, by the machine's clock.

mod amended;
mod answer;
mod arns;
mod changes;
mod control;
mod images;
mod iterator;
mod lifecycle;
mod operations;
mod pages;
mod rolling;
mod schema;
mod shards;
mod stream_record;
mod streams;
mod threads;
mod tokens;
mod trimming;
mod ttl;
mod upkeep;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use dynoxide::{Database, DynoxideError};
use lakebed_contract::Clock;

use crate::config::{CloudConfig, Fsync};
use crate::durability::WriteAheadLog;
use crate::limits::dynamodb::DynamoDbLimits;
use answer::Failure;
use changes::ChangeLog;
use lifecycle::{Asked, Lifecycle};
use streams::Streams;
use threads::Threads;
use tokens::Tokens;
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
    tokens: Arc<Tokens>,
    lifecycle: Arc<Lifecycle>,
    upkeep: Arc<Upkeep>,
    limits: Arc<DynamoDbLimits>,
    threads: Threads,
    clock: Clock,
}

impl std::fmt::Debug for DynamoDb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynamoDb").finish_non_exhaustive()
    }
}

impl DynamoDb {
    /// Opens (or creates) the tables kept in `dir`, and starts their upkeep as a task of the current Tokio runtime.
    pub fn open(dir: &Path, config: &CloudConfig) -> Result<Self, DynamoDbError> {
        let clock = config.clock.clone();
        std::fs::create_dir_all(dir)
            .map_err(|source| DynamoDbError::CreateDirectory { path: dir.to_owned(), source })?;
        let path = dir.join(FILE_NAME);
        let text = path.to_str().ok_or_else(|| DynamoDbError::PathNotText { path: path.clone() })?;
        let tables = Database::new(text)
            .map_err(|source| DynamoDbError::OpenTables { path: path.clone(), source: Box::new(source) })?;
        if config.fsync != Fsync::Always {
            // Its default is FULL. This is its only way to NORMAL; the other settings it touches are SQLite's defaults.
            tables
                .disable_bulk_loading()
                .map_err(|source| DynamoDbError::OpenTables { path: path.clone(), source: Box::new(source) })?;
        }
        let changes = ChangeLog::open(&path, config.fsync)
            .map_err(|source| DynamoDbError::OpenChangeLog { path: path.clone(), source })?;
        let changes = Arc::new(changes);
        let limits = Arc::new(DynamoDbLimits::new(config));
        let streams = Arc::new(Streams::new(Arc::clone(&changes), config, Arc::clone(&limits)));
        let tokens = Arc::new(Tokens::new(Arc::clone(&changes)));
        let lifecycle = Lifecycle::open(Arc::clone(&changes), config.limits)
            .map_err(|source| DynamoDbError::OpenChangeLog { path: path.clone(), source })?;
        let lifecycle = Arc::new(lifecycle);
        let upkeep = Arc::new(Upkeep::new(tables.clone(), Arc::clone(&changes), clock.clone()));
        tokio::spawn(Arc::clone(&upkeep).run());
        let threads = Threads::new(config.fsync);
        Ok(Self { tables, changes, streams, tokens, lifecycle, upkeep, limits, threads, clock })
    }

    /// The log that commits rest on, of the tables kept in `dir`.
    pub(crate) fn log_in(dir: &Path) -> WriteAheadLog {
        WriteAheadLog::of(&dir.join(FILE_NAME))
    }

    /// Answers one AWS JSON 1.0 request; `target` is its `X-Amz-Target` header, e.g. `DynamoDB_20120810.PutItem`, and
    /// `host` the endpoint it was sent to.
    pub async fn handle(&self, target: &str, host: &str, body: Bytes) -> http::Response<Bytes> {
        answer::respond(self.run(target, host, body).await)
    }

    /// The answer when something of the service's own went wrong.
    pub(crate) fn failure() -> http::Response<Bytes> {
        let message = "The request processing has failed because of an unknown error, exception or failure.";
        answer::respond(Err(Failure::internal(message)))
    }

    /// The answer to a request that is refused before it comes to an operation.
    pub(crate) fn refused(code: &str, message: &str) -> http::Response<Bytes> {
        answer::respond(Err(Failure::at_the_door(code, message)))
    }

    async fn run(&self, target: &str, host: &str, body: Bytes) -> Result<String, Failure> {
        let (tables, changes, streams) = (self.tables.clone(), Arc::clone(&self.changes), Arc::clone(&self.streams));
        let (tokens, lifecycle) = (Arc::clone(&self.tokens), Arc::clone(&self.lifecycle));
        let (limits, now, length) = (Arc::clone(&self.limits), self.clock.now(), body.len());
        let operation = target.strip_prefix(TABLES_TARGET).unwrap_or_default();
        let (target, host) = (target.to_owned(), host.to_owned());
        let work = move || {
            let body = std::str::from_utf8(&body).map_err(|_| Failure::serialization("the body is not UTF-8"))?;
            changes.roll(now)?;
            if let Some(operation) = target.strip_prefix(TABLES_TARGET) {
                tokens.run(operation, body, now, |body| {
                    let describe = |table: &str| described(&tables, table);
                    limits.run(operation, body, describe, |body| {
                        lifecycle.run(&Asked { tables: &tables, host: &host, operation, body, now })
                    })
                })
            } else if let Some(operation) = target.strip_prefix(STREAMS_TARGET) {
                streams.run(operation, body)
            } else {
                Err(Failure::unknown_operation(&target))
            }
        };
        self.threads.run(&self.changes, operation, length, work).await
    }
}

/// A table's description, for its capacity; `None` for one that is not there.
fn described(tables: &Database, table: &str) -> Option<serde_json::Value> {
    let request = serde_json::from_value(serde_json::json!({ "TableName": table })).ok()?;
    let answer = serde_json::to_value(tables.describe_table(request).ok()?).ok()?;
    answer.get("Table").cloned()
}

impl Drop for DynamoDb {
    fn drop(&mut self) {
        self.upkeep.end();
    }
}

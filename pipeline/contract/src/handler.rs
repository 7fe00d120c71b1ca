//! Named handlers: how the flow calls pipeline code without knowing it. The harness fills the registry.
//!
//! A handler is a Lambda function as its caller sees it: JSON in, JSON or a typed error out. It must be idempotent:
//! every caller delivers at least once.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

/// Firehose transform: finds the table of each record.
pub const FIREHOSE_ROUTER: &str = "dm-firehose-router";
/// S3 event → control record.
pub const PROCESSING_CONTROLLER: &str = "dm-processing-controller";
/// Counts the records of a raw object, up to the Choice's limit.
pub const ROW_PROBE: &str = "dm-row-probe";
/// Bronze ingest as a Lambda: up to 100,000 records.
pub const BRONZE_LITE: &str = "dm-bronze-ingestor-lite";
/// Bronze ingest as an ECS task: any size.
pub const BRONZE_MASS: &str = "dm-bronze-ingestor-mass";
/// Marks a control record FAILED after the dispatcher caught an error.
pub const MARK_FAILED: &str = "dm-control-mark-failed";
/// Merges new bronze files of one table into silver.
pub const SILVER_MERGE: &str = "dm-silver-merge";
/// Rebuilds the touched partitions of one silver model.
pub const SILVER_MODEL: &str = "dm-silver-model";
/// Rebuilds the touched partitions of one gold model.
pub const GOLD_MODEL: &str = "dm-gold-model";

/// What a handler may know about its call.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// Unique per attempt; names the lease owner.
    pub request_id: String,
    /// Memory the caller grants, MiB; a figure to size buffers by, not a hard limit.
    pub memory_mib: u32,
}

/// A failed call, in the shape Step Functions matches on.
#[derive(Debug, thiserror::Error)]
#[error("{error}: {cause}")]
pub struct HandlerError {
    /// Error name, e.g. `Lambda.ServiceException` or `Bronze.BadObject`.
    pub error: String,
    /// What was attempted on what, without row values.
    pub cause: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
}

impl HandlerError {
    /// A failure that may pass: the store did not answer, a lease is held, a commit lost its race.
    pub fn transient(error: &str, cause: impl std::fmt::Display) -> Self {
        Self { error: error.to_owned(), cause: cause.to_string(), retryable: true }
    }

    /// A failure that will repeat: bad input, a broken contract.
    pub fn permanent(error: &str, cause: impl std::fmt::Display) -> Self {
        Self { error: error.to_owned(), cause: cause.to_string(), retryable: false }
    }
}

/// One Lambda function.
#[async_trait]
pub trait Handler: Send + Sync {
    /// Handles one event.
    async fn invoke(&self, invocation: &Invocation, payload: Value) -> Result<Value, HandlerError>;
}

/// Functions by name.
#[derive(Clone, Default)]
pub struct HandlerRegistry {
    handlers: BTreeMap<String, Arc<dyn Handler>>,
}

impl HandlerRegistry {
    /// Adds a function; a second one of the same name replaces the first.
    pub fn register(&mut self, name: &str, handler: Arc<dyn Handler>) {
        self.handlers.insert(name.to_owned(), handler);
    }

    /// A function by name.
    pub fn get(&self, name: &str) -> Option<Arc<dyn Handler>> {
        self.handlers.get(name).cloned()
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.handlers.keys().map(String::as_str)
    }
}

impl std::fmt::Debug for HandlerRegistry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.names()).finish()
    }
}

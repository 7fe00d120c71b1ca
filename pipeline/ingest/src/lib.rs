//! Raw object to masked bronze Parquet: the control table, the ingest engine, and the Lambda handlers around them.
//!
//! Follow the data: `handlers::router` names the table of a Kinesis record, `handlers::controller` enters a new raw object into the
//! control table, `handlers::probe` counts its records, `handlers::bronze` claims it and runs [`engine`], which writes bronze and
//! quarantine; `handlers::mark_failed` closes what went wrong. Everything is at least once and idempotent: keys and bytes of
//! the outputs follow from the raw object alone. Knows AWS APIs, not what stands behind them; knows nothing of silver.

pub mod control;

pub mod engine;
pub mod kms;
pub mod mapping;

mod stream;
mod worker;

mod handlers;

mod error;

pub use control::{ClaimAnswer, ControlTable, Finish, Lease};
pub use error::IngestError;
pub use handlers::handlers;

use std::path::PathBuf;
use std::sync::Arc;

use lakebed_contract::{Clock, Endpoints, EventSink, Lake};
use lakebed_mask::Masker;

/// What the handlers work with.
#[derive(Clone, Debug)]
pub struct IngestContext {
    /// Contracts and policy.
    pub lake: Arc<Lake>,
    /// Where S3 and DynamoDB answer.
    pub endpoints: Endpoints,
    /// Time.
    pub clock: Clock,
    /// Holder of the mask key.
    pub masker: Masker,
    /// Where events go.
    pub events: EventSink,
    /// Folder for outputs on their way to S3; made if missing.
    pub scratch_dir: PathBuf,
}

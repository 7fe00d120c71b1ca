//! Silver and gold: DuckDB for SQL, Iceberg for tables, and the fold that turns change records into rows.
//!
//! Promises: idempotent at every step (batch ids in snapshot summaries, a position per row); cost follows the touched partitions;
//! no row value in an error, a log line or an event. Sees AWS endpoints and an Iceberg REST catalog, never who runs them.
//!
//! ```text
//! bronze Parquet ─ silver/ fold ─ iceberg/ commit ─→ silver.<table>
//! silver.<table> ─ model/ + duckdb/ SQL ─ iceberg/ commit ─→ silver.review_flat, gold.*
//! ```

mod control;
mod duckdb;
mod error;
mod handlers;
mod iceberg;
mod model;
mod query;
mod silver;
#[cfg(test)]
mod testing;
mod warehouse;

use std::path::PathBuf;
use std::sync::Arc;

use lakebed_contract::{Clock, Endpoints, EventSink, Lake, Seed};

pub use self::duckdb::duckdb_version;
pub use self::error::WarehouseError;
pub use self::handlers::handlers;
pub use self::query::{QueryResult, query};
pub use self::warehouse::check_contracts;

/// What the warehouse works with.
#[derive(Clone, Debug)]
pub struct WarehouseContext {
    /// Tables and models.
    pub lake: Arc<Lake>,
    /// S3, DynamoDB and the catalog.
    pub endpoints: Endpoints,
    /// Time.
    pub clock: Clock,
    /// Names of files and snapshots.
    pub seed: Seed,
    /// Where progress goes.
    pub events: EventSink,
    /// Folder for local copies and spill files.
    pub scratch_dir: PathBuf,
    /// What one DuckDB database may use.
    pub memory_limit_mib: u64,
}

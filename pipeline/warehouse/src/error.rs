//! What can go wrong between bronze and gold, and how a caller should take it.
//!
//! Promises: no message carries a row value. DuckDB's own messages may quote values, so only its kind of error and, for errors
//! about the SQL text itself, the message get through. Arrow's and Parquet's messages stay out of the report for the same reason.

use std::error::Error;

use lakebed_contract::HandlerError;

/// Result of this crate.
pub(crate) type Result<T, E = WarehouseError> = std::result::Result<T, E>;

/// A failed warehouse operation.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WarehouseError {
    /// DuckDB is not there or not the version this crate was built for.
    #[error("failed to open DuckDB: {reason}")]
    Engine {
        /// What is wrong and what to do.
        reason: String,
    },
    /// A statement failed.
    #[error("failed to {action}: {reason}")]
    Sql {
        /// What was attempted.
        action: String,
        /// DuckDB's word, without values.
        reason: String,
    },
    /// A statement that [`crate::query()`] does not run.
    #[error("failed to run the query: {reason}")]
    QueryRefused {
        /// Why, and what is allowed.
        reason: String,
    },
    /// A handler payload, table or model that does not fit the lake.
    #[error("failed to accept the request: {reason}")]
    Request {
        /// What is wrong.
        reason: String,
    },
    /// Something this implementation does not read or write, refused instead of misread.
    #[error("failed to handle `{table}`: {reason}")]
    Unsupported {
        /// Iceberg table.
        table: String,
        /// What was found.
        reason: String,
    },
    /// Iceberg metadata, data files or the object store under them.
    #[error("failed to {action}")]
    Iceberg {
        /// What was attempted.
        action: String,
        /// Iceberg's word.
        #[source]
        source: Box<iceberg::Error>,
    },
    /// The catalog answered a commit with something else than yes or conflict.
    #[error("failed to commit to `{table}`: {reason}")]
    Commit {
        /// Iceberg table.
        table: String,
        /// Status or transport error.
        reason: String,
    },
    /// Another writer committed first.
    #[error("failed to commit to `{table}`: another commit came first")]
    CommitConflict {
        /// Iceberg table.
        table: String,
    },
    /// The control table.
    #[error("failed to {action}")]
    Control {
        /// What was attempted.
        action: String,
        /// The SDK's word.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A scratch file.
    #[error("failed to {action}")]
    Scratch {
        /// What was attempted.
        action: String,
        /// The system's word.
        #[source]
        source: std::io::Error,
    },
    /// Columns that do not fit together.
    #[error("failed to {action}")]
    Arrow {
        /// What was attempted.
        action: String,
        /// Arrow's word; may quote values, so it is not reported.
        #[source]
        source: arrow::error::ArrowError,
    },
    /// A file that is not the Parquet it should be.
    #[error("failed to {action}")]
    Parquet {
        /// What was attempted.
        action: String,
        /// Parquet's word; may quote values, so it is not reported.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A bronze file that breaks the layout.
    #[error("failed to read bronze file `{key}`: {reason}")]
    Bronze {
        /// Bronze key.
        key: String,
        /// What is wrong.
        reason: String,
    },
    /// A background task did not end in order.
    #[error("failed to finish a background task")]
    Task(#[source] tokio::task::JoinError),
}

impl WarehouseError {
    /// The message with its causes, as far as they cannot carry row values.
    pub fn report(&self) -> String {
        let mut report = self.to_string();
        if matches!(self, Self::Arrow { .. } | Self::Parquet { .. } | Self::Task(_)) {
            return report;
        }
        let mut cause = self.source();
        while let Some(error) = cause {
            report.push_str(": ");
            report.push_str(&error.to_string());
            cause = error.source();
        }
        report
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Engine { .. } => "Warehouse.Engine",
            Self::Sql { .. } => "Warehouse.Sql",
            Self::QueryRefused { .. } | Self::Request { .. } => "Warehouse.BadRequest",
            Self::Unsupported { .. } => "Warehouse.Unsupported",
            Self::Iceberg { .. } => "Warehouse.Storage",
            Self::Commit { .. } => "Warehouse.Commit",
            Self::CommitConflict { .. } => "Warehouse.CommitConflict",
            Self::Control { .. } => "Warehouse.Control",
            Self::Scratch { .. } => "Warehouse.Scratch",
            Self::Arrow { .. } | Self::Parquet { .. } | Self::Task(_) => "Warehouse.Data",
            Self::Bronze { .. } => "Warehouse.BadBronze",
        }
    }

    fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Iceberg { .. }
                | Self::Commit { .. }
                | Self::CommitConflict { .. }
                | Self::Control { .. }
                | Self::Scratch { .. }
                | Self::Task(_)
        )
    }
}

impl From<WarehouseError> for HandlerError {
    fn from(error: WarehouseError) -> Self {
        if error.may_pass() {
            Self::transient(error.name(), error.report())
        } else {
            Self::permanent(error.name(), error.report())
        }
    }
}

/// Says what was attempted when a library call fails.
pub(crate) trait Attempt<T> {
    /// `action` completes the sentence "failed to …".
    fn attempt(self, action: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Attempt<T> for Result<T, iceberg::Error> {
    fn attempt(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| WarehouseError::Iceberg { action: action(), source: Box::new(source) })
    }
}

impl<T> Attempt<T> for Result<T, arrow::error::ArrowError> {
    fn attempt(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| WarehouseError::Arrow { action: action(), source })
    }
}

impl<T> Attempt<T> for Result<T, parquet::errors::ParquetError> {
    fn attempt(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| WarehouseError::Parquet { action: action(), source })
    }
}

impl<T> Attempt<T> for Result<T, std::io::Error> {
    fn attempt(self, action: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| WarehouseError::Scratch { action: action(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_race_may_be_tried_again_and_bad_data_may_not() {
        let conflict: HandlerError = WarehouseError::CommitConflict { table: "silver.review".to_owned() }.into();
        assert!(conflict.retryable);
        assert_eq!(conflict.error, "Warehouse.CommitConflict");
        let source = arrow::error::ArrowError::CastError("cannot cast 'alice@example.org'".to_owned());
        let cast: HandlerError = WarehouseError::Arrow { action: "cast `email`".to_owned(), source }.into();
        assert!(!cast.retryable && !cast.cause.contains("alice"), "{}", cast.cause);
    }
}

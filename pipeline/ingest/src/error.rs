//! What can go wrong between the handlers and the stores. Names, keys and counts only.

use std::error::Error;

use lakebed_contract::HandlerError;
use parquet::errors::ParquetError;

use crate::engine::EngineError;

type Cause = Box<dyn Error + Send + Sync>;

/// Why a handler or the control table failed.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// DynamoDB refused or did not answer.
    #[error("failed to {action} in control table `{table}`")]
    Control {
        /// What was attempted, with the record's key where there is one.
        action: String,
        /// Table name.
        table: &'static str,
        /// The SDK's error.
        #[source]
        source: Cause,
    },
    /// An item that is no control record.
    #[error("failed to read control record `{pk}`: it has no known status")]
    BadRecord {
        /// Its key.
        pk: String,
    },
    /// No such record.
    #[error("failed to {action} control record `{pk}`: it does not exist")]
    NoRecord {
        /// What was attempted.
        action: &'static str,
        /// Its key.
        pk: String,
    },
    /// The record is not in a state from which this can be done.
    #[error("failed to {action} control record `{pk}`: it is {status}")]
    WrongStatus {
        /// What was attempted.
        action: &'static str,
        /// Its key.
        pk: String,
        /// Its status.
        status: &'static str,
    },
    /// Somebody else has claimed the record since: whatever this worker did does not count.
    #[error("failed to {action} control record `{pk}`: fence {fence} is no longer the current one")]
    LeaseLost {
        /// What was attempted.
        action: &'static str,
        /// Its key.
        pk: String,
        /// The fence this worker held.
        fence: i64,
    },
    /// Another worker holds the record.
    #[error("failed to claim control record `{pk}`: another worker holds it until {until}")]
    Held {
        /// Its key.
        pk: String,
        /// End of the lease.
        until: lakebed_contract::Timestamp,
    },
    /// S3 refused or did not answer.
    #[error("failed to {action} object `{key}`")]
    Store {
        /// What was attempted.
        action: &'static str,
        /// Bucket and key.
        key: String,
        /// The SDK's error.
        #[source]
        source: Cause,
    },
    /// A spool file could not be made or read.
    #[error("failed to spool the output of `{key}`")]
    Spool {
        /// Key of the raw object.
        key: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The engine failed for a reason that is neither the object's nor the store's.
    #[error("failed to ingest `{key}`")]
    Engine {
        /// Key of the raw object.
        key: String,
        /// Why.
        #[source]
        source: Box<EngineError>,
    },
    /// The engine's thread ended without an outcome: a panic, or the process is ending.
    #[error("failed to ingest `{key}`: the worker thread panicked or was stopped")]
    Panicked {
        /// Key of the raw object.
        key: String,
    },
    /// The payload is not what the handler takes.
    #[error("failed to read the payload of `{handler}`: {reason}")]
    Payload {
        /// Handler name.
        handler: &'static str,
        /// What is wrong with it, without its content.
        reason: String,
    },
}

impl IngestError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Control { .. } | Self::Store { .. } | Self::Spool { .. } => true,
            Self::Held { .. } | Self::LeaseLost { .. } => true,
            Self::Engine { source, .. } => match &**source {
                EngineError::Source(_) => true,
                // The spool could not be written: a full disk, not the object.
                EngineError::Parquet(ParquetError::External(cause)) => cause.is::<std::io::Error>(),
                _ => false,
            },
            Self::BadRecord { .. } | Self::NoRecord { .. } | Self::WrongStatus { .. } => false,
            Self::Panicked { .. } | Self::Payload { .. } => false,
        }
    }
}

impl From<IngestError> for HandlerError {
    /// Transient failures take the name that the state machines retry on.
    fn from(error: IngestError) -> Self {
        let cause = with_sources(&error);
        match &error {
            _ if error.is_transient() => Self::transient("Lambda.ServiceException", cause),
            IngestError::Payload { .. } => Self::permanent("Bronze.BadPayload", cause),
            _ => Self::permanent("Bronze.Failed", cause),
        }
    }
}

/// An error and what lies under it, in one line.
pub(crate) fn with_sources(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut under = error.source();
    while let Some(source) = under {
        // Their texts may quote a value.
        if source.is::<arrow::error::ArrowError>() || source.is::<parquet::errors::ParquetError>() {
            break;
        }
        let text = source.to_string();
        if !line.ends_with(&text) {
            line = format!("{line}: {text}");
        }
        under = source.source();
    }
    line
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_failure_of_the_disk_may_pass_and_one_of_the_writer_does_not() {
        let check = |error: ParquetError, expected: bool| {
            let error = IngestError::Engine { key: "k".to_owned(), source: Box::new(EngineError::Parquet(error)) };
            assert_eq!(error.is_transient(), expected, "{error:?}");
        };
        check(io::Error::from(io::ErrorKind::StorageFull).into(), true);
        check(ParquetError::External("another".into()), false);
        check(ParquetError::General("no such column".to_owned()), false);
    }
}

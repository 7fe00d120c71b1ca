//! Everything a DMS task can fail at. Names tables, slots and counts; never a row value, never a password.

use std::sync::Arc;

use super::pgoutput::PgoutputError;
use super::sink::SinkError;

/// Why a DMS task cannot begin or go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DmsError {
    /// The SQL connection could not be opened.
    #[error("failed to connect to postgres at `{host}:{port}`")]
    Connect {
        /// Host or socket directory.
        host: String,
        /// Port.
        port: u16,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A statement failed.
    #[error("failed to {action}")]
    Query {
        /// What it was for.
        action: String,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The replication connection failed.
    #[error("failed to {action}")]
    Replication {
        /// What it was for.
        action: String,
        /// Why.
        #[source]
        source: pgwire_replication::PgWireError,
    },
    /// The source is not fit for change capture.
    #[error("failed to accept the source for change capture: {reason}")]
    Preflight {
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// The replication slot cannot be used.
    #[error("failed to use replication slot `{slot}`: {reason}")]
    Slot {
        /// Slot.
        slot: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A message of the stream is not pgoutput.
    #[error("failed to read the replication stream at `{lsn}`")]
    Decode {
        /// Where in the log.
        lsn: lakebed_contract::Lsn,
        /// What and where in the message.
        #[source]
        source: PgoutputError,
    },
    /// The stream or a COPY breaks its own rules.
    #[error("failed to follow {what}: {reason}")]
    Protocol {
        /// The stream, or the COPY of a table.
        what: String,
        /// What came, and what was expected.
        reason: String,
    },
    /// A record that no shard can hold.
    #[error("failed to put a row of `{table}`: its record has {bytes} bytes, Kinesis takes {max}")]
    RecordTooLarge {
        /// Table.
        table: String,
        /// Bytes with the partition key.
        bytes: usize,
        /// Limit.
        max: usize,
    },
    /// The sink did not answer, or refused a whole call.
    #[error("failed to put records in {attempts} attempts")]
    Put {
        /// Attempts without progress.
        attempts: u32,
        /// The last answer.
        #[source]
        source: SinkError,
    },
    /// The sink kept refusing some records.
    #[error("failed to put {records} records in {attempts} attempts: `{code}`")]
    Refused {
        /// How many are left.
        records: usize,
        /// Attempts without progress.
        attempts: u32,
        /// Error code of the first.
        code: String,
    },
    /// Change capture ended with an error before it got there.
    #[error("failed to go on with change capture")]
    Ended(#[source] Arc<DmsError>),
    /// Change capture ended without an error before it got there.
    #[error("failed to wait for change capture: it was stopped")]
    Stopped,
}

impl DmsError {
    pub(super) fn query(action: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        let action = action.into();
        move |source| Self::Query { action, source }
    }

    pub(super) fn replication(action: impl Into<String>) -> impl FnOnce(pgwire_replication::PgWireError) -> Self {
        let action = action.into();
        move |source| Self::Replication { action, source }
    }

    pub(super) fn slot(slot: &str, reason: impl Into<String>) -> Self {
        Self::Slot { slot: slot.to_owned(), reason: reason.into() }
    }

    pub(super) fn stream(reason: impl Into<String>) -> Self {
        Self::Protocol { what: "the replication stream".to_owned(), reason: reason.into() }
    }
}

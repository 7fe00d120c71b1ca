//! Why the judge could not do its work. A lake that is wrong is a finding, not an error.
//!
//! Messages name tables, objects and operations; never values.

use std::error::Error;

/// The judge could not look.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// Postgres did not answer as it should.
    #[error("failed to read the source: {what}")]
    Source {
        /// What was asked.
        what: String,
        /// Why.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The Iceberg catalog or a table behind it did not answer.
    #[error("failed to read `{what}` through the Iceberg catalog")]
    Iceberg {
        /// Table or catalog.
        what: String,
        /// Why.
        #[source]
        source: Box<iceberg::Error>,
    },
    /// A store did not answer.
    #[error("failed to read `{what}`")]
    Store {
        /// Bucket, object or table.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The planted values cannot be searched for.
    #[error("failed to build the search for planted values")]
    Search(#[source] aho_corasick::BuildError),
    /// A worker thread of the judge died.
    #[error("failed to finish a worker thread of the judge")]
    Worker(#[from] tokio::task::JoinError),
}

impl JudgeError {
    pub(super) fn store(what: impl Into<String>, source: impl Error + Send + Sync + 'static) -> Self {
        Self::Store { what: what.into(), source: Box::new(source) }
    }

    pub(super) fn iceberg(what: impl Into<String>) -> impl FnOnce(iceberg::Error) -> Self {
        let what = what.into();
        move |source| Self::Iceberg { what, source: Box::new(source) }
    }

    pub(super) fn source(what: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        let what = what.into();
        move |source| Self::Source { what, source }
    }
}

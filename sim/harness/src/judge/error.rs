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
    /// Postgres refused SQL that the lake brings.
    #[error("failed to run `{file}` of the lake at the source: SQLSTATE {}", sqlstate(refused))]
    Sql {
        /// Path in the lake folder.
        file: String,
        /// Not a source: the server's words may quote a row, so they stay out of the chain.
        refused: tokio_postgres::Error,
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
    /// The same error where SQL in `file` was run: what the server refuses is the file's fault, anything else is not.
    pub(super) fn in_sql(self, file: &str) -> Self {
        match self {
            Self::Source { source, .. } if source.as_db_error().is_some() => {
                Self::Sql { file: file.to_owned(), refused: source }
            }
            other => other,
        }
    }

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

fn sqlstate(error: &tokio_postgres::Error) -> &str {
    error.code().map_or("unknown", |code| code.code())
}

/// What Postgres says about a statement, with the place it means. Only for statements that have not read a row.
pub(super) fn words(error: &tokio_postgres::Error) -> String {
    use tokio_postgres::error::ErrorPosition;
    match error.as_db_error() {
        Some(refused) => match refused.position() {
            Some(ErrorPosition::Original(at)) => format!("{} (at character {at})", refused.message()),
            _ => refused.message().to_owned(),
        },
        None => error.to_string(),
    }
}

//! What can go wrong at the source.
//!
//! Postgres likes to quote rows in its messages ("Key (email)=(…) already exists"), so its errors never pass through as
//! they are: [`DatabaseError`] keeps the SQLSTATE and the names of things, and the message only where its class cannot
//! carry a value.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A failure at the source. Carries names, paths and counts, never row values.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// No usable installation.
    #[error("failed to find Postgres {minimum} or newer; looked at {looked_at}")]
    PostgresNotFound {
        /// Lowest major version that will do.
        minimum: u32,
        /// Each place, with what was wrong with it.
        looked_at: String,
    },
    /// A file, directory or process could not be handled.
    #[error("failed to {what}")]
    Io {
        /// Verb and object, e.g. "create `/x`".
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A program ended badly.
    #[error("failed to run `{program}` ({status}): {tail}")]
    Program {
        /// Path of the program.
        program: PathBuf,
        /// Its exit status.
        status: String,
        /// The end of what it wrote to standard error.
        tail: String,
    },
    /// Somebody else listens there.
    #[error("failed to start Postgres: port {port} is taken on 127.0.0.1; choose another or leave it out")]
    PortTaken {
        /// The port.
        port: u16,
    },
    /// The unprivileged user cannot get to any place for the data.
    #[error("failed to place the Postgres data: user id {uid} can reach neither `{wanted}` nor `{fallback}`")]
    Unreachable {
        /// User the server would run as.
        uid: u32,
        /// The directory asked for.
        wanted: PathBuf,
        /// The system's directory for temporary files.
        fallback: PathBuf,
    },
    /// The data directory belongs to another major version.
    #[error("failed to reuse `{}`: it was made by Postgres {found}, the installation is {installed}", .dir.display())]
    DataVersion {
        /// The data directory.
        dir: PathBuf,
        /// `PG_VERSION` of the directory.
        found: String,
        /// Version of the installation.
        installed: String,
    },
    /// Another server holds the data directory.
    #[error("failed to start Postgres: process {pid} already serves `{}`", .dir.display())]
    AlreadyRunning {
        /// Its process id.
        pid: u32,
        /// The data directory.
        dir: PathBuf,
    },
    /// The server ended, or never answered.
    #[error("failed to start Postgres: {reason}; the end of its log:\n{tail}")]
    DidNotStart {
        /// Which of the two.
        reason: String,
        /// Last lines of the log; it is configured to hold no statements.
        tail: String,
    },
    /// The server did not end in time.
    #[error("failed to stop Postgres within {seconds} s")]
    DidNotStop {
        /// How long was waited.
        seconds: u64,
    },
    /// Postgres refused.
    #[error("failed to {what}")]
    Database {
        /// Verb and object.
        what: String,
        /// Why, without values.
        #[source]
        source: DatabaseError,
    },
    /// A lake whose rows cannot be generated.
    #[error("failed to generate data for lake `{lake}`: {reason}")]
    Lake {
        /// Name of the lake.
        lake: String,
        /// What does not fit.
        reason: String,
    },
    /// A scale that means nothing.
    #[error("failed to accept scale {scale}: it must be above 0 and at most {max}")]
    Scale {
        /// What was asked for.
        scale: f64,
        /// Highest scale.
        max: f64,
    },
    /// Loading would mix two sets of data.
    #[error("failed to load `{table}`: it already holds rows")]
    NotEmpty {
        /// The table.
        table: String,
    },
    /// The tables are not what the mutation believes; somebody else writes to them.
    #[error("failed to mutate: a transaction changed {actual} rows instead of {expected}")]
    Drift {
        /// Rows the script meant to change.
        expected: u64,
        /// Rows Postgres says were changed.
        actual: u64,
    },
    /// A snapshot name that Postgres cannot have exported.
    #[error("failed to export: `{snapshot}` is not the name of an exported snapshot")]
    Snapshot {
        /// The name.
        snapshot: String,
    },
    /// The object store refused.
    #[error("failed to {what}")]
    Store {
        /// Verb and object.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A mutation that cannot be drawn.
    #[error("failed to plan the changes at the source: {reason}")]
    Plan {
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// A worker thread ended early; the reason is reported elsewhere.
    #[error("failed to {what}: its other half ended early")]
    Interrupted {
        /// Verb and object.
        what: String,
    },
}

impl SourceError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    pub(crate) fn database(what: impl Into<String>) -> impl FnOnce(tokio_postgres::Error) -> Self {
        let what = what.into();
        move |source| Self::Database { what, source: DatabaseError::from(source) }
    }

    pub(crate) fn store<E: Error + Send + Sync + 'static>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |source| Self::Store { what, source: Box::new(source) }
    }
}

/// A Postgres error with everything taken out that may hold a row value.
#[derive(Debug)]
pub struct DatabaseError {
    sqlstate: Option<String>,
    text: String,
}

impl DatabaseError {
    /// The five characters that name the condition; `None` when the connection itself failed.
    pub fn sqlstate(&self) -> Option<&str> {
        self.sqlstate.as_deref()
    }
}

/// SQLSTATE classes whose messages name servers, roles, limits and objects only.
const CLASSES_WITHOUT_VALUES: [&str; 8] = ["08", "25", "28", "3D", "53", "55", "57", "58"];

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            return Self { sqlstate: None, text: format!("{error}{cause}") };
        };
        let code = db.code().code();
        let mut text = format!("SQLSTATE {code}");
        if CLASSES_WITHOUT_VALUES.iter().any(|class| code.starts_with(class)) {
            text = format!("{text}: {}", db.message());
        }
        for (kind, name) in [("table", db.table()), ("column", db.column()), ("constraint", db.constraint())] {
            if let Some(name) = name {
                text = format!("{text}, {kind} `{name}`");
            }
        }
        Self { sqlstate: Some(code.to_owned()), text }
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for DatabaseError {}

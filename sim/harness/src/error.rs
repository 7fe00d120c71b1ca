//! What can go wrong in a run, whose fault it is, and what to do about it.

use std::path::PathBuf;

use crate::backend::docker::DockerError;
use crate::judge::JudgeError;

/// Whose fault an error is; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The scenario failed or the input is wrong: exit code 1.
    Input,
    /// The environment or lakebed itself: exit code 2.
    Environment,
}

/// An error of the harness.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// A folder or file that cannot be used.
    #[error("failed to {action} `{}`", path.display())]
    File {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// `--keep` or `--state-dir` names a folder that holds something else.
    #[error("failed to use `{}` as state directory: it is not empty and was not written by lakebed", path.display())]
    ForeignFolder {
        /// The folder.
        path: PathBuf,
    },
    /// A state directory is in use by another process.
    #[error("failed to open state directory `{}`: another lakebed process holds it", path.display())]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// A state directory whose content this run must not touch.
    #[error("failed to run in `{}`: {reason}", path.display())]
    Occupied {
        /// The folder.
        path: PathBuf,
        /// What lies there.
        reason: String,
    },
    /// A scenario file that cannot be read.
    #[error(transparent)]
    Scenario(#[from] crate::scenario::complaint::Complaint),
    /// A lake folder that contradicts itself.
    #[error(transparent)]
    Lake(#[from] lakebed_contract::lake::LakeError),
    /// Bad input of another kind, in words.
    #[error("{message}")]
    Input {
        /// What was attempted on what, and why it cannot be.
        message: String,
    },
    /// A service of the backend does not answer, or refuses.
    #[error("failed to use {service} at `{url}`")]
    Endpoint {
        /// Service, e.g. `S3`.
        service: &'static str,
        /// Where it should answer.
        url: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The Docker backend.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// External resources hold something already.
    #[error("failed to use the external stores: {}", found.join("; "))]
    NotVacant {
        /// What is in the way, in words.
        found: Vec<String>,
    },
    /// A stage failed.
    #[error("failed to {action}")]
    Stage {
        /// What was attempted, e.g. `load the source tables`.
        action: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something did not come to rest in its bound.
    #[error("failed to wait for {what}: still {state} after {waited_s} s")]
    Stuck {
        /// What was waited for.
        what: &'static str,
        /// Where it stands, in counts and names.
        state: String,
        /// How long, in seconds.
        waited_s: u64,
    },
}

impl HarnessError {
    /// Wraps a stage's error: `.map_err(HarnessError::stage("load the source tables"))`.
    pub fn stage<E>(action: &'static str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        move |source| Self::Stage { action, source: source.into() }
    }

    /// Wraps an error of a service: `.map_err(HarnessError::endpoint("S3", &url))`.
    pub fn endpoint<E>(service: &'static str, url: &str) -> impl FnOnce(E) -> Self
    where
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let url = url.to_owned();
        move |source| Self::Endpoint { service, url, source: source.into() }
    }

    /// Wraps an error of a user's query: their SQL is input, everything else is not their fault.
    pub fn query(error: lakebed_warehouse::WarehouseError) -> Self {
        use lakebed_warehouse::WarehouseError as Warehouse;
        match &error {
            Warehouse::QueryRefused { .. } => Self::Input { message: error.to_string() },
            Warehouse::Sql { .. } | Warehouse::Request { .. } => Self::Input { message: error.report() },
            _ => Self::Stage { action: "run the query", source: error.report().into() },
        }
    }

    /// Wraps what the warehouse says of the lake's contracts: one that silver cannot follow is input.
    pub fn contracts(error: lakebed_warehouse::WarehouseError) -> Self {
        match &error {
            lakebed_warehouse::WarehouseError::Unsupported { .. } => Self::Input { message: error.report() },
            _ => Self::Stage { action: "hold the contracts against silver", source: error.report().into() },
        }
    }

    /// Wraps a file error.
    pub fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Lake(_)
            | Self::Input { .. }
            | Self::ForeignFolder { .. }
            | Self::Occupied { .. }
            | Self::NotVacant { .. }
            | Self::Scenario(_) => Fault::Input,
            Self::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Fault::Input,
            Self::Stage { source, .. } if is_about_the_lake(source.as_ref()) => Fault::Input,
            Self::File { .. }
            | Self::Locked { .. }
            | Self::Stage { .. }
            | Self::Endpoint { .. }
            | Self::Docker(_)
            | Self::Stuck { .. } => Fault::Environment,
        }
    }

    /// What the user can do, where we know it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::ForeignFolder { .. } => Some("name a new or empty folder".to_owned()),
            Self::Occupied { .. } => Some("name a new or empty folder, or remove that one".to_owned()),
            Self::Scenario(_) => Some("scenarios/README.md tells every key".to_owned()),
            Self::Locked { .. } => Some("stop the other process, or use another folder".to_owned()),
            Self::Lake(_) => Some("`lakebed init DIR` writes a valid lake to compare with".to_owned()),
            Self::Endpoint { .. } => {
                Some("is it running, and do AWS_ENDPOINT_URL and the credentials fit it?".to_owned())
            }
            Self::Docker(error) => Some(error.hint().to_owned()),
            Self::NotVacant { .. } => Some(
                "lakebed writes only where nothing lies: empty or remove what is named, or point it elsewhere"
                    .to_owned(),
            ),
            Self::Stage { source, .. } => stage_hint(source.as_ref()),
            Self::Stuck { .. } => Some("`lakebed control list` shows where each object stands".to_owned()),
            _ => None,
        }
    }
}

/// Whether a stage refused what the user's lake asks of it.
fn is_about_the_lake(source: &(dyn std::error::Error + Send + Sync + 'static)) -> bool {
    matches!(source.downcast_ref(), Some(lakebed_source::SourceError::Lake { .. }))
        || matches!(source.downcast_ref(), Some(JudgeError::Sql { .. }))
}

/// Hints for errors of the stages, found by type so that no text is parsed.
fn stage_hint(source: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<String> {
    if let Some(lakebed_source::SourceError::PostgresNotFound { .. }) = source.downcast_ref() {
        return Some("run `make setup`, or set LAKEBED_PG_BIN to the folder that holds postgres and initdb".to_owned());
    }
    if let Some(JudgeError::Sql { .. }) = source.downcast_ref() {
        return Some("it is one SELECT in Postgres's dialect over the source tables".to_owned());
    }
    if is_about_the_lake(source) {
        return Some("README.md, \"Your own lake\", says what can be generated".to_owned());
    }
    if let Some(lakebed_flow::dms::DmsError::Slot { .. }) = source.downcast_ref() {
        return Some("the first copy was interrupted: remove the state directory and start again".to_owned());
    }
    if let Some(lakebed_cloud::CloudError::PortTaken { port }) = source.downcast_ref() {
        return Some(format!("another program listens on port {port}; choose another with --port, or 0 for any"));
    }
    None
}

//! What can go wrong in Firehose, notifications, the Pipe and the sweeper. Step Functions and DMS have their own.
//!
//! Messages name services, operations and resources, never record contents.

use std::error::Error;

/// A failure of a service that moves data.
#[derive(Debug, thiserror::Error)]
pub enum FlowError {
    /// A store did not answer, or answered with an error, in all allowed attempts.
    #[error("failed to call {service} {operation} on `{target}`")]
    Store {
        /// AWS service.
        service: &'static str,
        /// API action.
        operation: &'static str,
        /// Stream, table, bucket or key.
        target: String,
        /// The SDK's error.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A store answered without a part that the next step needs.
    #[error("failed to use the answer of {service} {operation} on `{target}`: {missing} is missing")]
    Incomplete {
        /// AWS service.
        service: &'static str,
        /// API action.
        operation: &'static str,
        /// Stream, table, bucket or key.
        target: String,
        /// The missing part.
        missing: &'static str,
    },
    /// A Firehose prefix cannot be evaluated.
    #[error("failed to accept prefix `{prefix}`: {reason}")]
    Prefix {
        /// The expression as configured.
        prefix: String,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// A delivery stream's configuration contradicts itself.
    #[error("failed to accept the configuration of `{name}`: {reason}")]
    Config {
        /// Resource name.
        name: String,
        /// What is wrong and what is allowed.
        reason: String,
    },
    /// A handler failed in all allowed attempts.
    #[error("failed to invoke `{function}`")]
    Handler {
        /// Function name.
        function: String,
        /// Its last error.
        #[source]
        source: lakebed_contract::HandlerError,
    },
    /// The task behind a handle has ended.
    #[error("failed to reach `{name}`: its task has ended")]
    Stopped {
        /// Resource name.
        name: String,
    },
}

impl FlowError {
    pub(crate) fn store(
        service: &'static str,
        operation: &'static str,
        target: &str,
        source: impl Error + Send + Sync + 'static,
    ) -> Self {
        Self::Store { service, operation, target: target.to_owned(), source: Box::new(source) }
    }
}

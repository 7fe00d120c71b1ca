//! The AWS services that move data, as clients of the stores: DMS, Firehose, S3 notifications, Pipes, Scheduler, Step
//! Functions, and the Lambda and ECS executors behind them.
//!
//! Promises: every service delivers at least once, waits only by [`lakebed_contract::Clock`], draws only from
//! [`lakebed_contract::Seed`], and has a named bound on each queue, loop, retry and buffer. What is not implemented is
//! refused with a reason.
//! Does not know: which backend answers, what a table is about, or any pipeline code; it calls named handlers out of a
//! [`lakebed_contract::HandlerRegistry`].

pub mod dms;
pub mod error;
pub mod firehose;
pub mod gauge;
pub mod lambda;
pub mod notifications;
pub mod pipe;
pub mod raw_poll;
pub mod scheduler;
pub mod step_functions;
pub mod sweeper;

mod backoff;
mod bounds;
mod raw_event;
mod s3_client;

pub use bounds::bounds;
pub use error::FlowError;
pub use firehose::{Firehose, FirehoseConfig, FirehoseHandle, FirehoseReport};
pub use gauge::Gauge;
pub use lambda::{Lambda, LambdaSettings};
pub use notifications::{NotificationHandle, disturb, start_notifications};
pub use pipe::{Pipe, PipeConfig, PipeHandle};
pub use raw_poll::{RawPollConfig, RawPollHandle, start_raw_polling};
pub use s3_client::s3_client;
pub use scheduler::{Scheduler, SchedulerConfig, SchedulerHandle};
pub use step_functions::{EcsConfig, ExecutionFailed, StepFunctions, StepFunctionsConfig, StepFunctionsError};
pub use sweeper::{SweepConfig, SweepReport, repeat_raw_events, sweep_raw};

//! The named bounds of this crate, for the run to print.

use std::collections::BTreeMap;

use crate::{firehose, lambda, notifications, pipe, raw_poll, step_functions};

/// Name and value of every bound on a queue, retry or buffer here (DMS tells its own).
pub fn bounds() -> BTreeMap<String, u64> {
    let bounds = [
        ("lambda.invocations_waiting_max", lambda::INVOCATIONS_WAITING_MAX as u64),
        ("step_functions.executions_running_max", step_functions::EXECUTIONS_RUNNING_MAX as u64),
        ("step_functions.executions_queued_max", step_functions::EXECUTIONS_QUEUED_MAX as u64),
        ("step_functions.executions_remembered_max", step_functions::EXECUTIONS_REMEMBERED_MAX as u64),
        ("step_functions.history_events_max", step_functions::HISTORY_EVENTS_MAX as u64),
        ("step_functions.map_concurrency_max", step_functions::MAP_CONCURRENCY_MAX as u64),
        ("step_functions.payload_bytes_max", step_functions::PAYLOAD_BYTES_MAX as u64),
        ("step_functions.ecs_tasks_max", step_functions::ECS_TASKS_MAX as u64),
        ("firehose.buffered_bytes_max", firehose::BUFFERED_BYTES_MAX),
        ("firehose.batch_records_max", firehose::BATCH_RECORDS_MAX as u64),
        ("firehose.batch_bytes_max", firehose::BATCH_BYTES_MAX as u64),
        ("firehose.transform_retries_max", u64::from(firehose::TRANSFORM_RETRIES_MAX)),
        ("firehose.put_attempts_max", u64::from(firehose::PUT_ATTEMPTS_MAX)),
        ("firehose.drain_attempts_max", u64::from(firehose::DRAIN_ATTEMPTS_MAX)),
        ("notifications.concurrent_max", notifications::NOTIFICATIONS_CONCURRENT_MAX as u64),
        ("notifications.disturbed_queue_max", notifications::DISTURBED_QUEUE_MAX as u64),
        ("notifications.attempts_max", u64::from(notifications::NOTIFICATION_ATTEMPTS_MAX)),
        ("raw_poll.documents_waiting_max", raw_poll::DOCUMENTS_WAITING_MAX as u64),
        ("raw_poll.objects_remembered_max", raw_poll::OBJECTS_REMEMBERED_MAX as u64),
        ("pipe.idle_attempts_max", u64::from(pipe::PIPE_IDLE_ATTEMPTS_MAX)),
    ];
    bounds.into_iter().map(|(name, bound)| (name.to_owned(), bound)).collect()
}

//! Table operations: JSON to dynoxide's request types, dynoxide's answers to JSON.
//!
//! Every operation served is listed once, dynoxide's and the few reads of [`control`]; anything else is refused by
//! name. Error messages for unreadable requests name fields, never values.

use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::answer::Failure;
use super::changes::ChangeLog;
use super::{amended, arns, control};
use crate::matrix::Service;
use crate::validation;

/// Markers dynoxide's request types put before a message they have worded as DynamoDB words it.
const SERIALIZATION_MARKERS: [&str; 2] = ["SERIALIZATION:", "SERIALIZATION_AS_READ:"];
const VALIDATION_MARKERS: [&str; 3] = ["VALIDATION_REQUEST:", "VALIDATION:", "VALIDATION_AS_READ:"];

/// What operations work on.
pub(super) struct Store<'a> {
    pub(super) tables: &'a Database,
    pub(super) changes: &'a ChangeLog,
}

/// Runs one operation and returns its answer's JSON. `host` is the endpoint the request was sent to.
pub(super) fn run(store: &Store<'_>, host: &str, operation: &str, body: &str) -> Result<String, Failure> {
    let Store { tables, changes } = *store;
    match operation {
        "CreateTable" => describing(body, changes, |request| tables.create_table(request)),
        "DeleteTable" => describing(body, changes, |request| tables.delete_table(request)),
        "DescribeTable" => describing(body, changes, |request| tables.describe_table(request)),
        "ListTables" => call(body, |request| tables.list_tables(request)),
        "UpdateTable" => describing(body, changes, |request| tables.update_table(request)),
        "PutItem" => call(body, |request| tables.put_item(request)),
        "GetItem" => call(body, |request| tables.get_item(request)),
        "DeleteItem" => call(body, |request| tables.delete_item(request)),
        "UpdateItem" => call(body, |request| tables.update_item(request)),
        "Query" => call(body, |request| tables.query(request)),
        "Scan" => call(body, |request| tables.scan(request)),
        "SearchVectors" => call(body, |request| tables.search_vectors(request)),
        "BatchGetItem" => call(body, |request| tables.batch_get_item(request)),
        "BatchWriteItem" => call(body, |request| tables.batch_write_item(request)),
        "TransactWriteItems" => call(body, |request| tables.transact_write_items(request)),
        "TransactGetItems" => call(body, |request| amended::transact_get_items(tables, request)),
        "UpdateTimeToLive" => call(body, |request| control::update_time_to_live(tables, request)),
        "DescribeTimeToLive" => call(body, |request| tables.describe_time_to_live(request)),
        "ExecuteStatement" => call(body, |request| tables.execute_statement(request)),
        "ExecuteTransaction" => call(body, |request| tables.execute_transaction(request)),
        "BatchExecuteStatement" => call(body, |request| tables.batch_execute_statement(request)),
        "TagResource" => call(body, |request| tables.tag_resource(request)),
        "UntagResource" => call(body, |request| tables.untag_resource(request)),
        "ListTagsOfResource" => call(body, |request| tables.list_tags_of_resource(request)),
        "DescribeLimits" => control::describe_limits(body),
        "DescribeEndpoints" => control::describe_endpoints(host, body),
        "DescribeContinuousBackups" => control::describe_continuous_backups(tables, body),
        other => Err(Failure::unknown_operation(other)),
    }
}

fn call<Request: DeserializeOwned, Answer: Serialize>(
    body: &str,
    operation: impl FnOnce(Request) -> Result<Answer, DynoxideError>,
) -> Result<String, Failure> {
    let request = read(body)?;
    let answer = operation(request)?;
    serde_json::to_string(&answer).map_err(|error| unwritable(&error))
}

/// [`call`] for an answer that describes a table, and so holds ARNs and what its stream shows.
fn describing<Request: DeserializeOwned, Answer: Serialize>(
    body: &str,
    changes: &ChangeLog,
    operation: impl FnOnce(Request) -> Result<Answer, DynoxideError>,
) -> Result<String, Failure> {
    let request = read(body)?;
    let answer = operation(request)?;
    let mut answer = serde_json::to_value(&answer).map_err(|error| unwritable(&error))?;
    arns::relabel(&mut answer);
    amended::show_view_type(&mut answer, changes)?;
    Ok(answer.to_string())
}

fn unwritable(error: &serde_json::Error) -> Failure {
    tracing::error!(%error, "failed to write an answer");
    Failure::internal("failed to write the answer")
}

/// Reads a request after it was judged by its service model.
pub(super) fn checked<Request: DeserializeOwned>(
    service: Service,
    operation: &str,
    body: &str,
) -> Result<Request, Failure> {
    // What is no JSON is refused by the reading below.
    if let Ok(request) = serde_json::from_str(body) {
        validation::check(service, operation, &request)?;
    }
    read(body)
}

/// Reads a request. serde's own messages quote values, so only field names and DynamoDB's own wording get through.
pub(super) fn read<Request: DeserializeOwned>(body: &str) -> Result<Request, Failure> {
    serde_json::from_str(body).map_err(|error| {
        let text = error.to_string();
        let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _position)| message);
        if let Some(worded) = SERIALIZATION_MARKERS.iter().find_map(|marker| message.strip_prefix(marker)) {
            return Failure::serialization(worded);
        }
        if let Some(worded) = VALIDATION_MARKERS.iter().find_map(|marker| message.strip_prefix(marker)) {
            return Failure::validation(worded);
        }
        if message.starts_with("missing field") || message.contains("Supplied AttributeValue") {
            return Failure::validation(message);
        }
        Failure::serialization("the request does not have the shape this operation takes")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Fsync;

    fn run_alone(operation: &str, body: &str) -> Result<String, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("tables.sqlite");
        let tables = Database::new(path.to_str().unwrap()).unwrap();
        let changes = ChangeLog::open(&path, Fsync::Never).unwrap();
        run(&Store { tables: &tables, changes: &changes }, "here", operation, body)
    }

    #[test]
    fn messages_about_unreadable_requests_hold_no_values() {
        let request = r#"{"TableName": {"secret": "hunter2"}, "Item": {}}"#;
        let failure = run_alone("PutItem", request).unwrap_err();
        assert!(!format!("{failure:?}").contains("hunter2"));
    }

    #[test]
    fn streams_operations_are_not_served_by_the_tables() {
        for operation in ["GetRecords", "ListStreams", "ListBackups"] {
            let failure = run_alone(operation, "{}").unwrap_err();
            assert!(format!("{failure:?}").contains("UnknownOperationException"), "{operation}");
        }
    }
}

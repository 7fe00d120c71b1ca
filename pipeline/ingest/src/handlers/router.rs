//! `dm-firehose-router`: tells Firehose the table of each record, as the partition key `table_name`.
//!
//! One answer per record: `Ok` with the record itself, ending in a newline so that objects can be read by line; `Dropped` for
//! control records and for DMS's own tables; `ProcessingFailed`, which Firehose puts under the error prefix, for what has no
//! table in this lake. Looks at `metadata` only: whether a row keeps its contract is the ingestor's question. What a control
//! record says that the contract does not is told in the log; where the record goes does not depend on it.

use std::sync::Arc;

use async_trait::async_trait;
use aws_lambda_events::firehose::{KinesisFirehoseEvent, KinesisFirehoseResponse, KinesisFirehoseResponseRecord};
use lakebed_contract::envelope::Operation;
use lakebed_contract::handler::FIREHOSE_ROUTER;
use lakebed_contract::{EventSink, Handler, HandlerError, Invocation, Lake, schema_changes};
use serde::Deserialize;
use serde_json::Value;

use super::schema_log::SchemaLog;
use crate::error::IngestError;

/// Name of the partition key in the stream's prefix.
const PARTITION_KEY: &str = "table_name";

pub(super) struct FirehoseRouter {
    pub(super) lake: Arc<Lake>,
    pub(super) events: EventSink,
    /// Schema changes that were told.
    pub(super) schema_log: Arc<SchemaLog>,
}

#[async_trait]
impl Handler for FirehoseRouter {
    async fn invoke(&self, _: &Invocation, payload: Value) -> Result<Value, HandlerError> {
        let unreadable = |reason: &str| IngestError::Payload { handler: FIREHOSE_ROUTER, reason: reason.to_owned() };
        let event: KinesisFirehoseEvent =
            serde_json::from_value(payload).map_err(|_| unreadable("expected a Firehose transformation request"))?;
        let mut response = KinesisFirehoseResponse::default();
        for record in event.records {
            let mut data = record.data;
            let mut answer = KinesisFirehoseResponseRecord::default();
            answer.record_id = record.record_id;
            let result = match route(&self.lake, &data.0) {
                Route::Table(table) => {
                    answer.metadata.partition_keys.insert(PARTITION_KEY.to_owned(), table);
                    if data.0.last() != Some(&b'\n') {
                        data.0.push(b'\n');
                    }
                    "Ok"
                }
                Route::Drop => {
                    self.tell_schema_changes(&data.0);
                    "Dropped"
                }
                Route::Fail => "ProcessingFailed",
            };
            answer.result = Some(result.to_owned());
            answer.data = data;
            response.records.push(answer);
        }
        let response = serde_json::to_value(response).map_err(|_| unreadable("the answer does not serialise"))?;
        Ok(response)
    }
}

impl FirehoseRouter {
    /// Tells what a dropped record says of a table of this lake, if it is a control record.
    fn tell_schema_changes(&self, data: &[u8]) {
        let Ok(ControlRecord { control, metadata }) = serde_json::from_slice(data) else { return };
        let Ok(operation) = serde_json::from_value::<Operation>(metadata.operation.into()) else { return };
        let table = self.lake.table(&metadata.table_name).filter(|table| table.schema == metadata.schema_name);
        if let Some(table) = table {
            let changes = schema_changes(table, operation, control.as_ref());
            let changes = changes.iter().map(ToString::to_string);
            self.schema_log.tell(&self.events, &table.name, changes, "the stream");
        }
    }
}

enum Route {
    Table(String),
    Drop,
    Fail,
}

#[derive(Deserialize)]
struct Record {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct ControlRecord {
    #[serde(default)]
    control: Option<Value>,
    metadata: Metadata,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Metadata {
    record_type: String,
    operation: String,
    schema_name: String,
    table_name: String,
}

fn route(lake: &Lake, data: &[u8]) -> Route {
    let Ok(Record { metadata }) = serde_json::from_slice(data) else { return Route::Fail };
    let is_control = metadata.record_type == "control"
        || serde_json::from_value::<Operation>(metadata.operation.into()).is_ok_and(|operation| !operation.is_data());
    if is_control || metadata.schema_name.is_empty() || metadata.table_name.starts_with("awsdms_") {
        return Route::Drop;
    }
    match lake.table(&metadata.table_name) {
        Some(table) if table.schema == metadata.schema_name => Route::Table(metadata.table_name),
        _ => Route::Fail,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use serde_json::json;

    use super::super::testing::LogLines;
    use super::*;

    fn router(events: EventSink) -> FirehoseRouter {
        FirehoseRouter { lake: Arc::new(Lake::beer()), events, schema_log: Arc::default() }
    }

    async fn answer(data: &str) -> Value {
        ask(&router(EventSink::default()), data).await
    }

    async fn ask(router: &FirehoseRouter, data: &str) -> Value {
        let invocation = Invocation { request_id: "r".to_owned(), memory_mib: 128 };
        let request = json!({
            "invocationId": "i", "deliveryStreamArn": "arn", "sourceKinesisStreamArn": "arn", "region": "us-east-1",
            "records": [{
                "recordId": "49", "approximateArrivalTimestamp": 1_707_628_780_995_i64, "data": BASE64_STANDARD.encode(data),
                "kinesisRecordMetadata": {"sequenceNumber": "49", "subsequenceNumber": 0, "partitionKey": "p",
                    "shardId": "shardId-000000000000", "approximateArrivalTimestamp": 1_707_628_780_995_i64},
            }],
        });
        let mut response = router.invoke(&invocation, request).await.expect("answers");
        assert_eq!(response["records"].as_array().map(Vec::len), Some(1));
        assert_eq!(response["records"][0]["recordId"], "49");
        response["records"][0].take()
    }

    fn record(record_type: &str, operation: &str, schema: &str, table: &str) -> String {
        json!({"metadata": {"timestamp": "x", "record-type": record_type, "operation": operation,
            "partition-key-type": "schema-table", "schema-name": schema, "table-name": table}})
        .to_string()
    }

    #[tokio::test]
    async fn each_record_is_routed_by_its_metadata() {
        for (data, result, table) in [
            (record("data", "insert", "dm_core", "review"), "Ok", Some("review")),
            (record("data", "no-such-operation", "dm_core", "beer"), "Ok", Some("beer")),
            (record("control", "create-table", "dm_core", "review"), "Dropped", None),
            (record("data", "drop-table", "dm_core", "review"), "Dropped", None),
            (record("data", "insert", "", "awsdms_status"), "Dropped", None),
            (record("data", "insert", "dm_core", "awsdms_apply_exceptions"), "Dropped", None),
            (record("data", "insert", "dm_core", "wine"), "ProcessingFailed", None),
            (record("data", "insert", "other", "review"), "ProcessingFailed", None),
            ("{\"metadata\":{}}".to_owned(), "ProcessingFailed", None),
            ("not JSON".to_owned(), "ProcessingFailed", None),
        ] {
            let answer = answer(&data).await;
            assert_eq!(answer["result"], result, "{data}");
            assert_eq!(answer["metadata"]["partitionKeys"]["table_name"].as_str(), table, "{data}");
        }
    }

    #[tokio::test]
    async fn a_routed_record_ends_in_one_newline() {
        let data = record("data", "load", "dm_core", "beer");
        for sent in [data.clone(), format!("{data}\n")] {
            let answer = answer(&sent).await;
            let returned = BASE64_STANDARD.decode(answer["data"].as_str().expect("text")).expect("base64");
            assert_eq!(returned, format!("{data}\n").into_bytes());
        }
    }

    #[tokio::test]
    async fn what_a_control_record_says_is_told_once_and_the_record_dropped() {
        let lines = LogLines::default();
        let router = router(lines.sink());
        let control = record("control", "add-column", "dm_core", "brewery");
        let mut control: Value = serde_json::from_str(&control).expect("JSON");
        let text = |nullable: bool| json!({"type": "STRING", "nullable": nullable});
        control["control"] = json!({"table-def": {"primary-key": ["brewery_id"], "columns": {
            "brewery_id": {"type": "INT64", "nullable": false}, "brewery_name": text(false), "city": text(true),
            "state": text(true), "ibu": {"type": "INT32", "nullable": true}}}});
        for _ in 0..2 {
            assert_eq!(ask(&router, &control.to_string()).await["result"], "Dropped");
        }
        // Of a table of another lake nothing is known.
        assert_eq!(ask(&router, &record("control", "add-column", "dm_core", "wine")).await["result"], "Dropped");
        let told = lines.told();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].starts_with("schema of `brewery`: column `ibu` (INT32) is new"), "{told:?}");
    }

    #[tokio::test]
    async fn a_payload_that_is_no_request_is_refused_without_its_content() {
        let router = router(EventSink::default());
        let invocation = Invocation { request_id: "r".to_owned(), memory_mib: 128 };
        let refused = router.invoke(&invocation, json!({"records": "ana@x.com"})).await.expect_err("refused");
        assert!(!refused.retryable && !refused.to_string().contains("ana@x.com"));
    }
}

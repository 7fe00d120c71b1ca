//! The transform contract: batches of records out to the function, one answer per `recordId` back.
//!
//! Promises: a batch holds at most [`BATCH_RECORDS_MAX`] records and [`BATCH_BYTES_MAX`] bytes of base64 (a larger record
//! goes alone); every record of a batch gets exactly one [`Transformed`], whatever the function answers. Pure.

use std::collections::{BTreeMap, HashMap};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lakebed_contract::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

/// Records of one invocation.
pub const BATCH_RECORDS_MAX: usize = 500;
/// Base64 bytes of one invocation: AWS's 3 MB.
pub const BATCH_BYTES_MAX: usize = 3_000_000;

/// A record as it came from Kinesis.
#[derive(Clone, Debug)]
pub(crate) struct SourceRecord {
    pub(crate) shard_id: String,
    pub(crate) sequence_number: String,
    pub(crate) partition_key: String,
    pub(crate) arrival: Timestamp,
    pub(crate) data: Vec<u8>,
}

impl SourceRecord {
    /// Firehose's record id: the sequence number and a subsequence number, which is 0 without KPL aggregation.
    fn record_id(&self) -> String {
        format!("{}000000", self.sequence_number)
    }

    fn encoded_length(&self) -> usize {
        self.data.len().div_ceil(3) * 4
    }
}

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Transformed {
    Ok { data: Vec<u8>, partition_keys: BTreeMap<String, String> },
    Dropped { partition_keys: BTreeMap<String, String> },
    Failed { code: &'static str, message: String, partition_keys: BTreeMap<String, String> },
}

/// Cuts records into batches, in order.
pub(crate) fn batches(records: Vec<SourceRecord>) -> Vec<Vec<SourceRecord>> {
    let mut batches: Vec<Vec<SourceRecord>> = Vec::new();
    let mut bytes = 0;
    for record in records {
        let length = record.encoded_length();
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH_RECORDS_MAX && bytes + length <= BATCH_BYTES_MAX => {
                bytes += length;
                batch.push(record);
            }
            _ => {
                bytes = length;
                batches.push(vec![record]);
            }
        }
    }
    batches
}

/// Where a batch comes from, for the request's header.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) delivery_stream: String,
    pub(crate) kinesis_stream: String,
    pub(crate) region: String,
}

/// The function's event. Built by hand because the typed event writes its timestamps as strings, which the service does not.
pub(crate) fn request(origin: &Origin, invocation_id: &str, records: &[SourceRecord]) -> Value {
    let arn = |service: &str, kind: &str, name: &str| {
        format!("arn:aws:{service}:{}:000000000000:{kind}/{name}", origin.region)
    };
    json!({
        "invocationId": invocation_id,
        "deliveryStreamArn": arn("firehose", "deliverystream", &origin.delivery_stream),
        "sourceKinesisStreamArn": arn("kinesis", "stream", &origin.kinesis_stream),
        "region": origin.region,
        "records": records.iter().map(request_record).collect::<Vec<_>>(),
    })
}

fn request_record(record: &SourceRecord) -> Value {
    json!({
        "recordId": record.record_id(),
        "approximateArrivalTimestamp": record.arrival.millis(),
        "data": STANDARD.encode(&record.data),
        "kinesisRecordMetadata": {
            "sequenceNumber": record.sequence_number,
            "subsequenceNumber": 0,
            "partitionKey": record.partition_key,
            "shardId": record.shard_id,
            "approximateArrivalTimestamp": record.arrival.millis(),
        },
    })
}

/// The answer, read leniently: what is missing fails its record, not the batch.
#[derive(Deserialize)]
struct Response {
    records: Vec<ResponseRecord>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseRecord {
    #[serde(default)]
    record_id: Option<String>,
    #[serde(default)]
    result: Option<String>,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    metadata: Option<ResponseMetadata>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ResponseMetadata {
    #[serde(default)]
    partition_keys: Option<BTreeMap<String, Option<String>>>,
}

/// One outcome per record of the batch, in its order.
pub(crate) fn read_response(records: &[SourceRecord], response: Value) -> Vec<Transformed> {
    let Ok(response) = serde_json::from_value::<Response>(response) else {
        return fail_all(
            records,
            "Lambda.JsonProcessingException",
            "the function's answer has not the documented shape",
        );
    };
    let mut answers: HashMap<String, Vec<ResponseRecord>> = HashMap::new();
    for answer in response.records {
        answers.entry(answer.record_id.clone().unwrap_or_default()).or_default().push(answer);
    }
    let outcome = |record: &SourceRecord| {
        let mut of_record = answers.remove(&record.record_id()).unwrap_or_default();
        match (of_record.pop(), of_record.is_empty()) {
            (None, _) => failed("Lambda.MissingRecordId", "the function's answer lacks this recordId", BTreeMap::new()),
            (Some(_), false) => {
                failed("Lambda.DuplicatedRecordId", "the function's answer holds this recordId twice", BTreeMap::new())
            }
            (Some(answer), true) => read_answer(answer),
        }
    };
    records.iter().map(outcome).collect()
}

/// The same failure for a whole batch.
pub(crate) fn fail_all(records: &[SourceRecord], code: &'static str, message: &str) -> Vec<Transformed> {
    records.iter().map(|_| failed(code, message, BTreeMap::new())).collect()
}

fn failed(code: &'static str, message: &str, partition_keys: BTreeMap<String, String>) -> Transformed {
    Transformed::Failed { code, message: message.to_owned(), partition_keys }
}

fn read_answer(answer: ResponseRecord) -> Transformed {
    let keys = answer.metadata.unwrap_or_default().partition_keys.unwrap_or_default();
    let partition_keys: BTreeMap<String, String> =
        keys.into_iter().filter_map(|(name, value)| value.map(|value| (name, value))).collect();
    match answer.result.as_deref() {
        Some("Dropped") => Transformed::Dropped { partition_keys },
        Some("Ok") => match STANDARD.decode(answer.data.unwrap_or_default()) {
            Ok(data) => Transformed::Ok { data, partition_keys },
            Err(_) => failed("Lambda.JsonProcessingException", "`data` is not base64", partition_keys),
        },
        Some("ProcessingFailed") => {
            failed("Lambda.ProcessingFailedStatus", "ProcessingFailed status set for record", partition_keys)
        }
        _ => {
            failed("Lambda.JsonProcessingException", "`result` is not Ok, Dropped or ProcessingFailed", partition_keys)
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use aws_lambda_events::event::firehose::KinesisFirehoseEvent;

    pub(crate) fn record(sequence_number: &str, data: &[u8]) -> SourceRecord {
        SourceRecord {
            shard_id: "shardId-000000000000".to_owned(),
            sequence_number: sequence_number.to_owned(),
            partition_key: "dm_core.review".to_owned(),
            arrival: Timestamp(1_707_628_780_995_000),
            data: data.to_vec(),
        }
    }

    #[test]
    fn batches_keep_order_and_bounds() {
        let small: Vec<_> = (0..1_201).map(|n| record(&n.to_string(), b"x")).collect();
        let sizes: Vec<_> = batches(small).iter().map(Vec::len).collect();
        assert_eq!(sizes, [500, 500, 201]);
        let large: Vec<_> = (0..4).map(|n| record(&n.to_string(), &vec![0; 1_000_000])).collect();
        let cut = batches(large);
        assert_eq!(cut.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(cut[1][0].sequence_number, "2");
        assert_eq!(batches(vec![record("0", &vec![0; 4_000_000])]).len(), 1);
        assert!(batches(Vec::new()).is_empty());
    }

    #[test]
    fn the_request_has_the_documented_shape() {
        let origin = Origin { delivery_stream: "f".into(), kinesis_stream: "k".into(), region: "us-east-1".into() };
        let event = request(&origin, "i", &[record("49", b"hi")]);
        assert_eq!(
            event,
            json!({"invocationId": "i", "deliveryStreamArn": "arn:aws:firehose:us-east-1:000000000000:deliverystream/f",
                "sourceKinesisStreamArn": "arn:aws:kinesis:us-east-1:000000000000:stream/k", "region": "us-east-1",
                "records": [{"recordId": "49000000", "approximateArrivalTimestamp": 1_707_628_780_995_i64, "data": "aGk=",
                    "kinesisRecordMetadata": {"sequenceNumber": "49", "subsequenceNumber": 0,
                        "partitionKey": "dm_core.review", "shardId": "shardId-000000000000",
                        "approximateArrivalTimestamp": 1_707_628_780_995_i64}}]})
        );
        let typed: KinesisFirehoseEvent = serde_json::from_value(event).expect("the typed event");
        assert_eq!(typed.records[0].data.as_slice(), b"hi");
    }

    #[test]
    fn every_record_gets_one_outcome() {
        let names = ["ok", "dropped", "failed", "missing", "twice", "bad-data", "bad-result", "null-key"];
        let records: Vec<_> = names.iter().map(|name| record(name, b"")).collect();
        let answer = |name: &str, rest: Value| {
            let mut answer = rest;
            answer["recordId"] = json!(format!("{name}000000"));
            answer
        };
        let keys = json!({"partitionKeys": {"table_name": "beer"}});
        let response = json!({"records": [
            answer("twice", json!({"result": "Ok", "data": ""})),
            answer("ok", json!({"result": "Ok", "data": "aGk=", "metadata": keys})),
            answer("dropped", json!({"result": "Dropped"})),
            answer("failed", json!({"result": "ProcessingFailed", "metadata": {"partitionKeys": null}})),
            answer("twice", json!({"result": "Ok", "data": ""})),
            answer("bad-data", json!({"result": "Ok", "data": "%"})),
            answer("bad-result", json!({"result": "Fine"})),
            answer("null-key", json!({"result": "Ok", "data": "", "metadata": {"partitionKeys": {"table_name": null}}})),
            answer("unknown", json!({"result": "Ok", "data": ""})),
        ]});
        let codes: Vec<&str> = read_response(&records, response)
            .iter()
            .map(|outcome| match outcome {
                Transformed::Ok { partition_keys, .. } if partition_keys.is_empty() => "ok without key",
                Transformed::Ok { data, .. } => {
                    std::str::from_utf8(data).map_or("?", |text| if text == "hi" { "ok" } else { "?" })
                }
                Transformed::Dropped { .. } => "dropped",
                Transformed::Failed { code, .. } => code,
            })
            .collect();
        assert_eq!(
            codes,
            [
                "ok",
                "dropped",
                "Lambda.ProcessingFailedStatus",
                "Lambda.MissingRecordId",
                "Lambda.DuplicatedRecordId",
                "Lambda.JsonProcessingException",
                "Lambda.JsonProcessingException",
                "ok without key"
            ]
        );
        let broken = read_response(&records, json!("nonsense"));
        assert!(broken.len() == 8 && broken.iter().all(|outcome| matches!(outcome, Transformed::Failed { .. })));
    }
}

//! Where records go: Kinesis `PutRecords` behind a small trait, and an in-memory stand-in for tests.
//!
//! A sink answers for each record of a batch; it neither retries nor orders. It never sees more than one batch at a time.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;
use bytes::Bytes;
use lakebed_contract::Endpoints;

/// A record for the stream.
#[derive(Clone, PartialEq, Eq)]
pub struct SinkRecord {
    /// Decides the shard.
    pub partition_key: String,
    /// The envelope.
    pub data: Bytes,
    /// Table whose row this is, for counting; `None` for a control record. Not sent.
    pub row_of: Option<Arc<str>>,
}

impl fmt::Debug for SinkRecord {
    /// The data stays hidden: it is a row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SinkRecord({}, {} bytes)", self.partition_key, self.data.len())
    }
}

/// The word on one record: accepted, or an AWS error code.
pub type RecordResult = Result<(), String>;

/// A call that failed as a whole.
#[derive(Debug, thiserror::Error)]
#[error("failed to call PutRecords")]
pub struct SinkError {
    /// Whether the same call may succeed later.
    pub retryable: bool,
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Takes batches of at most [`super::BATCH_RECORDS_MAX`] records and [`super::BATCH_BYTES_MAX`] bytes.
#[async_trait]
pub trait RecordSink: Send + Sync {
    /// Puts a batch; answers one result per record, in order.
    async fn put_records(&self, records: &[SinkRecord]) -> Result<Vec<RecordResult>, SinkError>;
}

/// A Kinesis data stream.
pub struct KinesisSink {
    client: Client,
    stream: String,
}

impl KinesisSink {
    /// A client for `stream`; opens no connection yet.
    pub fn new(endpoints: &Endpoints, stream: &str) -> Self {
        let config = endpoints.sdk_config(&endpoints.kinesis_url);
        Self { client: Client::new(&config), stream: stream.to_owned() }
    }
}

#[async_trait]
impl RecordSink for KinesisSink {
    async fn put_records(&self, records: &[SinkRecord]) -> Result<Vec<RecordResult>, SinkError> {
        let entries = records
            .iter()
            .map(|record| {
                PutRecordsRequestEntry::builder()
                    .data(Blob::new(record.data.to_vec()))
                    .partition_key(&record.partition_key)
                    .build()
                    .expect("data and partition key are set")
            })
            .collect();
        let answer = self
            .client
            .put_records()
            .stream_name(&self.stream)
            .set_records(Some(entries))
            .send()
            .await
            .map_err(|error| SinkError { retryable: is_retryable(&error), source: Box::new(error) })?;
        Ok(answer
            .records()
            .iter()
            .map(|entry| entry.error_code().map_or(Ok(()), |code| Err(code.to_owned())))
            .collect())
    }
}

/// Wrong requests stay wrong; throttling, server faults and broken connections pass.
fn is_retryable<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let SdkError::ServiceError(context) = error else {
        return !matches!(error, SdkError::ConstructionFailure(_));
    };
    let throttled = context.err().code().is_some_and(|code| {
        code.contains("Throttling") || code.contains("ProvisionedThroughput") || code.contains("LimitExceeded")
    });
    throttled || context.raw().status().as_u16() >= 500
}

/// Keeps records in memory, for tests.
#[derive(Default)]
pub struct MemorySink {
    records: Mutex<Vec<SinkRecord>>,
}

impl MemorySink {
    /// Everything put so far, in order.
    pub fn records(&self) -> Vec<SinkRecord> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl RecordSink for MemorySink {
    async fn put_records(&self, records: &[SinkRecord]) -> Result<Vec<RecordResult>, SinkError> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(records);
        Ok(vec![Ok(()); records.len()])
    }
}

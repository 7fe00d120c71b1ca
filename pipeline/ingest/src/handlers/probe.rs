//! `dm-row-probe`: counts the records of a raw object, so that the dispatcher can choose between Lambda and ECS.
//!
//! Streams the object and stops at one more than the Choice's limit: the size of a gzip object says nothing of its rows. It stops
//! at [`PROBE_BYTES_MAX`](crate::engine::PROBE_BYTES_MAX) plain bytes, too, and then answers that limit: such an object is for
//! the large route, however few its rows. An object that cannot be read counts as far as it goes, and so takes the small route,
//! where the ingestor says what is wrong.

use std::sync::Arc;

use async_trait::async_trait;
use lakebed_contract::handler::ROW_PROBE;
use lakebed_contract::{Handler, HandlerError, Invocation};
use serde_json::{Value, json};

use crate::engine::{Compression, count_records};
use crate::error::IngestError;
use crate::stream::body_channel;
use crate::worker::{ObjectInput, Worker};

/// Records the Lambda route takes.
pub(crate) const LITE_RECORDS_MAX: u64 = 100_000;
/// Where counting stops.
const PROBE_RECORDS_MAX: u64 = LITE_RECORDS_MAX + 1;

pub(super) struct RowProbe {
    pub(super) worker: Arc<Worker>,
}

#[async_trait]
impl Handler for RowProbe {
    async fn invoke(&self, _: &Invocation, payload: Value) -> Result<Value, HandlerError> {
        let input = ObjectInput::read(ROW_PROBE, payload)?;
        let rows = self.count(&input).await?;
        Ok(json!({"rows": rows, "capped": rows == PROBE_RECORDS_MAX}))
    }
}

impl RowProbe {
    async fn count(&self, input: &ObjectInput) -> Result<u64, IngestError> {
        let Ok(table) = self.worker.table(&input.table) else { return Ok(0) };
        let Ok(object) = self.worker.open(input).await? else { return Ok(0) };
        let Ok(format) = object.format(&input.key, table) else { return Ok(0) };
        let compression = Compression::of_key(&input.key);
        let (sender, reader) = body_channel();
        let counting =
            tokio::task::spawn_blocking(move || count_records(reader, compression, &format, PROBE_RECORDS_MAX));
        sender.send_all(object.body, object.length).await;
        let counted = counting.await.map_err(|_| IngestError::Panicked { key: input.key.clone() })?;
        counted.map_err(|source| IngestError::Engine { key: input.key.clone(), source: Box::new(source) })
    }
}

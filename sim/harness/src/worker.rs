//! The ECS task: one handler, one input, in a process of its own that can be measured and killed.
//!
//! The order comes on standard input because it holds credentials and the mask key, which must not stand in an argument
//! list, an environment or a file. Events are lines of JSON on standard output; the last line is the answer.

use std::path::PathBuf;
use std::sync::Arc;

use lakebed_contract::endpoints::EndpointsWire;
use lakebed_contract::{Clock, Endpoints, EventSink, HandlerError, Invocation, Lake, Seed};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::kill;
use crate::lake_folder::LakeFiles;
use crate::sampler::{Sampler, peak_rss_bytes, tell_resources};
use crate::wiring::{MaskSecret, PipelineParts, pipeline_registry};

/// Memory an ECS task is granted, MiB; sizes its buffers.
const TASK_MEMORY_MIB: u32 = 512;

/// Everything a worker needs. Has no `Debug`: it holds secrets.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkerOrder {
    /// Handler to run: the task definition's name.
    pub handler: String,
    /// Its input.
    pub input: Value,
    /// Where the stores are.
    pub endpoints: EndpointsWire,
    /// The lake by its files.
    pub lake: LakeFiles,
    /// Mask key, hexadecimal.
    pub mask_key_hex: String,
    /// Its version.
    pub mask_key_version: u32,
    /// Seed of the run.
    pub seed: u64,
    /// Folder for spools.
    pub scratch: PathBuf,
    /// A fault: the worker kills itself when it has written its first batch of Parquet.
    #[serde(default)]
    pub dies_writing_parquet: bool,
}

/// Runs one order and returns the handler's answer with this process's peak memory added. Progress goes to `events`.
pub async fn run(order: &[u8], events: &EventSink) -> Result<Value, HandlerError> {
    let order: WorkerOrder = serde_json::from_slice(order)
        // The error is not passed on: it could quote the order, which holds secrets.
        .map_err(|_| HandlerError::permanent("Worker.BadOrder", "standard input is not a worker order"))?;
    let lake = Lake::from_files(&order.lake).map_err(|error| HandlerError::permanent("Worker.BadLake", error))?;
    let mask = MaskSecret::from_hex(order.mask_key_version, &order.mask_key_hex)
        .ok_or_else(|| HandlerError::permanent("Worker.BadOrder", "the mask key is not 64 hexadecimal digits"))?;
    let registry = pipeline_registry(&PipelineParts {
        lake: Arc::new(lake),
        endpoints: Endpoints::from(order.endpoints),
        mask,
        clock: Clock::wall(),
        seed: Seed(order.seed),
        events: if order.dies_writing_parquet { kill::at_first_bronze_batch() } else { events.clone() },
        scratch: order.scratch,
    });
    let handler = registry
        .get(&order.handler)
        .ok_or_else(|| HandlerError::permanent("Worker.UnknownTask", format!("no handler `{}`", order.handler)))?;
    let sampler = Sampler::start(&order.handler, Vec::new(), Clock::wall(), events.clone());
    let invocation = Invocation { request_id: format!("ecs-{}", std::process::id()), memory_mib: TASK_MEMORY_MIB };
    let answer = handler.invoke(&invocation, order.input).await;
    drop(sampler);
    tell_resources(&order.handler, true, events);
    let mut answer = answer?;
    if let (Value::Object(members), Some(peak)) = (&mut answer, peak_rss_bytes()) {
        members.insert("peak_rss_bytes".to_owned(), peak.into());
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_broken_order_is_refused_without_quoting_it() {
        let error = run(br#"{"mask_key_hex":"c0ffee","unknown":1}"#, &EventSink::default()).await.expect_err("refused");
        assert_eq!(error.error, "Worker.BadOrder");
        assert!(!error.cause.contains("c0ffee"));
    }
}

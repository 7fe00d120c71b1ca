//! `lakebed worker`: the ECS task. Order on stdin; on stdout events as lines of JSON and last the answer; the error as JSON on
//! stderr.

use std::io::Read;

use lakebed_contract::{Clock, EventSink};
use lakebed_harness::event_log::EventWriter;

use crate::exit::End;
use crate::printer;

/// Largest order a worker reads: a lake's files and one task input are far smaller.
const ORDER_BYTES_MAX: u64 = 64 * 1024 * 1024;

pub(super) fn run() -> anyhow::Result<End> {
    let mut order = Vec::new();
    std::io::stdin().lock().take(ORDER_BYTES_MAX).read_to_end(&mut order)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let events = EventWriter::start(std::io::stdout(), &Clock::wall())?;
    let answer = runtime.block_on(lakebed_harness::worker::run(&order, &events.sink(EventSink::default())));
    // The answer is the last line.
    events.close();
    match answer {
        Ok(answer) => {
            printer::data(&format!("{answer}\n"))?;
            Ok(End::Done)
        }
        Err(error) => {
            let line = serde_json::json!({ "error": error.error, "cause": error.cause, "retryable": error.retryable });
            printer::line(&line.to_string());
            Ok(End::Failed)
        }
    }
}

//! The Lambda functions, one file each, and the list of them.

mod late_log;
mod renewal;
mod router;
mod schema_log;

mod controller;
mod probe;

mod bronze;
mod mark_failed;

#[cfg(test)]
mod testing;

use std::sync::Arc;

use lakebed_contract::Handler;
use lakebed_contract::handler::{
    BRONZE_LITE, BRONZE_MASS, FIREHOSE_ROUTER, MARK_FAILED, PROCESSING_CONTROLLER, ROW_PROBE,
};

use self::late_log::LateLog;
use self::schema_log::SchemaLog;
use crate::IngestContext;
use crate::engine::{LITE_THREADS, mass_threads};
use crate::worker::Worker;

/// Every handler of this crate by its AWS name.
pub fn handlers(context: Arc<IngestContext>) -> Vec<(&'static str, Arc<dyn Handler>)> {
    let worker = Arc::new(Worker::new(Arc::clone(&context)));
    let shared = || Arc::clone(&worker);
    let (schema_log, late_log) = (Arc::new(SchemaLog::default()), Arc::new(LateLog::default()));
    let ingestor = |name: &'static str, route: &'static str, threads: usize| bronze::BronzeIngestor {
        worker: shared(),
        name,
        route,
        threads,
        warned: Default::default(),
        schema_log: Arc::clone(&schema_log),
        late_log: Arc::clone(&late_log),
    };
    let (lite, mass) = (ingestor(BRONZE_LITE, "lambda", LITE_THREADS), ingestor(BRONZE_MASS, "ecs", mass_threads()));
    let router = router::FirehoseRouter {
        lake: Arc::clone(&context.lake),
        events: context.events.clone(),
        schema_log: Arc::clone(&schema_log),
    };
    vec![
        (FIREHOSE_ROUTER, Arc::new(router)),
        (PROCESSING_CONTROLLER, Arc::new(controller::ProcessingController { worker: shared() })),
        (ROW_PROBE, Arc::new(probe::RowProbe { worker: shared() })),
        (BRONZE_LITE, Arc::new(lite)),
        (BRONZE_MASS, Arc::new(mass)),
        (MARK_FAILED, Arc::new(mark_failed::MarkFailed { worker: shared() })),
    ]
}

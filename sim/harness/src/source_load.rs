//! The source before a run: tables and ledger, the judge's SQL looked at, rows loaded once.
//!
//! A source that is kept is taken up again with the truth its ledger tells; one whose load was cut off is emptied and loaded
//! again. Knows nothing of the slot and of what comes behind it.

use lakebed_contract::endpoints::{Endpoints, PostgresEndpoint};
use lakebed_contract::{EventSink, Lake, layout};
use lakebed_source::SourceTruth;

use crate::backend::{Backend, s3_client};
use crate::demo::DemoOptions;
use crate::error::HarnessError;
use crate::judge;
use crate::run::RunPlace;
use crate::run_dir::RunDir;

/// Creates what is missing at the source and loads it if it was never loaded.
pub(crate) async fn bring_up(
    backend: &Backend,
    options: &DemoOptions,
    place: RunPlace<'_>,
    lake: &Lake,
    events: &EventSink,
) -> Result<SourceTruth, HarnessError> {
    let endpoint = backend.postgres();
    let client = lakebed_source::connect(&endpoint).await.map_err(HarnessError::stage("connect to PostgreSQL"))?;
    lakebed_source::create_schema(&client, lake).await.map_err(HarnessError::stage("create the schema"))?;
    check_judge_sql(&endpoint, lake, events).await?;
    let ledger = || HarnessError::stage("read the source's ledger");
    if place.keep_postgres {
        if is_loaded(&client, lake).await? {
            return lakebed_source::read_truth(&endpoint, lake).await.map_err(ledger());
        }
        refuse_orphaned_lake(backend.endpoints(), place.run_dir).await?;
        if options.backend.is_ours() {
            // Tables are copied one by one: a load that was cut off begins again.
            lakebed_source::clear(&client, lake).await.map_err(HarnessError::stage("empty the source"))?;
        }
    }
    let truth = match options.workload.empty {
        true => lakebed_source::read_truth(&endpoint, lake).await.map_err(ledger())?,
        false => lakebed_source::load(&endpoint, lake, options.scale, options.seed, events)
            .await
            .map_err(HarnessError::stage("load the source tables"))?,
    };
    let marked = format!("COMMENT ON SCHEMA \"{}\" IS '{LOADED}'", source_schema(lake));
    client.batch_execute(&marked).await.map_err(HarnessError::stage("mark the source as loaded"))?;
    Ok(truth)
}

/// A wrong file of the judge is said before the run, not after it.
async fn check_judge_sql(endpoint: &PostgresEndpoint, lake: &Lake, events: &EventSink) -> Result<(), HarnessError> {
    let complaint = judge::sql_complaint(endpoint, lake).await.map_err(HarnessError::stage("check the judge's SQL"))?;
    if let Some(complaint) = complaint {
        return Err(complaint.into());
    }
    let missing = judge::missing_sql(lake);
    if !missing.is_empty() {
        events.log(format!("I6 will stay unchecked: the lake has no {}", missing.join(", ")));
    }
    Ok(())
}

/// Comment on the source's schema once its first load is complete: tables are copied one by one, and a load that was
/// interrupted must not pass for a source.
const LOADED: &str = "lakebed: loaded";

fn source_schema(lake: &Lake) -> &str {
    lake.tables.first().map_or("public", |table| table.schema.as_str())
}

/// Whether the first load of the source is complete.
async fn is_loaded(client: &tokio_postgres::Client, lake: &Lake) -> Result<bool, HarnessError> {
    const LOOK: &str = "look at the source tables";
    let sql = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = $1";
    let row = client.query_one(sql, &[&source_schema(lake)]).await.map_err(HarnessError::stage(LOOK))?;
    let comment: Option<String> = row.try_get(0).map_err(HarnessError::stage(LOOK))?;
    Ok(comment.as_deref() == Some(LOADED))
}

/// A lake whose source is gone holds positions that a new source's changes would not beat.
async fn refuse_orphaned_lake(endpoints: &Endpoints, run_dir: &RunDir) -> Result<(), HarnessError> {
    let s3 = s3_client(endpoints);
    let raw = s3.list_objects_v2().bucket(layout::STAGE_BUCKET).prefix(layout::RAW_PREFIX).max_keys(1).send().await;
    // No bucket yet means an unused folder.
    if raw.is_ok_and(|page| !page.contents().is_empty()) {
        let folder = run_dir.path().display();
        let message = format!(
            "failed to take up `{folder}`: its lake belongs to a source that is gone; name another --state-dir"
        );
        return Err(HarnessError::Input { message });
    }
    Ok(())
}

//! The three Lambda functions of the warehouse: silver merge, silver model, gold model.
//!
//! Promises: connects on the first call and keeps the connection and its local copies; answers only when the snapshot is committed
//! and the control records are marked. Knows nothing of who calls, or when.

use std::sync::Arc;

use async_trait::async_trait;
use lakebed_contract::handler::{GOLD_MODEL, SILVER_MERGE, SILVER_MODEL};
use lakebed_contract::layout::{GOLD, SILVER};
use lakebed_contract::{Handler, HandlerError, Invocation};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::WarehouseContext;
use crate::error::{Result, WarehouseError};
use crate::warehouse::Warehouse;
use crate::{model, silver};

/// The handlers by name.
pub fn handlers(context: Arc<WarehouseContext>) -> Vec<(&'static str, Arc<dyn Handler>)> {
    let shared = Arc::new(Shared { context, warehouse: OnceCell::new() });
    let handler = |work| Arc::new(WarehouseHandler { shared: shared.clone(), work }) as Arc<dyn Handler>;
    vec![
        (SILVER_MERGE, handler(Work::SilverMerge)),
        (SILVER_MODEL, handler(Work::SilverModel)),
        (GOLD_MODEL, handler(Work::GoldModel)),
    ]
}

struct Shared {
    context: Arc<WarehouseContext>,
    warehouse: OnceCell<Warehouse>,
}

#[derive(Clone, Copy)]
enum Work {
    SilverMerge,
    SilverModel,
    GoldModel,
}

struct WarehouseHandler {
    shared: Arc<Shared>,
    work: Work,
}

#[async_trait]
impl Handler for WarehouseHandler {
    async fn invoke(&self, _invocation: &Invocation, payload: Value) -> Result<Value, HandlerError> {
        let connect = || Warehouse::connect(&self.shared.context);
        let warehouse = self.shared.warehouse.get_or_try_init(connect).await?;
        Ok(run(warehouse, self.work, &payload).await?)
    }
}

async fn run(warehouse: &Warehouse, work: Work, payload: &Value) -> Result<Value> {
    match work {
        Work::SilverMerge => {
            let name = text(payload, "table")?;
            let contract = warehouse.lake.table(name).ok_or_else(|| unknown("table", name))?;
            let report = silver::merge(warehouse, contract).await?;
            Ok(json!({
                "table": name,
                "snapshot_id": report.snapshot_id,
                "objects": report.objects,
                "objects_parked": report.objects_parked,
                "rows_in": report.rows_in,
                "upserted": report.upserted,
                "deleted": report.deleted,
                "files_added": report.files_added,
                "files_removed": report.files_removed,
            }))
        }
        Work::SilverModel | Work::GoldModel => {
            let name = text(payload, "model")?;
            let gold = matches!(work, Work::GoldModel);
            let (models, namespace) =
                if gold { (&warehouse.lake.gold, GOLD) } else { (&warehouse.lake.silver, SILVER) };
            let model = models.iter().find(|model| model.name == name).ok_or_else(|| unknown("model", name))?;
            let report = model::build(warehouse, namespace, model).await?;
            Ok(json!({
                "model": name,
                "snapshot_id": report.snapshot_id,
                "rows": report.rows,
                "partitions": report.partitions,
                "files_added": report.files_added,
                "files_removed": report.files_removed,
            }))
        }
    }
}

fn text<'a>(payload: &'a Value, name: &str) -> Result<&'a str> {
    payload[name]
        .as_str()
        .ok_or_else(|| WarehouseError::Request { reason: format!("the payload has no text `{name}`") })
}

fn unknown(what: &str, name: &str) -> WarehouseError {
    WarehouseError::Request { reason: format!("the lake has no {what} `{name}`") }
}

//! What a workload changes in a lake before a run: the route of each table's first load, and where the ECS route begins.

use lakebed_contract::Lake;
use lakebed_contract::lake::LakeError;
use lakebed_contract::table::LoadRoute;
use serde_json::Value;

use super::definition::{Route, Workload};
use crate::backend::INGESTION;
use crate::lake_folder::LakeFiles;

/// The comparison by which the ingestion state machine routes an object.
const ROUTING_COMPARISON: &str = "NumericLessThanEquals";

impl Workload {
    /// The lake of `files` under this workload.
    pub fn lake(&self, files: &LakeFiles) -> Result<Lake, LakeError> {
        let mut lake = Lake::from_files(files)?;
        let load = match self.route {
            Route::Both => None,
            Route::Streaming => Some(LoadRoute::Stream),
            Route::Batch => Some(LoadRoute::Batch),
        };
        if let Some(load) = load {
            lake.tables.iter_mut().for_each(|table| table.load = load);
        }
        if let Some(records) = self.ecs_above {
            let unfit = |reason: &str| LakeError::Invalid {
                reason: format!("`ecs_above` cannot be set in state machine `{INGESTION}`: {reason}"),
            };
            let text = lake.state_machines.get_mut(INGESTION).ok_or_else(|| unfit("the lake has none"))?;
            let mut machine: Value = serde_json::from_str(text).map_err(|_| unfit("it is no JSON"))?;
            if set_routing(&mut machine, records) != 1 {
                return Err(unfit("it does not have exactly one `NumericLessThanEquals`"));
            }
            *text = machine.to_string();
        }
        Ok(lake)
    }
}

/// Sets every routing comparison to `records`; how many there were.
fn set_routing(value: &mut Value, records: u64) -> usize {
    match value {
        Value::Object(members) => members
            .iter_mut()
            .map(|(name, member)| {
                if name == ROUTING_COMPARISON {
                    *member = records.into();
                    return 1;
                }
                set_routing(member, records)
            })
            .sum(),
        Value::Array(items) => items.iter_mut().map(|item| set_routing(item, records)).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lake_folder;

    #[test]
    fn routes_and_the_ecs_limit_are_the_workloads() {
        let files = lake_folder::files(None).expect("the beer lake");
        let workload = Workload { route: Route::Batch, ecs_above: Some(500), ..Workload::default() };
        let lake = workload.lake(&files).expect("fits");
        assert_eq!(lake.batch_tables().count(), lake.tables.len());
        assert!(lake.state_machines[INGESTION].contains(r#""NumericLessThanEquals":500"#));
        let plain = Workload::default().lake(&files).expect("fits");
        assert_eq!(plain.batch_tables().count(), 1);
        assert!(plain.state_machines[INGESTION].contains("100000"));
        let mut none = files;
        none.insert(format!("state_machines/{INGESTION}.asl.json"), "{}".to_owned());
        let refused = workload.lake(&none).expect_err("nothing to set").to_string();
        assert!(refused.contains("ecs_above"), "{refused}");
    }
}

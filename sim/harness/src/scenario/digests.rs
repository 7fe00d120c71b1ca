//! One digest per layer: what two runs of the same seed must agree on.
//!
//! Positions, times and file names differ from run to run and are left out; values, liveness and which rows there are do not.

use std::collections::BTreeMap;

use lakebed_contract::layout;
use sha2::{Digest, Sha256};

use crate::error::HarnessError;
use crate::judge::{self, LakeDigest};
use crate::run::Run;

/// Digests of `bronze`, `silver` and `gold` of a lake at rest. `known` is a digest of its tables that was taken already.
pub(super) async fn layers(run: &Run, known: &LakeDigest) -> Result<BTreeMap<String, String>, HarnessError> {
    let bronze = judge::bronze_content(&run.flow.parts.lake, run.backend.endpoints()).await;
    let bronze = bronze.map_err(HarnessError::stage("digest bronze"))?;
    let bronze = bronze.map_err(|reason| HarnessError::stage("digest bronze")(reason))?;
    let mut layers = BTreeMap::from([("bronze".to_owned(), bronze.to_string())]);
    if let Some((table, reason)) = known.unreadable.first_key_value() {
        return Err(HarnessError::stage("digest silver and gold")(format!("{table} {reason}")));
    }
    for namespace in [layout::SILVER, layout::GOLD] {
        let mut hash = Sha256::new();
        for (name, table) in &known.tables {
            if name.split_once('.').is_some_and(|(prefix, _)| prefix == namespace) {
                hash.update(format!("{name} {} {} {}\n", table.rows, table.live, table.content));
            }
        }
        layers.insert(namespace.to_owned(), data_encoding::HEXLOWER.encode(&hash.finalize()[..16]));
    }
    Ok(layers)
}

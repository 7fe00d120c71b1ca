//! Digests of the layers; none yet, so two runs are never called equal.

use std::collections::BTreeMap;

use crate::error::HarnessError;
use crate::wiring::PipelineParts;

/// Digests of bronze, silver and gold.
pub(super) async fn layers(_: &PipelineParts) -> Result<BTreeMap<String, String>, HarnessError> {
    Ok(BTreeMap::new())
}

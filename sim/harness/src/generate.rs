//! `lakebed generate`: the source tables as files, without a database.

use std::collections::BTreeMap;
use std::path::Path;

use lakebed_contract::{EventSink, Lake, Seed};

use crate::error::HarnessError;

/// Writes `<table>.csv` for each source table of `lake` into `folder`; returns the rows by table.
pub fn to_folder(lake: &Lake, scale: f64, seed: Seed, folder: &Path) -> Result<BTreeMap<String, u64>, HarnessError> {
    std::fs::create_dir_all(folder).map_err(HarnessError::file("create folder", folder))?;
    let truth = lakebed_source::generate_files(lake, scale, seed, folder, &EventSink::default())
        .map_err(HarnessError::stage("generate the source tables"))?;
    Ok(truth.keys_by_table())
}

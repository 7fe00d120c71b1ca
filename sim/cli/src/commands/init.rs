//! `lakebed init`.

use std::path::Path;

use crate::exit::End;
use crate::printer;

pub(super) fn run(folder: &Path) -> anyhow::Result<End> {
    let files = lakebed_harness::lake_folder::write_beer(folder)?;
    printer::line(&format!("wrote {files} files; use them with: lakebed demo --lake {}", folder.display()));
    Ok(End::Done)
}

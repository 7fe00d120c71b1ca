//! `lakebed generate`.

use lakebed_contract::Seed;

use super::check_scale;
use crate::arguments::GenerateArguments;
use crate::exit::End;
use crate::printer;

pub(super) fn run(arguments: &GenerateArguments) -> anyhow::Result<End> {
    check_scale(arguments.scale)?;
    let lake = lakebed_harness::lake_folder::open(arguments.lake.as_deref())?;
    let rows = lakebed_harness::generate::to_folder(&lake, arguments.scale, Seed(arguments.seed), &arguments.out)?;
    for (table, rows) in rows {
        printer::line(&format!("{table}: {} rows", printer::grouped(rows)));
    }
    Ok(End::Done)
}

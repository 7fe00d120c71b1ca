//! `lakebed query`.

use super::state::with_lake;
use crate::arguments::QueryArguments;
use crate::environment::Environment;
use crate::exit::End;
use crate::printer;

pub(super) fn run(arguments: &QueryArguments, environment: &Environment) -> anyhow::Result<End> {
    let result = with_lake(&arguments.state, environment, async |lake| lake.query(&arguments.sql).await)?;
    let Some(result) = result else { return Ok(End::Interrupted) };
    if arguments.state.json {
        let rows: Vec<serde_json::Map<String, serde_json::Value>> = result
            .rows
            .iter()
            .map(|row| result.columns.iter().cloned().zip(row.iter().map(|cell| cell.clone().into())).collect())
            .collect();
        printer::data(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
    } else {
        let shown = |cell: &Option<String>| cell.clone().unwrap_or_else(|| "NULL".to_owned());
        let rows: Vec<Vec<String>> = result.rows.iter().map(|row| row.iter().map(shown).collect()).collect();
        printer::data(&printer::table(&result.columns, &rows))?;
        printer::line(&format!("{} rows", printer::grouped(rows.len() as u64)));
    }
    Ok(End::Done)
}

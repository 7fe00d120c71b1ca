//! `lakebed control list|show|retry`.

use lakebed_contract::control::{ControlRecord, Status};

use super::state::with_lake;
use crate::arguments::{ControlArguments, ControlCommand};
use crate::environment::Environment;
use crate::exit::{End, InputError};
use crate::printer;

pub(super) fn run(arguments: &ControlArguments, environment: &Environment) -> anyhow::Result<End> {
    match &arguments.command {
        ControlCommand::List { table, status, state } => {
            let status = status.as_deref().map(parse_status).transpose()?;
            let listed = with_lake(state, environment, async |lake| lake.control_list(table.as_deref(), status).await)?;
            let Some(records) = listed else { return Ok(End::Interrupted) };
            if state.json {
                printer::data(&format!("{}\n", serde_json::to_string_pretty(&records)?))?;
            } else {
                printer::data(&render(&records))?;
                printer::line(&format!("{} records", records.len()));
            }
            Ok(End::Done)
        }
        ControlCommand::Show { pk, state } => {
            let found = with_lake(state, environment, async |lake| lake.control_get(pk).await)?;
            match found {
                None => Ok(End::Interrupted),
                Some(Some(record)) => {
                    printer::data(&format!("{}\n", serde_json::to_string_pretty(&record)?))?;
                    Ok(End::Done)
                }
                Some(None) => Err(unknown_record(pk)),
            }
        }
        ControlCommand::Retry { pk, state } => {
            let retried = with_lake(state, environment, async |lake| lake.control_retry(pk).await)?;
            match retried {
                None => Ok(End::Interrupted),
                Some(()) => {
                    printer::line(&format!("`{pk}` is RECEIVED again"));
                    Ok(End::Done)
                }
            }
        }
    }
}

fn parse_status(text: &str) -> anyhow::Result<Status> {
    Status::parse(&text.to_ascii_uppercase()).ok_or_else(|| {
        InputError::because(
            format!("failed to read status `{text}`"),
            "known: RECEIVED, CLAIMED, BRONZE_DONE, DONE, FAILED, QUARANTINED",
        )
    })
}

fn unknown_record(pk: &str) -> anyhow::Error {
    InputError::because(format!("failed to find control record `{pk}`"), "`lakebed control list --json` shows every pk")
}

fn render(records: &[ControlRecord]) -> String {
    let header =
        ["table", "status", "route", "rows", "good", "bad", "dropped", "attempts", "key"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = records
        .iter()
        .map(|r| {
            vec![
                r.table.clone(),
                r.status.as_str().to_owned(),
                r.route.clone(),
                r.rows_in.to_string(),
                r.rows_good.to_string(),
                r.rows_bad.to_string(),
                r.rows_dropped.to_string(),
                r.attempts.to_string(),
                r.key.clone(),
            ]
        })
        .collect();
    printer::table(&header, &rows)
}

//! Reaching a lake: a running `lakebed up` by its address, or a state directory by starting the stores over it.

use lakebed_contract::{Clock, EventSink, Seed};
use lakebed_harness::HarnessError;
use lakebed_harness::open::OpenLake;
use lakebed_harness::run_dir::RunDir;

use super::{Raced, race};
use crate::arguments::{Backend, StateArguments};
use crate::environment::Environment;
use crate::exit::InputError;
use crate::external;

/// Runs `work` on the lake that the arguments name.
pub(super) fn with_lake<T>(
    state: &StateArguments,
    environment: &Environment,
    work: impl AsyncFnOnce(&OpenLake) -> Result<T, HarnessError>,
) -> anyhow::Result<Option<T>> {
    let lake_files = lakebed_harness::lake_folder::files(state.lake.as_deref())?;
    let folder = state.state_dir.clone().unwrap_or_else(|| environment.state_dir.clone());
    let run_dir = match &state.endpoint {
        Some(_) => RunDir::throw_away()?,
        None if !folder.exists() => {
            return Err(InputError::because(
                format!("failed to open state directory `{}`: there is none", folder.display()),
                "make one with `lakebed demo --keep DIR`, or name a running one with --endpoint http://127.0.0.1:4566",
            ));
        }
        None => RunDir::existing(&folder)?,
    };
    let stores = match state.backend {
        Backend::Embedded => None,
        Backend::External => Some(external::stores()?),
        Backend::Docker => {
            return Err(InputError::because(
                "failed to open a lake on backend `docker`: its containers went with their run",
                "ask while it runs, with any S3 and Iceberg client and the exports of `lakebed up`",
            ));
        }
    };
    let raced = race(async {
        let lake = match (&state.endpoint, &stores) {
            (Some(url), _) => {
                OpenLake::running(url, environment.access_key.as_ref(), &lake_files, &run_dir, Clock::wall())?
            }
            (None, Some(stores)) => OpenLake::external(stores, &lake_files, &run_dir, Clock::wall(), Seed(0)).await?,
            (None, None) => {
                OpenLake::stored(&lake_files, &run_dir, Clock::wall(), Seed(0), &EventSink::default()).await?
            }
        };
        let result = work(&lake).await;
        lake.close().await?;
        result
    })?;
    Ok(match raced {
        Raced::Finished(result) => Some(result),
        Raced::Interrupted => None,
    })
}

//! `lakebed watch`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use lakebed_harness::event_log::{EVENT_LOG, EVENT_LOG_BEFORE};
use lakebed_harness::open::state_dir_of;

use crate::arguments::WatchArguments;
use crate::environment::Environment;
use crate::exit::{End, InputError};
use crate::tui::{self, Watched};

pub(super) fn run(arguments: WatchArguments, environment: &Environment) -> anyhow::Result<End> {
    if let Some(speed) = arguments.replay.filter(|speed| !speed.is_finite() || *speed <= 0.0) {
        return Err(InputError::because(
            format!("failed to replay at speed {speed}: it must be above 0"),
            "1 is as fast as it happened, 10 is ten times as fast",
        ));
    }
    let (logs, state_dir) = match arguments.file {
        Some(file) => (vec![file], None),
        None => {
            let folder = match &arguments.endpoint {
                Some(url) => state_dir_of(url)?,
                None => arguments.state_dir.unwrap_or_else(|| environment.state_dir.clone()),
            };
            (logs_of(&folder), Some(folder))
        }
    };
    if let Some(missing) = logs.iter().find(|log| !log.is_file()) {
        return Err(InputError::because(
            format!("failed to open event log `{}`: there is none", missing.display()),
            "`lakebed demo --keep DIR` and `lakebed up` write one; then `lakebed watch --state-dir DIR`",
        ));
    }
    let leave = Arc::new(AtomicBool::new(false));
    super::leave_on_terminate(Arc::clone(&leave))?;
    let watched = Watched { logs, endpoint: arguments.endpoint, state_dir, replay: arguments.replay };
    tui::watch(watched, environment, &leave)?;
    Ok(if leave.load(Ordering::Relaxed) { End::Interrupted } else { End::Done })
}

/// The log of a state directory, behind the full file before it, if there is one.
fn logs_of(folder: &Path) -> Vec<PathBuf> {
    let before = Some(folder.join(EVENT_LOG_BEFORE)).filter(|path| path.is_file());
    before.into_iter().chain([folder.join(EVENT_LOG)]).collect()
}

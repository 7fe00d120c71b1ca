//! `lakebed up`.

use lakebed_contract::Clock;
use lakebed_harness::HarnessError;
use lakebed_harness::run_dir::RunDir;
use lakebed_harness::serve::{Up, UpOptions};

use super::{Interruption, on_runtime, show};
use crate::arguments::{Backend, UpArguments};
use crate::environment::Environment;
use crate::exit::{End, InputError};
use crate::mask_key;
use crate::printer;

pub(super) fn run(arguments: &UpArguments, environment: &Environment) -> anyhow::Result<End> {
    if arguments.stores_only && arguments.source.backend != Backend::Embedded {
        return Err(InputError::because(
            "failed to start the stores alone: those of another backend are not ours to start",
            "leave --stores-only out, or use --backend embedded",
        ));
    }
    let mut demo = super::demo::options(&arguments.source, environment, true)?;
    demo.stores = super::stores::options(&arguments.stores, arguments.source.backend, environment)?;
    if !arguments.stores_only {
        // Users write rows of their own into what is up: no key that follows from a seed.
        let state_dir = arguments.state_dir.as_ref().unwrap_or(&environment.state_dir);
        demo.mask = Some(mask_key::for_real_data(environment, state_dir)?);
    }
    let run_dir = match (arguments.source.backend, &arguments.state_dir) {
        (_, None) if arguments.stores.in_memory => in_memory()?,
        (Backend::Docker, Some(_)) => {
            return Err(InputError::because(
                "failed to keep the state of backend `docker`: its containers are removed at the end",
                "leave --state-dir out, or start docker-compose.yml and use --backend external",
            ));
        }
        (Backend::Docker, None) => RunDir::throw_away()?,
        (_, folder) => RunDir::keep(folder.as_ref().unwrap_or(&environment.state_dir))?,
    };
    let progress = show(arguments.tui, run_dir.path(), environment)?;
    let events = progress.sink();
    let options = UpOptions { port: arguments.port, stores_only: arguments.stores_only, demo };
    let end = on_runtime(async {
        // One for both waits: a signal between them must not be lost.
        let mut interruption = Interruption::listen();
        let up = tokio::select! {
            started = Up::start(options, &run_dir, Clock::wall(), events) => started?,
            () = interruption.came() => return Ok(End::Interrupted),
        };
        let exports = up.exports(&run_dir);
        let mut text = String::new();
        for (name, value) in &exports.variables {
            text.push_str(&format!("export {name}='{}'\n", value.replace('\'', r"'\''")));
        }
        printer::data(&text).map_err(HarnessError::file("print to", "stdout"))?;
        printer::line(&format!("up; state in {}; stop with Ctrl-C", exports.state_dir.display()));
        let failed = tokio::select! {
            failed = up.serve() => failed,
            // Ctrl-C is how `up` is meant to end.
            () = interruption.came() => Ok(()),
        };
        // In order even after a failure: what is in flight is written out.
        up.stop().await?;
        failed.map(|()| End::Done)
    });
    // Whatever ended it, there is nothing left to look at.
    progress.abandon();
    end
}

/// A folder in memory; where there is none, one that is forgotten all the same.
fn in_memory() -> anyhow::Result<RunDir> {
    let run_dir = RunDir::in_memory()?;
    if !run_dir.is_in_memory() {
        let folder = run_dir.path().display();
        printer::line(&format!(
            "note: no memory to write files to at /dev/shm; the state is on disk in {folder} until the end"
        ));
    }
    Ok(run_dir)
}

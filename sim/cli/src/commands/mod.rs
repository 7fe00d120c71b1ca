//! One file per command. Each turns arguments into harness calls and results into text or JSON.

mod bench;
mod control;
mod demo;
mod doctor;
mod generate;
mod ingest;
mod init;
mod query;
mod report;
mod run;
mod state;
mod stores;
mod up;
mod watch;
mod worker;

use std::io::IsTerminal;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lakebed_harness::HarnessError;
use lakebed_harness::backend::{BackendChoice, DockerImages};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tracing_subscriber::EnvFilter;

use crate::arguments::{Arguments, Backend, Command};
use crate::environment::Environment;
use crate::exit::{End, InputError};
use crate::external;
use crate::printer::Progress;
use crate::tui::Screen;

/// How long tasks may take to end after the run has, before the process leaves anyway.
const RUNTIME_SHUTDOWN_MAX: Duration = Duration::from_secs(5);

/// The log without `LAKEBED_LOG`. s3s logs every 404 and 412, which are answers, as errors.
const LOG_DEFAULT: &str = "warn,s3s=off";

/// Runs one command.
pub(crate) fn run(arguments: Arguments, environment: &Environment) -> anyhow::Result<End> {
    start_log(environment, has_screen(&arguments.command));
    match arguments.command {
        Command::Demo(demo) => demo::run(&demo, environment),
        Command::Up(up) => up::run(&up, environment),
        Command::Run(run) => run::run(&run, environment),
        Command::ScenarioLife => run::life(environment),
        Command::Watch(watch) => watch::run(watch, environment),
        Command::Ingest(ingest) => ingest::run(&ingest, environment),
        Command::Query(query) => query::run(&query, environment),
        Command::Control(control) => control::run(&control, environment),
        Command::Generate(generate) => generate::run(&generate),
        Command::Init { dir } => init::run(&dir),
        Command::Doctor { json } => doctor::run(json, environment),
        Command::Bench(bench) => bench::run(&bench),
        Command::Report { dir, check } => report::run(&dir, check),
        Command::BenchWork { order } => bench::work(&order),
        Command::Worker { .. } => worker::run(),
    }
}

/// The log goes to stderr; warnings and worse unless `LAKEBED_LOG` asks for more.
fn start_log(environment: &Environment, has_screen: bool) {
    let filter = environment.log.as_deref().unwrap_or(LOG_DEFAULT);
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|error| {
        crate::printer::line(&format!("LAKEBED_LOG is ignored: {error}"));
        EnvFilter::new(LOG_DEFAULT)
    });
    let colours = std::io::stderr().is_terminal() && !environment.no_color && !has_screen;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| crate::printer::LogWriter)
        .with_ansi(colours)
        .with_target(true)
        .init();
}

/// Whether the command draws on the terminal.
fn has_screen(command: &Command) -> bool {
    match command {
        Command::Demo(demo) => demo.tui,
        Command::Up(up) => up.tui,
        Command::Run(run) => run.tui,
        Command::Watch(_) => true,
        _ => false,
    }
}

/// Shows a run: on a screen when that is asked for, else on stderr.
fn show(wanted: bool, state_dir: &Path, environment: &Environment) -> anyhow::Result<Progress> {
    let screen = wanted.then(|| Screen::open(environment, state_dir.to_owned(), || INTERRUPT.notify_one()));
    let screen = screen.transpose()?;
    if let Some(screen) = &screen {
        leave_on_terminate(screen.leave())?;
    }
    Ok(Progress::start(screen))
}

/// Sets `leave` on SIGTERM, so that a screen gives the terminal back first: also one that stays open behind its run.
fn leave_on_terminate(leave: Arc<AtomicBool>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("terminate".to_owned()).spawn(move || {
        runtime.block_on(async {
            // Without a handler the default action applies.
            let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
            terminate.recv().await;
        });
        leave.store(true, Ordering::Relaxed);
    })?;
    Ok(())
}

/// Ctrl-C on a screen: in raw mode the terminal sends no signal.
static INTERRUPT: Notify = Notify::const_new();

/// How an interruptible piece of work came out.
enum Raced<T> {
    Finished(T),
    Interrupted,
}

/// Runs `work` to its end, or until Ctrl-C or SIGTERM; then drops it, which stops everything it started.
fn race<T>(work: impl Future<Output = Result<T, HarnessError>>) -> anyhow::Result<Raced<T>> {
    on_runtime(async {
        let mut interruption = Interruption::listen();
        tokio::select! {
            result = work => result.map(Raced::Finished),
            () = interruption.came() => Ok(Raced::Interrupted),
        }
    })
}

/// What has become of a raced run: a screen stays until it is closed, or goes when the run did not come to its end.
fn settle<T>(raced: anyhow::Result<Raced<T>>, progress: &Progress) -> anyhow::Result<Raced<T>> {
    match &raced {
        Ok(Raced::Finished(_)) => progress.finish(),
        Ok(Raced::Interrupted) | Err(_) => progress.abandon(),
    }
    raced
}

/// Runs `work` to its end on a runtime of its own, and ends the tasks that it left behind.
fn on_runtime<T>(work: impl Future<Output = Result<T, HarnessError>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(work);
    runtime.shutdown_timeout(RUNTIME_SHUTDOWN_MAX);
    Ok(result?)
}

/// Ctrl-C and SIGTERM from the moment this is made: what comes while nobody waits is told to who waits next. Where a handler
/// cannot be installed, the default action applies.
struct Interruption {
    signals: [Option<Signal>; 2],
}

impl Interruption {
    /// Within a runtime only.
    fn listen() -> Self {
        Self { signals: [SignalKind::interrupt(), SignalKind::terminate()].map(|kind| signal(kind).ok()) }
    }

    async fn came(&mut self) {
        let [interrupt, terminate] = self.signals.each_mut().map(Option::as_mut);
        tokio::select! {
            () = received(interrupt) => {}
            () = received(terminate) => {}
            () = INTERRUPT.notified() => {}
        }
    }
}

async fn received(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => _ = signal.recv().await,
        None => std::future::pending().await,
    }
}

/// The backend that was asked for, with what the environment says of it.
fn backend(asked: Backend, environment: &Environment) -> anyhow::Result<BackendChoice> {
    match asked {
        Backend::Embedded => Ok(BackendChoice::Embedded),
        Backend::External => Ok(BackendChoice::External(Box::new(external::config(environment)?))),
        Backend::Docker => {
            let (postgres, localstack) =
                (environment.postgres_image.as_deref(), environment.localstack_image.as_deref());
            let images = DockerImages::named(postgres, localstack, environment.minio_image.as_deref())?;
            Ok(BackendChoice::Docker(Box::new(images)))
        }
    }
}

/// Refuses a scale that makes no data or more than anybody means.
fn check_scale(scale: f64) -> anyhow::Result<()> {
    if scale.is_finite() && scale > 0.0 && scale <= 100.0 {
        return Ok(());
    }
    Err(InputError::because(
        format!("failed to use scale {scale}: it must be above 0 and at most 100"),
        "1.0 is 1,586,614 reviews; the default is 0.1",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_between_two_waits_is_not_lost() {
        let waited = on_runtime(async {
            let mut interruption = Interruption::listen();
            tokio::select! {
                biased;
                () = interruption.came() => panic!("nothing was sent yet"),
                () = std::future::ready(()) => {}
            }
            let own = std::process::id().to_string();
            let sent = std::process::Command::new("kill").args(["-TERM", &own]).status().expect("kill runs");
            assert!(sent.success());
            interruption.came().await;
            Ok(())
        });
        waited.expect("the signal came");
    }
}

//! The terminal screen: state consumes events, views draw the state, the loop turns.
//!
//! [`Screen`] stands in front of a run of this process: the run's events go to it, and it can be closed while the run goes on.
//! [`watch`] looks at an event log, while it grows or afterwards. Both draw from run events only. Nothing here touches the run but
//! through Ctrl-C and the retry of a control record.

mod feed;
mod input;
mod looping;
mod record;
mod replay;
mod retry;
mod state;
mod terminal;
mod view;

#[cfg(test)]
#[path = "../../tests/it/pty.rs"]
#[expect(dead_code, reason = "the same terminal serves the tests of the binary")]
mod pty;
#[cfg(test)]
mod screens;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Context;
use lakebed_contract::{Clock, RunEvent};

use self::feed::{Feed, Sender};
use self::looping::{Left, Report};
use self::record::RecordedRun;
use self::replay::{EventFile, Following, Replay};
use self::retry::Retries;
use self::state::{State, Subject};
use self::terminal::Borrowed;
use self::view::theme::Theme;
use crate::environment::Environment;

/// A screen in front of a run of this process. Dropping it closes it.
#[derive(Clone)]
pub(crate) struct Screen(Arc<Shown>);

struct Shown {
    sender: Sender,
    leave: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<anyhow::Result<Report>>>>,
}

impl Screen {
    /// Opens the screen on a thread of its own. `interrupt` is called when the user presses Ctrl-C.
    pub(crate) fn open(
        environment: &Environment,
        state_dir: PathBuf,
        interrupt: impl Fn() + Send + 'static,
    ) -> anyhow::Result<Self> {
        let record = RecordedRun::newest(&[state_dir.clone(), environment.state_dir.clone()])?;
        let (sender, mut feed) = feed::live(&Clock::wall());
        let leave = Arc::new(AtomicBool::new(false));
        let (told, opened) = sync_channel(1);
        let (theme, key) = (theme(environment), environment.access_key.clone());
        let body = {
            let leave = Arc::clone(&leave);
            move || {
                let mut terminal = match Borrowed::take() {
                    Ok(terminal) => terminal,
                    Err(error) => {
                        let _unheard = told.send(Err(error));
                        return Err(anyhow::anyhow!("the screen did not open"));
                    }
                };
                let _unheard = told.send(Ok(()));
                let mut state = State::new(Subject::OwnRun, record);
                let mut retries = Retries::new(None, Some(state_dir), key);
                let leave = || leave.load(Ordering::Relaxed);
                let report = looping::run(terminal.screen(), &mut state, &theme, &mut feed, &mut retries, leave);
                // In this order: the run's events find the screen closed, then what waits can be printed.
                drop(feed);
                drop(terminal);
                crate::printer::screen_closed();
                if report.as_ref().is_ok_and(|report| report.left == Left::Interrupted) {
                    interrupt();
                }
                report
            }
        };
        let thread = std::thread::Builder::new().name("screen".to_owned()).spawn(body)?;
        opened.recv().context("failed to open the terminal screen: its thread ended")??;
        Ok(Self(Arc::new(Shown { sender, leave, thread: Mutex::new(Some(thread)) })))
    }

    /// Offers an event; says whether the screen is still open.
    pub(crate) fn offer(&self, event: RunEvent) -> bool {
        self.0.sender.offer(event)
    }

    /// The run is over. Leaves the screen open until the user closes it; then says what it has cost.
    pub(crate) fn stay(&self) -> anyhow::Result<()> {
        self.0.sender.end();
        self.0.join()
    }

    /// Set it, and the screen closes.
    pub(crate) fn leave(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0.leave)
    }

    /// Closes the screen now.
    pub(crate) fn close(&self) -> anyhow::Result<()> {
        self.0.leave.store(true, Ordering::Relaxed);
        self.0.join()
    }
}

impl Shown {
    fn join(&self) -> anyhow::Result<()> {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        let report = thread.join().map_err(|_| anyhow::anyhow!("failed to draw the screen: it panicked"))??;
        tracing::info!("{}", report.cost());
        Ok(())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.leave.store(true, Ordering::Relaxed);
        if let Err(error) = self.join() {
            tracing::warn!(error = format!("{error:#}"), "the screen did not end well");
        }
    }
}

/// What to watch.
pub(crate) struct Watched {
    /// Event logs in order.
    pub(crate) logs: Vec<PathBuf>,
    /// Where retries go, when the user named an address.
    pub(crate) endpoint: Option<String>,
    /// The state directory, when there is one.
    pub(crate) state_dir: Option<PathBuf>,
    /// Play the log from its beginning, this many times as fast as it happened.
    pub(crate) replay: Option<f64>,
}

/// Watches an event log until the user closes the screen, or `leave` is set.
pub(crate) fn watch(watched: Watched, environment: &Environment, leave: &AtomicBool) -> anyhow::Result<()> {
    let files = watched.logs.iter().map(|log| EventFile::open(log)).collect::<anyhow::Result<Vec<_>>>()?;
    let folders: Vec<PathBuf> = watched.state_dir.iter().cloned().chain([environment.state_dir.clone()]).collect();
    let record = RecordedRun::newest(&folders)?;
    let clock = Clock::wall();
    let mut feed: Box<dyn Feed> = match watched.replay {
        Some(speed) => Box::new(Replay::new(files, speed, clock)),
        None => Box::new(Following::new(files, clock)),
    };
    let mut state = State::new(Subject::EventLog, record);
    let mut retries = Retries::new(watched.endpoint, watched.state_dir, environment.access_key.clone());
    let mut terminal = Borrowed::take()?;
    let theme = theme(environment);
    let is_over = || leave.load(Ordering::Relaxed);
    let report = looping::run(terminal.screen(), &mut state, &theme, feed.as_mut(), &mut retries, is_over);
    drop(terminal);
    tracing::info!("{}", report?.cost());
    Ok(())
}

fn theme(environment: &Environment) -> Theme {
    Theme { colour: !environment.no_color, unicode: environment.is_utf8 }
}

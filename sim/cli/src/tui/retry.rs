//! Retrying a control record from the screen, beside the loop, so that the keyboard stays awake.
//!
//! One at a time. The stores are those of the run that is watched while it goes on, else those of its state directory, which are
//! started for the moment. The answer comes back as the change of the record, like any other event.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use lakebed_contract::control::ControlRecord;
use lakebed_contract::{Clock, EventSink, RecordedEvent, RunEvent, Seed};
use lakebed_harness::HarnessError;
use lakebed_harness::backend::AccessKey;
use lakebed_harness::open::OpenLake;
use lakebed_harness::run_dir::RunDir;

use super::state::{State, Subject};

type Answer = Result<Box<ControlRecord>, String>;

/// Starts retries and brings their answers.
pub(crate) struct Retries {
    /// Address of the stores, when the user named one.
    endpoint: Option<String>,
    /// State directory of the run.
    state_dir: Option<PathBuf>,
    /// What running stores are asked with.
    key: Option<AccessKey>,
    is_busy: bool,
    sender: SyncSender<Answer>,
    answers: Receiver<Answer>,
}

impl Retries {
    pub(crate) fn new(endpoint: Option<String>, state_dir: Option<PathBuf>, key: Option<AccessKey>) -> Self {
        let (sender, answers) = sync_channel(1);
        Self { endpoint, state_dir, key, is_busy: false, sender, answers }
    }

    /// Begins to retry a record; says so, or why not.
    pub(crate) fn start(&mut self, pk: String, state: &mut State) {
        if self.is_busy {
            state.notice = Some("another record is being retried; wait for its answer".to_owned());
            return;
        }
        // A finished run holds its own state directory until the screen closes, and containers have no address to ask.
        if state.subject == Subject::OwnRun && (state.head.endpoint.is_none() || !state.is_running()) {
            state.notice = Some("this run's stores take no retry from here; see `lakebed control retry`".to_owned());
            return;
        }
        let running = state.is_running() && !state.silent;
        let told = state.head.endpoint.clone().filter(|_| running);
        let stores = match (self.endpoint.clone().or(told), self.state_dir.clone()) {
            (Some(url), _) => Place::Running(url, self.key.clone()),
            (None, Some(folder)) => Place::Stored(folder),
            (None, None) => {
                state.notice = Some("nothing to retry on: name the lake with --state-dir or --endpoint".to_owned());
                return;
            }
        };
        let sender = self.sender.clone();
        let spawned = std::thread::Builder::new().name("retry".to_owned()).spawn(move || {
            // The screen may have been closed meanwhile.
            let _unheard = sender.send(retry(&stores, &pk));
        });
        self.is_busy = spawned.is_ok();
        state.notice = Some(match spawned {
            Ok(_) => "retrying …".to_owned(),
            Err(error) => format!("failed to start the retry: {error}"),
        });
    }

    /// Tells the state what has become of a retry; says whether there was an answer.
    pub(crate) fn tell(&mut self, state: &mut State) -> bool {
        let answer = match self.answers.try_recv() {
            Ok(answer) => answer,
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return false,
        };
        self.is_busy = false;
        state.notice = Some(match answer {
            Ok(record) => {
                let notice = format!("`{}` is {}", record.key, record.status.as_str());
                state.take(RecordedEvent { at: state.now, event: RunEvent::ControlChanged { record } });
                notice
            }
            Err(why) => why,
        });
        true
    }
}

enum Place {
    Running(String, Option<AccessKey>),
    Stored(PathBuf),
}

fn retry(place: &Place, pk: &str) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("failed to start the retry: {error}"))?;
    runtime.block_on(retry_in(place, pk)).map_err(|error| {
        let mut text = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
        text
    })
}

async fn retry_in(place: &Place, pk: &str) -> Result<Box<ControlRecord>, HarnessError> {
    let files = lakebed_harness::lake_folder::files(None)?;
    let clock = Clock::wall();
    let (run_dir, lake);
    match place {
        Place::Running(url, key) => {
            run_dir = RunDir::throw_away()?;
            lake = OpenLake::running(url, key.as_ref(), &files, &run_dir, clock)?;
        }
        Place::Stored(folder) => {
            run_dir = RunDir::existing(folder)?;
            lake = OpenLake::stored(&files, &run_dir, clock, Seed(0), &EventSink::default()).await?;
        }
    }
    let retried = match lake.control_retry(pk).await {
        Ok(()) => lake.control_get(pk).await,
        Err(error) => Err(error),
    };
    lake.close().await?;
    let gone = || HarnessError::Input { message: format!("failed to find control record `{pk}` after its retry") };
    retried?.map(Box::new).ok_or_else(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(retries: &mut Retries, state: &mut State) -> String {
        retries.start("pk".to_owned(), state);
        state.notice.take().expect("every key has an answer")
    }

    #[test]
    fn what_cannot_be_retried_says_why() {
        let mut own = State::new(Subject::OwnRun, None);
        let mut retries = Retries::new(None, Some(PathBuf::from("nowhere")), None);
        assert!(notice(&mut retries, &mut own).contains("lakebed control retry"), "nothing to ask yet");
        own.head.endpoint = Some("http://127.0.0.1:1".to_owned());
        own.head.verdict = Some("PASS".to_owned());
        assert!(notice(&mut retries, &mut own).contains("lakebed control retry"), "it holds its own folder");
        let mut log = State::new(Subject::EventLog, None);
        let mut retries = Retries::new(None, None, None);
        assert!(notice(&mut retries, &mut log).contains("--state-dir or --endpoint"));
        retries.is_busy = true;
        assert!(notice(&mut retries, &mut log).contains("another record"));
    }

    #[test]
    fn a_retry_that_fails_tells_the_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let told = |place: Place| retry(&place, "pk").expect_err("there is no such record");
        assert!(told(Place::Stored(folder.path().to_owned())).contains("lakebed has not written one there"));
        assert!(told(Place::Running("ftp://here".to_owned(), None)).contains("expected http://HOST:PORT"));
    }
}

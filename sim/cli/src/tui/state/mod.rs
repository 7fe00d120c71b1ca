//! What the terminal knows of a run. Consumes events and keys; does no I/O and reads no clock.
//!
//! Promises: every list here is bounded; taking an event costs no more than the event is worth, however long the run. Time comes in
//! with the events and with [`State::tick`], so a replay shows what a live look would have shown.

pub(crate) mod control;
pub(crate) mod executions;
pub(crate) mod lights;
pub(crate) mod log;
pub(crate) mod queues;
pub(crate) mod selection;
pub(crate) mod stages;

use lakebed_contract::{RecordedEvent, RunEvent, Timestamp};
use lakebed_harness::measures::Measures;

use self::control::ControlRecords;
use self::executions::Executions;
use self::lights::Lights;
use self::log::LogLines;
use self::queues::Queues;
use self::stages::Stages;
use super::record::RecordedRun;

/// The screens, in the order of their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    Flow,
    Control,
    Executions,
    Benchmark,
    Log,
}

impl Screen {
    pub(crate) const ALL: [Self; 5] = [Self::Flow, Self::Control, Self::Executions, Self::Benchmark, Self::Log];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Flow => "Flow",
            Self::Control => "Control table",
            Self::Executions => "Executions",
            Self::Benchmark => "Benchmark",
            Self::Log => "Log",
        }
    }

    /// The screen `steps` further on, around the end.
    pub(crate) fn turned(self, steps: isize) -> Self {
        let count = Self::ALL.len();
        let at = Self::ALL.iter().position(|screen| *screen == self).unwrap_or(0);
        Self::ALL[(at + count).wrapping_add_signed(steps) % count]
    }
}

/// What the terminal looks at; decides what closing it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A run of this process: it goes on when the terminal is closed.
    OwnRun,
    /// An event log.
    EventLog,
}

/// What is known of the run as a whole.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// Seed, scale and backend, once told.
    pub(crate) started: Option<(u64, f64, String)>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) verdict: Option<String>,
    pub(crate) endpoint: Option<String>,
}

/// A part of the screen that waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asking {
    /// Nothing.
    Nothing,
    /// A filter is being typed.
    Filter,
    /// Whether this record is to be retried.
    Retry(String),
}

/// Everything.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) subject: Subject,
    pub(crate) now: Timestamp,
    pub(crate) head: Head,
    pub(crate) stages: Stages,
    pub(crate) queues: Queues,
    pub(crate) lights: Lights,
    pub(crate) control: ControlRecords,
    pub(crate) executions: Executions,
    pub(crate) measures: Measures,
    pub(crate) log: LogLines,
    /// The run has told no end, and nothing else for a while.
    pub(crate) silent: bool,
    /// The run before this one, to compare with.
    pub(crate) record: Option<RecordedRun>,
    pub(crate) screen: Screen,
    pub(crate) help: bool,
    pub(crate) asking: Asking,
    /// One line in place of the keys: what a key has led to.
    pub(crate) notice: Option<String>,
}

impl State {
    pub(crate) fn new(subject: Subject, record: Option<RecordedRun>) -> Self {
        Self {
            subject,
            now: Timestamp::default(),
            head: Head::default(),
            stages: Stages::default(),
            queues: Queues::default(),
            lights: Lights::default(),
            control: ControlRecords::default(),
            executions: Executions::default(),
            measures: Measures::default(),
            log: LogLines::default(),
            silent: false,
            record,
            screen: Screen::Flow,
            help: false,
            asking: Asking::Nothing,
            notice: None,
        }
    }

    /// Time passes.
    pub(crate) fn tick(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
    }

    /// Something happened.
    pub(crate) fn take(&mut self, recorded: RecordedEvent) {
        let RecordedEvent { at, event } = recorded;
        if matches!(event, RunEvent::RunStarted { .. }) {
            self.begin_run();
        }
        self.tick(at);
        self.head.started_at.get_or_insert(at);
        self.measures.take(at, &event);
        self.log.take(at, &event);
        match event {
            RunEvent::RunStarted { seed, scale, backend, .. } => self.head.started = Some((seed, scale, backend)),
            RunEvent::EndpointReady { url } => self.head.endpoint = Some(url),
            RunEvent::StageStarted { stage, detail } => {
                // A run that goes on after its end is a run again.
                (self.head.verdict, self.head.finished_at) = (None, None);
                self.stages.started(stage, detail);
            }
            RunEvent::Progress { stage, rows, bytes, .. } => self.stages.moved(stage, at, rows, bytes),
            RunEvent::StageFinished { stage, detail, .. } => self.stages.finished(stage, &detail),
            RunEvent::QueueDepth { queue, depth, bound } => self.queues.take(queue, depth, bound),
            RunEvent::ControlChanged { record } => self.control.take(*record),
            RunEvent::ExecutionStarted { machine, name } => self.executions.started(at, machine, name),
            RunEvent::ExecutionFinished { machine, name, status, error } => {
                self.executions.finished(at, machine, name, status, error);
            }
            RunEvent::Judged { invariant, outcome, .. } => self.lights.take(&invariant, outcome),
            RunEvent::RunFinished { verdict } => {
                (self.head.verdict, self.head.finished_at) = (Some(verdict), Some(at));
                self.stages.all_finished();
            }
            _ => {}
        }
    }

    /// Whether the run goes on, as far as told.
    pub(crate) fn is_running(&self) -> bool {
        self.head.verdict.is_none()
    }

    /// Since the run began, or how long it took.
    pub(crate) fn elapsed(&self) -> std::time::Duration {
        let end = self.head.finished_at.unwrap_or(self.now);
        self.head.started_at.map_or_else(Default::default, |start| end.since(start))
    }

    /// A log may hold several runs, one behind the other: only what belongs to the last is shown. The control table outlives them.
    fn begin_run(&mut self) {
        let fresh = Self::new(self.subject, self.record.take());
        let old = std::mem::replace(self, fresh);
        self.control = old.control;
        self.log = old.log;
        (self.now, self.screen, self.help) = (old.now, old.screen, old.help);
        (self.asking, self.notice) = (old.asking, old.notice);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lakebed_contract::Stage;
    use lakebed_contract::event::Outcome;

    fn at(second: i64, event: RunEvent) -> RecordedEvent {
        RecordedEvent { at: Timestamp::from_seconds(second), event }
    }

    fn started(seed: u64) -> RunEvent {
        RunEvent::RunStarted { seed, scale: 0.1, backend: "embedded".to_owned(), bounds: Default::default() }
    }

    #[test]
    fn screens_turn_around_both_ends() {
        assert_eq!(Screen::Flow.turned(-1), Screen::Log);
        assert_eq!(Screen::Log.turned(1), Screen::Flow);
        assert_eq!(Screen::Flow.turned(2), Screen::Executions);
    }

    #[test]
    fn a_second_run_in_one_log_starts_from_nothing() {
        let mut state = State::new(Subject::EventLog, None);
        let judged = |outcome| RunEvent::Judged { invariant: "I1".to_owned(), outcome, detail: String::new() };
        let progress = |rows| RunEvent::Progress { stage: Stage::Dms, table: "beer".to_owned(), rows, bytes: 0 };
        state.take(at(100, started(1)));
        state.take(at(101, progress(500)));
        state.take(at(105, judged(Outcome::Fail)));
        state.take(at(106, RunEvent::RunFinished { verdict: "fail".to_owned() }));
        assert_eq!((state.elapsed().as_secs(), state.is_running()), (6, false));
        state.tick(Timestamp::from_seconds(150));
        assert_eq!(state.elapsed().as_secs(), 6, "a finished run takes no longer");
        state.take(at(200, started(2)));
        state.take(at(201, progress(7)));
        assert_eq!(state.head.started.as_ref().map(|(seed, ..)| *seed), Some(2));
        assert_eq!(state.measures.stages[&Stage::Dms].rows, 7);
        assert!(state.is_running() && state.lights.all().all(|(_, light)| light.is_none()));
        assert_eq!(state.elapsed().as_secs(), 1);
    }
}

//! The loop: events and keys go into the state, the state goes onto the screen.
//!
//! Draws only when something has changed, at most every [`FRAME`], and sleeps in between on the keyboard; so it costs little, and it
//! measures what. A key is answered at once.

use std::time::Duration;

use lakebed_contract::Clock;
use ratatui::Terminal;
use ratatui::backend::Backend;
use ratatui::crossterm::event::{self, Event};

use super::feed::Feed;
use super::input::{Action, press};
use super::retry::Retries;
use super::state::State;
use super::view;
use super::view::theme::Theme;

/// Least time between two drawings of events; keys are drawn at once.
const FRAME: Duration = Duration::from_millis(200);
/// Longest time between two drawings while a run goes on: its clock and rates move without events.
const FRAME_IDLE: Duration = Duration::from_secs(1);
/// How long one look at the keyboard waits.
const KEYBOARD_WAIT: Duration = Duration::from_millis(100);
/// Keys answered between two looks at the events.
const KEYS_PER_TURN: usize = 64;

/// How the loop was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// By the user.
    Closed,
    /// By the user, who wants the run to end, too.
    Interrupted,
    /// Because the caller said so.
    Told,
}

/// What the loop did and cost.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    pub(crate) left: Left,
    pub(crate) frames: u64,
    pub(crate) shown_for: Duration,
    /// Processor time of this thread, where the system tells.
    pub(crate) cpu: Option<Duration>,
}

/// Loops until the user leaves, or `leave` says so.
pub(crate) fn run<B: Backend>(
    terminal: &mut Terminal<B>,
    state: &mut State,
    theme: &Theme,
    feed: &mut dyn Feed,
    retries: &mut Retries,
    leave: impl Fn() -> bool,
) -> anyhow::Result<Report>
where
    B::Error: Send + Sync + 'static,
{
    let clock = Clock::wall();
    let (started, cpu_before) = (clock.monotonic(), thread_cpu());
    let (mut frames, mut drawn_at, mut stale) = (0, None::<Duration>, true);
    let left = loop {
        if leave() {
            break Left::Told;
        }
        stale |= feed.fill(state)? | retries.tell(state);
        let since_drawn = drawn_at.map_or(Duration::MAX, |at| clock.monotonic().saturating_sub(at));
        let moves_on = state.is_running() && !state.silent && since_drawn >= FRAME_IDLE;
        if (stale && since_drawn >= FRAME) || moves_on {
            terminal.draw(|frame| view::draw(state, theme, frame))?;
            (frames, drawn_at, stale) = (frames + 1, Some(clock.monotonic()), false);
        }
        let page = view::page(terminal.size()?.height);
        let answered = answer_keys(state, page)?;
        if answered.any {
            (stale, drawn_at) = (true, None);
        }
        match answered.action {
            Some(Action::Close) => break Left::Closed,
            Some(Action::Interrupt) => break Left::Interrupted,
            Some(Action::Retry(pk)) => retries.start(pk, state),
            None => {}
        }
    };
    let cpu = thread_cpu().zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
    Ok(Report { left, frames, shown_for: clock.monotonic() - started, cpu })
}

struct Answered {
    any: bool,
    action: Option<Action>,
}

/// Waits a little for a key, then answers those that are there, up to the first that asks for something.
fn answer_keys(state: &mut State, page: isize) -> anyhow::Result<Answered> {
    let mut answered = Answered { any: false, action: None };
    let mut wait = KEYBOARD_WAIT;
    for _ in 0..KEYS_PER_TURN {
        if !event::poll(wait)? {
            break;
        }
        wait = Duration::ZERO;
        answered.any = true;
        if let Event::Key(key) = event::read()? {
            answered.action = press(state, key, page);
            if answered.action.is_some() {
                break;
            }
        }
    }
    Ok(answered)
}

/// Processor time of the calling thread; Linux counts it in nanoseconds.
fn thread_cpu() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split_ascii_whitespace().next()?.parse().ok()?))
}

impl Report {
    /// The cost in words.
    pub(crate) fn cost(&self) -> String {
        let shown_for = self.shown_for.as_secs_f64();
        let cpu = match self.cpu {
            Some(cpu) => {
                let share = cpu.as_secs_f64() / shown_for.max(f64::EPSILON) * 100.0;
                format!("{:.3} s of processor time, {share:.2} % of one core", cpu.as_secs_f64())
            }
            None => "processor time not told by this system".to_owned(),
        };
        format!("screen: {} frames in {shown_for:.1} s, {cpu}", self.frames)
    }
}

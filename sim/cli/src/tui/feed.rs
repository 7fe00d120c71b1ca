//! Where events come from while a run of this process is watched: a bounded channel that never makes the run wait.
//!
//! What does not fit is dropped, counted and said: a screen that lags shows less, a run is never slower for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use lakebed_contract::{Clock, RecordedEvent, RunEvent};

use super::state::State;
use super::state::log::Weight;

/// Events that may wait for the screen.
pub(crate) const SCREEN_QUEUE_MAX: usize = 16_384;
/// Events taken between two looks at the keyboard.
const EVENTS_PER_TURN: usize = 4_096;

/// A source of events for the loop.
pub(crate) trait Feed {
    /// Hands over what is there now and moves time on; says whether anything changed.
    fn fill(&mut self, state: &mut State) -> anyhow::Result<bool>;
}

/// The written end.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    events: SyncSender<RecordedEvent>,
    dropped: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    clock: Clock,
}

/// The read end.
pub(crate) struct LiveFeed {
    events: Receiver<RecordedEvent>,
    dropped: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    clock: Clock,
}

/// A channel from a run to the screen.
pub(crate) fn live(clock: &Clock) -> (Sender, LiveFeed) {
    let (sender, events) = sync_channel(SCREEN_QUEUE_MAX);
    let (dropped, ended) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
    let written =
        Sender { events: sender, dropped: Arc::clone(&dropped), ended: Arc::clone(&ended), clock: clock.clone() };
    (written, LiveFeed { events, dropped, ended, clock: clock.clone() })
}

impl Sender {
    /// Offers an event; says whether the screen still takes any.
    pub(crate) fn offer(&self, event: RunEvent) -> bool {
        let recorded = RecordedEvent { at: self.clock.now(), event };
        match self.events.try_send(recorded) {
            Ok(()) => true,
            Err(std::sync::mpsc::TrySendError::Full(_)) => {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err(std::sync::mpsc::TrySendError::Disconnected(_)) => false,
        }
    }

    /// The run is over: time stands still.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

impl Feed for LiveFeed {
    fn fill(&mut self, state: &mut State) -> anyhow::Result<bool> {
        let mut taken = 0;
        while taken < EVENTS_PER_TURN {
            match self.events.try_recv() {
                Ok(event) => state.take(event),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
            }
            taken += 1;
        }
        let mut changed = taken > 0;
        // Said once the screen has caught up: before, the line would scroll away at once.
        let has_caught_up = taken < EVENTS_PER_TURN;
        let dropped = if has_caught_up { self.dropped.swap(0, Ordering::Relaxed) } else { 0 };
        if dropped > 0 {
            changed = true;
            let text = format!("{dropped} events came too fast for the screen; the event log has them");
            state.log.push(self.clock.now(), Weight::Bad, text);
        }
        if !self.ended.load(Ordering::Relaxed) {
            state.tick(self.clock.now());
        }
        Ok(changed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tui::state::Subject;
    use lakebed_contract::Timestamp;
    use std::time::Duration;

    #[test]
    fn a_run_never_waits_for_the_screen_and_losses_are_said() {
        let clock = Clock::virtual_at(Timestamp::from_seconds(9));
        let (sender, mut feed) = live(&clock);
        for _ in 0..SCREEN_QUEUE_MAX + 3 {
            assert!(sender.offer(RunEvent::Log { message: "x".to_owned() }));
        }
        let mut state = State::new(Subject::OwnRun, None);
        while feed.fill(&mut state).expect("a channel does not fail") {}
        assert!(state.log.shown(usize::MAX).any(|line| line.text.starts_with("3 events")));
        clock.advance(Duration::from_secs(4));
        sender.end();
        feed.fill(&mut state).expect("fills");
        assert_eq!(state.now, Timestamp::from_seconds(9), "time stands still after the end");
        drop(feed);
        assert!(!sender.offer(RunEvent::Log { message: "x".to_owned() }));
    }
}

//! The stages of the flow: what each is doing and how fast rows pass it now.

use std::collections::{BTreeMap, VecDeque};

use lakebed_contract::{Stage, Timestamp};

/// Seconds over which a rate is taken.
const RATE_SECONDS: i64 = 5;
/// Seconds of history kept for the small chart.
pub(crate) const HISTORY_SECONDS: usize = 24;
/// Pieces of work of one stage that may be open at once; more are counted as one.
const OPEN_MAX: usize = 32;

/// All stages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stages {
    by_stage: BTreeMap<Stage, StageState>,
}

/// One stage.
#[derive(Clone, Debug, Default)]
pub(crate) struct StageState {
    open: Vec<String>,
    has_worked: bool,
    is_over: bool,
    flow: Flow,
}

/// Where a stage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Activity {
    /// Nothing has come yet.
    Waiting,
    /// At work, or rows passed in the last seconds.
    Working,
    /// It has worked, and rests.
    Resting,
}

impl Stages {
    pub(crate) fn started(&mut self, stage: Stage, detail: String) {
        let state = self.entry(stage);
        if state.open.len() < OPEN_MAX {
            state.open.push(detail);
        }
    }

    pub(crate) fn finished(&mut self, stage: Stage, detail: &str) {
        let state = self.entry(stage);
        if let Some(at) = state.open.iter().position(|open| open == detail) {
            state.open.remove(at);
        }
    }

    pub(crate) fn moved(&mut self, stage: Stage, at: Timestamp, rows: u64, bytes: u64) {
        self.entry(stage).flow.add(at, rows, bytes);
    }

    /// The run is over: what did not say its end has ended all the same.
    pub(crate) fn all_finished(&mut self) {
        for state in self.by_stage.values_mut() {
            state.open.clear();
            state.is_over = true;
        }
    }

    pub(crate) fn get(&self, stage: Stage) -> Option<&StageState> {
        self.by_stage.get(&stage)
    }

    fn entry(&mut self, stage: Stage) -> &mut StageState {
        let state = self.by_stage.entry(stage).or_default();
        state.has_worked = true;
        state.is_over = false;
        state
    }
}

impl StageState {
    /// What it is doing: the piece of work begun last.
    pub(crate) fn doing(&self) -> Option<&str> {
        self.open.last().map(String::as_str)
    }

    pub(crate) fn activity(&self, now: Timestamp) -> Activity {
        match (self.has_worked, self.open.is_empty() && self.rate(now).0 == 0.0) {
            (false, _) => Activity::Waiting,
            (true, false) => Activity::Working,
            (true, true) => Activity::Resting,
        }
    }

    /// Rows and bytes a second, over the last seconds; nothing once the run is over, where time stands still.
    pub(crate) fn rate(&self, now: Timestamp) -> (f64, f64) {
        if self.is_over { (0.0, 0.0) } else { self.flow.rate(now) }
    }

    /// Rows in each of the last seconds, oldest first.
    pub(crate) fn history(&self, now: Timestamp) -> [u64; HISTORY_SECONDS] {
        self.flow.history(now)
    }
}

/// Counts by second, newest last.
#[derive(Clone, Debug, Default)]
struct Flow {
    seconds: VecDeque<(i64, u64, u64)>,
}

impl Flow {
    fn add(&mut self, at: Timestamp, rows: u64, bytes: u64) {
        let second = at.seconds();
        match self.seconds.back_mut() {
            // An event that was emitted earlier and arrives later counts for the second that is open.
            Some(last) if last.0 >= second => {
                last.1 += rows;
                last.2 += bytes;
            }
            _ => self.seconds.push_back((second, rows, bytes)),
        }
        if self.seconds.len() > HISTORY_SECONDS {
            self.seconds.pop_front();
        }
    }

    fn rate(&self, now: Timestamp) -> (f64, f64) {
        let first = now.seconds() - RATE_SECONDS;
        let recent = self.seconds.iter().rev().take_while(|(second, ..)| *second > first);
        let (rows, bytes) = recent.fold((0, 0), |sum, (_, rows, bytes)| (sum.0 + rows, sum.1 + bytes));
        (rows as f64 / RATE_SECONDS as f64, bytes as f64 / RATE_SECONDS as f64)
    }

    fn history(&self, now: Timestamp) -> [u64; HISTORY_SECONDS] {
        let mut history = [0; HISTORY_SECONDS];
        for (second, rows, _) in &self.seconds {
            let ago = usize::try_from(now.seconds() - second).unwrap_or(0);
            if let Some(place) = HISTORY_SECONDS.checked_sub(ago + 1) {
                history[place] += rows;
            }
        }
        history
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_fades_when_nothing_comes() {
        let mut stages = Stages::default();
        for second in 10..14 {
            stages.moved(Stage::Dms, Timestamp::from_seconds(second), 100, 1_000);
        }
        let rate = |second| stages.get(Stage::Dms).expect("seen").rate(Timestamp::from_seconds(second));
        assert_eq!(rate(13), (80.0, 800.0));
        assert_eq!(rate(16), (40.0, 400.0));
        assert_eq!(rate(60), (0.0, 0.0));
        let history = stages.get(Stage::Dms).expect("seen").history(Timestamp::from_seconds(14));
        assert_eq!(history[HISTORY_SECONDS - 5..], [100, 100, 100, 100, 0]);
    }

    #[test]
    fn a_stage_works_while_a_piece_is_open_or_rows_pass() {
        let (mut stages, now) = (Stages::default(), Timestamp::from_seconds(50));
        assert!(stages.get(Stage::Gold).is_none());
        stages.started(Stage::Gold, "first".to_owned());
        stages.started(Stage::Gold, "second".to_owned());
        let gold = |stages: &Stages| {
            let gold = stages.get(Stage::Gold).expect("seen");
            (gold.doing().map(str::to_owned), gold.activity(now))
        };
        assert_eq!(gold(&stages), (Some("second".to_owned()), Activity::Working));
        stages.finished(Stage::Gold, "second");
        assert_eq!(gold(&stages), (Some("first".to_owned()), Activity::Working));
        stages.moved(Stage::Gold, now, 1, 0);
        stages.finished(Stage::Gold, "first");
        assert_eq!(gold(&stages), (None, Activity::Working));
        stages.all_finished();
        assert_eq!(gold(&stages), (None, Activity::Resting), "time stands still, and so does the rate");
        stages.moved(Stage::Gold, now, 1, 0);
        assert_eq!(gold(&stages).1, Activity::Working);
    }

    #[test]
    fn memory_does_not_grow_with_time() {
        let mut flow = Flow::default();
        for second in 0..10_000 {
            flow.add(Timestamp::from_seconds(second), 1, 1);
        }
        assert_eq!(flow.seconds.len(), HISTORY_SECONDS);
    }
}

//! The log: the last lines of what happened, in words.

use std::collections::VecDeque;

use lakebed_contract::event::Outcome;
use lakebed_contract::{RunEvent, Timestamp};

/// Lines kept.
pub(crate) const LOG_LINES_MAX: usize = 2_000;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    /// What one expects.
    Plain,
    /// Something failed.
    Bad,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogLine {
    pub(crate) at: Timestamp,
    pub(crate) text: String,
    pub(crate) weight: Weight,
}

/// All lines, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogLines {
    lines: VecDeque<LogLine>,
    /// Lines hidden below the screen; 0 follows the newest.
    pub(crate) scrolled: usize,
}

impl LogLines {
    pub(crate) fn take(&mut self, at: Timestamp, event: &RunEvent) {
        if let Some((weight, text)) = words(event) {
            self.push(at, weight, text);
        }
    }

    pub(crate) fn push(&mut self, at: Timestamp, weight: Weight, text: String) {
        if self.lines.len() == LOG_LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(LogLine { at, text, weight });
        // Who has scrolled back keeps reading the same lines.
        if self.scrolled > 0 {
            self.scroll(1);
        }
    }

    /// Scrolls back by `lines`, or forward when negative.
    pub(crate) fn scroll(&mut self, lines: isize) {
        self.scrolled = self.scrolled.saturating_add_signed(lines).min(self.lines.len().saturating_sub(1));
    }

    /// The lines to show when `height` fit.
    pub(crate) fn shown(&self, height: usize) -> impl Iterator<Item = &LogLine> {
        let end = self.lines.len() - self.scrolled.min(self.lines.len());
        self.lines.range(end.saturating_sub(height)..end)
    }
}

/// An event in words, if it is worth a line.
fn words(event: &RunEvent) -> Option<(Weight, String)> {
    let plain = |text| Some((Weight::Plain, text));
    match event {
        RunEvent::RunStarted { seed, scale, backend, .. } => {
            plain(format!("run started: seed {seed}, scale {scale}, backend {backend}"))
        }
        RunEvent::EndpointReady { url } => plain(format!("the stores answer at {url}")),
        RunEvent::StageStarted { stage, detail } => plain(format!("{stage}: {detail} …")),
        RunEvent::StageFinished { stage, detail, elapsed } => {
            plain(format!("{stage}: {detail} took {:.3} s", elapsed.as_secs_f64()))
        }
        RunEvent::ExecutionFinished { machine, name, status, error } if status != "SUCCEEDED" => {
            Some((Weight::Bad, format!("execution {name} of {machine}: {status} {error}")))
        }
        RunEvent::Committed { namespace, table, snapshot_id, files_added, files_removed } => plain(format!(
            "{namespace}.{table}: snapshot {snapshot_id}, {files_added} files added, {files_removed} removed"
        )),
        RunEvent::Judged { invariant, outcome, detail } => {
            let (weight, word) = match outcome {
                Outcome::Pass => (Weight::Plain, "pass"),
                Outcome::Fail => (Weight::Bad, "FAIL"),
                Outcome::Unchecked => (Weight::Plain, "unchecked"),
            };
            Some((weight, format!("{invariant} {word}: {detail}")))
        }
        RunEvent::Log { message } => plain(message.clone()),
        RunEvent::RunFinished { verdict } => {
            let weight = if verdict == "pass" { Weight::Plain } else { Weight::Bad };
            Some((weight, format!("run finished: {verdict}")))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(log: &LogLines, height: usize) -> Vec<&str> {
        log.shown(height).map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn the_log_follows_unless_it_is_scrolled() {
        let mut log = LogLines::default();
        for number in 0..5 {
            log.push(Timestamp::default(), Weight::Plain, number.to_string());
        }
        assert_eq!(texts(&log, 2), ["3", "4"]);
        log.scroll(2);
        assert_eq!(texts(&log, 2), ["1", "2"]);
        log.push(Timestamp::default(), Weight::Plain, "5".to_owned());
        assert_eq!(texts(&log, 2), ["1", "2"], "what is being read stays");
        log.scroll(-100);
        assert_eq!(texts(&log, 2), ["4", "5"]);
        log.scroll(100);
        assert_eq!(texts(&log, 2), ["0"]);
    }

    #[test]
    fn old_lines_make_room() {
        let mut log = LogLines::default();
        for number in 0..LOG_LINES_MAX + 3 {
            log.push(Timestamp::default(), Weight::Plain, number.to_string());
        }
        assert_eq!(log.lines.len(), LOG_LINES_MAX);
        assert_eq!(log.shown(LOG_LINES_MAX).next().expect("a line").text, "3");
    }
}

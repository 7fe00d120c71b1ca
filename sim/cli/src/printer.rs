//! The one place that prints. Data to stdout, everything else to stderr; bars only on a terminal, quiet lines otherwise.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use lakebed_contract::event::Outcome;
use lakebed_contract::{EventSink, RunEvent, Stage};

/// Columns of wrapped lines.
const WIDTH_MAX: usize = 100;
/// Redraws per second.
const DRAWS_PER_SECOND: u8 = 10;

/// One line to stderr.
pub(crate) fn line(text: &str) {
    // Nothing sensible is left to do when stderr is gone.
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// Data to stdout.
pub(crate) fn data(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Shows a run's events on stderr.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Mutex<Shown>>);

struct Shown {
    bars: Option<MultiProgress>,
    by_stage: BTreeMap<Stage, (ProgressBar, u64)>,
}

impl Progress {
    /// Bars on a terminal, lines otherwise.
    pub(crate) fn new() -> Self {
        let bars = std::io::stderr()
            .is_terminal()
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)));
        Self(Arc::new(Mutex::new(Shown { bars, by_stage: BTreeMap::new() })))
    }

    /// A sink that shows what it is told.
    pub(crate) fn sink(&self) -> EventSink {
        let shown = Arc::clone(&self.0);
        EventSink::new(move |event| shown.lock().unwrap_or_else(PoisonError::into_inner).show(&event))
    }

    /// Removes the bars, so that what follows starts on a clean line.
    pub(crate) fn finish(&self) {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (bar, _) in shown.by_stage.values() {
            bar.finish_and_clear();
        }
    }
}

impl Shown {
    fn show(&mut self, event: &RunEvent) {
        match event {
            RunEvent::RunStarted { seed, scale, backend, bounds } => {
                self.say(&format!("seed {seed}, scale {scale}, backend {backend}; bounds in force:"));
                for line in wrapped(bounds.iter().map(|(name, value)| format!("{name}={value}"))) {
                    self.say(&line);
                }
            }
            RunEvent::StageStarted { stage, detail } if self.bars.is_some() => self.update(*stage, 0, detail),
            RunEvent::Progress { stage, table, rows, .. } if self.bars.is_some() => self.update(*stage, *rows, table),
            RunEvent::StageFinished { stage, detail, elapsed } => {
                self.say(&format!("{:<9} {detail:<22} {}", stage.as_str(), seconds(*elapsed)));
            }
            RunEvent::Judged { invariant, outcome, detail } => {
                let word = match outcome {
                    Outcome::Pass => "pass",
                    Outcome::Fail => "FAIL",
                    Outcome::Unchecked => "unchecked",
                };
                self.say(&format!("judge     {invariant:<4}{word:<10} {detail}"));
            }
            RunEvent::Log { message } => tracing::info!("{message}"),
            _ => {}
        }
    }

    fn update(&mut self, stage: Stage, rows: u64, what: &str) {
        let Some(bars) = &self.bars else { return };
        let (bar, total) = self.by_stage.entry(stage).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new_spinner());
            let style = ProgressStyle::with_template("{spinner} {prefix:<9} {msg}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.set_prefix(stage.as_str());
            (bar, 0)
        });
        *total += rows;
        bar.set_message(format!("{what:<22} {} rows", grouped(*total)));
        bar.tick();
    }

    fn say(&self, text: &str) {
        match &self.bars {
            // A terminal that vanished is no reason to stop the run.
            Some(bars) => drop(bars.println(text)),
            None => line(text),
        }
    }
}

/// Words on indented lines.
fn wrapped(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines = vec![String::from(" ")];
    for word in words {
        let last = lines.last_mut().expect("there is always one line");
        if last.len() + word.len() >= WIDTH_MAX {
            lines.push(format!("  {word}"));
        } else {
            last.push(' ');
            last.push_str(&word);
        }
    }
    lines
}

/// `1.234 s`.
pub(crate) fn seconds(elapsed: Duration) -> String {
    format!("{:>8.3} s", elapsed.as_secs_f64())
}

/// `1,586,614`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A table with a header, columns padded to their widest cell; numbers to the right.
pub(crate) fn table(header: &[String], rows: &[Vec<String>]) -> String {
    let width = |at: usize| {
        rows.iter().map(|row| row[at].chars().count()).chain([header[at].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let numeric: Vec<bool> = (0..header.len())
        .map(|at| {
            !rows.is_empty() && rows.iter().all(|row| row[at].replace([',', '.', '-'], "").parse::<u64>().is_ok())
        })
        .collect();
    let mut text = String::new();
    for row in [header].into_iter().chain(rows.iter().map(Vec::as_slice)) {
        let mut line = String::new();
        for (at, cell) in row.iter().enumerate() {
            let padding = " ".repeat(widths[at].saturating_sub(cell.chars().count()));
            if at > 0 {
                line.push_str("  ");
            }
            line.push_str(&if numeric[at] { format!("{padding}{cell}") } else { format!("{cell}{padding}") });
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_and_columns_aligned() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_586_614), "1,586,614");
        let header = ["beer".to_owned(), "reviews".to_owned()];
        let rows = [vec!["Kölsch".to_owned(), "1,204".to_owned()], vec!["Bock".to_owned(), "7".to_owned()]];
        assert_eq!(table(&header, &rows), "beer    reviews\nKölsch    1,204\nBock          7\n");
    }
}

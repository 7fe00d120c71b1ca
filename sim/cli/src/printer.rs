//! The one place that prints. Data to stdout, everything else to stderr; bars only on a terminal, quiet lines otherwise.
//!
//! While a screen stands in front of a run, lines go to its log, and data for a terminal waits until it is closed.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use lakebed_contract::event::Outcome;
use lakebed_contract::{EventSink, MaskedColumn, RunEvent, Stage};
use lakebed_harness::tally::findings_in_words;

use crate::tui::Screen;

/// Columns of wrapped lines.
const WIDTH_MAX: usize = 100;
/// Redraws per second.
const DRAWS_PER_SECOND: u8 = 10;

/// The screen in front, and what waits behind it.
static FRONT: Mutex<Front> = Mutex::new(Front { screen: None, held: String::new() });

struct Front {
    screen: Option<Screen>,
    held: String,
}

fn front() -> MutexGuard<'static, Front> {
    FRONT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One line to stderr, or into the log of the screen in front.
pub(crate) fn line(text: &str) {
    let screen = front().screen.clone();
    if screen.is_some_and(|screen| screen.offer(RunEvent::Log { message: text.to_owned() })) {
        return;
    }
    // Nothing sensible is left to do when stderr is gone.
    drop(writeln!(std::io::stderr(), "{text}"));
}

/// Data to stdout; a terminal gets it when no screen is in front.
pub(crate) fn data(text: &str) -> std::io::Result<()> {
    let mut front = front();
    if front.screen.is_some() && std::io::stdout().is_terminal() {
        front.held.push_str(text);
        return Ok(());
    }
    write_data(text)
}

fn write_data(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// The screen in front is closed: what waited is printed.
pub(crate) fn screen_closed() {
    let mut front = front();
    front.screen = None;
    let held = std::mem::take(&mut front.held);
    if let Err(error) = write_data(&held) {
        drop(writeln!(std::io::stderr(), "failed to print to stdout: {error}"));
    }
}

/// Where the log is written: whole lines to [`line`].
#[derive(Clone, Copy)]
pub(crate) struct LogWriter;

impl Write for LogWriter {
    fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
        line(String::from_utf8_lossy(text).trim_end());
        Ok(text.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Shows a run's events: on a screen as long as one is open, else on stderr. Dropping it closes the screen.
pub(crate) struct Progress {
    shown: Arc<Mutex<Shown>>,
    screen: Option<Screen>,
}

struct Shown {
    bars: Option<MultiProgress>,
    by_stage: BTreeMap<Stage, (ProgressBar, u64)>,
}

impl Progress {
    /// A screen when `screen` opens one; else, and after it is closed, bars on a terminal and lines otherwise.
    pub(crate) fn start(screen: Option<Screen>) -> Self {
        front().screen.clone_from(&screen);
        let bars = std::io::stderr()
            .is_terminal()
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)));
        Self { shown: Arc::new(Mutex::new(Shown { bars, by_stage: BTreeMap::new() })), screen }
    }

    /// A sink that shows what it is told.
    pub(crate) fn sink(&self) -> EventSink {
        let (shown, screen) = (Arc::clone(&self.shown), self.screen.clone());
        EventSink::new(move |event| {
            if !screen.as_ref().is_some_and(|screen| screen.offer(event.clone())) {
                shown.lock().unwrap_or_else(PoisonError::into_inner).show(&event);
            }
        })
    }

    /// The run has come to its end: waits until the screen is closed, if one is open.
    pub(crate) fn finish(&self) {
        self.clear(self.screen.as_ref().map(Screen::stay));
    }

    /// The run was interrupted or failed: closes the screen.
    pub(crate) fn abandon(&self) {
        self.clear(self.screen.as_ref().map(Screen::close));
    }

    /// What follows starts on a clean line. A screen that failed is told, but is no failure of the run.
    fn clear(&self, closed: Option<anyhow::Result<()>>) {
        screen_closed();
        if let Some(Err(error)) = closed {
            line(&format!("{error:#}"));
        }
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for (bar, _) in shown.by_stage.values() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.abandon();
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
            RunEvent::Log { message } => self.say(&format!("note      {message}")),
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

/// What was masked, with an empty line before it; nothing when no column has a class.
pub(crate) fn masked(masking: &[MaskedColumn]) -> String {
    if masking.is_empty() {
        return String::new();
    }
    let header = ["masked column", "class", "transform", "values", "masked", "unshaped", "found"].map(str::to_owned);
    let row = |column: &MaskedColumn| {
        vec![
            format!("{}.{}", column.table, column.column),
            column.class.clone(),
            column.transform.clone(),
            grouped(column.values),
            grouped(column.masked),
            grouped(column.unshaped),
            findings_in_words(column),
        ]
    };
    format!("\n{}", table(&header, &masking.iter().map(row).collect::<Vec<_>>()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_masked_is_told_by_column() {
        let column = MaskedColumn {
            table: "profile".to_owned(),
            column: "cpf".to_owned(),
            class: "cpf".to_owned(),
            transform: "fpe".to_owned(),
            values: 1_204,
            masked: 1_200,
            unshaped: 7,
            findings: BTreeMap::new(),
        };
        let expected = "\nmasked column  class  transform  values  masked  unshaped  found\n\
                        profile.cpf    cpf    fpe         1,204   1,200         7\n";
        assert_eq!(masked(&[column]), expected);
        assert_eq!(masked(&[]), "");
    }

    #[test]
    fn numbers_are_grouped_and_columns_aligned() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_586_614), "1,586,614");
        let header = ["beer".to_owned(), "reviews".to_owned()];
        let rows = [vec!["Kölsch".to_owned(), "1,204".to_owned()], vec!["Bock".to_owned(), "7".to_owned()]];
        assert_eq!(table(&header, &rows), "beer    reviews\nKölsch    1,204\nBock          7\n");
    }
}

//! Draws the state. Pure: the same state gives the same cells; no I/O, no clock.
//!
//! A screen is a list of lines for a given size; this file puts header, tabs, screen and keys together. Made for 80 × 24; a larger
//! terminal shows more of the same, a smaller one is cut.

mod benchmark;
mod control;
mod executions;
mod flow;
mod help;
mod log;
pub(crate) mod text;
pub(crate) mod theme;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use self::text::{Row, Side, clock, fitted};
use self::theme::Theme;
use super::state::{Asking, Screen, State, Subject};

/// Least size that shows anything of use.
const WIDTH_MIN: u16 = 40;
const HEIGHT_MIN: u16 = 10;
/// Lines around a screen: header, tabs, keys.
const LINES_AROUND: u16 = 3;

/// Draws everything.
pub(crate) fn draw(state: &State, theme: &Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        put(frame, area, 0, &Line::raw("too small; 80 x 24 shows all"));
        return;
    }
    let (width, height) = (usize::from(area.width), usize::from(area.height - LINES_AROUND));
    put(frame, area, 0, &header(state, theme, width));
    put(frame, area, 1, &tabs(state, theme));
    let body = if state.help { help::lines(theme) } else { body(state, theme, width, height) };
    for (at, line) in (2..area.height - 1).zip(&body) {
        put(frame, area, at, line);
    }
    put(frame, area, area.height - 1, &footer(state, theme, width));
}

/// Lines of list that fit on a screen of `height` lines, for paging.
pub(crate) fn page(height: u16) -> isize {
    isize::try_from(height.saturating_sub(LINES_AROUND + 3)).unwrap_or(1).max(1)
}

fn put(frame: &mut Frame<'_>, area: Rect, row: u16, line: &Line<'_>) {
    frame.buffer_mut().set_line(area.x, area.y + row, line, area.width);
}

fn body(state: &State, theme: &Theme, width: usize, height: usize) -> Vec<Line<'static>> {
    match state.screen {
        Screen::Flow => flow::lines(state, theme, width),
        Screen::Control => control::lines(state, theme, width, height),
        Screen::Executions => executions::lines(state, theme, width, height),
        Screen::Benchmark => benchmark::lines(state, theme),
        Screen::Log => log::lines(state, theme, width, height),
    }
}

/// Which run, how long, how it stands.
fn header(state: &State, theme: &Theme, width: usize) -> Line<'static> {
    let run = match &state.head.started {
        Some((seed, scale, backend)) => format!("lakebed  seed {seed}  scale {scale}  {backend}"),
        None => "lakebed".to_owned(),
    };
    let (word, style) = match &state.head.verdict {
        Some(verdict) if verdict == "pass" => ("verdict pass".to_owned(), theme.good()),
        Some(verdict) => (format!("verdict {verdict}"), theme.bad()),
        None if state.head.started_at.is_none() => ("no events yet".to_owned(), theme.faint()),
        None if state.silent => ("no news, no end".to_owned(), theme.bad()),
        None => ("running".to_owned(), theme.busy()),
    };
    let right = format!("{}  {word}", clock(state.elapsed()));
    let left = width.saturating_sub(right.chars().count() + 1);
    let left = fitted(&run, left, Side::Left, theme);
    Line::from(vec![Span::styled(left, theme.title()), Span::raw(" "), Span::styled(right, style)])
}

fn tabs(state: &State, theme: &Theme) -> Line<'static> {
    let mut spans = Vec::new();
    for (number, screen) in (1..).zip(Screen::ALL) {
        let style = if screen == state.screen && !state.help { theme.selected() } else { theme.plain() };
        spans.push(Span::styled(format!(" {number} {} ", screen.title()), style));
    }
    let style = if state.help { theme.selected() } else { theme.plain() };
    spans.push(Span::styled(" ? Help ", style));
    Line::from(spans)
}

/// What is being asked, what a key has led to, or the keys.
fn footer(state: &State, theme: &Theme, width: usize) -> Line<'static> {
    let close = match state.subject {
        Subject::OwnRun if state.is_running() => "q close (the run goes on)  Ctrl-C interrupt",
        Subject::OwnRun | Subject::EventLog => "q close",
    };
    let own = match state.screen {
        _ if state.help => "",
        Screen::Control if state.control.open.is_some() => "Esc back  r retry  ",
        Screen::Control => "/ filter  Enter open  r retry  ",
        Screen::Executions => "/ filter  ",
        Screen::Log => "PgUp back  End newest  ",
        Screen::Flow | Screen::Benchmark => "",
    };
    let (text, style) = match (&state.asking, &state.notice) {
        (Asking::Filter, _) => ("type to filter  Enter keep  Esc clear".to_owned(), theme.title()),
        (Asking::Retry(_), _) => ("put this record back to RECEIVED?  y yes  n no".to_owned(), theme.title()),
        (Asking::Nothing, Some(notice)) => (notice.clone(), theme.title()),
        (Asking::Nothing, None) => (format!("{own}Tab next screen  {close}"), theme.faint()),
    };
    Row::new(theme).cell(&text, width, Side::Left, style).line()
}

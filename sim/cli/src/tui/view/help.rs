//! The keys, and what the screens show.

use ratatui::text::{Line, Span};

use super::theme::Theme;

/// Key and meaning; a line without a key is a heading.
pub(crate) const KEYS: [(&str, &str); 18] = [
    ("", "Everywhere"),
    ("1 2 3 4 5", "go to a screen; Tab and Shift-Tab, right and left turn around"),
    ("q", "close; a run of this process goes on with plain output"),
    ("Ctrl-C", "interrupt the run of this process; close what only watches"),
    ("?", "this page; any key leaves it"),
    ("", "Lists"),
    ("up down", "move; k and j do the same; PgUp PgDn Home End go far"),
    ("/", "filter by words: each must be in a column or the status"),
    ("Enter", "open a control record; Esc goes back"),
    ("r", "put a FAILED or QUARANTINED record back to RECEIVED"),
    ("", "What is shown"),
    ("rows/s", "Flow: mean of the last 5 seconds; Benchmark: since the stage began"),
    ("queue", "now, the highest so far, and the bound it cannot pass"),
    ("latency", "from the commit at the source to the silver snapshot with the row"),
    ("", "loads count from when a row was read or its file was put"),
    ("I1 ... I10", "the judge's word; no word until it has looked"),
    ("recorded", "the newest run.json in the state directory or here"),
    ("", ""),
];

pub(super) fn lines(theme: &Theme) -> Vec<Line<'static>> {
    KEYS.iter()
        .map(|(key, meaning)| match *key {
            "" => Line::from(Span::styled(*meaning, theme.header())),
            key => Line::from(vec![Span::styled(format!("  {key:<11} "), theme.title()), Span::raw(*meaning)]),
        })
        .collect()
}

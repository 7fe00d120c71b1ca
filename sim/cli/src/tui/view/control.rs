//! The control table: counts by status, the filtered list, and one record in full.

use lakebed_contract::Timestamp;
use lakebed_contract::control::{ControlRecord, Status};
use ratatui::text::{Line, Span};

use super::text::{Row, Side, fitted};
use super::theme::Theme;
use crate::printer::grouped;
use crate::tui::state::control::ControlRecords;
use crate::tui::state::{Asking, State};

const STATUSES: [Status; 6] =
    [Status::Received, Status::Claimed, Status::BronzeDone, Status::Done, Status::Failed, Status::Quarantined];
/// Widths of all columns but the key, which takes the rest.
const COLUMNS: [usize; 6] = [12, 11, 3, 6, 9, 7];
/// Lines above the list.
const LINES_ABOVE: usize = 3;
/// Width of a field's name in a record.
const NAME: usize = 13;

pub(super) fn lines(state: &State, theme: &Theme, width: usize, height: usize) -> Vec<Line<'static>> {
    if let Some(record) = state.control.opened() {
        return record_lines(record, theme, width);
    }
    let control = &state.control;
    let matching = control.matching();
    let mut lines = vec![counts(control, theme), filter(control, &state.asking, matching.len(), theme)];
    lines.push(header(theme, width));
    let rows = height.saturating_sub(LINES_ABOVE);
    let first = control.selection.first_shown(matching.len(), rows);
    let selected = control.selection.of(matching.len());
    for (at, record) in matching.iter().enumerate().skip(first).take(rows) {
        lines.push(list_line(record, selected == Some(at), theme, width));
    }
    lines
}

fn counts(control: &ControlRecords, theme: &Theme) -> Line<'static> {
    let mut spans = Vec::new();
    for status in STATUSES {
        let count = control.count(status);
        let style = if count > 0 { theme.status(status) } else { theme.faint() };
        spans.push(Span::styled(format!("{} {count}  ", status.as_str()), style));
    }
    Line::from(spans)
}

/// The filter and how much of the table it leaves.
pub(super) fn filter(control: &ControlRecords, asking: &Asking, matching: usize, theme: &Theme) -> Line<'static> {
    let cursor = if *asking == Asking::Filter { "_" } else { "" };
    let of = format!("   {} of {}", grouped(matching as u64), grouped(control.len() as u64));
    Line::from(vec![
        Span::styled("filter: ", theme.faint()),
        Span::styled(format!("{}{cursor}", control.filter), theme.title()),
        Span::styled(of, theme.faint()),
    ])
}

fn header(theme: &Theme, width: usize) -> Line<'static> {
    let [table, status, attempts, route, rows, bad] = COLUMNS;
    Row::new(theme)
        .left("table", table)
        .left("status", status)
        .right("try", attempts)
        .left("route", route)
        .right("rows", rows)
        .right("bad", bad)
        .left("key", key_width(width))
        .styled(theme.header())
}

fn list_line(record: &ControlRecord, is_selected: bool, theme: &Theme, width: usize) -> Line<'static> {
    let [table, status, attempts, route, rows, bad] = COLUMNS;
    let row = Row::new(theme)
        .left(&record.table, table)
        .cell(record.status.as_str(), status, Side::Left, theme.status(record.status))
        .right(&record.attempts.to_string(), attempts)
        .left(&record.route, route)
        .right(&number(record.rows_in), rows)
        .right(&number(record.rows_bad), bad)
        .cell(&record.key, key_width(width), Side::KeepEnd, theme.plain());
    if is_selected { row.styled(theme.selected()) } else { row.line() }
}

fn key_width(width: usize) -> usize {
    width.saturating_sub(COLUMNS.iter().sum::<usize>() + COLUMNS.len())
}

fn number(number: i64) -> String {
    grouped(u64::try_from(number).unwrap_or(0))
}

fn record_lines(record: &ControlRecord, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let moment = |micros: i64| if micros == 0 { String::new() } else { Timestamp(micros).to_rfc3339_micros() };
    let plain = theme.plain();
    let fields = [
        ("key", record.key.clone(), plain),
        ("bucket", record.bucket.clone(), plain),
        ("etag", record.etag.clone(), plain),
        ("table", record.table.clone(), plain),
        ("status", record.status.as_str().to_owned(), theme.status(record.status)),
        ("route", record.route.clone(), plain),
        ("attempts", format!("{}, fence {}", record.attempts, record.fence), plain),
        ("size", format!("{} bytes", number(record.size_bytes)), plain),
        ("rows", rows(record), plain),
        ("received", moment(record.received_at), plain),
        ("updated", moment(record.updated_at), plain),
        ("lease", lease(record), plain),
        ("snapshot", if record.snapshot_id == 0 { String::new() } else { record.snapshot_id.to_string() }, plain),
        ("outputs", record.outputs.join(" "), plain),
        ("error", record.error.clone(), theme.bad()),
    ];
    let mut lines = Vec::new();
    for (name, value, style) in fields {
        let room = width.saturating_sub(NAME + 1).max(1);
        let letters: Vec<char> = value.chars().collect();
        for (at, part) in letters.chunks(room).enumerate() {
            let name = if at == 0 { name } else { "" };
            lines.push(Line::from(vec![
                Span::styled(fitted(name, NAME + 1, Side::Left, theme), theme.header()),
                Span::styled(fitted(&part.iter().collect::<String>(), part.len(), Side::Left, theme), style),
            ]));
        }
    }
    lines
}

fn rows(record: &ControlRecord) -> String {
    let [all, good, bad, dropped] =
        [record.rows_in, record.rows_good, record.rows_bad, record.rows_dropped].map(number);
    format!("{all} in = {good} good + {bad} quarantined + {dropped} dropped")
}

fn lease(record: &ControlRecord) -> String {
    if record.lease_owner.is_empty() {
        return String::new();
    }
    format!("{} until {}", record.lease_owner, Timestamp(record.lease_until).to_rfc3339_micros())
}

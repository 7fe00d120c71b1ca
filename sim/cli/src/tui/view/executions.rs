//! Step Functions executions: counts by machine, then the executions, newest first.

use ratatui::text::{Line, Span};

use super::text::{Row, Side, duration};
use super::theme::Theme;
use crate::printer::grouped;
use crate::tui::state::executions::ExecutionState;
use crate::tui::state::{Asking, State};

/// Machines named at the top.
const MACHINES_MAX: usize = 4;
const MACHINE: [usize; 4] = [32, 9, 11, 9];
/// Status, time taken, error; machine and name share the rest.
const COLUMNS: [usize; 3] = [9, 12, 16];

pub(super) fn lines(state: &State, theme: &Theme, width: usize, height: usize) -> Vec<Line<'static>> {
    let executions = &state.executions;
    let matching = executions.matching();
    let mut lines = vec![
        Row::new(theme)
            .left("state machine", MACHINE[0])
            .right("running", MACHINE[1])
            .right("succeeded", MACHINE[2])
            .right("failed", MACHINE[3])
            .styled(theme.header()),
    ];
    for (machine, counts) in executions.machines().take(MACHINES_MAX) {
        let failed = if counts.failed > 0 { theme.bad() } else { theme.plain() };
        lines.push(
            Row::new(theme)
                .left(machine, MACHINE[0])
                .right(&grouped(counts.running), MACHINE[1])
                .right(&grouped(counts.succeeded), MACHINE[2])
                .cell(&grouped(counts.failed), MACHINE[3], Side::Right, failed)
                .line(),
        );
    }
    let cursor = if state.asking == Asking::Filter { "_" } else { "" };
    lines.push(Line::from(vec![
        Span::styled("filter: ", theme.faint()),
        Span::styled(format!("{}{cursor}", executions.filter), theme.title()),
        Span::styled(format!("   {} shown", grouped(matching.len() as u64)), theme.faint()),
    ]));
    let (machine, name) = rest(width);
    lines.push(
        Row::new(theme)
            .left("machine", machine)
            .left("execution", name)
            .left("status", COLUMNS[0])
            .right("took", COLUMNS[1])
            .left("error", COLUMNS[2])
            .styled(theme.header()),
    );
    let rows = height.saturating_sub(lines.len());
    let first = executions.selection.first_shown(matching.len(), rows);
    let selected = executions.selection.of(matching.len());
    for (at, execution) in matching.iter().enumerate().skip(first).take(rows) {
        lines.push(list_line(state, execution, selected == Some(at), theme, width));
    }
    lines
}

fn list_line(state: &State, execution: &ExecutionState, selected: bool, theme: &Theme, width: usize) -> Line<'static> {
    let (machine, name) = rest(width);
    let row = Row::new(theme)
        .left(&execution.machine, machine)
        .left(&execution.name, name)
        .cell(execution.status(), COLUMNS[0], Side::Left, theme.execution(execution.status()))
        .right(&duration(execution.took(state.now)), COLUMNS[1])
        .left(execution.error(), COLUMNS[2]);
    if selected { row.styled(theme.selected()) } else { row.line() }
}

fn rest(width: usize) -> (usize, usize) {
    let rest = width.saturating_sub(COLUMNS.iter().sum::<usize>() + COLUMNS.len() + 1);
    (rest / 2, rest - rest / 2)
}

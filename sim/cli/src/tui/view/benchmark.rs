//! What the run measures, live, beside the last recorded run.

use lakebed_contract::Stage;
use lakebed_harness::measures::{LatencySummary, MeasuresSummary, StageSummary};
use ratatui::text::{Line, Span};
use std::time::Duration;

use super::text::{Row, duration, mebibytes, megabytes, rate};
use super::theme::Theme;
use crate::printer::grouped;
use crate::tui::record::RecordedRun;
use crate::tui::state::State;

const STAGE: [usize; 6] = [18, 13, 11, 11, 11, 11];
const LATENCY: [usize; 6] = [18, 13, 11, 11, 11, 11];

pub(super) fn lines(state: &State, theme: &Theme) -> Vec<Line<'static>> {
    let (now, record) = (state.measures.summary(), state.record.as_ref());
    let mut lines = vec![recorded_line(record, theme)];
    lines.push(header(theme, STAGE, ["stage", "rows", "rows/s", "recorded", "MB/s", "recorded"]));
    for stage in Stage::ALL {
        let name = stage.as_str();
        let live = now.stages.get(name).copied().unwrap_or_default();
        let recorded = record.and_then(|record| record.measures.stages.get(name)).copied().unwrap_or_default();
        lines.push(
            Row::new(theme)
                .left(name, STAGE[0])
                .right(&grouped(live.rows), STAGE[1])
                .right(&rows_rate(live), STAGE[2])
                .right(&rows_rate(recorded), STAGE[3])
                .right(&byte_rate(live), STAGE[4])
                .right(&byte_rate(recorded), STAGE[5])
                .line(),
        );
    }
    lines.push(header(theme, LATENCY, ["source to silver", "rows", "50 %", "90 %", "99 %", "all"]));
    lines.extend(latency_lines(&now, record, theme));
    lines.push(header(theme, STAGE, ["whole run", "", "now", "recorded", "", ""]));
    lines.extend(whole_run_lines(state, &now, record, theme));
    lines
}

fn recorded_line(record: Option<&RecordedRun>, theme: &Theme) -> Line<'static> {
    let text = match record {
        Some(run) => format!("recorded: {}, seed {}, scale {}, verdict {}", run.from, run.seed, run.scale, run.verdict),
        None => "recorded: nothing yet; `lakebed demo --keep DIR` leaves a run to compare with".to_owned(),
    };
    Line::from(Span::styled(text, theme.faint()))
}

fn header(theme: &Theme, widths: [usize; 6], names: [&str; 6]) -> Line<'static> {
    let mut row = Row::new(theme).left(names[0], widths[0]);
    for (name, width) in names.iter().zip(widths).skip(1) {
        row = row.right(name, width);
    }
    row.styled(theme.header())
}

fn rows_rate(stage: StageSummary) -> String {
    stage.per_second(stage.rows).filter(|rate| *rate > 0.0).map(rate).unwrap_or_default()
}

fn byte_rate(stage: StageSummary) -> String {
    stage.per_second(stage.bytes).filter(|rate| *rate > 0.0).map(megabytes).unwrap_or_default()
}

fn latency_lines(now: &MeasuresSummary, record: Option<&RecordedRun>, theme: &Theme) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    for kind in ["changes", "load"] {
        lines.push(latency_line(kind, now.latency.get(kind), theme));
        let recorded = record.and_then(|record| record.measures.latency.get(kind));
        lines.push(latency_line(&format!("{kind}, recorded"), recorded, theme));
    }
    lines
}

fn latency_line(name: &str, summary: Option<&LatencySummary>, theme: &Theme) -> Line<'static> {
    let row = Row::new(theme).left(name, LATENCY[0]);
    let Some(summary) = summary else { return row.line() };
    let mut row = row.right(&grouped(summary.rows), LATENCY[1]);
    let percentiles = [summary.p50_ms, summary.p90_ms, summary.p99_ms, summary.max_ms];
    for (ms, width) in percentiles.into_iter().zip(&LATENCY[2..]) {
        row = row.right(&duration(Duration::from_millis(ms)), *width);
    }
    row.line()
}

fn whole_run_lines(
    state: &State,
    now: &MeasuresSummary,
    record: Option<&RecordedRun>,
    theme: &Theme,
) -> Vec<Line<'static>> {
    let measures = &state.measures;
    let time = |ms: u64| duration(Duration::from_millis(ms));
    let elapsed_ms = u64::try_from(state.elapsed().as_millis()).unwrap_or(u64::MAX);
    let said =
        |value: Option<u64>, show: &dyn Fn(u64) -> String| value.filter(|v| *v > 0).map(show).unwrap_or_default();
    let line = |name: &str, live: u64, recorded: Option<u64>, show: &dyn Fn(u64) -> String| {
        Row::new(theme)
            .left(name, STAGE[0])
            .right("", STAGE[1])
            .right(&said(Some(live), show), STAGE[2])
            .right(&said(recorded, show), STAGE[3])
            .line()
    };
    let resident: u64 = measures.processes.values().map(|process| process.resident_bytes).sum();
    let recorded = |read: fn(&RecordedRun) -> u64| record.map(read);
    let worker = now.worker_resident_bytes_max;
    let mut lines = vec![
        line("time", elapsed_ms, recorded(|record| record.total_ms), &time),
        line("peak memory", measures.resident_bytes_max, recorded(|record| record.peak_rss_bytes), &mebibytes),
        line("peak of a worker", worker, recorded(|record| record.measures.worker_resident_bytes_max), &mebibytes),
        line("processor time", now.cpu_ms, recorded(|record| record.measures.cpu_ms), &time),
    ];
    let processes = format!("{} in {} processes now", mebibytes(resident), measures.processes.len());
    if resident > 0 && state.is_running() {
        lines[1].push_span(Span::styled(format!("  {processes}"), theme.faint()));
    }
    lines
}

//! The flow: stages in order with live rates, queues with their fill, invariants as lights.

use lakebed_contract::Stage;
use ratatui::text::{Line, Span};

use super::text::{Row, Side, depth, fitted, megabytes, rate};
use super::theme::Theme;
use crate::printer::grouped;
use crate::tui::state::State;
use crate::tui::state::lights::INVARIANTS;
use crate::tui::state::stages::{Activity, HISTORY_SECONDS};

/// Widths at 80 columns; what is wider goes to the chart.
const STAGE: [usize; 5] = [9, 7, 12, 10, 7];
const QUEUE: [usize; 5] = [26, 12, 12, 12, 14];
/// Lights in a line.
const LIGHTS_PER_LINE: usize = INVARIANTS / 2;
const LIGHT: usize = 15;
/// Width from which on the chart fits.
const CHART_FROM: usize = 100;

pub(super) fn lines(state: &State, theme: &Theme, width: usize) -> Vec<Line<'static>> {
    let mut lines = vec![stage_header(theme, width)];
    lines.extend(Stage::ALL.into_iter().map(|stage| stage_line(state, theme, stage, width)));
    lines.push(queue_header(theme));
    lines.extend(state.queues.all().map(|(name, queue)| {
        let bar = queue.fill().map(|fill| theme.bar(fill, QUEUE[4])).unwrap_or_default();
        let style = if queue.fill().is_some_and(|fill| fill >= 0.9) { theme.bad() } else { theme.good() };
        Row::new(theme)
            .left(name, QUEUE[0])
            .right(&depth(name, queue.depth), QUEUE[1])
            .right(&depth(name, queue.depth_max), QUEUE[2])
            .right(&queue.bound.map(|bound| depth(name, bound)).unwrap_or_default(), QUEUE[3])
            .cell(&bar, QUEUE[4], Side::Left, style)
            .line()
    }));
    lines.extend(light_lines(state, theme));
    lines
}

fn stage_header(theme: &Theme, width: usize) -> Line<'static> {
    let mut row = Row::new(theme)
        .left("stage", STAGE[0])
        .left("is", STAGE[1])
        .right("rows", STAGE[2])
        .right("rows/s", STAGE[3])
        .right("MB/s", STAGE[4]);
    if width >= CHART_FROM {
        row = row.left("last seconds", HISTORY_SECONDS);
    }
    row.left("doing", doing_width(width)).styled(theme.header())
}

fn stage_line(state: &State, theme: &Theme, stage: Stage, width: usize) -> Line<'static> {
    let known = state.stages.get(stage);
    let now = state.now;
    let (word, style) = theme.activity(known.map_or(Activity::Waiting, |known| known.activity(now)));
    let rows = state.measures.stages.get(&stage).map_or(0, |measure| measure.rows);
    let (rows_per_second, bytes_per_second) = known.map_or((0.0, 0.0), |known| known.rate(now));
    let unless_zero = |value: f64, text: String| if value == 0.0 { String::new() } else { text };
    let mut row = Row::new(theme)
        .cell(stage.as_str(), STAGE[0], Side::Left, theme.title())
        .cell(word, STAGE[1], Side::Left, style)
        .right(&grouped(rows), STAGE[2])
        .right(&unless_zero(rows_per_second, rate(rows_per_second)), STAGE[3])
        .right(&unless_zero(bytes_per_second, megabytes(bytes_per_second)), STAGE[4]);
    if width >= CHART_FROM {
        let chart = known.map(|known| theme.chart(&known.history(now))).unwrap_or_default();
        row = row.cell(&chart, HISTORY_SECONDS, Side::Left, theme.busy());
    }
    let doing = known.and_then(|known| known.doing()).unwrap_or_default();
    row.left(doing, doing_width(width)).line()
}

fn doing_width(width: usize) -> usize {
    let chart = if width >= CHART_FROM { HISTORY_SECONDS + 1 } else { 0 };
    width.saturating_sub(STAGE.iter().sum::<usize>() + STAGE.len() + chart)
}

fn queue_header(theme: &Theme) -> Line<'static> {
    Row::new(theme)
        .left("queue", QUEUE[0])
        .right("now", QUEUE[1])
        .right("peak", QUEUE[2])
        .right("bound", QUEUE[3])
        .left("fill", QUEUE[4])
        .styled(theme.header())
}

fn light_lines(state: &State, theme: &Theme) -> Vec<Line<'static>> {
    let lights: Vec<_> = state
        .lights
        .all()
        .map(|(number, light)| {
            let (sign, word, style) = theme.light(light);
            Span::styled(fitted(&format!("I{number} {sign} {word}"), LIGHT, Side::Left, theme), style)
        })
        .collect();
    lights.chunks(LIGHTS_PER_LINE).map(|chunk| Line::from(chunk.to_vec())).collect()
}

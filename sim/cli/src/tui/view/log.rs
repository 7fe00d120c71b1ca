//! The log, newest line at the foot.

use ratatui::text::{Line, Span};

use super::text::{Side, fitted};
use super::theme::Theme;
use crate::printer::grouped;
use crate::tui::state::State;

pub(super) fn lines(state: &State, theme: &Theme, width: usize, height: usize) -> Vec<Line<'static>> {
    let log = &state.log;
    let mut lines: Vec<Line<'static>> = log
        .shown(height.saturating_sub(1))
        .map(|line| {
            let moment = line.at.to_rfc3339_micros();
            let clock = moment.get(11..19).unwrap_or_default().to_owned();
            let text = fitted(&line.text, width.saturating_sub(clock.len() + 1), Side::Left, theme);
            Line::from(vec![
                Span::styled(clock, theme.faint()),
                Span::raw(" "),
                Span::styled(text, theme.weight(line.weight)),
            ])
        })
        .collect();
    if log.scrolled > 0 {
        let below = format!("{} newer lines below; End shows them", grouped(log.scrolled as u64));
        lines.push(Line::from(Span::styled(below, theme.busy())));
    }
    lines
}

//! How things look: colours where they are wanted, signs that say the same without them, plain ASCII where the terminal has no more.

use lakebed_contract::control::Status;
use lakebed_contract::event::Outcome;
use ratatui::style::{Color, Modifier, Style};

use crate::tui::state::log::Weight;
use crate::tui::state::stages::Activity;

/// Colours and signs in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Theme {
    /// `false` under `NO_COLOR`.
    pub(crate) colour: bool,
    /// `false` where the locale is not UTF-8.
    pub(crate) unicode: bool,
}

impl Theme {
    pub(crate) fn plain(self) -> Style {
        Style::new()
    }

    pub(crate) fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    pub(crate) fn header(self) -> Style {
        self.coloured(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    pub(crate) fn faint(self) -> Style {
        self.coloured(Color::DarkGray)
    }

    pub(crate) fn good(self) -> Style {
        self.coloured(Color::Green)
    }

    pub(crate) fn bad(self) -> Style {
        self.coloured(Color::Red).add_modifier(Modifier::BOLD)
    }

    pub(crate) fn busy(self) -> Style {
        self.coloured(Color::Yellow)
    }

    pub(crate) fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    fn coloured(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// A light: sign, word and style. The sign alone says it.
    pub(crate) fn light(self, outcome: Option<Outcome>) -> (&'static str, &'static str, Style) {
        let sign = |unicode, ascii| if self.unicode { unicode } else { ascii };
        match outcome {
            Some(Outcome::Pass) => (sign("●", "+"), "pass", self.good()),
            Some(Outcome::Fail) => (sign("✖", "X"), "FAIL", self.bad()),
            Some(Outcome::Unchecked) => (sign("◌", "?"), "unchecked", self.busy()),
            None => (sign("·", "."), "", self.faint()),
        }
    }

    pub(crate) fn activity(self, activity: Activity) -> (&'static str, Style) {
        match activity {
            Activity::Waiting => ("waiting", self.faint()),
            Activity::Working => ("working", self.busy()),
            Activity::Resting => ("resting", self.good()),
        }
    }

    pub(crate) fn status(self, status: Status) -> Style {
        match status {
            Status::Received | Status::BronzeDone => self.plain(),
            Status::Claimed => self.busy(),
            Status::Done => self.good(),
            Status::Failed | Status::Quarantined => self.bad(),
        }
    }

    pub(crate) fn execution(self, status: &str) -> Style {
        match status {
            "RUNNING" => self.busy(),
            "SUCCEEDED" => self.good(),
            _ => self.bad(),
        }
    }

    pub(crate) fn weight(self, weight: Weight) -> Style {
        match weight {
            Weight::Plain => self.plain(),
            Weight::Bad => self.bad(),
        }
    }

    /// A bar of `width` that is filled to `fill` (0 to 1). Anything above nothing shows at least one step.
    pub(crate) fn bar(self, fill: f64, width: usize) -> String {
        let (full, empty, parts) = if self.unicode { ("█", "░", "▏▎▍▌▋▊▉") } else { ("#", "-", "") };
        let steps_per_cell = parts.chars().count() + 1;
        let steps = width * steps_per_cell;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part of a width is a width")]
        let filled = ((fill.clamp(0.0, 1.0) * steps as f64).round() as usize).max(usize::from(fill > 0.0));
        let mut bar = full.repeat(filled / steps_per_cell);
        let mut cells = filled / steps_per_cell;
        if let Some(part) = (filled % steps_per_cell).checked_sub(1).and_then(|at| parts.chars().nth(at)) {
            bar.push(part);
            cells += 1;
        }
        bar.push_str(&empty.repeat(width - cells));
        bar
    }

    /// A chart of one line: each value against the highest.
    pub(crate) fn chart(self, values: &[u64]) -> String {
        let levels: Vec<char> = if self.unicode { " ▁▂▃▄▅▆▇█" } else { " .:-=+*#@" }.chars().collect();
        let highest = values.iter().copied().max().unwrap_or(0).max(1);
        let level = |value: u64| (value * (levels.len() as u64 - 1)).div_ceil(highest);
        values.iter().map(|value| levels[usize::try_from(level(*value)).unwrap_or(0)]).collect()
    }

    /// Stands for what was cut off.
    pub(crate) fn ellipsis(self) -> &'static str {
        if self.unicode { "…" } else { "~" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNICODE: Theme = Theme { colour: false, unicode: true };
    const ASCII: Theme = Theme { colour: false, unicode: false };

    #[test]
    fn bars_show_little_as_little_and_never_overflow() {
        for (fill, unicode, ascii) in [
            (0.0, "░░░░", "----"),
            (0.000_1, "▏░░░", "#---"),
            (0.5, "██░░", "##--"),
            (0.6, "██▍░", "##--"),
            (1.0, "████", "####"),
            (7.0, "████", "####"),
        ] {
            assert_eq!((UNICODE.bar(fill, 4).as_str(), ASCII.bar(fill, 4).as_str()), (unicode, ascii), "{fill}");
        }
    }

    #[test]
    fn charts_are_relative_to_their_peak() {
        assert_eq!(UNICODE.chart(&[0, 1, 50, 100]), " ▁▄█");
        assert_eq!(ASCII.chart(&[0, 0, 3]), "  @");
        assert_eq!(UNICODE.chart(&[0, 0]), "  ");
    }

    #[test]
    fn without_colour_no_style_has_one() {
        let styles = [UNICODE.good(), UNICODE.bad(), UNICODE.busy(), UNICODE.faint(), UNICODE.header()];
        assert!(styles.iter().all(|style| style.fg.is_none() && style.bg.is_none()));
    }
}

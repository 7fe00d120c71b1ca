//! Cells, numbers and durations as text of a fixed width.

use std::time::Duration;

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::theme::Theme;
use crate::printer::grouped;

/// How a cell stands in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
    /// To the left, and cut at its beginning: the end of a key says most.
    KeepEnd,
}

/// A line made of cells, one space between them.
pub(crate) struct Row<'a> {
    theme: &'a Theme,
    spans: Vec<Span<'static>>,
}

impl<'a> Row<'a> {
    pub(crate) fn new(theme: &'a Theme) -> Self {
        Self { theme, spans: Vec::new() }
    }

    pub(crate) fn cell(mut self, text: &str, width: usize, side: Side, style: Style) -> Self {
        if !self.spans.is_empty() {
            self.spans.push(Span::raw(" "));
        }
        self.spans.push(Span::styled(fitted(text, width, side, self.theme), style));
        self
    }

    pub(crate) fn left(self, text: &str, width: usize) -> Self {
        let style = self.theme.plain();
        self.cell(text, width, Side::Left, style)
    }

    pub(crate) fn right(self, text: &str, width: usize) -> Self {
        let style = self.theme.plain();
        self.cell(text, width, Side::Right, style)
    }

    pub(crate) fn line(self) -> Line<'static> {
        Line::from(self.spans)
    }

    /// The line, all in one style.
    pub(crate) fn styled(self, style: Style) -> Line<'static> {
        Line::from(self.spans).patch_style(style)
    }
}

/// Pads or cuts to `width` characters. Texts here are names and numbers, one column a character.
pub(crate) fn fitted(text: &str, width: usize, side: Side, theme: &Theme) -> String {
    let length = text.chars().count();
    // A name of the user's may hold anything; what moves the cursor must not reach the terminal.
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    if length <= width {
        let (text, padding) = (clean.collect::<String>(), " ".repeat(width - length));
        return if side == Side::Right { padding + &text } else { text + &padding };
    }
    let Some(room) = width.checked_sub(1) else { return String::new() };
    match side {
        Side::KeepEnd => {
            std::iter::once(theme.ellipsis().to_owned()).chain([clean.skip(length - room).collect()]).collect()
        }
        Side::Left | Side::Right => clean.take(room).collect::<String>() + theme.ellipsis(),
    }
}

/// A rate, without digits that mean nothing.
pub(crate) fn rate(per_second: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate of rows fits")]
    let whole = per_second.round() as u64;
    grouped(whole)
}

/// Megabytes (10^6) with one digit.
pub(crate) fn megabytes(bytes: f64) -> String {
    format!("{:.1}", bytes / 1e6)
}

/// `363 MiB`.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", grouped(bytes >> 20))
}

/// `00:01:23`.
pub(crate) fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// `850 ms`, `12.3 s`, `4 min 10 s`, `2 h 05 min`.
pub(crate) fn duration(elapsed: Duration) -> String {
    match elapsed.as_millis() {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms @ 1_000..100_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        ms @ 100_000..6_000_000 => format!("{} min {:02} s", ms / 60_000, ms / 1_000 % 60),
        ms => format!("{} h {:02} min", ms / 3_600_000, ms / 60_000 % 60),
    }
}

/// A depth in the unit that the queue's name ends with.
pub(crate) fn depth(queue: &str, depth: u64) -> String {
    if queue.ends_with("_bytes") {
        format!("{}.{} MiB", grouped(depth >> 20), (depth & 0xf_ffff) * 10 / (1 << 20))
    } else if queue.ends_with("_ms") {
        duration(Duration::from_millis(depth))
    } else {
        grouped(depth)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEME: Theme = Theme { colour: false, unicode: true };

    #[test]
    fn cells_are_exactly_as_wide_as_asked() {
        for (text, width, side, expect) in [
            ("abc", 5, Side::Left, "abc  "),
            ("abc", 5, Side::Right, "  abc"),
            ("abcdef", 4, Side::Left, "abc…"),
            ("abcdef", 4, Side::KeepEnd, "…def"),
            ("Kölsch", 6, Side::Left, "Kölsch"),
            ("a\x1b[2Jb", 6, Side::Left, "a [2Jb"),
            ("abc", 0, Side::Left, ""),
        ] {
            assert_eq!(fitted(text, width, side, &THEME), expect, "{text:?}");
        }
    }

    #[test]
    fn durations_and_depths_read_like_speech() {
        let said = |ms| duration(Duration::from_millis(ms));
        assert_eq!(
            [said(850), said(12_345), said(250_000), said(7_500_000)],
            ["850 ms", "12.3 s", "4 min 10 s", "2 h 05 min"]
        );
        assert_eq!(clock(Duration::from_secs(3_723)), "01:02:03");
        assert_eq!(depth("x_bytes", (3 << 20) + (1 << 19)), "3.5 MiB");
        assert_eq!(depth("x_age_ms", 1_500), "1.5 s");
        assert_eq!(depth("x", 12_345), "12,345");
        assert_eq!((rate(1_234.6), megabytes(2_560_000.0)), ("1,235".to_owned(), "2.6".to_owned()));
    }
}
